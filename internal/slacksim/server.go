// Package slacksim is a Slack workspace for tests and for the demo. It owns the
// workspace (people, channels, messages, views), Slack's side of the wire
// protocol in both directions, and the rules by which Slack refuses.
//
// Make one with [New], serve it as an http.Handler (or use [Server.Client],
// which needs no socket), fill it with [Server.AddUser] and
// [Server.AddChannel], act as people with [Server.Slash], [Server.Click],
// [Server.Submit] and the like, and look with [Server.Messages],
// [Server.Thread] and [Text]. Faults are values given to [Server.Fault].
//
// It never imports the program under test, never accepts what Slack is known to
// refuse, and never changes a message except by a call on the wire.
package slacksim

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The identities of the one workspace and the one app that a server plays.
const (
	TeamID     = "T0SIM"
	TeamDomain = "sim"
	AppID      = "A0SIM"
	BotUserID  = "U0BOT"
	BotID      = "B0BOT"
	// VerificationToken is the deprecated token that Slack still sends.
	VerificationToken = "sim-verification"
)

// maxBody bounds what the server reads of one request.
const maxBody = 32 << 20

// Options configures a server. The zero value is usable.
type Options struct {
	// BotToken and SigningSecret default to "xoxb-sim" and "sim-secret".
	BotToken, SigningSecret string
	// RequestURL is where the app listens: /slack/commands,
	// /slack/interactions and /slack/events are appended to it.
	RequestURL string
	// BaseURL is the server's own address, used in response_url and upload
	// addresses. While empty it is learned from the Host of the last Web API
	// call ("http://slack.sim" before the first).
	BaseURL string
	// Transport carries the requests towards RequestURL; nil means
	// http.DefaultTransport. See HandlerTransport for one without sockets.
	Transport http.RoundTripper
	// EnterpriseID and EnterpriseName are set for a workspace of an
	// Enterprise organisation.
	EnterpriseID, EnterpriseName string
	// BotName is the bot's user name; "kovra" by default.
	BotName string
	// SocketMode sends what people do over WebSockets that the app opened, and not to
	// RequestURL. See SetSocketMode.
	SocketMode bool
	// AppToken opens them; "xapp-sim" by default. AppScopes are its own; nil: connections:write.
	AppToken  string
	AppScopes []string
	// UserToken, if set, is one of the person UserTokenOf, xoxp-…; it says who it is and does nothing else.
	UserToken, UserTokenOf string
	// Scopes are what the bot token was granted; nil: all. Methods, events and commands that
	// need others are refused, or not sent.
	Scopes []string
	// Events are what the app is subscribed to, such as "app_mention"; nil: all.
	Events []string
	// Limits enforces the rate tiers (429 with Retry-After).
	Limits bool
	// Now is the clock; time.Now by default.
	Now func() time.Time
}

// Call is one request to the Web API (Method is its name) or to a response_url
// (Method is "response_url") or an upload address ("upload").
type Call struct {
	Method  string     `json:"method"`
	Channel string     `json:"channel,omitempty"`
	TS      string     `json:"ts,omitempty"` // the message the call made or changed
	Time    time.Time  `json:"time"`
	Form    url.Values `json:"form,omitempty"` // arguments without the token; JSON values as text
	Status  int        `json:"status"`         // HTTP status; 0 when the connection was cut
	Outcome string     `json:"outcome"`        // "ok", an error code, "429", "503", "lost" or "dropped"
}

// Server is one Slack workspace. All methods may be called concurrently.
type Server struct {
	mu sync.Mutex
	o  Options

	users      map[string]*User
	userOrder  []string
	groups     map[string][]string
	channels   map[string]*channel
	chanOrder  []string
	ephemerals map[string][]*Message
	files      map[string]*upload

	views     map[string]*View    // every view that is open, by id
	stacks    map[string][]string // open modals of a person, bottom first
	homes     map[string]string   // Home view of a person
	inputs    map[string]map[string]map[string]any
	offered   map[string][]Option // last type-ahead answer by surface, block and action
	triggers  map[string]*trigger
	responses map[string]*responseURL

	sockets []*socket
	turn    int // of the sockets
	tickets map[string]bool

	lastMicro int64
	serial    int
	lastEvent []byte
	calls     []Call
	faults    []*Fault
	fired     map[string]int
	down      bool
	windows   map[string][]time.Time
	posts     map[string]*bucket
	listeners map[chan struct{}]struct{}
}

// New makes a workspace that holds only the bot.
func New(o Options) *Server {
	setDefault(&o.BotToken, "xoxb-sim")
	setDefault(&o.SigningSecret, "sim-secret")
	setDefault(&o.AppToken, "xapp-sim")
	setDefault(&o.BotName, "kovra")
	o.RequestURL, o.BaseURL = strings.TrimSuffix(o.RequestURL, "/"), strings.TrimSuffix(o.BaseURL, "/")
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{
		o:          o,
		users:      map[string]*User{},
		groups:     map[string][]string{},
		channels:   map[string]*channel{},
		ephemerals: map[string][]*Message{},
		files:      map[string]*upload{},
		views:      map[string]*View{},
		stacks:     map[string][]string{},
		homes:      map[string]string{},
		inputs:     map[string]map[string]map[string]any{},
		offered:    map[string][]Option{},
		triggers:   map[string]*trigger{},
		responses:  map[string]*responseURL{},
		tickets:    map[string]bool{},
		fired:      map[string]int{},
		windows:    map[string][]time.Time{},
		posts:      map[string]*bucket{},
		listeners:  map[chan struct{}]struct{}{},
	}
	s.AddUser(User{ID: BotUserID, Name: o.BotName, RealName: o.BotName, IsBot: true})
	return s
}

func setDefault(v *string, def string) {
	if *v == "" {
		*v = def
	}
}

// SetRequestURL changes where the app listens.
func (s *Server) SetRequestURL(u string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.RequestURL = strings.TrimSuffix(u, "/")
}

// SetTransport changes how requests towards the app travel.
func (s *Server) SetTransport(t http.RoundTripper) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.Transport = t
}

// SetBaseURL tells the server its own address.
func (s *Server) SetBaseURL(u string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.BaseURL = strings.TrimSuffix(u, "/")
}

// ServeHTTP answers the Web API under /api/, response_urls under /response/, file
// uploads under /upload/ and WebSockets under /link/; everything else is 404.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if w.Header().Get("Date") == "" { // else somebody before us says another
		w.Header().Set("Date", s.o.Now().UTC().Format(http.TimeFormat))
	}
	switch {
	case strings.HasPrefix(r.URL.Path, "/api/"):
		s.serveAPI(w, r)
	case strings.HasPrefix(r.URL.Path, "/response/"):
		s.serveResponse(w, r)
	case strings.HasPrefix(r.URL.Path, "/upload/"):
		s.serveUpload(w, r)
	case strings.HasPrefix(r.URL.Path, "/link/"):
		s.serveSocket(w, r)
	default:
		http.NotFound(w, r)
	}
}

// serveAPI answers one method of the Web API.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	c := Call{Method: strings.TrimPrefix(r.URL.Path, "/api/")}
	a, problem := readArgs(r)
	c.Form = a.public()
	c.Channel = a.str("channel")
	s.learnBase(r)
	s.mu.Lock()
	w.Header().Set("X-Oauth-Scopes", s.provided())
	s.mu.Unlock()
	s.faulty(w, r, &c, func() (int, any) {
		if problem != "" {
			return http.StatusOK, fail(problem)
		}
		return s.apply(r, &c, a)
	})
}

// apply runs a method with the lock held and gives its HTTP answer.
func (s *Server) apply(r *http.Request, c *Call, a args) (int, any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Method == "apps.connections.open" {
		return http.StatusOK, s.connectionsOpen(r)
	}
	if own := s.userAuthTest(r, c.Method); own != nil {
		return http.StatusOK, own
	}
	if code := s.authorize(r, a); code != "" {
		return http.StatusOK, fail(code)
	}
	m, known := methods[c.Method]
	if !known {
		return http.StatusOK, fail("unknown_method")
	}
	if refused := s.checkScopes(c.Method, a); refused != nil {
		return http.StatusOK, refused
	}
	if wait := s.overLimit(c.Method, m.tier, c.Channel); wait > 0 {
		return http.StatusTooManyRequests, tooMany(wait)
	}
	out := m.run(s, a)
	if ts, _ := out["ts"].(string); ts != "" {
		c.TS = ts
	}
	return http.StatusOK, out
}

// tooMany is the answer to a call over the limit: how long to wait.
type tooMany time.Duration

// faulty runs work under the faults that apply to c, writes the answer and
// keeps the record.
func (s *Server) faulty(w http.ResponseWriter, r *http.Request, c *Call, work func() (int, any)) {
	f, wait := s.takeFaults(*c)
	if !pause(r.Context(), wait) {
		s.record(c, 0, "dropped")
		panic(http.ErrAbortHandler)
	}
	c.Time = s.now()
	status, body := http.StatusOK, any(nil)
	switch {
	case f == nil:
		status, body = work()
	case f.kind == faultRate:
		status, body = http.StatusTooManyRequests, tooMany(f.wait)
	case f.kind == faultStatus:
		status, body = f.code, fail("internal_error")
	case f.kind == faultError:
		body = fail(f.text)
	case f.kind == faultDrop:
		s.record(c, 0, "dropped")
		panic(http.ErrAbortHandler)
	case f.kind == faultLose:
		work()
		s.record(c, 0, "lost")
		panic(http.ErrAbortHandler)
	}
	s.record(c, status, outcome(status, body))
	writeAnswer(w, status, body)
}

// pause waits for d and reports whether the caller is still there.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func outcome(status int, body any) string {
	if status != http.StatusOK {
		if r, is := body.(reply); is && status == http.StatusNotFound {
			return r.code()
		}
		return strconv.Itoa(status)
	}
	if r, is := body.(reply); is {
		return r.code()
	}
	return "ok"
}

func writeAnswer(w http.ResponseWriter, status int, body any) {
	if d, is := body.(tooMany); is {
		seconds := int((time.Duration(d) + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", strconv.Itoa(max(seconds, 1)))
		body = fail("ratelimited")
	}
	if text, is := body.(string); is {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the peer may be gone: Slack would not care either
}

func (s *Server) record(c *Call, status int, outcome string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Time.IsZero() {
		c.Time = s.o.Now()
	}
	c.Status, c.Outcome = status, outcome
	s.calls = append(s.calls, *c)
	s.changed()
}

func (s *Server) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.o.Now()
}

// learnBase remembers under which host the app reaches us, for response_urls.
func (s *Server) learnBase(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.o.BaseURL != "" || r.Host == "" {
		return
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	s.o.BaseURL = scheme + "://" + r.Host
}

func (s *Server) base() string {
	if s.o.BaseURL == "" {
		return "http://slack.sim"
	}
	return s.o.BaseURL
}

// Rotate gives the app new secrets; an empty one stays as it is. The old bot token is refused from then on, and no
// connection is opened for the old app token any more; those that are open stay.
func (s *Server) Rotate(botToken, signingSecret, appToken string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.BotToken = cmp.Or(botToken, s.o.BotToken)
	s.o.SigningSecret = cmp.Or(signingSecret, s.o.SigningSecret)
	s.o.AppToken = cmp.Or(appToken, s.o.AppToken)
}

// authorize checks the token: in the header, or in the form of a form request.
func (s *Server) authorize(r *http.Request, a args) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if token == "" && !isJSON(r) {
		token = a.str("token")
	}
	switch token {
	case "":
		return "not_authed"
	case s.o.BotToken:
		return ""
	default:
		return "invalid_auth"
	}
}

// Calls gives every request so far, in the order in which they ended.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// CallCount says how often a method was called, refused calls included.
func (s *Server) CallCount(method string) int {
	n := 0
	for _, c := range s.Calls() {
		if c.Method == method {
			n++
		}
	}
	return n
}

// ForgetCalls empties the record that Calls gives.
func (s *Server) ForgetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = nil
}

// Subscribe gives a channel that receives after each change of the workspace
// (several changes may share one notice) and a function that ends it.
func (s *Server) Subscribe() (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners[ch] = struct{}{}
	return ch, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listeners, ch)
	}
}

// WaitFor returns once cond holds, looking again after each change. It fails
// with the context's error.
func (s *Server) WaitFor(ctx context.Context, cond func() bool) error {
	notice, stop := s.Subscribe()
	defer stop()
	for !cond() {
		select {
		case <-notice:
		case <-ctx.Done():
			return fmt.Errorf("wait for slack: %w", ctx.Err())
		}
	}
	return nil
}

// changed tells the listeners; the lock is held.
func (s *Server) changed() {
	for ch := range s.listeners {
		select {
		case ch <- struct{}{}:
		default: // a notice is waiting already
		}
	}
}

// id makes a name that is used once, the same in every run.
func (s *Server) id(prefix string) string {
	s.serial++
	return fmt.Sprintf("%s%05d", prefix, s.serial)
}

// reply is a JSON object that answers a method.
type reply map[string]any

func fail(code string, messages ...string) reply {
	r := reply{"ok": false, "error": code}
	if len(messages) > 0 {
		r["response_metadata"] = map[string]any{"messages": messages}
	}
	return r
}

// code is "ok" or the error.
func (r reply) code() string {
	if code, failed := r["error"].(string); failed {
		return code
	}
	return "ok"
}

func ok(fields reply) reply {
	if fields == nil {
		fields = reply{}
	}
	fields["ok"] = true
	return fields
}

// args are the arguments of a call; JSON values are kept as JSON text.
type args url.Values

func isJSON(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/json")
}

// readArgs reads a form, multipart or JSON body and the query; the second
// result is Slack's error code for a body that cannot be read.
func readArgs(r *http.Request) (args, string) {
	if !isJSON(r) {
		err := r.ParseMultipartForm(maxBody)
		if err != nil && !errors.Is(err, http.ErrNotMultipart) {
			return args{}, "invalid_form_data"
		}
		return args(r.Form), ""
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return args{}, "invalid_post_type"
	}
	if len(body) == 0 {
		return args{}, ""
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		if json.Valid(body) {
			return args{}, "json_not_object"
		}
		return args{}, "invalid_json"
	}
	a := args{}
	for k, raw := range fields {
		var text string
		switch {
		case string(raw) == "null":
		case json.Unmarshal(raw, &text) == nil:
			a[k] = []string{text}
		default:
			a[k] = []string{string(raw)}
		}
	}
	return a, ""
}

func (a args) str(k string) string { return url.Values(a).Get(k) }

func (a args) flag(k string) bool { v := a.str(k); return v == "true" || v == "1" }

func (a args) number(k string, def int) int {
	if n, err := strconv.Atoi(a.str(k)); err == nil {
		return n
	}
	return def
}

// list reads a comma-separated or JSON list.
func (a args) list(k string) []string {
	v := a.str(k)
	var out []string
	if json.Unmarshal([]byte(v), &out) == nil {
		return out
	}
	for p := range strings.SplitSeq(v, ",") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}

// public is a copy without the token.
func (a args) public() url.Values {
	out := url.Values{}
	for k, v := range a {
		if k != "token" {
			out[k] = append([]string(nil), v...)
		}
	}
	return out
}

// method is one entry of the Web API: its rate tier and what it does. It runs
// with the lock held.
type method struct {
	tier tier
	run  func(*Server, args) reply
}

var methods = map[string]method{
	"auth.test":                    {tierNone, (*Server).authTest},
	"bots.info":                    {tier3, (*Server).botsInfo},
	"chat.delete":                  {tier3, (*Server).chatDelete},
	"chat.getPermalink":            {tierNone, (*Server).chatGetPermalink},
	"chat.postEphemeral":           {tier4, (*Server).chatPostEphemeral},
	"chat.postMessage":             {tierPost, (*Server).chatPostMessage},
	"chat.update":                  {tier3, (*Server).chatUpdate},
	"conversations.history":        {tier3, (*Server).conversationsHistory},
	"conversations.info":           {tier3, (*Server).conversationsInfo},
	"conversations.join":           {tier3, (*Server).conversationsJoin},
	"conversations.list":           {tier2, (*Server).conversationsList},
	"conversations.members":        {tier4, (*Server).conversationsMembers},
	"conversations.open":           {tier3, (*Server).conversationsOpen},
	"conversations.replies":        {tier3, (*Server).conversationsReplies},
	"files.completeUploadExternal": {tier4, (*Server).filesComplete},
	"files.getUploadURLExternal":   {tier4, (*Server).filesGetUploadURL},
	"reactions.add":                {tier3, (*Server).reactionsAdd},
	"usergroups.users.list":        {tier2, (*Server).usergroupsUsersList},
	"users.conversations":          {tier3, (*Server).usersConversations},
	"users.info":                   {tier4, (*Server).usersInfo},
	"users.list":                   {tier2, (*Server).usersList},
	"users.lookupByEmail":          {tier3, (*Server).usersLookupByEmail},
	"views.open":                   {tier4, (*Server).viewsOpen},
	"views.publish":                {tier4, (*Server).viewsPublish},
	"views.push":                   {tier4, (*Server).viewsPush},
	"views.update":                 {tier4, (*Server).viewsUpdate},
}
