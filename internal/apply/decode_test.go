package apply

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kovra.dev/chatops/internal/kovra"
)

func decode(t *testing.T, text string) *Document {
	t.Helper()
	d, err := Decode("apps.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return d
}

// problemsOf are the lines of an error, without what begins each of them.
func problemsOf(t *testing.T, err error) (lines []string) {
	t.Helper()
	if p, ok := errors.AsType[*FileError](err); !ok || p.File != "apps.yaml" {
		t.Fatalf("error %v", err)
	}
	for _, line := range strings.Split(err.Error(), "\n")[1:] {
		line = strings.TrimPrefix(line, "apps.yaml")
		lines = append(lines, strings.TrimPrefix(strings.TrimPrefix(line, ", line "), ": "))
	}
	return lines
}

func TestDecode(t *testing.T) {
	got := decode(t, `prune: true
apps:
  web:
    project: https://gitlab.example/group/web
    channels: &told
      "#deploys": [pipelines builds only:failures, tags quiet]
      ops:
      C024BE7LR: "mrs by:@ann"
    builds:
      enabled: true
      branch: release/1.0
      dockerfile: docker/Dockerfile
      context: web
      auto_deploy: true
      arguments: {VERSION: 1.10, DEBUG: true, EMPTY: "", TOKEN: }
      deploy: {namespace: shop, name: web, container: app, allow_managed: true}
      supersede: false
      tags: v*
      paths: [services/web/**, go.mod]
      secrets: npm
      namespace: builds
      service_account: builder
      registry: registry.example.com/shop
  api:
    channels: *told
  bare:
`)
	usual := kovra.Filter{}.Normal()
	channels := func(line, step int) []Channel {
		return []Channel{
			{Name: "#deploys", Line: line, Filters: []kovra.Filter{
				{Only: kovra.OnlyFailures, Broadcast: kovra.BroadcastOn},
				{Topics: []kovra.Topic{kovra.TopicTags}, Broadcast: kovra.BroadcastOn, Quiet: true},
			}},
			{Name: "#ops", Line: line + step, Filters: []kovra.Filter{usual}},
			{Name: "C024BE7LR", Line: line + 2*step, Filters: []kovra.Filter{{
				Topics: []kovra.Topic{kovra.TopicMergeRequests}, By: []string{"ann"}, Broadcast: kovra.BroadcastOn,
			}}},
		}
	}
	want := &Document{File: "apps.yaml", Prune: true, Apps: []App{
		{Name: "api", Line: 24, Channels: channels(6, 1)},
		{Name: "bare", Line: 26},
		{Name: "web", Line: 3, Project: "https://gitlab.example/group/web", Channels: channels(6, 1), Builds: &Builds{Line: 9, Settings: kovra.BuildSettings{
			App: "web", Enabled: true, Branch: "release/1.0", Dockerfile: "docker/Dockerfile", Context: "web", AutoDeploy: true,
			Args:   []kovra.BuildArg{{Key: "VERSION", Value: "1.10"}, {Key: "DEBUG", Value: "true"}, {Key: "EMPTY"}, {Key: "TOKEN"}},
			Target: kovra.DeployTarget{Namespace: "shop", Deployment: "web", Container: "app"}, AllowManaged: true,
			Tags: "v*", Paths: []string{"services/web/**", "go.mod"}, Secrets: []string{"npm"},
			Namespace: "builds", ServiceAccount: "builder", Registry: "registry.example.com/shop",
		}}},
	}}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Document{}, App{}, Channel{}, Builds{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if kept := got.Apps[2].Builds.kept; len(kept) != 1 || kept["TOKEN"] != 15 {
		t.Errorf("kept %v", kept)
	}
}

// TestDecodeProblems: every problem is told, with the line where it is.
func TestDecodeProblems(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"nothing":          {"", []string{"there is nothing in it; expected: a mapping with apps, as `kovra export` writes it"}},
		"a comment":        {"# later\n", []string{"there is nothing in it; expected: a mapping with apps, as `kovra export` writes it"}},
		"no YAML":          {"apps:\n\t- x\n", []string{"line 2: found character that cannot start any token; expected: a mapping with apps, as `kovra export` writes it"}},
		"two documents":    {"apps: {}\n---\napps: {}\n", []string{"there is more after the first document; expected: a mapping with apps, as `kovra export` writes it"}},
		"a list":           {"- apps\n", []string{"1: the file is no mapping of keys to values"}},
		"no apps":          {"prune: true\n", []string{"1: it has no apps; expected: a mapping with apps, as `kovra export` writes it"}},
		"apps are missing": {"apps:\n", []string{"1: apps is no mapping of keys to values"}},
		"all at once": {
			"prun: true\napps:\n  Web:\n  api: [x]\n  web:\n    chanels: {}\n    project: web\n",
			[]string{
				`1: "prun" is no key of the file; expected: one of prune, apps`,
				`3: An app's name has 1 to 40 of a-z, 0-9 and -, and starts with a letter or digit; "Web" does not.`,
				"4: the app api is no mapping of keys to values",
				`6: "chanels" is no key of the app web; expected: one of project, channels, builds`,
				`7: "web" is no GitLab project; expected: its path, as in group/web, its id or its address`,
			},
		},
		"a command's name": {"apps:\n  run:\n", []string{`2: "run" is a command, so no app can be called so.`}},
		"twice":            {"apps:\n  web:\n  api:\n  web:\n", []string{`4: "web" is there twice in apps, first in line 2`}},
		"odd key":          {"apps:\n  ? [a]\n  : {}\n", []string{"2: a key of apps is no plain text"}},
		"prune":            {"prune: yes please\napps: {}\n", []string{`1: prune is "yes please"; expected: true or false`}},
		"project":          {"apps:\n  web: {project: }\n", []string{"2: project has no plain value"}},
		"a comment for a channel": {
			"apps:\n  web:\n    channels:\n      #deploys: pipelines\n",
			[]string{"3: channels of web is empty; a name with # in front needs quotes, or YAML takes it for a comment"},
		},
		"channels": {
			"apps:\n  web:\n    channels:\n      Ops: builds\n      \"#a b\": builds\n      \"#none\": []\n      \"#x\": [builds, {}]\n      \"@ann\":\n",
			[]string{
				`4: "Ops" is no channel; expected: its name, as in "#deploys", or its id, as in C024BE7LR`,
				`5: "#a b" is no channel; expected: its name, as in "#deploys", or its id, as in C024BE7LR`,
				"6: web in #none hears nothing; expected: words as in `pipelines only:failures`, or the channel left out",
				"7: an entry of web in #x has no plain value",
				`8: "@ann" is no channel; expected: its name, as in "#deploys", or its id, as in C024BE7LR`,
			},
		},
		"filters": {
			"apps:\n  web:\n    channels:\n      \"#a\":\n        - pipelines\n        - pipelins\n        - pipelines quiet\n        - only:never\n      b: web builds\n",
			[]string{
				`6: web in #a: I do not understand "pipelins". Did you mean pipelines? Example: /kovra subscribe web pipelines ref:main only:failures`,
				`7: web in #a: "pipelines quiet" selects the same as another subscription of it`,
				`8: web in #a: "only:never" is not known. Write only:failures or only:changes.`,
				`9: web in #b: I do not understand "web". Did you mean ref:main? Example: /kovra subscribe web pipelines ref:main only:failures`,
			},
		},
		"builds": {
			"apps:\n  web:\n    builds:\n      enabled: 1\n      branches: main\n      dockerfile: [a]\n      arguments: [a]\n      deploy:\n        deployment: web\n",
			[]string{
				`4: enabled of web is "1"; expected: true or false`,
				`5: "branches" is no key of builds of web; expected: one of enabled, branch, dockerfile, context, auto_deploy, arguments, deploy, supersede, tags, paths, secrets, namespace, service_account, registry`,
				"6: dockerfile of web has no plain value",
				"7: arguments of web is no mapping of keys to values",
				`9: "deployment" is no key of deploy of web; expected: one of namespace, name, container, allow_managed`,
			},
		},
		"settings": {
			"apps:\n  web:\n    builds:\n      auto_deploy: true\n      branch: a b\n      deploy:\n        container: A\n        name: web\n      arguments:\n        1X: y\n",
			[]string{
				`5: builds of web: "a b" is no name of a branch.`,
				`7: builds of web: "A" is no name of a container: a-z, 0-9 and - alone, no more than 63 characters.`,
				"8: builds of web: A deploy target needs a namespace and a Deployment; the container may be left out where there is only one.",
				`9: builds of web: "1X" is no name of a build argument: letters, digits and _ alone, and no digit first.`,
			},
		},
		"no target": {
			"apps:\n  web:\n    builds: {auto_deploy: true}\n",
			[]string{"3: builds of web: Auto-deploy needs to know the Deployment to update."},
		},
		"used wrongly": {
			"apps:\n  web:\n    channels:\n      \"#a\": &x [pipelins]\n      \"#b\": *x\n",
			[]string{
				`4: web in #a: I do not understand "pipelins". Did you mean pipelines? Example: /kovra subscribe web pipelines ref:main only:failures`,
				`5: web in #b: I do not understand "pipelins". Did you mean pipelines? Example: /kovra subscribe web pipelines ref:main only:failures`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode("apps.yaml", []byte(c.text))
			if diff := cmp.Diff(c.want, problemsOf(t, err)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeBounds(t *testing.T) {
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for want, text := range map[string]string{
		"it is larger than 4 MiB":               strings.Repeat("#", MaxFile+1),
		"there are more than 2000 apps":         "apps:\n" + many(maxApps+1, "  a%d:\n"),
		"web has more than 100 channels":        "apps:\n  web:\n    channels:\n" + many(maxChannels+1, "      c%d:\n"),
		"web in #a has more than 20 subscripti": "apps:\n  web:\n    channels:\n      a:\n" + many(maxFilters+1, "        - ref:r%d\n"),
	} {
		_, err := Decode("apps.yaml", []byte(text))
		if lines := problemsOf(t, err); len(lines) != 1 || !strings.Contains(lines[0], want) {
			t.Errorf("problems %q, want one with %q", lines, want)
		}
	}
}

// everything is a world in which all names stand for something.
type everything struct{}

func (everything) Channels(context.Context) (map[string]string, error) {
	return map[string]string{"C1": "deploys", "C2": "web-team"}, nil
}

func (everything) Project(_ context.Context, name string) (kovra.Project, error) {
	return kovra.Project{ID: int64(len(name)), Path: name}, nil
}

// TestDocs reads the example of the operator's page.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## Apps as code\n")
	section, _, _ = strings.Cut(section, "\n## ")
	example := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(section)
	if !found || example == nil {
		t.Fatal("the page has no example")
	}
	d := decode(t, example[1])
	if _, err := Prepare(t.Context(), d, State{}, everything{}, Options{}); err != nil || len(d.Apps) < 2 {
		t.Errorf("%d apps, %v", len(d.Apps), err)
	}
	for _, key := range []string{
		"prune", "project", "channels", "enabled", "branch", "dockerfile", "context", "auto_deploy", "arguments", "deploy", "container",
		"allow_managed", "supersede", "tags", "paths", "secrets", "namespace", "service_account", "registry",
	} {
		if !regexp.MustCompile(`(?m)^[ #]*[{ ]?` + key + `:|[{,] ` + key + `:|\{` + key + `:`).MatchString(example[1]) {
			t.Errorf("the example does not show %s", key)
		}
	}
}
