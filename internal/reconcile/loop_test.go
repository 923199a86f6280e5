package reconcile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"kovra.dev/chatops/internal/reconcile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// passes is a reconciler that notes when each key was looked at.
type passes struct {
	mu    sync.Mutex
	start time.Time
	seen  []string
	do    reconcile.Func[string]
}

func (p *passes) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	p.mu.Lock()
	p.seen = append(p.seen, fmt.Sprintf("%s@%s", key, time.Since(p.start)))
	p.mu.Unlock()
	if p.do == nil {
		return 0, nil
	}
	return p.do(ctx, key)
}

func (p *passes) want(t *testing.T, want ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if diff := cmp.Diff(want, p.seen); diff != "" {
		t.Errorf("passes (-want +got):\n%s", diff)
	}
}

// running is a loop inside a synctest bubble.
type running struct {
	*reconcile.Loop[string]
	*passes
	outcomes []reconcile.Outcome
	log      bytes.Buffer
	stop     context.CancelFunc
	ended    chan struct{}
}

// run starts a loop around do. It ends with the test.
func run(t *testing.T, o reconcile.Options, do reconcile.Func[string]) *running {
	t.Helper()
	r := &running{passes: &passes{start: time.Now(), do: do}, ended: make(chan struct{})}
	o.Name = "threads"
	o.Log = slog.New(slog.NewTextHandler(&r.log, nil))
	o.OnResult = func(name string, outcome reconcile.Outcome, _ time.Duration) {
		if name != "threads" {
			t.Errorf("OnResult was given the name %q", name)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.outcomes = append(r.outcomes, outcome)
	}
	r.Loop = reconcile.New(r.passes, o)
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	go func() {
		defer close(r.ended)
		if err := r.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	t.Cleanup(func() {
		stop()
		<-r.ended
	})
	synctest.Wait()
	return r
}

// settle lets d pass and the bubble come to rest; what the loop did before is
// then visible to the test.
func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestKicksOfOneKeyMerge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, reconcile.Options{}, func(_ context.Context, key string) (time.Duration, error) {
			if key == "slow" {
				time.Sleep(time.Second)
			}
			return 0, nil
		})
		r.Kick("slow")
		synctest.Wait()
		for range 100 {
			r.Kick("a")
			r.Kick("b")
		}
		if got := r.Len(); got != 2 {
			t.Errorf("Len = %d, want 2", got)
		}
		settle(300 * time.Millisecond)
		if got, want := r.OldestAge(), 300*time.Millisecond; got != want {
			t.Errorf("OldestAge = %s, want %s", got, want)
		}
		settle(time.Second)
		r.want(t, "slow@0s", "a@1s", "b@1s")
		if r.Len() != 0 || r.OldestAge() != 0 {
			t.Errorf("at rest: Len = %d, OldestAge = %s, want none", r.Len(), r.OldestAge())
		}
	})
}

func TestAKeyIsInOneHandAndAKickMeanwhileLeadsToOneMorePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inHand := 0
		var mu sync.Mutex
		r := run(t, reconcile.Options{Workers: 4}, func(context.Context, string) (time.Duration, error) {
			mu.Lock()
			if inHand++; inHand > 1 {
				t.Error("the same key is in two hands")
			}
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			inHand--
			mu.Unlock()
			return 0, nil
		})
		r.Kick("a")
		synctest.Wait()
		for range 10 {
			r.Kick("a")
		}
		settle(10 * time.Second)
		r.want(t, "a@0s", "a@1s")
	})
}

func TestWorkersRunSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, reconcile.Options{Workers: 3}, func(context.Context, string) (time.Duration, error) {
			time.Sleep(time.Second)
			return 0, nil
		})
		for _, key := range []string{"a", "b", "c", "d"} {
			r.Kick(key)
		}
		settle(5 * time.Second)
		slices.Sort(r.seen)
		r.want(t, "a@0s", "b@0s", "c@0s", "d@1s")
	})
}

func TestKicksBeforeRunAreKeptAndAfterRunIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &passes{start: time.Now()}
		loop := reconcile.New(p, reconcile.Options{Name: "runs"})
		loop.Kick("a")
		loop.Kick("a")
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- loop.Run(ctx) }()
		synctest.Wait()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		loop.Kick("b")
		p.want(t, "a@0s")
		if loop.Len() != 0 {
			t.Errorf("Len = %d after the end, want 0", loop.Len())
		}
		if err := loop.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "runs") {
			t.Errorf("second Run: %v, want an error that names the loop", err)
		}
	})
}

func TestAgainIsNotAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r := run(t, reconcile.Options{}, func(context.Context, string) (time.Duration, error) {
			if calls++; calls < 3 {
				return 7 * time.Second, nil
			}
			return 0, nil
		})
		r.Kick("a")
		settle(time.Minute)
		r.want(t, "a@0s", "a@7s", "a@14s")
		want := []reconcile.Outcome{reconcile.Again, reconcile.Again, reconcile.Done}
		if diff := cmp.Diff(want, r.outcomes); diff != "" {
			t.Errorf("outcomes (-want +got):\n%s", diff)
		}
		if r.log.Len() > 0 {
			t.Errorf("logged: %s", &r.log)
		}
	})
}

func TestFailuresBackOffPerKeyAndSuccessResets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		var mended atomic.Bool
		start := time.Now()
		r := run(t, reconcile.Options{Backoff: reconcile.Backoff{Base: time.Second, Max: 4 * time.Second}},
			func(_ context.Context, key string) (time.Duration, error) {
				if key != "bad" || mended.Load() {
					return 0, nil
				}
				at = append(at, time.Since(start))
				return time.Hour, errors.New("gitlab is away")
			})
		r.Kick("bad")
		settle(30 * time.Second)
		for i, limit := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 4 * time.Second} {
			if pause := at[i+1] - at[i]; pause < limit/2 || pause > limit {
				t.Errorf("pause %d = %s, want between %s and %s", i+1, pause, limit/2, limit)
			}
		}
		if got, want := strings.Count(r.log.String(), "reconcile failed"), len(at); got != want {
			t.Errorf("%d lines logged for %d failures:\n%s", got, want, &r.log)
		}
		for _, part := range []string{"level=WARN", "loop=threads", "key=bad", `err="gitlab is away"`} {
			if !strings.Contains(r.log.String(), part) {
				t.Errorf("the log lacks %s:\n%s", part, &r.log)
			}
		}

		r.Kick("good") // another key is not held up
		synctest.Wait()
		if got := r.outcomes[len(r.outcomes)-1]; got != reconcile.Done {
			t.Errorf("another key: %s, want done", got)
		}

		mended.Store(true)
		settle(5 * time.Second)
		mended.Store(false)
		at = nil
		r.Kick("bad")
		settle(2 * time.Second)
		if len(at) < 2 || at[1]-at[0] > time.Second {
			t.Errorf("after a success: failures at %v, want the first pause to be under 1s again", at)
		}
	})
}

// told is an error of a server that says when to come back.
type told time.Duration

func (e told) Error() string             { return "too many requests" }
func (e told) RetryAfter() time.Duration { return time.Duration(e) }

func TestAnErrorMayNameItsPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r := run(t, reconcile.Options{}, func(context.Context, string) (time.Duration, error) {
			switch calls++; calls {
			case 1:
				return 0, fmt.Errorf("edit card: %w", told(42*time.Second))
			case 2:
				return 0, told(0) // names none: backoff
			}
			return 0, nil
		})
		r.Kick("a")
		settle(42*time.Second + 300*time.Millisecond)
		if calls != 3 || r.seen[1] != "a@42s" {
			t.Errorf("passes: %v, want the second after 42s, the third within 200ms", r.seen)
		}
	})
}

// A reminder is no news: it does not shorten the pause after a failure, as a kick does.
func TestAReminderLeavesPausesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r := run(t, reconcile.Options{}, func(context.Context, string) (time.Duration, error) {
			if calls++; calls == 1 || calls == 3 {
				return 0, told(time.Minute)
			}
			return 0, nil
		})
		r.Remind("a")
		settle(30 * time.Second)
		r.Remind("a")
		settle(31 * time.Second)
		r.want(t, "a@0s", "a@1m0s")
		r.Remind("a") // fails again
		settle(10 * time.Second)
		r.Kick("a")
		synctest.Wait()
		r.Remind("a") // there is no pause any more
		synctest.Wait()
		r.want(t, "a@0s", "a@1m0s", "a@1m1s", "a@1m11s", "a@1m11s")
	})
}

func TestAPanicIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r := run(t, reconcile.Options{}, func(context.Context, string) (time.Duration, error) {
			switch calls++; calls {
			case 1:
				panic("no such job")
			case 2:
				panic(fmt.Errorf("wrapped: %w", told(time.Second)))
			}
			return 0, nil
		})
		r.Kick("a")
		settle(time.Minute)
		want := []reconcile.Outcome{reconcile.Panicked, reconcile.Panicked, reconcile.Done}
		if diff := cmp.Diff(want, r.outcomes); diff != "" {
			t.Errorf("outcomes (-want +got):\n%s", diff)
		}
		for _, part := range []string{"level=ERROR", "panic: no such job", "loop_test.go", "key=a"} {
			if !strings.Contains(r.log.String(), part) {
				t.Errorf("the log lacks %q:\n%s", part, &r.log)
			}
		}
	})
}

func TestACallIsBoundedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r := run(t, reconcile.Options{Timeout: 3 * time.Second}, func(ctx context.Context, _ string) (time.Duration, error) {
			if calls++; calls > 1 {
				return 0, nil
			}
			<-ctx.Done()
			return 0, ctx.Err()
		})
		r.Kick("a")
		settle(4 * time.Second)
		if !strings.Contains(r.log.String(), "deadline exceeded") {
			t.Errorf("a timeout is not logged:\n%s", &r.log)
		}
		if calls != 2 {
			t.Errorf("%d calls, want the timeout to be tried again", calls)
		}
	})
}

func TestShutdown(t *testing.T) {
	work := map[string]reconcile.Func[string]{
		"finishes": func(ctx context.Context, _ string) (time.Duration, error) {
			select {
			case <-time.After(2 * time.Second):
				return time.Second, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		},
		"is cut": func(ctx context.Context, _ string) (time.Duration, error) {
			<-ctx.Done()
			return 0, fmt.Errorf("post card: %w", ctx.Err())
		},
		"fails": func(context.Context, string) (time.Duration, error) {
			time.Sleep(time.Second)
			return 0, errors.New("slack is away")
		},
	}
	tests := []struct {
		work    string
		took    time.Duration
		outcome reconcile.Outcome
		logged  bool
	}{
		{"finishes", 2 * time.Second, reconcile.Again, false},
		{"is cut", 5 * time.Second, reconcile.Canceled, false},
		{"fails", time.Second, reconcile.Failed, true},
	}
	for _, tt := range tests {
		t.Run(tt.work, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := run(t, reconcile.Options{}, work[tt.work])
				r.Kick("in hand")
				synctest.Wait()
				r.Kick("waiting")
				start := time.Now()
				r.stop()
				<-r.ended
				if took := time.Since(start); took != tt.took {
					t.Errorf("Run ended %s after it was told, want %s", took, tt.took)
				}
				r.want(t, "in hand@0s")
				if diff := cmp.Diff([]reconcile.Outcome{tt.outcome}, r.outcomes); diff != "" {
					t.Errorf("outcomes (-want +got):\n%s", diff)
				}
				if got := r.log.Len() > 0; got != tt.logged {
					t.Errorf("logged: %t, want %t\n%s", got, tt.logged, &r.log)
				}
			})
		})
	}
}

func TestManyKeysFromManySides(t *testing.T) {
	const keys, kickers = 500, 8
	var mu sync.Mutex
	seen := map[int]int{}
	all := make(chan struct{})
	loop := reconcile.New(reconcile.Func[int](func(_ context.Context, key int) (time.Duration, error) {
		mu.Lock()
		defer mu.Unlock()
		if seen[key]++; seen[key] == 1 && len(seen) == keys {
			close(all)
		}
		return 0, nil
	}), reconcile.Options{Workers: 4})
	ctx, stop := context.WithCancel(t.Context())
	var g sync.WaitGroup
	g.Go(func() {
		if err := loop.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	for range kickers {
		g.Go(func() {
			for key := range keys {
				loop.Kick(key)
			}
		})
	}
	<-all
	stop()
	g.Wait()
}

func TestKickOfAWaitingKeyAllocatesNothing(t *testing.T) {
	loop := reconcile.New(reconcile.Func[string](nil), reconcile.Options{Name: "threads"})
	loop.Kick("a")
	if got := testing.AllocsPerRun(1000, func() { loop.Kick("a") }); got != 0 {
		t.Errorf("%.1f allocations a kick, want 0", got)
	}
	if got := loop.Name(); got != "threads" {
		t.Errorf("Name = %q", got)
	}
}

func BenchmarkKick(b *testing.B) {
	b.Run("waiting", func(b *testing.B) {
		loop := reconcile.New(reconcile.Func[string](nil), reconcile.Options{})
		b.ReportAllocs()
		for b.Loop() {
			loop.Kick("thread-42")
		}
	})
	b.Run("worked off", func(b *testing.B) {
		keys := make([]string, 1024)
		for i := range keys {
			keys[i] = fmt.Sprintf("thread-%d", i)
		}
		loop := reconcile.New(reconcile.Func[string](func(context.Context, string) (time.Duration, error) {
			return 0, nil
		}), reconcile.Options{Workers: 2})
		ctx, stop := context.WithCancel(b.Context())
		var g sync.WaitGroup
		g.Go(func() { _ = loop.Run(ctx) })
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			loop.Kick(keys[i%len(keys)])
		}
		stop()
		g.Wait()
	})
}
