package storage

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// keptMoves is how many moves of branches are remembered, of all apps together. A push is told late by hours at
// most, so it is plenty.
const keptMoves = 10_000

// tagRefs begins what the ref of a tag is stored as.
const tagRefs = "refs/tags/"

// refOf is how the ref of a build is stored: branches and tags of one name are two things.
func refOf(name string, tag bool) string {
	if tag {
		return tagRefs + name
	}
	return name
}

// TakePush folds a push, as a webhook told it or a re-read found it. Each app of the project whose settings want it gets
// one build of that commit, however often and in whichever order pushes are told: one that is known does nothing, and one
// that is older than where the branch is now moves nothing back and supersedes nothing. After a push out of order the
// project is read again soon, which settles where the branch is.
func (tx *Tx) TakePush(p kovra.Push) (kovra.PushTaken, error) {
	var taken kovra.PushTaken
	apps, err := tx.AppsOfProject(p.Project)
	if err != nil {
		return taken, err
	}
	for _, a := range apps {
		s, err := tx.BuildSettings(a.Name)
		if err != nil {
			return taken, err
		}
		if !s.Follows(p) {
			continue
		}
		taken.Heard = true
		var moved, built bool
		if p.Tag {
			built, err = tx.buildPush(s, p, pushKey(s.App, p), false)
		} else {
			moved, built, err = tx.takeBranch(s, p)
		}
		if err != nil {
			return taken, err
		}
		taken.Moved = taken.Moved || moved
		if built {
			taken.Builds++
		}
	}
	return taken, nil
}

// takeBranch moves the head of the app's branch, if the push is news, and builds it.
func (tx *Tx) takeBranch(s kovra.BuildSettings, p kovra.Push) (moved, built bool, err error) {
	is, err := tx.moveHead(s.App, p)
	if err != nil || is == moveKnown {
		return false, false, err
	}
	if is == moveJump {
		p.AllPaths = false
	}
	last, err := tx.lastPushed(s.App, p.Ref)
	if err != nil {
		return false, false, err
	}
	if is == moveOlder {
		built, err = tx.buildOlder(s, p, last.ID)
		return false, built, err
	}
	key := pushKey(s.App, p)
	switch known, err := tx.int("SELECT id FROM builds WHERE push = ?", key); {
	case err != nil:
		return true, false, err
	case known != 0 && last.Spec.Commit == p.After:
		return true, false, nil // the branch is back at what was built last
	case known != 0:
		key = fmt.Sprintf("%s/%d", key, last.ID) // it is back at what was built before the last one
	}
	built, err = tx.buildPush(s, p, key, s.Supersede)
	return true, built, err
}

// buildPush queues the build of a push that the settings want, unless there is one of that key.
func (tx *Tx) buildPush(s kovra.BuildSettings, p kovra.Push, key string, supersede bool) (bool, error) {
	if !s.Wants(p) {
		return false, nil
	}
	_, fresh, err := tx.AddBuild(pushed(s, p), key, supersede)
	return fresh, err
}

// buildOlder is buildPush for a push that a newer one was told before. Where pending builds are superseded it is
// too late for it, which its build says; else it is built, but not deployed over the newer one.
func (tx *Tx) buildOlder(s kovra.BuildSettings, p kovra.Push, last int64) (bool, error) {
	if !s.Wants(p) || s.Supersede && last == 0 {
		return false, nil
	}
	b := pushed(s, p)
	b.Spec.Deploy = false
	b, fresh, err := tx.AddBuild(b, pushKey(s.App, p), false)
	if err != nil || !fresh || !s.Supersede {
		return fresh, err
	}
	tx.supersedeBy(&b, last)
	return true, tx.SaveBuild(&b)
}

func pushed(s kovra.BuildSettings, p kovra.Push) kovra.Build {
	b := kovra.NewBuild(s, p.Project, p.Ref, p.Tag, kovra.Commit{SHA: p.After, Title: p.Title, Author: p.Author})
	b.Trigger, b.Before, b.Pusher = kovra.ByPush, p.Before, p.Pusher
	if p.Tag && p.Read {
		b.Spec.Deploy = false // what was pushed since may be running
	}
	return b
}

func pushKey(app string, p kovra.Push) string {
	kind := "heads"
	if p.Tag {
		kind = "tags"
	}
	return app + "/" + kind + "/" + p.Ref + "@" + p.After
}

// lastPushed is the newest automatic build of a branch that no other one superseded; zero if there is none.
func (tx *Tx) lastPushed(app, branch string) (kovra.Build, error) {
	b, err := tx.scanBuild(tx.row("SELECT "+buildColumns+" FROM builds WHERE app = ? AND ref = ? AND push IS NOT NULL ORDER BY id DESC LIMIT 1",
		app, branch))
	for err == nil && b.Cancel.Newer != 0 {
		b, err = tx.Build(b.Cancel.Newer)
	}
	if errors.Is(err, sql.ErrNoRows) || kovra.KindOf(err) == kovra.NotFound { // of those that are kept
		return kovra.Build{}, nil
	}
	return b, err
}

// move says what a push is to what is known of a branch.
type move int

const (
	moveKnown move = iota // told before, or the branch is there already
	moveOlder             // the branch has moved on from there, as it seems
	moveNewer
	moveJump // newer, and something is missing before it
)

// moveHead records a push of the app's branch. GitLab tells no time of a push; what is newer is seen from what was pushed
// upon what.
func (tx *Tx) moveHead(app string, p kovra.Push) (move, error) {
	head, known, err := tx.headOf(app)
	if err != nil {
		return moveKnown, err
	}
	if p.Read {
		return tx.readHead(app, p, head, known)
	}
	seen, err := tx.int("SELECT 1 FROM build_moves WHERE app = ? AND ref = ? AND before = ? AND after = ?", app, p.Ref, p.Before, p.After)
	if err != nil || seen != 0 {
		return moveKnown, err
	}
	// It was left already, if something was pushed upon it; and so was what it was pushed upon, if the branch is known to have been there.
	left, err := tx.int(`SELECT 1 FROM build_moves WHERE app = ?1 AND ref = ?2 AND before IN (?3, ?4)
		UNION ALL SELECT 1 FROM build_moves WHERE app = ?1 AND ref = ?2 AND after = ?4 LIMIT 1`, app, p.Ref, p.After, p.Before)
	if err != nil {
		return moveKnown, err
	}
	if err := tx.addMove(app, p.Ref, p.Before, p.After); err != nil {
		return moveKnown, err
	}
	switch {
	case p.After == head:
		return moveKnown, nil
	case p.Before == head:
		return moveNewer, tx.setHead(app, p.After)
	case left != 0:
		return moveOlder, tx.RereadProject(p.Project)
	case !known:
		return moveNewer, tx.setHead(app, p.After)
	}
	// What lies between is not known: it may still come, and then is older, or is lost, or this push itself is late.
	return moveJump, errors.Join(tx.addMove(app, p.Ref, head, p.After), tx.setHead(app, p.After), tx.RereadProject(p.Project))
}

// readHead takes where a branch really is. What it had when it was first looked at is not built by itself.
func (tx *Tx) readHead(app string, p kovra.Push, head string, known bool) (move, error) {
	switch {
	case !known:
		return moveKnown, tx.setHead(app, p.After)
	case p.After == head:
		return moveKnown, nil
	}
	return moveNewer, errors.Join(tx.addMove(app, p.Ref, head, p.After), tx.setHead(app, p.After))
}

func (tx *Tx) addMove(app, ref, before, after string) error {
	var id int64
	err := tx.row("INSERT INTO build_moves (app, ref, before, after) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
		app, ref, before, after).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = tx.exec("DELETE FROM build_moves WHERE id <= ?", id-keptMoves)
	return err
}

// noBranch is stored as the head where the branch is known not to be there.
const noBranch = "-"

// headOf is the commit that the app's branch was last seen at: "" and known where there was no such branch.
func (tx *Tx) headOf(app string) (head string, known bool, err error) {
	err = tx.row("SELECT head FROM build_settings WHERE app = ?", app).Scan(&head)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", false, nil
	case head == noBranch:
		return "", true, err
	}
	return head, head != "", err
}

func (tx *Tx) setHead(app, commit string) error {
	_, err := tx.exec("UPDATE build_settings SET head = ? WHERE app = ?", cmp.Or(commit, noBranch), app)
	return err
}

// forgetHead forgets where the app's branch was and how it moved: it has another project, or is gone.
func (tx *Tx) forgetHead(app string) error {
	s, err := tx.BuildSettings(app)
	if err != nil {
		return err
	}
	s.TagsSince = tx.now
	doc, err := encode(s)
	if err != nil {
		return err
	}
	if _, err := tx.exec("UPDATE build_settings SET head = '', doc = ? WHERE app = ?", doc, app); err != nil {
		return err
	}
	_, err = tx.exec("DELETE FROM build_moves WHERE app = ?", app)
	return err
}

// RereadProject has the project read again soon after the commit, even if that was done just now.
func (tx *Tx) RereadProject(id int64) error {
	p, err := tx.Project(id)
	if kovra.KindOf(err) == kovra.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	p.ReadAt = time.Time{}
	tx.touch(kovra.RefProject, id)
	return tx.SaveProject(p)
}
