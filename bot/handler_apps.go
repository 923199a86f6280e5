package bot

import (
	"context"
	"slices"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// apps answers with all apps that the asker may see.
func (h *Handler) apps(ctx context.Context, r request) (Answer, error) {
	var rows []AppRow
	err := h.DB.Read(ctx, func(tx *storage.Tx) error {
		for _, a := range r.apps {
			one, err := appRow(tx, a)
			if err != nil {
				return err
			}
			rows = append(rows, one)
		}
		return nil
	})
	if err != nil {
		return Answer{}, err
	}
	return RenderApps(rows), nil
}

// app answers with everything about one app.
func (h *Handler) app(ctx context.Context, r request) (Answer, error) {
	var one AppRow
	err := h.DB.Read(ctx, func(tx *storage.Tx) (err error) {
		a, _ := r.find(r.target.App)
		one, err = appRow(tx, a)
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	return RenderApp(one), nil
}

func appRow(tx *storage.Tx, a kovra.App) (AppRow, error) {
	r := AppRow{App: a}
	var err error
	if r.Subscriptions, err = tx.Subscriptions(storage.SubscriptionQuery{App: a.Name}); err != nil || a.Project == 0 {
		return r, err
	}
	if r.Project, err = tx.Project(a.Project); err != nil {
		return r, err
	}
	last, err := tx.Runs(storage.RunQuery{Project: a.Project, Limit: 1})
	if len(last) > 0 {
		r.Last = &last[0]
	}
	if err != nil {
		return r, err
	}
	builds, err := tx.Builds(storage.BuildQuery{App: a.Name, Limit: 1})
	if len(builds) > 0 {
		r.LastBuild = &builds[0]
	}
	return r, err
}

// subscriptions answers with what the channel hears of, or with who hears of an app.
func (h *Handler) subscriptions(ctx context.Context, r request) (Answer, error) {
	q := storage.SubscriptionQuery{Channel: r.channel}
	if r.target.App != "" {
		q = storage.SubscriptionQuery{App: r.target.App}
	}
	var subs []kovra.Subscription
	err := h.DB.Read(ctx, func(tx *storage.Tx) (err error) {
		subs, err = tx.Subscriptions(q)
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	subs = slices.DeleteFunc(subs, func(s kovra.Subscription) bool {
		_, ok := r.find(s.App)
		return !ok
	})
	return RenderSubscriptions(subs, r.channel), nil
}

// logs switches the logs in the channel on or off, or says how it is.
func (h *Handler) logs(ctx context.Context, r request) (Answer, error) {
	if len(r.command.Words) > 0 {
		want := kovra.Action{Kind: kovra.ActHideLogs}
		if r.command.Words[0] == switchOn {
			want.Kind = kovra.ActShowLogs
		}
		return h.do(ctx, r.asker, want, nil)
	}
	var c kovra.Channel
	err := h.DB.Read(ctx, func(tx *storage.Tx) (err error) {
		c, err = tx.Channel(r.channel)
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	return notice(logsWords(c)), nil
}

// audit answers with who did what.
func (h *Handler) audit(ctx context.Context, r request) (Answer, error) {
	return h.auditPage(ctx, r.asker, r.scene, r.target.App, 0)
}

// auditBatch is how many entries are read at once while looking for a page of those
// that the asker may see; auditReach is how many are looked at for one page.
const (
	auditBatch = 100
	auditReach = 2000
)

// auditPage is one page of the record. Without an app it has what was done with all apps
// that the asker may see, and, for administrators, with those that are gone.
func (h *Handler) auditPage(ctx context.Context, ask asker, s scene, app string, before int64) (Answer, error) {
	all := app != "" || h.may(ctx, ask, kovra.MayAdmin, "") == nil
	var rows []AuditRow
	older := int64(0)
	err := h.DB.Read(ctx, func(tx *storage.Tx) error {
		for range auditReach / auditBatch {
			batch, err := tx.Actions(storage.ActionQuery{App: app, Before: before, Limit: auditBatch})
			if err != nil {
				return err
			}
			for _, a := range batch {
				shown, err := audited(tx, s, a, all)
				if err != nil {
					return err
				}
				if !shown {
					continue
				}
				if len(rows) == AuditPage {
					older = rows[len(rows)-1].Action.ID
					return nil
				}
				one, err := auditRow(tx, a)
				if err != nil {
					return err
				}
				rows = append(rows, one)
			}
			if len(batch) < auditBatch {
				return nil
			}
			before = batch[len(batch)-1].ID
		}
		older = before
		return nil
	})
	if err != nil {
		return Answer{}, err
	}
	return RenderAudit(app, rows, older), nil
}

// audited reports whether an entry is shown to somebody who sees the apps of the scene: one of these, or, with all, of an app that
// is gone or of none. What a policy takes from administrators they do not read here either.
func audited(tx *storage.Tx, s scene, a kovra.Action, all bool) (bool, error) {
	if _, seen := s.find(a.App); seen || !all {
		return seen, nil
	}
	_, err := tx.App(a.App)
	return kovra.KindOf(err) == kovra.NotFound, orMissing(err)
}

func auditRow(tx *storage.Tx, a kovra.Action) (AuditRow, error) {
	r := AuditRow{Action: a}
	if a.Run == 0 {
		return r, nil
	}
	var err error
	if r.Run, err = tx.Run(a.Run); kovra.KindOf(err) == kovra.NotFound {
		return r, nil
	}
	return r, err
}
