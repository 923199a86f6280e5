package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The ways in which a call can fail. Those that kill end the life of the program there.
var callFaults = []string{
	"refused", "reset", "500", "429", "lost", "slow", "killed before it", "killed after it",
}

// noSpace is a commit that fails while the program lives on.
const noSpace = "no space for a commit"

// commitFaults are the ways in which a commit can end a life, or fail.
var commitFaults = []string{"before a commit", "after a commit", noSpace}

// slowest is how long a call hangs that nobody gives up.
const slowest = 2 * time.Minute

// point is a place at which something goes wrong: the nth call of an endpoint, or the nth commit.
type point struct {
	call  string // "Slack POST chat.postMessage"; "": a commit
	nth   int
	fault string
}

func (p point) String() string {
	if p.call == "" {
		return fmt.Sprintf("%s %d", p.fault, p.nth)
	}
	return fmt.Sprintf("%s %d: %s", p.call, p.nth, p.fault)
}

// faulty counts all calls to peers by endpoint, and lets one of them fail.
type faulty struct {
	point point

	mu    sync.Mutex
	calls map[string]int
	hit   bool
	over  bool        // nothing fails any more
	die   func()      // kills the program
	dead  func() bool // nothing reaches a peer any more
}

// bend puts f in front of a peer.
func (f *faulty) bend(peer string, next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		if f.dead() {
			return nil, errKilled
		}
		if !f.strikes(peer + " " + endpoint(r)) {
			return next.RoundTrip(r)
		}
		return f.fail(peer, next, r)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// strikes counts a call, and reports whether it is the one that fails.
func (f *faulty) strikes(call string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[call]++
	strikes := !f.over && f.point.call == call && f.point.nth == f.calls[call]
	f.hit = f.hit || strikes
	return strikes
}

func (f *faulty) fail(peer string, next http.RoundTripper, r *http.Request) (*http.Response, error) {
	switch f.point.fault {
	case "refused":
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	case "reset":
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	case "500":
		return canned(r, http.StatusInternalServerError, "text/html", "<h1>Whoops, something went wrong on our end</h1>"), nil
	case "429":
		resp := canned(r, http.StatusTooManyRequests, "text/plain", "Retry later")
		resp.Header.Set("Retry-After", "7")
		return resp, nil
	case "killed before it":
		f.die()
		return nil, errKilled
	}
	resp, err := next.RoundTrip(r.WithContext(context.WithoutCancel(r.Context()))) // it is done, whoever waits
	if err == nil {
		_ = resp.Body.Close()
	}
	switch f.point.fault {
	case "lost":
		return nil, fmt.Errorf("read the answer of %s: %w", peer, io.ErrUnexpectedEOF)
	case "slow":
		select {
		case <-r.Context().Done():
			return nil, r.Context().Err()
		case <-time.After(slowest):
			return nil, errors.New("the connection was idle for too long")
		}
	default:
		f.die()
		return nil, errKilled
	}
}

func canned(r *http.Request, code int, kind, body string) *http.Response {
	return &http.Response{
		Status: fmt.Sprintf("%d %s", code, http.StatusText(code)), StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}
}

var (
	numbers   = regexp.MustCompile(`\d+`)
	ourNames  = regexp.MustCompile(`kovra-(build|deploy)-[^/]*|web-[^/]*`)
	hexadecim = regexp.MustCompile(`\b[0-9a-f]{40}\b`)
)

// endpoint names what is called, without what differs from one call to the next.
func endpoint(r *http.Request) string {
	path := hexadecim.ReplaceAllString(r.URL.Path, "SHA")
	if strings.HasPrefix(path, "/response") {
		path = "response_url"
	}
	path = ourNames.ReplaceAllString(strings.TrimPrefix(strings.TrimPrefix(path, "/api/v4"), "/api/"), "NAME")
	word := r.Method
	if r.URL.Query().Get("watch") != "" {
		word = "WATCH"
	}
	return word + " " + numbers.ReplaceAllString(path, "N")
}

// streaming carries requests straight to a handler, and its answer while it is written.
type streaming struct{ h http.Handler }

// RoundTrip implements http.RoundTripper. A cut connection looks like one.
func (s streaming) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	in := r.Clone(ctx)
	if in.Body == nil {
		in.Body = http.NoBody
	}
	from, to := io.Pipe()
	w := &streamed{header: http.Header{}, to: to, begun: make(chan struct{})}
	go func() {
		defer cancel()
		var err error
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("connection cut: %w", io.ErrUnexpectedEOF)
				w.cut = err
			}
			w.WriteHeader(http.StatusOK)
			_ = to.CloseWithError(err)
		}()
		s.h.ServeHTTP(w, in)
	}()
	select {
	case <-w.begun:
	case <-r.Context().Done():
		cancel()
		_ = from.Close()
		return nil, r.Context().Err()
	}
	if w.cut != nil {
		cancel()
		return nil, w.cut
	}
	context.AfterFunc(ctx, func() { _ = to.CloseWithError(context.Canceled) })
	return &http.Response{
		Status: fmt.Sprint(w.code), StatusCode: w.code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: closing{from, cancel}, ContentLength: -1, Request: r,
	}, nil
}

// closing ends the handler when nobody reads its answer any more.
type closing struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (c closing) Close() error {
	c.cancel()
	return c.PipeReader.Close()
}

// streamed is an answer that is read while it is written.
type streamed struct {
	header http.Header
	to     *io.PipeWriter
	once   sync.Once
	begun  chan struct{} // closed when the head is there
	code   int
	sent   http.Header
	cut    error
}

func (w *streamed) Header() http.Header { return w.header }
func (w *streamed) Flush()              {}

func (w *streamed) WriteHeader(code int) {
	w.once.Do(func() {
		w.code, w.sent = code, w.header.Clone()
		close(w.begun)
	})
}

func (w *streamed) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.to.Write(p)
}
