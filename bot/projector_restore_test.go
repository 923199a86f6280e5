package bot

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

// copied is a copy of the stage's database as it is now.
func (s *stage) copied() string {
	s.t.Helper()
	to := filepath.Join(s.t.TempDir(), "backup.db")
	if _, err := storage.Backup(s.t.Context(), s.path, to); err != nil {
		s.t.Fatal(err)
	}
	return to
}

// restore goes on with a copy, as after a start from it.
func (s *stage) restore(path string) {
	s.t.Helper()
	s.db, s.path = opened(s.t, path), path
	s.update(func(tx *storage.Tx) error {
		_, restored, err := tx.BeginRestored()
		if !restored {
			s.t.Error("it is not taken for a copy")
		}
		return err
	})
	s.projector = s.fresh()
}

// posted are the messages of a channel, the replies below their parents.
func (s *stage) posted(channel string) []string {
	s.t.Helper()
	var all []string
	for _, m := range s.sim.Messages(channel) {
		if m.ThreadTS != "" {
			continue
		}
		all = append(all, m.TS)
		for _, r := range s.sim.Replies(channel, m.TS) {
			all = append(all, m.TS+" "+r.TS)
		}
	}
	return all
}

// failAt has a pipeline fail at a time that GitLab tells.
func (s *stage) failAt(remote int64, at time.Time) {
	s.t.Helper()
	s.update(func(tx *storage.Tx) error {
		_, _, err := tx.Observe(kovra.Observation{Run: kovra.Run{Project: testProject, Remote: remote, Status: kovra.Failed, FinishedAt: at}, At: time.Now()})
		return err
	})
}

// TestProjectorAdoptsAfterARestore: what was posted after the backup is found and edited, not posted again, and what
// happens later is posted.
func TestProjectorAdoptsAfterARestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.see(100, kovra.Running)
		s.drive(s.projector)
		backup := s.copied()
		time.Sleep(time.Hour)
		ended := time.Now()
		lost := func() {
			s.fail(100, 2) // a reply in a thread that the backup knows
			s.failAt(100, ended)
			s.see(101, kovra.Running) // a thread that it does not know
			s.fail(101, 3)
		}
		lost()
		s.drive(s.projector)
		before := s.posted(testChannel)

		time.Sleep(time.Hour)
		s.restore(backup)
		lost() // GitLab tells again
		if failed := s.drive(s.projector); failed > 0 {
			t.Errorf("%d passes failed", failed)
		}
		if got := s.posted(testChannel); strings.Join(got, "\n") != strings.Join(before, "\n") || len(got) < 5 {
			t.Errorf("after the restore there are\n%q\nbefore there were\n%q", got, before)
		}
		s.see(101, kovra.Failed, kovra.Job{ID: 4, Name: "job4", Stage: "test", Status: kovra.Canceled})
		s.drive(s.fresh())
		got := s.posted(testChannel)
		if len(got) != len(before)+1 {
			t.Errorf("the end of the pipeline was posted %d times, want once", len(got)-len(before))
		}
		m, _ := s.sim.Message(testChannel, strings.Fields(got[len(got)-1])[0])
		if !strings.Contains(slacksim.Text(m), "Failed") {
			t.Errorf("the adopted card says %q", slacksim.Text(m))
		}
	})
}

// TestProjectorAdoptsCheaply: the cards of a hundred threads cost one look into the channel, and what began after the
// restore none.
func TestProjectorAdoptsCheaply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		backup := s.copied()
		time.Sleep(time.Hour)
		lost := func() {
			for i := range 100 {
				s.see(int64(100+i), kovra.Running)
			}
		}
		lost()
		s.drive(s.projector)
		time.Sleep(time.Hour)
		s.restore(backup)
		lost()
		s.drive(s.projector)
		looked := s.sim.CallCount("conversations.history") + s.sim.CallCount("conversations.replies")
		if got := len(s.posted(testChannel)); got != 100 || looked != 1 {
			t.Errorf("%d cards, %d looks, want 100 and 1", got, looked)
		}
		time.Sleep(time.Hour)
		s.update(func(tx *storage.Tx) error {
			r := kovra.Run{Project: testProject, Remote: 300, Ref: "main", Status: kovra.Running, CreatedAt: time.Now()}
			_, _, err := tx.Observe(kovra.Observation{Run: r, At: time.Now()})
			return err
		})
		s.drive(s.fresh()) // it has forgotten what it found
		looks := s.sim.CallCount("conversations.history") + s.sim.CallCount("conversations.replies") - looked
		if got := len(s.posted(testChannel)); got != 101 || looks != 0 {
			t.Errorf("%d cards, %d more looks, want 101 and 0", got, looks)
		}
	})
}

// TestProjectorAdoptsNotices: what administrators were told after the backup is found by what it is about, and the message
// of one notice never becomes that of another.
func TestProjectorAdoptsNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		backup := s.copied()
		ends := time.Now().AddDate(0, 0, 30)
		tell := func(notice int64, token kovra.TokenSight) {
			s.update(func(tx *storage.Tx) error {
				if err := tx.SawGitLabToken(token); err != nil {
					return err
				}
				return tx.TellNotice(notice, []string{"U1"})
			})
			s.drive(s.projector)
		}
		posts := func() int { return called(s.sim, "chat.postMessage") }
		time.Sleep(time.Hour)
		tell(1, kovra.TokenSight{ID: 5, Expires: ends})
		time.Sleep(time.Hour)
		s.restore(backup)
		tell(1, kovra.TokenSight{Refused: "It is revoked."})
		if got := posts(); got != 2 {
			t.Errorf("%d messages: the one about another thing was not posted", got)
		}
		tell(2, kovra.TokenSight{ID: 5, Expires: ends})
		if got := posts(); got != 2 {
			t.Errorf("%d messages: what was told before was not found", got)
		}
	})
}

// TestProjectorAdoptsNothingElse: without a restore nothing is looked for, and what somebody else posted is not ours,
// whatever it says of itself.
func TestProjectorAdoptsNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		backup := s.copied()
		s.see(100, kovra.Running)
		s.drive(s.projector)
		if n := s.sim.CallCount("conversations.history"); n != 0 {
			t.Errorf("%d looks without a restore", n)
		}
		time.Sleep(time.Hour)
		s.restore(backup)
		s.see(101, kovra.Running)
		s.drive(s.projector)
		if got := len(s.posted(testChannel)); got != 2 {
			t.Errorf("%d cards, want 2", got)
		}
	})
}

// TestProjectorAdoptsOnlyOurs: metadata can be forged, the sender cannot.
func TestProjectorAdoptsOnlyOurs(t *testing.T) {
	body := fmt.Sprintf(`{"ok":true,"user_id":"UBOT","team_id":"T1","messages":[
		{"ts":"9.1","user":"UEVE","metadata":{"event_type":%[1]q,"event_payload":{"of":"run/7/1","slot":"card"}}},
		{"ts":"9.2","user":"UBOT","metadata":{"event_type":"other","event_payload":{"of":"run/7/2","slot":"card"}}},
		{"ts":"9.3","user":"UBOT","metadata":{"event_type":%[1]q,"event_payload":{"of":["x"],"slot":7}}},
		{"ts":"9.5","user":"UBOT","metadata":{"event_type":%[1]q,"event_payload":{"of":"run/7/3","slot":"card"}}},
		{"ts":"9.4","user":"UBOT","metadata":{"event_type":%[1]q,"event_payload":{"of":"run/7/3","slot":"card"}}}]}`, nonceEvent)
	got, whole, err := answers(t, 200, body).Ours(t.Context(), "C1", "", time.Now(), time.Now())
	if len(got) != 1 || got["run/7/3 card"] != "9.4" || !whole || err != nil {
		t.Errorf("%v, %t, %v", got, whole, err)
	}
}

// TestProjectorWaitsToLook: while Slack does not show what was posted nothing is posted.
func TestProjectorWaitsToLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		backup := s.copied()
		time.Sleep(time.Hour)
		s.see(100, kovra.Running)
		s.drive(s.projector)
		time.Sleep(time.Hour)
		s.restore(backup)
		s.sim.Fault(
			slacksim.RateLimit("conversations.history", 3*time.Second), slacksim.Drop("conversations.history"),
			slacksim.ErrorCode("conversations.history", "missing_scope").Times(2),
		)
		s.see(100, kovra.Running)
		if failed := s.drive(s.projector); failed != 3 {
			t.Errorf("%d passes failed, want 3", failed)
		}
		if got := len(s.posted(testChannel)); got != 1 {
			t.Errorf("%d cards, want 1", got)
		}
	})
}
