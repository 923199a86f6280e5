package bot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// How long a request is spent on what. Slack gives up after 3 s; requests come with
// a deadline a little before that.
const (
	patience     = 2 * time.Second         // for the end of an action
	gatePatience = 1200 * time.Millisecond // for who may do what
	reserve      = 500 * time.Millisecond  // is kept for the answer itself
)

// Replies is how private answers and modals reach Slack; [*Client] has it.
type Replies interface {
	OpenView(ctx context.Context, trigger string, view slack.ModalViewRequest) (id string, err error)
	UpdateView(ctx context.Context, id, hash string, view slack.ModalViewRequest) error
	Ephemeral(ctx context.Context, to Spot, blocks []slack.Block, text string) error
	Respond(ctx context.Context, responseURL string, body any) error
}

// Spot is where one person alone is told something.
type Spot struct {
	Channel string
	Thread  string // "": in the channel
	User    string
}

// Gate answers who may do what; it is asked before anything is shown.
type Gate interface {
	// May returns nil, or an error of kind Denied or Unavailable.
	May(ctx context.Context, p kovra.Person, need kovra.Permission, app string) error
	// Visible returns the apps that a person may read.
	Visible(ctx context.Context, p kovra.Person) ([]kovra.App, error)
}

// GitLab is what type-ahead fields read. Its errors are [kovra.Error]s.
type GitLab interface {
	// SearchProjects finds projects that the person may see, where people connect an account; else those of the bot.
	SearchProjects(ctx context.Context, p kovra.Person, query string, limit int) ([]kovra.Project, error)
	Refs(ctx context.Context, project int64, query string, limit int) (branches, tags []string, err error)
}

// HandlerOptions are what a [Handler] works with; DB, Slack, Gate and GitLab are required.
type HandlerOptions struct {
	DB     *storage.DB
	Slack  Replies
	Gate   Gate
	GitLab GitLab
	// Hook is what is told to those who must set up a webhook by hand.
	Hook Hook
	// ConnectURL is where a person signs in at GitLab; nil: nobody can connect.
	ConnectURL func(ctx context.Context, p kovra.Person) (string, error)
	// Explain says why somebody may do something; may be nil.
	Explain Explainer
	// Left is told that somebody has left the workspace; may be nil.
	Left func(ctx context.Context, slackUser string) error
	// ForgetChannel is told that a person has joined or left a channel, or, where user is "", that all may be others there than were
	// known; may be nil.
	ForgetChannel func(channel, user string)
	Log           *slog.Logger     // nil: nothing is logged
	Now           func() time.Time // nil: time.Now
}

// Handler answers what people do in Slack: commands, clicks, modals and type-ahead.
// It writes wishes into storage and answers privately; it never writes into a
// channel. Its methods may be called concurrently, and with the same request twice.
type Handler struct {
	HandlerOptions

	known    *optionCache
	patience time.Duration
}

// NewHandler returns a handler; it does nothing until it is called.
func NewHandler(o HandlerOptions) *Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.ForgetChannel == nil {
		o.ForgetChannel = func(string, string) {}
	}
	return &Handler{HandlerOptions: o, known: newOptionCache(o.Now), patience: patience}
}

// Command answers a slash command, as Slack's form describes it. body is the JSON of
// the private answer; nil says nothing. An error is one of our own; what people did
// wrong is told in the answer.
func (h *Handler) Command(ctx context.Context, form url.Values) (body []byte, err error) {
	ask := asker{
		person: kovra.Person{
			ID: form.Get("user_id"), Name: form.Get("user_name"),
			Team: form.Get("team_id"), Enterprise: form.Get("enterprise_id"),
		},
		channel: form.Get("channel_id"),
		reply:   form.Get("response_url"),
		trigger: form.Get("trigger_id"),
	}
	work, cancel := forWork(ctx)
	defer cancel()
	answer, err := h.command(work, ask, form.Get("command"), form.Get("text"))
	if err != nil {
		answer = h.sorry(ctx, ask, err)
	}
	return encodeAnswer(answer)
}

// Interaction answers clicks, modals and type-ahead. body is the JSON of the answer
// to a modal or a type-ahead field, else nil: Slack ignores the answer to a click.
func (h *Handler) Interaction(ctx context.Context, payload []byte) (body []byte, err error) {
	p, err := readPayload(payload)
	if err != nil {
		return nil, err
	}
	switch p.Type {
	case "block_actions":
		return nil, h.clicks(ctx, p)
	case "block_suggestion":
		return h.suggest(ctx, p)
	case "view_submission":
		work, cancel := forWork(ctx)
		defer cancel()
		return h.submit(work, p)
	case "message_action", "shortcut":
		if p.CallbackID == threadAction {
			return nil, h.shortcut(ctx, p)
		}
		return nil, h.tell(ctx, p.asker(), notice(escape(saysNoShortcut)), false)
	default:
		return nil, nil // view_closed, and what Slack may add
	}
}

// slackEvent is what we need of an event.
type slackEvent struct {
	Type    string          `json:"type"`
	Subtype string          `json:"subtype"`
	User    json.RawMessage `json:"user"`    // an id, or an object that has one
	Channel json.RawMessage `json:"channel"` // likewise
	Team    string          `json:"team"`
	OfUser  string          `json:"user_team"`
	Bot     string          `json:"bot_id"`
	Text    string          `json:"text"`
	TS      string          `json:"ts"`
	Thread  string          `json:"thread_ts"`
	Edited  struct {
		TS string `json:"ts"`
	} `json:"edited"` // of a message that was changed since it was written
	Tab  string   `json:"tab"`  // of App Home
	View homeMark `json:"view"` // what App Home shows now
}

func (e slackEvent) user() string { return channelID(e.User) }

// team is the workspace of the person, which in a shared channel may be another one.
func (e slackEvent) team() string { return cmp.Or(e.OfUser, e.Team) }

// Event takes an envelope of the Events API: who is where, with whom a channel is shared, who spoke to
// the bot, who looks at their App Home, and who has left.
func (h *Handler) Event(ctx context.Context, payload []byte) error {
	var envelope struct {
		Team           string     `json:"team_id"`
		Event          slackEvent `json:"event"`
		Authorizations []struct {
			User string `json:"user_id"` // the bot itself
		} `json:"authorizations"`
	}
	if err := tolerantly(payload, &envelope); err != nil {
		return fmt.Errorf("read event: %w", err)
	}
	e := envelope.Event
	bot := ""
	if len(envelope.Authorizations) > 0 {
		bot = envelope.Authorizations[0].User
	}
	switch e.Type {
	case "app_mention":
		return h.mention(ctx, e)
	case "app_home_opened":
		if e.Tab != viewHome || e.user() == "" {
			return nil
		}
		return h.homeOpened(ctx, e.user(), envelope.Team, e.View.Hash)
	case "user_change":
		return h.userChanged(ctx, e)
	default:
		return h.channelEvent(ctx, e, bot)
	}
}

// userChanged notices that somebody has left.
func (h *Handler) userChanged(ctx context.Context, e slackEvent) error {
	var user struct {
		ID      string `json:"id"`
		Deleted bool   `json:"deleted"`
	}
	if err := json.Unmarshal(e.User, &user); err == nil && user.Deleted && h.Left != nil {
		return h.Left(ctx, user.ID)
	}
	return nil
}

// channelEvent takes what is about a channel and those who are in it.
func (h *Handler) channelEvent(ctx context.Context, e slackEvent, bot string) error {
	id := channelID(e.Channel)
	if id == "" {
		return nil
	}
	switch e.Type {
	case "member_joined_channel", "member_left_channel":
		h.ForgetChannel(id, someone(e.user(), bot))
	case "channel_left", "group_left", "channel_archive", "channel_unarchive",
		"channel_deleted", "group_archive", "group_unarchive", "group_deleted", "channel_shared", "channel_unshared":
		h.ForgetChannel(id, "")
	}
	if e.Type == "channel_shared" || e.Type == "channel_unshared" {
		return h.DB.Update(ctx, func(tx *storage.Tx) error { return h.noteShared(tx, id, e.Type == "channel_shared") })
	}
	invited := e.Type == "member_joined_channel" && bot != "" && e.user() == bot
	if !invited && e.Type != "channel_unarchive" && e.Type != "group_unarchive" {
		return nil
	}
	// What was paused because nothing could be posted here goes on by itself.
	return h.DB.Update(ctx, func(tx *storage.Tx) error { return tx.ResumeSubscriptions(id) })
}

// someone is the person who came or went, or "" for the bot: of a private channel it can tell who is there only while it is in it.
func someone(user, bot string) string {
	if user == bot {
		return ""
	}
	return user
}

// noteShared records that another organisation came into a channel. That one left says
// nothing about others, so Slack is asked before the channel sees logs again.
func (h *Handler) noteShared(tx *storage.Tx, channel string, shared bool) error {
	if shared {
		return tx.SetChannelShared(channel, true, h.Now())
	}
	c, err := tx.Channel(channel)
	if err != nil {
		return err
	}
	return tx.SetChannelShared(channel, c.Shared, time.Time{})
}

func channelID(raw json.RawMessage) string {
	var id string
	if json.Unmarshal(raw, &id) == nil {
		return id
	}
	var object struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal(raw, &object) // neither: there is no id
	return object.ID
}

// sorry says what went wrong.
func (h *Handler) sorry(ctx context.Context, ask asker, err error) Answer {
	if kovra.KindOf(err) == kovra.Unconnected {
		return connectBlocks(saysConnectFirst, h.connectURL(ctx, ask.person))
	}
	return RenderError(h.told(ctx, ask, err))
}

// told is err as it can be told. What is our fault is logged, and nothing of it is told.
func (h *Handler) told(ctx context.Context, ask asker, err error) error {
	_, isHint := errors.AsType[hint](err)
	switch {
	case err == nil, isHint, kovra.KindOf(err) != kovra.Internal:
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return kovra.Errorf(kovra.Unavailable, saysSlow)
	}
	h.Log.ErrorContext(ctx, "slack request failed", "user", ask.person.ID, "channel", ask.channel, "err", err)
	return &kovra.Error{Kind: kovra.Internal, Public: kovra.PublicText(err)}
}

// hint is an error that brings its answer: a question, or the way to what is missing.
type hint interface {
	error
	answer() Answer
}

// unlinkedError says that an app has no GitLab project, on a surface that needs one.
type unlinkedError struct{ app string }

func (e *unlinkedError) Error() string { return e.app + " has no GitLab project" }

func (e *unlinkedError) answer() Answer { return RenderConnect(e.app) }

// may asks the gate, but not for longer than the answer can wait.
func (h *Handler) may(ctx context.Context, ask asker, need kovra.Permission, app string) error {
	ctx, cancel := context.WithTimeout(ctx, gatePatience)
	defer cancel()
	return gateError(h.Gate.May(ctx, ask.person, need, app))
}

// mayRead is nil when the person may read the app. An app that one may not see is
// like an app that does not exist.
func (h *Handler) mayRead(ctx context.Context, ask asker, app string) error {
	ctx, cancel := context.WithTimeout(ctx, gatePatience) // for both questions
	defer cancel()
	hidden := h.may(ctx, ask, kovra.MayRead, app)
	if kovra.KindOf(hidden) != kovra.Denied {
		return hidden
	}
	if _, err := h.Gate.Visible(ctx, ask.person); kovra.KindOf(err) == kovra.Denied {
		return err // they may not use the bot at all, and this tells nothing of apps
	}
	if h.shows(ctx, ask, app) {
		return hidden // they look at a card of the app, so its name is no news
	}
	return kovra.Errorf(kovra.NotFound, saysNothingThere)
}

// shows reports whether the message that was clicked is a card of the app.
func (h *Handler) shows(ctx context.Context, ask asker, app string) bool {
	var thread kovra.Thread
	err := h.DB.Read(ctx, func(tx *storage.Tx) (err error) {
		thread, err = threadOf(tx, ask, ask.message)
		return err
	})
	return err == nil && thread.App == app && !ask.private
}

func gateError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) && kovra.KindOf(err) == kovra.Internal {
		return &kovra.Error{Kind: kovra.Unavailable, Public: saysGateSlow, Err: err}
	}
	return err
}

// isEmpty reports whether there is nothing to say.
func (a Answer) isEmpty() bool { return a.Text == "" && len(a.Blocks) == 0 }

// wireAnswer is a private answer as Slack takes it, in the HTTP answer to a command and at
// a response_url.
type wireAnswer struct {
	ResponseType    string        `json:"response_type"`
	ReplaceOriginal bool          `json:"replace_original"`
	ThreadTS        string        `json:"thread_ts,omitempty"`
	Text            string        `json:"text"`
	Blocks          []slack.Block `json:"blocks,omitempty"`
}

// private is an answer beside everything else, for the one who asked.
func private(a Answer) wireAnswer {
	return wireAnswer{ResponseType: "ephemeral", Text: a.Text, Blocks: a.Blocks}
}

// encodeAnswer is the HTTP answer to a slash command; nothing for no answer.
func encodeAnswer(a Answer) ([]byte, error) {
	if a.isEmpty() {
		return nil, nil
	}
	body, err := json.Marshal(private(a))
	if err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return body, nil
}

// asker is who asks for something, from where, and how the answer gets there.
type asker struct {
	person  kovra.Person
	channel string
	thread  string // of the message that was clicked; "": none
	message string // that was clicked; "": none
	private bool   // only the asker sees that message
	reply   string // response_url; "": there is none
	trigger string // opens a modal, and names the request
	view    string // the modal that it was clicked in; "": none
	// metadata is what that modal remembers of where it was opened.
	metadata string
	lock     string // of what may happen once; "": the request itself
	said     string // the message in which it was said; "": it was not
	// home says that it was asked in App Home, or in a modal that was opened there: what becomes of it is told there.
	home bool
}

// once is a lock that makes the same request happen once, however often it is sent.
func (a asker) once() string {
	if a.lock != "" || a.trigger == "" {
		return a.lock
	}
	return "slack/" + a.trigger
}

// forWork ends a little before ctx, so that there is time to answer.
func forWork(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, end.Add(-reserve))
}

// tell gives the private answer to a click: by the response_url, in the modal that was
// clicked in, or, where there is neither, as a message that only the person sees. With
// replace it takes the place of a private message that was clicked.
func (h *Handler) tell(ctx context.Context, ask asker, a Answer, replace bool) error {
	if a.isEmpty() {
		return nil
	}
	err := h.send(ctx, ask, a, replace)
	if err != nil {
		return fmt.Errorf("answer %s privately: %w", ask.person.ID, err)
	}
	return nil
}

func (h *Handler) send(ctx context.Context, ask asker, a Answer, replace bool) error {
	if ask.reply != "" {
		w := private(a)
		if w.ReplaceOriginal = replace && ask.private; !w.ReplaceOriginal {
			w.ThreadTS = ask.thread
		}
		if err := h.Slack.Respond(ctx, ask.reply, w); !nothingShown(err) {
			return err
		}
	}
	switch {
	case ask.view != "":
		return h.Slack.UpdateView(ctx, ask.view, "", resultView(a, ask.metadata))
	case ask.home:
		return h.noteAtHome(ctx, ask, a)
	case ask.channel != "":
		return h.Slack.Ephemeral(ctx, Spot{ask.channel, ask.thread, ask.person.ID}, a.Blocks, a.Text)
	default:
		return kovra.Errorf(kovra.Invalid, saysNoWay)
	}
}
