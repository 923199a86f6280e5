package gitlab

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/kovra"
)

func names(jobs []kovra.Job) []string {
	var out []string
	for _, j := range jobs {
		out = append(out, j.Name+" "+string(j.Status))
	}
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPipelineWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		commit, ref := w.web.Push("main", "Fix the door\n\nIt did not close.", "alice")
		must(t, w.sim.FinishPipeline(w.web.ID, ref.ID, "failed"))
		must(t, w.RetryPipeline(t.Context(), w.web.ID, ref.ID))
		attempts := w.sim.Jobs(w.web.ID, ref.ID)
		must(t, w.sim.StartJob(attempts[len(attempts)-1].ID))
		time.Sleep(2500 * time.Millisecond)
		must(t, w.sim.FinishPipeline(w.web.ID, ref.ID, "success"))

		o, err := w.Pipeline(t.Context(), w.web.ID, ref.ID, "main")
		must(t, err)
		r := o.Run
		if !o.Whole || r.Project != w.web.ID || r.Remote != ref.ID || r.IID != ref.IID || r.Ref != "main" || r.SHA != commit.SHA || r.Source != "push" ||
			r.Status != kovra.Success || r.URL != ref.WebURL || !r.Protected || r.Tag || r.Title != "Fix the door" ||
			r.Author.Name != "alice" || r.By.Username != "alice" || r.CreatedAt.IsZero() || r.FinishedAt.IsZero() || r.UpdatedAt.IsZero() {
			t.Errorf("got %+v", r)
		}
		if d := cmp.Diff([]string{"build", "test", "deploy"}, r.Stages); d != "" {
			t.Error(d)
		}
		want := []string{"compile success", "unit failed", "lint success", "release manual", "unit success"}
		if d := cmp.Diff(want, names(o.Jobs)); d != "" {
			t.Error(d)
		}
		failed, manual := o.Jobs[1], o.Jobs[3]
		if failed.FailureReason != "script_failure" || failed.Stage != "test" || failed.URL == "" || failed.Project != w.web.ID ||
			failed.Manual || !o.Jobs[2].AllowFailure || !manual.Manual {
			t.Errorf("got %+v", o.Jobs)
		}
		if o.Jobs[4].Duration != 2500*time.Millisecond {
			t.Errorf("got duration %s", o.Jobs[4].Duration)
		}
		// A whole observation of a run ends in the state that it tells.
		var run kovra.Run
		jobs := map[int64]kovra.Job{}
		run.Observe(jobs, o)
		if run.Status != kovra.Success || run.WantsRead() || len(jobs) != 5 {
			t.Errorf("folded to %+v", run)
		}
	})
}

func TestPipelineReadsAllPages(t *testing.T) {
	w := newWorld(t)
	var specs []gitlabsim.JobSpec
	for i := range 230 {
		specs = append(specs, gitlabsim.JobSpec{Name: fmt.Sprintf("job %d", i), Stage: "s"})
	}
	w.web.SetCI([]string{"s"}, specs)
	_, ref := w.web.Push("dev", "Many", "alice")
	o, err := w.Pipeline(t.Context(), w.web.ID, ref.ID, "main")
	must(t, err)
	if len(o.Jobs) != 230 || o.Run.Protected {
		t.Errorf("got %d jobs, protected %v", len(o.Jobs), o.Run.Protected)
	}
	if !slices.IsSortedFunc(o.Jobs, func(a, b kovra.Job) int { return int(a.ID - b.ID) }) {
		t.Error("jobs are not in order")
	}
}

func TestPipelineBridgesAndParent(t *testing.T) {
	w := newWorld(t)
	api := w.sim.AddProject(gitlabsim.Project{Path: "group/api", Members: map[string]int{"alice": gitlabsim.Developer}})
	api.SetCI([]string{"test"}, []gitlabsim.JobSpec{{Name: "unit", Stage: "test"}})
	w.web.SetCI([]string{"build", "fan"}, []gitlabsim.JobSpec{
		{Name: "compile", Stage: "build"},
		{Name: "child", Stage: "fan", Trigger: &gitlabsim.TriggerSpec{Depend: true, Stages: []string{"in"}, Jobs: []gitlabsim.JobSpec{{Name: "inner", Stage: "in"}}}},
		{Name: "downstream", Stage: "fan", Trigger: &gitlabsim.TriggerSpec{ProjectID: api.ID}},
	})
	_, ref := w.web.Push("main", "Fan out", "alice")
	w.web.Push("main", "Another", "alice") // a younger pipeline of another commit
	must(t, w.sim.FinishPipeline(w.web.ID, ref.ID, "success"))

	o, err := w.Pipeline(t.Context(), w.web.ID, ref.ID, "main")
	must(t, err)
	if d := cmp.Diff([]string{"build", "fan"}, o.Run.Stages); d != "" {
		t.Error(d)
	}
	var child, other kovra.Job
	for _, j := range o.Jobs {
		switch j.Name {
		case "child":
			child = j
		case "downstream":
			other = j
		}
	}
	if !child.Bridge || child.Downstream.Project != w.web.ID || child.Downstream.Pipeline == 0 || child.Downstream.Status != kovra.Success {
		t.Errorf("got child %+v", child)
	}
	if !other.Bridge || other.Downstream.Project != api.ID || other.Downstream.URL == "" {
		t.Errorf("got downstream %+v", other)
	}
	for range 2 { // the second time from memory
		in, err := w.Pipeline(t.Context(), w.web.ID, child.Downstream.Pipeline, "main")
		must(t, err)
		want := kovra.Parent{Project: w.web.ID, Pipeline: ref.ID, Job: child.ID}
		if in.Run.Parent != want || !in.Run.Child() {
			t.Errorf("got parent %+v, want %+v", in.Run.Parent, want)
		}
	}
	if n := w.sim.CallCount("GET /projects/:id/pipelines"); n != 2 {
		t.Errorf("searched %d times, want 2", n)
	}
	// The pipeline of another project is no child.
	in, err := w.Pipeline(t.Context(), api.ID, other.Downstream.Pipeline, "main")
	if err != nil || in.Run.Child() {
		t.Errorf("got %+v, %v", in.Run.Parent, err)
	}
}

func TestParentThatCannotBeFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.web.SetCI([]string{"fan"}, []gitlabsim.JobSpec{
			{Name: "child", Stage: "fan", Trigger: &gitlabsim.TriggerSpec{Stages: []string{"in"}, Jobs: []gitlabsim.JobSpec{{Name: "inner", Stage: "in"}}}},
		})
		_, ref := w.web.Push("main", "Fan out", "alice")
		child := w.sim.Bridges(w.web.ID, ref.ID)[0].DownstreamPipelineID
		for _, route := range []string{"GET /projects/:id/pipelines", "GET /projects/:id/pipelines/:pipeline_id/bridges"} {
			if strings.HasSuffix(route, "bridges") { // of the child itself, which are read first
				w.sim.Fault(gitlabsim.Delay(route, 0))
			}
			w.sim.Fault(gitlabsim.Status(route, 503))
			_, err := w.Pipeline(t.Context(), w.web.ID, child, "main")
			wantKind(t, err, kovra.Unavailable)
		}
		w.sim.Fault(gitlabsim.Status("GET /projects/:id/pipelines", 403))
		o, err := w.Pipeline(t.Context(), w.web.ID, child, "main")
		if err != nil || o.Run.Parent.Pipeline != 0 {
			t.Errorf("got %+v, %v", o.Run.Parent, err)
		}
	})
}

func TestPipelineOfTagAndMergeRequest(t *testing.T) {
	w := newWorld(t)
	_, tag := w.sim.CreateTag(w.web.ID, "v1", "main", "alice")
	o, err := w.Pipeline(t.Context(), w.web.ID, tag.ID, "main")
	must(t, err)
	if !o.Run.Tag || !o.Run.Protected || o.Run.Ref != "v1" {
		t.Errorf("got %+v", o.Run)
	}

	w.web.Push("feature", "Add", "alice")
	ref := w.sim.RunMergeRequestPipeline(w.web.ID, gitlabsim.MergeRequest{IID: 3, Title: "Add it", SourceBranch: "feature", TargetBranch: "main"}, "alice")
	// The simulator knows no such endpoint: what a token without the right sees.
	o, err = w.Pipeline(t.Context(), w.web.ID, ref.ID, "main")
	must(t, err)
	want := kovra.MergeRequest{IID: 3, URL: testURL + "/group/web/-/merge_requests/3"}
	if o.Run.Ref != "" || o.Run.MR.IID != 3 || o.Run.MR.URL != want.URL || o.Run.Protected {
		t.Errorf("got ref %q, %+v", o.Run.Ref, o.Run.MR)
	}
}

func TestPipelineReadsMergeRequest(t *testing.T) {
	status := http.StatusOK
	c := newClient(t, &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		switch path := strings.TrimPrefix(r.URL.Path, "/api/v4/projects/1/"); path {
		case "pipelines/9":
			return answer(r, 200, `{"id":9,"ref":"refs/merge-requests/3/merge","status":"running","source":"merge_request_event","sha":"abc"}`), nil
		case "merge_requests/3":
			return answer(r, status, `{"iid":3,"title":"Add it","source_branch":"feature","target_branch":"main","web_url":"https://x/3"}`), nil
		case "repository/commits/abc":
			return answer(r, 404, `{"message":"404 Commit Not Found"}`), nil
		default:
			return answer(r, 200, `[]`), nil
		}
	})})
	o, err := c.Pipeline(t.Context(), 1, 9, "feature")
	must(t, err)
	want := kovra.MergeRequest{IID: 3, Title: "Add it", URL: "https://x/3", Target: "main"}
	if o.Run.Ref != "feature" || o.Run.MR != want || o.Run.Protected || o.Run.Title != "" {
		t.Errorf("got %+v", o.Run)
	}
	status = http.StatusServiceUnavailable
	_, err = c.Pipeline(t.Context(), 1, 9, "feature")
	wantKind(t, err, kovra.Unavailable)
}

func TestPipelineErrors(t *testing.T) {
	w := newWorld(t)
	_, ref := w.web.Push("main", "x", "alice")
	_, err := w.Pipeline(t.Context(), w.web.ID, 9999, "main")
	wantKind(t, err, kovra.NotFound)
	w.sim.Fault(gitlabsim.Status("GET /projects/:id/pipelines/:pipeline_id/jobs", 403))
	_, err = w.Pipeline(t.Context(), w.web.ID, ref.ID, "main")
	wantKind(t, err, kovra.Denied)
	w.sim.Fault(gitlabsim.Status("GET /projects/:id/repository/commits/:sha", 403))
	o, err := w.Pipeline(t.Context(), w.web.ID, ref.ID, "main")
	if err != nil || o.Run.Title != "" {
		t.Errorf("without the commit: got %q, %v", o.Run.Title, err)
	}
	for range 2 {
		o, err = w.Pipeline(t.Context(), w.web.ID, ref.ID, "main")
		if err != nil || o.Run.Title != "x" {
			t.Errorf("got %q, %v", o.Run.Title, err)
		}
	}
	if n := w.sim.CallCount("GET /projects/:id/repository/commits/:sha"); n != 2 {
		t.Errorf("commit was read %d times, want 2 (the first failed)", n)
	}
	// A pipeline whose trigger jobs may not be seen is still worth showing.
	w.sim.Fault(gitlabsim.Status("GET /projects/:id/pipelines/:pipeline_id/bridges", 403))
	if o, err := w.Pipeline(t.Context(), w.web.ID, ref.ID, "main"); err != nil || len(o.Jobs) == 0 {
		t.Errorf("without trigger jobs: got %d jobs, %v", len(o.Jobs), err)
	}
}

func TestPipelineWithTooManyJobs(t *testing.T) {
	pages := 0
	c := newClient(t, &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/jobs") {
			pages++
			return answer(r, 200, fmt.Sprintf(`[{"id":%d,"name":"x"}]`, pages), "X-Next-Page", fmt.Sprint(pages+1)), nil
		}
		if strings.HasSuffix(r.URL.Path, "/bridges") {
			return answer(r, 200, `[]`), nil
		}
		return answer(r, 200, `{"id":1}`), nil
	})})
	o, err := c.Pipeline(t.Context(), 1, 1, "")
	if err != nil || len(o.Jobs) != jobPages || pages != jobPages {
		t.Errorf("got %d jobs in %d pages, %v", len(o.Jobs), pages, err)
	}
}

func TestMemoryForgetsTheOldest(t *testing.T) {
	m := newMemory[int, string](2)
	for i := range 4 {
		m.put(i, fmt.Sprint(i))
		m.put(i, fmt.Sprint(i))
	}
	if _, ok := m.get(1); ok || len(m.known) != 2 {
		t.Errorf("got %v", m.known)
	}
	if v, ok := m.get(3); !ok || v != "3" {
		t.Errorf("got %q", v)
	}
}
