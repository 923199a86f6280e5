package slacksim

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Limits of views.
const (
	maxViewBytes = 250000
	maxStack     = 3
	triggerLife  = 3 * time.Second
)

// View is a modal or the Home tab of one person.
type View struct {
	ID              string            `json:"id"`
	Type            string            `json:"type"` // "modal" or "home"
	User            string            `json:"user"`
	CallbackID      string            `json:"callback_id,omitempty"`
	ExternalID      string            `json:"external_id,omitempty"`
	PrivateMetadata string            `json:"private_metadata,omitempty"`
	Title           string            `json:"title,omitempty"`
	Submit          string            `json:"submit,omitempty"`
	Close           string            `json:"close,omitempty"`
	Hash            string            `json:"hash"`
	RootID          string            `json:"root_view_id"`
	PreviousID      string            `json:"previous_view_id,omitempty"`
	NotifyOnClose   bool              `json:"notify_on_close,omitempty"`
	ClearOnClose    bool              `json:"clear_on_close,omitempty"`
	Blocks          json.RawMessage   `json:"blocks"`
	Tree            []Block           `json:"-"`
	State           map[string]any    `json:"state,omitempty"`  // what is filled in, by block and action, as Slack sends it
	Errors          map[string]string `json:"errors,omitempty"` // shown under the inputs, by block_id
	Names           map[string]string `json:"names,omitempty"`
}

// Ref says where the view is, for Click and the like.
func (v View) Ref() Ref { return Ref{View: v.ID} }

// trigger is a right to open a modal.
type trigger struct {
	user string
	at   time.Time
	used bool
}

func (s *Server) newTrigger(user string) string {
	id := s.id("13345224609.738474920.")
	s.triggers[id] = &trigger{user: user, at: s.o.Now()}
	return id
}

// useTrigger spends a trigger; the second result is Slack's refusal.
func (s *Server) useTrigger(id string) (user, refusal string) {
	t := s.triggers[id]
	switch {
	case id == "":
		return "", "invalid_arguments"
	case t == nil:
		return "", "invalid_trigger_id"
	case t.used:
		return "", "exchanged_trigger_id"
	case s.o.Now().Sub(t.at) >= triggerLife:
		return "", "expired_trigger_id"
	}
	t.used = true
	return t.user, ""
}

// readView reads and checks a view.
func (s *Server) readView(raw, kind string) (*View, reply) {
	if len(raw) > maxViewBytes {
		return nil, fail("view_too_large")
	}
	var o map[string]any
	if err := json.Unmarshal([]byte(raw), &o); err != nil {
		return nil, fail("invalid_arguments", "[ERROR] must provide an object [json-pointer:/view]")
	}
	k := checkView(o, kind)
	if len(k.problems) > 0 {
		return nil, fail("invalid_arguments", k.problems...)
	}
	var v struct {
		Type, Hash           string
		CallbackID           string `json:"callback_id"`
		ExternalID           string `json:"external_id"`
		PrivateMetadata      string `json:"private_metadata"`
		Title, Submit, Close TextObject
		NotifyOnClose        bool `json:"notify_on_close"`
		ClearOnClose         bool `json:"clear_on_close"`
		Blocks               json.RawMessage
	}
	if err := json.Unmarshal([]byte(raw), &v); err != nil {
		return nil, fail("invalid_arguments", "[ERROR] "+err.Error())
	}
	list, _ := o["blocks"].([]any)
	blocks := s.fillIDs(v.Blocks, list)
	return &View{
		Type: v.Type, CallbackID: v.CallbackID, ExternalID: v.ExternalID, PrivateMetadata: v.PrivateMetadata,
		Title: v.Title.Text, Submit: v.Submit.Text, Close: v.Close.Text, NotifyOnClose: v.NotifyOnClose,
		ClearOnClose: v.ClearOnClose, Blocks: blocks, Tree: parseBlocks(blocks),
	}, nil
}

// checkView lists what Slack would object to in a view.
func checkView(o map[string]any, kind string) *checker {
	k := &checker{where: surfaceModal, blockIDs: map[string]bool{}}
	if kind == "home" {
		k.where = surfaceHome
	}
	if got, _ := o["type"].(string); got != kind {
		k.bad("/view/type", "must be %s", kind)
	}
	k.only("/view", o, []string{
		"type", "title", "submit", "close", "blocks", "private_metadata", "callback_id", "external_id", "clear_on_close",
		"notify_on_close", "submit_disabled",
	})
	k.need("/view", o, "blocks")
	list, _ := o["blocks"].([]any)
	k.blocks("/view/blocks", list)
	k.str("/view", o, "private_metadata", 0, 3000)
	k.str("/view", o, "callback_id", 0, 255)
	k.str("/view", o, "external_id", 0, 255)
	if kind == "modal" {
		k.text("/view", o, "title", 24, true, "plain_text")
		k.text("/view", o, "submit", 24, hasInput(list), "plain_text")
		k.text("/view", o, "close", 24, false, "plain_text")
	}
	return k
}

// hasInput says whether a modal has something to submit.
func hasInput(list []any) bool {
	return slices.ContainsFunc(list, func(v any) bool {
		b, _ := v.(map[string]any)
		return b["type"] == "input"
	})
}

// place gives a view its identity and makes it visible.
func (s *Server) place(v *View, user string, previous *View) {
	v.ID, v.User = s.id("V"), user
	v.RootID = v.ID
	if previous != nil {
		v.PreviousID, v.RootID = previous.ID, previous.RootID
	}
	s.rehash(v)
	s.views[v.ID] = v
	s.changed()
}

func (s *Server) rehash(v *View) {
	s.serial++
	v.Hash = strconv.FormatInt(s.o.Now().Unix(), 10) + "." + strconv.Itoa(s.serial)
}

func (s *Server) viewsOpen(a args) reply {
	v, refused := s.readView(a.str("view"), "modal")
	if refused != nil {
		return refused
	}
	if s.externalTaken(v.ExternalID) {
		return fail("duplicate_external_id")
	}
	user, refusal := s.useTrigger(a.str("trigger_id"))
	if refusal != "" {
		return fail(refusal)
	}
	s.closeAll(user)
	s.place(v, user, nil)
	s.stacks[user] = []string{v.ID}
	return ok(reply{"view": s.wireView(v)})
}

func (s *Server) externalTaken(id string) bool {
	return id != "" && s.external(id) != nil
}

func (s *Server) external(id string) *View {
	for _, v := range s.views {
		if v.ExternalID == id {
			return v
		}
	}
	return nil
}

func (s *Server) viewsPush(a args) reply {
	v, refused := s.readView(a.str("view"), "modal")
	if refused != nil {
		return refused
	}
	user, refusal := s.useTrigger(a.str("trigger_id"))
	if refusal != "" {
		return fail(refusal)
	}
	if len(s.stacks[user]) == 0 {
		return fail("not_found")
	}
	if !s.push(v, user) {
		return fail("push_limit_reached")
	}
	return ok(reply{"view": s.wireView(v)})
}

// push lays a view on top; it says false when the stack is full.
func (s *Server) push(v *View, user string) bool {
	stack := s.stacks[user]
	if len(stack) >= maxStack {
		return false
	}
	var below *View
	if len(stack) > 0 {
		below = s.views[stack[len(stack)-1]]
	}
	s.place(v, user, below)
	s.stacks[user] = append(slices.Clip(stack), v.ID)
	return true
}

func (s *Server) viewsUpdate(a args) reply {
	v := s.views[a.str("view_id")]
	if v == nil && a.str("external_id") != "" {
		v = s.external(a.str("external_id"))
	}
	if v == nil {
		return fail("not_found")
	}
	next, refused := s.readView(a.str("view"), v.Type)
	if refused != nil {
		return refused
	}
	if h := a.str("hash"); h != "" && h != v.Hash {
		return fail("hash_conflict")
	}
	s.replace(v, next)
	return ok(reply{"view": s.wireView(v)})
}

// replace changes what a view shows; what was filled in stays where block_id and
// action_id stay.
func (s *Server) replace(v, next *View) {
	next.ID, next.User, next.RootID, next.PreviousID = v.ID, v.User, v.RootID, v.PreviousID
	if next.ExternalID == "" {
		next.ExternalID = v.ExternalID
	}
	*v = *next
	s.rehash(v)
	s.changed()
}

func (s *Server) viewsPublish(a args) reply {
	user := a.str("user_id")
	if u := s.users[user]; u == nil || u.IsBot {
		return fail("user_not_found")
	}
	next, refused := s.readView(a.str("view"), "home")
	if refused != nil {
		return refused
	}
	v := s.views[s.homes[user]]
	if h := a.str("hash"); h != "" && (v == nil || h != v.Hash) {
		return fail("hash_conflict")
	}
	if v == nil {
		s.place(next, user, nil)
		s.homes[user] = next.ID
		return ok(reply{"view": s.wireView(next)})
	}
	s.replace(v, next)
	return ok(reply{"view": s.wireView(v)})
}

// drop forgets a view.
func (s *Server) drop(id string) {
	if v := s.views[id]; v != nil {
		s.stacks[v.User] = slices.DeleteFunc(slices.Clone(s.stacks[v.User]), func(o string) bool { return o == id })
		delete(s.inputs, surfaceKey(v.User, Ref{View: id}))
		delete(s.views, id)
		s.changed()
	}
}

func (s *Server) closeAll(user string) {
	for _, id := range slices.Clone(s.stacks[user]) {
		s.drop(id)
	}
}

// View gives the modal that a person has in front, if any.
func (s *Server) View(userID string) (View, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.topView(userID)
}

func (s *Server) topView(userID string) (View, bool) {
	stack := s.stacks[userID]
	if len(stack) == 0 {
		return View{}, false
	}
	return s.outView(s.views[stack[len(stack)-1]]), true
}

// Views gives the open modals of a person, the one in front last.
func (s *Server) Views(userID string) []View {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []View
	for _, id := range s.stacks[userID] {
		out = append(out, s.outView(s.views[id]))
	}
	return out
}

// HomeView gives what the app published on a person's Home tab.
func (s *Server) HomeView(userID string) (View, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.views[s.homes[userID]]
	if v == nil {
		return View{}, false
	}
	return s.outView(v), true
}

func (s *Server) outView(v *View) View {
	o := *v
	o.State = s.state(v.Tree, surfaceKey(v.User, Ref{View: v.ID}))
	o.Errors = maps.Clone(v.Errors)
	o.Names = s.namesIn(string(v.Blocks))
	return o
}

// wireView is a view as Slack sends it.
func (s *Server) wireView(v *View) map[string]any {
	w := map[string]any{
		"id": v.ID, "team_id": TeamID, "type": v.Type, "blocks": wireBlocks(v.Blocks), "private_metadata": v.PrivateMetadata,
		"callback_id": v.CallbackID, "external_id": v.ExternalID, "hash": v.Hash, "root_view_id": v.RootID,
		"previous_view_id": nil, "app_id": AppID, "bot_id": BotID, "app_installed_team_id": TeamID,
		"clear_on_close": v.ClearOnClose, "notify_on_close": v.NotifyOnClose, "title": nil, "submit": nil, "close": nil,
		"state": map[string]any{"values": s.state(v.Tree, surfaceKey(v.User, Ref{View: v.ID}))},
	}
	if v.PreviousID != "" {
		w["previous_view_id"] = v.PreviousID
	}
	for key, text := range map[string]string{"title": v.Title, "submit": v.Submit, "close": v.Close} {
		if text != "" {
			w[key] = map[string]any{"type": "plain_text", "text": text, "emoji": true}
		}
	}
	return w
}
