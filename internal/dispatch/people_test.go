package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// office is a world in which people act with accounts of their own.
type office struct {
	*world
	accounts map[string]kovra.GitLabUser // by Slack id
	dead     bool                        // GitLab accepts no account any more
	level    int
	lost     []string
	lostErr  error // what Lost answers
	match    kovra.Match
	asked    int
	down     error
	notes    []string
	author   int64  // of the comment, as GitLab has it
	said     string // what stands in it
	unread   error  // GitLab does not show it
	source   string // branch of every merge request
	closed   string // the branch that is
	hidden   error  // GitLab does not tell of branches
	bots     bool   // all is done with the bot's account
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{world: newWorld(t), accounts: map[string]kovra.GitLabUser{}, level: 40, author: 7, said: "/kovra"}
	o.link("web", web, "C1")
	return o
}

func (o *office) dispatch() *Dispatch {
	w := o.world
	out := World{
		Pipelines: w, Traces: w, Controls: w, Starts: w, Links: w, Gate: w, Channels: w, Hands: o, People: o, Comments: o,
	}
	if o.bots {
		out.Hands = nil
	}
	return New(w.db, w.logs, out, Options{HookURL: "https://kovra.example/webhooks/gitlab", Log: slog.New(slog.DiscardHandler)})
}

func (o *office) As(_ context.Context, p kovra.Person) (Hand, error) {
	u, ok := o.accounts[p.ID]
	if !ok {
		return Hand{}, kovra.Errorf(kovra.Unconnected, "Connect your GitLab account first.")
	}
	return Hand{Controls: own{o}, Links: own{o}, User: u, Own: true}, nil
}

func (o *office) Lost(_ context.Context, p kovra.Person) error {
	o.lost = append(o.lost, p.ID)
	if o.lostErr != nil {
		return o.lostErr
	}
	delete(o.accounts, p.ID)
	return nil
}

func (o *office) Match(context.Context, kovra.GitLabUser) (kovra.Match, error) {
	o.asked++
	return o.match, o.down
}

func (o *office) Disconnect(_ context.Context, user string) (bool, error) {
	_, had := o.accounts[user]
	delete(o.accounts, user)
	return had, nil
}

func (o *office) Source(context.Context, int64, int64) (string, error) { return o.source, o.hidden }

func (o *office) Closed(_ context.Context, _ int64, branch string) (bool, error) {
	o.call("closed " + branch)
	return branch == o.closed, o.hidden
}

func (o *office) MemberLevel(context.Context, int64, int64) (int, error) { return o.level, nil }

func (o *office) Comment(context.Context, int64, int64, int64) (kovra.GitLabUser, string, error) {
	return kovra.GitLabUser{ID: o.author}, o.said, o.unread
}

func (o *office) ReplyNote(_ context.Context, _, _ int64, discussion, text string) error {
	o.notes = append(o.notes, discussion+": "+text)
	return o.down
}

// own is GitLab as one person sees it.
type own struct{ *office }

func (o own) Level(context.Context, int64) (int, error) { return o.level, nil }

func (o own) RetryPipeline(ctx context.Context, project, pipeline int64) error {
	if o.dead {
		return &kovra.Error{Kind: kovra.Unconnected, Public: "GitLab does not accept your account any more.", Err: kovra.ErrToken}
	}
	return o.world.RetryPipeline(ctx, project, pipeline)
}

// failedRun is a pipeline that can be retried.
func (o *office) failedRun(t *testing.T) kovra.Run {
	t.Helper()
	run := kovra.Run{Project: web, Remote: 5, Ref: "main", Status: kovra.Failed, FinishedAt: o.db.Now(), By: kovra.GitLabUser{ID: 9, Username: "ben"}}
	o.pipeline = func(int64) (kovra.Observation, error) { return kovra.Observation{Run: run, Whole: true}, nil }
	return o.observe(kovra.Observation{Run: run})
}

// pass takes up an action once.
func (o *office) pass(t *testing.T, id int64) (time.Duration, error) {
	t.Helper()
	return o.dispatch().Actions().Reconcile(t.Context(), id)
}

func TestActionWaitsForItsPerson(t *testing.T) {
	o := newOffice(t)
	run := o.failedRun(t)
	a := o.propose(kovra.Action{Kind: kovra.ActRetry, App: "web", Run: run.ID, By: kovra.Person{ID: "U1"}, Lock: "retry/1"})
	if _, err := o.pass(t, a); err != nil {
		t.Fatal(err)
	}
	if got := o.action(a); got.State != kovra.ActionWaits {
		t.Fatalf("state %s, want waits", got.State)
	}
	after, err := o.pass(t, a)
	if err != nil || after <= 0 || after > kovra.WaitFor {
		t.Errorf("looks again after %v, %v", after, err)
	}
	if slices.Contains(o.calls, "retry 5") {
		t.Error("the pipeline was retried with the bot's account")
	}
	alice := kovra.GitLabUser{ID: 7, Username: "alice"}
	o.accounts["U1"] = alice
	if err := o.db.Update(t.Context(), func(tx *storage.Tx) error { return tx.Connect("U1", alice, kovra.TokenPair{Access: "a"}) }); err != nil {
		t.Fatal(err)
	}
	if _, err := o.pass(t, a); err != nil {
		t.Fatal(err)
	}
	if got := o.action(a); got.State != kovra.ActionDone || got.Outcome.As != "alice" {
		t.Errorf("got %s as %q, want done as alice", got.State, got.Outcome.As)
	}
}

// TestTimeBeginsAnew: who asks again has the whole time to connect again, and what waited is tried as long as what did not.
func TestTimeBeginsAnew(t *testing.T) {
	o := newOffice(t)
	run := o.failedRun(t)
	wish := kovra.Action{Kind: kovra.ActRetry, App: "web", Run: run.ID, By: kovra.Person{ID: "U1"}, Lock: "retry/1"}
	a := o.propose(wish)
	pass := func(want kovra.ActionState) {
		t.Helper()
		_, err := o.pass(t, a)
		if got := o.action(a); got.State != want || err != nil && !mayPass(err) {
			t.Fatalf("got %s, %s, %v; want %s", got.State, got.Outcome.Reason, err, want)
		}
	}
	pass(kovra.ActionWaits)
	o.now = o.now.Add(kovra.WaitFor - 30*time.Second)
	if again := o.propose(wish); again != a {
		t.Fatalf("asked again: action %d, want %d", again, a)
	}
	o.now = o.now.Add(11 * time.Minute)
	pass(kovra.ActionWaits)
	alice := kovra.GitLabUser{ID: 7, Username: "alice"}
	o.accounts["U1"] = alice
	if err := o.db.Update(t.Context(), func(tx *storage.Tx) error { return tx.Connect("U1", alice, kovra.TokenPair{Access: "a"}) }); err != nil {
		t.Fatal(err)
	}
	seen := o.pipeline
	o.pipeline = func(int64) (kovra.Observation, error) { return kovra.Observation{}, errBusy }
	pass(kovra.ActionWanted)
	o.pipeline = seen
	pass(kovra.ActionDone)
}

func TestWaitEnds(t *testing.T) {
	o := newOffice(t)
	a := o.propose(kovra.Action{Kind: kovra.ActConnect, By: kovra.Person{ID: "U1"}})
	if _, err := o.pass(t, a); err != nil {
		t.Fatal(err)
	}
	o.now = o.now.Add(kovra.WaitFor)
	if _, err := o.pass(t, a); err != nil {
		t.Fatal(err)
	}
	got := o.action(a)
	if got.State != kovra.ActionFailed || got.Outcome.Kind != kovra.Unconnected || !strings.Contains(got.Outcome.Reason, "15 minutes") {
		t.Errorf("got %s, %+v", got.State, got.Outcome)
	}
}

func TestDeadAccountLeadsBackToConnect(t *testing.T) {
	o := newOffice(t)
	run := o.failedRun(t)
	o.accounts["U1"], o.dead = kovra.GitLabUser{ID: 7, Username: "alice"}, true
	a := o.propose(kovra.Action{Kind: kovra.ActRetry, App: "web", Run: run.ID, By: kovra.Person{ID: "U1"}})
	if _, err := o.pass(t, a); err != nil && kovra.KindOf(err) != kovra.Unconnected {
		t.Fatal(err)
	}
	if got := o.action(a); got.State != kovra.ActionWaits || !slices.Equal(o.lost, []string{"U1"}) {
		t.Errorf("got %s, lost %v", got.State, o.lost)
	}
}

func TestLinkNeedsAMaintainer(t *testing.T) {
	o := newOffice(t)
	o.accounts["U1"] = kovra.GitLabUser{ID: 7, Username: "alice"}
	for level, want := range map[int]kovra.ActionState{30: kovra.ActionFailed, 40: kovra.ActionDone} {
		o.level = level
		a := o.propose(kovra.Action{Kind: kovra.ActLink, App: "shop", By: kovra.Person{ID: "U1"}, Channel: "C1", Params: kovra.Params{Project: "group/shop"}})
		if _, err := o.pass(t, a); err != nil {
			t.Fatal(err)
		}
		if got := o.action(a); got.State != want {
			t.Errorf("level %d: %s (%s), want %s", level, got.State, got.Outcome.Reason, want)
		}
	}
}

func TestStarterIsLookedForOnce(t *testing.T) {
	o := newOffice(t)
	run := o.failedRun(t)
	o.match = kovra.Match{Slack: "U2", How: "e-mail"}
	for range 2 {
		if _, err := o.dispatch().Runs().Reconcile(t.Context(), run.ID); err != nil {
			t.Fatal(err)
		}
	}
	if o.asked != 1 {
		t.Errorf("asked %d times, want once", o.asked)
	}
	if v := o.view(t, run.ID); v.Starter != "U2" || !v.Matched {
		t.Errorf("starter %q, matched %t", v.Starter, v.Matched)
	}
}

// TestNewsDoNotWaitForAPeerThatIsDown: who cannot be found out now is nobody, until the next look.
func TestNewsDoNotWaitForAPeerThatIsDown(t *testing.T) {
	o := newOffice(t)
	run := o.failedRun(t)
	o.down = kovra.Errorf(kovra.Unavailable, "GitLab is down.")
	if _, err := o.dispatch().Runs().Reconcile(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	if v := o.view(t, run.ID); v.Starter != "" || !v.Matched {
		t.Errorf("starter %q, matched %t; want nobody, for now", v.Starter, v.Matched)
	}
	o.down, o.match = nil, kovra.Match{Slack: "U2"}
	next := o.observe(kovra.Observation{Run: kovra.Run{Project: web, Remote: 6, Ref: "main", Status: kovra.Running, By: run.By}})
	o.pipeline = func(id int64) (kovra.Observation, error) {
		return kovra.Observation{Run: kovra.Run{Project: web, Remote: id, Ref: "main", Status: kovra.Running, By: run.By}, Whole: true}, nil
	}
	for _, id := range []int64{run.ID, next.ID} {
		if _, err := o.dispatch().Runs().Reconcile(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if v := o.view(t, run.ID); v.Starter != "" {
		t.Errorf("starter %q of a pipeline whose news were told before", v.Starter)
	}
	if v := o.view(t, next.ID); v.Starter != "U2" {
		t.Errorf("starter %q of the next pipeline, after the peer is back", v.Starter)
	}
}

func (o *office) view(t *testing.T, run int64) kovra.View {
	t.Helper()
	var v kovra.View
	err := o.db.Read(t.Context(), func(tx *storage.Tx) (err error) {
		v, err = tx.RunView(run, "web")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCommentIsAnsweredWhereItWasAsked(t *testing.T) {
	o := newOffice(t)
	run := o.failedRun(t)
	by := kovra.Person{GitLab: kovra.GitLabUser{ID: 7, Username: "alice"}}
	o.accounts[""] = by.GitLab
	c := &kovra.Comment{Project: web, MR: 3, Discussion: "d1"}
	a := o.propose(kovra.Action{Kind: kovra.ActRetry, App: "web", Run: run.ID, By: by, Params: kovra.Params{Comment: c}})
	reply := func() bool {
		t.Helper()
		mine, err := o.dispatch().Replies().Reply(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		return mine
	}
	if !reply() || len(o.notes) != 0 {
		t.Errorf("answered before the end: %q", o.notes)
	}
	if _, err := o.pass(t, a); err != nil {
		t.Fatal(err)
	}
	first, again := reply(), reply()
	if !first || !again || len(o.notes) != 1 || !strings.HasPrefix(o.notes[0], "d1: Done: ") {
		t.Errorf("got %q, want one answer", o.notes)
	}
	other := o.propose(kovra.Action{Kind: kovra.ActNotify, By: kovra.Person{ID: "U1"}, Params: kovra.Params{Notify: kovra.NotifyAll}})
	if mine, err := o.dispatch().Replies().Reply(t.Context(), other); mine || err != nil {
		t.Errorf("what was asked in Slack: %t, %v", mine, err)
	}
}

func TestCommentOfSomebodyWithoutAccount(t *testing.T) {
	o := newOffice(t)
	run := o.failedRun(t)
	a := o.propose(kovra.Action{Kind: kovra.ActRetry, App: "web", Run: run.ID, By: kovra.Person{GitLab: kovra.GitLabUser{ID: 7}}, Params: kovra.Params{Comment: &kovra.Comment{}}})
	if _, err := o.pass(t, a); err != nil {
		t.Fatal(err)
	}
	if got := o.action(a); got.State != kovra.ActionFailed || got.Outcome.Kind != kovra.Unconnected {
		t.Errorf("got %s, %+v; nobody in Slack can be asked to connect", got.State, got.Outcome)
	}
}

func TestWatchAndNotify(t *testing.T) {
	o := newOffice(t)
	run := o.failedRun(t)
	for _, a := range []kovra.Action{
		{Kind: kovra.ActWatch, App: "web", Run: run.ID, By: kovra.Person{ID: "U1"}},
		{Kind: kovra.ActWatch, App: "web", Run: run.ID, By: kovra.Person{ID: "U1"}},
		{Kind: kovra.ActNotify, By: kovra.Person{ID: "U1"}, Params: kovra.Params{Notify: kovra.NotifyFailures}},
		{Kind: kovra.ActNotify, By: kovra.Person{ID: "U1"}, Params: kovra.Params{Notify: "loudly"}},
	} {
		id := o.propose(a)
		if _, err := o.pass(t, id); err != nil {
			t.Fatal(err)
		}
		want := kovra.ActionDone
		if a.Params.Notify == "loudly" {
			want = kovra.ActionFailed
		}
		if got := o.action(id); got.State != want {
			t.Errorf("%s %s: %s", a.Kind, a.Params.Notify, got.State)
		}
	}
	var threads []kovra.Thread
	var account kovra.Account
	err := o.db.Read(t.Context(), func(tx *storage.Tx) error {
		t1, err := tx.ThreadsOfRun(run.ID)
		a, failed := tx.Account("U1")
		threads, account = t1, a
		return errors.Join(err, failed)
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(threads) != 2 || threads[0].Channel != "@U1" || account.Notify != kovra.NotifyFailures {
		t.Errorf("threads %v, notify %q", threads, account.Notify)
	}
}

// TestDisconnectedInTheMiddle: GitLab did not say whether a retry was done, and its person has no account any more when that is looked at.
func TestDisconnectedInTheMiddle(t *testing.T) {
	for name, tt := range map[string]struct {
		status kovra.Status // of the pipeline, then
		want   kovra.ActionState
	}{
		"it was done":     {kovra.Running, kovra.ActionDone},
		"it was not done": {kovra.Failed, kovra.ActionWaits},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			run := o.failedRun(t)
			a := o.propose(kovra.Action{Kind: kovra.ActRetry, App: "web", Run: run.ID, By: kovra.Person{ID: "U1"}, Lock: "retry/1"})
			if err := o.db.Update(t.Context(), func(tx *storage.Tx) error { return tx.TryAction(a, kovra.Params{As: "alice"}) }); err != nil {
				t.Fatal(err)
			}
			run.Status, run.FinishedAt = tt.status, time.Time{}
			if tt.status.Final() {
				run.FinishedAt = o.db.Now()
			}
			o.pipeline = func(int64) (kovra.Observation, error) { return kovra.Observation{Run: run, Whole: true}, nil }
			if _, err := o.pass(t, a); err != nil {
				t.Fatal(err)
			}
			if got := o.action(a); got.State != tt.want || got.State == kovra.ActionDone && got.Outcome.As != "alice" {
				t.Errorf("got %s as %q, want %s", got.State, got.Outcome.As, tt.want)
			}
			if slices.Contains(o.calls, "retry 5") {
				t.Error("the pipeline was retried by nobody's account")
			}
		})
	}
}

// TestConnectedWhileItWasRefused: the person connects between the refusal and its being recorded. The action must not wait for what has happened.
func TestConnectedWhileItWasRefused(t *testing.T) {
	o := newOffice(t)
	run := o.failedRun(t)
	alice := kovra.GitLabUser{ID: 7, Username: "alice"}
	if err := o.db.Update(t.Context(), func(tx *storage.Tx) error { return tx.Connect("U1", alice, kovra.TokenPair{Access: "a"}) }); err != nil {
		t.Fatal(err)
	}
	a := o.propose(kovra.Action{Kind: kovra.ActRetry, App: "web", Run: run.ID, By: kovra.Person{ID: "U1"}, Lock: "retry/1"})
	if _, err := o.pass(t, a); kovra.KindOf(err) != kovra.Unavailable {
		t.Errorf("got %v, want to be called again", err)
	}
	if got := o.action(a); got.State != kovra.ActionWanted {
		t.Errorf("state %s, want wanted", got.State)
	}
	o.accounts["U1"] = alice
	if _, err := o.pass(t, a); err != nil {
		t.Fatal(err)
	}
	if got := o.action(a); got.State != kovra.ActionDone {
		t.Errorf("state %s, want done", got.State)
	}
}

// TestAccountThatNeverWorks: GitLab refuses an account that it says is fine. That is not tried for ever.
func TestAccountThatNeverWorks(t *testing.T) {
	o := newOffice(t)
	run := o.failedRun(t)
	o.accounts["U1"], o.dead = kovra.GitLabUser{ID: 7, Username: "alice"}, true
	o.lostErr = kovra.Errorf(kovra.Unavailable, "GitLab did not answer as it should.")
	a := o.propose(kovra.Action{Kind: kovra.ActRetry, App: "web", Run: run.ID, By: kovra.Person{ID: "U1"}})
	if _, err := o.pass(t, a); kovra.KindOf(err) != kovra.Unavailable {
		t.Fatalf("got %v, want to be called again", err)
	}
	o.now = o.now.Add(10*time.Minute + time.Second)
	if _, err := o.pass(t, a); err != nil {
		t.Errorf("got %v, want an end", err)
	}
	if got := o.action(a); got.State != kovra.ActionFailed {
		t.Errorf("state %s, want failed", got.State)
	}
}
