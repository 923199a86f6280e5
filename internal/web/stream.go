package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

const (
	batchLines = 200
	batchBytes = 32 << 10
	mostKept   = 128 << 10 // capacity of a buffer that is worth keeping
)

// batches are buffers for events. A stream has one only while it sends.
var batches = sync.Pool{New: func() any { return new([]byte) }}

// stream is one reader of a log that may still grow. It is served by the goroutine of its
// request and holds no lines between two batches.
type stream struct {
	*Viewer
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	cancel  context.CancelFunc

	log  kovra.Log // as last seen
	told kovra.Log // as the reader knows it
	sent int       // number of the last line that was sent, or skipped
	skip int       // more lines behind than this are skipped; 0: none
	beat time.Time // when to show the next sign of life
}

// stream sends the lines of a log as they come (server-sent events).
func (v *Viewer) stream(w http.ResponseWriter, r *http.Request, log kovra.Log) error {
	s := &stream{Viewer: v, w: w, control: http.NewResponseController(w), log: log, told: log}
	hello := "retry: 2000\n\n"
	p, err := paramsOf(r)
	if err != nil {
		return err
	}
	if s.sent, err = p.number("after", 0, 0, mostLine); err != nil {
		return err
	}
	if s.skip, err = p.number("skip", 0, 0, mostLine); err != nil {
		return err
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		n, ok := digits(last, mostLine)
		if ok {
			s.sent = n
		} else {
			hello += ": Last-Event-ID is not the number of a line and was ignored\n\n"
		}
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	s.r, s.cancel = r.WithContext(ctx), cancel
	if err := unhurried(s.control); err != nil {
		return err
	}
	if err := v.streams.enter(s); err != nil {
		return err
	}
	defer v.streams.leave(s)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy must not collect lines
	if r.Method == http.MethodHead {
		return nil
	}
	err = s.run(ctx, hello)
	if err != nil && !hasLeft(s.r, err) && kovra.KindOf(err) != kovra.NotFound {
		v.Log.ErrorContext(ctx, "stream failed", "log", log.Key.String(), "err", err)
	}
	return nil // the answer has begun; who is still there asks again
}

func (s *stream) run(ctx context.Context, hello string) error {
	// What changed between the page's look at the log and now is told first.
	if err := s.write(appendInfo([]byte(hello), s.log)); err != nil {
		return err
	}
	s.beat = time.Now().Add(s.Heartbeat)
	if s.log.ID == 0 { // a preview
		return s.write(appendEnd(nil, 0))
	}
	for {
		if err := s.catchUp(ctx); err != nil {
			return err
		}
		if !sameInfo(s.log, s.told) {
			s.told = s.log
			if err := s.write(appendInfo(nil, s.log)); err != nil {
				return err
			}
		}
		if s.log.Done {
			return s.write(appendEnd(nil, s.log.Lines))
		}
		if err := s.wait(ctx); err != nil {
			return err
		}
	}
}

// wait returns when there is news. Meanwhile it shows signs of life.
func (s *stream) wait(ctx context.Context) error {
	for {
		if err := s.heartbeat(ctx); err != nil {
			return err
		}
		until, cancel := context.WithDeadline(ctx, s.beat)
		log, err := s.Logs.Await(until, s.log.ID, s.log.Version)
		late := until.Err() != nil
		cancel()
		if err == nil {
			s.log = log
			return nil
		}
		if ctx.Err() != nil || !late {
			return err
		}
	}
}

// shut reports whether the reader may not read the log any more.
func (s *stream) shut() bool {
	if s.Readers == nil {
		return false
	}
	err := s.Readers.MayReadLog(s.r, s.log.Key)
	kind := kovra.KindOf(err)
	return err != nil && (kind == kovra.Denied || kind == kovra.Unconnected)
}

// heartbeat, when it is due, shows the reader that we live and the store that the reader does.
func (s *stream) heartbeat(ctx context.Context) error {
	if time.Now().Before(s.beat) {
		return nil
	}
	s.beat = time.Now().Add(s.Heartbeat)
	if s.shut() {
		return errLeft // who asks again is told why
	}
	if !isPreview(s.r) {
		if _, err := s.Logs.Touch(ctx, s.log.Key); err != nil {
			return err
		}
	}
	return s.write([]byte(": ping\n\n"))
}

// catchUp sends the lines that the reader does not have yet.
func (s *stream) catchUp(ctx context.Context) error {
	if s.sent >= s.log.Lines {
		return nil
	}
	hold := batches.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer func() {
		if cap(*hold) <= mostKept {
			batches.Put(hold)
		}
	}()
	for s.sent < s.log.Lines {
		if err := s.heartbeat(ctx); err != nil {
			return err
		}
		var err error
		if *hold, err = s.batch(ctx, (*hold)[:0]); err != nil {
			return err
		}
		if err := s.write(*hold); err != nil {
			return err
		}
		if s.skip == 0 {
			continue
		}
		// How far behind a slow reader is shows only in the log as it is by now.
		if s.log, err = s.Logs.Log(ctx, s.log.ID); err != nil {
			return err
		}
	}
	return nil
}

// batch appends the next events. When it returns nothing holds on to the lines, which
// would keep whole blocks of the store in memory while a slow reader takes its time.
func (s *stream) batch(ctx context.Context, b []byte) ([]byte, error) {
	if to := s.log.Lines - s.skip; s.skip > 0 && s.sent < to {
		b = appendSkip(b, s.sent+1, to)
		s.sent = to
	}
	lines, err := s.Logs.Lines(ctx, s.log.ID, s.sent+1, min(batchLines, s.log.Lines-s.sent))
	if err != nil {
		return b, err
	}
	if len(lines) == 0 {
		return b, errShort
	}
	for i := range lines {
		if len(b) >= batchBytes {
			break
		}
		b = appendEvent(b, "line", lines[i].N)
		b = append(appendLine(b, &lines[i], nil), '\n', '\n')
		s.sent = lines[i].N
	}
	return b, nil
}

var errShort = errors.New("the log has fewer lines than it says")

func (s *stream) write(b []byte) error {
	if err := s.send(s.w, s.r, b); err != nil {
		return err
	}
	return s.flushNow()
}

// flushNow is as flush, and gives up at once when the stream was stopped.
func (s *stream) flushNow() error {
	if err := s.extend(s.control); err != nil {
		return err
	}
	if err := s.r.Context().Err(); err != nil {
		return errors.Join(errLeft, err)
	}
	if err := s.control.Flush(); err != nil {
		return errors.Join(errLeft, err)
	}
	return nil
}

func appendEvent(b []byte, name string, id int) []byte {
	b = append(b, "event: "...)
	b = append(b, name...)
	if id > 0 {
		b = append(b, "\nid: "...)
		b = strconv.AppendInt(b, int64(id), 10)
	}
	return append(b, "\ndata: "...)
}

func appendInfo(b []byte, log kovra.Log) []byte {
	b = append(appendEvent(b, "info", 0), infoOf(log).json()...)
	return append(b, '\n', '\n')
}

func appendSkip(b []byte, from, to int) []byte {
	b = append(appendEvent(b, "skip", to), `{"from":`...)
	b = strconv.AppendInt(b, int64(from), 10)
	b = append(b, `,"to":`...)
	b = strconv.AppendInt(b, int64(to), 10)
	return append(b, '}', '\n', '\n')
}

func appendEnd(b []byte, lines int) []byte {
	b = append(appendEvent(b, "end", 0), `{"lines":`...)
	b = strconv.AppendInt(b, int64(lines), 10)
	return append(b, '}', '\n', '\n')
}
