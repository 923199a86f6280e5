package tektonsim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline"
	tekton "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/apis"
)

// taskActs are all that happens to one task of a run.
func (s *Server) taskActs(r *run, t tekton.PipelineTask) []act {
	pace := s.o.Pace
	acts := []act{
		{after: pace, do: func() { s.makeTaskRun(r, t) }},
		{after: pace, do: func() { s.makePod(r, t) }},
	}
	if s.troubled(r, t) {
		acts = append(acts, act{after: pace, do: func() { s.trouble(r, t) }})
		if r.sc.Gone {
			return append(acts, act{after: pace, do: func() { s.failOfTrouble(r, t) }})
		}
		acts = append(acts, act{hold: true, do: func() {}})
	}
	acts = append(acts, act{after: pace, do: func() { s.startPod(r, t) }})
	return append(acts, s.stepsActs(r, t)...)
}

// stepsActs are the steps of a task, one after the other, and its end.
func (s *Server) stepsActs(r *run, t tekton.PipelineTask) []act {
	var acts []act
	for _, step := range s.stepsOf(r, t) {
		acts = append(acts, act{after: s.o.Pace, do: func() { s.at(r, t, step) }})
		pace := s.o.LinePace
		if r.sc.LinePace > 0 {
			pace = r.sc.LinePace
		}
		if step == "patch" {
			acts = append(acts, act{do: func() { s.patchDeployment(r) }})
		}
		// The lines are made when the step begins: by then it is known what it works on.
		acts = append(acts, act{do: func() {
			var writing []act
			for _, text := range r.lines(step) {
				writing = append(writing, act{after: pace, do: func() { s.write(r, t, step, text) }})
			}
			r.todo = append(writing, r.todo...)
		}})
		if step == r.sc.Hang {
			acts = append(acts, act{hold: !r.sc.TimeOut, do: func() {
				if r.sc.TimeOut {
					s.expire(r)
				}
			}})
		}
		acts = append(acts, act{after: s.o.Pace, do: func() {
			if step == r.sc.Fail {
				s.failStep(r, t, step)
				return
			}
			s.endStep(r, t, step)
		}})
	}
	acts = append(acts, act{after: s.o.Pace, do: func() { s.endTask(r, t) }})
	for i := range acts {
		acts[i].task = t.Name
	}
	return acts
}

func (s *Server) stepsOf(r *run, t tekton.PipelineTask) []string {
	spec := s.taskSpec(r, t)
	var names []string
	for i, step := range spec.Steps {
		if step.Name == "" {
			step.Name = fmt.Sprintf("unnamed-%d", i)
		}
		names = append(names, step.Name)
	}
	return names
}

func (s *Server) taskSpec(r *run, t tekton.PipelineTask) tekton.TaskSpec {
	if t.TaskSpec != nil {
		return t.TaskSpec.TaskSpec
	}
	if o := get[*tekton.Task](s, "tekton.dev", "tasks", r.namespace+"/"+t.TaskRef.Name); o != nil {
		return o.Spec
	}
	return tekton.TaskSpec{}
}

func (r *run) taskRunName(t tekton.PipelineTask) string { return r.name + "-" + t.Name }

func (r *run) podName(t tekton.PipelineTask) string {
	if r.attempt > 0 {
		return fmt.Sprintf("%s-pod-retry%d", r.taskRunName(t), r.attempt)
	}
	return r.taskRunName(t) + "-pod"
}

// changeTaskRun changes the TaskRun of a task, when it is there.
func (s *Server) changeTaskRun(r *run, t tekton.PipelineTask, change func(*tekton.TaskRun)) {
	tr := get[*tekton.TaskRun](s, "tekton.dev", "taskruns", r.namespace+"/"+r.taskRunName(t))
	if tr == nil {
		return
	}
	change(tr)
	s.put(s.table("tekton.dev", "taskruns"), tr)
}

func (s *Server) changePod(r *run, t tekton.PipelineTask, change func(*corev1.Pod)) {
	pod := get[*corev1.Pod](s, "", "pods", r.namespace+"/"+r.podName(t))
	if pod == nil {
		return
	}
	change(pod)
	s.put(s.table("", "pods"), pod)
}

func condition(tr *tekton.TaskRun, status corev1.ConditionStatus, reason, message string) {
	tr.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: status, Reason: reason, Message: message})
}

func (s *Server) makeTaskRun(r *run, t tekton.PipelineTask) {
	pr := s.pipelineRun(r)
	if pr == nil {
		return
	}
	r.at = t.Name
	labels := maps.Clone(pr.Labels)
	labels[pipeline.PipelineRunLabelKey], labels[pipeline.PipelineRunUIDLabelKey] = r.name, r.uid
	labels[pipeline.PipelineTaskLabelKey], labels[pipeline.PipelineLabelKey] = t.Name, r.pipeline
	labels[pipeline.MemberOfLabelKey] = "tasks"
	now := metav1.NewTime(s.o.Now())
	tr := &tekton.TaskRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: r.taskRunName(t), Labels: labels},
		Spec:       tekton.TaskRunSpec{TaskRef: t.TaskRef, ServiceAccountName: pr.Spec.TaskRunTemplate.ServiceAccountName},
	}
	tr.Status.StartTime = &now
	condition(tr, corev1.ConditionUnknown, "Started", "")
	s.put(s.table("tekton.dev", "taskruns"), tr)
	ref := tekton.ChildStatusReference{Name: tr.Name, PipelineTaskName: t.Name}
	ref.APIVersion, ref.Kind = "tekton.dev/v1", "TaskRun"
	pr.Status.ChildReferences = append(pr.Status.ChildReferences, ref)
	s.put(s.table("tekton.dev", "pipelineruns"), pr)
}

func (s *Server) makePod(r *run, t tekton.PipelineTask) {
	tr := get[*tekton.TaskRun](s, "tekton.dev", "taskruns", r.namespace+"/"+r.taskRunName(t))
	if tr == nil {
		return
	}
	spec := s.taskSpec(r, t)
	labels := maps.Clone(tr.Labels)
	labels[pipeline.TaskRunLabelKey] = tr.Name
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: r.podName(t), Labels: labels}}
	pod.Status.Phase = corev1.PodPending
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: corev1.PodInitialized, Status: corev1.ConditionFalse, Message: "containers with incomplete status: [prepare]"}}
	for i, step := range s.stepsOf(r, t) {
		c := corev1.Container{Name: "step-" + step, Image: spec.Steps[i].Image}
		pod.Spec.Containers = append(pod.Spec.Containers, c)
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}},
		})
	}
	s.put(s.table("", "pods"), pod)
	tr.Status.TaskSpec, tr.Status.PodName, tr.Status.Steps = &spec, pod.Name, nil
	for _, c := range pod.Status.ContainerStatuses {
		tr.Status.Steps = append(tr.Status.Steps, tekton.StepState{Name: strings.TrimPrefix(c.Name, "step-"), Container: c.Name, ContainerState: c.State})
	}
	condition(tr, corev1.ConditionUnknown, "Pending", `pod status "Initialized":"False"; message: "containers with incomplete status: [prepare place-scripts]"`)
	s.put(s.table("tekton.dev", "taskruns"), tr)
}

// startPod starts all containers of a pod at once, as Tekton's do: each waits for the step before it.
func (s *Server) startPod(r *run, t tekton.PipelineTask) {
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(s.o.Now())}}
	s.changePod(r, t, func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodRunning
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: corev1.PodInitialized, Status: corev1.ConditionTrue}}
		for i := range pod.Status.ContainerStatuses {
			pod.Status.ContainerStatuses[i].State = running
			s.logs[r.namespace+"/"+pod.Name+"/"+pod.Status.ContainerStatuses[i].Name] = &stepLog{open: true}
		}
	})
	s.changeTaskRun(r, t, func(tr *tekton.TaskRun) {
		for i := range tr.Status.Steps {
			tr.Status.Steps[i].ContainerState = running
		}
		condition(tr, corev1.ConditionUnknown, "Running", "Not all Steps in the Task have finished executing")
	})
}

func (s *Server) at(r *run, t tekton.PipelineTask, step string) { r.at = t.Name + "/" + step }

func (s *Server) logOf(r *run, t tekton.PipelineTask, step string) *stepLog {
	return s.logs[r.namespace+"/"+r.podName(t)+"/step-"+step]
}

func (s *Server) write(r *run, t tekton.PipelineTask, step, text string) {
	if log := s.logOf(r, t, step); log != nil && log.open {
		log.lines = append(log.lines, logLine{s.o.Now(), text})
		s.wake()
	}
}

// Write adds lines to the log of a step that runs, or one line with a time of its own when at is set.
func (s *Server) Write(run, step string, at time.Time, lines ...string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at.IsZero() {
		at = s.o.Now()
	}
	for k, log := range s.logs {
		if strings.Contains(k, "/"+run+"-") && strings.HasSuffix(k, "/step-"+step) && log.open {
			for _, text := range lines {
				log.lines = append(log.lines, logLine{at, text})
			}
			s.wake()
			return true
		}
	}
	return false
}

// Rotate makes the files of all logs of a run start anew: what they held cannot be read any more, as after ten mebibytes.
func (s *Server) Rotate(run string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, log := range s.logs {
		if strings.Contains(k, "/"+run+"-") {
			log.rotated = len(log.lines)
		}
	}
}

// terminate ends one step.
func (s *Server) terminate(r *run, t tekton.PipelineTask, step string, state corev1.ContainerStateTerminated, reason string) {
	began := metav1.NewTime(s.o.Now())
	if log := s.logOf(r, t, step); log != nil {
		if len(log.lines) > 0 {
			began = metav1.NewTime(log.lines[0].at)
		}
		log.open = false
	}
	state.StartedAt, state.FinishedAt = began, metav1.NewTime(s.o.Now())
	s.changePod(r, t, func(pod *corev1.Pod) {
		for i := range pod.Status.ContainerStatuses {
			if pod.Status.ContainerStatuses[i].Name == "step-"+step {
				pod.Status.ContainerStatuses[i].State = corev1.ContainerState{Terminated: &state}
			}
		}
	})
	s.changeTaskRun(r, t, func(tr *tekton.TaskRun) {
		for i := range tr.Status.Steps {
			if tr.Status.Steps[i].Name == step {
				tr.Status.Steps[i].ContainerState = corev1.ContainerState{Terminated: &state}
				tr.Status.Steps[i].TerminationReason = reason
			}
		}
	})
	s.wake()
}

func (s *Server) endStep(r *run, t tekton.PipelineTask, step string) {
	s.terminate(r, t, step, corev1.ContainerStateTerminated{Reason: "Completed"}, "Completed")
	maps.Copy(r.results, s.resultsOf(r, step))
}

func (s *Server) resultsOf(r *run, step string) map[string]string {
	switch step {
	case "clone":
		return map[string]string{"COMMIT": r.param("revision")}
	case "detect":
		return map[string]string{"DOCKERFILE": r.dockerfile()}
	case "push":
		return map[string]string{"IMAGE_URL": r.param("image"), "IMAGE_DIGEST": r.digest()}
	case "patch":
		return map[string]string{"PREVIOUS_IMAGE": r.previous, "IMAGE": r.param("image")}
	default:
		return nil
	}
}

// taskResults writes what the steps of a task have told so far.
func (s *Server) taskResults(r *run, t tekton.PipelineTask, tr *tekton.TaskRun) {
	for _, step := range s.stepsOf(r, t) {
		told := s.resultsOf(r, step)
		for _, name := range slices.Sorted(maps.Keys(told)) {
			if _, done := r.results[name]; done {
				tr.Status.Results = append(tr.Status.Results, tekton.TaskRunResult{Name: name, Type: tekton.ResultsTypeString, Value: *tekton.NewStructuredValues(told[name])})
			}
		}
	}
}

func (s *Server) endTask(r *run, t tekton.PipelineTask) {
	now := metav1.NewTime(s.o.Now())
	s.changePod(r, t, func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodSucceeded })
	s.changeTaskRun(r, t, func(tr *tekton.TaskRun) {
		s.taskResults(r, t, tr)
		tr.Status.CompletionTime = &now
		condition(tr, corev1.ConditionTrue, "Succeeded", "All Steps have completed executing")
	})
	r.done++
	r.attempt = 0
	if pr := s.pipelineRun(r); pr != nil {
		s.standing(r, pr, "Running")
	}
}

// failStep ends a step badly; those after it print why they do nothing.
func (s *Server) failStep(r *run, t tekton.PipelineTask, step string) {
	state, reason := corev1.ContainerStateTerminated{ExitCode: max(r.sc.ExitCode, 1), Reason: "Error"}, "StepFailed"
	if r.sc.OOM {
		state, reason = corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}, "StepOOM"
	}
	s.terminate(r, t, step, state, state.Reason)
	steps := s.stepsOf(r, t)
	for _, next := range steps[slices.Index(steps, step)+1:] {
		s.write(r, t, next, time.Now().UTC().Format("2006/01/02 15:04:05")+" Skipping step because a previous step failed")
		s.terminate(r, t, next, corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}, "Skipped")
	}
	message := fmt.Sprintf("%q exited with code %d: %s", "step-"+step, state.ExitCode, state.Reason)
	if r.attempt < r.sc.Retries {
		s.retry(r, t, reason, message)
		return
	}
	s.failTask(r, t, reason, message)
}

// retry tries a task again in a new pod; the last attempt goes well.
func (s *Server) retry(r *run, t tekton.PipelineTask, reason, message string) {
	s.changeTaskRun(r, t, func(tr *tekton.TaskRun) {
		condition(tr, corev1.ConditionFalse, reason, message)
		earlier := tr.Status.DeepCopy()
		earlier.RetriesStatus = nil
		tr.Status.RetriesStatus = append(tr.Status.RetriesStatus, *earlier)
		tr.Status.PodName, tr.Status.Steps, tr.Status.Results = "", nil, nil
		condition(tr, corev1.ConditionUnknown, "ToBeRetried", message)
	})
	r.attempt++
	if r.attempt == r.sc.Retries {
		r.sc.Fail = ""
	}
	again := append([]act{
		{after: s.o.Pace, do: func() { s.makePod(r, t) }},
		{after: s.o.Pace, do: func() { s.startPod(r, t) }},
	}, s.stepsActs(r, t)...)
	r.todo = append(again, slices.DeleteFunc(r.todo, func(a act) bool { return a.task == t.Name })...)
}

// failTask ends a task, and with it the run.
func (s *Server) failTask(r *run, t tekton.PipelineTask, reason, message string) {
	now := metav1.NewTime(s.o.Now())
	s.changePod(r, t, func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodFailed })
	s.changeTaskRun(r, t, func(tr *tekton.TaskRun) {
		s.taskResults(r, t, tr)
		tr.Status.CompletionTime = &now
		condition(tr, corev1.ConditionFalse, reason, message)
	})
	pr := s.pipelineRun(r)
	if pr == nil {
		return
	}
	r.done++
	skipped := len(pr.Status.PipelineSpec.Tasks) - r.done
	for _, later := range pr.Status.PipelineSpec.Tasks[r.done:] {
		pr.Status.SkippedTasks = append(pr.Status.SkippedTasks, tekton.SkippedTask{Name: later.Name, Reason: tekton.StoppingSkip})
	}
	s.endRun(r, pr, corev1.ConditionFalse, "Failed", fmt.Sprintf("Tasks Completed: %d (Failed: 1, Cancelled 0), Skipped: %d", r.done, skipped))
}

// stopTasks ends the task that runs from outside: its pod is deleted, and its log with it.
func (s *Server) stopTasks(r *run, reason, message string) {
	now := metav1.NewTime(s.o.Now())
	for _, o := range s.table("tekton.dev", "taskruns").all() {
		tr, _ := o.DeepCopyObject().(*tekton.TaskRun)
		if tr.Labels[pipeline.PipelineRunUIDLabelKey] != r.uid || tr.IsDone() {
			continue
		}
		s.stopTaskRun(tr, now, reason, fmt.Sprintf("TaskRun %q was cancelled. %s", tr.Name, message))
		tr.Spec.Status, tr.Spec.StatusMessage = tekton.TaskRunSpecStatusCancelled, tekton.TaskRunSpecStatusMessage(message)
		s.put(s.table("tekton.dev", "taskruns"), tr)
	}
}

func (s *Server) stopTaskRun(tr *tekton.TaskRun, now metav1.Time, reason, message string) {
	tr.Status.CompletionTime = &now
	for i := range tr.Status.Steps {
		step := &tr.Status.Steps[i]
		began := tr.CreationTimestamp
		switch {
		case step.Terminated != nil:
			continue
		case step.Running != nil:
			began = step.Running.StartedAt
		}
		step.ContainerState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 1, StartedAt: began, FinishedAt: now, Reason: reason, Message: fmt.Sprintf("Step %s terminated as pod %s is terminated", step.Name, tr.Status.PodName),
		}}
		step.TerminationReason = reason
	}
	condition(tr, corev1.ConditionFalse, reason, message)
	pod := tr.Namespace + "/" + tr.Status.PodName
	s.removePodLogs(pod)
	s.remove(s.table("", "pods"), pod)
}

// removePodLogs ends the logs of a pod: who follows one reads it to its end, who comes later finds none.
func (s *Server) removePodLogs(pod string) {
	for k, log := range s.logs {
		if strings.HasPrefix(k, pod+"/") {
			log.open = false
			delete(s.logs, k)
		}
	}
	s.wake()
}

// patchDeployment is what the step patch does.
func (s *Server) patchDeployment(r *run) {
	name := r.param("namespace") + "/" + r.param("deployment")
	d := get[*appsv1.Deployment](s, "apps", "deployments", name)
	if d == nil {
		r.cannotPatch(fmt.Sprintf("Error from server (NotFound): deployments.apps %q not found", r.param("deployment")))
		return
	}
	i := containerOf(d, r.param("container"))
	switch owner := managedBy(d); {
	case i < 0:
		r.cannotPatch(fmt.Sprintf("Deployment %s has no container %s", name, r.param("container")))
		return
	case owner != "" && r.param("allow-managed") != "true":
		r.cannotPatch(fmt.Sprintf("Deployment %s belongs to %s, which would undo the change. Change it there, or allow it: /build settings.", name, owner))
		return
	}
	r.previous = d.Spec.Template.Spec.Containers[i].Image
	if r.sc.Fail == "patch" {
		return
	}
	d.Spec.Template.Spec.Containers[i].Image = r.param("image")
	s.put(s.table("apps", "deployments"), d)
}

// cannotPatch lets the step patch fail with these lines.
func (r *run) cannotPatch(lines ...string) {
	logs := maps.Clone(r.sc.Logs)
	if logs == nil {
		logs = map[string][]string{}
	}
	logs["patch"] = lines
	r.sc.Fail, r.sc.Logs = "patch", logs
}

func managedBy(d *appsv1.Deployment) string {
	switch {
	case d.Annotations["argocd.argoproj.io/tracking-id"] != "" || d.Labels["argocd.argoproj.io/instance"] != "":
		return "Argo CD"
	case d.Labels["kustomize.toolkit.fluxcd.io/name"] != "" || d.Labels["helm.toolkit.fluxcd.io/name"] != "":
		return "Flux"
	case d.Labels["app.kubernetes.io/managed-by"] == "Helm" || d.Annotations["meta.helm.sh/release-name"] != "":
		return "Helm"
	default:
		return ""
	}
}
