package identity

import (
	"context"
	"slices"

	"kovra.dev/chatops/internal/kovra"
)

// maxAdministrators bounds how many people are told at once what is wrong.
const maxAdministrators = 50

// Directory lists people.
type Directory interface {
	// Administrators returns the administrators and owners of the workspace, as far as a bounded look finds them.
	Administrators(ctx context.Context) ([]kovra.SlackUser, error)
}

// Administrators returns the Slack ids of those who administer the bot, at most fifty: those that were named first, then those of
// the workspace, where these are administrators, too. The error is Unavailable when Slack could not be asked.
func (i *Identity) Administrators(ctx context.Context) ([]string, error) {
	ids := slices.Clone(i.admins)
	if i.workspaceAdmins && i.directory != nil {
		found, err := i.directory.Administrators(ctx)
		if err != nil {
			return nil, noAnswer("Slack", err)
		}
		for _, u := range found {
			if u.Admin && !u.Bot && !u.Foreign && !u.Deleted && !slices.Contains(ids, u.ID) {
				ids = append(ids, u.ID)
			}
		}
	}
	return ids[:min(len(ids), maxAdministrators)], nil
}
