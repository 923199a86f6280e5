package dispatch

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"kovra.dev/chatops/internal/joblog"
	"kovra.dev/chatops/internal/kovra"
)

// While one fetches a log another comes to its end. What the first has to say then is nothing for readers.
func TestLogThatAnotherHasEnded(t *testing.T) {
	for name, c := range map[string]struct {
		job   error
		trace error
		left  string
	}{
		"trouble":  {trace: errBusy},
		"token":    {trace: &kovra.Error{Kind: kovra.Denied, Public: "No.", Err: kovra.ErrToken}},
		"hidden":   {trace: errGone},
		"denied":   {trace: errDenied},
		"breaks":   {left: "one\n", trace: errBusy},
		"erased":   {},
		"grows on": {left: "one\ntwo\nth"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReader(t, "")
			r.later(time.Minute)
			r.touch()
			r.trace = func(int64) (io.ReadCloser, error) {
				k := r.d.Runs().alongside(t.Context(), kovra.Run{Remote: 5}, r.truth)
				for i, text := range []string{"one", "two", "three"} {
					_ = k.line(t.Context(), joblog.Line{N: i + 1, Text: text})
				}
				k.finish(t.Context())
				if c.left == "" && c.trace != nil {
					return nil, c.trace
				}
				end := io.Reader(strings.NewReader(""))
				if c.trace != nil {
					end = readFunc(func([]byte) (int, error) { return 0, c.trace })
				}
				return io.NopCloser(io.MultiReader(strings.NewReader(c.left), end)), nil
			}
			if _, err := r.d.Logs().Reconcile(t.Context(), r.id); err != nil && c.trace == nil {
				t.Error(err)
			}
			r.want("", true, "one", "two", "three")
		})
	}
}

// A job whose end we hear of is looked at at once, however long the pause was.
func TestEndedJobIsLookedAtAtOnce(t *testing.T) {
	r, run := resting(t)
	var told []int64
	r.logs.OnChange(func(id int64) { told = append(told, id) })
	reconcileRun(t, r, run)
	if len(told) != 0 {
		t.Fatal("the job still runs")
	}
	r.end(kovra.Success)
	r.observe(pipeline(5, kovra.Success, r.truth))
	reconcileRun(t, r, run)
	reconcileRun(t, r, run)
	if len(told) != 1 || told[0] != r.id || r.found(unitLog).Subject.Status != kovra.Success {
		t.Errorf("told of %d, want %d once; %+v", told, r.id, r.found(unitLog))
	}
	if after := r.pass(); after != 0 {
		t.Errorf("again after %s", after)
	}
	r.want("", true, "one")
}

// A pass that is under way when the job ends may have seen it running: another follows at once.
func TestJobEndsDuringAPass(t *testing.T) {
	r, run := resting(t)
	r.wait(time.Hour)
	r.trace = func(int64) (io.ReadCloser, error) {
		r.end(kovra.Success)
		r.observe(pipeline(5, kovra.Success, r.truth))
		reconcileRun(t, r, run)
		return io.NopCloser(strings.NewReader("one\n")), nil
	}
	if after := r.pass(); after > time.Millisecond || after == 0 {
		t.Errorf("again after %s", after)
	}
	r.text = "one\nthe end"
	r.trace = func(int64) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(r.text)), nil }
	r.pass()
	r.want("", true, "one", "the end")
}

// GitLab is not asked more often for a log because its run changes often.
func TestEndedJobIsHastenedOnce(t *testing.T) {
	r, run := resting(t)
	r.end(kovra.Success)
	r.observe(pipeline(5, kovra.Success, r.truth))
	r.trace = func(int64) (io.ReadCloser, error) { return nil, errBusy }
	before := r.count("trace")
	for range 10 {
		reconcileRun(t, r, run)
		if _, err := r.d.Logs().Reconcile(t.Context(), r.id); err != nil && !errors.Is(err, errBusy) {
			t.Fatal(err)
		}
	}
	if n := r.count("trace") - before; n != 1 {
		t.Errorf("the log was asked for %d times", n)
	}
}

// A log that GitLab did not show is asked for again when it is opened later.
func TestHiddenLogIsTriedAgain(t *testing.T) {
	r := newReader(t, "one\n")
	r.end(kovra.Success)
	r.later(time.Minute)
	r.touch()
	trace := r.trace
	r.trace = func(int64) (io.ReadCloser, error) { return nil, errDenied }
	r.pass()
	r.want(kovra.PublicText(errDenied), true)
	r.trace = trace
	r.wait(4 * time.Minute)
	r.pass()
	r.want(kovra.PublicText(errDenied), true)
	r.wait(61 * time.Second)
	r.pass()
	r.want("", true, "one")
	r.wait(time.Hour)
	r.want("", true, "one")
}

// The clock is set back by a day: nobody waits for a day.
func TestPauseWhenTheClockIsSetBack(t *testing.T) {
	r := newReader(t, "one\n")
	r.pass()
	r.later(-24 * time.Hour)
	r.touch()
	r.text += "two\n"
	r.pass()
	r.want("", false, "one", "two")
}

// resting is a reader of a running job that has said nothing for long.
func resting(t *testing.T) (*reader, kovra.Run) {
	t.Helper()
	r := newReader(t, "one\n")
	r.link("web", web, "C1")
	run := r.observe(pipeline(5, kovra.Running, r.truth))
	r.pipeline = func(int64) (kovra.Observation, error) { return whole(pipeline(5, r.truth.Status, r.truth)), nil }
	for range 10 {
		r.wait(r.pass())
	}
	if after := r.pass(); after != 30*time.Second {
		t.Fatalf("the pause is %s", after)
	}
	r.wait(20 * time.Second)
	return r, run
}

func reconcileRun(t *testing.T, r *reader, run kovra.Run) {
	t.Helper()
	if _, err := r.d.Runs().Reconcile(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
}

// Two fetch the same log, in any order of their steps: each line is kept once.
func TestTwoFetchersOfOneLog(t *testing.T) {
	var want []string
	for i := range 4000 {
		want = append(want, fmt.Sprintf("line %d", i+1))
	}
	for seed := range uint64(10) {
		turns := rand.New(rand.NewPCG(seed, 1))
		r := newReader(t, "")
		r.end(kovra.Failed)
		var excerpt *keeper
		next := 0
		step := func(n int) { // of the one who cuts the excerpt
			if excerpt == nil {
				excerpt = r.d.Runs().alongside(t.Context(), kovra.Run{Remote: 5}, r.truth)
			}
			for ; n > 0 && next < len(want); n-- {
				next++
				_ = excerpt.line(t.Context(), joblog.Line{N: next, Text: want[next-1]})
			}
			if next == len(want) {
				excerpt.finish(t.Context())
			}
		}
		at := 0
		r.trace = func(int64) (io.ReadCloser, error) {
			return io.NopCloser(readFunc(func(p []byte) (int, error) {
				if turns.IntN(2) == 0 {
					step(turns.IntN(1500))
				}
				text := ""
				for range min(turns.IntN(1500), len(want)-at) {
					text += want[at] + "\n"
					at++
				}
				if at == len(want) && text == "" {
					return 0, io.EOF
				}
				return copy(p, text), nil
			})), nil
		}
		r.pass()
		r.want("", true, want...)
		step(len(want))
		r.want("", true, want...)
	}
}
