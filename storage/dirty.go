package storage

import (
	"context"
	"iter"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// answerGrace is how long a request may wait for its action before the answer is
// taken to be orphaned: longer than any request lives.
const answerGrace = 10 * time.Second

// dirty is all that loops have yet to look at, a query per kind. ?1 is answerGrace ago, in milliseconds; what is that far in the
// future is from before the clock was set back.
var dirty = []struct {
	kind  kovra.RefKind
	query string
}{
	{kovra.RefDelivery, "SELECT 0 FROM (SELECT id FROM deliveries WHERE outcome = '' AND ?1 > 0 LIMIT 1)"},
	{kovra.RefRun, "SELECT id FROM runs WHERE (stale = 1 OR driven_version < version) AND ?1 > 0"},
	{kovra.RefBuild, "SELECT id FROM builds WHERE driven_version < version AND ?1 > 0"},
	{kovra.RefDeployment, "SELECT id FROM deployments WHERE driven_version < version AND ?1 > 0"},
	{kovra.RefThread, "SELECT id FROM threads WHERE shown_version < version AND broken = '' AND ?1 > 0"},
	{kovra.RefAction, "SELECT id FROM actions WHERE (state = 'wanted' OR state = 'tried' OR state = 'waits') AND ?1 > 0"},
	{kovra.RefAnswer, "SELECT id FROM actions WHERE answered = 0 AND finished_at <> 0 AND (late = 1 OR finished_at < ?1 OR finished_at > ?1 + 20000)"},
	{kovra.RefAnswer, "SELECT id FROM actions WHERE state = 'waits' AND prompted = 0 AND (created_at < ?1 OR created_at > ?1 + 20000)"},
	{kovra.RefNotice, "SELECT id FROM notices WHERE told = 0 AND ?1 > 0"},
	{kovra.RefHome, "SELECT id FROM homes WHERE shown_version < version AND ?1 > 0"},
}

// Dirty yields everything a loop has yet to look at. It is the only source of
// truth about pending work.
func (db *DB) Dirty(ctx context.Context) iter.Seq2[kovra.Ref, error] {
	return func(yield func(kovra.Ref, error) bool) {
		for _, d := range dirty {
			var ids []int64
			err := db.Read(ctx, func(tx *Tx) (err error) {
				ids, err = list(tx, scanID, d.query, stamp(tx.now.Add(-answerGrace)))
				return err
			})
			if err != nil {
				yield(kovra.Ref{}, err)
				return
			}
			for _, id := range ids {
				if !yield(kovra.Ref{Kind: d.kind, ID: id}, nil) {
					return
				}
			}
		}
	}
}
