package tekton

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kovra.dev/chatops/internal/kovra"
)

// errBroken: the log ended in the middle, or was silent for too long. It is to be opened again.
var errBroken = errors.New("the log broke off")

// errGone: there is no pod, or no log of it, any more.
var errGone = errors.New("the log is gone")

// stream tells the lines of one step from the cursor on, to the end of the stream. While the step runs that says nothing about its own
// end. The last line counts, though it has no line feed, only when the step has ended.
func (f *follower) stream(ctx context.Context, a attempt) error {
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	watchdog := time.AfterFunc(f.c.o.Idle, cancel)
	defer watchdog.Stop()
	body, err := f.c.core.Pods(f.c.namespace(f.ref.Namespace)).GetLogs(a.pod, f.logOptions(a)).Stream(reading)
	if err != nil {
		return f.unopened(ctx, a, err)
	}
	defer func() { _ = body.Close() }() // it was only read
	err = f.tell(newLineReader(alive{body, watchdog, f.c.o.Idle}), a)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (f *follower) logOptions(a attempt) *corev1.PodLogOptions {
	o := &corev1.PodLogOptions{Container: a.container, Timestamps: true, Follow: a.state == runs}
	if !f.at.newest.IsZero() {
		since := metav1.NewTime(f.at.from())
		o.SinceTime = &since
	}
	return o
}

func (f *follower) unopened(ctx context.Context, a attempt, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case apierrors.IsNotFound(err):
		return errGone
	case errors.Is(err, context.Canceled): // the watchdog
		return kovra.Errorf(kovra.Unavailable, "The log of step %s could not be opened in time.", a.step)
	case isNotYet(err):
		return err
	default:
		return call{"read", "pods/log", "log", f.c.namespace(f.ref.Namespace), a.pod}.judge(err)
	}
}

// alive pushes the watchdog back whenever something is read.
type alive struct {
	io.Reader
	watchdog *time.Timer
	idle     time.Duration
}

// Read implements [io.Reader].
func (a alive) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if n > 0 {
		a.watchdog.Reset(a.idle)
	}
	return n, err
}

// tell tells what was not told before. Its error is the caller's, errBroken or errGone; nil when the stream came to its end.
func (f *follower) tell(lines *lineReader, a attempt) error {
	resume, seen, dropped, torn := f.at, counter{}, 0, false
	for {
		p, err := lines.next()
		switch {
		case p.isTrouble():
			return troubled(p)
		case p.text == "" && p.open, p.open && (a.state == runs || !errors.Is(err, io.EOF)):
			torn = p.text != "" // the start of a line that will come again
		default:
			if p.at.IsZero() {
				p.at = later(seen.newest, resume.newest)
			}
			seen.add(p.at)
			if dropped < resume.since && !p.at.After(resume.newest) {
				dropped++
				break
			}
			if told := f.line(p, seen); told != nil {
				return told
			}
		}
		if errors.Is(err, io.EOF) && !torn {
			return nil
		}
		if err != nil {
			f.whole = false
			return errBroken
		}
	}
}

// line tells one line and moves the cursor behind it.
func (f *follower) line(p piece, seen counter) error {
	next := f.at
	next.newest, next.since = seen.newest, seen.total()
	err := f.each(kovra.StepLine{Task: next.task, Step: next.step, Text: p.text, Cursor: next.String()})
	if err == nil {
		f.at = next
	}
	return err
}

// troubled judges what the API wrote in place of the log.
func troubled(p piece) error {
	if strings.HasPrefix(p.text, "unable to retrieve container logs for ") {
		return errGone // the container was removed; the pod may still be listed
	}
	return errBroken
}

func isGone(err error) bool { return errors.Is(err, errGone) }

// isNotYet reports whether a log could not be opened since its container has not started.
func isNotYet(err error) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	return ok && status.Status().Code == http.StatusBadRequest && strings.Contains(status.Status().Message, "is waiting to start")
}
