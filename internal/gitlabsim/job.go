package gitlabsim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// JobSpec is one job of a pipeline's shape.
type JobSpec struct {
	Name, Stage  string
	Manual       bool // waits for a click; without AllowFailure it blocks the pipeline
	AllowFailure bool
	Retry        int          // automatic retries after a failure
	Trigger      *TriggerSpec // makes it a bridge: no runner, no trace, no job hook
	// Log is the trace of an attempt that was finished without one. A kind of SampleKinds, or "big", is used where it ends as the
	// attempt does; any other text always. Otherwise it is "go-test" for failures and "ok" for successes.
	Log string
}

// TriggerSpec is what a bridge starts: a child pipeline of the given shape, or a pipeline of another project.
type TriggerSpec struct {
	ProjectID int64  // 0: a child pipeline in the same project
	Branch    string // of the other project; "" is its default branch
	Depend    bool   // the bridge runs as long as the pipeline that it started and ends as that does
	Stages    []string
	Jobs      []JobSpec
}

// JobState is a copy of one attempt of a job as it is now.
type JobState struct {
	ID, PipelineID       int64
	Name, Stage          string
	Status               string
	FailureReason        string
	Retried              bool
	Manual, AllowFailure bool
	User                 string
	Created, Queued      time.Time
	Started, Finished    time.Time
	Trace                string // of output in bulk it says how much there is
	Recording            string // the kind of log that it writes, see Record; "": none
	DownstreamProjectID  int64  // bridges only
	DownstreamPipelineID int64  // bridges only
}

type job struct {
	id                int64
	spec              JobSpec
	pipeline          *pipeline
	status, reason    string
	retried           bool
	user              *User
	created, queued   time.Time
	started, finished time.Time
	trace             trace
	recording         *recording
	erased            time.Time
	played            []Variable
	downstream        *pipeline
}

func (j *job) isBridge() bool { return j.spec.Trigger != nil }

func (s *Server) newJob(pl *pipeline, spec JobSpec, u *User) *job {
	j := &job{id: s.id("job", 1001), spec: spec, pipeline: pl, status: statusCreated, user: u, created: s.now()}
	pl.jobs = append(pl.jobs, j)
	s.jobs[j.id] = j
	return j
}

// setStatus moves a job, keeps its times and fires the job hook.
func (s *Server) setStatus(j *job, status string) {
	if j.status == status {
		return
	}
	j.status = status
	switch status {
	case statusPending:
		j.queued = s.now()
	case statusRunning:
		j.started = s.now()
	case statusSuccess, statusFailed, statusCanceled:
		j.finished = s.now()
	}
	s.emitJob(j)
}

// enqueue hands a job to the runners; a bridge needs none and starts at once.
func (s *Server) enqueue(j *job) {
	s.setStatus(j, statusPending)
	if j.isBridge() {
		s.startBridge(j)
	}
}

// attempts counts the attempts of j's name that were retried.
func (j *job) attempts() int {
	n := 0
	for _, other := range j.pipeline.jobs {
		if other.spec.Name == j.spec.Name && other.retried {
			n++
		}
	}
	return n
}

// clone is the next attempt of j: a new id, the same name.
func (s *Server) clone(j *job, u *User) *job {
	j.retried = true
	next := s.newJob(j.pipeline, j.spec, u)
	s.emitJob(next)
	return next
}

func (j *job) retryable() bool {
	return !j.retried && (j.status == statusSuccess || j.status == statusFailed || j.status == statusCanceled)
}

// retry gives j a next attempt that starts without further clicks.
func (s *Server) retry(j *job, u *User) *job {
	next := s.clone(j, u)
	s.enqueue(next)
	s.wakeSkipped(j.pipeline, slices.Index(j.pipeline.stages, j.spec.Stage))
	s.process(j.pipeline)
	return next
}

// play starts a manual job, or a finished one once more. It returns the attempt that runs, or nil if j cannot be played.
func (s *Server) play(j *job, u *User, variables []Variable) *job {
	if !j.spec.Manual || j.status != statusManual && !j.retryable() {
		return nil
	}
	if j.status != statusManual {
		return s.retry(j, u)
	}
	j.user, j.played = u, variables
	s.enqueue(j)
	s.wakeSkipped(j.pipeline, slices.Index(j.pipeline.stages, j.spec.Stage))
	s.process(j.pipeline)
	return j
}

// cancel stops j if it has not ended. A running job is canceling until its runner gives it back.
func (s *Server) cancel(j *job) {
	switch j.status {
	case statusRunning:
		if j.isBridge() {
			s.setStatus(j, statusCanceled)
			return
		}
		s.setStatus(j, statusCanceling)
	case statusCreated, statusPending:
		s.setStatus(j, statusCanceled)
	}
}

// finish ends an attempt that runs, gives it a trace if it has none, and retries it automatically where the shape says so.
func (s *Server) finish(j *job, status, trace, reason string) {
	if trace != "" {
		j.trace = textTrace(trace)
	}
	if j.status == statusCanceling {
		status = statusCanceled
	}
	if trace == "" {
		s.endRecording(j, status)
	}
	j.recording = nil
	if j.trace.empty() && status != statusCanceled {
		j.trace = j.spec.log(status)
	}
	if status == statusFailed {
		j.reason = cmp.Or(reason, "script_failure")
	}
	s.setStatus(j, status)
	if status == statusFailed && j.attempts() < j.spec.Retry {
		s.setStatus(s.clone(j, j.user), statusPending)
	}
	s.process(j.pipeline)
}

func (spec JobSpec) log(status string) trace {
	kind, stamped := strings.CutSuffix(spec.Log, Timestamps)
	p, known := findSample(kind)
	switch {
	case spec.Log != "" && !known:
		return textTrace(spec.Log)
	case known && p.fails() == (status != statusSuccess):
		return p.trace(stamped)
	case status == statusSuccess:
		p, _ = findSample("ok")
	default:
		p, _ = findSample("go-test")
	}
	return p.trace(stamped)
}

// withBuild runs f on a job that runners know.
func (s *Server) withBuild(id int64, f func(*job) error) error {
	var err error
	s.act(func() {
		j := s.jobs[id]
		if j == nil || j.isBridge() {
			err = fmt.Errorf("no job %d", id)
			return
		}
		err = f(j)
	})
	return err
}

// StartJob lets a runner take a pending job.
func (s *Server) StartJob(jobID int64) error {
	return s.withBuild(jobID, func(j *job) error {
		if j.status != statusPending {
			return fmt.Errorf("job %d is %s, not pending", jobID, j.status)
		}
		s.setStatus(j, statusRunning)
		s.process(j.pipeline)
		return nil
	})
}

// AppendTrace adds to the trace of a job.
func (s *Server) AppendTrace(jobID int64, text string) error {
	return s.withBuild(jobID, func(j *job) error {
		j.trace.add(text)
		return nil
	})
}

// EraseJob takes the trace of a job that has ended, as a click in GitLab does. From then on the trace is empty.
func (s *Server) EraseJob(jobID int64) error {
	return s.withBuild(jobID, func(j *job) error {
		if !s.erase(j) {
			return fmt.Errorf("job %d is %s and cannot be erased", jobID, j.status)
		}
		return nil
	})
}

func (s *Server) erase(j *job) bool {
	if !final(j.status) || j.status == statusSkipped || !j.erased.IsZero() {
		return false
	}
	j.trace, j.erased = trace{}, s.now()
	return true
}

// FinishJob ends a job with success, failed or canceled; a pending one is started first. A trace that is not empty replaces what was
// there; a job that is recorded writes the rest, one that has none gets JobSpec.Log. A failure without a reason is a script_failure. A job that is being cancelled always
// ends canceled.
func (s *Server) FinishJob(jobID int64, status, trace, failureReason string) error {
	return s.withBuild(jobID, func(j *job) error {
		if status != statusSuccess && status != statusFailed && status != statusCanceled {
			return fmt.Errorf("a job cannot finish as %q", status)
		}
		switch j.status {
		case statusPending:
			s.setStatus(j, statusRunning)
			s.process(j.pipeline)
		case statusRunning, statusCanceling:
		default:
			return fmt.Errorf("job %d is %s and cannot finish", jobID, j.status)
		}
		if status == statusCanceled {
			s.cancel(j)
		}
		s.finish(j, status, trace, failureReason)
		return nil
	})
}

// CancelJob cancels a job as a click in GitLab does, see cancel in the API.
func (s *Server) CancelJob(jobID int64) error {
	return s.withBuild(jobID, func(j *job) error {
		s.cancel(j)
		s.process(j.pipeline)
		return nil
	})
}

// PlayJob plays a manual job as a click of that user in GitLab does and returns the id of the attempt that runs.
func (s *Server) PlayJob(jobID int64, username string) (int64, error) {
	var id int64
	err := s.withBuild(jobID, func(j *job) error {
		next := s.play(j, s.someUser(username), nil)
		if next == nil {
			return fmt.Errorf("job %d cannot be played", jobID)
		}
		id = next.id
		return nil
	})
	return id, err
}

// RetryJob retries a job as a click of that user in GitLab does and returns the id of the new attempt.
func (s *Server) RetryJob(jobID int64, username string) (int64, error) {
	var id int64
	err := s.withBuild(jobID, func(j *job) error {
		if !j.retryable() {
			return fmt.Errorf("job %d cannot be retried", jobID)
		}
		id = s.retry(j, s.someUser(username)).id
		return nil
	})
	return id, err
}

// Jobs returns all attempts of all jobs of a pipeline by id, without bridges.
func (s *Server) Jobs(projectID, pipelineID int64) []JobState {
	return s.jobStates(projectID, pipelineID, false)
}

// Job returns an attempt of a job by its id.
func (s *Server) Job(id int64) (JobState, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[id]
	if j == nil || j.isBridge() {
		return JobState{}, false
	}
	return j.state(), true
}

// Bridges returns all attempts of all trigger jobs of a pipeline by id.
func (s *Server) Bridges(projectID, pipelineID int64) []JobState {
	return s.jobStates(projectID, pipelineID, true)
}

func (s *Server) jobStates(projectID, pipelineID int64, bridges bool) []JobState {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []JobState{}
	pl, err := s.findPipeline(projectID, pipelineID)
	if err != nil {
		return list
	}
	for _, j := range pl.jobs {
		if j.isBridge() == bridges {
			list = append(list, j.state())
		}
	}
	return list
}

func (j *job) state() JobState {
	st := JobState{
		ID: j.id, PipelineID: j.pipeline.id, Name: j.spec.Name, Stage: j.spec.Stage, Status: j.status, FailureReason: j.reason,
		Retried: j.retried, Manual: j.spec.Manual, AllowFailure: j.spec.AllowFailure, User: j.user.Username, Created: j.created,
		Queued: j.queued, Started: j.started, Finished: j.finished, Trace: j.trace.String(),
	}
	if j.recording != nil {
		st.Recording = j.recording.kind
	}
	if j.downstream != nil {
		st.DownstreamProjectID, st.DownstreamPipelineID = j.downstream.project.ID, j.downstream.id
	}
	return st
}

// seconds returns a span as the API writes it, nil before it began; an open span counts up to now.
func seconds(from, to, now time.Time) any {
	if from.IsZero() {
		return nil
	}
	if to.IsZero() {
		to = now
	}
	return to.Sub(from).Seconds()
}

func (s *Server) jobDuration(j *job) any { return seconds(j.started, j.finished, s.now()) }

func (s *Server) jobQueued(j *job) any { return seconds(j.queued, j.started, s.now()) }
