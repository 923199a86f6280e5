package storage

import (
	"errors"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// AddDelivery journals a webhook. It reports false, and stores nothing, when one
// with the same key is there already.
func (tx *Tx) AddDelivery(d kovra.Delivery) (added bool, err error) {
	res, err := tx.exec("INSERT INTO deliveries (key, kind, body, at) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
		d.Key, d.Kind, d.Body, stamp(d.At))
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	if n > 0 {
		tx.touch(kovra.RefDelivery, 0)
	}
	return n > 0, err
}

func scanDelivery(s scanner) (kovra.Delivery, error) {
	var d kovra.Delivery
	var at, settled int64
	err := s.Scan(&d.ID, &d.Key, &d.Kind, &d.Body, &at, &d.Outcome, &d.Note, &d.Project, &settled)
	d.At, d.Settled = unstamp(at), unstamp(settled)
	return d, err
}

// pendingBytes bounds the bodies that PendingDeliveries holds in memory, but for the last.
const pendingBytes = 8 << 20

var errEnough = errors.New("enough read")

// PendingDeliveries returns those that were not looked at, in order of arrival: at most
// limit, and fewer when their bodies are large. None means that there is none.
func (tx *Tx) PendingDeliveries(limit int) ([]kovra.Delivery, error) {
	var out []kovra.Delivery
	size := 0
	err := tx.each(func(s scanner) error {
		d, err := scanDelivery(s)
		if err != nil {
			return err
		}
		out = append(out, d)
		if size += len(d.Body); size >= pendingBytes {
			return errEnough
		}
		return nil
	}, `SELECT id, key, kind, body, at, outcome, note, project, settled
		FROM deliveries WHERE outcome = '' ORDER BY id LIMIT ?`, limit)
	if errors.Is(err, errEnough) {
		err = nil
	}
	return out, err
}

// SettleDelivery records what became of a delivery.
func (tx *Tx) SettleDelivery(id int64, outcome kovra.DeliveryOutcome, note string, project int64) error {
	_, err := tx.exec("UPDATE deliveries SET outcome = ?, note = ?, project = ?, settled = ? WHERE id = ?",
		string(outcome), note, project, stamp(tx.now), id)
	return err
}

// DeliveryQuery selects deliveries, newest first. Before is an id; 0 starts at the newest.
type DeliveryQuery struct {
	Outcome *kovra.DeliveryOutcome // nil: any
	Before  int64
	Limit   int
}

// Deliveries returns what the query selects, without bodies.
func (tx *Tx) Deliveries(q DeliveryQuery) ([]kovra.Delivery, error) {
	if q.Outcome == nil {
		return list(tx, scanDelivery, `SELECT id, key, kind, '', at, outcome, note, project, settled
			FROM deliveries WHERE (?1 = 0 OR id < ?1) ORDER BY id DESC LIMIT ?2`, q.Before, q.Limit)
	}
	return list(tx, scanDelivery, `SELECT id, key, kind, '', at, outcome, note, project, settled
		FROM deliveries WHERE outcome = ?1 AND (?2 = 0 OR id < ?2) ORDER BY id DESC LIMIT ?3`,
		string(*q.Outcome), q.Before, q.Limit)
}

// Delivery returns one with its body.
func (tx *Tx) Delivery(id int64) (kovra.Delivery, error) {
	d, err := scanDelivery(tx.row(`SELECT id, key, kind, body, at, outcome, note, project, settled FROM deliveries WHERE id = ?`, id))
	return d, found(err, "There is no delivery %d.", id)
}

// ReplayDelivery marks a delivery as not looked at, so that the intake takes it
// again, also when it runs in another process.
func (tx *Tx) ReplayDelivery(id int64) error {
	res, err := tx.exec("UPDATE deliveries SET outcome = '', note = '', settled = 0 WHERE id = ?", id)
	if err != nil {
		return err
	}
	tx.touch(kovra.RefDelivery, 0)
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return found(noRows(err), "There is no delivery %d.", id)
	}
	return nil
}

// prunedAtOnce keeps a long sleep from ending in a long transaction.
const prunedAtOnce = 1000

// LastDelivery is when the newest webhook that is kept came; zero: there is none.
func (tx *Tx) LastDelivery() (time.Time, error) {
	at, err := tx.int("SELECT coalesce(max(at), 0) FROM deliveries")
	return unstamp(at), err
}

// PruneDeliveries removes settled deliveries that came before a time, not too many at
// once, and returns how many.
func (tx *Tx) PruneDeliveries(before time.Time) (int64, error) {
	res, err := tx.exec("DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE at < ? AND outcome <> '' LIMIT ?)",
		stamp(before), prunedAtOnce)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
