package dispatch

import (
	"context"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// showLogs lets excerpts and links to logs be shown in the action's channel, also while
// it is shared with other organisations. Class: by id; it can be repeated.
func (a Actions) showLogs(_ context.Context, act kovra.Action) (end, time.Duration, error) {
	return allowLogs(act, true)
}

// hideLogs takes that back.
func (a Actions) hideLogs(_ context.Context, act kovra.Action) (end, time.Duration, error) {
	return allowLogs(act, false)
}

func allowLogs(act kovra.Action, allowed bool) (end, time.Duration, error) {
	if act.Channel == "" {
		return end{}, 0, kovra.Errorf(kovra.Invalid, "That is about a channel: type it there.")
	}
	e := done(kovra.Outcome{})
	e.also = func(tx *storage.Tx, _ *kovra.Outcome) error { return tx.AllowLogs(act.Channel, allowed) }
	return e, 0, nil
}
