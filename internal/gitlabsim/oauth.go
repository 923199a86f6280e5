package gitlabsim

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	codeLives  = 10 * time.Minute
	tokenLives = 2 * time.Hour
)

// oauthScopes are the scopes that the simulator knows.
var oauthScopes = []string{"api", "read_api", "read_user", "openid", "profile", "email"}

// Application is an OAuth application. Scopes "" means api.
type Application struct {
	ClientID, Secret string
	Name             string   // shown to people; "" is the client id
	RedirectURIs     []string // compared letter by letter
	Scopes           []string // the most that may be asked for
	RequirePKCE      bool     // refuse to authorize without a code challenge, as GitLab does for applications that register themselves
}

// OAuthToken is a pair of tokens that was given out.
type OAuthToken struct {
	Username, ClientID string
	Access, Refresh    string
	Scopes             []string
	Created, Expires   time.Time // of the access token; a refresh token has no end
	Live               bool      // the access token still works
	Refreshable        bool      // the refresh token still works
}

// oauthGrant is a code that waits to be exchanged, or was.
type oauthGrant struct {
	app               *Application
	user              *User
	code, redirect    string
	scopes            []string
	challenge, method string
	created           time.Time
	used              bool
}

// oauthPair is one access token and the refresh token that goes with it. All pairs that came out of one code are a family.
type oauthPair struct {
	app             *Application
	user            *User
	family          int64
	access, refresh string
	scopes          []string
	created         time.Time
	expires         time.Time
	revoked         bool
	rotated         bool // its refresh token was used
}

type oauthState struct {
	apps   []*Application
	grants []*oauthGrant
	pairs  []*oauthPair
}

// AddApplication registers an OAuth application, or replaces the one with the same client id.
func (s *Server) AddApplication(a Application) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(a.Scopes) == 0 {
		a.Scopes = []string{"api"}
	}
	if a.Name == "" {
		a.Name = a.ClientID
	}
	a.RedirectURIs, a.Scopes = slices.Clone(a.RedirectURIs), slices.Clone(a.Scopes)
	if old := s.application(a.ClientID); old != nil {
		*old = a
		return
	}
	s.oauth.apps = append(s.oauth.apps, &a)
}

func (s *Server) application(clientID string) *Application {
	for _, a := range s.oauth.apps {
		if a.ClientID == clientID {
			return a
		}
	}
	return nil
}

// OAuthTokens returns every pair that a user was ever given, oldest first, dead ones too, so that a test can look for them where they
// must not be; "" is all users.
func (s *Server) OAuthTokens(username string) []OAuthToken {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []OAuthToken{}
	for _, p := range s.oauth.pairs {
		if username == "" || strings.EqualFold(p.user.Username, username) {
			list = append(list, OAuthToken{
				Username: p.user.Username, ClientID: p.app.ClientID, Access: p.access, Refresh: p.refresh, Scopes: slices.Clone(p.scopes),
				Created: p.created, Expires: p.expires, Live: !p.revoked && p.expires.After(s.now()), Refreshable: !p.revoked,
			})
		}
	}
	return list
}

// ExpireTokens lets the access tokens of a user run out now. Their refresh tokens still work.
func (s *Server) ExpireTokens(username string) {
	s.eachPair(username, func(p *oauthPair) {
		if p.expires.After(s.now()) {
			p.expires = s.now()
		}
	})
}

// RevokeTokens takes all tokens of a user back, as the user does with the button Revoke among the authorized applications.
func (s *Server) RevokeTokens(username string) {
	s.eachPair(username, func(p *oauthPair) { p.revoked = true })
}

func (s *Server) eachPair(username string, f func(*oauthPair)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.oauth.pairs {
		if strings.EqualFold(p.user.Username, username) {
			f(p)
		}
	}
}

// Authorize does what a person does in a browser: it follows the URL of an authorization request, signed in as username, presses
// Authorize, and returns where GitLab redirects to. The error tells what GitLab's page would have said instead.
func (s *Server) Authorize(ctx context.Context, authorizeURL, username string) (redirectURL string, err error) {
	return s.decide(ctx, authorizeURL, username, true)
}

// Deny is Authorize with the other button.
func (s *Server) Deny(ctx context.Context, authorizeURL, username string) (redirectURL string, err error) {
	return s.decide(ctx, authorizeURL, username, false)
}

func (s *Server) decide(ctx context.Context, authorizeURL, username string, allowed bool) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	u, err := url.Parse(authorizeURL)
	if err != nil || !strings.HasSuffix(u.Path, "/oauth/authorize") {
		return "", fmt.Errorf("gitlabsim: %q is no authorization request", authorizeURL)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	user := s.userByName(username)
	if user == nil {
		return "", fmt.Errorf("gitlabsim: nobody is called %q", username)
	}
	q, problem := s.preauthorize(u.Query(), user)
	if problem != "" {
		return "", fmt.Errorf("gitlabsim: %s", problem)
	}
	return s.conclude(q, user, allowed), nil
}

// authorization is an authorization request that was found good.
type authorization struct {
	app               *Application
	redirect, state   string
	scopes            []string
	challenge, method string
}

// preauthorize checks an authorization request of a user who is signed in; nil is one who is not yet. The problem is what the page says.
func (s *Server) preauthorize(v url.Values, user *User) (a authorization, problem string) {
	a = authorization{
		app: s.application(v.Get("client_id")), redirect: v.Get("redirect_uri"), state: v.Get("state"),
		scopes: strings.Fields(v.Get("scope")), challenge: v.Get("code_challenge"), method: v.Get("code_challenge_method"),
	}
	if a.app != nil && len(a.scopes) == 0 {
		a.scopes = a.app.Scopes[:1]
	}
	if a.challenge != "" && a.method == "" {
		a.method = "plain"
	}
	switch {
	case v.Get("client_id") == "":
		problem = "Missing required parameter: client_id."
	case a.app == nil:
		problem = "Client authentication failed due to unknown client, no client authentication included, or unsupported authentication method."
	case !slices.Contains(a.app.RedirectURIs, a.redirect):
		problem = "The redirect URI included is not valid."
	case v.Get("response_type") == "":
		problem = "Missing required parameter: response_type."
	case v.Get("response_type") != "code":
		problem = "The authorization server does not support this response type."
	case !subset(a.scopes, a.app.Scopes):
		problem = "The requested scope is invalid, unknown, or malformed."
	case a.challenge == "" && a.app.RequirePKCE:
		problem = "Missing required parameter: code_challenge."
	case a.challenge != "" && a.method != "S256" && a.method != "plain":
		problem = "The code challenge method must be plain or S256."
	case user != nil && user.Blocked:
		problem = "Your account has been blocked."
	case user != nil && user.Unconfirmed:
		problem = "Verify the email address in your account profile before you sign in."
	}
	return a, problem
}

func subset(some, all []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) || !slices.Contains(oauthScopes, s) })
}

// conclude makes the redirect of a decision, and the code.
func (s *Server) conclude(a authorization, user *User, allowed bool) string {
	u, err := url.Parse(a.redirect)
	if err != nil {
		return a.redirect
	}
	q := u.Query()
	if allowed {
		g := &oauthGrant{
			app: a.app, user: user, code: s.secret(), redirect: a.redirect, scopes: a.scopes, challenge: a.challenge, method: a.method,
			created: s.now(),
		}
		s.oauth.grants = append(s.oauth.grants, g)
		q.Set("code", g.code)
	} else {
		q.Set("error", "access_denied")
		q.Set("error_description", "The resource owner or authorization server denied the request.")
	}
	if a.state != "" {
		q.Set("state", a.state)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// secret returns a fresh 64 digit secret.
func (s *Server) secret() string {
	s.counters["secret"]++
	sum := sha256.Sum256(fmt.Appendf(nil, "secret %d/%d/%d", s.born, s.idBase, s.counters["secret"]))
	return hex.EncodeToString(sum[:])
}

// proves says whether a verifier belongs to the challenge of a grant.
func (g *oauthGrant) proves(verifier string) bool {
	if g.challenge == "" {
		return true
	}
	if g.method == "plain" {
		return verifier == g.challenge
	}
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:]) == g.challenge
}

func (s *Server) issue(app *Application, user *User, scopes []string, family int64) *oauthPair {
	p := &oauthPair{
		app: app, user: user, family: family, access: s.secret(), refresh: s.secret(), scopes: scopes, created: s.now(),
		expires: s.now().Add(tokenLives),
	}
	s.oauth.pairs = append(s.oauth.pairs, p)
	return p
}

// pairOf finds the pair that a token belongs to.
func (s *Server) pairOf(token string) *oauthPair {
	for _, p := range s.oauth.pairs {
		if token != "" && (p.access == token || p.refresh == token) {
			return p
		}
	}
	return nil
}

func (s *Server) revokeFamily(family int64) {
	for _, p := range s.oauth.pairs {
		if p.family == family {
			p.revoked = true
		}
	}
}
