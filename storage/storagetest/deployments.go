package storagetest

import (
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

func (w *world) deploy(d kovra.Deployment) kovra.Deployment {
	w.t.Helper()
	return put(w, func(tx *storage.Tx) (kovra.Deployment, error) { return tx.AddDeployment(d) })
}

func (w *world) saveDeployment(d kovra.Deployment) kovra.Deployment {
	w.t.Helper()
	w.update(func(tx *storage.Tx) error { return tx.SaveDeployment(&d) })
	return d
}

var (
	production = kovra.DeployTarget{Namespace: "prod", Deployment: "web", Container: "app"}
	staging    = kovra.DeployTarget{Namespace: "staging", Deployment: "web"}
)

func testDeployments(w *world) {
	w.link("web", group, "C1")
	b := w.addBuild(asked("web", 1))
	w.settleBuilds()
	given := kovra.Deployment{
		Build: b.ID, App: "web", Kind: kovra.Deploy, Target: production, Image: "r.example/web@sha256:1", From: "r.example/web@sha256:0",
		AllowManaged: true, By: kovra.Person{ID: "UALICE"},
	}
	d := w.deploy(given)
	want := given
	want.ID, want.Name, want.Status, want.CreatedAt, want.Version = 1, d.Name, kovra.BuildPending, w.now(), 1
	w.same("added", want, d)
	w.same("the thread of the build shows it", []kovra.Ref{deploymentRef(1), threadRef(w.buildThreads(b.ID)[0].ID)}, w.dirty())
	w.same("stored", want, get(w, func(tx *storage.Tx) (kovra.Deployment, error) { return tx.Deployment(1) }))
	second := w.deploy(kovra.Deployment{Build: b.ID, App: "web", Target: production})
	third := w.deploy(kovra.Deployment{Build: b.ID, App: "web", Target: staging})
	if d.Name == second.Name || d.Name == b.Name {
		w.t.Errorf("names: %s, %s, build %s", d.Name, second.Name, b.Name)
	}
	w.settleBuilds()
	for _, d := range []*kovra.Deployment{&d, &second, &third} {
		*d = get(w, func(tx *storage.Tx) (kovra.Deployment, error) { return tx.Deployment(d.ID) })
	}
	d.End(kovra.BuildSucceeded, "", "", w.now())
	d = w.saveDeployment(d)
	w.same("the next of the same target is looked at", []kovra.Ref{deploymentRef(d.ID), deploymentRef(second.ID), threadRef(1)}, w.notices()[0])
	w.same("dirty", []kovra.Ref{deploymentRef(d.ID)}, w.dirty(kovra.RefDeployment))
	w.same("of the build", []kovra.Deployment{d, second, third},
		get(w, func(tx *storage.Tx) ([]kovra.Deployment, error) { return tx.DeploymentsOf(b.ID) }))
	w.same("open", []kovra.Deployment{second, third}, get(w, func(tx *storage.Tx) ([]kovra.Deployment, error) { return tx.OpenDeployments() }))
	w.same("of the app", []kovra.Deployment{third, second},
		get(w, func(tx *storage.Tx) ([]kovra.Deployment, error) { return tx.DeploymentsOfApp("web", 2) }))
	w.same("last", third, get(w, func(tx *storage.Tx) (kovra.Deployment, error) { return tx.LastDeployment("web") }))
	w.refuses(kovra.NotFound, "of an app without any", func(tx *storage.Tx) error { _, err := tx.LastDeployment("api"); return err })
}

func testBuildSettings(w *world) {
	settings := func(app string) kovra.BuildSettings {
		return get(w, func(tx *storage.Tx) (kovra.BuildSettings, error) { return tx.BuildSettings(app) })
	}
	w.link("web", group, "C1")
	w.same("defaults", kovra.BuildSettings{App: "web", Branch: "main", Supersede: true}, settings("web"))
	w.same("without settings", "", w.head())
	s := kovra.BuildSettings{
		App: "web", Enabled: true, Branch: "trunk", Args: []kovra.BuildArg{{Key: "A", Value: "1"}}, Target: production, Paused: true,
		ChangedBy: kovra.Person{ID: "UALICE"}, ChangedAt: w.now(),
	}
	run := w.observe(pipeline(5, kovra.Running))
	w.settle()
	w.update(func(tx *storage.Tx) error { return tx.SaveBuildSettings(s, commit(1)) })
	w.same("what is off stays off", s, settings("web"))
	w.same("head", commit(1), w.head())
	w.same("threads of the app are shown anew", []kovra.Ref{threadRef(w.threads(run.ID)[0].ID)}, w.dirty(kovra.RefThread))
	w.update(func(tx *storage.Tx) error { return tx.DeleteApp("web") })
	w.link("web", group, "C1")
	w.same("of a new app of that name", kovra.DefaultBuildSettings("web"), settings("web"))
	w.same("its head", "", w.head())
}

// testHeads: when the known head of the branch gives way to the one that comes with settings.
func testHeads(w *world) {
	w.link("web", group)
	save := func(change func(*kovra.BuildSettings), head string) {
		w.t.Helper()
		w.update(func(tx *storage.Tx) error {
			s, err := tx.BuildSettings("web")
			if err != nil {
				return err
			}
			change(&s)
			return tx.SaveBuildSettings(s, head)
		})
	}
	save(func(s *kovra.BuildSettings) { s.Enabled = true }, commit(1))
	w.same("switched on", commit(1), w.head())
	// The settings are saved with the head of now, while the webhook of that push is on its way.
	save(func(s *kovra.BuildSettings) { s.AutoDeploy = true }, commit(2))
	w.same("other settings", commit(1), w.head())
	w.same("the push is built", 1, w.push(move("main", 1, 2)).Builds)
	save(func(s *kovra.BuildSettings) { s.Branch = "next" }, commit(5))
	w.same("another branch", commit(5), w.head())
	save(func(s *kovra.BuildSettings) { s.Enabled = false }, "")
	save(func(s *kovra.BuildSettings) { s.Enabled = true }, commit(6))
	w.same("switched off and on", commit(6), w.head())
	w.update(func(tx *storage.Tx) error { return tx.SaveApp(kovra.App{Name: "web", Project: 8}) })
	w.same("another project", "", w.head())
}

func (w *world) head() string {
	w.t.Helper()
	return get(w, func(tx *storage.Tx) (string, error) { return tx.BuildHead("web") })
}
