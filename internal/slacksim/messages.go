package slacksim

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of messages.
const (
	maxPostText   = 40000 // longer texts are cut
	maxUpdateText = 4000  // longer texts are refused
	maxBlocksText = 13000 // characters of all blocks of a message
	maxMetadata   = 16000 // bytes
)

// Message is what one person or the bot said, as it is now.
type Message struct {
	Channel   string            `json:"channel"`
	TS        string            `json:"ts"`
	ThreadTS  string            `json:"thread_ts,omitempty"` // of a reply: its parent
	User      string            `json:"user"`
	BotID     string            `json:"bot_id,omitempty"`
	Text      string            `json:"text"`
	Blocks    json.RawMessage   `json:"blocks,omitempty"` // as sent; block_id and action_id filled in
	Tree      []Block           `json:"-"`                // Blocks, parsed
	Metadata  json.RawMessage   `json:"metadata,omitempty"`
	Broadcast bool              `json:"broadcast,omitempty"` // a reply that is listed in the channel too
	Ephemeral bool              `json:"ephemeral,omitempty"`
	To        string            `json:"to,omitempty"` // who sees an ephemeral message
	Deleted   bool              `json:"deleted,omitempty"`
	Replies   int               `json:"replies,omitempty"`
	Edits     int               `json:"edits,omitempty"`
	Files     []File            `json:"files,omitempty"`
	Reactions []Reaction        `json:"reactions,omitempty"`
	Names     map[string]string `json:"names,omitempty"` // of the people and channels mentioned
	Versions  []Message         `json:"-"`               // earlier pictures, oldest first
}

// Reaction is an emoji under a message.
type Reaction struct {
	Name  string   `json:"name"`
	Users []string `json:"users"`
}

// Ref says where the message is, for Click and the like.
func (m Message) Ref() Ref { return Ref{Channel: m.Channel, TS: m.TS} }

// Link is the permalink of the message.
func (m Message) Link() string {
	link := fmt.Sprintf("https://%s.slack.com/archives/%s/p%s", TeamDomain, m.Channel, strings.Replace(m.TS, ".", "", 1))
	if m.ThreadTS != "" {
		link += "?thread_ts=" + m.ThreadTS + "&cid=" + m.Channel
	}
	return link
}

// newTS gives a time stamp that no message has.
func (s *Server) newTS() string {
	s.lastMicro = max(s.o.Now().UnixMicro(), s.lastMicro+1)
	return formatTS(s.lastMicro)
}

func formatTS(micro int64) string {
	return fmt.Sprintf("%d.%06d", micro/1e6, micro%1e6)
}

// parseTS reads a time stamp as microseconds; it takes whole seconds too.
func parseTS(ts string) (int64, bool) {
	sec, frac, _ := strings.Cut(ts, ".")
	a, err := strconv.ParseInt(sec, 10, 64)
	if err != nil || len(frac) > 6 {
		return 0, false
	}
	b, err := strconv.ParseInt((frac + "000000")[:6], 10, 64)
	return a*1e6 + b, err == nil
}

func (c *channel) find(ts string) *Message {
	for _, m := range c.msgs {
		if m.TS == ts {
			return m
		}
	}
	return nil
}

// replies are the replies under ts, oldest first.
func (c *channel) replies(ts string) []*Message {
	var out []*Message
	for _, m := range c.msgs {
		if m.ThreadTS == ts {
			out = append(out, m)
		}
	}
	return out
}

var mentioned = regexp.MustCompile(`[@#"]([UWC][A-Za-z0-9]+)`)

// out is a copy for the world outside, with the names that it mentions.
func (s *Server) out(m *Message) Message {
	o := *m
	if c := s.channels[m.Channel]; c != nil && m.ThreadTS == "" && !m.Ephemeral {
		o.Replies = len(c.replies(m.TS))
	}
	o.Files, o.Reactions = slices.Clone(m.Files), slices.Clone(m.Reactions)
	o.Names = s.namesIn(m.Text+" "+string(m.Blocks), m.User)
	return o
}

func (s *Server) namesIn(text string, more ...string) map[string]string {
	names := map[string]string{}
	for _, hit := range mentioned.FindAllStringSubmatch(text, -1) {
		more = append(more, hit[1])
	}
	for _, id := range more {
		if u := s.users[id]; u != nil {
			names[id] = u.Name
		}
		if c := s.channels[id]; c != nil {
			names[id] = c.Name
		}
	}
	return names
}

// Messages gives the parents of a channel, oldest first; replies that were
// broadcast are listed too and flagged.
func (s *Server) Messages(channelID string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Message
	for _, m := range s.listed(channelID) {
		out = append(out, s.out(m))
	}
	return out
}

func (s *Server) listed(channelID string) []*Message {
	c := s.channels[channelID]
	if c == nil {
		return nil
	}
	var out []*Message
	for _, m := range c.msgs {
		if m.ThreadTS == "" || m.Broadcast {
			out = append(out, m)
		}
	}
	return out
}

// Message gives one message of a channel, parent or reply.
func (s *Server) Message(channelID, ts string) (Message, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[channelID]
	if c == nil || c.find(ts) == nil {
		return Message{}, false
	}
	return s.out(c.find(ts)), true
}

// Replies gives the replies under a parent, oldest first.
func (s *Server) Replies(channelID, ts string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[channelID]
	if c == nil {
		return nil
	}
	var out []Message
	for _, m := range c.replies(ts) {
		out = append(out, s.out(m))
	}
	return out
}

// Ephemerals gives the private messages that a person sees, oldest first: HTTP
// answers, those by response_url and those by chat.postEphemeral.
func (s *Server) Ephemerals(userID string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Message
	for _, m := range s.ephemerals[userID] {
		out = append(out, s.out(m))
	}
	return out
}

// Say posts a message of a person; nothing is sent to the app.
func (s *Server) Say(userID, channelID, threadTS, text string) (Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, c, err := s.present(userID, channelID)
	if err != nil {
		return Message{}, err
	}
	m := &Message{Channel: c.ID, TS: s.newTS(), ThreadTS: threadTS, User: userID, Text: text}
	c.msgs = append(c.msgs, m)
	s.changed()
	return s.out(m), nil
}

// content is what a message says: the part that post, update, ephemeral
// messages and response_urls share.
type content struct {
	text   string
	blocks json.RawMessage
	tree   []Block
	empty  bool // blocks were given as []
}

// readContent reads and checks text and blocks.
func (s *Server) readContent(a args, limitTotal bool) (content, reply) {
	c := content{text: a.str("text")}
	if raw := a.str("blocks"); raw != "" {
		blocks, refusal := s.readBlocks(raw, surfaceMessage, limitTotal)
		if refusal != nil {
			return c, refusal
		}
		c.blocks, c.tree, c.empty = blocks, parseBlocks(blocks), string(blocks) == "[]"
	}
	if markdown := a.str("markdown_text"); markdown != "" {
		if c.text != "" || len(c.tree) > 0 {
			return c, fail("markdown_text_conflict")
		}
		c.text = markdown
	}
	return c, nil
}

func (c content) says() bool { return c.text != "" || len(c.tree) > 0 }

func (s *Server) chatPostMessage(a args) reply {
	c, refusal := s.postChannel(a.str("channel"))
	if refusal != "" {
		return fail(refusal)
	}
	said, refused := s.readContent(a, true)
	if refused != nil {
		return refused
	}
	if !said.says() && a.str("attachments") == "" {
		return fail("no_text")
	}
	if utf8.RuneCountInString(said.text) > maxPostText {
		said.text = string([]rune(said.text)[:maxPostText])
	}
	meta, code := readMetadata(a)
	if code != "" {
		return fail(code)
	}
	thread := a.str("thread_ts")
	if thread != "" {
		if parent := c.find(thread); parent == nil || parent.ThreadTS != "" {
			return fail("thread_not_found")
		}
	}
	m := s.post(c, said, thread)
	m.Metadata = meta
	m.Broadcast = thread != "" && a.flag("reply_broadcast")
	return ok(reply{"channel": c.ID, "ts": m.TS, "message": s.wire(m, meta != nil)})
}

// post adds a message of the bot.
func (s *Server) post(c *channel, said content, thread string) *Message {
	m := &Message{Channel: c.ID, TS: s.newTS(), ThreadTS: thread, User: BotUserID, BotID: BotID, Text: said.text}
	m.Blocks, m.Tree = said.blocks, said.tree
	c.msgs = append(c.msgs, m)
	s.changed()
	return m
}

// readMetadata gives nil when there is none and "{}" to remove it.
func readMetadata(a args) (json.RawMessage, string) {
	raw := a.str("metadata")
	if raw == "" {
		return nil, ""
	}
	if len(raw) > maxMetadata {
		return nil, "metadata_too_large"
	}
	var meta struct {
		EventType    string           `json:"event_type"`
		EventPayload *json.RawMessage `json:"event_payload"`
	}
	if err := json.Unmarshal([]byte(raw), &meta); err != nil {
		return nil, "invalid_metadata_format"
	}
	if strings.TrimSpace(raw) == "{}" {
		return json.RawMessage("{}"), ""
	}
	if meta.EventType == "" || meta.EventPayload == nil || !strings.HasPrefix(strings.TrimSpace(string(*meta.EventPayload)), "{") {
		return nil, "invalid_metadata_schema"
	}
	return json.RawMessage(raw), ""
}

func (s *Server) chatUpdate(a args) reply {
	c, m, code := s.own(a, "cant_update_message")
	if code != "" {
		return fail(code)
	}
	said, refused := s.readContent(a, true)
	if refused != nil {
		return refused
	}
	if utf8.RuneCountInString(said.text) > maxUpdateText {
		return fail("msg_too_long")
	}
	broadcast := m.ThreadTS != "" && !m.Broadcast && a.flag("reply_broadcast")
	switch {
	case broadcast && said.says():
		return fail("no_dual_broadcast_content_update")
	case !broadcast && !said.says() && (!said.empty || m.Text == "") && a.str("attachments") == "":
		return fail("no_text")
	}
	if hasRichText(m.Tree) && len(said.tree) > 0 && !hasRichText(said.tree) {
		return fail("block_mismatch")
	}
	meta, code := readMetadata(a)
	if code != "" {
		return fail(code)
	}
	s.edit(m, said)
	switch {
	case string(meta) == "{}":
		m.Metadata = nil
	case meta != nil:
		m.Metadata = meta
	}
	m.Broadcast = m.Broadcast || broadcast
	return ok(reply{"channel": c.ID, "ts": m.TS, "text": m.Text, "message": s.wire(m, meta != nil)})
}

// edit replaces what a message says. Text or blocks that were not given stay;
// blocks given as [] go.
func (s *Server) edit(m *Message, said content) {
	old := *m
	old.Versions = nil
	m.Versions = append(slices.Clip(m.Versions), old)
	m.Edits++
	if said.text != "" {
		m.Text = said.text
	}
	if said.blocks != nil {
		m.Blocks, m.Tree = said.blocks, said.tree
	}
	s.changed()
}

// own finds a message that the bot may change.
func (s *Server) own(a args, notOurs string) (*channel, *Message, string) {
	c, code := s.botChannel(a.str("channel"))
	if c != nil && code != "channel_not_found" && c.Archived {
		code = "is_archived"
	}
	if code != "" {
		return nil, nil, code
	}
	m := c.find(a.str("ts"))
	switch {
	case m == nil || m.Deleted:
		return nil, nil, "message_not_found"
	case m.BotID != BotID:
		return nil, nil, notOurs
	}
	return c, m, ""
}

func (s *Server) chatDelete(a args) reply {
	c, m, code := s.own(a, "cant_delete_message")
	if code != "" {
		return fail(code)
	}
	s.remove(c, m)
	return ok(reply{"channel": c.ID, "ts": m.TS})
}

// remove deletes a message; a parent with replies leaves a tombstone.
func (s *Server) remove(c *channel, m *Message) {
	if len(c.replies(m.TS)) > 0 {
		m.Deleted, m.Text, m.Blocks, m.Tree, m.Metadata = true, "This message was deleted.", nil, nil, nil
	} else {
		c.msgs = slices.DeleteFunc(c.msgs, func(o *Message) bool { return o == m })
	}
	s.changed()
}

func (s *Server) chatPostEphemeral(a args) reply {
	c, refusal := s.postChannel(a.str("channel"))
	if refusal != "" {
		return fail(refusal)
	}
	said, refused := s.readContent(a, true)
	if refused != nil {
		return refused
	}
	user := a.str("user")
	switch {
	case s.users[user] == nil:
		return fail("user_not_found")
	case !c.has(user):
		return fail("user_not_in_channel")
	case !said.says():
		return fail("no_text")
	}
	m := s.whisper(c.ID, user, a.str("thread_ts"), said)
	return ok(reply{"message_ts": m.TS})
}

// whisper adds a message that one person sees.
func (s *Server) whisper(channelID, user, thread string, said content) *Message {
	m := &Message{
		Channel: channelID, TS: s.newTS(), ThreadTS: thread, User: BotUserID, BotID: BotID,
		Text: said.text, Blocks: said.blocks, Tree: said.tree, Ephemeral: true, To: user,
	}
	s.ephemerals[user] = append(s.ephemerals[user], m)
	s.changed()
	return m
}

func (s *Server) chatGetPermalink(a args) reply {
	c, code := s.botChannel(a.str("channel"))
	if code == "channel_not_found" {
		return fail(code)
	}
	m := c.find(a.str("message_ts"))
	if m == nil {
		return fail("message_not_found")
	}
	return ok(reply{"channel": c.ID, "permalink": m.Link()})
}

func (s *Server) reactionsAdd(a args) reply {
	c, code := s.botChannel(a.str("channel"))
	if code != "" {
		return fail(code)
	}
	m, name := c.find(a.str("timestamp")), a.str("name")
	switch {
	case m == nil:
		return fail("message_not_found")
	case name == "":
		return fail("invalid_name")
	}
	for i := range m.Reactions {
		r := &m.Reactions[i]
		if r.Name == name && slices.Contains(r.Users, BotUserID) {
			return fail("already_reacted")
		}
	}
	m.Reactions = append(slices.Clip(m.Reactions), Reaction{Name: name, Users: []string{BotUserID}})
	s.changed()
	return ok(nil)
}

// wire is a message as Slack sends it.
func (s *Server) wire(m *Message, metadata bool) map[string]any {
	w := map[string]any{"type": "message", "user": m.User, "text": m.Text, "ts": m.TS, "team": TeamID}
	if m.BotID != "" {
		w["bot_id"], w["app_id"] = m.BotID, AppID
		w["bot_profile"] = map[string]any{
			"id": BotID, "app_id": AppID, "name": s.o.BotName, "deleted": false, "updated": 0, "team_id": TeamID, "icons": map[string]any{},
		}
	}
	if len(m.Tree) > 0 {
		w["blocks"] = wireBlocks(m.Blocks)
	}
	if m.Edits > 0 {
		w["edited"] = map[string]any{"user": m.User, "ts": m.TS}
	}
	if metadata && m.Metadata != nil {
		w["metadata"] = m.Metadata
	}
	if len(m.Files) > 0 {
		w["files"] = m.Files
	}
	if len(m.Reactions) > 0 {
		w["reactions"] = m.Reactions
	}
	s.wireThread(m, w)
	return w
}

func (s *Server) wireThread(m *Message, w map[string]any) {
	c := s.channels[m.Channel]
	if c == nil {
		return
	}
	if m.Deleted {
		w["subtype"] = "tombstone"
	}
	if m.ThreadTS != "" {
		w["thread_ts"] = m.ThreadTS
		if parent := c.find(m.ThreadTS); parent != nil {
			w["parent_user_id"] = parent.User
			if m.Broadcast {
				w["subtype"] = "thread_broadcast"
				w["root"] = map[string]any{"type": "message", "user": parent.User, "text": parent.Text, "ts": parent.TS, "thread_ts": parent.TS}
			}
		}
		return
	}
	replies := c.replies(m.TS)
	if len(replies) == 0 || m.Ephemeral {
		return
	}
	authors := map[string]bool{}
	for _, r := range replies {
		authors[r.User] = true
	}
	w["thread_ts"], w["reply_count"], w["reply_users_count"] = m.TS, len(replies), len(authors)
	w["latest_reply"], w["reply_users"] = replies[len(replies)-1].TS, slices.Sorted(maps.Keys(authors))
}

func (s *Server) conversationsHistory(a args) reply {
	c, code := s.botChannel(a.str("channel"))
	if code != "" {
		return fail(code)
	}
	list := slices.Clone(s.listed(c.ID))
	slices.Reverse(list)
	return s.page(list, nil, a)
}

func (s *Server) conversationsReplies(a args) reply {
	c, code := s.botChannel(a.str("channel"))
	if code != "" {
		return fail(code)
	}
	parent := c.find(a.str("ts"))
	if parent == nil {
		return fail("thread_not_found")
	}
	return s.page(c.replies(parent.TS), parent, a)
}

// page answers with the part of list that the arguments ask for. A parent is
// put first whatever the times asked for say, on the first page.
func (s *Server) page(list []*Message, parent *Message, a args) reply {
	in, code := timeWindow(a)
	if code != "" {
		return fail(code)
	}
	list = slices.DeleteFunc(list, func(m *Message) bool { return !in(m.TS) })
	if parent != nil {
		list = append([]*Message{parent}, list...)
	}
	start := 0
	if cursor := a.str("cursor"); cursor != "" {
		raw, err := base64.StdEncoding.DecodeString(cursor)
		ts, is := strings.CutPrefix(string(raw), "next_ts:")
		start = slices.IndexFunc(list, func(m *Message) bool { return m.TS == ts })
		if err != nil || !is || start < 0 {
			return fail("invalid_cursor")
		}
	}
	limit := a.number("limit", 100)
	if limit <= 0 || limit > 999 {
		return fail("invalid_limit")
	}
	end := min(start+limit, len(list))
	out := []any{}
	for _, m := range list[start:end] {
		out = append(out, s.wire(m, a.flag("include_all_metadata")))
	}
	r := reply{"messages": out, "has_more": end < len(list)}
	if end < len(list) {
		r["response_metadata"] = map[string]any{"next_cursor": base64.StdEncoding.EncodeToString([]byte("next_ts:" + list[end].TS))}
	}
	return ok(r)
}

// timeWindow reads oldest, latest and inclusive.
func timeWindow(a args) (func(ts string) bool, string) {
	var oldest, latest int64 = -1, 1 << 62
	var is bool
	if v := a.str("oldest"); v != "" && v != "0" {
		if oldest, is = parseTS(v); !is {
			return nil, "invalid_ts_oldest"
		}
	}
	if v := a.str("latest"); v != "" {
		if latest, is = parseTS(v); !is {
			return nil, "invalid_ts_latest"
		}
	}
	inclusive := a.flag("inclusive")
	return func(ts string) bool {
		t, _ := parseTS(ts)
		return t > oldest && t < latest || inclusive && (t == oldest || t == latest)
	}, ""
}
