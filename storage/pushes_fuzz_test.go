package storage_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// history is what really happened to a branch, and how it is told.
type history struct {
	t       *testing.T
	db      *storage.DB
	project int64 // its app is called by the number
	// at are the commits that the branch was at, one after the other; "" while it was deleted.
	at   []string
	told []int // moves, in order, for whoever reads a failure
}

// live has the branch move: to a new commit, back to an older one, or away.
func live(tape *tape) []string {
	at := []string{"c0"}
	for n := range 2 + tape.next(8) {
		next := fmt.Sprint("c", n+1)
		switch tape.next(6) {
		case 0:
			next = at[tape.next(len(at))]
		case 1:
			next = ""
		}
		if next != at[len(at)-1] {
			at = append(at, next)
		}
	}
	return at
}

func (h *history) app() string { return fmt.Sprint("app", h.project) }

// begin has an app build the branch from its first state on.
func (h *history) begin() {
	h.t.Helper()
	err := h.db.Update(h.t.Context(), func(tx *storage.Tx) error {
		if err := tx.SaveApp(kovra.App{Name: h.app(), Project: h.project}); err != nil {
			return err
		}
		s := kovra.DefaultBuildSettings(h.app())
		s.Enabled = true
		return tx.SaveBuildSettings(s, h.at[0])
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *history) tell(p kovra.Push) kovra.PushTaken {
	h.t.Helper()
	p.Project, p.Ref = h.project, "main"
	var taken kovra.PushTaken
	err := h.db.Update(h.t.Context(), func(tx *storage.Tx) (err error) {
		taken, err = tx.TakePush(p)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return taken
}

// move tells the push that took the branch from its state i to the next.
func (h *history) move(i int) kovra.PushTaken {
	h.t.Helper()
	h.told = append(h.told, i)
	return h.tell(kovra.Push{Before: h.at[i], After: h.at[i+1]})
}

func (h *history) now() string { return h.at[len(h.at)-1] }

// check wants the head to be where the branch is, and its commit to be the one that is built or was built last.
func (h *history) check(what string) {
	h.t.Helper()
	err := h.db.Read(h.t.Context(), func(tx *storage.Tx) error {
		head, err := tx.BuildHead(h.app())
		if err != nil {
			return err
		}
		if head != h.now() {
			h.t.Errorf("%s: head %q, want %q; the branch was at %q, and was told of %d", what, head, h.now(), h.at, h.told)
		}
		builds, err := tx.Builds(storage.BuildQuery{App: h.app(), Limit: 1000})
		var pending []string
		for i := range builds {
			if b := &builds[i]; b.CanCancel() {
				pending = append(pending, b.Spec.Commit)
			}
		}
		if len(pending) > 1 || len(pending) == 0 && len(builds) > 0 || len(pending) == 1 && h.now() != "" && pending[0] != h.now() {
			h.t.Errorf("%s: builds of %q are pending, want one of %q; the branch was at %q, and was told of %d", what, pending, h.now(), h.at, h.told)
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// FuzzPushes tells what happened to a branch in any order, some of it never, some of it more than once, and then has GitLab read:
// the newest commit is what is built, and what was told before changes nothing any more.
func FuzzPushes(f *testing.F) {
	f.Add([]byte(nil))
	for seed := range uint64(16) {
		r := rand.New(rand.NewPCG(seed, 11))
		b := make([]byte, 64)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b)
	}
	db, err := storage.Open(f.Context(), storage.Options{Path: filepath.Join(f.TempDir(), "state.db")})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = db.Close() })
	var projects atomic.Int64
	f.Fuzz(func(t *testing.T, b []byte) {
		tape := &tape{b: b}
		h := &history{t: t, db: db, project: projects.Add(1), at: live(tape)}
		h.begin()
		h.play(tape)
	})
}

// play tells what happened as the tape wants it, and checks.
func (h *history) play(tape *tape) {
	h.t.Helper()
	told := map[int]bool{}
	for range tape.next(2 * len(h.at)) {
		if i := tape.next(len(h.at)); i+1 < len(h.at) {
			h.move(i)
			told[i] = true
		}
	}
	read := kovra.Push{After: h.now(), Read: true}
	h.tell(read)
	h.check("after a re-read")
	for i := range told {
		if taken := h.move(i); taken.Builds > 0 || taken.Moved {
			h.t.Errorf("the move from %q was told before and is news: %+v; the branch was at %q", h.at[i], taken, h.at)
		}
	}
	for i := range len(h.at) - 1 {
		h.move(i)
	}
	h.tell(read)
	h.check("after late webhooks and another re-read")
}
