package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

var errToken = &kovra.Error{Kind: kovra.Denied, Public: "GitLab does not accept the bot's token: it is revoked.", Err: kovra.ErrToken}

// watchToken lets time pass as the loop would, over so many days.
func (l *lab) watchToken(d *Dispatch, days int) {
	l.t.Helper()
	for end := l.now.Add(time.Duration(days) * 24 * time.Hour); l.now.Before(end); {
		after, err := d.Token().Reconcile(l.t.Context(), 0)
		if err != nil {
			l.t.Fatal(err)
		}
		l.later(min(after, end.Sub(l.now)))
	}
}

// told are the notices: their kind, and for how many days the token was to work.
func (l *lab) told() (out []string) {
	l.t.Helper()
	for _, n := range l.notices() {
		s := fmt.Sprintf("%s %d", n.Kind, n.Days)
		if !n.Open() {
			s += " over"
		}
		out = append(out, s)
	}
	return out
}

func (l *lab) wantTold(want ...string) {
	l.t.Helper()
	if got := l.told(); !slices.Equal(got, want) {
		l.t.Errorf("told %q, want %q", got, want)
	}
}

// The end of the token is announced 30, 7 and 1 days before, each once, also when the program is started often.
func TestTokenEndsSoon(t *testing.T) {
	l := newLab(t)
	ends := time.Date(2027, 1, 10, 0, 0, 0, 0, time.UTC)
	l.token = func() (kovra.TokenSight, error) { return kovra.TokenSight{ID: 5, Name: "kovra", Expires: ends}, nil }
	l.watchToken(l.dispatch(), 10)
	l.wantTold()
	l.now = ends.Add(-30*24*time.Hour - time.Minute)
	d := l.dispatch()
	l.watchToken(d, 0)
	l.watchToken(d, 1)
	l.wantTold("expiry 30")
	for range 5 {
		l.later(time.Second)
		l.watchToken(l.dispatch(), 4)
	}
	l.wantTold("expiry 30")
	l.watchToken(d, 10)
	l.wantTold("expiry 30", "expiry 7", "expiry 1")
	if calls := l.count("token"); calls > 60 {
		t.Errorf("GitLab was asked %d times", calls)
	}
	// It is renewed.
	ends = ends.AddDate(1, 0, 0)
	l.watchToken(l.dispatch(), 1)
	l.wantTold("expiry 30 over", "expiry 7 over", "expiry 1 over")
}

// A new token whose sight could not be kept is asked about again.
func TestTokenSightIsLost(t *testing.T) {
	l := newLab(t)
	l.token = func() (kovra.TokenSight, error) { return kovra.TokenSight{ID: 5}, nil }
	d := l.dispatch()
	l.watchToken(d, 0)
	l.later(time.Hour)
	if _, err := d.Token().Reconcile(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	d.TokenChanged()
	ctx, cancel := context.WithCancel(t.Context())
	l.token = func() (kovra.TokenSight, error) { cancel(); return kovra.TokenSight{ID: 6}, nil }
	if _, err := d.Token().Reconcile(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Fatalf("nothing can be written: %v", err)
	}
	before := l.count("token")
	if _, err := d.Token().Reconcile(t.Context(), 0); err != nil || l.count("token") != before+1 {
		t.Errorf("asked %d times, %v", l.count("token")-before, err)
	}
}

// Of several announcements that would be due only the last one is made.
func TestTokenEndsSoonAtFirstSight(t *testing.T) {
	for left, want := range map[time.Duration]string{
		5 * 24 * time.Hour: "expiry 5", 20 * time.Hour: "expiry 1", 7 * 24 * time.Hour: "expiry 7", 7*24*time.Hour + 1: "expiry 8", 30 * 24 * time.Hour: "expiry 30",
	} {
		l := newLab(t)
		l.token = func() (kovra.TokenSight, error) { return kovra.TokenSight{ID: 5, Expires: morning.Add(left)}, nil }
		d := l.dispatch()
		for range 3 {
			_, err := d.Token().Reconcile(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
		}
		l.wantTold(want)
	}
}

// What GitLab does not tell is not guessed.
func TestTokenOfUnknownEnd(t *testing.T) {
	for name, answer := range map[string]func() (kovra.TokenSight, error){
		"never":                 func() (kovra.TokenSight, error) { return kovra.TokenSight{ID: 5}, nil },
		"over":                  func() (kovra.TokenSight, error) { return kovra.TokenSight{ID: 5, Expires: morning}, nil },
		"no token to ask about": func() (kovra.TokenSight, error) { return kovra.TokenSight{}, errGone },
		"no right to ask":       func() (kovra.TokenSight, error) { return kovra.TokenSight{}, errDenied },
		"GitLab is too old for it": func() (kovra.TokenSight, error) {
			return kovra.TokenSight{}, kovra.Errorf(kovra.Invalid, "Bad request.")
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.token = answer
			l.watchToken(l.dispatch(), 3)
			l.wantTold()
			if n := l.count("token"); n > 5 {
				t.Errorf("asked %d times in three days", n)
			}
		})
	}
}

// A token that is refused is told once, from wherever it is noticed, until GitLab accepts it again.
func TestTokenRefused(t *testing.T) {
	l := newLab(t)
	l.link("web", web)
	ends := morning.Add(60 * 24 * time.Hour)
	l.token = func() (kovra.TokenSight, error) { return kovra.TokenSight{ID: 5, Name: "kovra", Expires: ends}, nil }
	d := l.dispatch()
	l.watchToken(d, 1)
	l.later(time.Hour)
	good := l.token
	l.token = func() (kovra.TokenSight, error) { return kovra.TokenSight{}, errToken }
	l.changed = func(time.Time) ([]kovra.Run, time.Time, error) { return nil, time.Time{}, errToken }
	if _, err := d.Projects().Reconcile(t.Context(), web); !errors.Is(err, kovra.ErrToken) {
		t.Fatal(err)
	}
	l.watchToken(d, 0)
	if after, err := d.Token().Reconcile(t.Context(), 0); err != nil || after != askRefusedToken {
		t.Fatalf("after %v, %v", after, err)
	}
	l.later(time.Hour)
	if _, err := l.dispatch().Token().Reconcile(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	l.wantTold("refused 0")
	l.update(func(tx *storage.Tx) error {
		s, err := tx.GitLabToken()
		if s.Refused == "" || s.Name != "kovra" || !s.Expires.Equal(ends) {
			t.Errorf("what was known before is lost: %+v", s)
		}
		return err
	})
	l.token = good
	l.later(askRefusedToken)
	if _, err := d.Token().Reconcile(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	l.wantTold("refused 0 over")
}

// A token that is changed while the program runs is asked about at once.
func TestTokenChanged(t *testing.T) {
	l := newLab(t)
	d := l.dispatch()
	ask := func() int {
		t.Helper()
		before := l.count("token")
		if _, err := d.Token().Reconcile(t.Context(), 0); err != nil && kovra.KindOf(err) != kovra.Unavailable {
			t.Fatal(err)
		}
		return l.count("token") - before
	}
	if n := ask() + ask(); n != 1 {
		t.Fatalf("asked %d times at the start", n)
	}
	d.TokenChanged()
	l.token = func() (kovra.TokenSight, error) { return kovra.TokenSight{}, errBusy }
	if n := ask() + ask(); n != 2 {
		t.Error("not asked until it is known")
	}
	l.token = func() (kovra.TokenSight, error) { return kovra.TokenSight{ID: 6}, nil }
	if ask() != 1 || ask() != 0 {
		t.Error("not asked once")
	}
}

// While GitLab is down nothing is known, and nothing told.
func TestTokenWhileGitLabIsDown(t *testing.T) {
	l := newLab(t)
	l.token = func() (kovra.TokenSight, error) { return kovra.TokenSight{}, errBusy }
	d := l.dispatch()
	for range 3 {
		if _, err := d.Token().Reconcile(t.Context(), 0); kovra.KindOf(err) != kovra.Unavailable {
			t.Fatal(err)
		}
	}
	l.wantTold()
}

// people are who has a thread about a notice.
func (l *lab) people(id int64) (out []string) {
	l.t.Helper()
	l.update(func(tx *storage.Tx) error {
		for thread := int64(1); ; thread++ {
			v, err := tx.View(thread)
			if err != nil {
				return ignoreNotFound(err)
			}
			if who, alone := v.Thread.Person(); alone && v.Thread.Notice == id {
				out = append(out, who)
			}
		}
	})
	return out
}

// Every administrator has one thread about a notice, also when Slack could not say at first who they are.
func TestNoticesAreToldToAdministrators(t *testing.T) {
	l := newLab(t)
	l.link("web", web)
	l.seen(web, kovra.HookSight{Health: kovra.HealthDisabled, At: morning})
	who := l.admins
	l.admins = func() ([]string, error) { return nil, errBusy }
	d := l.dispatch()
	if _, err := d.Notices().Reconcile(t.Context(), 1); kovra.KindOf(err) != kovra.Unavailable || len(l.people(1)) > 0 {
		t.Fatalf("while Slack is down: %v", err)
	}
	if !l.isDirty(kovra.Ref{Kind: kovra.RefNotice, ID: 1}) {
		t.Error("forgotten")
	}
	l.admins = who
	for range 3 {
		if _, err := d.Notices().Reconcile(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	if got := l.people(1); !slices.Equal(got, []string{"U1", "U2"}) || l.count("admins") != 2 {
		t.Errorf("told %q, asked %d times who they are", got, l.count("admins"))
	}
	if l.isDirty(kovra.Ref{Kind: kovra.RefNotice, ID: 1}) {
		t.Error("there is still something to do")
	}
	if _, err := d.Notices().Reconcile(t.Context(), 99); err != nil {
		t.Errorf("one that is gone: %v", err)
	}
}

// Of what was over before anybody could be told nobody is.
func TestNoticeThatIsOver(t *testing.T) {
	l := newLab(t)
	l.link("web", web)
	l.seen(web, kovra.HookSight{Health: kovra.HealthDisabled, At: morning})
	l.seen(web, kovra.HookSight{Health: kovra.HealthFine, At: morning})
	if _, err := l.dispatch().Notices().Reconcile(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if len(l.people(1)) > 0 || l.count("admins") > 0 || l.isDirty(kovra.Ref{Kind: kovra.RefNotice, ID: 1}) {
		t.Errorf("told %q", l.people(1))
	}
	// It comes back soon: then they are.
	l.seen(web, kovra.HookSight{Health: kovra.HealthGone, At: morning})
	if _, err := l.dispatch().Notices().Reconcile(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if got := l.people(1); len(got) != 2 {
		t.Errorf("told %q", got)
	}
}

// The token is asked about although the clock was set back to before it last was.
func TestTokenIsAskedAboutAfterTheClockWasSetBack(t *testing.T) {
	l := newLab(t)
	d := l.dispatch()
	for name, restart := range map[string]bool{"while it runs": false, "after a start": true} {
		l.now = morning.AddDate(3, 0, 0)
		l.watchToken(l.dispatch(), 1)
		l.now = morning
		if restart {
			d = l.dispatch()
		}
		before := l.count("token")
		after, err := d.Token().Reconcile(t.Context(), 0)
		if err != nil || l.count("token") != before+1 || after > askToken {
			t.Errorf("%s: asked %d times, next in %v, %v", name, l.count("token")-before, after, err)
		}
	}
}
