package bot

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// again is how long a thing that was done, but of which nothing came, keeps the next
// one from asking for it. GitLab ignores a cancel now and then.
const again = time.Minute

// do proposes an action, waits a little for its end and answers. Without a lock of its
// own the action happens once for this request of Slack's.
func (h *Handler) do(ctx context.Context, ask asker, want kovra.Action, secret []byte) (Answer, error) {
	a, mine, err := h.propose(ctx, ask, want, secret)
	if err != nil {
		return Answer{}, err
	}
	return h.follow(ctx, ask, a, mine)
}

func (h *Handler) propose(ctx context.Context, ask asker, want kovra.Action, secret []byte) (a kovra.Action, mine bool, err error) {
	ask.sign(&want)
	err = h.DB.Update(ctx, func(tx *storage.Tx) (err error) {
		if a, mine, err = tx.Propose(want, secret); err == nil {
			err = ask.noteAction(tx, a, mine)
		}
		return err
	})
	if err != nil {
		return a, false, fmt.Errorf("propose %s: %w", want.Kind, err)
	}
	return a, mine, nil
}

// sign writes into an action who wants it, where, and how to answer.
func (a asker) sign(want *kovra.Action) {
	want.By, want.ReplyURL, want.Params.Thread = a.person, a.reply, a.thread
	want.Params.Message = cmp.Or(a.said, want.Params.Message)
	want.Channel = cmp.Or(want.Channel, a.channel)
	want.Lock = cmp.Or(want.Lock, a.once())
}

// follow waits a little for the end of a proposed action of ours, and answers.
func (h *Handler) follow(ctx context.Context, ask asker, a kovra.Action, mine bool) (Answer, error) {
	if ask.atHome() {
		return Answer{}, nil // App Home tells it
	}
	if mine {
		a = h.await(ctx, a)
	}
	return h.report(ctx, ask, a, mine)
}

// report says what came of an action; of one that is not ours, who was first.
func (h *Handler) report(ctx context.Context, ask asker, a kovra.Action, mine bool) (Answer, error) {
	switch {
	case a.State == kovra.ActionWaits && a.By.ID == ask.person.ID:
		return h.prompt(ctx, ask, a)
	case !mine && ask.said != "" && a.Params.Message == ask.said:
		return Answer{}, nil // Slack has told of the message again
	case !mine:
		d, err := h.deed(ctx, a)
		if err != nil {
			return Answer{}, err
		}
		return RenderTaken(d, ask.person.ID), nil
	case a.Open():
		return h.late(ctx, ask, a), nil
	default:
		return h.claim(ctx, ask, a), nil
	}
}

// await returns the action as it is at its end, or as it is when nobody can wait any longer.
func (h *Handler) await(ctx context.Context, a kovra.Action) kovra.Action {
	wait := h.patience
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end)-reserve)
	}
	bounded, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	err := h.DB.Await(bounded, func(tx *storage.Tx) (bool, error) {
		now, err := tx.Action(a.ID)
		if err == nil {
			a = now
		}
		return !a.Open(), err
	})
	if err != nil && bounded.Err() == nil {
		h.Log.ErrorContext(ctx, "action not watched", "action", a.ID, "err", err)
	}
	return a
}

// late leaves the answer to the loop that sends late ones, and says so. That loop finds
// it also where this cannot be recorded, only later. It is never an error: somebody who
// is told to try again would do it twice. What was asked in App Home is told there.
func (h *Handler) late(ctx context.Context, ask asker, a kovra.Action) Answer {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), reserve/2)
	defer cancel()
	a.State = kovra.ActionTried // as far as this answer knows
	d := Deed{Action: a, JobName: a.Params.JobName}
	err := h.DB.Update(bounded, func(tx *storage.Tx) (err error) {
		if ask.home {
			_, err = tx.ClaimAnswer(a.ID)
		} else {
			err = tx.MarkLate(a.ID)
		}
		if err == nil {
			d, err = readDeed(tx, a, h.Hook)
		}
		return err
	})
	if err != nil {
		h.Log.WarnContext(ctx, "answer not left for later", "action", a.ID, "err", err)
	}
	return RenderAction(d)
}

// claim answers for an action that ended, unless somebody else has.
func (h *Handler) claim(ctx context.Context, ask asker, a kovra.Action) Answer {
	claimed := false
	var d Deed
	err := h.DB.Update(ctx, func(tx *storage.Tx) (err error) {
		if d, err = readDeed(tx, a, h.Hook); err != nil {
			return err
		}
		claimed, err = tx.ClaimAnswer(a.ID)
		return err
	})
	switch {
	case err != nil:
		return h.late(ctx, ask, a)
	case !claimed:
		return Answer{}
	default:
		return RenderAction(d)
	}
}

func (h *Handler) deed(ctx context.Context, a kovra.Action) (d Deed, err error) {
	err = h.DB.Read(ctx, func(tx *storage.Tx) error {
		d, err = readDeed(tx, a, h.Hook)
		return err
	})
	return d, err
}

// wish is a change of a pipeline or job that exists.
type wish struct {
	kind    kovra.ActionKind
	app     string
	run     int64 // ours
	job     int64 // GitLab's; 0: the pipeline as a whole
	attempt int   // that the button was drawn for; 0: typed
}

// change proposes a wish if the present state offers it. If not, the answer says why,
// what the state is, and who was first; and GitLab is asked, since a webhook may be lost.
func (h *Handler) change(ctx context.Context, ask asker, w wish) (Answer, error) {
	var refused Answer
	var a kovra.Action
	var mine bool
	err := h.DB.Update(ctx, func(tx *storage.Tx) error {
		v, err := tx.RunView(w.run, w.app)
		if err != nil {
			return err
		}
		if !linked(v) || !w.offered(v) || w.stale(v) {
			refused, err = h.refuse(tx, ask, w, v)
			return err
		}
		want := w.action(v)
		ask.sign(&want)
		if a, mine, err = proposeOnce(tx, want, h.DB.Now()); err == nil {
			err = ask.noteAction(tx, a, mine)
		}
		return err
	})
	if err != nil || !refused.isEmpty() {
		return refused, err
	}
	return h.follow(ctx, ask, a, mine)
}

// offered reports whether the state asks for the wish.
func (w wish) offered(v kovra.View) bool {
	switch w.kind {
	case kovra.ActCancel:
		return v.Run.Status.CanCancel()
	case kovra.ActRetry:
		return v.Run.Status.CanRetry()
	default: // the other wishes are about a job
	}
	j := w.of(v)
	if j == nil {
		return false
	}
	if w.kind == kovra.ActPlay {
		return j.Status == kovra.Manual
	}
	_, newer := kovra.Successor(*j, v.Jobs)
	return j.Status.CanRetry() && !newer
}

// stale reports whether the button is of another attempt at the pipeline. What is
// asked of a job is told by the job alone: each attempt at it has an id of its own.
func (w wish) stale(v kovra.View) bool {
	return w.job == 0 && w.attempt != 0 && w.attempt != v.Run.Attempt()
}

// of returns the job that the wish is about; nil: none, or there is no such job.
func (w wish) of(v kovra.View) *kovra.Job {
	i := slices.IndexFunc(v.Jobs, func(j kovra.Job) bool { return j.ID == w.job })
	if w.job == 0 || i < 0 {
		return nil
	}
	return &v.Jobs[i]
}

// action is the wish as it is recorded. Its lock makes the first click win.
func (w wish) action(v kovra.View) kovra.Action {
	a := kovra.Action{Kind: w.kind, App: w.app, Run: w.run, Job: w.job, Params: kovra.Params{Attempt: v.Run.Attempt()}}
	if j := w.of(v); j != nil {
		a.Params.JobName = j.Name
		a.Lock = fmt.Sprintf("%s/%d/%d", w.kind, v.Run.Project, w.job)
		return a
	}
	if w.kind == kovra.ActRetry {
		a.Params.Jobs = kovra.FailedJobs(v.Jobs)
	}
	a.Lock = fmt.Sprintf("%s/%d/%d", w.kind, w.run, a.Params.Attempt)
	return a
}

// proposeOnce proposes an action that the state asks for. A first one that was done a
// while ago has had no effect then, and does not hold the lock any more.
func proposeOnce(tx *storage.Tx, want kovra.Action, now time.Time) (kovra.Action, bool, error) {
	lock := want.Lock
	for n := 2; ; n++ {
		a, mine, err := tx.Propose(want, nil)
		if err != nil || mine || a.State != kovra.ActionDone || now.Sub(a.FinishedAt) < again {
			return a, mine, err
		}
		want.Lock = fmt.Sprintf("%s#%d", lock, n)
	}
}

// refuse answers for a wish that the state does not offer: with who did it, if somebody
// did, else with why not.
func (h *Handler) refuse(tx *storage.Tx, ask asker, w wish, v kovra.View) (Answer, error) {
	u := Unavailable{Kind: w.kind, View: v, Job: w.of(v), Attempt: w.attempt}
	if !linked(v) {
		return RenderUnavailable(u), nil
	}
	if w.offered(v) {
		return RenderStale(u), nil
	}
	if err := tx.MarkStale(w.run); err != nil {
		return Answer{}, err
	}
	first, found, err := firstOf(tx, w, v)
	if err != nil || !found {
		return RenderUnavailable(u), err
	}
	d, err := readDeed(tx, first, h.Hook)
	return RenderTaken(d, ask.person.ID), err
}

// recent is how many actions of a run are looked through for the one that was first.
const recent = 50

// firstOf finds the action that did what the wish asks for.
func firstOf(tx *storage.Tx, w wish, v kovra.View) (kovra.Action, bool, error) {
	attempt := w.attempt
	if attempt == 0 {
		attempt = v.Run.Attempt()
		if w.kind == kovra.ActRetry {
			attempt-- // what runs now is the attempt that the retry made
		}
	}
	actions, err := tx.Actions(storage.ActionQuery{Run: w.run, Limit: recent})
	for _, a := range actions {
		same := a.Kind == w.kind && a.Job == w.job && (w.job != 0 || a.Params.Attempt == attempt)
		if same && (a.Open() || a.State == kovra.ActionDone) {
			return a, true, nil
		}
	}
	return kovra.Action{}, false, err
}
