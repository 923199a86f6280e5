package slacksim

import (
	"context"
	"fmt"
)

// Ids of workspaces that channels are shared with.
const (
	OtherTeamID  = "T0OTHER"  // of another organisation
	SisterTeamID = "T0SISTER" // of the same enterprise
)

// Share lets another organisation into a channel, as Slack Connect does, and sends the
// event to the app. It fails when there is no such channel or the app does not take the
// event.
func (s *Server) Share(ctx context.Context, channelID string) error {
	return s.connect(ctx, channelID, true, map[string]any{"type": "channel_shared", "connected_team_id": OtherTeamID})
}

// Unshare ends that, and sends the event.
func (s *Server) Unshare(ctx context.Context, channelID string) error {
	return s.connect(ctx, channelID, false, map[string]any{
		"type": "channel_unshared", "previously_connected_team_id": OtherTeamID, "is_ext_shared": false,
	})
}

func (s *Server) connect(ctx context.Context, channelID string, shared bool, event map[string]any) error {
	if _, known := s.Channel(channelID); !known {
		return fmt.Errorf("there is no channel %s", channelID)
	}
	s.SetChannel(channelID, func(c *Channel) { c.ExtShared, c.PendingExtShared = shared, false })
	event["channel"] = channelID
	s.mu.Lock()
	event["event_ts"] = fmt.Sprintf("%d.000100", s.o.Now().Unix())
	s.mu.Unlock()
	return s.Event(ctx, event)
}

// addSharing says in a conversation object with whom the channel is shared.
func (c *channel) addSharing(out map[string]any) {
	teams, inside, connected, invited := []string{TeamID}, []string{}, []string{}, []string{}
	if c.OrgShared {
		teams, inside = append(teams, SisterTeamID), []string{TeamID, SisterTeamID}
	}
	if c.ExtShared {
		teams, connected = append(teams, OtherTeamID), []string{OtherTeamID}
	}
	if c.PendingExtShared {
		invited = []string{OtherTeamID}
	}
	out["is_shared"] = c.ExtShared || c.OrgShared
	out["is_ext_shared"], out["is_org_shared"], out["is_pending_ext_shared"] = c.ExtShared, c.OrgShared, c.PendingExtShared
	out["shared_team_ids"], out["pending_shared"], out["pending_connected_team_ids"] = teams, invited, invited
	if c.OrgShared || c.ExtShared {
		out["internal_team_ids"], out["connected_team_ids"] = inside, connected
	}
}
