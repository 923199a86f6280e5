package storage

import (
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// homeBumps counts how the version of a Home grows while something is done.
func homeBumps(t *testing.T, db *DB, user string, do func(*Tx) error) int64 {
	t.Helper()
	version := func() (v int64) {
		if err := db.Read(t.Context(), func(tx *Tx) error {
			h, err := tx.HomeOf(user)
			v = h.Version
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return v
	}
	before := version()
	if err := db.Update(t.Context(), do); err != nil {
		t.Fatal(err)
	}
	return version() - before
}

// TestHomeLearnsOfItsAction follows an action that was asked for in App Home, and one that was not.
func TestHomeLearnsOfItsAction(t *testing.T) {
	db := openNew(t)
	propose := func(lock string) (a kovra.Action) {
		t.Helper()
		if err := db.Update(t.Context(), func(tx *Tx) (err error) {
			a, _, err = tx.Propose(kovra.Action{Kind: kovra.ActCreateApp, App: "web", By: kovra.Person{ID: "U1"}, Lock: lock}, nil)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return a
	}
	mine, other := propose("a"), propose("b")
	if n := homeBumps(t, db, "U1", func(tx *Tx) error { return tx.LookAtHome(kovra.Home{User: "U1", Action: mine.ID}) }); n != 1 {
		t.Errorf("a look changes it by %d", n)
	}
	steps := []struct {
		name string
		do   func(*Tx) error
		want int64
	}{
		{"it waits", func(tx *Tx) error { return tx.WaitAction(mine.ID) }, 1},
		{"it goes on", func(tx *Tx) error { return tx.resumeActions("U1") }, 1},
		{"another one ends", func(tx *Tx) error { return tx.FinishAction(other.ID, kovra.ActionDone, kovra.Outcome{}) }, 0},
		{"it ends", func(tx *Tx) error { return tx.FinishAction(mine.ID, kovra.ActionDone, kovra.Outcome{}) }, 1},
	}
	for _, s := range steps {
		if n := homeBumps(t, db, "U1", s.do); n != s.want {
			t.Errorf("%s: the Home changes by %d, want %d", s.name, n, s.want)
		}
	}
}

// TestHomesFollowTheirApp has state change for those who look at an app, and for those who look at all.
func TestHomesFollowTheirApp(t *testing.T) {
	db := openNew(t)
	if err := db.Update(t.Context(), func(tx *Tx) error {
		for _, h := range []kovra.Home{{User: "U1", App: "web", Notice: "words", Tab: kovra.HomeBuilds}, {User: "U2"}} {
			if err := tx.LookAtHome(h); err != nil {
				return err
			}
		}
		return tx.SaveApp(kovra.App{Name: "web"})
	}); err != nil {
		t.Fatal(err)
	}
	link := func(tx *Tx) error { return tx.SaveApp(kovra.App{Name: "web", Project: 7}) }
	observe := func(tx *Tx) error {
		_, _, err := tx.Observe(kovra.Observation{Run: kovra.Run{Project: 7, Remote: 1, Status: kovra.Running}, At: time.Now()})
		return err
	}
	unsubscribe := func(tx *Tx) error { _, err := tx.DeleteSubscriptions("api", "C1", 0); return err }
	disconnect := func(tx *Tx) error { _, err := tx.Disconnect("U1"); return err }
	for _, s := range []struct {
		name string
		user string
		do   func(*Tx) error
		want bool
	}{
		{"a new app, seen by all", "U2", func(tx *Tx) error { return tx.SaveApp(kovra.App{Name: "api"}) }, true},
		{"a new app beside the one", "U1", func(tx *Tx) error { return tx.SaveApp(kovra.App{Name: "shop"}) }, true},
		{"another app has a project", "U1", func(tx *Tx) error { return tx.SaveApp(kovra.App{Name: "shop", Project: 9}) }, false},
		{"another app is deleted", "U1", func(tx *Tx) error { return tx.DeleteApp("shop") }, true},
		{"another app is heard of in a channel", "U1", func(tx *Tx) error { return tx.SaveSubscription(kovra.Subscription{App: "api", Channel: "C1"}) }, true},
		{"the same again", "U1", func(tx *Tx) error { return tx.SaveSubscription(kovra.Subscription{App: "api", Channel: "C1"}) }, false},
		{"it is not any more", "U1", unsubscribe, true},
		{"nor before", "U1", unsubscribe, false},
		{"they connect", "U1", func(tx *Tx) error { return tx.Connect("U1", kovra.GitLabUser{ID: 5}, kovra.TokenPair{}) }, true},
		{"somebody else connects", "U1", func(tx *Tx) error { return tx.Connect("U2", kovra.GitLabUser{ID: 6}, kovra.TokenPair{}) }, false},
		{"they disconnect", "U1", disconnect, true},
		{"they were disconnected", "U1", disconnect, false},
		{"a link", "U1", link, true},
		{"a pipeline", "U1", observe, true},
		{"a deleted app, seen by all", "U2", func(tx *Tx) error { return tx.DeleteApp("shop") }, true},
	} {
		if n := homeBumps(t, db, s.user, s.do); n > 0 != s.want {
			t.Errorf("%s: the Home changes by %d", s.name, n)
		}
	}
	if err := db.Read(t.Context(), func(tx *Tx) error {
		h, err := tx.HomeOf("U1")
		if h.Notice != "words" || h.Tab != kovra.HomeBuilds {
			t.Errorf("the Home is %+v", h)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
