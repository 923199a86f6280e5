package identity

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// GitLab is what identity asks GitLab. The errors have kinds; Denied with [kovra.ErrToken] as its cause
// means that the token given is not accepted.
type GitLab interface {
	// Self returns whose token it is.
	Self(ctx context.Context, token string) (GitLabSelf, error)
	// Level is the role in a project of whoever has the token, inherited ones included; 0: none.
	Level(ctx context.Context, token string, project int64) (int, error)
	// MemberLevel is the role of a user in a project, inherited ones included, as the bot sees it; 0: none.
	MemberLevel(ctx context.Context, project, user int64) (int, error)
	// PublicEmail is the address that a user shows to all, which GitLab has confirmed; "": none.
	PublicEmail(ctx context.Context, user int64) (string, error)
	// MayReadLogs reports whether whoever has the token may see the log of a job; job 0: of the jobs of the project.
	MayReadLogs(ctx context.Context, token string, project, job int64) (bool, error)
}

// GitLabSelf is what GitLab says to the owner of a token.
type GitLabSelf struct {
	User      kovra.GitLabUser
	Email     string // the primary address
	Confirmed bool   // GitLab knows that the address is theirs
}

// absent reports whether GitLab says that there is no such thing for whoever asks.
func absent(err error) bool { return unknown(err) && !errors.Is(err, kovra.ErrToken) }

// GitLab's numbers of roles.
const (
	reporter   = 20
	developer  = 30
	maintainer = 40
)

var roleNames = map[int]string{0: "none", 5: "Minimal access", 10: "Guest", 15: "Planner", reporter: "Reporter", developer: "Developer", maintainer: "Maintainer", 50: "Owner", 60: "Administrator"}

func roleName(level int) string {
	if name := roleNames[level]; name != "" {
		return name
	}
	return "number " + strconv.Itoa(level)
}

// connected returns a person's account; false: they are not connected, or their tokens cannot be read any more.
func (i *Identity) connected(ctx context.Context, slackUser string) (a kovra.Account, yes bool, err error) {
	err = i.db.Read(ctx, func(tx *storage.Tx) error {
		if a, err = tx.Account(slackUser); err != nil || !a.Connected() {
			return err
		}
		_, yes, err = tx.Tokens(slackUser)
		return err
	})
	return a, yes, err
}

// Account returns the account with which a person acts, whether they spoke in Slack or in GitLab. The error is
// Unconnected when they have none.
func (i *Identity) Account(ctx context.Context, p kovra.Person) (kovra.Account, error) {
	slackUser := p.ID
	if slackUser == "" && p.GitLab.ID != 0 {
		err := i.db.Read(ctx, func(tx *storage.Tx) error {
			a, _, err := tx.AccountOf(p.GitLab.ID)
			slackUser = a.Slack
			return err
		})
		if err != nil {
			return kovra.Account{}, err
		}
	}
	a, yes, err := i.connected(ctx, slackUser)
	if err == nil && !yes {
		err = errUnconnected()
	}
	return a, err
}

// errUnconnected asks a person to connect.
func errUnconnected() error {
	return kovra.Errorf(kovra.Unconnected, "Connect your GitLab account first: type /kovra connect in Slack.")
}

// account returns the account of the one who asks, or the error Unconnected.
func (i *Identity) account(ctx context.Context, q question) (kovra.Account, error) {
	a, yes, err := i.connected(ctx, q.who.ID)
	switch {
	case err != nil:
		return a, err
	case !yes:
		q.say("You have not connected a GitLab account.")
		return a, errUnconnected()
	}
	q.say("You are connected as @%s.", a.GitLab.Username)
	return a, nil
}

// roleKey is one person in one project. A person who connects another account is another key.
type roleKey struct {
	slack           string
	gitlab, project int64
}

// role returns the role of a person in a project. One that is not enough is asked for anew if it is not certain any more.
func (i *Identity) role(ctx context.Context, slackUser string, a kovra.Account, project int64, least int) (int, error) {
	key := roleKey{slack: slackUser, gitlab: a.GitLab.ID, project: project}
	return enough(ctx, i.roles, key, least)
}

func enough[K comparable](ctx context.Context, a *answers[K, int], key K, least int) (int, error) {
	level, err := a.get(ctx, key, trusted)
	if err != nil || level >= least {
		return level, err
	}
	return a.get(ctx, key, certain)
}

// askRole asks GitLab with the person's own token. A token that is not accepted is the end of the connection.
func (i *Identity) askRole(ctx context.Context, key roleKey) (int, error) {
	token, err := i.Token(ctx, key.slack)
	if err != nil {
		return 0, err
	}
	level, err := i.gitlab.Level(ctx, token, key.project)
	switch {
	case errors.Is(err, kovra.ErrToken):
		if err := i.Lost(ctx, key.slack); err != nil {
			return 0, err
		}
		return 0, errUnconnected()
	case unknown(err):
		return 0, nil
	case err != nil:
		return 0, noAnswer("GitLab", err)
	}
	return level, nil
}

// levelKey is one GitLab user in one project.
type levelKey struct{ project, user int64 }

func (i *Identity) askLevel(ctx context.Context, key levelKey) (int, error) {
	level, err := i.gitlab.MemberLevel(ctx, key.project, key.user)
	if absent(err) {
		return 0, nil
	}
	if err != nil {
		return 0, noAnswer("GitLab", err)
	}
	return level, nil
}

// decideAuthor is for somebody who spoke in GitLab.
func (i *Identity) decideAuthor(ctx context.Context, q question) error {
	author := q.who.GitLab
	switch {
	case author.Bot():
		return errBot()
	case i.gitlab == nil:
		return kovra.Errorf(kovra.Denied, "Comments act for nobody here. Ask me in Slack.")
	case i.oauth != nil:
		return i.decideConnected(ctx, q)
	case q.need == kovra.MaySelf:
		return nil
	case q.need == kovra.MayOwn:
		return kovra.Errorf(kovra.Denied, "Only administrators of this bot may do that, in Slack.")
	}
	of, err := i.appOf(ctx, q.app)
	if err != nil {
		return err
	}
	least := map[kovra.Permission]int{kovra.MayRead: reporter, kovra.MayAct: developer}[q.need.Level()]
	if least == 0 {
		least = maintainer
	}
	level := 0
	if of.project.ID != 0 {
		if level, err = enough(ctx, i.levels, levelKey{of.project.ID, author.ID}, least); err != nil {
			return err
		}
	}
	q.say("Your role in its GitLab project: %s; %s is needed.", roleName(level), roleName(least))
	if level < least {
		return tooLow(q.app, level, least)
	}
	return i.narrowAuthor(ctx, q)
}

// narrowAuthor applies the policy to the Slack user whom the author of a comment is.
func (i *Identity) narrowAuthor(ctx context.Context, q question) error {
	if len(i.policy.Rules) == 0 {
		return nil
	}
	m, err := i.Match(ctx, q.who.GitLab)
	if err != nil {
		return err
	}
	if m.Slack == "" {
		if err := i.perhapsMeant(ctx, q); err != nil {
			return err
		}
	}
	return i.narrow(ctx, q, m.Slack)
}

// perhapsMeant refuses somebody of whom it is not known who they are in Slack, where a rule may mean them that would take away what
// they ask for: what may not be done in Slack may not be done by a comment. A person whom the table gives another
// GitLab account is not meant.
func (i *Identity) perhapsMeant(ctx context.Context, q question) error {
	for _, r := range i.policy.Rules {
		if !r.Covers(q.app) {
			continue
		}
		about := slices.DeleteFunc(slices.Clone(r.Who), func(who string) bool { return i.policy.GitLabUserOf(who) != "" })
		if len(about) > 0 && !r.Leaves(q.need) {
			return kovra.Errorf(kovra.Denied, "It is not known who you are in Slack, and the policy of this bot (its line %d) may be about you. "+
				"The policy can name you under people. %s", r.Line, i.help(ctx, q.who))
		}
		if slices.Contains(about, kovra.Everyone) {
			return nil
		}
	}
	return nil
}

// decideConnected decides for the Slack user who has connected the author's account.
func (i *Identity) decideConnected(ctx context.Context, q question) error {
	var a kovra.Account
	var known bool
	err := i.db.Read(ctx, func(tx *storage.Tx) (err error) {
		a, known, err = tx.AccountOf(q.who.GitLab.ID)
		return err
	})
	if err != nil {
		return err
	}
	if !known {
		q.say("Nobody in Slack has connected this GitLab account.")
		return errUnconnected()
	}
	q.who.ID = a.Slack
	if err := i.belongs(ctx, q.who); err != nil {
		return err
	}
	return i.decideKnown(ctx, q)
}
