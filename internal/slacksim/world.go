package slacksim

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// User is a person, or the bot.
type User struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	RealName     string `json:"real_name"`
	Email        string `json:"email,omitempty"`
	TeamID       string `json:"team_id"` // ours when empty; another one: an external person
	EnterpriseID string `json:"enterprise_id,omitempty"`
	IsAdmin      bool   `json:"is_admin,omitempty"`
	IsBot        bool   `json:"is_bot,omitempty"`
	Deleted      bool   `json:"deleted,omitempty"`
}

// Channel is a public or private channel, or a direct conversation.
type Channel struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Private   bool   `json:"private,omitempty"`
	Archived  bool   `json:"archived,omitempty"`
	ExtShared bool   `json:"ext_shared,omitempty"` // another organisation is in it
	// PendingExtShared: another organisation is invited.
	PendingExtShared bool `json:"pending_ext_shared,omitempty"`
	// OrgShared: a sister workspace of the same enterprise is in it.
	OrgShared bool     `json:"org_shared,omitempty"`
	Direct    bool     `json:"direct,omitempty"` // a conversation of the bot with Members
	Members   []string `json:"members"`          // user ids; the bot is a member only when it is listed
}

// channel is a Channel and what was said in it.
type channel struct {
	Channel
	msgs []*Message // parents and replies, oldest first
}

func (c *channel) has(user string) bool { return slices.Contains(c.Members, user) }

// sees says whether a person may look into the channel.
func (c *channel) sees(user string) bool {
	return c.has(user) || !c.Private && !c.Direct
}

// AddUser adds a person or replaces the one with that id.
func (s *Server) AddUser(u User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	setDefault(&u.TeamID, TeamID)
	setDefault(&u.RealName, u.Name)
	setDefault(&u.EnterpriseID, s.o.EnterpriseID)
	if s.users[u.ID] == nil {
		s.userOrder = append(s.userOrder, u.ID)
	}
	s.users[u.ID] = &u
	s.changed()
}

// SetUser changes a person, deactivates one for example, and sends user_change. It fails
// when there is no such person or the app does not take the event.
func (s *Server) SetUser(ctx context.Context, id string, f func(*User)) error {
	s.mu.Lock()
	old := s.users[id]
	if old == nil {
		s.mu.Unlock()
		return fmt.Errorf("user %s: %w", id, ErrNotThere)
	}
	u := *old
	f(&u)
	s.users[id] = &u
	s.changed()
	now := s.o.Now().Unix()
	event := map[string]any{"type": "user_change", "user": s.wireUser(&u), "cache_ts": now, "event_ts": s.newTS()}
	s.mu.Unlock()
	return s.Event(ctx, event)
}

// AddChannel adds a channel or replaces the one with that id; messages stay.
func (s *Server) AddChannel(c Channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addChannel(c)
}

func (s *Server) addChannel(c Channel) *channel {
	c.Members = slices.Clone(c.Members)
	old := s.channels[c.ID]
	if old == nil {
		old = &channel{}
		s.channels[c.ID] = old
		s.chanOrder = append(s.chanOrder, c.ID)
	}
	old.Channel = c
	s.changed()
	return old
}

// SetChannel changes a channel: archive it, share it, remove a member. Unknown
// channels are left alone.
func (s *Server) SetChannel(id string, f func(*Channel)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.channels[id]; c != nil {
		c.Members = slices.Clone(c.Members)
		f(&c.Channel)
		s.changed()
	}
}

// Invite makes a person or the bot (BotUserID) a member of a channel.
func (s *Server) Invite(channelID, userID string) {
	s.SetChannel(channelID, func(c *Channel) {
		if !slices.Contains(c.Members, userID) {
			c.Members = append(c.Members, userID)
		}
	})
}

// AddUserGroup adds a user group with its members.
func (s *Server) AddUserGroup(id string, members ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[id] = slices.Clone(members)
}

// Channel gives a channel by id.
func (s *Server) Channel(id string) (Channel, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[id]
	if c == nil {
		return Channel{}, false
	}
	out := c.Channel
	out.Members = slices.Clone(out.Members)
	return out, true
}

// ChannelByName gives the channel that is called so, with or without "#".
func (s *Server) ChannelByName(name string) (Channel, bool) {
	s.mu.Lock()
	id := ""
	for _, one := range s.chanOrder {
		if c := s.channels[one]; c.Name == strings.TrimPrefix(name, "#") && !c.Direct {
			id = one
		}
	}
	s.mu.Unlock()
	return s.Channel(id)
}

// UserByName gives the person that is called so, with or without "@".
func (s *Server) UserByName(name string) (User, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.userOrder {
		if u := s.users[id]; u.Name == strings.TrimPrefix(name, "@") {
			return *u, true
		}
	}
	return User{}, false
}

// direct gives the conversation of the bot with these people, made when missing.
func (s *Server) direct(users ...string) (c *channel, existed bool) {
	slices.Sort(users)
	id := "D" + strings.Join(users, "")
	if len(users) > 1 {
		id = "G" + strings.Join(users, "")
	}
	if c := s.channels[id]; c != nil {
		return c, true
	}
	return s.addChannel(Channel{ID: id, Direct: true, Members: append(users, BotUserID)}), false
}

// botChannel finds a channel as the bot sees it; the second result is Slack's
// refusal.
func (s *Server) botChannel(id string) (*channel, string) {
	c := s.channels[id]
	switch {
	case c == nil, c.Private && !c.has(BotUserID):
		return nil, "channel_not_found"
	case !c.has(BotUserID):
		return c, "not_in_channel"
	}
	return c, ""
}

// postChannel finds where to write: a channel by id or #name, or the direct
// conversation with a user id.
func (s *Server) postChannel(id string) (*channel, string) {
	if u := s.users[id]; u != nil && !u.IsBot {
		c, _ := s.direct(id)
		return c, ""
	}
	if name, named := strings.CutPrefix(id, "#"); named {
		for _, c := range s.channels {
			if c.Name == name && !c.Direct {
				id = c.ID
			}
		}
	}
	c, refusal := s.botChannel(id)
	if c != nil && refusal != "channel_not_found" && c.Archived {
		return nil, "is_archived"
	}
	if refusal != "" {
		return nil, refusal
	}
	return c, ""
}

func (s *Server) authTest(args) reply {
	out := reply{
		"url": "https://" + TeamDomain + ".slack.com/", "team": "Sim", "user": s.o.BotName,
		"team_id": TeamID, "user_id": BotUserID, "bot_id": BotID, "app_id": AppID, "is_enterprise_install": false,
	}
	if s.o.EnterpriseID != "" {
		out["enterprise_id"] = s.o.EnterpriseID
	}
	return ok(out)
}

func (s *Server) botsInfo(a args) reply {
	if a.str("bot") != BotID {
		return fail("bot_not_found")
	}
	return ok(reply{"bot": map[string]any{
		"id": BotID, "deleted": false, "name": s.o.BotName, "app_id": AppID, "user_id": BotUserID, "icons": map[string]any{},
	}})
}

func (s *Server) wireUser(u *User) map[string]any {
	out := map[string]any{
		"id": u.ID, "team_id": u.TeamID, "name": u.Name, "real_name": u.RealName, "deleted": u.Deleted,
		"is_bot": u.IsBot, "is_admin": u.IsAdmin, "is_owner": false, "is_primary_owner": false,
		"is_restricted": false, "is_ultra_restricted": false, "is_app_user": false, "tz": "Etc/UTC", "tz_offset": 0,
	}
	profile := map[string]any{
		"real_name": u.RealName, "display_name": u.Name, "team": u.TeamID,
		"real_name_normalized": u.RealName, "display_name_normalized": u.Name,
	}
	if s.granted(scopeEmail) && u.Email != "" {
		profile["email"] = u.Email
	}
	out["profile"] = profile
	if u.TeamID != TeamID {
		out["is_stranger"] = true
	}
	if u.EnterpriseID != "" {
		out["enterprise_user"] = map[string]any{"id": u.ID, "enterprise_id": u.EnterpriseID, "teams": []string{u.TeamID}}
	}
	return out
}

func (s *Server) usersInfo(a args) reply {
	u := s.users[a.str("user")]
	if u == nil {
		return fail("user_not_found")
	}
	return ok(reply{"user": s.wireUser(u)})
}

func (s *Server) usersLookupByEmail(a args) reply {
	email := a.str("email")
	for _, id := range s.userOrder {
		if u := s.users[id]; email != "" && strings.EqualFold(u.Email, email) && !u.Deleted {
			return ok(reply{"user": s.wireUser(u)})
		}
	}
	return fail("users_not_found")
}

func (s *Server) usersList(a args) reply {
	page, next, code := pageOf(s.userOrder, a, len(s.userOrder))
	if code != "" {
		return fail(code)
	}
	members := []any{}
	for _, id := range page {
		members = append(members, s.wireUser(s.users[id]))
	}
	return ok(reply{"members": members, "cache_ts": s.o.Now().Unix(), "response_metadata": map[string]any{"next_cursor": next}})
}

func (s *Server) usergroupsUsersList(a args) reply {
	members, known := s.groups[a.str("usergroup")]
	if !known {
		return fail("no_such_subteam")
	}
	return ok(reply{"users": members})
}

func (s *Server) wireChannel(c *channel) map[string]any {
	out := map[string]any{
		"id": c.ID, "name": c.Name, "name_normalized": c.Name, "created": 1, "creator": BotUserID,
		"is_channel": !c.Private && !c.Direct, "is_group": c.Private, "is_im": c.Direct && len(c.Members) <= 2,
		"is_mpim": c.Direct && len(c.Members) > 2, "is_private": c.Private || c.Direct, "is_archived": c.Archived,
		"is_general": false, "is_member": c.has(BotUserID), "num_members": len(c.Members), "context_team_id": TeamID,
		"topic":   map[string]any{"value": "", "creator": "", "last_set": 0},
		"purpose": map[string]any{"value": "", "creator": "", "last_set": 0},
	}
	c.addSharing(out)
	return out
}

func (s *Server) conversationsInfo(a args) reply {
	c, refusal := s.botChannel(a.str("channel"))
	if c == nil || refusal == "channel_not_found" {
		return fail("channel_not_found")
	}
	return ok(reply{"channel": s.wireChannel(c)})
}

func (s *Server) conversationsJoin(a args) reply {
	c := s.channels[a.str("channel")]
	switch {
	case c == nil, c.Private && !c.has(BotUserID):
		return fail("channel_not_found")
	case c.Private, c.Direct:
		return fail("method_not_supported_for_channel_type")
	case c.Archived:
		return fail("is_archived")
	case c.has(BotUserID):
		return ok(reply{
			"channel": s.wireChannel(c), "warning": "already_in_channel",
			"response_metadata": map[string]any{"warnings": []string{"already_in_channel"}},
		})
	}
	c.Members = append(slices.Clone(c.Members), BotUserID)
	s.changed()
	return ok(reply{"channel": s.wireChannel(c)})
}

func (s *Server) conversationsList(a args) reply {
	return s.listChannels(a, func(*channel) bool { return true }, func(map[string]any) {})
}

// usersConversations lists where somebody is, the bot if nobody is named. Of what is not public, only that where the bot is too.
func (s *Server) usersConversations(a args) reply {
	user := a.str("user")
	switch {
	case user == "":
		user = BotUserID
	case s.users[user] == nil && user != BotUserID:
		return fail("user_not_found")
	}
	return s.listChannels(a, func(c *channel) bool { return c.has(user) }, func(c map[string]any) {
		delete(c, "is_member") // of the caller, which is told elsewhere
		delete(c, "num_members")
	})
}

// listChannels is one page of the channels that the bot can see, of the types asked for.
func (s *Server) listChannels(a args, wanted func(*channel) bool, shape func(map[string]any)) reply {
	types := a.list("types")
	if len(types) == 0 {
		types = []string{"public_channel"}
	}
	var ids []string
	for _, id := range s.chanOrder {
		c := s.channels[id]
		seen := c.has(BotUserID) || c.kind() == "public_channel"
		if slices.Contains(types, c.kind()) && seen && (!c.Archived || !a.flag("exclude_archived")) && wanted(c) {
			ids = append(ids, id)
		}
	}
	page, next, code := pageOf(ids, a, 100)
	if code != "" {
		return fail(code)
	}
	list := []any{}
	for _, id := range page {
		c := s.wireChannel(s.channels[id])
		shape(c)
		list = append(list, c)
	}
	return ok(reply{"channels": list, "response_metadata": map[string]any{"next_cursor": next}})
}

func (c *channel) kind() string {
	switch {
	case c.Direct && len(c.Members) > 2:
		return "mpim"
	case c.Direct:
		return "im"
	case c.Private:
		return "private_channel"
	default:
		return "public_channel"
	}
}

func (s *Server) conversationsMembers(a args) reply {
	c, refusal := s.botChannel(a.str("channel"))
	if c == nil || refusal == "channel_not_found" {
		return fail("channel_not_found")
	}
	page, next, code := pageOf(c.Members, a, 100)
	if code != "" {
		return fail(code)
	}
	return ok(reply{"members": page, "response_metadata": map[string]any{"next_cursor": next}})
}

func (s *Server) conversationsOpen(a args) reply {
	if id := a.str("channel"); id != "" {
		c := s.channels[id]
		if c == nil || !c.Direct {
			return fail("channel_not_found")
		}
		return ok(reply{"channel": map[string]any{"id": c.ID}, "no_op": true, "already_open": true})
	}
	users := a.list("users")
	if len(users) == 0 {
		return fail("users_list_not_supplied")
	}
	for _, id := range users {
		if s.users[id] == nil {
			return fail("user_not_found")
		}
		if s.users[id].IsBot {
			return fail("cannot_dm_bot")
		}
		if s.users[id].Deleted {
			return fail("user_disabled")
		}
	}
	c, existed := s.direct(users...)
	out := reply{"channel": map[string]any{"id": c.ID}}
	if a.flag("return_im") {
		out["channel"] = s.wireChannel(c)
	}
	if existed {
		out["no_op"], out["already_open"] = true, true
	}
	return ok(out)
}

// pageOf cuts one page out of ids by limit and cursor. A cursor names the first
// entry of the next page.
func pageOf(ids []string, a args, def int) (page []string, next, code string) {
	start := 0
	if c := a.str("cursor"); c != "" {
		id, err := base64.StdEncoding.DecodeString(c)
		name, is := strings.CutPrefix(string(id), "next:")
		if start = slices.Index(ids, name); err != nil || !is || start < 0 {
			return nil, "", "invalid_cursor"
		}
	}
	limit := a.number("limit", def)
	if limit <= 0 || limit > 1000 {
		limit = max(def, 1)
	}
	end := min(start+limit, len(ids))
	if end < len(ids) {
		next = base64.StdEncoding.EncodeToString([]byte("next:" + ids[end]))
	}
	return slices.Clone(ids[start:end]), next, ""
}
