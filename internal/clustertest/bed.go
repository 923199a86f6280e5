// Package clustertest is what a test does with the real cluster of internal/cluster:
// install our manifests, commit to its git server, run pipelines, look at what was pushed.
//
// It is used by opening the cluster, which skips the test where there is none
// (make cluster-test starts one):
//
//	bed := clustertest.Open(t)
//	place := bed.Install(t, "buildah")
//
// It never starts or stops a cluster, and the program does not link it.
package clustertest

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Patience is how long one thing may take in the cluster: two cores may have eight builds, and one of them
// compiles the whole bot.
const Patience = 10 * time.Minute

// Bed is a running cluster with its registries and its git server. All addresses
// are those of its network namespace, in which the test runs.
type Bed struct {
	Kubeconfig   string   // of an administrator
	CA           string   // file of the certificate that vouches for all servers
	BaseRegistry string   // anybody may pull: busybox, tools
	Apps, Other  Registry // of two teams
	GitURL       string   // https://…; repositories under /public/ want no password
	GitUser      string
	GitPassword  string

	gitRoot, kubectl string
	client           *http.Client
}

// Registry is a registry that wants a password.
type Registry struct{ Address, User, Password string }

// Open reads what the cluster says of itself in the file that KOVRA_TEST_CLUSTER names.
func Open(t *testing.T) *Bed {
	t.Helper()
	path := os.Getenv("KOVRA_TEST_CLUSTER")
	if path == "" {
		t.Skip("no cluster: KOVRA_TEST_CLUSTER is not set; make cluster-test starts one")
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	env := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		env[key] = value
	}
	ca, err := os.ReadFile(env["CA"])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return &Bed{
		Kubeconfig:   env["KUBECONFIG"],
		CA:           env["CA"],
		BaseRegistry: env["BASE_REGISTRY"],
		Apps:         Registry{env["APPS_REGISTRY"], env["APPS_USER"], env["APPS_PASSWORD"]},
		Other:        Registry{env["OTHER_REGISTRY"], env["OTHER_USER"], env["OTHER_PASSWORD"]},
		GitURL:       env["GIT_URL"],
		GitUser:      env["GIT_USER"],
		GitPassword:  env["GIT_PASSWORD"],
		gitRoot:      env["GIT_ROOT"],
		kubectl:      env["KUBECTL"],
		client:       &http.Client{Transport: transport, Timeout: 30 * time.Second},
	}
}

// Try runs kubectl as an administrator. The error has what kubectl said.
func (b *Bed) Try(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(b.kubectl, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+b.Kubeconfig)
	cmd.Stdin = strings.NewReader(input)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return out.String(), &kubectlError{args, problems.String()}
	}
	return out.String(), nil
}

type kubectlError struct {
	args []string
	said string
}

func (e *kubectlError) Error() string {
	return "kubectl " + strings.Join(e.args, " ") + ": " + e.said
}

// Kubectl is Try where nothing may fail.
func (b *Bed) Kubectl(t *testing.T, input string, args ...string) string {
	t.Helper()
	out, err := b.Try(t, input, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Shell runs commands that stand in the documentation, as an administrator. Nothing may fail.
func (b *Bed) Shell(t *testing.T, script string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+b.Kubeconfig, "PATH="+filepath.Dir(b.kubectl)+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v of:\n%s\n%s", err, script, out)
	}
	return string(out)
}

// Commit makes a commit of exactly these files the head of main in a repository, which
// need not exist yet, and returns where to clone it from and the commit's id.
func (b *Bed) Commit(t *testing.T, repository string, files map[string]string) (url, id string) {
	t.Helper()
	work := t.TempDir()
	for name, text := range files {
		path := filepath.Join(work, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return b.CommitTree(t, repository, work)
}

// CommitTree is Commit of all files of a folder, which becomes a clone.
func (b *Bed) CommitTree(t *testing.T, repository, work string) (url, id string) {
	t.Helper()
	bare := filepath.Join(b.gitRoot, repository+".git")
	if _, err := os.Stat(bare); err != nil {
		git(t, ".", "init", "-q", "--bare", "-b", "main", bare)
	}
	git(t, work, "init", "-q", "-b", "main")
	git(t, work, "add", "--all", "--force")
	git(t, work, "-c", "user.name=Ann", "-c", "user.email=ann@example.com", "commit", "-q", "-m", "A change")
	git(t, work, "push", "-q", "-f", bare, "main")
	return b.GitURL + "/" + repository + ".git", git(t, work, "rev-parse", "HEAD")
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// Fetch reads a path of a registry's API, such as web/manifests/latest, as its user.
func (b *Bed) Fetch(t *testing.T, r Registry, path string) (status int, header http.Header, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+r.Address+"/v2/"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(r.User, r.Password)
	for _, accept := range []string{
		"application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json",
		"application/vnd.oci.image.index.v1+json",
	} {
		req.Header.Add("Accept", accept)
	}
	res, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err = io.ReadAll(io.LimitReader(res.Body, 1<<28)); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, body
}

// Until waits until done, and fails the test when that takes too long.
func Until(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !done(); time.Sleep(300 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %s for %s", limit, cmp.Or(what, "something"))
		}
	}
}
