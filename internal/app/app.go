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
	secretsEvery  = 10 * time.Second     // between two looks at the files of secrets
	lookEvery     = time.Second          // whether a command beside us has written something
	quietAfter    = 5 * time.Minute      // a moving run of which nothing was heard is re-read
	quietAtOnce   = 200                  // so many of them in one sweep
	keepDelivery  = 14 * 24 * time.Hour  // webhooks that were looked at
	keepSubject   = 90 * 24 * time.Hour  // merge requests, tags … of which nothing was heard since
	keepNotice    = 180 * 24 * time.Hour // what administrators were told and is over
	renderedAgain = 500                  // newest threads that get a new layout
)

// Options are what is not configuration.
type Options struct {
	Log     *slog.Logger
	Version string
	// Slack, GitLab and Cluster, if set, carry the calls to the peers; tests use it to stay in memory.
	Slack   http.RoundTripper
	GitLab  http.RoundTripper
	Cluster http.RoundTripper
	// Tune shortens waits, for the demo and for tests.
	Tune dispatch.Options
	// Now is the clock whose times are kept; nil: time.Now. Tests let it jump, as a system's clock does.
	Now func() time.Time
	// Interrupt is for tests; see storage.Options.
	Interrupt func(committed bool) error
}

// App is the program, built and not yet running.
type App struct {
	cfg     *config.Config // as it was at the start; secrets are read from live
	live    *config.Live
	log     *slog.Logger
	db      *storage.DB
	logs    *storage.Logs
	metrics *metrics
	handler http.Handler
	hooks   *webhooks.Handler
	viewer  *web.Viewer
	socket  *webhooks.Socket // nil: Slack comes by HTTP
	loops   map[kovra.RefKind]*reconcile.Loop[int64]
	work    *dispatch.Dispatch
	gate    *identity.Identity
	watch   *tekton.Watch // of the cluster; nil: builds are off
	clock   steady
	born    time.Time // whoever was not heard of since may have moved while nobody was there
}

// New opens the database and builds every part. Nothing runs before [App.Run]; until
// then the caller may [App.Close] it.
func New(ctx context.Context, cfg *config.Config, o Options) (*App, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	keys, err := encryptionKeys(cfg)
	if err != nil {
		return nil, err
	}
	db, err := openDatabase(ctx, cfg, keys, o)
	if err != nil {
		return nil, err
	}
	logs, err := storage.OpenLogs(ctx, storage.LogsOptions{
		Path: cfg.LogsPath(), MaxTotal: cfg.LogMaxTotal, Retention: cfg.LogRetention, Now: o.Now, Log: o.Log,
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	a := &App{
		cfg: cfg, live: config.NewLive(cfg), log: o.Log, db: db, logs: logs, metrics: newMetrics(o.Version), loops: map[kovra.RefKind]*reconcile.Loop[int64]{},
	}
	a.born = db.Now()
	a.clock.trusts(a.born)
	if err := errors.Join(a.doubtClock(ctx), a.build(o)); err != nil {
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
		next = realTransport(a.cfg)
	}
	return &http.Client{Transport: counting{peer: peer, next: next, m: a.metrics}}
}

func realTransport(cfg *config.Config) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // net/http says so
	t.MaxIdleConnsPerHost = 16
	if cfg.CAPool != nil {
		t.TLSClientConfig.RootCAs = cfg.CAPool
	}
	return t
}

func (a *App) build(o Options) error {
	lab, err := gitlab.New(gitlab.Options{
		URL: a.cfg.GitLabURL, Token: func() string { return a.live.Get().GitLabToken.Reveal() }, HTTP: a.transport("gitlab", o.GitLab), Log: a.log,
	})
	if err != nil {
		return fmt.Errorf("make GitLab client: %w", err)
	}
	slack, err := bot.NewClient(bot.ClientOptions{
		Token: func() string { return a.live.Get().SlackBotToken.Reveal() }, API: a.cfg.SlackAPIURL, HTTP: a.transport("slack", o.Slack), Now: o.Now,
		Counted: a.metrics.slackCall,
	})
	if err != nil {
		return fmt.Errorf("make Slack client: %w", err)
	}
	gate := a.people(o, lab, slack)
	a.gate = gate
	if err := a.startLoops(o, lab, slack, gate); err != nil {
		return err
	}
	a.addFigures()
	return a.routes(lab, slack, gate, o.Slack)
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
	world := newGitLabWorld(lab, a.db, a.live)
	tune := o.Tune
	tune.Log, tune.HookURL, tune.Retention, tune.Knowledge = a.log, a.hookURL(), a.cfg.LogRetention, knowledge
	tune.Counted = a.metrics.action
	tune.Registry, tune.BuildsAtOnce = a.cfg.Registry, a.cfg.BuildConcurrency
	outside := dispatch.World{
		Pipelines: world, Traces: world, Controls: world, Starts: world, Links: world, Gate: gate, Channels: channels{slack}, Commits: world,
	}
	outside.People, outside.Comments = gate, world
	outside.Hooks, outside.Self, outside.Admins = world, world, gate
	if a.cfg.OAuth() {
		outside.Hands = hands{people: gate, world: world}
	}
	if err := a.addCluster(&outside, o.Cluster); err != nil {
		return err
	}
	d := dispatch.New(a.db, a.logs, outside, tune)
	a.work = d
	intake := webhooks.NewIntake(webhooks.IntakeOptions{DB: a.db, Log: a.log, Counted: a.metrics.delivery, Folded: a.metrics.folded, Builds: a.watch != nil})
	projector := bot.NewProjector(a.db, slack, bot.NewBudget(), o.Now, a.log)
	projector.Admins = gate.Administrators
	threads := &lagging{next: projector, m: a.metrics, since: map[int64]time.Time{}}
	answerer := bot.NewAnswerer(a.db, slack, a.hook(), a.connectURL(gate), o.Now, a.log)
	homes := bot.NewHomes(bot.HomesOptions{
		DB: a.db, Slack: slack, Gate: gate, Hook: a.hook(), NoBuilds: a.cfg.NoBuilds(), ConnectURL: a.connectURL(gate), Log: a.log,
	})

	a.loop(kovra.RefDelivery, "intake", 1, intake)
	a.loop(kovra.RefRun, "runs", 8, d.Runs())
	a.loop(kovra.RefAction, "actions", 8, d.Actions())
	a.loop(kovra.RefProject, "projects", 4, d.Projects()) // three or four calls each: hundreds in a minute, and fewer than GitLab.com lets us make
	a.loop(kovra.RefThread, "threads", 16, threads)
	a.loop(kovra.RefToken, "token", 1, d.Token())
	a.loop(kovra.RefNotice, "notices", 1, d.Notices())
	a.loop(kovra.RefAnswer, "answers", 4, answers{slack: answerer, gitlab: d.Replies()})
	a.loop(kovra.RefHome, "homes", 4, homes)
	a.slowLoop(kovra.RefLog, "logs", 4, d.Logs(), dispatch.LogPass)
	a.loop(kovra.RefBuild, "builds", 8, d.Builds())
	a.loop(kovra.RefDeployment, "deployments", 4, d.Deployments())
	a.addLoop(kovra.RefStepLog, d.StepLogs(), reconcile.Options{
		Name: "step_logs", Workers: 2*a.cfg.BuildConcurrency + readersAlso, Timeout: dispatch.StepLogPass, Grace: followGrace,
	})
	a.db.OnChange(func(refs []kovra.Ref) {
		for _, r := range refs {
			if r.Kind == kovra.RefThread {
				threads.changed(r.ID, time.Now())
			}
			a.kick(r)
		}
	})
	a.db.OnTrouble(a.trouble)
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
	a.metrics.begin(a.metrics.passes, o.Name, string(reconcile.Panicked))
	a.loops[kind] = reconcile.New(r, o)
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
func (a *App) routes(lab *gitlab.Client, slack *bot.Client, gate *identity.Identity, way http.RoundTripper) error {
	handler := bot.NewHandler(bot.HandlerOptions{
		DB: a.db, Slack: slack, Gate: gate, GitLab: a.search(lab, gate), Hook: a.hook(), ForgetChannel: gate.ForgetChannel, Log: a.log,
		ConnectURL: a.connectURL(gate), Explain: gate, Left: gate.Left,
	})
	o := webhooks.Options{
		DB: a.db, GitLabSecrets: reveal(a.cfg.GitLabWebhookSecrets), GitLabSigningTokens: reveal(a.cfg.GitLabSigningTokens),
		MaxBytes: a.cfg.WebhookMaxBytes, Log: a.log, Counted: a.metrics.request, Refused: a.knock,
	}
	if err := a.hearSlack(&o, handler, slack, way); err != nil {
		return err
	}
	var err error
	if a.hooks, err = webhooks.New(o); err != nil {
		return err
	}
	viewer := web.Options{DB: a.db, Logs: a.logs, Retention: a.cfg.LogRetention, Log: a.log}
	if a.cfg.LogAccess == config.LogByLogin {
		viewer.Readers = gate
	}
	a.viewer = web.New(viewer)
	mux := http.NewServeMux()
	a.signIn(mux, gate)
	mux.Handle("/", a.hooks.Engine())
	mux.Handle("/logs/", a.viewer.Handler())
	mux.Handle("/viewer/", a.viewer.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", a.ready)
	mux.Handle("GET /metrics", a.metrics.handler())
	a.handler = named(mux)
	return nil
}

// knock has a linked project looked at from which a webhook seems to have come with another secret than ours.
func (a *App) knock(project int64) {
	if a.work.Knock(project) {
		a.kick(kovra.Ref{Kind: kovra.RefProject, ID: project})
	}
}

func reveal(secrets []config.Secret) []string {
	var out []string
	for _, s := range secrets {
		out = append(out, s.Reveal())
	}
	return out
}

// ready is green when the database answers and takes changes: what cannot be written down is refused. A peer that is down shows
// in the metrics.
func (a *App) ready(w http.ResponseWriter, r *http.Request) {
	if err := a.db.Ping(r.Context()); err != nil {
		a.log.ErrorContext(r.Context(), "not ready", "err", err)
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	if err := a.db.Writable(r.Context()); err != nil {
		http.Error(w, "the database takes no changes", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ready\n"))
}

// trouble says once that the database takes no changes, and once that it takes them again.
func (a *App) trouble(err error) {
	if err != nil {
		a.log.Error("the database takes no changes: requests are refused until it does", "err", err)
		return
	}
	a.log.Info("the database takes changes again")
}

// Run serves until ctx ends, then stops in order: streams of logs end, no new requests, by HTTP or
// from Slack's sockets, handlers end and commit, loops finish the key in hand, the databases are closed. ln may be nil when
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
	work.Go(func() error { return a.pruneHistory(inner) })
	if a.watch != nil {
		work.Go(func() error { return a.watch.Run(inner) })
	}
	served := a.receive(ctx, inner, ln)
	stopLoops()
	worked := work.Wait()
	if errors.Is(worked, context.Canceled) {
		worked = nil
	}
	return errors.Join(served, worked, a.Close())
}

// receive takes what comes from outside, by HTTP and in Socket Mode, until ctx ends or a
// part has failed, and what is in hand has been answered.
func (a *App) receive(ctx, loops context.Context, ln net.Listener) error {
	if a.socket == nil {
		return a.serve(ctx, loops, ln)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(loops, cancel)()
	g, inner := errgroup.WithContext(ctx)
	g.Go(func() error { return a.socket.Run(inner) })
	g.Go(func() error { return a.serve(inner, loops, ln) })
	return g.Wait()
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
	if err := a.gate.SealAgain(ctx); err != nil {
		a.log.ErrorContext(ctx, "cannot seal tokens with the newest key", "err", err)
	}
	if err := a.db.Update(ctx, func(tx *storage.Tx) error { return tx.RenderAgain(bot.RendererVersion, renderedAgain) }); err != nil {
		a.log.ErrorContext(ctx, "cannot look for old layouts", "err", err)
	}
	sweep, look, secrets := time.NewTicker(sweepEvery), time.NewTicker(lookEvery), time.NewTicker(secretsEvery)
	defer sweep.Stop()
	defer look.Stop()
	defer secrets.Stop()
	a.tidy(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-sweep.C:
			a.tidy(ctx)
		case <-look.C:
			a.lookBeside(ctx)
		case <-secrets.C:
			a.renewSecrets(ctx)
		}
	}
}

// tidy is a sweep of which nobody else hears.
func (a *App) tidy(ctx context.Context) {
	if a.db.Writable(ctx) != nil {
		return // it was told when it began, and there is nothing to be done
	}
	if err := a.sweep(ctx); err != nil && ctx.Err() == nil {
		a.log.ErrorContext(ctx, "sweep failed", "err", err)
	}
}

// lookBeside reminds the loops of what a command beside the server has written. A database that does not answer is not told every
// second: the next sweep does.
func (a *App) lookBeside(ctx context.Context) {
	changed, err := a.db.ChangedElsewhere(ctx)
	if err == nil && changed {
		err = a.remindDirty(ctx)
	}
	if err != nil {
		a.log.DebugContext(ctx, "cannot look for changes of others", "err", err)
	}
}

// remindDirty reminds the loops of all that is open. What waits out the pause after a failure is left to it.
func (a *App) remindDirty(ctx context.Context) error {
	for ref, err := range a.db.Dirty(ctx) {
		if err != nil {
			return err
		}
		a.remind(ref)
	}
	return nil
}

// sweep reminds the loops of all that is open, and tidies up.
func (a *App) sweep(ctx context.Context) error {
	if err := a.remindDirty(ctx); err != nil {
		return err
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
	a.remind(kovra.Ref{Kind: kovra.RefToken})
	return a.db.Update(ctx, func(tx *storage.Tx) error {
		for _, id := range quiet {
			// Those that cannot be read must not keep the others from their turn.
			if err := errors.Join(tx.MarkStale(id), tx.Heard(id)); err != nil {
				return err
			}
		}
		if !a.clock.trusts(now) {
			return tx.NoteClockLeapt(a.clock.since(now))
		}
		_, err := tx.PruneDeliveries(now.Add(-keepDelivery))
		_, failed := tx.PruneSubjects(now.Add(-keepSubject))
		return errors.Join(err, failed, tx.PruneNotices(now.Add(-keepNotice)))
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
