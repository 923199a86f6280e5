package storage

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// noticeDoc is what SQL never asks for.
type noticeDoc struct {
	Token kovra.TokenSight `json:"token,omitzero"`
	Days  int              `json:"days,omitempty"`
}

const noticeColumns = "id, kind, key, told, opened_at, closed_at, doc"

func scanNotice(s scanner) (kovra.Notice, error) {
	var n kovra.Notice
	var told, opened, closed int64
	var doc string
	if err := s.Scan(&n.ID, &n.Kind, &n.Key, &told, &opened, &closed, &doc); err != nil {
		return n, err
	}
	var d noticeDoc
	err := decode(doc, &d)
	n.Told, n.OpenedAt, n.ClosedAt, n.Token, n.Days = told != 0, unstamp(opened), unstamp(closed), d.Token, d.Days
	return n, err
}

// expiryKey names an announcement: one for each token, day and time before it.
func expiryKey(t kovra.TokenSight, days int) string {
	return fmt.Sprintf("%d/%s/%d", t.ID, t.Expires.UTC().Format(time.DateOnly), days)
}

// Notice returns one by our id.
func (tx *Tx) Notice(id int64) (kovra.Notice, error) {
	n, err := scanNotice(tx.row("SELECT "+noticeColumns+" FROM notices WHERE id = ?", id))
	return n, found(err, "There is no notice %d.", id)
}

// lastNotice returns the newest of a kind; a zero one if there is none.
func (tx *Tx) lastNotice(kind kovra.NoticeKind) (kovra.Notice, error) {
	n, err := scanNotice(tx.row("SELECT "+noticeColumns+" FROM notices WHERE kind = ? ORDER BY id DESC LIMIT 1", string(kind)))
	if errors.Is(err, sql.ErrNoRows) {
		return kovra.Notice{}, nil
	}
	return n, err
}

func (tx *Tx) openNotice(n kovra.Notice) error {
	doc, err := encode(noticeDoc{Token: n.Token, Days: n.Days})
	if err != nil {
		return err
	}
	id, err := tx.int("INSERT INTO notices (kind, key, opened_at, doc) VALUES (?, ?, ?, ?) RETURNING id", string(n.Kind), n.Key, stamp(tx.now), doc)
	tx.touch(kovra.RefNotice, id)
	return err
}

func (tx *Tx) setNoticeClosed(id int64, at time.Time) error {
	told := "told" // nobody new is told that it is over
	if at.IsZero() {
		told = "0"
		tx.touch(kovra.RefNotice, id)
	}
	if _, err := tx.exec("UPDATE notices SET closed_at = ?, told = "+told+" WHERE id = ?", stamp(at), id); err != nil {
		return err
	}
	return tx.bumpNotice(id)
}

func (tx *Tx) bumpNotice(id int64) error {
	ids, err := list(tx, scanID, "UPDATE threads SET version = version + 1 WHERE notice = ? AND notice <> 0 RETURNING id", id)
	for _, id := range ids {
		tx.touch(kovra.RefThread, id)
	}
	return err
}

// TellNotice gives each of these Slack users a thread of their own about a notice, and records that all who are to be told
// have one.
func (tx *Tx) TellNotice(id int64, people []string) error {
	for _, p := range people {
		_, err := tx.makeThread(kovra.Thread{Notice: id}, kovra.Wish{Channel: kovra.PersonalChannel(p), Broadcast: kovra.BroadcastOff})
		if err != nil {
			return err
		}
	}
	if _, err := tx.exec("UPDATE notices SET told = 1 WHERE id = ?", id); err != nil {
		return err
	}
	return tx.bumpNotice(id)
}

// noticeView is what a thread shows of a notice.
func (tx *Tx) noticeView(id int64) (kovra.View, error) {
	v := kovra.View{Slots: map[string]kovra.Slot{}}
	n, err := tx.Notice(id)
	if err != nil {
		return v, err
	}
	v.Notice = &n
	if n.Kind == kovra.NoticeHooks {
		v.Hooks, err = tx.Hooks()
		return v, err
	}
	v.Token, err = tx.GitLabToken()
	return v, err
}

// PruneNotices forgets, with their threads, notices that were opened before a time, but not trouble that goes on.
func (tx *Tx) PruneNotices(before time.Time) error {
	const old = "SELECT id FROM notices WHERE opened_at < ? AND (closed_at <> 0 OR kind = 'expiry')"
	for _, q := range []string{
		"DELETE FROM slots WHERE thread IN (SELECT id FROM threads WHERE notice <> 0 AND notice IN (" + old + "))",
		"DELETE FROM threads WHERE notice <> 0 AND notice IN (" + old + ")",
		"DELETE FROM notices WHERE id IN (" + old + ")",
	} {
		if _, err := tx.exec(q, stamp(before)); err != nil {
			return err
		}
	}
	return nil
}
