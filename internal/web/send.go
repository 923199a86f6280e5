package web

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
)

// pieceBytes is how much a reader has to take before its deadline is moved on.
const pieceBytes = 64 << 10

// send writes b, piece by piece, to a reader that may be slow but has to take each piece
// in time. Its error is [errLeft].
func (v *Viewer) send(w http.ResponseWriter, r *http.Request, b []byte) error {
	if r.Method == http.MethodHead {
		return nil
	}
	control := http.NewResponseController(w)
	for len(b) > 0 {
		piece := b[:min(len(b), pieceBytes)]
		if err := v.extend(control); err != nil {
			return err
		}
		if err := r.Context().Err(); err != nil {
			return errors.Join(errLeft, err)
		}
		if _, err := w.Write(piece); err != nil { //nolint:gosec // its type, which browsers may not guess at, is not HTML; the page itself is fixed
			return errors.Join(errLeft, err)
		}
		b = b[len(piece):]
	}
	return nil
}

// flush sends what is still in buffers.
func (v *Viewer) flush(w http.ResponseWriter) error {
	control := http.NewResponseController(w)
	if err := v.extend(control); err != nil {
		return err
	}
	if err := control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return errors.Join(errLeft, err)
	}
	return nil
}

// extend gives the reader time for the next piece.
func (v *Viewer) extend(control *http.ResponseController) error {
	if err := control.SetWriteDeadline(time.Now().Add(v.writeFor)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return errors.Join(errLeft, err)
	}
	return nil
}

// unhurried takes away the deadline in which the server wants to have read a request: it
// would end an answer that takes longer.
func unhurried(control *http.ResponseController) error {
	if err := control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("clear read deadline: %w", err)
	}
	return nil
}

var zippers = sync.Pool{New: func() any {
	z, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err) // unreachable: the level exists
	}
	return z
}}

// compressed packs good answers for those who can unpack them: JSON of lines becomes a
// tenth, which a phone feels.
func (v *Viewer) compressed(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept-Encoding")
		if r.Method == http.MethodHead || !acceptsGzip(r) {
			next(w, r)
			return
		}
		z := &zipped{ResponseWriter: w}
		next(z, r) // after a panic what was written must not look whole: nothing is deferred
		z.close()
	}
}

// acceptsGzip reports whether the client takes gzip, as RFC 9110 has it.
func acceptsGzip(r *http.Request) bool {
	for _, list := range r.Header.Values("Accept-Encoding") {
		for one := range strings.SplitSeq(list, ",") {
			name, params, _ := strings.Cut(one, ";")
			if name = strings.TrimSpace(name); !strings.EqualFold(name, "gzip") && !strings.EqualFold(name, "x-gzip") {
				continue
			}
			weight, ok := strings.CutPrefix(strings.ToLower(strings.ReplaceAll(params, " ", "")), "q=")
			q, err := strconv.ParseFloat(weight, 64)
			return !ok || err == nil && q > 0
		}
	}
	return false
}

// zipped is a writer that packs. Refusals, which are short, are left as they are.
type zipped struct {
	http.ResponseWriter
	gz      *gzip.Writer
	started bool
}

// Unwrap lets deadlines be set.
func (z *zipped) Unwrap() http.ResponseWriter { return z.ResponseWriter }

// WriteHeader decides whether to pack.
func (z *zipped) WriteHeader(status int) {
	if !z.started && status == http.StatusOK {
		z.Header().Set("Content-Encoding", "gzip")
		z.Header().Del("Content-Length")
		z.gz = zippers.Get().(*gzip.Writer) //nolint:forcetypeassert // the pool holds nothing else
		z.gz.Reset(z.ResponseWriter)
	}
	z.started = true
	z.ResponseWriter.WriteHeader(status)
}

// Write packs b.
func (z *zipped) Write(b []byte) (int, error) {
	if !z.started {
		z.WriteHeader(http.StatusOK)
	}
	if z.gz == nil {
		return z.ResponseWriter.Write(b)
	}
	return z.gz.Write(b)
}

// FlushError sends all that was written.
func (z *zipped) FlushError() error {
	if z.gz != nil {
		if err := z.gz.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(z.ResponseWriter).Flush()
}

func (z *zipped) close() {
	if z.gz == nil {
		return
	}
	_ = z.gz.Close() // fails when the reader has left
	z.gz.Reset(nil)  // the pool must not hold on to a connection
	zippers.Put(z.gz)
}
