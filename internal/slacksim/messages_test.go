package slacksim_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/slacksim"
)

func TestPostUpdateAndPictures(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	channel, ts, err := w.api.PostMessageContext(ctx, "C1", slack.MsgOptionText("hello <@U1>", false))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.api.PostMessageContext(ctx, channel, slack.MsgOptionText("one\ntwo", false), slack.MsgOptionTS(ts)); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := w.api.UpdateMessageContext(ctx, channel, ts, slack.MsgOptionText("bye <@U1>", false)); err != nil {
		t.Fatal(err)
	}
	if got, want := w.Thread("C1", ts), "bye @alice\n  ↳ one\n    two"; got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	m := w.Messages("C1")[0]
	if m.Edits != 1 || len(m.Versions) != 1 || m.Versions[0].Text != "hello <@U1>" || m.Replies != 1 {
		t.Errorf("got %+v", m)
	}
}

func TestTokenIsChecked(t *testing.T) {
	w := newWorld(t)
	form, js := "application/x-www-form-urlencoded", "application/json; charset=utf-8"
	bearer := func(v string) http.Header { return http.Header{"Authorization": {"Bearer " + v}} }
	refused(t, w.callAny(t, "auth.test", form, "", nil), "not_authed")
	refused(t, w.callAny(t, "auth.test", form, "token=xoxb-other", nil), "invalid_auth")
	refused(t, w.callAny(t, "auth.test", js, `{"token":"xoxb-sim"}`, nil), "not_authed")
	refused(t, w.callAny(t, "auth.test", js, `{`, bearer("xoxb-sim")), "invalid_json")
	refused(t, w.callAny(t, "auth.test", js, `[]`, bearer("xoxb-sim")), "json_not_object")
	refused(t, w.call(t, "no.such", nil), "unknown_method")
	if got := w.callAny(t, "auth.test", js, `{}`, bearer("xoxb-sim")); got["ok"] != true {
		t.Errorf("JSON with a token in the header: %v", got)
	}
	got, err := w.api.AuthTestContext(t.Context())
	if err != nil || got.TeamID != slacksim.TeamID || got.UserID != slacksim.BotUserID || got.BotID != slacksim.BotID {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, c := range w.Calls() {
		if c.Form.Has("token") {
			t.Errorf("the token is in the record: %+v", c)
		}
	}
}

func TestChatPostMessageRefusals(t *testing.T) {
	w := newWorld(t)
	w.AddChannel(slacksim.Channel{ID: "C9", Name: "old", Archived: true, Members: []string{slacksim.BotUserID}})
	parent := w.post(t, "C1", buttons)
	reply := w.call(t, "chat.postMessage", url.Values{"channel": {"C1"}, "text": {"r"}, "thread_ts": {parent.TS}})["ts"].(string)
	tests := []struct {
		name, code string
		form       url.Values
	}{
		{"unknown channel", "channel_not_found", url.Values{"channel": {"C404"}, "text": {"x"}}},
		{"private channel without the bot", "channel_not_found", url.Values{"channel": {"C4"}, "text": {"x"}}},
		{"public channel without the bot", "not_in_channel", url.Values{"channel": {"C3"}, "text": {"x"}}},
		{"archived", "is_archived", url.Values{"channel": {"C9"}, "text": {"x"}}},
		{"nothing said", "no_text", url.Values{"channel": {"C1"}}},
		{"no blocks and no text", "no_text", url.Values{"channel": {"C1"}, "blocks": {"[]"}}},
		{"unknown thread", "thread_not_found", url.Values{"channel": {"C1"}, "text": {"x"}, "thread_ts": {"1.000001"}}},
		{"reply as thread", "thread_not_found", url.Values{"channel": {"C1"}, "text": {"x"}, "thread_ts": {reply}}},
		{"blocks are no list", "invalid_blocks_format", url.Values{"channel": {"C1"}, "blocks": {`{"type":"divider"}`}}},
		{"bad block", "invalid_blocks", url.Values{"channel": {"C1"}, "blocks": {`[{"type":"nope"}]`}}},
		{"metadata is no JSON", "invalid_metadata_format", url.Values{"channel": {"C1"}, "text": {"x"}, "metadata": {"x"}}},
		{"metadata without payload", "invalid_metadata_schema", url.Values{"channel": {"C1"}, "text": {"x"}, "metadata": {`{"event_type":"a"}`}}},
		{"metadata too large", "metadata_too_large", url.Values{"channel": {"C1"}, "text": {"x"}, "metadata": {
			`{"event_type":"a","event_payload":{"k":"` + strings.Repeat("x", 17000) + `"}}`,
		}}},
		{"text and markdown", "markdown_text_conflict", url.Values{"channel": {"C1"}, "text": {"x"}, "markdown_text": {"y"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { refused(t, w.call(t, "chat.postMessage", tt.form), tt.code) })
	}
	if n := len(w.Messages("C1")); n != 1 {
		t.Errorf("%d messages after refusals, want 1", n)
	}
}

func TestChatPostMessageCutsLongText(t *testing.T) {
	w := newWorld(t)
	got := w.call(t, "chat.postMessage", url.Values{"channel": {"C1"}, "text": {strings.Repeat("ä", 40001)}})
	m, _ := w.Message("C1", got["ts"].(string))
	if n := len([]rune(m.Text)); n != 40000 {
		t.Errorf("kept %d characters, want 40000", n)
	}
}

func TestPostByNameAndToPerson(t *testing.T) {
	w := newWorld(t)
	if got := w.call(t, "chat.postMessage", url.Values{"channel": {"#deploys"}, "text": {"x"}}); got["channel"] != "C1" {
		t.Errorf("by name: %v", got)
	}
	if got := w.call(t, "chat.postMessage", url.Values{"channel": {"U1"}, "text": {"x"}}); got["channel"] != "DU1" {
		t.Errorf("to a person: %v", got)
	}
}

func TestChatUpdateRefusals(t *testing.T) {
	w := newWorld(t)
	m := w.post(t, "C1", buttons)
	rich := w.post(t, "C1", `[{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":"a"}]}]}]`)
	own, err := w.Say("U1", "C1", "", "mine")
	if err != nil {
		t.Fatal(err)
	}
	eph := w.call(t, "chat.postEphemeral", url.Values{"channel": {"C1"}, "user": {"U1"}, "text": {"psst"}})["message_ts"].(string)
	update := func(ts string, more url.Values) map[string]any {
		form := url.Values{"channel": {"C1"}, "ts": {ts}, "text": {"x"}}
		maps.Copy(form, more)
		return w.call(t, "chat.update", form)
	}
	refused(t, update("1.000001", nil), "message_not_found")
	refused(t, update(eph, nil), "message_not_found")
	refused(t, update(own.TS, nil), "cant_update_message")
	refused(t, update(m.TS, url.Values{"text": {strings.Repeat("x", 4001)}}), "msg_too_long")
	refused(t, update(m.TS, url.Values{"text": nil}), "no_text")
	refused(t, update(rich.TS, url.Values{"blocks": {buttons}}), "block_mismatch")
	if got := update(m.TS, url.Values{"text": {strings.Repeat("x", 4000)}}); got["ok"] != true {
		t.Errorf("4000 characters: %v", got)
	}
	w.SetChannel("C1", func(c *slacksim.Channel) { c.Archived = true })
	refused(t, update(m.TS, nil), "is_archived")
	w.SetChannel("C1", func(c *slacksim.Channel) { c.Archived, c.Members = false, nil })
	refused(t, update(m.TS, nil), "not_in_channel")
}

func TestChatUpdateKeepsWhatIsLeftOut(t *testing.T) {
	w := newWorld(t)
	m := w.post(t, "C1", buttons)
	w.call(t, "chat.update", url.Values{"channel": {"C1"}, "ts": {m.TS}, "text": {"new"}})
	now, _ := w.Message("C1", m.TS)
	if now.Text != "new" || len(now.Tree) != 2 {
		t.Errorf("blocks left out: %d blocks, text %q", len(now.Tree), now.Text)
	}
	w.call(t, "chat.update", url.Values{"channel": {"C1"}, "ts": {m.TS}, "blocks": {"[]"}})
	now, _ = w.Message("C1", m.TS)
	if now.Text != "new" || len(now.Tree) != 0 {
		t.Errorf("blocks given as []: %d blocks, text %q", len(now.Tree), now.Text)
	}
	if now.Edits != 2 || len(now.Versions) != 2 || len(now.Versions[0].Tree) != 2 {
		t.Errorf("history: %d edits, %d versions", now.Edits, len(now.Versions))
	}
}

func TestChatDelete(t *testing.T) {
	w := newWorld(t)
	alone, parent := w.post(t, "C1", buttons), w.post(t, "C1", buttons)
	w.call(t, "chat.postMessage", url.Values{"channel": {"C1"}, "text": {"r"}, "thread_ts": {parent.TS}})
	own, _ := w.Say("U1", "C1", "", "mine")
	refused(t, w.call(t, "chat.delete", url.Values{"channel": {"C1"}, "ts": {own.TS}}), "cant_delete_message")
	for _, ts := range []string{alone.TS, parent.TS} {
		if got := w.call(t, "chat.delete", url.Values{"channel": {"C1"}, "ts": {ts}}); got["ok"] != true {
			t.Errorf("delete: %v", got)
		}
		refused(t, w.call(t, "chat.delete", url.Values{"channel": {"C1"}, "ts": {ts}}), "message_not_found")
	}
	if got, want := w.Thread("C1", parent.TS), "This message was deleted.\n  ↳ r"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMetadataComesBackOnlyWhenAskedFor(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	meta := slack.SlackMetadata{EventType: "run", EventPayload: map[string]any{"nonce": "n1"}}
	_, ts, err := w.api.PostMessageContext(ctx, "C1", slack.MsgOptionText("x", false), slack.MsgOptionMetadata(meta))
	if err != nil {
		t.Fatal(err)
	}
	find := func(all bool) slack.SlackMetadata {
		got, err := w.api.GetConversationHistoryContext(ctx, &slack.GetConversationHistoryParameters{ChannelID: "C1", IncludeAllMetadata: all})
		if err != nil || len(got.Messages) != 1 {
			t.Fatalf("history: %v, %v", got, err)
		}
		return got.Messages[0].Metadata
	}
	if diff := cmp.Diff(meta, find(true)); diff != "" {
		t.Errorf("asked for (-want +got):\n%s", diff)
	}
	if got := find(false); got.EventType != "" {
		t.Errorf("not asked for: %+v", got)
	}
	w.call(t, "chat.update", url.Values{"channel": {"C1"}, "ts": {ts}, "text": {"y"}})
	if got := find(true); got.EventType != "run" {
		t.Error("an update without metadata lost it")
	}
	w.call(t, "chat.update", url.Values{"channel": {"C1"}, "ts": {ts}, "text": {"y"}, "metadata": {"{}"}})
	if got := find(true); got.EventType != "" {
		t.Error("an update with {} kept it")
	}
}

func TestConversationsHistoryPages(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	var all []string
	for i := range 7 {
		_, ts, err := w.api.PostMessageContext(ctx, "C1", slack.MsgOptionText(fmt.Sprint(i), false))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ts)
	}
	w.call(t, "chat.postMessage", url.Values{"channel": {"C1"}, "text": {"reply"}, "thread_ts": {all[0]}})
	p := &slack.GetConversationHistoryParameters{ChannelID: "C1", Limit: 3}
	var got []string
	for {
		page, err := w.api.GetConversationHistoryContext(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Messages {
			got = append(got, m.Text)
		}
		if p.Cursor = page.ResponseMetaData.NextCursor; p.Cursor == "" {
			break
		}
	}
	if want := "6 5 4 3 2 1 0"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %v, newest first and without replies", got, want)
	}
	window := func(inclusive bool) int {
		page, err := w.api.GetConversationHistoryContext(ctx, &slack.GetConversationHistoryParameters{
			ChannelID: "C1", Oldest: all[2], Latest: all[5], Inclusive: inclusive,
		})
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Messages)
	}
	if window(false) != 2 || window(true) != 4 {
		t.Errorf("between two messages: %d, inclusive %d; want 2 and 4", window(false), window(true))
	}
	refused(t, w.call(t, "conversations.history", url.Values{"channel": {"C1"}, "cursor": {"eA=="}}), "invalid_cursor")
	refused(t, w.call(t, "conversations.history", url.Values{"channel": {"C1"}, "oldest": {"x"}}), "invalid_ts_oldest")
	refused(t, w.call(t, "conversations.history", url.Values{"channel": {"C1"}, "latest": {"x"}}), "invalid_ts_latest")
	refused(t, w.call(t, "conversations.history", url.Values{"channel": {"C1"}, "limit": {"1000"}}), "invalid_limit")
	refused(t, w.call(t, "conversations.history", url.Values{"channel": {"C3"}}), "not_in_channel")
}

func TestConversationsRepliesBeginWithTheParent(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	parent := w.post(t, "C1", buttons)
	var last string
	for i := range 3 {
		_, last, _ = w.api.PostMessageContext(ctx, "C1", slack.MsgOptionText(fmt.Sprint(i), false), slack.MsgOptionTS(parent.TS))
	}
	got, more, next, err := w.api.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{ChannelID: "C1", Timestamp: parent.TS, Limit: 2})
	if err != nil || !more || next == "" || len(got) != 2 || got[0].Timestamp != parent.TS || got[0].ReplyCount != 3 {
		t.Errorf("first page: %v %v %v %v", got, more, next, err)
	}
	got, more, _, err = w.api.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{ChannelID: "C1", Timestamp: parent.TS, Cursor: next})
	if err != nil || more || len(got) != 2 || got[1].Timestamp != last || got[1].ThreadTimestamp != parent.TS {
		t.Errorf("second page: %v %v %v", got, more, err)
	}
	refused(t, w.call(t, "conversations.replies", url.Values{"channel": {"C1"}, "ts": {"1.000001"}}), "thread_not_found")
}

func TestReplyBroadcastIsListedInTheChannel(t *testing.T) {
	w := newWorld(t)
	parent := w.post(t, "C1", buttons)
	_, ts, err := w.api.PostMessageContext(t.Context(), "C1", slack.MsgOptionText("loud", false), slack.MsgOptionTS(parent.TS), slack.MsgOptionBroadcast())
	if err != nil {
		t.Fatal(err)
	}
	list := w.Messages("C1")
	if len(list) != 2 || !list[1].Broadcast || list[1].TS != ts {
		t.Errorf("got %+v", list)
	}
	page, err := w.api.GetConversationHistoryContext(t.Context(), &slack.GetConversationHistoryParameters{ChannelID: "C1"})
	if err != nil || page.Messages[0].SubType != "thread_broadcast" {
		t.Errorf("got %+v, %v", page, err)
	}
}

func TestPostEphemeral(t *testing.T) {
	w := newWorld(t)
	if _, err := w.api.PostEphemeralContext(t.Context(), "C1", "U1", slack.MsgOptionText("psst", false)); err != nil {
		t.Fatal(err)
	}
	if got := w.Ephemerals("U1"); len(got) != 1 || got[0].Text != "psst" || !got[0].Ephemeral {
		t.Errorf("alice sees %+v", got)
	}
	if got := w.Ephemerals("U2"); len(got) != 0 {
		t.Errorf("bob sees %+v", got)
	}
	if got := w.Messages("C1"); len(got) != 0 {
		t.Errorf("the channel shows %+v", got)
	}
	refused(t, w.call(t, "chat.postEphemeral", url.Values{"channel": {"C2"}, "user": {"U2"}, "text": {"x"}}), "user_not_in_channel")
	refused(t, w.call(t, "chat.postEphemeral", url.Values{"channel": {"C1"}, "user": {"U9"}, "text": {"x"}}), "user_not_found")
	refused(t, w.call(t, "chat.postEphemeral", url.Values{"channel": {"C1"}, "user": {"U1"}}), "no_text")
}

func TestPermalinkAndReactions(t *testing.T) {
	w := newWorld(t)
	m := w.post(t, "C1", buttons)
	link, err := w.api.GetPermalinkContext(t.Context(), &slack.PermalinkParameters{Channel: "C1", Ts: m.TS})
	if err != nil || link != "https://sim.slack.com/archives/C1/p"+strings.Replace(m.TS, ".", "", 1) {
		t.Errorf("got %q, %v", link, err)
	}
	at := slack.NewRefToMessage("C1", m.TS)
	if err := w.api.AddReactionContext(t.Context(), "eyes", at); err != nil {
		t.Fatal(err)
	}
	if err := w.api.AddReactionContext(t.Context(), "eyes", at); err == nil || err.Error() != "already_reacted" {
		t.Errorf("got %v, want already_reacted", err)
	}
	refused(t, w.call(t, "reactions.add", url.Values{"channel": {"C1"}, "timestamp": {"1.0"}, "name": {"x"}}), "message_not_found")
	refused(t, w.call(t, "chat.getPermalink", url.Values{"channel": {"C1"}, "message_ts": {"1.0"}}), "message_not_found")
}

func TestFileUpload(t *testing.T) {
	w := newWorld(t)
	parent := w.post(t, "C1", buttons)
	f, err := w.api.UploadFileContext(t.Context(), slack.UploadFileParameters{
		Filename: "job.log", Title: "Log of test", FileSize: 5, Content: "hello", Channel: "C1", ThreadTimestamp: parent.TS, InitialComment: "whole log",
	})
	if err != nil {
		t.Fatal(err)
	}
	kept, is := w.File(f.ID)
	if !is || string(kept.Content) != "hello" {
		t.Errorf("kept %+v", kept)
	}
	replies := w.Replies("C1", parent.TS)
	if len(replies) != 1 || slacksim.Text(replies[0]) != "whole log\n[file: Log of test]" {
		t.Errorf("got %+v", replies)
	}
	refused(t, w.call(t, "files.getUploadURLExternal", url.Values{"filename": {"x"}}), "invalid_arguments")
	refused(t, w.call(t, "files.completeUploadExternal", url.Values{"files": {`[{"id":"F404"}]`}}), "file_not_found")
	refused(t, w.call(t, "files.completeUploadExternal", url.Values{"files": {`[{"id":"` + f.ID + `"}]`}}), "file_not_found")
}

func TestBroadcastByUpdate(t *testing.T) {
	w := newWorld(t)
	parent := w.post(t, "C1", buttons)
	ts := w.call(t, "chat.postMessage", url.Values{"channel": {"C1"}, "text": {"r"}, "thread_ts": {parent.TS}})["ts"].(string)
	form := url.Values{"channel": {"C1"}, "ts": {ts}, "reply_broadcast": {"true"}, "text": {"x"}}
	refused(t, w.call(t, "chat.update", form), "no_dual_broadcast_content_update")
	form.Del("text")
	if got := w.call(t, "chat.update", form); got["ok"] != true || len(w.Messages("C1")) != 2 {
		t.Errorf("got %v", got)
	}
}
