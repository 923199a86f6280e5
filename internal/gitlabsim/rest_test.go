package gitlabsim_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"kovra.dev/chatops/internal/gitlabsim"
)

func readAll(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(body)
}

func TestRefusalsAreWordedAsGitLabWordsThem(t *testing.T) {
	w := newWorld(t)
	ref := w.push()
	w.s.RevokeToken("tok-gone")
	private := "/api/v4/projects/group%2Fweb-shop"
	for _, c := range []struct {
		name, method, path, token, body string
		code                            int
		want                            string
	}{
		{"no token", "GET", private, "", "", 401, `{"message":"401 Unauthorized"}`},
		{"wrong token", "GET", private, "nope", "", 401, `{"message":"401 Unauthorized"}`},
		{"revoked token", "GET", private, "tok-gone", "", 401, `invalid_token`},
		{"stranger", "GET", private, "tok-eve", "", 404, `{"message":"404 Project Not Found"}`},
		{"no such project", "GET", "/api/v4/projects/4711", "tok-dev", "", 404, `{"message":"404 Project Not Found"}`},
		{"no such endpoint", "GET", "/api/v4/nonsense", "tok-dev", "", 404, `{"error":"404 Not Found"}`},
		{"bad escape", "GET", "/api/v4/projects/%25zz", "tok-dev", "", 404, `404 Project Not Found`},
		{"no such pipeline", "GET", private + "/pipelines/999", "tok-dev", "", 404, `{"message":"404 Not found"}`},
		{"pipeline id is a word", "GET", private + "/pipelines/abc", "tok-dev", "", 400, `{"error":"pipeline_id is invalid"}`},
		{"no such job", "GET", private + "/jobs/999", "tok-dev", "", 404, `{"message":"404 Not found"}`},
		{"job id is a word", "GET", private + "/jobs/x/trace", "tok-dev", "", 400, `job_id is invalid`},
		{"no such branch", "GET", private + "/repository/branches/none", "tok-dev", "", 404, `404 Branch Not Found`},
		{"no such tag", "GET", private + "/repository/tags/none", "tok-dev", "", 404, `404 Tag Not Found`},
		{"no such commit", "GET", private + "/repository/commits/0123456789", "tok-dev", "", 404, `404 Commit Not Found`},
		{"no such user", "GET", "/api/v4/users/999", "tok-dev", "", 404, `404 User Not Found`},
		{"user id is a word", "GET", "/api/v4/users/abc", "tok-dev", "", 400, `user_id is invalid`},
		{"no member", "GET", private + "/members/all/999", "tok-dev", "", 404, `404 Not found`},
		{"reporter runs", "POST", private + "/pipeline", "tok-rita", `{"ref":"main"}`, 403, `{"message":"403 Forbidden"}`},
		{"reporter retries", "POST", private + "/pipelines/101/retry", "tok-rita", "", 403, `403 Forbidden`},
		{"developer reads hooks", "GET", private + "/hooks", "tok-dev", "", 403, `403 Forbidden`},
		{"no ref", "POST", private + "/pipeline", "tok-dev", `{}`, 400, `{"error":"ref is missing"}`},
		{"body is no JSON", "POST", private + "/pipeline", "tok-dev", `{`, 400, `not valid JSON`},
		{"unknown ref", "POST", private + "/pipeline", "tok-dev", `{"ref":"none"}`, 400, `{"message":{"base":["Reference not found"]}}`},
		{"variables are no list", "POST", private + "/pipeline", "tok-dev", `{"ref":"main","variables":"A"}`, 400, `variables is invalid`},
		{"variable without key", "POST", private + "/pipeline", "tok-dev", `{"ref":"main","variables":[{}]}`, 400, `variables[key] is missing`},
		{"bad status filter", "GET", private + "/pipelines?status=canceling", "tok-dev", "", 400, `status does not have a valid value`},
		{"bad scope", "GET", private + "/pipelines?scope=x", "tok-dev", "", 400, `scope does not have`},
		{"bad source", "GET", private + "/pipelines?source=x", "tok-dev", "", 400, `source does not have`},
		{"bad time", "GET", private + "/pipelines?updated_after=x", "tok-dev", "", 400, `updated_after is invalid`},
		{"bad order", "GET", private + "/pipelines?order_by=x", "tok-dev", "", 400, `order_by does not have`},
		{"bad sort", "GET", private + "/pipelines?sort=x", "tok-dev", "", 400, `sort does not have`},
		{"bad page size", "GET", private + "/pipelines?per_page=0", "tok-dev", "", 400, `per_page has a value not allowed`},
		{"bad job scope", "GET", private + "/pipelines/101/jobs?scope[]=x", "tok-dev", "", 400, `scope does not have`},
		{"keyset by status", "GET", private + "/pipelines?order_by=status&pagination=keyset", "tok-dev", "", 405, `Keyset pagination`},
		{"hook without url", "POST", private + "/hooks", "tok-mara", `{}`, 400, `{"error":"url is missing"}`},
		{"hook with bad url", "POST", private + "/hooks", "tok-mara", `{"url":"ftp://x"}`, 422, `Invalid url given`},
		{"bad signing token", "POST", private + "/hooks", "tok-mara", `{"url":"http://x","signing_token":"s"}`, 422, `Signing token is invalid`},
		{"no such hook", "DELETE", private + "/hooks/99", "tok-mara", "", 404, `404 Not found`},
		{"hook id is a word", "PUT", private + "/hooks/x", "tok-mara", "", 400, `hook_id is invalid`},
	} {
		code, _, body := w.raw(c.method, c.path, c.token, c.body)
		if code != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s: got %d %s, want %d with %s", c.name, code, body, c.code, c.want)
		}
	}
	if ref.ID != 101 {
		t.Errorf("first pipeline has id %d", ref.ID)
	}
}

func TestPeopleAndVersion(t *testing.T) {
	w := newWorld(t)
	me, _, err := w.as("dev").Users.CurrentUser()
	must(t, err)
	if me.Username != "dev" || me.Email != "dev@example.com" {
		t.Errorf("/user gave %s <%s>", me.Username, me.Email)
	}
	other, _, err := w.as("rita").Users.GetUser(me.ID, nil)
	must(t, err)
	if other.Username != "dev" || other.Email != "" {
		t.Errorf("/users/:id gave %q <%s>; a stranger must not see the address", other.Username, other.Email)
	}
	list, _, err := w.as("dev").Users.ListUsers(&gitlab.ListUsersOptions{Username: new("MARA")})
	must(t, err)
	if len(list) != 1 || list[0].Username != "mara" {
		t.Errorf("/users?username= gave %v", list)
	}
	version, _, err := w.as("").Version.GetVersion()
	must(t, err)
	if version.Version != "19.4.0-ee" {
		t.Errorf("version %q", version.Version)
	}
	meta, _, err := w.as("").Metadata.GetMetadata()
	must(t, err)
	if !meta.Enterprise {
		t.Error("metadata lost its edition")
	}
	w.s.AddToken("dev", "oauth-1")
	req, err := http.NewRequestWithContext(t.Context(), "GET", "https://x/api/v4/user", nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer oauth-1")
	resp, err := w.s.Client().Do(req)
	must(t, err)
	if body := readAll(t, resp); !strings.Contains(body, `"username":"dev"`) {
		t.Errorf("a bearer token gave %s", body)
	}
}

func TestProjectsAreListedByMembershipAndLevel(t *testing.T) {
	w := newWorld(t)
	w.s.AddProject(gitlabsim.Project{Path: "group/open-docs", Visibility: "public"})
	w.s.AddProject(gitlabsim.Project{Path: "other/api", Members: map[string]int{"dev": 40}, VariablesRole: "owner"})
	paths := func(user string, o gitlab.ListProjectsOptions) string {
		o.Sort = new("asc")
		o.OrderBy = new("id")
		list, _, err := w.as(user).Projects.ListProjects(&o)
		must(t, err)
		got := []string{}
		for _, p := range list {
			got = append(got, p.PathWithNamespace)
		}
		return strings.Join(got, " ")
	}
	maintainer := gitlab.AccessLevelValue(40)
	for _, c := range []struct {
		name, user, want string
		o                gitlab.ListProjectsOptions
	}{
		{"all that dev sees", "dev", "group/web-shop group/open-docs other/api", gitlab.ListProjectsOptions{}},
		{"stranger", "eve", "group/open-docs", gitlab.ListProjectsOptions{}},
		{"own", "dev", "group/web-shop other/api", gitlab.ListProjectsOptions{Membership: new(true)}},
		{"own by level", "dev", "other/api", gitlab.ListProjectsOptions{MinAccessLevel: &maintainer}},
		{"search", "dev", "group/web-shop", gitlab.ListProjectsOptions{Search: new("SHOP"), Simple: new(true)}},
		{"search finds no namespace", "dev", "", gitlab.ListProjectsOptions{Search: new("other")}},
		{"unless asked", "dev", "other/api", gitlab.ListProjectsOptions{Search: new("other"), SearchNamespaces: new(true)}},
		{"admin", "root", "group/web-shop group/open-docs other/api", gitlab.ListProjectsOptions{}},
	} {
		if got := paths(c.user, c.o); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	p, _, err := w.as("dev").Projects.GetProject("other/api", nil)
	must(t, err)
	if p.Permissions == nil || p.Permissions.ProjectAccess == nil || p.Permissions.ProjectAccess.AccessLevel != 40 {
		t.Errorf("permissions of a Maintainer: %+v", p.Permissions)
	}
	if p.NameWithNamespace != "Other / Api" || p.WebURL != "https://gitlab.example.com/other/api" {
		t.Errorf("project is %q at %s", p.NameWithNamespace, p.WebURL)
	}
}

func TestMembersAreFoundByUserID(t *testing.T) {
	w := newWorld(t)
	me, _, err := w.as("dev").Users.CurrentUser()
	must(t, err)
	m, _, err := w.as("").ProjectMembers.GetInheritedProjectMember(w.web.ID, me.ID)
	must(t, err)
	if m.AccessLevel != 30 {
		t.Errorf("dev has level %d", m.AccessLevel)
	}
	w.web.SetMember("dev", 0)
	_, _, err = w.as("").ProjectMembers.GetInheritedProjectMember(w.web.ID, me.ID)
	if err == nil {
		t.Error("a removed member was found")
	}
	all, _, err := w.as("").ProjectMembers.ListAllProjectMembers(w.web.ID, nil)
	must(t, err)
	if len(all) != 5 { // owner, maintainer, reporter, guest and the bot
		t.Errorf("%d members", len(all))
	}
}

func TestRefsAreSearchedAndPaged(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"feature/cart", "feature/search", "fix-cart"} {
		w.s.CreateBranch(w.web.ID, name, "main", "dev")
	}
	names := func(search string) []string {
		list, _, err := w.as("dev").Branches.ListBranches(w.web.ID, &gitlab.ListBranchesOptions{Search: new(search)})
		must(t, err)
		got := []string{}
		for _, b := range list {
			got = append(got, b.Name)
		}
		return got
	}
	for search, want := range map[string][]string{
		"cart":         {"feature/cart", "fix-cart"},
		"^feature":     {"feature/cart", "feature/search"},
		"cart$":        {"feature/cart", "fix-cart"},
		"^fix-cart$":   {"fix-cart"},
		"":             {"feature/cart", "feature/search", "fix-cart", "main"},
		"nothing here": {},
	} {
		if diff := cmp.Diff(want, names(search)); diff != "" {
			t.Errorf("search %q (-want +got):\n%s", search, diff)
		}
	}
	b, _, err := w.as("dev").Branches.GetBranch(w.web.ID, "feature/cart")
	must(t, err)
	if b.Name != "feature/cart" || b.Default || b.Commit == nil || !b.CanPush {
		t.Errorf("branch is %+v", b)
	}
	w.s.DeleteBranch(w.web.ID, "fix-cart", "dev")
	if got := names("fix"); len(got) != 0 {
		t.Errorf("deleted branch is listed: %v", got)
	}
	for _, name := range []string{"v1.0", "v1.1"} {
		w.s.CreateTag(w.web.ID, name, "main", "mara")
		w.pass(1e9)
	}
	tags, _, err := w.as("dev").Tags.ListTags(w.web.ID, nil)
	must(t, err)
	if len(tags) != 2 || tags[0].Name != "v1.1" {
		t.Errorf("tags are not newest first: %v", tags)
	}
	tag, _, err := w.as("dev").Tags.GetTag(w.web.ID, "v1.0")
	must(t, err)
	commit, _, err := w.as("dev").Commits.GetCommit(w.web.ID, tag.Commit.ID[:8], nil)
	must(t, err)
	if commit.ID != tag.Commit.ID || commit.LastPipeline == nil {
		t.Errorf("commit is %+v", commit)
	}
}

func TestPagesByNumberCarryHeadersAndLinks(t *testing.T) {
	w := newWorld(t)
	for range 5 {
		w.push()
	}
	c := w.as("dev")
	first, resp, err := c.Pipelines.ListProjectPipelines(w.web.ID, &gitlab.ListProjectPipelinesOptions{ListOptions: gitlab.ListOptions{PerPage: 2}})
	must(t, err)
	if len(first) != 2 || first[0].ID != 105 || resp.NextPage != 2 || resp.TotalItems != 5 || resp.TotalPages != 3 {
		t.Errorf("page 1: %v, next %d, %d items on %d pages", first, resp.NextPage, resp.TotalItems, resp.TotalPages)
	}
	link := resp.Header.Get("Link")
	for _, rel := range []string{"next", "first", "last"} {
		if !strings.Contains(link, `rel="`+rel+`"`) {
			t.Errorf("Link has no %s: %s", rel, link)
		}
	}
	last, resp, err := c.Pipelines.ListProjectPipelines(w.web.ID, &gitlab.ListProjectPipelinesOptions{ListOptions: gitlab.ListOptions{PerPage: 2, Page: 3}})
	must(t, err)
	if len(last) != 1 || resp.NextPage != 0 || resp.PreviousPage != 2 {
		t.Errorf("page 3: %d items, next %d, previous %d", len(last), resp.NextPage, resp.PreviousPage)
	}
}

func TestKeysetPagesAreNotShiftedByNewItems(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.push()
	}
	seen := []int64{}
	opts := &gitlab.ListProjectPipelinesOptions{ListOptions: gitlab.ListOptions{PerPage: 2, Pagination: "keyset"}}
	list, resp, err := w.as("dev").Pipelines.ListProjectPipelines(w.web.ID, opts)
	must(t, err)
	for {
		for _, p := range list {
			seen = append(seen, p.ID)
		}
		if resp.NextLink == "" {
			break
		}
		w.push() // must not push an old one onto the next page
		list, resp, err = w.as("dev").Pipelines.ListProjectPipelines(w.web.ID, opts, gitlab.WithKeysetPaginationParameters(resp.NextLink))
		must(t, err)
	}
	if diff := cmp.Diff([]int64{103, 102, 101}, seen); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	code, h, _ := w.raw("GET", "/api/v4/projects/group%2Fweb-shop/repository/branches?pagination=keyset&per_page=1", "tok-dev", "")
	if code != 200 || h.Get("Link") != "" {
		t.Errorf("one branch: %d, Link %q", code, h.Get("Link"))
	}
	w.s.CreateBranch(w.web.ID, "a", "main", "dev")
	_, h, _ = w.raw("GET", "/api/v4/projects/group%2Fweb-shop/repository/branches?pagination=keyset&per_page=1", "tok-dev", "")
	if !strings.Contains(h.Get("Link"), "page_token=a") {
		t.Errorf("Link of branches: %q", h.Get("Link"))
	}
}

func TestPagesForPeople(t *testing.T) {
	w := newWorld(t)
	c, ref := w.web.Push("main", "Fix <cart>", "dev")
	must(t, w.s.FinishPipeline(ref.ProjectID, ref.ID, "failed"))
	for path, want := range map[string]string{
		"/":                                   "Group / Web Shop",
		"/group/web-shop":                     "#101 main failed",
		"/group/web-shop/-/pipelines":         "#101 main failed",
		"/group/web-shop/-/pipelines/101":     "Pipeline #101: failed",
		"/group/web-shop/-/jobs/1002":         "FAIL: TestCartTotal",
		"/group/web-shop/-/commit/" + c.SHA:   "Fix &lt;cart&gt;",
		"/group/web-shop/-/tree/main":         "Fix &lt;cart&gt;",
		"/group/web-shop/-/merge_requests/12": "Merge request !12",
	} {
		code, _, body := w.raw("GET", path, "", "")
		if code != 200 || !strings.Contains(body, want) || strings.Contains(body, "\x1b") {
			t.Errorf("%s: %d without %q:\n%s", path, code, want, body)
		}
	}
	for _, path := range []string{"/nobody/here", "/group/web-shop/-/pipelines/9", "/group/web-shop/-/jobs/9", "/group/web-shop/-/commit/0123456"} {
		if code, _, _ := w.raw("GET", path, "", ""); code != 404 {
			t.Errorf("%s: %d", path, code)
		}
	}
	w.s.SetDown(true)
	if code, h, body := w.raw("GET", "/api/v4/user", "tok-dev", ""); code != 503 || !strings.Contains(h.Get("Content-Type"), "html") || !strings.Contains(body, "<h1>") {
		t.Errorf("down: %d %s", code, body)
	}
	w.s.SetDown(false)
	if code, _, _ := w.raw("GET", "/api/v4/user", "tok-dev", ""); code != 200 {
		t.Errorf("up again: %d", code)
	}
	w.s.SetURL("http://localhost:8123/")
	if got := w.s.URL(); got != "http://localhost:8123" {
		t.Errorf("URL is %q", got)
	}
	p, _, err := w.as("dev").Projects.GetProject(w.web.ID, nil)
	must(t, err)
	if p.SSHURLToRepo != "git@localhost:group/web-shop.git" {
		t.Errorf("ssh URL %q", p.SSHURLToRepo)
	}
}
