package bot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
)

// simWith is a workspace with two people and one channel.
func simWith(t *testing.T, o slacksim.Options) (*slacksim.Server, *Client) {
	t.Helper()
	sim := slacksim.New(o)
	sim.AddUser(slacksim.User{ID: "U1", Name: "alice", RealName: "Alice A.", IsAdmin: true})
	sim.AddUser(slacksim.User{ID: "U2", Name: "eve", TeamID: "T0OTHER", EnterpriseID: "E9"})
	sim.AddChannel(slacksim.Channel{ID: "C1", Name: "one", Members: []string{"U1", "U2", slacksim.BotUserID}})
	return sim, testClient(t, sim)
}

func say(text string) Message {
	return Message{Slot: kovra.SlotCard, Text: text, Blocks: []slack.Block{section(text)}}
}

func TestClientPostsAndFinds(t *testing.T) {
	sim, c := simWith(t, slacksim.Options{})
	ctx := t.Context()
	card, err := c.Post(ctx, "C1", "", say("card"), "n1")
	if err != nil {
		t.Fatal(err)
	}
	loud := say("reply")
	loud.Broadcast = true
	reply, err := c.Post(ctx, "C1", card, loud, "n2")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		thread, nonce string
		since         time.Time
		want          string
	}{
		{"", "n1", time.Now(), card},
		{card, "n2", time.Now(), reply},
		{"", "n3", time.Now(), ""},
		{"", "n1", time.Now().Add(-time.Hour), ""}, // not of that time
		{"", "n1", time.Now().Add(time.Hour), ""},
	}
	for _, tt := range tests {
		ts, found, err := c.FindNonce(ctx, "C1", tt.thread, tt.nonce, tt.since)
		if ts != tt.want || found != (tt.want != "") || err != nil {
			t.Errorf("FindNonce(%q, %q) = %q, %v, %v; want %q", tt.thread, tt.nonce, ts, found, err, tt.want)
		}
	}
	if err := c.Update(ctx, "C1", card, say("new")); err != nil {
		t.Fatal(err)
	}
	m, _ := sim.Message("C1", card)
	r, _ := sim.Message("C1", reply)
	if m.Text != "new" || m.Edits != 1 || r.ThreadTS != card || !r.Broadcast {
		t.Errorf("card %+v, reply %+v", m, r)
	}
}

// TestClientFindsOurs: messages are known by what they are, also after an edit, if they are ours and of that time.
func TestClientFindsOurs(t *testing.T) {
	sim, c := simWith(t, slacksim.Options{})
	ctx := t.Context()
	of := func(what, text string) Message {
		m := say(text)
		m.Of = what
		return m
	}
	card, err := c.Post(ctx, "C1", "", of("run/7/1", "card"), "n1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Post(ctx, "C1", "", say("of an older version"), "n2"); err != nil {
		t.Fatal(err)
	}
	reply, err := c.Post(ctx, "C1", card, of("run/7/1", "reply"), "n3")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Update(ctx, "C1", card, of("run/7/1", "edited")); err != nil {
		t.Fatal(err)
	}
	if _, err := sim.Say("U1", "C1", "", "hello"); err != nil {
		t.Fatal(err)
	}
	now, key := time.Now(), messageKey("run/7/1", kovra.SlotCard)
	for _, tt := range []struct {
		thread   string
		from, to time.Time
		want     map[string]string
	}{
		{"", now, now, map[string]string{key: card}},
		{card, now, now, map[string]string{key: card}}, // the parent leads the replies, of which it is the oldest
		{"", now.Add(time.Hour), now.Add(2 * time.Hour), map[string]string{}},
		{"", now.Add(-2 * time.Hour), now.Add(-time.Hour), map[string]string{}},
	} {
		got, whole, err := c.Ours(ctx, "C1", tt.thread, tt.from, tt.to)
		if diff := cmp.Diff(tt.want, got); diff != "" || !whole || err != nil {
			t.Errorf("in %q from %v to %v: %v, %v (-want +got):\n%s", tt.thread, tt.from, tt.to, whole, err, diff)
		}
	}
	if reply == card {
		t.Error("one message")
	}
}

func TestClientFindsOnLaterPages(t *testing.T) {
	sim, c := simWith(t, slacksim.Options{})
	ts, err := c.Post(t.Context(), "C1", "", say("card"), "n1")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2*pageSize + 10 {
		if _, err := sim.Say("U1", "C1", "", fmt.Sprint("hello ", i)); err != nil {
			t.Fatal(err)
		}
	}
	got, found, err := c.FindNonce(t.Context(), "C1", "", "n1", time.Now())
	if got != ts || !found || err != nil {
		t.Errorf("FindNonce = %q, %v, %v; want %q", got, found, err, ts)
	}
	if n := sim.CallCount("conversations.history"); n != 3 {
		t.Errorf("%d pages, want 3", n)
	}
}

// answers is a server that always says the same.
func answers(t *testing.T, status int, body string, header ...string) *Client {
	t.Helper()
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
	c, err := NewClient(ClientOptions{Token: fixed("xoxb-secret"), API: "http://slack.test/api", HTTP: &http.Client{Transport: slacksim.HandlerTransport(h)}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClientTellsErrorsApart(t *testing.T) {
	tests := []struct {
		name       string
		status     int
		body       string
		header     []string
		post, look kovra.ErrorKind // of an effect, and of a read
		code       string
		permanent  bool
		retry      time.Duration
	}{
		{name: "archived", status: 200, body: `{"ok":false,"error":"is_archived"}`, post: kovra.Conflict, look: kovra.Conflict, code: "is_archived", permanent: true},
		{name: "no channel", status: 200, body: `{"ok":false,"error":"channel_not_found"}`, post: kovra.NotFound, look: kovra.NotFound, code: "channel_not_found", permanent: true},
		{name: "bad blocks", status: 200, body: `{"ok":false,"error":"invalid_blocks"}`, post: kovra.Conflict, look: kovra.Conflict, code: "invalid_blocks", permanent: true},
		{name: "bad token", status: 200, body: `{"ok":false,"error":"invalid_auth"}`, post: kovra.Conflict, look: kovra.Conflict, code: "invalid_auth"},
		{name: "half done", status: 200, body: `{"ok":false,"error":"fatal_error"}`, post: kovra.Unclear, look: kovra.Unavailable},
		{name: "passing", status: 200, body: `{"ok":false,"error":"service_unavailable"}`, post: kovra.Unavailable, look: kovra.Unavailable},
		{name: "limit in words", status: 200, body: `{"ok":false,"error":"ratelimited"}`, post: kovra.Unavailable, look: kovra.Unavailable, retry: defaultBusyWait},
		{name: "limit", status: 429, body: ``, header: []string{"Retry-After", "7"}, post: kovra.Unavailable, look: kovra.Unavailable, retry: 7 * time.Second},
		{name: "limit without a time", status: 429, body: ``, post: kovra.Unavailable, look: kovra.Unavailable, retry: defaultBusyWait},
		{name: "limit with a strange time", status: 429, body: ``, header: []string{"Retry-After", "soon"}, post: kovra.Unavailable, look: kovra.Unavailable, retry: defaultBusyWait},
		{name: "bad gateway", status: 502, body: `<html>`, post: kovra.Unclear, look: kovra.Unavailable},
		{name: "not found", status: 404, body: `nothing`, post: kovra.Conflict, look: kovra.Conflict, code: "http_404"},
		{name: "no JSON", status: 200, body: `<html>`, post: kovra.Unclear, look: kovra.Unavailable},
		{name: "no message", status: 200, body: `{"ok":true}`, post: kovra.Unclear},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, post := answers(t, tt.status, tt.body, tt.header...).Post(t.Context(), "C1", "", say("x"), "n")
			_, _, look := answers(t, tt.status, tt.body, tt.header...).FindNonce(t.Context(), "C1", "", "n", time.Now())
			_, info := answers(t, tt.status, tt.body, tt.header...).Member(t.Context(), "C1")
			check := func(what string, err error, kind kovra.ErrorKind) {
				t.Helper()
				if kind == "" {
					return
				}
				e, ok := errors.AsType[*kovra.Error](err)
				if !ok || e.Kind != kind || e.Retry != tt.retry {
					t.Errorf("%s: %#v, want kind %s and retry %v", what, err, kind, tt.retry)
				}
				r, refused := errors.AsType[*Refusal](err)
				if refused != (tt.code != "") || refused && (r.Code != tt.code || r.Permanent != tt.permanent || r.Channel != "C1") {
					t.Errorf("%s: refusal %+v, want %q, permanent %v", what, r, tt.code, tt.permanent)
				}
			}
			check("post", post, tt.post)
			check("look-up", look, tt.look)
			check("channel", info, tt.look)
		})
	}
}

type failingTransport struct{ err error }

func (f failingTransport) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

func TestClientTellsNetworkErrorsApart(t *testing.T) {
	tests := []struct {
		err  error
		want kovra.ErrorKind
	}{
		{&net.OpError{Op: "dial", Err: errors.New("connection refused")}, kovra.Unavailable},
		{&net.DNSError{Err: "no such host"}, kovra.Unavailable},
		{&net.OpError{Op: "read", Err: errors.New("connection reset")}, kovra.Unclear},
		{context.DeadlineExceeded, kovra.Unclear},
	}
	for _, tt := range tests {
		c, err := NewClient(ClientOptions{Token: fixed("xoxb-secret"), HTTP: &http.Client{Transport: failingTransport{tt.err}}})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Update(t.Context(), "C1", "1.2", say("x"))
		if kovra.KindOf(err) != tt.want {
			t.Errorf("%v became %v, want kind %s", tt.err, err, tt.want)
		}
		err = c.Respond(t.Context(), "https://hooks.slack.com/actions/SECRET", nil)
		if s := fmt.Sprintf("%v %+v", err, err); strings.Contains(s, "SECRET") || strings.Contains(s, "xoxb") {
			t.Errorf("a secret is in the error: %s", s)
		}
	}
}

func TestClientTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := simWith(t, slacksim.Options{})
		sim.Fault(slacksim.Delay("chat.update", time.Minute), slacksim.Delay("conversations.info", time.Minute))
		start := time.Now()
		if err := c.Update(t.Context(), "C1", "1.2", say("x")); kovra.KindOf(err) != kovra.Unclear || time.Since(start) != callTimeout {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		start = time.Now()
		if _, err := c.Member(t.Context(), "C1"); kovra.KindOf(err) != kovra.Unavailable || time.Since(start) != readTimeout {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestClientDoesNotKnockWhileItMustWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := simWith(t, slacksim.Options{})
		sim.AddChannel(slacksim.Channel{ID: "C2", Name: "two", Members: []string{slacksim.BotUserID}})
		sim.Fault(slacksim.RateLimit("chat.postMessage", 10*time.Second), slacksim.RateLimit("chat.update", 5*time.Second))
		post := func(channel string) error {
			_, err := c.Post(t.Context(), channel, "", say("x"), "n")
			return err
		}
		if post("C1") == nil || c.Update(t.Context(), "C1", "1.2", say("x")) == nil {
			t.Fatal("the limit was not told")
		}
		time.Sleep(4 * time.Second)
		calls := len(sim.Calls())
		err := post("C1")
		if e, ok := errors.AsType[*kovra.Error](err); !ok || e.Retry != 6*time.Second {
			t.Errorf("%v, want to wait 6s more", err)
		}
		if err := c.Update(t.Context(), "C2", "1.2", say("x")); kovra.KindOf(err) != kovra.Unavailable {
			t.Errorf("an update in another channel: %v, want the limit of the workspace", err)
		}
		if n := len(sim.Calls()); n != calls {
			t.Errorf("Slack was asked %d times though it told us to wait", n-calls)
		}
		if err := post("C2"); err != nil {
			t.Errorf("another channel: %v", err)
		}
		time.Sleep(6 * time.Second)
		if err := post("C1"); err != nil {
			t.Errorf("after the wait: %v", err)
		}
	})
}

func TestClientKnowsPeopleAndPlaces(t *testing.T) {
	sim, c := simWith(t, slacksim.Options{EnterpriseID: "E1"})
	ctx := t.Context()
	sim.AddUser(slacksim.User{ID: "U3", Name: "carol", TeamID: "T0SISTER", EnterpriseID: "E1"})
	sim.Fault(slacksim.Status("auth.test", 500))
	if _, err := c.Self(ctx); err == nil {
		t.Error("no error from a Slack that is down")
	}
	for range 2 {
		self, err := c.Self(ctx)
		if want := (kovra.Workspace{Team: slacksim.TeamID, Enterprise: "E1", Bot: slacksim.BotUserID}); self != want || err != nil {
			t.Errorf("Self = %+v, %v; want %+v", self, err, want)
		}
	}
	if n := sim.CallCount("auth.test"); n != 2 {
		t.Errorf("auth.test was asked %d times, want once after it failed", n)
	}
	for _, want := range []kovra.SlackUser{
		{ID: "U1", Name: "alice", Team: slacksim.TeamID, Enterprise: "E1", Admin: true},
		{ID: "U2", Name: "eve", Team: "T0OTHER", Enterprise: "E9", Foreign: true},
		{ID: "U3", Name: "carol", Team: "T0SISTER", Enterprise: "E1"},
		{ID: slacksim.BotUserID, Name: "kovra", Team: slacksim.TeamID, Enterprise: "E1", Bot: true},
	} {
		got, err := c.User(ctx, want.ID)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("User(%s): %v\n%s", want.ID, err, diff)
		}
	}
	if _, err := c.User(ctx, "U9"); kovra.KindOf(err) != kovra.NotFound {
		t.Errorf("an unknown person: %v", err)
	}
	members, err := c.Members(ctx, "C1")
	if !slices.Equal(members, []string{"U1", "U2", slacksim.BotUserID}) || err != nil {
		t.Errorf("Members = %v, %v", members, err)
	}

	sim.AddChannel(slacksim.Channel{ID: "C2", Name: "two", Members: []string{"U1"}})
	if in, err := c.Member(ctx, "C2"); in || err != nil {
		t.Errorf("Member = %v, %v before joining", in, err)
	}
	if err := c.Join(ctx, "C2"); err != nil {
		t.Error(err)
	}
	if in, err := c.Member(ctx, "C2"); !in || err != nil {
		t.Errorf("Member = %v, %v after joining", in, err)
	}
}

func TestClientKnowsSharedChannels(t *testing.T) {
	for _, tt := range []struct {
		info string // what Slack says of the channel
		want bool
	}{
		{`"is_shared":false`, false},
		{`"is_shared":true,"is_ext_shared":true`, true},
		{`"is_pending_ext_shared":true`, true},
		{`"pending_shared":["T9"]`, true},
		{`"is_shared":true,"is_org_shared":true`, false},
		{`"is_shared":true,"is_org_shared":true,"internal_team_ids":["T1","T2"],"connected_team_ids":["T2"]`, false},
		{`"is_shared":true,"is_org_shared":true,"internal_team_ids":["T1","T2"],"connected_team_ids":["T9"]`, true},
		{`"connected_team_ids":["T1","E1"]`, false}, // ourselves
		{`"connected_team_ids":["T1","T9"]`, true},
		{`"is_shared":true`, true}, // in a way that is not known
	} {
		body := `{"ok":true,"team_id":"T1","enterprise_id":"E1","user_id":"U1","channel":{"id":"C1",` + tt.info + `}}`
		if got, err := answers(t, http.StatusOK, body).Shared(t.Context(), "C1"); got != tt.want || err != nil {
			t.Errorf("%s: %v, %v; want %v", tt.info, got, err, tt.want)
		}
	}
	if _, err := answers(t, http.StatusOK, `{"ok":false,"error":"channel_not_found"}`).Shared(t.Context(), "C1"); kovra.KindOf(err) != kovra.NotFound {
		t.Errorf("an unknown channel: %v", err)
	}
}

func TestClientReadsAllMembers(t *testing.T) {
	sim, c := simWith(t, slacksim.Options{})
	var want []string
	for i := range 2500 {
		want = append(want, fmt.Sprintf("U%05d", i))
	}
	sim.AddChannel(slacksim.Channel{ID: "C2", Name: "big", Members: want})
	got, err := c.Members(t.Context(), "C2")
	if !slices.Equal(got, want) || err != nil {
		t.Errorf("%d members, %v; want %d", len(got), err, len(want))
	}
}

func TestClientSpeaksPrivately(t *testing.T) {
	sim, c := simWith(t, slacksim.Options{})
	ctx := t.Context()
	if err := c.Ephemeral(ctx, Spot{Channel: "C1", User: "U1"}, []slack.Block{section("psst")}, "psst"); err != nil {
		t.Fatal(err)
	}
	if err := c.Tell(ctx, "U1", "hello"); err != nil {
		t.Fatal(err)
	}
	if e := sim.Ephemerals("U1"); len(e) != 1 || e[0].Text != "psst" {
		t.Errorf("ephemeral messages: %+v", e)
	}
	if m := sim.Messages("DU1"); len(m) != 1 || m[0].Text != "hello" {
		t.Errorf("direct messages: %+v", m)
	}
	if err := c.Tell(ctx, "U9", "hello"); kovra.KindOf(err) != kovra.NotFound {
		t.Errorf("a message to nobody: %v", err)
	}
	if err := c.Respond(ctx, "http://slack.sim/response/R1", map[string]string{"text": "x"}); !isRefusal(err) {
		t.Errorf("an address that is used up: %v, want a refusal", err)
	}
}

// A response_url passes through forms and storage: whatever it says, nobody but Slack is called.
func TestClientRespondsToNobodyButSlack(t *testing.T) {
	called := false
	c, err := NewClient(ClientOptions{Token: fixed(""), API: "http://slack.sim:8080/api/", HTTP: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		called = true
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})}})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"https://hooks.slack.com/commands/1": true,
		"https://slack.com/x":                true,
		"http://slack.sim:8080/response/1":   true,
		"https://169.254.169.254/latest":     false,
		"https://elsewhere.example/x":        false,
		"https://evilslack.com/x":            false,
		"https://slack.com.evil.example/x":   false,
		"https://hooks.slack.com@evil.test/": false,
		"https://u:p@hooks.slack.com/":       false,
		"https://hooks.slack.com:8443/x":     false,
		"http://hooks.slack.com/x":           false,
		"http://slack.sim/x":                 false,
		"https://slack.sim:8080/x":           false,
		"http://elsewhere.example/x":         false,
		"ftp://slack.sim:8080/x":             false,
		"file:///etc/passwd":                 false,
		"//hooks.slack.com/x":                false,
		"https://":                           false,
		"::":                                 false,
		"":                                   false,
	} {
		called = false
		if err := c.Respond(t.Context(), address, nil); called != want || isRefusal(err) == want {
			t.Errorf("Respond(%q) called somebody: %v, %v; want %v", address, called, err, want)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestClientShowsModals(t *testing.T) {
	view := slack.ModalViewRequest{Type: slack.VTModal, Title: plainText("Run"), Blocks: slack.Blocks{BlockSet: []slack.Block{section("x")}}}
	c := answers(t, 200, `{"ok":true,"view":{"id":"V1"}}`)
	if id, err := c.OpenView(t.Context(), "trigger", view); id != "V1" || err != nil {
		t.Errorf("OpenView = %q, %v", id, err)
	}
	if err := c.UpdateView(t.Context(), "V1", "", view); err != nil {
		t.Errorf("UpdateView: %v", err)
	}
	_, err := answers(t, 200, `{"ok":false,"error":"expired_trigger_id"}`).OpenView(t.Context(), "trigger", view)
	if !isRefusal(err) {
		t.Errorf("a trigger that is too old: %v, want a refusal", err)
	}
}

func TestClientRespondsWithinLimits(t *testing.T) {
	c := answers(t, 429, "", "Retry-After", "3")
	err := c.Respond(t.Context(), "https://hooks.slack.com/x", map[string]string{"text": "x"})
	if e, ok := errors.AsType[*kovra.Error](err); !ok || e.Retry != 3*time.Second {
		t.Errorf("got %v, want a limit of 3s", err)
	}
	if err := c.Respond(t.Context(), "https://hooks.slack.com/y", func() {}); err == nil {
		t.Error("a function was encoded")
	}
}

func TestClientFollowsNoRedirect(t *testing.T) {
	c := answers(t, http.StatusFound, "", "Location", "http://elsewhere.example/")
	if err := c.Respond(t.Context(), "https://hooks.slack.com/x", nil); !isRefusal(err) {
		t.Errorf("got %v, want a refusal", err)
	}
}

func TestClientRefusesAnAddressThatIsNone(t *testing.T) {
	for _, bad := range []string{"::", "slack.com/api", "%"} {
		if _, err := NewClient(ClientOptions{API: bad}); err == nil {
			t.Errorf("%q was taken for an address", bad)
		}
	}
}

func TestClientSurvivesStrangeMetadata(t *testing.T) {
	c := answers(t, 200, `{"ok":true,"messages":[
		{"ts":"1.1","metadata":{"event_type":"other","event_payload":{"nonce":7}}},
		{"ts":"1.2","metadata":{"event_type":"kovra_slot","event_payload":{"nonce":["n"]}}},
		{"ts":"1.3","blocks":[{"type":"section","text":9}],"metadata":{"event_type":"kovra_slot","event_payload":{"nonce":"n"}}}]}`)
	ts, found, err := c.FindNonce(t.Context(), "C1", "", "n", time.Now())
	if ts != "1.3" || !found || err != nil {
		t.Errorf("FindNonce = %q, %v, %v; want 1.3", ts, found, err)
	}
}

func TestClientGivesUpOnEndlessPages(t *testing.T) {
	c := answers(t, 200, `{"ok":true,"messages":[],"members":[],"response_metadata":{"next_cursor":"more"}}`)
	if _, found, err := c.FindNonce(t.Context(), "C1", "", "n", time.Now()); found || kovra.KindOf(err) != kovra.Unavailable {
		t.Errorf("FindNonce = %v, %v; want an error: nothing is known", found, err)
	}
	if _, err := c.Members(t.Context(), "C1"); kovra.KindOf(err) != kovra.Unavailable {
		t.Errorf("Members: %v", err)
	}
}

// TestClientCountsCalls: each call that was made, by its method and end; one that is held back was not made.
func TestClientCountsCalls(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		want   []string
	}{
		{200, `{"ok":true,"ts":"1.2"}`, []string{"chat.update ok", "chat.update ok"}},
		{200, `{"ok":false,"error":"channel_not_found"}`, []string{"chat.update refused", "chat.update refused"}},
		{200, `{"ok":false,"error":"internal_error"}`, []string{"chat.update failed", "chat.update failed"}},
		{200, `{"ok":false,"error":"ratelimited"}`, []string{"chat.update limited"}},
		{429, ``, []string{"chat.update limited"}},
		{503, ``, []string{"chat.update failed", "chat.update failed"}},
	} {
		c := answers(t, tt.status, tt.body)
		var got []string
		c.counted = func(method, outcome string) { got = append(got, method+" "+outcome) }
		for range 2 {
			_ = c.Update(t.Context(), "C1", "1.2", say("x"))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%d %s: counted %v, want %v", tt.status, tt.body, got, tt.want)
		}
	}
}

// fixed is a token that never changes.
func fixed(token string) func() string { return func() string { return token } }

// TestClientTokenMayChange: the next call is made with the token as it is then, whoever makes it, the SDK or we.
func TestClientTokenMayChange(t *testing.T) {
	sim, _ := simWith(t, slacksim.Options{})
	token := "xoxb-sim"
	c, err := NewClient(ClientOptions{Token: func() string { return token }, API: "http://slack.sim/api/", HTTP: sim.Client()})
	if err != nil {
		t.Fatal(err)
	}
	sim.Rotate("xoxb-new", "", "")
	_, err = c.Post(t.Context(), "C1", "", say("card"), "n1")
	if r, refused := errors.AsType[*Refusal](err); !refused || r.Code != "invalid_auth" || r.Permanent {
		t.Errorf("with the old token: %v; want a refusal that may pass", err)
	}
	token = "xoxb-new"
	ts, err := c.Post(t.Context(), "C1", "", say("card"), "n1")
	if err != nil {
		t.Fatal(err)
	}
	if got, found, err := c.FindNonce(t.Context(), "C1", "", "n1", time.Now()); got != ts || !found || err != nil {
		t.Errorf("FindNonce = %q, %v, %v; want %q", got, found, err, ts)
	}
}
