package gitlabsim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

var pipelineSources = []string{
	"push", "web", "trigger", "schedule", "api", "external", "pipeline", "chat", "webide", "merge_request_event",
	"external_pull_request_event", "parent_pipeline", "ondemand_dast_scan", "ondemand_dast_validation", "security_orchestration_policy",
	"container_registry_push", "duo_workflow", "unknown",
}

// pipelineStatuses are the values of the status filter, which knows no canceling.
var pipelineStatuses = slices.DeleteFunc(slices.Clone(jobStatuses), func(s string) bool { return s == statusCanceling })

func (s *Server) pipelineBasicJSON(pl *pipeline) object {
	return object{
		"id": pl.id, "iid": pl.iid, "project_id": pl.project.ID, "sha": pl.sha, "ref": pl.ref, "status": pl.status, "source": pl.source,
		"created_at": restTime(pl.created), "updated_at": restTime(pl.updated), "web_url": s.pipelineURL(pl), "name": nullable(pl.title),
	}
}

func (s *Server) pipelineJSON(pl *pipeline) object {
	o := s.pipelineBasicJSON(pl)
	o["before_sha"], o["tag"], o["yaml_errors"], o["user"] = pl.before, pl.tag, nil, s.userJSON(pl.user)
	o["started_at"], o["finished_at"] = restTime(pl.started), restTime(pl.finished)
	o["committed_at"], o["coverage"], o["archived"] = nil, nil, false
	o["duration"], o["queued_duration"] = pl.durationJSON(), pl.queued()
	label, group := pl.label(), pl.status
	text := strings.ToUpper(label[:1]) + label[1:]
	switch {
	case label == "passed with warnings":
		text, group = "Warning", "success-with-warnings"
	case pl.status == statusManual:
		text = "Blocked"
	}
	o["detailed_status"] = object{
		"icon": "status_" + strings.TrimPrefix(strings.ReplaceAll(group, "success-with-warnings", "warning"), "status_"),
		"text": text, "label": label, "group": group, "tooltip": label, "has_details": true,
		"details_path": fmt.Sprintf("/%s/-/pipelines/%d", pl.project.Path, pl.id), "illustration": nil,
		"favicon": "/assets/ci_favicons/favicon_status_" + pl.status + ".png",
	}
	return o
}

func (pl *pipeline) durationJSON() any {
	if pl.finished.IsZero() {
		return nil
	}
	return pl.duration
}

// pipeline finds the pipeline of a request in its project.
func (r *request) pipeline(s *Server) (*pipeline, error) {
	id, err := r.id("pipeline_id")
	if err != nil {
		return nil, err
	}
	pl, err := s.findPipeline(r.project.ID, id)
	if err != nil {
		return nil, failed(http.StatusNotFound, "404 Not found")
	}
	return pl, nil
}

// oneOf reads a parameter that has a fixed set of values.
func (r *request) oneOf(name string, values []string) (string, error) {
	v := r.text(name)
	if v != "" && !slices.Contains(values, v) {
		return "", invalid(name + " does not have a valid value")
	}
	return v, nil
}

func (r *request) time(name string) (time.Time, error) {
	v := r.text(name)
	if v == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, v); err == nil {
			return t, nil
		}
	}
	return time.Time{}, invalid(name + " is invalid")
}

type pipelineFilter struct {
	scope, status, source, ref, sha, username, name string
	after, before, createdAfter, createdBefore      time.Time
}

func (r *request) pipelineFilter() (pipelineFilter, error) {
	f := pipelineFilter{ref: r.text("ref"), sha: r.text("sha"), username: r.text("username"), name: r.text("name")}
	var err error
	if f.scope, err = r.oneOf("scope", []string{"running", "pending", "finished", "branches", "tags"}); err != nil {
		return f, err
	}
	if f.status, err = r.oneOf("status", pipelineStatuses); err != nil {
		return f, err
	}
	if f.source, err = r.oneOf("source", pipelineSources); err != nil {
		return f, err
	}
	for name, t := range map[string]*time.Time{
		"updated_after": &f.after, "updated_before": &f.before, "created_after": &f.createdAfter, "created_before": &f.createdBefore,
	} {
		if *t, err = r.time(name); err != nil {
			return f, err
		}
	}
	return f, nil
}

// keep says whether a pipeline passes. Child pipelines are shown only to those who ask for them.
func (f pipelineFilter) keep(pl *pipeline) bool {
	child := pl.source == "parent_pipeline"
	return child == (f.source == "parent_pipeline") &&
		(f.source == "" || pl.source == f.source) &&
		(f.status == "" || pl.status == f.status) &&
		(f.ref == "" || pl.ref == f.ref) &&
		(f.sha == "" || pl.sha == f.sha) &&
		(f.username == "" || pl.user.Username == f.username) &&
		(f.name == "" || pl.title == f.name) &&
		(f.after.IsZero() || pl.updated.After(f.after)) &&
		(f.before.IsZero() || pl.updated.Before(f.before)) &&
		(f.createdAfter.IsZero() || pl.created.After(f.createdAfter)) &&
		(f.createdBefore.IsZero() || pl.created.Before(f.createdBefore))
}

// inScope applies the scope, of which branches and tags mean the newest pipeline of each.
func inScope(scope string, pl *pipeline, all []*pipeline) bool {
	switch scope {
	case "running", "pending":
		return pl.status == scope
	case "finished":
		return final(pl.status) && pl.status != statusSkipped
	case "branches", "tags":
		newest := !slices.ContainsFunc(all, func(o *pipeline) bool {
			return o.id > pl.id && o.ref == pl.ref && o.tag == pl.tag && o.source != "parent_pipeline"
		})
		return newest && pl.mr == nil && pl.tag == (scope == "tags")
	default:
		return true
	}
}

func listPipelines(s *Server, r *request) (reply, error) {
	f, err := r.pipelineFilter()
	if err != nil {
		return reply{}, err
	}
	list := []object{}
	for _, pl := range r.project.pipelines {
		if !f.keep(pl) || !inScope(f.scope, pl, r.project.pipelines) {
			continue
		}
		o := s.pipelineBasicJSON(pl)
		list = append(list, o)
	}
	return sortedPage(s, r, list, sorting{
		fields: []string{"id", "status", "ref", "updated_at", "user_id"}, by: "id", desc: true, keyset: "id",
	})
}

func getPipeline(s *Server, r *request) (reply, error) {
	pl, err := r.pipeline(s)
	if err != nil {
		return reply{}, err
	}
	return ok(s.pipelineJSON(pl)), nil
}

// latestPipeline answers 403, not 404, when the newest commit of the ref has no pipeline: there is nothing to be allowed to read.
func latestPipeline(s *Server, r *request) (reply, error) {
	ref := r.text("ref")
	if ref == "" {
		ref = r.project.DefaultBranch
	}
	sha := r.project.resolve(ref)
	for _, pl := range slices.Backward(r.project.pipelines) {
		if pl.ref == ref && pl.sha == sha && pl.source != "parent_pipeline" {
			return ok(s.pipelineJSON(pl)), nil
		}
	}
	return reply{}, failed(http.StatusForbidden, "403 Forbidden")
}

// listPipelineVariables is for Maintainers and for the Developer who started the pipeline.
func listPipelineVariables(s *Server, r *request) (reply, error) {
	pl, err := r.pipeline(s)
	if err != nil {
		return reply{}, err
	}
	if r.level < Maintainer && (r.level < Developer || pl.user != r.user) {
		return reply{}, failed(http.StatusForbidden, "403 Forbidden")
	}
	list := []object{}
	for _, v := range pl.variables {
		list = append(list, object{"key": v.Key, "value": v.Value, "variable_type": v.Type, "raw": false})
	}
	return ok(list), nil
}

func baseError(text string) error {
	return failed(http.StatusBadRequest, object{"base": []string{text}})
}

func createPipeline(s *Server, r *request) (reply, error) {
	p, ref := r.project, r.text("ref")
	if ref == "" {
		return reply{}, invalid("ref is missing")
	}
	_, isBranch := p.branches[ref]
	t, isTag := p.tags[ref]
	sha := p.branches[ref]
	if !isBranch {
		sha = t.sha
	}
	variables, err := r.variables("variables")
	if err != nil {
		return reply{}, err
	}
	inputs, _ := r.params["inputs"].(map[string]any)
	switch {
	case !isBranch && !isTag:
		return reply{}, baseError("Reference not found")
	case r.level < p.Protected[ref]:
		return reply{}, baseError(fmt.Sprintf("You do not have sufficient permission to run a pipeline on '%s'. "+
			"Please select a different branch or contact your administrator for assistance.", ref))
	case len(variables) > 0 && !p.maySetVariables(r.level):
		return reply{}, baseError("Insufficient permissions to set pipeline variables")
	case !p.ciOf(ref).set:
		return reply{}, baseError("Missing CI config file")
	}
	for name := range inputs {
		if p.ci.inputs != nil && !p.ci.inputs[name] {
			return reply{}, baseError("Given inputs not defined in the `spec` section of the included configuration file: " + name)
		}
	}
	pl := s.newPipeline(p, pipelineSeed{
		ref: ref, tag: !isBranch, sha: sha, before: zeroSHA, source: "api", user: r.user, variables: variables, inputs: inputs,
	})
	return created(s.pipelineJSON(pl)), nil
}

func (p *project) maySetVariables(level int) bool {
	switch p.VariablesRole {
	case "no_one_allowed":
		return false
	case "maintainer":
		return level >= Maintainer
	case "owner":
		return level >= Owner
	default:
		return level >= Developer
	}
}

// variables reads a list of {key, value, variable_type}.
func (r *request) variables(name string) ([]Variable, error) {
	raw, present := r.params[name]
	if !present || raw == nil {
		return nil, nil
	}
	items, isList := raw.([]any)
	if !isList {
		return nil, invalid(name + " is invalid")
	}
	list := []Variable{}
	for _, item := range items {
		o, _ := item.(map[string]any)
		key, _ := o["key"].(string)
		if key == "" {
			return nil, invalid(name + "[key] is missing")
		}
		v := Variable{Key: key, Type: "env_var"}
		if o["value"] != nil {
			v.Value = fmt.Sprint(o["value"])
		}
		if kind, _ := o["variable_type"].(string); kind != "" {
			v.Type = kind
		}
		list = append(list, v)
	}
	return list, nil
}

// mayTouch refuses changes of pipelines on protected refs to those who may not run pipelines there.
func (r *request) mayTouch(pl *pipeline) error {
	if r.level < pl.project.Protected[pl.ref] {
		return failed(http.StatusForbidden, "403 Forbidden")
	}
	return nil
}

func retryPipeline(s *Server, r *request) (reply, error) {
	pl, err := r.pipeline(s)
	if err != nil {
		return reply{}, err
	}
	if err := r.mayTouch(pl); err != nil {
		return reply{}, err
	}
	s.retryFailed(pl, r.user)
	return created(s.pipelineJSON(pl)), nil
}

// cancelPipeline answers 200 whatever the state was.
func cancelPipeline(s *Server, r *request) (reply, error) {
	pl, err := r.pipeline(s)
	if err != nil {
		return reply{}, err
	}
	if err := r.mayTouch(pl); err != nil {
		return reply{}, err
	}
	s.cancelAll(pl)
	return ok(s.pipelineJSON(pl)), nil
}
