package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"kovra.dev/chatops/internal/app"
	"kovra.dev/chatops/internal/config"
	"kovra.dev/chatops/internal/dispatch"
	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/slacksim"
)

// The channels of the workspace.
const (
	deploys = "C01DEPLOYS"
	apiTeam = "C02API"
	webTeam = "C03WEB"
	partner = "C04PARTNER"
	ops     = "C05OPS"
)

// Times of the demo's servers, how soon a lost webhook is made up for, and how often a
// thread shows the newest lines of a build.
const (
	headerTimeout = 5 * time.Second
	stopTimeout   = 3 * time.Second
	hookTimeout   = 10 * time.Second
	resync        = 15 * time.Second
	tail          = 2 * time.Second
)

// world is everything that runs: the peers, Kovra between them, and the page.
type world struct {
	log     *slog.Logger
	slack   *slacksim.Server
	gitlab  *gitlabsim.Server
	cluster *cluster // nil: builds run on a real one
	real    *real    // nil: builds run on the simulated one
	kovra   *app.App
	pageURL string
	dir     string
	servers []server
	relay   net.Listener // of Kovra itself

	web, api *gitlabsim.ProjectHandle
	labMoved *notice // GitLab changed, by whomever
	courier  http.Client
	withTale bool

	mu       sync.Mutex
	autoplay bool
	titles   map[string]string    // of commits, by SHA
	branches map[int64][]string   // that the panel offers, by project
	plans    map[plan]string      // which job is to fail with which log
	trouble  map[string]time.Time // what goes wrong, and until when
	hurry    map[int64]bool       // pipelines whose jobs are quick
	happened map[int64]*happened  // by project
	story    storyState
	hidden   string // whose forms the story fills in now
}

// plan names a job whose next attempt fails.
type plan struct {
	pipeline int64
	job      string
}

// server is one HTTP server and where it listens.
type server struct {
	name string
	ln   net.Listener
	http *http.Server
}

// newWorld builds everything; nothing runs before [world.run].
func newWorld(ctx context.Context, page net.Listener, o options, log *slog.Logger) (*world, error) {
	w := &world{
		log: log, pageURL: "http://" + page.Addr().String() + "/", withTale: o.story, autoplay: o.story, labMoved: newNotice(),
		courier: http.Client{Timeout: hookTimeout},
		titles:  map[string]string{}, branches: map[int64][]string{}, plans: map[plan]string{}, trouble: map[string]time.Time{},
		hurry: map[int64]bool{}, happened: map[int64]*happened{},
	}
	w.slack = slacksim.New(slacksim.Options{BotName: "kovra", Limits: true})
	w.gitlab = gitlabsim.New(gitlabsim.Options{Token: gitlabToken})
	w.serve("page", page, w.routes())
	if o.repository != "" {
		var err error
		if w.real, err = newReal(o.repository); err != nil {
			return nil, err
		}
	}
	err := w.open(ctx)
	if err == nil {
		w.people()
		w.projects()
		if w.real != nil {
			err = w.addReal(ctx)
		}
	}
	if err == nil {
		err = w.build(ctx, o)
	}
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

// open takes an address for every peer, and one for Kovra.
func (w *world) open(ctx context.Context) error {
	for name, peer := range map[string]http.Handler{"gitlab": w.watched(w.gitlab), "slack": w.slack} {
		ln, err := listen(ctx, anyPort)
		if err != nil {
			return err
		}
		w.serve(name, ln, peer)
	}
	if w.real == nil {
		ln, err := listen(ctx, anyPort)
		if err != nil {
			return err
		}
		w.cluster = newCluster()
		w.serve("cluster", ln, w.cluster.sim)
	}
	relay, err := listen(ctx, anyPort)
	if err != nil {
		return err
	}
	w.relay = relay
	w.slack.SetBaseURL(w.url("slack"))
	w.slack.SetRequestURL("http://" + w.relay.Addr().String())
	w.gitlab.SetURL(w.url("gitlab"))
	w.gitlab.SetWebhookDelivery(w.deliver)
	return nil
}

func (w *world) serve(name string, ln net.Listener, h http.Handler) {
	w.servers = append(w.servers, server{name, ln, &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout}})
}

// url is the address of a server.
func (w *world) url(name string) string {
	i := slices.IndexFunc(w.servers, func(s server) bool { return s.name == name })
	return "http://" + w.servers[i].ln.Addr().String()
}

// close gives back what was taken for a world that never ran. The page's address is the caller's.
func (w *world) close() error {
	var errs []error
	for _, s := range w.servers[1:] {
		errs = append(errs, s.ln.Close())
	}
	if w.relay != nil {
		errs = append(errs, w.relay.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(w.dir))...)
}

// Secrets of peers that hold nothing. They are not worth hiding.
const (
	gitlabToken = "glpat-demo"
	slackToken  = "xoxb-sim" //nolint:gosec // made up, for a simulated peer
	slackSecret = "sim-secret"
	hookSecret  = "demo-webhook-secret" //nolint:gosec // made up, for a simulated peer
)

// build makes Kovra, configured as an administrator would.
func (w *world) build(ctx context.Context, o options) (err error) {
	if w.dir, err = os.MkdirTemp("", "kovra-demo-"); err != nil {
		return fmt.Errorf("make a place for the database: %w", err)
	}
	builds := []string{"KOVRA_KUBECONFIG=" + o.kubeconfig, "KOVRA_REGISTRY=" + o.registry}
	if w.cluster != nil {
		if builds, err = w.cluster.settings(w.dir, w.url("cluster")); err != nil {
			return err
		}
	}
	public := "http://" + w.relay.Addr().String()
	cfg, err := config.Load(append([]string{
		"KOVRA_PUBLIC_URL=" + public,
		"KOVRA_DATABASE_URL=sqlite:" + filepath.Join(w.dir, "kovra.db"),
		"KOVRA_SLACK_BOT_TOKEN=" + slackToken,
		"KOVRA_SLACK_SIGNING_SECRET=" + slackSecret,
		"KOVRA_SLACK_API_URL=" + w.url("slack") + "/api/",
		"KOVRA_GITLAB_URL=" + w.gitlab.URL(),
		"KOVRA_GITLAB_TOKEN=" + gitlabToken,
		"KOVRA_GITLAB_WEBHOOK_SECRET=" + hookSecret,
		"KOVRA_ADMINS=" + alice,
	}, append(builds, w.oauth(public)...)...), "")
	if err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	w.kovra, err = app.New(ctx, cfg, app.Options{
		Log: w.log, Version: "demo", Tune: dispatch.Options{Resync: resync, Tail: tail},
	})
	return err
}

// run shows the demo until ctx ends, and takes everything away again. It calls ready as soon
// as there is something to look at.
func (w *world) run(ctx context.Context, ready func()) error {
	g, inner := errgroup.WithContext(ctx)
	for _, s := range w.servers {
		g.Go(func() error { return s.run(inner) })
	}
	g.Go(func() error { return w.kovra.Run(inner, w.relay) })
	g.Go(func() error { return w.gitlab.Run(inner) })
	g.Go(func() error { return w.direct(inner) })
	if w.cluster != nil {
		g.Go(func() error { return w.cluster.sim.Run(inner) })
	}
	g.Go(func() error {
		w.introduce(inner)
		ready()
		if !w.withTale {
			return nil
		}
		return w.tell(inner)
	})
	err := g.Wait()
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(w.dir))
}

func (s server) run(ctx context.Context) error {
	s.http.BaseContext = func(net.Listener) context.Context { return ctx } // ends the open event streams
	defer context.AfterFunc(ctx, func() {
		drain, done := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer done()
		_ = s.http.Shutdown(drain) // what is left ends with the process
	})()
	if err := s.http.Serve(s.ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", s.name, err)
	}
	return nil
}

// projects fills GitLab.
func (w *world) projects() {
	w.web, w.api = w.gitlab.AddProject(project("group/web")), w.gitlab.AddProject(project("group/api"))
	for _, c := range []struct {
		project *gitlabsim.ProjectHandle
		branch  string
		title   string
	}{
		{w.web, "main", "Sort the catalog by name"},
		{w.web, "checkout", "Ask for the address last"},
		{w.web, "release", "Release 3.18"},
		{w.api, "main", "Answer in JSON only"},
		{w.api, "refunds", "Keep the reason of a refund"},
	} {
		w.push(c.project.ID, c.branch, c.title, "alice", "", "", false) // no pipeline: there is no CI configuration yet
	}
	w.web.SetCI([]string{"build", "test", "deploy"}, []gitlabsim.JobSpec{
		{Name: "compile", Stage: "build"},
		{Name: "lint", Stage: "test"},
		{Name: "unit", Stage: "test", Log: "go-test"},
		{Name: "e2e", Stage: "test", Log: "npm"},
		{Name: "staging", Stage: "deploy"},
		{Name: "production", Stage: "deploy", Manual: true, AllowFailure: true},
	})
	w.api.SetCI([]string{"test", "package"}, []gitlabsim.JobSpec{
		{Name: "unit", Stage: "test", Log: "pytest"},
		{Name: "audit", Stage: "test", AllowFailure: true},
		{Name: "image", Stage: "package", Log: "docker-build"},
	})
}

// special is a job with a log worth looking at, alone on a branch of web.
type special struct {
	kind  string // of its log, and the name of the button
	title string
	stage string
	job   string
	fails bool
}

// nightly takes long, and says much on both streams meanwhile.
var nightly = special{kind: "long", title: "Nightly: all acceptance tests", stage: "night", job: "acceptance"}

var specials = []special{
	nightly,
	{kind: "big", title: "Replay a day of requests", stage: "load", job: "replay", fails: true},
	{kind: "hostile", title: "Try to break the sanitizer", stage: "security", job: "sanitizer", fails: true},
}

// pushSpecial pushes the commit that runs such a job.
func (w *world) pushSpecial(s special) gitlabsim.PipelineRef {
	w.web.SetBranchCI(s.job, []string{s.stage}, []gitlabsim.JobSpec{{Name: s.job, Stage: s.stage, Log: s.kind}})
	kind := ""
	if s.fails {
		kind = s.kind
	}
	return w.push(w.web.ID, s.job, s.title, "bob", s.job, kind, false)
}

func project(path string) gitlabsim.Project {
	return gitlabsim.Project{
		Path: path, Members: members(), Protected: map[string]int{"main": gitlabsim.Developer},
	}
}

// watched tells the page when Kovra changed something in GitLab.
func (w *world) watched(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(rw, r)
		if r.Method != http.MethodGet {
			w.labMoved.tell()
		}
	})
}

// notice lets any number of listeners know that something changed.
type notice struct {
	mu   sync.Mutex
	next chan struct{}
}

func newNotice() *notice { return &notice{next: make(chan struct{})} }

// tell wakes everybody who waits.
func (n *notice) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.next)
	n.next = make(chan struct{})
}

// wait gives a channel that is closed at the next change.
func (n *notice) wait() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.next
}
