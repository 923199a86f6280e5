package dispatch

import (
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// What was lost while the program was down is found at its start, however short ago the
// project was read by the life before.
func TestProjectIsReadAgainAfterARestart(t *testing.T) {
	w := newWorld(t)
	w.link("web", web)
	read := func(d *Dispatch) int {
		t.Helper()
		w.calls = nil
		if after, err := d.Projects().Reconcile(t.Context(), web); err != nil || after <= 0 {
			t.Fatalf("after %v, error %v", after, err)
		}
		return len(w.calls)
	}
	first := w.dispatch()
	w.now = w.now.Add(time.Second)
	if read(first) == 0 {
		t.Error("not read at the start")
	}
	if read(first) != 0 {
		t.Error("read twice in a row")
	}
	w.now = w.now.Add(5 * time.Second)
	second := w.dispatch()
	w.now = w.now.Add(time.Second)
	if read(second) == 0 {
		t.Error("not read after a restart")
	}
	w.now = w.now.Add(5 * time.Minute)
	if read(second) == 0 {
		t.Error("not read after five minutes")
	}
}

// A project that comes back after a long time is not asked for all that happened meanwhile, and
// GitLab's clock, not ours, says from when on.
func TestLinkStartsAtGitLabsPresent(t *testing.T) {
	w := newWorld(t)
	w.update(func(tx *storage.Tx) error {
		long := morning.Add(-90 * 24 * time.Hour)
		return tx.SaveProject(kovra.Project{ID: web, Path: "group/web", Watermark: long, ReadAt: long, LinkedAt: long})
	})
	theirs := morning.Add(-10 * time.Minute) // our clock is ahead
	w.latest = []kovra.Run{
		{Project: web, Remote: 9, Status: kovra.Success, UpdatedAt: theirs.Add(-time.Hour)},
		{Project: web, Remote: 8, Status: kovra.Success, UpdatedAt: theirs},
	}
	var since time.Time
	w.changed = func(s time.Time) ([]kovra.Run, time.Time, error) { since = s; return nil, s, nil }
	d := w.dispatch()
	id := w.propose(kovra.Action{Kind: kovra.ActLink, App: "web", Channel: "C1", Params: kovra.Params{Project: "group/web"}})
	if _, err := d.Actions().Reconcile(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Projects().Reconcile(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	if want := theirs.Add(-overlap); !since.Equal(want) {
		t.Errorf("changes asked for since %v, want %v", since, want)
	}
}
