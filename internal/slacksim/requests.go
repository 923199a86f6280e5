package slacksim

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// deadline is how long Slack waits for the app.
const deadline = 3 * time.Second

// answer is what the app said to a request.
type answer struct {
	status      int
	contentType string
	body        []byte
	timeout     bool
	err         error // the app could not be reached
}

// accepted says whether the app answered in time and with a 2xx status.
func (a answer) accepted() bool { return !a.timeout && a.err == nil && a.status/100 == 2 }

// problem is the error that Slack shows, or "".
func (a answer) problem() string {
	switch {
	case a.timeout:
		return "operation_timeout"
	case !a.accepted():
		return "dispatch_failed"
	default:
		return ""
	}
}

// Sign gives the signature headers that Slack would send with body at t.
func (s *Server) Sign(body []byte, t time.Time) http.Header {
	stamp := strconv.FormatInt(t.Unix(), 10)
	s.mu.Lock()
	mac := hmac.New(sha256.New, []byte(s.o.SigningSecret))
	s.mu.Unlock()
	_, _ = fmt.Fprintf(mac, "v0:%s:%s", stamp, body)
	h := http.Header{}
	h.Set("X-Slack-Request-Timestamp", stamp)
	h.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
	return h
}

// send posts a signed request to the app and waits for as long as Slack does.
func (s *Server) send(ctx context.Context, path, contentType string, body []byte, extra http.Header) answer {
	s.mu.Lock()
	target, transport, now := s.o.RequestURL, s.o.Transport, s.o.Now()
	s.mu.Unlock()
	if target == "" {
		return answer{err: errors.New("no request URL is set")}
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target+path, bytes.NewReader(body))
	if err != nil {
		return answer{err: fmt.Errorf("make request: %w", err)}
	}
	req.Header = s.Sign(body, now)
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", "Slackbot 1.0 (+https://api.slack.com/robots)")
	maps.Copy(req.Header, extra)
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return answer{timeout: ctx.Err() != nil, err: fmt.Errorf("send to app: %w", err)}
	}
	defer res.Body.Close() //nolint:errcheck // read to its end below; nothing to do about it
	got, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return answer{timeout: ctx.Err() != nil, err: fmt.Errorf("read answer of app: %w", err)}
	}
	return answer{status: res.StatusCode, contentType: res.Header.Get("Content-Type"), body: got}
}

// interact sends a payload to the interactivity address.
func (s *Server) interact(ctx context.Context, payload map[string]any) answer {
	if s.socketMode() {
		return s.overSocket(ctx, envelope{kind: kindInteractive, payload: payload, accepts: answered(payload)})
	}
	raw, err := json.Marshal(payload)
	if err != nil {
		return answer{err: fmt.Errorf("encode payload: %w", err)}
	}
	form := url.Values{"payload": {string(raw)}}
	return s.send(ctx, "/slack/interactions", "application/x-www-form-urlencoded", []byte(form.Encode()), nil)
}

// payload starts an interactivity payload of a person.
func (s *Server) payload(kind string, u *User) map[string]any {
	p := map[string]any{
		"type": kind, "api_app_id": AppID, "token": VerificationToken, "is_enterprise_install": false, "enterprise": nil,
		"team": map[string]any{"id": TeamID, "domain": TeamDomain},
		"user": map[string]any{"id": u.ID, "username": u.Name, "name": u.Name, "team_id": u.TeamID},
	}
	if s.o.EnterpriseID != "" {
		p["enterprise"] = map[string]any{"id": s.o.EnterpriseID, "name": s.o.EnterpriseName}
		p["team"] = map[string]any{
			"id": TeamID, "domain": TeamDomain, "enterprise_id": s.o.EnterpriseID, "enterprise_name": s.o.EnterpriseName,
		}
	}
	return p
}

// Event sends an inner event, such as app_home_opened, to the app. It fails when
// the app does not answer with a 2xx status in time; Slack would then deliver
// again, see EventAgain. In Socket Mode it is delivered again here, a few times. An
// event that the app is not subscribed to, or has no scope for, is not sent, which is
// no error.
func (s *Server) Event(ctx context.Context, inner any) error {
	s.mu.Lock()
	if !s.sends(inner) {
		s.mu.Unlock()
		return nil
	}
	body, err := json.Marshal(map[string]any{
		"token": VerificationToken, "team_id": TeamID, "context_team_id": TeamID, "api_app_id": AppID, "event": inner,
		"type": "event_callback", "event_id": s.id("Ev"), "event_time": s.o.Now().Unix(), "event_context": s.id("4-ctx"),
		"is_ext_shared_channel": s.sharedEvent(inner),
		"authorizations": []any{map[string]any{
			"enterprise_id": nilIfEmpty(s.o.EnterpriseID), "team_id": TeamID, "user_id": BotUserID, "is_bot": true, "is_enterprise_install": false,
		}},
	})
	s.lastEvent = body
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	return s.deliver(ctx, body, nil)
}

func nilIfEmpty(v string) any {
	if v == "" {
		return nil
	}
	return v
}

func (s *Server) sharedEvent(inner any) bool {
	m, _ := inner.(map[string]any)
	id, _ := m["channel"].(string)
	c := s.channels[id]
	return c != nil && c.ExtShared
}

// EventAgain delivers the last event once more, as Slack does when it believes
// that the app did not get it: n is 1 to 3, reason is one of Slack's words, such
// as "http_timeout".
func (s *Server) EventAgain(ctx context.Context, n int, reason string) error {
	s.mu.Lock()
	body := s.lastEvent
	s.mu.Unlock()
	if body == nil {
		return errors.New("no event was sent yet")
	}
	return s.deliver(ctx, body, http.Header{"X-Slack-Retry-Num": {strconv.Itoa(n)}, "X-Slack-Retry-Reason": {reason}})
}

func (s *Server) deliver(ctx context.Context, body []byte, extra http.Header) error {
	if s.socketMode() {
		attempt, _ := strconv.Atoi(extra.Get("X-Slack-Retry-Num")) // none: the first
		return s.eventOverSocket(ctx, body, attempt, extra.Get("X-Slack-Retry-Reason"))
	}
	a := s.send(ctx, "/slack/events", "application/json", body, extra)
	if a.accepted() {
		return nil
	}
	if a.err != nil {
		return a.err
	}
	return fmt.Errorf("app answered an event with %d", a.status)
}

// VerifyURL plays the check that Slack makes when the events address is set: the
// app must give back the challenge.
func (s *Server) VerifyURL(ctx context.Context) error {
	const challenge = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"
	body, err := json.Marshal(map[string]any{"token": VerificationToken, "type": "url_verification", "challenge": challenge})
	if err != nil {
		return fmt.Errorf("encode challenge: %w", err)
	}
	a := s.send(ctx, "/slack/events", "application/json", body, nil)
	if a.err != nil {
		return a.err
	}
	if a.status != http.StatusOK || !bytes.Contains(a.body, []byte(challenge)) {
		return fmt.Errorf("app answered the challenge with %d %.80q", a.status, a.body)
	}
	return nil
}
