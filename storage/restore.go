package storage

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// Keys of meta.
const (
	metaCopied = "copied_at"      // the file is a copy of that time, and no server was started from it yet
	metaSince  = "restored_since" // it was such a copy
	metaAt     = "restored_at"    // when a server was first started from it
	metaLeapt  = "clock_leapt"    // when the clock leapt the last time, as it went then
)

// markCopied marks a copy. One that is a copy of a copy stays as old as the first: nothing was learned meanwhile.
const markCopied = "INSERT INTO meta (key, value) VALUES ('" + metaCopied + "', ?) ON CONFLICT (key) DO NOTHING"

// skipped is how many numbers a restore leaves out, by table: as many may have been given away after the backup. Those of
// runs and actions nobody sees; those of subscriptions people type. For every so long since the backup it is one more: who restores the
// same backup again must not get the numbers that were given away after the first time.
var skipped = []struct {
	table string
	by    int64
	every time.Duration
}{
	{"runs", 1_000_000, time.Second},
	{"actions", 1_000_000, time.Second},
	{"builds", 10_000, time.Minute},
	{"deployments", 10_000, time.Minute},
	{"subscriptions", 100, time.Hour},
}

// MarkCopied says of the database that it is a copy of that time, as [Backup] says of its copies.
func (tx *Tx) MarkCopied(at time.Time) error {
	_, err := tx.exec(markCopied, stamp(at))
	return err
}

// Copied returns when the copy was made that the database is; false: it is none, or a server was started from it.
func (tx *Tx) Copied() (time.Time, bool, error) {
	at, err := tx.meta(metaCopied)
	return unstamp(at), at != 0, err
}

// Restored returns what the database was last restored from; false: it never was.
func (tx *Tx) Restored() (kovra.Restore, bool, error) {
	since, err := tx.meta(metaSince)
	at, failed := tx.meta(metaAt)
	return kovra.Restore{Since: unstamp(since), At: unstamp(at)}, at != 0, errors.Join(err, failed)
}

// meta is a value of the file; 0: there is none.
func (tx *Tx) meta(key string) (int64, error) {
	var v int64
	err := tx.row("SELECT value FROM meta WHERE key = ?", key).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return v, err
}

// NoteClockLeapt keeps when the clock leapt, for the next server.
func (tx *Tx) NoteClockLeapt(at time.Time) error { return tx.setMeta(metaLeapt, stamp(at)) }

// ClockLeapt is when the clock leapt the last time, as it went then; zero: never.
func (tx *Tx) ClockLeapt() (time.Time, error) {
	at, err := tx.meta(metaLeapt)
	return unstamp(at), err
}

func (tx *Tx) setMeta(key string, value int64) error {
	_, err := tx.exec("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value)
	return err
}

// BeginRestored is called when a server starts. If the database is a copy it takes the mark away and makes it fit to go
// on: numbers that may have been given after the copy are left out, and what was under way is not done a second time,
// since nobody knows whether it was done. It reports whether it did so.
//
// What people asked for ends, unanswered: they have their answer, or asked long ago. So do deployments that had not
// reached the cluster; builds go on, since their PipelineRuns have their names, but none is deployed until somebody
// resumes that: newer images may be running.
func (tx *Tx) BeginRestored() (kovra.Restore, bool, error) {
	since, copied, err := tx.Copied()
	if err != nil || !copied {
		return kovra.Restore{}, false, err
	}
	for _, step := range []func() error{
		func() error { return tx.noteRestore(stamp(since)) },
		func() error { return tx.skipNumbers(tx.now.Sub(since)) },
		tx.endActions, tx.ignoreComments, tx.endDeployments, tx.pauseDeployments,
	} {
		if err := step(); err != nil {
			return kovra.Restore{}, false, fmt.Errorf("begin with a restored database: %w", err)
		}
	}
	return kovra.Restore{Since: since, At: tx.now}, true, nil
}

func (tx *Tx) noteRestore(since int64) error {
	for key, value := range map[string]int64{metaSince: since, metaAt: stamp(tx.now)} {
		if err := tx.setMeta(key, value); err != nil {
			return err
		}
	}
	_, err := tx.exec("DELETE FROM meta WHERE key = ?", metaCopied)
	return err
}

func (tx *Tx) skipNumbers(missed time.Duration) error {
	for _, s := range skipped {
		if _, err := tx.exec("INSERT INTO sqlite_sequence (name, seq) SELECT ?1, 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?1)", s.table); err != nil {
			return err
		}
		if _, err := tx.exec("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = ?", s.by+int64(max(missed, 0)/s.every), s.table); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) endActions() error {
	open, err := list(tx, scanID, "SELECT id FROM actions WHERE state = 'wanted' OR state = 'tried' OR state = 'waits' ORDER BY id")
	if err != nil {
		return err
	}
	for _, id := range open {
		err := tx.FinishAction(id, kovra.ActionFailed, kovra.Outcome{Kind: kovra.Unclear, Reason: kovra.SaysRestored})
		if err != nil && kovra.KindOf(err) != kovra.NotFound { // what it was about may be gone
			return err
		}
	}
	_, err = tx.exec("UPDATE actions SET answered = 1, reply_url = NULL WHERE answered = 0")
	return err
}

// ignoreComments has no comment obeyed that was written before the copy and not looked at yet. All other webhooks tell
// state, and may be told again.
func (tx *Tx) ignoreComments() error {
	_, err := tx.exec("UPDATE deliveries SET outcome = ?, note = 'from before a restore', settled = ? WHERE outcome = '' AND kind LIKE '%Note Hook'",
		string(kovra.DeliveryIgnored), stamp(tx.now))
	return err
}

func (tx *Tx) endDeployments() error {
	open, err := tx.OpenDeployments()
	if err != nil {
		return err
	}
	for _, d := range open {
		if d.Phase >= kovra.PhaseMade {
			continue // its PipelineRun tells how it went
		}
		d.End(kovra.BuildCancelled, kovra.ReasonCancelled, kovra.SaysRestored, tx.now)
		if err := tx.SaveDeployment(&d); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) pauseDeployments() error {
	apps, err := list(tx, scanName, "SELECT app FROM build_settings ORDER BY app")
	if err != nil {
		return err
	}
	for _, app := range apps {
		s, err := tx.BuildSettings(app)
		if err != nil {
			return err
		}
		if !s.AutoDeploy || s.Paused {
			continue
		}
		head, err := tx.BuildHead(app)
		if err != nil {
			return err
		}
		s.Paused, s.PausedBy, s.PausedByRestore = true, kovra.Person{}, true
		if err := tx.SaveBuildSettings(s, head); err != nil {
			return err
		}
	}
	return nil
}

func scanName(s scanner) (name string, err error) {
	err = s.Scan(&name)
	return name, err
}
