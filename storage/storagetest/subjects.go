package storagetest

import (
	"fmt"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// subscribe saves a subscription of web and returns it as it is stored.
func (w *world) subscribe(channel string, f kovra.Filter) kovra.Subscription {
	w.t.Helper()
	w.update(func(tx *storage.Tx) error {
		return tx.SaveSubscription(kovra.Subscription{App: "web", Channel: channel, Filter: f, CreatedBy: "UALICE", CreatedAt: w.now()})
	})
	for _, s := range w.subscriptions() {
		if s.Channel == channel && s.Filter.Key() == f.Key() {
			return s
		}
	}
	w.t.Fatalf("the subscription %q of %s is not there", f, channel)
	return kovra.Subscription{}
}

func (w *world) subscriptions() []kovra.Subscription {
	w.t.Helper()
	return get(w, func(tx *storage.Tx) ([]kovra.Subscription, error) {
		return tx.Subscriptions(storage.SubscriptionQuery{App: "web"})
	})
}

// testSeveralSubscriptions: a channel has one for each thing that it selects, with an id of its own for ever.
func testSeveralSubscriptions(w *world) {
	w.link("web", group)
	usual := w.subscribe("C1", kovra.Filter{})
	failures := w.subscribe("C1", kovra.Filter{Only: kovra.OnlyFailures, Refs: []string{"b", "a"}})
	other := w.subscribe("C2", kovra.Filter{})
	w.same("in the order of their age", []int64{usual.ID, failures.ID, other.ID}, subscriptionIDs(w.subscriptions()))

	louder := w.subscribe("C1", kovra.Filter{Only: kovra.OnlyFailures, Refs: []string{"a", "b", "a"}, Broadcast: kovra.BroadcastAll, Quiet: true})
	if louder.ID != failures.ID || louder.Filter.Broadcast != kovra.BroadcastAll || !louder.Filter.Quiet {
		w.t.Errorf("what selects the same is changed: got %+v", louder)
	}
	one := get(w, func(tx *storage.Tx) (kovra.Subscription, error) { return tx.Subscription(louder.ID) })
	w.same("by id", louder, one)

	moved := louder
	moved.Filter.Refs = []string{"c"}
	w.update(func(tx *storage.Tx) error { return tx.SaveSubscription(moved) })
	w.same("as many as before", []int64{usual.ID, failures.ID, other.ID}, subscriptionIDs(w.subscriptions()))
	w.same("it selects other things", "ref:c only:failures broadcast:all quiet", w.subscriptions()[1].Filter.String())

	moved.Filter = kovra.Filter{Quiet: true}
	w.refuses(kovra.Conflict, "two that select the same", func(tx *storage.Tx) error { return tx.SaveSubscription(moved) })

	drop := func(channel string, id int64) int64 {
		return put(w, func(tx *storage.Tx) (int64, error) { return tx.DeleteSubscriptions("web", channel, id) })
	}
	w.same("of another channel", int64(0), drop("C2", usual.ID))
	w.same("one", int64(1), drop("C1", failures.ID))
	again := w.subscribe("C1", kovra.Filter{Refs: []string{"c"}})
	if again.ID <= other.ID {
		w.t.Errorf("the id %d was used before", again.ID)
	}
	w.same("all of the channel", int64(2), drop("C1", 0))
	w.same("others stay", []int64{other.ID}, subscriptionIDs(w.subscriptions()))
}

func subscriptionIDs(subs []kovra.Subscription) (out []int64) {
	for _, s := range subs {
		out = append(out, s.ID)
	}
	return out
}

func testTopicsOf(w *world) {
	w.link("web", group)
	w.link("api", 8, "C1")
	topics := func() (out []string) {
		of := get(w, func(tx *storage.Tx) (map[kovra.Topic]bool, error) { return tx.TopicsOf(group) })
		for _, t := range kovra.Topics() {
			if of[t] {
				out = append(out, string(t))
			}
		}
		return out
	}
	w.same("nobody", []string(nil), topics())
	w.subscribe("C1", kovra.Filter{})
	w.subscribe("C2", kovra.Filter{Topics: []kovra.Topic{kovra.TopicTags, kovra.TopicBuilds}})
	w.same("together", []string{"pipelines", "builds", "tags"}, topics())
}

// mr is a word on merge request 3.
func mr(state string, moved time.Time) kovra.Subject {
	return kovra.Subject{
		Project: group, Kind: kovra.SubjectMergeRequest, Key: "3", Title: "Add it", Ref: "main", State: state,
		By: kovra.GitLabUser{ID: 1, Username: "ann"}, UpdatedAt: moved, MovedAt: moved,
	}
}

func (w *world) hear(s kovra.Subject) kovra.SubjectTaken {
	w.t.Helper()
	return put(w, func(tx *storage.Tx) (kovra.SubjectTaken, error) { return tx.ObserveSubject(s) })
}

func testSubjects(w *world) {
	w.link("web", group, "C1")
	w.same("nobody asked", kovra.SubjectTaken{}, w.hear(mr("opened", w.now())))
	w.refuses(kovra.NotFound, "it is not kept", func(tx *storage.Tx) error {
		_, err := tx.SubjectByKey(group, kovra.SubjectMergeRequest, "3")
		return err
	})
	w.subscribe("C1", kovra.Filter{Topics: []kovra.Topic{kovra.TopicMergeRequests}})
	w.same("new", kovra.SubjectTaken{Heard: true, Changed: true}, w.hear(mr("opened", w.now())))
	w.same("again", kovra.SubjectTaken{Heard: true}, w.hear(mr("opened", w.now())))
	w.same("further", kovra.SubjectTaken{Heard: true, Changed: true}, w.hear(mr("merged", w.now().Add(time.Minute))))
	tag := mr("created", w.now())
	tag.Kind = kovra.SubjectTag
	w.same("another kind of that key", kovra.SubjectTaken{}, w.hear(tag))
	elsewhere := mr("opened", w.now())
	elsewhere.Project = 8
	w.same("another project", kovra.SubjectTaken{}, w.hear(elsewhere))

	got := get(w, func(tx *storage.Tx) (kovra.Subject, error) {
		return tx.SubjectByKey(group, kovra.SubjectMergeRequest, "3")
	})
	if got.State != "merged" || got.Version != 2 || got.Title != "Add it" || got.Project != group || got.Key != "3" || got.Kind != kovra.SubjectMergeRequest {
		w.t.Errorf("got %+v", got)
	}
	w.same("by id", got, get(w, func(tx *storage.Tx) (kovra.Subject, error) { return tx.Subject(got.ID) }))
	w.update(func(tx *storage.Tx) error { _, err := tx.DeleteSubscriptions("web", "C1", 0); return err })
	w.same("what was heard of goes on", kovra.SubjectTaken{Heard: true, Changed: true}, w.hear(mr("closed", w.now().Add(time.Hour))))
}

// testSubjectThreads: a message in each channel that wants it, from the turn on that it wants.
func testSubjectThreads(w *world) {
	w.link("web", group)
	topics := []kovra.Topic{kovra.TopicMergeRequests}
	w.subscribe("C1", kovra.Filter{Topics: topics, Quiet: true})
	w.subscribe("C2", kovra.Filter{Topics: topics, Refs: []string{"release/*"}})
	w.subscribe("C3", kovra.Filter{Topics: topics})
	w.notices()
	draft := mr("opened", w.now())
	draft.Draft = true
	w.hear(draft)
	w.same("a draft", [][]kovra.Ref(nil), w.notices())

	w.pass(time.Minute)
	w.hear(mr("opened", w.now()))
	threads := w.dirty(kovra.RefThread)
	w.same("told", [][]kovra.Ref{threads}, w.notices())
	var got []string
	for _, ref := range threads {
		v := get(w, func(tx *storage.Tx) (kovra.View, error) { return tx.View(ref.ID) })
		got = append(got, fmt.Sprint(v.Thread.Channel, " ", v.App.Name, " ", v.Thread.Quiet, " ", v.Subject.State, " ", v.Run.ID, v.Build == nil))
	}
	w.same("threads", []string{"C1 web true opened 0 true", "C3 web false opened 0 true"}, got)

	w.settle()
	w.pass(time.Minute)
	w.subscribe("C4", kovra.Filter{Topics: topics})
	w.pass(time.Minute)
	late := mr("opened", time.Time{}) // a label
	late.UpdatedAt = w.now()
	w.hear(late)
	w.same("no turn: no new thread, the others are shown anew", threads, w.dirty(kovra.RefThread))
	w.hear(mr("merged", w.now()))
	w.same("a turn", 3, len(w.dirty(kovra.RefThread)))
}

func testPruneSubjects(w *world) {
	w.link("web", group)
	w.subscribe("C1", kovra.Filter{Topics: []kovra.Topic{kovra.TopicMergeRequests}})
	w.hear(mr("opened", w.now()))
	old := w.dirty(kovra.RefThread)[0].ID
	w.update(func(tx *storage.Tx) error { return tx.SaveSlot(old, kovra.Slot{Key: kovra.SlotCard, TS: "17.1"}) })
	w.pass(time.Hour)
	young := mr("opened", w.now())
	young.Key = "4"
	w.hear(young)
	prune := func() int64 {
		return put(w, func(tx *storage.Tx) (int64, error) { return tx.PruneSubjects(w.now().Add(-time.Minute)) })
	}
	w.same("the old one", int64(1), prune())
	w.same("no more", int64(0), prune())
	w.refuses(kovra.NotFound, "its thread", func(tx *storage.Tx) error { _, err := tx.View(old); return err })
	w.refuses(kovra.NotFound, "its message", func(tx *storage.Tx) error { _, err := tx.ThreadAt("C1", "17.1"); return err })
	w.same("the young one", 1, len(w.dirty(kovra.RefThread)))
}

// testChildrenOfChildren: a thread shows what hangs below its pipeline, however deep, and what people did to it.
func testChildrenOfChildren(w *world) {
	w.link("web", group, "C1")
	top := w.observe(pipeline(5, kovra.Running))
	child := w.observe(childOf(5, 6, kovra.Running))
	w.observe(childOf(5, 9, kovra.Running))
	deep := childOf(6, 7, kovra.Running)
	deep.Jobs = []kovra.Job{{ID: 70, Name: "links", Status: kovra.Failed}}
	grandchild := w.observe(deep)
	w.settle()
	view := func() kovra.View {
		return get(w, func(tx *storage.Tx) (kovra.View, error) { return tx.RunView(top.ID, "web") })
	}
	var got []string
	for _, c := range view().Children {
		got = append(got, fmt.Sprint(c.Run.Remote, " ", len(c.Jobs)))
	}
	w.same("each followed by its own", []string{"6 0", "7 1", "9 0"}, got)

	w.observe(childOf(6, 7, kovra.Success))
	w.same("news of the deepest are shown", 1, len(w.dirty(kovra.RefThread)))
	retry := w.propose(kovra.Action{Kind: kovra.ActRetryJob, App: "web", Run: grandchild.ID, Job: 70}, nil)
	other := w.propose(kovra.Action{Kind: kovra.ActCancel, App: "web", Run: top.ID}, nil)
	whole := w.propose(kovra.Action{Kind: kovra.ActRetry, App: "web", Run: child.ID}, nil)
	for _, a := range []kovra.Action{retry, other, whole} {
		w.finish(a.ID, kovra.ActionDone, kovra.Outcome{})
	}
	var deeds []int64
	for _, a := range view().Actions {
		deeds = append(deeds, a.ID)
	}
	w.same("what people did, but not to a child as a whole", []int64{retry.ID, other.ID}, deeds)
}
