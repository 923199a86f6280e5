package app

import (
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// A clock that leaps ahead makes nothing old: what is forgotten would not come back when somebody sets it right. One that
// goes on as it is for a day is believed.
func TestNothingIsForgottenAfterALeap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead := time.Duration(0)
		o := newOutside().options()
		o.Now = func() time.Time { return time.Now().Add(ahead) }
		a := built(t, o)
		defer a.Close()
		err := a.db.Update(t.Context(), func(tx *storage.Tx) error {
			_, _, failed := tx.Observe(kovra.Observation{Run: kovra.Run{Project: webProject, Remote: 5, Status: kovra.Success}})
			_, err := tx.AddDelivery(kovra.Delivery{Key: "k", Kind: "Push Hook", Body: []byte("{}"), At: time.Now()})
			return errors.Join(failed, err, tx.SettleDelivery(1, kovra.DeliveryIgnored, "", webProject))
		})
		if err != nil {
			t.Fatal(err)
		}
		left := func() (deliveries, runs int) {
			t.Helper()
			if err := errors.Join(a.sweep(t.Context()), a.forget(t.Context())); err != nil {
				t.Fatal(err)
			}
			err := a.db.Read(t.Context(), func(tx *storage.Tx) error {
				found, err := tx.Deliveries(storage.DeliveryQuery{Limit: 9})
				if deliveries = len(found); err != nil {
					return err
				}
				if _, err := tx.RunByRemote(webProject, 5); kovra.KindOf(err) != kovra.NotFound {
					runs = 1
					return err
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return deliveries, runs
		}
		for _, step := range []struct {
			when string
			wait time.Duration
			leap time.Duration
			want int
		}{
			{"before", time.Minute, 0, 1},
			{"two years ahead", time.Minute, 2 * 365 * 24 * time.Hour, 1},
			{"still ahead", 23 * time.Hour, 0, 1},
			{"set right", time.Minute, -2 * 365 * 24 * time.Hour, 1},
			{"ahead again", 25 * time.Hour, 2 * 365 * 24 * time.Hour, 1},
			{"ahead for a day", 25 * time.Hour, 0, 0},
		} {
			<-time.After(step.wait)
			ahead += step.leap
			if d, r := left(); d != step.want || r != step.want {
				t.Errorf("%s: %d deliveries and %d runs, want %d", step.when, d, r, step.want)
			}
		}
	})
}

// A server that starts with a clock that leapt while none ran forgets nothing either, nor does the one after it.
func TestNothingIsForgottenAfterALeapBetweenServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead := time.Duration(0)
		o := newOutside().options()
		o.Now = func() time.Time { return time.Now().Add(ahead) }
		database := "KOVRA_DATABASE_URL=sqlite:" + filepath.Join(t.TempDir(), "kovra.db")
		a := built(t, o, database)
		err := a.db.Update(t.Context(), func(tx *storage.Tx) error {
			_, err := tx.AddDelivery(kovra.Delivery{Key: "k", Kind: "Push Hook", Body: []byte("{}"), At: time.Now()})
			return errors.Join(err, tx.SettleDelivery(1, kovra.DeliveryIgnored, "", webProject))
		})
		if err := errors.Join(err, a.Close()); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			when string
			leap time.Duration // before the start
			run  time.Duration // from the start to the look
			want int
		}{
			{"two years ahead", 2 * 365 * 24 * time.Hour, time.Minute, 1},
			{"started again", 0, time.Minute, 1},
			{"set right", -2 * 365 * 24 * time.Hour, time.Minute, 1},
			{"as it is", 0, 25 * time.Hour, 1},
			{"ahead again", 2 * 365 * 24 * time.Hour, 23 * time.Hour, 1},
			{"ahead for a day", 0, 2 * time.Hour, 0},
		} {
			ahead += step.leap
			a := built(t, o, database)
			<-time.After(step.run)
			found := 0
			err := a.sweep(t.Context())
			if err == nil {
				err = a.db.Read(t.Context(), func(tx *storage.Tx) error {
					all, err := tx.Deliveries(storage.DeliveryQuery{Limit: 9})
					found = len(all)
					return err
				})
			}
			if err := errors.Join(err, a.Close()); err != nil {
				t.Fatal(err)
			}
			if found != step.want {
				t.Errorf("%s: %d deliveries, want %d", step.when, found, step.want)
			}
		}
	})
}
