package dispatch

import (
	"strings"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// control is one of the actions on what GitLab has already.
type control struct {
	wish   kovra.Action
	call   string            // that does it
	before kovra.Observation // where it is possible
	after  kovra.Observation // where it was done
	never  kovra.Observation // where it is not possible
	why    string            // words of the reason then
	raced  string            // words of the reason when somebody else did it
}

func unit(id int64, s kovra.Status) kovra.Job { return kovra.Job{ID: id, Name: "unit", Status: s} }

var controls = map[string]control{
	"cancel": {
		wish: kovra.Action{Kind: kovra.ActCancel}, call: "cancel",
		before: pipeline(5, kovra.Running), after: pipeline(5, kovra.Canceling), never: pipeline(5, kovra.Success),
		why: "Pipeline #5 is Success now", raced: "Pipeline #5 is canceling now",
	},
	"retry": {
		wish: kovra.Action{Kind: kovra.ActRetry, Params: kovra.Params{Jobs: []int64{51}}}, call: "retry",
		before: pipeline(5, kovra.Failed, unit(51, kovra.Failed)),
		after:  pipeline(5, kovra.Running, unit(51, kovra.Failed), unit(61, kovra.Pending)),
		never:  pipeline(5, kovra.Success, unit(51, kovra.Success)),
		why:    "Pipeline #5 is Success now", raced: "Pipeline #5 is Running now",
	},
	"retry job": {
		wish: kovra.Action{Kind: kovra.ActRetryJob, Job: 51}, call: "retry job",
		before: pipeline(5, kovra.Failed, unit(51, kovra.Failed)),
		after:  pipeline(5, kovra.Running, unit(51, kovra.Failed), unit(61, kovra.Pending)),
		never:  pipeline(5, kovra.Success, unit(51, kovra.Success)),
		why:    "Job unit is Success now", raced: "Job unit was retried already; the new one is Pending",
	},
	"play": {
		wish: kovra.Action{Kind: kovra.ActPlay, Job: 51}, call: "play",
		before: pipeline(5, kovra.Running, unit(51, kovra.Manual)), after: pipeline(5, kovra.Running, unit(51, kovra.Pending)),
		never: pipeline(5, kovra.Success, unit(51, kovra.Success)), why: "Job unit is Success now", raced: "Job unit is Pending now",
	},
}

// controlled is a world where a control is proposed and not yet tried.
type controlled struct {
	*peers
	control

	d     *Dispatch
	id    int64
	runID int64
}

func (c *controlled) gitlabSays(o kovra.Observation) {
	c.pipeline = func(int64) (kovra.Observation, error) { return whole(o), nil }
}

// wantCalls checks how often the effect was started.
func (c *controlled) wantCalls(n int) {
	c.t.Helper()
	if got := c.count(c.call); got != n {
		c.t.Errorf("%s was called %d times, want %d: %q", c.call, got, n, c.calls)
	}
}

// eachControl runs a story with every control.
func eachControl(t *testing.T, story func(c *controlled)) {
	t.Helper()
	for name, of := range controls {
		t.Run(name, func(t *testing.T) {
			c := &controlled{peers: newPeers(t), control: of}
			c.link("web", web)
			c.runID = c.observe(of.before).ID
			c.gitlabSays(of.before)
			a := of.wish
			a.App, a.Run = "web", c.runID
			c.id = c.propose(a)
			c.d = c.dispatch()
			story(c)
		})
	}
}

func TestControlDone(t *testing.T) {
	eachControl(t, func(c *controlled) {
		c.step(c.d, c.id)
		a := c.action(c.id)
		wantEnd(c.t, a, kovra.ActionDone, "")
		if a.Outcome.Remote != 5 || a.Outcome.Run != c.runID {
			c.t.Errorf("outcome %+v", a.Outcome)
		}
		if run, _ := c.run(c.runID); !run.Stale {
			c.t.Error("nobody looks at what came of it")
		}
		c.step(c.d, c.id) // a notice again
		c.wantCalls(1)
	})
}

func TestControlDeniedByTheGate(t *testing.T) {
	eachControl(t, func(c *controlled) {
		c.gate = errDenied
		c.step(c.d, c.id)
		wantEnd(c.t, c.action(c.id), kovra.ActionFailed, kovra.Denied)
		if len(c.calls) != 0 {
			c.t.Errorf("GitLab was called: %q", c.calls)
		}
	})
}

func TestControlRefusedByGitLab(t *testing.T) {
	eachControl(t, func(c *controlled) {
		c.effect = always(errDenied)
		c.step(c.d, c.id)
		a := c.action(c.id)
		wantEnd(c.t, a, kovra.ActionFailed, kovra.Denied)
		if a.Outcome.Reason != "The bot may not do this." {
			c.t.Errorf("reason %q", a.Outcome.Reason)
		}
		c.wantCalls(1)
	})
}

func TestControlNotPossibleNow(t *testing.T) {
	eachControl(t, func(c *controlled) {
		c.gitlabSays(c.never)
		c.step(c.d, c.id)
		a := c.action(c.id)
		wantEnd(c.t, a, kovra.ActionFailed, kovra.Conflict)
		if !strings.HasPrefix(a.Outcome.Reason, c.why) {
			c.t.Errorf("reason %q, want %q", a.Outcome.Reason, c.why)
		}
		c.wantCalls(0)
	})
}

// Somebody was faster, here or at GitLab itself. Nothing happens twice.
func TestControlRaced(t *testing.T) {
	eachControl(t, func(c *controlled) {
		c.gitlabSays(c.after)
		c.step(c.d, c.id)
		a := c.action(c.id)
		wantEnd(c.t, a, kovra.ActionFailed, kovra.Conflict)
		if !strings.HasPrefix(a.Outcome.Reason, c.raced) {
			c.t.Errorf("reason %q, want %q", a.Outcome.Reason, c.raced)
		}
		c.wantCalls(0)
	})
}

func TestControlUnavailableThenDone(t *testing.T) {
	eachControl(t, func(c *controlled) {
		c.effect = once(errBusy)
		if !c.step(c.d, c.id) {
			c.t.Fatal("not tried again")
		}
		if a := c.action(c.id); a.State != kovra.ActionWanted {
			c.t.Errorf("state %q: it counts as started", a.State)
		}
		c.step(c.d, c.id)
		wantEnd(c.t, c.action(c.id), kovra.ActionDone, "")
		c.wantCalls(2)
	})
}

// After an unclear end the state tells whether it was done, and also somebody who may no
// longer start it is told so.
func TestControlUnclearThenFoundDone(t *testing.T) {
	eachControl(t, func(c *controlled) {
		c.effect = always(errUnclear)
		if !c.step(c.d, c.id) {
			c.t.Fatal("not looked at again")
		}
		if a := c.action(c.id); a.State != kovra.ActionTried {
			c.t.Errorf("state %q: it counts as not started", a.State)
		}
		c.gate = errDenied
		c.gitlabSays(c.after)
		c.step(c.d, c.id)
		wantEnd(c.t, c.action(c.id), kovra.ActionDone, "")
		c.wantCalls(1)
	})
}

func TestControlUnclearAndNotDone(t *testing.T) {
	eachControl(t, func(c *controlled) {
		c.effect = once(errUnclear)
		c.step(c.d, c.id)
		c.step(c.d, c.id)
		wantEnd(c.t, c.action(c.id), kovra.ActionDone, "")
		c.wantCalls(2)
	})
}

func TestControlGivesUp(t *testing.T) {
	eachControl(t, func(c *controlled) {
		c.pipeline = func(int64) (kovra.Observation, error) { return kovra.Observation{}, errBusy }
		c.later(10*time.Minute - time.Second)
		if !c.step(c.d, c.id) {
			c.t.Fatal("given up too early")
		}
		c.later(time.Second)
		c.step(c.d, c.id)
		wantEnd(c.t, c.action(c.id), kovra.ActionFailed, kovra.Unavailable)
		c.wantCalls(0)
	})
}

func TestControlOfAPipelineThatIsGone(t *testing.T) {
	eachControl(t, func(c *controlled) {
		c.pipeline = func(int64) (kovra.Observation, error) { return kovra.Observation{}, errGone }
		c.step(c.d, c.id)
		wantEnd(c.t, c.action(c.id), kovra.ActionFailed, kovra.NotFound)
	})
}

func TestControlOfAJobThatIsNot(t *testing.T) {
	for _, kind := range []kovra.ActionKind{kovra.ActRetryJob, kovra.ActPlay} {
		c := newPeers(t)
		c.link("web", web)
		o := pipeline(5, kovra.Failed)
		run := c.observe(o)
		c.pipeline = func(int64) (kovra.Observation, error) { return whole(o), nil }
		a := c.act(kovra.Action{Kind: kind, App: "web", Run: run.ID, Job: 99})
		wantEnd(t, a, kovra.ActionFailed, kovra.Conflict)
		if a.Outcome.Reason != "Pipeline #5 has no job #99." {
			t.Errorf("reason %q", a.Outcome.Reason)
		}
	}
}

// Who retries learns that the branch has moved on: the retry runs the old commit.
func TestRetryTellsAMovedBranch(t *testing.T) {
	for name, c := range map[string]struct {
		head func() (string, error)
		tag  bool
		mr   int64
		want string
	}{
		"moved":           {func() (string, error) { return "new", nil }, false, 0, "new"},
		"not moved":       {func() (string, error) { return "old", nil }, false, 0, ""},
		"not known":       {func() (string, error) { return "", errBusy }, false, 0, ""},
		"a tag":           {func() (string, error) { return "new", nil }, true, 0, ""},
		"a merged result": {func() (string, error) { return "new", nil }, false, 7, ""}, // its commit is on no branch
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeers(t)
			p.link("web", web)
			o := pipeline(5, kovra.Failed, unit(51, kovra.Failed))
			o.Run.SHA, o.Run.Tag, o.Run.MR.IID = "old", c.tag, c.mr
			run := p.observe(o)
			p.head = c.head
			p.pipeline = func(int64) (kovra.Observation, error) { return whole(o), nil }
			a := p.act(kovra.Action{Kind: kovra.ActRetry, App: "web", Run: run.ID})
			wantEnd(t, a, kovra.ActionDone, "")
			if a.Outcome.Moved != c.want {
				t.Errorf("moved to %q, want %q", a.Outcome.Moved, c.want)
			}
		})
	}
}
