package app

import (
	"context"
	"errors"

	"kovra.dev/chatops/bot"
)

// channels is the Slack client as dispatch wants to see it.
type channels struct{ *bot.Client }

// Join implements dispatch.Channels. Only a public channel can be entered; where that
// is refused the bot may be a member all the same, because somebody invited it.
func (c channels) Join(ctx context.Context, channel string) (bool, error) {
	err := c.Client.Join(ctx, channel)
	if err == nil {
		return true, nil
	}
	if _, refused := errors.AsType[*bot.Refusal](err); !refused {
		return false, err
	}
	member, err := c.Member(ctx, channel)
	if _, refused := errors.AsType[*bot.Refusal](err); refused {
		return false, nil
	}
	return member, err
}
