package dispatch

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
)

// The log of a failed job is read once: for its excerpt and for readers.
func TestFailedJobsLogIsKept(t *testing.T) {
	p, d, run := failing(t)
	p.trace = func(int64) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("$ make\nerror: no rule\nERROR: Job failed")), nil
	}
	kicked := 0
	p.logs.OnChange(func(int64) { kicked++ })
	if _, err := d.Runs().Reconcile(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	_, jobs := p.run(run.ID)
	key := jobs[0].LogKey()
	log := p.found(key)
	if !log.Done || !log.Kept || log.Subject.Name != jobs[0].Name || log.Subject.Pipeline != 5 || log.Subject.Ref != "main" {
		t.Errorf("log %+v", log)
	}
	if diff := cmp.Diff([]string{"$ make", "error: no rule", "ERROR: Job failed"}, p.lines(key)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if jobs[0].Log != kovra.LogCut || jobs[0].Excerpt.First != 2 || p.count("trace") != 1 || kicked != 0 {
		t.Errorf("excerpt %+v, calls %q, the loop was kicked %d times", jobs[0].Excerpt, p.calls, kicked)
	}
}

// A log that breaks off is read anew, and completed.
func TestFailedJobsLogIsCompleted(t *testing.T) {
	p, d, run := failing(t)
	text := strings.Repeat("line\n", 2000) + "error: it broke\n"
	broken := once(errBusy)
	p.trace = func(int64) (io.ReadCloser, error) {
		if err := broken(); err != nil {
			return io.NopCloser(io.MultiReader(strings.NewReader(text[:7000]), iotest.ErrReader(err))), nil
		}
		return io.NopCloser(strings.NewReader(text)), nil
	}
	if _, err := d.Runs().Reconcile(t.Context(), run.ID); err == nil {
		t.Fatal("nobody would try again")
	}
	_, jobs := p.run(run.ID)
	key := jobs[0].LogKey()
	log := p.found(key)
	if log.Done || log.Lines == 0 {
		t.Errorf("after the first try: %+v", log)
	}
	if after, err := d.Logs().Reconcile(t.Context(), log.ID); after < time.Minute || err != nil {
		t.Errorf("the loop of logs meanwhile: again after %s, %v", after, err)
	}
	if _, err := d.Runs().Reconcile(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	if log := p.found(key); !log.Done || log.Lines != 2001 {
		t.Errorf("in the end: %+v", log)
	}
}

// That the store of logs is in trouble, or full, keeps nobody from being told of a failure.
func TestExcerptIsCutWithoutTheStore(t *testing.T) {
	for name, at := range map[string]func(p *peers) io.Reader{
		"from the start": func(p *peers) io.Reader {
			_ = p.logs.Close()
			return strings.NewReader("")
		},
		"in the middle": func(p *peers) io.Reader {
			return io.MultiReader(strings.NewReader(strings.Repeat("line\n", 1000)), readFunc(func([]byte) (int, error) {
				_ = p.logs.Close()
				return 0, io.EOF
			}))
		},
		"at the end": func(p *peers) io.Reader {
			return readFunc(func([]byte) (int, error) {
				_ = p.logs.Close()
				return 0, io.EOF
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, d, run := failing(t)
			p.trace = func(int64) (io.ReadCloser, error) {
				return io.NopCloser(io.MultiReader(at(p), strings.NewReader("error: it broke\n"+strings.Repeat("line\n", 2000)))), nil
			}
			if _, err := d.Runs().Reconcile(t.Context(), run.ID); err != nil {
				t.Fatal(err)
			}
			if _, jobs := p.run(run.ID); jobs[0].Log != kovra.LogCut || !strings.Contains(fmt.Sprint(jobs[0].Excerpt.Lines), "it broke") || p.count("trace") != 1 {
				t.Errorf("excerpt %q %+v, calls %q", jobs[0].Log, jobs[0].Excerpt, p.calls)
			}
		})
	}
}

// What is kept of a log may be less than the whole; the excerpt is of the whole.
func TestExcerptOfALogThatIsTooLarge(t *testing.T) {
	p, _, run := failing(t)
	p.openLogs(10_000)
	p.trace = func(int64) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(strings.Repeat("line\n", 10_000) + "error: it broke\n")), nil
	}
	if _, err := p.dispatch().Runs().Reconcile(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	_, jobs := p.run(run.ID)
	if log := p.found(jobs[0].LogKey()); !log.Done || !log.Truncated || log.Lines == 0 {
		t.Errorf("log %+v", log)
	}
	if jobs[0].Excerpt.First != 10_001 {
		t.Errorf("excerpt %+v", jobs[0].Excerpt)
	}
}

// Failures that get no excerpt are kept as well, in their own time.
func TestFailuresWithoutExcerptAreKept(t *testing.T) {
	p := newPeers(t)
	p.link("web", web, "C1")
	o := pipeline(5, kovra.Failed)
	for i := range int64(13) {
		o.Jobs = append(o.Jobs, kovra.Job{ID: 51 + i, Name: string(rune('a' + i)), Status: kovra.Failed, FinishedAt: morning})
	}
	o.Jobs = append(o.Jobs, kovra.Job{ID: 70, Name: "optional", Status: kovra.Failed, AllowFailure: true, FinishedAt: morning})
	p.pipeline = func(int64) (kovra.Observation, error) { return whole(o), nil }
	p.logs.OnChange(func(id int64) { t.Errorf("log %d keeps readers of others waiting", id) })
	run, d := p.observe(o), p.dispatch()
	for range 2 {
		if _, err := d.Runs().Reconcile(t.Context(), run.ID); err != nil {
			t.Fatal(err)
		}
	}
	later, err := p.logs.Open(t.Context(), d.WantedSince(), 100)
	if err != nil || len(later) != 4 {
		t.Errorf("%d logs for the loop, %v", len(later), err)
	}
	for _, id := range later {
		if _, err := d.Logs().Reconcile(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	for i := range int64(14) {
		key := kovra.LogKey{Kind: kovra.JobLog, Project: web, ID: 51 + i}
		if i == 13 {
			key.ID = 70
		}
		if log := p.found(key); !log.Done || !log.Kept || log.Lines != 1 {
			t.Errorf("%s: %+v", key, log)
		}
	}
	if p.count("trace") != 14 {
		t.Errorf("%d logs were read", p.count("trace"))
	}
}

// A failure that is told without its log, since GitLab did not give it, is fetched later.
func TestLogGivenUpIsKeptLater(t *testing.T) {
	p, d, run := failing(t)
	p.trace = func(int64) (io.ReadCloser, error) { return nil, errBusy }
	if _, err := d.Runs().Reconcile(t.Context(), run.ID); err == nil {
		t.Error("nobody would try again")
	}
	p.later(11 * time.Minute)
	if _, err := d.Runs().Reconcile(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	_, jobs := p.run(run.ID)
	log := p.found(jobs[0].LogKey())
	p.trace = nil
	if _, err := d.Logs().Reconcile(t.Context(), log.ID); err != nil {
		t.Fatal(err)
	}
	if log := p.found(jobs[0].LogKey()); !log.Done || log.Lines != 1 {
		t.Errorf("log %+v", log)
	}
}
