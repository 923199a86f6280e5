package storagetest

import (
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// channel is what is known of C1.
func (w *world) channel() kovra.Channel {
	w.t.Helper()
	return get(w, func(tx *storage.Tx) (kovra.Channel, error) { return tx.Channel("C1") })
}

func (w *world) shared(shared bool, at time.Time) {
	w.t.Helper()
	w.update(func(tx *storage.Tx) error { return tx.SetChannelShared("C1", shared, at) })
}

func (w *world) allowLogs(allowed bool) {
	w.t.Helper()
	w.update(func(tx *storage.Tx) error { return tx.AllowLogs("C1", allowed) })
}

func testChannels(w *world) {
	w.same("unknown", kovra.Channel{ID: "C1"}, w.channel())
	w.allowLogs(true)
	w.same("allowed before it is known", kovra.Channel{ID: "C1", LogsAllowed: true}, w.channel())
	w.shared(true, morning)
	w.same("shared", kovra.Channel{ID: "C1", Shared: true, LogsAllowed: true, CheckedAt: morning}, w.channel())
	w.allowLogs(false)
	w.shared(false, morning)
	w.same("of one moment the careful answer stays", kovra.Channel{ID: "C1", Shared: true, CheckedAt: morning}, w.channel())
	w.shared(false, morning.Add(-time.Minute))
	w.same("an older answer", kovra.Channel{ID: "C1", Shared: true, CheckedAt: morning}, w.channel())
	w.shared(true, morning.Add(-time.Minute))
	w.same("the careful answer counts in any order", kovra.Channel{ID: "C1", Shared: true, CheckedAt: morning.Add(-time.Minute)}, w.channel())
	later := morning.Add(time.Minute)
	w.shared(false, later)
	w.same("not shared any more", kovra.Channel{ID: "C1", CheckedAt: later}, w.channel())
	w.shared(true, time.Time{})
	w.same("to be asked again", kovra.Channel{ID: "C1", Shared: true}, w.channel())
	w.shared(false, morning)
	w.same("after that any answer counts", kovra.Channel{ID: "C1", CheckedAt: morning}, w.channel())
	w.same("another channel", kovra.Channel{ID: "C2"}, get(w, func(tx *storage.Tx) (kovra.Channel, error) { return tx.Channel("C2") }))
}

// testChannelThreads: what changes what a channel may see is shown there, and nowhere else.
func testChannelThreads(w *world) {
	w.link("web", group, "C1", "C2")
	old, run := w.observe(pipeline(5, kovra.Running)), w.observe(pipeline(6, kovra.Running))
	broken := w.observe(pipeline(7, kovra.Running))
	w.update(func(tx *storage.Tx) error { return tx.BreakThread(w.threads(broken.ID)[0].ID, "is_archived") })
	w.settle()
	oldest, newest := w.threads(old.ID)[0].ID, w.threads(run.ID)[0].ID
	hidden := func() bool {
		v := get(w, func(tx *storage.Tx) (kovra.View, error) { return tx.View(newest) })
		return v.NoLogs
	}
	both := []kovra.Ref{threadRef(oldest), threadRef(newest)}
	for _, step := range []struct {
		name   string
		do     func()
		hidden bool
		dirty  []kovra.Ref
	}{
		{"nobody has asked", func() {}, true, nil},
		{"not shared", func() { w.shared(false, morning) }, false, both},
		{"the same again", func() { w.shared(false, morning.Add(time.Minute)) }, false, nil},
		{"shared", func() { w.shared(true, morning.Add(2*time.Minute)) }, true, both},
		{"allowed", func() { w.allowLogs(true) }, false, both},
		{"allowed again", func() { w.allowLogs(true) }, false, nil},
		{"not shared, and allowed", func() { w.shared(false, morning.Add(3*time.Minute)) }, false, nil},
		{"allowed no more", func() { w.allowLogs(false) }, false, nil},
		{"unknown again", func() { w.shared(false, time.Time{}) }, true, both},
		{"unknown once more", func() { w.shared(false, time.Time{}) }, true, both[1:]}, // one asks for all
	} {
		step.do()
		w.same(step.name+": dirty", step.dirty, w.dirty(kovra.RefThread))
		want := [][]kovra.Ref{step.dirty}
		if step.dirty == nil {
			want = nil
		}
		w.same(step.name+": told", want, w.notices())
		if hidden() != step.hidden {
			w.t.Errorf("%s: no logs are shown: %v, want %v", step.name, hidden(), step.hidden)
		}
		w.settle()
	}
	v := get(w, func(tx *storage.Tx) (kovra.View, error) { return tx.RunView(run.ID, "web") })
	if v.NoLogs {
		w.t.Error("a private answer has no logs")
	}
}
