// Package app is the wiring and the lifetime of the program: it builds every part
// from a configuration, connects the notices of storage with the loops, serves
// HTTP and ends everything in order.
//
// It is used by the programs: [Serve] runs until its context ends; [New], [App.Handler]
// and [App.Run] are its parts, for the demo and for tests that listen themselves.
//
// It makes no decision of the product: what happens is decided in the packages
// that it connects.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"kovra.dev/chatops/bot"
	"kovra.dev/chatops/internal/config"
	"kovra.dev/chatops/internal/dispatch"
	"kovra.dev/chatops/internal/gitlab"
	"kovra.dev/chatops/internal/identity"
	"kovra.dev/chatops/internal/joblog"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/reconcile"
	"kovra.dev/chatops/internal/web"
	"kovra.dev/chatops/storage"
	"kovra.dev/chatops/tekton"
	"kovra.dev/chatops/webhooks"
)

// Times of the server and of its housekeeping.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 60 * time.Second
	idleTimeout   = 2 * time.Minute
	drainTimeout  = 10 * time.Second

	sweepEvery    = 30 * time.Second
	quietAfter    = 5 * time.Minute     // a moving run of which nothing was heard is re-read
	quietAtOnce   = 200                 // so many of them in one sweep
	keepDelivery  = 14 * 24 * time.Hour // webhooks that were looked at
	renderedAgain = 500                 // newest threads that get a new layout
)

// Options are what is not configuration.
type Options struct {
	Log     *slog.Logger
	Version string
	// Slack and GitLab, if set, carry the calls to the peers; tests use it to stay in memory.
	Slack  http.RoundTripper
	GitLab http.RoundTripper
	// Tune shortens waits, for the demo and for tests.
	Tune dispatch.Options
	// Interrupt is for tests; see storage.Options.
	Interrupt func(committed bool) error
}

// App is the program, built and not yet running.
type App struct {
	cfg     *config.Config
	log     *slog.Logger
	db      *storage.DB
	logs    *storage.Logs
	metrics *metrics
	handler http.Handler
	viewer  *web.Viewer
	loops   map[kovra.RefKind]*reconcile.Loop[int64]
	work    *dispatch.Dispatch
	watch   *tekton.Watch // of the cluster; nil: builds are off
	born    time.Time     // whoever was not heard of since may have moved while nobody was there
}

// New opens the database and builds every part. Nothing runs before [App.Run]; until
// then the caller may [App.Close] it.
func New(ctx context.Context, cfg *config.Config, o Options) (*App, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	keys, err := encryptionKeys(cfg)
	if err != nil {
		return nil, err
	}
	db, err := storage.Open(ctx, storage.Options{
		Path: cfg.DatabasePath, Key: keys, Viewer: cfg.PublicURL + "/logs/", Interrupt: o.Interrupt,
	})
	if err != nil {
		return nil, err
	}
	logs, err := storage.OpenLogs(ctx, storage.LogsOptions{
		Path: cfg.LogsPath(), MaxTotal: cfg.LogMaxTotal, Retention: cfg.LogRetention, Log: o.Log,
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	a := &App{
		cfg: cfg, log: o.Log, db: db, logs: logs, metrics: newMetrics(db), loops: map[kovra.RefKind]*reconcile.Loop[int64]{},
	}
	a.born = db.Now()
	if err := a.build(o); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// Handler is the HTTP side of the program.
func (a *App) Handler() http.Handler { return a.handler }

// DB is the state, for tests that compare it with what is shown.
func (a *App) DB() *storage.DB { return a.db }

// Close gives up an App that was not run.
func (a *App) Close() error { return errors.Join(a.logs.Close(), a.db.Close()) }

// transport is the way to a peer: the given one, or a real one that knows the
// configured certificate authorities and proxies; its calls are counted.
func (a *App) transport(peer string, given http.RoundTripper) *http.Client {
	next := given
	if next == nil {
		t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // net/http says so
		t.MaxIdleConnsPerHost = 16
		if a.cfg.CAPool != nil {
			t.TLSClientConfig.RootCAs = a.cfg.CAPool
		}
		next = t
	}
	return &http.Client{Transport: counting{peer: peer, next: next, m: a.metrics}}
}

func (a *App) build(o Options) error {
	lab, err := gitlab.New(gitlab.Options{
		URL: a.cfg.GitLabURL, Token: a.cfg.GitLabToken.Reveal(), HTTP: a.transport("gitlab", o.GitLab), Log: a.log,
	})
	if err != nil {
		return fmt.Errorf("make GitLab client: %w", err)
	}
	slack, err := bot.NewClient(bot.ClientOptions{
		Token: a.cfg.SlackBotToken.Reveal(), API: a.cfg.SlackAPIURL, HTTP: a.transport("slack", o.Slack),
	})
	if err != nil {
		return fmt.Errorf("make Slack client: %w", err)
	}
	gate := identity.New(identity.Options{Slack: slack, DB: a.db, Admins: a.admins(), Log: a.log})
	if err := a.startLoops(o, lab, slack, gate); err != nil {
		return err
	}
	return a.routes(lab, slack, gate)
}

// hookURL is where GitLab's webhooks go; "" while nobody outside can reach us.
func (a *App) hookURL() string {
	if !a.cfg.PublicURLSet {
		return ""
	}
	return a.cfg.PublicURL + "/webhooks/gitlab"
}

// hook is what somebody needs who sets up the webhook by hand.
func (a *App) hook() bot.Hook {
	where := "the value of KOVRA_GITLAB_WEBHOOK_SECRET"
	if len(a.cfg.GitLabWebhookSecrets) == 0 {
		where = "none; the signing token is the value of KOVRA_GITLAB_WEBHOOK_SIGNING_TOKEN"
	}
	return bot.Hook{URL: a.hookURL(), Secret: where, Events: []string{"Push events", "Job events", "Pipeline events"}}
}

func (a *App) admins() []string {
	admins := a.cfg.Admins
	if a.cfg.WorkspaceAdmins {
		admins = append(admins, identity.WorkspaceAdmins)
	}
	return admins
}

// startLoops makes every loop and lets storage kick them. They run in [App.Run].
func (a *App) startLoops(o Options, lab *gitlab.Client, slack *bot.Client, gate *identity.Identity) error {
	knowledge, err := joblog.Compile(patterns(a.cfg.LogPatterns))
	if err != nil {
		return fmt.Errorf("KOVRA_LOG_PATTERNS: %w", err)
	}
	world := newGitLabWorld(lab, a.db, a.cfg)
	tune := o.Tune
	tune.Log, tune.HookURL, tune.Retention, tune.Knowledge = a.log, a.hookURL(), a.cfg.LogRetention, knowledge
	tune.Registry, tune.BuildsAtOnce = a.cfg.Registry, a.cfg.BuildConcurrency
	outside := dispatch.World{
		Pipelines: world, Traces: world, Controls: world, Starts: world, Links: world, Gate: gate, Channels: channels{slack}, Commits: world,
	}
	if err := a.addCluster(&outside); err != nil {
		return err
	}
	d := dispatch.New(a.db, a.logs, outside, tune)
	a.work = d
	intake := webhooks.NewIntake(webhooks.IntakeOptions{DB: a.db, Log: a.log, Counted: a.metrics.delivery, Builds: a.watch != nil})
	projector := bot.NewProjector(a.db, slack, bot.NewBudget(), time.Now, a.log)
	answers := bot.NewAnswerer(a.db, slack, a.hook(), time.Now, a.log)

	a.loop(kovra.RefDelivery, "intake", 1, intake)
	a.loop(kovra.RefRun, "runs", 8, d.Runs())
	a.loop(kovra.RefAction, "actions", 8, d.Actions())
	a.loop(kovra.RefProject, "projects", 2, d.Projects())
	a.loop(kovra.RefThread, "threads", 16, projector)
	a.loop(kovra.RefAnswer, "answers", 4, answers)
	a.slowLoop(kovra.RefLog, "logs", 4, d.Logs(), dispatch.LogPass)
	a.loop(kovra.RefBuild, "builds", 8, d.Builds())
	a.loop(kovra.RefDeployment, "deployments", 4, d.Deployments())
	a.addLoop(kovra.RefStepLog, d.StepLogs(), reconcile.Options{
		Name: "step_logs", Workers: 2*a.cfg.BuildConcurrency + readersAlso, Timeout: dispatch.StepLogPass, Grace: followGrace,
	})
	a.db.OnChange(func(refs []kovra.Ref) {
		for _, r := range refs {
			a.kick(r)
		}
	})
	a.logs.OnChange(func(id int64) { a.kick(kovra.Ref{Kind: kovra.RefLog, ID: id}) })
	a.logs.OnSteps(func(id int64) { a.kick(kovra.Ref{Kind: kovra.RefStepLog, ID: id}) })
	return nil
}

func (a *App) loop(kind kovra.RefKind, name string, workers int, r reconcile.Reconciler[int64]) {
	a.slowLoop(kind, name, workers, r, reconcile.DefaultTimeout)
}

// slowLoop is a loop with a time of its own for each pass.
func (a *App) slowLoop(kind kovra.RefKind, name string, workers int, r reconcile.Reconciler[int64], timeout time.Duration) {
	a.addLoop(kind, r, reconcile.Options{Name: name, Workers: workers, Timeout: timeout})
}

func (a *App) addLoop(kind kovra.RefKind, r reconcile.Reconciler[int64], o reconcile.Options) {
	o.Log, o.OnResult = a.log, a.metrics.pass
	l := reconcile.New(r, o)
	a.metrics.watch(l)
	a.loops[kind] = l
}

func (a *App) kick(r kovra.Ref) {
	if l := a.loops[r.Kind]; l != nil {
		l.Kick(r.ID)
	}
}

func (a *App) remind(r kovra.Ref) {
	if l := a.loops[r.Kind]; l != nil {
		l.Remind(r.ID)
	}
}

// routes puts the HTTP side together.
func (a *App) routes(lab *gitlab.Client, slack *bot.Client, gate *identity.Identity) error {
	handler := bot.NewHandler(bot.HandlerOptions{
		DB: a.db, Slack: slack, Gate: gate, GitLab: lab, Hook: a.hook(), ForgetChannel: gate.ForgetChannel, Log: a.log,
	})
	hooks, err := webhooks.New(webhooks.Options{
		DB: a.db, GitLabSecrets: reveal(a.cfg.GitLabWebhookSecrets), GitLabSigningTokens: reveal(a.cfg.GitLabSigningTokens),
		MaxBytes: a.cfg.WebhookMaxBytes, Slack: handler, SlackSigningSecret: a.cfg.SlackSigningSecret.Reveal(),
		Log: a.log, Counted: a.metrics.request,
	})
	if err != nil {
		return err
	}
	a.viewer = web.New(web.Options{DB: a.db, Logs: a.logs, Retention: a.cfg.LogRetention, Log: a.log})
	mux := http.NewServeMux()
	mux.Handle("/", hooks.Engine())
	mux.Handle("/logs/", a.viewer.Handler())
	mux.Handle("/viewer/", a.viewer.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", a.ready)
	mux.Handle("GET /metrics", a.metrics.handler())
	a.handler = mux
	return nil
}

func reveal(secrets []config.Secret) []string {
	var out []string
	for _, s := range secrets {
		out = append(out, s.Reveal())
	}
	return out
}

// ready is green when the database answers; a peer that is down shows in the metrics.
func (a *App) ready(w http.ResponseWriter, r *http.Request) {
	if err := a.db.Ping(r.Context()); err != nil {
		a.log.ErrorContext(r.Context(), "not ready", "err", err)
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ready\n"))
}

// Run serves until ctx ends, then stops in order: streams of logs end, no new requests, handlers end
// and commit, loops finish the key in hand, the databases are closed. ln may be nil when
// the handler is served by others.
func (a *App) Run(ctx context.Context, ln net.Listener) error {
	loops, stopLoops := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLoops()
	work, inner := errgroup.WithContext(loops)
	for _, l := range a.loops {
		work.Go(func() error { return l.Run(inner) })
	}
	work.Go(func() error { return a.housekeeping(inner) })
	work.Go(func() error { return a.pruneLogs(inner) })
	if a.watch != nil {
		work.Go(func() error { return a.watch.Run(inner) })
	}
	served := a.serve(ctx, inner, ln)
	stopLoops()
	worked := work.Wait()
	if errors.Is(worked, context.Canceled) {
		worked = nil
	}
	return errors.Join(served, worked, a.Close())
}

// serve answers HTTP until ctx ends or a loop has failed.
func (a *App) serve(ctx, loops context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(loops, cancel)()
	if ln == nil {
		<-ctx.Done()
		return nil
	}
	srv := &http.Server{
		Handler: a.handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	var g errgroup.Group
	g.Go(func() error {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			cancel()
			return err
		}
		return nil
	})
	<-ctx.Done()
	a.viewer.Stop()
	drain, done := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer done()
	if err := srv.Shutdown(drain); err != nil {
		a.log.WarnContext(ctx, "requests cut short", "err", err)
		err = srv.Close()
		return errors.Join(err, g.Wait())
	}
	return g.Wait()
}

// housekeeping asks the database what is still to be done, at the start and now and
// then, and keeps it tidy. Notices may get lost; this finds what they were about.
func (a *App) housekeeping(ctx context.Context) error {
	if err := a.db.Update(ctx, func(tx *storage.Tx) error { return tx.RenderAgain(bot.RendererVersion, renderedAgain) }); err != nil {
		a.log.ErrorContext(ctx, "cannot look for old layouts", "err", err)
	}
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := a.sweep(ctx); err != nil && ctx.Err() == nil {
			a.log.ErrorContext(ctx, "sweep failed", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sweep reminds the loops of all that is open. What waits out the pause after a failure
// is left to it.
func (a *App) sweep(ctx context.Context) error {
	for ref, err := range a.db.Dirty(ctx) {
		if err != nil {
			return err
		}
		a.remind(ref)
	}
	a.sweepLogs(ctx)
	a.sweepBuilds(ctx)
	now := a.db.Now()
	var projects []kovra.Project
	var quiet []int64
	err := a.db.Read(ctx, func(tx *storage.Tx) (err error) {
		if projects, err = tx.LinkedProjects(); err != nil {
			return err
		}
		quiet, err = tx.QuietRuns(latest(a.born, now.Add(-quietAfter)), quietAtOnce)
		return err
	})
	if err != nil {
		return err
	}
	for _, p := range projects {
		a.remind(kovra.Ref{Kind: kovra.RefProject, ID: p.ID})
	}
	return a.db.Update(ctx, func(tx *storage.Tx) error {
		for _, id := range quiet {
			// Those that cannot be read must not keep the others from their turn.
			if err := errors.Join(tx.MarkStale(id), tx.Heard(id)); err != nil {
				return err
			}
		}
		_, err = tx.PruneDeliveries(now.Add(-keepDelivery))
		return err
	})
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Serve runs the program on the configured address until ctx ends.
func Serve(ctx context.Context, cfg *config.Config, o Options) error {
	a, err := New(ctx, cfg, o)
	if err != nil {
		return err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return errors.Join(fmt.Errorf("listen on %s: %w", cfg.Listen, err), a.Close())
	}
	a.log.InfoContext(ctx, "kovra serves", "address", ln.Addr().String(), "version", o.Version, "config", cfg)
	if !cfg.PublicURLSet {
		a.log.WarnContext(ctx, "KOVRA_PUBLIC_URL is not set: no webhook can be created")
	}
	return a.Run(ctx, ln)
}
