package bot

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// unknownError says that a pipeline or job is not known here, and where to look for it.
type unknownError struct {
	what    string // "Pipeline #12"
	app     string
	address string // in GitLab
}

func (e *unknownError) Error() string { return fmt.Sprintf(saysUnknownHere, e.what, e.app) }

func (e *unknownError) answer() Answer {
	text := "⚠️ " + prose(e.Error(), maxReason)
	return Answer{Text: text, Blocks: row([]slack.Block{section(text)}, open("unknown", e.address, "View in GitLab"))}
}

// findRun returns the pipeline that a command names, and the app through which the
// asker sees it.
func (h *Handler) findRun(ctx context.Context, r request) (app kovra.App, run kovra.Run, err error) {
	err = h.DB.Read(ctx, func(tx *storage.Tx) error {
		var p kovra.Project
		if app, p, err = r.project(tx); err != nil {
			return err
		}
		run, err = tx.RunByRemote(p.ID, r.target.ID)
		if kovra.KindOf(err) != kovra.NotFound {
			return err
		}
		e := &unknownError{what: fmt.Sprintf("Pipeline #%d", r.target.ID), app: app.Name}
		return r.elsewhere(p, e, "pipelines", func(project int64) error {
			_, err := tx.RunByRemote(project, r.target.ID)
			return err
		})
	})
	return app, run, err
}

// findJob returns the job that a command names, and the app through which the asker sees it.
func (h *Handler) findJob(ctx context.Context, r request) (app kovra.App, job kovra.Job, err error) {
	err = h.DB.Read(ctx, func(tx *storage.Tx) error {
		var p kovra.Project
		if app, p, err = r.project(tx); err != nil {
			return err
		}
		job, err = tx.Job(p.ID, r.target.ID)
		if kovra.KindOf(err) != kovra.NotFound {
			return err
		}
		e := &unknownError{what: fmt.Sprintf("Job #%d", r.target.ID), app: app.Name}
		return r.elsewhere(p, e, "jobs", func(project int64) error {
			_, err := tx.Job(project, r.target.ID)
			return err
		})
	})
	return app, job, err
}

// elsewhere says that an id belongs to another app that the asker sees, or else that it
// is not known.
func (r request) elsewhere(p kovra.Project, e *unknownError, what string, in func(project int64) error) error {
	for _, a := range r.apps {
		if a.Project == 0 || a.Project == p.ID || in(a.Project) != nil {
			continue
		}
		c := r.command
		c.Words = []string{a.Name, fmt.Sprint(r.target.ID)}
		return kovra.Errorf(kovra.NotFound, saysOtherApp, e.what, a.Name, e.app, c.typed())
	}
	if p.URL != "" {
		e.address = fmt.Sprintf("%s/-/%s/%d", p.URL, what, r.target.ID)
	}
	return e
}

// project returns the app and the project that an id is looked for in: those of the
// named app, or, for a pasted address, the project that it leads to.
func (r request) project(tx *storage.Tx) (kovra.App, kovra.Project, error) {
	if r.target.Project == "" {
		return r.linked(tx)
	}
	p, err := r.pasted(tx)
	if err != nil {
		return kovra.App{}, p, err
	}
	app, err := r.through(p)
	return app, p, err
}

// pasted returns the linked project that a pasted address leads to. GitLab may be
// reached under more than one name, so the path alone is enough.
func (r request) pasted(tx *storage.Tx) (kovra.Project, error) {
	all, err := tx.LinkedProjects()
	if err != nil {
		return kovra.Project{}, err
	}
	for _, same := range []func(kovra.Project) bool{
		func(p kovra.Project) bool { return strings.EqualFold(p.URL, r.target.Site+"/"+r.target.Project) },
		func(p kovra.Project) bool { return strings.EqualFold(p.Path, r.target.Project) },
	} {
		if i := slices.IndexFunc(all, same); i >= 0 {
			return all[i], nil
		}
	}
	return kovra.Project{}, kovra.Errorf(kovra.NotFound, saysNoAppOf, r.target.Project)
}

// through returns the app that shows the asker a project: the named one, the channel's,
// or any.
func (r request) through(p kovra.Project) (kovra.App, error) {
	var found []kovra.App
	for _, a := range r.apps {
		if a.Project == p.ID {
			found = append(found, a)
		}
	}
	switch {
	case len(found) == 0: // also when there is an app that the asker may not see
		return kovra.App{}, kovra.Errorf(kovra.NotFound, saysNoAppOf, r.target.Project)
	case r.target.App != "":
		for _, a := range found {
			if a.Name == r.target.App {
				return a, nil
			}
		}
		return kovra.App{}, kovra.Errorf(kovra.Invalid, saysOtherProject, r.target.Project, found[0].Name, r.target.App)
	}
	for _, a := range found {
		if slices.Contains(r.here, a.Name) {
			return a, nil
		}
	}
	return found[0], nil
}

// list answers with the newest pipelines of an app.
func (h *Handler) list(ctx context.Context, r request) (Answer, error) {
	app, _ := r.find(r.target.App)
	return h.page(ctx, app, Place{App: app.Name, Ref: r.target.Ref})
}

// page is one page of an app's pipelines.
func (h *Handler) page(ctx context.Context, app kovra.App, at Place) (Answer, error) {
	var l List
	err := h.DB.Read(ctx, func(tx *storage.Tx) (err error) {
		l, err = readList(tx, app, at, ListPage)
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	return RenderList(l), nil
}

// readList reads one page of an app's pipelines, with so many of them.
func readList(tx *storage.Tx, app kovra.App, at Place, size int) (l List, err error) {
	l = List{App: app, Ref: at.Ref}
	if _, l.Project, err = linkedApp(tx, app); err != nil {
		return l, err
	}
	q := storage.RunQuery{Project: app.Project, Ref: at.Ref, Before: at.Before, After: at.After, Limit: size + 1}
	if l.Runs, err = tx.Runs(q); err == nil && len(l.Runs) == 0 {
		at.Before, at.After = 0, 0 // nothing there: back to the newest
		q.Before, q.After = 0, 0
		l.Runs, err = tx.Runs(q)
	}
	l.Runs, l.Older, l.Newer = turn(l.Runs, at, size, func(r kovra.Run) int64 { return r.Remote })
	return l, err
}

// turn cuts the one entry too many for the size that was read, and says from where on there are pages besides; 0:
// there is none. A page that was turned to has the one before it on its other side.
func turn[T any](read []T, at Place, size int, id func(T) int64) (page []T, older, newer int64) {
	page = read
	more := len(read) > size
	switch {
	case more && at.After != 0:
		page = read[1:]
	case more:
		page = read[:size]
	}
	if len(page) == 0 {
		return page, 0, 0
	}
	if at.After != 0 || more {
		older = id(page[len(page)-1])
	}
	if at.Before != 0 || at.After != 0 && more {
		newer = id(page[0])
	}
	return page, older, newer
}

// jobs answers with the jobs of a pipeline.
func (h *Handler) jobs(ctx context.Context, r request) (Answer, error) {
	app, run, err := h.findRun(ctx, r)
	if err != nil {
		return Answer{}, err
	}
	return h.jobsOf(ctx, app.Name, run.ID, 0)
}

func (h *Handler) jobsOf(ctx context.Context, app string, run int64, page int) (Answer, error) {
	var v kovra.View
	err := h.DB.Read(ctx, func(tx *storage.Tx) (err error) {
		v, err = tx.RunView(run, app)
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	if v.App.Project == 0 {
		return Answer{}, &unlinkedError{app: app}
	}
	return RenderJobs(v, page), nil
}

// log answers with the way to a job's log.
func (h *Handler) log(ctx context.Context, r request) (Answer, error) {
	app, job, err := h.findJob(ctx, r)
	if err != nil {
		return Answer{}, err
	}
	var v kovra.View
	err = h.DB.Read(ctx, func(tx *storage.Tx) (err error) {
		v, err = tx.RunView(job.Run, app.Name)
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	return RenderLog(v, job), nil
}
