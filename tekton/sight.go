package tekton

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"knative.dev/pkg/apis"
)

// sight is all that was seen of a PipelineRun at one moment.
type sight struct {
	run      *v1.PipelineRun
	taskRuns map[string][]*v1.TaskRun // by the name of the task in the pipeline; several of a matrix
	steps    map[string][]string      // the steps of tasks that have no TaskRun yet, by the task's name
	pods     map[string]*podSight     // of TaskRuns that have not begun, by the pod's name
}

// podSight is a pod that does not run yet; pod is nil while there is none.
type podSight struct {
	pod     *corev1.Pod
	trouble string // the newest warning that the cluster gave about it
}

func newSight(run *v1.PipelineRun, taskRuns []v1.TaskRun) *sight {
	s := &sight{run: run, taskRuns: map[string][]*v1.TaskRun{}, steps: map[string][]string{}, pods: map[string]*podSight{}}
	for i := range taskRuns {
		tr := &taskRuns[i]
		name := tr.Labels[pipeline.PipelineTaskLabelKey]
		s.taskRuns[name] = append(s.taskRuns[name], tr)
	}
	for _, list := range s.taskRuns {
		slices.SortStableFunc(list, func(a, b *v1.TaskRun) int {
			return cmp.Or(cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name)) // web-2 before web-10
		})
	}
	return s
}

// condition is how the run stands; nil: Tekton has not looked at it yet.
func (s *sight) condition() *apis.Condition {
	return s.run.Status.GetCondition(apis.ConditionSucceeded)
}

func (s *sight) final() bool {
	c := s.condition()
	return c != nil && !c.IsUnknown()
}

// tasks are those of the pipeline, in its order, those under finally last.
func (s *sight) tasks() []v1.PipelineTask {
	if spec := cmp.Or(s.run.Status.PipelineSpec, s.run.Spec.PipelineSpec); spec != nil {
		return slices.Concat(spec.Tasks, spec.Finally)
	}
	var tasks []v1.PipelineTask
	for _, child := range s.run.Status.ChildReferences {
		if !slices.ContainsFunc(tasks, func(t v1.PipelineTask) bool { return t.Name == child.PipelineTaskName }) {
			tasks = append(tasks, v1.PipelineTask{Name: child.PipelineTaskName})
		}
	}
	return tasks
}

// taskMemory is how long we believe what a Task was seen to consist of.
const taskMemory = time.Minute

type taskKey struct{ ns, name string }

type taskSteps struct {
	names []string
	until time.Time
}

// seeTasks finds the steps of the tasks that have no TaskRun yet, so that they are shown before they run. It is a courtesy: where the
// bot may not read Tasks, each such task is shown as one step of its own name.
func (c *Client) seeTasks(ctx context.Context, s *sight) error {
	for _, task := range s.tasks() {
		switch {
		case len(s.taskRuns[task.Name]) > 0:
		case task.TaskSpec != nil:
			s.steps[task.Name] = stepNames(task.TaskSpec.Steps)
		case task.TaskRef != nil && task.TaskRef.Name != "" && task.TaskRef.Resolver == "" && task.TaskRef.APIVersion != "tekton.dev/v1beta1":
			names, err := c.stepsOf(ctx, taskKey{s.run.Namespace, task.TaskRef.Name})
			if err != nil {
				return err
			}
			s.steps[task.Name] = names
		}
	}
	return nil
}

// stepsOf names the steps of a Task; none when it cannot be read.
func (c *Client) stepsOf(ctx context.Context, key taskKey) ([]string, error) {
	c.mu.Lock()
	known, ok := c.tasks[key]
	c.mu.Unlock()
	if ok && c.o.Now().Before(known.until) {
		return known.names, nil
	}
	task, err := c.tekton.Tasks(key.ns).Get(ctx, key.name, metav1.GetOptions{})
	switch {
	case apierrors.IsForbidden(err) || apierrors.IsNotFound(err):
		known.names = nil
	case err != nil:
		return nil, call{"get", "tasks", "Task", key.ns, key.name}.judge(err)
	default:
		known.names = stepNames(task.Spec.Steps)
	}
	known.until = c.o.Now().Add(taskMemory)
	c.mu.Lock()
	c.tasks[key] = known
	c.mu.Unlock()
	return known.names, nil
}

// seePods looks for what keeps a run from its first step, or its next one.
func (c *Client) seePods(ctx context.Context, s *sight) error {
	if s.final() {
		return nil
	}
	for _, list := range s.taskRuns {
		for _, tr := range list {
			if tr.Status.PodName == "" || tr.IsDone() || stepBegan(tr) {
				continue
			}
			seen, err := c.seePod(ctx, tr.Namespace, tr.Status.PodName)
			if err != nil {
				return err
			}
			s.pods[tr.Status.PodName] = seen
		}
	}
	return nil
}

func (c *Client) seePod(ctx context.Context, ns, name string) (*podSight, error) {
	seen := &podSight{}
	pod, err := c.core.Pods(ns).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) || apierrors.IsForbidden(err):
		return seen, nil
	case err != nil:
		return nil, call{"get", "pods", "pod", ns, name}.judge(err)
	}
	seen.pod = pod
	if podTrouble(pod) != "" {
		return seen, nil
	}
	// What is wrong with a volume is told in events alone.
	events, err := c.core.Events(ns).List(ctx, metav1.ListOptions{
		FieldSelector: fields.Set{"involvedObject.name": name, "involvedObject.uid": string(pod.UID), "type": corev1.EventTypeWarning}.String(),
	})
	switch {
	case apierrors.IsForbidden(err) || apierrors.IsNotFound(err):
		return seen, nil
	case err != nil:
		return nil, call{"list", "events", "event", ns, name}.judge(err)
	}
	var newest time.Time
	for _, e := range events.Items {
		if at := eventTime(e); !at.Before(newest) {
			newest, seen.trouble = at, e.Message
		}
	}
	return seen, nil
}

func eventTime(e corev1.Event) time.Time {
	at := e.LastTimestamp.Time
	if e.EventTime.After(at) {
		at = e.EventTime.Time
	}
	return at
}

// stepBegan reports whether a step of the TaskRun runs or has run.
func stepBegan(tr *v1.TaskRun) bool {
	return slices.ContainsFunc(tr.Status.Steps, func(s v1.StepState) bool { return s.Running != nil || s.Terminated != nil })
}

// stepNames names steps as Tekton does those without a name.
func stepNames(steps []v1.Step) []string {
	names := make([]string, 0, len(steps))
	for i, s := range steps {
		names = append(names, cmp.Or(s.Name, unnamed(i)))
	}
	return names
}
