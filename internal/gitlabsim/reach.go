package gitlabsim

import (
	"net/http"
	"slices"
	"strings"
)

// reaches refuses what the scopes of a personal, project or group access token do not cover, in the words that GitLab has for
// OAuth tokens too. What a token is like its owner may always ask (lib/api/personal_access_tokens/self_information.rb).
func (s *Server) reaches(token string, t route) error {
	f := s.facts[token]
	if f == nil || t.pattern == "/personal_access_tokens/self" {
		return nil
	}
	allowed := scopesFor(t)
	if slices.ContainsFunc(f.scopes, func(scope string) bool { return slices.Contains(allowed, scope) }) {
		return nil
	}
	return &apiError{http.StatusForbidden, object{
		"error": "insufficient_scope", "scope": strings.Join(allowed, " "),
		"error_description": "The request requires higher privileges than provided by the access token.",
	}}
}

// scopesFor are those of which one is enough for a route.
func scopesFor(t route) []string {
	if t.method != http.MethodGet {
		return []string{"api"}
	}
	if t.pattern == "/user" || t.pattern == "/version" || strings.HasPrefix(t.pattern, "/users") {
		return []string{"api", "read_api", "read_user"}
	}
	return []string{"api", "read_api"}
}

// SetVersion changes which GitLab the simulator says it is: "16.2.0". What it does stays as it is.
func (s *Server) SetVersion(v string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version = v
}

// SetHookVerification switches a hook's check of certificates, "Enable SSL verification", on or off by hand.
func (s *Server) SetHookVerification(id int64, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.findHook(id); h != nil {
		h.verifyTLS = on
	}
}
