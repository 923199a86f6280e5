package webhooks

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// message is what Slack writes into a connection: an envelope, or a word about the
// connection itself.
type message struct {
	Type       string          `json:"type"`
	EnvelopeID string          `json:"envelope_id"`
	Accepts    bool            `json:"accepts_response_payload"`
	Payload    json.RawMessage `json:"payload"`

	Reason      string `json:"reason"`          // of a disconnect
	Connections int    `json:"num_connections"` // of a hello
}

// socketLink is one connection to Slack. One goroutine reads, any may acknowledge.
type socketLink struct {
	conn *websocket.Conn
	born time.Time

	mu       sync.Mutex
	stopped  bool // nothing more is read
	welcomed bool // Slack said hello

	writing sync.Mutex
}

func newSocketLink(conn *websocket.Conn, now time.Time) *socketLink {
	l := &socketLink{conn: conn, born: now}
	conn.SetReadLimit(SlackMaxBytes)
	conn.SetPingHandler(func(data string) error {
		l.listen()
		_ = conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(socketWrite)) // else the next read fails
		return nil
	})
	l.listen()
	return l
}

// listen gives the other side time to say something again.
func (l *socketLink) listen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped {
		_ = l.conn.SetReadDeadline(time.Now().Add(socketSilence)) // else the next read fails
	}
}

// stopReading ends the read that is under way, and all later ones.
func (l *socketLink) stopReading() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	_ = l.conn.NetConn().SetReadDeadline(time.Unix(1, 0)) // else it has ended anyway
}

// read is the next message; one that is no JSON comes without a type.
func (l *socketLink) read() (message, error) {
	_, raw, err := l.conn.ReadMessage()
	if err != nil {
		return message{}, fmt.Errorf("read from slack: %w", err)
	}
	l.listen()
	var m message
	_ = tolerantly(raw, &m) // what cannot be read has no id, and is counted
	return m, nil
}

// welcome notes that the connection works.
func (l *socketLink) welcome() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.welcomed = true
}

// pause is how long to wait before the next connection is opened. One that was short is
// like one that could not be made: whoever closes it may do so again.
func (l *socketLink) pause(last time.Duration, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.welcomed && now.Sub(l.born) >= socketSound {
		return 0
	}
	if l.welcomed && last == 0 {
		return socketFirstPause / 10 // once at once
	}
	return longer(last)
}

// acknowledge tells Slack that an envelope was handled, with the answer if there is one.
// fits is false, and nothing was written, where Slack would drop it for its size.
func (l *socketLink) acknowledge(id string, body []byte) (fits bool, err error) {
	ack, err := json.Marshal(struct {
		EnvelopeID string          `json:"envelope_id"`
		Payload    json.RawMessage `json:"payload,omitempty"`
	}{id, body})
	if err != nil {
		return false, fmt.Errorf("encode acknowledgement: %w", err)
	}
	if len(ack) > socketMaxAck {
		return false, nil
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.conn.SetWriteDeadline(time.Now().Add(socketWrite)); err != nil {
		return true, fmt.Errorf("acknowledge: %w", err)
	}
	if err := l.conn.WriteMessage(websocket.TextMessage, ack); err != nil {
		return true, fmt.Errorf("acknowledge: %w", err)
	}
	return true, nil
}

// close ends the connection with a word, if that can still be said.
func (l *socketLink) close() {
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = l.conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(socketFlush))
	_ = l.conn.Close() // there is nothing to be done about it
}
