package main

import (
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

// beside sets what a command beside a server needs: a database with the app web, a Slack with #deploys and a GitLab with
// group/new. It returns the path of the database, and of a file with the text.
func beside(t *testing.T, text string) (db, file string) {
	t.Helper()
	serving(t)
	slack := slacksim.New(slacksim.Options{})
	slack.AddChannel(slacksim.Channel{ID: "C1", Name: "deploys"})
	lab := gitlabsim.New(gitlabsim.Options{})
	lab.AddProject(gitlabsim.Project{Path: "group/new"})
	slackServer, labServer := httptest.NewServer(slack), httptest.NewServer(lab)
	t.Cleanup(slackServer.Close)
	t.Cleanup(labServer.Close)
	slack.SetBaseURL(slackServer.URL)
	lab.SetURL(labServer.URL)
	db = filepath.Join(t.TempDir(), "kovra.db")
	for name, value := range map[string]string{
		"KOVRA_DATABASE_URL": "sqlite:" + db, "KOVRA_SLACK_API_URL": slackServer.URL + "/api/", "KOVRA_SLACK_BOT_TOKEN": "xoxb-sim",
		"KOVRA_GITLAB_URL": labServer.URL, "KOVRA_GITLAB_TOKEN": "glpat-sim",
	} {
		t.Setenv(name, value)
	}
	change(t, db, func(tx *storage.Tx) error {
		return errors.Join(tx.SaveApp(kovra.App{Name: "web"}), tx.SaveSubscription(kovra.Subscription{App: "web", Channel: "C1"}))
	})
	file = filepath.Join(t.TempDir(), "apps.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return db, file
}

const newApp = "apps:\n  new: {project: group/new, channels: {\"#deploys\": tags}}\n"

func TestApplyDryRun(t *testing.T) {
	db, file := beside(t, newApp)
	want := "+ new\n+   project   group/new\n+   #deploys  tags\n\n2 to add, 0 to change, 0 to remove.\n" +
		"Not in the file, and left alone: 1 app (--prune removes them).\n"
	if out, err := call(t, "apply", "-f", file, "--dry-run"); err != nil || out != want {
		t.Errorf("%v\n%s", err, out)
	}
	out, err := call(t, "apply", "-f", file, "--dry-run", "--exit-code")
	if code, ok := errors.AsType[exitError](err); !ok || code != changesExit || out != want {
		t.Errorf("with --exit-code: %v\n%s", err, out)
	}
	if out, err := call(t, "apply", "-f", file, "--dry-run", "--prune"); err != nil || !strings.Contains(out, "\n- web\n") {
		t.Errorf("with --prune: %v\n%s", err, out)
	}
	if open := wanted(t, db); len(open) > 0 {
		t.Errorf("proposed %+v", open)
	}
	if out, err := call(t, "apply", "-f", os.DevNull); err == nil || out != "" {
		t.Errorf("of nothing: %v\n%s", err, out)
	}
	if err := os.WriteFile(file, []byte("apps: {web: {}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := call(t, "apply", "-f", file, "--dry-run", "--exit-code"); err != nil || out != "Nothing to do.\nNot in the file, and left alone: 1 subscription of apps in it (--prune removes them).\n" {
		t.Errorf("nothing to do: %v\n%s", err, out)
	}
}

// wanted are the actions of the command line.
func wanted(t *testing.T, db string) (open []kovra.Action) {
	t.Helper()
	change(t, db, func(tx *storage.Tx) (err error) {
		open, err = tx.OperatorActions()
		return err
	})
	return open
}

// TestApplyExitCode: what is to be done is told by the exit code alone.
func TestApplyExitCode(t *testing.T) {
	defer func(before []string, stdout *os.File) { os.Args, os.Stdout = before, stdout }(os.Args, os.Stdout)
	_, file := beside(t, newApp)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	written := stderr(t)
	os.Stdout, os.Args = null, []string{"kovra", "apply", "-f", file, "--dry-run", "--exit-code"}
	if code := Main(); code != changesExit {
		t.Errorf("exit code %d", code)
	}
	if said := written(); said != "" {
		t.Errorf("it says %q", said)
	}
}

// TestApplyWithoutServer: what is written down stays, is not written down twice, and says who wanted it.
func TestApplyWithoutServer(t *testing.T) {
	db, file := beside(t, newApp)
	out, err := call(t, "apply", "-f", file, "--timeout", "0", "--as", "ci")
	if err != nil || !strings.Contains(out, "2 changes are written down. The running server carries them out, or the next start does.") {
		t.Errorf("%v\n%s", err, out)
	}
	open := wanted(t, db)
	if len(open) != 2 || open[0].Kind != kovra.ActLink || open[1].Kind != kovra.ActSubscribe || !open[0].By.IsOperator() || open[0].By.Name != "ci (command line)" {
		t.Errorf("wanted: %+v", open)
	}
	out, err = call(t, "apply", "-f", file, "--timeout", "1ms")
	if err == nil || !strings.Contains(err.Error(), "nothing was done: the server has not finished what was applied before") {
		t.Errorf("a second time: %v\n%s", err, out)
	}
	if out, err = call(t, "apply", "-f", file, "--dry-run"); err != nil || !strings.HasPrefix(out, "2 changes of an earlier apply are still on their way.\n+ new\n") {
		t.Errorf("dry: %v\n%s", err, out)
	}
	if n := len(wanted(t, db)); n != 2 {
		t.Errorf("%d are wanted", n)
	}
}

// TestApplyTimeIsUp: it says what is open, and ends with an error.
func TestApplyTimeIsUp(t *testing.T) {
	db, file := beside(t, newApp)
	out, err := call(t, "apply", "-f", file, "--timeout", "1ms")
	if err == nil || err.Error() != "2 of 2 changes are not done yet" {
		t.Errorf("error %v", err)
	}
	for _, want := range []string{"\nopen    link new to group/new\nopen    subscribe #deploys to new: tags\n", "They stay written down"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if by := wanted(t, db)[0].By; !by.IsOperator() || by.ID != "" {
		t.Errorf("wanted by %+v", by)
	}
}

func TestApplyFromStandardInput(t *testing.T) {
	beside(t, "")
	cmd := root()
	cmd.SetArgs([]string{"apply", "-f", "-", "--dry-run"})
	cmd.SetIn(strings.NewReader("apps:\n  web: {chanels: {}}\n"))
	cmd.SetOut(io.Discard)
	err := cmd.ExecuteContext(t.Context())
	if err == nil || !strings.Contains(err.Error(), "standard input, line 2: ") {
		t.Errorf("error %v", err)
	}
}

func TestApplyRefuses(t *testing.T) {
	db, file := beside(t, newApp)
	for want, args := range map[string][]string{
		`required flag(s) "file" not set`: {},
		"no such file":                    {"-f", filepath.Join(t.TempDir(), "none.yaml")},
		`--as: "a b" is no name to record`: {
			"-f", file, "--as", "a b",
		},
		`unknown command "x" for "kovra apply"`: {"-f", file, "x"},
	} {
		if out, err := call(t, append([]string{"apply"}, args...)...); err == nil || !strings.Contains(err.Error(), want) || out != "" {
			t.Errorf("%q: %v, want %s\n%s", args, err, want, out)
		}
	}
	t.Setenv("KOVRA_GITLAB_TOKEN", "")
	if _, err := call(t, "apply", "-f", file); err == nil || !strings.Contains(err.Error(), "KOVRA_GITLAB_TOKEN") {
		t.Errorf("without a token: %v", err)
	}
	t.Setenv("KOVRA_GITLAB_TOKEN", "glpat-wrong-but-long")
	t.Setenv("KOVRA_DATABASE_URL", "sqlite:"+filepath.Join(t.TempDir(), "none.db"))
	if _, err := call(t, "apply", "-f", file); err == nil || !strings.Contains(err.Error(), "there is no database yet") {
		t.Errorf("without a database: %v", err)
	}
	t.Setenv("KOVRA_DATABASE_URL", "sqlite:"+db)
	t.Setenv("KOVRA_GITLAB_URL", "http://127.0.0.1:1")
	if _, err := call(t, "apply", "-f", file); err == nil || !strings.Contains(err.Error(), "ask GitLab for projects") {
		t.Errorf("without GitLab: %v", err)
	}
	if n := len(wanted(t, db)); n != 0 {
		t.Errorf("%d are wanted", n)
	}
}

func TestExport(t *testing.T) {
	beside(t, "")
	if out, err := call(t, "export"); err != nil || out != "apps:\n  web:\n    channels:\n      '#deploys': pipelines builds\n" {
		t.Errorf("%v\n%s", err, out)
	}
	t.Setenv("KOVRA_SLACK_API_URL", "http://127.0.0.1:1/")
	if out, err := call(t, "export"); err == nil || !strings.Contains(err.Error(), "--ids does without") || out != "" {
		t.Errorf("without Slack: %v\n%s", err, out)
	}
	t.Setenv("KOVRA_SLACK_BOT_TOKEN", "")
	if out, err := call(t, "export"); err == nil || !strings.Contains(err.Error(), "KOVRA_SLACK_BOT_TOKEN") || out != "" {
		t.Errorf("without a token: %v\n%s", err, out)
	}
	if out, err := call(t, "export", "--ids"); err != nil || out != "apps:\n  web:\n    channels:\n      C1: pipelines builds\n" {
		t.Errorf("by id: %v\n%s", err, out)
	}
}
