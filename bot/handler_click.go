package bot

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// click is what a button does. The answer, if it is not empty, is told privately.
type click func(h *Handler, ctx context.Context, ask asker, value string) (Answer, error)

// buttons are all buttons of ours, by name.
var buttons = map[string]click{
	ActionJobs:     (*Handler).clickJobs,
	ActionJobsPage: (*Handler).clickJobs,
	ActionCancel:   clickChange(kovra.ActCancel),
	ActionRetry:    clickChange(kovra.ActRetry),
	ActionRetryJob: clickChange(kovra.ActRetryJob),
	ActionPlay:     clickChange(kovra.ActPlay),
	ActionRun:      (*Handler).clickRun,
	ActionConnect:  (*Handler).clickConnect,
	ActionList:     (*Handler).clickList,
	ActionOlder:    (*Handler).clickList,
	ActionNewer:    (*Handler).clickList,
	ActionAudit:    (*Handler).clickAudit,
	ActionChoose:   (*Handler).clickChoose,
	ActionConfirm:  (*Handler).clickConfirm,

	ActionSubscribe:          (*Handler).clickSubscribe,
	ActionEditSubscription:   (*Handler).clickEditSubscription,
	ActionRemoveSubscription: (*Handler).clickRemoveSubscription,

	ActionWatch:      (*Handler).clickWatch,
	ActionWatchBuild: (*Handler).clickWatchBuild,

	ActionCancelBuild: clickBuild(kovra.ActCancelBuild),
	ActionRebuild:     clickBuild(kovra.ActRebuild),
	ActionDeploy:      clickBuild(kovra.ActDeploy),
	ActionRollBack:    clickBuild(kovra.ActRollBack),
	ActionTrigger:     (*Handler).clickTrigger,
	ActionSettings:    (*Handler).clickSettings,
	ActionResume:      (*Handler).clickResume,
	ActionBuilds:      (*Handler).clickBuilds,
	ActionOlderBuilds: (*Handler).clickBuilds,
	ActionNewerBuilds: (*Handler).clickBuilds,

	ActionEnableHooks: (*Handler).clickEnableHooks,

	ActionOpen: func(*Handler, context.Context, asker, string) (Answer, error) { return Answer{}, nil },
}

// turning are the buttons that turn pages: their answer takes the place of the page.
var turning = []string{ActionJobsPage, ActionOlder, ActionNewer, ActionAudit, ActionOlderBuilds, ActionNewerBuilds}

// clicks answers everything that was used at once; Slack sends one element at a time.
// Whatever holds up the work, there is time left to say so.
func (h *Handler) clicks(ctx context.Context, p payload) error {
	ask := p.asker()
	work, cancel := forWork(ctx)
	defer cancel()
	var errs []error
	for _, c := range p.Actions {
		name := ActionName(c.ActionID)
		if c.Type != "" && c.Type != "button" && name != ActionHomeApp {
			continue // a field of a modal: it is read when the modal is submitted
		}
		do, known := buttons[name]
		if ask.atHome() {
			do, known = homeButton(name)
		}
		if !known {
			do = (*Handler).clickUnknown
		}
		answer, err := do(h, work, ask, cmp.Or(c.Value, c.Selected.Value))
		if kovra.KindOf(err) == kovra.Unconnected && ask.atHome() {
			answer, err = Answer{}, h.showAtHome(work, ask, h.sorry(ctx, ask, err))
		}
		if err != nil {
			answer = h.sorry(ctx, ask, err)
		}
		errs = append(errs, h.tell(ctx, ask, answer, slices.Contains(turning, name)))
	}
	return errors.Join(errs...)
}

// clickUnknown answers a button that a former version of ours made.
func (*Handler) clickUnknown(context.Context, asker, string) (Answer, error) {
	return Answer{}, kovra.Errorf(kovra.Invalid, saysOldButton)
}

// clickJobs shows the jobs of a pipeline, or another page of them.
func (h *Handler) clickJobs(ctx context.Context, ask asker, value string) (Answer, error) {
	v, app, err := h.clickedRun(ctx, ask, value)
	if err != nil {
		return Answer{}, err
	}
	return h.jobsOf(ctx, app, v.Run, v.Page)
}

// clickChange proposes what a button of a pipeline or job stands for.
func clickChange(kind kovra.ActionKind) click {
	return func(h *Handler, ctx context.Context, ask asker, value string) (Answer, error) {
		v, app, err := h.clickedRun(ctx, ask, value)
		if err != nil {
			return Answer{}, err
		}
		return h.change(ctx, ask, wish{kind: kind, app: app, run: v.Run, job: v.Job, attempt: v.Attempt})
	}
}

// clickedRun reads a button's value and returns the app through which the person sees
// its pipeline.
func (h *Handler) clickedRun(ctx context.Context, ask asker, value string) (Value, string, error) {
	v, err := ParseValue(value)
	if err != nil {
		return v, "", err
	}
	var apps []string
	err = h.DB.Read(ctx, func(tx *storage.Tx) error {
		apps, err = appsOfRun(tx, ask, v.Run)
		return err
	})
	if kovra.KindOf(err) == kovra.NotFound || err == nil && len(apps) == 0 {
		return v, "", kovra.Errorf(kovra.NotFound, saysNothingThere)
	}
	ctx, cancel := context.WithTimeout(ctx, gatePatience) // for all of them together
	defer cancel()
	var told error
	for _, app := range apps {
		if err = h.mayRead(ctx, ask, app); err == nil {
			return v, app, nil
		}
		if kovra.KindOf(err) == kovra.Denied {
			told = err
		}
	}
	return v, "", cmp.Or(told, err)
}

// appsOfRun returns the apps that may show a run: first that of the thread that was
// clicked, then the channel's, then all others of its project. A thread whose app has
// lost its project still names that app.
func appsOfRun(tx *storage.Tx, ask asker, id int64) ([]string, error) {
	run, err := tx.Run(id)
	if err != nil {
		return nil, err
	}
	linked, err := tx.AppsOfProject(run.Project)
	if err != nil {
		return nil, err
	}
	var all, names []string
	for _, a := range linked {
		all = append(all, a.Name)
	}
	add := func(name string) {
		if slices.Contains(all, name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	thread, err := threadOf(tx, ask, ask.message)
	if err != nil && kovra.KindOf(err) != kovra.NotFound {
		return nil, err
	}
	if len(all) == 0 && thread.App != "" {
		shown, err := tx.Run(thread.Run)
		if err != nil || shown.Project != run.Project { // the value is not of that thread
			return nil, err
		}
		return []string{thread.App}, nil
	}
	if ask.home {
		home, err := tx.HomeOf(ask.person.ID)
		if err != nil {
			return nil, err
		}
		add(home.App)
	}
	add(thread.App)
	subs, err := tx.Subscriptions(storage.SubscriptionQuery{Channel: ask.channel})
	for _, s := range subs {
		add(s.App)
	}
	for _, name := range all {
		add(name)
	}
	return names, err
}

// clickList shows a page of an app's pipelines.
func (h *Handler) clickList(ctx context.Context, ask asker, value string) (Answer, error) {
	at, app, err := h.clickedApp(ctx, ask, value)
	if err != nil {
		return Answer{}, err
	}
	return h.page(ctx, app, at)
}

// clickedApp reads a button's value and the app that it names.
func (h *Handler) clickedApp(ctx context.Context, ask asker, value string) (Place, kovra.App, error) {
	at, err := ParsePlace(value)
	if err != nil {
		return at, kovra.App{}, err
	}
	app, err := h.readableApp(ctx, ask, at.App)
	return at, app, err
}

// readableApp returns an app that the person may read.
func (h *Handler) readableApp(ctx context.Context, ask asker, name string) (app kovra.App, err error) {
	if err := h.mayRead(ctx, ask, name); err != nil {
		return app, err
	}
	err = h.DB.Read(ctx, func(tx *storage.Tx) error {
		app, err = tx.App(name)
		return err
	})
	if kovra.KindOf(err) == kovra.NotFound {
		return app, kovra.Errorf(kovra.NotFound, saysNothingThere)
	}
	return app, err
}

// clickAudit shows the next page of the record.
func (h *Handler) clickAudit(ctx context.Context, ask asker, value string) (Answer, error) {
	at, err := ParsePlace(value)
	if err != nil {
		return Answer{}, err
	}
	s, err := h.look(ctx, ask, at.App)
	if err != nil {
		return Answer{}, err
	}
	if _, ok := s.find(at.App); at.App != "" && !ok {
		return Answer{}, kovra.Errorf(kovra.NotFound, saysNothingThere)
	}
	return h.auditPage(ctx, ask, s, at.App, at.Before)
}

// clickChoose carries out the command that a button holds, once for each button.
func (h *Handler) clickChoose(ctx context.Context, ask asker, value string) (Answer, error) {
	command, text, _ := strings.Cut(strings.TrimSpace(value), " ")
	if ask.message != "" {
		sum := sha256.Sum256([]byte(value))
		ask.lock = fmt.Sprintf("choose/%s/%s/%x", ask.channel, ask.message, sum[:8])
	}
	return h.command(ctx, ask, command, text)
}

// clickConfirm does what an action has asked about, for the one who wanted it.
func (h *Handler) clickConfirm(ctx context.Context, ask asker, value string) (Answer, error) {
	id, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return Answer{}, &kovra.Error{Kind: kovra.Invalid, Public: saysOldButton, Err: err}
	}
	var asked kovra.Action
	err = h.DB.Read(ctx, func(tx *storage.Tx) error {
		asked, err = tx.Action(id)
		return err
	})
	if err != nil && kovra.KindOf(err) != kovra.NotFound {
		return Answer{}, err
	}
	if asked.State != kovra.ActionAsks || asked.By.ID != ask.person.ID {
		return Answer{}, kovra.Errorf(kovra.Invalid, saysNoQuestion)
	}
	sure := kovra.Action{
		Kind: asked.Kind, App: asked.App, Run: asked.Run, Build: asked.Build, Job: asked.Job, Channel: asked.Channel, Params: asked.Params,
		Lock: fmt.Sprintf("confirm/%d", id),
	}
	sure.Params.Sure = true
	// What was shown is what was confirmed.
	sure.Params.Target, sure.Params.From, sure.Params.Image = asked.Outcome.Target, asked.Outcome.From, asked.Outcome.Image
	return h.do(ctx, ask, sure, nil)
}
