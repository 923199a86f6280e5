package slacksim_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"

	"kovra.dev/chatops/internal/slacksim"
)

const buttons = `[{"type":"section","block_id":"s","text":{"type":"mrkdwn","text":"*web* &lt;main&gt;"}},
{"type":"actions","block_id":"acts","elements":[
 {"type":"button","action_id":"retry","text":{"type":"plain_text","text":"Retry"},"value":"7"},
 {"type":"button","action_id":"log","text":{"type":"plain_text","text":"Log"},"url":"https://logs.example/7"},
 {"type":"button","action_id":"cancel","style":"danger","text":{"type":"plain_text","text":"Cancel"},"value":"7",
  "confirm":{"title":{"type":"plain_text","text":"Cancel 7?"},"text":{"type":"plain_text","text":"Stops it."},
  "confirm":{"type":"plain_text","text":"Yes"},"deny":{"type":"plain_text","text":"No"}}},
 {"type":"overflow","action_id":"more","options":[{"text":{"type":"plain_text","text":"Jobs"},"value":"jobs"}]}]}]`

// says makes the app answer with a body of this type.
func says(contentType, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, body)
	}
}

// respond posts to a response_url and gives status and body.
func (w *world) respond(t *testing.T, to, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := w.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(text)
}

func TestRequestsAreSigned(t *testing.T) {
	w := newWorld(t)
	w.clock.add(time.Since(epoch)) // the verifier has a clock of its own
	m := w.post(t, "C1", buttons)
	acts := map[string]func() error{
		"slash":       func() error { _, err := w.Slash(t.Context(), "U1", "C1", "/pipeline list"); return err },
		"interaction": func() error { _, err := w.Click(t.Context(), "U1", m.Ref(), "Retry"); return err },
		"event":       func() error { return w.Mention(t.Context(), "U1", "C1", "", "hi") },
	}
	for name, act := range acts {
		if err := act(); err != nil {
			t.Fatal(err)
		}
		r, body := w.app.last(t)
		check := func(secret string) error {
			v, err := slack.NewSecretsVerifier(r.Header, secret)
			if err != nil {
				return err
			}
			_, _ = v.Write([]byte(body))
			return v.Ensure()
		}
		if err := check("sim-secret"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if check("other") == nil {
			t.Errorf("%s: any secret is accepted", name)
		}
	}
}

func TestSlashCommandFields(t *testing.T) {
	w := newWorldWith(t, slacksim.Options{EnterpriseID: "E1", EnterpriseName: "Big"})
	if _, err := w.Slash(t.Context(), "U1", "C2", "/pipeline  run web main ENV=a b"); err != nil {
		t.Fatal(err)
	}
	r, body := w.app.last(t)
	if r.URL.Path != "/slack/commands" {
		t.Errorf("path %s", r.URL.Path)
	}
	again := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
	again.Header = r.Header
	got, err := slack.SlashCommandParse(again)
	if err != nil {
		t.Fatal(err)
	}
	if got.ResponseURL == "" || got.TriggerID == "" {
		t.Errorf("no response_url or trigger_id: %+v", got)
	}
	got.ResponseURL, got.TriggerID = "", ""
	want := slack.SlashCommand{
		Token: slacksim.VerificationToken, TeamID: slacksim.TeamID, TeamDomain: slacksim.TeamDomain, EnterpriseID: "E1", EnterpriseName: "Big",
		ChannelID: "C2", ChannelName: "privategroup", UserID: "U1", UserName: "alice", Command: "/pipeline", Text: "run web main ENV=a b", APIAppID: slacksim.AppID,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSlashAnswers(t *testing.T) {
	long := strings.Repeat("x", 3001)
	tests := []struct {
		name, contentType, body, private, channel, problem string
	}{
		{name: "nothing"},
		{name: "text", contentType: "text/plain; charset=utf-8", body: "on its way", private: "on its way"},
		{name: "json", contentType: "application/json", body: `{"text":"*hi*"}`, private: "hi"},
		{name: "in channel", contentType: "application/json", body: `{"response_type":"in_channel","text":"all"}`, channel: "all"},
		{name: "no json", contentType: "application/json", body: `{`, problem: "invalid_command_response"},
		{name: "bad blocks", contentType: "application/json", body: `{"blocks":[{"type":"section","text":{"type":"mrkdwn","text":"` + long + `"}}]}`, problem: "invalid_command_response"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.app.answer = says(tt.contentType, tt.body)
			seen, err := w.Slash(t.Context(), "U1", "C1", "/pipeline")
			if err != nil {
				t.Fatal(err)
			}
			var private, public string
			for _, m := range seen.Ephemerals {
				private += slacksim.Text(m)
			}
			for _, m := range w.Messages("C1") {
				public += slacksim.Text(m)
			}
			if private != tt.private || public != tt.channel || seen.Error != tt.problem {
				t.Errorf("private %q, channel %q, error %q", private, public, seen.Error)
			}
			if len(w.Ephemerals("U2")) > 0 {
				t.Error("bob sees it")
			}
		})
	}
}

func TestDispatchFailed(t *testing.T) {
	w := newWorld(t)
	w.app.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }
	seen, err := w.Slash(t.Context(), "U1", "C1", "/pipeline")
	if err != nil || seen.Error != "dispatch_failed" || seen.Status != 500 {
		t.Errorf("got %+v, %v", seen, err)
	}
	w.app.answer = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	if seen, err = w.Slash(t.Context(), "U1", "C1", "/pipeline"); err != nil || seen.Error != "dispatch_failed" || seen.Status != 0 {
		t.Errorf("got %+v, %v", seen, err)
	}
	if seen.Text() != "dispatch_failed" {
		t.Errorf("the person reads %q", seen.Text())
	}
}

func TestOperationTimeoutAfterThreeSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		slow := 2900 * time.Millisecond
		w.app.answer = func(http.ResponseWriter, *http.Request) { time.Sleep(slow) }
		if seen, err := w.Slash(t.Context(), "U1", "C1", "/pipeline"); err != nil || seen.Timeout {
			t.Errorf("2.9 s: %+v, %v", seen, err)
		}
		slow = 3100 * time.Millisecond
		seen, err := w.Slash(t.Context(), "U1", "C1", "/pipeline")
		if err != nil || !seen.Timeout || seen.Error != "operation_timeout" {
			t.Errorf("3.1 s: %+v, %v", seen, err)
		}
		time.Sleep(time.Second) // let the handler end
	})
}

func TestPeopleCannotActWhereTheyAreNot(t *testing.T) {
	w := newWorld(t)
	secret := w.post(t, "C2", buttons)
	_, err1 := w.Slash(t.Context(), "U404", "C1", "/x")
	_, err2 := w.Slash(t.Context(), "U2", "C2", "/x")
	_, err3 := w.Click(t.Context(), "U2", secret.Ref(), "Retry")
	_, err4 := w.Click(t.Context(), "U1", slacksim.Ref{Channel: "C1", TS: "1.0"}, "Retry")
	_, err5 := w.Click(t.Context(), "U1", slacksim.Ref{View: "V404"}, "Retry")
	err6 := w.Mention(t.Context(), "U1", "C3", "", "hi")
	for i, err := range []error{err1, err2, err3, err4, err5, err6} {
		if !errors.Is(err, slacksim.ErrNotThere) {
			t.Errorf("%d: got %v", i+1, err)
		}
	}
	if _, err := w.Slash(t.Context(), "U1", "C1", "hello"); err == nil {
		t.Error("a line without a slash was sent")
	}
	if w.app.count() != 0 {
		t.Errorf("the app got %d requests", w.app.count())
	}
}

func TestBlockActionsOfAMessage(t *testing.T) {
	w := newWorld(t)
	m := w.post(t, "C1", buttons)
	if _, err := w.Click(t.Context(), "U1", m.Ref(), "Retry"); err != nil {
		t.Fatal(err)
	}
	cb := w.app.interaction(t)
	a := cb.ActionCallback.BlockActions[0]
	if a.ActionID != "retry" || a.BlockID != "acts" || a.Value != "7" || a.Text.Text != "Retry" || a.ActionTs == "" || a.Type != "button" {
		t.Errorf("action: %+v", a)
	}
	if cb.Type != slack.InteractionTypeBlockActions || cb.Message.Timestamp != m.TS || cb.Channel.ID != "C1" || cb.Channel.Name != "deploys" {
		t.Errorf("callback: %+v", cb)
	}
	if cb.ResponseURL == "" || cb.TriggerID == "" || cb.User.ID != "U1" || cb.Team.ID != slacksim.TeamID || cb.APIAppID != slacksim.AppID {
		t.Errorf("callback: %+v", cb)
	}
	if cb.Container.MessageTs != m.TS || cb.Container.IsEphemeral || len(cb.Message.Blocks.BlockSet) != 2 {
		t.Errorf("container: %+v", cb.Container)
	}
}

func TestURLButtonsSendAClickToo(t *testing.T) {
	w := newWorld(t)
	m := w.post(t, "C1", buttons)
	seen, err := w.Click(t.Context(), "U1", m.Ref(), "Log")
	if err != nil || seen.URL != "https://logs.example/7" || seen.Status != 200 {
		t.Errorf("got %+v, %v", seen, err)
	}
	if a := w.app.interaction(t).ActionCallback.BlockActions[0]; a.ActionID != "log" {
		t.Errorf("got %+v", a)
	}
}

func TestOverflowAndConfirm(t *testing.T) {
	w := newWorld(t)
	m := w.post(t, "C1", buttons)
	if _, err := w.Click(t.Context(), "U1", m.Ref(), "Jobs"); err != nil {
		t.Fatal(err)
	}
	if a := w.app.interaction(t).ActionCallback.BlockActions[0]; a.ActionID != "more" || a.SelectedOption.Value != "jobs" {
		t.Errorf("got %+v", a)
	}
	seen, err := w.Click(t.Context(), "U1", m.Ref(), "Cancel")
	if err != nil || seen.Confirm == nil || seen.Confirm.Title.Text != "Cancel 7?" {
		t.Errorf("got %+v, %v", seen, err)
	}
}

func TestClickFindsButtonsAsShownNow(t *testing.T) {
	w := newWorld(t)
	m := w.post(t, "C1", buttons)
	twice := w.post(t, "C1", `[{"type":"actions","elements":[
	 {"type":"button","action_id":"a","value":"1","text":{"type":"plain_text","text":"Log"}},
	 {"type":"button","action_id":"b","value":"2","text":{"type":"plain_text","text":"Log"}}]}]`)
	if _, err := w.Click(t.Context(), "U1", twice.Ref(), "Log"); !errors.Is(err, slacksim.ErrNoSuchButton) {
		t.Errorf("two of a name: %v", err)
	}
	for name, want := range map[string]string{"Log#2": "b", "b": "b", "1": "a"} {
		if _, err := w.Click(t.Context(), "U1", twice.Ref(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if a := w.app.interaction(t).ActionCallback.BlockActions[0]; a.ActionID != want {
			t.Errorf("%s pressed %s, want %s", name, a.ActionID, want)
		}
	}
	w.call(t, "chat.update", url.Values{"channel": {"C1"}, "ts": {m.TS}, "text": {"done"}, "blocks": {`[{"type":"divider"}]`}})
	if _, err := w.Click(t.Context(), "U1", m.Ref(), "Retry"); !errors.Is(err, slacksim.ErrNoSuchButton) {
		t.Errorf("a button that is gone: %v", err)
	}
	if _, err := w.ClickStale(t.Context(), "U1", m, "Retry"); err != nil {
		t.Fatal(err)
	}
	if a := w.app.interaction(t).ActionCallback.BlockActions[0]; a.ActionID != "retry" || a.Value != "7" {
		t.Errorf("stale click: %+v", a)
	}
}

func TestEphemeralsHaveNoMessageButStayClickable(t *testing.T) {
	w := newWorld(t)
	w.app.answer = says("application/json", `{"text":"choose","blocks":`+buttons+`}`)
	seen, err := w.Slash(t.Context(), "U1", "C1", "/pipeline")
	if err != nil || seen.Answer == nil {
		t.Fatalf("got %+v, %v", seen, err)
	}
	w.app.answer = nil
	if _, err := w.Click(t.Context(), "U2", seen.Answer.Ref(), "Retry"); !errors.Is(err, slacksim.ErrNotThere) {
		t.Errorf("bob clicked alice's message: %v", err)
	}
	clicked, err := w.Click(t.Context(), "U1", seen.Answer.Ref(), "Retry")
	if err != nil {
		t.Fatal(err)
	}
	cb := w.app.interaction(t)
	if !cb.Container.IsEphemeral || cb.Message.Timestamp != "" || cb.Container.MessageTs != seen.Answer.TS {
		t.Errorf("container %+v, message %+v", cb.Container, cb.Message)
	}
	if code, _ := w.respond(t, clicked.ResponseURL, `{"replace_original":true,"text":"chosen"}`); code != 200 {
		t.Errorf("replace: %d", code)
	}
	if got := w.Ephemerals("U1"); len(got) != 1 || slacksim.Text(got[0]) != "chosen" {
		t.Errorf("after replace_original: %+v", got)
	}
	if code, _ := w.respond(t, clicked.ResponseURL, `{"delete_original":true}`); code != 200 || len(w.Ephemerals("U1")) != 0 {
		t.Errorf("delete: %d, %+v", code, w.Ephemerals("U1"))
	}
}

func TestResponseURL(t *testing.T) {
	w := newWorld(t)
	m := w.post(t, "C1", buttons)
	seen, err := w.Click(t.Context(), "U1", m.Ref(), "Retry")
	if err != nil {
		t.Fatal(err)
	}
	bodies := []string{
		`{"text":"private"}`,
		`{"text":"public","response_type":"in_channel"}`,
		`{"text":"in thread","response_type":"in_channel","thread_ts":"` + m.TS + `"}`,
		`{"text":"replaced","replace_original":true}`,
		`{"text":"last"}`,
	}
	for _, b := range bodies {
		if code, text := w.respond(t, seen.ResponseURL, b); code != 200 {
			t.Errorf("%s: %d %s", b, code, text)
		}
	}
	if code, text := w.respond(t, seen.ResponseURL, bodies[0]); code != 404 || !strings.Contains(text, "used_url") {
		t.Errorf("sixth use: %d %s", code, text)
	}
	if got, want := w.Thread("C1", m.TS), "replaced\n  ↳ in thread"; got != want {
		t.Errorf("thread %q, want %q", got, want)
	}
	if got := w.Messages("C1"); len(got) != 2 || got[1].Text != "public" {
		t.Errorf("channel: %+v", got)
	}
	if got := w.Ephemerals("U1"); len(got) != 2 || got[1].Text != "last" {
		t.Errorf("private: %+v", got)
	}
	late, _ := w.Click(t.Context(), "U1", w.post(t, "C1", buttons).Ref(), "Retry")
	w.clock.add(30*time.Minute + time.Second)
	if code, text := w.respond(t, late.ResponseURL, bodies[0]); code != 404 || !strings.Contains(text, "expired_url") {
		t.Errorf("after 30 minutes: %d %s", code, text)
	}
	if n := w.CallCount("response_url"); n != 7 {
		t.Errorf("%d calls recorded, want 7", n)
	}
}

func TestResponseURLRefusals(t *testing.T) {
	w := newWorld(t)
	for body, code := range map[string]string{
		`{`:                             "invalid_payload",
		`{}`:                            "no_text",
		`{"blocks":[{"type":"nope"}]}`:  "invalid_blocks",
		`{"blocks":{"type":"divider"}}`: "invalid_blocks_format",
	} {
		seen, _ := w.Slash(t.Context(), "U1", "C1", "/x")
		if status, text := w.respond(t, seen.ResponseURL, body); status != 400 || !strings.Contains(text, code) {
			t.Errorf("%s: %d %s, want %s", body, status, text, code)
		}
	}
}

func TestEvents(t *testing.T) {
	w := newWorld(t)
	parent := w.post(t, "C1", buttons)
	if err := w.Mention(t.Context(), "U1", "C1", parent.TS, "status?"); err != nil {
		t.Fatal(err)
	}
	_, body := w.app.last(t)
	e, err := slackevents.ParseEvent([]byte(body), slackevents.OptionNoVerifyToken())
	if err != nil {
		t.Fatal(err)
	}
	got, is := e.InnerEvent.Data.(*slackevents.AppMentionEvent)
	if !is || got.User != "U1" || got.Text != "<@U0BOT> status?" || got.ThreadTimeStamp != parent.TS || got.Channel != "C1" {
		t.Errorf("got %+v", e.InnerEvent.Data)
	}
	if got, want := w.Thread("C1", parent.TS), "@alice: @kovra status?"; !strings.Contains(got, want) {
		t.Errorf("thread:\n%s", got)
	}
	if err := w.EventAgain(t.Context(), 1, "http_timeout"); err != nil {
		t.Fatal(err)
	}
	r, again := w.app.last(t)
	if again != body || r.Header.Get("X-Slack-Retry-Num") != "1" || r.Header.Get("X-Slack-Retry-Reason") != "http_timeout" {
		t.Errorf("retry: %v", r.Header)
	}
	w.app.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	if err := w.Mention(t.Context(), "U1", "C1", "", "x"); err == nil {
		t.Error("a refused event is no error")
	}
}

func TestURLVerification(t *testing.T) {
	w := newWorld(t)
	if err := w.VerifyURL(t.Context()); err == nil {
		t.Error("an app that says nothing passed")
	}
	w.app.answer = func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = rw.Write(body)
	}
	if err := w.VerifyURL(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestShortcuts(t *testing.T) {
	w := newWorld(t)
	m := w.post(t, "C1", buttons)
	if _, err := w.MessageShortcut(t.Context(), "U1", m.Ref(), "explain"); err != nil {
		t.Fatal(err)
	}
	if cb := w.app.interaction(t); cb.Type != slack.InteractionTypeMessageAction || cb.CallbackID != "explain" || cb.Message.Timestamp != m.TS {
		t.Errorf("got %+v", cb)
	}
	if _, err := w.GlobalShortcut(t.Context(), "U1", "run"); err != nil {
		t.Fatal(err)
	}
	if cb := w.app.interaction(t); cb.Type != slack.InteractionTypeShortcut || cb.CallbackID != "run" || cb.ResponseURL != "" || cb.TriggerID == "" {
		t.Errorf("got %+v", cb)
	}
}

func TestSubscribeAndWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		done := make(chan error, 1)
		go func() {
			done <- w.WaitFor(t.Context(), func() bool { return len(w.Messages("C1")) == 2 })
		}()
		for i := range 2 {
			synctest.Wait()
			if _, err := w.Say("U1", "C1", "", fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestSnapshot(t *testing.T) {
	w := newWorld(t)
	m := w.post(t, "C1", buttons)
	w.post(t, "C2", buttons)
	w.call(t, "chat.postMessage", url.Values{"channel": {"C1"}, "text": {"r"}, "thread_ts": {m.TS}})
	w.call(t, "chat.postEphemeral", url.Values{"channel": {"C1"}, "user": {"U2"}, "text": {"psst"}})
	w.call(t, "views.publish", url.Values{"user_id": {"U2"}, "view": {`{"type":"home","blocks":[{"type":"divider"}]}`}})
	got := w.Snapshot("U2")
	var names []string
	for _, c := range got.Channels {
		names = append(names, c.Name)
	}
	if diff := cmp.Diff([]string{"deploys", "other"}, names); diff != "" {
		t.Errorf("channels that bob sees (-want +got):\n%s", diff)
	}
	if p := got.Channels[0].Messages; len(p) != 1 || len(p[0].Thread) != 1 || p[0].Plain == "" {
		t.Errorf("messages: %+v", p)
	}
	if len(got.Ephemerals) != 1 || got.Home == nil || got.Me.Name != "bob" || len(got.Users) != 3 {
		t.Errorf("got %+v", got)
	}
}
