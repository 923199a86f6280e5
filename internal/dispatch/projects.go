package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// Projects finds what no webhook told.
type Projects struct{ *Dispatch }

// Projects returns the reconciler of projects; its key is GitLab's project id.
func (d *Dispatch) Projects() Projects { return Projects{d} }

// overlap is how far a re-read reaches back before the watermark: GitLab's clock and
// its transactions may be a little behind what it told last time.
const overlap = 2 * time.Minute

// foldedAtOnce keeps a project with much news from holding up webhooks.
const foldedAtOnce = 100

// Reconcile re-reads what changed in a project since its watermark, looks at its webhook when that is due, and asks to be
// called again when either is due next.
func (p Projects) Reconcile(ctx context.Context, id int64) (time.Duration, error) {
	project, linked, err := p.load(ctx, id)
	if err != nil {
		return 0, err
	}
	p.knocks.know(id, linked)
	if !linked {
		return 0, nil
	}
	after, err := p.readChanged(ctx, project)
	if err == nil {
		var look time.Duration
		if look, err = p.lookAtHook(ctx, project); look > 0 {
			after = min(after, look)
		}
	}
	p.doubtToken(err)
	return after, err
}

// readChanged re-reads what changed in a project, every Options.Resync. The first pass after a start always reads.
func (p Projects) readChanged(ctx context.Context, project kovra.Project) (time.Duration, error) {
	id := project.ID
	if wait := kovra.Left(project.ReadAt, p.opts.Resync, p.db.Now()); wait > 0 && !p.beforeStart(project.ReadAt) {
		return wait, nil
	}
	var since time.Time // of a project that had no pipeline when it was linked everything is new
	if !project.Watermark.IsZero() {
		since = project.Watermark.Add(-overlap)
	}
	runs, upTo, err := p.world.Pipelines.Changed(ctx, id, since)
	if err != nil {
		return 0, fmt.Errorf("re-read project %d: %w", id, err)
	}
	now, err := p.world.Links.Project(ctx, strconv.FormatInt(id, 10))
	if err != nil {
		return 0, fmt.Errorf("re-read project %d: %w", id, err)
	}
	for some := range slices.Chunk(runs, foldedAtOnce) {
		if err := p.db.Update(ctx, func(tx *storage.Tx) error { return foldChanged(tx, some) }); err != nil {
			return 0, fmt.Errorf("fold changes of project %d: %w", id, err)
		}
	}
	unread := p.heads(ctx, id)
	if unread != nil {
		unread = fmt.Errorf("re-read branches of project %d: %w", id, unread)
	}
	err = p.db.Update(ctx, func(tx *storage.Tx) error {
		project, err := tx.Project(id)
		if err != nil {
			return err
		}
		project.Path, project.Name, project.URL, project.DefaultBranch = now.Path, now.Name, now.URL, now.DefaultBranch
		if unread == nil {
			project.ReadAt = p.db.Now()
		}
		if upTo.After(project.Watermark) {
			project.Watermark = upTo
		}
		return tx.SaveProject(project)
	})
	return p.opts.Resync, errors.Join(unread, err)
}

func (p Projects) load(ctx context.Context, id int64) (project kovra.Project, linked bool, err error) {
	err = p.db.Read(ctx, func(tx *storage.Tx) error {
		apps, err := tx.AppsOfProject(id)
		if err != nil || len(apps) == 0 {
			return err
		}
		linked = true
		project, err = tx.Project(id)
		return err
	})
	return project, linked, err
}

// foldChanged takes a list of changed pipelines as hints. One that GitLab has
// touched since it was read is read again, even if its own word is the same.
func foldChanged(tx *storage.Tx, runs []kovra.Run) error {
	for _, r := range runs {
		run, _, err := tx.Observe(kovra.Observation{Run: r, Listed: true})
		if err != nil {
			return err
		}
		if run.Stale || !r.UpdatedAt.After(run.UpdatedAt) {
			continue
		}
		if err := tx.MarkStale(run.ID); err != nil {
			return err
		}
	}
	return nil
}
