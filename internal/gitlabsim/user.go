package gitlabsim

import (
	"cmp"
	"net/http"
	"strings"
)

// BotUsername is the user whose token is Options.Token.
const BotUsername = "chatops-bot"

// User is an account. ID 0 means: the next free one.
type User struct {
	ID       int64
	Username string
	Name     string
	Email    string
	// PublicEmail is what the profile shows to everybody, and what hooks carry.
	PublicEmail string
	Token       string // PRIVATE-TOKEN or Bearer
	Admin       bool
	Bot         bool // a bot of a project or a group
	Blocked     bool // may not use the API, nor sign in
	Unconfirmed bool // never confirmed Email
}

// AddUser adds u, or replaces the user with the same username (who keeps the id if u has none).
func (s *Server) AddUser(u User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addUser(u)
}

func (s *Server) addUser(u User) *User {
	if u.Name == "" {
		u.Name = u.Username
	}
	old := s.userByName(u.Username)
	if u.ID == 0 && old != nil {
		u.ID = old.ID
	}
	if u.ID == 0 {
		u.ID = s.id("user", 1)
	}
	if old != nil {
		*old = u
	} else {
		old = &u
		s.users = append(s.users, old)
	}
	if u.Token != "" {
		s.tokens[u.Token] = old
		delete(s.revoked, u.Token)
	}
	return old
}

// AddToken gives a user one more token, as a finished OAuth dance does. Unknown users are created.
func (s *Server) AddToken(username, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[token] = s.someUser(username)
	delete(s.revoked, token)
}

// RevokeToken makes a token answer 401 with GitLab's words for a revoked one.
func (s *Server) RevokeToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, token)
	s.revoked[token] = true
}

func (s *Server) userByName(name string) *User {
	for _, u := range s.users {
		if strings.EqualFold(u.Username, name) {
			return u
		}
	}
	return nil
}

func (s *Server) userByID(id int64) *User {
	for _, u := range s.users {
		if u.ID == id {
			return u
		}
	}
	return nil
}

// someUser returns the user of that name and creates it when there is none; "" is the bot.
func (s *Server) someUser(name string) *User {
	if name == "" {
		name = BotUsername
	}
	if u := s.userByName(name); u != nil {
		return u
	}
	return s.addUser(User{Username: name, Name: name, Email: name + "@example.com"})
}

// authenticate finds the user of a request and refuses one who is blocked.
func (s *Server) authenticate(r *http.Request, t route) (*User, error) {
	u, err := s.userOfToken(r, t)
	if err != nil {
		return nil, err
	}
	if u.Blocked {
		return nil, failed(http.StatusForbidden, "403 Forbidden - Your account has been blocked.")
	}
	return u, nil
}

// userOfToken takes OAuth tokens as Bearer only, and the others in either header.
func (s *Server) userOfToken(r *http.Request, t route) (*User, error) {
	token := tokenOf(r)
	if _, isBearer := bearerOf(r); isBearer {
		if u, err := s.bearer(token, t); u != nil || err != nil {
			return u, err
		}
	}
	if s.revoked[token] {
		return nil, &apiError{http.StatusUnauthorized, object{
			"error":             "invalid_token",
			"error_description": "Token was revoked. You have to re-authorize from the user.",
		}}
	}
	if u := s.tokens[token]; u != nil {
		if s.expired(token) {
			return nil, errExpiredToken()
		}
		return u, s.reaches(token, t)
	}
	return nil, failed(http.StatusUnauthorized, "401 Unauthorized")
}

// bearerOf is the token of the Authorization header, where it counts.
func bearerOf(r *http.Request) (string, bool) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token, ok && r.Header.Get("PRIVATE-TOKEN") == ""
}

// tokenOf is what a request was sent with.
func tokenOf(r *http.Request) string {
	if token, ok := bearerOf(r); ok {
		return token
	}
	return cmp.Or(r.Header.Get("PRIVATE-TOKEN"), r.URL.Query().Get("private_token"))
}

func (s *Server) userJSON(u *User) object {
	state := "active"
	if u.Blocked {
		state = "blocked"
	}
	return object{
		"id": u.ID, "username": u.Username, "name": u.Name, "state": state, "locked": false,
		"avatar_url": s.avatar(u), "web_url": s.url + "/" + u.Username,
	}
}

func (s *Server) avatar(u *User) string {
	return s.url + "/uploads/-/system/user/avatar/" + u.Username + ".png"
}

// userFullJSON is a profile. The private e-mail address is shown to its owner and to administrators only.
func (s *Server) userFullJSON(u, viewer *User) object {
	o := s.userJSON(u)
	o["bio"], o["location"], o["public_email"], o["job_title"] = "", "", u.PublicEmail, ""
	o["bot"] = u.Bot || u.Username == BotUsername
	o["created_at"] = "2024-01-15T09:00:00.000Z"
	if viewer.ID == u.ID || viewer.Admin {
		o["email"], o["commit_email"], o["is_admin"] = u.Email, u.Email, u.Admin
		o["confirmed_at"] = "2024-01-15T09:05:00.000Z"
		if u.Unconfirmed {
			o["confirmed_at"] = nil
		}
	}
	return o
}

// userHook is the user of payloads: the address is hidden unless made public.
func (s *Server) userHook(u *User) object {
	email := cmp.Or(u.PublicEmail, "[REDACTED]")
	return object{"id": u.ID, "name": u.Name, "username": u.Username, "avatar_url": s.avatar(u), "email": email}
}

func getUser(s *Server, r *request) (reply, error) {
	return ok(s.userFullJSON(r.user, r.user)), nil
}

func getUserByID(s *Server, r *request) (reply, error) {
	id, err := r.id("user_id")
	if err != nil {
		return reply{}, err
	}
	u := s.userByID(id)
	if u == nil {
		return reply{}, failed(http.StatusNotFound, "404 User Not Found")
	}
	return ok(s.userFullJSON(u, r.user)), nil
}

func listUsers(s *Server, r *request) (reply, error) {
	username, search := r.text("username"), strings.ToLower(r.text("search"))
	list := []object{}
	for _, u := range s.users {
		if username != "" && !strings.EqualFold(u.Username, username) {
			continue
		}
		if search != "" && !strings.Contains(strings.ToLower(u.Username+" "+u.Name), search) &&
			!strings.EqualFold(u.PublicEmail, search) && (!r.user.Admin || !strings.EqualFold(u.Email, search)) {
			continue
		}
		list = append(list, s.userJSON(u))
	}
	return page(s, r, list, "")
}

func getVersion(s *Server, r *request) (reply, error) {
	return ok(object{"version": s.version + "-ee", "revision": "5f3c1a2b9d0"}), nil
}

func getMetadata(s *Server, r *request) (reply, error) {
	return ok(object{
		"version": s.version + "-ee", "revision": "5f3c1a2b9d0", "enterprise": true,
		"kas": object{"enabled": true, "externalUrl": nil, "externalK8sProxyUrl": nil, "version": s.version},
	}), nil
}

// SetBlocked blocks a user, or lets the user in again. Tokens stay: a blocked user's are refused with 403, not 401.
func (s *Server) SetBlocked(username string, blocked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.someUser(username).Blocked = blocked
}
