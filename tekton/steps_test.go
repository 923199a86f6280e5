package tekton_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/tektonsim"
	"kovra.dev/chatops/tekton"
)

// logs of a short build.
var shortLogs = map[string][]string{
	"clone": {"c1", "c2"}, "detect": {"d1"}, "build": {"b1", "", "  b3\r", "b4 \x1b[31mred\x1b[0m \xff"}, "push": {"p1", "p2"},
}

var shortLog = []string{
	"== Step clone", "c1", "c2", "== Step detect", "d1",
	"== Step build", "b1", "", "  b3\r", "b4 \x1b[31mred\x1b[0m \xff", "== Step push", "p1", "p2",
}

// follow reads the log of a run to its end, from the cursor on, while the cluster works.
func (w *world) follow(r *reader, ref kovra.ClusterRef) error {
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	working, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for working.Err() == nil {
			if !w.sim.Step() {
				time.Sleep(time.Millisecond)
			}
		}
	}()
	err := w.c.Follow(ctx, ref, r.cursor, r.each)
	stop()
	<-done
	return err
}

func TestFollowTellsEveryLineInTheOrderOfTheSteps(t *testing.T) {
	w := newWorld(t, tekton.Options{})
	w.sim.Script("web", tektonsim.Scenario{Logs: shortLogs})
	b := build(7)
	w.start(b)
	var r reader
	if err := w.follow(&r, b.Ref()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(shortLog, r.lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := w.c.Follow(t.Context(), b.Ref(), r.cursor, r.each); err != nil || len(r.lines) != len(shortLog) {
		t.Errorf("read on from the end: %v, %d lines more", err, len(r.lines)-len(shortLog))
	}
}

func TestFollowReadsOnFromEveryLine(t *testing.T) {
	w := newWorld(t, tekton.Options{})
	w.sim.Script("web", tektonsim.Scenario{Logs: shortLogs})
	b := build(7)
	w.start(b)
	w.sim.Settle()
	var r reader
	for range len(shortLog) {
		n := len(r.lines)
		r.stop = func(string) bool { return len(r.lines) == n+1 }
		if err := w.c.Follow(t.Context(), b.Ref(), r.cursor, r.each); !errors.Is(err, errEnough) {
			t.Fatalf("after %d lines: %v", n, err)
		}
	}
	if diff := cmp.Diff(shortLog, r.lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFollowLosesAndDoublesNothingWhenConnectionsBreak(t *testing.T) {
	w := newWorld(t, tekton.Options{})
	var lines, want []string
	for i := range 60 {
		lines = append(lines, fmt.Sprintf("line %d", i))
	}
	want = append([]string{"== Step clone", "c"}, "== Step detect", "d", "== Step build")
	want = append(append(want, lines...), "== Step push", "p")
	w.sim.Script("web", tektonsim.Scenario{Logs: map[string][]string{"clone": {"c"}, "detect": {"d"}, "build": lines, "push": {"p"}}})
	for i := range 9 {
		w.sim.Fault(tektonsim.CutLog(i))
	}
	w.sim.Fault(tektonsim.LogWords("failed to create fsnotify watcher: too many open files"))
	b := build(7)
	w.start(b)
	var r reader
	if err := w.follow(&r, b.Ref()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, r.lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := w.sim.FaultCounts()["cut_log get pods/log"]; n != 9 {
		t.Errorf("%d logs were cut, want 9", n)
	}
}

func TestFollowOutlivesTheAPIServer(t *testing.T) {
	w := newWorld(t, tekton.Options{})
	w.sim.Script("web", tektonsim.Scenario{Logs: shortLogs, Hang: "build"})
	b := build(7)
	w.start(b)
	w.sim.Settle()
	r := reader{}
	r.stop = func(line string) bool {
		if line == "b1" {
			w.sim.SetDown(true)
		}
		return false
	}
	err := w.c.Follow(t.Context(), b.Ref(), "", r.each)
	wantErr(t, err, kovra.Unavailable, "could not be reached")
	w.sim.SetDown(false)
	w.sim.Release("")
	if err := w.follow(&r, b.Ref()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(shortLog, r.lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFollowOpensASilentLogAnew(t *testing.T) {
	w := newWorld(t, tekton.Options{Idle: time.Second})
	w.sim.Script("web", tektonsim.Scenario{Logs: shortLogs, Hang: "build"})
	b := build(7)
	w.start(b)
	w.sim.Settle()
	var r reader
	opened := func() int {
		n := 0
		for _, c := range w.sim.Calls() {
			if c.Resource == "pods/log" && strings.HasSuffix(c.Name, "build-and-push-pod") {
				n++
			}
		}
		return n
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.c.Follow(ctx, b.Ref(), "", r.each) }()
	for opened() < 3 && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	w.sim.Finish("")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(shortLog, r.lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestALogThatIsCancelledIsKeptUpToTheCancel(t *testing.T) {
	w := newWorld(t, tekton.Options{})
	w.sim.Script("web", tektonsim.Scenario{Logs: shortLogs, Hang: "build"})
	b := build(7)
	w.start(b)
	w.sim.Settle()
	var r reader
	r.stop = func(line string) bool {
		if strings.HasPrefix(line, "b4") {
			if err := w.c.Cancel(t.Context(), b.Ref()); err != nil {
				t.Error(err)
			}
		}
		return false
	}
	if err := w.follow(&r, b.Ref()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(shortLog[:10], r.lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatIsLostWithAPodIsTold(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(*world, string)
		from string // read up to this line before
		want []string
	}{
		{"never read", func(w *world, run string) { w.sim.DeletePods(run) }, "", []string{
			"== Step clone", "The pod is gone; what this step wrote is lost.", "== Step detect", "The pod is gone; what this step wrote is lost.",
			"== Step build", "The pod is gone; what this step wrote is lost.", "== Step push", "The pod is gone; what this step wrote is lost.",
		}},
		{"read in part", func(w *world, run string) { w.sim.DeletePods(run) }, "p1", append(append([]string{}, shortLog[:12]...), "The pod is gone; the end of what this step wrote may be missing.")},
		{"run deleted", func(w *world, run string) { w.sim.DeleteRun("kovra-builds", run) }, "p1", append(append([]string{}, shortLog[:12]...), "The PipelineRun is gone; the end of the log may be missing.")},
		{"TaskRuns deleted", func(w *world, run string) { w.sim.DeleteTaskRuns(run) }, "p1", append(append([]string{}, shortLog[:12]...), "The TaskRun is gone; the end of the log may be missing.")},
		{"run deleted, never read", func(w *world, run string) { w.sim.DeleteRun("kovra-builds", run) }, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, tekton.Options{})
			w.sim.Script("web", tektonsim.Scenario{Logs: shortLogs})
			b := build(7)
			w.start(b)
			w.sim.Settle()
			var r reader
			if c.from != "" {
				r.stop = func(line string) bool { return line == c.from }
				if err := w.c.Follow(t.Context(), b.Ref(), "", r.each); !errors.Is(err, errEnough) {
					t.Fatal(err)
				}
			}
			c.lose(w, b.Name)
			r.stop = nil
			for range 2 { // the second time tells nothing
				if err := w.c.Follow(t.Context(), b.Ref(), r.cursor, r.each); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(c.want, r.lines); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWordsOfTheKubeletAreNoLog(t *testing.T) {
	w := newWorld(t, tekton.Options{})
	w.sim.Script("web", tektonsim.Scenario{Logs: shortLogs})
	b := build(7)
	w.start(b)
	w.sim.Settle()
	w.sim.Fault(tektonsim.LogWords("unable to retrieve container logs for containerd://0123456789abcdef"))
	var r reader
	if err := w.c.Follow(t.Context(), b.Ref(), "", r.each); err != nil {
		t.Fatal(err)
	}
	want := append([]string{"== Step clone", "The pod is gone; what this step wrote is lost."}, shortLog[3:]...)
	if diff := cmp.Diff(want, r.lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFailedAndSkippedStepsAndAttempts(t *testing.T) {
	w := newWorld(t, tekton.Options{})
	w.sim.Script("web", tektonsim.Scenario{Logs: shortLogs, Fail: "build", Retries: 1})
	b := build(7)
	w.start(b)
	var r reader
	if err := w.follow(&r, b.Ref()); err != nil {
		t.Fatal(err)
	}
	want := append([]string{}, shortLog[:10]...)
	want = append(want, "== Step build, attempt 2")
	want = append(want, shortLog[6:10]...)
	want = append(want, "== Step push, attempt 2", "p1", "p2")
	if diff := cmp.Diff(want, r.lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestARotatedLogIsReadOn(t *testing.T) {
	w := newWorld(t, tekton.Options{})
	w.sim.Script("web", tektonsim.Scenario{Logs: map[string][]string{"clone": {"c1", "c2"}}, Hang: "clone"})
	b := build(7)
	w.start(b)
	w.sim.Settle()
	r := reader{stop: func(line string) bool { return line == "c2" }}
	if err := w.c.Follow(t.Context(), b.Ref(), "", r.each); !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	w.sim.Rotate(b.Name)
	w.sim.Write(b.Name, "clone", time.Time{}, "c3", "c4")
	r.stop = func(line string) bool { return line == "c4" }
	if err := w.c.Follow(t.Context(), b.Ref(), r.cursor, r.each); !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"== Step clone", "c1", "c2", "c3", "c4"}, r.lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Lines of one time, lines that come a little late, and lines of the second before.
func TestLinesAreToldOnceWhateverTheirTimes(t *testing.T) {
	w := newWorld(t, tekton.Options{})
	w.sim.Script("web", tektonsim.Scenario{Logs: map[string][]string{"clone": {}}, Hang: "clone"})
	b := build(7)
	w.start(b)
	w.sim.Settle()
	at := time.Now().Truncate(time.Second).Add(5 * time.Second)
	ms := func(n int) time.Time { return at.Add(time.Duration(n) * time.Millisecond) }
	var want []string
	for i, when := range []time.Time{ms(0), ms(0), ms(0), ms(990), ms(1010), ms(995), ms(1010), ms(1010), ms(1002), ms(3000), ms(2999), ms(3000)} {
		line := fmt.Sprintf("line %d", i)
		want = append(want, line)
		w.sim.Write(b.Name, "clone", when, line)
	}
	var r reader
	for range want {
		n := len(r.lines)
		r.stop = func(line string) bool { return len(r.lines) > n && !strings.HasPrefix(line, "==") }
		if err := w.c.Follow(t.Context(), b.Ref(), r.cursor, r.each); !errors.Is(err, errEnough) {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(append([]string{"== Step clone"}, want...), r.lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestALongLineIsToldInPieces(t *testing.T) {
	const mib = 1 << 20
	long := strings.Repeat("x", 2*mib) + "end"
	exact := strings.Repeat("y", mib)
	w := newWorld(t, tekton.Options{})
	w.sim.Script("web", tektonsim.Scenario{Logs: map[string][]string{"clone": {long, exact, "after"}, "detect": {}, "build": {}, "push": {}}})
	b := build(7)
	w.start(b)
	w.sim.Settle()
	var r reader
	for range 7 { // once for each line told, so that each piece is read on from
		n := len(r.lines)
		r.stop = func(string) bool { return len(r.lines) > n && n < 5 }
		if err := w.c.Follow(t.Context(), b.Ref(), r.cursor, r.each); err != nil && !errors.Is(err, errEnough) {
			t.Fatal(err)
		}
	}
	var got []int
	for _, line := range r.lines {
		got = append(got, len(line))
	}
	want := []int{len("== Step clone"), mib, mib, 3, mib, 5, len("== Step detect"), len("== Step build"), len("== Step push")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lengths (-want +got):\n%s", diff)
	}
}

func TestCursorsThatAreNone(t *testing.T) {
	w := newWorld(t, tekton.Options{})
	for _, cursor := range []string{"x", "a/b/c/d/e/f", "a/b/0/0/-1/open", "/b/0/0/0/open"} {
		err := w.c.Follow(t.Context(), kovra.ClusterRef{Name: "x"}, cursor, nil)
		wantErr(t, err, kovra.Invalid, "is no place in the log")
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	w := newWorld(t, tekton.Options{})
	w.sim.Script("web", tektonsim.Scenario{Logs: shortLogs, Hang: "build"})
	b := build(7)
	w.start(b)
	w.sim.Settle()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var r reader
	r.stop = func(line string) bool {
		if strings.HasPrefix(line, "b4") { // the last one before it hangs
			time.AfterFunc(50*time.Millisecond, cancel)
		}
		return false
	}
	if err := w.c.Follow(ctx, b.Ref(), "", r.each); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff(shortLog[:10], r.lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
