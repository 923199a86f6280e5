package bot

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

// openForm clicks a button of the private list of builds and returns the form.
func (d *desk) openForm(user, button string) slacksim.View {
	d.t.Helper()
	seen := d.click(user, d.answer(user, "C1", "/build").Ref(), button)
	if seen.View == nil {
		d.t.Fatalf("no form was opened: %s", seen.Text())
	}
	return *seen.View
}

func TestTriggerForm(t *testing.T) {
	d := newDesk(t)
	d.gitlab.branches = []string{"main", "dev"}
	v := d.openForm("U1", "Trigger Build")
	wantText(t, slacksim.ViewText(v), "== Trigger Build ==", "Branch or tag: [▾ main]", "(Build)")
	wantText(t, d.submit("U1", v, map[string]string{"ref": "dev"}).Text(), "✅")
	a := d.only()
	if a.Kind != kovra.ActBuild || a.App != "web" || a.Params.Ref != "dev" || a.Channel != "C1" || !strings.HasPrefix(a.Lock, "view/"+v.ID) {
		t.Errorf("proposed %+v", a)
	}
}

func TestTriggerFormBeginsWithTheBranchSetting(t *testing.T) {
	d := newDesk(t)
	d.target(func(s *kovra.BuildSettings) { s.Branch = "release" })
	wantText(t, slacksim.ViewText(d.openForm("U1", "Trigger Build")), "[▾ release]")
	card := d.buildThread("C1", d.build("web", func(b *kovra.Build) { b.Spec.Branch = "dev" }).ID)[kovra.SlotCard]
	wantText(t, slacksim.ViewText(*d.click("U1", card.Ref(), "Trigger Build").View), "[▾ dev]")
}

func TestTriggerFormErrors(t *testing.T) {
	d := newDesk(t)
	d.ends(kovra.ActionFailed, kovra.Outcome{Kind: kovra.NotFound, Reason: "There is no branch main."})
	v := d.openForm("U1", "Trigger Build")
	if seen := d.submit("U1", v, nil); seen.Errors["ref"] != "There is no branch main." {
		t.Errorf("got %+v", seen)
	}
	d.gate.hidden = []string{"web"}
	if seen := d.submit("U1", v, nil); seen.View == nil || !strings.Contains(string(seen.View.Blocks), "no such thing here") {
		t.Errorf("got %+v", seen)
	}
}

const wantSettingsForm = `== Build settings ==
web
  Nobody has changed them yet.
Enable builds: ( ) On  (•) Off
  Each push to the branch starts a build.
Branch: [_ main]
Dockerfile path (optional): [_ auto-detected…]
Auto-deploy: ( ) On  (•) Off
  A successful build of a push goes into the Deployment below.
Build arguments (optional): [_ KEY=VALUE…]
  One KEY=VALUE a line, given to the build as ARG values. They stay readable in the image: no secrets here.
---
Deployment to update
Namespace (optional): [_ production…]
Deployment (optional): [_ web…]
Container (optional): [_ app…]
  Empty: the only one.
Allow managed Deployments: ( ) On  (•) Off
  On: also where Argo CD, Flux or Helm own the Deployment.
---
What is built
Supersede pending builds: (•) On  ( ) Off
  A newer push cancels a build of the branch that has not begun.
Build tags matching (optional): [_ v*…]
  A pattern, as in v*. Empty: tags are not built.
Context directory (optional): [_ root of the repository…]
Only when these paths change (optional): [_ services/web/**…]
  One pattern a line, as in services/web/**. Empty: every push is built.
Build secrets (optional): [_ npm-token…]
  Names of Kubernetes Secrets, one a line. They are mounted while it builds, and stay out of the image.
---
Where it is built
Build namespace (optional): [_ default…]
Service account (optional): [_ default…]
Registry (optional): [_ default…]
(Close) (Save)`

// The defaults are those of PRODUCT.md, its five settings first.
func TestSettingsFormDefaults(t *testing.T) {
	d := newDesk(t)
	v := d.openForm("UADMIN", "Settings")
	if diff := cmp.Diff(wantSettingsForm, slacksim.ViewText(v)); diff != "" {
		t.Errorf("form (-want +got):\n%s", diff)
	}
	d.submit("UADMIN", v, nil)
	want := kovra.DefaultBuildSettings("")
	if diff := cmp.Diff(want, *d.only().Params.Settings); diff != "" {
		t.Errorf("settings that nobody touched (-want +got):\n%s", diff)
	}
}

// fullSettings has a value everywhere.
func fullSettings() kovra.BuildSettings {
	return kovra.BuildSettings{
		App: "web", Enabled: true, Branch: "release", Dockerfile: "docker/Dockerfile", AutoDeploy: true,
		Args:   []kovra.BuildArg{{Key: "A", Value: "1"}, {Key: "B", Value: " “x y” "}, {Key: "C", Value: `"q"`}},
		Target: testTarget, AllowManaged: true, Tags: "v*", Context: "services/web", Paths: []string{"services/web/**", "go.mod"}, Secrets: []string{"npm-token", "pip"},
		Namespace: "team-a", ServiceAccount: "builder", Registry: "registry.example.com/a",
		Paused: true, PausedBy: kovra.Person{ID: "U2"}, ChangedBy: kovra.Person{ID: "U1"}, ChangedAt: time.Date(2026, 3, 2, 10, 0, 0, 123456789, time.UTC),
	}
}

// Who opens the form and saves it changes nothing, and what is kept beside it stays.
func TestSettingsFormShowsWhatIsSet(t *testing.T) {
	d := newDesk(t)
	want := fullSettings()
	d.update(func(tx *storage.Tx) error { return tx.SaveBuildSettings(want, "") })
	seen := d.slash("UADMIN", "C1", "/build settings")
	if seen.View == nil {
		t.Fatalf("no form was opened: %s", seen.Text())
	}
	v := *seen.View
	wantText(t, slacksim.ViewText(v), "last changed by @u1", "paused since a roll back by @u2", "[_ services/web/** ⏎ go.mod]", "[_ A=1 ⏎ ", "(•) On  ( ) Off")
	d.submit("UADMIN", v, nil)
	want.App = "" // the action names it
	if diff := cmp.Diff(want, *d.only().Params.Settings); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestSettingsFormChanges(t *testing.T) {
	d := newDesk(t)
	d.ends(kovra.ActionDone, kovra.Outcome{Changes: "Enable builds: off → on\nBuild arguments: API_TOKEN added", Reason: "API_TOKEN looks like a secret."})
	v := d.openForm("UADMIN", "Settings")
	seen := d.submit("UADMIN", v, map[string]string{
		"enabled": "on", "branch": " trunk ", "dockerfile": "build/Dockerfile", "auto_deploy": "on", "args": "API_TOKEN=hunter2\nB=“a b”\n",
		"target_namespace": "prod", "deployment": "web", "supersede": "off", "paths": "a/**\n\n b ", "secrets": "npm",
	})
	text := seen.Text()
	wantText(t, text, "The build settings of web are changed", "Enable builds: off → on", "API_TOKEN looks like a secret")
	if strings.Contains(text, "hunter2") {
		t.Errorf("the value of an argument is told: %s", text)
	}
	a := d.only()
	want := kovra.DefaultBuildSettings("")
	want.Enabled, want.Branch, want.Dockerfile, want.AutoDeploy, want.Supersede = true, "trunk", "build/Dockerfile", true, false
	want.Args = []kovra.BuildArg{{Key: "API_TOKEN", Value: "hunter2"}, {Key: "B", Value: "a b"}}
	want.Target = kovra.DeployTarget{Namespace: "prod", Deployment: "web"}
	want.Paths, want.Secrets = []string{"a/**", "b"}, []string{"npm"}
	if diff := cmp.Diff(want, *a.Params.Settings); diff != "" || a.Kind != kovra.ActBuildSetting || a.App != "web" {
		t.Errorf("proposed %+v, settings (-want +got):\n%s", a, diff)
	}
}

func TestSettingsFormErrors(t *testing.T) {
	d := newDesk(t)
	v := d.openForm("UADMIN", "Settings")
	seen := d.submit("UADMIN", v, map[string]string{
		"branch": "a b", "dockerfile": "../Dockerfile", "auto_deploy": "on", "args": "1A=x", "tags": "[", "secrets": "No Secret", "registry": "https://x",
		"build_namespace": "N",
	})
	for field, want := range map[string]string{
		"branch": "no name of a branch", "dockerfile": "inside the repository", "auto_deploy": "needs to know the Deployment", "args": "no name of a build argument",
		"tags": "no pattern", "secrets": "no name of a Secret", "registry": "no image prefix", "build_namespace": "no name of a",
	} {
		if !strings.Contains(seen.Errors[field], want) {
			t.Errorf("%s: got %q, want it to hold %q", field, seen.Errors[field], want)
		}
	}
	if seen = d.submit("UADMIN", v, map[string]string{"container": "x_y"}); seen.Errors["container"] == "" || !strings.Contains(seen.Errors["deployment"], "needs a namespace") {
		t.Errorf("got %+v", seen.Errors)
	}
	if seen = d.submit("UADMIN", v, map[string]string{"args": "no pair"}); !strings.Contains(seen.Errors["args"], "has no =") {
		t.Errorf("got %+v", seen.Errors)
	}
	d.none()
}

// Somebody else was faster: dispatch refuses, and the form says so.
func TestSettingsFormConflict(t *testing.T) {
	d := newDesk(t)
	d.target(nil)
	v := d.openForm("UADMIN", "Settings")
	d.target(func(s *kovra.BuildSettings) { s.ChangedAt = noon.Add(time.Second) })
	d.ends(kovra.ActionFailed, kovra.Outcome{Kind: kovra.Conflict, Reason: "Somebody has changed them meanwhile. Open the form again."})
	seen := d.submit("UADMIN", v, nil)
	if !strings.Contains(seen.Errors["enabled"], "changed them meanwhile") {
		t.Errorf("got %+v", seen)
	}
	if got := d.only().Params.Settings.ChangedAt; !got.Equal(noon) {
		t.Errorf("changed at %v, want the time of what was shown, %v", got, noon)
	}
}

// What is too long for a field of Slack's is left out of the form, and stays.
func TestSettingsFormLeavesOutWhatIsTooLong(t *testing.T) {
	d := newDesk(t)
	var paths []string
	for i := range 20 {
		paths = append(paths, fmt.Sprint(strings.Repeat("x", 200), i))
	}
	d.target(func(s *kovra.BuildSettings) { s.Paths = paths })
	v := d.openForm("UADMIN", "Settings")
	wantText(t, slacksim.ViewText(v), "Only when these paths change: too long to be changed here")
	d.submit("UADMIN", v, map[string]string{"branch": "dev"})
	if s := d.only().Params.Settings; len(s.Paths) != 20 || s.Branch != "dev" {
		t.Errorf("got %+v", s)
	}
}

func TestSettingsAreTextForOthers(t *testing.T) {
	d := newDesk(t)
	d.update(func(tx *storage.Tx) error { return tx.SaveBuildSettings(fullSettings(), "") })
	seen := d.click("U1", d.answer("U1", "C1", "/build").Ref(), "Settings")
	wantText(t, seen.Text(), "Build settings of web", "`A`, `B`, `C`", "Only those who may administer web")
	if seen.View != nil || strings.Contains(seen.Text(), "x y") {
		t.Errorf("got %s", seen.Text())
	}
	d.gate.down = kovra.Errorf(kovra.Unavailable, "Slack could not be asked.")
	wantText(t, slacksim.Text(d.answer("UADMIN", "C1", "/build settings")), "Slack could not be asked")
	d.none()
}

// Whatever is typed, the form keeps Slack's limits: each answer is checked on its way.
func TestHostileSettings(t *testing.T) {
	d := newDesk(t)
	for _, text := range hostile {
		v := d.openForm("UADMIN", "Settings")
		values := map[string]string{}
		for _, f := range []string{"branch", "dockerfile", "target_namespace", "deployment", "container", "tags", "context", "build_namespace", "service_account", "registry", "paths", "secrets"} {
			values[f] = text
		}
		values["args"] = "A=" + text
		d.submit("UADMIN", v, values)
	}
}

func TestOddSettingsForms(t *testing.T) {
	d := newDesk(t)
	for name, payload := range map[string]string{
		"nothing in it": `{"type":"view_submission","view":{"id":"V1","callback_id":"settings","private_metadata":"{\"app\":\"web\"}"}}`,
		"odd switch":    `{"type":"view_submission","view":{"id":"V1","callback_id":"settings","private_metadata":"{\"app\":\"web\"}","state":{"values":{"enabled":{"enabled":{"selected_option":{"value":"maybe"}}}}}}}`,
		"no project":    `{"type":"view_submission","view":{"id":"V1","callback_id":"settings","private_metadata":"{\"app\":\"bare\"}","state":{"values":{"enabled":{"enabled":{"selected_option":{"value":"on"}}}}}}}`,
		"no branch":     `{"type":"view_submission","view":{"id":"V1","callback_id":"trigger","private_metadata":"{\"app\":\"web\"}"}}`,
	} {
		body, err := d.handler.Interaction(t.Context(), []byte(payload))
		if err != nil || !strings.Contains(string(body), `"response_action"`) {
			t.Errorf("%s: got %q, %v", name, body, err)
		}
	}
	d.none()
}
