package slacksim

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Limits of a response_url.
const (
	responseLife = 30 * time.Minute
	responseUses = 5
)

// responseURL is a right to answer one interaction.
type responseURL struct {
	user    string
	channel string
	origin  *Message // the message that was clicked; nil for a slash command
	at      time.Time
	uses    int
}

func (s *Server) newResponseURL(user, channel string, origin *Message) string {
	id := s.id("R")
	s.responses[id] = &responseURL{user: user, channel: channel, origin: origin, at: s.o.Now()}
	return s.base() + "/response/" + id
}

// serveResponse answers a post to a response_url.
func (s *Server) serveResponse(w http.ResponseWriter, r *http.Request) {
	c := Call{Method: "response_url"}
	a, problem := readResponse(r)
	c.Form = a.public()
	s.faulty(w, r, &c, func() (int, any) {
		s.mu.Lock()
		defer s.mu.Unlock()
		to := s.responses[strings.TrimPrefix(r.URL.Path, "/response/")]
		switch {
		case to == nil, s.o.Now().Sub(to.at) > responseLife:
			return http.StatusNotFound, fail("expired_url")
		case to.uses >= responseUses:
			return http.StatusNotFound, fail("used_url")
		case problem != "":
			return http.StatusBadRequest, fail(problem)
		}
		to.uses++
		c.Channel = to.channel
		m, refused := s.respond(to, a)
		if refused != nil {
			return http.StatusBadRequest, refused
		}
		if m != nil {
			c.TS = m.TS
		}
		return http.StatusOK, ok(nil)
	})
}

// readResponse reads the body of a post to a response_url: JSON whatever its
// type says, or a form with a payload.
func readResponse(r *http.Request) (args, string) {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		a, problem := readArgs(r)
		if problem != "" {
			return a, problem
		}
		return jsonArgs([]byte(a.str("payload")))
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return args{}, "invalid_payload"
	}
	return jsonArgs(body)
}

func jsonArgs(body []byte) (args, string) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return args{}, "invalid_payload"
	}
	a := args{}
	for k, raw := range fields {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			text = string(raw)
		}
		if string(raw) != "null" {
			a[k] = []string{text}
		}
	}
	return a, ""
}

// respond does what an answer to an interaction asks for and gives the message
// that it made or changed.
func (s *Server) respond(to *responseURL, a args) (*Message, reply) {
	if a.flag("delete_original") {
		s.removeOrigin(to)
		return nil, nil
	}
	said, refused := s.readContent(a, false)
	if refused != nil {
		return nil, refused
	}
	if !said.says() && a.str("attachments") == "" {
		return nil, fail("no_text")
	}
	if a.flag("replace_original") && to.origin != nil {
		if !s.alive(to.origin) {
			return nil, fail("message_not_found")
		}
		if said.blocks == nil {
			said.blocks = json.RawMessage("[]") // the answer replaces the whole message
		}
		s.edit(to.origin, said)
		return to.origin, nil
	}
	if a.str("response_type") != "in_channel" {
		return s.whisper(to.channel, to.user, a.str("thread_ts"), said), nil
	}
	c := s.channels[to.channel]
	if c.Archived {
		return nil, fail("is_archived")
	}
	return s.post(c, said, a.str("thread_ts")), nil
}

// alive says whether a message is still shown.
func (s *Server) alive(m *Message) bool {
	if m.Ephemeral {
		return slices.Contains(s.ephemerals[m.To], m)
	}
	c := s.channels[m.Channel]
	return c != nil && !m.Deleted && slices.Contains(c.msgs, m)
}

func (s *Server) removeOrigin(to *responseURL) {
	m := to.origin
	if m == nil || !s.alive(m) {
		return
	}
	if m.Ephemeral {
		s.ephemerals[m.To] = slices.DeleteFunc(slices.Clone(s.ephemerals[m.To]), func(o *Message) bool { return o == m })
		s.changed()
		return
	}
	s.remove(s.channels[m.Channel], m)
}
