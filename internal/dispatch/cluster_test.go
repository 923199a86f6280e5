package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

const registry = "registry.example.com/team"

// cluster is a Kubernetes that does as the test says: PipelineRuns are what it was asked to make and what the test
// makes of them.
type cluster struct {
	runs   map[string]*pipelineRun
	starts []string // every call that makes something, by name

	startErr, lookErr, cancelErr func() error
	followErr                    func(line int) error // before a line is told
	targets                      map[string]kovra.TargetState
	targetErr                    error
	commits                      map[string]kovra.Commit
	commitErr                    error
	tags                         []kovra.Tag
	most                         int // runs under way at once, at most
}

// pipelineRun is one on the cluster.
type pipelineRun struct {
	kovra.ClusterRun
	lines   []kovra.StepLine
	cancels int
	build   kovra.Build
	deploy  kovra.Deployment
}

func newCluster() *cluster {
	return &cluster{
		runs:    map[string]*pipelineRun{},
		targets: map[string]kovra.TargetState{"shop/web": {Image: "old@sha256:0", Containers: []string{"app"}}},
		commits: map[string]kovra.Commit{"main": commit(1)},
	}
}

func commit(n int) kovra.Commit {
	return kovra.Commit{SHA: fmt.Sprintf("%040x", 0xabcdef00+n), Title: fmt.Sprintf("Commit %d", n)}
}

func fails(f func() error) error {
	if f == nil {
		return nil
	}
	return f()
}

func (c *cluster) make(ref kovra.ClusterRef) (*pipelineRun, error) {
	c.starts = append(c.starts, ref.Name)
	if err := fails(c.startErr); err != nil && kovra.KindOf(err) != kovra.Unclear {
		return nil, err
	}
	if c.runs[ref.Name] == nil {
		c.runs[ref.Name] = &pipelineRun{ClusterRun: kovra.ClusterRun{Namespace: ref.Namespace, Name: ref.Name, Status: kovra.BuildPending}}
	}
	open := 0
	for _, r := range c.runs {
		if !r.Status.Final() {
			open++
		}
	}
	c.most = max(c.most, open)
	return c.runs[ref.Name], fails(c.startErr)
}

func (c *cluster) StartBuild(_ context.Context, b kovra.Build) error {
	r, err := c.make(b.Ref())
	if r != nil {
		r.build = b
	}
	return err
}

func (c *cluster) StartDeployment(_ context.Context, d kovra.Deployment) error {
	r, err := c.make(d.Ref())
	if r != nil {
		r.deploy = d
	}
	return err
}

func (c *cluster) Cancel(_ context.Context, ref kovra.ClusterRef) error {
	if err := fails(c.cancelErr); err != nil {
		return err
	}
	if r := c.runs[ref.Name]; r != nil && !r.Status.Final() {
		r.cancels++
		r.Cancelling = true
	}
	return nil
}

func (c *cluster) Look(_ context.Context, ref kovra.ClusterRef) (kovra.ClusterRun, error) {
	if err := fails(c.lookErr); err != nil {
		return kovra.ClusterRun{}, err
	}
	r := c.runs[ref.Name]
	if r == nil {
		return kovra.ClusterRun{}, kovra.Errorf(kovra.NotFound, "There is no PipelineRun %s.", ref.Name)
	}
	out := r.ClusterRun
	out.Steps = slices.Clone(r.Steps)
	return out, nil
}

// Follow tells what there is; of a run that goes on it then breaks off.
func (c *cluster) Follow(_ context.Context, ref kovra.ClusterRef, cursor string, each func(kovra.StepLine) error) error {
	r := c.runs[ref.Name]
	if r == nil {
		return nil
	}
	from := 0
	if cursor != "" {
		var err error
		if from, err = strconv.Atoi(cursor); err != nil {
			return err
		}
	}
	for i := from; i < len(r.lines); i++ {
		if c.followErr != nil {
			if err := c.followErr(i); err != nil {
				return err
			}
		}
		l := r.lines[i]
		l.Cursor = strconv.Itoa(i + 1)
		if err := each(l); err != nil {
			return err
		}
	}
	if !r.Status.Final() {
		return kovra.Errorf(kovra.Unavailable, "The stream broke off.")
	}
	return nil
}

func (c *cluster) Target(_ context.Context, t kovra.DeployTarget) (kovra.TargetState, error) {
	s, ok := c.targets[t.Name()]
	if c.targetErr == nil && !ok {
		return s, kovra.Errorf(kovra.NotFound, "There is no Deployment %s.", t.Name())
	}
	return s, c.targetErr
}

func (c *cluster) Commit(_ context.Context, _ int64, ref string) (kovra.Commit, error) {
	found, ok := c.commits[ref]
	if c.commitErr == nil && !ok {
		return found, kovra.Errorf(kovra.NotFound, "no such ref")
	}
	return found, c.commitErr
}

func (c *cluster) Branch(ctx context.Context, project int64, name string) (kovra.Commit, error) {
	return c.Commit(ctx, project, name)
}

func (c *cluster) Tags(context.Context, int64, int) ([]kovra.Tag, error) {
	return slices.Clone(c.tags), c.commitErr
}

// writes adds what a step writes to a run.
func (r *pipelineRun) writes(task, step string, lines ...string) {
	last := len(r.lines) - 1
	if last < 0 || r.lines[last].Task != task || r.lines[last].Step != step {
		r.lines = append(r.lines, kovra.StepLine{Task: task, Step: step, Begins: true, Text: "whatever"})
	}
	for _, text := range lines {
		r.lines = append(r.lines, kovra.StepLine{Task: task, Step: step, Text: text})
	}
}

// step sets a step of the run.
func (r *pipelineRun) step(task, name string, s kovra.Status) {
	i := slices.IndexFunc(r.Steps, func(o kovra.Step) bool { return o.Task == task && o.Name == name })
	if i < 0 {
		r.Steps = append(r.Steps, kovra.Step{Task: task, Name: name})
		i = len(r.Steps) - 1
	}
	if r.Steps[i].Status = s; s == kovra.Running {
		r.Steps[i].StartedAt = morning
	}
}

// builds has the run do its first steps.
func (r *pipelineRun) builds(at time.Time) {
	r.Status, r.StartedAt = kovra.BuildBuilding, at
	r.step("clone", "clone", kovra.Success)
	r.step("build-and-push", "build", kovra.Running)
	r.step("build-and-push", "push", kovra.Pending)
	r.writes("clone", "clone", "Cloning", "HEAD is now at abcdef01")
	r.writes("build-and-push", "build", "STEP 1/2: FROM debian", "STEP 2/2: RUN make")
}

// succeeds has it end well.
func (r *pipelineRun) succeeds(at time.Time) {
	r.step("build-and-push", "build", kovra.Success)
	r.step("build-and-push", "push", kovra.Success)
	r.writes("build-and-push", "push", "pushed")
	r.Status, r.FinishedAt = kovra.BuildSucceeded, at
	r.Results = map[string]string{kovra.ResultDigest: "sha256:" + strings.Repeat("d", 64), kovra.ResultDockerfile: "Dockerfile"}
}

// failsAt has it end in a failure of the step that builds.
func (r *pipelineRun) failsAt(at time.Time, lines ...string) {
	r.writes("build-and-push", "build", lines...)
	r.step("build-and-push", "build", kovra.Failed)
	r.step("build-and-push", "push", kovra.Skipped)
	r.Status, r.Reason, r.Message, r.FinishedAt = kovra.BuildFailed, "Failed", "Step build exited with 2.", at
}

// shop is a world with a cluster, in which what is kicked is looked at by hand.
type shop struct {
	*peers
	*cluster
	d *Dispatch

	interrupt func(committed bool) error // of commits by the program
	passing   bool
	kicked    []kovra.Ref
	after     map[kovra.Ref]time.Duration // what the last pass asked for
	errs      map[kovra.Ref]error
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{cluster: newCluster(), after: map[kovra.Ref]time.Duration{}, errs: map[kovra.Ref]error{}}
	w := &world{t: t, now: morning}
	db, err := storage.Open(t.Context(), storage.Options{
		Path: filepath.Join(t.TempDir(), "kovra.db"), Key: [][]byte{make([]byte, 32)}, Now: func() time.Time { return w.now },
		Interrupt: func(committed bool) error {
			if s.interrupt == nil || !s.passing {
				return nil
			}
			return s.interrupt(committed)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w.db = db
	w.openLogs(0)
	s.peers = &peers{world: w}
	db.OnChange(func(refs []kovra.Ref) { s.kicked = append(s.kicked, refs...) })
	w.logs.OnSteps(func(id int64) { s.kicked = append(s.kicked, kovra.Ref{Kind: kovra.RefStepLog, ID: id}) })
	s.link("web", web, "C1")
	s.restart()
	return s
}

// link links an app to a project that has an address.
func (s *shop) link(app string, project int64, channels ...string) {
	s.t.Helper()
	s.peers.link(app, project, channels...)
	s.update(func(tx *storage.Tx) error {
		p, err := tx.Project(project)
		p.URL = "https://gitlab.example/" + p.Path
		return errors.Join(err, tx.SaveProject(p))
	})
}

// restart is another life of the program.
func (s *shop) restart() {
	s.kicked = nil
	s.d = New(s.db, s.logs, World{
		Pipelines: s.peers, Traces: s.peers, Controls: s.peers, Starts: s.peers, Links: s.peers, Gate: s.peers, Channels: s.peers,
		Cluster: s.cluster, Steps: s.cluster, Targets: s.cluster, Commits: s.cluster,
	}, Options{Registry: registry, BuildsAtOnce: 3, Log: slog.New(slog.DiscardHandler)})
}

// set changes the settings of an app.
func (s *shop) set(app string, change func(*kovra.BuildSettings)) {
	s.t.Helper()
	s.update(func(tx *storage.Tx) error {
		v, err := tx.BuildSettings(app)
		if err != nil {
			return err
		}
		change(&v)
		return tx.SaveBuildSettings(v, "")
	})
}

var shopTarget = kovra.DeployTarget{Namespace: "shop", Deployment: "web", Container: "app"}

// deploying has the app built by itself and deployed.
func (s *shop) deploying() {
	s.set("web", func(v *kovra.BuildSettings) { v.Enabled, v.AutoDeploy, v.Target = true, true, shopTarget })
}

// push tells of a push to main upon another commit.
func (s *shop) push(n, upon int) {
	s.t.Helper()
	s.update(func(tx *storage.Tx) error {
		c := commit(n)
		_, err := tx.TakePush(kovra.Push{Project: web, Ref: "main", Before: commit(upon).SHA, After: c.SHA, Title: c.Title, AllPaths: true})
		return err
	})
}

// add queues a build of a commit.
func (s *shop) add(n int) kovra.Build {
	s.t.Helper()
	var b kovra.Build
	s.update(func(tx *storage.Tx) error {
		v, err := tx.BuildSettings("web")
		if err != nil {
			return err
		}
		b = kovra.NewBuild(v, web, "main", false, commit(n))
		b.Trigger = kovra.ByHand
		b, _, err = tx.AddBuild(b, "", false)
		return err
	})
	return b
}

func (s *shop) build(id int64) (b kovra.Build) {
	s.t.Helper()
	s.update(func(tx *storage.Tx) (err error) {
		b, err = tx.Build(id)
		return err
	})
	return b
}

func (s *shop) deployments(build int64) (all []kovra.Deployment) {
	s.t.Helper()
	s.update(func(tx *storage.Tx) (err error) {
		all, err = tx.DeploymentsOf(build)
		return err
	})
	return all
}

// on is the build's PipelineRun.
func (s *shop) on(b kovra.Build) *pipelineRun {
	s.t.Helper()
	r := s.runs[b.Name]
	if r == nil {
		s.t.Fatalf("build %d was not made: %+v", b.ID, s.build(b.ID))
	}
	return r
}

// pass looks at one thing.
func (s *shop) pass(ref kovra.Ref) {
	s.t.Helper()
	var err error
	s.passing = true
	defer func() { s.passing = false }()
	switch ref.Kind {
	case kovra.RefBuild:
		s.after[ref], err = s.d.Builds().Reconcile(s.t.Context(), ref.ID)
	case kovra.RefDeployment:
		s.after[ref], err = s.d.Deployments().Reconcile(s.t.Context(), ref.ID)
	case kovra.RefStepLog:
		s.after[ref], err = s.d.StepLogs().Reconcile(s.t.Context(), ref.ID)
	case kovra.RefAction:
		s.after[ref], err = s.d.Actions().Reconcile(s.t.Context(), ref.ID)
	}
	s.errs[ref] = err
}

// sweep has everything looked at that is open, and all that follows from it; twice, since what one loop has found another
// may have needed.
func (s *shop) sweep() {
	s.t.Helper()
	for range 2 {
		s.sweepOnce()
	}
}

func (s *shop) sweepOnce() {
	s.t.Helper()
	for ref, err := range s.db.Dirty(s.t.Context()) {
		if err != nil {
			s.t.Fatal(err)
		}
		s.kicked = append(s.kicked, ref)
	}
	overdue, err := s.d.Overdue(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	s.kicked = append(s.kicked, overdue...)
	s.update(func(tx *storage.Tx) error { // what informers tell
		builds, err := tx.OpenBuilds()
		for _, b := range builds {
			tx.KickBuild(b.ID)
		}
		deployments, more := tx.OpenDeployments()
		for _, d := range deployments {
			tx.KickDeployment(d.ID)
		}
		return errors.Join(err, more)
	})
	s.pump()
}

// pump looks at what was kicked until nothing is.
func (s *shop) pump() {
	s.t.Helper()
	for range 300 {
		refs := s.kicked
		s.kicked = nil
		if len(refs) == 0 {
			return
		}
		seen := map[kovra.Ref]bool{}
		for _, ref := range refs {
			if !seen[ref] {
				seen[ref] = true
				s.pass(ref)
			}
		}
	}
	s.t.Fatal("it does not come to rest")
}

// text is the log of a build or deployment.
func (s *shop) text(key kovra.LogKey) (log kovra.Log, lines []string) {
	s.t.Helper()
	log, err := s.logs.Find(s.t.Context(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	all, err := s.logs.Lines(s.t.Context(), log.ID, 1, 100_000)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range all {
		text := l.Text
		if l.Header {
			text = "# " + text
		}
		lines = append(lines, text)
	}
	return log, lines
}

// rests checks that nothing is left to do.
func (s *shop) rests() {
	s.t.Helper()
	for ref, err := range s.db.Dirty(s.t.Context()) {
		if err != nil {
			s.t.Fatal(err)
		}
		if ref.Kind == kovra.RefBuild || ref.Kind == kovra.RefDeployment {
			s.t.Errorf("still open: %+v (%v)", ref, s.errs[ref])
		}
	}
}

// wantBuild checks how a build ended; a failed or cancelled one has words for people.
func (s *shop) wantBuild(id int64, status kovra.BuildStatus, reason string) kovra.Build {
	s.t.Helper()
	b := s.build(id)
	if b.Status != status || b.Reason != reason {
		s.t.Errorf("build %d: %s %q %q, want %s %q", id, b.Status, b.Reason, b.Message, status, reason)
	}
	return b
}
