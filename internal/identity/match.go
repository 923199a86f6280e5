package identity

import (
	"context"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// How it became known who a GitLab user is in Slack.
const (
	howConnected = "connected"
	howTable     = "table"
	howEmail     = "e-mail"
)

// Match looks for the Slack user of a GitLab user: who has connected it, else whom the policy's table of people names, else
// who has the e-mail address that GitLab shows of it. A Match without a Slack user means that there is none. The
// error is Unavailable when Slack or GitLab could not be asked.
func (i *Identity) Match(ctx context.Context, u kovra.GitLabUser) (kovra.Match, error) {
	m := kovra.Match{GitLab: u.ID, CheckedAt: i.now()}
	if u.ID == 0 || u.Bot() {
		return m, nil
	}
	var a kovra.Account
	var known bool
	err := i.db.Read(ctx, func(tx *storage.Tx) (err error) {
		a, known, err = tx.AccountOf(u.ID)
		return err
	})
	if err != nil {
		return m, err
	}
	if known {
		m.Slack, m.How = a.Slack, howConnected
		return m, nil
	}
	if slack := i.policy.SlackUserOf(u.Username); slack != "" {
		m.Slack, m.How = slack, howTable
		return m, nil
	}
	return i.matchEmail(ctx, m)
}

func (i *Identity) matchEmail(ctx context.Context, m kovra.Match) (kovra.Match, error) {
	if i.gitlab == nil {
		return m, nil
	}
	email, err := i.gitlab.PublicEmail(ctx, m.GitLab)
	switch {
	case absent(err):
		return m, nil
	case err != nil:
		return m, noAnswer("GitLab", err)
	case email == "":
		return m, nil
	}
	u, err := i.slack.UserByEmail(ctx, email)
	switch {
	case unknown(err):
		return m, nil
	case err != nil:
		return m, cannotAsk(err)
	case u.Bot || u.Deleted || u.Foreign || u.ID == "":
		return m, nil
	case i.policy.GitLabUserOf(u.ID) != "": // the table names another account for them
		return m, nil
	}
	m.Slack, m.How = u.ID, howEmail
	return m, nil
}
