package slacksim_test

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"

	"kovra.dev/chatops/internal/slacksim"
)

const home = `{"type":"home","blocks":[{"type":"divider"}]}`

// TestMethodsNeedTheirScopes calls each method twice: with every scope but one that it
// needs, and with nothing but what it needs.
func TestMethodsNeedTheirScopes(t *testing.T) {
	tests := []struct {
		method string
		form   url.Values
		needed string // "": none
	}{
		{"auth.test", url.Values{}, ""},
		{"chat.getPermalink", url.Values{"channel": {"C1"}}, ""},
		{"views.publish", url.Values{"user_id": {"U1"}, "view": {home}}, ""},
		{"views.open", url.Values{}, ""},
		{"views.push", url.Values{}, ""},
		{"views.update", url.Values{}, ""},
		{"bots.info", url.Values{"bot": {slacksim.BotID}}, "users:read"},
		{"chat.delete", url.Values{"channel": {"C1"}}, "chat:write"},
		{"chat.postMessage", url.Values{"channel": {"C1"}, "text": {"x"}}, "chat:write"},
		{"chat.postEphemeral", url.Values{"channel": {"C1"}, "text": {"x"}, "user": {"U1"}}, "chat:write"},
		{"chat.update", url.Values{"channel": {"C1"}}, "chat:write"},
		{"conversations.history", url.Values{"channel": {"C1"}}, "channels:history"},
		{"conversations.history", url.Values{"channel": {"C2"}}, "groups:history"},
		{"conversations.history", url.Values{"channel": {"DU1"}}, "im:history"},
		{"conversations.replies", url.Values{"channel": {"C1"}}, "channels:history"},
		{"conversations.replies", url.Values{"channel": {"C2"}}, "groups:history"},
		{"conversations.replies", url.Values{"channel": {"DU1"}}, "im:history"},
		{"conversations.info", url.Values{"channel": {"C1"}}, "channels:read"},
		{"conversations.info", url.Values{"channel": {"C2"}}, "groups:read"},
		{"conversations.info", url.Values{"channel": {"DU1"}}, "im:read"},
		{"conversations.members", url.Values{"channel": {"C1"}}, "channels:read"},
		{"conversations.members", url.Values{"channel": {"C2"}}, "groups:read"},
		{"conversations.list", url.Values{}, "channels:read"},
		{"conversations.list", url.Values{"types": {"private_channel"}}, "groups:read"},
		{"conversations.join", url.Values{"channel": {"C1"}}, "channels:join"},
		{"conversations.open", url.Values{"users": {"U1"}}, "im:write"},
		{"conversations.open", url.Values{"users": {"U1,U2"}}, "mpim:write"},
		{"files.getUploadURLExternal", url.Values{"filename": {"f"}, "length": {"1"}}, "files:write"},
		{"files.completeUploadExternal", url.Values{}, "files:write"},
		{"reactions.add", url.Values{"channel": {"C1"}}, "reactions:write"},
		{"usergroups.users.list", url.Values{"usergroup": {"S1"}}, "usergroups:read"},
		{"users.conversations", url.Values{"user": {"U1"}}, "channels:read"},
		{"users.conversations", url.Values{"user": {"U1"}, "types": {"private_channel"}}, "groups:read"},
		{"users.info", url.Values{"user": {"U1"}}, "users:read"},
		{"users.list", url.Values{}, "users:read"},
		{"users.lookupByEmail", url.Values{"email": {"alice@example.org"}}, "users:read.email"},
	}
	known := []string{"commands"}
	tested := map[string]bool{}
	for method, rule := range slacksim.MethodScopes() {
		known = append(known, rule.Scopes()...)
		tested[method] = false
	}
	for _, tt := range tests {
		tested[tt.method] = true
		t.Run(tt.method+" "+tt.needed, func(t *testing.T) {
			others := slices.DeleteFunc(slices.Clone(known), func(s string) bool { return s == tt.needed })
			w := newWorldWith(t, slacksim.Options{Scopes: others})
			w.AddChannel(slacksim.Channel{ID: "DU1", Direct: true, Members: []string{"U1", slacksim.BotUserID}})
			got := w.call(t, tt.method, tt.form)
			if tt.needed == "" {
				if got["error"] == "missing_scope" {
					t.Errorf("got %v", got)
				}
				return
			}
			refused(t, got, "missing_scope")
			if got["needed"] != tt.needed || got["provided"] != strings.Join(others, ",") {
				t.Errorf("got %v, want needed %s", got, tt.needed)
			}
			w = newWorldWith(t, slacksim.Options{Scopes: []string{tt.needed}})
			w.AddChannel(slacksim.Channel{ID: "DU1", Direct: true, Members: []string{"U1", slacksim.BotUserID}})
			if got := w.call(t, tt.method, tt.form); got["error"] == "missing_scope" {
				t.Errorf("with it alone: %v", got)
			}
		})
	}
	for method, is := range tested {
		if !is {
			t.Errorf("%s is in the table and not in the test", method)
		}
	}
}

// TestMissingScopeDecodes shows the refusal to slack-go.
func TestMissingScopeDecodes(t *testing.T) {
	w := newWorldWith(t, slacksim.Options{Scopes: []string{"commands", "chat:write"}})
	_, err := w.api.GetUserInfoContext(t.Context(), "U1")
	got, is := err.(slack.SlackErrorResponse) //nolint:errorlint // as slack-go gives it
	if !is || got.Err != "missing_scope" || got.Needed != "users:read" || got.Provided != "commands,chat:write" {
		t.Errorf("got %#v", err)
	}
}

// TestAnswersNameTheScopes: every answer says in a header what the token was granted.
func TestAnswersNameTheScopes(t *testing.T) {
	w := newWorldWith(t, slacksim.Options{Scopes: []string{"commands", "chat:write"}})
	res, err := w.Client().PostForm("http://slack.test/api/auth.test", url.Values{"token": {"xoxb-sim"}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got, want := res.Header.Get("X-Oauth-Scopes"), "commands,chat:write"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUnknownChannelsNeedOneOfTheScopes(t *testing.T) {
	for scope, want := range map[string]string{"chat:write": "missing_scope", "groups:read": "channel_not_found"} {
		w := newWorldWith(t, slacksim.Options{Scopes: []string{scope}})
		refused(t, w.call(t, "conversations.info", url.Values{"channel": {"C9"}}), want)
		refused(t, w.call(t, "conversations.info", url.Values{"channel": {"C4"}}), want) // private, without the bot
	}
}

func TestCommandsNeedAScope(t *testing.T) {
	w := newWorldWith(t, slacksim.Options{Scopes: []string{"chat:write"}})
	if _, err := w.Slash(t.Context(), "U1", "C1", "/kovra"); err == nil || w.app.count() != 0 {
		t.Errorf("there is no such command: %v", err)
	}
}

func TestEventsNeedSubscriptionAndScope(t *testing.T) {
	mention := func(w *world) error { return w.Mention(t.Context(), "U1", "C1", "", "hi") }
	home := func(w *world) error { return w.OpenHome(t.Context(), "U1") }
	leaves := func(w *world) error {
		return w.SetUser(t.Context(), "U1", func(u *slacksim.User) { u.Deleted = true })
	}
	inner := func(kind, channel string) func(w *world) error {
		return func(w *world) error {
			return w.Event(t.Context(), map[string]any{"type": kind, "channel": channel, "user": "U1"})
		}
	}
	tests := []struct {
		name   string
		act    func(*world) error
		event  string
		scopes []string
		want   int
	}{
		{"home needs no scope", home, "app_home_opened", []string{}, 1},
		{"home, not subscribed", home, "app_mention", nil, 0},
		{"mention", mention, "app_mention", []string{"app_mentions:read"}, 1},
		{"mention without scope", mention, "app_mention", []string{"chat:write"}, 0},
		{"mention, not subscribed", mention, "app_home_opened", nil, 0},
		{"somebody leaves", leaves, "user_change", []string{"users:read"}, 1},
		{"somebody leaves, without scope", leaves, "user_change", []string{"users:read.email"}, 0},
		{"joined a public channel", inner("member_joined_channel", "C1"), "member_joined_channel", []string{"channels:read"}, 1},
		{"joined a private channel", inner("member_joined_channel", "C2"), "member_joined_channel", []string{"channels:read"}, 0},
		{"joined a private channel, with scope", inner("member_joined_channel", "C2"), "member_joined_channel", []string{"groups:read"}, 1},
		{"unarchived", inner("group_unarchive", "C2"), "group_unarchive", []string{"channels:read"}, 0},
		{"direct message", inner("message", "DU1"), "message.im", []string{"im:history"}, 1},
		{"direct message, other subscription", inner("message", "DU1"), "message.channels", []string{"im:history"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorldWith(t, slacksim.Options{Scopes: tt.scopes, Events: []string{tt.event}})
			w.AddChannel(slacksim.Channel{ID: "DU1", Direct: true, Members: []string{"U1", slacksim.BotUserID}})
			if err := tt.act(w); err != nil {
				t.Fatal(err)
			}
			if got := w.app.count(); got != tt.want {
				t.Errorf("%d requests, want %d", got, tt.want)
			}
		})
	}
}

// TestEmailNeedsItsScope: users:read gives a profile without the address.
func TestEmailNeedsItsScope(t *testing.T) {
	for _, tt := range []struct {
		scopes []string
		want   string
	}{
		{[]string{"users:read"}, ""},
		{[]string{"users:read", "users:read.email"}, "alice@example.org"},
	} {
		w := newWorldWith(t, slacksim.Options{Scopes: tt.scopes})
		u, err := w.api.GetUserInfoContext(t.Context(), "U1")
		if err != nil || u.Profile.Email != tt.want {
			t.Errorf("%v: got %q, %v, want %q", tt.scopes, u.Profile.Email, err, tt.want)
		}
		all, err := w.api.GetUsersContext(t.Context())
		if err != nil || !slices.ContainsFunc(all, func(u slack.User) bool { return u.ID == "U1" && u.Profile.Email == tt.want }) {
			t.Errorf("%v: got %v, %v", tt.scopes, all, err)
		}
	}
}

// TestPeopleLeave: somebody deactivated is still known, and told of by user_change.
func TestPeopleLeave(t *testing.T) {
	w := newWorld(t)
	if err := w.SetUser(t.Context(), "U1", func(u *slacksim.User) { u.Deleted = true }); err != nil {
		t.Fatal(err)
	}
	_, body := w.app.last(t)
	e, err := slackevents.ParseEvent([]byte(body), slackevents.OptionNoVerifyToken())
	if err != nil {
		t.Fatal(err)
	}
	if got, is := e.InnerEvent.Data.(*slackevents.UserChangeEvent); !is || got.User.ID != "U1" || !got.User.Deleted {
		t.Errorf("got %+v", e.InnerEvent.Data)
	}
	if u, err := w.api.GetUserInfoContext(t.Context(), "U1"); err != nil || !u.Deleted {
		t.Errorf("got %+v, %v", u, err)
	}
	refused(t, w.call(t, "users.lookupByEmail", url.Values{"email": {"alice@example.org"}}), "users_not_found")
	refused(t, w.call(t, "conversations.open", url.Values{"users": {"U1"}}), "user_disabled")
	if err := w.SetUser(t.Context(), "U9", func(*slacksim.User) {}); err == nil {
		t.Error("nobody was changed")
	}
}

// TestHomeOpenedCarriesTheView: with its hash, once something was published.
func TestHomeOpenedCarriesTheView(t *testing.T) {
	w := newWorld(t)
	opened := func() *slackevents.AppHomeOpenedEvent {
		t.Helper()
		if err := w.OpenHome(t.Context(), "U1"); err != nil {
			t.Fatal(err)
		}
		_, body := w.app.last(t)
		e, err := slackevents.ParseEvent([]byte(body), slackevents.OptionNoVerifyToken())
		if err != nil {
			t.Fatal(err)
		}
		got, is := e.InnerEvent.Data.(*slackevents.AppHomeOpenedEvent)
		if !is || got.User != "U1" || got.Tab != "home" {
			t.Fatalf("got %+v", e.InnerEvent.Data)
		}
		return got
	}
	if got := opened(); got.View != nil && got.View.ID != "" {
		t.Errorf("nothing was published: %+v", got.View)
	}
	first := w.call(t, "views.publish", url.Values{"user_id": {"U1"}, "view": {home}})
	hash, _ := first["view"].(map[string]any)["hash"].(string)
	if got := opened(); got.View == nil || hash == "" || got.View.Hash != hash {
		t.Errorf("got %+v, want hash %q", got.View, hash)
	}
	again := w.call(t, "views.publish", url.Values{"user_id": {"U1"}, "view": {home}, "hash": {hash}})
	next, _ := again["view"].(map[string]any)["hash"].(string)
	if next == "" || next == hash {
		t.Errorf("published again: hash %q after %q", next, hash)
	}
	refused(t, w.call(t, "views.publish", url.Values{"user_id": {"U1"}, "view": {home}, "hash": {hash}}), "hash_conflict")
}

// TestDirectMessages: a conversation is opened once, written to and read by its id.
func TestDirectMessages(t *testing.T) {
	w := newWorldWith(t, slacksim.Options{Scopes: []string{"im:write", "chat:write", "im:history"}})
	c, _, existed, err := w.api.OpenConversationContext(t.Context(), &slack.OpenConversationParameters{Users: []string{"U1"}})
	if err != nil || existed || !strings.HasPrefix(c.ID, "D") {
		t.Fatalf("got %+v, %v, %v", c, existed, err)
	}
	_, ts, err := w.api.PostMessageContext(t.Context(), c.ID, slack.MsgOptionText("parent", false))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.api.PostMessageContext(t.Context(), c.ID, slack.MsgOptionText("reply", false), slack.MsgOptionTS(ts)); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := w.api.UpdateMessageContext(t.Context(), c.ID, ts, slack.MsgOptionText("edited", false)); err != nil {
		t.Fatal(err)
	}
	history, err := w.api.GetConversationHistoryContext(t.Context(), &slack.GetConversationHistoryParameters{ChannelID: c.ID})
	if err != nil || len(history.Messages) != 1 || history.Messages[0].Text != "edited" || history.Messages[0].ReplyCount != 1 {
		t.Errorf("got %+v, %v", history, err)
	}
	if _, _, existed, err = w.api.OpenConversationContext(t.Context(), &slack.OpenConversationParameters{Users: []string{"U1"}}); err != nil || !existed {
		t.Errorf("opened again: %v, %v", existed, err)
	}
}

// TestShortcutsCarryTheThread: of a reply and of a parent that has replies.
func TestShortcutsCarryTheThread(t *testing.T) {
	w := newWorld(t)
	parent := w.post(t, "C1", buttons)
	alone := w.post(t, "C1", buttons)
	w.call(t, "chat.postMessage", url.Values{"channel": {"C1"}, "text": {"r"}, "thread_ts": {parent.TS}})
	reply := w.Replies("C1", parent.TS)[0]
	for name, tt := range map[string]struct {
		at   slacksim.Ref
		want string
	}{
		"reply": {reply.Ref(), parent.TS}, "parent": {parent.Ref(), parent.TS}, "alone": {alone.Ref(), ""},
	} {
		if _, err := w.MessageShortcut(t.Context(), "U1", tt.at, "thread_actions"); err != nil {
			t.Fatal(err)
		}
		got := w.app.interaction(t)
		if got.Message.ThreadTimestamp != tt.want || got.Message.Timestamp != tt.at.TS || got.Channel.ID != "C1" || got.TriggerID == "" || got.ResponseURL == "" {
			t.Errorf("%s: got %+v, want thread %q", name, got.Message, tt.want)
		}
	}
}

// TestMentionFields: what an app needs to find the thread and to tell repetitions.
func TestMentionFields(t *testing.T) {
	w := newWorld(t)
	parent := w.post(t, "C1", buttons)
	fields := func(thread string) map[string]any {
		t.Helper()
		if err := w.Mention(t.Context(), "U1", "C1", thread, "retry"); err != nil {
			t.Fatal(err)
		}
		return w.app.event(t)
	}
	got := fields(parent.TS)
	said := w.Replies("C1", parent.TS)[0]
	want := map[string]any{
		"type": "app_mention", "user": "U1", "text": "<@U0BOT> retry", "ts": said.TS, "event_ts": said.TS, "channel": "C1",
		"thread_ts": parent.TS, "client_msg_id": "sim-" + said.TS, "team": slacksim.TeamID,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("in a thread (-want +got):\n%s", diff)
	}
	if _, is := fields("")["thread_ts"]; is {
		t.Error("outside of a thread there is none")
	}
	if err := w.EditMention(t.Context(), "U1", said.Ref(), "cancel"); err != nil {
		t.Fatal(err)
	}
	got = w.app.event(t)
	edited, _ := got["edited"].(map[string]any)
	if at, _ := edited["ts"].(string); edited["user"] != "U1" || at <= said.TS {
		t.Errorf("edited: %v", got["edited"])
	}
	want["text"], want["edited"] = "<@U0BOT> cancel", got["edited"]
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("edited (-want +got):\n%s", diff)
	}
	if now := w.Replies("C1", parent.TS)[0]; now.Text != "<@U0BOT> cancel" || now.Edits != 1 {
		t.Errorf("the message is %+v", now)
	}
	if err := w.EditMention(t.Context(), "U2", said.Ref(), "cancel"); !errors.Is(err, slacksim.ErrNotThere) {
		t.Errorf("edited by somebody else: %v", err)
	}
}
