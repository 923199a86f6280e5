package kovra

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var start = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// history is a true life of a pipeline: what GitLab said, in order, and how it ended.
type history struct {
	events []Observation
	truth  Observation // what a re-read at the end says
}

// live plays a random pipeline: stages, failures, retries, manual jobs that are
// played, cancels; and writes down each hook that GitLab would send.
func live(r *rand.Rand) history {
	var h history
	run := Run{Project: 7, Remote: 900, Ref: "main", SHA: "deadbeefcafe", Title: "Fix it"}
	clock := start
	jobs := map[string]*Job{}
	next := int64(100)
	tick := func() time.Time { clock = clock.Add(time.Duration(1+r.IntN(9)) * time.Second); return clock }
	current := func() []Job {
		var out []Job
		for _, n := range []string{"build", "test", "deploy"} {
			if j := jobs[n]; j != nil {
				out = append(out, *j)
			}
		}
		return out
	}
	hook := func() { h.events = append(h.events, Observation{Run: run, Jobs: current()}) }
	jobHook := func(j Job) {
		h.events = append(h.events, Observation{Run: Run{Project: 7, Remote: 900, Ref: "main", SHA: run.SHA}, Jobs: []Job{j}})
	}
	var all []Job
	set := func(name string, s Status) {
		jobs[name].Status = s
		if s.Final() {
			jobs[name].FinishedAt = tick()
		}
		jobHook(*jobs[name])
	}
	add := func(name string, s Status) {
		if old := jobs[name]; old != nil {
			all = append(all, *old)
		}
		jobs[name] = &Job{ID: next, Name: name, Stage: name, Status: s}
		next++
		jobHook(*jobs[name])
	}
	move := func(s Status) {
		run.Status = s
		run.FinishedAt = time.Time{}
		if s.Final() {
			run.FinishedAt = tick()
		}
		hook()
	}
	add("build", Created)
	add("test", Created)
	add("deploy", Manual)
	jobs["deploy"].AllowFailure, jobs["deploy"].Manual = true, true
	move(Pending)
	for range 1 + r.IntN(3) {
		failed := ""
		set("build", Pending)
		move(Running)
		set("build", Running)
		if r.IntN(4) == 0 {
			failed = "build"
			set("build", Failed)
			set("test", Skipped)
		} else {
			set("build", Success)
			set("test", Running)
			if r.IntN(2) == 0 {
				failed = "test"
				set("test", Failed)
			} else {
				set("test", Success)
			}
		}
		end := Success
		if failed != "" {
			end = Failed
		}
		move(end)
		if r.IntN(3) == 0 {
			break
		}
		if failed == "" {
			if jobs["deploy"].Status == Manual {
				set("deploy", Pending)
				move(Running)
				set("deploy", Success)
				move(Success)
			}
			break
		}
		add(failed, Pending)
		if failed == "build" {
			jobs["test"].Status = Created
			jobHook(*jobs["test"])
		} else {
			add("build", Created) // a whole new attempt, so that the loop can play it again
		}
		move(Running)
	}
	h.truth = Observation{Run: run, Jobs: append(all, current()...), Whole: true}
	return h
}

// play folds events into an empty run, and asks for the truth when the run is in doubt.
func play(events []Observation, truth Observation) (Run, map[int64]Job, int) {
	run := Run{ID: 1, Project: 7, Remote: 900}
	jobs := map[int64]Job{}
	for _, e := range events {
		if run.Observe(jobs, e).Changed() {
			run.Version++
		}
	}
	reads := 0
	for run.Stale && reads < 5 {
		truth.Base = run.Version
		run.Observe(jobs, truth)
		run.Version++
		reads++
	}
	return run, jobs, reads
}

var sameState = cmp.Options{
	cmpopts.IgnoreFields(Run{}, "Version", "Read", "ReadResults", "UpdatedAt"),
	cmpopts.EquateApproxTime(0),
	cmpopts.EquateEmpty(),
}

// checkConverges shuffles and repeats a history and compares with the truth.
func checkConverges(t *testing.T, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	h := live(r)
	want, wantJobs, _ := play([]Observation{h.truth}, h.truth)
	for range 8 {
		events := append([]Observation(nil), h.events...)
		for range r.IntN(6) {
			events = append(events, h.events[r.IntN(len(h.events))])
		}
		r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		got, gotJobs, reads := play(events, h.truth)
		if reads > 1 {
			t.Fatalf("seed %d: %d re-reads for one burst", seed, reads)
		}
		if got.Status != want.Status || !got.FinishedAt.Equal(want.FinishedAt) {
			t.Fatalf("seed %d, %d re-reads: status %s (%s), want %s (%s)", seed, reads, got.Status, got.FinishedAt, want.Status, want.FinishedAt)
		}
		if diff := cmp.Diff(wantJobs, gotJobs, sameState, cmpopts.IgnoreFields(Job{}, "FinishedAt")); diff != "" {
			t.Fatalf("seed %d, %d re-reads: jobs (-want +got):\n%s", seed, reads, diff)
		}
	}
}

func TestObserveConverges(t *testing.T) {
	for seed := range uint64(500) {
		checkConverges(t, seed)
	}
}

func FuzzObserve(f *testing.F) {
	f.Add(uint64(1))
	f.Add(uint64(77))
	f.Fuzz(func(t *testing.T, seed uint64) { checkConverges(t, seed) })
}
