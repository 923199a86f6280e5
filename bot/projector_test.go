package bot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

const (
	testProject = 7
	testChannel = "C1"
)

// stage is a workspace, a state and a projector between them.
type stage struct {
	t         *testing.T
	sim       *slacksim.Server
	db        *storage.DB
	path      string // of the database
	client    *Client
	budget    *Budget
	projector *Projector
}

// newStage makes a stage in which one app is subscribed by some channels. It must be
// called inside a synctest bubble.
func newStage(t *testing.T, channels ...string) *stage {
	t.Helper()
	sim := slacksim.New(slacksim.Options{})
	sim.AddUser(slacksim.User{ID: "U1", Name: "alice"})
	path := filepath.Join(t.TempDir(), "state.db")
	s := &stage{t: t, sim: sim, db: opened(t, path), path: path, client: testClient(t, sim), budget: NewBudget()}
	s.projector = s.fresh()
	s.update(func(tx *storage.Tx) error {
		if err := tx.SaveProject(kovra.Project{ID: testProject, Path: "group/web", URL: "https://gitlab.example/group/web", DefaultBranch: "main"}); err != nil {
			return err
		}
		return tx.SaveApp(kovra.App{Name: "web", Project: testProject, CreatedBy: "U1"})
	})
	if len(channels) == 0 {
		channels = []string{testChannel}
	}
	for _, c := range channels {
		sim.AddChannel(slacksim.Channel{ID: c, Name: strings.ToLower(c), Members: []string{"U1", slacksim.BotUserID}})
		s.subscribe(c)
	}
	return s
}

// opened opens a database until the end of the test.
func opened(t *testing.T, path string) *storage.DB {
	t.Helper()
	db, err := storage.Open(t.Context(), storage.Options{Path: path, Key: [][]byte{[]byte(strings.Repeat("k", 32))}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func testClient(t *testing.T, sim *slacksim.Server) *Client {
	t.Helper()
	c, err := NewClient(ClientOptions{Token: fixed("xoxb-sim"), API: "http://slack.sim/api/", HTTP: sim.Client()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// fresh is a projector that remembers nothing, as after a restart; only the budget is
// shared.
func (s *stage) fresh() *Projector { return NewProjector(s.db, s.client, s.budget, time.Now, quiet()) }

func (s *stage) update(fn func(*storage.Tx) error) {
	s.t.Helper()
	if err := s.db.Update(s.t.Context(), fn); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) subscribe(channel string) {
	s.t.Helper()
	s.update(func(tx *storage.Tx) error {
		return tx.SaveSubscription(kovra.Subscription{App: "web", Channel: channel, Filter: kovra.Filter{Broadcast: kovra.BroadcastAll}, CreatedBy: "U1"})
	})
}

// see folds an observation of pipeline number remote.
func (s *stage) see(remote int64, status kovra.Status, jobs ...kovra.Job) {
	s.t.Helper()
	r := kovra.Run{
		Project: testProject, Remote: remote, Ref: "main", SHA: "0123456789abcdef", Status: status, Title: "Mend it",
		URL: fmt.Sprintf("https://gitlab.example/group/web/-/pipelines/%d", remote), Stages: []string{"build", "test"},
	}
	if status.Final() {
		r.FinishedAt = time.Now()
	}
	s.update(func(tx *storage.Tx) error {
		_, _, err := tx.Observe(kovra.Observation{Run: r, Jobs: jobs, At: time.Now()})
		return err
	})
}

// fail lets a job fail, with its log cut.
func (s *stage) fail(remote, job int64) {
	s.t.Helper()
	s.see(remote, kovra.Running, kovra.Job{ID: job, Name: fmt.Sprint("job", job), Stage: "test", Status: kovra.Failed})
	s.update(func(tx *storage.Tx) error {
		return tx.SetExcerpt(testProject, job, kovra.LogCut, kovra.Excerpt{Lines: []kovra.ExcerptLine{{N: 3, Text: "it broke"}}, Total: 3})
	})
}

// threads are the ids of all threads that are dirty.
func (s *stage) threads() []int64 {
	s.t.Helper()
	var ids []int64
	for ref, err := range s.db.Dirty(s.t.Context()) {
		if err != nil {
			s.t.Fatal(err)
		}
		if ref.Kind == kovra.RefThread {
			ids = append(ids, ref.ID)
		}
	}
	return ids
}

// drive does what loops do: it passes over what is dirty, waits as told, and goes on
// until nothing is dirty. It returns how many passes failed.
func (s *stage) drive(p *Projector) (failed int) {
	s.t.Helper()
	for range 500 {
		wait := time.Duration(0)
		ids := s.threads()
		if len(ids) == 0 {
			return failed
		}
		for _, id := range ids {
			after, err := p.Reconcile(s.t.Context(), id)
			if err != nil {
				failed++
				after = time.Second
			}
			if after > 0 && (wait == 0 || after < wait) {
				wait = after
			}
		}
		time.Sleep(wait)
	}
	s.t.Fatalf("still dirty: %v", s.threads())
	return 0
}

// thread is what a channel shows of its only thread: the card and the replies.
func (s *stage) thread(channel string) (card slacksim.Message, replies []slacksim.Message) {
	s.t.Helper()
	parents := slices.DeleteFunc(s.sim.Messages(channel), func(m slacksim.Message) bool { return m.ThreadTS != "" })
	if len(parents) != 1 {
		s.t.Fatalf("%s has %d parents, want 1", channel, len(parents))
	}
	return parents[0], s.sim.Replies(channel, parents[0].TS)
}

// count is how many calls of a method had this outcome.
func (s *stage) count(method, outcome string) int {
	n := 0
	for _, c := range s.sim.Calls() {
		if c.Method == method && c.Outcome == outcome {
			n++
		}
	}
	return n
}

func TestProjectorPostsOnceAndEditsInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.see(100, kovra.Running, kovra.Job{ID: 1, Name: "build", Stage: "build", Status: kovra.Running})
		s.drive(s.projector)
		card, _ := s.thread(testChannel)
		if !strings.Contains(slacksim.Text(card), "Running") {
			t.Errorf("the card says %q, want Running", slacksim.Text(card))
		}
		s.fail(100, 2)
		s.see(100, kovra.Failed)
		s.drive(s.fresh())
		again, replies := s.thread(testChannel)
		if again.TS != card.TS || !strings.Contains(slacksim.Text(again), "Failed") {
			t.Errorf("the card is %s and says %q, want %s and Failed", again.TS, slacksim.Text(again), card.TS)
		}
		if len(replies) != 2 || !strings.Contains(slacksim.Text(replies[0]), "it broke") || !replies[1].Broadcast {
			t.Errorf("replies: %+v, want a failure with its excerpt and a broadcast end", replies)
		}

		s.sim.ForgetCalls()
		s.update(func(tx *storage.Tx) error { return tx.RenderAgain(RendererVersion+1, 10) })
		s.drive(s.fresh())
		if calls := s.sim.Calls(); len(calls) != 0 {
			t.Errorf("nothing changed, but Slack was called: %+v", calls)
		}
	})
}

func TestProjectorMergesEdits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.see(100, kovra.Pending)
		s.drive(s.projector)
		for i := range int64(50) {
			s.see(100, kovra.Running, kovra.Job{ID: i + 1, Name: fmt.Sprint("job", i), Stage: "test", Status: kovra.Running})
		}
		s.drive(s.projector)
		if n := s.count("chat.update", "ok"); n != 1 {
			t.Errorf("%d edits for fifty changes at once, want 1", n)
		}
	})
}

// TestWatcherCostsNothing: what happens to the jobs of a pipeline is no news to who watches it, so Slack is not even asked for their
// channel, also after a restart.
func TestWatcherCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.see(100, kovra.Running)
		s.update(func(tx *storage.Tx) error {
			run, err := tx.RunByRemote(testProject, 100)
			if err == nil {
				_, err = tx.WatchRun(run.ID, "web", "U1")
			}
			return err
		})
		s.drive(s.projector)
		for i := range int64(100) {
			s.see(100, kovra.Running, kovra.Job{ID: i/2 + 1, Name: fmt.Sprint("job", i/2), Stage: "test", Status: []kovra.Status{kovra.Running, kovra.Success}[i%2]})
			if i == 50 {
				s.client = testClient(t, s.sim)
				s.projector = s.fresh()
			}
			s.drive(s.projector)
		}
		if n := s.count("conversations.open", "ok"); n > 1 {
			t.Errorf("the person's channel was asked for %d times, want once", n)
		}
		s.see(100, kovra.Success)
		s.drive(s.projector)
		channel, err := s.client.Direct(t.Context(), "U1")
		if said := s.sim.Messages(channel); err != nil || len(said) != 1 || !strings.Contains(slacksim.Text(said[0]), "Success") {
			t.Errorf("the person was told %d times, %v; want the end", len(said), err)
		}
	})
}

// crash is what happens at the n-th of all calls and commits, before or after it: a
// power cut, or, if err is set, an error.
type crash struct {
	left  int
	after bool
	err   error
	fired bool
}

type powerCutError struct{}

func (powerCutError) Error() string { return "power cut" }

func (c *crash) around(do func() error) error {
	c.left--
	if c.left != 0 {
		return do()
	}
	c.fired = true
	if c.after {
		_ = do() // whatever came of it, nobody hears of it
	}
	if c.err == nil {
		panic(powerCutError{})
	}
	return c.err
}

type crashingStore struct {
	store
	*crash
}

func (c crashingStore) Update(ctx context.Context, fn func(*storage.Tx) error) error {
	return c.around(func() error { return c.store.Update(ctx, fn) })
}

func (c crashingStore) Read(ctx context.Context, fn func(*storage.Tx) error) error {
	return c.around(func() error { return c.store.Read(ctx, fn) })
}

type crashingSlack struct {
	slackWriter
	*crash
}

func (c crashingSlack) Post(ctx context.Context, channel, threadTS string, m Message, nonce string) (ts string, err error) {
	err = c.around(func() (err error) {
		ts, err = c.slackWriter.Post(ctx, channel, threadTS, m, nonce)
		return err
	})
	return ts, err
}

func (c crashingSlack) Update(ctx context.Context, channel, ts string, m Message) error {
	return c.around(func() error { return c.slackWriter.Update(ctx, channel, ts, m) })
}

func (c crashingSlack) FindNonce(ctx context.Context, channel, threadTS, nonce string, since time.Time) (ts string, found bool, err error) {
	err = c.around(func() (err error) {
		ts, found, err = c.slackWriter.FindNonce(ctx, channel, threadTS, nonce, since)
		return err
	})
	return ts, found, err
}

func (c crashingSlack) Ours(ctx context.Context, channel, threadTS string, from, to time.Time) (ours map[string]string, whole bool, err error) {
	err = c.around(func() (err error) {
		ours, whole, err = c.slackWriter.Ours(ctx, channel, threadTS, from, to)
		return err
	})
	return ours, whole, err
}

func (c crashingSlack) Shared(ctx context.Context, channel string) (shared bool, err error) {
	err = c.around(func() (err error) {
		shared, err = c.slackWriter.Shared(ctx, channel)
		return err
	})
	return shared, err
}

func (c crashingSlack) Tell(ctx context.Context, user, text string) error {
	return c.around(func() error { return c.slackWriter.Tell(ctx, user, text) })
}

func (s *stage) crashing(c *crash) *Projector {
	return newProjector(crashingStore{s.db, c}, crashingSlack{s.client, c}, s.budget, time.Now, quiet())
}

// untilCrash drives a projector that dies.
func (s *stage) untilCrash(c *crash) {
	defer func() {
		p := recover()
		if err, _ := p.(error); p != nil && !errors.Is(err, powerCutError{}) {
			panic(p)
		}
	}()
	s.drive(s.crashing(c))
}

// story is a pipeline with three failures, shown in two steps by show.
func (s *stage) story(show func()) {
	s.see(100, kovra.Running)
	show()
	for job := range int64(3) {
		s.fail(100, job+1)
	}
	s.see(100, kovra.Failed)
	show()
}

func (s *stage) wantStory() {
	s.t.Helper()
	card, replies := s.thread(testChannel)
	if !strings.Contains(slacksim.Text(card), "Failed") || len(replies) != 4 {
		s.t.Errorf("the card says %q and has %d replies, want Failed and 4", slacksim.Text(card), len(replies))
	}
}

// unclear is an error after which nobody knows what happened; to storage it is just an error.
var unclear = &kovra.Error{Kind: kovra.Unclear, Public: "lost"}

func TestProjectorSurvivesATroubleAtEveryStep(t *testing.T) {
	tests := []struct {
		name  string
		after bool
		err   error
	}{
		{"crash before", false, nil},
		{"crash after", true, nil},
		{"error before", false, unclear},
		{"error after", true, unclear},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			steps := 0
			for fired := true; fired; steps++ {
				synctest.Test(t, func(t *testing.T) {
					s := newStage(t)
					if tt.err == nil {
						// A look-up is among the steps, too.
						s.sim.Fault(slacksim.LoseReply("chat.postMessage"))
					}
					c := &crash{left: steps + 1, after: tt.after, err: tt.err}
					s.story(func() {
						s.untilCrash(c)
						s.drive(s.fresh())
					})
					s.wantStory()
					fired = c.fired
				})
			}
			if steps < 20 {
				t.Errorf("only %d steps at which something can happen", steps)
			}
		})
	}
}

func TestProjectorPausesAtEveryTrouble(t *testing.T) {
	for n, fired := 1, true; fired; n++ {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t)
			s.see(100, kovra.Running)
			s.sim.SetChannel(testChannel, func(c *slacksim.Channel) { c.Archived = true })
			c := &crash{left: n, err: unclear}
			s.drive(s.crashing(c))
			fired = c.fired
			s.update(func(tx *storage.Tx) error {
				subs, err := tx.Subscriptions(storage.SubscriptionQuery{Channel: testChannel})
				if err == nil && subs[0].Paused == "" {
					t.Errorf("not paused after a trouble at step %d", n)
				}
				return err
			})
			if told := len(s.sim.Messages("DU1")); told > 1 || !fired && told != 1 {
				t.Errorf("the owner was told %d times", told)
			}
		})
	}
}

// lostReplies is a story in which every post's answer is lost once.
func lostReplies(t *testing.T, lookup bool) (messages, lost int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.projector.noLookup = !lookup
		odd := 0
		s.sim.Fault(slacksim.LoseReply("chat.postMessage").Times(-1).Where(func(slacksim.Call) bool {
			odd++
			return odd%2 == 1
		}))
		s.story(func() { s.drive(s.projector) })
		for _, m := range s.sim.Messages(testChannel) {
			if m.ThreadTS == "" {
				messages += 1 + len(s.sim.Replies(testChannel, m.TS))
			}
		}
		lost = s.count("chat.postMessage", "lost")
		for _, n := range []string{"conversations.history", "conversations.replies"} {
			if lookup && s.count(n, "ok") == 0 {
				t.Errorf("%s was never asked", n)
			}
		}
	})
	return messages, lost
}

func TestProjectorAdoptsWhatItPosted(t *testing.T) {
	messages, lost := lostReplies(t, true)
	if messages != 5 || lost < 2 {
		t.Errorf("%d messages after %d lost answers, want 5 after some", messages, lost)
	}
	if doubled, _ := lostReplies(t, false); doubled <= 5 {
		t.Errorf("%d messages without the look-up: this test cannot fail", doubled)
	}
}

func TestProjectorWaitsOutAnUnclearPost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.sim.Fault(slacksim.Drop("chat.postMessage"))
		s.see(100, kovra.Running)
		start := time.Now()
		s.drive(s.projector)
		s.thread(testChannel)
		if took := time.Since(start); took < nonceRest || took > nonceRest+time.Second {
			t.Errorf("posted again after %v, want %v", took, nonceRest)
		}
		if n := s.sim.CallCount("conversations.history"); n != 1 {
			t.Errorf("looked %d times, want once", n)
		}
	})
}

func TestProjectorSettlesWhatIsNotShownAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.see(100, kovra.Running)
		s.drive(s.projector)
		s.update(func(tx *storage.Tx) error {
			return tx.SaveSlot(1, kovra.Slot{Key: "result/1", Nonce: "n", NonceAt: time.Now()})
		})
		s.see(100, kovra.Success)
		s.drive(s.projector)
		var slot kovra.Slot
		s.update(func(tx *storage.Tx) error {
			v, err := tx.View(1)
			slot = v.Slots["result/1"]
			return err
		})
		if slot.Nonce != "" || slot.TS != "" {
			t.Errorf("the slot is %+v, want it free", slot)
		}
	})
}

func TestProjectorLimitOfOneChannelHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, "C1", "C2")
		s.sim.Fault(slacksim.RateLimit("chat.postMessage", 20*time.Second).Where(func(c slacksim.Call) bool { return c.Channel == "C1" }))
		s.see(100, kovra.Running)
		start := time.Now()
		posted := map[string]time.Duration{}
		s.drive(s.projector)
		for _, c := range s.sim.Calls() {
			if c.Method == "chat.postMessage" && c.Outcome == "ok" {
				posted[c.Channel] = c.Time.Sub(start)
			}
		}
		if posted["C1"] < 20*time.Second || posted["C1"] > 21*time.Second || posted["C2"] > time.Second {
			t.Errorf("posted after %v, want C1 after the limit and C2 at once", posted)
		}
		if n := s.sim.CallCount("chat.postMessage"); n != 3 {
			t.Errorf("%d posts were tried, want 3: nobody knocks on a closed door", n)
		}
	})
}

func TestProjectorPausesAChannelThatRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*slacksim.Channel)
		reason string
	}{
		{"archived", func(c *slacksim.Channel) { c.Archived = true }, "archived"},
		{"private without us", func(c *slacksim.Channel) { c.Private, c.Members = true, []string{"U1"} }, "gone, or private"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, "C1", "C2")
				s.see(100, kovra.Running)
				s.see(101, kovra.Running)
				s.update(func(tx *storage.Tx) error { // subscriptions that nobody, and somebody unknown, made
					return errors.Join(
						tx.SaveApp(kovra.App{Name: "a"}), tx.SaveSubscription(kovra.Subscription{App: "a", Channel: "C1"}),
						tx.SaveApp(kovra.App{Name: "c"}), tx.SaveSubscription(kovra.Subscription{App: "c", Channel: "C1", CreatedBy: "U1"}),
						tx.SaveApp(kovra.App{Name: "b"}), tx.SaveSubscription(kovra.Subscription{App: "b", Channel: "C1", CreatedBy: "U9"}),
					)
				})
				s.sim.SetChannel("C1", tt.change)
				s.sim.AddUser(slacksim.User{ID: "U2", Name: "root"})
				s.projector.Admins = func(context.Context) ([]string, error) { return []string{"U2"}, nil }
				if failed := s.drive(s.projector); failed != 0 {
					t.Errorf("%d passes failed", failed)
				}
				if n := len(s.sim.Messages("C2")); n != 2 {
					t.Errorf("the other channel has %d messages, want 2", n)
				}
				s.update(func(tx *storage.Tx) error {
					subs, err := tx.Subscriptions(storage.SubscriptionQuery{Channel: "C1"})
					for _, sub := range subs {
						if !strings.Contains(sub.Paused, tt.reason) {
							t.Errorf("%s is paused because %q, want %q", sub.App, sub.Paused, tt.reason)
						}
					}
					return err
				})
				told := s.sim.Messages("DU1")
				if len(told) != 1 || !strings.Contains(told[0].Text, tt.reason) || !strings.Contains(told[0].Text, "*c*, *web*") || !strings.Contains(told[0].Text, "for each app") {
					t.Errorf("the owner was told %+v, want one message with the reason", told)
				}
				told = s.sim.Messages("DU2")
				if len(told) != 1 || !strings.Contains(told[0].Text, tt.reason) || !strings.Contains(told[0].Text, "*a*") {
					t.Errorf("of what nobody made an administrator was told %+v", told)
				}

				s.sim.SetChannel("C1", func(c *slacksim.Channel) {
					c.Archived, c.Private, c.Members = false, false, []string{"U1", slacksim.BotUserID}
				})
				s.subscribe("C1")
				s.drive(s.projector)
				if n := len(s.sim.Messages("C1")); n != 2 {
					t.Errorf("after subscribing again the channel has %d messages, want 2", n)
				}
			})
		})
	}
}

func TestProjectorJoinsAPublicChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.sim.SetChannel(testChannel, func(c *slacksim.Channel) { c.Members = []string{"U1"} })
		s.sim.Fault(slacksim.Status("conversations.join", 503))
		s.see(100, kovra.Running)
		if failed := s.drive(s.projector); failed != 1 {
			t.Errorf("%d passes failed, want the one in which joining did", failed)
		}
		s.thread(testChannel)
	})
}

func TestProjectorLeavesDeletedMessagesDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.see(100, kovra.Running)
		s.fail(100, 1)
		s.drive(s.projector)
		card, replies := s.thread(testChannel)
		s.sim.Fault(slacksim.ErrorCode("chat.update", "message_not_found").Times(-1).Where(func(c slacksim.Call) bool {
			return c.Form.Get("ts") == replies[0].TS
		}))
		for id := range int64(3) { // new attempts change the failure's reply
			s.see(100, kovra.Running, kovra.Job{ID: 10 + id, Name: "job1", Stage: "test", Status: kovra.Running})
			s.drive(s.projector)
		}
		if n := s.count("chat.update", "message_not_found"); n != 1 {
			t.Errorf("the deleted reply was edited %d times, want once", n)
		}
		if _, replies := s.thread(testChannel); len(replies) != 1 {
			t.Errorf("%d replies, want the old one alone", len(replies))
		}

		s.sim.Fault(slacksim.ErrorCode("chat.update", "message_not_found").Where(func(c slacksim.Call) bool {
			return c.Form.Get("ts") == card.TS
		}))
		s.see(100, kovra.Success)
		s.drive(s.projector)
		s.update(func(tx *storage.Tx) error {
			v, err := tx.View(1)
			if v.Thread.Broken != "the message was deleted" {
				t.Errorf("the thread is broken because %q", v.Thread.Broken)
			}
			subs, err2 := tx.Subscriptions(storage.SubscriptionQuery{Channel: testChannel})
			if err2 == nil && subs[0].Paused != "" {
				t.Errorf("the channel was paused for one deleted message")
			}
			return errors.Join(err, err2)
		})
	})
}

// lose makes the next post of the only thread end without an answer, and passes once.
func (s *stage) lose() {
	s.t.Helper()
	s.sim.Fault(slacksim.LoseReply("chat.postMessage"))
	if _, err := s.projector.Reconcile(s.t.Context(), 1); err != nil {
		s.t.Fatal(err)
	}
}

// The channel is archived between a post of unknown end and its look-up: nothing is
// posted twice, now or when the channel is back.
func TestProjectorAdoptsInAChannelThatWasArchived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.see(100, kovra.Running)
		s.lose()
		s.sim.SetChannel(testChannel, func(c *slacksim.Channel) { c.Archived = true })
		s.see(100, kovra.Success)
		s.drive(s.fresh())
		s.sim.SetChannel(testChannel, func(c *slacksim.Channel) { c.Archived = false })
		s.subscribe(testChannel)
		s.drive(s.fresh())
		card, replies := s.thread(testChannel)
		if !strings.Contains(slacksim.Text(card), "Success") || len(replies) != 1 {
			t.Errorf("the card says %q with %d replies", slacksim.Text(card), len(replies))
		}
	})
}

// Somebody deletes the card while the end of a reply's post is not known: the thread
// ends, and not even a new subscription posts any of it again.
func TestProjectorEndsAThreadWhoseParentWasDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.see(100, kovra.Running)
		s.drive(s.projector)
		card, _ := s.thread(testChannel)
		s.fail(100, 1)
		time.Sleep(editGap)
		s.lose()
		s.sim.Fault(
			slacksim.ErrorCode("conversations.replies", "thread_not_found").Times(-1),
			slacksim.ErrorCode("chat.update", "message_not_found").Times(-1),
			slacksim.ErrorCode("chat.postMessage", "thread_not_found").Times(-1).Where(func(c slacksim.Call) bool { return c.Form.Get("thread_ts") == card.TS }),
		)
		before := s.sim.CallCount("chat.postMessage")
		for range 2 {
			if failed := s.drive(s.fresh()); failed != 0 {
				t.Errorf("%d passes failed", failed)
			}
			s.subscribe(testChannel)
		}
		if n := s.sim.CallCount("chat.postMessage") - before; n != 0 {
			t.Errorf("%d more posts in a thread that somebody deleted", n)
		}
	})
}

// editor takes every message and remembers which were edited.
type editor struct {
	slackWriter
	edited []string
}

func (e *editor) Post(context.Context, string, string, Message, string) (string, error) {
	return "reply", nil
}

func (e *editor) Shared(context.Context, string) (bool, error) { return false, nil }

func (e *editor) Update(_ context.Context, _, ts string, _ Message) error {
	e.edited = append(e.edited, ts)
	return nil
}

// More threads than Slack allows edits are dirty at the start, because their layout is a
// new one; a pipeline that ends then is shown at once all the same.
func TestProjectorShowsNewsBeforeANewLayout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const old = editsInAll + 10
		s := newStage(t)
		e := &editor{}
		p := newProjector(s.db, e, s.budget, time.Now, quiet())
		for i := range int64(old + 1) {
			s.see(100+i, kovra.Success)
		}
		s.update(func(tx *storage.Tx) error {
			for id := int64(1); id <= old+1; id++ {
				v, err := tx.View(id)
				renderer := RendererVersion + 1 // any other
				if id > old {
					renderer = RendererVersion
				}
				err = errors.Join(err, tx.SaveSlot(id, kovra.Slot{Key: kovra.SlotCard, TS: fmt.Sprint("card", id)}), tx.SetShown(id, v.Thread.Version, renderer))
				if err != nil {
					return err
				}
			}
			return tx.RenderAgain(RendererVersion+2, old+1)
		})
		for range 6 { // three seconds
			for id := int64(1); id <= old+1; id++ {
				if _, err := p.Reconcile(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(500 * time.Millisecond)
		}
		if !slices.Contains(e.edited, fmt.Sprint("card", old+1)) {
			t.Errorf("the end of a pipeline is not shown after %d other edits", len(e.edited))
		}
	})
}

func TestProjectorFallsBackToPlainText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.sim.Fault(slacksim.ErrorCode("chat.postMessage", "invalid_blocks"), slacksim.ErrorCode("chat.update", "invalid_blocks"))
		s.see(100, kovra.Pending)
		s.drive(s.projector)
		card, _ := s.thread(testChannel)
		if len(card.Tree) != 1 || card.Tree[0].Text == nil || card.Tree[0].Text.Text != card.Text {
			t.Errorf("the card is %s, want its plain text", card.Blocks)
		}
		s.see(100, kovra.Running)
		s.drive(s.projector)
		if n := s.sim.CallCount("chat.update"); n != 2 {
			t.Errorf("%d edits, want the refused one and the plain one", n)
		}
	})
}

func TestProjectorGivesUpWhatSlackNeverTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.see(100, kovra.Running)
		s.drive(s.projector)
		s.sim.Fault(slacksim.ErrorCode("chat.postMessage", "invalid_blocks").Times(-1))
		s.fail(100, 1)
		s.drive(s.projector)
		s.see(100, kovra.Running, kovra.Job{ID: 2, Name: "other", Stage: "build", Status: kovra.Running})
		s.drive(s.projector)
		if n := s.count("chat.postMessage", "invalid_blocks"); n != 2 {
			t.Errorf("%d refused posts, want 2: with blocks and without", n)
		}
	})
}

func TestProjectorBreaksAThreadWhoseCardIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.sim.Fault(slacksim.ErrorCode("chat.postMessage", "msg_blocks_too_long").Times(-1))
		s.see(100, kovra.Running)
		s.drive(s.projector)
		s.update(func(tx *storage.Tx) error {
			v, err := tx.View(1)
			if !strings.Contains(v.Thread.Broken, "msg_blocks_too_long") {
				t.Errorf("the thread is broken because %q", v.Thread.Broken)
			}
			return err
		})
		if n := s.sim.CallCount("chat.postMessage"); n != 2 {
			t.Errorf("%d posts, want one with blocks and one without", n)
		}
	})
}

func TestProjectorGoesOnAfterAnUnknownRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.see(100, kovra.Running)
		s.drive(s.projector)
		s.sim.Fault(slacksim.ErrorCode("chat.postMessage", "brand_new_error"))
		s.fail(100, 1)
		s.fail(100, 2)
		if failed := s.drive(s.projector); failed != 1 {
			t.Errorf("%d passes failed, want 1", failed)
		}
		if _, replies := s.thread(testChannel); len(replies) != 2 {
			t.Errorf("%d replies, want 2", len(replies))
		}
	})
}

func TestProjectorTriesAgainWhenSlackIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.see(100, kovra.Running)
		s.drive(s.projector)
		s.sim.SetDown(true)
		s.see(100, kovra.Success)
		for range 3 {
			time.Sleep(2 * editGap)
			if _, err := s.projector.Reconcile(t.Context(), 1); err == nil {
				t.Error("no error though Slack is down")
			}
		}
		s.sim.SetDown(false)
		s.drive(s.projector)
		card, replies := s.thread(testChannel)
		if !strings.Contains(slacksim.Text(card), "Success") || len(replies) != 1 {
			t.Errorf("the card says %q with %d replies", slacksim.Text(card), len(replies))
		}
	})
}

func TestProjectorKeepsTheNonceWhenHistoryIsForbidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.sim.Fault(slacksim.LoseReply("chat.postMessage"), slacksim.ErrorCode("conversations.history", "missing_scope"))
		s.see(100, kovra.Running)
		if failed := s.drive(s.projector); failed != 1 {
			t.Errorf("%d passes failed, want 1", failed)
		}
		s.thread(testChannel)
	})
}

func TestProjectorForgetsUnknownThreads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		if after, err := s.projector.Reconcile(t.Context(), 99); after != 0 || err != nil {
			t.Errorf("got %v, %v for a thread that is not there", after, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s.see(100, kovra.Running)
		if _, err := s.projector.Reconcile(ctx, 1); err == nil {
			t.Error("no error from a pass that may not go on")
		}
		s.drive(s.projector)
		s.thread(testChannel)
	})
}

// TestProjectorUnderRandomFaults lets everything go wrong at random and then be quiet.
func TestProjectorUnderRandomFaults(t *testing.T) {
	t.Parallel()
	total := map[string]int{}
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t)
			for _, f := range []slacksim.Fault{
				slacksim.LoseReply("chat.postMessage"), slacksim.Drop("chat.postMessage"), slacksim.Status("chat.postMessage", 502),
				slacksim.RateLimit("chat.postMessage", 3*time.Second), slacksim.Delay("chat.postMessage", 11*time.Second),
				slacksim.LoseReply("chat.update"), slacksim.Status("chat.update", 500), slacksim.RateLimit("chat.update", 2*time.Second),
				slacksim.Status("conversations.replies", 500), slacksim.ErrorCode("chat.postMessage", "fatal_error"),
			} {
				s.sim.Fault(f.Chance(0.15, rand.New(rand.NewPCG(seed, 1))))
			}
			s.story(func() { s.drive(s.fresh()) })
			s.wantStory()
			for name, n := range s.sim.FaultCounts() {
				total[name] += n
			}
		})
	}
	for name, n := range total {
		if n == 0 {
			t.Errorf("%s never happened", name)
		}
	}
}
