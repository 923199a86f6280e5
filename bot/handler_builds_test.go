package bot

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

const testDigest = "sha256:4f0c8d1e2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5"

// build queues a build of an app, and makes of it what change says.
func (d *desk) build(app string, change func(*kovra.Build)) (b kovra.Build) {
	d.t.Helper()
	projects := map[string]int64{"web": 7, "api": 8, "secret": 9}
	d.update(func(tx *storage.Tx) (err error) {
		b, _, err = tx.AddBuild(kovra.Build{
			App: app, Project: projects[app], Title: "Fix *it* <now>", Author: kovra.GitLabUser{Name: "Alice"},
			Spec: kovra.BuildSpec{Branch: "main", Commit: "0123456789abcdef0123456789abcdef01234567", Image: "registry.example.com/" + app + ":01234567"},
		}, "", false)
		if err != nil || change == nil {
			return err
		}
		change(&b)
		return tx.SaveBuild(&b)
	})
	return b
}

func building(b *kovra.Build) {
	b.Status, b.Phase, b.StartedAt = kovra.BuildBuilding, kovra.PhaseMade, noon
}

func succeeded(b *kovra.Build) {
	b.Status, b.Phase, b.StartedAt, b.FinishedAt, b.Digest, b.LogDone = kovra.BuildSucceeded, kovra.PhaseEnded, noon, noon.Add(time.Minute), testDigest, true
}

func failing(b *kovra.Build) {
	b.Status, b.Phase, b.StartedAt, b.FinishedAt, b.LogDone = kovra.BuildFailed, kovra.PhaseEnded, noon, noon.Add(time.Minute), true
	b.Steps = []kovra.Step{{Task: "build-and-push", Name: "build", Status: kovra.Failed, Log: kovra.LogCut, Excerpt: kovra.Excerpt{
		First: 3, Total: 3, Lines: []kovra.ExcerptLine{{N: 3, Text: "undefined: total"}},
	}}}
}

var testTarget = kovra.DeployTarget{Namespace: "prod", Deployment: "web", Container: "app"}

// target says which Deployment web is deployed to.
func (d *desk) target(change func(*kovra.BuildSettings)) {
	d.t.Helper()
	d.update(func(tx *storage.Tx) error {
		s := kovra.DefaultBuildSettings("web")
		s.Target, s.ChangedAt, s.ChangedBy = testTarget, noon, kovra.Person{ID: "UADMIN"}
		if change != nil {
			change(&s)
		}
		return tx.SaveBuildSettings(s, "")
	})
}

// deployment adds one of a build that has ended well.
func (d *desk) deployment(build int64) (dep kovra.Deployment) {
	d.t.Helper()
	d.update(func(tx *storage.Tx) (err error) {
		dep, err = tx.AddDeployment(kovra.Deployment{
			App: "web", Build: build, Kind: kovra.Deploy, Target: testTarget, Image: "registry.example.com/web@" + testDigest, From: "registry.example.com/web:old",
		})
		if err != nil {
			return err
		}
		dep.Status, dep.Phase, dep.StartedAt, dep.FinishedAt = kovra.BuildSucceeded, kovra.PhaseEnded, noon, noon.Add(time.Minute)
		return tx.SaveDeployment(&dep)
	})
	return dep
}

// buildThread posts the thread of a build and returns its messages by slot.
func (d *desk) buildThread(channel string, build int64) map[string]slacksim.Message {
	d.t.Helper()
	var v kovra.View
	d.update(func(tx *storage.Tx) error {
		threads, err := tx.ThreadsOfBuild(build)
		for _, th := range threads {
			if th.Channel == channel {
				v, err = tx.View(th.ID)
			}
		}
		return err
	})
	if v.Build == nil {
		d.t.Fatalf("build %d has no thread in %s", build, channel)
	}
	out := map[string]slacksim.Message{}
	for _, m := range Render(v) {
		ts, err := deskClient(d.t, d.sim).Post(d.t.Context(), channel, out[kovra.SlotCard].TS, m, fmt.Sprint("n", len(out), build))
		if err != nil {
			d.t.Fatal(err)
		}
		out[m.Slot], _ = d.sim.Message(channel, ts)
	}
	return out
}

// TestBuildAnswers types what changes nothing.
func TestBuildAnswers(t *testing.T) {
	d := newDesk(t)
	d.target(nil)
	d.build("web", nil)        // 1
	d.build("web", building)   // 2
	d.build("web", failing)    // 3
	d.build("web", succeeded)  // 4
	d.build("api", succeeded)  // 5
	d.build("secret", failing) // 6
	d.deployment(4)
	tests := []struct {
		channel, line string
		want          []string
	}{
		{"C1", "/build", []string{"Builds of *web*", "build #4", "Succeeded", "registry.example.com/web:01234567", "sha256:4f0c8d1e2a3b", "Trigger Build", "Settings", "Deploy", "Rebuild", "Cancel", "1st in the queue"}},
		{"C1", "/kovra build api", []string{"Builds of *api*", "build #5"}},
		{"C2", "/build", []string{"Which app", "api", "web"}},
		{"C1", "/build bare", []string{"no GitLab project yet", "Connect GitLab project"}},
		{"C1", "/build trigger bare", []string{"Connect GitLab project"}},
		{"C1", "/build rollback bare", []string{"Connect GitLab project"}},
		{"C1", "/build resume bare", []string{"Connect GitLab project"}},
		{"C1", "/build settings bare", []string{"Connect GitLab project"}},
		{"C1", "/build cancel bare 99", []string{"Connect GitLab project"}},
		{"C1", "/build log 3", []string{"undefined: total", "Rebuild"}},
		{"C3", "/build log build 3", []string{"undefined: total"}},
		{"C1", "/build log api 3", []string{"Build #3 belongs to web, not to api. Write /build log web 3"}},
		{"C1", "/build log 99", []string{"There is no build #99 here"}},
		{"C1", "/build log 6", []string{"There is no build #6 here"}},
		{"C1", "/build cancel secret 6", []string{`no app "secret"`}},
		{"C1", "/build cancel 4", []string{"cannot be cancelled", "Succeeded", "Rebuild", "Deploy"}},
		{"C1", "/build rebuild 2", []string{"cannot be rebuilt yet", "Building"}},
		{"C1", "/build deploy 3", []string{"cannot be deployed", "Failed"}},
		{"C1", "/build deploy 5", []string{"nobody has said which Deployment", "Settings"}},
		{"C1", "/build settings", []string{"Build settings of *web*", "`prod`", "Only those who may administer"}},
		{"C1", "/build 3", []string{"What about build #3?"}},
		{"C1", "/build help", []string{"/build rollback [app]", "/build settings [app]"}},
		{"C1", "/kovra app web", []string{"Last build", "Builds"}},
		{"C1", "/kovra apps", []string{"last build"}},
	}
	for _, tt := range tests {
		m := d.answer("U1", tt.channel, tt.line)
		got := slacksim.Text(m) + m.Text + string(m.Blocks)
		for _, w := range tt.want {
			if !strings.Contains(got, w) && !strings.Contains(strings.ReplaceAll(got, "*", ""), strings.ReplaceAll(w, "*", "")) {
				t.Errorf("%s in %s: got\n%s\nwant it to hold %q", tt.line, tt.channel, slacksim.Text(m), w)
			}
		}
		if strings.Contains(got, "#6 ") && strings.Contains(got, "Failed") {
			t.Errorf("%s tells of what may not be seen: %s", tt.line, got)
		}
	}
	d.none()
}

// TestBuildProposes types what changes something.
func TestBuildProposes(t *testing.T) {
	tests := []struct {
		line string
		want kovra.Action
	}{
		{"/build trigger", kovra.Action{Kind: kovra.ActBuild, App: "web"}},
		{"/build trigger web dev", kovra.Action{Kind: kovra.ActBuild, App: "web", Params: kovra.Params{Ref: "dev"}}},
		{"/build cancel 1", kovra.Action{Kind: kovra.ActCancelBuild, App: "web", Build: 1, Lock: "cancel_build/1"}},
		{"/build rebuild web build 2", kovra.Action{Kind: kovra.ActRebuild, App: "web", Build: 2, Lock: "rebuild/2"}},
		{"/build deploy #2", kovra.Action{Kind: kovra.ActDeploy, App: "web", Build: 2}},
		{"/build rollback", kovra.Action{Kind: kovra.ActRollBack, App: "web"}},
		{"/build roll back web", kovra.Action{Kind: kovra.ActRollBack, App: "web"}},
		{"/build resume", kovra.Action{Kind: kovra.ActResumeDeploy, App: "web"}},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			d := newDesk(t)
			d.target(nil)
			d.build("web", nil)
			d.build("web", succeeded)
			d.ends(kovra.ActionDone, kovra.Outcome{})
			seen := d.slash("U1", "C1", tt.line)
			wantText(t, seen.Text(), "✅")
			got := d.only()
			if tt.want.Lock == "" {
				tt.want.Lock = "slack/" + seen.TriggerID
			}
			if got.Kind != tt.want.Kind || got.App != tt.want.App || got.Build != tt.want.Build || got.Lock != tt.want.Lock || got.Channel != "C1" || !got.Answered {
				t.Errorf("proposed %+v, want %+v", got, tt.want)
			}
			if diff := cmp.Diff(tt.want.Params, got.Params); diff != "" {
				t.Errorf("params (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBuildListTurnsPages(t *testing.T) {
	d := newDesk(t)
	for range 7 {
		d.build("web", succeeded)
	}
	d.build("api", nil)
	shown := func() string {
		m := d.sim.Ephemerals("U1")[0]
		var ids []string
		for i := range 9 {
			if strings.Contains(string(m.Blocks), fmt.Sprintf("build #%d", i)) {
				ids = append(ids, fmt.Sprint(i))
			}
		}
		turns := slices.DeleteFunc(slacksim.Buttons(m.Tree), func(b string) bool { return b != "Older" && b != "Newer" })
		return strings.Join(append(ids, turns...), " ")
	}
	m := d.answer("U1", "C1", "/build")
	for _, s := range []struct{ button, want string }{{"", "3 4 5 6 7 Older"}, {"Older", "1 2 Newer"}, {"Newer", "3 4 5 6 7 Older"}} {
		if s.button != "" {
			if seen := d.click("U1", m.Ref(), s.button); len(seen.Ephemerals) != 0 {
				t.Errorf("%s made a new message", s.button)
			}
		}
		if got := shown(); got != s.want {
			t.Errorf("%s: got %q, want %q", s.button, got, s.want)
		}
	}
}

func TestClickOnBuildCard(t *testing.T) {
	d := newDesk(t)
	b := d.build("web", building)
	card := d.buildThread("C1", b.ID)[kovra.SlotCard]
	wantText(t, d.click("U1", card.Ref(), "Cancel").Text(), "✅", "Build #1 is being cancelled")
	wantText(t, d.click("U2", card.Ref(), "Cancel").Text(), "☝️", "already cancelled by @u1")
	if a := d.only(); a.Build != 1 || a.App != "web" || a.Channel != "C1" {
		t.Errorf("proposed %+v", a)
	}
	// The cluster ends it; who clicks on the old picture learns who it was.
	d.update(func(tx *storage.Tx) error {
		b, err := tx.Build(b.ID)
		if err != nil {
			return err
		}
		b.End(kovra.BuildCancelled, kovra.ReasonCancelled, "", noon)
		return tx.SaveBuild(&b)
	})
	seen, err := d.sim.ClickStale(t.Context(), "U2", card, "Cancel")
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, seen.Text(), "already cancelled by @u1", "Cancelled")
	d.only()
}

// The same commit can be built again and again, but not twice by two clicks at once.
func TestRebuildAgainLater(t *testing.T) {
	d := newDesk(t)
	b := d.build("web", failing)
	card := d.buildThread("C1", b.ID)["step/build-and-push/build"]
	d.ends(kovra.ActionDone, kovra.Outcome{Build: 99})
	wantText(t, d.click("U1", card.Ref(), "Rebuild").Text(), "✅", "Build #99 builds the commit of build #1 again")
	wantText(t, d.click("U2", card.Ref(), "Rebuild").Text(), "already rebuilt by @u1")
	d.only()
	w := buildWish{kind: kovra.ActRebuild, build: b.ID}
	d.update(func(tx *storage.Tx) error {
		v, err := tx.BuildView(b.ID)
		if err != nil {
			return err
		}
		a, mine, err := proposeOnce(tx, w.action(v), d.db.Now().Add(again+time.Second))
		if !mine || a.Lock != "rebuild/1#2" {
			t.Errorf("later: got %q, %v; want a second rebuild", a.Lock, mine)
		}
		return err
	})
}

// asking makes deployments and roll backs ask first.
func (d *desk) asking() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end = func(a kovra.Action) (kovra.ActionState, kovra.Outcome) {
		out := kovra.Outcome{Target: testTarget, From: "registry.example.com/web:old", Image: "registry.example.com/web@" + testDigest}
		if a.Params.Sure {
			return kovra.ActionDone, out
		}
		out.Reason = "Deploy build #1 to prod/web?"
		if a.Kind == kovra.ActRollBack {
			out.Reason = "Roll prod/web back? Auto-deploy then pauses until somebody resumes it."
		}
		return kovra.ActionAsks, out
	}
}

func TestDeployAsksFirst(t *testing.T) {
	d := newDesk(t)
	d.target(nil)
	b := d.build("web", succeeded)
	d.asking()
	card := d.buildThread("C1", b.ID)[kovra.SlotCard]
	question := d.click("UADMIN", card.Ref(), "Deploy").Ephemerals[0]
	wantText(t, slacksim.Text(question), "Deploy build #1 to prod/web?", "`prod`", "`web`", "`app`", "Now: `registry.example.com/web:old`", "To be: `registry.example.com/web@sha256:4f0c8d1e2a3b`")
	wantText(t, d.click("UADMIN", question.Ref(), "Yes, deploy it").Text(), "✅", "is being rolled out to `prod/web`")
	wantText(t, d.click("UADMIN", question.Ref(), "Yes, deploy it").Text(), "by you")
	all := d.actions()
	if len(all) != 2 {
		t.Fatalf("proposed %+v", all)
	}
	want := kovra.Params{Sure: true, Target: testTarget, From: "registry.example.com/web:old", Image: "registry.example.com/web@" + testDigest}
	if diff := cmp.Diff(want, all[1].Params); diff != "" || all[1].Build != b.ID || all[1].Lock != fmt.Sprintf("confirm/%d", all[0].ID) {
		t.Errorf("sure: %+v, params (-want +got):\n%s", all[1], diff)
	}
	// To ask again is another question, and nothing that somebody has done already.
	wantText(t, d.click("UADMIN", card.Ref(), "Deploy").Text(), "Deploy build #1 to prod/web?")
}

func TestRollBackFromItsDeployment(t *testing.T) {
	d := newDesk(t)
	d.target(func(s *kovra.BuildSettings) { s.AutoDeploy = true })
	b := d.build("web", succeeded)
	dep := d.deployment(b.ID)
	d.asking()
	thread := d.buildThread("C1", b.ID)
	reply := thread[kovra.DeploymentSlot(dep.ID)]
	question := d.click("UADMIN", reply.Ref(), "Roll back").Ephemerals[0]
	wantText(t, slacksim.Text(question), "Roll prod/web back? Auto-deploy then pauses")
	wantText(t, d.click("UADMIN", question.Ref(), "Yes, roll back").Text(), "✅")
	if all := d.actions(); len(all) != 2 || all[1].Params.Deployment != dep.ID || all[1].Build != b.ID || !all[1].Params.Sure {
		t.Errorf("proposed %+v", all)
	}
	// Something newer was deployed meanwhile: the old button does nothing.
	newer := d.build("web", succeeded)
	d.deployment(newer.ID)
	for _, at := range []slacksim.Message{reply, thread[kovra.SlotCard]} {
		seen, err := d.sim.ClickStale(t.Context(), "UADMIN", at, "Roll back")
		if err != nil {
			t.Fatal(err)
		}
		wantText(t, seen.Text(), "Only the newest deployment of web can be rolled back", "/build rollback web")
	}
	if n := len(d.actions()); n != 2 {
		t.Errorf("%d actions were proposed, want 2", n)
	}
}

func TestResumeFromTheList(t *testing.T) {
	d := newDesk(t)
	d.target(func(s *kovra.BuildSettings) { s.AutoDeploy, s.Paused, s.PausedBy = true, true, kovra.Person{ID: "U2"} })
	m := d.answer("UADMIN", "C1", "/build")
	wantText(t, slacksim.Text(m), "paused since a roll back by @u2")
	wantText(t, d.click("UADMIN", m.Ref(), "Resume auto-deploy").Text(), "Auto-deploy of web goes on")
	if a := d.only(); a.Kind != kovra.ActResumeDeploy || a.App != "web" {
		t.Errorf("proposed %+v", a)
	}
}

func TestClickOnBuildOfUnlinkedApp(t *testing.T) {
	d := newDesk(t)
	card := d.buildThread("C1", d.build("web", failing).ID)[kovra.SlotCard]
	d.update(func(tx *storage.Tx) error { return tx.SaveApp(kovra.App{Name: "web"}) })
	for _, button := range []string{"Rebuild", "Trigger Build"} {
		wantText(t, d.click("U1", card.Ref(), button).Text(), "no GitLab project yet")
	}
	d.update(func(tx *storage.Tx) error { return tx.SaveApp(kovra.App{Name: "web", Project: 8}) })
	wantText(t, d.click("U1", card.Ref(), "Rebuild").Text(), "no longer linked")
	d.none()
}

// The value of a button is what the person sends: it does nothing with what they may not see.
func TestForgedBuildValues(t *testing.T) {
	d := newDesk(t)
	card := d.buildThread("C1", d.build("web", failing).ID)[kovra.SlotCard]
	hidden := d.build("secret", failing)
	dep := d.deployment(d.build("web", succeeded).ID)
	for _, action := range []string{ActionCancelBuild, ActionRebuild, ActionDeploy, ActionRollBack} {
		for _, id := range []int64{hidden.ID, 999} {
			got := d.forge("U1", card, action, BuildValue{Build: id, Deployment: dep.ID}.String())
			wantText(t, got, "no such thing here")
		}
		wantText(t, d.forge("U1", card, action, "x"), "from an older message")
	}
	for _, action := range []string{ActionSettings, ActionResume} {
		wantText(t, d.forge("U1", card, action, "secret"), "no such thing here")
		wantText(t, d.forge("U1", card, action, "No App"), "from an older message")
	}
	wantText(t, d.forge("U1", card, ActionBuilds, "secret:0:0:"), "no such thing here")
	wantText(t, d.forge("U1", card, ActionTrigger, "secret:0:0:"), "no such thing here")
	// A deployment of another build is none of this one.
	wantText(t, d.forge("U1", card, ActionRollBack, BuildValue{Build: 1, Deployment: dep.ID}.String()), "Only the newest deployment")
	d.none()
}

func TestBuildAudit(t *testing.T) {
	d := newDesk(t)
	d.build("web", building)
	d.slash("U1", "C1", "/build cancel 1")
	d.slash("U1", "C1", "/build trigger dev")
	wantText(t, d.slash("U1", "C1", "/kovra audit web").Text(), "cancel build #1 of web", "start a build of web on `dev`")
}

// Nobody carries it out in time: the answer comes late, and says what came of it.
func TestSlowBuildAction(t *testing.T) {
	d := newDesk(t)
	d.build("web", building)
	d.nobodyWorks()
	wantText(t, d.slash("U1", "C1", "/build cancel 1").Text(), "⏳ Cancelling build #1…")
	a := d.only()
	d.update(func(tx *storage.Tx) error {
		return tx.FinishAction(a.ID, kovra.ActionFailed, kovra.Outcome{Kind: kovra.Unavailable})
	})
	w := NewAnswerer(d.db, testClient(t, d.sim), Hook{}, nil, time.Now, quiet())
	if _, err := w.Reconcile(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	all := d.sim.Ephemerals("U1")
	wantText(t, slacksim.Text(all[len(all)-1]), "❌ Build #1 was not cancelled. The cluster does not answer.")
}
