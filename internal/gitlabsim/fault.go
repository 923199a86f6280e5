package gitlabsim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Fault is a bad answer that waits for requests. Endpoints are named as in "POST /projects/:id/pipeline"; "*" is all, and a "*" at the
// end matches any rest. A fault fires once unless Times or Chance says otherwise.
type Fault struct {
	endpoint string
	kind     string
	code     int
	wait     time.Duration
	act      bool // the request is done before things go wrong
	left     int  // -1: without end
	chance   float64
	rand     *rand.Rand
}

// Status answers with a status code and does nothing.
func Status(endpoint string, code int) Fault {
	return Fault{endpoint: endpoint, kind: "status", code: code, left: 1}
}

// RateLimit answers 429 with Retry-After (whole seconds, rounded up) and the RateLimit headers.
func RateLimit(endpoint string, retryAfter time.Duration) Fault {
	return Fault{endpoint: endpoint, kind: "rate_limit", code: http.StatusTooManyRequests, wait: retryAfter, left: 1}
}

// LoseReply does what was asked and then cuts the connection.
func LoseReply(endpoint string) Fault {
	return Fault{endpoint: endpoint, kind: "lose_reply", act: true, left: 1}
}

// BadGatewayAfter does what was asked and answers 502, as a proxy does whose backend was slow.
func BadGatewayAfter(endpoint string) Fault {
	return Fault{endpoint: endpoint, kind: "bad_gateway_after", code: http.StatusBadGateway, act: true, left: 1}
}

// Delay waits before it does what was asked.
func Delay(endpoint string, d time.Duration) Fault {
	return Fault{endpoint: endpoint, kind: "delay", wait: d, left: 1}
}

// Times lets the fault fire n times.
func (f Fault) Times(n int) Fault {
	f.left = n
	return f
}

// Chance lets the fault fire with probability p at each matching request, without end unless Times is set after it.
func (f Fault) Chance(p float64, r *rand.Rand) Fault {
	f.chance, f.rand, f.left = p, r, -1
	return f
}

// String names the fault as FaultCounts does: "rate_limit POST /projects/:id/pipeline".
func (f Fault) String() string { return f.kind + " " + f.endpoint }

// Fault adds faults. The first one that matches a request and fires decides.
func (s *Server) Fault(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		s.faults = append(s.faults, &f)
	}
}

// ClearFaults removes all faults and keeps the counts.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// FaultCounts says how often each fault fired, by its String.
func (s *Server) FaultCounts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.fired)
}

func (s *Server) pickFault(t route) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if f.left == 0 || !f.matches(t.name()) {
			continue
		}
		if f.rand != nil && f.rand.Float64() >= f.chance {
			continue
		}
		if f.left > 0 {
			f.left--
		}
		s.fired[f.String()]++
		return f
	}
	return nil
}

func (f *Fault) matches(name string) bool {
	if prefix, open := strings.CutSuffix(f.endpoint, "*"); open {
		return strings.HasPrefix(name, prefix)
	}
	return name == f.endpoint
}

// before plays a fault that comes instead of the request, or ahead of it, and returns the status code; 0 for none.
func (f *Fault) before(w http.ResponseWriter, r *http.Request, now func() time.Time) int {
	switch f.kind {
	case "delay":
		timer := time.NewTimer(f.wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
		return 0
	case "rate_limit":
		seconds := int((f.wait + time.Second - 1) / time.Second)
		h := w.Header()
		h.Set("Retry-After", strconv.Itoa(seconds))
		h.Set("RateLimit-Name", "throttle_authenticated_api")
		h.Set("RateLimit-Limit", "2000")
		h.Set("RateLimit-Observed", "2001")
		h.Set("RateLimit-Remaining", "0")
		reset := now().Add(time.Duration(seconds) * time.Second)
		h.Set("RateLimit-Reset", strconv.FormatInt(reset.Unix(), 10))
		h.Set("RateLimit-ResetTime", reset.UTC().Format(http.TimeFormat))
		writeReply(w, reply{code: f.code, text: "Retry later\n"})
	default:
		if f.code >= http.StatusInternalServerError {
			writePage(w, f.code, fmt.Sprintf("Whoops, something went wrong on our end (%d)", f.code), "")
			break
		}
		writeReply(w, reply{code: f.code, body: object{"message": fmt.Sprintf("%d %s", f.code, http.StatusText(f.code))}})
	}
	return f.code
}

// after plays a fault that comes once the request is done. For a lost reply it panics with http.ErrAbortHandler, which is how a
// handler cuts its connection; the call then keeps status 0.
func (f *Fault) after(w http.ResponseWriter) int {
	if f.kind == "lose_reply" {
		panic(http.ErrAbortHandler)
	}
	writePage(w, f.code, "GitLab is not responding (502)", "<p>Whoops, GitLab is taking too much time to respond.</p>")
	return f.code
}
