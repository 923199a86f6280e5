package tekton

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"knative.dev/pkg/apis"

	"kovra.dev/chatops/internal/kovra"
)

// Reasons that Tekton gives for the end of a step. They are read only to tell what has happened, never to tell success from failure.
const (
	stepSkipped   = "Skipped"
	stepContinued = "Continued"
	stepTimedOut  = "TimeoutExceeded"
	stepCancelled = "Cancelled"
	outOfMemory   = "OOMKilled"
)

func unnamed(i int) string { return "unnamed-" + strconv.Itoa(i) }

// allSteps are the steps of the run in the order of its pipeline.
func (s *sight) allSteps() []kovra.Step {
	var all []kovra.Step
	for _, task := range s.tasks() {
		runs := s.taskRuns[task.Name]
		if len(runs) == 0 {
			all = append(all, s.stepsToCome(task)...)
		}
		for i, tr := range runs {
			all = append(all, stepsOfTaskRun(taskLabel(task, i, len(runs)), tr)...)
		}
	}
	return all
}

// taskLabel tells the TaskRuns of a matrix from each other, also before all of them are there.
func taskLabel(task v1.PipelineTask, i, of int) string {
	if of < 2 && !task.IsMatrixed() {
		return task.Name
	}
	return fmt.Sprintf("%s-%d", task.Name, i+1)
}

// stepsToCome are the steps of a task that has no TaskRun: it waits for others, or never came about. A task of which nothing is known
// yet is shown as one step of its name; kovra drops that one once it hears of the real ones.
func (s *sight) stepsToCome(task v1.PipelineTask) []kovra.Step {
	names := s.steps[task.Name]
	if len(names) == 0 {
		names = []string{task.Name}
	}
	status, message := kovra.Pending, ""
	if s.final() {
		status = kovra.Skipped
		if s.status() == kovra.BuildCancelled {
			status = kovra.Canceled
		}
	}
	for _, skipped := range s.run.Status.SkippedTasks {
		if skipped.Name == task.Name {
			status, message = kovra.Skipped, sentence(string(skipped.Reason))
		}
	}
	steps := make([]kovra.Step, 0, len(names))
	for _, name := range names {
		steps = append(steps, kovra.Step{Task: task.Name, Name: name, Status: status, Message: message})
	}
	return steps
}

// stepsOfTaskRun are the steps of one TaskRun, of its latest attempt.
func stepsOfTaskRun(task string, tr *v1.TaskRun) []kovra.Step {
	ended := endOf(tr)
	if len(tr.Status.Steps) == 0 {
		return stepsWithoutStates(task, tr, ended)
	}
	steps := make([]kovra.Step, 0, len(tr.Status.Steps))
	var before time.Time // when the step before ended; all containers of a pod start at once and wait for each other
	ready := true
	for i, state := range tr.Status.Steps {
		step := kovra.Step{Task: task, Name: cmp.Or(state.Name, unnamed(i)), Status: kovra.Pending}
		switch {
		case state.Terminated != nil && stopped(state, tr):
			stepStopped(&step, state, tr, ended, ready)
			ready = false
		case state.Terminated != nil:
			stepEnded(&step, state)
			ready = ready && step.Status == kovra.Success
		case state.Running != nil && ready:
			step.Status = kovra.Running
			step.StartedAt = later(state.Running.StartedAt.Time, before)
			ready = false
		case state.Waiting != nil && ready && state.Waiting.Message != "":
			step.Reason, step.Message = state.Waiting.Reason, sentence(readable(state.Waiting.Message))
			ready = false
		default:
			ready = false
		}
		before = later(before, step.FinishedAt)
		steps = append(steps, step)
	}
	return blame(steps, ended)
}

// end is how a TaskRun ended as a whole.
type end struct {
	status  kovra.Status // "" while it has not, or went well
	reason  string
	message string // a sentence
	step    string // the one that Tekton names as the cause; may be empty
}

var namedStep = regexp.MustCompile(`^the step "([^"]+)"`)

func endOf(tr *v1.TaskRun) end {
	c := tr.Status.GetCondition(apis.ConditionSucceeded)
	if c == nil || !c.IsFalse() {
		return end{}
	}
	e := end{status: kovra.Failed, reason: c.Reason, message: sentence(readable(c.Message))}
	if m := namedStep.FindStringSubmatch(c.Message); m != nil {
		e.step = m[1]
	}
	if c.Reason == string(v1.TaskRunReasonCancelled) {
		e.status, e.message = kovra.Canceled, ""
		if tr.Spec.StatusMessage == v1.TaskRunCancelledByPipelineTimeoutMsg || strings.Contains(c.Message, "has timed out") {
			e.status, e.message = kovra.Failed, "It was stopped when the time was up."
		}
	}
	return e
}

// stopped reports whether Tekton ended the step from outside, with its pod, instead of the step itself.
func stopped(state v1.StepState, tr *v1.TaskRun) bool {
	c := tr.Status.GetCondition(apis.ConditionSucceeded)
	return c.IsFalse() && state.Terminated.Reason != "" && state.Terminated.Reason == c.Reason
}

// stepStopped judges a step that Tekton ended from outside. All steps of the pod are marked so; the first one ran, if any did.
func stepStopped(step *kovra.Step, state v1.StepState, tr *v1.TaskRun, ended end, ready bool) {
	step.Status = kovra.Skipped
	if ended.status == kovra.Canceled {
		step.Status = kovra.Canceled
	}
	// Of a step that never ran Tekton says that it began when the TaskRun was made.
	if !ready || state.Terminated.StartedAt.Equal(&tr.CreationTimestamp) {
		return
	}
	step.Status, step.Reason, step.Message = ended.status, ended.reason, ended.message
	step.StartedAt, step.FinishedAt = state.Terminated.StartedAt.Time, state.Terminated.FinishedAt.Time
}

// stepEnded judges a step by its exit code.
func stepEnded(step *kovra.Step, state v1.StepState) {
	t := state.Terminated
	step.Reason = cmp.Or(state.TerminationReason, t.Reason)
	switch {
	case state.TerminationReason == stepSkipped:
		step.Status = kovra.Skipped
		return // it printed nothing and took no time
	case state.TerminationReason == stepCancelled:
		step.Status = kovra.Canceled
	case state.TerminationReason == stepContinued:
		step.Status, step.Message = kovra.Success, fmt.Sprintf("Ended with exit code %d, which is allowed here.", t.ExitCode)
	case t.ExitCode == 0:
		step.Status, step.Reason = kovra.Success, ""
	case t.Reason == outOfMemory:
		step.Status, step.Message = kovra.Failed, "Ran out of memory and was killed."
	case state.TerminationReason == stepTimedOut:
		step.Status, step.Message = kovra.Failed, "Was stopped: its own time was up."
	default:
		step.Status, step.Message = kovra.Failed, fmt.Sprintf("Ended with exit code %d.", t.ExitCode)
	}
	step.StartedAt, step.FinishedAt = t.StartedAt.Time, t.FinishedAt.Time
}

// stepsWithoutStates are the steps of a TaskRun whose pod never was, or is not known yet.
func stepsWithoutStates(task string, tr *v1.TaskRun, ended end) []kovra.Step {
	names := []string{task}
	if tr.Status.TaskSpec != nil && len(tr.Status.TaskSpec.Steps) > 0 {
		names = stepNames(tr.Status.TaskSpec.Steps)
	}
	steps := make([]kovra.Step, 0, len(names))
	for _, name := range names {
		step := kovra.Step{Task: task, Name: name, Status: kovra.Pending}
		if ended.status == kovra.Failed {
			step.Status = kovra.Skipped
		}
		if ended.status == kovra.Canceled {
			step.Status = kovra.Canceled
		}
		steps = append(steps, step)
	}
	return blame(steps, ended)
}

// blame makes sure that a failed task has a failed step: the one that Tekton names, else the first that is not done.
func blame(steps []kovra.Step, ended end) []kovra.Step {
	if ended.status != kovra.Failed {
		return steps
	}
	guilty := -1
	for i, s := range steps {
		switch {
		case s.Status == kovra.Failed:
			return steps
		case s.Status == kovra.Success:
		case guilty < 0 || s.Name == ended.step && steps[guilty].Name != ended.step:
			guilty = i
		}
	}
	if guilty >= 0 {
		steps[guilty].Status, steps[guilty].Reason, steps[guilty].Message = kovra.Failed, ended.reason, ended.message
	}
	return steps
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
