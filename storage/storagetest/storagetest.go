// Package storagetest holds what every database engine under package storage must
// do, as one suite of tests.
//
// It is used from the tests of storage: [Run] gets a function that opens a
// database on the engine in question. Everything is said through the methods of
// [storage.DB] and [storage.Tx], so that the suite knows no SQL.
//
// It never looks at tables or query plans, and measures nothing.
package storagetest

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// Opener opens the database that o names: a new one for a new o.Path, with what it
// held before for one that was closed. An engine that keeps no files takes
// o.Path as a name. The caller closes it.
type Opener = func(t *testing.T, o storage.Options) *storage.DB

// Run runs the suite. Every test gets a database of its own.
func Run(t *testing.T, open Opener) {
	t.Helper()
	for name, test := range map[string]func(*world){
		"Apps":                        testApps,
		"DeletedAppLeavesHistory":     testDeletedApp,
		"Projects":                    testProjects,
		"Subscriptions":               testSubscriptions,
		"SubscriptionQueries":         testSubscriptionQueries,
		"ChildrenOfChildren":          testChildrenOfChildren,
		"PauseAndMend":                testPauseAndMend,
		"KickProject":                 testKickProject,
		"Channels":                    testChannels,
		"ChannelThreads":              testChannelThreads,
		"Deliveries":                  testDeliveries,
		"DeliveryPages":               testDeliveryPages,
		"ReplayDelivery":              testReplayDelivery,
		"PruneDeliveries":             testPruneDeliveries,
		"ObserveNew":                  testObserveNew,
		"ObserveFolds":                testObserveFolds,
		"ObserveAgainChangesNothing":  testObserveAgain,
		"ObserveWhole":                testObserveWhole,
		"RunPages":                    testRunPages,
		"QuietRuns":                   testQuietRuns,
		"DrivenStaleForget":           testDrivenStaleForget,
		"Excerpts":                    testExcerpts,
		"Children":                    testChildren,
		"ChildIsLearntLater":          testChildLearntLater,
		"ParentsInACircle":            testParentsInACircle,
		"ThreadPerChannel":            testThreadPerChannel,
		"NoThread":                    testNoThread,
		"TwoAppsOneThread":            testTwoAppsOneThread,
		"RunWithoutStatusHasNoThread": testThreadWaitsForStatus,
		"View":                        testView,
		"RunView":                     testRunView,
		"Slots":                       testSlots,
		"ShownAndBroken":              testShownAndBroken,
		"RenderAgain":                 testRenderAgain,
		"Propose":                     testPropose,
		"Lock":                        testLock,
		"LockRace":                    testLockRace,
		"ActionLife":                  testActionLife,
		"ActionBumpsRun":              testActionBumpsRun,
		"ActionPages":                 testActionPages,
		"Operators":                   testOperators,
		"Secret":                      testSecret,
		"ReplyURL":                    testReplyURL,
		"ClaimAnswerOnce":             testClaimAnswerOnce,
		"Late":                        testLate,
		"DirtyDeliveries":             testDirtyDeliveries,
		"DirtyRuns":                   testDirtyRuns,
		"DirtyThreads":                testDirtyThreads,
		"DirtyActions":                testDirtyActions,
		"DirtyAnswers":                testDirtyAnswers,
		"DirtyStopsEarly":             testDirtyStopsEarly,
		"Figures":                     testFigures,
		"NoticeOncePerCommit":         testNotices,
		"NoNoticeOfWhatFailed":        testNoNotice,
		"Await":                       testAwait,
		"AwaitEnds":                   testAwaitEnds,
		"Missing":                     testMissing,
		"Reopen":                      testReopen,
		"Build":                       testBuild,
		"BuildTurns":                  testBuildTurns,
		"BuildTurnRace":               testBuildTurnRace,
		"BuildPages":                  testBuildPages,
		"BuildThreads":                testBuildThreads,
		"BuildView":                   testBuildView,
		"BuildNews":                   testBuildNews,
		"BuildLogs":                   testBuildLogs,
		"BuildRace":                   testBuildRace,
		"LastDeployable":              testLastDeployable,
		"Deployments":                 testDeployments,
		"BuildSettings":               testBuildSettings,
		"Heads":                       testHeads,
		"PushedAfter":                 testPushedAfter,
		"PushTaken":                   testPushTaken,
		"Supersede":                   testSupersede,
		"NoSupersede":                 testNoSupersede,
		"PushRace":                    testPushRace,
	} {
		t.Run(name, func(t *testing.T) { test(newWorld(t, open)) })
	}
	for name, test := range peopleTests {
		t.Run(name, func(t *testing.T) { test(newWorld(t, open)) })
	}
	for name, test := range hookTests {
		t.Run(name, func(t *testing.T) { test(newWorld(t, open)) })
	}
	for name, c := range pushCases {
		t.Run("Push/"+name, func(t *testing.T) { checkPushes(newWorld(t, open), c) })
	}
	for name, ends := range newsCases {
		t.Run("News/"+name, func(t *testing.T) { checkNews(newWorld(t, open), ends, false) })
		t.Run("NewsFromAPI/"+name, func(t *testing.T) { checkNews(newWorld(t, open), ends, true) })
	}
}

// morning is when every test begins.
var morning = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// group is the GitLab project of most tests.
const group = 7

// world is one database with its clock and what was heard of it.
type world struct {
	t       *testing.T
	open    Opener
	options storage.Options
	db      *storage.DB
	clock   atomic.Int64 // nanoseconds since morning

	mu    sync.Mutex
	heard [][]kovra.Ref
}

func newWorld(t *testing.T, open Opener) *world {
	t.Helper()
	w := &world{t: t, open: open}
	w.options = storage.Options{
		Path: filepath.Join(t.TempDir(), "state.db"),
		Key:  [][]byte{slices.Repeat([]byte{0xA5}, 32)},
		Now:  w.now,
	}
	w.start()
	t.Cleanup(func() {
		if err := w.db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return w
}

func (w *world) start() {
	w.t.Helper()
	w.db = w.open(w.t, w.options)
	w.db.OnChange(func(refs []kovra.Ref) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.heard = append(w.heard, refs)
	})
}

// reopen closes the database and opens it again.
func (w *world) reopen() {
	w.t.Helper()
	if err := w.db.Close(); err != nil {
		w.t.Fatalf("close: %v", err)
	}
	w.start()
}

func (w *world) now() time.Time { return morning.Add(time.Duration(w.clock.Load())) }

func (w *world) pass(d time.Duration) { w.clock.Add(int64(d)) }

// notices returns what OnChange heard since the last call, a list per commit.
func (w *world) notices() [][]kovra.Ref {
	w.mu.Lock()
	defer w.mu.Unlock()
	heard := w.heard
	w.heard = nil
	for _, refs := range heard {
		sortRefs(refs)
	}
	return heard
}

func (w *world) update(fn func(*storage.Tx) error) {
	w.t.Helper()
	if err := w.db.Update(w.t.Context(), fn); err != nil {
		w.t.Fatalf("update: %v", err)
	}
}

// get reads one value.
func get[T any](w *world, fn func(*storage.Tx) (T, error)) T {
	w.t.Helper()
	var v T
	err := w.db.Read(w.t.Context(), func(tx *storage.Tx) (err error) {
		v, err = fn(tx)
		return err
	})
	if err != nil {
		w.t.Fatalf("read: %v", err)
	}
	return v
}

// put changes something and returns what came of it.
func put[T any](w *world, fn func(*storage.Tx) (T, error)) T {
	w.t.Helper()
	var v T
	w.update(func(tx *storage.Tx) (err error) {
		v, err = fn(tx)
		return err
	})
	return v
}

// refuses fails the test unless fn fails with an error of the kind, with a
// sentence for people.
func (w *world) refuses(kind kovra.ErrorKind, what string, fn func(*storage.Tx) error) {
	w.t.Helper()
	err := w.db.Update(w.t.Context(), fn)
	if err == nil {
		w.t.Errorf("%s: no error, want one of kind %s", what, kind)
		return
	}
	if got := kovra.KindOf(err); got != kind {
		w.t.Errorf("%s: error of kind %s (%v), want %s", what, got, err, kind)
	}
}

// same compares; empty and nil lists are alike.
func (w *world) same(what string, want, got any) {
	w.t.Helper()
	if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		w.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// link makes an app of a project with subscribed channels.
func (w *world) link(app string, project int64, channels ...string) {
	w.t.Helper()
	w.update(func(tx *storage.Tx) error {
		if err := tx.SaveApp(kovra.App{Name: app, Project: project, CreatedBy: "UALICE", CreatedAt: w.now()}); err != nil {
			return err
		}
		for _, c := range channels {
			if err := tx.SaveSubscription(kovra.Subscription{App: app, Channel: c, CreatedBy: "UALICE", CreatedAt: w.now()}); err != nil {
				return err
			}
		}
		return nil
	})
}

// observe folds one observation in one commit.
func (w *world) observe(o kovra.Observation) kovra.Run {
	w.t.Helper()
	return put(w, func(tx *storage.Tx) (kovra.Run, error) {
		run, _, err := tx.Observe(o)
		return run, err
	})
}

// pipeline is a hook about a pipeline of main; change it as the test wants.
func pipeline(remote int64, status kovra.Status) kovra.Observation {
	o := kovra.Observation{Run: kovra.Run{
		Project: group, Remote: remote, Ref: "main", SHA: "deadbeefcafe0123", Source: "push", Title: "Fix it", Status: status,
	}}
	if status.Final() {
		o.Run.FinishedAt = morning.Add(time.Duration(remote) * time.Minute)
	}
	return o
}

// childOf is a hook about a child pipeline.
func childOf(parent, remote int64, status kovra.Status) kovra.Observation {
	o := pipeline(remote, status)
	o.Run.Source = "parent_pipeline"
	o.Run.Parent = kovra.Parent{Project: group, Pipeline: parent, Job: 1}
	return o
}

func (w *world) run(id int64) kovra.Run {
	w.t.Helper()
	return get(w, func(tx *storage.Tx) (kovra.Run, error) { return tx.Run(id) })
}

func (w *world) threads(run int64) []kovra.Thread {
	w.t.Helper()
	return get(w, func(tx *storage.Tx) ([]kovra.Thread, error) { return tx.ThreadsOfRun(run) })
}

func (w *world) propose(a kovra.Action, secret []byte) kovra.Action {
	w.t.Helper()
	return put(w, func(tx *storage.Tx) (kovra.Action, error) {
		a, made, err := tx.Propose(a, secret)
		if err == nil && !made {
			w.t.Errorf("action %q was not recorded, %d came first", a.Lock, a.ID)
		}
		return a, err
	})
}

func (w *world) action(id int64) kovra.Action {
	w.t.Helper()
	return get(w, func(tx *storage.Tx) (kovra.Action, error) { return tx.Action(id) })
}

func (w *world) finish(id int64, state kovra.ActionState, out kovra.Outcome) {
	w.t.Helper()
	w.update(func(tx *storage.Tx) error { return tx.FinishAction(id, state, out) })
}

// dirty returns all that is to be done, sorted; only of the given kinds, if any.
func (w *world) dirty(kinds ...kovra.RefKind) []kovra.Ref {
	w.t.Helper()
	var refs []kovra.Ref
	for ref, err := range w.db.Dirty(w.t.Context()) {
		if err != nil {
			w.t.Fatalf("dirty: %v", err)
		}
		if len(kinds) == 0 || slices.Contains(kinds, ref.Kind) {
			refs = append(refs, ref)
		}
	}
	sortRefs(refs)
	return refs
}

// settle marks all runs as driven and all threads as shown.
func (w *world) settle() {
	w.t.Helper()
	for _, ref := range w.dirty() {
		w.update(func(tx *storage.Tx) error {
			switch ref.Kind {
			case kovra.RefRun:
				run, err := tx.Run(ref.ID)
				if err != nil {
					return err
				}
				return tx.SetDriven(run.ID, run.Version)
			case kovra.RefThread:
				v, err := tx.View(ref.ID)
				if err != nil {
					return err
				}
				return tx.SetShown(ref.ID, v.Thread.Version, 1)
			default:
				return nil
			}
		})
	}
	w.notices()
}

func sortRefs(refs []kovra.Ref) {
	slices.SortFunc(refs, func(a, b kovra.Ref) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	})
}

func runRef(id int64) kovra.Ref    { return kovra.Ref{Kind: kovra.RefRun, ID: id} }
func threadRef(id int64) kovra.Ref { return kovra.Ref{Kind: kovra.RefThread, ID: id} }
func actionRef(id int64) kovra.Ref { return kovra.Ref{Kind: kovra.RefAction, ID: id} }
func answerRef(id int64) kovra.Ref { return kovra.Ref{Kind: kovra.RefAnswer, ID: id} }

var deliveryRef = kovra.Ref{Kind: kovra.RefDelivery}

// together calls fn n times at once and waits for all.
func together(n int, fn func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { fn(i) })
	}
	wg.Wait()
}

// testMissing asks for what is not there.
func testMissing(w *world) {
	for what, fn := range map[string]func(*storage.Tx) error{
		"app":     func(tx *storage.Tx) error { _, err := tx.App("web"); return err },
		"project": func(tx *storage.Tx) error { _, err := tx.Project(1); return err },
		"run":     func(tx *storage.Tx) error { _, err := tx.Run(1); return err },
		"remote":  func(tx *storage.Tx) error { _, err := tx.RunByRemote(1, 1); return err },
		"job":     func(tx *storage.Tx) error { _, err := tx.Job(1, 1); return err },
		"excerpt": func(tx *storage.Tx) error { return tx.SetExcerpt(1, 1, kovra.LogCut, kovra.Excerpt{}) },
		"forget":  func(tx *storage.Tx) error { return tx.Forget(1) },
		"childs":  func(tx *storage.Tx) error { _, err := tx.Children(1); return err },
		"view":    func(tx *storage.Tx) error { _, err := tx.View(1); return err },
		"runview": func(tx *storage.Tx) error { _, err := tx.RunView(1, "web"); return err },
		"message": func(tx *storage.Tx) error { _, err := tx.ThreadAt("C1", "1.2"); return err },
		"action":  func(tx *storage.Tx) error { _, err := tx.Action(1); return err },
		"secret":  func(tx *storage.Tx) error { _, err := tx.Secret(1); return err },
		"try":     func(tx *storage.Tx) error { return tx.TryAction(1, kovra.Params{}) },
		"finish":  func(tx *storage.Tx) error { return tx.FinishAction(1, kovra.ActionDone, kovra.Outcome{}) },
		"sub":     func(tx *storage.Tx) error { _, err := tx.Subscription(1); return err },
		"subject": func(tx *storage.Tx) error { _, err := tx.Subject(1); return err },
		"sview":   func(tx *storage.Tx) error { _, err := tx.SubjectView(1, "web"); return err },
		"notice":  func(tx *storage.Tx) error { _, err := tx.Notice(1); return err },
		"home":    func(tx *storage.Tx) error { _, err := tx.Home(1); return err },
		"shown":   func(tx *storage.Tx) error { return tx.SetHomeShown(1, 1, "", "") },
		"matched": func(tx *storage.Tx) error { return tx.Matched(1) },
		"build":   func(tx *storage.Tx) error { _, err := tx.Build(1); return err },
		"save":    func(tx *storage.Tx) error { return tx.SaveBuild(&kovra.Build{ID: 1}) },
		"bview":   func(tx *storage.Tx) error { _, err := tx.BuildView(1); return err },
		"deploy":  func(tx *storage.Tx) error { _, err := tx.Deployment(1); return err },
		"letter":  func(tx *storage.Tx) error { _, err := tx.Delivery(1); return err },
		"replay":  func(tx *storage.Tx) error { return tx.ReplayDelivery(1) },
	} {
		w.refuses(kovra.NotFound, what, fn)
	}
	w.same("notices", [][]kovra.Ref(nil), w.notices())
	ctx, cancel := context.WithCancel(w.t.Context())
	cancel()
	if err := w.db.Ping(ctx); err == nil {
		w.t.Error("ping with a cancelled context succeeds")
	}
	if err := w.db.Ping(w.t.Context()); err != nil {
		w.t.Errorf("ping: %v", err)
	}
}

// testReopen closes and opens: all that was there is there.
func testReopen(w *world) {
	w.link("web", group, "C1")
	run := w.observe(pipeline(5, kovra.Running))
	act := w.propose(kovra.Action{Kind: kovra.ActCancel, Run: run.ID, By: kovra.Person{ID: "UBOB"}, ReplyURL: "https://reply.example/1"}, []byte("s3cret"))
	dirty := w.dirty()
	w.reopen()
	w.same("dirty", dirty, w.dirty())
	w.same("run", run, w.run(run.ID))
	w.same("action", act, w.action(act.ID))
	secret := get(w, func(tx *storage.Tx) ([]byte, error) { return tx.Secret(act.ID) })
	w.same("secret", "s3cret", string(secret))
	if w.db.Commits() != 0 {
		w.t.Errorf("%d commits after opening", w.db.Commits())
	}
	if !w.db.Now().Equal(w.now()) {
		w.t.Errorf("the clock says %s, want %s", w.db.Now(), w.now())
	}
}
