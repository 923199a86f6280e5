package storage

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
)

// restored is a database that was put back from a backup and is not started yet, and the one that went on meanwhile.
func restored(t *testing.T) (db, lost *DB) {
	t.Helper()
	lost = lived(t)
	write(t, lost, underWay)
	write(t, lost, func(tx *Tx) error { // it is no copy itself
		_, err := tx.exec("DELETE FROM meta")
		return err
	})
	to := filepath.Join(t.TempDir(), "copy.db")
	if _, err := Backup(t.Context(), pathOf(t, lost), to); err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return dumpedAt.Add(24 * time.Hour) }
	return openAt(t, Options{Path: to, Key: [][]byte{key(9)}, Lock: true, Now: now}), lost
}

// underWay has things asked for and not done: a deployment of each kind, an action that was tried, a comment.
func underWay(tx *Tx) error {
	s, err := tx.BuildSettings("web")
	if err != nil {
		return err
	}
	s.AutoDeploy, s.Target = true, kovra.DeployTarget{Namespace: "n", Deployment: "d"}
	made, err := tx.AddDeployment(kovra.Deployment{Build: 1, App: "web", Kind: kovra.Deploy, Target: s.Target})
	if err != nil {
		return err
	}
	made.Phase = kovra.PhaseMade
	tried, _, err := tx.Propose(kovra.Action{Kind: kovra.ActRun, App: "web", Lock: "", By: kovra.Person{ID: "U2"}}, []byte("secret"))
	if err != nil {
		return err
	}
	_, noComment := tx.AddDelivery(kovra.Delivery{Key: "note", Kind: "Note Hook", Body: []byte("{}"), At: tx.now})
	_, noPush := tx.AddDelivery(kovra.Delivery{Key: "push", Kind: "Push Hook", Body: []byte("{}"), At: tx.now})
	return errors.Join(tx.SaveBuildSettings(s, "c2"), tx.SaveDeployment(&made), tx.TryAction(tried.ID, kovra.Params{Ref: "main"}), noComment, noPush)
}

// begin starts with a restored database.
func begin(t *testing.T, db *DB) (r kovra.Restore, first bool) {
	t.Helper()
	write(t, db, func(tx *Tx) (err error) {
		r, first, err = tx.BeginRestored()
		return err
	})
	return r, first
}

func TestBeginRestored(t *testing.T) {
	db, lost := restored(t)
	r, first := begin(t, db)
	if !first || time.Since(r.Since) > time.Minute || !r.At.Equal(db.Now()) {
		t.Errorf("%+v, %t", r, first)
	}
	if again, second := begin(t, db); second {
		t.Errorf("at the next start: %+v", again)
	}
	if of, first := begin(t, lost); first {
		t.Errorf("the one that was copied: %+v", of)
	}
	err := db.Read(t.Context(), func(tx *Tx) error {
		got, was, err := tx.Restored()
		if !was || !got.Since.Equal(r.Since) || !got.At.Equal(r.At) {
			t.Errorf("%+v, %t", got, was)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRestoredDoesNothingTwice: what was under way when the backup was made may have been done since.
func TestRestoredDoesNothingTwice(t *testing.T) {
	db, _ := restored(t)
	begin(t, db)
	err := db.Read(t.Context(), func(tx *Tx) error {
		actions, noActions := tx.Actions(ActionQuery{Limit: 100})
		states := map[kovra.ActionState]int{}
		for _, a := range actions {
			states[a.State]++
			if !a.Answered || a.State == kovra.ActionFailed && a.Outcome.Reason != kovra.SaysRestored {
				t.Errorf("%+v", a)
			}
			if secret, err := tx.Secret(a.ID); err != nil || secret != nil {
				t.Errorf("action %d keeps a secret: %v", a.ID, err)
			}
		}
		if diff := cmp.Diff(map[kovra.ActionState]int{kovra.ActionDone: 1, kovra.ActionFailed: 3}, states); diff != "" {
			t.Errorf("actions (-want +got):\n%s", diff)
		}
		deployments, noDeployments := tx.DeploymentsOf(1)
		var statuses []kovra.BuildStatus
		for _, d := range deployments {
			statuses = append(statuses, d.Status)
		}
		if diff := cmp.Diff([]kovra.BuildStatus{kovra.BuildCancelled, kovra.BuildCancelled, kovra.BuildPending}, statuses); diff != "" {
			t.Errorf("deployments, of which the last was made (-want +got):\n%s", diff)
		}
		s, noSettings := tx.BuildSettings("web")
		if !s.Paused || s.PausedSince() != "the database was restored from a backup" {
			t.Errorf("%+v", s)
		}
		head, noHead := tx.BuildHead("web")
		if head != "c2" {
			t.Errorf("the branch is known at %q", head)
		}
		pending, noDeliveries := tx.PendingDeliveries(10)
		if len(pending) != 1 || pending[0].Kind != "Push Hook" {
			t.Errorf("webhooks to look at: %+v", pending)
		}
		return errors.Join(noActions, noDeployments, noSettings, noHead, noDeliveries)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRestoredGivesNoNumberTwice: whatever the lost life has numbered keeps its number for itself, so that no link, button,
// lock or PipelineRun of it means something else now.
func TestRestoredGivesNoNumberTwice(t *testing.T) {
	db, lost := restored(t)
	begin(t, db)
	numbers := map[*DB]map[string]int64{}
	var link string
	for _, d := range []*DB{lost, db} {
		write(t, d, func(tx *Tx) error {
			run, _, noRun := tx.Observe(kovra.Observation{Run: kovra.Run{Project: 7, Remote: 99, Ref: "main", Status: kovra.Running}})
			act, _, noAct := tx.Propose(kovra.Action{Kind: kovra.ActRetry, App: "web", Run: run.ID}, nil)
			build, _, noBuild := tx.AddBuild(kovra.NewBuild(kovra.DefaultBuildSettings("web"), 7, "main", false, kovra.Commit{SHA: "beef"}), "", false)
			dep, noDep := tx.AddDeployment(kovra.Deployment{Build: build.ID, App: "web"})
			noSub := tx.SaveSubscription(kovra.Subscription{App: "web", Channel: "C9"})
			subs, noSubs := tx.Subscriptions(SubscriptionQuery{Channel: "C9"})
			numbers[d] = map[string]int64{"run": run.ID, "action": act.ID, "build": build.ID, "deployment": dep.ID, "subscription": subs[0].ID}
			if d == lost {
				link = d.LogLink(build.LogKey())
			}
			return errors.Join(noRun, noAct, noBuild, noDep, noSub, noSubs)
		})
	}
	for what, n := range numbers[lost] {
		if numbers[db][what] < n+100 {
			t.Errorf("%s: the lost life gave %d, the restored one %d", what, n, numbers[db][what])
		}
	}
	if k, ok := db.OpenLink(link); !ok || k.ID != numbers[lost]["build"] || k.Kind != kovra.BuildLog {
		t.Errorf("a link of the lost life opens %+v, %t", k, ok)
	}
}

// TestRestoredTwice: the second life that begins from one backup gets none of the numbers of the first.
func TestRestoredTwice(t *testing.T) {
	path := pathOf(t, lived(t))
	next := map[string]int64{}
	for _, after := range []time.Duration{time.Hour, 2 * time.Hour} {
		to := filepath.Join(t.TempDir(), "copy.db")
		if _, err := Backup(t.Context(), path, to); err != nil {
			t.Fatal(err)
		}
		db := openAt(t, Options{Path: to, Key: [][]byte{key(9)}, Now: func() time.Time { return time.Now().Add(after) }})
		begin(t, db)
		for _, s := range skipped {
			var seq int64
			if err := db.sql.QueryRowContext(t.Context(), "SELECT seq FROM sqlite_sequence WHERE name = ?", s.table).Scan(&seq); err != nil {
				t.Fatal(err)
			}
			if least := next[s.table] + int64(time.Hour/s.every); seq < least {
				t.Errorf("%s after %s: %d, want at least %d", s.table, after, seq, least)
			}
			next[s.table] = seq
		}
	}
}

// TestCopyOfACopy: what was lost reaches back to the first copy.
func TestCopyOfACopy(t *testing.T) {
	path := pathOf(t, lived(t)) // it is marked: a copy of dumpedAt
	to := filepath.Join(t.TempDir(), "copy.db")
	if _, err := Backup(t.Context(), path, to); err != nil {
		t.Fatal(err)
	}
	if r, first := begin(t, openAt(t, Options{Path: to, Key: [][]byte{key(9)}})); !first || !r.Since.Equal(dumpedAt) {
		t.Errorf("%+v, %t", r, first)
	}
}

// TestRestoreOverAKilledServer: a server that was killed leaves its write-ahead log, and only the database is replaced. The
// log of the lost database does not get into the backup.
func TestRestoreOverAKilledServer(t *testing.T) {
	lost := openNew(t)
	write(t, lost, add("before"))
	backup := filepath.Join(t.TempDir(), "backup.db")
	if _, err := Backup(t.Context(), pathOf(t, lost), backup); err != nil {
		t.Fatal(err)
	}
	write(t, lost, fill)
	path := filepath.Join(t.TempDir(), "kovra.db")
	for from, to := range map[string]string{backup: path, pathOf(t, lost) + "-wal": path + "-wal", pathOf(t, lost) + "-shm": path + "-shm"} {
		text, err := os.ReadFile(from)
		if err != nil || len(text) == 0 {
			t.Fatalf("%s: %d bytes, %v", from, len(text), err)
		}
		if err := os.WriteFile(to, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := SchemaOf(t.Context(), path); err != nil || s.Have != newestSchema(t) {
		t.Errorf("%+v, %v", s, err)
	}
	db := openAt(t, Options{Path: path, Lock: true})
	if diff := cmp.Diff([]string{"before"}, added(t, db)); diff != "" {
		t.Errorf("webhooks (-want +got):\n%s", diff)
	}
	if err := check(t.Context(), db.sql); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path + "-wal"); err != nil { // of its own
		t.Error(err)
	}
}
