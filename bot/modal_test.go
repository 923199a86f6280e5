package bot

import (
	"encoding/json"
	"errors"
	"fmt"
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

// openRun clicks Run Pipeline in a private list and returns the form.
func (d *desk) openRun(user string) slacksim.View {
	d.t.Helper()
	seen := d.click(user, d.answer(user, "C1", "/pipeline").Ref(), "Run Pipeline")
	if seen.View == nil {
		d.t.Fatalf("no form was opened: %s", seen.Text())
	}
	return *seen.View
}

func (d *desk) submit(user string, v slacksim.View, values map[string]string) slacksim.Seen {
	d.t.Helper()
	seen, err := d.sim.Submit(d.t.Context(), user, v.ID, values)
	if err != nil {
		d.t.Fatal(err)
	}
	if seen.Error != "" {
		d.t.Fatalf("submit: %s, answer %s", seen.Error, seen.Body)
	}
	return seen
}

func TestRunForm(t *testing.T) {
	d := newDesk(t)
	d.gitlab.branches, d.gitlab.tags = []string{"main", "dev"}, []string{"v1"}
	v := d.openRun("U1")
	seen := d.submit("U1", v, map[string]string{
		"ref": "dev", "variables": "ENV=staging\n\nNOTE=“a b”", "inputs": "region=eu",
	})
	if seen.View != nil || len(seen.Errors) != 0 {
		t.Errorf("the form is still open: %+v", seen)
	}
	wantText(t, seen.Text(), "✅")
	a := d.only()
	want := kovra.Params{Ref: "dev", Variables: []string{"ENV", "NOTE"}, Inputs: map[string]string{"region": "eu"}}
	if diff := cmp.Diff(want, a.Params); diff != "" {
		t.Errorf("params (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(a.Lock, "view/"+v.ID+"/") || a.Channel != "C1" || a.App != "web" || !a.Answered {
		t.Errorf("proposed %+v", a)
	}
}

func TestRunFormDefaults(t *testing.T) {
	d := newDesk(t)
	d.submit("U1", d.openRun("U1"), nil)
	if a := d.only(); a.Params.Ref != "main" {
		t.Errorf("ref %q, want the default branch", a.Params.Ref)
	}
}

func TestRunFormErrors(t *testing.T) {
	d := newDesk(t)
	v := d.openRun("U1")
	seen := d.submit("U1", v, map[string]string{"variables": "1X=a", "inputs": "nope"})
	wantText(t, seen.Errors["variables"], "1X")
	wantText(t, seen.Errors["inputs"], "no =")
	d.none()
	// What GitLab refuses is said in the form, which can be mended and sent again.
	d.ends(kovra.ActionFailed, kovra.Outcome{Kind: kovra.Invalid, Reason: "GitLab has no branch main."})
	seen = d.submit("U1", v, map[string]string{"variables": "X=a", "inputs": ""})
	wantText(t, seen.Errors["ref"], "GitLab has no branch main.")
	d.ends(kovra.ActionDone, kovra.Outcome{})
	if seen = d.submit("U1", v, nil); len(seen.Errors) != 0 || seen.View != nil {
		t.Errorf("got %+v", seen)
	}
	if all := d.actions(); len(all) != 2 || !all[0].Answered {
		t.Errorf("proposed %+v", all)
	}
}

func TestRunFormSlow(t *testing.T) {
	d := newDesk(t)
	v := d.openRun("U1")
	d.nobodyWorks()
	wantText(t, d.submit("U1", v, nil).Text(), "⏳")
	if a := d.only(); !a.Late || a.ReplyURL == "" {
		t.Errorf("got %+v, want the answer left for later", a)
	}
}

func TestRunFormAnswersInTheFormWhereNothingElseIsLeft(t *testing.T) {
	d := newDesk(t)
	v := d.openRun("U1")
	d.sim.Fault(slacksim.Status("response_url", 404).Times(1), slacksim.ErrorCode("chat.postEphemeral", "user_not_in_channel").Times(1))
	seen := d.submit("U1", v, nil)
	if seen.View == nil || !strings.Contains(string(seen.View.Blocks), "✅") {
		t.Errorf("got %+v, want the answer in the form", seen)
	}
}

func TestExpiredTrigger(t *testing.T) {
	d := newDesk(t)
	m := d.answer("U1", "C1", "/pipeline")
	d.sim.Fault(slacksim.ErrorCode("views.open", "expired_trigger_id").Times(1))
	wantText(t, d.click("U1", m.Ref(), "Run Pipeline").Text(), "takes longer than usual")
}

func optionsOf(list []slacksim.Option) string {
	var out []string
	for _, o := range list {
		out = append(out, o.Group+"/"+o.Value)
	}
	return strings.Join(out, " ")
}

func TestTypeAheadRefs(t *testing.T) {
	d := newDesk(t)
	d.gitlab.branches, d.gitlab.tags = []string{"main", "dev", strings.Repeat("x", 151)}, []string{"v1"}
	v := d.openRun("U1")
	ask := func(query string) string {
		t.Helper()
		list, err := d.sim.Options(t.Context(), "U1", v.Ref(), "ref", query)
		if err != nil {
			t.Fatal(err)
		}
		return optionsOf(list)
	}
	if got, want := ask(""), "Branches/main Branches/dev Tags/v1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	ask("")
	if d.gitlab.asked != 1 {
		t.Errorf("GitLab was asked %d times for the same", d.gitlab.asked)
	}
	d.gitlab.down = errors.New("down")
	d.pipeline(kovra.Run{Project: 7, Remote: 1, Ref: "feature/x", SHA: "ab", Status: kovra.Running})
	if got, want := ask("feat"), labelDown+"/feat "+labelDown+"/feature/x"; got != want {
		t.Errorf("while GitLab is down: got %q, want %q", got, want)
	}
	d.gate.hidden = []string{"web"}
	if got := ask("d"); got != "" {
		t.Errorf("to somebody who may not see it: %q", got)
	}
}

func TestTypeAheadGivesUpInTime(t *testing.T) { synctest.Test(t, typeAheadGivesUpInTime) }

func typeAheadGivesUpInTime(t *testing.T) {
	d := newDesk(t)
	v := d.openRun("U1")
	d.gitlab.hang = true
	start := time.Now()
	list, err := d.sim.Options(t.Context(), "U1", v.Ref(), "ref", "ma")
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 2700*time.Millisecond {
		t.Errorf("took %s", took)
	}
	if got := optionsOf(list); got != labelDown+"/ma "+labelDown+"/main" {
		t.Errorf("got %q", got)
	}
}

func TestConnectForm(t *testing.T) {
	d := newDesk(t)
	d.gitlab.projects = []kovra.Project{{ID: 42, Path: "group/bare"}, {ID: 43, Path: "group/other"}}
	m := d.answer("U1", "C1", "/pipeline bare")
	wantText(t, d.click("U1", m.Ref(), "Connect GitLab project").Text(), "Only administrators")
	m = d.answer("UADMIN", "C1", "/pipeline bare")
	v := d.click("UADMIN", m.Ref(), "Connect GitLab project").View
	if v == nil {
		t.Fatal("no form was opened")
	}
	list, err := d.sim.Options(t.Context(), "UADMIN", v.Ref(), "project", "bare")
	if err != nil {
		t.Fatal(err)
	}
	if got := optionsOf(list); got != "Projects/42" {
		t.Errorf("options %q", got)
	}
	seen := d.submit("UADMIN", *v, map[string]string{"project": "42"})
	wantText(t, seen.Text(), "✅")
	a := d.only()
	if a.Kind != kovra.ActLink || a.App != "bare" || a.Params.Project != "42" || a.Channel != "C1" {
		t.Errorf("proposed %+v", a)
	}
}

func TestConnectFormWithoutGitLab(t *testing.T) {
	d := newDesk(t)
	d.gitlab.down = kovra.Errorf(kovra.Unavailable, "GitLab does not answer.")
	m := d.answer("UADMIN", "C1", "/pipeline bare")
	v := d.click("UADMIN", m.Ref(), "Connect GitLab project").View
	for query, want := range map[string]string{"group/bare": labelDown + "/group/bare", "ba": labelDown + "/-"} {
		list, err := d.sim.Options(t.Context(), "UADMIN", v.Ref(), "project", query)
		if err != nil {
			t.Fatal(err)
		}
		if got := optionsOf(list); got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	if seen := d.submit("UADMIN", *v, map[string]string{"project": noChoice}); seen.Errors["project"] != saysPickProject {
		t.Errorf("got %+v", seen)
	}
	d.none()
}

func TestOddForms(t *testing.T) {
	d := newDesk(t)
	for name, payload := range map[string]string{
		"no metadata":    `{"type":"view_submission","view":{"id":"V1","callback_id":"run"}}`,
		"unknown form":   `{"type":"view_submission","view":{"id":"V1","callback_id":"deploy","private_metadata":"{\"app\":\"web\"}"}}`,
		"odd fields":     `{"type":"view_submission","view":{"id":"V1","callback_id":"run","private_metadata":"{\"app\":\"web\"}","state":{"values":[]}}}`,
		"no project":     `{"type":"view_submission","view":{"id":"V1","callback_id":"connect","private_metadata":"{\"app\":\"web\"}"}}`,
		"odd type-ahead": `{"type":"block_suggestion","action_id":"colour","view":{"private_metadata":"{\"app\":\"web\"}"}}`,
		"no form":        `{"type":"block_suggestion","action_id":"ref"}`,
	} {
		body, err := d.handler.Interaction(t.Context(), []byte(payload))
		if err != nil || !json.Valid(body) {
			t.Errorf("%s: got %q, %v", name, body, err)
		}
	}
	d.none()
}

// Whatever refs and projects are called and whatever is typed, forms keep Slack's limits: each
// is checked on its way.
func TestHostileForms(t *testing.T) {
	d := newDesk(t)
	many := slices.Clone(hostile)
	for i := range 150 {
		many = append(many, fmt.Sprintf("feature/%d", i))
	}
	d.gitlab.branches, d.gitlab.tags = many, many
	for i, name := range many {
		d.gitlab.projects = append(d.gitlab.projects, kovra.Project{ID: int64(i + 1), Path: name})
	}
	options := func(v slacksim.View, field, query string) {
		for _, down := range []error{nil, kovra.Errorf(kovra.Unavailable, "GitLab does not answer.")} {
			d.gitlab.down = down
			if _, err := d.sim.Options(t.Context(), "UADMIN", v.Ref(), field, query); err != nil {
				t.Errorf("%.20q: %v", query, err)
			}
		}
		d.gitlab.down = nil
	}
	for _, text := range hostile {
		d.update(func(tx *storage.Tx) error {
			return tx.SaveProject(kovra.Project{ID: 7, Path: "group/web", URL: "https://gitlab.example/group/web", DefaultBranch: text})
		})
		options(*d.click("UADMIN", d.answer("UADMIN", "C1", "/pipeline bare").Ref(), "Connect GitLab project").View, "project", text)
		v := d.openRun("UADMIN")
		options(v, "ref", text)
		d.ends(kovra.ActionFailed, kovra.Outcome{Kind: kovra.Invalid, Reason: "No: " + text})
		if seen := d.submit("UADMIN", v, map[string]string{"variables": text + "=1", "inputs": text}); len(seen.Errors) == 0 && seen.View == nil && text != "" {
			t.Errorf("%.20q: the form is gone: %+v", text, seen)
		}
	}
}

// What cannot be shown elsewhere is shown in the form, and a form can be opened from there.
func TestFormInAForm(t *testing.T) {
	d := newDesk(t)
	d.ends(kovra.ActionDone, kovra.Outcome{Remote: 900, Moved: "00112233", Ref: "main"})
	v := d.openRun("U1")
	d.sim.Fault(slacksim.Status("response_url", 404).Times(1), slacksim.ErrorCode("chat.postEphemeral", "user_not_in_channel").Times(1))
	seen := d.submit("U1", v, nil)
	if seen.View == nil {
		t.Fatalf("got %+v", seen)
	}
	again := d.click("U1", seen.View.Ref(), "Run Pipeline")
	if again.View == nil || again.View.ID != v.ID {
		t.Fatalf("got %+v, want the form in place of the answer", again)
	}
	d.submit("U1", *again.View, nil)
	all := d.actions()
	if len(all) != 2 || all[1].Channel != "C1" {
		t.Errorf("proposed %+v, want a second pipeline, from the same channel", all)
	}
}

// What was typed into a form is not lost because something is slow.
func TestFormStaysWhenItCannotBeTaken(t *testing.T) {
	d := newDesk(t)
	v := d.openRun("U1")
	d.gate.down = kovra.Errorf(kovra.Unavailable, saysGateSlow)
	if seen := d.submit("U1", v, nil); seen.Errors["ref"] != saysGateSlow {
		t.Errorf("got %+v", seen)
	}
	d.gate.down = nil
	d.gate.hidden = []string{"web"}
	if seen := d.submit("U1", v, nil); seen.View == nil || !strings.Contains(string(seen.View.Blocks), "no such thing here") {
		t.Errorf("got %+v, want no word about an app that one may not see", seen)
	}
	d.none()
}

func TestClickInAForm(t *testing.T) {
	d := newDesk(t)
	d.failed()
	v := d.openRun("U1")
	// The answer to a form that is shown in it has buttons of its own.
	d.sim.Fault(slacksim.Status("response_url", 404).Times(1), slacksim.ErrorCode("chat.postEphemeral", "user_not_in_channel").Times(1))
	var id int64
	if err := d.db.Read(t.Context(), func(tx *storage.Tx) error {
		r, err := tx.RunByRemote(7, 12)
		id = r.ID
		return err
	}); err != nil {
		t.Fatal(err)
	}
	d.ends(kovra.ActionDone, kovra.Outcome{Remote: 12, Run: id})
	seen := d.submit("U1", v, nil)
	if seen.View == nil {
		t.Fatalf("got %+v", seen)
	}
	seen = d.click("U1", seen.View.Ref(), "Jobs")
	if seen.View == nil || !strings.Contains(string(seen.View.Blocks), "rspec") {
		t.Errorf("got %+v, want the jobs in the form", seen)
	}
}
