package identity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

const labURL = "http://gitlab.sim"

// lab answers for GitLab out of what its simulator gave out.
type lab struct {
	sim    *gitlabsim.Server
	mu     sync.Mutex
	users  map[string]GitLabSelf    // by user name
	levels map[string]map[int64]int // by user name and project
	emails map[int64]string
	down   error
	hang   bool // it does not say who has which role
	calls  map[string]int
}

func (l *lab) call(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls[name]++
	return l.down
}

func (l *lab) count(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[name]
}

func (l *lab) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func (l *lab) owner(token string) (GitLabSelf, error) {
	for _, t := range l.sim.OAuthTokens("") {
		if t.Access == token && t.Live {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.users[t.Username], nil
		}
	}
	return GitLabSelf{}, &kovra.Error{Kind: kovra.Denied, Public: "Not accepted.", Err: kovra.ErrToken}
}

func (l *lab) Self(_ context.Context, token string) (GitLabSelf, error) {
	if err := l.call("self"); err != nil {
		return GitLabSelf{}, err
	}
	return l.owner(token)
}

func (l *lab) Level(ctx context.Context, token string, project int64) (int, error) {
	if err := l.call("level"); err != nil {
		return 0, err
	}
	if l.hang {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	who, err := l.owner(token)
	if err != nil {
		return 0, err
	}
	return l.level(who.User.Username, project)
}

func (l *lab) level(name string, project int64) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	level := l.levels[name][project]
	if level == 0 {
		return 0, kovra.Errorf(kovra.NotFound, "no such project")
	}
	return level, nil
}

func (l *lab) MemberLevel(_ context.Context, project, user int64) (int, error) {
	if err := l.call("member"); err != nil {
		return 0, err
	}
	for name, u := range l.users {
		if u.User.ID == user {
			return l.level(name, project)
		}
	}
	return 0, kovra.Errorf(kovra.NotFound, "no such user")
}

func (l *lab) PublicEmail(_ context.Context, user int64) (string, error) {
	if err := l.call("email"); err != nil {
		return "", err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.emails[user], nil
}

func (l *lab) MayReadLogs(ctx context.Context, token string, project, _ int64) (bool, error) {
	if err := l.call("logs"); err != nil {
		return false, err
	}
	level, err := l.Level(ctx, token, project)
	return level >= reporter, err
}

// office is a whole bot as people who sign in see it: Slack, GitLab, a server of ours and a browser.
type office struct {
	*testing.T
	*Identity
	db    *storage.DB
	slack *slack
	lab   *lab
	clock *clock
	log   *bytes.Buffer
	where string
	path  string // of the database
	jar   http.CookieJar
	pages *bytes.Buffer // all that a browser was sent, headers included
}

var officeKey = bytes.Repeat([]byte{7}, 32)

func newOffice(t *testing.T, change ...func(*Options)) *office {
	t.Helper()
	o := &office{T: t, slack: newSlack(), clock: &clock{time.Now()}, log: &bytes.Buffer{}, pages: &bytes.Buffer{}, path: filepath.Join(t.TempDir(), "kovra.db")}
	o.slack.groups = map[string][]string{"SOPS": {"UBEN"}}
	for id, email := range map[string]string{"UMIA": "mia@example.com", "UBEN": "ben@example.com", "UOUT": "otto@example.com"} {
		u := o.slack.users[id]
		u.Email = email
		o.slack.users[id] = u
	}
	sim := gitlabsim.New(gitlabsim.Options{Now: o.clock.now})
	sim.SetURL(labURL)
	o.lab = &lab{sim: sim, calls: map[string]int{}, users: map[string]GitLabSelf{}, emails: map[int64]string{}, levels: map[string]map[int64]int{
		"mia": {7: maintainer}, "ben": {7: developer}, "otto": {7: reporter}, "zoe": {},
	}}
	for n, name := range []string{"mia", "ben", "otto", "zoe"} {
		u := kovra.GitLabUser{ID: int64(101 + n), Username: name, Name: strings.ToUpper(name[:1]) + name[1:]}
		sim.AddUser(gitlabsim.User{ID: u.ID, Username: u.Username, Name: u.Name, Email: name + "@example.com"})
		o.lab.users[name] = GitLabSelf{User: u, Email: name + "@example.com", Confirmed: true}
	}
	db, err := storage.Open(t.Context(), storage.Options{Path: o.path, Key: [][]byte{officeKey}, Now: o.clock.now})
	o.must(err)
	t.Cleanup(func() { o.must(db.Close()) })
	o.db = db
	o.must(db.Update(t.Context(), func(tx *storage.Tx) error {
		return errors.Join(
			tx.SaveProject(kovra.Project{ID: 7, Path: "group/web"}), tx.SaveApp(kovra.App{Name: "web", Project: 7}), tx.SaveApp(kovra.App{Name: "lone", CreatedBy: "UBEN"}),
			tx.SaveSubscription(kovra.Subscription{App: "web", Channel: "CALL"}),
		)
	}))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/logs/") {
			_, _ = io.WriteString(w, "the log page")
			return
		}
		o.Handler().ServeHTTP(w, r)
	}))
	o.where = "http://" + server.Listener.Addr().String()
	sim.AddApplication(gitlabsim.Application{
		ClientID: "kovra", Secret: "client-hunter2", RedirectURIs: []string{o.where + callbackPath, "https://kovra.example.com/sub" + callbackPath}, Scopes: []string{"api", "read_api"}, RequirePKCE: true,
	})
	options := Options{
		Slack: o.slack, GitLab: o.lab, DB: db, Admins: []string{"UADM"}, Now: o.clock.now, Log: slog.New(slog.NewTextHandler(o.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		OAuth: &OAuth{ClientID: "kovra", ClientSecret: func() string { return "client-hunter2" }, GitLabURL: labURL, PublicURL: o.where, HTTP: sim.Client()},
	}
	for _, f := range change {
		f(&options)
	}
	o.Identity = New(options)
	server.Start()
	t.Cleanup(server.Close)
	o.newBrowser()
	t.Cleanup(o.nothingSecretIsSeen)
	return o
}

func (o *office) must(err error) {
	o.Helper()
	if err != nil {
		o.Fatal(err)
	}
}

func (o *office) newBrowser() {
	jar, err := cookiejar.New(nil)
	o.must(err)
	o.jar = jar
}

// nothingSecretIsSeen looks for every token that was ever given out in all that was logged and shown.
func (o *office) nothingSecretIsSeen() {
	secrets := []string{"client-hunter2"}
	for _, t := range o.lab.sim.OAuthTokens("") {
		secrets = append(secrets, t.Access, t.Refresh)
	}
	for _, s := range secrets {
		if strings.Contains(o.log.String(), s) || strings.Contains(o.pages.String(), s) {
			o.Errorf("the secret %q was logged or shown", s)
		}
	}
}

// visited is what a browser got.
type visited struct {
	status int
	to     string // of a redirect
	body   string
	header http.Header
}

// page is the name of the page that is shown.
func (v visited) page() string {
	m := regexp.MustCompile(`data-test="([a-z]+)"`).FindStringSubmatch(v.body)
	if m == nil {
		return ""
	}
	return m[1]
}

func (o *office) do(method, address string, form url.Values) visited {
	o.Helper()
	req, err := http.NewRequestWithContext(o.Context(), method, address, strings.NewReader(form.Encode()))
	o.must(err)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	client := http.Client{Jar: o.jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	o.must(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	o.must(err)
	o.must(res.Header.Write(o.pages))
	o.pages.Write(body)
	return visited{res.StatusCode, res.Header.Get("Location"), string(body), res.Header}
}

func (o *office) get(address string) visited {
	o.Helper()
	return o.do(http.MethodGet, address, nil)
}

// begin follows a link to connect up to GitLab.
func (o *office) begin(id string) string {
	o.Helper()
	link, err := o.ConnectURL(o.Context(), kovra.Person{ID: id, Name: o.slack.users[id].Name, Team: "T1"})
	o.must(err)
	v := o.get(link)
	if v.status != http.StatusFound {
		o.Fatalf("the link answers %d: %s", v.status, v.body)
	}
	return v.to
}

// allow presses Authorize at GitLab and comes back.
func (o *office) allow(authorize, as string) visited {
	o.Helper()
	back, err := o.lab.sim.Authorize(o.Context(), authorize, as)
	o.must(err)
	return o.get(back)
}

func (o *office) connect(id, as string) visited {
	o.Helper()
	v := o.allow(o.begin(id), as)
	if v.page() == "confirm" {
		v = o.answer(v, "yes")
	}
	if v.page() != "connected" {
		o.Fatalf("%s as %s: %d %s", id, as, v.status, v.body)
	}
	return v
}

var pendingField = regexp.MustCompile(`name="pending" value="([^"]*)"`)

// answer presses a button of the confirm page.
func (o *office) answer(v visited, answer string) visited {
	o.Helper()
	m := pendingField.FindStringSubmatch(v.body)
	if m == nil {
		o.Fatalf("nothing to answer: %s", v.body)
	}
	return o.do(http.MethodPost, o.where+confirmPath, url.Values{"pending": {html.UnescapeString(m[1])}, "answer": {answer}})
}

func (o *office) account(id string) (a kovra.Account) {
	o.Helper()
	o.must(o.db.Read(o.Context(), func(tx *storage.Tx) (err error) {
		a, err = tx.Account(id)
		return err
	}))
	return a
}

func (o *office) live(as string) (n int) {
	for _, t := range o.lab.sim.OAuthTokens(as) {
		if t.Refreshable {
			n++
		}
	}
	return n
}

func TestConnectByTheSameEmail(t *testing.T) {
	o := newOffice(t)
	authorize := o.begin("UMIA")
	q, err := url.Parse(authorize)
	o.must(err)
	for key, want := range map[string]string{"scope": "api", "code_challenge_method": "S256", "redirect_uri": o.where + callbackPath, "client_id": "kovra", "response_type": "code"} {
		if got := q.Query().Get(key); got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	v := o.allow(authorize, "mia")
	if v.page() != "connected" || !strings.Contains(v.body, "Mia (@mia)") || !strings.Contains(v.body, `href="slack://open?team=T1"`) {
		t.Errorf("got %s", v.body)
	}
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(v.body)
	sum := sha256.Sum256([]byte(style[1]))
	if policy := v.header.Get("Content-Security-Policy"); !strings.Contains(policy, base64.StdEncoding.EncodeToString(sum[:])) || strings.Contains(policy, "unsafe") || strings.Contains(policy, "script") {
		t.Errorf("policy %q", policy)
	}
	if v.header.Get("Referrer-Policy") != "no-referrer" || v.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", v.header)
	}
	if a := o.account("UMIA"); a.GitLab.Username != "mia" || !a.Connected() {
		t.Errorf("account %+v", a)
	}
	token, err := o.Token(t.Context(), "UMIA")
	o.must(err)
	if who, err := o.lab.owner(token); err != nil || who.User.Username != "mia" {
		t.Errorf("the token is that of %+v, %v", who, err)
	}
}

// Somebody who sends the link that was made for them to a victim does not get the victim's rights.
func TestConnectAsksWhoIsNotKnown(t *testing.T) {
	o := newOffice(t)
	v := o.allow(o.begin("UBEN"), "zoe")
	if v.page() != "confirm" || !strings.Contains(v.body, "Zoe (@zoe)") || !strings.Contains(v.body, "<dd>Ben (ben@example.com)</dd>") {
		t.Fatalf("got %d %s", v.status, v.body)
	}
	if o.account("UBEN").Connected() {
		t.Fatal("connected without a question")
	}
	if no := o.answer(v, "no"); no.page() != "declined" || o.account("UBEN").Connected() || o.live("zoe") != 0 {
		t.Errorf("no: %s, connected %v, %d tokens", no.page(), o.account("UBEN").Connected(), o.live("zoe"))
	}
	if again := o.answer(v, "yes"); again.page() != "stranger" || o.account("UBEN").Connected() {
		t.Errorf("the same page again: %s", again.page())
	}

	v = o.allow(o.begin("UBEN"), "zoe")
	own := o.jar
	o.newBrowser()
	if other := o.answer(v, "yes"); other.page() != "stranger" {
		t.Errorf("the form out of another browser: %s", other.page())
	}
	o.jar = own
	bent := visited{body: strings.Replace(v.body, `name="pending" value="`, `name="pending" value="A`, 1)}
	if got := o.answer(bent, "yes"); got.page() != "stranger" {
		t.Errorf("a bent form: %s", got.page())
	}
	if yes := o.answer(v, "yes"); yes.page() != "connected" || o.account("UBEN").GitLab.Username != "zoe" {
		t.Errorf("yes: %s, %+v", yes.page(), o.account("UBEN"))
	}
	// The address of an unconfirmed e-mail proves nothing.
	self := o.lab.users["ben"]
	self.Confirmed = false
	o.lab.users["ben"] = self
	if v := o.allow(o.begin("UBEN"), "ben"); v.page() != "confirm" {
		t.Errorf("unconfirmed: %s", v.page())
	}
}

func TestConfirmRunsOut(t *testing.T) {
	o := newOffice(t)
	v := o.allow(o.begin("UBEN"), "zoe")
	o.clock.move(flowLives)
	if got := o.answer(v, "yes"); got.page() != "stranger" {
		t.Errorf("got %s", got.page())
	}
	v = o.allow(o.begin("UBEN"), "zoe")
	o.slack.set(func() {
		u := o.slack.users["UBEN"]
		u.Deleted = true
		o.slack.users["UBEN"] = u
	})
	o.clock.move(trusted + time.Second)
	if got := o.answer(v, "yes"); got.page() != "refused" || o.account("UBEN").Connected() || o.live("zoe") != 1 { // one of the page that ran out
		t.Errorf("who has left meanwhile: %s, %d tokens", got.page(), o.live("zoe"))
	}
}

func TestConnectByTheTable(t *testing.T) {
	o := newOffice(t, func(o *Options) { o.Policy.People = map[string]string{"UZOE": "Zoe", "UMIA": "mia"} })
	if v := o.allow(o.begin("UZOE"), "zoe"); v.page() != "connected" {
		t.Errorf("the pair of the table: %s", v.page())
	}
	v := o.allow(o.begin("UMIA"), "ben")
	if v.page() != "refused" || v.status != http.StatusForbidden || !strings.Contains(v.body, "that Mia is @mia at GitLab, and you signed in as @ben") || o.live("ben") != 0 {
		t.Errorf("another account than that of the table: %d %s", v.status, v.body)
	}
	if v := o.allow(o.begin("UBEN"), "mia"); v.page() != "refused" || o.account("UBEN").Connected() || o.live("mia") != 0 {
		t.Errorf("somebody else's account: %d %s", v.status, v.body)
	}
}

func TestLinksThatAreNoGood(t *testing.T) {
	o := newOffice(t)
	link, err := o.ConnectURL(t.Context(), kovra.Person{ID: "UMIA", Team: "T1"})
	o.must(err)
	flowSealed, err := o.seal(useFlow, invite{User: "UMIA", Expires: o.now().Add(time.Hour)})
	o.must(err)
	for name, address := range map[string]string{
		"tampered": link[:len(link)-6] + "AAAAAA", "none": o.where + startPath, "empty": o.where + startPath + "?as=", "sealed for another use": o.where + startPath + "?as=" + flowSealed,
	} {
		if v := o.get(address); v.page() != "old" || v.to != "" {
			t.Errorf("%s: %d %s", name, v.status, v.page())
		}
	}
	if v := o.get(link + "&redirect_uri=http://evil.example&to=//evil.example"); v.status != http.StatusFound || strings.Contains(v.to, "evil") {
		t.Errorf("redirects to %s", v.to)
	}
	o.clock.move(linkLives)
	if v := o.get(link); v.page() != "old" || v.status != http.StatusGone {
		t.Errorf("late: %d %s", v.status, v.page())
	}
	if v := o.get(o.where + startPath + "?log=nonsense"); v.to != "" || v.status != http.StatusNotFound {
		t.Errorf("no link to a log: %d %s", v.status, v.to)
	}
	if _, err := o.ConnectURL(t.Context(), kovra.Person{GitLab: kovra.GitLabUser{ID: 1}}); err == nil {
		t.Error("a link for nobody of Slack")
	}
}

func TestStatesThatAreNoGood(t *testing.T) {
	o := newOffice(t)
	authorize := o.begin("UMIA")
	back, err := o.lab.sim.Authorize(t.Context(), authorize, "mia")
	o.must(err)
	own := o.jar
	o.newBrowser()
	if v := o.get(back); v.page() != "stranger" {
		t.Errorf("no cookie: %s", v.page())
	}
	o.begin("UMIA")
	if v := o.get(back); v.page() != "stranger" {
		t.Errorf("the cookie of another sign-in: %s", v.page())
	}
	o.jar = own
	at, err := url.Parse(o.where + callbackPath)
	o.must(err)
	kept := own.Cookies(at)
	if v := o.get(o.where + callbackPath + "?code=x"); v.page() != "stranger" {
		t.Errorf("no state: %s", v.page())
	}
	if v := o.get(back); v.page() != "connected" {
		t.Fatalf("the right one: %s", v.page())
	}
	if v := o.get(back); v.page() != "stranger" {
		t.Errorf("a second time: %s", v.page())
	}
	own.SetCookies(at, kept)
	if v := o.get(back); v.page() != "stranger" {
		t.Errorf("a second time, with the cookie kept: %s", v.page())
	}
	again := o.begin("UMIA")
	o.clock.move(flowLives)
	back, err = o.lab.sim.Authorize(t.Context(), again, "mia")
	o.must(err)
	if v := o.get(back); v.page() != "stranger" {
		t.Errorf("too late: %s", v.page())
	}
}

func TestSignInsThatEndBadly(t *testing.T) {
	o := newOffice(t)
	back, err := o.lab.sim.Deny(t.Context(), o.begin("UMIA"), "mia")
	o.must(err)
	if v := o.get(back); v.page() != "declined" || v.status != http.StatusOK {
		t.Errorf("denied: %d %s", v.status, v.page())
	}
	state := func() string {
		u, err := url.Parse(o.begin("UMIA"))
		o.must(err)
		return "&state=" + url.QueryEscape(u.Query().Get("state"))
	}
	if v := o.get(o.where + callbackPath + "?error=server_error&error_description=<b>hunter3" + state()); v.page() != "trouble" || strings.Contains(v.body, "hunter3") {
		t.Errorf("another error: %s", v.body)
	}
	if v := o.get(o.where + callbackPath + "?code=made-up" + state()); v.page() != "trouble" || v.status != http.StatusBadRequest || strings.Contains(v.body, "made-up") {
		t.Errorf("a made-up code: %d %s", v.status, v.body)
	}
	o.lab.sim.Fault(gitlabsim.Status("POST /oauth/token", http.StatusInternalServerError))
	if v := o.allow(o.begin("UMIA"), "mia"); v.status != http.StatusServiceUnavailable {
		t.Errorf("GitLab is broken: %d %s", v.status, v.body)
	}
	o.lab.sim.ClearFaults()
	o.lab.set(func() { o.lab.down = kovra.Errorf(kovra.Unavailable, "down") })
	if v := o.allow(o.begin("UMIA"), "mia"); v.status != http.StatusServiceUnavailable || o.live("mia") != 0 {
		t.Errorf("GitLab does not say who it is: %d, %d tokens", v.status, o.live("mia"))
	}
	o.lab.set(func() { o.lab.down = nil })
	o.lab.sim.AddApplication(gitlabsim.Application{ClientID: "kovra", Secret: "changed", RedirectURIs: []string{o.where + callbackPath}, Scopes: []string{"api"}})
	if v := o.allow(o.begin("UMIA"), "mia"); v.status != http.StatusInternalServerError || !strings.Contains(v.body, "OAuth application") || !strings.Contains(o.log.String(), "invalid_client") {
		t.Errorf("a wrong client secret: %d %s\n%s", v.status, v.body, o.log)
	}
	if o.account("UMIA").Connected() {
		t.Error("connected")
	}
}

func TestCookiesBehindHTTPS(t *testing.T) {
	o := newOffice(t, func(o *Options) { o.OAuth.PublicURL = "https://kovra.example.com/sub" })
	link, err := o.ConnectURL(t.Context(), person("UMIA"))
	o.must(err)
	v := o.get(strings.Replace(link, "https://kovra.example.com/sub", o.where, 1))
	c, err := http.ParseSetCookie(v.header.Get("Set-Cookie"))
	o.must(err)
	if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/sub/oauth/gitlab/" || c.MaxAge <= 0 || c.MaxAge > 600 {
		t.Errorf("cookie %+v", c)
	}
	if !strings.Contains(v.to, url.QueryEscape("https://kovra.example.com/sub/oauth/gitlab/callback")) {
		t.Errorf("redirects to %s", v.to)
	}
}

// Whoever connects what somebody else had connected takes it over, and no token is left behind.
func TestConnectAnew(t *testing.T) {
	o := newOffice(t)
	o.connect("UMIA", "mia")
	o.connect("UMIA", "mia")
	if n := o.live("mia"); n != 1 {
		t.Errorf("%d pairs of tokens, want the new one alone", n)
	}
	o.connect("UBEN", "mia")
	if o.account("UMIA").Connected() || o.account("UBEN").GitLab.Username != "mia" || o.live("mia") != 1 {
		t.Errorf("UMIA %v, UBEN %+v, %d pairs", o.account("UMIA").Connected(), o.account("UBEN"), o.live("mia"))
	}
}

func TestConnectingResumesWhatWaits(t *testing.T) {
	o := newOffice(t)
	var act kovra.Action
	o.must(o.db.Update(t.Context(), func(tx *storage.Tx) (err error) {
		act, _, err = tx.Propose(kovra.Action{Kind: kovra.ActRun, App: "web", By: person("UMIA")}, nil)
		if err != nil {
			return err
		}
		return tx.WaitAction(act.ID)
	}))
	o.connect("UMIA", "mia")
	o.must(o.db.Read(t.Context(), func(tx *storage.Tx) (err error) {
		act, err = tx.Action(act.ID)
		return err
	}))
	if act.State != kovra.ActionWanted {
		t.Errorf("state %s, want %s", act.State, kovra.ActionWanted)
	}
}

// TestClientSecretMayChange: the next call is made with the secret as it is then.
func TestClientSecretMayChange(t *testing.T) {
	secret := "client-hunter2"
	o := newOffice(t, func(o *Options) { o.OAuth.ClientSecret = func() string { return secret } })
	o.connect("UMIA", "mia")
	o.lab.sim.AddApplication(gitlabsim.Application{
		ClientID: "kovra", Secret: "client-hunter3", RedirectURIs: []string{o.where + callbackPath}, Scopes: []string{"api", "read_api"}, RequirePKCE: true,
	})
	had, err := o.Token(t.Context(), "UMIA")
	o.must(err)
	o.clock.move(3 * time.Hour) // it has to be refreshed
	_, err = o.Token(t.Context(), "UMIA")
	want(t, err, kovra.Internal)
	secret = "client-hunter3"
	if got, err := o.Token(t.Context(), "UMIA"); err != nil || got == had {
		t.Errorf("with the new secret: %q, %v", got, err)
	}
}
