package storagetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// commit is a made-up one.
func commit(n int) string { return fmt.Sprintf("%040x", 0xc0ffee00+n) }

// asked is a build of main that somebody asks for; change it as the test wants.
func asked(app string, n int) kovra.Build {
	b := kovra.NewBuild(kovra.DefaultBuildSettings(app), group, "main", false, kovra.Commit{SHA: commit(n), Title: "Fix it"})
	b.Trigger = kovra.ByHand
	return b
}

func (w *world) addBuild(b kovra.Build) kovra.Build {
	w.t.Helper()
	return put(w, func(tx *storage.Tx) (kovra.Build, error) {
		b, fresh, err := tx.AddBuild(b, "", false)
		if err == nil && !fresh {
			w.t.Errorf("build %d is not new", b.ID)
		}
		return b, err
	})
}

func (w *world) build(id int64) kovra.Build {
	w.t.Helper()
	return get(w, func(tx *storage.Tx) (kovra.Build, error) { return tx.Build(id) })
}

// change changes a build as dispatch does.
func (w *world) change(id int64, fn func(*kovra.Build)) kovra.Build {
	w.t.Helper()
	return put(w, func(tx *storage.Tx) (kovra.Build, error) {
		b, err := tx.Build(id)
		if err != nil {
			return b, err
		}
		fn(&b)
		return b, tx.SaveBuild(&b)
	})
}

// end ends a build.
func (w *world) end(id int64, s kovra.BuildStatus) kovra.Build {
	w.t.Helper()
	return w.change(id, func(b *kovra.Build) { b.End(s, "", "", w.now()) })
}

func (w *world) takeTurn(id int64, limit int) bool {
	w.t.Helper()
	return put(w, func(tx *storage.Tx) (bool, error) { return tx.TakeTurn(id, limit) })
}

func (w *world) buildThreads(id int64) []kovra.Thread {
	w.t.Helper()
	return get(w, func(tx *storage.Tx) ([]kovra.Thread, error) { return tx.ThreadsOfBuild(id) })
}

// settleBuilds marks all builds and deployments as looked at, and all else too.
func (w *world) settleBuilds() {
	w.t.Helper()
	for _, ref := range w.dirty(kovra.RefBuild, kovra.RefDeployment) {
		w.update(func(tx *storage.Tx) error {
			if ref.Kind == kovra.RefBuild {
				return tx.SetBuildDriven(ref.ID, w.build(ref.ID).Version)
			}
			d, err := tx.Deployment(ref.ID)
			return errors.Join(err, tx.SetDeploymentDriven(ref.ID, d.Version))
		})
	}
	w.settle()
}

func buildRef(id int64) kovra.Ref      { return kovra.Ref{Kind: kovra.RefBuild, ID: id} }
func deploymentRef(id int64) kovra.Ref { return kovra.Ref{Kind: kovra.RefDeployment, ID: id} }

// testBuild: what was given comes back, with a number, a name and a place.
func testBuild(w *world) {
	w.link("web", group, "C1")
	given := asked("web", 1)
	given.By, given.Spec.Args = kovra.Person{ID: "UALICE"}, []kovra.BuildArg{{Key: "A", Value: "$x 'y'"}}
	b := w.addBuild(given)
	want := given
	want.ID, want.Name, want.Status, want.CreatedAt, want.Place, want.Version = 1, b.Name, kovra.BuildPending, w.now(), 1, 1
	w.same("added", want, b)
	w.same("stored", want, w.build(b.ID))
	w.same("dirty", []kovra.Ref{buildRef(1), threadRef(w.buildThreads(1)[0].ID)}, w.dirty())
	w.reopen()
	w.same("after a restart", want, w.build(b.ID))
	w.update(func(tx *storage.Tx) error { return tx.SetBuildDriven(b.ID, 1) })
	w.same("looked at", []kovra.Ref(nil), w.dirty(kovra.RefBuild))
	w.change(b.ID, func(b *kovra.Build) { b.Message = "Pulling the image." })
	w.update(func(tx *storage.Tx) error { return tx.SetBuildDriven(b.ID, 1) }) // what was looked at is not the newest
	w.same("changed meanwhile", []kovra.Ref{buildRef(1)}, w.dirty(kovra.RefBuild))
	other := w.addBuild(asked("web", 1))
	if other.ID != 2 || other.Name == b.Name {
		w.t.Errorf("the same asked for again is build %d, %s", other.ID, other.Name)
	}
}

// testBuildTurns: first come, first served, and never more than may be.
func testBuildTurns(w *world) {
	w.link("web", group, "C1")
	w.link("api", group)
	for i, app := range []string{"web", "api", "web", "web"} {
		w.same("place", i+1, w.addBuild(asked(app, i)).Place)
	}
	w.settleBuilds()
	w.same("not the first", false, w.takeTurn(2, 2))
	w.same("the first", true, w.takeTurn(1, 2))
	w.same("again", false, w.takeTurn(1, 2))
	first := w.build(1)
	if first.Phase != kovra.PhaseStarted || !first.QueuedAt.Equal(w.now()) || first.Place != 0 {
		w.t.Errorf("after its turn: %+v", first)
	}
	w.same("those behind are looked at and shown anew", []kovra.Ref{buildRef(1), threadRef(1), threadRef(2), threadRef(3)},
		w.dirty(kovra.RefBuild, kovra.RefThread))
	w.same("heard", []kovra.Ref{buildRef(1), buildRef(2), buildRef(3), buildRef(4), threadRef(1), threadRef(2), threadRef(3)}, w.notices()[0])
	w.same("the second", true, w.takeTurn(2, 2))
	w.same("none is free", false, w.takeTurn(3, 2))
	w.same("places", []int{1, 2}, []int{w.build(3).Place, w.build(4).Place})
	w.same("fewer may run than do", false, w.takeTurn(3, 1))

	w.settleBuilds()
	w.end(2, kovra.BuildFailed)
	w.same("an end is told to those who wait", []kovra.Ref{buildRef(2), buildRef(3), buildRef(4), threadRef(2), threadRef(3)}, w.notices()[0])
	w.same("a place is free", true, w.takeTurn(3, 2))
	w.end(4, kovra.BuildCancelled)
	w.same("of one that has ended", false, w.takeTurn(4, 9))
	w.same("of none", false, w.takeTurn(99, 9))
	w.same("open", []int64{1, 3}, ids(get(w, func(tx *storage.Tx) ([]kovra.Build, error) { return tx.OpenBuilds() })))
}

func ids(builds []kovra.Build) (all []int64) {
	for _, b := range builds {
		all = append(all, b.ID)
	}
	return all
}

// testBuildTurnRace: many ask for turns at once.
func testBuildTurnRace(w *world) {
	const builds, limit = 20, 4
	for i := range builds {
		w.addBuild(asked("web", i))
	}
	for round := range builds / limit {
		var mu sync.Mutex
		var won []int64
		together(builds, func(i int) {
			for id := int64(1); id <= builds; id++ {
				ok := false
				err := w.db.Update(w.t.Context(), func(tx *storage.Tx) (err error) {
					ok, err = tx.TakeTurn((id+int64(i))%builds+1, limit)
					return err
				})
				if err != nil {
					w.t.Error(err)
				}
				if ok {
					mu.Lock()
					won = append(won, (id+int64(i))%builds+1)
					mu.Unlock()
				}
			}
		})
		var want []int64
		for i := range limit {
			want = append(want, int64(round*limit+i+1))
		}
		slices.Sort(won)
		w.same("who may start", want, won)
		for _, id := range won {
			w.end(id, kovra.BuildSucceeded)
		}
	}
}

func testBuildPages(w *world) {
	for i := range 7 {
		w.addBuild(asked("web", i))
		w.addBuild(asked("api", i))
	}
	page := func(q storage.BuildQuery) []int64 {
		q.App, q.Limit = "web", 3
		return ids(get(w, func(tx *storage.Tx) ([]kovra.Build, error) { return tx.Builds(q) }))
	}
	w.same("newest", []int64{13, 11, 9}, page(storage.BuildQuery{}))
	w.same("older", []int64{7, 5, 3}, page(storage.BuildQuery{Before: 9}))
	w.same("oldest", []int64{1}, page(storage.BuildQuery{Before: 3}))
	w.same("newer", []int64{11, 9, 7}, page(storage.BuildQuery{After: 5}))
	w.same("none", []int64(nil), page(storage.BuildQuery{Before: 1}))
	got := get(w, func(tx *storage.Tx) ([]kovra.Build, error) {
		return tx.Builds(storage.BuildQuery{App: "web", Limit: 1})
	})
	w.same("place among all apps", 13, got[0].Place)
}

// testBuildThreads: a thread in every channel that heard of the app before the build began.
func testBuildThreads(w *world) {
	w.link("web", group, "C1", "C2")
	w.link("api", group, "C3")
	w.update(func(tx *storage.Tx) error {
		return tx.SaveSubscription(kovra.Subscription{App: "web", Channel: "CPAUSED", Paused: "archived", CreatedAt: w.now()})
	})
	run := w.observe(pipeline(5, kovra.Running))
	b := w.addBuild(asked("web", 1))
	threads := w.buildThreads(b.ID)
	if len(threads) != 2 {
		w.t.Fatalf("threads: %+v", threads)
	}
	for i, channel := range []string{"C1", "C2"} {
		w.same("thread", kovra.Thread{
			ID: threads[i].ID, Build: b.ID, Channel: channel, App: "web", Version: threads[i].Version,
			Broadcast: kovra.BroadcastOn, CreatedAt: w.now(),
		}, threads[i])
	}
	w.same("of the pipeline", 3, len(w.threads(run.ID)))
	w.same("a run is no build", []kovra.Thread(nil), w.buildThreads(0))

	w.pass(time.Minute)
	w.link("web", group, "C9")
	w.end(b.ID, kovra.BuildSucceeded)
	after := w.buildThreads(b.ID)
	if len(after) != 2 || after[0].Version <= threads[0].Version {
		w.t.Errorf("a channel that subscribed later, or nothing new to show: %+v", after)
	}
	w.same("of the next build", 3, len(w.buildThreads(w.addBuild(asked("web", 2)).ID)))
}

func testBuildView(w *world) {
	w.link("web", group, "C1")
	p := kovra.Project{ID: group, Path: "group/web"}
	w.update(func(tx *storage.Tx) error { return tx.SaveProject(p) })
	b := w.addBuild(asked("web", 1))
	w.addBuild(asked("web", 2))
	done := w.propose(kovra.Action{Kind: kovra.ActCancelBuild, App: "web", Build: b.ID}, nil)
	w.propose(kovra.Action{Kind: kovra.ActCancelBuild, App: "web", Build: b.ID}, nil) // only asked
	w.propose(kovra.Action{Kind: kovra.ActBuild, App: "web"}, nil)                    // of no build
	w.finish(done.ID, kovra.ActionDone, kovra.Outcome{})
	d := w.deploy(kovra.Deployment{Build: b.ID, App: "web", Image: "r.example/web@sha256:1"})
	thread := w.buildThreads(b.ID)[0]
	slot := kovra.Slot{Key: kovra.SlotCard, TS: "17.1", Digest: "d"}
	w.update(func(tx *storage.Tx) error { return tx.SaveSlot(thread.ID, slot) })
	s := kovra.DefaultBuildSettings("web")
	s.Paused = true
	w.update(func(tx *storage.Tx) error { return tx.SaveBuildSettings(s, "") })

	thread = w.buildThreads(b.ID)[0]
	v := get(w, func(tx *storage.Tx) (kovra.View, error) { return tx.View(thread.ID) })
	w.same("thread", thread, v.Thread)
	w.same("app", "web", v.App.Name)
	w.same("project", p, v.Project)
	w.same("no run", kovra.Run{}, v.Run)
	w.same("build", new(w.build(b.ID)), v.Build)
	w.same("deployments", []kovra.Deployment{d}, v.Deployments)
	w.same("settings", s, v.Settings)
	w.same("slots", map[string]kovra.Slot{kovra.SlotCard: slot}, v.Slots)
	w.same("actions that were done", []kovra.Action{w.action(done.ID)}, v.Actions)

	// An action that was done is shown; an app that is gone leaves its name.
	if got := w.buildThreads(b.ID)[0]; got.Version <= thread.Version-1 {
		w.t.Errorf("thread %+v", got)
	}
	w.update(func(tx *storage.Tx) error { return tx.DeleteApp("web") })
	v = get(w, func(tx *storage.Tx) (kovra.View, error) { return tx.View(thread.ID) })
	w.same("app that is gone", kovra.App{Name: "web"}, v.App)
}

// buildNewsCases: ends of builds of one branch, in order of their numbers; a letter each, and the news of the last one.
var buildNewsCases = map[string]struct {
	ends []kovra.BuildStatus
	want kovra.News
}{
	"first success":         {[]kovra.BuildStatus{kovra.BuildSucceeded}, ""},
	"first failure":         {[]kovra.BuildStatus{kovra.BuildFailed}, kovra.Broken},
	"fails after success":   {[]kovra.BuildStatus{kovra.BuildSucceeded, kovra.BuildFailed}, kovra.Broken},
	"fails again":           {[]kovra.BuildStatus{kovra.BuildFailed, kovra.BuildFailed}, ""},
	"fixed":                 {[]kovra.BuildStatus{kovra.BuildFailed, kovra.BuildSucceeded}, kovra.Fixed},
	"fixed after cancelled": {[]kovra.BuildStatus{kovra.BuildFailed, kovra.BuildCancelled, kovra.BuildSucceeded}, kovra.Fixed},
	"cancelled":             {[]kovra.BuildStatus{kovra.BuildFailed, kovra.BuildCancelled}, ""},
	"broken once more":      {[]kovra.BuildStatus{kovra.BuildFailed, kovra.BuildSucceeded, kovra.BuildFailed}, kovra.Broken},
	"stays well":            {[]kovra.BuildStatus{kovra.BuildSucceeded, kovra.BuildSucceeded}, ""},
}

func testBuildNews(w *world) {
	for name, c := range buildNewsCases {
		var last kovra.Build
		for i, s := range c.ends {
			noise := w.addBuild(asked(name+"-other", i)) // of another app
			w.end(noise.ID, kovra.BuildFailed)
			tag := asked(name, i)
			tag.Spec.Tag = true // a tag of the branch's name
			w.end(w.addBuild(tag).ID, kovra.BuildFailed)
			last = w.end(w.addBuild(asked(name, i)).ID, s)
		}
		w.same(name, c.want, last.News)
	}
	// An older build that ends late is no news, and an end tells its news once.
	older, newer := w.addBuild(asked("late", 1)), w.addBuild(asked("late", 2))
	w.end(newer.ID, kovra.BuildSucceeded)
	w.same("older", kovra.News(""), w.end(older.ID, kovra.BuildFailed).News)
	third := w.end(w.addBuild(asked("late", 3)).ID, kovra.BuildFailed)
	w.same("broken", kovra.Broken, third.News)
	w.end(w.addBuild(asked("late", 4)).ID, kovra.BuildFailed)
	w.same("told already", kovra.Broken, w.change(third.ID, func(b *kovra.Build) { b.LogDone = true }).News)
}

func testLastDeployable(w *world) {
	for i, s := range []kovra.BuildStatus{kovra.BuildSucceeded, kovra.BuildFailed, kovra.BuildSucceeded, kovra.BuildCancelled, kovra.BuildSucceeded} {
		w.end(w.addBuild(asked("web", i)).ID, s)
	}
	w.end(w.addBuild(asked("api", 1)).ID, kovra.BuildSucceeded)
	got := get(w, func(tx *storage.Tx) ([]kovra.Build, error) { return tx.LastDeployable("web", 2) })
	w.same("newest first", []int64{5, 3}, ids(got))
}

func testBuildLogs(w *world) {
	b := w.addBuild(asked("web", 1))
	w.same("without a viewer", "", b.LogURL)
	w.same("keys differ", false, b.LogKey() == (&kovra.Deployment{ID: b.ID}).LogKey())
}

// testBuildRace: many save one build; each version is another.
func testBuildRace(w *world) {
	b := w.addBuild(asked("web", 1))
	together(20, func(i int) {
		err := w.db.Update(w.t.Context(), func(tx *storage.Tx) error {
			b, err := tx.Build(b.ID)
			if err != nil {
				return err
			}
			b.Tail = append(slices.Clone(b.Tail), fmt.Sprint(i))
			return tx.SaveBuild(&b)
		})
		if err != nil {
			w.t.Error(err)
		}
	})
	got := w.build(b.ID)
	if got.Version != 21 || len(got.Tail) != 20 {
		w.t.Errorf("version %d with %d lines", got.Version, len(got.Tail))
	}
}
