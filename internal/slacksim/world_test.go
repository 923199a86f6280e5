package slacksim_test

import (
	"net/url"
	"slices"
	"testing"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/slacksim"
)

func TestConversations(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	info, err := w.api.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: "C3"})
	if err != nil || info.IsMember || info.Name != "other" {
		t.Errorf("info: %+v, %v", info, err)
	}
	if _, _, _, err := w.api.JoinConversationContext(ctx, "C3"); err != nil {
		t.Fatal(err)
	}
	if c, _ := w.Channel("C3"); !slices.Contains(c.Members, slacksim.BotUserID) {
		t.Error("the bot did not join")
	}
	if _, warning, _, err := w.api.JoinConversationContext(ctx, "C3"); err != nil || warning != "already_in_channel" {
		t.Errorf("join again: %q, %v", warning, err)
	}
	refused(t, w.call(t, "conversations.join", url.Values{"channel": {"C4"}}), "channel_not_found")
	refused(t, w.call(t, "conversations.join", url.Values{"channel": {"C2"}}), "method_not_supported_for_channel_type")
	refused(t, w.call(t, "conversations.info", url.Values{"channel": {"C4"}}), "channel_not_found")
	refused(t, w.call(t, "conversations.members", url.Values{"channel": {"C4"}}), "channel_not_found")
	w.SetChannel("C3", func(c *slacksim.Channel) { c.Archived = true })
	refused(t, w.call(t, "conversations.join", url.Values{"channel": {"C3"}}), "is_archived")
}

func TestListsHaveCursors(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	var got []string
	p := &slack.GetUsersInConversationParameters{ChannelID: "C1", Limit: 1}
	for {
		ids, next, err := w.api.GetUsersInConversationContext(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, ids...); next == "" {
			break
		}
		p.Cursor = next
	}
	if want := []string{"U1", "U2", slacksim.BotUserID}; !slices.Equal(got, want) {
		t.Errorf("members: %v, want %v", got, want)
	}
	list, next, err := w.api.GetConversationsContext(ctx, &slack.GetConversationsParameters{Types: []string{"public_channel", "private_channel"}, Limit: 2})
	if err != nil || len(list) != 2 || next == "" || list[1].ID != "C2" {
		t.Errorf("channels: %v %q %v", list, next, err)
	}
	users, err := w.api.GetUsersContext(ctx, slack.GetUsersOptionLimit(1))
	if err != nil || len(users) != 3 {
		t.Errorf("users: %v, %v", users, err)
	}
	refused(t, w.call(t, "users.list", url.Values{"cursor": {"!"}}), "invalid_cursor")
}

// TestUsersConversations: of what is not public only that where the bot is too, in pages.
func TestUsersConversations(t *testing.T) {
	w := newWorld(t)
	w.AddChannel(slacksim.Channel{ID: "C5", Name: "old", Archived: true, Members: []string{"U1"}})
	w.AddChannel(slacksim.Channel{ID: "DU1", Direct: true, Members: []string{"U1", slacksim.BotUserID}})
	list := func(p slack.GetConversationsForUserParameters) (ids []string) {
		t.Helper()
		for {
			page, next, err := w.api.GetConversationsForUserContext(t.Context(), &p)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range page {
				ids = append(ids, c.ID)
			}
			if next == "" {
				return ids
			}
			p.Cursor = next
		}
	}
	both := []string{"public_channel", "private_channel"}
	for _, tt := range []struct {
		p    slack.GetConversationsForUserParameters
		want []string
	}{
		{slack.GetConversationsForUserParameters{UserID: "U1", Types: both, ExcludeArchived: true, Limit: 1}, []string{"C1", "C2", "C3"}},
		{slack.GetConversationsForUserParameters{UserID: "U1"}, []string{"C1", "C3", "C5"}},
		{slack.GetConversationsForUserParameters{UserID: "U1", Types: []string{"im"}}, []string{"DU1"}},
		{slack.GetConversationsForUserParameters{UserID: "U2", Types: both}, []string{"C1"}},
		{slack.GetConversationsForUserParameters{Types: both}, []string{"C1", "C2"}},
	} {
		if got := list(tt.p); !slices.Equal(got, tt.want) {
			t.Errorf("%+v: got %v, want %v", tt.p, got, tt.want)
		}
	}
	refused(t, w.call(t, "users.conversations", url.Values{"user": {"U404"}}), "user_not_found")
	refused(t, w.call(t, "users.conversations", url.Values{"user": {"U1"}, "cursor": {"!"}}), "invalid_cursor")
}

func TestUsersAndGroups(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	u, err := w.api.GetUserInfoContext(ctx, "U2")
	if err != nil || u.Name != "bob" || !u.IsAdmin || u.TeamID != slacksim.TeamID {
		t.Errorf("info: %+v, %v", u, err)
	}
	u, err = w.api.GetUserByEmailContext(ctx, "ALICE@example.org")
	if err != nil || u.ID != "U1" || u.Profile.Email != "alice@example.org" {
		t.Errorf("by e-mail: %+v, %v", u, err)
	}
	w.AddUser(slacksim.User{ID: "U7", Name: "eve", TeamID: "T9"})
	if u, err = w.api.GetUserInfoContext(ctx, "U7"); err != nil || !u.IsStranger || u.TeamID != "T9" {
		t.Errorf("external: %+v, %v", u, err)
	}
	w.AddUserGroup("S1", "U1", "U2")
	if ids, err := w.api.GetUserGroupMembersContext(ctx, "S1"); err != nil || !slices.Equal(ids, []string{"U1", "U2"}) {
		t.Errorf("group: %v, %v", ids, err)
	}
	b, err := w.api.GetBotInfoContext(ctx, slack.GetBotInfoParameters{Bot: slacksim.BotID})
	if err != nil || b.AppID != slacksim.AppID {
		t.Errorf("bot: %+v, %v", b, err)
	}
	refused(t, w.call(t, "users.info", url.Values{"user": {"U404"}}), "user_not_found")
	refused(t, w.call(t, "users.lookupByEmail", url.Values{"email": {"x@y"}}), "users_not_found")
	refused(t, w.call(t, "usergroups.users.list", url.Values{"usergroup": {"S2"}}), "no_such_subteam")
	refused(t, w.call(t, "bots.info", url.Values{"bot": {"B2"}}), "bot_not_found")
}

func TestConversationsOpen(t *testing.T) {
	w := newWorld(t)
	c, _, already, err := w.api.OpenConversationContext(t.Context(), &slack.OpenConversationParameters{Users: []string{"U1"}})
	if err != nil || already || c.ID != "DU1" {
		t.Fatalf("got %+v, %v, %v", c, already, err)
	}
	_, _, already, err = w.api.OpenConversationContext(t.Context(), &slack.OpenConversationParameters{Users: []string{"U1"}})
	if err != nil || !already {
		t.Errorf("again: %v, %v", already, err)
	}
	refused(t, w.call(t, "conversations.open", nil), "users_list_not_supplied")
	refused(t, w.call(t, "conversations.open", url.Values{"users": {"U404"}}), "user_not_found")
	refused(t, w.call(t, "conversations.open", url.Values{"users": {slacksim.BotUserID}}), "cannot_dm_bot")
	refused(t, w.call(t, "conversations.open", url.Values{"channel": {"D404"}}), "channel_not_found")
}

func TestByName(t *testing.T) {
	w := newWorld(t)
	if c, is := w.ChannelByName("#deploys"); !is || c.ID != "C1" {
		t.Errorf("got %+v", c)
	}
	if u, is := w.UserByName("@bob"); !is || u.ID != "U2" {
		t.Errorf("got %+v", u)
	}
	if _, is := w.ChannelByName("nowhere"); is {
		t.Error("a channel that is not there")
	}
	if _, is := w.UserByName("nobody"); is {
		t.Error("a person who is not there")
	}
}
