package apply

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// lookEvery is how often it is looked how far the server is. Another process writes, so no notice comes.
const lookEvery = 200 * time.Millisecond

// Propose writes all steps of a plan down as actions of a person, in one transaction, and returns their ids in the order of
// [Plan.Steps]. Where the state is not any more what the plan was made of, nothing is written, and the error is of kind Conflict.
func (p Plan) Propose(ctx context.Context, db *storage.DB, d *Document, o Options, by kovra.Person) ([]int64, error) {
	var ids []int64
	err := db.Update(ctx, func(tx *storage.Tx) error {
		ids = nil
		now, err := ReadState(tx)
		if err != nil {
			return err
		}
		again, err := Compare(d, now, o)
		if err != nil {
			return err
		}
		steps := again.Steps()
		if !reflect.DeepEqual(steps, p.Steps()) {
			return kovra.Errorf(kovra.Conflict, "somebody has changed something meanwhile, so nothing was done; please try again")
		}
		for _, s := range steps {
			s.Action.By = by
			a, _, err := tx.Propose(s.Action, nil)
			if err != nil {
				return fmt.Errorf("propose to %s: %w", s.Title, err)
			}
			ids = append(ids, a.ID)
		}
		return nil
	})
	return ids, err
}

// Await calls ended for each action once it has ended, with its place in ids, until all have. waits is called now and then with
// those that have not, and reports false to give up on them. It returns how many were given up.
func Await(ctx context.Context, db *storage.DB, ids []int64, ended func(place int, a kovra.Action), waits func(open []kovra.Action) bool) (int, error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	done, left := make([]bool, len(ids)), len(ids)
	for {
		var open, over []kovra.Action
		var places []int
		err := db.Read(ctx, func(tx *storage.Tx) error {
			for i, id := range ids {
				if done[i] {
					continue
				}
				a, err := tx.Action(id)
				if err != nil {
					return err
				}
				if a.Open() {
					open = append(open, a)
					continue
				}
				over, places = append(over, a), append(places, i)
			}
			return nil
		})
		if err != nil {
			return left, fmt.Errorf("look for what became of it: %w", err)
		}
		for n, a := range over {
			done[places[n]] = true
			ended(places[n], a)
		}
		if left = len(open); left == 0 || !waits(open) {
			return left, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return left, ctx.Err()
		}
	}
}
