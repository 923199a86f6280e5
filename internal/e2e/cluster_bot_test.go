package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"kovra.dev/chatops/internal/clustertest"
	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/slacksim"
)

// shop is the bot on the real cluster: the program with a simulated Slack and GitLab, whose
// project is a repository of the cluster's git server.
type shop struct {
	*story
	t     *testing.T
	bed   *clustertest.Bed
	place *clustertest.Place
	env   []string
	lab   int64  // the project
	path  string // of its repository
}

// openShop installs our manifests with a builder, gives the bot the account that they bind, links the app web and
// starts the program.
func openShop(t *testing.T, bed *clustertest.Bed, program, builder string) *shop {
	t.Helper()
	place := bed.Install(t, builder)
	s := &shop{story: openStory(t.Context(), t.TempDir(), program), t: t, bed: bed, place: place}
	t.Cleanup(s.close)
	s.path = "team/" + place.Namespace
	s.story.lab.SetURL(bed.GitURL) // where people, and builds, find the project
	s.lab = 1
	s.story.lab.AddProject(gitlabsim.Project{ID: s.lab, Path: s.path})
	s.env = []string{
		"KOVRA_KUBECONFIG=" + s.account(), "KOVRA_BUILD_NAMESPACE=" + place.Namespace, "KOVRA_CA_FILE=" + bed.CA,
		"KOVRA_REGISTRY=" + bed.Apps.Address + "/" + place.Namespace, "KOVRA_BUILD_CONCURRENCY=2",
	}
	s.start()
	s.link()
	return s
}

// link waits until the app web is linked: a command may be answered before.
func (s *shop) link() {
	s.t.Helper()
	s.slash("alice", "/kovra link web "+s.path)
	s.isTold("alice", "web is linked to `"+s.path+"`", 1)
}

// isTold waits until a person was told the words so many times, alone.
func (s *shop) isTold(who, words string, times int) {
	s.t.Helper()
	told := ""
	defer func() {
		if s.t.Failed() {
			s.t.Logf("%s was told:\n%s", who, told)
		}
	}()
	clustertest.Until(s.t, clustertest.Patience, fmt.Sprintf("%q", words), func() bool {
		told = ""
		for _, m := range s.slack.Ephemerals(userID(who)) {
			told += s.plain(slacksim.Text(m)) + "\n"
		}
		return strings.Count(told, words) >= times
	})
}

// account makes a kubeconfig of the service account that the manifests bind for the bot: it has no other right.
func (s *shop) account() string {
	s.t.Helper()
	ns := s.place.Namespace
	for _, name := range []string{"kovra"} {
		_, _ = s.bed.Try(s.t, "", "create", "namespace", name) // another test may have made it
		_, _ = s.bed.Try(s.t, "", "-n", name, "create", "serviceaccount", name)
	}
	token := strings.TrimSpace(s.bed.Kubectl(s.t, "", "-n", "kovra", "create", "token", "kovra", "--duration=2h"))
	cluster := regexp.MustCompile(`(?s)clusters:.*?\n(users|contexts|kind|preferences|current-context):`).FindString(s.bed.Kubectl(s.t, "", "config", "view", "--raw", "--flatten", "--minify"))
	server := regexp.MustCompile(`server: (\S+)`).FindStringSubmatch(cluster)
	ca := regexp.MustCompile(`certificate-authority-data: (\S+)`).FindStringSubmatch(cluster)
	if server == nil || ca == nil {
		s.t.Fatalf("the administrator's kubeconfig has no server: %q", cluster)
	}
	path := filepath.Join(s.dir, "kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: bed, cluster: {server: %q, certificate-authority-data: %s}}]
users: [{name: kovra, user: {token: %s}}]
contexts: [{name: bed, context: {cluster: bed, user: kovra, namespace: %s}}]
current-context: bed
`, server[1], ca[1], token, ns)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *shop) start() {
	s.t.Helper()
	if err := kovraStart(s.story, &scriptLine{args: s.env}); err != nil {
		s.t.Fatal(err)
	}
}

// push commits the files to the real repository and tells GitLab of it. It returns the commit.
func (s *shop) push(title string, files map[string]string) string {
	s.t.Helper()
	for name, text := range files {
		files[name] = strings.ReplaceAll(text, "BASE", s.bed.BaseRegistry+"/busybox")
	}
	_, sha := s.bed.Commit(s.t, s.path, files)
	s.story.lab.PushCommits(s.lab, "main", "bob", gitlabsim.NewCommit{Title: title, SHA: sha})
	return sha
}

func (s *shop) slash(who, line string) string {
	s.t.Helper()
	seen, err := s.slack.Slash(s.ctx, userID(who), channelID("deploys"), line)
	if err != nil || seen.Error != "" {
		s.t.Fatalf("%s: %v %s", line, err, seen.Error)
	}
	return s.plain(seen.Text())
}

// click presses a button of the newest message that has it; in: a text of that message, or "private".
func (s *shop) click(who, button, in string) slacksim.Seen {
	s.t.Helper()
	var m slacksim.Message
	var err error
	clustertest.Until(s.t, clustertest.Patience, "the button "+button, func() bool {
		m, err = s.findButton(&scriptLine{args: []string{"", "#deploys"}, options: map[string]string{"in": in}}, userID(who), button)
		return err == nil
	})
	seen, err := s.slack.Click(s.ctx, userID(who), m.Ref(), button)
	if err != nil || seen.Error != "" {
		s.t.Fatalf("click %s: %v %s", button, err, seen.Error)
	}
	return seen
}

func (s *shop) submit(who string, values map[string]string) {
	s.t.Helper()
	v, ok := s.slack.View(userID(who))
	if !ok {
		s.t.Fatal("no modal is open")
	}
	seen, err := s.slack.Submit(s.ctx, userID(who), v.ID, values)
	if err != nil || seen.Error != "" || len(seen.Errors) > 0 {
		s.t.Fatalf("submit: %v %s %v", err, seen.Error, seen.Errors)
	}
}

// wait waits until the card of a build, with its replies, holds all texts. It returns the thread.
func (s *shop) wait(build int, texts ...string) string {
	s.t.Helper()
	last := ""
	defer func() {
		if s.t.Failed() {
			s.t.Logf("the thread of build %d:\n%s\n%s", build, last, s.bed.Kubectl(s.t, "", "-n", s.place.Namespace, "get", "pipelineruns,taskruns,pods"))
		}
	}()
	clustertest.Until(s.t, clustertest.Patience, fmt.Sprintf("build %d: %q", build, texts), func() bool {
		last = s.thread(build)
		for _, text := range texts {
			if !strings.Contains(last, text) {
				return false
			}
		}
		return last != ""
	})
	return last
}

// thread is the picture of a build's thread.
func (s *shop) thread(build int) string {
	id := channelID("deploys")
	for _, m := range s.slack.Messages(id) {
		text := s.plain(s.slack.Thread(id, m.TS))
		if first, _, _ := strings.Cut(text, "\n"); (m.ThreadTS == "" || m.ThreadTS == m.TS) && strings.HasSuffix(strings.TrimSpace(first), fmt.Sprintf("build #%d", build)) {
			return text
		}
	}
	return ""
}

// rawLog is the whole log of a build as the viewer gives it, once it has come to a line with that text.
func (s *shop) rawLog(build int, upTo string) (log string) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); !strings.Contains(log, upTo) && time.Now().Before(end); time.Sleep(300 * time.Millisecond) {
		log = s.rawLogNow(build)
	}
	return log
}

func (s *shop) rawLogNow(build int) string {
	s.t.Helper()
	seen, err := s.slack.Slash(s.ctx, userID("bob"), channelID("deploys"), fmt.Sprintf("/build log %d", build))
	if err != nil || len(seen.Ephemerals) == 0 {
		s.t.Fatalf("log of build %d: %v", build, err)
	}
	link := ""
	for _, address := range slacksim.Links(seen.Ephemerals[0]) {
		if path, ok := strings.CutPrefix(address, s.publicURL+"/logs/"); ok {
			link, _, _ = strings.Cut(path, "#")
		}
	}
	var text bytes.Buffer
	code, err := s.send(s.ctx, http.MethodGet, "http://"+s.address()+"/logs/"+link+"/raw", nil, nil, &text)
	if err != nil || code != http.StatusOK {
		s.t.Fatalf("raw log of build %d: %d %v", build, code, err)
	}
	return text.String()
}

// runs are the names of the PipelineRuns of a Pipeline.
func (s *shop) runs(pipeline string) []string {
	s.t.Helper()
	return strings.Fields(s.bed.Kubectl(s.t, "", "-n", s.place.Namespace, "get", "pipelineruns", "-l", "tekton.dev/pipeline="+pipeline,
		"-o", "jsonpath={range .items[*]}{.metadata.name}{'\\n'}{end}"))
}

// TestClusterBot goes the whole way on a real cluster, from buttons in Slack: build, push, deploy; a build that breaks; a cancel in the
// middle; a rollout that cannot pull, and back.
func TestClusterBot(t *testing.T) {
	bed := clustertest.Open(t)
	program := buildProgram(t)
	for _, builder := range []string{"buildkit", "buildah"} {
		t.Run(builder, func(t *testing.T) {
			s := openShop(t, bed, program, builder)
			s.buildAndDeploy()
			s.breakTheBuild()
			s.cancelInTheMiddle()
			s.rollBack()
		})
	}
}

const (
	goodDockerfile = `FROM BASE
ARG GREETING
RUN echo "$GREETING" >/greeting && echo the greeting is written
RUN --mount=type=secret,id=token test "$(wc -c </run/secrets/token)" = 28 && echo "the secret is ""there"
CMD ["sleep", "3600"]
`
	buildSecret     = "correct-horse-battery-staple"
	settingsChanged = "The build settings of web are changed."

	hostileArg = `a 'b' "c" $(id) $HOME \n %s`
)

// buildAndDeploy builds the first commit from a form, with a build secret and a hostile argument, and deploys it by digest.
func (s *shop) buildAndDeploy() {
	t := s.t
	apps := s.target()
	s.bed.Kubectl(t, "", "-n", s.place.Namespace, "create", "secret", "generic", "web", "--from-literal=token="+buildSecret)
	s.slash("alice", "/build settings web")
	s.submit("alice", map[string]string{
		"args": "GREETING=" + hostileArg, "secrets": "web", "target_namespace": apps, "deployment": "web",
	})
	s.isTold("alice", settingsChanged, 1)
	sha := s.push("One", map[string]string{"docker/Dockerfile": goodDockerfile})
	s.slash("bob", "/build")
	s.click("bob", "Trigger Build", "private")
	s.submit("bob", nil)
	began := time.Now()
	thread := s.wait(1, "Succeeded · build #1", "📦") // the card: its edit may come after the reply
	t.Logf("one build: %s", time.Since(began).Round(time.Second))
	repository := s.place.Namespace + "/web"
	_, header, _ := s.bed.Fetch(t, s.bed.Apps, repository+"/manifests/"+sha[:8])
	digest := header.Get("Docker-Content-Digest")
	if digest == "" || !strings.Contains(thread, digest[:19]) {
		t.Errorf("the registry has %q, the thread says:\n%s", digest, thread)
	}
	log := s.rawLog(1, "the secret is there")
	for _, want := range []string{"docker/Dockerfile", "the greeting is written", "the secret is there"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not hold %q:\n%s", want, log)
		}
	}
	object := s.bed.Kubectl(t, "", "-n", s.place.Namespace, "get", "pipelineruns,taskruns,pods", "-o", "yaml")
	for what, text := range map[string]string{"the log": log, "the cluster's objects": object, "our own log": s.logged()} {
		for _, secret := range []string{buildSecret, s.bed.Apps.Password, s.bed.GitPassword} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows a secret", what)
			}
		}
	}

	s.click("alice", "Deploy", "build #1")
	s.click("alice", "Yes, deploy it", "private")
	s.wait(1, "Rolled out to")
	if got, want := s.deployed(apps), s.bed.Apps.Address+"/"+repository+"@"+digest; got != want {
		t.Errorf("deployed is %s, want %s", got, want)
	}
	pod := strings.TrimSpace(s.bed.Kubectl(t, "", "-n", apps, "get", "pods", "-l", "app=web", "--sort-by=.metadata.creationTimestamp", "-o", "name"))
	greeting := s.bed.Kubectl(t, "", "-n", apps, "exec", pod[strings.LastIndexByte(pod, '\n')+1:], "--", "cat", "/greeting")
	if greeting != hostileArg+"\n" {
		t.Errorf("the argument arrived as %q", greeting)
	}
}

// target is a namespace with a Deployment that the bot may change, whose pods may pull from our registry.
func (s *shop) target() string {
	t, apps := s.t, s.place.Namespace+"-apps"
	s.bed.Kubectl(t, "", "create", "namespace", apps)
	t.Cleanup(func() { s.bed.Kubectl(t, "", "delete", "namespace", apps, "--wait=false") })
	access := s.bed.Kubectl(t, "", "kustomize", "../../manifests/tekton/target")
	s.bed.Kubectl(t, strings.ReplaceAll(access, "namespace: kovra-builds", "namespace: "+s.place.Namespace), "-n", apps, "apply", "--validate=strict", "-f", "-")
	s.bed.Kubectl(t, "", "-n", apps, "create", "secret", "docker-registry", "pull", "--docker-server="+s.bed.Apps.Address,
		"--docker-username="+s.bed.Apps.User, "--docker-password="+s.bed.Apps.Password)
	s.bed.Kubectl(t, "", "-n", apps, "patch", "serviceaccount", "default", "-p", `{"imagePullSecrets":[{"name":"pull"}]}`)
	s.bed.Kubectl(t, `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: "`+s.bed.BaseRegistry+`/busybox:latest", command: [sleep, "3600"]}]
`, "-n", apps, "apply", "-f", "-")
	return apps
}

func (s *shop) deployed(apps string) string {
	return s.bed.Kubectl(s.t, "", "-n", apps, "get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
}

// breakTheBuild: the thread shows the error of the instruction that failed.
func (s *shop) breakTheBuild() {
	s.push("Two", map[string]string{"Dockerfile": "FROM BASE\nRUN echo compiling && echo 'cart.go:31:12: undefined: cart.Totals' >&2 && exit 1\n"})
	s.slash("bob", "/build trigger web")
	s.wait(2, "no longer builds", "cart.go:31:12: undefined: cart.Totals", "Full log")
}

// cancelInTheMiddle: the log up to the cancel is still there when the pod is gone.
func (s *shop) cancelInTheMiddle() {
	s.push("Three", map[string]string{"Dockerfile": "FROM BASE\nRUN echo before the long sleep && sleep 120\n"})
	s.slash("bob", "/build trigger web")
	s.wait(3, "Building", "before the long sleep") // the live tail
	s.click("bob", "Cancel", "build #3")
	s.wait(3, "Cancelled", "@bob")
	if log := s.rawLog(3, "before the long sleep"); !strings.Contains(log, "before the long sleep") {
		s.t.Errorf("the log up to the cancel is lost:\n%s", log)
	}
}

// rollBack: what was built cannot be pulled any more; the thread says so, and the way back is a button.
func (s *shop) rollBack() {
	apps := s.place.Namespace + "-apps"
	before := s.deployed(apps)
	s.slash("alice", "/build settings web")
	s.submit("alice", map[string]string{"args": "", "secrets": "", "auto_deploy": "on", "enabled": "on"})
	s.isTold("alice", settingsChanged, 2)
	// The pods' password is taken away, so that what is new cannot be pulled.
	s.bed.Kubectl(s.t, "", "-n", apps, "delete", "secret", "pull")
	s.push("Four", map[string]string{"Dockerfile": "FROM BASE\nRUN echo four >/four\n"})
	s.wait(4, "Not rolled out", "ImagePullBackOff")
	s.click("alice", "Roll back", "build #4")
	s.click("alice", "Yes, roll back", "private")
	s.wait(4, "Rolled back", "Auto-deploy has been paused")
	if got := s.deployed(apps); got != before {
		s.t.Errorf("after the roll back %s is deployed, want %s", got, before)
	}
}
