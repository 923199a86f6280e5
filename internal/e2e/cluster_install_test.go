package e2e

import (
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kovra.dev/chatops/internal/clustertest"
	"kovra.dev/chatops/internal/gitlabsim"
)

// TestClusterInstall goes the way of docs/operations.md on a real cluster: the image is built there by our own pipeline from our own Dockerfile,
// manifests/ is edited and applied, the pod answers webhooks of a simulated GitLab with threads in a simulated Slack, and goes on with the
// same threads after its process was killed and after the pod was deleted, each in the middle of a pipeline.
func TestClusterInstall(t *testing.T) {
	bed := clustertest.Open(t)
	image, digest := buildOurImage(t, bed)
	s := openInstallation(t, bed)
	s.install(image)
	s.isConfined(digest)
	s.link()
	s.livesOn()
	s.buildsInItsCluster()
	s.saysNothingWrong()
	s.stopsForOneCommand()
}

// buildOurImage builds the image of this working tree in the cluster, where nothing of the outside is at hand: with the modules in the
// context and the cluster's own image of Go.
func buildOurImage(t *testing.T, bed *clustertest.Bed) (image, digest string) {
	t.Helper()
	place := bed.Install(t, "buildkit")
	url, commit := bed.CommitTree(t, "team/"+place.Namespace+"-kovra", ourSources(t))
	image = bed.Apps.Address + "/" + place.Namespace + "/kovra:v0.0.1"
	run := place.Build(url, commit, image)
	run.Params["build-args"] = []string{"GO_IMAGE=" + bed.BaseRegistry + "/golang:latest", "VERSION=v0.0.1", "GOPROXY=off"}
	run.Patience = 25 * time.Minute
	began := time.Now()
	o := place.Finish(t, run)
	t.Logf("our image: %s after %s", o.Reason, time.Since(began).Round(time.Second))
	if o.Status != "True" {
		t.Fatalf("it was not built: %s: %s\n%s", o.Reason, o.Message, o.Log)
	}
	return image, o.Results["IMAGE_DIGEST"]
}

// ourSources is a copy of this repository as it lies here, with the modules that it wants.
func ourSources(t *testing.T) string {
	t.Helper()
	root, dir := filepath.Join("..", ".."), t.TempDir()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case name == ".git" || name == ".cache" || name == "vendor":
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil // of a worktree it is a file
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(dir, name), 0o755)
		case !entry.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), text, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "mod", "vendor", "-o", filepath.Join(dir, "vendor"))
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go mod vendor: %v: %s", err, out)
	}
	return dir
}

// openInstallation makes the world around the pod: Slack and GitLab at an address that pods reach, and the public address, which
// leads to the Service.
func openInstallation(t *testing.T, bed *clustertest.Bed) *shop {
	t.Helper()
	host, _, err := net.SplitHostPort(bed.BaseRegistry)
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{story: openStoryAt(t.Context(), host, t.TempDir(), ""), t: t, bed: bed, place: bed.Place("kovra-builds")}
	t.Cleanup(s.close)
	s.path, s.lab = "team/installed-"+strings.ToLower(filepath.Base(s.dir)), 1
	s.story.lab.SetURL(bed.GitURL)
	s.story.lab.AddProject(gitlabsim.Project{ID: s.lab, Path: s.path})
	s.story.lab.SetCI(s.lab, []string{"build", "test"}, []gitlabsim.JobSpec{{Name: "compile", Stage: "build"}, {Name: "unit", Stage: "test"}})
	return s
}

// install does what docs/operations.md says.
func (s *shop) install(image string) {
	t := s.t
	dir := filepath.Join(s.dir, "manifests")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "manifests"))); err != nil {
		t.Fatal(err)
	}
	name, tag, _ := strings.Cut(image, ":v")
	edit(t, filepath.Join(dir, "kustomization.yaml"), "registry.example.com/team/kovra", name, "newTag: v1.0.0", "newTag: v"+tag)
	for _, mirrored := range []string{"git", "k8s", "buildkit"} {
		edit(t, filepath.Join(dir, "kustomization.yaml"), "# - {name: docker.io/", "- {name: docker.io/",
			"registry.example.com/mirror/"+mirrored+"}", s.bed.BaseRegistry+"/tools, newTag: latest}")
	}
	edit(t, filepath.Join(dir, "kovra", "account.yaml"), "# imagePullSecrets", "imagePullSecrets")
	edit(t, filepath.Join(dir, "kovra", "kovra.yaml"), "https://kovra.example.com", s.publicURL, "https://gitlab.example.com", s.labURL,
		"workspace-admins", userID("alice"), "# KOVRA_REGISTRY: registry.example.com/team", "KOVRA_REGISTRY: "+s.bed.Apps.Address+"/installed",
		"KOVRA_LISTEN:", "KOVRA_SLACK_API_URL: "+s.slackURL+"/api/\nKOVRA_CA_CONFIGMAP: kovra-ca\nKOVRA_LISTEN:")

	t.Cleanup(func() { // what comes after wants these names
		s.bed.Kubectl(t, "", "delete", "namespace", "kovra", "kovra-builds", "--timeout="+clustertest.Patience.String())
	})
	t.Cleanup(func() {
		if t.Failed() {
			described, _ := s.bed.Try(t, "", "-n", "kovra", "describe", "pods")
			logs, _ := s.bed.Try(t, "", "-n", "kovra", "logs", "deployment/kovra", "--tail=100")
			t.Logf("%s\n%s\nthe channel:\n%s", described, logs, s.picture("#deploys"))
		}
	})
	s.bed.Kubectl(t, "", "apply", "-f", filepath.Join(dir, "kovra", "namespace.yaml"))
	s.bed.Kubectl(t, "", "-n", "kovra", "create", "secret", "generic", "kovra", "--from-literal=slack-bot-token=xoxb-sim",
		"--from-literal=slack-signing-secret=sim-secret", "--from-literal=gitlab-token=glpat-sim", "--from-literal=gitlab-webhook-secret="+storySecret)
	s.bed.Kubectl(t, "", "-n", "kovra", "create", "secret", "docker-registry", "pull", "--docker-server="+s.bed.Apps.Address,
		"--docker-username="+s.bed.Apps.User, "--docker-password="+s.bed.Apps.Password)
	s.bed.Kubectl(t, "", "apply", "-k", dir)
	s.place.AddCredentials(t)
	began := time.Now()
	s.bed.Kubectl(t, "", "-n", "kovra", "rollout", "status", "deployment/kovra", "--timeout="+clustertest.Patience.String())
	t.Logf("ready after %s", time.Since(began).Round(time.Second))

	service := strings.TrimSpace(s.bed.Kubectl(t, "", "-n", "kovra", "get", "service", "kovra", "-o", "jsonpath={.spec.clusterIP}:{.spec.ports[0].port}"))
	s.leadsTo(&process{address: service})
	t.Cleanup(func() { s.leadsTo(nil) }) // it is not ours to end
	s.answers()
}

// leadsTo says where the public address leads.
func (s *shop) leadsTo(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proc = p
}

// edit replaces texts of a file, given in pairs. Each must be there.
func edit(t *testing.T, path string, pairs ...string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	edited := string(text)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(edited, pairs[i]) {
			t.Fatalf("%s has no %q:\n%s", path, pairs[i], edited)
		}
		edited = strings.Replace(edited, pairs[i], pairs[i+1], 1)
	}
	if err := os.WriteFile(path, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
}

// answers waits until the public address leads to a pod that is ready.
func (s *shop) answers() {
	s.t.Helper()
	clustertest.Until(s.t, clustertest.Patience, "an answer of the pod", func() bool {
		code, err := s.send(s.ctx, http.MethodGet, s.publicURL+"/readyz", nil, nil, nil)
		return err == nil && code == http.StatusOK
	})
}

// pod waits for one that runs; its name, its uid and how often its container was started again. The kubelet tells of it a
// moment after it is at work.
func (s *shop) pod() (name, uid, restarts string) {
	s.t.Helper()
	clustertest.Until(s.t, clustertest.Patience, "a pod that runs", func() bool {
		out := s.bed.Kubectl(s.t, "", "-n", "kovra", "get", "pods", "-l", "app.kubernetes.io/name=kovra", "--field-selector=status.phase=Running",
			"-o", "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.status.containerStatuses[0].restartCount}{'\\n'}{end}")
		_, err := fmt.Sscan(out, &name, &uid, &restarts)
		return err == nil
	})
	return name, uid, restarts
}

// process finds the bot among the processes of this machine.
func (s *shop) process() int {
	s.t.Helper()
	_, uid, _ := s.pod()
	found := 0
	clustertest.Until(s.t, clustertest.Patience, "the process of the pod", func() bool {
		all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, path := range all {
			line, _ := os.ReadFile(path) // it may have ended
			group, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cgroup"))
			if strings.HasPrefix(string(line), "/usr/local/bin/kovra\x00serve\x00") && strings.Contains(string(group), uid) {
				_, _ = fmt.Sscan(filepath.Base(filepath.Dir(path)), &found)
			}
		}
		return found != 0
	})
	return found
}

// isConfined asks the kernel what the bot may do: it is nobody, has no capability, gains none, its system calls are filtered, and its
// root cannot be written. The image is the one that was built.
func (s *shop) isConfined(digest string) {
	t, pid := s.t, s.process()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Uid:\t65532\t65532\t65532\t65532\n", "Gid:\t65532\t65532\t65532\t65532\n", "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n",
		"NoNewPrivs:\t1\n", "Seccomp:\t2\n",
	} {
		if !strings.Contains(string(status), want) {
			t.Errorf("the process has no %q:\n%s", want, status)
		}
	}
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) < 6 || (fields[4] != "/" && fields[4] != "/run/secrets/kovra" && fields[4] != "/etc/kovra") {
			continue
		}
		if !strings.HasPrefix(fields[5], "ro") {
			t.Errorf("%s can be written: %s", fields[4], line)
		}
	}
	if id := s.bed.Kubectl(t, "", "-n", "kovra", "get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[0].imageID}"); !strings.Contains(id, digest) {
		t.Errorf("the pod runs %s, built was %s", id, digest)
	}
}

// livesOn plays a pipeline whose words the bot misses in part: its process is killed, then its pod is deleted.
func (s *shop) livesOn() {
	t := s.t
	_, pipeline := s.story.lab.PushCommits(s.lab, "main", "bob", gitlabsim.NewCommit{Title: "One"})
	in := &scriptLine{options: map[string]string{"in": fmt.Sprint(pipeline.ID)}}
	do := func(what storyCommand, words ...string) {
		t.Helper()
		if err := what(s.story, &scriptLine{args: words, options: in.options}); err != nil {
			t.Fatal(err)
		}
	}
	s.paths = []string{s.path}
	do(gitlabStep)
	s.shows("web · `main` · Running", "🔵 build 0/1")

	_, _, starts := s.pod()
	if err := syscall.Kill(s.process(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	do(gitlabFinish, "compile", "success")
	do(gitlabStep)
	s.shows("✅ build 1/1", "🔵 test 0/1")
	clustertest.Until(t, clustertest.Patience, "the container was started again", func() bool {
		_, _, again := s.pod()
		return again != starts
	})

	before, _, _ := s.pod()
	pid := s.process()
	s.bed.Kubectl(t, "", "-n", "kovra", "delete", "pod", before, "--force", "--grace-period=0")
	clustertest.Until(t, clustertest.Patience, "the end of the pod", func() bool { return syscall.Kill(pid, 0) != nil })
	do(gitlabFinish, "unit", "failed")
	s.shows("web · `main` · Failed", "`unit` failed", "FAIL")
	clustertest.Until(t, clustertest.Patience, "another pod", func() bool {
		after, _, _ := s.pod()
		return after != before
	})
	for text, want := range map[string]int{"web · `main`": 1, "`unit` failed": 1} {
		if picture := s.picture("#deploys"); strings.Count(picture, text) != want {
			t.Errorf("%q is there %d times, want %d:\n%s", text, strings.Count(picture, text), want, picture)
		}
	}
}

// shows waits until the channel shows all texts at once.
func (s *shop) shows(texts ...string) {
	s.t.Helper()
	clustertest.Until(s.t, clustertest.Patience, fmt.Sprintf("%q", texts), func() bool {
		picture := s.picture("#deploys")
		for _, text := range texts {
			if !strings.Contains(picture, text) {
				return false
			}
		}
		return true
	})
}

// buildsInItsCluster: the account of the pod is enough for a build, with the names that the manifests have.
func (s *shop) buildsInItsCluster() {
	// The program is at work a moment before Kubernetes counts it as ready, and that before requests are sent to it.
	s.bed.Kubectl(s.t, "", "-n", "kovra", "rollout", "status", "deployment/kovra", "--timeout="+clustertest.Patience.String())
	s.answers()
	s.push("Two", map[string]string{"Dockerfile": "FROM BASE\nRUN echo two >/two\n"})
	s.slash("alice", "/build trigger web")
	s.wait(1, "Succeeded")
	if runs := s.runs("kovra-build"); len(runs) != 1 {
		s.t.Errorf("one build made the runs %v", runs)
	}
}

// saysNothingWrong: the pod is of the version that was asked for, was refused nothing by the cluster, and no secret is where it can be read.
func (s *shop) saysNothingWrong() {
	log := s.bed.Kubectl(s.t, "", "-n", "kovra", "logs", "deployment/kovra")
	if !strings.Contains(log, `"version":"v0.0.1"`) {
		s.t.Errorf("the log does not say the version:\n%s", log)
	}
	for _, word := range []string{"forbidden", "Unauthorized", "read-only file system", "permission denied"} {
		if strings.Contains(log, word) {
			s.t.Errorf("the log says %q:\n%s", word, log)
		}
	}
	objects := s.bed.Kubectl(s.t, "", "-n", "kovra", "get", "deployments,replicasets,pods,configmaps", "-o", "yaml")
	for _, secret := range []string{"xoxb-sim", "sim-secret", "glpat-sim", storySecret} {
		if strings.Contains(log+objects, secret) {
			s.t.Errorf("%q is in the log or in the objects", secret)
		}
	}
}

// stopsForOneCommand does what docs/operations.md says, word for word, where the database is wanted alone.
func (s *shop) stopsForOneCommand() {
	t := s.t
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "### A pod for one command\n")
	_, after, _ = strings.Cut(after, "```sh\n")
	script, _, found := strings.Cut(after, "```")
	if !found {
		t.Fatal("the documentation has no such commands")
	}
	// kubectl ends as the command did. What that says may be over before kubectl listens.
	t.Logf("the command said: %s", s.bed.Shell(t, script))
	s.answers()
}
