package gitlabsim_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"kovra.dev/chatops/internal/gitlabsim"
)

// What each role may do, in a private project whose pipelines members may see.
func TestRolesDecide(t *testing.T) {
	w := newWorld(t)
	ref := w.push()
	w.finish(ref, "compile", "failed")
	job, base := w.job(ref, "compile").ID, fmt.Sprintf("/api/v4/projects/%d", w.web.ID)
	people := []string{"eve", "gus", "rita", "dev", "mara", "owen"}
	for _, tt := range []struct {
		method, path, body string
		want               [6]int // stranger, Guest, Reporter, Developer, Maintainer, Owner
	}{
		{"GET", "", "", [6]int{404, 200, 200, 200, 200, 200}},
		{"GET", fmt.Sprintf("/pipelines/%d", ref.ID), "", [6]int{404, 200, 200, 200, 200, 200}},
		{"GET", fmt.Sprintf("/jobs/%d/trace", job), "", [6]int{404, 200, 200, 200, 200, 200}},
		{"GET", "/repository/branches", "", [6]int{404, 403, 200, 200, 200, 200}},
		{"POST", "/pipeline", `{"ref":"main"}`, [6]int{404, 403, 403, 201, 201, 201}},
		{"POST", fmt.Sprintf("/pipelines/%d/retry", ref.ID), "", [6]int{404, 403, 403, 201, 201, 201}},
		{"POST", fmt.Sprintf("/pipelines/%d/cancel", ref.ID), "", [6]int{404, 403, 403, 200, 200, 200}},
		{"POST", fmt.Sprintf("/jobs/%d/retry", job), "", [6]int{404, 403, 403, 403, 403, 403}}, // "not retryable" since the pipeline was retried
		{"POST", fmt.Sprintf("/jobs/%d/cancel", job), "", [6]int{404, 403, 403, 201, 201, 201}},
		{"GET", "/hooks", "", [6]int{404, 403, 403, 403, 200, 200}},
	} {
		got := [6]int{}
		for i, name := range people {
			got[i], _, _ = w.raw(tt.method, base+tt.path, "tok-"+name, tt.body)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", tt.method, tt.path, diff)
		}
	}
}

func TestPipelinesMayBeKeptFromGuests(t *testing.T) {
	w := newWorld(t)
	p := w.s.AddProject(gitlabsim.Project{Path: "group/open", Visibility: "public", Members: map[string]int{"gus": 10, "rita": 20}, PrivatePipelines: true})
	base := fmt.Sprintf("/api/v4/projects/%d", p.ID)
	for name, want := range map[string]int{"eve": 403, "gus": 403, "rita": 200} {
		if code, _, _ := w.raw("GET", base+"/pipelines", "tok-"+name, ""); code != want {
			t.Errorf("%s lists pipelines: %d, want %d", name, code, want)
		}
		if code, _, _ := w.raw("GET", base+"/repository/branches", "tok-"+name, ""); code != 200 {
			t.Errorf("%s lists branches of a public project: %d", name, code)
		}
	}
}

func TestProtectedRefsNeedTheirLevel(t *testing.T) {
	w := newWorld(t)
	ref := w.push()
	run := func(user string) error {
		_, _, err := w.as(user).Pipelines.CreatePipeline(w.web.ID, &gitlab.CreatePipelineOptions{Ref: new("main")})
		return err
	}
	w.s.Protect(w.web.ID, "main", gitlabsim.Maintainer)
	wantRefusal(t, run("dev"), http.StatusBadRequest, "sufficient permission to run a pipeline on 'main'")
	_, _, err := w.as("dev").Pipelines.CancelPipelineBuild(w.web.ID, ref.ID)
	wantRefusal(t, err, http.StatusForbidden, "403 Forbidden")
	must(t, run("mara"))
	w.s.Protect(w.web.ID, "main", 0)
	must(t, run("dev"))
}

func TestPermissionsOfTheOneWhoAsks(t *testing.T) {
	w := newWorld(t)
	w.s.SetGroupMember(w.web.ID, "rita", gitlabsim.Maintainer)
	w.s.SetGroupMember(w.web.ID, "eve", gitlabsim.Developer)
	for _, tt := range []struct {
		user           string
		project, group int // 0: null
	}{{"dev", 30, 0}, {"rita", 20, 40}, {"eve", 0, 30}, {"root", 0, 0}, {"", 40, 0}} {
		p, _, err := w.as(tt.user).Projects.GetProject(w.web.ID, nil)
		must(t, err)
		project, group := 0, 0
		if a := p.Permissions.ProjectAccess; a != nil {
			project = int(a.AccessLevel)
		}
		if a := p.Permissions.GroupAccess; a != nil {
			group = int(a.AccessLevel)
		}
		if project != tt.project || group != tt.group {
			t.Errorf("%q: project %d, group %d, want %d, %d", tt.user, project, group, tt.project, tt.group)
		}
	}
	level := func(user string) int {
		m, _, err := w.as("").ProjectMembers.GetInheritedProjectMember(w.web.ID, userID(t, w, user))
		if err != nil {
			wantNotFound(t, err)
			return 0
		}
		return int(m.AccessLevel)
	}
	for user, want := range map[string]int{"dev": 30, "rita": 40, "eve": 30, "root": 0} {
		if got := level(user); got != want {
			t.Errorf("members/all has %s with %d, want %d", user, got, want)
		}
	}
	_, _, err := w.as("").ProjectMembers.GetProjectMember(w.web.ID, userID(t, w, "eve"))
	wantNotFound(t, err)
	if _, _, err = w.as("eve").Pipelines.CreatePipeline(w.web.ID, &gitlab.CreatePipelineOptions{Ref: new("main")}); err != nil {
		t.Errorf("the group's role does not count: %v", err)
	}
}

func TestProjectsThatOneMaySee(t *testing.T) {
	w := newWorld(t)
	w.s.AddProject(gitlabsim.Project{Path: "group/open", Visibility: "public"})
	w.s.AddProject(gitlabsim.Project{Path: "team/web-api", GroupMembers: map[string]int{"rita": 10}})
	for _, tt := range []struct {
		user string
		opt  gitlab.ListProjectsOptions
		want string
	}{
		{"rita", gitlab.ListProjectsOptions{}, "group/web-shop group/open team/web-api"},
		{"eve", gitlab.ListProjectsOptions{}, "group/open"},
		{"eve", gitlab.ListProjectsOptions{Membership: new(true)}, ""},
		{"rita", gitlab.ListProjectsOptions{Membership: new(true)}, "group/web-shop team/web-api"},
		{"rita", gitlab.ListProjectsOptions{MinAccessLevel: new(gitlab.ReporterPermissions)}, "group/web-shop"},
		{"rita", gitlab.ListProjectsOptions{Search: new("web")}, "group/web-shop team/web-api"},
		{"rita", gitlab.ListProjectsOptions{Search: new("team"), SearchNamespaces: new(true)}, "team/web-api"},
	} {
		tt.opt.OrderBy, tt.opt.Sort = new("id"), new("asc")
		list, _, err := w.as(tt.user).Projects.ListProjects(&tt.opt)
		must(t, err)
		got := []string{}
		for _, p := range list {
			got = append(got, p.PathWithNamespace)
		}
		if text := strings.Join(got, " "); text != tt.want {
			t.Errorf("%s: got %q, want %q", tt.user, text, tt.want)
		}
	}
}

func TestAddressesAreShownToThoseWhoMay(t *testing.T) {
	w := newWorld(t)
	w.s.AddUser(gitlabsim.User{Username: "pat", Email: "pat@private.example", PublicEmail: "pat@public.example", Token: "tok-pat"})
	w.s.AddUser(gitlabsim.User{Username: "newbie", Email: "n@example.com", Token: "tok-newbie", Unconfirmed: true})
	id := userID(t, w, "pat")
	for _, tt := range []struct{ viewer, email string }{{"dev", ""}, {"pat", "pat@private.example"}, {"root", "pat@private.example"}} {
		u, _, err := w.as(tt.viewer).Users.GetUser(id, nil)
		must(t, err)
		if u.PublicEmail != "pat@public.example" || u.Email != tt.email {
			t.Errorf("%s sees %q and %q", tt.viewer, u.PublicEmail, u.Email)
		}
	}
	me, _, err := w.as("newbie").Users.CurrentUser()
	must(t, err)
	if me.ConfirmedAt != nil || me.Email != "n@example.com" {
		t.Errorf("got %+v", me)
	}
	find := func(viewer, search string) int {
		list, _, err := w.as(viewer).Users.ListUsers(&gitlab.ListUsersOptions{Search: &search})
		must(t, err)
		return len(list)
	}
	if find("dev", "pat@private.example") != 0 || find("root", "pat@private.example") != 1 || find("dev", "pat@public.example") != 1 {
		t.Error("a private address finds its owner for administrators only")
	}
	w.web.AddHook(gitlabsim.Hook{URL: receiver})
	w.s.RunPipeline(w.web.ID, "main", "web", "pat")
	if got := decode[*gitlab.PipelineEvent](t, w.hooks("Pipeline Hook")[0]).User.Email; got != "pat@public.example" {
		t.Errorf("the hook has %q", got)
	}
}

func wantNotFound(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, gitlab.ErrNotFound) {
		t.Errorf("got %v, want a 404", err)
	}
}
