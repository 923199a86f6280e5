package gitlabsim

import (
	"fmt"
	"strings"
)

const (
	eventPush         = "Push Hook"
	eventTagPush      = "Tag Push Hook"
	eventPipeline     = "Pipeline Hook"
	eventJob          = "Job Hook"
	eventMergeRequest = "Merge Request Hook"
)

// flagOf names the flag of a hook that lets an event out.
var flagOf = map[string]string{
	eventPush: "push_events", eventTagPush: "tag_push_events", eventPipeline: "pipeline_events", eventJob: "job_events",
	eventMergeRequest: "merge_requests_events",
}

// MergeRequest is what the simulator knows of one. ID 0 is made from the IID; State "" is opened.
type MergeRequest struct {
	ID, IID                    int64
	Title                      string
	SourceBranch, TargetBranch string
	State                      string
}

func (s *Server) emitPipeline(pl *pipeline) {
	s.emit(pl.project, flagOf[eventPipeline], eventPipeline, func() object { return s.pipelinePayload(pl) })
}

// emitJob fires the job hook. Trigger jobs have none.
func (s *Server) emitJob(j *job) {
	if j.isBridge() {
		return
	}
	s.emit(j.pipeline.project, flagOf[eventJob], eventJob, func() object { return s.jobPayload(j) })
}

func (s *Server) emitPush(p *project, u *User, ref, before, after string, commits []*Commit) {
	event := eventPush
	if strings.HasPrefix(ref, "refs/tags/") {
		event = eventTagPush
	}
	s.emit(p, flagOf[event], event, func() object { return s.pushPayload(p, u, ref, before, after, commits) })
}

// MergeRequestEvent fires a merge request hook with an action: open, update, merge, close, ... The empty action is left out, as GitLab
// does for changes by the system.
func (s *Server) MergeRequestEvent(projectID int64, mr MergeRequest, action, username string) {
	s.act(func() {
		p, u := s.mustProject(projectID), s.someUser(username)
		s.emit(p, flagOf[eventMergeRequest], eventMergeRequest, func() object { return s.mergeRequestPayload(p, u, mr, action) })
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

func (s *Server) filled(mr MergeRequest) MergeRequest {
	if mr.ID == 0 {
		mr.ID = s.idBase + 5000 + mr.IID
	}
	if mr.State == "" {
		mr.State = "opened"
	}
	return mr
}

func (s *Server) mergeRequestHook(p *project, mr *MergeRequest) any {
	if mr == nil {
		return nil
	}
	return object{
		"id": mr.ID, "iid": mr.IID, "title": mr.Title, "source_branch": mr.SourceBranch, "source_project_id": p.ID,
		"target_branch": mr.TargetBranch, "target_project_id": p.ID, "state": mr.State, "merge_status": "can_be_merged",
		"detailed_merge_status": "mergeable", "url": fmt.Sprintf("%s/-/merge_requests/%d", s.web(p), mr.IID),
	}
}

func (s *Server) pipelinePayload(pl *pipeline) object {
	ref := pl.ref
	if pl.mr != nil {
		ref = pl.mr.SourceBranch
	}
	variables, builds := []object{}, []object{}
	for _, v := range pl.variables {
		variables = append(variables, object{"key": v.Key, "value": v.Value})
	}
	for _, j := range pl.latest() {
		if !j.isBridge() {
			builds = append(builds, s.buildHook(j))
		}
	}
	_, protected := pl.project.Protected[pl.ref]
	o := object{
		"object_kind": "pipeline",
		"object_attributes": object{
			"id": pl.id, "iid": pl.iid, "name": nullable(pl.title), "ref": ref, "tag": pl.tag, "sha": pl.sha, "before_sha": pl.before,
			"source": pl.source, "status": pl.status, "detailed_status": pl.label(), "stages": pl.stages,
			"created_at": hookTime(pl.created), "finished_at": hookTime(pl.finished), "duration": pl.durationJSON(),
			"queued_duration": pl.queued(), "protected_ref": protected, "variables": variables, "url": s.pipelineURL(pl),
		},
		"merge_request": s.mergeRequestHook(pl.project, pl.mr), "user": s.userHook(pl.user), "project": s.projectHook(pl.project, false),
		"commit": s.commitHook(pl.project, pl.sha), "builds": builds,
	}
	if source := s.sourceHook(pl); source != nil {
		o["source_pipeline"] = source
	}
	return o
}

func (s *Server) sourceHook(pl *pipeline) any {
	if pl.bridge == nil {
		return nil
	}
	from := pl.bridge.pipeline
	return object{
		"project":     object{"id": from.project.ID, "web_url": s.web(from.project), "path_with_namespace": from.project.Path},
		"pipeline_id": from.id, "job_id": pl.bridge.id,
	}
}

func (s *Server) buildHook(j *job) object {
	when := "on_success"
	if j.spec.Manual {
		when = "manual"
	}
	var reason any
	if j.status == statusFailed {
		reason = j.reason
	}
	return object{
		"id": j.id, "stage": j.spec.Stage, "name": j.spec.Name, "status": j.status, "created_at": hookTime(j.created),
		"started_at": hookTime(j.started), "finished_at": hookTime(j.finished), "duration": s.jobDuration(j),
		"queued_duration": s.jobQueued(j), "failure_reason": reason, "when": when, "manual": j.spec.Manual,
		"allow_failure": j.spec.AllowFailure, "user": s.userHook(j.user), "runner": s.runnerHook(j),
		"artifacts_file": object{"filename": nil, "size": nil}, "environment": nil,
	}
}

func (s *Server) runnerHook(j *job) any {
	if j.started.IsZero() {
		return nil
	}
	return object{
		"id": s.idBase + 31, "description": "linux-small-1", "runner_type": "instance_type", "active": true, "is_shared": true,
		"tags": []string{"docker", "linux"},
	}
}

// jobPayload is the job hook: its commit is the pipeline under another name, its project_name has spaces, and its failure reason is
// there even when nothing failed.
func (s *Server) jobPayload(j *job) object {
	pl := j.pipeline
	p := pl.project
	reason := j.reason
	if reason == "" {
		reason = "unknown_failure"
	}
	o := object{
		"object_kind": "build", "ref": pl.ref, "tag": pl.tag, "before_sha": pl.before, "sha": pl.sha, "retries_count": j.attempts(),
		"build_id": j.id, "build_name": j.spec.Name, "build_stage": j.spec.Stage, "build_status": j.status,
		"build_created_at": hookTime(j.created), "build_started_at": hookTime(j.started), "build_finished_at": hookTime(j.finished),
		"build_created_at_iso": isoTime(j.created), "build_started_at_iso": isoTime(j.started), "build_finished_at_iso": isoTime(j.finished),
		"build_duration": s.jobDuration(j), "build_queued_duration": s.jobQueued(j), "build_allow_failure": j.spec.AllowFailure,
		"build_failure_reason": reason, "pipeline_id": pl.id, "runner": s.runnerHook(j), "project_id": p.ID,
		"project_name": p.fullName(), "user": s.userHook(j.user), "repository": s.repositoryHook(p), "project": s.projectHook(p, false),
		"environment": nil,
		"commit": object{
			"id": pl.id, "name": nullable(pl.title), "sha": pl.sha, "status": pl.status, "duration": pl.durationJSON(),
			"started_at": hookTime(pl.started), "finished_at": hookTime(pl.finished),
		},
	}
	if c := p.commits[pl.sha]; c != nil {
		commit := o["commit"].(object)
		commit["message"], commit["author_name"], commit["author_email"] = c.Title+"\n", c.Author, c.Email
		commit["author_url"] = "mailto:" + c.Email
	}
	if source := s.sourceHook(pl); source != nil {
		o["source_pipeline"] = source
	}
	return o
}

// mostListed is how many commits a push hook lists, the newest of the push.
const mostListed = 20

// pushPayload is the push or tag push hook: the user is flat, and a deleted ref has no checkout_sha.
func (s *Server) pushPayload(p *project, u *User, ref, before, after string, commits []*Commit) object {
	kind, checkout := "push", any(after)
	name, isTag := strings.CutPrefix(ref, "refs/tags/")
	if isTag {
		kind = "tag_push"
	} else {
		name = strings.TrimPrefix(ref, "refs/heads/")
	}
	list := []object{}
	for _, c := range commits[max(0, len(commits)-mostListed):] {
		o := s.commitHook(p, c.SHA)
		o["added"], o["modified"], o["removed"] = files(c.Added), files(c.Modified), files(c.Removed)
		list = append(list, o)
	}
	switch {
	case after == zeroSHA:
		checkout = nil
	case isTag && len(commits) > 0:
		checkout = commits[0].SHA
	}
	_, protected := p.Protected[name]
	return object{
		"object_kind": kind, "event_name": kind, "before": before, "after": after, "ref": ref, "ref_protected": protected,
		"checkout_sha": checkout, "message": nil, "user_id": u.ID, "user_name": u.Name, "user_username": u.Username, "user_email": nil,
		"user_avatar": s.avatar(u), "project_id": p.ID, "project": s.projectHook(p, true), "repository": s.repositoryHook(p),
		"commits": list, "total_commits_count": len(commits), "push_options": object{},
	}
}

// files is a list that is never null.
func files(names []string) []string { return append([]string{}, names...) }

func (s *Server) mergeRequestPayload(p *project, u *User, mr MergeRequest, action string) object {
	mr = s.filled(mr)
	attributes := object{
		"id": mr.ID, "iid": mr.IID, "title": mr.Title, "description": "", "state": mr.State, "author_id": u.ID, "assignee_ids": []int64{},
		"reviewer_ids": []int64{}, "source_branch": mr.SourceBranch, "target_branch": mr.TargetBranch, "source_project_id": p.ID,
		"target_project_id": p.ID, "created_at": hookTime(s.now()), "updated_at": hookTime(s.now()), "merge_status": "can_be_merged",
		"detailed_merge_status": "mergeable", "draft": false, "work_in_progress": false, "head_pipeline_id": nil,
		"last_commit": s.commitHook(p, p.resolve(mr.SourceBranch)), "source": s.projectHook(p, true), "target": s.projectHook(p, true),
		"url": fmt.Sprintf("%s/-/merge_requests/%d", s.web(p), mr.IID), "system": action == "",
	}
	if action != "" {
		attributes["action"] = action
	}
	for _, pl := range p.pipelines {
		if pl.sha == p.resolve(mr.SourceBranch) && pl.bridge == nil {
			attributes["head_pipeline_id"] = pl.id
		}
	}
	return object{
		"object_kind": "merge_request", "event_type": "merge_request", "user": s.userHook(u), "project": s.projectHook(p, true),
		"repository": s.repositoryHook(p), "object_attributes": attributes, "labels": []object{}, "changes": object{},
		"assignees": []object{}, "reviewers": []object{},
	}
}
