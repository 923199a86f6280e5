package kovra

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRunKindAndChild(t *testing.T) {
	for name, c := range map[string]struct {
		run   Run
		kind  string
		child bool
	}{
		"a push":                      {Run{Source: "push", Ref: "main"}, "branch", false},
		"a tag":                       {Run{Source: "push", Ref: "v1", Tag: true}, "tag", false},
		"a merge request":             {Run{MR: MergeRequest{IID: 4}}, "merge_request", false},
		"a merge request by its word": {Run{Source: "merge_request_event", Tag: true}, "merge_request", false},
		"a child":                     {Run{Source: "parent_pipeline"}, "branch", true},
		"a child by its parent":       {Run{Project: 7, Parent: Parent{Project: 7, Pipeline: 5}}, "branch", true},
		"started by another project":  {Run{Project: 7, Source: "pipeline", Parent: Parent{Project: 8, Pipeline: 5}}, "branch", false},
		"an unknown parent":           {Run{Project: 7, Parent: Parent{Project: 7}}, "branch", false},
	} {
		if got := c.run.Kind(); got != c.kind {
			t.Errorf("%s: kind %q, want %q", name, got, c.kind)
		}
		if got := c.run.Child(); got != c.child {
			t.Errorf("%s: child %v, want %v", name, got, c.child)
		}
	}
}

func TestRunAttemptAndResult(t *testing.T) {
	first := Result{FinishedAt: start, Status: Failed}
	second := Result{FinishedAt: start.Add(time.Minute), Status: Success}
	for name, c := range map[string]struct {
		run     Run
		attempt int
		result  Result // zero: none
	}{
		"new":                      {Run{Status: Created}, 1, Result{}},
		"failed":                   {Run{Status: Failed, Results: []Result{first}}, 1, first},
		"retried":                  {Run{Status: Running, Results: []Result{first}}, 2, Result{}},
		"ended again":              {Run{Status: Success, Results: []Result{first, second}}, 2, second},
		"its end was not seen yet": {Run{Status: Success}, 1, Result{}},
	} {
		if got := c.run.Attempt(); got != c.attempt {
			t.Errorf("%s: attempt %d, want %d", name, got, c.attempt)
		}
		got, ok := c.run.Result()
		if diff := cmp.Diff(c.result, got); diff != "" || ok != (c.result != Result{}) {
			t.Errorf("%s: result known: %v (-want +got)\n%s", name, ok, diff)
		}
	}
}

func TestRunWantsRead(t *testing.T) {
	ends := []Result{{FinishedAt: start, Status: Failed}}
	for name, c := range map[string]struct {
		run  Run
		want bool
	}{
		"never read":            {Run{Status: Running}, true},
		"read and moving":       {Run{Status: Running, Read: true}, false},
		"in doubt":              {Run{Status: Running, Read: true, Stale: true}, true},
		"ended since":           {Run{Status: Failed, Read: true, Results: ends}, true},
		"read after its end":    {Run{Status: Failed, Read: true, Results: ends, ReadResults: 1}, false},
		"moves again after one": {Run{Status: Running, Read: true, Results: ends}, false},
	} {
		if got := c.run.WantsRead(); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestFirstLineAndShortSHA(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "one": "one", "one\ntwo": "one", "\n\n one \r\ntwo": "one", "one\rtwo": "one", " \n ": "",
	} {
		if got := FirstLine(in); got != want {
			t.Errorf("FirstLine(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"": "", "abc": "abc", "0123456789abcdef": "01234567"} {
		if got := (&Run{SHA: in}).ShortSHA(); got != want {
			t.Errorf("ShortSHA of %q: %q, want %q", in, got, want)
		}
	}
}

// ids of jobs, in their order.
func ids(jobs []Job) []int64 {
	out := []int64{}
	for _, j := range jobs {
		out = append(out, j.ID)
	}
	return out
}

func TestCurrentJobs(t *testing.T) {
	all := []Job{
		{ID: 95, Name: "later", Stage: "unheard of"},
		{ID: 12, Name: "unit", Stage: "test"},
		{ID: 30, Name: "unit", Stage: "test"}, // the newest attempt
		{ID: 21, Name: "unit", Stage: "test"},
		{ID: 11, Name: "compile", Stage: "build"},
		{ID: 13, Name: "lint", Stage: "test"},
		{ID: 90, Name: "first", Stage: "zeta"},
	}
	for name, c := range map[string]struct {
		stages []string
		want   []int64
	}{
		"known stages first": {[]string{"build", "test"}, []int64{11, 13, 30, 90, 95}},
		"as GitLab orders":   {[]string{"zeta", "test", "build"}, []int64{90, 13, 30, 11, 95}},
		"by the first job":   {nil, []int64{11, 13, 30, 90, 95}},
	} {
		if diff := cmp.Diff(c.want, ids(CurrentJobs(c.stages, all))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if got := CurrentJobs(nil, nil); len(got) != 0 {
		t.Errorf("of no job: %v", got)
	}
}

func TestSuccessor(t *testing.T) {
	all := []Job{
		{ID: 40, Name: "unit", Run: 1},
		{ID: 20, Name: "unit", Run: 1},
		{ID: 30, Name: "unit", Run: 1},
		{ID: 21, Name: "lint", Run: 1},
		{ID: 22, Name: "unit", Run: 2},
	}
	for id, want := range map[int64]int64{20: 30, 30: 40, 40: 0} {
		next, ok := Successor(Job{ID: id, Name: "unit", Run: 1}, all)
		if next.ID != want || ok != (want != 0) {
			t.Errorf("after %d comes %d (%v), want %d", id, next.ID, ok, want)
		}
	}
}

func TestFailedJobs(t *testing.T) {
	got := FailedJobs([]Job{
		{ID: 9, Name: "unit", Status: Failed},
		{ID: 3, Name: "lint", Status: Canceled},
		{ID: 4, Name: "docs", Status: Failed, AllowFailure: true},
		{ID: 5, Name: "deploy", Status: Skipped},
		{ID: 6, Name: "compile", Status: Failed},
		{ID: 7, Name: "compile", Status: Success},
	})
	if diff := cmp.Diff([]int64{3, 4, 9}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if (&Job{AllowFailure: true}).Counts() || !(&Job{}).Counts() {
		t.Error("only a job that must not fail counts")
	}
}

func TestSlots(t *testing.T) {
	for got, want := range map[string]string{
		SlotCard:                              "card",
		SlotRest:                              "failures/rest",
		FailureSlot(51):                       "failure/51",
		ActionSlot(3):                         "action/3",
		ResultSlot(Result{}):                  "result/0",
		ResultSlot(Result{FinishedAt: start}): "result/1795424400",
		ResultSlot(Result{FinishedAt: start.Add(1e6)}): "result/1795424400", // hooks and API differ in fractions
	} {
		if got != want {
			t.Errorf("slot %q, want %q", got, want)
		}
	}
}
