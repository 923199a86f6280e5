package webhooks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// hook is what a delivery says, in our words.
type hook struct {
	kind string // GitLab's word, or kindUnknown
	// project is GitLab's id. Very old GitLabs tell the path alone.
	project int64
	path    string
	// seen is what there is to fold; nil: nothing that anybody asked for.
	seen *kovra.Observation
	push *kovra.Push // likewise
	// subjects are what channels may want to hear of: a tag that was moved is two.
	subjects []kovra.Subject
	comment  *kovra.Comment // that asks for something
	at       time.Time      // when it came
}

// empty reports whether there is nothing to fold.
func (h *hook) empty() bool {
	return h.seen == nil && h.push == nil && len(h.subjects) == 0 && h.comment == nil
}

// The kinds that are decoded. All others are known, and ignored.
const (
	kindPipeline     = "pipeline"
	kindJob          = "build"
	kindOldJob       = "job"
	kindPush         = "push"
	kindTagPush      = "tag_push"
	kindMergeRequest = "merge_request"
	kindNote         = "note"
	kindDeployment   = "deployment"
	kindRelease      = "release"
	kindUnknown      = "unknown"
	kindOther        = "other" // system hooks and what concerns members, groups and projects

	headerSystemHook = "System Hook"
	quoted           = 60 // bytes of a foreign word that a note quotes
)

// objectKinds are GitLab's words in object_kind.
var objectKinds = map[string]bool{
	kindPipeline: true, kindJob: true, kindOldJob: true, kindPush: true, kindTagPush: true, kindMergeRequest: true, kindNote: true,
	"issue": true, "work_item": true, kindDeployment: true, kindRelease: true, "wiki_page": true, "milestone": true,
	"feature_flag": true, "emoji": true, "access_token": true, "vulnerability": true,
}

// headerKinds are the values of X-Gitlab-Event, for bodies that do not say what they are.
var headerKinds = map[string]string{
	"Pipeline Hook": kindPipeline, "Job Hook": kindJob, "Build Hook": kindJob, "Push Hook": kindPush, "Tag Push Hook": kindTagPush,
	"Merge Request Hook": kindMergeRequest, "Note Hook": kindNote, "Confidential Note Hook": kindNote,
	"Issue Hook": "issue", "Confidential Issue Hook": "issue", "Work Item Hook": "work_item",
	"Deployment Hook": kindDeployment, "Release Hook": kindRelease, "Wiki Page Hook": "wiki_page", "Milestone Hook": "milestone",
	"Feature Flag Hook": "feature_flag", "Emoji Hook": "emoji", "Resource Access Token Hook": "access_token",
	"Vulnerability Hook": "vulnerability", "Member Hook": kindOther, "Subgroup Hook": kindOther, "Project Hook": kindOther,
	headerSystemHook: kindOther, "Service Hook": kindOther,
}

// eventNames are the beginnings of event_name in hooks that have no object_kind.
var eventNames = []string{"user_", "project_", "group_", "subgroup_", "key_", "repository_", "gitlab_subscription_"}

// decoders read the kinds that are decoded.
var decoders = map[string]func(body []byte, h *hook) error{
	kindPipeline: decodePipeline, kindJob: decodeJob, kindPush: decodePush, kindTagPush: decodePush, kindMergeRequest: decodeMergeRequest,
	kindNote: decodeNote, kindDeployment: decodeDeployment, kindRelease: decodeRelease,
}

// decode reads a delivery; what builds want to know of a push only if there are builds. An error says, for an operator, why it is
// a dead letter; what could be read of the hook is returned with it. It never panics.
func decode(d kovra.Delivery, builds bool) (h hook, err error) {
	defer caught(&err)
	h.kind, h.at = kindUnknown, d.At.UTC()
	if !bytes.HasPrefix(bytes.TrimLeft(d.Body, " \t\r\n"), []byte("{")) {
		return h, errors.New("not a JSON object")
	}
	var e envelope
	if err := tolerantly(d.Body, &e); err != nil {
		return h, fmt.Errorf("not JSON: %w", err)
	}
	h.project, h.path = e.project()
	if h.kind = e.kind(d.Kind); h.kind == kindUnknown {
		return h, fmt.Errorf("an unknown kind of event: %q (object_kind %q)", cut(d.Kind, quoted), cut(string(e.ObjectKind), quoted))
	}
	if read := decoders[h.kind]; read != nil {
		err = read(d.Body, &h)
	}
	if !builds {
		h.push = nil
	}
	if err != nil || h.empty() {
		return h, err
	}
	if h.project == 0 && h.path == "" {
		h.seen, h.push, h.subjects, h.comment = nil, nil, nil, nil
		return h, errors.New("the project's id is missing")
	}
	if h.seen != nil {
		h.seen.At = d.At
	}
	return h, nil
}

// envelope is what all kinds have in common.
type envelope struct {
	ObjectKind word    `json:"object_kind"`
	EventName  word    `json:"event_name"`
	ProjectID  number  `json:"project_id"`
	Project    project `json:"project"`
}

// kind tells what an event is: the body says so or, where a custom template left
// that out, the header does.
func (e *envelope) kind(header string) string {
	if objectKinds[string(e.ObjectKind)] {
		if e.ObjectKind == kindOldJob {
			return kindJob
		}
		return string(e.ObjectKind)
	}
	if kind, ok := headerKinds[header]; ok {
		return kind
	}
	for _, prefix := range eventNames {
		if strings.HasPrefix(string(e.EventName), prefix) {
			return kindOther
		}
	}
	return kindUnknown
}

// project returns how the event names its project.
func (e *envelope) project() (id int64, path string) {
	if e.ProjectID > 0 {
		return int64(e.ProjectID), ""
	}
	if e.Project.ID > 0 {
		return int64(e.Project.ID), ""
	}
	return 0, string(e.Project.Path)
}

// project is the part of an event about the project.
type project struct {
	ID            number `json:"id"`
	Path          text   `json:"path_with_namespace"`
	WebURL        link   `json:"web_url"`
	DefaultBranch text   `json:"default_branch"`
}

// page returns the address of a page of the project; "" where its own is not known.
func (p *project) page(kind string, id int64) string {
	return p.at(kind, strconv.FormatInt(id, 10))
}

// at is page for what has a name in place of an id.
func (p *project) at(kind, name string) string {
	if p.WebURL == "" {
		return ""
	}
	return fmt.Sprintf("%s/-/%s/%s", strings.TrimRight(string(p.WebURL), "/"), kind, escaped(name))
}

// escaped escapes the name of a branch or tag for the path of an address; its slashes stay.
func escaped(name string) string { return (&url.URL{Path: name}).EscapedPath() }

// user is somebody as events describe them. Their e-mail address is hidden most of the time, and not read.
type user struct {
	ID       number `json:"id"`
	Username text   `json:"username"`
	Name     text   `json:"name"`
}

func (u user) person() kovra.GitLabUser {
	return kovra.GitLabUser{ID: int64(u.ID), Username: string(u.Username), Name: string(u.Name)}
}

// sourcePipeline says which pipeline's trigger job started this one.
type sourcePipeline struct {
	Project  project `json:"project"`
	Pipeline number  `json:"pipeline_id"`
	Job      number  `json:"job_id"`
}

func (s *sourcePipeline) parent() kovra.Parent {
	if s.Pipeline <= 0 {
		return kovra.Parent{}
	}
	return kovra.Parent{Project: int64(s.Project.ID), Pipeline: int64(s.Pipeline), Job: int64(s.Job)}
}

// tolerantly reads JSON into a struct of the tolerant types below. What has another
// type than it should have is left at its zero value; only broken JSON is an error.
func tolerantly(body []byte, v any) error {
	err := json.Unmarshal(body, v)
	if _, odd := errors.AsType[*json.UnmarshalTypeError](err); odd {
		return nil // the rest was read all the same
	}
	return err
}

// failureReason keeps the reason of a failure; GitLab also tells one of jobs that did not fail.
func failureReason(s kovra.Status, reason text) string {
	if s != kovra.Failed {
		return ""
	}
	return string(reason)
}

// endOf keeps the time of an end and how long it took only once something has
// ended: a retried pipeline still tells those of the attempt before.
func endOf(s kovra.Status, at moment, took seconds) (time.Time, time.Duration) {
	if !s.Final() {
		return time.Time{}, 0
	}
	return time.Time(at), time.Duration(took)
}
