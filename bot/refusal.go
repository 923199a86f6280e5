package bot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
)

// Refusal is a clear no by Slack: nothing has happened. It is the cause of a
// [kovra.Error].
type Refusal struct {
	Method  string
	Channel string // "" where the method is about none
	Code    string // Slack's word
	// Permanent says that the same call will be refused again until somebody
	// changes the channel, the message or its content.
	Permanent bool
}

// Error names method and code; it holds no token and no address.
func (r *Refusal) Error() string { return r.Method + ": " + r.Code }

// Kinds of permanent refusals, by what they are about.
var (
	// channelRefusals: nothing can be posted in the channel as it is.
	channelRefusals = map[string]string{
		"channel_not_found":                        "the channel is gone, or private without the bot in it",
		"is_archived":                              "the channel is archived",
		codeNotInChannel:                           "the bot is not in the channel",
		"restricted_action":                        "the workspace does not let apps post here",
		"restricted_action_read_only_channel":      "the channel is read-only",
		"restricted_action_thread_only_channel":    "only replies are allowed in the channel",
		"restricted_action_non_threadable_channel": "the channel allows no threads",
		"channel_type_not_supported":               "Slack lets no apps post in this kind of channel",
		"method_not_supported_for_channel_type":    "Slack lets no apps post in this kind of channel",
		"team_access_not_granted":                  "the app may not work in the channel's workspace",
	}
	// messageRefusals: the message, or the parent of a reply, is out of reach.
	messageRefusals = map[string]string{
		"message_not_found":               "the message was deleted",
		"thread_not_found":                "the first message of the thread was deleted",
		"cant_update_message":             "Slack lets the bot not change the message",
		"edit_window_closed":              "the workspace forbids changing messages after a while",
		"cannot_reply_to_message":         "Slack allows no replies to the message",
		"restricted_action_thread_locked": "the thread is locked",
	}
	// contentRefusals: Slack does not like what the message says; our fault.
	contentRefusals = []string{
		"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "no_text", "block_mismatch",
		"invalid_metadata_format", "invalid_metadata_schema", "metadata_too_large", "invalid_arguments", "too_many_attachments",
	}
	// personRefusals: the person is gone, or is one whom no app can write to.
	personRefusals = []string{"user_not_found", "users_not_found", "user_disabled", "user_not_visible", "cannot_dm_bot", "invalid_user_combination", "not_enough_users"}
	// mayHaveHappened are refusals that Slack gives also after it did a part of the work.
	mayHaveHappened = []string{"internal_error", "fatal_error"}
	// passing are refusals that end by themselves.
	passing = []string{"service_unavailable", "request_timeout", "accesslimited", "team_added_to_org", "rollup_error", "ratelimited", "rate_limited"}
	// unknownThings are refusals that say that there is no such thing.
	unknownThings = []string{"channel_not_found", "user_not_found", "users_not_found", "no_such_subteam", "message_not_found", "thread_not_found", "view_not_found"}
)

const (
	codeNotInChannel = "not_in_channel"
	defaultBusyWait  = 30 * time.Second // when Slack does not say how long
)

func (r *Refusal) ofChannel() bool { return channelRefusals[r.Code] != "" }

// ofPerson reports whether Slack lets nobody write to the person. What it says of the bot itself, as of a token or scope, is
// no reason to give them up.
func (r *Refusal) ofPerson() bool { return slices.Contains(personRefusals, r.Code) }

func (r *Refusal) ofMessage() bool { return messageRefusals[r.Code] != "" }

func (r *Refusal) ofContent() bool { return slices.Contains(contentRefusals, r.Code) }

// reason is the refusal as part of a sentence for people.
func (r *Refusal) reason() string {
	if s := channelRefusals[r.Code]; s != "" {
		return s
	}
	if s := messageRefusals[r.Code]; s != "" {
		return s
	}
	return "Slack refuses the message (" + r.Code + ")"
}

// slackCall is what the border knows of one call.
type slackCall struct {
	name    string
	channel string // of what the call is about; "" if none
	gated   string // the channel, where Slack limits the method by channel
	timeout time.Duration
	effect  bool // the call changes something that must not be done twice lightly
}

func (m slackCall) key() string { return m.name + " " + m.gated }

// refuse makes an error of Slack's word.
func (m slackCall) refuse(code string) error {
	switch {
	case code == "ratelimited" || code == "rate_limited":
		return m.busy(defaultBusyWait)
	case slices.Contains(mayHaveHappened, code):
		return m.lost(errors.New(code))
	case slices.Contains(passing, code):
		return &kovra.Error{Kind: kovra.Unavailable, Public: saysSlackDown, Err: fmt.Errorf("%s: %s", m.name, code)}
	}
	r := &Refusal{Method: m.name, Channel: m.channel, Code: code}
	r.Permanent = r.ofChannel() || r.ofMessage() || r.ofContent()
	kind := kovra.Conflict
	if slices.Contains(unknownThings, code) {
		kind = kovra.NotFound
	}
	return &kovra.Error{Kind: kind, Public: fmt.Sprintf(saysSlackNo, code), Err: r}
}

// busy is the error of a call that Slack's rate limit refused: nothing has happened.
func (m slackCall) busy(wait time.Duration) error {
	return &kovra.Error{Kind: kovra.Unavailable, Public: saysSlackBusy, Err: fmt.Errorf("%s: %w", m.name, errBusy), Retry: wait}
}

// lost is the error of a call whose end is not known.
func (m slackCall) lost(err error) error {
	kind := kovra.Unavailable
	if m.effect {
		kind = kovra.Unclear
	}
	return &kovra.Error{Kind: kind, Public: saysSlackDown, Err: fmt.Errorf("%s: %w", m.name, err)}
}

// errBusy marks a rate limit.
var errBusy = errors.New("rate limited")

// translate turns the errors of the SDK and of the network into ours: a clear
// [Refusal], [kovra.Unavailable] (nothing has happened; Retry says how long Slack
// asks to wait) or [kovra.Unclear] (it may have happened). Addresses are left out:
// a response_url is a secret.
func (m slackCall) translate(err error) error {
	if err == nil {
		return nil
	}
	if _, ours := errors.AsType[*kovra.Error](err); ours {
		return err
	}
	if busy, ok := errors.AsType[*slack.RateLimitedError](err); ok {
		return m.busy(max(busy.RetryAfter, time.Second))
	}
	if no, ok := errors.AsType[slack.SlackErrorResponse](err); ok {
		return m.refuse(no.Err)
	}
	if status, ok := errors.AsType[slack.StatusCodeError](err); ok {
		if status.Code < http.StatusInternalServerError {
			return m.refuse(fmt.Sprintf("http_%d", status.Code))
		}
		return m.lost(fmt.Errorf("HTTP %d", status.Code))
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if neverSent(err) {
		return &kovra.Error{Kind: kovra.Unavailable, Public: saysSlackDown, Err: fmt.Errorf("%s: %w", m.name, err)}
	}
	return m.lost(err)
}

// outcomeOf is the end of a call as a word of metrics.
func outcomeOf(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, errBusy):
		return "limited"
	case isRefusal(err):
		return "refused"
	}
	return "failed"
}

// neverSent reports whether the connection did not even come about.
func neverSent(err error) bool {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial" && !errors.Is(err, context.Canceled)
}

// gate keeps calls back that Slack told to wait, by method and, where Slack limits by
// it, by channel: everything else goes on.
type gate struct {
	mu    sync.Mutex
	until map[string]time.Time
}

// wait returns how long the key is closed; 0: it is open.
func (g *gate) wait(key string, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	until, closed := g.until[key]
	if !closed {
		return 0
	}
	if !now.Before(until) {
		delete(g.until, key)
		return 0
	}
	return until.Sub(now)
}

// shut closes the key until then.
func (g *gate) shut(key string, until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.until == nil {
		g.until = map[string]time.Time{}
	}
	if until.After(g.until[key]) {
		g.until[key] = until
	}
}
