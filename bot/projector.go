package bot

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"
	"golang.org/x/sync/singleflight"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

const (
	// ProjectorTimeout is a fit bound for one pass over a thread.
	ProjectorTimeout = 30 * time.Second

	// nonceRest is how long after a post of unknown end its message may still appear.
	nonceRest  = callTimeout + 2*time.Second
	nonceBytes = 16

	// digestGone stands for a message that somebody deleted: it stays deleted.
	digestGone = "gone"
)

// slackWriter is what the projector needs of Slack; [Client] has it.
type slackWriter interface {
	Post(ctx context.Context, channel, threadTS string, m Message, nonce string) (ts string, err error)
	Update(ctx context.Context, channel, ts string, m Message) error
	slackHistory
	slackPeople
	slackChannels
}

// slackHistory is what it needs of Slack to find what it does not know that it posted.
type slackHistory interface {
	FindNonce(ctx context.Context, channel, threadTS, nonce string, since time.Time) (ts string, found bool, err error)
	Ours(ctx context.Context, channel, threadTS string, from, to time.Time) (ours map[string]string, whole bool, err error)
}

// slackPeople is what it needs of Slack to speak to one person.
type slackPeople interface {
	Tell(ctx context.Context, user, text string) error
	Direct(ctx context.Context, user string) (channel string, err error)
}

// slackChannels is what it needs of Slack about a channel itself.
type slackChannels interface {
	Join(ctx context.Context, channel string) error
	Shared(ctx context.Context, channel string) (bool, error)
}

// store is what the projector needs of storage; [storage.DB] has it.
type store interface {
	Read(ctx context.Context, fn func(*storage.Tx) error) error
	Update(ctx context.Context, fn func(*storage.Tx) error) error
}

// Projector makes threads show their state. It is the only writer of the messages of
// threads, and it knows nothing but the state: whatever was missed, doubled or cut short
// before is put right by the next pass.
type Projector struct {
	db     store
	slack  slackWriter
	budget *Budget
	now    func() time.Time
	log    *slog.Logger
	looks  singleflight.Group // by channel

	finds    singleflight.Group // by channel and parent
	lostOnes lostMessages       // of a restored database

	// Admins are who is told of what nobody in Slack has made, such as a subscription from a file; nil: nobody is.
	Admins func(ctx context.Context) ([]string, error)

	render   func(kovra.View) []Message
	noLookup bool // tests show with it that the look-up is what prevents doubles
}

// NewProjector returns a projector. All projectors of one workspace share a budget.
func NewProjector(db *storage.DB, client *Client, budget *Budget, now func() time.Time, log *slog.Logger) *Projector {
	return newProjector(db, client, budget, now, log)
}

func newProjector(db store, client slackWriter, budget *Budget, now func() time.Time, log *slog.Logger) *Projector {
	return &Projector{db: db, slack: client, budget: budget, now: now, log: log, render: Render}
}

// Reconcile makes a thread show its state: the card first, then each reply. What Slack
// or the budget does not allow yet is left for a later pass; after then says when. An
// error is worth a later try, too.
func (p *Projector) Reconcile(ctx context.Context, thread int64) (after time.Duration, err error) {
	v, pending, after, err := p.ready(ctx, thread)
	if !pending || err != nil {
		return after, err
	}
	s := &showing{
		Projector: p, thread: v.Thread, channel: v.Thread.Channel, slots: v.Slots, logs: !v.NoLogs, of: v.Identity(), born: v.Born(),
	}
	if _, alone := v.Thread.Person(); alone && s.showsAll(p.picture(v)) {
		return 0, s.shown(ctx) // most of what happens to a pipeline is no news to one person: Slack is not asked
	}
	if open, after, err := s.openDirect(ctx); !open {
		return after, err
	}
	err = s.settleAll(ctx)
	if !s.stopped && !s.broken {
		err = s.showAll(ctx, p.picture(v))
	}
	if err != nil {
		return 0, fmt.Errorf("show thread %d: %w", thread, err)
	}
	if s.broken {
		return 0, nil
	}
	return s.after, nil
}

// openDirect finds the channel of a thread that one person alone sees. It reports false when the pass is over: after
// says when to come back, unless the person cannot be written to.
func (s *showing) openDirect(ctx context.Context) (open bool, after time.Duration, err error) {
	user, alone := s.thread.Person()
	if !alone {
		return true, 0, nil
	}
	s.logs = false // there are no excerpts
	s.channel, err = s.slack.Direct(ctx, user)
	if e, ok := errors.AsType[*kovra.Error](err); ok && e.Retry > 0 {
		return false, e.Retry, nil
	}
	if r, refused := errors.AsType[*Refusal](err); refused && (r.Permanent || r.ofPerson()) {
		return false, 0, s.giveUp(ctx, r, false)
	}
	return err == nil, 0, err
}

// picture is what the thread is to show. What an older renderer has shown is no news: a
// new layout of it gives way to everything else.
func (p *Projector) picture(v kovra.View) []Message {
	msgs := p.render(v)
	if v.Thread.ShownBy != 0 && v.Thread.ShownBy != RendererVersion {
		for i := range msgs {
			msgs[i].Class = max(msgs[i].Class, Progress)
		}
	}
	return msgs
}

// showing is one pass over one thread.
type showing struct {
	*Projector
	thread   kovra.Thread
	channel  string                // of Slack; of a person's thread, the one in which they talk with the bot alone
	slots    map[string]kovra.Slot // the same map that the view holds
	logs     bool                  // the channel could see logs when the pass began
	of       string                // what it is about, in every copy of the database
	born     time.Time             // when that began; zero: not known
	after    time.Duration         // the shortest wait of a message; 0: none waits
	joined   bool                  // joining the channel was tried
	problems []error               // of messages
	stopped  bool                  // Slack is in trouble: go on later
	broken   bool                  // the thread was given up
}

// settleAll settles every slot with a nonce, also one that is not shown any more: what
// is shown depends on which messages exist.
func (s *showing) settleAll(ctx context.Context) error {
	for _, key := range slices.SortedFunc(maps.Keys(s.slots), cardFirst) {
		slot := s.slots[key]
		if slot.Nonce == "" {
			continue
		}
		wait, err := s.settle(ctx, slot)
		if s.broken {
			return err
		}
		if s.failed(key, err) {
			break
		}
		s.wait(wait)
	}
	return errors.Join(s.problems...)
}

func cardFirst(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == kovra.SlotCard:
		return -1
	case b == kovra.SlotCard:
		return 1
	default:
		return strings.Compare(a, b)
	}
}

// failed notes the error of one message. It reports whether the pass should end: Slack
// or storage is in trouble, and no other message would fare better. A refusal is about
// this message alone.
func (s *showing) failed(key string, err error) bool {
	if err == nil {
		return false
	}
	s.problems = append(s.problems, fmt.Errorf("message %s: %w", key, err))
	s.stopped = s.stopped || !isRefusal(err)
	return s.stopped
}

// wait notes that something must wait for so long.
func (s *showing) wait(d time.Duration) {
	if d > 0 && (s.after == 0 || d < s.after) {
		s.after = d
	}
}

// showAll shows one message after the other and records when all are shown.
func (s *showing) showAll(ctx context.Context, msgs []Message) error {
	for _, m := range msgs {
		wait, err := s.show(ctx, m)
		if s.broken {
			return err
		}
		s.wait(wait)
		if s.failed(m.Slot, err) || s.stopped || s.slots[kovra.SlotCard].TS == "" {
			break // replies need the card
		}
	}
	if s.stopped || len(s.problems) > 0 || s.after > 0 {
		return errors.Join(s.problems...)
	}
	return s.shown(ctx)
}

// showsAll reports whether there is nothing to settle, and every message is what it should be.
func (s *showing) showsAll(msgs []Message) bool {
	for _, slot := range s.slots {
		if slot.Nonce != "" {
			return false
		}
	}
	return !slices.ContainsFunc(msgs, func(m Message) bool {
		digest := s.slots[m.Slot].Digest
		return digest != m.Digest && digest != digestGone
	})
}

// shown records that the thread shows its state.
func (s *showing) shown(ctx context.Context) error {
	err := s.db.Update(ctx, func(tx *storage.Tx) error {
		return tx.SetShown(s.thread.ID, s.thread.Version, RendererVersion)
	})
	if err != nil {
		return fmt.Errorf("record that thread %d is shown: %w", s.thread.ID, err)
	}
	return nil
}

// show makes one message what it should be, or returns how long that must wait.
func (s *showing) show(ctx context.Context, m Message) (time.Duration, error) {
	slot := s.slots[m.Slot]
	slot.Key = m.Slot
	switch {
	case slot.Nonce != "":
		return 0, nil // not settled yet
	case slot.Digest == m.Digest || slot.Digest == digestGone:
		return 0, nil // also what Slack refused for its content has a digest, but no message
	}
	if hide, err := s.hideLogs(ctx); hide || err != nil {
		s.stopped = true
		return time.Millisecond, err // begin anew
	}
	m.Of = s.of
	if slot.TS == "" {
		if wait, err := s.adopt(ctx, &slot); wait > 0 || err != nil || s.broken {
			return wait, err
		}
	}
	if slot.TS != "" {
		return s.edit(ctx, slot, m)
	}
	return s.post(ctx, slot, m)
}

// settle finds out what became of a post of unknown end, once it cannot arrive any
// more: the message is adopted, or the slot is free for a new one.
func (s *showing) settle(ctx context.Context, slot kovra.Slot) (time.Duration, error) {
	if now := s.now(); slot.NonceAt.Sub(now) > clockSkew {
		// Our clock was set back since: whatever it says, the message may come for so long from now on.
		slot.NonceAt = now
		if err := s.save(ctx, slot); err != nil {
			return 0, err
		}
	}
	if wait := slot.NonceAt.Add(nonceRest).Sub(s.now()); wait > 0 {
		return wait, nil
	}
	ts, found, err := s.find(ctx, slot)
	if err != nil {
		return s.refused(ctx, slot, Message{Slot: slot.Key}, err)
	}
	slot.Nonce = ""
	if found {
		slot.TS, slot.Digest = ts, ""
	}
	s.log.InfoContext(ctx, "the end of a post is known now", "thread", s.thread.ID, "slot", slot.Key, "adopted", found)
	return 0, s.save(ctx, slot)
}

func (s *showing) find(ctx context.Context, slot kovra.Slot) (ts string, found bool, err error) {
	if s.noLookup {
		return "", false, nil
	}
	err = s.inChannel(ctx, func() (err error) {
		ts, found, err = s.slack.FindNonce(ctx, s.channel, s.parent(slot.Key), slot.Nonce, slot.NonceAt)
		return err
	})
	return ts, found, err
}

// parent is the message that a slot is a reply to; "" for the card.
func (s *showing) parent(key string) string {
	if key == kovra.SlotCard {
		return ""
	}
	return s.slots[kovra.SlotCard].TS
}

// budgetKey names a message to the budget.
func (s *showing) budgetKey(slot string) string { return fmt.Sprintf("%d %s", s.thread.ID, slot) }

// edit changes a message. Class: by id; after a crash the same edit is made again.
func (s *showing) edit(ctx context.Context, slot kovra.Slot, m Message) (time.Duration, error) {
	if wait := s.budget.Edit(m.Class, s.budgetKey(m.Slot), time.Now()); wait > 0 {
		return wait, nil
	}
	err := s.call(ctx, m, func(m Message) error {
		return s.slack.Update(ctx, s.channel, slot.TS, m)
	})
	if err != nil {
		return s.refused(ctx, slot, m, err)
	}
	slot.Digest = m.Digest
	return 0, s.save(ctx, slot)
}

// post makes a message. Class: write-ahead nonce; after a crash between the post and its
// record, the next pass finds the message by its nonce and adopts it.
func (s *showing) post(ctx context.Context, slot kovra.Slot, m Message) (time.Duration, error) {
	if wait := s.budget.Post(s.thread.Channel, s.budgetKey(m.Slot), m.Slot == kovra.SlotCard, time.Now()); wait > 0 {
		return wait, nil
	}
	slot.Nonce, slot.NonceAt, slot.Broadcast = newNonce(), s.now(), m.Broadcast
	if err := s.save(ctx, slot); err != nil {
		return 0, err
	}
	var ts string
	err := s.call(ctx, m, func(m Message) (err error) {
		ts, err = s.slack.Post(ctx, s.channel, s.parent(m.Slot), m, slot.Nonce)
		return err
	})
	if kovra.KindOf(err) == kovra.Unclear {
		s.log.WarnContext(ctx, "the end of a post is not known", "thread", s.thread.ID, "slot", m.Slot, "err", err)
		s.stopped = true
		return max(slot.NonceAt.Add(nonceRest).Sub(s.now()), time.Millisecond), nil
	}
	slot.Nonce = "" // what follows is certain: it was posted, or it was not
	if err != nil {
		if saved := s.save(ctx, slot); saved != nil {
			return 0, errors.Join(err, saved)
		}
		return s.refused(ctx, slot, m, err)
	}
	s.budget.Posted(s.budgetKey(m.Slot), time.Now())
	slot.TS, slot.Digest = ts, m.Digest
	return 0, s.save(ctx, slot)
}

func newNonce() string {
	b := make([]byte, nonceBytes)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// save records what is known of a message. It outlives the pass: what was done must be
// known, or it would have to be looked up.
func (s *showing) save(ctx context.Context, slot kovra.Slot) error {
	err := s.db.Update(context.WithoutCancel(ctx), func(tx *storage.Tx) error {
		return tx.SaveSlot(s.thread.ID, slot)
	})
	if err != nil {
		return fmt.Errorf("record message: %w", err)
	}
	s.slots[slot.Key] = slot
	return nil
}

// call sends m, and if Slack does not take it as it is, once more without its blocks.
func (s *showing) call(ctx context.Context, m Message, send func(Message) error) error {
	err := s.inChannel(ctx, func() error { return send(m) })
	if refusedContent(err) {
		s.log.ErrorContext(ctx, "slack refused our blocks", "thread", s.thread.ID, "slot", m.Slot, "err", err)
		err = send(bare(m))
	}
	return err
}

// inChannel runs call, and once more after joining the channel if that is what it
// lacked; joining is tried once in a pass.
func (s *showing) inChannel(ctx context.Context, call func() error) error {
	err := call()
	r, refused := errors.AsType[*Refusal](err)
	if !refused || r.Code != codeNotInChannel || s.joined {
		return err
	}
	s.joined = true
	switch no := s.slack.Join(ctx, s.channel); {
	case no == nil:
		return call()
	case isRefusal(no):
		return err // a member must invite the bot
	default:
		return no
	}
}

func isRefusal(err error) bool {
	_, ok := errors.AsType[*Refusal](err)
	return ok
}

// refusedContent reports whether Slack dislikes what a message says.
func refusedContent(err error) bool {
	r, ok := errors.AsType[*Refusal](err)
	return ok && r.ofContent()
}

// bare is the message without anything that Slack could dislike.
func bare(m Message) Message {
	m.Blocks = []slack.Block{section(clipEscaped(m.Text, maxSection))}
	return m
}

// refused decides what follows from an error of a call about one message.
func (s *showing) refused(ctx context.Context, slot kovra.Slot, m Message, err error) (time.Duration, error) {
	if e, ok := errors.AsType[*kovra.Error](err); ok && e.Retry > 0 {
		return e.Retry, nil // only this method and channel must wait; other messages go on
	}
	r, ok := errors.AsType[*Refusal](err)
	if !ok || !r.Permanent {
		return 0, err
	}
	switch {
	case r.ofChannel():
		return 0, s.giveUp(ctx, r, true)
	case m.Slot == kovra.SlotCard || r.Code == "thread_not_found":
		return 0, s.giveUp(ctx, r, false)
	case r.ofMessage():
		slot.Digest = digestGone
		return 0, s.save(ctx, slot)
	default:
		// Slack refuses even the plain text: it is not tried again until the text changes.
		s.log.ErrorContext(ctx, "slack refused a message", "thread", s.thread.ID, "slot", m.Slot, "err", err)
		slot.Digest = m.Digest
		return 0, s.save(ctx, slot)
	}
}

// giveUp records that the thread, or all of its channel, cannot be written to until
// somebody changes something, and tells those who subscribed the channel, once.
func (s *showing) giveUp(ctx context.Context, r *Refusal, whole bool) error {
	s.broken = true
	if _, alone := s.thread.Person(); alone {
		whole = false // it is about one person, and no channel's subscription
	}
	var stopped []kovra.Subscription
	err := s.db.Update(context.WithoutCancel(ctx), func(tx *storage.Tx) error {
		if err := tx.BreakThread(s.thread.ID, r.reason()); err != nil || !whole {
			return err
		}
		subs, err := tx.Subscriptions(storage.SubscriptionQuery{Channel: s.thread.Channel})
		if err != nil {
			return err
		}
		stopped = slices.DeleteFunc(subs, func(s kovra.Subscription) bool { return s.Paused != "" })
		return tx.PauseSubscriptions(s.thread.Channel, r.reason())
	})
	if err != nil {
		return fmt.Errorf("record refusal: %w", err)
	}
	s.log.WarnContext(ctx, "slack refuses the thread", "thread", s.thread.ID, "channel", s.thread.Channel, "err", r)
	s.tellOwners(ctx, r, stopped)
	return nil
}

// tellOwners tells those who made the subscriptions that they are paused. Class: at most
// once; pausing them was committed before, and only what was not paused yet is told.
func (s *showing) tellOwners(ctx context.Context, r *Refusal, subs []kovra.Subscription) {
	slices.SortFunc(subs, func(a, b kovra.Subscription) int {
		return cmp.Or(strings.Compare(a.CreatedBy, b.CreatedBy), strings.Compare(a.App, b.App))
	})
	for len(subs) > 0 {
		owner := subs[0].CreatedBy
		n := 0
		var apps []string
		for n < len(subs) && subs[n].CreatedBy == owner {
			apps = append(apps, "*"+subs[n].App+"*")
			n++
		}
		subs = subs[n:]
		says := saysPaused
		if n > 1 {
			says = saysPausedAll
		}
		text := fmt.Sprintf(says, listed(apps, maxChannel), channel(s.thread.Channel), r.reason())
		for _, person := range s.owners(ctx, owner) {
			if err := s.slack.Tell(ctx, person, text); err != nil {
				s.log.WarnContext(ctx, "could not tell the owner of a subscription", "channel", s.thread.Channel, "err", err)
			}
		}
	}
}

// owners are who is told in the place of somebody: the administrators, where nobody in Slack made it.
func (s *showing) owners(ctx context.Context, owner string) []string {
	switch {
	case owner != "":
		return []string{owner}
	case s.Admins == nil:
		return nil
	}
	admins, err := s.Admins(ctx)
	if err != nil {
		s.log.WarnContext(ctx, "could not find the administrators", "channel", s.thread.Channel, "err", err)
	}
	return admins
}
