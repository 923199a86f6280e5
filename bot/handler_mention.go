package bot

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// threadAction is the callback id of the shortcut on messages, as in the app's manifest.
const threadAction = "thread_actions"

// mentioned is the bot's own name, with which a mention begins or ends.
var mentioned = regexp.MustCompile(`<@[UW][A-Z0-9]+(\|[^>]*)?>`)

// mentionLock begins the lock of what was asked for in a message, of which Slack may tell again.
const mentionLock = "slack/event/"

// amends is how long after it was written a message can be corrected: later it does nothing any more.
const amends = time.Hour

// mention answers somebody who spoke to the bot: in a thread of ours it is about what the thread shows, elsewhere it is a command.
// The answer is seen by them alone; what is done shows in the thread. Slack tells of a message again when it is not sure that we heard it, and
// when it is edited: one that was obeyed does nothing more, whatever stands in it now.
func (h *Handler) mention(ctx context.Context, e slackEvent) error {
	if e.Bot != "" || e.user() == "" || e.Thread == e.TS && e.Thread != "" && e.Subtype != "" || e.amendedLate() {
		return nil
	}
	said := channelID(e.Channel) + "/" + e.TS
	ask := asker{
		person: kovra.Person{ID: e.user(), Team: e.team()}, channel: channelID(e.Channel), thread: e.Thread, lock: mentionLock + said, said: said,
	}
	work, cancel := forWork(ctx)
	defer cancel()
	if heeded, err := h.heeded(work, said); heeded || err != nil {
		return err
	}
	answer, err := h.spokenTo(work, ask, strings.TrimSpace(mentioned.ReplaceAllString(e.Text, " ")))
	if err != nil {
		answer = h.sorry(ctx, ask, err)
	}
	return h.tell(ctx, ask, answer, false)
}

// amendedLate reports whether a message was edited so long after it was written that nobody corrects a wish with it.
func (e slackEvent) amendedLate() bool {
	if e.Edited.TS == "" {
		return false
	}
	written, err := strconv.ParseFloat(e.TS, 64)
	edited, err2 := strconv.ParseFloat(e.Edited.TS, 64)
	return err != nil || err2 != nil || edited-written > amends.Seconds()
}

func (h *Handler) heeded(ctx context.Context, message string) (heeded bool, err error) {
	err = h.DB.Read(ctx, func(tx *storage.Tx) error {
		heeded, err = tx.Heeded(message)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("look for what a message asked for: %w", err)
	}
	return heeded, nil
}

func (h *Handler) spokenTo(ctx context.Context, ask asker, text string) (Answer, error) {
	if ask.thread == "" {
		return h.command(ctx, ask, "/"+GroupKovra, text)
	}
	t, err := h.threadAt(ctx, ask, ask.thread)
	if kovra.KindOf(err) == kovra.NotFound {
		return h.command(ctx, ask, "/"+GroupKovra, text)
	}
	if err != nil {
		return Answer{}, err
	}
	ask.message = ask.thread // they look at its card
	if err := h.mayRead(ctx, ask, t.App); err != nil {
		return Answer{}, err
	}
	words, err := tokens(plain(text))
	if err != nil {
		return Answer{}, err
	}
	return h.inThread(ctx, ask, t, words)
}

func (h *Handler) threadAt(ctx context.Context, ask asker, ts string) (t kovra.Thread, err error) {
	err = h.DB.Read(ctx, func(tx *storage.Tx) error {
		t, err = threadOf(tx, ask, ts)
		return err
	})
	return t, err
}

// direct begins the ids of channels in which the bot talks with one person alone.
const direct = "D"

// threadOf returns the thread that a message belongs to, where it was clicked. That of a person is kept under their id: the
// channel is Slack's matter.
func threadOf(tx *storage.Tx, ask asker, ts string) (kovra.Thread, error) {
	if strings.HasPrefix(ask.channel, direct) {
		return tx.ThreadAt(kovra.PersonalChannel(ask.person.ID), ts)
	}
	return tx.ThreadAt(ask.channel, ts)
}

// inThread does what the words say with what the thread is about.
func (h *Handler) inThread(ctx context.Context, ask asker, t kovra.Thread, words []string) (Answer, error) {
	v, err := h.threadView(ctx, t)
	if err != nil {
		return Answer{}, err
	}
	verb, rest := "", []string(nil)
	if len(words) > 0 {
		verb, rest = strings.ToLower(words[0]), words[1:]
	}
	switch {
	case v.Build != nil:
		return h.inBuildThread(ctx, ask, v, verb, rest)
	case v.Run.ID != 0:
		return h.inRunThread(ctx, ask, v, verb, rest)
	default:
		return Answer{}, kovra.Errorf(kovra.Invalid, saysNothingToDo)
	}
}

// threadView is what a thread is about: of a merge request, its newest pipeline.
func (h *Handler) threadView(ctx context.Context, t kovra.Thread) (v kovra.View, err error) {
	err = h.DB.Read(ctx, func(tx *storage.Tx) error {
		switch {
		case t.Build != 0:
			v, err = tx.BuildView(t.Build)
			return err
		case t.Run != 0:
			v, err = tx.RunView(t.Run, t.App)
			return err
		}
		s, err := tx.Subject(t.Subject)
		if err != nil || s.Kind != kovra.SubjectMergeRequest {
			return err
		}
		app, err := tx.App(t.App)
		if err != nil || app.Project != s.Project { // who may read the app may not read what it was linked to
			return orMissing(err)
		}
		run, found, err := newestOf(tx, s)
		if err != nil || !found {
			return err
		}
		v, err = tx.RunView(run, t.App)
		return err
	})
	return v, err
}

// newestOf is the newest pipeline of a merge request: one of its own, or of its branch. The branch of a fork has none here,
// whatever branch of ours is called the same.
func newestOf(tx *storage.Tx, s kovra.Subject) (int64, bool, error) {
	runs, err := tx.Runs(storage.RunQuery{Project: s.Project, Ref: s.Source, Limit: recent})
	for _, r := range runs {
		if r.MR.IID == 0 && !s.Fork || fmt.Sprint(r.MR.IID) == s.Key {
			return r.ID, true, nil
		}
	}
	return 0, false, err
}

func (h *Handler) inRunThread(ctx context.Context, ask asker, v kovra.View, verb string, rest []string) (Answer, error) {
	w := wish{app: v.App.Name, run: v.Run.ID}
	switch {
	case verb == "" || verb == VerbHelp:
		return RenderThreadActions(v), nil
	case verb == VerbJobs || verb == VerbLog && len(rest) == 0:
		return h.jobsOf(ctx, v.App.Name, v.Run.ID, 0)
	case verb == VerbCancel && len(rest) == 0:
		w.kind = kovra.ActCancel
	case verb == VerbRetry && len(rest) == 0:
		w.kind = kovra.ActRetry
	case verb == verbWatch && len(rest) == 0:
		return h.do(ctx, ask, kovra.Action{Kind: kovra.ActWatch, App: v.App.Name, Run: v.Run.ID}, nil)
	case slices.Contains([]string{VerbLog, VerbRetry, VerbRetryJob, VerbPlay}, verb):
		return h.onJob(ctx, ask, v, verb, strings.Join(rest, " "))
	case slices.Contains(buildThreadVerbs, verb):
		return Answer{}, kovra.Errorf(kovra.Invalid, saysPipelineThread, verb)
	default:
		return Answer{}, unknownInThread(verb, runThreadVerbs)
	}
	return h.change(ctx, ask, w)
}

// onJob does something with a job of the thread's pipeline, which is named by its name or id.
func (h *Handler) onJob(ctx context.Context, ask asker, v kovra.View, verb, name string) (Answer, error) {
	name = strings.TrimPrefix(name, "job ")
	jobs := kovra.CurrentJobs(v.Run.Stages, v.Jobs)
	var names []string
	for _, j := range slices.Backward(jobs) {
		names = append(names, strings.ToLower(j.Name))
		if !strings.EqualFold(j.Name, name) && fmt.Sprint(j.ID) != strings.TrimPrefix(name, "#") {
			continue
		}
		if verb == VerbLog {
			return RenderLog(v, j), nil
		}
		kind := kovra.ActRetryJob
		if verb == VerbPlay {
			kind = kovra.ActPlay
		}
		return h.change(ctx, ask, wish{kind: kind, app: v.App.Name, run: v.Run.ID, job: j.ID})
	}
	if near, ok := nearest(name, names); ok {
		return Answer{}, kovra.Errorf(kovra.NotFound, saysNearJob, name, near)
	}
	return Answer{}, kovra.Errorf(kovra.NotFound, saysNoJobHere, name)
}

func (h *Handler) inBuildThread(ctx context.Context, ask asker, v kovra.View, verb string, rest []string) (Answer, error) {
	w := buildWish{build: v.Build.ID}
	if len(rest) == 1 && verb == "roll" && strings.EqualFold(rest[0], "back") {
		verb = VerbRollback
	}
	switch verb {
	case "", VerbHelp:
		return RenderThreadActions(v), nil
	case VerbLog, VerbJobs:
		return RenderBuildLog(v), nil
	case VerbCancel:
		w.kind = kovra.ActCancelBuild
	case VerbRebuild, VerbRetry:
		w.kind = kovra.ActRebuild
	case VerbDeploy:
		w.kind = kovra.ActDeploy
	case VerbRollback:
		return h.settleApp(ctx, ask, v.App, kovra.ActRollBack)
	case verbWatch:
		return h.do(ctx, ask, kovra.Action{Kind: kovra.ActWatch, App: v.App.Name, Build: v.Build.ID}, nil)
	default:
		return Answer{}, unknownInThread(verb, buildThreadVerbs)
	}
	return h.changeBuild(ctx, ask, w)
}

// What can be said in a thread.
const verbWatch = "watch"

var (
	runThreadVerbs   = []string{VerbRetry, VerbCancel, VerbLog, VerbJobs, VerbRetryJob, VerbPlay, verbWatch, VerbHelp}
	buildThreadVerbs = []string{VerbRebuild, VerbDeploy, VerbRollback, VerbCancel, VerbLog, verbWatch, VerbHelp}
)

func unknownInThread(verb string, verbs []string) error {
	if near, ok := nearest(verb, verbs); ok {
		return kovra.Errorf(kovra.Invalid, saysNearInThread, verb, near)
	}
	return kovra.Errorf(kovra.Invalid, saysUnknownInThread, verb, strings.Join(verbs, ", "))
}

// shortcut opens, for a message of a thread of ours, what can be done with it now.
func (h *Handler) shortcut(ctx context.Context, p payload) error {
	ask := p.asker()
	work, cancel := forWork(ctx)
	defer cancel()
	answer, app, err := h.threadActions(work, ask)
	if err != nil {
		answer = h.sorry(ctx, ask, err)
	}
	at := formPlace{App: app, Channel: ask.channel, Thread: p.Message.ThreadTS, Reply: ask.reply}
	if _, err := h.Slack.OpenView(ctx, ask.trigger, resultView(answer, at.encode())); err != nil {
		return h.tell(ctx, ask, answer, false)
	}
	return nil
}

func (h *Handler) threadActions(ctx context.Context, ask asker) (Answer, string, error) {
	t, err := h.threadAt(ctx, ask, ask.message)
	if kovra.KindOf(err) == kovra.NotFound && ask.thread != "" {
		t, err = h.threadAt(ctx, ask, ask.thread)
	}
	if kovra.KindOf(err) == kovra.NotFound {
		return notice(escape(saysNotOurThread)), "", nil
	}
	if err == nil {
		err = h.mayRead(ctx, ask, t.App)
	}
	if err != nil {
		return Answer{}, "", err
	}
	v, err := h.threadView(ctx, t)
	if err != nil {
		return Answer{}, t.App, err
	}
	if v.Build == nil && v.Run.ID == 0 {
		return notice(escape(saysNothingToDo)), t.App, nil
	}
	return RenderThreadActions(v), t.App, nil
}
