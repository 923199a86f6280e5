package gitlabsim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Version is the GitLab version that the simulator says it is.
const Version = "19.4.0"

// Options sets up a Server. The zero value is usable.
type Options struct {
	// Token is accepted as the token of the bot user "chatops-bot", who is Maintainer of every project that does not list it with
	// another level. Empty means "glpat-sim".
	Token string
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
	// IDBase is added to every id that the server hands out itself, so that two servers never share an id.
	IDBase int64
}

// WebhookDelivery sends one webhook and returns the status code of the answer.
type WebhookDelivery func(ctx context.Context, url string, h http.Header, body []byte) (int, error)

// Server is one simulated GitLab. All methods are safe for concurrent use.
type Server struct {
	now      func() time.Time
	idBase   int64
	born     int64
	wake     chan struct{}
	fallback http.Client // posts webhooks when no other delivery was set

	mu        sync.Mutex
	url       string
	version   string
	counters  map[string]int64
	eventUUID string // shared by all hooks of one action
	users     []*User
	tokens    map[string]*User
	revoked   map[string]bool
	facts     map[string]*tokenFacts  // of tokens
	tests     map[testKey][]time.Time // of hooks
	oauth     oauthState
	projects  []*project
	jobs      map[int64]*job
	calls     []Call
	faults    []*Fault
	fired     map[string]int
	down      bool
	deliver   WebhookDelivery
	queue     hookQueue
}

// New makes a Server with no projects and one user, the bot.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Token == "" {
		o.Token = "glpat-sim"
	}
	s := &Server{
		now: o.Now, idBase: o.IDBase, born: o.Now().UnixNano(), url: "https://gitlab.example.com", version: Version,
		wake: make(chan struct{}, 1), counters: map[string]int64{}, tokens: map[string]*User{}, revoked: map[string]bool{},
		facts: map[string]*tokenFacts{}, tests: map[testKey][]time.Time{}, jobs: map[int64]*job{}, fired: map[string]int{},
		fallback: http.Client{
			Timeout:       hookTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	s.deliver = s.post
	s.AddUser(User{Username: BotUsername, Name: "ChatOps Bot", Email: "chatops-bot@example.com", Token: o.Token})
	return s
}

// SetURL sets the public base URL (no slash at the end): it begins every web_url and is sent as X-Gitlab-Instance.
func (s *Server) SetURL(u string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.url = strings.TrimSuffix(u, "/")
}

// URL returns the public base URL.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url
}

// SetWebhookDelivery replaces the HTTP POST by which webhooks leave.
func (s *Server) SetWebhookDelivery(f func(ctx context.Context, url string, h http.Header, body []byte) (int, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deliver = f
}

// SetDown makes every request answer 503 with the HTML page of GitLab's proxy, until it is called with false.
func (s *Server) SetDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// act runs one action under the lock. All hooks that it fires share one X-Gitlab-Event-UUID, as GitLab's do.
func (s *Server) act(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eventUUID = s.uuid()
	f()
	s.wakeSender()
}

// id returns the next id of one kind of thing; GitLab counts each table by itself.
func (s *Server) id(kind string, first int64) int64 {
	s.counters[kind]++
	return s.idBase + first + s.counters[kind] - 1
}

// uuid returns a fresh UUID. It differs between servers and between runs of one program, but not between two runs on a fake clock.
func (s *Server) uuid() string {
	s.counters["uuid"]++
	sum := sha256.Sum256(fmt.Appendf(nil, "%d/%d/%d", s.born, s.idBase, s.counters["uuid"]))
	h := hex.EncodeToString(sum[:16])
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:32]
}

// sha returns a fresh commit id.
func (s *Server) sha() string {
	s.counters["sha"]++
	sum := sha256.Sum256(fmt.Appendf(nil, "commit %d %d", s.idBase, s.counters["sha"]))
	return hex.EncodeToString(sum[:20])
}

// object is one JSON object of an answer or a payload.
type object = map[string]any

const zeroSHA = "0000000000000000000000000000000000000000"

// restTime writes a time as the REST API does; nil for a time that has not come.
func restTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// hookTime writes a time in the old style that pipeline, job and merge request hooks keep.
func hookTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func isoTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}

func commitTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05-07:00") }

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}
