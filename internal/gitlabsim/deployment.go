package gitlabsim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// deploymentStatuses are those that a deployment can have; approved and rejected are of approvals only.
var deploymentStatuses = []string{"created", "running", "success", "failed", "canceled", "skipped", "blocked"}

// Deployment is a deployment to an environment. Tier "" is guessed from the environment's name; Status "" is created.
type Deployment struct {
	ID                int64
	Environment, Tier string
	Ref, SHA          string // SHA "" is the head of Ref
	Status            string
	JobID             int64 // 0: made by the API, which has neither a job nor its address
}

type deployment struct {
	Deployment
	user    *User
	changed time.Time
}

// CreateDeployment makes a deployment, fires its hook and returns it with what was filled in.
func (s *Server) CreateDeployment(projectID int64, d Deployment, username string) Deployment {
	var out Deployment
	s.act(func() {
		p := s.mustProject(projectID)
		if d.ID == 0 {
			d.ID = s.id("deployment", 701)
		}
		d.Ref = cmp.Or(d.Ref, p.DefaultBranch)
		d.SHA = cmp.Or(d.SHA, p.resolve(d.Ref))
		d.Tier = cmp.Or(d.Tier, tierOf(d.Environment))
		d.Status = cmp.Or(d.Status, "created")
		if p.commits[d.SHA] == nil || !slices.Contains(deploymentStatuses, d.Status) {
			panic(fmt.Sprintf("gitlabsim: project %d cannot deploy %q as %q", p.ID, d.Ref, d.Status))
		}
		made := &deployment{Deployment: d, user: s.someUser(username), changed: s.now()}
		p.deployments = append(p.deployments, made)
		s.emitDeployment(p, made, nil)
		out = d
	})
	return out
}

// SetDeployment moves a deployment to a status and fires its hook.
func (s *Server) SetDeployment(projectID, id int64, status string) {
	s.act(func() {
		p := s.mustProject(projectID)
		d := s.mustDeployment(p, id)
		if !slices.Contains(deploymentStatuses, status) {
			panic(fmt.Sprintf("gitlabsim: a deployment cannot be %q", status))
		}
		d.Status, d.changed = status, s.now()
		s.emitDeployment(p, d, nil)
	})
}

// ApproveDeployment says yes or no to a blocked deployment and fires the hook of that: its status is approved or rejected, which the
// deployment itself never has. The deployment stays blocked until SetDeployment moves it.
func (s *Server) ApproveDeployment(projectID, id int64, username string, yes bool, comment string) {
	s.act(func() {
		p := s.mustProject(projectID)
		d, u := s.mustDeployment(p, id), s.someUser(username)
		verdict := "rejected"
		if yes {
			verdict = "approved"
		}
		d.changed = s.now()
		s.emitDeployment(p, d, object{
			"status": verdict, "approver": s.userHook(u),
			"approval": object{
				"id": s.id("approval", 51), "status": verdict, "comment": comment, "created_at": restTime(s.now()),
				"approval_rule": object{
					"id": s.idBase + 61, "user_id": u.ID, "group_id": nil, "access_level": nil, "access_level_description": u.Name,
					"required_approvals": 1, "group_inheritance_type": 0,
				},
			},
		})
	})
}

func (s *Server) mustDeployment(p *project, id int64) *deployment {
	for _, d := range p.deployments {
		if d.ID == id {
			return d
		}
	}
	panic(fmt.Sprintf("gitlabsim: project %d has no deployment %d", p.ID, id))
}

func tierOf(environment string) string {
	for _, tier := range []struct{ prefix, name string }{
		{"prod", "production"},
		{"live", "production"},
		{"stag", "staging"},
		{"test", "testing"},
		{"qa", "testing"},
		{"dev", "development"},
		{"review", "development"},
	} {
		if strings.HasPrefix(strings.ToLower(environment), tier.prefix) {
			return tier.name
		}
	}
	return "other"
}

func (s *Server) emitDeployment(p *project, d *deployment, more object) {
	s.emit(p, flagOf[eventDeployment], eventDeployment, func() object { return s.deploymentPayload(p, d, more) })
}

// deploymentPayload is the deployment hook. Its status_changed_at has a style of its own, and a deployment by the API has no job.
func (s *Server) deploymentPayload(p *project, d *deployment, more object) object {
	o := object{
		"object_kind": "deployment", "status": d.Status, "status_changed_at": d.changed.UTC().Format("2006-01-02T15:04:05.000-07:00"),
		"deployment_id": d.ID, "deployable_id": nil, "deployable_url": nil, "environment": d.Environment, "environment_tier": d.Tier,
		"environment_slug": strings.ReplaceAll(strings.ToLower(d.Environment), "/", "-"), "environment_external_url": nil,
		"project": s.projectHook(p, true), "short_sha": d.SHA[:min(8, len(d.SHA))], "user": s.userHook(d.user),
		"user_url": s.url + "/" + d.user.Username, "commit_url": s.web(p) + "/-/commit/" + d.SHA, "commit_title": p.commits[d.SHA].Title,
		"ref": d.Ref,
	}
	if d.JobID != 0 {
		o["deployable_id"], o["deployable_url"] = d.JobID, fmt.Sprintf("%s/-/jobs/%d", s.web(p), d.JobID)
	}
	maps.Copy(o, more)
	return o
}
