package bot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
)

// How long calls may take. A call that somebody waits for inside a request is a
// bounded read; every other call is an effect of a loop.
const (
	callTimeout = 10 * time.Second
	readTimeout = 2500 * time.Millisecond
)

const (
	maxAnswer  = 16 << 20 // bytes of an answer of Slack
	maxPages   = 50       // of one list
	pageSize   = 200
	nonceEvent = "kovra_slot" // event type of the metadata of our messages
	// clockSkew is how far Slack's clock and ours may be apart, generously, when a message is looked for.
	clockSkew = 5 * time.Minute
)

// ClientOptions say how to reach Slack.
type ClientOptions struct {
	Token func() string    // of the bot; asked for before each call, so that it may change
	API   string           // address of the Web API; "": Slack's own
	HTTP  *http.Client     // nil: a plain one
	Now   func() time.Time // nil: the system's clock
	// Counted, if set, is told how every call ended, for metrics: ok; limited, Slack answered 429; refused, another no;
	// failed, no answer or none that can be used. Both words come from small fixed sets. It is called concurrently and must not block.
	Counted func(method, outcome string)
}

// Client speaks Slack's Web API. It never repeats a call by itself. Its methods may be
// called from any goroutine; their errors are of type [kovra.Error] and come in four
// sorts: a [Refusal]; [kovra.Unavailable] with Retry > 0, a rate limit, which is also
// given without asking Slack as long as Slack told us to wait; [kovra.Unavailable],
// nothing has happened; [kovra.Unclear], it may have happened.
type Client struct {
	base    *url.URL
	token   func() string
	counted func(method, outcome string)
	http    *http.Client
	now     func() time.Time
	gate    gate

	// clocksAgree: the times at which we posted say where in a history a message can be.
	clocksAgree atomic.Bool

	mu      sync.Mutex
	self    kovra.Workspace
	directs map[string]string // channels in which the bot talks with one person alone, by person
}

func (c *Client) wire() wire { return wire{http: c.http, now: c.now, clocksAgree: &c.clocksAgree} }

// NewClient returns a client; it calls nobody yet. It fails for an address that is none.
func NewClient(o ClientOptions) (*Client, error) {
	if o.API == "" {
		o.API = slack.APIURL
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	base, err := url.Parse(strings.TrimSuffix(o.API, "/") + "/")
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("address of Slack's API %q is no URL", o.API)
	}
	if o.Counted == nil {
		o.Counted = func(string, string) {}
	}
	c := &Client{base: base, token: o.Token, now: o.Now, counted: o.Counted}
	bounded := *o.HTTP
	// A redirect would take a message or a token to where nobody meant it to go.
	bounded.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http = &bounded
	c.clocksAgree.Store(true)
	return c, nil
}

// api is the SDK with the token as it is now; it holds nothing else, so it is cheap to make.
func (c *Client) api() *slack.Client {
	return slack.New(c.token(), slack.OptionAPIURL(c.base.String()), slack.OptionHTTPClient(c.wire()))
}

// wire bounds what is read of an answer and mends a rate limit without a time.
type wire struct {
	http        *http.Client
	now         func() time.Time
	clocksAgree *atomic.Bool // Slack's and ours, as its newest answer tells; not so before one that says it
}

// Do sends one request.
func (w wire) Do(req *http.Request) (*http.Response, error) {
	res, err := w.http.Do(req) //nolint:gosec // G704: a response_url has passed isSlack; all else goes to the configured API
	if err != nil {
		return nil, err
	}
	if at, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		w.clocksAgree.Store(at.Sub(w.now()).Abs() < clockSkew/2)
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, maxAnswer), res.Body}
	if _, err := strconv.Atoi(res.Header.Get("Retry-After")); err != nil && res.StatusCode == http.StatusTooManyRequests {
		res.Header.Set("Retry-After", strconv.Itoa(int(defaultBusyWait/time.Second)))
	}
	return res, nil
}

// do makes one call: not while Slack told us to wait, bounded in time, errors translated.
func (c *Client) do(ctx context.Context, m slackCall, run func(context.Context) error) error {
	if wait := c.gate.wait(m.key(), c.now()); wait > 0 {
		return m.busy(wait)
	}
	if ctx.Err() != nil {
		return &kovra.Error{Kind: kovra.Unavailable, Public: saysSlackDown, Err: fmt.Errorf("%s: %w", m.name, ctx.Err())}
	}
	bounded, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	err := m.translate(run(bounded))
	c.counted(m.name, outcomeOf(err))
	if e, ok := errors.AsType[*kovra.Error](err); ok && e.Retry > 0 {
		c.gate.shut(m.key(), c.now().Add(e.Retry))
	}
	if r, refused := errors.AsType[*Refusal](err); refused && (r.ofChannel() || r.ofPerson()) {
		c.forgetDirect(m.channel)
	}
	return err
}

func effectOn(name, channel string) slackCall {
	return slackCall{name: name, channel: channel, timeout: callTimeout, effect: true}
}

func boundedRead(name, channel string) slackCall {
	return slackCall{name: name, channel: channel, timeout: readTimeout}
}

// Post posts a message, as a reply if threadTS is given, and returns its id.
//
// Class: write-ahead nonce. The caller has stored nonce before; the message carries it
// in its metadata, so that [Client.FindNonce] finds it after an unclear end.
func (c *Client) Post(ctx context.Context, channel, threadTS string, m Message, nonce string) (string, error) {
	options := append(
		contentOptions(m),
		slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl(),
		metadata(m, nonce),
	)
	if threadTS != "" {
		options = append(options, slack.MsgOptionTS(threadTS))
	}
	if threadTS != "" && m.Broadcast {
		options = append(options, slack.MsgOptionBroadcast())
	}
	return c.post(ctx, channel, options...)
}

func (c *Client) post(ctx context.Context, channel string, options ...slack.MsgOption) (ts string, err error) {
	m := effectOn("chat.postMessage", channel)
	m.gated = channel
	err = c.do(ctx, m, func(ctx context.Context) (err error) {
		_, ts, err = c.api().PostMessageContext(ctx, channel, options...)
		if err == nil && ts == "" {
			err = errors.New("an answer without a message")
		}
		return err
	})
	return ts, err
}

// metadata is what no reader sees of a message: the nonce of its post, and what it is, which outlives the database that
// knows the nonce. Everybody in the channel can ask Slack for it.
func metadata(m Message, nonce string) slack.MsgOption {
	payload := map[string]any{"slot": m.Slot, "of": m.Of}
	if nonce != "" {
		payload["nonce"] = nonce
	}
	return slack.MsgOptionMetadata(slack.SlackMetadata{EventType: nonceEvent, EventPayload: payload})
}

// content is what post and update share. Both are always given: an update without
// blocks would leave the old ones.
func contentOptions(m Message) []slack.MsgOption {
	return []slack.MsgOption{slack.MsgOptionText(m.Text, false), slack.MsgOptionBlocks(m.Blocks...)}
}

// Update replaces what a message says; what it is stays in its metadata. Class: by id; it can be repeated.
func (c *Client) Update(ctx context.Context, channel, ts string, m Message) error {
	return c.do(ctx, effectOn("chat.update", channel), func(ctx context.Context) error {
		_, _, _, err := c.api().UpdateMessageContext(ctx, channel, ts, append(contentOptions(m), metadata(m, ""))...)
		return err
	})
}

// Tell sends a person a direct message. Class: at most once; the caller must not
// repeat it.
func (c *Client) Tell(ctx context.Context, user, text string) error {
	channel, err := c.Direct(ctx, user)
	if err != nil {
		return err
	}
	_, err = c.post(ctx, channel, slack.MsgOptionText(text, false), slack.MsgOptionDisableLinkUnfurl())
	return err
}

// mostDirects is how many channels of single persons are remembered.
const mostDirects = 10_000

// Direct returns the channel in which the bot and a person talk alone. Class: by id; it can be repeated. It is remembered until
// Slack refuses something there.
func (c *Client) Direct(ctx context.Context, user string) (string, error) {
	c.mu.Lock()
	known := c.directs[user]
	c.mu.Unlock()
	if known != "" {
		return known, nil
	}
	var channel *slack.Channel
	err := c.do(ctx, effectOn("conversations.open", ""), func(ctx context.Context) (err error) {
		channel, _, _, err = c.api().OpenConversationContext(ctx, &slack.OpenConversationParameters{Users: []string{user}})
		return err
	})
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.directs == nil || len(c.directs) >= mostDirects {
		c.directs = map[string]string{}
	}
	c.directs[user] = channel.ID
	return channel.ID, nil
}

// forgetDirect forgets whose channel it is, if it is one person's.
func (c *Client) forgetDirect(channel string) {
	if channel == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.directs, func(_, known string) bool { return known == channel })
}

// Ephemeral shows a message to one member of a channel. Class: at most once.
func (c *Client) Ephemeral(ctx context.Context, to Spot, blocks []slack.Block, text string) error {
	m := effectOn("chat.postEphemeral", to.Channel)
	m.gated = to.Channel
	options := contentOptions(Message{Text: text, Blocks: blocks})
	if to.Thread != "" {
		options = append(options, slack.MsgOptionTS(to.Thread))
	}
	return c.do(ctx, m, func(ctx context.Context) error {
		_, err := c.api().PostEphemeralContext(ctx, to.Channel, to.User, options...)
		return err
	})
}

// Respond posts body as JSON to a response_url. Such an address comes to us through
// forms and storage, so only Slack's own hosts and that of the Web API are called; any
// other is a [Refusal], as is one that is used up. Class: at most once.
func (c *Client) Respond(ctx context.Context, responseURL string, body any) error {
	m := effectOn("response_url", "")
	to, err := url.Parse(responseURL)
	if err != nil || !c.isSlack(to) {
		return m.refuse("unsafe_address")
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	m.gated = responseURL // the limit of one is no limit of another
	return c.do(ctx, m, func(ctx context.Context) error { return c.respond(ctx, m, to, raw) })
}

// isSlack reports whether an address leads to Slack: to the host of the Web API, or by
// https to one of Slack's.
func (c *Client) isSlack(u *url.URL) bool {
	if u.User != nil {
		return false
	}
	if u.Scheme == c.base.Scheme && u.Host == c.base.Host {
		return true
	}
	return u.Scheme == "https" && (u.Host == "slack.com" || strings.HasSuffix(u.Host, ".slack.com"))
}

func (c *Client) respond(ctx context.Context, m slackCall, to *url.URL, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(body))
	if err != nil {
		return m.refuse("unsafe_address") // unreachable: the address was parsed before
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.wire().Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	switch {
	case res.StatusCode == http.StatusTooManyRequests:
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		return m.busy(time.Duration(max(seconds, 1)) * time.Second)
	case res.StatusCode != http.StatusOK:
		return slack.StatusCodeError{Code: res.StatusCode, Status: res.Status}
	}
	return nil
}

// OpenView opens a modal for the click or command of that trigger, which lives three
// seconds, and returns the id of the view.
func (c *Client) OpenView(ctx context.Context, trigger string, view slack.ModalViewRequest) (string, error) {
	return c.view(ctx, "views.open", func(ctx context.Context) (*slack.ViewResponse, error) {
		return c.api().OpenViewContext(ctx, trigger, view)
	})
}

// UpdateView replaces a modal. With a hash, only if it is still the one that the hash
// was told of; "" replaces it anyway. Class: by id.
func (c *Client) UpdateView(ctx context.Context, id, hash string, view slack.ModalViewRequest) error {
	_, err := c.view(ctx, "views.update", func(ctx context.Context) (*slack.ViewResponse, error) {
		return c.api().UpdateViewContext(ctx, view, "", hash, id)
	})
	return err
}

func (c *Client) view(ctx context.Context, name string, call func(context.Context) (*slack.ViewResponse, error)) (id string, err error) {
	m := boundedRead(name, "")
	m.effect = true
	err = c.do(ctx, m, func(ctx context.Context) error {
		res, err := call(ctx)
		if err == nil {
			id = res.ID
		}
		return err
	})
	return id, err
}

// Join makes the bot a member of a public channel; it is no error if it is one.
func (c *Client) Join(ctx context.Context, channel string) error {
	m := boundedRead("conversations.join", channel)
	return c.do(ctx, m, func(ctx context.Context) error {
		_, _, _, err := c.api().JoinConversationContext(ctx, channel)
		return err
	})
}

// Member reports whether the bot is a member of the channel. A private channel that it
// is not in is a [Refusal]: Slack does not even say that it exists. The error is [kovra.ErrDirect] for a direct message.
func (c *Client) Member(ctx context.Context, channel string) (member bool, err error) {
	direct := false
	err = c.do(ctx, boundedRead("conversations.info", channel), func(ctx context.Context) error {
		info, err := c.api().GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: channel})
		if err == nil {
			member, direct = info.IsMember, info.IsIM || info.IsMpIM
		} else {
			direct = isDirect(err)
		}
		return err
	})
	if direct {
		return false, kovra.ErrDirect
	}
	return member, err
}

// isDirect reports whether Slack refuses because it is about a direct message: we have no scope that reads of those. An app without any
// such scope is told all of them, whatever it is about.
func isDirect(err error) bool {
	no, ok := errors.AsType[slack.SlackErrorResponse](err)
	return ok && no.Err == "missing_scope" && strings.Contains(no.Needed, "im:read") && !strings.Contains(no.Needed, "channels:read")
}

// Shared reports whether people of other organisations are in the channel, or invited
// to it. A channel that only workspaces of one enterprise share is not shared.
func (c *Client) Shared(ctx context.Context, channel string) (shared bool, err error) {
	var info *slack.Channel
	err = c.do(ctx, boundedRead("conversations.info", channel), func(ctx context.Context) (err error) {
		info, err = c.api().GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: channel})
		return err
	})
	if err != nil {
		return false, err
	}
	if info.IsExtShared || info.IsPendingExtShared || len(info.PendingShared) > 0 || info.IsShared && !info.IsOrgShared {
		return true, nil
	}
	connected := slices.DeleteFunc(info.ConnectedTeamIDs, func(id string) bool { return slices.Contains(info.InternalTeamIDs, id) })
	if len(connected) == 0 {
		return false, nil
	}
	self, err := c.Self(ctx)
	return slices.ContainsFunc(connected, func(id string) bool { return !self.Knows(id, id) }), err
}

// Self returns the workspace and who the bot is in it. It is asked until it worked once.
func (c *Client) Self(ctx context.Context) (kovra.Workspace, error) {
	c.mu.Lock()
	self := c.self
	c.mu.Unlock()
	if self.Bot != "" {
		return self, nil
	}
	err := c.do(ctx, boundedRead("auth.test", ""), func(ctx context.Context) error {
		res, err := c.api().AuthTestContext(ctx)
		if err == nil {
			self = kovra.Workspace{Team: res.TeamID, Enterprise: res.EnterpriseID, Bot: res.UserID}
		}
		return err
	})
	if err != nil {
		return kovra.Workspace{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.self = self
	return self, nil
}
