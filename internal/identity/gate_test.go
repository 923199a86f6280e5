package identity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

func TestMayWithAccounts(t *testing.T) {
	const yes, no, un = kovra.ErrorKind(""), kovra.Denied, kovra.Unconnected
	o := newOffice(t)
	o.connect("UMIA", "mia")
	o.connect("UBEN", "ben")
	o.connect("UOUT", "otto")
	o.connect("UADM", "zoe")
	tests := []struct {
		who, app                          string
		read, act, build, admin, link, as kovra.ErrorKind
	}{
		{"UMIA", "web", yes, yes, yes, yes, yes, no}, // Maintainer
		{"UBEN", "web", yes, yes, yes, no, no, no},   // Developer
		{"UOUT", "web", yes, yes, no, no, no, no},    // Reporter, who is in no channel
		{"UZOE", "web", yes, un, un, un, un, no},     // of the channel, and not connected
		{"UBOS", "web", no, un, un, un, un, no},      // nobody
		{"UADM", "web", yes, yes, no, no, no, yes},   // administrators have no rights at GitLab
		{"UBEN", "lone", no, yes, yes, yes, yes, no}, // who made it
		{"UMIA", "lone", no, yes, yes, no, yes, no},
		{"UADM", "lone", yes, yes, yes, yes, yes, yes},
		{"UMIA", "new", no, yes, yes, yes, yes, no},
		{"UZOE", "new", no, un, un, un, un, no},
		{"UMIA", "", no, no, no, no, no, no},
		{"UADM", "", yes, yes, yes, yes, yes, yes},
		{"UFOR", "web", no, no, no, no, no, no},
	}
	for _, tt := range tests {
		t.Run(tt.who+" "+tt.app, func(t *testing.T) {
			for _, one := range []struct {
				need kovra.Permission
				want kovra.ErrorKind
			}{
				{kovra.MayRead, tt.read},
				{kovra.MayAct, tt.act},
				{kovra.MayBuild, tt.build},
				{kovra.MayAdmin, tt.admin},
				{kovra.MayLink, tt.link},
				{kovra.MayOwn, tt.as},
				{kovra.Permission("odd"), tt.as},
			} {
				err := o.May(t.Context(), person(tt.who), one.need, tt.app)
				got := kovra.ErrorKind("")
				if err != nil {
					got = kovra.KindOf(err)
				}
				if got != one.want {
					t.Errorf("%s: got %q (%v), want %q", one.need, got, err, one.want)
				}
			}
			self := o.May(t.Context(), person(tt.who), kovra.MaySelf, tt.app)
			if (self == nil) != (tt.who != "UFOR") {
				t.Errorf("self: %v", self)
			}
		})
	}
}

func TestNoAdministrators(t *testing.T) {
	o := newOffice(t, func(o *Options) { o.Admins = nil })
	err := o.May(t.Context(), person("UMIA"), kovra.MayOwn, "web")
	want(t, err, kovra.Denied)
	if text := kovra.PublicText(err); !strings.Contains(text, "KOVRA_ADMINS") {
		t.Errorf("got %q", text)
	}
}

func TestAdministratorsMustConnectToo(t *testing.T) {
	o := newOffice(t)
	want(t, o.May(t.Context(), person("UADM"), kovra.MayOwn, "web"), kovra.Unconnected)
}

func TestRolesAreRemembered(t *testing.T) {
	o := newOffice(t)
	o.connect("UBEN", "ben")
	build := func() error { return o.May(t.Context(), person("UBEN"), kovra.MayBuild, "web") }
	level := func(n int) { o.lab.set(func() { o.lab.levels["ben"][7] = n }) }
	want(t, build(), "")
	level(reporter)
	o.clock.move(trusted - time.Second)
	asked := o.lab.count("level")
	want(t, build(), "")
	if n := o.lab.count("level"); n != asked {
		t.Errorf("asked %d times more", n-asked)
	}
	o.clock.move(2 * time.Second)
	want(t, build(), kovra.Denied)
	level(developer)
	want(t, build(), kovra.Denied)
	o.clock.move(certain + time.Second)
	want(t, build(), "")
	// Another account is another person at GitLab.
	o.connect("UBEN", "otto")
	want(t, build(), kovra.Denied)
}

func TestRolesThatCannotBeAsked(t *testing.T) {
	o := newOffice(t)
	o.connect("UMIA", "mia")
	o.lab.set(func() {
		o.lab.down = &kovra.Error{Kind: kovra.Unavailable, Public: "down", Retry: 3 * time.Second}
	})
	err := o.May(t.Context(), person("UMIA"), kovra.MayAdmin, "web")
	want(t, err, kovra.Unavailable)
	if e, ok := errors.AsType[*kovra.Error](err); !ok || e.Retry != 3*time.Second || !strings.HasPrefix(e.Public, "GitLab could not be asked") {
		t.Errorf("got %v", err)
	}
	want(t, o.May(t.Context(), person("UMIA"), kovra.MayAct, "web"), "") // GitLab decides when it is back
	o.lab.set(func() { o.lab.down = nil })
	o.lab.sim.RevokeTokens("mia")
	want(t, o.May(t.Context(), person("UMIA"), kovra.MayAdmin, "web"), kovra.Unconnected)
	if o.account("UMIA").Connected() {
		t.Error("still connected with a revoked token")
	}
}

func author(id int64, name string) kovra.Person {
	return kovra.Person{GitLab: kovra.GitLabUser{ID: id, Username: name}}
}

func TestAuthorsOfComments(t *testing.T) {
	const yes, no = kovra.ErrorKind(""), kovra.Denied
	o := newOffice(t, func(o *Options) {
		o.OAuth = nil
		o.Policy = kovra.Policy{People: map[string]string{"UZOE": "ben", "UNIL": "nil"}, Rules: []kovra.Rule{{Line: 3, Who: []string{"UZOE"}, Apps: []string{"web"}, May: []kovra.Permission{kovra.MayRead}}}}
		o.Policy.Rules = append(o.Policy.Rules, kovra.Rule{Line: 4, Who: []string{"UNIL"}})
	})
	tests := []struct {
		who                   kovra.Person
		app                   string
		read, act, admin, own kovra.ErrorKind
	}{
		{author(101, "mia"), "web", yes, yes, yes, no},
		{author(102, "ben"), "web", yes, no, no, no}, // the policy knows who that is in Slack
		{author(103, "otto"), "web", yes, no, no, no},
		{author(104, "zoe"), "web", no, no, no, no},
		{author(101, "mia"), "lone", no, no, no, no},
		{author(101, "mia"), "new", no, no, no, no},
		{author(101, "project_7_bot_x"), "web", no, no, no, no},
	}
	for _, tt := range tests {
		for need, kind := range map[kovra.Permission]kovra.ErrorKind{kovra.MayRead: tt.read, kovra.MayAct: tt.act, kovra.MayBuild: tt.act, kovra.MayAdmin: tt.admin, kovra.MayOwn: tt.own} {
			t.Run(tt.who.GitLab.Username+" "+tt.app+" "+string(need), func(t *testing.T) {
				want(t, o.May(t.Context(), tt.who, need, tt.app), kind)
			})
		}
	}
	o.lab.set(func() { o.lab.down = errors.New("reset") })
	o.clock.move(time.Hour)
	want(t, o.May(t.Context(), author(101, "mia"), kovra.MayAct, "web"), kovra.Unavailable)
	i, _ := newIdentity(t, newSlack(), "UADM")
	want(t, i.May(t.Context(), author(101, "mia"), kovra.MayAct, "web"), kovra.Denied)
}

// TestStrangersDoNotPassThePolicy: who is nobody in Slack is met by every rule that may mean them.
func TestStrangersDoNotPassThePolicy(t *testing.T) {
	const yes, no = kovra.ErrorKind(""), kovra.Denied
	readers := kovra.Rule{Line: 1, Who: []string{"SOPS", "CALL"}, May: []kovra.Permission{kovra.MayRead, kovra.MayAct}}
	nothing := kovra.Rule{Line: 2, Who: []string{"UZOE"}}
	all := kovra.Rule{Line: 3, Who: []string{kovra.Everyone}, May: kovra.PolicyLevels}
	for _, tt := range []struct {
		name       string
		rules      []kovra.Rule
		people     map[string]string
		act, admin kovra.ErrorKind
	}{
		{"no policy", nil, nil, yes, yes},
		{"a rule leaves it", []kovra.Rule{readers}, nil, yes, no},
		{"a rule takes it", []kovra.Rule{nothing}, nil, no, no},
		{"a later rule takes it", []kovra.Rule{readers, nothing}, nil, no, no},
		{"everybody keeps it before", []kovra.Rule{all, nothing}, nil, yes, yes},
		{"the rule means somebody else", []kovra.Rule{nothing}, map[string]string{"UZOE": "zoe"}, yes, yes},
		{"the rule is about another app", []kovra.Rule{{Line: 2, Who: []string{"UZOE"}, Apps: []string{"api"}}}, nil, yes, yes},
		{"the table knows her", []kovra.Rule{nothing}, map[string]string{"UMIA": "mia"}, yes, yes},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOffice(t, func(o *Options) {
				o.OAuth, o.Policy = nil, kovra.Policy{People: tt.people, Rules: tt.rules}
			})
			want(t, o.May(t.Context(), author(101, "mia"), kovra.MayAct, "web"), tt.act)
			want(t, o.May(t.Context(), author(101, "mia"), kovra.MayAdmin, "web"), tt.admin)
		})
	}
}

func TestConnectedAuthorsOfComments(t *testing.T) {
	o := newOffice(t)
	want(t, o.May(t.Context(), author(102, "ben"), kovra.MayBuild, "web"), kovra.Unconnected)
	o.connect("UBEN", "ben")
	want(t, o.May(t.Context(), author(102, "ben"), kovra.MayBuild, "web"), "")
	want(t, o.May(t.Context(), author(102, "ben"), kovra.MayAdmin, "web"), kovra.Denied)
	o.slack.set(func() {
		u := o.slack.users["UBEN"]
		u.Deleted = true
		o.slack.users["UBEN"] = u
	})
	o.clock.move(trusted + time.Second)
	want(t, o.May(t.Context(), author(102, "ben"), kovra.MayAct, "web"), kovra.Denied)
	want(t, o.May(t.Context(), author(102, "ben"), kovra.MayAct, "web"), kovra.Unconnected)
}

func TestPolicyNarrows(t *testing.T) {
	s := newSlack()
	s.groups = map[string][]string{"SOPS": {"UMIA"}}
	_, db := newIdentity(t, s)
	c := &clock{time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	i := New(Options{Slack: s, DB: db, Admins: []string{"UADM", "UBOS"}, Now: c.now, Policy: kovra.Policy{Rules: []kovra.Rule{
		{Line: 5, Who: []string{"UADM"}, May: kovra.PolicyLevels},
		{Line: 7, Who: []string{"SOPS", "CALL"}, May: []kovra.Permission{kovra.MayRead}, Apps: []string{"w*"}},
		{Line: 9, Who: []string{kovra.Everyone}, Apps: []string{"api"}},
	}}})
	const yes, no = kovra.ErrorKind(""), kovra.Denied
	tests := []struct {
		who, app         string
		read, act, admin kovra.ErrorKind
	}{
		{"UADM", "api", yes, yes, yes},
		{"UMIA", "web", yes, no, no}, // group
		{"UZOE", "web", yes, no, no}, // channel
		{"UBEN", "web", yes, yes, no},
		{"UBOS", "web", yes, yes, yes},
		{"UBOS", "api", no, no, no},  // administrators too
		{"UOUT", "web", no, no, no},  // nothing is ever given
		{"UZOE", "api", no, no, no},  // nor here
		{"UMIA", "lone", no, no, no}, // nor where no rule fits
	}
	for _, tt := range tests {
		t.Run(tt.who+" "+tt.app, func(t *testing.T) {
			for need, kind := range map[kovra.Permission]kovra.ErrorKind{kovra.MayRead: tt.read, kovra.MayAct: tt.act, kovra.MayBuild: tt.act, kovra.MayAdmin: tt.admin, kovra.MayOwn: tt.admin} {
				want(t, i.May(t.Context(), person(tt.who), need, tt.app), kind)
			}
			want(t, i.May(t.Context(), person(tt.who), kovra.MaySelf, tt.app), "")
		})
	}
	err := i.May(t.Context(), person("UMIA"), kovra.MayAct, "web")
	if got := kovra.PublicText(err); got != "The policy of this bot does not let you do that (line 7). You can ask Ada or Bo." {
		t.Errorf("got %q", got)
	}
	for id, names := range map[string]string{"UADM": "api lone web", "UBOS": "lone web", "UMIA": "web"} {
		apps, err := i.Visible(t.Context(), person(id))
		var got []string
		for _, a := range apps {
			got = append(got, a.Name)
		}
		if err != nil || strings.Join(got, " ") != names {
			t.Errorf("%s sees %v, %v, want %s", id, got, err, names)
		}
	}
	s.set(func() { s.down["SOPS"] = errors.New("reset") })
	c.move(trusted + time.Second)
	want(t, i.May(t.Context(), person("UBEN"), kovra.MayRead, "web"), kovra.Unavailable) // a later rule must not decide
	_, err = i.Visible(t.Context(), person("UBEN"))
	want(t, err, kovra.Unavailable)
}

// TestRulesHoldWhenTheBotSeesNothing: a rule does not end to hold because somebody removed the bot from a private channel, or
// because a user group is gone.
func TestRulesHoldWhenTheBotSeesNothing(t *testing.T) {
	for _, named := range []string{"CSHUT", "SGONE"} {
		t.Run(named, func(t *testing.T) {
			s := newSlack()
			s.groups = map[string][]string{"SOPS": {"UMIA"}}
			_, db := newIdentity(t, s)
			c := &clock{time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
			i := New(Options{Slack: s, DB: db, Admins: []string{"UADM"}, Now: c.now, Policy: kovra.Policy{Rules: []kovra.Rule{
				{Line: 5, Who: []string{"UADM"}, May: kovra.PolicyLevels},
				{Line: 7, Who: []string{named, "SOPS"}, May: []kovra.Permission{kovra.MayRead}, Apps: []string{"web"}},
				{Line: 9, Who: []string{kovra.Everyone}, May: kovra.PolicyLevels},
			}}})
			act := func(id string) error { return i.May(t.Context(), person(id), kovra.MayAct, "web") }
			want(t, act("UADM"), "")           // an earlier rule fits
			want(t, act("UMIA"), kovra.Denied) // the same rule fits by another name
			err := act("UZOE")
			want(t, err, kovra.Conflict)
			text := kovra.PublicText(err)
			if !strings.Contains(text, named) || !strings.Contains(text, "line 7") || !strings.Contains(text, "administrator") {
				t.Errorf("got %q", text)
			}
			steps, err := i.Explain(t.Context(), person("UZOE"), kovra.MayAct, "web")
			if last := steps[len(steps)-1]; err != nil || last != "Refused: "+text {
				t.Errorf("explained %q, %v", last, err)
			}
			if got := visible(t, i, "UMIA"); got != "api web" { // of api nothing is in doubt
				t.Errorf("sees %q", got)
			}
			_, err = i.Visible(t.Context(), person("UZOE"))
			want(t, err, kovra.Conflict)
			want(t, i.May(t.Context(), person("UOUT"), kovra.MayRead, "web"), kovra.Denied) // who is told nothing of it
			s.set(func() { s.members["CSHUT"], s.groups["SGONE"] = []string{"UNEW"}, []string{"UNEW"} })
			want(t, act("UZOE"), kovra.Conflict)
			c.move(certain + time.Second)
			want(t, act("UZOE"), "")
		})
	}
}

// TestGapsNameNothingInGitLab: the answer to a comment may be read by strangers.
func TestGapsNameNothingInGitLab(t *testing.T) {
	gap, rule := &unseenError{kind: kovra.WhoChannel, named: "CSHUT"}, &kovra.Rule{Line: 7}
	if text := kovra.PublicText(gap.of(rule, author(101, "mia"))); strings.Contains(text, "CSHUT") || !strings.Contains(text, "line 7") {
		t.Errorf("got %q", text)
	}
}

func TestVisibleByRole(t *testing.T) {
	o := newOffice(t)
	o.connect("UOUT", "otto")
	see := func() string {
		t.Helper()
		apps, err := o.Visible(t.Context(), person("UOUT"))
		o.must(err)
		var names []string
		for _, a := range apps {
			names = append(names, a.Name)
		}
		return strings.Join(names, " ")
	}
	if got := see(); got != "web" {
		t.Errorf("sees %q, want web", got)
	}
	o.clock.move(trusted + time.Second)
	o.lab.set(func() { o.lab.down = errors.New("reset") })
	if got := see(); got != "" {
		t.Errorf("sees %q while GitLab is down, want nothing", got)
	}
	o.lab.set(func() { o.lab.down = nil })
	o.must(o.db.Update(t.Context(), func(tx *storage.Tx) error {
		for n := range int64(askedForVisible + 10) {
			name := "many-" + string(rune('a'+n))
			if n > 25 {
				name = "many-z" + string(rune('a'+n-26))
			}
			if err := errors.Join(tx.SaveProject(kovra.Project{ID: 100 + n}), tx.SaveApp(kovra.App{Name: name, Project: 100 + n})); err != nil {
				return err
			}
		}
		return nil
	}))
	before := o.lab.count("level")
	see()
	if n := o.lab.count("level") - before; n > 2*askedForVisible {
		t.Errorf("GitLab was asked %d times for one list", n)
	}
	o.lab.set(func() { o.lab.levels["otto"][129] = reporter }) // beyond what was asked for
	if got := see(); strings.Contains(got, "many-zd") {
		t.Fatalf("sees %q: the list is not cut short", got)
	}
	want(t, o.May(t.Context(), person("UOUT"), kovra.MayRead, "many-zd"), "")
}

// TestListsOfASlowGitLab: what GitLab does not say in time is left out of the list, and the rest is told in time.
func TestListsOfASlowGitLab(t *testing.T) {
	o := newOffice(t, func(o *Options) { o.Policy.Rules = []kovra.Rule{{Line: 3, Who: []string{"SOPS"}}} })
	o.connect("UZOE", "zoe")
	o.must(o.db.Update(t.Context(), func(tx *storage.Tx) error {
		for n := range 10 {
			app := fmt.Sprintf("many-%d", n)
			if err := errors.Join(tx.SaveApp(kovra.App{Name: app}), tx.SaveSubscription(kovra.Subscription{App: app, Channel: "CALL"})); err != nil {
				return err
			}
		}
		return errors.Join(tx.SaveProject(kovra.Project{ID: 100}), tx.SaveApp(kovra.App{Name: "elsewhere", Project: 100}))
	}))
	o.lab.hang = true
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	apps, err := o.Visible(ctx, person("UZOE"))
	if err != nil || len(apps) != 11 { // and web
		t.Errorf("sees %v, %v", apps, err)
	}
}

func TestExplain(t *testing.T) {
	o := newOffice(t, func(o *Options) {
		o.Policy.Rules = []kovra.Rule{{Line: 12, Who: []string{"SOPS"}, May: []kovra.Permission{kovra.MayRead, kovra.MayAct}}}
	})
	o.connect("UMIA", "mia")
	o.connect("UBEN", "ben")
	const belongs = "You belong to the organisation that runs this bot."
	tests := []struct {
		name string
		who  kovra.Person
		need kovra.Permission
		app  string
		want []string
	}{
		{"by role", person("UMIA"), kovra.MayAdmin, "web", []string{
			"It needs the right to administer, for web.", belongs, "You are connected as @mia.", "Your role in its GitLab project: Maintainer; Maintainer is needed.",
			"No rule of the policy is about you and this app.", "Allowed.",
		}},
		{"role too low", person("UBEN"), kovra.MayAdmin, "web", []string{
			"It needs the right to administer, for web.", belongs, "You are connected as @ben.", "Your role in its GitLab project: Developer; Maintainer is needed.",
			"Refused: That needs the role Maintainer in the GitLab project of web; yours is Developer. Somebody who has it can do that, or give it to you.",
		}},
		{"policy", person("UBEN"), kovra.MayAdmin, "lone", []string{
			"It needs the right to administer, for lone.", belongs, "You are connected as @ben.", "lone has no GitLab project, and you made it.",
			"Line 12 of the policy applies to you and leaves you: read, act.", "Refused: The policy of this bot does not let you do that (line 12). You can ask Ada.",
		}},
		{"not connected", person("UZOE"), kovra.MayAct, "web", []string{
			"It needs the right to act, for web.", belongs, "You have not connected a GitLab account.", "Refused: Connect your GitLab account first: type /kovra connect in Slack.",
		}},
		{"channel", person("UZOE"), kovra.MayRead, "web", []string{
			"It needs the right to read, for web.", belongs, "You are in a channel that is subscribed to web.", "No rule of the policy is about you and this app.", "Allowed.",
		}},
		{"stranger", person("UFOR"), kovra.MayRead, "web", []string{
			"It needs the right to read, for web.",
			"Refused: Only people of the organisation that runs this bot may use it. Ask a colleague there to do it for you.",
		}},
		{"self", person("UZOE"), kovra.MaySelf, "", []string{"It concerns you alone.", belongs, "Allowed."}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := o.Explain(t.Context(), tt.who, tt.need, tt.app)
			if err != nil {
				t.Fatal(err)
			}
			if g, w := strings.Join(got, "\n"), strings.Join(tt.want, "\n"); g != w {
				t.Errorf("got:\n%s\nwant:\n%s", g, w)
			}
		})
	}
	for _, as := range []string{"", "zoe"} {
		if as != "" {
			o.connect("UOUT", as)
		}
		there, err := o.Explain(t.Context(), person("UOUT"), kovra.MayRead, "web")
		o.must(err)
		none, err := o.Explain(t.Context(), person("UOUT"), kovra.MayRead, "new")
		o.must(err)
		if strings.ReplaceAll(strings.Join(there, "\n"), "web", "new") != strings.Join(none, "\n") {
			t.Errorf("the explanation tells whether there is such an app:\n%v\n%v", there, none)
		}
	}
	o.slack.set(func() { o.slack.down["SOPS"] = errors.New("reset") })
	o.clock.move(trusted + time.Second)
	_, err := o.Explain(t.Context(), person("UMIA"), kovra.MayAdmin, "web")
	want(t, err, kovra.Unavailable)
}

func TestMatch(t *testing.T) {
	o := newOffice(t, func(o *Options) { o.Policy.People = map[string]string{"UZOE": "Zoe", "UOUT": "otto2"} })
	o.connect("UADM", "ben")
	o.lab.emails = map[int64]string{101: "MIA@example.com", 103: "otto@example.com", 105: "nobody@example.com", 106: "app@example.com"}
	app := o.slack.users["UAPP"]
	app.Email = "app@example.com"
	o.slack.users["UAPP"] = app
	tests := []struct {
		name     string
		u        kovra.GitLabUser
		who, how string
	}{
		{"connected", kovra.GitLabUser{ID: 102, Username: "ben"}, "UADM", "connected"},
		{"table", kovra.GitLabUser{ID: 104, Username: "zoe"}, "UZOE", "table"},
		{"e-mail", kovra.GitLabUser{ID: 101, Username: "mia"}, "UMIA", "e-mail"},
		{"e-mail, and the table names another account", kovra.GitLabUser{ID: 103, Username: "otto"}, "", ""},
		{"e-mail that nobody has", kovra.GitLabUser{ID: 105, Username: "eve"}, "", ""},
		{"e-mail of a bot in Slack", kovra.GitLabUser{ID: 106, Username: "app"}, "", ""},
		{"no e-mail", kovra.GitLabUser{ID: 107, Username: "eve"}, "", ""},
		{"bot at GitLab", kovra.GitLabUser{ID: 101, Username: "group_1_bot"}, "", ""},
		{"nobody", kovra.GitLabUser{}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := o.Match(t.Context(), tt.u)
			if err != nil || m.Slack != tt.who || m.How != tt.how || m.GitLab != tt.u.ID || m.CheckedAt.IsZero() {
				t.Errorf("got %+v, %v, want %s by %s", m, err, tt.who, tt.how)
			}
		})
	}
	o.slack.set(func() { o.slack.down["MIA@example.com"] = errors.New("reset") })
	_, err := o.Match(t.Context(), kovra.GitLabUser{ID: 101, Username: "mia"})
	want(t, err, kovra.Unavailable)
	o.lab.set(func() { o.lab.down = errors.New("reset") })
	_, err = o.Match(t.Context(), kovra.GitLabUser{ID: 101, Username: "mia"})
	want(t, err, kovra.Unavailable)
}

// TestNobodyInheritsSettings: an app that has lost its project still names secrets and what it deploys to. Who could link
// a project of their own to it would have them.
func TestNobodyInheritsSettings(t *testing.T) {
	o := newOffice(t)
	o.connect("UMIA", "mia")
	o.connect("UBEN", "ben")
	o.connect("UADM", "zoe")
	o.must(o.db.Update(t.Context(), func(tx *storage.Tx) error {
		return tx.SaveBuildSettings(kovra.BuildSettings{App: "lone", Secrets: []string{"prod"}, ChangedAt: o.clock.now()}, "")
	}))
	for who, kind := range map[string]kovra.ErrorKind{"UMIA": kovra.Denied, "UBEN": "", "UADM": ""} { // UBEN made it
		want(t, o.May(t.Context(), person(who), kovra.MayLink, "lone"), kind)
	}
}

// TestCommentsNameNobody: the answer to a comment stands in GitLab, where strangers may read it.
func TestCommentsNameNobody(t *testing.T) {
	o := newOffice(t, func(o *Options) { o.Policy.Rules = []kovra.Rule{{Line: 3, Who: []string{kovra.Everyone}}} })
	o.connect("UMIA", "mia")
	for _, need := range []kovra.Permission{kovra.MayAct, kovra.MayOwn} {
		err := o.May(t.Context(), author(101, "mia"), need, "web")
		want(t, err, kovra.Denied)
		if text := kovra.PublicText(err); strings.Contains(text, "Ada") {
			t.Errorf("%s: %q names somebody of Slack", need, text)
		}
	}
}

// TestOperator: whoever works at the command line may do all but what concerns a person alone, with and without accounts, without
// an administrator, whatever the policy says and while Slack is down. Nobody of Slack passes for one.
func TestOperator(t *testing.T) {
	ci, err := kovra.Operator("ci")
	if err != nil {
		t.Fatal(err)
	}
	takesAll := kovra.Policy{Rules: []kovra.Rule{{Line: 3, Who: []string{kovra.Everyone}}}}
	o := newOffice(t, func(o *Options) { o.Policy, o.Admins = takesAll, nil })
	s := newSlack()
	s.down = map[string]error{"": errors.New("down"), "U1": errors.New("down")}
	_, db := newIdentity(t, s)
	plain := New(Options{Slack: s, DB: db, Policy: takesAll})
	for name, i := range map[string]*Identity{"with accounts": o.Identity, "without": plain} {
		t.Run(name, func(t *testing.T) {
			for _, need := range []kovra.Permission{kovra.MayRead, kovra.MayAct, kovra.MayBuild, kovra.MayLink, kovra.MayAdmin, kovra.MayOwn} {
				for _, app := range []string{"web", "new", ""} {
					want(t, i.May(t.Context(), ci, need, app), "")
				}
			}
			want(t, i.May(t.Context(), ci, kovra.MaySelf, ""), kovra.Denied)
			steps, err := i.Explain(t.Context(), ci, kovra.MayLink, "web")
			if got := strings.Join(steps, " "); err != nil || !strings.Contains(got, "You work at the command line") || !strings.HasSuffix(got, "Allowed.") {
				t.Errorf("explained: %s, %v", got, err)
			}
		})
	}
	for name, p := range map[string]kovra.Person{
		"an id like the key of one":        {ID: "cli:ci", Name: "ci (command line)"},
		"the name of one":                  {ID: "UZOE", Name: "ci (command line)"},
		"a person of Slack, marked as one": {ID: "UZOE", Operator: "ci"},
		"of GitLab, marked as one":         {GitLab: kovra.GitLabUser{ID: 1}, Operator: "ci"},
	} {
		if err := o.May(t.Context(), p, kovra.MayOwn, "web"); err == nil {
			t.Errorf("%s may do all", name)
		}
	}
}
