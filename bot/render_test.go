package bot

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
)

// hostile are texts that people might write to make a message do what it should not.
var hostile = append([]string{
	"", "x", "<!channel>", "<@U9>", "<https://evil.example|click>", "```", "`````", "*b* _i_ ~s~ `c`", "a\nb\r\n> c",
	"&lt;!here&gt;", "&amp;", strings.Repeat("&", 4000), strings.Repeat("`", 999), strings.Repeat("wide 字 ", 900),
	"👩‍👩‍👧‍👦" + strings.Repeat("é", 500), "\u202eabc\u2066", "\xff\xfe", "|>", "https://gl.example/a|b>c?x=" + strings.Repeat("&", 300),
	"https://user:secret@gl.example/", "javascript:alert(1)", "https://gl.example/" + strings.Repeat("a", 5000),
}, attacks...)

// dice makes views out of numbers and texts.
type dice struct {
	*rand.Rand
	texts []string
}

func (d dice) text() string { return d.texts[d.IntN(len(d.texts))] }

func (d dice) status() kovra.Status {
	all := []kovra.Status{
		"", kovra.Created, kovra.Manual, kovra.Pending, kovra.Running, kovra.Canceling, kovra.Success, kovra.Failed,
		kovra.Failed, kovra.Canceled, kovra.Skipped, kovra.Status(d.text()),
	}
	return all[d.IntN(len(all))]
}

func (d dice) time() time.Time {
	if d.IntN(4) == 0 {
		return time.Time{}
	}
	return time.Unix(1_772_000_000+d.Int64N(1000), 0).UTC()
}

func (d dice) run(id int64) kovra.Run {
	r := kovra.Run{
		ID: id, Project: 7, Remote: id + 1000, Name: d.text(), Ref: d.text(), Tag: d.IntN(2) == 0, SHA: d.text(), Source: d.text(),
		Status: d.status(), Title: d.text(), URL: d.text(), By: kovra.GitLabUser{Username: d.text(), Name: d.text()},
		Author: kovra.GitLabUser{Name: d.text()}, CreatedAt: d.time(), Duration: time.Duration(d.Int64N(1e13)),
		MR: kovra.MergeRequest{IID: d.Int64N(2), Title: d.text(), URL: d.text(), Target: d.text()}, Protected: d.IntN(2) == 0,
	}
	for range d.IntN(20) {
		r.Stages = append(r.Stages, d.text())
	}
	for range d.IntN(4) {
		news := []kovra.News{kovra.NoNews, kovra.Broken, kovra.Fixed}[d.IntN(3)]
		r.Results = append(r.Results, kovra.Result{FinishedAt: time.Unix(1_772_000_500+int64(len(r.Results)), 0), Status: d.status(), Duration: time.Duration(d.Int64N(1e13)), News: news})
	}
	return r
}

func (d dice) jobs(first int64, n int) []kovra.Job {
	var jobs []kovra.Job
	for i := range n {
		j := kovra.Job{
			ID: first + int64(i), Name: d.text(), Stage: d.text(), Status: d.status(), AllowFailure: d.IntN(5) == 0, FailureReason: d.text(),
			CreatedAt: d.time(), FinishedAt: d.time(), Duration: time.Duration(d.Int64N(1e12)), URL: d.text(), Bridge: d.IntN(9) == 0,
			Log: []kovra.LogState{kovra.LogUnread, kovra.LogCut, kovra.LogFolded, kovra.LogGone}[d.IntN(4)],
		}
		if d.IntN(2) == 0 {
			j.LogURL = d.text()
		}
		if d.IntN(3) > 0 {
			j.Name = fmt.Sprint(i, j.Name)
		}
		if j.Bridge {
			j.Downstream = kovra.Downstream{Project: 6 + d.Int64N(3), Pipeline: 1000 + d.Int64N(60), Status: d.status(), URL: d.text()}
		}
		j.Excerpt = kovra.Excerpt{Note: d.text(), First: d.IntN(100)}
		for l := range d.IntN(60) {
			j.Excerpt.Lines = append(j.Excerpt.Lines, kovra.ExcerptLine{N: l + 1, Text: d.text(), Hidden: d.IntN(2) * d.IntN(2) * d.IntN(9)})
		}
		jobs = append(jobs, j)
	}
	return jobs
}

func (d dice) view() kovra.View {
	v := kovra.View{
		Thread:  kovra.Thread{App: d.text(), Broadcast: []kovra.Broadcast{kovra.BroadcastOn, kovra.BroadcastOff, kovra.BroadcastAll}[d.IntN(3)]},
		App:     kovra.App{Name: d.text(), Project: 6 + d.Int64N(2), CreatedBy: d.text()},
		Project: kovra.Project{ID: 7, Path: d.text(), URL: d.text(), DefaultBranch: d.text()},
		Run:     d.run(42), Slots: map[string]kovra.Slot{}, NoLogs: d.IntN(3) == 0,
	}
	v.Jobs = d.jobs(100, d.IntN(40))
	for i := range d.IntN(4) {
		r := d.run(43 + int64(i))
		r.Parent = kovra.Parent{Project: 7, Pipeline: 1042, Job: 100 + d.Int64N(10)}
		v.Children = append(v.Children, kovra.Child{Run: r, Jobs: d.jobs(1000*int64(i+1), d.IntN(9))})
	}
	for i := range d.IntN(6) {
		kinds := []kovra.ActionKind{kovra.ActRun, kovra.ActCancel, kovra.ActRetry, kovra.ActRetryJob, kovra.ActPlay, kovra.ActLink, kovra.ActSubscribe, kovra.ActShowLogs, kovra.ActHideLogs, kovra.ActionKind(d.text())}
		states := []kovra.ActionState{kovra.ActionDone, kovra.ActionTried, kovra.ActionFailed, kovra.ActionAsks}
		v.Actions = append(v.Actions, kovra.Action{
			ID: int64(i + 1), Kind: kinds[d.IntN(len(kinds))], App: d.text(), Job: 100 + d.Int64N(10), By: kovra.Person{ID: []string{"U1", d.text()}[d.IntN(2)], Name: d.text()},
			Channel: []string{"C1", d.text()}[d.IntN(2)], State: states[d.IntN(len(states))], CreatedAt: d.time(),
			Params:  kovra.Params{Project: d.text(), Ref: d.text(), JobName: d.text(), Variables: []string{d.text()}, Inputs: map[string]string{d.text(): "x"}},
			Outcome: kovra.Outcome{Reason: d.text(), URL: d.text(), Project: d.text(), Hook: kovra.HookByHand, HookNote: d.text(), Moved: d.text(), Ref: d.text(), Existing: d.IntN(3)},
		})
	}
	for _, r := range v.Run.Results {
		if d.IntN(2) == 0 {
			v.Slots[kovra.ResultSlot(r)] = kovra.Slot{TS: "1.1"}
		}
	}
	for _, j := range v.Jobs {
		if d.IntN(4) == 0 {
			v.Slots[kovra.FailureSlot(j.ID)] = kovra.Slot{TS: "1.1"}
		}
	}
	return v
}

func (d dice) buildStatus() kovra.BuildStatus {
	all := []kovra.BuildStatus{"", kovra.BuildPending, kovra.BuildBuilding, kovra.BuildSucceeded, kovra.BuildFailed, kovra.BuildFailed, kovra.BuildCancelled, kovra.BuildStatus(d.text())}
	return all[d.IntN(len(all))]
}

func (d dice) excerpt() kovra.Excerpt {
	e := kovra.Excerpt{Note: d.text(), First: d.IntN(100)}
	for l := range d.IntN(60) {
		e.Lines = append(e.Lines, kovra.ExcerptLine{N: l + 1, Text: d.text(), Hidden: d.IntN(2) * d.IntN(2) * d.IntN(9)})
	}
	return e
}

func (d dice) person() kovra.Person {
	return kovra.Person{ID: []string{"U1", "", d.text()}[d.IntN(3)], Name: d.text()}
}

func (d dice) target() kovra.DeployTarget {
	return kovra.DeployTarget{Namespace: d.text(), Deployment: d.text(), Container: d.text()}
}

func (d dice) build(id int64) kovra.Build {
	b := kovra.Build{
		ID: id, App: d.text(), Project: 6 + d.Int64N(2), Title: d.text(), Of: d.Int64N(2), Trigger: kovra.BuildTrigger(d.text()),
		Author: kovra.GitLabUser{Name: d.text()}, Pusher: kovra.GitLabUser{Name: d.text(), Username: d.text()}, By: d.person(),
		Spec:   kovra.BuildSpec{Branch: d.text(), Tag: d.IntN(3) == 0, Commit: d.text(), Image: d.text(), Target: d.target()},
		Status: d.buildStatus(), Reason: d.text(), Message: d.text(), Cancel: kovra.BuildCancel{Wanted: d.IntN(2) == 0, By: d.person(), Newer: d.Int64N(2)},
		Digest: []string{"", d.text(), "sha256:" + strings.Repeat("0a", 32)}[d.IntN(3)], News: []kovra.News{kovra.NoNews, kovra.Broken, kovra.Fixed}[d.IntN(3)],
		CreatedAt: d.time(), StartedAt: d.time(), FinishedAt: d.time(), LogDone: d.IntN(2) == 0, LogLines: d.IntN(3), Place: d.IntN(3), LogURL: d.text(),
	}
	for i := range d.IntN(20) {
		b.Steps = append(b.Steps, kovra.Step{
			Task: []string{d.text(), fmt.Sprint(i)}[d.IntN(2)], Name: d.text(), Status: d.status(), Reason: d.text(), Message: d.text(),
			StartedAt: d.time(), FinishedAt: d.time(), FirstLine: d.IntN(9), Excerpt: d.excerpt(),
			Log: []kovra.LogState{kovra.LogUnread, kovra.LogCut, kovra.LogGone}[d.IntN(3)],
		})
	}
	for range d.IntN(30) {
		b.Tail = append(b.Tail, d.text())
	}
	return b
}

func (d dice) settings() kovra.BuildSettings {
	flip := func() bool { return d.IntN(2) == 0 }
	s := kovra.BuildSettings{
		Enabled: flip(), Branch: d.text(), Dockerfile: d.text(), AutoDeploy: flip(), AllowManaged: flip(), Supersede: flip(), Tags: d.text(), Context: d.text(),
		Namespace: d.text(), ServiceAccount: d.text(), Registry: d.text(), Paused: flip(), PausedBy: d.person(), ChangedBy: d.person(), ChangedAt: d.time(),
	}
	if flip() {
		s.Target = d.target()
	}
	for range d.IntN(9) {
		s.Args = append(s.Args, kovra.BuildArg{Key: "TOKEN" + d.text(), Value: d.text()})
		s.Paths, s.Secrets = append(s.Paths, d.text()), append(s.Secrets, d.text())
	}
	return s
}

// buildView is a view of a build.
func (d dice) buildView() kovra.View {
	v := d.view()
	b := d.build(42)
	v.Run, v.Jobs, v.Children, v.Build, v.Settings = kovra.Run{}, nil, nil, &b, d.settings()
	v.LastDeployment = d.Int64N(4)
	for i := range d.IntN(4) {
		v.Deployments = append(v.Deployments, kovra.Deployment{
			ID: int64(i + 1), Build: 42, Kind: []kovra.DeploymentKind{kovra.AutoDeploy, kovra.Deploy, kovra.RollBack}[d.IntN(3)], Target: d.target(), Image: d.text(), From: d.text(),
			By: d.person(), Status: d.buildStatus(), Message: d.text(), Excerpt: d.excerpt(), CreatedAt: d.time(), StartedAt: d.time(), FinishedAt: d.time(), LogURL: d.text(),
		})
	}
	for i := range v.Actions {
		a := &v.Actions[i]
		a.Kind = buildKinds[d.IntN(len(buildKinds))]
		a.Build, a.Outcome.Build, a.Outcome.Deployment, a.Outcome.Target = 42, d.Int64N(60), d.Int64N(5), d.target()
		a.Outcome.Image, a.Outcome.From, a.Outcome.Changes = d.text(), d.text(), strings.Repeat(d.text()+"\n", d.IntN(40))
		a.Params.Settings = &v.Settings
	}
	switch d.IntN(3) {
	case 0:
		v.Slots[kovra.SlotTail] = kovra.Slot{TS: "1.1"}
	case 1:
		v.Slots[kovra.SlotTail] = kovra.Slot{Nonce: "n"}
	}
	return v
}

var buildKinds = []kovra.ActionKind{
	kovra.ActBuild, kovra.ActCancelBuild, kovra.ActRebuild, kovra.ActDeploy, kovra.ActRollBack, kovra.ActBuildSetting, kovra.ActResumeDeploy,
}

// buildAnswers are all the private answers that the view of a build can give.
func (d dice) buildAnswers(v kovra.View) []Answer {
	list := BuildList{App: v.App, Project: v.Project, Settings: v.Settings, Deploying: v.Deployments, Older: 3, Newer: 4}
	for i := range ListPage {
		list.Builds = append(list.Builds, d.build(int64(60+i)))
	}
	row := AppRow{App: v.App, Project: v.Project, LastBuild: v.Build}
	out := []Answer{
		RenderBuilds(list), RenderBuildLog(v), RenderSettings(v.App.Name, v.Settings), RenderApp(row), RenderApps([]AppRow{row}),
	}
	var audit []AuditRow
	for _, a := range v.Actions {
		deed := Deed{Action: a, Project: v.Project, App: v.App, Build: *v.Build, Settings: v.Settings}
		out = append(out, RenderAction(deed), RenderTaken(deed, "U1"))
		audit = append(audit, AuditRow{Action: a})
	}
	for _, k := range buildKinds {
		out = append(out, RenderUnavailable(Unavailable{Kind: k, View: v}))
	}
	return append(out, RenderAudit(v.App.Name, audit, 5))
}

// answers are all the private answers that the view can give.
func (d dice) answers(v kovra.View) []Answer {
	row := AppRow{App: v.App, Project: v.Project, Last: &v.Run, Subscriptions: []kovra.Subscription{{App: d.text(), Channel: d.text(), Paused: d.text()}}}
	list := List{App: v.App, Project: v.Project, Ref: d.text(), Older: 3, Newer: 4}
	for i := range ListPage {
		list.Runs = append(list.Runs, d.run(int64(60+i)))
	}
	var rows []AppRow
	var audit []AuditRow
	for range 60 {
		rows = append(rows, row)
	}
	out := []Answer{
		RenderList(list), RenderJobs(v, d.IntN(5)), RenderApps(rows), RenderApp(row), RenderSubscriptions(row.Subscriptions, "C1"), RenderConnect(v.App.Name),
		RenderError(kovra.Errorf(kovra.Invalid, "%s", d.text())),
		RenderError(&Choose{Apps: []string{"web", "api"}, Command: Command{Group: GroupPipeline, Verb: VerbRun, Words: []string{d.text()}}}),
		RenderHelp(d.text(), []string{d.text()}),
	}
	for _, a := range v.Actions {
		deed := Deed{Action: a, Run: v.Run, JobName: d.text(), Project: v.Project, App: v.App, Hook: Hook{URL: d.text(), Secret: d.text(), Events: []string{d.text()}}}
		out = append(out, RenderAction(deed), RenderTaken(deed, "U1"), RenderUnavailable(Unavailable{Kind: a.Kind, View: v, Attempt: 1}))
		for range 5 {
			audit = append(audit, AuditRow{Action: a, Run: v.Run})
		}
	}
	out = append(out, RenderAudit(v.App.Name, audit, 5))
	for _, j := range v.Jobs[:min(len(v.Jobs), 3)] {
		out = append(out, RenderLog(v, j), RenderUnavailable(Unavailable{Kind: kovra.ActPlay, View: v, Job: &j}))
	}
	return out
}

func FuzzRender(f *testing.F) {
	for i, s := range hostile {
		f.Add(uint64(i), s, "main")
	}
	f.Fuzz(func(t *testing.T, seed uint64, a, b string) {
		d := dice{rand.New(rand.NewPCG(seed, 1)), append([]string{a, b, a + b}, hostile...)}
		if seed%3 == 0 {
			d.texts = []string{a, b}
		}
		v := d.view()
		if seed%2 == 0 {
			v = d.buildView()
		}
		messages, again := Render(v), Render(v)
		slots := map[string]bool{}
		for i, m := range messages {
			if slots[m.Slot] {
				t.Fatalf("slot %s is rendered twice", m.Slot)
			}
			slots[m.Slot] = true
			checkHarmless(t, m.Slot, m.Text, m.Blocks)
			if v.NoLogs {
				checkNoLogs(t, m)
			}
			if again[i].Digest != m.Digest {
				t.Fatalf("slot %s: two renderings of one state differ", m.Slot)
			}
		}
		if messages[0].Slot != kovra.SlotCard {
			t.Fatalf("the first slot is %s", messages[0].Slot)
		}
		answers := d.answers
		if v.Build != nil {
			answers = d.buildAnswers
			if err := CheckView(settingsForm("{}", "web", v.Settings)); err != nil {
				t.Fatal(err)
			}
		}
		for i, answer := range answers(v) {
			checkHarmless(t, fmt.Sprint("answer ", i), answer.Text, answer.Blocks)
		}
	})
}

// checkNoLogs checks that neither a log nor a way to one is in the message.
func checkNoLogs(t *testing.T, m Message) {
	t.Helper()
	raw, err := json.Marshal(m.Blocks)
	if err != nil {
		t.Fatal(err)
	}
	for _, forbidden := range []string{ActionOpen + ":log", "\"text\":\"```"} {
		if strings.Contains(string(raw), forbidden) {
			t.Fatalf("slot %s has %q where no logs are shown", m.Slot, forbidden)
		}
	}
}

var (
	anyToken = regexp.MustCompile(`<[^<>]*>`)
	ownToken = regexp.MustCompile("^<(!date\\^[0-9]+\\^[^|]+\\|[^|]+|@U[A-Z0-9]+|#[CGD][A-Z0-9]+|https?://[^|<>\\s`]+\\|[^<>]+)>$")
	bareAmp  = regexp.MustCompile(`&(amp|lt|gt);`)
)

// checkHarmless checks limits, and that nothing but our own tokens is in the texts.
func checkHarmless(t *testing.T, what, text string, blocks []slack.Block) {
	t.Helper()
	if err := Check(blocks, text); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if n := utf8.RuneCountInString(text); n > maxFallback {
		t.Fatalf("%s: the text has %d characters", what, n)
	}
	raw, err := json.Marshal(blocks)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(markupOf(t, raw), text) {
		if !utf8.ValidString(s) {
			t.Fatalf("%s: not UTF-8: %q", what, s)
		}
		for _, token := range anyToken.FindAllString(s, -1) {
			if !ownToken.MatchString(token) {
				t.Fatalf("%s: token %q in %q", what, token, s)
			}
		}
		if rest := anyToken.ReplaceAllString(s, ""); strings.ContainsAny(rest, "<>") {
			t.Fatalf("%s: an angle bracket is not escaped in %q", what, s)
		}
		if strings.Contains(bareAmp.ReplaceAllString(s, ""), "&") {
			t.Fatalf("%s: an ampersand is not escaped in %q", what, s)
		}
		if n := strings.Count(s, "```"); n != 0 && n != 2 {
			t.Fatalf("%s: %d fences in %q", what, n, s)
		}
		if strings.Count(strings.ReplaceAll(s, "```", ""), "`")%2 != 0 && !strings.Contains(s, "```") {
			t.Fatalf("%s: a code span is not closed in %q", what, s)
		}
	}
	for _, m := range slacksim.Mentions(slacksim.Message{Text: text, Blocks: raw}) {
		if !strings.HasPrefix(m, "@U") {
			t.Fatalf("%s mentions %s", what, m)
		}
	}
}

// markupOf gives the texts of all mrkdwn objects.
func markupOf(t *testing.T, raw []byte) []string {
	t.Helper()
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		t.Fatal(err)
	}
	var out []string
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			if s, ok := v["text"].(string); ok && v["type"] == "mrkdwn" {
				out = append(out, s)
				if v["verbatim"] != true {
					t.Errorf("addresses in %q would become links", s)
				}
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(tree)
	return out
}

func TestRenderManyStates(t *testing.T) {
	t.Parallel()
	for seed := range uint64(160) {
		d := dice{rand.New(rand.NewPCG(seed, 2)), hostile}
		v, answers := d.view(), d.answers
		if seed%2 == 0 {
			v, answers = d.buildView(), d.buildAnswers
		}
		for _, m := range Render(v) {
			checkHarmless(t, fmt.Sprint(seed, " ", m.Slot), m.Text, m.Blocks)
		}
		for i, a := range answers(v) {
			checkHarmless(t, fmt.Sprint(seed, " answer ", i), a.Text, a.Blocks)
		}
	}
}

// Entries that find no room on a page are on the next one.
func TestAuditSkipsNothing(t *testing.T) {
	var rows []AuditRow
	for i := range AuditPage {
		rows = append(rows, AuditRow{Action: kovra.Action{
			ID: int64(100 - i), Kind: kovra.ActLink, App: strings.Repeat("a", 40), State: kovra.ActionFailed, By: kovra.Person{ID: "U1"},
			Params:  kovra.Params{Project: fmt.Sprint("n", 100-i, strings.Repeat("<", 200))},
			Outcome: kovra.Outcome{Reason: strings.Repeat("&", 200)},
		}})
	}
	a := RenderAudit("", rows, 0)
	if err := Check(a.Blocks, a.Text); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(a.Blocks)
	if err != nil {
		t.Fatal(err)
	}
	last := int64(0)
	for _, r := range rows {
		if strings.Contains(string(raw), fmt.Sprint("n", r.Action.ID)) {
			last = r.Action.ID
		}
	}
	next := buttonPlace("", "")
	next.Before = last
	if last == rows[AuditPage-1].Action.ID || !strings.Contains(string(raw), `"`+next.String()+`"`) {
		t.Errorf("the last entry shown is %d, and Older does not begin there: %s", last, raw)
	}
}

func TestRenderBroadcast(t *testing.T) {
	end := kovra.Result{FinishedAt: time.Unix(1_772_000_000, 0), Status: kovra.Failed, News: kovra.Broken}
	tests := []struct {
		name      string
		broadcast kovra.Broadcast
		protected bool
		news      kovra.News
		want      bool
	}{
		{"protected", kovra.BroadcastOn, true, kovra.Broken, true},
		{"fixed", kovra.BroadcastOn, true, kovra.Fixed, true},
		{"not said is on", "", true, kovra.Broken, true},
		{"other branch", kovra.BroadcastOn, false, kovra.Broken, false},
		{"other branch, all", kovra.BroadcastAll, false, kovra.Broken, true},
		{"off", kovra.BroadcastOff, true, kovra.Broken, false},
		{"no news", kovra.BroadcastAll, true, kovra.NoNews, false},
	}
	for _, tt := range tests {
		r := end
		r.News = tt.news
		v := kovra.View{
			Matched: true, Thread: kovra.Thread{Broadcast: tt.broadcast}, App: kovra.App{Name: "web", Project: 7},
			Run: kovra.Run{ID: 1, Project: 7, Remote: 2, Status: kovra.Failed, Protected: tt.protected, Results: []kovra.Result{r}},
		}
		got := Render(v)
		if last := got[len(got)-1]; last.Slot != kovra.ResultSlot(r) || last.Broadcast != tt.want {
			t.Errorf("%s: slot %s, broadcast %t; want broadcast %t", tt.name, last.Slot, last.Broadcast, tt.want)
		}
	}
}

func TestCardClass(t *testing.T) {
	tests := []struct {
		status kovra.Status
		job    kovra.Status
		want   Class
	}{
		{kovra.Success, kovra.Success, Terminal},
		{kovra.Failed, kovra.Failed, Terminal},
		{kovra.Pending, kovra.Pending, Start},
		{kovra.Running, kovra.Running, Progress},
		{kovra.Running, kovra.Failed, Failure},
	}
	for _, tt := range tests {
		v := kovra.View{Run: kovra.Run{Status: tt.status}, Jobs: []kovra.Job{{ID: 1, Name: "a", Status: tt.job}}}
		if got := Render(v)[0].Class; got != tt.want {
			t.Errorf("%s with a job that is %s: class %d, want %d", tt.status, tt.job, got, tt.want)
		}
	}
}

func TestDigest(t *testing.T) {
	v := kovra.View{App: kovra.App{Name: "web", Project: 7}, Run: kovra.Run{Project: 7, Status: kovra.Running}}
	first := Render(v)[0].Digest
	if first == "" || first != Render(v)[0].Digest {
		t.Error("the same state has different digests")
	}
	v.Run.Status = kovra.Success
	if Render(v)[0].Digest == first {
		t.Error("another state has the same digest")
	}
}

func TestValues(t *testing.T) {
	for _, v := range []Value{{Run: 1, Attempt: 2}, {Run: 1, Attempt: 2, Job: 3}, {Run: 1, Attempt: 2, Page: 4}, {Run: 1, Attempt: 2, Job: 3, Page: 4}} {
		if got, err := ParseValue(v.String()); err != nil || got != v {
			t.Errorf("%s: got %+v, %v", v, got, err)
		}
	}
	for _, bad := range []string{"", "1", "a:b", "1:2:3:4:5", "1:-2"} {
		if _, err := ParseValue(bad); kovra.KindOf(err) != kovra.Invalid {
			t.Errorf("ParseValue(%q): %v", bad, err)
		}
	}
	for _, p := range []Place{{App: "web"}, {App: "web", Ref: "a:b:c", Before: 3}, {Before: 1, After: 2}} {
		if got, err := ParsePlace(p.String()); err != nil || got != p {
			t.Errorf("%s: got %+v, %v", p, got, err)
		}
	}
	for _, bad := range []string{"", "web", "web:x:0:", "web:0:x:"} {
		if _, err := ParsePlace(bad); kovra.KindOf(err) != kovra.Invalid {
			t.Errorf("ParsePlace(%q): %v", bad, err)
		}
	}
	for _, v := range []BuildValue{{Build: 1}, {Build: 1, Deployment: 2}} {
		if got, err := ParseBuildValue(v.String()); err != nil || got != v {
			t.Errorf("%s: got %+v, %v", v, got, err)
		}
	}
	for _, bad := range []string{"", "x", "0", "-1", "1:", "1:x", "1:-2", "1:2:3"} {
		if _, err := ParseBuildValue(bad); kovra.KindOf(err) != kovra.Invalid {
			t.Errorf("ParseBuildValue(%q): %v", bad, err)
		}
	}
	if got := ActionName("retry_job:42"); got != ActionRetryJob {
		t.Errorf("got %s", got)
	}
}

func TestReasonAndDeedWords(t *testing.T) {
	reasons := []string{
		"", "unknown_failure", "script_failure", "runner_system_failure", "stuck_or_timeout_failure", "job_execution_timeout", "api_failure",
		"missing_dependency_failure", "runner_unsupported", "stale_schedule", "archived_failure", "unmet_prerequisites", "scheduler_failure",
		"data_integrity_failure", "forward_deployment_failure", "image_pull_failure", "downstream_pipeline_creation_failed",
		"upstream_bridge_project_not_found", "insufficient_bridge_permissions", "something_newer",
	}
	for i, r := range reasons {
		if got := reasonWords(r); strings.Contains(got, "_") || (got == "") != (i < 2) {
			t.Errorf("%s: got %q", r, got)
		}
	}
	for _, k := range []kovra.ActionKind{kovra.ActRun, "new_kind"} {
		if got := deedWords(kovra.Action{Kind: k, By: kovra.Person{Name: "al"}}, "", false); !strings.Contains(got, "al ") {
			t.Errorf("%s: got %q", k, got)
		}
	}
	for s, want := range map[kovra.Status]string{
		kovra.Canceled: "🚫 Retried · canceled", kovra.Skipped: "⏭️ Retried · skipped", kovra.Running: "🔵 Retried · running",
		kovra.Pending: "⏳ Retried · pending", "waiting_for_resource": "⏳ Retried · pending (waiting for resource)",
	} {
		if got := retriedWords(s); got != want {
			t.Errorf("%s: got %q, want %q", s, got, want)
		}
	}
}

func BenchmarkRender(b *testing.B) {
	d := dice{rand.New(rand.NewPCG(1, 1)), []string{"unit", "test", "integration suite"}}
	v := kovra.View{App: kovra.App{Name: "web", Project: 7}, Run: d.run(42), Jobs: d.jobs(100, 200)}
	v.Run.Status = kovra.Running
	b.ReportAllocs()
	for b.Loop() {
		if len(Render(v)) == 0 {
			b.Fatal("nothing is shown")
		}
	}
}
