package storagetest

import (
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

func testApps(w *world) {
	web := kovra.App{Name: "web", Project: group, CreatedBy: "UALICE", CreatedAt: morning}
	api := kovra.App{Name: "api", CreatedBy: "UBOB", CreatedAt: morning}
	w.update(func(tx *storage.Tx) error { return tx.SaveApp(web) })
	w.update(func(tx *storage.Tx) error { return tx.SaveApp(api) })
	apps := func() []kovra.App {
		return get(w, func(tx *storage.Tx) ([]kovra.App, error) { return tx.Apps() })
	}
	w.same("by name", []kovra.App{api, web}, apps())
	w.same("one", web, get(w, func(tx *storage.Tx) (kovra.App, error) { return tx.App("web") }))

	// Who made it, and when, stays.
	w.update(func(tx *storage.Tx) error { return tx.SaveApp(kovra.App{Name: "web", Project: 8, CreatedBy: "UEVE"}) })
	web.Project = 8
	w.same("changed", []kovra.App{api, web}, apps())

	of := func(project int64) []kovra.App {
		return get(w, func(tx *storage.Tx) ([]kovra.App, error) { return tx.AppsOfProject(project) })
	}
	w.same("of its project", []kovra.App{web}, of(8))
	w.same("of its old project", []kovra.App(nil), of(group))
	w.same("of no project", []kovra.App(nil), of(0))

	w.update(func(tx *storage.Tx) error { return tx.DeleteApp("web") })
	w.update(func(tx *storage.Tx) error { return tx.DeleteApp("web") })
	w.same("after delete", []kovra.App{api}, apps())
}

func testDeletedApp(w *world) {
	w.link("web", group, "C1", "C2")
	w.link("api", group, "C3")
	run := w.observe(pipeline(5, kovra.Running))
	threads := w.threads(run.ID)
	if len(threads) != 3 {
		w.t.Fatalf("%d threads, want 3", len(threads))
	}
	w.update(func(tx *storage.Tx) error { return tx.DeleteApp("web") })
	subs := get(w, func(tx *storage.Tx) ([]kovra.Subscription, error) {
		return tx.Subscriptions(storage.SubscriptionQuery{})
	})
	if len(subs) != 1 || subs[0].App != "api" {
		w.t.Errorf("subscriptions after the delete: %v", subs)
	}
	for i := range threads {
		if threads[i].App == "web" {
			threads[i].Version++ // what they offer depends on the app
		}
	}
	w.same("threads", threads, w.threads(run.ID))
	v := get(w, func(tx *storage.Tx) (kovra.View, error) { return tx.View(threads[0].ID) })
	w.same("app in the view", kovra.App{Name: "web"}, v.App)
}

func testProjects(w *world) {
	p := kovra.Project{
		ID: group, Path: "group/web", Name: "Web", URL: "https://gitlab.example/group/web", DefaultBranch: "main",
		Hook: 3, HookOurs: true, Watermark: morning, ReadAt: morning, LinkedAt: morning,
	}
	other := kovra.Project{ID: 8, Path: "group/api"}
	w.update(func(tx *storage.Tx) error { return tx.SaveProject(p) })
	w.update(func(tx *storage.Tx) error { return tx.SaveProject(other) })
	one := func() kovra.Project {
		return get(w, func(tx *storage.Tx) (kovra.Project, error) { return tx.Project(group) })
	}
	w.same("saved", p, one())
	p.Path, p.Hook = "group/website", 0
	w.update(func(tx *storage.Tx) error { return tx.SaveProject(p) })
	w.same("changed", p, one())

	linked := func() []kovra.Project {
		return get(w, func(tx *storage.Tx) ([]kovra.Project, error) { return tx.LinkedProjects() })
	}
	w.same("nothing linked", []kovra.Project(nil), linked())
	w.link("web", group)
	w.link("site", group)
	w.same("linked once", []kovra.Project{p}, linked())
	w.link("web", 8)
	w.same("both", []kovra.Project{p, other}, linked())
}

func testSubscriptions(w *world) {
	w.link("web", group)
	sub := kovra.Subscription{App: "web", Channel: "C1", Floor: 40, CreatedBy: "UALICE", CreatedAt: morning}
	save := func() { w.update(func(tx *storage.Tx) error { return tx.SaveSubscription(sub) }) }
	all := func() []kovra.Subscription {
		return get(w, func(tx *storage.Tx) ([]kovra.Subscription, error) {
			return tx.Subscriptions(storage.SubscriptionQuery{App: "web"})
		})
	}
	save()
	got := all()
	if len(got) != 1 || got[0].ID == 0 {
		w.t.Fatalf("subscriptions: %v", got)
	}
	sub.ID, sub.Filter.Broadcast = got[0].ID, kovra.BroadcastOn // the default
	w.same("saved", []kovra.Subscription{sub}, got)

	sub.Filter.Broadcast, sub.Floor, sub.Paused = kovra.BroadcastAll, 50, "not in the channel"
	save()
	w.same("changed, the same one", []kovra.Subscription{sub}, all())

	drop := func() int64 {
		return put(w, func(tx *storage.Tx) (int64, error) { return tx.DeleteSubscriptions("web", "C1", 0) })
	}
	if first, again := drop(), drop(); first != 1 || again != 0 {
		w.t.Errorf("delete reports %d, then %d; want 1, then 0", first, again)
	}
	w.same("after delete", []kovra.Subscription(nil), all())
}

func testSubscriptionQueries(w *world) {
	w.link("web", 7, "C2", "C1")
	w.link("api", 8, "C1")
	w.link("cli", 7, "C1")
	for _, c := range []struct {
		name  string
		query storage.SubscriptionQuery
		want  []string
	}{
		{"all", storage.SubscriptionQuery{}, []string{"api C1", "cli C1", "web C1", "web C2"}},
		{"app", storage.SubscriptionQuery{App: "web"}, []string{"web C1", "web C2"}},
		{"channel", storage.SubscriptionQuery{Channel: "C1"}, []string{"api C1", "cli C1", "web C1"}},
		{"project", storage.SubscriptionQuery{Project: 7}, []string{"cli C1", "web C1", "web C2"}},
		{"app and channel", storage.SubscriptionQuery{App: "web", Channel: "C2"}, []string{"web C2"}},
		{"project and channel", storage.SubscriptionQuery{Project: 7, Channel: "C1"}, []string{"cli C1", "web C1"}},
		{"all three", storage.SubscriptionQuery{App: "api", Channel: "C1", Project: 8}, []string{"api C1"}},
		{"contradiction", storage.SubscriptionQuery{App: "api", Project: 7}, nil},
	} {
		subs := get(w, func(tx *storage.Tx) ([]kovra.Subscription, error) { return tx.Subscriptions(c.query) })
		var got []string
		for _, s := range subs {
			got = append(got, s.App+" "+s.Channel)
		}
		w.same(c.name, c.want, got)
	}
}

// testPauseAndMend: a channel is lost, its threads break; it comes back.
func testPauseAndMend(w *world) {
	w.link("web", group, "C1", "C2")
	w.link("api", 8, "C1")
	run := w.observe(pipeline(5, kovra.Running))
	threads := w.threads(run.ID)
	w.settle()
	w.update(func(tx *storage.Tx) error {
		if err := tx.PauseSubscriptions("C1", "the bot was removed"); err != nil {
			return err
		}
		return tx.BreakThread(threads[0].ID, "not_in_channel")
	})
	paused := func(q storage.SubscriptionQuery) (out []string) {
		for _, s := range get(w, func(tx *storage.Tx) ([]kovra.Subscription, error) { return tx.Subscriptions(q) }) {
			out = append(out, s.Paused)
		}
		return out
	}
	w.same("paused, both apps", []string{"the bot was removed", "the bot was removed"}, paused(storage.SubscriptionQuery{Channel: "C1"}))
	w.same("others go on", []string{""}, paused(storage.SubscriptionQuery{Channel: "C2"}))

	// A change that leaves the pause mends nothing.
	sub := kovra.Subscription{App: "web", Channel: "C1", Paused: "the bot was removed"}
	w.update(func(tx *storage.Tx) error { return tx.SaveSubscription(sub) })
	w.same("still broken", []kovra.Ref(nil), w.dirty(kovra.RefThread))
	w.notices()

	sub.Paused = ""
	w.update(func(tx *storage.Tx) error { return tx.SaveSubscription(sub) })
	w.same("mended", []kovra.Ref{threadRef(threads[0].ID)}, w.dirty(kovra.RefThread))
	w.same("told", [][]kovra.Ref{{threadRef(threads[0].ID)}}, w.notices())
	if got := w.threads(run.ID)[0]; got.Broken != "" {
		w.t.Errorf("thread is still broken: %s", got.Broken)
	}
}

func testKickProject(w *world) {
	w.update(func(tx *storage.Tx) error { tx.KickProject(group); return nil })
	w.same("told", [][]kovra.Ref{{{Kind: kovra.RefProject, ID: group}}}, w.notices())
}
