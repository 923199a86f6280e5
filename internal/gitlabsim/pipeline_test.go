package gitlabsim_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"kovra.dev/chatops/internal/gitlabsim"
)

func TestStatusFollowsTheJobs(t *testing.T) {
	w := newWorld(t)
	ref := w.push()
	w.wantStatus(ref, "pending")
	w.wantJob(ref, "unit", "created")
	must(t, w.s.Step(ref.ProjectID, ref.ID))
	w.wantStatus(ref, "running")
	w.finish(ref, "compile", "success")
	w.wantStatus(ref, "running")
	w.wantJob(ref, "unit", "pending")
	w.finish(ref, "unit", "success")
	w.finish(ref, "lint", "failed")
	w.wantStatus(ref, "manual")
	id, err := w.s.PlayJob(w.job(ref, "production").ID, "mara")
	must(t, err)
	w.wantStatus(ref, "running")
	must(t, w.s.FinishJob(id, "success", "deployed\n", ""))
	w.wantStatus(ref, "success")
	got, _, err := w.as("dev").Pipelines.GetPipeline(ref.ProjectID, ref.ID)
	must(t, err)
	if got.DetailedStatus.Label != "passed with warnings" || got.DetailedStatus.Group != "success-with-warnings" {
		t.Errorf("detailed status %+v", got.DetailedStatus)
	}
}

func TestAFailureSkipsLaterStages(t *testing.T) {
	w := newWorld(t)
	ref := w.push()
	w.finish(ref, "compile", "failed")
	w.wantStatus(ref, "failed")
	for _, name := range []string{"unit", "lint", "production"} {
		w.wantJob(ref, name, "skipped")
	}
}

func TestOptionalManualJobsDoNotBlock(t *testing.T) {
	w := newWorld(t)
	w.web.SetCI([]string{"a", "b", "c"}, []gitlabsim.JobSpec{
		{Name: "ask", Stage: "a", Manual: true, AllowFailure: true},
		{Name: "work", Stage: "b"},
		{Name: "gate", Stage: "c", Manual: true},
	})
	ref := w.push()
	w.wantJob(ref, "work", "pending")
	w.finish(ref, "work", "success")
	w.wantStatus(ref, "manual")
	w.web.SetCI([]string{"a"}, []gitlabsim.JobSpec{{Name: "ask", Stage: "a", Manual: true, AllowFailure: true}})
	w.wantStatus(w.push(), "skipped")
}

func TestARetriedJobHasANewIDAndSkippedJobsKeepTheirs(t *testing.T) {
	w := newWorld(t)
	ref := w.push()
	w.finish(ref, "compile", "failed")
	failed, unit := w.job(ref, "compile"), w.job(ref, "unit")
	next, _, err := w.as("dev").Jobs.RetryJob(ref.ProjectID, failed.ID)
	must(t, err)
	if next.ID == failed.ID || next.Name != "compile" || next.Status != "pending" {
		t.Errorf("retry gave job %d %s %s", next.ID, next.Name, next.Status)
	}
	w.wantStatus(ref, "pending")
	if old := w.s.Jobs(ref.ProjectID, ref.ID)[0]; !old.Retried || old.Status != "failed" {
		t.Errorf("old attempt is %+v", old)
	}
	if again := w.job(ref, "unit"); again.ID != unit.ID || again.Status != "created" {
		t.Errorf("skipped job came back as %d %s, want %d created", again.ID, again.Status, unit.ID)
	}
	_, _, err = w.as("dev").Jobs.RetryJob(ref.ProjectID, failed.ID)
	wantRefusal(t, err, 403, "403 Forbidden  - Job is not retryable")
	must(t, w.s.FinishPipeline(ref.ProjectID, ref.ID, "success"))
	w.wantStatus(ref, "manual")
	if _, err := w.s.RetryJob(failed.ID, "dev"); err == nil {
		t.Error("an old attempt was retried")
	}
	id, err := w.s.RetryJob(w.job(ref, "unit").ID, "dev")
	must(t, err)
	if id == unit.ID {
		t.Error("a successful job was retried under its old id")
	}
}

func TestRetryOfAPipelineTakesFailedAndCanceledJobs(t *testing.T) {
	w := newWorld(t)
	ref := w.push()
	w.finish(ref, "compile", "success")
	w.finish(ref, "unit", "failed")
	w.finish(ref, "lint", "canceled")
	w.wantStatus(ref, "failed")
	p, resp, err := w.as("dev").Pipelines.RetryPipelineBuild(ref.ProjectID, ref.ID)
	must(t, err)
	if resp.StatusCode != 201 || p.Status != "running" {
		t.Errorf("retry: %d, %s", resp.StatusCode, p.Status)
	}
	w.wantJob(ref, "unit", "pending")
	w.wantJob(ref, "lint", "pending")
	w.wantJob(ref, "production", "created")
	if n := len(w.s.Jobs(ref.ProjectID, ref.ID)); n != 6 {
		t.Errorf("%d attempts, want 6", n)
	}
	jobs, _, err := w.as("dev").Jobs.ListPipelineJobs(ref.ProjectID, ref.ID, nil)
	must(t, err)
	if len(jobs) != 4 || jobs[0].ID < jobs[1].ID {
		t.Errorf("%d latest jobs, want 4 newest first", len(jobs))
	}
	jobs, _, err = w.as("dev").Jobs.ListPipelineJobs(ref.ProjectID, ref.ID, &gitlab.ListJobsOptions{
		IncludeRetried: new(true), Scope: &[]gitlab.BuildStateValue{"failed", "canceled"},
	})
	must(t, err)
	if len(jobs) != 2 {
		t.Errorf("%d retried jobs in scope, want 2", len(jobs))
	}
}

func TestAutomaticRetryComesBeforeThePipelineFails(t *testing.T) {
	w := newWorld(t)
	w.web.SetCI([]string{"a"}, []gitlabsim.JobSpec{{Name: "flaky", Stage: "a", Retry: 1}})
	ref := w.push()
	first := w.job(ref, "flaky").ID
	w.finish(ref, "flaky", "failed")
	w.wantStatus(ref, "pending")
	if again := w.job(ref, "flaky"); again.ID == first || again.Status != "pending" {
		t.Errorf("automatic attempt is %d %s", again.ID, again.Status)
	}
	w.finish(ref, "flaky", "failed")
	w.wantStatus(ref, "failed")
}

func TestCancelAnswers200WhateverTheState(t *testing.T) {
	w := newWorld(t)
	ref := w.push()
	must(t, w.s.Step(ref.ProjectID, ref.ID))
	p, resp, err := w.as("dev").Pipelines.CancelPipelineBuild(ref.ProjectID, ref.ID)
	must(t, err)
	if resp.StatusCode != 200 || p.Status != "canceling" {
		t.Errorf("cancel: %d, %s", resp.StatusCode, p.Status)
	}
	w.wantJob(ref, "compile", "canceling")
	w.wantJob(ref, "unit", "canceled")
	must(t, w.s.Step(ref.ProjectID, ref.ID))
	w.wantStatus(ref, "canceled")
	w.wantJob(ref, "compile", "canceled")
	_, resp, err = w.as("dev").Pipelines.CancelPipelineBuild(ref.ProjectID, ref.ID)
	must(t, err)
	if resp.StatusCode != 200 {
		t.Errorf("second cancel: %d", resp.StatusCode)
	}
}

func TestAJobThatIsBeingCanceledEndsCanceled(t *testing.T) {
	w := newWorld(t)
	ref := w.push()
	job := w.job(ref, "compile")
	must(t, w.s.StartJob(job.ID))
	got, resp, err := w.as("dev").Jobs.CancelJob(ref.ProjectID, job.ID, nil)
	must(t, err)
	if resp.StatusCode != 201 || got.Status != "canceling" {
		t.Errorf("cancel: %d, %s", resp.StatusCode, got.Status)
	}
	must(t, w.s.FinishJob(job.ID, "success", "", ""))
	w.wantJob(ref, "compile", "canceled")
	other := w.push()
	must(t, w.s.StartJob(w.job(other, "compile").ID))
	must(t, w.s.CancelJob(w.job(other, "compile").ID))
	path := fmt.Sprintf("/api/v4/projects/%d/jobs/%d/cancel", other.ProjectID, w.job(other, "compile").ID)
	if code, _, _ := w.raw("POST", path, "tok-dev", `{"force":true}`); code != 403 {
		t.Errorf("a Developer forced a cancellation: %d", code)
	}
	if code, _, _ := w.raw("POST", path, "tok-mara", `{"force":true}`); code != 201 {
		t.Errorf("forced cancellation: %d", code)
	}
	w.wantJob(other, "compile", "canceled")
}

func TestPlayAnswers200AndRefusesOtherJobs(t *testing.T) {
	w := newWorld(t)
	ref := w.push()
	_, _, err := w.as("dev").Jobs.PlayJob(ref.ProjectID, w.job(ref, "compile").ID, nil)
	wantRefusal(t, err, 400, "400 Bad request - Unplayable Job")
	must(t, w.s.FinishPipeline(ref.ProjectID, ref.ID, "success"))
	w.wantStatus(ref, "manual")
	manual := w.job(ref, "production").ID
	job, resp, err := w.as("mara").Jobs.PlayJob(ref.ProjectID, manual, &gitlab.PlayJobOptions{
		JobVariablesAttributes: &[]*gitlab.JobVariableOptions{{Key: new("REASON"), Value: new("friday")}},
	})
	must(t, err)
	if resp.StatusCode != 200 || job.ID != manual || job.Status != "pending" || job.User.Username != "mara" {
		t.Errorf("play: %d, job %d %s by %s", resp.StatusCode, job.ID, job.Status, job.User.Username)
	}
	w.finish(ref, "production", "failed")
	w.wantStatus(ref, "failed")
	_, _, err = w.as("mara").Jobs.PlayJob(ref.ProjectID, manual, nil) // a finished manual job can be played once more
	must(t, err)
	if next := w.job(ref, "production"); next.ID == manual || next.Status != "pending" {
		t.Errorf("second play made job %d %s", next.ID, next.Status)
	}
	if _, err := w.s.PlayJob(manual, "mara"); err == nil {
		t.Error("an attempt that was retried was played")
	}
}

func TestVariablesNeedARole(t *testing.T) {
	for _, c := range []struct {
		role, user string
		allowed    bool
	}{
		{"", "dev", true},
		{"developer", "dev", true},
		{"maintainer", "dev", false},
		{"maintainer", "mara", true},
		{"owner", "mara", false},
		{"owner", "owen", true},
		{"no_one_allowed", "owen", false},
	} {
		w := newWorld(t)
		w.s.SetVariablesRole(w.web.ID, c.role)
		p, _, err := w.as(c.user).Pipelines.CreatePipeline(w.web.ID, &gitlab.CreatePipelineOptions{
			Ref: new("main"), Variables: &[]*gitlab.PipelineVariableOptions{{Key: new("ENV"), Value: new("staging")}},
		})
		if !c.allowed {
			wantRefusal(t, err, 400, "Insufficient permissions to set pipeline variables")
			continue
		}
		must(t, err)
		vars, _, err := w.as(c.user).Pipelines.GetPipelineVariables(w.web.ID, p.ID)
		must(t, err)
		if len(vars) != 1 || vars[0].Value != "staging" || vars[0].VariableType != "env_var" {
			t.Errorf("%s by %s: variables %v", c.role, c.user, vars)
		}
		_, _, err = w.as("rita").Pipelines.GetPipelineVariables(w.web.ID, p.ID)
		wantRefusal(t, err, 403, "403 Forbidden")
	}
}

func TestRunningAPipelineByAPI(t *testing.T) {
	w := newWorld(t)
	w.s.SetInputs(w.web.ID, "env")
	c := w.as("dev").Pipelines
	p, resp, err := c.CreatePipeline(w.web.ID, &gitlab.CreatePipelineOptions{
		Ref: new("main"), Inputs: gitlab.PipelineInputsOption{"env": gitlab.NewPipelineInputValue("prod")},
	})
	must(t, err)
	if resp.StatusCode != 201 || p.Source != "api" || p.Status != "pending" || p.User.Username != "dev" || !strings.HasPrefix(p.BeforeSHA, "0000") {
		t.Errorf("created %d: %+v", resp.StatusCode, p)
	}
	if got := w.s.Pipeline(w.web.ID, p.ID).Inputs["env"]; got != "prod" {
		t.Errorf("input is %v", got)
	}
	_, _, err = c.CreatePipeline(w.web.ID, &gitlab.CreatePipelineOptions{
		Ref: new("main"), Inputs: gitlab.PipelineInputsOption{"color": gitlab.NewPipelineInputValue("red")},
	})
	wantRefusal(t, err, 400, "Given inputs not defined")
	locked := w.s.AddProject(gitlabsim.Project{Path: "group/locked", Members: map[string]int{"dev": 30}, Protected: map[string]int{"main": 40}})
	_, _, err = c.CreatePipeline(locked.ID, &gitlab.CreatePipelineOptions{Ref: new("main")})
	wantRefusal(t, err, 400, "You do not have sufficient permission to run a pipeline on 'main'")
	_, _, err = w.as("").Pipelines.CreatePipeline(locked.ID, &gitlab.CreatePipelineOptions{Ref: new("main")})
	wantRefusal(t, err, 400, "Missing CI config file")
	if _, ref := locked.Push("main", "No CI", "dev"); ref.ID != 0 {
		t.Errorf("a push without CI started pipeline %d", ref.ID)
	}
	locked.SetCI(shopStages, shopJobs)
	_, ref := locked.Push("main", "CI", "mara")
	_, _, err = w.as("dev").Pipelines.RetryPipelineBuild(locked.ID, ref.ID)
	wantRefusal(t, err, 403, "403 Forbidden")
	if n := w.s.CallCount("POST /projects/:id/pipeline"); n != 4 {
		t.Errorf("%d calls counted, want 4", n)
	}
}

func TestLatestIsForbiddenWhenThereIsNone(t *testing.T) {
	w := newWorld(t)
	_, _, err := w.as("dev").Pipelines.GetLatestPipeline(w.web.ID, nil)
	wantRefusal(t, err, 403, "403 Forbidden")
	w.push()
	ref := w.push()
	p, _, err := w.as("dev").Pipelines.GetLatestPipeline(w.web.ID, &gitlab.GetLatestPipelineOptions{Ref: new("main")})
	must(t, err)
	if p.ID != ref.ID {
		t.Errorf("latest is %d, want %d", p.ID, ref.ID)
	}
}

func TestPipelineListFilters(t *testing.T) {
	w := newWorld(t)
	first := w.push() // 101
	must(t, w.s.FinishPipeline(first.ProjectID, first.ID, "failed"))
	w.pass(time.Hour)
	mark := w.clock()
	w.pass(time.Minute)
	_, feature := w.web.Push("feature", "Work", "mara") // 102
	_, tagged := w.s.CreateTag(w.web.ID, "v1", "feature", "mara")
	sched := w.s.RunPipeline(w.web.ID, "main", "schedule", "owen")
	w.s.RunMergeRequestPipeline(w.web.ID, gitlabsim.MergeRequest{IID: 4, Title: "Work", SourceBranch: "feature", TargetBranch: "main"}, "mara")
	c := w.as("dev").Pipelines
	for _, x := range []struct {
		name string
		o    gitlab.ListProjectPipelinesOptions
		want []int64
	}{
		{"all", gitlab.ListProjectPipelinesOptions{}, []int64{105, 104, 103, 102, 101}},
		{"ref", gitlab.ListProjectPipelinesOptions{Ref: new("feature")}, []int64{102}},
		{"sha", gitlab.ListProjectPipelinesOptions{SHA: new(w.s.Pipeline(feature.ProjectID, feature.ID).SHA)}, []int64{105, 103, 102}},
		{"status", gitlab.ListProjectPipelinesOptions{Status: new(gitlab.BuildStateValue("failed"))}, []int64{101}},
		{"source", gitlab.ListProjectPipelinesOptions{Source: new("schedule")}, []int64{sched.ID}},
		{"username", gitlab.ListProjectPipelinesOptions{Username: new("dev")}, []int64{101}},
		{"scope tags", gitlab.ListProjectPipelinesOptions{Scope: new("tags")}, []int64{tagged.ID}},
		{"scope branches", gitlab.ListProjectPipelinesOptions{Scope: new("branches")}, []int64{104, 102}},
		{"scope finished", gitlab.ListProjectPipelinesOptions{Scope: new("finished")}, []int64{101}},
		{"scope pending", gitlab.ListProjectPipelinesOptions{Scope: new("pending")}, []int64{105, 104, 103, 102}},
		{"updated after", gitlab.ListProjectPipelinesOptions{UpdatedAfter: &mark}, []int64{105, 104, 103, 102}},
		{"updated before", gitlab.ListProjectPipelinesOptions{UpdatedBefore: &mark}, []int64{101}},
		{"oldest first", gitlab.ListProjectPipelinesOptions{OrderBy: new("updated_at"), Sort: new("asc")}, []int64{101, 102, 103, 104, 105}},
	} {
		list, _, err := c.ListProjectPipelines(w.web.ID, &x.o)
		must(t, err)
		got := []int64{}
		for _, p := range list {
			got = append(got, p.ID)
		}
		if diff := cmp.Diff(x.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", x.name, diff)
		}
	}
}

func TestChildPipelinesAreBridgesAndListedOnlyBySource(t *testing.T) {
	w := newWorld(t)
	w.s.AddProject(gitlabsim.Project{ID: 77, Path: "group/infra", Members: map[string]int{"dev": 30}})
	w.s.SetCI(77, []string{"apply"}, []gitlabsim.JobSpec{{Name: "apply", Stage: "apply"}})
	w.web.SetCI([]string{"build", "deploy"}, []gitlabsim.JobSpec{
		{Name: "compile", Stage: "build"},
		{Name: "child", Stage: "deploy", Trigger: &gitlabsim.TriggerSpec{
			Depend: true, Stages: []string{"x"}, Jobs: []gitlabsim.JobSpec{{Name: "leaf", Stage: "x"}},
		}},
		{Name: "infra", Stage: "deploy", Trigger: &gitlabsim.TriggerSpec{ProjectID: 77}},
		{Name: "nowhere", Stage: "deploy", AllowFailure: true, Trigger: &gitlabsim.TriggerSpec{ProjectID: 999}},
	})
	ref := w.push()
	w.finish(ref, "compile", "success")
	w.wantStatus(ref, "running")
	bridges, _, err := w.as("dev").Jobs.ListPipelineBridges(ref.ProjectID, ref.ID, nil)
	must(t, err)
	got := map[string]string{}
	var child int64
	for _, b := range bridges {
		got[b.Name] = b.Status
		if b.Name == "child" {
			child = b.DownstreamPipeline.ID
		}
	}
	if diff := cmp.Diff(map[string]string{"child": "running", "infra": "success", "nowhere": "failed"}, got); diff != "" {
		t.Errorf("bridges (-want +got):\n%s", diff)
	}
	jobs, _, err := w.as("dev").Jobs.ListPipelineJobs(ref.ProjectID, ref.ID, nil)
	must(t, err)
	if len(jobs) != 1 {
		t.Errorf("bridges are among the %d jobs", len(jobs))
	}
	list, _, err := w.as("dev").Pipelines.ListProjectPipelines(w.web.ID, nil)
	must(t, err)
	if len(list) != 1 {
		t.Errorf("%d pipelines listed, want the parent alone", len(list))
	}
	list, _, err = w.as("dev").Pipelines.ListProjectPipelines(w.web.ID, &gitlab.ListProjectPipelinesOptions{Source: new("parent_pipeline")})
	must(t, err)
	if len(list) != 1 || list[0].ID != child {
		t.Errorf("children listed: %v, want %d", list, child)
	}
	if down := w.s.Pipelines(77); len(down) != 1 || down[0].Source != "pipeline" || down[0].SourcePipelineID != ref.ID {
		t.Errorf("downstream: %+v", down)
	}
	childRef := gitlabsim.PipelineRef{ProjectID: w.web.ID, ID: child}
	w.finish(childRef, "leaf", "failed")
	w.wantStatus(ref, "failed")
	_, _, err = w.as("dev").Pipelines.RetryPipelineBuild(w.web.ID, child)
	must(t, err)
	w.wantStatus(ref, "running")
	must(t, w.s.FinishPipeline(ref.ProjectID, ref.ID, "success"))
	w.wantStatus(childRef, "success")
	w.wantStatus(ref, "success")
	if b := w.s.Bridges(ref.ProjectID, ref.ID); len(b) != 3 || b[0].DownstreamPipelineID != child {
		t.Errorf("bridges: %+v", b)
	}
}

func TestCancelReachesChildPipelines(t *testing.T) {
	w := newWorld(t)
	w.web.SetCI([]string{"a"}, []gitlabsim.JobSpec{{Name: "child", Stage: "a", Trigger: &gitlabsim.TriggerSpec{
		Depend: true, Stages: []string{"x"}, Jobs: []gitlabsim.JobSpec{{Name: "leaf", Stage: "x"}},
	}}})
	ref := w.push()
	child := w.s.Bridges(ref.ProjectID, ref.ID)[0].DownstreamPipelineID
	_, _, err := w.as("dev").Pipelines.CancelPipelineBuild(ref.ProjectID, ref.ID)
	must(t, err)
	w.wantStatus(ref, "canceled")
	w.wantStatus(gitlabsim.PipelineRef{ProjectID: w.web.ID, ID: child}, "canceled")
}

func TestProjectsThatTriggerEachOtherStop(t *testing.T) {
	w := newWorld(t)
	w.web.SetCI([]string{"a"}, []gitlabsim.JobSpec{{Name: "again", Stage: "a", Trigger: &gitlabsim.TriggerSpec{ProjectID: w.web.ID}}})
	w.push()
	all := w.s.Pipelines(w.web.ID)
	last := all[len(all)-1]
	if b := w.s.Bridges(w.web.ID, last.ID); b[0].FailureReason != "reached_max_descendant_pipelines_depth" {
		t.Errorf("%d pipelines, last bridge %+v", len(all), b)
	}
}

func TestTraceIsWholeAndHasNoRanges(t *testing.T) {
	w := newWorld(t)
	ref := w.push()
	job := w.job(ref, "compile").ID
	path := fmt.Sprintf("/api/v4/projects/%d/jobs/%d/trace", ref.ProjectID, job)
	code, h, body := w.raw("GET", path, "tok-dev", "")
	if code != 200 || body != "" || h.Get("Content-Type") != "text/plain" {
		t.Errorf("no trace: %d %q %s", code, body, h.Get("Content-Type"))
	}
	must(t, w.s.StartJob(job))
	must(t, w.s.AppendTrace(job, "one\n"))
	must(t, w.s.AppendTrace(job, "two\n"))
	r, _, err := w.as("dev").Jobs.GetTraceFile(ref.ProjectID, job, gitlab.WithHeader("Range", "bytes=4-"))
	must(t, err)
	buf := make([]byte, 64)
	n, _ := r.Read(buf)
	if got := string(buf[:n]); got != "one\ntwo\n" {
		t.Errorf("trace is %q", got)
	}
	must(t, w.s.FinishJob(job, "failed", "", "runner_system_failure"))
	got, _, err := w.as("dev").Jobs.GetJob(ref.ProjectID, job)
	must(t, err)
	if got.FailureReason != "runner_system_failure" || got.Status != "failed" || got.FinishedAt == nil {
		t.Errorf("job is %s %s", got.Status, got.FailureReason)
	}
	all, _, err := w.as("dev").Jobs.ListProjectJobs(ref.ProjectID, nil)
	must(t, err)
	if len(all) != 4 {
		t.Errorf("%d jobs in the project", len(all))
	}
}

func TestDurationIsTheTimeThatJobsRan(t *testing.T) {
	w := newWorld(t)
	ref := w.push()
	w.pass(7 * time.Second)
	must(t, w.s.Step(ref.ProjectID, ref.ID))
	w.pass(20 * time.Second)
	w.finish(ref, "compile", "success")
	w.pass(time.Minute) // nobody runs
	must(t, w.s.Step(ref.ProjectID, ref.ID))
	w.pass(10 * time.Second)
	w.finish(ref, "lint", "success")
	w.pass(5 * time.Second)
	w.finish(ref, "unit", "failed")
	p, _, err := w.as("dev").Pipelines.GetPipeline(ref.ProjectID, ref.ID)
	must(t, err)
	if p.Duration != 35 || p.QueuedDuration != 7 || p.FinishedAt == nil {
		t.Errorf("duration %d, queued %d, finished %v", p.Duration, p.QueuedDuration, p.FinishedAt)
	}
	j, _, err := w.as("dev").Jobs.GetJob(ref.ProjectID, w.job(ref, "unit").ID)
	must(t, err)
	if j.Duration != 15 || j.QueuedDuration != 60 {
		t.Errorf("job ran %v after %v", j.Duration, j.QueuedDuration)
	}
}

func TestFinishPipelineFailsTheLastReachableJob(t *testing.T) {
	w := newWorld(t)
	ref := w.push()
	must(t, w.s.FinishPipeline(ref.ProjectID, ref.ID, "failed"))
	w.wantStatus(ref, "failed")
	w.wantJob(ref, "compile", "success")
	w.wantJob(ref, "unit", "failed")
	w.wantJob(ref, "lint", "success")
	w.wantJob(ref, "production", "skipped")
	if got := w.job(ref, "unit").Trace; !strings.Contains(got, "FAIL: TestCartTotal") {
		t.Errorf("trace of the failure:\n%s", got)
	}
	if err := w.s.FinishPipeline(ref.ProjectID, ref.ID, "failed"); err == nil {
		t.Error("a finished pipeline failed again")
	}
	other := w.push()
	must(t, w.s.FinishPipeline(other.ProjectID, other.ID, "canceled"))
	w.wantStatus(other, "canceled")
}

func TestMistakesOfTheTestAreErrors(t *testing.T) {
	w := newWorld(t)
	ref := w.push()
	job := w.job(ref, "unit").ID
	for name, err := range map[string]error{
		"start unknown":          w.s.StartJob(9),
		"start created":          w.s.StartJob(job),
		"finish created":         w.s.FinishJob(job, "success", "", ""),
		"finish as running":      w.s.FinishJob(job, "running", "", ""),
		"append unknown":         w.s.AppendTrace(9, "x"),
		"cancel unknown":         w.s.CancelJob(9),
		"step unknown":           w.s.Step(ref.ProjectID, 9),
		"finish pipeline":        w.s.FinishPipeline(9, ref.ID, "success"),
		"finish pipeline as odd": w.s.FinishPipeline(ref.ProjectID, ref.ID, "odd"),
		"resend unknown":         w.s.Resend(5),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a push to an unknown project did not panic")
		}
	}()
	w.s.Push(999, "main", "x", "dev")
}

func TestBridgesArePlayedAndRetriedLikeJobs(t *testing.T) {
	w := newWorld(t)
	w.web.SetCI([]string{"a"}, []gitlabsim.JobSpec{{Name: "fan", Stage: "a", Manual: true, Trigger: &gitlabsim.TriggerSpec{
		Depend: true, Stages: []string{"x"}, Jobs: []gitlabsim.JobSpec{{Name: "leaf", Stage: "x"}},
	}}})
	ref := w.push()
	w.wantStatus(ref, "manual")
	bridge := w.s.Bridges(ref.ProjectID, ref.ID)[0].ID
	base := fmt.Sprintf("/api/v4/projects/%d/jobs/", ref.ProjectID)
	if code, _, _ := w.raw("GET", fmt.Sprint(base, bridge), "tok-dev", ""); code != 404 {
		t.Errorf("GET of a bridge as a job: %d", code)
	}
	code, _, body := w.raw("POST", fmt.Sprint(base, bridge, "/play"), "tok-dev", "")
	if code != 200 || !strings.Contains(body, `"downstream_pipeline":{`) {
		t.Errorf("play: %d %s", code, body)
	}
	w.finish(gitlabsim.PipelineRef{ProjectID: ref.ProjectID, ID: ref.ID + 1}, "leaf", "failed")
	w.wantStatus(ref, "failed")
	code, _, body = w.raw("POST", fmt.Sprint(base, bridge, "/retry"), "tok-dev", "")
	if code != 201 || !strings.Contains(body, `"downstream_pipeline":{`) {
		t.Errorf("retry: %d %s", code, body)
	}
	w.wantStatus(ref, "running")
	if n := len(w.s.Pipelines(ref.ProjectID)); n != 3 {
		t.Errorf("%d pipelines, want the parent and two children", n)
	}
}

func TestFormsAndListsAreReadAsJSONIs(t *testing.T) {
	w := newWorld(t)
	req, err := http.NewRequestWithContext(t.Context(), "POST", fmt.Sprintf("https://x/api/v4/projects/%d/pipeline", w.web.ID), strings.NewReader("ref=main"))
	must(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("PRIVATE-TOKEN", "tok-dev")
	resp, err := w.s.Client().Do(req)
	must(t, err)
	if body := readAll(t, resp); resp.StatusCode != 201 {
		t.Errorf("form: %d %s", resp.StatusCode, body)
	}
	for query, want := range map[string]int{"scope[]=pending&scope[]=created": 4, "scope=pending": 1, "scope[]=created": 3} {
		_, _, body := w.raw("GET", fmt.Sprintf("/api/v4/projects/%d/pipelines/101/jobs?%s", w.web.ID, query), "tok-dev", "")
		if got := strings.Count(body, `"allow_failure"`); got != want {
			t.Errorf("%s: %d jobs, want %d", query, got, want)
		}
	}
}
