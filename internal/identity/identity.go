package identity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// WorkspaceAdmins stands, in Options.Admins, for all administrators and owners of the
// Slack workspace.
const WorkspaceAdmins = "workspace-admins"

const (
	trusted = time.Minute     // how old an answer of Slack may be to allow something
	certain = 5 * time.Second // how old it may be to refuse something
	forever = time.Duration(1<<63 - 1)

	rememberedUsers   = 5000
	rememberedMembers = 1_000_000 // over all channels
	namedAdmins       = 3         // in a refusal
)

// Slack is what identity asks Slack. Errors have kinds: NotFound and Denied
// mean that there is no such user or channel, or that the bot is not in it.
type Slack interface {
	// Self returns the workspace of the bot.
	Self(ctx context.Context) (kovra.Workspace, error)
	// Members returns the ids of all members of a channel.
	Members(ctx context.Context, channel string) ([]string, error)
	// User returns a person.
	User(ctx context.Context, id string) (kovra.SlackUser, error)
}

// Options set up an [Identity]. Slack and DB are needed.
type Options struct {
	Slack  Slack
	DB     *storage.DB
	Admins []string // Slack user ids, and [WorkspaceAdmins]
	Now    func() time.Time
	Log    *slog.Logger // nil: nothing is logged
}

// Identity decides who may do what. It is safe for concurrent use.
type Identity struct {
	db              *storage.DB
	log             *slog.Logger
	admins          []string // by id
	workspaceAdmins bool

	self    *answers[kovra.Workspace]
	users   *answers[kovra.SlackUser]
	members *answers[[]string] // sorted
}

// New makes an Identity; it asks nobody yet.
func New(o Options) *Identity {
	i := &Identity{db: o.DB, log: o.Log}
	if i.log == nil {
		i.log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	for _, id := range o.Admins {
		switch id = strings.TrimSpace(id); {
		case id == WorkspaceAdmins:
			i.workspaceAdmins = true
		case id != "" && !slices.Contains(i.admins, id):
			i.admins = append(i.admins, id)
		}
	}
	i.self = newAnswers(o.Now, 1, one, func(ctx context.Context, _ string) (kovra.Workspace, error) { return o.Slack.Self(ctx) })
	i.users = newAnswers(o.Now, rememberedUsers, one, o.Slack.User)
	i.members = newAnswers(o.Now, rememberedMembers, weighMembers, func(ctx context.Context, channel string) ([]string, error) {
		ids, err := o.Slack.Members(ctx, channel)
		if unknown(err) {
			return nil, nil // nobody is a member of a channel that is gone or that the bot may not see
		}
		ids = slices.Clone(ids)
		slices.Sort(ids)
		return ids, err
	})
	return i
}

func one[V any](V) int { return 1 }

func weighMembers(ids []string) int { return len(ids) + 1 }

func unknown(err error) bool {
	kind := kovra.KindOf(err)
	return err != nil && (kind == kovra.NotFound || kind == kovra.Denied)
}

// May returns nil if the person has the permission for the app, which need not exist
// yet. Else the error is Denied, with a sentence that says who may, or
// Unavailable when Slack could not be asked. A refusal tells nothing of whether there
// is such an app.
func (i *Identity) May(ctx context.Context, p kovra.Person, need kovra.Permission, app string) error {
	if err := i.belongs(ctx, p); err != nil {
		return err
	}
	if admin, err := i.isAdmin(ctx, p, trusted); admin || err != nil {
		return err
	}
	forMembers := need == kovra.MayRead || need == kovra.MayAct
	if forMembers {
		if in, err := i.isMemberOf(ctx, p, app); in || err != nil {
			return err
		}
	}
	if admin, err := i.isAdmin(ctx, p, certain); admin || err != nil {
		return err
	}
	if !forMembers {
		return kovra.Errorf(kovra.Denied, "Only administrators of this bot may do that. %s", i.help(ctx))
	}
	return kovra.Errorf(kovra.Denied,
		"Only members of a channel that is subscribed to %s may do that. Join such a channel, or have yours subscribed. %s", app, i.help(ctx))
}

func (i *Identity) isMemberOf(ctx context.Context, p kovra.Person, app string) (bool, error) {
	if app == "" {
		return false, nil // of no app, rather than of any
	}
	subscriptions, err := i.subscriptions(ctx, app)
	if err != nil {
		return false, err
	}
	return i.inAnyOf(ctx, p.ID, channels(subscriptions))
}

// Visible returns the apps that the person may read, by name. The error is Denied for
// somebody who may not use the bot at all, and Unavailable when Slack could not
// be asked.
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
	if admin {
		return apps, nil
	}
	subscriptions, err := i.subscriptions(ctx, "")
	if err != nil {
		return nil, err
	}
	subscribed := map[string]bool{}
	for _, s := range subscriptions {
		if subscribed[s.App] {
			continue
		}
		if subscribed[s.App], err = i.isIn(ctx, p.ID, s.Channel, trusted); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(apps, func(a kovra.App) bool { return !subscribed[a.Name] }), nil
}

// ForgetChannel drops what is remembered of a channel: somebody joined or left.
func (i *Identity) ForgetChannel(channel string) { i.members.forget(channel) }

// belongs refuses bots and people of other organisations.
func (i *Identity) belongs(ctx context.Context, p kovra.Person) error {
	if p.ID == "" {
		return kovra.Errorf(kovra.Denied, "It is not known who asks, so nothing is done.")
	}
	here, err := i.self.get(ctx, "", forever)
	if err != nil {
		return cannotAsk(err)
	}
	if p.ID == here.Bot {
		return errBot()
	}
	u, err := i.users.get(ctx, p.ID, trusted)
	if unknown(err) {
		return errForeign()
	}
	if err != nil {
		return cannotAsk(err)
	}
	if u.Bot {
		return errBot()
	}
	if u.Foreign || !agree(here, p, u) {
		return errForeign()
	}
	return nil
}

// agree reports whether all that is told of where a person belongs names our
// organisation, and anything is. What came with the request may lack the enterprise.
func agree(here kovra.Workspace, p kovra.Person, u kovra.SlackUser) bool {
	told := p.Team != "" && !here.Knows(p.Team, cmp.Or(p.Enterprise, u.Enterprise))
	known := u.Team != "" && !here.Knows(u.Team, u.Enterprise)
	return !told && !known && (p.Team != "" || u.Team != "")
}

func errBot() error {
	return kovra.Errorf(kovra.Denied, "Bots may not use this bot; a person has to ask.")
}

func errForeign() error {
	return kovra.Errorf(kovra.Denied, "Only people of the organisation that runs this bot may use it. Ask a colleague there to do it for you.")
}

// cannotAsk says that Slack gave no answer, and for how long it wants to be left alone.
func cannotAsk(err error) error {
	e := &kovra.Error{
		Kind:   kovra.Unavailable,
		Public: "Slack could not be asked whether you may do that. Please try again in a moment.",
		Err:    fmt.Errorf("ask slack: %w", err),
	}
	if told, ok := errors.AsType[*kovra.Error](err); ok {
		e.Retry = told.Retry
	}
	return e
}

func (i *Identity) isAdmin(ctx context.Context, p kovra.Person, age time.Duration) (bool, error) {
	if slices.Contains(i.admins, p.ID) {
		return true, nil
	}
	if !i.workspaceAdmins {
		return false, nil
	}
	u, err := i.users.get(ctx, p.ID, age)
	if err != nil {
		return false, cannotAsk(err)
	}
	return u.Admin, nil
}

func (i *Identity) subscriptions(ctx context.Context, app string) (list []kovra.Subscription, err error) {
	err = i.db.Read(ctx, func(tx *storage.Tx) error {
		list, err = tx.Subscriptions(storage.SubscriptionQuery{App: app})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list subscriptions of app %q: %w", app, err)
	}
	return list, nil
}

func channels(list []kovra.Subscription) []string {
	var out []string
	for _, s := range list {
		out = append(out, s.Channel)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// inAnyOf first looks at what is remembered, then asks for what is not, and
// before it says no it asks again for what is not certain any more. One channel that
// says yes is enough, also when another one cannot be asked.
func (i *Identity) inAnyOf(ctx context.Context, user string, channels []string) (bool, error) {
	for _, c := range channels {
		if ids, ok := i.members.recall(c, trusted); ok && isMember(ids, user) {
			return true, nil
		}
	}
	var failed error
	for _, c := range channels {
		in, err := i.isIn(ctx, user, c, certain)
		if in {
			return true, nil
		}
		failed = cmp.Or(failed, err)
	}
	return false, failed
}

func (i *Identity) isIn(ctx context.Context, user, channel string, age time.Duration) (bool, error) {
	ids, err := i.members.get(ctx, channel, age)
	if err != nil {
		return false, cannotAsk(err)
	}
	return isMember(ids, user), nil
}

func isMember(sorted []string, user string) bool {
	_, found := slices.BinarySearch(sorted, user)
	return found
}

// help says who can change what somebody may do. Names that Slack does not give now
// are left out.
func (i *Identity) help(ctx context.Context) string {
	var names []string
	for _, id := range i.admins[:min(len(i.admins), namedAdmins)] {
		u, err := i.users.get(ctx, id, forever)
		if err != nil {
			i.log.DebugContext(ctx, "name of an administrator not readable", "err", err)
			continue
		}
		if u.Name != "" {
			names = append(names, u.Name)
		}
	}
	if i.workspaceAdmins {
		names = append(names, "an administrator of this Slack workspace")
	}
	if len(names) == 0 {
		names = []string{"an administrator of this bot"}
	}
	last := names[len(names)-1]
	if len(names) == 1 {
		return "You can ask " + last + "."
	}
	return "You can ask " + strings.Join(names[:len(names)-1], ", ") + " or " + last + "."
}
