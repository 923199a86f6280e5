package main

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What the panel makes happen in GitLab beside commits, in the order of a working day.
func TestEventsOfGitLab(t *testing.T) {
	d := start(t, "-no-story")
	d.link()
	project := d.lab().Projects[0].ID
	try := func(do string, id int64, text string) int {
		t.Helper()
		status, _, _ := d.do("POST", "api/gitlab/event", map[string]any{"project": project, "do": do, "id": id, "text": text, "user": "bob"})
		return status
	}
	now := func() *events { return d.lab().Projects[0].Events }
	for _, c := range []struct {
		do, text string
		deployed bool // it is about the newest deployment, not the newest merge request
		status   int
		want     events // what is new: the states of the newest merge request and deployment, and the tags
	}{
		{"release", "", false, http.StatusUnprocessableEntity, events{NextTag: "v1.1.0"}},
		{"request:merge", "", false, http.StatusUnprocessableEntity, events{NextTag: "v1.1.0"}},
		{"request:open", "", false, http.StatusOK, events{NextTag: "v1.1.0", Requests: []labRequest{{State: "opened"}}}},
		{"request:push", "", false, http.StatusOK, events{NextTag: "v1.1.0", Requests: []labRequest{{State: "opened"}}}},
		{"request:comment", "/kovra retry", false, http.StatusOK, events{NextTag: "v1.1.0", Requests: []labRequest{{State: "opened"}}}},
		{"request:approve", "", false, http.StatusOK, events{NextTag: "v1.1.0", Requests: []labRequest{{State: "opened", Approved: true}}}},
		{"request:merge", "", false, http.StatusOK, events{NextTag: "v1.1.0", Requests: []labRequest{{State: "merged", Approved: true}}}},
		{"request:close", "", false, http.StatusUnprocessableEntity, events{NextTag: "v1.1.0", Requests: []labRequest{{State: "merged", Approved: true}}}},
		{"deployment:start", "staging", true, http.StatusOK, events{NextTag: "v1.1.0", Deployments: []labDeployment{{Status: "running"}}}},
		{"deployment:approve", "", true, http.StatusUnprocessableEntity, events{NextTag: "v1.1.0", Deployments: []labDeployment{{Status: "running"}}}},
		{"deployment:success", "", true, http.StatusOK, events{NextTag: "v1.1.0", Deployments: []labDeployment{{Status: "success"}}}},
		{"deployment:start", "production", true, http.StatusOK, events{NextTag: "v1.1.0", Deployments: []labDeployment{{Status: "blocked"}}}},
		{"deployment:approve", "", true, http.StatusOK, events{NextTag: "v1.1.0", Deployments: []labDeployment{{Status: "running"}}}},
		{"tag", "", true, http.StatusOK, events{NextTag: "v1.2.0", Release: "v1.1.0", Deployments: []labDeployment{{Status: "running"}}}},
		{"release", "", true, http.StatusOK, events{NextTag: "v1.2.0", Deployments: []labDeployment{{Status: "running"}}}},
		{"party", "", true, http.StatusUnprocessableEntity, events{NextTag: "v1.2.0", Deployments: []labDeployment{{Status: "running"}}}},
	} {
		var id int64
		if e := now(); c.deployed && len(e.Deployments) > 0 {
			id = e.Deployments[0].ID
		} else if !c.deployed && len(e.Requests) > 0 {
			id = e.Requests[0].IID
		}
		if got := try(c.do, id, c.text); got != c.status {
			t.Errorf("%s %s: status %d, want %d", c.do, c.text, got, c.status)
		}
		e := now()
		got := events{NextTag: e.NextTag, Release: e.Release}
		if c.deployed {
			got.Deployments = []labDeployment{{Status: e.Deployments[0].Status}}
		} else if len(e.Requests) > 0 {
			got.Requests = []labRequest{{State: e.Requests[0].State, Approved: e.Requests[0].Approved}}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("after %s %s (-want +got):\n%s", c.do, c.text, diff)
		}
	}
}
