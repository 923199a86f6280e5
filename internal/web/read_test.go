package web

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
)

// found is what a search told, all parts together.
type found struct {
	numbers []int
	parts   int
	scanned int
	done    bool
	matches int
}

func (w *world) search(query string) found {
	w.Helper()
	return readSearch(w, strings.NewReader(w.get("/search?"+query)))
}

func readSearch(tb testing.TB, r io.Reader) found {
	tb.Helper()
	var out found
	dec := json.NewDecoder(r)
	for {
		var part struct {
			Numbers          []int
			Scanned, Matches int
			Done             bool
			Error            string
		}
		err := dec.Decode(&part)
		if err == io.EOF {
			return out
		}
		if err != nil || part.Error != "" || out.done {
			tb.Fatalf("after %d parts: %v, %+v", out.parts, err, part)
		}
		out.parts++
		out.numbers = append(out.numbers, part.Numbers...)
		out.scanned, out.done, out.matches = part.Scanned, part.Done, part.Matches
	}
}

func TestSearch(t *testing.T) {
	w := newWorld(t).serve()
	w.keep(numbered(1, 20_000)...)
	for query, want := range map[string][]int{
		"q=line+1999":               {1999, 19990, 19991, 19992, 19993, 19994, 19995, 19996, 19997, 19998, 19999},
		"q=LINE+19999":              {19999},
		"q=LINE+19999&case=1":       nil,
		"q=e+(7|12345)$&regex=1":    {7, 12345},
		"q=line+1999&from=19998":    {19998, 19999},
		"q=line&from=20001":         nil,
		"q=line&from=1000000000":    nil,
		"q=nothing+of+that+kind":    nil,
		"q=line+20000&regex=&case=": {20000},
	} {
		got := w.search(query)
		if diff := cmp.Diff(want, got.numbers); diff != "" || got.scanned != 20_000 || !got.done || got.matches != len(want) {
			t.Errorf("%s: %+v\n%s", query, got, diff)
		}
	}
}

// A search that nobody waits for any more frees its place, and one that waits for
// a place gives up when its reader does.
func TestSearchesTakeTurns(t *testing.T) {
	w := newWorld(t)
	w.keep(numbered(1, 10)...)
	for range mostSearches {
		w.must(w.viewer.enterSearch(t.Context()))
	}
	answered := make(chan *httptest.ResponseRecorder)
	ask := func(r *http.Request) {
		rec := httptest.NewRecorder()
		w.viewer.Handler().ServeHTTP(rec, r)
		answered <- rec
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/logs/"+w.db.LogLink(testKey)+"/search?q=5", nil)
	go ask(req)
	select {
	case rec := <-answered:
		t.Fatalf("it did not wait: %s", rec.Body)
	case <-time.After(20 * time.Millisecond):
	}
	w.viewer.leaveSearch()
	if got := readSearch(t, (<-answered).Body); len(got.numbers) != 1 {
		t.Errorf("got %+v", got)
	}
	w.must(w.viewer.enterSearch(t.Context()))
	ctx, cancel := newCancel(t)
	go ask(req.WithContext(ctx))
	cancel()
	if rec := <-answered; rec.Body.Len() > 0 {
		t.Errorf("who left was answered: %s", rec.Body)
	}
	for range mostSearches {
		w.viewer.leaveSearch()
	}
}

func (w *world) header(rest string) http.Header {
	w.Helper()
	res, _ := w.ask(http.MethodGet, w.url(rest))
	return res.Header
}

func TestRaw(t *testing.T) {
	w := newWorld(t).serve()
	log := w.keep(kovra.LogLine{N: 1, Text: "<b>é</b>\t😀", Spans: []kovra.LogSpan{{From: 0, To: 1, Style: 1}}}, kovra.LogLine{N: 2}, kovra.LogLine{N: 3, Text: "end"})
	if got := w.get("/raw"); got != "<b>é</b>\t😀\n\nend\n" {
		t.Errorf("got %q", got)
	}
	if got := w.header("/raw").Get("Content-Disposition"); got != "" {
		t.Errorf("it is saved: %q", got)
	}
	for name, want := range map[string]string{
		"unit":                         "unit-4711.log",
		"a b/../c\"\r\n; x=1 [2]":      "a-b-..-c-----x-1--2-4711.log",
		"...":                          "job-4711.log",
		"":                             "job-4711.log",
		"тест":                         "job-4711.log",
		"test: é 😀":                    "test-4711.log",
		strings.Repeat("é", 300) + "a": "job-4711.log",
		strings.Repeat("a", 300):       strings.Repeat("a", 80) + "-4711.log",
	} {
		w.must(w.logs.Note(t.Context(), log.ID, func(l *kovra.Log) { l.Subject.Name = name }))
		if got := w.header("/raw?download=1").Get("Content-Disposition"); got != `attachment; filename="`+want+`"` {
			t.Errorf("%q: %s", name, got)
		}
	}
}

// Who saves a log that was never fetched gets all of it, once it is there.
func TestRawWaits(t *testing.T) {
	w := newWorld(t).serve()
	w.viewer.patience = time.Minute
	w.logs.OnChange(func(id int64) {
		go func() {
			w.add(id, numbered(1, 2)...)
			w.add(id, numbered(3, 4)...)
			w.done(id)
		}()
	})
	if got := w.get("/raw"); got != "line 1\nline 2\nline 3\nline 4\n" {
		t.Errorf("got %q", got)
	}
}

func TestRawDoesNotWaitInVain(t *testing.T) {
	w := newWorld(t).serve()
	w.viewer.patience = time.Hour
	log := w.keep()
	for name, change := range map[string]func(*kovra.Log){
		"pending": func(l *kovra.Log) { l.Subject.Status = kovra.Pending },
		"a note":  func(l *kovra.Log) { l.Subject.Status, l.Note = kovra.Failed, "GitLab has no log of it." },
		"done":    func(l *kovra.Log) { l.Note, l.Done = "", true },
	} {
		w.must(w.logs.Note(t.Context(), log.ID, change))
		if got := w.get("/raw"); got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
	w.viewer.patience = time.Millisecond
	w.must(w.logs.Note(t.Context(), log.ID, func(l *kovra.Log) { l.Done = false }))
	if got := w.get("/raw"); got != "" {
		t.Errorf("when patience ends: %q", got)
	}
}

func TestGzip(t *testing.T) {
	w := newWorld(t).serve()
	log := w.keep(numbered(1, 5000)...)
	w.done(log.ID)
	for _, rest := range []string{"", "/info", "/lines", "/search?q=line", "/raw"} {
		plain, want := w.ask(http.MethodGet, w.url(rest), "Accept-Encoding", "identity")
		res, body := w.ask(http.MethodGet, w.url(rest), "Accept-Encoding", "br, gzip;q=0.5")
		for _, one := range []http.Header{plain.Header, res.Header} {
			if one.Get("Vary") != "Accept-Encoding" {
				t.Errorf("%s: Vary is %q", rest, one.Values("Vary"))
			}
		}
		if plain.Header.Get("Content-Encoding") != "" || res.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: packed %q and %q", rest, plain.Header.Get("Content-Encoding"), res.Header.Get("Content-Encoding"))
			continue
		}
		z, err := gzip.NewReader(strings.NewReader(body))
		w.must(err)
		got, err := io.ReadAll(z)
		w.must(err)
		if string(got) != want {
			t.Errorf("%s: %d bytes unpacked, want %d", rest, len(got), len(want))
		}
	}
	if res, body := w.ask(http.MethodGet, w.url("/stream"), "Accept-Encoding", "gzip"); res.Header.Get("Content-Encoding") != "" || !strings.Contains(body, "event: end") {
		t.Error("the stream is packed")
	}
	for _, accepts := range []string{"gzip;q=0", "gzip; q=0.0", "identity", "deflate, br", "gzip;q=x", ""} {
		if res, _ := w.ask(http.MethodGet, w.url("/info"), "Accept-Encoding", accepts); res.Header.Get("Content-Encoding") != "" {
			t.Errorf("%q: packed", accepts)
		}
	}
	if res, body := w.ask(http.MethodGet, w.url("/lines?n=x"), "Accept-Encoding", "gzip"); res.Header.Get("Content-Encoding") != "" || !strings.HasPrefix(body, `{"error"`) {
		t.Errorf("a refusal is packed: %q", body)
	}
}

// A search arrives part by part, also when it is packed.
func TestSearchIsFlushed(t *testing.T) {
	w := newWorld(t)
	log := w.keep(numbered(1, 20_000)...)
	w.done(log.ID)
	for _, accepts := range []string{"gzip", "identity"} {
		rec := &flushes{ResponseRecorder: httptest.NewRecorder()}
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/logs/"+w.db.LogLink(testKey)+"/search?q=line", nil)
		req.Header.Set("Accept-Encoding", accepts)
		w.viewer.Handler().ServeHTTP(rec, req)
		if len(rec.at) < 2 || rec.at[0] == 0 || rec.at[0] == rec.at[len(rec.at)-1] {
			t.Errorf("%s: flushed at %v", accepts, rec.at)
		}
	}
}

// flushes remembers how much was written when it was flushed.
type flushes struct {
	*httptest.ResponseRecorder
	at []int
}

func (f *flushes) FlushError() error {
	f.at = append(f.at, f.Body.Len())
	return nil
}

func (f *flushes) Flush() { _ = f.FlushError() }

// What a job prints is text, wherever it is shown.
func TestHostileText(t *testing.T) {
	w := newWorld(t).serve()
	texts := []string{
		`<script>alert(1)</script>`, `</script><img src=x onerror=alert(1)>`, "a\u2028b\u2029c", `"}]}` + "\t", `data: x`, "event: end", "\ufeff", `{{.}}`, "&amp;", "\u202eright to left",
	}
	var lines []kovra.LogLine
	for i, text := range texts {
		lines = append(lines, kovra.LogLine{N: i + 1, Text: text})
	}
	log := w.keep(lines...)
	w.must(w.logs.Note(t.Context(), log.ID, func(l *kovra.Log) {
		l.Done, l.Note, l.Subject.Name = true, "<script>\u2028", "</title><script>"
	}))
	check := func(where string, got []wireLine) {
		t.Helper()
		if len(got) != len(texts) {
			t.Fatalf("%s: %d lines", where, len(got))
		}
		for i := range got {
			if got[i].Text != texts[i] {
				t.Errorf("%s: got %q, want %q", where, got[i].Text, texts[i])
			}
		}
	}
	check("lines", w.lines("").Lines)
	var sent []wireLine
	for _, e := range parseEvents(t, w.get("/stream")) {
		if e.name == "line" {
			sent = append(sent, e.line(t))
		}
	}
	check("stream", sent)
	if got := w.get("/raw"); got != strings.Join(texts, "\n")+"\n" {
		t.Errorf("raw: %q", got)
	}
	if strings.Contains(w.get(""), "</title><script>") || strings.Contains(w.get("/info"), "\u2028") {
		t.Error("text of the job is in the page")
	}
	w.must(w.logs.Note(t.Context(), log.ID, func(l *kovra.Log) {
		l.Subject.FinishedAt, l.Subject.URL = time.Unix(1, 0), `https://gitlab.example/"><script>`
	}))
	if _, body := w.ask(http.MethodGet, w.url("")); strings.Contains(body, `"><script>`) {
		t.Errorf("text of the job is in the page: %s", body)
	}
}

// Who leaves in the middle ends the work that was done for them, and is no news.
func TestReaderLeaves(t *testing.T) {
	w := newWorld(t).serve()
	log := w.keep()
	for n := 1; n <= 20_000; n += 1000 {
		var lines []kovra.LogLine
		for i := range 1000 {
			lines = append(lines, kovra.LogLine{N: n + i, Text: strings.Repeat("no zip ", i%300)})
		}
		w.add(log.ID, lines...)
	}
	for _, rest := range []string{"/search?q=", "/search?q=o", "/raw", "/raw?download=1", "/stream"} {
		ctx, cancel := newCancel(t)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url(strings.Replace(rest, "q=", "q=n", 1)), nil)
		w.must(err)
		res, err := w.server.Client().Transport.RoundTrip(req)
		w.must(err)
		_, err = io.ReadFull(res.Body, make([]byte, 20))
		w.must(err)
		cancel()
		res.Body.Close()
	}
	within(t, "searches end", func() bool { return len(w.viewer.searches) == 0 })
	within(t, "streams end", func() bool { return w.streams() == 0 })
}

// When the store fails people are told, and we are.
func TestStoreFails(t *testing.T) {
	w := newWorld(t).serve()
	w.keep(numbered(1, 10)...)
	w.must(w.logs.Close())
	for _, rest := range []string{"", "/info", "/lines", "/search?q=a", "/raw", "/stream"} {
		res, body := w.ask(http.MethodGet, w.url(rest))
		if res.StatusCode != http.StatusInternalServerError || !strings.Contains(body, "The log cannot be shown right now.") || strings.Contains(body, "closed") {
			t.Errorf("%s: %s %s", rest, res.Status, body)
		}
	}
	if n := strings.Count(w.said.String(), `msg="cannot show a log" log="job 4711 of project 7" err="`); n != 6 {
		t.Errorf("told %d times: %s", n, w.said)
	}
	w.said.Reset()
}

// A failure in the middle of an answer shows: half of it must not look like all.
func TestStoreFailsInTheMiddle(t *testing.T) {
	for _, c := range []struct{ rest, told, body string }{
		{"/search?q=line+77", "search cut short", `{"error":"The log cannot be shown right now."}`},
		{"/raw", "raw log cut short", "line 1\n"},
		{"/stream", "stream failed", "id: 1\n"},
	} {
		t.Run(c.rest, func(t *testing.T) {
			w := newWorld(t)
			log := w.keep()
			for n := 1; n <= 100_000; n += 10_000 {
				w.add(log.ID, numbered(n, n+9999)...)
			}
			handler := w.viewer.Handler()
			w.server.Config.Handler = http.HandlerFunc(func(to http.ResponseWriter, r *http.Request) {
				handler.ServeHTTP(&closing{ResponseWriter: to, close: func() { w.must(w.logs.Close()) }}, r)
			})
			w.serve()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url(c.rest), nil)
			w.must(err)
			req.Header.Set("Accept-Encoding", "identity")
			res, err := w.server.Client().Do(req)
			w.must(err)
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			got := string(body)
			if !strings.Contains(got, c.body) || strings.Contains(got, "event: end") || strings.Contains(got, `"done":true`) || (err == nil) == (c.rest == "/raw") {
				t.Errorf("%v: %d bytes, %.300s", err, len(body), got)
			}
			if !strings.Contains(w.said.String(), `msg="`+c.told+`"`) {
				t.Errorf("told: %s", w.said)
			}
			w.said.Reset()
		})
	}
}

// closing closes the store when the first lines are written.
type closing struct {
	http.ResponseWriter
	close func()
}

func (c *closing) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *closing) Write(b []byte) (int, error) {
	if c.close != nil && !strings.HasPrefix(string(b), "retry:") {
		c.close()
		c.close = nil
	}
	return c.ResponseWriter.Write(b)
}
