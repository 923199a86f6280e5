package gitlabsim

// maxDepth is how many pipelines may hang below each other.
const maxDepth = 5

// startBridge starts what a trigger job triggers. The bridge succeeds at once, or runs along with Depend.
func (s *Server) startBridge(j *job) {
	down, reason := s.trigger(j)
	if down == nil {
		j.reason = reason
		s.setStatus(j, statusFailed)
		return
	}
	if !j.spec.Trigger.Depend {
		s.setStatus(j, statusSuccess)
	}
	s.tellBridge(down) // it may have ended already
}

func (s *Server) trigger(j *job) (*pipeline, string) {
	parent, t := j.pipeline, j.spec.Trigger
	if parent.depth >= maxDepth {
		return nil, "reached_max_descendant_pipelines_depth"
	}
	if t.Depend {
		s.setStatus(j, statusRunning)
	}
	seed := pipelineSeed{
		ref: parent.ref, tag: parent.tag, sha: parent.sha, before: parent.before, source: "parent_pipeline", user: j.user, bridge: j,
		ci: &ciConfig{set: true, stages: t.Stages, jobs: t.Jobs}, mr: parent.mr,
	}
	target := parent.project
	if t.ProjectID != 0 {
		target = s.findProject(t.ProjectID)
		if target == nil || s.level(j.user, target) < Developer {
			return nil, "insufficient_bridge_permissions"
		}
		branch := t.Branch
		if branch == "" {
			branch = target.DefaultBranch
		}
		seed = pipelineSeed{
			ref: branch, sha: target.resolve(branch), before: zeroSHA, source: "pipeline", user: j.user, bridge: j, ci: &target.ci,
		}
	}
	if seed.sha == "" || len(seed.ci.jobs) == 0 {
		return nil, "downstream_pipeline_creation_failed"
	}
	return s.newPipeline(target, seed), ""
}

// tellBridge carries the status of a downstream pipeline to the bridge that waits for it.
func (s *Server) tellBridge(down *pipeline) {
	j := down.bridge
	if j == nil {
		return
	}
	j.downstream = down
	if !j.spec.Trigger.Depend || j.retried {
		return
	}
	switch down.status {
	case statusSuccess:
		s.setStatus(j, statusSuccess)
	case statusCanceled:
		s.setStatus(j, statusCanceled)
	case statusFailed, statusSkipped:
		j.reason = "downstream_pipeline_failed"
		s.setStatus(j, statusFailed)
	default:
		if final(j.status) {
			s.setStatus(j, statusRunning) // it was retried down there
			s.wakeSkipped(j.pipeline, -1)
		}
	}
	s.process(j.pipeline)
}
