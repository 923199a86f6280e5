package kovra

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDefaultBuildSettings(t *testing.T) {
	s := DefaultBuildSettings("web")
	if s.Enabled || s.Branch != "main" || s.Dockerfile != "" || s.AutoDeploy || len(s.Args) != 0 || !s.Supersede || s.Tags != "" {
		t.Errorf("got %+v", s)
	}
	if p := s.Check(); len(p) != 0 {
		t.Errorf("problems %+v", p)
	}
}

// TestCheckSettings: a change of good settings, and the fields that it spoils.
func TestCheckSettings(t *testing.T) {
	long := strings.Repeat("a", 256)
	manyArgs := make([]BuildArg, 51)
	for i := range manyArgs {
		manyArgs[i].Key = fmt.Sprint("A", i)
	}
	branch := func(v string) func(*BuildSettings) { return func(s *BuildSettings) { s.Branch = v } }
	file := func(v string) func(*BuildSettings) { return func(s *BuildSettings) { s.Dockerfile = v } }
	arg := func(key, value string) func(*BuildSettings) {
		return func(s *BuildSettings) { s.Args = []BuildArg{{"FIRST", "1"}, {key, value}} }
	}
	for _, tt := range []struct {
		name   string
		change func(*BuildSettings)
		want   SettingField // "": all is well
	}{
		{"nothing", func(*BuildSettings) {}, ""},
		{"branch with slashes", branch("feature/a.b-c_d#1"), ""},
		{"no branch", branch(""), FieldBranch},
		{"branch with a blank", branch("a b"), FieldBranch},
		{"branch that is an option", branch("--upload-pack=x"), FieldBranch},
		{"branch that is a range", branch("a..b"), FieldBranch},
		{"branch that is a past state", branch("main@{1}"), FieldBranch},
		{"branch that Kubernetes expands", branch("$(params.x)"), FieldBranch},
		{"branch of two lines", branch("a\nb"), FieldBranch},
		{"branch with slashes around", branch("/main/"), FieldBranch},
		{"long branch", branch(long), FieldBranch},
		{"branch that is no text", branch("a\xff"), FieldBranch},
		{"Dockerfile in a folder", file("docker/Dockerfile.web"), ""},
		{"Dockerfile with dots", file("a..b/Dockerfile"), ""},
		{"Dockerfile outside", file("../Dockerfile"), FieldDockerfile},
		{"Dockerfile outside, later", file("a/../../Dockerfile"), FieldDockerfile},
		{"absolute Dockerfile", file("/etc/passwd"), FieldDockerfile},
		{"Dockerfile that is an option", file("-f"), FieldDockerfile},
		{"Dockerfile of two lines", file("a\nb"), FieldDockerfile},
		{"Dockerfile that Kubernetes expands", file("a$b"), FieldDockerfile},
		{"Dockerfile of Windows", file(`docker\Dockerfile`), FieldDockerfile},
		{"Dockerfile with a line separator", file("a\u2028b"), FieldDockerfile},
		{"long Dockerfile", file(long), FieldDockerfile},
		{"Dockerfile that is no text", file("a\xff"), FieldDockerfile},
		{"context", func(s *BuildSettings) { s.Context = "services/web" }, ""},
		{"context outside", func(s *BuildSettings) { s.Context = "x/.." }, FieldContext},
		{"hostile value", arg("_X9", `'"; rm -rf / #$HOME ${X} $$ `+"`id` <>|&\\ é"), ""},
		{"empty value", arg("EMPTY", ""), ""},
		{"value of two lines", arg("X", "a\nb"), FieldArgs},
		{"value with NUL", arg("X", "a\x00b"), FieldArgs},
		{"value with an escape", arg("X", "\x1b[31m"), FieldArgs},
		{"value that is no text", arg("X", "\xff"), FieldArgs},
		{"value with a variable", arg("X", "a$(id) $(params.image) $$(x)"), ""},
		{"key with a digit first", arg("1X", ""), FieldArgs},
		{"key with =", arg("A=B", ""), FieldArgs},
		{"key that is an option", arg("--secret", ""), FieldArgs},
		{"no key", arg("", "x"), FieldArgs},
		{"key twice", arg("FIRST", "2"), FieldArgs},
		{"too many", func(s *BuildSettings) { s.Args = manyArgs }, FieldArgs},
		{"too long", arg("X", strings.Repeat("x", 4096)), FieldArgs},
		{"namespace", func(s *BuildSettings) { s.Target.Namespace = "Prod" }, FieldNamespace},
		{"long namespace", func(s *BuildSettings) { s.Target.Namespace = strings.Repeat("a", 64) }, FieldNamespace},
		{"Deployment", func(s *BuildSettings) { s.Target.Deployment = "web/x" }, FieldDeployment},
		{"Deployment with dots", func(s *BuildSettings) { s.Target.Deployment = "web.v2" }, ""},
		{"container", func(s *BuildSettings) { s.Target.Container = "a.b" }, FieldContainer},
		{"no Deployment", func(s *BuildSettings) { s.Target.Deployment = "" }, FieldDeployment},
		{"only a container", func(s *BuildSettings) { s.Target = DeployTarget{Container: "app"} }, FieldDeployment},
		{"auto-deploy to nowhere", func(s *BuildSettings) { s.AutoDeploy, s.Target = true, DeployTarget{} }, FieldAutoDeploy},
		{"auto-deploy", func(s *BuildSettings) { s.AutoDeploy = true }, ""},
		{"tags", func(s *BuildSettings) { s.Tags = "v*.*" }, ""},
		{"tags that are no pattern", func(s *BuildSettings) { s.Tags = "v[" }, FieldTags},
		{"paths", func(s *BuildSettings) { s.Paths = []string{"a/**", "**/b/**"} }, ""},
		{"long path", func(s *BuildSettings) { s.Paths = []string{long} }, FieldPaths},
		{"path twice", func(s *BuildSettings) { s.Paths = []string{"a", "a"} }, FieldPaths},
		{"empty path", func(s *BuildSettings) { s.Paths = []string{""} }, FieldPaths},
		{"many paths", func(s *BuildSettings) { s.Paths = slices.Repeat([]string{"x"}, 21) }, FieldPaths},
		{"secrets", func(s *BuildSettings) { s.Secrets = []string{"npm", "a.b"} }, ""},
		{"secret with a slash", func(s *BuildSettings) { s.Secrets = []string{"../kovra-git"} }, FieldSecrets},
		{"build namespace", func(s *BuildSettings) { s.Namespace = "a_b" }, FieldBuildNamespace},
		{"service account", func(s *BuildSettings) { s.ServiceAccount = "-a" }, FieldAccount},
		{"registry", func(s *BuildSettings) { s.Registry = "registry.example.com:5000/team-a/x__y" }, ""},
		{"registry with a scheme", func(s *BuildSettings) { s.Registry = "https://registry.example.com" }, FieldRegistry},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := DefaultBuildSettings("web")
			s.Target = DeployTarget{Namespace: "prod", Deployment: "web"}
			tt.change(&s)
			var fields []SettingField
			for _, p := range s.Check() {
				fields = append(fields, p.Field)
				if !strings.HasSuffix(p.Text, ".") || strings.ContainsAny(p.Text, "\n\x1b\x00") {
					t.Errorf("no sentence: %q", p.Text)
				}
			}
			if fields = slices.Compact(fields); tt.want == "" && len(fields) > 0 || tt.want != "" && !slices.Equal(fields, []SettingField{tt.want}) {
				t.Errorf("problems with %q, want %q", fields, tt.want)
			}
		})
	}
}

func TestCheckFindsAllProblems(t *testing.T) {
	s := BuildSettings{Dockerfile: "/x", Context: "..", Tags: "[", Registry: "X", Args: []BuildArg{{"1", ""}}}
	if got := len(s.Check()); got != 6 {
		t.Errorf("%d problems, want 6: %+v", got, s.Check())
	}
}

func TestWants(t *testing.T) {
	on := BuildSettings{Enabled: true, Branch: "main", Tags: "v*"}
	web := on
	web.Paths = []string{"services/web/**", "go.*"}
	push := Push{Ref: "main", After: "c0ffee", Paths: []string{"docs/x.md"}, AllPaths: true}
	for _, tt := range []struct {
		name   string
		s      BuildSettings
		change func(*Push)
		want   bool
	}{
		{"the branch", on, func(*Push) {}, true},
		{"off", BuildSettings{Branch: "main", Tags: "v*"}, func(*Push) {}, false},
		{"another branch", on, func(p *Push) { p.Ref = "next" }, false},
		{"deleted", on, func(p *Push) { p.After = "" }, false},
		{"a tag", on, func(p *Push) { p.Ref, p.Tag = "v1", true }, true},
		{"a tag with a slash", on, func(p *Push) { p.Ref, p.Tag = "v1/rc", true }, true},
		{"another tag", on, func(p *Push) { p.Ref, p.Tag = "nightly", true }, false},
		{"a tag named as the branch", on, func(p *Push) { p.Tag = true }, false},
		{"a branch named as a tag", on, func(p *Push) { p.Ref = "v1" }, false},
		{"no tags", BuildSettings{Enabled: true, Branch: "main"}, func(p *Push) { p.Ref, p.Tag = "v1", true }, false},
		{"a tag that cannot be passed on", on, func(p *Push) { p.Ref, p.Tag = "v$(id)", true }, false},
		{"a tag asks for no paths", web, func(p *Push) { p.Ref, p.Tag = "v1", true }, true},
		{"other paths", web, func(*Push) {}, false},
		{"one of the paths", web, func(p *Push) { p.Paths = append(p.Paths, "services/web/main.go") }, true},
		{"a file at the top", web, func(p *Push) { p.Paths = []string{"go.sum"} }, true},
		{"a path that begins alike", web, func(p *Push) { p.Paths = []string{"services/website/x"} }, false},
		{"not all is known", web, func(p *Push) { p.AllPaths = false }, true},
		{"nothing is known", web, func(p *Push) { p.Paths, p.AllPaths = nil, false }, true},
	} {
		p := push
		p.Paths = slices.Clone(push.Paths)
		tt.change(&p)
		if got := tt.s.Wants(p); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"main.go", "main.go", true},
		{"main.go", "cmd/main.go", false},
		{"*.go", "main.go", true},
		{"*.go", "cmd/main.go", false},
		{"**/*.go", "main.go", true},
		{"**/*.go", "a/b/main.go", true},
		{"**/*.go", "a/b/main.rs", false},
		{"web", "web/a/b", true},
		{"web/", "web/a", true},
		{"/web", "web/a", true},
		{"web", "website/a", false},
		{"web/**", "web/a/b", true},
		{"web/**/test", "web/a/b/test/x", true},
		{"web/**/test", "web/test", true},
		{"web/**/test", "web/a/b", false},
		{"**/a/**/b", "x/a/y/b", true},
		{"**", "anything/at/all", true},
		{"?eb/[a-c]*", "web/cat", true},
		{"?eb/[a-c]*", "web/dog", false},
		{"a/b/c", "a/b", false},
		{"**/a/b/**/c", "a/x/a/b/a/c", true},
		{"**/a/b/**/c", "a/x/a/c/b", false},
		{"**/a/a/b", "a/a/a/b", true},
		{"**/**", "x", true},
	} {
		if got := matches(tt.pattern, tt.name); got != tt.want {
			t.Errorf("matches(%q, %q) = %t, want %t", tt.pattern, tt.name, got, tt.want)
		}
	}
}

// TestMatchesIsQuick: no pattern and no path that somebody pushes takes long.
func TestMatchesIsQuick(t *testing.T) {
	name := strings.TrimSuffix(strings.Repeat("a/", 2000), "/")
	pattern := strings.Repeat("**/a/a/", 30) + "b"
	start := time.Now()
	for range 100 {
		if matches(pattern, name) {
			t.Fatal("it fits")
		}
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestWarnings(t *testing.T) {
	s := BuildSettings{Args: []BuildArg{
		{"VERSION", "1.2"}, {"NPM_TOKEN", "x"}, {"db_password", ""}, {"X", "glpat-abcdef"}, {"Y", "AKIA123"}, {"GOPROXY", "https://proxy.example"},
	}}
	got := s.Warnings()
	for i, key := range []string{"NPM_TOKEN", "db_password", "X", "Y"} {
		if i >= len(got) || !strings.HasPrefix(got[i], key+" looks like a secret.") || strings.Contains(got[i], "abcdef") {
			t.Errorf("warnings %q, want one of %s without its value", got, key)
		}
	}
	if len(got) != 4 {
		t.Errorf("%d warnings: %q", len(got), got)
	}
}

func TestChanges(t *testing.T) {
	old := DefaultBuildSettings("web")
	old.Args = []BuildArg{{"KEPT", "1"}, {"OTHER", "hunter2"}, {"GONE", "hunter2"}}
	if got := old.Changes(old); len(got) != 0 {
		t.Errorf("of nothing: %q", got)
	}
	now := BuildSettings{
		App: "web", Enabled: true, Branch: "next", Dockerfile: "docker/Dockerfile", AutoDeploy: true,
		Args:   []BuildArg{{"NEW", "hunter2"}, {"KEPT", "1"}, {"OTHER", "hunter3"}},
		Target: DeployTarget{Namespace: "prod", Deployment: "web", Container: "app"}, AllowManaged: true, Tags: "v*", Context: "web",
		Paths: []string{"a", "b"}, Secrets: []string{"npm"}, Namespace: "team", ServiceAccount: "sa", Registry: "r.example/team", Paused: true,
		ChangedBy: Person{ID: "U1"}, ChangedAt: buildNow, PausedBy: Person{ID: "U1"},
	}
	want := []string{
		"Automatic builds: off → on",
		"Branch: main → next",
		"Dockerfile path: auto-detected → docker/Dockerfile",
		"Auto-deploy: off → on",
		"Auto-deploy paused: no → yes",
		"Build argument NEW: added",
		"Build argument OTHER: another value",
		"Build argument GONE: removed",
		"Deployment: none → prod/web (container app)",
		"Allow managed Deployments: no → yes",
		"Supersede pending builds: on → off",
		"Build tags: none → v*",
		"Context directory: the root → web",
		"Only when these paths change: any → a, b",
		"Build secrets: none → npm",
		"Build namespace: the default → team",
		"Service account: the default → sa",
		"Image prefix: the default → r.example/team",
	}
	got := now.Changes(old)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if all := strings.Join(slices.Concat(got, old.Changes(now)), "\n"); strings.Contains(all, "hunter") {
		t.Errorf("a value is shown:\n%s", all)
	}
	if back := old.Changes(now); len(back) != len(want) || back[8] != "Deployment: prod/web (container app) → none" {
		t.Errorf("back: %q", back)
	}
}

func TestNames(t *testing.T) {
	for v, want := range map[string][3]bool{ // label, name, registry
		"web":                                   {true, true, false},
		"a-b.c":                                 {false, true, true},
		"a..b":                                  {false, false, false},
		"a-":                                    {false, false, false},
		"-a":                                    {false, false, false},
		"a_b":                                   {false, false, false},
		"A":                                     {false, false, false},
		"":                                      {false, false, false},
		"a\n":                                   {false, false, false},
		strings.Repeat("a", 63):                 {true, true, false},
		strings.Repeat("a", 64):                 {false, true, false},
		strings.Repeat("a", 254):                {false, false, false},
		"localhost":                             {true, true, true},
		"localhost:5000":                        {false, false, true},
		"registry:5000/team":                    {false, false, true},
		"registry:0":                            {false, false, false},
		"registry:70000/team":                   {false, false, false},
		"r.example/team/":                       {false, false, false},
		"r.example//team":                       {false, false, false},
		"r.example/Team":                        {false, false, false},
		"r.example/team:latest":                 {false, false, false},
		"r.example/team@sha256:00":              {false, false, false},
		"https://r.example/team":                {false, false, false},
		"user:pass@r.example/team":              {false, false, false},
		"r.example/a_b/c__d/e.f/g--h":           {false, false, true},
		"r.example/a___b":                       {false, false, false},
		"r.example/-a":                          {false, false, false},
		"r.example/$(id)":                       {false, false, false},
		"r.example/" + strings.Repeat("a", 200): {false, false, false},
	} {
		if got := [3]bool{IsKubeLabel(v), IsKubeName(v), IsRegistry(v)}; got != want {
			t.Errorf("%q: label, name, registry %v, want %v", v, got, want)
		}
	}
}
