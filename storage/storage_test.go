package storage

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
)

func key(b byte) []byte { return slices.Repeat([]byte{b}, 32) }

// openAt opens a database and closes it at the end of the test.
func openAt(tb testing.TB, o Options) *DB {
	tb.Helper()
	db, err := Open(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return db
}

func openNew(tb testing.TB) *DB {
	tb.Helper()
	return openAt(tb, Options{Path: filepath.Join(tb.TempDir(), "state.db"), Key: [][]byte{key(1)}})
}

// until waits for a condition that another goroutine brings about.
func until(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); runtime.Gosched() {
		if time.Now().After(deadline) {
			tb.Fatalf("%s: not within 20 seconds", what)
		}
	}
}

// add is an update that leaves a trace: a delivery with that key.
func add(key string) func(*Tx) error {
	return func(tx *Tx) error {
		_, err := tx.AddDelivery(kovra.Delivery{Key: key, Kind: "Job Hook", Body: []byte("{}"), At: tx.now})
		return err
	}
}

// added returns the keys of all deliveries, sorted.
func added(tb testing.TB, db *DB) []string {
	tb.Helper()
	var keys []string
	err := db.Read(tb.Context(), func(tx *Tx) error {
		all, err := tx.Deliveries(DeliveryQuery{Limit: 10_000})
		for _, d := range all {
			keys = append(keys, d.Key)
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	slices.Sort(keys)
	return keys
}

func write(tb testing.TB, db *DB, fn func(*Tx) error) {
	tb.Helper()
	if err := db.Update(tb.Context(), fn); err != nil {
		tb.Fatal(err)
	}
}

func TestOpenPaths(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, path := range []string{
		"plain.db", "a b.db", "what?.db", "100%.db", "50%20off.db", "a#b.db", "a;b&c=d.db", "grüße 🙈.db", "it's.db", `a"b.db`, "a+b.db",
		":memory:", "file:x.db", "./dot.db",
		filepath.Join(dir, "abs ?%#.db"), "/" + filepath.Join(dir, "two slashes.db"),
	} {
		t.Run(path, func(t *testing.T) {
			for range 2 {
				db, err := Open(t.Context(), Options{Path: path})
				if err != nil {
					t.Fatal(err)
				}
				write(t, db, add("k"))
				if got := added(t, db); len(got) != 1 {
					t.Errorf("deliveries %v, want one", got)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := os.Stat(path); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("this is no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		o    Options
		want []string
	}{
		{"no folder", Options{Path: filepath.Join(dir, "missing", "x.db")}, []string{"missing/x.db", "no such file or directory"}},
		{"a folder", Options{Path: dir}, []string{dir, "unable to open"}},
		{"no path", Options{}, []string{"unable to open"}},
		{"another file", Options{Path: text}, []string{text, "not a database"}},
		{"short key", Options{Path: filepath.Join(dir, "x.db"), Key: [][]byte{key(1), []byte("short")}}, []string{"key 2", "5 bytes instead of 32"}},
		{"long key", Options{Path: filepath.Join(dir, "x.db"), Key: [][]byte{slices.Repeat([]byte{1}, 33)}}, []string{"key 1", "33 bytes instead of 32"}},
	} {
		db, err := Open(t.Context(), c.o)
		if err == nil {
			t.Errorf("%s: opened (%v)", c.name, db.Close())
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not say %q", c.name, err, want)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "x.db")); err == nil {
		t.Error("a wrong key left a file")
	}
}

func TestOpenRefusesNewerDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	db, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	write(t, db, add("k"))
	write(t, db, func(tx *Tx) error {
		_, err := tx.exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (900, 1)")
		return err
	})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Options{Path: path})
	if err == nil || !strings.Contains(err.Error(), "newer version of kovra (schema 900, this one knows ") || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(before, after) {
		t.Error("the refused database was written to")
	}
}

// TestCopiedFileHasAllCommits copies the files of a running database, as a power
// cut would leave them: what Update returned for is there.
func TestCopiedFileHasAllCommits(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	db := openAt(t, Options{Path: filepath.Join(dir, "state.db")})
	var want []string
	for i := range 20 {
		want = append(want, fmt.Sprintf("k%02d", i))
		write(t, db, add(want[i]))
	}
	for _, name := range []string{"state.db", "state.db-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := added(t, openAt(t, Options{Path: filepath.Join(copied, "state.db")}))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("deliveries (-want +got):\n%s", diff)
	}
}

func TestPragmas(t *testing.T) {
	db := openNew(t)
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "busy_timeout": "30000", "foreign_keys": "1"} {
		var got string
		write(t, db, func(tx *Tx) error { return tx.row("PRAGMA " + pragma).Scan(&got) })
		if got != want {
			t.Errorf("PRAGMA %s is %s, want %s", pragma, got, want)
		}
	}
}

const otherProcess = "KOVRA_TEST_REPLAY"

// TestReplayBesideServer replays dead letters from another process while this one writes.
func TestReplayBesideServer(t *testing.T) {
	if path := os.Getenv(otherProcess); path != "" {
		replayAll(t, path)
		return
	}
	path := filepath.Join(t.TempDir(), "state.db")
	db := openAt(t, Options{Path: path, Key: [][]byte{key(1)}})
	const dead = 20
	for i := range dead {
		write(t, db, add(fmt.Sprintf("dead%d", i)))
		write(t, db, func(tx *Tx) error { return tx.SettleDelivery(int64(i+1), kovra.DeliveryDead, "broken", 0) })
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestReplayBesideServer$", "-test.v")
	cmd.Env = append(os.Environ(), otherProcess+"="+path)
	ended := make(chan error, 1)
	var out []byte
	go func() {
		var err error
		out, err = cmd.CombinedOutput()
		ended <- err
	}()
	written := 0
	for running := true; running; written++ {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("the other process: %v\n%s", err, out)
			}
			running = false
		default:
		}
		write(t, db, func(tx *Tx) error { return tx.SaveApp(kovra.App{Name: fmt.Sprintf("app%d", written)}) })
	}
	var pending []kovra.Delivery
	err := db.Read(t.Context(), func(tx *Tx) (err error) {
		pending, err = tx.PendingDeliveries(100)
		return err
	})
	if err != nil || len(pending) != dead {
		t.Errorf("%d deliveries are pending, want %d (%v)", len(pending), dead, err)
	}
	t.Logf("%d updates beside the other process", written)
}

// replayAll is what the other process does.
func replayAll(t *testing.T, path string) {
	t.Helper()
	db := openAt(t, Options{Path: path})
	dead := kovra.DeliveryDead
	var all []kovra.Delivery
	err := db.Read(t.Context(), func(tx *Tx) (err error) {
		all, err = tx.Deliveries(DeliveryQuery{Outcome: &dead, Limit: 100})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		write(t, db, func(tx *Tx) error { return tx.ReplayDelivery(d.ID) })
	}
}

// TestDamagedRows: a row that cannot be read is an error that says so, not a panic
// and not an empty thing.
func TestDamagedRows(t *testing.T) {
	db := openNew(t)
	write(t, db, fill)
	for table, read := range map[string]func(*Tx) error{
		"projects": func(tx *Tx) error { _, err := tx.Project(7); return err },
		"runs":     func(tx *Tx) error { _, err := tx.Run(1); return err },
		"jobs":     func(tx *Tx) error { _, err := tx.Jobs(1); return err },
		"actions":  func(tx *Tx) error { _, err := tx.Action(1); return err },

		"builds":         func(tx *Tx) error { _, err := tx.Build(1); return err },
		"deployments":    func(tx *Tx) error { _, err := tx.Deployment(1); return err },
		"build_settings": func(tx *Tx) error { _, err := tx.BuildSettings("web"); return err },

		"subscriptions": func(tx *Tx) error { _, err := tx.Subscription(1); return err },
		"subjects":      func(tx *Tx) error { _, err := tx.Subject(1); return err },
		"homes":         func(tx *Tx) error { _, err := tx.Home(1); return err },
	} {
		write(t, db, func(tx *Tx) error { _, err := tx.exec("UPDATE " + table + " SET doc = '{'"); return err })
		if err := db.Read(t.Context(), read); err == nil || !strings.Contains(err.Error(), "decode") {
			t.Errorf("%s: error %v, want one that says decode", table, err)
		}
		write(t, db, func(tx *Tx) error { _, err := tx.exec("UPDATE " + table + " SET doc = x'00'"); return err })
		if err := db.Read(t.Context(), read); err == nil || kovra.KindOf(err) == kovra.NotFound {
			t.Errorf("%s: error %v, want one that says decode", table, err)
		}
	}
}

// fill makes one of everything: a run with a job, a child and a thread, an action.
func fill(tx *Tx) error {
	steps := []func() error{
		func() error { return tx.SaveProject(kovra.Project{ID: 7, Path: "group/web"}) },
		func() error { return tx.SaveApp(kovra.App{Name: "web", Project: 7}) },
		func() error { return tx.SaveSubscription(kovra.Subscription{App: "web", Channel: "C1"}) },
		func() error {
			_, _, err := tx.Observe(kovra.Observation{
				Run:  kovra.Run{Project: 7, Remote: 5, Ref: "main", Status: kovra.Running},
				Jobs: []kovra.Job{{ID: 51, Name: "build", Status: kovra.Running}},
			})
			return err
		},
		func() error {
			_, _, err := tx.Observe(kovra.Observation{
				Run:  kovra.Run{Project: 7, Remote: 6, Status: kovra.Running, Parent: kovra.Parent{Project: 7, Pipeline: 5}},
				Jobs: []kovra.Job{{ID: 61, Name: "child", Status: kovra.Running}},
			})
			return err
		},
		func() error { return tx.SaveSlot(1, kovra.Slot{Key: kovra.SlotCard, TS: "17.1"}) },
		func() error {
			_, _, err := tx.Propose(kovra.Action{Kind: kovra.ActCancel, App: "web", Run: 1, Lock: "l", ReplyURL: "https://reply.example"}, []byte("secret"))
			return err
		},
		func() error { return add("k")(tx) },
		func() error {
			return tx.SaveSubscription(kovra.Subscription{App: "web", Channel: "C3", Filter: kovra.Filter{Topics: kovra.Topics()}})
		},
		func() error {
			_, err := tx.ObserveSubject(kovra.Subject{Project: 7, Kind: kovra.SubjectTag, Key: "v1@c1", State: "created", MovedAt: tx.now})
			return err
		},
		func() error {
			return tx.Connect("U1", kovra.GitLabUser{ID: 5, Username: "ann"}, kovra.TokenPair{Access: "a"})
		},
		func() error { return tx.SetNotify("U1", kovra.NotifyAll) },
		func() error {
			a, _, err := tx.Propose(kovra.Action{Kind: kovra.ActRetry, App: "web", Run: 1, Lock: "w", By: kovra.Person{ID: "U1"}}, nil)
			return errors.Join(err, tx.WaitAction(a.ID))
		},
		func() error { return tx.LookAtHome(kovra.Home{User: "U1", App: "web"}) },
		func() error { return tx.SawHook(7, kovra.HookSight{Health: kovra.HealthGone}) },
		func() error { return tx.SawGitLabToken(kovra.TokenSight{ID: 1, Name: "kovra"}) },
		func() error {
			s := kovra.DefaultBuildSettings("web")
			s.Enabled, s.Tags = true, "v*"
			return tx.SaveBuildSettings(s, "c1")
		},
		func() error {
			_, err := tx.TakePush(kovra.Push{Project: 7, Ref: "main", Before: "c1", After: "c2"})
			return err
		},
		func() error {
			_, err := tx.AddDeployment(kovra.Deployment{Build: 1, App: "web", Target: kovra.DeployTarget{Namespace: "n", Deployment: "d"}})
			return err
		},
		func() error {
			_, err := tx.AddDeployment(kovra.Deployment{Build: 1, App: "web", Target: kovra.DeployTarget{Namespace: "n", Deployment: "d"}})
			return err
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// operations are all methods of Tx, each with what it needs from fill.
var operations = map[string]func(*Tx) error{
	"App":                 func(tx *Tx) error { _, err := tx.App("web"); return err },
	"Apps":                func(tx *Tx) error { _, err := tx.Apps(); return err },
	"AppsOfProject":       func(tx *Tx) error { _, err := tx.AppsOfProject(7); return err },
	"SaveApp":             func(tx *Tx) error { return tx.SaveApp(kovra.App{Name: "api"}) },
	"DeleteApp":           func(tx *Tx) error { return tx.DeleteApp("web") },
	"Project":             func(tx *Tx) error { _, err := tx.Project(7); return err },
	"SaveProject":         func(tx *Tx) error { return tx.SaveProject(kovra.Project{ID: 8}) },
	"LinkedProjects":      func(tx *Tx) error { _, err := tx.LinkedProjects(); return err },
	"Figures":             func(tx *Tx) error { _, err := tx.Figures(); return err },
	"Subscriptions":       func(tx *Tx) error { _, err := tx.Subscriptions(SubscriptionQuery{}); return err },
	"SaveSubscription":    func(tx *Tx) error { return tx.SaveSubscription(kovra.Subscription{App: "web", Channel: "C2"}) },
	"DeleteSubscriptions": func(tx *Tx) error { _, err := tx.DeleteSubscriptions("web", "C1", 0); return err },
	"PauseSubscriptions":  func(tx *Tx) error { return tx.PauseSubscriptions("C1", "gone") },
	"Channel":             func(tx *Tx) error { _, err := tx.Channel("C1"); return err },
	"SetChannelShared":    func(tx *Tx) error { return tx.SetChannelShared("C1", false, tx.now) },
	"AllowLogs":           func(tx *Tx) error { return tx.AllowLogs("C1", true) },
	"AddDelivery":         add("another"),
	"PendingDeliveries":   func(tx *Tx) error { _, err := tx.PendingDeliveries(9); return err },
	"SettleDelivery":      func(tx *Tx) error { return tx.SettleDelivery(1, kovra.DeliveryFolded, "", 7) },
	"Deliveries":          func(tx *Tx) error { _, err := tx.Deliveries(DeliveryQuery{Limit: 9}); return err },
	"Delivery":            func(tx *Tx) error { _, err := tx.Delivery(1); return err },
	"ReplayDelivery":      func(tx *Tx) error { return tx.ReplayDelivery(1) },
	"PruneHistory":        func(tx *Tx) error { _, err := tx.PruneHistory(tx.now); return err },
	"PruneDeliveries":     func(tx *Tx) error { _, err := tx.PruneDeliveries(tx.now); return err },
	"Run":                 func(tx *Tx) error { _, err := tx.Run(1); return err },
	"RunByRemote":         func(tx *Tx) error { _, err := tx.RunByRemote(7, 5); return err },
	"Runs":                func(tx *Tx) error { _, err := tx.Runs(RunQuery{Project: 7, Limit: 9}); return err },
	"QuietRuns":           func(tx *Tx) error { _, err := tx.QuietRuns(tx.now, 9); return err },
	"Jobs":                func(tx *Tx) error { _, err := tx.Jobs(1); return err },
	"Job":                 func(tx *Tx) error { _, err := tx.Job(7, 51); return err },
	"Children":            func(tx *Tx) error { _, err := tx.Children(1); return err },
	"Observe": func(tx *Tx) error {
		_, _, err := tx.Observe(kovra.Observation{
			Run:  kovra.Run{Project: 7, Remote: 9, Ref: "main", Status: kovra.Failed, FinishedAt: tx.now},
			Jobs: []kovra.Job{{ID: 91, Name: "build", Status: kovra.Failed}},
		})
		return err
	},
	"Observe again": func(tx *Tx) error {
		tx.now = tx.now.Add(time.Hour)
		_, _, err := tx.Observe(kovra.Observation{Run: kovra.Run{Project: 7, Remote: 5}})
		return err
	},
	"Observe child": func(tx *Tx) error {
		_, _, err := tx.Observe(kovra.Observation{Run: kovra.Run{Project: 7, Remote: 6, Status: kovra.Success, FinishedAt: tx.now}})
		return err
	},
	"SetExcerpt":   func(tx *Tx) error { return tx.SetExcerpt(7, 61, kovra.LogCut, kovra.Excerpt{}) },
	"SetDriven":    func(tx *Tx) error { return tx.SetDriven(1, 1) },
	"MarkStale":    func(tx *Tx) error { return tx.MarkStale(1) },
	"Forget":       func(tx *Tx) error { return tx.Forget(1) },
	"RenderAgain":  func(tx *Tx) error { return tx.RenderAgain(9, 9) },
	"View":         func(tx *Tx) error { _, err := tx.View(1); return err },
	"ThreadAt":     func(tx *Tx) error { _, err := tx.ThreadAt("C1", "17.1"); return err },
	"ThreadsOfRun": func(tx *Tx) error { _, err := tx.ThreadsOfRun(1); return err },
	"SaveSlot":     func(tx *Tx) error { return tx.SaveSlot(1, kovra.Slot{Key: "k"}) },
	"SetShown":     func(tx *Tx) error { return tx.SetShown(1, 1, 1) },
	"BreakThread":  func(tx *Tx) error { return tx.BreakThread(1, "gone") },
	"Propose": func(tx *Tx) error {
		_, _, err := tx.Propose(kovra.Action{Kind: kovra.ActRun, Lock: "other"}, []byte("s"))
		return err
	},
	"Action":          func(tx *Tx) error { _, err := tx.Action(1); return err },
	"Secret":          func(tx *Tx) error { _, err := tx.Secret(1); return err },
	"TryAction":       func(tx *Tx) error { return tx.TryAction(1, kovra.Params{}) },
	"UntryAction":     func(tx *Tx) error { return tx.UntryAction(1) },
	"FinishAction":    func(tx *Tx) error { return tx.FinishAction(1, kovra.ActionDone, kovra.Outcome{}) },
	"OperatorActions": func(tx *Tx) error { _, err := tx.OperatorActions(); return err },
	"OperatorTurn": func(tx *Tx) error {
		_, err := tx.OperatorTurn(kovra.Action{ID: 9, App: "web"}, true)
		return err
	},
	"FinishAction operator": func(tx *Tx) error {
		a, _, err := tx.Propose(kovra.Action{Kind: kovra.ActLink, App: "web", By: kovra.Person{Operator: "ci"}}, nil)
		if err != nil {
			return err
		}
		return tx.FinishAction(a.ID, kovra.ActionDone, kovra.Outcome{})
	},
	"OpenActions": func(tx *Tx) error { _, err := tx.OpenActions(kovra.ActCancel); return err },
	"Actions":     func(tx *Tx) error { _, err := tx.Actions(ActionQuery{Limit: 9}); return err },
	"MarkLate":    func(tx *Tx) error { return tx.MarkLate(1) },
	"ClaimAnswer": func(tx *Tx) error { _, err := tx.ClaimAnswer(1); return err },

	"Heeded":      func(tx *Tx) error { _, err := tx.Heeded("C1/17.1"); return err },
	"Asked":       func(tx *Tx) error { _, err := tx.Asked("l"); return err },
	"WaitAction":  func(tx *Tx) error { return tx.WaitAction(1) },
	"ClaimPrompt": func(tx *Tx) error { _, err := tx.ClaimPrompt(2); return err },
	"Propose waiting": func(tx *Tx) error {
		_, _, err := tx.Propose(kovra.Action{Kind: kovra.ActRetry, Lock: "w", By: kovra.Person{ID: "U1"}, ReplyURL: "https://reply.example"}, nil)
		return err
	},

	"Subscription":        func(tx *Tx) error { _, err := tx.Subscription(1); return err },
	"CheckSubscription":   func(tx *Tx) error { return tx.CheckSubscription(kovra.Subscription{App: "web", Channel: "C1"}) },
	"Subscriptions of it": func(tx *Tx) error { _, err := tx.Subscriptions(SubscriptionQuery{Project: 7}); return err },
	"TopicsOf":            func(tx *Tx) error { _, err := tx.TopicsOf(7); return err },
	"SaveSubscription, changed": func(tx *Tx) error {
		return tx.SaveSubscription(kovra.Subscription{ID: 1, App: "web", Channel: "C1", Filter: kovra.Filter{Quiet: true}, Paused: "gone"})
	},
	"Subject":      func(tx *Tx) error { _, err := tx.Subject(1); return err },
	"SubjectByKey": func(tx *Tx) error { _, err := tx.SubjectByKey(7, kovra.SubjectTag, "v1@c1"); return err },
	"SubjectView":  func(tx *Tx) error { _, err := tx.SubjectView(1, "web"); return err },
	"ObserveSubject": func(tx *Tx) error {
		_, err := tx.ObserveSubject(kovra.Subject{Project: 7, Kind: kovra.SubjectTag, Key: "v1@c1", State: "deleted", MovedAt: tx.now})
		return err
	},
	"PruneSubjects": func(tx *Tx) error { _, err := tx.PruneSubjects(tx.now); return err },

	"Account":    func(tx *Tx) error { _, err := tx.Account("U1"); return err },
	"AccountOf":  func(tx *Tx) error { _, _, err := tx.AccountOf(5); return err },
	"Accounts":   func(tx *Tx) error { _, err := tx.Accounts(); return err },
	"Connect":    func(tx *Tx) error { return tx.Connect("U1", kovra.GitLabUser{ID: 6}, kovra.TokenPair{}) },
	"SetTokens":  func(tx *Tx) error { return tx.SetTokens("U1", kovra.TokenPair{}) },
	"Tokens":     func(tx *Tx) error { _, _, err := tx.Tokens("U1"); return err },
	"Disconnect": func(tx *Tx) error { _, err := tx.Disconnect("U1"); return err },
	"SealAgain":  func(tx *Tx) error { _, err := tx.SealAgain(); return err },
	"SetNotify":  func(tx *Tx) error { return tx.SetNotify("U1", kovra.NotifyOff) },
	"Match":      func(tx *Tx) error { _, _, err := tx.Match(5); return err },
	"SaveMatch":  func(tx *Tx) error { return tx.SaveMatch(kovra.Match{GitLab: 9}) },
	"Matched":    func(tx *Tx) error { return tx.Matched(1) },
	"Observe own": func(tx *Tx) error {
		_, _, err := tx.Observe(kovra.Observation{Run: kovra.Run{Project: 7, Remote: 9, Ref: "x", By: kovra.GitLabUser{ID: 5}, Status: kovra.Running, CreatedAt: tx.now}})
		return err
	},
	"WatchRun":       func(tx *Tx) error { _, err := tx.WatchRun(1, "web", "U1"); return err },
	"WatchBuild":     func(tx *Tx) error { _, err := tx.WatchBuild(1, "web", "U1"); return err },
	"SawHook":        func(tx *Tx) error { return tx.SawHook(7, kovra.HookSight{Health: kovra.HealthDisabled}) },
	"Hooks":          func(tx *Tx) error { _, err := tx.Hooks(); return err },
	"HookHealth":     func(tx *Tx) error { _, err := tx.HookHealth(); return err },
	"GitLabToken":    func(tx *Tx) error { _, err := tx.GitLabToken(); return err },
	"SawGitLabToken": func(tx *Tx) error { return tx.SawGitLabToken(kovra.TokenSight{ID: 1, Expires: tx.now.Add(time.Hour)}) },
	"Notice":         func(tx *Tx) error { _, err := tx.Notice(1); return err },
	"TellNotice":     func(tx *Tx) error { return tx.TellNotice(1, []string{"U1"}) },
	"PruneNotices":   func(tx *Tx) error { return tx.PruneNotices(tx.now) },
	"Home":           func(tx *Tx) error { _, err := tx.Home(1); return err },
	"HomeOf":         func(tx *Tx) error { _, err := tx.HomeOf("U1"); return err },
	"LookAtHome":     func(tx *Tx) error { return tx.LookAtHome(kovra.Home{User: "U2", App: "web"}) },
	"SetHomeShown":   func(tx *Tx) error { return tx.SetHomeShown(1, 1, "h", "d") },

	"Build":          func(tx *Tx) error { _, err := tx.Build(1); return err },
	"Builds":         func(tx *Tx) error { _, err := tx.Builds(BuildQuery{App: "web", Limit: 9}); return err },
	"OpenBuilds":     func(tx *Tx) error { _, err := tx.OpenBuilds(); return err },
	"LastDeployable": func(tx *Tx) error { _, err := tx.LastDeployable("web", 2); return err },
	"AddBuild": func(tx *Tx) error {
		_, _, err := tx.AddBuild(kovra.NewBuild(kovra.DefaultBuildSettings("web"), 7, "main", false, kovra.Commit{SHA: "c9"}), "", true)
		return err
	},
	"SaveBuild": func(tx *Tx) error {
		return tx.SaveBuild(&kovra.Build{ID: 1, App: "web", Status: kovra.BuildSucceeded, Phase: kovra.PhaseEnded, Spec: kovra.BuildSpec{Branch: "main"}})
	},
	"TakeTurn":         func(tx *Tx) error { _, err := tx.TakeTurn(1, 4); return err },
	"SetBuildDriven":   func(tx *Tx) error { return tx.SetBuildDriven(1, 1) },
	"ThreadsOfBuild":   func(tx *Tx) error { _, err := tx.ThreadsOfBuild(1); return err },
	"BuildView":        func(tx *Tx) error { _, err := tx.BuildView(1); return err },
	"Deployment":       func(tx *Tx) error { _, err := tx.Deployment(1); return err },
	"DeploymentsOf":    func(tx *Tx) error { _, err := tx.DeploymentsOf(1); return err },
	"DeploymentsOfApp": func(tx *Tx) error { _, err := tx.DeploymentsOfApp("web", 9); return err },
	"PushedAfter": func(tx *Tx) error {
		a, err := tx.Build(1)
		b := a
		b.Spec.Commit = "another"
		_, after := tx.PushedAfter(a, b)
		return errors.Join(err, after)
	},
	"LastDeployment":  func(tx *Tx) error { _, err := tx.LastDeployment("web"); return err },
	"OpenDeployments": func(tx *Tx) error { _, err := tx.OpenDeployments(); return err },
	"AddDeployment":   func(tx *Tx) error { _, err := tx.AddDeployment(kovra.Deployment{Build: 1, App: "web"}); return err },
	"SaveDeployment": func(tx *Tx) error {
		return tx.SaveDeployment(&kovra.Deployment{ID: 1, Build: 1, Status: kovra.BuildFailed})
	},
	"SetDeploymentDriven": func(tx *Tx) error { return tx.SetDeploymentDriven(1, 1) },
	"BuildSettings":       func(tx *Tx) error { _, err := tx.BuildSettings("web"); return err },
	"SaveBuildSettings": func(tx *Tx) error {
		return tx.SaveBuildSettings(kovra.BuildSettings{App: "web", Enabled: true, Branch: "main"}, "c9")
	},
	"BuildHead":       func(tx *Tx) error { _, err := tx.BuildHead("web"); return err },
	"RereadProject":   func(tx *Tx) error { return tx.RereadProject(7) },
	"TakePush":        taking(kovra.Push{Ref: "main", Before: "c2", After: "c3"}),
	"TakePush older":  taking(kovra.Push{Ref: "main", Before: "c0", After: "c1"}),
	"TakePush jump":   taking(kovra.Push{Ref: "main", Before: "c7", After: "c8"}),
	"TakePush read":   taking(kovra.Push{Ref: "main", After: "c8", Read: true}),
	"TakePush tag":    taking(kovra.Push{Ref: "v1", After: "c2", Tag: true}),
	"SaveApp another": func(tx *Tx) error { return tx.SaveApp(kovra.App{Name: "web", Project: 8}) },
}

// taking folds a push of project 7.
func taking(p kovra.Push) func(*Tx) error {
	p.Project = 7
	return func(tx *Tx) error { _, err := tx.TakePush(p); return err }
}

// closedStmt is a statement that always fails.
func closedStmt(t *testing.T, c *conn) *sql.Stmt {
	t.Helper()
	s, err := c.PrepareContext(t.Context(), "SELECT 1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return s
}

// statements returns the queries that an operation uses, in a transaction that is undone.
func statements(t *testing.T, db *DB, op func(*Tx) error) []string {
	t.Helper()
	c, err := newConn(t.Context(), db.sql)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.ExecContext(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	if err := op(&Tx{db: db, conn: c, ctx: t.Context(), now: db.now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	var queries []string
	for q := range c.prepared {
		queries = append(queries, q)
	}
	slices.Sort(queries)
	return queries
}

// TestEveryStatementMayFail lets each statement of each operation fail: the error
// comes out, and nothing of the operation stays.
func TestEveryStatementMayFail(t *testing.T) {
	db := openNew(t)
	write(t, db, fill)
	state := func() (all []kovra.Ref) {
		for ref, err := range db.Dirty(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, ref)
		}
		return all
	}
	before := state()
	for name, op := range operations {
		queries := statements(t, db, op)
		if len(queries) == 0 {
			t.Errorf("%s uses no statement", name)
		}
		for _, q := range queries {
			err := db.Update(t.Context(), func(tx *Tx) error {
				good := tx.conn.prepared[q]
				defer func() {
					if delete(tx.conn.prepared, q); good != nil {
						tx.conn.prepared[q] = good
					}
				}()
				tx.conn.prepared[q] = closedStmt(t, tx.conn)
				return op(tx)
			})
			if err == nil {
				t.Errorf("%s succeeds although this failed: %s", name, q)
			}
			if kind := kovra.KindOf(err); kind == kovra.NotFound {
				t.Errorf("%s takes a failure for nothing found: %s", name, q)
			}
		}
	}
	if diff := cmp.Diff(before, state()); diff != "" {
		t.Errorf("what is to be done changed (-before +after):\n%s", diff)
	}
	if got := added(t, db); len(got) != 1 {
		t.Errorf("deliveries: %v", got)
	}
}

func TestDirtyFails(t *testing.T) {
	db := openNew(t)
	write(t, db, fill)
	write(t, db, func(tx *Tx) error { _, err := tx.exec("ALTER TABLE threads RENAME TO gone"); return err })
	var failed []error
	for ref, err := range db.Dirty(t.Context()) {
		if err != nil {
			failed = append(failed, err)
		} else if ref.Kind == kovra.RefAction {
			t.Error("goes on after an error")
		}
	}
	if len(failed) != 1 || !strings.Contains(failed[0].Error(), "threads") {
		t.Errorf("errors %v, want one about threads", failed)
	}
}

// TestMissingTables: a statement that cannot be prepared is an error that names it.
func TestMissingTables(t *testing.T) {
	db := openNew(t)
	write(t, db, func(tx *Tx) error {
		_, err := tx.exec("DROP TABLE apps")
		return err
	})
	for _, name := range []string{"App", "Apps", "SaveApp"} {
		err := db.Update(t.Context(), operations[name])
		if err == nil || !strings.Contains(err.Error(), "apps") || kovra.KindOf(err) == kovra.NotFound {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
