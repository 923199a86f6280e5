package webhooks

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

const mergeRequestBody = `{
  "object_kind": "merge_request", "event_type": "merge_request",
  "user": {"id": 2, "name": "Bob", "username": "bob", "email": "[REDACTED]"},
  "project": {"id": 7, "path_with_namespace": "group/web", "web_url": "https://gitlab.example.com/group/web"},
  "object_attributes": {
    "id": 990, "iid": 12, "title": "Draft: Add it", "state": "opened", "action": "open", "draft": true, "work_in_progress": true, "author_id": 1,
    "source_branch": "topic", "target_branch": "main", "source_project_id": 7, "target_project_id": 7, "head_pipeline_id": null, "oldrev": null,
    "created_at": "2026-01-12 15:23:28 UTC", "updated_at": "2026-01-12T16:23:29.500+01:00",
    "last_commit": {"id": "da1560886d4f094c3e6c9ef40349f7d38b5d27d7"}
  },
  "changes": {}, "assignees": [{"id": 1, "name": "Ann", "username": "ann"}]
}`

const deploymentBody = `{
  "object_kind": "deployment", "status": "running", "status_changed_at": "2026-01-12 17:23:28 +0200", "deployment_id": 15,
  "deployable_id": 796, "deployable_url": "https://gitlab.example.com/group/web/-/jobs/796", "environment": "staging",
  "environment_external_url": "https://staging.example.com", "project": {"id": 7}, "short_sha": "da156088", "ref": "main",
  "user": {"id": 2, "name": "Bob", "username": "bob"}, "commit_title": "Fix it",
  "commit_url": "https://gitlab.example.com/group/web/-/commit/da1560886d4f094c3e6c9ef40349f7d38b5d27d7"
}`

const releaseBody = `{
  "object_kind": "release", "id": 33, "action": "create", "name": "One", "tag": "v1", "description": " It works.\nReally. ", "created_at": "2026-01-12 15:23:28 UTC",
  "released_at": "2026-01-12 15:23:28 UTC", "url": "https://gitlab.example.com/group/web/-/releases/v1", "project": {"id": 7},
  "commit": {"id": "da1560886d4f094c3e6c9ef40349f7d38b5d27d7"}
}`

//nolint:misspell // GitLab calls it so
const noteBody = `{
  "object_kind": "note", "event_type": "note", "project_id": 7, "project": {"id": 7}, "user": {"id": 1, "name": "Ann", "username": "ann"},
  "object_attributes": {
    "id": 1244, "note": "/kovra retry", "noteable_type": "MergeRequest", "system": false, "action": "create", "discussion_id": "e1c5",
    "url": "https://gitlab.example.com/group/web/-/merge_requests/12#note_1244"
  },
  "merge_request": {"id": 990, "iid": 12, "source_branch": "topic", "target_branch": "main", "source_project_id": 7, "target_project_id": 7, "head_pipeline_id": 31}
}`

var subjectBodies = map[string]string{
	"Merge Request Hook": mergeRequestBody, "Deployment Hook": deploymentBody, "Release Hook": releaseBody, "Note Hook": noteBody,
}

const headCommit = "da1560886d4f094c3e6c9ef40349f7d38b5d27d7"

var ann, bob = kovra.GitLabUser{ID: 1, Username: "ann", Name: "Ann"}, kovra.GitLabUser{ID: 2, Username: "bob", Name: "Bob"}

func decodedSubjects(t *testing.T, body string) []kovra.Subject {
	t.Helper()
	h, err := decode(kovra.Delivery{Body: []byte(body), At: testNow}, false)
	if err != nil || h.seen != nil || h.push != nil {
		t.Fatalf("got %+v, %v", h, err)
	}
	return h.subjects
}

func TestDecodeSubjects(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want []kovra.Subject
	}{
		"merge request": {mergeRequestBody, []kovra.Subject{{
			Kind: kovra.SubjectMergeRequest, Key: "12", Title: "Draft: Add it", URL: "https://gitlab.example.com/group/web/-/merge_requests/12", By: ann,
			Ref: "main", Source: "topic", SHA: headCommit, State: "opened", Draft: true,
			CreatedAt: utc(2026, 1, 12, 15, 23, 28), UpdatedAt: utc(2026, 1, 12, 15, 23, 29).Add(time.Second / 2), MovedAt: testNow,
		}}},
		"deployment": {deploymentBody, []kovra.Subject{{
			Kind: kovra.SubjectDeployment, Key: "15", Title: "Fix it", URL: "https://gitlab.example.com/group/web/-/jobs/796", By: bob, Ref: "main", SHA: headCommit,
			State: "running", Environment: "staging", EnvironmentURL: "https://staging.example.com", JobURL: "https://gitlab.example.com/group/web/-/jobs/796",
			UpdatedAt: utc(2026, 1, 12, 15, 23, 28), MovedAt: testNow,
		}}},
		"release": {releaseBody, []kovra.Subject{{
			Kind: kovra.SubjectRelease, Key: "33", Title: "One", URL: "https://gitlab.example.com/group/web/-/releases/v1", Ref: "v1", SHA: headCommit,
			State: "created", Text: "It works.\nReally.", CreatedAt: utc(2026, 1, 12, 15, 23, 28), UpdatedAt: testNow, MovedAt: testNow,
		}}},
		"push": {strings.Replace(pushBody, `"id": 7,`, `"id": 7, "web_url": "https://gitlab.example.com/group/web",`, 1), []kovra.Subject{{
			Kind: kovra.SubjectPush, Key: "main@" + headCommit, Title: "Fix it", By: kovra.GitLabUser{ID: 4, Username: "ann", Name: "Ann"}, Ref: "main", SHA: headCommit,
			URL:   "https://gitlab.example.com/group/web/-/compare/95790bf891e76fee5e1747ab589903a6a1f80f22..." + headCommit,
			State: "pushed", Count: 2, UpdatedAt: testNow, MovedAt: testNow,
			Commits: []kovra.Commit{
				{SHA: "b6568db1bc1dcd7f8b4d5a946b0b91f9dacd7327", Title: "Older", Author: kovra.GitLabUser{Name: "Bob"}},
				{SHA: headCommit, Title: "Fix it", Author: kovra.GitLabUser{Name: "Eve"}},
			},
		}}},
		"a branch that is gone": {strings.Replace(pushBody, `"after": "`+headCommit, `"after": "`+zeros, 1), nil},
		"tag": {tagBody, []kovra.Subject{{
			Kind: kovra.SubjectTag, Key: "v1/rc@" + strings.Repeat("a", 40), Title: "Release", By: kovra.GitLabUser{Name: "Ann"}, Ref: "v1/rc",
			SHA: "82b3d5ae55f7080f1e6022629cdb57bfae7cccc7", State: "created", Created: true, UpdatedAt: testNow, MovedAt: testNow,
		}}},
		"a tag that is gone": {strings.NewReplacer(zeros, strings.Repeat("a", 40), strings.Repeat("a", 40), zeros, `"82b3d5ae55f7080f1e6022629cdb57bfae7cccc7", "user`, `null, "user`).Replace(tagBody), []kovra.Subject{{
			Kind: kovra.SubjectTag, Key: "v1/rc@" + strings.Repeat("a", 40), Ref: "v1/rc", State: "deleted", UpdatedAt: testNow, MovedAt: testNow,
		}}},
		"a tag that was moved": {strings.Replace(tagBody, zeros, strings.Repeat("b", 40), 1), []kovra.Subject{{
			Kind: kovra.SubjectTag, Key: "v1/rc@" + strings.Repeat("a", 40), Title: "Release", By: kovra.GitLabUser{Name: "Ann"}, Ref: "v1/rc",
			SHA: "82b3d5ae55f7080f1e6022629cdb57bfae7cccc7", State: "created", UpdatedAt: testNow, MovedAt: testNow,
		}, {
			Kind: kovra.SubjectTag, Key: "v1/rc@" + strings.Repeat("b", 40), Ref: "v1/rc", State: "moved", UpdatedAt: testNow,
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, decodedSubjects(t, c.body)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeMergeRequestVariants(t *testing.T) {
	const open = `"action": "open"`
	approval := func(u kovra.GitLabUser, approved bool) []kovra.Approval {
		return []kovra.Approval{{By: u, Approved: approved, At: testNow}}
	}
	for name, c := range map[string]struct {
		replace []string
		check   func(s kovra.Subject) bool
	}{
		"of this project":       {nil, func(s kovra.Subject) bool { return !s.Fork }},
		"of a fork":             {[]string{`"source_project_id": 7`, `"source_project_id": 8`}, func(s kovra.Subject) bool { return s.Fork && s.Source == "topic" }},
		"by the system":         {[]string{open, `"system": true`}, func(s kovra.Subject) bool { return s.MovedAt.IsZero() && s.State == "opened" }},
		"a new push":            {[]string{open, `"action": "update"`, `"oldrev": null`, `"oldrev": "abc"`}, func(s kovra.Subject) bool { return s.MovedAt.IsZero() }},
		"merged":                {[]string{open, `"action": "merge"`, `"opened"`, `"merged"`}, func(s kovra.Subject) bool { return s.MovedAt.Equal(testNow) && s.State == "merged" }},
		"closed, state unknown": {[]string{open, `"action": "close"`, `"state": "opened"`, `"x": 1`}, func(s kovra.Subject) bool { return s.State == "closed" && !s.MovedAt.IsZero() }},
		"opened again":          {[]string{open, `"action": "reopen"`, `"opened"`, `"reopened"`}, func(s kovra.Subject) bool { return s.State == "opened" && !s.MovedAt.IsZero() }},
		"no state at all":       {[]string{open, `"x": 1`, `"state": "opened"`, `"y": 1`}, func(s kovra.Subject) bool { return s.State == "" }},
		"ready": {
			[]string{open, `"action": "update"`, `"draft": true, "work_in_progress": true`, `"draft": false`, `"changes": {}`, `"changes": {"draft": {"previous": true, "current": false}}`},
			func(s kovra.Subject) bool { return !s.Draft && !s.MovedAt.IsZero() },
		},
		"ready, old version": {
			[]string{open, `"action": "update"`, `"draft": true, "work_in_progress": true`, `"work_in_progress": false`, `"changes": {}`, `"changes": {"title": {"previous": "WIP: a", "current": "a"}}`},
			func(s kovra.Subject) bool { return !s.Draft && !s.MovedAt.IsZero() },
		},
		"another title": {
			[]string{open, `"action": "update"`, `"draft": true, "work_in_progress": true`, `"draft": false`, `"changes": {}`, `"changes": {"title": {"previous": "a", "current": "b"}}`},
			func(s kovra.Subject) bool { return s.MovedAt.IsZero() },
		},
		"approved": {[]string{open, `"action": "approved"`}, func(s kovra.Subject) bool {
			return cmp.Equal(s.Approvals, approval(bob, true)) && !s.MovedAt.IsZero() && s.State == "opened"
		}},
		"one of two approvals": {[]string{open, `"action": "approval"`}, func(s kovra.Subject) bool { return cmp.Equal(s.Approvals, approval(bob, true)) }},
		"taken back":           {[]string{open, `"action": "unapproval"`}, func(s kovra.Subject) bool { return cmp.Equal(s.Approvals, approval(bob, false)) }},
		"by nobody":            {[]string{open, `"action": "approved"`, `"user": {"id": 2, "name": "Bob", "username": "bob", "email": "[REDACTED]"}`, `"user": null`}, func(s kovra.Subject) bool { return s.Approvals == nil && s.MovedAt.IsZero() }},
		"a push resets": {[]string{open, `"action": "unapproved", "system": true, "system_action": "approvals_reset_on_push"`}, func(s kovra.Subject) bool {
			return s.Approvals == nil && s.ResetAt.Equal(testNow) && s.MovedAt.IsZero()
		}},
		"a push resets some":       {[]string{open, `"action": "unapproved", "system": true, "system_action": "code_owner_approvals_reset_on_push"`}, func(s kovra.Subject) bool { return s.Approvals == nil && s.ResetAt.IsZero() }},
		"author known by id alone": {[]string{`"author_id": 1`, `"author_id": 9`}, func(s kovra.Subject) bool { return s.By == kovra.GitLabUser{ID: 9} }},
		"author not told":          {[]string{`"author_id": 1`, `"x": 1`}, func(s kovra.Subject) bool { return s.By == bob }},
		"author not told later":    {[]string{`"author_id": 1`, `"x": 1`, open, `"action": "merge"`}, func(s kovra.Subject) bool { return s.By == kovra.GitLabUser{} }},
		"no time":                  {[]string{`"updated_at": "2026-01-12T16:23:29.500+01:00"`, `"updated_at": "soon"`}, func(s kovra.Subject) bool { return s.UpdatedAt.Equal(testNow) }},
		"by the target's id":       {[]string{`"id": 7, "path_with_namespace": "group/web", `, ``}, func(s kovra.Subject) bool { return s.Key == "12" }},
	} {
		t.Run(name, func(t *testing.T) {
			body := mergeRequestBody
			for i := 0; i < len(c.replace); i += 2 {
				if !strings.Contains(body, c.replace[i]) {
					t.Fatalf("no %s", c.replace[i])
				}
				body = strings.Replace(body, c.replace[i], c.replace[i+1], 1)
			}
			if got := decodedSubjects(t, body); len(got) != 1 || !c.check(got[0]) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestDecodeDeploymentVariants(t *testing.T) {
	const running = `"status": "running"`
	for name, c := range map[string]struct {
		replace []string
		check   func(s kovra.Subject) bool
	}{
		"made": {[]string{running, `"status": "created"`}, func(s kovra.Subject) bool {
			return s.MovedAt.IsZero() && s.CreatedAt.Equal(utc(2026, 1, 12, 15, 23, 28))
		}},
		"failed":       {[]string{running, `"status": "failed"`}, func(s kovra.Subject) bool { return !s.MovedAt.IsZero() && s.Failed() }},
		"blocked":      {[]string{running, `"status": "blocked"`}, func(s kovra.Subject) bool { return !s.MovedAt.IsZero() && s.State == "blocked" }},
		"no job":       {[]string{`"https://gitlab.example.com/group/web/-/jobs/796"`, `null`}, func(s kovra.Subject) bool { return s.JobURL == "" && strings.Contains(s.URL, "/commit/") }},
		"no page":      {[]string{`/-/commit/` + headCommit, `/-/commit/x`}, func(s kovra.Subject) bool { return s.SHA == "da156088" }},
		"another time": {[]string{"2026-01-12 17:23:28 +0200", "2026-01-12T15:23:28.000+00:00"}, func(s kovra.Subject) bool { return s.UpdatedAt.Equal(utc(2026, 1, 12, 15, 23, 28)) }},
		"approved": {
			[]string{running, `"status": "approved", "approver": {"id": 1, "name": "Ann", "username": "ann"}, "approval": {"comment": "Go", "created_at": "2026-01-12T15:30:00.573Z"}`},
			func(s kovra.Subject) bool {
				want := []kovra.Approval{{By: ann, Approved: true, Note: "Go", At: utc(2026, 1, 12, 15, 30, 0).Add(573 * time.Millisecond)}}
				return s.State == "" && cmp.Equal(s.Approvals, want) && !s.MovedAt.IsZero()
			},
		},
		"rejected, by the user": {[]string{running, `"status": "rejected"`}, func(s kovra.Subject) bool {
			return s.State == "" && cmp.Equal(s.Approvals, []kovra.Approval{{By: bob, At: testNow}})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			body := deploymentBody
			for i := 0; i < len(c.replace); i += 2 {
				if !strings.Contains(body, c.replace[i]) {
					t.Fatalf("no %s", c.replace[i])
				}
				body = strings.Replace(body, c.replace[i], c.replace[i+1], 1)
			}
			if got := decodedSubjects(t, body); len(got) != 1 || !c.check(got[0]) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestDecodeReleaseVariants(t *testing.T) {
	for name, c := range map[string]struct {
		old, new string
		check    func(s kovra.Subject) bool
	}{
		"changed": {`"action": "create"`, `"action": "update", "updated_at": "2026-02-01 00:00:00 UTC"`, func(s kovra.Subject) bool {
			return s.State == "updated" && s.MovedAt.IsZero() && s.UpdatedAt.Equal(utc(2026, 2, 1, 0, 0, 0))
		}},
		"gone":        {`"create"`, `"delete"`, func(s kovra.Subject) bool { return s.State == "deleted" && !s.MovedAt.IsZero() }},
		"a new word":  {`"create"`, `"archive"`, func(s kovra.Subject) bool { return s.State == "" && s.MovedAt.IsZero() }},
		"no name":     {`"name": "One"`, `"name": null`, func(s kovra.Subject) bool { return s.Title == "v1" }},
		"a long text": {"It works.", strings.Repeat("é", maxDescription), func(s kovra.Subject) bool { return len(s.Text) <= maxDescription && strings.HasSuffix(s.Text, "é") }},
	} {
		if got := decodedSubjects(t, strings.Replace(releaseBody, c.old, c.new, 1)); len(got) != 1 || !c.check(got[0]) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestPushedCommits(t *testing.T) {
	var commits []string
	for i := range 8 {
		commits = append(commits, fmt.Sprintf(`{"id": %q, "message": "Step %d\n\nMore."}`, sha(i), i))
	}
	body := fmt.Sprintf(`{"object_kind":"push","project_id":7,"ref":"refs/heads/a b","before":%q,"after":%q,"total_commits_count":21,"commits":[%s, {"id":"x"}],
		"project":{"id":7,"web_url":"https://gitlab.example.com/g/w"}}`, zeros, sha(7), strings.Join(commits, ","))
	s := decodedSubjects(t, body)[0]
	if len(s.Commits) != kovra.MaxSubjectCommits-1 || s.Commits[0].Title != "Step 4" || s.Commits[3].SHA != sha(7) || s.Count != 21 || !s.Created {
		t.Errorf("got %+v", s)
	}
	if s.URL != "https://gitlab.example.com/g/w/-/commits/a%20b" {
		t.Errorf("got %s", s.URL)
	}
}

// subscribe has a channel hear of a project.
func subscribe(tb testing.TB, db *storage.DB, project int64, f kovra.Filter) {
	tb.Helper()
	err := db.Update(tb.Context(), func(tx *storage.Tx) error {
		apps, err := tx.AppsOfProject(project)
		if err != nil {
			return err
		}
		return tx.SaveSubscription(kovra.Subscription{App: apps[0].Name, Channel: "C1", Filter: f, CreatedBy: "U1", CreatedAt: testNow})
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// A push is for builds and for channels, and each asks for other ones.
func TestIntakeTakesSubjects(t *testing.T) {
	db := openDB(t)
	linkProjects(t, db, kovra.Project{ID: 7}, kovra.Project{ID: 8})
	buildsOf(t, db, 7, kovra.BuildSettings{Branch: "main"})
	subscribe(t, db, 7, kovra.Filter{Topics: []kovra.Topic{kovra.TopicPushes, kovra.TopicMergeRequests, kovra.TopicReleases}, Refs: []string{"topic/*", "main", "v*"}})
	buildsOf(t, db, 8, kovra.BuildSettings{Branch: "main"})
	another := func(key, kind, body string, replace ...string) kovra.Delivery {
		return kovra.Delivery{Key: key, Kind: kind, Body: []byte(strings.NewReplacer(replace...).Replace(body))}
	}
	deliveries := []struct {
		kovra.Delivery
		want kovra.DeliveryOutcome
	}{
		{pushDelivery("both", 7, "refs/heads/main", sha(0), sha(1)), kovra.DeliveryFolded},
		{pushDelivery("both, again", 7, "refs/heads/main", sha(0), sha(1)), kovra.DeliverySame},
		{pushDelivery("no build", 7, "refs/heads/topic/1", zeros, sha(1)), kovra.DeliveryFolded},
		{pushDelivery("no build, gone", 7, "refs/heads/topic/1", sha(1), zeros), kovra.DeliveryIgnored},
		{pushDelivery("build alone", 8, "refs/heads/main", zeros, sha(1)), kovra.DeliveryFolded},
		{pushDelivery("neither", 8, "refs/heads/topic/1", zeros, sha(1)), kovra.DeliveryIgnored},
		{pushDelivery("tag", 7, "refs/tags/v1", zeros, sha(1)), kovra.DeliveryIgnored},
		{another("merge request", "Merge Request Hook", mergeRequestBody), kovra.DeliveryFolded},
		{another("merge request, again", "Merge Request Hook", mergeRequestBody), kovra.DeliverySame},
		{another("merge request, label", "Merge Request Hook", mergeRequestBody, `"open"`, `"update"`, `29.500`, `30.500`), kovra.DeliveryFolded},
		{another("deployment", "Deployment Hook", deploymentBody), kovra.DeliveryIgnored},
		{another("release", "Release Hook", releaseBody), kovra.DeliveryFolded},
		{another("of another project", "Release Hook", releaseBody, `"project": {"id": 7}`, `"project": {"id": 9}`), kovra.DeliveryIgnored},
	}
	want := map[string]kovra.DeliveryOutcome{}
	for _, d := range deliveries {
		journal(t, db, d.Delivery)
		want[d.Key] = d.want
	}
	foldPending(t, NewIntake(IntakeOptions{DB: db, Builds: true}))
	for _, d := range stored(t, db) {
		if d.Outcome != want[d.Key] {
			t.Errorf("%s: got %q (%s), want %q", d.Key, d.Outcome, d.Note, want[d.Key])
		}
	}
	if n := len(buildsIn(t, db, 7)) + len(buildsIn(t, db, 8)); n != 2 {
		t.Errorf("%d builds, want 2", n)
	}
	checkSubject(t, db, kovra.SubjectPush, "main@"+sha(1), "pushed")
	checkSubject(t, db, kovra.SubjectPush, "topic/1@"+sha(1), "pushed")
	checkSubject(t, db, kovra.SubjectMergeRequest, "12", "opened")
	checkSubject(t, db, kovra.SubjectRelease, "33", "created")
}

func checkSubject(t *testing.T, db *storage.DB, kind kovra.SubjectKind, key, state string) {
	t.Helper()
	err := db.Read(t.Context(), func(tx *storage.Tx) error {
		s, err := tx.SubjectByKey(7, kind, key)
		if err == nil && s.State != state {
			t.Errorf("%s %s: got %s, want %s", kind, key, s.State, state)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestSubjectsInAnyOrder tells the life of a merge request, a deployment and a tag in many orders, some of it twice.
func TestSubjectsInAnyOrder(t *testing.T) {
	change := func(kind, body string, replace ...string) kovra.Delivery {
		return kovra.Delivery{Kind: kind, Body: []byte(strings.NewReplacer(replace...).Replace(body))}
	}
	const mr, deployment = "Merge Request Hook", "Deployment Hook"
	ready := strings.NewReplacer(`"draft": true, "work_in_progress": true`, `"draft": false`, "Draft: ", "").Replace(mergeRequestBody)
	life := []kovra.Delivery{
		change(mr, mergeRequestBody),
		change(mr, ready, `"open"`, `"update"`, "16:23:29", "16:24:00", `"changes": {}`, `"changes": {"draft": {"previous": true}}`),
		change(mr, ready, `"open"`, `"approved"`, "16:23:29", "16:24:00"),
		change(mr, ready, `"open"`, `"close"`, `"opened"`, `"closed"`, "16:23:29", "16:25:00"),
		change(mr, ready, `"open"`, `"reopen"`, "16:23:29", "16:26:00"),
		change(mr, ready, `"open"`, `"merge"`, `"opened"`, `"merged"`, "16:23:29", "16:27:00"),
		change(mr, ready, `"action": "open"`, `"x": 1`, `"opened"`, `"merged"`, "16:23:29", "16:28:00"),
		change(deployment, deploymentBody, "running", "created"),
		change(deployment, deploymentBody, "running", "blocked"),
		change(deployment, deploymentBody, "running", "approved"),
		change(deployment, deploymentBody),
		change(deployment, deploymentBody, "running", "success", "17:23", "17:30"),
		pushDelivery("", 7, "refs/tags/v1", zeros, sha(1)),
		pushDelivery("", 7, "refs/tags/v1", sha(1), sha(2)),
		pushDelivery("", 7, "refs/tags/v1", sha(2), zeros),
	}
	for i := range life {
		life[i].At = testNow.Add(time.Duration(i) * time.Second)
	}
	told := func(order []int) []kovra.Subject {
		db := openDB(t)
		linkProjects(t, db, kovra.Project{ID: 7})
		subscribe(t, db, 7, kovra.Filter{Topics: kovra.Topics()})
		for n, i := range order {
			d := life[i]
			d.Key = fmt.Sprint(n)
			journal(t, db, d)
		}
		foldPending(t, NewIntake(IntakeOptions{DB: db}))
		var out []kovra.Subject
		err := db.Read(t.Context(), func(tx *storage.Tx) error {
			for _, of := range []kovra.Subject{
				{Kind: kovra.SubjectMergeRequest, Key: "12"},
				{Kind: kovra.SubjectDeployment, Key: "15"},
				{Kind: kovra.SubjectTag, Key: "v1@" + sha(1)},
				{Kind: kovra.SubjectTag, Key: "v1@" + sha(2)},
			} {
				s, err := tx.SubjectByKey(7, of.Kind, of.Key)
				if err != nil {
					return err
				}
				s.ID, s.Version = 0, 0
				out = append(out, s)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	var inOrder []int
	for i := range life {
		inOrder = append(inOrder, i)
	}
	want := told(inOrder)
	for i, state := range []string{"merged", "success", "moved", "deleted"} {
		if want[i].State != state {
			t.Errorf("%s %s is %s, want %s", want[i].Kind, want[i].Key, want[i].State, state)
		}
	}
	if m, d := want[0], want[1]; m.Draft || m.Title != "Add it" || len(m.Approved()) != 1 || d.Title != "Fix it" || len(d.Approved()) != 1 {
		t.Errorf("got %+v and %+v", m, d)
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 8 {
		order := append(rnd.Perm(len(life)), rnd.Perm(len(life))[:4]...)
		if diff := cmp.Diff(want, told(order)); diff != "" {
			t.Fatalf("%v: %s", order, diff)
		}
	}
}
