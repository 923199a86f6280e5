package slacksim

import (
	"net/http"
	"strings"
)

// scopeConnect is what an app-level token needs to open connections.
const scopeConnect = "connections:write"

// userAuthTest answers auth.test of a user's token: without the id of a bot, by which the two kinds are told apart. nil: it
// is another token or another method.
func (s *Server) userAuthTest(r *http.Request, method string) reply {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if method != "auth.test" || s.o.UserToken == "" || token != s.o.UserToken {
		return nil
	}
	name := s.o.UserTokenOf
	if u := s.users[name]; u != nil {
		name = u.Name
	}
	return ok(reply{
		"url": "https://" + TeamDomain + ".slack.com/", "team": "Sim", "user": name, "team_id": TeamID, "user_id": s.o.UserTokenOf,
		"is_enterprise_install": false,
	})
}
