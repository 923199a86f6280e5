package bot

import (
	"context"
	"fmt"
	"slices"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// builds answers with the newest builds of an app.
func (h *Handler) builds(ctx context.Context, r request) (Answer, error) {
	app, _ := r.find(r.target.App)
	return h.buildPage(ctx, app, Place{App: app.Name})
}

// buildPage is one page of an app's builds.
func (h *Handler) buildPage(ctx context.Context, app kovra.App, at Place) (Answer, error) {
	var l BuildList
	err := h.DB.Read(ctx, func(tx *storage.Tx) (err error) {
		l, err = readBuildList(tx, app, at, ListPage)
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	return RenderBuilds(l), nil
}

// readBuildList reads one page of an app's builds, with so many of them.
func readBuildList(tx *storage.Tx, app kovra.App, at Place, size int) (l BuildList, err error) {
	l = BuildList{App: app}
	if _, l.Project, err = linkedApp(tx, app); err != nil {
		return l, err
	}
	if l.Settings, err = tx.BuildSettings(app.Name); err != nil {
		return l, err
	}
	q := storage.BuildQuery{App: app.Name, Before: at.Before, After: at.After, Limit: size + 1}
	if l.Builds, err = tx.Builds(q); err == nil && len(l.Builds) == 0 {
		at.Before, at.After = 0, 0 // nothing there: back to the newest
		q.Before, q.After = 0, 0
		l.Builds, err = tx.Builds(q)
	}
	if err != nil {
		return l, err
	}
	l.Builds, l.Older, l.Newer = turn(l.Builds, at, size, func(b kovra.Build) int64 { return b.ID })
	open, err := tx.OpenDeployments()
	l.Deploying = slices.DeleteFunc(open, func(d kovra.Deployment) bool { return d.App != app.Name })
	return l, err
}

// trigger starts a build of a branch.
func (h *Handler) trigger(ctx context.Context, r request) (Answer, error) {
	app, _ := r.find(r.target.App)
	if app.Project == 0 {
		return Answer{}, &unlinkedError{app: app.Name}
	}
	return h.do(ctx, r.asker, buildAction(app.Name, r.target.Ref), nil)
}

// buildAction starts a build; without a ref that of the settings is built.
func buildAction(app, ref string) kovra.Action {
	return kovra.Action{Kind: kovra.ActBuild, App: app, Params: kovra.Params{Ref: ref}}
}

// findBuild returns the build that a command names, if the asker may see it.
func (h *Handler) findBuild(ctx context.Context, r request) (v kovra.View, err error) {
	err = h.DB.Read(ctx, func(tx *storage.Tx) error {
		v, err = tx.BuildView(r.target.ID)
		return err
	})
	if err != nil && kovra.KindOf(err) != kovra.NotFound {
		return v, err
	}
	if err == nil {
		_, seen := r.find(v.Build.App)
		switch {
		case !seen:
		case r.target.App != "" && r.target.App != v.Build.App:
			c := r.command
			c.Words = []string{v.Build.App, fmt.Sprint(v.Build.ID)}
			return v, kovra.Errorf(kovra.NotFound, saysOtherApp, upper(buildNumber(v.Build.ID)), v.Build.App, r.target.App, c.typed())
		case v.App.Project == 0:
			return v, &unlinkedError{app: v.Build.App}
		default:
			return v, nil
		}
	}
	if app, ok := r.find(r.target.App); ok && app.Project == 0 {
		return v, &unlinkedError{app: app.Name}
	}
	return v, kovra.Errorf(kovra.NotFound, saysNoBuild, r.target.ID)
}

// buildVerbs are the commands that change a build.
var buildVerbs = map[string]kovra.ActionKind{
	VerbCancel:  kovra.ActCancelBuild,
	VerbRebuild: kovra.ActRebuild,
	VerbDeploy:  kovra.ActDeploy,
}

// changeTypedBuild does what a command says with a build.
func (h *Handler) changeTypedBuild(ctx context.Context, r request) (Answer, error) {
	v, err := h.findBuild(ctx, r)
	if err != nil {
		return Answer{}, err
	}
	return h.changeBuild(ctx, r.asker, buildWish{kind: buildVerbs[r.command.Verb], build: v.Build.ID})
}

// buildLog answers with the way to a build's log.
func (h *Handler) buildLog(ctx context.Context, r request) (Answer, error) {
	v, err := h.findBuild(ctx, r)
	if err != nil {
		return Answer{}, err
	}
	return RenderBuildLog(v), nil
}

// settleDeploys rolls an app back, or has auto-deploy go on.
func (h *Handler) settleDeploys(ctx context.Context, r request) (Answer, error) {
	app, _ := r.find(r.target.App)
	kind := kovra.ActRollBack
	if r.command.Verb == VerbResume {
		kind = kovra.ActResumeDeploy
	}
	return h.settleApp(ctx, r.asker, app, kind)
}

func (h *Handler) settleApp(ctx context.Context, ask asker, app kovra.App, kind kovra.ActionKind) (Answer, error) {
	if app.Project == 0 {
		return Answer{}, &unlinkedError{app: app.Name}
	}
	return h.do(ctx, ask, kovra.Action{Kind: kind, App: app.Name}, nil)
}

// buildWish is a change of a build that exists, or of what became of its image.
type buildWish struct {
	kind       kovra.ActionKind
	build      int64
	deployment int64 // that is to be rolled back; 0: none
}

// changeBuild proposes a wish if the present state offers it. If not, the answer says why, what the state
// is, and who was first.
func (h *Handler) changeBuild(ctx context.Context, ask asker, w buildWish) (Answer, error) {
	var refused Answer
	var a kovra.Action
	var mine bool
	err := h.DB.Update(ctx, func(tx *storage.Tx) error {
		v, err := tx.BuildView(w.build)
		switch {
		case err != nil:
			return err
		case v.App.Project == 0:
			return &unlinkedError{app: v.Build.App}
		case !linked(v) || !w.offered(v):
			refused, err = h.refuseBuild(tx, ask, w, v)
			return err
		}
		want := w.action(v)
		ask.sign(&want)
		if w.asksFirst() {
			a, mine, err = tx.Propose(want, nil)
		} else {
			a, mine, err = proposeOnce(tx, want, h.DB.Now())
		}
		if err == nil {
			err = ask.noteAction(tx, a, mine)
		}
		return err
	})
	if err != nil || !refused.isEmpty() {
		return refused, err
	}
	return h.follow(ctx, ask, a, mine)
}

// asksFirst reports whether nothing is done before the person was asked: then each wish is one of its own.
func (w buildWish) asksFirst() bool { return w.kind == kovra.ActDeploy || w.kind == kovra.ActRollBack }

// offered reports whether the state offers the wish.
func (w buildWish) offered(v kovra.View) bool {
	switch w.kind {
	case kovra.ActCancelBuild:
		return v.Build.CanCancel()
	case kovra.ActRebuild:
		return v.Build.CanRebuild()
	case kovra.ActDeploy:
		return canDeploy(v)
	default:
		return slices.ContainsFunc(v.Deployments, func(d kovra.Deployment) bool { return d.ID == w.deployment && canRollBack(v, d) })
	}
}

// action is the wish as it is recorded. Its lock makes the first click win.
func (w buildWish) action(v kovra.View) kovra.Action {
	a := kovra.Action{Kind: w.kind, App: v.Build.App, Build: w.build, Params: kovra.Params{Deployment: w.deployment}}
	if !w.asksFirst() {
		a.Lock = fmt.Sprintf("%s/%d", w.kind, w.build)
	}
	return a
}

// refuseBuild answers for a wish that the state does not offer: with who did it, if somebody did, else
// with why not.
func (h *Handler) refuseBuild(tx *storage.Tx, ask asker, w buildWish, v kovra.View) (Answer, error) {
	u := Unavailable{Kind: w.kind, View: v}
	if !linked(v) || w.kind != kovra.ActCancelBuild {
		return RenderUnavailable(u), nil
	}
	actions, err := tx.Actions(storage.ActionQuery{Build: w.build, Limit: recent})
	if err != nil {
		return Answer{}, err
	}
	for _, a := range actions {
		if a.Kind == w.kind && (a.Open() || a.State == kovra.ActionDone) {
			d, err := readDeed(tx, a, h.Hook)
			return RenderTaken(d, ask.person.ID), err
		}
	}
	return RenderUnavailable(u), nil
}

// clickBuild proposes what a button of a build stands for.
func clickBuild(kind kovra.ActionKind) click {
	return func(h *Handler, ctx context.Context, ask asker, value string) (Answer, error) {
		v, err := ParseBuildValue(value)
		if err != nil {
			return Answer{}, err
		}
		var b kovra.Build
		err = h.DB.Read(ctx, func(tx *storage.Tx) error {
			b, err = tx.Build(v.Build)
			return err
		})
		if kovra.KindOf(err) == kovra.NotFound {
			return Answer{}, kovra.Errorf(kovra.NotFound, saysNothingThere)
		}
		if err == nil {
			err = h.mayRead(ctx, ask, b.App)
		}
		if err != nil {
			return Answer{}, err
		}
		return h.changeBuild(ctx, ask, buildWish{kind: kind, build: v.Build, deployment: v.Deployment})
	}
}

// clickBuilds shows a page of an app's builds.
func (h *Handler) clickBuilds(ctx context.Context, ask asker, value string) (Answer, error) {
	at, app, err := h.clickedApp(ctx, ask, value)
	if err != nil {
		return Answer{}, err
	}
	return h.buildPage(ctx, app, at)
}

// clickResume has auto-deploy go on.
func (h *Handler) clickResume(ctx context.Context, ask asker, name string) (Answer, error) {
	app, err := h.namedApp(ctx, ask, name)
	if err != nil {
		return Answer{}, err
	}
	return h.settleApp(ctx, ask, app, kovra.ActResumeDeploy)
}

// namedApp returns the app whose name a button carries.
func (h *Handler) namedApp(ctx context.Context, ask asker, name string) (kovra.App, error) {
	if err := kovra.CheckAppName(name); err != nil {
		return kovra.App{}, &kovra.Error{Kind: kovra.Invalid, Public: saysOldButton, Err: err}
	}
	return h.readableApp(ctx, ask, name)
}
