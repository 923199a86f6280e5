package slacksim

import "slices"

// Snapshot is everything that one person's Slack shows, for a page to draw.
type Snapshot struct {
	Me         User          `json:"me"`
	Bot        User          `json:"bot"`
	Users      []User        `json:"users"`
	Channels   []ChannelPage `json:"channels"`
	Ephemerals []Message     `json:"ephemerals"` // of all channels, oldest first
	Views      []View        `json:"views"`      // open modals, the one in front last
	Home       *View         `json:"home,omitempty"`
	Now        int64         `json:"now"` // Unix seconds of the workspace's clock
}

// ChannelPage is one channel with its messages.
type ChannelPage struct {
	Channel
	Messages []MessagePage `json:"messages"`
}

// MessagePage is a message listed in a channel, with its replies and its text.
type MessagePage struct {
	Message
	Plain  string    `json:"plain"` // as Text gives it
	Thread []Message `json:"thread"`
}

// Snapshot gives what a person sees now. Channels that the person cannot see
// are left out.
func (s *Server) Snapshot(userID string) Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Snapshot{Bot: *s.users[BotUserID], Now: s.o.Now().Unix(), Ephemerals: []Message{}, Views: []View{}}
	for _, id := range s.userOrder {
		out.Users = append(out.Users, *s.users[id])
	}
	if u := s.users[userID]; u != nil {
		out.Me = *u
	}
	for _, id := range s.chanOrder {
		if c := s.channels[id]; c.sees(userID) {
			out.Channels = append(out.Channels, s.pageFor(c))
		}
	}
	for _, m := range s.ephemerals[userID] {
		out.Ephemerals = append(out.Ephemerals, s.out(m))
	}
	for _, id := range s.stacks[userID] {
		out.Views = append(out.Views, s.outView(s.views[id]))
	}
	if v := s.views[s.homes[userID]]; v != nil {
		home := s.outView(v)
		out.Home = &home
	}
	return out
}

func (s *Server) pageFor(c *channel) ChannelPage {
	page := ChannelPage{Channel: c.Channel, Messages: []MessagePage{}}
	page.Members = slices.Clone(c.Members)
	for _, m := range s.listed(c.ID) {
		one := MessagePage{Message: s.out(m), Thread: []Message{}}
		one.Plain = Text(one.Message)
		for _, r := range c.replies(m.TS) {
			one.Thread = append(one.Thread, s.out(r))
		}
		page.Messages = append(page.Messages, one)
	}
	return page
}
