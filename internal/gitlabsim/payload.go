package gitlabsim

import "strings"

const (
	eventPush         = "Push Hook"
	eventTagPush      = "Tag Push Hook"
	eventPipeline     = "Pipeline Hook"
	eventJob          = "Job Hook"
	eventMergeRequest = "Merge Request Hook"
	eventNote         = "Note Hook"
	eventDeployment   = "Deployment Hook"
	eventRelease      = "Release Hook"
)

// flagOf names the flag of a hook that lets an event out.
var flagOf = map[string]string{
	eventPush: "push_events", eventTagPush: "tag_push_events", eventPipeline: "pipeline_events", eventJob: "job_events",
	eventMergeRequest: "merge_requests_events", eventNote: "note_events", eventDeployment: "deployment_events", eventRelease: "releases_events",
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
