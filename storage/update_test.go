package storage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
)

var errTest = errors.New("no luck")

// gated is a database whose next commit can be held up.
type gated struct {
	*DB
	hold    atomic.Bool
	held    chan struct{}
	release chan error
}

func openGated(t *testing.T) *gated {
	t.Helper()
	g := &gated{held: make(chan struct{}), release: make(chan error)}
	g.DB = openAt(t, Options{
		Path: filepath.Join(t.TempDir(), "state.db"),
		Interrupt: func(committed bool) error {
			if committed || !g.hold.CompareAndSwap(true, false) {
				return nil
			}
			g.held <- struct{}{}
			return <-g.release
		},
	})
	return g
}

// holdUp starts an update and returns when it stands before its commit.
func (g *gated) holdUp(t *testing.T, key string) (ended chan error) {
	t.Helper()
	g.hold.Store(true)
	ended = make(chan error, 1)
	ctx := t.Context()
	go func() { ended <- g.Update(ctx, add(key)) }()
	<-g.held
	return ended
}

func (g *gated) queued() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// TestGroupCommit: all who wait while one commits share the next commit.
func TestGroupCommit(t *testing.T) {
	for _, n := range []int{1, 2, 64, mostTogether, mostTogether + 1} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			g := openGated(t)
			first := g.holdUp(t, "first")
			var wg sync.WaitGroup
			want := []string{"first"}
			for i := range n {
				key := fmt.Sprintf("k%04d", i)
				want = append(want, key)
				wg.Go(func() {
					if err := g.Update(t.Context(), add(key)); err != nil {
						t.Error(err)
					}
				})
			}
			until(t, "all wait", func() bool { return g.queued() == n })
			g.release <- nil
			wg.Wait()
			if err := <-first; err != nil {
				t.Error(err)
			}
			commits := 2 + (n-1)/mostTogether
			if got := g.Commits(); got != int64(commits) {
				t.Errorf("%d commits for 1 and %d updates, want %d", got, n, commits)
			}
			if diff := cmp.Diff(want, added(t, g.DB)); diff != "" {
				t.Errorf("deliveries (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFailuresStayAlone: in one commit, one update fails, one panics, one is
// given up, and the others are kept.
func TestFailuresStayAlone(t *testing.T) {
	g := openGated(t)
	var heard [][]kovra.Ref
	g.OnChange(func(refs []kovra.Ref) { heard = append(heard, refs) })
	first := g.holdUp(t, "first")
	var wg sync.WaitGroup
	fails := func(key string) func(*Tx) error {
		return func(tx *Tx) error { return errors.Join(add(key)(tx), tx.MarkStale(404), errTest) }
	}
	for i := range 10 {
		wg.Go(func() {
			if err := g.Update(t.Context(), add(fmt.Sprintf("good%d", i))); err != nil {
				t.Errorf("a good one: %v", err)
			}
		})
	}
	wg.Go(func() {
		if err := g.Update(t.Context(), fails("bad")); !errors.Is(err, errTest) {
			t.Errorf("the bad one: %v", err)
		}
	})
	wg.Go(func() {
		defer func() {
			if p := recover(); p != "at the disco" {
				t.Errorf("panic %v reaches the caller", p)
			}
		}()
		err := g.Update(t.Context(), func(tx *Tx) error {
			_ = fails("panic")(tx)
			panic("at the disco")
		})
		t.Errorf("the panic was lost: %v", err)
	})
	until(t, "all wait", func() bool { return g.queued() == 12 })
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- g.Update(ctx, add("given up")) }()
	until(t, "it waits, too", func() bool { return g.queued() == 13 })
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("given up while it waits: %v", err)
	}
	if got := g.queued(); got != 12 {
		t.Errorf("%d updates are queued, want 12", got)
	}
	g.release <- nil
	wg.Wait()
	if err := <-first; err != nil {
		t.Error(err)
	}
	want := []string{"first"}
	for i := range 10 {
		want = append(want, fmt.Sprintf("good%d", i))
	}
	if diff := cmp.Diff(want, added(t, g.DB)); diff != "" {
		t.Errorf("deliveries (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([][]kovra.Ref{{{Kind: kovra.RefDelivery}}, {{Kind: kovra.RefDelivery}}}, heard); diff != "" {
		t.Errorf("notices (-want +got):\n%s", diff)
	}
	if g.Commits() != 2 {
		t.Errorf("%d commits, want 2", g.Commits())
	}
}

func TestUpdateCancelled(t *testing.T) {
	db := openNew(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := db.Update(ctx, func(*Tx) error {
		t.Error("ran with a cancelled context")
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %v", err)
	}
	// Cancelled while it runs: it is begun, so it ends.
	ctx, cancel = context.WithCancel(t.Context())
	err = db.Update(ctx, func(tx *Tx) error {
		cancel()
		return add("begun")(tx)
	})
	if err != nil {
		t.Errorf("cancelled while it runs: %v", err)
	}
	if got := added(t, db); !slices.Equal(got, []string{"begun"}) {
		t.Errorf("deliveries %v", got)
	}
}

// TestTakenUpdateIsNotRunForOneWhoLeft: its caller left after it was taken for the
// commit and before its turn.
func TestTakenUpdateIsNotRunForOneWhoLeft(t *testing.T) {
	g := openGated(t)
	first := g.holdUp(t, "first")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := g.Update(t.Context(), func(*Tx) error { cancel(); return nil }); err != nil {
			t.Error(err)
		}
	})
	until(t, "one waits", func() bool { return g.queued() == 1 })
	wg.Go(func() {
		if err := g.Update(ctx, add("late")); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want cancelled", err)
		}
	})
	until(t, "two wait", func() bool { return g.queued() == 2 })
	g.release <- nil
	wg.Wait()
	<-first
	if got := added(t, g.DB); !slices.Equal(got, []string{"first"}) {
		t.Errorf("deliveries %v", got)
	}
}

// TestInterrupt is what the chaos tests kill the program with.
func TestInterrupt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	var before, after error
	db := openAt(t, Options{Path: path, Interrupt: func(committed bool) error {
		if committed {
			return after
		}
		return before
	}})
	heard := 0
	db.OnChange(func([]kovra.Ref) { heard++ })

	before = errTest
	if err := db.Update(t.Context(), add("undone")); !errors.Is(err, errTest) || !strings.Contains(err.Error(), "commit") {
		t.Errorf("before the commit: %v", err)
	}
	before, after = nil, errTest
	if err := db.Update(t.Context(), add("hidden")); !errors.Is(err, errTest) {
		t.Errorf("after the commit: %v", err)
	}
	if heard != 0 || db.Commits() != 0 {
		t.Errorf("%d notices and %d commits of interrupted commits", heard, db.Commits())
	}
	after = nil
	write(t, db, add("fine"))
	if diff := cmp.Diff([]string{"fine", "hidden"}, added(t, openAt(t, Options{Path: path}))); diff != "" {
		t.Errorf("deliveries (-want +got):\n%s", diff)
	}
	if heard != 1 || db.Commits() != 1 {
		t.Errorf("%d notices and %d commits", heard, db.Commits())
	}
}

// TestInterruptedGroup: an error of the commit reaches all its callers.
func TestInterruptedGroup(t *testing.T) {
	g := openGated(t)
	first := g.holdUp(t, "first")
	g.release <- errTest
	if err := <-first; !errors.Is(err, errTest) {
		t.Errorf("error %v", err)
	}
	write(t, g.DB, add("next"))
	if got := added(t, g.DB); !slices.Equal(got, []string{"next"}) {
		t.Errorf("deliveries %v", got)
	}
}

// TestCommitMayFail lets each statement around an update fail; the database goes on.
func TestCommitMayFail(t *testing.T) {
	db := openNew(t)
	write(t, db, func(*Tx) error { return errors.Join(nil) })
	_ = db.Update(t.Context(), func(*Tx) error { return errTest }) // prepares ROLLBACK TO
	for _, q := range []string{"BEGIN IMMEDIATE", "SAVEPOINT u", "RELEASE u", "ROLLBACK TO u", "COMMIT"} {
		w := <-db.writer
		good := w.prepared[q]
		if good == nil {
			t.Fatalf("%s is not used", q)
		}
		w.prepared[q] = closedStmt(t, w)
		db.writer <- w
		err := db.Update(t.Context(), func(tx *Tx) error {
			if err := add(q)(tx); err != nil || q != "ROLLBACK TO u" {
				return err
			}
			return errTest
		})
		if err == nil {
			t.Errorf("update succeeds although %s failed", q)
		}
		w = <-db.writer
		w.prepared[q] = good
		db.writer <- w
		write(t, db, add("after "+q))
	}
	for _, k := range added(t, db) {
		if !strings.HasPrefix(k, "after ") {
			t.Errorf("%s was kept", k)
		}
	}
	for range readers {
		r := <-db.readers
		r.prepared["BEGIN"] = closedStmt(t, r)
		db.readers <- r
	}
	if err := db.Ping(t.Context()); err == nil {
		t.Error("a read succeeds although BEGIN failed")
	}
}

func TestReadIsASnapshot(t *testing.T) {
	db := openNew(t)
	write(t, db, add("a"))
	count := func(tx *Tx) int {
		all, err := tx.PendingDeliveries(9)
		if err != nil {
			t.Error(err)
		}
		return len(all)
	}
	err := db.Read(t.Context(), func(tx *Tx) error {
		if got := count(tx); got != 1 {
			t.Errorf("%d deliveries at first, want 1", got)
		}
		write(t, db, add("b"))
		if got := count(tx); got != 1 {
			t.Errorf("%d deliveries after another's commit, want 1", got)
		}
		return db.Read(t.Context(), func(fresh *Tx) error {
			if got := count(fresh); got != 2 {
				t.Errorf("%d deliveries in a fresh read, want 2", got)
			}
			return nil
		})
	})
	if err != nil {
		t.Error(err)
	}
}

func TestReadCannotWrite(t *testing.T) {
	db := openNew(t)
	write(t, db, fill)
	for _, name := range []string{
		"SaveApp", "DeleteApp", "SaveProject", "SaveSubscription", "DeleteSubscriptions", "PauseSubscriptions", "AddDelivery", "SettleDelivery",
		"ReplayDelivery", "PruneDeliveries", "Observe", "Observe again", "Observe child", "SetExcerpt", "SetDriven", "MarkStale", "Forget",
		"RenderAgain", "SaveSlot", "SetShown", "BreakThread", "Propose", "TryAction", "UntryAction", "FinishAction", "MarkLate", "ClaimAnswer",
		"AddBuild", "SaveBuild", "TakeTurn", "SetBuildDriven", "AddDeployment", "SaveDeployment", "SetDeploymentDriven", "SaveBuildSettings",
		"RereadProject", "PruneHistory", "TakePush", "TakePush read", "TakePush tag",
	} {
		err := db.Read(t.Context(), operations[name])
		if err == nil || !strings.Contains(err.Error(), "readonly") {
			t.Errorf("%s in a read: error %v", name, err)
		}
	}
	if got := added(t, db); !slices.Equal(got, []string{"k"}) {
		t.Errorf("deliveries %v", got)
	}
}

// TestReadWaitsForAFreeReader with a context, and a panic gives its reader back.
func TestReadWaitsForAFreeReader(t *testing.T) {
	db := openNew(t)
	for range readers + 1 {
		func() {
			defer func() { _ = recover() }()
			_ = db.Read(t.Context(), func(*Tx) error { panic("in a read") })
		}()
	}
	held := make([]*conn, readers)
	for i := range held {
		held[i] = <-db.readers
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- db.Ping(ctx) }()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	for _, c := range held {
		db.readers <- c
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestCloseWhileBusy: the commit in hand is made, those who wait fail, and nobody hangs.
func TestCloseWhileBusy(t *testing.T) {
	g := openGated(t)
	looked, awaited := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		awaited <- g.Await(t.Context(), func(*Tx) (bool, error) {
			select {
			case looked <- struct{}{}:
			default:
			}
			return false, nil
		})
	}()
	<-looked
	inHand := g.holdUp(t, "in hand")
	const waiting = 20
	failed, made := atomic.Int64{}, atomic.Int64{}
	var wg sync.WaitGroup
	for i := range waiting {
		wg.Go(func() {
			switch err := g.Update(t.Context(), add(fmt.Sprint(i))); {
			case err == nil:
				made.Add(1)
			case errors.Is(err, errClosed):
				failed.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	until(t, "all wait", func() bool { return g.queued() == waiting })
	closed := make(chan error, 2)
	go func() { closed <- g.Close() }()
	go func() { closed <- g.Close() }()
	g.release <- nil
	for range 2 {
		if err := <-closed; err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if err := <-inHand; err != nil {
		t.Errorf("the one in hand: %v", err)
	}
	wg.Wait()
	if err := <-awaited; !errors.Is(err, errClosed) {
		t.Errorf("await: %v", err)
	}
	if err := g.Update(t.Context(), add("late")); !errors.Is(err, errClosed) {
		t.Errorf("update after close: %v", err)
	}
	if err := g.Ping(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("read after close: %v", err)
	}
	if failed.Load()+made.Load() != waiting {
		t.Errorf("%d made and %d failed of %d", made.Load(), failed.Load(), waiting)
	}
}

// TestManyAtOnce counts up in read-modify-write updates from many callers.
func TestManyAtOnce(t *testing.T) {
	db := openNew(t)
	const callers, each = 16, 25
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				err := db.Update(t.Context(), func(tx *Tx) error {
					p, err := tx.Project(1)
					if err != nil && kovra.KindOf(err) != kovra.NotFound {
						return err
					}
					p.ID = 1
					p.Hook++
					if i%5 == 4 {
						_ = tx.SaveProject(p)
						return errTest
					}
					return tx.SaveProject(p)
				})
				if err != nil && !errors.Is(err, errTest) {
					t.Errorf("caller %d: %v", c, err)
				}
			}
		})
	}
	wg.Wait()
	var p kovra.Project
	err := db.Read(t.Context(), func(tx *Tx) (err error) {
		p, err = tx.Project(1)
		return err
	})
	if want := int64(callers * each / 5 * 4); err != nil || p.Hook != want {
		t.Errorf("counted to %d, want %d (%v)", p.Hook, want, err)
	}
	if db.Commits() > callers*each {
		t.Errorf("%d commits for %d updates", db.Commits(), callers*each)
	}
}
