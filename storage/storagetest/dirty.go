package storagetest

import (
	"context"
	"errors"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

func testDirtyDeliveries(w *world) {
	w.same("nothing", []kovra.Ref(nil), w.dirty())
	w.deliver(3)
	w.same("some", []kovra.Ref{deliveryRef}, w.dirty())
	for i, d := range w.pending(3) {
		w.same("some left", []kovra.Ref{deliveryRef}, w.dirty())
		outcome := []kovra.DeliveryOutcome{kovra.DeliveryFolded, kovra.DeliveryIgnored, kovra.DeliveryDead}[i]
		w.update(func(tx *storage.Tx) error { return tx.SettleDelivery(d.ID, outcome, "", group) })
	}
	w.same("done", []kovra.Ref(nil), w.dirty())
	w.update(func(tx *storage.Tx) error { return tx.ReplayDelivery(1) })
	w.same("replayed", []kovra.Ref{deliveryRef}, w.dirty())
}

func testDirtyRuns(w *world) {
	run := w.observe(pipeline(5, kovra.Running))
	other := w.observe(pipeline(6, kovra.Running))
	w.same("new", []kovra.Ref{runRef(run.ID), runRef(other.ID)}, w.dirty())
	drive := func(id, version int64) {
		w.update(func(tx *storage.Tx) error { return tx.SetDriven(id, version) })
	}
	drive(run.ID, 1)
	drive(other.ID, 1)
	w.same("driven", []kovra.Ref(nil), w.dirty())
	w.observe(pipeline(5, kovra.Success))
	drive(run.ID, 1) // too old by now
	w.same("changed", []kovra.Ref{runRef(run.ID)}, w.dirty())
	drive(run.ID, 2)
	w.update(func(tx *storage.Tx) error { return tx.MarkStale(other.ID) })
	w.same("in doubt", []kovra.Ref{runRef(other.ID)}, w.dirty())
	drive(other.ID, 1) // driving alone clears no doubt
	w.same("still in doubt", []kovra.Ref{runRef(other.ID)}, w.dirty())
	truth := pipeline(6, kovra.Running)
	truth.Whole, truth.Base = true, 1
	w.observe(truth)
	drive(other.ID, 2)
	w.same("done", []kovra.Ref(nil), w.dirty())
}

func testDirtyActions(w *world) {
	a := w.propose(kovra.Action{Kind: kovra.ActRun}, nil)
	b := w.propose(kovra.Action{Kind: kovra.ActLink}, nil)
	c := w.propose(kovra.Action{Kind: kovra.ActLink}, nil)
	w.update(func(tx *storage.Tx) error { return tx.TryAction(b.ID, kovra.Params{}) })
	w.same("open", []kovra.Ref{actionRef(a.ID), actionRef(b.ID), actionRef(c.ID)}, w.dirty())
	w.finish(a.ID, kovra.ActionFailed, kovra.Outcome{})
	w.finish(b.ID, kovra.ActionDone, kovra.Outcome{})
	w.same("one open", []kovra.Ref{actionRef(c.ID)}, w.dirty())
	w.finish(c.ID, kovra.ActionAsks, kovra.Outcome{})
	w.same("done", []kovra.Ref(nil), w.dirty())
}

// testDirtyAnswers: somebody waits for the answer inside a request, or else it is due.
func testDirtyAnswers(w *world) {
	a := w.propose(kovra.Action{Kind: kovra.ActRun}, nil)
	b := w.propose(kovra.Action{Kind: kovra.ActRun}, nil)
	w.pass(time.Hour)
	w.same("not finished", []kovra.Ref(nil), w.dirty(kovra.RefAnswer))
	w.finish(a.ID, kovra.ActionDone, kovra.Outcome{})
	w.finish(b.ID, kovra.ActionDone, kovra.Outcome{})
	w.same("somebody may wait", []kovra.Ref(nil), w.dirty())
	w.pass(9 * time.Second)
	w.same("somebody may still wait", []kovra.Ref(nil), w.dirty())
	w.update(func(tx *storage.Tx) error { return tx.MarkLate(a.ID) })
	w.same("nobody waits for one", []kovra.Ref{answerRef(a.ID)}, w.dirty())
	w.pass(time.Minute)
	w.same("nobody can wait any more", []kovra.Ref{answerRef(a.ID), answerRef(b.ID)}, w.dirty())
	for _, id := range []int64{a.ID, b.ID} {
		put(w, func(tx *storage.Tx) (bool, error) { return tx.ClaimAnswer(id) })
	}
	w.same("done", []kovra.Ref(nil), w.dirty())
}

func testDirtyStopsEarly(w *world) {
	w.link("web", group, "C1", "C2")
	w.observe(pipeline(5, kovra.Running))
	w.deliver(1)
	n := 0
	for _, err := range w.db.Dirty(w.t.Context()) {
		if err != nil {
			w.t.Fatal(err)
		}
		if n++; n == 2 {
			break
		}
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	cancel()
	var failed error
	for _, err := range w.db.Dirty(ctx) {
		if failed = err; err == nil {
			break
		}
	}
	if failed != nil && !errors.Is(failed, context.Canceled) {
		w.t.Errorf("with a cancelled context: %v", failed)
	}
}

// testNotices: what several steps of one commit changed is told once, after it.
func testNotices(w *world) {
	w.link("web", group, "C1", "C2")
	w.notices()
	var run kovra.Run
	w.update(func(tx *storage.Tx) (err error) {
		for _, status := range []kovra.Status{kovra.Pending, kovra.Running, kovra.Failed} {
			if run, _, err = tx.Observe(pipeline(5, status)); err != nil {
				return err
			}
		}
		if len(w.notices()) > 0 {
			w.t.Error("told before the commit")
		}
		return nil
	})
	threads := w.threads(run.ID)
	w.same("told once", [][]kovra.Ref{{runRef(run.ID), threadRef(threads[0].ID), threadRef(threads[1].ID)}}, w.notices())
	w.same("three steps, three versions", int64(3), w.run(run.ID).Version)

	w.update(func(tx *storage.Tx) error { return tx.SetShown(threads[0].ID, 1, 1) })
	w.update(func(tx *storage.Tx) error { return tx.SetDriven(run.ID, 3) })
	w.same("what loops note is no news", [][]kovra.Ref(nil), w.notices())
}

func testNoNotice(w *world) {
	wrong := errors.New("wrong")
	err := w.db.Update(w.t.Context(), func(tx *storage.Tx) error {
		if _, _, err := tx.Observe(pipeline(5, kovra.Running)); err != nil {
			return err
		}
		return wrong
	})
	if !errors.Is(err, wrong) {
		w.t.Errorf("error %v, want %v", err, wrong)
	}
	w.same("notices", [][]kovra.Ref(nil), w.notices())
	w.same("dirty", []kovra.Ref(nil), w.dirty())
}

// testAwait waits for the end of an action that another caller brings about.
func testAwait(w *world) {
	a := w.propose(kovra.Action{Kind: kovra.ActRun}, nil)
	looked, ended := make(chan struct{}, 9), make(chan error, 1)
	go func() {
		ended <- w.db.Await(w.t.Context(), func(tx *storage.Tx) (bool, error) {
			got, err := tx.Action(a.ID)
			looked <- struct{}{}
			return !got.Open(), err
		})
	}()
	<-looked
	w.deliver(1) // a commit that does not end it
	<-looked
	w.finish(a.ID, kovra.ActionDone, kovra.Outcome{})
	if err := <-ended; err != nil {
		w.t.Errorf("await: %v", err)
	}
	err := w.db.Await(w.t.Context(), func(*storage.Tx) (bool, error) { return true, nil })
	if err != nil {
		w.t.Errorf("await of what is so already: %v", err)
	}
}

func testAwaitEnds(w *world) {
	ctx, cancel := context.WithCancel(w.t.Context())
	err := w.db.Await(ctx, func(*storage.Tx) (bool, error) {
		cancel()
		return false, nil
	})
	if !errors.Is(err, context.Canceled) {
		w.t.Errorf("await with a cancelled context: %v", err)
	}
	wrong := errors.New("wrong")
	err = w.db.Await(w.t.Context(), func(*storage.Tx) (bool, error) { return false, wrong })
	if !errors.Is(err, wrong) {
		w.t.Errorf("await: %v, want the error of the condition", err)
	}
}
