package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/joblog"
	"kovra.dev/chatops/internal/kovra"
)

// logReader is a page that shows the log of a job: a browser that comes back with the
// number of the last line that it has, whenever its connection was cut.
type logReader struct {
	job  int64
	path string

	mu       sync.Mutex
	texts    []string
	ended    bool // the server said that the log is complete
	problems []string

	cut  context.CancelFunc // nil while there is no connection
	over chan struct{}
}

// take takes an event of the stream.
func (r *logReader) take(event, id, data string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch event {
	case "line":
		var l logLine
		if err := json.Unmarshal([]byte(data), &l); err != nil || id != strconv.Itoa(l.N) || l.N != len(r.texts)+1 {
			r.problems = append(r.problems, fmt.Sprintf("line %s %s follows %d lines (%v)", id, data, len(r.texts), err))
			return
		}
		r.texts = append(r.texts, l.Text)
	case "end":
		r.ended = true
	}
}

// wire is an answer that is read while it is written.
type wire struct {
	head http.Header
	to   *io.PipeWriter
}

func (w wire) Header() http.Header              { return w.head }
func (w wire) WriteHeader(int)                  {}
func (w wire) Write(p []byte) (int, error)      { return w.to.Write(p) }
func (w wire) Flush()                           {}
func (w wire) SetReadDeadline(time.Time) error  { return nil }
func (w wire) SetWriteDeadline(time.Time) error { return nil }

// connect lets a page begin to read, or go on, if the program lives.
func (w *world) connect(r *logReader) {
	w.mu.Lock()
	a := w.app
	w.mu.Unlock()
	if r.cut != nil {
		select {
		case <-r.over: // the server hung up
			r.disconnect()
		default:
		}
	}
	if a == nil || r.cut != nil || r.ended {
		return
	}
	ctx, cut := context.WithCancel(w.t.Context())
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, publicURL+r.path+"/stream", nil)
	if err != nil {
		w.t.Error(err)
	}
	q.Header.Set("Last-Event-ID", strconv.Itoa(len(r.texts)))
	from, to := io.Pipe()
	r.cut, r.over = cut, make(chan struct{})
	go func() {
		a.Handler().ServeHTTP(wire{head: http.Header{}, to: to}, q)
		_ = to.Close() // never fails
	}()
	go func() {
		defer close(r.over)
		readEvents(bufio.NewScanner(from), r.take)
	}()
}

// disconnect cuts the connection of a page.
func (r *logReader) disconnect() {
	if r.cut == nil {
		return
	}
	r.cut()
	<-r.over
	r.cut = nil
}

// openViewer opens the log of one of the newest jobs in a browser.
func (w *world) openViewer() {
	p, ok := w.pick()
	if !ok || len(w.readers) >= 8 {
		return
	}
	jobs := w.lab.Jobs(web, p.ID)
	if len(jobs) == 0 {
		return
	}
	w.mu.Lock()
	a := w.app
	w.mu.Unlock()
	if a == nil {
		return
	}
	w.what.add("viewer", 1)
	j := jobs[w.rnd.IntN(len(jobs))]
	r := &logReader{job: j.ID, path: "/logs/" + a.DB().LogLink(kovra.LogKey{Kind: kovra.JobLog, Project: web, ID: j.ID})}
	w.readers = append(w.readers, r)
	w.connect(r)
}

// closeViewer closes one, cuts the connection of one, or lets all come back.
func (w *world) closeViewer() {
	if len(w.readers) == 0 {
		return
	}
	i := w.rnd.IntN(len(w.readers))
	switch w.rnd.IntN(3) {
	case 0:
		w.leave(i)
	case 1:
		w.readers[i].disconnect()
	default:
		for _, r := range w.readers {
			w.connect(r)
		}
	}
}

func (w *world) leave(i int) {
	w.readers[i].disconnect()
	w.gone = append(w.gone, w.readers[i])
	w.readers = slices.Delete(w.readers, i, i+1)
}

// leaveSome closes about half of the pages for good.
func (w *world) leaveSome() {
	for i := range slices.Backward(w.readers) {
		if w.rnd.IntN(2) == 0 {
			w.leave(i)
		}
	}
}

// readHalf opens the log of a job that runs, and leaves long before its end.
func (w *world) readHalf() {
	w.push()
	p := slices.MaxFunc(w.lab.Pipelines(web), func(a, b gitlabsim.PipelineState) int { return int(a.ID - b.ID) })
	_ = w.lab.Step(web, p.ID) // there may be nothing to start
	w.write()
	for _, j := range w.lab.Jobs(web, p.ID) {
		if j.Status == "running" {
			_ = w.lab.AppendTrace(j.ID, "one line\nand another\n") // it runs
			r := &logReader{job: j.ID, path: "/logs/" + w.app.DB().LogLink(kovra.LogKey{Kind: kovra.JobLog, Project: web, ID: j.ID})}
			w.readers = append(w.readers, r)
			w.connect(r)
			w.settle(10 * time.Second)
			w.leave(len(w.readers) - 1)
		}
	}
	w.settle(time.Minute) // nobody is taken for a reader any more who has left
}

// write lets a running job write some lines.
func (w *world) write() {
	p, ok := w.pick()
	if !ok {
		return
	}
	for _, j := range w.lab.Jobs(web, p.ID) {
		if j.Status != "running" {
			continue
		}
		var b strings.Builder
		have := strings.Count(j.Trace, "\n")
		for n := range 1 + w.rnd.IntN(30) {
			fmt.Fprintf(&b, "line %d of job %d\n", have+n+1, j.ID)
		}
		_ = w.lab.AppendTrace(j.ID, b.String()) // it may just have ended
	}
}

// erase takes the log of a job at GitLab.
func (w *world) erase() {
	p, ok := w.pick()
	if !ok {
		return
	}
	for _, j := range w.lab.Jobs(web, p.ID) {
		if j.Trace != "" && w.lab.EraseJob(j.ID) == nil {
			w.what.add("erase", 1)
			w.erased[j.ID] = j.Trace
			return
		}
	}
}

// peeked is what is kept of a log.
type peeked struct {
	Done  bool
	Lines int
	Note  string
	texts []string
}

// peek looks at a log without being a reader of it: as a program that makes previews of links.
func (w *world) peek(job int64) (peeked, error) {
	path := publicURL + "/logs/" + w.app.DB().LogLink(kovra.LogKey{Kind: kovra.JobLog, Project: web, ID: job})
	get := func(part string) (string, error) {
		q, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, path+part, nil)
		if err != nil {
			return "", err
		}
		q.Header.Set("User-Agent", "Slackbot-LinkExpanding 1.0")
		answer := httptest.NewRecorder()
		w.app.Handler().ServeHTTP(answer, q)
		if answer.Code != http.StatusOK {
			return "", fmt.Errorf("log of job %d: %d %s", job, answer.Code, answer.Body)
		}
		return answer.Body.String(), nil
	}
	var p peeked
	info, err := get("/info")
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal([]byte(info), &p); err != nil {
		return p, err
	}
	raw, err := get("/raw")
	if raw != "" {
		p.texts = strings.Split(strings.TrimSuffix(raw, "\n"), "\n")
	}
	return p, err
}

// truth is the log of a job as GitLab has it, or had it before it was erased.
func (w *world) truth(job int64) ([]string, error) {
	j, _ := w.lab.Job(job)
	trace := j.Trace
	if old, erased := w.erased[job]; erased {
		trace = old
	}
	var lines []string
	_, err := joblog.Cut(context.WithoutCancel(w.t.Context()), strings.NewReader(trace), joblog.Options{Each: func(l joblog.Line) error {
		lines = append(lines, l.Text)
		return nil
	}})
	return lines, err
}

// logProblems compares what is kept of the logs, and what readers saw, with what GitLab has.
func (w *world) logProblems(out *[]string) {
	for _, p := range w.lab.Pipelines(web) {
		for _, j := range w.lab.Jobs(web, p.ID) {
			w.logProblem(p.ID, j.ID, j.Status, out)
		}
	}
	for _, r := range append(w.gone, w.readers...) {
		want, err := w.truth(r.job)
		if err != nil {
			*out = append(*out, err.Error())
		}
		if !isPrefix(r.texts, want) {
			*out = append(*out, fmt.Sprintf("a reader of job %d saw %d lines that are not those of its log", r.job, len(r.texts)))
		}
		if _, erased := w.erased[r.job]; r.ended && !erased && len(r.texts) != len(want) {
			*out = append(*out, fmt.Sprintf("a reader of job %d was told the end after %d of %d lines", r.job, len(r.texts), len(want)))
		}
		if len(r.texts) > 0 && r.ended {
			w.what.add("reader who saw the end", 1)
		}
		for _, problem := range r.problems {
			*out = append(*out, fmt.Sprintf("a reader of job %d: %s", r.job, problem))
		}
	}
}

func (w *world) logProblem(pipeline, job int64, status string, out *[]string) {
	kept, err := w.peek(job)
	if err != nil {
		*out = append(*out, err.Error())
		return
	}
	want, err := w.truth(job)
	if err != nil {
		*out = append(*out, err.Error())
		return
	}
	name := fmt.Sprintf("the log of job %d of pipeline %d (%s)", job, pipeline, status)
	_, erased := w.erased[job]
	switch {
	case kept.Done && erased && len(want) > 0 && len(kept.texts) == len(want):
		w.what.add("log that outlived its erasure", 1)
	case kept.Done && len(want) > 0 && len(kept.texts) == len(want):
		w.what.add("log that is complete", 1)
	case len(kept.texts) > 0:
		w.what.add("log that nobody read to its end", 1)
	}
	switch {
	case kept.Lines != len(kept.texts):
		*out = append(*out, fmt.Sprintf("%s has %d lines and says %d", name, len(kept.texts), kept.Lines))
	case !isPrefix(kept.texts, want):
		*out = append(*out, fmt.Sprintf("%s differs:\n%q\n%q", name, kept.texts, want))
	case status == "failed" && !kept.Done:
		*out = append(*out, fmt.Sprintf("%s was not kept: %+v", name, kept))
	case kept.Done && !erased && len(kept.texts) != len(want):
		*out = append(*out, fmt.Sprintf("%s is complete with %d of %d lines", name, len(kept.texts), len(want)))
	}
}

func isPrefix(some, all []string) bool {
	return len(some) <= len(all) && slices.Equal(some, all[:len(some)])
}

// TestLogIsFetchedWhileRead counts how often GitLab is asked for the log of a running job:
// not before somebody reads it, seldom when nothing comes, and no more when nobody is left.
func TestLogIsFetchedWhileRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, &tally{count: map[string]int{}}, sabotage{})
		w.settle(time.Second)
		if _, err := w.slack.Slash(t.Context(), alice, deploys, "/kovra link web group/web"); err != nil {
			t.Fatal(err)
		}
		w.push()
		p, _ := w.pick()
		if err := w.lab.Step(web, p.ID); err != nil {
			t.Fatal(err)
		}
		_ = w.lab.SendAll(t.Context()) // it says what it could not deliver; here it can
		job := w.lab.Jobs(web, p.ID)[0].ID
		asked := func(d time.Duration) int {
			before := w.lab.TraceRequests(job)
			w.settle(d)
			return w.lab.TraceRequests(job) - before
		}
		if n := asked(10 * time.Minute); n != 0 {
			t.Errorf("nobody reads, and the log was fetched %d times", n)
		}
		r := &logReader{job: job, path: "/logs/" + w.app.DB().LogLink(kovra.LogKey{Kind: kovra.JobLog, Project: web, ID: job})}
		w.connect(r)
		if n := asked(time.Second); n != 1 {
			t.Errorf("opened, and fetched %d times", n)
		}
		if n := asked(5 * time.Minute); n < 8 || n > 20 {
			t.Errorf("in five minutes without a line it was fetched %d times", n)
		}
		w.write()
		w.settle(31 * time.Second)
		if len(r.texts) == 0 {
			t.Error("the line that was written at last did not come")
		}
		r.disconnect()
		w.settle(time.Minute)
		if n := asked(time.Hour); n != 0 {
			t.Errorf("an hour after the last reader left it was fetched %d more times", n)
		}
		w.connect(r)
		w.settle(5 * time.Second)
		if err := w.lab.FinishJob(job, "success", "", ""); err != nil {
			t.Fatal(err)
		}
		w.settle(time.Minute)
		if !r.ended {
			t.Error("the job has ended, and the reader does not know")
		}
		if n := asked(time.Hour); n != 0 {
			t.Errorf("the log is complete, and is fetched %d more times", n)
		}
		r.disconnect()
		w.stop()
	})
}

// endsOf reads the times at which GitLab's webhooks said that pipelines had ended.
func (w *world) endsOf() map[int64]map[string]bool {
	found := map[int64]map[string]bool{}
	for _, d := range w.lab.Deliveries() {
		var hook struct {
			Attributes struct {
				ID       int64  `json:"id"`
				Finished string `json:"finished_at"`
			} `json:"object_attributes"`
		}
		if json.Unmarshal(d.Body, &hook) != nil {
			continue
		}
		if at, err := time.Parse("2006-01-02 15:04:05 MST", hook.Attributes.Finished); err == nil {
			if found[hook.Attributes.ID] == nil {
				found[hook.Attributes.ID] = map[string]bool{}
			}
			found[hook.Attributes.ID][strconv.FormatInt(at.Unix(), 10)] = true
		}
	}
	return found
}

// ends are the times at which GitLab said that a pipeline had ended.
func (w *world) ends(pipeline int64) map[string]bool {
	found := maps.Clone(w.hooked[pipeline])
	if found == nil {
		found = map[string]bool{}
	}
	if p := w.lab.Pipeline(web, pipeline); !p.Finished.IsZero() {
		found[strconv.FormatInt(p.Finished.Unix(), 10)] = true
	}
	return found
}
