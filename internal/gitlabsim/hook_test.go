package gitlabsim_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"kovra.dev/chatops/internal/gitlabsim"
)

const receiver = "https://bot.example.com/hooks"

var signingToken = "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))

func TestEveryPipelineStatusFiresAPipelineHook(t *testing.T) {
	w := newWorld(t)
	w.web.AddHook(gitlabsim.Hook{URL: receiver})
	ref := w.push()
	must(t, w.s.FinishPipeline(ref.ProjectID, ref.ID, "failed"))
	got := []string{}
	for _, d := range w.hooks("Pipeline Hook") {
		e := decode[*gitlab.PipelineEvent](t, d)
		got = append(got, e.ObjectAttributes.Status)
		if e.ObjectAttributes.ID != ref.ID || e.Project.PathWithNamespace != "group/web-shop" || e.ObjectAttributes.URL != ref.WebURL {
			t.Errorf("payload names pipeline %d of %s at %s", e.ObjectAttributes.ID, e.Project.PathWithNamespace, e.ObjectAttributes.URL)
		}
	}
	if diff := cmp.Diff([]string{"created", "pending", "running", "failed"}, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
}

func TestEveryJobStatusFiresAJobHook(t *testing.T) {
	w := newWorld(t)
	w.web.AddHook(gitlabsim.Hook{URL: receiver})
	ref := w.push()
	job := w.job(ref, "compile")
	must(t, w.s.StartJob(job.ID))
	must(t, w.s.FinishJob(job.ID, "failed", "boom\n", ""))
	got := []string{}
	for _, d := range w.hooks("Job Hook") {
		e := decode[*gitlab.JobEvent](t, d)
		if e.BuildID == job.ID {
			got = append(got, e.BuildStatus+" "+e.BuildFailureReason)
		}
		if e.ObjectKind != "build" || e.Commit.ID != ref.ID || e.ProjectName != "Group / Web Shop" || e.PipelineID != ref.ID {
			t.Errorf("%s: commit.id %d, project_name %q", e.ObjectKind, e.Commit.ID, e.ProjectName)
		}
	}
	want := []string{"created unknown_failure", "pending unknown_failure", "running unknown_failure", "failed script_failure"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
}

func TestPayloadsUseTheOldTimeFormat(t *testing.T) {
	w := newWorld(t)
	w.web.AddHook(gitlabsim.Hook{URL: receiver})
	ref := w.push()
	must(t, w.s.StartJob(w.job(ref, "compile").ID))
	pipelines, jobs := w.hooks("Pipeline Hook"), w.hooks("Job Hook")
	p := decode[*gitlab.PipelineEvent](t, pipelines[len(pipelines)-1])
	if p.ObjectAttributes.CreatedAt != "2026-11-20 09:00:00 UTC" || p.Builds[0].StartedAt != "2026-11-20 09:00:00 UTC" {
		t.Errorf("pipeline created_at %q, build started_at %q", p.ObjectAttributes.CreatedAt, p.Builds[0].StartedAt)
	}
	j := decode[*gitlab.JobEvent](t, jobs[len(jobs)-1])
	if j.BuildStartedAt != "2026-11-20 09:00:00 UTC" || j.BuildStartedAtISO != "2026-11-20T09:00:00Z" {
		t.Errorf("build_started_at %q, iso %q", j.BuildStartedAt, j.BuildStartedAtISO)
	}
	if finished := fields(t, jobs[len(jobs)-1].Body)["build_finished_at"]; finished != nil {
		t.Errorf("a time that has not come is %v, want null", finished)
	}
}

func TestBuildsAreTheLatestAttemptsOnly(t *testing.T) {
	w := newWorld(t)
	w.web.SetCI([]string{"a", "b"}, []gitlabsim.JobSpec{
		{Name: "flaky", Stage: "a", Retry: 1},
		{Name: "child", Stage: "a", Trigger: &gitlabsim.TriggerSpec{Stages: []string{"x"}, Jobs: []gitlabsim.JobSpec{{Name: "leaf", Stage: "x"}}}},
		{Name: "gate", Stage: "b", Manual: true},
	})
	w.web.AddHook(gitlabsim.Hook{URL: receiver})
	ref := w.push()
	first := w.job(ref, "flaky").ID
	w.finish(ref, "flaky", "failed")
	w.finish(ref, "flaky", "success")
	var last, child *gitlab.PipelineEvent
	for _, d := range w.hooks("Pipeline Hook") {
		e := decode[*gitlab.PipelineEvent](t, d)
		if e.ObjectAttributes.ID == ref.ID {
			last = e
		} else {
			child = e
		}
	}
	names := []string{}
	for _, b := range last.Builds {
		names = append(names, fmt.Sprintf("%s %s manual=%v", b.Name, b.Status, b.Manual))
		if b.ID == first {
			t.Error("a retried attempt is among the builds")
		}
	}
	if diff := cmp.Diff([]string{"flaky success manual=false", "gate manual manual=true"}, names); diff != "" {
		t.Errorf("builds of the parent (-want +got):\n%s", diff)
	}
	if child.SourcePipeline.PipelineID != ref.ID || child.ObjectAttributes.Source != "parent_pipeline" {
		t.Errorf("source_pipeline of the child: %+v", child.SourcePipeline)
	}
	for _, d := range w.hooks("Job Hook") {
		if e := decode[*gitlab.JobEvent](t, d); e.BuildName == "child" {
			t.Error("a trigger job fired a job hook")
		}
	}
}

func TestMergeRequestPipelinesCarryTheSourceBranchAsRef(t *testing.T) {
	w := newWorld(t)
	w.s.CreateBranch(w.web.ID, "feature", "main", "dev")
	w.web.AddHook(gitlabsim.Hook{URL: receiver})
	mr := gitlabsim.MergeRequest{IID: 7, Title: "Cart", SourceBranch: "feature", TargetBranch: "main"}
	ref := w.s.RunMergeRequestPipeline(w.web.ID, mr, "dev")
	w.s.MergeRequestEvent(w.web.ID, mr, "open", "dev")
	w.s.MergeRequestEvent(w.web.ID, mr, "", "dev")
	p := decode[*gitlab.PipelineEvent](t, w.hooks("Pipeline Hook")[0])
	if p.ObjectAttributes.Ref != "feature" || p.MergeRequest.IID != 7 {
		t.Errorf("hook has ref %q of !%d", p.ObjectAttributes.Ref, p.MergeRequest.IID)
	}
	if got := w.s.Pipeline(ref.ProjectID, ref.ID).Ref; got != "refs/merge-requests/7/head" {
		t.Errorf("API has ref %q", got)
	}
	events := w.hooks("Merge Request Hook")
	m := decode[*gitlab.MergeEvent](t, events[0])
	if m.ObjectAttributes.Action != "open" || m.ObjectAttributes.IID != 7 || m.ObjectAttributes.LastCommit.ID == "" {
		t.Errorf("merge request hook: %+v", m.ObjectAttributes)
	}
	attributes, _ := fields(t, events[1].Body)["object_attributes"].(map[string]any)
	if _, present := attributes["action"]; present {
		t.Error("a change by the system has an action")
	}
}

func TestPushAndTagPushHooks(t *testing.T) {
	w := newWorld(t)
	w.web.AddHook(gitlabsim.Hook{URL: receiver})
	w.web.Push("feature/x", "Start", "dev")
	w.s.DeleteBranch(w.web.ID, "feature/x", "dev")
	w.s.CreateTag(w.web.ID, "v1.0", "main", "mara")
	pushes := w.hooks("Push Hook")
	made := decode[*gitlab.PushEvent](t, pushes[0])
	if !strings.HasPrefix(made.Before, "00000000") || made.Ref != "refs/heads/feature/x" || made.UserUsername != "dev" || len(made.Commits) != 1 {
		t.Errorf("push of a new branch: %+v", made)
	}
	gone := fields(t, pushes[1].Body)
	if gone["after"] != strings.Repeat("0", 40) || gone["checkout_sha"] != nil {
		t.Errorf("deletion: after %v, checkout_sha %v", gone["after"], gone["checkout_sha"])
	}
	if _, present := gone["user"]; present {
		t.Error("a push hook has a user object; GitLab's is flat")
	}
	tag := decode[*gitlab.TagEvent](t, w.hooks("Tag Push Hook")[0])
	if tag.Ref != "refs/tags/v1.0" || tag.ObjectKind != "tag_push" {
		t.Errorf("tag push: %s %s", tag.ObjectKind, tag.Ref)
	}
}

func TestPushHooksListCommits(t *testing.T) {
	w := newWorld(t)
	w.web.AddHook(gitlabsim.Hook{URL: receiver})
	first, _ := w.s.PushCommits(w.web.ID, "main", "dev", gitlabsim.NewCommit{
		Title: "Move", Change: gitlabsim.Change{Added: []string{"b/x"}, Removed: []string{"a/x"}},
	})
	var many []gitlabsim.NewCommit
	for i := range 25 {
		many = append(many, gitlabsim.NewCommit{Title: fmt.Sprint("Change ", i)})
	}
	last, _ := w.s.PushCommits(w.web.ID, "main", "dev", many...)
	w.s.ForcePush(w.web.ID, "main", first.SHA, "dev")
	pushes := w.hooks("Push Hook")
	one := decode[*gitlab.PushEvent](t, pushes[0])
	if c := one.Commits[0]; len(c.Added) != 1 || c.Added[0] != "b/x" || c.Removed[0] != "a/x" || c.Modified == nil || len(c.Modified) != 0 {
		t.Errorf("one commit: %+v", c)
	}
	listed := decode[*gitlab.PushEvent](t, pushes[1])
	if n := len(listed.Commits); n != 20 || listed.TotalCommitsCount != 25 || listed.Commits[n-1].ID != last.SHA || listed.Before != first.SHA {
		t.Errorf("25 commits: %d listed of %d, the last %s, before %s", n, listed.TotalCommitsCount, listed.Commits[n-1].ID, listed.Before)
	}
	back := decode[*gitlab.PushEvent](t, pushes[2])
	if back.Before != last.SHA || back.After != first.SHA || len(back.Commits) != 0 || back.TotalCommitsCount != 0 {
		t.Errorf("force push: %+v", back)
	}
}

func TestTagPushHooks(t *testing.T) {
	w := newWorld(t)
	w.web.AddHook(gitlabsim.Hook{URL: receiver})
	c, pl := w.s.CreateAnnotatedTag(w.web.ID, "v1.0", "main", "mara")
	w.s.DeleteTag(w.web.ID, "v1.0", "mara")
	tags := w.hooks("Tag Push Hook")
	made, gone := decode[*gitlab.TagEvent](t, tags[0]), decode[*gitlab.TagEvent](t, tags[1])
	if made.CheckoutSHA != c.SHA || made.After == c.SHA || len(made.Commits) != 1 {
		t.Errorf("annotated: after %s, checkout %s, want the commit %s as the latter alone", made.After, made.CheckoutSHA, c.SHA)
	}
	if gone.Before != made.After || strings.Trim(gone.After, "0") != "" || gone.CheckoutSHA != "" {
		t.Errorf("deleted: %s to %s, checkout %q", gone.Before, gone.After, gone.CheckoutSHA)
	}
	if pl.ID != 0 {
		if got, _, err := w.as("mara").Pipelines.GetPipeline(w.web.ID, pl.ID); err != nil || got.SHA != c.SHA {
			t.Errorf("its pipeline is of %+v, %v, want %s", got, err, c.SHA)
		}
	}
}

func TestPayloadsKeepAddressesPrivate(t *testing.T) {
	w := newWorld(t)
	w.web.AddHook(gitlabsim.Hook{URL: receiver})
	w.push()
	e := decode[*gitlab.PipelineEvent](t, w.hooks("Pipeline Hook")[0])
	if e.User.Email != "[REDACTED]" || e.Commit.Author.Email != "dev@example.com" || e.Commit.Timestamp == nil {
		t.Errorf("user %q, commit author %+v", e.User.Email, e.Commit.Author)
	}
}

func TestOnlyFlagsThatAreOnLetEventsOut(t *testing.T) {
	w := newWorld(t)
	w.web.AddHook(gitlabsim.Hook{URL: receiver, Events: map[string]bool{"pipeline_events": true}})
	w.push()
	if n := len(w.hooks("Push Hook")) + len(w.hooks("Job Hook")); n != 0 {
		t.Errorf("%d deliveries of kinds that are off", n)
	}
	if n := len(w.hooks("Pipeline Hook")); n != 2 {
		t.Errorf("%d pipeline hooks, want 2", n)
	}
}

func TestHeadersOfADelivery(t *testing.T) {
	w := newWorld(t)
	w.s.SetURL("https://git.example.org")
	w.web.AddHook(gitlabsim.Hook{URL: receiver, Token: "hush", SigningToken: signingToken})
	w.web.AddHook(gitlabsim.Hook{URL: receiver + "/plain"})
	w.push()
	deliveries := w.hooks("Push Hook")
	h := deliveries[0].Header
	for key, want := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "GitLab/19.4.0", "X-Gitlab-Event": "Push Hook",
		"X-Gitlab-Instance": "https://git.example.org", "X-Gitlab-Token": "hush", "webhook-id": h.Get("Idempotency-Key"),
	} {
		if got := h.Get(key); got != want || got == "" {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	plain := deliveries[1].Header
	if plain.Get("webhook-signature") != "" || plain.Get("X-Gitlab-Token") != "" || plain.Get("webhook-id") == "" {
		t.Errorf("a hook without secrets sent %v", plain)
	}
	if h.Get("Idempotency-Key") == plain.Get("Idempotency-Key") || h.Get("X-Gitlab-Webhook-UUID") == plain.Get("X-Gitlab-Webhook-UUID") {
		t.Error("two hooks share a delivery's identity")
	}
	all := w.s.Deliveries()
	if h.Get("X-Gitlab-Event-UUID") != all[len(all)-1].Header.Get("X-Gitlab-Event-UUID") {
		t.Error("hooks of one push do not share X-Gitlab-Event-UUID")
	}
}

func TestSignatureIsAStandardWebhook(t *testing.T) {
	s := gitlabsim.New(gitlabsim.Options{}) // on the real clock, which the verifier reads
	p := s.AddProject(gitlabsim.Project{Path: "group/web"})
	p.AddHook(gitlabsim.Hook{URL: receiver, SigningToken: signingToken})
	s.SetWebhookDelivery(func(context.Context, string, http.Header, []byte) (int, error) { return 200, nil })
	p.Push("main", "Signed", "dev")
	must(t, s.SendAll(t.Context()))
	verifier, err := standardwebhooks.NewWebhook(signingToken)
	must(t, err)
	d := s.Deliveries()[0]
	must(t, verifier.Verify(d.Body, d.Header))
	if verifier.Verify(append(d.Body, ' '), d.Header) == nil {
		t.Error("a changed body was verified")
	}
}

func TestResendKeepsTheIdempotencyKey(t *testing.T) {
	w := newWorld(t)
	w.web.AddHook(gitlabsim.Hook{URL: receiver})
	w.push()
	first := w.hooks("Push Hook")[0]
	must(t, w.s.Resend(0))
	both := w.hooks("Push Hook")
	if len(both) != 2 || both[1].Header.Get("Idempotency-Key") != first.Header.Get("Idempotency-Key") || string(both[1].Body) != string(first.Body) {
		t.Fatalf("resent: %d deliveries", len(both))
	}
	if both[1].Header.Get("X-Gitlab-Webhook-UUID") == first.Header.Get("X-Gitlab-Webhook-UUID") {
		t.Error("a resent delivery kept its own UUID")
	}
	path := fmt.Sprintf("/api/v4/projects/%d/hooks/%d/events", w.web.ID, first.HookID)
	code, _, body := w.raw("GET", path, "tok-mara", "")
	if code != 200 || !strings.Contains(body, `"trigger":"push_hooks"`) {
		t.Errorf("events: %d %s", code, body)
	}
	code, _, body = w.raw("POST", fmt.Sprintf("%s/%d/resend", path, first.ID), "tok-mara", "")
	if code != 201 || body != `{"response_status":200}` {
		t.Errorf("resend: %d %s", code, body)
	}
	if n := len(w.hooks("Push Hook")); n != 3 {
		t.Errorf("%d push hooks, want 3", n)
	}
	if code, _, _ = w.raw("POST", path+"/999/resend", "tok-mara", ""); code != 404 {
		t.Errorf("resend of nothing: %d", code)
	}
	w.answers(0)
	if code, _, body = w.raw("POST", fmt.Sprintf("%s/%d/resend", path, first.ID), "tok-mara", ""); code != 422 || !strings.Contains(body, "refused") {
		t.Errorf("resend into the void: %d %s", code, body)
	}
	if _, _, body = w.raw("GET", path+"?per_page=1", "tok-mara", ""); !strings.Contains(body, "internal error") {
		t.Errorf("event of a broken delivery: %s", body)
	}
}

func TestHooksAreManagedByMaintainers(t *testing.T) {
	w := newWorld(t)
	c := w.as("mara").Projects
	h, resp, err := c.AddProjectHook(w.web.ID, &gitlab.AddProjectHookOptions{
		URL: new(receiver), Token: new("hush"), PipelineEvents: new(true), PushEvents: new(false),
	})
	must(t, err)
	if resp.StatusCode != 201 || !h.TokenPresent || h.SigningTokenPresent || !h.PipelineEvents || h.PushEvents || h.AlertStatus != "executable" {
		t.Errorf("created %d: %+v", resp.StatusCode, h)
	}
	path := fmt.Sprintf("/api/v4/projects/%d/hooks/%d", w.web.ID, h.ID)
	code, _, body := w.raw("PUT", path, "tok-mara", `{"signing_token":"`+signingToken+`","job_events":true,"enable_ssl_verification":false}`)
	if code != 200 || strings.Contains(body, "whsec_") || strings.Contains(body, "hush") {
		t.Errorf("edit: %d %s", code, body)
	}
	h, _, err = c.GetProjectHook(w.web.ID, h.ID)
	must(t, err)
	if !h.SigningTokenPresent || !h.JobEvents || !h.PipelineEvents || h.EnableSSLVerification {
		t.Errorf("edited: %+v", h)
	}
	if secret := w.s.Hooks(w.web.ID)[0]; secret.Token != "hush" || secret.SigningToken != signingToken {
		t.Errorf("secrets: %+v", secret)
	}
	list, _, err := c.ListProjectHooks(w.web.ID, nil)
	must(t, err)
	if len(list) != 1 {
		t.Errorf("%d hooks", len(list))
	}
	resp, err = c.DeleteProjectHook(w.web.ID, h.ID)
	must(t, err)
	if resp.StatusCode != 204 || len(w.s.Hooks(w.web.ID)) != 0 {
		t.Errorf("deleted: %d", resp.StatusCode)
	}
}

func TestTestingAHookSendsASample(t *testing.T) {
	w := newWorld(t)
	id := w.web.AddHook(gitlabsim.Hook{URL: receiver})
	c := w.as("mara").Projects
	_, err := c.TriggerTestProjectHook(w.web.ID, id, gitlab.ProjectHookEventPipeline)
	wantRefusal(t, err, 422, "Ensure the project has CI pipelines.")
	_, err = c.TriggerTestProjectHook(w.web.ID, id, gitlab.ProjectHookEventJob)
	wantRefusal(t, err, 422, "Ensure the project has CI jobs.")
	_, err = c.TriggerTestProjectHook(w.web.ID, id, gitlab.ProjectHookEventTagPush)
	wantRefusal(t, err, 422, "Ensure the project has tags.")
	w.push()
	w.s.CreateTag(w.web.ID, "v1", "main", "dev")
	for _, event := range []gitlab.ProjectHookEvent{"push_events", "tag_push_events", "pipeline_events", "job_events", "merge_requests_events"} {
		w.pass(time.Minute) // so many tests at once are too many
		resp, err := c.TriggerTestProjectHook(w.web.ID, id, event)
		must(t, err)
		if resp.StatusCode != 201 {
			t.Errorf("%s: %d", event, resp.StatusCode)
		}
	}
	w.answers(500)
	_, err = c.TriggerTestProjectHook(w.web.ID, id, "push_events")
	wantRefusal(t, err, 422, "Internal Server Error")
	_, err = c.TriggerTestProjectHook(w.web.ID, id, "wiki_page_events")
	wantRefusal(t, err, 422, "no sample")
	_, err = c.TriggerTestProjectHook(w.web.ID, id, "nonsense")
	wantRefusal(t, err, 400, "trigger does not have a valid value")
}

func TestFailingHooksRestAndAreSwitchedOffAtTheFortieth(t *testing.T) {
	w := newWorld(t)
	id := w.web.AddHook(gitlabsim.Hook{URL: receiver, Events: map[string]bool{"merge_requests_events": true}})
	send := func() int {
		before := len(w.s.Deliveries())
		w.s.MergeRequestEvent(w.web.ID, gitlabsim.MergeRequest{IID: 1, SourceBranch: "main"}, "update", "dev")
		_ = w.s.SendAll(t.Context())
		return len(w.s.Deliveries()) - before
	}
	status := func() string { return w.s.Hooks(w.web.ID)[0].AlertStatus }
	w.answers(401)
	for range 3 {
		send()
	}
	if status() != "executable" {
		t.Errorf("after three failures the hook is %s", status())
	}
	w.s.MergeRequestEvent(w.web.ID, gitlabsim.MergeRequest{IID: 1, SourceBranch: "main"}, "update", "dev")
	if err := w.s.SendAll(t.Context()); err == nil || !strings.Contains(err.Error(), "status 401") {
		t.Errorf("SendAll says %v", err)
	}
	if status() != "temporarily_disabled" || send() != 0 {
		t.Errorf("after four failures the hook is %s", status())
	}
	w.pass(time.Minute + time.Second)
	if send() != 1 || status() != "temporarily_disabled" {
		t.Error("after a minute the hook did not try again")
	}
	w.pass(time.Minute + time.Second)
	if send() != 0 {
		t.Error("the second rest is not longer")
	}
	for range 35 {
		w.pass(25 * time.Hour)
		send()
	}
	if status() != "disabled" {
		t.Errorf("after forty failures the hook is %s", status())
	}
	w.answers(200)
	_, err := w.as("mara").Projects.TriggerTestProjectHook(w.web.ID, id, "push_events")
	must(t, err)
	if status() != "executable" || send() != 1 {
		t.Errorf("after a test that succeeded the hook is %s", status())
	}
}

func TestNothingIsSentAgainByItself(t *testing.T) {
	w := newWorld(t)
	w.web.AddHook(gitlabsim.Hook{URL: receiver, Events: map[string]bool{"push_events": true}})
	w.answers(500)
	w.push()
	if w.s.SendAll(t.Context()) == nil {
		t.Error("a 500 is no error")
	}
	w.answers(200)
	must(t, w.s.SendAll(t.Context()))
	if n := len(w.s.Deliveries()); n != 1 {
		t.Errorf("%d deliveries, want 1", n)
	}
}

func TestTheQueueCanBeHeldReorderedDuplicatedAndDropped(t *testing.T) {
	w := newWorld(t)
	w.web.AddHook(gitlabsim.Hook{URL: receiver, Events: map[string]bool{"pipeline_events": true}})
	ids := func() []int64 {
		list := []int64{}
		for _, d := range w.s.Deliveries() {
			list = append(list, d.ID)
		}
		return list
	}
	w.s.HoldHooks()
	w.push()
	must(t, w.s.SendAll(t.Context()))
	if len(ids()) != 0 || len(w.s.Waiting()) != 2 {
		t.Fatalf("held, yet %d sent", len(ids()))
	}
	w.s.ReleaseHooks(func(list []gitlabsim.Delivery) []gitlabsim.Delivery {
		slices.Reverse(list)
		return append(list, list[0])
	})
	must(t, w.s.SendAll(t.Context()))
	if diff := cmp.Diff([]int64{2, 1, 2}, ids()); diff != "" {
		t.Errorf("reordered (-want +got):\n%s", diff)
	}
	w.s.DropNext(1)
	w.s.DuplicateNext(1)
	w.push() // created is dropped, pending comes twice
	must(t, w.s.SendAll(t.Context()))
	sent := w.s.Deliveries()[3:]
	if len(sent) != 2 || w.s.Dropped() != 1 || sent[0].Header.Get("Idempotency-Key") != sent[1].Header.Get("Idempotency-Key") {
		t.Errorf("%d sent, %d dropped", len(sent), w.s.Dropped())
	}
}

func TestALateHookIsOvertaken(t *testing.T) {
	w := newWorld(t)
	w.web.AddHook(gitlabsim.Hook{URL: receiver, Events: map[string]bool{"pipeline_events": true}})
	w.s.LateNext()
	w.push()
	got := []string{}
	for _, d := range w.hooks("Pipeline Hook") {
		got = append(got, decode[*gitlab.PipelineEvent](t, d).ObjectAttributes.Status)
	}
	if diff := cmp.Diff([]string{"pending", "created"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	w.s.DropNext(1)
	w.s.LateNext()
	w.push()
	if n := len(w.hooks("Pipeline Hook")); n != 2 || len(w.s.Waiting()) != 1 {
		t.Errorf("a late hook left with nothing behind it: %d sent", n)
	}
	w.s.ReleaseHooks(nil)
	if n := len(w.hooks("Pipeline Hook")); n != 3 {
		t.Errorf("after the release %d were sent, want 3", n)
	}
}

func TestWebhooksGoOverHTTPByDefault(t *testing.T) {
	got := make(chan *http.Request, 1)
	target := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		select {
		case got <- r:
		default:
		}
		http.Redirect(rw, r, "/elsewhere", http.StatusFound) // must not be followed
	}))
	defer target.Close()
	s := gitlabsim.New(gitlabsim.Options{IDBase: 5000})
	p := s.AddProject(gitlabsim.Project{Path: "group/web"})
	p.AddHook(gitlabsim.Hook{URL: target.URL + "/hooks"})
	p.Push("main", "Real", "dev")
	must(t, s.SendAll(t.Context()))
	if r := <-got; r.URL.Path != "/hooks" || r.Header.Get("X-Gitlab-Event") != "Push Hook" {
		t.Errorf("received %s %s", r.URL.Path, r.Header.Get("X-Gitlab-Event"))
	}
	if d := s.Deliveries()[0]; d.Status != 302 || p.ID != 5001 {
		t.Errorf("answer %d, project %d", d.Status, p.ID)
	}
	target.Close()
	p.Push("main", "Nobody listens", "dev")
	if err := s.SendAll(t.Context()); err == nil {
		t.Error("a refused connection is no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.SendAll(ctx); err == nil {
		t.Error("a cancelled context is no error")
	}
}

func TestRunSendsHooksAndSettlesCancellations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.web.AddHook(gitlabsim.Hook{URL: receiver})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.s.Run(ctx) }()
		ref := w.push()
		synctest.Wait()
		if n := len(w.s.Deliveries()); n == 0 || len(w.s.Waiting()) != 0 {
			t.Errorf("%d sent, %d wait", n, len(w.s.Waiting()))
		}
		must(t, w.s.Step(ref.ProjectID, ref.ID))
		must(t, w.s.CancelJob(w.job(ref, "compile").ID))
		w.wantJob(ref, "compile", "canceling")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		w.wantJob(ref, "compile", "canceled")
		cancel()
		must(t, <-done)
	})
}
