package e2e

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

// outage is how long a peer is down in these tests.
const outage = 10 * time.Minute

// inPeace plays with a linked project, a program that is not killed and time that passes by itself, and judges the end as the chaos test does.
func inPeace(t *testing.T, play func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, &tally{count: map[string]int{}}, sabotage{})
		w.settle(2 * time.Second)
		w.subscribe()
		w.settle(time.Minute)
		play(w)
		for _, problem := range w.problems() {
			t.Error(problem)
		}
		w.stop()
	})
}

// hooks sends GitLab's webhooks; one that does not arrive is lost.
func (w *world) hooks() { _ = w.lab.SendAll(w.t.Context()) }

// pushed pushes, and starts the first job.
func (w *world) pushed(title string) int64 {
	_, ref := w.lab.Push(web, "main", title, "alice")
	w.hooks()
	w.settle(10 * time.Second)
	_ = w.lab.Step(web, ref.ID) // there may be nothing to start
	w.hooks()
	w.settle(30 * time.Second)
	return ref.ID
}

// inDeploys is all that the channel shows.
func (w *world) inDeploys() string {
	var b strings.Builder
	for _, m := range w.slack.Messages(deploys) {
		b.WriteString(w.slack.Thread(deploys, m.TS))
	}
	return b.String()
}

// TestSlackDown lets Slack be down for ten minutes in which a pipeline runs through all its states. Afterwards its thread
// shows the end, by one edit, not by a replay of what was missed; what happened is told once.
func TestSlackDown(t *testing.T) {
	inPeace(t, func(w *world) {
		id := w.pushed("One")
		w.slack.SetDown(true)
		for range 8 {
			w.finishOne(id, "success")
			_ = w.lab.Step(web, id)
			w.hooks()
			w.settle(outage / 10)
		}
		_ = w.lab.FinishPipeline(web, id, "success")
		w.hooks()
		if code := w.readiness(); code != http.StatusOK {
			t.Errorf("Slack is down, and we are not ready: %d", code)
		}
		w.settle(outage / 5)
		w.slack.ForgetCalls()
		w.slack.SetDown(false)
		w.settle(3 * time.Minute)
		if !strings.Contains(w.inDeploys(), "Success · #101") {
			t.Errorf("three minutes after Slack was back it shows:\n%s", w.inDeploys())
		}
		edits := map[string]int{}
		for _, c := range w.slack.Calls() {
			if c.Method == "chat.update" && c.Outcome == "ok" {
				edits[c.Channel+c.TS]++
			}
		}
		for at, n := range edits {
			if n > 1 {
				t.Errorf("%s was edited %d times to catch up", at, n)
			}
		}
		if len(edits) == 0 {
			t.Error("nothing was edited: this proves nothing")
		}
		w.settle(10 * time.Minute)
	})
}

// finishOne ends one running job of a pipeline.
func (w *world) finishOne(pipeline int64, status string) {
	for _, j := range w.lab.Jobs(web, pipeline) {
		if j.Status == "running" {
			_ = w.lab.FinishJob(j.ID, status, "", "script_failure")
			return
		}
	}
}

func (w *world) readiness() int {
	answer := httptest.NewRecorder()
	w.app.Handler().ServeHTTP(answer, httptest.NewRequestWithContext(w.t.Context(), http.MethodGet, publicURL+"/readyz", nil))
	return answer.Code
}

// TestGitLabDown lets GitLab be down for ten minutes: it sends no webhook and answers 502. Who asks for something is told so, what was
// asked for is done or reported, and what happened meanwhile is read again.
func TestGitLabDown(t *testing.T) {
	inPeace(t, func(w *world) {
		id := w.pushed("One")
		w.lab.Fault(gitlabsim.Status("*", 502).Times(-1))
		w.lab.DropNext(1 << 20)
		w.lab.Push(web, "main", "While nobody was told", "alice")
		_ = w.lab.FinishPipeline(web, id, "success")
		began := time.Now()
		seen, err := w.slack.Slash(w.t.Context(), bob, deploys, "/pipeline run web main CLICK=1")
		if err != nil || seen.Error != "" || !strings.Contains(seen.Text(), "Starting a pipeline") || time.Since(began) > 3*time.Second {
			t.Errorf("after %v the answer was %q %s (%v)", time.Since(began), seen.Text(), seen.Error, err)
		}
		if seen, err := w.slack.Slash(w.t.Context(), bob, deploys, "/pipeline"); err != nil || !strings.Contains(seen.Text(), "One") {
			t.Errorf("reading needs no GitLab, but the answer was %q (%v)", seen.Text(), err)
		}
		w.settle(outage - time.Minute)
		w.lab.ClearFaults()
		w.lab.DropNext(0)
		w.settle(10 * time.Minute)
		if ended := w.startEnded(); ended != kovra.ActionDone && ended != kovra.ActionFailed {
			t.Errorf("the start is %q", ended)
		}
		if !heard(w.slack, bob, "is started", "could not", "down", "does not answer") {
			t.Error("bob was never told what became of the start")
		}
		if !strings.Contains(w.inDeploys(), "While nobody was told") {
			t.Errorf("the push that no webhook told of is not shown:\n%s", w.inDeploys())
		}
		w.hooks()
		w.settle(10 * time.Minute)
	})
}

func (w *world) startEnded() (state kovra.ActionState) {
	err := w.app.DB().Read(w.t.Context(), func(tx *storage.Tx) error {
		actions, err := tx.Actions(storage.ActionQuery{Limit: 100})
		for _, a := range actions {
			if a.Kind == kovra.ActRun {
				state = a.State
			}
		}
		return err
	})
	if err != nil {
		w.t.Error(err)
	}
	return state
}

// heard reports whether somebody was told one of the texts.
func heard(s *slacksim.Server, who string, texts ...string) bool {
	for _, m := range s.Ephemerals(who) {
		for _, text := range texts {
			if strings.Contains(slacksim.Text(m), text) {
				return true
			}
		}
	}
	return false
}

// TestClockJumps sets the clock of the program's machine while it runs: by a day forward and by two hours back, each time
// with a post of which nobody knows whether it was done. Nothing is posted twice, no log goes, and nothing waits for hours.
func TestClockJumps(t *testing.T) {
	for name, jump := range map[string]time.Duration{"forward": 24 * time.Hour, "back": -2 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			inPeace(t, func(w *world) {
				id := w.pushed("One")
				w.finishOne(id, "failed")
				w.hooks()
				w.settle(time.Minute)
				w.slack.Fault(slacksim.LoseReply("chat.postMessage").Times(2))
				_, before := w.lab.Push(web, "main", "Before the jump", "alice")
				w.hooks()
				w.settle(3 * time.Second)

				w.off.Store(int64(jump))
				w.slack.Fault(slacksim.LoseReply("chat.postMessage").Times(2))
				_, after := w.lab.Push(web, "main", "After the jump", "alice")
				w.hooks()
				w.settle(time.Minute)
				_, _ = w.slack.Slash(w.t.Context(), bob, deploys, "/pipeline run web feature CLICK=1")
				w.settle(2 * time.Minute)
				for _, want := range []string{"Before the jump", "After the jump"} {
					if n := strings.Count(w.inDeploys(), want); n != 1 {
						t.Errorf("three minutes after the jump %q is shown %d times:\n%s", want, n, w.inDeploys())
					}
				}
				if ended := w.startEnded(); ended != kovra.ActionDone {
					t.Errorf("the start is %q", ended)
				}
				// What no webhook tells is found as soon as ever.
				w.lab.DropNext(1 << 20)
				for _, p := range w.lab.Pipelines(web) {
					_ = w.lab.FinishPipeline(web, p.ID, "success")
				}
				w.lab.DropNext(0)
				w.settle(6 * time.Minute)
				for _, ref := range []gitlabsim.PipelineRef{before, after} {
					if text := w.inDeploys(); strings.Contains(text, "Pending") || strings.Contains(text, "Running") {
						t.Errorf("six minutes after all had ended pipeline %d is not shown so:\n%s", ref.ID, text)
						break
					}
				}
				w.settle(10 * time.Minute)
				w.off.Store(0) // somebody sets it right again
				w.settle(10 * time.Minute)
			})
		})
	}
}
