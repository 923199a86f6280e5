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
	trusted = time.Minute     // how old an answer of Slack or GitLab may be to allow something
	certain = 5 * time.Second // how old it may be to refuse something
	lately  = 3 * time.Minute // how old it may be to list something: Slack tells of who comes and goes, and App Home asks often
	forever = time.Duration(1<<63 - 1)

	rememberedUsers   = 5000
	rememberedMembers = 1_000_000 // over all channels, and over all user groups
	rememberedRoles   = 20_000
	namedAdmins       = 3 // in a refusal

	fewChannels = 4 // up to so many are asked who is in them, one by one
)

// Slack is what identity asks Slack. Errors have kinds: NotFound and Denied
// mean that there is no such user, group or channel, or that the bot may not see it.
type Slack interface {
	Rosters
	// Self returns the workspace of the bot.
	Self(ctx context.Context) (kovra.Workspace, error)
	// User returns a person.
	User(ctx context.Context, id string) (kovra.SlackUser, error)
	// UserByEmail returns the person with that e-mail address.
	UserByEmail(ctx context.Context, email string) (kovra.SlackUser, error)
}

// Rosters say who is where.
type Rosters interface {
	// Members returns the ids of all members of a channel.
	Members(ctx context.Context, channel string) ([]string, error)
	// ChannelsOf returns the ids of all channels that a person is in, but for those that are archived, or private without the bot.
	ChannelsOf(ctx context.Context, user string) ([]string, error)
	// GroupMembers returns the ids of all members of a user group.
	GroupMembers(ctx context.Context, group string) ([]string, error)
}

// Options set up an [Identity]. Slack and DB are needed.
type Options struct {
	Slack  Slack
	GitLab GitLab // nil: nothing is known of people at GitLab, and comments act for nobody
	DB     *storage.DB
	Admins []string     // Slack user ids, and [WorkspaceAdmins]
	Policy kovra.Policy // what is taken away from whom, and who is who
	// Directory lists the administrators of the workspace; nil: only those that Admins names are known by name.
	Directory Directory
	OAuth     *OAuth // how people connect their GitLab accounts; nil: nobody does. It needs GitLab
	Now       func() time.Time
	Log       *slog.Logger // nil: nothing is logged
}

// Identity decides who may do what, and keeps what people act with at GitLab. It is safe
// for concurrent use.
type Identity struct {
	db              *storage.DB
	log             *slog.Logger
	now             func() time.Time
	admins          []string // by id
	workspaceAdmins bool
	policy          kovra.Policy
	slack           Slack
	directory       Directory
	gitlab          GitLab
	oauth           *provider // nil: nobody connects

	self    *answers[string, kovra.Workspace]
	users   *answers[string, kovra.SlackUser]
	members *answers[string, roster] // of channels
	groups  *answers[string, roster]
	places  *answers[string, []string] // channels of people, sorted
	roles   *answers[roleKey, int]     // of people, asked with their own tokens
	levels  *answers[levelKey, int]    // of GitLab users, asked with the bot's token
	readers *answers[readerKey, bool]

	refreshing turns // one for each person
	spent      spent // states of sign-ins that are over
}

// New makes an Identity; it asks nobody yet.
func New(o Options) *Identity {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	i := &Identity{db: o.DB, log: o.Log, now: o.Now, policy: o.Policy, slack: o.Slack, directory: o.Directory, gitlab: o.GitLab}
	if o.OAuth != nil {
		i.oauth = newProvider(*o.OAuth, o.Now)
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
	i.members = newAnswers(o.Now, rememberedMembers, roster.weight, rosterOf(o.Slack.Members))
	i.places = newAnswers(o.Now, rememberedMembers, func(ids []string) int { return len(ids) + 1 }, sorted(o.Slack.ChannelsOf))
	i.groups = newAnswers(o.Now, rememberedMembers, roster.weight, rosterOf(o.Slack.GroupMembers))
	i.roles = newAnswers(o.Now, rememberedRoles, one, i.askRole)
	i.levels = newAnswers(o.Now, rememberedRoles, one, i.askLevel)
	i.readers = newAnswers(o.Now, rememberedRoles, one, i.askReader)
	return i
}

func one[V any](V) int { return 1 }

// roster is who is in a channel or user group.
type roster struct {
	ids    []string // sorted
	unseen bool     // it is gone, or the bot may not see it
}

func (r roster) weight() int { return len(r.ids) + 1 }

func (r roster) has(user string) bool { return holds(r.ids, user) }

// rosterOf asks for members. Nobody is known to be a member of what is gone or what the bot may not see, and that is
// remembered, too.
func rosterOf(ask func(context.Context, string) ([]string, error)) func(context.Context, string) (roster, error) {
	ask = sorted(ask)
	return func(ctx context.Context, of string) (roster, error) {
		ids, err := ask(ctx, of)
		if unknown(err) {
			return roster{unseen: true}, nil
		}
		return roster{ids: ids}, err
	}
}

func sorted(ask func(context.Context, string) ([]string, error)) func(context.Context, string) ([]string, error) {
	return func(ctx context.Context, of string) ([]string, error) {
		ids, err := ask(ctx, of)
		ids = slices.Clone(ids)
		slices.Sort(ids)
		return ids, err
	}
}

func unknown(err error) bool {
	kind := kovra.KindOf(err)
	return err != nil && (kind == kovra.NotFound || kind == kovra.Denied)
}

// ForgetChannel drops what is remembered of who is in a channel: somebody joined or left. user "" is everybody: it is another
// channel for all, or the bot itself came or went.
func (i *Identity) ForgetChannel(channel, user string) {
	i.members.forget(channel)
	if user == "" {
		i.places.forgetAll()
		return
	}
	i.places.forget(user)
}

// belongs refuses bots, people of other organisations and those who have left.
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
	switch {
	case u.Bot:
		return errBot()
	case u.Foreign || !agree(here, p, u):
		return errForeign()
	case u.Deleted:
		if err := i.Left(ctx, p.ID); err != nil {
			return err
		}
		return kovra.Errorf(kovra.Denied, "You have left this Slack workspace, so you may not do anything here any more.")
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
func cannotAsk(err error) error { return noAnswer("Slack", err) }

func noAnswer(peer string, err error) error {
	e := &kovra.Error{
		Kind:   kovra.Unavailable,
		Public: peer + " could not be asked whether you may do that. Please try again in a moment.",
		Err:    fmt.Errorf("ask %s: %w", strings.ToLower(peer), err),
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

// channels are those of subscriptions, once each. Direct messages are none: nobody has a right by them.
func channels(list []kovra.Subscription) []string {
	var out []string
	for _, s := range list {
		if !kovra.IsDirect(s.Channel) {
			out = append(out, s.Channel)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
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

// inAnyOf first looks at what is remembered, then asks for what is not, and
// before it says no it asks again for what is not certain any more. One channel that
// says yes is enough, also when another one cannot be asked.
func (i *Identity) inAnyOf(ctx context.Context, user string, channels []string) (bool, error) {
	for _, c := range channels {
		if r, ok := i.members.recall(c, trusted); ok && r.has(user) {
			return true, nil
		}
	}
	if ids, ok := i.places.recall(user, trusted); ok && slices.ContainsFunc(channels, func(c string) bool { return holds(ids, c) }) {
		return true, nil
	}
	if ids, told, err := i.whereIs(ctx, user, len(channels), certain); told || err != nil {
		return slices.ContainsFunc(channels, func(c string) bool { return holds(ids, c) }), err
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

// whereIs returns the channels that a person is in, where that is worth a question: of a few channels each is asked for its members, which
// answers for everybody for a while; more than that cost one question, however many they are. told is false for a few, and where Slack
// does not tell it of the person.
func (i *Identity) whereIs(ctx context.Context, user string, n int, age time.Duration) (ids []string, told bool, err error) {
	if n <= fewChannels {
		return nil, false, nil
	}
	ids, err = i.places.get(ctx, user, age)
	switch {
	case unknown(err):
		return nil, false, nil
	case err != nil:
		return nil, false, cannotAsk(err)
	}
	return ids, true, nil
}

// isIn reports whether the person is in a channel, as far as the bot can see it.
func (i *Identity) isIn(ctx context.Context, user, channel string, age time.Duration) (bool, error) {
	r, err := i.members.get(ctx, channel, age)
	if err != nil {
		return false, cannotAsk(err)
	}
	return r.has(user), nil
}

func holds(sorted []string, id string) bool {
	_, found := slices.BinarySearch(sorted, id)
	return found
}

// help says who can change what somebody may do. Names that Slack does not give now
// are left out, and all of them for who spoke in GitLab, where strangers may read the answer.
func (i *Identity) help(ctx context.Context, to kovra.Person) string {
	if to.GitLab.ID != 0 {
		return "You can ask an administrator of this bot."
	}
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
