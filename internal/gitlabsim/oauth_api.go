package gitlabsim

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// oauthError is a refusal in the words of RFC 6749.
func oauthError(code int, name, description string) error {
	return &apiError{code, object{"error": name, "error_description": description}}
}

func badGrant() error {
	return oauthError(http.StatusBadRequest, "invalid_grant", "The provided authorization grant is invalid, expired, revoked, does not "+
		"match the redirection URI used in the authorization request, or was issued to another client.")
}

func badClient() error {
	return oauthError(http.StatusUnauthorized, "invalid_client", "Client authentication failed due to unknown client, no client "+
		"authentication included, or unsupported authentication method.")
}

func missing(name string) error {
	return oauthError(http.StatusBadRequest, "invalid_request", "Missing required parameter: "+name+".")
}

// serveOAuth answers what lies below /oauth. Requests are noted without what they carry: that is secret.
func (s *Server) serveOAuth(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	call := s.note(Call{Method: r.Method, Route: path, Path: path})
	fault := s.pickFault(route{method: r.Method, pattern: path})
	if fault != nil && !fault.act {
		s.endCall(call, fault.before(w, r, s.now))
		if fault.kind != "delay" {
			return
		}
	}
	if path == "/oauth/authorize" {
		s.endCall(call, s.serveAuthorize(w, r))
		return
	}
	out := s.answerOAuth(r, path)
	if fault != nil && fault.act {
		s.endCall(call, fault.after(w))
		return
	}
	s.endCall(call, out.code)
	w.Header().Set("Cache-Control", "no-store")
	writeReply(w, out)
}

func (s *Server) answerOAuth(r *http.Request, path string) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out reply
	var err error
	switch r.Method + " " + path {
	case "POST /oauth/token":
		out, err = s.tokenEndpoint(r)
	case "POST /oauth/revoke":
		out, err = s.revokeEndpoint(r)
	case "GET /oauth/token/info":
		out, err = s.tokenInfo(r)
	default:
		err = &apiError{http.StatusNotFound, object{"error": "404 Not Found"}}
	}
	if refused, isAPI := err.(*apiError); isAPI { //nolint:errorlint // made above, never wrapped
		return reply{code: refused.code, body: refused.body}
	}
	return out
}

// form reads the parameters of an OAuth request from its body alone: what is secret has no place in a URL.
func form(r *http.Request) (url.Values, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return nil, missing("grant_type")
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		r.Body = http.NoBody
		params, err := readParams(r, body)
		if err != nil {
			return nil, err
		}
		q, v := &request{params: params}, url.Values{}
		for key := range params {
			v.Set(key, q.text(key))
		}
		return v, nil
	}
	v, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, oauthError(http.StatusBadRequest, "invalid_request", "The request is malformed.")
	}
	return v, nil
}

// client finds the application of a request by Basic authentication or by its parameters. Its secret must be right.
func (s *Server) client(r *http.Request, v url.Values) (*Application, error) {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = v.Get("client_id"), v.Get("client_secret")
	}
	a := s.application(id)
	if a == nil || secret != a.Secret {
		return nil, badClient()
	}
	return a, nil
}

func (s *Server) tokenEndpoint(r *http.Request) (reply, error) {
	v, err := form(r)
	if err != nil {
		return reply{}, err
	}
	kind := v.Get("grant_type")
	if kind == "" {
		return reply{}, missing("grant_type")
	}
	if kind != "authorization_code" && kind != "refresh_token" {
		return reply{}, oauthError(http.StatusBadRequest, "unsupported_grant_type",
			"The authorization grant type is not supported by the authorization server.")
	}
	app, err := s.client(r, v)
	if err != nil {
		return reply{}, err
	}
	var p *oauthPair
	if kind == "refresh_token" {
		p, err = s.refresh(app, v)
	} else {
		p, err = s.exchange(app, v)
	}
	if err != nil {
		return reply{}, err
	}
	return ok(object{
		"access_token": p.access, "token_type": "Bearer", "expires_in": int(tokenLives / time.Second), "refresh_token": p.refresh,
		"scope": strings.Join(p.scopes, " "), "created_at": p.created.Unix(),
	}), nil
}

// exchange turns a code into the first pair of a family. A code serves once.
func (s *Server) exchange(app *Application, v url.Values) (*oauthPair, error) {
	for _, name := range []string{"code", "redirect_uri"} {
		if v.Get(name) == "" {
			return nil, missing(name)
		}
	}
	var g *oauthGrant
	for _, known := range s.oauth.grants {
		if known.code == v.Get("code") {
			g = known
		}
	}
	if g != nil && g.challenge != "" && v.Get("code_verifier") == "" {
		return nil, missing("code_verifier")
	}
	if g == nil || g.used || g.app != app || g.redirect != v.Get("redirect_uri") || !g.proves(v.Get("code_verifier")) ||
		s.now().Sub(g.created) >= codeLives {
		return nil, badGrant()
	}
	g.used = true
	return s.issue(app, g.user, g.scopes, s.id("family", 1)), nil
}

// refresh gives a new pair for an old one, which is dead from then on. Who comes with a refresh token that was used already has stolen
// it, or was robbed: then the whole family dies.
func (s *Server) refresh(app *Application, v url.Values) (*oauthPair, error) {
	if v.Get("refresh_token") == "" {
		return nil, missing("refresh_token")
	}
	old := s.pairOf(v.Get("refresh_token"))
	switch {
	case old == nil, old.refresh != v.Get("refresh_token"), old.app != app:
		return nil, badGrant()
	case old.rotated:
		s.revokeFamily(old.family)
		return nil, badGrant()
	case old.revoked:
		return nil, badGrant()
	}
	old.revoked, old.rotated = true, true
	return s.issue(app, old.user, old.scopes, old.family), nil
}

// revokeEndpoint ends the pair that a token belongs to. A token that nobody knows is as good as revoked.
func (s *Server) revokeEndpoint(r *http.Request) (reply, error) {
	v, err := form(r)
	if err != nil {
		return reply{}, err
	}
	app, err := s.client(r, v)
	if err != nil {
		return reply{}, oauthError(http.StatusForbidden, "unauthorized_client", "You are not authorized to revoke this token")
	}
	if p := s.pairOf(v.Get("token")); p != nil {
		if p.app != app {
			return reply{}, oauthError(http.StatusForbidden, "unauthorized_client", "You are not authorized to revoke this token")
		}
		p.revoked = true
	}
	return ok(object{}), nil
}

func (s *Server) tokenInfo(r *http.Request) (reply, error) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	p := s.pairOf(token)
	switch {
	case p == nil || p.access != token:
		return reply{}, oauthError(http.StatusUnauthorized, "invalid_token", "The access token is invalid")
	case p.revoked:
		return reply{}, oauthError(http.StatusUnauthorized, "invalid_token", "The access token was revoked")
	case !p.expires.After(s.now()):
		return reply{}, oauthError(http.StatusUnauthorized, "invalid_token", "The access token expired")
	}
	left := int(p.expires.Sub(s.now()) / time.Second)
	return ok(object{
		"resource_owner_id": p.user.ID, "scope": p.scopes, "scopes": p.scopes, "expires_in": left, "expires_in_seconds": left,
		"application": object{"uid": p.app.ClientID}, "created_at": p.created.Unix(),
	}), nil
}

// bearer finds the user of an OAuth access token, if it is one, and checks that its scopes reach as far as the endpoint.
func (s *Server) bearer(token string, t route) (*User, error) {
	p := s.pairOf(token)
	if p == nil || p.access != token {
		return nil, nil //nolint:nilnil // not an OAuth token: somebody else's business
	}
	switch {
	case p.revoked:
		return nil, oauthError(http.StatusUnauthorized, "invalid_token", "Token was revoked. You have to re-authorize from the user.")
	case !p.expires.After(s.now()):
		return nil, oauthError(http.StatusUnauthorized, "invalid_token",
			"Token is expired. You can either do re-authorization or token refresh.")
	}
	allowed := []string{"api"}
	if t.method == http.MethodGet {
		allowed = append(allowed, "read_api")
		if t.pattern == "/user" || strings.HasPrefix(t.pattern, "/users") {
			allowed = append(allowed, "read_user")
		}
	}
	if slices.ContainsFunc(p.scopes, func(scope string) bool { return slices.Contains(allowed, scope) }) {
		return p.user, nil
	}
	return nil, &apiError{http.StatusForbidden, object{
		"error": "insufficient_scope", "scope": strings.Join(allowed, " "),
		"error_description": "The request requires higher privileges than provided by the access token.",
	}}
}
