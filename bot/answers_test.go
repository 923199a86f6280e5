package bot

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

// ask records an action whose answer can be given by a response_url.
func (s *stage) ask(change func(*kovra.Action)) int64 {
	s.t.Helper()
	var url string
	s.sim.SetRequestURL("http://kovra.sim")
	s.sim.SetTransport(slacksim.HandlerTransport(takesCommands(func(u string) { url = u })))
	if _, err := s.sim.Slash(s.t.Context(), "U1", testChannel, "/pipeline run web main"); err != nil {
		s.t.Fatal(err)
	}
	if url == "" {
		s.t.Fatal("the command came without a response_url")
	}
	a := kovra.Action{
		Kind: kovra.ActRun, App: "web", By: kovra.Person{ID: "U1", Name: "alice"}, Channel: testChannel,
		Params: kovra.Params{Ref: "main"}, ReplyURL: url,
	}
	if change != nil {
		change(&a)
	}
	s.update(func(tx *storage.Tx) (err error) {
		a, _, err = tx.Propose(a, nil)
		return err
	})
	return a.ID
}

func (s *stage) end(action int64) {
	s.t.Helper()
	s.update(func(tx *storage.Tx) error {
		return tx.FinishAction(action, kovra.ActionFailed, kovra.Outcome{Kind: kovra.Denied, Reason: "GitLab does not let the bot do that."})
	})
}

func (s *stage) late(action int64) {
	s.t.Helper()
	s.update(func(tx *storage.Tx) error { return tx.MarkLate(action) })
}

// answer does what the loop does with one action, and returns how long it asks to wait.
func (s *stage) answer(action int64) time.Duration {
	s.t.Helper()
	w := NewAnswerer(s.db, s.client, Hook{}, nil, time.Now, quiet())
	after, err := w.Reconcile(s.t.Context(), action)
	if err != nil {
		s.t.Fatal(err)
	}
	return after
}

// private is what alice was told, in the channel and directly.
func (s *stage) private() (texts []string) {
	for _, m := range append(s.sim.Ephemerals("U1"), s.sim.Messages("DU1")...) {
		if strings.Contains(m.Text, "GitLab does not let") {
			texts = append(texts, m.Text)
		}
	}
	return texts
}

func TestAnswererSendsOnce(t *testing.T) {
	tests := []struct {
		name   string
		change func(*kovra.Action)
		before func(*stage, int64)
		method string
	}{
		{name: "late", before: (*stage).late, method: "response_url"},
		{name: "orphaned", before: func(*stage, int64) { time.Sleep(answerGrace) }, method: "response_url"},
		{name: "after half an hour", before: func(s *stage, a int64) { time.Sleep(responseLife); s.late(a) }, method: "chat.postEphemeral"},
		{name: "no address", change: func(a *kovra.Action) { a.ReplyURL = "" }, before: (*stage).late, method: "chat.postEphemeral"},
		{name: "address used up", change: func(a *kovra.Action) { a.ReplyURL += "x" }, before: (*stage).late, method: "chat.postEphemeral"},
		{name: "no channel", change: func(a *kovra.Action) { a.Channel, a.ReplyURL = "", "" }, before: (*stage).late, method: "chat.postMessage"},
		{name: "not in the channel", change: func(a *kovra.Action) { a.ReplyURL = "" }, before: func(s *stage, a int64) {
			s.sim.SetChannel(testChannel, func(c *slacksim.Channel) { c.Members = []string{slacksim.BotUserID} })
			s.late(a)
		}, method: "chat.postMessage"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				a := s.ask(tt.change)
				s.end(a)
				tt.before(s, a)
				for range 3 {
					if after := s.answer(a); after != 0 {
						t.Errorf("asks to wait %v", after)
					}
				}
				if got := s.private(); len(got) != 1 {
					t.Errorf("alice was told %q, want one answer", got)
				}
				if n := s.count(tt.method, "ok"); n != 1 {
					t.Errorf("%s was called %d times, want once", tt.method, n)
				}
			})
		})
	}
}

func TestAnswererLeavesAnswersToTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		a := s.ask(nil)
		if after := s.answer(a); after != 0 {
			t.Errorf("asks to come back in %v though the action has not ended", after)
		}
		s.end(a)
		time.Sleep(4 * time.Second)
		if after := s.answer(a); after != answerGrace-4*time.Second {
			t.Errorf("asks to come back in %v, want %v", after, answerGrace-4*time.Second)
		}
		s.update(func(tx *storage.Tx) error {
			_, err := tx.ClaimAnswer(a)
			return err
		})
		time.Sleep(answerGrace)
		s.answer(a)
		if after := s.answer(99); after != 0 {
			t.Errorf("asks to wait %v for an action that is not there", after)
		}
		if got := s.private(); len(got) != 0 {
			t.Errorf("alice was told %q though the request had answered", got)
		}
	})
}

func TestAnswererDoesNotRepeatWhatMayHaveArrived(t *testing.T) {
	for _, fault := range []slacksim.Fault{slacksim.LoseReply("response_url"), slacksim.Drop("response_url"), slacksim.Status("response_url", 500)} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t)
			s.sim.Fault(fault)
			a := s.ask(nil)
			s.end(a)
			s.late(a)
			s.answer(a)
			s.answer(a)
			if n := s.sim.CallCount("response_url"); n != 1 || len(s.private()) > 1 {
				t.Errorf("%d calls, told %q", n, s.private())
			}
		})
	}
}

func TestAnswererSaysWhenItCannotClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		a := s.ask(nil)
		s.end(a)
		s.late(a)
		w := NewAnswerer(s.db, s.client, Hook{}, nil, time.Now, quiet())
		w.db = crashingStore{s.db, &crash{left: 1, err: unclear}}
		if _, err := w.Reconcile(t.Context(), a); err == nil {
			t.Error("no error though nothing could be claimed")
		}
		s.answer(a)
		if got := s.private(); len(got) != 1 {
			t.Errorf("alice was told %q, want one answer", got)
		}
	})
}

func TestReadDeedTakesWhatThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.see(100, kovra.Running, kovra.Job{ID: 5, Name: "deploy", Stage: "test", Status: kovra.Manual})
		s.update(func(tx *storage.Tx) error {
			d, err := readDeed(tx, kovra.Action{App: "web", Run: 1, Job: 5}, Hook{URL: "u"})
			if err != nil || d.Run.Remote != 100 || d.JobName != "deploy" || d.Project.Path != "group/web" || d.App.Project != testProject || d.Hook.URL != "u" {
				t.Errorf("readDeed = %+v, %v", d, err)
			}
			d, err = readDeed(tx, kovra.Action{App: "gone", Run: 77, Job: 5}, Hook{})
			if err != nil || d.Run.ID != 0 || d.App.Name != "gone" {
				t.Errorf("readDeed of what is gone = %+v, %v", d, err)
			}
			return nil
		})
	})
}

// takesCommands is an app that answers every command with nothing and remembers its response_url.
func takesCommands(got func(responseURL string)) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got(r.PostFormValue("response_url")) })
}

// TestCommandLineIsNotAnswered: it looks for itself what became of its wish, so nothing is said in Slack, and nothing is left to say.
func TestCommandLineIsNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		ci, err := kovra.Operator("ci")
		if err != nil {
			t.Fatal(err)
		}
		id := s.ask(func(a *kovra.Action) { a.By, a.ReplyURL = ci, "" })
		s.end(id)
		before := len(s.sim.Calls())
		if after := s.answer(id); after != 0 {
			t.Errorf("it waits %v", after)
		}
		if n := len(s.sim.Calls()) - before; n != 0 {
			t.Errorf("%d calls of Slack", n)
		}
		for ref, err := range s.db.Dirty(t.Context()) {
			if err != nil || ref.Kind == kovra.RefAnswer {
				t.Errorf("left to be done: %v, %v", ref, err)
			}
		}
	})
}
