package slacksim_test

import (
	"errors"
	"math/rand/v2"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/slacksim"
)

func (w *world) tryPost(t *testing.T) error {
	t.Helper()
	_, _, err := w.api.PostMessageContext(t.Context(), "C1", slack.MsgOptionText("x", false))
	return err
}

func TestFaultsFireOnce(t *testing.T) {
	var limited *slack.RateLimitedError
	var status slack.StatusCodeError
	tests := []struct {
		name   string
		fault  slacksim.Fault
		is     func(error) bool
		posted int // messages after the failed call and a good one
	}{
		{"rate limit", slacksim.RateLimit("chat.postMessage", 1500*time.Millisecond), func(err error) bool {
			return errors.As(err, &limited) && limited.RetryAfter == 2*time.Second
		}, 1},
		{"status", slacksim.Status("chat.postMessage", 503), func(err error) bool { return errors.As(err, &status) && status.Code == 503 }, 1},
		{"error code", slacksim.ErrorCode("*", "fatal_error"), func(err error) bool { return err.Error() == "fatal_error" }, 1},
		{"lost reply", slacksim.LoseReply("chat.postMessage"), func(err error) bool { return true }, 2},
		{"dropped", slacksim.Drop("chat.postMessage"), func(err error) bool { return true }, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.Fault(tt.fault)
			if err := w.tryPost(t); err == nil || !tt.is(err) {
				t.Errorf("got %v", err)
			}
			if err := w.tryPost(t); err != nil {
				t.Errorf("the fault fired twice: %v", err)
			}
			if got := len(w.Messages("C1")); got != tt.posted {
				t.Errorf("%d messages, want %d", got, tt.posted)
			}
			if diff := cmp.Diff(map[string]int{tt.fault.Name(): 1}, w.FaultCounts()); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
			if calls := w.Calls(); len(calls) != 2 || calls[0].Outcome == "ok" || calls[1].Outcome != "ok" || calls[1].TS == "" {
				t.Errorf("calls: %+v", calls)
			}
		})
	}
}

func TestFaultTimesWhereAndClear(t *testing.T) {
	w := newWorld(t)
	w.Fault(slacksim.Status("chat.postMessage", 500).Times(2), slacksim.Status("chat.update", 500))
	for i, want := range []bool{false, false, true} {
		if err := w.tryPost(t); (err == nil) != want {
			t.Errorf("call %d: %v", i+1, err)
		}
	}
	w.Fault(slacksim.Drop("*").Times(-1).Where(func(c slacksim.Call) bool { return c.Channel == "C2" }))
	if err := w.tryPost(t); err != nil {
		t.Errorf("another channel: %v", err)
	}
	if _, _, err := w.api.PostMessageContext(t.Context(), "C2", slack.MsgOptionText("x", false)); err == nil {
		t.Error("the channel of the fault: no error")
	}
	w.ClearFaults()
	if _, _, err := w.api.PostMessageContext(t.Context(), "C2", slack.MsgOptionText("x", false)); err != nil {
		t.Errorf("after ClearFaults: %v", err)
	}
	want := map[string]int{"status 500 chat.postMessage": 2, "status 500 chat.update": 0, "drop *": 1}
	if diff := cmp.Diff(want, w.FaultCounts()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestFaultChanceIsSeeded(t *testing.T) {
	run := func() int {
		w := newWorld(t)
		f := slacksim.Status("*", 500).Chance(0.3, rand.New(rand.NewPCG(1, 2)))
		w.Fault(f)
		for range 100 {
			w.call(t, "auth.test", nil)
		}
		return w.FaultCounts()[f.Name()]
	}
	first, second := run(), run()
	if first != second || first < 15 || first > 45 {
		t.Errorf("fired %d and %d of 100 times, want about 30 twice", first, second)
	}
}

func TestDelayAndGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Fault(slacksim.Delay("chat.postMessage", 10*time.Second).Times(2))
		start := time.Now()
		if err := w.tryPost(t); err != nil || time.Since(start) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		hurried := slack.New("xoxb-sim", slack.OptionAPIURL("http://slack.test/api/"), slack.OptionHTTPClient(w.Client()))
		ctx, cancel := contextWithTimeout(t, time.Second)
		defer cancel()
		if _, _, err := hurried.PostMessageContext(ctx, "C1", slack.MsgOptionText("x", false)); err == nil {
			t.Error("no error after the deadline")
		}
		synctest.Wait()
		if got := len(w.Messages("C1")); got != 1 {
			t.Errorf("%d messages, want 1: the caller gave up before it was done", got)
		}
	})
}

func TestDown(t *testing.T) {
	w := newWorld(t)
	seen, _ := w.Slash(t.Context(), "U1", "C1", "/x")
	w.SetDown(true)
	var status slack.StatusCodeError
	if err := w.tryPost(t); !errors.As(err, &status) || status.Code != 503 {
		t.Errorf("got %v", err)
	}
	if code, _ := w.respond(t, seen.ResponseURL, `{"text":"x"}`); code != 503 {
		t.Errorf("response_url: %d", code)
	}
	w.SetDown(false)
	if err := w.tryPost(t); err != nil {
		t.Error(err)
	}
}

func TestRateTiers(t *testing.T) {
	w := newWorldWith(t, slacksim.Options{Limits: true})
	m := w.post(t, "C1", buttons)
	update := func() map[string]any {
		return w.call(t, "chat.update", url.Values{"channel": {"C1"}, "ts": {m.TS}, "text": {"x"}})
	}
	for i := range 50 {
		if got := update(); got["ok"] != true {
			t.Fatalf("update %d: %v", i+1, got)
		}
		w.clock.add(time.Second / 2)
	}
	got := update()
	refused(t, got, "ratelimited")
	if got["status"] != 429.0 {
		t.Errorf("status %v, want 429", got["status"])
	}
	var limited *slack.RateLimitedError
	_, _, _, err := w.api.UpdateMessageContext(t.Context(), "C1", m.TS, slack.MsgOptionText("x", false))
	if !errors.As(err, &limited) || limited.RetryAfter != 35*time.Second {
		t.Errorf("got %v, want Retry-After 35 s", err)
	}
	w.clock.add(35 * time.Second)
	if got := update(); got["ok"] != true {
		t.Errorf("after Retry-After: %v", got)
	}
	n := 0
	for _, c := range w.Calls() {
		if c.Outcome == "429" {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d refused calls are recorded, want 2", n)
	}
}

func TestPostsOneASecondAndChannel(t *testing.T) {
	w := newWorldWith(t, slacksim.Options{Limits: true})
	for i := range 4 {
		if err := w.tryPost(t); err != nil {
			t.Fatalf("burst %d: %v", i+1, err)
		}
	}
	var limited *slack.RateLimitedError
	if err := w.tryPost(t); !errors.As(err, &limited) || limited.RetryAfter != time.Second {
		t.Errorf("fifth post: %v", err)
	}
	if _, _, err := w.api.PostMessageContext(t.Context(), "C2", slack.MsgOptionText("x", false)); err != nil {
		t.Errorf("another channel: %v", err)
	}
	w.clock.add(time.Second)
	if err := w.tryPost(t); err != nil {
		t.Errorf("a second later: %v", err)
	}
}

func TestNoLimitsUnlessAsked(t *testing.T) {
	w := newWorld(t)
	for range 30 {
		if err := w.tryPost(t); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTiersByMethod(t *testing.T) {
	tests := []struct {
		method string
		form   url.Values
		most   int
	}{
		{"users.list", url.Values{}, 20},
		{"conversations.history", url.Values{"channel": {"C1"}}, 50},
		{"users.info", url.Values{"user": {"U1"}}, 100},
	}
	for _, tt := range tests {
		t.Run(tt.method, func(t *testing.T) {
			w := newWorldWith(t, slacksim.Options{Limits: true})
			for i := range tt.most {
				if got := w.call(t, tt.method, tt.form); got["ok"] != true {
					t.Fatalf("call %d: %v", i+1, got)
				}
			}
			refused(t, w.call(t, tt.method, tt.form), "ratelimited")
			if got := w.call(t, "auth.test", nil); got["ok"] != true {
				t.Errorf("another method: %v", got)
			}
		})
	}
}
