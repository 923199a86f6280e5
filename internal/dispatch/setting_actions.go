package dispatch

import (
	"cmp"
	"context"
	"fmt"
	"slices"
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
	s.App, s.Paused, s.PausedBy, s.PausedByRestore = act.App, stored.Paused, stored.PausedBy, stored.PausedByRestore
	if err := unchanged(stored, *act.Params.Settings); err != nil {
		return end{}, 0, err
	}
	if err := checked(s); err != nil {
		return end{}, 0, err
	}
	if tenancy(s) != tenancy(stored) {
		if err := a.world.Gate.May(ctx, act.By, kovra.MayOwn, act.App); err != nil {
			return end{}, 0, err
		}
	}
	if err := a.mayReach(ctx, act, stored, s); err != nil {
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
	if note, err = a.hearTags(ctx, act, stored, s); err != nil {
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
		s.Paused, s.PausedBy, s.PausedByRestore = now.Paused, now.PausedBy, now.PausedByRestore
		s.ChangedBy, s.ChangedAt = act.By, a.db.Now()
		return tx.SaveBuildSettings(s, head)
	}
	return e, 0, a.free(ctx, s)
}

// tenancy is what only an administrator may give to an app.
func tenancy(s kovra.BuildSettings) [3]string {
	return [...]string{s.Namespace, s.ServiceAccount, s.Registry}
}

// mayReach lets only administrators have an app reach for what the settings of another app name already: whoever writes a
// Dockerfile reads its build secrets, and whoever deploys replaces what runs.
func (a Actions) mayReach(ctx context.Context, act kovra.Action, stored, s kovra.BuildSettings) error {
	var what string
	err := a.db.Read(ctx, func(tx *storage.Tx) (err error) {
		what, err = reaches(tx, stored, s)
		return err
	})
	if err != nil || what == "" {
		return err
	}
	err = a.world.Gate.May(ctx, act.By, kovra.MayOwn, act.App)
	if kovra.KindOf(err) == kovra.Denied && err != nil {
		return &kovra.Error{Kind: kovra.Denied, Public: what + " is in the settings of another app. " + kovra.PublicText(err), Err: err}
	}
	return err
}

// reaches names what is new in the settings and another app's already; "": nothing.
func reaches(tx *storage.Tx, stored, s kovra.BuildSettings) (string, error) {
	apps, err := tx.Apps()
	if err != nil {
		return "", err
	}
	for _, app := range apps {
		if app.Name == s.App {
			continue
		}
		o, err := tx.BuildSettings(app.Name)
		if err != nil {
			return "", err
		}
		if !s.Target.IsZero() && s.Target.Same(o.Target) && !s.Target.Same(stored.Target) {
			return "The Deployment " + s.Target.Namespace + "/" + s.Target.Deployment, nil
		}
		for _, name := range s.Secrets {
			had := slices.Contains(stored.Secrets, name) && s.Namespace == stored.Namespace
			if o.Namespace == s.Namespace && slices.Contains(o.Secrets, name) && !had {
				return "The Secret " + name, nil
			}
		}
	}
	return "", nil
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
	c, err := a.world.Commits.Branch(ctx, project, s.Branch)
	if notShown(err) {
		return "", fmt.Sprintf("GitLab shows no branch %q yet.", s.Branch), nil
	}
	return c.SHA, "", err
}

// hearTags has GitLab tell of tags where they are built from now on. Class: by precondition, as every hook.
func (a Actions) hearTags(ctx context.Context, act kovra.Action, old, s kovra.BuildSettings) (note string, err error) {
	if s.Tags == "" || old.Tags != "" || a.opts.HookURL == "" {
		return "", nil
	}
	p, err := a.linkedTo(ctx, s.App)
	if err != nil || p.ID == 0 {
		return "", err
	}
	hand, err := a.hand(ctx, act)
	if err != nil {
		return "", err
	}
	events, err := a.events(ctx, act, p.ID)
	if err != nil {
		return "", err
	}
	events.Tags = true
	_, err = hand.Links.EnsureHook(ctx, p.ID, a.opts.HookURL, events)
	if kind := kovra.KindOf(err); err != nil && kind != kovra.Unavailable && kind != kovra.Unconnected {
		return "GitLab could not be told to send events of tags: " + kovra.PublicText(err), nil
	}
	return "", err
}
