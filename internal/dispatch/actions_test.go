package dispatch

import (
	"testing"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// Whoever may act on an app may act on the pipelines of its project alone, also when the
// app was linked to another one, or to none, since the button was drawn.
func TestActionNeedsTheProjectOfItsApp(t *testing.T) {
	for name, project := range map[string]int64{"another project": 8, "no project": 0} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.link("web", web)
			o := pipeline(5, kovra.Running)
			w.pipeline = func(int64) (kovra.Observation, error) { return whole(o), nil }
			run := w.observe(o)
			w.link("api", 8)
			id := w.propose(kovra.Action{Kind: kovra.ActCancel, App: "web", Run: run.ID})
			w.update(func(tx *storage.Tx) error { return tx.SaveApp(kovra.App{Name: "web", Project: project}) })
			if _, err := w.dispatch().Actions().Reconcile(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			if a := w.action(id); a.State != kovra.ActionFailed || a.Outcome.Kind != kovra.Conflict {
				t.Errorf("state %q, outcome %+v", a.State, a.Outcome)
			}
			if len(w.calls) != 0 {
				t.Errorf("GitLab was called: %q", w.calls)
			}
		})
	}
}

// A start whose end is not known holds up starts on the same ref of its own project alone.
func TestUnclearStartHoldsUpItsOwnProjectAlone(t *testing.T) {
	w := newWorld(t)
	w.link("web", web)
	w.link("api", 8)
	w.link("site", web) // shares the project of web
	w.create = func() (int64, string, error) { return 0, "", kovra.Errorf(kovra.Unclear, "no answer") }
	d := w.dispatch()
	start := func(app string) kovra.Action {
		t.Helper()
		id := w.propose(kovra.Action{Kind: kovra.ActRun, App: app, Params: kovra.Params{Ref: "main"}})
		if _, err := d.Actions().Reconcile(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		return w.action(id)
	}
	if a := start("web"); a.State != kovra.ActionTried {
		t.Fatalf("first start: %q", a.State)
	}
	w.create = func() (int64, string, error) { return 77, "", nil }
	if a := start("api"); a.State != kovra.ActionDone {
		t.Errorf("start in another project: %q", a.State)
	}
	if a := start("site"); a.State != kovra.ActionWanted {
		t.Errorf("start in the same project: %q", a.State)
	}
}

// What a retry is judged by is what GitLab says, also when hooks come in between.
func TestActionIsJudgedByAWholeReRead(t *testing.T) {
	w := newWorld(t)
	w.link("web", web)
	failed := pipeline(5, kovra.Failed, kovra.Job{ID: 51, Name: "unit", Status: kovra.Failed})
	run := w.observe(failed)
	reads := 0
	w.pipeline = func(int64) (kovra.Observation, error) {
		if reads++; reads == 1 {
			w.observe(kovra.Observation{Run: kovra.Run{Project: web, Remote: 5, Title: "a hook meanwhile"}})
		}
		return whole(pipeline(5, kovra.Running, kovra.Job{ID: 51, Name: "unit", Status: kovra.Failed})), nil
	}
	id := w.propose(kovra.Action{Kind: kovra.ActRetry, App: "web", Run: run.ID})
	if _, err := w.dispatch().Actions().Reconcile(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if a := w.action(id); a.State != kovra.ActionFailed {
		t.Errorf("state %q, calls %q: it runs already", a.State, w.calls)
	}
}

// A hook that could not be taken away is not said to be gone, and stays ours.
func TestUnlinkTellsTheTruthAboutTheHook(t *testing.T) {
	w := newWorld(t)
	w.link("web", web)
	w.update(func(tx *storage.Tx) error {
		return tx.SaveProject(kovra.Project{ID: web, Path: "group/web", Hook: 3, HookOurs: true})
	})
	w.unhook = kovra.Errorf(kovra.Denied, "The bot's token may not manage the webhooks of this project.")
	id := w.propose(kovra.Action{Kind: kovra.ActUnlink, App: "web"})
	if _, err := w.dispatch().Actions().Reconcile(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	a := w.action(id)
	if a.State != kovra.ActionDone || a.Outcome.Hook != kovra.HookKept || a.Outcome.Reason == "" {
		t.Errorf("state %q, outcome %+v", a.State, a.Outcome)
	}
}

// A hook that we made stays ours when the process dies before it has recorded that.
func TestHookStaysOursAfterACrash(t *testing.T) {
	w := newWorld(t)
	w.hook = func() (Hook, error) { return Hook{ID: 3, Ours: true}, nil } // found, with our name
	id := w.propose(kovra.Action{Kind: kovra.ActLink, App: "web", Channel: "C1", Params: kovra.Params{Project: "group/web"}})
	if _, err := w.dispatch().Actions().Reconcile(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if a := w.action(id); a.Outcome.Hook != kovra.HookFound {
		t.Errorf("outcome: %+v", a.Outcome)
	}
	id = w.propose(kovra.Action{Kind: kovra.ActUnlink, App: "web"})
	if _, err := w.dispatch().Actions().Reconcile(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if a := w.action(id); a.Outcome.Hook != kovra.HookRemoved {
		t.Errorf("outcome: %+v", a.Outcome)
	}
}

// While GitLab says no before it does anything, nothing was started: the permission is asked for
// again, and what somebody else did meanwhile is theirs.
func TestRefusedForNowIsNotStarted(t *testing.T) {
	w := newWorld(t)
	w.link("web", web)
	now := pipeline(5, kovra.Failed, kovra.Job{ID: 51, Name: "unit", Status: kovra.Failed})
	w.pipeline = func(int64) (kovra.Observation, error) { return whole(now), nil }
	run := w.observe(now)
	w.retry = func() error { return kovra.Errorf(kovra.Unavailable, "GitLab limits how often it may be asked.") }
	d := w.dispatch()
	id := w.propose(kovra.Action{Kind: kovra.ActRetry, App: "web", Run: run.ID})
	if _, err := d.Actions().Reconcile(t.Context(), id); err == nil || w.action(id).State != kovra.ActionWanted {
		t.Fatalf("error %v, state %q", err, w.action(id).State)
	}
	w.gate = kovra.Errorf(kovra.Denied, "You may not do that any more.")
	if _, err := d.Actions().Reconcile(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if a := w.action(id); a.State != kovra.ActionFailed || a.Outcome.Kind != kovra.Denied {
		t.Errorf("state %q, outcome %+v", a.State, a.Outcome)
	}
	if _, err := d.Actions().Reconcile(t.Context(), id); err != nil || len(w.calls) != 2 {
		t.Errorf("error %v, calls %q", err, w.calls)
	}
}
