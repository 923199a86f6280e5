package web

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// world is a viewer on a real store, behind a real server.
type world struct {
	testing.TB
	db     *storage.DB
	logs   *storage.Logs
	viewer *Viewer
	server *httptest.Server
	said   *bytes.Buffer // what our own log says
	mu     sync.Mutex
	at     time.Time
	kicked []int64
}

// testKey is the log that most tests are about.
var testKey = kovra.LogKey{Kind: kovra.JobLog, Project: 7, ID: 4711}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{TB: tb, said: &bytes.Buffer{}, at: time.Now()}
	dir := tb.TempDir()
	var err error
	w.db, err = storage.Open(tb.Context(), storage.Options{
		Path: filepath.Join(dir, "kovra.db"), Key: [][]byte{bytes.Repeat([]byte{1}, 32)}, Now: w.now,
	})
	w.must(err)
	w.logs, err = storage.OpenLogs(tb.Context(), storage.LogsOptions{Path: filepath.Join(dir, "logs.db"), Now: w.now})
	w.must(err)
	heard := func(id int64) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.kicked = append(w.kicked, id)
	}
	w.logs.OnChange(heard)
	w.logs.OnSteps(heard)
	w.viewer = New(Options{DB: w.db, Logs: w.logs, Log: slog.New(slog.NewTextHandler(w.said, nil)), Heartbeat: time.Minute})
	w.viewer.patience = 0
	w.server = httptest.NewUnstartedServer(w.viewer.Handler())
	tb.Cleanup(func() {
		w.viewer.Stop()
		w.server.Close()
		if w.said.Len() > 0 {
			tb.Errorf("our own log has: %s", w.said)
		}
		w.must(w.logs.Close())
		w.must(w.db.Close())
	})
	return w
}

// serve starts the server.
func (w *world) serve() *world {
	w.server.Start()
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

func (w *world) kicks() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.kicked)
}

// keep makes the log, with these lines.
func (w *world) keep(lines ...kovra.LogLine) kovra.Log {
	w.Helper()
	log, err := w.logs.Keep(w.Context(), testKey, kovra.LogSubject{Name: "unit", Stage: "test", Status: kovra.Running, URL: "https://gitlab.example/-/jobs/4711"})
	w.must(err)
	w.add(log.ID, lines...)
	return log
}

func (w *world) add(id int64, lines ...kovra.LogLine) {
	w.Helper()
	_, err := w.logs.Append(w.Context(), id, lines)
	w.must(err)
}

func (w *world) done(id int64) {
	w.Helper()
	w.must(w.logs.Note(w.Context(), id, func(l *kovra.Log) { l.Done, l.Subject.Status = true, kovra.Success }))
}

// numbered makes lines whose text tells their number.
func numbered(from, to int) []kovra.LogLine {
	var lines []kovra.LogLine
	for n := from; n <= to; n++ {
		lines = append(lines, kovra.LogLine{N: n, Text: "line " + strconv.Itoa(n)})
	}
	return lines
}

func (w *world) url(rest string) string {
	return w.server.URL + "/logs/" + w.db.LogLink(testKey) + rest
}

// reply is an answer without its body.
type reply struct {
	Status     string
	StatusCode int
	Header     http.Header
}

// ask sends a request as given; the body comes unpacked only if the client did that.
func (w *world) ask(method, url string, header ...string) (reply, string) {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, url, nil)
	w.must(err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Transport: w.server.Client().Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	w.must(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	w.must(err)
	return reply{res.Status, res.StatusCode, res.Header}, string(body)
}

func (w *world) get(rest string) string {
	w.Helper()
	res, body := w.ask(http.MethodGet, w.url(rest))
	if res.StatusCode != http.StatusOK {
		w.Fatalf("%s: %s %s", rest, res.Status, body)
	}
	return body
}

// wireLine is a line as a browser gets it.
type wireLine struct {
	N         int      `json:"n"`
	Stream    string   `json:"stream"`
	Text      string   `json:"text"`
	Spans     [][]any  `json:"spans"`
	Hits      [][2]int `json:"hits"`
	Suspect   bool     `json:"suspect"`
	Header    bool     `json:"header"`
	Collapsed bool     `json:"collapsed"`
	Depth     int      `json:"depth"`
}

type wireLines struct {
	Lines []wireLine `json:"lines"`
	Total int        `json:"total"`
}

func (w *world) lines(query string) wireLines {
	w.Helper()
	var out wireLines
	w.must(json.Unmarshal([]byte(w.get("/lines"+query)), &out))
	return out
}

func (l wireLines) numbers() []int {
	var out []int
	for _, line := range l.Lines {
		out = append(out, line.N)
	}
	return out
}

func TestInfo(t *testing.T) {
	w := newWorld(t).serve()
	log := w.keep(kovra.LogLine{N: 1, Text: "a", Header: true, Depth: 1, Collapsed: true}, kovra.LogLine{N: 2, Text: "b", Depth: 1}, kovra.LogLine{N: 3, Text: "c"})
	started := time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.FixedZone("", 3600))
	w.must(w.logs.Note(t.Context(), log.ID, func(l *kovra.Log) {
		l.Streams, l.Note = true, "a <note>"
		l.Subject = kovra.LogSubject{
			Name: "unit", Stage: "test", Status: kovra.Canceling, Pipeline: 12, Ref: "main", URL: "javascript:alert(1)",
			StartedAt: started, Duration: 1500 * time.Millisecond,
		}
	}))
	var got, want map[string]any
	w.must(json.Unmarshal([]byte(w.get("/info")), &got))
	delete(got, "version")
	w.must(json.Unmarshal([]byte(`{"kind":"job","name":"unit","stage":"test","status":"canceling","shown":"Running","pipeline":12,"ref":"main","url":"",
		"started":"2026-03-01T11:00:00.005Z","duration":1.5,"lines":3,"bytes":6,"done":false,"truncated":false,"streams":true,"note":"a <note>",
		"sections":[{"from":1,"to":2,"depth":1,"collapsed":true,"open":false}]}`), &want))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A log that nobody has asked for before is there, empty, and is fetched from now on.
func TestFirstLook(t *testing.T) {
	for _, rest := range []string{"", "/info", "/lines", "/raw"} {
		t.Run(rest, func(t *testing.T) {
			w := newWorld(t).serve()
			w.get(rest)
			if n := w.kicks(); n != 1 {
				t.Errorf("%d kicks, want one", n)
			}
			if _, err := w.logs.Find(t.Context(), testKey); err != nil {
				t.Error(err)
			}
		})
	}
}

// Programs that look at every link must not make us fetch logs.
func TestNobodyReads(t *testing.T) {
	w := newWorld(t).serve()
	agent := "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"
	for _, rest := range []string{"", "/info", "/lines", "/lines?at=1", "/search?q=a", "/raw", "/stream"} {
		for _, call := range [][]string{{http.MethodHead}, {http.MethodGet, "User-Agent", agent}} {
			if res, body := w.ask(call[0], w.url(rest), call[1:]...); res.StatusCode != http.StatusOK {
				t.Errorf("%v %s: %s %s", call, rest, res.Status, body)
			}
		}
	}
	if _, err := w.logs.Find(t.Context(), testKey); kovra.KindOf(err) != kovra.NotFound || w.kicks() != 0 {
		t.Errorf("it is wanted: %v, %d kicks", err, w.kicks())
	}
}

func TestLines(t *testing.T) {
	w := newWorld(t).serve()
	log := w.keep(numbered(1, 1500)...)
	w.add(log.ID, kovra.LogLine{N: 1501, Text: "tab\there", Stream: 'E', Suspect: true, Header: true, Collapsed: true, Depth: 2})
	count := func(query string, want ...int) {
		t.Helper()
		got := w.lines(query)
		if diff := cmp.Diff(want, got.numbers()); diff != "" || got.Total != 1501 {
			t.Errorf("%s: total %d\n%s", query, got.Total, diff)
		}
	}
	count("?from=3&n=2", 3, 4)
	count("?from=1501&n=1000", 1501)
	count("?from=1502")
	count("?from=1000000000&n=1000")
	count("?at=3,9,1500,1502,2000", 3, 9, 1500)
	count("?at=1501", 1501)
	if n := len(w.lines("").Lines); n != 200 {
		t.Errorf("%d lines, want 200", n)
	}
	if n := len(w.lines("?n=1000").Lines); n != 1000 {
		t.Errorf("%d lines, want 1000", n)
	}
	want := wireLine{N: 1501, Stream: "E", Text: "tab\there", Suspect: true, Header: true, Collapsed: true, Depth: 2, Hits: [][2]int{{4, 8}}}
	if diff := cmp.Diff(want, w.lines("?at=1501&q=HERE").Lines[0]); diff != "" {
		t.Error(diff)
	}
	if got := w.lines("?at=1501&q=HERE&case=1").Lines[0].Hits; got != nil {
		t.Errorf("case is not looked at: %v", got)
	}
	if got := w.lines("?from=7&n=1&q=l|\\d&regex=1").Lines[0].Hits; cmp.Diff([][2]int{{0, 1}, {5, 6}}, got) != "" {
		t.Errorf("hits of the regular expression: %v", got)
	}
	if got := w.get("/lines?from=2&n=1"); got != `{"lines":[{"n":2,"stream":"O","text":"line 2"}],"total":1501}`+"\n" {
		t.Errorf("got %s", got)
	}
}

// One answer is bounded, however long the lines are.
func TestLongLines(t *testing.T) {
	w := newWorld(t).serve()
	var lines []kovra.LogLine
	for n := range 200 {
		lines = append(lines, kovra.LogLine{N: n + 1, Text: strings.Repeat("x", 64<<10)})
	}
	w.keep(lines...)
	for _, query := range []string{"?n=200", "?at=" + listOf(200)} {
		body := w.get("/lines" + query)
		if len(body) > mostAnswer+(70<<10) {
			t.Errorf("%.20s: %d bytes", query, len(body))
		}
		var got wireLines
		w.must(json.Unmarshal([]byte(body), &got))
		if len(got.Lines) < mostAnswer/(70<<10) || got.Lines[0].N != 1 {
			t.Errorf("%.20s: %d lines", query, len(got.Lines))
		}
	}
}

func listOf(n int) string {
	var all []string
	for i := range n {
		all = append(all, strconv.Itoa(i+1))
	}
	return strings.Join(all, ",")
}

func TestBadQuestions(t *testing.T) {
	w := newWorld(t).serve()
	w.keep(numbered(1, 10)...)
	for rest, want := range map[string]string{
		"/lines?from=0":                          "from must be a number from 1 to 1000000000.",
		"/lines?from=-1":                         "from must be a number",
		"/lines?from=":                           "from must be a number",
		"/lines?from=+1":                         "from must be a number",
		"/lines?from=1e3":                        "from must be a number",
		"/lines?from=99999999999999999":          "from must be a number",
		"/lines?from=1000000001":                 "from must be a number",
		"/lines?n=0":                             "n must be a number from 1 to 1000.",
		"/lines?n=1001":                          "n must be a number from 1 to 1000.",
		"/lines?n=x":                             "n must be a number",
		"/lines?at=":                             "at must be rising line numbers",
		"/lines?at=0":                            "at must be rising line numbers",
		"/lines?at=3,3":                          "at must be rising line numbers",
		"/lines?at=3,2":                          "at must be rising line numbers",
		"/lines?at=1,,2":                         "at must be rising line numbers",
		"/lines?at=1,2,":                         "at must be rising line numbers",
		"/lines?at=" + listOf(501):               "at names too many lines: at most 500.",
		"/lines?at=1&from=1":                     "Give either at, or from and n.",
		"/lines?at=1&n=1":                        "Give either at, or from and n.",
		"/lines?q=a&regex=yes":                   "regex must be 1 or 0.",
		"/lines?q=a&case=true":                   "case must be 1 or 0.",
		"/lines?q=(&regex=1":                     "The regular expression cannot be read",
		"/lines?%zz":                             "The part of the address after the question mark cannot be read.",
		"/lines?a;b":                             "cannot be read",
		"/search":                                "q must be what to look for.",
		"/search?q=":                             "q must be what to look for.",
		"/search?q=%ff":                          "not valid text",
		"/search?q=[&regex=1":                    "The regular expression cannot be read",
		"/search?q=a&regex=2":                    "regex must be 1 or 0.",
		"/search?q=a&case=2":                     "case must be 1 or 0.",
		"/search?q=a&from=x":                     "from must be a number",
		"/search?%zz":                            "cannot be read",
		"/search?q=" + strings.Repeat("a", 1001): "too long",
		"/raw?download=please":                   "download must be 1 or 0.",
		"/raw?%zz":                               "cannot be read",
		"/stream?after=-1":                       "after must be a number from 0",
		"/stream?after=x":                        "after must be a number from 0",
		"/stream?skip=x":                         "skip must be a number from 0",
		"/stream?%zz":                            "cannot be read",
	} {
		res, body := w.ask(http.MethodGet, w.url(rest))
		var got struct{ Error string }
		if err := json.Unmarshal([]byte(body), &got); err != nil || res.StatusCode != http.StatusBadRequest || !strings.Contains(got.Error, want) {
			t.Errorf("%.60s: %s %s, want %q", rest, res.Status, body, want)
		}
	}
}

func TestLinksThatOpenNothing(t *testing.T) {
	w := newWorld(t).serve()
	w.keep(numbered(1, 1)...)
	link := w.db.LogLink(testKey)
	for _, bad := range []string{"x", link + "A", link[1:], strings.ToUpper(link), link + "%2F", "..%2f" + link, link + "%00", link + "%0a", "%0d" + link, "%ff", w.db.LogLink(testKey)[:20]} {
		for _, rest := range []string{"", "/info", "/lines", "/search?q=a", "/raw", "/stream"} {
			res, body := w.ask(http.MethodGet, w.server.URL+"/logs/"+bad+rest)
			kind, want := kindJSON, `{"error":"This link opens no log."}`
			if rest == "" {
				kind, want = kindHTML, "<h1>This link opens no log.</h1>"
			}
			if res.StatusCode != http.StatusNotFound || res.Header.Get("Content-Type") != kind || !strings.Contains(body, want) {
				t.Errorf("%s%s: %s %s %s", bad, rest, res.Status, res.Header.Get("Content-Type"), body)
			}
		}
	}
	_, body := w.ask(http.MethodGet, w.server.URL+"/logs/x")
	if !strings.Contains(body, "Open the log from its button in Slack again.") || !strings.Contains(body, `href="../viewer/page.css?v=`) {
		t.Errorf("the page says nothing of use: %s", body)
	}
}

func TestOldLogs(t *testing.T) {
	w := newWorld(t).serve()
	log := w.keep(numbered(1, 1)...)
	w.done(log.ID)
	w.pass(89 * 24 * time.Hour)
	w.get("/info")
	w.pass(25 * time.Hour)
	for _, rest := range []string{"", "/info", "/lines", "/search?q=a", "/raw", "/stream"} {
		res, body := w.ask(http.MethodGet, w.url(rest))
		if res.StatusCode != http.StatusGone || !strings.Contains(body, "This log is no longer kept. Logs are kept for 90 days.") {
			t.Errorf("%s: %s %s", rest, res.Status, body)
		}
	}
	if _, body := w.ask(http.MethodGet, w.url("")); !strings.Contains(body, `<a href="https://gitlab.example/-/jobs/4711" rel="noreferrer">`) {
		t.Errorf("no way to GitLab: %s", body)
	}
	// What counts is when the job ended, where that is known.
	finished := w.now().Add(-time.Hour)
	w.must(w.logs.Note(t.Context(), log.ID, func(l *kovra.Log) { l.Subject.FinishedAt = finished }))
	w.get("/info")
}

func TestSpanOfTime(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Hour: "1 hour", 36 * time.Hour: "36 hours", 24 * time.Hour: "1 day", 90 * 24 * time.Hour: "90 days",
	} {
		if got := span(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

func TestHeaders(t *testing.T) {
	w := newWorld(t).serve()
	log := w.keep(numbered(1, 3)...)
	w.done(log.ID)
	link := "/logs/" + w.db.LogLink(testKey)
	want := map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "X-Robots-Tag": "noindex",
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
			"font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	}
	for path, kind := range map[string]string{
		link: kindHTML, link + "/info": kindJSON, link + "/lines": kindJSON, link + "/search?q=a": "application/x-ndjson",
		link + "/raw": "text/plain; charset=utf-8", link + "/stream": "text/event-stream",
		"/logs/x": kindHTML, "/logs/x/info": kindJSON, link + "/lines?n=0": kindJSON, "/viewer/no.js": kindJSON, "/viewer/page.html": kindJSON,
		link + "/other": "", "/logs/": "", "/": "", "/viewer/": "", "/viewer/page.css": "text/css; charset=utf-8",
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			res, _ := w.ask(method, w.server.URL+path)
			for name, value := range want {
				if got := res.Header.Values(name); len(got) != 1 || got[0] != value {
					t.Errorf("%s %s: %s is %q", method, path, name, got)
				}
			}
			if got := res.Header.Get("Content-Type"); kind != "" && method == http.MethodGet && got != kind {
				t.Errorf("%s: type %q, want %q", path, got, kind)
			}
			if method == http.MethodPost && kind != "" && res.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("POST %s: %s", path, res.Status)
			}
		}
	}
}

func TestPageAndAssets(t *testing.T) {
	w := newWorld(t).serve()
	page := w.get("")
	if strings.Contains(page, "<style") || strings.Contains(page, "style=") || strings.Contains(page, "onclick") || strings.Contains(page, "<script>") {
		t.Error("the page has what its policy forbids")
	}
	version := w.viewer.shell.version
	seen := 0
	for _, link := range pageLink.FindAllString(page, -1) {
		seen++
		res, body := w.ask(http.MethodGet, w.server.URL+"/viewer/"+strings.TrimPrefix(link, "../viewer/")+"?v="+version)
		if res.StatusCode != http.StatusOK || res.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || body == "" {
			t.Errorf("%s: %s %v", link, res.Status, res.Header)
		}
		if !strings.Contains(page, link+"?v="+version) {
			t.Errorf("%s is loaded without its version", link)
		}
	}
	if seen == 0 {
		t.Error("the page loads nothing")
	}
	for name, body := range w.viewer.shell.assets {
		for _, m := range moduleLink.FindAllStringSubmatch(string(body), -1) {
			t.Errorf("%s loads %s without its version", name, m[2])
		}
		for one := range strings.SplitSeq(string(body), "\n") {
			if _, after, ok := strings.Cut(one, `from "./`); ok && w.viewer.shell.assets[after[:strings.IndexByte(after, '?')]] == nil {
				t.Errorf("%s: there is no %s", name, one)
			}
		}
	}
	for _, name := range []string{"page.css?v=0", "page.css"} {
		if res, _ := w.ask(http.MethodGet, w.server.URL+"/viewer/"+name); res.StatusCode != http.StatusOK || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s %v", name, res.Status, res.Header)
		}
	}
}

func TestOnlyOurFiles(t *testing.T) {
	w := newWorld(t).serve()
	for _, name := range []string{"page.html", "web.go", "..%2fweb.go", "%2e%2e%2fweb.go", "../web.go", "..\\web.go", "%00", ".", "..", "page%2fpage.css", "/etc/passwd", "%2fetc%2fpasswd", "page.css%00.js"} {
		if res, body := w.ask(http.MethodGet, w.server.URL+"/viewer/"+name); res.StatusCode == http.StatusOK {
			t.Errorf("%s: %s %s", name, res.Status, body)
		}
	}
}
