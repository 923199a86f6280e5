package slacksim_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/slacksim"
)

// epoch is where the clock of the tests starts.
var epoch = time.Unix(1_800_000_000, 0)

// clock is a clock that a test moves by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// app is the other side of the wire: it keeps what Slack sent and answers as told.
type app struct {
	mu     sync.Mutex
	got    []*http.Request
	bodies []string
	answer func(w http.ResponseWriter, r *http.Request)
}

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	a.got, a.bodies = append(a.got, r), append(a.bodies, string(body))
	answer := a.answer
	a.mu.Unlock()
	if answer != nil {
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		answer(w, r)
	}
}

func (a *app) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.got)
}

// last is the last request and its body.
func (a *app) last(t *testing.T) (*http.Request, string) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.got) == 0 {
		t.Fatal("the app got no request")
	}
	return a.got[len(a.got)-1], a.bodies[len(a.bodies)-1]
}

// interaction is the payload of the last request, decoded by slack-go.
func (a *app) interaction(t *testing.T) slack.InteractionCallback {
	t.Helper()
	_, body := a.last(t)
	form, err := url.ParseQuery(body)
	if err != nil {
		t.Fatal(err)
	}
	var cb slack.InteractionCallback
	if err := json.Unmarshal([]byte(form.Get("payload")), &cb); err != nil {
		t.Fatalf("slack-go cannot read the payload: %v\n%s", err, form.Get("payload"))
	}
	return cb
}

// event is the inner event of the last request.
func (a *app) event(t *testing.T) map[string]any {
	t.Helper()
	_, body := a.last(t)
	var envelope struct{ Event map[string]any }
	if err := json.Unmarshal([]byte(body), &envelope); err != nil {
		t.Fatal(err)
	}
	return envelope.Event
}

// world is a workspace with alice and bob, a public channel C1 and a private
// one C2 with the bot, C3 without it.
type world struct {
	*slacksim.Server
	api   *slack.Client
	app   *app
	clock *clock
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldWith(t, slacksim.Options{})
}

func newWorldWith(t *testing.T, o slacksim.Options) *world {
	t.Helper()
	w := &world{app: &app{}, clock: &clock{t: epoch}}
	o.Now = w.clock.now
	o.RequestURL, o.Transport = "http://kovra.test", slacksim.HandlerTransport(w.app)
	w.Server = slacksim.New(o)
	w.AddUser(slacksim.User{ID: "U1", Name: "alice", Email: "alice@example.org"})
	w.AddUser(slacksim.User{ID: "U2", Name: "bob", Email: "bob@example.org", IsAdmin: true})
	w.AddChannel(slacksim.Channel{ID: "C1", Name: "deploys", Members: []string{"U1", "U2", slacksim.BotUserID}})
	w.AddChannel(slacksim.Channel{ID: "C2", Name: "secret", Private: true, Members: []string{"U1", slacksim.BotUserID}})
	w.AddChannel(slacksim.Channel{ID: "C3", Name: "other", Members: []string{"U1"}})
	w.AddChannel(slacksim.Channel{ID: "C4", Name: "hidden", Private: true, Members: []string{"U1"}})
	w.api = slack.New("xoxb-sim", slack.OptionAPIURL("http://slack.test/api/"), slack.OptionHTTPClient(w.Client()))
	return w
}

// call posts a form straight to a method and decodes the answer.
func (w *world) call(t *testing.T, method string, form url.Values) map[string]any {
	t.Helper()
	if form == nil {
		form = url.Values{}
	}
	form.Set("token", "xoxb-sim")
	return w.callAny(t, method, "application/x-www-form-urlencoded", form.Encode(), nil)
}

func (w *world) callAny(t *testing.T, method, contentType, body string, header http.Header) map[string]any {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://slack.test/api/"+method, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	req.Header.Set("Content-Type", contentType)
	res, err := w.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	out["status"] = float64(res.StatusCode)
	return out
}

// refused checks the error code of an answer.
func refused(t *testing.T, got map[string]any, code string) {
	t.Helper()
	if got["error"] != code || got["ok"] != false {
		t.Errorf("got %v, want error %q", got, code)
	}
}

// post posts a message of the bot with blocks.
func (w *world) post(t *testing.T, channel, blocks string) slacksim.Message {
	t.Helper()
	got := w.call(t, "chat.postMessage", url.Values{"channel": {channel}, "text": {"fallback"}, "blocks": {blocks}})
	if got["ok"] != true {
		t.Fatalf("post: %v", got)
	}
	m, is := w.Message(channel, got["ts"].(string))
	if !is {
		t.Fatal("the message is not there")
	}
	return m
}

func contextWithTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}
