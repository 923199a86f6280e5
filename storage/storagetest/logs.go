package storagetest

import (
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// LogsOpener opens the log store that o names, as [Opener] does a database.
type LogsOpener = func(t *testing.T, o storage.LogsOptions) *storage.Logs

// RunLogs runs the suite of what every log store must do. Every test gets a store of its own.
func RunLogs(t *testing.T, open LogsOpener) {
	t.Helper()
	for name, test := range map[string]func(*logWorld){
		"Touch":               testLogTouch,
		"Keep":                testLogKeep,
		"Note":                testLogNote,
		"Missing":             testLogMissing,
		"Append":              testLogAppend,
		"AppendGap":           testLogGap,
		"AppendFull":          testLogFull,
		"LinesAsTheyWere":     testLogHostileLines,
		"Lines":               testLogLines,
		"LinesAreBounded":     testLogLinesBounded,
		"Sections":            testLogSections,
		"SectionsAreBounded":  testLogSectionsBounded,
		"Search":              testLogSearch,
		"SearchLarge":         testLogSearchLarge,
		"SearchStops":         testLogSearchStops,
		"Await":               testLogAwait,
		"AwaitManyReaders":    testLogAwaitMany,
		"AwaitEnds":           testLogAwaitEnds,
		"Open":                testLogOpen,
		"Followed":            testLogFollowed,
		"FollowedAt":          testLogFollowedAt,
		"TakenUp":             testLogTakenUp,
		"NextAt":              testLogNextAt,
		"PruneByAge":          testLogPruneAge,
		"PruneForRoom":        testLogPruneRoom,
		"Cancelled":           testLogCancelled,
		"Closed":              testLogClosed,
		"ReopenInTheMiddle":   testLogReopen,
		"AnyHistory":          testLogModel,
		"WritersAndReaders":   testLogRace,
		"TextWhileItIsPruned": testLogTextPruned,
	} {
		t.Run(name, func(t *testing.T) { test(newLogWorld(t, open)) })
	}
}

// logWorld is one store with its clock and what was heard of it.
type logWorld struct {
	t       *testing.T
	open    LogsOpener
	options storage.LogsOptions
	logs    *storage.Logs
	clock   atomic.Int64 // nanoseconds since morning

	mu    sync.Mutex
	heard []int64
	steps []int64
}

func newLogWorld(t *testing.T, open LogsOpener) *logWorld {
	t.Helper()
	w := &logWorld{t: t, open: open}
	w.options = storage.LogsOptions{Path: filepath.Join(t.TempDir(), "logs.db"), Now: w.now}
	w.start()
	t.Cleanup(func() {
		if err := w.logs.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return w
}

func (w *logWorld) start() {
	w.t.Helper()
	w.logs = w.open(w.t, w.options)
	w.logs.OnChange(func(id int64) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.heard = append(w.heard, id)
	})
	w.logs.OnSteps(func(id int64) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.steps = append(w.steps, id)
	})
}

// restart closes the store and opens it again, with other options if change says so.
func (w *logWorld) restart(change func(*storage.LogsOptions)) {
	w.t.Helper()
	w.must(w.logs.Close())
	change(&w.options)
	w.start()
}

func (w *logWorld) now() time.Time {
	return morning.Add(time.Duration(w.clock.Load()))
}

func (w *logWorld) pass(d time.Duration) { w.clock.Add(int64(d)) }

func (w *logWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *logWorld) same(what string, want, got any) {
	w.t.Helper()
	if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		w.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// changes returns what OnChange heard since the last time.
func (w *logWorld) changes() []int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	heard := w.heard
	w.heard = nil
	return heard
}

func jobLog(id int64) kovra.LogKey {
	return kovra.LogKey{Kind: kovra.JobLog, Project: group, ID: id}
}

func (w *logWorld) touch(job int64) kovra.Log {
	w.t.Helper()
	log, err := w.logs.Touch(w.t.Context(), jobLog(job))
	w.must(err)
	return log
}

func (w *logWorld) log(id int64) kovra.Log {
	w.t.Helper()
	log, err := w.logs.Log(w.t.Context(), id)
	w.must(err)
	return log
}

func (w *logWorld) append(id int64, lines ...kovra.LogLine) {
	w.t.Helper()
	full, err := w.logs.Append(w.t.Context(), id, lines)
	w.must(err)
	if full {
		w.t.Error("the log is full")
	}
}

// filled makes a log with these lines.
func (w *logWorld) filled(job int64, texts ...string) int64 {
	w.t.Helper()
	id := w.touch(job).ID
	w.append(id, logLines(1, texts...)...)
	return id
}

func (w *logWorld) lines(id int64, from, n int) []kovra.LogLine {
	w.t.Helper()
	lines, err := w.logs.Lines(w.t.Context(), id, from, n)
	w.must(err)
	return lines
}

func (w *logWorld) text(id int64) string {
	w.t.Helper()
	var b strings.Builder
	for block, err := range w.logs.Text(w.t.Context(), id) {
		w.must(err)
		b.Write(block)
	}
	return b.String()
}

func (w *logWorld) search(id int64, q storage.LogQuery) []int {
	w.t.Helper()
	var out []int
	scanned := 0
	for h, err := range w.logs.Search(w.t.Context(), id, q) {
		w.must(err)
		if h.Scanned < scanned || len(h.Numbers) > 0 && (h.Numbers[0] <= scanned || h.Numbers[len(h.Numbers)-1] > h.Scanned) {
			w.t.Errorf("hits up to %d after %d were scanned: %d of them", h.Scanned, scanned, len(h.Numbers))
		}
		scanned = h.Scanned
		out = append(out, h.Numbers...)
	}
	if end := w.log(id).Lines; scanned != end {
		w.t.Errorf("search %+v told of %d lines scanned, want %d", q, scanned, end)
	}
	return out
}

func logLines(from int, texts ...string) []kovra.LogLine {
	lines := make([]kovra.LogLine, len(texts))
	for i, text := range texts {
		lines[i] = kovra.LogLine{N: from + i, Text: text}
	}
	return lines
}

func lastError[T any](seq iter.Seq2[T, error]) error {
	var last error
	for _, err := range seq {
		last = err
	}
	return last
}

func testLogTouch(w *logWorld) {
	log := w.touch(5)
	w.same("made", kovra.Log{ID: log.ID, Key: jobLog(5), CreatedAt: morning, ReadAt: morning, Version: 1}, log)
	w.same("told", []int64{log.ID}, w.changes())
	w.pass(9 * time.Second)
	w.same("soon again", log, w.touch(5))
	w.same("told", []int64(nil), w.changes())
	w.pass(time.Second)
	log.ReadAt = w.now()
	w.same("later", log, w.touch(5))
	w.same("told", []int64{log.ID}, w.changes())
	if other, err := w.logs.Touch(w.t.Context(), kovra.LogKey{Kind: kovra.JobLog, Project: group + 1, ID: 5}); err != nil || other.ID == log.ID {
		w.t.Errorf("two projects share log %d: %v", other.ID, err)
	}
	w.changes()
	w.must(w.logs.Note(w.t.Context(), log.ID, func(l *kovra.Log) { l.Done = true }))
	w.pass(time.Minute)
	if got := w.touch(5); !got.ReadAt.Equal(w.now()) {
		w.t.Errorf("read at %v, want %v", got.ReadAt, w.now())
	}
	w.same("nobody has to look at one that is done", []int64(nil), w.changes())
}

func testLogKeep(w *logWorld) {
	subject := kovra.LogSubject{Name: "unit", Stage: "test", Status: kovra.Failed, Pipeline: 3, StartedAt: morning, Duration: time.Minute}
	keep := func(s kovra.LogSubject) kovra.Log {
		log, err := w.logs.Keep(w.t.Context(), jobLog(5), s)
		w.must(err)
		return log
	}
	log := keep(subject)
	want := kovra.Log{ID: log.ID, Key: jobLog(5), Subject: subject, Kept: true, CreatedAt: morning, Version: log.Version}
	w.same("kept", want, log)
	w.same("stored", want, w.log(log.ID))
	w.same("again", want, keep(kovra.LogSubject{}))
	w.same("told", []int64(nil), w.changes())
	subject.Name = "unit 2"
	got := keep(subject)
	if got.Subject != subject || got.Version <= log.Version {
		w.t.Errorf("another subject: %+v", got)
	}
	found, err := w.logs.Find(w.t.Context(), jobLog(5))
	w.must(err)
	w.same("found", got, found)
}

func testLogNote(w *logWorld) {
	log := w.touch(5)
	w.must(w.logs.Note(w.t.Context(), log.ID, func(l *kovra.Log) {
		*l = kovra.Log{
			ID: 99, Key: jobLog(99), Lines: 7, Bytes: 7, Truncated: true, Kept: true, Version: 99,
			Subject: kovra.LogSubject{Name: "unit"}, Done: true, Streams: true, Note: "It was erased.", NextAt: morning.Add(time.Hour), Pause: time.Second,
		}
	}))
	want := log
	want.Subject.Name, want.Done, want.Streams, want.Note = "unit", true, true, "It was erased."
	want.NextAt, want.Pause, want.Version = morning.Add(time.Hour), time.Second, log.Version+1
	w.same("taken over", want, w.log(log.ID))
	w.must(w.logs.Note(w.t.Context(), log.ID, func(*kovra.Log) {}))
	w.same("nothing changed", want, w.log(log.ID))
	func() {
		defer func() { _ = recover() }()
		_ = w.logs.Note(w.t.Context(), log.ID, func(*kovra.Log) { panic("no") })
	}()
	w.must(w.logs.Note(w.t.Context(), log.ID, func(l *kovra.Log) { l.Done = false }))
	if got := w.log(log.ID); got.Done || got.Version != want.Version+1 {
		w.t.Errorf("after a panic: %+v", got)
	}
}

func testLogMissing(w *logWorld) {
	ctx := w.t.Context()
	_, find := w.logs.Find(ctx, jobLog(1))
	_, log := w.logs.Log(ctx, 1)
	_, add := w.logs.Append(ctx, 1, logLines(1, "a"))
	_, await := w.logs.Await(ctx, 1, 0)
	_, lines := w.logs.Lines(ctx, 1, 1, 1)
	_, at := w.logs.LinesAt(ctx, 1, []int{1})
	_, sections := w.logs.Sections(ctx, 1)
	for what, err := range map[string]error{
		"Find": find, "Log": log, "Append": add, "Await": await, "Lines": lines, "LinesAt": at, "Sections": sections,
		"Note":   w.logs.Note(ctx, 1, func(*kovra.Log) {}),
		"Text":   lastError(w.logs.Text(ctx, 1)),
		"Search": lastError(w.logs.Search(ctx, 1, storage.LogQuery{Text: "a"})),
	} {
		if kovra.KindOf(err) != kovra.NotFound {
			w.t.Errorf("%s of a log that is not there: %v", what, err)
		}
	}
}

func testLogAppend(w *logWorld) {
	id := w.filled(5, "a", "b")
	before := w.log(id)
	w.same("lines", 2, before.Lines)
	w.same("bytes", int64(4), before.Bytes)
	w.append(id, logLines(1, "x", "y")...)
	w.same("the same again", before, w.log(id))
	w.append(id, logLines(2, "y", "c", "")...)
	w.append(id)
	w.same("overlap", "a\nb\nc\n\n", w.text(id))
	after := w.log(id)
	if after.Version != before.Version+1 || after.Lines != 4 || after.Bytes != 7 {
		w.t.Errorf("after: %+v", after)
	}
	other := w.filled(6, "z")
	w.same("another log", "z\n", w.text(other))
	w.same("the first", "a\nb\nc\n\n", w.text(id))
}

func testLogGap(w *logWorld) {
	id := w.filled(5, "a")
	for name, lines := range map[string][]kovra.LogLine{
		"gap before": logLines(3, "c"),
		"gap within": {{N: 2, Text: "b"}, {N: 4, Text: "d"}},
		"backwards":  {{N: 2, Text: "b"}, {N: 1, Text: "a"}},
		"zero":       logLines(0, "", "a", "b"),
	} {
		if _, err := w.logs.Append(w.t.Context(), id, lines); err == nil {
			w.t.Errorf("%s: no error", name)
		}
	}
	w.same("nothing was added", "a\n", w.text(id))
}

func testLogFull(w *logWorld) {
	w.restart(func(o *storage.LogsOptions) { o.MaxLog = 10 })
	id := w.filled(5, "123", "456")
	full, err := w.logs.Append(w.t.Context(), id, logLines(3, "7", "890", "x"))
	w.must(err)
	log := w.log(id)
	if !full || !log.Truncated || log.Lines != 3 || log.Bytes != 10 {
		w.t.Errorf("full %v: %+v", full, log)
	}
	full, err = w.logs.Append(w.t.Context(), id, logLines(4, ""))
	w.must(err)
	if !full || w.log(id) != log {
		w.t.Errorf("full %v: %+v", full, w.log(id))
	}
	huge := w.touch(6).ID
	if full, err = w.logs.Append(w.t.Context(), huge, logLines(1, "longer than a log may be")); err != nil || !full {
		w.t.Errorf("full %v, %v", full, err)
	}
	w.same("nothing of it", "", w.text(huge))
}

// hostileLines hold what nobody should send.
func hostileLines() []kovra.LogLine {
	return []kovra.LogLine{
		{N: 1, Text: "\xff\xfe\x00 \xc3", Stream: 'E', Suspect: true, Depth: -5},
		{N: 2, Text: "two\nlines\n", Stream: 'Z', Spans: []kovra.LogSpan{{From: 3, To: 1, Style: 65535}, {From: -4, To: 1 << 40}}},
		{N: 3, Text: "", Header: true, Collapsed: true, Depth: 1 << 30},
		{N: 4, Text: "\n", Stream: 'O'},
		{N: 5, Text: strings.Repeat("é", 300_000), Stream: 'O', Spans: []kovra.LogSpan{{From: 0, To: 2, Style: 1}, {From: 2, To: 600_000, Style: 2}}},
		{N: 6, Text: "\r\t\u2028\ufeff", Stream: 255, Depth: 3},
		{N: 7, Text: "plain"},
	}
}

func testLogHostileLines(w *logWorld) {
	want := hostileLines()
	want[1].Text, want[3].Text = "two lines ", " " // a line is one line
	for step := 1; step <= len(want); step++ {
		id := w.touch(int64(step)).ID
		for part := range slices.Chunk(hostileLines(), step) {
			w.append(id, part...)
			for i := range part { // the store must have its own copy
				clear(part[i].Spans)
			}
			clear(part)
		}
		w.same("lines", want, w.lines(id, 1, 100))
		w.same("search", []int{2}, w.search(id, storage.LogQuery{Text: "TWO lin"}))
		w.same("regex", []int{2}, w.search(id, storage.LogQuery{Text: `two\slin`, Regex: true}))
	}
	w.restart(func(*storage.LogsOptions) {})
	for id := range len(want) {
		w.same("lines after a restart", want, w.lines(int64(id+1), 1, 100))
	}
}
