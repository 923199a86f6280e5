package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kovra.dev/chatops/internal/config"
)

// call runs the command line and returns what it printed.
func call(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := root()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// stderr redirects standard error until the returned function gives back what was written.
func stderr(t *testing.T) func() string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stderr
	os.Stderr = f
	t.Cleanup(func() {
		os.Stderr = before
		_ = f.Close()
	})
	return func() string {
		t.Helper()
		os.Stderr = before
		text, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"help"}} {
		out, err := call(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"serve", "deliveries", "backup", "migrate", "restored", "--config", "GitLab pipelines and image builds in Slack"} {
			if !strings.Contains(out, want) {
				t.Errorf("%q does not tell of %s:\n%s", args, want, out)
			}
		}
	}
}

// The help of serve lists every setting that can be set, and no other.
func TestServeHelpListsSettings(t *testing.T) {
	out, err := call(t, "serve", "--help")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(out) {
		listed[strings.TrimSpace(line)] = true
	}
	for _, s := range config.Describe() {
		if !listed[s.Name] {
			t.Errorf("%s is not listed", s.Name)
		}
	}
	if !strings.Contains(out, "(default :8080)") {
		t.Error("defaults are not told")
	}
}

func TestVersion(t *testing.T) {
	defer func(before string) { released = before }(released)
	if got := version(); !strings.HasPrefix(got, "dev") {
		t.Errorf("version %q", got)
	}
	released = "v1.2.3"
	out, err := call(t, "--version")
	if err != nil || strings.TrimSpace(out) != "kovra version v1.2.3" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestWrongCommands(t *testing.T) {
	for want, args := range map[string][]string{
		`unknown command "dance" for "kovra"`:       {"dance"},
		"unknown flag: --dance":                     {"--dance"},
		`unknown command "now" for "kovra serve"`:   {"serve", "now"},
		"accepts 1 arg(s), received 0":              {"deliveries", "show"},
		"requires at least 1 arg(s)":                {"deliveries", "replay"},
		`unknown command "x" for "kovra deliveries`: {"deliveries", "list", "x"},
		`invalid argument "many" for "--limit"`:     {"deliveries", "list", "--limit", "many"},
	} {
		out, err := call(t, args...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", args, err, want)
		}
		if out != "" {
			t.Errorf("%q printed, beside its error: %s", args, out)
		}
	}
}

// All that is wrong with a configuration is told at once.
func TestServeTellsAllProblems(t *testing.T) {
	t.Setenv("KOVRA_LISTEN", "nowhere")
	t.Setenv("KOVRA_LOG_LEVEL", "loud")
	t.Setenv("KOVRA_SLACK_BOT_TOKN", "xoxb-secret")
	t.Setenv("KOVRA_REGISTRY", "https://registry.example")
	_, err := call(t, "serve")
	if err == nil {
		t.Fatal("it serves")
	}
	for _, name := range []string{
		"KOVRA_LISTEN", "KOVRA_LOG_LEVEL", "KOVRA_SLACK_BOT_TOKN", "KOVRA_REGISTRY", "KOVRA_SLACK_BOT_TOKEN", "KOVRA_SLACK_SIGNING_SECRET",
		"KOVRA_GITLAB_TOKEN", "KOVRA_GITLAB_WEBHOOK_SECRET", "KOVRA_ADMINS",
	} {
		if !strings.Contains(err.Error(), "\n"+name+": ") {
			t.Errorf("%s is not told of:\n%v", name, err)
		}
	}
	if strings.Contains(err.Error(), "xoxb-secret") {
		t.Errorf("a secret is told:\n%v", err)
	}
}

func TestServeWithoutItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.yaml")
	if _, err := call(t, "serve", "--config", path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
}

// serving sets what a server needs.
func serving(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"KOVRA_DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "kovra.db"), "KOVRA_LISTEN": "127.0.0.1:0",
		"KOVRA_SLACK_BOT_TOKEN": "xoxb-1", "KOVRA_SLACK_SIGNING_SECRET": "shh", "KOVRA_GITLAB_TOKEN": "glpat-1",
		"KOVRA_GITLAB_WEBHOOK_SECRET": "hook", "KOVRA_ADMINS": "U1", "KOVRA_LOG_FORMAT": "json",
	} {
		t.Setenv(name, value)
	}
}

// To be told to stop is no error, however early.
func TestServeStops(t *testing.T) {
	serving(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	cmd := root()
	cmd.SetArgs([]string{"serve"})
	cmd.SetOut(io.Discard)
	if err := cmd.ExecuteContext(ctx); err != nil {
		t.Error(err)
	}
}

func TestServeThatCannotListen(t *testing.T) {
	serving(t)
	t.Setenv("KOVRA_DATABASE_URL", "sqlite:"+filepath.Join(t.TempDir(), "none", "kovra.db"))
	if _, err := call(t, "serve"); err == nil {
		t.Error("it serves without a directory for its database")
	}
}

func TestLogFormats(t *testing.T) {
	for format, first := range map[config.LogFormat]string{
		config.LogText: "time=", config.LogJSON: "{", config.LogAuto: "{", // a file is no terminal
	} {
		written := stderr(t)
		log := logger(&config.Config{LogFormat: format})
		log.DebugContext(t.Context(), "too much")
		log.InfoContext(t.Context(), "hello")
		if got := written(); !strings.HasPrefix(got, first) || strings.Count(got, "\n") != 1 {
			t.Errorf("format %q: %s", format, got)
		}
	}
}

func TestExitCodes(t *testing.T) {
	defer func(before []string) { os.Args = before }(os.Args)
	written := stderr(t)
	os.Args = []string{"kovra", "dance"}
	if code := Main(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if got := written(); !strings.HasPrefix(got, `kovra: unknown command "dance"`) {
		t.Errorf("printed: %s", got)
	}
	stdout := os.Stdout
	defer func() { os.Stdout = stdout }()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	os.Stdout, os.Args = null, []string{"kovra", "--version"}
	if code := Main(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
