package dispatch

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/reconcile"
	"kovra.dev/chatops/storage"
)

// life plays a pipeline at GitLab, whose every change comes as a webhook to a real loop.
type life struct {
	*peers

	mu    sync.Mutex
	truth kovra.Observation
}

// between is the time between two changes: longer than a burst, so that nothing is saved by folding.
const between = 3 * time.Second

// newLife starts a loop of runs over a new world, in the time of a synctest bubble.
func newLife(t *testing.T) *life {
	t.Helper()
	db, err := storage.Open(t.Context(), storage.Options{Path: filepath.Join(t.TempDir(), "kovra.db"), Key: [][]byte{make([]byte, 32)}})
	if err != nil {
		t.Fatal(err)
	}
	l := &life{peers: &peers{world: &world{t: t, db: db}}}
	l.openLogs(0)
	l.truth.Run = kovra.Run{Project: web, Remote: 5, Ref: "main", CreatedAt: time.Now()}
	l.pipeline = func(int64) (kovra.Observation, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		o := whole(l.truth)
		o.Jobs = append([]kovra.Job(nil), o.Jobs...)
		o.Run.UpdatedAt = time.Now()
		return o, nil
	}
	l.link("web", web, "C1")
	loop := reconcile.New(l.dispatch().Runs(), reconcile.Options{Name: "runs", Workers: 1})
	db.OnChange(func(refs []kovra.Ref) {
		for _, r := range refs {
			if r.Kind == kovra.RefRun {
				loop.Kick(r.ID)
			}
		}
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- loop.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-ended
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// hook tells of the pipeline and the jobs as they are now, and lets time pass.
func (l *life) hook(jobs ...kovra.Job) {
	l.t.Helper()
	l.mu.Lock()
	o := kovra.Observation{Run: l.truth.Run, Jobs: jobs}
	l.mu.Unlock()
	l.observe(o)
	<-time.After(between)
	synctest.Wait()
}

func (l *life) move(s kovra.Status) {
	l.t.Helper()
	l.mu.Lock()
	l.truth.Run.Status = s
	if s.Final() {
		l.truth.Run.FinishedAt = time.Now()
	}
	jobs := append([]kovra.Job(nil), l.truth.Jobs...)
	l.mu.Unlock()
	l.hook(jobs...)
}

func (l *life) job(name string, s kovra.Status) {
	l.t.Helper()
	l.mu.Lock()
	at := -1
	for i, j := range l.truth.Jobs {
		if j.Name == name {
			at = i
		}
	}
	if at < 0 {
		at = len(l.truth.Jobs)
		l.truth.Jobs = append(l.truth.Jobs, kovra.Job{ID: 51 + int64(at), Name: name, CreatedAt: time.Now()})
	}
	j := &l.truth.Jobs[at]
	j.Status = s
	switch {
	case s == kovra.Running:
		j.StartedAt = time.Now()
	case s.Final():
		j.FinishedAt = time.Now()
	}
	now := *j
	l.mu.Unlock()
	l.hook(now)
}

// play lets five jobs run, each with all its hooks; unit ends as told.
func (l *life) play(end kovra.Status) {
	l.t.Helper()
	all := []string{"compile", "unit", "lint", "docs", "package"}
	for _, name := range all {
		l.job(name, kovra.Created)
	}
	l.move(kovra.Created)
	l.move(kovra.Pending)
	for i, name := range all {
		l.job(name, kovra.Pending)
		l.job(name, kovra.Running)
		if i == 0 {
			l.move(kovra.Running)
		}
		if name == "unit" {
			l.job(name, end)
		} else {
			l.job(name, kovra.Success)
		}
	}
	l.move(end)
	<-time.After(time.Hour)
	synctest.Wait()
}

// How often GitLab is asked about one ordinary pipeline: when it is new, before the log of a
// failure is read, and at its end. What the webhooks tell is not asked for.
func TestCallsOfOneOrdinaryPipeline(t *testing.T) {
	for end, bound := range map[kovra.Status]struct{ reads, traces int }{
		kovra.Success: {reads: 2},
		kovra.Failed:  {reads: 3, traces: 1},
	} {
		t.Run(string(end), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t)
				l.play(end)
				reads, traces := l.count("read"), l.count("trace")
				t.Logf("a pipeline of 5 jobs that ends in %s: %d re-reads, %d logs", end, reads, traces)
				if reads > bound.reads || traces != bound.traces || len(l.calls) != reads+traces {
					t.Errorf("calls %q, want at most %+v", l.calls, bound)
				}
				var run kovra.Run
				l.update(func(tx *storage.Tx) (err error) {
					run, err = tx.RunByRemote(web, 5)
					return err
				})
				if run.Status != end || run.WantsRead() || l.isDirty(kovra.Ref{Kind: kovra.RefRun, ID: run.ID}) {
					t.Errorf("at the end: %s, wants a read: %v", run.Status, run.WantsRead())
				}
			})
		})
	}
}
