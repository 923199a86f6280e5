package slacksim

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// defaultMinQuery is how many characters Slack waits for before it asks the app
// for options, unless min_query_length says otherwise.
const defaultMinQuery = 3

// maxOptions is how many options an answer to a type-ahead query may have.
const maxOptions = 100

// surfaceKey names where a person filled something in.
func surfaceKey(user string, at Ref) string {
	return user + "|" + at.View + "|" + at.Channel + "|" + at.TS
}

// state is what is filled in on a surface, by block and action, as Slack sends
// it: also what was never touched.
func (s *Server) state(tree []Block, key string) map[string]any {
	out := map[string]any{}
	for _, at := range spots(tree) {
		if slices.Contains(pressOnly, at.el.Type) {
			continue
		}
		value, touched := s.inputs[key][inputKey(at)]
		if !touched {
			value = at.el.initial()
		}
		block, is := out[at.block.BlockID].(map[string]any)
		if !is {
			block = map[string]any{}
			out[at.block.BlockID] = block
		}
		one := map[string]any{"type": at.el.Type}
		maps.Copy(one, value)
		block[at.el.ActionID] = one
	}
	return out
}

func inputKey(at spot) string { return at.block.BlockID + "|" + at.el.ActionID }

// initial is the state of an element that nobody touched.
func (e *Element) initial() map[string]any {
	or := func(v string) any { return nilIfEmpty(v) }
	list := func(v []string) any {
		if v == nil {
			return []string{}
		}
		return v
	}
	switch e.Type {
	case "static_select", "external_select", "radio_buttons":
		if e.InitialOption == nil {
			return map[string]any{"selected_option": nil}
		}
		return map[string]any{"selected_option": *e.InitialOption}
	case "multi_static_select", "multi_external_select", "checkboxes":
		return map[string]any{"selected_options": append([]Option{}, e.InitialOptions...)}
	case "users_select":
		return map[string]any{"selected_user": or(e.InitialUser)}
	case "channels_select":
		return map[string]any{"selected_channel": or(e.InitialChannel)}
	case "conversations_select":
		return map[string]any{"selected_conversation": or(e.InitialConversation)}
	case "multi_users_select":
		return map[string]any{"selected_users": list(e.InitialUsers)}
	case "multi_channels_select":
		return map[string]any{"selected_channels": list(e.InitialChannels)}
	case "multi_conversations_select":
		return map[string]any{"selected_conversations": list(e.InitialConversations)}
	case "datepicker":
		return map[string]any{"selected_date": or(e.InitialDate)}
	case "timepicker":
		return map[string]any{"selected_time": or(e.InitialTime)}
	case "datetimepicker":
		if e.InitialDateTime == 0 {
			return map[string]any{"selected_date_time": nil}
		}
		return map[string]any{"selected_date_time": e.InitialDateTime}
	case "file_input":
		return map[string]any{"files": []any{}}
	default:
		return map[string]any{"value": or(e.InitialValue)}
	}
}

// filled is the state of an element after a person gave it a value. Several
// values are written one per line.
func (s *Server) filled(key string, at spot, value string) (map[string]any, error) {
	lines := splitLines(value)
	switch e := at.el; e.Type {
	case "static_select", "external_select", "radio_buttons":
		if value == "" {
			return map[string]any{"selected_option": nil}, nil
		}
		o, err := s.pick(key, at, value)
		return map[string]any{"selected_option": o}, err
	case "multi_static_select", "multi_external_select", "checkboxes":
		list := []Option{}
		for _, one := range lines {
			o, err := s.pick(key, at, one)
			if err != nil {
				return nil, err
			}
			list = append(list, o)
		}
		return map[string]any{"selected_options": list}, nil
	case "users_select":
		return map[string]any{"selected_user": nilIfEmpty(value)}, nil
	case "channels_select":
		return map[string]any{"selected_channel": nilIfEmpty(value)}, nil
	case "conversations_select":
		return map[string]any{"selected_conversation": nilIfEmpty(value)}, nil
	case "multi_users_select":
		return map[string]any{"selected_users": lines}, nil
	case "multi_channels_select":
		return map[string]any{"selected_channels": lines}, nil
	case "multi_conversations_select":
		return map[string]any{"selected_conversations": lines}, nil
	case "datepicker":
		return map[string]any{"selected_date": nilIfEmpty(value)}, nil
	case "timepicker":
		return map[string]any{"selected_time": nilIfEmpty(value)}, nil
	case "datetimepicker":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("time of %s: %w", e.ActionID, err)
		}
		return map[string]any{"selected_date_time": n}, nil
	case "plain_text_input", "email_text_input", "url_text_input", "number_input":
		return map[string]any{"value": nilIfEmpty(value)}, nil
	default:
		return nil, fmt.Errorf("element %s of type %s cannot be filled in here", e.ActionID, e.Type)
	}
}

func splitLines(v string) []string {
	out := []string{}
	for l := range strings.SplitSeq(v, "\n") {
		if l != "" {
			out = append(out, l)
		}
	}
	return out
}

// pick finds an option by value or text: a listed one, or one that the app
// offered last for this element.
func (s *Server) pick(key string, at spot, value string) (Option, error) {
	list := at.el.allOptions()
	if strings.HasSuffix(at.el.Type, "external_select") {
		list = append(list, s.offered[key+"|"+inputKey(at)]...)
		if at.el.InitialOption != nil {
			list = append(list, *at.el.InitialOption)
		}
		list = append(list, at.el.InitialOptions...)
	}
	for _, o := range list {
		if o.Value == value {
			return o, nil
		}
	}
	for _, o := range list {
		if o.Text.Text == value {
			return o, nil
		}
	}
	return Option{}, fmt.Errorf("option %q of %s: %w", value, at.el.ActionID, ErrNoSuchButton)
}

// findInput finds an element by action_id, or by "block_id/action_id".
func findInput(tree []Block, name string) (spot, error) {
	var hits []spot
	for _, at := range spots(tree) {
		if slices.Contains(pressOnly, at.el.Type) {
			continue
		}
		if at.el.ActionID == name || at.block.BlockID+"/"+at.el.ActionID == name {
			hits = append(hits, at)
		}
	}
	if len(hits) != 1 {
		return spot{}, fmt.Errorf("%d inputs are called %q: %w", len(hits), name, ErrNoSuchButton)
	}
	return hits[0], nil
}

// Options types query into a type-ahead select and gives what the app offers.
// A query shorter than min_query_length is not sent and gives nothing. It fails
// when the app does not answer in time or answers nonsense.
func (s *Server) Options(ctx context.Context, userID string, at Ref, actionID, query string) ([]Option, error) {
	s.mu.Lock()
	m, v, err := s.at(userID, at)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	on, err := findInput(treeOf(m, v), actionID)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	if !strings.HasSuffix(on.el.Type, "external_select") {
		s.mu.Unlock()
		return on.el.allOptions(), nil
	}
	least := defaultMinQuery
	if on.el.MinQueryLength != nil {
		least = *on.el.MinQueryLength
	}
	if utf8.RuneCountInString(query) < least {
		s.mu.Unlock()
		return nil, nil
	}
	p := s.payload("block_suggestion", s.users[userID])
	s.container(p, userID, m, v)
	p["action_id"], p["block_id"], p["value"] = on.el.ActionID, on.block.BlockID, query
	s.mu.Unlock()

	list, err := readOptions(s.interact(ctx, p))
	if err != nil {
		return nil, fmt.Errorf("options of %s: %w", actionID, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offered[surfaceKey(userID, at)+"|"+inputKey(on)] = list
	return list, nil
}

// readOptions reads and checks the answer to a type-ahead query.
func readOptions(a answer) ([]Option, error) {
	if p := a.problem(); p != "" {
		return nil, fmt.Errorf("%s (status %d)", p, a.status)
	}
	var o map[string]any
	if err := json.Unmarshal(a.body, &o); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	k := &checker{}
	if _, grouped := o["option_groups"]; grouped {
		for i, g := range k.list("/option_groups", o["option_groups"], 0, maxOptions) {
			group, _ := g.(map[string]any)
			k.text("/option_groups/"+strconv.Itoa(i), group, "label", 75, true, "plain_text")
			k.offered("/option_groups/"+strconv.Itoa(i)+"/options", group["options"])
		}
	} else {
		k.need("", o, "options")
		k.offered("/options", o["options"])
	}
	if len(k.problems) > 0 {
		return nil, fmt.Errorf("app offered invalid options: %s", strings.Join(k.problems, "; "))
	}
	var e Element
	if err := json.Unmarshal(a.body, &e); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return e.allOptions(), nil
}

// offered checks options of an answer, which may be none.
func (k *checker) offered(at string, v any) {
	if list, is := v.([]any); is && len(list) == 0 {
		return
	}
	k.options(at, v, maxOptions, "plain_text")
}

// Choose sets a select, checkbox, date or text element of a message or view to a
// value (an option's value or text; several one per line). Where Slack reports
// it at once (outside input blocks, or with dispatch_action) the app is told.
// For a type-ahead select the option must be among those that the app offers.
func (s *Server) Choose(ctx context.Context, userID string, at Ref, actionID, value string) (Seen, error) {
	if err := s.offer(ctx, userID, at, actionID, value); err != nil {
		return Seen{}, err
	}
	s.mu.Lock()
	m, v, err := s.at(userID, at)
	if err != nil {
		s.mu.Unlock()
		return Seen{}, err
	}
	on, err := findInput(treeOf(m, v), actionID)
	if err != nil {
		s.mu.Unlock()
		return Seen{}, err
	}
	state, err := s.fill(userID, at, on, value)
	if err != nil {
		s.mu.Unlock()
		return Seen{}, err
	}
	if on.block.Type == "input" && !on.block.DispatchAction {
		defer s.mu.Unlock()
		var seen Seen
		s.look(&seen, userID, s.lastMicro, answer{status: 200})
		return seen, nil
	}
	return s.act(ctx, userID, m, v, on, state)
}

// fill remembers a value.
func (s *Server) fill(userID string, at Ref, on spot, value string) (map[string]any, error) {
	key := surfaceKey(userID, at)
	state, err := s.filled(key, on, value)
	if err != nil {
		return nil, err
	}
	if s.inputs[key] == nil {
		s.inputs[key] = map[string]map[string]any{}
	}
	s.inputs[key][inputKey(on)] = state
	s.changed()
	return state, nil
}

// offer makes sure that a type-ahead select has been asked for value: a person
// cannot choose what was not offered.
func (s *Server) offer(ctx context.Context, userID string, at Ref, actionID, value string) error {
	s.mu.Lock()
	m, v, err := s.at(userID, at)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	on, err := findInput(treeOf(m, v), actionID)
	key := surfaceKey(userID, at)
	known := err == nil && (value == "" || !strings.HasSuffix(on.el.Type, "external_select") || s.canPick(key, on, value))
	s.mu.Unlock()
	if err != nil || known {
		return err
	}
	for _, query := range []string{"", value} {
		if _, err := s.Options(ctx, userID, at, actionID, query); err != nil {
			return err
		}
		s.mu.Lock()
		found := s.canPick(key, on, value)
		s.mu.Unlock()
		if found {
			return nil
		}
	}
	return fmt.Errorf("option %q of %s was not offered: %w", value, actionID, ErrNoSuchButton)
}

func (s *Server) canPick(key string, on spot, value string) bool {
	for _, one := range splitLines(value) {
		if _, err := s.pick(key, on, one); err != nil {
			return false
		}
	}
	return true
}

// Submit fills in a modal (by action_id, or "block_id/action_id"; options by
// value or text, several one per line) and presses its submit button. Slack's
// own checks come first: then Seen.Errors is set and nothing is sent. Otherwise
// the app's answer closes the modal, shows errors, updates, pushes or clears.
func (s *Server) Submit(ctx context.Context, userID, viewID string, values map[string]string) (Seen, error) {
	at := Ref{View: viewID}
	for _, name := range sortedNames(values) {
		if err := s.offer(ctx, userID, at, name, values[name]); err != nil {
			return Seen{}, err
		}
	}
	s.mu.Lock()
	_, v, err := s.at(userID, at)
	if err == nil {
		err = s.fillAll(userID, v, values)
	}
	if err != nil {
		s.mu.Unlock()
		return Seen{}, err
	}
	v.Errors = s.missing(v)
	if len(v.Errors) > 0 {
		defer s.mu.Unlock()
		seen := Seen{Errors: v.Errors}
		s.look(&seen, userID, s.lastMicro, answer{status: 200})
		s.changed()
		return seen, nil
	}
	since := s.lastMicro
	p := s.payload("view_submission", s.users[userID])
	seen := Seen{TriggerID: s.newTrigger(userID)}
	p["trigger_id"], p["view"], p["response_urls"] = seen.TriggerID, s.wireView(v), []any{}
	s.mu.Unlock()

	got := s.interact(ctx, p)

	s.mu.Lock()
	defer s.mu.Unlock()
	if got.accepted() {
		seen.Errors, seen.Error = s.submitted(userID, viewID, got.body)
	}
	s.look(&seen, userID, since, got)
	return seen, nil
}

func sortedNames(values map[string]string) []string {
	names := make([]string, 0, len(values))
	for n := range values {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (s *Server) fillAll(userID string, v *View, values map[string]string) error {
	if v.Type != "modal" || v.Submit == "" && len(values) > 0 {
		return fmt.Errorf("view %s has nothing to submit: %w", v.ID, ErrNotThere)
	}
	if stack := s.stacks[userID]; stack[len(stack)-1] != v.ID {
		return fmt.Errorf("view %s is not in front: %w", v.ID, ErrNotThere)
	}
	for _, name := range sortedNames(values) {
		on, err := findInput(v.Tree, name)
		if err != nil {
			return err
		}
		if _, err := s.fill(userID, Ref{View: v.ID}, on, values[name]); err != nil {
			return err
		}
	}
	return nil
}

// missing is what Slack itself objects to before it sends a submission.
func (s *Server) missing(v *View) map[string]string {
	problems := map[string]string{}
	state := s.state(v.Tree, surfaceKey(v.User, Ref{View: v.ID}))
	for _, at := range spots(v.Tree) {
		if at.block.Type != "input" {
			continue
		}
		block, _ := state[at.block.BlockID].(map[string]any)
		one, _ := block[at.el.ActionID].(map[string]any)
		text, _ := one["value"].(string)
		n := utf8.RuneCountInString(text)
		switch {
		case !at.block.Optional && blank(one):
			problems[at.block.BlockID] = "Please complete this required field."
		case at.el.MaxLength > 0 && n > at.el.MaxLength, n > 3000:
			problems[at.block.BlockID] = "Please shorten this text."
		case text != "" && n < at.el.MinLength:
			problems[at.block.BlockID] = "Please lengthen this text."
		case at.el.Type == "number_input" && text != "":
			if _, err := strconv.ParseFloat(text, 64); err != nil {
				problems[at.block.BlockID] = "Please enter a number."
			}
		}
	}
	return problems
}

// blank says whether the state of an element holds no value.
func blank(state map[string]any) bool {
	for k, v := range state {
		if k == "type" || v == nil {
			continue
		}
		switch v := v.(type) {
		case []Option:
			return len(v) == 0
		case []string:
			return len(v) == 0
		case []any:
			return len(v) == 0
		}
		return false
	}
	return true
}

// submitted does what the app's answer to a submission says.
func (s *Server) submitted(userID, viewID string, body []byte) (map[string]string, string) {
	v := s.views[viewID]
	if v == nil {
		return nil, "" // the app or the person closed it meanwhile
	}
	var say struct {
		Action string            `json:"response_action"`
		Errors map[string]string `json:"errors"`
		View   json.RawMessage   `json:"view"`
	}
	if len(strings.TrimSpace(string(body))) > 0 && json.Unmarshal(body, &say) != nil {
		return nil, "invalid_view_response"
	}
	switch say.Action {
	case "":
		s.drop(viewID)
	case "clear":
		s.closeAll(userID)
	case "errors":
		return s.viewErrors(v, say.Errors)
	case "update", "push":
		next, refused := s.readView(string(say.View), "modal")
		if refused != nil {
			return nil, refused.detail()
		}
		if say.Action == "update" {
			s.replace(v, next)
		} else if !s.push(next, userID) {
			return nil, "push_limit_reached"
		}
	default:
		return nil, "invalid_view_response"
	}
	return nil, ""
}

// viewErrors shows errors under inputs; they must name input blocks of the view.
func (s *Server) viewErrors(v *View, errs map[string]string) (map[string]string, string) {
	for id := range errs {
		if !slices.ContainsFunc(v.Tree, func(b Block) bool { return b.BlockID == id && b.Type == "input" }) {
			return nil, "invalid_view_response: no input block " + id
		}
	}
	if len(errs) == 0 {
		return nil, "invalid_view_response: no errors"
	}
	v.Errors = errs
	s.changed()
	return errs, ""
}

// detail is the code of a refusal and its messages.
func (r reply) detail() string {
	meta, _ := r["response_metadata"].(map[string]any)
	messages, _ := meta["messages"].([]string)
	return strings.TrimSpace(r.code() + " " + strings.Join(messages, "; "))
}
