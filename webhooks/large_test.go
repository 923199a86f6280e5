package webhooks

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// slow is a body that says when it is first read, and ends when it may.
type slow struct {
	reading chan<- struct{}
	end     <-chan struct{}
	said    bool
}

func (s *slow) Read([]byte) (int, error) {
	if !s.said {
		s.said = true
		s.reading <- struct{}{}
	}
	<-s.end
	return 0, io.EOF
}

// However many large bodies come at once, a few of them are in memory; small ones do not wait.
func TestLargeBodiesTakeTurns(t *testing.T) {
	h, err := New(Options{DB: openDB(t), GitLabSecrets: []string{testSecret}})
	if err != nil {
		t.Fatal(err)
	}
	engine := h.Engine()
	post := func(body io.Reader, length int64) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/gitlab", body)
		r.ContentLength = length
		r.Header.Set(headerGitLabToken, testSecret)
		w := httptest.NewRecorder()
		engine.ServeHTTP(w, r)
		return w.Code
	}
	const all = largeAtOnce + 2
	reading, end, answered := make(chan struct{}, all), make(chan struct{}), make(chan int, all)
	for range all {
		go func() { answered <- post(&slow{reading: reading, end: end}, -1) }()
	}
	for range largeAtOnce {
		select {
		case <-reading:
		case <-time.After(10 * time.Second):
			t.Fatal("too few are read")
		}
	}
	if code := post(http.NoBody, 0); code != http.StatusOK {
		t.Errorf("a small one: %d", code)
	}
	if len(reading) != 0 {
		t.Errorf("%d are read beyond the first %d", len(reading), largeAtOnce)
	}
	close(end)
	for range all {
		if code := <-answered; code != http.StatusOK {
			t.Errorf("answered %d", code)
		}
	}
}
