package manifests

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pipelines "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	rbac "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	documents "k8s.io/apimachinery/pkg/util/yaml"
	kubernetes "k8s.io/client-go/kubernetes/scheme"
	strict "sigs.k8s.io/yaml"
)

// serviceMonitor is what we use of the type of Prometheus' operator.
type serviceMonitor struct {
	APIVersion, Kind string
	Metadata         struct{ Name, Namespace string }
	Spec             struct {
		Selector  struct{ MatchLabels map[string]string }
		Endpoints []struct{ Port, Path, Interval string }
	}
}

// decode reads every document of a text into its type of Kubernetes or Tekton. A field that the type has not,
// or that is there twice, fails the test.
func decode(t *testing.T, where, text string) []any {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(kubernetes.AddToScheme(scheme), pipelines.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	var all []any
	for reader := documents.NewYAMLReader(bufio.NewReader(strings.NewReader(text))); ; {
		one, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		if bytes.Contains(one, []byte("kind: ServiceMonitor")) {
			var m serviceMonitor
			if err := strict.UnmarshalStrict(one, &m); err != nil {
				t.Errorf("%s: %v", where, err)
			}
			all = append(all, m)
			continue
		}
		object, kind, err := decoder.Decode(one, nil, nil)
		if err != nil {
			t.Errorf("%s: %v", where, err)
			continue
		}
		if kind.Kind == "" {
			t.Errorf("%s: an object without a kind", where)
		}
		all = append(all, object)
	}
}

// only is the one object of type T among those of a file.
func only[T any](t *testing.T, path ...string) T {
	t.Helper()
	name := filepath.Join(path...)
	var found []T
	for _, object := range decode(t, name, read(t, name)) {
		if one, ok := object.(T); ok {
			found = append(found, one)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s has %d of %T", name, len(found), *new(T))
	}
	return found[0]
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// settingsFile holds no object but the settings of the bot.
const settingsFile = "kovra/kovra.yaml"

func TestObjectsAreOfRealTypes(t *testing.T) {
	count := 0
	for _, dir := range []string{"kovra", "tekton"} {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || path == settingsFile || entry.Name() == "kustomization.yaml" || entry.Name() == "images.yaml" {
				return err
			}
			objects := decode(t, path, read(t, path))
			if len(objects) == 0 {
				t.Errorf("%s holds no object", path)
			}
			count += len(objects)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if count < 20 {
		t.Errorf("only %d objects were seen", count)
	}
}

// TestThePodIsRestricted judges by the Pod Security Standard "restricted", to which its namespace is held, and by what we want beyond it.
func TestThePodIsRestricted(t *testing.T) {
	if got := only[*core.Namespace](t, "kovra/namespace.yaml").Labels["pod-security.kubernetes.io/enforce"]; got != "restricted" {
		t.Errorf("the namespace enforces %q", got)
	}
	d := only[*apps.Deployment](t, "kovra/deployment.yaml")
	pod := d.Spec.Template.Spec
	if pod.HostNetwork || pod.HostPID || pod.HostIPC || len(pod.InitContainers)+len(pod.EphemeralContainers) > 0 || len(pod.Containers) != 1 {
		t.Fatalf("the pod shares the host's namespaces, or has other containers: %+v", pod)
	}
	c := pod.Containers[0]
	for _, port := range c.Ports {
		if port.HostPort != 0 {
			t.Errorf("port %s is one of the host", port.Name)
		}
	}
	for _, v := range pod.Volumes {
		if v.PersistentVolumeClaim == nil && v.EmptyDir == nil && v.ConfigMap == nil && v.Secret == nil {
			t.Errorf("volume %s is of a kind that restricted pods may not have", v.Name)
		}
	}
	group := int64(65532)
	wantPod := &core.PodSecurityContext{
		RunAsNonRoot: new(true), RunAsUser: &group, RunAsGroup: &group, FSGroup: &group,
		FSGroupChangePolicy: new(core.FSGroupChangeOnRootMismatch), SeccompProfile: &core.SeccompProfile{Type: core.SeccompProfileTypeRuntimeDefault},
	}
	if diff := cmp.Diff(wantPod, pod.SecurityContext); diff != "" {
		t.Errorf("the pod's securityContext (-want +got):\n%s", diff)
	}
	want := &core.SecurityContext{
		AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), Capabilities: &core.Capabilities{Drop: []core.Capability{"ALL"}},
	}
	if diff := cmp.Diff(want, c.SecurityContext); diff != "" {
		t.Errorf("the container's securityContext (-want +got):\n%s", diff)
	}
	if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
		t.Errorf("the container lacks requests or a limit of memory: %+v", c.Resources)
	}
}

// TestOneProcessPerDatabase: never two pods, and time for the one to end.
func TestOneProcessPerDatabase(t *testing.T) {
	d := only[*apps.Deployment](t, "kovra/deployment.yaml")
	if *d.Spec.Replicas != 1 || d.Spec.Strategy.Type != apps.RecreateDeploymentStrategyType {
		t.Errorf("%d replicas, strategy %s", *d.Spec.Replicas, d.Spec.Strategy.Type)
	}
	// Requests get 10 s and loops 5 s (internal/app, internal/reconcile).
	if grace := *d.Spec.Template.Spec.TerminationGracePeriodSeconds; grace < 20 {
		t.Errorf("%d s to end", grace)
	}
	if modes := only[*core.PersistentVolumeClaim](t, "kovra/volume.yaml").Spec.AccessModes; !slices.Equal(modes, []core.PersistentVolumeAccessMode{core.ReadWriteOnce}) {
		t.Errorf("the volume is %v", modes)
	}
}

func TestNamesAgree(t *testing.T) {
	d := only[*apps.Deployment](t, "kovra/deployment.yaml")
	pod, labels := d.Spec.Template.Spec, d.Spec.Template.Labels
	c := pod.Containers[0]
	service := only[*core.Service](t, "kovra/service.yaml")
	policy := only[*networking.NetworkPolicy](t, "kovra/network.yaml")
	monitor := only[serviceMonitor](t, "kovra/servicemonitor/servicemonitor.yaml")
	for what, selected := range map[string]map[string]string{
		"the Deployment selects": d.Spec.Selector.MatchLabels, "the Service selects": service.Spec.Selector,
		"the NetworkPolicy selects": policy.Spec.PodSelector.MatchLabels, "the ServiceMonitor selects": monitor.Spec.Selector.MatchLabels,
		"the Service has": service.Labels,
	} {
		if diff := cmp.Diff(labels, selected); diff != "" {
			t.Errorf("%s other labels than the pod has:\n%s", what, diff)
		}
	}

	account := only[*core.ServiceAccount](t, "kovra/account.yaml").Name
	if pod.ServiceAccountName != account || !*pod.AutomountServiceAccountToken {
		t.Errorf("the pod runs as %s, the account is %s", pod.ServiceAccountName, account)
	}
	namespace := only[*core.Namespace](t, "kovra/namespace.yaml").Name
	for _, file := range []string{"tekton/base/access.yaml", "tekton/target/access.yaml"} {
		bound := slices.ContainsFunc(decode(t, file, read(t, file)), func(object any) bool {
			b, ok := object.(*rbac.RoleBinding)
			return ok && b.Subjects[0] == rbac.Subject{Kind: "ServiceAccount", Name: account, Namespace: namespace}
		})
		if !bound {
			t.Errorf("%s does not bind %s in %s", file, account, namespace)
		}
	}

	volumes := map[string]core.VolumeSource{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = v.VolumeSource
	}
	mounts := map[string]string{}
	for _, m := range c.VolumeMounts {
		if m.SubPath != "" {
			t.Errorf("%s is mounted in part, so changes do not come into the pod", m.Name)
		}
		mounts[m.Name] = m.MountPath
	}
	if claim := only[*core.PersistentVolumeClaim](t, "kovra/volume.yaml").Name; volumes["data"].PersistentVolumeClaim.ClaimName != claim {
		t.Errorf("the claim is called %s", claim)
	}
	if *volumes["secrets"].Secret.DefaultMode != 0o440 {
		t.Errorf("mode of the secrets: %o", *volumes["secrets"].Secret.DefaultMode)
	}
	if want := []string{"serve", "--config", mounts["settings"] + "/kovra.yaml"}; !slices.Equal(c.Args, want) {
		t.Errorf("arguments %q, want %q", c.Args, want)
	}
	settings := read(t, settingsFile)
	for _, want := range []string{"KOVRA_DATABASE_URL: sqlite:" + mounts["data"] + "/", "KOVRA_CA_FILE: " + mounts["settings"] + "/ca.crt"} {
		if !strings.Contains(settings, want) {
			t.Errorf("%s has no %q", settingsFile, want)
		}
	}
}

// TestPortsAndPathsAgree follows a request from outside to the program, whose defaults README.md lists.
func TestPortsAndPathsAgree(t *testing.T) {
	d := only[*apps.Deployment](t, "kovra/deployment.yaml")
	c := d.Spec.Template.Spec.Containers[0]
	port := c.Ports[0]
	service := only[*core.Service](t, "kovra/service.yaml").Spec.Ports[0]
	monitor := only[serviceMonitor](t, "kovra/servicemonitor/servicemonitor.yaml").Spec.Endpoints[0]
	readme, settings := read(t, "../README.md"), read(t, settingsFile)
	number := strconv.Itoa(int(port.ContainerPort))
	listens := regexp.MustCompile("`KOVRA_LISTEN` \\|[^|]*\\| :(\\d+) ").FindStringSubmatch(readme)
	if listens == nil || listens[1] != number || !strings.Contains(settings, "\nKOVRA_LISTEN: :"+number+"\n") {
		t.Errorf("the container's port is %s, the program listens on %v", number, listens)
	}
	for what, name := range map[string]string{
		"Service": service.TargetPort.StrVal, "ServiceMonitor": monitor.Port,
		"startup": c.StartupProbe.HTTPGet.Port.StrVal, "liveness": c.LivenessProbe.HTTPGet.Port.StrVal, "readiness": c.ReadinessProbe.HTTPGet.Port.StrVal,
	} {
		if name != port.Name {
			t.Errorf("%s: port %q, the container's is %q", what, name, port.Name)
		}
	}
	annotations := d.Spec.Template.Annotations
	for path, want := range map[string]string{
		c.StartupProbe.HTTPGet.Path: "/healthz", c.LivenessProbe.HTTPGet.Path: "/healthz", c.ReadinessProbe.HTTPGet.Path: "/readyz",
		annotations["prometheus.io/path"]: "/metrics", monitor.Path: "/metrics",
	} {
		if path != want || !strings.Contains(readme, "`GET "+want+"`") {
			t.Errorf("path %s, want %s, which README.md has", path, want)
		}
	}
	if annotations["prometheus.io/port"] != number {
		t.Errorf("Prometheus asks port %s", annotations["prometheus.io/port"])
	}
	ingress := only[*networking.Ingress](t, "kovra/ingress/ingress.yaml")
	for _, path := range ingress.Spec.Rules[0].HTTP.Paths {
		if s := path.Backend.Service; s.Name != "kovra" || s.Port.Name != service.Name {
			t.Errorf("%s leads to %s, port %s", path.Path, s.Name, s.Port.Name)
		}
		for _, inner := range []string{"/metrics", "/readyz"} {
			if strings.HasPrefix(inner, path.Path) {
				t.Errorf("%s can be read from outside", inner)
			}
		}
	}
}

// TestTheNetworkIsNarrow lists all that may pass.
func TestTheNetworkIsNarrow(t *testing.T) {
	spec := only[*networking.NetworkPolicy](t, "kovra/network.yaml").Spec
	if !slices.Equal(spec.PolicyTypes, []networking.PolicyType{networking.PolicyTypeIngress, networking.PolicyTypeEgress}) {
		t.Errorf("policy types %v", spec.PolicyTypes)
	}
	list := func(ports []networking.NetworkPolicyPort) (all []string) {
		for _, p := range ports {
			all = append(all, p.Port.String()+"/"+string(*p.Protocol))
		}
		return all
	}
	var in, out []string
	for _, rule := range spec.Ingress {
		in = append(in, list(rule.Ports)...)
	}
	for _, rule := range spec.Egress {
		out = append(out, list(rule.Ports)...)
	}
	if want := []string{"http/TCP"}; !slices.Equal(in, want) {
		t.Errorf("in comes %v, want %v", in, want)
	}
	if want := []string{"53/UDP", "53/TCP", "443/TCP", "6443/TCP"}; !slices.Equal(out, want) {
		t.Errorf("out goes %v, want %v", out, want)
	}
}

// TestSettingsExist: each setting of the file, also those that are commented out, is one of README.md's table, and what is read from
// files is where the Secret is mounted. The keys that are needed are those that docs/operations.md makes.
func TestSettingsExist(t *testing.T) {
	table := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(KOVRA_\\w+)` \\|").FindAllStringSubmatch(read(t, "../README.md"), -1) {
		table[row[1]] = true
	}
	var needed []string
	lines := regexp.MustCompile(`(?m)^(# )?(KOVRA_\w+): (\S+)`).FindAllStringSubmatch(read(t, settingsFile), -1)
	for _, line := range lines {
		name, isFile := strings.CutSuffix(line[2], "_FILE")
		if !table[line[2]] && (!isFile || !table[name]) {
			t.Errorf("there is no setting %s", line[2])
		}
		if !isFile || table[line[2]] {
			continue
		}
		key, ok := strings.CutPrefix(line[3], "/run/secrets/kovra/")
		if want := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, "KOVRA_")), "_", "-"); !ok || key != want {
			t.Errorf("%s is read from %s, want the key %s", line[2], line[3], want)
		}
		if line[1] == "" {
			needed = append(needed, key)
		}
	}
	if len(lines) < 12 {
		t.Errorf("only %d settings were seen", len(lines))
	}
	command := regexp.MustCompile(`(?s)create secret generic kovra .*?\n\n`).FindString(read(t, "../docs/operations.md"))
	var made []string
	for _, key := range regexp.MustCompile(`--from-literal=([a-z-]+)=`).FindAllStringSubmatch(command, -1) {
		made = append(made, key[1])
	}
	slices.Sort(needed)
	slices.Sort(made)
	if diff := cmp.Diff(needed, made); diff != "" {
		t.Errorf("keys of the Secret (-needed +made by docs/operations.md):\n%s", diff)
	}
}
