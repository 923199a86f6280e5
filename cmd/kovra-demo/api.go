package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"kovra.dev/chatops/internal/slacksim"
)

//go:embed page
var files embed.FS

const (
	maxRequest = 1 << 20
	// calm is how long changes are gathered before the page is told of them.
	calm      = 60 * time.Millisecond
	heartbeat = 20 * time.Second
)

// policy lets the page load its own files and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// routes is everything that the page's server answers.
func (w *world) routes() http.Handler {
	page, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // unreachable: the name is that of the directive above
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(page))
	mux.HandleFunc("GET /events", w.events)
	mux.HandleFunc("GET /api/slack", w.snapshot)
	mux.HandleFunc("GET /api/gitlab", w.panelState)
	w.slackRoutes(mux)
	w.panelRoutes(mux)
	return guarded(mux)
}

// guarded refuses requests that other web pages make, and those that reached us by a
// name that is not of this machine.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h := rw.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		origin := r.Header.Get("Origin")
		switch {
		case !local(r):
			http.Error(rw, "The demo answers to the address that it printed only.", http.StatusForbidden)
		case origin != "" && origin != "http://"+r.Host:
			http.Error(rw, "Another page asked for this.", http.StatusForbidden)
		default:
			next.ServeHTTP(rw, r)
		}
	})
}

// local says whether the request names this machine by address or as localhost, or
// the very address that it came to.
func local(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	return host == "localhost" || net.ParseIP(strings.Trim(host, "[]")) != nil
}

// place is where somebody acts in the simulated Slack.
type place struct {
	User    string `json:"user"`
	Channel string `json:"channel"`
	TS      string `json:"ts"`
	View    string `json:"view"`
	// Edits is how often the message had been edited when it was drawn.
	Edits int `json:"edits"`
	// Block and Action name the element, Option an entry of an overflow menu.
	Block  string `json:"block"`
	Action string `json:"action"`
	Option string `json:"option"`
}

func (p place) ref() slacksim.Ref {
	return slacksim.Ref{Channel: p.Channel, TS: p.TS, View: p.View}
}

// shown is what a person sees at once after an action. What changed otherwise is in
// the next snapshot.
type shown struct {
	Error  string            `json:"error,omitempty"`  // in Slack's words
	Notice string            `json:"notice,omitempty"` // beside what was done
	URL    string            `json:"url,omitempty"`
	Errors map[string]string `json:"errors,omitempty"`
}

func shownOf(seen slacksim.Seen, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return shown{Error: seen.Error, URL: seen.URL, Errors: seen.Errors}, nil
}

// post serves one action: it reads T, runs act and writes what that gives.
func post[T any](mux *http.ServeMux, path string, act func(context.Context, T) (any, error)) {
	mux.HandleFunc("POST "+path, func(rw http.ResponseWriter, r *http.Request) {
		var in T
		if err := json.NewDecoder(http.MaxBytesReader(rw, r.Body, maxRequest)).Decode(&in); err != nil {
			writeJSON(rw, http.StatusBadRequest, map[string]string{"error": "cannot read the request: " + err.Error()})
			return
		}
		out, err := act(r.Context(), in)
		switch {
		case errors.Is(err, slacksim.ErrNoSuchButton), errors.Is(err, slacksim.ErrNotThere):
			writeJSON(rw, http.StatusConflict, map[string]string{"error": err.Error()})
		case err != nil:
			writeJSON(rw, http.StatusUnprocessableEntity, map[string]string{"error": err.Error()})
		default:
			writeJSON(rw, http.StatusOK, out)
		}
	})
}

func writeJSON(rw http.ResponseWriter, code int, v any) {
	rw.Header().Set("Content-Type", "application/json; charset=utf-8")
	rw.WriteHeader(code)
	_ = json.NewEncoder(rw).Encode(v) // the browser may be gone
}

// events tells the page, as server-sent events, that something changed and where.
func (w *world) events(rw http.ResponseWriter, r *http.Request) {
	out := http.NewResponseController(rw)
	rw.Header().Set("Content-Type", "text/event-stream")
	chat, stop := w.slack.Subscribe()
	defer stop()
	alive := time.NewTicker(heartbeat)
	defer alive.Stop()
	lab := w.labMoved.wait()
	what := []string{"slack", "gitlab"} // at first, all of it
	for {
		for _, name := range what {
			_, _ = fmt.Fprintf(rw, "event: %s\ndata: {}\n\n", name) // Flush tells when the page is gone
		}
		if len(what) == 0 {
			_, _ = fmt.Fprint(rw, ": still here\n\n")
		}
		if err := out.Flush(); err != nil {
			return
		}
		what = nil
		select {
		case <-chat:
			what = append(what, "slack")
		case <-lab:
			what = append(what, "gitlab")
			lab = w.labMoved.wait() // before the page asks, so that nothing is missed
		case <-alive.C:
		case <-r.Context().Done():
			return
		}
		if !pause(r.Context(), calm) {
			return
		}
	}
}

// pause waits for d and reports whether the other side is still there.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// snapshot is what one person's Slack shows. People of other organisations see the
// channels that they were invited to.
func (w *world) snapshot(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	hidden := w.hidden
	w.mu.Unlock()
	snap := w.slack.Snapshot(r.URL.Query().Get("user"))
	if snap.Me.ID == hidden {
		snap.Views = snap.Views[:0]
	}
	if snap.Me.TeamID != slacksim.TeamID {
		snap.Channels = slices.DeleteFunc(snap.Channels, func(c slacksim.ChannelPage) bool {
			return !slices.Contains(c.Members, snap.Me.ID)
		})
	}
	writeJSON(rw, http.StatusOK, snap)
}

// said is a line that somebody typed.
type said struct {
	User    string `json:"user"`
	Channel string `json:"channel"`
	Thread  string `json:"thread"`
	Text    string `json:"text"`
}

// commands are those that the app has; Slack knows no others.
var commands = []string{"/pipeline", "/kovra", "/build"}

// typeText does what Slack does with a line: run a slash command, or post it.
func (w *world) typeText(ctx context.Context, in said) (any, error) {
	line := strings.TrimSpace(in.Text)
	if line == "" {
		return shown{}, nil
	}
	if !strings.HasPrefix(line, "/") {
		return w.talk(ctx, in, line)
	}
	command, rest, _ := strings.Cut(line, " ")
	switch {
	case in.Thread != "":
		return shown{Error: "slash_command_in_thread"}, nil
	case command == "/invite":
		return w.invite(ctx, in, rest)
	case !slices.Contains(commands, command):
		return shown{Error: "unknown_command"}, nil
	}
	return shownOf(w.slack.Slash(ctx, in.User, in.Channel, escape(line)))
}

// invite brings somebody into a channel, as the command of that name does.
func (w *world) invite(ctx context.Context, in said, who string) (any, error) {
	u, known := w.slack.UserByName(strings.TrimSpace(who))
	c, _ := w.slack.Channel(in.Channel)
	switch {
	case !known:
		return shown{Error: "user_not_found"}, nil
	case !slices.Contains(c.Members, in.User):
		return shown{Error: "not_in_channel"}, nil
	}
	w.enter(ctx, in.Channel, u.ID)
	return shown{}, nil
}

// join lets a person into a public channel.
func (w *world) join(ctx context.Context, in place) (any, error) {
	c, known := w.slack.Channel(in.Channel)
	if !known || c.Private || c.Direct {
		return nil, fmt.Errorf("channel %s: %w", in.Channel, slacksim.ErrNotThere)
	}
	w.enter(ctx, in.Channel, in.User)
	return shown{}, nil
}

// enter makes somebody a member and tells the app, as Slack does.
func (w *world) enter(ctx context.Context, channel, user string) {
	w.slack.Invite(channel, user)
	if err := w.slack.Event(ctx, map[string]any{
		"type": "member_joined_channel", "user": user, "channel": channel, "channel_type": "C", "team": slacksim.TeamID,
	}); err != nil {
		w.log.WarnContext(ctx, "the app did not take an event", "err", err)
	}
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// escape is what Slack does to what people type.
func escape(text string) string { return escaper.Replace(text) }

var typed = regexp.MustCompile(`@[a-z][a-z0-9-]*|#[a-z][a-z0-9-]*|https?://[^\s<>|]+`)

// written turns what a person typed into a message: people, channels and addresses
// become links.
func (w *world) written(text string) string {
	var out strings.Builder
	done := 0
	for _, at := range typed.FindAllStringIndex(text, -1) {
		out.WriteString(escape(text[done:at[0]]) + w.linked(text[at[0]:at[1]]))
		done = at[1]
	}
	return out.String() + escape(text[done:])
}

func (w *world) linked(word string) string {
	if u, known := w.slack.UserByName(word); known && word[0] == '@' {
		return "<@" + u.ID + ">"
	}
	if c, known := w.slack.ChannelByName(word); known && word[0] == '#' {
		return "<#" + c.ID + "|" + c.Name + ">"
	}
	if strings.HasPrefix(word, "http") {
		return "<" + escape(word) + ">"
	}
	return escape(word)
}

// click presses a button, or chooses an entry of an overflow menu. When the message has been
// edited since the person saw it, the click is one on the old picture.
func (w *world) click(ctx context.Context, in place) (any, error) {
	at := in.ref()
	if in.View != "" {
		tree, err := w.drawn(in.User, in.View)
		if err != nil {
			return nil, err
		}
		return shownOf(w.slack.Click(ctx, in.User, at, in.name(tree)))
	}
	m, is := w.message(in)
	if is && in.Edits < m.Edits && in.Edits < len(m.Versions) {
		old := m.Versions[in.Edits]
		return shownOf(w.slack.ClickStale(ctx, in.User, old, in.name(old.Tree)))
	}
	return shownOf(w.slack.Click(ctx, in.User, at, in.name(m.Tree)))
}

// message finds what was clicked: in the channel, or private.
func (w *world) message(in place) (slacksim.Message, bool) {
	for _, m := range w.slack.Ephemerals(in.User) {
		if m.Channel == in.Channel && m.TS == in.TS {
			return m, true
		}
	}
	return w.slack.Message(in.Channel, in.TS)
}

// name is how the simulator finds the element: by its action, and which one of those
// it is. An entry of an overflow menu has a value instead.
func (p place) name(tree []slacksim.Block) string {
	n := 0
	for _, b := range tree {
		for _, e := range elements(b) {
			switch {
			case p.Option != "":
				for _, o := range e.Options {
					if o.Value == p.Option && e.Type == "overflow" {
						n++
					}
				}
			case e.ActionID == p.Action && e.Type == "button":
				n++
			}
			if b.BlockID == p.Block && e.ActionID == p.Action {
				return or(p.Option, p.Action) + "#" + strconv.Itoa(max(n, 1))
			}
		}
	}
	return or(p.Option, p.Action)
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func elements(b slacksim.Block) []slacksim.Element {
	if b.Accessory != nil {
		return []slacksim.Element{*b.Accessory}
	}
	return b.Elements
}

// filling is a value for an element, or a query for its options.
type filling struct {
	place
	Value  string            `json:"value"`
	Query  string            `json:"query"`
	Values map[string]string `json:"values"` // of a whole modal
	All    bool              `json:"all"`    // close every modal
}

// options gives what a type-ahead field offers.
func (w *world) options(ctx context.Context, in filling) (any, error) {
	list, err := w.slack.Options(ctx, in.User, in.ref(), in.input(), in.Query)
	if err != nil {
		return nil, err
	}
	out := []map[string]string{}
	for _, o := range list {
		out = append(out, map[string]string{"text": o.Text.Text, "value": o.Value, "group": o.Group})
	}
	return out, nil
}

func (f filling) input() string { return f.Block + "/" + f.Action }

func (w *world) choose(ctx context.Context, in filling) (any, error) {
	return shownOf(w.slack.Choose(ctx, in.User, in.ref(), in.input(), in.Value))
}

func (w *world) submit(ctx context.Context, in filling) (any, error) {
	return shownOf(w.slack.Submit(ctx, in.User, in.View, in.Values))
}

func (w *world) closeView(ctx context.Context, in filling) (any, error) {
	if in.All {
		return shownOf(w.slack.CloseAllViews(ctx, in.User, in.View))
	}
	return shownOf(w.slack.CloseView(ctx, in.User, in.View))
}
