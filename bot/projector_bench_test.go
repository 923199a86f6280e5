package bot

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/reconcile"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

const (
	burstJobs   = 200
	burstTime   = time.Minute
	burstFailed = 12
)

// burst is what a burst of pipelines cost and how long their ends took to be seen.
type burst struct {
	pipelines      int
	posts, replies int
	edits, limited int
	finals         time.Duration // from the last event to the last final card
	took           time.Duration // of the pipelines themselves
}

// playBurst lets pipelines of 200 jobs run within a minute of fake time, each in a
// channel of its own if there are enough, and waits until all is shown. Slack's limits
// are enforced.
func playBurst(t *testing.T, pipelines, channels, jobs, failed int) burst {
	t.Helper()
	out := burst{pipelines: pipelines}
	synctest.Test(t, func(t *testing.T) {
		var names []string
		for i := range channels {
			names = append(names, fmt.Sprintf("C%d", i))
		}
		s := newStage(t, names[0])
		s.limit(names)
		stop := s.run()
		start := time.Now()
		s.playJobs(pipelines, channels, jobs, failed)
		out.took = time.Since(start)
		end := time.Now()
		if err := s.db.Await(t.Context(), func(tx *storage.Tx) (bool, error) { return s.allShown(tx, pipelines) }); err != nil {
			t.Error(err)
		}
		stop()
		for _, c := range s.sim.Calls() {
			switch {
			case c.Outcome == "429":
				out.limited++
			case c.Method == "chat.postMessage" && c.Form.Get("thread_ts") == "":
				out.posts++
			case c.Method == "chat.postMessage":
				out.replies++
			case c.Method == "chat.update":
				out.edits++
			}
		}
		for _, c := range names {
			for _, m := range s.sim.Messages(c) {
				if m.ThreadTS != "" {
					continue
				}
				if !strings.Contains(slacksim.Text(m), "Failed") {
					t.Errorf("a card says %q in the end", slacksim.Text(m))
				}
				out.finals = max(out.finals, s.shownAt(m).Sub(end))
			}
		}
	})
	return out
}

// limit replaces the workspace by one that enforces Slack's limits. Each channel hears
// of a project of its own.
func (s *stage) limit(names []string) {
	s.t.Helper()
	s.sim = slacksim.New(slacksim.Options{Limits: true})
	s.client = testClient(s.t, s.sim)
	s.update(func(tx *storage.Tx) error {
		for i, name := range names {
			s.sim.AddChannel(slacksim.Channel{ID: name, Name: strings.ToLower(name), Members: []string{slacksim.BotUserID}})
			project, app := int64(testProject+i), fmt.Sprint("app", i)
			if err := tx.SaveProject(kovra.Project{ID: project, Path: "group/" + app, URL: "https://gitlab.example/group/" + app}); err != nil {
				return err
			}
			if err := tx.SaveApp(kovra.App{Name: app, Project: project}); err != nil {
				return err
			}
			if err := tx.SaveSubscription(kovra.Subscription{App: app, Channel: name}); err != nil {
				return err
			}
		}
		_, err := tx.DeleteSubscriptions("web", names[0], 0)
		return err
	})
}

// run starts the loop that the program has, kicked after each commit; the function that
// it returns ends it.
func (s *stage) run() (stop func()) {
	loop := reconcile.New(reconcile.Func[int64](s.fresh().Reconcile), reconcile.Options{Name: "threads", Workers: 4, Timeout: ProjectorTimeout})
	s.db.OnChange(func(refs []kovra.Ref) {
		for _, r := range refs {
			if r.Kind == kovra.RefThread {
				loop.Kick(r.ID)
			}
		}
	})
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error)
	go func() { done <- loop.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	}
}

// playJobs lets all jobs of all pipelines start and end, evenly over the time.
func (s *stage) playJobs(pipelines, channels, jobs, failed int) {
	s.t.Helper()
	observe := func(tx *storage.Tx, p int, status kovra.Status, all ...kovra.Job) error {
		r := kovra.Run{Project: int64(testProject + p%channels), Remote: int64(100 + p), Ref: "main", SHA: "0123456789abcdef", Status: status, Stages: []string{"test"}}
		if status.Final() {
			r.FinishedAt = time.Now()
		}
		_, _, err := tx.Observe(kovra.Observation{Run: r, Jobs: all, At: time.Now()})
		return err
	}
	forAll := func(do func(tx *storage.Tx, p int) error) {
		s.update(func(tx *storage.Tx) error {
			for p := range pipelines {
				if err := do(tx, p); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for i := range jobs {
		forAll(func(tx *storage.Tx, p int) error {
			j := kovra.Job{ID: int64(p*jobs + i + 1), Name: fmt.Sprint("job", i), Stage: "test", Status: kovra.Success}
			if i >= failed {
				return observe(tx, p, kovra.Running, j)
			}
			j.Status = kovra.Failed
			if err := observe(tx, p, kovra.Running, j); err != nil {
				return err
			}
			return tx.SetExcerpt(int64(testProject+p%channels), j.ID, kovra.LogCut, kovra.Excerpt{Lines: []kovra.ExcerptLine{{N: 1, Text: "broken"}}, Total: 1})
		})
		time.Sleep(burstTime / time.Duration(jobs))
	}
	forAll(func(tx *storage.Tx, p int) error { return observe(tx, p, kovra.Failed) })
}

func (s *stage) allShown(tx *storage.Tx, pipelines int) (bool, error) {
	for p := range pipelines {
		v, err := tx.View(int64(p + 1))
		if err != nil || v.Thread.ShownVersion < v.Thread.Version {
			return false, err
		}
	}
	return true, nil
}

// shownAt is when a message got its last picture.
func (s *stage) shownAt(m slacksim.Message) (at time.Time) {
	for _, c := range s.sim.Calls() {
		if c.TS == m.TS && c.Channel == m.Channel && c.Outcome == "ok" {
			at = c.Time
		}
	}
	return at
}

func TestPipelineOf200JobsIsCheap(t *testing.T) {
	t.Parallel()
	b := playBurst(t, 1, 1, burstJobs, burstFailed)
	t.Logf("%d jobs in %v: %d posts, %d edits, %d replies; final state after %v", burstJobs, b.took, b.posts, b.edits, b.replies, b.finals)
	// Ten failures have a reply each, the others share one; the end has one.
	if b.posts != 1 || b.replies != kovra.MaxFailures+2 || b.edits > int((b.took+b.finals)/editGap)+1 || b.limited != 0 {
		t.Errorf("%+v: too many calls", b)
	}
	if b.finals > 3*time.Second {
		t.Errorf("the final state took %v, want 3s at most", b.finals)
	}
}

// TestOrdinaryPipelineIsQuiet counts the calls that one pipeline of five jobs costs in its
// life, told by every hook that GitLab sends: a call for each thing that a reader sees change,
// and none for what they do not.
func TestOrdinaryPipelineIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		stop := s.run()
		tell := func(status kovra.Status, jobs ...kovra.Job) {
			time.Sleep(3 * time.Second)
			for range 2 { // GitLab repeats itself
				s.see(100, status, jobs...)
			}
		}
		job := func(i int, status kovra.Status) kovra.Job {
			return kovra.Job{ID: int64(i), Name: fmt.Sprint("job", i), Stage: "test", Status: status}
		}
		tell(kovra.Created)
		for i := 1; i <= 5; i++ {
			tell(kovra.Created, job(i, kovra.Created))
		}
		for i := 1; i <= 5; i++ { // one runner
			tell(kovra.Pending, job(i, kovra.Pending))
			tell(kovra.Running, job(i, kovra.Running))
			tell(kovra.Running, job(i, kovra.Success))
		}
		tell(kovra.Success)
		time.Sleep(time.Minute)
		stop()
		posts, edits := s.sim.CallCount("chat.postMessage"), s.sim.CallCount("chat.update")
		t.Logf("%d posts and %d edits", posts, edits)
		// The card shows: five jobs appear, five start, five end, the pipeline ends.
		if posts != 2 || edits > 5+5+5+1 {
			t.Errorf("%d posts and %d edits, want a card, its end, and at most 16", posts, edits)
		}
		if others := len(s.sim.Calls()) - posts - edits; others != 1 || s.sim.CallCount("conversations.info") != 1 {
			t.Errorf("%d other calls, want one: who can see the channel", others)
		}
	})
}

func TestFiftyPipelinesAtOnceStayInsideTheBudgets(t *testing.T) {
	t.Parallel()
	for _, channels := range []int{5, 50} {
		b := playBurst(t, 50, channels, 20, 2)
		t.Logf("50 pipelines in %d channels: %d posts, %d edits, %d replies; last final state after %v", channels, b.posts, b.edits, b.replies, b.finals)
		if b.limited != 0 || b.posts != 50 || b.finals > time.Minute {
			t.Errorf("%+v: want no 429, 50 cards and all final states within a minute", b)
		}
	}
}

// BenchmarkPipelineOf200Jobs prints what a pipeline of 200 jobs that takes a minute
// costs in calls, beside the time that the program spends on it.
func BenchmarkPipelineOf200Jobs(b *testing.B) {
	const events = burstJobs + burstFailed + 1
	for b.Loop() {
		var out burst
		// Fake time needs a test around it, which a benchmark is not.
		ok := testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{
			Name: "burst", F: func(t *testing.T) { //nolint:thelper // no helper but the test itself
				out = playBurst(t, 1, 1, burstJobs, burstFailed)
			},
		}})
		if !ok {
			b.Fatal("the burst failed")
		}
		b.ReportMetric(float64(out.edits), "edits")
		b.ReportMetric(float64(out.posts+out.replies), "posts")
		b.ReportMetric(float64(out.edits+out.posts+out.replies)/events, "calls/event")
		b.ReportMetric(out.finals.Seconds(), "s-to-final")
	}
}
