package storagetest

import (
	"slices"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// forget prunes what ended more than an hour ago, until there is no more.
func (w *world) forget() (forgotten int) {
	w.t.Helper()
	for {
		n := put(w, func(tx *storage.Tx) (int, error) { return tx.PruneHistory(w.now().Add(-time.Hour)) })
		if n == 0 {
			return forgotten
		}
		forgotten += n
	}
}

// testForgetsRuns: with all that hangs on them; what moves or is young stays, and so do things of others.
func testForgetsRuns(w *world) {
	w.link("web", group, "C1")
	failed := pipeline(5, kovra.Failed)
	failed.Jobs = []kovra.Job{{ID: 51, Name: "unit", Status: kovra.Failed}}
	old := w.observe(failed)
	moving := w.observe(pipeline(6, kovra.Running))
	w.update(func(tx *storage.Tx) error {
		return tx.SaveSlot(w.threads(old.ID)[0].ID, kovra.Slot{Key: "card", TS: "17.5"})
	})
	retry := w.propose(kovra.Action{Kind: kovra.ActRetry, App: "web", Run: old.ID, Lock: "retry/5"}, nil)
	w.finish(retry.ID, kovra.ActionDone, kovra.Outcome{})
	unanswered := w.propose(kovra.Action{Kind: kovra.ActRetry, App: "web", Run: old.ID, Lock: "retry/5/2"}, nil)
	w.finish(unanswered.ID, kovra.ActionDone, kovra.Outcome{})
	put(w, func(tx *storage.Tx) (bool, error) { return tx.ClaimAnswer(retry.ID) })
	waits := w.propose(kovra.Action{Kind: kovra.ActRetry, App: "web", Run: old.ID, Lock: "retry/5/3"}, nil)
	w.update(func(tx *storage.Tx) error { return tx.WaitAction(waits.ID) })
	wanted := w.propose(kovra.Action{Kind: kovra.ActCancel, App: "web", Run: moving.ID, Lock: "cancel/6"}, nil)
	w.pass(2 * time.Hour)
	young := w.observe(pipeline(7, kovra.Success))

	w.same("forgotten: a run and an action", 2, w.forget())
	w.refuses(kovra.NotFound, "the old run", func(tx *storage.Tx) error { _, err := tx.Run(old.ID); return err })
	w.refuses(kovra.NotFound, "its job", func(tx *storage.Tx) error { _, err := tx.Job(group, 51); return err })
	w.refuses(kovra.NotFound, "its message", func(tx *storage.Tx) error { _, err := tx.ThreadAt("C1", "17.5"); return err })
	w.refuses(kovra.NotFound, "what was done to it", func(tx *storage.Tx) error { _, err := tx.Action(retry.ID); return err })
	w.same("its threads", 0, len(w.threads(old.ID)))
	w.same("what moves", kovra.Running, w.run(moving.ID).Status)
	w.same("what is young", 1, len(w.threads(young.ID)))
	w.same("who waits for an answer", unanswered.ID, w.action(unanswered.ID).ID)
	w.same("what is still wanted", kovra.ActionWanted, w.action(wanted.ID).State)
	w.finish(waits.ID, kovra.ActionFailed, kovra.Outcome{})
	w.same("what waited for somebody ends without its run", kovra.ActionFailed, w.action(waits.ID).State)
}

// testForgetsBuilds: but never the newest of an app, nor what was deployed last.
func testForgetsBuilds(w *world) {
	w.link("web", group, "C1")
	const builds = 104
	for n := range builds {
		b := asked("web", n)
		b.CreatedAt = w.now()
		w.end(w.addBuild(b).ID, kovra.BuildSucceeded)
	}
	other := asked("shop", 1)
	w.end(w.addBuild(other).ID, kovra.BuildSucceeded)
	for _, build := range []int64{1, 2} {
		w.deploy(kovra.Deployment{Build: build, App: "web", Target: production})
	}
	w.same("nothing is old", 0, w.forget())
	w.pass(2 * time.Hour)
	w.same("forgotten", 2, w.forget())
	left := get(w, func(tx *storage.Tx) ([]kovra.Build, error) {
		return tx.Builds(storage.BuildQuery{App: "web", Limit: 2 * builds})
	})
	ids := make([]int64, 0, len(left))
	for _, b := range left {
		ids = append(ids, b.ID)
	}
	slices.Sort(ids)
	w.same("the deployed ones and the newest stay", append([]int64{1, 2}, ids[len(ids)-100:]...), ids)
	w.same("an app with few builds keeps them", int64(builds+1), w.build(builds+1).ID)
	w.same("threads go with their builds", 0, len(w.buildThreads(3)))
}
