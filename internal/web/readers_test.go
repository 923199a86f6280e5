package web

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// readers lets in who says so in a header.
type readers struct {
	mu    sync.Mutex
	asked []kovra.LogKey
	shut  bool // to all
}

func (rs *readers) MayReadLog(r *http.Request, key kovra.LogKey) error {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.asked = append(rs.asked, key)
	if rs.shut {
		return kovra.Errorf(kovra.Denied, "Not any more.")
	}
	switch r.Header.Get("Reader") {
	case "mia":
		return nil
	case "eve":
		return kovra.Errorf(kovra.Denied, "You are signed in as @eve, who may not see this log.")
	case "late":
		return kovra.Errorf(kovra.Unavailable, "GitLab is down.")
	}
	return kovra.Errorf(kovra.Unconnected, "Sign in with GitLab to see this log: load the page again.")
}

func (*readers) SignIn(link string) string {
	return "https://kovra.example.com/oauth/gitlab/start?log=" + link
}

func TestLogsAreForReaders(t *testing.T) {
	w := newWorld(t).serve()
	rs := &readers{}
	w.viewer.Readers = rs
	log := w.keep(numbered(1, 3)...)
	w.done(log.ID)
	parts := []string{"/info", "/lines", "/search?q=line", "/raw", "/stream"}
	tests := []struct {
		who          string
		page, others int
	}{
		{"", http.StatusFound, http.StatusUnauthorized},
		{"eve", http.StatusForbidden, http.StatusForbidden},
		{"late", http.StatusServiceUnavailable, http.StatusServiceUnavailable},
		{"mia", http.StatusOK, http.StatusOK},
	}
	for _, tt := range tests {
		t.Run("reader "+tt.who, func(t *testing.T) {
			for _, rest := range append(parts, "") {
				want := tt.others
				if rest == "" {
					want = tt.page
				}
				before := w.kicks()
				res, body := w.ask(http.MethodGet, w.url(rest), "Reader", tt.who)
				if res.StatusCode != want {
					t.Errorf("%q answers %s, want %d", rest, res.Status, want)
				}
				if tt.who == "mia" {
					continue
				}
				if strings.Contains(body, "line 1") || strings.Contains(body, "unit") || w.kicks() != before {
					t.Errorf("%q gives the log away, or asks for it: %s", rest, body)
				}
				if res.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%q may be kept: %v", rest, res.Header)
				}
			}
		})
	}
	for _, key := range rs.asked {
		if key != testKey {
			t.Fatalf("asked about %v, want %v", key, testKey)
		}
	}
	res, _ := w.ask(http.MethodGet, w.url(""))
	if got, want := res.Header.Get("Location"), rs.SignIn(w.db.LogLink(testKey)); got != want {
		t.Errorf("redirects to %q, want %q", got, want)
	}
	_, body := w.ask(http.MethodGet, w.url(""), "Reader", "eve")
	for _, text := range []string{"@eve", "sign out at GitLab first", rs.SignIn(w.db.LogLink(testKey)), "Sign in again"} {
		if !strings.Contains(body, text) {
			t.Errorf("the refusal lacks %q: %s", text, body)
		}
	}
	_, body = w.ask(http.MethodGet, w.url("/raw"))
	if !strings.Contains(body, `"error":"Sign in with GitLab`) {
		t.Errorf("a program is told %s", body)
	}
}

// Somebody who is not signed in cannot tell a log that is there from one that is not, or not any more.
func TestNothingIsToldBeforeTheSignIn(t *testing.T) {
	w := newWorld(t).serve()
	w.viewer.Readers = &readers{}
	none, noneBody := w.ask(http.MethodGet, w.url("/info"))
	log := w.keep(numbered(1, 3)...)
	w.done(log.ID)
	there, thereBody := w.ask(http.MethodGet, w.url("/info"))
	w.pass(2 * w.viewer.Retention)
	old, oldBody := w.ask(http.MethodGet, w.url("/info"))
	if none.StatusCode != there.StatusCode || there.StatusCode != old.StatusCode || noneBody != thereBody || thereBody != oldBody {
		t.Errorf("answers differ: %s %s, %s %s, %s %s", none.Status, noneBody, there.Status, thereBody, old.Status, oldBody)
	}
	if res, _ := w.ask(http.MethodGet, w.server.URL+"/logs/nonsense"); res.StatusCode != http.StatusNotFound || res.Header.Get("Location") != "" {
		t.Errorf("a link that is none: %s", res.Status)
	}
}

// Who loses the right to read a log does not go on reading it.
func TestStreamsEndWithTheRight(t *testing.T) {
	w := newWorld(t)
	rs := &readers{}
	w.viewer.Readers, w.viewer.Heartbeat = rs, 10*time.Millisecond
	w.serve()
	w.keep(numbered(1, 3)...)
	ended := make(chan string)
	go func() {
		_, body := w.ask(http.MethodGet, w.url("/stream"), "Reader", "mia")
		ended <- body
	}()
	for began := time.Now(); ; {
		rs.mu.Lock()
		enough := len(rs.asked) > 1
		rs.shut = enough
		rs.mu.Unlock()
		if enough {
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal("nobody asks while the stream runs")
		}
		time.Sleep(time.Millisecond)
	}
	if body := <-ended; !strings.Contains(body, "line 3") || strings.Contains(body, "event: end") {
		t.Errorf("the stream was %s", body)
	}
}
