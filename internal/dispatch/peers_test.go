package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// peers is a world in which every call can be made to fail. Zero fields answer kindly.
type peers struct {
	*world

	project  func(name string) (kovra.Project, error)
	newest   func() ([]kovra.Run, error)
	head     func() (string, error)
	effect   func() error // of cancel, retry, retry job and play
	highest  func() (int64, error)
	find     func(above int64) (int64, bool, error)
	join     func() (bool, error)
	noPublic bool // KOVRA_PUBLIC_URL is not set

	vars []kovra.Variable // that the last pipeline was started with
	ref  string
}

func newPeers(t *testing.T) *peers {
	t.Helper()
	p := &peers{world: newWorld(t)}
	p.create = func() (int64, string, error) { return 77, "https://gitlab.example/77", nil }
	return p
}

func (p *peers) dispatch() *Dispatch {
	o := Options{HookURL: "https://kovra.example/webhooks/gitlab", Log: slog.New(slog.DiscardHandler)}
	if p.noPublic {
		o.HookURL = ""
	}
	return New(p.db, p.logs, World{Pipelines: p, Traces: p, Controls: p, Starts: p, Links: p, Gate: p, Channels: p}, o)
}

func (p *peers) Project(ctx context.Context, name string) (kovra.Project, error) {
	if p.project == nil {
		return p.world.Project(ctx, name)
	}
	return p.project(name)
}

func (p *peers) Latest(context.Context, int64, int) ([]kovra.Run, error) {
	if p.newest == nil {
		return p.latest, nil
	}
	return p.newest()
}

func (p *peers) Head(context.Context, int64, string) (string, error) {
	p.call("head")
	if p.head == nil {
		return "", nil
	}
	return p.head()
}

func (p *peers) CreatePipeline(ctx context.Context, project int64, ref string, vars []kovra.Variable, in map[string]string) (int64, string, error) {
	p.ref, p.vars = ref, vars
	return p.world.CreatePipeline(ctx, project, ref, vars, in)
}

func (p *peers) do(what string) error {
	p.call(what)
	if p.effect == nil {
		return nil
	}
	return p.effect()
}

func (p *peers) RetryPipeline(context.Context, int64, int64) error  { return p.do("retry") }
func (p *peers) CancelPipeline(context.Context, int64, int64) error { return p.do("cancel") }
func (p *peers) RetryJob(context.Context, int64, int64) error       { return p.do("retry job") }
func (p *peers) PlayJob(context.Context, int64, int64) error        { return p.do("play") }

func (p *peers) HighestPipeline(context.Context, int64) (int64, error) {
	if p.highest == nil {
		return 70, nil
	}
	return p.highest()
}

func (p *peers) FindPipeline(_ context.Context, _, above int64, _, _ string) (int64, bool, error) {
	p.call("find")
	if p.find == nil {
		return 0, false, nil
	}
	return p.find(above)
}

func (p *peers) Join(context.Context, string) (bool, error) {
	if p.join == nil {
		return true, nil
	}
	return p.join()
}

// count is how often something was called.
func (p *peers) count(what string) int {
	n := 0
	for _, c := range p.calls {
		if c == what {
			n++
		}
	}
	return n
}

// step takes one pass over an action and reports whether it is to be tried again.
func (p *peers) step(d *Dispatch, id int64) (again bool) {
	p.t.Helper()
	after, err := d.Actions().Reconcile(p.t.Context(), id)
	if err != nil && !mayPass(err) {
		p.t.Fatalf("unexpected: %v", err)
	}
	return err != nil || after > 0
}

// act proposes an action and takes one pass over it.
func (p *peers) act(a kovra.Action) kovra.Action {
	p.t.Helper()
	id := p.propose(a)
	p.step(p.dispatch(), id)
	return p.action(id)
}

func (p *peers) app(name string) (a kovra.App, err error) {
	p.t.Helper()
	err = p.db.Read(p.t.Context(), func(tx *storage.Tx) (err error) {
		a, err = tx.App(name)
		return err
	})
	return a, err
}

func (p *peers) saved(project int64) (k kovra.Project) {
	p.t.Helper()
	p.update(func(tx *storage.Tx) (err error) {
		k, err = tx.Project(project)
		return err
	})
	return k
}

func (p *peers) subscriptions(app string) map[string]kovra.Subscription {
	p.t.Helper()
	out := map[string]kovra.Subscription{}
	p.update(func(tx *storage.Tx) error {
		subs, err := tx.Subscriptions(storage.SubscriptionQuery{App: app})
		for _, s := range subs {
			out[s.Channel] = s
		}
		return err
	})
	return out
}

// wantEnd checks how an action ended; a failed or asking one has a sentence.
func wantEnd(t *testing.T, a kovra.Action, state kovra.ActionState, kind kovra.ErrorKind) {
	t.Helper()
	if a.State != state || a.Outcome.Kind != kind {
		t.Errorf("%s: state %q, kind %q (%s); want %q, %q", a.Kind, a.State, a.Outcome.Kind, a.Outcome.Reason, state, kind)
	}
	if (state == kovra.ActionFailed || state == kovra.ActionAsks) && a.Outcome.Reason == "" {
		t.Errorf("%s: nothing to tell the person", a.Kind)
	}
}

var (
	errBusy    = kovra.Errorf(kovra.Unavailable, "GitLab could not be reached.")
	errUnclear = kovra.Errorf(kovra.Unclear, "GitLab did not answer in time.")
	errDenied  = kovra.Errorf(kovra.Denied, "The bot may not do this.")
	errGone    = kovra.Errorf(kovra.NotFound, "GitLab knows no such thing.")
	errOurs    = errors.New("a fault of ours")
)

// once fails the first time alone.
func once(err error) func() error {
	return func() error {
		now := err
		err = nil
		return now
	}
}

func always(err error) func() error { return func() error { return err } }

// isDirty reports whether a loop is to look at a thing.
func (p *peers) isDirty(ref kovra.Ref) bool {
	p.t.Helper()
	var all []kovra.Ref
	for r, err := range p.db.Dirty(p.t.Context()) {
		if err != nil {
			p.t.Fatal(err)
		}
		all = append(all, r)
	}
	return slices.Contains(all, ref)
}

func (p *peers) later(d time.Duration) { p.now = p.now.Add(d) }
