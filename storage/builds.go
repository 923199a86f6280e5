package storage

import (
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kovra.dev/chatops/internal/kovra"
)

const buildColumns = "id, app, project, version, driven_version, doc"

func (tx *Tx) scanBuild(s scanner) (kovra.Build, error) {
	var b kovra.Build
	var doc string
	var id, project, version, driven int64
	var app string
	if err := s.Scan(&id, &app, &project, &version, &driven, &doc); err != nil {
		return b, err
	}
	err := decode(doc, &b)
	b.ID, b.App, b.Project, b.Version, b.DrivenVersion = id, app, project, version, driven
	b.LogURL = tx.logURL(b.LogKey())
	return b, err
}

// logURL is the page of our viewer that shows a log; "" where there is none.
func (tx *Tx) logURL(key kovra.LogKey) string {
	link := tx.db.LogLink(key)
	if tx.db.viewer == "" || link == "" {
		return ""
	}
	return tx.db.viewer + link
}

// Build returns a build by its number.
func (tx *Tx) Build(id int64) (kovra.Build, error) {
	b, err := tx.scanBuild(tx.row("SELECT "+buildColumns+" FROM builds WHERE id = ?", id))
	if err != nil {
		return b, found(err, "There is no build #%d.", id)
	}
	return b, tx.place(&b)
}

// place says where in our queue a build is.
func (tx *Tx) place(b *kovra.Build) error {
	if b.Phase != kovra.PhaseQueued {
		return nil
	}
	n, err := tx.int("SELECT count(*) FROM builds WHERE final = 0 AND phase = 0 AND id <= ?", b.ID)
	b.Place = int(n)
	return err
}

// BuildQuery selects a page of an app's builds, newest first: the page just older than Before, or just newer
// than After; 0 and 0 give the newest.
type BuildQuery struct {
	App           string
	Before, After int64
	Limit         int
}

// Builds returns what the query selects. It takes the same time however many builds are stored.
func (tx *Tx) Builds(q BuildQuery) ([]kovra.Build, error) {
	query := "SELECT " + buildColumns + " FROM builds WHERE app = ?"
	var all []kovra.Build
	var err error
	switch {
	case q.After != 0:
		all, err = list(tx, tx.scanBuild, query+" AND id > ? ORDER BY id ASC LIMIT ?", q.App, q.After, q.Limit)
		slices.Reverse(all)
	case q.Before != 0:
		all, err = list(tx, tx.scanBuild, query+" AND id < ? ORDER BY id DESC LIMIT ?", q.App, q.Before, q.Limit)
	default:
		all, err = list(tx, tx.scanBuild, query+" ORDER BY id DESC LIMIT ?", q.App, q.Limit)
	}
	for i := range all {
		err = errors.Join(err, tx.place(&all[i]))
	}
	return all, err
}

// OpenBuilds returns the builds that have not ended, oldest first.
func (tx *Tx) OpenBuilds() ([]kovra.Build, error) {
	all, err := list(tx, tx.scanBuild, "SELECT "+buildColumns+" FROM builds WHERE final = 0 ORDER BY id")
	for i := range all {
		err = errors.Join(err, tx.place(&all[i]))
	}
	return all, err
}

// LastDeployable returns the newest builds of an app whose image was pushed, newest first.
func (tx *Tx) LastDeployable(app string, limit int) ([]kovra.Build, error) {
	return list(tx, tx.scanBuild, "SELECT "+buildColumns+" FROM builds WHERE app = ? AND verdict = 'Succeeded' ORDER BY id DESC LIMIT ?", app, limit)
}

// AddBuild queues a build and gives it its number, its name in the cluster, and a thread in every channel that
// hears of the app. push names the push that it comes from, "" for none; there is one build for each: when it is there
// already nothing is added, and the first one is returned with false. supersede ends the pending builds of the same
// branch.
func (tx *Tx) AddBuild(b kovra.Build, push string, supersede bool) (kovra.Build, bool, error) {
	if push != "" {
		first, err := tx.scanBuild(tx.row("SELECT "+buildColumns+" FROM builds WHERE push = ?", push))
		if !errors.Is(err, sql.ErrNoRows) {
			return first, false, err
		}
	}
	b.Status, b.Phase, b.CreatedAt = kovra.BuildPending, kovra.PhaseQueued, tx.now
	err := tx.row(`INSERT INTO builds (app, project, ref, push, phase, final, verdict, version, driven_version, doc)
		VALUES (?, ?, ?, ?, 0, 0, '', 0, 0, '{}') RETURNING id`,
		b.App, b.Project, refOf(b.Spec.Branch, b.Spec.Tag), sql.NullString{String: push, Valid: push != ""}).Scan(&b.ID)
	if err != nil {
		return b, false, err
	}
	b.Name = kovra.RunName(b.App, "b", b.ID, salt())
	if supersede {
		if err := tx.supersede(&b); err != nil {
			return b, false, err
		}
	}
	if err := tx.SaveBuild(&b); err != nil {
		return b, false, err
	}
	return b, true, tx.place(&b)
}

// salt makes names of PipelineRuns that no other database has used.
func salt() string { return strings.ToLower(rand.Text()[:8]) }

// supersede ends the pending builds of the branch, which are older than b. One that repeats an older build stays: that
// commit was asked for.
func (tx *Tx) supersede(b *kovra.Build) error {
	open, err := tx.OpenBuilds()
	if err != nil {
		return err
	}
	for i := range open {
		o := &open[i]
		same := o.ID != b.ID && o.App == b.App && o.Spec.Branch == b.Spec.Branch && o.Spec.Tag == b.Spec.Tag
		if !same || o.Cancel.Wanted || o.Status != kovra.BuildPending || o.Trigger == kovra.ByRebuild {
			continue
		}
		tx.supersedeBy(o, b.ID)
		if err := tx.SaveBuild(o); err != nil {
			return err
		}
	}
	return nil
}

// supersedeBy marks a build; one that only waits in our queue ends at once.
func (tx *Tx) supersedeBy(b *kovra.Build, newer int64) {
	b.Cancel = kovra.BuildCancel{Wanted: true, Newer: newer}
	if b.Phase == kovra.PhaseQueued {
		b.End(kovra.BuildCancelled, kovra.ReasonSuperseded, fmt.Sprintf("Superseded by build #%d.", newer), tx.now)
	}
}

// SaveBuild writes a build with its next version; its threads show it anew. When it has just ended its news are decided,
// and the queue moves up. When it leaves the queue the others are shown at their new places.
func (tx *Tx) SaveBuild(b *kovra.Build) error {
	was, err := tx.row2("SELECT final, phase FROM builds WHERE id = ?", b.ID)
	if err != nil {
		return found(err, "There is no build #%d.", b.ID)
	}
	ended := b.Status.Final() && was[0] == 0
	if ended {
		if err := tx.addBuildNews(b); err != nil {
			return err
		}
	}
	b.Version++
	doc, err := encode(b)
	if err != nil {
		return err
	}
	_, err = tx.exec("UPDATE builds SET phase = ?, final = ?, verdict = ?, version = ?, doc = ? WHERE id = ?",
		int64(b.Phase), flag(b.Status.Final()), buildVerdict(b), b.Version, doc, b.ID)
	if err != nil {
		return err
	}
	tx.touch(kovra.RefBuild, b.ID)
	if err := errors.Join(tx.makeBuildThreads(b), tx.bumpBuildThreads(b.ID)); err != nil {
		return err
	}
	if ended || was[1] == int64(kovra.PhaseQueued) && b.Phase != kovra.PhaseQueued {
		return tx.moveQueue()
	}
	return nil
}

// row2 returns two numbers.
func (tx *Tx) row2(query string, args ...any) ([2]int64, error) {
	var n [2]int64
	err := tx.row(query, args...).Scan(&n[0], &n[1])
	return n, err
}

// moveQueue has those looked at that wait: one may be next, and all have another place.
func (tx *Tx) moveQueue() error {
	ids, err := list(tx, scanID, "SELECT id FROM builds WHERE final = 0 AND phase = 0 ORDER BY id")
	for _, id := range ids {
		tx.touch(kovra.RefBuild, id)
		err = errors.Join(err, tx.bumpBuildThreads(id))
	}
	return err
}

// buildVerdict is how a build ended, where that counts for "broken" and "fixed".
func buildVerdict(b *kovra.Build) string {
	if b.Status == kovra.BuildSucceeded || b.Status == kovra.BuildFailed {
		return string(b.Status)
	}
	return ""
}

// addBuildNews decides, once, whether the end of a build broke or fixed its branch.
func (tx *Tx) addBuildNews(b *kovra.Build) error {
	verdict := buildVerdict(b)
	if verdict == "" {
		return nil
	}
	ref := refOf(b.Spec.Branch, b.Spec.Tag)
	newer, err := tx.int("SELECT 1 FROM builds WHERE app = ? AND ref = ? AND id > ? AND verdict <> '' LIMIT 1", b.App, ref, b.ID)
	if err != nil || newer != 0 {
		return err
	}
	var before string
	err = tx.row("SELECT verdict FROM builds WHERE app = ? AND ref = ? AND id < ? AND verdict <> '' ORDER BY id DESC LIMIT 1",
		b.App, ref, b.ID).Scan(&before)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	switch {
	case b.Status == kovra.BuildFailed && before != string(kovra.BuildFailed):
		b.News = kovra.Broken
	case b.Status == kovra.BuildSucceeded && before == string(kovra.BuildFailed):
		b.News = kovra.Fixed
	}
	return nil
}

// TakeTurn reports whether a queued build may start: it is the oldest that waits, and fewer than limit builds are
// under way. It then is PhaseStarted, and counts.
func (tx *Tx) TakeTurn(id int64, limit int) (bool, error) {
	next, err := tx.int("SELECT min(id) FROM builds WHERE final = 0 AND phase = 0 HAVING min(id) IS NOT NULL")
	if err != nil || next != id {
		return false, err
	}
	running, err := tx.int("SELECT count(*) FROM builds WHERE final = 0 AND phase > 0")
	if err != nil || running >= int64(limit) {
		return false, err
	}
	b, err := tx.Build(id)
	if err != nil {
		return false, err
	}
	b.Phase, b.QueuedAt = kovra.PhaseStarted, tx.now
	return true, tx.SaveBuild(&b)
}

// SetBuildDriven records that dispatch has looked at a version of a build.
func (tx *Tx) SetBuildDriven(id, version int64) error {
	_, err := tx.exec("UPDATE builds SET driven_version = max(driven_version, ?) WHERE id = ?", version, id)
	return err
}

// KickBuild has the build looked at soon after the commit.
func (tx *Tx) KickBuild(id int64) { tx.touch(kovra.RefBuild, id) }

// makeBuildThreads gives the build a thread in every channel that hears of its app and has none yet.
func (tx *Tx) makeBuildThreads(b *kovra.Build) error {
	subs, err := tx.Subscriptions(SubscriptionQuery{App: b.App})
	if err != nil {
		return err
	}
	for _, w := range kovra.Wishes(subs, func(s kovra.Subscription) bool { return s.WantsBuild(b) }) {
		if _, err := tx.makeThread(kovra.Thread{Build: b.ID}, w); err != nil {
			return err
		}
	}
	return nil
}

// bumpBuildThreads makes all threads of a build dirty.
func (tx *Tx) bumpBuildThreads(build int64) error {
	ids, err := list(tx, scanID, "UPDATE threads SET version = version + 1 WHERE build = ? AND build <> 0 RETURNING id", build)
	for _, id := range ids {
		tx.touch(kovra.RefThread, id)
	}
	if err != nil {
		return err
	}
	b, err := tx.Build(build)
	if err != nil {
		return err
	}
	return tx.bumpHomes(b.App)
}

// ThreadsOfBuild returns the build's threads by channel.
func (tx *Tx) ThreadsOfBuild(build int64) ([]kovra.Thread, error) {
	return list(tx, scanThread, "SELECT "+threadColumns+" FROM threads WHERE build = ? AND build <> 0 ORDER BY channel", build)
}

// BuildView returns what a private answer shows of a build; see [Tx.RunView].
func (tx *Tx) BuildView(id int64) (kovra.View, error) {
	b, err := tx.Build(id)
	if err != nil {
		return kovra.View{}, err
	}
	v, err := tx.emptyView(b.App, b.Project)
	if err != nil {
		return v, err
	}
	v.Build = &b
	if v.Deployments, err = tx.DeploymentsOf(id); err != nil {
		return v, err
	}
	if v.Settings, err = tx.BuildSettings(b.App); err != nil {
		return v, err
	}
	if v.LastDeployment, err = tx.int("SELECT max(id) FROM deployments WHERE app = ? HAVING max(id) IS NOT NULL", b.App); err != nil {
		return v, err
	}
	v.Actions, err = list(tx, tx.scanAction, "SELECT "+actionColumns+" FROM actions WHERE build = ? AND build <> 0 AND state = 'done' ORDER BY id", id)
	return v, err
}
