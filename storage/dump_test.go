package storage

import (
	"database/sql"
	"errors"
	goflag "flag" // flag is a function of this package
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
)

// updateDumps writes the dump of the present schema: go test ./storage -run TestDumps -update.
var updateDumps = goflag.Bool("update", false, "write the dump of the present schema")

// oldestDump is the first schema that has a dump.
const oldestDump = 4

// dumpedAt is when everything in a dump happened.
var dumpedAt = time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC)

func dumpPath(schema int64) string {
	return filepath.Join("testdata", fmt.Sprintf("schema-%d.sql", schema))
}

// newestSchema is the number of the last migration.
func newestSchema(t *testing.T) int64 {
	t.Helper()
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	if _, err := fmt.Sscanf(entries[len(entries)-1].Name(), "%05d_", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestDumps: there is a dump of every schema up to the present one. So whoever adds a migration leaves behind what the
// version before has written, and TestUpgradeFromEverySchema upgrades it for ever. With -update the dump of the
// present schema is written; those of older ones are never written again.
func TestDumps(t *testing.T) {
	newest := newestSchema(t)
	if *updateDumps {
		if err := os.WriteFile(dumpPath(newest), []byte(dump(t, lived(t))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for schema := int64(oldestDump); schema <= newest; schema++ {
		if _, err := os.Stat(dumpPath(schema)); err != nil {
			t.Errorf("no dump of schema %d (%v): make that of the present one with go test ./storage -run TestDumps -update", schema, err)
		}
	}
	if t.Failed() {
		return
	}
	pool := loaded(t, newest, filepath.Join(t.TempDir(), "dump.db"))
	defer pool.Close()
	current := lived(t)
	for _, table := range tables(t, pool) {
		var rows int
		if err := pool.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&rows); err != nil {
			t.Fatal(err)
		}
		if rows == 0 {
			t.Errorf("the dump of schema %d has no row of %s: add one in live, and write the dump again", newest, table)
		}
	}
	if diff := cmp.Diff(schemaOf(t, current.sql), schemaOf(t, pool)); diff != "" {
		t.Errorf("the dump of schema %d is not of this schema (-migrations +dump):\n%s", newest, diff)
	}
}

// lived is a database in which everything has happened once.
func lived(t *testing.T) *DB {
	t.Helper()
	db := openAt(t, Options{
		Path: filepath.Join(t.TempDir(), "lived.db"), Key: [][]byte{key(9)}, Now: func() time.Time { return dumpedAt },
	})
	write(t, db, fill)
	write(t, db, live)
	return db
}

// live adds to fill what is to be seen after an upgrade.
func live(tx *Tx) error {
	done, _, err := tx.Propose(kovra.Action{Kind: kovra.ActRetry, App: "web", Run: 1, Lock: "retry/1/1", By: kovra.Person{ID: "U2", Name: "bob"}}, nil)
	if err != nil {
		return err
	}
	build, _, err := tx.AddBuild(kovra.NewBuild(kovra.DefaultBuildSettings("web"), 7, "main", false, kovra.Commit{SHA: "c0ffee", Title: "Brew it"}), "", false)
	if err != nil {
		return err
	}
	build.Phase, build.Status, build.Digest = kovra.PhaseEnded, kovra.BuildSucceeded, "sha256:13b0"
	build.FinishedAt, build.SeenAt, build.LogDone = dumpedAt, dumpedAt, true
	pair := kovra.TokenPair{Access: "access-of-ann", Refresh: "refresh-of-ann", Expires: dumpedAt.Add(time.Hour)}
	return errors.Join(
		tx.FinishAction(done.ID, kovra.ActionDone, kovra.Outcome{Remote: 5, Run: 1}),
		tx.SaveBuild(&build),
		tx.SaveSlot(2, kovra.Slot{Key: kovra.SlotCard, TS: "17.2", Digest: "d"}),
		tx.SetExcerpt(7, 51, kovra.LogCut, kovra.Excerpt{Lines: []kovra.ExcerptLine{{N: 3, Text: "it's\nbroken"}}, Total: 3}),
		tx.SetChannelShared("C1", true, dumpedAt),
		tx.AllowLogs("C1", true),
		tx.SaveMatch(kovra.Match{GitLab: 8, Slack: "U8", How: "e-mail", CheckedAt: dumpedAt}),
		tx.SetTokens("U1", pair),
		tx.SettleDelivery(1, kovra.DeliveryDead, "the body is no JSON", 7),
		tx.MarkCopied(dumpedAt),
	)
}

// dump is a whole database as SQL.
func dump(t *testing.T, db *DB) string {
	t.Helper()
	var out strings.Builder
	for _, s := range schemaOf(t, db.sql) {
		out.WriteString(s + ";\n")
	}
	for _, table := range append(tables(t, db.sql), "sqlite_sequence") {
		out.WriteString(dumpTable(t, db.sql, table))
	}
	return out.String()
}

func dumpTable(t *testing.T, pool *sql.DB, table string) string {
	t.Helper()
	columns := texts(t, pool, "SELECT name FROM pragma_table_info('"+table+"')")
	quoted := "quote(" + strings.Join(columns, ") || ', ' || quote(") + ")"
	var out strings.Builder
	for _, row := range texts(t, pool, "SELECT "+quoted+" FROM "+table+" ORDER BY rowid") {
		fmt.Fprintf(&out, "INSERT INTO %s (%s) VALUES (%s);\n", table, strings.Join(columns, ", "), row)
	}
	return out.String()
}

// schemaOf returns the statements that make the tables and indexes, in order.
func schemaOf(t *testing.T, pool *sql.DB) []string {
	t.Helper()
	return texts(t, pool, "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid")
}

func tables(t *testing.T, pool *sql.DB) []string {
	t.Helper()
	return texts(t, pool, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid")
}

func texts(t *testing.T, pool *sql.DB, query string) []string {
	t.Helper()
	rows, err := pool.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// loaded makes a database file out of the dump of a schema. The caller closes it.
func loaded(t *testing.T, schema int64, path string) *sql.DB {
	t.Helper()
	text, err := os.ReadFile(dumpPath(schema))
	if err != nil {
		t.Fatal(err)
	}
	pool, err := sql.Open("sqlite3", dsn(path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pool.ExecContext(t.Context(), string(text)); err != nil {
		t.Fatalf("load %s: %v", dumpPath(schema), err)
	}
	return pool
}

// TestUpgradeFromEverySchema opens what each version has left behind with the present one: all that people have is
// there, and it goes on from there.
func TestUpgradeFromEverySchema(t *testing.T) {
	for schema := int64(oldestDump); schema <= newestSchema(t); schema++ {
		t.Run(fmt.Sprint("schema ", schema), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "old.db")
			if err := loaded(t, schema, path).Close(); err != nil {
				t.Fatal(err)
			}
			db := openAt(t, Options{Path: path, Key: [][]byte{key(9)}, Now: func() time.Time { return dumpedAt.Add(time.Hour) }})
			if err := db.Read(t.Context(), func(tx *Tx) error { return checkKept(t, tx) }); err != nil {
				t.Error(err)
			}
			write(t, db, func(tx *Tx) error { return checkGoesOn(t, tx) })
			for _, table := range tables(t, db.sql) {
				if _, err := db.sql.ExecContext(t.Context(), "SELECT * FROM "+table); err != nil {
					t.Errorf("%s: %v", table, err)
				}
			}
		})
	}
}

// checkKept compares what people have with what was dumped.
func checkKept(t *testing.T, tx *Tx) error {
	t.Helper()
	app, noApp := tx.App("web")
	subs, noSubs := tx.Subscriptions(SubscriptionQuery{App: "web"})
	run, noRun := tx.RunByRemote(7, 5)
	jobs, noJobs := tx.Jobs(run.ID)
	thread, noThread := tx.ThreadAt("C1", "17.1")
	view, noView := tx.View(thread.ID)
	builds, noBuilds := tx.Builds(BuildQuery{App: "web", Limit: 10})
	settings, noSettings := tx.BuildSettings("web")
	deployments, noDeployments := tx.DeploymentsOf(1)
	channel, noChannel := tx.Channel("C1")
	if err := errors.Join(noApp, noSubs, noRun, noJobs, noThread, noView, noBuilds, noSettings, noDeployments, noChannel); err != nil {
		return err
	}
	got := map[string]any{
		"project of the app": app.Project, "subscriptions": len(subs), "status": run.Status, "excerpt": jobs[0].Excerpt.Lines[0].Text,
		"thread of": thread.Run, "card": view.Slots[kovra.SlotCard].TS, "actions shown": len(view.Actions), "builds": len(builds),
		"newest build": builds[0].Status, "digest": builds[0].Digest, "commit": builds[0].Spec.Commit, "tags": settings.Tags,
		"deployments": len(deployments), "shared": channel.Shared, "logs": channel.LogsAllowed,
	}
	want := map[string]any{
		"project of the app": int64(7), "subscriptions": 2, "status": kovra.Running, "excerpt": "it's\nbroken",
		"thread of": run.ID, "card": "17.1", "actions shown": 1, "builds": 2,
		"newest build": kovra.BuildSucceeded, "digest": "sha256:13b0", "commit": "c0ffee", "tags": "v*",
		"deployments": 2, "shared": true, "logs": true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is there (-want +got):\n%s", diff)
	}
	return checkPeopleKept(t, tx)
}

func checkPeopleKept(t *testing.T, tx *Tx) error {
	t.Helper()
	account, noAccount := tx.Account("U1")
	pair, has, noTokens := tx.Tokens("U1")
	match, _, noMatch := tx.Match(8)
	home, noHome := tx.HomeOf("U1")
	tag, noTag := tx.SubjectByKey(7, kovra.SubjectTag, "v1@c1")
	secret, noSecret := tx.Secret(1)
	held, first, noLock := tx.lockedBy("retry/1/1")
	dead, noDelivery := tx.Delivery(1)
	if err := errors.Join(noAccount, noTokens, noMatch, noHome, noTag, noSecret, noLock, noDelivery); err != nil {
		return err
	}
	got := map[string]any{
		"account": account.GitLab.Username, "notify": account.Notify, "tokens": has, "access": pair.Access, "refresh": pair.Refresh,
		"match": match.Slack, "home": home.App, "tag": tag.State, "secret": string(secret), "locked": first, "by": held.By.Name, "delivery": dead.Note,
	}
	want := map[string]any{
		"account": "ann", "notify": kovra.NotifyAll, "tokens": true, "access": "access-of-ann", "refresh": "refresh-of-ann",
		"match": "U8", "home": "web", "tag": "created", "secret": "secret", "locked": true, "by": "bob", "delivery": "the body is no JSON",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what people have (-want +got):\n%s", diff)
	}
	return nil
}

// checkGoesOn folds something new into what was there: it is shown where it was shown before.
func checkGoesOn(t *testing.T, tx *Tx) error {
	t.Helper()
	before, noThread := tx.ThreadAt("C1", "17.1")
	_, _, noRun := tx.Observe(kovra.Observation{Run: kovra.Run{Project: 7, Remote: 5, Status: kovra.Success, FinishedAt: dumpedAt}})
	after, gone := tx.ThreadAt("C1", "17.1")
	if after.ID != before.ID || after.Version <= before.Version {
		t.Errorf("the thread is %+v after the end of its run, and was %+v", after, before)
	}
	fresh, _, noNew := tx.Observe(kovra.Observation{Run: kovra.Run{Project: 7, Remote: 15, Ref: "main", Status: kovra.Running}})
	threads, noThreads := tx.ThreadsOfRun(fresh.ID)
	if len(threads) != 2 {
		t.Errorf("threads of a new pipeline: %+v", threads)
	}
	build, _, noBuild := tx.AddBuild(kovra.NewBuild(kovra.DefaultBuildSettings("web"), 7, "main", false, kovra.Commit{SHA: "beef"}), "", false)
	if build.ID != 3 {
		t.Errorf("the next build is #%d, want #3", build.ID)
	}
	return errors.Join(noThread, noRun, gone, noNew, noThreads, noBuild)
}
