package webhooks

import (
	"fmt"
	"slices"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// ask proposes what a comment asks for, once however often GitLab tells of it, and reports whether that is new. What cannot be
// done as it stands becomes a question back.
func ask(tx *storage.Tx, c kovra.Comment) (bool, error) {
	lock := fmt.Sprintf("note/%d/%d", c.Project, c.Note)
	if asked, err := tx.Asked(lock); asked || err != nil {
		return false, err
	}
	apps, err := tx.AppsOfProject(c.Project)
	if err != nil {
		return false, err
	}
	run, err := runOf(tx, &c)
	if err != nil {
		return false, err
	}
	a := wanted(&c, apps, run)
	a.By, a.Lock, a.Params.Comment = kovra.Person{Name: c.By.Name, GitLab: c.By}, lock, &c
	if a.Kind == kovra.ActRetry {
		jobs, err := tx.Jobs(run.ID)
		if err != nil {
			return false, err
		}
		a.Params.Jobs = kovra.FailedJobs(jobs)
	}
	_, _, err = tx.Propose(a, nil)
	return err == nil, err
}

// wanted is what the words of a comment come to: pipelines are the project's, whichever of its apps is named; a build is of one app.
func wanted(c *kovra.Comment, apps []kovra.App, run kovra.Run) kovra.Action {
	help := kovra.Action{Kind: kovra.ActHelp}
	verb, named := c.Words()
	i := 0
	if named != "" {
		i = slices.IndexFunc(apps, func(a kovra.App) bool { return a.Name == named })
	}
	if i < 0 || len(apps) == 0 {
		return help
	}
	app := apps[i].Name
	switch {
	case verb == kovra.CommentRetry && run.ID != 0:
		return kovra.Action{Kind: kovra.ActRetry, App: app, Run: run.ID, Params: kovra.Params{Attempt: run.Attempt()}}
	case verb == kovra.CommentCancel && run.ID != 0:
		return kovra.Action{Kind: kovra.ActCancel, App: app, Run: run.ID, Params: kovra.Params{Attempt: run.Attempt()}}
	case verb == kovra.CommentBuild && c.Branch != "" && (named != "" || len(apps) == 1):
		return kovra.Action{Kind: kovra.ActBuild, App: app, Params: kovra.Params{Ref: c.Branch}}
	default:
		return help
	}
}

// searched is how many runs of a branch are looked through for those of a merge request.
const searched = 20

// runOf returns the newest pipeline of the comment's merge request: the one that GitLab names, else the newest that is known of the
// merge request or of its branch. One that GitLab names and we have not heard of is noted, and will be read. A zero run: there is none.
func runOf(tx *storage.Tx, c *kovra.Comment) (kovra.Run, error) {
	if c.Pipeline != 0 {
		r, err := tx.RunByRemote(c.Project, c.Pipeline)
		if kovra.KindOf(err) != kovra.NotFound {
			return r, err
		}
		if c.Branch == "" {
			return kovra.Run{}, nil // it may be a pipeline of the fork
		}
		r, _, err = tx.Observe(kovra.Observation{Run: kovra.Run{Project: c.Project, Remote: c.Pipeline, Ref: c.Branch}})
		return r, err
	}
	var newest kovra.Run
	if c.Source == "" {
		return newest, nil
	}
	runs, err := tx.Runs(storage.RunQuery{Project: c.Project, Ref: c.Source, Limit: searched})
	if err != nil {
		return newest, err
	}
	i := slices.IndexFunc(runs, func(r kovra.Run) bool { return r.MR.IID == c.MR })
	if i < 0 && c.Branch != "" {
		i = slices.IndexFunc(runs, func(r kovra.Run) bool { return r.Kind() == "branch" })
	}
	if i >= 0 {
		newest = runs[i]
	}
	c.Pipeline = newest.Remote
	return newest, nil
}
