package bot

import (
	"fmt"
	"testing"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

// TestThreadOfMergeRequest: what is said in the thread of a merge request is about a pipeline of its own, and of the project
// that the app has now.
func TestThreadOfMergeRequest(t *testing.T) {
	for name, tt := range map[string]struct {
		fork  bool
		runOf int64 // the merge request that the pipeline is of; 0: the branch
		moved bool  // the app has another project since
		want  bool
	}{
		"its pipeline":   {runOf: 3, want: true},
		"of its branch":  {want: true},
		"of another one": {runOf: 4},
		"of a fork":      {fork: true, runOf: 3, want: true},
		"a branch of the same name as in the fork":   {fork: true},
		"of a project that the app has not any more": {runOf: 3, moved: true},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			run := kovra.Run{Project: 7, Remote: 12, Ref: "main", Status: kovra.Running, CreatedAt: noon, SHA: "0123456789abcdef0123456789abcdef01234567"}
			if run.Source = "push"; tt.runOf != 0 {
				run.Source, run.MR = "merge_request_event", kovra.MergeRequest{IID: tt.runOf}
			}
			d.pipeline(run)
			var s kovra.Subject
			d.update(func(tx *storage.Tx) error {
				err := tx.SaveSubscription(kovra.Subscription{App: "web", Channel: "C3", Filter: kovra.Filter{Topics: []kovra.Topic{kovra.TopicMergeRequests}}})
				if err != nil {
					return err
				}
				seen := kovra.Subject{Project: 7, Kind: kovra.SubjectMergeRequest, Key: "3", Ref: "main", Source: "main", Fork: tt.fork, State: "opened", UpdatedAt: noon}
				if _, err := tx.ObserveSubject(seen); err != nil {
					return err
				}
				if s, err = tx.SubjectByKey(7, kovra.SubjectMergeRequest, "3"); err != nil || !tt.moved {
					return err
				}
				return tx.SaveApp(kovra.App{Name: "web", Project: 8})
			})
			v, err := d.handler.threadView(t.Context(), kovra.Thread{Subject: s.ID, App: "web", Channel: "C3"})
			if err != nil {
				t.Fatal(err)
			}
			if got := v.Run.ID != 0; got != tt.want {
				t.Errorf("it is about pipeline %d: %t, want %t", v.Run.Remote, got, tt.want)
			}
		})
	}
}

// TestEditedMention: a message does what it asks for once. One that was obeyed does nothing more, whatever it is changed to; one
// that came to nothing can be corrected.
func TestEditedMention(t *testing.T) {
	for name, tt := range map[string]struct {
		thread    bool // it is said in the thread of a failed pipeline
		said, now string
		fails     bool // what it asked for first
		actions   int
		silent    bool // the edit is not answered
	}{
		"a start":              {said: "pipeline run web main", now: "pipeline run web next", actions: 1, silent: true},
		"a start that failed":  {said: "pipeline run web mian", now: "pipeline run web main", fails: true, actions: 2},
		"a start, now a look":  {said: "pipeline run web main", now: "apps", actions: 1, silent: true},
		"a look, now a start":  {said: "apps", now: "pipeline run web main", actions: 1},
		"a retry":              {thread: true, said: "retry", now: "retry please", actions: 1, silent: true},
		"a retry, now a start": {thread: true, said: "retry", now: "watch", actions: 1, silent: true},
		"a typing error":       {thread: true, said: "rettry", now: "retry", actions: 1},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			card, parent := d.card("C1", d.failed()), ""
			if tt.thread {
				parent = card.TS
			}
			if tt.fails {
				d.ends(kovra.ActionFailed, kovra.Outcome{Kind: kovra.NotFound, Reason: "There is no branch mian."})
			}
			if err := d.sim.Mention(t.Context(), "U1", "C1", parent, tt.said); err != nil {
				t.Fatal(err)
			}
			before := len(d.sim.Ephemerals("U1"))
			if err := d.sim.EditMention(t.Context(), "U1", d.lastOf("U1", "C1"), tt.now); err != nil {
				t.Fatal(err)
			}
			if got := len(d.actions()); got != tt.actions {
				t.Errorf("%d actions, want %d", got, tt.actions)
			}
			if silent := len(d.sim.Ephemerals("U1")) == before; before == 0 || silent != tt.silent {
				t.Errorf("first %d answers, then silent: %t, want %t", before, silent, tt.silent)
			}
		})
	}
}

// TestMentionEditedLate: nobody corrects a wish with a message of yesterday.
func TestMentionEditedLate(t *testing.T) {
	for edited, want := range map[string]int{"1700003599.5": 1, "1700003700.1": 0, "soon": 0} {
		d := newDesk(t)
		event := fmt.Sprintf(`{"type":"app_mention","user":"U1","channel":"C1","ts":"1700000000.1","text":"pipeline run web main","edited":{"user":"U1","ts":%q}}`, edited)
		if err := d.handler.Event(t.Context(), []byte(`{"type":"event_callback","event":`+event+`}`)); err != nil {
			t.Fatal(err)
		}
		if got := len(d.actions()); got != want {
			t.Errorf("edited at %s: %d actions, want %d", edited, got, want)
		}
	}
}

// lastOf is what somebody wrote last.
func (d *desk) lastOf(user, channel string) (ref slacksim.Ref) {
	d.t.Helper()
	for _, m := range d.sim.Messages(channel) {
		for _, r := range append(d.sim.Replies(channel, m.TS), m) {
			if r.User == user && r.TS > ref.TS {
				ref = r.Ref()
			}
		}
	}
	return ref
}
