package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/slack-go/slack"
)

// FindNonce looks for the message that was posted with nonce at about the time since,
// among the replies to threadTS, or in the channel if that is "". Not found means that
// it does not exist; an error, that nothing is known.
func (c *Client) FindNonce(ctx context.Context, channel, threadTS, nonce string, since time.Time) (ts string, found bool, err error) {
	// The message is not younger than its call, so a long outage costs no pages.
	whole, err := c.history(ctx, channel, threadTS, since, since.Add(callTimeout), func(m historyMessage) bool {
		if m.Metadata.EventType == nonceEvent && m.Metadata.EventPayload.Nonce == nonce {
			ts, found = m.TS, true
		}
		return !found
	})
	if err == nil && !whole {
		err = slackCall{name: "conversations.history", channel: channel}.lost(errors.New("too many messages to look through"))
	}
	return ts, found, err
}

// Ours finds the messages of threads that we posted between two times, among the replies to threadTS, or in the channel if
// that is "": their ids by what they are, see [messageKey]. Slack's clock and ours may differ by some minutes. whole is
// false if there were too many messages to look through all of them; then the newest are there.
func (c *Client) Ours(ctx context.Context, channel, threadTS string, from, to time.Time) (ours map[string]string, whole bool, err error) {
	self, err := c.Self(ctx)
	if err != nil {
		return nil, false, err
	}
	ours = map[string]string{}
	whole, err = c.history(ctx, channel, threadTS, from, to, func(m historyMessage) bool {
		p := m.Metadata.EventPayload
		if m.User == self.Bot && m.Metadata.EventType == nonceEvent && p.Of != "" {
			key := messageKey(p.Of, p.Slot)
			if first, known := ours[key]; !known || m.TS < first {
				ours[key] = m.TS
			}
		}
		return true
	})
	return ours, whole, err
}

// messageKey names a message by what it is: what its thread is about, and its slot.
func messageKey(of, slot string) string { return of + " " + slot }

// history shows the messages of some time to see, page by page, until that returns false. It reports false when there
// were more pages than it reads. The times are taken generously, for clocks that differ.
//
// While our clock and Slack's do not agree at all, times do not count, and everything is looked through, newest first.
func (c *Client) history(ctx context.Context, channel, threadTS string, from, to time.Time, see func(historyMessage) bool) (whole bool, err error) {
	agreed := c.clocksAgree.Load()
	seen := false
	whole, err = c.pages(ctx, channel, threadTS, from, to, !agreed, func(m historyMessage) bool {
		more := see(m)
		seen = seen || !more
		return more
	})
	if err == nil && !seen && agreed && !c.clocksAgree.Load() { // as the answer told
		return c.pages(ctx, channel, threadTS, from, to, true, see)
	}
	return whole, err
}

func (c *Client) pages(ctx context.Context, channel, threadTS string, from, to time.Time, always bool, see func(historyMessage) bool) (whole bool, err error) {
	name, form := "conversations.history", url.Values{}
	if threadTS != "" {
		name = "conversations.replies"
		form.Set("ts", threadTS)
	}
	form.Set("channel", channel)
	form.Set("limit", strconv.Itoa(pageSize))
	form.Set("include_all_metadata", "true")
	form.Set("inclusive", "true")
	if !always {
		form.Set("oldest", slackTime(from.Add(-clockSkew)))
		form.Set("latest", slackTime(to.Add(clockSkew)))
	}
	m := slackCall{name: name, channel: channel, timeout: callTimeout}
	for range maxPages {
		var page historyPage
		if err := c.do(ctx, m, func(ctx context.Context) error { return c.ask(ctx, m, form, &page) }); err != nil {
			return false, err
		}
		for _, msg := range page.Messages {
			if !see(msg) {
				return true, nil
			}
		}
		if page.ResponseMetadata.NextCursor == "" {
			return true, nil
		}
		form.Set("cursor", page.ResponseMetadata.NextCursor)
	}
	return false, nil
}

func slackTime(t time.Time) string {
	return fmt.Sprintf("%d.%06d", t.Unix(), t.Nanosecond()/1000)
}

// historyPage is the part of a page of messages that matters. It is decoded here, not
// by the SDK: what other people's messages hold must not be able to break the look-up.
type historyPage struct {
	OK               bool             `json:"ok"`
	Error            string           `json:"error"`
	Messages         []historyMessage `json:"messages"`
	ResponseMetadata struct {
		NextCursor string `json:"next_cursor"`
	} `json:"response_metadata"`
}

type historyMessage struct {
	TS       string `json:"ts"`
	User     string `json:"user"`
	Metadata struct {
		EventType    string       `json:"event_type"`
		EventPayload noncePayload `json:"event_payload"`
	} `json:"metadata"`
}

// noncePayload is our metadata; that of other apps, whatever it holds, is read as empty.
type noncePayload struct{ Nonce, Slot, Of string }

// UnmarshalJSON never fails.
func (p *noncePayload) UnmarshalJSON(raw []byte) error {
	var v struct {
		Nonce any `json:"nonce"`
		Slot  any `json:"slot"`
		Of    any `json:"of"`
	}
	_ = json.Unmarshal(raw, &v) // not ours
	p.Nonce, _ = v.Nonce.(string)
	p.Slot, _ = v.Slot.(string)
	p.Of, _ = v.Of.(string)
	return nil
}

// ask calls a method that takes a form and decodes a page of messages.
func (c *Client) ask(ctx context.Context, m slackCall, form url.Values, page *historyPage) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath(m.name).String(), strings.NewReader(form.Encode()))
	if err != nil {
		return err // unreachable: the address was parsed before
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Bearer "+c.token())
	res, err := c.wire().Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	switch {
	case res.StatusCode == http.StatusTooManyRequests:
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		return m.busy(time.Duration(max(seconds, 1)) * time.Second)
	case res.StatusCode != http.StatusOK:
		return slack.StatusCodeError{Code: res.StatusCode, Status: res.Status}
	}
	if err := json.NewDecoder(res.Body).Decode(page); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	if !page.OK {
		return m.refuse(page.Error)
	}
	return nil
}
