package webhooks

import (
	"bytes"
	stdcmp "cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"

	"kovra.dev/chatops/internal/slacksim"
)

// team is who gets what a Socket brings, and answers as told.
type team struct {
	mu     sync.Mutex
	got    []string // "command run web", "interaction block_actions", "event app_home_opened"
	inHand int
	most   int           // in hand at once
	left   time.Duration // until the deadline of the last one
	least  time.Duration // of all

	answer string
	work   func(ctx context.Context, what string) error
}

func (f *team) do(ctx context.Context, what string) ([]byte, error) {
	f.mu.Lock()
	f.got = append(f.got, what)
	f.inHand++
	f.most = max(f.most, f.inHand)
	if end, ok := ctx.Deadline(); ok {
		f.left = time.Until(end)
		f.least = min(f.left, stdcmp.Or(f.least, f.left))
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.inHand--
	}()
	if f.work != nil {
		if err := f.work(ctx, what); err != nil {
			return nil, err
		}
	}
	if f.answer == "" {
		return nil, nil
	}
	return mustJSON(map[string]string{"text": f.answer}), nil
}

func (f *team) Command(ctx context.Context, form url.Values) ([]byte, error) {
	return f.do(ctx, "command "+form.Get("text"))
}

func (f *team) Interaction(ctx context.Context, payload []byte) ([]byte, error) {
	var p struct{ Type string }
	_ = json.Unmarshal(payload, &p)
	return f.do(ctx, "interaction "+p.Type)
}

func (f *team) Event(ctx context.Context, payload []byte) error {
	var p struct {
		Event struct{ Type string }
	}
	_ = json.Unmarshal(payload, &p)
	_, err := f.do(ctx, "event "+p.Event.Type)
	return err
}

func (f *team) list() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.got...)
}

// socketWorld is a Slack in Socket Mode and a Socket that runs.
type socketWorld struct {
	*slacksim.Server
	team   *team
	counts counts
	log    bytes.Buffer
	stop   context.CancelFunc
	ended  chan error
}

// connectSocket is a world whose Socket is connected with Slack.
func connectSocket(t *testing.T) *socketWorld {
	t.Helper()
	w := newSocketWorld(t)
	w.run(t)
	w.connected(t)
	return w
}

// end stops the Socket and looks through its log.
func (w *socketWorld) end(t *testing.T) {
	t.Helper()
	w.stop()
	if err := <-w.ended; err != nil {
		t.Errorf("run: %v", err)
	}
	w.DropSockets()
	if strings.Contains(w.log.String(), "xapp-sim") || strings.Contains(w.log.String(), "ticket") {
		t.Errorf("a secret in the log:\n%s", &w.log)
	}
}

func newSocketWorld(t *testing.T) *socketWorld {
	t.Helper()
	w := &socketWorld{Server: slacksim.New(slacksim.Options{SocketMode: true, BaseURL: "http://slack.test"}), team: &team{}, ended: make(chan error, 1)}
	w.AddUser(slacksim.User{ID: "U1", Name: "alice"})
	w.AddChannel(slacksim.Channel{ID: "C1", Name: "deploys", Members: []string{"U1", slacksim.BotUserID}})
	return w
}

func (w *socketWorld) run(t *testing.T) {
	t.Helper()
	s, err := NewSocket(SocketOptions{
		AppToken: func() string { return "xapp-sim" }, API: "http://slack.test/api/", HTTP: w.Client(), Dial: w.DialSocket,
		Slack: w.team, Respond: w.respond, Log: logTo(&w.log), Counted: w.counts.add,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.stop = cancel
	ended := w.ended // of this run: there may be another
	go func() { ended <- s.Run(ctx) }()
}

func (w *socketWorld) respond(ctx context.Context, to string, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := w.Client().Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return nil
}

func (w *socketWorld) connected(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := w.WaitFor(ctx, func() bool { return w.Sockets() == socketLinks }); err != nil {
		t.Fatalf("%d connections: %v\n%s", w.Sockets(), err, &w.log)
	}
	synctest.Wait() // and each was told hello
}

// slash types a command.
func (w *socketWorld) slash(t *testing.T, text string) slacksim.Seen {
	t.Helper()
	seen, err := w.Slash(t.Context(), "U1", "C1", "/kovra "+text)
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

func (w *socketWorld) wantGot(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, w.team.list()); diff != "" {
		t.Errorf("what reached the handler (-want +got):\n%s\nlog:\n%s", diff, &w.log)
	}
}

func (w *socketWorld) wantCount(t *testing.T, key string, want int) {
	t.Helper()
	synctest.Wait()
	if got := w.counts.get(key); got != want {
		t.Errorf("%s: counted %d, want %d", key, got, want)
	}
}

func TestSocketBringsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := connectSocket(t)
		defer w.end(t)
		w.team.answer = "hello"
		if seen := w.slash(t, "apps"); seen.Error != "" || seen.Answer == nil || seen.Answer.Text != "hello" {
			t.Errorf("command: %+v", seen)
		}
		if w.team.left <= 0 || w.team.left > SlackDeadline {
			t.Errorf("%v were left", w.team.left)
		}
		if seen, err := w.GlobalShortcut(t.Context(), "U1", "x"); err != nil || seen.Error != "" {
			t.Errorf("shortcut: %+v, %v", seen, err)
		}
		if err := w.OpenHome(t.Context(), "U1"); err != nil {
			t.Error(err)
		}
		w.wantGot(t, "command apps", "interaction shortcut", "event app_home_opened")
		w.wantCount(t, "commands answered", 1)
		w.wantCount(t, "interactions answered", 1)
		w.wantCount(t, "events answered", 1)
		w.wantCount(t, "socket connected", socketLinks)
		if w.CallCount("response_url") != 0 {
			t.Error("an answer went by response_url")
		}
	})
}

func TestSocketComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := connectSocket(t)
		defer w.end(t)
		for range 3 {
			w.DropSockets()
			if err := w.OpenHome(t.Context(), "U1"); err != nil { // Slack waits for a connection
				t.Fatal(err)
			}
			w.connected(t)
		}
		w.SetDown(true)
		time.Sleep(10 * time.Minute)
		w.SetDown(false)
		start := time.Now()
		w.connected(t)
		if took := time.Since(start); took > socketLastPause {
			t.Errorf("back after %v", took)
		}
		if n := w.counts.get("socket unavailable"); n < 10 || n > 40 {
			t.Errorf("tried %d times in ten minutes", n)
		}
		w.slash(t, "apps")
		w.wantGot(t, "event app_home_opened", "event app_home_opened", "event app_home_opened", "command apps")
	})
}

func TestSocketIsRenewedWithoutAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := connectSocket(t)
		defer w.end(t)
		time.Sleep(time.Hour)
		release := make(chan struct{})
		w.team.work = func(context.Context, string) error { <-release; return nil }
		w.team.answer = "late"
		done := make(chan slacksim.Seen, 1)
		go func() { done <- w.slash(t, "slow") }()
		synctest.Wait()
		w.WarnSockets()
		synctest.Wait()
		if n := w.Sockets(); n != socketLinks {
			t.Errorf("%d new connections before the old ones are gone", n)
		}
		close(release)
		if seen := <-done; seen.Answer == nil || seen.Answer.Text != "late" {
			t.Errorf("what was in hand was acknowledged by the old connection: %+v", seen)
		}
		w.RefreshSockets()
		synctest.Wait()
		w.slash(t, "next")
		w.wantGot(t, "command slow", "command next")
		w.wantCount(t, "socket disconnected", socketLinks)
	})
}

func opensHome(t *testing.T, w *socketWorld) {
	t.Helper()
	if err := w.OpenHome(t.Context(), "U1"); err != nil {
		t.Error(err)
	}
}

func usesShortcut(t *testing.T, w *socketWorld) {
	t.Helper()
	if seen, err := w.GlobalShortcut(t.Context(), "U1", "x"); err != nil || seen.Error != "" {
		t.Errorf("%+v, %v", seen, err)
	}
}

func asksForApps(t *testing.T, w *socketWorld) {
	t.Helper()
	w.team.answer = "one answer"
	if seen := w.slash(t, "apps"); seen.Answer == nil || len(w.Ephemerals("U1")) != 1 {
		t.Errorf("%+v", seen)
	}
}

func TestSocketHandlesOnce(t *testing.T) {
	tests := []struct {
		name     string
		fault    slacksim.Fault
		act      func(t *testing.T, w *socketWorld)
		want     []string
		repeated string
	}{
		{"an event whose acknowledgement was lost", slacksim.LoseAck("events_api"), opensHome, []string{"event app_home_opened"}, "events repeated"},
		{"an event whose connection was cut", slacksim.CutSocket("events_api"), opensHome, []string{"event app_home_opened"}, "events repeated"},
		{"a doubled event", slacksim.DoubleEnvelope("events_api"), opensHome, []string{"event app_home_opened"}, "events repeated"},
		{"a doubled click", slacksim.DoubleEnvelope("interactive"), usesShortcut, []string{"interaction shortcut"}, "interactions repeated"},
		{"a doubled command", slacksim.DoubleEnvelope("slash_commands"), asksForApps, []string{"command apps"}, "commands repeated"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := connectSocket(t)
				defer w.end(t)
				w.Fault(tt.fault)
				tt.act(t, w)
				w.wantGot(t, tt.want...)
				w.wantCount(t, tt.repeated, 1)
			})
		})
	}
}

// TestSocketKilled: a process that dies with an event in hand has not acknowledged it, so the
// next one gets it.
func TestSocketKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := connectSocket(t)
		first, second := w.team, &team{}
		release := make(chan struct{})
		first.work = func(context.Context, string) error { <-release; return nil }
		taken := make(chan error, 1)
		go func() { taken <- w.OpenHome(t.Context(), "U1") }()
		synctest.Wait()
		w.stop() // it makes no new connection
		w.DropSockets()
		firstEnded := w.ended
		w.team, w.ended = second, make(chan error, 1)
		w.run(t)
		if err := <-taken; err != nil {
			t.Errorf("the event: %v", err)
		}
		w.wantGot(t, "event app_home_opened")
		close(release)
		<-firstEnded
		w.end(t)
	})
}

func TestSocketLeavesFailedEventsToSlack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := connectSocket(t)
		defer w.end(t)
		tries := 0
		w.team.work = func(context.Context, string) error {
			if tries++; tries < 3 {
				return errors.New("the database is locked")
			}
			return nil
		}
		if err := w.OpenHome(t.Context(), "U1"); err != nil {
			t.Fatal(err)
		}
		w.wantGot(t, "event app_home_opened", "event app_home_opened", "event app_home_opened")
		w.wantCount(t, "events failed", 2)
		w.wantCount(t, "events answered", 1)
	})
}

func TestSocketAnswersByResponseURL(t *testing.T) {
	tests := []struct {
		name   string
		answer string
		fault  slacksim.Fault
		shown  string // what Slack says of the command
	}{
		{"the connection was cut", "still told", slacksim.CutSocket("slash_commands"), "operation_timeout"},
		{"too large for an acknowledgement", strings.Repeat("x", 25<<10), slacksim.Fault{}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := connectSocket(t)
				defer w.end(t)
				if tt.shown != "" {
					w.Fault(tt.fault)
				}
				w.team.answer = tt.answer
				// The answer comes after the cut.
				w.team.work = func(context.Context, string) error { time.Sleep(time.Second); return nil }
				if seen := w.slash(t, "apps"); seen.Error != tt.shown {
					t.Errorf("got %q", seen.Error)
				}
				synctest.Wait()
				if got := w.Ephemerals("U1"); len(got) != 1 || got[0].Text != tt.answer {
					t.Errorf("%d answers", len(got))
				}
				w.wantGot(t, "command apps")
			})
		})
	}
}

func TestSocketFinishesWhatIsInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSocketWorld(t)
		w.run(t)
		w.connected(t)
		w.team.answer = "finished"
		release := make(chan struct{})
		w.team.work = func(context.Context, string) error { <-release; return nil }
		done := make(chan slacksim.Seen, 1)
		go func() { done <- w.slash(t, "slow") }()
		synctest.Wait()
		w.stop()
		synctest.Wait()
		select {
		case err := <-w.ended:
			t.Fatalf("it ended with work in hand: %v", err)
		default:
		}
		next := make(chan slacksim.Seen, 1)
		go func() { next <- w.slash(t, "more") }()
		synctest.Wait()
		close(release)
		if seen := <-done; seen.Answer == nil || seen.Answer.Text != "finished" {
			t.Errorf("what was in hand: %+v", seen)
		}
		if err := <-w.ended; err != nil {
			t.Error(err)
		}
		if seen := <-next; seen.Error == "" {
			t.Errorf("what came later was taken: %+v", seen)
		}
		w.wantGot(t, "command slow")
		if w.Sockets() != 0 {
			t.Error("connections are left")
		}
	})
}

func TestSocketSurvivesPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := connectSocket(t)
		defer w.end(t)
		w.team.work = func(_ context.Context, what string) error {
			if strings.HasSuffix(what, "boom") || strings.HasSuffix(what, "shortcut") {
				panic("boom")
			}
			return nil
		}
		if seen := w.slash(t, "boom"); seen.Error != "" || seen.Answer == nil || strings.Contains(seen.Answer.Text, "boom") {
			t.Errorf("the person is told, in our words: %+v", seen)
		}
		if seen, err := w.GlobalShortcut(t.Context(), "U1", "x"); err != nil || seen.Error != "" {
			t.Errorf("%+v, %v", seen, err)
		}
		w.slash(t, "apps")
		w.wantGot(t, "command boom", "interaction shortcut", "command apps")
		w.wantCount(t, "any panicked", 2)
		w.wantCount(t, "commands failed", 1)
		if !strings.Contains(w.log.String(), "stack") {
			t.Errorf("log: %s", &w.log)
		}
	})
}

func TestSocketIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := connectSocket(t)
		defer w.end(t)
		w.team.work = func(context.Context, string) error { time.Sleep(time.Second); return nil }
		var all sync.WaitGroup
		for i := range 2 * socketAtOnce {
			all.Go(func() { w.slash(t, fmt.Sprint(i)) })
		}
		all.Wait()
		if w.team.most != socketAtOnce || len(w.team.list()) != 2*socketAtOnce {
			t.Errorf("%d at once, %d in all", w.team.most, len(w.team.list()))
		}
		if w.team.least != SlackDeadline-time.Second {
			t.Errorf("who waited for a second had %v left", w.team.least)
		}
	})
}

func TestSocketWithARefusedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSocketWorld(t)
		w.SetSocketMode(false) // Slack then refuses the token
		w.run(t)
		time.Sleep(9 * time.Minute)
		w.wantCount(t, "socket refused", 2*socketLinks)
		if log := w.log.String(); !strings.Contains(log, `"level":"ERROR"`) && !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "KOVRA_SLACK_APP_TOKEN") {
			t.Errorf("log: %s", log)
		}
		w.SetSocketMode(true)
		w.connected(t)
		w.slash(t, "apps")
		w.SetSocketMode(false)
		synctest.Wait()
		if !strings.Contains(w.log.String(), "switched off") {
			t.Errorf("log: %s", &w.log)
		}
		w.stop()
		if err := <-w.ended; err != nil {
			t.Error(err)
		}
	})
}

// TestSocketRenews: a new app token opens new connections before the old ones go, and ends the pause after a refusal.
func TestSocketRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSocketWorld(t)
		var token atomic.Value
		token.Store("xapp-sim")
		s, err := NewSocket(SocketOptions{
			AppToken: func() string { return token.Load().(string) }, API: "http://slack.test/api/", HTTP: w.Client(), Dial: w.DialSocket,
			Slack: w.team, Respond: w.respond, Log: logTo(&w.log), Counted: w.counts.add,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		w.stop = cancel
		go func() { w.ended <- s.Run(ctx) }()
		w.connected(t)

		w.Rotate("", "", "xapp-new")
		s.Renew() // too early: Slack refuses the old token, and the connections that are there go on
		synctest.Wait()
		w.wantCount(t, "socket refused", socketLinks)
		if n := w.Sockets(); n != socketLinks {
			t.Errorf("%d connections while the new token is not known", n)
		}
		w.slash(t, "between")

		token.Store("xapp-new")
		s.Renew()
		synctest.Wait()
		w.wantCount(t, "socket connected", 2*socketLinks)
		w.wantCount(t, "socket disconnected", socketLinks)
		w.connected(t)
		w.slash(t, "after")
		w.end(t)
	})
}

func TestNewSocketRefuses(t *testing.T) {
	for name, o := range map[string]SocketOptions{
		"no token":   {Slack: &team{}, Respond: func(context.Context, string, any) error { return nil }},
		"no handler": {AppToken: func() string { return "xapp-1" }, Respond: func(context.Context, string, any) error { return nil }},
		"no answers": {AppToken: func() string { return "xapp-1" }, Slack: &team{}},
	} {
		if _, err := NewSocket(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// oddSlack is a Slack that says what a test tells it to. It pings nobody.
type oddSlack struct {
	says []string
	acks chan string
	urls string
}

func (o *oddSlack) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/api/") {
		_ = json.NewEncoder(w).Encode(map[string]any{"ok": true, "url": o.urls})
		return
	}
	conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	for _, line := range o.says {
		if conn.WriteMessage(websocket.TextMessage, []byte(line)) != nil {
			return
		}
	}
	for {
		_, raw, err := conn.ReadMessage()
		if err != nil {
			o.acks <- "(end)"
			return
		}
		o.acks <- string(raw)
	}
}

func (o *oddSlack) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	go func() { _ = http.Serve(&oneConn{there}, o) }()
	return here, nil
}

type oneConn struct{ net.Conn }

func (l *oneConn) Accept() (net.Conn, error) {
	c := l.Conn
	if l.Conn = nil; c == nil {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{} }

// TestSocketStandsOddWords: what cannot be read is counted and does not end anything; what
// is not known is acknowledged, or it would come again.
func TestSocketStandsOddWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		odd := &oddSlack{urls: "ws://slack.test/link", acks: make(chan string, 100), says: []string{
			`not json`, `[]`, `{}`, `{"type":7}`, `{"type":"events_api"}`,
			`{"type":"novelty","envelope_id":"E1","payload":[1]}`,
			`{"type":"slash_commands","envelope_id":"E2","payload":"text","accepts_response_payload":true}`,
			`{"type":"slash_commands","envelope_id":"E3","payload":{"text":"x","is_enterprise_install":false,"n":null},"accepts_response_payload":"yes"}`,
			`{"type":"interactive","envelope_id":"E4"}`,
			`{"type":"slash_commands","envelope_id":"E5","payload":{"text":"y"},"accepts_response_payload":true}`,
		}}
		var log bytes.Buffer
		var counted counts
		team := &team{answer: "hi"}
		s, err := NewSocket(SocketOptions{
			AppToken: func() string { return "xapp-sim" }, API: "http://slack.test/api/", HTTP: &http.Client{Transport: slacksim.HandlerTransport(odd)}, Dial: odd.dial,
			Slack: team, Respond: func(context.Context, string, any) error { return nil }, Log: logTo(&log), Counted: counted.add,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		synctest.Wait()
		acks := map[string]int{}
		for len(odd.acks) > 0 {
			acks[<-odd.acks]++
		}
		want := map[string]int{
			`{"envelope_id":"E1"}`: socketLinks, `{"envelope_id":"E2","payload":{"text":"hi"}}`: socketLinks, `{"envelope_id":"E3"}`: socketLinks,
			`{"envelope_id":"E4"}`: socketLinks, `{"envelope_id":"E5","payload":{"text":"hi"}}`: socketLinks,
		}
		if diff := cmp.Diff(want, acks); diff != "" {
			t.Errorf("acknowledgements (-want +got):\n%s\n%s", diff, &log)
		}
		if n := counted.get("socket unreadable"); n != 6*socketLinks-1 {
			t.Errorf("%d unreadable", n)
		}
		time.Sleep(socketSilence + time.Second) // nobody pings: the connections are dead
		synctest.Wait()
		if len(odd.acks) < socketLinks {
			t.Error("a silent connection was kept")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestSocketAddresses: an address that is none makes no connection, and is in no log.
func TestSocketAddresses(t *testing.T) {
	for _, address := range []string{"", "https://slack.test/?ticket=hidden", "wss://", ":// ticket=hidden", "ws://%zz?ticket=hidden"} {
		synctest.Test(t, func(t *testing.T) {
			odd := &oddSlack{urls: address, acks: make(chan string, 100)}
			var log bytes.Buffer
			s, err := NewSocket(SocketOptions{
				AppToken: func() string { return "xapp-sim" }, API: "http://slack.test/api/", HTTP: &http.Client{Transport: slacksim.HandlerTransport(odd)}, Dial: odd.dial,
				Slack: &team{}, Respond: func(context.Context, string, any) error { return nil }, Log: logTo(&log),
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
			if log.Len() == 0 || strings.Contains(log.String(), "hidden") || strings.Contains(log.String(), "xapp") {
				t.Errorf("%q: log %s", address, &log)
			}
		})
	}
}

// TestSocketIsEncrypted: the ticket, and all that people say, would be read on the way.
func TestSocketIsEncrypted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		odd := &oddSlack{urls: "ws://slack.test/link/?ticket=hidden", acks: make(chan string, 100)}
		var log bytes.Buffer
		dials := 0
		s, err := NewSocket(SocketOptions{
			AppToken: func() string { return "xapp-sim" }, API: "https://slack.test/api/", HTTP: &http.Client{Transport: slacksim.HandlerTransport(odd)},
			Dial:  func(context.Context, string, string) (net.Conn, error) { dials++; return nil, errors.New("no") },
			Slack: &team{}, Respond: func(context.Context, string, any) error { return nil }, Log: logTo(&log),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
		if dials != 0 || !strings.Contains(log.String(), "without encryption") || strings.Contains(log.String(), "hidden") {
			t.Errorf("%d connections, log %s", dials, &log)
		}
	})
}

func TestRecentForgets(t *testing.T) {
	r := newRecent()
	now := testNow
	first := func(ids ...string) bool {
		d, is := r.begin(now, ids...)
		if is {
			r.end(d, []byte("answer"))
		}
		return is
	}
	if !first("E1", "", "T1") || first("E1", "", "") || first("E2", "T1") || !first("", "", "") || !first("", "", "") {
		t.Error("the same thing is known by each of its names, and no name is none")
	}
	now = now.Add(recentAge + time.Second)
	if !first("E1") {
		t.Error("it is remembered for ever")
	}
	for i := range recentMost + 10 {
		first(fmt.Sprint("many", i))
	}
	if len(r.old) > recentMost || len(r.byID) > recentMost {
		t.Errorf("%d and %d are remembered", len(r.old), len(r.byID))
	}
	answers := 0
	for _, d := range r.old {
		if body, _ := r.outcome(d); body != nil {
			answers++
		}
	}
	if answers != recentAnswers {
		t.Errorf("%d answers are kept", answers)
	}
	d, _ := r.begin(now, "F1", "F2")
	r.fail(d)
	if !first("F2") {
		t.Error("what failed may come again")
	}
}
