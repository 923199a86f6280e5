package webhooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

const (
	intakeBatch = 200              // deliveries of one transaction
	soon        = time.Millisecond // more deliveries may wait
)

// IntakeOptions are what an [Intake] works with.
type IntakeOptions struct {
	DB  *storage.DB
	Log *slog.Logger // nil: nothing is logged
	// Builds says that pushes may start builds; else they are ignored.
	Builds bool
	// Counted, if set, is told what became of every delivery, for metrics. Both words
	// come from small fixed sets. It must not block.
	Counted func(kind string, outcome kovra.DeliveryOutcome)
	// Folded, if set, is told how long each delivery took from its arrival until what became of it was committed. Those that are
	// replayed are left out. It must not block.
	Folded func(lag time.Duration)
}

// Intake turns journaled deliveries into state. It is the work of one loop with one
// worker: deliveries are folded in order of arrival.
type Intake struct {
	db      *storage.DB
	log     *slog.Logger
	builds  bool
	counted func(kind string, outcome kovra.DeliveryOutcome)
	folded  func(lag time.Duration)
	newest  int64 // id of the newest delivery that was folded; what comes after it with a lower one is replayed
}

// NewIntake makes an Intake.
func NewIntake(o IntakeOptions) *Intake {
	in := &Intake{db: o.DB, log: o.Log, builds: o.Builds, counted: o.Counted, folded: o.Folded}
	if in.log == nil {
		in.log = slog.New(slog.DiscardHandler)
	}
	if in.counted == nil {
		in.counted = func(string, kovra.DeliveryOutcome) {}
	}
	if in.folded == nil {
		in.folded = func(time.Duration) {}
	}
	return in
}

// settled is a delivery and what became of it.
type settled struct {
	id      int64
	at      time.Time // when it came
	kind    string
	outcome kovra.DeliveryOutcome
	note    string
	project int64
}

// item is a delivery in hand.
type item struct {
	id   int64
	at   time.Time // when it came
	hook hook
	bad  error // why it could not be read
}

// Reconcile folds up to 200 pending deliveries, fewer when they are large, and asks to
// be called again until there are none; the key says nothing (it is the 0 of
// [kovra.RefDelivery]). A delivery that cannot be used becomes a dead letter and
// holds up no other; an error means that the database did not work, and that
// nothing is lost.
func (in *Intake) Reconcile(ctx context.Context, _ int64) (time.Duration, error) {
	var pending []kovra.Delivery
	err := in.db.Read(ctx, func(tx *storage.Tx) (err error) {
		pending, err = tx.PendingDeliveries(intakeBatch)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read pending deliveries: %w", err)
	}
	if len(pending) == 0 {
		return 0, nil
	}
	items := make([]item, len(pending))
	for i, d := range pending {
		items[i].id, items[i].at = d.ID, d.At
		items[i].hook, items[i].bad = decode(d, in.builds)
	}
	if err := in.foldAll(ctx, items); err != nil {
		return 0, err
	}
	return soon, nil
}

// foldAll folds the items in one transaction; if one of them is at fault, each in
// its own, so that it holds up no other.
func (in *Intake) foldAll(ctx context.Context, items []item) error {
	fault, err := in.fold(ctx, items)
	if !fault {
		return err
	}
	for i := range items {
		fault, err := in.fold(ctx, items[i:i+1])
		if fault {
			// If the database takes the note it works, and the fault is the delivery's.
			items[i].bad = fmt.Errorf("could not be folded: %w", err)
			if _, noted := in.fold(ctx, items[i:i+1]); noted == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fold folds the items in one transaction, all or none, and tells of them after the
// commit. fault says that the error is that of an item, not that of the transaction.
func (in *Intake) fold(ctx context.Context, items []item) (fault bool, err error) {
	done := make([]settled, 0, len(items))
	err = in.db.Update(ctx, func(tx *storage.Tx) error {
		for i := range items {
			s, err := settle(tx, &items[i])
			if err != nil {
				fault = true
				return fmt.Errorf("fold delivery %d: %w", items[i].id, err)
			}
			done = append(done, s)
		}
		return nil
	})
	if err != nil {
		return fault, err
	}
	for i, s := range done {
		if s.outcome == kovra.DeliveryDead {
			in.log.WarnContext(ctx, "delivery cannot be used", "delivery", s.id, "kind", s.kind, "note", s.note, "stack", stackOf(items[i].bad))
		}
		in.counted(s.kind, s.outcome)
		if s.id > in.newest {
			in.newest = s.id
			in.folded(max(in.db.Now().Sub(s.at), 0))
		}
	}
	return false, nil
}

// settle decides on one delivery and records it. A panic of a fold is its error, so
// that it stays the trouble of this delivery alone.
func settle(tx *storage.Tx, it *item) (s settled, err error) {
	defer caught(&err)
	s = settled{id: it.id, at: it.at, kind: it.hook.kind, project: it.hook.project}
	if it.bad != nil {
		s.outcome, s.note = kovra.DeliveryDead, cut(clean(it.bad.Error()), maxText)
	} else if s.outcome, s.note, s.project, err = observe(tx, &it.hook); err != nil {
		return s, err
	}
	return s, tx.SettleDelivery(s.id, s.outcome, s.note, s.project)
}

// observe folds what a hook saw, if anybody asked for it.
func observe(tx *storage.Tx, h *hook) (outcome kovra.DeliveryOutcome, note string, project int64, err error) {
	if h.empty() {
		return kovra.DeliveryIgnored, "nobody asked for events of the kind " + h.kind, h.project, nil
	}
	project, linked, err := linkedProject(tx, h)
	if err != nil {
		return "", "", project, err
	}
	if !linked {
		return kovra.DeliveryIgnored, "no app is linked to the project", project, nil
	}
	if h.seen == nil {
		outcome, note, err = take(tx, h, project)
		return outcome, note, project, err
	}
	o := *h.seen
	o.Run.Project = project
	_, seen, err := tx.Observe(o)
	if err != nil {
		return "", "", project, err
	}
	if !seen.Changed() {
		return kovra.DeliverySame, "", project, nil
	}
	return kovra.DeliveryFolded, "", project, nil
}

// take folds what is no pipeline, of a project that is linked: for the builds, for the channels that want to hear of it, or for the
// person who asks for something.
func take(tx *storage.Tx, h *hook, project int64) (outcome kovra.DeliveryOutcome, note string, err error) {
	var heard, changed bool
	if h.push != nil {
		p := *h.push
		p.Project = project
		taken, err := tx.TakePush(p)
		if err != nil {
			return "", "", err
		}
		heard, changed = taken.Heard, taken.Builds > 0 || taken.Moved
	}
	for _, s := range h.subjects {
		s.Project = project
		taken, err := tx.ObserveSubject(s)
		if err != nil {
			return "", "", err
		}
		heard, changed = heard || taken.Heard, changed || taken.Changed
	}
	if h.comment != nil {
		c := *h.comment
		c.Project = project
		asked, err := ask(tx, c)
		if err != nil {
			return "", "", err
		}
		heard, changed = true, asked
	}
	switch {
	case changed:
		return kovra.DeliveryFolded, "", nil
	case heard:
		return kovra.DeliverySame, "", nil
	case h.push != nil:
		return kovra.DeliveryIgnored, "no app builds that branch or tag by itself, and no channel wants to hear of it", nil
	default:
		return kovra.DeliveryIgnored, "no channel wants to hear of it", nil
	}
}

// linkedProject returns the id of the hook's project, and whether an app is linked to it.
func linkedProject(tx *storage.Tx, h *hook) (id int64, linked bool, err error) {
	if h.project != 0 {
		apps, err := tx.AppsOfProject(h.project)
		return h.project, len(apps) > 0, err
	}
	all, err := tx.LinkedProjects()
	if err != nil {
		return 0, false, err
	}
	for _, p := range all {
		if strings.EqualFold(p.Path, h.path) { // no two paths of GitLab differ in their case alone
			return p.ID, true, nil
		}
	}
	return 0, false, nil
}

// panicked is a panic as an error; the stack is for the log alone.
type panicked struct {
	value any
	stack string
}

func (p *panicked) Error() string { return fmt.Sprintf("a panic: %v", p.value) }

// caught, deferred, turns a panic into the error of the function that it ended.
func caught(err *error) {
	if p := recover(); p != nil {
		*err = &panicked{value: p, stack: string(debug.Stack())}
	}
}

// stackOf is the stack of the panic that led to err, if one did.
func stackOf(err error) string {
	if p, ok := errors.AsType[*panicked](err); ok {
		return p.stack
	}
	return ""
}
