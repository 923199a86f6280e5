package gitlabsim

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// Recording is a trace that a running job writes bit by bit, stamped with the time at which it does. Its methods may be called from
// any goroutine.
type Recording struct {
	mu     sync.Mutex
	tracer tracer
	steps  []step
	next   int
	fails  bool
}

// NewRecording starts a trace of a kind, see SampleKinds; "big" and "canceled" are kinds too. Other kinds give nil.
func NewRecording(kind string) *Recording {
	name, stamped := strings.CutSuffix(kind, Timestamps)
	p, known := findSample(name)
	if !known {
		return nil
	}
	return &Recording{tracer: tracer{stamped: stamped}, steps: p.steps(), fails: p.fails()}
}

// Fails says whether the last line tells of a failure.
func (r *Recording) Fails() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fails
}

// Turn lets the trace go on as one of another kind does: what was written stays. One whose script is over changes its last lines only,
// one that has begun those nothing. Unknown kinds change nothing.
func (r *Recording) Turn(kind string) {
	p, known := findSample(strings.TrimSuffix(kind, Timestamps))
	if !known {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == len(r.steps) {
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
	r.fails = p.fails()
}

// since gives the steps from a phase on.
func since(steps []step, from phase) []step {
	return steps[slices.IndexFunc(steps, func(st step) bool { return st.phase >= from }):]
}

// take writes all up to a share of the whole, 0 to 1, and returns what is new.
func (r *Recording) take(share float64, now time.Time) trace {
	r.mu.Lock()
	defer r.mu.Unlock()
	upTo := min(int(share*float64(len(r.steps))), len(r.steps))
	r.tracer.at, r.tracer.out = now, trace{}
	for ; r.next < upTo; r.next++ {
		r.tracer.write(r.steps[r.next])
	}
	return r.tracer.out
}

// AppendRecording adds to the trace of a job what a recording has written when a share of it, 0 to 1, is over. The whole of it is 1.
func (s *Server) AppendRecording(jobID int64, r *Recording, share float64) error {
	more := r.take(share, s.now())
	return s.withBuild(jobID, func(j *job) error {
		j.trace.append(more)
		return nil
	})
}
