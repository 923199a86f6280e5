package storage

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// bumpedOfChannel is how many of a channel's threads, the newest, show at once that
// the channel may see logs now, or may not any more.
const bumpedOfChannel = 500

// Channel returns what is known of a channel; nothing but its id if nobody has asked yet.
func (tx *Tx) Channel(id string) (kovra.Channel, error) {
	c := kovra.Channel{ID: id}
	var at int64
	err := tx.row("SELECT shared, logs_allowed, checked_at FROM channels WHERE id = ?", id).Scan(&c.Shared, &c.LogsAllowed, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("read channel %s: %w", id, err)
	}
	c.CheckedAt = unstamp(at)
	return c, nil
}

// SetChannelShared records whether a channel was shared with other organisations at a
// time. That it was not is left out when something newer is known. A zero time says that
// what was known may have changed: the channel's newest thread becomes dirty, so that
// somebody asks again.
func (tx *Tx) SetChannelShared(id string, shared bool, at time.Time) error {
	was, err := tx.Channel(id)
	if err != nil {
		return err
	}
	now := was
	now.Shared, now.CheckedAt = shared, unstamp(stamp(at))
	if !shared && !at.IsZero() && !now.CheckedAt.After(was.CheckedAt) {
		return nil
	}
	if err := tx.saveChannel(was, now); err != nil || !at.IsZero() || was.ShowsLogs() != now.ShowsLogs() {
		return err
	}
	return tx.bumpThreadsIn(id, 1)
}

// AllowLogs records whether excerpts and links to logs may be shown in a channel even
// while it is shared with other organisations.
func (tx *Tx) AllowLogs(id string, allowed bool) error {
	was, err := tx.Channel(id)
	if err != nil {
		return err
	}
	now := was
	now.LogsAllowed = allowed
	return tx.saveChannel(was, now)
}

// saveChannel writes what is known now. Where that changes what may be shown, the
// channel's threads are shown anew.
func (tx *Tx) saveChannel(was, now kovra.Channel) error {
	_, err := tx.exec(`INSERT INTO channels (id, shared, logs_allowed, checked_at) VALUES (?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET shared = excluded.shared, logs_allowed = excluded.logs_allowed, checked_at = excluded.checked_at`,
		now.ID, flag(now.Shared), flag(now.LogsAllowed), stamp(now.CheckedAt))
	if err != nil || was.ShowsLogs() == now.ShowsLogs() {
		return err
	}
	return tx.bumpThreadsIn(now.ID, bumpedOfChannel)
}

// bumpThreadsIn makes the newest threads of a channel dirty; broken ones are shown anew
// anyway once they are mended.
func (tx *Tx) bumpThreadsIn(channel string, limit int) error {
	ids, err := list(tx, scanID, `UPDATE threads SET version = version + 1 WHERE id IN (
		SELECT id FROM threads WHERE channel = ? AND broken = '' ORDER BY id DESC LIMIT ?) RETURNING id`, channel, limit)
	for _, id := range ids {
		tx.touch(kovra.RefThread, id)
	}
	return err
}
