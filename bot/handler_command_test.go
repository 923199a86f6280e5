package bot

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

func TestEveryVerbIsHandled(t *testing.T) {
	for _, s := range specs {
		if _, ok := answerer(s.group, s.verb); !ok {
			t.Errorf("nobody handles /%s %s", s.group, s.verb)
		}
	}
}

// TestCommandAnswers types what changes nothing.
func TestCommandAnswers(t *testing.T) {
	d := newDesk(t)
	d.failed()
	tests := []struct {
		channel, line string
		want          []string
	}{
		{"C1", "/pipeline", []string{"Pipelines of *web*", "#12", "Failed", "Run Pipeline"}},
		{"C1", "/kovra pipeline main", []string{"Pipelines of *web*", "`main`", "#12"}},
		{"C1", "/pipeline web dev", []string{"No pipeline of `dev`"}},
		{"C2", "/pipeline", []string{"Which app", "api", "web"}},
		{"C1", "/pipeline jobs 12", []string{"rspec", "build", "Retry job", "Play"}},
		{"C1", "/pipeline jobs #12", []string{"rspec"}},
		{"C2", "/pipeline jobs web 12", []string{"rspec"}},
		{"C2", "/pipeline jobs https://gitlab.example/group/web/-/pipelines/12", []string{"rspec"}},
		{"C3", "/pipeline jobs https://other.example/Group/Web/-/pipelines/12", []string{"rspec"}},
		{"C1", "/pipeline jobs api https://gitlab.example/group/web/-/pipelines/12", []string{"group/web is the project of web, not of api"}},
		{"C1", "/pipeline jobs https://gitlab.example/group/secret/-/pipelines/1", []string{"No app that you can see is linked to group/secret"}},
		{"C1", "/pipeline jobs https://gitlab.example/group/none/-/pipelines/1", []string{"No app that you can see is linked to group/none"}},
		{"C1", "/pipeline jobs api 12", []string{"Pipeline #12 belongs to web, not to api", "/pipeline jobs web 12"}},
		{"C1", "/pipeline jobs 99", []string{"Pipeline #99 of web is not known here", "View in GitLab"}},
		{"C1", "/pipeline log 102", []string{"rspec", "Log"}},
		{"C1", "/pipeline log 99", []string{"Job #99 of web is not known here"}},
		{"C1", "/pipeline log api 102", []string{"Job #102 belongs to web"}},
		{"C1", "/pipeline jobs secret 1", []string{`no app "secret"`}},
		{"C1", "/pipeline wbe main", []string{"Did you mean web?"}},
		{"C1", "/pipeline retyr 12", []string{"Did you mean /pipeline retry"}},
		{"C1", "/pipeline bare", []string{"bare", "no GitLab project yet", "Connect GitLab project"}},
		{"C1", "/pipeline run bare main", []string{"no GitLab project yet", "Connect GitLab project"}},
		{"C1", "/pipeline cancel bare 3", []string{"no GitLab project yet"}},
		{"C1", "/kovra unlink bare", []string{"no GitLab project yet"}},
		{"C1", "/kovra apps", []string{"3 apps", "web", "bare", "group/api"}},
		{"C1", "/kovra app web", []string{"group/web", "main"}},
		{"C2", "/kovra subscriptions", []string{"2 subscriptions", "api", "web"}},
		{"C3", "/kovra subscriptions", []string{"No channel hears of anything"}},
		{"C3", "/kovra subscriptions web", []string{"2 subscriptions"}},
		{"C1", "/kovra audit", []string{"Nothing was done yet"}},
		{"C1", "/kovra audit secret", []string{`no app "secret"`}},
		{"C1", "/kovra logs", []string{"shown in this channel, unless it turns out to be shared"}},
		{"C1", "/kovra logs maybe", []string{`"maybe" is not known. Write /kovra logs [on|off].`}},
		{"C1", "/kovra help logs", []string{"/kovra logs [on|off]"}},
		{"C1", "/kovra help", []string{"/pipeline run"}},
		{"C1", "/pipeline help retry", []string{"/pipeline retry"}},
		{"C1", "/deploy", []string{"no command /deploy"}},
	}
	for _, tt := range tests {
		m := d.answer("U1", tt.channel, tt.line)
		got := slacksim.Text(m) + " " + strings.Join(slacksim.Buttons(m.Tree), " ")
		for _, w := range tt.want {
			if !strings.Contains(strings.ReplaceAll(got, "*", ""), strings.ReplaceAll(w, "*", "")) && !strings.Contains(m.Text+string(m.Blocks), w) {
				t.Errorf("%s in %s: got\n%s\nwant it to hold %q", tt.line, tt.channel, got, w)
			}
		}
	}
	d.none()
}

// TestCommandProposes types what changes something.
func TestCommandProposes(t *testing.T) {
	tests := []struct {
		line string
		want kovra.Action
	}{
		{"/pipeline run", kovra.Action{Kind: kovra.ActRun, App: "web"}},
		{"/pipeline run dev", kovra.Action{Kind: kovra.ActRun, App: "web", Params: kovra.Params{Ref: "dev"}}},
		{"/pipeline run web dev ENV=“a b” input:region=eu", kovra.Action{Kind: kovra.ActRun, App: "web", Params: kovra.Params{
			Ref: "dev", Variables: []string{"ENV"}, Inputs: map[string]string{"region": "eu"},
		}}},
		{"/pipeline retry 12", kovra.Action{Kind: kovra.ActRetry, App: "web", Run: 1, Lock: "retry/1/1", Params: kovra.Params{Attempt: 1, Jobs: []int64{102}}}},
		{"/pipeline cancel 13", kovra.Action{Kind: kovra.ActCancel, App: "web", Run: 2, Lock: "cancel/2/1", Params: kovra.Params{Attempt: 1}}},
		{"/pipeline retry-job 102", kovra.Action{
			Kind: kovra.ActRetryJob, App: "web", Run: 1, Job: 102, Lock: "retry_job/7/102", Params: kovra.Params{Attempt: 1, JobName: "rspec"},
		}},
		{"/pipeline play https://gitlab.example/group/web/-/jobs/103", kovra.Action{
			Kind: kovra.ActPlay, App: "web", Run: 1, Job: 103, Lock: "play/7/103", Params: kovra.Params{Attempt: 1, JobName: "deploy"},
		}},
		{"/kovra link shop group/shop broadcast:all", kovra.Action{
			Kind: kovra.ActLink, App: "shop", Params: kovra.Params{Project: "group/shop", Filter: kovra.Filter{Broadcast: kovra.BroadcastAll}},
		}},
		{"/kovra link shop https://gitlab.example/group/shop/-/tree/main", kovra.Action{
			Kind: kovra.ActLink, App: "shop", Params: kovra.Params{Project: "https://gitlab.example/group/shop"},
		}},
		{"/kovra unlink", kovra.Action{Kind: kovra.ActUnlink, App: "web"}},
		{"/kovra app create shop", kovra.Action{Kind: kovra.ActCreateApp, App: "shop"}},
		{"/kovra app delete web --yes", kovra.Action{Kind: kovra.ActDeleteApp, App: "web", Params: kovra.Params{Sure: true}}},
		{"/kovra subscribe api broadcast:off", kovra.Action{Kind: kovra.ActSubscribe, App: "api", Params: kovra.Params{Filter: kovra.Filter{Broadcast: kovra.BroadcastOff}}}},
		{"/kovra unsubscribe", kovra.Action{Kind: kovra.ActUnsubscribe, App: "web"}},
		{"/kovra logs on", kovra.Action{Kind: kovra.ActShowLogs}},
		{"/kovra logs OFF", kovra.Action{Kind: kovra.ActHideLogs}},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			d := newDesk(t)
			d.failed()
			d.running(13)
			d.ends(kovra.ActionDone, kovra.Outcome{})
			seen := d.slash("U1", "C1", tt.line)
			wantText(t, seen.Text(), "✅")
			got := d.only()
			if !got.Answered || got.ReplyURL != "" {
				t.Errorf("answered %v, reply address %q: want it claimed", got.Answered, got.ReplyURL)
			}
			if tt.want.Lock == "" {
				tt.want.Lock = "slack/" + seen.TriggerID
			}
			tt.want.By = kovra.Person{ID: "U1", Name: "u1", Team: slacksim.TeamID}
			tt.want.Channel, tt.want.State = "C1", kovra.ActionDone
			got.ID, got.Answered, got.CreatedAt, got.FinishedAt = 0, false, time.Time{}, time.Time{}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("proposed (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLogsSayHowItIs asks in one channel after each thing that can be known of it.
func TestLogsSayHowItIs(t *testing.T) {
	d := newDesk(t)
	at := time.Now()
	for _, step := range []struct {
		know func(*storage.Tx) error
		want string
	}{
		{func(tx *storage.Tx) error { return tx.SetChannelShared("C1", false, at) }, "are shown in this channel."},
		{func(tx *storage.Tx) error { return tx.SetChannelShared("C1", true, at) }, "are not shown in this channel, because it is shared"},
		{func(tx *storage.Tx) error { return tx.AllowLogs("C1", true) }, "are shown in this channel, though it is shared"},
		{func(tx *storage.Tx) error { return tx.SetChannelShared("C1", false, at.Add(time.Second)) }, "and would be if it were shared"},
	} {
		d.update(step.know)
		wantText(t, d.slash("U1", "C1", "/kovra logs").Text(), step.want)
	}
	d.none()
}

func TestSwitchingLogsIsTold(t *testing.T) {
	d := newDesk(t)
	for _, tt := range []struct{ line, want, audit string }{
		{"/kovra logs on", "are shown in #c1, also while it is shared", "show logs in #c1"},
		{"/kovra logs off", "are not shown in #c1 while it is shared", "hide logs in #c1"},
	} {
		d.ends(kovra.ActionDone, kovra.Outcome{})
		wantText(t, d.slash("UADMIN", "C1", tt.line).Text(), "✅", tt.want)
		wantText(t, d.slash("UADMIN", "C1", "/kovra audit").Text(), tt.audit)
		d.ends(kovra.ActionFailed, kovra.Outcome{Kind: kovra.Denied, Reason: "Only administrators may."})
		wantText(t, d.slash("U1", "C1", tt.line).Text(), "❌", "were not switched", "Only administrators may.")
		if text := d.slash("U1", "C1", "/kovra audit").Text(); strings.Contains(text, "logs in") {
			t.Errorf("everybody sees what administrators did:\n%s", text)
		}
	}
}

func TestRunKeepsValuesSecret(t *testing.T) {
	d := newDesk(t)
	d.nobodyWorks()
	d.slash("U1", "C1", `/pipeline run web main TOKEN=hunter2 EMPTY=`)
	a := d.only()
	if raw, err := json.Marshal(a); err != nil || strings.Contains(string(raw), "hunter2") {
		t.Errorf("the value is in the action: %s, %v", raw, err)
	}
	var secret []byte
	if err := d.db.Read(t.Context(), func(tx *storage.Tx) (err error) {
		secret, err = tx.Secret(a.ID)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var got []kovra.Variable
	if err := json.Unmarshal(secret, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]kovra.Variable{{Key: "TOKEN", Value: "hunter2"}, {Key: "EMPTY"}}, got); diff != "" {
		t.Errorf("secret (-want +got):\n%s", diff)
	}
}

func TestActionThatFailsIsTold(t *testing.T) {
	d := newDesk(t)
	d.ends(kovra.ActionFailed, kovra.Outcome{Kind: kovra.Denied, Reason: "Only <members> may do that."})
	wantText(t, d.slash("U1", "C1", "/pipeline run").Text(), "❌", "Only <members> may do that.")
}

func TestSlowActionIsOnItsWay(t *testing.T) {
	d := newDesk(t)
	d.nobodyWorks()
	wantText(t, d.slash("U1", "C1", "/pipeline run").Text(), "⏳")
	a := d.only()
	if !a.Late || a.Answered || a.ReplyURL == "" {
		t.Errorf("late %v, answered %v, reply address %q: want the answer left for later", a.Late, a.Answered, a.ReplyURL)
	}
	// The rest comes from the loop of late answers.
	d.update(func(tx *storage.Tx) error {
		return tx.FinishAction(a.ID, kovra.ActionDone, kovra.Outcome{Remote: 900})
	})
	w := NewAnswerer(d.db, testClient(t, d.sim), Hook{}, nil, time.Now, quiet())
	if _, err := w.Reconcile(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	all := d.sim.Ephemerals("U1")
	wantText(t, slacksim.Text(all[len(all)-1]), "✅")
}

func TestSameCommandTwice(t *testing.T) {
	d := newDesk(t)
	form := url.Values{
		"command": {"/pipeline"}, "text": {"run"}, "channel_id": {"C1"}, "user_id": {"U1"}, "team_id": {"T1"}, "trigger_id": {"1.2"},
	}
	for range 2 {
		if _, err := d.handler.Command(t.Context(), form); err != nil {
			t.Fatal(err)
		}
	}
	d.only()
}

func TestRetryTypedTwiceTellsWhoWasFirst(t *testing.T) {
	d := newDesk(t)
	d.failed()
	wantText(t, d.slash("U1", "C1", "/pipeline retry 12").Text(), "✅")
	wantText(t, d.slash("U2", "C1", "/pipeline retry 12").Text(), "by @u1")
	wantText(t, d.slash("U1", "C1", "/pipeline retry 12").Text(), "by you")
	// GitLab has heard of it meanwhile.
	d.pipeline(kovra.Run{Project: 7, Remote: 12, Status: kovra.Running})
	wantText(t, d.slash("U2", "C1", "/pipeline retry 12").Text(), "by @u1", "Running")
	wantText(t, d.slash("U2", "C1", "/pipeline retry-job 101").Text(), "cannot be retried", "Success")
	wantText(t, d.slash("U2", "C1", "/pipeline play 102").Text(), "cannot be started")
	d.only()
}

func TestCancelAgainWhenNothingCameOfIt(t *testing.T) {
	d := newDesk(t)
	run := d.running(13)
	w := wish{kind: kovra.ActCancel, app: "web", run: run.ID}
	v := kovra.View{Run: run}
	propose := func(now time.Time) (a kovra.Action, mine bool) {
		d.update(func(tx *storage.Tx) (err error) {
			a, mine, err = proposeOnce(tx, w.action(v), now)
			return err
		})
		return a, mine
	}
	first, mine := propose(d.db.Now())
	if !mine {
		t.Fatal("the first one did not win")
	}
	d.waitFor(first.ID)
	for i, want := range []string{"cancel/1/1#2", "cancel/1/1#3"} {
		if a, mine := propose(d.db.Now()); mine {
			t.Errorf("%s: proposed at once", a.Lock)
		}
		a, mine := propose(d.db.Now().Add(again + time.Second))
		if !mine || a.Lock != want {
			t.Errorf("%d: got %q, %v; want %q", i, a.Lock, mine, want)
		}
		d.waitFor(a.ID)
	}
}

// waitFor returns when the action has ended.
func (d *desk) waitFor(id int64) {
	d.t.Helper()
	if err := d.db.Await(d.t.Context(), func(tx *storage.Tx) (bool, error) {
		a, err := tx.Action(id)
		return !a.Open(), err
	}); err != nil {
		d.t.Fatal(err)
	}
}

func TestListTurnsPages(t *testing.T) {
	d := newDesk(t)
	for i := range int64(12) {
		d.pipeline(kovra.Run{Project: 7, Remote: 100 + i, Status: kovra.Success, CreatedAt: noon})
	}
	shown := func(m slacksim.Message) string {
		var ids []string
		for i := range int64(12) {
			if id := fmt.Sprintf("#%d", 100+i); strings.Contains(string(m.Blocks), id) {
				ids = append(ids, id[1:])
			}
		}
		return strings.Join(append(ids, slices.DeleteFunc(slacksim.Buttons(m.Tree), func(b string) bool { return b != "Older" && b != "Newer" })...), " ")
	}
	m := d.answer("U1", "C1", "/pipeline")
	steps := []struct{ button, want string }{
		{"", "107 108 109 110 111 Older"},
		{"Older", "102 103 104 105 106 Newer Older"},
		{"Older", "100 101 Newer"},
		{"Newer", "102 103 104 105 106 Newer Older"},
		{"Newer", "107 108 109 110 111 Older"},
	}
	for _, s := range steps {
		if s.button != "" {
			if seen := d.click("U1", m.Ref(), s.button); len(seen.Ephemerals) != 0 {
				t.Errorf("%s made a new message", s.button)
			}
			m = d.sim.Ephemerals("U1")[0]
		}
		if got := shown(m); got != s.want {
			t.Errorf("%s: got %q, want %q", s.button, got, s.want)
		}
	}
}

func TestAuditShowsWhatOneMaySee(t *testing.T) {
	d := newDesk(t)
	d.failed()
	d.slash("UADMIN", "C1", "/pipeline run secret main")
	d.slash("U1", "C1", "/pipeline retry 12")
	d.slash("UADMIN", "C1", "/kovra app create gone")
	lines := func(user, line string) int { return strings.Count(string(d.answer(user, "C1", line).Blocks), "•") }
	if got := lines("U1", "/kovra audit"); got != 1 {
		t.Errorf("a member sees %d entries, want 1", got)
	}
	if got := lines("UADMIN", "/kovra audit"); got != 3 {
		t.Errorf("an administrator sees %d entries, want 3", got)
	}
	d.gate.veiled = []string{"secret"}
	if got := lines("UADMIN", "/kovra audit"); got != 2 {
		t.Errorf("an administrator from whom the policy takes an app sees %d entries, want 2", got)
	}
	d.gate.veiled = nil
	for range 25 {
		d.slash("U1", "C1", "/pipeline run web")
	}
	m := d.answer("U1", "C1", "/kovra audit web")
	if got := strings.Count(string(m.Blocks), "•"); got != AuditPage {
		t.Errorf("first page has %d entries", got)
	}
	d.click("U1", m.Ref(), "Older")
	all := d.sim.Ephemerals("U1")
	if got := strings.Count(string(all[len(all)-1].Blocks), "•"); got != 6 {
		t.Errorf("second page has %d entries, want 6", got)
	}
}

func TestGateDown(t *testing.T) { synctest.Test(t, gateDown) }

func gateDown(t *testing.T) {
	d := newDesk(t)
	d.gate.down = kovra.Errorf(kovra.Unavailable, "Slack could not be asked.")
	wantText(t, d.slash("U1", "C1", "/pipeline").Text(), "⏳", "Slack could not be asked.")
	d.gate.down, d.gate.hang = nil, true
	wantText(t, d.slash("U1", "C1", "/pipeline").Text(), "⏳", "Slack did not say in time")
	d.gate.hang = false
	d.gate.down = errors.New("boom at 10.0.0.1")
	if got := d.slash("U1", "C1", "/pipeline run").Text(); strings.Contains(got, "10.0.0.1") || !strings.Contains(got, "our side") {
		t.Errorf("got %q, want no inner detail", got)
	}
	d.none()
}

// A database that is busy is no reason for silence.
func TestCommandWhileNobodyCanWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		release := d.block()
		start := time.Now()
		seen := d.slash("U1", "C1", "/pipeline run web main")
		if took := time.Since(start); took > 2500*time.Millisecond {
			t.Errorf("took %v, which leaves no time for the way", took)
		}
		release()
		wantText(t, seen.Text(), "⏳", saysSlow)
		d.none()
	})
}

// Somebody whose wish is recorded is never told to try again: it would be done twice.
func TestRecordedIsNotAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.ends("", kovra.Outcome{}) // nobody carries it out
		done := make(chan slacksim.Seen)
		go func() { done <- d.slash("U1", "C1", "/pipeline run web main") }()
		err := d.db.Await(t.Context(), func(tx *storage.Tx) (bool, error) {
			all, err := tx.Actions(storage.ActionQuery{Limit: 1})
			return len(all) == 1, err
		})
		if err != nil {
			t.Fatal(err)
		}
		release := d.block()
		seen := <-done
		release()
		wantText(t, seen.Text(), "⏳ Starting a pipeline of web")
		if a := d.only(); a.Answered {
			t.Error("the answer is taken for given")
		}
	})
}

// Nor is it for what was typed into a form to be lost.
func TestFormWhileNobodyCanWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		v := d.openRun("U1")
		release := d.block()
		seen := d.submit("U1", v, nil)
		release()
		if seen.Errors["ref"] != saysSlow {
			t.Errorf("got %+v", seen)
		}
		d.none()
	})
}

// Whatever is typed, the answer keeps Slack's limits and mentions, links and formats nothing.
func TestHostileCommands(t *testing.T) {
	d := newDesk(t)
	d.ends(kovra.ActionFailed, kovra.Outcome{Kind: kovra.Invalid, Reason: strings.Join(hostile, " ")})
	d.pipeline(kovra.Run{Project: 7, Remote: 55, Status: kovra.Running, Ref: strings.Repeat("<@U1>`", 2000)})
	for _, text := range hostile {
		for _, line := range []string{
			"/pipeline %s", "/pipeline web %s", "/pipeline run web %s", "/pipeline run web main %s=1", "/pipeline run web main A=%s", "/pipeline run %[1]s A=%[1]s",
			"/pipeline jobs %s", "/pipeline log web %s", "/pipeline cancel https://gitlab.example/%s/-/pipelines/5", "/pipeline jobs 55",
			"/kovra %s", "/kovra link %[1]s %[1]s", "/kovra link web group/%s", "/kovra app %s", "/kovra audit %s", "/kovra help %s",
			"/build %s", "/build trigger web %s", "/build log web %s", "/build cancel %s", "/build rollback %s", "/build settings %s",
		} {
			command, rest, _ := strings.Cut(line, " ")
			if strings.Contains(rest, "%") {
				rest = fmt.Sprintf(rest, slackEscaper.Replace(text))
			}
			body, err := d.handler.Command(t.Context(), url.Values{"command": {command}, "text": {rest}, "channel_id": {"C2"}, "user_id": {"U1"}, "team_id": {"T1"}})
			if err != nil {
				t.Fatal(err)
			}
			checkBody(t, body)
			var m struct {
				Text   string
				Blocks slack.Blocks
			}
			if err := json.Unmarshal(body, &m); err != nil {
				t.Fatal(err)
			}
			checkHarmless(t, line, m.Text, m.Blocks.BlockSet)
		}
	}
}

func TestPersonOfCommand(t *testing.T) {
	d := newDesk(t)
	_, err := d.handler.Command(t.Context(), url.Values{
		"command": {"/kovra"}, "text": {"apps"}, "user_id": {"U1"}, "user_name": {"alice"}, "team_id": {"T9"}, "enterprise_id": {"E9"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := (kovra.Person{ID: "U1", Name: "alice", Team: "T9", Enterprise: "E9"}); d.gate.asked[0] != want {
		t.Errorf("got %+v, want %+v", d.gate.asked[0], want)
	}
}
