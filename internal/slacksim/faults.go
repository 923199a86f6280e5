package slacksim

import (
	"maps"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

type faultKind string

const (
	faultRate   faultKind = "rate_limit"
	faultStatus faultKind = "status"
	faultLose   faultKind = "lose_reply"
	faultDrop   faultKind = "drop"
	faultDelay  faultKind = "delay"
	faultError  faultKind = "error"
	faultCut    faultKind = "cut"    // of Socket Mode
	faultDouble faultKind = "double" // of Socket Mode
)

// Fault is something that goes wrong with a call. It fires once, at the next
// call of its method, unless Times or Chance say otherwise. The method "*"
// means any; "response_url" means response_urls, "socket.open" the handshake of a
// connection in Socket Mode, "socket.slash_commands" and so on its envelopes.
type Fault struct {
	kind   faultKind
	method string
	wait   time.Duration
	code   int
	text   string
	left   int // -1: any number of times
	chance float64
	rnd    *rand.Rand
	where  func(Call) bool
}

// RateLimit answers 429 with a Retry-After of d, rounded up to seconds.
func RateLimit(method string, d time.Duration) Fault {
	return Fault{kind: faultRate, method: method, wait: d, left: 1}
}

// Status answers with an HTTP status and does nothing.
func Status(method string, code int) Fault {
	return Fault{kind: faultStatus, method: method, code: code, left: 1}
}

// LoseReply does what was asked, then cuts the connection.
func LoseReply(method string) Fault {
	return Fault{kind: faultLose, method: method, left: 1}
}

// Drop cuts the connection without doing anything.
func Drop(method string) Fault {
	return Fault{kind: faultDrop, method: method, left: 1}
}

// Delay waits for d before it does what was asked. A caller that gives up
// meanwhile gets nothing done.
func Delay(method string, d time.Duration) Fault {
	return Fault{kind: faultDelay, method: method, wait: d, left: 1}
}

// ErrorCode answers ok:false with this code and does nothing.
func ErrorCode(method, code string) Fault {
	return Fault{kind: faultError, method: method, text: code, left: 1}
}

// Times makes the fault fire n times; a negative n means until ClearFaults.
func (f Fault) Times(n int) Fault {
	f.left = n
	return f
}

// Chance makes the fault fire at each call with probability p, drawn from rnd,
// until ClearFaults or the number given by a later Times. The server guards
// rnd by its own lock: do not share it with another server.
func (f Fault) Chance(p float64, rnd *rand.Rand) Fault {
	f.chance, f.rnd, f.left = p, rnd, -1
	return f
}

// Where limits the fault to calls that cond accepts. It runs with the server's
// lock held, so it must not call the server.
func (f Fault) Where(cond func(Call) bool) Fault {
	f.where = cond
	return f
}

// Name says what the fault is, as FaultCounts lists it: "status 500 chat.update".
func (f Fault) Name() string {
	switch f.kind {
	case faultStatus:
		return string(f.kind) + " " + strconv.Itoa(f.code) + " " + f.method
	case faultError:
		return string(f.kind) + " " + f.text + " " + f.method
	default:
		return string(f.kind) + " " + f.method
	}
}

// Fault adds faults; earlier ones fire first.
func (s *Server) Fault(f ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range f {
		s.faults = append(s.faults, &one)
		s.fired[one.Name()] += 0 // so that a fault that never fired is listed
	}
}

// ClearFaults removes all faults; the counts stay.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// FaultCounts says how often each fault fired, zero for those that never did.
func (s *Server) FaultCounts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]int, len(s.fired))
	maps.Copy(out, s.fired)
	return out
}

// SetDown makes the server answer 503 to everything, or ends that. Connections in
// Socket Mode are cut.
func (s *Server) SetDown(down bool) {
	s.mu.Lock()
	s.down = down
	s.changed()
	s.mu.Unlock()
	if down {
		s.DropSockets()
	}
}

// takeFaults gives the fault that decides the answer of c, if any, and how long
// to wait first.
func (s *Server) takeFaults(c Call) (decides *Fault, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return &Fault{kind: faultStatus, code: http.StatusServiceUnavailable}, 0
	}
	for _, f := range s.faults {
		if !f.applies(c) {
			continue
		}
		if f.kind != faultDelay && decides != nil {
			continue // its turn comes at a later call
		}
		if f.rnd != nil && f.rnd.Float64() >= f.chance {
			continue
		}
		if f.left > 0 {
			f.left--
		}
		s.fired[f.Name()]++
		if f.kind == faultDelay {
			wait += f.wait
			continue
		}
		decides = f
	}
	return decides, wait
}

func (f *Fault) applies(c Call) bool {
	if f.left == 0 || f.method != "*" && f.method != c.Method {
		return false
	}
	return f.where == nil || f.where(c)
}
