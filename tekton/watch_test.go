package tekton_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/tektonsim"
	"kovra.dev/chatops/tekton"
)

// told collects what a watch tells.
type told struct {
	mu   sync.Mutex
	refs []string
}

func (o *told) onChange(kind kovra.RefKind, id int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refs = append(o.refs, fmt.Sprint(kind, " ", id))
}

// wait waits until a reference was told since the last wait, and forgets what was told.
func (o *told) wait(t *testing.T, ref string) {
	t.Helper()
	for range 2000 {
		o.mu.Lock()
		found := slices.Contains(o.refs, ref)
		if found {
			o.refs = nil
		}
		o.mu.Unlock()
		if found {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("never told of %s", ref)
}

// watching runs a watch until the test ends.
func (w *world) watching() (*tekton.Watch, *told) {
	w.t.Helper()
	seen := &told{}
	watch := tekton.NewWatch(w.c, seen.onChange)
	done := make(chan error, 1)
	go func() { done <- watch.Run(w.t.Context()) }() // which ends before the clean-up
	w.t.Cleanup(func() {
		if err := <-done; err != nil {
			w.t.Errorf("the watch ended with %v", err)
		}
	})
	return watch, seen
}

func TestAWatchTellsWhoseRunChanged(t *testing.T) {
	w := newWorld(t, tekton.Options{})
	w.start(build(7))
	_, seen := w.watching()
	seen.wait(t, "build 7") // it was there before
	w.sim.Step()
	seen.wait(t, "build 7")
	d := deployment(3)
	d.Target.Container = "web"
	if err := w.c.StartDeployment(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	seen.wait(t, "deployment 3")
	w.sim.DeleteRun("kovra-builds", build(7).Name)
	seen.wait(t, "build 7")
}

func TestAWatchTakesMoreNamespacesWhileItRuns(t *testing.T) {
	w := newWorld(t, tekton.Options{})
	w.sim.AddNamespace("team-builds")
	watch, seen := w.watching()
	b := build(8)
	b.Spec.Namespace = "team-builds"
	w.start(b)
	watch.Add("team-builds", "", "kovra-builds", "team-builds")
	seen.wait(t, "build 8")
	w.sim.Step()
	seen.wait(t, "build 8")
}

func TestAWatchOutlivesOutages(t *testing.T) {
	for _, c := range []struct {
		name string
		play func(*tektonsim.Server)
	}{
		{"connections drop", (*tektonsim.Server).DropStreams},
		{"410 Gone", func(s *tektonsim.Server) { s.Forget() }},
		{"the API server is away", func(s *tektonsim.Server) {
			s.SetDown(true)
			time.Sleep(200 * time.Millisecond)
			s.SetDown(false)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tekton.Options{})
			_, seen := w.watching()
			w.start(build(7))
			seen.wait(t, "build 7")
			c.play(w.sim)
			w.start(build(9))
			seen.wait(t, "build 9")
			w.sim.Step()
			seen.wait(t, "build 9")
		})
	}
}

func TestAWatchThatMayNotWatchSaysSo(t *testing.T) {
	var log logBuffer
	w := newWorld(t, tekton.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	w.sim.Forbid("list", "pipelineruns")
	w.sim.Forbid("watch", "pipelineruns")
	_, seen := w.watching()
	for range 6000 {
		if strings.Contains(log.String(), `msg="cannot watch the cluster" namespace=kovra-builds resource=pipelineruns`) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if text := log.String(); !strings.Contains(text, "forbidden") {
		t.Errorf("logged %q", text)
	}
	w.sim.Allow("list", "pipelineruns")
	w.sim.Allow("watch", "pipelineruns")
	w.start(build(7))
	seen.wait(t, "build 7")
}

type logBuffer struct {
	mu  sync.Mutex
	all strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}
