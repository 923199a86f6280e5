package storage

import (
	"database/sql"
	"errors"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// Looking is for how long after the last click a person is taken to look at their App Home: Slack does not
// tell when they leave it.
const Looking = 10 * time.Minute

// homeDoc is what SQL never asks for.
type homeDoc struct {
	Team   string        `json:"team,omitempty"`
	Tab    kovra.HomeTab `json:"tab,omitempty"`
	Ref    string        `json:"ref,omitempty"`
	Before int64         `json:"before,omitempty"`
	After  int64         `json:"after,omitempty"`
	Action int64         `json:"action,omitempty"`
	Notice string        `json:"notice,omitempty"`
	Hash   string        `json:"hash,omitempty"`
	Digest string        `json:"digest,omitempty"`
}

const homeColumns = "id, slack, app, seen_at, version, shown_version, doc"

func scanHome(s scanner) (kovra.Home, error) {
	var h kovra.Home
	var seen int64
	var doc string
	if err := s.Scan(&h.ID, &h.User, &h.App, &seen, &h.Version, &h.ShownVersion, &doc); err != nil {
		return h, err
	}
	var d homeDoc
	err := decode(doc, &d)
	h.SeenAt, h.Team, h.Tab, h.Ref, h.Before, h.After = unstamp(seen), d.Team, d.Tab, d.Ref, d.Before, d.After
	h.Action, h.Notice, h.Hash, h.Digest = d.Action, d.Notice, d.Hash, d.Digest
	return h, err
}

func docOf(h kovra.Home) (string, error) {
	return encode(homeDoc{
		Team: h.Team, Tab: h.Tab, Ref: h.Ref, Before: h.Before, After: h.After,
		Action: h.Action, Notice: h.Notice, Hash: h.Hash, Digest: h.Digest,
	})
}

// Home returns one by our id.
func (tx *Tx) Home(id int64) (kovra.Home, error) {
	h, err := scanHome(tx.row("SELECT "+homeColumns+" FROM homes WHERE id = ?", id))
	return h, found(err, "There is no Home %d.", id)
}

// HomeOf returns a person's Home; one that nobody has opened yet has no id.
func (tx *Tx) HomeOf(slackUser string) (kovra.Home, error) {
	h, err := scanHome(tx.row("SELECT "+homeColumns+" FROM homes WHERE slack = ?", slackUser))
	if errors.Is(err, sql.ErrNoRows) {
		return kovra.Home{User: slackUser, Tab: kovra.HomePipelines}, nil
	}
	return h, err
}

// LookAtHome records what a person looks at now: it is shown soon.
func (tx *Tx) LookAtHome(h kovra.Home) error {
	doc, err := docOf(h)
	if err != nil {
		return err
	}
	id, err := tx.int(`INSERT INTO homes (slack, app, seen_at, version, shown_version, doc) VALUES (?, ?, ?, 1, 0, ?)
		ON CONFLICT (slack) DO UPDATE SET app = excluded.app, seen_at = excluded.seen_at, doc = excluded.doc, version = version + 1 RETURNING id`,
		h.User, h.App, stamp(tx.now), doc)
	tx.touch(kovra.RefHome, id)
	return err
}

// SetHomeShown records that a version of a Home was published. What the person has chosen meanwhile stays.
func (tx *Tx) SetHomeShown(id, version int64, hash, digest string) error {
	h, err := tx.Home(id)
	if err != nil {
		return err
	}
	h.Hash, h.Digest = hash, digest
	doc, err := docOf(h)
	if err != nil {
		return err
	}
	_, err = tx.exec("UPDATE homes SET shown_version = max(shown_version, ?), doc = ? WHERE id = ?", version, doc, id)
	return err
}

// bumpHomes has the Homes refreshed in which somebody looks at an app just now; "": at all of them.
func (tx *Tx) bumpHomes(app string) error {
	return tx.refreshHomes("app = ? AND seen_at > ?", app, tx.lookedSince())
}

// mostHomes bounds how many are looked through at once; there is one for each person who ever opened it.
const mostHomes = 10_000

// bumpAllHomes does so wherever somebody looks: for some of them there is another app to go to, or one less.
func (tx *Tx) bumpAllHomes() error {
	return tx.refreshHomes("id IN (SELECT id FROM homes WHERE seen_at > ? LIMIT ?)", tx.lookedSince(), mostHomes)
}

// bumpHomeOfPerson does so for one person: which apps they see depends on who they are in GitLab.
func (tx *Tx) bumpHomeOfPerson(slackUser string) error {
	return tx.refreshHomes("slack = ? AND seen_at > ?", slackUser, tx.lookedSince())
}

// bumpHomesOf does so for all apps of a project.
func (tx *Tx) bumpHomesOf(project int64) error {
	return tx.refreshHomes("app IN (SELECT name FROM apps WHERE project = ? AND project <> 0) AND seen_at > ?", project, tx.lookedSince())
}

// lookedSince is how long ago somebody was heard of who is taken to be looking still.
func (tx *Tx) lookedSince() int64 { return stamp(tx.now.Add(-Looking)) }

func (tx *Tx) refreshHomes(which string, args ...any) error {
	ids, err := list(tx, scanID, "UPDATE homes SET version = version + 1 WHERE "+which+" RETURNING id", args...)
	for _, id := range ids {
		tx.touch(kovra.RefHome, id)
	}
	return err
}

// bumpHomeOf has the Home refreshed of the one who asked for an action there. It says what became of the newest alone.
func (tx *Tx) bumpHomeOf(a kovra.Action) error {
	if a.By.ID == "" {
		return nil
	}
	h, err := tx.HomeOf(a.By.ID)
	if err != nil || h.ID == 0 || h.Action != a.ID {
		return err
	}
	tx.touch(kovra.RefHome, h.ID)
	_, err = tx.exec("UPDATE homes SET version = version + 1 WHERE id = ?", h.ID)
	return err
}
