package bot

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kovra.dev/chatops/internal/kovra"
)

func TestParse(t *testing.T) {
	tests := []struct {
		command, text string
		want          Command
	}{
		{"/pipeline", "", Command{Group: "pipeline", Verb: "list"}},
		{"/pipeline", "list web", Command{Group: "pipeline", Verb: "list", Words: []string{"web"}}},
		{"/pipeline", "web main", Command{Group: "pipeline", Verb: "list", Words: []string{"web", "main"}}},
		{"/kovra", "pipeline web main", Command{Group: "pipeline", Verb: "list", Words: []string{"web", "main"}}},
		{"/PIPELINE", "RUN web Main", Command{Group: "pipeline", Verb: "run", Words: []string{"web", "Main"}}},
		{"/pipeline", `run web main ENV=staging NOTE="a b" input:region=eu EMPTY=`, Command{
			Group: "pipeline", Verb: "run", Words: []string{"web", "main"},
			Vars: []Var{{"ENV", "staging"}, {"NOTE", "a b"}, {"EMPTY", ""}}, Inputs: []Var{{"region", "eu"}},
		}},
		{"/pipeline", "run NOTE=“it is \\” so” ‘my ref’", Command{
			Group: "pipeline", Verb: "run", Words: []string{"my ref"}, Vars: []Var{{"NOTE", `it is " so`}},
		}},
		{"/pipeline", `run X=a="b"`, Command{Group: "pipeline", Verb: "run", Vars: []Var{{"X", `a="b"`}}}},
		{"/pipeline", "run X=it's Y=a&amp;b&lt;c", Command{Group: "pipeline", Verb: "run", Vars: []Var{{"X", "it's"}, {"Y", "a&b<c"}}}},
		{"/pipeline", "retry <#C1|123>", Command{Group: "pipeline", Verb: "retry", Words: []string{"#123"}}},
		{"/pipeline", "retry job 5", Command{Group: "pipeline", Verb: "retry-job", Words: []string{"5"}}},
		{"/pipeline", "retryjob 5", Command{Group: "pipeline", Verb: "retry-job", Words: []string{"5"}}},
		{"/pipeline", "jobs <https://gitlab.com/g/web/-/pipelines/12?a=1&amp;b=2|the one>", Command{
			Group: "pipeline", Verb: "jobs", Words: []string{"https://gitlab.com/g/web/-/pipelines/12?a=1&b=2"},
		}},
		{"/pipeline", "web <http://release.io|release.io>", Command{Group: "pipeline", Verb: "list", Words: []string{"web", "release.io"}}},
		{"/pipeline", "web <@U1|bob>", Command{Group: "pipeline", Verb: "list", Words: []string{"web", "@bob"}}},
		{"/pipeline", "web <!subteam^S1>", Command{Group: "pipeline", Verb: "list", Words: []string{"web", "@subteam^S1"}}},
		{"/pipeline", "web <mailto:a@b.c|a@b.c>", Command{Group: "pipeline", Verb: "list", Words: []string{"web", "a@b.c"}}},
		{"/pipeline", "help run", Command{Group: "pipeline", Verb: "help", Words: []string{"run"}}},
		{"/kovra", "", Command{Group: "kovra", Verb: "help"}},
		{"/kovra", "help", Command{Group: "kovra", Verb: "help"}},
		{"/kovra", "apps", Command{Group: "kovra", Verb: "apps"}},
		{"/kovra", "app web", Command{Group: "kovra", Verb: "app", Words: []string{"web"}}},
		{"/kovra", "app create web", Command{Group: "kovra", Verb: "app-create", Words: []string{"web"}}},
		{"/kovra", "app delete web --yes", Command{Group: "kovra", Verb: "app-delete", Words: []string{"web"}, Sure: true}},
		{"/kovra", "link web <https://gitlab.com/g/web> broadcast:all", Command{
			Group: "kovra", Verb: "link", Words: []string{"web", "https://gitlab.com/g/web"}, Filter: kovra.Filter{Broadcast: kovra.BroadcastAll},
		}},
		{"/kovra", "logs", Command{Group: "kovra", Verb: "logs"}},
		{"/kovra", "logs ON", Command{Group: "kovra", Verb: "logs", Words: []string{"on"}}},
		{"/pipeline", "logs web 5678", Command{Group: "pipeline", Verb: "log", Words: []string{"web", "5678"}}},
		{"/pipeline", "logs main", Command{Group: "pipeline", Verb: "list", Words: []string{"logs", "main"}}},
		{"/kovra", "builds web", Command{Group: "build", Verb: "list", Words: []string{"web"}}},
		{"/kovra", "build rebuild 12", Command{Group: "build", Verb: "rebuild", Words: []string{"12"}}},
		{"/build", "", Command{Group: "build", Verb: "list"}},
		{"/build", "list web", Command{Group: "build", Verb: "list", Words: []string{"web"}}},
		{"/build", "trigger web", Command{Group: "build", Verb: "trigger", Words: []string{"web"}}},
		{"/build", "run web dev", Command{Group: "build", Verb: "trigger", Words: []string{"web", "dev"}}},
		{"/build", "cancel build 12", Command{Group: "build", Verb: "cancel", Words: []string{"12"}}},
		{"/build", "cancel build build 12", Command{Group: "build", Verb: "cancel", Words: []string{"12"}}},
		{"/build", "Deploy web Build #12", Command{Group: "build", Verb: "deploy", Words: []string{"web", "#12"}}},
		{"/build", "logs <#C1|12>", Command{Group: "build", Verb: "log", Words: []string{"#12"}}},
		{"/build", "roll back web", Command{Group: "build", Verb: "rollback", Words: []string{"web"}}},
		{"/build", "roll-back", Command{Group: "build", Verb: "rollback"}},
		{"/build", "resume", Command{Group: "build", Verb: "resume"}},
		{"/build", "settings web", Command{Group: "build", Verb: "settings", Words: []string{"web"}}},
		{"/build", "help deploy", Command{Group: "build", Verb: "help", Words: []string{"deploy"}}},
	}
	for _, tt := range tests {
		got, err := Parse(tt.command, tt.text)
		if err != nil {
			t.Errorf("Parse(%q, %q): %v", tt.command, tt.text, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("Parse(%q, %q) (-want +got):\n%s", tt.command, tt.text, diff)
		}
		checkRoundTrip(t, got)
	}
}

func checkRoundTrip(t *testing.T, c Command) {
	t.Helper()
	command, text, _ := strings.Cut(c.String(), " ")
	again, err := Parse(command, text)
	if err != nil {
		t.Fatalf("Parse(%q): %v", c.String(), err)
	}
	if diff := cmp.Diff(c, again, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("Parse(%q) is another command (-want +got):\n%s", c.String(), diff)
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ command, text, want string }{
		{"/deploy", "x", "no command /deploy"},
		{"/pipeline", "retyr 12", "Did you mean /pipeline retry? Example: /pipeline retry 1234"},
		{"/pipeline", "frobnicate the thing", "All commands: /pipeline help"},
		{"/kovra", "lnk web g/web", "Did you mean /kovra link?"},
		{"/kovra", "run web", "Did you mean /pipeline run?"},
		{"/kovra", "log 5678", "Did you mean /pipeline log?"},
		{"/kovra", "logs on off", `"off" is one word too many`},
		{"/kovra", "xyzzyx", "All commands: /kovra help"},
		{"/pipeline", "cancel", "Which pipeline? Write /pipeline cancel [app] <pipeline>. Example: /pipeline cancel 1234"},
		{"/pipeline", "cancel web 12 now", `"now" is one word too many`},
		{"/pipeline", "run 1X=a", `"1X" cannot be the name of a variable`},
		{"/pipeline", "run input:=a", "cannot be the name of an input"},
		{"/pipeline", "run A=1 A=2", "A is given twice"},
		{"/pipeline", "run input:a=1 input:a=2", "a is given twice"},
		{"/pipeline", `run A="x`, "not closed"},
		{"/kovra", "link web g/web broadcast:loud", "broadcast:all"},
		{"/kovra", "link", "Which app, and which GitLab project?"},
		{"/build", "canecl 12", "Did you mean /build cancel? Example: /build cancel 12"},
		{"/build", "frobnicate the thing", "All commands: /build help"},
		{"/build", "deploy", "Which build? Write /build deploy [app] <build>. Example: /build deploy 12"},
		{"/build", "rollback web 12", `"12" is one word too many`},
		{"/kovra", "trigger web", "Did you mean /build trigger?"},
		{"/kovra", "app create", "What is the app to be called?"},
	}
	for _, tt := range tests {
		_, err := Parse(tt.command, tt.text)
		if err == nil || !strings.Contains(err.Error(), tt.want) || kovra.KindOf(err) != kovra.Invalid {
			t.Errorf("Parse(%q, %q): got error %v, want one with %q", tt.command, tt.text, err, tt.want)
		}
	}
}

func TestResolve(t *testing.T) {
	all := []string{"web", "api", "shop"}
	one, two := []string{"web"}, []string{"web", "api"}
	tests := []struct {
		command, text string
		channel       []string
		want          Target
		wantErr       string
	}{
		{"/pipeline", "", one, Target{App: "web"}, ""},
		{"/pipeline", "API", one, Target{App: "api"}, ""},
		{"/pipeline", "main", one, Target{App: "web", Ref: "main"}, ""},
		{"/pipeline", "main", two, Target{}, "Which app?"},
		{"/pipeline", "main", nil, Target{}, "Which app?"},
		{"/pipeline", "wbe", two, Target{}, "Did you mean web?"},
		{"/pipeline", "web wbe", two, Target{App: "web", Ref: "wbe"}, ""},
		{"/pipeline", "rnu main", one, Target{}, `no command "rnu". Did you mean /pipeline run?`},
		{"/pipeline", "zzzzzz main", one, Target{}, `no app "zzzzzz"`},
		{"/pipeline", "run shpo main", one, Target{}, `no app "shpo". Did you mean shop?`},
		{"/pipeline", "run zzzzzz main", one, Target{}, `no app "zzzzzz". All apps`},
		{"/pipeline", "cancel #12", one, Target{App: "web", ID: 12}, ""},
		{"/pipeline", "cancel 12", two, Target{}, "Which app?"},
		{"/pipeline", "cancel api 12", two, Target{App: "api", ID: 12}, ""},
		{"/pipeline", "cancel https://gl.example/g/s/web/-/pipelines/12/builds", two, Target{ID: 12, Project: "g/s/web", Site: "https://gl.example"}, ""},
		{"/pipeline", "log https://gl.example/g/web/-/jobs/77#L3", two, Target{ID: 77, Project: "g/web", Site: "https://gl.example"}, ""},
		{"/pipeline", "log web https://gl.example/g/web/-/jobs/77", two, Target{App: "web", ID: 77, Project: "g/web", Site: "https://gl.example"}, ""},
		{"/pipeline", "log https://gl.example/g/web/-/pipelines/12", two, Target{}, "address of a pipeline. Which job?"},
		{"/pipeline", "retry https://gl.example/g/web/-/jobs/12", two, Target{}, "address of a job. Which pipeline?"},
		{"/pipeline", "retry https://gl.example/g/web", two, Target{}, "not an id"},
		{"/pipeline", "retry web", two, Target{}, "web is an app. Which pipeline?"},
		{"/pipeline", "retry abc", two, Target{}, `"abc" is not an id`},
		{"/pipeline", "retry 0", two, Target{}, `"0" is not an id`},
		{"/pipeline", "retry https://gl.example/g/web/-/pipelines/99999999999999999999", two, Target{}, "not an id"},
		{"/kovra", "link web g/web", nil, Target{App: "web", Project: "g/web"}, ""},
		{"/kovra", "link web 42", nil, Target{App: "web", Project: "42"}, ""},
		{"/kovra", "link Web https://gl.example/g/web/-/tree/main", nil, Target{App: "web", Project: "g/web", Site: "https://gl.example"}, ""},
		{"/kovra", "link web git@gl.example:g/web.git", nil, Target{App: "web", Project: "g/web", Site: "https://gl.example"}, ""},
		{"/kovra", "link g/web", one, Target{App: "web", Project: "g/web"}, ""},
		{"/kovra", "link g/web", nil, Target{}, "Which app? Write"},
		{"/kovra", "link web", one, Target{}, "Which app, and which GitLab project?"},
		{"/kovra", "link 42", one, Target{}, "Which app, and which GitLab project?"},
		{"/kovra", "link web no-slash", nil, Target{}, "not a GitLab project"},
		{"/kovra", "link retry g/web", nil, Target{}, "is a command"},
		{"/kovra", "app create Shiny", nil, Target{App: "shiny"}, ""},
		{"/kovra", "app create -x", nil, Target{}, "1 to 40"},
		{"/kovra", "app", one, Target{App: "web"}, ""},
		{"/kovra", "unlink", two, Target{}, "Which app?"},
		{"/kovra", "audit", two, Target{}, ""},
		{"/kovra", "audit api", two, Target{App: "api"}, ""},
		{"/kovra", "audit apx", two, Target{}, "Did you mean api?"},
		{"/kovra", "help", two, Target{}, ""},
		{"/build", "web", two, Target{App: "web"}, ""},
		{"/build", "", one, Target{App: "web"}, ""},
		{"/build", "", two, Target{}, "Which app?"},
		{"/build", "wbe", two, Target{}, "Did you mean web?"},
		{"/build", "rebiuld", two, Target{}, "Did you mean /build rebuild?"},
		{"/build", "12", two, Target{}, "What about build #12? Write /build log 12"},
		{"/build", "cancel 12", two, Target{ID: 12}, ""},
		{"/build", "cancel api #12", two, Target{App: "api", ID: 12}, ""},
		{"/build", "cancel apj 12", two, Target{}, "Did you mean api?"},
		{"/build", "cancel web", two, Target{}, "web is an app. Which build?"},
		{"/build", "log 0", two, Target{}, `"0" is not a build`},
		{"/build", "log https://gl.example/g/web/-/pipelines/12", two, Target{}, "is not a build. Give its number"},
		{"/build", "trigger dev", one, Target{App: "web", Ref: "dev"}, ""},
		{"/build", "trigger api dev", one, Target{App: "api", Ref: "dev"}, ""},
		{"/build", "rollback", one, Target{App: "web"}, ""},
		{"/build", "settings", two, Target{}, "Which app?"},
	}
	for _, tt := range tests {
		c, err := Parse(tt.command, tt.text)
		if err != nil {
			t.Errorf("Parse(%q, %q): %v", tt.command, tt.text, err)
			continue
		}
		got, err := c.Resolve(all, tt.channel)
		if tt.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("%s: got error %v, want one with %q", c, err, tt.wantErr)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("%s: got %+v, %v; want %+v", c, got, err, tt.want)
		}
	}
}

func TestResolveChoices(t *testing.T) {
	c, err := Parse("/pipeline", "run main A=b")
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Resolve([]string{"web", "api", "shop"}, []string{"web", "api"})
	choose, ok := errors.AsType[*Choose](err)
	if !ok {
		t.Fatalf("got %v, want a choice", err)
	}
	if diff := cmp.Diff([]string{"api", "web"}, choose.Apps); diff != "" {
		t.Errorf("choices (-want +got):\n%s", diff)
	}
	if got, want := choose.Command.WithApp("api").String(), "/pipeline run api main A=b"; got != want {
		t.Errorf("with the app: got %q, want %q", got, want)
	}
	if _, err = c.Resolve(nil, nil); kovra.KindOf(err) != kovra.NotFound {
		t.Errorf("without any app: got %v, want not found", err)
	}
}

func TestParseVars(t *testing.T) {
	got, err := ParseVars("A=1\n\n B = \"x y\"  \nC=it's", false)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Var{{"A", "1"}, {"B", "x y"}, {"C", "it's"}}, got); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
	got, err = ParseVars("env=“prod”\ninput:x=2", true)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Var{{"env", "prod"}, {"x", "2"}}, got); diff != "" {
		t.Errorf("inputs (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"A", "1=2", "input:x=2", "A=1\nA=2"} {
		if _, err := ParseVars(bad, false); kovra.KindOf(err) != kovra.Invalid {
			t.Errorf("ParseVars(%q): got %v, want an invalid one", bad, err)
		}
	}
}

func TestParseBuildArgs(t *testing.T) {
	got, err := ParseBuildArgs("A=1\n\n B = \"x y\"  \nC=“it is”\nD=")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]kovra.BuildArg{{Key: "A", Value: "1"}, {Key: "B", Value: "x y"}, {Key: "C", Value: "it is"}, {Key: "D"}}, got); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	if _, err := ParseBuildArgs("A=1\nB"); kovra.KindOf(err) != kovra.Invalid {
		t.Errorf("a line without =: got %v", err)
	}
}

// Whatever is shown in the form comes back as it was.
func TestBuildArgLines(t *testing.T) {
	for _, value := range []string{"", "x", " a ", `"a"`, `'a'`, `"`, `""`, `a"b`, `a=b`, `\`, `$HOME`, "字", `"a' `} {
		want := []kovra.BuildArg{{Key: "A", Value: value}, {Key: "B", Value: "1"}}
		got, err := ParseBuildArgs(buildArgLines(want))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", value, err, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "run web main A=b", `run "a b" X="c \" d" input:y='z'`, "link web <https://a.b/c/d|x>", "app delete x --yes", "&amp;lt; <#C|1>", "“”", "run =", "retry job", "cancel build 12", "build build 1", "roll back", "deploy web #7"} {
		for _, c := range []string{"/pipeline", "/kovra", "/build"} {
			f.Add(c, s)
		}
	}
	f.Fuzz(func(t *testing.T, command, text string) {
		c, err := Parse(command, text)
		if err != nil {
			if kovra.KindOf(err) != kovra.Invalid {
				t.Fatalf("Parse(%q, %q): %v is not of kind invalid", command, text, err)
			}
			return
		}
		checkRoundTrip(t, c)
		if target, err := c.Resolve([]string{"web", "api"}, []string{"web"}); err == nil && target.ID < 0 {
			t.Fatalf("%s: id %d", c, target.ID)
		}
	})
}
