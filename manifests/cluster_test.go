package manifests

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"kovra.dev/chatops/internal/clustertest"
)

// builders are the components that a cluster may have.
var builders = []string{"buildah", "buildkit"}

// layers reads what an image consists of: its configuration, and the files of all layers.
func layers(t *testing.T, bed *clustertest.Bed, r clustertest.Registry, repository, digest string) (config string, files map[string]string) {
	t.Helper()
	get := func(path string) []byte {
		status, _, body := bed.Fetch(t, r, repository+"/"+path)
		if status != 200 {
			t.Fatalf("%s: status %d: %s", path, status, body)
		}
		return body
	}
	var manifest struct {
		Config struct{ Digest string }
		Layers []struct{ Digest string }
	}
	if err := json.Unmarshal(get("manifests/"+digest), &manifest); err != nil {
		t.Fatal(err)
	}
	if len(manifest.Layers) == 0 {
		t.Fatal("an image without layers")
	}
	files = map[string]string{}
	for _, layer := range manifest.Layers {
		unzipped, err := gzip.NewReader(bytes.NewReader(get("blobs/" + layer.Digest)))
		if err != nil {
			t.Fatal(err)
		}
		for archive := tar.NewReader(unzipped); ; {
			header, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(archive)
			if err != nil {
				t.Fatal(err)
			}
			files[strings.TrimPrefix(header.Name, "./")] = string(text)
		}
	}
	return string(get("blobs/" + manifest.Config.Digest)), files
}

// TestClusterBuilds: a build whose Dockerfile has RUN steps, hostile arguments and a secret.
func TestClusterBuilds(t *testing.T) {
	bed := clustertest.Open(t)
	t.Parallel()
	for _, builder := range builders {
		t.Run(builder, func(t *testing.T) {
			t.Parallel()
			place := bed.Install(t, builder)
			const secret = "correct-horse-battery-staple"
			bed.Kubectl(t, "", "-n", place.Namespace, "create", "secret", "generic", "web", "--from-literal=token="+secret)

			// One instruction for all arguments: buildah commits and pushes each.
			var args []string
			declared, written := "ARG", "RUN mkdir /args"
			for i, h := range hostile {
				key := "A" + string(rune('a'+i))
				args = append(args, key+strings.TrimPrefix(h.sent, "A"))
				declared += " " + key
				written += ` && printf %s "$` + key + `" >/args/` + key
			}
			dockerfile := "FROM " + bed.BaseRegistry + "/busybox\n" + declared + "\n" + written + "\n"
			dockerfile += "RUN --mount=type=secret,id=token test \"$(wc -c </run/secrets/token)\" = 28 && echo the secret\" is there\"\n"
			// A build runs what the repository says. It should not get at credentials by looking around.
			dockerfile += "RUN for p in /proc/[0-9]*; do cat $p/root/workspace/registry/.dockerconfigjson >/dev/null 2>&1 && echo READ\"-\"CREDENTIALS; done; true\n"
			url, commit := bed.Commit(t, "team/"+place.Namespace, map[string]string{"Dockerfile": dockerfile})

			repository := place.Namespace + "/web"
			run := place.Build(url, commit, bed.Apps.Address+"/"+repository+":"+commit[:8])
			run.Params["build-args"] = args
			run.Params["cache"] = bed.Apps.Address + "/" + repository + "/cache"
			run.Workspaces = append(run.Workspaces, map[string]any{"name": "build-secrets", "projected": map[string]any{
				"sources": []any{map[string]any{"secret": map[string]any{"name": "web"}}},
			}})
			first := finish(t, place, run, "True")
			if !strings.Contains(first.Log, "the secret is there") {
				t.Errorf("the build did not see its secret:\n%s", first.Log)
			}
			if strings.Contains(first.Log, "READ-CREDENTIALS") {
				t.Error("a RUN step can read the registry's credentials")
			}
			for name, want := range map[string]string{
				"IMAGE_URL": run.Params["image"].(string), "COMMIT": commit, "DOCKERFILE": "Dockerfile",
			} {
				if got := first.Results[name]; got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}

			// What the tag names is what the result says.
			digest := first.Results["IMAGE_DIGEST"]
			if _, header, _ := bed.Fetch(t, bed.Apps, repository+"/manifests/"+commit[:8]); header.Get("Docker-Content-Digest") != digest {
				t.Errorf("the registry has %s, the result is %s", header.Get("Docker-Content-Digest"), digest)
			}
			config, files := layers(t, bed, bed.Apps, repository, digest)
			for i, h := range hostile {
				if got, want := files["args/A"+string(rune('a'+i))], strings.TrimPrefix(h.want, "A="); got != want {
					t.Errorf("argument %q became %q, want %q", h.sent, got, want)
				}
			}

			// The secret and the credentials are nowhere but in their Secrets.
			for name, text := range files {
				if strings.Contains(text, secret) {
					t.Errorf("the secret is in the layer's file %s", name)
				}
			}
			for _, hidden := range []string{secret, bed.Apps.Password, bed.GitPassword} {
				for where, text := range map[string]string{"configuration": config, "log": first.Log, "object": first.Object} {
					if strings.Contains(text, hidden) {
						t.Errorf("%.4s… is in the %s", hidden, where)
					}
				}
			}

			// The same again comes from the cache. Debian's buildah, which the test has, fills
			// the cache and never looks into it.
			again := finish(t, place, run, "True")
			if cached := !strings.Contains(again.Log, "the secret is there"); builder == "buildkit" && !cached {
				t.Errorf("built anew:\n%s", again.Log)
			}
		})
	}
}

// finish runs to the end that is wanted, and says how long it took.
func finish(t *testing.T, place *clustertest.Place, run clustertest.Run, status string) clustertest.Outcome {
	t.Helper()
	start := time.Now()
	o := place.Finish(t, run)
	t.Logf("%s: %s after %s", run.Pipeline, o.Reason, time.Since(start).Round(time.Second))
	if o.Status != status {
		t.Fatalf("%s ended with %s, %s: %s\n%s", o.Name, o.Status, o.Reason, o.Message, o.Log)
	}
	return o
}

// TestClusterFailingBuilds: what the log says of a build that cannot be.
func TestClusterFailingBuilds(t *testing.T) {
	bed := clustertest.Open(t)
	t.Parallel()
	place := bed.Install(t, "buildkit")
	from := "FROM " + bed.BaseRegistry + "/busybox\n"
	public, publicCommit := bed.Commit(t, "public/"+place.Namespace, map[string]string{"Dockerfile": from})
	tests := []struct {
		name  string
		files map[string]string
		with  func(*clustertest.Run)
		want  string // in the log
	}{
		{name: "instruction", files: map[string]string{"Dockerfile": from + "RUN echo before; cat /no/such/file\nRUN echo after\n"}, want: "can't open '/no/such/file'"},
		{name: "no Dockerfile", files: map[string]string{"README": ""}, want: "No Dockerfile was found in the repository.\nSet the path"},
		{
			name: "commit", files: map[string]string{"Dockerfile": from}, want: "not our ref",
			with: func(r *clustertest.Run) { r.Params["revision"] = strings.Repeat("0", 40) },
		},
		{
			name: "registry of another team", files: map[string]string{"Dockerfile": from + "RUN true\n"}, want: "401 Unauthorized",
			with: func(r *clustertest.Run) { r.Params["image"] = bed.Other.Address + "/stolen:1" },
		},
		{name: "base of another team", files: map[string]string{"Dockerfile": "FROM " + bed.Other.Address + "/private\n"}, want: "401 Unauthorized"},
		{
			name: "no password for git", files: map[string]string{"Dockerfile": from}, want: "could not read Username",
			with: func(r *clustertest.Run) { r.Workspaces[1] = absent("git", "kovra-git-is-not-there") },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url, commit := bed.Commit(t, "team/"+place.Namespace+"-"+strings.ReplaceAll(tt.name, " ", "-"), tt.files)
			run := place.Build(url, commit, bed.Apps.Address+"/"+place.Namespace+"/web:1")
			if tt.with != nil {
				tt.with(&run)
			}
			if o := finish(t, place, run, "False"); !strings.Contains(o.Log, tt.want) {
				t.Errorf("the log does not say %q:\n%s", tt.want, o.Log)
			}
		})
	}
	t.Run("public without a Secret", func(t *testing.T) {
		t.Parallel()
		run := place.Build(public, publicCommit, bed.Apps.Address+"/"+place.Namespace+"/public:1")
		run.Workspaces[1] = absent("git", "kovra-git-is-not-there")
		finish(t, place, run, "True")
	})
}

// absent binds a workspace to a Secret that need not be there.
func absent(workspace, secret string) map[string]any {
	return map[string]any{"name": workspace, "secret": map[string]any{"secretName": secret, "optional": true}}
}

// TestClusterRefusesVariables: what happens to a value that was not escaped.
func TestClusterRefusesVariables(t *testing.T) {
	bed := clustertest.Open(t)
	t.Parallel()
	place := bed.Install(t, "buildkit")
	run := place.Build(bed.GitURL+"/public/x.git", strings.Repeat("0", 40), bed.Apps.Address+"/x:1")

	run.Params["build-args"] = []string{"A=$(tasks.clone.results.COMMIT)"}
	if _, err := place.Create(t, run); err == nil || !strings.Contains(err.Error(), "cannot use result expressions") {
		t.Errorf("a reference to a result: %v", err)
	}
	run.Params["build-args"] = []string{"A=$(id)"}
	if o := finish(t, place, run, "False"); !strings.Contains(o.Message, `invalid variable reference "$(id)"`) {
		t.Errorf("a variable: %s: %s", o.Reason, o.Message)
	}
}

// TestClusterRights: what the accounts may do, asked of the API server.
func TestClusterRights(t *testing.T) {
	bed := clustertest.Open(t)
	t.Parallel()
	place := bed.Install(t, "buildkit")
	target := deployment(t, bed, place, "")
	may := func(account, namespace, verb, resource string) bool {
		out, _ := bed.Try(t, "", "auth", "can-i", verb, resource, "-n", namespace, "--as=system:serviceaccount:"+account)
		return strings.TrimSpace(out) == "yes"
	}
	builder, deployer, bot := place.Namespace+":kovra-builder", place.Namespace+":kovra-deployer", "kovra:kovra"
	for _, tt := range []struct {
		account, namespace, verb, resource string
		want                               bool
	}{
		{builder, place.Namespace, "get", "secrets", false},
		{builder, place.Namespace, "get", "pods", false},
		{builder, place.Namespace, "create", "pipelineruns.tekton.dev", false},
		{builder, target, "patch", "deployments.apps", false},
		{deployer, target, "patch", "deployments.apps", true},
		{deployer, target, "get", "pods/log", true},
		{deployer, target, "get", "secrets", false},
		{deployer, target, "create", "deployments.apps", false},
		{deployer, target, "delete", "pods", false},
		{deployer, target, "create", "pods/exec", false},
		{deployer, place.Namespace, "get", "secrets", false},
		{deployer, place.Namespace, "patch", "deployments.apps", false},
		{deployer, "default", "patch", "deployments.apps", false},
		{bot, place.Namespace, "create", "pipelineruns.tekton.dev", true},
		{bot, place.Namespace, "patch", "pipelineruns.tekton.dev", true},
		{bot, place.Namespace, "watch", "taskruns.tekton.dev", true},
		{bot, place.Namespace, "get", "pods/log", true},
		{bot, place.Namespace, "list", "events", true},
		{bot, place.Namespace, "get", "secrets", false},
		{bot, place.Namespace, "create", "configmaps", true},
		{bot, place.Namespace, "update", "configmaps/kovra-ca", true},
		{bot, place.Namespace, "get", "configmaps", false},
		{bot, place.Namespace, "delete", "configmaps/kovra-ca", false},
		{bot, place.Namespace, "delete", "pipelineruns.tekton.dev", false},
		{bot, place.Namespace, "create", "pods", false},
		{bot, target, "get", "deployments.apps", true},
		{bot, target, "patch", "deployments.apps", false},
	} {
		if got := may(tt.account, tt.namespace, tt.verb, tt.resource); got != tt.want {
			t.Errorf("%s may %s %s in %s: %v, want %v", tt.account, tt.verb, tt.resource, tt.namespace, got, tt.want)
		}
	}

	url, commit := bed.Commit(t, "public/"+place.Namespace, map[string]string{
		"Dockerfile": "FROM " + bed.BaseRegistry + "/busybox\nRUN for p in / /proc/[0-9]*/root/; do ls ${p}var/run/secrets/kubernetes.io 2>/dev/null && echo HAS\"-\"TOKEN; done; true\n",
	})
	if o := finish(t, place, place.Build(url, commit, bed.Apps.Address+"/"+place.Namespace+":1"), "True"); strings.Contains(o.Log, "HAS-TOKEN") {
		t.Errorf("a build has a token:\n%s", o.Log)
	}
}

// deployment makes a namespace that the deployer may act in, with a Deployment "web" in it.
func deployment(t *testing.T, bed *clustertest.Bed, place *clustertest.Place, labels string) (namespace string) {
	t.Helper()
	namespace = place.Namespace + "-apps"
	if _, err := bed.Try(t, "", "create", "namespace", namespace); err == nil {
		t.Cleanup(func() { bed.Kubectl(t, "", "delete", "namespace", namespace, "--wait=false") })
		access := bed.Kubectl(t, "", "kustomize", "tekton/target")
		// The account lives in the namespace of the builds.
		access = strings.ReplaceAll(access, "namespace: kovra-builds", "namespace: "+place.Namespace)
		bed.Kubectl(t, access, "-n", namespace, "apply", "--validate=strict", "-f", "-")
	}
	bed.Kubectl(t, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {`+labels+`}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: "`+bed.BaseRegistry+`/busybox:latest", command: [sh, -c, "test ! -e /broken || { echo the database is gone; exit 1; }; exec sleep 3600"]}]
`, "-n", namespace, "apply", "-f", "-")
	return namespace
}

func TestClusterDeploys(t *testing.T) {
	bed := clustertest.Open(t)
	t.Parallel()
	place := bed.Install(t, "buildkit")
	namespace := deployment(t, bed, place, "")
	bed.Kubectl(t, "", "-n", namespace, "create", "secret", "docker-registry", "pull",
		"--docker-server="+bed.Apps.Address, "--docker-username="+bed.Apps.User, "--docker-password="+bed.Apps.Password)
	bed.Kubectl(t, "", "-n", namespace, "patch", "serviceaccount", "default", "-p", `{"imagePullSecrets":[{"name":"pull"}]}`)

	built := func(name, dockerfile string) string {
		url, commit := bed.Commit(t, "team/"+place.Namespace+"-"+name, map[string]string{"Dockerfile": "FROM " + bed.BaseRegistry + "/busybox\n" + dockerfile})
		image := bed.Apps.Address + "/" + place.Namespace + "/" + name
		return image + "@" + finish(t, place, place.Build(url, commit, image+":1"), "True").Results["IMAGE_DIGEST"]
	}
	good, broken := built("good", "RUN echo good >/good\n"), built("broken", "RUN touch /broken\n")
	deploy := func(image string) clustertest.Run {
		return clustertest.Run{Pipeline: "kovra-deploy", Account: "kovra-deployer", Params: map[string]any{
			"namespace": namespace, "deployment": "web", "container": "main", "image": image, "timeout": "600",
		}}
	}
	now := func() string {
		return bed.Kubectl(t, "", "-n", namespace, "get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	}

	o := finish(t, place, deploy(good), "True")
	if want := bed.BaseRegistry + "/busybox:latest"; o.Results["PREVIOUS_IMAGE"] != want || o.Results["IMAGE"] != good || now() != good {
		t.Errorf("results %v, the Deployment has %s", o.Results, now())
	}

	fails := func(t *testing.T, run clustertest.Run, want ...string) {
		t.Helper()
		o := finish(t, place, run, "False")
		for _, text := range want {
			if !strings.Contains(o.Log, text) {
				t.Errorf("the log does not say %q:\n%s", text, o.Log)
			}
		}
	}
	fails(t, deploy(bed.Apps.Address+"/"+place.Namespace+"/good@sha256:"+strings.Repeat("0", 64)), "ImagePullBackOff of container main", "not found")
	if o := finish(t, place, deploy(good), "True"); o.Results["PREVIOUS_IMAGE"] == good {
		t.Errorf("rolled back from %s", o.Results["PREVIOUS_IMAGE"])
	}
	fails(t, deploy(broken), "CrashLoopBackOff of container main", "the database is gone")

	t.Run("refused", func(t *testing.T) {
		for _, tt := range []struct{ param, value, want string }{
			{"container", "sidecar", "has no container sidecar, but: main"},
			{"container", "a$b", "Not a name in Kubernetes: a$b"},
			{"image", "x;id", "Not the name of an image: x;id"},
			{"namespace", "default", "forbidden"},
		} {
			t.Run(tt.value, func(t *testing.T) {
				t.Parallel()
				run := deploy(good)
				run.Params[tt.param] = tt.value
				fails(t, run, tt.want)
			})
		}
	})

	deployment(t, bed, place, "app.kubernetes.io/managed-by: Helm")
	before := now()
	fails(t, deploy(good), "belongs to Helm")
	if now() != before {
		t.Errorf("a refused deployment changed the image to %s", now())
	}
	allowed := deploy(good)
	allowed.Params["allow-managed"] = "true"
	finish(t, place, allowed, "True")
}
