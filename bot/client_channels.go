package bot

import (
	"context"
	"errors"
	"time"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
)

const (
	// channelsPage is how many channels one page has; Slack gives at most 999.
	channelsPage = 999
	// channelsPatience bounds the pauses that Slack asks for while channels are listed: it lets twenty pages a minute pass.
	channelsPatience = 2 * time.Minute
)

// Channels returns the names, without #, of all channels by id that the bot can see: public ones, and private ones that it
// is in, but none that is archived. It waits when Slack asks it to, so it is for those who have time.
func (c *Client) Channels(ctx context.Context) (map[string]string, error) {
	names := map[string]string{}
	m := slackCall{name: "conversations.list", timeout: callTimeout}
	ask := &slack.GetConversationsParameters{Types: []string{"public_channel", "private_channel"}, ExcludeArchived: true, Limit: channelsPage}
	until := c.now().Add(channelsPatience)
	for range maxPages {
		var page []slack.Channel
		var next string
		err := c.do(ctx, m, func(ctx context.Context) (err error) {
			page, next, err = c.api().GetConversationsContext(ctx, ask)
			return err
		})
		if e, busy := errors.AsType[*kovra.Error](err); busy && e.Retry > 0 && c.now().Add(e.Retry).Before(until) && pause(ctx, e.Retry) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, ch := range page {
			names[ch.ID] = ch.Name
		}
		if next == "" {
			return names, nil
		}
		ask.Cursor = next
	}
	return nil, m.lost(errors.New("too many channels"))
}

// pause waits; false: ctx has ended meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
