package storagetest

import (
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

func testThreadPerChannel(w *world) {
	w.link("web", group, "C1", "C2")
	w.link("api", 8, "C3")
	run := w.observe(pipeline(5, kovra.Running))
	threads := w.threads(run.ID)
	if len(threads) != 2 {
		w.t.Fatalf("threads: %+v", threads)
	}
	for i, channel := range []string{"C1", "C2"} {
		w.same("thread", kovra.Thread{
			ID: threads[i].ID, Run: run.ID, Channel: channel, App: "web", Version: threads[i].Version,
			Broadcast: kovra.BroadcastOn, CreatedAt: w.now(),
		}, threads[i])
	}
	if threads[0].Version == 0 {
		w.t.Error("a new thread has nothing to show")
	}

	// More news: more versions, no more threads; a channel that subscribes now gets one
	// with the next change.
	w.link("web", group, "C9")
	w.observe(pipeline(5, kovra.Success))
	after := w.threads(run.ID)
	if len(after) != 3 || after[2].Channel != "C9" || after[0].ID != threads[0].ID || after[0].Version != threads[0].Version+1 {
		w.t.Errorf("after more news: %+v", after)
	}
}

// testNoThread: a floor, a pause and a child.
func testNoThread(w *world) {
	w.link("web", group)
	for _, s := range []kovra.Subscription{
		{App: "web", Channel: "CFLOOR", Floor: 5},
		{App: "web", Channel: "CPAUSED", Paused: "the bot was removed"},
		{App: "web", Channel: "COK", Filter: kovra.Filter{Broadcast: kovra.BroadcastOff}},
	} {
		w.update(func(tx *storage.Tx) error { return tx.SaveSubscription(s) })
	}
	channels := func(run kovra.Run) (out []string) {
		for _, t := range w.threads(run.ID) {
			out = append(out, t.Channel)
		}
		return out
	}
	at := w.observe(pipeline(5, kovra.Running))
	above := w.observe(pipeline(6, kovra.Running))
	w.same("at the floor", []string{"COK"}, channels(at))
	w.same("above the floor", []string{"CFLOOR", "COK"}, channels(above))
	w.same("switch", kovra.BroadcastOff, w.threads(at.ID)[0].Broadcast)
	w.same("a child", []string(nil), channels(w.observe(childOf(6, 7, kovra.Running))))
	other := pipeline(9, kovra.Running)
	other.Run.Project = 8
	w.same("a project that is not linked", []string(nil), channels(w.observe(other)))
}

func testTwoAppsOneThread(w *world) {
	w.link("web", group, "C1")
	w.link("site", group, "C1", "C2")
	run := w.observe(pipeline(5, kovra.Running))
	threads := w.threads(run.ID)
	if len(threads) != 2 || threads[0].Channel != "C1" || threads[1].Channel != "C2" {
		w.t.Errorf("threads: %+v", threads)
	}
}

// testThreadWaitsForStatus: a job hook alone says nothing to show yet.
func testThreadWaitsForStatus(w *world) {
	w.link("web", group, "C1")
	o := kovra.Observation{Run: kovra.Run{Project: group, Remote: 5, Ref: "main"}, Jobs: []kovra.Job{{ID: 51, Name: "build", Status: kovra.Created}}}
	run := w.observe(o)
	w.same("before", []kovra.Thread(nil), w.threads(run.ID))
	w.same("dispatch asks GitLab", []kovra.Ref{runRef(run.ID)}, w.dirty())
	w.observe(pipeline(5, kovra.Pending))
	if got := len(w.threads(run.ID)); got != 1 {
		w.t.Errorf("%d threads, want 1", got)
	}
}

func testView(w *world) {
	w.link("web", group, "C1")
	p := kovra.Project{ID: group, Path: "group/web"}
	w.update(func(tx *storage.Tx) error { return tx.SaveProject(p) })
	o := pipeline(5, kovra.Running)
	o.Jobs = []kovra.Job{{ID: 51, Name: "build", Status: kovra.Running}}
	run := w.observe(o)
	w.observe(childOf(5, 6, kovra.Running))
	done := w.propose(kovra.Action{Kind: kovra.ActRetry, App: "web", Run: run.ID}, nil)
	failed := w.propose(kovra.Action{Kind: kovra.ActCancel, App: "web", Run: run.ID}, nil)
	w.propose(kovra.Action{Kind: kovra.ActCancel, App: "web", Run: run.ID}, nil) // only asked
	w.propose(kovra.Action{Kind: kovra.ActRun, App: "web"}, nil)                 // of no run
	w.finish(done.ID, kovra.ActionDone, kovra.Outcome{Remote: 5})
	w.finish(failed.ID, kovra.ActionFailed, kovra.Outcome{Reason: "GitLab says no."})
	thread := w.threads(run.ID)[0]
	slot := kovra.Slot{Key: kovra.SlotCard, TS: "17.1", Digest: "d"}
	w.update(func(tx *storage.Tx) error { return tx.SaveSlot(thread.ID, slot) })

	v := get(w, func(tx *storage.Tx) (kovra.View, error) { return tx.View(thread.ID) })
	w.same("thread", thread, v.Thread)
	w.same("app", "web", v.App.Name)
	w.same("project", p, v.Project)
	w.same("run", w.run(run.ID), v.Run)
	w.same("slots", map[string]kovra.Slot{kovra.SlotCard: slot}, v.Slots)
	w.same("actions that were done", []kovra.Action{w.action(done.ID)}, v.Actions)
	if len(v.Jobs) != 1 || v.Jobs[0].ID != 51 || len(v.Children) != 1 || v.Children[0].Run.Remote != 6 {
		w.t.Errorf("jobs %+v, children %+v", v.Jobs, v.Children)
	}
}

func testRunView(w *world) {
	run := w.observe(pipeline(5, kovra.Running))
	v := get(w, func(tx *storage.Tx) (kovra.View, error) { return tx.RunView(run.ID, "gone") })
	w.same("view without a thread", kovra.View{App: kovra.App{Name: "gone"}, Run: run, Matched: true}, v)
	if v.Slots == nil {
		w.t.Error("slots are nil: a projector would write to them")
	}
}

func testSlots(w *world) {
	w.link("web", group, "C1", "C2")
	run := w.observe(pipeline(5, kovra.Running))
	threads := w.threads(run.ID)
	started := kovra.Slot{Key: kovra.SlotCard, Nonce: "n1", NonceAt: morning}
	save := func(thread int64, s kovra.Slot) {
		w.update(func(tx *storage.Tx) error { return tx.SaveSlot(thread, s) })
	}
	slots := func(thread int64) map[string]kovra.Slot {
		return get(w, func(tx *storage.Tx) (kovra.View, error) { return tx.View(thread) }).Slots
	}
	save(threads[0].ID, started)
	w.same("started", map[string]kovra.Slot{kovra.SlotCard: started}, slots(threads[0].ID))
	posted := kovra.Slot{Key: kovra.SlotCard, TS: "17.1", Digest: "d1", Broadcast: true}
	save(threads[0].ID, posted)
	reply := kovra.Slot{Key: kovra.FailureSlot(51), TS: "17.2"}
	save(threads[0].ID, reply)
	w.same("posted", map[string]kovra.Slot{posted.Key: posted, reply.Key: reply}, slots(threads[0].ID))
	save(threads[1].ID, kovra.Slot{Key: kovra.SlotCard, TS: "17.3"})

	at := func(channel, ts string) kovra.Thread {
		return get(w, func(tx *storage.Tx) (kovra.Thread, error) { return tx.ThreadAt(channel, ts) })
	}
	w.same("by its parent", threads[0].ID, at("C1", "17.1").ID)
	w.same("by its reply", threads[0].ID, at("C1", "17.2").ID)
	w.same("the other", threads[1].ID, at("C2", "17.3").ID)
	for _, m := range [][2]string{{"C2", "17.1"}, {"C1", "17.9"}, {"C1", ""}} {
		w.refuses(kovra.NotFound, "message "+m[1]+" in "+m[0], func(tx *storage.Tx) error {
			_, err := tx.ThreadAt(m[0], m[1])
			return err
		})
	}
}

func testShownAndBroken(w *world) {
	w.link("web", group, "C1")
	run := w.observe(pipeline(5, kovra.Running))
	thread := w.threads(run.ID)[0]
	w.update(func(tx *storage.Tx) error { return tx.SetShown(thread.ID, thread.Version, 3) })
	w.update(func(tx *storage.Tx) error { return tx.SetShown(thread.ID, thread.Version-1, 3) }) // an older look
	got := w.threads(run.ID)[0]
	if got.ShownVersion != thread.Version || got.ShownBy != 3 {
		w.t.Errorf("shown: %+v", got)
	}
	w.update(func(tx *storage.Tx) error { return tx.BreakThread(thread.ID, "is_archived") })
	w.observe(pipeline(5, kovra.Success))
	got = w.threads(run.ID)[0]
	if got.Broken != "is_archived" || got.Version <= thread.Version {
		w.t.Errorf("broken: %+v", got)
	}
	w.same("nothing to show", []kovra.Ref(nil), w.dirty(kovra.RefThread))
}

func testRenderAgain(w *world) {
	w.link("web", group, "C1")
	var ids []int64
	for remote := range int64(5) {
		run := w.observe(pipeline(remote+1, kovra.Running))
		ids = append(ids, w.threads(run.ID)[0].ID)
	}
	w.settle() // shown by renderer 1
	w.update(func(tx *storage.Tx) error { return tx.SetShown(ids[3], 0, 2) })
	w.update(func(tx *storage.Tx) error { return tx.BreakThread(ids[4], "is_archived") })
	again := func(renderer, limit int) []kovra.Ref {
		w.update(func(tx *storage.Tx) error { return tx.RenderAgain(renderer, limit) })
		return w.dirty(kovra.RefThread)
	}
	w.same("the same renderer", []kovra.Ref(nil), again(1, 9))
	w.same("a newer one, the newest two", []kovra.Ref{threadRef(ids[2])}, again(2, 2))
	w.same("all", []kovra.Ref{threadRef(ids[0]), threadRef(ids[1]), threadRef(ids[2])}, again(2, 9))
}

func testDirtyThreads(w *world) {
	w.link("web", group, "C1", "C2")
	run := w.observe(pipeline(5, kovra.Running))
	threads := w.threads(run.ID)
	a, b := threadRef(threads[0].ID), threadRef(threads[1].ID)
	w.same("new", []kovra.Ref{a, b}, w.dirty(kovra.RefThread))
	show := func(id, version int64) {
		w.update(func(tx *storage.Tx) error { return tx.SetShown(id, version, 1) })
	}
	show(a.ID, threads[0].Version)
	w.same("one shown", []kovra.Ref{b}, w.dirty(kovra.RefThread))
	w.pass(time.Second)
	w.observe(pipeline(5, kovra.Success))
	show(b.ID, threads[1].Version) // too old by now
	w.same("both changed", []kovra.Ref{a, b}, w.dirty(kovra.RefThread))
	show(a.ID, threads[0].Version+1)
	w.update(func(tx *storage.Tx) error { return tx.BreakThread(b.ID, "is_archived") })
	w.same("done", []kovra.Ref(nil), w.dirty(kovra.RefThread))
}
