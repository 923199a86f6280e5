package tekton

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/apis"

	"kovra.dev/chatops/internal/kovra"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func at(seconds int) metav1.Time {
	return metav1.NewTime(noon.Add(time.Duration(seconds) * time.Second))
}

// pr makes a PipelineRun of the tasks a and b, as its condition has it; "" for the status: no condition.
func pr(status corev1.ConditionStatus, reason, message string) *v1.PipelineRun {
	run := &v1.PipelineRun{ObjectMeta: metav1.ObjectMeta{Name: "web-b1-abcdefgh", Namespace: "builds"}}
	run.Spec.PipelineRef = &v1.PipelineRef{Name: "kovra-build"}
	run.Status.PipelineSpec = &v1.PipelineSpec{Tasks: []v1.PipelineTask{{Name: "a"}}, Finally: []v1.PipelineTask{{Name: "b"}}}
	if status != "" {
		run.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: status, Reason: reason, Message: message})
	}
	return run
}

func tr(task string, status corev1.ConditionStatus, reason, message string, states ...v1.StepState) v1.TaskRun {
	run := v1.TaskRun{ObjectMeta: metav1.ObjectMeta{
		Name: "web-" + task, Namespace: "builds", CreationTimestamp: at(0), Labels: map[string]string{pipeline.PipelineTaskLabelKey: task},
	}}
	run.Status.PodName, run.Status.Steps = "web-"+task+"-pod", states
	if status != "" {
		run.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: status, Reason: reason, Message: message})
	}
	return run
}

func waitsFor(name, message string) v1.StepState {
	return v1.StepState{Name: name, ContainerState: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Message: message}}}
}

func runningState(name string) v1.StepState {
	return v1.StepState{Name: name, ContainerState: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at(1)}}}
}

func over(name string, code int32, reason, termination string, from, to int) v1.StepState {
	return v1.StepState{Name: name, TerminationReason: termination, ContainerState: corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, StartedAt: at(from), FinishedAt: at(to)},
	}}
}

const (
	unknown = corev1.ConditionUnknown
	yes     = corev1.ConditionTrue
	no      = corev1.ConditionFalse
)

func TestDescribe(t *testing.T) {
	for _, c := range []struct {
		name     string
		run      *v1.PipelineRun
		taskRuns []v1.TaskRun
		change   func(*v1.PipelineRun)
		status   kovra.BuildStatus
		steps    string
		message  string
	}{
		{name: "no condition", run: pr("", "", ""), status: kovra.BuildPending, steps: "a/a=pending b/b=pending", message: "Tekton has not taken it up yet."},
		{name: "held", run: pr(unknown, "PipelineRunPending", ""), status: kovra.BuildPending, steps: "a/a=pending b/b=pending", message: "It is held in the cluster until somebody lets it start."},
		{name: "about to start", run: pr(unknown, "Running", ""), status: kovra.BuildPending, steps: "a/a=pending b/b=pending", message: "Tekton is about to start it."},
		{
			name: "looks for the Task", run: pr(unknown, "Running", ""), taskRuns: []v1.TaskRun{tr("a", unknown, "ResolvingTaskRef", "")},
			status: kovra.BuildPending, steps: "a/a=pending b/b=pending", message: "Tekton is looking for its Task.",
		},
		{
			name: "the pod starts", run: pr(unknown, "Running", ""), taskRuns: []v1.TaskRun{tr("a", unknown, "Pending", "Pending", waitsFor("x", ""))},
			status: kovra.BuildPending, steps: "a/x=pending b/b=pending", message: "Its pod is starting.",
		},
		{
			name: "a condition of a later Tekton", run: pr(unknown, "Musing", "Hm"), taskRuns: []v1.TaskRun{tr("a", unknown, "Musing", "Hm", runningState("x"))},
			status: kovra.BuildBuilding, steps: "a/x=running b/b=pending",
		},
		{
			name: "all containers run, one step does", run: pr(unknown, "Running", ""),
			taskRuns: []v1.TaskRun{tr("a", unknown, "Running", "", over("x", 0, "Completed", "", 1, 5), runningState("y"), runningState("z"))},
			status:   kovra.BuildBuilding, steps: "a/x=success a/y=running a/z=pending b/b=pending",
		},
		{
			name: "the next task waits", run: pr(unknown, "Running", ""),
			taskRuns: []v1.TaskRun{tr("a", yes, "Succeeded", "", over("x", 0, "Completed", "", 1, 5)), tr("b", unknown, "ExceededNodeResources", "", waitsFor("y", ""))},
			status:   kovra.BuildBuilding, steps: "a/x=success b/y=pending", message: "No node of the cluster has room for its pod.",
		},
		{name: "some tasks skipped", run: pr(yes, "Completed", ""), status: kovra.BuildSucceeded, steps: "a/a=skipped b/b=skipped"},
		{
			name: "errors that are allowed", run: pr(yes, "Succeeded", ""), taskRuns: []v1.TaskRun{tr("a", yes, "Succeeded", "", over("", 3, "Completed", "Continued", 1, 2))},
			status: kovra.BuildSucceeded, steps: "a/unnamed-0=success b/b=skipped",
		},
		{
			name: "a failure of a later Tekton", run: pr(no, "Broken", "[User error] it is broken"),
			taskRuns: []v1.TaskRun{tr("a", no, "StepMelted", `"step-x" exited with code 9: Molten`, over("x", 9, "Molten", "Molten", 1, 2))},
			status:   kovra.BuildFailed, steps: "a/x=failed b/b=skipped", message: "Step x ended with exit code 9.",
		},
		{
			name: "nothing is known but the message", run: pr(no, "CreateRunFailed", "[User error] it is broken"),
			status: kovra.BuildFailed, steps: "a/a=skipped b/b=skipped", message: "It is broken.",
		},
		{
			name: "the Pipeline is of another version", run: pr(no, "ParameterMissing", "[User error] missing: x"), status: kovra.BuildFailed,
			steps: "a/a=skipped b/b=skipped", message: "The Pipeline kovra-build in namespace builds does not fit the bot. Missing: x.",
		},
		{
			name: "a step's own time is up", run: pr(no, "Failed", ""), taskRuns: []v1.TaskRun{tr("a", no, "StepFailed", "", over("x", 1, "Error", "TimeoutExceeded", 1, 2))},
			status: kovra.BuildFailed, steps: "a/x=failed b/b=skipped", message: "Step x was stopped: its own time was up.",
		},
		{
			name: "a task's own time is up", run: pr(no, "Failed", ""),
			taskRuns: []v1.TaskRun{tr("a", no, "TaskRunTimeout", `TaskRun "web-a" failed to finish within "5s"`, over("x", 1, "TaskRunTimeout", "TaskRunTimeout", 1, 5), over("y", 1, "TaskRunTimeout", "TaskRunTimeout", 1, 5))},
			status:   kovra.BuildFailed, steps: "a/x=failed a/y=skipped b/b=skipped", message: `Step x: TaskRun "web-a" failed to finish within "5s".`,
		},
		{
			name: "an image that is not there", run: pr(no, "Failed", ""),
			taskRuns: []v1.TaskRun{tr("a", no, "TaskRunImagePullFailed", `the step "y" in TaskRun "web-a" failed to pull the image "i"`,
				over("x", 1, "TaskRunImagePullFailed", "TaskRunImagePullFailed", 0, 5), over("y", 1, "TaskRunImagePullFailed", "TaskRunImagePullFailed", 0, 5))},
			status: kovra.BuildFailed, steps: "a/x=skipped a/y=failed b/b=skipped", message: `Step y: The step "y" in TaskRun "web-a" failed to pull the image "i".`,
		},
		{
			name: "no pod came about", run: pr(no, "Failed", ""), taskRuns: []v1.TaskRun{tr("a", no, "PodCreationFailed", "failed to create task run pod")},
			status: kovra.BuildFailed, steps: "a/a=failed b/b=skipped", message: "Step a: Failed to create task run pod.",
		},
		{
			name: "cancelled, its first step never ran", run: pr(no, "Cancelled", ""),
			taskRuns: []v1.TaskRun{tr("a", no, "TaskRunCancelled", "", over("x", 1, "TaskRunCancelled", "TaskRunCancelled", 0, 5))},
			status:   kovra.BuildCancelled, steps: "a/x=canceled b/b=canceled",
		},
		{
			name: "asked to end, and told in words of a later Tekton", run: pr(no, "Halted", ""), change: func(r *v1.PipelineRun) { r.Spec.Status = "CancelledRunFinally" },
			taskRuns: []v1.TaskRun{tr("a", no, "TaskRunCancelled", "", over("x", 1, "TaskRunCancelled", "TaskRunCancelled", 1, 5))},
			status:   kovra.BuildCancelled, steps: "a/x=canceled b/b=canceled",
		},
		{
			name: "failed before it was cancelled", run: pr(no, "Failed", ""), change: func(r *v1.PipelineRun) { r.Spec.Status = "CancelledRunFinally" },
			taskRuns: []v1.TaskRun{tr("a", no, "StepFailed", "", over("x", 2, "Error", "Error", 1, 2))},
			status:   kovra.BuildFailed, steps: "a/x=failed b/b=skipped", message: "Step x ended with exit code 2.",
		},
		{
			name: "could not be cancelled", run: pr(unknown, "PipelineRunCouldntCancel", ""), change: func(r *v1.PipelineRun) { r.Spec.Status = "Cancelled" },
			taskRuns: []v1.TaskRun{tr("a", unknown, "Running", "", runningState("x"))},
			status:   kovra.BuildBuilding, steps: "a/x=running b/b=pending", message: "It is being cancelled.",
		},
		{
			name: "the spec is not known", run: pr(unknown, "Running", ""), taskRuns: []v1.TaskRun{tr("a", unknown, "Running", "", runningState("x"))},
			change: func(r *v1.PipelineRun) {
				r.Status.PipelineSpec = nil
				r.Status.ChildReferences = []v1.ChildStatusReference{{PipelineTaskName: "a"}, {PipelineTaskName: "c"}, {PipelineTaskName: "a"}}
			},
			status: kovra.BuildBuilding, steps: "a/x=running c/c=pending",
		},
		{
			name: "a matrix", run: pr(unknown, "Running", ""),
			taskRuns: []v1.TaskRun{tr("a", yes, "Succeeded", "", over("x", 0, "", "", 1, 2)), tr("a", unknown, "Running", "", runningState("x"))},
			status:   kovra.BuildBuilding, steps: "a-1/x=success a-2/x=running b/b=pending",
		},
		{
			name: "a task skipped by its condition", run: pr(unknown, "Running", ""),
			change: func(r *v1.PipelineRun) {
				r.Status.SkippedTasks = []v1.SkippedTask{{Name: "a", Reason: "When Expressions evaluated to false"}}
			},
			status: kovra.BuildPending, steps: "a/a=skipped b/b=pending", message: "Tekton is about to start it.",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.change != nil {
				c.change(c.run)
			}
			got := newSight(c.run, c.taskRuns).describe()
			var steps []string
			for _, s := range got.Steps {
				steps = append(steps, s.Key()+"="+string(s.Status))
			}
			want := []string{string(c.status), c.steps, c.message}
			if diff := cmp.Diff(want, []string{string(got.Status), strings.Join(steps, " "), got.Message}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestStepsTakeTheirTimesOneAfterTheOther(t *testing.T) {
	run := newSight(pr(unknown, "Running", ""), []v1.TaskRun{tr("a", unknown, "Running", "", over("x", 0, "Completed", "", 1, 5), runningState("y"))}).describe()
	if got := run.Steps[1].StartedAt; !got.Equal(noon.Add(5 * time.Second)) {
		t.Errorf("y started at %s, when x had ended is 5 s after noon", got)
	}
	if !run.StartedAt.Equal(noon.Add(time.Second)) {
		t.Errorf("the run started at %s", run.StartedAt)
	}
}

func TestPodTrouble(t *testing.T) {
	waiting := func(reason, message string) corev1.PodStatus {
		return corev1.PodStatus{InitContainerStatuses: []corev1.ContainerStatus{{}}, ContainerStatuses: []corev1.ContainerStatus{{
			Name: "step-build", Image: "i:1", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
		}}}
	}
	unscheduled := func(reason, message string) corev1.PodStatus {
		return corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: no, Reason: reason, Message: message}}}
	}
	for _, c := range []struct {
		status corev1.PodStatus
		want   string
	}{
		{corev1.PodStatus{}, ""},
		{waiting("PodInitializing", ""), ""},
		{waiting("InvalidImageName", "bad name"), "The image i:1 of step build cannot be pulled: bad name."},
		{waiting("CreateContainerError", "no such user"), "Step build cannot start: no such user."},
		{waiting("CreateContainerConfigError", `configmap "ca" not found`), "The ConfigMap ca is missing in namespace builds."},
		{unscheduled("SchedulingGated", ""), "Its pod waits for a node."},
		{unscheduled("Unschedulable", `persistentvolumeclaim "x" not found`), `No volume is there for it to work in: persistentvolumeclaim "x" not found.`},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "builds"}, Status: c.status}
		if got := podTrouble(pod); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	for message, want := range map[string]string{
		`MountVolume.SetUp failed for volume "ws" : references non-existent secret key: x`: `Its pod cannot start: MountVolume.SetUp failed for volume "ws" : references non-existent secret key: x.`,
		`MountVolume.SetUp failed for volume "ws" : secret "builds/npm-token" not found`:   "The Secret npm-token is missing in namespace builds.",
		`MountVolume.SetUp failed for volume "ws" : configmap "kovra-ca" not found`:        "The ConfigMap kovra-ca is missing in namespace builds.",
	} {
		if got := volumeTrouble(message, "builds"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestDurationsAreShort(t *testing.T) {
	for d, want := range map[time.Duration]string{time.Hour: "1h", 90 * time.Minute: "1h30m", 6 * time.Second: "6s", 10 * time.Minute: "10m", 61 * time.Second: "1m1s"} {
		if got := short(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestMessagesAreReadable(t *testing.T) {
	got := readable("admission webhook \"x\" denied the request: [User error]  two\nlines " + strings.Repeat("x", 500))
	if !strings.HasPrefix(got, "two lines xxx") || len([]rune(got)) != longestMessage+1 {
		t.Errorf("got %q", got)
	}
}
