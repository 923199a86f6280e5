package webhooks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kovra.dev/chatops/internal/kovra"
)

func utc(y int, m time.Month, d, h, min, s int) time.Time {
	return time.Date(y, m, d, h, min, s, 0, time.UTC)
}

const pipelineBody = `{
  "object_kind": "pipeline",
  "object_attributes": {
    "id": 31, "iid": 3, "name": "Release", "ref": "v1.0", "tag": true, "sha": "bcbb5ec396a2c0f828686f14fac9b80b780504f2",
    "source": "push", "status": "failed", "detailed_status": "failed", "stages": ["build", null, "test"],
    "created_at": "2026-01-12 15:23:28 UTC", "finished_at": "2026-01-12T15:26:29Z", "duration": 63, "queued_duration": 0.01,
    "variables": [{"key": "PASSWORD", "value": "hunter2"}]
  },
  "merge_request": null,
  "user": {"id": 42, "name": "Ann", "username": "ann", "email": "[REDACTED]"},
  "project": {"id": 7, "path_with_namespace": "group/web", "web_url": "https://gitlab.example.com/group/web", "default_branch": "main"},
  "commit": {"id": "bcbb", "message": "Fix it\n\nAt last.", "author": {"name": "Bob", "email": "bob@example.com"}},
  "source_pipeline": {"project": {"id": 41}, "pipeline_id": 30, "job_id": 3401},
  "builds": [
    {"id": 380, "stage": "test", "name": "unit", "status": "failed", "created_at": "2026-01-12 15:23:28 UTC",
     "started_at": "2026-01-12 15:24:00 UTC", "finished_at": "2026-01-12 15:25:00 UTC", "duration": 60.5,
     "failure_reason": "script_failure", "when": "on_success", "manual": false, "allow_failure": false},
    {"id": 381, "stage": "deploy", "name": "prod", "status": "manual", "when": "manual", "manual": true,
     "allow_failure": true, "started_at": null, "duration": null, "failure_reason": "unknown_failure"},
    {"name": "nameless"}
  ]
}`

func TestDecodePipeline(t *testing.T) {
	got, err := decode(kovra.Delivery{Kind: "Pipeline Hook", Body: []byte(pipelineBody), At: testNow}, true)
	if err != nil {
		t.Fatal(err)
	}
	want := hook{kind: kindPipeline, project: 7, at: testNow, seen: &kovra.Observation{
		At: testNow,
		Run: kovra.Run{
			Project: 7, Remote: 31, IID: 3, Name: "Release", Ref: "v1.0", Tag: true, SHA: "bcbb5ec396a2c0f828686f14fac9b80b780504f2",
			Source: "push", Status: kovra.Failed, Title: "Fix it", URL: "https://gitlab.example.com/group/web/-/pipelines/31",
			By: kovra.GitLabUser{ID: 42, Username: "ann", Name: "Ann"}, Author: kovra.GitLabUser{Name: "Bob"},
			CreatedAt: utc(2026, 1, 12, 15, 23, 28), FinishedAt: utc(2026, 1, 12, 15, 26, 29), Duration: 63 * time.Second,
			Stages: []string{"build", "test"}, Parent: kovra.Parent{Project: 41, Pipeline: 30, Job: 3401}, Protected: true,
		},
		Jobs: []kovra.Job{
			{
				ID: 380, Name: "unit", Stage: "test", Status: kovra.Failed, FailureReason: "script_failure",
				CreatedAt: utc(2026, 1, 12, 15, 23, 28), StartedAt: utc(2026, 1, 12, 15, 24, 0), FinishedAt: utc(2026, 1, 12, 15, 25, 0),
				Duration: 60500 * time.Millisecond, URL: "https://gitlab.example.com/group/web/-/jobs/380",
			},
			{
				ID: 381, Name: "prod", Stage: "deploy", Status: kovra.Manual, AllowFailure: true, Manual: true,
				URL: "https://gitlab.example.com/group/web/-/jobs/381",
			},
		},
	}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(hook{})); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(fmt.Sprintf("%+v", got.seen), "hunter2") {
		t.Error("a variable was kept")
	}
}

const jobBody = `{
  "object_kind": "build", "ref": "main", "tag": false, "sha": "95d49d1e", "retries_count": 1,
  "build_id": 3580, "build_name": "unit", "build_stage": "test", "build_status": "failed",
  "build_created_at": "2023-01-10 13:50:02 UTC", "build_started_at": "2023-01-10 13:50:05 UTC", "build_finished_at": null,
  "build_created_at_iso": "2023-01-10T13:50:01Z", "build_finished_at_iso": "2023-01-10T14:50:54+01:00",
  "build_duration": 49.5, "build_allow_failure": true, "build_failure_reason": "script_failure", "pipeline_id": 743,
  "project_id": 7, "project_name": "Group / web", "user": {"id": 1, "username": "runner"},
  "commit": {"id": 743, "name": "Release", "sha": "95d49d1e", "message": "Fix it\n", "status": "running", "finished_at": "2023-01-10 14:00:00 UTC"},
  "project": {"id": 1, "web_url": "https://gitlab.example.com/group/web/", "default_branch": "main"},
  "source_pipeline": {"project": {"id": 7}, "pipeline_id": 30, "job_id": 3401}
}`

func TestDecodeJob(t *testing.T) {
	got, err := decode(kovra.Delivery{Kind: "Job Hook", Body: []byte(jobBody), At: testNow}, true)
	if err != nil {
		t.Fatal(err)
	}
	want := hook{kind: kindJob, project: 7, at: testNow, seen: &kovra.Observation{
		At: testNow,
		Run: kovra.Run{
			Project: 7, Remote: 743, Ref: "main", SHA: "95d49d1e", Title: "Fix it",
			Parent: kovra.Parent{Project: 7, Pipeline: 30, Job: 3401}, Protected: true,
		},
		Jobs: []kovra.Job{{
			ID: 3580, Name: "unit", Stage: "test", Status: kovra.Failed, AllowFailure: true, FailureReason: "script_failure",
			CreatedAt: utc(2023, 1, 10, 13, 50, 1), StartedAt: utc(2023, 1, 10, 13, 50, 5), FinishedAt: utc(2023, 1, 10, 13, 50, 54),
			Duration: 49500 * time.Millisecond, URL: "https://gitlab.example.com/group/web/-/jobs/3580",
		}},
	}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(hook{})); diff != "" {
		t.Error(diff)
	}
}

// decodeRun decodes a body that has to be read without an error.
func decodeRun(t *testing.T, body string) kovra.Observation {
	t.Helper()
	h, err := decode(kovra.Delivery{Body: []byte(body)}, true)
	if err != nil {
		t.Fatal(err)
	}
	return *h.seen
}

func TestDecodeOldJob(t *testing.T) {
	o := decodeRun(t, `{"object_kind":"job","ref":"main","job_id":9,"job_name":"lint","job_stage":"check","job_status":"success",
		"job_started_at":"2017-09-15T16:46:55.000Z","job_finished_at":"2017-09-15 16:47:00 UTC","job_duration":"5.25",
		"job_allow_failure":"true","job_failure_reason":"unknown_failure","commit":{"id":77},"project_id":7}`)
	want := kovra.Job{
		ID: 9, Name: "lint", Stage: "check", Status: kovra.Success, AllowFailure: true, Duration: 5250 * time.Millisecond,
		StartedAt: utc(2017, 9, 15, 16, 46, 55), FinishedAt: utc(2017, 9, 15, 16, 47, 0),
	}
	if diff := cmp.Diff(want, o.Jobs[0]); diff != "" || o.Run.Remote != 77 || o.Run.Status != "" {
		t.Errorf("run %d %q\n%s", o.Run.Remote, o.Run.Status, diff)
	}
}

func TestDecodeRunsOfMergeRequests(t *testing.T) {
	o := decodeRun(t, `{"object_kind":"pipeline","object_attributes":{"id":1,"ref":"main","source":"merge_request_event","status":"running",
		"finished_at":"2026-01-12 15:26:29 UTC","duration":3,"url":"https://gitlab.example.com/x/-/pipelines/1"},
		"merge_request":{"id":100,"iid":5,"title":"Add","url":"https://gitlab.example.com/x/-/merge_requests/5","target_branch":"main"},
		"project":{"id":7,"default_branch":"main"}}`)
	want := kovra.Run{
		Project: 7, Remote: 1, Ref: "main", Source: "merge_request_event", Status: kovra.Running, URL: "https://gitlab.example.com/x/-/pipelines/1",
		MR: kovra.MergeRequest{IID: 5, Title: "Add", URL: "https://gitlab.example.com/x/-/merge_requests/5", Target: "main"},
	}
	if diff := cmp.Diff(want, o.Run); diff != "" { // not protected; the end is that of an attempt before
		t.Error(diff)
	}
	o = decodeRun(t, `{"object_kind":"build","build_id":9,"pipeline_id":1,"ref":"refs/merge-requests/5/head","project_id":7,"project":{"default_branch":"main"}}`)
	if o.Run.Ref != "" || o.Run.Protected {
		t.Errorf("got %+v", o.Run)
	}
}

func TestDecodeProtected(t *testing.T) {
	body := `{"object_kind":"pipeline","object_attributes":{"id":1,"ref":%q,"tag":%t},"project":{"id":7,"default_branch":%q}}`
	tests := []struct {
		ref, main string
		tag, want bool
	}{
		{"main", "main", false, true},
		{"topic", "main", false, false},
		{"v1", "main", true, true},
		{"", "", false, false},
	}
	for _, tt := range tests {
		if got := decodeRun(t, fmt.Sprintf(body, tt.ref, tt.tag, tt.main)).Run.Protected; got != tt.want {
			t.Errorf("%+v: got %t", tt, got)
		}
	}
}

func TestDecodeKinds(t *testing.T) {
	tests := []struct {
		name, header, body string
		kind, bad          string // bad: what the note says; "": the delivery is fine
	}{
		{"by the body", "", `{"object_kind":"wiki_page","project_id":7}`, "wiki_page", ""},
		{"the body counts", "Push Hook", `{"object_kind":"note","project_id":7}`, "note", ""},
		{"by the header", "Wiki Page Hook", `{"anything":1}`, "wiki_page", ""},
		{"merge request without iid", "", `{"object_kind":"merge_request","object_attributes":{"id":1},"project":{"id":7}}`, "merge_request", "number is missing"},
		{"deployment without id", "", `{"object_kind":"deployment","status":"success","project":{"id":7}}`, "deployment", "id is missing"},
		{"release without id", "Release Hook", `{"project":{"id":7}}`, "release", "id is missing"},
		{"release without project", "Release Hook", `{"id":7}`, "release", "project's id is missing"},
		{"push without ref", "", `{"object_kind":"push","project_id":7,"after":"da1560886d4f094c3e6c9ef40349f7d38b5d27d7"}`, "push", "ref is missing"},
		{"push without commit", "Tag Push Hook", `{"ref":"refs/tags/v1","after":"v1","project_id":7}`, "tag_push", `commit that was pushed is missing: "v1"`},
		{"push without project", "", `{"object_kind":"push","ref":"refs/heads/x","after":"da1560886d4f094c3e6c9ef40349f7d38b5d27d7"}`, "push", "project's id is missing"},
		{"custom template", "Pipeline Hook", `{"object_attributes":{"id":1},"project":{"id":7}}`, "pipeline", ""},
		{"custom template without ids", "Pipeline Hook", `{"text":"hi"}`, "pipeline", "pipeline's id is missing"},
		{"kind of another type", "Job Hook", `{"object_kind":5,"build_id":1,"pipeline_id":2,"project_id":7}`, "build", ""},
		{"new word, known header", "Job Hook", `{"object_kind":"ci_build","build_id":1,"pipeline_id":2,"project_id":7}`, "build", ""},
		{"system hook", "System Hook", `{"event_name":"project_create","project_id":7}`, "other", ""},
		{"new system hook", "System Hook", `{"event_name":"moon_landing"}`, "other", ""},
		{"member hook", "Member Hook", `{"event_name":"user_add_to_group"}`, "other", ""},
		{"by the event's name", "", `{"event_name":"subgroup_create"}`, "other", ""},
		{"unknown", "Moon Hook", `{"object_kind":"moon"}`, "unknown", `an unknown kind of event: "Moon Hook" (object_kind "moon")`},
		{"nothing said", "", `{}`, "unknown", "unknown kind"},
		{"not JSON", "Push Hook", `{"object_kind":`, "unknown", "not JSON"},
		{"more than JSON", "Push Hook", `{} {}`, "unknown", "not JSON"},
		{"empty", "Push Hook", ``, "unknown", "not a JSON object"},
		{"form", "Push Hook", `payload=1`, "unknown", "not a JSON object"},
		{"array", "Pipeline Hook", ` [{}]`, "unknown", "not a JSON object"},
		{"job without id", "", `{"object_kind":"build","pipeline_id":2,"project_id":7}`, "build", "job's id is missing"},
		{"job without pipeline", "", `{"object_kind":"build","build_id":2,"project_id":7}`, "build", "pipeline is missing"},
		{"negative id", "", `{"object_kind":"pipeline","object_attributes":{"id":-1},"project":{"id":7}}`, "pipeline", "pipeline's id is missing"},
		{"no project", "", `{"object_kind":"pipeline","object_attributes":{"id":1}}`, "pipeline", "project's id is missing"},
		{"too deep", "", strings.Repeat(`{"a":`, 20000), "unknown", "not JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decode(kovra.Delivery{Kind: tt.header, Body: []byte(tt.body)}, true)
			if got.kind != tt.kind || (err != nil) != (tt.bad != "") || err != nil && !strings.Contains(err.Error(), tt.bad) {
				t.Errorf("got kind %q, error %v", got.kind, err)
			}
			decoded := got.kind == kindPipeline || got.kind == kindJob
			if (got.seen != nil) != (decoded && tt.bad == "") {
				t.Errorf("seen %+v", got.seen)
			}
		})
	}
}

func TestTolerantTypes(t *testing.T) {
	type all struct {
		Text    text         `json:"v"`
		Word    word         `json:"w"`
		Link    link         `json:"l"`
		Number  number       `json:"n"`
		Flag    flag         `json:"f"`
		Seconds seconds      `json:"s"`
		List    list[number] `json:"a"`
	}
	tests := []struct {
		value string
		want  all
	}{
		{`null`, all{}},
		{`{}`, all{}},
		{`[]`, all{List: list[number]{}}},
		{`[1,"2",null,{},"x"]`, all{List: list[number]{1, 2, 0, 0, 0}}},
		{`true`, all{Flag: true}},
		{`"TRUE"`, all{Text: "TRUE", Word: "TRUE", Flag: true}},
		{`1`, all{Text: "1", Number: 1, Flag: true, Seconds: seconds(time.Second)}},
		{`"1"`, all{Text: "1", Word: "1", Number: 1, Flag: true, Seconds: seconds(time.Second)}},
		{`2.0`, all{Text: "2.0", Number: 2, Seconds: seconds(2 * time.Second)}},
		{`0.0101`, all{Text: "0.0101", Seconds: seconds(10100 * time.Microsecond)}},
		{`1e3`, all{Text: "1e3", Number: 1000, Seconds: seconds(1000 * time.Second)}},
		{`-1`, all{Text: "-1", Number: -1}},
		{`1e300`, all{Text: "1e300"}},
		{`9223372036854775807`, all{Text: "9223372036854775807", Number: math.MaxInt64}},
		{`9223372036854775808`, all{Text: "9223372036854775808"}},
		{`" é\u0000\ud800 "`, all{Text: " é\uFFFD ", Word: "é\uFFFD"}},
		{`"NaN"`, all{Text: "NaN", Word: "NaN"}},
		{`"https://x.example/a"`, all{Text: "https://x.example/a", Word: "https://x.example/a", Link: "https://x.example/a"}},
		{`"javascript:alert(1)"`, all{Text: "javascript:alert(1)", Word: "javascript:alert(1)"}},
	}
	for _, tt := range tests {
		var got all
		doc := strings.ReplaceAll(`{"v":X,"w":X,"l":X,"n":X,"f":X,"s":X,"a":X}`, "X", tt.value)
		if err := tolerantly([]byte(doc), &got); err != nil {
			t.Errorf("%s: %v", tt.value, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.value, diff)
		}
	}
	long := scalar([]byte(`"` + strings.Repeat("é", maxText) + `"`))
	if len(long) != maxText || !strings.HasSuffix(long, "é") {
		t.Errorf("a long text has %d bytes", len(long))
	}
}

func TestMoment(t *testing.T) {
	at := utc(2026, 8, 2, 7, 59, 54)
	tests := map[string]time.Time{
		`"2026-08-02 07:59:54 UTC"`:       at,
		`"2026-08-02T07:59:54Z"`:          at,
		`"2026-08-02T07:59:54.000Z"`:      at,
		`"2026-08-02T07:59:54.120Z"`:      at.Add(120 * time.Millisecond),
		`"2026-08-02T09:59:54+02:00"`:     at,
		`"2026-08-02T07:59:54.000+00:00"`: at,
		`"2026-08-02 09:59:54 +0200"`:     at,
		`"2026-08-02T09:59:54+0200"`:      at,
		`"2026-08-02T07:59:54"`:           at,
		`"2026-08-02 07:59:54"`:           at,
		`" 2026-08-02 07:59:54 UTC "`:     at,
		`"2026-08-02"`:                    utc(2026, 8, 2, 0, 0, 0),
		`"2015-04-08T21: 00:25-07:00"`:    {},
		`"0000-01-01T00:00:00+23:00"`:     {},
		`"9999-12-31T23:59:59-23:00"`:     {},
		`"yesterday"`:                     {},
		`""`:                              {},
		`null`:                            {},
		`1785657594`:                      {},
		`{}`:                              {},
	}
	for value, want := range tests {
		got := moment(testNow)
		if err := json.Unmarshal([]byte(value), &got); err != nil || !time.Time(got).Equal(want) {
			t.Errorf("%s: got %v, %v, want %v", value, time.Time(got), err, want)
		}
	}
}

// fixture is a real payload.
type fixture struct {
	file, kind string
	body       []byte
}

func readFixtures(tb testing.TB) []fixture {
	tb.Helper()
	dir := fixtures(tb)
	index, err := os.ReadFile(filepath.Join(dir, "index.tsv"))
	if err != nil {
		tb.Fatal(err)
	}
	var out []fixture
	for line := range strings.Lines(string(index)) {
		cells := strings.Split(strings.TrimSpace(line), "\t")
		if cells[0] == "file" {
			continue
		}
		body, err := os.ReadFile(filepath.Join(dir, cells[0]))
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, fixture{file: cells[0], kind: cells[len(cells)-1], body: body})
	}
	return out
}

func TestFixtures(t *testing.T) {
	type ids struct {
		Project, Run, Job int64
		Jobs              int
	}
	want := map[string]ids{ // of those that are folded
		"pipeline__client-go__pipeline.json":                               {Project: 1, Run: 31, Job: 380, Jobs: 5},
		"pipeline__gitlab-plugin__PipelineFailureEvent.json":               {Run: 31, Job: 380, Jobs: 5},
		"pipeline__mattermost-plugin-gitlab__pipeline_fixture_test_0.json": {Project: 24, Run: 58, Job: 1126, Jobs: 1},
		"build__client-go__job.json":                                       {Project: 31537070, Run: 743121198, Job: 3580121225, Jobs: 1},
		"build__mattermost-plugin-gitlab__job_fixture_test_0.json":         {Project: 380, Run: 2366, Job: 1977, Jobs: 1},
	}
	for _, f := range readFixtures(t) {
		t.Run(f.file, func(t *testing.T) {
			got, err := decode(kovra.Delivery{Body: f.body, At: testNow}, true)
			if err != nil || got.kind != f.kind {
				t.Fatalf("kind %q, error %v", got.kind, err)
			}
			w, folds := want[f.file]
			if !folds {
				isPush := got.kind == kindPush || got.kind == kindTagPush
				if got.seen != nil || (got.push != nil) != isPush || (len(got.subjects) > 0) != (got.kind != kindNote) || got.comment != nil || got.project == 0 && got.path == "" {
					t.Errorf("got %+v", got)
				}
				return
			}
			o := got.seen
			if diff := cmp.Diff(w, ids{got.project, o.Run.Remote, o.Jobs[0].ID, len(o.Jobs)}); diff != "" {
				t.Error(diff)
			}
			for _, j := range o.Jobs {
				if j.Name == "" || j.Stage == "" || j.Status == "" || j.CreatedAt.IsZero() {
					t.Errorf("job %+v", j)
				}
			}
			if o.Run.SHA == "" || o.Run.Title == "" || o.Run.Ref == "" || got.kind == kindPipeline && (o.Run.URL == "" || o.Run.CreatedAt.IsZero()) {
				t.Errorf("run %+v", o.Run)
			}
		})
	}
}

// mutate yields doc with every value at every depth replaced in turn.
func mutate(doc any, path string, emit func(path string, replace func(any) (undo func()))) {
	switch v := doc.(type) {
	case map[string]any:
		for key, child := range v {
			at := path + "/" + key
			emit(at, func(n any) func() { v[key] = n; return func() { v[key] = child } })
			emit(at+" (gone)", func(any) func() { delete(v, key); return func() { v[key] = child } })
			mutate(child, at, emit)
		}
	case []any:
		for i, child := range v {
			at := fmt.Sprint(path, "/", i)
			emit(at, func(n any) func() { v[i] = n; return func() { v[i] = child } })
			mutate(child, at, emit)
		}
	}
}

// TestMutatedPayloads replaces every field of real payloads by every type of value
// and folds the lot.
func TestMutatedPayloads(t *testing.T) {
	values := []any{nil, 7, "x", true, []any{1, "x", nil}, map[string]any{"id": 1}}
	db := openDB(t)
	linkProjects(t, db, kovra.Project{ID: 1, Path: "gitlab-org/gitlab-test"}, kovra.Project{ID: 24, Path: "manland/webhook"},
		kovra.Project{ID: 380}, kovra.Project{ID: 31537070}, kovra.Project{ID: 15})
	buildsOf(t, db, 15, kovra.BuildSettings{Branch: "master", Paths: []string{"app"}})
	buildsOf(t, db, 1, kovra.BuildSettings{Branch: "main", Tags: "v*"})
	subscribe(t, db, 15, kovra.Filter{Topics: kovra.Topics()})
	linkProjects(t, db, kovra.Project{ID: 5}, kovra.Project{ID: 14}, kovra.Project{ID: 30}, kovra.Project{ID: 327622})
	for _, project := range []int64{1, 14, 30, 327622} {
		subscribe(t, db, project, kovra.Filter{Topics: kovra.Topics()})
	}
	var all []kovra.Delivery
	for _, f := range readFixtures(t) {
		header := map[string]string{
			kindPipeline: "Pipeline Hook", kindJob: "Job Hook", kindPush: "Push Hook", kindTagPush: "Tag Push Hook", kindMergeRequest: "Merge Request Hook",
			kindNote: "Note Hook", kindDeployment: "Deployment Hook", kindRelease: "Release Hook",
		}[f.kind]
		f.body = bytes.ReplaceAll(f.body, []byte("This MR needs work."), []byte("/kovra build"))
		var doc map[string]any
		if err := json.Unmarshal(f.body, &doc); err != nil {
			t.Fatal(err)
		}
		mutate(doc, "", func(path string, replace func(any) func()) {
			for i, v := range values {
				undo := replace(v)
				body, err := json.Marshal(doc)
				undo()
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, kovra.Delivery{Key: fmt.Sprint(f.file, path, i), Kind: header, Body: body})
				if strings.HasSuffix(path, "(gone)") {
					break
				}
			}
		})
	}
	journal(t, db, all...)
	foldPending(t, NewIntake(IntakeOptions{DB: db, Builds: true}))
	var dead, folded int
	for _, d := range stored(t, db) {
		switch d.Outcome {
		case kovra.DeliveryFolded:
			folded++
		case kovra.DeliveryDead:
			dead++
			if !identifies(d.Key) {
				t.Errorf("%s: %s", d.Key, d.Note)
			}
		case kovra.DeliveryPending:
			t.Errorf("%s: still pending", d.Key)
		}
	}
	t.Logf("%d payloads, %d folded, %d dead", len(all), folded, dead)
	if folded < 100 || dead == 0 {
		t.Error("too few were tried")
	}
	for _, project := range []int64{1, 15} {
		if n := len(buildsIn(t, db, project)); n != 1 {
			t.Errorf("%d builds of project %d, want one of its one commit", n, project)
		}
	}
}

// identifies reports whether a mutation may have taken an id away.
func identifies(key string) bool {
	_, path, _ := strings.Cut(key, ".json")
	for _, id := range []string{
		"/object_attributes/id", "/project_id", "/pipeline_id", "/build_id", "/project/id", "/commit/id", "/ref", "/after",
		"/id", "/deployment_id", "/object_attributes/iid", "/merge_request/iid", "/user/id",
	} {
		if strings.HasPrefix(path, id) {
			return true
		}
	}
	top := strings.TrimRight(strings.TrimSuffix(strings.TrimRight(path, "0123456789"), " (gone)"), "0123456789")
	return top == "/object_attributes" || top == "/merge_request" || top == "/user" || top == "/project" || top == "/project/path_with_namespace"
}

// TestMutatedIsTheSame makes sure that a field of a wrong type spoils itself alone.
func TestMutatedIsTheSame(t *testing.T) {
	whole := decodeRun(t, pipelineBody)
	odd := decodeRun(t, strings.NewReplacer(`"id": 31`, `"id": "31"`, `"duration": 63`, `"duration": [63]`, `"merge_request": null`, `"merge_request": [1]`,
		`"tag": true`, `"tag": "true"`, `"created_at": "2026-01-12 15:23:28 UTC", "finished_at"`, `"created_at": {"a":1}, "finished_at"`).Replace(pipelineBody))
	want := whole.Run
	want.Duration, want.CreatedAt = 0, time.Time{}
	if diff := cmp.Diff(want, odd.Run, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(whole.Jobs, odd.Jobs); diff != "" {
		t.Error(diff)
	}
}
