package tektonsim

import (
	"maps"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Fault is a bad answer that waits for a request. Requests are named by verb and resource, as in "create pipelineruns" or
// "get pods/log"; "*" is all, and a "*" at the end matches any rest. A fault fires once unless Times says otherwise.
type Fault struct {
	request string
	kind    string
	code    int
	wait    time.Duration
	lines   int
	text    string
	left    int
}

// Status answers with a status code and does nothing.
func Status(request string, code int) Fault {
	return Fault{request: request, kind: "status", code: code, left: 1}
}

// RateLimit answers 429 with Retry-After, in whole seconds.
func RateLimit(request string, retryAfter time.Duration) Fault {
	return Fault{request: request, kind: "rate_limit", wait: retryAfter, left: 1}
}

// LoseReply does what was asked and then cuts the connection.
func LoseReply(request string) Fault { return Fault{request: request, kind: "lose_reply", left: 1} }

// FailAfter does what was asked and answers 500.
func FailAfter(request string) Fault { return Fault{request: request, kind: "fail_after", left: 1} }

// Delay waits before it does what was asked.
func Delay(request string, d time.Duration) Fault {
	return Fault{request: request, kind: "delay", wait: d, left: 1}
}

// WebhookDown answers as the API server does when Tekton's webhook does not.
func WebhookDown(request string) Fault { return Fault{request: request, kind: "webhook", left: 1} }

// CutLog breaks the connection of a log in the middle of a line, after so many lines.
func CutLog(lines int) Fault {
	return Fault{request: "get pods/log", kind: "cut_log", lines: lines, left: 1}
}

// LogWords answers 200 with words of the kubelet in place of the log.
func LogWords(text string) Fault {
	return Fault{request: "get pods/log", kind: "log_words", text: text, left: 1}
}

// Times lets the fault fire n times.
func (f Fault) Times(n int) Fault {
	f.left = n
	return f
}

// String names the fault as FaultCounts does: "lose_reply create pipelineruns".
func (f Fault) String() string { return f.kind + " " + f.request }

// Fault adds faults. The first one that matches a request decides.
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

func (f *Fault) inLog() bool { return f.kind == "cut_log" || f.kind == "log_words" }

func (f *Fault) matches(name string) bool {
	if prefix, open := strings.CutSuffix(f.request, "*"); open {
		return strings.HasPrefix(name, prefix)
	}
	return f.request == name
}

func (s *Server) pickFault(q request) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.take(func(f *Fault) bool { return !f.inLog() && f.matches(q.verb+" "+q.resource()) })
}

// logFault is a fault inside a log: after how many lines it breaks (-1: never), or the words in its place.
func (s *Server) logFault() (cut int, words string) {
	f := s.take((*Fault).inLog)
	switch {
	case f == nil:
		return -1, ""
	case f.kind == "cut_log":
		return f.lines, ""
	default:
		return -1, f.text
	}
}

func (s *Server) take(fits func(*Fault) bool) *Fault {
	for _, f := range s.faults {
		if f.left > 0 && fits(f) {
			f.left--
			s.fired[f.String()]++
			return f
		}
	}
	return nil
}

// before plays a fault that comes in place of the request, or ahead of it. It reports whether the request is answered.
func (f *Fault) before(s *Server, w http.ResponseWriter, r *http.Request) bool {
	switch f.kind {
	case "status":
		s.refuse(w, apierrors.NewGenericServerResponse(f.code, r.Method, s.tables[0].gr(), "", http.StatusText(f.code), 0, true))
	case "rate_limit":
		s.refuse(w, apierrors.NewTooManyRequests("The server has received too many requests and has asked us to try again later", int((f.wait+time.Second-1)/time.Second)))
	case "webhook":
		s.refuse(w, apierrors.NewInternalError(errWebhook))
	case "delay":
		timer := time.NewTimer(f.wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
		return false
	default:
		return false
	}
	return true
}

type webhookError struct{}

// Error is in the words of the API server.
func (webhookError) Error() string {
	return `failed calling webhook "webhook.pipeline.tekton.dev": failed to call webhook: Post "https://tekton-pipelines-webhook.tekton-pipelines.svc:443/defaulting?timeout=10s": no endpoints available for service "tekton-pipelines-webhook"`
}

var errWebhook = webhookError{}

func (f *Fault) after() bool { return f.kind == "lose_reply" || f.kind == "fail_after" }

func (f *Fault) finish(s *Server, w http.ResponseWriter) {
	if f.kind == "lose_reply" {
		panic(http.ErrAbortHandler)
	}
	s.refuse(w, apierrors.NewInternalError(errWebhook))
}
