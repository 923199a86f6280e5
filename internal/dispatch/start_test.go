package dispatch

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// wish is a start of a pipeline that somebody asked for.
func (p *peers) wishStart(ref string) int64 {
	p.t.Helper()
	var a kovra.Action
	p.update(func(tx *storage.Tx) (err error) {
		a, _, err = tx.Propose(kovra.Action{Kind: kovra.ActRun, App: "web", Params: kovra.Params{Ref: ref}},
			[]byte(`[{"key":"PASSWORD","value":"s3cret-value"}]`))
		return err
	})
	return a.ID
}

func TestStartDone(t *testing.T) {
	p := newPeers(t)
	p.link("web", web, "C1")
	id := p.wishStart("")
	p.step(p.dispatch(), id)
	a := p.action(id)
	wantEnd(t, a, kovra.ActionDone, "")
	if diff := cmp.Diff([]kovra.Variable{{Key: "PASSWORD", Value: "s3cret-value"}}, p.vars); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
	if p.ref != "main" || a.Outcome.Ref != "main" || a.Outcome.Remote != 77 || len(a.Params.Prints) != 1 {
		t.Errorf("started on %q, outcome %+v, %d prints", p.ref, a.Outcome, len(a.Params.Prints))
	}
	run, _ := p.run(a.Outcome.Run)
	if run.Remote != 77 || run.Status != kovra.Created || !run.WantsRead() {
		t.Errorf("run %+v", run)
	}
	var threads []kovra.Thread
	var secret []byte
	p.update(func(tx *storage.Tx) (err error) {
		secret, err = tx.Secret(id)
		if err == nil {
			threads, err = tx.ThreadsOfRun(run.ID)
		}
		return err
	})
	if len(threads) != 1 || secret != nil {
		t.Errorf("%d threads, secret kept: %v", len(threads), secret != nil)
	}
}

func TestStartFails(t *testing.T) {
	for name, c := range map[string]struct {
		fail func(p *peers)
		kind kovra.ErrorKind
	}{
		"denied by the gate":  {func(p *peers) { p.gate = errDenied }, kovra.Denied},
		"refused by GitLab":   {func(p *peers) { p.create = func() (int64, string, error) { return 0, "", errDenied } }, kovra.Denied},
		"without a project":   {func(p *peers) { p.update(func(tx *storage.Tx) error { return tx.SaveApp(kovra.App{Name: "web"}) }) }, kovra.Conflict},
		"without an app":      {func(p *peers) { p.update(func(tx *storage.Tx) error { return tx.DeleteApp("web") }) }, kovra.NotFound},
		"project is not seen": {func(p *peers) { p.highest = func() (int64, error) { return 0, errGone } }, kovra.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeers(t)
			p.link("web", web)
			id := p.wishStart("main")
			c.fail(p)
			p.step(p.dispatch(), id)
			wantEnd(t, p.action(id), kovra.ActionFailed, c.kind)
		})
	}
}

// What GitLab refuses for now is tried again, and its permission is asked for again.
func TestStartUnavailableThenDone(t *testing.T) {
	for name, busy := range map[string]func(p *peers){
		"before": func(p *peers) {
			first := once(errBusy)
			p.highest = func() (int64, error) { return 70, first() }
		},
		"at the start": func(p *peers) {
			first := once(errBusy)
			p.create = func() (int64, string, error) { return 77, "", first() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeers(t)
			p.link("web", web)
			busy(p)
			d, id := p.dispatch(), p.wishStart("main")
			if !p.step(d, id) || p.action(id).State != kovra.ActionWanted {
				t.Fatalf("state %q", p.action(id).State)
			}
			p.step(d, id)
			wantEnd(t, p.action(id), kovra.ActionDone, "")
		})
	}
}

// unclearStart is a start whose end GitLab did not tell.
func unclearStart(t *testing.T) (*peers, *Dispatch, int64) {
	t.Helper()
	p := newPeers(t)
	p.link("web", web)
	p.create = func() (int64, string, error) { return 0, "", errUnclear }
	d, id := p.dispatch(), p.wishStart("main")
	if !p.step(d, id) {
		t.Fatal("nobody looks for the pipeline")
	}
	if a := p.action(id); a.State != kovra.ActionTried || a.Params.Floor != 70 {
		t.Fatalf("state %q, floor %d", a.State, a.Params.Floor)
	}
	return p, d, id
}

func TestStartUnclearThenAdopted(t *testing.T) {
	p, d, id := unclearStart(t)
	p.gate = errDenied // what was started is followed up all the same
	first := once(errBusy)
	p.find = func(above int64) (int64, bool, error) {
		if above != 70 {
			t.Errorf("looked above %d", above)
		}
		return 78, true, first()
	}
	if !p.step(d, id) || p.action(id).State != kovra.ActionTried {
		t.Fatalf("while GitLab cannot be asked: %q", p.action(id).State)
	}
	p.step(d, id)
	a := p.action(id)
	wantEnd(t, a, kovra.ActionDone, "")
	if a.Outcome.Remote != 78 || p.count("create") != 1 {
		t.Errorf("outcome %+v, started %d times", a.Outcome, p.count("create"))
	}
}

// A pipeline that another wish has started is not taken for ours.
func TestStartDoesNotAdoptAnothers(t *testing.T) {
	p, d, id := unclearStart(t)
	other := p.propose(kovra.Action{Kind: kovra.ActRun, App: "web", Params: kovra.Params{Ref: "main"}})
	run := p.observe(pipeline(78, kovra.Running))
	p.update(func(tx *storage.Tx) error {
		return tx.FinishAction(other, kovra.ActionDone, kovra.Outcome{Remote: 78, Run: run.ID})
	})
	p.find = func(above int64) (int64, bool, error) {
		if above < 78 {
			return 78, true, nil
		}
		return 79, true, nil
	}
	p.step(d, id)
	if a := p.action(id); a.State != kovra.ActionDone || a.Outcome.Remote != 79 {
		t.Errorf("state %q, outcome %+v", a.State, a.Outcome)
	}
}

func TestStartUnclearAndNeverSeen(t *testing.T) {
	p, d, id := unclearStart(t)
	p.later(19 * time.Second)
	if !p.step(d, id) {
		t.Fatal("given up too early")
	}
	p.later(time.Second)
	p.step(d, id)
	a := p.action(id)
	wantEnd(t, a, kovra.ActionFailed, kovra.Conflict)
	if p.count("create") != 1 || a.Outcome.Ref != "main" {
		t.Errorf("started %d times, outcome %+v", p.count("create"), a.Outcome)
	}
}

// What may have been started is looked for as long as anything is tried, however long it took before; and if nobody can tell, that
// is what is told.
func TestStartUnclearAndNobodyTells(t *testing.T) {
	p := newPeers(t)
	p.link("web", web)
	p.create = func() (int64, string, error) { return 0, "", errBusy }
	d, id := p.dispatch(), p.wishStart("main")
	p.step(d, id)
	p.later(9*time.Minute + 50*time.Second)
	p.create = func() (int64, string, error) { return 0, "", errUnclear }
	p.step(d, id)
	p.find = func(int64) (int64, bool, error) { return 0, false, errBusy }
	for range 2 {
		p.later(4 * time.Minute)
		if !p.step(d, id) || p.action(id).State != kovra.ActionTried {
			t.Fatalf("given up while GitLab cannot be asked: %+v", p.action(id))
		}
	}
	p.later(2 * time.Minute)
	p.step(d, id)
	a := p.action(id)
	wantEnd(t, a, kovra.ActionFailed, kovra.Unclear)
	if want := "GitLab could not be reached. Whether it was started is not known: look at GitLab before you try again."; a.Outcome.Reason != want {
		t.Errorf("told %q, want %q", a.Outcome.Reason, want)
	}
}

// A fault of ours ends the action with a sentence that tells nothing of it, and is logged by the loop.
func TestFaultOfOursIsToldAndLogged(t *testing.T) {
	p := newPeers(t)
	p.link("web", web)
	id := p.wishStart("main")
	p.highest = func() (int64, error) { return 0, errOurs }
	if _, err := p.dispatch().Actions().Reconcile(t.Context(), id); !errors.Is(err, errOurs) {
		t.Errorf("the loop hears %v", err)
	}
	a := p.action(id)
	wantEnd(t, a, kovra.ActionFailed, kovra.Internal)
	if a.Outcome.Reason != kovra.PublicText(errOurs) {
		t.Errorf("reason %q", a.Outcome.Reason)
	}
}

func TestVariablesThatCannotBeRead(t *testing.T) {
	p := newPeers(t)
	p.link("web", web)
	var id int64
	p.update(func(tx *storage.Tx) error {
		a, _, err := tx.Propose(kovra.Action{Kind: kovra.ActRun, App: "web"}, []byte("not a list"))
		id = a.ID
		return err
	})
	if _, err := p.dispatch().Actions().Reconcile(t.Context(), id); err == nil {
		t.Error("nobody hears of it")
	}
	wantEnd(t, p.action(id), kovra.ActionFailed, kovra.Internal)
	if p.count("create") != 0 {
		t.Error("a pipeline was started without its variables")
	}
}

func TestUnknownActions(t *testing.T) {
	p := newPeers(t)
	wantEnd(t, p.act(kovra.Action{Kind: "dance", App: "web"}), kovra.ActionFailed, kovra.Invalid)
	if _, err := p.dispatch().Actions().Reconcile(t.Context(), 99); kovra.KindOf(err) != kovra.NotFound {
		t.Errorf("an action that is not: %v", err)
	}
}
