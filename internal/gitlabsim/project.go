package gitlabsim

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"
)

// Access levels of members.
const (
	Guest      = 10
	Reporter   = 20
	Developer  = 30
	Maintainer = 40
	Owner      = 50
)

// Project describes a project to add. ID 0 means the next free one; DefaultBranch "" is main, Visibility "" is private.
type Project struct {
	ID            int64
	Path          string // "group/web"
	URL           string // of its page and, with .git, its repository where those are elsewhere; "": here, where there is none to clone
	DefaultBranch string
	Visibility    string         // private, internal or public
	Members       map[string]int // username -> access level 10..50
	// GroupMembers are those who come by way of the group. The higher of the two levels counts.
	GroupMembers map[string]int
	// PrivatePipelines switches the setting "Project-based pipeline visibility" off: then pipelines and jobs are for Reporters and above.
	PrivatePipelines bool
	// VariablesRole is ci_pipeline_variables_minimum_override_role: "" or developer, maintainer, owner, no_one_allowed.
	VariablesRole string
	// Protected gives the lowest access level that may run pipelines on a branch or tag. Refs that are not listed are free.
	Protected map[string]int
}

// ProjectHandle is a project that was added, for calls that would repeat its id.
type ProjectHandle struct {
	ID   int64
	Path string
	s    *Server
}

// SetCI is Server.SetCI for this project.
func (h *ProjectHandle) SetCI(stages []string, jobs []JobSpec) { h.s.SetCI(h.ID, stages, jobs) }

// SetBranchCI is Server.SetBranchCI for this project.
func (h *ProjectHandle) SetBranchCI(branch string, stages []string, jobs []JobSpec) {
	h.s.SetBranchCI(h.ID, branch, stages, jobs)
}

// Push is Server.Push for this project.
func (h *ProjectHandle) Push(branch, title, username string) (Commit, PipelineRef) {
	return h.s.Push(h.ID, branch, title, username)
}

// SetMember gives a user an access level; 0 removes the membership.
func (h *ProjectHandle) SetMember(username string, level int) { h.s.SetMember(h.ID, username, level) }

// AddHook is Server.AddHook for this project.
func (h *ProjectHandle) AddHook(k Hook) int64 { return h.s.AddHook(h.ID, k) }

type project struct {
	Project
	created, active time.Time
	commits         map[string]*Commit
	branches        map[string]string // name -> sha
	tags            map[string]tag
	ci              ciConfig
	branchCI        map[string]ciConfig
	pipelines       []*pipeline // by id, ascending
	hooks           []*hook
	mrs             map[int64]*mergeRequest // by iid
	deployments     []*deployment
	releases        []*release
	iid             int64
}

type ciConfig struct {
	set    bool
	stages []string
	jobs   []JobSpec
	inputs map[string]bool // nil: any input is taken
}

// AddProject adds a project with one commit on its default branch. The commit runs no pipeline and fires no hook.
func (s *Server) AddProject(p Project) *ProjectHandle {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.ID == 0 {
		p.ID = s.id("project", 1)
	}
	if p.DefaultBranch == "" {
		p.DefaultBranch = "main"
	}
	if p.Visibility == "" {
		p.Visibility = "private"
	}
	p.Members, p.GroupMembers, p.Protected = maps.Clone(p.Members), maps.Clone(p.GroupMembers), maps.Clone(p.Protected)
	if p.Members == nil {
		p.Members = map[string]int{}
	}
	if p.GroupMembers == nil {
		p.GroupMembers = map[string]int{}
	}
	for _, members := range []map[string]int{p.Members, p.GroupMembers} {
		for name := range members {
			s.someUser(name)
		}
	}
	q := &project{
		Project: p, created: s.now(), active: s.now(),
		commits: map[string]*Commit{}, branches: map[string]string{}, tags: map[string]tag{},
	}
	s.projects = append(s.projects, q)
	q.branches[p.DefaultBranch] = s.commit(q, "", NewCommit{Title: "Initial commit"}, s.someUser("")).SHA
	return &ProjectHandle{ID: p.ID, Path: p.Path, s: s}
}

// SetMember gives a user an access level in a project; 0 removes the membership.
func (s *Server) SetMember(projectID int64, username string, level int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.mustProject(projectID)
	s.someUser(username)
	p.Members[username] = level
}

// SetGroupMember is SetMember for a membership in the project's group.
func (s *Server) SetGroupMember(projectID int64, username string, level int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.mustProject(projectID)
	s.someUser(username)
	p.GroupMembers[username] = level
}

// Protect lets only members of at least a level run pipelines on a branch or tag; 0 frees it.
func (s *Server) Protect(projectID int64, ref string, level int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.mustProject(projectID)
	if p.Protected == nil {
		p.Protected = map[string]int{}
	}
	if p.Protected[ref] = level; level == 0 {
		delete(p.Protected, ref)
	}
}

// SetVariablesRole changes who may set pipeline variables, see Project.VariablesRole.
func (s *Server) SetVariablesRole(projectID int64, role string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mustProject(projectID).VariablesRole = role
}

// mustProject panics for an id that was never added: a mistake in the test, not something that GitLab would answer.
func (s *Server) mustProject(id int64) *project {
	p := s.findProject(id)
	if p == nil {
		panic(fmt.Sprintf("gitlabsim: no project %d", id))
	}
	return p
}

func (s *Server) findProject(id int64) *project {
	for _, p := range s.projects {
		if p.ID == id {
			return p
		}
	}
	return nil
}

// level is what u may do in p: 10..50 for members, 0 for strangers who may see it, -1 for those who may not.
func (s *Server) level(u *User, p *project) int {
	switch member := s.membership(u, p); {
	case u.Admin:
		return Owner
	case member > 0:
		return member
	case p.Visibility == "private":
		return -1
	default:
		return 0
	}
}

// membership is the level of a member, directly or by the group; 0 for others.
func (s *Server) membership(u *User, p *project) int {
	return max(p.direct(u), p.GroupMembers[u.Username])
}

// direct is the level of those who are members of the project itself.
func (p *project) direct(u *User) int {
	if level, listed := p.Members[u.Username]; listed {
		return level
	}
	if u.Username == BotUsername {
		return Maintainer
	}
	return 0
}

// sees says whether somebody of a level may read a part of the project: its code and merge requests, which in a private project are not
// for Guests, or its pipelines and jobs, which the project may keep from them.
func (p *project) sees(level int, part string) bool {
	switch part {
	case "repository", "merge_requests":
		return level >= Reporter || p.Visibility != "private"
	case "pipelines", "pipeline", "jobs":
		return level >= Reporter || !p.PrivatePipelines
	default:
		return true
	}
}

func (p *project) name() string { return p.Path[strings.LastIndex(p.Path, "/")+1:] }

func (p *project) namespacePath() string {
	return strings.TrimSuffix(strings.TrimSuffix(p.Path, p.name()), "/")
}

// title turns a path segment into a display name: "web-shop" -> "Web Shop".
func title(segment string) string {
	words := strings.FieldsFunc(segment, func(r rune) bool { return r == '-' || r == '_' })
	for i, w := range words {
		words[i] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(words, " ")
}

// fullName is the name with spaces that job hooks call project_name: "Group / Web".
func (p *project) fullName() string {
	parts := strings.Split(p.Path, "/")
	for i := range parts {
		parts[i] = title(parts[i])
	}
	return strings.Join(parts, " / ")
}

func (s *Server) web(p *project) string { return cmp.Or(p.URL, s.url+"/"+p.Path) }

func (s *Server) gitHTTP(p *project) string { return s.web(p) + ".git" }

func (s *Server) gitSSH(p *project) string {
	host := s.url[strings.Index(s.url, "//")+2:]
	if i := strings.IndexAny(host, ":/"); i >= 0 {
		host = host[:i]
	}
	return "git@" + host + ":" + p.Path + ".git"
}

func (p *project) visibilityLevel() int {
	return map[string]int{"private": 0, "internal": 10, "public": 20}[p.Visibility]
}

func (s *Server) projectSimpleJSON(p *project) object {
	group := p.namespacePath()
	namespace := title(group[strings.LastIndex(group, "/")+1:])
	return object{
		"id": p.ID, "description": nil, "name": title(p.name()), "name_with_namespace": p.fullName(), "path": p.name(),
		"path_with_namespace": p.Path, "created_at": restTime(p.created), "default_branch": p.DefaultBranch,
		"tag_list": []string{}, "topics": []string{}, "ssh_url_to_repo": s.gitSSH(p), "http_url_to_repo": s.gitHTTP(p),
		"web_url": s.web(p), "readme_url": nil, "forks_count": 0, "avatar_url": nil, "star_count": 0,
		"last_activity_at": restTime(p.active),
		"namespace": object{
			"id": s.idBase + 900, "name": namespace, "path": group[strings.LastIndex(group, "/")+1:], "kind": "group", "full_path": group,
			"parent_id": nil, "avatar_url": nil, "web_url": s.url + "/groups/" + group,
		},
	}
}

func (s *Server) projectJSON(p *project, viewer *User) object {
	o := s.projectSimpleJSON(p)
	o["visibility"], o["archived"], o["empty_repo"], o["jobs_enabled"] = p.Visibility, false, false, true
	o["builds_access_level"], o["public_jobs"], o["ci_config_path"] = "enabled", !p.PrivatePipelines, ""
	access := object{"project_access": nil, "group_access": nil}
	for name, level := range map[string]int{"project_access": p.direct(viewer), "group_access": p.GroupMembers[viewer.Username]} {
		if level > 0 {
			access[name] = object{"access_level": level, "notification_level": 3}
		}
	}
	o["permissions"] = access
	if s.level(viewer, p) >= Maintainer {
		role := p.VariablesRole
		if role == "" {
			role = "developer"
		}
		o["ci_pipeline_variables_minimum_override_role"] = role
	}
	return o
}

// projectHook is the project of payloads. Push, tag and merge request payloads carry four older names besides.
func (s *Server) projectHook(p *project, withOldNames bool) object {
	group := p.namespacePath()
	o := object{
		"id": p.ID, "name": title(p.name()), "description": nil, "web_url": s.web(p), "avatar_url": nil, "git_ssh_url": s.gitSSH(p),
		"git_http_url": s.gitHTTP(p), "namespace": title(group[strings.LastIndex(group, "/")+1:]),
		"visibility_level": p.visibilityLevel(), "path_with_namespace": p.Path, "default_branch": p.DefaultBranch, "ci_config_path": "",
	}
	if withOldNames {
		o["homepage"], o["url"], o["ssh_url"], o["http_url"] = s.web(p), s.gitSSH(p), s.gitSSH(p), s.gitHTTP(p)
	}
	return o
}

func (s *Server) repositoryHook(p *project) object {
	return object{
		"name": title(p.name()), "url": s.gitSSH(p), "description": nil, "homepage": s.web(p), "git_http_url": s.gitHTTP(p),
		"git_ssh_url": s.gitSSH(p), "visibility_level": p.visibilityLevel(),
	}
}

func getProject(s *Server, r *request) (reply, error) {
	return ok(s.projectJSON(r.project, r.user)), nil
}

func listProjects(s *Server, r *request) (reply, error) {
	least := r.number("min_access_level", 0)
	mine := r.flag("membership") || least > 0
	search := strings.ToLower(r.text("search"))
	list := []object{}
	for _, p := range s.projects {
		if s.level(r.user, p) < 0 || mine && s.membership(r.user, p) < max(least, 1) {
			continue
		}
		text := p.name() + " " + title(p.name())
		if r.flag("search_namespaces") {
			text += " " + p.Path
		}
		if !strings.Contains(strings.ToLower(text), search) {
			continue
		}
		if r.flag("simple") {
			list = append(list, s.projectSimpleJSON(p))
		} else {
			list = append(list, s.projectJSON(p, r.user))
		}
	}
	return sortedPage(s, r, list, sorting{
		fields: []string{"created_at", "id", "name", "path", "updated_at", "last_activity_at"}, by: "created_at", desc: true, keyset: "id",
	})
}

func (s *Server) memberJSON(u *User, level int) object {
	o := s.userJSON(u)
	o["access_level"], o["expires_at"], o["membership_state"] = level, nil, "active"
	o["created_at"] = "2025-02-03T10:00:00.000Z"
	return o
}

// getMember knows members of the project itself; see getMemberOfAll.
func getMember(s *Server, r *request) (reply, error) {
	return s.member(r, r.project.direct)
}

// getMemberOfAll knows those who come by the group too.
func getMemberOfAll(s *Server, r *request) (reply, error) {
	return s.member(r, func(u *User) int { return s.membership(u, r.project) })
}

func (s *Server) member(r *request, levelOf func(*User) int) (reply, error) {
	id, err := r.id("user_id")
	if err != nil {
		return reply{}, err
	}
	u := s.userByID(id)
	if u == nil || levelOf(u) == 0 {
		return reply{}, failed(http.StatusNotFound, "404 Not found")
	}
	return ok(s.memberJSON(u, levelOf(u))), nil
}

func listMembers(s *Server, r *request) (reply, error) {
	query := strings.ToLower(r.text("query"))
	list := []object{}
	for _, u := range s.users {
		level := s.membership(u, r.project)
		if level > 0 && strings.Contains(strings.ToLower(u.Username+" "+u.Name), query) {
			list = append(list, s.memberJSON(u, level))
		}
	}
	return page(s, r, list, "")
}
