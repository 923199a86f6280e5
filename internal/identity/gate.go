package identity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// trail is the way to a decision, a sentence for each step; nil: nobody wants to know.
type trail struct{ steps []string }

func (t *trail) say(format string, args ...any) {
	if t != nil {
		t.steps = append(t.steps, fmt.Sprintf(format, args...))
	}
}

// question is one thing to decide.
type question struct {
	*trail
	who  kovra.Person
	need kovra.Permission
	app  string
}

// May returns nil if the person has the permission for the app, which need not exist
// yet. Else the error is Denied, with a sentence that says who may; Unconnected, when they
// must connect their GitLab account first; Unavailable when Slack or GitLab could not be
// asked; or Conflict when the policy names what the bot cannot see. A refusal to read tells nothing of whether there is such an app.
func (i *Identity) May(ctx context.Context, p kovra.Person, need kovra.Permission, app string) error {
	return i.decide(ctx, question{who: p, need: need, app: app})
}

// Explain decides as [Identity.May] does and returns every step of it in order, the last of which says
// whether it is allowed. The error is that of a decision that could not be made.
func (i *Identity) Explain(ctx context.Context, p kovra.Person, need kovra.Permission, app string) ([]string, error) {
	t := &trail{}
	err := i.decide(ctx, question{trail: t, who: p, need: need, app: app})
	if err == nil {
		t.say("Allowed.")
		return t.steps, nil
	}
	_, unseen := errors.AsType[*unseenError](err)
	if kind := kovra.KindOf(err); kind != kovra.Denied && kind != kovra.Unconnected && !unseen {
		return t.steps, err
	}
	t.say("Refused: %s", kovra.PublicText(err))
	return t.steps, nil
}

func (i *Identity) decide(ctx context.Context, q question) error {
	q.say("%s", needed(q.need, q.app))
	if q.who.IsOperator() {
		return operator(q)
	}
	if q.who.ID == "" && q.who.GitLab.ID != 0 {
		return i.decideAuthor(ctx, q)
	}
	if err := i.belongs(ctx, q.who); err != nil {
		return err
	}
	q.say("You belong to the organisation that runs this bot.")
	return i.decideKnown(ctx, q)
}

// operator lets whoever works at the command line pass, without Slack, GitLab or the policy being asked: they have the
// database and the tokens already. What concerns a person alone they have none to do it for.
func operator(q question) error {
	if q.need == kovra.MaySelf {
		return kovra.Errorf(kovra.Denied, "That is for people in Slack; the command line has no account to do it for.")
	}
	q.say("You work at the command line, where the database and the tokens of this bot are.")
	return nil
}

// decideKnown is for somebody who belongs here.
func (i *Identity) decideKnown(ctx context.Context, q question) error {
	if q.need == kovra.MaySelf {
		return nil
	}
	rule := i.withoutAccounts
	if i.oauth != nil {
		rule = i.withAccounts
	}
	if err := rule(ctx, q); err != nil {
		return err
	}
	return i.narrow(ctx, q, q.who.ID)
}

// needed says what a permission is for.
func needed(need kovra.Permission, app string) string {
	what := map[kovra.Permission]string{
		kovra.MaySelf: "It concerns you alone", kovra.MayRead: "It needs the right to read", kovra.MayAct: "It needs the right to act",
		kovra.MayBuild: "It needs the right to build", kovra.MayLink: "It needs the right to link", kovra.MayAdmin: "It needs the right to administer",
	}[need]
	if what == "" {
		what = "It needs the right of an administrator of this bot"
	}
	if app != "" && need != kovra.MaySelf {
		what += ", for " + app
	}
	return what + "."
}

// withoutAccounts is the rule where everybody acts with the bot's GitLab user:
// administrators may all, members of a subscribed channel may read and act.
func (i *Identity) withoutAccounts(ctx context.Context, q question) error {
	if admin, err := i.isAdmin(ctx, q.who, trusted); admin || err != nil {
		q.sayAdmin(admin)
		return err
	}
	level := q.need.Level()
	forMembers := level == kovra.MayRead || level == kovra.MayAct
	if forMembers {
		if in, err := i.member(ctx, q); in || err != nil {
			return err
		}
	}
	if admin, err := i.isAdmin(ctx, q.who, certain); admin || err != nil {
		q.sayAdmin(admin)
		return err
	}
	q.sayAdmin(false)
	if !forMembers {
		return kovra.Errorf(kovra.Denied, "Only administrators of this bot may do that. %s", i.help(ctx, q.who))
	}
	return kovra.Errorf(kovra.Denied,
		"Only members of a channel that is subscribed to %s may do that. Join such a channel, or have yours subscribed. %s", q.app, i.help(ctx, q.who))
}

func (q question) sayAdmin(yes bool) {
	if yes {
		q.say("You are an administrator of this bot.")
		return
	}
	q.say("You are no administrator of this bot.")
}

// member reports whether the person is in a channel that is subscribed to the app.
func (i *Identity) member(ctx context.Context, q question) (bool, error) {
	in, err := i.isMemberOf(ctx, q.who, q.app)
	switch {
	case err != nil:
		return false, err
	case in:
		q.say("You are in a channel that is subscribed to %s.", q.app)
	default:
		q.say("You are in no channel that is subscribed to %s.", q.app)
	}
	return in, nil
}

// withAccounts is the rule where people act with their own GitLab accounts: GitLab decides.
func (i *Identity) withAccounts(ctx context.Context, q question) error {
	switch {
	case q.app == "": // of no app, rather than of any
		return i.administrator(ctx, q)
	case q.need == kovra.MayRead:
		return i.reader(ctx, q)
	case q.need == kovra.MayAct:
		if _, err := i.account(ctx, q); err != nil {
			return err
		}
		q.say("GitLab decides the rest, by your own rights there.")
		return nil
	case q.need == kovra.MayBuild:
		return i.holder(ctx, q, developer)
	case q.need == kovra.MayAdmin, q.need == kovra.MayLink:
		return i.holder(ctx, q, maintainer)
	}
	return i.administrator(ctx, q)
}

// administrator lets administrators of the bot pass who are connected.
func (i *Identity) administrator(ctx context.Context, q question) error {
	admin, err := i.isAdmin(ctx, q.who, certain)
	if err != nil {
		return err
	}
	q.sayAdmin(admin)
	if admin {
		_, err := i.account(ctx, q)
		return err
	}
	if len(i.admins) == 0 && !i.workspaceAdmins {
		return kovra.Errorf(kovra.Denied, "Only administrators of this bot may do that, and there are none: KOVRA_ADMINS names them.")
	}
	return kovra.Errorf(kovra.Denied, "Only administrators of this bot may do that. %s", i.help(ctx, q.who))
}

// reader lets administrators, members of a subscribed channel, and people pass who may read the project at GitLab.
func (i *Identity) reader(ctx context.Context, q question) error {
	if admin, err := i.isAdmin(ctx, q.who, trusted); admin || err != nil {
		q.sayAdmin(admin)
		return err
	}
	if in, err := i.member(ctx, q); in || err != nil {
		return err
	}
	if admin, err := i.isAdmin(ctx, q.who, certain); admin || err != nil {
		q.sayAdmin(admin)
		return err
	}
	who, connected, err := i.connected(ctx, q.who.ID)
	if err != nil {
		return err
	}
	if !connected {
		q.say("You have not connected a GitLab account.")
		return kovra.Errorf(kovra.Denied, "Only members of a channel that is subscribed to %s may see it, and those who may at GitLab: "+
			"if you are one, connect your account with /kovra connect.", q.app)
	}
	q.say("You are connected as @%s.", who.GitLab.Username)
	of, err := i.appOf(ctx, q.app)
	if err != nil {
		return err
	}
	level := 0
	if of.project.ID != 0 {
		if level, err = i.role(ctx, q.who.ID, who, of.project.ID, reporter); err != nil {
			return err
		}
	}
	q.say("Your role in its GitLab project: %s; %s is needed.", roleName(level), roleName(reporter)) // whether there is one or not
	if level >= reporter {
		return nil
	}
	return kovra.Errorf(kovra.Denied,
		"Only members of a channel that is subscribed to %s may see it, and Reporters of its GitLab project. Join such a channel, or have yours subscribed.", q.app)
}

// holder lets people pass who are connected and have a role in the app's project.
func (i *Identity) holder(ctx context.Context, q question, least int) error {
	who, err := i.account(ctx, q)
	if err != nil {
		return err
	}
	of, err := i.appOf(ctx, q.app)
	if err != nil {
		return err
	}
	if of.project.ID == 0 {
		return i.homeless(ctx, q, of)
	}
	level, err := i.role(ctx, q.who.ID, who, of.project.ID, least)
	if err != nil {
		return err
	}
	q.say("Your role in its GitLab project: %s; %s is needed.", roleName(level), roleName(least))
	if level >= least {
		return nil
	}
	return tooLow(q.app, level, least)
}

func tooLow(app string, level, least int) error {
	const ask = "Somebody who has it can do that, or give it to you."
	if level == 0 {
		return kovra.Errorf(kovra.Denied, "That needs the role %s in the GitLab project of %s, and you have none there. %s", roleName(least), app, ask)
	}
	return kovra.Errorf(kovra.Denied, "That needs the role %s in the GitLab project of %s; yours is %s. %s", roleName(least), app, roleName(level), ask)
}

// homeless decides about an app without a project: it may be made and linked by all who are connected, and changed
// by who made it and by administrators. Those alone may link one that has settings of builds: its next project would
// get the secrets and the place that they name.
func (i *Identity) homeless(ctx context.Context, q question, of home) error {
	switch {
	case !of.exists || q.need != kovra.MayAdmin && (q.need != kovra.MayLink || !of.settled):
		q.say("There is no GitLab project yet whose roles could decide.")
		return nil
	case of.app.CreatedBy == q.who.ID:
		q.say("%s has no GitLab project, and you made it.", q.app)
		return nil
	}
	q.say("%s has no GitLab project, and somebody else made it.", q.app)
	admin, err := i.isAdmin(ctx, q.who, certain)
	q.sayAdmin(admin)
	if admin || err != nil {
		return err
	}
	return kovra.Errorf(kovra.Denied, "%s has no GitLab project whose Maintainers could decide, so only who made it and administrators of this bot may do that. %s",
		q.app, i.help(ctx, q.who))
}

// home is an app with its project.
type home struct {
	app     kovra.App
	exists  bool
	settled bool          // it has settings of builds
	project kovra.Project // zero: none
}

func (i *Identity) appOf(ctx context.Context, name string) (of home, err error) {
	err = i.db.Read(ctx, func(tx *storage.Tx) error {
		of.app, err = tx.App(name)
		if unknown(err) {
			return nil
		}
		if of.exists = err == nil; err != nil {
			return err
		}
		set, err := tx.BuildSettings(name)
		if of.settled = !set.ChangedAt.IsZero(); err != nil || of.app.Project == 0 {
			return err
		}
		of.project, err = tx.Project(of.app.Project)
		return err
	})
	if err != nil {
		return home{}, fmt.Errorf("read app %q: %w", name, err)
	}
	return of, nil
}

// narrow applies the policy file to what is allowed so far. who is a Slack user; "": somebody whom only a rule
// about everyone can mean.
func (i *Identity) narrow(ctx context.Context, q question, who string) error {
	if len(i.policy.Rules) == 0 || q.need.Level() == "" {
		return nil
	}
	rule, err := i.policy.Rule(q.app, func(kind kovra.WhoKind, named string) (bool, error) { return i.isNamed(ctx, who, kind, named) })
	if gap, ok := errors.AsType[*unseenError](err); ok {
		return gap.of(rule, q.who)
	}
	if err != nil {
		return err
	}
	if rule == nil {
		q.say("No rule of the policy is about you and this app.")
		return nil
	}
	left := make([]string, len(rule.May))
	for n, m := range rule.May {
		left[n] = string(m)
	}
	if len(left) == 0 {
		left = []string{"nothing"}
	}
	q.say("Line %d of the policy applies to you and leaves you: %s.", rule.Line, strings.Join(left, ", "))
	if rule.Leaves(q.need) {
		return nil
	}
	return kovra.Errorf(kovra.Denied, "The policy of this bot does not let you do that (line %d). %s", rule.Line, i.help(ctx, q.who))
}

// unseenError says that a rule names a channel or user group of which Slack does not say who is in it. A rule must not end to hold
// because the bot was removed from a private channel.
type unseenError struct {
	kind  kovra.WhoKind
	named string
}

func (e *unseenError) Error() string { return "nobody tells who is in " + e.named }

// of is the refusal for a person whom a rule may be about. In GitLab, where strangers may read it, it names nothing of Slack.
func (e *unseenError) of(rule *kovra.Rule, who kovra.Person) error {
	what, mend := "a channel that I cannot see", "invite me there, or correct the policy"
	if e.kind == kovra.WhoGroup {
		what, mend = "a user group that Slack does not know", "correct the policy"
	}
	if who.GitLab.ID == 0 {
		what = e.named + ", " + what
	}
	return &kovra.Error{Kind: kovra.Conflict, Err: e, Public: fmt.Sprintf(
		"It cannot be told whether line %d of the policy is about you, so nothing is done: it names %s. An administrator of this bot can %s.", rule.Line, what, mend)}
}

// isNamed reports whether an entry of a rule means the person. The error is an [unseenError] where Slack does not show what it names.
func (i *Identity) isNamed(ctx context.Context, who string, kind kovra.WhoKind, named string) (bool, error) {
	if who == "" {
		return false, nil
	}
	asked := map[kovra.WhoKind]*answers[string, roster]{kovra.WhoGroup: i.groups, kovra.WhoChannel: i.members}[kind]
	if asked == nil {
		return named == who, nil
	}
	r, err := asked.get(ctx, named, trusted)
	if err == nil && r.unseen {
		r, err = asked.get(ctx, named, certain) // it may have been mended
	}
	switch {
	case err != nil:
		return false, cannotAsk(err)
	case r.unseen:
		return false, &unseenError{kind: kind, named: named}
	}
	return r.has(who), nil
}

// askedForVisible bounds how many projects GitLab is asked about for one list.
const askedForVisible = 20

// Visible returns the apps that the person may read, by name. Of apps whose channels they are not in, the first
// few are asked for at GitLab; others are found by their name only. The error is Denied for
// somebody who may not use the bot at all, Unavailable when Slack could not be asked, and Conflict when nothing is left because the
// policy names what the bot cannot see.
func (i *Identity) Visible(ctx context.Context, p kovra.Person) ([]kovra.App, error) {
	if err := i.belongs(ctx, p); err != nil {
		return nil, err
	}
	admin, err := i.isAdmin(ctx, p, trusted)
	if err != nil {
		return nil, err
	}
	var apps []kovra.App
	err = i.db.Read(ctx, func(tx *storage.Tx) error {
		apps, err = tx.Apps()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list apps: %w", err)
	}
	if !admin {
		seen, err := i.subscribedTo(ctx, p.ID)
		if err != nil {
			return nil, err
		}
		if err := i.addReadable(ctx, p.ID, apps, seen); err != nil {
			return nil, err
		}
		apps = slices.DeleteFunc(apps, func(a kovra.App) bool { return !seen[a.Name] })
	}
	return i.leftOf(ctx, p, apps)
}

// leftOf takes away what the policy takes away, and may take away. The error tells why nothing is left where that is not known.
func (i *Identity) leftOf(ctx context.Context, p kovra.Person, apps []kovra.App) (left []kovra.App, err error) {
	var unsure error
	for _, a := range apps {
		err := i.narrow(ctx, question{who: p, need: kovra.MayRead, app: a.Name}, p.ID)
		_, unseen := errors.AsType[*unseenError](err)
		switch {
		case err == nil:
			left = append(left, a)
		case unseen:
			unsure = err
		case kovra.KindOf(err) != kovra.Denied:
			return nil, err
		}
	}
	if len(left) > 0 {
		return left, nil
	}
	return nil, unsure
}

// subscribedTo are the apps to which a channel of the person is subscribed.
func (i *Identity) subscribedTo(ctx context.Context, user string) (map[string]bool, error) {
	subscriptions, err := i.subscriptions(ctx, "")
	if err != nil {
		return nil, err
	}
	ids, told, err := i.whereIs(ctx, user, len(channels(subscriptions)), lately)
	if err != nil {
		return nil, err
	}
	subscribed, failed := map[string]bool{}, map[string]error{}
	for _, s := range subscriptions {
		switch {
		case subscribed[s.App] || kovra.IsDirect(s.Channel):
		case told:
			subscribed[s.App] = holds(ids, s.Channel)
		default:
			in, err := i.isIn(ctx, user, s.Channel, trusted)
			subscribed[s.App], failed[s.App] = in, cmp.Or(failed[s.App], err)
		}
	}
	for app, err := range failed {
		if err != nil && !subscribed[app] {
			return nil, err
		}
	}
	return subscribed, nil
}

// addReadable adds the apps whose projects the person may read at GitLab, if they are connected. Where GitLab cannot be
// asked they are left out: the list is needed most when GitLab is down.
func (i *Identity) addReadable(ctx context.Context, user string, apps []kovra.App, seen map[string]bool) error {
	if i.oauth == nil {
		return nil
	}
	who, connected, err := i.connected(ctx, user)
	if err != nil || !connected {
		return err
	}
	if end, ok := ctx.Deadline(); ok { // what is decided after this needs time, too
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/2)
		defer cancel()
	}
	asked := map[int64]bool{}
	for _, a := range apps {
		if seen[a.Name] || a.Project == 0 || !asked[a.Project] && len(asked) == askedForVisible {
			continue
		}
		asked[a.Project] = true
		level, err := i.role(ctx, user, who, a.Project, reporter)
		if err != nil {
			i.log.DebugContext(ctx, "role not known, app not listed", "app", a.Name, "err", err)
			return nil
		}
		seen[a.Name] = level >= reporter
	}
	return nil
}
