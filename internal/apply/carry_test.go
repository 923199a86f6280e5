package apply

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

func openDB(t *testing.T) *storage.DB {
	t.Helper()
	db, err := storage.Open(t.Context(), storage.Options{Path: filepath.Join(t.TempDir(), "kovra.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func update(t *testing.T, db *storage.DB, fn func(*storage.Tx) error) {
	t.Helper()
	if err := db.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// read reads the state of a database.
func read(t *testing.T, db *storage.DB) (now State) {
	t.Helper()
	err := db.Read(t.Context(), func(tx *storage.Tx) (err error) {
		now, err = ReadState(tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return now
}

// TestCarry: a plan becomes actions in its order, all of them or none, and their ends are told as they come.
func TestCarry(t *testing.T) {
	db := openDB(t)
	update(t, db, func(tx *storage.Tx) error {
		return errors.Join(
			tx.SaveProject(kovra.Project{ID: 7, Path: "group/web"}), tx.SaveApp(kovra.App{Name: "web", Project: 7}),
			tx.SaveSubscription(kovra.Subscription{App: "web", Channel: "C2"}),
		)
	})
	d := decode(t, "apps:\n  web: {project: group/web, channels: {C1: tags}}\n  new: {project: group/web}")
	o := Options{Prune: true}
	plan, err := Prepare(t.Context(), d, read(t, db), &peers{}, o)
	if err != nil {
		t.Fatal(err)
	}
	ci, err := kovra.Operator("ci")
	if err != nil {
		t.Fatal(err)
	}

	// Somebody changes something between the plan and its carrying out: nothing is proposed.
	update(t, db, func(tx *storage.Tx) error { return tx.SaveSubscription(kovra.Subscription{App: "web", Channel: "C9"}) })
	if _, err := plan.Propose(t.Context(), db, d, o, ci); kovra.KindOf(err) != kovra.Conflict {
		t.Errorf("error %v", err)
	}
	if open := operatorActions(t, db); len(open) > 0 {
		t.Errorf("proposed all the same: %+v", open)
	}
	if plan, err = Compare(d, read(t, db), o); err != nil {
		t.Fatal(err)
	}
	ids, err := plan.Propose(t.Context(), db, d, o, ci)
	if err != nil {
		t.Fatal(err)
	}
	open := operatorActions(t, db)
	var kinds []kovra.ActionKind
	for i, a := range open {
		kinds = append(kinds, a.Kind)
		if a.ID != ids[i] || a.By != ci {
			t.Errorf("action %+v is not number %d", a, ids[i])
		}
	}
	if diff := cmp.Diff([]kovra.ActionKind{kovra.ActLink, kovra.ActSubscribe, kovra.ActUnsubscribe, kovra.ActUnsubscribe}, kinds); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// Another process ends them, one at each look.
	var ended []int
	left, err := Await(t.Context(), db, ids, func(place int, a kovra.Action) {
		ended = append(ended, place)
		if a.State != kovra.ActionDone {
			t.Errorf("ended in the state %s", a.State)
		}
	}, func(open []kovra.Action) bool {
		last := open[len(open)-1].ID
		update(t, db, func(tx *storage.Tx) error { return tx.FinishAction(last, kovra.ActionDone, kovra.Outcome{}) })
		return true
	})
	if diff := cmp.Diff([]int{3, 2, 1, 0}, ended); diff != "" || left != 0 || err != nil {
		t.Errorf("%d left, %v (-want +got):\n%s", left, err, diff)
	}
}

func operatorActions(t *testing.T, db *storage.DB) (open []kovra.Action) {
	t.Helper()
	update(t, db, func(tx *storage.Tx) (err error) {
		open, err = tx.OperatorActions()
		return err
	})
	return open
}

// TestAwaitEnds: somebody who gives up, a context that ends and a database that is gone leave what was not told.
func TestAwaitEnds(t *testing.T) {
	db := openDB(t)
	var ids []int64
	update(t, db, func(tx *storage.Tx) error {
		for _, app := range []string{"a", "b"} {
			a, _, err := tx.Propose(kovra.Action{Kind: kovra.ActCreateApp, App: app, By: kovra.Person{Operator: "ci"}}, nil)
			if err != nil {
				return err
			}
			ids = append(ids, a.ID)
		}
		return nil
	})
	nothing := func(int, kovra.Action) { t.Error("one has ended") }
	if left, err := Await(t.Context(), db, ids, nothing, func([]kovra.Action) bool { return false }); left != 2 || err != nil {
		t.Errorf("given up: %d left, %v", left, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	left, err := Await(ctx, db, ids, nothing, func([]kovra.Action) bool { cancel(); return true })
	if left != 2 || !errors.Is(err, context.Canceled) {
		t.Errorf("told to stop: %d left, %v", left, err)
	}
	if left, err := Await(t.Context(), db, []int64{ids[0], 99}, nothing, func([]kovra.Action) bool { return true }); left != 2 || kovra.KindOf(err) != kovra.NotFound {
		t.Errorf("gone: %d left, %v", left, err)
	}
}

func TestResult(t *testing.T) {
	done := func(kind kovra.ActionKind, o kovra.Outcome) kovra.Action {
		return kovra.Action{Kind: kind, State: kovra.ActionDone, Outcome: o}
	}
	for name, c := range map[string]struct {
		a    kovra.Action
		want []string
	}{
		"done":       {done(kovra.ActSubscribe, kovra.Outcome{Member: true}), []string{"done    do it"}},
		"not member": {done(kovra.ActSubscribe, kovra.Outcome{}), []string{"done    do it", "        The bot is not in the channel, so nothing is posted there until somebody invites it."}},
		"no hook": {
			done(kovra.ActLink, kovra.Outcome{Hook: kovra.HookByHand, HookNote: "GitLab says\x1b[2J no.", Reason: "Something else."}),
			[]string{"done    do it", "        Something else.", "        The webhook of the project is not set up: GitLab says\uFFFD[2J no."},
		},
		"failed": {kovra.Action{State: kovra.ActionFailed, Outcome: kovra.Outcome{Reason: "GitLab does not let the bot do that."}}, []string{"failed  do it: GitLab does not let the bot do that."}},
		"asks":   {kovra.Action{State: kovra.ActionAsks, Outcome: kovra.Outcome{Reason: "Really?"}}, []string{"failed  do it: Really?"}},
	} {
		if diff := cmp.Diff(c.want, Step{Title: "do it"}.Result(c.a)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
