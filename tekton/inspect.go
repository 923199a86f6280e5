package tekton

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline"
	tektonv1 "github.com/tektoncd/pipeline/pkg/client/clientset/versioned/typed/pipeline/v1"
	authv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	reviewv1 "k8s.io/client-go/kubernetes/typed/authorization/v1"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"kovra.dev/chatops/internal/kovra"
)

// Right is one that the bot needs in a namespace.
type Right struct {
	Group    string // of the API; "": the core
	Resource string // with its subresource: pods/log
	Verb     string
	Name     string // of the one object that it is about; "": any
}

// String is the right as `kubectl auth can-i` takes it: "create pipelineruns.tekton.dev".
func (r Right) String() string {
	resource, sub, _ := strings.Cut(r.Resource, "/")
	if r.Group != "" {
		resource += "." + r.Group
	}
	if sub != "" {
		resource += "/" + sub
	}
	if r.Name != "" {
		resource += "/" + r.Name
	}
	return r.Verb + " " + resource
}

// BuildRights are those that builds and deployments need in each namespace in which they run; manifests/tekton grants them.
func BuildRights() []Right {
	var all []Right
	add := func(group, resource string, verbs ...string) {
		for _, verb := range verbs {
			all = append(all, Right{Group: group, Resource: resource, Verb: verb})
		}
	}
	add(pipeline.GroupName, "pipelineruns", "create", "get", "list", "watch", "patch")
	add(pipeline.GroupName, "taskruns", "get", "list", "watch")
	add(pipeline.GroupName, "pipelines", "get")
	add(pipeline.GroupName, "tasks", "get")
	add("", "pods", "get", "list", "watch")
	add("", "pods/log", "get")
	add("", "events", "list")
	add("", "configmaps", "create")
	for _, verb := range []string{"get", "update"} {
		all = append(all, Right{Resource: "configmaps", Verb: verb, Name: ourAuthorities})
	}
	return all
}

// TargetRights are those that are needed in each namespace that is deployed to; manifests/tekton/target grants them.
func TargetRights() []Right { return []Right{{Group: "apps", Resource: "deployments", Verb: "get"}} }

// Inspector asks a cluster what an administrator wants to know of it. It changes nothing there; the reviews that it has
// made are answers, which the cluster keeps nowhere.
type Inspector struct {
	o      Options
	server string
	tekton tektonv1.TektonV1Interface
	core   corev1.CoreV1Interface
	review reviewv1.AuthorizationV1Interface
}

// NewInspector reads the kubeconfig; it calls nobody. Its errors are of kind Invalid.
func NewInspector(o Options) (*Inspector, error) {
	o = o.withDefaults()
	config, err := restConfig(o)
	if err != nil {
		return nil, err
	}
	i := &Inspector{o: o, server: config.Host}
	hc, err := rest.HTTPClientFor(config)
	if err == nil {
		i.tekton, err = tektonv1.NewForConfigAndClient(config, hc)
	}
	if err == nil {
		i.core, err = corev1.NewForConfigAndClient(config, hc)
	}
	if err == nil {
		i.review, err = reviewv1.NewForConfigAndClient(config, hc)
	}
	if err != nil {
		return nil, &kovra.Error{Kind: kovra.Invalid, Public: "The access to the cluster cannot be used.", Err: err}
	}
	return i, nil
}

// Server is the address of the API.
func (i *Inspector) Server() string { return i.server }

// Missing returns those of the rights that we have not in a namespace, in their order. The error is of kind Denied when the cluster
// does not accept who we are, and Invalid when what answers is no Kubernetes API.
func (i *Inspector) Missing(ctx context.Context, ns string, rights []Right) ([]Right, error) {
	var missing []Right
	for _, r := range rights {
		may, err := i.may(ctx, ns, r)
		if err != nil {
			return nil, err
		}
		if !may {
			missing = append(missing, r)
		}
	}
	return missing, nil
}

func (i *Inspector) may(ctx context.Context, ns string, r Right) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, i.o.Timeout)
	defer cancel()
	resource, sub, _ := strings.Cut(r.Resource, "/")
	review := &authv1.SelfSubjectAccessReview{Spec: authv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authv1.ResourceAttributes{
		Namespace: ns, Verb: r.Verb, Group: r.Group, Resource: resource, Subresource: sub, Name: r.Name,
	}}}
	answer, err := i.review.SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	switch {
	case apierrors.IsForbidden(err): // whoever is known may ask what they may
		return false, &kovra.Error{Kind: kovra.Denied, Public: "The cluster does not know who the bot is.", Err: err}
	case apierrors.IsNotFound(err):
		return false, &kovra.Error{Kind: kovra.Invalid, Public: "The address of the cluster is not that of a Kubernetes API.", Err: err}
	case err != nil:
		return false, call{verb: "ask about", resource: "rights", noun: "review", ns: ns}.judge(err)
	}
	return answer.Status.Allowed, nil
}

// Namespace reports whether there is a namespace; unsure when we may not see namespaces, which we need not.
func (i *Inspector) Namespace(ctx context.Context, name string) (there, sure bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, i.o.Timeout)
	defer cancel()
	_, err = i.core.Namespaces().Get(ctx, name, metav1.GetOptions{})
	switch {
	case err == nil:
		return true, true, nil
	case apierrors.IsNotFound(err):
		return false, true, nil
	case apierrors.IsForbidden(err):
		return false, false, nil
	}
	return false, false, call{verb: "get", resource: "namespaces", noun: "namespace", name: name}.judge(err)
}

// Serves reports whether the cluster serves Tekton's tekton.dev/v1 at all.
func (i *Inspector) Serves(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, i.o.Timeout)
	defer cancel()
	err := i.tekton.RESTClient().Get().AbsPath("/apis/tekton.dev/v1").Do(ctx).Error()
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, call{verb: "discover", resource: "tekton.dev/v1", noun: "API"}.judge(err)
	}
	return true, nil
}

// homes are the namespaces in which Tekton says its version: its own, and those of OpenShift's and of the operator's.
var homes = []string{"tekton-pipelines", "openshift-pipelines", "tekton-operator"}

// Version is Tekton's own, v1.15.0; "" when it does not say. It stands in a ConfigMap that Tekton lets everybody read who is known
// to the cluster (config/200-role.yaml of tektoncd/pipeline).
func (i *Inspector) Version(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, i.o.Timeout)
	defer cancel()
	for _, ns := range homes {
		info, err := i.core.ConfigMaps(ns).Get(ctx, "pipelines-info", metav1.GetOptions{})
		if err == nil && info.Data["version"] != "" {
			return info.Data["version"]
		}
	}
	return ""
}

// Lacking returns what is not installed in a namespace, as "Pipeline kovra-build": the two Pipelines, and the Tasks that they name.
func (i *Inspector) Lacking(ctx context.Context, ns string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, i.o.Timeout)
	defer cancel()
	var lacking, tasks []string
	for _, name := range []string{i.o.BuildPipeline, i.o.DeployPipeline} {
		p, err := i.tekton.Pipelines(ns).Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			lacking = append(lacking, "Pipeline "+name)
		case err != nil:
			return nil, call{verb: "get", resource: "pipelines", noun: "Pipeline", ns: ns, name: name}.judge(err)
		default:
			for _, t := range p.Spec.Tasks {
				if t.TaskRef != nil && t.TaskRef.Name != "" && t.TaskRef.Resolver == "" {
					tasks = append(tasks, t.TaskRef.Name)
				}
			}
		}
	}
	slices.Sort(tasks)
	for _, name := range slices.Compact(tasks) {
		_, err := i.tekton.Tasks(ns).Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			lacking = append(lacking, "Task "+name)
		case err != nil:
			return nil, call{verb: "get", resource: "tasks", noun: "Task", ns: ns, name: name}.judge(err)
		}
	}
	return lacking, nil
}

// The oldest Tekton that runs our manifests.
const (
	leastMajor = 1
	leastMinor = 12
)

// LeastVersion is the oldest Tekton that runs our manifests, v1.12.
func LeastVersion() string { return fmt.Sprintf("v%d.%d", leastMajor, leastMinor) }

// OldVersion reports whether a version is older than [LeastVersion]. What is no number, as that of a developer's build, is not.
func OldVersion(version string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(version, "v%d.%d", &major, &minor); err != nil {
		return false
	}
	return major < leastMajor || major == leastMajor && minor < leastMinor
}
