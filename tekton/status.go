package tekton

import (
	"fmt"
	"strings"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"knative.dev/pkg/apis"

	"kovra.dev/chatops/internal/kovra"
)

// describe says in our words how a run stands.
func (s *sight) describe() kovra.ClusterRun {
	run := kovra.ClusterRun{
		Namespace: s.run.Namespace, Name: s.run.Name, Status: s.status(), Cancelling: s.asked(),
		Steps: s.allSteps(), Results: s.results(), CreatedAt: s.run.CreationTimestamp.Time,
	}
	for _, step := range run.Steps {
		if at := step.StartedAt; !at.IsZero() && (run.StartedAt.IsZero() || at.Before(run.StartedAt)) {
			run.StartedAt = at
		}
	}
	if c := s.condition(); c != nil {
		run.Reason = c.Reason
	}
	if run.Status.Final() && s.run.Status.CompletionTime != nil {
		run.FinishedAt = s.run.Status.CompletionTime.Time
	}
	run.Message = s.message(run)
	return run
}

// status is one of our five, by the status of the condition. Of its reasons only the one for a cancelled run counts: they are many, and
// change from one version of Tekton to the next.
func (s *sight) status() kovra.BuildStatus {
	c := s.condition()
	switch {
	case c.IsTrue():
		return kovra.BuildSucceeded
	case c.IsFalse() && s.cancelled(c):
		return kovra.BuildCancelled
	case c.IsFalse():
		return kovra.BuildFailed
	case s.began():
		return kovra.BuildBuilding
	default:
		return kovra.BuildPending
	}
}

// cancelled reports whether a run that did not succeed was cancelled, and not merely asked to be while it failed.
func (s *sight) cancelled(c *apis.Condition) bool {
	if c.Reason == string(v1.PipelineRunReasonCancelled) {
		return true
	}
	if !s.asked() {
		return false
	}
	for _, list := range s.taskRuns {
		for _, tr := range list {
			if endOf(tr).status == kovra.Failed {
				return false
			}
		}
	}
	return true
}

// asked reports whether somebody asked for the end of the run.
func (s *sight) asked() bool {
	switch s.run.Spec.Status {
	case v1.PipelineRunSpecStatusCancelled, v1.PipelineRunSpecStatusCancelledRunFinally, v1.PipelineRunSpecStatusStoppedRunFinally:
		return true
	default:
		return false
	}
}

// began reports whether any step has run, in this attempt or an earlier one. Once that is so, a task that waits for its pod does not
// make the run Pending again.
func (s *sight) began() bool {
	for _, list := range s.taskRuns {
		for _, tr := range list {
			if stepBegan(tr) || len(tr.Status.RetriesStatus) > 0 || tr.IsDone() {
				return true
			}
		}
	}
	return false
}

// results are those of the run, and of its tasks where the run as a whole has none (yet): Tekton leaves out what a failed task
// has told, and a rollout that fails has told which image was there before.
func (s *sight) results() map[string]string {
	all := map[string]string{}
	for _, task := range s.tasks() {
		for _, tr := range s.taskRuns[task.Name] {
			for _, r := range tr.Status.Results {
				all[r.Name] = strings.TrimSpace(r.Value.StringVal)
			}
		}
	}
	for _, r := range s.run.Status.Results {
		all[r.Name] = strings.TrimSpace(r.Value.StringVal)
	}
	return all
}

// message is a sentence for people about what is not as it should be; "" when all is well.
func (s *sight) message(run kovra.ClusterRun) string {
	switch {
	case run.Status == kovra.BuildSucceeded || run.Status == kovra.BuildCancelled:
		return ""
	case run.Status == kovra.BuildFailed:
		return s.failure(run)
	case run.Cancelling:
		return "It is being cancelled."
	default:
		return s.pending()
	}
}

// failure says why the run failed, so that whoever reads it knows what to do.
func (s *sight) failure(run kovra.ClusterRun) string {
	c := s.condition()
	pipeline, said := s.pipelineName(), sentence(readable(c.Message))
	switch v1.PipelineRunReason(c.Reason) {
	case v1.PipelineRunReasonTimedOut:
		return fmt.Sprintf("It did not finish within %s and was stopped.", s.allowed())
	case v1.PipelineRunReasonCouldntGetPipeline:
		return fmt.Sprintf("The Pipeline %s is not in namespace %s, or cannot be used; an administrator applies manifests/tekton there. %s", pipeline, s.run.Namespace, said)
	case v1.PipelineRunReasonCouldntGetTask:
		return fmt.Sprintf("A Task of the Pipeline %s is not in namespace %s; an administrator applies manifests/tekton there. %s", pipeline, s.run.Namespace, said)
	case v1.PipelineRunReasonParameterMissing, v1.PipelineRunReasonParameterTypeMismatch, v1.PipelineRunReasonInvalidWorkspaceBinding,
		v1.PipelineRunReasonRequiredWorkspaceMarkedOptional, v1.PipelineRunReasonInvalidTaskRunSpec, v1.PipelineRunReasonFailedValidation:
		return fmt.Sprintf("The Pipeline %s in namespace %s does not fit the bot. %s", pipeline, s.run.Namespace, said)
	default:
	}
	for _, step := range run.Steps {
		if step.Status == kovra.Failed {
			return stepFailure(step)
		}
	}
	return said
}

// stepFailure is the failure of a step as a sentence about it.
func stepFailure(step kovra.Step) string {
	about := "Step " + step.Name
	switch first, rest, _ := strings.Cut(step.Message, " "); first {
	case "Ended", "Ran", "Was":
		return about + " " + strings.ToLower(first) + " " + rest
	case "":
		return about + " failed."
	default:
		return about + ": " + step.Message
	}
}

func (s *sight) pipelineName() string {
	if s.run.Spec.PipelineRef == nil || s.run.Spec.PipelineRef.Name == "" {
		return "of the run"
	}
	return s.run.Spec.PipelineRef.Name
}

// allowed is how long the run might take.
func (s *sight) allowed() string {
	if t := s.run.Spec.Timeouts; t != nil && t.Pipeline != nil {
		return short(t.Pipeline.Duration)
	}
	return "the time that it was given"
}

// short is a duration without its zeros: 1h, not 1h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
