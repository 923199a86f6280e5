package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

// homeDesk is a desk with the loop of App Home, passed by hand.
type homeDesk struct {
	*desk
	homes *Homes
	ahead time.Duration // how far the loop's clock is ahead
}

func newHomeDesk(tb testing.TB) *homeDesk {
	tb.Helper()
	d := &homeDesk{desk: newDesk(tb)}
	d.homes = NewHomes(HomesOptions{
		DB: d.db, Slack: checkedHomes{tb, deskClient(tb, d.sim)}, Gate: d.gate, Hook: Hook{URL: "https://kovra.example/webhooks/gitlab"},
		Now: func() time.Time { return time.Now().Add(d.ahead) },
	})
	return d
}

// checkedHomes looks at every Home before it goes out.
type checkedHomes struct {
	t testing.TB
	HomePublisher
}

func (c checkedHomes) PublishHome(ctx context.Context, user, hash string, v slack.HomeTabViewRequest) (string, error) {
	if err := CheckHome(v); err != nil {
		c.t.Error(err)
	}
	return c.HomePublisher.PublishHome(ctx, user, hash, v)
}

// pass lets the loop work until every Home shows the state.
func (d *homeDesk) pass() {
	d.t.Helper()
	for range 20 {
		clean := true
		for ref, err := range d.db.Dirty(d.t.Context()) {
			if err != nil {
				d.t.Fatal(err)
			}
			if ref.Kind != kovra.RefHome {
				continue
			}
			clean = false
			after, err := d.homes.Reconcile(d.t.Context(), ref.ID)
			if err != nil {
				d.t.Fatal(err)
			}
			d.ahead += after
		}
		if clean {
			return
		}
	}
	d.t.Fatal("the Homes never come to rest")
}

// open opens somebody's Home and returns what they see.
func (d *homeDesk) open(user string) string {
	d.t.Helper()
	if err := d.sim.OpenHome(d.t.Context(), user); err != nil {
		d.t.Fatal(err)
	}
	return d.see(user)
}

func (d *homeDesk) see(user string) string {
	d.t.Helper()
	d.pass()
	v, ok := d.sim.HomeView(user)
	if !ok {
		d.t.Fatal("nothing was published")
	}
	return plainly(v)
}

// plainly is what a person reads in a view, without the marks of code.
func plainly(v slacksim.View) string { return strings.ReplaceAll(slacksim.ViewText(v), "`", "") }

// press clicks in somebody's Home and returns what they see then.
func (d *homeDesk) press(user, button string) (string, slacksim.Seen) {
	d.t.Helper()
	v, _ := d.sim.HomeView(user)
	seen := d.click(user, v.Ref(), button)
	return d.see(user), seen
}

func (d *homeDesk) choose(user, app string) string {
	d.t.Helper()
	v, _ := d.sim.HomeView(user)
	if _, err := d.sim.Choose(d.t.Context(), user, v.Ref(), ActionHomeApp, app); err != nil {
		d.t.Fatal(err)
	}
	return d.see(user)
}

// ended waits until every action that was proposed has ended.
func (d *homeDesk) ended() {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 30*time.Second)
	defer cancel()
	err := d.db.Await(ctx, func(tx *storage.Tx) (bool, error) {
		all, err := tx.Actions(storage.ActionQuery{Limit: 100})
		for _, a := range all {
			if a.Open() {
				return false, err
			}
		}
		return true, err
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

// published counts the calls.
func (d *homeDesk) published() (n int) {
	for _, c := range d.sim.Calls() {
		if c.Method == "views.publish" {
			n++
		}
	}
	return n
}

// quiet fails if anything was told outside App Home.
func (d *homeDesk) quiet() {
	d.t.Helper()
	for _, c := range d.sim.Calls() {
		if c.Method == "chat.postEphemeral" || c.Method == "chat.postMessage" {
			d.t.Errorf("%s was called: %s", c.Method, c.Form)
		}
	}
}

func lacksText(t *testing.T, got string, not ...string) {
	t.Helper()
	for _, w := range not {
		if strings.Contains(got, w) {
			t.Errorf("got:\n%s\nwant it without %q", got, w)
		}
	}
}

func TestHomeShowsAnApp(t *testing.T) {
	d := newHomeDesk(t)
	d.failed()
	d.running(13)
	wantText(t, d.open("U1"), "3 apps", "web", "api", "bare", "[Open]")
	page := d.choose("U1", "web")
	wantText(t, page, "[Pipelines]", "[Builds]", "#13", "Running", "#12", "Failed", "[Jobs]", "[Cancel]", "[Retry]", "[Run Pipeline]", "View in GitLab")
	lacksText(t, page, "api · ")
	page, _ = d.press("U1", "Builds")
	wantText(t, page, "No build yet", "[Trigger Build]", "[Settings]", "Automatic builds are off")
	page, _ = d.press("U1", "All apps")
	wantText(t, page, "3 apps")
	page, _ = d.press("U1", "home_app:bare")
	wantText(t, page, "bare has no GitLab project yet", "[Connect GitLab project]")
	d.quiet()
	d.none()
}

// TestHomeKeepsTheChoice opens it again later.
func TestHomeKeepsTheChoice(t *testing.T) {
	d := newHomeDesk(t)
	d.open("U1")
	d.choose("U1", "web")
	d.press("U1", "Builds")
	n := d.published()
	wantText(t, d.open("U1"), "No build yet")
	if got := d.published(); got != n {
		t.Errorf("%d calls for what is shown already", got-n)
	}
}

func TestHomeOfTheOnlyApp(t *testing.T) {
	d := newHomeDesk(t)
	d.gate.hidden = []string{"secret", "api", "bare"}
	page := d.open("U1")
	wantText(t, page, "web", "No pipeline yet")
	lacksText(t, page, "All apps", "secret")
	d.running(5)
	wantText(t, d.see("U1"), "#5")
}

func TestHomeOfNothing(t *testing.T) {
	d := newHomeDesk(t)
	d.gate.hidden = []string{"secret", "api", "bare", "web"}
	wantText(t, d.open("U1"), "There is no app here for you yet", "/kovra link web group/web", "/kovra help")
	d.gate.hidden = []string{"secret", "api", "bare"}
	wantText(t, d.open("U1"), "No pipeline yet")
}

// TestHomeAsksEachTime has somebody leave the channel while they look.
func TestHomeAsksEachTime(t *testing.T) {
	d := newHomeDesk(t)
	d.open("U1")
	wantText(t, d.choose("U1", "web"), "No pipeline yet")
	d.gate.hidden = append(d.gate.hidden, "web")
	d.running(5)
	page := d.see("U1")
	wantText(t, page, "web is not here any more", "2 apps")
	lacksText(t, page, "#5")
}

func TestHomeOfForeigners(t *testing.T) {
	d := newHomeDesk(t)
	event := `{"type":"event_callback","team_id":"TOTHER","event":{"type":"app_home_opened","user":"U1","tab":"home"}}`
	if err := d.handler.Event(t.Context(), []byte(event)); err != nil {
		t.Fatal(err)
	}
	page := d.see("U1")
	wantText(t, page, "Only people of the organisation")
	lacksText(t, page, "web")
}

// TestOtherEvents leave App Home alone.
func TestOtherEvents(t *testing.T) {
	d := newHomeDesk(t)
	for _, event := range []string{`{"type":"app_home_opened","user":"U1","tab":"messages"}`, `{"type":"app_home_opened","tab":"home"}`} {
		if err := d.handler.Event(t.Context(), []byte(`{"event":`+event+`}`)); err != nil {
			t.Error(err)
		}
	}
	d.pass()
	if n := d.published(); n != 0 {
		t.Errorf("%d Homes were published", n)
	}
}

func TestHomePages(t *testing.T) {
	d := newHomeDesk(t)
	for n := range int64(HomePage + 3) {
		d.running(100 + n)
	}
	d.open("U1")
	page := d.choose("U1", "web")
	wantText(t, page, "#110", "#103", "[Older]")
	lacksText(t, page, "#102", "[Newer]")
	page, _ = d.press("U1", "Older")
	wantText(t, page, "#102", "#100", "[Newer]")
	lacksText(t, page, "#103", "[Older]")
	page, _ = d.press("U1", "Newer")
	wantText(t, page, "#110", "[Older]")
}

func TestHomeActs(t *testing.T) {
	d := newHomeDesk(t)
	d.failed()
	d.open("U1")
	d.choose("U1", "web")
	_, seen := d.press("U1", "Retry")
	if len(seen.Ephemerals) != 0 || seen.View != nil {
		t.Errorf("the click shows %+v", seen)
	}
	d.ended()
	page := d.see("U1")
	wantText(t, page, "✅ The failed and canceled jobs of pipeline #12 run again.")
	a := d.only()
	if a.Kind != kovra.ActRetry || a.App != "web" || a.By.ID != "U1" || a.By.Team == "" || !a.Answered {
		t.Errorf("proposed is %+v", a)
	}
	page, _ = d.press("U1", "Builds")
	lacksText(t, page, "✅")
	d.quiet()
}

// TestHomeOfSharedProject acts for the app that is looked at, of two with one project.
func TestHomeOfSharedProject(t *testing.T) {
	d := newHomeDesk(t)
	d.update(func(tx *storage.Tx) error { return tx.SaveApp(kovra.App{Name: "shop", Project: 7}) })
	d.failed()
	d.open("U1")
	d.choose("U1", "shop")
	d.press("U1", "Retry")
	if a := d.only(); a.App != "shop" {
		t.Errorf("it is for %s", a.App)
	}
}

// TestHomeTells what could not be done, in the end or from the beginning.
func TestHomeTells(t *testing.T) {
	d := newHomeDesk(t)
	d.failed()
	d.open("U1")
	d.choose("U1", "web")
	d.ends(kovra.ActionFailed, kovra.Outcome{Kind: kovra.Denied, Reason: "You may not run pipelines on main."})
	d.press("U1", "Retry")
	d.ended()
	wantText(t, d.see("U1"), "❌ Pipeline #12 was not retried. You may not run pipelines on main.")

	old, _ := d.sim.HomeView("U1")
	d.pipeline(kovra.Run{Project: 7, Remote: 12, Status: kovra.Success, CreatedAt: noon, FinishedAt: noon.Add(2 * time.Minute)})
	click := fmt.Sprintf(`{"type":"block_actions","trigger_id":"t1","user":{"id":"U1"},"team":{"id":"T1"},"container":{"type":"view","view_id":%q},
		"view":{"id":%q,"type":"home"},"actions":[{"type":"button","action_id":"retry:1","value":"1:1"}]}`, old.ID, old.ID)
	if _, err := d.handler.Interaction(t.Context(), []byte(click)); err != nil {
		t.Fatal(err)
	}
	page := d.see("U1")
	wantText(t, page, "☝️ Pipeline #12 cannot be retried: it is Success now.")
	lacksText(t, page, "❌ Pipeline")

	for _, unknown := range []string{"nonsense", "home_tab:else", "older"} {
		click := fmt.Sprintf(`{"type":"block_actions","user":{"id":"U1"},"view":{"id":"V","type":"home"},"actions":[{"type":"button","action_id":%q,"value":"x"}]}`, unknown)
		if _, err := d.handler.Interaction(t.Context(), []byte(click)); err != nil {
			t.Fatal(err)
		}
		wantText(t, d.see("U1"), "This button is from an older message")
		d.press("U1", "Pipelines")
	}
	d.quiet()
}

func TestHomeTakenByAnother(t *testing.T) {
	d := newHomeDesk(t)
	run := d.failed()
	d.nobodyWorks()
	d.click("U2", d.card("C1", run).Ref(), "Retry")
	d.open("U1")
	d.choose("U1", "web")
	page, _ := d.press("U1", "Retry")
	wantText(t, page, "was already retried by @u2", "It is on its way.")
	d.only()
}

// TestHomeQuestion deploys: a question, and its answer.
func TestHomeQuestion(t *testing.T) {
	d := newHomeDesk(t)
	d.built(t)
	d.open("U1")
	d.choose("U1", "web")
	page, _ := d.press("U1", "Builds")
	wantText(t, page, "[Deploy]", "[Rebuild]")
	d.ends(kovra.ActionAsks, kovra.Outcome{Target: testTarget, From: "registry.example.com/web:old", Image: "registry.example.com/web:new"})
	d.press("U1", "Deploy")
	d.ended()
	page = d.see("U1")
	wantText(t, page, "❓ Deploy build #1?", "Now: registry.example.com/web:old", "[Yes, deploy it]")
	d.ends(kovra.ActionDone, kovra.Outcome{Target: testTarget})
	d.press("U1", "Yes, deploy it")
	d.ended()
	wantText(t, d.see("U1"), "✅ Build #1 is being rolled out to")
	all := d.actions()
	if len(all) != 2 || !all[1].Params.Sure || all[1].Params.Image != "registry.example.com/web:new" {
		t.Errorf("proposed are %+v", all)
	}
	d.quiet()
}

func TestHomeRollsBack(t *testing.T) {
	d := newHomeDesk(t)
	d.deployment(d.build("web", succeeded).ID)
	d.open("U1")
	d.choose("U1", "web")
	page, _ := d.press("U1", "Builds")
	wantText(t, page, "🚀 Rolled out to prod/web", "[Roll back]")
	d.press("U1", "Roll back")
	if a := d.only(); a.Kind != kovra.ActRollBack || a.Params.Deployment == 0 || a.App != "web" {
		t.Errorf("proposed is %+v", a)
	}
}

// TestHomeFits shows more than Slack takes.
func TestHomeFits(t *testing.T) {
	long := strings.Repeat("<&>", 900)
	v := HomeView{Home: kovra.Home{User: "U1", App: "web", Notice: long}, Apps: []kovra.App{{Name: "web", Project: 7}}}
	v.List = List{App: v.Apps[0], Project: kovra.Project{ID: 7, Path: long, URL: "https://gitlab.example/" + long}, Older: 1}
	for _, n := range []int64{1, HomePage, 60} {
		v.List.Runs = nil
		for i := range n {
			v.List.Runs = append(v.List.Runs, kovra.Run{ID: i + 1, Project: 7, Remote: i + 1, Ref: long, Title: long, SHA: "0123456789abcdef", Status: kovra.Failed, Author: kovra.GitLabUser{Name: long}})
		}
		page := renderHome(v)
		if err := CheckHome(page); err != nil {
			t.Errorf("with %d pipelines: %v", n, err)
		}
		raw, _ := json.Marshal(page)
		if cut := strings.Contains(string(raw), saysTooLong); cut != (n == 60) {
			t.Errorf("with %d pipelines it says that there is more: %v", n, cut)
		}
	}
	v.Apps = nil
	for i := range 300 {
		v.Apps = append(v.Apps, kovra.App{Name: fmt.Sprint("app-", i), Project: 7})
		if i < maxHomeApps {
			v.Rows = append(v.Rows, AppRow{App: v.Apps[i], Project: v.List.Project})
		}
	}
	if err := CheckHome(renderHome(v)); err != nil {
		t.Error(err)
	}
}

// built has a build of web that can be deployed.
func (d *homeDesk) built(t *testing.T) {
	t.Helper()
	d.target(nil)
	d.build("web", succeeded)
}

// TestHomeLeadsToGitLab: who must connect first gets the way there, for which App Home itself has no place.
func TestHomeLeadsToGitLab(t *testing.T) {
	const way = "https://kovra.example/oauth/gitlab/start?t=1"
	for _, button := range []string{"Connect GitLab project", "Settings", "Jobs", "Retry"} {
		t.Run(button, func(t *testing.T) {
			d := newHomeDesk(t)
			d.handler.ConnectURL = func(context.Context, kovra.Person) (string, error) { return way, nil }
			d.failed()
			d.open("UADMIN")
			d.choose("UADMIN", map[bool]string{true: "bare", false: "web"}[button == "Connect GitLab project"])
			if button == "Settings" {
				d.target(nil)
				d.press("UADMIN", "Builds")
			}
			v, _ := d.sim.HomeView("UADMIN")
			d.gate.down = kovra.Errorf(kovra.Unconnected, "Connect your GitLab account first.")
			d.click("UADMIN", v.Ref(), button)
			modal, ok := d.sim.View("UADMIN")
			if !ok {
				t.Fatal("no modal was opened")
			}
			wantText(t, plainly(modal), "connect your GitLab account", labelConnectAccount)
			raw, err := json.Marshal(modal)
			if err != nil || !strings.Contains(string(raw), way) {
				t.Errorf("the way to GitLab is missing: %s, %v", raw, err)
			}
			d.gate.down = nil
			lacksText(t, d.see("UADMIN"), "connect your GitLab account")
			d.quiet()
		})
	}
}

// TestHomeReads opens what there is to read in a modal, and acts in it.
func TestHomeReads(t *testing.T) {
	d := newHomeDesk(t)
	d.failed()
	d.open("U1")
	d.choose("U1", "web")
	_, seen := d.press("U1", "Jobs")
	if seen.View == nil {
		t.Fatal("no modal")
	}
	wantText(t, plainly(*seen.View), "rspec", "[Retry job]", "[Play (asks: Play this job?")
	seen = d.click("U1", seen.View.Ref(), "Retry job")
	if seen.View == nil {
		t.Fatal("the modal is gone")
	}
	wantText(t, plainly(*seen.View), "✅ The job rspec runs again.")
	wantText(t, d.see("U1"), "✅ The job rspec runs again.")

	d.nobodyWorks()
	_, seen = d.press("U1", "Jobs#1")
	seen = d.click("U1", seen.View.Ref(), "Play")
	wantText(t, plainly(*seen.View), "⏳ Starting job deploy")
	wantText(t, d.see("U1"), "⏳ Starting job deploy")
	if a := d.actions()[1]; !a.Answered || a.Job != 103 {
		t.Errorf("App Home has the answer, but it is %+v", a)
	}
	d.press("U1", "Builds")
	_, seen = d.press("U1", "Settings")
	wantText(t, plainly(*seen.View), "Build settings of web")
	d.quiet()
}

// TestHomeForms fills in the forms that are opened there.
func TestHomeForms(t *testing.T) {
	d := newHomeDesk(t)
	d.gitlab.branches = []string{"main"}
	d.gitlab.projects = []kovra.Project{{ID: 70, Path: "group/bare"}}
	d.open("UADMIN")
	d.choose("UADMIN", "web")
	submit := func(button, field, value string) {
		t.Helper()
		_, seen := d.press("UADMIN", button)
		if seen.View == nil {
			t.Fatalf("%s opens nothing", button)
		}
		if value != "" {
			if _, err := d.sim.Choose(t.Context(), "UADMIN", seen.View.Ref(), field, value); err != nil {
				t.Fatal(err)
			}
		}
		seen, err := d.sim.Submit(t.Context(), "UADMIN", seen.View.ID, nil)
		if err != nil || seen.Error != "" || seen.View != nil {
			t.Fatalf("%s: %v, %+v", button, err, seen)
		}
		d.ended()
	}
	submit("Run Pipeline", "", "")
	wantText(t, d.see("UADMIN"), "✅ Pipeline #900 of web on main is started.")
	d.press("UADMIN", "Builds")
	submit("Trigger Build", "", "")
	wantText(t, d.see("UADMIN"), "✅ A build of web on main is on its way.")
	submit("Settings", "", "")
	wantText(t, d.see("UADMIN"), "✅ The build settings of web are saved.")
	d.choose("UADMIN", "bare")
	_, seen := d.press("UADMIN", "Connect GitLab project")
	wantText(t, plainly(*seen.View), "A channel that wants to hear of it types /kovra subscribe bare")
	submit("Connect GitLab project", fieldProject, "70")
	page := d.see("UADMIN")
	wantText(t, page, "✅ bare is linked to", "A channel that wants to hear of it types /kovra subscribe bare")
	lacksText(t, page, "/invite")
	for _, a := range d.actions() {
		if a.Channel != "" || !a.Answered {
			t.Errorf("%s is asked in %q, answered %v", a.Kind, a.Channel, a.Answered)
		}
	}
	d.quiet()
}

// TestHomeFormFails says so in the form, and in App Home.
func TestHomeFormFails(t *testing.T) {
	d := newHomeDesk(t)
	d.open("U1")
	d.choose("U1", "web")
	_, seen := d.press("U1", "Run Pipeline")
	d.ends(kovra.ActionFailed, kovra.Outcome{Kind: kovra.Invalid, Reason: "There is no branch main."})
	seen, err := d.sim.Submit(t.Context(), "U1", seen.View.ID, nil)
	if err != nil || seen.View == nil {
		t.Fatalf("%v, %+v", err, seen)
	}
	wantText(t, plainly(*seen.View), "There is no branch main.")
	wantText(t, d.see("U1"), "There is no branch main.")
	d.press("U1", "Pipelines")
	lacksText(t, d.see("U1"), "There is no branch main.")
}

// TestHomeDenies tells who may not, without a channel to tell it in.
func TestHomeDenies(t *testing.T) {
	d := newHomeDesk(t)
	d.open("U1")
	d.choose("U1", "bare")
	page, seen := d.press("U1", "Connect GitLab project")
	if seen.View != nil {
		t.Error("the form opens")
	}
	wantText(t, page, "🔒 Only administrators of this bot may do that.")
}

// TestHomeWaits asks the person to connect their account, there and nowhere else.
func TestHomeWaits(t *testing.T) {
	d := newHomeDesk(t)
	d.homes.ConnectURL = func(_ context.Context, p kovra.Person) (string, error) {
		return "https://kovra.example/oauth/gitlab/start?who=" + p.ID, nil
	}
	d.failed()
	d.nobodyWorks()
	d.open("U1")
	d.choose("U1", "web")
	d.press("U1", "Retry")
	id := d.only().ID
	d.update(func(tx *storage.Tx) error { return tx.WaitAction(id) })
	wantText(t, d.see("U1"), "🔑 Retry the pipeline?", "connect your GitLab account", "[Connect GitLab account ↗]")
	d.update(func(tx *storage.Tx) error {
		if mine, err := tx.ClaimPrompt(id); mine || err != nil {
			t.Errorf("somebody else asks too: %v", err)
		}
		return tx.FinishAction(id, kovra.ActionDone, kovra.Outcome{})
	})
	wantText(t, d.see("U1"), "✅ The failed and canceled jobs")
}

func TestHomeWithoutBuilds(t *testing.T) {
	d := newHomeDesk(t)
	d.homes.NoBuilds = "no cluster is configured"
	d.built(t)
	d.open("U1")
	d.choose("U1", "web")
	page, _ := d.press("U1", "Builds")
	wantText(t, page, "Builds are off: no cluster is configured.", "Succeeded", "[Settings]")
	lacksText(t, page, "Trigger Build", "Rebuild", "Deploy]")
}

// TestHomeOfMany searches where Slack lists no more.
func TestHomeOfMany(t *testing.T) {
	d := newHomeDesk(t)
	d.update(func(tx *storage.Tx) error {
		var errs []error
		for i := range 120 {
			errs = append(errs, tx.SaveApp(kovra.App{Name: fmt.Sprintf("app-%03d", i)}))
		}
		return errors.Join(errs...)
	})
	wantText(t, d.open("U1"), "123 apps", "and 83 more")
	v, _ := d.sim.HomeView("U1")
	body := d.suggested(v, "APP-11")
	if n := strings.Count(string(body), `"value"`); n != 10 {
		t.Errorf("%d apps are suggested: %s", n, body)
	}
	if body := d.suggested(v, "secret"); strings.Contains(string(body), "secret") {
		t.Errorf("suggested is %s", body)
	}
	wantText(t, d.choose("U1", "app-117"), "app-117 has no GitLab project yet")
}

func (d *homeDesk) suggested(v slacksim.View, typed string) []byte {
	d.t.Helper()
	query, err := json.Marshal(map[string]any{
		"type": "block_suggestion", "action_id": ActionHomeApp, "value": typed, "user": map[string]string{"id": "U1"}, "team": map[string]string{"id": "T1"},
		"view": map[string]string{"id": v.ID, "type": v.Type},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	body, err := d.handler.Interaction(d.t.Context(), query)
	if err != nil {
		d.t.Fatal(err)
	}
	checkInteraction(d.t, body)
	return body
}

// TestHomeGateDown tells what is waited for, once, and then shows the state.
func TestHomeGateDown(t *testing.T) {
	d := newHomeDesk(t)
	d.gate.down = kovra.Errorf(kovra.Unavailable, "Slack does not answer just now.")
	if err := d.sim.OpenHome(t.Context(), "U1"); err != nil {
		t.Fatal(err)
	}
	d.ahead += time.Millisecond // what is shown in the very moment of the opening counts as older
	after, err := d.homes.Reconcile(t.Context(), 1)
	if err != nil || after == 0 {
		t.Fatalf("wait %s, %v", after, err)
	}
	v, _ := d.sim.HomeView("U1")
	wantText(t, plainly(v), "⏳ Slack does not answer just now.")
	d.ahead += after
	if _, err := d.homes.Reconcile(t.Context(), 1); kovra.KindOf(err) != kovra.Unavailable {
		t.Fatalf("the second pass ends with %v", err)
	}
	if n := d.published(); n != 1 {
		t.Errorf("%d calls", n)
	}
	d.gate.down = nil
	wantText(t, d.see("U1"), "3 apps")
}

// TestHomeConflict publishes anew what somebody else has changed.
func TestHomeConflict(t *testing.T) {
	d := newHomeDesk(t)
	d.open("U1")
	d.choose("U1", "web")
	if _, err := deskClient(t, d.sim).PublishHome(t.Context(), "U1", "", fitHome([]slack.Block{section("else")})); err != nil {
		t.Fatal(err)
	}
	d.running(5)
	wantText(t, d.see("U1"), "#5")
	if _, err := deskClient(t, d.sim).PublishHome(t.Context(), "U1", "", fitHome([]slack.Block{section("else")})); err != nil {
		t.Fatal(err)
	}
	wantText(t, d.open("U1"), "#5")
}

// TestHomeRest leaves alone whom nobody looks at, and shows them the state when they come back.
func TestHomeRest(t *testing.T) {
	d := newHomeDesk(t)
	d.open("U1")
	d.choose("U1", "web")
	n := d.published()
	d.running(5)
	d.ahead += storage.Looking
	d.pass()
	if got := d.published(); got != n {
		t.Errorf("%d calls for somebody who has left", got-n)
	}
	d.ahead = 0
	wantText(t, d.open("U1"), "#5")
}

// TestHomeRefused gives up what Slack does not take, until something changes.
func TestHomeRefused(t *testing.T) {
	d := newHomeDesk(t)
	d.update(func(tx *storage.Tx) error { return tx.LookAtHome(kovra.Home{User: "UNOBODY"}) })
	d.pass()
	if n := d.published(); n != 1 {
		t.Errorf("%d calls", n)
	}
}

// TestHomeLimited waits as Slack says.
func TestHomeLimited(t *testing.T) {
	d := newHomeDesk(t)
	d.sim.Fault(slacksim.RateLimit("views.publish", 7*time.Second))
	if err := d.sim.OpenHome(t.Context(), "U1"); err != nil {
		t.Fatal(err)
	}
	_, err := d.homes.Reconcile(t.Context(), 1)
	e, ok := errors.AsType[*kovra.Error](err)
	if !ok || e.RetryAfter() != 7*time.Second {
		t.Fatalf("the pass ends with %v", err)
	}
}
