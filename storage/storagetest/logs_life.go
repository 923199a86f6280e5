package storagetest

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

func testLogOpen(w *logWorld) {
	keep := func(job int64, next time.Duration, done bool) int64 {
		log, err := w.logs.Keep(w.t.Context(), jobLog(job), kovra.LogSubject{})
		w.must(err)
		w.must(w.logs.Note(w.t.Context(), log.ID, func(l *kovra.Log) { l.NextAt, l.Done = morning.Add(next), done }))
		return log.ID
	}
	open := func(since time.Time, most int) []int64 {
		ids, err := w.logs.Open(w.t.Context(), since, most)
		w.must(err)
		return ids
	}
	old := w.touch(1).ID
	late, never, early := keep(2, 2*time.Minute, false), keep(3, 2*time.Hour, false), keep(4, time.Minute, false)
	keep(5, 0, true)
	fresh, err := w.logs.Keep(w.t.Context(), jobLog(6), kovra.LogSubject{})
	w.must(err)
	w.pass(time.Hour)
	read := w.touch(7).ID
	w.same("open", []int64{read, fresh.ID, early, late}, open(morning, 100))
	w.same("some", []int64{read, fresh.ID, early}, open(morning, 2))
	w.same("open since before", []int64{old, read, fresh.ID, early, late}, open(morning.Add(-time.Second), 100))
	w.touch(3)
	w.same("read and kept", []int64{never, read}, open(morning, 0))
	logs, err := w.logs.Read(w.t.Context(), morning)
	w.must(err)
	w.same("read", []kovra.Log{w.log(never), w.log(read)}, logs)
}

// testLogTakenUp: one that is done may have a time from which on it is tried again for a reader.
func testLogTakenUp(w *logWorld) {
	id := w.touch(5).ID
	w.must(w.logs.Note(w.t.Context(), id, func(l *kovra.Log) { l.Done, l.NextAt = true, morning.Add(time.Minute) }))
	w.changes()
	w.pass(59 * time.Second)
	if got := w.touch(5); !got.Done {
		w.t.Errorf("too early: %+v", got)
	}
	w.pass(11 * time.Second)
	before := w.log(id)
	got := w.touch(5)
	if got.Done || got.Version <= before.Version || !got.ReadAt.Equal(w.now()) {
		w.t.Errorf("taken up: %+v", got)
	}
	w.same("stored", got, w.log(id))
	w.same("told", []int64{id}, w.changes())
}

func testLogNextAt(w *logWorld) {
	id := w.touch(5).ID
	w.changes()
	for _, c := range []struct {
		next time.Duration
		done bool
		want []int64
	}{
		{time.Minute, false, nil},
		{time.Minute, false, nil},
		{time.Second, false, []int64{id}},
		{time.Hour, false, nil},
		{time.Second, true, nil},
	} {
		w.must(w.logs.Note(w.t.Context(), id, func(l *kovra.Log) { l.NextAt, l.Done = morning.Add(c.next), c.done }))
		w.same(fmt.Sprintf("told of %+v", c), c.want, w.changes())
	}
}

func testLogPruneAge(w *logWorld) {
	w.restart(func(o *storage.LogsOptions) { o.Retention = 24 * time.Hour })
	var ids []int64
	for i := range 150 { // more than one transaction takes
		ids = append(ids, w.filled(int64(i), "a", fmt.Sprint(i)))
	}
	w.pass(24 * time.Hour)
	young := w.filled(1000, "b")
	w.prune(0)
	w.pass(time.Second)
	w.touch(3) // being read does not help
	w.prune(150)
	w.prune(0)
	for _, id := range ids {
		if _, err := w.logs.Lines(w.t.Context(), id, 1, 1); kovra.KindOf(err) != kovra.NotFound {
			w.t.Fatalf("log %d: %v", id, err)
		}
	}
	w.same("the young one", "b\n", w.text(young))
	again := w.touch(3)
	if slices.Contains(ids, again.ID) || again.Lines != 0 {
		w.t.Errorf("a log came back: %+v", again)
	}
}

func (w *logWorld) prune(want int) {
	w.t.Helper()
	gone, err := w.logs.Prune(w.t.Context())
	w.must(err)
	if gone != want {
		w.t.Errorf("%d logs went, want %d", gone, want)
	}
}

func (w *logWorld) size() int64 {
	w.t.Helper()
	n, err := w.logs.Size(w.t.Context())
	w.must(err)
	return n
}

func testLogPruneRoom(w *logWorld) {
	w.same("empty", int64(0), w.size())
	lines := manyLines(5000)
	var ids []int64
	for i := range 4 {
		ids = append(ids, w.many(int64(i), lines, 5000))
		w.pass(time.Minute + time.Second)
	}
	all := w.size()
	one := all / 4
	if one == 0 || all != 4*one {
		w.t.Fatalf("four logs alike take %d bytes", all)
	}
	w.touch(0) // the oldest is being read
	w.prune(0)
	w.restart(func(o *storage.LogsOptions) { o.MaxTotal = 2 * one })
	w.prune(2)
	w.same("size", 2*one, w.size())
	w.same("the oldest", 5000, w.log(ids[0]).Lines)
	w.same("the youngest", 5000, w.log(ids[3]).Lines)
	w.must(w.logs.Note(w.t.Context(), ids[0], func(l *kovra.Log) { l.Done = true }))
	w.restart(func(o *storage.LogsOptions) { o.MaxTotal = one })
	w.prune(1)
	if _, err := w.logs.Log(w.t.Context(), ids[0]); kovra.KindOf(err) != kovra.NotFound {
		w.t.Errorf("the oldest, done: %v", err)
	}
	w.restart(func(o *storage.LogsOptions) { o.MaxTotal = 1 })
	w.prune(1)
	w.same("all gone", int64(0), w.size())
}

// testLogTextPruned throws a log away under its readers.
func testLogTextPruned(w *logWorld) {
	w.restart(func(o *storage.LogsOptions) { o.Retention = time.Hour })
	id := w.many(5, manyLines(30_000), 30_000)
	w.pass(2 * time.Hour)
	var last error
	for _, err := range w.logs.Text(w.t.Context(), id) {
		if err == nil {
			_, err := w.logs.Prune(w.t.Context())
			w.must(err)
		}
		last = err
	}
	if kovra.KindOf(last) != kovra.NotFound {
		w.t.Errorf("the text ended with %v", last)
	}
}

// testLogReopen closes while a chunk and a section are not finished.
func testLogReopen(w *logWorld) {
	lines := manyLines(300)
	lines[100].Header, lines[100].Depth = true, 9
	id := w.touch(5).ID
	for i := range lines {
		if i >= 101 {
			lines[i].Depth = 9
		}
		if i%60 == 59 {
			w.append(id, lines[i-59:i+1]...)
			before := w.log(id)
			w.restart(func(*storage.LogsOptions) {})
			w.same("the log", before, w.log(id))
		}
	}
	w.same("lines", lines, w.lines(id, 1, 1000))
	sections, err := w.logs.Sections(w.t.Context(), id)
	w.must(err)
	w.same("sections", []kovra.LogSection{{From: 101, To: 300, Depth: 9, Open: true}}, sections)
}

// randomLine is short, of few letters, so that matches and repetitions are many.
func randomLine(r *rand.Rand) string {
	letters := []string{"a", "b", "A", "k", "K", "\u212a", "s", "\u017f", "é", "É", "\u1e9e", "ß", " ", "1", "\xff", "\xc3", "\xa9", "\n", "日"}
	if r.IntN(2) == 0 {
		letters = letters[:4]
	}
	var b strings.Builder
	for range r.IntN(12) {
		b.WriteString(letters[r.IntN(len(letters))])
	}
	if r.IntN(20) == 0 {
		b.WriteString(strings.Repeat(letters[r.IntN(len(letters))], r.IntN(6000)))
	}
	return b.String()
}

func randomQuery(r *rand.Rand) storage.LogQuery {
	q := storage.LogQuery{Case: r.IntN(2) == 0, From: r.IntN(50), Regex: r.IntN(2) == 0}
	if q.Regex {
		patterns := []string{"a+b", "^k", "s$", "é", "(a|bk)1", "ab|ks|日", "[^a]k", "", "^$", "a{2,3}", "(?i)S.", "\ufffd", "k.?s", `\bA`, "(?:ab)+?", `\x{1e9e}a`}
		q.Text = patterns[r.IntN(len(patterns))]
		return q
	}
	runes := []rune(strings.ToValidUTF8(randomLine(r), "a"))
	q.Text = string(runes[:min(len(runes), r.IntN(4))])
	return q
}

// plainMatch returns, in the plainest way, whether a line matches, and whether with an empty place.
func plainMatch(q storage.LogQuery) func(line string) (matches, empty bool) {
	if q.Regex {
		pattern := q.Text
		if !q.Case {
			pattern = "(?i)" + pattern
		}
		re := regexp.MustCompile(pattern)
		return func(line string) (matches, empty bool) {
			found := re.FindAllStringIndex(line, -1)
			return len(found) > 0, slices.ContainsFunc(found, func(f []int) bool { return f[0] == f[1] })
		}
	}
	return func(line string) (matches, empty bool) {
		if q.Case || q.Text == "" {
			return strings.Contains(line, q.Text), q.Text == ""
		}
		// A rune that folds to another may be longer or shorter by two bytes.
		for i := range len(line) {
			for j := i + 1; j <= min(len(line), i+3*len(q.Text)); j++ {
				if strings.EqualFold(line[i:j], q.Text) {
					return true, false
				}
			}
		}
		return false, false
	}
}

// testLogModel does what comes to its mind and compares with a slice of lines.
func testLogModel(w *logWorld) {
	r := rand.New(rand.NewPCG(7, 11)) //nolint:gosec // the same each time
	want := map[int64][]kovra.LogLine{}
	ids := []int64{w.touch(1).ID, w.touch(2).ID}
	for range 250 {
		id := ids[r.IntN(2)]
		have := want[id]
		switch r.IntN(5) {
		case 0, 1:
			from := max(1, len(have)+1-r.IntN(30))
			lines := slices.Clone(have[from-1:])
			for range r.IntN(60) {
				lines = append(lines, kovra.LogLine{
					N: from + len(lines), Text: randomLine(r), Stream: "\x00OEx"[r.IntN(4)], Depth: r.IntN(3),
					Suspect: r.IntN(9) == 0, Header: r.IntN(9) == 0, Collapsed: r.IntN(9) == 0,
				})
				for range r.IntN(3) {
					l := &lines[len(lines)-1]
					l.Spans = append(l.Spans, kovra.LogSpan{From: r.IntN(9), To: r.IntN(9), Style: uint16(r.IntN(99))}) //nolint:gosec // small
				}
			}
			lines = lines[:r.IntN(len(lines)+1)]
			w.append(id, lines...)
			for i := range lines {
				lines[i].Text = strings.ReplaceAll(lines[i].Text, "\n", " ") // a line is one line
			}
			want[id] = append(have[:from-1:from-1], append(lines, have[min(len(have), from-1+len(lines)):]...)...)
		case 2:
			from, n := 1+r.IntN(len(have)+2), r.IntN(200)
			i := min(from-1, len(have))
			w.same("lines", have[i:min(len(have), i+n)], w.lines(id, from, n))
		case 3:
			w.checkSearch(id, have, randomQuery(r))
		default:
			if r.IntN(10) == 0 {
				w.restart(func(*storage.LogsOptions) {})
			}
		}
		if w.t.Failed() {
			return
		}
	}
}

// checkSearch compares a search with looking at every line, and with what a matcher finds.
func (w *logWorld) checkSearch(id int64, lines []kovra.LogLine, q storage.LogQuery) {
	w.t.Helper()
	m, err := storage.NewMatcher(q)
	w.must(err)
	look := plainMatch(q)
	var want []int
	for _, l := range lines {
		if len(l.Text) > 300 && !q.Regex {
			l.Text = l.Text[:300] // what is longer repeats itself
		}
		matches, empty := look(l.Text)
		if matches && l.N >= q.From {
			want = append(want, l.N)
		}
		end := 0
		found := m.Find(l.Text, 5)
		for _, f := range found {
			if f[0] < end || f[1] <= f[0] || f[1] > len(l.Text) {
				w.t.Errorf("%+v finds %v in %q", q, found, l.Text)
				break
			}
			if ok, _ := look(l.Text[f[0]:f[1]]); !ok && !q.Regex {
				w.t.Errorf("%+v finds %q", q, l.Text[f[0]:f[1]])
			}
			end = f[1]
		}
		if len(found) > 5 || len(found) > 0 && !matches || len(found) == 0 && matches && !empty {
			w.t.Errorf("%+v finds %v in %q, matches: %v", q, found, l.Text, matches)
		}
	}
	w.same(fmt.Sprintf("search %+v", q), want, w.search(id, q))
}

// testLogRace has writers, readers, searchers and a pruner at work at once.
func testLogRace(w *logWorld) {
	var all sync.WaitGroup
	for job := range int64(4) {
		id := w.touch(job).ID
		all.Go(func() {
			for part := range slices.Chunk(manyLines(2000), 100) {
				if _, err := w.logs.Append(w.t.Context(), id, part); err != nil {
					w.t.Error(err)
				}
			}
		})
		all.Go(func() {
			for range 20 {
				for h, err := range w.logs.Search(w.t.Context(), id, storage.LogQuery{Text: "LINE"}) {
					if err != nil || len(h.Numbers) > 0 && h.Numbers[len(h.Numbers)-1] != h.Scanned {
						w.t.Errorf("%d hits up to %d: %v", len(h.Numbers), h.Scanned, err)
					}
				}
				if _, err := w.logs.Lines(w.t.Context(), id, 1, 50); err != nil {
					w.t.Error(err)
				}
				if _, err := w.logs.Prune(w.t.Context()); err != nil {
					w.t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for id := range int64(4) {
		w.same("lines", 2000, w.log(id+1).Lines)
	}
}
