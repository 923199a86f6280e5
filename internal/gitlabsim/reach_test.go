package gitlabsim_test

import (
	"strings"
	"testing"

	"kovra.dev/chatops/internal/gitlabsim"
)

func TestATokenReachesAsFarAsItsScopes(t *testing.T) {
	w := newWorld(t)
	for scope, want := range map[string][4]int{
		"api":             {200, 200, 200, 201},
		"read_api":        {200, 200, 200, 403},
		"read_user":       {200, 200, 403, 403},
		"read_repository": {200, 403, 403, 403},
	} {
		w.s.DescribeToken("glpat-sim", gitlabsim.Token{Scopes: []string{scope}})
		hooks := "/api/v4/projects/" + strings.ReplaceAll(w.web.Path, "/", "%2F") + "/hooks"
		var got [4]int
		var body string
		got[0], _, _ = w.raw("GET", "/api/v4/personal_access_tokens/self", "glpat-sim", "")
		got[1], _, _ = w.raw("GET", "/api/v4/version", "glpat-sim", "")
		got[2], _, _ = w.raw("GET", hooks, "glpat-sim", "")
		got[3], _, body = w.raw("POST", hooks, "glpat-sim", `{"url": "https://kovra.example.com/hook"}`)
		if got != want {
			t.Errorf("%s: answers %v, want %v", scope, got, want)
		}
		if got[3] == 403 && !strings.Contains(body, "insufficient_scope") {
			t.Errorf("%s: refused with %s", scope, body)
		}
	}
}

func TestTheVersionCanBeAnOlderOne(t *testing.T) {
	w := newWorld(t)
	w.s.SetVersion("16.2.0")
	if _, _, body := w.raw("GET", "/api/v4/version", "glpat-sim", ""); !strings.Contains(body, `"16.2.0-ee"`) {
		t.Errorf("it says %s", body)
	}
}
