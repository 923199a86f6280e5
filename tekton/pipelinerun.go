package tekton

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/pod"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"kovra.dev/chatops/internal/kovra"
)

// Labels of every PipelineRun that we make. Tekton hands them on to TaskRuns and pods.
const (
	LabelManagedBy  = "app.kubernetes.io/managed-by"
	ManagedBy       = "kovra" // the value of LabelManagedBy
	LabelApp        = "kovra.dev/app"
	LabelBuild      = "kovra.dev/build"
	LabelDeployment = "kovra.dev/deployment"
)

// Annotations hold what people wrote, for people who look at the cluster.
const (
	AnnotationBranch = "kovra.dev/branch"
	AnnotationCommit = "kovra.dev/commit"
	AnnotationTitle  = "kovra.dev/title"
	AnnotationImage  = "kovra.dev/image"
)

// cacheSuffix makes the image repository of the layer cache out of an image's. No app's name holds _, so it is no app's image.
const cacheSuffix = "_cache"

// autoCleanup has Tekton (1.9 and newer) delete the volume that a build works in, once it has ended.
const autoCleanup = "tekton.dev/auto-cleanup-pvc"

var commitID = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// BuildRun is the PipelineRun of a build. It is a pure function: the same build gives the same object. Its errors are of kind Invalid.
func BuildRun(o Options, b kovra.Build) (*v1.PipelineRun, error) {
	o = o.withDefaults()
	if err := checkBuild(o, b); err != nil {
		return nil, err
	}
	spec := b.Spec
	run := newRun(b.Name, cmp.Or(spec.Namespace, o.Namespace), b.App, LabelBuild, b.ID)
	run.Annotations = map[string]string{
		autoCleanup:      "true",
		AnnotationBranch: printable(spec.Branch), AnnotationCommit: spec.Commit,
		AnnotationTitle: printable(b.Title), AnnotationImage: spec.Image,
	}
	run.Spec = v1.PipelineRunSpec{
		PipelineRef: &v1.PipelineRef{Name: o.BuildPipeline},
		Params: v1.Params{
			text("repo-url", spec.CloneURL),
			text("revision", spec.Commit),
			text("branch", unexpanded(spec.Branch)),
			text("app", b.App),
			text("image", spec.Image),
			text("cache", kovra.Repository(spec.Image)+cacheSuffix),
			text("dockerfile", spec.Dockerfile),
			text("context", cmp.Or(spec.Context, ".")),
			{Name: "build-args", Value: v1.ParamValue{Type: v1.ParamTypeArray, ArrayVal: buildArgs(spec.Args)}},
		},
		Timeouts: timeout(o.BuildTimeout),
		TaskRunTemplate: v1.PipelineTaskRunTemplate{
			ServiceAccountName: cmp.Or(spec.ServiceAccount, o.BuildAccount),
			PodTemplate:        buildPod(o),
		},
		Workspaces: buildWorkspaces(o, spec.Secrets),
	}
	return run, nil
}

// DeployRun is the PipelineRun of a deployment; see [BuildRun].
func DeployRun(o Options, d kovra.Deployment) (*v1.PipelineRun, error) {
	o = o.withDefaults()
	if err := checkNames(d.Name, d.App, d.ID); err != nil {
		return nil, err
	}
	// The way back may lead to an image that somebody else deployed, by a tag.
	if d.Kind != kovra.RollBack && !strings.Contains(d.Image, "@sha256:") || d.Image == "" || strings.ContainsAny(d.Image, "$ ") {
		return nil, kovra.Errorf(kovra.Invalid, "An image is deployed by its digest; %q has none.", d.Image)
	}
	if err := checkTarget(d.Target); err != nil {
		return nil, err
	}
	run := newRun(d.Name, o.Namespace, d.App, LabelDeployment, d.ID)
	run.Annotations = map[string]string{AnnotationImage: d.Image}
	run.Spec = v1.PipelineRunSpec{
		PipelineRef: &v1.PipelineRef{Name: o.DeployPipeline},
		Params: v1.Params{
			text("namespace", d.Target.Namespace),
			text("deployment", d.Target.Deployment),
			text("container", d.Target.Container),
			text("image", d.Image),
			text("timeout", strconv.Itoa(int(o.RolloutTimeout/time.Second))),
			text("allow-managed", strconv.FormatBool(d.AllowManaged)),
		},
		Timeouts:        timeout(o.RolloutTimeout + deployMargin),
		TaskRunTemplate: v1.PipelineTaskRunTemplate{ServiceAccountName: o.DeployAccount},
	}
	return run, nil
}

func newRun(name, namespace, app, label string, id int64) *v1.PipelineRun {
	return &v1.PipelineRun{
		TypeMeta: metav1.TypeMeta{APIVersion: v1.SchemeGroupVersion.String(), Kind: "PipelineRun"},
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: namespace,
			Labels: map[string]string{LabelManagedBy: ManagedBy, LabelApp: app, label: strconv.FormatInt(id, 10)},
		},
	}
}

func checkBuild(o Options, b kovra.Build) error {
	if err := checkNames(b.Name, b.App, b.ID); err != nil {
		return err
	}
	if !commitID.MatchString(b.Spec.Commit) {
		return kovra.Errorf(kovra.Invalid, "%q is no full id of a commit.", b.Spec.Commit)
	}
	if err := checkCloneURL(b.Spec.CloneURL); err != nil {
		return err
	}
	if b.Spec.Image == "" || strings.ContainsAny(b.Spec.Image, " $") {
		return kovra.Errorf(kovra.Invalid, "%q is no name of an image.", b.Spec.Image)
	}
	for _, path := range []string{b.Spec.Dockerfile, b.Spec.Context} {
		if err := kovra.CheckRepoPath("path", path); err != nil {
			return err
		}
	}
	for _, name := range b.Spec.Secrets {
		// Whoever writes the Dockerfile reads the build secrets: the bot's own credentials must not be among them.
		if name == o.GitSecret || name == o.RegistrySecret {
			return kovra.Errorf(kovra.Invalid, "The Secret %s holds the bot's own credentials and cannot be a build secret.", name)
		}
	}
	return kovra.CheckBuildArgs(b.Spec.Args)
}

func checkNames(name, app string, id int64) error {
	if len(validation.IsDNS1123Label(name)) > 0 || len(validation.IsValidLabelValue(app)) > 0 || app == "" || id <= 0 {
		return kovra.Errorf(kovra.Invalid, "%q of app %q (%d) cannot name a PipelineRun.", name, app, id)
	}
	return nil
}

func checkTarget(t kovra.DeployTarget) error {
	if len(validation.IsDNS1123Label(t.Namespace)) > 0 || len(validation.IsDNS1123Subdomain(t.Deployment)) > 0 ||
		t.Container != "" && len(validation.IsDNS1123Label(t.Container)) > 0 {
		return kovra.Errorf(kovra.Invalid, "The deploy target %s/%s/%s cannot be one.", t.Namespace, t.Deployment, t.Container)
	}
	return nil
}

// checkCloneURL refuses credentials in the address, which everybody who may see the PipelineRun would read.
func checkCloneURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || !slices.Contains([]string{"https", "http"}, u.Scheme) || strings.Contains(s, "$(") {
		return kovra.Errorf(kovra.Invalid, "The clone address of the repository must be an http or https URL.")
	}
	if u.User != nil {
		return kovra.Errorf(kovra.Invalid, "The clone address of the repository must not hold credentials.")
	}
	return nil
}

// escapes are those of printf's %b, which the Task undoes. Tekton and then the kubelet look for $(…) in arguments, and doubling the $
// escapes for the second only, so no $ is passed on as it is.
var escapes = strings.NewReplacer(`\`, `\\`, `$`, `\0044`)

// buildArgs makes the elements of the argument list.
func buildArgs(args []kovra.BuildArg) []string {
	list := make([]string, 0, len(args))
	for _, a := range args {
		list = append(list, escapes.Replace(a.Key+"="+a.Value))
	}
	return list
}

// unexpanded makes sure that Tekton finds no variable in a text that is there to be read only.
func unexpanded(s string) string { return strings.ReplaceAll(s, "$(", "$ (") }

// printable is a text that an annotation may hold.
func printable(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func text(name, value string) v1.Param {
	return v1.Param{Name: name, Value: v1.ParamValue{Type: v1.ParamTypeString, StringVal: value}}
}

func timeout(d time.Duration) *v1.TimeoutFields {
	return &v1.TimeoutFields{Pipeline: &metav1.Duration{Duration: d}}
}

// buildPod keeps the Kubernetes API out of the reach of what is built.
func buildPod(o Options) *pod.PodTemplate {
	no := false
	template := &pod.PodTemplate{AutomountServiceAccountToken: &no, EnableServiceLinks: &no, Env: o.Proxy.env()}
	if o.UserNamespaces {
		template.HostUsers = &no
	}
	if o.FSGroup != 0 {
		template.SecurityContext = &corev1.PodSecurityContext{FSGroup: &o.FSGroup}
	}
	return template
}

// env is the proxy in both spellings: programs disagree which they read.
func (p Proxy) env() []corev1.EnvVar {
	var list []corev1.EnvVar
	for _, v := range []corev1.EnvVar{{Name: "HTTP_PROXY", Value: p.HTTP}, {Name: "HTTPS_PROXY", Value: p.HTTPS}, {Name: "NO_PROXY", Value: p.No}} {
		if v.Value != "" {
			list = append(list, v, corev1.EnvVar{Name: strings.ToLower(v.Name), Value: v.Value})
		}
	}
	return list
}

func buildWorkspaces(o Options, secrets []string) []v1.WorkspaceBinding {
	may := true // repositories that anybody may read need no credentials
	list := []v1.WorkspaceBinding{{Name: "source", VolumeClaimTemplate: claim(o)}}
	if !o.NoGitSecret {
		list = append(list, v1.WorkspaceBinding{Name: "git", Secret: &corev1.SecretVolumeSource{SecretName: o.GitSecret, Optional: &may}})
	}
	if !o.NoRegistrySecret {
		list = append(list, v1.WorkspaceBinding{Name: "registry", Secret: &corev1.SecretVolumeSource{SecretName: o.RegistrySecret}})
	}
	if name := o.caConfigMap(); name != "" {
		list = append(list, v1.WorkspaceBinding{Name: "ca", ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: name},
		}})
	}
	if len(secrets) > 0 {
		sources := make([]corev1.VolumeProjection, 0, len(secrets))
		for _, name := range secrets {
			sources = append(sources, corev1.VolumeProjection{Secret: &corev1.SecretProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: name},
			}})
		}
		list = append(list, v1.WorkspaceBinding{Name: "build-secrets", Projected: &corev1.ProjectedVolumeSource{Sources: sources}})
	}
	return list
}

func claim(o Options) *corev1.PersistentVolumeClaim {
	c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{LabelManagedBy: ManagedBy}}, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources: corev1.VolumeResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(o.StorageSize)},
		},
	}}
	if o.StorageClass != "" {
		c.Spec.StorageClassName = &o.StorageClass
	}
	return c
}
