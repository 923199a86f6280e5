package bot

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

var brokenEnd = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// broken is the view of a pipeline that has newly broken main.
func broken() kovra.View {
	return kovra.View{
		App: kovra.App{Name: "web", Project: 7}, Thread: kovra.Thread{Channel: "C1"}, Matched: true,
		Run: kovra.Run{ID: 1, Project: 7, Remote: 5, Ref: "main", Protected: true, Status: kovra.Failed, FinishedAt: brokenEnd, Results: []kovra.Result{
			{Status: kovra.Failed, FinishedAt: brokenEnd, News: kovra.Broken},
		}},
	}
}

func texts(messages []Message) string {
	var out []string
	for _, m := range messages {
		out = append(out, m.Slot+": "+m.Text)
	}
	return strings.Join(out, "\n")
}

func TestStarterIsMentioned(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*kovra.View)
		want   bool
	}{
		"known":           {func(v *kovra.View) { v.Starter = "U7" }, true},
		"nobody is known": {func(*kovra.View) {}, false},
		"fixed":           {func(v *kovra.View) { v.Starter, v.Run.Results[0].News = "U7", kovra.Fixed }, false},
		"broken already":  {func(v *kovra.View) { v.Starter, v.Run.Results[0].News = "U7", kovra.NoNews }, false},
		"quiet":           {func(v *kovra.View) { v.Starter, v.Thread.Quiet = "U7", true }, false},
		"told alone":      {func(v *kovra.View) { v.Starter, v.Thread.Channel = "U7", "@U7" }, false},
		"no id of Slack":  {func(v *kovra.View) { v.Starter = "<!channel>" }, false},
	} {
		v := broken()
		c.change(&v)
		if got := strings.Contains(texts(Render(v)), "<@U7>"); got != c.want {
			t.Errorf("%s: mentioned %t, want %t:\n%s", name, got, c.want, texts(Render(v)))
		}
	}
}

// TestNewsWaitToKnowWhom: a message is posted once, and its mention cannot be added later.
func TestNewsWaitToKnowWhom(t *testing.T) {
	v := broken()
	v.Matched = false
	if got := len(Render(v)); got != 1 {
		t.Errorf("%d messages before it is known whom to mention, want the card", got)
	}
}

func TestPersonalThread(t *testing.T) {
	v := broken()
	v.Thread.Channel = "@U7"
	v.Jobs = []kovra.Job{{ID: 1, Name: "unit", Status: kovra.Failed, Log: kovra.LogCut, Excerpt: kovra.Excerpt{Lines: []kovra.ExcerptLine{{N: 1, Text: "it broke"}}}}}
	if got := Render(v); len(got) != 1 || got[0].Slot != kovra.SlotCard || got[0].Broadcast {
		t.Errorf("one end: %s; want the card alone", texts(got))
	}
	again := v.Run
	again.Results = append(again.Results, kovra.Result{Status: kovra.Success, FinishedAt: brokenEnd.Add(time.Hour), News: kovra.Fixed})
	again.Status, again.FinishedAt = kovra.Success, brokenEnd.Add(time.Hour)
	v.Run = again
	if got := Render(v); len(got) != 2 || got[1].Broadcast {
		t.Errorf("two ends: %s; want the card and a reply", texts(got))
	}
	v.Run.Status = kovra.Running
	v.Run.Results = nil
	if got := Render(v); len(got) != 0 {
		t.Errorf("while it runs: %s; want nothing", texts(got))
	}
}

func TestQuietThread(t *testing.T) {
	v := broken()
	v.Thread.Quiet = true
	if got := Render(v); len(got) != 1 || got[0].Slot != kovra.SlotCard {
		t.Errorf("%s; want the card alone", texts(got))
	}
}

// TestQuietThreadKeepsItsReplies: a thread may become quiet after it was loud; the buttons of what it told go all the same.
func TestQuietThreadKeepsItsReplies(t *testing.T) {
	v := broken()
	v.Jobs = []kovra.Job{{ID: 1, Name: "unit", Status: kovra.Failed, Log: kovra.LogCut}, {ID: 2, Name: "lint", Status: kovra.Failed, Log: kovra.LogCut}}
	v.Thread.Quiet = true
	v.Slots = map[string]kovra.Slot{kovra.FailureSlot(1): {Key: kovra.FailureSlot(1), TS: "2.0"}}
	if got := Render(v); len(got) != 2 || got[1].Slot != kovra.FailureSlot(1) {
		t.Errorf("%s; want the card and the reply that is there", texts(got))
	}
}

func TestFilterWords(t *testing.T) {
	for text, want := range map[string]string{
		"subscribe web":         "pipelines and builds",
		"subscribe web mr tags": "merge requests and tags",
		"subscribe web ref:main,release/* ref:!release/old":     "pipelines and builds of `main`, `release/*` but not `release/old`",
		"subscribe web pipelines by:!bots only:failures quiet":  "pipelines by all but bots, once they fail, without replies",
		"subscribe web pipelines source:schedule only:changes":  "pipelines from schedule, once they are newly broken or fixed",
		"subscribe web by:@alice":                               "pipelines and builds by alice",
		"subscribe web source:schedule":                         "pipelines from schedule",
		"subscribe web pipelines mr tags only:failures":         "pipelines, once they fail",
		"subscribe web deployments only:failures broadcast:off": "deployments, once they fail",
	} {
		c, err := Parse("/kovra", text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := selects(c.Filter); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
		again, err := Parse("/kovra", strings.TrimPrefix(c.String(), "/kovra "))
		if err != nil || again.String() != c.String() {
			t.Errorf("%s: %q comes back as %q, %v", text, c.String(), again.String(), err)
		}
	}
	long, many := strings.Repeat("x", 80), "main"
	for i := range 500 {
		many += fmt.Sprintf(",release/%d.*", i)
	}
	for text, want := range map[string]string{
		"subscribe web relases":                    "Did you mean releases",
		"subscribe web reff:main":                  "Did you mean ref:",
		"subscribe web only:sundays":               "only:failures or only:changes",
		"subscribe web tags only:failures":         "none of them is asked for",
		"subscribe web ref:":                       "do not understand",
		"subscribe web by:a/b":                     "do not understand",
		"subscribe web mr source:push":             "about pipelines",
		"subscribe web source:" + long:             "do not understand",
		"subscribe web ref:" + many:                "too much for one",
		"subscribe web only:failures only:changes": "exclude each other",
	} {
		_, err := Parse("/kovra", text)
		if got := kovra.PublicText(err); err == nil || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// TestSubscribeFormFits: whatever was typed can be changed in the form.
func TestSubscribeFormFits(t *testing.T) {
	var words []string
	for i := range 90 {
		words = append(words, fmt.Sprintf("ref:release/%d", i))
	}
	for i := range 10 {
		words = append(words, fmt.Sprintf("by:!somebody%d", i), "source:"+strings.Repeat(string(rune('a'+i)), 60))
	}
	c, err := Parse("/kovra", "subscribe web pipelines quiet "+strings.Join(words, " "))
	if err != nil {
		c, err = Parse("/kovra", "subscribe web pipelines quiet "+strings.Join(words[:70], " ")+" "+strings.Join(words[len(words)-4:], " "))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckView(subscribeForm("{}", "web", c.Filter)); err != nil {
		t.Error(err)
	}
}

// TestForkIsNoBranchOfOurs: a merge request from a fork's main is not about our main.
func TestForkIsNoBranchOfOurs(t *testing.T) {
	d := newDesk(t)
	run := d.running(31) // of main
	for fork, want := range map[bool]bool{false: true, true: false} {
		d.update(func(tx *storage.Tx) error {
			_, found, err := newestOf(tx, kovra.Subject{Project: run.Project, Kind: kovra.SubjectMergeRequest, Key: "12", Source: run.Ref, Fork: fork})
			if found != want {
				t.Errorf("fork %t: a pipeline is found: %t, want %t", fork, found, want)
			}
			return err
		})
	}
}

// TestThreadOfAPersonIsFound: its channel is known to Slack alone.
func TestThreadOfAPersonIsFound(t *testing.T) {
	d := newDesk(t)
	run := d.running(31)
	d.update(func(tx *storage.Tx) error {
		if _, err := tx.WatchRun(run.ID, "web", "U1"); err != nil {
			return err
		}
		threads, err := tx.ThreadsOfRun(run.ID)
		for _, th := range threads {
			if user, alone := th.Person(); alone && user == "U1" {
				return tx.SaveSlot(th.ID, kovra.Slot{Key: kovra.SlotCard, TS: "77.0"})
			}
		}
		t.Error("there is no thread of the person")
		return err
	})
	answer, app, err := d.handler.threadActions(t.Context(), asker{person: kovra.Person{ID: "U1"}, channel: "DU1", message: "77.0"})
	if err != nil || app != "web" {
		t.Errorf("%q of %q, %v; want what can be done with the pipeline", answer.Text, app, err)
	}
	_, app, err = d.handler.threadActions(t.Context(), asker{person: kovra.Person{ID: "U2"}, channel: "DU2", message: "77.0"})
	if err != nil || app != "" {
		t.Errorf("somebody else: the thread of %q, %v; want none", app, err)
	}
}

// TestPersonIsGivenUp only for what is about them: a token that was revoked for a while is not.
func TestPersonIsGivenUp(t *testing.T) {
	for code, want := range map[string]bool{
		"user_disabled": true, "user_not_found": true, "cannot_dm_bot": true,
		"token_revoked": false, "missing_scope": false, "account_inactive": false, "internal_error": false, "service_unavailable": false,
	} {
		t.Run(code, func(t *testing.T) {
			s := newStage(t)
			s.see(5, kovra.Failed)
			var thread int64
			s.update(func(tx *storage.Tx) error {
				r, err := tx.RunByRemote(testProject, 5)
				if err != nil {
					return err
				}
				if _, err := tx.WatchRun(r.ID, "web", "U1"); err != nil {
					return err
				}
				threads, err := tx.ThreadsOfRun(r.ID)
				for _, th := range threads {
					if _, alone := th.Person(); alone {
						thread = th.ID
					}
				}
				return err
			})
			s.sim.Fault(slacksim.ErrorCode("conversations.open", code))
			_, err := s.projector.Reconcile(t.Context(), thread)
			s.update(func(tx *storage.Tx) error {
				v, failed := tx.View(thread)
				if got := v.Thread.Broken != ""; got != want || (err == nil) != want {
					t.Errorf("given up: %t, error %v; want %t", got, err, want)
				}
				return failed
			})
		})
	}
}

// TestPromptIsNotLost: while there is no address to sign in at, it stays open who asks the person.
func TestPromptIsNotLost(t *testing.T) {
	s := newStage(t)
	id := s.ask(nil)
	s.update(func(tx *storage.Tx) error { return tx.WaitAction(id) })
	s.late(id)
	fails := true
	w := NewAnswerer(s.db, s.client, Hook{}, func(context.Context, kovra.Person) (string, error) {
		if fails {
			return "", errors.New("the database is busy")
		}
		return "https://kovra.example/oauth/gitlab/start?t=1", nil
	}, time.Now, quiet())
	if _, err := w.Reconcile(t.Context(), id); err == nil {
		t.Error("no error, want one, to come again")
	}
	fails = false
	for range 2 {
		if _, err := w.Reconcile(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if got := len(s.sim.Ephemerals("U1")); got != 1 {
		t.Errorf("asked %d times, want once", got)
	}
}
