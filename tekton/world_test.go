package tekton_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/tektonsim"
	"kovra.dev/chatops/tekton"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	commit = "1a2b3c4d5e6f708192a3b4c5d6e7f80910111213"
	image  = "registry.example.com/team/web:1a2b3c4d"
	digest = "registry.example.com/team/web@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
)

// world is a client and the cluster it speaks to.
type world struct {
	t          *testing.T
	sim        *tektonsim.Server
	c          *tekton.Client
	kubeconfig string
}

func newWorld(t *testing.T, o tekton.Options) *world {
	t.Helper()
	return worldOf(t, o, tektonsim.Options{})
}

func worldOf(t *testing.T, o tekton.Options, so tektonsim.Options) *world {
	t.Helper()
	sim := tektonsim.New(so)
	sim.AddNamespace("kovra-builds")
	server := httptest.NewUnstartedServer(sim)
	server.EnableHTTP2 = true
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	t.Cleanup(sim.DropStreams)
	o.Kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := sim.WriteKubeconfig(o.Kubeconfig, server.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})); err != nil {
		t.Fatal(err)
	}
	if o.Poll == 0 {
		o.Poll = 2 * time.Millisecond
	}
	c, err := tekton.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t, sim, c, o.Kubeconfig}
}

// again is the same cluster, seen by a client with other options.
func (w *world) again(o tekton.Options) *world {
	w.t.Helper()
	o.Kubeconfig = w.kubeconfig
	c, err := tekton.New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	return &world{w.t, w.sim, c, w.kubeconfig}
}

func build(id int64) kovra.Build {
	return kovra.Build{
		ID: id, App: "web", Name: fmt.Sprintf("web-b%d-abcdefgh", id), Title: "Fix the door",
		Spec: kovra.BuildSpec{CloneURL: "https://gitlab.example.com/team/web.git", Branch: "main", Commit: commit, Image: image},
	}
}

func deployment(id int64) kovra.Deployment {
	return kovra.Deployment{
		ID: id, App: "web", Name: fmt.Sprintf("web-d%d-abcdefgh", id), Image: digest,
		Target: kovra.DeployTarget{Namespace: "prod", Deployment: "web"},
	}
}

func (w *world) start(b kovra.Build) {
	w.t.Helper()
	if err := w.c.StartBuild(w.t.Context(), b); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) look(r kovra.ClusterRef) kovra.ClusterRun {
	w.t.Helper()
	run, err := w.c.Look(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return run
}

// stepTo lets the cluster work until ok.
func (w *world) stepTo(what string, ok func() bool) {
	w.t.Helper()
	for range 500 {
		if ok() {
			return
		}
		w.sim.Step()
	}
	w.t.Fatalf("never: %s; runs %+v", what, w.sim.Runs())
}

// steps writes the steps of a run on one line.
func steps(run kovra.ClusterRun) string {
	var all []string
	for _, s := range run.Steps {
		all = append(all, s.Key()+"="+string(s.Status))
	}
	return strings.Join(all, " ")
}

// wantErr checks kind and sentence of an error.
func wantErr(t *testing.T, err error, kind kovra.ErrorKind, public string) {
	t.Helper()
	if err == nil || kovra.KindOf(err) != kind || !strings.Contains(kovra.PublicText(err), public) {
		t.Errorf("error is %v (kind %s, %q), want kind %s and %q", err, kovra.KindOf(err), kovra.PublicText(err), kind, public)
	}
}

// reader collects what Follow tells, as somebody who keeps it together with its cursor.
type reader struct {
	lines  []string
	cursor string
	stop   func(line string) bool // gives up after this line
}

var errEnough = errors.New("enough")

func (r *reader) each(l kovra.StepLine) error {
	text := l.Text
	if l.Begins {
		text = "== " + text
	}
	r.lines, r.cursor = append(r.lines, text), l.Cursor
	if r.stop != nil && r.stop(text) {
		return errEnough
	}
	return nil
}
