package storage_test

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

var morning = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

type (
	jobKey  struct{ project, id int64 }
	slotKey struct {
		thread int64
		key    string
	}
)

// model is what storage keeps, in maps, as plainly as it can be said.
type model struct {
	now  time.Time
	told map[kovra.Ref]bool // by the operation in hand

	apps       map[string]kovra.App
	subs       map[[2]string]kovra.Subscription
	channels   map[string]kovra.Channel
	deliveries []*kovra.Delivery
	runs       []*kovra.Run // id is the place, from 1
	jobs       map[jobKey]kovra.Job
	threads    []*kovra.Thread // by id
	lastThread int64
	slots      map[slotKey]kovra.Slot
	actions    []*kovra.Action
	secrets    map[int64]string
}

func newModel() *model {
	return &model{
		now: morning, apps: map[string]kovra.App{}, subs: map[[2]string]kovra.Subscription{}, channels: map[string]kovra.Channel{},
		jobs: map[jobKey]kovra.Job{}, slots: map[slotKey]kovra.Slot{}, secrets: map[int64]string{},
	}
}

func compareRefs(a, b kovra.Ref) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
}

func (m *model) tell(kind kovra.RefKind, id int64) { m.told[kovra.Ref{Kind: kind, ID: id}] = true }

func (m *model) saveApp(a kovra.App) {
	if old, ok := m.apps[a.Name]; ok {
		if old.Project != a.Project {
			m.bumpThreadsOf(a.Name)
		}
		old.Project = a.Project
		a = old
	}
	m.apps[a.Name] = a
}

func (m *model) deleteApp(name string) {
	delete(m.apps, name)
	maps.DeleteFunc(m.subs, func(k [2]string, _ kovra.Subscription) bool { return k[0] == name })
	m.bumpThreadsOf(name)
}

// bumpThreadsOf bumps all of them: a tape makes fewer than the limit.
func (m *model) bumpThreadsOf(app string) {
	for _, t := range m.threads {
		if t.App == app {
			m.bumpThread(t)
		}
	}
}

func (m *model) subscribe(s kovra.Subscription) {
	s.Filter.Broadcast = cmp.Or(s.Filter.Broadcast, kovra.BroadcastOn)
	k := [2]string{s.App, s.Channel}
	if old, ok := m.subs[k]; ok {
		s.CreatedAt = old.CreatedAt
	}
	m.subs[k] = s
	if s.Paused != "" {
		return
	}
	for k, other := range m.subs {
		if k[1] == s.Channel {
			other.Paused = ""
			m.subs[k] = other
		}
	}
	for _, t := range m.threads {
		if t.Channel == s.Channel && t.Broken != "" {
			t.Broken = ""
			m.bumpThread(t)
		}
	}
}

func (m *model) unsubscribe(app, channel string) bool {
	k := [2]string{app, channel}
	_, was := m.subs[k]
	delete(m.subs, k)
	return was
}

func (m *model) pause(channel string) {
	for k, s := range m.subs {
		if k[1] == channel {
			s.Paused = "gone"
			m.subs[k] = s
		}
	}
}

func (m *model) share(id string, shared bool, at time.Time) {
	c := m.channels[id]
	switch was := c.ShowsLogs(); {
	case at.IsZero():
		c.Shared, c.CheckedAt = shared, at
		m.saveChannel(id, c)
		if was == c.ShowsLogs() {
			m.bumpThreadsIn(id, 1)
		}
	case at.After(c.CheckedAt), shared:
		c.Shared, c.CheckedAt = shared, at
		m.saveChannel(id, c)
	}
}

func (m *model) allowLogs(id string, allowed bool) {
	c := m.channels[id]
	c.LogsAllowed = allowed
	m.saveChannel(id, c)
}

// saveChannel bumps all threads of the channel: a tape makes fewer than the limit.
func (m *model) saveChannel(id string, c kovra.Channel) {
	was := m.channels[id]
	c.ID = id
	m.channels[id] = c
	if was.ShowsLogs() != c.ShowsLogs() {
		m.bumpThreadsIn(id, len(m.threads))
	}
}

func (m *model) bumpThreadsIn(channel string, newest int) {
	for _, t := range slices.Backward(m.threads) {
		if t.Channel == channel && t.Broken == "" && newest > 0 {
			m.bumpThread(t)
			newest--
		}
	}
}

func (m *model) deliver(d kovra.Delivery) bool {
	d.ID = 1
	for _, o := range m.deliveries {
		if o.Key == d.Key {
			return false
		}
		d.ID = max(d.ID, o.ID+1)
	}
	m.deliveries = append(m.deliveries, &d)
	m.tell(kovra.RefDelivery, 0)
	return true
}

func (m *model) settle(d *kovra.Delivery, outcome kovra.DeliveryOutcome) {
	d.Outcome, d.Note, d.Project, d.Settled = outcome, "note", 1, m.now
}

func (m *model) replay(d *kovra.Delivery) {
	d.Outcome, d.Note, d.Settled = kovra.DeliveryPending, "", time.Time{}
	m.tell(kovra.RefDelivery, 0)
}

func (m *model) prune(before time.Time) int64 {
	was := len(m.deliveries)
	m.deliveries = slices.DeleteFunc(m.deliveries, func(d *kovra.Delivery) bool {
		return d.At.Before(before) && d.Outcome != kovra.DeliveryPending
	})
	return int64(was - len(m.deliveries))
}

func (m *model) byRemote(project, remote int64) *kovra.Run {
	for _, r := range m.runs {
		if r.Project == project && r.Remote == remote {
			return r
		}
	}
	return nil
}

func (m *model) observe(o kovra.Observation) kovra.Run {
	r := m.byRemote(o.Run.Project, o.Run.Remote)
	fresh := r == nil
	if fresh {
		r = &kovra.Run{Project: o.Run.Project, Remote: o.Run.Remote}
	}
	jobs := map[int64]kovra.Job{}
	for k, j := range m.jobs {
		if k.project == r.Project && j.Run == r.ID {
			jobs[k.id] = j
		}
	}
	wasChild, wasFinal := r.Child(), r.Status.Final()
	seen := r.Observe(jobs, o)
	if !fresh && !seen.Changed() {
		if m.now.Sub(r.ObservedAt) >= time.Minute {
			r.ObservedAt = m.now
		}
		return *r
	}
	if fresh {
		m.runs = append(m.runs, r)
		r.ID = int64(len(m.runs))
	}
	if last := len(r.Results) - 1; slices.Contains(seen.Results, last) {
		r.Results[last].News = m.news(r)
	}
	r.ObservedAt = m.now
	m.save(r)
	for id, j := range jobs {
		j.Run = r.ID
		m.jobs[jobKey{r.Project, id}] = j
	}
	if r.Child() {
		m.bumpParent(r, !wasChild || r.Status.Final() != wasFinal)
		return *r
	}
	m.makeThreads(r)
	m.bumpThreads(r)
	return *r
}

// news of the newest end of a run: the last verdict before it decides, and none
// after it may be there.
func (m *model) news(r *kovra.Run) kovra.News {
	last := len(r.Results) - 1
	now, before := verdict(r.Results[last:]), verdict(r.Results[:last])
	if now == "" || r.Child() {
		return kovra.NoNews
	}
	var older int64
	for _, o := range m.runs {
		v := verdict(o.Results)
		if o == r || o.Child() || v == "" || o.Project != r.Project || o.Ref != r.Ref || o.Kind() != r.Kind() {
			continue
		}
		if o.Remote > r.Remote {
			return kovra.NoNews
		}
		if last == 0 || verdict(r.Results[:last]) == "" {
			if o.Remote > older {
				older, before = o.Remote, v
			}
		}
	}
	switch {
	case now == kovra.Failed && before != kovra.Failed:
		return kovra.Broken
	case now == kovra.Success && before == kovra.Failed:
		return kovra.Fixed
	default:
		return kovra.NoNews
	}
}

// verdict is the last end that counts.
func verdict(results []kovra.Result) (v kovra.Status) {
	for _, r := range results {
		if r.Status == kovra.Success || r.Status == kovra.Failed {
			v = r.Status
		}
	}
	return v
}

func (m *model) save(r *kovra.Run) {
	r.Version++
	m.tell(kovra.RefRun, r.ID)
}

// bump is a change that GitLab did not tell.
func (m *model) bump(r *kovra.Run) {
	m.save(r)
	if r.Child() {
		m.bumpParent(r, false)
		return
	}
	m.bumpThreads(r)
}

func (m *model) bumpParent(child *kovra.Run, ask bool) {
	parent := m.byRemote(child.Project, child.Parent.Pipeline)
	if parent == nil || parent.Remote >= child.Remote {
		return
	}
	parent.Stale = parent.Stale || ask
	m.bump(parent)
}

func (m *model) bumpThreads(r *kovra.Run) {
	for _, t := range m.threads {
		if t.Run == r.ID {
			m.bumpThread(t)
		}
	}
}

func (m *model) bumpThread(t *kovra.Thread) {
	t.Version++
	m.tell(kovra.RefThread, t.ID)
}

func (m *model) makeThreads(r *kovra.Run) {
	if r.Status == "" {
		return
	}
	for _, k := range slices.SortedFunc(maps.Keys(m.subs), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		s := m.subs[k]
		app, ok := m.apps[s.App]
		if !ok || app.Project != r.Project || !s.Wants(r) {
			continue
		}
		loud := m.loudest(r, s.Channel)
		if i := slices.IndexFunc(m.threads, func(t *kovra.Thread) bool { return t.Run == r.ID && t.Channel == s.Channel }); i >= 0 {
			m.threads[i].Broadcast = loud
			continue
		}
		m.lastThread++
		m.threads = append(m.threads, &kovra.Thread{
			ID: m.lastThread, Run: r.ID, Channel: s.Channel, App: s.App, Version: 1, Broadcast: loud, CreatedAt: m.now,
		})
		m.wakeChildren(r)
	}
}

// loudest is the switch of all apps of the run's project that the channel hears of.
func (m *model) loudest(r *kovra.Run, channel string) kovra.Broadcast {
	all := map[kovra.Broadcast]bool{}
	for k, s := range m.subs {
		if k[1] == channel && m.apps[k[0]].Project == r.Project && s.Wants(r) {
			all[s.Filter.Broadcast] = true
		}
	}
	for _, b := range []kovra.Broadcast{kovra.BroadcastAll, kovra.BroadcastOn} {
		if all[b] {
			return b
		}
	}
	return kovra.BroadcastOff
}

func (m *model) wakeChildren(r *kovra.Run) {
	for _, c := range m.runs {
		if c.Child() && c.Project == r.Project && c.Parent.Pipeline == r.Remote && c.Remote > r.Remote {
			c.DrivenVersion = 0
			m.tell(kovra.RefRun, c.ID)
			m.wakeChildren(c)
		}
	}
}

// children appends what hangs below a run, each followed by its own children. A child is younger than its parent.
func (m *model) children(ids []int64, r *kovra.Run) []int64 {
	for _, c := range slices.SortedFunc(slices.Values(m.runs), func(a, b *kovra.Run) int { return cmp.Compare(a.Remote, b.Remote) }) {
		if c.Child() && c.Project == r.Project && c.Parent.Pipeline == r.Remote && c.Remote > r.Remote {
			ids = m.children(append(ids, c.ID), c)
		}
	}
	return ids
}

func (m *model) renderAgain(renderer, limit int) {
	left := limit
	for _, t := range slices.Backward(m.threads) {
		if t.Broken != "" {
			continue
		}
		if left--; left < 0 {
			return
		}
		if t.ShownBy < renderer && t.ShownBy != 0 {
			t.Version++
		}
	}
}

func (m *model) forget(r *kovra.Run) {
	r.Stale, r.Read, r.ReadResults = false, true, len(r.Results)
	m.bump(r)
}

func (m *model) excerpt(k jobKey, e kovra.Excerpt) {
	j := m.jobs[k]
	j.Log, j.Excerpt = kovra.LogCut, e
	m.jobs[k] = j
	m.bump(m.runs[j.Run-1])
}

// holder is the action that has the lock; nil when it is free.
func (m *model) holder(lock string) *kovra.Action {
	for _, a := range m.actions {
		if a.Lock == lock && a.State != kovra.ActionFailed {
			return a
		}
	}
	return nil
}

func (m *model) propose(a kovra.Action, secret string) (kovra.Action, bool) {
	if first := m.holder(a.Lock); a.Lock != "" && first != nil {
		return *first, false
	}
	a.ID, a.State, a.CreatedAt = int64(len(m.actions)+1), kovra.ActionWanted, m.now
	m.actions = append(m.actions, &a)
	m.secrets[a.ID] = secret
	m.tell(kovra.RefAction, a.ID)
	return a, true
}

func (m *model) try(a *kovra.Action, p kovra.Params) {
	a.State, a.TriedAt, a.Params = kovra.ActionTried, m.now, p
}

func (m *model) untry(a *kovra.Action) {
	if a.State == kovra.ActionTried {
		a.State = kovra.ActionWanted
	}
}

func (m *model) finish(a *kovra.Action, state kovra.ActionState, out kovra.Outcome) {
	a.State, a.FinishedAt, a.Outcome, a.Run = state, m.now, out, max(a.Run, out.Run)
	m.secrets[a.ID] = ""
	m.tell(kovra.RefAction, a.ID)
	m.tell(kovra.RefAnswer, a.ID)
	if a.Run != 0 {
		m.bump(m.runs[a.Run-1])
	}
}

func (m *model) claim(a *kovra.Action) bool {
	was := a.Answered
	a.Answered, a.ReplyURL = true, ""
	return !was
}

// dirty is what is to be done, by the sentences of the design.
func (m *model) dirty() []kovra.Ref {
	m.told = map[kovra.Ref]bool{}
	for _, d := range m.deliveries {
		if d.Outcome == kovra.DeliveryPending {
			m.tell(kovra.RefDelivery, 0)
		}
	}
	for _, r := range m.runs {
		if r.Stale || r.DrivenVersion < r.Version {
			m.tell(kovra.RefRun, r.ID)
		}
	}
	for _, t := range m.threads {
		if t.Broken == "" && t.ShownVersion < t.Version {
			m.tell(kovra.RefThread, t.ID)
		}
	}
	for _, a := range m.actions {
		if a.Open() {
			m.tell(kovra.RefAction, a.ID)
		}
		if !a.Answered && !a.FinishedAt.IsZero() && (a.Late || m.now.Sub(a.FinishedAt) > 10*time.Second) {
			m.tell(kovra.RefAnswer, a.ID)
		}
	}
	return slices.SortedFunc(maps.Keys(m.told), compareRefs)
}

func (m *model) state() state {
	s := state{Dirty: m.dirty(), Listed: [][]int64{{}, {}}}
	for _, name := range slices.Sorted(maps.Keys(m.apps)) {
		s.Apps = append(s.Apps, m.apps[name])
		for _, c := range channels {
			if sub, ok := m.subs[[2]string{name, c}]; ok {
				s.Subs = append(s.Subs, sub)
			}
		}
	}
	for _, id := range channels {
		c := m.channels[id]
		c.ID = id
		s.Channels = append(s.Channels, c)
	}
	for _, d := range slices.Backward(m.deliveries) {
		d := *d
		d.Body = nil
		s.Deliveries = append(s.Deliveries, d)
		if d.Outcome == kovra.DeliveryPending {
			s.Pending = append(s.Pending, d.ID)
		}
	}
	slices.Sort(s.Pending)
	m.runState(&s)
	for _, a := range slices.Backward(m.actions) {
		s.Actions = append(s.Actions, *a)
		s.Secrets = append(s.Secrets, m.secrets[a.ID])
	}
	for _, kind := range []kovra.ActionKind{kovra.ActCancel, kovra.ActRun} {
		for _, a := range m.actions {
			if a.Kind == kind && a.Open() {
				s.Open = append(s.Open, a.ID)
			}
		}
	}
	return s
}

func (m *model) runState(s *state) {
	for _, r := range slices.SortedFunc(slices.Values(m.runs), func(a, b *kovra.Run) int { return cmp.Compare(a.Remote, b.Remote) }) {
		if !r.Child() {
			s.Listed[r.Project-1] = slices.Insert(s.Listed[r.Project-1], 0, r.ID)
		}
	}
	for _, r := range m.runs {
		s.Runs = append(s.Runs, *r)
		linked := slices.ContainsFunc(slices.Collect(maps.Values(m.apps)), func(a kovra.App) bool { return a.Project == r.Project })
		if linked && !r.Status.Final() && r.Status != kovra.Manual && r.Status != kovra.Scheduled {
			s.Quiet = append(s.Quiet, r.ID)
		}
		s.Children = append(s.Children, m.children([]int64{}, r))
		for _, k := range slices.SortedFunc(maps.Keys(m.jobs), func(a, b jobKey) int { return cmp.Compare(a.id, b.id) }) {
			if j := m.jobs[k]; j.Run == r.ID {
				s.Jobs = append(s.Jobs, j)
			}
		}
		for _, c := range channels {
			m.threadState(s, r.ID, c)
		}
	}
}

func (m *model) threadState(s *state, run int64, channel string) {
	for _, t := range m.threads {
		if t.Run != run || t.Channel != channel {
			continue
		}
		s.Threads = append(s.Threads, *t)
		slots := map[string]kovra.Slot{}
		for k, v := range m.slots {
			if k.thread == t.ID {
				slots[k.key] = v
			}
		}
		s.Slots = append(s.Slots, slots)
		c := m.channels[channel]
		s.NoLogs = append(s.NoLogs, !c.ShowsLogs())
	}
}
