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

// allEvents are the flags of a hook that hears everything that the simulator says.
func allEvents() map[string]bool {
	on := map[string]bool{}
	for _, flag := range []string{
		"push_events", "tag_push_events", "pipeline_events", "job_events", "merge_requests_events", "note_events", "deployment_events",
		"releases_events",
	} {
		on[flag] = true
	}
	return on
}

func TestTheLifeOfAMergeRequest(t *testing.T) {
	w := newWorld(t)
	w.web.SetCI(nil, nil)
	w.s.CreateBranch(w.web.ID, "cart", "main", "dev")
	w.web.AddHook(gitlabsim.Hook{URL: receiver, Events: allEvents()})
	mr := w.s.OpenMergeRequest(w.web.ID, gitlabsim.MergeRequest{Title: "Add cart", SourceBranch: "cart", Draft: true, Approvals: 2}, "dev")
	id, iid := w.web.ID, mr.IID
	for _, step := range []func(){
		func() { w.s.SetDraft(id, iid, false, "dev") },
		func() { w.s.PushMergeRequest(id, iid, "Mend cart", "dev") },
		func() { w.s.ApproveMergeRequest(id, iid, "mara") },
		func() { w.s.ApproveMergeRequest(id, iid, "mara") }, // nothing new
		func() { w.s.ApproveMergeRequest(id, iid, "owen") },
		func() { w.s.UnapproveMergeRequest(id, iid, "owen") },
		func() { w.s.UnapproveMergeRequest(id, iid, "mara") },
		func() { w.s.EditMergeRequest(id, iid, "Add the cart", "dev") },
		func() { w.s.CloseMergeRequest(id, iid, "mara") },
		func() { w.s.ReopenMergeRequest(id, iid, "mara") },
		func() { w.s.MergeMergeRequest(id, iid, "mara") },
		func() { w.s.CloseMergeRequest(id, iid, "mara") }, // too late
	} {
		w.pass(time.Second)
		step()
	}
	got, last := []string{}, ""
	for _, d := range w.hooks("Merge Request Hook") {
		e := decode[*gitlab.MergeEvent](t, d)
		a := e.ObjectAttributes
		line := fmt.Sprintf("%s %s by %s: %s", a.Action, a.State, e.User.Username, a.Title)
		if a.OldRev != "" {
			line += " (new commits)"
		}
		got = append(got, line)
		if a.UpdatedAt <= last || a.IID != iid || a.TargetBranch != "main" || a.URL != "https://gitlab.example.com/group/web-shop/-/merge_requests/1" {
			t.Errorf("updated_at %q after %q, iid %d into %q at %s", a.UpdatedAt, last, a.IID, a.TargetBranch, a.URL)
		}
		last = a.UpdatedAt
	}
	want := []string{
		"open opened by dev: Draft: Add cart", "update opened by dev: Add cart", "update opened by dev: Add cart (new commits)",
		"approval opened by mara: Add cart", "approved opened by owen: Add cart", "unapproved opened by owen: Add cart",
		"unapproval opened by mara: Add cart", "update opened by dev: Add the cart", "close closed by mara: Add the cart",
		"reopen opened by mara: Add the cart", "merge merged by mara: Add the cart",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("hooks (-want +got):\n%s", diff)
	}
	if got := w.s.MergeRequest(id, iid); got.State != "merged" || got.Draft {
		t.Errorf("got %+v", got)
	}
	pushes := w.hooks("Push Hook")
	if e := decode[*gitlab.PushEvent](t, pushes[len(pushes)-1]); e.Ref != "refs/heads/main" || e.Commits[0].Title != "Merge branch 'cart' into 'main'" {
		t.Errorf("the merge pushed %s to %s", e.Commits[0].Title, e.Ref)
	}
}

func TestMergeRequestPayloadsTellWhatChanged(t *testing.T) {
	w := newWorld(t)
	w.s.CreateBranch(w.web.ID, "cart", "main", "dev")
	w.web.AddHook(gitlabsim.Hook{URL: receiver})
	mr := w.s.OpenMergeRequest(w.web.ID, gitlabsim.MergeRequest{Title: "Add cart", SourceBranch: "cart"}, "dev")
	w.s.SetDraft(w.web.ID, mr.IID, true, "dev")
	_, ref := w.s.PushMergeRequest(w.web.ID, mr.IID, "More", "dev")
	w.s.ApproveMergeRequest(w.web.ID, mr.IID, "mara")
	hooks := w.hooks("Merge Request Hook")
	draft := decode[*gitlab.MergeEvent](t, hooks[1])
	if !draft.ObjectAttributes.Draft || draft.ObjectAttributes.DetailedMergeStatus != "draft_status" || draft.Changes.Title.Previous != "Add cart" ||
		draft.Changes.Title.Current != "Draft: Add cart" || !draft.Changes.Draft.Current {
		t.Errorf("draft %t, changes %+v", draft.ObjectAttributes.Draft, draft.Changes)
	}
	approved := decode[*gitlab.MergeEvent](t, hooks[3])
	if head := approved.ObjectAttributes.HeadPipelineID; approved.ObjectAttributes.Action != "approved" || head == nil || *head != ref.ID {
		t.Errorf("one approval where none is needed: %q, head pipeline %v", approved.ObjectAttributes.Action, head)
	}
}

func TestNotesFireHooksHoweverTheyAreMade(t *testing.T) {
	w := newWorld(t)
	w.web.AddHook(gitlabsim.Hook{URL: receiver, Events: allEvents()})
	mr := w.s.OpenMergeRequest(w.web.ID, gitlabsim.MergeRequest{Title: "Add cart", SourceBranch: "main"}, "dev")
	first := w.s.Comment(w.web.ID, mr.IID, "dev", "/kovra run <x>")
	second := w.s.Reply(w.web.ID, mr.IID, first.DiscussionID, "mara", "No")
	n, _, err := w.as("").Discussions.AddMergeRequestDiscussionNote(w.web.ID, mr.IID, first.DiscussionID,
		&gitlab.AddMergeRequestDiscussionNoteOptions{Body: new("Done")})
	must(t, err)
	if n.Body != "Done" || n.Author.Username != gitlabsim.BotUsername || n.NoteableIID != mr.IID {
		t.Errorf("got %+v", n)
	}
	alone, _, err := w.as("rita").Notes.CreateMergeRequestNote(w.web.ID, mr.IID, &gitlab.CreateMergeRequestNoteOptions{Body: new("Hello")})
	must(t, err)
	got := []string{}
	for _, d := range w.hooks("Note Hook") {
		e := decode[*gitlab.MergeCommentEvent](t, d)
		a := e.ObjectAttributes
		got = append(got, fmt.Sprintf("%s: %s, thread %t, !%d", e.User.Username, a.Note, a.DiscussionID == first.DiscussionID, e.MergeRequest.IID))
		if a.Action != "create" || a.System || !strings.HasSuffix(a.URL, fmt.Sprintf("/-/merge_requests/1#note_%d", a.ID)) || a.NoteableType != "MergeRequest" {
			t.Errorf("got %+v", a)
		}
	}
	want := []string{
		"dev: /kovra run <x>, thread true, !1", "mara: No, thread true, !1", "chatops-bot: Done, thread true, !1",
		"rita: Hello, thread false, !1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("hooks (-want +got):\n%s", diff)
	}
	list, _, err := w.as("dev").Notes.ListMergeRequestNotes(w.web.ID, mr.IID, nil)
	must(t, err)
	if len(list) != 4 || list[0].ID != alone.ID || list[3].ID != first.ID {
		t.Errorf("%d notes, newest %d", len(list), list[0].ID)
	}
	if all := w.s.Notes(w.web.ID, mr.IID); len(all) != 4 || all[1] != second || all[2].Author != gitlabsim.BotUsername {
		t.Errorf("got %+v", all)
	}
	read, _, err := w.as("dev").MergeRequests.GetMergeRequest(w.web.ID, mr.IID, nil)
	must(t, err)
	if read.Title != "Add cart" || read.Author.Username != "dev" || read.UserNotesCount != 4 {
		t.Errorf("got %+v", read)
	}
	if _, _, page := w.raw("GET", "/group/web-shop/-/merge_requests/1", "", ""); !strings.Contains(page, "run &lt;x&gt;") {
		t.Errorf("the page does not show the comments: %s", page)
	}
}

func TestNotesAreRefused(t *testing.T) {
	w := newWorld(t)
	mr := w.s.OpenMergeRequest(w.web.ID, gitlabsim.MergeRequest{Title: "Add cart", SourceBranch: "main"}, "dev")
	thread := w.s.Comment(w.web.ID, mr.IID, "dev", "x").DiscussionID
	base := fmt.Sprintf("/api/v4/projects/%d/merge_requests", w.web.ID)
	for _, tt := range []struct {
		name, user, path, body string
		code                   int
		want                   string
	}{
		{"no such merge request", "dev", "/9/notes", `{"body":"x"}`, 404, "404 Not found"},
		{"iid is a word", "dev", "/x/notes", `{"body":"x"}`, 400, "merge_request_iid is invalid"},
		{"no such thread", "dev", "/1/discussions/abc/notes", `{"body":"x"}`, 404, "404 Discussion Not Found"},
		{"no body", "dev", "/1/discussions/" + thread + "/notes", `{}`, 400, "body is missing"},
		{"blank", "dev", "/1/notes", `{"body":" "}`, 400, "can't be blank"},
		{"a Guest", "gus", "/1/notes", `{"body":"x"}`, 404, "404 Not found"},
		{"a stranger", "eve", "/1/notes", `{"body":"x"}`, 404, "404 Project Not Found"},
	} {
		code, _, body := w.raw("POST", base+tt.path, "tok-"+tt.user, tt.body)
		if code != tt.code || !strings.Contains(body, tt.want) {
			t.Errorf("%s: got %d %s, want %d with %q", tt.name, code, body, tt.code, tt.want)
		}
	}
	if n := len(w.s.Notes(w.web.ID, mr.IID)); n != 1 {
		t.Errorf("%d notes", n)
	}
}

func TestDeploymentsAndTheirApprovals(t *testing.T) {
	w := newWorld(t)
	ref := w.push()
	job := w.job(ref, "production").ID
	w.web.AddHook(gitlabsim.Hook{URL: receiver, Events: allEvents()})
	d := w.s.CreateDeployment(w.web.ID, gitlabsim.Deployment{Environment: "production", JobID: job}, "dev")
	for _, status := range []string{"blocked", "running", "success"} {
		w.pass(time.Second)
		if status == "running" {
			w.s.ApproveDeployment(w.web.ID, d.ID, "owen", false, "Not on a Friday")
			w.s.ApproveDeployment(w.web.ID, d.ID, "mara", true, "Go")
		}
		w.s.SetDeployment(w.web.ID, d.ID, status)
	}
	w.s.CreateDeployment(w.web.ID, gitlabsim.Deployment{Environment: "review/cart", Status: "failed"}, "")
	got := []string{}
	for _, h := range w.hooks("Deployment Hook") {
		e := decode[*gitlab.DeploymentEvent](t, h)
		raw := fields(t, h.Body)
		line := fmt.Sprintf("%s %s", e.Environment, e.Status)
		if by, yes := raw["approver"].(map[string]any); yes {
			line += fmt.Sprintf(" by %v: %v", by["username"], raw["approval"].(map[string]any)["comment"])
		}
		got = append(got, line)
		if e.Environment == "production" && (e.DeploymentID != d.ID || e.DeployableID != job || raw["environment_tier"] != "production" || e.User.Username != "dev") {
			t.Errorf("got %+v", e)
		}
		if e.Environment != "production" && (raw["deployable_url"] != nil || raw["environment_slug"] != "review-cart" || raw["environment_tier"] != "development") {
			t.Errorf("a deployment by the API: %v", raw)
		}
		if e.Ref != "main" || !strings.HasPrefix(e.CommitURL, "https://gitlab.example.com/group/web-shop/-/commit/"+e.ShortSHA) {
			t.Errorf("ref %q, commit %q", e.Ref, e.CommitURL)
		}
	}
	want := []string{
		"production created", "production blocked", "production rejected by owen: Not on a Friday", "production approved by mara: Go",
		"production running", "production success", "review/cart failed",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("hooks (-want +got):\n%s", diff)
	}
	if at := fields(t, w.hooks("Deployment Hook")[1].Body)["status_changed_at"]; at != "2026-11-20T09:00:01.000+00:00" {
		t.Errorf("status_changed_at %v", at)
	}
}

func TestReleases(t *testing.T) {
	w := newWorld(t)
	w.s.CreateTag(w.web.ID, "v1", "main", "dev")
	w.web.AddHook(gitlabsim.Hook{URL: receiver, Events: allEvents()})
	w.s.CreateRelease(w.web.ID, gitlabsim.Release{Tag: "v1", Description: "First"})
	w.s.UpdateRelease(w.web.ID, "v1", "One", "The first")
	w.s.DeleteRelease(w.web.ID, "v1")
	got := []string{}
	for _, d := range w.hooks("Release Hook") {
		e := decode[*gitlab.ReleaseEvent](t, d)
		got = append(got, fmt.Sprintf("%s %s %s: %s", e.Action, e.Tag, e.Name, e.Description))
		if e.URL != "https://gitlab.example.com/group/web-shop/-/releases/v1" || e.Commit.ID == "" || e.Assets.Count != 4 {
			t.Errorf("got %+v", e)
		}
		if _, has := fields(t, d.Body)["user"]; has {
			t.Error("a release hook has no user")
		}
	}
	if diff := cmp.Diff([]string{"create v1 v1: First", "update v1 One: The first", "delete v1 One: The first"}, got); diff != "" {
		t.Errorf("hooks (-want +got):\n%s", diff)
	}
}

// Each kind has its flag, and only what is flagged goes out, from the moment that PUT says so.
func TestFlagsDecideWhatGoesOut(t *testing.T) {
	w := newWorld(t)
	w.web.SetCI(nil, nil)
	hook := w.web.AddHook(gitlabsim.Hook{URL: receiver, Events: map[string]bool{"push_events": true}})
	mr := w.s.OpenMergeRequest(w.web.ID, gitlabsim.MergeRequest{Title: "Add cart", SourceBranch: "main"}, "dev")
	for i, tt := range []struct{ flag, event string }{
		{"merge_requests_events", "Merge Request Hook"},
		{"note_events", "Note Hook"},
		{"deployment_events", "Deployment Hook"},
		{"releases_events", "Release Hook"},
		{"tag_push_events", "Tag Push Hook"},
	} {
		fire := func(n int) {
			tag := fmt.Sprintf("v%d.%d", i, n)
			w.s.CreateTag(w.web.ID, tag, "main", "dev")
			w.s.CreateRelease(w.web.ID, gitlabsim.Release{Tag: tag})
			w.s.EditMergeRequest(w.web.ID, mr.IID, tag, "dev")
			w.s.Comment(w.web.ID, mr.IID, "dev", tag)
			w.s.CreateDeployment(w.web.ID, gitlabsim.Deployment{Environment: "staging"}, "dev")
		}
		for n, on := range []bool{true, false} {
			code, _, body := w.raw("PUT", fmt.Sprintf("/api/v4/projects/%d/hooks/%d", w.web.ID, hook), "tok-mara", fmt.Sprintf(`{%q:%t}`, tt.flag, on))
			if code != http.StatusOK || !strings.Contains(body, fmt.Sprintf("%q:%t", tt.flag, on)) {
				t.Fatalf("PUT: %d %s", code, body)
			}
			before := len(w.s.Deliveries())
			fire(n)
			must(t, w.s.SendAll(t.Context()))
			events := []string{}
			for _, d := range w.s.Deliveries()[before:] {
				events = append(events, d.Event)
			}
			want := []string{}
			if on {
				want = append(want, tt.event)
			}
			if diff := cmp.Diff(want, events); diff != "" {
				t.Errorf("%s=%t (-want +got):\n%s", tt.flag, on, diff)
			}
		}
	}
}

func TestSamplesOfTheNewKinds(t *testing.T) {
	w := newWorld(t)
	hook := w.web.AddHook(gitlabsim.Hook{URL: receiver, Events: allEvents()})
	test := func(trigger gitlab.ProjectHookEvent) error {
		w.pass(time.Minute) // so many tests at once are too many
		_, err := w.as("mara").Projects.TriggerTestProjectHook(w.web.ID, hook, trigger)
		return err
	}
	for trigger, words := range map[gitlab.ProjectHookEvent]string{
		"note_events": "has notes", "deployment_events": "has deployments", "releases_events": "has releases",
	} {
		wantRefusal(t, test(trigger), http.StatusUnprocessableEntity, words)
	}
	mr := w.s.OpenMergeRequest(w.web.ID, gitlabsim.MergeRequest{Title: "Add cart", SourceBranch: "main"}, "dev")
	w.s.Comment(w.web.ID, mr.IID, "dev", "x")
	w.s.CreateDeployment(w.web.ID, gitlabsim.Deployment{Environment: "staging"}, "dev")
	w.s.CreateTag(w.web.ID, "v1", "main", "dev")
	w.s.CreateRelease(w.web.ID, gitlabsim.Release{Tag: "v1"})
	for _, trigger := range []gitlab.ProjectHookEvent{"note_events", "deployment_events", "releases_events", "merge_requests_events"} {
		must(t, test(trigger))
	}
}
