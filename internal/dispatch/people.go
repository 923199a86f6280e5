package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// How long it is taken to be known who somebody is in Slack, and that nobody is.
const (
	matchHolds   = 24 * time.Hour
	noMatchHolds = time.Hour
	matchTime    = 5 * time.Second // for one look
)

// hand is what the person of an action acts with: their own account where people connect one. Whoever works at the command line
// has the bot's token in their hands already, and no account that they could connect.
func (a Actions) hand(ctx context.Context, act kovra.Action) (Hand, error) {
	if a.world.Hands == nil || act.By.IsOperator() {
		return Hand{Controls: a.world.Controls, Links: a.world.Links}, nil
	}
	return a.world.Hands.As(ctx, act.By)
}

// as is the GitLab user name under which something is done, where it is the person's own.
func (h Hand) as() string {
	if !h.Own {
		return ""
	}
	return h.User.Username
}

// wait has an action wait for its person to connect. Who spoke in GitLab cannot be asked in Slack. The error Unavailable
// says that it can be tried again: the account works, or was connected meanwhile.
func (a Actions) wait(ctx context.Context, act kovra.Action, why error) error {
	if errors.Is(why, kovra.ErrToken) {
		if err := a.world.Hands.Lost(ctx, act.By); err != nil {
			return err
		}
	}
	if act.By.ID == "" {
		return a.finish(ctx, act, failed(act, why))
	}
	return a.db.Update(ctx, func(tx *storage.Tx) error {
		_, connected, err := tx.Tokens(act.By.ID)
		if err != nil {
			return err
		}
		if connected { // after it was refused: nobody would wake it
			return kovra.Errorf(kovra.Unavailable, "Your GitLab account could not be used. Please try again in a moment.")
		}
		return tx.WaitAction(act.ID)
	})
}

// waitOn ends an action whose person did not connect in time.
func (a Actions) waitOn(ctx context.Context, act kovra.Action) (time.Duration, error) {
	if left := kovra.Left(act.CreatedAt, kovra.WaitFor, a.db.Now()); left > 0 {
		return left, nil
	}
	late := kovra.Errorf(kovra.Unconnected, "You did not connect your GitLab account within %d minutes, so nothing was done.", int(kovra.WaitFor.Minutes()))
	return 0, a.finishIf(ctx, act, failed(act, late), func(now kovra.Action) bool { return now.State == kovra.ActionWaits })
}

// connect ends once the person has an account: before, it waits for it.
func (a Actions) connect(ctx context.Context, act kovra.Action) (end, time.Duration, error) {
	h, err := a.hand(ctx, act)
	if err != nil {
		return end{}, 0, err
	}
	if !h.Own {
		return end{}, 0, kovra.Errorf(kovra.Conflict, "Nobody needs to connect here: I act with the bot's own GitLab user.")
	}
	return done(kovra.Outcome{As: h.as()}), 0, nil
}

// disconnect takes the person's tokens back. Class: by precondition; tokens that are gone already are fine.
func (a Actions) disconnect(ctx context.Context, act kovra.Action) (end, time.Duration, error) {
	if a.world.People == nil {
		return end{}, 0, kovra.Errorf(kovra.Conflict, "Nobody is connected here: I act with the bot's own GitLab user.")
	}
	had, err := a.world.People.Disconnect(ctx, act.By.ID)
	if err != nil {
		return end{}, 0, err
	}
	out := kovra.Outcome{}
	if !had {
		out.Reason = "You were not connected."
	}
	return done(out), 0, nil
}

func (a Actions) notify(_ context.Context, act kovra.Action) (end, time.Duration, error) {
	switch act.Params.Notify {
	case kovra.NotifyAll, kovra.NotifyFailures, kovra.NotifyOff:
	default:
		return end{}, 0, kovra.Errorf(kovra.Invalid, "I can tell you of failures, of all, or switch it off; not %q.", act.Params.Notify)
	}
	e := done(kovra.Outcome{})
	e.also = func(tx *storage.Tx, _ *kovra.Outcome) error { return tx.SetNotify(act.By.ID, act.Params.Notify) }
	return e, 0, nil
}

func (a Actions) watch(_ context.Context, act kovra.Action) (end, time.Duration, error) {
	e := done(kovra.Outcome{})
	e.also = func(tx *storage.Tx, out *kovra.Outcome) error {
		watch, id := tx.WatchRun, act.Run
		if act.Build != 0 {
			watch, id = tx.WatchBuild, act.Build
		}
		made, err := watch(id, act.App, act.By.ID)
		if err == nil && !made {
			out.Reason = "You were watching it already."
		}
		return err
	}
	return e, 0, nil
}

// match finds out who started a run, if that is not known yet, so that they can be told. Where nobody can be
// asked the answer is "nobody" for now: the news do not wait for it.
func (r Runs) match(ctx context.Context, run kovra.Run) error {
	if run.By.ID == 0 || run.Child() || run.StarterKnown {
		return nil
	}
	var known bool
	var m kovra.Match
	err := r.db.Read(ctx, func(tx *storage.Tx) (err error) {
		m, known, err = tx.Match(run.By.ID)
		return err
	})
	if err != nil {
		return err
	}
	found, news := m, false
	if !known || !r.holds(m) {
		var asked error
		if found, asked = r.whoIs(ctx, run.By); asked != nil {
			r.opts.Log.WarnContext(ctx, "not known who somebody of gitlab is in slack", "run", run.ID, "err", asked)
		}
		news = asked == nil || !known
	}
	return r.db.Update(ctx, func(tx *storage.Tx) error {
		now, appeared, err := tx.Match(run.By.ID)
		connected := appeared && now.How == matchConnected // meanwhile
		if err == nil && news && !connected {
			err = tx.SaveMatch(found)
		}
		if err != nil {
			return err
		}
		return tx.Matched(run.ID)
	})
}

const matchConnected = "connected"

func (d *Dispatch) holds(m kovra.Match) bool {
	age := d.db.Now().Sub(m.CheckedAt)
	return m.How == matchConnected || m.Slack != "" && age < matchHolds || m.Slack == "" && age < noMatchHolds
}

// whoIs asks for a little while.
func (d *Dispatch) whoIs(ctx context.Context, u kovra.GitLabUser) (kovra.Match, error) {
	none := kovra.Match{GitLab: u.ID}
	if d.world.People == nil {
		none.CheckedAt = d.db.Now()
		return none, nil
	}
	ctx, cancel := context.WithTimeout(ctx, matchTime)
	defer cancel()
	m, err := d.world.People.Match(ctx, u)
	if err != nil {
		return none, fmt.Errorf("match GitLab user %d: %w", u.ID, err)
	}
	m.GitLab, m.CheckedAt = u.ID, d.db.Now()
	return m, nil
}
