package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
)

func newCancel(tb testing.TB) (context.Context, context.CancelFunc) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	tb.Cleanup(cancel)
	return ctx, cancel
}

// event is one of a stream; a comment has no name.
type event struct{ name, id, data string }

func (e event) line(tb testing.TB) wireLine {
	tb.Helper()
	var l wireLine
	if err := json.Unmarshal([]byte(e.data), &l); err != nil || strconv.Itoa(l.N) != e.id {
		tb.Fatalf("%+v: %v", e, err)
	}
	return l
}

// events reads a stream.
type events struct{ *bufio.Reader }

func (r events) next() (event, error) {
	var e event
	for {
		text, err := r.ReadString('\n')
		if err != nil {
			return e, err
		}
		text = strings.TrimSuffix(text, "\n")
		field, value, _ := strings.Cut(text, ": ")
		switch {
		case text == "":
			return e, nil
		case field == "event":
			e.name = value
		case field == "id":
			e.id = value
		case field == "data":
			e.data += value
		case field == "":
			e.data = value
		case field != "retry":
			return e, fmt.Errorf("odd line %q", text)
		}
	}
}

func parseEvents(tb testing.TB, body string) []event {
	tb.Helper()
	var out []event
	for r := (events{bufio.NewReader(strings.NewReader(body))}); ; {
		e, err := r.next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, e)
	}
}

// reader is a browser that follows the log.
type reader struct {
	testing.TB
	events
	res *http.Response
}

func (w *world) follow(ctx context.Context, rest string, header ...string) reader {
	w.Helper()
	r, err := w.connect(ctx, rest, header...)
	w.must(err)
	return r
}

func (w *world) connect(ctx context.Context, rest string, header ...string) (reader, error) {
	return w.connectTo(ctx, w.url("/stream"+rest), header...)
}

func (w *world) connectTo(ctx context.Context, url string, header ...string) (reader, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return reader{}, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := w.server.Client().Transport.RoundTrip(req)
	if err != nil {
		return reader{}, err
	}
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		return reader{}, errors.New(res.Status)
	}
	w.Cleanup(func() { res.Body.Close() })
	return reader{w, events{bufio.NewReader(res.Body)}, res}, nil
}

// until reads up to the first event of that name.
func (r reader) until(name string) event {
	r.Helper()
	for {
		e, err := r.next()
		if err != nil {
			r.Fatalf("wait for %q: %v", name, err)
		}
		if e.name == name {
			return e
		}
	}
}

func TestStream(t *testing.T) {
	w := newWorld(t).serve()
	log := w.keep(numbered(1, 2)...)
	r := w.follow(t.Context(), "")
	if got := r.res.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("type %q", got)
	}
	if e := r.until("line"); e.id != "1" || e.data != `{"n":1,"stream":"O","text":"line 1"}` {
		t.Errorf("got %+v", e)
	}
	r.until("line")
	w.add(log.ID, kovra.LogLine{N: 3, Text: "x", Stream: 'E'})
	if e := r.until("line"); e.id != "3" || e.line(t).Stream != "E" {
		t.Errorf("got %+v", e)
	}
	w.must(w.logs.Note(t.Context(), log.ID, func(l *kovra.Log) { l.Note = "GitLab is slow." }))
	var i info
	w.must(json.Unmarshal([]byte(r.until("info").data), &i))
	if i.Note != "GitLab is slow." || i.Lines != 3 || i.Shown != kovra.ShownRunning {
		t.Errorf("got %+v", i)
	}
	w.add(log.ID, numbered(4, 4)...)
	w.done(log.ID)
	var names []string
	for {
		e, err := r.next()
		if err != nil {
			break
		}
		names = append(names, e.name+e.id)
		if e.name == "end" && e.data != `{"lines":4}` {
			t.Errorf("got %+v", e)
		}
	}
	if diff := cmp.Diff([]string{"line4", "info", "end"}, names); diff != "" {
		t.Error(diff)
	}
}

// What changed before the stream began is told at its start.
func TestStreamStart(t *testing.T) {
	w := newWorld(t).serve()
	log := w.keep(numbered(1, 5)...)
	w.done(log.ID)
	got := parseEvents(t, w.get("/stream?after=3"))
	var names []string
	for _, e := range got {
		names = append(names, e.name+e.id)
	}
	if diff := cmp.Diff([]string{"", "info", "line4", "line5", "end"}, names); diff != "" {
		t.Error(diff)
	}
	if body := w.get("/stream"); !strings.HasPrefix(body, "retry: 2000\n\n") {
		t.Errorf("it begins with %.40q", body)
	}
}

func TestStreamResumes(t *testing.T) {
	w := newWorld(t).serve()
	log := w.keep(numbered(1, 5)...)
	w.done(log.ID)
	for _, c := range []struct {
		rest, last string
		want       string
		ignored    bool
	}{
		{"", "", "1 2 3 4 5", false},
		{"?after=0", "", "1 2 3 4 5", false},
		{"?after=3", "", "4 5", false},
		{"?after=3", "1", "2 3 4 5", false},
		{"", "5", "", false},
		{"", "6", "", false},
		{"?after=4", "abc", "5", true},
		{"?after=4", "-1", "5", true},
		{"?after=4", "99999999999999999999", "5", true},
		{"?skip=2", "", "3s 4 5", false},
		{"?skip=5", "", "1 2 3 4 5", false},
		{"?skip=2&after=2", "", "3s 4 5", false},
		{"?skip=2", "3", "4 5", false},
	} {
		_, body := w.ask(http.MethodGet, w.url("/stream"+c.rest), "Last-Event-ID", c.last)
		var got []string
		for _, e := range parseEvents(t, body) {
			switch e.name {
			case "line":
				got = append(got, e.id)
			case "skip":
				got = append(got, e.id+"s")
			}
		}
		if strings.Join(got, " ") != c.want || strings.Contains(body, "was ignored") != c.ignored || !strings.Contains(body, `{"lines":5}`) {
			t.Errorf("%s, %q: %q in %s", c.rest, c.last, got, body)
		}
	}
	_, body := w.ask(http.MethodGet, w.url("/stream?skip=2&after=1"))
	if !strings.Contains(body, "event: skip\nid: 3\ndata: {\"from\":2,\"to\":3}\n\n") {
		t.Errorf("got %s", body)
	}
}

// Readers that lose the connection now and then, while lines come, miss none and see none twice.
func TestStreamWithoutLossOrDoubles(t *testing.T) {
	const total, readers = 3000, 8
	w := newWorld(t).serve()
	log := w.keep()
	var all sync.WaitGroup
	for k := range readers {
		all.Go(func() {
			last := 0
			for {
				ctx, cancel := context.WithCancel(t.Context())
				r, err := w.connect(ctx, "", "Last-Event-ID", strconv.Itoa(last))
				for seen := 0; err == nil && seen < 100*(k+1); {
					var e event
					if e, err = r.next(); err != nil {
						break
					}
					switch e.name {
					case "line":
						if e.id != strconv.Itoa(last+1) || !strings.Contains(e.data, `"line `+e.id+`"`) {
							t.Errorf("reader %d: after line %d comes %+v", k, last, e)
							cancel()
							return
						}
						last++
						seen++
					case "end":
						if last != total {
							t.Errorf("reader %d: the end after line %d", k, last)
						}
						cancel()
						return
					}
				}
				cancel()
				if err != nil {
					t.Errorf("reader %d: %v", k, err)
					return
				}
			}
		})
	}
	for n := 1; n <= total; n += 7 {
		w.add(log.ID, numbered(n, min(total, n+6))...)
	}
	w.done(log.ID)
	all.Wait()
}

// 200 readers of one log that grows all get all of it, in order.
func TestManyReaders(t *testing.T) {
	const total, readers = 2000, 200
	w := newWorld(t).serve()
	log := w.keep(numbered(1, 100)...)
	var all sync.WaitGroup
	for k := range readers {
		all.Go(func() {
			r, err := w.connect(t.Context(), "")
			last := 0
			for err == nil {
				var e event
				if e, err = r.next(); e.name == "line" {
					last++
				}
				if e.name == "line" && e.id != strconv.Itoa(last) {
					err = fmt.Errorf("line %s comes in place of %d", e.id, last)
				}
				if e.name == "end" {
					break
				}
			}
			if err != nil || last != total {
				t.Errorf("reader %d: %d lines, %v", k, last, err)
			}
		})
	}
	for n := 101; n <= total; n += 100 {
		w.add(log.ID, numbered(n, n+99)...)
	}
	w.done(log.ID)
	all.Wait()
}

func TestHeartbeat(t *testing.T) {
	w := newWorld(t)
	w.viewer.Heartbeat = 10 * time.Millisecond
	w.server.Config.ReadTimeout = 50 * time.Millisecond // as real servers have it; streams must outlive it
	w.serve()
	log := w.keep()
	r := w.follow(t.Context(), "")
	for range 20 {
		e := r.until("")
		for e.data != "ping" {
			e = r.until("")
		}
	}
	w.pass(time.Hour)
	for range 2 {
		r.until("")
	}
	if got, err := w.logs.Find(t.Context(), testKey); err != nil || !got.ReadAt.After(log.CreatedAt.Add(time.Minute)) {
		t.Errorf("nobody knows that it is read: %v, %v", got.ReadAt, err)
	}
	w.add(log.ID, numbered(1, 1)...)
	r.until("line")
}

// Stop ends streams at once, whether they wait or their readers are slow.
func TestStop(t *testing.T) {
	w := newWorld(t).serve()
	log := w.keep(numbered(1, 1)...)
	waits := w.follow(t.Context(), "?after=1")
	waits.until("info")
	var lines []kovra.LogLine
	for n := 2; n < 400; n++ {
		lines = append(lines, kovra.LogLine{N: n, Text: strings.Repeat("x", 60<<10)})
	}
	w.add(log.ID, lines...)
	slow := w.follow(t.Context(), "")
	slow.until("line")
	w.viewer.Stop()
	for {
		if e, err := waits.next(); err != nil {
			break
		} else if e.name == "end" {
			t.Fatal("the log is not done")
		}
	}
	within(t, "the slow reader's stream ends", func() bool { return w.streams() == 0 })
	res, body := w.ask(http.MethodGet, w.url("/stream"))
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "2" || !strings.Contains(body, `"error"`) {
		t.Errorf("afterwards: %s %s", res.Status, body)
	}
}

func (w *world) streams() int {
	s := &w.viewer.streams
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.of)
}

// within waits for something that happens soon.
func within(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("%s: not within 20 s", what)
		}
	}
}

// A reader that takes nothing is cut off; it holds nobody else up and comes back later.
func TestSlowReader(t *testing.T) {
	w := newWorld(t)
	w.viewer.writeFor = time.Second
	w.server.Config.ConnState = func(c net.Conn, s http.ConnState) {
		if tcp, ok := c.(*net.TCPConn); ok && s == http.StateNew {
			_ = tcp.SetWriteBuffer(4 << 10)
		}
	}
	w.serve()
	log := w.keep()
	w.server.Client().Transport.(*http.Transport).ReadBufferSize = 1 << 10
	slow := w.follow(t.Context(), "")
	slow.until("info")
	quick := w.follow(t.Context(), "")
	const total = 300
	for n := 1; n <= total; n++ {
		w.add(log.ID, kovra.LogLine{N: n, Text: strings.Repeat("x", 60<<10)})
		if e := quick.until("line"); e.id != strconv.Itoa(n) {
			t.Fatalf("got line %s in place of %d", e.id, n)
		}
	}
	within(t, "the slow reader is cut off", func() bool { return w.streams() == 1 })
	last := 0
	for {
		e, err := slow.next()
		if err != nil {
			break
		}
		if e.name == "line" {
			last++
		}
	}
	if last == total {
		t.Fatal("the slow reader was not slow")
	}
	again := w.follow(t.Context(), "", "Last-Event-ID", strconv.Itoa(last))
	if e := again.until("line"); e.id != strconv.Itoa(last+1) {
		t.Errorf("it goes on with line %s after %d", e.id, last)
	}
}

// The deadline of an answer does not outlive it.
func TestDeadlineEndsWithTheAnswer(t *testing.T) {
	w := newWorld(t)
	w.viewer.writeFor = 500 * time.Millisecond
	w.serve()
	w.keep(numbered(1, 3)...)
	for range 3 {
		w.lines("")
		time.Sleep(700 * time.Millisecond)
	}
}

func TestTooManyStreams(t *testing.T) {
	w := newWorld(t).serve()
	w.viewer.streams.most = 1
	w.keep()
	ctx, cancel := newCancel(t)
	w.follow(ctx, "").until("info")
	res, body := w.ask(http.MethodGet, w.url("/stream"))
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "5" || !strings.Contains(body, `"error"`) {
		t.Errorf("got %s %s", res.Status, body)
	}
	cancel()
	within(t, "the stream of a reader that left ends", func() bool { return w.streams() == 0 })
	ctx, cancel = newCancel(t)
	defer cancel()
	w.follow(ctx, "").until("info")
}

// A log that is thrown away ends its streams without an end.
func TestLogIsThrownAway(t *testing.T) {
	w := newWorld(t).serve()
	w.keep(numbered(1, 1)...)
	r := w.follow(t.Context(), "")
	r.until("line")
	w.pass(91 * 24 * time.Hour)
	_, err := w.logs.Prune(t.Context())
	w.must(err)
	for {
		e, err := r.next()
		if err != nil {
			break
		}
		if e.name == "end" {
			t.Fatal("the log did not end")
		}
	}
}
