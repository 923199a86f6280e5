package tektonsim

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// stream is the answer to a watch or a followed log.
type stream struct {
	w     http.ResponseWriter
	epoch int
	end   <-chan time.Time
}

func (st stream) flush() { _ = http.NewResponseController(st.w).Flush() }

func (s *Server) serveWatch(w http.ResponseWriter, r *http.Request, q request) {
	match, err := matcher(r, q)
	if err != nil {
		s.refuse(w, apierrors.NewBadRequest(err.Error()))
		return
	}
	s.mu.Lock()
	st := stream{w: w, epoch: s.epoch}
	from, bad := s.watchFrom(r, q)
	initial := r.URL.Query().Get("sendInitialEvents") == "true"
	var first []object
	if initial || from == 0 {
		first, from = q.table.all(), s.version
	}
	s.mu.Unlock()
	if bad != nil {
		s.refuse(w, bad)
		return
	}
	if seconds, err := strconv.Atoi(r.URL.Query().Get("timeoutSeconds")); err == nil && seconds > 0 {
		timer := time.NewTimer(time.Duration(seconds) * time.Second)
		defer timer.Stop()
		st.end = timer.C
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	enc := json.NewEncoder(w)
	for _, o := range first {
		if match(o) {
			_ = enc.Encode(map[string]any{"type": watch.Added, "object": o})
		}
	}
	if initial {
		_ = enc.Encode(map[string]any{"type": watch.Bookmark, "object": map[string]any{
			"kind": q.table.kind, "apiVersion": q.table.gv(),
			"metadata": map[string]any{"resourceVersion": fmt.Sprint(from), "annotations": map[string]string{metav1.InitialEventsAnnotationKey: "true"}},
		}})
	}
	s.pump(r, q, st, from, match, enc)
}

// watchFrom is the version after which changes are told; 0: tell all there is first.
func (s *Server) watchFrom(r *http.Request, q request) (int64, *apierrors.StatusError) {
	v := r.URL.Query().Get("resourceVersion")
	if v == "" || v == "0" {
		return 0, nil
	}
	from, err := strconv.ParseInt(v, 10, 64)
	switch {
	case err != nil:
		return 0, apierrors.NewBadRequest("Invalid value: " + v)
	case from < q.table.forgotten:
		return 0, apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", from, q.table.forgotten))
	default:
		return from, nil
	}
}

// pump tells changes until the client goes, the time is up or streams are dropped.
func (s *Server) pump(r *http.Request, q request, st stream, from int64, match func(object) bool, enc *json.Encoder) {
	for {
		s.mu.Lock()
		changed, dropped := s.changed, s.epoch != st.epoch
		var news []event
		for _, e := range q.table.events {
			if e.version > from {
				news = append(news, e)
			}
		}
		s.mu.Unlock()
		if dropped {
			panic(http.ErrAbortHandler)
		}
		for _, e := range news {
			from = e.version
			if kind, ok := e.seenBy(match); ok && enc.Encode(map[string]any{"type": kind, "object": e.object}) != nil {
				return
			}
		}
		st.flush()
		select {
		case <-changed:
		case <-st.end:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// seenBy is what a change is to a watch that sees a part of the objects alone.
func (e event) seenBy(match func(object) bool) (watch.EventType, bool) {
	now, before := match(e.object) && e.kind != watch.Deleted, e.before != nil && match(e.before)
	switch {
	case now && before:
		return watch.Modified, true
	case now:
		return watch.Added, true
	case before:
		return watch.Deleted, true
	default:
		return "", false
	}
}

// stepLog is what one container has written.
type stepLog struct {
	lines   []logLine
	rotated int // lines that are gone from the file
	open    bool
}

type logLine struct {
	at   time.Time
	text string
}

func (s *Server) serveLog(w http.ResponseWriter, r *http.Request, q request) {
	query := r.URL.Query()
	s.mu.Lock()
	pod := get[*corev1.Pod](s, "", "pods", q.key())
	log := s.logs[q.key()+"/"+query.Get("container")]
	st := stream{w: w, epoch: s.epoch}
	cut, word := s.logFault()
	s.mu.Unlock()
	switch {
	case pod == nil:
		s.refuse(w, apierrors.NewNotFound(q.table.gr(), q.name))
		return
	case !hasContainer(pod, query.Get("container")):
		s.refuse(w, apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", query.Get("container"), q.name)))
		return
	case log == nil:
		s.refuse(w, apierrors.NewBadRequest(fmt.Sprintf("container %q in pod %q is waiting to start: PodInitializing", query.Get("container"), q.name)))
		return
	}
	var since time.Time
	if v := query.Get("sinceTime"); v != "" {
		at, err := time.Parse(time.RFC3339, v)
		if err != nil || at.Nanosecond() != 0 {
			s.refuse(w, apierrors.NewBadRequest("invalid sinceTime: the API knows whole seconds"))
			return
		}
		since = at
	}
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusOK)
	if word != "" {
		_, _ = io.WriteString(w, word) // the client may be gone
		return
	}
	s.pumpLog(r, st, log, logQuery{since: since, stamps: query.Get("timestamps") == "true", follow: query.Get("follow") == "true", cut: cut})
}

type logQuery struct {
	since          time.Time
	stamps, follow bool
	cut            int // lines after which the connection breaks; -1: never
}

func (s *Server) pumpLog(r *http.Request, st stream, log *stepLog, q logQuery) {
	told := 0
	s.mu.Lock()
	next := log.rotated
	s.mu.Unlock()
	for {
		s.mu.Lock()
		changed, open, dropped := s.changed, log.open, s.epoch != st.epoch
		fresh := log.lines[min(next, len(log.lines)):]
		next = len(log.lines)
		s.mu.Unlock()
		if dropped {
			panic(http.ErrAbortHandler)
		}
		for _, line := range fresh {
			if line.at.Before(q.since) {
				continue
			}
			if told == q.cut {
				// In the middle of a line, as a broken connection is.
				text := line.form(q.stamps)
				_, _ = io.WriteString(st.w, text[:len(text)/2])
				st.flush()
				panic(http.ErrAbortHandler)
			}
			told++
			if _, err := io.WriteString(st.w, line.form(q.stamps)); err != nil {
				return
			}
		}
		st.flush()
		if !q.follow || !open {
			return
		}
		if !await(r.Context(), changed) {
			return
		}
	}
}

func (l logLine) form(stamps bool) string {
	if !stamps {
		return l.text + "\n"
	}
	return l.at.UTC().Format(time.RFC3339Nano) + " " + l.text + "\n"
}

func hasContainer(pod *corev1.Pod, name string) bool {
	for _, c := range pod.Spec.Containers {
		if c.Name == name {
			return true
		}
	}
	return false
}
