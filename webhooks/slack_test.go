package webhooks

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// fakeSlack records what reached it.
type fakeSlack struct {
	forms    []url.Values
	payloads []string
	events   []string
	left     time.Duration // until the deadline of the last call
	body     []byte
	err      error
	panics   bool
}

func (f *fakeSlack) enter(ctx context.Context) {
	if at, ok := ctx.Deadline(); ok {
		f.left = time.Until(at)
	}
	if f.panics {
		panic("boom")
	}
}

func (f *fakeSlack) Command(ctx context.Context, form url.Values) ([]byte, error) {
	f.forms = append(f.forms, form)
	f.enter(ctx)
	return f.body, f.err
}

func (f *fakeSlack) Interaction(ctx context.Context, payload []byte) ([]byte, error) {
	f.payloads = append(f.payloads, string(payload))
	f.enter(ctx)
	return f.body, f.err
}

func (f *fakeSlack) Event(ctx context.Context, payload []byte) error {
	f.events = append(f.events, string(payload))
	f.enter(ctx)
	return f.err
}

func (f *fakeSlack) calls() int { return len(f.forms) + len(f.payloads) + len(f.events) }

// contextThatEnded is the context of a client that went away.
func contextThatEnded(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx, cancel
}

func slackHandler(t *testing.T, f *fakeSlack, log *bytes.Buffer) http.Handler {
	t.Helper()
	return newHandler(t, Options{Slack: f, SlackSigningSecret: testSlack, Log: logTo(log)})
}

const (
	commandBody     = "command=%2Fpipeline&text=run+web&user_id=U1"
	interactionBody = "payload=%7B%22type%22%3A%22block_actions%22%7D"
	eventBody       = `{"type":"event_callback","event_id":"Ev1"}`
)

func TestSlackReachesTheHandler(t *testing.T) {
	var log bytes.Buffer
	f := &fakeSlack{body: []byte(`{"text":"ok"}`)}
	h := slackHandler(t, f, &log)
	tests := []struct{ path, body, want string }{
		{"/slack/commands", commandBody, `{"text":"ok"}`},
		{"/slack/interactions", interactionBody, `{"text":"ok"}`},
		{"/slack/events", eventBody, ""},
	}
	for _, tt := range tests {
		w := do(t, h, "POST", tt.path, signedBySlack(testSlack, testNow, tt.body), tt.body)
		if w.Code != 200 || w.Body.String() != tt.want {
			t.Errorf("%s: got %d %q", tt.path, w.Code, w.Body)
		}
		if tt.want != "" && w.Header().Get("Content-Type") != mimeJSON {
			t.Errorf("%s: content type %q", tt.path, w.Header().Get("Content-Type"))
		}
		if f.left <= 0 || f.left > SlackDeadline {
			t.Errorf("%s: %v were left", tt.path, f.left)
		}
	}
	if f.calls() != 3 || f.forms[0].Get("text") != "run web" || f.payloads[0] != `{"type":"block_actions"}` || f.events[0] != eventBody {
		t.Errorf("got %+v", f)
	}
	f.body = nil
	w := do(t, h, "POST", "/slack/commands", signedBySlack(testSlack, testNow, commandBody), commandBody)
	if w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("nothing to say: got %d %q", w.Code, w.Body)
	}
	if log.Len() > 0 {
		t.Errorf("log: %s", &log)
	}
}

func TestSlackAuth(t *testing.T) {
	good := signedBySlack(testSlack, testNow, commandBody)
	change := func(name, value string) http.Header {
		h := good.Clone()
		h.Set(name, value)
		return h
	}
	tests := []struct {
		name   string
		header http.Header
		body   string
		want   int
	}{
		{"signed", good, commandBody, 200},
		{"unsigned", nil, commandBody, 401},
		{"another secret", signedBySlack("other", testNow, commandBody), commandBody, 401},
		{"another body", good, commandBody + "2", 401},
		{"five minutes old", signedBySlack(testSlack, testNow.Add(-Tolerance), commandBody), commandBody, 200},
		{"older", signedBySlack(testSlack, testNow.Add(-Tolerance-time.Second), commandBody), commandBody, 401},
		{"of the future", signedBySlack(testSlack, testNow.Add(Tolerance+time.Second), commandBody), commandBody, 401},
		{"another time", change(headerSlackTimestamp, "1772600768"), commandBody, 401},
		{"no time", change(headerSlackTimestamp, "now"), commandBody, 401},
		{"another version", change(headerSlackSignature, strings.Replace(good.Get(headerSlackSignature), "v0", "v1", 1)), commandBody, 401},
		{"no hex", change(headerSlackSignature, "v0=xyz"), commandBody, 401},
		{"cut short", change(headerSlackSignature, good.Get(headerSlackSignature)[:20]), commandBody, 401},
		{"empty", change(headerSlackSignature, "v0="), commandBody, 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			f := &fakeSlack{}
			h := slackHandler(t, f, &log)
			for _, path := range []string{"/slack/commands", "/slack/interactions", "/slack/events"} {
				w := do(t, h, "POST", path, tt.header, tt.body)
				if path == "/slack/commands" && w.Code != tt.want || (w.Code == 401) != (tt.want == 401) {
					t.Errorf("%s: got %d, want %d", path, w.Code, tt.want)
				}
			}
			if got := f.calls() > 0; got != (tt.want == 200) {
				t.Errorf("%d calls", f.calls())
			}
		})
	}
}

func TestSlackIgnoresTheQuery(t *testing.T) {
	var log bytes.Buffer
	f := &fakeSlack{}
	h := slackHandler(t, f, &log)
	forged := "?payload=" + url.QueryEscape(`{"type":"forged"}`) + "&text=forged"
	w := do(t, h, "POST", "/slack/interactions"+forged, signedBySlack(testSlack, testNow, "a=b"), "a=b")
	if w.Code != 400 || f.calls() != 0 {
		t.Errorf("a payload in the query: got %d, %d calls", w.Code, f.calls())
	}
	do(t, h, "POST", "/slack/interactions"+forged, signedBySlack(testSlack, testNow, interactionBody), interactionBody)
	do(t, h, "POST", "/slack/commands"+forged, signedBySlack(testSlack, testNow, commandBody), commandBody)
	if f.payloads[0] != `{"type":"block_actions"}` || f.forms[0].Get("text") != "run web" || f.forms[0].Has("payload") {
		t.Errorf("got %+v", f)
	}
}

func TestSlackChecks(t *testing.T) {
	var log bytes.Buffer
	f := &fakeSlack{}
	h := slackHandler(t, f, &log)
	if w := do(t, h, "POST", "/slack/commands", nil, "ssl_check=1&token=x"); w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("certificate check: got %d %q", w.Code, w.Body)
	}
	if w := do(t, h, "POST", "/slack/events", nil, "ssl_check=1"); w.Code != 401 {
		t.Errorf("certificate check of events: got %d", w.Code)
	}
	for _, body := range []string{"text=ssl_check=1", "%zz&ssl_check=1"} {
		if w := do(t, h, "POST", "/slack/commands", nil, body); w.Code != 401 {
			t.Errorf("%s: got %d", body, w.Code)
		}
	}
	challenge := `{"type":"url_verification","challenge":"a\"b"}`
	w := do(t, h, "POST", "/slack/events", signedBySlack(testSlack, testNow, challenge), challenge)
	if w.Code != 200 || w.Body.String() != `{"challenge":"a\"b"}` {
		t.Errorf("challenge: got %d %q", w.Code, w.Body)
	}
	if w := do(t, h, "POST", "/slack/events", nil, challenge); w.Code != 401 {
		t.Errorf("unsigned challenge: got %d", w.Code)
	}
	if f.calls() != 0 {
		t.Errorf("%d calls", f.calls())
	}
}

func TestSlackNonsense(t *testing.T) {
	tests := []struct {
		path, body string
		want       int
	}{
		{"/slack/commands", "text=%zz", 400},
		{"/slack/interactions", "payload=%7B", 400},
		{"/slack/interactions", "", 400},
		{"/slack/events", "{", 400},
		{"/slack/events", strings.Repeat(" ", SlackMaxBytes+1), 413},
		{"/slack/commands", strings.Repeat("a", SlackMaxBytes+1), 413},
		{"/slack/commands", "a=" + strings.Repeat("a", SlackMaxBytes-2), 200},
	}
	for _, tt := range tests {
		var log bytes.Buffer
		f := &fakeSlack{}
		h := slackHandler(t, f, &log)
		w := do(t, h, "POST", tt.path, signedBySlack(testSlack, testNow, tt.body), tt.body)
		if w.Code != tt.want || (f.calls() > 0) != (tt.want == 200) {
			t.Errorf("%s %.20q: got %d, want %d; %d calls", tt.path, tt.body, w.Code, tt.want, f.calls())
		}
	}
}

func TestSlackErrors(t *testing.T) {
	cause := errors.New("token xoxb-1 refused")
	tests := []struct {
		path, body string
		err        error
		want       int
		answer     string
	}{
		{
			"/slack/commands", commandBody, &kovra.Error{Kind: kovra.Unavailable, Public: "GitLab is <down> & out.", Err: cause}, 200,
			`{"response_type":"ephemeral","text":"GitLab is \u0026lt;down\u0026gt; \u0026amp; out."}`,
		},
		{
			"/slack/commands", commandBody, cause, 200,
			`{"response_type":"ephemeral","text":"Something went wrong on our side; it is in the log of the bot."}`,
		},
		{"/slack/interactions", interactionBody, cause, 200, ""},
		{"/slack/events", eventBody, cause, 503, ""},
	}
	for _, tt := range tests {
		var log bytes.Buffer
		h := slackHandler(t, &fakeSlack{err: tt.err, body: []byte("{}")}, &log)
		w := do(t, h, "POST", tt.path, signedBySlack(testSlack, testNow, tt.body), tt.body)
		if w.Code != tt.want || w.Body.String() != tt.answer {
			t.Errorf("%s: got %d %q", tt.path, w.Code, w.Body)
		}
		if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "refused") {
			t.Errorf("%s: log %s", tt.path, &log)
		}
	}
}

func TestSlackPanic(t *testing.T) {
	var log bytes.Buffer
	h := slackHandler(t, &fakeSlack{panics: true}, &log)
	w := do(t, h, "POST", "/slack/commands", signedBySlack(testSlack, testNow, commandBody), commandBody)
	if w.Code != 500 || w.Body.Len() != 0 {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
	if strings.Count(log.String(), "\n") != 1 {
		t.Errorf("log: %s", &log)
	}
}
