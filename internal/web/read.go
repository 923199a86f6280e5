package web

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

const (
	mostAnswer = 1 << 20 // bytes of one answer with lines, about; the page asks again for the others
	mostHits   = 500     // in one line
)

func (v *Viewer) info(w http.ResponseWriter, r *http.Request, log kovra.Log) error {
	out := infoOf(log)
	out.Sections = []sectionInfo{}
	if log.ID != 0 {
		sections, err := v.Logs.Sections(r.Context(), log.ID)
		if err != nil {
			return err
		}
		for _, s := range sections {
			out.Sections = append(out.Sections, sectionInfo(s))
		}
	}
	w.Header().Set("Content-Type", kindJSON)
	return v.send(w, r, append(out.json(), '\n'))
}

func (v *Viewer) lines(w http.ResponseWriter, r *http.Request, log kovra.Log) error {
	p, err := paramsOf(r)
	if err != nil {
		return err
	}
	hits, err := p.hits()
	if err != nil {
		return err
	}
	lines, err := v.linesOf(r.Context(), p, log)
	if err != nil {
		return err
	}
	b := []byte(`{"lines":[`)
	for i := range lines {
		if i > 0 {
			if len(b) >= mostAnswer {
				break
			}
			b = append(b, ',')
		}
		b = appendLine(b, &lines[i], hits(lines[i].Text))
	}
	b = append(b, `],"total":`...)
	b = strconv.AppendInt(b, int64(log.Lines), 10)
	w.Header().Set("Content-Type", kindJSON)
	return v.send(w, r, append(b, '}', '\n'))
}

// hits is a function that finds what is looked for in a line.
func (p params) hits() (func(string) [][2]int, error) {
	q, ok, err := p.query()
	if err != nil {
		return nil, err
	}
	if !ok {
		return func(string) [][2]int { return nil }, nil
	}
	m, err := storage.NewMatcher(q)
	if err != nil {
		return nil, err
	}
	return func(text string) [][2]int { return m.Find(text, mostHits) }, nil
}

func (v *Viewer) linesOf(ctx context.Context, p params, log kovra.Log) ([]kovra.LogLine, error) {
	if !p.Has("at") {
		from, n, err := p.span()
		if err != nil || log.ID == 0 || from > log.Lines {
			return nil, err
		}
		return v.Logs.Lines(ctx, log.ID, from, min(n, log.Lines+1-from))
	}
	if p.Has("from") || p.Has("n") {
		return nil, invalid("Give either at, or from and n.")
	}
	numbers, err := p.at()
	if err != nil || log.ID == 0 {
		return nil, err
	}
	for len(numbers) > 0 && numbers[len(numbers)-1] > log.Lines {
		numbers = numbers[:len(numbers)-1]
	}
	return v.Logs.LinesAt(ctx, log.ID, numbers)
}

func (v *Viewer) search(w http.ResponseWriter, r *http.Request, log kovra.Log) error {
	p, err := paramsOf(r)
	if err != nil {
		return err
	}
	q, ok, err := p.query()
	if err != nil {
		return err
	}
	if !ok {
		return invalid("q must be what to look for.")
	}
	if q.From, err = p.number("from", 1, 1, mostLine); err != nil {
		return err
	}
	if _, err := storage.NewMatcher(q); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	if r.Method == http.MethodHead {
		return nil
	}
	if err := unhurried(http.NewResponseController(w)); err != nil {
		return err
	}
	f := finding{Viewer: v, w: w, r: r}
	if log.ID != 0 {
		err = f.run(r.Context(), log.ID, q)
	}
	switch {
	case err == nil:
		return f.finish()
	case !f.begun || hasLeft(r, err):
		return err
	}
	if kovra.KindOf(err) != kovra.NotFound {
		v.Log.ErrorContext(r.Context(), "search cut short", "log", log.Key.String(), "err", err)
	}
	return v.send(w, r, errorJSON(refusalOf(err).text)) // it is too late for a status
}

// finding is one search and what came of it.
type finding struct {
	*Viewer
	w       http.ResponseWriter
	r       *http.Request
	buf     []byte
	begun   bool // something was sent
	scanned int
	matches int
}

// run sends part after part. While a part is on its way another search may have the turn.
func (f *finding) run(ctx context.Context, id int64, q storage.LogQuery) error {
	if err := f.enterSearch(ctx); err != nil {
		return err
	}
	turn := true
	defer func() {
		if turn {
			f.leaveSearch()
		}
	}()
	for hits, err := range f.Logs.Search(ctx, id, q) {
		if err != nil {
			return err
		}
		f.leaveSearch()
		turn = false
		if err := f.part(hits); err != nil {
			return err
		}
		if err := f.enterSearch(ctx); err != nil {
			return err
		}
		turn = true
	}
	return nil
}

func (f *finding) part(hits storage.LogHits) error {
	f.begun = true
	f.scanned = hits.Scanned
	f.matches += len(hits.Numbers)
	b := append(f.buf[:0], `{"numbers":[`...)
	for i, n := range hits.Numbers {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	b = append(b, `],"scanned":`...)
	b = strconv.AppendInt(b, int64(hits.Scanned), 10)
	f.buf = append(b, '}', '\n')
	if err := f.send(f.w, f.r, f.buf); err != nil {
		return err
	}
	return f.flush(f.w)
}

func (f *finding) finish() error {
	b := append(f.buf[:0], `{"done":true,"scanned":`...)
	b = strconv.AppendInt(b, int64(f.scanned), 10)
	b = append(b, `,"matches":`...)
	b = strconv.AppendInt(b, int64(f.matches), 10)
	return f.send(f.w, f.r, append(b, '}', '\n'))
}

func (v *Viewer) raw(w http.ResponseWriter, r *http.Request, log kovra.Log) error {
	p, err := paramsOf(r)
	if err != nil {
		return err
	}
	download, err := p.flag("download")
	if err != nil {
		return err
	}
	if r.Method == http.MethodGet && !isPreview(r) {
		if err := unhurried(http.NewResponseController(w)); err != nil {
			return err
		}
		if log, err = v.settled(r.Context(), log); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if download {
		w.Header().Set("Content-Disposition", `attachment; filename="`+fileName(log)+`"`)
	}
	if r.Method == http.MethodHead || log.ID == 0 {
		return nil
	}
	return v.text(r.Context(), w, r, log)
}

// text sends the plain text of the log.
func (v *Viewer) text(ctx context.Context, w http.ResponseWriter, r *http.Request, log kovra.Log) error {
	begun := false
	for text, err := range v.Logs.Text(ctx, log.ID) {
		if err != nil && begun && !hasLeft(r, err) {
			v.Log.ErrorContext(ctx, "raw log cut short", "log", log.Key.String(), "err", err)
			panic(http.ErrAbortHandler) // half a log must not look like a whole one
		}
		if err != nil {
			return err
		}
		begun = true
		if err := v.send(w, r, text); err != nil {
			return err
		}
	}
	return nil
}

// settled waits a while for a log that is being fetched because it was just asked for: who saves it
// wants to have it whole. Of a running job or build there is what there is.
func (v *Viewer) settled(ctx context.Context, log kovra.Log) (kovra.Log, error) {
	wait, cancel := context.WithTimeout(ctx, v.patience)
	defer cancel()
	for {
		status := log.Subject.Status
		running := status.Known() && !status.Final() && (log.Lines > 0 || status != kovra.Running)
		if log.Done || log.Truncated || log.Note != "" || running {
			return log, nil
		}
		next, err := v.Logs.Await(wait, log.ID, log.Version)
		if wait.Err() != nil {
			return log, ctx.Err()
		}
		if err != nil {
			return log, err
		}
		log = next
	}
}

// fileName names the file to be saved: letters and digits that every system can write. The name of a build has its number in it.
func fileName(log kovra.Log) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '_':
			return r
		}
		return '-'
	}, log.Subject.Name)
	if log.Key.Kind.Steps() {
		name = strings.Join(strings.FieldsFunc(name, func(r rune) bool { return r == '-' }), "-")
	}
	name = strings.Trim(name[:min(len(name), 80)], ".-")
	if name != "" && log.Key.Kind == kovra.BuildLog {
		return name + ".log"
	}
	if name == "" {
		name = string(log.Key.Kind)
	}
	return name + "-" + strconv.FormatInt(log.Key.ID, 10) + ".log"
}
