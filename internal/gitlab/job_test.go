package gitlab

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/kovra"
)

func TestTrace(t *testing.T) {
	w := newWorld(t)
	_, ref := w.web.Push("main", "x", "alice")
	job := w.sim.Jobs(w.web.ID, ref.ID)[0].ID
	read := func() string {
		t.Helper()
		r, err := w.Trace(t.Context(), w.web.ID, job)
		must(t, err)
		b, err := io.ReadAll(r)
		must(t, err)
		must(t, r.Close())
		return string(b)
	}
	if got := read(); got != "" {
		t.Errorf("got %q of a job without a log", got)
	}
	log := strings.Repeat("a line of the log\n", 100_000)
	must(t, w.sim.AppendTrace(job, log))
	if got := read(); got != log {
		t.Errorf("got %d bytes, want %d", len(got), len(log))
	}
	_, err := w.Trace(t.Context(), w.web.ID, 99999)
	if e := wantKind(t, err, kovra.NotFound); !strings.Contains(e.Public, "job 99999") {
		t.Errorf("got %q", e.Public)
	}
	w.sim.Fault(gitlabsim.RateLimit("GET /projects/:id/jobs/:job_id/trace", 9*time.Second))
	_, err = w.Trace(t.Context(), w.web.ID, job)
	if e := wantKind(t, err, kovra.Unavailable); e.RetryAfter() != 9*time.Second {
		t.Errorf("got %s", e.RetryAfter())
	}
	w.sim.Fault(gitlabsim.LoseReply("GET /projects/:id/jobs/:job_id/trace"))
	_, err = w.Trace(t.Context(), w.web.ID, job)
	wantKind(t, err, kovra.Unavailable)
}

// stalling gives some bytes and then nothing until it is closed or its context ends.
type stalling struct {
	start io.Reader
	done  <-chan struct{}
}

func (s *stalling) Read(p []byte) (int, error) {
	if n, err := s.start.Read(p); err == nil {
		return n, nil
	}
	<-s.done
	return 0, errors.New("canceled")
}

func (*stalling) Close() error { return nil }

func TestTraceEndsWithSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			resp := answer(r, 200, "")
			resp.Body = &stalling{strings.NewReader("begin"), r.Context().Done()}
			return resp, nil
		})})
		r, err := c.Trace(t.Context(), 1, 2)
		must(t, err)
		p := make([]byte, 100)
		if n, err := r.Read(p); n != 5 || err != nil {
			t.Fatalf("got %d, %v", n, err)
		}
		time.Sleep(time.Hour) // a slow reader is no silent GitLab
		start := time.Now()
		_, err = r.Read(p)
		if e := wantKind(t, err, kovra.Unavailable); !strings.Contains(e.Public, "in time") {
			t.Errorf("got %q", e.Public)
		}
		if took := time.Since(start); took != defaultTimeout {
			t.Errorf("took %s", took)
		}
		must(t, r.Close())
	})
}

func TestTraceThatBreaks(t *testing.T) {
	done := make(chan struct{})
	close(done)
	c := newClient(t, &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		resp := answer(r, 200, "")
		resp.Body = &stalling{strings.NewReader("begin"), done}
		return resp, nil
	})})
	r, err := c.Trace(t.Context(), 1, 2)
	must(t, err)
	defer r.Close()
	_, err = io.ReadAll(r)
	wantKind(t, err, kovra.Unavailable)
}
