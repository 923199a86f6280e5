package clustertest

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Place is a namespace of the cluster with our manifests in it, and the Secrets that
// they name: credentials for the git server and for the registry of apps.
type Place struct {
	Namespace string

	bed *Bed
}

// Install renders manifests/tekton with a builder and the cluster's own images into a
// namespace of its own, applies it strictly, and removes it after the test.
func (b *Bed) Install(t *testing.T, builder string) *Place {
	t.Helper()
	p := &Place{Namespace: "builds-" + strings.ToLower(rand.Text()[:8]), bed: b}
	b.Kubectl(t, p.Render(t, builder), "apply", "--validate=strict", "-f", "-")
	t.Cleanup(func() { b.Kubectl(t, "", "delete", "namespace", p.Namespace, "--wait=false") })
	p.AddCredentials(t)
	return p
}

// Place is a namespace that has our manifests by another way.
func (b *Bed) Place(namespace string) *Place { return &Place{Namespace: namespace, bed: b} }

// AddCredentials makes what builds need to reach the git server and the registry of apps.
func (p *Place) AddCredentials(t *testing.T) {
	t.Helper()
	b := p.bed
	p.kubectl(t, "create", "secret", "generic", "kovra-git", "--from-literal=username="+b.GitUser, "--from-literal=password="+b.GitPassword)
	p.kubectl(t, "create", "secret", "docker-registry", "kovra-registry",
		"--docker-server="+b.Apps.Address, "--docker-username="+b.Apps.User, "--docker-password="+b.Apps.Password)
	p.kubectl(t, "create", "configmap", "kovra-ca", "--from-file=ca.crt="+b.CA)
}

// Render is the manifests as an administrator's overlay makes them.
func (p *Place) Render(t *testing.T, builder string) string {
	t.Helper()
	dir := t.TempDir()
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	manifests, err := filepath.Rel(dir, root(t, "manifests/tekton"))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "namespace: %s\nresources: [%s/base]\ncomponents: [%s/%s]\nimages:\n", p.Namespace, manifests, manifests, builder)
	for _, image := range []string{"docker.io/alpine/git", "docker.io/alpine/k8s", "quay.io/buildah/stable", "docker.io/moby/buildkit"} {
		fmt.Fprintf(&text, "  - {name: %s, newName: %q, newTag: latest}\n", image, p.bed.BaseRegistry+"/tools")
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return p.bed.Kubectl(t, "", "kustomize", dir)
}

// root is a path of the module, found from the directory that a test runs in.
func root(t *testing.T, path string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, path)
		}
	}
	t.Fatal("no go.mod above the test")
	return ""
}

func (p *Place) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return p.bed.Kubectl(t, "", append([]string{"-n", p.Namespace}, args...)...)
}

// Run is a PipelineRun to be.
type Run struct {
	Pipeline, Account string
	Params            map[string]any   // text, or a list of it
	Workspaces        []map[string]any // as in the PipelineRun
	Patience          time.Duration    // how long Finish waits; Patience by default
}

// Build is the run of kovra-build that the bot would create.
func (p *Place) Build(url, commit, image string) Run {
	optional := func(name string) map[string]any { return map[string]any{"secretName": name, "optional": true} }
	return Run{
		Pipeline: "kovra-build", Account: "kovra-builder",
		Params: map[string]any{"repo-url": url, "revision": commit, "branch": "main", "app": "web", "image": image},
		Workspaces: []map[string]any{
			{"name": "source", "volumeClaimTemplate": map[string]any{"spec": map[string]any{
				"accessModes": []string{"ReadWriteOnce"},
				"resources":   map[string]any{"requests": map[string]any{"storage": "1Gi"}},
			}}},
			{"name": "git", "secret": optional("kovra-git")},
			{"name": "registry", "secret": optional("kovra-registry")},
			{"name": "ca", "configMap": map[string]any{"name": "kovra-ca", "optional": true}},
		},
	}
}

// Create creates the PipelineRun and returns its name, or what refused it.
func (p *Place) Create(t *testing.T, run Run) (string, error) {
	t.Helper()
	name := "run-" + strings.ToLower(rand.Text()[:8])
	var params []any
	for key, value := range run.Params {
		params = append(params, map[string]any{"name": key, "value": value})
	}
	object, err := json.Marshal(map[string]any{
		"apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
		"metadata": map[string]any{"name": name, "namespace": p.Namespace},
		"spec": map[string]any{
			"pipelineRef": map[string]any{"name": run.Pipeline}, "params": params, "workspaces": run.Workspaces,
			"taskRunTemplate": map[string]any{"serviceAccountName": run.Account},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.bed.Try(t, string(object), "create", "-f", "-")
	return name, err
}

// Outcome is what became of a run.
type Outcome struct {
	Name, Status, Reason, Message string
	Results                       map[string]string
	Log                           string // of all steps, in order
	Object                        string // the PipelineRun, its TaskRuns and their pods, as YAML
}

// Finish creates a run and waits for its end.
func (p *Place) Finish(t *testing.T, run Run) Outcome {
	t.Helper()
	name, err := p.Create(t, run)
	if err != nil {
		t.Fatal(err)
	}
	var object struct {
		Status struct {
			Conditions      []struct{ Status, Reason, Message string }
			Results         []struct{ Name, Value string }
			ChildReferences []struct{ Name string }
		}
	}
	ended := func() bool {
		if err := json.Unmarshal([]byte(p.kubectl(t, "get", "pipelinerun", name, "-o", "json")), &object); err != nil {
			t.Fatal(err)
		}
		return len(object.Status.Conditions) > 0 && object.Status.Conditions[0].Status != "Unknown"
	}
	log := func() (text string) {
		for _, child := range object.Status.ChildReferences {
			part, err := p.bed.Try(t, "", "-n", p.Namespace, "logs", child.Name+"-pod", "--all-containers")
			text += part
			if err != nil {
				text += err.Error()
			}
		}
		return text
	}
	objects := []string{"get", "pipelineruns,taskruns,pods", "-l", "tekton.dev/pipelineRun=" + name}
	defer func() {
		if t.Failed() { // so it did not end
			t.Logf("%s\n%s", p.kubectl(t, objects...), log())
		}
	}()
	Until(t, cmp.Or(run.Patience, Patience), "the end of "+name, ended)
	end := object.Status.Conditions[0]
	o := Outcome{Name: name, Status: end.Status, Reason: end.Reason, Message: end.Message, Results: map[string]string{}}
	for _, r := range object.Status.Results {
		o.Results[r.Name] = r.Value
	}
	o.Log = log()
	o.Object = p.kubectl(t, append(objects, "-o", "yaml")...) + p.kubectl(t, "get", "pipelinerun", name, "-o", "yaml")
	return o
}
