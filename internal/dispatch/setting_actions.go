package dispatch

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// buildSetting replaces the settings of an app, if they are still those that the person was shown. Class: by precondition.
func (a Actions) buildSetting(ctx context.Context, act kovra.Action) (end, time.Duration, error) {
	stored, err := a.settings(ctx, act)
	if err != nil {
		return end{}, 0, err
	}
	if act.Params.Settings == nil {
		return end{}, 0, kovra.Errorf(kovra.Invalid, "No settings were given.")
	}
	s := *act.Params.Settings
	s.App, s.Paused, s.PausedBy = act.App, stored.Paused, stored.PausedBy
	if err := unchanged(stored, *act.Params.Settings); err != nil {
		return end{}, 0, err
	}
	if err := checked(s); err != nil {
		return end{}, 0, err
	}
	changes := s.Changes(stored)
	if len(changes) == 0 {
		return done(kovra.Outcome{Reason: "Nothing was changed."}), 0, nil
	}
	head, note, err := a.newHead(ctx, act.App, stored, s)
	if err != nil {
		return end{}, 0, err
	}
	notes := s.Warnings()
	if note != "" {
		notes = append(notes, note)
	}
	if note, err = a.hearTags(ctx, stored, s); err != nil {
		return end{}, 0, err
	}
	if note != "" {
		notes = append(notes, note)
	}
	e := done(kovra.Outcome{Changes: strings.Join(changes, "\n"), Reason: strings.Join(notes, " ")})
	e.also = func(tx *storage.Tx, _ *kovra.Outcome) error {
		now, err := tx.BuildSettings(act.App)
		if err != nil {
			return err
		}
		if err := unchanged(now, *act.Params.Settings); err != nil {
			return err // the next pass tells the person
		}
		if s.Registry != "" {
			if _, err := a.repository(tx, act.App, s.Registry); err != nil {
				return err
			}
		}
		s.Paused, s.PausedBy, s.ChangedBy, s.ChangedAt = now.Paused, now.PausedBy, act.By, a.db.Now()
		return tx.SaveBuildSettings(s, head)
	}
	return e, 0, a.free(ctx, s)
}

// unchanged refuses settings that were changed since they were shown.
func unchanged(stored, shown kovra.BuildSettings) error {
	if stored.ChangedAt.Equal(shown.ChangedAt) {
		return nil
	}
	by := cmp.Or(stored.ChangedBy.Name, "Somebody")
	return kovra.Errorf(kovra.Conflict, "%s has changed the settings meanwhile. Please look at them as they are now, and change them again.", by)
}

// checked refuses settings that make no sense, with all that is wrong.
func checked(s kovra.BuildSettings) error {
	problems := s.Check()
	if len(problems) == 0 {
		return nil
	}
	var texts []string
	for _, p := range problems {
		texts = append(texts, p.Text)
	}
	return kovra.Errorf(kovra.Invalid, "%s", strings.Join(texts, " "))
}

// free refuses a registry in which another app has the same repository.
func (a Actions) free(ctx context.Context, s kovra.BuildSettings) error {
	if s.Registry == "" {
		return nil // that there is no registry at all is said when something is built
	}
	return a.db.Read(ctx, func(tx *storage.Tx) error {
		_, err := a.repository(tx, s.App, s.Registry)
		return err
	})
}

// newHead is where the branch is that is built by itself from now on: what it has already is not.
func (a Actions) newHead(ctx context.Context, app string, old, s kovra.BuildSettings) (head, note string, err error) {
	if !s.Enabled || old.Enabled && old.Branch == s.Branch {
		return "", "", nil // nothing begins
	}
	var project int64
	err = a.db.Read(ctx, func(tx *storage.Tx) error {
		found, err := tx.App(app)
		project = found.Project
		return err
	})
	if err != nil || project == 0 {
		return "", "", err
	}
	c, err := a.world.Commits.Commit(ctx, project, s.Branch)
	if notShown(err) {
		return "", fmt.Sprintf("GitLab shows no branch %q yet.", s.Branch), nil
	}
	return c.SHA, "", err
}

// hearTags has GitLab tell of tags where they are built from now on. Class: by precondition, as every hook.
func (a Actions) hearTags(ctx context.Context, old, s kovra.BuildSettings) (note string, err error) {
	if s.Tags == "" || old.Tags != "" || a.opts.HookURL == "" {
		return "", nil
	}
	p, err := a.linkedTo(ctx, s.App)
	if err != nil || p.ID == 0 {
		return "", err
	}
	if _, err = a.world.Links.EnsureHook(ctx, p.ID, a.opts.HookURL, true); err != nil && kovra.KindOf(err) != kovra.Unavailable {
		return "GitLab could not be told to send events of tags: " + kovra.PublicText(err), nil
	}
	return "", err
}
