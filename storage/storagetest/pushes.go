package storagetest

import (
	"fmt"
	"sync/atomic"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// at is the commit n; 0 is none.
func at(n int) string {
	if n == 0 {
		return ""
	}
	return commit(n)
}

// move is a push of a branch from one commit to another.
func move(branch string, before, after int) kovra.Push {
	return kovra.Push{Project: group, Ref: branch, Before: at(before), After: at(after), Title: fmt.Sprint("Change ", after)}
}

// read is what a re-read finds main at.
func read(after int) kovra.Push {
	return kovra.Push{Project: group, Ref: "main", After: at(after), Read: true}
}

func (w *world) push(p kovra.Push) kovra.PushTaken {
	w.t.Helper()
	return put(w, func(tx *storage.Tx) (kovra.PushTaken, error) { return tx.TakePush(p) })
}

// follow has app web build main by itself, which is at a commit.
func (w *world) follow(head int, change func(*kovra.BuildSettings)) {
	w.t.Helper()
	s := kovra.DefaultBuildSettings("web")
	s.Enabled = true
	if change != nil {
		change(&s)
	}
	w.update(func(tx *storage.Tx) error { return tx.SaveBuildSettings(s, at(head)) })
}

// built tells the builds of web, oldest first: the commit, and how it stands.
func (w *world) built() []string {
	w.t.Helper()
	builds := get(w, func(tx *storage.Tx) ([]kovra.Build, error) {
		return tx.Builds(storage.BuildQuery{App: "web", Limit: 100})
	})
	var all []string
	for i := range builds {
		b := &builds[len(builds)-1-i]
		line := fmt.Sprintf("%x", b.Spec.Commit[39]-'0')
		switch {
		case b.Reason == kovra.ReasonSuperseded:
			line += " superseded by " + fmt.Sprint(b.Cancel.Newer)
		case b.Cancel.Wanted:
			line += " ends for " + fmt.Sprint(b.Cancel.Newer)
		default:
			line += " " + string(b.Status)
		}
		all = append(all, line)
	}
	return all
}

// pushCase is a row of pushes, what is built of them, and where the branch is in the end.
type pushCase struct {
	head   int // where main is when builds are switched on; 0: not known
	pushes []kovra.Push
	want   []string
	end    int
	reread bool // a push was out of order
}

// m is a push of main.
func m(before, after int) kovra.Push { return move("main", before, after) }

var pushCases = map[string]pushCase{
	"one":                    {1, []kovra.Push{m(1, 2)}, []string{"2 Pending"}, 2, false},
	"told three times":       {1, []kovra.Push{m(1, 2), m(1, 2), m(1, 2)}, []string{"2 Pending"}, 2, false},
	"in order":               {1, []kovra.Push{m(1, 2), m(2, 3)}, []string{"2 superseded by 2", "3 Pending"}, 3, false},
	"told again later":       {1, []kovra.Push{m(1, 2), m(2, 3), m(1, 2)}, []string{"2 superseded by 2", "3 Pending"}, 3, false},
	"the newer one first":    {1, []kovra.Push{m(2, 3), m(1, 2)}, []string{"3 Pending", "2 superseded by 1"}, 3, true},
	"3 1 2":                  {1, []kovra.Push{m(3, 4), m(1, 2), m(2, 3)}, []string{"4 Pending", "2 superseded by 1", "3 superseded by 1"}, 4, true},
	"3 2 1":                  {1, []kovra.Push{m(3, 4), m(2, 3), m(1, 2)}, []string{"4 Pending", "3 superseded by 1", "2 superseded by 1"}, 4, true},
	"2 3 1":                  {1, []kovra.Push{m(2, 3), m(3, 4), m(1, 2)}, []string{"3 superseded by 2", "4 Pending", "2 superseded by 2"}, 4, true},
	"head not known":         {0, []kovra.Push{m(1, 2)}, []string{"2 Pending"}, 2, false},
	"head read first":        {0, []kovra.Push{read(1), m(1, 2)}, []string{"2 Pending"}, 2, false},
	"what was there":         {1, []kovra.Push{read(1), m(5, 1), read(1)}, nil, 1, false},
	"a lost webhook":         {1, []kovra.Push{read(2)}, []string{"2 Pending"}, 2, false},
	"a webhook that is late": {1, []kovra.Push{read(2), m(1, 2)}, []string{"2 Pending"}, 2, false},
	"two that are late":      {1, []kovra.Push{read(3), m(2, 3), m(1, 2)}, []string{"3 Pending", "2 superseded by 1"}, 3, true},
	"all are late":           {1, []kovra.Push{read(5), m(1, 2), m(2, 3), m(3, 4), m(4, 5)}, []string{"5 Pending", "2 superseded by 1", "3 superseded by 1", "4 superseded by 1"}, 5, true},
	"one of two is lost":     {1, []kovra.Push{m(2, 3)}, []string{"3 Pending"}, 3, true},
	"other branch":           {1, []kovra.Push{move("next", 1, 2)}, nil, 1, false},
	"deleted":                {1, []kovra.Push{m(1, 0)}, nil, 0, false},
	"deleted, then late":     {1, []kovra.Push{m(1, 2), m(3, 0), m(2, 3)}, []string{"2 Pending", "3 superseded by 1"}, 0, true},
	"deleted and new":        {1, []kovra.Push{m(1, 0), m(0, 2)}, []string{"2 Pending"}, 2, false},
	// The same commit after a deletion: there is an image of it already.
	"deleted and the same": {1, []kovra.Push{m(1, 2), m(2, 0), m(0, 2)}, []string{"2 Pending"}, 2, false},
	"set back":             {1, []kovra.Push{m(1, 2), m(2, 3), m(3, 2)}, []string{"2 superseded by 2", "3 superseded by 3", "2 Pending"}, 2, false},
	"set back, told twice": {1, []kovra.Push{m(1, 2), m(2, 3), m(3, 2), m(2, 3), m(3, 2), m(1, 2)}, []string{"2 superseded by 2", "3 superseded by 3", "2 Pending"}, 2, false},
	"set back unseen":      {1, []kovra.Push{m(1, 2), m(2, 3), read(2)}, []string{"2 superseded by 2", "3 superseded by 3", "2 Pending"}, 2, false},
	// Four in the worst order: taken wrongly at first, and set right by the re-read that this asks for.
	"4 2 1 3, read": {1, []kovra.Push{m(4, 5), m(2, 3), m(1, 2), m(3, 4), read(5)}, []string{
		"5 superseded by 2", "3 superseded by 4", "2 superseded by 2", "4 superseded by 5", "5 Pending",
	}, 5, true},
}

func checkPushes(w *world, c pushCase) {
	w.link("web", group)
	w.update(func(tx *storage.Tx) error { return tx.SaveProject(kovra.Project{ID: group, ReadAt: w.now()}) })
	w.follow(c.head, nil)
	w.notices()
	for _, p := range c.pushes {
		w.push(p)
	}
	w.same("builds", c.want, w.built())
	w.same("head", at(c.end), w.head())
	p := get(w, func(tx *storage.Tx) (kovra.Project, error) { return tx.Project(group) })
	w.same("asks for a re-read", c.reread, p.ReadAt.IsZero())
}

func testPushTaken(w *world) {
	w.link("web", group)
	w.link("site", group)
	w.same("nobody builds", kovra.PushTaken{}, w.push(m(1, 2)))
	w.follow(1, func(s *kovra.BuildSettings) { s.Paths = []string{"web/**"}; s.Tags = "v*" })
	other := kovra.DefaultBuildSettings("site")
	other.Enabled = true
	w.update(func(tx *storage.Tx) error { return tx.SaveBuildSettings(other, at(1)) })
	p := m(1, 2)
	p.Paths, p.AllPaths, p.Pusher = []string{"docs/x"}, true, kovra.GitLabUser{Username: "ann"}
	w.same("one of two wants it", kovra.PushTaken{Heard: true, Moved: true, Builds: 1}, w.push(p))
	w.same("again", kovra.PushTaken{Heard: true}, w.push(p))
	w.same("another branch", kovra.PushTaken{}, w.push(move("next", 1, 2)))
	w.same("moved all the same", at(2), w.head())
	b := get(w, func(tx *storage.Tx) ([]kovra.Build, error) {
		return tx.Builds(storage.BuildQuery{App: "site", Limit: 1})
	})[0]
	if b.Trigger != kovra.ByPush || b.Before != at(1) || b.Title != "Change 2" || b.Pusher.Username != "ann" || b.Spec.Commit != at(2) || b.Spec.Branch != "main" {
		w.t.Errorf("build %+v", b)
	}
	// Where a push is missing its files are not known, so it is built.
	lost := m(3, 4)
	lost.Paths, lost.AllPaths = []string{"docs/x"}, true
	w.same("both", 2, w.push(lost).Builds)
	tag := kovra.Push{Project: group, Ref: "v1", Tag: true, After: at(4)}
	w.same("a tag", kovra.PushTaken{Heard: true, Builds: 1}, w.push(tag))
	w.same("a tag again", kovra.PushTaken{Heard: true}, w.push(tag))
	tag.After = at(5)
	w.same("a tag that moved", 1, w.push(tag).Builds)
	tag.After = ""
	w.same("a tag that is gone", kovra.PushTaken{Heard: true}, w.push(tag))
	tag.Ref, tag.After = "$(x)", at(5)
	w.same("a tag that cannot be passed on", kovra.PushTaken{}, w.push(tag))
}

// testSupersede: what a newer push ends, and what it leaves alone.
func testSupersede(w *world) {
	w.link("web", group)
	w.link("site", group)
	w.follow(1, nil)
	start := func(b kovra.Build, phase kovra.BuildPhase, s kovra.BuildStatus) int64 {
		id := w.addBuild(b).ID
		w.change(id, func(b *kovra.Build) { b.Phase, b.Status = phase, s })
		return id
	}
	building := start(asked("web", 1), kovra.PhaseMade, kovra.BuildBuilding)
	pending := start(asked("web", 1), kovra.PhaseMade, kovra.BuildPending)
	queued := start(asked("web", 1), kovra.PhaseQueued, kovra.BuildPending)
	again := asked("web", 1)
	again.Trigger = kovra.ByRebuild
	tag := asked("web", 1)
	tag.Spec.Tag = true
	next := asked("web", 1)
	next.Spec.Branch = "next"
	spared := []int64{building, w.addBuild(again).ID, w.addBuild(tag).ID, w.addBuild(next).ID, w.addBuild(asked("site", 1)).ID}
	w.push(m(1, 2))
	newest := int64(8)
	w.same("it waits behind all that are left", 5, w.build(newest).Place)
	for _, id := range spared {
		w.same("spared", false, w.build(id).Cancel.Wanted)
	}
	w.same("given to the cluster", kovra.BuildCancel{Wanted: true, Newer: newest}, w.build(pending).Cancel)
	w.same("it ends when the cluster says so", kovra.BuildPending, w.build(pending).Status)
	got := w.build(queued)
	w.same("only queued", []any{kovra.BuildCancelled, kovra.ReasonSuperseded, "Superseded by build #8.", kovra.PhaseEnded, w.now()},
		[]any{got.Status, got.Reason, got.Message, got.Phase, got.FinishedAt})
}

// testNoSupersede: every push is built, and an older one that comes late is not deployed over the newer one.
func testNoSupersede(w *world) {
	w.link("web", group)
	w.follow(1, func(s *kovra.BuildSettings) { s.Supersede, s.AutoDeploy, s.Target = false, true, production })
	w.push(m(1, 2))
	w.push(m(3, 4))
	w.push(m(2, 3))
	w.same("builds", []string{"2 Pending", "4 Pending", "3 Pending"}, w.built())
	w.same("deployed", []bool{true, true, false}, []bool{w.build(1).Spec.Deploy, w.build(2).Spec.Deploy, w.build(3).Spec.Deploy})
}

// testPushRace: one push, told a hundred times at once.
func testPushRace(w *world) {
	w.link("web", group, "C1")
	w.follow(1, nil)
	var made atomic.Int64
	together(100, func(int) {
		err := w.db.Update(w.t.Context(), func(tx *storage.Tx) error {
			taken, err := tx.TakePush(m(1, 2))
			made.Add(int64(taken.Builds))
			return err
		})
		if err != nil {
			w.t.Error(err)
		}
	})
	w.same("new", int64(1), made.Load())
	w.same("builds", []string{"2 Pending"}, w.built())
	w.same("threads", 1, len(w.buildThreads(1)))
}

// testPushedAfter: which of two builds is newer, however their pushes were told.
func testPushedAfter(w *world) {
	w.link("web", group, "C1")
	w.follow(1, func(s *kovra.BuildSettings) { s.Supersede = false })
	for _, n := range []int{4, 2, 3} { // told out of order
		w.push(move("main", n-1, n))
	}
	all := get(w, func(tx *storage.Tx) ([]kovra.Build, error) {
		return tx.Builds(storage.BuildQuery{App: "web", Limit: 9})
	})
	by := map[string]kovra.Build{}
	for _, b := range all {
		by[b.Spec.Commit] = b
	}
	if len(all) != 3 {
		w.t.Fatalf("builds %+v", all)
	}
	after := func(what string, want bool, a, b kovra.Build) {
		w.t.Helper()
		for _, c := range []struct {
			a, b kovra.Build
			want bool
		}{{a, b, want}, {b, a, !want}} {
			got := get(w, func(tx *storage.Tx) (bool, error) { return tx.PushedAfter(c.a, c.b) })
			w.same(fmt.Sprintf("%s: %d after %d", what, c.a.ID, c.b.ID), c.want, got)
		}
	}
	after("one upon the other", true, by[at(4)], by[at(3)])
	after("with one between", true, by[at(4)], by[at(2)])
	after("told in order", true, by[at(3)], by[at(2)])

	again := asked("web", 2)
	again.Of = by[at(2)].ID
	again = w.addBuild(again)
	after("an older one again", false, again, by[at(3)])
	after("the same commit", true, again, by[at(2)])
	other := asked("web", 9)
	after("nothing is known of it", true, w.addBuild(other), by[at(4)])
	other.Spec.Branch = "dev"
	after("of another branch", true, w.addBuild(other), by[at(4)])

	w.push(read(2)) // the branch was set back
	after("set back", by[at(4)].ID > by[at(2)].ID, by[at(4)], by[at(2)])
}
