package tektonsim

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Version is the Kubernetes version that the simulator says it is.
const Version = "v1.35.4"

// Options sets up a Server. The zero value is usable.
type Options struct {
	// Token is the bearer token that is accepted; "": "sim-token".
	Token string
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Pace is how long an act of the controller takes in [Server.Run], and LinePace a line of a log; 0: 400 and 60 milliseconds.
	Pace, LinePace time.Duration
	// NoTekton leaves Tekton out: its resources are not served.
	NoTekton bool
	// TektonVersion is what Tekton says of itself; "": v1.15.0. "-": it says nothing.
	TektonVersion string
}

// Server is one simulated cluster. All methods are safe for concurrent use.
type Server struct {
	o Options

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced at every change
	version   int64         // the newest resource version
	uids      int
	tables    []*table
	logs      map[string]*stepLog // by namespace/pod/container
	runs      []*run
	scripts   []script
	faults    []*Fault
	fired     map[string]int
	forbidden map[string]bool
	calls     []Call
	down      bool
	epoch     int // streams of earlier epochs end
}

// Call is a request that was answered.
type Call struct {
	Verb     string // get, list, watch, create, update, patch, delete
	Resource string // pipelineruns, pods/log
	Name     string // namespace/name
	Code     int
}

// New makes a cluster with no namespaces but default.
func New(o Options) *Server {
	if o.Token == "" {
		o.Token = "sim-token"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Pace == 0 {
		o.Pace = 400 * time.Millisecond
	}
	if o.LinePace == 0 {
		o.LinePace = 60 * time.Millisecond
	}
	s := &Server{
		o: o, changed: make(chan struct{}), version: 1000, logs: map[string]*stepLog{},
		fired: map[string]int{}, forbidden: map[string]bool{},
	}
	s.tables = newTables(o.NoTekton)
	s.AddNamespace("default")
	s.addInfo()
	return s
}

// ServeHTTP answers one request as the API server does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	down := s.down
	s.mu.Unlock()
	if down {
		panic(http.ErrAbortHandler) // the connection breaks; nothing is answered
	}
	if !s.known(r) {
		s.refuse(w, apierrors.NewUnauthorized("Unauthorized"))
		return
	}
	if s.serveReview(w, r) {
		return
	}
	q, ok := s.parse(r)
	if !ok {
		s.discover(w, r)
		return
	}
	c := &counted{ResponseWriter: w}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.calls = append(s.calls, Call{Verb: q.verb, Resource: q.resource(), Name: q.key(), Code: c.code})
	}()
	s.answer(c, r, q)
}

// counted notes the status of an answer.
type counted struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements [http.ResponseWriter].
func (c *counted) WriteHeader(code int) {
	c.code = code
	c.ResponseWriter.WriteHeader(code)
}

// Unwrap lets streams flush.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// known asks for the token where it may be sent: clients keep it to themselves on a connection that is not encrypted, which stands for
// a local proxy that has its own credentials.
func (s *Server) known(r *http.Request) bool {
	if r.TLS == nil && r.Header.Get("Authorization") == "" {
		return true
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return subtle.ConstantTimeCompare([]byte(token), []byte(s.o.Token)) == 1
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, q request) {
	s.mu.Lock()
	forbidden := s.forbidden[q.verb+" "+q.resource()] || s.forbidden["* "+q.resource()]
	s.mu.Unlock()
	if forbidden {
		why := fmt.Errorf("User %q cannot %s resource %q in API group %q in the namespace %q", "system:serviceaccount:kovra:kovra", q.verb, q.resource(), q.table.group, q.ns) //nolint:staticcheck // Kubernetes' own words
		s.refuse(w, apierrors.NewForbidden(q.table.gr(), q.name, why))
		return
	}
	fault := s.pickFault(q)
	if fault != nil && fault.before(s, w, r) {
		return
	}
	if fault != nil && fault.after() {
		s.handle(&discarded{header: http.Header{}}, r, q)
		fault.finish(s, w)
		return
	}
	s.handle(w, r, q)
}

// discarded takes an answer that nobody gets.
type discarded struct{ header http.Header }

// Header implements [http.ResponseWriter].
func (d *discarded) Header() http.Header { return d.header }

// Write implements [http.ResponseWriter].
func (d *discarded) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader implements [http.ResponseWriter].
func (d *discarded) WriteHeader(int) {}

// refuse answers with a Status object.
func (s *Server) refuse(w http.ResponseWriter, e *apierrors.StatusError) {
	status := e.Status()
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	if d := status.Details; d != nil && d.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(d.RetryAfterSeconds))
	}
	writeJSON(w, int(status.Code), status)
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

// WriteKubeconfig writes a kubeconfig for the cluster at a URL, with the token, readable for its owner alone. With an https URL ca is the
// certificate to trust, in PEM; nil: none is checked.
func (s *Server) WriteKubeconfig(path, url string, ca []byte) error {
	trust := "insecure-skip-tls-verify: true"
	if ca != nil {
		trust = "certificate-authority-data: " + base64.StdEncoding.EncodeToString(ca)
	}
	const form = `apiVersion: v1
kind: Config
current-context: sim
clusters:
- name: sim
  cluster: {server: %q, %s}
users:
- name: kovra
  user: {token: %q}
contexts:
- name: sim
  context: {cluster: sim, user: kovra}
`
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, fmt.Appendf(nil, form, url, trust, s.o.Token), 0o600)
}

// SetDown cuts every connection, and every new one, until it is called with false.
func (s *Server) SetDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
	if down {
		s.epoch++
		s.wake()
	}
}

// DropStreams cuts all watches and logs that are open.
func (s *Server) DropStreams() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	s.wake()
}

// Forbid refuses a verb ("*": each) on a resource, as "pods/log", from now on; Allow permits it again.
func (s *Server) Forbid(verb, resource string) { s.permit(verb, resource, true) }

// Allow takes a Forbid back.
func (s *Server) Allow(verb, resource string) { s.permit(verb, resource, false) }

func (s *Server) permit(verb, resource string, no bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forbidden[verb+" "+resource] = no
}

// Calls returns the requests that were answered, but for those that only discover.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// wake tells all who wait that something changed.
func (s *Server) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// await returns when something changes, or false when ctx is done.
func await(ctx context.Context, changed <-chan struct{}) bool {
	select {
	case <-changed:
		return true
	case <-ctx.Done():
		return false
	}
}
