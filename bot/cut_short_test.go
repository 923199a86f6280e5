package bot

import (
	"strings"
	"testing"

	"kovra.dev/chatops/internal/kovra"
)

// TestAppsBeyondTheList: the gate's list is cut short where GitLab would have to be asked about hundreds of projects. Who names an app
// gets it all the same, if the gate lets them read it; else it is like one that there is not.
func TestAppsBeyondTheList(t *testing.T) {
	d := newDesk(t)
	d.gate.veiled = []string{"api", "secret"}
	for line, want := range map[string]string{
		"/pipeline api":         "Pipelines of api",
		"/pipeline API main":    "Pipelines of api",
		"/kovra app api":        "api",
		"/kovra audit api":      "api",
		"/build settings api":   "api",
		"/pipeline secret main": "There is no app \"secret\"",
		"/kovra app secret":     "There is no app \"secret\"",
		"/kovra app nothing":    "There is no app \"nothing\"",
	} {
		got := d.slash("U1", "C2", line).Text()
		wantText(t, got, want)
		if want == "api" && strings.Contains(got, "There is no app") {
			t.Errorf("%s: %s", line, got)
		}
	}
	// Where the gate cannot be asked about it, nobody is told that there is none.
	d.gate.unsure = &kovra.Error{Kind: kovra.Unavailable, Public: "GitLab could not be asked whether you may do that."}
	wantText(t, d.slash("U1", "C2", "/kovra app api").Text(), "GitLab could not be asked")
}
