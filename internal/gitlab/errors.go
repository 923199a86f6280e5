package gitlab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

const (
	longestMessage = 300 // runes of GitLab's own words that we repeat
	longestWait    = 10 * time.Minute
	shortestSecret = 4 // shorter ones would tear words apart, and are none
	hidden         = "[hidden]"
)

// refusal is the cause inside the error of a request that GitLab answered.
type refusal struct {
	doing   string
	status  int
	message string // GitLab's words, on one line, without secrets; may be empty
}

// Error tells what was tried and what GitLab said.
func (r *refusal) Error() string {
	return fmt.Sprintf("%s: GitLab answered %s", r.doing, r.said())
}

// said is the status and GitLab's words.
func (r *refusal) said() string {
	status := strings.TrimSpace(fmt.Sprintf("%d %s", r.status, http.StatusText(r.status)))
	if r.message == "" || strings.EqualFold(r.message, status) {
		return status
	}
	return status + ": " + r.message
}

// words is what people are told GitLab said.
func (r *refusal) words() string {
	if r.message == "" {
		return r.said()
	}
	return r.message
}

// broken judges a request without a usable answer.
func (c *Client) broken(what call, err error, answered, mayHaveArrived bool) error {
	e := &kovra.Error{Kind: kovra.Unavailable, Public: "GitLab could not be reached.", Err: fmt.Errorf("%s: %w", what.doing, err)}
	switch {
	case answered:
		e.Public = "GitLab's answer could not be read."
	case errors.Is(err, context.DeadlineExceeded):
		e.Public = "GitLab did not answer in time."
	}
	if what.once && (answered || mayHaveArrived) {
		unclear(e, what)
	}
	return e
}

func unclear(e *kovra.Error, what call) {
	e.Kind = kovra.Unclear
	e.Public += " It was to " + what.doing + ", and it is not known whether it did."
}

// refused judges an answer that is not a success.
func (c *Client) refused(what call, resp *http.Response, body []byte) error {
	r := &refusal{doing: what.doing, status: resp.StatusCode, message: c.readable(body, what.secrets)}
	e := &kovra.Error{Kind: kovra.Invalid, Err: r}
	switch s := resp.StatusCode; {
	case s == http.StatusUnauthorized && c.person:
		e.Kind, e.Err = kovra.Unconnected, fmt.Errorf("%w: %w", kovra.ErrToken, r)
		e.Public = "GitLab does not accept your account any more; connect it again."
	case s == http.StatusUnauthorized:
		e.Kind, e.Err = kovra.Denied, fmt.Errorf("%w: %w", kovra.ErrToken, r)
		e.Public = sentence("GitLab does not accept the bot's token: " + r.words())
	case s == http.StatusForbidden:
		e.Kind = kovra.Denied
		e.Public = sentence("GitLab does not let " + c.who() + " " + what.doing + ": " + r.words())
	case s == http.StatusNotFound && c.person:
		e.Kind = kovra.NotFound
		e.Public = "GitLab knows no " + what.noun + ", or you may not see it."
	case s == http.StatusNotFound:
		e.Kind = kovra.NotFound
		e.Public = "GitLab knows no " + what.noun + ", or the bot's token may not see it."
	case s == http.StatusConflict:
		e.Kind = kovra.Conflict
		e.Public = sentence("GitLab cannot " + what.doing + " now: " + r.words())
	case s == http.StatusTooManyRequests:
		e.Kind, e.Retry = kovra.Unavailable, c.retryAfter(resp.Header)
		e.Public = "GitLab limits how often it may be asked" + forHowLong(e.Retry) + "."
		c.limit(e.Retry)
	case s >= http.StatusInternalServerError || s == http.StatusRequestTimeout:
		e.Kind, e.Retry = kovra.Unavailable, c.retryAfter(resp.Header)
		e.Public = fmt.Sprintf("GitLab is in trouble (%d %s).", s, http.StatusText(s))
		if what.once {
			unclear(e, what)
		}
	case s < http.StatusBadRequest:
		e.Public = "GitLab redirects elsewhere; the configured GitLab URL should be the address where it really is."
	default:
		e.Public = sentence("GitLab refuses to " + what.doing + ": " + r.words())
	}
	return e
}

// who is spoken of when something is refused.
func (c *Client) who() string {
	if c.person {
		return "you"
	}
	return "the bot"
}

func forHowLong(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return fmt.Sprintf("; it asks to wait %d s", int(d.Round(time.Second)/time.Second))
}

// retryAfter reads how long GitLab asks to wait: seconds, a date, or the time when
// its limit starts anew. 0: it does not say.
func (c *Client) retryAfter(h http.Header) time.Duration {
	var wait time.Duration
	v := h.Get("Retry-After")
	if seconds, err := strconv.ParseInt(v, 10, 32); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(v); err == nil {
		wait = at.Sub(c.now())
	} else if unix, err := strconv.ParseInt(h.Get("RateLimit-Reset"), 10, 64); err == nil {
		wait = time.Unix(unix, 0).Sub(c.now())
	}
	return min(max(wait, 0), longestWait)
}

// readable turns the body of a refusal into one line for people. GitLab writes
// {"message": …} or {"error": …}, where … is a text, a list, or texts by field; what is
// not JSON is a page for a browser, of which nothing is shown.
func (c *Client) readable(body []byte, secrets []string) string {
	var raw any
	if json.Unmarshal(body, &raw) != nil {
		return ""
	}
	text := strings.Join(strings.Fields(flatten(raw)), " ")
	for _, s := range append([]string{c.token()}, secrets...) {
		if len(s) >= shortestSecret {
			text = strings.ReplaceAll(text, s, hidden)
		}
	}
	if runes := []rune(text); len(runes) > longestMessage {
		text = string(runes[:longestMessage]) + "…"
	}
	return text
}

func flatten(raw any) string {
	switch raw := raw.(type) {
	case string:
		return raw
	case []any:
		var parts []string
		for _, v := range raw {
			parts = append(parts, flatten(v))
		}
		return strings.Join(slices.DeleteFunc(parts, empty), ", ")
	case map[string]any:
		for _, key := range []string{"message", "error_description", "error"} {
			if text := flatten(raw[key]); text != "" {
				return text
			}
		}
		var parts []string
		for _, key := range slices.Sorted(maps.Keys(raw)) {
			parts = append(parts, field(key, flatten(raw[key])))
		}
		return strings.Join(slices.DeleteFunc(parts, empty), ", ")
	default:
		return ""
	}
}

// field names the field that a text is about; "base" is GitLab's word for the whole.
func field(key, text string) string {
	if key == "base" || text == "" {
		return text
	}
	return key + " " + text
}

func empty(s string) bool { return s == "" }

// sentence ends a text with a full stop.
func sentence(s string) string {
	if strings.HasSuffix(s, ".") || strings.HasSuffix(s, "…") || strings.HasSuffix(s, "!") {
		return s
	}
	return s + "."
}

// refusalSays reports whether err is a refusal with one of the statuses whose
// message holds the words. GitLab has no codes for what it means, only sentences.
func refusalSays(err error, words string, statuses ...int) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && slices.Contains(statuses, r.status) && strings.Contains(strings.ToLower(r.message), words)
}
