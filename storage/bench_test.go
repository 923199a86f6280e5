package storage

import (
	"context"
	"errors"
	flags "flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

const (
	// benchRuns is how many runs a full benchmark stores; KOVRA_BENCH_RUNS has the last word.
	benchRuns = 1_000_000
	onceRuns  = 100_000 // where each benchmark runs but once, to show that it does
	shortRuns = 20_000  // with -short
	fewRuns   = 1_000   // what the many are compared with
	fillBatch = 50_000  // rows of one commit while a file is filled
)

func manyRuns(b *testing.B) int {
	b.Helper()
	if s := os.Getenv("KOVRA_BENCH_RUNS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < fewRuns {
			b.Fatalf("KOVRA_BENCH_RUNS is %q, want a number of at least %d", s, fewRuns)
		}
		return n
	}
	switch {
	case testing.Short():
		return shortRuns
	case flags.Lookup("test.benchtime").Value.String() == "1x":
		return onceRuns
	default:
		return benchRuns
	}
}

// fillRuns stores n pipelines that have ended, nine of ten in project 7, a third
// of them of main. state 'open' makes them moving and in doubt instead.
func fillRuns(b *testing.B, db *DB, n int, open bool) {
	b.Helper()
	doc, err := encode(kovra.Run{
		IID: 123456, Ref: "feature/some-change", SHA: "0123456789abcdef0123456789abcdef01234567", Source: "push",
		Status: kovra.Success, Title: "Make the build faster by doing less of it", Stages: []string{"build", "test", "deploy"},
		URL: "https://gitlab.example.com/group/web/-/pipelines/123456", By: kovra.GitLabUser{ID: 7, Username: "alice", Name: "Alice"},
		CreatedAt: time.UnixMilli(1_790_000_000_000).UTC(), Results: []kovra.Result{{Status: kovra.Success, Duration: time.Minute}}, Read: true,
	})
	if err != nil {
		b.Fatal(err)
	}
	status, final, driven := "success", 1, 1
	if open {
		status, final, driven = "running", 0, 0
	}
	write(b, db, func(tx *Tx) error { return tx.SaveApp(kovra.App{Name: "web", Project: 7}) })
	for from := 1; from <= n; from += fillBatch {
		write(b, db, func(tx *Tx) error {
			_, err := tx.exec(`WITH RECURSIVE c(n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM c WHERE n < ?2)
				INSERT INTO runs (project, remote, ref, kind, status, final, child, parent, verdict, observed_at, stale, version, driven_version, doc)
				SELECT CASE n % 10 WHEN 9 THEN 8 ELSE 7 END, n, CASE n % 3 WHEN 0 THEN 'main' ELSE 'feature/' || (n % 997) END, 'branch',
					?3, ?4, 0, 0, ?3, ?6 + n, 0, 1, ?5, ?7 FROM c`,
				from, min(from+fillBatch-1, n), status, final, driven, int64(1_790_000_000_000), doc)
			return err
		})
	}
}

// fillThreads gives every run a thread that is shown, but for the newest ones.
func fillThreads(b *testing.B, db *DB, n, dirty int) {
	b.Helper()
	write(b, db, func(tx *Tx) error {
		_, err := tx.exec(`WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?1)
			INSERT INTO threads (run, channel, app, version, shown_version, shown_by, broadcast, created_at)
			SELECT n, 'C0123456789', 'web', 3, CASE WHEN n > ?1 - ?2 THEN 2 ELSE 3 END, 1, 'on', 0 FROM c`, n, dirty)
		return err
	})
}

// side is one of two things that are compared, with its times.
type side struct {
	do    func() error
	times []time.Duration
}

func (s *side) run(b *testing.B) {
	b.Helper()
	start := time.Now()
	if err := s.do(); err != nil {
		b.Fatal(err)
	}
	s.times = append(s.times, time.Since(start))
}

func (s *side) quantile(q float64) time.Duration {
	slices.Sort(s.times)
	return s.times[min(int(q*float64(len(s.times))), len(s.times)-1)]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// compare runs two things in turn and reports the times of the first, and their
// ratio to those of the second.
func compare(b *testing.B, many, few func() error, ratio string) {
	b.Helper()
	m, f := side{do: many}, side{do: few}
	for range 3 { // warm up
		m.run(b)
		f.run(b)
	}
	m.times, f.times = nil, nil
	for b.Loop() {
		m.run(b)
		f.run(b)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ms(m.quantile(0.5)), "p50-ms")
	b.ReportMetric(ms(m.quantile(0.99)), "p99-ms")
	b.ReportMetric(float64(m.quantile(0.5))/float64(f.quantile(0.5)), ratio)
}

// BenchmarkListRuns (PRODUCT M6): what lists and views cost with many runs stored,
// against the same with a thousand.
func BenchmarkListRuns(b *testing.B) {
	n := manyRuns(b)
	many, few := openNew(b), openNew(b)
	start := time.Now()
	fillRuns(b, many, n, false)
	fillRuns(b, few, fewRuns, false)
	b.Logf("%d runs stored in %.1fs", n, time.Since(start).Seconds())
	read := func(db *DB, fn func(*Tx) error) func() error {
		ctx := b.Context()
		return func() error { return db.Read(ctx, fn) }
	}
	page := func(q RunQuery) func(*Tx) error {
		q.Project, q.Limit = 7, 11
		return func(tx *Tx) error {
			runs, err := tx.Runs(q)
			if err == nil && len(runs) != q.Limit {
				return fmt.Errorf("a page of %d runs, want %d", len(runs), q.Limit)
			}
			return err
		}
	}
	for _, c := range []struct {
		name string
		op   func(stored int) func(*Tx) error
	}{
		{"first", func(int) func(*Tx) error { return page(RunQuery{}) }},
		{"deep", func(stored int) func(*Tx) error { return page(RunQuery{Before: int64(stored / 2)}) }},
		{"newer", func(stored int) func(*Tx) error { return page(RunQuery{After: int64(stored / 2)}) }},
		{"ref", func(int) func(*Tx) error { return page(RunQuery{Ref: "main"}) }},
		{"ref-deep", func(stored int) func(*Tx) error { return page(RunQuery{Ref: "main", Before: int64(stored / 2)}) }},
		{"view", func(stored int) func(*Tx) error {
			return func(tx *Tx) error { _, err := tx.RunView(int64(stored/2), "web"); return err }
		}},
		{"quiet", func(int) func(*Tx) error {
			return func(tx *Tx) error { _, err := tx.QuietRuns(tx.now, 100); return err }
		}},
	} {
		b.Run(fmt.Sprintf("%s/runs=%d", c.name, n), func(b *testing.B) {
			compare(b, read(many, c.op(n)), read(few, c.op(fewRuns)), "x-of-1000-runs")
		})
	}
}

// fillBuilds stores n builds that have ended, nine of ten of app web, a third of them of main, and one in a thousand a success.
func fillBuilds(b *testing.B, db *DB, n int) {
	b.Helper()
	doc, err := encode(kovra.Build{
		Name: "web-b123456-0a1b2c3d", Trigger: kovra.ByPush, Title: "Make the build faster by doing less of it", Status: kovra.BuildFailed,
		Phase: kovra.PhaseEnded, Spec: kovra.BuildSpec{
			CloneURL: "https://gitlab.example.com/group/web.git", Branch: "main", Commit: "0123456789abcdef0123456789abcdef01234567",
			Image: "registry.example.com/team/web:01234567", Args: []kovra.BuildArg{{Key: "VERSION", Value: "1.2.3"}},
		},
		Steps: []kovra.Step{{Task: "clone", Name: "clone", Status: kovra.Success}, {Task: "build-and-push", Name: "build", Status: kovra.Failed}},
	})
	if err != nil {
		b.Fatal(err)
	}
	write(b, db, func(tx *Tx) error {
		s := kovra.DefaultBuildSettings("web")
		s.Enabled = true
		return errors.Join(tx.SaveApp(kovra.App{Name: "web", Project: 7}), tx.SaveBuildSettings(s, ""))
	})
	for from := 1; from <= n; from += fillBatch {
		write(b, db, func(tx *Tx) error {
			_, err := tx.exec(`WITH RECURSIVE c(n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM c WHERE n < ?2)
				INSERT INTO builds (app, project, ref, push, phase, final, verdict, version, driven_version, doc)
				SELECT CASE n % 10 WHEN 9 THEN 'api' ELSE 'web' END, 7, CASE n % 3 WHEN 0 THEN 'main' ELSE 'feature/' || (n % 997) END,
					'web/heads/main@' || n, 3, 1, CASE n % 1000 WHEN 0 THEN 'Succeeded' ELSE 'Failed' END, 1, 1, ?3 FROM c`,
				from, min(from+fillBatch-1, n), doc)
			return err
		})
	}
}

// BenchmarkListBuilds (PRODUCT M6): what lists, a push and the queue cost with many builds stored, against the same with a thousand.
func BenchmarkListBuilds(b *testing.B) {
	n := manyRuns(b)
	many, few := openNew(b), openNew(b)
	start := time.Now()
	fillBuilds(b, many, n)
	fillBuilds(b, few, fewRuns)
	b.Logf("%d builds stored in %.1fs", n, time.Since(start).Seconds())
	page := func(q BuildQuery) func(*Tx) error {
		q.App, q.Limit = "web", 11
		return func(tx *Tx) error {
			builds, err := tx.Builds(q)
			if err == nil && len(builds) != q.Limit {
				return fmt.Errorf("a page of %d builds, want %d", len(builds), q.Limit)
			}
			return err
		}
	}
	at := 0
	for _, c := range []struct {
		name string
		op   func(stored int) func(*Tx) error
	}{
		{"first", func(int) func(*Tx) error { return page(BuildQuery{}) }},
		{"deep", func(stored int) func(*Tx) error { return page(BuildQuery{Before: int64(stored / 2)}) }},
		{"newer", func(stored int) func(*Tx) error { return page(BuildQuery{After: int64(stored / 2)}) }},
		{"deployable", func(int) func(*Tx) error {
			return func(tx *Tx) error { _, err := tx.LastDeployable("web", 2); return err }
		}},
		{"open", func(int) func(*Tx) error {
			return func(tx *Tx) error { _, err := tx.OpenBuilds(); return err }
		}},
		{"push", func(int) func(*Tx) error {
			return func(tx *Tx) error {
				at++
				_, err := tx.TakePush(kovra.Push{Project: 7, Ref: "main", Before: fmt.Sprint(at - 1), After: fmt.Sprint(at)})
				return err
			}
		}},
	} {
		run := func(db *DB, stored int) func() error {
			ctx, op := b.Context(), c.op(stored)
			if c.name == "push" {
				return func() error { return db.Update(ctx, op) }
			}
			return func() error { return db.Read(ctx, op) }
		}
		b.Run(fmt.Sprintf("%s/builds=%d", c.name, n), func(b *testing.B) {
			compare(b, run(many, n), run(few, fewRuns), "x-of-1000-builds")
		})
	}
}

// BenchmarkObserve: a hook that changes a run, with many runs stored.
func BenchmarkObserve(b *testing.B) {
	n := manyRuns(b) / 10
	many, few := openNew(b), openNew(b)
	fillRuns(b, many, n, false)
	fillRuns(b, few, fewRuns, false)
	hook := func(db *DB, stored int) func() error {
		ctx, i := b.Context(), 0
		return func() error {
			i++
			return db.Update(ctx, func(tx *Tx) error {
				_, _, err := tx.Observe(kovra.Observation{Run: kovra.Run{
					Project: 7, Remote: int64(stored + i), Ref: "main", Status: kovra.Failed, FinishedAt: time.UnixMilli(1_790_000_000_000),
				}})
				return err
			})
		}
	}
	b.Run(fmt.Sprintf("runs=%d", n), func(b *testing.B) { compare(b, hook(many, n), hook(few, fewRuns), "x-of-1000-runs") })
}

// BenchmarkUpdate: an operation is 256 small updates, by one caller after the other or by many at once.
func BenchmarkUpdate(b *testing.B) {
	const each = 256
	var alone float64 // updates a second of one caller
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			db := openNew(b)
			before := db.Commits()
			var made atomic.Int64
			start := time.Now()
			for b.Loop() {
				updateMany(b.Context(), b, db, callers, each, &made)
			}
			seconds := time.Since(start).Seconds()
			updates, commits := float64(made.Load()), float64(db.Commits()-before)
			b.ReportMetric(updates/seconds, "updates/s")
			b.ReportMetric(commits/seconds, "commits/s")
			b.ReportMetric(updates/commits, "updates/commit")
			if callers == 1 {
				alone = updates / seconds
			} else if alone > 0 {
				b.ReportMetric(updates/seconds/alone, "x-of-1-caller")
			}
		})
	}
}

func updateMany(ctx context.Context, b *testing.B, db *DB, callers, n int, made *atomic.Int64) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := db.Update(ctx, add(fmt.Sprint("k", made.Add(1)))); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkDirty: finding what is to be done among many threads, against a thousand.
func BenchmarkDirty(b *testing.B) {
	const threads = 100_000
	for _, dirty := range []int{0, 10, threads} {
		b.Run(fmt.Sprintf("threads=%d/dirty=%d", threads, dirty), func(b *testing.B) {
			many, few := openNew(b), openNew(b)
			fillThreads(b, many, threads, dirty)
			fillThreads(b, few, fewRuns, min(dirty, fewRuns))
			all := func(db *DB, want int) func() error {
				ctx := b.Context()
				return func() error { return drain(ctx, db, want) }
			}
			compare(b, all(many, dirty), all(few, min(dirty, fewRuns)), "x-of-1000-threads")
		})
	}
}

// drain reads all that is to be done and counts it.
func drain(ctx context.Context, db *DB, want int) error {
	got := 0
	for _, err := range db.Dirty(ctx) {
		if err != nil {
			return err
		}
		got++
	}
	if got != want {
		return fmt.Errorf("%d to do, want %d", got, want)
	}
	return nil
}

// BenchmarkOpen (PRODUCT M5): a cold start with many open runs, up to the list of
// what is to be done, against that with an empty database.
func BenchmarkOpen(b *testing.B) {
	const open = 10_000
	start := func(runs int) func() error {
		o := Options{Path: filepath.Join(b.TempDir(), "state.db"), Key: [][]byte{key(1)}}
		ctx := b.Context()
		db, err := Open(ctx, o)
		if err != nil {
			b.Fatal(err)
		}
		if runs > 0 {
			fillRuns(b, db, runs, true)
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
		return func() error {
			db, err := Open(ctx, o)
			if err != nil {
				return err
			}
			if err := drain(ctx, db, runs); err != nil {
				return err
			}
			return db.Close()
		}
	}
	full, empty := start(open), start(0)
	b.Run(fmt.Sprintf("open=%d", open), func(b *testing.B) { compare(b, full, empty, "x-of-empty") })
}
