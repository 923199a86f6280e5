package webhooks

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"

	"kovra.dev/chatops/storage"
)

// Limits and times of requests.
const (
	DefaultMaxBytes = 25 << 20                // GitLab sends no larger body
	SlackMaxBytes   = 1 << 20                 // far above what Slack sends
	Tolerance       = 5 * time.Minute         // how far the time of a signature may be off
	SlackDeadline   = 2800 * time.Millisecond // Slack gives up after 3 s
)

// Outcomes of a request, as given to Options.Counted.
const (
	outcomeStored       = "stored"
	outcomeRepeated     = "repeated" // stored before under the same key
	outcomeUnauthorized = "unauthorized"
	outcomeTooLarge     = "too_large"
	outcomeUnreadable   = "unreadable" // the client went away or sent nonsense
	outcomeUnavailable  = "unavailable"
	outcomeAnswered     = "answered"
	outcomeFailed       = "failed" // the handler returned an error
	outcomeChecked      = "checked"
	outcomePanicked     = "panicked"
)

// Options are what a [Handler] works with.
type Options struct {
	DB *storage.DB // takes the deliveries of GitLab

	// GitLabSecrets are the values of X-Gitlab-Token that open the door.
	GitLabSecrets []string
	// GitLabSigningTokens are the tokens (whsec_…) of signed webhooks. Where one is set, a
	// delivery that carries a signature is judged by it alone.
	GitLabSigningTokens []string
	// MaxBytes is the largest body of GitLab; 0: [DefaultMaxBytes].
	MaxBytes int64

	// Slack takes the requests of Slack; nil: there are no routes for them, as in Socket Mode.
	Slack Slack
	// SlackSigningSecret is required with Slack.
	SlackSigningSecret string

	Log *slog.Logger     // nil: nothing is logged
	Now func() time.Time // nil: time.Now
	// Refused, if set, is told which project a delivery says it is of that came with another secret than ours. Anybody may
	// say so: it is a hint, of which few are passed on when many come. It is called concurrently and must not block.
	Refused func(project int64)
	// Counted, if set, is told how every request ended, for metrics. Both words come
	// from small fixed sets. It is called concurrently and must not block.
	Counted func(route, outcome string)
}

// Handler answers the requests of GitLab and Slack. It is safe for concurrent use.
type Handler struct {
	db       *storage.DB
	proofs   atomic.Pointer[proofs]
	slack    Slack
	maxBytes int64
	large    chan struct{} // holds a place for every large body in memory
	log      *slog.Logger
	now      func() time.Time
	counted  func(route, outcome string)
	refused  func(project int64) // nil: nobody wants to know
	knocking *rate.Limiter
	knockers chan struct{} // holds a place for every refused request of which a little is read
}

// proofs are what GitLab and Slack prove themselves with.
type proofs struct {
	gitlab gitlabKeys
	slack  []byte
}

// New checks o and makes a Handler. A secret that is missing, empty or malformed is
// an error: it must never open the door.
func New(o Options) (*Handler, error) {
	if o.DB == nil {
		return nil, errors.New("webhooks need a database")
	}
	h := &Handler{
		db: o.DB, slack: o.Slack,
		maxBytes: cmp.Or(o.MaxBytes, DefaultMaxBytes), large: make(chan struct{}, largeAtOnce), log: o.Log, now: o.Now, counted: o.Counted,
		refused: o.Refused, knocking: rate.NewLimiter(rate.Every(knocksEvery), knocksBurst), knockers: make(chan struct{}, knocks),
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.now == nil {
		h.now = time.Now
	}
	if h.counted == nil {
		h.counted = func(string, string) {}
	}
	if err := h.Renew(o.GitLabSecrets, o.GitLabSigningTokens, o.SlackSigningSecret); err != nil {
		return nil, err
	}
	return h, nil
}

// Renew replaces the secrets of [Options] for all requests that come from now on. Those that New would refuse are an
// error, and leave the old ones in their place.
func (h *Handler) Renew(gitlabSecrets, gitlabSigningTokens []string, slackSigningSecret string) error {
	keys, err := newGitLabKeys(gitlabSecrets, gitlabSigningTokens)
	if err != nil {
		return err
	}
	if h.slack != nil && slackSigningSecret == "" {
		return errors.New("requests of Slack need a signing secret")
	}
	h.proofs.Store(&proofs{gitlab: keys, slack: []byte(slackSigningSecret)})
	return nil
}

// Engine makes a gin engine with the routes of h. Unknown paths are answered 404,
// other methods 405, a panic 500 after one line in the log. Further routes may be
// added to it before it serves.
func (h *Handler) Engine() *gin.Engine {
	gin.SetMode(gin.ReleaseMode) // or gin writes to standard output
	e := gin.New()
	e.HandleMethodNotAllowed = true
	e.RedirectTrailingSlash = false // a redirected POST arrives without its body
	_ = e.SetTrustedProxies(nil)    // unreachable: without proxies there is none to refuse
	e.Use(h.survive)
	h.Routes(e)
	return e
}

// Routes adds the routes of GitLab, and of Slack where Slack comes by HTTP, to r.
func (h *Handler) Routes(r gin.IRouter) {
	h.post(r, "/webhooks/gitlab", "gitlab", h.acceptGitLab)
	if h.slack == nil {
		return
	}
	h.post(r, "/slack/commands", "commands", h.acceptCommand)
	h.post(r, "/slack/interactions", "interactions", h.acceptInteraction)
	h.post(r, "/slack/events", "events", h.acceptEvent)
	r.GET("/slack/commands", checkCertificate)
}

// post adds a route whose handler returns how the request ended.
func (h *Handler) post(r gin.IRouter, path, name string, accept func(*gin.Context) string) {
	r.POST(path, func(c *gin.Context) { h.counted(name, accept(c)) })
}

// survive keeps the server up when a handler panics. A request that net/http was
// told to abort is left to it.
func (h *Handler) survive(c *gin.Context) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(p)
		}
		h.log.ErrorContext(c.Request.Context(), "request panicked",
			"path", c.FullPath(), "err", fmt.Sprint(p), "stack", string(debug.Stack()))
		h.counted("any", outcomePanicked)
		c.Abort()
		if !c.Writer.Written() {
			c.Status(http.StatusInternalServerError)
		}
	}()
	c.Next()
}

// refuse ends a request with a status and no body.
func refuse(c *gin.Context, status int, outcome string) string {
	c.AbortWithStatus(status)
	return outcome
}

var errTooLarge = errors.New("body over the limit")

// firstRead bounds what is set aside on the word of a Content-Length alone.
const firstRead = 64 << 10

// readBody reads the whole body, or returns errTooLarge as soon as it is known to
// be larger than limit.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, errTooLarge
	}
	var buf bytes.Buffer
	buf.Grow(int(min(max(r.ContentLength, 0), firstRead)) + bytes.MinRead)
	body := io.LimitReader(r.Body, limit+1)
	if r.ContentLength > firstRead {
		// Once the beginning has really come, room for exactly the rest: to double it again and again would take three times as much.
		if _, err := io.CopyN(&buf, body, firstRead); err != nil {
			return nil, fmt.Errorf("read the body: %w", err)
		}
		buf.Grow(int(r.ContentLength-firstRead) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	if int64(buf.Len()) > limit {
		return nil, errTooLarge
	}
	return buf.Bytes(), nil
}

// refuseBody answers a body that could not be read.
func refuseBody(c *gin.Context, err error) string {
	if errors.Is(err, errTooLarge) {
		c.Header("Connection", "close") // the rest of the body is not worth reading
		return refuse(c, http.StatusRequestEntityTooLarge, outcomeTooLarge)
	}
	return refuse(c, http.StatusBadRequest, outcomeUnreadable)
}
