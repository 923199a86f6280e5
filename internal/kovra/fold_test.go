package kovra

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// told is a run that was folded from observations, one after the other.
type told struct {
	run  Run
	jobs map[int64]Job
}

func tell(os ...Observation) (*told, Seen) {
	r := &told{run: Run{ID: 1, Project: 7, Remote: 900}, jobs: map[int64]Job{}}
	var last Seen
	for _, o := range os {
		last = r.hear(o)
	}
	return r, last
}

func (r *told) hear(o Observation) Seen {
	seen := r.run.Observe(r.jobs, o)
	if seen.Changed() {
		r.run.Version++
	}
	return seen
}

// said is a hook of the run with a status and jobs; an end has a time.
func said(s Status, jobs ...Job) Observation {
	o := Observation{Run: Run{Project: 7, Remote: 900, Status: s}, Jobs: jobs}
	if s.Final() {
		o.Run.FinishedAt = start
	}
	return o
}

// read is what the API says, asked when the run had that version.
func read(base int64, o Observation) Observation {
	o.Whole, o.Base = true, base
	return o
}

func TestObserveStatus(t *testing.T) {
	endless := said(Skipped)
	endless.Run.FinishedAt = time.Time{}
	again := said(Failed)
	again.Run.FinishedAt = start.Add(time.Minute)
	for name, c := range map[string]struct {
		heard   []Observation
		status  Status
		stale   bool
		results int
	}{
		"forward":                     {[]Observation{said(Created), said(Pending), said(Running)}, Running, false, 0},
		"late":                        {[]Observation{said(Running), said(Pending)}, Running, false, 0},
		"an end":                      {[]Observation{said(Running), said(Failed)}, Failed, false, 1},
		"an end before its start":     {[]Observation{said(Failed), said(Running)}, Failed, true, 1},
		"the same end twice":          {[]Observation{said(Failed), said(Failed)}, Failed, false, 1},
		"a second end":                {[]Observation{said(Failed), again}, Failed, false, 2},
		"ends in the wrong order":     {[]Observation{again, said(Failed)}, Failed, false, 2},
		"two ends that differ":        {[]Observation{said(Failed), said(Success)}, Failed, true, 1},
		"an end without a time":       {[]Observation{said(Running), endless}, Skipped, true, 0},
		"read: it never ran":          {[]Observation{said(Created), read(1, endless)}, Skipped, false, 1},
		"a gate closes":               {[]Observation{said(Running), said(Manual)}, Running, true, 0},
		"a gate opens":                {[]Observation{said(Manual), said(Pending)}, Pending, true, 0},
		"waits for a resource":        {[]Observation{said(Running), said(WaitingForResource)}, Running, true, 0},
		"an unknown word first":       {[]Observation{said("quantum")}, "quantum", false, 0},
		"an unknown word later":       {[]Observation{said(Running), said("quantum")}, Running, true, 0},
		"after an unknown word":       {[]Observation{said("quantum"), said(Running)}, Running, true, 0},
		"read: an unknown word":       {[]Observation{said(Running), read(1, said("quantum"))}, "quantum", false, 0},
		"no word":                     {[]Observation{said(Running), said("")}, Running, false, 0},
		"read: back to life":          {[]Observation{said(Failed), read(1, said(Running))}, Running, false, 1},
		"read, outdated: a hint":      {[]Observation{said(Created), said(Failed), read(1, said(Running))}, Failed, true, 1},
		"read again: the doubt ends":  {[]Observation{said(Failed), said(Running), read(2, said(Running))}, Running, false, 1},
		"over while a job still runs": {[]Observation{said(Failed, Job{ID: 5, Name: "unit", Status: Running})}, Failed, true, 1},
		"over with an old attempt that ran": {
			[]Observation{said(Failed, Job{ID: 5, Name: "unit", Status: Running}, Job{ID: 6, Name: "unit", Status: Failed})}, Failed, false, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := tell(c.heard...)
			if r.run.Status != c.status || r.run.Stale != c.stale || len(r.run.Results) != c.results {
				t.Errorf("%s, stale %v, %d ends; want %s, stale %v, %d ends",
					r.run.Status, r.run.Stale, len(r.run.Results), c.status, c.stale, c.results)
			}
			if r.run.Status.Final() && len(r.run.Results) > 0 {
				if newest := r.run.Results[len(r.run.Results)-1]; !newest.FinishedAt.Equal(r.run.FinishedAt) {
					t.Errorf("finished at %s, the newest end is of %s", r.run.FinishedAt, newest.FinishedAt)
				}
			}
		})
	}
}

// What came late is put in its place, and Seen says where.
func TestObserveResultsInOrder(t *testing.T) {
	later := said(Success)
	later.Run.FinishedAt = start.Add(time.Minute)
	_, seen := tell(later, said(Failed))
	if diff := cmp.Diff([]int{0}, seen.Results); diff != "" {
		t.Errorf("new ends (-want +got):\n%s", diff)
	}
	if _, seen = tell(said(Failed), later); len(seen.Results) != 1 || seen.Results[0] != 1 {
		t.Errorf("new ends: %v, want the second", seen.Results)
	}
	if _, seen = tell(said(Failed), said(Failed)); seen.Changed() || len(seen.Results) != 0 {
		t.Errorf("told twice: %+v", seen)
	}
}

func TestObserveReadBookkeeping(t *testing.T) {
	r, _ := tell(said(Running))
	if !r.run.WantsRead() {
		t.Error("a new run is not read")
	}
	o := read(r.run.Version, said(Running))
	o.Run.UpdatedAt = start
	if seen := r.hear(o); !seen.Changed() || r.run.WantsRead() || !r.run.UpdatedAt.Equal(start) {
		t.Errorf("seen %+v, wants a read: %v, updated at %s", seen, r.run.WantsRead(), r.run.UpdatedAt)
	}
	r.hear(said(Failed))
	if !r.run.WantsRead() {
		t.Error("an end is not read")
	}
	o = read(r.run.Version, said(Failed))
	o.Run.UpdatedAt = start
	r.hear(o)
	if r.run.WantsRead() || r.run.ReadResults != 1 {
		t.Errorf("wants a read: %v, ends read: %d", r.run.WantsRead(), r.run.ReadResults)
	}
	o.Base = r.run.Version
	if seen := r.hear(o); seen.Changed() {
		t.Errorf("the same read again: %+v", seen)
	}
}

func TestObserveJob(t *testing.T) {
	job := func(s Status, reason string) Job {
		return Job{ID: 5, Name: "unit", Stage: "test", Status: s, FailureReason: reason}
	}
	for name, c := range map[string]struct {
		heard  []Observation
		status Status
		reason string
		stale  bool
	}{
		"forward":                    {[]Observation{said("", job(Pending, "")), said("", job(Running, ""))}, Running, "", false},
		"late":                       {[]Observation{said("", job(Failed, "script_failure")), said("", job(Running, ""))}, Failed, "script_failure", false},
		"its reason comes later":     {[]Observation{said("", job(Failed, "")), said("", job(Failed, "script_failure"))}, Failed, "script_failure", false},
		"a late word has no reason":  {[]Observation{said("", job(Success, "")), said("", job(Running, "odd"))}, Success, "", false},
		"two ends":                   {[]Observation{said("", job(Success, "")), said("", job(Failed, "script_failure"))}, Success, "", true},
		"a skipped one comes back":   {[]Observation{said("", job(Skipped, "")), said("", job(Pending, ""))}, Skipped, "", true},
		"read: it came back":         {[]Observation{said("", job(Skipped, "")), read(1, said(Running, job(Pending, "")))}, Pending, "", false},
		"an unknown word":            {[]Observation{said("", job(Running, "")), said("", job("quantum", ""))}, Running, "", true},
		"after an unknown word":      {[]Observation{said("", job("quantum", "")), said("", job(Running, ""))}, Running, "", false},
		"read: a reason that is not": {[]Observation{said("", job(Failed, "odd")), read(1, said(Running, job(Running, "")))}, Running, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := tell(c.heard...)
			if j := r.jobs[5]; j.Status != c.status || j.FailureReason != c.reason || r.run.Stale != c.stale {
				t.Errorf("%s (%s), stale %v; want %s (%s), stale %v", j.Status, j.FailureReason, r.run.Stale, c.status, c.reason, c.stale)
			}
		})
	}
}

// A job keeps what was told once, and what we noted of its log.
func TestObserveJobMerges(t *testing.T) {
	down := Downstream{Project: 8, Pipeline: 77, Status: Running}
	r, _ := tell(
		said("", Job{
			ID: 5, Name: "unit", Stage: "test", Status: Running, URL: "https://gitlab.example/5", AllowFailure: true, Manual: true,
			CreatedAt: start, Duration: 5, Log: LogCut, Excerpt: Excerpt{Note: "not GitLab's to say"},
		}),
		said("", Job{ID: 5, Status: Running, Bridge: true, Downstream: down, StartedAt: start.Add(time.Second), Duration: 3}),
		said("", Job{ID: 5, Status: Running}),
	)
	want := Job{
		ID: 5, Run: 1, Project: 7, Name: "unit", Stage: "test", Status: Running, URL: "https://gitlab.example/5", AllowFailure: true,
		Manual: true, Bridge: true, Downstream: down, CreatedAt: start, StartedAt: start.Add(time.Second), Duration: 5,
	}
	if diff := cmp.Diff(want, r.jobs[5]); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	j := r.jobs[5]
	j.Log, j.Excerpt = LogCut, Excerpt{Total: 3}
	r.jobs[5] = j
	r.hear(said("", Job{ID: 5, Status: Failed}))
	if j = r.jobs[5]; j.Log != LogCut || j.Excerpt.Total != 3 {
		t.Errorf("the excerpt is lost: %q %+v", j.Log, j.Excerpt)
	}
}

// Facts come from several sources, each of which knows a part.
func TestObserveMergesFacts(t *testing.T) {
	hook := Run{
		Project: 7, Remote: 900, Ref: "feature", SHA: "abc", Title: "Fix it", Source: "merge_request_event", IID: 3, URL: "https://gitlab.example/900",
		MR: MergeRequest{IID: 4, Title: "Draft"}, By: GitLabUser{Username: "alice"}, Author: GitLabUser{Name: "Bob"},
		CreatedAt: start, Stages: []string{"build", "test"},
	}
	api := Run{
		Project: 7, Remote: 900, Ref: "refs/merge-requests/4/head", Name: "release", Protected: true, StartedAt: start.Add(time.Second),
		MR: MergeRequest{Title: "Fix it all", URL: "https://gitlab.example/mr/4", Target: "main"}, Parent: Parent{Project: 8, Pipeline: 3},
	}
	want := hook
	want.ID, want.Name, want.Protected, want.StartedAt, want.Parent = 1, api.Name, true, api.StartedAt, api.Parent
	want.MR = MergeRequest{IID: 4, Title: "Fix it all", URL: "https://gitlab.example/mr/4", Target: "main"}
	r, seen := tell(Observation{Run: hook}, Observation{Run: api})
	got := r.run
	if !seen.Run {
		t.Error("a change is not told")
	}
	want.Version = got.Version
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if seen := r.hear(Observation{Run: Run{Project: 7, Remote: 900}}); seen.Changed() {
		t.Errorf("nothing was told, and yet: %+v", seen)
	}
	r.hear(read(r.run.Version, Observation{Run: Run{Project: 7, Remote: 900, Ref: "v1", Tag: true}}))
	if r.run.Ref != "v1" || !r.run.Tag || r.run.Kind() != "merge_request" {
		t.Errorf("ref %q, tag %v, kind %s", r.run.Ref, r.run.Tag, r.run.Kind())
	}
}

// Hooks tell whole seconds, the API fractions of them. The two must never take turns:
// each turn would be a change that is shown.
func TestObserveTimesNeverTakeTurns(t *testing.T) {
	coarse := said(Failed, Job{ID: 5, Name: "unit", Status: Failed, StartedAt: start, FinishedAt: start})
	coarse.Run.CreatedAt, coarse.Run.StartedAt = start, start
	finer := start.Add(567 * time.Millisecond)
	fine := said(Failed, Job{ID: 5, Name: "unit", Status: Failed, StartedAt: finer, FinishedAt: finer})
	fine.Run.CreatedAt, fine.Run.StartedAt, fine.Run.FinishedAt = finer, finer, finer
	r, _ := tell(coarse, read(1, fine))
	for range 3 {
		if seen := r.hear(coarse); seen.Changed() {
			t.Errorf("a hook again: %+v", seen)
		}
		if seen := r.hear(read(r.run.Version, fine)); seen.Changed() {
			t.Errorf("a read again: %+v", seen)
		}
	}
	if len(r.run.Results) != 1 || !r.run.FinishedAt.Equal(start) {
		t.Errorf("%d ends, finished at %s", len(r.run.Results), r.run.FinishedAt)
	}
}
