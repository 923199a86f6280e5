package gitlabsim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Variable is a pipeline variable.
type Variable struct {
	Key, Value string
	Type       string // env_var or file
}

// PipelineRef names a pipeline. The zero value is none.
type PipelineRef struct {
	ProjectID, ID, IID int64
	WebURL             string
}

// PipelineState is a copy of a pipeline as it is now.
type PipelineState struct {
	ID, IID, ProjectID             int64
	Ref, SHA, BeforeSHA            string
	Tag                            bool
	Source, Status, Name, User     string
	Variables                      []Variable
	Inputs                         map[string]any
	Created, Updated               time.Time
	Started, Finished              time.Time // zero until then; Finished stays when a finished pipeline runs again
	SourcePipelineID, SourceBridge int64     // for child and downstream pipelines
	WebURL                         string
}

type pipeline struct {
	id, iid               int64
	project               *project
	ref, sha, before      string
	tag                   bool
	source, status, title string
	user                  *User
	variables             []Variable
	inputs                object
	created, updated      time.Time
	started, finished     time.Time
	duration              int // seconds, set when it finishes
	stages                []string
	jobs                  []*job // all attempts and bridges, by id
	bridge                *job   // what triggered it, or nil
	mr                    *MergeRequest
	depth                 int
}

// pipelineSeed is what a new pipeline is made from; stages and jobs are the project's unless given.
type pipelineSeed struct {
	ref, sha, before, source string
	tag                      bool
	user                     *User
	variables                []Variable
	inputs                   object
	ci                       *ciConfig
	bridge                   *job
	mr                       *MergeRequest
}

// SetCI sets the pipeline shape of a project, as .gitlab-ci.yml would. No jobs removes it: then pushes start nothing and the API says
// "Missing CI config file".
func (s *Server) SetCI(projectID int64, stages []string, jobs []JobSpec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.mustProject(projectID)
	p.ci.set, p.ci.stages, p.ci.jobs = len(jobs) > 0, slices.Clone(stages), slices.Clone(jobs)
}

// SetBranchCI gives one branch a pipeline shape of its own, as another .gitlab-ci.yml there would.
func (s *Server) SetBranchCI(projectID int64, branch string, stages []string, jobs []JobSpec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.mustProject(projectID)
	if p.branchCI == nil {
		p.branchCI = map[string]ciConfig{}
	}
	p.branchCI[branch] = ciConfig{set: len(jobs) > 0, stages: slices.Clone(stages), jobs: slices.Clone(jobs)}
}

// ciOf is the pipeline shape of a branch or tag.
func (p *project) ciOf(ref string) ciConfig {
	ci := p.ci
	if own, has := p.branchCI[ref]; has {
		ci.set, ci.stages, ci.jobs = own.set, own.stages, own.jobs
	}
	return ci
}

// SetInputs declares the names in spec:inputs of a project's pipeline. Without it any input is taken.
func (s *Server) SetInputs(projectID int64, names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.mustProject(projectID)
	p.ci.inputs = map[string]bool{}
	for _, name := range names {
		p.ci.inputs[name] = true
	}
}

// RunPipeline starts a pipeline on a branch or tag with any source ("web", "schedule", "trigger"). It panics where there is no such
// ref or no CI configuration.
func (s *Server) RunPipeline(projectID int64, ref, source, username string) PipelineRef {
	var made PipelineRef
	s.act(func() {
		p := s.mustProject(projectID)
		sha := p.resolve(ref)
		if sha == "" || !p.ciOf(ref).set {
			panic(fmt.Sprintf("gitlabsim: project %d cannot run a pipeline on %q", projectID, ref))
		}
		_, tag := p.tags[ref]
		made = s.pipelineFor(p, pipelineSeed{ref: ref, tag: tag, sha: sha, before: zeroSHA, source: source, user: s.someUser(username)})
	})
	return made
}

// pipelineFor starts a pipeline if the project has a CI configuration.
func (s *Server) pipelineFor(p *project, seed pipelineSeed) PipelineRef {
	if !p.ciOf(seed.ref).set {
		return PipelineRef{}
	}
	return s.refOf(s.newPipeline(p, seed))
}

func (s *Server) refOf(pl *pipeline) PipelineRef {
	return PipelineRef{ProjectID: pl.project.ID, ID: pl.id, IID: pl.iid, WebURL: s.pipelineURL(pl)}
}

func (s *Server) pipelineURL(pl *pipeline) string {
	return fmt.Sprintf("%s/-/pipelines/%d", s.web(pl.project), pl.id)
}

// newPipeline makes the pipeline and its jobs in status created, says so by hooks, and lets the first stage go.
func (s *Server) newPipeline(p *project, seed pipelineSeed) *pipeline {
	ci := seed.ci
	if ci == nil {
		own := p.ciOf(seed.ref)
		ci = &own
	}
	p.iid++
	pl := &pipeline{
		id: s.id("pipeline", 101), iid: p.iid, project: p, ref: seed.ref, sha: seed.sha, before: seed.before, tag: seed.tag,
		source: seed.source, status: statusCreated, user: seed.user, variables: seed.variables, inputs: seed.inputs,
		created: s.now(), updated: s.now(), bridge: seed.bridge, mr: seed.mr,
	}
	if seed.bridge != nil {
		pl.depth = seed.bridge.pipeline.depth + 1
	}
	for _, stage := range ci.stages {
		used := false
		for _, spec := range ci.jobs {
			if spec.Stage == stage {
				used = true
				s.newJob(pl, spec, seed.user)
			}
		}
		if used {
			pl.stages = append(pl.stages, stage)
		}
	}
	p.pipelines = append(p.pipelines, pl)
	p.active = s.now()
	s.emitPipeline(pl)
	for _, j := range pl.jobs {
		s.emitJob(j)
	}
	s.process(pl)
	return pl
}

// latest returns the jobs and bridges that count: the last attempt of each name, in the order of stages.
func (pl *pipeline) latest() []*job {
	list := []*job{}
	for _, j := range pl.jobs {
		if !j.retried {
			list = append(list, j)
		}
	}
	slices.SortStableFunc(list, func(a, b *job) int {
		return cmp.Compare(slices.Index(pl.stages, a.spec.Stage), slices.Index(pl.stages, b.spec.Stage))
	})
	return list
}

// before returns the latest jobs of all stages ahead of stage i.
func (pl *pipeline) beforeStage(i int) []*job {
	return slices.DeleteFunc(pl.latest(), func(j *job) bool { return slices.Index(pl.stages, j.spec.Stage) >= i })
}

// process lets every created job go whose earlier stages are done, until nothing moves, and then computes the pipeline's status.
func (s *Server) process(pl *pipeline) {
	for moved := true; moved; {
		moved = false
		for i, stage := range pl.stages {
			prior := cmp.Or(composite(pl.beforeStage(i)), statusSuccess)
			if !final(prior) {
				break
			}
			for _, j := range pl.latest() {
				if j.spec.Stage == stage && j.status == statusCreated {
					s.release(j, prior)
					moved = true
				}
			}
		}
	}
	s.updateStatus(pl)
}

// release moves a created job on, given how the stages before it ended.
func (s *Server) release(j *job, prior string) {
	switch {
	case prior != statusSuccess && prior != statusSkipped:
		s.setStatus(j, statusSkipped)
	case j.spec.Manual:
		s.setStatus(j, statusManual)
	default:
		s.enqueue(j)
	}
}

func (s *Server) updateStatus(pl *pipeline) {
	next := cmp.Or(composite(pl.latest()), statusSkipped)
	if next == pl.status {
		return
	}
	pl.status, pl.updated = next, s.now()
	switch next {
	case statusRunning:
		if pl.started.IsZero() {
			pl.started = s.now()
		}
	case statusSuccess, statusFailed, statusCanceled:
		pl.finished = s.now()
		pl.duration = pl.busy()
	}
	s.emitPipeline(pl)
	s.tellBridge(pl)
}

// busy is GitLab's duration: the seconds during which at least one of the latest jobs ran.
func (pl *pipeline) busy() int {
	ran := slices.DeleteFunc(pl.latest(), func(j *job) bool { return j.started.IsZero() || j.finished.IsZero() })
	slices.SortFunc(ran, func(a, b *job) int { return a.started.Compare(b.started) })
	var sum time.Duration
	var until time.Time
	for _, j := range ran {
		from := j.started
		if from.Before(until) {
			from = until
		}
		if j.finished.After(from) {
			sum += j.finished.Sub(from)
			until = j.finished
		}
	}
	return int(sum.Seconds())
}

// queued is the whole seconds before the first job ran; nil for none, as GitLab has it.
func (pl *pipeline) queued() any {
	if seconds := int(pl.started.Sub(pl.created).Seconds()); !pl.started.IsZero() && seconds > 0 {
		return seconds
	}
	return nil
}

func (s *Server) findPipeline(projectID, id int64) (*pipeline, error) {
	if p := s.findProject(projectID); p != nil {
		for _, pl := range p.pipelines {
			if pl.id == id {
				return pl, nil
			}
		}
	}
	return nil, fmt.Errorf("no pipeline %d in project %d", id, projectID)
}

// Pipeline returns the state of a pipeline; the zero state if there is none.
func (s *Server) Pipeline(projectID, id int64) PipelineState {
	s.mu.Lock()
	defer s.mu.Unlock()
	pl, err := s.findPipeline(projectID, id)
	if err != nil {
		return PipelineState{}
	}
	return s.state(pl)
}

// Pipelines returns all pipelines of a project, oldest first, child pipelines too.
func (s *Server) Pipelines(projectID int64) []PipelineState {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []PipelineState{}
	if p := s.findProject(projectID); p != nil {
		for _, pl := range p.pipelines {
			list = append(list, s.state(pl))
		}
	}
	return list
}

func (s *Server) state(pl *pipeline) PipelineState {
	st := PipelineState{
		ID: pl.id, IID: pl.iid, ProjectID: pl.project.ID, Ref: pl.ref, SHA: pl.sha, BeforeSHA: pl.before, Tag: pl.tag,
		Source: pl.source, Status: pl.status, Name: pl.title, User: pl.user.Username, Variables: slices.Clone(pl.variables),
		Inputs: maps.Clone(pl.inputs), Created: pl.created, Updated: pl.updated, Started: pl.started, Finished: pl.finished,
		WebURL: s.pipelineURL(pl),
	}
	if pl.bridge != nil {
		st.SourcePipelineID, st.SourceBridge = pl.bridge.pipeline.id, pl.bridge.id
	}
	return st
}

// Step settles what is being cancelled and starts every job that a runner could take. It finishes nothing else.
func (s *Server) Step(projectID, pipelineID int64) error {
	var err error
	s.act(func() {
		var pl *pipeline
		if pl, err = s.findPipeline(projectID, pipelineID); err == nil {
			s.settle(pl)
			s.startPending(pl)
		}
	})
	return err
}

func (s *Server) startPending(pl *pipeline) {
	for _, j := range pl.latest() {
		if j.status == statusPending && !j.isBridge() {
			s.setStatus(j, statusRunning)
		}
	}
	s.process(pl)
}

// settle lets the runners give back the jobs that are being cancelled.
func (s *Server) settle(pl *pipeline) {
	for _, j := range pl.jobs {
		if j.status == statusCanceling {
			s.setStatus(j, statusCanceled)
		}
	}
	s.process(pl)
}

// FinishPipeline runs all jobs that need no click to the end, downstream pipelines that a bridge waits for too. "failed" lets the last
// non-manual job of the last stage that can be reached fail (after its automatic retries) and all others succeed; "canceled" cancels.
func (s *Server) FinishPipeline(projectID, pipelineID int64, status string) error {
	var err error
	s.act(func() {
		var pl *pipeline
		if pl, err = s.findPipeline(projectID, pipelineID); err != nil {
			return
		}
		switch status {
		case statusSuccess:
			s.runToEnd(pl, "")
		case statusFailed:
			victim := pl.victim()
			if victim == "" {
				err = fmt.Errorf("pipeline %d has no job left that could fail", pipelineID)
				return
			}
			s.runToEnd(pl, victim)
		case statusCanceled:
			s.cancelAll(pl)
			s.settle(pl)
		default:
			err = fmt.Errorf("a pipeline cannot finish as %q", status)
		}
	})
	return err
}

// runToEnd finishes jobs until none can run; those named victim fail.
func (s *Server) runToEnd(pl *pipeline, victim string) {
	for {
		s.startPending(pl)
		j := pl.firstRunning(false)
		switch {
		case j == nil:
			j = pl.firstRunning(true)
			if j == nil {
				return
			}
			s.runToEnd(j.downstream, "")
			if j.status == statusRunning {
				return // it waits for a click downstream
			}
		case j.spec.Name == victim:
			s.finish(j, statusFailed, "", "")
		default:
			s.finish(j, statusSuccess, "", "")
		}
	}
}

func (pl *pipeline) firstRunning(bridge bool) *job {
	for _, j := range pl.latest() {
		if j.isBridge() == bridge && (j.status == statusRunning || j.status == statusCanceling) {
			return j
		}
	}
	return nil
}

// victim names the job that fails when the pipeline has to.
func (pl *pipeline) victim() string {
	strict, lenient := "", ""
	for i := range pl.stages {
		blocked := false
		for _, j := range pl.latest() {
			if j.spec.Stage != pl.stages[i] || j.isBridge() {
				continue
			}
			waiting := j.spec.Manual && (j.status == statusManual || j.status == statusCreated)
			blocked = blocked || waiting && !j.spec.AllowFailure
			if waiting || final(j.status) {
				continue
			}
			lenient = j.spec.Name
			if !j.spec.AllowFailure {
				strict = j.spec.Name
			}
		}
		if blocked {
			break
		}
	}
	return cmp.Or(strict, lenient)
}

// cancelAll asks every job that has not ended to stop, in child pipelines too. Manual jobs stay as they are.
func (s *Server) cancelAll(pl *pipeline) {
	for _, j := range pl.jobs {
		s.cancel(j)
	}
	for _, child := range pl.project.pipelines {
		if child.bridge != nil && child.bridge.pipeline == pl {
			s.cancelAll(child)
		}
	}
	s.process(pl)
}

// retryFailed gives failed and cancelled jobs a new attempt and wakes the skipped ones under their old ids.
func (s *Server) retryFailed(pl *pipeline, u *User) {
	for _, j := range pl.latest() {
		if j.status == statusFailed || j.status == statusCanceled {
			s.clone(j, u)
		}
	}
	s.wakeSkipped(pl, -1)
	s.process(pl)
}

// wakeSkipped puts skipped jobs behind a stage back to created.
func (s *Server) wakeSkipped(pl *pipeline, stage int) {
	for _, j := range pl.latest() {
		if j.status == statusSkipped && slices.Index(pl.stages, j.spec.Stage) > stage {
			s.setStatus(j, statusCreated)
		}
	}
}
