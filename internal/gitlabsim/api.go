package gitlabsim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Call is one request to the API that was received, faults included. Tokens are not kept.
type Call struct {
	Method string
	Route  string // "/projects/:id/pipeline"; "" when nothing lives there
	Path   string // as requested, still escaped
	Query  string
	Body   string
	User   string // "" when the token was refused
	Status int    // 0 while it runs, and when the connection was cut
	At     time.Time
}

// route is one endpoint. level is the lowest access level for endpoints below /projects/:id; 0 means whoever sees the project.
type route struct {
	method, pattern string
	level           int
	handle          func(*Server, *request) (reply, error)
}

func (t route) name() string { return t.method + " " + t.pattern }

var routes = []route{
	{"GET", "/user", 0, getUser},
	{"GET", "/users", 0, listUsers},
	{"GET", "/users/:user_id", 0, getUserByID},
	{"GET", "/personal_access_tokens/self", 0, getOwnToken},
	{"GET", "/version", 0, getVersion},
	{"GET", "/metadata", 0, getMetadata},
	{"GET", "/projects", 0, listProjects},
	{"GET", "/projects/:id", 0, getProject},
	{"GET", "/projects/:id/members/all", 0, listMembers},
	{"GET", "/projects/:id/members/all/:user_id", 0, getMemberOfAll},
	{"GET", "/projects/:id/members/:user_id", 0, getMember},
	{"GET", "/projects/:id/repository/branches", 0, listBranches},
	{"GET", "/projects/:id/repository/branches/:branch", 0, getBranch},
	{"GET", "/projects/:id/repository/tags", 0, listTags},
	{"GET", "/projects/:id/repository/tags/:tag", 0, getTag},
	{"GET", "/projects/:id/repository/commits/:sha", 0, getCommit},
	{"GET", "/projects/:id/pipelines", 0, listPipelines},
	{"GET", "/projects/:id/pipelines/latest", 0, latestPipeline},
	{"GET", "/projects/:id/pipelines/:pipeline_id", 0, getPipeline},
	{"GET", "/projects/:id/pipelines/:pipeline_id/jobs", 0, listPipelineJobs},
	{"GET", "/projects/:id/pipelines/:pipeline_id/bridges", 0, listPipelineBridges},
	{"GET", "/projects/:id/pipelines/:pipeline_id/variables", 0, listPipelineVariables},
	{"POST", "/projects/:id/pipeline", Developer, createPipeline},
	{"POST", "/projects/:id/pipelines/:pipeline_id/retry", Developer, retryPipeline},
	{"POST", "/projects/:id/pipelines/:pipeline_id/cancel", Developer, cancelPipeline},
	{"GET", "/projects/:id/jobs", 0, listJobs},
	{"GET", "/projects/:id/jobs/:job_id", 0, getJob},
	{"GET", "/projects/:id/jobs/:job_id/trace", 0, getTrace},
	{"POST", "/projects/:id/jobs/:job_id/retry", Developer, retryJob},
	{"POST", "/projects/:id/jobs/:job_id/play", Developer, playJob},
	{"POST", "/projects/:id/jobs/:job_id/cancel", Developer, cancelJob},
	{"POST", "/projects/:id/jobs/:job_id/erase", Developer, eraseJob},
	{"GET", "/projects/:id/merge_requests/:merge_request_iid", 0, getMergeRequest},
	{"GET", "/projects/:id/merge_requests/:merge_request_iid/notes", 0, listNotes},
	{"GET", "/projects/:id/merge_requests/:merge_request_iid/notes/:note_id", 0, getNote},
	{"POST", "/projects/:id/merge_requests/:merge_request_iid/notes", 0, createNote},
	{"POST", "/projects/:id/merge_requests/:merge_request_iid/discussions/:discussion_id/notes", 0, replyNote},
	{"GET", "/projects/:id/hooks", Maintainer, listHooks},
	{"POST", "/projects/:id/hooks", Maintainer, createHook},
	{"GET", "/projects/:id/hooks/:hook_id", Maintainer, getHook},
	{"PUT", "/projects/:id/hooks/:hook_id", Maintainer, editHook},
	{"DELETE", "/projects/:id/hooks/:hook_id", Maintainer, deleteHook},
	{"POST", "/projects/:id/hooks/:hook_id/test/:trigger", Maintainer, testHook},
	{"GET", "/projects/:id/hooks/:hook_id/events", Maintainer, listHookEvents},
	{"POST", "/projects/:id/hooks/:hook_id/events/:event_id/resend", Maintainer, resendHookEvent},
}

// match compares an escaped path with the pattern, segment by segment, so that group%2Fweb is one segment.
func (t route) match(path string) (map[string]string, bool) {
	want, got := strings.Split(t.pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	vars := map[string]string{}
	for i, w := range want {
		if !strings.HasPrefix(w, ":") {
			if w != got[i] {
				return nil, false
			}
			continue
		}
		value, err := url.PathUnescape(got[i])
		if err != nil || value == "" {
			return nil, false
		}
		vars[w[1:]] = value
	}
	return vars, true
}

func findRoute(method, path string) (route, map[string]string) {
	for _, t := range routes {
		if t.method != method && (t.method != http.MethodGet || method != http.MethodHead) {
			continue
		}
		if vars, found := t.match(path); found {
			return t, vars
		}
	}
	return route{}, nil
}

// request is one API request whose sender is known.
type request struct {
	vars    map[string]string
	params  object // query and body together, as GitLab merges them
	url     *url.URL
	user    *User
	token   string   // with which it was sent
	project *project // of /projects/:id/...
	level   int      // the user's access level there
}

// reply is an answer. then, if set, runs after the lock was released and gives the real answer.
type reply struct {
	code   int
	header http.Header
	body   any       // JSON, unless text is meant
	text   string    // text/plain when body is nil
	stream io.Reader // text/plain too large for text
	then   func(context.Context) (reply, error)
}

type apiError struct {
	code int
	body object
}

func (e *apiError) Error() string { return fmt.Sprintf("%d %v", e.code, e.body) }

// failed is an error that GitLab words as {"message": ...}.
func failed(code int, message any) error { return &apiError{code, object{"message": message}} }

// invalid is an error about a parameter, which GitLab words as {"error": ...}.
func invalid(message string) error { return &apiError{http.StatusBadRequest, object{"error": message}} }

func ok(body any) reply { return reply{code: http.StatusOK, body: body} }

func created(body any) reply { return reply{code: http.StatusCreated, body: body} }

func (r *request) id(name string) (int64, error) {
	n, err := strconv.ParseInt(r.vars[name], 10, 64)
	if err != nil {
		return 0, invalid(name + " is invalid")
	}
	return n, nil
}

func (r *request) text(name string) string {
	switch v := r.params[name].(type) {
	case nil:
		return ""
	case string:
		return v
	case []string:
		return v[0]
	default:
		return fmt.Sprint(v)
	}
}

// texts reads a list given as name[]=a&name[]=b, as name=a or as a JSON array.
func (r *request) texts(name string) []string {
	list := []string{}
	for _, key := range []string{name + "[]", name} {
		switch v := r.params[key].(type) {
		case string:
			list = append(list, v)
		case []string:
			list = append(list, v...)
		case []any:
			for _, item := range v {
				list = append(list, fmt.Sprint(item))
			}
		}
	}
	return list
}

func (r *request) flag(name string) bool {
	v := strings.ToLower(r.text(name))
	return v == "true" || v == "1"
}

func (r *request) number(name string, otherwise int) int {
	n, err := strconv.Atoi(r.text(name))
	if err != nil {
		return otherwise
	}
	return n
}

func readParams(r *http.Request, body []byte) (object, error) {
	params := object{}
	add := func(values url.Values) {
		for key, v := range values {
			if len(v) == 1 && !strings.HasSuffix(key, "[]") {
				params[key] = v[0]
			} else {
				params[key] = v
			}
		}
	}
	add(r.URL.Query())
	if len(bytes.TrimSpace(body)) == 0 {
		return params, nil
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, invalid("The provided params are invalid.")
		}
		add(form)
		return params, nil
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&params); err != nil {
		return nil, invalid("The provided content-type 'application/json' is not valid JSON.")
	}
	return params, nil
}

// ServeHTTP answers the REST API below /api/v4, OAuth below /oauth, and small pages for people elsewhere.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, isAPI := strings.CutPrefix(r.URL.EscapedPath(), "/api/v4")
	switch {
	case s.isDown():
		writePage(w, http.StatusServiceUnavailable, "GitLab is not responding (503)", "<p>We are working on it. Please try again later.</p>")
	case isAPI:
		s.serveAPI(w, r, path)
	case strings.HasPrefix(r.URL.Path, "/oauth/"):
		s.serveOAuth(w, r)
	default:
		s.servePage(w, r)
	}
}

func (s *Server) isDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request, path string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client went away while it sent
	}
	t, vars := findRoute(r.Method, path)
	call := s.note(Call{Method: r.Method, Route: t.pattern, Path: path, Query: r.URL.RawQuery, Body: string(body)})
	fault := s.pickFault(t)
	if fault != nil && !fault.act {
		s.endCall(call, fault.before(w, r, s.now))
		if fault.kind != "delay" {
			return
		}
	}
	out := s.answer(r, t, vars, body, call)
	if fault != nil && fault.act {
		s.endCall(call, fault.after(w))
		return
	}
	s.endCall(call, out.code)
	writeReply(w, out)
}

// answer runs the handler of a route under the lock and, when it asks for that, its second half without.
func (s *Server) answer(r *http.Request, t route, vars map[string]string, body []byte, call int) reply {
	var out reply
	var err error
	s.act(func() {
		var q *request
		if q, err = s.open(r, t, vars, body); err != nil {
			return
		}
		s.calls[call].User = q.user.Username
		out, err = t.handle(s, q)
	})
	if err == nil && out.then != nil {
		out, err = out.then(r.Context())
	}
	if err == nil {
		return out
	}
	if refused, isAPI := errors.AsType[*apiError](err); isAPI {
		return reply{code: refused.code, body: refused.body}
	}
	return reply{code: http.StatusInternalServerError, body: object{"message": "500 Internal Server Error"}}
}

// open checks who asks and whether they may, in GitLab's order: token, project, role.
func (s *Server) open(r *http.Request, t route, vars map[string]string, body []byte) (*request, error) {
	user, err := s.authenticate(r, t)
	if err != nil {
		return nil, err
	}
	if t.handle == nil {
		return nil, &apiError{http.StatusNotFound, object{"error": "404 Not Found"}}
	}
	params, err := readParams(r, body)
	if err != nil {
		return nil, err
	}
	q := &request{vars: vars, params: params, url: r.URL, user: user, token: tokenOf(r)}
	if !strings.HasPrefix(t.pattern, "/projects/:id") {
		return q, nil
	}
	q.project = s.projectByKey(vars["id"])
	if q.project == nil || s.level(user, q.project) < 0 {
		return nil, failed(http.StatusNotFound, "404 Project Not Found")
	}
	q.level = s.level(user, q.project)
	part, _, _ := strings.Cut(strings.TrimPrefix(t.pattern, "/projects/:id/"), "/")
	sees := q.project.sees(q.level, part)
	if part == "merge_requests" && !sees {
		return nil, failed(http.StatusNotFound, "404 Not found")
	}
	if q.level < t.level || !sees {
		return nil, failed(http.StatusForbidden, "403 Forbidden")
	}
	return q, nil
}

func (s *Server) projectByKey(key string) *project {
	id, err := strconv.ParseInt(key, 10, 64)
	for _, p := range s.projects {
		if err == nil && p.ID == id || err != nil && strings.EqualFold(p.Path, key) {
			return p
		}
	}
	return nil
}

func writeReply(w http.ResponseWriter, out reply) {
	maps.Copy(w.Header(), out.header)
	if out.code == http.StatusNoContent {
		w.WriteHeader(out.code)
		return
	}
	if out.stream != nil {
		writeStream(w, out)
		return
	}
	body := []byte(out.text)
	contentType := "text/plain"
	if out.body != nil {
		contentType = "application/json"
		var err error
		if body, err = json.Marshal(out.body); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(out.code)
	_, _ = w.Write(body) // the client went away; there is nobody to tell
}

// taker is a response writer that reads a body when somebody wants it, so that nobody has to hold all of it.
type taker interface{ take(body io.Reader) }

func writeStream(w http.ResponseWriter, out reply) {
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(out.code)
	if t, lazy := w.(taker); lazy {
		t.take(out.stream)
		return
	}
	_, _ = io.Copy(w, out.stream) // the client went away; there is nobody to tell
}

func (s *Server) note(c Call) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.At = s.now()
	s.calls = append(s.calls, c)
	return len(s.calls) - 1
}

func (s *Server) endCall(i, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[i].Status = status
}

// Calls returns all API requests so far, oldest first.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// CallCount counts the requests to one endpoint, named as in "POST /projects/:id/pipeline".
func (s *Server) CallCount(endpoint string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.calls {
		if c.Method+" "+c.Route == endpoint {
			n++
		}
	}
	return n
}
