package bot

import (
	"context"
	"errors"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
)

// User returns what Slack says of a person.
func (c *Client) User(ctx context.Context, id string) (kovra.SlackUser, error) {
	return c.person(ctx, "users.info", func(ctx context.Context) (*slack.User, error) { return c.api().GetUserInfoContext(ctx, id) })
}

// UserByEmail returns the person who has that e-mail address.
func (c *Client) UserByEmail(ctx context.Context, email string) (kovra.SlackUser, error) {
	return c.person(ctx, "users.lookupByEmail", func(ctx context.Context) (*slack.User, error) { return c.api().GetUserByEmailContext(ctx, email) })
}

func (c *Client) person(ctx context.Context, method string, ask func(context.Context) (*slack.User, error)) (kovra.SlackUser, error) {
	self, err := c.Self(ctx)
	if err != nil {
		return kovra.SlackUser{}, err
	}
	var u *slack.User
	err = c.do(ctx, boundedRead(method, ""), func(ctx context.Context) (err error) {
		u, err = ask(ctx)
		return err
	})
	if err != nil {
		return kovra.SlackUser{}, err
	}
	return personOf(self, u), nil
}

func personOf(self kovra.Workspace, u *slack.User) kovra.SlackUser {
	name := u.Profile.DisplayName
	for _, other := range []string{u.RealName, u.Name} {
		if name == "" {
			name = other
		}
	}
	return kovra.SlackUser{
		ID: u.ID, Name: name, Team: u.TeamID, Enterprise: u.Enterprise.EnterpriseID,
		Admin:   u.IsAdmin || u.IsOwner || u.IsPrimaryOwner,
		Bot:     u.IsBot || u.IsWorkflowBot || u.IsConnectorBot,
		Foreign: !self.Knows(u.TeamID, u.Enterprise.EnterpriseID),
		Deleted: u.Deleted, Email: u.Profile.Email,
	}
}

// Members returns the user ids of all members of a channel. The error is of kind NotFound or Denied where Slack does not say who
// is in just this one: it is gone, or out of the bot's reach, or a direct message.
func (c *Client) Members(ctx context.Context, channel string) ([]string, error) {
	var all []string
	m := boundedRead("conversations.members", channel)
	params := &slack.GetUsersInConversationParameters{ChannelID: channel, Limit: 5 * pageSize}
	for range maxPages {
		var page []string
		direct := false
		err := c.do(ctx, m, func(ctx context.Context) (err error) {
			page, params.Cursor, err = c.api().GetUsersInConversationContext(ctx, params)
			direct = isDirect(err)
			return err
		})
		if refused, ok := errors.AsType[*Refusal](err); ok && (direct || refused.ofChannel()) && kovra.KindOf(err) != kovra.NotFound {
			return nil, &kovra.Error{Kind: kovra.Denied, Public: kovra.PublicText(err), Err: err}
		}
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if params.Cursor == "" {
			return all, nil
		}
	}
	return nil, m.lost(errors.New("too many members"))
}

// ChannelsOf returns the ids of the channels that a person is in: public ones, and private ones that the bot is in too, but none
// that is archived.
func (c *Client) ChannelsOf(ctx context.Context, user string) ([]string, error) {
	var all []string
	m := boundedRead("users.conversations", "")
	ask := &slack.GetConversationsForUserParameters{
		UserID: user, Types: []string{"public_channel", "private_channel"}, ExcludeArchived: true, Limit: channelsPage,
	}
	for range maxPages {
		var page []slack.Channel
		err := c.do(ctx, m, func(ctx context.Context) (err error) {
			page, ask.Cursor, err = c.api().GetConversationsForUserContext(ctx, ask)
			return err
		})
		if err != nil {
			return nil, err
		}
		for i := range page {
			all = append(all, page[i].ID)
		}
		if ask.Cursor == "" {
			return all, nil
		}
	}
	return nil, m.lost(errors.New("too many channels"))
}

// GroupMembers returns the user ids of all members of a user group.
func (c *Client) GroupMembers(ctx context.Context, group string) (ids []string, err error) {
	err = c.do(ctx, boundedRead("usergroups.users.list", ""), func(ctx context.Context) (err error) {
		ids, err = c.api().GetUserGroupMembersContext(ctx, group)
		return err
	})
	return ids, err
}

// Bounds of a look through all people of a workspace.
const (
	peopleAtOnce = 500
	peoplePages  = 20
)

// Administrators returns the administrators and owners of the workspace who have not left, among its first ten thousand people.
func (c *Client) Administrators(ctx context.Context) ([]kovra.SlackUser, error) {
	self, err := c.Self(ctx)
	if err != nil {
		return nil, err
	}
	var admins []kovra.SlackUser
	list := c.api().GetUsersPaginated(slack.GetUsersOptionLimit(peopleAtOnce), slack.GetUsersOptionIncludeLocale(false))
	for range peoplePages {
		over := false
		err := c.do(ctx, slackCall{name: "users.list", timeout: callTimeout}, func(ctx context.Context) error {
			next, err := list.Next(ctx)
			if over = list.Done(err); over {
				return nil
			}
			if err == nil {
				list = next
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		if over {
			break
		}
		for i := range list.Users {
			if p := personOf(self, &list.Users[i]); p.Admin && !p.Bot && !p.Deleted {
				admins = append(admins, p)
			}
		}
	}
	return admins, nil
}
