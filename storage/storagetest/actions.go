package storagetest

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

func testPropose(w *world) {
	a := kovra.Action{
		Kind: kovra.ActPlay, App: "web", Run: 3, Job: 52, Channel: "C1", Lock: "play/52",
		By:       kovra.Person{ID: "UALICE", Name: "alice", Team: "T1"},
		Params:   kovra.Params{Ref: "main", Variables: []string{"KEY"}, Inputs: map[string]string{"env": "prod"}, Jobs: []int64{52}},
		ReplyURL: "https://reply.example/1",
	}
	got := w.propose(a, nil)
	a.ID, a.State, a.CreatedAt = got.ID, kovra.ActionWanted, w.now()
	w.same("returned", a, got)
	w.same("stored", a, w.action(got.ID))
	w.same("told", [][]kovra.Ref{{actionRef(got.ID)}}, w.notices())
	w.same("no secret", 0, len(get(w, func(tx *storage.Tx) ([]byte, error) { return tx.Secret(got.ID) })))
}

func testLock(w *world) {
	try := func(a kovra.Action) (got kovra.Action, made bool) {
		w.update(func(tx *storage.Tx) (err error) {
			got, made, err = tx.Propose(a, []byte("secret"))
			return err
		})
		return got, made
	}
	alice := kovra.Action{Kind: kovra.ActRetry, Lock: "retry/3/1", By: kovra.Person{ID: "UALICE"}}
	bob := kovra.Action{Kind: kovra.ActRetry, Lock: "retry/3/1", By: kovra.Person{ID: "UBOB"}}
	first, made := try(alice)
	if !made {
		w.t.Fatal("the first click does not win")
	}
	w.notices()
	for _, state := range []kovra.ActionState{kovra.ActionWanted, kovra.ActionTried, kovra.ActionDone} {
		switch state {
		case kovra.ActionTried:
			w.update(func(tx *storage.Tx) error { return tx.TryAction(first.ID, first.Params) })
		case kovra.ActionDone:
			w.finish(first.ID, kovra.ActionDone, kovra.Outcome{})
			w.notices()
		default:
		}
		if got, made := try(bob); made || got.ID != first.ID || got.By.ID != "UALICE" || got.State != state {
			w.t.Errorf("second click while %s: made %t, %+v", state, made, got)
		}
		w.same("told of nothing", [][]kovra.Ref(nil), w.notices())
	}
	w.finish(first.ID, kovra.ActionFailed, kovra.Outcome{})
	second, made := try(bob)
	if !made || second.ID == first.ID {
		w.t.Errorf("after a failure: made %t, %+v", made, second)
	}
	if _, made := try(kovra.Action{Kind: kovra.ActRetry, Lock: "retry/3/2"}); !made {
		w.t.Error("another lock is taken")
	}
	for range 2 {
		if _, made := try(kovra.Action{Kind: kovra.ActRun}); !made {
			w.t.Error("an action without a lock was not recorded")
		}
	}
}

// testLockRace: many click at once, one wins, all learn who.
func testLockRace(w *world) {
	const clicks = 32
	var won atomic.Int64
	ids := make([]int64, clicks)
	together(clicks, func(i int) {
		err := w.db.Update(w.t.Context(), func(tx *storage.Tx) error {
			a, made, err := tx.Propose(kovra.Action{Kind: kovra.ActCancel, Lock: "cancel/1"}, nil)
			ids[i] = a.ID
			if made {
				won.Add(1)
			}
			return err
		})
		if err != nil {
			w.t.Errorf("click %d: %v", i, err)
		}
	})
	if won.Load() != 1 {
		w.t.Errorf("%d clicks won", won.Load())
	}
	for _, id := range ids {
		w.same("the winner", ids[0], id)
	}
}

func testActionLife(w *world) {
	a := w.propose(kovra.Action{Kind: kovra.ActRun, App: "web", By: kovra.Person{ID: "UALICE"}}, nil)
	open := func() (ids []int64) {
		for _, a := range get(w, func(tx *storage.Tx) ([]kovra.Action, error) { return tx.OpenActions(kovra.ActRun) }) {
			ids = append(ids, a.ID)
		}
		return ids
	}
	later := w.propose(kovra.Action{Kind: kovra.ActRun}, nil)
	w.propose(kovra.Action{Kind: kovra.ActCancel}, nil)
	w.same("open, oldest first", []int64{a.ID, later.ID}, open())

	w.pass(time.Second)
	w.update(func(tx *storage.Tx) error { return tx.TryAction(a.ID, kovra.Params{Ref: "main", Floor: 40}) })
	got := w.action(a.ID)
	if got.State != kovra.ActionTried || got.Params.Floor != 40 || !got.TriedAt.Equal(w.now()) || got.By.ID != "UALICE" || !got.Open() {
		w.t.Errorf("tried: %+v", got)
	}
	w.update(func(tx *storage.Tx) error { return tx.UntryAction(a.ID) })
	w.same("not tried after all", kovra.ActionWanted, w.action(a.ID).State)
	w.same("still open", []int64{a.ID, later.ID}, open())

	w.pass(time.Second)
	w.finish(a.ID, kovra.ActionAsks, kovra.Outcome{Reason: "Really?"})
	got = w.action(a.ID)
	if got.State != kovra.ActionAsks || got.Outcome.Reason != "Really?" || got.Params.Floor != 40 || !got.FinishedAt.Equal(w.now()) {
		w.t.Errorf("finished: %+v", got)
	}
	w.same("one is left", []int64{later.ID}, open())
	w.update(func(tx *storage.Tx) error { return tx.UntryAction(a.ID) })
	w.same("what has ended stays so", kovra.ActionAsks, w.action(a.ID).State)
}

// testActionBumpsRun: what was done to a run is shown in its threads.
func testActionBumpsRun(w *world) {
	w.link("web", group, "C1")
	run := w.observe(pipeline(5, kovra.Running))
	thread := w.threads(run.ID)[0]
	about := w.propose(kovra.Action{Kind: kovra.ActCancel, Run: run.ID}, nil)
	made := w.propose(kovra.Action{Kind: kovra.ActRun}, nil)
	w.settle()
	for _, a := range []kovra.Action{about, made} {
		w.finish(a.ID, kovra.ActionDone, kovra.Outcome{Run: run.ID, Remote: 5})
		w.same("told", [][]kovra.Ref{{actionRef(a.ID), answerRef(a.ID), runRef(run.ID), threadRef(thread.ID)}}, w.notices())
		w.same("belongs to the run", run.ID, w.action(a.ID).Run)
	}
	w.same("version", run.Version+2, w.run(run.ID).Version)
	none := w.propose(kovra.Action{Kind: kovra.ActLink}, nil)
	w.notices()
	w.finish(none.ID, kovra.ActionDone, kovra.Outcome{})
	w.same("of no run", [][]kovra.Ref{{actionRef(none.ID), answerRef(none.ID)}}, w.notices())
}

func testActionPages(w *world) {
	var ids []int64
	for i := range int64(6) {
		app := "web"
		if i%2 == 1 {
			app = "api"
		}
		ids = append(ids, w.propose(kovra.Action{Kind: kovra.ActRun, App: app, Run: 1 + i/3}, nil).ID)
	}
	for _, c := range []struct {
		name  string
		query storage.ActionQuery
		want  []int64 // indexes of ids
	}{
		{"all, newest first", storage.ActionQuery{Limit: 9}, []int64{5, 4, 3, 2, 1, 0}},
		{"page", storage.ActionQuery{Limit: 2}, []int64{5, 4}},
		{"next page", storage.ActionQuery{Before: ids[4], Limit: 2}, []int64{3, 2}},
		{"app", storage.ActionQuery{App: "api", Limit: 9}, []int64{5, 3, 1}},
		{"run", storage.ActionQuery{Run: 1, Limit: 9}, []int64{2, 1, 0}},
		{"app and run", storage.ActionQuery{App: "web", Run: 2, Limit: 9}, []int64{4}},
		{"older of app", storage.ActionQuery{App: "web", Before: ids[4], Limit: 1}, []int64{2}},
		{"unknown app", storage.ActionQuery{App: "cli", Limit: 9}, nil},
	} {
		var got []int64
		for _, a := range get(w, func(tx *storage.Tx) ([]kovra.Action, error) { return tx.Actions(c.query) }) {
			got = append(got, a.ID-ids[0])
		}
		w.same(c.name, c.want, got)
	}
}

// holds reports whether any file of the database has the bytes.
func (w *world) holds(secret string) bool {
	w.t.Helper()
	files, err := filepath.Glob(w.options.Path + "*")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f) //nolint:gosec // our own database
		if errors.Is(err, fs.ErrNotExist) {
			continue // a journal that went away meanwhile
		}
		if err != nil {
			w.t.Fatal(err)
		}
		if bytes.Contains(b, []byte(secret)) {
			return true
		}
	}
	return false
}

func testSecret(w *world) {
	const secret, name = "hunter2-very-secret-value", "NAME_OF_THE_VARIABLE"
	for _, end := range []kovra.ActionState{kovra.ActionDone, kovra.ActionFailed, kovra.ActionAsks} {
		a := w.propose(kovra.Action{Kind: kovra.ActRun, Params: kovra.Params{Variables: []string{name}}}, []byte(secret))
		kept := func() string {
			return string(get(w, func(tx *storage.Tx) ([]byte, error) { return tx.Secret(a.ID) }))
		}
		w.same("kept", secret, kept())
		w.update(func(tx *storage.Tx) error { return tx.TryAction(a.ID, a.Params) })
		w.same("kept while it is tried", secret, kept())
		if w.holds(secret) {
			w.t.Error("the secret can be read in the file")
		}
		w.finish(a.ID, end, kovra.Outcome{})
		w.same("wiped when "+string(end), "", kept())
	}
	if _, err := os.Stat(w.options.Path); err == nil && !w.holds(name) {
		w.t.Error("the search in the file finds nothing at all")
	}
	w.reopen()
	if w.holds(secret) {
		w.t.Error("the secret can be read in the closed file")
	}
}

func testReplyURL(w *world) {
	const url = "https://hooks.slack.example/commands/capability"
	a := w.propose(kovra.Action{Kind: kovra.ActRun, ReplyURL: url}, nil)
	w.same("kept", url, w.action(a.ID).ReplyURL)
	w.finish(a.ID, kovra.ActionDone, kovra.Outcome{})
	w.same("kept for the answer", url, w.action(a.ID).ReplyURL)
	if w.holds(url) {
		w.t.Error("the reply address can be read in the file")
	}
	if !put(w, func(tx *storage.Tx) (bool, error) { return tx.ClaimAnswer(a.ID) }) {
		w.t.Error("the answer cannot be claimed")
	}
	got := w.action(a.ID)
	if got.ReplyURL != "" || !got.Answered {
		w.t.Errorf("claimed: %+v", got)
	}
}

func testClaimAnswerOnce(w *world) {
	a := w.propose(kovra.Action{Kind: kovra.ActRun}, nil)
	var claimed atomic.Int64
	together(32, func(int) {
		err := w.db.Update(w.t.Context(), func(tx *storage.Tx) error {
			ok, err := tx.ClaimAnswer(a.ID)
			if ok {
				claimed.Add(1)
			}
			return err
		})
		if err != nil {
			w.t.Error(err)
		}
	})
	if claimed.Load() != 1 {
		w.t.Errorf("claimed %d times", claimed.Load())
	}
	if put(w, func(tx *storage.Tx) (bool, error) { return tx.ClaimAnswer(404) }) {
		w.t.Error("the answer of no action was claimed")
	}
}

func testLate(w *world) {
	a := w.propose(kovra.Action{Kind: kovra.ActRun}, nil)
	w.notices()
	w.update(func(tx *storage.Tx) error { return tx.MarkLate(a.ID) })
	w.same("late", true, w.action(a.ID).Late)
	w.same("told", [][]kovra.Ref{{answerRef(a.ID)}}, w.notices())
	w.same("nothing to say yet", []kovra.Ref(nil), w.dirty(kovra.RefAnswer))
	w.finish(a.ID, kovra.ActionDone, kovra.Outcome{})
	w.same("due", []kovra.Ref{answerRef(a.ID)}, w.dirty(kovra.RefAnswer))
}
