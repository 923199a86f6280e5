package gitlabsim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// MergeRequest is what the simulator knows of one. ID 0 is made from the IID; State "" is opened; TargetBranch "" is the default branch.
type MergeRequest struct {
	ID, IID                    int64
	Title                      string
	Description                string
	SourceBranch, TargetBranch string
	State                      string // opened, closed or merged
	Draft                      bool
	Approvals                  int // how many it needs; 0 is one that needs none, as in the Community Edition
}

// mergeRequest is a merge request with its history.
type mergeRequest struct {
	MergeRequest
	author           *User
	created, updated time.Time
	approvedBy       []*User
	merged           string // the commit that merged it
	notes            []*note
}

// approved says whether it has all approvals that it needs.
func (m *mergeRequest) approved() bool { return len(m.approvedBy) >= max(m.Approvals, 1) }

// mr finds or makes the record of a merge request that a caller described, and takes over what it says.
func (s *Server) mr(p *project, described MergeRequest, u *User) *mergeRequest {
	m := p.mrs[described.IID]
	if m == nil {
		m = &mergeRequest{author: u, created: s.now()}
		if p.mrs == nil {
			p.mrs = map[int64]*mergeRequest{}
		}
		p.mrs[described.IID] = m
	}
	m.MergeRequest, m.updated = s.filled(described), s.now()
	return m
}

func (s *Server) mustMR(p *project, iid int64) *mergeRequest {
	m := p.mrs[iid]
	if m == nil {
		panic(fmt.Sprintf("gitlabsim: project %d has no merge request %d", p.ID, iid))
	}
	return m
}

func (s *Server) filled(mr MergeRequest) MergeRequest {
	if mr.ID == 0 {
		mr.ID = s.idBase + 5000 + mr.IID
	}
	if mr.State == "" {
		mr.State = "opened"
	}
	return mr
}

// OpenMergeRequest opens a merge request and fires its hook. IID 0 is the next free one.
func (s *Server) OpenMergeRequest(projectID int64, mr MergeRequest, username string) MergeRequest {
	var out MergeRequest
	s.act(func() {
		p, u := s.mustProject(projectID), s.someUser(username)
		if mr.IID == 0 {
			mr.IID = slices.Max(append(slices.Collect(maps.Keys(p.mrs)), 0)) + 1
		}
		mr.TargetBranch = cmp.Or(mr.TargetBranch, p.DefaultBranch)
		if mr.Draft {
			mr.Title = "Draft: " + strings.TrimPrefix(mr.Title, "Draft: ")
		}
		m := s.mr(p, mr, u)
		s.emitMergeRequest(p, u, m, mrEvent{action: "open"})
		out = m.MergeRequest
	})
	return out
}

// MergeRequest returns a merge request as it is now; the zero one if there is none.
func (s *Server) MergeRequest(projectID, iid int64) MergeRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.findProject(projectID); p != nil && p.mrs[iid] != nil {
		return p.mrs[iid].MergeRequest
	}
	return MergeRequest{}
}

// PushMergeRequest pushes a commit to the source branch: a push hook, the update with oldrev, and a pipeline if the project has a CI
// configuration.
func (s *Server) PushMergeRequest(projectID, iid int64, title, username string) (Commit, PipelineRef) {
	var c Commit
	var ref PipelineRef
	s.act(func() {
		p, u := s.mustProject(projectID), s.someUser(username)
		m := s.mustMR(p, iid)
		old := p.resolve(m.SourceBranch)
		made := s.commit(p, old, NewCommit{Title: title}, u)
		p.branches[m.SourceBranch] = made.SHA
		s.emitPush(p, u, "refs/heads/"+m.SourceBranch, cmp.Or(old, zeroSHA), made.SHA, []*Commit{made})
		s.updateMergeRequest(p, u, m, mrEvent{action: "update", oldrev: old})
		c, ref = *made, s.pipelineFor(p, pipelineSeed{
			ref: m.SourceBranch, sha: made.SHA, before: cmp.Or(old, zeroSHA), source: "push", user: u,
		})
	})
	return c, ref
}

// changeMR lets f change a merge request and fires what it returns; nothing when its action is "".
func (s *Server) changeMR(projectID, iid int64, username string, f func(p *project, u *User, m *mergeRequest) mrEvent) {
	s.act(func() {
		p, u := s.mustProject(projectID), s.someUser(username)
		m := s.mustMR(p, iid)
		if e := f(p, u, m); e.action != "" {
			s.updateMergeRequest(p, u, m, e)
		}
	})
}

// EditMergeRequest changes the title and fires the update.
func (s *Server) EditMergeRequest(projectID, iid int64, title, username string) {
	s.changeMR(projectID, iid, username, func(_ *project, _ *User, m *mergeRequest) mrEvent {
		e := mrEvent{action: "update", changes: object{"title": change(m.Title, title)}}
		m.Title = title
		return e
	})
}

// SetDraft marks a merge request as a draft, or as ready, which changes its title too.
func (s *Server) SetDraft(projectID, iid int64, draft bool, username string) {
	s.changeMR(projectID, iid, username, func(_ *project, _ *User, m *mergeRequest) mrEvent {
		title := strings.TrimPrefix(m.Title, "Draft: ")
		if draft {
			title = "Draft: " + title
		}
		e := mrEvent{action: "update", changes: object{"title": change(m.Title, title), "draft": change(m.Draft, draft)}}
		m.Title, m.Draft = title, draft
		return e
	})
}

// ApproveMergeRequest approves as a user. The action is approved when it has all approvals then, else approval. A second approval by the
// same user is none.
func (s *Server) ApproveMergeRequest(projectID, iid int64, username string) {
	s.changeMR(projectID, iid, username, func(_ *project, u *User, m *mergeRequest) mrEvent {
		if slices.Contains(m.approvedBy, u) {
			return mrEvent{}
		}
		m.approvedBy = append(m.approvedBy, u)
		if m.approved() {
			return mrEvent{action: "approved"}
		}
		return mrEvent{action: "approval"}
	})
}

// UnapproveMergeRequest takes an approval back. The action is unapproved when it had all approvals before, else unapproval.
func (s *Server) UnapproveMergeRequest(projectID, iid int64, username string) {
	s.changeMR(projectID, iid, username, func(_ *project, u *User, m *mergeRequest) mrEvent {
		had := m.approved()
		i := slices.Index(m.approvedBy, u)
		if i < 0 {
			return mrEvent{}
		}
		m.approvedBy = slices.Delete(m.approvedBy, i, i+1)
		if had {
			return mrEvent{action: "unapproved"}
		}
		return mrEvent{action: "unapproval"}
	})
}

// CloseMergeRequest closes an open merge request.
func (s *Server) CloseMergeRequest(projectID, iid int64, username string) {
	s.changeMR(projectID, iid, username, func(_ *project, _ *User, m *mergeRequest) mrEvent { return m.move("opened", "closed", "close") })
}

// ReopenMergeRequest opens a closed one again.
func (s *Server) ReopenMergeRequest(projectID, iid int64, username string) {
	s.changeMR(projectID, iid, username, func(_ *project, _ *User, m *mergeRequest) mrEvent { return m.move("closed", "opened", "reopen") })
}

// move changes the state; nothing happens in another one.
func (m *mergeRequest) move(from, to, action string) mrEvent {
	if m.State != from {
		return mrEvent{}
	}
	m.State = to
	return mrEvent{action: action, changes: object{"state_id": change(stateID(from), stateID(to))}}
}

// MergeMergeRequest merges an open merge request: a commit and a push hook on the target branch, the hook of the merge, and a pipeline
// there if the project has a CI configuration.
func (s *Server) MergeMergeRequest(projectID, iid int64, username string) PipelineRef {
	var ref PipelineRef
	s.act(func() {
		p, u := s.mustProject(projectID), s.someUser(username)
		m := s.mustMR(p, iid)
		e := m.move("opened", "merged", "merge")
		if e.action == "" {
			return
		}
		before := p.branches[m.TargetBranch]
		made := s.commit(p, before, NewCommit{Title: fmt.Sprintf("Merge branch '%s' into '%s'", m.SourceBranch, m.TargetBranch)}, u)
		m.merged, p.branches[m.TargetBranch] = made.SHA, made.SHA
		s.emitPush(p, u, "refs/heads/"+m.TargetBranch, cmp.Or(before, zeroSHA), made.SHA, []*Commit{made})
		s.updateMergeRequest(p, u, m, e)
		ref = s.pipelineFor(p, pipelineSeed{
			ref: m.TargetBranch, sha: made.SHA, before: cmp.Or(before, zeroSHA), source: "push", user: u,
		})
	})
	return ref
}

// MergeRequestEvent fires a merge request hook with an action: open, update, merge, close, ... as mr describes it. The empty action is
// left out, as GitLab does for changes by the system.
func (s *Server) MergeRequestEvent(projectID int64, mr MergeRequest, action, username string) {
	s.act(func() {
		p, u := s.mustProject(projectID), s.someUser(username)
		s.emitMergeRequest(p, u, s.mr(p, mr, u), mrEvent{action: action})
	})
}

// RunMergeRequestPipeline starts a merge request pipeline: its ref is refs/merge-requests/N/head in the API and the source branch in
// hooks.
func (s *Server) RunMergeRequestPipeline(projectID int64, mr MergeRequest, username string) PipelineRef {
	var ref PipelineRef
	s.act(func() {
		p := s.mustProject(projectID)
		mr = s.filled(mr)
		ref = s.pipelineFor(p, pipelineSeed{
			ref: fmt.Sprintf("refs/merge-requests/%d/head", mr.IID), sha: p.resolve(mr.SourceBranch), before: zeroSHA,
			source: "merge_request_event", user: s.someUser(username), mr: &mr,
		})
	})
	return ref
}

// mrEvent is one merge request hook.
type mrEvent struct {
	action, oldrev string
	changes        object
}

func change(previous, current any) object { return object{"previous": previous, "current": current} }

func stateID(state string) int { return map[string]int{"opened": 1, "closed": 2, "merged": 3}[state] }

// updateMergeRequest fires the hook of a change that happens now.
func (s *Server) updateMergeRequest(p *project, u *User, m *mergeRequest, e mrEvent) {
	if e.changes == nil {
		e.changes = object{}
	}
	e.changes["updated_at"] = change(hookTime(m.updated), hookTime(s.now()))
	m.updated = s.now()
	s.emitMergeRequest(p, u, m, e)
}

func (s *Server) emitMergeRequest(p *project, u *User, m *mergeRequest, e mrEvent) {
	s.emit(p, flagOf[eventMergeRequest], eventMergeRequest, func() object { return s.mergeRequestPayload(p, u, m, e) })
}

func (s *Server) mergeRequestURL(p *project, iid int64) string {
	return fmt.Sprintf("%s/-/merge_requests/%d", s.web(p), iid)
}

// mergeRequestHook is the merge request of a pipeline hook.
func (s *Server) mergeRequestHook(p *project, mr *MergeRequest) any {
	if mr == nil {
		return nil
	}
	return object{
		"id": mr.ID, "iid": mr.IID, "title": mr.Title, "source_branch": mr.SourceBranch, "source_project_id": p.ID,
		"target_branch": mr.TargetBranch, "target_project_id": p.ID, "state": mr.State, "merge_status": "can_be_merged",
		"detailed_merge_status": "mergeable", "url": s.mergeRequestURL(p, mr.IID),
	}
}

// mergeRequestAttributes are what hooks of merge requests and of notes on them tell of one.
func (s *Server) mergeRequestAttributes(p *project, m *mergeRequest) object {
	detailed := "mergeable"
	switch {
	case m.State != "opened":
		detailed = "not_open"
	case m.Draft:
		detailed = "draft_status"
	}
	o := object{
		"id": m.ID, "iid": m.IID, "title": m.Title, "description": m.Description, "state": m.State, "state_id": stateID(m.State),
		"author_id": m.author.ID, "assignee_ids": []int64{}, "reviewer_ids": []int64{}, "source_branch": m.SourceBranch,
		"target_branch": m.TargetBranch, "source_project_id": p.ID, "target_project_id": p.ID, "created_at": hookTime(m.created),
		"updated_at": hookTime(m.updated), "merge_status": "can_be_merged", "detailed_merge_status": detailed, "draft": m.Draft,
		"work_in_progress": m.Draft, "head_pipeline_id": nil, "merge_commit_sha": nullable(m.merged),
		"last_commit": s.commitHook(p, p.resolve(m.SourceBranch)), "source": s.projectHook(p, true), "target": s.projectHook(p, true),
		"url": s.mergeRequestURL(p, m.IID), "labels": []object{}, "blocking_discussions_resolved": true,
	}
	for _, pl := range p.pipelines {
		if pl.sha == p.resolve(m.SourceBranch) && pl.bridge == nil {
			o["head_pipeline_id"] = pl.id
		}
	}
	return o
}

func (s *Server) mergeRequestPayload(p *project, u *User, m *mergeRequest, e mrEvent) object {
	attributes := s.mergeRequestAttributes(p, m)
	attributes["system"] = e.action == ""
	if e.action != "" {
		attributes["action"] = e.action
	}
	if e.oldrev != "" {
		attributes["oldrev"] = e.oldrev
	}
	changes := e.changes
	if changes == nil {
		changes = object{}
	}
	return object{
		"object_kind": "merge_request", "event_type": "merge_request", "user": s.userHook(u), "project": s.projectHook(p, true),
		"repository": s.repositoryHook(p), "object_attributes": attributes, "labels": []object{}, "changes": changes,
		"assignees": []object{}, "reviewers": []object{},
	}
}
