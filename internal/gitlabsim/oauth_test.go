package gitlabsim_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"
	"golang.org/x/oauth2"

	"kovra.dev/chatops/internal/gitlabsim"
)

const callback = "https://bot.example.com/oauth/gitlab/callback"

// oauthWorld adds an application and gives its configuration and a context whose requests reach the simulator.
func oauthWorld(t *testing.T) (*world, *oauth2.Config, context.Context) {
	t.Helper()
	w := newWorld(t)
	w.s.AddApplication(gitlabsim.Application{
		ClientID: "kovra", Secret: "app-secret", Name: "Kovra <b>", RedirectURIs: []string{callback}, Scopes: []string{"read_user", "read_api", "api"},
	})
	c := &oauth2.Config{
		ClientID: "kovra", ClientSecret: "app-secret", RedirectURL: callback, Scopes: []string{"api"},
		Endpoint: oauth2.Endpoint{
			AuthURL: "https://gitlab.example.com/oauth/authorize", TokenURL: "https://gitlab.example.com/oauth/token",
			AuthStyle: oauth2.AuthStyleInParams,
		},
	}
	return w, c, context.WithValue(t.Context(), oauth2.HTTPClient, w.s.Client())
}

// connect goes the whole way for a user.
func connect(ctx context.Context, t *testing.T, w *world, c *oauth2.Config, user string) *oauth2.Token {
	t.Helper()
	verifier := oauth2.GenerateVerifier()
	to, err := w.s.Authorize(ctx, c.AuthCodeURL("st", oauth2.S256ChallengeOption(verifier)), user)
	must(t, err)
	token, err := c.Exchange(ctx, query(t, to).Get("code"), oauth2.VerifierOption(verifier))
	must(t, err)
	return token
}

func query(t *testing.T, rawURL string) url.Values {
	t.Helper()
	u, err := url.Parse(rawURL)
	must(t, err)
	return u.Query()
}

// bearer is the official client with an OAuth token.
func (w *world) bearer(token string) *gitlab.Client {
	w.t.Helper()
	c, err := gitlab.NewAuthSourceClient(gitlab.OAuthTokenSource{TokenSource: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token})},
		gitlab.WithBaseURL("https://gitlab.example.com"), gitlab.WithHTTPClient(w.s.Client()), gitlab.WithoutRetries())
	must(w.t, err)
	return c
}

func TestOAuthFromTheButtonToTheAPI(t *testing.T) {
	w, c, ctx := oauthWorld(t)
	verifier := oauth2.GenerateVerifier()
	to, err := w.s.Authorize(ctx, c.AuthCodeURL("state 1&", oauth2.S256ChallengeOption(verifier)), "dev")
	must(t, err)
	if q := query(t, to); !strings.HasPrefix(to, callback+"?") || q.Get("state") != "state 1&" || q.Get("error") != "" {
		t.Fatalf("redirected to %s", to)
	}
	token, err := c.Exchange(ctx, query(t, to).Get("code"), oauth2.VerifierOption(verifier))
	must(t, err)
	if token.TokenType != "Bearer" || token.ExpiresIn != 7200 || token.Extra("scope") != "api" || token.Extra("created_at") != float64(w.clock().Unix()) {
		t.Errorf("got %+v, scope %v, created %v", token, token.Extra("scope"), token.Extra("created_at"))
	}
	me, _, err := w.bearer(token.AccessToken).Users.CurrentUser()
	must(t, err)
	if me.Username != "dev" {
		t.Errorf("the token is of %q", me.Username)
	}
	code, _, _ := w.raw("GET", "/api/v4/user", token.AccessToken, "")
	if code != http.StatusUnauthorized {
		t.Errorf("an OAuth token as PRIVATE-TOKEN: got %d", code)
	}
	got := w.s.OAuthTokens("DEV")
	if len(got) != 1 || got[0].Access != token.AccessToken || got[0].Refresh != token.RefreshToken || !got[0].Live || len(w.s.OAuthTokens("mara")) != 0 {
		t.Errorf("tokens of dev: %+v", got)
	}
	for _, call := range w.s.Calls() {
		if strings.HasPrefix(call.Route, "/oauth/") && (call.Query != "" || call.Body != "") {
			t.Errorf("the call keeps secrets: %+v", call)
		}
	}
}

func TestOAuthDenied(t *testing.T) {
	w, c, ctx := oauthWorld(t)
	to, err := w.s.Deny(ctx, c.AuthCodeURL("st"), "dev")
	must(t, err)
	if q := query(t, to); q.Get("error") != "access_denied" || q.Get("state") != "st" || q.Has("code") {
		t.Errorf("redirected to %s", to)
	}
}

func TestAuthorizeRefuses(t *testing.T) {
	w, c, ctx := oauthWorld(t)
	w.s.AddApplication(gitlabsim.Application{ClientID: "strict", RedirectURIs: []string{callback}, RequirePKCE: true})
	w.s.AddUser(gitlabsim.User{Username: "newbie", Unconfirmed: true})
	w.s.SetBlocked("eve", true)
	for _, tt := range []struct{ name, user, set, to, want string }{
		{"no client", "dev", "client_id", "", "client_id"},
		{"unknown client", "dev", "client_id", "other", "unknown client"},
		{"another redirect URI", "dev", "redirect_uri", callback + "/", "redirect URI"},
		{"no response type", "dev", "response_type", "", "response_type"},
		{"implicit flow", "dev", "response_type", "token", "response type"},
		{"scope that the application has not", "dev", "scope", "api openid", "scope"},
		{"scope that nobody has", "dev", "scope", "sudo", "scope"},
		{"unknown challenge method", "dev", "code_challenge_method", "S512", "plain or S256"},
		{"PKCE required", "dev", "client_id", "strict", "code_challenge"},
		{"blocked", "eve", "state", "x", "blocked"},
		{"unconfirmed", "newbie", "state", "x", "email"},
		{"nobody", "ghost", "state", "x", "nobody"},
	} {
		u, err := url.Parse(c.AuthCodeURL("st", oauth2.S256ChallengeOption("v")))
		must(t, err)
		q := u.Query()
		if tt.to == "strict" {
			q.Del("code_challenge")
		}
		q.Set(tt.set, tt.to)
		u.RawQuery = q.Encode()
		to, err := w.s.Authorize(ctx, u.String(), tt.user)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %q, %v, want an error with %q", tt.name, to, err, tt.want)
		}
	}
	if _, err := w.s.Authorize(ctx, "https://gitlab.example.com/elsewhere", "dev"); err == nil {
		t.Error("another URL is no authorization request")
	}
}

func wantOAuthError(t *testing.T, err error, status int, code string) {
	t.Helper()
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		t.Errorf("got %v, want %s", err, code)
	} else if refused.ErrorCode != code || refused.Response.StatusCode != status {
		t.Errorf("got %d %s, want %d %s", refused.Response.StatusCode, refused.ErrorCode, status, code)
	}
}

func TestExchangeRefuses(t *testing.T) {
	w, c, ctx := oauthWorld(t)
	verifier := oauth2.GenerateVerifier()
	w.s.AddApplication(gitlabsim.Application{ClientID: "other", Secret: "s", RedirectURIs: []string{callback}})
	for _, tt := range []struct {
		name   string
		change func(c *oauth2.Config)
		option oauth2.AuthCodeOption
		late   time.Duration
		status int
		want   string
	}{
		{"wrong secret", func(c *oauth2.Config) { c.ClientSecret = "x" }, oauth2.VerifierOption(verifier), 0, 401, "invalid_client"},
		{"unknown client", func(c *oauth2.Config) { c.ClientID = "x" }, oauth2.VerifierOption(verifier), 0, 401, "invalid_client"},
		{"another client", func(c *oauth2.Config) { c.ClientID, c.ClientSecret = "other", "s" }, oauth2.VerifierOption(verifier), 0, 400, "invalid_grant"},
		{"another redirect URI", func(c *oauth2.Config) { c.RedirectURL += "/" }, oauth2.VerifierOption(verifier), 0, 400, "invalid_grant"},
		{"no redirect URI", func(c *oauth2.Config) { c.RedirectURL = "" }, oauth2.VerifierOption(verifier), 0, 400, "invalid_request"},
		{"another verifier", nil, oauth2.VerifierOption("nope"), 0, 400, "invalid_grant"},
		{"no verifier", nil, nil, 0, 400, "invalid_request"},
		{"too late", nil, oauth2.VerifierOption(verifier), 10 * time.Minute, 400, "invalid_grant"},
		{"another flow", nil, oauth2.SetAuthURLParam("grant_type", "password"), 0, 400, "unsupported_grant_type"},
	} {
		to, err := w.s.Authorize(ctx, c.AuthCodeURL("st", oauth2.S256ChallengeOption(verifier)), "dev")
		must(t, err)
		w.pass(tt.late)
		own := *c
		if tt.change != nil {
			tt.change(&own)
		}
		options := []oauth2.AuthCodeOption{}
		if tt.option != nil {
			options = append(options, tt.option)
		}
		_, err = own.Exchange(ctx, query(t, to).Get("code"), options...)
		t.Log(tt.name)
		wantOAuthError(t, err, tt.status, tt.want)
	}
	if got := w.s.OAuthTokens(""); len(got) != 0 {
		t.Errorf("tokens were given: %+v", got)
	}
}

func TestCodesServeOnce(t *testing.T) {
	w, c, ctx := oauthWorld(t)
	to, err := w.s.Authorize(ctx, c.AuthCodeURL("st"), "dev")
	must(t, err)
	_, err = c.Exchange(ctx, query(t, to).Get("code"))
	must(t, err)
	_, err = c.Exchange(ctx, query(t, to).Get("code"))
	wantOAuthError(t, err, 400, "invalid_grant")
}

// refresh asks for a new pair.
func refresh(ctx context.Context, c *oauth2.Config, token string) (*oauth2.Token, error) {
	return c.TokenSource(ctx, &oauth2.Token{RefreshToken: token, Expiry: time.Unix(1, 0)}).Token()
}

func TestRefreshRotatesAndReuseKillsTheFamily(t *testing.T) {
	w, c, ctx := oauthWorld(t)
	first := connect(ctx, t, w, c, "dev")
	other := connect(ctx, t, w, c, "dev")
	w.s.ExpireTokens("dev")
	_, _, err := w.bearer(first.AccessToken).Users.CurrentUser()
	wantRefusal(t, err, http.StatusUnauthorized, "Token is expired")
	second, err := refresh(ctx, c, first.RefreshToken)
	must(t, err)
	if second.AccessToken == first.AccessToken || second.RefreshToken == first.RefreshToken {
		t.Error("the pair did not change")
	}
	_, _, err = w.bearer(second.AccessToken).Users.CurrentUser()
	must(t, err)
	_, err = refresh(ctx, c, first.RefreshToken)
	wantOAuthError(t, err, 400, "invalid_grant")
	_, _, err = w.bearer(second.AccessToken).Users.CurrentUser()
	wantRefusal(t, err, http.StatusUnauthorized, "Token was revoked")
	_, err = refresh(ctx, c, second.RefreshToken)
	wantOAuthError(t, err, 400, "invalid_grant")
	_, err = refresh(ctx, c, "never-given")
	wantOAuthError(t, err, 400, "invalid_grant")
	_, err = refresh(ctx, c, other.AccessToken)
	wantOAuthError(t, err, 400, "invalid_grant")
	if _, err = refresh(ctx, c, other.RefreshToken); err != nil {
		t.Errorf("another family died too: %v", err)
	}
	_, err = refresh(ctx, &oauth2.Config{Endpoint: c.Endpoint, ClientID: "kovra", ClientSecret: "bad"}, other.RefreshToken)
	wantOAuthError(t, err, 401, "invalid_client")
}

func TestAccessTokensLiveTwoHours(t *testing.T) {
	w, c, ctx := oauthWorld(t)
	token := connect(ctx, t, w, c, "dev")
	w.pass(2*time.Hour - time.Second)
	_, _, err := w.bearer(token.AccessToken).Users.CurrentUser()
	must(t, err)
	w.pass(time.Second)
	_, _, err = w.bearer(token.AccessToken).Users.CurrentUser()
	wantRefusal(t, err, http.StatusUnauthorized, `"error":"invalid_token"`)
}

// postForm posts to an OAuth endpoint.
func (w *world) postForm(path string, v url.Values) (int, string) {
	w.t.Helper()
	resp, err := w.s.Client().PostForm("https://gitlab.example.com"+path, v)
	must(w.t, err)
	return resp.StatusCode, readAll(w.t, resp)
}

func TestRevokeEndsThePair(t *testing.T) {
	w, c, ctx := oauthWorld(t)
	client := url.Values{"client_id": {"kovra"}, "client_secret": {"app-secret"}}
	for _, by := range []string{"access", "refresh"} {
		token := connect(ctx, t, w, c, "dev")
		client.Set("token", token.AccessToken)
		if by == "refresh" {
			client.Set("token", token.RefreshToken)
		}
		if code, body := w.postForm("/oauth/revoke", client); code != http.StatusOK || body != "{}" {
			t.Errorf("revoke by %s: %d %s", by, code, body)
		}
		_, _, err := w.bearer(token.AccessToken).Users.CurrentUser()
		wantRefusal(t, err, http.StatusUnauthorized, "Token was revoked")
		_, err = refresh(ctx, c, token.RefreshToken)
		wantOAuthError(t, err, 400, "invalid_grant")
	}
	client.Set("token", "unknown")
	if code, _ := w.postForm("/oauth/revoke", client); code != http.StatusOK {
		t.Errorf("an unknown token: %d", code)
	}
	client.Set("client_secret", "x")
	if code, body := w.postForm("/oauth/revoke", client); code != http.StatusForbidden || !strings.Contains(body, "unauthorized_client") {
		t.Errorf("a stranger revokes: %d %s", code, body)
	}
	token := connect(ctx, t, w, c, "dev")
	w.s.RevokeTokens("dev")
	_, err := refresh(ctx, c, token.RefreshToken)
	wantOAuthError(t, err, 400, "invalid_grant")
	if slices.ContainsFunc(w.s.OAuthTokens("dev"), func(p gitlabsim.OAuthToken) bool { return p.Live || p.Refreshable }) {
		t.Error("a token outlived RevokeTokens")
	}
}

func TestTokenInfo(t *testing.T) {
	w, c, ctx := oauthWorld(t)
	info := func(token string) (int, map[string]any) {
		req, err := http.NewRequestWithContext(ctx, "GET", "https://gitlab.example.com/oauth/token/info", nil)
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := w.s.Client().Do(req)
		must(t, err)
		var got map[string]any
		must(t, json.Unmarshal([]byte(readAll(t, resp)), &got))
		return resp.StatusCode, got
	}
	token := connect(ctx, t, w, c, "dev")
	w.pass(time.Minute)
	code, got := info(token.AccessToken)
	me, _, err := w.as("dev").Users.CurrentUser()
	must(t, err)
	if code != 200 || got["resource_owner_id"] != float64(me.ID) || got["expires_in"] != float64(7140) {
		t.Errorf("got %d %v", code, got)
	}
	if code, got := info("x"); code != 401 || got["error"] != "invalid_token" {
		t.Errorf("got %d %v", code, got)
	}
	w.s.ExpireTokens("dev")
	if code, got := info(token.AccessToken); code != 401 || got["error_description"] != "The access token expired" {
		t.Errorf("got %d %v", code, got)
	}
	w.s.RevokeTokens("dev")
	if code, got := info(token.AccessToken); code != 401 || got["error_description"] != "The access token was revoked" {
		t.Errorf("got %d %v", code, got)
	}
}

func TestScopesReachSoFar(t *testing.T) {
	w, c, ctx := oauthWorld(t)
	for _, tt := range []struct {
		scope                  string
		profile, read, changes bool
	}{
		{"read_user", true, false, false},
		{"read_api", true, true, false},
		{"read_user read_api", true, true, false},
		{"api", true, true, true},
	} {
		own := *c
		own.Scopes = strings.Fields(tt.scope)
		lab := w.bearer(connect(ctx, t, w, &own, "dev").AccessToken)
		check := func(what string, allowed bool, err error) {
			t.Helper()
			if allowed {
				must(t, err)
				return
			}
			t.Log(tt.scope, what)
			wantRefusal(t, err, http.StatusForbidden, `"error":"insufficient_scope"`)
		}
		_, _, err := lab.Users.CurrentUser()
		check("profile", tt.profile, err)
		_, _, err = lab.Projects.GetProject(w.web.ID, nil)
		check("read", tt.read, err)
		_, _, err = lab.Pipelines.CreatePipeline(w.web.ID, &gitlab.CreatePipelineOptions{Ref: new("main")})
		check("change", tt.changes, err)
	}
}

func TestABlockedUserIsRefused(t *testing.T) {
	w, c, ctx := oauthWorld(t)
	token := connect(ctx, t, w, c, "dev")
	w.s.SetBlocked("dev", true)
	for _, lab := range []*gitlab.Client{w.as("dev"), w.bearer(token.AccessToken)} {
		_, _, err := lab.Users.CurrentUser()
		wantRefusal(t, err, http.StatusForbidden, "403 Forbidden - Your account has been blocked.")
	}
	seen, _, err := w.as("rita").Users.GetUser(userID(t, w, "dev"), nil)
	must(t, err)
	if seen.State != "blocked" {
		t.Errorf("state %q", seen.State)
	}
	w.s.SetBlocked("dev", false)
	_, _, err = w.as("dev").Users.CurrentUser()
	must(t, err)
}

func TestFaultsOfOAuth(t *testing.T) {
	w, c, ctx := oauthWorld(t)
	token := connect(ctx, t, w, c, "dev")
	w.s.Fault(gitlabsim.LoseReply("POST /oauth/token"))
	if _, err := refresh(ctx, c, token.RefreshToken); err == nil {
		t.Fatal("the answer was not lost")
	}
	if got := w.s.OAuthTokens("dev"); len(got) != 2 || got[0].Refreshable || !got[1].Live {
		t.Errorf("a lost answer must leave the new pair behind: %+v", got)
	}
	w.s.Fault(gitlabsim.Status("POST /oauth/token", 503))
	_, err := refresh(ctx, c, token.RefreshToken)
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.Response.StatusCode != 503 {
		t.Errorf("got %v", err)
	}
	if n := w.s.CallCount("POST /oauth/token"); n != 3 {
		t.Errorf("%d calls", n)
	}
}

// A person with a browser: choose who you are, look at what is asked, press a button.
//
//nolint:bodyclose // readAll closes what it has read
func TestTheAuthorizationPage(t *testing.T) {
	w, c, _ := oauthWorld(t)
	browser := w.s.Client()
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	get := func(u string, cookies ...*http.Cookie) (*http.Response, string) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", u, nil)
		must(t, err)
		for _, cookie := range cookies {
			req.AddCookie(cookie)
		}
		resp, err := browser.Do(req)
		must(t, err)
		return resp, readAll(t, resp)
	}
	ask := c.AuthCodeURL(`"><script>`, oauth2.S256ChallengeOption("v"))
	w.s.SetBlocked("eve", true)
	resp, body := get(ask)
	if resp.StatusCode != 200 || !strings.Contains(body, "@dev") || strings.Contains(body, "@eve") || strings.Contains(body, "chatops-bot") || strings.Contains(body, "<script>") {
		t.Errorf("chooser: %d %s", resp.StatusCode, body)
	}
	resp, body = get(ask + "&login=dev")
	for _, want := range []string{"@dev", "Kovra &lt;b&gt;", "Authorize", "Deny", "Access the API", "somebody else"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q:\n%s", want, body)
		}
	}
	cookies := resp.Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies %v", cookies)
	}
	if _, body = get(ask, cookies[0]); !strings.Contains(body, "@dev") || !strings.Contains(body, "Deny") {
		t.Errorf("with the cookie: %s", body)
	}
	if _, body = get(ask+"&login=", cookies[0]); !strings.Contains(body, "Who are you?") {
		t.Errorf("somebody else: %s", body)
	}
	resp, body = get(c.AuthCodeURL("x", oauth2.SetAuthURLParam("redirect_uri", "https://evil.example.com")))
	if resp.StatusCode != 400 || !strings.Contains(body, "redirect URI") {
		t.Errorf("bad redirect: %d %s", resp.StatusCode, body)
	}
	for decision, want := range map[string]string{"authorize": "code", "deny": "error"} {
		v := query(t, ask)
		v.Set("login", "dev")
		v.Set("decision", decision)
		resp, err := browser.PostForm("https://gitlab.example.com/oauth/authorize", v)
		must(t, err)
		readAll(t, resp)
		if to := resp.Header.Get("Location"); resp.StatusCode != 302 || query(t, to).Get(want) == "" || query(t, to).Get("state") != `"><script>` {
			t.Errorf("%s: %d to %s", decision, resp.StatusCode, to)
		}
	}
}

func userID(t *testing.T, w *world, name string) int64 {
	t.Helper()
	list, _, err := w.as("root").Users.ListUsers(&gitlab.ListUsersOptions{Username: new(name)})
	must(t, err)
	if len(list) != 1 {
		t.Fatalf("%d users are called %q", len(list), name)
	}
	return list[0].ID
}
