package slacksim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Client gives an HTTP client whose requests reach the server without a socket,
// whatever their host; for tests with testing/synctest.
func (s *Server) Client() *http.Client {
	return &http.Client{Transport: HandlerTransport(s)}
}

// HandlerTransport carries requests straight to h, without a socket. An aborted
// handler looks like a cut connection, and a caller that gives up cancels the
// context of the request.
func HandlerTransport(h http.Handler) http.RoundTripper {
	return handlerTransport{h}
}

type handlerTransport struct{ h http.Handler }

// RoundTrip runs the handler in a goroutine of its own and waits for it or for
// the end of the request's context.
func (t handlerTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(req.Context()))
	in, err := arrived(ctx, req)
	if err != nil {
		cancel()
		return nil, err
	}
	w := &writer{header: http.Header{}}
	done := make(chan error, 1)
	go func() {
		defer cancel()
		done <- serve(t.h, w, in)
	}()
	select {
	case err := <-done:
		if err != nil {
			return nil, err
		}
		return w.response(req), nil
	case <-req.Context().Done():
		cancel()
		return nil, req.Context().Err()
	}
}

// arrived is req as a server sees it.
func arrived(ctx context.Context, req *http.Request) (*http.Request, error) {
	var body []byte
	if req.Body != nil {
		var err error
		body, err = io.ReadAll(req.Body)
		if err != nil {
			return nil, fmt.Errorf("read request body: %w", err)
		}
		_ = req.Body.Close()
	}
	in := req.Clone(ctx)
	in.Body = io.NopCloser(bytes.NewReader(body))
	in.ContentLength = int64(len(body))
	in.RequestURI = req.URL.RequestURI()
	in.RemoteAddr = "192.0.2.1:1234"
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	return in, nil
}

// serve runs the handler; an abort becomes an error.
func serve(h http.Handler, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler: // as itself, which is how net/http compares it
			err = fmt.Errorf("connection cut: %w", io.ErrUnexpectedEOF)
		default:
			err = errors.Join(errors.New("handler panicked"), fmt.Errorf("%v", p))
		}
	}()
	h.ServeHTTP(w, r)
	return nil
}

// writer keeps an answer in memory.
type writer struct {
	header http.Header
	sent   http.Header
	code   int
	body   bytes.Buffer
}

func (w *writer) Header() http.Header { return w.header }

func (w *writer) WriteHeader(code int) {
	if w.code == 0 {
		w.code, w.sent = code, w.header.Clone()
	}
}

func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// Flush does nothing: the answer is handed over as a whole.
func (w *writer) Flush() {}

func (w *writer) response(req *http.Request) *http.Response {
	w.WriteHeader(http.StatusOK)
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", w.code, http.StatusText(w.code)),
		StatusCode:    w.code,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        w.sent,
		Body:          io.NopCloser(bytes.NewReader(w.body.Bytes())),
		ContentLength: int64(w.body.Len()),
		Request:       req,
	}
}
