package dispatch

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

const web = 7 // a GitLab project

var morning = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// world is a GitLab, a gate and a Slack that do as the test says; zero fields answer kindly.
type world struct {
	t    *testing.T
	db   *storage.DB
	logs *storage.Logs
	now  time.Time

	pipeline func(id int64) (kovra.Observation, error)
	trace    func(job int64) (io.ReadCloser, error)
	job      func(id int64) (kovra.Job, int64, error)
	changed  func(since time.Time) ([]kovra.Run, time.Time, error)
	latest   []kovra.Run
	hook     func() (Hook, error)
	unhook   error
	member   bool // the person may act, but is no administrator
	create   func() (int64, string, error)
	retry    func() error
	gate     error

	calls []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: morning}
	db, err := storage.Open(t.Context(), storage.Options{
		Path: filepath.Join(t.TempDir(), "kovra.db"), Key: [][]byte{make([]byte, 32)}, Now: func() time.Time { return w.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w.db = db
	w.openLogs(0)
	return w
}

// openLogs opens a store that keeps so many bytes of one log; 0: as many as usual.
func (w *world) openLogs(most int64) {
	w.t.Helper()
	o := storage.LogsOptions{Path: filepath.Join(w.t.TempDir(), "logs.db"), MaxLog: most}
	if !w.now.IsZero() {
		o.Now = func() time.Time { return w.now }
	}
	logs, err := storage.OpenLogs(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = logs.Close() })
	w.logs = logs
}

func (w *world) dispatch() *Dispatch {
	return New(w.db, w.logs, World{
		Pipelines: w, Traces: w, Controls: w, Starts: w, Links: w, Gate: w, Channels: w,
	}, Options{HookURL: "https://kovra.example/webhooks/gitlab", Log: slog.New(slog.DiscardHandler)})
}

func (w *world) call(what string) { w.calls = append(w.calls, what) }

func (w *world) Pipeline(_ context.Context, _, id int64) (kovra.Observation, error) {
	w.call("read")
	if w.pipeline == nil {
		return kovra.Observation{}, kovra.Errorf(kovra.NotFound, "no such pipeline")
	}
	return w.pipeline(id)
}

func (w *world) Changed(_ context.Context, _ int64, since time.Time) ([]kovra.Run, time.Time, error) {
	w.call("changed")
	if w.changed == nil {
		return nil, since, nil
	}
	return w.changed(since)
}

func (w *world) Latest(context.Context, int64, int) ([]kovra.Run, error) { return w.latest, nil }

func (w *world) Head(context.Context, int64, string) (string, error) { return "", nil }

func (w *world) Trace(_ context.Context, _, job int64) (io.ReadCloser, error) {
	w.call("trace")
	if w.trace == nil {
		return io.NopCloser(strings.NewReader("boom")), nil
	}
	return w.trace(job)
}

func (w *world) Job(_ context.Context, project, id int64) (kovra.Job, int64, error) {
	w.call("job")
	if w.job == nil {
		return kovra.Job{ID: id, Project: project, Status: kovra.Failed, FinishedAt: morning}, 5, nil
	}
	return w.job(id)
}

func (w *world) CreatePipeline(context.Context, int64, string, []kovra.Variable, map[string]string) (int64, string, error) {
	w.call("create")
	return w.create()
}

func (w *world) RetryPipeline(context.Context, int64, int64) error {
	w.call("retry")
	if w.retry == nil {
		return nil
	}
	return w.retry()
}
func (w *world) CancelPipeline(context.Context, int64, int64) error { w.call("cancel"); return nil }
func (w *world) RetryJob(context.Context, int64, int64) error       { w.call("retry job"); return nil }
func (w *world) PlayJob(context.Context, int64, int64) error        { w.call("play"); return nil }

func (w *world) HighestPipeline(context.Context, int64) (int64, error) { return 0, nil }
func (w *world) FindPipeline(context.Context, int64, int64, string, string) (int64, bool, error) {
	return 0, false, nil
}

func (w *world) Project(context.Context, string) (kovra.Project, error) {
	return kovra.Project{ID: web, Path: "group/web", DefaultBranch: "main"}, nil
}

func (w *world) Level(context.Context, int64) (int, error) { return 50, nil }

func (w *world) EnsureHook(context.Context, int64, string, HookEvents) (Hook, error) {
	if w.hook == nil {
		return Hook{ID: 1, Created: true, Ours: true}, nil
	}
	return w.hook()
}

func (w *world) RemoveHook(context.Context, int64, int64) error { w.call("unhook"); return w.unhook }

func (w *world) TestHook(context.Context, int64, int64) error { w.call("test"); return nil }

func (w *world) May(_ context.Context, _ kovra.Person, need kovra.Permission, _ string) error {
	if need.Level() == kovra.MayAdmin && w.gate == nil && w.member {
		return kovra.Errorf(kovra.Denied, "Only administrators may.")
	}
	return w.gate
}
func (w *world) Join(context.Context, string) (bool, error) { return true, nil }

func (w *world) update(fn func(*storage.Tx) error) {
	w.t.Helper()
	if err := w.db.Update(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

// link links an app without asking anybody.
func (w *world) link(app string, project int64, channels ...string) {
	w.t.Helper()
	w.update(func(tx *storage.Tx) error {
		p := kovra.Project{ID: project, Path: "group/" + app, DefaultBranch: "main", LinkedAt: morning}
		if err := tx.SaveProject(p); err != nil {
			return err
		}
		for _, c := range channels {
			if err := tx.SaveSubscription(kovra.Subscription{App: app, Channel: c}); err != nil {
				return err
			}
		}
		return tx.SaveApp(kovra.App{Name: app, Project: project})
	})
}

func (w *world) observe(o kovra.Observation) kovra.Run {
	w.t.Helper()
	var run kovra.Run
	w.update(func(tx *storage.Tx) (err error) {
		run, _, err = tx.Observe(o)
		return err
	})
	return run
}

func (w *world) run(id int64) (run kovra.Run, jobs []kovra.Job) {
	w.t.Helper()
	w.update(func(tx *storage.Tx) (err error) {
		if run, err = tx.Run(id); err != nil {
			return err
		}
		jobs, err = tx.Jobs(id)
		return err
	})
	return run, jobs
}

func (w *world) propose(a kovra.Action) int64 {
	w.t.Helper()
	w.update(func(tx *storage.Tx) (err error) {
		a, _, err = tx.Propose(a, nil)
		return err
	})
	return a.ID
}

func (w *world) action(id int64) (a kovra.Action) {
	w.t.Helper()
	w.update(func(tx *storage.Tx) (err error) {
		a, err = tx.Action(id)
		return err
	})
	return a
}

// pipeline is a hook of a pipeline with jobs.
func pipeline(id int64, status kovra.Status, jobs ...kovra.Job) kovra.Observation {
	o := kovra.Observation{Run: kovra.Run{Project: web, Remote: id, Ref: "main", Status: status}, Jobs: jobs}
	if status.Final() {
		o.Run.FinishedAt = morning
	}
	return o
}

// whole is the same as the API tells it.
func whole(o kovra.Observation) kovra.Observation {
	o.Whole = true
	return o
}
