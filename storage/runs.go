package storage

import (
	"database/sql"
	"errors"
	"slices"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

const runColumns = "id, project, remote, stale, version, driven_version, observed_at, doc"

func scanRun(s scanner) (kovra.Run, error) {
	var r kovra.Run
	var doc string
	var id, project, remote, stale, version, driven, observed int64
	if err := s.Scan(&id, &project, &remote, &stale, &version, &driven, &observed, &doc); err != nil {
		return r, err
	}
	err := decode(doc, &r)
	r.ID, r.Project, r.Remote, r.Stale = id, project, remote, stale != 0
	r.Version, r.DrivenVersion, r.ObservedAt = version, driven, unstamp(observed)
	return r, err
}

// Run returns a run by our id.
func (tx *Tx) Run(id int64) (kovra.Run, error) {
	r, err := scanRun(tx.row("SELECT "+runColumns+" FROM runs WHERE id = ?", id))
	return r, found(err, "There is no run %d.", id)
}

// RunByRemote returns a run by GitLab's ids.
func (tx *Tx) RunByRemote(project, remote int64) (kovra.Run, error) {
	r, err := scanRun(tx.row("SELECT "+runColumns+" FROM runs WHERE project = ? AND remote = ?", project, remote))
	return r, found(err, "Pipeline #%d is not known here.", remote)
}

// RunQuery selects a page of a project's runs, without child pipelines, newest
// first. Before and After are GitLab's ids: the page just older than Before, or just
// newer than After; 0 and 0 give the newest page.
type RunQuery struct {
	Project       int64
	Ref           string // "": every ref
	Before, After int64
	Limit         int
}

// Runs returns what the query selects. It takes the same time however many runs are stored.
func (tx *Tx) Runs(q RunQuery) ([]kovra.Run, error) {
	query := "SELECT " + runColumns + " FROM runs WHERE project = ?1 AND child = 0"
	if q.Ref != "" {
		query += " AND ref = ?2"
	} else {
		query += " AND ?2 = ''"
	}
	if q.After != 0 {
		runs, err := list(tx, scanRun, query+" AND remote > ?3 ORDER BY remote ASC LIMIT ?4", q.Project, q.Ref, q.After, q.Limit)
		slices.Reverse(runs)
		return runs, err
	}
	if q.Before != 0 {
		return list(tx, scanRun, query+" AND remote < ?3 ORDER BY remote DESC LIMIT ?4", q.Project, q.Ref, q.Before, q.Limit)
	}
	return list(tx, scanRun, query+" ORDER BY remote DESC LIMIT ?3", q.Project, q.Ref, q.Limit)
}

// QuietRuns returns moving runs of linked projects that nobody told us anything of
// since before, oldest first. Those that wait for a person or a date may be quiet for
// days; a re-read of their project finds them when they move.
func (tx *Tx) QuietRuns(before time.Time, limit int) ([]int64, error) {
	// The plus keeps SQLite from reading all runs of the linked projects instead of the moving ones.
	return list(tx, scanID, `SELECT id FROM runs WHERE final = 0 AND status NOT IN ('manual', 'scheduled') AND observed_at < ? AND +project IN (SELECT project FROM apps)
		ORDER BY observed_at LIMIT ?`, stamp(before), limit)
}

func scanID(s scanner) (int64, error) {
	var id int64
	err := s.Scan(&id)
	return id, err
}

const jobColumns = "project, id, run, doc"

func (tx *Tx) scanJob(s scanner) (kovra.Job, error) {
	var j kovra.Job
	var doc string
	var project, id, run int64
	if err := s.Scan(&project, &id, &run, &doc); err != nil {
		return j, err
	}
	err := decode(doc, &j)
	j.Project, j.ID, j.Run = project, id, run
	if link := tx.db.LogLink(j.LogKey()); tx.db.viewer != "" && link != "" && !j.Bridge {
		j.LogURL = tx.db.viewer + link
	}
	return j, err
}

// Jobs returns all attempts of a run's jobs by id.
func (tx *Tx) Jobs(run int64) ([]kovra.Job, error) {
	return list(tx, tx.scanJob, "SELECT "+jobColumns+" FROM jobs WHERE run = ? ORDER BY id", run)
}

// Job returns one attempt by GitLab's ids.
func (tx *Tx) Job(project, job int64) (kovra.Job, error) {
	j, err := tx.scanJob(tx.row("SELECT "+jobColumns+" FROM jobs WHERE project = ? AND id = ?", project, job))
	return j, found(err, "Job #%d is not known here.", job)
}

// Children returns the child pipelines of a run with their jobs, by pipeline id, each followed by its own children.
func (tx *Tx) Children(run int64) ([]kovra.Child, error) {
	r, err := tx.Run(run)
	if err != nil {
		return nil, err
	}
	return tx.childrenOf(nil, r.Project, r.Remote)
}

// childrenOf appends what hangs below a pipeline. A child is younger than its parent; what is said to be otherwise could go in a
// circle.
func (tx *Tx) childrenOf(out []kovra.Child, project, remote int64) ([]kovra.Child, error) {
	runs, err := list(tx, scanRun, "SELECT "+runColumns+" FROM runs WHERE project = ? AND parent = ? AND parent <> 0 AND remote > parent ORDER BY remote", project, remote)
	if err != nil {
		return nil, err
	}
	for _, c := range runs {
		jobs, err := tx.Jobs(c.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, kovra.Child{Run: c, Jobs: jobs})
		if out, err = tx.childrenOf(out, project, c.Remote); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Observe folds what was seen of a pipeline into the state: the run and its jobs,
// the news of a new end, the threads of the channels that want it, and, for a child
// pipeline, its parent. What is no news changes nothing.
func (tx *Tx) Observe(o kovra.Observation) (kovra.Run, kovra.Seen, error) {
	run, err := tx.RunByRemote(o.Run.Project, o.Run.Remote)
	fresh := kovra.KindOf(err) == kovra.NotFound
	if err != nil && !fresh {
		return run, kovra.Seen{}, err
	}
	if fresh {
		run = kovra.Run{Project: o.Run.Project, Remote: o.Run.Remote}
	}
	old, err := tx.Jobs(run.ID)
	if err != nil {
		return run, kovra.Seen{}, err
	}
	jobs := make(map[int64]kovra.Job, len(old))
	for _, j := range old {
		jobs[j.ID] = j
	}
	wasChild, wasFinal := run.Child(), run.Status.Final()
	seen := run.Observe(jobs, o)
	if !fresh && !seen.Changed() {
		if o.Listed {
			return run, seen, nil
		}
		return run, seen, tx.heard(run)
	}
	if err := tx.addNews(&run, seen); err != nil {
		return run, seen, err
	}
	if err := tx.saveRun(&run); err != nil {
		return run, seen, err
	}
	for _, id := range seen.Jobs {
		j := jobs[id]
		j.Run = run.ID
		if err := tx.saveJob(j); err != nil {
			return run, seen, err
		}
	}
	if run.Child() {
		return run, seen, tx.bumpParent(run, !wasChild || run.Status.Final() != wasFinal)
	}
	if err := tx.makeThreads(run); err != nil {
		return run, seen, err
	}
	return run, seen, tx.bumpThreads(run.ID)
}

// Heard notes that GitLab was asked about a run just now, so that the quiet ones take turns.
func (tx *Tx) Heard(run int64) error {
	_, err := tx.exec("UPDATE runs SET observed_at = ? WHERE id = ?", stamp(tx.now), run)
	return err
}

// heard notes, once a minute at most, that GitLab still speaks of a run.
func (tx *Tx) heard(run kovra.Run) error {
	if tx.now.Sub(run.ObservedAt) < time.Minute {
		return nil
	}
	return tx.Heard(run.ID)
}

// wakeChildren has dispatch look again at the child pipelines of a run, down to their
// own children: somebody sees them now.
func (tx *Tx) wakeChildren(project, remote int64) error {
	woken, err := list(tx, scanRun, `UPDATE runs SET driven_version = 0 WHERE project = ? AND parent = ? AND parent <> 0 AND remote > parent
		RETURNING `+runColumns, project, remote)
	if err != nil {
		return err
	}
	for _, r := range woken {
		tx.touch(kovra.RefRun, r.ID)
		if err := tx.wakeChildren(project, r.Remote); err != nil {
			return err
		}
	}
	return nil
}

// saveRun writes the run with its next version.
func (tx *Tx) saveRun(r *kovra.Run) error {
	r.Version++
	r.ObservedAt = tx.now
	doc, err := encode(r)
	if err != nil {
		return err
	}
	var parent int64
	counts := verdict(r.Results)
	if r.Child() {
		parent, counts = r.Parent.Pipeline, "" // it is a part of its parent, and ends before it
	}
	args := []any{
		r.Ref, r.Kind(), string(r.Status), flag(r.Status.Final()), flag(r.Child()), parent,
		counts, stamp(r.ObservedAt), flag(r.Stale), r.Version, doc,
	}
	if r.ID == 0 {
		err = tx.row(`INSERT INTO runs (project, remote, ref, kind, status, final, child, parent, verdict, observed_at, stale, version, doc, driven_version)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0) RETURNING id`, append([]any{r.Project, r.Remote}, args...)...).Scan(&r.ID)
	} else {
		_, err = tx.exec(`UPDATE runs SET ref = ?, kind = ?, status = ?, final = ?, child = ?, parent = ?, verdict = ?, observed_at = ?,
			stale = ?, version = ?, doc = ? WHERE id = ?`, append(args, r.ID)...)
	}
	if err != nil {
		return err
	}
	tx.touch(kovra.RefRun, r.ID)
	return nil
}

func (tx *Tx) saveJob(j kovra.Job) error {
	doc, err := encode(j)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO jobs (project, id, run, status, doc) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (project, id) DO UPDATE SET run = excluded.run, status = excluded.status, doc = excluded.doc`,
		j.Project, j.ID, j.Run, string(j.Status), doc)
	return err
}

// verdict is the last end that counts for "broken" and "fixed": canceled and skipped ones do not.
func verdict(results []kovra.Result) string {
	for _, r := range slices.Backward(results) {
		if r.Status == kovra.Success || r.Status == kovra.Failed {
			return string(r.Status)
		}
	}
	return ""
}

// addNews decides, for the newest end alone and once, whether it broke or fixed the ref.
func (tx *Tx) addNews(r *kovra.Run, seen kovra.Seen) error {
	last := len(r.Results) - 1
	if last < 0 || r.Child() || !slices.Contains(seen.Results, last) {
		return nil
	}
	end := &r.Results[last]
	if end.Status != kovra.Success && end.Status != kovra.Failed {
		return nil
	}
	newer, err := tx.int(`SELECT 1 FROM runs WHERE project = ? AND ref = ? AND kind = ? AND remote > ? AND verdict <> '' LIMIT 1`,
		r.Project, r.Ref, r.Kind(), r.Remote)
	if err != nil || newer != 0 {
		return err
	}
	before := verdict(r.Results[:last])
	if before == "" {
		err := tx.row(`SELECT verdict FROM runs WHERE project = ? AND ref = ? AND kind = ? AND remote < ? AND verdict <> ''
			ORDER BY remote DESC LIMIT 1`, r.Project, r.Ref, r.Kind(), r.Remote).Scan(&before)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
	}
	switch {
	case end.Status == kovra.Failed && before != string(kovra.Failed):
		end.News = kovra.Broken
	case end.Status == kovra.Success && before == string(kovra.Failed):
		end.News = kovra.Fixed
	}
	return nil
}

// bumpParent makes the parent show its child anew, and, when the child is new or has
// just ended or come back, asks GitLab what became of the trigger job. A parent is
// always older than its child; what is said to be otherwise could go in a circle.
func (tx *Tx) bumpParent(child kovra.Run, ask bool) error {
	if child.Parent.Pipeline >= child.Remote {
		return nil
	}
	parent, err := tx.RunByRemote(child.Project, child.Parent.Pipeline)
	if kovra.KindOf(err) == kovra.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	parent.Stale = parent.Stale || ask
	return tx.bump(parent)
}

// bump saves a run that changed for those who look at it.
func (tx *Tx) bump(r kovra.Run) error {
	heard := r.ObservedAt
	if err := tx.saveRun(&r); err != nil {
		return err
	}
	if _, err := tx.exec("UPDATE runs SET observed_at = ? WHERE id = ?", stamp(heard), r.ID); err != nil {
		return err
	}
	if r.Child() {
		return tx.bumpParent(r, false)
	}
	return tx.bumpThreads(r.ID)
}

// SetExcerpt records what became of a failed job's log.
func (tx *Tx) SetExcerpt(project, job int64, state kovra.LogState, e kovra.Excerpt) error {
	j, err := tx.Job(project, job)
	if err != nil {
		return err
	}
	j.Log, j.Excerpt = state, e
	if err := tx.saveJob(j); err != nil {
		return err
	}
	r, err := tx.Run(j.Run)
	if err != nil {
		return err
	}
	return tx.bump(r)
}

// SetDriven records that dispatch has looked at a version of a run.
func (tx *Tx) SetDriven(run, version int64) error {
	_, err := tx.exec("UPDATE runs SET driven_version = max(driven_version, ?) WHERE id = ?", version, run)
	return err
}

// MarkStale asks dispatch to re-read a run.
func (tx *Tx) MarkStale(run int64) error {
	_, err := tx.exec("UPDATE runs SET stale = 1 WHERE id = ?", run)
	tx.touch(kovra.RefRun, run)
	return err
}

// Forget drops the doubt about a run that cannot be cleared: GitLab does not show it,
// or nobody cares for its project any more.
func (tx *Tx) Forget(run int64) error {
	r, err := tx.Run(run)
	if err != nil {
		return err
	}
	r.Stale, r.Read, r.ReadResults = false, true, len(r.Results)
	return tx.bump(r)
}
