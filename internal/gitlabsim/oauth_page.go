package gitlabsim

import (
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// loginCookie remembers who signed in with the browser.
const loginCookie = "_gitlabsim_user"

// scopeWords say what a scope lets an application do.
var scopeWords = map[string]string{
	"api":       "Access the API on your behalf: read and write to everything that you can reach",
	"read_api":  "Read the API on your behalf",
	"read_user": "Read your profile: user name, public e-mail and full name",
	"openid":    "Sign you in with OpenID Connect",
	"profile":   "Read your name and picture with OpenID Connect",
	"email":     "Read your primary e-mail with OpenID Connect",
}

const oauthStyle = `<style>form{display:inline}button,.who{font:inherit;padding:.5rem 1rem;border:1px solid #bfbfc3;border-radius:4px;
background:#fff;color:#222;cursor:pointer;margin:0 .5rem .5rem 0}button.yes{background:#1f75cb;border-color:#1068bf;color:#fff}
.card{border:1px solid #dcdcde;border-radius:8px;padding:1.5rem;max-width:36rem}ul{padding-left:1.2rem}a{color:#1f75cb}</style>`

// serveAuthorize shows who is signed in and asks; POST is the answer. The user is the one of the query's login, else of the cookie, else
// one to choose. It returns the status.
func (s *Server) serveAuthorize(w http.ResponseWriter, r *http.Request) int {
	v := r.URL.Query()
	if r.Method == http.MethodPost {
		sent, err := form(r)
		if err != nil {
			writePage(w, http.StatusBadRequest, "An error has occurred", "")
			return http.StatusBadRequest
		}
		v = sent
	} else if r.Method != http.MethodGet {
		writePage(w, http.StatusNotFound, "404: Page Not Found", "")
		return http.StatusNotFound
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	user := s.signedIn(r, v)
	a, problem := s.preauthorize(v, user)
	switch {
	case problem != "":
		writePage(w, http.StatusBadRequest, "An error has occurred", "<p>"+html.EscapeString(problem)+"</p>")
		return http.StatusBadRequest
	case user == nil:
		writePage(w, http.StatusOK, "Sign in to the simulated GitLab", s.chooser(v))
		return http.StatusOK
	case r.Method == http.MethodPost:
		http.Redirect(w, r, s.conclude(a, user, v.Get("decision") == "authorize"), http.StatusFound) //nolint:gosec // one of the application's own redirect URIs
		return http.StatusFound
	}
	http.SetCookie(w, &http.Cookie{Name: loginCookie, Value: user.Username, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}) //nolint:gosec // a simulator is reached by plain HTTP
	writePage(w, http.StatusOK, "Authorize "+a.app.Name+" to use your account?", s.consent(a, user, v))
	return http.StatusOK
}

// signedIn finds out who asks; nil is nobody yet.
func (s *Server) signedIn(r *http.Request, v url.Values) *User {
	if v.Has("login") {
		return s.userByName(v.Get("login"))
	}
	if c, err := r.Cookie(loginCookie); err == nil {
		return s.userByName(c.Value)
	}
	return nil
}

// chooser lists the people who could sign in.
func (s *Server) chooser(v url.Values) string {
	var b strings.Builder
	b.WriteString(oauthStyle + `<div class="card"><p>Who are you?</p>`)
	for _, u := range s.users {
		if u.Username == BotUsername || u.Bot || u.Blocked {
			continue
		}
		fmt.Fprintf(&b, `<form method="get" action="/oauth/authorize">%s<button name="login" value="%s">%s (@%s)</button></form>`,
			hiddenFields(v), html.EscapeString(u.Username), html.EscapeString(u.Name), html.EscapeString(u.Username))
	}
	return b.String() + "</div>"
}

func (s *Server) consent(a authorization, user *User, v url.Values) string {
	var b strings.Builder
	fmt.Fprintf(&b, `%s<div class="card"><p>You are signed in as <strong>%s</strong> (@%s).</p><p>An application called %s asks to:</p><ul>`,
		oauthStyle, html.EscapeString(user.Name), html.EscapeString(user.Username), html.EscapeString(a.app.Name))
	for _, scope := range a.scopes {
		fmt.Fprintf(&b, "<li>%s <code>(%s)</code></li>", scopeWords[scope], scope)
	}
	fmt.Fprintf(&b, "</ul><p>You will be sent to %s.</p>", html.EscapeString(a.redirect))
	fields := hiddenFields(v) + `<input type="hidden" name="login" value="` + html.EscapeString(user.Username) + `">`
	fmt.Fprintf(&b, `<form method="post" action="/oauth/authorize">%s<button class="yes" name="decision" value="authorize">Authorize</button>`+
		`<button name="decision" value="deny">Deny</button></form>`, fields)
	other := maps.Clone(v)
	other.Set("login", "")
	return b.String() + "<p>" + link("/oauth/authorize?"+other.Encode(), "Sign in as somebody else") + "</p></div>"
}

// hiddenFields carries an authorization request through a form.
func hiddenFields(v url.Values) string {
	var b strings.Builder
	keys := []string{}
	for key := range v {
		if key != "login" && key != "decision" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		fmt.Fprintf(&b, `<input type="hidden" name="%s" value="%s">`, html.EscapeString(key), html.EscapeString(v.Get(key)))
	}
	return b.String()
}
