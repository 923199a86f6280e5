package tekton_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/tektonsim"
	"kovra.dev/chatops/tekton"
)

func TestABuildFromStartToEnd(t *testing.T) {
	w := newWorld(t, tekton.Options{})
	b := build(7)
	w.start(b)

	got := w.look(b.Ref())
	if got.Status != kovra.BuildPending || got.Message != "Tekton has not taken it up yet." {
		t.Errorf("at first %s, %q", got.Status, got.Message)
	}
	w.sim.Step()
	w.sim.Step()
	got = w.look(b.Ref())
	if want := "clone/clone=pending detect/detect=pending build-and-push/build=pending build-and-push/push=pending"; steps(got) != want {
		t.Errorf("steps %q, want %q", steps(got), want)
	}
	seen := map[string]bool{}
	w.stepTo("it ends", func() bool {
		got = w.look(b.Ref())
		seen[string(got.Status)+" "+steps(got)] = true
		if strings.Count(steps(got), "=running") > 1 {
			t.Errorf("two steps run at once: %s", steps(got))
		}
		return got.Status.Final()
	})
	for _, want := range []string{
		"Building clone/clone=running detect/detect=pending build-and-push/build=pending build-and-push/push=pending",
		"Building clone/clone=success detect/detect=success build-and-push/build=running build-and-push/push=pending",
		"Building clone/clone=success detect/detect=success build-and-push/build=success build-and-push/push=running",
	} {
		if !seen[want] {
			t.Errorf("never seen: %s", want)
		}
	}
	if got.Status != kovra.BuildSucceeded || got.Message != "" || got.FinishedAt.IsZero() || got.StartedAt.IsZero() || got.CreatedAt.IsZero() {
		t.Errorf("ended as %+v", got)
	}
	if got.Results[kovra.ResultCommit] != commit || !strings.HasPrefix(got.Results[kovra.ResultDigest], "sha256:") || got.Results[kovra.ResultDockerfile] != "Dockerfile" {
		t.Errorf("results %v", got.Results)
	}
}

func TestFailuresAreTold(t *testing.T) {
	for _, c := range []struct {
		name          string
		sc            tektonsim.Scenario
		steps, public string
	}{
		{
			"exit code",
			tektonsim.Scenario{Fail: "build", ExitCode: 2},
			"clone/clone=success detect/detect=success build-and-push/build=failed build-and-push/push=skipped",
			"Step build ended with exit code 2.",
		},
		{
			"memory",
			tektonsim.Scenario{Fail: "build", OOM: true},
			"clone/clone=success detect/detect=success build-and-push/build=failed build-and-push/push=skipped",
			"Step build ran out of memory and was killed.",
		},
		{
			"first step",
			tektonsim.Scenario{Fail: "clone", ExitCode: 128},
			"clone/clone=failed detect/detect=skipped build-and-push/build=skipped build-and-push/push=skipped",
			"Step clone ended with exit code 128.",
		},
		{
			"time",
			tektonsim.Scenario{Hang: "build", TimeOut: true},
			"clone/clone=success detect/detect=success build-and-push/build=failed build-and-push/push=skipped",
			"It did not finish within 1h and was stopped.",
		},
		{
			"image",
			tektonsim.Scenario{Pending: tektonsim.ImagePull, Task: "build-and-push", Gone: true},
			"clone/clone=success detect/detect=success build-and-push/build=failed build-and-push/push=skipped",
			`Step build: The step "build" in TaskRun "web-b7-abcdefgh-build-and-push" failed to pull the image`,
		},
		{
			"pod",
			tektonsim.Scenario{Pending: tektonsim.Quota, Gone: true},
			"clone/clone=failed detect/detect=skipped build-and-push/build=skipped build-and-push/push=skipped",
			"Step clone: Failed to create task run pod",
		},
		{
			"a second attempt goes well",
			tektonsim.Scenario{Fail: "push", Retries: 1},
			"clone/clone=success detect/detect=success build-and-push/build=success build-and-push/push=success", "",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, tekton.Options{})
			w.sim.Script("web", c.sc)
			w.start(build(7))
			w.sim.Settle()
			b := build(7)
			got := w.look(b.Ref())
			if !got.Status.Final() || (c.public == "") != (got.Status == kovra.BuildSucceeded) {
				t.Errorf("status %s", got.Status)
			}
			if steps(got) != c.steps {
				t.Errorf("steps\n got %s\nwant %s", steps(got), c.steps)
			}
			if !strings.Contains(got.Message, c.public) || (c.public == "") != (got.Message == "") {
				t.Errorf("message %q, want %q", got.Message, c.public)
			}
		})
	}
}

func TestWhatABuildWaitsForIsTold(t *testing.T) {
	for trouble, want := range map[tektonsim.Trouble]string{
		tektonsim.ImagePull:     "The image registry.example.com/kovra/clone:1 of step clone cannot be pulled: Back-off pulling image",
		tektonsim.Unschedulable: "No node of the cluster can run its pod: 0/3 nodes are available: 3 Insufficient memory.",
		tektonsim.NoVolume:      "No volume is there for it to work in",
		tektonsim.NoSecret:      "The Secret kovra-git is missing in namespace kovra-builds.",
		tektonsim.NoConfig:      "The Secret web-env is missing in namespace kovra-builds.",
		tektonsim.Quota:         "The quota of namespace kovra-builds is used up",
	} {
		t.Run(string(trouble), func(t *testing.T) {
			w := newWorld(t, tekton.Options{})
			w.sim.Script("web", tektonsim.Scenario{Pending: trouble})
			b := build(7)
			w.start(b)
			w.sim.Settle()
			got := w.look(b.Ref())
			if got.Status != kovra.BuildPending || !strings.HasPrefix(got.Message, want) {
				t.Errorf("%s, %q, want %q", got.Status, got.Message, want)
			}
			w.sim.Release("")
			w.sim.Settle()
			if got := w.look(b.Ref()); got.Status != kovra.BuildSucceeded && trouble != tektonsim.Quota {
				t.Errorf("after its release it is %s: %s", got.Status, got.Message)
			}
		})
	}
}

func TestWithoutTheRightToReadTasksAndPodsARunIsStillDescribed(t *testing.T) {
	w := newWorld(t, tekton.Options{})
	for _, what := range []string{"tasks", "pods", "events"} {
		w.sim.Forbid("*", what)
	}
	w.sim.Script("web", tektonsim.Scenario{Pending: tektonsim.Unschedulable})
	b := build(7)
	w.start(b)
	w.sim.Settle()
	got := w.look(b.Ref())
	if want := "clone/clone=pending detect/detect=pending build-and-push/build-and-push=pending"; steps(got) != want {
		t.Errorf("steps %q, want %q", steps(got), want)
	}
	if got.Message != "No node of the cluster has room for its pod." {
		t.Errorf("message %q", got.Message)
	}
}

func TestAnIncompleteInstallationIsTold(t *testing.T) {
	for _, c := range []struct{ remove, want string }{
		{"kovra-build", "The Pipeline kovra-build is not in namespace kovra-builds, or cannot be used; an administrator applies manifests/tekton there."},
		{"kovra-detect", "A Task of the Pipeline kovra-build is not in namespace kovra-builds; an administrator applies manifests/tekton there."},
	} {
		w := newWorld(t, tekton.Options{})
		w.sim.RemovePipeline("kovra-builds", c.remove)
		b := build(7)
		w.start(b)
		w.sim.Settle()
		if got := w.look(b.Ref()); got.Status != kovra.BuildFailed || !strings.HasPrefix(got.Message, c.want) {
			t.Errorf("without %s: %s, %q", c.remove, got.Status, got.Message)
		}
	}
}

func TestStartIsByName(t *testing.T) {
	w := newWorld(t, tekton.Options{})
	b := build(7)
	w.sim.Fault(tektonsim.LoseReply("create pipelineruns"))
	wantErr(t, w.c.StartBuild(t.Context(), b), kovra.Unavailable, "could not be reached")
	for range 2 {
		w.start(b)
	}
	if runs := w.sim.Runs(); len(runs) != 1 {
		t.Errorf("%d runs, want 1", len(runs))
	}
	other := build(8)
	other.Name = b.Name
	wantErr(t, w.c.StartBuild(t.Context(), other), kovra.Invalid, "that is not this one")
}

func TestRefusalsToStart(t *testing.T) {
	for _, c := range []struct {
		name   string
		set    func(*world, *kovra.Build)
		kind   kovra.ErrorKind
		public string
	}{
		{"namespace", func(_ *world, b *kovra.Build) { b.Spec.Namespace = "nowhere" }, kovra.Invalid, "There is no namespace nowhere"},
		{"right", func(w *world, _ *kovra.Build) { w.sim.Forbid("create", "pipelineruns") }, kovra.Denied, "The bot may not create pipelineruns in namespace kovra-builds"},
		{"webhook", func(w *world, _ *kovra.Build) { w.sim.Fault(tektonsim.WebhookDown("create pipelineruns")) }, kovra.Unavailable, "Tekton's admission webhook does not answer."},
		{"trouble", func(w *world, _ *kovra.Build) { w.sim.Fault(tektonsim.Status("create pipelineruns", 502)) }, kovra.Unavailable, "The cluster is in trouble (502 Bad Gateway)."},
		{"down", func(w *world, _ *kovra.Build) { w.sim.SetDown(true) }, kovra.Unavailable, "The cluster could not be reached."},
		{"commit", func(_ *world, b *kovra.Build) { b.Spec.Commit = "main" }, kovra.Invalid, "no full id of a commit"},
		{"credentials", func(_ *world, b *kovra.Build) { b.Spec.CloneURL = "https://u:p@gitlab.example.com/x.git" }, kovra.Invalid, "must not hold credentials"},
		{"address", func(_ *world, b *kovra.Build) { b.Spec.CloneURL = "file:///etc" }, kovra.Invalid, "http or https URL"},
		{"image", func(_ *world, b *kovra.Build) { b.Spec.Image = "a b" }, kovra.Invalid, "no name of an image"},
		{"secret", func(_ *world, b *kovra.Build) { b.Spec.Secrets = []string{"kovra-registry"} }, kovra.Invalid, "cannot be a build secret"},
		{"argument", func(_ *world, b *kovra.Build) { b.Spec.Args = []kovra.BuildArg{{Key: "A", Value: "1\n2"}} }, kovra.Invalid, "line break"},
		{"path", func(_ *world, b *kovra.Build) { b.Spec.Context = "../x" }, kovra.Invalid, "must stay inside"},
		{"name", func(_ *world, b *kovra.Build) { b.Name = "Not Valid" }, kovra.Invalid, "cannot name a PipelineRun"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, tekton.Options{})
			b := build(7)
			c.set(w, &b)
			wantErr(t, w.c.StartBuild(t.Context(), b), c.kind, c.public)
		})
	}
}

func TestAClusterWithoutTektonSaysSo(t *testing.T) {
	w := worldOf(t, tekton.Options{}, tektonsim.Options{NoTekton: true})
	wantErr(t, w.c.StartBuild(t.Context(), build(7)), kovra.Invalid, "Tekton Pipelines is not installed in the cluster")
}

func TestAWrongTokenIsTheBotsOwn(t *testing.T) {
	w := newWorld(t, tekton.Options{Transport: func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", "Bearer nonsense")
			return next.RoundTrip(r)
		})
	}})
	_, err := w.c.Look(t.Context(), kovra.ClusterRef{Name: "x"})
	wantErr(t, err, kovra.Denied, "does not accept the bot's credentials")
	if !errors.Is(err, kovra.ErrToken) {
		t.Errorf("%v is not ErrToken", err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTheClusterMayAskToWait(t *testing.T) {
	w := newWorld(t, tekton.Options{Timeout: 200 * time.Millisecond})
	w.sim.Fault(tektonsim.RateLimit("get pipelineruns", time.Minute).Times(20))
	_, err := w.c.Look(t.Context(), kovra.ClusterRef{Name: "x"})
	wantErr(t, err, kovra.Unavailable, "")
}

func TestCancel(t *testing.T) {
	w := newWorld(t, tekton.Options{})
	w.sim.Script("web", tektonsim.Scenario{Hang: "build"})
	b := build(7)
	w.start(b)
	w.sim.Settle()
	w.sim.Fault(tektonsim.Status("patch pipelineruns", http.StatusConflict))
	for range 2 {
		if err := w.c.Cancel(t.Context(), b.Ref()); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.look(b.Ref()); !got.Cancelling || got.Status != kovra.BuildBuilding || got.Message != "It is being cancelled." {
		t.Errorf("meanwhile %+v", got)
	}
	w.sim.Settle()
	got := w.look(b.Ref())
	if got.Status != kovra.BuildCancelled || got.Message != "" {
		t.Errorf("at last %s, %q", got.Status, got.Message)
	}
	if want := "clone/clone=success detect/detect=success build-and-push/build=canceled build-and-push/push=canceled"; steps(got) != want {
		t.Errorf("steps %q, want %q", steps(got), want)
	}
	if err := w.c.Cancel(t.Context(), b.Ref()); err != nil {
		t.Errorf("cancelling what has ended: %v", err)
	}
}

func TestCancelOfWhatHasEndedOrIsGoneIsNoError(t *testing.T) {
	w := newWorld(t, tekton.Options{})
	b := build(7)
	w.start(b)
	w.sim.Settle()
	if err := w.c.Cancel(t.Context(), b.Ref()); err != nil {
		t.Errorf("ended: %v", err)
	}
	if got := w.look(b.Ref()); got.Status != kovra.BuildSucceeded || got.Cancelling {
		t.Errorf("after that %+v", got)
	}
	if err := w.c.Cancel(t.Context(), kovra.ClusterRef{Name: "gone"}); err != nil {
		t.Errorf("gone: %v", err)
	}
	w.sim.Forbid("patch", "pipelineruns")
	wantErr(t, w.c.Cancel(t.Context(), b.Ref()), kovra.Denied, "The bot may not patch pipelineruns")
}

func TestADeploymentTellsTheImageBeforeAlsoWhenItFails(t *testing.T) {
	const before = "registry.example.com/team/web@sha256:bbb"
	for _, fail := range []string{"", "rollout"} {
		w := newWorld(t, tekton.Options{})
		w.sim.AddDeployment(tektonsim.Deployment{Namespace: "prod", Name: "web", Image: before})
		w.sim.Script("web", tektonsim.Scenario{Fail: fail})
		d := deployment(3)
		if err := w.c.StartDeployment(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		w.sim.Settle()
		got := w.look(d.Ref())
		want := map[string]string{kovra.ResultPreviousImage: before, "IMAGE": digest}
		if diff := cmp.Diff(want, got.Results); diff != "" {
			t.Errorf("failing in %q (-want +got):\n%s", fail, diff)
		}
		if got := w.sim.DeployedImage("prod", "web", ""); got != digest {
			t.Errorf("failing in %q: it runs %s", fail, got)
		}
	}
	w := newWorld(t, tekton.Options{})
	d := deployment(3)
	wantErr(t, w.c.StartDeployment(t.Context(), d), kovra.NotFound, "There is no Deployment web in namespace prod.")
	w.sim.AddDeployment(tektonsim.Deployment{Namespace: "prod", Name: "web", Image: before, Labels: map[string]string{"helm.toolkit.fluxcd.io/name": "web"}})
	if err := w.c.StartDeployment(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	w.sim.Settle()
	if got := w.look(d.Ref()); got.Status != kovra.BuildFailed || got.Message != "Step patch ended with exit code 1." || w.sim.DeployedImage("prod", "web", "") != before {
		t.Errorf("one that Flux owns: %+v", got)
	}
	d.Target.Container = "web"
	d.Image = "web:latest"
	wantErr(t, w.c.StartDeployment(t.Context(), d), kovra.Invalid, "by its digest")
	d = deployment(3)
	d.Target.Deployment = "$(x)"
	wantErr(t, w.c.StartDeployment(t.Context(), d), kovra.Invalid, "cannot be one")
}

func TestTargets(t *testing.T) {
	w := newWorld(t, tekton.Options{})
	add := func(name string, labels, notes map[string]string, containers ...string) {
		w.sim.AddDeployment(tektonsim.Deployment{Namespace: "prod", Name: name, Image: "web:1", Containers: containers, Labels: labels, Annotations: notes})
	}
	add("plain", map[string]string{"app.kubernetes.io/instance": "web"}, nil)
	add("two", nil, nil, "web", "proxy")
	add("argo", nil, map[string]string{"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:prod/argo"})
	add("argo-label", map[string]string{"argocd.argoproj.io/instance": "shop"}, nil)
	add("flux", map[string]string{"kustomize.toolkit.fluxcd.io/name": "apps"}, nil)
	add("flux-helm", map[string]string{"helm.toolkit.fluxcd.io/name": "web", "app.kubernetes.io/managed-by": "Helm"}, nil)
	add("helm", map[string]string{"app.kubernetes.io/managed-by": "Helm"}, map[string]string{"meta.helm.sh/release-name": "web"})
	add("helm-label", map[string]string{"app.kubernetes.io/managed-by": "Helm"}, nil)
	for _, c := range []struct{ name, container, image, owner string }{
		{"plain", "", "web:1", ""},
		{"plain", "plain", "web:1", ""},
		{"two", "web", "web:1", ""},
		{"argo", "", "web:1", "Argo CD (application shop)"},
		{"argo-label", "", "web:1", "Argo CD (application shop)"},
		{"flux", "", "web:1", "Flux (Kustomization apps)"},
		{"flux-helm", "", "web:1", "Flux (HelmRelease web)"},
		{"helm", "", "web:1", "Helm (release web)"},
		{"helm-label", "", "web:1", "Helm"},
	} {
		got, err := w.c.Target(t.Context(), kovra.DeployTarget{Namespace: "prod", Deployment: c.name, Container: c.container})
		if err != nil || got.Image != c.image || got.Owner != c.owner {
			t.Errorf("%s: %+v, %v; want %s owned by %q", c.name, got, err, c.image, c.owner)
		}
	}
	_, err := w.c.Target(t.Context(), kovra.DeployTarget{Namespace: "prod", Deployment: "two"})
	wantErr(t, err, kovra.Invalid, "has 2 containers (web, proxy); the settings must name one")
	_, err = w.c.Target(t.Context(), kovra.DeployTarget{Namespace: "prod", Deployment: "two", Container: "db"})
	wantErr(t, err, kovra.Invalid, "has no container db; it has web, proxy")
	_, err = w.c.Target(t.Context(), kovra.DeployTarget{Namespace: "prod", Deployment: "none"})
	wantErr(t, err, kovra.NotFound, "There is no Deployment none in namespace prod.")
	w.sim.Forbid("get", "deployments")
	_, err = w.c.Target(t.Context(), kovra.DeployTarget{Namespace: "prod", Deployment: "plain"})
	wantErr(t, err, kovra.Denied, "The bot may not get deployments in namespace prod")
}

func TestOptionsThatCannotWork(t *testing.T) {
	for _, o := range []tekton.Options{
		{StorageSize: "much"}, {StorageSize: "-1Gi"}, {BuildTimeout: time.Millisecond}, {Kubeconfig: "/nowhere/kubeconfig"}, {},
	} {
		_, err := tekton.New(o)
		wantErr(t, err, kovra.Invalid, "")
	}
}
