package slacksim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// ErrNoSuchButton says that there is nothing to press or choose by that name
// where a person looked.
var ErrNoSuchButton = errors.New("no such button")

// ErrNotThere says that a person, channel, message or view does not exist, or
// that the person cannot see it.
var ErrNotThere = errors.New("not there")

// Ref says where a person acts: in a message (Channel and TS) or in a view.
type Ref struct {
	Channel, TS string
	View        string
}

// Seen is what a person saw when an action returned. What the app sends later
// is found by Ephemerals, Messages and View.
type Seen struct {
	Status  int    // HTTP status of the app's answer; 0 when there was none
	Timeout bool   // the app took longer than three seconds
	Error   string // what Slack shows: "operation_timeout", "dispatch_failed", "invalid_command_response" or ""
	Body    string // the app's answer as sent
	// Answer is the HTTP answer to a slash command, shown as a message.
	Answer *Message
	// Ephemerals are the private messages that came until the action returned,
	// Answer included when it is private.
	Ephemerals []Message
	// View is the modal in front when the action returned; nil when none.
	View *View
	// Errors are shown under the inputs of a view, by block_id. When they come
	// from Slack's own checks, nothing was sent to the app.
	Errors map[string]string
	// URL is where the browser went, for a button with a link.
	URL string
	// Confirm is the question that was answered with yes, if there was one.
	Confirm *Confirm
	// TriggerID is the right to open a modal that was sent.
	TriggerID string
	// ResponseURL is the address for later answers that was sent.
	ResponseURL string
}

// Text is what a person reads: the error, or the private messages.
func (v Seen) Text() string {
	var parts []string
	if v.Error != "" {
		parts = append(parts, v.Error)
	}
	if v.Answer != nil && !v.Answer.Ephemeral {
		parts = append(parts, Text(*v.Answer))
	}
	for _, m := range v.Ephemerals {
		parts = append(parts, Text(m))
	}
	return strings.Join(parts, "\n")
}

// present finds a person and a channel that the person can see.
func (s *Server) present(userID, channelID string) (*User, *channel, error) {
	u := s.users[userID]
	if u == nil {
		return nil, nil, fmt.Errorf("user %s: %w", userID, ErrNotThere)
	}
	c := s.channels[channelID]
	if c == nil || !c.sees(userID) {
		return nil, nil, fmt.Errorf("channel %s for %s: %w", channelID, userID, ErrNotThere)
	}
	return u, c, nil
}

// Slash types a slash command, "/pipeline run web main", in a channel. The immediate
// answer, if any, becomes a message: private unless its response_type says
// in_channel. Errors mean that the person could not type it there.
func (s *Server) Slash(ctx context.Context, userID, channelID, line string) (Seen, error) {
	command, text, _ := strings.Cut(strings.TrimSpace(line), " ")
	if !strings.HasPrefix(command, "/") {
		return Seen{}, fmt.Errorf("%q is not a slash command", line)
	}
	s.mu.Lock()
	u, c, err := s.present(userID, channelID)
	if err == nil && !s.granted(ScopeCommands) {
		err = fmt.Errorf("command %s: %w", command, ErrNotThere)
	}
	if err != nil {
		s.mu.Unlock()
		return Seen{}, err
	}
	since := s.lastMicro
	form := s.slashForm(u, c, command, strings.TrimSpace(text))
	s.mu.Unlock()

	got := s.command(ctx, form)

	s.mu.Lock()
	defer s.mu.Unlock()
	seen := Seen{TriggerID: form.Get("trigger_id"), ResponseURL: form.Get("response_url")}
	if got.accepted() && len(strings.TrimSpace(string(got.body))) > 0 {
		seen.Answer, seen.Error = s.slashAnswer(u, c, got)
	}
	s.look(&seen, userID, since, got)
	return seen, nil
}

func (s *Server) slashForm(u *User, c *channel, command, text string) url.Values {
	name := c.Name
	switch {
	case c.Direct:
		name = "directmessage"
	case c.Private:
		name = "privategroup"
	}
	form := url.Values{
		"token": {VerificationToken}, "team_id": {u.TeamID}, "team_domain": {TeamDomain}, "channel_id": {c.ID},
		"channel_name": {name}, "user_id": {u.ID}, "user_name": {u.Name}, "command": {command}, "text": {text},
		"api_app_id": {AppID}, "is_enterprise_install": {"false"}, "response_url": {s.newResponseURL(u.ID, c.ID, nil)},
		"trigger_id": {s.newTrigger(u.ID)},
	}
	if s.o.EnterpriseID != "" {
		form.Set("enterprise_id", s.o.EnterpriseID)
		form.Set("enterprise_name", s.o.EnterpriseName)
	}
	return form
}

// slashAnswer shows the HTTP answer of a slash command.
func (s *Server) slashAnswer(u *User, c *channel, got answer) (*Message, string) {
	a := args{"text": {string(got.body)}}
	if kind, _, _ := mime.ParseMediaType(got.contentType); kind == "application/json" {
		var problem string
		if a, problem = jsonArgs(got.body); problem != "" {
			return nil, "invalid_command_response"
		}
	}
	m, refused := s.respond(&responseURL{user: u.ID, channel: c.ID}, a)
	if refused != nil {
		return nil, "invalid_command_response"
	}
	if m == nil {
		return nil, ""
	}
	o := s.out(m)
	return &o, ""
}

// look fills in what the person sees after the app answered.
func (s *Server) look(seen *Seen, userID string, since int64, got answer) {
	seen.Status, seen.Timeout, seen.Body = got.status, got.timeout, string(got.body)
	if p := got.problem(); p != "" {
		seen.Error = p
	}
	for _, m := range s.ephemerals[userID] {
		if t, _ := parseTS(m.TS); t > since {
			seen.Ephemerals = append(seen.Ephemerals, s.out(m))
		}
	}
	if v, open := s.topView(userID); open {
		seen.View = &v
	}
}

// at resolves a Ref: the message (shown, private ones included) or the view.
func (s *Server) at(userID string, ref Ref) (*Message, *View, error) {
	if ref.View != "" {
		v := s.views[ref.View]
		if v == nil || v.User != userID {
			return nil, nil, fmt.Errorf("view %s for %s: %w", ref.View, userID, ErrNotThere)
		}
		return nil, v, nil
	}
	for _, m := range s.ephemerals[userID] {
		if m.Channel == ref.Channel && m.TS == ref.TS {
			return m, nil, nil
		}
	}
	_, c, err := s.present(userID, ref.Channel)
	if err != nil {
		return nil, nil, err
	}
	m := c.find(ref.TS)
	if m == nil || m.Deleted {
		return nil, nil, fmt.Errorf("message %s in %s: %w", ref.TS, ref.Channel, ErrNotThere)
	}
	return m, nil, nil
}

func treeOf(m *Message, v *View) []Block {
	if v != nil {
		return v.Tree
	}
	return m.Tree
}

// press is something found by name: a button, or one entry of an overflow menu.
type press struct {
	spot
	entry *Option
}

// findButton finds a button or overflow entry by its text, else by action_id or
// value. "Log#2" means the second one called Log.
func findButton(tree []Block, name string) (press, error) {
	want, nth := name, 0
	if base, n, has := strings.Cut(name, "#"); has {
		if i, err := strconv.Atoi(n); err == nil && i > 0 {
			want, nth = base, i
		}
	}
	for _, by := range []func(p press) bool{
		func(p press) bool { return p.label() == want },
		func(p press) bool { return p.entry == nil && (p.el.ActionID == want || p.el.Value == want) },
		func(p press) bool { return p.entry != nil && p.entry.Value == want },
	} {
		var hits []press
		for _, p := range presses(tree) {
			if by(p) {
				hits = append(hits, p)
			}
		}
		switch {
		case len(hits) == 0:
		case nth > 0 && nth <= len(hits):
			return hits[nth-1], nil
		case nth == 0 && len(hits) == 1:
			return hits[0], nil
		default:
			return press{}, fmt.Errorf("%d buttons are called %q, say which (%s#1): %w", len(hits), want, want, ErrNoSuchButton)
		}
	}
	return press{}, fmt.Errorf("%q, there are %q: %w", name, Buttons(tree), ErrNoSuchButton)
}

func (p press) label() string {
	if p.entry != nil {
		return p.entry.Text.Text
	}
	if p.el.Text == nil {
		return ""
	}
	return p.el.Text.Text
}

func presses(tree []Block) []press {
	var out []press
	for _, at := range spots(tree) {
		switch at.el.Type {
		case "button", "workflow_button":
			out = append(out, press{spot: at})
		case "overflow":
			for i := range at.el.Options {
				out = append(out, press{at, &at.el.Options[i]})
			}
		}
	}
	return out
}

// Buttons lists the texts of the buttons and overflow entries of a message or
// view, in reading order.
func Buttons(tree []Block) []string {
	var out []string
	for _, p := range presses(tree) {
		out = append(out, p.label())
	}
	return out
}

// Click presses the button (or overflow entry) with this text in a message or
// view, answering yes if it asks for confirmation. It fails with ErrNoSuchButton
// when it is not there now; "Log#2" is the second button called Log.
func (s *Server) Click(ctx context.Context, userID string, at Ref, button string) (Seen, error) {
	s.mu.Lock()
	m, v, err := s.at(userID, at)
	if err != nil {
		s.mu.Unlock()
		return Seen{}, err
	}
	p, err := findButton(treeOf(m, v), button)
	if err != nil {
		s.mu.Unlock()
		return Seen{}, fmt.Errorf("click by %s: %w", userID, err)
	}
	return s.act(ctx, userID, m, v, p.spot, p.fields())
}

// ClickStale presses a button on an old picture of a message, as a person does
// whose Slack has not shown the latest edit yet.
func (s *Server) ClickStale(ctx context.Context, userID string, old Message, button string) (Seen, error) {
	p, err := findButton(old.Tree, button)
	if err != nil {
		return Seen{}, fmt.Errorf("stale click by %s: %w", userID, err)
	}
	s.mu.Lock()
	m := &old
	if now, _, err := s.at(userID, old.Ref()); err == nil {
		m = now
	}
	return s.act(ctx, userID, m, nil, p.spot, p.fields())
}

// fields are what the action of a press says beside its ids.
func (p press) fields() map[string]any {
	if p.entry != nil {
		return map[string]any{"selected_option": p.entry}
	}
	f := map[string]any{"text": textField(p.el.Text)}
	if p.el.Value != "" {
		f["value"] = p.el.Value
	}
	if p.el.URL != "" {
		f["url"] = p.el.URL
	}
	if p.el.Style.Name != "" {
		f["style"] = p.el.Style.Name
	}
	return f
}

func textField(t *TextObject) map[string]any {
	if t == nil {
		return nil
	}
	return map[string]any{"type": t.Type, "text": t.Text, "emoji": true}
}

// act sends block_actions. It is called with the lock held and lets go of it.
func (s *Server) act(ctx context.Context, userID string, m *Message, v *View, on spot, fields map[string]any) (Seen, error) {
	u := s.users[userID]
	if u == nil {
		s.mu.Unlock()
		return Seen{}, fmt.Errorf("user %s: %w", userID, ErrNotThere)
	}
	since := s.lastMicro
	p := s.payload("block_actions", u)
	seen := Seen{TriggerID: s.newTrigger(userID), Confirm: on.el.Confirm, URL: on.el.URL}
	p["trigger_id"] = seen.TriggerID
	action := map[string]any{"type": on.el.Type, "action_id": on.el.ActionID, "block_id": on.block.BlockID, "action_ts": s.newTS()}
	maps.Copy(action, fields)
	p["actions"] = []any{action}
	s.container(p, userID, m, v)
	if m != nil {
		seen.ResponseURL = s.newResponseURL(userID, m.Channel, m)
		p["response_url"] = seen.ResponseURL
	}
	s.mu.Unlock()

	got := s.interact(ctx, p)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.look(&seen, userID, since, got)
	return seen, nil
}

// container tells the app where it happened.
func (s *Server) container(p map[string]any, userID string, m *Message, v *View) {
	if v != nil {
		p["container"] = map[string]any{"type": "view", "view_id": v.ID}
		w := s.wireView(v)
		p["view"] = w
		return
	}
	box := map[string]any{"type": "message", "message_ts": m.TS, "channel_id": m.Channel, "is_ephemeral": m.Ephemeral}
	if thread := s.threadOf(m); thread != "" {
		box["thread_ts"] = thread
	}
	p["container"] = box
	name := ""
	if c := s.channels[m.Channel]; c != nil {
		name = c.Name
		if c.Direct {
			name = "directmessage"
		}
	}
	p["channel"] = map[string]any{"id": m.Channel, "name": name}
	p["state"] = map[string]any{"values": s.state(m.Tree, surfaceKey(userID, m.Ref()))}
	if !m.Ephemeral {
		p["message"] = s.wire(m, false)
	}
}

// threadOf is the thread that a message is shown in: its parent's, or its own
// when it has replies.
func (s *Server) threadOf(m *Message) string {
	if m.ThreadTS != "" {
		return m.ThreadTS
	}
	if c := s.channels[m.Channel]; c != nil && !m.Ephemeral && len(c.replies(m.TS)) > 0 {
		return m.TS
	}
	return ""
}

// CloseView presses the Close button of a modal; what is below comes in front.
func (s *Server) CloseView(ctx context.Context, userID, viewID string) (Seen, error) {
	return s.closeView(ctx, userID, viewID, false)
}

// CloseAllViews presses the cross of a modal, which closes the whole stack.
func (s *Server) CloseAllViews(ctx context.Context, userID, viewID string) (Seen, error) {
	return s.closeView(ctx, userID, viewID, true)
}

func (s *Server) closeView(ctx context.Context, userID, viewID string, all bool) (Seen, error) {
	s.mu.Lock()
	_, v, err := s.at(userID, Ref{View: viewID})
	if err != nil || v.Type != "modal" {
		s.mu.Unlock()
		return Seen{}, errors.Join(err, errNotModal(v))
	}
	since, u := s.lastMicro, s.users[userID]
	p := s.payload("view_closed", u)
	p["view"], p["is_cleared"] = s.wireView(v), all || v.ClearOnClose
	notify := v.NotifyOnClose
	if all || v.ClearOnClose {
		s.closeAll(userID)
	} else {
		s.drop(viewID)
	}
	s.mu.Unlock()
	var seen Seen
	got := answer{status: 200}
	if notify {
		got = s.interact(ctx, p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look(&seen, userID, since, got)
	return seen, nil
}

func errNotModal(v *View) error {
	if v == nil || v.Type == "modal" {
		return nil
	}
	return fmt.Errorf("view %s is no modal: %w", v.ID, ErrNotThere)
}

// Mention writes a message that mentions the bot (the mention is put in front
// when the text has none) and sends app_mention. It fails when the bot is not in
// the channel: Slack would send nothing.
func (s *Server) Mention(ctx context.Context, userID, channelID, threadTS, text string) error {
	c, _ := s.Channel(channelID)
	if !slices.Contains(c.Members, BotUserID) {
		return fmt.Errorf("bot in channel %s: %w", channelID, ErrNotThere)
	}
	m, err := s.Say(userID, channelID, threadTS, mentioning(text))
	if err != nil {
		return err
	}
	return s.Event(ctx, s.mentionOf(m))
}

// EditMention changes what a person has written before to a text that mentions the bot, and sends app_mention: as Slack does also
// when it mentioned the bot already, as an event of its own about the same message.
func (s *Server) EditMention(ctx context.Context, userID string, at Ref, text string) error {
	s.mu.Lock()
	var m *Message
	_, c, err := s.present(userID, at.Channel)
	if err == nil {
		m = c.find(at.TS)
	}
	if m == nil || m.User != userID {
		s.mu.Unlock()
		return fmt.Errorf("message %s of %s: %w", at.TS, userID, ErrNotThere)
	}
	m.Text, m.Edits = mentioning(text), m.Edits+1
	changed, edited := *m, s.newTS()
	s.changed()
	s.mu.Unlock()
	inner := s.mentionOf(changed)
	inner["edited"] = map[string]any{"user": userID, "ts": edited}
	return s.Event(ctx, inner)
}

func mentioning(text string) string {
	if tag := "<@" + BotUserID + ">"; !strings.Contains(text, tag) {
		text = strings.TrimSpace(tag + " " + text)
	}
	return text
}

func (s *Server) mentionOf(m Message) map[string]any {
	inner := map[string]any{
		"type": "app_mention", "user": m.User, "text": m.Text, "ts": m.TS, "channel": m.Channel, "event_ts": m.TS, "team": s.teamOf(m.User),
		"client_msg_id": "sim-" + m.TS,
	}
	if m.ThreadTS != "" {
		inner["thread_ts"] = m.ThreadTS
	}
	return inner
}

func (s *Server) teamOf(userID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.users[userID]; u != nil {
		return u.TeamID
	}
	return TeamID
}

// OpenHome opens the app's Home tab: app_home_opened is sent.
func (s *Server) OpenHome(ctx context.Context, userID string) error {
	s.mu.Lock()
	u := s.users[userID]
	if u == nil {
		s.mu.Unlock()
		return fmt.Errorf("user %s: %w", userID, ErrNotThere)
	}
	c, _ := s.direct(userID)
	inner := map[string]any{"type": "app_home_opened", "user": userID, "channel": c.ID, "tab": "home", "event_ts": s.newTS()}
	if v := s.views[s.homes[userID]]; v != nil {
		inner["view"] = s.wireView(v)
	}
	s.mu.Unlock()
	return s.Event(ctx, inner)
}

// MessageShortcut uses the app's shortcut on a message.
func (s *Server) MessageShortcut(ctx context.Context, userID string, at Ref, callbackID string) (Seen, error) {
	s.mu.Lock()
	m, v, err := s.at(userID, at)
	if err != nil || v != nil {
		s.mu.Unlock()
		return Seen{}, errors.Join(fmt.Errorf("shortcut on a message: %w", ErrNotThere), err)
	}
	u, since := s.users[userID], s.lastMicro
	p := s.payload("message_action", u)
	s.container(p, userID, m, nil)
	delete(p, "container")
	delete(p, "state")
	seen := Seen{TriggerID: s.newTrigger(userID), ResponseURL: s.newResponseURL(userID, m.Channel, nil)}
	p["callback_id"], p["message_ts"], p["action_ts"] = callbackID, m.TS, s.newTS()
	p["trigger_id"], p["response_url"] = seen.TriggerID, seen.ResponseURL
	s.mu.Unlock()
	got := s.interact(ctx, p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look(&seen, userID, since, got)
	return seen, nil
}

// GlobalShortcut uses the app's global shortcut: no channel and no response_url.
func (s *Server) GlobalShortcut(ctx context.Context, userID, callbackID string) (Seen, error) {
	s.mu.Lock()
	u, since := s.users[userID], s.lastMicro
	if u == nil {
		s.mu.Unlock()
		return Seen{}, fmt.Errorf("user %s: %w", userID, ErrNotThere)
	}
	p := s.payload("shortcut", u)
	seen := Seen{TriggerID: s.newTrigger(userID)}
	p["callback_id"], p["action_ts"], p["trigger_id"] = callbackID, s.newTS(), seen.TriggerID
	s.mu.Unlock()
	got := s.interact(ctx, p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look(&seen, userID, since, got)
	return seen, nil
}
