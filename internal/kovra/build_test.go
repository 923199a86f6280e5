package kovra

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var buildNow = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func clone(status Status, started, finished time.Duration) Step {
	s := Step{Task: "clone", Name: "clone", Status: status}
	if started > 0 {
		s.StartedAt = buildNow.Add(started)
	}
	if finished > 0 {
		s.FinishedAt = buildNow.Add(finished)
	}
	return s
}

// TestBuildObserve walks a build through what a cluster tells of it.
func TestBuildObserve(t *testing.T) {
	b := Build{Status: BuildPending, Phase: PhaseStarted}
	digest := map[string]string{ResultDigest: "sha256:1", ResultDockerfile: "docker/Dockerfile", ResultImage: "ignored"}
	steps := []struct {
		name    string
		told    ClusterRun
		changed bool
		check   func() bool
	}{
		{"made", ClusterRun{Status: BuildPending, Reason: "Pending", Message: "Pulling an image."}, true, func() bool {
			return b.Phase == PhaseMade && b.Message == "Pulling an image." && b.StartedAt.IsZero() && b.SeenAt.Equal(buildNow)
		}},
		{"the same again", ClusterRun{Status: BuildPending, Reason: "Pending", Message: "Pulling an image."}, false, nil},
		{"runs", ClusterRun{Status: BuildBuilding, StartedAt: buildNow, Steps: []Step{clone(Running, 1, 0)}}, true, func() bool {
			return b.Status == BuildBuilding && b.StartedAt.Equal(buildNow) && b.Message == "" && len(b.Steps) == 1
		}},
		{"a step ends", ClusterRun{Status: BuildBuilding, StartedAt: buildNow, Steps: []Step{clone(Success, 1, 2)}}, true, nil},
		{"a log excerpt is no news of the cluster", ClusterRun{Status: BuildBuilding, StartedAt: buildNow, Steps: []Step{{
			Task: "clone", Name: "clone", Status: Success, StartedAt: buildNow.Add(1), FinishedAt: buildNow.Add(2), FirstLine: 9,
		}}}, false, nil},
		{"pushed", ClusterRun{Status: BuildBuilding, Results: digest}, true, func() bool {
			return b.Digest == "sha256:1" && b.Dockerfile == "docker/Dockerfile" && len(b.Steps) == 1 && b.StartedAt.Equal(buildNow)
		}},
		{"ended", ClusterRun{Status: BuildSucceeded, Reason: "Completed"}, true, func() bool {
			return b.Phase == PhaseEnded && b.FinishedAt.Equal(buildNow) && b.Digest == "sha256:1"
		}},
		{"deleted later", ClusterRun{Status: BuildFailed, Reason: "Gone"}, false, func() bool { return b.Status == BuildSucceeded }},
	}
	for _, s := range steps {
		if got := b.Observe(s.told, buildNow); got != s.changed {
			t.Errorf("%s: changed %t, want %t", s.name, got, s.changed)
		}
		if s.check != nil && !s.check() {
			t.Errorf("%s: %+v", s.name, b)
		}
	}
}

// TestObserveKeepsWhatWeKnow: the cluster knows nothing of our logs, and forgets steps with their pods.
func TestObserveKeepsWhatWeKnow(t *testing.T) {
	known := clone(Running, 1, 0)
	known.FirstLine, known.Log, known.Excerpt = 3, LogCut, Excerpt{First: 7}
	b := Build{Status: BuildBuilding, Phase: PhaseMade, Steps: []Step{known, {Task: "build-and-push", Name: "build", Status: Running, StartedAt: buildNow}}}
	b.Observe(ClusterRun{Status: BuildBuilding, Steps: []Step{{Task: "detect", Name: "detect", Status: Pending}, clone(Failed, 0, 5)}}, buildNow)
	var keys []string
	for _, s := range b.Steps {
		keys = append(keys, s.Key()+" "+string(s.Status))
	}
	if want := []string{"detect/detect pending", "clone/clone failed", "build-and-push/build running"}; !slices.Equal(keys, want) {
		t.Errorf("steps %q, want %q", keys, want)
	}
	got := b.Steps[1]
	if got.FirstLine != 3 || got.Log != LogCut || got.Excerpt.First != 7 || !got.StartedAt.Equal(known.StartedAt) || got.Duration() != 4 {
		t.Errorf("step %+v", got)
	}
	if s, ok := b.FailedStep(); !ok || s.Key() != "clone/clone" {
		t.Errorf("failed step %+v, %t", s, ok)
	}
}

// TestEndClosesSteps: nothing runs on in a build that has ended.
func TestEndClosesSteps(t *testing.T) {
	open := func() []Step {
		return []Step{clone(Success, 1, 2), {Name: "build", Status: Running, StartedAt: buildNow}, {Name: "push", Status: Pending}}
	}
	for _, tt := range []struct {
		status BuildStatus
		want   []Status
	}{
		{BuildCancelled, []Status{Success, Canceled, Skipped}},
		{BuildFailed, []Status{Success, Canceled, Skipped}},
		{BuildSucceeded, []Status{Success, Success, Success}},
	} {
		ended := Build{Steps: open()}
		ended.End(tt.status, "r", "m", buildNow)
		told := Build{Status: BuildBuilding, Steps: open()}
		told.Observe(ClusterRun{Status: tt.status, FinishedAt: buildNow}, buildNow.Add(time.Hour))
		d := Deployment{Status: BuildBuilding, Steps: open()}
		d.Observe(ClusterRun{Status: tt.status, FinishedAt: buildNow}, buildNow.Add(time.Hour))
		e := Deployment{Steps: open()}
		e.End(tt.status, "r", "m", buildNow)
		for name, steps := range map[string][]Step{"ended": ended.Steps, "told": told.Steps, "deployment": d.Steps, "deployment ended": e.Steps} {
			var got []Status
			for _, s := range steps {
				got = append(got, s.Status)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%s, %s: %v, want %v", tt.status, name, got, tt.want)
			}
		}
		if !told.FinishedAt.Equal(buildNow) || !d.FinishedAt.Equal(buildNow) || told.Phase != PhaseEnded || e.Phase != PhaseEnded || !e.FinishedAt.Equal(buildNow) {
			t.Errorf("%s: %v, %v", tt.status, told.FinishedAt, d.FinishedAt)
		}
	}
}

func TestDeploymentObserve(t *testing.T) {
	d := Deployment{Status: BuildPending, Image: "r.example/web@sha256:2"}
	if !d.Observe(ClusterRun{Status: BuildBuilding, StartedAt: buildNow, Results: map[string]string{ResultPreviousImage: "r.example/web@sha256:1"}}, buildNow) {
		t.Error("no change")
	}
	if d.CanRollBack() || d.From == "" || d.Phase != PhaseMade || d.Duration() != 0 {
		t.Errorf("rolls out: %+v", d)
	}
	if !d.Observe(ClusterRun{Status: BuildFailed, FinishedAt: buildNow.Add(time.Minute)}, buildNow) || d.Observe(ClusterRun{Status: BuildSucceeded}, buildNow) {
		t.Error("the end is told once")
	}
	if !d.CanRollBack() || d.Duration() != time.Minute || d.Status != BuildFailed {
		t.Errorf("ended: %+v", d)
	}
	if d.Image = d.From; d.CanRollBack() {
		t.Error("may be rolled back to what runs")
	}
}

func TestBuildOffers(t *testing.T) {
	for s, want := range map[BuildStatus][3]bool{ // cancel, rebuild, deploy
		BuildPending: {true, false, false}, BuildBuilding: {true, false, false}, BuildFailed: {false, true, false},
		BuildCancelled: {false, true, false}, BuildSucceeded: {false, true, true},
	} {
		b := Build{Status: s, Digest: "sha256:1"}
		if got := [3]bool{b.CanCancel(), b.CanRebuild(), b.CanDeploy()}; got != want {
			t.Errorf("%s: %v, want %v", s, got, want)
		}
		if b.Cancel.Wanted = true; b.CanCancel() {
			t.Errorf("%s: may be cancelled twice", s)
		}
		if b.Digest = ""; b.CanDeploy() {
			t.Errorf("%s: may be deployed without an image", s)
		}
	}
}

func TestBuildDuration(t *testing.T) {
	b := Build{StartedAt: buildNow, FinishedAt: buildNow.Add(-time.Second)}
	if got := b.Duration(); got != 0 {
		t.Errorf("an end before the beginning: %v", got)
	}
	if b.FinishedAt = buildNow.Add(time.Minute); b.Duration() != time.Minute {
		t.Errorf("got %v", b.Duration())
	}
	if b.StartedAt = (time.Time{}); b.Duration() != 0 {
		t.Errorf("never started: %v", b.Duration())
	}
}

func TestImages(t *testing.T) {
	for image, want := range map[string]string{
		"r.example/team/web:1a2b":              "r.example/team/web",
		"r.example:5000/web:1a2b":              "r.example:5000/web",
		"r.example:5000/web":                   "r.example:5000/web",
		"r.example/web@sha256:00":              "r.example/web",
		"r.example:5000/web:1a2b@sha256:00":    "r.example:5000/web",
		"web:latest":                           "web",
		"":                                     "",
		"r.example:5000/team/web@sha256:ab:cd": "r.example:5000/team/web",
	} {
		if got := Repository(image); got != want {
			t.Errorf("Repository(%q) = %q, want %q", image, got, want)
		}
	}
	b := Build{Spec: BuildSpec{Image: "r.example:5000/web:1a2b", Commit: "0123456789abcdef"}}
	if got := b.ImageByDigest(); got != "" {
		t.Errorf("before it is pushed: %q", got)
	}
	if b.Digest = "sha256:00"; b.ImageByDigest() != "r.example:5000/web@sha256:00" || b.ShortSHA() != "01234567" {
		t.Errorf("got %q, %q", b.ImageByDigest(), b.ShortSHA())
	}
}

var kubeRunName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

func TestRunName(t *testing.T) {
	for _, tt := range []struct {
		app  string
		kind string
		id   int64
		want string
	}{
		{"web", "b", 12, "web-b12-0a1b2c3d"},
		{"web", "d", 12, "web-d12-0a1b2c3d"},
		{"an-app-with-a-really-long-name-of-forty-c", "b", 7, "an-app-with-a-real-b7-0a1b2c3d"},
		{"seventeen-letter--x", "b", 7, "seventeen-letter-b7-0a1b2c3d"},
		{"web-", "b", 7, "web-b7-0a1b2c3d"},
		{"eighteen-letters-x", "b", math.MaxInt64, "eighteen-l-b9223372036854775807-0a1b2c3d"},
	} {
		if got := RunName(tt.app, tt.kind, tt.id, "0a1b2c3d"); got != tt.want {
			t.Errorf("RunName(%q, %q, %d) = %q, want %q", tt.app, tt.kind, tt.id, got, tt.want)
		}
	}
}

// FuzzRunName: any app and number give a name that Kubernetes takes, and no two builds the same one.
func FuzzRunName(f *testing.F) {
	f.Add("web", int64(1), int64(2))
	f.Add("eighteen-letters-x", int64(math.MaxInt64), int64(1))
	f.Add("a-----------------------", int64(99), int64(9))
	f.Fuzz(func(t *testing.T, app string, one, other int64) {
		if !appName.MatchString(app) || one <= 0 || other <= 0 {
			t.Skip("no name of an app")
		}
		name := RunName(app, "b", one, "a1b2c3d4")
		if len(name) > 40 || !kubeRunName.MatchString(name) || !IsKubeLabel(name) || !IsKubeName(name) {
			t.Errorf("RunName(%q, %d) = %q", app, one, name)
		}
		if name == RunName(app, "d", one, "a1b2c3d4") || one != other && name == RunName(app, "b", other, "a1b2c3d4") {
			t.Errorf("%q is the name of another one too", name)
		}
		if !strings.HasSuffix(name, "-a1b2c3d4") {
			t.Errorf("%q lacks its salt", name)
		}
	})
}

func TestNewBuildTakesSettingsAsTheyAre(t *testing.T) {
	s := BuildSettings{
		App: "web", Dockerfile: "d", Context: "c", Args: []BuildArg{{"A", "1"}}, Secrets: []string{"s"}, AutoDeploy: true,
		Target: DeployTarget{Namespace: "n", Deployment: "d"}, Namespace: "b", ServiceAccount: "a", Registry: "r.example",
	}
	b := NewBuild(s, 7, "v1", true, Commit{SHA: "c0ffee", Title: "T", Author: GitLabUser{Name: "Ann"}})
	s.Args[0].Value, s.Secrets[0] = "2", "t"
	if b.Spec.Args[0].Value != "1" || b.Spec.Secrets[0] != "s" {
		t.Error("a later change of the settings reaches the build")
	}
	if !b.Spec.Deploy || !b.Spec.Tag || b.Spec.Branch != "v1" || b.Title != "T" || b.Author.Name != "Ann" || b.Project != 7 || b.Spec.Registry != "r.example" {
		t.Errorf("got %+v", b)
	}
	if s.Paused = true; NewBuild(s, 7, "main", false, Commit{}).Spec.Deploy {
		t.Error("it deploys although auto-deploy is paused")
	}
}

func TestIsSHA(t *testing.T) {
	for v, want := range map[string]bool{
		strings.Repeat("a", 40): true, strings.Repeat("0f", 32): true, strings.Repeat("a", 39): false, strings.Repeat("0", 40): false,
		strings.Repeat("0", 64): false, strings.Repeat("A", 40): false, strings.Repeat("g", 40): false, "": false, strings.Repeat("a", 40) + "\n": false,
	} {
		if got := IsSHA(v); got != want {
			t.Errorf("IsSHA(%q) = %t", v, got)
		}
	}
	for ref, want := range map[string][2]any{
		"refs/heads/main": {"main", false}, "refs/tags/v1": {"v1", true}, "main": {"main", false}, "refs/heads/refs/tags/x": {"refs/tags/x", false}, "": {"", false},
	} {
		if name, isTag := FullRef(ref); name != want[0] || isTag != want[1] {
			t.Errorf("FullRef(%q) = %q, %t", ref, name, isTag)
		}
	}
}
