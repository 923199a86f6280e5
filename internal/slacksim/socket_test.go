package slacksim_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"
	"github.com/slack-go/slack/socketmode"

	"kovra.dev/chatops/internal/slacksim"
)

// link is a connection of the app, spoken by hand.
type link struct {
	t    *testing.T
	conn *websocket.Conn
	in   chan map[string]any // closed when the connection ended

	pings atomic.Int32
}

// newSocketMode is a world whose Slack speaks Socket Mode.
func newSocketMode(t *testing.T) *world {
	t.Helper()
	return newWorldWith(t, slacksim.Options{SocketMode: true})
}

func (w *world) socketURL(t *testing.T) string {
	t.Helper()
	api := slack.New("xoxb-sim", slack.OptionAppLevelToken("xapp-sim"), slack.OptionAPIURL("http://slack.test/api/"), slack.OptionHTTPClient(w.Client()))
	_, u, err := api.StartSocketModeContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// dial opens a connection; without one, status is how it was refused.
func (w *world) dial(t *testing.T, u string) (l *link, status int, err error) {
	t.Helper()
	conn, res, err := (&websocket.Dialer{NetDialContext: w.DialSocket}).DialContext(t.Context(), u, nil)
	if res != nil {
		status = res.StatusCode
		defer res.Body.Close()
	}
	if err != nil {
		return nil, status, err
	}
	l = &link{t: t, conn: conn, in: make(chan map[string]any, 10)}
	conn.SetPingHandler(func(data string) error {
		l.pings.Add(1)
		return conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
	})
	go func() {
		defer close(l.in)
		for {
			var m map[string]any
			if conn.ReadJSON(&m) != nil {
				return
			}
			l.in <- m
		}
	}()
	t.Cleanup(func() { _ = conn.Close() })
	return l, status, nil
}

// connect opens a connection and takes its hello.
func (w *world) connect(t *testing.T) *link {
	t.Helper()
	l, _, err := w.dial(t, w.socketURL(t))
	if err != nil {
		t.Fatal(err)
	}
	if hello := l.next(); hello["type"] != "hello" || hello["connection_info"].(map[string]any)["app_id"] != slacksim.AppID {
		t.Fatalf("got %v, want hello", hello)
	}
	return l
}

// next is what comes next; nil when the connection ended.
func (l *link) next() map[string]any {
	l.t.Helper()
	select {
	case m := <-l.in:
		return m
	case <-time.After(time.Minute):
		l.t.Fatal("nothing came")
		return nil
	}
}

func (l *link) ack(id any, payload any) {
	l.t.Helper()
	m := map[string]any{"envelope_id": id}
	if payload != nil {
		m["payload"] = payload
	}
	if err := l.conn.WriteJSON(m); err != nil {
		l.t.Error(err)
	}
}

func TestConnectionsOpen(t *testing.T) {
	w := newWorldWith(t, slacksim.Options{SocketMode: true})
	off := newWorld(t)
	bearer := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
	tests := []struct {
		name   string
		w      *world
		header http.Header
		body   string
		want   any
	}{
		{"app token", w, bearer("xapp-sim"), "", nil},
		{"app token in the form", w, nil, "token=xapp-sim", "invalid_auth"},
		{"bot token", w, bearer("xoxb-sim"), "", "not_allowed_token_type"},
		{"another one", w, bearer("xapp-other"), "", "invalid_auth"},
		{"socket mode is off", off, bearer("xapp-sim"), "", "socket_mode_not_enabled"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.w.callAny(t, "apps.connections.open", "application/x-www-form-urlencoded", tt.body, tt.header)
			if got["error"] != tt.want {
				t.Errorf("got %v, want error %v", got, tt.want)
			}
			if u, _ := got["url"].(string); tt.want == nil && !strings.HasPrefix(u, "ws://slack.test/link/?") {
				t.Errorf("url %q", u)
			}
		})
	}
	if got := w.call(t, "auth.test", url.Values{}); got["ok"] != true {
		t.Errorf("the bot token: %v", got)
	}
	if got := w.callAny(t, "auth.test", "application/x-www-form-urlencoded", "", bearer("xapp-sim")); got["error"] != "invalid_auth" {
		t.Errorf("the app token opens sockets only: %v", got)
	}
}

func TestTicketsOpenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSocketMode(t)
		defer w.DropSockets()
		u := w.socketURL(t)
		if _, _, err := w.dial(t, u); err != nil {
			t.Fatal(err)
		}
		if _, status, err := w.dial(t, u); err == nil || status != http.StatusForbidden {
			t.Errorf("a ticket opened twice: %v", err)
		}
	})
}

func TestAtMostTenSockets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSocketMode(t)
		defer w.DropSockets()
		for range 10 {
			w.connect(t)
		}
		l, _, err := w.dial(t, w.socketURL(t))
		if err != nil {
			t.Fatal(err)
		}
		if got := l.next(); got["type"] != "disconnect" || got["reason"] != "too_many_websockets" || l.next() != nil {
			t.Errorf("got %v", got)
		}
		if got := w.Sockets(); got != 10 {
			t.Errorf("%d sockets", got)
		}
	})
}

func TestSlashOverASocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSocketMode(t)
		defer w.DropSockets()
		l := w.connect(t)
		go func() {
			e := l.next()
			p, _ := e["payload"].(map[string]any)
			if e["type"] != "slash_commands" || e["accepts_response_payload"] != true || p["text"] != "run web" || p["command"] != "/pipeline" {
				t.Errorf("got %v", e)
			}
			if _, is := e["retry_attempt"]; is {
				t.Errorf("commands are not tried again: %v", e)
			}
			l.ack(e["envelope_id"], map[string]any{"text": "on its way"})
		}()
		seen, err := w.Slash(t.Context(), "U1", "C1", "/pipeline run web")
		if err != nil || !strings.Contains(seen.Text(), "on its way") {
			t.Errorf("got %+v, %v", seen, err)
		}
		if w.app.count() != 0 {
			t.Error("it went by HTTP too")
		}
	})
}

func TestWhoTakesAnAnswerWithTheAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSocketMode(t)
		defer w.DropSockets()
		m := w.post(t, "C1", buttons)
		l := w.connect(t)
		got := map[any]any{}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 4 { // the command that opens the modal among them
				e := l.next()
				p, _ := e["payload"].(map[string]any)
				got[p["type"]] = e["accepts_response_payload"]
				l.ack(e["envelope_id"], map[string]any{"text": "ignored"})
			}
		}()
		seen, err := w.Click(t.Context(), "U1", m.Ref(), slacksim.Buttons(m.Tree)[0])
		if err != nil || seen.Error != "" || seen.Body != "" {
			t.Errorf("click: %+v, %v", seen, err)
		}
		if _, err := w.GlobalShortcut(t.Context(), "U1", "run"); err != nil {
			t.Error(err)
		}
		v := w.open(t, `{"type":"modal","title":{"type":"plain_text","text":"T"},"submit":{"type":"plain_text","text":"S"},"blocks":[{"type":"input","label":{"type":"plain_text","text":"L"},"element":{"type":"plain_text_input","action_id":"a"}}]}`)
		if _, err := w.Submit(t.Context(), "U1", v.ID, map[string]string{"a": "x"}); err != nil {
			t.Error(err)
		}
		<-done
		if got["block_actions"] != false || got["shortcut"] != false || got["view_submission"] != true {
			t.Errorf("got %v", got)
		}
	})
}

func TestUnacknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSocketMode(t)
		defer w.DropSockets()
		seen, err := w.Slash(t.Context(), "U1", "C1", "/kovra")
		if err != nil || seen.Error != "dispatch_failed" {
			t.Errorf("no connection: %+v, %v", seen, err)
		}
		l := w.connect(t)
		start := time.Now()
		seen, err = w.Slash(t.Context(), "U1", "C1", "/kovra")
		if err != nil || seen.Error != "operation_timeout" || time.Since(start) != 3*time.Second {
			t.Errorf("no acknowledgement: %+v, %v, after %v", seen, err, time.Since(start))
		}
		l.next()
		for name, f := range map[string]slacksim.Fault{
			"lost": slacksim.LoseAck("slash_commands"), "dropped": slacksim.Drop("socket.slash_commands"), "cut": slacksim.CutSocket("slash_commands"),
		} {
			w.DropSockets()
			l := w.connect(t)
			w.Fault(f)
			go func() {
				if e := l.next(); e != nil {
					_ = l.conn.WriteJSON(map[string]any{"envelope_id": e["envelope_id"]})
				}
			}()
			if seen, err = w.Slash(t.Context(), "U1", "C1", "/kovra"); err != nil || seen.Error != "operation_timeout" {
				t.Errorf("%s: %+v, %v", name, seen, err)
			}
		}
		w.DropSockets()
		l = w.connect(t)
		go func() { l.ack(l.next()["envelope_id"], map[string]any{"text": strings.Repeat("x", 20<<10)}) }()
		if seen, err = w.Slash(t.Context(), "U1", "C1", "/kovra"); err != nil || seen.Error != "operation_timeout" {
			t.Errorf("20 KB are dropped without a word: %v, %v", seen.Error, err)
		}
	})
}

func TestEventsAreSentAgainUntilAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSocketMode(t)
		defer w.DropSockets()
		l := w.connect(t)
		type one struct{ envelope, event, attempt, reason any }
		var got []one
		go func() {
			for e := l.next(); e != nil; e = l.next() {
				got = append(got, one{e["envelope_id"], e["payload"].(map[string]any)["event_id"], e["retry_attempt"], e["retry_reason"]})
				if len(got) == 3 {
					l.ack(e["envelope_id"], nil)
					return
				}
			}
		}()
		if err := w.OpenHome(t.Context(), "U1"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(got) != 3 || got[0].event != got[2].event || got[0].envelope == got[2].envelope ||
			got[0].attempt != 0.0 || got[0].reason != "" || got[2].attempt != 2.0 || got[2].reason != "timeout" {
			t.Errorf("got %v", got)
		}
	})
}

func TestEventsWaitForAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSocketMode(t)
		defer w.DropSockets()
		done := make(chan error, 1)
		go func() { done <- w.OpenHome(t.Context(), "U1") }()
		time.Sleep(5 * time.Second)
		l := w.connect(t)
		l.ack(l.next()["envelope_id"], nil)
		if err := <-done; err != nil {
			t.Error(err)
		}
		w.DropSockets()
		if err := w.OpenHome(t.Context(), "U1"); err == nil {
			t.Error("an event that nobody took is no error")
		}
	})
}

func TestEachEnvelopeGoesToOneSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSocketMode(t)
		defer w.DropSockets()
		counts := make(chan int, 20)
		for i := range 2 {
			l := w.connect(t)
			go func() {
				for e := l.next(); e != nil; e = l.next() {
					counts <- i
					l.ack(e["envelope_id"], nil)
				}
			}()
		}
		for range 6 {
			if err := w.OpenHome(t.Context(), "U1"); err != nil {
				t.Fatal(err)
			}
		}
		w.Fault(slacksim.DoubleEnvelope("events_api"))
		if err := w.OpenHome(t.Context(), "U1"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.DropSockets()
		synctest.Wait()
		close(counts)
		n := map[int]int{}
		for i := range counts {
			n[i]++
		}
		if n[0] != 4 || n[1] != 4 {
			t.Errorf("got %v, want 8 in turns: six, and one that is doubled", n)
		}
	})
}

func TestDisconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSocketMode(t)
		defer w.DropSockets()
		old := w.connect(t)
		w.WarnSockets()
		if got := old.next(); got["type"] != "disconnect" || got["reason"] != "warning" {
			t.Errorf("got %v", got)
		}
		if w.Sockets() != 0 {
			t.Error("it would get something new")
		}
		fresh := w.connect(t)
		w.RefreshSockets()
		if got := old.next(); got["reason"] != "refresh_requested" || old.next() != nil {
			t.Errorf("got %v", got)
		}
		w.SetSocketMode(false)
		if got := fresh.next(); got["reason"] != "link_disabled" || fresh.next() != nil {
			t.Errorf("got %v", got)
		}
		if _, err := w.Slash(t.Context(), "U1", "C1", "/kovra"); err != nil || w.app.count() != 1 {
			t.Errorf("by HTTP again: %d, %v", w.app.count(), err)
		}
	})
}

func TestSocketsAreKeptAliveByPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSocketMode(t)
		defer w.DropSockets()
		l := w.connect(t)
		time.Sleep(65 * time.Second)
		if n := l.pings.Load(); n != 6 {
			t.Errorf("%d pings", n)
		}
	})
}

func TestHandshakeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSocketMode(t)
		defer w.DropSockets()
		w.Fault(slacksim.Status("socket.open", http.StatusConflict), slacksim.Drop("socket.open"))
		if _, status, err := w.dial(t, w.socketURL(t)); err == nil || status != http.StatusConflict {
			t.Errorf("got %v", err)
		}
		if _, _, err := w.dial(t, w.socketURL(t)); err == nil {
			t.Error("a cut connection opened")
		}
		w.connect(t)
	})
}

// TestSlackGoUnderstands lets slack-go's own client speak Socket Mode with the simulator.
func TestSlackGoUnderstands(t *testing.T) {
	w := newWorldWith(t, slacksim.Options{SocketMode: true})
	api := slack.New("xoxb-sim", slack.OptionAppLevelToken("xapp-sim"), slack.OptionAPIURL("http://slack.test/api/"), slack.OptionHTTPClient(w.Client()))
	client := socketmode.New(api, socketmode.OptionDialer(&websocket.Dialer{NetDialContext: w.DialSocket}))
	ctx, cancel := contextWithTimeout(t, 20*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- client.RunContext(ctx) }()
	got := make(chan any, 10)
	go func() {
		for {
			select {
			case e := <-client.Events:
				switch e.Type {
				case socketmode.EventTypeSlashCommand, socketmode.EventTypeInteractive, socketmode.EventTypeEventsAPI:
					got <- e.Data
					_ = client.AckCtx(ctx, e.Request.EnvelopeID, nil)
				case socketmode.EventTypeErrorBadMessage:
					t.Errorf("slack-go cannot read %v", e.Data)
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	if err := w.WaitFor(ctx, func() bool { return w.Sockets() == 1 }); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Slash(ctx, "U1", "C1", "/pipeline run"); err != nil {
		t.Fatal(err)
	}
	if c, is := (<-got).(slack.SlashCommand); !is || c.Text != "run" || c.UserID != "U1" || c.TriggerID == "" {
		t.Errorf("got %+v", c)
	}
	if _, err := w.GlobalShortcut(ctx, "U1", "run"); err != nil {
		t.Fatal(err)
	}
	if c, is := (<-got).(slack.InteractionCallback); !is || c.CallbackID != "run" {
		t.Errorf("got %+v", c)
	}
	if err := w.OpenHome(ctx, "U1"); err != nil {
		t.Fatal(err)
	}
	if e, is := (<-got).(slackevents.EventsAPIEvent); !is || e.InnerEvent.Type != "app_home_opened" {
		t.Errorf("got %+v", e)
	}
	w.DropSockets()
	if err := w.WaitFor(ctx, func() bool { return w.Sockets() == 1 }); err != nil {
		t.Fatalf("slack-go did not come back: %v", err)
	}
	cancel()
	<-ended
}
