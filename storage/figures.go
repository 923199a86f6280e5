package storage

import (
	"errors"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// Figures are numbers about the state, for those who watch it.
type Figures struct {
	Waiting       int64     // deliveries that were not looked at
	OldestWaiting time.Time // when the first of them came; zero: none waits
	Dead          int64     // deliveries that cannot be used
	// Open is what [DB.Dirty] would yield, by kind, but for deliveries.
	Open         map[kovra.RefKind]int64
	Builds       map[kovra.BuildPhase]int64 // that have not ended
	OldestQueued time.Time                  // when the build that is next was queued; zero: none is
}

// Figures counts. It reads indexes alone, so that it may be called often.
func (tx *Tx) Figures() (Figures, error) {
	f := Figures{Open: map[kovra.RefKind]int64{}, Builds: map[kovra.BuildPhase]int64{}}
	err := errors.Join(tx.count(&f.Waiting, "SELECT count(*) FROM deliveries WHERE outcome = ''"),
		tx.count(&f.Dead, "SELECT count(*) FROM deliveries WHERE outcome = ?", string(kovra.DeliveryDead)))
	for _, d := range dirty {
		if d.kind == kovra.RefDelivery {
			continue
		}
		var n int64
		err = errors.Join(err, tx.count(&n, "SELECT count(*) FROM ("+d.query+")", stamp(tx.now.Add(-answerGrace))))
		f.Open[d.kind] += n
	}
	for _, phase := range []kovra.BuildPhase{kovra.PhaseQueued, kovra.PhaseStarted, kovra.PhaseMade} {
		var n int64
		err = errors.Join(err, tx.count(&n, "SELECT count(*) FROM builds WHERE final = 0 AND phase = ?", int(phase)))
		f.Builds[phase] = n
	}
	if err != nil || f.Waiting == 0 && f.Builds[kovra.PhaseQueued] == 0 {
		return f, err
	}
	return f, tx.oldest(&f)
}

func (tx *Tx) count(to *int64, query string, args ...any) error {
	return tx.row(query, args...).Scan(to)
}

// oldest adds since when the first of each queue waits.
func (tx *Tx) oldest(f *Figures) error {
	at, err := tx.int("SELECT at FROM deliveries WHERE outcome = '' ORDER BY id LIMIT 1")
	if err != nil {
		return err
	}
	f.OldestWaiting = unstamp(at)
	queued, err := list(tx, tx.scanBuild, "SELECT "+buildColumns+" FROM builds WHERE final = 0 AND phase = 0 ORDER BY id LIMIT 1")
	if err == nil && len(queued) > 0 {
		f.OldestQueued = queued[0].CreatedAt
	}
	return err
}
