package gitlabsim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

func (s *Server) jobURL(j *job) string {
	return fmt.Sprintf("%s/-/jobs/%d", s.web(j.pipeline.project), j.id)
}

// jobBaseJSON is what jobs and bridges share.
func (s *Server) jobBaseJSON(j *job) object {
	pl := j.pipeline
	o := object{
		"id": j.id, "status": j.status, "stage": j.spec.Stage, "name": j.spec.Name, "ref": pl.ref, "tag": pl.tag, "coverage": nil,
		"allow_failure": j.spec.AllowFailure, "created_at": restTime(j.created), "started_at": restTime(j.started),
		"finished_at": restTime(j.finished), "erased_at": restTime(j.erased), "duration": s.jobDuration(j), "queued_duration": s.jobQueued(j),
		"user": s.userFullJSON(j.user, j.user), "commit": s.commitJSON(pl.project, pl.sha), "pipeline": s.pipelineBasicJSON(pl),
		"web_url": s.jobURL(j), "project": object{"ci_job_token_scope_enabled": false},
	}
	delete(o["user"].(object), "email")
	if j.status == statusFailed {
		o["failure_reason"] = j.reason
	}
	return o
}

func (s *Server) jobJSON(j *job) object {
	o := s.jobBaseJSON(j)
	o["artifacts"], o["runner"], o["runner_manager"] = []object{}, nil, nil
	o["artifacts_expire_at"], o["archived"], o["tag_list"] = nil, false, []string{}
	if !j.trace.empty() {
		o["artifacts"] = []object{{"file_type": "trace", "size": j.trace.size(), "filename": "job.log", "file_format": nil}}
	}
	if !j.started.IsZero() {
		o["runner"] = object{
			"id": s.idBase + 31, "description": "linux-small-1", "ip_address": nil, "active": true, "paused": false, "is_shared": true,
			"runner_type": "instance_type", "name": "gitlab-runner", "online": true, "status": "online",
		}
	}
	return o
}

func (s *Server) bridgeJSON(j *job) object {
	o := s.jobBaseJSON(j)
	o["downstream_pipeline"] = nil
	if j.downstream != nil {
		o["downstream_pipeline"] = s.pipelineBasicJSON(j.downstream)
	}
	return o
}

// job finds the job of a request in its project. Bridges are found only where the endpoint knows them.
func (r *request) job(s *Server, bridges bool) (*job, error) {
	id, err := r.id("job_id")
	if err != nil {
		return nil, err
	}
	j := s.jobs[id]
	if j == nil || j.pipeline.project != r.project || j.isBridge() && !bridges {
		return nil, failed(http.StatusNotFound, "404 Not found")
	}
	return j, nil
}

// writableJob is job for endpoints that change one.
func (r *request) writableJob(s *Server, bridges bool) (*job, error) {
	j, err := r.job(s, bridges)
	if err != nil {
		return nil, err
	}
	return j, r.mayTouch(j.pipeline)
}

func (r *request) jobScope() ([]string, error) {
	scope := r.texts("scope")
	for _, status := range scope {
		if !slices.Contains(jobStatuses, status) {
			return nil, invalid("scope does not have a valid value")
		}
	}
	return scope, nil
}

// jobPage lists jobs newest first.
func jobPage(s *Server, r *request, jobs []*job, show func(*job) object) (reply, error) {
	scope, err := r.jobScope()
	if err != nil {
		return reply{}, err
	}
	list := []object{}
	for _, j := range slices.Backward(jobs) {
		if len(scope) == 0 || slices.Contains(scope, j.status) {
			list = append(list, show(j))
		}
	}
	return page(s, r, list, "id")
}

func listPipelineJobs(s *Server, r *request) (reply, error) {
	pl, err := r.pipeline(s)
	if err != nil {
		return reply{}, err
	}
	retried := r.flag("include_retried")
	jobs := slices.DeleteFunc(slices.Clone(pl.jobs), func(j *job) bool { return j.isBridge() || j.retried && !retried })
	return jobPage(s, r, jobs, s.jobJSON)
}

func listPipelineBridges(s *Server, r *request) (reply, error) {
	pl, err := r.pipeline(s)
	if err != nil {
		return reply{}, err
	}
	bridges := slices.DeleteFunc(slices.Clone(pl.jobs), func(j *job) bool { return !j.isBridge() || j.retried })
	return jobPage(s, r, bridges, s.bridgeJSON)
}

func listJobs(s *Server, r *request) (reply, error) {
	jobs := []*job{}
	for _, pl := range r.project.pipelines {
		for _, j := range pl.jobs {
			if !j.isBridge() {
				jobs = append(jobs, j)
			}
		}
	}
	slices.SortFunc(jobs, func(a, b *job) int { return int(a.id - b.id) })
	return jobPage(s, r, jobs, s.jobJSON)
}

func getJob(s *Server, r *request) (reply, error) {
	j, err := r.job(s, false)
	if err != nil {
		return reply{}, err
	}
	return ok(s.jobJSON(j)), nil
}

// getTrace sends the whole trace as it is now, which is empty for a job that waits or was erased. Range headers are ignored, as GitLab
// does.
func getTrace(s *Server, r *request) (reply, error) {
	j, err := r.job(s, false)
	if err != nil {
		return reply{}, err
	}
	// Where it prints every variable it is for Developers.
	debug := slices.ContainsFunc(j.pipeline.variables, func(v Variable) bool { return v.Key == "CI_DEBUG_TRACE" && v.Value == "true" })
	if debug && r.level < Developer {
		return reply{}, failed(http.StatusForbidden, "403 Forbidden")
	}
	h := http.Header{"Content-Disposition": {fmt.Sprintf("infile; filename=\"%d.log\"", j.id)}}
	out := reply{code: http.StatusOK, header: h}
	if j.trace.plain() {
		out.text = j.trace.String()
	} else {
		out.stream = j.trace.snapshot().reader()
	}
	return out, nil
}

// TraceRequests counts the requests for the trace of a job.
func (s *Server) TraceRequests(jobID int64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, end := 0, fmt.Sprintf("/jobs/%d/trace", jobID)
	for _, c := range s.calls {
		if c.Method == http.MethodGet && strings.HasSuffix(c.Path, end) {
			n++
		}
	}
	return n
}

// eraseJob is for Maintainers, and for Developers whose job it is.
func eraseJob(s *Server, r *request) (reply, error) {
	j, err := r.job(s, false)
	switch {
	case err != nil:
		return reply{}, err
	case r.level < Maintainer && j.user != r.user:
		return reply{}, failed(http.StatusForbidden, "403 Forbidden")
	case !s.erase(j):
		return reply{}, failed(http.StatusForbidden, "403 Forbidden  - Job is not erasable!")
	}
	return created(s.jobJSON(j)), nil
}

func (s *Server) anyJobJSON(j *job) object {
	if j.isBridge() {
		return s.bridgeJSON(j)
	}
	return s.jobJSON(j)
}

func retryJob(s *Server, r *request) (reply, error) {
	j, err := r.writableJob(s, true)
	if err != nil {
		return reply{}, err
	}
	if !j.retryable() {
		return reply{}, failed(http.StatusForbidden, "403 Forbidden  - Job is not retryable")
	}
	return created(s.anyJobJSON(s.retry(j, r.user))), nil
}

// playJob shows the job that was asked for, which after a second play is the old attempt.
func playJob(s *Server, r *request) (reply, error) {
	j, err := r.writableJob(s, true)
	if err != nil {
		return reply{}, err
	}
	variables, err := r.variables("job_variables_attributes")
	if err != nil {
		return reply{}, err
	}
	if s.play(j, r.user, variables) == nil {
		return reply{}, failed(http.StatusBadRequest, "400 Bad request - Unplayable Job")
	}
	return ok(s.anyJobJSON(j)), nil
}

// cancelJob answers 201 also for a job that has ended. force needs a Maintainer and ends a job that is being cancelled.
func cancelJob(s *Server, r *request) (reply, error) {
	j, err := r.writableJob(s, false)
	if err != nil {
		return reply{}, err
	}
	switch {
	case !r.flag("force"):
		s.cancel(j)
	case r.level < Maintainer:
		return reply{}, failed(http.StatusForbidden, "403 Forbidden")
	case j.status == statusCanceling:
		s.setStatus(j, statusCanceled)
	}
	s.process(j.pipeline)
	return created(s.jobJSON(j)), nil
}
