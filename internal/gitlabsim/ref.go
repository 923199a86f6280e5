package gitlabsim

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Commit is one commit.
type Commit struct {
	SHA    string
	Title  string
	Author string // display name
	Email  string
	At     time.Time
	Parent string // "" for the first one
	Change
}

// Change names the files that a commit changes, by their paths. Without any it changes README.md.
type Change struct{ Added, Modified, Removed []string }

// NewCommit is a commit to push.
type NewCommit struct {
	Title string
	SHA   string // "": the next one; known: that commit again
	Change
}

type tag struct {
	sha    string // of the commit
	object string // of the tag itself, where it is annotated; "" if not
	at     time.Time
}

// target is what the tag's name points to.
func (t tag) target() string { return cmp.Or(t.object, t.sha) }

func (s *Server) commit(p *project, parent string, c NewCommit, author *User) *Commit {
	if len(c.Added)+len(c.Modified)+len(c.Removed) == 0 {
		c.Modified = []string{"README.md"}
	}
	sha := c.SHA
	if sha == "" {
		sha = s.sha()
	} else if known := p.commits[sha]; known != nil {
		return known
	}
	made := &Commit{SHA: sha, Title: c.Title, Author: author.Name, Email: author.Email, At: s.now(), Parent: parent, Change: c.Change}
	p.commits[made.SHA] = made
	p.active = s.now()
	return made
}

// Push puts one new commit on a branch; see PushCommits.
func (s *Server) Push(projectID int64, branch, title, username string) (Commit, PipelineRef) {
	return s.PushCommits(projectID, branch, username, NewCommit{Title: title})
}

// PushCommits puts new commits on a branch (which it makes if there is none, from the default branch), fires one push hook and, if the
// project has a CI configuration, starts a pipeline; else the PipelineRef is zero. It returns the last commit. Unknown users are created;
// an unknown project, and a push of nothing, panics.
func (s *Server) PushCommits(projectID int64, branch, username string, commits ...NewCommit) (Commit, PipelineRef) {
	var c Commit
	var ref PipelineRef
	s.act(func() {
		p, u := s.mustProject(projectID), s.someUser(username)
		before, known := p.branches[branch]
		head := before
		if !known {
			before, head = zeroSHA, p.branches[p.DefaultBranch]
		}
		list := []*Commit{}
		for _, n := range commits {
			made := s.commit(p, head, n, u)
			list, head = append(list, made), made.SHA
		}
		p.branches[branch] = head
		s.emitPush(p, u, "refs/heads/"+branch, before, head, list)
		c, ref = *list[len(list)-1], s.pipelineFor(p, pipelineSeed{ref: branch, sha: head, before: before, source: "push", user: u})
	})
	return c, ref
}

// ForcePush points a branch at another commit that is there already (named by a branch, a tag or its id), fires the push hook, which
// lists no commits, and starts a pipeline if the project has a CI configuration.
func (s *Server) ForcePush(projectID int64, branch, to, username string) PipelineRef {
	var ref PipelineRef
	s.act(func() {
		p, u := s.mustProject(projectID), s.someUser(username)
		before, sha := p.branches[branch], p.resolve(to)
		p.branches[branch] = sha
		s.emitPush(p, u, "refs/heads/"+branch, before, sha, nil)
		ref = s.pipelineFor(p, pipelineSeed{ref: branch, sha: sha, before: before, source: "push", user: u})
	})
	return ref
}

// CreateBranch makes a branch at a branch, tag or commit and fires the push hook. No pipeline.
func (s *Server) CreateBranch(projectID int64, branch, from, username string) {
	s.act(func() {
		p := s.mustProject(projectID)
		sha := p.resolve(from)
		p.branches[branch] = sha
		s.emitPush(p, s.someUser(username), "refs/heads/"+branch, zeroSHA, sha, nil)
	})
}

// DeleteBranch removes a branch and fires the push hook whose after is zeros.
func (s *Server) DeleteBranch(projectID int64, branch, username string) {
	s.act(func() {
		p := s.mustProject(projectID)
		before := p.branches[branch]
		delete(p.branches, branch)
		s.emitPush(p, s.someUser(username), "refs/heads/"+branch, before, zeroSHA, nil)
	})
}

// CreateTag makes a tag at a branch or commit, fires the tag push hook and starts a tag pipeline if the project has a CI configuration.
func (s *Server) CreateTag(projectID int64, name, from, username string) (Commit, PipelineRef) {
	return s.createTag(projectID, name, from, username, false)
}

// CreateAnnotatedTag is CreateTag for a tag that is an object of its own: the hook's after is the id of that, and only its checkout_sha
// that of the commit.
func (s *Server) CreateAnnotatedTag(projectID int64, name, from, username string) (Commit, PipelineRef) {
	return s.createTag(projectID, name, from, username, true)
}

func (s *Server) createTag(projectID int64, name, from, username string, annotated bool) (Commit, PipelineRef) {
	var c Commit
	var ref PipelineRef
	s.act(func() {
		p, u := s.mustProject(projectID), s.someUser(username)
		sha := p.resolve(from)
		t := tag{sha: sha, at: s.now()}
		if annotated {
			t.object = s.sha()
		}
		made := p.commits[sha]
		p.tags[name] = t
		s.emitPush(p, u, "refs/tags/"+name, zeroSHA, t.target(), []*Commit{made})
		c = *made
		ref = s.pipelineFor(p, pipelineSeed{ref: name, tag: true, sha: sha, before: zeroSHA, source: "push", user: u})
	})
	return c, ref
}

// DeleteTag removes a tag and fires the tag push hook whose after is zeros.
func (s *Server) DeleteTag(projectID int64, name, username string) {
	s.act(func() {
		p := s.mustProject(projectID)
		before := p.tags[name].target()
		delete(p.tags, name)
		s.emitPush(p, s.someUser(username), "refs/tags/"+name, before, zeroSHA, nil)
	})
}

// resolve finds the commit of a branch, a tag or a (short) commit id; "" if there is none.
func (p *project) resolve(ref string) string {
	if sha, found := p.branches[ref]; found {
		return sha
	}
	if t, found := p.tags[ref]; found {
		return t.sha
	}
	if len(ref) < 7 {
		return ""
	}
	for sha := range p.commits {
		if strings.HasPrefix(sha, ref) {
			return sha
		}
	}
	return ""
}

func (s *Server) commitJSON(p *project, sha string) object {
	c := p.commits[sha]
	if c == nil {
		return nil
	}
	parents := []string{}
	if c.Parent != "" {
		parents = append(parents, c.Parent)
	}
	return object{
		"id": c.SHA, "short_id": c.SHA[:8], "created_at": restTime(c.At), "parent_ids": parents, "title": c.Title, "message": c.Title + "\n",
		"author_name": c.Author, "author_email": c.Email, "authored_date": restTime(c.At), "committer_name": c.Author,
		"committer_email": c.Email, "committed_date": restTime(c.At), "trailers": object{}, "extended_trailers": object{},
		"web_url": s.web(p) + "/-/commit/" + c.SHA,
	}
}

// commitHook is the commit of payloads.
func (s *Server) commitHook(p *project, sha string) object {
	c := p.commits[sha]
	if c == nil {
		return nil
	}
	return object{
		"id": c.SHA, "message": c.Title + "\n", "title": c.Title, "timestamp": commitTime(c.At),
		"url": s.web(p) + "/-/commit/" + c.SHA, "author": object{"name": c.Author, "email": c.Email},
	}
}

func (s *Server) branchJSON(p *project, name string, level int) object {
	least, protected := p.Protected[name]
	return object{
		"name": name, "commit": s.commitJSON(p, p.branches[name]), "merged": false, "protected": protected,
		"developers_can_push": protected && least <= Developer, "developers_can_merge": protected && least <= Developer,
		"can_push": level >= max(least, Developer), "default": name == p.DefaultBranch, "web_url": s.web(p) + "/-/tree/" + name,
	}
}

// matches applies GitLab's search of refs: ^ pins the beginning, $ the end.
func matches(name, search string) bool {
	name, search = strings.ToLower(name), strings.ToLower(search)
	begin, end := strings.HasPrefix(search, "^"), strings.HasSuffix(search, "$")
	search = strings.TrimSuffix(strings.TrimPrefix(search, "^"), "$")
	switch {
	case begin && end:
		return name == search
	case begin:
		return strings.HasPrefix(name, search)
	case end:
		return strings.HasSuffix(name, search)
	default:
		return strings.Contains(name, search)
	}
}

func listBranches(s *Server, r *request) (reply, error) {
	names := []string{}
	for name := range r.project.branches {
		if matches(name, r.text("search")) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	list := []object{}
	for _, name := range names {
		list = append(list, s.branchJSON(r.project, name, r.level))
	}
	return page(s, r, list, "name")
}

func getBranch(s *Server, r *request) (reply, error) {
	name := r.vars["branch"]
	if _, found := r.project.branches[name]; !found {
		return reply{}, failed(http.StatusNotFound, "404 Branch Not Found")
	}
	return ok(s.branchJSON(r.project, name, r.level)), nil
}

func (s *Server) tagJSON(p *project, name string) object {
	t := p.tags[name]
	_, protected := p.Protected[name]
	var created any // git knows it only of tags that are objects of their own
	if t.object != "" {
		created = restTime(t.at)
	}
	return object{
		"name": name, "message": "", "target": t.target(), "commit": s.commitJSON(p, t.sha), "release": nil, "protected": protected,
		"created_at": created,
	}
}

func listTags(s *Server, r *request) (reply, error) {
	list := []object{}
	for name := range r.project.tags {
		if matches(name, r.text("search")) {
			o := s.tagJSON(r.project, name)
			o["updated"] = restTime(r.project.tags[name].at)
			list = append(list, o)
		}
	}
	return sortedPage(s, r, list, sorting{fields: []string{"name", "updated"}, by: "updated", desc: true, keyset: "name"})
}

func getTag(s *Server, r *request) (reply, error) {
	if _, found := r.project.tags[r.vars["tag"]]; !found {
		return reply{}, failed(http.StatusNotFound, "404 Tag Not Found")
	}
	return ok(s.tagJSON(r.project, r.vars["tag"])), nil
}

func getCommit(s *Server, r *request) (reply, error) {
	sha := r.project.resolve(r.vars["sha"])
	if t, found := r.project.tags[r.vars["sha"]]; found {
		sha = t.sha // git looks for tags first
	}
	if sha == "" {
		return reply{}, failed(http.StatusNotFound, "404 Commit Not Found")
	}
	o := s.commitJSON(r.project, sha)
	o["stats"], o["status"], o["project_id"] = object{"additions": 3, "deletions": 1, "total": 4}, nil, r.project.ID
	for _, p := range r.project.pipelines {
		if p.sha == sha {
			o["status"], o["last_pipeline"] = p.status, s.pipelineBasicJSON(p)
		}
	}
	return ok(o), nil
}
