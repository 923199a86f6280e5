package gitlabsim_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"kovra.dev/chatops/internal/gitlabsim"
)

// running gives the id of a job that runs.
func (w *world) running(name string) int64 {
	w.t.Helper()
	ref := w.push()
	id := w.job(ref, name).ID
	must(w.t, w.s.StartJob(id))
	return id
}

// path is where the API has a job.
func (w *world) path(job int64, rest string) string {
	return fmt.Sprintf("https://gitlab.example.com/api/v4/projects/%d/jobs/%d%s", w.web.ID, job, rest)
}

func (w *world) get(method, url, token string) (int, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, url, nil)
	must(w.t, err)
	req.Header.Set("Private-Token", token)
	resp, err := w.s.Client().Do(req)
	must(w.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(w.t, err)
	return resp.StatusCode, string(body)
}

func (w *world) trace(job int64) string {
	w.t.Helper()
	status, body := w.get(http.MethodGet, w.path(job, "/trace"), "tok-dev")
	if status != http.StatusOK {
		w.t.Fatalf("trace: status %d, %s", status, body)
	}
	return body
}

func TestATraceGrows(t *testing.T) {
	for _, kind := range []string{"long", "go-test", "ok" + gitlabsim.Timestamps} {
		w := newWorld(t)
		job := w.running("compile")
		must(t, w.s.WriteTrace(job, 1)) // nothing: it is not recorded
		must(t, w.s.Record(job, kind))
		var seen string
		for share := range 10 {
			w.now = w.now.Add(time.Second)
			must(t, w.s.WriteTrace(job, float64(share)/10))
			now := w.trace(job)
			if !strings.HasPrefix(now, seen) || share > 0 && len(now) == len(seen) || share == 0 && now != "" {
				t.Fatalf("%s: at %d0 %% there are %d bytes, after %d", kind, share, len(now), len(seen))
			}
			seen = now
		}
		must(t, w.s.WriteTrace(job, 0.5)) // time does not run back
		if got := w.trace(job); got != seen {
			t.Errorf("%s: the trace went on before its time", kind)
		}
		must(t, w.s.WriteTrace(job, 1))
		if got := w.trace(job); strings.Contains(got, "Job succeeded") || strings.Contains(got, "Job failed") {
			t.Errorf("%s: the end is told before it has come", kind)
		}
		state, _ := w.s.Job(job)
		if want := strings.TrimSuffix(kind, gitlabsim.Timestamps); state.Recording != want {
			t.Errorf("%s is recorded, want %s", state.Recording, want)
		}
		status := "success"
		if kind == "go-test" {
			status = "failed"
		}
		must(t, w.s.FinishJob(job, status, "", ""))
		got := w.trace(job)
		if !strings.HasPrefix(got, seen) || (status == "success") != strings.Contains(got, "Job succeeded") || (status == "failed") != strings.Contains(got, "cart_test.go:88") {
			t.Errorf("%s ended as\n%s", kind, got)
		}
		must(t, w.s.WriteTrace(job, 1))
		if w.trace(job) != got {
			t.Errorf("%s: the trace went on after its end", kind)
		}
		if w.s.Record(job, "ok") == nil {
			t.Errorf("%s: a job that has ended is recorded", kind)
		}
		if !strings.Contains(kind, gitlabsim.Timestamps) {
			continue
		}
		if first, last := "2026-11-20T09:00:0", "2026-11-20T09:00:10"; !strings.HasPrefix(seen, first) || !strings.Contains(got, last) {
			t.Errorf("the stamps are not those of the clock:\n%s", got)
		}
		if got := w.s.TraceRequests(job); got != 14 {
			t.Errorf("%d requests for the trace, want 14", got)
		}
	}
}

func TestATraceTurns(t *testing.T) {
	for _, c := range []struct {
		name, from, to string
		share          float64
		status         string
		has, lacks     string
	}{
		{"before it began", "ok", "go-test", 0, "failed", "cart_test.go:88", "go vet"},
		{"while it prepares", "ok", "oom", 0.2, "failed", "Killed", "go vet"},
		{"in its script", "long", "go-test", 0.5, "failed", "cart_test.go:88", "tests, 5 files"},
		{"in its script, by its end", "long", "", 0.5, "failed", "cart_test.go:88", "tests, 5 files"},
		{"in its script, to pass", "npm", "", 0.6, "success", "go vet", "npm error command failed"},
		{"stopped in its script", "long", "", 0.5, "canceled", "ERROR: Job failed: canceled", "tests, 5 files"},
		{"after its script", "ok", "", 0.95, "canceled", "ERROR: Job failed: canceled", "Job succeeded"},
		{"to the same", "long", "long", 0, "success", "Job succeeded", "ERROR"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			job := w.running("compile")
			must(t, w.s.Record(job, c.from))
			must(t, w.s.WriteTrace(job, c.share))
			before := w.trace(job)
			if c.to != "" {
				must(t, w.s.Record(job, c.to))
			}
			must(t, w.s.FinishJob(job, c.status, "", ""))
			got := w.trace(job)
			if !strings.HasPrefix(got, before) || !strings.Contains(got, c.has) || strings.Contains(got, c.lacks) {
				t.Errorf("it ended as\n%s", got)
			}
			if n := strings.Count(got, ":step_script"); n != 2 {
				t.Errorf("step_script is marked %d times", n)
			}
		})
	}
	w := newWorld(t)
	if w.s.Record(w.running("compile"), "nothing") == nil {
		t.Error("an unknown kind is recorded")
	}
	if _, known := w.s.Job(1); known {
		t.Error("there is a job 1")
	}
}

func TestTheBigLogIsMadeWhileItIsSent(t *testing.T) {
	if testing.Short() {
		t.Skip("it reads 100 MB")
	}
	for _, kind := range []string{"big", "big" + gitlabsim.Timestamps} {
		w := newWorld(t)
		w.web.SetCI([]string{"a"}, []gitlabsim.JobSpec{{Name: "replay", Stage: "a", Log: kind}})
		ref := w.push()
		w.finish(ref, "replay", "failed")
		job := w.job(ref, "replay")
		if len(job.Trace) > 10_000 || !strings.Contains(job.Trace, "[1000000 lines, ") {
			t.Errorf("the state holds %d bytes", len(job.Trace))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.path(job.ID, "/trace"), nil)
		must(t, err)
		req.Header.Set("Private-Token", "tok-dev")
		resp, err := w.s.Client().Do(req)
		must(t, err)
		lines, size, errs := 0, 0, 0
		in := bufio.NewScanner(resp.Body)
		for in.Scan() {
			lines++
			size += len(in.Bytes()) + 1
			if strings.Contains(in.Text(), " 01E ") {
				errs++
			}
		}
		must(t, in.Err())
		must(t, resp.Body.Close())
		runtime.ReadMemStats(&after)
		if lines < 1_000_000 || lines > 1_000_100 || size < 50<<20 || size > 105<<20 {
			t.Errorf("%s: %d lines, %d bytes", kind, lines, size)
		}
		if stamped := strings.HasSuffix(kind, gitlabsim.Timestamps); stamped != (errs > 50) {
			t.Errorf("%s: %d lines of standard error", kind, errs)
		}
		_, shown := w.get(http.MethodGet, w.path(job.ID, ""), "tok-dev")
		if want := fmt.Sprintf(`"size":%d`, size); !strings.Contains(shown, want) {
			t.Errorf("%s: the job does not say %s: %s", kind, want, shown)
		}
		if held := int64(after.HeapSys) - int64(before.HeapSys); held > 30<<20 {
			t.Errorf("%s: the heap grew by %d bytes", kind, held)
		}
	}
}

func TestErase(t *testing.T) {
	w := newWorld(t)
	ref := w.push()
	job := w.job(ref, "compile").ID
	if got := w.trace(job); got != "" {
		t.Errorf("the trace of a job that waits is %q", got)
	}
	if err := w.s.EraseJob(job); err == nil {
		t.Error("a job that waits was erased")
	}
	if status, body := w.get(http.MethodPost, w.path(job, "/erase"), "tok-mara"); status != http.StatusForbidden || !strings.Contains(body, "not erasable") {
		t.Errorf("erase a job that waits: %d, %s", status, body)
	}
	w.finish(ref, "compile", "failed")
	if w.trace(job) == "" {
		t.Fatal("no trace to erase")
	}
	for _, c := range []struct {
		token string
		want  int
	}{{"tok-rita", http.StatusForbidden}, {"tok-mara", http.StatusCreated}, {"tok-mara", http.StatusForbidden}} {
		if status, body := w.get(http.MethodPost, w.path(job, "/erase"), c.token); status != c.want {
			t.Errorf("%s erases: %d, want %d: %s", c.token, status, c.want, body)
		}
	}
	if got := w.trace(job); got != "" {
		t.Errorf("the trace of an erased job is %q", got)
	}
	if _, shown := w.get(http.MethodGet, w.path(job, ""), "tok-dev"); !strings.Contains(shown, `"erased_at":"2026-`) || !strings.Contains(shown, `"artifacts":[]`) {
		t.Errorf("the erased job: %s", shown)
	}
}

func TestABranchMayHaveItsOwnCI(t *testing.T) {
	w := newWorld(t)
	w.web.SetBranchCI("nightly", []string{"night"}, []gitlabsim.JobSpec{{Name: "acceptance", Stage: "night"}})
	_, other := w.web.Push("nightly", "Test all", "dev")
	jobs := w.s.Jobs(w.web.ID, other.ID)
	if len(jobs) != 1 || jobs[0].Name != "acceptance" {
		t.Errorf("nightly has %+v", jobs)
	}
	if jobs := w.s.Jobs(w.web.ID, w.push().ID); len(jobs) != len(shopJobs) {
		t.Errorf("main has %d jobs", len(jobs))
	}
}
