package tektonsim_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/client/clientset/versioned"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"knative.dev/pkg/apis"

	"kovra.dev/chatops/internal/tektonsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ns = "builds"

// cluster is a simulator and the vendors' own clients of it.
type cluster struct {
	*testing.T
	sim    *tektonsim.Server
	kube   kubernetes.Interface
	tekton versioned.Interface
}

func newCluster(t *testing.T, o tektonsim.Options) *cluster {
	t.Helper()
	sim := tektonsim.New(o)
	sim.AddNamespace(ns)
	server := httptest.NewTLSServer(sim)
	t.Cleanup(server.Close)
	t.Cleanup(sim.DropStreams)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := sim.WriteKubeconfig(path, server.URL, nil); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.ContentType = -1, "application/json" // the simulator reads no protobuf
	c := &cluster{T: t, sim: sim}
	if c.kube, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	if c.tekton, err = versioned.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	return c
}

func newRun(name string) *v1.PipelineRun {
	run := &v1.PipelineRun{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kovra.dev/app": "web", "kovra.dev/build": "1"}}}
	run.Spec.PipelineRef = &v1.PipelineRef{Name: "kovra-build"}
	for _, p := range []string{"repo-url", "revision", "branch", "app", "image", "cache", "dockerfile", "context"} {
		run.Spec.Params = append(run.Spec.Params, v1.Param{Name: p, Value: *v1.NewStructuredValues(p)})
	}
	run.Spec.Params = append(run.Spec.Params, v1.Param{Name: "build-args", Value: v1.ParamValue{Type: v1.ParamTypeArray, ArrayVal: []string{"A=1"}}})
	run.Spec.Workspaces = []v1.WorkspaceBinding{{Name: "source", EmptyDir: &corev1.EmptyDirVolumeSource{}}}
	return run
}

func (c *cluster) create(run *v1.PipelineRun) error {
	_, err := c.tekton.TektonV1().PipelineRuns(ns).Create(c.Context(), run, metav1.CreateOptions{})
	return err
}

func (c *cluster) started(name string) {
	c.Helper()
	if err := c.create(newRun(name)); err != nil {
		c.Fatal(err)
	}
}

func (c *cluster) condition(name string) *apis.Condition {
	c.Helper()
	run, err := c.tekton.TektonV1().PipelineRuns(ns).Get(c.Context(), name, metav1.GetOptions{})
	if err != nil {
		c.Fatal(err)
	}
	return run.Status.GetCondition(apis.ConditionSucceeded)
}

func (c *cluster) taskRun(name string) *v1.TaskRun {
	c.Helper()
	tr, err := c.tekton.TektonV1().TaskRuns(ns).Get(c.Context(), name, metav1.GetOptions{})
	if err != nil {
		c.Fatal(err)
	}
	return tr
}

func (c *cluster) patch(name, patch string) error {
	_, err := c.tekton.TektonV1().PipelineRuns(ns).Patch(c.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

// The tables "Conditions Tekton really writes".

func TestANewRunHasNoConditionAtAll(t *testing.T) {
	c := newCluster(t, tektonsim.Options{})
	c.started("x")
	if got := c.condition("x"); got != nil {
		t.Errorf("condition %+v", got)
	}
}

func TestConditionsOfPipelineRuns(t *testing.T) {
	hang := tektonsim.Scenario{Hang: "build"}
	for _, tc := range []struct {
		name    string
		sc      tektonsim.Scenario
		set     func(*v1.PipelineRun)
		then    func(*cluster) error
		status  string
		reason  string
		message string
	}{
		{name: "runs", sc: hang, status: "Unknown", reason: "Running", message: "Tasks Completed: 2 (Failed: 0, Cancelled 0), Incomplete: 1, Skipped: 0"},
		{name: "succeeded", status: "True", reason: "Succeeded", message: "Tasks Completed: 3 (Failed: 0, Cancelled 0), Skipped: 0"},
		{name: "failed", sc: tektonsim.Scenario{Fail: "detect"}, status: "False", reason: "Failed", message: "Tasks Completed: 2 (Failed: 1, Cancelled 0), Skipped: 1"},
		{
			name: "cancelled", sc: hang, then: func(c *cluster) error { return c.patch("x", `{"spec":{"status":"Cancelled"}}`) },
			status: "False", reason: "Cancelled", message: `PipelineRun "x" was cancelled`,
		},
		{
			name: "timed out", sc: tektonsim.Scenario{Hang: "build", TimeOut: true},
			set: func(r *v1.PipelineRun) {
				r.Spec.Timeouts = &v1.TimeoutFields{Pipeline: &metav1.Duration{Duration: 6e9}}
			},
			status: "False", reason: "PipelineRunTimeout", message: `PipelineRun "x" failed to finish within "6s"`,
		},
		{name: "no such pipeline", set: func(r *v1.PipelineRun) { r.Spec.PipelineRef.Name = "none" }, status: "False", reason: "CouldntGetPipeline", message: "not found"},
		{
			name: "parameter missing", set: func(r *v1.PipelineRun) { r.Spec.PipelineRef.Name = "kovra-deploy" },
			status: "False", reason: "ParameterMissing", message: "[User error] PipelineRun builds/x parameters is missing some parameters",
		},
		{name: "workspace not bound", set: func(r *v1.PipelineRun) { r.Spec.Workspaces = nil }, status: "False", reason: "InvalidWorkspaceBindings", message: "doesn't bind"},
		{name: "held", set: func(r *v1.PipelineRun) { r.Spec.Status = "PipelineRunPending" }, status: "Unknown", reason: "PipelineRunPending", message: `PipelineRun "x" is pending`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCluster(t, tektonsim.Options{})
			c.sim.Script("web", tc.sc)
			run := newRun("x")
			if tc.set != nil {
				tc.set(run)
			}
			if err := c.create(run); err != nil {
				t.Fatal(err)
			}
			c.sim.Settle()
			if tc.then != nil {
				if err := tc.then(c); err != nil {
					t.Fatal(err)
				}
				c.sim.Settle()
			}
			got := c.condition("x")
			if got == nil || string(got.Status) != tc.status || got.Reason != tc.reason || !strings.Contains(got.Message, tc.message) {
				t.Errorf("got %+v, want %s %s %q", got, tc.status, tc.reason, tc.message)
			}
		})
	}
}

func TestConditionsOfTaskRuns(t *testing.T) {
	for _, tc := range []struct {
		name            string
		sc              tektonsim.Scenario
		task            string
		status          string
		reason, message string
	}{
		{"runs", tektonsim.Scenario{Hang: "clone"}, "clone", "Unknown", "Running", "Not all Steps in the Task have finished executing"},
		{"pending", tektonsim.Scenario{Pending: tektonsim.ImagePull}, "clone", "Unknown", "PullImageFailed", `build step "step-clone" is pending with reason`},
		{"succeeded", tektonsim.Scenario{}, "clone", "True", "Succeeded", "All Steps have completed executing"},
		{"exit code", tektonsim.Scenario{Fail: "build", ExitCode: 3}, "build-and-push", "False", "StepFailed", `"step-build" exited with code 3: Error`},
		{"memory", tektonsim.Scenario{Fail: "build", OOM: true}, "build-and-push", "False", "StepOOM", `"step-build" exited with code 137: OOMKilled`},
		{"image", tektonsim.Scenario{Pending: tektonsim.ImagePull, Gone: true}, "clone", "False", "TaskRunImagePullFailed", `the step "clone" in TaskRun "x-clone" failed to pull the image`},
		{"the run's time is up", tektonsim.Scenario{Hang: "clone", TimeOut: true}, "clone", "False", "TaskRunCancelled", "as the PipelineRun it belongs to has timed out."},
	} {
		c := newCluster(t, tektonsim.Options{})
		c.sim.Script("", tc.sc)
		c.started("x")
		c.sim.Settle()
		got := c.taskRun("x-" + tc.task).Status.GetCondition(apis.ConditionSucceeded)
		if string(got.Status) != tc.status || got.Reason != tc.reason || !strings.Contains(got.Message, tc.message) {
			t.Errorf("%s: got %+v", tc.name, got)
		}
	}
}

// "Refused by the webhook when asked".

func TestWhatTheWebhookRefuses(t *testing.T) {
	const prefix = `admission webhook "validation.webhook.pipeline.tekton.dev" denied the request: validation failed: `
	c := newCluster(t, tektonsim.Options{})
	c.started("done")
	c.sim.Settle()
	c.sim.Script("", tektonsim.Scenario{Hang: "clone"})
	c.started("runs")
	c.sim.Settle()
	bad := newRun("y")
	bad.Spec.Status = "Nope"
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"status", c.create(bad), "Nope should be Cancelled, CancelledRunFinally, StoppedRunFinally or PipelineRunPending: spec.status"},
		{"name", c.create(newRun(strings.Repeat("x", 64))), "Invalid resource name: length must be no more than 63 characters: metadata.name"},
		{"spec", c.patch("runs", `{"spec":{"pipelineRef":{"name":"other"}}}`), "Once the PipelineRun has started, only status updates are allowed: spec"},
		{"ended", c.patch("done", `{"spec":{"status":"Cancelled"}}`), "Once the PipelineRun is complete, no updates are allowed: spec"},
	} {
		if !apierrors.IsBadRequest(tc.err) || !strings.HasPrefix(tc.err.Error(), prefix) || !strings.HasSuffix(tc.err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, tc.err, tc.want)
		}
	}
	if err := c.patch("done", `{"metadata":{"labels":{"a":"b"}}}`); err != nil {
		t.Errorf("labels may be changed at any time: %v", err)
	}
}

func TestWhatTheAPIServerRefuses(t *testing.T) {
	c := newCluster(t, tektonsim.Options{})
	c.started("x")
	if err := c.create(newRun("x")); !apierrors.IsAlreadyExists(err) {
		t.Errorf("a second x: %v", err)
	}
	_, err := c.tekton.TektonV1().PipelineRuns("nowhere").Create(t.Context(), newRun("x"), metav1.CreateOptions{})
	if !apierrors.IsNotFound(err) || !strings.Contains(err.Error(), `namespaces "nowhere" not found`) {
		t.Errorf("no namespace: %v", err)
	}
	run, err := c.tekton.TektonV1().PipelineRuns(ns).Get(t.Context(), "x", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	run.ResourceVersion = "1"
	if _, err := c.tekton.TektonV1().PipelineRuns(ns).Update(t.Context(), run, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("an old version: %v", err)
	}
	body := []byte(`{"apiVersion":"tekton.dev/v1","kind":"PipelineRun","metadata":{"name":"u"},"spec":{"pipelineRef":{"name":"p"},"nonsense":1}}`)
	post := func(validation string) error {
		return c.tekton.TektonV1().RESTClient().Post().Namespace(ns).Resource("pipelineruns").Param("fieldValidation", validation).Body(body).Do(t.Context()).Error()
	}
	if err := post("Strict"); !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), "unknown field") {
		t.Errorf("an unknown field, strictly: %v", err)
	}
	if err := post("Ignore"); err != nil {
		t.Errorf("an unknown field: %v", err)
	}
}

func TestFaultsAreAnswersOfTheRealThing(t *testing.T) {
	c := newCluster(t, tektonsim.Options{})
	c.started("x")
	c.sim.Forbid("get", "pipelineruns")
	if err := getErr(c, "x"); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `cannot get resource "pipelineruns"`) {
		t.Errorf("forbidden: %v", err)
	}
	c.sim.Allow("get", "pipelineruns")
	for _, tc := range []struct {
		fault tektonsim.Fault
		is    func(error) bool
	}{
		{tektonsim.Status("get pipelineruns", http.StatusServiceUnavailable), apierrors.IsServiceUnavailable},
		{tektonsim.WebhookDown("get *"), apierrors.IsInternalError},
		{tektonsim.FailAfter("*"), apierrors.IsInternalError},
		{tektonsim.RateLimit("get pipelineruns", time.Second), func(err error) bool { return err == nil }}, // the client waits and tries again
		{tektonsim.Delay("get pipelineruns", time.Millisecond), func(err error) bool { return err == nil }},
	} {
		c.sim.Fault(tc.fault)
		if err := getErr(c, "x"); !tc.is(err) {
			t.Errorf("%s: %v", tc.fault, err)
		}
		if n := c.sim.FaultCounts()[tc.fault.String()]; n != 1 {
			t.Errorf("%s fired %d times", tc.fault, n)
		}
	}
	c.sim.Fault(tektonsim.Status("get pipelineruns", http.StatusServiceUnavailable).Times(5))
	c.sim.ClearFaults()
	if err := getErr(c, "x"); err != nil {
		t.Errorf("cleared: %v", err)
	}
}

func getErr(c *cluster, name string) error {
	_, err := c.tekton.TektonV1().PipelineRuns(ns).Get(c.Context(), name, metav1.GetOptions{})
	return err
}

func TestAWrongTokenIsUnauthorized(t *testing.T) {
	sim := tektonsim.New(tektonsim.Options{Token: "right"})
	server := httptest.NewTLSServer(sim)
	defer server.Close()
	for token, want := range map[string]int{"right": http.StatusOK, "wrong": http.StatusUnauthorized, "": http.StatusUnauthorized} {
		r, err := http.NewRequest(http.MethodGet, server.URL+"/apis", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("token %q: %d, want %d", token, resp.StatusCode, want)
		}
	}
}

func TestDiscovery(t *testing.T) {
	c := newCluster(t, tektonsim.Options{})
	lists, err := c.kube.Discovery().ServerPreferredResources()
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]bool{}
	for _, list := range lists {
		for _, r := range list.APIResources {
			served[list.GroupVersion+" "+r.Name] = true
		}
	}
	for _, want := range []string{"v1 pods", "apps/v1 deployments", "tekton.dev/v1 pipelineruns"} {
		if !served[want] {
			t.Errorf("%s is not served: %v", want, served)
		}
	}
	info, err := c.kube.Discovery().ServerVersion()
	if err != nil || info.GitVersion != tektonsim.Version {
		t.Errorf("version %v, %v", info, err)
	}
	bare := newCluster(t, tektonsim.Options{NoTekton: true})
	if err := bare.create(newRun("x")); !apierrors.IsNotFound(err) {
		t.Errorf("without Tekton: %v", err)
	}
}

// "Labels", "Logs", and the rules 1 to 12 of following logs.

func TestLabelsAreHandedOn(t *testing.T) {
	c := newCluster(t, tektonsim.Options{})
	c.started("x")
	c.sim.Settle()
	selector := "kovra.dev/build=1,tekton.dev/pipelineRun=x,tekton.dev/pipelineTask=clone,tekton.dev/memberOf=tasks"
	taskRuns, err := c.tekton.TektonV1().TaskRuns(ns).List(t.Context(), metav1.ListOptions{LabelSelector: selector})
	if err != nil || len(taskRuns.Items) != 1 {
		t.Fatalf("%d TaskRuns, %v", len(taskRuns.Items), err)
	}
	pods, err := c.kube.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{LabelSelector: selector + ",tekton.dev/taskRun=x-clone"})
	if err != nil || len(pods.Items) != 1 || pods.Items[0].Name != taskRuns.Items[0].Status.PodName {
		t.Errorf("pods %v, %v", pods.Items, err)
	}
}

func (c *cluster) log(pod, step string, o corev1.PodLogOptions) (string, error) {
	o.Container = "step-" + step
	body, err := c.kube.CoreV1().Pods(ns).GetLogs(pod, &o).Stream(c.Context())
	if err != nil {
		return "", err
	}
	defer body.Close()
	all, err := io.ReadAll(body)
	return string(all), err
}

func TestLogsSinceAWholeSecond(t *testing.T) {
	c := newCluster(t, tektonsim.Options{})
	c.sim.Script("", tektonsim.Scenario{Logs: map[string][]string{"clone": {}}, Hang: "clone"})
	c.started("x")
	c.sim.Settle()
	at := time.Date(2026, 11, 23, 12, 0, 1, 0, time.UTC)
	for i, text := range []string{"a", "b", "c"} {
		c.sim.Write("x", "clone", at.Add(time.Duration(i)*700*time.Millisecond), text)
	}
	since := metav1.NewTime(at.Add(900 * time.Millisecond)) // sent as the whole second before
	for _, tc := range []struct {
		o    corev1.PodLogOptions
		want string
	}{
		{corev1.PodLogOptions{}, "a\nb\nc\n"},
		{corev1.PodLogOptions{SinceTime: &since}, "a\nb\nc\n"},
		{corev1.PodLogOptions{SinceTime: &metav1.Time{Time: at.Add(time.Second)}, Timestamps: true}, "2026-11-23T12:00:02.4Z c\n"},
	} {
		if got, err := c.log("x-clone-pod", "clone", tc.o); err != nil || got != tc.want {
			t.Errorf("%+v: %q, %v, want %q", tc.o, got, err, tc.want)
		}
	}
	c.sim.Rotate("x")
	if got, err := c.log("x-clone-pod", "clone", corev1.PodLogOptions{}); err != nil || got != "" {
		t.Errorf("after the rotation %q, %v", got, err)
	}
}

func TestAFollowedLogEndsWithItsContainer(t *testing.T) {
	c := newCluster(t, tektonsim.Options{})
	c.sim.Script("", tektonsim.Scenario{Logs: map[string][]string{"clone": {"one"}}, Hang: "clone"})
	c.started("x")
	c.sim.Settle()
	body, err := c.kube.CoreV1().Pods(ns).GetLogs("x-clone-pod", &corev1.PodLogOptions{Container: "step-clone", Follow: true}).Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	for _, want := range []string{"one", "two"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("got %q, want %q; %v", lines.Text(), want, lines.Err())
		}
		if want == "one" {
			c.sim.Write("x", "clone", time.Time{}, "two")
		}
	}
	c.sim.Finish("")
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("after the end %q, %v", lines.Text(), lines.Err())
	}
}

func TestLogsOfPodsThatWaitAndThatAreGone(t *testing.T) {
	c := newCluster(t, tektonsim.Options{})
	c.sim.Script("", tektonsim.Scenario{Pending: tektonsim.NoSecret})
	c.started("x")
	c.sim.Settle()
	if _, err := c.log("x-clone-pod", "clone", corev1.PodLogOptions{}); !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), `container "step-clone" in pod "x-clone-pod" is waiting to start: PodInitializing`) {
		t.Errorf("waiting: %v", err)
	}
	if _, err := c.log("x-clone-pod", "nope", corev1.PodLogOptions{}); !apierrors.IsBadRequest(err) {
		t.Errorf("no such container: %v", err)
	}
	c.sim.DeletePods("x")
	if _, err := c.log("x-clone-pod", "clone", corev1.PodLogOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("gone: %v", err)
	}
}

func TestCancellingDeletesTheRunningPod(t *testing.T) {
	c := newCluster(t, tektonsim.Options{})
	c.sim.Script("", tektonsim.Scenario{Hang: "clone"})
	c.started("x")
	c.sim.Settle()
	if err := c.patch("x", `{"spec":{"status":"CancelledRunFinally"}}`); err != nil {
		t.Fatal(err)
	}
	c.sim.Step()
	if got := c.condition("x"); got.Reason != "CancelledRunningFinally" || !got.IsUnknown() {
		t.Errorf("meanwhile %+v", got)
	}
	pods, err := c.kube.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(pods.Items) != 0 {
		t.Errorf("%d pods, %v", len(pods.Items), err)
	}
	step := c.taskRun("x-clone").Status.Steps[0]
	if step.TerminationReason != "TaskRunCancelled" || step.Terminated.ExitCode != 1 {
		t.Errorf("step %+v", step)
	}
}

func TestDeletingARunDeletesWhatBelongsToIt(t *testing.T) {
	c := newCluster(t, tektonsim.Options{})
	c.sim.Script("", tektonsim.Scenario{Hang: "clone"})
	c.started("x")
	c.sim.Settle()
	if err := c.tekton.TektonV1().PipelineRuns(ns).Delete(t.Context(), "x", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	taskRuns, err := c.tekton.TektonV1().TaskRuns(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(taskRuns.Items) != 0 {
		t.Errorf("%d TaskRuns, %v", len(taskRuns.Items), err)
	}
	if runs := c.sim.Runs(); len(runs) != 1 || runs[0].Reason != "deleted" {
		t.Errorf("runs %+v", runs)
	}
}

// Watches.

func TestAWatchTellsChangesFromAVersionOn(t *testing.T) {
	c := newCluster(t, tektonsim.Options{})
	c.started("before")
	list, err := c.tekton.TektonV1().PipelineRuns(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := c.tekton.TektonV1().PipelineRuns(ns).Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion, LabelSelector: "kovra.dev/app=web"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	c.started("x")
	if err := c.patch("x", `{"metadata":{"labels":{"a":"b"}}}`); err != nil {
		t.Fatal(err)
	}
	if err := c.patch("x", `{"metadata":{"labels":{"kovra.dev/app":null}}}`); err != nil {
		t.Fatal(err)
	}
	for _, want := range []watch.EventType{watch.Added, watch.Modified, watch.Deleted} {
		select {
		case e := <-w.ResultChan():
			if run, ok := e.Object.(*v1.PipelineRun); e.Type != want || !ok || run.Name != "x" {
				t.Errorf("got %s of %+v, want %s of x", e.Type, e.Object, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("no event, want %s", want)
		}
	}
	c.sim.Forget()
	_, err = c.tekton.TektonV1().PipelineRuns(ns).Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if !apierrors.IsResourceExpired(err) {
		t.Errorf("from a version that is forgotten: %v", err)
	}
}

// The controller in real time.

func TestRunsMoveInRealTime(t *testing.T) {
	c := newCluster(t, tektonsim.Options{Pace: time.Millisecond, LinePace: time.Microsecond})
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ended <- c.sim.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	c.started("x")
	hung := newRun("late")
	hung.Spec.Timeouts = &v1.TimeoutFields{Pipeline: &metav1.Duration{Duration: time.Second}}
	c.sim.Script("", tektonsim.Scenario{Hang: "clone"})
	if err := c.create(hung); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"x": "Succeeded", "late": "PipelineRunTimeout"} {
		for range 2000 {
			if got := c.condition(name); got != nil && got.Reason == want {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if got := c.condition(name); got.Reason != want {
			t.Errorf("%s: %+v, want %s", name, got, want)
		}
	}
}

func TestADeploymentIsPatchedByItsRun(t *testing.T) {
	c := newCluster(t, tektonsim.Options{})
	c.sim.AddDeployment(tektonsim.Deployment{Namespace: "prod", Name: "web", Image: "web:1", Containers: []string{"app", "proxy"}})
	run := newRun("d")
	run.Spec.PipelineRef.Name = "kovra-deploy"
	run.Spec.Params = nil
	for k, v := range map[string]string{"namespace": "prod", "deployment": "web", "container": "app", "image": "web:2", "timeout": "60", "allow-managed": "false"} {
		run.Spec.Params = append(run.Spec.Params, v1.Param{Name: k, Value: *v1.NewStructuredValues(v)})
	}
	if err := c.create(run); err != nil {
		t.Fatal(err)
	}
	c.sim.Settle()
	d, err := c.kube.AppsV1().Deployments("prod").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil || d.Spec.Template.Spec.Containers[0].Image != "web:2" {
		t.Errorf("%+v, %v", d.Spec.Template.Spec.Containers, err)
	}
	tr := c.taskRun("d-deploy")
	if len(tr.Status.Results) != 2 || tr.Status.Results[1].Value.StringVal != "web:1" {
		t.Errorf("results %+v", tr.Status.Results)
	}
}

func TestAKubeconfigIsForItsOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "kubeconfig")
	if err := tektonsim.New(tektonsim.Options{}).WriteKubeconfig(path, "http://localhost:1", nil); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
