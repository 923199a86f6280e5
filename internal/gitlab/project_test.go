package gitlab

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/kovra"
)

func TestParseProject(t *testing.T) {
	good := map[string]string{
		"group/web":                            "group/web",
		" group/sub.group/web ":                "group/sub.group/web",
		"/group/web/":                          "group/web",
		"42":                                   "42",
		"https://gitlab.example.com/group/web": "group/web",
		"https://gitlab.example.com/group/web.git":                    "group/web",
		"https://gitlab.example.com/group/web/-/pipelines/42?x=1#top": "group/web",
		"http://GitLab.example.com/group/web/-":                       "group/web",
		"gitlab.example.com/group/web":                                "group/web",
		"git@gitlab.example.com:group/web.git":                        "group/web",
		"ssh://git@gitlab.example.com:2222/group/web.git":             "group/web",
		"<https://gitlab.example.com/group/web>":                      "group/web",
		"<https://gitlab.example.com/group/web|group/web>":            "group/web",
	}
	for in, want := range good {
		if got, err := ParseProject(testURL, in); err != nil || got != want {
			t.Errorf("ParseProject(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "web", "-42", "+42", "group/../web", "group//web", "group/w eb", "https://gitlab.com/group/web", "https://gitlab.example.com",
		"https://gitlab.example.com:8443/group/web", "git@gitlab.com:group/web.git", "https://%zz/", "https:///group/web", "./web",
		strings.Repeat("x", 500),
	} {
		_, err := ParseProject(testURL, in)
		wantKind(t, err, kovra.Invalid)
	}
	if got, err := ParseProject("https://host/gitlab", "https://host/gitlab/group/web/-/jobs/7"); err != nil || got != "group/web" {
		t.Errorf("below a path: got %q, %v", got, err)
	}
	_, err := ParseProject("nonsense", "group/web")
	wantKind(t, err, kovra.Invalid)
}

func FuzzParseProject(f *testing.F) {
	for _, s := range []string{"group/web", "42", "https://gitlab.example.com/a/b/-/tree/x", "git@gitlab.example.com:a/b.git", "<https://gitlab.example.com/a/b|c>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseProject(testURL, s)
		if err != nil {
			if kovra.KindOf(err) != kovra.Invalid {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		if got == "" || strings.Contains(got, "..") || strings.ContainsAny(got, " ?#%:@<>|\\") || strings.HasPrefix(got, "/") {
			t.Fatalf("ParseProject(%q) = %q", s, got)
		}
	})
}

func TestProject(t *testing.T) {
	w := newWorld(t)
	want := kovra.Project{ID: w.web.ID, Path: "group/web", Name: "Web", URL: testURL + "/group/web", DefaultBranch: "main"}
	for _, key := range []string{"group/web", fmt.Sprint(w.web.ID), testURL + "/group/web/-/pipelines"} {
		got, err := w.Project(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", key, d)
		}
	}
	_, err := w.Project(t.Context(), "group/none")
	if e := wantKind(t, err, kovra.NotFound); !strings.Contains(e.Public, "group/none") {
		t.Errorf("got %q", e.Public)
	}
	_, err = w.Project(t.Context(), "not a project")
	wantKind(t, err, kovra.Invalid)
}

func TestSearchProjects(t *testing.T) {
	w := newWorld(t)
	w.sim.AddProject(gitlabsim.Project{Path: "group/website"})
	w.sim.AddProject(gitlabsim.Project{Path: "other/api"})
	for query, want := range map[string]int{"web": 2, "": 3, "nothing": 0} {
		got, err := w.SearchProjects(t.Context(), query, 10)
		if err != nil || len(got) != want {
			t.Errorf("%q: got %d, %v, want %d", query, len(got), err, want)
		}
	}
	if got, err := w.SearchProjects(t.Context(), "", 1); err != nil || len(got) != 1 {
		t.Errorf("limit: got %d, %v", len(got), err)
	}
	w.sim.SetDown(true)
	_, err := w.SearchProjects(t.Context(), "web", 10)
	wantKind(t, err, kovra.Unavailable)
}

func TestRefsAndHead(t *testing.T) {
	w := newWorld(t)
	c, _ := w.web.Push("feature/login", "Add login", "alice")
	w.sim.CreateTag(w.web.ID, "v1.0", "main", "alice")
	branches, tags, err := w.Refs(t.Context(), w.web.ID, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"feature/login", "main"}, branches); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"v1.0"}, tags); d != "" {
		t.Error(d)
	}
	branches, tags, err = w.Refs(t.Context(), w.web.ID, "login", 10)
	if err != nil || len(branches) != 1 || len(tags) != 0 {
		t.Errorf("got %v %v %v", branches, tags, err)
	}
	for _, fault := range []string{"GET /projects/:id/repository/branches", "GET /projects/:id/repository/tags"} {
		w.sim.Fault(gitlabsim.Status(fault, 403))
		_, _, err = w.Refs(t.Context(), w.web.ID, "", 10)
		wantKind(t, err, kovra.Denied)
	}

	head, err := w.Head(t.Context(), w.web.ID, "feature/login")
	if err != nil || head != c.SHA {
		t.Errorf("got %q, %v, want %q", head, err, c.SHA)
	}
	_, err = w.Head(t.Context(), w.web.ID, "gone")
	if e := wantKind(t, err, kovra.NotFound); !strings.Contains(e.Public, "branch gone") {
		t.Errorf("got %q", e.Public)
	}
	_, err = w.Head(t.Context(), w.web.ID, "v1.0")
	wantKind(t, err, kovra.NotFound)
	_, err = w.Head(t.Context(), w.web.ID, " ")
	wantKind(t, err, kovra.Invalid)
}

func TestCommit(t *testing.T) {
	w := newWorld(t)
	c, _ := w.web.Push("feature/login", "Add login\n\nAt last.", "alice")
	tagged, _ := w.sim.CreateTag(w.web.ID, "v1.0", "main", "alice")
	author := kovra.GitLabUser{Name: c.Author}
	want := kovra.Commit{SHA: c.SHA, Title: "Add login", Author: author}
	for ref, want := range map[string]kovra.Commit{
		"feature/login": want, c.SHA: want, c.SHA[:8]: want,
		"v1.0": {SHA: tagged.SHA, Title: tagged.Title, Author: kovra.GitLabUser{Name: tagged.Author}},
	} {
		got, err := w.Commit(t.Context(), w.web.ID, ref)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s: %v\n%s", ref, err, d)
		}
	}
}

func TestTags(t *testing.T) {
	w := newWorld(t)
	before := time.Now().Add(-time.Minute)
	c, _ := w.web.Push("main", "One", "alice")
	w.sim.CreateTag(w.web.ID, "v1", "main", "alice")
	w.sim.CreateAnnotatedTag(w.web.ID, "v2", "main", "alice")
	got, err := w.Tags(t.Context(), w.web.ID, 9)
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, tag := range got {
		if tag.Commit.SHA != c.SHA || tag.Commit.Title != "One" || tag.MadeAt.Before(before) {
			t.Errorf("%+v", tag)
		}
	}
	if got, err := w.Tags(t.Context(), w.web.ID, 1); err != nil || len(got) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = w.Tags(t.Context(), 999, 1)
	wantKind(t, err, kovra.NotFound)
}

// TestBranchBeforeTag: a tag that is called like a branch does not stand in its place.
func TestBranchBeforeTag(t *testing.T) {
	w := newWorld(t)
	w.web.Push("1.0", "On the branch", "alice")
	w.sim.CreateTag(w.web.ID, "1.0", "main", "alice")
	for what, ask := range map[string]func(context.Context, int64, string) (kovra.Commit, error){"branch": w.Branch, "commit": w.Commit} {
		if got, err := ask(t.Context(), w.web.ID, "1.0"); err != nil || got.Title != "On the branch" {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
}

func TestCommitRefuses(t *testing.T) {
	w := newWorld(t)
	for _, ref := range []string{"", " ", "main~1", "main^", "a..b", "main@{1}", "-x", "a b", "a\nb", "refs:x"} {
		_, err := w.Commit(t.Context(), w.web.ID, ref)
		wantKind(t, err, kovra.Invalid)
	}
	if n := w.sim.CallCount("GET /projects/:id/repository/commits/:sha"); n != 0 {
		t.Errorf("asked GitLab %d times", n)
	}
	for _, project := range []int64{w.web.ID, 999} {
		_, err := w.Commit(t.Context(), project, "gone")
		if e := wantKind(t, err, kovra.NotFound); !strings.Contains(e.Public, "branch or tag gone") {
			t.Errorf("project %d: got %q", project, e.Public)
		}
	}
	w.sim.CreateTag(w.web.ID, "v1.0", "main", "alice")
	for endpoint, ref := range map[string]string{
		"GET /projects/:id/repository/branches/:branch": "main", "GET /projects/:id/repository/commits/:sha": "v1.0",
	} {
		w.sim.Fault(gitlabsim.Status(endpoint, 500).Times(2))
		_, err := w.Commit(t.Context(), w.web.ID, ref)
		wantKind(t, err, kovra.Unavailable)
		w.sim.Fault(gitlabsim.Status(endpoint, 403))
		_, err = w.Commit(t.Context(), w.web.ID, ref)
		wantKind(t, err, kovra.Denied)
	}
	calls := 0
	_, err := always(t, &calls, 200, `{"id":"main"}`).Commit(t.Context(), w.web.ID, "main")
	wantKind(t, err, kovra.Unavailable)
}
