package webhooks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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
}

// The kinds that are decoded. All others are known, and ignored.
const (
	kindPipeline = "pipeline"
	kindJob      = "build"
	kindOldJob   = "job"
	kindPush     = "push"
	kindTagPush  = "tag_push"
	kindUnknown  = "unknown"
	kindOther    = "other" // system hooks and what concerns members, groups and projects

	headerSystemHook = "System Hook"
	quoted           = 60 // bytes of a foreign word that a note quotes
)

// objectKinds are GitLab's words in object_kind.
var objectKinds = map[string]bool{
	kindPipeline: true, kindJob: true, kindOldJob: true, kindPush: true, kindTagPush: true, "merge_request": true, "note": true,
	"issue": true, "work_item": true, "deployment": true, "release": true, "wiki_page": true, "milestone": true,
	"feature_flag": true, "emoji": true, "access_token": true, "vulnerability": true,
}

// headerKinds are the values of X-Gitlab-Event, for bodies that do not say what they are.
var headerKinds = map[string]string{
	"Pipeline Hook": kindPipeline, "Job Hook": kindJob, "Build Hook": kindJob, "Push Hook": kindPush, "Tag Push Hook": kindTagPush,
	"Merge Request Hook": "merge_request", "Note Hook": "note", "Confidential Note Hook": "note",
	"Issue Hook": "issue", "Confidential Issue Hook": "issue", "Work Item Hook": "work_item",
	"Deployment Hook": "deployment", "Release Hook": "release", "Wiki Page Hook": "wiki_page", "Milestone Hook": "milestone",
	"Feature Flag Hook": "feature_flag", "Emoji Hook": "emoji", "Resource Access Token Hook": "access_token",
	"Vulnerability Hook": "vulnerability", "Member Hook": kindOther, "Subgroup Hook": kindOther, "Project Hook": kindOther,
	headerSystemHook: kindOther, "Service Hook": kindOther,
}

// eventNames are the beginnings of event_name in hooks that have no object_kind.
var eventNames = []string{"user_", "project_", "group_", "subgroup_", "key_", "repository_", "gitlab_subscription_"}

// decode reads a delivery; pushes only if somebody wants to know of them. An error says, for an operator, why it is
// a dead letter; what could be read of the hook is returned with it. It never panics.
func decode(d kovra.Delivery, pushes bool) (h hook, err error) {
	defer caught(&err)
	h.kind = kindUnknown
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
	switch h.kind {
	case kindPipeline:
		err = decodePipeline(d.Body, &h)
	case kindJob:
		err = decodeJob(d.Body, &h)
	case kindPush, kindTagPush:
		if pushes {
			err = decodePush(d.Body, &h)
		}
	}
	if err != nil || h.seen == nil && h.push == nil {
		return h, err
	}
	if h.project == 0 && h.path == "" {
		h.seen, h.push = nil, nil
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
	if p.WebURL == "" {
		return ""
	}
	return fmt.Sprintf("%s/-/%s/%d", strings.TrimRight(string(p.WebURL), "/"), kind, id)
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
