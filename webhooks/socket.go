package webhooks

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/slack-go/slack"
	"golang.org/x/sync/errgroup"
)

// Times and limits of Socket Mode.
const (
	// socketLinks is how many connections are kept open, so that one may go while the
	// other takes what comes. Slack allows ten to an app.
	socketLinks = 2
	// socketAtOnce is how many envelopes are handled at once.
	socketAtOnce = 32
	// socketSilence is how long a connection may say nothing; Slack pings every few seconds.
	socketSilence = 45 * time.Second
	socketWrite   = 5 * time.Second
	socketDial    = 20 * time.Second
	socketFlush   = time.Second // for the last words of a connection

	socketFirstPause = time.Second
	socketLastPause  = time.Minute
	// socketSound is how long a connection must have lived for the next one to follow at once.
	socketSound = 10 * time.Second
	// socketRefusedPause is between tries with a token that Slack refuses.
	socketRefusedPause = 5 * time.Minute

	// socketMaxAck is how large an acknowledgement may be, in bytes. Slack drops larger ones
	// without a word, and does not put together what comes in several frames.
	socketMaxAck = 20<<10 - 1
)

// Outcomes of connections, as given to SocketOptions.Counted for the route "socket".
const (
	outcomeConnected    = "connected"
	outcomeRefused      = "refused"      // Slack does not take the app token
	outcomeDisconnected = "disconnected" // for whatever reason
)

// SocketOptions are what a [Socket] works with; AppToken, Slack and Respond are required.
type SocketOptions struct {
	// AppToken is xapp-…, with the scope connections:write. It is asked for before each connection, so that it may change;
	// see [Socket.Renew].
	AppToken func() string
	API      string       // address of the Web API; "": Slack's own
	HTTP     *http.Client // asks for connections; nil: a plain one
	TLS      *tls.Config  // of the connections; nil: the system's
	// Dial makes the TCP connections; nil: a real one, by the proxy of the environment.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	Slack Slack
	// Respond posts body as JSON to a response_url. It is how an answer arrives that cannot
	// go with the acknowledgement.
	Respond func(ctx context.Context, responseURL string, body any) error

	Log *slog.Logger     // nil: nothing is logged
	Now func() time.Time // nil: time.Now
	// Counted, if set, is told how every envelope and every connection ended; see
	// Options.Counted.
	Counted func(route, outcome string)
}

// Socket takes what people do in Slack over WebSockets that it opens, for teams whose
// server Slack cannot reach. It hands it to the same [Slack] as a [Handler]; nothing needs
// a signature, since nobody but Slack can write into the connection.
type Socket struct {
	SocketOptions

	recent *recent
	places chan struct{} // one for every envelope in hand

	mu      sync.Mutex
	renewed chan struct{} // closed, and replaced, when the token has changed
}

// NewSocket checks o and makes a Socket; it connects in Run.
func NewSocket(o SocketOptions) (*Socket, error) {
	if o.AppToken == nil || o.AppToken() == "" {
		return nil, errors.New("socket mode needs an app-level token")
	}
	if o.Slack == nil || o.Respond == nil {
		return nil, errors.New("socket mode needs a handler and a way to respond")
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Counted == nil {
		o.Counted = func(string, string) {}
	}
	bounded := *o.HTTP
	// A redirect would take the token to where nobody meant it to go.
	bounded.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	o.HTTP, o.API = &bounded, cmp.Or(o.API, slack.APIURL)
	return &Socket{SocketOptions: o, recent: newRecent(), places: make(chan struct{}, socketAtOnce), renewed: make(chan struct{})}, nil
}

// Renew has every connection replaced by one that was opened with the app token as it is now. The old ones go when the
// new ones are there.
func (s *Socket) Renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.renewed)
	s.renewed = make(chan struct{})
}

// renewal is closed at the next Renew.
func (s *Socket) renewal() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renewed
}

// Run keeps connections to Slack open until ctx ends, whatever happens to them. Then it
// takes nothing new, finishes and acknowledges what is in hand, and returns nil.
func (s *Socket) Run(ctx context.Context) error {
	var links errgroup.Group
	for range socketLinks {
		links.Go(func() error { return s.keep(ctx) })
	}
	return links.Wait()
}

// keep keeps one connection open. The next one is opened when Slack says that the present
// one will end, when it has ended, or when the token is another; the old one finishes beside it.
func (s *Socket) keep(ctx context.Context) error {
	var links errgroup.Group
	var old *socketLink // of the token before; it serves until there is another
	pause := time.Duration(0)
	for renewed := s.renewal(); wait(ctx, pause, renewed); {
		renewed = s.renewal()
		l, err := s.connect(ctx)
		if err != nil {
			pause = s.failed(ctx, pause, err)
			continue
		}
		if old != nil {
			old.stopReading()
			old = nil
		}
		next := make(chan struct{})
		links.Go(func() error {
			s.serve(ctx, l, sync.OnceFunc(func() { close(next) }))
			return nil
		})
		select {
		case <-next:
		case <-renewed:
			old, pause = l, 0
			continue
		case <-ctx.Done():
		}
		pause = l.pause(pause, s.Now())
	}
	return links.Wait()
}

// wait waits for d, or until enough is closed, and reports whether there is still something to do.
func wait(ctx context.Context, d time.Duration, enough <-chan struct{}) bool {
	if d <= 0 || ctx.Err() != nil {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-enough:
		return true
	case <-ctx.Done():
		return false
	}
}

// failed says how long to wait after a connection that could not be made.
func (s *Socket) failed(ctx context.Context, pause time.Duration, err error) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	if refusal, ok := errors.AsType[slack.SlackErrorResponse](err); ok && !passing(refusal.Err) {
		s.Counted("socket", outcomeRefused)
		s.Log.ErrorContext(ctx, "slack refuses the app token, nobody in Slack reaches us: check KOVRA_SLACK_APP_TOKEN and that Socket Mode is on",
			"err", err, "next_try", socketRefusedPause)
		return socketRefusedPause
	}
	s.Counted("socket", outcomeUnavailable)
	pause = longer(pause)
	if limited, ok := errors.AsType[*slack.RateLimitedError](err); ok {
		pause = max(pause, limited.RetryAfter)
	}
	s.Log.WarnContext(ctx, "no connection to slack", "err", err, "next_try", pause)
	return pause
}

// passing says whether an error that Slack gives is about the moment and not about us.
func passing(code string) bool {
	switch code {
	case "internal_error", "fatal_error", "service_unavailable", "request_timeout", "ratelimited", "team_added_to_org":
		return true
	}
	return false
}

func longer(pause time.Duration) time.Duration {
	return min(max(2*pause, socketFirstPause), socketLastPause)
}

// connect asks Slack for an address and opens a connection there.
func (s *Socket) connect(ctx context.Context) (*socketLink, error) {
	ctx, cancel := context.WithTimeout(ctx, socketDial)
	defer cancel()
	api := slack.New("", slack.OptionAppLevelToken(s.AppToken()), slack.OptionAPIURL(s.API), slack.OptionHTTPClient(s.HTTP))
	_, address, err := api.StartSocketModeContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for a connection: %w", err)
	}
	// The address is a ticket, hence a secret: no error may hold it.
	if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "wss" && u.Scheme != "ws" {
		return nil, errors.New("slack gave an address that is none")
	} else if u.Scheme == "ws" && strings.HasPrefix(cmp.Or(s.API, slack.APIURL), "https:") {
		return nil, errors.New("slack gave an address without encryption") // a simulator alone speaks so
	}
	dialer := &websocket.Dialer{
		NetDialContext: s.Dial, Proxy: http.ProxyFromEnvironment, TLSClientConfig: s.TLS,
		WriteBufferSize: socketMaxAck + 1<<10, // so that an acknowledgement is one frame
	}
	conn, res, err := dialer.DialContext(ctx, address, nil)
	if res != nil && res.Body != nil {
		_ = res.Body.Close() // of a refused handshake; there is nothing to read
	}
	if err != nil {
		return nil, fmt.Errorf("open a connection: %w", err)
	}
	return newSocketLink(conn, s.Now()), nil
}

// serve handles what comes by a connection until it ends, or ctx does; then it waits for
// what is in hand. renew is called when the next connection should be opened.
func (s *Socket) serve(ctx context.Context, l *socketLink, renew func()) {
	defer renew()
	defer context.AfterFunc(ctx, l.stopReading)()
	var work errgroup.Group
	err := s.read(ctx, l, &work, renew)
	if ctx.Err() == nil {
		s.Log.DebugContext(ctx, "connection to slack ended", "err", err)
	}
	renew()
	_ = work.Wait() // nothing in it returns an error
	l.close()
	s.Counted("socket", outcomeDisconnected)
}

// read takes messages from a connection until it ends.
func (s *Socket) read(ctx context.Context, l *socketLink, work *errgroup.Group, renew func()) error {
	for {
		m, err := l.read()
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil // it is not acknowledged, so Slack gives it to another connection
		default:
		}
		switch m.Type {
		case "hello":
			l.welcome()
			s.Counted("socket", outcomeConnected)
			s.Log.DebugContext(ctx, "connected with slack", "connections", m.Connections)
		case "disconnect":
			s.leave(ctx, m.Reason)
			renew()
		default:
			s.take(ctx, l, work, m)
		}
	}
}

// leave notes why Slack ends a connection.
func (s *Socket) leave(ctx context.Context, reason string) {
	switch reason {
	case "warning", "refresh_requested":
		s.Log.DebugContext(ctx, "slack renews a connection", "reason", reason)
	case "link_disabled":
		s.Log.ErrorContext(ctx, "socket mode was switched off for the app: nobody in Slack reaches us")
	default:
		s.Log.WarnContext(ctx, "slack ends a connection", "reason", reason)
	}
}

// take handles an envelope beside others, as many at once as there are places.
func (s *Socket) take(ctx context.Context, l *socketLink, work *errgroup.Group, m message) {
	if m.EnvelopeID == "" {
		s.Counted("socket", outcomeUnreadable)
		return
	}
	// What was begun is finished, also while we stop; the deadline counts from when it came.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), SlackDeadline)
	select {
	case s.places <- struct{}{}:
	case <-ctx.Done():
		cancel()
		s.Counted(routeOf(m.Type), outcomeUnavailable)
		return
	}
	work.Go(func() error {
		defer cancel()
		defer func() { <-s.places }()
		s.Counted(routeOf(m.Type), s.handle(ctx, l, m))
		return nil
	})
}
