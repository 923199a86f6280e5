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
	s.App, s.Paused, s.PausedBy = act.App, stored.Paused, stored.PausedBy
	if err := unchanged(stored, *act.Params.Settings); err != nil {
		return end{}, 0, err
	}
	if err := checked(s); err != nil {
		return end{}, 0, err
	}
	changes := settingChanges(stored, s)
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

// settingChanges says what differs, a line each. The values of build arguments are not told.
func settingChanges(old, s kovra.BuildSettings) []string {
	var out []string
	add := func(name, before, after string) {
		if before != after {
			out = append(out, fmt.Sprintf("%s: %s → %s", name, before, after))
		}
	}
	text := func(v, none string) string { return cmp.Or(v, none) }
	list := func(v []string) string { return text(strings.Join(v, ", "), "none") }
	add("Automatic builds", onOff(old.Enabled), onOff(s.Enabled))
	add("Branch", old.Branch, s.Branch)
	add("Dockerfile", text(old.Dockerfile, "detected"), text(s.Dockerfile, "detected"))
	add("Auto-deploy", onOff(old.AutoDeploy), onOff(s.AutoDeploy))
	out = append(out, argChanges(old.Args, s.Args)...)
	add("Deployment", old.Target.String(), s.Target.String())
	add("Deploy where others own the Deployment", onOff(old.AllowManaged), onOff(s.AllowManaged))
	add("Supersede pending builds", onOff(old.Supersede), onOff(s.Supersede))
	add("Build tags", text(old.Tags, "none"), text(s.Tags, "none"))
	add("Context directory", text(old.Context, "the root"), text(s.Context, "the root"))
	add("Only when these change", list(old.Paths), list(s.Paths))
	add("Build secrets", list(old.Secrets), list(s.Secrets))
	add("Build namespace", text(old.Namespace, "the default"), text(s.Namespace, "the default"))
	add("Service account", text(old.ServiceAccount, "the default"), text(s.ServiceAccount, "the default"))
	add("Registry", text(old.Registry, "the default"), text(s.Registry, "the default"))
	return out
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func argChanges(old, args []kovra.BuildArg) []string {
	var out []string
	for _, a := range args {
		i := slices.IndexFunc(old, func(o kovra.BuildArg) bool { return o.Key == a.Key })
		switch {
		case i < 0:
			out = append(out, fmt.Sprintf("Build argument %s: added", a.Key))
		case old[i].Value != a.Value:
			out = append(out, fmt.Sprintf("Build argument %s: changed", a.Key))
		}
	}
	for _, o := range old {
		if !slices.ContainsFunc(args, func(a kovra.BuildArg) bool { return a.Key == o.Key }) {
			out = append(out, fmt.Sprintf("Build argument %s: removed", o.Key))
		}
	}
	return out
}
