package slacksim_test

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/slacksim"
)

const form = `{"type":"modal","callback_id":"run","private_metadata":"m1","notify_on_close":true,
"title":{"type":"plain_text","text":"Run pipeline"},"submit":{"type":"plain_text","text":"Run"},"close":{"type":"plain_text","text":"Close"},
"blocks":[
 {"type":"input","block_id":"ref","label":{"type":"plain_text","text":"Ref"},
  "element":{"type":"external_select","action_id":"ref","min_query_length":0,"placeholder":{"type":"plain_text","text":"Branch or tag"}}},
 {"type":"input","block_id":"vars","optional":true,"label":{"type":"plain_text","text":"Variables"},
  "element":{"type":"plain_text_input","action_id":"vars","multiline":true,"max_length":20}},
 {"type":"section","block_id":"env","text":{"type":"mrkdwn","text":"Environment"},
  "accessory":{"type":"static_select","action_id":"env","options":[{"text":{"type":"plain_text","text":"Staging"},"value":"s"},{"text":{"type":"plain_text","text":"Production"},"value":"p"}]}},
 {"type":"actions","block_id":"acts","elements":[{"type":"button","action_id":"more","text":{"type":"plain_text","text":"More"}}]}]}`

const offer = `{"options":[{"text":{"type":"plain_text","text":"main"},"value":"branch:main"},{"text":{"type":"plain_text","text":"v1"},"value":"tag:v1"}]}`

// open opens the form for alice by a click.
func (w *world) open(t *testing.T, view string) slacksim.View {
	t.Helper()
	seen, err := w.Click(t.Context(), "U1", w.post(t, "C1", buttons).Ref(), "Retry")
	if err != nil {
		t.Fatal(err)
	}
	if got := w.call(t, "views.open", url.Values{"trigger_id": {seen.TriggerID}, "view": {view}}); got["ok"] != true {
		t.Fatalf("open: %v", got)
	}
	v, is := w.View("U1")
	if !is {
		t.Fatal("no view is open")
	}
	return v
}

// answers answers type-ahead queries with offer and submissions with body.
func (w *world) answers(body string) {
	w.app.answer = func(rw http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		if strings.Contains(string(raw), "block_suggestion") {
			body := offer
			rw.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(rw, body)
			return
		}
		_, _ = io.WriteString(rw, body)
	}
}

func TestTriggerIDs(t *testing.T) {
	w := newWorld(t)
	click := func() string {
		seen, err := w.Click(t.Context(), "U1", w.post(t, "C1", buttons).Ref(), "Retry")
		if err != nil {
			t.Fatal(err)
		}
		return seen.TriggerID
	}
	open := func(id string) map[string]any {
		return w.call(t, "views.open", url.Values{"trigger_id": {id}, "view": {form}})
	}
	id := click()
	if got := open(id); got["ok"] != true {
		t.Fatalf("open: %v", got)
	}
	refused(t, open(id), "exchanged_trigger_id")
	id = click()
	w.clock.add(3 * time.Second)
	refused(t, open(id), "expired_trigger_id")
	refused(t, open("nonsense"), "invalid_trigger_id")
	refused(t, open(""), "invalid_arguments")
}

func TestViewLimits(t *testing.T) {
	w := newWorld(t)
	var base map[string]any
	if err := json.Unmarshal([]byte(form), &base); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, key string
		good, bad any
	}{
		{"title 24", "title", plain(24), plain(25)},
		{"title is plain", "title", plain(1), mrkdwn(1)},
		{"submit 24", "submit", plain(24), plain(25)},
		{"submit is needed with inputs", "submit", plain(1), nil},
		{"close 24", "close", plain(24), plain(25)},
		{"private_metadata 3000", "private_metadata", strings.Repeat("x", 3000), strings.Repeat("x", 3001)},
		{"callback_id 255", "callback_id", strings.Repeat("x", 255), strings.Repeat("x", 256)},
		{"100 blocks", "blocks", many(100, func(int) any { return obj{"type": "divider"} }), many(101, func(int) any { return obj{"type": "divider"} })},
		{"blocks are checked", "blocks", []any{section(nil)}, []any{section(obj{"text": mrkdwn(3001)})}},
		{"type", "type", "modal", "dialog"},
		{"unknown key", "title", plain(1), obj{"type": "plain_text", "text": "x", "colour": "red"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			send := func(v any) map[string]any {
				seen, err := w.Click(t.Context(), "U1", w.post(t, "C1", buttons).Ref(), "Retry")
				if err != nil {
					t.Fatal(err)
				}
				raw, _ := json.Marshal(with(base, tt.key, v))
				return w.call(t, "views.open", url.Values{"trigger_id": {seen.TriggerID}, "view": {string(raw)}})
			}
			if got := send(tt.good); got["ok"] != true {
				t.Errorf("refused: %v", got)
			}
			refused(t, send(tt.bad), "invalid_arguments")
		})
	}
	refused(t, w.call(t, "views.open", url.Values{"view": {`{"x":"` + strings.Repeat("x", 250000) + `"}`}}), "view_too_large")
}

func TestViewOpenDecodes(t *testing.T) {
	w := newWorld(t)
	seen, _ := w.Slash(t.Context(), "U1", "C1", "/x")
	var req slack.ModalViewRequest
	if err := json.Unmarshal([]byte(form), &req); err != nil {
		t.Fatal(err)
	}
	got, err := w.api.OpenViewContext(t.Context(), seen.TriggerID, req)
	if err != nil || got.ID == "" || got.Hash == "" || got.RootViewID != got.ID || got.CallbackID != "run" {
		t.Fatalf("got %+v, %v", got, err)
	}
	v, _ := w.View("U1")
	want := "== Run pipeline ==\nRef: [▾ Branch or tag…]\nVariables (optional): [_]\nEnvironment  [▾]\n[More]\n(Close) (Run)"
	if got := slacksim.ViewText(v); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestTypeAhead(t *testing.T) {
	w := newWorld(t)
	v := w.open(t, form)
	w.answers("")
	got, err := w.Options(t.Context(), "U1", v.Ref(), "ref", "ma")
	if err != nil || len(got) != 2 || got[0].Value != "branch:main" {
		t.Fatalf("got %+v, %v", got, err)
	}
	cb := w.app.interaction(t)
	if cb.Type != slack.InteractionTypeBlockSuggestion || cb.Value != "ma" || cb.ActionID != "ref" || cb.BlockID != "ref" || cb.View.PrivateMetadata != "m1" {
		t.Errorf("callback: %+v", cb)
	}
	if _, err := w.Choose(t.Context(), "U1", v.Ref(), "ref", "nothing"); !errors.Is(err, slacksim.ErrNoSuchButton) {
		t.Errorf("an option that was not offered: %v", err)
	}
	for name, body := range map[string]string{
		"101 options": `{"options":[` + strings.TrimSuffix(strings.Repeat(`{"text":{"type":"plain_text","text":"x"},"value":"v"},`, 101), ",") + `]}`,
		"no options":  `{}`,
		"no json":     `<html>`,
		"long text":   `{"options":[{"text":{"type":"plain_text","text":"` + strings.Repeat("x", 76) + `"},"value":"v"}]}`,
	} {
		w.app.answer = says("application/json", body)
		if _, err := w.Options(t.Context(), "U1", v.Ref(), "ref", "ma"); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	w.app.answer = says("application/json", `{"option_groups":[{"label":{"type":"plain_text","text":"Tags"},"options":[{"text":{"type":"plain_text","text":"v1"},"value":"t"}]}]}`)
	if got, err := w.Options(t.Context(), "U1", v.Ref(), "ref", "ma"); err != nil || len(got) != 1 || got[0].Group != "Tags" {
		t.Errorf("groups: %+v, %v", got, err)
	}
}

func TestMinQueryLength(t *testing.T) {
	w := newWorld(t)
	v := w.open(t, strings.Replace(form, `"min_query_length":0,`, "", 1))
	w.answers("")
	before := w.app.count()
	if got, err := w.Options(t.Context(), "U1", v.Ref(), "ref", "ma"); err != nil || got != nil || w.app.count() != before {
		t.Errorf("two characters were sent: %v, %v", got, err)
	}
	if got, err := w.Options(t.Context(), "U1", v.Ref(), "ref", "mai"); err != nil || len(got) != 2 {
		t.Errorf("three characters: %v, %v", got, err)
	}
}

func TestSubmit(t *testing.T) {
	values := map[string]string{"ref": "branch:main", "vars": "A=1", "env": "Production"}
	next := `{"type":"modal","title":{"type":"plain_text","text":"Next"},"blocks":[{"type":"divider"}]}`
	tests := []struct {
		name, answer, top, problem string
		depth                      int
	}{
		{"closed", "", "", "", 0},
		{"errors", `{"response_action":"errors","errors":{"ref":"gone"}}`, "Run pipeline", "", 1},
		{"errors of no input", `{"response_action":"errors","errors":{"acts":"gone"}}`, "Run pipeline", "invalid_view_response", 1},
		{"update", `{"response_action":"update","view":` + next + `}`, "Next", "", 1},
		{"push", `{"response_action":"push","view":` + next + `}`, "Next", "", 2},
		{"clear", `{"response_action":"clear"}`, "", "", 0},
		{"bad view", `{"response_action":"update","view":{"type":"modal","blocks":[]}}`, "Run pipeline", "invalid_arguments", 1},
		{"unknown action", `{"response_action":"dance"}`, "Run pipeline", "invalid_view_response", 1},
		{"no json", `ok`, "Run pipeline", "invalid_view_response", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			v := w.open(t, form)
			w.answers(tt.answer)
			seen, err := w.Submit(t.Context(), "U1", v.ID, values)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(seen.Error, tt.problem) || tt.problem == "" && seen.Error != "" {
				t.Errorf("error %q, want %q", seen.Error, tt.problem)
			}
			open := w.Views("U1")
			if len(open) != tt.depth {
				t.Fatalf("%d views are open, want %d", len(open), tt.depth)
			}
			if tt.depth > 0 && open[tt.depth-1].Title != tt.top {
				t.Errorf("in front %q, want %q", open[tt.depth-1].Title, tt.top)
			}
			if tt.name == "errors" && (seen.Errors["ref"] != "gone" || !strings.Contains(slacksim.ViewText(open[0]), "! gone")) {
				t.Errorf("errors: %v\n%s", seen.Errors, slacksim.ViewText(open[0]))
			}
		})
	}
}

func TestViewSubmissionPayload(t *testing.T) {
	w := newWorld(t)
	v := w.open(t, form)
	w.answers("")
	if _, err := w.Submit(t.Context(), "U1", v.ID, map[string]string{"ref": "v1", "vars": "A=1", "env": "p"}); err != nil {
		t.Fatal(err)
	}
	cb := w.app.interaction(t)
	s := cb.View.State.Values
	if s["ref"]["ref"].SelectedOption.Value != "tag:v1" || s["vars"]["vars"].Value != "A=1" || s["env"]["env"].SelectedOption.Text.Text != "Production" {
		t.Errorf("state: %+v", s)
	}
	if cb.Type != slack.InteractionTypeViewSubmission || cb.View.ID != v.ID || cb.View.PrivateMetadata != "m1" || cb.View.CallbackID != "run" || cb.View.Hash != v.Hash {
		t.Errorf("view: %+v", cb.View)
	}
	if cb.ResponseURL != "" || len(cb.ResponseURLs) != 0 || cb.TriggerID == "" || cb.View.RootViewID != v.ID {
		t.Errorf("callback: %+v", cb)
	}
}

func TestSlackChecksInputsFirst(t *testing.T) {
	w := newWorld(t)
	v := w.open(t, form)
	w.answers("")
	before := w.app.count()
	seen, err := w.Submit(t.Context(), "U1", v.ID, map[string]string{"vars": strings.Repeat("x", 21)})
	if err != nil || len(seen.Errors) != 2 || seen.Errors["ref"] == "" || seen.Errors["vars"] == "" {
		t.Errorf("got %+v, %v", seen, err)
	}
	if w.app.count() != before {
		t.Error("the submission was sent")
	}
}

func TestBlockActionsOfAView(t *testing.T) {
	w := newWorld(t)
	v := w.open(t, form)
	if _, err := w.Choose(t.Context(), "U1", v.Ref(), "env", "s"); err != nil {
		t.Fatal(err)
	}
	if a := w.app.interaction(t).ActionCallback.BlockActions[0]; a.SelectedOption.Value != "s" {
		t.Errorf("choice: %+v", a)
	}
	if _, err := w.Click(t.Context(), "U1", v.Ref(), "More"); err != nil {
		t.Fatal(err)
	}
	cb := w.app.interaction(t)
	if cb.ResponseURL != "" || cb.Container.Type != "view" || cb.Container.ViewID != v.ID || cb.View.State.Values["env"]["env"].SelectedOption.Value != "s" {
		t.Errorf("callback: %+v", cb)
	}
	if _, err := w.Click(t.Context(), "U2", v.Ref(), "More"); !errors.Is(err, slacksim.ErrNotThere) {
		t.Errorf("bob clicked in alice's view: %v", err)
	}
	before := w.app.count()
	if _, err := w.Choose(t.Context(), "U1", v.Ref(), "vars", "A=1"); err != nil || w.app.count() != before {
		t.Errorf("typing into an input block was sent at once: %v", err)
	}
}

func TestViewsUpdatePushAndStack(t *testing.T) {
	w := newWorld(t)
	v := w.open(t, form)
	update := func(more url.Values) map[string]any {
		f := url.Values{"view_id": {v.ID}, "view": {strings.Replace(form, "Run pipeline", "Changed", 1)}}
		maps.Copy(f, more)
		return w.call(t, "views.update", f)
	}
	if _, err := w.Choose(t.Context(), "U1", v.Ref(), "vars", "A=1"); err != nil {
		t.Fatal(err)
	}
	if got := update(url.Values{"hash": {v.Hash}}); got["ok"] != true {
		t.Fatalf("update: %v", got)
	}
	refused(t, update(url.Values{"hash": {v.Hash}}), "hash_conflict")
	refused(t, update(url.Values{"view_id": {"V404"}}), "not_found")
	now, _ := w.View("U1")
	if now.Title != "Changed" || !strings.Contains(slacksim.ViewText(now), "[_ A=1]") {
		t.Errorf("what was typed is lost:\n%s", slacksim.ViewText(now))
	}
	push := func() map[string]any {
		top, _ := w.View("U1")
		seen, err := w.Click(t.Context(), "U1", top.Ref(), "More")
		if err != nil {
			t.Fatal(err)
		}
		return w.call(t, "views.push", url.Values{"trigger_id": {seen.TriggerID}, "view": {form}})
	}
	for range 2 {
		if got := push(); got["ok"] != true {
			t.Fatalf("push: %v", got)
		}
	}
	refused(t, push(), "push_limit_reached")
	stack := w.Views("U1")
	if len(stack) != 3 || stack[2].PreviousID != stack[1].ID || stack[2].RootID != stack[0].ID {
		t.Errorf("stack: %+v", stack)
	}
	if _, err := w.CloseView(t.Context(), "U1", stack[2].ID); err != nil {
		t.Fatal(err)
	}
	if cb := w.app.interaction(t); cb.Type != slack.InteractionTypeViewClosed || cb.IsCleared || cb.View.ID != stack[2].ID {
		t.Errorf("closed: %+v", cb)
	}
	if _, err := w.CloseAllViews(t.Context(), "U1", stack[1].ID); err != nil {
		t.Fatal(err)
	}
	if cb := w.app.interaction(t); !cb.IsCleared || len(w.Views("U1")) != 0 {
		t.Errorf("cleared: %+v", cb)
	}
	refused(t, w.call(t, "views.push", url.Values{"trigger_id": {""}, "view": {form}}), "invalid_arguments")
}

func TestHome(t *testing.T) {
	w := newWorld(t)
	if err := w.OpenHome(t.Context(), "U1"); err != nil {
		t.Fatal(err)
	}
	home := `{"type":"home","private_metadata":"h","blocks":` + buttons + `}`
	publish := func(hash string) map[string]any {
		return w.call(t, "views.publish", url.Values{"user_id": {"U1"}, "view": {home}, "hash": {hash}})
	}
	if got := publish(""); got["ok"] != true {
		t.Fatalf("publish: %v", got)
	}
	v, _ := w.HomeView("U1")
	if got := publish(v.Hash); got["ok"] != true {
		t.Errorf("publish with the hash: %v", got)
	}
	refused(t, publish(v.Hash), "hash_conflict")
	seen, err := w.Click(t.Context(), "U1", v.Ref(), "Retry")
	if err != nil || seen.ResponseURL != "" {
		t.Errorf("got %+v, %v", seen, err)
	}
	if cb := w.app.interaction(t); cb.ResponseURL != "" || cb.View.Type != slack.VTHomeTab || cb.TriggerID == "" {
		t.Errorf("callback: %+v", cb)
	}
	if _, err := w.CloseView(t.Context(), "U1", v.ID); err == nil {
		t.Error("Home was closed")
	}
	refused(t, w.call(t, "views.publish", url.Values{"user_id": {"U404"}, "view": {home}}), "user_not_found")
	refused(t, w.call(t, "views.publish", url.Values{"user_id": {"U1"}, "view": {form}}), "invalid_arguments")
}

// TestInputs fills in each kind of element and lets slack-go read the state.
func TestInputs(t *testing.T) {
	two := `"options":[{"text":{"type":"plain_text","text":"A"},"value":"a"},{"text":{"type":"plain_text","text":"B"},"value":"b"}]`
	tests := []struct {
		element, value string
		got            func(a slack.BlockAction) any
		first, want    any
		shown          string
	}{
		{`"type":"plain_text_input","initial_value":"i"`, "x", func(a slack.BlockAction) any { return a.Value }, "i", "x", "[_ x]"},
		{`"type":"number_input","is_decimal_allowed":true,"initial_value":"1"`, "2.5", func(a slack.BlockAction) any { return a.Value }, "1", "2.5", "[_ 2.5]"},
		{`"type":"static_select","initial_option":{"text":{"type":"plain_text","text":"B"},"value":"b"},` + two, "a", func(a slack.BlockAction) any { return a.SelectedOption.Value }, "b", "a", "[▾ A]"},
		{`"type":"radio_buttons",` + two, "B", func(a slack.BlockAction) any { return a.SelectedOption.Value }, "", "b", "( ) A  (•) B"},
		{`"type":"checkboxes",` + two, "a\nb", func(a slack.BlockAction) any { return len(a.SelectedOptions) }, 0, 2, "[x] A  [x] B"},
		{`"type":"multi_static_select",` + two, "b", func(a slack.BlockAction) any { return len(a.SelectedOptions) }, 0, 1, "[▾ B]"},
		{`"type":"users_select","initial_user":"U2"`, "U1", func(a slack.BlockAction) any { return a.SelectedUser }, "U2", "U1", "[▾ U1]"},
		{`"type":"channels_select"`, "C1", func(a slack.BlockAction) any { return a.SelectedChannel }, "", "C1", "[▾ C1]"},
		{`"type":"conversations_select"`, "C1", func(a slack.BlockAction) any { return a.SelectedConversation }, "", "C1", "[▾ C1]"},
		{`"type":"multi_users_select","initial_users":["U2"]`, "U1\nU2", func(a slack.BlockAction) any { return len(a.SelectedUsers) }, 1, 2, "[▾ U1, U2]"},
		{`"type":"multi_channels_select"`, "C1", func(a slack.BlockAction) any { return len(a.SelectedChannels) }, 0, 1, "[▾ C1]"},
		{`"type":"multi_conversations_select"`, "C1", func(a slack.BlockAction) any { return len(a.SelectedConversations) }, 0, 1, "[▾ C1]"},
		{`"type":"datepicker","initial_date":"2027-01-01"`, "2027-01-15", func(a slack.BlockAction) any { return a.SelectedDate }, "2027-01-01", "2027-01-15", "[▾ 2027-01-15]"},
		{`"type":"timepicker"`, "08:00", func(a slack.BlockAction) any { return a.SelectedTime }, "", "08:00", "[▾ 08:00]"},
		{`"type":"datetimepicker"`, "1800000000", func(a slack.BlockAction) any { return a.SelectedDateTime }, int64(0), int64(1800000000), "[▾ 2027-01-15 8:00 AM]"},
	}
	for _, tt := range tests {
		t.Run(tt.element, func(t *testing.T) {
			w := newWorld(t)
			v := w.open(t, `{"type":"modal","title":{"type":"plain_text","text":"T"},"submit":{"type":"plain_text","text":"S"},"blocks":[
			 {"type":"input","block_id":"b","optional":true,"dispatch_action":true,"label":{"type":"plain_text","text":"L"},"element":{"action_id":"e",`+tt.element+`}},
			 {"type":"actions","elements":[{"type":"button","action_id":"x","text":{"type":"plain_text","text":"X"}}]}]}`)
			if _, err := w.Click(t.Context(), "U1", v.Ref(), "X"); err != nil {
				t.Fatal(err)
			}
			if got := tt.got(w.app.interaction(t).View.State.Values["b"]["e"]); got != tt.first {
				t.Errorf("untouched: %v, want %v", got, tt.first)
			}
			if _, err := w.Choose(t.Context(), "U1", v.Ref(), "b/e", tt.value); err != nil {
				t.Fatal(err)
			}
			cb := w.app.interaction(t)
			if got := tt.got(cb.View.State.Values["b"]["e"]); got != tt.want {
				t.Errorf("state: %v, want %v", got, tt.want)
			}
			if got := tt.got(*cb.ActionCallback.BlockActions[0]); got != tt.want {
				t.Errorf("action: %v, want %v", got, tt.want)
			}
			now, _ := w.View("U1")
			if text := slacksim.ViewText(now); !strings.Contains(text, "L (optional): "+tt.shown) {
				t.Errorf("shown:\n%s\nwant %s", text, tt.shown)
			}
			if seen, err := w.Submit(t.Context(), "U1", v.ID, nil); err != nil || len(w.Views("U1")) != 0 {
				t.Errorf("submit: %+v, %v", seen, err)
			}
		})
	}
}

func TestPeopleCannotFillInWhatIsNotThere(t *testing.T) {
	w := newWorld(t)
	w.answers("")
	v := w.open(t, form)
	for name, value := range map[string]string{"nope": "x", "more": "x", "env": "Moon"} {
		if _, err := w.Submit(t.Context(), "U1", v.ID, map[string]string{"ref": "v1", name: value}); !errors.Is(err, slacksim.ErrNoSuchButton) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
	if _, err := w.Submit(t.Context(), "U2", v.ID, nil); !errors.Is(err, slacksim.ErrNotThere) {
		t.Errorf("bob submits alice's view: %v", err)
	}
	w.app.answer = func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadGateway) }
	seen, err := w.Submit(t.Context(), "U1", v.ID, map[string]string{"env": "s"})
	if err != nil || seen.Errors["ref"] == "" {
		t.Errorf("got %+v, %v", seen, err)
	}
}

func TestFailedSubmissionKeepsTheView(t *testing.T) {
	w := newWorld(t)
	w.answers("")
	v := w.open(t, form)
	if _, err := w.Choose(t.Context(), "U1", v.Ref(), "ref", "main"); err != nil {
		t.Fatal(err)
	}
	w.app.answer = func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadGateway) }
	seen, err := w.Submit(t.Context(), "U1", v.ID, nil)
	if err != nil || seen.Error != "dispatch_failed" || seen.View == nil {
		t.Errorf("got %+v, %v", seen, err)
	}
}
