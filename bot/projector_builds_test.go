package bot

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

// addBuild queues a build of web.
func (s *stage) addBuild() (id int64) {
	s.t.Helper()
	s.update(func(tx *storage.Tx) error {
		b, _, err := tx.AddBuild(kovra.Build{
			App: "web", Project: testProject, Title: "Mend it",
			Spec: kovra.BuildSpec{Branch: "main", Commit: "0123456789abcdef0123456789abcdef01234567", Image: "registry.example.com/web:01234567"},
		}, "", false)
		id = b.ID
		return err
	})
	return id
}

// turn changes a build as the loop of dispatch does.
func (s *stage) turn(id int64, change func(*kovra.Build)) {
	s.t.Helper()
	s.update(func(tx *storage.Tx) error {
		b, err := tx.Build(id)
		if err != nil {
			return err
		}
		change(&b)
		return tx.SaveBuild(&b)
	})
}

// writes adds a line to the tail.
func (s *stage) writes(id int64, line string) {
	s.t.Helper()
	s.turn(id, func(b *kovra.Build) { b.Tail = append(b.Tail, line) })
}

func runs(b *kovra.Build) {
	b.Status, b.Phase, b.StartedAt = kovra.BuildBuilding, kovra.PhaseMade, time.Now()
}

func breaks(b *kovra.Build) {
	b.Status, b.Phase, b.FinishedAt = kovra.BuildFailed, kovra.PhaseEnded, time.Now()
	b.Steps = []kovra.Step{{Task: "build-and-push", Name: "build", Status: kovra.Failed}}
}

func cut(b *kovra.Build) {
	b.Steps[0].Log, b.Steps[0].Excerpt = kovra.LogCut, kovra.Excerpt{First: 3, Total: 3, Lines: []kovra.ExcerptLine{{N: 3, Text: "undefined: total"}}}
	b.LogDone, b.LogLines = true, 3
}

// passes drives like a loop for a while, whatever is left to do at its end.
func (s *stage) passes(p *Projector, d time.Duration) {
	s.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(250 * time.Millisecond) {
		for _, id := range s.threads() {
			if _, err := p.Reconcile(s.t.Context(), id); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

func TestThreadOfABuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		id := s.addBuild()
		s.drive(s.projector)
		card, replies := s.thread(testChannel)
		wantText(t, slacksim.Text(card), "Pending", "1st in the queue")
		if len(replies) != 0 {
			t.Errorf("replies before anything has happened: %+v", replies)
		}
		s.turn(id, runs)
		s.writes(id, "STEP 1/6")
		s.drive(s.fresh())
		s.turn(id, breaks)
		s.drive(s.fresh())
		if _, replies = s.thread(testChannel); len(replies) != 1 {
			t.Errorf("%d replies before the excerpt is cut, want the tail alone", len(replies))
		}
		s.turn(id, cut)
		s.drive(s.fresh())
		card, replies = s.thread(testChannel)
		wantText(t, slacksim.Text(card), "Failed")
		if len(replies) != 3 {
			t.Fatalf("%d replies, want tail, step and end", len(replies))
		}
		wantText(t, slacksim.Text(replies[0]), "Log: 3 lines")
		wantText(t, slacksim.Text(replies[1]), "undefined: total")
		wantText(t, slacksim.Text(replies[2]), "no longer builds")
		if !replies[2].Broadcast || replies[1].Broadcast || replies[0].Broadcast {
			t.Error("want the end in the channel, and nothing else")
		}
		s.sim.ForgetCalls()
		s.update(func(tx *storage.Tx) error { return tx.RenderAgain(RendererVersion+1, 10) })
		s.drive(s.fresh())
		if calls := s.sim.Calls(); len(calls) != 0 {
			t.Errorf("nothing changed, but Slack was called: %+v", calls)
		}
	})
}

// Each deployment is one reply, edited in place.
func TestThreadOfDeployments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		id := s.addBuild()
		s.turn(id, func(b *kovra.Build) {
			runs(b)
			b.Status, b.Phase, b.FinishedAt, b.Digest, b.LogDone = kovra.BuildSucceeded, kovra.PhaseEnded, time.Now(), testDigest, true
		})
		s.drive(s.projector)
		for range 2 {
			var d kovra.Deployment
			s.update(func(tx *storage.Tx) (err error) {
				d, err = tx.AddDeployment(kovra.Deployment{App: "web", Build: id, Target: testTarget, Image: "web@" + testDigest, From: "web:old"})
				return err
			})
			s.drive(s.fresh())
			for _, status := range []kovra.BuildStatus{kovra.BuildBuilding, kovra.BuildSucceeded} {
				d.Status = status
				s.update(func(tx *storage.Tx) error { return tx.SaveDeployment(&d) })
				s.drive(s.fresh())
			}
		}
		_, replies := s.thread(testChannel)
		if len(replies) != 3 {
			t.Fatalf("%d replies, want the end and two deployments", len(replies))
		}
		for i, want := range []bool{false, true} {
			m := replies[i+1]
			wantText(t, slacksim.Text(m), "🚀 Rolled out to `prod/web`")
			if got := slices.Contains(slacksim.Buttons(m.Tree), "Roll back"); got != want {
				t.Errorf("deployment %d: Roll back is there: %v, want %v", i, got, want)
			}
		}
	})
}

// A log that grows all the time is shown every five seconds, not more often.
func TestTailIsThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		id := s.addBuild()
		s.turn(id, runs)
		s.writes(id, "line 0")
		s.drive(s.projector)
		s.sim.ForgetCalls()
		start := time.Now()
		for i := 1; time.Since(start) < 31*time.Second; i++ {
			s.writes(id, fmt.Sprint("line ", i))
			s.passes(s.projector, 500*time.Millisecond)
		}
		if posts, edits := s.count("chat.postMessage", "ok"), s.count("chat.update", "ok"); posts != 0 || edits < 5 || edits > 7 {
			t.Errorf("%d posts and %d edits in 31 s, want none and about six", posts, edits)
		}
		// The end is not held up by it.
		s.turn(id, func(b *kovra.Build) {
			b.Status, b.Phase, b.FinishedAt = kovra.BuildSucceeded, kovra.PhaseEnded, time.Now()
		})
		s.passes(s.projector, 2*time.Second)
		card, _ := s.thread(testChannel)
		wantText(t, slacksim.Text(card), "Succeeded")
		s.turn(id, func(b *kovra.Build) { b.LogDone, b.LogLines = true, 512 })
		s.drive(s.projector)
		_, replies := s.thread(testChannel)
		wantText(t, slacksim.Text(replies[0]), "Log: 512 lines")
		s.sim.ForgetCalls()
		s.writes(id, "a line too late")
		s.drive(s.projector)
		if calls := s.sim.Calls(); len(calls) != 0 {
			t.Errorf("the tail has moved again: %+v", calls)
		}
	})
}

// Many tails leave most of the allowance to those who have news.
func TestTailsLeaveTheBudgetToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		var ids []int64
		for range 8 {
			id := s.addBuild()
			s.turn(id, runs)
			s.writes(id, "line 0")
			ids = append(ids, id)
		}
		s.drive(s.projector)
		time.Sleep(2 * editWindow)
		s.sim.ForgetCalls()
		start := time.Now()
		for i := 1; time.Since(start) < editWindow; i++ {
			for _, id := range ids {
				s.writes(id, fmt.Sprint("line ", i))
			}
			s.passes(s.projector, 3*time.Second)
		}
		if edits := s.count("chat.update", "ok"); edits > editsTails+1 || edits < editsTails/2 {
			t.Errorf("%d edits of tails in a minute, want at most %d, and not much less", edits, editsTails)
		}
		asked := time.Now()
		s.see(100, kovra.Running)
		s.passes(s.projector, 2*time.Second)
		s.see(100, kovra.Success)
		s.passes(s.projector, 3*time.Second)
		shown := slices.ContainsFunc(s.sim.Messages(testChannel), func(m slacksim.Message) bool { return strings.Contains(m.Text, "Success") })
		if !shown {
			t.Errorf("a pipeline's end is not shown %v later", time.Since(asked))
		}
	})
}

// A channel that other organisations read along in gets no tail, and loses the one that it has.
func TestTailIsNotForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		id := s.addBuild()
		s.turn(id, runs)
		s.writes(id, "internal host db7")
		s.drive(s.projector)
		_, replies := s.thread(testChannel)
		wantText(t, slacksim.Text(replies[0]), "internal host db7")
		share := func(shared bool) {
			s.sim.SetChannel(testChannel, func(c *slacksim.Channel) { c.ExtShared = shared })
			s.update(func(tx *storage.Tx) error { return tx.SetChannelShared(testChannel, shared, time.Now()) })
		}
		share(true)
		s.writes(id, "internal host db8")
		s.drive(s.projector)
		_, replies = s.thread(testChannel)
		if text := slacksim.Text(replies[0]); strings.Contains(text, "internal") || len(replies) != 1 {
			t.Errorf("in a shared channel: %s", text)
		}
		other := s.addBuild()
		s.turn(other, runs)
		s.writes(other, "internal host db9")
		s.drive(s.projector)
		for _, m := range s.sim.Messages(testChannel) {
			if strings.Contains(slacksim.Text(m), "internal") {
				t.Errorf("in a shared channel: %s", slacksim.Text(m))
			}
		}
	})
}
