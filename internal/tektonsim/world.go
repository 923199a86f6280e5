package tektonsim

import (
	"fmt"
	"slices"

	tekton "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AddNamespace adds a namespace with the Pipelines kovra-build and kovra-deploy and their Tasks.
func (s *Server) AddNamespace(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.table("", "namespaces").items["/"+name] != nil {
		return
	}
	s.put(s.table("", "namespaces"), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NamespaceStatus{Phase: corev1.NamespaceActive}})
	if s.o.NoTekton {
		return
	}
	for _, p := range []tekton.Pipeline{buildPipeline(), deployPipeline()} {
		p.Namespace = name
		s.put(s.table("tekton.dev", "pipelines"), &p)
	}
	for task, steps := range tasks {
		s.put(s.table("tekton.dev", "tasks"), newTask(name, task, steps))
	}
}

// RemovePipeline takes a Pipeline or a Task out of a namespace, as an incomplete installation has it.
func (s *Server) RemovePipeline(namespace, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(s.table("tekton.dev", "pipelines"), namespace+"/"+name)
	s.remove(s.table("tekton.dev", "tasks"), namespace+"/"+name)
}

// tasks are the Tasks of both Pipelines, with their steps.
var tasks = map[string][]string{
	"kovra-clone": {"clone"}, "kovra-detect": {"detect"}, "kovra-build-and-push": {"build", "push"}, "kovra-deploy": {"patch", "rollout"},
}

func newTask(namespace, name string, steps []string) *tekton.Task {
	task := &tekton.Task{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	for _, step := range steps {
		task.Spec.Steps = append(task.Spec.Steps, tekton.Step{Name: step, Image: "registry.example.com/kovra/" + step + ":1", Command: []string{"/bin/" + step}})
	}
	return task
}

func buildPipeline() tekton.Pipeline {
	return tekton.Pipeline{
		ObjectMeta: metav1.ObjectMeta{Name: "kovra-build"},
		Spec: tekton.PipelineSpec{
			Params: params("repo-url", "revision", "branch", "app", "image", "cache", "dockerfile", "context", "build-args"),
			Workspaces: []tekton.PipelineWorkspaceDeclaration{
				{Name: "source"},
				{Name: "git", Optional: true},
				{Name: "registry", Optional: true},
				{Name: "build-secrets", Optional: true},
				{Name: "ca", Optional: true},
			},
			Tasks:   []tekton.PipelineTask{task("clone", "kovra-clone"), task("detect", "kovra-detect"), task("build-and-push", "kovra-build-and-push")},
			Results: results("build-and-push", "IMAGE_URL", "IMAGE_DIGEST", "COMMIT", "DOCKERFILE"),
		},
	}
}

func deployPipeline() tekton.Pipeline {
	return tekton.Pipeline{
		ObjectMeta: metav1.ObjectMeta{Name: "kovra-deploy"},
		Spec: tekton.PipelineSpec{
			Params:  params("namespace", "deployment", "container", "image", "timeout", "allow-managed"),
			Tasks:   []tekton.PipelineTask{task("deploy", "kovra-deploy")},
			Results: results("deploy", "PREVIOUS_IMAGE", "IMAGE"),
		},
	}
}

func params(names ...string) tekton.ParamSpecs {
	var specs tekton.ParamSpecs
	for _, name := range names {
		kind := tekton.ParamTypeString
		if name == "build-args" {
			kind = tekton.ParamTypeArray
		}
		specs = append(specs, tekton.ParamSpec{Name: name, Type: kind})
	}
	return specs
}

func task(name, ref string) tekton.PipelineTask {
	return tekton.PipelineTask{Name: name, TaskRef: &tekton.TaskRef{Name: ref, Kind: tekton.NamespacedTaskKind}}
}

func results(task string, names ...string) []tekton.PipelineResult {
	var all []tekton.PipelineResult
	for _, name := range names {
		all = append(all, tekton.PipelineResult{Name: name, Value: *tekton.NewStructuredValues(fmt.Sprintf("$(tasks.%s.results.%s)", task, name))})
	}
	return all
}

// Deployment describes one to [Server.AddDeployment].
type Deployment struct {
	Namespace, Name string
	Image           string            // of the first container
	Containers      []string          // none: one, called like the Deployment
	Labels          map[string]string // as of Helm or Flux
	Annotations     map[string]string // as of Argo CD
}

// AddDeployment adds a Deployment that has rolled out, and its namespace.
func (s *Server) AddDeployment(d Deployment) {
	s.AddNamespace(d.Namespace)
	if len(d.Containers) == 0 {
		d.Containers = []string{d.Name}
	}
	one := int32(1)
	o := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: d.Name, Labels: d.Labels, Annotations: d.Annotations},
		Spec:       appsv1.DeploymentSpec{Replicas: &one},
		Status:     appsv1.DeploymentStatus{Replicas: 1, ReadyReplicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1},
	}
	for i, name := range d.Containers {
		image := d.Image
		if i > 0 {
			image = "registry.example.com/sidecar:1"
		}
		o.Spec.Template.Spec.Containers = append(o.Spec.Template.Spec.Containers, corev1.Container{Name: name, Image: image})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(s.table("apps", "deployments"), o)
}

// DeployedImage is the image that a Deployment runs, of its first container or the one named; "": there is none.
func (s *Server) DeployedImage(namespace, name, container string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := get[*appsv1.Deployment](s, "apps", "deployments", namespace+"/"+name)
	if d == nil {
		return ""
	}
	if i := containerOf(d, container); i >= 0 {
		return d.Spec.Template.Spec.Containers[i].Image
	}
	return ""
}

func containerOf(d *appsv1.Deployment, name string) int {
	if name == "" && len(d.Spec.Template.Spec.Containers) > 0 {
		return 0
	}
	return slices.IndexFunc(d.Spec.Template.Spec.Containers, func(c corev1.Container) bool { return c.Name == name })
}

// Run is a PipelineRun for those who watch the simulator.
type Run struct {
	Namespace, Name, App string
	Pipeline             string
	Params               map[string]string // arrays as their elements, one a line
	Status               string            // Unknown, True, False; "": not looked at yet
	Reason               string
	At                   string // where it is: task/step, or what it waits for
	Held                 bool   // it waits for Release
}

// Runs are all PipelineRuns in the order in which they were made, deleted ones too.
func (s *Server) Runs() []Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Run, 0, len(s.runs))
	for _, r := range s.runs {
		all = append(all, s.seen(r))
	}
	return all
}
