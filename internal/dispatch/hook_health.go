package dispatch

import (
	"context"
	"fmt"
	"sync"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// When the webhook of a project is looked at, besides at the start: one that is fine now and then, one in trouble sooner, so that people see when it
// is over. It is one or two questions to GitLab for each look.
const (
	lookFine    = time.Hour
	lookTrouble = 10 * time.Minute

	knockEvery = 5 * time.Minute // a knock brings no second look within this time
	knockRest  = 3 * time.Second // GitLab writes down how a delivery ended a moment after it did
)

// GitLab's words for a webhook that it switched off (alert_status).
const (
	statusResting  = "temporarily_disabled"
	statusDisabled = "disabled"
	unauthorized   = "401" // what we answer to another secret than ours
)

// Hooks looks at webhooks and changes nothing.
type Hooks interface {
	// SeeHook looks for the project's webhook that goes to url; Denied: the bot may not see webhooks.
	SeeHook(ctx context.Context, project int64, url string, want HookEvents) (SeenHook, error)
	// LastDelivery is how GitLab's newest delivery by a webhook ended, "" if there was none; NotFound: it does not tell.
	LastDelivery(ctx context.Context, project, hook int64) (string, error)
}

// SeenHook is the webhook of a project as GitLab has it.
type SeenHook struct {
	ID     int64 // 0: there is none
	Ours   bool
	Status string // GitLab's alert_status
	Until  time.Time
	Lacks  []string
}

// lookAtHook looks at the webhook of a project if it is time, and says when it will be again; 0: never.
func (p Projects) lookAtHook(ctx context.Context, project kovra.Project) (time.Duration, error) {
	if p.world.Hooks == nil || p.opts.HookURL == "" {
		return 0, nil
	}
	knock, _ := p.knocks.pending(project.ID)
	wait, knocked := p.hookWait(project)
	if wait > 0 {
		return wait, nil
	}
	seen, sight, err := p.seeHook(ctx, project, knocked)
	if err != nil {
		return 0, fmt.Errorf("look at the webhook of project %d: %w", project.ID, err)
	}
	overtaken := false
	err = p.db.Update(ctx, func(tx *storage.Tx) error {
		now, err := tx.Project(project.ID)
		if err != nil {
			return err
		}
		// What somebody had mended while GitLab answered is looked at anew.
		if overtaken = now.Hook != project.Hook || !now.Seen.Tried.Equal(project.Seen.Tried); overtaken {
			return nil
		}
		if err := saveHook(tx, project.ID, Hook{ID: seen.ID, Ours: seen.Ours}); err != nil {
			return err
		}
		return tx.SawHook(project.ID, sight)
	})
	if err != nil || overtaken {
		return time.Millisecond, err
	}
	p.knocks.heard(project.ID, knock)
	project.Seen = sight
	wait, _ = p.hookWait(project)
	return max(wait, time.Millisecond), nil
}

// hookWait is how long the webhook needs no look yet, and whether somebody knocked with another secret.
func (p Projects) hookWait(project kovra.Project) (wait time.Duration, knocked bool) {
	now, s := p.db.Now(), project.Seen
	every := lookFine
	if s.Is().Trouble() {
		every = lookTrouble
	}
	wait = kovra.Left(s.At, every, now)
	if p.beforeStart(s.At) { // also one that was never looked at; while we were down GitLab may have switched it off
		wait = 0
	}
	at, knocked := p.knocks.pending(project.ID)
	if knocked {
		wait = min(wait, kovra.Left(at, knockRest, now))
	}
	return wait, knocked
}

// seeHook asks GitLab how the webhook is. How its last delivery ended is asked where something seems to be wrong.
func (p Projects) seeHook(ctx context.Context, project kovra.Project, knocked bool) (SeenHook, kovra.HookSight, error) {
	was, s := project.Seen, kovra.HookSight{At: p.db.Now(), Tried: project.Seen.Tried}
	want, err := p.wanted(ctx, project.ID)
	if err != nil {
		return SeenHook{}, s, err
	}
	seen, err := p.world.Hooks.SeeHook(ctx, project.ID, p.opts.HookURL, want)
	if notShown(err) {
		if was.Is().Trouble() { // that we may not look any more does not end it
			s = was
			s.At = p.db.Now()
		} else {
			s.Health = kovra.HealthUnknown
		}
		s.Note = kovra.PublicText(err)
		return SeenHook{}, s, nil
	}
	if err != nil {
		return seen, s, err
	}
	s.Health, s.Lacks = healthOf(seen, project.Hook != 0), seen.Lacks
	if s.Health == kovra.HealthResting {
		s.Until = seen.Until
	}
	if seen.ID != 0 && (knocked || s.Health.Trouble() || was.Is().Trouble()) {
		s.Last, err = p.world.Hooks.LastDelivery(ctx, project.ID, seen.ID)
		if err != nil && !notShown(err) {
			return seen, s, err
		}
	}
	if s.Last == unauthorized && (s.Health == kovra.HealthFine || s.Health == kovra.HealthLacking) {
		s.Health = kovra.HealthRefused
	}
	switch {
	case !s.Health.Trouble():
		s.Last = ""
	case s.Health == was.Is():
		s.Note = was.Note // why it could not be mended
	}
	return seen, s, nil
}

// healthOf judges what GitLab tells of a webhook; known says that there was one before.
func healthOf(seen SeenHook, known bool) kovra.HookHealth {
	switch {
	case seen.ID == 0 && known:
		return kovra.HealthGone
	case seen.ID == 0:
		return kovra.HealthNone
	case seen.Status == statusDisabled:
		return kovra.HealthDisabled
	case seen.Status == statusResting:
		return kovra.HealthResting
	case len(seen.Lacks) > 0:
		return kovra.HealthLacking
	}
	return kovra.HealthFine
}

// knocks are requests with another secret than ours that name a linked project. Anybody can send them, so nothing is believed:
// they are a reason to ask GitLab, for each project once in a while. Nothing is kept of projects that are not linked.
type knocks struct {
	mu     sync.Mutex
	linked map[int64]bool
	taken  map[int64]time.Time // when one was last taken up
	open   map[int64]time.Time // those after which nobody has looked yet
}

func newKnocks() *knocks {
	return &knocks{linked: map[int64]bool{}, taken: map[int64]time.Time{}, open: map[int64]time.Time{}}
}

// know records whether a project is linked.
func (k *knocks) know(project int64, linked bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if linked {
		k.linked[project] = true
		return
	}
	delete(k.linked, project)
	delete(k.taken, project)
	delete(k.open, project)
}

func (k *knocks) take(project int64, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if last, was := k.taken[project]; !k.linked[project] || was && kovra.Left(last, knockEvery, now) > 0 {
		return false
	}
	k.taken[project], k.open[project] = now, now
	return true
}

func (k *knocks) pending(project int64) (time.Time, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	at, open := k.open[project]
	return at, open
}

// heard ends the knock of that time; one that came meanwhile is still open.
func (k *knocks) heard(project int64, at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.open[project].Equal(at) {
		delete(k.open, project)
	}
}

// Knock tells that a webhook came with another secret than ours that says it is of a project. It reports whether the
// project should be looked at for that: it is linked, and was not looked at for this reason lately.
func (d *Dispatch) Knock(project int64) bool { return d.knocks.take(project, d.db.Now()) }
