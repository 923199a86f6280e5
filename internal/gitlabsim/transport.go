package gitlabsim

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
)

// Client returns an HTTP client whose every request is answered by s in the calling goroutine, whatever the host: no sockets, so it
// works inside testing/synctest. It does not follow redirects to anywhere else.
func (s *Server) Client() *http.Client { return &http.Client{Transport: inMemory{s}} }

type inMemory struct{ s *Server }

// RoundTrip serves the request. A cut connection becomes io.ErrUnexpectedEOF, a cancelled context its error.
func (t inMemory) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	defer in.Body.Close() //nolint:errcheck // a request body of our own process
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			resp, err = nil, fmt.Errorf("%s %s: %w", r.Method, r.URL.Path, io.ErrUnexpectedEOF)
		default:
			panic(p)
		}
	}()
	w := &lazyRecorder{ResponseRecorder: httptest.NewRecorder()}
	t.s.ServeHTTP(w, in)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	resp = w.Result()
	resp.Request = r
	if w.body != nil {
		resp.Body = io.NopCloser(w.body)
	}
	return resp, nil
}

// lazyRecorder keeps an answer; a body in bulk is made while it is read.
type lazyRecorder struct {
	*httptest.ResponseRecorder
	body io.Reader
}

func (w *lazyRecorder) take(body io.Reader) { w.body = body }
