package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"kovra.dev/chatops/internal/joblog"
	"kovra.dev/chatops/internal/kovra"
	logpage "kovra.dev/chatops/internal/web"
	"kovra.dev/chatops/storage"
)

// house is the viewer on a real store behind a real server, with logs that a test makes,
// and a browser to look at them.
type house struct {
	t       *testing.T
	db      *storage.DB
	logs    *storage.Logs
	server  *httptest.Server
	browser context.Context //nolint:containedctx // chromedp keeps the browser there
	said    lockedBuffer

	mu    sync.Mutex
	next  int64 // GitLab's id of the next job
	hits  map[string]int
	gates map[string]gate
	lost  map[string]bool // paths of which requests are broken off
}

// gate holds answers back.
type gate struct {
	reached chan struct{} // somebody waits
	open    chan struct{} // closed: nobody has to
}

// tour is a part of a test that looks at logs of a house.
type tour struct {
	*house
	t *testing.T
}

// lockedBuffer is a buffer for several writers.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, next: 1000, hits: map[string]int{}, gates: map[string]gate{}, lost: map[string]bool{}}
	path := browserPath(t)
	dir := t.TempDir()
	var err error
	h.db, err = storage.Open(t.Context(), storage.Options{Path: filepath.Join(dir, "kovra.db"), Key: [][]byte{bytes.Repeat([]byte{7}, 32)}})
	h.must(err)
	h.logs, err = storage.OpenLogs(t.Context(), storage.LogsOptions{Path: filepath.Join(dir, "logs.db")})
	h.must(err)
	viewer := logpage.New(logpage.Options{DB: h.db, Logs: h.logs, Log: slog.New(slog.NewTextHandler(&h.said, nil))})
	answer := viewer.Handler()
	h.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.hits[r.URL.Path]++
		gate, held := h.gates[r.URL.Path]
		lost := h.lost[r.URL.Path]
		h.mu.Unlock()
		if lost {
			panic(http.ErrAbortHandler) // the connection is closed without an answer
		}
		answer.ServeHTTP(w, r)
		if held {
			gate.wait(r.Context())
		}
	}))
	h.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	t.Cleanup(func() {
		viewer.Stop()
		h.server.CloseClientConnections()
		h.server.Close()
		if said := h.said.String(); said != "" {
			t.Errorf("the viewer logs: %s", said)
		}
		h.must(h.logs.Close())
		h.must(h.db.Close())
	})
	// A name that is not the machine's own: for a browser that is a page of the plain web.
	h.browser = startBrowser(t, path, chromedp.Flag("host-resolver-rules", "MAP viewer.example 127.0.0.1"))
	return h
}

// wait keeps what was said, but for its end, until the gate opens.
func (g gate) wait(ctx context.Context) {
	select {
	case g.reached <- struct{}{}:
	default:
	}
	select {
	case <-g.open:
	case <-ctx.Done():
	}
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// written is one log.
type written struct {
	*house
	key kovra.LogKey
	id  int64
}

// job makes the log of a job that runs, and has not written anything.
func (h *house) job(name string) *written {
	h.t.Helper()
	h.mu.Lock()
	h.next++
	key := kovra.LogKey{Kind: kovra.JobLog, Project: 7, ID: h.next}
	h.mu.Unlock()
	log, err := h.logs.Keep(h.t.Context(), key, subject(key, name, kovra.Running))
	h.must(err)
	return &written{house: h, key: key, id: log.ID}
}

func subject(key kovra.LogKey, name string, status kovra.Status) kovra.LogSubject {
	s := kovra.LogSubject{
		Name: name, Stage: "test", Status: status, Pipeline: 4711, Ref: "main", URL: fmt.Sprint("https://gitlab.example/group/web/-/jobs/", key.ID),
		StartedAt: time.Now().Add(-2 * time.Minute),
	}
	if status.Final() {
		s.FinishedAt, s.Duration = time.Now(), 2*time.Minute
	}
	return s
}

// finished makes the log of a job that has ended.
func (h *house) finished(name string, trace io.Reader, status kovra.Status) *written {
	h.t.Helper()
	l := h.job(name)
	l.read(trace)
	l.end(name, status)
	return l
}

// read takes a trace in as the program does.
func (l *written) read(trace io.Reader) {
	l.t.Helper()
	var batch []kovra.LogLine
	streams := false
	flush := func() error {
		_, err := l.logs.Append(l.t.Context(), l.id, batch)
		batch = batch[:0]
		return err
	}
	_, err := joblog.Cut(l.t.Context(), trace, joblog.Options{Mask: joblog.NewMasker(nil), Each: func(x joblog.Line) error {
		line := kovra.LogLine{
			N: x.N, Text: x.Text, Stream: x.Stream, Suspect: x.Suspect, Header: x.Header, Collapsed: x.Collapsed, Depth: x.Depth,
		}
		for _, s := range x.Spans {
			line.Spans = append(line.Spans, kovra.LogSpan{From: s.From, To: s.To, Style: uint16(s.Style)})
		}
		streams = streams || x.Stream != 0
		if batch = append(batch, line); len(batch) < 1000 {
			return nil
		}
		return flush()
	}})
	l.must(err)
	l.must(flush())
	l.note(func(log *kovra.Log) { log.Streams = streams })
}

// write adds so many numbered lines to a log that is not read from a trace.
func (l *written) write(n int) {
	l.t.Helper()
	l.must(l.add(n, step))
}

func step(n int) string { return fmt.Sprintf("step %d of a job that takes its time", n) }

// add adds so many lines, each with the text of its number.
func (l *written) add(n int, text func(int) string) error {
	log, err := l.logs.Log(l.t.Context(), l.id)
	if err != nil {
		return err
	}
	var lines []kovra.LogLine
	for i := log.Lines + 1; i <= log.Lines+n; i++ {
		lines = append(lines, kovra.LogLine{N: i, Text: text(i)})
	}
	_, err = l.logs.Append(l.t.Context(), l.id, lines)
	return err
}

func (l *written) note(change func(*kovra.Log)) {
	l.t.Helper()
	l.must(l.logs.Note(l.t.Context(), l.id, change))
}

// end says that the log is complete.
func (l *written) end(name string, status kovra.Status) {
	l.t.Helper()
	l.note(func(log *kovra.Log) { log.Done, log.Subject = true, subject(l.key, name, status) })
}

// lines are all that are kept.
func (l *written) lines() []kovra.LogLine {
	l.t.Helper()
	log, err := l.logs.Log(l.t.Context(), l.id)
	l.must(err)
	lines, err := l.logs.Lines(l.t.Context(), l.id, 1, log.Lines)
	l.must(err)
	return lines
}

// text is what the raw address gives.
func (l *written) text() string {
	l.t.Helper()
	var b strings.Builder
	for part, err := range l.logs.Text(l.t.Context(), l.id) {
		l.must(err)
		b.Write(part)
	}
	return b.String()
}

func (l *written) path() string { return "/logs/" + l.db.LogLink(l.key) }

func (l *written) url() string { return l.server.URL + l.path() }

// asked is how often a part of the log was asked for.
func (l *written) asked(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hits[l.path()+part]
}

// lose breaks off what is on its way, and each further request for a part of the log until it is found again.
func (l *written) lose(part string) (found func()) {
	lost := func(yes bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lost[l.path()+part] = yes
	}
	lost(true)
	l.server.CloseClientConnections()
	return func() { lost(false) }
}

// hold lets no further answer about a part of the log come to its end until the gate is opened.
func (l *written) hold(part string) gate {
	g := gate{reached: make(chan struct{}, 1), open: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gates[l.path()+part] = g
	return g
}

// viewer is a page that shows a log.
type viewer struct{ *page }

// view opens a log; at is the part of the address after its path.
func (l *written) view(t *testing.T, at string, s screen, before ...chromedp.Action[chromedp.Void]) viewer {
	t.Helper()
	s.name = "viewer-" + strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(t.Name(), "TestBrowserViewer/"), "/", "-"))
	p := openIn(l.browser, t, "about:blank", s)
	p.do(before...)
	p.load(l.url() + at)
	return viewer{p}
}

// load goes to an address.
func (p *page) load(url string) {
	p.t.Helper()
	p.do(chromedp.Navigate(url), chromedp.Evaluate[chromedp.Void](lookScript), chromedp.Evaluate[chromedp.Void](readScript))
}

// call carries out a command of the browser's protocol in a page.
func call[P, R any](p *page, c cdp.Command[P, R], params P) R {
	p.t.Helper()
	var out R
	p.do(chromedp.Func(func(ctx context.Context, tab *chromedp.Target) (err error) {
		out, err = cdp.Call(ctx, tab, c, params)
		return err
	}))
	return out
}

// scheme lets the system ask for dark or light pages.
func scheme(name string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
		})
		return err
	})
}

// allowClipboard lets the pages of an origin read and write the clipboard.
func (p *page) allowClipboard(origin string) {
	p.t.Helper()
	for _, name := range []string{"clipboard-read", "clipboard-write"} {
		p.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			c := chromedp.FromContext(ctx)
			_, err := cdp.Call(ctx, c.Browser, browser.SetPermission, browser.SetPermissionParams{
				Permission: &browser.PermissionDescriptor{Name: name, AllowWithoutSanitization: name == "clipboard-write"},
				Setting:    browser.PermissionSettingGranted, Origin: origin, BrowserContextID: c.BrowserContextID,
			})
			return err
		}))
	}
}

// wheel turns the mouse wheel over the log; down is positive.
func (v viewer) wheel(pixels float64) {
	v.t.Helper()
	v.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseWheel, float64(v.screen.width)/2, float64(v.screen.height)/2, func(p *input.DispatchMouseEventParams) {
		p.DeltaX, p.DeltaY = 1e-9, pixels // none at all is refused
	}))
}

// press presses keys one after the other as a keyboard does: a key that the page takes for
// itself writes nothing.
func (v viewer) press(keys string, held ...chromedp.Modifier) {
	v.t.Helper()
	v.do(chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		for _, r := range keys {
			events := kb.Encode(r)
			for _, e := range events {
				if e.Type == kb.KeyChar {
					events[0].Text = e.Text
				}
			}
			for _, e := range events {
				if e.Type == kb.KeyChar {
					continue
				}
				chromedp.KeyModifiers(held...)(e)
				if r == 'c' && slices.Contains(held, chromedp.ModifierCtrl) {
					e.Commands = []string{"copy"} // what a browser makes of it lies outside of the page
				}
				if _, err := cdp.Call(ctx, tab, input.DispatchKeyEvent, *e); err != nil {
					return err
				}
			}
		}
		return nil
	}))
}

// seen are the lines on the screen.
type seen struct {
	First  int      `json:"first"` // number
	Last   int      `json:"last"`
	Offset float64  `json:"offset"` // of the first, in pixels
	Texts  []string `json:"texts"`
	Rows   int      `json:"rows"` // that are in the page, on the screen or not
	AtEnd  bool     `json:"atEnd"`
}

// sight waits until no line on the screen is blank, and tells what there is.
func (v viewer) sight() seen {
	v.t.Helper()
	return ask[seen](v.page, fmt.Sprintf("readLog.sight(%d)", browserPatience.Milliseconds()))
}

// wait waits until an expression is true.
func (v viewer) wait(expression string) {
	v.t.Helper()
	if !ask[bool](v.page, fmt.Sprintf("readLog.until(%d, () => Boolean(%s))", browserPatience.Milliseconds(), expression)) {
		v.t.Fatalf("it never comes to pass: %s; the screen shows %+v", expression, v.sight())
	}
}

// on waits until a line is on the screen.
func (v viewer) on(n int) {
	v.t.Helper()
	v.wait(fmt.Sprintf("readLog.now().first <= %d && readLog.now().last >= %d", n, n))
}

// readScript is the part of the tests' driver that reads logs in the page.
const readScript = `window.readLog = (() => {
	const until = async (patience, cond) => {
		for (const end = performance.now() + patience; ;) {
			const got = cond();
			if (got || performance.now() >= end) return Boolean(got);
			await new Promise((go) => setTimeout(go, 20));
		}
	};
	const scroller = () => document.querySelector("[data-test=log]");
	const rows = () => [...document.querySelectorAll("[data-test=row]")];
	const onScreen = () => {
		const box = scroller().getBoundingClientRect();
		return rows().filter((r) => {
			const b = r.getBoundingClientRect();
			return b.bottom > box.top + 2 && b.top < box.top + scroller().clientHeight - 2;
		});
	};
	const chars = (r) => r.querySelector(".chars")?.textContent ?? "";
	const now = () => {
		const seen = onScreen(), s = scroller();
		return {
			first: Number(seen[0]?.dataset.n ?? 0), last: Number(seen.at(-1)?.dataset.n ?? 0), texts: seen.map(chars), rows: rows().length,
			offset: seen.length > 0 ? seen[0].getBoundingClientRect().top - s.getBoundingClientRect().top : 0,
			atEnd: s.scrollHeight - s.clientHeight - s.scrollTop < 2,
		};
	};
	return {
		until, onScreen, rows, chars, now,
		sight: async (patience) => {
			await until(patience, () => onScreen().length > 0 && onScreen().every((r) => !r.classList.contains("blank")));
			return now();
		},
		row: (n) => rows().find((r) => r.dataset.n === String(n)),
		colour: (n) => getComputedStyle(document.querySelector("[data-test=row][data-n='" + n + "'] .chars")).color,
	};
})()`
