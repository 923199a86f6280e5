package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// lab is a world whose GitLab has webhooks, and knows when the bot's token ends.
type lab struct {
	*peers
	hooks   map[int64]SeenHook // by project
	see     error
	during  func() // while GitLab says how a webhook is
	last    string
	lastErr error
	test    func(project int64) error
	token   func() (kovra.TokenSight, error)
	admins  func() ([]string, error)
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{peers: newPeers(t), hooks: map[int64]SeenHook{}}
	l.admins = func() ([]string, error) { return []string{"U1", "U2"}, nil }
	l.token = func() (kovra.TokenSight, error) { return kovra.TokenSight{ID: 5, Name: "kovra"}, nil }
	return l
}

func (l *lab) dispatch() *Dispatch {
	l.t.Helper()
	o := Options{HookURL: "https://kovra.example/webhooks/gitlab", Log: slog.New(slog.DiscardHandler)}
	if l.noPublic {
		o.HookURL = ""
	}
	return New(l.db, l.logs, World{
		Pipelines: l, Traces: l, Controls: l, Starts: l, Links: l, Gate: l, Channels: l, Hooks: l, Self: l, Admins: l,
	}, o)
}

func (l *lab) SeeHook(_ context.Context, project int64, url string, _ HookEvents) (SeenHook, error) {
	l.call("see")
	if l.during != nil {
		l.during()
	}
	if url != "https://kovra.example/webhooks/gitlab" {
		l.t.Errorf("looked for %s", url)
	}
	return l.hooks[project], l.see
}

func (l *lab) LastDelivery(context.Context, int64, int64) (string, error) {
	l.call("last")
	return l.last, l.lastErr
}

func (l *lab) EnsureHook(ctx context.Context, project int64, url string, want HookEvents) (Hook, error) {
	l.call("ensure")
	return l.world.EnsureHook(ctx, project, url, want)
}

func (l *lab) TestHook(_ context.Context, project, _ int64) error {
	l.call(fmt.Sprintf("test %d", project))
	if l.test == nil {
		return nil
	}
	return l.test(project)
}

func (l *lab) OwnToken(context.Context) (kovra.TokenSight, error) {
	l.call("token")
	return l.token()
}

func (l *lab) Administrators(context.Context) ([]string, error) {
	l.call("admins")
	return l.admins()
}

// pass reconciles a project once and returns when it is to be looked at again.
func (l *lab) pass(d *Dispatch, project int64) time.Duration {
	l.t.Helper()
	after, err := d.Projects().Reconcile(l.t.Context(), project)
	if err != nil {
		l.t.Fatal(err)
	}
	return after
}

// seen makes a project's webhook known to be so.
func (l *lab) seen(project int64, s kovra.HookSight) {
	l.t.Helper()
	l.update(func(tx *storage.Tx) error { return tx.SawHook(project, s) })
}

func (l *lab) notices() (all []kovra.Notice) {
	l.t.Helper()
	l.update(func(tx *storage.Tx) error {
		for id := int64(1); ; id++ {
			n, err := tx.Notice(id)
			if err != nil {
				return ignoreNotFound(err)
			}
			all = append(all, n)
		}
	})
	return all
}

func TestHookHealth(t *testing.T) {
	until := morning.Add(8 * time.Minute)
	mine := SeenHook{ID: 3, Ours: true, Status: "executable"}
	with := func(change func(*SeenHook)) SeenHook {
		h := mine
		change(&h)
		return h
	}
	for name, c := range map[string]struct {
		hook    SeenHook
		see     error
		known   bool // a hook was there before
		was     kovra.HookHealth
		last    string
		lastErr error
		want    kovra.HookSight
		asked   bool // how the last delivery ended
	}{
		"fine":               {hook: mine, want: kovra.HookSight{Health: kovra.HealthFine}},
		"of an older GitLab": {hook: with(func(h *SeenHook) { h.Status = "" }), want: kovra.HookSight{Health: kovra.HealthFine}},
		"none":               {want: kovra.HookSight{Health: kovra.HealthNone}},
		"deleted":            {known: true, want: kovra.HookSight{Health: kovra.HealthGone}},
		"resting": {
			hook: with(func(h *SeenHook) { h.Status, h.Until = "temporarily_disabled", until }), last: "503", asked: true,
			want: kovra.HookSight{Health: kovra.HealthResting, Until: until, Last: "503"},
		},
		"disabled": {
			hook: with(func(h *SeenHook) { h.Status, h.Until = "disabled", until }), last: "401", asked: true,
			want: kovra.HookSight{Health: kovra.HealthDisabled, Last: "401"},
		},
		"lacking": {
			hook: with(func(h *SeenHook) { h.Lacks = []string{"Comments"} }), last: "200", asked: true,
			want: kovra.HookSight{Health: kovra.HealthLacking, Lacks: []string{"Comments"}, Last: "200"},
		},
		"refused still":      {hook: mine, was: kovra.HealthRefused, last: "401", asked: true, want: kovra.HookSight{Health: kovra.HealthRefused, Last: "401"}},
		"refused no more":    {hook: mine, was: kovra.HealthRefused, last: "200", asked: true, want: kovra.HookSight{Health: kovra.HealthFine}},
		"refused, not told":  {hook: mine, was: kovra.HealthRefused, lastErr: errGone, asked: true, want: kovra.HookSight{Health: kovra.HealthFine}},
		"it may not be seen": {see: errDenied, want: kovra.HookSight{Health: kovra.HealthUnknown, Note: "The bot may not do this."}},
		"it may not be seen any more": {
			see: errDenied, was: kovra.HealthDisabled, want: kovra.HookSight{Health: kovra.HealthDisabled, Note: "The bot may not do this."},
		},
		"the project is gone": {see: errGone, known: true, want: kovra.HookSight{Health: kovra.HealthUnknown, Note: "GitLab knows no such thing."}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.link("web", web)
			l.update(func(tx *storage.Tx) error {
				p, err := tx.Project(web)
				if err != nil {
					return err
				}
				if c.known {
					p.Hook = 3
				}
				p.Seen.Health = c.was
				return tx.SaveProject(p)
			})
			l.hooks[web], l.see, l.last, l.lastErr = c.hook, c.see, c.last, c.lastErr
			l.pass(l.dispatch(), web)
			got := l.saved(web)
			if diff := cmp.Diff(c.want, got.Seen, cmpopts.IgnoreFields(kovra.HookSight{}, "At", "Since")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !got.Seen.At.Equal(morning) || got.Seen.Since.IsZero() {
				t.Errorf("looked at %v, since %v", got.Seen.At, got.Seen.Since)
			}
			if (l.count("last") > 0) != c.asked {
				t.Errorf("asked %d times how the last delivery ended", l.count("last"))
			}
			if c.hook.ID != 0 && got.Hook != c.hook.ID {
				t.Errorf("hook %d is known, want %d", got.Hook, c.hook.ID)
			}
		})
	}
}

// A webhook that is fine is looked at once in an hour, one in trouble every ten minutes; not at each re-read.
func TestHooksAreLookedAtNowAndThen(t *testing.T) {
	l := newLab(t)
	l.link("web", web)
	l.hooks[web] = SeenHook{ID: 3}
	d := l.dispatch()
	looks := func(during time.Duration) int {
		before := l.count("see")
		for end := l.now.Add(during); l.now.Before(end); {
			l.later(min(l.pass(d, web), end.Sub(l.now)))
		}
		return l.count("see") - before
	}
	if n := looks(3 * time.Hour); n != 3 {
		t.Errorf("%d looks in three hours", n)
	}
	l.hooks[web] = SeenHook{ID: 3, Status: "disabled"}
	looks(time.Hour + time.Minute)
	if n := looks(time.Hour); n != 6 {
		t.Errorf("%d looks at one in trouble in an hour", n)
	}
	l.later(time.Second)
	d = l.dispatch()
	l.later(time.Second)
	before := l.count("see")
	l.pass(d, web)
	l.pass(d, web)
	if l.count("see")-before != 1 {
		t.Errorf("%d looks after a start", l.count("see")-before)
	}
	l.noPublic = true
	d = l.dispatch()
	if n := looks(time.Hour); n != 0 {
		t.Errorf("%d looks where nobody knows our address", n)
	}
}

// What was mended while GitLab answered counts for more than the answer.
func TestHookMendedDuringALook(t *testing.T) {
	l := newLab(t)
	l.link("web", web)
	l.hooks[web] = SeenHook{ID: 3, Status: "disabled"}
	l.during = func() { l.seen(web, kovra.HookSight{Health: kovra.HealthFine, Tried: morning}) }
	d := l.dispatch()
	if after := l.pass(d, web); after != time.Millisecond || l.saved(web).Seen.Health != kovra.HealthFine || len(l.notices()) > 0 {
		t.Errorf("after %v: %+v", after, l.saved(web).Seen)
	}
	l.during, l.hooks[web] = nil, SeenHook{ID: 3, Status: "executable"}
	l.pass(d, web)
	if s := l.saved(web).Seen; s.Health != kovra.HealthFine || s.At.IsZero() {
		t.Errorf("looked at anew: %+v", s)
	}
}

// A GitLab that does not answer now is asked again, and nothing is told.
func TestHookLookFails(t *testing.T) {
	for name, fail := range map[string]func(*lab){
		"the look":                    func(l *lab) { l.see = errBusy },
		"how the last delivery ended": func(l *lab) { l.hooks[web], l.lastErr = SeenHook{ID: 3, Status: "disabled"}, errBusy },
	} {
		l := newLab(t)
		l.link("web", web)
		fail(l)
		if _, err := l.dispatch().Projects().Reconcile(t.Context(), web); kovra.KindOf(err) != kovra.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
		if s := l.saved(web).Seen; !s.At.IsZero() || len(l.notices()) > 0 {
			t.Errorf("%s: %+v was recorded", name, s)
		}
	}
}

// Whoever knocks with another secret causes one look at the project that they name, if it is ours, and no more for some minutes.
// What is told is GitLab's word alone.
func TestKnock(t *testing.T) {
	l := newLab(t)
	l.link("web", web)
	l.hooks[web] = SeenHook{ID: 3}
	d := l.dispatch()
	if d.Knock(web) {
		t.Error("taken up before anybody knows that the project is linked")
	}
	l.pass(d, web)
	l.later(time.Minute)
	looks := func() int {
		before := l.count("see")
		for range 3 {
			l.pass(d, web)
			l.later(knockRest)
		}
		return l.count("see") - before
	}
	taken := 0
	for i := range 5000 {
		if d.Knock(web) {
			taken++
		}
		if d.Knock(int64(1000 + i)) {
			t.Fatal("a project that is not linked was taken up")
		}
	}
	if taken != 1 || len(d.knocks.taken) != 1 || len(d.knocks.open) != 1 {
		t.Errorf("%d knocks taken up, %d and %d kept", taken, len(d.knocks.taken), len(d.knocks.open))
	}
	if after := l.pass(d, web); after != knockRest || l.count("last") != 0 {
		t.Errorf("looked before GitLab can have written it down: after %v", after)
	}
	l.later(knockRest)
	l.last = "200" // it was somebody else
	if n := looks(); n != 1 || l.saved(web).Seen.Health != kovra.HealthFine || len(l.notices()) != 0 {
		t.Errorf("a forged knock: %d looks, %+v", n, l.saved(web).Seen)
	}
	if d.Knock(web) || looks() != 0 {
		t.Error("a second look within minutes")
	}
	l.later(knockEvery)
	l.last = "401"
	if !d.Knock(web) || looks() != 1 || l.saved(web).Seen.Health != kovra.HealthRefused || len(l.notices()) != 1 {
		t.Errorf("a real one: %+v, %d notices", l.saved(web).Seen, len(l.notices()))
	}
	l.update(func(tx *storage.Tx) error { return tx.SaveApp(kovra.App{Name: "web"}) })
	l.pass(d, web)
	l.later(time.Hour)
	if d.Knock(web) || len(d.knocks.taken)+len(d.knocks.linked) != 0 {
		t.Error("something is kept of a project that is not linked any more")
	}
}

// Who knocks while GitLab is being asked is not forgotten.
func TestKnockWhileLooking(t *testing.T) {
	k := newKnocks()
	k.know(web, true)
	k.take(web, morning)
	first, _ := k.pending(web)
	k.take(web, morning.Add(knockEvery))
	k.heard(web, first)
	if _, open := k.pending(web); !open {
		t.Error("the second knock is lost")
	}
	again, _ := k.pending(web)
	k.heard(web, again)
	if _, open := k.pending(web); open {
		t.Error("the second knock is never heard")
	}
}

func TestEnableHooks(t *testing.T) {
	l := newLab(t)
	disabled := kovra.HookSight{Health: kovra.HealthDisabled, At: morning}
	for i, name := range []string{"web", "api", "shop", "docs"} {
		l.link(name, web+int64(i))
		l.seen(web+int64(i), disabled)
	}
	l.seen(web+3, kovra.HookSight{Health: kovra.HealthFine, At: morning})
	l.later(time.Minute)
	l.hook = func() (Hook, error) { return Hook{ID: 9, Ours: true}, nil }
	refusal := kovra.Errorf(kovra.Invalid, "GitLab refuses to test the webhook: Unauthorized.")
	busy := true
	l.test = func(project int64) error {
		switch {
		case project == web+1:
			return refusal
		case project == web+2 && busy:
			busy = false
			return errBusy
		}
		return nil
	}
	d, id := l.dispatch(), l.propose(kovra.Action{Kind: kovra.ActEnableHooks, By: kovra.Person{ID: "U1"}})
	if !l.step(d, id) || l.action(id).State != kovra.ActionWanted {
		t.Fatalf("while GitLab is busy: %+v", l.action(id))
	}
	l.step(d, id)
	a := l.action(id)
	wantEnd(t, a, kovra.ActionDone, "")
	if a.Outcome.Mended != 2 || a.Outcome.Broken != 1 {
		t.Errorf("outcome %+v", a.Outcome)
	}
	tests := slices.DeleteFunc(slices.Clone(l.calls), func(c string) bool { return len(c) < 5 || c[:5] != "test " })
	if want := []string{"test 7", "test 8", "test 9", "test 9"}; !slices.Equal(tests, want) { // what was done is not done again
		t.Errorf("tested %q, want %q", tests, want)
	}
	for project, want := range map[int64]kovra.HookHealth{web: kovra.HealthFine, web + 1: kovra.HealthDisabled, web + 2: kovra.HealthFine} {
		p := l.saved(project)
		if p.Seen.Health != want || p.Hook != 9 || !p.HookOurs || !p.Seen.At.IsZero() {
			t.Errorf("project %d: %+v", project, p)
		}
	}
	if note := l.saved(web + 1).Seen.Note; note != kovra.PublicText(refusal) {
		t.Errorf("note %q", note)
	}
	// The look that follows keeps the reason, and believes GitLab.
	l.hooks[web], l.hooks[web+1] = SeenHook{ID: 9, Status: "executable"}, SeenHook{ID: 9, Status: "disabled"}
	l.pass(d, web)
	l.pass(d, web+1)
	if s := l.saved(web + 1).Seen; s.Health != kovra.HealthDisabled || s.Note == "" || l.saved(web).Seen.Health != kovra.HealthFine {
		t.Errorf("after a look: %+v", s)
	}
}

// Administrators all get the same button: of two who press it one waits for the other, so that no webhook is made twice.
func TestEnableHooksTwiceAtOnce(t *testing.T) {
	l := newLab(t)
	l.link("web", web)
	l.seen(web, kovra.HookSight{Health: kovra.HealthGone, At: morning})
	first := l.propose(kovra.Action{Kind: kovra.ActEnableHooks, By: kovra.Person{ID: "U1"}})
	second := l.propose(kovra.Action{Kind: kovra.ActEnableHooks, By: kovra.Person{ID: "U2"}})
	d := l.dispatch()
	l.test = func(int64) error {
		l.test = nil
		if !l.step(d, second) {
			t.Error("the second is not looked at again")
		}
		return nil
	}
	l.step(d, first)
	l.step(d, second)
	for _, id := range []int64{first, second} {
		if a := l.action(id); a.State != kovra.ActionDone || a.Outcome.Mended != 1 {
			t.Errorf("%+v", a)
		}
	}
	if n := l.count("ensure"); n != 1 {
		t.Errorf("the webhook was made %d times", n)
	}
}

// One project of which GitLab says nothing holds up no other.
func TestEnableHooksPassesOver(t *testing.T) {
	l := newLab(t)
	for i, name := range []string{"web", "api"} {
		l.link(name, web+int64(i))
		l.seen(web+int64(i), kovra.HookSight{Health: kovra.HealthDisabled, At: morning})
	}
	l.test = func(project int64) error {
		if project == web {
			return errBusy
		}
		return nil
	}
	d, id := l.dispatch(), l.propose(kovra.Action{Kind: kovra.ActEnableHooks, By: kovra.Person{ID: "U1"}})
	if !l.step(d, id) {
		t.Error("what could not be asked is not asked again")
	}
	if s := l.saved(web + 1).Seen; s.Health != kovra.HealthFine {
		t.Errorf("the other one: %+v", s)
	}
}

func TestEnableHooksEnds(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*lab)
		state   kovra.ActionState
		kind    kovra.ErrorKind
	}{
		"there is nothing to do":      {func(*lab) {}, kovra.ActionDone, ""},
		"nobody knows our address":    {func(l *lab) { l.noPublic = true }, kovra.ActionFailed, kovra.Conflict},
		"it is no administrator":      {func(l *lab) { l.member = true }, kovra.ActionFailed, kovra.Denied},
		"GitLab is down for too long": {func(l *lab) { l.hook = func() (Hook, error) { return Hook{}, errBusy }; l.later(time.Hour) }, kovra.ActionFailed, kovra.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.link("web", web)
			l.seen(web, kovra.HookSight{Health: kovra.HealthGone, At: morning})
			if name == "there is nothing to do" {
				l.seen(web, kovra.HookSight{Health: kovra.HealthFine, At: morning})
			}
			id := l.propose(kovra.Action{Kind: kovra.ActEnableHooks, CreatedAt: morning})
			c.prepare(l)
			l.step(l.dispatch(), id)
			wantEnd(t, l.action(id), c.state, c.kind)
			if l.count("test 7") > 0 {
				t.Error("a webhook was tested")
			}
		})
	}
}

// Where people act with accounts of their own, webhooks are enabled with that of who clicked: GitLab decides what they may.
func TestEnableHooksWithAnOwnAccount(t *testing.T) {
	o := newOffice(t)
	o.update(func(tx *storage.Tx) error {
		return tx.SawHook(web, kovra.HookSight{Health: kovra.HealthDisabled, At: morning})
	})
	o.now = o.now.Add(time.Minute)
	wish := kovra.Action{Kind: kovra.ActEnableHooks, By: kovra.Person{ID: "U1"}}
	id := o.propose(wish)
	if _, err := o.pass(t, id); err != nil || o.action(id).State != kovra.ActionWaits {
		t.Fatalf("without an account: %v, %+v", err, o.action(id))
	}
	o.accounts["U1"] = kovra.GitLabUser{ID: 4, Username: "ann"}
	o.hook = func() (Hook, error) { return Hook{}, kovra.Errorf(kovra.Denied, "You may not manage the webhooks.") }
	id = o.propose(wish)
	if _, err := o.pass(t, id); err != nil {
		t.Fatal(err)
	}
	a := o.action(id)
	wantEnd(t, a, kovra.ActionDone, "")
	var p kovra.Project
	o.update(func(tx *storage.Tx) (err error) {
		p, err = tx.Project(web)
		return err
	})
	if a.Outcome.As != "ann" || a.Outcome.Broken != 1 || p.Seen.Note != "As @ann: You may not manage the webhooks." || slices.Contains(o.calls, "test") {
		t.Errorf("outcome %+v, note %q, calls %q", a.Outcome, p.Seen.Note, o.calls)
	}
}

// What was written down before the clock was set back, by however much, is looked at anew.
func TestHookIsLookedAtAfterTheClockWasSetBack(t *testing.T) {
	l := newLab(t)
	l.link("web", web)
	l.hooks[web] = SeenHook{ID: 3, Ours: true, Status: "executable"}
	l.now = morning.AddDate(3, 0, 0)
	l.pass(l.dispatch(), web)
	l.now = morning
	before := l.count("see")
	if after := l.pass(l.dispatch(), web); l.count("see") != before+1 || after > lookFine {
		t.Errorf("after a start: %d looks, the next in %v", l.count("see")-before, after)
	}
	// It is set back while we run, and somebody knocks with another secret.
	d := l.dispatch()
	l.now = morning.AddDate(1, 0, 0)
	l.pass(d, web)
	if !d.Knock(web) {
		t.Fatal("the knock is not heard")
	}
	l.now = morning
	before = l.count("see")
	l.pass(d, web)
	if l.count("see") != before+1 {
		t.Error("the webhook was not looked at")
	}
	if !d.Knock(web) {
		t.Error("a knock is not heard until the time of before comes")
	}
}
