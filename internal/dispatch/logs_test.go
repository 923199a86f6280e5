package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
)

var unitLog = kovra.LogKey{Kind: kovra.JobLog, Project: web, ID: 51}

// reader is a world with one job, whose log somebody reads.
type reader struct {
	*peers

	d     *Dispatch
	id    int64
	truth kovra.Job
	text  string
}

// newReader is about a running job with that log.
func newReader(t *testing.T, text string) *reader {
	t.Helper()
	r := &reader{peers: newPeers(t), text: text}
	r.truth = kovra.Job{
		ID: 51, Project: web, Name: "unit", Stage: "test", Status: kovra.Running, URL: "https://gitlab.example/jobs/51",
		CreatedAt: morning, StartedAt: morning,
	}
	r.job = func(int64) (kovra.Job, int64, error) { return r.truth, 5, nil }
	r.trace = func(int64) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(r.text)), nil }
	r.d = r.dispatch()
	r.touch()
	return r
}

// touch says that somebody is there.
func (r *reader) touch() {
	r.t.Helper()
	log, err := r.logs.Touch(r.t.Context(), unitLog)
	if err != nil {
		r.t.Fatal(err)
	}
	r.id = log.ID
}

// pass takes one pass, which must not fail.
func (r *reader) pass() time.Duration {
	r.t.Helper()
	after, err := r.d.Logs().Reconcile(r.t.Context(), r.id)
	if err != nil {
		r.t.Fatal(err)
	}
	return after
}

// wait lets so much time pass, with somebody there all the time.
func (r *reader) wait(d time.Duration) {
	r.t.Helper()
	r.later(d)
	r.touch()
}

func (r *reader) end(s kovra.Status) { r.truth.Status, r.truth.FinishedAt = s, r.now }

func (w *world) found(key kovra.LogKey) kovra.Log {
	w.t.Helper()
	log, err := w.logs.Find(w.t.Context(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	return log
}

func (w *world) lines(key kovra.LogKey) []string {
	w.t.Helper()
	lines, err := w.logs.Lines(w.t.Context(), w.found(key).ID, 1, 100_000)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for i, l := range lines {
		if l.N != i+1 {
			w.t.Fatalf("line %d follows %d lines", l.N, i)
		}
		out = append(out, l.Text)
	}
	return out
}

func (r *reader) want(note string, done bool, lines ...string) {
	r.t.Helper()
	log := r.found(unitLog)
	if log.Note != note || log.Done != done {
		r.t.Errorf("note %q, done %v; want %q, %v", log.Note, log.Done, note, done)
	}
	if diff := cmp.Diff(lines, r.lines(unitLog)); diff != "" {
		r.t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// A log that grows is kept line by line, none twice; what is not a whole line yet waits.
func TestGrowingLog(t *testing.T) {
	r := newReader(t, "one\ntw")
	if after := r.pass(); after != 3*time.Second {
		t.Errorf("again after %s", after)
	}
	r.want("", false, "one")
	r.wait(3 * time.Second)
	r.text += "o\nthree\n"
	r.pass()
	r.want("", false, "one", "two", "three")
	r.wait(3 * time.Second)
	r.text += "the end"
	r.end(kovra.Success)
	if after := r.pass(); after != 0 {
		t.Errorf("a log that is whole is looked at again after %s", after)
	}
	r.want("", true, "one", "two", "three", "the end")
	r.wait(time.Minute)
	before := len(r.calls)
	r.pass()
	if len(r.calls) != before {
		t.Errorf("GitLab is asked for what is whole: %q", r.calls[before:])
	}
}

func TestSubjectOfALog(t *testing.T) {
	r := newReader(t, "")
	o := pipeline(5, kovra.Running, kovra.Job{ID: 51, Name: "unit", Status: kovra.Running})
	o.Run.Ref = "feature"
	r.observe(o)
	r.pass()
	r.end(kovra.Failed)
	r.truth.Duration = 7 * time.Second
	r.wait(time.Minute)
	r.pass()
	want := kovra.LogSubject{
		Name: "unit", Stage: "test", Status: kovra.Failed, Pipeline: 5, Ref: "feature", URL: r.truth.URL,
		StartedAt: morning, FinishedAt: r.truth.FinishedAt, Duration: 7 * time.Second,
	}
	if diff := cmp.Diff(want, r.found(unitLog).Subject); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// What joblog sees in a line is kept with it.
func TestMarksOfLines(t *testing.T) {
	r := newReader(t, "2026-11-23T09:00:00.000000Z 00O section_start:1:step_script[collapsed=true]\r\x1b[0K\n"+
		"2026-11-23T09:00:00.000000Z 00O+\x1b[32;1mRun\x1b[0m\n2026-11-23T09:00:01.000000Z 01E error: it \x1b[31mbroke\x1b[0m\n")
	r.pass()
	log := r.found(unitLog)
	lines, err := r.logs.Lines(t.Context(), log.ID, 1, 10)
	if err != nil || len(lines) != 2 || !log.Streams {
		t.Fatalf("%+v, streams %v, %v", lines, log.Streams, err)
	}
	if head := lines[0]; !head.Header || !head.Collapsed || head.Depth != 1 || head.Stream != 'O' {
		t.Errorf("header %+v", head)
	}
	if last := lines[1]; last.Stream != 'E' || !last.Suspect || len(last.Spans) != 1 || last.Spans[0].From != len("error: it ") {
		t.Errorf("line %+v", last)
	}
}

func TestPausesBetweenFetches(t *testing.T) {
	r := newReader(t, "one\n")
	var got []time.Duration
	for i := range 12 {
		if i == 10 {
			r.text += "two\n"
		}
		after := r.pass()
		got = append(got, after)
		before := len(r.calls)
		r.wait(after - time.Millisecond)
		if r.pass(); len(r.calls) != before {
			t.Fatal("a kick makes the pause shorter")
		}
		r.wait(time.Millisecond)
	}
	want := []int64{3000, 4500, 6750, 10125, 15187, 22781, 30000, 30000, 30000, 30000, 3000, 4500}
	for i, d := range got {
		if d.Milliseconds() != want[i] {
			t.Errorf("pause %d: %s, want %d ms", i, d, want[i])
		}
	}
	r.wait(time.Hour) // nobody was there; then the pauses begin anew
	if after := r.pass(); after != 3*time.Second {
		t.Errorf("after a long rest: %s", after)
	}
}

// A log that takes long to fetch is not fetched every three seconds.
func TestPauseAfterASlowFetch(t *testing.T) {
	r := newReader(t, "one\n")
	r.trace = func(int64) (io.ReadCloser, error) {
		r.later(4 * time.Second)
		return io.NopCloser(strings.NewReader(r.text)), nil
	}
	if after := r.pass(); after != 40*time.Second {
		t.Errorf("again after %s", after)
	}
}

func TestFetchedOnlyWhileRead(t *testing.T) {
	r := newReader(t, "one\n")
	r.pass()
	r.later(46 * time.Second)
	r.text += "two\n"
	before := len(r.calls)
	if after := r.pass(); after != 0 || len(r.calls) != before {
		t.Errorf("nobody reads it, and it is asked for (%q), again after %s", r.calls[before:], after)
	}
	r.touch()
	r.pass()
	r.want("", false, "one", "two")
}

// What is to be kept is fetched without readers, but not for ever.
func TestKeptIsFetchedUnread(t *testing.T) {
	r := newReader(t, "one\n")
	r.later(time.Minute)
	if _, err := r.logs.Keep(t.Context(), unitLog, kovra.LogSubject{}); err != nil {
		t.Fatal(err)
	}
	r.trace = func(int64) (io.ReadCloser, error) { return nil, errBusy }
	if _, err := r.d.Logs().Reconcile(t.Context(), r.id); err == nil {
		t.Error("nobody would try again")
	}
	r.later(keepTrying)
	if after := r.pass(); after != 0 {
		t.Errorf("still tried after %s", after)
	}
	r.want(noteGivenUp, true)
	r.touch()
	r.trace = nil
	r.end(kovra.Failed)
	r.pass()
	r.want("", true, "boom")
}

func TestJobWithoutALog(t *testing.T) {
	for _, c := range []struct {
		status kovra.Status
		note   string
		done   bool
	}{
		{kovra.Created, noteUnbegun, false},
		{kovra.Pending, noteUnbegun, false},
		{kovra.Manual, noteUnbegun, false},
		{kovra.Skipped, noteSkipped, false},
		{kovra.Running, "", false},
		{"a new word", "", false},
		{kovra.Canceled, noteEmpty, true},
	} {
		t.Run(string(c.status), func(t *testing.T) {
			r := newReader(t, "")
			r.truth.Status = c.status
			if after := r.pass(); after > 0 == c.done {
				t.Errorf("again after %s", after)
			}
			r.want(c.note, c.done)
			if asked, want := r.count("trace") > 0, c.note != noteUnbegun && c.note != noteSkipped; asked != want {
				t.Errorf("the log was asked for: %v", asked)
			}
			r.wait(time.Minute)
			r.text = "one\n"
			r.end(kovra.Success)
			if r.pass(); !c.done {
				r.want("", true, "one")
			}
		})
	}
}

func TestJobThatGitLabDoesNotShow(t *testing.T) {
	hidden := map[string]struct {
		hide func(r *reader, err error)
	}{
		"job": {func(r *reader, err error) {
			r.job = func(int64) (kovra.Job, int64, error) { return kovra.Job{}, 0, err }
		}},
		"log": {func(r *reader, err error) { r.trace = func(int64) (io.ReadCloser, error) { return nil, err } }},
	}
	for name, c := range hidden {
		t.Run(name, func(t *testing.T) {
			r := newReader(t, "one\n")
			c.hide(r, errGone)
			if after := r.pass(); after == 0 {
				t.Error("GitLab's copies may not know a new job yet")
			}
			r.want(noteHidden, false)
			r.wait(time.Minute)
			r.pass()
			r.want(noteHidden, true)

			r = newReader(t, "one\n")
			r.later(time.Minute)
			c.hide(r, errDenied)
			r.touch()
			r.pass()
			r.want(kovra.PublicText(errDenied), true)

			r = newReader(t, "one\n")
			r.pass()
			r.wait(time.Minute)
			c.hide(r, errGone)
			r.pass()
			r.want(notePart, true, "one")
		})
	}
}

// Of a job that GitLab does not show at all we tell what we know.
func TestSubjectOfAHiddenJob(t *testing.T) {
	r := newReader(t, "")
	r.observe(pipeline(5, kovra.Running, kovra.Job{ID: 51, Name: "unit", Status: kovra.Running}))
	r.job = func(int64) (kovra.Job, int64, error) { return kovra.Job{}, 0, errGone }
	r.wait(time.Minute)
	r.pass()
	if s := r.found(unitLog).Subject; s.Name != "unit" || s.Pipeline != 5 || s.Ref != "main" {
		t.Errorf("subject %+v", s)
	}
}

// What is kept of an erased log stays.
func TestErasedLogStays(t *testing.T) {
	for _, left := range []string{"", "one\n"} {
		r := newReader(t, "one\ntwo\nthree\n")
		r.pass()
		r.text = left
		r.end(kovra.Failed)
		r.wait(time.Minute)
		r.pass()
		r.want(noteShorter, true, "one", "two", "three")
	}
}

func TestOldLogIsNotFetched(t *testing.T) {
	r := newReader(t, "one\n")
	r.end(kovra.Failed)
	r.truth.FinishedAt = morning.Add(-90*24*time.Hour - time.Second)
	r.pass()
	r.want(noteOld, true)
	r = newReader(t, "one\n")
	r.truth.CreatedAt = morning.Add(-91 * 24 * time.Hour)
	r.pass()
	r.want(noteOld, true)
	if r.count("trace") != 0 {
		t.Error("it was fetched")
	}
}

// Beyond the most that is kept of a log nothing is read.
func TestLogThatIsTooLarge(t *testing.T) {
	r := newReader(t, "")
	r.openLogs(100_000)
	r.d = r.dispatch()
	r.touch()
	line := strings.Repeat("x", 99) + "\n"
	count := &counting{Reader: strings.NewReader(strings.Repeat(line, 100_000))}
	r.trace = func(int64) (io.ReadCloser, error) { return io.NopCloser(count), nil }
	r.pass()
	log := r.found(unitLog)
	if !log.Done || !log.Truncated || log.Lines < 500 || log.Lines > 1000 {
		t.Errorf("done %v, truncated %v, %d lines", log.Done, log.Truncated, log.Lines)
	}
	if count.n > 2<<20 {
		t.Errorf("%d bytes were read", count.n)
	}
}

type counting struct {
	io.Reader
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

// A reader sees a log arrive while it is fetched.
func TestLargeLogArrivesByAndBy(t *testing.T) {
	r := newReader(t, "")
	part := strings.Repeat("line\n", 100_000)
	seen := 0
	r.trace = func(int64) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader(part), readFunc(func([]byte) (int, error) {
			seen = r.found(unitLog).Lines
			return 0, io.EOF
		}))), nil
	}
	r.pass()
	if seen < 40_000 {
		t.Errorf("%d lines could be seen while it was fetched", seen)
	}
	r = newReader(t, "")
	var at []int
	n := 0
	r.trace = func(int64) (io.ReadCloser, error) { // slowly, line by line
		return io.NopCloser(readFunc(func(p []byte) (int, error) {
			at = append(at, r.found(unitLog).Lines)
			r.later(400 * time.Millisecond)
			if n++; n > 20 {
				return 0, io.EOF
			}
			return copy(p, fmt.Sprintf("line %d\n", n)), nil
		})), nil
	}
	r.pass()
	if last := at[len(at)-1]; last < 15 {
		t.Errorf("seen while it came: %d", at)
	}
	if log := r.found(unitLog); log.Lines != 20 {
		t.Errorf("%d lines in the end", log.Lines)
	}
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// What GitLab does not give now is told to the reader, tried again, and the note goes away.
func TestGitLabInTrouble(t *testing.T) {
	limited := &kovra.Error{Kind: kovra.Unavailable, Public: "GitLab limits how often it may be asked.", Retry: 50 * time.Second}
	refused := &kovra.Error{Kind: kovra.Denied, Public: "GitLab does not accept the bot's token.", Err: kovra.ErrToken}
	redirect := kovra.Errorf(kovra.Invalid, "GitLab redirects elsewhere.")
	for name, c := range map[string]struct {
		err  error
		note string
		wait time.Duration
	}{
		"silent":  {errBusy, noteSilent, 3 * time.Second},
		"limited": {limited, noteSilent, 50 * time.Second},
		"token":   {refused, noteRefused, 3 * time.Second},
		"other":   {redirect, "GitLab redirects elsewhere.", 3 * time.Second},
	} {
		for part, fail := range map[string]func(r *reader){
			"job":    func(r *reader) { r.job = func(int64) (kovra.Job, int64, error) { return kovra.Job{}, 0, c.err } },
			"opened": func(r *reader) { r.trace = func(int64) (io.ReadCloser, error) { return nil, c.err } },
			"read": func(r *reader) {
				r.trace = func(int64) (io.ReadCloser, error) { return io.NopCloser(iotest.ErrReader(c.err)), nil }
			},
		} {
			t.Run(name+" "+part, func(t *testing.T) {
				r := newReader(t, "one\ntwo\n")
				job, trace := r.job, r.trace
				fail(r)
				if _, err := r.d.Logs().Reconcile(t.Context(), r.id); !errors.Is(err, c.err) {
					t.Errorf("the loop hears %v", err)
				}
				r.want(c.note, false)
				before := len(r.calls)
				if after := r.pass(); after != c.wait || len(r.calls) != before {
					t.Errorf("a kick leads to %q, again after %s", r.calls[before:], after)
				}
				r.job, r.trace = job, trace
				r.wait(c.wait)
				r.pass()
				r.want("", false, "one", "two")
			})
		}
	}
}

// A transfer that breaks off, or a program that ends in the middle, leaves whole lines; the next pass completes them.
func TestFetchThatBreaksOff(t *testing.T) {
	var all []string
	for i := range 5000 {
		all = append(all, fmt.Sprintf("line %d", i+1))
	}
	text := strings.Join(all, "\n") + "\n"
	for name, cause := range map[string]error{"connection": errBusy, "program": context.Canceled} {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			r := newReader(t, text)
			whole := r.trace
			r.end(kovra.Failed)
			r.trace = func(int64) (io.ReadCloser, error) {
				return io.NopCloser(io.MultiReader(strings.NewReader(text[:len(text)/2+3]), readFunc(func([]byte) (int, error) {
					if errors.Is(cause, context.Canceled) {
						stop()
					}
					return 0, cause
				}))), nil
			}
			if _, err := r.d.Logs().Reconcile(ctx, r.id); err == nil {
				t.Fatal("nobody would try again")
			}
			part := r.lines(unitLog)
			if len(part) < 500 || !slices.Equal(part, all[:len(part)]) || r.found(unitLog).Done {
				t.Errorf("%d lines after the first pass", len(part))
			}
			r.trace = whole
			r.wait(time.Minute)
			r.pass()
			r.want("", true, all...)
		})
	}
}

// Values that we gave to the run are hidden in what is kept, also those with several lines.
func TestKeptLogHidesWhatWeInjected(t *testing.T) {
	const secret = "-----MIIEow==\nabcdefgh12345678\nabc\n"
	r := newReader(t, "login with s3cret-value\n"+secret+"xabcdefgh12345678x\ns3cret-valuf glpat-abcdefghijklmnop\n")
	run := r.observe(pipeline(5, kovra.Running, kovra.Job{ID: 51, Name: "unit", Status: kovra.Running}))
	r.propose(kovra.Action{Kind: kovra.ActRun, App: "web", Run: run.ID, Params: kovra.Params{
		Prints: r.d.prints([]kovra.Variable{{Key: "PASSWORD", Value: "s3cret-value"}, {Key: "KEY", Value: secret}}),
	}})
	r.pass()
	r.want("", false, "login with [MASKED]", "[MASKED]", "[MASKED]", "abc", "x[MASKED]x", "s3cret-valuf [MASKED]")
}

// The store is asked again later when it fails, and GitLab is not blamed for it.
func TestStoreOfLogsFails(t *testing.T) {
	r := newReader(t, "one\n")
	r.trace = func(int64) (io.ReadCloser, error) {
		if err := r.logs.Close(); err != nil {
			t.Error(err)
		}
		return io.NopCloser(strings.NewReader("one\n")), nil
	}
	if _, err := r.d.Logs().Reconcile(t.Context(), r.id); err == nil || kovra.KindOf(err) != kovra.Internal {
		t.Errorf("the loop hears %v", err)
	}
	if _, err := r.d.Logs().Reconcile(t.Context(), r.id); err == nil {
		t.Error("no error from a store that is closed")
	}
}

// Where the state cannot be read nothing is shown that might have to be masked.
func TestStateFails(t *testing.T) {
	r := newReader(t, "one\n")
	r.trace = func(int64) (io.ReadCloser, error) {
		t.Error("the log was opened")
		return nil, errBusy
	}
	job := r.job
	r.observe(pipeline(5, kovra.Running, kovra.Job{ID: 51, Name: "unit", Status: kovra.Running}))
	r.job = func(id int64) (kovra.Job, int64, error) {
		_ = r.db.Close()
		return job(id)
	}
	for range 2 {
		if _, err := r.d.Logs().Reconcile(t.Context(), r.id); err == nil {
			t.Error("nobody would try again")
		}
	}
}

// A trace that takes longer than a pass may last is told of.
func TestTraceThatTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader(t, "")
		r.trace = func(int64) (io.ReadCloser, error) {
			<-time.After(LogPass)
			return io.NopCloser(strings.NewReader("one\n")), nil
		}
		if _, err := r.d.Logs().Reconcile(t.Context(), r.id); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the loop hears %v", err)
		}
		r.want(noteTooLarge, false)
		_ = r.logs.Close()
		_ = r.db.Close()
	})
}

func TestLogThatIsGone(t *testing.T) {
	r := newReader(t, "")
	if after, err := r.d.Logs().Reconcile(t.Context(), r.id+1); after != 0 || err != nil {
		t.Errorf("again after %s, %v", after, err)
	}
}
