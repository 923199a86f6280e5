package bot

import (
	"testing"

	"kovra.dev/chatops/internal/kovra"
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
