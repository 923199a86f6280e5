package bot

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// scene is what the asker may see from where they ask.
type scene struct {
	apps []kovra.App
	here []string // names of those that the channel hears of, sorted
}

// request is a command that was understood.
type request struct {
	asker
	scene
	command Command
	target  Target
}

// verb answers a command.
type verb func(*Handler, context.Context, request) (Answer, error)

// answerer returns what answers a command.
func answerer(group, name string) (verb, bool) {
	all := verbs
	if group == GroupBuild {
		all = verbsOfBuilds
	}
	do, ok := all[name]
	return do, ok
}

// verbsOfBuilds is what answers each command of builds.
var verbsOfBuilds = map[string]verb{
	VerbList:     (*Handler).builds,
	VerbTrigger:  (*Handler).trigger,
	VerbCancel:   (*Handler).changeTypedBuild,
	VerbRebuild:  (*Handler).changeTypedBuild,
	VerbDeploy:   (*Handler).changeTypedBuild,
	VerbLog:      (*Handler).buildLog,
	VerbRollback: (*Handler).settleDeploys,
	VerbResume:   (*Handler).settleDeploys,
	VerbSettings: (*Handler).settingsOf,
}

// verbs is what answers each other command.
var verbs = map[string]verb{
	VerbList:          (*Handler).list,
	VerbRun:           (*Handler).run,
	VerbJobs:          (*Handler).jobs,
	VerbCancel:        (*Handler).changeRun,
	VerbRetry:         (*Handler).changeRun,
	VerbRetryJob:      (*Handler).changeJob,
	VerbPlay:          (*Handler).changeJob,
	VerbLog:           (*Handler).log,
	VerbLink:          (*Handler).settle,
	VerbUnlink:        (*Handler).settle,
	VerbAppCreate:     (*Handler).settle,
	VerbAppDelete:     (*Handler).settle,
	VerbSubscribe:     (*Handler).settle,
	VerbUnsubscribe:   (*Handler).settle,
	VerbApps:          (*Handler).apps,
	VerbApp:           (*Handler).app,
	VerbSubscriptions: (*Handler).subscriptions,
	VerbLogs:          (*Handler).logs,
	VerbAudit:         (*Handler).audit,
	VerbConnect:       (*Handler).account,
	VerbDisconnect:    (*Handler).account,
	VerbNotify:        (*Handler).notify,
	VerbWhy:           (*Handler).why,
	VerbHooks:         (*Handler).hooks,
}

// ofOneself are the commands that no policy takes away, and so none that cannot be judged.
var ofOneself = map[string]bool{VerbConnect: true, VerbDisconnect: true, VerbNotify: true}

// command carries out a command line. Errors are told to the asker.
func (h *Handler) command(ctx context.Context, ask asker, command, text string) (Answer, error) {
	c, err := Parse(command, text)
	if err != nil {
		return Answer{}, err
	}
	if c.Verb == VerbHelp {
		return RenderHelp(c.Group, c.Words), nil
	}
	do, known := answerer(c.Group, c.Verb)
	if !known {
		return Answer{}, fmt.Errorf("no handler for the command %q", c.Verb) // unreachable: a test goes through all verbs
	}
	r := request{asker: ask, command: c}
	r.scene, err = h.look(ctx, ask, c.named())
	if err != nil && (kovra.KindOf(err) != kovra.Conflict || !ofOneself[c.Verb]) {
		return Answer{}, err
	}
	if r.target, err = c.Resolve(r.names(), r.here); err != nil {
		return Answer{}, err
	}
	return do(h, ctx, r)
}

// look finds out what the asker may see, and what their channel is about. The app of that name is seen even where the list is cut
// short; "": none is named.
func (h *Handler) look(ctx context.Context, ask asker, name string) (scene, error) {
	gctx, cancel := context.WithTimeout(ctx, gatePatience)
	defer cancel()
	apps, err := h.Gate.Visible(gctx, ask.person)
	if err != nil {
		return scene{}, gateError(err)
	}
	s := scene{apps: apps}
	if err := h.addNamed(ctx, ask, name, &s); err != nil {
		return scene{}, err
	}
	if ask.channel == "" {
		return s, nil
	}
	err = h.DB.Read(ctx, func(tx *storage.Tx) error {
		subs, err := tx.Subscriptions(storage.SubscriptionQuery{Channel: ask.channel})
		for _, sub := range subs {
			if _, ok := s.find(sub.App); ok {
				s.here = append(s.here, sub.App)
			}
		}
		return err
	})
	return s, err
}

// addNamed adds an app that the list of the gate lacks, because GitLab was asked about others first or was slow, if the gate lets
// them read it when asked about it alone. One that they may not see is like one that does not exist.
func (h *Handler) addNamed(ctx context.Context, ask asker, name string, s *scene) error {
	if _, listed := s.find(name); name == "" || listed {
		return nil
	}
	var app kovra.App
	err := h.DB.Read(ctx, func(tx *storage.Tx) (err error) {
		app, err = tx.App(name)
		return err
	})
	if err == nil {
		err = h.may(ctx, ask, kovra.MayRead, name)
	}
	if kind := kovra.KindOf(err); kind == kovra.NotFound || kind == kovra.Denied || kind == kovra.Unconnected {
		return nil
	}
	if err == nil {
		s.apps = append(s.apps, app)
	}
	return err
}

func (s scene) names() []string {
	names := make([]string, 0, len(s.apps))
	for _, a := range s.apps {
		names = append(names, a.Name)
	}
	return names
}

func (s scene) find(name string) (kovra.App, bool) {
	i := slices.IndexFunc(s.apps, func(a kovra.App) bool { return a.Name == name })
	if i < 0 {
		return kovra.App{}, false
	}
	return s.apps[i], true
}

// linked returns the app that the command names and its project. Without a project
// the error asks to connect one.
func (r request) linked(tx *storage.Tx) (kovra.App, kovra.Project, error) {
	app, _ := r.find(r.target.App)
	return linkedApp(tx, app)
}

func linkedApp(tx *storage.Tx, app kovra.App) (kovra.App, kovra.Project, error) {
	if app.Project == 0 {
		return app, kovra.Project{}, &unlinkedError{app: app.Name}
	}
	p, err := tx.Project(app.Project)
	return app, p, err
}

// run starts a pipeline. Values of variables go where they are kept encrypted.
func (h *Handler) run(ctx context.Context, r request) (Answer, error) {
	err := h.DB.Read(ctx, func(tx *storage.Tx) error {
		_, _, err := r.linked(tx)
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	want, secret, err := runWish(r.target.App, r.target.Ref, r.command.Vars, r.command.Inputs)
	if err != nil {
		return Answer{}, err
	}
	return h.do(ctx, r.asker, want, secret)
}

// runWish is the action that starts a pipeline, and what of it is kept secret.
func runWish(app, ref string, vars, inputs []Var) (kovra.Action, []byte, error) {
	want := kovra.Action{Kind: kovra.ActRun, App: app, Params: kovra.Params{Ref: ref}}
	if len(inputs) > 0 {
		want.Params.Inputs = make(map[string]string, len(inputs))
	}
	for _, in := range inputs {
		want.Params.Inputs[in.Key] = in.Value
	}
	if len(vars) == 0 {
		return want, nil, nil
	}
	values := make([]kovra.Variable, 0, len(vars))
	for _, v := range vars {
		want.Params.Variables = append(want.Params.Variables, v.Key)
		values = append(values, kovra.Variable{Key: v.Key, Value: v.Value})
	}
	secret, err := json.Marshal(values)
	if err != nil {
		return want, nil, fmt.Errorf("encode variables: %w", err)
	}
	return want, secret, nil
}

// settings are the commands that change what the bot knows of apps and channels.
var settings = map[string]kovra.ActionKind{
	VerbLink:        kovra.ActLink,
	VerbUnlink:      kovra.ActUnlink,
	VerbAppCreate:   kovra.ActCreateApp,
	VerbAppDelete:   kovra.ActDeleteApp,
	VerbSubscribe:   kovra.ActSubscribe,
	VerbUnsubscribe: kovra.ActUnsubscribe,
}

// settle proposes one of settings.
func (h *Handler) settle(ctx context.Context, r request) (Answer, error) {
	want := kovra.Action{
		Kind: settings[r.command.Verb], App: r.target.App,
		Params: kovra.Params{
			Project: r.target.Project, Filter: r.command.Filter, Subscription: r.command.Subscription, Sure: r.command.Sure,
		},
	}
	if want.Kind == kovra.ActUnsubscribe && want.Params.Subscription != 0 {
		sub, err := h.subscriptionHere(ctx, r.asker, want.Params.Subscription)
		if err != nil {
			return Answer{}, err
		}
		want.App = sub.App
	}
	if r.target.Site != "" {
		want.Params.Project = r.target.Site + "/" + r.target.Project
	}
	if app, ok := r.find(r.target.App); ok && app.Project == 0 && want.Kind == kovra.ActUnlink {
		return Answer{}, &unlinkedError{app: app.Name}
	}
	return h.do(ctx, r.asker, want, nil)
}

// changeRun cancels or retries a pipeline.
func (h *Handler) changeRun(ctx context.Context, r request) (Answer, error) {
	app, run, err := h.findRun(ctx, r)
	if err != nil {
		return Answer{}, err
	}
	kind := kovra.ActRetry
	if r.command.Verb == VerbCancel {
		kind = kovra.ActCancel
	}
	return h.change(ctx, r.asker, wish{kind: kind, app: app.Name, run: run.ID})
}

// changeJob retries or plays a job.
func (h *Handler) changeJob(ctx context.Context, r request) (Answer, error) {
	app, job, err := h.findJob(ctx, r)
	if err != nil {
		return Answer{}, err
	}
	kind := kovra.ActRetryJob
	if r.command.Verb == VerbPlay {
		kind = kovra.ActPlay
	}
	return h.change(ctx, r.asker, wish{kind: kind, app: app.Name, run: job.Run, job: job.ID})
}
