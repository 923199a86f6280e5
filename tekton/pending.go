package tekton

import (
	"fmt"
	"regexp"
	"strings"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	"knative.dev/pkg/apis"
)

// pending says what the run waits for, in one sentence; "" when a step runs.
func (s *sight) pending() string {
	c := s.condition()
	switch {
	case c == nil:
		return "Tekton has not taken it up yet."
	case c.Reason == string(v1.PipelineRunReasonPending):
		return "It is held in the cluster until somebody lets it start."
	case len(s.taskRuns) == 0:
		return "Tekton is about to start it."
	}
	for _, task := range s.tasks() {
		for _, tr := range s.taskRuns[task.Name] {
			if why := s.waiting(tr); why != "" {
				return why
			}
		}
	}
	return ""
}

// waiting says what a TaskRun waits for; "" when it runs or has ended.
func (s *sight) waiting(tr *v1.TaskRun) string {
	if tr.IsDone() || stepBegan(tr) {
		return ""
	}
	if seen := s.pods[tr.Status.PodName]; seen != nil && seen.pod != nil {
		if why := podTrouble(seen.pod); why != "" {
			return why
		}
		if seen.trouble != "" {
			return volumeTrouble(seen.trouble, tr.Namespace)
		}
	}
	c := tr.Status.GetCondition(apis.ConditionSucceeded)
	switch {
	case c == nil || tr.Status.PodName == "" && c.Reason == string(v1.TaskRunReasonStarted):
		return "Its pod is about to be made."
	case c.Reason == "ExceededResourceQuota":
		return sentence("The quota of namespace " + tr.Namespace + " is used up: " + readable(c.Message))
	case c.Reason == "ExceededNodeResources":
		return "No node of the cluster has room for its pod."
	case c.Reason == v1.TaskRunReasonResolvingTaskRef:
		return "Tekton is looking for its Task."
	case c.Reason == "PullImageFailed":
		return sentence("An image that it needs cannot be pulled: " + readable(c.Message))
	default:
		return "Its pod is starting."
	}
}

// podTrouble says why a pod does not run, as far as its status tells; "" when it is merely starting.
func podTrouble(pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return unscheduled(c)
		}
	}
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, status := range list {
			if why := containerTrouble(status, pod.Namespace); why != "" {
				return why
			}
		}
	}
	return ""
}

func unscheduled(c corev1.PodCondition) string {
	switch {
	case strings.Contains(c.Message, "unbound immediate PersistentVolumeClaims") || strings.Contains(c.Message, "persistentvolumeclaim"):
		return sentence("No volume is there for it to work in: " + readable(c.Message))
	case c.Reason == corev1.PodReasonUnschedulable:
		return sentence("No node of the cluster can run its pod: " + readable(c.Message))
	default:
		return "Its pod waits for a node."
	}
}

// imageTrouble are the reasons of containers whose image cannot be had.
var imageTrouble = map[string]bool{
	"ErrImagePull": true, "ImagePullBackOff": true, "InvalidImageName": true, "ErrImageNeverPull": true,
	"ImageInspectError": true, "RegistryUnavailable": true,
}

func containerTrouble(status corev1.ContainerStatus, ns string) string {
	w := status.State.Waiting
	step := strings.TrimPrefix(status.Name, "step-")
	switch {
	case w == nil:
		return ""
	case imageTrouble[w.Reason]:
		return sentence(fmt.Sprintf("The image %s of step %s cannot be pulled: %s", status.Image, step, readable(w.Message)))
	case strings.HasPrefix(w.Reason, "CreateContainer"):
		if missing := missingObject(w.Message, ns); missing != "" {
			return missing
		}
		return sentence(fmt.Sprintf("Step %s cannot start: %s", step, readable(w.Message)))
	default:
		return ""
	}
}

var missingVolume = regexp.MustCompile(`(?i)\b(secret|configmap) "?([a-z0-9./-]+)"? not found`)

// missingObject names the Secret or ConfigMap that a message says is not there; "" when it is about something else.
func missingObject(message, ns string) string {
	m := missingVolume.FindStringSubmatch(message)
	if m == nil {
		return ""
	}
	kind := "Secret"
	if strings.EqualFold(m[1], "configmap") {
		kind = "ConfigMap"
	}
	name := m[2][strings.LastIndexByte(m[2], '/')+1:]
	return fmt.Sprintf("The %s %s is missing in namespace %s.", kind, name, ns)
}

func volumeTrouble(message, ns string) string {
	if missing := missingObject(message, ns); missing != "" {
		return missing
	}
	return sentence("Its pod cannot start: " + readable(message))
}
