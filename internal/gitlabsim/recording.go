package gitlabsim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// recording is a trace that a running job writes bit by bit.
type recording struct {
	kind   string
	tracer tracer
	steps  []step
	next   int
	fails  bool
}

// Record lets the trace of a job be of a kind from now on; WriteTrace then writes it, and the end of the job its rest. The kinds are
// those of SampleKinds and "big". What the job has written of another kind stays: if its script is over only the last lines change.
func (s *Server) Record(jobID int64, kind string) error {
	return s.withBuild(jobID, func(j *job) error {
		name, stamped := strings.CutSuffix(kind, Timestamps)
		p, known := findSample(name)
		switch {
		case !known:
			return fmt.Errorf("no log is called %q", kind)
		case j.status != statusPending && j.status != statusRunning:
			return fmt.Errorf("job %d is %s and writes nothing", jobID, j.status)
		case j.recording == nil:
			j.recording = &recording{kind: name, tracer: tracer{stamped: stamped}, steps: p.steps(), fails: p.fails()}
		default:
			j.recording.turn(p)
		}
		return nil
	})
}

// WriteTrace lets a running job write what it has written when a share of its work, 0 to 1, is over: see Record. Lines are stamped
// with the time at which they are written; those that tell how the job ended come with its end. Without a recording nothing is written.
func (s *Server) WriteTrace(jobID int64, share float64) error {
	return s.withBuild(jobID, func(j *job) error {
		if j.recording != nil && j.status == statusRunning {
			r := j.recording
			j.trace.append(r.take(min(int(share*float64(len(r.steps))), len(r.steps)-len(since(r.steps, over))), s.now()))
		}
		return nil
	})
}

// endRecording writes the rest of a trace, so that it fits the status with which the job ends.
func (s *Server) endRecording(j *job, status string) {
	r := j.recording
	if r == nil {
		return
	}
	j.recording = nil
	kind := ""
	switch {
	case status == statusCanceled:
		kind = kindCanceled
	case status == statusSuccess && r.fails:
		kind = "ok"
	case status == statusFailed && !r.fails:
		kind = "go-test"
	}
	if p, other := findSample(kind); other {
		r.turn(p)
	}
	j.trace.append(r.take(len(r.steps), s.now()))
}

// turn lets the trace go on as another one does.
func (r *recording) turn(p sample) {
	if r.next == len(r.steps) || r.kind == p.kind {
		return
	}
	other, written := p.steps(), r.next
	switch r.steps[written].phase {
	case preparing: // is as long for every kind
		r.steps = slices.Concat(r.steps[:written], other[written:])
	case running:
		r.steps = slices.Concat(r.steps[:written], since(other, running))
	case ending:
		left := len(r.steps) - len(since(r.steps, over))
		r.steps = slices.Concat(r.steps[:left], since(other, over))
	case over:
		return
	}
	r.kind, r.fails = p.kind, p.fails()
}

// since gives the steps from a phase on.
func since(steps []step, from phase) []step {
	return steps[slices.IndexFunc(steps, func(st step) bool { return st.phase >= from }):]
}

// take writes the steps up to one and returns what is new.
func (r *recording) take(upTo int, now time.Time) trace {
	r.tracer.at, r.tracer.out = now, trace{}
	for ; r.next < upTo; r.next++ {
		r.tracer.write(r.steps[r.next])
	}
	return r.tracer.out
}
