package storage_test

import (
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// mostOps bounds one run of the fuzz target.
const mostOps = 80

// FuzzOps does the same random operations on a database and on the model, each in
// a commit of its own, and compares what was told, what is to be done and all state.
func FuzzOps(f *testing.F) {
	f.Add([]byte(nil))
	for seed := range uint64(24) {
		r := rand.New(rand.NewPCG(seed, 7))
		tape := make([]byte, 5*mostOps)
		for i := range tape {
			tape[i] = byte(r.Uint32())
		}
		f.Add(tape)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p := newPair(t)
		tape := &tape{b: b}
		for range mostOps {
			if len(tape.b) == 0 {
				break
			}
			p.step(tape)
		}
		p.compare()
		p.close()
	})
}

// tape is what the fuzzer writes: small numbers; zeros when it is at its end.
type tape struct{ b []byte }

func (t *tape) next(n int) int {
	if len(t.b) == 0 {
		return 0
	}
	v := int(t.b[0]) % n
	t.b = t.b[1:]
	return v
}

func (t *tape) flag() bool { return t.next(2) == 1 }

func pick[T any](t *tape, list ...T) T { return list[t.next(len(list))] }

// pair is a database and the model that it must agree with.
type pair struct {
	t     *testing.T
	path  string
	db    *storage.DB
	m     *model
	heard []kovra.Ref
	done  []string // what was done, for whoever reads a failure
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{t: t, path: filepath.Join(t.TempDir(), "state.db"), m: newModel()}
	p.open()
	return p
}

func (p *pair) open() {
	p.t.Helper()
	var err error
	p.db, err = storage.Open(p.t.Context(), storage.Options{
		Path: p.path, Key: [][]byte{slices.Repeat([]byte{3}, 32)}, Now: func() time.Time { return p.m.now },
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.db.OnChange(func(refs []kovra.Ref) { p.heard = append(p.heard, refs...) })
}

func (p *pair) close() {
	p.t.Helper()
	if err := p.db.Close(); err != nil {
		p.t.Fatal(err)
	}
}

// both does the same on both sides and compares what was told.
func (p *pair) both(what string, onModel func(*model), onDB func(*storage.Tx) error) {
	p.t.Helper()
	p.done = append(p.done, what)
	p.heard, p.m.told = nil, map[kovra.Ref]bool{}
	onModel(p.m)
	if err := p.db.Update(p.t.Context(), onDB); err != nil {
		p.t.Fatalf("%v: %v", p.done, err)
	}
	want := slices.SortedFunc(maps.Keys(p.m.told), compareRefs)
	slices.SortFunc(p.heard, compareRefs)
	if diff := cmp.Diff(want, p.heard, cmpopts.EquateEmpty()); diff != "" {
		p.t.Fatalf("%v: told (-model +database):\n%s", p.done, diff)
	}
}

// same compares what the two sides returned.
func (p *pair) same(what string, want, got any) {
	p.t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		p.t.Fatalf("%v: %s (-model +database):\n%s", p.done, what, diff)
	}
}

func (p *pair) compare() {
	p.t.Helper()
	p.same("state", p.m.state(), readState(p.t, p.db))
}

// steps are the operations that the tape may ask for.
var steps = []func(*pair, *tape){
	(*pair).stepApp, (*pair).stepSubscribe, (*pair).stepSubscribe, (*pair).stepLeave, (*pair).stepDeliver, (*pair).stepDelivery,
	(*pair).stepObserve, (*pair).stepObserve, (*pair).stepObserve, (*pair).stepObserve, (*pair).stepRun, (*pair).stepExcerpt,
	(*pair).stepPropose, (*pair).stepPropose, (*pair).stepAction, (*pair).stepAction, (*pair).stepThread, (*pair).stepThread,
	(*pair).stepRenderAgain, (*pair).stepPass, (*pair).stepReopen, (*pair).stepChannel,
}

func (p *pair) step(t *tape) { steps[t.next(len(steps))](p, t) }

var (
	appNames = []string{"api", "web", "site"}
	channels = []string{"C1", "C2"}
)

func (p *pair) stepApp(t *tape) {
	a := kovra.App{Name: pick(t, appNames...), Project: int64(t.next(3)), CreatedBy: "UALICE", CreatedAt: p.m.now}
	p.both("save "+a.Name, func(m *model) { m.saveApp(a) }, func(tx *storage.Tx) error { return tx.SaveApp(a) })
}

func (p *pair) stepSubscribe(t *tape) {
	s := kovra.Subscription{
		App: pick(t, appNames...), Channel: pick(t, channels...), Floor: int64(t.next(3)), Paused: pick(t, "", "", "", "gone"),
		Filter: kovra.Filter{Broadcast: pick(t, "", kovra.BroadcastOff, kovra.BroadcastAll)}, CreatedAt: p.m.now,
	}
	p.both("subscribe "+s.App+" "+s.Channel, func(m *model) { m.subscribe(s) }, func(tx *storage.Tx) error { return tx.SaveSubscription(s) })
}

func (p *pair) stepLeave(t *tape) {
	app, channel := pick(t, appNames...), pick(t, channels...)
	switch t.next(3) {
	case 0:
		p.both("delete "+app, func(m *model) { m.deleteApp(app) }, func(tx *storage.Tx) error { return tx.DeleteApp(app) })
	case 1:
		p.both("pause "+channel, func(m *model) { m.pause(channel) }, func(tx *storage.Tx) error { return tx.PauseSubscriptions(channel, "gone") })
	default:
		var want, got bool
		p.both("unsubscribe "+app+" "+channel, func(m *model) { want = m.unsubscribe(app, channel) }, func(tx *storage.Tx) (err error) {
			n, err := tx.DeleteSubscriptions(app, channel, 0)
			got = n > 0
			return err
		})
		p.same("there was one", want, got)
	}
}

func (p *pair) stepChannel(t *tape) {
	id, yes := pick(t, channels...), t.flag()
	if t.next(3) == 0 {
		p.both("allow logs", func(m *model) { m.allowLogs(id, yes) }, func(tx *storage.Tx) error { return tx.AllowLogs(id, yes) })
		return
	}
	at := pick(t, p.m.now, p.m.now, p.m.now.Add(-10*time.Second), time.Time{})
	p.both("share "+id, func(m *model) { m.share(id, yes, at) }, func(tx *storage.Tx) error { return tx.SetChannelShared(id, yes, at) })
}

func (p *pair) stepDeliver(t *tape) {
	d := kovra.Delivery{Key: pick(t, "a", "b", "c", "d", "e", "f"), Kind: "Job Hook", Body: []byte{byte(t.next(256))}, At: p.m.now}
	var want, got bool
	p.both("deliver "+d.Key, func(m *model) { want = m.deliver(d) }, func(tx *storage.Tx) (err error) {
		got, err = tx.AddDelivery(d)
		return err
	})
	p.same("added", want, got)
}

func (p *pair) stepDelivery(t *tape) {
	if len(p.m.deliveries) == 0 {
		return
	}
	d := p.m.deliveries[t.next(len(p.m.deliveries))]
	switch t.next(3) {
	case 0:
		p.both("replay", func(*model) { p.m.replay(d) }, func(tx *storage.Tx) error { return tx.ReplayDelivery(d.ID) })
	case 1:
		before := p.m.now.Add(-time.Duration(t.next(3)) * time.Minute)
		var want, got int64
		p.both("prune", func(m *model) { want = m.prune(before) }, func(tx *storage.Tx) (err error) {
			got, err = tx.PruneDeliveries(before)
			return err
		})
		p.same("pruned", want, got)
	default:
		outcome := pick(t, kovra.DeliveryDead, kovra.DeliveryFolded, kovra.DeliverySame)
		p.both("settle", func(m *model) { m.settle(d, outcome) }, func(tx *storage.Tx) error { return tx.SettleDelivery(d.ID, outcome, "note", 1) })
	}
}

func (p *pair) stepObserve(t *tape) {
	o := kovra.Observation{Run: kovra.Run{
		Project: 1 + int64(t.next(2)), Remote: 1 + int64(t.next(6)), Ref: pick(t, "main", "main", "fix"),
		Status: pick(t, kovra.Running, kovra.Failed, kovra.Success, kovra.Failed, kovra.Success, kovra.Canceled, kovra.Manual, "", "a_new_word"),
	}}
	if o.Run.Status.Final() {
		o.Run.FinishedAt = p.m.now
	}
	switch extra := t.next(8); extra {
	case 0:
		o.Run.MR.IID = 3
	case 1, 2:
		o.Run.Parent = kovra.Parent{Project: o.Run.Project, Pipeline: 1 + int64(t.next(6))}
	case 3, 4:
		o.Jobs = []kovra.Job{{ID: 10*o.Run.Remote + int64(t.next(3)), Name: "build", Status: pick(t, kovra.Running, kovra.Failed, kovra.Success)}}
	case 5:
		o.Whole = true
		if r := p.m.byRemote(o.Run.Project, o.Run.Remote); r != nil {
			o.Base = r.Version - int64(t.next(2))
		}
	default:
	}
	var want, got kovra.Run
	p.both("observe "+string(o.Run.Status), func(m *model) { want = m.observe(o) }, func(tx *storage.Tx) (err error) {
		got, _, err = tx.Observe(o)
		return err
	})
	p.same("id", want.ID, got.ID)
	p.same("results", want.Results, got.Results)
}

func (p *pair) stepRun(t *tape) {
	if len(p.m.runs) == 0 {
		return
	}
	r := p.m.runs[t.next(len(p.m.runs))]
	switch t.next(4) {
	case 0:
		p.both("stale", func(m *model) { r.Stale = true; m.tell(kovra.RefRun, r.ID) }, func(tx *storage.Tx) error { return tx.MarkStale(r.ID) })
	case 1:
		p.both("forget", func(m *model) { m.forget(r) }, func(tx *storage.Tx) error { return tx.Forget(r.ID) })
	default:
		version := r.Version - int64(t.next(2))
		p.both("drive", func(*model) { r.DrivenVersion = max(r.DrivenVersion, version) }, func(tx *storage.Tx) error { return tx.SetDriven(r.ID, version) })
	}
}

func (p *pair) stepExcerpt(t *tape) {
	ids := slices.SortedFunc(maps.Keys(p.m.jobs), func(a, b jobKey) int { return int(a.project-b.project)*1000 + int(a.id-b.id) })
	if len(ids) == 0 {
		return
	}
	k, e := ids[t.next(len(ids))], kovra.Excerpt{Total: t.next(9), Note: pick(t, "", "gone")}
	p.both("excerpt", func(m *model) { m.excerpt(k, e) }, func(tx *storage.Tx) error { return tx.SetExcerpt(k.project, k.id, kovra.LogCut, e) })
}

func (p *pair) stepPropose(t *tape) {
	a := kovra.Action{
		Kind: pick(t, kovra.ActRun, kovra.ActCancel), App: pick(t, appNames...), Lock: pick(t, "", "x", "y", "z"),
		By: kovra.Person{ID: "UBOB"}, ReplyURL: pick(t, "", "https://reply.example"),
	}
	if len(p.m.runs) > 0 && t.flag() {
		a.Run = p.m.runs[t.next(len(p.m.runs))].ID
	}
	secret := pick(t, "", "", "secret")
	var want, got kovra.Action
	var wantMade, gotMade bool
	p.both("propose "+a.Lock, func(m *model) { want, wantMade = m.propose(a, secret) }, func(tx *storage.Tx) (err error) {
		var kept []byte
		if secret != "" {
			kept = []byte(secret)
		}
		got, gotMade, err = tx.Propose(a, kept)
		return err
	})
	p.same("made", wantMade, gotMade)
	p.same("proposed", want, got)
}

func (p *pair) stepAction(t *tape) {
	if len(p.m.actions) == 0 {
		return
	}
	a := p.m.actions[t.next(len(p.m.actions))]
	switch t.next(5) {
	case 0:
		if !a.Open() || a.Lock != "" && p.m.holder(a.Lock) != a {
			return
		}
		params := kovra.Params{Attempt: t.next(9)}
		p.both("try", func(m *model) { m.try(a, params) }, func(tx *storage.Tx) error { return tx.TryAction(a.ID, params) })
	case 1:
		p.both("untry", func(m *model) { m.untry(a) }, func(tx *storage.Tx) error { return tx.UntryAction(a.ID) })
	case 2:
		p.both("late", func(m *model) { a.Late = true; m.tell(kovra.RefAnswer, a.ID) }, func(tx *storage.Tx) error { return tx.MarkLate(a.ID) })
	case 3:
		var want, got bool
		p.both("claim", func(m *model) { want = m.claim(a) }, func(tx *storage.Tx) (err error) {
			got, err = tx.ClaimAnswer(a.ID)
			return err
		})
		p.same("claimed", want, got)
	default:
		if !a.Open() { // what has failed gave its lock away
			return
		}
		state := pick(t, kovra.ActionDone, kovra.ActionFailed, kovra.ActionAsks)
		out := kovra.Outcome{Reason: pick(t, "", "No.")}
		if len(p.m.runs) > 0 && t.flag() {
			out.Run = p.m.runs[t.next(len(p.m.runs))].ID
		}
		p.both("finish", func(m *model) { m.finish(a, state, out) }, func(tx *storage.Tx) error { return tx.FinishAction(a.ID, state, out) })
	}
}

func (p *pair) stepThread(t *tape) {
	if len(p.m.threads) == 0 {
		return
	}
	th := p.m.threads[t.next(len(p.m.threads))]
	switch t.next(4) {
	case 0:
		p.both("break", func(*model) { th.Broken = "gone" }, func(tx *storage.Tx) error { return tx.BreakThread(th.ID, "gone") })
	case 1:
		s := kovra.Slot{Key: pick(t, kovra.SlotCard, kovra.SlotRest), TS: pick(t, "", "1.1"), Nonce: pick(t, "", "n"), NonceAt: p.m.now, Broadcast: t.flag()}
		p.both("slot", func(m *model) { m.slots[slotKey{th.ID, s.Key}] = s }, func(tx *storage.Tx) error { return tx.SaveSlot(th.ID, s) })
	default:
		version, renderer := th.Version-int64(t.next(2)), 1+t.next(2)
		p.both("show", func(*model) {
			th.ShownVersion, th.ShownBy = max(th.ShownVersion, version), renderer
		}, func(tx *storage.Tx) error { return tx.SetShown(th.ID, version, renderer) })
	}
}

func (p *pair) stepRenderAgain(t *tape) {
	renderer, limit := 1+t.next(3), t.next(9)
	p.both("render again", func(m *model) { m.renderAgain(renderer, limit) }, func(tx *storage.Tx) error { return tx.RenderAgain(renderer, limit) })
}

func (p *pair) stepPass(t *tape) {
	p.done = append(p.done, "pass")
	p.m.now = p.m.now.Add(pick(t, time.Second, 5*time.Second, 20*time.Second, time.Minute))
}

// stepReopen compares all and closes and opens the database.
func (p *pair) stepReopen(*tape) {
	p.compare()
	p.close()
	p.open()
	p.done = append(p.done, "reopen")
}

// state is all that can be read.
type state struct {
	Dirty      []kovra.Ref
	Apps       []kovra.App
	Subs       []kovra.Subscription
	Channels   []kovra.Channel
	Pending    []int64
	Deliveries []kovra.Delivery
	Listed     [][]int64 // of each project, newest first
	Quiet      []int64
	Runs       []kovra.Run
	Children   [][]int64 // of each run
	Jobs       []kovra.Job
	Threads    []kovra.Thread
	Slots      []map[string]kovra.Slot // of each thread
	NoLogs     []bool                  // in each thread
	Actions    []kovra.Action
	Secrets    []string
	Open       []int64
}

func readState(t *testing.T, db *storage.DB) state {
	t.Helper()
	var s state
	for ref, err := range db.Dirty(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		s.Dirty = append(s.Dirty, ref)
	}
	slices.SortFunc(s.Dirty, compareRefs)
	err := db.Read(t.Context(), func(tx *storage.Tx) error {
		return firstError(func() error { return s.readApps(tx) }, func() error { return s.readRuns(tx) }, func() error { return s.readActions(tx) })
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func firstError(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (s *state) readApps(tx *storage.Tx) (err error) {
	if s.Apps, err = tx.Apps(); err != nil {
		return err
	}
	for _, a := range s.Apps { // subscriptions of an app that is gone are not shown
		subs, err := tx.Subscriptions(storage.SubscriptionQuery{App: a.Name})
		if err != nil {
			return err
		}
		for i := range subs {
			subs[i].ID = 0
		}
		s.Subs = append(s.Subs, subs...)
	}
	for _, id := range channels {
		c, err := tx.Channel(id)
		if err != nil {
			return err
		}
		s.Channels = append(s.Channels, c)
	}
	pending, err := tx.PendingDeliveries(1000)
	for _, d := range pending {
		s.Pending = append(s.Pending, d.ID)
	}
	if err != nil {
		return err
	}
	s.Deliveries, err = tx.Deliveries(storage.DeliveryQuery{Limit: 1000})
	return err
}

func (s *state) readRuns(tx *storage.Tx) (err error) {
	for project := range int64(2) {
		runs, err := tx.Runs(storage.RunQuery{Project: project + 1, Limit: 1000})
		if err != nil {
			return err
		}
		ids := []int64{}
		for _, r := range runs {
			ids = append(ids, r.ID)
		}
		s.Listed = append(s.Listed, ids)
	}
	if s.Quiet, err = tx.QuietRuns(morning.AddDate(9, 0, 0), 1000); err != nil {
		return err
	}
	slices.Sort(s.Quiet)
	for id := int64(1); ; id++ {
		r, err := tx.Run(id)
		if kovra.KindOf(err) == kovra.NotFound && err != nil {
			return nil
		}
		if err != nil {
			return err
		}
		s.Runs = append(s.Runs, r)
		if err := s.readRun(tx, id); err != nil {
			return err
		}
	}
}

func (s *state) readRun(tx *storage.Tx, id int64) error {
	jobs, err := tx.Jobs(id)
	if err != nil {
		return err
	}
	s.Jobs = append(s.Jobs, jobs...)
	children, err := tx.Children(id)
	if err != nil {
		return err
	}
	ids := []int64{}
	for _, c := range children {
		ids = append(ids, c.Run.ID)
	}
	s.Children = append(s.Children, ids)
	threads, err := tx.ThreadsOfRun(id)
	if err != nil {
		return err
	}
	s.Threads = append(s.Threads, threads...)
	for _, t := range threads {
		v, err := tx.View(t.ID)
		if err != nil {
			return err
		}
		s.Slots, s.NoLogs = append(s.Slots, v.Slots), append(s.NoLogs, v.NoLogs)
	}
	return nil
}

func (s *state) readActions(tx *storage.Tx) (err error) {
	if s.Actions, err = tx.Actions(storage.ActionQuery{Limit: 1000}); err != nil {
		return err
	}
	for _, a := range s.Actions {
		secret, err := tx.Secret(a.ID)
		if err != nil {
			return err
		}
		s.Secrets = append(s.Secrets, string(secret))
	}
	for _, kind := range []kovra.ActionKind{kovra.ActCancel, kovra.ActRun} {
		open, err := tx.OpenActions(kind)
		if err != nil {
			return err
		}
		for _, a := range open {
			s.Open = append(s.Open, a.ID)
		}
	}
	return nil
}
