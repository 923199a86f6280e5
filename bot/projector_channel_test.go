package bot

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

// failure is the only failure reply in the channel, with its buttons.
func (s *stage) failure() (text string, edits int) {
	s.t.Helper()
	_, replies := s.thread(testChannel)
	if len(replies) != 1 {
		s.t.Fatalf("%d replies, want 1", len(replies))
	}
	return slacksim.Text(replies[0]) + " " + strings.Join(slacksim.Buttons(replies[0].Tree), " "), replies[0].Edits
}

func (s *stage) wantFailure(when string, logs bool) {
	s.t.Helper()
	text, _ := s.failure()
	shown := strings.Contains(text, "it broke") && strings.Contains(text, "Full log")
	hidden := strings.Contains(text, saysLogHidden) && !strings.Contains(text, "it broke") && !strings.Contains(text, "Full log")
	if logs && !shown || !logs && !hidden {
		s.t.Errorf("%s: logs shown %v, want %v:\n%s", when, shown, logs, text)
	}
	if !strings.Contains(text, "Retry job") || !strings.Contains(text, "View in GitLab") {
		s.t.Errorf("%s: the other buttons are gone:\n%s", when, text)
	}
}

// viewed is a stage whose jobs have pages to look at, and one failure.
func viewed(t *testing.T) *stage {
	t.Helper()
	s := newStage(t)
	s.see(100, kovra.Running, kovra.Job{ID: 1, Name: "job1", Stage: "test", Status: kovra.Failed, URL: "https://gitlab.example/group/web/-/jobs/1"})
	s.update(func(tx *storage.Tx) error {
		return tx.SetExcerpt(testProject, 1, kovra.LogCut, kovra.Excerpt{Lines: []kovra.ExcerptLine{{N: 3, Text: "it broke"}}, Total: 3})
	})
	return s
}

func TestProjectorAsksOnceForAChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.sim.Fault(slacksim.Delay("conversations.info", time.Second))
		for remote := range int64(5) {
			s.see(100+remote, kovra.Running)
		}
		var wg sync.WaitGroup
		for _, id := range s.threads() {
			wg.Go(func() {
				if _, err := s.projector.Reconcile(t.Context(), id); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		s.drive(s.projector)
		asked := func(when string, want int) {
			t.Helper()
			if n := s.sim.CallCount("conversations.info"); n != want {
				t.Errorf("%s: Slack was asked %d times, want %d", when, n, want)
			}
		}
		asked("five at once", 1)
		time.Sleep(channelTrust - 30*time.Second)
		s.see(100, kovra.Success)
		s.drive(s.fresh())
		asked("a little later", 1)
		time.Sleep(time.Minute)
		s.drive(s.projector)
		asked("nothing to show", 1)
		s.see(101, kovra.Success)
		s.drive(s.projector)
		asked("much later", 2)
	})
}

func TestProjectorHidesLogsInASharedChannel(t *testing.T) {
	for name, share := range map[string]func(*slacksim.Channel){
		"shared":  func(c *slacksim.Channel) { c.ExtShared = true },
		"invited": func(c *slacksim.Channel) { c.PendingExtShared = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := viewed(t)
				s.sim.SetChannel(testChannel, share)
				s.drive(s.projector)
				s.wantFailure("at first", false)
				if _, edits := s.failure(); edits != 0 {
					t.Errorf("%d edits: the log was shown for a moment", edits)
				}
				s.update(func(tx *storage.Tx) error { return tx.AllowLogs(testChannel, true) })
				s.drive(s.projector)
				s.wantFailure("allowed", true)
				s.update(func(tx *storage.Tx) error { return tx.AllowLogs(testChannel, false) })
				s.drive(s.projector)
				s.wantFailure("not allowed any more", false)
			})
		})
	}
}

func TestProjectorShowsLogsInsideTheEnterprise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := viewed(t)
		s.sim.SetChannel(testChannel, func(c *slacksim.Channel) { c.OrgShared = true })
		s.drive(s.projector)
		s.wantFailure("shared with a sister workspace", true)
	})
}

func TestProjectorTakesLogsOutOfAChannelThatBecomesShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := viewed(t)
		h := NewHandler(HandlerOptions{DB: s.db})
		event := func(kind string, shared bool) {
			t.Helper()
			s.sim.SetChannel(testChannel, func(c *slacksim.Channel) { c.ExtShared = shared })
			if err := h.Event(t.Context(), fmt.Appendf(nil, `{"event":{"type":%q,"channel":%q}}`, kind, testChannel)); err != nil {
				t.Fatal(err)
			}
			s.drive(s.projector)
		}
		s.drive(s.projector)
		s.wantFailure("at first", true)
		time.Sleep(time.Second)
		event("channel_shared", true)
		s.wantFailure("shared", false)
		event("channel_unshared", true)
		s.wantFailure("one of two left", false)
		event("channel_unshared", false)
		s.wantFailure("the other left", true)

		// Without an event it is noticed when the channel is shown something next.
		s.sim.SetChannel(testChannel, func(c *slacksim.Channel) { c.ExtShared = true })
		time.Sleep(2 * channelTrust)
		s.see(101, kovra.Running)
		for _, id := range s.threads() {
			if _, err := s.projector.Reconcile(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		if ids := s.threads(); len(ids) != 1 {
			t.Errorf("%d threads are to be shown anew, want the older one", len(ids))
		}
	})
}

// afterCard runs do once, right after the first post, which is the card's.
type afterCard struct {
	slackWriter
	do func()
}

func (a *afterCard) Post(ctx context.Context, channel, thread string, m Message, nonce string) (string, error) {
	ts, err := a.slackWriter.Post(ctx, channel, thread, m, nonce)
	if a.do != nil {
		a.do()
		a.do = nil
	}
	return ts, err
}

// TestProjectorLooksBetweenMessages: a channel may become shared in the middle of a pass.
func TestProjectorLooksBetweenMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := viewed(t)
		h := NewHandler(HandlerOptions{DB: s.db})
		s.projector.slack = &afterCard{s.projector.slack, func() {
			s.sim.SetChannel(testChannel, func(c *slacksim.Channel) { c.ExtShared = true })
			if err := h.Event(t.Context(), fmt.Appendf(nil, `{"event":{"type":"channel_shared","channel":%q}}`, testChannel)); err != nil {
				t.Error(err)
			}
		}}
		s.drive(s.projector)
		s.wantFailure("shared after the card was posted", false)
		if _, edits := s.failure(); edits != 0 {
			t.Errorf("%d edits: the log was shown for a moment", edits)
		}
	})
}

// TestProjectorShowsNothingUntilItKnows: a channel that Slack tells nothing of is shown nothing.
func TestProjectorShowsNothingUntilItKnows(t *testing.T) {
	for name, fault := range map[string]slacksim.Fault{
		"down":    slacksim.Status("conversations.info", 500),
		"refused": slacksim.ErrorCode("conversations.info", "missing_scope"),
		"limited": slacksim.RateLimit("conversations.info", 7*time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := viewed(t)
				s.sim.SetChannel(testChannel, func(c *slacksim.Channel) { c.ExtShared = true })
				s.sim.Fault(fault)
				after, err := s.projector.Reconcile(t.Context(), s.threads()[0])
				if (err == nil) != (after > 0) {
					t.Errorf("after %v, error %v: want one of them", after, err)
				}
				if n := s.sim.CallCount("chat.postMessage"); n != 0 {
					t.Errorf("%d posts before it was known who reads them", n)
				}
				time.Sleep(after)
				s.drive(s.projector)
				s.wantFailure("in the end", false)
			})
		})
	}
}

// TestProjectorPausesAChannelItCannotSee: what refuses the question refuses the post.
func TestProjectorPausesAChannelItCannotSee(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := viewed(t)
		s.sim.SetChannel(testChannel, func(c *slacksim.Channel) { c.Private, c.Members = true, []string{"U1"} })
		if failed := s.drive(s.projector); failed != 0 {
			t.Errorf("%d passes failed", failed)
		}
		s.update(func(tx *storage.Tx) error {
			subs, err := tx.Subscriptions(storage.SubscriptionQuery{Channel: testChannel})
			if err == nil && subs[0].Paused == "" {
				t.Error("the subscription goes on")
			}
			return err
		})
	})
}

func TestEventsTellOfSharing(t *testing.T) {
	db, err := storage.Open(t.Context(), storage.Options{Path: filepath.Join(t.TempDir(), "state.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	now := time.Now()
	h := NewHandler(HandlerOptions{DB: db, Now: func() time.Time { return now }})
	for _, tt := range []struct {
		event         string
		shared, known bool
	}{
		{`{"type":"channel_unshared","channel":"C1","previously_connected_team_id":"T9"}`, false, false},
		{`{"type":"channel_shared","channel":"C1","connected_team_id":"T9"}`, true, true},
		{`{"type":"member_joined_channel","user":"U1","channel":"C1"}`, true, true},
		{`{"type":"channel_shared","channel":"C2","connected_team_id":"T9"}`, true, true},
		{`{"type":"channel_unshared","channel":"C1","is_ext_shared":false}`, true, false},
	} {
		if err := h.Event(t.Context(), []byte(`{"type":"event_callback","event":`+tt.event+`}`)); err != nil {
			t.Fatal(err)
		}
		var c kovra.Channel
		err := db.Read(t.Context(), func(tx *storage.Tx) (err error) {
			c, err = tx.Channel("C1")
			return err
		})
		if err != nil || c.Shared != tt.shared || c.CheckedAt.IsZero() == tt.known {
			t.Errorf("%s: %+v, %v; want shared %v, known %v", tt.event, c, err, tt.shared, tt.known)
		}
	}
}
