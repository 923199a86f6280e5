package app

import (
	"context"
	"time"

	"kovra.dev/chatops/internal/config"
	"kovra.dev/chatops/internal/joblog"
	"kovra.dev/chatops/internal/kovra"
)

// When logs that are too old or too much are thrown away.
const (
	pruneFirst = time.Minute // after the start
	pruneEvery = time.Minute // cheap where there is nothing to do; much may come in an hour
)

// keptAtOnce is how many logs that nobody waits for are begun in one sweep. Readers are
// not to wait for them, nor is GitLab to be asked for all at once.
const keptAtOnce = 25

// patterns are the team's own, as joblog wants to see them.
func patterns(own []config.LogPattern) []joblog.Pattern {
	out := make([]joblog.Pattern, 0, len(own))
	for _, p := range own {
		out = append(out, joblog.Pattern{
			Name: p.Name, Contains: p.Contains, Expr: p.Expr, Weight: p.Weight, Before: p.Before, After: p.After, Quiet: p.Quiet,
		})
	}
	return out
}

// pruneLogs throws away logs that are too old or too much. It may take long, so it holds up
// nothing else.
func (a *App) pruneLogs(ctx context.Context) error {
	next := time.NewTimer(pruneFirst)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		}
		prune := a.logs.Prune
		if !a.clock.trusts(a.db.Now()) {
			prune = a.logs.PruneForRoom
		}
		a.throwAway(ctx, prune)
		next.Reset(pruneEvery)
	}
}

func (a *App) throwAway(ctx context.Context, prune func(context.Context) (int, error)) {
	switch gone, err := prune(ctx); {
	case ctx.Err() != nil:
	case err != nil:
		a.log.ErrorContext(ctx, "cannot throw old logs away", "err", err)
	case gone > 0:
		a.log.InfoContext(ctx, "old logs thrown away", "logs", gone)
	}
}

// sweepLogs reminds the loop of logs. That logs are in trouble holds up nothing else.
func (a *App) sweepLogs(ctx context.Context) {
	ids, err := a.logs.Open(ctx, a.work.WantedSince(), keptAtOnce)
	if err != nil && ctx.Err() == nil {
		a.log.ErrorContext(ctx, "sweep of logs failed", "err", err)
	}
	for _, id := range ids {
		a.remind(kovra.Ref{Kind: kovra.RefLog, ID: id})
	}
}
