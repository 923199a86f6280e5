package identity

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

const (
	startPath    = "/oauth/gitlab/start"
	callbackPath = "/oauth/gitlab/callback"
	confirmPath  = "/oauth/gitlab/confirm"

	linkLives = 15 * time.Minute // for which a link to connect is good
	flowLives = 10 * time.Minute // from the start of a sign-in to its end
	mostForm  = 64 << 10         // bytes of the only form

	flowCookie = "kovra_oauth"
)

// What is sealed, and for what.
const (
	useInvite  = "oauth invite"
	useFlow    = "oauth flow"
	usePending = "oauth pending"
	useSession = "log session"
)

// invite is what a link to connect carries: who it was made for.
type invite struct {
	User       string    `json:"u"`
	Name       string    `json:"n,omitempty"`
	Team       string    `json:"t,omitempty"`
	Enterprise string    `json:"e,omitempty"`
	Expires    time.Time `json:"x"`
}

func (v invite) person() kovra.Person {
	return kovra.Person{ID: v.User, Name: v.Name, Team: v.Team, Enterprise: v.Enterprise}
}

// flow is one sign-in under way; the browser keeps it in a cookie that it cannot read.
type flow struct {
	State    string    `json:"s"`
	Verifier string    `json:"v,omitempty"` // of the proof key
	Invite   *invite   `json:"i,omitempty"` // to connect
	Log      string    `json:"l,omitempty"` // link of the log to be read
	Expires  time.Time `json:"x"`
}

// pending is a connection to which the person has yet to say yes.
type pending struct {
	State   string           `json:"s"`
	Invite  invite           `json:"i"`
	User    kovra.GitLabUser `json:"g"`
	Pair    kovra.TokenPair  `json:"p"`
	Expires time.Time        `json:"x"`
}

// ConnectURL is where a person connects their GitLab account. It is theirs alone, and good for a quarter of an hour.
func (i *Identity) ConnectURL(_ context.Context, p kovra.Person) (string, error) {
	if i.oauth == nil || p.ID == "" {
		return "", kovra.Errorf(kovra.Conflict, "Nobody connects a GitLab account here.")
	}
	sealed, err := i.seal(useInvite, invite{User: p.ID, Name: p.Name, Team: p.Team, Enterprise: p.Enterprise, Expires: i.now().Add(linkLives)})
	if err != nil {
		return "", err
	}
	return i.oauth.PublicURL + startPath + "?as=" + sealed, nil
}

func (i *Identity) seal(use string, v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", err // unreachable: all of them can be written
	}
	return i.db.Seal(use, text)
}

// unseal reports whether sealed is what seal made, and reads it.
func (i *Identity) unseal(use, sealed string, v any) bool {
	text, err := i.db.Unseal(use, sealed)
	return err == nil && len(text) > 0 && json.Unmarshal(text, v) == nil
}

// Handler answers below /oauth/gitlab/. It may be mounted only where OAuth is configured.
func (i *Identity) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, answer := range map[string]func(http.ResponseWriter, *http.Request) (page, bool){
		"GET " + startPath: i.start, "GET " + callbackPath: i.callback, "POST " + confirmPath: i.confirm,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if p, shown := answer(w, r); shown {
				i.show(w, r, p)
			}
		})
	}
	return secured(mux)
}

// start sends a person to GitLab. What follows the question mark only says what for; it is never a place to go to.
func (i *Identity) start(w http.ResponseWriter, r *http.Request) (page, bool) {
	f := flow{State: rand.Text(), Verifier: oauth2.GenerateVerifier(), Expires: i.now().Add(flowLives)}
	scope := scopeConnect
	query := r.URL.Query()
	switch {
	case query.Has("log"):
		if _, ok := i.db.OpenLink(query.Get("log")); !ok {
			return page{Name: "old", status: http.StatusNotFound, Title: "This link opens no log", Text: "Open the log from its button in Slack again."}, true
		}
		f.Log, scope = query.Get("log"), scopeRead
	default:
		var v invite
		if !i.unseal(useInvite, query.Get("as"), &v) || !i.now().Before(v.Expires) {
			return pageOld(), true
		}
		f.Invite = &v
	}
	if err := i.keepFlow(w, f); err != nil {
		return i.trouble(r, err), true
	}
	to := i.oauth.config(scope).AuthCodeURL(f.State, oauth2.S256ChallengeOption(f.Verifier))
	http.Redirect(w, r, to, http.StatusFound)
	return page{}, false
}

// keepFlow has the browser remember a sign-in.
func (i *Identity) keepFlow(w http.ResponseWriter, f flow) error {
	sealed, err := i.seal(useFlow, f)
	if err != nil {
		return err
	}
	i.setCookie(w, flowCookie, "/oauth/gitlab/", sealed, f.Expires)
	return nil
}

// setCookie sets a cookie for the pages below a path of ours; "" takes it away.
func (i *Identity) setCookie(w http.ResponseWriter, name, path, value string, expires time.Time) {
	c := &http.Cookie{ //nolint:gosec // not secure where we are reached by plain HTTP alone
		Name: name, Value: value, Path: strings.TrimRight(i.oauth.public.Path, "/") + path,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: i.oauth.public.Scheme == "https",
	}
	if c.MaxAge = int(expires.Sub(i.now()) / time.Second); value == "" || c.MaxAge <= 0 {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// flowOf finds the sign-in that a state belongs to: the one of this browser, and each once.
func (i *Identity) flowOf(w http.ResponseWriter, r *http.Request, state string) (flow, bool) {
	var f flow
	c, err := r.Cookie(flowCookie)
	if err != nil || !i.unseal(useFlow, c.Value, &f) || !i.now().Before(f.Expires) || f.State == "" {
		return f, false
	}
	if subtle.ConstantTimeCompare([]byte(f.State), []byte(state)) != 1 || !i.spent.spend(f.State, f.Expires, i.now()) {
		return f, false
	}
	i.setCookie(w, flowCookie, "/oauth/gitlab/", "", i.now())
	return f, true
}

// spent remembers the states of sign-ins that are over for as long as they could be tried again.
type spent struct {
	mu sync.Mutex
	of map[string]time.Time
}

// spend reports whether a state is used for the first time.
func (s *spent) spend(state string, until, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for old, end := range s.of {
		if end.Before(now) {
			delete(s.of, old)
		}
	}
	if _, used := s.of[state]; used {
		return false
	}
	if s.of == nil {
		s.of = map[string]time.Time{}
	}
	s.of[state] = until
	return true
}

// callback is where GitLab sends people back to.
func (i *Identity) callback(w http.ResponseWriter, r *http.Request) (page, bool) {
	query := r.URL.Query()
	f, ok := i.flowOf(w, r, query.Get("state"))
	if !ok || f.Verifier == "" {
		return pageStranger(), true
	}
	if query.Get("code") == "" {
		return i.unauthorized(query, f), true
	}
	scope := scopeConnect
	if f.Invite == nil {
		scope = scopeRead
	}
	pair, err := i.oauth.exchange(r.Context(), scope, query.Get("code"), f.Verifier)
	if err != nil {
		return i.trouble(r, err), true
	}
	self, err := i.gitlab.Self(r.Context(), pair.Access)
	if err != nil {
		i.revoke(r.Context(), pair)
		return i.trouble(r, noAnswer("GitLab", err)), true
	}
	if f.Invite == nil {
		return i.signIn(w, r, f, self.User, pair)
	}
	return i.meet(w, r, *f.Invite, self, pair), true
}

// unauthorized is for a sign-in that GitLab ended without a code.
func (i *Identity) unauthorized(query url.Values, f flow) page {
	if query.Get("error") != "access_denied" {
		return page{
			Name: "trouble", status: http.StatusBadGateway, Title: "GitLab did not let you in", Text: "Nothing was connected.",
			Hint: "If that happens again, an administrator of this bot has to look at its OAuth application at GitLab.",
		}
	}
	if f.Invite == nil {
		return page{
			Name: "declined", status: http.StatusForbidden, Title: "You are not signed in",
			Text: "The log is shown to those alone who may see it at GitLab, so it cannot be shown without signing in.",
		}
	}
	return pageDeclined()
}

// meet decides about a person and the GitLab account that they signed in with.
func (i *Identity) meet(w http.ResponseWriter, r *http.Request, v invite, self GitLabSelf, pair kovra.TokenPair) page {
	ctx := r.Context()
	sure, err := i.suits(ctx, v, self)
	switch {
	case err != nil:
		i.revoke(ctx, pair)
		return i.trouble(r, err)
	case sure:
		return i.connect(r, v, self.User, pair)
	}
	ask := pending{State: rand.Text(), Invite: v, User: self.User, Pair: pair, Expires: i.now().Add(flowLives)}
	sealed, err := i.seal(usePending, ask)
	if err == nil {
		err = i.keepFlow(w, flow{State: ask.State, Expires: ask.Expires})
	}
	if err != nil {
		i.revoke(ctx, pair)
		return i.trouble(r, err)
	}
	return page{
		Name: "confirm", status: http.StatusOK, Title: "Connect these two accounts?",
		Text: "What " + slackName(v) + " asks for in Slack will then be done at GitLab as @" + self.User.Username + ".",
		Pair: &pairing{GitLab: gitlabName(self.User), Slack: i.slackLabel(ctx, v)}, Pending: sealed,
		Hint: "Connect only if both are you. If somebody sent you this link, do not.",
	}
}

func gitlabName(u kovra.GitLabUser) string {
	if u.Name == "" {
		return "@" + u.Username
	}
	return u.Name + " (@" + u.Username + ")"
}

// slackLabel names a Slack user by what they cannot choose themselves too, where Slack tells it.
func (i *Identity) slackLabel(ctx context.Context, v invite) string {
	u, err := i.users.get(ctx, v.User, trusted)
	if err != nil || u.Email == "" {
		return slackName(v) + " (" + v.User + ")"
	}
	return slackName(v) + " (" + u.Email + ")"
}

func slackName(v invite) string { return cmp.Or(v.Name, v.User) }

// suits reports whether it is sure that both accounts are one person: the table of people says so, or both
// have the same e-mail address. The error is Denied when they must not be connected.
func (i *Identity) suits(ctx context.Context, v invite, self GitLabSelf) (bool, error) {
	if err := i.belongs(ctx, v.person()); err != nil {
		return false, err
	}
	named := i.policy.GitLabUserOf(v.User)
	if named != "" && !strings.EqualFold(named, self.User.Username) {
		return false, kovra.Errorf(kovra.Denied, "Administrators say that %s is @%s at GitLab, and you signed in as @%s. Sign in there as @%s, and try again.",
			slackName(v), named, self.User.Username, named)
	}
	if owner := i.policy.SlackUserOf(self.User.Username); owner != "" && owner != v.User {
		return false, kovra.Errorf(kovra.Denied, "Administrators say that @%s at GitLab is somebody else in Slack, so it cannot be connected here.", self.User.Username)
	}
	if named != "" {
		return true, nil
	}
	u, err := i.users.get(ctx, v.User, certain)
	if err != nil {
		return false, cannotAsk(err)
	}
	return self.Confirmed && self.Email != "" && strings.EqualFold(self.Email, u.Email), nil
}

// connect records who is who. Tokens that nobody needs any more are given back.
func (i *Identity) connect(r *http.Request, v invite, user kovra.GitLabUser, pair kovra.TokenPair) page {
	ctx := r.Context()
	done, err := i.refreshing.take(ctx, v.User)
	if err != nil {
		return i.trouble(r, noAnswer("GitLab", err))
	}
	defer done()
	var old []kovra.TokenPair
	err = i.db.Update(ctx, func(tx *storage.Tx) error {
		old = nil
		before, known, err := tx.AccountOf(user.ID)
		if err != nil {
			return err
		}
		owners := []string{v.User}
		if known && before.Slack != v.User {
			owners = append(owners, before.Slack)
		}
		for _, owner := range owners {
			unused, _, err := tx.Tokens(owner)
			if err != nil {
				return err
			}
			old = append(old, unused)
		}
		return tx.Connect(v.User, user, pair)
	})
	if err != nil {
		i.revoke(ctx, pair)
		return i.trouble(r, err)
	}
	i.revoke(ctx, old...)
	i.log.InfoContext(ctx, "gitlab account connected", "user", v.User, "gitlab", user.Username)
	return page{
		Name: "connected", status: http.StatusOK, Title: "You are connected",
		Text: "What you ask for in Slack is now done at GitLab as @" + user.Username + ", with your own rights.",
		Pair: &pairing{GitLab: gitlabName(user), Slack: slackName(v)}, Slack: backToSlack(v.Team),
		Hint: "You can go back to Slack: what waited for this goes on by itself. To undo it, type /kovra disconnect there.",
	}
}

// confirm is the answer to whether two accounts are one person.
func (i *Identity) confirm(w http.ResponseWriter, r *http.Request) (page, bool) {
	r.Body = http.MaxBytesReader(w, r.Body, mostForm)
	if err := r.ParseForm(); err != nil {
		return pageStranger(), true
	}
	var ask pending
	if !i.unseal(usePending, r.PostForm.Get("pending"), &ask) || !i.now().Before(ask.Expires) {
		return pageStranger(), true
	}
	if f, ok := i.flowOf(w, r, ask.State); !ok || f.Verifier != "" {
		return pageStranger(), true
	}
	if r.PostForm.Get("answer") != "yes" {
		i.revoke(r.Context(), ask.Pair)
		return pageDeclined(), true
	}
	// Who belongs here, and who is who, may have changed while the page was open.
	if _, err := i.suits(r.Context(), ask.Invite, GitLabSelf{User: ask.User}); err != nil {
		i.revoke(r.Context(), ask.Pair)
		return i.trouble(r, err), true
	}
	return i.connect(r, ask.Invite, ask.User, ask.Pair), true
}
