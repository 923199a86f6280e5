package storagetest

import (
	"fmt"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

func testObserveNew(w *world) {
	o := pipeline(5, kovra.Running)
	o.Run.By = kovra.GitLabUser{ID: 1, Username: "alice", Name: "Alice"}
	o.Run.Stages = []string{"build", "test"}
	o.Run.CreatedAt = morning
	o.Jobs = []kovra.Job{
		{ID: 51, Name: "build", Stage: "build", Status: kovra.Success, Duration: time.Minute},
		{ID: 52, Name: "unit", Stage: "test", Status: kovra.Running, StartedAt: morning},
	}
	var seen kovra.Seen
	run := put(w, func(tx *storage.Tx) (run kovra.Run, err error) {
		run, seen, err = tx.Observe(o)
		return run, err
	})
	w.same("seen", kovra.Seen{Run: true, Jobs: []int64{51, 52}}, seen)
	want := o.Run
	want.ID, want.Version, want.ObservedAt = run.ID, 1, w.now()
	w.same("returned", want, run)
	w.same("by our id", want, w.run(run.ID))
	w.same("by GitLab's", want, get(w, func(tx *storage.Tx) (kovra.Run, error) { return tx.RunByRemote(group, 5) }))

	jobs := get(w, func(tx *storage.Tx) ([]kovra.Job, error) { return tx.Jobs(run.ID) })
	for i := range o.Jobs {
		o.Jobs[i].Run, o.Jobs[i].Project = run.ID, group
	}
	w.same("jobs", o.Jobs, jobs)
	w.same("a job", o.Jobs[1], get(w, func(tx *storage.Tx) (kovra.Job, error) { return tx.Job(group, 52) }))
	w.same("told", [][]kovra.Ref{{runRef(run.ID)}}, w.notices())

	// The same ids in another project are other things.
	o.Run.Project = 8
	other := w.observe(o)
	if other.ID == run.ID {
		w.t.Error("pipelines of two projects share a run")
	}
	w.same("its job", other.ID, get(w, func(tx *storage.Tx) (kovra.Job, error) { return tx.Job(8, 52) }).Run)
	w.same("the first one's job", run.ID, get(w, func(tx *storage.Tx) (kovra.Job, error) { return tx.Job(group, 52) }).Run)
}

// testObserveFolds checks that the rule of package kovra is applied to what is stored.
func testObserveFolds(w *world) {
	w.observe(pipeline(5, kovra.Running))
	late := pipeline(5, kovra.Pending) // an older hook that arrives now
	late.Run.Title = "Fix it, really"
	late.Jobs = []kovra.Job{{ID: 51, Name: "build", Stage: "build", Status: kovra.Running}}
	w.observe(late)
	done := pipeline(5, kovra.Success)
	done.Run.Title = ""
	done.Jobs = []kovra.Job{{ID: 51, Name: "build", Status: kovra.Success}}
	run := w.observe(done)
	if run.Status != kovra.Success || run.Title != "Fix it, really" || run.Version != 3 || len(run.Results) != 1 || run.Stale {
		w.t.Errorf("after all: %+v", run)
	}
	w.same("stored", run, w.run(run.ID))
	j := get(w, func(tx *storage.Tx) (kovra.Job, error) { return tx.Job(group, 51) })
	w.same("job", kovra.Job{ID: 51, Project: group, Run: run.ID, Name: "build", Stage: "build", Status: kovra.Success}, j)

	back := w.observe(pipeline(5, kovra.Running)) // a retry, or an old hook: GitLab must say
	if !back.Stale || back.Status != kovra.Success {
		w.t.Errorf("after news that cannot be placed: %+v", back)
	}
	w.same("stale is stored", true, w.run(run.ID).Stale)
}

// testObserveAgain: what is no news makes no version, no notice, no work.
func testObserveAgain(w *world) {
	w.link("web", group, "C1")
	first := w.observe(pipeline(5, kovra.Running))
	w.settle()
	w.pass(30 * time.Second)
	w.observe(pipeline(5, kovra.Running))
	w.same("unchanged", first.ObservedAt, w.run(first.ID).ObservedAt)
	w.pass(time.Minute)
	w.observe(pipeline(5, kovra.Running))
	got := w.run(first.ID)
	if got.Version != first.Version {
		w.t.Errorf("version %d, want %d", got.Version, first.Version)
	}
	w.same("heard of it", w.now(), got.ObservedAt)
	w.same("notices", [][]kovra.Ref(nil), w.notices())
	w.same("dirty", []kovra.Ref(nil), w.dirty())
}

func testObserveWhole(w *world) {
	run := w.observe(pipeline(5, kovra.Failed))
	w.update(func(tx *storage.Tx) error { return tx.MarkStale(run.ID) })
	truth := pipeline(5, kovra.Running)
	truth.Whole, truth.Base = true, run.Version
	truth.Run.UpdatedAt = morning.Add(time.Hour)
	got := w.observe(truth)
	if got.Status != kovra.Running || got.Stale || !got.Read || got.ReadResults != 1 {
		w.t.Errorf("after a re-read: %+v", got)
	}
	w.same("stored", got, w.run(run.ID))

	// A re-read that began before the last change is a hint only.
	old := pipeline(5, kovra.Pending)
	old.Whole, old.Base = true, run.Version
	if got = w.observe(old); got.Status != kovra.Running || !got.Stale {
		w.t.Errorf("after an overtaken re-read: %+v", got)
	}
}

func remotes(runs []kovra.Run) (out []int64) {
	for _, r := range runs {
		out = append(out, r.Remote)
	}
	return out
}

func testRunPages(w *world) {
	for _, remote := range []int64{16, 11, 19, 14, 12, 20, 17, 13, 18, 15} { // as they come
		o := pipeline(remote, kovra.Running)
		if remote%2 == 1 {
			o.Run.Ref = "feature/x"
		}
		w.observe(o)
	}
	w.observe(childOf(20, 21, kovra.Running))
	other := pipeline(22, kovra.Running)
	other.Run.Project = 8
	w.observe(other)
	for _, c := range []struct {
		name  string
		query storage.RunQuery
		want  []int64
	}{
		{"newest", storage.RunQuery{Project: group, Limit: 3}, []int64{20, 19, 18}},
		{"older", storage.RunQuery{Project: group, Before: 18, Limit: 3}, []int64{17, 16, 15}},
		{"oldest", storage.RunQuery{Project: group, Before: 13, Limit: 3}, []int64{12, 11}},
		{"beyond", storage.RunQuery{Project: group, Before: 11, Limit: 3}, nil},
		{"newer", storage.RunQuery{Project: group, After: 12, Limit: 3}, []int64{15, 14, 13}},
		{"newer than all", storage.RunQuery{Project: group, After: 20, Limit: 3}, nil},
		{"ref", storage.RunQuery{Project: group, Ref: "main", Limit: 3}, []int64{20, 18, 16}},
		{"older of ref", storage.RunQuery{Project: group, Ref: "main", Before: 16, Limit: 3}, []int64{14, 12}},
		{"newer of ref", storage.RunQuery{Project: group, Ref: "feature/x", After: 13, Limit: 2}, []int64{17, 15}},
		{"unknown ref", storage.RunQuery{Project: group, Ref: "fix", Limit: 3}, nil},
		{"other project", storage.RunQuery{Project: 8, Limit: 3}, []int64{22}},
		{"unknown project", storage.RunQuery{Project: 9, Limit: 3}, nil},
	} {
		runs := get(w, func(tx *storage.Tx) ([]kovra.Run, error) { return tx.Runs(c.query) })
		w.same(c.name, c.want, remotes(runs))
	}
}

func testQuietRuns(w *world) {
	w.link("web", group)
	ids := map[int64]int64{}
	for remote, status := range map[int64]kovra.Status{
		1: kovra.Success, 2: kovra.Manual, 3: kovra.Scheduled, 4: kovra.Failed, 5: kovra.Canceled, 6: kovra.Skipped,
	} {
		ids[remote] = w.observe(pipeline(remote, status)).ID
	}
	for remote, status := range map[int64]kovra.Status{10: kovra.Running, 11: kovra.Created, 12: "a_new_word"} {
		w.clock.Store(int64(time.Duration(remote) * time.Second))
		ids[remote] = w.observe(pipeline(remote, status)).ID
	}
	w.clock.Store(int64(5 * time.Second))
	other := pipeline(13, kovra.Running)
	other.Run.Project = 8 // no app is linked to it
	w.observe(other)
	quiet := func(after time.Duration, limit int) []int64 {
		return get(w, func(tx *storage.Tx) ([]int64, error) { return tx.QuietRuns(morning.Add(after), limit) })
	}
	w.same("all, oldest first", []int64{ids[10], ids[11], ids[12]}, quiet(time.Minute, 9))
	w.same("a few", []int64{ids[10]}, quiet(time.Minute, 1))
	w.same("before a time", []int64{ids[10]}, quiet(11*time.Second, 9))

	w.clock.Store(int64(5 * time.Minute))
	w.observe(pipeline(10, kovra.Running))
	w.same("one was heard of", []int64{ids[11], ids[12]}, quiet(time.Minute, 9))
	listed := pipeline(11, kovra.Created)
	listed.Listed = true
	w.observe(listed)
	w.same("a list tells nothing of jobs", []int64{ids[11], ids[12]}, quiet(time.Minute, 9))
}

func testDrivenStaleForget(w *world) {
	w.link("web", group, "C1")
	run := w.observe(pipeline(5, kovra.Failed))
	w.update(func(tx *storage.Tx) error { return tx.SetDriven(run.ID, 1) })
	w.update(func(tx *storage.Tx) error { return tx.SetDriven(run.ID, 0) }) // an older look
	w.same("driven", int64(1), w.run(run.ID).DrivenVersion)
	w.settle()

	w.update(func(tx *storage.Tx) error { return tx.MarkStale(run.ID) })
	w.same("told", [][]kovra.Ref{{runRef(run.ID)}}, w.notices())
	got := w.run(run.ID)
	if !got.Stale || got.Version != run.Version || !got.WantsRead() {
		w.t.Errorf("marked as stale: %+v", got)
	}
	w.pass(time.Hour)
	w.update(func(tx *storage.Tx) error { return tx.Forget(run.ID) })
	got = w.run(run.ID)
	if got.Stale || got.WantsRead() || got.Version != run.Version+1 {
		w.t.Errorf("forgotten: %+v", got)
	}
	w.same("nobody told us of it", run.ObservedAt, got.ObservedAt)
}

func testExcerpts(w *world) {
	w.link("web", group, "C1")
	o := pipeline(5, kovra.Failed)
	o.Jobs = []kovra.Job{{ID: 51, Name: "unit", Status: kovra.Failed}, {ID: 52, Name: "lint", Status: kovra.Failed}}
	run := w.observe(o)
	thread := w.threads(run.ID)[0]
	w.settle()
	e := kovra.Excerpt{Total: 900, First: 880, Lines: []kovra.ExcerptLine{{Hidden: 879}, {N: 880, Text: "panic: <boom> & \"quotes\" 🙈"}}}
	w.update(func(tx *storage.Tx) error { return tx.SetExcerpt(group, 51, kovra.LogCut, e) })
	jobs := get(w, func(tx *storage.Tx) ([]kovra.Job, error) { return tx.Jobs(run.ID) })
	w.same("excerpt", e, jobs[0].Excerpt)
	w.same("state", kovra.LogCut, jobs[0].Log)
	w.same("the other job", kovra.LogUnread, jobs[1].Log)
	w.same("told", [][]kovra.Ref{{runRef(run.ID), threadRef(thread.ID)}}, w.notices())
	w.same("version", run.Version+1, w.run(run.ID).Version)

	// Later hooks of the job leave it alone.
	o.Jobs[0].URL = "https://gitlab.example/jobs/51"
	w.observe(o)
	w.same("excerpt stays", e, get(w, func(tx *storage.Tx) (kovra.Job, error) { return tx.Job(group, 51) }).Excerpt)
}

func testChildren(w *world) {
	w.link("web", group, "C1")
	parent := w.observe(pipeline(5, kovra.Running))
	thread := w.threads(parent.ID)[0]
	w.settle()
	o := childOf(5, 8, kovra.Running)
	o.Jobs = []kovra.Job{{ID: 81, Name: "child job", Status: kovra.Running}}
	child := w.observe(o)
	w.same("told", [][]kovra.Ref{{runRef(parent.ID), runRef(child.ID), threadRef(thread.ID)}}, w.notices())
	got := w.run(parent.ID)
	if !got.Stale || got.Version != parent.Version+1 || !got.ObservedAt.Equal(parent.ObservedAt) {
		w.t.Errorf("parent of a new child: %+v", got)
	}
	w.observe(childOf(5, 7, kovra.Created))
	children := get(w, func(tx *storage.Tx) ([]kovra.Child, error) { return tx.Children(parent.ID) })
	if len(children) != 2 || children[0].Run.Remote != 7 || children[1].Run.Remote != 8 || len(children[1].Jobs) != 1 {
		w.t.Fatalf("children: %+v", children)
	}
	w.same("child threads", []kovra.Thread(nil), w.threads(child.ID))

	// While the child moves the parent is shown anew, and asked for only at its end.
	w.update(func(tx *storage.Tx) error { return tx.Forget(parent.ID) })
	w.settle()
	step := childOf(5, 8, kovra.Running)
	step.Jobs = []kovra.Job{{ID: 81, Name: "child job", Status: kovra.Success}}
	w.observe(step)
	w.same("a step of the child", false, w.run(parent.ID).Stale)
	w.same("shown", []kovra.Ref{threadRef(thread.ID)}, w.dirty(kovra.RefThread))
	w.observe(childOf(5, 8, kovra.Failed))
	w.same("the end of the child", true, w.run(parent.ID).Stale)

	// A child of the child reaches the thread, too.
	w.settle()
	grand := w.observe(childOf(8, 9, kovra.Running))
	w.same("shown again", []kovra.Ref{threadRef(thread.ID)}, w.dirty(kovra.RefThread))
	w.update(func(tx *storage.Tx) error { return tx.Forget(grand.ID) })
	w.observe(childOf(404, 405, kovra.Running)) // a parent that nobody knows
}

// testChildLearntLater: a job hook does not tell whose child its pipeline is.
func testChildLearntLater(w *world) {
	w.link("web", group, "C1")
	parent := w.observe(pipeline(5, kovra.Running))
	w.settle()
	w.observe(kovra.Observation{
		Run:  kovra.Run{Project: group, Remote: 8, Ref: "main"},
		Jobs: []kovra.Job{{ID: 81, Name: "child job", Status: kovra.Running}},
	})
	child := w.observe(childOf(5, 8, kovra.Running))
	w.same("parent is asked for", true, w.run(parent.ID).Stale)
	w.same("child threads", []kovra.Thread(nil), w.threads(child.ID))
}

// testParentsInACircle: nonsense from outside must end.
func testParentsInACircle(w *world) {
	w.observe(childOf(5, 5, kovra.Running))
	w.observe(childOf(7, 6, kovra.Running))
	w.observe(childOf(6, 7, kovra.Running))
	run := w.observe(childOf(7, 6, kovra.Success))
	w.same("the end", kovra.Success, run.Status)
}

// end is one finish of a pipeline and the news that it must be.
type end struct {
	remote int64
	status kovra.Status
	want   kovra.News
	ref    string // "": main
	tag    bool
	mr     int64
	parent int64
}

// newsCases are ends in the order in which they are seen.
var newsCases = map[string][]end{
	"the first failure breaks":       {{remote: 1, status: kovra.Failed, want: kovra.Broken}},
	"the first success is no news":   {{remote: 1, status: kovra.Success}},
	"still broken":                   {{remote: 1, status: kovra.Failed, want: kovra.Broken}, {remote: 2, status: kovra.Failed}},
	"newly broken":                   {{remote: 1, status: kovra.Success}, {remote: 2, status: kovra.Failed, want: kovra.Broken}},
	"fixed by a newer run":           {{remote: 1, status: kovra.Failed, want: kovra.Broken}, {remote: 2, status: kovra.Success, want: kovra.Fixed}},
	"fixed by a retry of the same":   {{remote: 1, status: kovra.Failed, want: kovra.Broken}, {remote: 1, status: kovra.Success, want: kovra.Fixed}},
	"broken by a retry":              {{remote: 1, status: kovra.Success}, {remote: 1, status: kovra.Failed, want: kovra.Broken}},
	"a failed retry is no news":      {{remote: 1, status: kovra.Failed, want: kovra.Broken}, {remote: 1, status: kovra.Failed}},
	"a successful retry is no news":  {{remote: 1, status: kovra.Success}, {remote: 1, status: kovra.Success}},
	"fixed stays fixed":              {{remote: 1, status: kovra.Failed, want: kovra.Broken}, {remote: 1, status: kovra.Success, want: kovra.Fixed}, {remote: 2, status: kovra.Success}},
	"canceled does not count":        {{remote: 1, status: kovra.Success}, {remote: 2, status: kovra.Canceled}, {remote: 3, status: kovra.Failed, want: kovra.Broken}},
	"skipped does not count":         {{remote: 1, status: kovra.Failed, want: kovra.Broken}, {remote: 2, status: kovra.Skipped}, {remote: 3, status: kovra.Success, want: kovra.Fixed}},
	"a canceled retry in between":    {{remote: 1, status: kovra.Failed, want: kovra.Broken}, {remote: 1, status: kovra.Canceled}, {remote: 1, status: kovra.Success, want: kovra.Fixed}},
	"an older failure comes late":    {{remote: 2, status: kovra.Success}, {remote: 1, status: kovra.Failed}},
	"an older success comes late":    {{remote: 2, status: kovra.Failed, want: kovra.Broken}, {remote: 1, status: kovra.Success}, {remote: 3, status: kovra.Success, want: kovra.Fixed}},
	"an old run is retried":          {{remote: 1, status: kovra.Failed, want: kovra.Broken}, {remote: 2, status: kovra.Success, want: kovra.Fixed}, {remote: 1, status: kovra.Success}},
	"a newer canceled hides nothing": {{remote: 2, status: kovra.Canceled}, {remote: 1, status: kovra.Failed, want: kovra.Broken}},
	"refs are compared alone": {
		{remote: 1, status: kovra.Failed, want: kovra.Broken},
		{remote: 2, status: kovra.Failed, want: kovra.Broken, ref: "fix"},
		{remote: 3, status: kovra.Success, want: kovra.Fixed},
		{remote: 4, status: kovra.Failed, ref: "fix"},
	},
	"merge requests are a kind of their own": {
		{remote: 1, status: kovra.Failed, want: kovra.Broken},
		{remote: 2, status: kovra.Success, mr: 9},
		{remote: 3, status: kovra.Failed, mr: 9, want: kovra.Broken},
		{remote: 4, status: kovra.Success, want: kovra.Fixed},
		{remote: 5, status: kovra.Success, mr: 9, want: kovra.Fixed},
	},
	"tags are a kind of their own": {
		{remote: 1, status: kovra.Failed, want: kovra.Broken},
		{remote: 2, status: kovra.Success, tag: true},
		{remote: 3, status: kovra.Success, want: kovra.Fixed},
	},
	"a child that ends first hides nothing": {
		{remote: 1, status: kovra.Success},
		{remote: 3, status: kovra.Failed, parent: 2},
		{remote: 2, status: kovra.Failed, want: kovra.Broken},
		{remote: 5, status: kovra.Success, parent: 4},
		{remote: 4, status: kovra.Success, want: kovra.Fixed},
	},
	"a failed child is not the ref": {
		{remote: 2, status: kovra.Failed, parent: 1},
		{remote: 1, status: kovra.Success}, // it may fail
		{remote: 3, status: kovra.Failed, want: kovra.Broken},
	},
}

// checkNews plays ends, as hooks or as re-reads, a minute apart.
func checkNews(w *world, ends []end, whole bool) {
	w.t.Helper()
	for i, e := range ends {
		w.pass(time.Minute)
		o := pipeline(e.remote, e.status)
		if e.parent != 0 {
			o = childOf(e.parent, e.remote, e.status)
		}
		o.Run.FinishedAt = w.now()
		o.Run.Tag = e.tag
		o.Run.MR.IID = e.mr
		if e.ref != "" {
			o.Run.Ref = e.ref
		}
		run := put(w, func(tx *storage.Tx) (kovra.Run, error) {
			if old, err := tx.RunByRemote(group, e.remote); err == nil {
				o.Base = old.Version
			}
			o.Whole = whole
			run, _, err := tx.Observe(o)
			return run, err
		})
		what := fmt.Sprintf("end %d: %s of %d", i+1, e.status, e.remote)
		if len(run.Results) == 0 {
			w.t.Fatalf("%s was not noted", what)
		}
		w.same(what, e.want, run.Results[len(run.Results)-1].News)
		w.same(what+", stored", run, w.run(run.ID))
		again := w.observe(o)
		w.same(what+", seen again", run.Results, again.Results)
	}
}
