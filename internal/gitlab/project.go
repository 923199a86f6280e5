package gitlab

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"kovra.dev/chatops/internal/kovra"
)

var (
	segment = regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9_.-]*$`)
	scpForm = regexp.MustCompile(`^[A-Za-z0-9_.-]+@([^:/]+):(.+)$`) // git@gitlab.com:group/web.git
)

// ParseProject reads how people name a project: an id, a path, or anything pasted
// from a browser or a clone button of the GitLab at base. It returns an id or a
// path, else an error of kind Invalid.
func ParseProject(base, s string) (string, error) {
	root, err := parseBase(base)
	if err != nil {
		return "", err
	}
	path := strings.TrimSpace(s)
	if link, ok := strings.CutPrefix(path, "<"); ok { // as Slack writes links
		path, _, _ = strings.Cut(strings.TrimSuffix(link, ">"), "|")
	}
	if m := scpForm.FindStringSubmatch(path); m != nil {
		path = "ssh://" + m[1] + "/" + m[2]
	} else if strings.HasPrefix(strings.ToLower(path), strings.ToLower(root.Host)+"/") {
		path = root.Scheme + "://" + path
	}
	if strings.Contains(path, "://") {
		if path, err = pathOfURL(root, path); err != nil {
			return "", err
		}
	}
	path, _, _ = strings.Cut(path+"/", "/-/")
	path = strings.TrimSuffix(strings.Trim(path, "/"), ".git")
	if isProject(path) {
		return path, nil
	}
	return "", kovra.Errorf(kovra.Invalid, "%q does not name a GitLab project; write it like group/project or paste its URL.", shorten(s))
}

func pathOfURL(root *url.URL, s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return "", kovra.Errorf(kovra.Invalid, "%q is not a URL.", shorten(s))
	}
	if !strings.EqualFold(u.Hostname(), root.Hostname()) || (u.Scheme != "ssh" && u.Port() != root.Port()) {
		return "", kovra.Errorf(kovra.Invalid, "That URL is of %s, but this bot works with %s.", shorten(u.Host), root.Host)
	}
	path := u.Path
	if rest, ok := strings.CutPrefix(path, root.Path+"/"); ok && u.Scheme != "ssh" {
		path = rest
	}
	return path, nil
}

func isProject(path string) bool {
	if _, err := strconv.ParseInt(path, 10, 64); err == nil {
		return !strings.HasPrefix(path, "-") && !strings.HasPrefix(path, "+")
	}
	parts := strings.Split(path, "/")
	for _, p := range parts {
		if !segment.MatchString(p) || strings.Contains(p, "..") || p == "." {
			return false
		}
	}
	return len(parts) > 1
}

func shorten(s string) string {
	if runes := []rune(s); len(runes) > 80 {
		return string(runes[:80]) + "…"
	}
	return s
}

// Project reads a project by id, path or URL. Hook and times are left to the caller.
func (c *Client) Project(ctx context.Context, pathOrID string) (kovra.Project, error) {
	key, err := ParseProject(c.base.String(), pathOrID)
	if err != nil {
		return kovra.Project{}, err
	}
	var pid any = key
	if id, err := strconv.ParseInt(key, 10, 64); err == nil {
		pid = id
	}
	p, err := fetch(ctx, c, call{doing: "read the project " + key, noun: "project " + key},
		func(o gl.RequestOptionFunc) (*gl.Project, *gl.Response, error) {
			return c.gl.Projects.GetProject(pid, nil, o)
		})
	if err != nil {
		return kovra.Project{}, err
	}
	return project(p), nil
}

func project(p *gl.Project) kovra.Project {
	return kovra.Project{ID: p.ID, Path: p.PathWithNamespace, Name: p.Name, URL: p.WebURL, DefaultBranch: p.DefaultBranch}
}

// SearchProjects returns up to limit projects that the client's user is a member of, lately
// used ones first; an empty query finds all.
func (c *Client) SearchProjects(ctx context.Context, query string, limit int) ([]kovra.Project, error) {
	opt := &gl.ListProjectsOptions{
		ListOptions: gl.ListOptions{PerPage: pageSize(limit)},
		Membership:  new(true), Archived: new(false), Simple: new(true), OrderBy: new("last_activity_at"), Sort: new("desc"),
	}
	if query = strings.TrimSpace(query); query != "" {
		opt.Search, opt.SearchNamespaces = &query, new(true)
	}
	found, err := fetch(ctx, c, call{doing: "search projects", noun: "projects"},
		func(o gl.RequestOptionFunc) ([]*gl.Project, *gl.Response, error) {
			return c.gl.Projects.ListProjects(opt, o)
		})
	if err != nil {
		return nil, err
	}
	out := make([]kovra.Project, 0, len(found))
	for _, p := range found {
		out = append(out, project(p))
	}
	return out[:min(len(out), max(limit, 0))], nil
}

// Refs returns up to limit branches and as many tags whose names hold the query.
func (c *Client) Refs(ctx context.Context, projectID int64, query string, limit int) (branches, tags []string, err error) {
	var search *string
	if query = strings.TrimSpace(query); query != "" {
		search = &query
	}
	size := gl.ListOptions{PerPage: pageSize(limit)}
	what := call{doing: "list branches and tags", noun: "such project"}
	foundBranches, err := fetch(ctx, c, what, func(o gl.RequestOptionFunc) ([]*gl.Branch, *gl.Response, error) {
		return c.gl.Branches.ListBranches(projectID, &gl.ListBranchesOptions{ListOptions: size, Search: search}, o)
	})
	if err != nil {
		return nil, nil, err
	}
	foundTags, err := fetch(ctx, c, what, func(o gl.RequestOptionFunc) ([]*gl.Tag, *gl.Response, error) {
		return c.gl.Tags.ListTags(projectID, &gl.ListTagsOptions{ListOptions: size, Search: search}, o)
	})
	if err != nil {
		return nil, nil, err
	}
	for _, b := range foundBranches[:min(len(foundBranches), max(limit, 0))] {
		branches = append(branches, b.Name)
	}
	for _, t := range foundTags[:min(len(foundTags), max(limit, 0))] {
		tags = append(tags, t.Name)
	}
	return branches, tags, nil
}

// Head returns the id of the commit that a branch points to; see [Client.Branch].
func (c *Client) Head(ctx context.Context, projectID int64, branch string) (string, error) {
	got, err := c.Branch(ctx, projectID, branch)
	return got.SHA, err
}

// Branch returns the commit that a branch points to now. The error is of kind NotFound when there is no such branch, also
// where there is a tag of its name; Invalid when the text can be no name of a branch.
func (c *Client) Branch(ctx context.Context, projectID int64, name string) (kovra.Commit, error) {
	if err := checkRef(name); err != nil {
		return kovra.Commit{}, err
	}
	got, err := fetch(ctx, c, call{doing: "read branch " + shorten(name), noun: "branch " + shorten(name)},
		func(o gl.RequestOptionFunc) (*gl.Branch, *gl.Response, error) {
			return c.gl.Branches.GetBranch(projectID, name, o)
		})
	if err != nil {
		return kovra.Commit{}, err
	}
	return commitOf(got.Commit, name)
}

// Tags returns the newest tags, at most limit.
func (c *Client) Tags(ctx context.Context, projectID int64, limit int) ([]kovra.Tag, error) {
	found, err := fetch(ctx, c, call{doing: "list tags", noun: "such project"}, func(o gl.RequestOptionFunc) ([]*gl.Tag, *gl.Response, error) {
		return c.gl.Tags.ListTags(projectID, &gl.ListTagsOptions{
			ListOptions: gl.ListOptions{PerPage: pageSize(limit)}, OrderBy: new("updated"), Sort: new("desc"),
		}, o)
	})
	if err != nil {
		return nil, err
	}
	var tags []kovra.Tag
	for _, t := range found[:min(len(found), max(limit, 0))] {
		at := t.CreatedAt
		if at == nil && t.Commit != nil {
			at = t.Commit.CommittedDate
		}
		commit, err := commitOf(t.Commit, t.Name)
		if err != nil || at == nil {
			continue // a tag of something that is no commit
		}
		tags = append(tags, kovra.Tag{Name: t.Name, Commit: commit, MadeAt: *at})
	}
	return tags, nil
}

// Commit returns the commit that a branch, a tag or a commit's id names now; of a branch and a tag with one name the
// branch counts, which git sees the other way. The error is of kind NotFound, and names the ref, when there is none;
// Invalid when the text can be no name of a ref.
func (c *Client) Commit(ctx context.Context, projectID int64, ref string) (kovra.Commit, error) {
	if !kovra.IsSHA(ref) {
		got, err := c.Branch(ctx, projectID, ref)
		if kovra.KindOf(err) != kovra.NotFound {
			return got, err
		}
	}
	got, err := fetch(ctx, c, call{doing: "read " + shorten(ref), noun: "branch or tag " + shorten(ref)},
		func(o gl.RequestOptionFunc) (*gl.Commit, *gl.Response, error) {
			return c.gl.Commits.GetCommit(projectID, ref, nil, o)
		})
	if err != nil {
		return kovra.Commit{}, err
	}
	return commitOf(got, ref)
}

func checkRef(ref string) error {
	if strings.TrimSpace(ref) == "" {
		return kovra.Errorf(kovra.Invalid, "A branch or tag is missing.")
	}
	if !isRef(ref) {
		return kovra.Errorf(kovra.Invalid, "%q is no name of a branch, tag or commit.", shorten(ref))
	}
	return nil
}

func commitOf(got *gl.Commit, ref string) (kovra.Commit, error) {
	if got == nil || !kovra.IsSHA(got.ID) {
		return kovra.Commit{}, &kovra.Error{Kind: kovra.Unavailable, Public: "GitLab's answer could not be read.", Err: fmt.Errorf("the commit of %s has no id", shorten(ref))}
	}
	return kovra.Commit{
		SHA: got.ID, Title: cmp.Or(kovra.FirstLine(got.Message), got.Title), Author: kovra.GitLabUser{Name: got.AuthorName},
	}, nil
}

// isRef keeps out what git reads as more than a name: main~1, main@{yesterday}, a..b.
func isRef(ref string) bool {
	return !strings.ContainsAny(ref, " ~^:?*[\\") && !strings.Contains(ref, "..") && !strings.Contains(ref, "@{") &&
		!strings.HasPrefix(ref, "-") && !strings.ContainsFunc(ref, unicode.IsControl)
}

func pageSize(limit int) int64 { return int64(min(max(limit, 1), perPage)) }
