package bot

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

func TestClickOnCard(t *testing.T) {
	d := newDesk(t)
	run := d.failed()
	card := d.card("C1", run)
	if got := d.click("U2", card.Ref(), "Jobs").Text(); !strings.Contains(got, "rspec") {
		t.Errorf("Jobs: got %q", got)
	}
	seen := d.click("U1", card.Ref(), "Retry")
	wantText(t, seen.Text(), "✅")
	a := d.only()
	if a.Kind != kovra.ActRetry || a.App != "web" || a.Run != run.ID || a.Lock != "retry/1/1" || a.Channel != "C1" || !a.Answered {
		t.Errorf("proposed %+v", a)
	}
	wantText(t, d.click("U2", card.Ref(), "Retry").Text(), "☝️", "by @u1")
	wantText(t, d.click("U1", card.Ref(), "Retry").Text(), "☝️", "by you")
	d.only()
	if got := d.click("U1", card.Ref(), "View in GitLab"); len(got.Ephemerals) != 0 {
		t.Errorf("a link was answered with %q", got.Text())
	}
}

func TestStaleClicks(t *testing.T) {
	d := newDesk(t)
	old := d.card("C1", d.failed())
	// Somebody retries in GitLab; it fails again.
	d.pipeline(kovra.Run{Project: 7, Remote: 12, Status: kovra.Running})
	stale := func(want ...string) slacksim.Message {
		t.Helper()
		seen, err := d.sim.ClickStale(t.Context(), "U1", old, "Retry")
		if err != nil {
			t.Fatal(err)
		}
		wantText(t, seen.Text(), want...)
		return seen.Ephemerals[0]
	}
	stale("cannot be retried", "Running", "attempt 2")
	d.pipeline(kovra.Run{Project: 7, Remote: 12, Status: kovra.Failed, FinishedAt: noon.Add(3 * 60e9)})
	m := stale("earlier attempt, so nothing was done", "Failed", "attempt 2")
	d.none()
	// The new button that came with the answer works.
	wantText(t, d.click("U1", m.Ref(), "Retry").Text(), "✅")
	if a := d.only(); a.Lock != "retry/1/2" {
		t.Errorf("lock %q", a.Lock)
	}
}

func TestClickInThread(t *testing.T) {
	d := newDesk(t)
	run := d.failed()
	d.card("C1", run)
	client := testClient(t, d.sim)
	parent := d.sim.Messages("C1")[0]
	ts, err := client.Post(t.Context(), "C1", parent.TS, Message{
		Slot: "failure/102", Text: "rspec failed", Blocks: row(nil, retryJobButton(&run, kovra.Job{ID: 102})),
	}, "n2")
	if err != nil {
		t.Fatal(err)
	}
	seen := d.click("U1", slacksim.Ref{Channel: "C1", TS: ts}, "Retry job")
	wantText(t, seen.Text(), "✅", "rspec")
	if got := seen.Ephemerals[0].ThreadTS; got != parent.TS {
		t.Errorf("answered in %q, want in the thread %q", got, parent.TS)
	}
	if seen = d.click("U1", parent.Ref(), "Jobs"); seen.Ephemerals[0].ThreadTS != "" {
		t.Error("a click on the parent was answered in the thread, where nobody looks")
	}
	if a := d.only(); a.Job != 102 || a.Run != run.ID {
		t.Errorf("proposed %+v", a)
	}
}

func TestClickInPrivateList(t *testing.T) {
	d := newDesk(t)
	d.failed()
	list := d.answer("U1", "C2", "/pipeline web")
	jobs := d.click("U1", list.Ref(), "Jobs").Ephemerals[0]
	wantText(t, slacksim.Text(jobs), "rspec", "deploy")
	wantText(t, d.click("U1", jobs.Ref(), "Play").Text(), "✅", "deploy")
	wantText(t, d.click("U1", jobs.Ref(), "Play").Text(), "by you")
	if a := d.only(); a.Lock != "play/7/103" || a.App != "web" {
		t.Errorf("proposed %+v", a)
	}
}

func TestJobsTurnPages(t *testing.T) {
	d := newDesk(t)
	var jobs []kovra.Job
	for i := range int64(JobsPage + 3) {
		jobs = append(jobs, kovra.Job{ID: 200 + i, Project: 7, Name: "job " + string(rune('a'+i)), Stage: "test", Status: kovra.Success})
	}
	d.pipeline(kovra.Run{Project: 7, Remote: 12, Status: kovra.Success, FinishedAt: noon, Stages: []string{"test"}}, jobs...)
	m := d.answer("U1", "C1", "/pipeline jobs 12")
	if seen := d.click("U1", m.Ref(), "Next page"); len(seen.Ephemerals) != 0 {
		t.Error("the page did not take the place of the one before")
	}
	m = d.sim.Ephemerals("U1")[0]
	wantText(t, slacksim.Text(m), "page 2 of 2", "job o")
}

func TestClickThatIsNotAllowed(t *testing.T) {
	d := newDesk(t)
	run := d.failed()
	card := d.card("C1", run)
	d.gate.hidden = []string{"web", "secret"}
	for _, button := range []string{"Retry", "Jobs", "Run Pipeline"} {
		got := d.click("U1", card.Ref(), button).Text()
		wantText(t, got, "Only members of a channel that is subscribed to web may do that")
		if strings.Contains(got, "rspec") {
			t.Errorf("%s: got %q", button, got)
		}
	}
	d.none()
}

// Somebody of another organisation sees the card in a shared channel, and learns why it
// does nothing for them.
func TestClickByForeigner(t *testing.T) {
	d := newDesk(t)
	d.sim.AddUser(slacksim.User{ID: "UGUEST", Name: "guest", TeamID: "TOTHER"})
	d.sim.SetChannel("C1", func(c *slacksim.Channel) { c.Members = append(c.Members, "UGUEST") })
	card := d.card("C1", d.failed())
	for _, button := range []string{"Retry", "Jobs", "Run Pipeline"} {
		wantText(t, d.click("UGUEST", card.Ref(), button).Text(), "Only people of the organisation")
	}
	d.none()
}

func TestClickOnThreadWithoutProject(t *testing.T) {
	d := newDesk(t)
	run := d.failed()
	card := d.card("C1", run)
	d.update(func(tx *storage.Tx) error { return tx.SaveApp(kovra.App{Name: "web"}) })
	for _, button := range []string{"Retry", "Jobs"} {
		wantText(t, d.click("U1", card.Ref(), button).Text(), "no GitLab project yet")
	}
	d.update(func(tx *storage.Tx) error { return tx.SaveApp(kovra.App{Name: "web", Project: 8}) })
	wantText(t, d.click("U1", card.Ref(), "Retry").Text(), "no longer linked")
	d.none()
}

func TestSlowClickIsAnsweredTwice(t *testing.T) {
	d := newDesk(t)
	card := d.card("C1", d.failed())
	d.nobodyWorks()
	wantText(t, d.click("U1", card.Ref(), "Retry").Text(), "⏳")
	if a := d.only(); !a.Late || a.Answered || a.ReplyURL == "" {
		t.Errorf("got %+v, want the answer left for later", a)
	}
	wantText(t, d.click("U2", card.Ref(), "Retry").Text(), "by @u1", "on its way")
}

func TestChooseApp(t *testing.T) {
	d := newDesk(t)
	m := d.answer("U1", "C2", "/pipeline run main A=“x y”")
	wantText(t, d.click("U1", m.Ref(), "api").Text(), "✅")
	a := d.only()
	if diff := cmp.Diff(kovra.Params{Ref: "main", Variables: []string{"A"}}, a.Params); diff != "" || a.App != "api" {
		t.Errorf("app %s, params (-want +got):\n%s", a.App, diff)
	}
}

// A button that holds a command is a button: the second click learns of the first.
func TestChooseTwice(t *testing.T) {
	d := newDesk(t)
	m := d.answer("U1", "C2", "/pipeline run main")
	wantText(t, d.click("U1", m.Ref(), "api").Text(), "✅")
	wantText(t, d.click("U1", m.Ref(), "api").Text(), "already started by you")
	d.only()
	wantText(t, d.click("U1", m.Ref(), "web").Text(), "✅")
	if n := len(d.actions()); n != 2 {
		t.Errorf("%d pipelines were asked for, want one of each app", n)
	}
}

// What the state does not offer may be offered by GitLab: a webhook may be lost.
func TestRefusalAsksGitLab(t *testing.T) {
	d := newDesk(t)
	run := d.failed()
	d.update(func(tx *storage.Tx) error { return tx.Forget(run.ID) })
	stale := func() (stale bool) {
		err := d.db.Read(t.Context(), func(tx *storage.Tx) error {
			r, err := tx.Run(run.ID)
			stale = r.Stale
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return stale
	}
	if stale() {
		t.Fatal("stale from the start")
	}
	wantText(t, slacksim.Text(d.answer("U1", "C1", "/pipeline cancel 12")), "cannot be canceled: it is Failed now", saysLookAgain)
	if !stale() {
		t.Error("nobody will look whether the pipeline still runs")
	}
	d.none()
}

// The value of a button is what the person sends: it shows nothing of what they may not see.
func TestForgedValues(t *testing.T) {
	d := newDesk(t)
	card := d.card("C1", d.failed())
	hidden := d.pipeline(kovra.Run{Project: 9, Remote: 90, Status: kovra.Failed}, kovra.Job{ID: 901, Name: "launch-codes", Stage: "test", Status: kovra.Failed})
	orphan := d.pipeline(kovra.Run{Project: 99, Remote: 91, Status: kovra.Failed}, kovra.Job{ID: 902, Name: "launch-codes", Stage: "test", Status: kovra.Failed})
	foreign := d.pipeline(kovra.Run{Project: 8, Remote: 92, Status: kovra.Failed}, kovra.Job{ID: 801, Name: "other", Stage: "test", Status: kovra.Failed})
	for _, unlink := range []bool{false, true} {
		if unlink { // web has no project any more, but its thread is still there
			d.update(func(tx *storage.Tx) error { return tx.SaveApp(kovra.App{Name: "web", Project: 8}) })
		}
		for _, v := range []Value{{Run: hidden.ID, Attempt: 1}, {Run: orphan.ID, Attempt: 1}, {Run: hidden.ID, Attempt: 1, Job: 901}, {Run: orphan.ID, Attempt: 1, Job: 902}} {
			for _, action := range []string{ActionJobs, ActionRetry, ActionRetryJob, ActionCancel, ActionPlay} {
				got := d.forge("U1", card, action, v.String())
				wantText(t, got, "no such thing here")
				if strings.Contains(got, "launch-codes") {
					t.Errorf("%s %v shows %q", action, v, got)
				}
			}
		}
	}
	// A job of another pipeline is none of this one.
	wantText(t, d.forge("U1", card, ActionRetryJob, Value{Run: foreign.ID, Attempt: 1, Job: 102}.String()), "cannot be retried: it is gone")
	d.none()
}

// forge clicks in a card on a button that it does not have.
func (d *desk) forge(user string, card slacksim.Message, action, value string) string {
	d.t.Helper()
	raw, err := json.Marshal(map[string]any{
		"type": "block_actions", "user": map[string]any{"id": user, "team_id": slacksim.TeamID}, "team": map[string]any{"id": slacksim.TeamID},
		"channel":   map[string]any{"id": card.Channel},
		"container": map[string]any{"type": "message", "message_ts": card.TS, "channel_id": card.Channel},
		"actions":   []any{map[string]any{"type": "button", "action_id": action, "value": value}},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	before := len(d.sim.Ephemerals(user))
	if _, err := d.handler.Interaction(d.t.Context(), raw); err != nil {
		d.t.Fatal(err)
	}
	all := d.sim.Ephemerals(user)
	if len(all) != before+1 {
		d.t.Fatalf("%d answers, want one", len(all)-before)
	}
	return slacksim.Text(all[before])
}

// However slow everything is, the person hears of it before Slack gives up.
func TestSlowClicksAreAnsweredInTime(t *testing.T) {
	for name, tt := range map[string]struct {
		button string
		slow   func(*desk) (release func())
		want   string
	}{
		"gate":     {"Jobs", func(d *desk) func() { d.gate.hang = true; return nil }, saysGateSlow},
		"database": {"Retry", (*desk).block, saysSlow},
		"form": {"Run Pipeline", func(d *desk) func() {
			d.sim.Fault(slacksim.Delay("views.open", 10*time.Second))
			return nil
		}, saysSlow},
		"limit of the address": {"Jobs", func(d *desk) func() {
			d.sim.Fault(slacksim.RateLimit("response_url", time.Minute))
			return nil
		}, "rspec"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t)
				card := d.card("C1", d.failed())
				release := tt.slow(d)
				start := time.Now()
				d.click("U1", card.Ref(), tt.button)
				if took := time.Since(start); took > 3*time.Second {
					t.Errorf("took %v", took)
				}
				if release != nil {
					release()
				}
				all := d.sim.Ephemerals("U1")
				if len(all) != 1 {
					t.Fatalf("%d answers, want one", len(all))
				}
				wantText(t, slacksim.Text(all[0]), tt.want)
				d.none()
			})
		})
	}
}

// block keeps everybody else from writing until it is released.
func (d *desk) block() (release func()) {
	held, free, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_ = d.db.Update(d.t.Context(), func(*storage.Tx) error {
			close(held)
			<-free
			return nil
		})
	}()
	<-held
	return func() { close(free); <-done }
}

func TestConfirm(t *testing.T) {
	d := newDesk(t)
	d.mu.Lock()
	d.end = func(a kovra.Action) (kovra.ActionState, kovra.Outcome) {
		if a.Params.Sure {
			return kovra.ActionDone, kovra.Outcome{}
		}
		return kovra.ActionAsks, kovra.Outcome{Reason: "Delete web with its subscriptions?"}
	}
	d.mu.Unlock()
	m := d.answer("U1", "C1", "/kovra app delete web")
	wantText(t, slacksim.Text(m), "Delete web with its subscriptions?")
	yes := slacksim.Buttons(m.Tree)[0]
	wantText(t, d.click("U1", m.Ref(), yes).Text(), "✅")
	wantText(t, d.click("U1", m.Ref(), yes).Text(), "by you")
	all := d.actions()
	if len(all) != 2 || !all[1].Params.Sure || all[1].Kind != kovra.ActDeleteApp || all[1].Lock != "confirm/1" {
		t.Errorf("proposed %+v", all)
	}
	// Nobody else can answer the question.
	var p map[string]any
	if err := json.Unmarshal([]byte(clickPayload("U2", "confirm", "1")), &p); err != nil {
		t.Fatal(err)
	}
	if _, err := d.handler.Interaction(t.Context(), []byte(clickPayload("U2", ActionConfirm, "1"))); err != nil {
		t.Fatal(err)
	}
	wantText(t, slacksim.Text(d.sim.Ephemerals("U2")[0]), "no question to answer")
	if len(d.actions()) != 2 {
		t.Error("somebody else confirmed")
	}
}

// clickPayload is a click in C1 without a response_url, as from a view or the Home tab.
func clickPayload(user, action, value string) string {
	raw, err := json.Marshal(map[string]any{
		"type": "block_actions", "user": map[string]any{"id": user, "team_id": slacksim.TeamID},
		"channel": map[string]any{"id": "C1"}, "trigger_id": "1.1",
		"actions": []any{map[string]any{"type": "button", "action_id": action, "value": value}},
	})
	if err != nil {
		panic(err)
	}
	return string(raw)
}

func TestOddClicks(t *testing.T) {
	tests := []struct{ action, value, want string }{
		{"rollback", "1", "from an older message"},
		{ActionRetry, "", "from an older message"},
		{ActionRetry, "x:y", "from an older message"},
		{ActionRetry, "999:1", "no such thing here"},
		{ActionJobs, "999:1", "no such thing here"},
		{ActionList, "web", "from an older message"},
		{ActionList, "nope:0:0:", "no such thing here"},
		{ActionOlder, "bare:5:0:", "no GitLab project yet"},
		{ActionAudit, "x", "from an older message"},
		{ActionAudit, "secret:0:0:", "no such thing here"},
		{ActionConfirm, "x", "from an older message"},
		{ActionConfirm, "999", "no question to answer"},
		{ActionConnect, "No App", "from an older message"},
		{ActionConnect, "bare", "Only administrators of this bot may do that. You can ask Ada."},
		{ActionRun, "bare:0:0:", "no GitLab project yet"},
		{ActionRun, "web:0:0:", "takes longer than usual"}, // its trigger is none
		{ActionChoose, "rm -rf", "no command"},
		{ActionRetryJob + ":5", "1:1:999", "cannot be retried"},
	}
	for _, tt := range tests {
		d := newDesk(t)
		d.failed()
		if _, err := d.handler.Interaction(t.Context(), []byte(clickPayload("U1", tt.action, tt.value))); err != nil {
			t.Fatal(err)
		}
		all := d.sim.Ephemerals("U1")
		if len(all) != 1 {
			t.Errorf("%s %s: %d answers", tt.action, tt.value, len(all))
			continue
		}
		wantText(t, slacksim.Text(all[0]), tt.want)
		d.none()
	}
}

func TestResponseAddressUsedUp(t *testing.T) {
	d := newDesk(t)
	card := d.card("C1", d.failed())
	d.sim.Fault(slacksim.Status("response_url", 404).Times(1))
	wantText(t, d.click("U1", card.Ref(), "Retry").Text(), "✅")
}

func TestOtherInteractions(t *testing.T) {
	d := newDesk(t)
	card := d.card("C1", d.failed())
	seen, err := d.sim.MessageShortcut(t.Context(), "U1", card.Ref(), "retry")
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, seen.Text(), "not part of this version")
	for _, payload := range []string{`{"type":"view_closed"}`, `{"type":"new_thing"}`, `{}`, `{"type":5,"user":"x"}`} {
		if body, err := d.handler.Interaction(t.Context(), []byte(payload)); err != nil || body != nil {
			t.Errorf("%s: got %s, %v", payload, body, err)
		}
	}
	if _, err := d.handler.Interaction(t.Context(), []byte("no json")); err == nil {
		t.Error("no error for what is no JSON")
	}
}

func TestEvent(t *testing.T) {
	d := newDesk(t)
	for _, payload := range []string{
		`{"type":"event_callback","event":{"type":"member_joined_channel","user":"U9","channel":"C1"}}`,
		`{"type":"event_callback","event":{"type":"channel_left","channel":{"id":"C2"}}}`,
		`{"type":"event_callback","event":{"type":"member_left_channel","channel":7}}`,
		`{"type":"event_callback","authorizations":[{"user_id":"UBOT"}],"event":{"type":"member_left_channel","user":"UBOT","channel":"C4"}}`,
		`{"type":"event_callback","event":{"type":"app_uninstalled"}}`,
		`{"type":"event_callback","event":{"type":"app_mention","channel":"C3","text":"hi"}}`,
		`{"type":"event_callback","event":"odd"}`,
		`{}`,
	} {
		if err := d.handler.Event(t.Context(), []byte(payload)); err != nil {
			t.Errorf("%s: %v", payload, err)
		}
	}
	if err := d.handler.Event(t.Context(), []byte("[")); err == nil {
		t.Error("no error for what is no JSON")
	}
	if want := []string{"C1 U9", "C2 ", "C4 "}; !slices.Equal(d.gate.forgotten, want) {
		t.Errorf("forgot %q, want %q", d.gate.forgotten, want)
	}
}

func TestPersonOfPayload(t *testing.T) {
	tests := []struct {
		payload string
		want    kovra.Person
	}{
		{`{"user":{"id":"U1","username":"a","team_id":"T1"},"team":{"id":"T1","enterprise_id":"E1"}}`, kovra.Person{ID: "U1", Name: "a", Team: "T1", Enterprise: "E1"}},
		{`{"user":{"id":"U1","name":"a"},"team":{"id":"T1"},"enterprise":{"id":"E1"}}`, kovra.Person{ID: "U1", Name: "a", Team: "T1", Enterprise: "E1"}},
		{`{"user":{"id":"U1","name":"a","team_id":"T9"},"team":{"id":"T1"},"enterprise":{"id":"E1"}}`, kovra.Person{ID: "U1", Name: "a", Team: "T9"}},
		{`{"user":{"id":"U1"},"team":null,"enterprise":null}`, kovra.Person{ID: "U1"}},
	}
	for _, tt := range tests {
		p, err := readPayload([]byte(tt.payload))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.person(); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.payload, got, tt.want)
		}
	}
}

func FuzzInteraction(f *testing.F) {
	f.Add([]byte(clickPayload("U1", ActionRetry, "1:1")))
	f.Add([]byte(clickPayload("U1", ActionConfirm, "1")))
	f.Add([]byte(clickPayload("U1", ActionRun, "web:0:0:main")))
	f.Add([]byte(clickPayload("U1", ActionChoose, "/pipeline run web A=1")))
	f.Add([]byte(clickPayload("U1", ActionRebuild, "1")))
	f.Add([]byte(clickPayload("U1", ActionRollBack, "1:2")))
	f.Add([]byte(clickPayload("U1", ActionSettings, "web")))
	f.Add([]byte(`{"type":"view_submission","view":{"id":"V1","callback_id":"settings","private_metadata":"{\"app\":\"web\",\"since\":5}","state":{"values":{"enabled":{"enabled":{"selected_option":{"value":"on"}}},"args":{"args":{"value":"A=1"}}}}}}`))
	f.Add([]byte(`{"type":"block_suggestion","action_id":"ref","value":"m","view":{"private_metadata":"{\"app\":\"web\"}"}}`))
	f.Add([]byte(`{"type":"view_submission","view":{"id":"V1","callback_id":"run","private_metadata":"{\"app\":\"web\"}","state":{"values":{"ref":{"ref":{"selected_option":{"value":"main"}}},"variables":{"variables":{"value":"A=1"}}}}}}`))
	f.Add([]byte(`{"type":"view_submission","view":{"id":"V1","callback_id":"connect","private_metadata":"{}","state":{"values":{"project":{"project":{"selected_option":null}}}}}}`))
	f.Add([]byte(`{"type":"block_actions","actions":[{"action_id":5},{"action_id":"retry","type":"button","value":"1:1:1:1:1"}],"container":[]}`))
	d := newDesk(f)
	d.failed()
	d.build("web", succeeded)
	f.Fuzz(func(t *testing.T, payload []byte) {
		body, err := d.handler.Interaction(t.Context(), payload)
		if err == nil && body != nil && !json.Valid(body) {
			t.Errorf("answer %q is no JSON", body)
		}
		if err := d.handler.Event(t.Context(), payload); err != nil && json.Valid(payload) {
			t.Errorf("event: %v", err)
		}
	})
}
