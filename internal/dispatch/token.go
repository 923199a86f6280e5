package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// When GitLab is asked about the bot's own token, besides at the start.
const (
	askToken        = 24 * time.Hour
	askRefusedToken = 5 * time.Minute
	askDoubtToken   = time.Minute // after it was refused somewhere
)

// Self asks GitLab about whoever asks.
type Self interface {
	// OwnToken is what GitLab says of the bot's token. NotFound: it is of a kind that cannot be asked about; Denied with
	// [kovra.ErrToken]: it is not accepted.
	OwnToken(ctx context.Context) (kovra.TokenSight, error)
}

// Token watches when the bot's own GitLab token ends.
type Token struct{ *Dispatch }

// Token returns the reconciler of the bot's token ([kovra.RefToken]); its key is 0.
func (d *Dispatch) Token() Token { return Token{d} }

// Reconcile asks GitLab about the token at the start, once a day, and when an announcement comes due. What GitLab does not tell
// is not guessed.
func (t Token) Reconcile(ctx context.Context, _ int64) (time.Duration, error) {
	if t.world.Self == nil {
		return 0, nil
	}
	var s kovra.TokenSight
	err := t.db.Read(ctx, func(tx *storage.Tx) (err error) {
		s, err = tx.GitLabToken()
		return err
	})
	if err != nil {
		return 0, err
	}
	if wait := t.wait(s); wait > 0 {
		return wait, nil
	}
	doubted, other := t.tokenDoubt.Swap(false), t.tokenNew.Swap(false)
	again := func() {
		t.tokenDoubt.CompareAndSwap(false, doubted)
		t.tokenNew.CompareAndSwap(false, other)
	}
	s, err = t.world.Self.OwnToken(ctx)
	switch {
	case isToken(err):
		s = kovra.TokenSight{Refused: kovra.PublicText(err)}
	case notShown(err) || kovra.KindOf(err) == kovra.Invalid:
		s = kovra.TokenSight{}
	case err != nil:
		again()
		return 0, fmt.Errorf("ask GitLab about the token: %w", err)
	}
	s.At = t.db.Now()
	if err := t.db.Update(ctx, func(tx *storage.Tx) error { return tx.SawGitLabToken(s) }); err != nil {
		again()
		return 0, err
	}
	return max(t.wait(s), time.Millisecond), nil
}

// wait is how long nobody need ask; a token may be another one after a start.
func (t Token) wait(s kovra.TokenSight) time.Duration {
	if t.beforeStart(s.At) || t.tokenNew.Load() {
		return 0
	}
	now, every := t.db.Now(), askToken
	if t.tokenDoubt.Load() {
		every = askDoubtToken
	}
	if s.Refused != "" {
		every = askRefusedToken
	}
	if due := s.NextDue(s.At); !due.IsZero() {
		every = min(every, due.Sub(s.At))
	}
	return kovra.Left(s.At, every, now)
}

// TokenChanged tells that the bot uses another GitLab token from now on: the next pass of [Token] asks about it.
func (d *Dispatch) TokenChanged() { d.tokenNew.Store(true) }

func isToken(err error) bool { return errors.Is(err, kovra.ErrToken) }

// doubtToken notes that GitLab did not accept the bot's token, so that it is asked about it.
func (d *Dispatch) doubtToken(err error) {
	if isToken(err) {
		d.tokenDoubt.Store(true)
	}
}
