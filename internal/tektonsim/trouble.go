package tektonsim

import (
	"fmt"
	"strings"

	tekton "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (s *Server) troubled(r *run, t tekton.PipelineTask) bool {
	if r.sc.Pending == NoTrouble {
		return false
	}
	if r.sc.Task != "" {
		return r.sc.Task == t.Name
	}
	pr := s.pipelineRun(r)
	return pr != nil && pr.Status.PipelineSpec.Tasks[0].Name == t.Name
}

// trouble lets the pod of a task wait for what it does not get.
func (s *Server) trouble(r *run, t tekton.PipelineTask) {
	r.at = t.Name + ": " + string(r.sc.Pending)
	switch r.sc.Pending {
	case ImagePull:
		s.waiting(r, t, "ImagePullBackOff", `Back-off pulling image "registry.example.com/kovra/clone:1": ErrImagePull: failed to resolve reference: not found`)
		s.changeTaskRun(r, t, func(tr *tekton.TaskRun) {
			condition(tr, corev1.ConditionUnknown, "PullImageFailed", fmt.Sprintf("build step %q is pending with reason %q", tr.Status.Steps[0].Container, tr.Status.Steps[0].Waiting.Message))
		})
	case NoConfig:
		s.waiting(r, t, "CreateContainerConfigError", `secret "web-env" not found`)
	case Unschedulable:
		s.unscheduled(r, t, "0/3 nodes are available: 3 Insufficient memory.")
		s.changeTaskRun(r, t, func(tr *tekton.TaskRun) {
			condition(tr, corev1.ConditionUnknown, "ExceededNodeResources", "TaskRun Pod exceeded available resources")
		})
	case NoVolume:
		s.unscheduled(r, t, "pod has unbound immediate PersistentVolumeClaims. not found")
	case NoSecret:
		s.event(r, t, `MountVolume.SetUp failed for volume "ws-git" : secret "kovra-git" not found`)
	case Quota:
		s.changeTaskRun(r, t, func(tr *tekton.TaskRun) {
			s.remove(s.table("", "pods"), r.namespace+"/"+tr.Status.PodName)
			tr.Status.PodName, tr.Status.Steps = "", nil
			condition(tr, corev1.ConditionUnknown, "ExceededResourceQuota", fmt.Sprintf("TaskRun Pod %q exceeded available resources: exceeded quota: builds, requested: pods=1, used: pods=5, limited: pods=5", r.podName(t)))
		})
	case NoTrouble:
	}
}

// waiting lets the first container of a pod wait.
func (s *Server) waiting(r *run, t tekton.PipelineTask, reason, message string) {
	state := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	s.changePod(r, t, func(pod *corev1.Pod) { pod.Status.ContainerStatuses[0].State = state })
	s.changeTaskRun(r, t, func(tr *tekton.TaskRun) { tr.Status.Steps[0].ContainerState = state })
}

func (s *Server) unscheduled(r *run, t tekton.PipelineTask, message string) {
	s.changePod(r, t, func(pod *corev1.Pod) {
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: message}}
	})
	s.changeTaskRun(r, t, func(tr *tekton.TaskRun) {
		condition(tr, corev1.ConditionUnknown, "Pending", fmt.Sprintf("pod status %q:%q; message: %q", "PodScheduled", "False", message))
	})
}

func (s *Server) event(r *run, t tekton.PipelineTask, message string) {
	pod := s.table("", "pods").items[r.namespace+"/"+r.podName(t)]
	if pod == nil {
		return
	}
	s.put(s.table("", "events"), &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: r.namespace, Name: pod.GetName() + ".1"},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: r.namespace, Name: pod.GetName(), UID: pod.GetUID()},
		Type:           corev1.EventTypeWarning, Reason: "FailedMount", Message: message, LastTimestamp: metav1.NewTime(s.o.Now()),
	})
}

// failOfTrouble ends a task whose pod cannot start, as Tekton does with those that never will.
func (s *Server) failOfTrouble(r *run, t tekton.PipelineTask) {
	reason, message := "PodCreationFailed", fmt.Sprintf("failed to create task run pod %q: %s. Maybe invalid TaskSpec", r.taskRunName(t), r.sc.Pending)
	if r.sc.Pending == ImagePull {
		step := s.stepsOf(r, t)[0]
		reason = "TaskRunImagePullFailed"
		message = fmt.Sprintf(`the step %q in TaskRun %q failed to pull the image "". The pod errored with the message: "Back-off pulling image \"registry.example.com/kovra/%s:1\"."`, step, r.taskRunName(t), strings.TrimSpace(step))
	}
	now := metav1.NewTime(s.o.Now())
	s.changeTaskRun(r, t, func(tr *tekton.TaskRun) { s.stopTaskRun(tr, now, reason, message) })
	s.failTask(r, t, reason, message)
}
