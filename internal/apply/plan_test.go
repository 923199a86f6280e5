package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
)

// peers are a Slack with the channels #deploys, #ops and twice #twin, and a GitLab with the projects of group/.
type peers struct {
	asked    []string
	slack    error
	gitlab   error
	refusals map[string]error
}

func (p *peers) Channels(context.Context) (map[string]string, error) {
	p.asked = append(p.asked, "channels")
	return map[string]string{"C1": "deploys", "C2": "ops", "C3": "twin", "C4": "twin"}, p.slack
}

func (p *peers) Project(_ context.Context, name string) (kovra.Project, error) {
	if p.gitlab != nil {
		return kovra.Project{}, p.gitlab
	}
	if err := p.refusals[name]; err != nil {
		return kovra.Project{}, err
	}
	path := strings.TrimPrefix(name, "https://gitlab.example/")
	id := int64(1000)
	for _, r := range strings.ToLower(path) {
		id = id*31 + int64(r)
	}
	return kovra.Project{ID: id, Path: path}, nil
}

// past is when the settings of the state below were changed.
var past = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// stateOf is a state: web and api are linked and told in #deploys, bare is neither.
func stateOf() State {
	filter := func(only kovra.Only, topics ...kovra.Topic) kovra.Filter {
		return kovra.Filter{Only: only, Topics: topics}.Normal()
	}
	set := kovra.DefaultBuildSettings("web")
	set.Enabled, set.ChangedAt, set.Paused = true, past, true
	set.Args = []kovra.BuildArg{{Key: "NPM_TOKEN", Value: "glpat-s3cret"}, {Key: "A", Value: "1"}}
	return State{
		Apps:     []kovra.App{{Name: "api", Project: 8}, {Name: "bare"}, {Name: "web", Project: 7}},
		Projects: map[int64]kovra.Project{7: {ID: 7, Path: "Group/web"}, 8: {ID: 8, Path: "group/api"}},
		Subscriptions: map[string][]kovra.Subscription{
			"api": {{ID: 1, App: "api", Channel: "C1", Filter: filter("")}},
			"web": {
				{ID: 2, App: "web", Channel: "C1", Filter: filter(kovra.OnlyFailures)},
				{ID: 3, App: "web", Channel: "C1", Filter: filter("", kovra.TopicTags)},
				{ID: 4, App: "web", Channel: "C2", Filter: filter("")},
			},
		},
		Settings: map[string]kovra.BuildSettings{"web": set, "api": kovra.DefaultBuildSettings("api"), "bare": kovra.DefaultBuildSettings("bare")},
	}
}

func prepare(t *testing.T, text string, o Options) Plan {
	t.Helper()
	plan, err := Prepare(t.Context(), decode(t, text), stateOf(), &peers{}, o)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return plan
}

// steps are the actions of a plan in short.
func steps(p Plan) (out []string) {
	for _, s := range p.Steps() {
		a := s.Action
		words := []string{string(s.Sign), string(a.Kind), a.App, a.Channel, a.Params.Project, a.Params.Filter.String()}
		if a.Params.Subscription != 0 {
			words = append(words, fmt.Sprintf("#%d", a.Params.Subscription))
		}
		if a.Params.Sure {
			words = append(words, "sure")
		}
		out = append(out, strings.Join(strings.Fields(strings.Join(words, " ")), " "))
	}
	return out
}

func TestPlan(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		prune bool
		want  []string
	}{
		"nothing is said":       {"apps: {}", false, nil},
		"of an app":             {"apps:\n  web:\n  bare: {}", false, nil},
		"all is so":             {"apps:\n  api: {project: group/api, channels: {\"#deploys\": pipelines builds}}", false, nil},
		"a new app":             {"apps:\n  new:", false, []string{"+ create_app new"}},
		"a new app, linked":     {"apps:\n  new: {project: https://gitlab.example/group/new}", false, []string{"+ link new group/new"}},
		"linked at last":        {"apps:\n  bare: {project: group/bare}", false, []string{"+ link bare group/bare"}},
		"linked by its id":      {"apps:\n  web: {project: 7}", false, nil},
		"in small letters":      {"apps:\n  web: {project: group/web}", false, nil},
		"two apps, one project": {"apps:\n  bare: {project: group/API}", false, []string{"+ link bare group/api"}},
		"a new channel":         {"apps:\n  api: {channels: {ops: }}", false, []string{"+ subscribe api C2"}},
		"told by id":            {"apps:\n  api: {channels: {C1: }}", false, nil},
		"told louder":           {"apps:\n  api: {channels: {C1: broadcast:all}}", false, []string{"~ subscribe api C1 broadcast:all"}},
		"told of more":          {"apps:\n  api: {channels: {C1: [pipelines builds, tags]}}", false, []string{"+ subscribe api C1 tags"}},
		"told of something else": {
			"apps:\n  api: {project: 8, channels: {C1: tags}}", true,
			[]string{"+ subscribe api C1 tags", "- unsubscribe api C1 #1", "- delete_app bare sure", "- delete_app web sure"},
		},
		"pruned in the file": {
			"prune: true\napps:\n  web: {project: group/web, channels: {deploys: only:failures}, builds: {enabled: true, arguments: {NPM_TOKEN: , A: 1}}}\n  api:\n  bare:", false,
			// Whatever may take a hook away comes last.
			[]string{"- unsubscribe web C1 #3", "- unsubscribe web C2 #4", "- unlink api", "- unsubscribe api C1 #1"},
		},
		"moved, after what stays": {
			"apps:\n  api: {project: group/web, channels: {ops: }}\n  web: {channels: {ops: quiet}}\n  zoo: {project: group/api}", false,
			[]string{"~ subscribe web C2 quiet", "+ link zoo group/api", "~ link api Group/web sure", "+ subscribe api C2"},
		},
		"settings":               {"apps:\n  api: {builds: {branch: release}}", false, []string{"~ build_setting api"}},
		"settings of a new app":  {"apps:\n  new: {builds: {branch: release}}", false, []string{"+ create_app new", "~ build_setting new"}},
		"settings are so":        {"apps:\n  web: {builds: {enabled: true, arguments: {A: 1, NPM_TOKEN: }}}", false, nil},
		"settings are defaults":  {"apps:\n  api: {builds: {}}", false, nil},
		"settings that are gone": {"apps:\n  web: {builds: {enabled: true}}", false, []string{"~ build_setting web"}},
	} {
		t.Run(name, func(t *testing.T) {
			plan := prepare(t, c.text, Options{Prune: c.prune})
			if diff := cmp.Diff(c.want, steps(plan)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestPausedIsResumed: a channel that Slack refused is tried again, and the plan says why.
func TestPausedIsResumed(t *testing.T) {
	state := stateOf()
	state.Subscriptions["api"][0].Paused = "the channel is archived"
	const text = "apps:\n  api: {project: group/api, channels: {\"#deploys\": pipelines builds}}"
	plan, err := Prepare(t.Context(), decode(t, text), state, &peers{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := plan.Print(&out); err != nil || !strings.Contains(out.String(), "paused, because the channel is archived → resumed") {
		t.Errorf("%v:\n%s", err, out.String())
	}
	if diff := cmp.Diff([]string{"~ subscribe api C1"}, steps(plan)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSettingsOfPlan: what a roll back paused stays, arguments without a value keep theirs, and who changed something meanwhile is
// noticed by dispatch.
func TestSettingsOfPlan(t *testing.T) {
	plan := prepare(t, "apps:\n  web: {builds: {branch: release, arguments: {NPM_TOKEN: , B: 2}}}", Options{})
	got := plan.Steps()[0].Action.Params.Settings
	want := kovra.DefaultBuildSettings("web")
	want.Branch, want.Paused, want.ChangedAt = "release", true, past
	want.Args = []kovra.BuildArg{{Key: "NPM_TOKEN", Value: "glpat-s3cret"}, {Key: "B", Value: "2"}}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var out strings.Builder
	if err := plan.Print(&out); err != nil || strings.Contains(out.String(), "glpat") {
		t.Errorf("printed, %v:\n%s", err, out.String())
	}
}

func TestPrint(t *testing.T) {
	text := `
apps:
  api:
    project: group/web
    channels: {C1: only:failures, "#ops": tags}
  new: {project: group/new, channels: {"#ops": mrs "ref:a b"}, builds: {branch: release, arguments: {API_TOKEN: x}}}
  web: {channels: {deploys: only:failures quiet}}
`
	var got strings.Builder
	for _, prune := range []bool{false, true} {
		if err := prepare(t, text, Options{Prune: prune}).Print(&got); err != nil {
			t.Fatal(err)
		}
		got.WriteString("---\n")
	}
	if err := prepare(t, "apps: {web: , api: , bare: }", Options{}).Print(&got); err != nil {
		t.Fatal(err)
	}
	want := strings.TrimLeft(`
  api
~   project   group/api → Group/web
+   #deploys  pipelines builds only:failures
+   #ops      tags
+ new
+   project  group/new
+   #ops     merge_requests "ref:a b"
~   builds   Branch: main → release
             Build argument API_TOKEN: added
             API_TOKEN looks like a secret. Build arguments stay readable in the image's history; use build secrets instead.
  web
~   #deploys  pipelines builds only:failures → pipelines builds only:failures quiet

4 to add, 3 to change, 0 to remove.
Not in the file, and left alone: 1 app, 3 subscriptions of apps in it (--prune removes them).
---
  api
~   project   group/api → Group/web
+   #deploys  pipelines builds only:failures
+   #ops      tags
-   #deploys  pipelines builds
- bare
+ new
+   project  group/new
+   #ops     merge_requests "ref:a b"
~   builds   Branch: main → release
             Build argument API_TOKEN: added
             API_TOKEN looks like a secret. Build arguments stay readable in the image's history; use build secrets instead.
  web
-   project   Group/web
~   #deploys  pipelines builds only:failures → pipelines builds only:failures quiet
-   #deploys  tags
-   #ops      pipelines builds
~   builds    Automatic builds: on → off
              Build argument NPM_TOKEN: removed
              Build argument A: removed

4 to add, 4 to change, 5 to remove.
---
Nothing to do.
Not in the file, and left alone: 4 subscriptions of apps in it (--prune removes them).
`, "\n")
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPrepareProblems: what is wrong with names and what the state makes impossible is told together.
func TestPrepareProblems(t *testing.T) {
	text := `apps:
  api:
    project: group/none
    channels:
      "#nowhere": tags
      "#twin":
      "#ops":
      C2: tags
    builds: {arguments: {NEW_TOKEN: }}
  web:
    project: group/hidden
    builds: {branch: release}
`
	p := &peers{refusals: map[string]error{
		"group/none":   kovra.Errorf(kovra.NotFound, "GitLab knows no project group/none."),
		"group/hidden": kovra.Errorf(kovra.Denied, "GitLab does not let the bot read group/hidden."),
	}}
	_, err := Prepare(t.Context(), decode(t, text), stateOf(), p, Options{NoBuilds: "there is no cluster"})
	want := []string{
		"3: api: GitLab knows no project group/none.",
		"5: there is no channel #nowhere that the bot can see; invite it there if the channel is private, or write the channel's id",
		"6: there are 2 channels #twin (C3, C4); write the id of the one that is meant",
		"8: C2 is the same channel as #ops",
		"9: the argument NEW_TOKEN of api has no value, and none is known yet",
		"9: builds of api cannot be set: builds are off, because there is no cluster",
		"11: web: GitLab does not let the bot read group/hidden.",
		"12: builds of web cannot be set: builds are off, because there is no cluster",
	}
	if diff := cmp.Diff(want, problemsOf(t, err)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(err.Error(), "nothing was done; 8 problems with the file:\n") {
		t.Errorf("error %v", err)
	}
}

// TestPeersThatCannotBeAsked are no problem of the file.
// Whatever stands in a file, a name or an answer of GitLab: what is printed moves no cursor, and is read in the order in which it
// is written.
func TestHostileTexts(t *testing.T) {
	const bad = "\x1b[2J\u202e\u2066\n"
	refused := kovra.Errorf(kovra.NotFound, "There is no such project: %s", bad)
	_, err := Prepare(t.Context(), decode(t, `{apps: {web: {project: group/none, channels: {"#\e[2k\u202E": null}}}}`), stateOf(),
		&peers{refusals: map[string]error{"group/none": refused}}, Options{})
	plan := prepare(t, `{apps: {web: {channels: {C1: "pipelines ref:\e[2J\u202E"}}}}`, Options{})
	var printed strings.Builder
	if err := plan.Print(&printed); err != nil {
		t.Fatal(err)
	}
	texts := []string{printed.String(), err.Error()}
	for _, s := range plan.Steps() {
		texts = append(texts, s.Title)
	}
	if len(texts) < 3 {
		t.Fatal("nothing is planned")
	}
	for _, text := range texts {
		if strings.ContainsAny(text, "\x1b\u202e\u2066") {
			t.Errorf("%q", text)
		}
	}
	if got := len(strings.Split(err.Error(), "\n")); got != 3 {
		t.Errorf("%d lines: %q", got, err)
	}
}

func TestPeersThatCannotBeAsked(t *testing.T) {
	down := kovra.Errorf(kovra.Unavailable, "down")
	token := &kovra.Error{Kind: kovra.Denied, Public: "the token", Err: kovra.ErrToken}
	for name, p := range map[string]*peers{"Slack": {slack: down}, "GitLab": {gitlab: down}, "a token": {gitlab: token}} {
		_, err := Prepare(t.Context(), decode(t, "apps:\n  new: {project: group/new, channels: {ops: }}"), stateOf(), p, Options{})
		if _, wrong := errors.AsType[*FileError](err); wrong || !errors.Is(err, down) && !errors.Is(err, kovra.ErrToken) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestNobodyIsAsked where the file has ids, and projects that are linked.
func TestNobodyIsAsked(t *testing.T) {
	p := &peers{gitlab: errors.New("asked")}
	_, err := Prepare(t.Context(), decode(t, "apps:\n  web: {project: group/web, channels: {C1: }}\n  new: {project: group/api}"), stateOf(), p, Options{})
	if err != nil || len(p.asked) > 0 {
		t.Errorf("asked for %q, %v", p.asked, err)
	}
}

func TestExport(t *testing.T) {
	now := stateOf()
	now.Apps = append(now.Apps, kovra.App{Name: "zoo"})
	now.Subscriptions["bare"] = []kovra.Subscription{
		{ID: 9, App: "bare", Channel: "C3", Filter: kovra.Filter{}.Normal()},
		{ID: 10, App: "bare", Channel: "C9", Filter: kovra.Filter{Refs: []string{"a b"}}.Normal()},
	}
	now.Settings["zoo"] = kovra.BuildSettings{
		App: "zoo", Branch: "true", Dockerfile: "d/Dockerfile", Context: "123", AutoDeploy: true, Tags: "v*", Paths: []string{"b", "a"}, Secrets: []string{"s"},
		Target: kovra.DeployTarget{Namespace: "n", Deployment: "d", Container: "c"}, AllowManaged: true,
		Args:      []kovra.BuildArg{{Key: "Z", Value: "null"}, {Key: "PASSWORD", Value: "hunter2"}, {Key: "A", Value: "# no comment"}},
		Namespace: "ns", ServiceAccount: "sa", Registry: "r.example/x", Paused: true,
	}
	names := map[string]string{"C1": "deploys", "C2": "ops", "C3": "twin", "C4": "twin"}
	got, err := Export(now, names)
	if err != nil {
		t.Fatal(err)
	}
	want := `apps:
  api:
    project: group/api
    channels:
      '#deploys': pipelines builds
  bare:
    channels:
      C3: pipelines builds
      C9: pipelines builds "ref:a b"
  web:
    project: Group/web
    channels:
      '#deploys':
        - pipelines builds only:failures
        - tags
      '#ops': pipelines builds
    builds:
      enabled: true
      arguments:
        A: "1"
        NPM_TOKEN: # its value is not written down; without one it stays what it is
  zoo:
    builds:
      branch: "true"
      dockerfile: d/Dockerfile
      context: "123"
      arguments:
        A: '# no comment'
        PASSWORD: # its value is not written down; without one it stays what it is
        Z: "null"
      deploy:
        namespace: n
        name: d
        container: c
        allow_managed: true
      auto_deploy: true
      supersede: false
      tags: v*
      paths:
        - b
        - a
      secrets: s
      namespace: ns
      service_account: sa
      registry: r.example/x
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, names := range []map[string]string{names, nil} {
		text, err := Export(now, names)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := Prepare(t.Context(), decode(t, string(text)), now, &peers{}, Options{Prune: true})
		if err != nil || len(plan.Steps()) > 0 {
			t.Errorf("applied at once it does %q, %v\n%s", steps(plan), err, text)
		}
	}
}

// TestHundreds: teams have hundreds of apps; the plan is made in no time, and again after it has been applied there is nothing to do.
func TestHundreds(t *testing.T) {
	const many = 500
	var text strings.Builder
	text.WriteString("apps:\n")
	now := State{Projects: map[int64]kovra.Project{}, Subscriptions: map[string][]kovra.Subscription{}, Settings: map[string]kovra.BuildSettings{}}
	for i := range many {
		fmt.Fprintf(&text, "  app-%03d:\n    project: group/app-%d\n    channels: {\"#deploys\": only:failures, \"#ops\": [tags, releases]}\n    builds: {enabled: true}\n", i, i)
	}
	began := time.Now()
	p := &peers{}
	d := decode(t, text.String())
	plan, err := Prepare(t.Context(), d, now, p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the plan took %v", took)
	}
	if got := len(plan.Steps()); got != 5*many {
		t.Errorf("%d actions, want %d", got, 5*many)
	}
	if n := len(p.asked); n != 1 {
		t.Errorf("Slack was asked %d times", n)
	}
	for i, s := range plan.Steps() {
		playStep(&now, int64(i+1), s.Action, d)
	}
	again, err := Prepare(t.Context(), decode(t, text.String()), now, p, Options{Prune: true})
	if err != nil || len(again.Steps()) > 0 {
		t.Errorf("applied, it does %d more, %v", len(again.Steps()), err)
	}
}

// playStep does to a state what the server would do.
func playStep(s *State, id int64, a kovra.Action, d *Document) {
	switch a.Kind {
	case kovra.ActLink:
		i := slices.IndexFunc(d.Apps, func(o App) bool { return o.Name == a.App })
		p := d.Apps[i].project
		s.Projects[p.ID] = p
		s.Apps = append(s.Apps, kovra.App{Name: a.App, Project: p.ID})
	case kovra.ActSubscribe:
		s.Subscriptions[a.App] = append(s.Subscriptions[a.App], kovra.Subscription{ID: id, App: a.App, Channel: a.Channel, Filter: a.Params.Filter})
	case kovra.ActBuildSetting:
		s.Settings[a.App] = *a.Params.Settings
	default:
	}
}

// FuzzDecode: whatever a file holds, it is read or refused, and what is read can be compared with a state.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"apps: {web: {project: group/web, channels: {C1: [a, b]}, builds: {arguments: {A: }}}}", "apps: &a {web: *a}", "? {}\n: x", "apps: {web: {builds: {deploy: {}}}}",
		"apps:\n  a: &x {channels: {\"#ops\": [tags]}}\n  b: *x\n", "prune: !!bool x\napps: !!map {}", "apps: {web: !!null x}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Decode("apps.yaml", []byte(text))
		if err != nil {
			if _, ok := errors.AsType[*FileError](err); !ok || err.Error() == "" {
				t.Errorf("error %v", err)
			}
			return
		}
		plan, err := Prepare(t.Context(), d, stateOf(), &peers{}, Options{Prune: true})
		if err != nil {
			return
		}
		if err := plan.Print(&strings.Builder{}); err != nil {
			t.Error(err)
		}
	})
}
