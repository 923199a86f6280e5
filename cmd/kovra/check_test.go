package main

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	installation "kovra.dev/chatops/internal/check"
)

// nowhere lets every address of the environment lead to a port where nobody listens.
func nowhere(t *testing.T) {
	t.Helper()
	const address = "127.0.0.1:1"
	t.Chdir(t.TempDir())
	for name, value := range map[string]string{
		"SLACK_API_URL": "http://" + address + "/api/", "GITLAB_URL": "http://" + address, "SLACK_BOT_TOKEN": "xoxb-secret",
		"SLACK_SIGNING_SECRET": "signing-secret", "GITLAB_TOKEN": "glpat-secret", "GITLAB_WEBHOOK_SECRET": "hook-secret", "ADMINS": "U1",
	} {
		t.Setenv("KOVRA_"+name, value)
	}
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	nowhere(t)
	out, err := call(t, "check")
	if !errors.Is(err, errWrong) {
		t.Errorf("it ended with %v", err)
	}
	for _, want := range []string{"slack.api.unreachable", "gitlab.api.unreachable", "public.address.unset", "3 wrong", "connection refused"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if strings.Contains(out, "secret\n") || strings.Contains(out, "glpat-") || strings.Contains(out, "xoxb-secret") {
		t.Errorf("it prints a secret:\n%s", out)
	}
}

func TestCheckAsJSON(t *testing.T) {
	nowhere(t)
	out, err := call(t, "check", "--json", "--timeout", "5s")
	if !errors.Is(err, errWrong) {
		t.Errorf("it ended with %v", err)
	}
	var report installation.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v in:\n%s", err, out)
	}
	if !slices.ContainsFunc(report, func(f installation.Finding) bool { return f.ID == "gitlab.api.unreachable" && f.Mend != "" }) {
		t.Errorf("report %+v", report)
	}
	if _, err := call(t, "check", "more"); err == nil || errors.Is(err, errWrong) {
		t.Errorf("it takes arguments: %v", err)
	}
}
