package bot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// channelTrust is how long an answer of Slack counts about who can see a channel. Slack
// tells of changes by events, too, but an event may be lost.
const channelTrust = 5 * time.Minute

// trusted reports whether it is known well enough who can see the channel.
func (p *Projector) trusted(c kovra.Channel) bool {
	return !c.CheckedAt.IsZero() && kovra.Left(c.CheckedAt, channelTrust, p.now()) > 0
}

// ready reads a thread as it may be shown, right before it is: whether its channel is
// shared with other organisations was asked a moment ago. pending is false when there is
// nothing to show. after > 0 says that Slack asks to wait.
func (p *Projector) ready(ctx context.Context, thread int64) (v kovra.View, pending bool, after time.Duration, err error) {
	v, c, err := p.read(ctx, thread)
	if _, alone := v.Thread.Person(); err != nil || isShown(v) || alone || p.trusted(c) {
		return v, err == nil && !isShown(v), 0, err
	}
	err = p.look(ctx, c.ID)
	if e, ok := errors.AsType[*kovra.Error](err); ok && e.Retry > 0 {
		return v, false, e.Retry, nil
	}
	if r, ok := errors.AsType[*Refusal](err); ok && r.ofChannel() {
		v.NoLogs = true // posting will be refused as well, and says so better
		return v, true, 0, nil
	}
	if err != nil {
		return v, false, 0, fmt.Errorf("look at channel %s: %w", c.ID, err)
	}
	v, _, err = p.read(ctx, thread)
	return v, err == nil && !isShown(v), 0, err
}

// isShown reports whether nothing is to be done for the thread.
func isShown(v kovra.View) bool {
	return v.Thread.Broken != "" || v.Thread.ShownVersion >= v.Thread.Version
}

// read returns the thread and its channel; a thread that is gone reads as shown.
func (p *Projector) read(ctx context.Context, thread int64) (v kovra.View, c kovra.Channel, err error) {
	err = p.db.Read(ctx, func(tx *storage.Tx) (err error) {
		if v, err = tx.View(thread); err == nil {
			c, err = tx.Channel(v.Thread.Channel)
		}
		return err
	})
	if kovra.KindOf(err) == kovra.NotFound {
		return kovra.View{}, c, nil
	}
	if err != nil {
		return v, c, fmt.Errorf("read thread %d: %w", thread, err)
	}
	return v, c, nil
}

// hideLogs reports whether the channel may not see logs any more, which the messages of
// this pass may show: a pass of many messages takes a while.
func (s *showing) hideLogs(ctx context.Context) (bool, error) {
	if !s.logs {
		return false, nil
	}
	var c kovra.Channel
	err := s.db.Read(ctx, func(tx *storage.Tx) (err error) {
		c, err = tx.Channel(s.thread.Channel)
		return err
	})
	return !c.ShowsLogs(), err
}

// look asks Slack whether a channel is shared and records the answer. The threads of one
// channel that come at the same time ask once. An event that came while Slack answered
// counts for more than the answer, so that is dated to its question.
func (p *Projector) look(ctx context.Context, channel string) error {
	_, err, _ := p.looks.Do(channel, func() (any, error) {
		var c kovra.Channel
		err := p.db.Read(ctx, func(tx *storage.Tx) (err error) {
			c, err = tx.Channel(channel)
			return err
		})
		if err != nil || p.trusted(c) {
			return nil, err
		}
		at := p.now()
		shared, err := p.slack.Shared(ctx, channel)
		if err != nil {
			return nil, err
		}
		return nil, p.db.Update(context.WithoutCancel(ctx), func(tx *storage.Tx) error {
			return tx.SetChannelShared(channel, shared, at)
		})
	})
	return err
}
