package gitlab

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/kovra"
)

func TestChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.web.SetCI([]string{"fan"}, []gitlabsim.JobSpec{
			{Name: "child", Stage: "fan", Trigger: &gitlabsim.TriggerSpec{Stages: []string{"in"}, Jobs: []gitlabsim.JobSpec{{Name: "inner", Stage: "in"}}}},
		})
		_, old := w.web.Push("main", "one", "alice")
		time.Sleep(time.Minute)
		since := time.Now()
		time.Sleep(time.Minute)
		_, second := w.web.Push("main", "two", "alice")
		time.Sleep(time.Minute)
		all, err := w.Changed(t.Context(), w.web.ID, time.Time{})
		if err != nil || len(all) != 4 {
			t.Fatalf("got %+v, %v, want two pipelines and their children", all, err)
		}
		got, err := w.Changed(t.Context(), w.web.ID, since)
		must(t, err)
		if len(got) != 2 || got[0].Remote != second.ID || got[1].Source != "parent_pipeline" {
			t.Errorf("got %+v", got)
		}
		if b := got[0]; b.Ref != "main" || b.SHA == "" || b.Status == "" || b.UpdatedAt.IsZero() {
			t.Errorf("got %+v", b)
		}
		child := w.sim.Bridges(w.web.ID, old.ID)[0].DownstreamPipelineID
		must(t, w.sim.FinishPipeline(w.web.ID, child, "success"))
		got, err = w.Changed(t.Context(), w.web.ID, since)
		must(t, err)
		if len(got) != 3 || got[2].Remote != child || got[2].Status != kovra.Success {
			t.Errorf("the change of an old child is not last: %+v", got)
		}
		w.sim.Fault(gitlabsim.Status("GET /projects/:id/pipelines", 403))
		_, err = w.Changed(t.Context(), w.web.ID, since)
		wantKind(t, err, kovra.Denied)
	})
}

func TestChangedReadsAllPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range 150 {
			w.web.Push("main", "x", "alice") // all in one instant
		}
		time.Sleep(time.Hour)
		for range 130 {
			w.web.Push("main", "x", "alice")
			time.Sleep(300 * time.Millisecond)
		}
		got, err := w.Changed(t.Context(), w.web.ID, time.Time{})
		if err != nil || len(got) != 280 {
			t.Errorf("got %d, %v, want 280", len(got), err)
		}
		if !slices.IsSortedFunc(got, func(a, b Brief) int { return a.UpdatedAt.Compare(b.UpdatedAt) }) {
			t.Error("not in order of change")
		}
	})
}

// listed plays a list of pipelines that never ends and moves while it is read.
func TestChangedIsBoundedAndSafe(t *testing.T) {
	base := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	calls := 0
	c := newClient(t, &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		calls++
		q := r.URL.Query()
		if q.Get("source") != "" { // children: one late change
			return answer(r, 200, `[{"id":999999,"updated_at":"2027-01-01T00:00:00.000Z","source":"parent_pipeline"}]`), nil
		}
		after := base
		if v := q.Get("updated_after"); v != "" {
			after, _ = time.Parse(time.RFC3339, v)
		}
		first := max(0, int(after.Sub(base)/time.Second)) + 1
		var list []map[string]any
		page, _ := strconv.Atoi(q.Get("page"))
		for i := range perPage {
			n := first + (page-1)*perPage + i
			list = append(list, map[string]any{"id": n, "updated_at": base.Add(time.Duration(n) * time.Second)})
		}
		body, _ := json.Marshal(list)
		return answer(r, 200, string(body), "X-Next-Page", strconv.Itoa(page+1)), nil
	})})
	got, err := c.Changed(t.Context(), 1, base)
	must(t, err)
	if calls != changedPages+1 {
		t.Errorf("made %d calls", calls)
	}
	last := got[len(got)-1]
	if len(got) < (changedPages-1)*(perPage-2) || last.Remote == 999999 {
		t.Fatalf("got %d, last %+v", len(got), last)
	}
	for i, b := range got {
		if b.Remote != int64(i+1) {
			t.Fatalf("a hole at %d: %+v", i, b)
		}
	}
}

func TestLatestAndHighest(t *testing.T) {
	w := newWorld(t)
	if id, err := w.HighestPipeline(t.Context(), w.web.ID); err != nil || id != 0 {
		t.Errorf("none: got %d, %v", id, err)
	}
	var last gitlabsim.PipelineRef
	for i := range 5 {
		_, last = w.web.Push("main", fmt.Sprint(i), "alice")
	}
	got, err := w.Latest(t.Context(), w.web.ID, 3)
	if err != nil || len(got) != 3 || got[0].Remote != last.ID || got[1].Remote >= last.ID {
		t.Errorf("got %+v, %v", got, err)
	}
	if id, err := w.HighestPipeline(t.Context(), w.web.ID); err != nil || id != last.ID {
		t.Errorf("got %d, %v, want %d", id, err, last.ID)
	}
	_, err = w.HighestPipeline(t.Context(), 999)
	wantKind(t, err, kovra.NotFound)
}

func TestFindPipeline(t *testing.T) {
	w := newWorld(t)
	_, _ = w.web.Push("main", "x", "alice")
	above, err := w.HighestPipeline(t.Context(), w.web.ID)
	must(t, err)
	w.sim.RunPipeline(w.web.ID, "main", "web", gitlabsim.BotUsername)
	w.sim.RunPipeline(w.web.ID, "main", "api", "alice")
	if id, found, err := w.FindPipeline(t.Context(), w.web.ID, above, "main", gitlabsim.BotUsername); err != nil || found || id != 0 {
		t.Errorf("nothing of ours: got %d, %v, %v", id, found, err)
	}
	want := w.sim.RunPipeline(w.web.ID, "main", "api", gitlabsim.BotUsername)
	for range 120 {
		w.sim.RunPipeline(w.web.ID, "main", "api", gitlabsim.BotUsername)
	}
	for _, ref := range []string{"main", "refs/heads/main"} {
		if id, found, err := w.FindPipeline(t.Context(), w.web.ID, above, ref, gitlabsim.BotUsername); err != nil || !found || id != want.ID {
			t.Errorf("%s: got %d, %v, %v, want %d", ref, id, found, err, want.ID)
		}
	}
	w.sim.SetDown(true)
	_, _, err = w.FindPipeline(t.Context(), w.web.ID, above, "main", "x")
	wantKind(t, err, kovra.Unavailable)
}
