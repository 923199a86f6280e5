package gitlabsim

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// hookEvents are the *_events flags of a project hook.
var hookEvents = []string{
	"push_events", "tag_push_events", "issues_events", "confidential_issues_events", "note_events", "confidential_note_events",
	"merge_requests_events", "job_events", "pipeline_events", "wiki_page_events", "deployment_events", "releases_events",
	"milestone_events", "feature_flag_events", "emoji_events", "resource_access_token_events", "resource_deploy_token_events",
	"repository_update_events", "vulnerability_events",
}

const (
	backoffAfter  = 4  // failures in a row before a hook rests
	disabledAfter = 40 // failures in a row before it is switched off
	maxBackoff    = 24 * time.Hour
)

// Hook is a project webhook. Events holds the flags that are on, by their REST names ("pipeline_events").
type Hook struct {
	ID, ProjectID  int64
	URL, Name      string
	Token          string // sent as X-Gitlab-Token
	SigningToken   string // "whsec_" and 32 bytes in base64; signs deliveries
	Events         map[string]bool
	AlertStatus    string // executable, temporarily_disabled or disabled
	DisabledUntil  time.Time
	RecentFailures int
}

type hook struct {
	Hook
	description, branchFilter string
	verifyTLS                 bool
	created                   time.Time
	backoffs                  int
}

// AddHook adds a hook as if a Maintainer had done it by hand and returns its id. Without Events it gets push, tag, pipeline, job and
// merge request events.
func (s *Server) AddHook(projectID int64, k Hook) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.mustProject(projectID)
	if k.Events == nil {
		k.Events = map[string]bool{
			"push_events": true, "tag_push_events": true, "pipeline_events": true, "job_events": true, "merge_requests_events": true,
		}
	}
	k.Events = maps.Clone(k.Events)
	return s.addHook(p, k).ID
}

func (s *Server) addHook(p *project, k Hook) *hook {
	k.ID, k.ProjectID = s.id("hook", 11), p.ID
	h := &hook{Hook: k, verifyTLS: true, created: s.now(), branchFilter: ""}
	p.hooks = append(p.hooks, h)
	return h
}

// Hooks returns the hooks of a project with their secrets.
func (s *Server) Hooks(projectID int64) []Hook {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []Hook{}
	p := s.findProject(projectID)
	if p == nil {
		return list
	}
	for _, h := range p.hooks {
		k := h.Hook
		k.Events, k.AlertStatus = maps.Clone(h.Events), h.alert(s.now())
		list = append(list, k)
	}
	return list
}

func (s *Server) findHook(id int64) *hook {
	for _, p := range s.projects {
		for _, h := range p.hooks {
			if h.ID == id {
				return h
			}
		}
	}
	return nil
}

func (h *hook) alert(now time.Time) string {
	switch {
	case h.RecentFailures >= disabledAfter:
		return "disabled"
	case h.DisabledUntil.After(now):
		return "temporarily_disabled"
	default:
		return "executable"
	}
}

// record counts an answer: from the fourth failure in a row on the hook rests for a minute, then two, up to a day; the fortieth
// switches it off. One success forgets all. A test that fails while the hook rests or is off counts for nothing.
func (h *hook) record(success bool, now time.Time) {
	if success {
		h.RecentFailures, h.backoffs, h.DisabledUntil = 0, 0, time.Time{}
		return
	}
	if h.alert(now) != "executable" {
		return
	}
	h.RecentFailures++
	if h.RecentFailures < backoffAfter {
		return
	}
	rest := min(time.Minute<<min(h.backoffs, 20), maxBackoff)
	h.backoffs++
	h.DisabledUntil = now.Add(rest)
}

func (s *Server) hookJSON(h *hook) object {
	o := object{
		"id": h.ID, "url": h.URL, "name": nullable(h.Name), "description": nullable(h.description), "created_at": restTime(h.created),
		"project_id": h.ProjectID, "enable_ssl_verification": h.verifyTLS, "push_events_branch_filter": nullable(h.branchFilter),
		"branch_filter_strategy": "wildcard", "alert_status": h.alert(s.now()), "disabled_until": restTime(h.DisabledUntil),
		"url_variables": []object{}, "custom_webhook_template": nil, "custom_headers": []object{},
		"token_present": h.Token != "", "signing_token_present": h.SigningToken != "",
	}
	for _, flag := range hookEvents {
		o[flag] = h.Events[flag]
	}
	return o
}

func (r *request) hook() (*hook, error) {
	id, err := r.id("hook_id")
	if err != nil {
		return nil, err
	}
	for _, h := range r.project.hooks {
		if h.ID == id {
			return h, nil
		}
	}
	return nil, failed(http.StatusNotFound, "404 Not found")
}

// apply sets what the request gives. Tokens can be written and never read back.
func (h *hook) apply(r *request) error {
	if r.params["url"] != nil {
		u, err := url.Parse(r.text("url"))
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return &apiError{http.StatusUnprocessableEntity, object{"error": "Invalid url given"}}
		}
		h.URL = r.text("url")
	}
	if r.params["signing_token"] != nil {
		token := r.text("signing_token")
		if _, valid := signingKey(token); token != "" && !valid {
			return &apiError{http.StatusUnprocessableEntity, object{"error": "Signing token is invalid"}}
		}
		h.SigningToken = token
	}
	for name, field := range map[string]*string{
		"name": &h.Name, "description": &h.description, "token": &h.Token, "push_events_branch_filter": &h.branchFilter,
	} {
		if r.params[name] != nil {
			*field = r.text(name)
		}
	}
	if r.params["enable_ssl_verification"] != nil {
		h.verifyTLS = r.flag("enable_ssl_verification")
	}
	for _, flag := range hookEvents {
		if r.params[flag] != nil {
			h.Events[flag] = r.flag(flag)
		}
	}
	return nil
}

// signingKey decodes a signing token: 32 bytes in base64 behind whsec_.
func signingKey(token string) ([]byte, bool) {
	encoded, prefixed := strings.CutPrefix(token, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	return key, prefixed && err == nil && len(key) == 32
}

func listHooks(s *Server, r *request) (reply, error) {
	list := []object{}
	for _, h := range r.project.hooks {
		list = append(list, s.hookJSON(h))
	}
	return page(s, r, list, "")
}

func getHook(s *Server, r *request) (reply, error) {
	h, err := r.hook()
	if err != nil {
		return reply{}, err
	}
	return ok(s.hookJSON(h)), nil
}

func createHook(s *Server, r *request) (reply, error) {
	if r.text("url") == "" {
		return reply{}, invalid("url is missing")
	}
	h := &hook{Hook: Hook{Events: map[string]bool{"push_events": true}}, verifyTLS: true, created: s.now()}
	if err := h.apply(r); err != nil {
		return reply{}, err
	}
	h.ID, h.ProjectID = s.id("hook", 11), r.project.ID
	r.project.hooks = append(r.project.hooks, h)
	return created(s.hookJSON(h)), nil
}

func editHook(s *Server, r *request) (reply, error) {
	h, err := r.hook()
	if err != nil {
		return reply{}, err
	}
	if err := h.apply(r); err != nil {
		return reply{}, err
	}
	return ok(s.hookJSON(h)), nil
}

func deleteHook(_ *Server, r *request) (reply, error) {
	h, err := r.hook()
	if err != nil {
		return reply{}, err
	}
	r.project.hooks = slices.DeleteFunc(r.project.hooks, func(o *hook) bool { return o == h })
	return reply{code: http.StatusNoContent}, nil
}

// testHook sends a sample of one kind at once, also from a hook that is switched off: a 2xx answer switches it on again.
func testHook(s *Server, r *request) (reply, error) {
	h, err := r.hook()
	if err != nil {
		return reply{}, err
	}
	if !s.mayTest(testKey{project: r.project.ID, user: r.user.ID}) {
		return reply{}, &apiError{http.StatusTooManyRequests, object{
			"message": object{"error": "This endpoint has been requested too many times. Try again later."},
		}}
	}
	trigger := r.vars["trigger"]
	if !slices.Contains(hookEvents, trigger) {
		return reply{}, invalid("trigger does not have a valid value")
	}
	event, body, problem := s.sample(r.project, r.user, trigger)
	if problem != "" {
		return reply{}, failed(http.StatusUnprocessableEntity, problem)
	}
	d := s.newDelivery(h, event, body)
	return reply{then: func(ctx context.Context) (reply, error) {
		s.send(ctx, &d, true)
		if d.Err != "" || d.Status < 200 || d.Status > 299 {
			return reply{}, failed(http.StatusUnprocessableEntity, cmp.Or(d.Err, http.StatusText(d.Status), "error"))
		}
		return created(object{"message": "201 Created"}), nil
	}}, nil
}

// sample builds the payload of a test from what the project has.
func (s *Server) sample(p *project, u *User, trigger string) (event string, body object, problem string) {
	sha := p.branches[p.DefaultBranch]
	var last *pipeline
	if len(p.pipelines) > 0 {
		last = p.pipelines[len(p.pipelines)-1]
	}
	switch trigger {
	case "push_events":
		return eventPush, s.pushPayload(p, u, "refs/heads/"+p.DefaultBranch, zeroSHA, sha, []*Commit{p.commits[sha]}), ""
	case "tag_push_events":
		for _, name := range slices.Sorted(maps.Keys(p.tags)) {
			t := p.tags[name]
			return eventTagPush, s.pushPayload(p, u, "refs/tags/"+name, zeroSHA, t.target(), []*Commit{p.commits[t.sha]}), ""
		}
		return "", nil, "Ensure the project has tags."
	case "pipeline_events":
		if last == nil {
			return "", nil, "Ensure the project has CI pipelines."
		}
		return eventPipeline, s.pipelinePayload(last), ""
	case "job_events":
		if last != nil {
			for _, j := range slices.Backward(last.jobs) {
				if !j.isBridge() {
					return eventJob, s.jobPayload(j), ""
				}
			}
		}
		return "", nil, "Ensure the project has CI jobs."
	case "merge_requests_events":
		return eventMergeRequest, s.mergeRequestPayload(p, u, s.sampleMR(p, u), mrEvent{action: "open"}), ""
	default:
		return s.lateSample(p, trigger)
	}
}

// sampleMR is a merge request of the project, or one that is made up.
func (s *Server) sampleMR(p *project, u *User) *mergeRequest {
	for _, iid := range slices.Sorted(maps.Keys(p.mrs)) {
		return p.mrs[iid]
	}
	mr := s.filled(MergeRequest{IID: 1, Title: "Sample", SourceBranch: "sample", TargetBranch: p.DefaultBranch})
	return &mergeRequest{MergeRequest: mr, author: u, created: s.now(), updated: s.now()}
}

// lateSample is sample for notes, deployments and releases.
func (s *Server) lateSample(p *project, trigger string) (event string, body object, problem string) {
	switch trigger {
	case "note_events":
		for _, iid := range slices.Sorted(maps.Keys(p.mrs)) {
			if m := p.mrs[iid]; len(m.notes) > 0 {
				return eventNote, s.notePayload(p, m, m.notes[len(m.notes)-1]), ""
			}
		}
		return "", nil, "Ensure the project has notes."
	case "deployment_events":
		if n := len(p.deployments); n > 0 {
			return eventDeployment, s.deploymentPayload(p, p.deployments[n-1], nil), ""
		}
		return "", nil, "Ensure the project has deployments."
	case "releases_events":
		if n := len(p.releases); n > 0 {
			return eventRelease, s.releasePayload(p, p.releases[n-1], "create"), ""
		}
		return "", nil, "Ensure the project has releases."
	default:
		return "", nil, "The simulator has no sample for " + trigger + "."
	}
}

// hookEventJSON is one line of a hook's history.
func hookEventJSON(d *Delivery) object {
	request := object{}
	for key := range d.Header {
		value := d.Header.Get(key)
		if key == "X-Gitlab-Token" {
			value = "[REDACTED]"
		}
		request[key] = value
	}
	status := fmt.Sprint(d.Status)
	if d.Err != "" {
		status = "internal error"
	}
	return object{
		"id": d.ID, "url": d.URL, "trigger": strings.TrimSuffix(d.flag, "_events") + "_hooks", "request_headers": request,
		"request_data": jsonOf(d.Body), "response_headers": object{}, "response_body": d.Err, "execution_duration": 0.05,
		"response_status": status,
	}
}

func listHookEvents(s *Server, r *request) (reply, error) {
	h, err := r.hook()
	if err != nil {
		return reply{}, err
	}
	list := []object{}
	for _, d := range slices.Backward(s.queue.sent) {
		if d.HookID == h.ID {
			list = append(list, hookEventJSON(d))
		}
	}
	return page(s, r, list, "")
}

func resendHookEvent(s *Server, r *request) (reply, error) {
	h, err := r.hook()
	if err != nil {
		return reply{}, err
	}
	id, err := r.id("event_id")
	if err != nil {
		return reply{}, err
	}
	i := slices.IndexFunc(s.queue.sent, func(d *Delivery) bool { return d.HookID == h.ID && d.ID == id })
	if i < 0 {
		return reply{}, failed(http.StatusNotFound, "404 Not found")
	}
	again := s.again(s.queue.sent[i])
	return reply{then: func(ctx context.Context) (reply, error) {
		s.send(ctx, &again, true)
		if again.Err != "" {
			return reply{}, failed(http.StatusUnprocessableEntity, again.Err)
		}
		return created(object{"response_status": again.Status}), nil
	}}, nil
}
