package manifests

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	pipelines "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
)

// render is what `kubectl apply -k` would apply of a copy of our manifests, after edits of their kustomization.yaml.
func render(t *testing.T, edit func(string) string) []any {
	t.Helper()
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Skip("no kubectl; on the real cluster they are applied (TestClusterInstall)")
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "kustomization.yaml")
	if err := os.WriteFile(path, []byte(edit(read(t, path))), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "kubectl", "kustomize", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return decode(t, "manifests", string(out))
}

func asItIs(text string) string { return text }

// among are the objects of type T.
func among[T any](objects []any) (found []T) {
	for _, object := range objects {
		if one, ok := object.(T); ok {
			found = append(found, one)
		}
	}
	return found
}

// TestKustomizeKeepsItTogether: the ConfigMap's name is made of its contents, so that a change starts the pod anew, and the pod names it so.
func TestKustomizeKeepsItTogether(t *testing.T) {
	objects := render(t, asItIs)
	d, maps := among[*apps.Deployment](objects), among[*core.ConfigMap](objects)
	if len(d) != 1 || len(maps) != 1 {
		t.Fatalf("%d Deployments, %d ConfigMaps", len(d), len(maps))
	}
	if maps[0].Data["kovra.yaml"] != read(t, settingsFile) {
		t.Errorf("the ConfigMap holds:\n%s", maps[0].Data["kovra.yaml"])
	}
	named := ""
	for _, v := range d[0].Spec.Template.Spec.Volumes {
		if v.ConfigMap != nil {
			named = v.ConfigMap.Name
		}
	}
	if named != maps[0].Name || !regexp.MustCompile(`^kovra-\w{10}$`).MatchString(named) {
		t.Errorf("the pod mounts %q, the ConfigMap is %q", named, maps[0].Name)
	}
	for what, namespace := range map[string]string{"Deployment": d[0].Namespace, "ConfigMap": maps[0].Namespace} {
		if namespace != "kovra" {
			t.Errorf("the %s is in %q", what, namespace)
		}
	}
	if tasks := among[*pipelines.Task](objects); len(tasks) < 4 {
		t.Errorf("%d Tasks are applied with it", len(tasks))
	}
}

// TestAllImagesInOnePlace: with every line of `images:` in use, nothing is pulled from elsewhere.
func TestAllImagesInOnePlace(t *testing.T) {
	objects := render(t, func(text string) string {
		return strings.ReplaceAll(text, "# - {name: docker.io/", "- {name: docker.io/")
	})
	var images []string
	for _, d := range among[*apps.Deployment](objects) {
		images = append(images, d.Spec.Template.Spec.Containers[0].Image)
	}
	for _, one := range among[*pipelines.Task](objects) {
		for _, step := range one.Spec.Steps {
			images = append(images, step.Image)
		}
	}
	if len(images) < 5 {
		t.Errorf("only %v were seen", images)
	}
	for _, image := range images {
		if !strings.HasPrefix(image, "registry.example.com/") {
			t.Errorf("%s is pulled from elsewhere", image)
		}
	}
}

// TestComponents: what is commented out may be taken in.
func TestComponents(t *testing.T) {
	objects := render(t, func(text string) string {
		for _, line := range []string{"components:", "  - kovra/ingress", "  - kovra/servicemonitor"} {
			if !strings.Contains(text, "\n# "+line) {
				t.Fatalf("no line %q that is commented out in:\n%s", line, text)
			}
			text = strings.Replace(text, "\n# "+line, "\n"+line, 1)
		}
		return text
	})
	ingress, monitors := among[*networking.Ingress](objects), among[serviceMonitor](objects)
	if len(ingress) != 1 || ingress[0].Namespace != "kovra" || len(monitors) != 1 || monitors[0].Metadata.Namespace != "kovra" {
		t.Errorf("Ingress %v, ServiceMonitor %v", ingress, monitors)
	}
}

// TestTheImageFitsThePod: user, port, folders and the release of Go.
func TestTheImageFitsThePod(t *testing.T) {
	dockerfile := read(t, "../Dockerfile")
	stages := regexp.MustCompile(`(?m)^FROM \S+ AS (\S+)$`).FindAllStringSubmatch(dockerfile, -1)
	if len(stages) < 2 || stages[len(stages)-1][1] != "kovra" || !slices.ContainsFunc(stages, func(s []string) bool { return s[1] == "kovra-demo" }) {
		t.Errorf("stages %v: kovra has to be the last, kovra-demo one of them", stages)
	}
	pod := only[*apps.Deployment](t, "kovra/deployment.yaml").Spec.Template.Spec
	user, port := strconv.Itoa(int(*pod.SecurityContext.RunAsUser)), strconv.Itoa(int(pod.Containers[0].Ports[0].ContainerPort))
	_, last, _ := strings.Cut(dockerfile, "AS kovra\n")
	for _, want := range []string{
		"\nUSER " + user + ":" + user + "\n", "\nEXPOSE " + port + "\n", "\nENV PATH=/usr/local/bin\n", "\nENV KOVRA_DATABASE_URL=sqlite:/data/kovra.db\n", "\nCMD [\"serve\"]",
	} {
		if !strings.Contains(last, want) {
			t.Errorf("the last stage has no %q:\n%s", want, last)
		}
	}
	for _, m := range pod.Containers[0].VolumeMounts {
		if !m.ReadOnly && !strings.Contains(last, " "+m.MountPath+"\n") {
			t.Errorf("the image has no folder %s, which the pod writes into", m.MountPath)
		}
	}
	image := regexp.MustCompile(`GO_IMAGE=\S+golang:(1\.\d+)\.(\d+)-`).FindStringSubmatch(dockerfile)
	wants := regexp.MustCompile(`(?m)^go (1\.\d+)\.(\d+)$`).FindStringSubmatch(read(t, "../go.mod"))
	if image == nil || wants == nil {
		t.Fatalf("no version of Go: %v, %v", image, wants)
	}
	has, _ := strconv.Atoi(image[2])
	least, _ := strconv.Atoi(wants[2])
	if image[1] != wants[1] || has < least {
		t.Errorf("the image has Go %s.%d, go.mod wants %s.%d", image[1], has, wants[1], least)
	}
}
