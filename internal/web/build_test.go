package web

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
)

// keepSteps makes a log of steps as it is while they run, and returns the address of its page.
func (w *world) keepSteps(key kovra.LogKey, subject kovra.LogSubject) (kovra.Log, string) {
	w.Helper()
	log, err := w.logs.Keep(w.Context(), key, subject)
	w.must(err)
	w.add(log.ID,
		kovra.LogLine{N: 1, Text: "clone", Header: true, Depth: 1},
		kovra.LogLine{N: 2, Text: "Cloning into '/workspace/source'...", Depth: 1},
		kovra.LogLine{N: 3, Text: "build", Header: true, Depth: 1},
		kovra.LogLine{N: 4, Text: "STEP 1/5: FROM golang:1.25", Depth: 1},
	)
	return log, w.server.URL + "/logs/" + w.db.LogLink(key)
}

func (w *world) infoAt(url string) info {
	w.Helper()
	res, body := w.ask(http.MethodGet, url+"/info")
	if res.StatusCode != http.StatusOK {
		w.Fatalf("%s: %s", res.Status, body)
	}
	var got info
	w.must(json.Unmarshal([]byte(body), &got))
	return got
}

// buildOf is build 12 of web in a status.
func buildOf(status kovra.BuildStatus, started time.Time) kovra.Build {
	b := kovra.NewBuild(kovra.DefaultBuildSettings("web"), 7, "main", false, kovra.Commit{SHA: "c0ffee0123456789c0ffee0123456789c0ffee01"})
	b.ID, b.Status, b.StartedAt = 12, status, started
	return b
}

func TestBuildLog(t *testing.T) {
	w := newWorld(t).serve()
	b := buildOf(kovra.BuildBuilding, w.now().Add(-time.Minute))
	_, url := w.keepSteps(b.LogKey(), b.LogSubject())
	got := w.infoAt(url)
	want := info{
		Kind: kovra.BuildLog, Name: "web · build #12", Status: kovra.Running, Shown: "Building", Ref: "main", Commit: b.Spec.Commit, Lines: 4,
		Sections: []sectionInfo{{From: 1, To: 2, Depth: 1}, {From: 3, To: 4, Depth: 1, Open: true}},
	}
	got.Started, got.Version, got.Bytes = "", 0, 0
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("info (-want +got):\n%s", diff)
	}
	if res, body := w.ask(http.MethodGet, url); res.StatusCode != http.StatusOK || !strings.Contains(body, "<!doctype html>") {
		t.Errorf("the page: %s", res.Status)
	}
	res, body := w.ask(http.MethodGet, url+"/raw?download=1")
	if got := res.Header.Get("Content-Disposition"); got != `attachment; filename="web-build-12.log"` || !strings.HasPrefix(body, "clone\n") {
		t.Errorf("download: %q, %q", got, body)
	}
	if w.kicks() == 0 {
		t.Error("nobody is told that somebody reads")
	}
}

// TestLogWords: builds and deployments stand in words of their own.
func TestLogWords(t *testing.T) {
	w := newWorld(t).serve()
	d := kovra.Deployment{ID: 3, Build: 12, App: "web", Target: kovra.DeployTarget{Namespace: "prod", Deployment: "web"}}
	for _, tt := range []struct {
		status            kovra.BuildStatus
		build, deployment kovra.Shown
	}{
		{kovra.BuildPending, "Pending", "Pending"},
		{kovra.BuildBuilding, "Building", "Rolling out"},
		{kovra.BuildSucceeded, "Succeeded", "Rolled out"},
		{kovra.BuildFailed, "Failed", "Failed"},
		{kovra.BuildCancelled, "Cancelled", "Cancelled"},
	} {
		b := buildOf(tt.status, time.Time{})
		d.Status = tt.status
		for key, what := range map[kovra.LogKey]struct {
			subject kovra.LogSubject
			want    kovra.Shown
		}{
			b.LogKey(): {b.LogSubject(), tt.build},
			d.LogKey(): {d.LogSubject(), tt.deployment},
			testKey:    {kovra.LogSubject{Status: tt.status.Status()}, tt.status.Status().Shown()},
		} {
			log, err := w.logs.Keep(t.Context(), key, what.subject)
			w.must(err)
			w.must(w.logs.Note(t.Context(), log.ID, func(l *kovra.Log) { l.Subject = what.subject }))
			if got := w.infoAt(w.server.URL + "/logs/" + w.db.LogLink(key)); got.Shown != what.want || got.Kind != key.Kind {
				t.Errorf("%s, %s: shown as %q, want %q", key, tt.status, got.Shown, what.want)
			}
		}
	}
	got := w.infoAt(w.server.URL + "/logs/" + w.db.LogLink(d.LogKey()))
	if got.Name != "web · deploy to prod/web" || got.Build != 12 {
		t.Errorf("got %+v", got)
	}
	if d.Kind = kovra.RollBack; d.LogSubject().Name != "web · roll back prod/web" {
		t.Errorf("a roll back: %q", d.LogSubject().Name)
	}
}

// TestBuildLogGoesOn: a stream stays while the build runs, tells how it stands, and ends with it.
func TestBuildLogGoesOn(t *testing.T) {
	w := newWorld(t).serve()
	b := buildOf(kovra.BuildBuilding, w.now())
	log, url := w.keepSteps(b.LogKey(), b.LogSubject())
	r, err := w.connectTo(t.Context(), url+"/stream?after=4")
	w.must(err)
	want := func(name, data string) {
		t.Helper()
		if e := r.until(name); !strings.Contains(e.data, data) {
			t.Errorf("%s: %s, want %s in it", name, e.data, data)
		}
	}
	want("info", `"shown":"Building"`)
	w.add(log.ID, kovra.LogLine{N: 5, Text: "push", Header: true, Depth: 1})
	want("line", `{"n":5,"stream":"O","text":"push","header":true,"depth":1}`)
	b.End(kovra.BuildSucceeded, "", "", w.now())
	w.must(w.logs.Note(t.Context(), log.ID, func(l *kovra.Log) { l.Subject = b.LogSubject() }))
	want("info", `"shown":"Succeeded"`)
	w.must(w.logs.Note(t.Context(), log.ID, func(l *kovra.Log) { l.Done = true }))
	want("end", `{"lines":5}`)
}

// TestBuildLogIsGone: nobody else has it.
func TestBuildLogIsGone(t *testing.T) {
	w := newWorld(t).serve()
	b := buildOf(kovra.BuildFailed, w.now())
	b.FinishedAt = w.now()
	s := b.LogSubject()
	s.URL = "https://gitlab.example/group/web/-/commit/c0ffee"
	_, url := w.keepSteps(b.LogKey(), s)
	w.pass(91 * 24 * time.Hour)
	res, body := w.ask(http.MethodGet, url)
	if res.StatusCode != http.StatusGone || !strings.Contains(body, "Build or deploy again") || strings.Contains(body, "job") ||
		!strings.Contains(body, `<a href="https://gitlab.example/group/web/-/commit/c0ffee" rel="noreferrer">View in GitLab</a>`) {
		t.Errorf("%s: %s", res.Status, body)
	}
}

// TestLinksOfKinds: the link of a build opens neither the job nor the deployment of its number.
func TestLinksOfKinds(t *testing.T) {
	w := newWorld(t).serve()
	keys := []kovra.LogKey{{Kind: kovra.JobLog, Project: 7, ID: 12}, {Kind: kovra.BuildLog, Project: 7, ID: 12}, {Kind: kovra.DeploymentLog, ID: 12}}
	for _, key := range keys {
		_, err := w.logs.Keep(t.Context(), key, kovra.LogSubject{Name: string(key.Kind)})
		w.must(err)
	}
	for _, key := range keys {
		if got := w.infoAt(w.server.URL + "/logs/" + w.db.LogLink(key)); got.Name != string(key.Kind) || got.Kind != key.Kind {
			t.Errorf("%s opens %+v", key, got)
		}
	}
}
