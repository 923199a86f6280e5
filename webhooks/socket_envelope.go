package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"runtime/debug"
	"sync"
	"time"
)

// Kinds of envelopes.
const (
	envelopeCommand     = "slash_commands"
	envelopeInteraction = "interactive"
	envelopeEvent       = "events_api"
)

// respondTimeout bounds an answer that is sent by response_url.
const respondTimeout = 10 * time.Second

// routeOf is what an envelope is counted as: the same as by HTTP.
func routeOf(kind string) string {
	switch kind {
	case envelopeCommand:
		return "commands"
	case envelopeInteraction:
		return "interactions"
	case envelopeEvent:
		return "events"
	}
	return "socket"
}

// handle does what an envelope asks for, once, and then acknowledges it. So a crash loses
// nothing: what was not acknowledged Slack sends again, or shows as failed.
func (s *Socket) handle(ctx context.Context, l *socketLink, m message) (outcome string) {
	var ids struct {
		Event   string `json:"event_id"`
		Trigger string `json:"trigger_id"`
		Respond string `json:"response_url"`
	}
	_ = tolerantly(m.Payload, &ids) // what is not there is ""
	d, first := s.recent.begin(s.Now(), m.EnvelopeID, ids.Event, ids.Trigger)
	if !first {
		return s.again(ctx, l, m, d)
	}
	body, outcome, err := s.ask(ctx, m)
	if err != nil {
		s.complain(ctx, m, err)
	}
	if err != nil && m.Type == envelopeEvent {
		s.recent.fail(d)
		return outcome // not acknowledged: Slack sends it again
	}
	if left := s.acknowledge(ctx, l, m, body); left {
		s.respond(ctx, m, ids.Respond, body)
		body = nil
	}
	s.recent.end(d, body)
	return outcome
}

// again acknowledges an envelope that came before, in whatever dress, once that one was
// handled, in the same words: nobody knows which of the two Slack listens to.
func (s *Socket) again(ctx context.Context, l *socketLink, m message, d *deed) string {
	select {
	case <-d.done:
	case <-ctx.Done():
		return outcomeUnavailable
	}
	body, failed := s.recent.outcome(d)
	if failed {
		return outcomeFailed
	}
	s.acknowledge(ctx, l, m, body)
	return outcomeRepeated
}

// ask lets the handler answer. A panic is an error like others.
func (s *Socket) ask(ctx context.Context, m message) (body []byte, outcome string, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.Counted("any", outcomePanicked)
			err = &panicError{value: fmt.Sprint(p), stack: string(debug.Stack())}
		}
		if err != nil {
			outcome = outcomeFailed
		}
		if err != nil && m.Type == envelopeCommand {
			body = apology(err)
		}
	}()
	outcome = outcomeAnswered
	switch m.Type {
	case envelopeCommand:
		body, err = s.Slack.Command(ctx, formOf(m.Payload))
	case envelopeInteraction:
		body, err = s.Slack.Interaction(ctx, m.Payload)
	case envelopeEvent:
		err = s.Slack.Event(ctx, m.Payload)
	default:
		outcome = outcomeUnreadable // acknowledged, or it would come again and again
	}
	return body, outcome, err
}

// panicError is a panic of the handler.
type panicError struct{ value, stack string }

func (e *panicError) Error() string { return "panicked: " + e.value }

func (s *Socket) complain(ctx context.Context, m message, err error) {
	if p, ok := errors.AsType[*panicError](err); ok {
		s.Log.ErrorContext(ctx, "slack envelope panicked", "type", m.Type, "err", p.value, "stack", p.stack)
		return
	}
	s.Log.ErrorContext(ctx, "slack envelope failed", "type", m.Type, "err", err)
}

// formOf is a slash command as HTTP brings it.
func formOf(payload []byte) url.Values {
	var fields map[string]any
	_ = json.Unmarshal(payload, &fields) // no object: a command without words
	form := url.Values{}
	for key, value := range fields {
		switch v := value.(type) {
		case string:
			form.Set(key, v)
		case bool:
			form.Set(key, fmt.Sprint(v))
		}
	}
	return form
}

// acknowledge says that an envelope was handled, with the answer where Slack takes one. It
// reports whether there is an answer that did not go with it.
func (s *Socket) acknowledge(ctx context.Context, l *socketLink, m message, body []byte) (left bool) {
	with := body
	if !m.Accepts {
		with = nil
	}
	fits, err := l.acknowledge(m.EnvelopeID, with)
	if !fits && err == nil {
		with = nil
		_, err = l.acknowledge(m.EnvelopeID, nil)
	}
	if err != nil {
		s.Log.WarnContext(ctx, "slack envelope not acknowledged", "type", m.Type, "err", err)
	}
	return len(body) > 0 && (err != nil || with == nil)
}

// respond sends the answer to a command that could not go with its acknowledgement. Class:
// at most once. Other answers are worth nothing later.
func (s *Socket) respond(ctx context.Context, m message, to string, body []byte) {
	if m.Type != envelopeCommand || to == "" {
		s.Log.WarnContext(ctx, "answer to slack lost", "type", m.Type, "bytes", len(body))
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), respondTimeout)
	defer cancel()
	if err := s.Respond(ctx, to, json.RawMessage(body)); err != nil {
		s.Log.WarnContext(ctx, "answer to slack lost", "type", m.Type, "err", err)
	}
}

// How much is remembered of what was handled. Slack sends an event again for some minutes.
const (
	recentAge     = 15 * time.Minute
	recentMost    = 10_000
	recentAnswers = 64 // of the newest: Slack waits for an answer for three seconds
)

// recent remembers what was handled lately. It is a courtesy, not the guarantee: what must
// not happen twice has a lock in storage, which survives us.
type recent struct {
	mu   sync.Mutex
	byID map[string]*deed
	old  []*deed // oldest first
}

// deed is one thing that is handled once, by all the names under which it may come.
type deed struct {
	ids    []string
	at     time.Time
	done   chan struct{} // closed when it was handled
	failed bool          // it may come again
	body   []byte        // the answer that went with the acknowledgement
}

func newRecent() *recent { return &recent{byID: map[string]*deed{}} }

// begin reports whether the thing with these ids comes for the first time. If so, end or fail
// must be called; else d is what came before. An empty id is none.
func (r *recent) begin(now time.Time, ids ...string) (d *deed, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.old) > 0 && (len(r.old) >= recentMost || now.Sub(r.old[0].at) > recentAge) {
		r.forget(r.old[0])
		r.old = r.old[1:]
	}
	for _, id := range ids {
		if d := r.byID[id]; d != nil {
			return d, false
		}
	}
	d = &deed{at: now, done: make(chan struct{})}
	for _, id := range ids {
		if id != "" {
			d.ids = append(d.ids, id)
			r.byID[id] = d
		}
	}
	r.old = append(r.old, d)
	if n := len(r.old) - recentAnswers; n > 0 {
		r.old[n-1].body = nil
	}
	return d, true
}

// end says that it was handled, and what was answered.
func (r *recent) end(d *deed, body []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d.body = body
	close(d.done)
}

// fail says that it was not handled, and is as if it had never come.
func (r *recent) fail(d *deed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d.failed = true
	r.forget(d)
	close(d.done)
}

// outcome is how something ended whose done is closed.
func (r *recent) outcome(d *deed) (body []byte, failed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return d.body, d.failed
}

func (r *recent) forget(d *deed) {
	for _, id := range d.ids {
		if r.byID[id] == d {
			delete(r.byID, id)
		}
	}
}
