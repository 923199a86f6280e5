package identity

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// soon is how long a token must still live to be given out.
const soon = time.Minute

// turns lets one caller at a time work on a key.
type turns struct {
	mu sync.Mutex
	of map[string]*turn
}

type turn struct {
	held chan struct{}
	here int // callers that hold it or wait
}

// take waits for the turn of a key; the caller gives it back by the function returned.
func (t *turns) take(ctx context.Context, key string) (func(), error) {
	t.mu.Lock()
	if t.of == nil {
		t.of = map[string]*turn{}
	}
	one := t.of[key]
	if one == nil {
		one = &turn{held: make(chan struct{}, 1)}
		t.of[key] = one
	}
	one.here++
	t.mu.Unlock()

	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if one.here--; one.here == 0 {
			delete(t.of, key)
		}
	}
	select {
	case one.held <- struct{}{}:
		return func() { <-one.held; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// Token returns what a person acts with at GitLab; it lives for a minute at least. It is refreshed by one caller
// at a time. The error is Unconnected when they must connect first, and Unavailable when GitLab gave no answer.
func (i *Identity) Token(ctx context.Context, slackUser string) (string, error) {
	if i.oauth == nil {
		return "", kovra.Errorf(kovra.Conflict, "Nobody connects a GitLab account here.")
	}
	pair, err := i.pair(ctx, slackUser)
	if err != nil || i.lives(pair) {
		return pair.Access, err
	}
	done, err := i.refreshing.take(ctx, slackUser)
	if err != nil {
		return "", noAnswer("GitLab", err)
	}
	defer done()
	if pair, err = i.pair(ctx, slackUser); err != nil || i.lives(pair) {
		return pair.Access, err // somebody else has refreshed it
	}
	pair, err = i.refresh(ctx, slackUser, pair)
	return pair.Access, err
}

func (i *Identity) lives(pair kovra.TokenPair) bool {
	return pair.Expires.IsZero() || pair.Expires.Sub(i.now()) > soon
}

// pair returns the tokens of a person, or the error Unconnected.
func (i *Identity) pair(ctx context.Context, slackUser string) (pair kovra.TokenPair, err error) {
	var known bool
	err = i.db.Read(ctx, func(tx *storage.Tx) error {
		pair, known, err = tx.Tokens(slackUser)
		return err
	})
	if err != nil {
		return kovra.TokenPair{}, fmt.Errorf("read tokens: %w", err)
	}
	if !known {
		return kovra.TokenPair{}, errUnconnected()
	}
	return pair, nil
}

// refresh replaces a pair by a new one. The caller has the person's turn. It outlives its caller: once GitLab has answered the
// old pair is dead, so the new one must be kept.
func (i *Identity) refresh(ctx context.Context, slackUser string, old kovra.TokenPair) (kovra.TokenPair, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*exchangeTime)
	defer cancel()
	pair, err := i.oauth.refresh(ctx, old)
	if err != nil && kovra.KindOf(err) == kovra.Unconnected {
		if err := i.forget(ctx, slackUser, old); err != nil {
			return kovra.TokenPair{}, err
		}
	}
	if err != nil {
		return kovra.TokenPair{}, err
	}
	err = i.db.Update(ctx, func(tx *storage.Tx) error {
		now, known, err := tx.Tokens(slackUser)
		if err != nil {
			return err
		}
		if !known || now.Refresh != old.Refresh {
			return errUnconnected() // disconnected, or connected anew, meanwhile
		}
		return tx.SetTokens(slackUser, pair)
	})
	if err != nil {
		i.revoke(ctx, pair) // nobody keeps it
		return kovra.TokenPair{}, err
	}
	return pair, nil
}

// forget disconnects a person, unless they have another pair by now.
func (i *Identity) forget(ctx context.Context, slackUser string, pair kovra.TokenPair) error {
	return i.db.Update(ctx, func(tx *storage.Tx) error {
		now, known, err := tx.Tokens(slackUser)
		if err != nil || known && now.Refresh != pair.Refresh {
			return err
		}
		_, err = tx.Disconnect(slackUser)
		return err
	})
}

// Lost is told that GitLab did not accept a person's token. nil means that they are not connected any more; the error
// Unavailable, that it works again: the token had been replaced or had run out, and what was tried can be tried again.
func (i *Identity) Lost(ctx context.Context, slackUser string) error {
	if i.oauth == nil {
		return nil
	}
	done, err := i.refreshing.take(ctx, slackUser)
	if err != nil {
		return noAnswer("GitLab", err)
	}
	defer done()
	pair, err := i.pair(ctx, slackUser)
	if err != nil {
		return ignore(err, kovra.Unconnected)
	}
	_, err = i.gitlab.Self(ctx, pair.Access)
	if err != nil && !errors.Is(err, kovra.ErrToken) {
		return noAnswer("GitLab", err)
	}
	if err != nil {
		if _, err = i.refresh(ctx, slackUser, pair); err != nil {
			return ignore(err, kovra.Unconnected)
		}
	}
	return &kovra.Error{Kind: kovra.Unavailable, Public: "GitLab did not answer as it should. Please try again in a moment.", Err: errors.New("the token was replaced meanwhile"), Retry: time.Second}
}

func ignore(err error, kind kovra.ErrorKind) error {
	if kovra.KindOf(err) == kind {
		return nil
	}
	return err
}

// Disconnect takes a person's tokens back at GitLab and forgets them. It reports whether there were any. The
// error is Unavailable when GitLab did not take them back; then they are still there.
func (i *Identity) Disconnect(ctx context.Context, slackUser string) (bool, error) {
	if i.oauth == nil {
		return false, nil
	}
	done, err := i.refreshing.take(ctx, slackUser)
	if err != nil {
		return false, noAnswer("GitLab", err)
	}
	defer done()
	pair, err := i.pair(ctx, slackUser)
	if err == nil {
		err = i.oauth.revoke(ctx, pair)
	}
	if err = ignore(err, kovra.Unconnected); err != nil {
		return false, err
	}
	var had bool
	err = i.db.Update(ctx, func(tx *storage.Tx) error {
		had, err = tx.Disconnect(slackUser)
		return err
	})
	return had, err
}

// Left is told that a person has left Slack: their tokens are gone at once, here; GitLab is asked to forget them too.
func (i *Identity) Left(ctx context.Context, slackUser string) error {
	i.users.forget(slackUser)
	var pair kovra.TokenPair
	err := i.db.Update(ctx, func(tx *storage.Tx) (err error) {
		if pair, _, err = tx.Tokens(slackUser); err != nil {
			return err
		}
		_, err = tx.Disconnect(slackUser)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget who has left: %w", err)
	}
	i.revoke(ctx, pair)
	return nil
}

// revoke has GitLab forget tokens that we have forgotten. Where it does not, they run out.
func (i *Identity) revoke(ctx context.Context, pairs ...kovra.TokenPair) {
	for _, pair := range pairs {
		if i.oauth == nil || pair.Access == "" {
			continue
		}
		if err := i.oauth.revoke(ctx, pair); err != nil {
			i.log.WarnContext(ctx, "gitlab did not revoke a token that is not needed any more", "err", err)
		}
	}
}

// SealAgain seals every token with the first of the encryption keys, so that older ones can be taken
// out of the configuration. It is called at the start.
func (i *Identity) SealAgain(ctx context.Context) error {
	var n int
	err := i.db.Update(ctx, func(tx *storage.Tx) (err error) {
		n, err = tx.SealAgain()
		return err
	})
	if err != nil {
		return fmt.Errorf("seal tokens again: %w", err)
	}
	if n > 0 {
		i.log.InfoContext(ctx, "tokens sealed with the new key", "count", n)
	}
	return nil
}
