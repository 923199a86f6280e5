package identity

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// slack is a workspace T1 of the enterprise E1 that counts what it is asked.
type slack struct {
	mu      sync.Mutex
	members map[string][]string
	groups  map[string][]string
	users   map[string]kovra.SlackUser
	down    map[string]error // by channel or user id; "" is Self
	calls   map[string]int
	during  func(key string) // runs while an answer is on its way
}

func (s *slack) call(key string) error {
	s.mu.Lock()
	s.calls[key]++
	err, during := s.down[key], s.during
	s.mu.Unlock()
	if during != nil {
		during(key)
	}
	return err
}

func (s *slack) Self(context.Context) (kovra.Workspace, error) {
	return kovra.Workspace{Team: "T1", Enterprise: "E1", Bot: "UBOT"}, s.call("")
}

func (s *slack) Members(_ context.Context, channel string) ([]string, error) {
	s.mu.Lock()
	ids, ok := s.members[channel]
	s.mu.Unlock()
	if err := s.call(channel); err != nil {
		return nil, err
	}
	if !ok {
		return nil, kovra.Errorf(kovra.NotFound, "no such channel")
	}
	return ids, nil
}

// ChannelsOf counts as "of" and the person.
func (s *slack) ChannelsOf(_ context.Context, user string) (in []string, err error) {
	if err := s.call("of " + user); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, ids := range s.members {
		if slices.Contains(ids, user) {
			in = append(in, c)
		}
	}
	return in, nil
}

func (s *slack) User(_ context.Context, id string) (kovra.SlackUser, error) {
	s.mu.Lock()
	u, ok := s.users[id]
	s.mu.Unlock()
	if err := s.call(id); err != nil {
		return kovra.SlackUser{}, err
	}
	if !ok {
		return kovra.SlackUser{}, kovra.Errorf(kovra.NotFound, "no such user")
	}
	return u, nil
}

func (s *slack) GroupMembers(_ context.Context, group string) ([]string, error) {
	s.mu.Lock()
	ids, ok := s.groups[group]
	s.mu.Unlock()
	if err := s.call(group); err != nil {
		return nil, err
	}
	if !ok {
		return nil, kovra.Errorf(kovra.NotFound, "no such group")
	}
	return ids, nil
}

func (s *slack) UserByEmail(_ context.Context, email string) (kovra.SlackUser, error) {
	if err := s.call(email); err != nil {
		return kovra.SlackUser{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.users {
		if strings.EqualFold(u.Email, email) {
			return u, nil
		}
	}
	return kovra.SlackUser{}, kovra.Errorf(kovra.NotFound, "no such user")
}

func (s *slack) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *slack) count(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[key]
}

func newSlack() *slack {
	return &slack{
		members: map[string][]string{
			"CWEB": {"UMIA", "UBEN", "UFOR", "UAPP"}, "CALL": {"UZOE"}, "CAPI": {"UMIA"},
		},
		users: map[string]kovra.SlackUser{
			"UADM": {ID: "UADM", Name: "Ada", Team: "T1", Enterprise: "E1"},
			"UBOS": {ID: "UBOS", Name: "Bo", Team: "T1", Enterprise: "E1", Admin: true},
			"UMIA": {ID: "UMIA", Name: "Mia", Team: "T1", Enterprise: "E1"},
			"UBEN": {ID: "UBEN", Name: "Ben", Team: "T2", Enterprise: "E1"}, // of a sister workspace
			"UZOE": {ID: "UZOE", Name: "Zoe", Team: "T1", Enterprise: "E1"},
			"UOUT": {ID: "UOUT", Name: "Otto", Team: "T1", Enterprise: "E1"},
			"UFOR": {ID: "UFOR", Name: "Fox", Team: "T9", Enterprise: "E9"},
			"USTR": {ID: "USTR", Name: "Stranger", Foreign: true, Team: "T1"},
			"UNIL": {ID: "UNIL", Name: "Nil"},
			"UAPP": {ID: "UAPP", Name: "Some app", Team: "T1", Bot: true},
		},
		down: map[string]error{}, calls: map[string]int{},
	}
}

func newIdentity(t *testing.T, s *slack, admins ...string) (*Identity, *storage.DB) {
	t.Helper()
	db, err := storage.Open(t.Context(), storage.Options{Path: filepath.Join(t.TempDir(), "kovra.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	err = db.Update(t.Context(), func(tx *storage.Tx) error {
		for _, app := range []string{"api", "lone", "web"} {
			if err := tx.SaveApp(kovra.App{Name: app}); err != nil {
				return err
			}
		}
		for _, sub := range []kovra.Subscription{
			{App: "web", Channel: "CWEB"}, {App: "web", Channel: "CALL"}, {App: "api", Channel: "CAPI"}, {App: "api", Channel: "CGONE"},
		} {
			if err := tx.SaveSubscription(sub); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{Slack: s, DB: db, Admins: admins}), db
}

func person(id string) kovra.Person { return kovra.Person{ID: id} }

func want(t *testing.T, err error, kind kovra.ErrorKind) {
	t.Helper()
	got := kovra.ErrorKind("")
	if err != nil {
		got = kovra.KindOf(err)
	}
	if got != kind {
		t.Errorf("got %q (%v), want %q", got, err, kind)
	}
}

func TestMay(t *testing.T) {
	const yes, no = kovra.ErrorKind(""), kovra.Denied
	tests := []struct {
		name             string
		who              kovra.Person
		app              string
		read, act, admin kovra.ErrorKind
	}{
		{"listed administrator", person("UADM"), "web", yes, yes, yes},
		{"administrator, no such app", person("UADM"), "new", yes, yes, yes},
		{"workspace administrator", person("UBOS"), "web", yes, yes, yes},
		{"member", person("UMIA"), "web", yes, yes, no},
		{"member of the other channel", person("UZOE"), "web", yes, yes, no},
		{"member of a channel of another app", person("UZOE"), "api", no, no, no},
		{"member of a sister workspace", person("UBEN"), "web", yes, yes, no},
		{"the same, told by the request", kovra.Person{ID: "UBEN", Team: "T2", Enterprise: "E1"}, "web", yes, yes, no},
		{"the same, told in part", kovra.Person{ID: "UBEN", Team: "T2"}, "web", yes, yes, no},
		{"no member", person("UOUT"), "web", no, no, no},
		{"no such app", person("UMIA"), "new", no, no, no},
		{"no app named", person("UMIA"), "", no, no, no},
		{"app without a channel", person("UMIA"), "lone", no, no, no},
		{"other organisation", person("UFOR"), "web", no, no, no},
		{"other organisation, told by the request", kovra.Person{ID: "UMIA", Team: "T9", Enterprise: "E9"}, "web", no, no, no},
		{"other organisation in our name", kovra.Person{ID: "UFOR", Team: "T1", Enterprise: "E1"}, "web", no, no, no},
		{"stranger", person("USTR"), "web", no, no, no},
		{"of nowhere", person("UNIL"), "web", no, no, no},
		{"unknown user", person("UWHO"), "web", no, no, no},
		{"bot", person("UAPP"), "web", no, no, no},
		{"the bot itself", person("UBOT"), "web", no, no, no},
		{"nobody", person(""), "web", no, no, no},
	}
	i, _ := newIdentity(t, newSlack(), "UADM", " UADM ", WorkspaceAdmins, "")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want(t, i.May(t.Context(), tt.who, kovra.MayRead, tt.app), tt.read)
			want(t, i.May(t.Context(), tt.who, kovra.MayAct, tt.app), tt.act)
			want(t, i.May(t.Context(), tt.who, kovra.MayAdmin, tt.app), tt.admin)
			want(t, i.May(t.Context(), tt.who, kovra.Permission("odd"), tt.app), tt.admin)
		})
	}
}

// An administrator who is a bot or comes from elsewhere is none.
func TestForeignAdministrator(t *testing.T) {
	i, _ := newIdentity(t, newSlack(), "UFOR", "UAPP")
	for _, id := range []string{"UFOR", "UAPP"} {
		want(t, i.May(t.Context(), person(id), kovra.MayAdmin, "web"), kovra.Denied)
	}
}

func TestWorkspaceAdminsMustBeAsked(t *testing.T) {
	i, _ := newIdentity(t, newSlack(), "UADM")
	want(t, i.May(t.Context(), person("UBOS"), kovra.MayAdmin, "web"), kovra.Denied)
}

func TestRefusalsNameWhoCanHelp(t *testing.T) {
	s := newSlack()
	tests := []struct {
		admins []string
		want   string
	}{
		{[]string{"UADM"}, "You can ask Ada."},
		{[]string{"UADM", "UBOS", WorkspaceAdmins}, "You can ask Ada, Bo or an administrator of this Slack workspace."},
		{[]string{"UWHO"}, "You can ask an administrator of this bot."},
	}
	for _, tt := range tests {
		i, _ := newIdentity(t, s, tt.admins...)
		for _, need := range []kovra.Permission{kovra.MayAct, kovra.MayAdmin} {
			if got := kovra.PublicText(i.May(t.Context(), person("UOUT"), need, "web")); !strings.HasSuffix(got, tt.want) {
				t.Errorf("got %q, want it to end with %q", got, tt.want)
			}
		}
	}
	i, _ := newIdentity(t, s, "UADM")
	there := kovra.PublicText(i.May(t.Context(), person("UOUT"), kovra.MayRead, "web"))
	none := kovra.PublicText(i.May(t.Context(), person("UOUT"), kovra.MayRead, "new"))
	if strings.ReplaceAll(there, "web", "new") != none {
		t.Errorf("the refusal tells whether there is such an app: %q, %q", there, none)
	}
}

// clock is a clock that stands until it is moved.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func (c *clock) move(d time.Duration) { c.at = c.at.Add(d) }

func withClock(t *testing.T, s *slack, admins ...string) (*Identity, *clock) {
	t.Helper()
	_, db := newIdentity(t, s, admins...)
	c := &clock{time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	return New(Options{Slack: s, DB: db, Admins: admins, Now: c.now}), c
}

func TestMembershipIsRemembered(t *testing.T) {
	s := newSlack()
	i, c := withClock(t, s, "UADM")
	may := func(id string) error { return i.May(t.Context(), person(id), kovra.MayAct, "web") }
	want(t, may("UMIA"), "")
	asked := s.count("CWEB")
	s.set(func() { s.members["CWEB"] = []string{"UNEW", "UOUT"} })
	c.move(59 * time.Second)
	want(t, may("UMIA"), "") // up to a minute
	if n := s.count("CWEB"); n != asked {
		t.Errorf("asked %d times more", n-asked)
	}
	want(t, may("UOUT"), "") // a miss on an old list asks again
	if n := s.count("CWEB"); n != asked+1 {
		t.Errorf("asked %d times more, want once", n-asked)
	}
	want(t, may("UMIA"), kovra.Denied)
	asked = s.count("CWEB")
	want(t, may("UMIA"), kovra.Denied)
	if n := s.count("CWEB"); n != asked {
		t.Errorf("a miss on a fresh list asked again")
	}
	s.set(func() { s.members["CWEB"] = []string{"UMIA"} })
	want(t, may("UMIA"), kovra.Denied)
	i.ForgetChannel("CWEB", "UMIA")
	i.ForgetChannel("CNONE", "")
	want(t, may("UMIA"), "")
	c.move(61 * time.Second)
	asked = s.count("CWEB")
	want(t, may("UMIA"), "")
	if n := s.count("CWEB"); n != asked+1 {
		t.Error("an old list was trusted")
	}
}

func TestAdministratorsAreRemembered(t *testing.T) {
	s := newSlack()
	i, c := withClock(t, s, WorkspaceAdmins)
	may := func(id string) error { return i.May(t.Context(), person(id), kovra.MayAdmin, "web") }
	want(t, may("UMIA"), kovra.Denied)
	promoted := s.users["UMIA"]
	promoted.Admin = true
	s.set(func() { s.users["UMIA"] = promoted })
	c.move(certain + time.Second)
	want(t, may("UMIA"), "")
	promoted.Admin = false
	s.set(func() { s.users["UMIA"] = promoted })
	c.move(trusted + time.Second)
	want(t, may("UMIA"), kovra.Denied)
}

func TestAnswerThatWasForgottenOnItsWay(t *testing.T) {
	s := newSlack()
	i, _ := withClock(t, s, "UADM")
	s.during = func(key string) {
		if key == "CALL" {
			i.ForgetChannel("CALL", "UZOE")
		}
	}
	want(t, i.May(t.Context(), person("UZOE"), kovra.MayAct, "web"), "")
	if _, ok := i.members.recall("CALL", forever); ok {
		t.Error("a list from before the change is remembered")
	}
}

func TestSlackIsDown(t *testing.T) {
	down := &kovra.Error{Kind: kovra.Unavailable, Public: "Slack is down.", Retry: 7 * time.Second}
	for _, key := range []string{"", "UMIA", "CWEB"} {
		s := newSlack()
		s.down[key] = down
		i, _ := withClock(t, s, WorkspaceAdmins)
		err := i.May(t.Context(), person("UMIA"), kovra.MayAct, "web")
		want(t, err, kovra.Unavailable)
		if e, ok := errors.AsType[*kovra.Error](err); !ok || e.Retry != 7*time.Second || !errors.Is(err, down) || !strings.Contains(e.Public, "try again") {
			t.Errorf("%q: got %v", key, err)
		}
		_, err = i.Visible(t.Context(), person("UMIA"))
		want(t, err, kovra.Unavailable)
	}
	s := newSlack()
	s.down["CWEB"] = errors.New("reset")
	i, c := withClock(t, s, WorkspaceAdmins)
	want(t, i.May(t.Context(), person("UZOE"), kovra.MayAct, "web"), "") // the other channel is enough
	want(t, i.May(t.Context(), person("UMIA"), kovra.MayAct, "web"), kovra.Unavailable)
	s.set(func() { s.down["UMIA"] = down })
	c.move(certain + time.Second)
	want(t, i.May(t.Context(), person("UMIA"), kovra.MayAdmin, "web"), kovra.Unavailable)
}

func TestVisible(t *testing.T) {
	s := newSlack()
	i, _ := newIdentity(t, s, "UADM", WorkspaceAdmins)
	for id, wanted := range map[string]string{"UADM": "api lone web", "UBOS": "api lone web", "UMIA": "api web", "UZOE": "web", "UOUT": ""} {
		apps, err := i.Visible(t.Context(), person(id))
		var names []string
		for _, a := range apps {
			names = append(names, a.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != wanted {
			t.Errorf("%s: got %q, %v, want %q", id, got, err, wanted)
		}
	}
	_, err := i.Visible(t.Context(), person("UFOR"))
	want(t, err, kovra.Denied)
}

// TestDirectMessagesGiveNoRights: a subscription of one that was saved once keeps nobody from what is theirs, nor does a channel
// that Slack does not speak of.
func TestDirectMessagesGiveNoRights(t *testing.T) {
	s := newSlack()
	i, db := newIdentity(t, s, "UADM")
	refused := kovra.Errorf(kovra.Conflict, "Slack refuses: missing_scope.")
	s.down["DMIA"], s.down["CSEVERAL"] = refused, kovra.Errorf(kovra.Denied, "Slack refuses: missing_scope.")
	err := db.Update(t.Context(), func(tx *storage.Tx) error {
		return errors.Join(
			tx.SaveSubscription(kovra.Subscription{App: "web", Channel: "DMIA"}), tx.SaveSubscription(kovra.Subscription{App: "web", Channel: "CSEVERAL"}),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	for id, wanted := range map[string]string{"UMIA": "api web", "UZOE": "web", "UOUT": ""} {
		if got := visible(t, i, id); got != wanted {
			t.Errorf("%s sees %q, want %q", id, got, wanted)
		}
	}
	want(t, i.May(t.Context(), person("UZOE"), kovra.MayAct, "web"), "")
	want(t, i.May(t.Context(), person("UOUT"), kovra.MayAct, "web"), kovra.Denied)
	if n := s.count("DMIA"); n != 0 {
		t.Errorf("Slack was asked %d times who is in a direct message", n)
	}
}

func visible(t *testing.T, i *Identity, id string) string {
	t.Helper()
	apps, err := i.Visible(t.Context(), person(id))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range apps {
		names = append(names, a.Name)
	}
	return strings.Join(names, " ")
}

// manyChannels subscribes that many channels, each to an app of its own, and all to the app web.
func manyChannels(t *testing.T, s *slack, db *storage.DB, n int) {
	t.Helper()
	err := db.Update(t.Context(), func(tx *storage.Tx) error {
		for k := range n {
			app, c := fmt.Sprintf("many-%03d", k), fmt.Sprintf("C%03d", k)
			s.members[c] = []string{"UZOE"}
			err := errors.Join(tx.SaveApp(kovra.App{Name: app}),
				tx.SaveSubscription(kovra.Subscription{App: app, Channel: c}), tx.SaveSubscription(kovra.Subscription{App: "web", Channel: c}))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestManyChannels: however many are subscribed, Slack is asked once where a person is.
func TestManyChannels(t *testing.T) {
	s := newSlack()
	_, db := newIdentity(t, s)
	manyChannels(t, s, db, 300)
	s.members["C007"] = []string{"UMIA"}
	c := &clock{time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	i := New(Options{Slack: s, DB: db, Admins: []string{"UADM"}, Now: c.now})
	may := func() error { return i.May(t.Context(), person("UMIA"), kovra.MayAct, "web") }
	for range 3 {
		if got := visible(t, i, "UMIA"); got != "api many-007 web" {
			t.Errorf("sees %q", got)
		}
		want(t, may(), "")
	}
	want(t, i.May(t.Context(), person("UOUT"), kovra.MayAct, "web"), kovra.Denied)
	total := 0
	for key, n := range s.calls {
		if total += n; strings.HasPrefix(key, "C") {
			t.Errorf("%s was asked for its members", key)
		}
	}
	if s.count("of UMIA") != 1 || total > 8 { // the bot itself, two people, where they are; Ada and who can help
		t.Errorf("Slack was asked %v", s.calls)
	}
	// Who leaves is noticed by the event, and a little later at the latest.
	s.set(func() { s.members = map[string][]string{} })
	want(t, may(), "")
	i.ForgetChannel("C007", "UMIA")
	want(t, may(), kovra.Denied)
	s.set(func() { s.members["C008"] = []string{"UMIA"} })
	want(t, may(), kovra.Denied)
	i.ForgetChannel("C008", "")
	want(t, may(), "")
	c.move(lately + time.Second)
	s.set(func() {
		s.down["of UMIA"] = &kovra.Error{Kind: kovra.Unavailable, Public: "down", Retry: 7 * time.Second}
	})
	want(t, may(), kovra.Unavailable)
	_, err := i.Visible(t.Context(), person("UMIA"))
	want(t, err, kovra.Unavailable)
	s.set(func() { s.down["of UMIA"] = kovra.Errorf(kovra.NotFound, "user_not_found") })
	want(t, may(), "") // then the channels are asked
}

// TestOneChannelIsEnough: who sees an app by one channel is not told that Slack could not be asked about another one of it.
func TestOneChannelIsEnough(t *testing.T) {
	s := newSlack()
	i, db := newIdentity(t, s, "UADM")
	s.down["CZZZ"] = kovra.Errorf(kovra.Unavailable, "too slow")
	err := db.Update(t.Context(), func(tx *storage.Tx) error {
		return tx.SaveSubscription(kovra.Subscription{App: "web", Channel: "CZZZ"})
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := visible(t, i, "UMIA"); got != "api web" {
		t.Errorf("sees %q", got)
	}
	if n := s.count("CZZZ"); n != 0 {
		t.Errorf("the other channel was asked %d times", n)
	}
}

func TestReadsThatAreGivenUp(t *testing.T) {
	i, _ := newIdentity(t, newSlack(), "UADM")
	ctx, cancel := context.WithCancel(t.Context())
	want(t, i.May(ctx, person("UMIA"), kovra.MayAct, "web"), "") // Slack's answers are remembered
	cancel()
	if err := i.May(ctx, person("UMIA"), kovra.MayAct, "web"); err == nil {
		t.Error("got no error from a read that was given up")
	}
	if _, err := i.Visible(ctx, person("UADM")); err == nil {
		t.Error("got no error from a list that was given up")
	}
	if _, err := i.Visible(ctx, person("UMIA")); err == nil {
		t.Error("got no error from a list that was given up")
	}
}

func TestAnswersAskOnceForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		a := newAnswers(time.Now, 10, one, func(context.Context, string) (string, error) {
			asked++
			time.Sleep(time.Second)
			return "yes", nil
		})
		var group sync.WaitGroup
		for range 5 {
			group.Go(func() {
				if v, err := a.get(t.Context(), "k", time.Minute); err != nil || v != "yes" {
					t.Errorf("got %q, %v", v, err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := a.get(ctx, "k", time.Minute); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v from a wait that was given up", err)
		}
		group.Wait()
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	})
}

func TestAnswersAreBounded(t *testing.T) {
	a := newAnswers(time.Now, 10, func(v []string) int { return len(v) }, func(_ context.Context, key string) ([]string, error) {
		return slices.Repeat([]string{"x"}, len(key)), nil
	})
	for _, key := range []string{"aaaa", "bbbb", "cccc", "a very long one", "dd", ""} {
		if _, err := a.get(t.Context(), key, time.Minute); err != nil {
			t.Fatal(err)
		}
		if a.weight > 10 || len(a.known) != len(a.order) {
			t.Errorf("after %q: weight %d, %d known, %d in order", key, a.weight, len(a.known), len(a.order))
		}
	}
	if _, ok := a.recall("a very long one", time.Minute); ok {
		t.Error("what is too large is remembered")
	}
	if _, ok := a.recall("dd", time.Minute); !ok {
		t.Error("the newest is forgotten")
	}
}
