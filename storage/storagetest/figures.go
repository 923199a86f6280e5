package storagetest

import (
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// testFigures: the numbers are those of what the loops are told of.
func testFigures(w *world) {
	figures := func() storage.Figures {
		return get(w, func(tx *storage.Tx) (storage.Figures, error) { return tx.Figures() })
	}
	agrees := func(when string) {
		w.t.Helper()
		want := map[kovra.RefKind]int64{}
		for _, r := range w.dirty() {
			if r.Kind != kovra.RefDelivery {
				want[r.Kind]++
			}
		}
		got := figures().Open
		for kind := range got {
			if want[kind] == 0 {
				delete(got, kind)
			}
		}
		w.same(when+": open", want, got)
	}
	empty := figures()
	w.same("nothing waits", storage.Figures{Open: empty.Open, Builds: empty.Builds}, empty)
	for kind, n := range empty.Open {
		w.same("nothing is open: "+string(kind), int64(0), n)
	}

	came := w.now()
	w.deliver(3)
	w.link("web", group, "C1")
	w.pass(time.Minute)
	for i, d := range w.pending(3)[:2] {
		outcome := []kovra.DeliveryOutcome{kovra.DeliveryFolded, kovra.DeliveryDead}[i]
		w.update(func(tx *storage.Tx) error { return tx.SettleDelivery(d.ID, outcome, "", group) })
	}
	w.observe(pipeline(5, kovra.Running))
	w.propose(kovra.Action{Kind: kovra.ActRun}, nil)
	queued := w.now()
	for i := range 3 {
		w.addBuild(asked("web", i))
		w.pass(time.Second)
	}
	f := figures()
	w.same("deliveries", []int64{1, 1}, []int64{f.Waiting, f.Dead})
	w.same("oldest", []time.Time{came, queued}, []time.Time{f.OldestWaiting, f.OldestQueued})
	w.same("builds", map[kovra.BuildPhase]int64{kovra.PhaseQueued: 3, kovra.PhaseStarted: 0, kovra.PhaseMade: 0}, f.Builds)
	agrees("much")

	put(w, func(tx *storage.Tx) (bool, error) { return tx.TakeTurn(1, 4) })
	w.end(2, kovra.BuildSucceeded)
	f = figures()
	w.same("builds later", map[kovra.BuildPhase]int64{kovra.PhaseQueued: 1, kovra.PhaseStarted: 1, kovra.PhaseMade: 0}, f.Builds)
	w.same("the next one", queued.Add(2*time.Second), f.OldestQueued)
	agrees("less")
}
