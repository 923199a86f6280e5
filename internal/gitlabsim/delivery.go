package gitlabsim

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// hookTimeout is how long GitLab waits for the answer to a webhook.
const hookTimeout = 10 * time.Second

// Delivery is one webhook: waiting in the queue, or sent.
type Delivery struct {
	ID, HookID, ProjectID int64
	URL                   string
	Event                 string // X-Gitlab-Event
	Header                http.Header
	Body                  []byte
	Status                int    // of the answer; 0 until sent and after Err
	Err                   string // what went wrong on the way
	Sent                  time.Time

	flag      string // the *_events flag that let it out
	late      bool   // waits until a later one has been sent
	overtaken bool
}

// hookQueue is what waits, what was sent, and what is planned for the next ones.
type hookQueue struct {
	waiting   []*Delivery
	sent      []*Delivery
	held      bool
	duplicate int
	drop      int
	late      int
	dropped   int
}

// emit queues one event for every hook of the project that wants it and is not switched off.
func (s *Server) emit(p *project, flag, event string, body func() object) {
	for _, h := range p.hooks {
		if !h.Events[flag] || h.alert(s.now()) != "executable" {
			continue
		}
		s.enqueueDelivery(s.newDelivery(h, event, body()))
	}
}

func (s *Server) enqueueDelivery(d Delivery) {
	q := &s.queue
	if q.drop > 0 {
		q.drop--
		q.dropped++
		return
	}
	if q.late > 0 {
		q.late--
		d.late = true
	}
	q.waiting = append(q.waiting, &d)
	if q.duplicate > 0 {
		q.duplicate--
		twin := s.again(&d)
		q.waiting = append(q.waiting, &twin)
	}
}

// newDelivery writes the envelope of one webhook, except for what depends on the moment of sending.
func (s *Server) newDelivery(h *hook, event string, body object) Delivery {
	raw, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Sprintf("gitlabsim: payload of %s: %v", event, err)) // built from our own maps: cannot happen
	}
	key := s.uuid()
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set("User-Agent", "GitLab/"+Version)
	header.Set("Idempotency-Key", key)
	header.Set("X-Gitlab-Event", event)
	header.Set("X-Gitlab-Event-UUID", s.eventUUID)
	header.Set("X-Gitlab-Instance", s.url)
	header.Set("webhook-id", key)
	return Delivery{
		ID: s.id("delivery", 1), HookID: h.ID, ProjectID: h.ProjectID, URL: h.URL, Event: event, Header: header, Body: raw,
		flag: flagOf[event],
	}
}

// again copies a delivery for a second way out: same body, same Idempotency-Key.
func (s *Server) again(d *Delivery) Delivery {
	c := *d
	c.ID, c.Header = s.id("delivery", 1), d.Header.Clone()
	c.Status, c.Err, c.Sent, c.late, c.overtaken = 0, "", time.Time{}, false, false
	return c
}

// finishHeader adds what is made anew for each sending: the delivery's UUID, the time, the token and the signature.
func (s *Server) finishHeader(d *Delivery, h *hook) {
	stamp := strconv.FormatInt(s.now().Unix(), 10)
	d.Header.Set("X-Gitlab-Webhook-UUID", s.uuid())
	d.Header.Set("webhook-timestamp", stamp)
	if h.Token != "" {
		d.Header.Set("X-Gitlab-Token", h.Token)
	}
	if key, signed := signingKey(h.SigningToken); signed {
		mac := hmac.New(sha256.New, key)
		_, _ = fmt.Fprintf(mac, "%s.%s.%s", d.Header.Get("webhook-id"), stamp, d.Body)
		d.Header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
}

// take removes the next delivery that may go. A late one may go once a later one has been taken.
func (s *Server) take() *Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &s.queue
	if q.held {
		return nil
	}
	for i, d := range q.waiting {
		if d.late && !d.overtaken {
			continue
		}
		for _, earlier := range q.waiting[:i] {
			earlier.overtaken = true
		}
		q.waiting = append(q.waiting[:i:i], q.waiting[i+1:]...)
		return d
	}
	return nil
}

// send delivers d once, notes the answer and counts it for the hook. A hook that is gone or rests sends nothing, unless forced.
func (s *Server) send(ctx context.Context, d *Delivery, force bool) {
	s.mu.Lock()
	h := s.findHook(d.HookID)
	if h == nil || !force && h.alert(s.now()) != "executable" {
		s.mu.Unlock()
		return
	}
	d.URL = h.URL
	s.finishHeader(d, h)
	d.Sent = s.now()
	deliver := s.deliver
	s.mu.Unlock()

	status, err := deliver(ctx, d.URL, d.Header.Clone(), bytes.Clone(d.Body))

	s.mu.Lock()
	defer s.mu.Unlock()
	d.Status = status
	if err != nil {
		d.Status, d.Err = 0, err.Error()
	}
	s.queue.sent = append(s.queue.sent, d)
	h.record(d.answered(), s.now())
}

// answered says whether GitLab counts the answer as a success.
func (d *Delivery) answered() bool { return d.Err == "" && d.Status >= 200 && d.Status < 400 }

// SendAll sends what waits, one after the other, including what is queued meanwhile. Held and late deliveries stay. Like GitLab it
// never sends again; the error names the deliveries that failed, or is the context's.
func (s *Server) SendAll(ctx context.Context) error {
	var failures []error
	for {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(failures, err)...)
		}
		d := s.take()
		if d == nil {
			return errors.Join(failures...)
		}
		s.send(ctx, d, false)
		switch {
		case d.Sent.IsZero(), d.answered():
		case d.Err != "":
			failures = append(failures, fmt.Errorf("deliver %s to %s: %s", d.Event, d.URL, d.Err))
		default:
			failures = append(failures, fmt.Errorf("deliver %s to %s: status %d", d.Event, d.URL, d.Status))
		}
	}
}

// settleAfter is how long a runner takes to give back a job that is being cancelled, while Run runs.
const settleAfter = 2 * time.Second

// Run sends hooks as they come and settles jobs that are being cancelled, until ctx ends. It returns nil then.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(settleAfter)
	defer tick.Stop()
	for {
		_ = s.SendAll(ctx) // the history of each hook has the failures
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-tick.C:
			s.settleAll()
		}
	}
}

func (s *Server) settleAll() {
	s.act(func() {
		for _, p := range s.projects {
			for _, pl := range p.pipelines {
				if pl.firstRunning(false) != nil {
					s.settle(pl)
				}
			}
		}
	})
}

func (s *Server) wakeSender() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// post is the default delivery: a real HTTP POST whose redirects are not followed.
func (s *Server) post(ctx context.Context, url string, h http.Header, body []byte) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("make the request: %w", err)
	}
	req.Header = h
	resp, err := s.fallback.Do(req)
	if err != nil {
		return 0, fmt.Errorf("post the webhook: %w", err)
	}
	defer resp.Body.Close()                                      //nolint:errcheck // only read
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 8<<10)) // GitLab keeps 8 KB of it, for people only
	return resp.StatusCode, nil
}

// Deliveries returns what was sent, oldest first.
func (s *Server) Deliveries() []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return copies(s.queue.sent)
}

// Waiting returns what is queued.
func (s *Server) Waiting() []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return copies(s.queue.waiting)
}

// Dropped says how many deliveries DropNext made disappear.
func (s *Server) Dropped() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.dropped
}

func copies(list []*Delivery) []Delivery {
	out := make([]Delivery, 0, len(list))
	for _, d := range list {
		c := *d
		c.Header, c.Body = d.Header.Clone(), bytes.Clone(d.Body)
		out = append(out, c)
	}
	return out
}

// HoldHooks keeps everything in the queue until ReleaseHooks.
func (s *Server) HoldHooks() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue.held = true
}

// ReleaseHooks lets the queue go again, late deliveries too, in the order (and with the omissions and repetitions) that order returns;
// nil keeps it.
func (s *Server) ReleaseHooks(order func([]Delivery) []Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &s.queue
	list := copies(q.waiting)
	if order != nil {
		list = order(list)
	}
	q.held, q.waiting = false, nil
	for _, d := range list {
		d.late = false
		d.Header = d.Header.Clone() // one that was repeated must not share it
		q.waiting = append(q.waiting, &d)
	}
	s.wakeSender()
}

// DuplicateNext sends each of the next n deliveries twice, with one Idempotency-Key.
func (s *Server) DuplicateNext(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue.duplicate = n
}

// DropNext loses the next n deliveries.
func (s *Server) DropNext(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue.drop = n
}

// LateNext holds the next delivery back until one that was queued after it has been sent. ReleaseHooks sends it in any case.
func (s *Server) LateNext() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue.late++
}

// Resend queues the i-th of Deliveries once more, with its Idempotency-Key, as the button in GitLab does.
func (s *Server) Resend(i int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i < 0 || i >= len(s.queue.sent) {
		return fmt.Errorf("no delivery %d: %d were sent", i, len(s.queue.sent))
	}
	d := s.again(s.queue.sent[i])
	s.queue.waiting = append(s.queue.waiting, &d)
	s.wakeSender()
	return nil
}

func jsonOf(raw []byte) any {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return string(raw)
	}
	return v
}
