package slacksim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// Limits and times of Socket Mode.
const (
	maxSockets    = 10       // of one app at once
	maxAck        = 20 << 10 // bytes; what is not smaller is dropped without a word
	pingEvery     = 10 * time.Second
	eventAttempts = 4                // the first and three more
	noSocketWait  = 15 * time.Second // how long an event waits for a connection
)

// Kinds of envelopes, as they travel. "socket." before one is its method in faults and calls.
const (
	kindCommand     = "slash_commands"
	kindInteractive = "interactive"
	kindEvent       = "events_api"
)

// Reasons why Slack ends a connection.
const (
	reasonWarning  = "warning"
	reasonRefresh  = "refresh_requested"
	reasonDisabled = "link_disabled"
	reasonTooMany  = "too_many_websockets"
)

// socket is one connection of the app.
type socket struct {
	conn    *websocket.Conn
	writing chan struct{} // holds a place for the one who writes
	gone    chan struct{} // closed when the connection has ended

	// Guarded by the lock of the server.
	leaving bool                   // told to go: gets nothing new
	waiting map[string]chan answer // unacknowledged envelopes, by id
}

// SetSocketMode switches Socket Mode on or off. Off, the open connections are told so
// and closed, and people reach the app by HTTP again.
func (s *Server) SetSocketMode(on bool) {
	s.mu.Lock()
	s.o.SocketMode = on
	open := slices.Clone(s.sockets)
	s.changed()
	s.mu.Unlock()
	if on {
		return
	}
	for _, k := range open {
		s.disconnect(k, reasonDisabled)
		k.close()
	}
}

// Sockets says how many connections are open and may get something new.
func (s *Server) Sockets() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, k := range s.sockets {
		if !k.leaving {
			n++
		}
	}
	return n
}

// WarnSockets tells every connection that it will be closed soon, as Slack does every few
// hours. They get nothing new from then on; RefreshSockets closes them.
func (s *Server) WarnSockets() {
	s.mu.Lock()
	open := slices.Clone(s.sockets)
	s.mu.Unlock()
	for _, k := range open {
		s.disconnect(k, reasonWarning)
	}
}

// RefreshSockets closes the connections that were warned; all of them, if none was.
func (s *Server) RefreshSockets() {
	s.mu.Lock()
	old := slices.DeleteFunc(slices.Clone(s.sockets), func(k *socket) bool { return !k.leaving })
	if len(old) == 0 {
		old = slices.Clone(s.sockets)
	}
	s.mu.Unlock()
	for _, k := range old {
		s.disconnect(k, reasonRefresh)
		k.close()
	}
}

// DropSockets cuts every connection without a word.
func (s *Server) DropSockets() {
	s.mu.Lock()
	open := slices.Clone(s.sockets)
	s.mu.Unlock()
	for _, k := range open {
		s.forget(k)
		k.cut()
	}
}

// CutSocket delivers an envelope and cuts its connection at once, so that the acknowledgement
// finds nobody. kind is "slash_commands", "interactive", "events_api" or "*".
func CutSocket(kind string) Fault { return Fault{kind: faultCut, method: socketMethod(kind), left: 1} }

// LoseAck delivers an envelope and takes no notice of its acknowledgement.
func LoseAck(kind string) Fault { return LoseReply(socketMethod(kind)) }

// DoubleEnvelope delivers an envelope twice, by two connections if there are two.
func DoubleEnvelope(kind string) Fault {
	return Fault{kind: faultDouble, method: socketMethod(kind), left: 1}
}

func socketMethod(kind string) string {
	if kind == "*" {
		return kind
	}
	return "socket." + kind
}

// DialSocket is a connection to the server without a socket of the system, whatever the
// address; for tests with testing/synctest.
func (s *Server) DialSocket(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	go func() {
		srv := &http.Server{Handler: s, ReadHeaderTimeout: deadline}
		_ = srv.Serve(&oneConn{conn: there}) // ends at once; its connection lives on
	}()
	return here, nil
}

// oneConn is a listener that has one connection to give.
type oneConn struct{ conn net.Conn }

func (l *oneConn) Accept() (net.Conn, error) {
	if l.conn == nil {
		return nil, io.EOF
	}
	c := l.conn
	l.conn = nil
	return c, nil
}

func (l *oneConn) Close() error { return nil }

func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "slack.sim", Net: "pipe"} }

// connectionsOpen answers apps.connections.open. Only an app-level token opens, and only in
// the header.
func (s *Server) connectionsOpen(r *http.Request) reply {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case token == s.o.BotToken:
		return fail("not_allowed_token_type")
	case token != s.o.AppToken:
		return fail("invalid_auth")
	case s.o.AppScopes != nil && !slices.Contains(s.o.AppScopes, scopeConnect):
		r := fail("missing_scope")
		r["needed"], r["provided"] = scopeConnect, strings.Join(s.o.AppScopes, ",")
		return r
	case !s.o.SocketMode:
		return fail("socket_mode_not_enabled")
	}
	ticket := s.id("ticket")
	s.tickets[ticket] = true
	base := "ws" + strings.TrimPrefix(s.base(), "http")
	return ok(reply{"url": base + "/link/?" + url.Values{"ticket": {ticket}, "app_id": {AppID}}.Encode()})
}

// serveSocket is one connection, from its handshake to its end.
func (s *Server) serveSocket(w http.ResponseWriter, r *http.Request) {
	f, wait := s.takeFaults(Call{Method: "socket.open"})
	if !pause(r.Context(), wait) || f != nil && f.kind != faultStatus {
		panic(http.ErrAbortHandler)
	}
	if f != nil {
		http.Error(w, "no", f.code)
		return
	}
	s.mu.Lock()
	ticket := r.URL.Query().Get("ticket")
	valid := s.tickets[ticket]
	delete(s.tickets, ticket)
	s.mu.Unlock()
	if !valid {
		http.Error(w, "invalid ticket", http.StatusForbidden)
		return
	}
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }, HandshakeTimeout: deadline}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return // answered already
	}
	k := &socket{conn: conn, writing: make(chan struct{}, 1), gone: make(chan struct{}), waiting: map[string]chan answer{}}
	defer conn.Close() //nolint:errcheck // it has ended
	n := s.enter(k)
	if n > maxSockets {
		s.disconnect(k, reasonTooMany)
		k.close()
		return
	}
	defer s.forget(k)
	go k.ping()
	_ = k.write(map[string]any{
		"type": "hello", "num_connections": n, "connection_info": map[string]any{"app_id": AppID},
		"debug_info": map[string]any{"host": "applink-sim", "build_number": 1, "approximate_connection_time": 18060},
	})
	s.mu.Lock()
	s.changed() // it may be used
	s.mu.Unlock()
	s.listen(k)
}

// enter adds a connection and says how many there are with it. One too many is not added.
func (s *Server) enter(k *socket) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.sockets) + 1
	if n <= maxSockets {
		s.sockets = append(s.sockets, k)
	}
	return n
}

// forget takes a connection away; who waits for an acknowledgement by it waits in vain.
func (s *Server) forget(k *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.sockets, k); i >= 0 {
		s.sockets = slices.Delete(slices.Clone(s.sockets), i, i+1)
		close(k.gone)
		s.changed()
	}
}

// listen takes acknowledgements until the connection ends.
func (s *Server) listen(k *socket) {
	for {
		_, raw, err := k.conn.ReadMessage()
		if err != nil {
			return
		}
		var ack struct {
			EnvelopeID string          `json:"envelope_id"`
			Payload    json.RawMessage `json:"payload"`
		}
		if json.Unmarshal(raw, &ack) != nil || len(raw) >= maxAck {
			continue
		}
		got := answer{status: http.StatusOK}
		if len(ack.Payload) > 0 && string(ack.Payload) != "null" {
			got.contentType, got.body = "application/json", ack.Payload
		}
		s.mu.Lock()
		if to := k.waiting[ack.EnvelopeID]; to != nil {
			delete(k.waiting, ack.EnvelopeID)
			select {
			case to <- got:
			default: // a doubled envelope was acknowledged twice
			}
		}
		s.mu.Unlock()
	}
}

// ping keeps a connection alive until it has ended.
func (k *socket) ping() {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-k.gone:
			return
		case <-tick.C:
		}
		if k.conn.WriteControl(websocket.PingMessage, []byte("Ping from applink-sim"), time.Now().Add(deadline)) != nil {
			k.cut()
		}
	}
}

func (k *socket) write(v any) error {
	k.writing <- struct{}{}
	defer func() { <-k.writing }()
	if err := k.conn.SetWriteDeadline(time.Now().Add(deadline)); err != nil {
		return fmt.Errorf("write to socket: %w", err)
	}
	if err := k.conn.WriteJSON(v); err != nil {
		return fmt.Errorf("write to socket: %w", err)
	}
	return nil
}

// close ends a connection as it should be: with a close frame.
func (k *socket) close() {
	msg := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = k.conn.WriteControl(websocket.CloseMessage, msg, time.Now().Add(deadline)) // it may be gone
	k.cut()
}

// cut ends it without a word. The reader sees it and tidies up.
func (k *socket) cut() { _ = k.conn.Close() }

// disconnect tells a connection why it ends.
func (s *Server) disconnect(k *socket, reason string) {
	s.mu.Lock()
	k.leaving = true
	s.changed()
	s.mu.Unlock()
	_ = k.write(map[string]any{"type": "disconnect", "reason": reason, "debug_info": map[string]any{"host": "applink-sim"}})
}

var errNoSocket = errors.New("the app has no open connection")

// socketFor picks the connection whose turn it is.
func (s *Server) socketFor() *socket {
	for range s.sockets {
		s.turn++
		if k := s.sockets[s.turn%len(s.sockets)]; !k.leaving {
			return k
		}
	}
	return nil
}

// envelope is something on its way to the app.
type envelope struct {
	kind    string
	payload any
	accepts bool // an answer comes with the acknowledgement
	attempt int
	reason  string // of a further attempt
}

func (e envelope) wire(id string) map[string]any {
	w := map[string]any{"envelope_id": id, "type": e.kind, "payload": e.payload, "accepts_response_payload": e.accepts}
	if e.kind == kindEvent {
		w["retry_attempt"], w["retry_reason"] = e.attempt, e.reason
	}
	return w
}

// overSocket delivers an envelope by one connection and waits for its acknowledgement for
// as long as Slack does.
func (s *Server) overSocket(ctx context.Context, e envelope) answer {
	c := Call{Method: "socket." + e.kind}
	f, wait := s.takeFaults(c)
	if !pause(ctx, wait) {
		s.record(&c, 0, "dropped")
		return answer{timeout: true, err: ctx.Err()}
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	s.mu.Lock()
	k, id := s.socketFor(), s.id("envelope-")
	if k == nil {
		s.mu.Unlock()
		s.record(&c, 0, "dropped")
		return answer{err: errNoSocket}
	}
	got := make(chan answer, 1)
	k.waiting[id] = got
	second := k
	if f != nil && f.kind == faultDouble {
		second = s.socketFor()
		second.waiting[id] = got
	}
	s.mu.Unlock()
	defer s.unwait(id, k, second)
	if a, ended := s.deliverBy(k, second, f, e.wire(id)); ended {
		s.record(&c, a.status, "dropped")
		return a
	}
	a, outcome := await(ctx, k, got, f)
	if !e.accepts {
		a.body, a.contentType = nil, ""
	}
	s.record(&c, a.status, outcome)
	return a
}

func (s *Server) unwait(id string, all ...*socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range all {
		delete(k.waiting, id)
	}
}

// deliverBy writes an envelope, under the fault that there may be. It reports whether
// nothing more is to be waited for.
func (s *Server) deliverBy(k, second *socket, f *Fault, wire map[string]any) (a answer, ended bool) {
	kind := faultKind("")
	if f != nil {
		kind = f.kind
	}
	switch kind {
	case faultDrop:
		s.forget(k)
		k.cut()
		return answer{}, false // the person waits, and sees the time run out
	case faultStatus, faultRate, faultError:
		return answer{status: http.StatusServiceUnavailable}, true
	default: // it is written first
	}
	if err := k.write(wire); err != nil {
		s.forget(k)
		return answer{}, false
	}
	switch kind {
	case faultDouble:
		_ = second.write(wire) // the second one is a fault, and so is its loss
	case faultCut:
		s.forget(k)
		k.cut()
	default: // nothing more goes wrong here
	}
	return answer{}, false
}

// await is the acknowledgement, or that none came.
func await(ctx context.Context, k *socket, got <-chan answer, f *Fault) (answer, string) {
	if f != nil && (f.kind == faultLose || f.kind == faultCut) {
		got = nil
	}
	gone := k.gone
	for {
		select {
		case a := <-got:
			return a, "ok"
		case <-gone:
			if f == nil || f.kind != faultDouble {
				got = nil // an acknowledgement by another connection counts for nothing
			}
			gone = nil
		case <-ctx.Done():
			return answer{timeout: true, err: fmt.Errorf("wait for acknowledgement: %w", ctx.Err())}, "lost"
		}
	}
}

// eventOverSocket delivers an event until it is acknowledged, a few times at most. While no
// connection is open it waits for one.
func (s *Server) eventOverSocket(ctx context.Context, body []byte, attempt int, reason string) error {
	last := errNoSocket
	for n := range eventAttempts {
		waiting, cancel := context.WithTimeout(ctx, noSocketWait)
		err := s.WaitFor(waiting, func() bool { return s.Sockets() > 0 })
		cancel()
		if err != nil {
			return errors.Join(last, err)
		}
		e := envelope{kind: kindEvent, payload: json.RawMessage(body), attempt: attempt + n, reason: reason}
		if n > 0 {
			e.reason = "timeout"
		}
		a := s.overSocket(ctx, e)
		if a.accepted() {
			return nil
		}
		if last = a.err; last == nil {
			last = fmt.Errorf("app answered an event with %d", a.status)
		}
	}
	return last
}

func (s *Server) socketMode() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.o.SocketMode
}

// command sends a slash command to the app.
func (s *Server) command(ctx context.Context, form url.Values) answer {
	if !s.socketMode() {
		return s.send(ctx, "/slack/commands", "application/x-www-form-urlencoded", []byte(form.Encode()), nil)
	}
	payload := map[string]string{}
	for key := range form {
		payload[key] = form.Get(key)
	}
	return s.overSocket(ctx, envelope{kind: kindCommand, payload: payload, accepts: true})
}

// answered says which interactions take an answer with the acknowledgement: those whose
// answer Slack looks at.
func answered(payload map[string]any) bool {
	kind, _ := payload["type"].(string)
	return kind == "view_submission" || kind == "block_suggestion"
}
