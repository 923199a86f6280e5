// Package web is the log viewer: the page that shows a whole log in a browser, and the
// addresses from which the page and other programs read it, live while a job or build runs.
//
// It is used by mounting [Viewer.Handler] at /logs/ and /viewer/; [Viewer.Stop] ends the
// streams before the server drains. A link opens one log for whoever has it. That
// somebody reads is told to storage alone, whose other side fetches what is missing.
//
// Where a sign-in is asked for, [Readers] decides before anything of a log is looked at.
//
// It never asks GitLab itself, starts no goroutine, keeps nothing of a log in memory beyond the
// lines in hand, and never shows another log than the one that a link was signed for.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

const (
	mostStreams  = 1000 // readers of live logs at once
	mostSearches = 4    // searches that run at once; others wait for their turn
	writeFor     = 30 * time.Second
	waitForLines = 10 * time.Second
)

// Readers decides who may read logs, where a link alone does not suffice.
type Readers interface {
	// MayReadLog returns nil if whoever sent the request may read the log. Else the error is Unconnected: they
	// must sign in; Denied, with a sentence for them; or Unavailable.
	MayReadLog(r *http.Request, key kovra.LogKey) error
	// SignIn is where a browser signs in to read the log of a link.
	SignIn(link string) string
}

// Options are what a [Viewer] stands on. Zero values are replaced by the defaults.
type Options struct {
	DB   *storage.DB
	Logs *storage.Logs
	// Retention is how long a log may be read after its job or build ended; 90 days.
	Retention time.Duration
	Log       *slog.Logger
	Readers   Readers // nil: whoever has a link may read its log
	// Heartbeat is how often a stream shows that it is alive; 15 s.
	Heartbeat time.Duration
}

// Viewer answers for logs. Its methods may be called from any goroutine.
type Viewer struct {
	Options
	shell    *shell
	streams  streams
	searches chan struct{} // holds a token for each search that runs
	patience time.Duration // how long a raw log waits for lines that nobody has fetched yet
	writeFor time.Duration // in which a reader has to take the bytes of one write
}

// New makes a viewer.
func New(o Options) *Viewer {
	if o.Retention <= 0 {
		o.Retention = 90 * 24 * time.Hour
	}
	if o.Heartbeat <= 0 {
		o.Heartbeat = 15 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Viewer{
		Options: o, shell: loadShell(), streams: streams{most: mostStreams, of: map[*stream]struct{}{}},
		searches: make(chan struct{}, mostSearches), patience: waitForLines, writeFor: writeFor,
	}
}

// Handler answers below /logs/ and /viewer/.
func (v *Viewer) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /logs/{link}", v.compressed(v.open(v.page, v.refusePage, true)))
	mux.HandleFunc("GET /logs/{link}/info", v.compressed(v.open(v.info, v.refuse, true)))
	mux.HandleFunc("GET /logs/{link}/lines", v.compressed(v.open(v.lines, v.refuse, true)))
	mux.HandleFunc("GET /logs/{link}/search", v.compressed(v.open(v.search, v.refuse, false)))
	mux.HandleFunc("GET /logs/{link}/raw", v.compressed(v.open(v.raw, v.refuse, true)))
	mux.HandleFunc("GET /logs/{link}/stream", v.open(v.stream, v.refuse, true))
	mux.HandleFunc("GET /viewer/{name}", v.compressed(v.asset))
	return guarded(mux)
}

// policy lets the page load its own files and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guarded sets what every answer says, those of the mux included. No referrer is sent, since
// the address of a log is all that one needs to read it.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Robots-Tag", "noindex")
		h.Set("Content-Security-Policy", policy)
		next.ServeHTTP(w, r)
	})
}

// answer writes what was asked for of a log. The log's ID is 0 when nothing of it is
// kept. An error before the first byte becomes a refusal.
type answer func(http.ResponseWriter, *http.Request, kovra.Log) error

// open finds the log of the link in the address. With touch a GET says that somebody reads it.
func (v *Viewer) open(next answer, refuse func(http.ResponseWriter, *http.Request, *refusal), touch bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		log, err := v.find(r, touch)
		if err == nil {
			err = next(w, r, log)
		}
		if err == nil || hasLeft(r, err) {
			return
		}
		no := refusalOf(err)
		if no.status == http.StatusInternalServerError {
			v.Log.ErrorContext(r.Context(), "cannot show a log", "log", log.Key.String(), "err", err)
		}
		refuse(w, r, no)
	}
}

func (v *Viewer) find(r *http.Request, touch bool) (kovra.Log, error) {
	key, ok := v.DB.OpenLink(r.PathValue("link"))
	if !ok {
		return kovra.Log{}, errNoSuchLink
	}
	if v.Readers != nil {
		if err := v.Readers.MayReadLog(r, key); err != nil {
			return kovra.Log{Key: key}, v.unread(r, err)
		}
	}
	log, err := v.Logs.Find(r.Context(), key)
	switch {
	case kovra.KindOf(err) == kovra.NotFound && err != nil:
		log = kovra.Log{Key: key}
	case err != nil:
		return kovra.Log{Key: key}, err
	case v.expired(log):
		return log, v.tooOld(log)
	}
	if !touch || r.Method != http.MethodGet || isPreview(r) {
		return log, nil
	}
	return v.Logs.Touch(r.Context(), key)
}

// expired reports whether the log may not be read any more, though it may still be there.
func (v *Viewer) expired(log kovra.Log) bool {
	at := log.Subject.FinishedAt
	if at.IsZero() {
		at = log.CreatedAt
	}
	return !at.IsZero() && v.DB.Now().Sub(at) > v.Retention
}

// previews are programs that open every link that somebody posts. Nobody reads then.
var previews = []string{
	"Slackbot", "Discordbot", "TelegramBot", "Twitterbot", "LinkedInBot", "Googlebot", "bingbot", "facebookexternalhit", "SkypeUriPreview",
}

func isPreview(r *http.Request) bool {
	agent := r.UserAgent()
	for _, p := range previews {
		if strings.Contains(agent, p) {
			return true
		}
	}
	return false
}

// streams are those that run.
type streams struct {
	most    int
	mu      sync.Mutex
	stopped bool
	of      map[*stream]struct{}
}

func (s *streams) enter(one *stream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return &refusal{status: http.StatusServiceUnavailable, text: "The server restarts. Try again in a moment.", after: 2 * time.Second}
	}
	if len(s.of) >= s.most {
		return &refusal{status: http.StatusServiceUnavailable, text: "Too many logs are followed at the moment. Try again in a moment.", after: 5 * time.Second}
	}
	s.of[one] = struct{}{}
	return nil
}

func (s *streams) leave(one *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, one)
}

// Stop ends all streams at once, also those whose readers are slow, and lets no new ones
// begin. Their readers come back by themselves.
func (v *Viewer) Stop() {
	s := &v.streams
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for one := range s.of {
		one.cancel()
		_ = one.control.SetWriteDeadline(time.Now()) // after cancel, so that it stays the last
	}
}

// enterSearch waits for a turn. The caller gives it back with leaveSearch.
func (v *Viewer) enterSearch(ctx context.Context) error {
	select {
	case v.searches <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (v *Viewer) leaveSearch() { <-v.searches }
