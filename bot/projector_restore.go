package bot

import (
	"context"
	"errors"
	"sync"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// mostPlaces bounds how many channels and threads are remembered that were looked through.
const mostPlaces = 2000

// lostMessages are the messages that were posted after the copy was made that the database was restored from: they are
// in Slack, and unknown here. Each channel and thread is looked through once: what was posted in a time that is over
// does not change.
type lostMessages struct {
	mu       sync.Mutex
	asked    bool // whether the database was restored is known; that is decided before anything is shown
	restored bool
	restore  kovra.Restore
	known    map[string]map[string]string
}

// since returns what the database was restored from, if it was. It is read once.
func (l *lostMessages) since(ctx context.Context, db store) (kovra.Restore, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked {
		return l.restore, l.restored, nil
	}
	err := db.Read(ctx, func(tx *storage.Tx) (err error) {
		l.restore, l.restored, err = tx.Restored()
		return err
	})
	l.asked = err == nil
	return l.restore, l.restored, err
}

// in returns the messages of a place, if it was looked through.
func (l *lostMessages) in(place string) (map[string]string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ours, ok := l.known[place]
	return ours, ok
}

func (l *lostMessages) keep(place string, ours map[string]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil || len(l.known) >= mostPlaces {
		l.known = map[string]map[string]string{}
	}
	l.known[place] = ours
}

// adopt looks for a message that is not known, in a restored database: whatever began before the restore may have
// been shown by the life that was lost. Else, and when there is none, the slot stays as it is.
func (s *showing) adopt(ctx context.Context, slot *kovra.Slot) (time.Duration, error) {
	r, restored, err := s.lostOnes.since(ctx, s.db)
	if err != nil || !restored || s.born.After(r.At.Add(clockSkew)) {
		return 0, err
	}
	ours, err := s.lost(ctx, r, s.parent(slot.Key))
	if err != nil {
		return s.notLookedThrough(ctx, err)
	}
	ts := ours[messageKey(s.of, slot.Key)]
	if ts == "" {
		return 0, nil
	}
	s.log.InfoContext(ctx, "a message from before the restore is adopted", "thread", s.thread.ID, "slot", slot.Key)
	slot.TS, slot.Digest = ts, ""
	return 0, s.save(ctx, *slot)
}

// lost returns what was posted among the replies to parent, or in the channel if that is "", while nobody wrote it down.
// Those who ask for the same at the same time ask Slack once.
func (s *showing) lost(ctx context.Context, r kovra.Restore, parent string) (map[string]string, error) {
	place := s.channel + " " + parent
	if ours, ok := s.lostOnes.in(place); ok {
		return ours, nil
	}
	found, err, _ := s.finds.Do(place, func() (any, error) {
		var ours map[string]string
		var whole bool
		err := s.inChannel(ctx, func() (err error) {
			ours, whole, err = s.slack.Ours(ctx, s.channel, parent, r.Since, r.At)
			return err
		})
		if err != nil {
			return nil, err
		}
		if !whole {
			s.log.WarnContext(ctx, "too much was written since the backup: older messages of ours are not found, and posted again", "channel", s.channel)
		}
		s.lostOnes.keep(place, ours)
		return ours, nil
	})
	ours, _ := found.(map[string]string)
	return ours, err
}

// notLookedThrough decides what follows when Slack does not show what was posted: nothing is posted then.
func (s *showing) notLookedThrough(ctx context.Context, err error) (time.Duration, error) {
	if e, ok := errors.AsType[*kovra.Error](err); ok && e.Retry > 0 {
		return e.Retry, nil
	}
	r, ok := errors.AsType[*Refusal](err)
	switch {
	case ok && r.Permanent && r.ofChannel():
		return 0, s.giveUp(ctx, r, true)
	case ok && r.Code == "thread_not_found":
		return 0, s.giveUp(ctx, r, false)
	}
	return 0, err
}
