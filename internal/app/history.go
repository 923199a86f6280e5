package app

import (
	"context"
	"time"

	"kovra.dev/chatops/storage"
)

const (
	forgetFirst = 10 * time.Minute // after the start, when there is time
	forgetEvery = time.Hour
	forgetPause = 100 * time.Millisecond // between two parts, for those who write
)

// pruneHistory forgets what ended long ago, now and then and in small parts.
func (a *App) pruneHistory(ctx context.Context) error {
	next := time.NewTimer(forgetFirst)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		}
		if err := a.forget(ctx); err != nil && ctx.Err() == nil {
			a.log.ErrorContext(ctx, "cannot forget what is old", "err", err)
		}
		next.Reset(forgetEvery)
	}
}

// forget forgets all that is too old now.
func (a *App) forget(ctx context.Context) error {
	pause := time.NewTicker(forgetPause)
	defer pause.Stop()
	for now := a.db.Now(); a.clock.trusts(now); now = a.db.Now() {
		var gone int
		err := a.db.Update(ctx, func(tx *storage.Tx) (err error) {
			gone, err = tx.PruneHistory(now.Add(-a.cfg.HistoryRetention))
			return err
		})
		if err != nil || gone == 0 {
			return err
		}
		a.log.DebugContext(ctx, "forgot what is old", "rows", gone)
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
		}
	}
	return nil
}
