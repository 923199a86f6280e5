package storage

import (
	"errors"
	"testing"

	"kovra.dev/chatops/internal/kovra"
)

// Only the newest deployment of an app can be rolled back: the threads of the one before are shown anew.
func TestNewDeploymentIsSeenInTheThreadsOfTheOneBefore(t *testing.T) {
	db := openNew(t)
	var first, second kovra.Build
	update := func(fn func(*Tx) error) {
		t.Helper()
		if err := db.Update(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	update(func(tx *Tx) (err error) {
		err = errors.Join(
			tx.SaveApp(kovra.App{Name: "web", Project: 7}),
			tx.SaveSubscription(kovra.Subscription{App: "web", Channel: "C1"}),
		)
		for _, b := range []*kovra.Build{&first, &second} {
			*b, _, err = tx.AddBuild(kovra.Build{App: "web", Project: 7, Spec: kovra.BuildSpec{Branch: "main"}}, "", false)
		}
		return err
	})
	state := func() (version, last int64) {
		t.Helper()
		err := db.Read(t.Context(), func(tx *Tx) error {
			threads, err := tx.ThreadsOfBuild(first.ID)
			if err != nil || len(threads) != 1 {
				t.Fatalf("%d threads, %v", len(threads), err)
			}
			v, err := tx.View(threads[0].ID)
			version, last = threads[0].Version, v.LastDeployment
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return version, last
	}
	deploy := func(build int64) (id int64) {
		update(func(tx *Tx) error {
			d, err := tx.AddDeployment(kovra.Deployment{App: "web", Build: build})
			id = d.ID
			return err
		})
		return id
	}
	if _, last := state(); last != 0 {
		t.Errorf("the last deployment is %d before there was one", last)
	}
	own := deploy(first.ID)
	before, last := state()
	if last != own {
		t.Errorf("the last deployment is %d, want %d", last, own)
	}
	other := deploy(second.ID)
	if after, last := state(); after <= before || last != other {
		t.Errorf("version %d after %d, last deployment %d, want %d", after, before, last, other)
	}
}
