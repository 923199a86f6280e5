package dispatch

import (
	"context"
	"slices"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

const (
	enableFor      = 25 * time.Second // bounds one pass over the webhooks of all projects
	enableTurn     = time.Second      // between two looks whether somebody else's pass is over
	enableFailures = 10               // so many projects of which GitLab says nothing end a pass
)

// enableHooks brings the webhooks of all projects to send again: each that is in trouble is made or mended, and GitLab is asked to
// test it, which switches it on. Class: by precondition, and the test may be repeated; what was tried is marked in its row, so that a
// further pass goes on with the others. Two who ask for it take turns, or both would make the webhook that is missing.
func (a Actions) enableHooks(ctx context.Context, act kovra.Action) (end, time.Duration, error) {
	if a.opts.HookURL == "" {
		return end{}, 0, kovra.Errorf(kovra.Conflict, "KOVRA_PUBLIC_URL is not set, so I cannot tell GitLab where to send its events.")
	}
	hand, err := a.hand(ctx, act)
	if err != nil {
		return end{}, 0, err
	}
	if !a.enabling.TryLock() {
		return end{}, enableTurn, nil
	}
	defer a.enabling.Unlock()
	projects, err := a.troubled(ctx, act.CreatedAt)
	if err != nil {
		return end{}, 0, err
	}
	whole, err := a.enableAll(ctx, hand, act, projects)
	switch {
	case err != nil:
		return end{}, 0, err
	case !whole:
		return end{}, time.Millisecond, nil
	}
	out, err := a.enabled(ctx, act.CreatedAt)
	out.As = hand.as()
	return done(out), 0, err
}

// enableAll mends one webhook after the other. It reports false when the time of a pass is over before. One of which GitLab says
// nothing now holds up no other; the error is that of the last such, and it has its turn in the next pass.
func (a Actions) enableAll(ctx context.Context, hand Hand, act kovra.Action, projects []kovra.Project) (whole bool, err error) {
	began, failures := a.db.Now(), 0
	for _, p := range projects {
		if a.db.Now().Sub(began) > enableFor || failures == enableFailures {
			return false, err
		}
		failed := a.enable(ctx, hand, act, p)
		if failed == nil {
			continue
		}
		if !mayPass(failed) || ctx.Err() != nil {
			return false, failed
		}
		err, failures = failed, failures+1
	}
	return true, err
}

// troubled are the linked projects whose webhook should be mended, without those that were tried since.
func (a Actions) troubled(ctx context.Context, since time.Time) ([]kovra.Project, error) {
	var projects []kovra.Project
	err := a.db.Read(ctx, func(tx *storage.Tx) (err error) {
		projects, err = tx.LinkedProjects()
		return err
	})
	return slices.DeleteFunc(projects, func(p kovra.Project) bool {
		return !p.Seen.Is().Trouble() || !p.Seen.Tried.Before(since)
	}), err
}

// enable mends one webhook. That it cannot be mended is noted with it, and is no error; one that GitLab has tested is looked at
// once more, soon.
func (a Actions) enable(ctx context.Context, hand Hand, act kovra.Action, p kovra.Project) error {
	want, err := a.wanted(ctx, p.ID)
	if err != nil {
		return err
	}
	hook, err := hand.Links.EnsureHook(ctx, p.ID, a.opts.HookURL, want)
	if err == nil {
		err = hand.Links.TestHook(ctx, p.ID, hook.ID)
	}
	if kind := kovra.KindOf(err); err != nil && (mayPass(err) || kind == kovra.Unconnected) {
		return err
	}
	s := p.Seen
	s.Tried, s.At = a.db.Now(), time.Time{}
	if err == nil {
		s = kovra.HookSight{Health: kovra.HealthFine, Tried: s.Tried}
	} else {
		a.opts.Log.WarnContext(ctx, "a webhook could not be mended", "project", p.ID, "action", act.ID, "err", err)
		s.Note = kovra.PublicText(err)
		if hand.Own {
			s.Note = "As @" + hand.User.Username + ": " + s.Note // others will read it
		}
	}
	return a.db.Update(ctx, func(tx *storage.Tx) error {
		if err := saveHook(tx, p.ID, hook); err != nil {
			return err
		}
		tx.KickProject(p.ID)
		return tx.SawHook(p.ID, s)
	})
}

// enabled counts what came of those that were tried since.
func (a Actions) enabled(ctx context.Context, since time.Time) (kovra.Outcome, error) {
	var out kovra.Outcome
	err := a.db.Read(ctx, func(tx *storage.Tx) error {
		projects, err := tx.LinkedProjects()
		for _, p := range projects {
			switch {
			case p.Seen.Tried.IsZero() || p.Seen.Tried.Before(since):
			case p.Seen.Is().Trouble():
				out.Broken++
			default:
				out.Mended++
			}
		}
		return err
	})
	return out, err
}
