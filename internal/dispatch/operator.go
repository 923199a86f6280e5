package dispatch

import (
	"context"
	"maps"
	"sync"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// operatorPatience is how many times longer than a person's the wish of the command line is tried: hundreds of them come
// together, Slack and GitLab let so many calls a minute pass, and nobody sits before an answer.
const operatorPatience = 6

// patience is for how long an action is tried that cannot be done now.
func (a Actions) patience(act kovra.Action) time.Duration {
	if act.By.IsOperator() {
		return operatorPatience * a.opts.GiveUp
	}
	return a.opts.GiveUp
}

// enteredHolds is how long it is trusted, for the command line alone, that the bot is in a channel that it has entered: Slack lets
// fifty such calls a minute pass, and hundreds of apps are often told in the same few channels.
const enteredHolds = time.Minute

// entered remembers when the bot has entered channels for the command line; its zero value is empty.
type entered struct {
	mu sync.Mutex
	at map[string]time.Time
}

// join lets the bot into the channel of an action and reports whether it can post there. A direct message is refused with
// [kovra.ErrDirect]. Class: by id.
func (a Actions) join(ctx context.Context, act kovra.Action) (bool, error) {
	if kovra.IsDirect(act.Channel) {
		return false, kovra.ErrDirect
	}
	if !act.By.IsOperator() {
		return a.world.Channels.Join(ctx, act.Channel)
	}
	now := a.db.Now()
	a.entered.mu.Lock()
	maps.DeleteFunc(a.entered.at, func(_ string, at time.Time) bool { return now.Sub(at) >= enteredHolds })
	_, fresh := a.entered.at[act.Channel]
	a.entered.mu.Unlock()
	if fresh {
		return true, nil
	}
	member, err := a.world.Channels.Join(ctx, act.Channel)
	if err != nil || !member {
		return member, err
	}
	a.entered.mu.Lock()
	defer a.entered.mu.Unlock()
	if a.entered.at == nil {
		a.entered.at = map[string]time.Time{}
	}
	a.entered.at[act.Channel] = now
	return true, nil
}

// isTurn reports whether an action may begin. What the command line asks for comes as many actions at once, written down
// before anybody can know how they end: those of one app are done in their order, and one that may take a hook away waits
// for all before it, which may need that hook. The end of an action wakes the next.
func (a Actions) isTurn(ctx context.Context, act kovra.Action) (first bool, err error) {
	if !act.By.IsOperator() || act.State != kovra.ActionWanted {
		return true, nil
	}
	err = a.db.Read(ctx, func(tx *storage.Tx) error {
		first, err = tx.OperatorTurn(act, dropsHook(act))
		return err
	})
	return first, err
}

// dropsHook reports whether an action may take the webhook of a project away.
func dropsHook(act kovra.Action) bool {
	switch act.Kind {
	case kovra.ActDeleteApp, kovra.ActUnlink:
		return true
	case kovra.ActLink:
		return act.Params.Sure
	default:
		return false
	}
}
