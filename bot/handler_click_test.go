package bot

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

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
		wantText(t, got, "There is no such thing here, or you may not see it")
		if strings.Contains(got, "rspec") {
			t.Errorf("%s: got %q", button, got)
		}
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
	if want := []string{"C1", "C2"}; !slices.Equal(d.gate.forgotten, want) {
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
	f.Add([]byte(`{"type":"block_suggestion","action_id":"ref","value":"m","view":{"private_metadata":"{\"app\":\"web\"}"}}`))
	f.Add([]byte(`{"type":"view_submission","view":{"id":"V1","callback_id":"run","private_metadata":"{\"app\":\"web\"}","state":{"values":{"ref":{"ref":{"selected_option":{"value":"main"}}},"variables":{"variables":{"value":"A=1"}}}}}}`))
	f.Add([]byte(`{"type":"view_submission","view":{"id":"V1","callback_id":"connect","private_metadata":"{}","state":{"values":{"project":{"project":{"selected_option":null}}}}}}`))
	f.Add([]byte(`{"type":"block_actions","actions":[{"action_id":5},{"action_id":"retry","type":"button","value":"1:1:1:1:1"}],"container":[]}`))
	d := newDesk(f)
	d.failed()
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
