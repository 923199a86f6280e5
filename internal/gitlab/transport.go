package gitlab

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
)

// maxBody bounds every answer but a trace: the largest lists are far below it.
const maxBody = 32 << 20

// errTooLarge ends the reading of an answer that nobody should hold in memory.
var errTooLarge = errors.New("answer larger than 32 MiB")

// httpClient makes our own client over the transport of the given one. It follows
// no redirect to another host, where the token would go along, nor of anything but a
// read, which the redirect would turn into something else.
func httpClient(given *http.Client, base *url.URL) *http.Client {
	own := &http.Client{Transport: http.DefaultTransport}
	if given != nil {
		*own = *given
		if own.Transport == nil {
			own.Transport = http.DefaultTransport
		}
	}
	own.Timeout = 0 // deadlines are set per call; a trace may take long
	own.Transport = bounded{own.Transport}
	own.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		first := via[0].Method
		if len(via) > 3 || next.URL.Host != base.Host || next.URL.Scheme != base.Scheme ||
			(first != http.MethodGet && first != http.MethodHead) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	return own
}

// bounded limits the size of answers and notes how far a request came.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	way, watched := r.Context().Value(wayKey{}).(*way)
	if watched {
		way.started.Store(true)
	}
	resp, err := b.next.RoundTrip(r)
	if err == nil && watched {
		resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxBody}
	}
	return resp, err
}

type boundedBody struct {
	io.ReadCloser
	left int64
}

// Read implements [io.Reader].
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

type wayKey struct{}

// way is how far a request came before it failed.
type way struct{ started, wantsConn, gotConn atomic.Bool }

// watch makes requests of the returned context leave their traces in the way.
func watch(ctx context.Context) (context.Context, *way) {
	w := &way{}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { w.wantsConn.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { w.gotConn.Store(true) },
	})
	return context.WithValue(ctx, wayKey{}, w), w
}

// mayHaveArrived is false only when it is certain that GitLab never saw the request:
// it was not begun, or no connection came about.
func (w *way) mayHaveArrived() bool {
	return w.started.Load() && (!w.wantsConn.Load() || w.gotConn.Load())
}
