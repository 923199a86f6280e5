package gitlabsim

import (
	"net/http"
	"slices"
	"time"
)

// tokenFacts is what GitLab knows of a personal, project or group access token beside whose it is.
type tokenFacts struct {
	id      int64
	name    string
	created time.Time
	expires time.Time // midnight UTC of the day on which it stops to work; zero: never
	scopes  []string
}

// Token is an access token as its owner can see it.
type Token struct {
	Name string // "": a name made of the user's
	// Expires is the day on which it stops to work, at midnight UTC; zero: never.
	Expires time.Time
	Scopes  []string // nil: api
}

// DescribeToken says what a token that somebody has is like. A token that was not described never expires.
func (s *Server) DescribeToken(token string, t Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.factsOf(token)
	if t.Name != "" {
		f.name = t.Name
	}
	if t.Scopes != nil {
		f.scopes = slices.Clone(t.Scopes)
	}
	f.expires = time.Time{}
	if !t.Expires.IsZero() {
		f.expires = t.Expires.UTC().Truncate(24 * time.Hour)
	}
}

// factsOf returns the facts of a token, made up if nobody described it.
func (s *Server) factsOf(token string) *tokenFacts {
	if s.facts[token] == nil {
		name := "token"
		if u := s.tokens[token]; u != nil {
			name = u.Username
		}
		s.facts[token] = &tokenFacts{id: s.id("token", 501), name: name, created: s.now(), scopes: []string{"api"}}
	}
	return s.facts[token]
}

// expired reports whether a token's day has come.
func (s *Server) expired(token string) bool {
	f := s.facts[token]
	return f != nil && !f.expires.IsZero() && !s.now().Before(f.expires)
}

func errExpiredToken() error {
	return &apiError{http.StatusUnauthorized, object{
		"error":             "invalid_token",
		"error_description": "Token is expired. You can either do re-authorization or token refresh.",
	}}
}

// getOwnToken is the self-inform endpoint. It knows personal, project and group access tokens; an OAuth token is none.
func getOwnToken(s *Server, r *request) (reply, error) {
	if s.tokens[r.token] == nil {
		return reply{}, failed(http.StatusNotFound, "404 Not Found")
	}
	f := s.factsOf(r.token)
	var expires any
	if !f.expires.IsZero() {
		expires = f.expires.Format(time.DateOnly)
	}
	return ok(object{
		"id": f.id, "name": f.name, "description": nil, "revoked": false, "active": true, "scopes": f.scopes, "user_id": r.user.ID,
		"created_at": restTime(f.created), "last_used_at": restTime(s.now()), "expires_at": expires,
	}), nil
}
