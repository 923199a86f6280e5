package tektonsim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline"
	tekton "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/apis"
)

// run is what the controller has yet to do about a PipelineRun.
type run struct {
	namespace, name, app string
	pipeline             string
	params               map[string]string
	sc                   Scenario
	uid                  string

	todo     []act
	due      time.Time // of the first act
	at       string
	held     bool
	deadline time.Time // its time is up
	ended    bool
	previous string // the image before, of a deployment
	attempt  int
	done     int // tasks
	results  map[string]string
}

// act is one thing that the controller does, after a time.
type act struct {
	after time.Duration
	do    func()
	hold  bool   // it comes when somebody says so
	task  string // of whose steps it is
}

func (r *run) key() string { return r.namespace + "/" + r.name }

func (r *run) param(name string) string { return r.params[name] }

// begin takes a new PipelineRun up.
func (s *Server) begin(pr *tekton.PipelineRun) {
	r := &run{
		namespace: pr.Namespace, name: pr.Name, app: pr.Labels["kovra.dev/app"], uid: string(pr.UID),
		params: map[string]string{}, results: map[string]string{}, due: s.o.Now().Add(s.o.Pace),
	}
	for _, p := range pr.Spec.Params {
		r.params[p.Name] = p.Value.StringVal
		if p.Value.Type == tekton.ParamTypeArray {
			r.params[p.Name] = strings.Join(p.Value.ArrayVal, "\n")
		}
	}
	if pr.Spec.PipelineRef != nil {
		r.pipeline = pr.Spec.PipelineRef.Name
	}
	r.sc = s.scenario(r)
	r.todo = []act{{after: s.o.Pace, do: func() { s.start(r) }}}
	s.runs = append(s.runs, r)
	if pr.Spec.Status != "" {
		s.obey(pr)
	}
}

// Step lets every run do one act at once, whatever its time, and reports whether any did. Runs that are held do nothing.
func (s *Server) Step() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	moved := false
	for _, r := range slices.Clone(s.runs) {
		moved = s.advance(r) || moved
	}
	return moved
}

// Settle steps until nothing moves: every run has ended or is held.
func (s *Server) Settle() {
	for s.Step() {
	}
}

func (s *Server) advance(r *run) bool {
	if len(r.todo) == 0 || r.todo[0].hold {
		r.held = len(r.todo) > 0
		return false
	}
	next := r.todo[0]
	r.todo, r.held = r.todo[1:], false
	next.do()
	if len(r.todo) > 0 {
		r.due = s.o.Now().Add(r.todo[0].after)
		r.held = r.todo[0].hold
	}
	return true
}

// Run moves all runs in real time until ctx is done, and returns nil.
func (s *Server) Run(ctx context.Context) error {
	for {
		s.mu.Lock()
		wait := s.advanceDue()
		changed := s.changed
		s.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-changed:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// longestSleep bounds the wait for the next act.
const longestSleep = time.Minute

// advanceDue does what is due, and says how long nothing else will be.
func (s *Server) advanceDue() time.Duration {
	wait := longestSleep
	now := s.o.Now()
	for _, r := range slices.Clone(s.runs) {
		if r.ended {
			continue
		}
		if !r.deadline.IsZero() && !now.Before(r.deadline) {
			s.expire(r)
		}
		for len(r.todo) > 0 && !r.todo[0].hold && !now.Before(r.due) {
			s.advance(r)
		}
		if len(r.todo) > 0 && !r.todo[0].hold {
			wait = min(wait, r.due.Sub(now))
		}
		if !r.deadline.IsZero() && !r.ended {
			wait = min(wait, r.deadline.Sub(now))
		}
	}
	return max(wait, time.Millisecond)
}

// Release lets runs that are held go on: those of a name, or all for "". It reports whether any was.
func (s *Server) Release(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	any := false
	for _, r := range s.runs {
		if (name == "" || r.name == name) && len(r.todo) > 0 && r.todo[0].hold {
			r.todo[0].hold, r.held, r.due = false, false, s.o.Now()
			any = true
		}
	}
	s.wake()
	return any
}

// Finish lets the runs of a name, or all for "", go on to their end, whatever holds them.
func (s *Server) Finish(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.runs {
		for (name == "" || r.name == name) && len(r.todo) > 0 {
			r.todo[0].hold = false
			s.advance(r)
		}
	}
}

// TimeOut says that the time of a run is up.
func (s *Server) TimeOut(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.runs {
		if r.name == name && !r.ended {
			s.expire(r)
		}
	}
}

func (s *Server) seen(r *run) Run {
	out := Run{Namespace: r.namespace, Name: r.name, App: r.app, Pipeline: r.pipeline, Params: r.params, At: r.at, Held: r.held}
	if pr := s.pipelineRun(r); pr != nil {
		if c := pr.Status.GetCondition(apis.ConditionSucceeded); c != nil {
			out.Status, out.Reason = string(c.Status), c.Reason
		}
	} else {
		out.Reason = "deleted"
	}
	return out
}

func (s *Server) pipelineRun(r *run) *tekton.PipelineRun {
	pr := get[*tekton.PipelineRun](s, "tekton.dev", "pipelineruns", r.key())
	if pr == nil || string(pr.UID) != r.uid {
		return nil
	}
	return pr
}

// start is Tekton's first look at a run.
func (s *Server) start(r *run) {
	pr := s.pipelineRun(r)
	if pr == nil {
		return
	}
	now := metav1.NewTime(s.o.Now())
	pr.Status.StartTime = &now
	p := get[*tekton.Pipeline](s, "tekton.dev", "pipelines", r.namespace+"/"+r.pipeline)
	if p == nil && pr.Spec.PipelineSpec == nil {
		s.endRun(r, pr, corev1.ConditionFalse, "CouldntGetPipeline",
			fmt.Sprintf("Error retrieving pipeline for pipelinerun %s: error when listing pipelines for pipelineRun %s: pipelines.tekton.dev %q not found", r.key(), r.name, r.pipeline))
		return
	}
	spec := pr.Spec.PipelineSpec
	if spec == nil {
		spec = &p.Spec
	}
	pr.Status.PipelineSpec = spec.DeepCopy()
	if reason, message := s.unfit(r, pr, spec); reason != "" {
		s.endRun(r, pr, corev1.ConditionFalse, reason, message)
		return
	}
	if t := pr.Spec.Timeouts; t != nil && t.Pipeline != nil && t.Pipeline.Duration > 0 {
		r.deadline = now.Add(t.Pipeline.Duration)
	}
	s.standing(r, pr, "Running")
	for i := range spec.Tasks {
		r.todo = append(r.todo, s.taskActs(r, spec.Tasks[i])...)
	}
	r.todo = append(r.todo, act{after: s.o.Pace, do: func() { s.succeed(r) }})
}

// unfit is what Tekton holds against a run before it starts any task.
func (s *Server) unfit(r *run, pr *tekton.PipelineRun, spec *tekton.PipelineSpec) (reason, message string) {
	var missing []string
	for _, p := range spec.Params {
		if _, ok := r.params[p.Name]; !ok && p.Default == nil {
			missing = append(missing, p.Name)
		}
	}
	if len(missing) > 0 {
		return "ParameterMissing", fmt.Sprintf("[User error] PipelineRun %s parameters is missing some parameters required by Pipeline %s's parameters: pipelineRun missing parameters: %v", r.key(), r.pipeline, missing)
	}
	for _, w := range spec.Workspaces {
		if !w.Optional && !slices.ContainsFunc(pr.Spec.Workspaces, func(b tekton.WorkspaceBinding) bool { return b.Name == w.Name }) {
			return "InvalidWorkspaceBindings", fmt.Sprintf("[User error] PipelineRun %s doesn't bind Pipeline %s's Workspaces correctly: pipeline requires workspace with name %q be provided by pipelinerun", r.key(), r.pipeline, w.Name)
		}
	}
	for _, t := range spec.Tasks {
		if t.TaskRef != nil && s.table("tekton.dev", "tasks").items[r.namespace+"/"+t.TaskRef.Name] == nil {
			return "CouldntGetTask", fmt.Sprintf("Pipeline %s/%s can't be Run; it contains Tasks that don't exist: Couldn't retrieve Task %q: tasks.tekton.dev %q not found", r.namespace, r.pipeline, t.TaskRef.Name, t.TaskRef.Name)
		}
	}
	return "", ""
}

// standing writes that the run goes on.
func (s *Server) standing(r *run, pr *tekton.PipelineRun, reason string) {
	left := 0
	if pr.Status.PipelineSpec != nil {
		left = len(pr.Status.PipelineSpec.Tasks) - r.done
	}
	pr.Status.SetCondition(&apis.Condition{
		Type: apis.ConditionSucceeded, Status: corev1.ConditionUnknown, Reason: reason,
		Message: fmt.Sprintf("Tasks Completed: %d (Failed: 0, Cancelled 0), Incomplete: %d, Skipped: 0", r.done, left),
	})
	s.put(s.table("tekton.dev", "pipelineruns"), pr)
}

func (s *Server) succeed(r *run) {
	pr := s.pipelineRun(r)
	if pr == nil {
		return
	}
	for _, want := range pr.Status.PipelineSpec.Results {
		if value, ok := r.results[want.Name]; ok {
			pr.Status.Results = append(pr.Status.Results, tekton.PipelineRunResult{Name: want.Name, Value: *tekton.NewStructuredValues(value)})
		}
	}
	s.endRun(r, pr, corev1.ConditionTrue, "Succeeded", fmt.Sprintf("Tasks Completed: %d (Failed: 0, Cancelled 0), Skipped: 0", r.done))
}

func (s *Server) endRun(r *run, pr *tekton.PipelineRun, status corev1.ConditionStatus, reason, message string) {
	now := metav1.NewTime(s.o.Now())
	pr.Status.CompletionTime = &now
	pr.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: status, Reason: reason, Message: message})
	s.put(s.table("tekton.dev", "pipelineruns"), pr)
	r.todo, r.ended, r.held, r.at = nil, true, false, ""
}

// obey carries out what spec.status asks for.
func (s *Server) obey(pr *tekton.PipelineRun) {
	i := slices.IndexFunc(s.runs, func(r *run) bool { return r.uid == string(pr.UID) })
	if i < 0 || s.runs[i].ended {
		return
	}
	r := s.runs[i]
	switch pr.Spec.Status {
	case tekton.PipelineRunSpecStatusPending:
		own := s.pipelineRun(r)
		own.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: corev1.ConditionUnknown, Reason: "PipelineRunPending", Message: fmt.Sprintf("PipelineRun %q is pending", r.name)})
		s.put(s.table("tekton.dev", "pipelineruns"), own)
		if !r.todo[0].hold {
			r.todo = append([]act{{hold: true, do: func() {}}}, r.todo...)
		}
	case tekton.PipelineRunSpecStatusCancelled, tekton.PipelineRunSpecStatusCancelledRunFinally, tekton.PipelineRunSpecStatusStoppedRunFinally:
		if r.at == "cancelling" {
			return
		}
		r.at, r.held, r.due = "cancelling", false, s.o.Now().Add(s.o.Pace)
		r.todo = []act{
			{after: s.o.Pace, do: func() {
				s.stopTasks(r, "TaskRunCancelled", string(tekton.TaskRunCancelledByPipelineMsg))
				if own := s.pipelineRun(r); own != nil && own.Status.StartTime != nil {
					s.standing(r, own, "CancelledRunningFinally")
				}
			}},
			{after: s.o.Pace, do: func() {
				if own := s.pipelineRun(r); own != nil {
					s.endRun(r, own, corev1.ConditionFalse, "Cancelled", fmt.Sprintf("PipelineRun %q was cancelled", r.name))
				}
			}},
		}
	default:
	}
}

// expire ends a run whose time is up.
func (s *Server) expire(r *run) {
	s.stopTasks(r, "TaskRunCancelled", string(tekton.TaskRunCancelledByPipelineTimeoutMsg))
	pr := s.pipelineRun(r)
	if pr == nil {
		r.todo, r.ended = nil, true
		return
	}
	limit := "1h0m0s"
	if t := pr.Spec.Timeouts; t != nil && t.Pipeline != nil {
		limit = t.Pipeline.Duration.String()
	}
	s.endRun(r, pr, corev1.ConditionFalse, "PipelineRunTimeout", fmt.Sprintf("PipelineRun %q failed to finish within %q", r.name, limit))
}

// abandon forgets a deleted run, its TaskRuns and pods.
func (s *Server) abandon(pr *tekton.PipelineRun) {
	for _, r := range s.runs {
		if r.uid == string(pr.UID) {
			r.todo, r.ended, r.held = nil, true, false
		}
	}
	for _, name := range []string{"taskruns", "pods"} {
		group := map[string]string{"taskruns": "tekton.dev"}[name]
		t := s.table(group, name)
		for _, o := range t.all() {
			if o.GetLabels()[pipeline.PipelineRunUIDLabelKey] == string(pr.UID) {
				s.removePodLogs(key(o))
				s.remove(t, key(o))
			}
		}
	}
}

// DeletePods removes the pods of a run, as a node that dies or a pruner does; their logs are gone.
func (s *Server) DeletePods(run string) { s.deleteOf(run, s.table("", "pods")) }

// DeleteTaskRuns removes the TaskRuns of a run with their pods.
func (s *Server) DeleteTaskRuns(run string) {
	s.DeletePods(run)
	s.deleteOf(run, s.table("tekton.dev", "taskruns"))
}

func (s *Server) deleteOf(run string, t *table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range t.all() {
		if o.GetLabels()[pipeline.PipelineRunLabelKey] == run {
			s.removePodLogs(key(o))
			s.remove(t, key(o))
		}
	}
}

// DeleteRun deletes a PipelineRun and all that belongs to it.
func (s *Server) DeleteRun(namespace, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table("tekton.dev", "pipelineruns")
	if there := t.items[namespace+"/"+name]; there != nil {
		s.drop(request{table: t, ns: namespace, name: name}, there)
	}
}
