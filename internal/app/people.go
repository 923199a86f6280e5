package app

import (
	"context"
	"net/http"
	"time"

	"kovra.dev/chatops/bot"
	"kovra.dev/chatops/internal/dispatch"
	"kovra.dev/chatops/internal/gitlab"
	"kovra.dev/chatops/internal/identity"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/reconcile"
)

// people is the part of the program that knows who somebody is.
func (a *App) people(o Options, lab *gitlab.Client, slack *bot.Client) *identity.Identity {
	opts := identity.Options{
		Slack: slack, GitLab: roles{lab}, DB: a.db, Admins: a.admins(), Policy: a.cfg.Policy, Directory: slack, Log: a.log,
	}
	if a.cfg.OAuth() {
		opts.OAuth = &identity.OAuth{
			ClientID: a.cfg.OAuthClientID, ClientSecret: func() string { return a.live.Get().OAuthClientSecret.Reveal() },
			GitLabURL: a.cfg.GitLabURL, PublicURL: a.cfg.PublicURL, HTTP: a.transport("gitlab", o.GitLab),
		}
	}
	return identity.New(opts)
}

// connectURL is where people connect their accounts; nil: nobody does.
func (a *App) connectURL(people *identity.Identity) func(context.Context, kovra.Person) (string, error) {
	if !a.cfg.OAuth() {
		return nil
	}
	return people.ConnectURL
}

// roles is the GitLab client as identity wants to see it.
type roles struct{ bot *gitlab.Client }

// Self implements identity.GitLab.
func (r roles) Self(ctx context.Context, token string) (identity.GitLabSelf, error) {
	c, err := r.bot.As(token)
	if err != nil {
		return identity.GitLabSelf{}, err
	}
	u, err := c.Self(ctx)
	return identity.GitLabSelf{User: u.GitLabUser, Email: u.Email, Confirmed: u.Confirmed}, err
}

// Level implements identity.GitLab.
func (r roles) Level(ctx context.Context, token string, project int64) (int, error) {
	c, err := r.bot.As(token)
	if err != nil {
		return 0, err
	}
	return c.Level(ctx, project)
}

// MemberLevel implements identity.GitLab.
func (r roles) MemberLevel(ctx context.Context, project, user int64) (int, error) {
	return r.bot.MemberLevel(ctx, project, user)
}

// PublicEmail implements identity.GitLab.
func (r roles) PublicEmail(ctx context.Context, user int64) (string, error) {
	u, err := r.bot.User(ctx, user)
	return u.PublicEmail, err
}

// MayReadLogs implements identity.GitLab.
func (r roles) MayReadLogs(ctx context.Context, token string, project, job int64) (bool, error) {
	c, err := r.bot.As(token)
	if err != nil {
		return false, err
	}
	return c.MayReadLogs(ctx, project, job)
}

// hands is GitLab as people may use it.
type hands struct {
	people *identity.Identity
	world  gitlabWorld
}

// own is GitLab as one person may use it.
type own struct {
	gitlabWorld
	user kovra.GitLabUser
}

// of returns GitLab as the person may use it.
func (h hands) of(ctx context.Context, p kovra.Person) (own, error) {
	who, err := h.people.Account(ctx, p)
	if err != nil {
		return own{}, err
	}
	token, err := h.people.Token(ctx, who.Slack)
	if err != nil {
		return own{}, err
	}
	w := own{h.world, who.GitLab}
	w.Client, err = h.world.As(token)
	return w, err
}

// As implements dispatch.Hands.
func (h hands) As(ctx context.Context, p kovra.Person) (dispatch.Hand, error) {
	w, err := h.of(ctx, p)
	if err != nil {
		return dispatch.Hand{}, err
	}
	return dispatch.Hand{Controls: w, Links: w, User: w.user, Own: true}, nil
}

// Lost implements dispatch.Hands.
func (h hands) Lost(ctx context.Context, p kovra.Person) error {
	who, err := h.people.Account(ctx, p)
	if kovra.KindOf(err) == kovra.Unconnected {
		return nil
	}
	if err != nil {
		return err
	}
	return h.people.Lost(ctx, who.Slack)
}

// search is what type-ahead fields read: projects as the person may see them, where they have an account.
type search struct {
	*gitlab.Client
	hands *hands // nil: everything is read with the bot's account
}

func (a *App) search(lab *gitlab.Client, people *identity.Identity) search {
	s := search{Client: lab}
	if a.cfg.OAuth() {
		s.hands = &hands{people: people, world: newGitLabWorld(lab, a.db, a.live)}
	}
	return s
}

// SearchProjects implements bot.GitLab.
func (s search) SearchProjects(ctx context.Context, p kovra.Person, query string, limit int) ([]kovra.Project, error) {
	if s.hands == nil {
		return s.Client.SearchProjects(ctx, query, limit)
	}
	own, err := s.hands.of(ctx, p)
	if err != nil {
		return nil, err
	}
	return own.SearchProjects(ctx, query, limit)
}

// answers gives an answer where it was asked for: in Slack, or in a merge request.
type answers struct {
	slack  reconcile.Reconciler[int64]
	gitlab dispatch.Replies
}

// Reconcile implements reconcile.Reconciler.
func (a answers) Reconcile(ctx context.Context, id int64) (after time.Duration, err error) {
	there, err := a.gitlab.Reply(ctx, id)
	if there || err != nil {
		return 0, err
	}
	return a.slack.Reconcile(ctx, id)
}

// signIn adds the pages on which people connect.
func (a *App) signIn(mux *http.ServeMux, people *identity.Identity) {
	if a.cfg.OAuth() {
		mux.Handle("/oauth/gitlab/", people.Handler())
	}
}
