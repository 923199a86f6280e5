package storage

import (
	"slices"
	"strings"
	"testing"

	"github.com/mattn/go-sqlite3"

	"kovra.dev/chatops/internal/kovra"
)

// plan asks SQLite how it would run a statement.
func plan(t *testing.T, db *DB, query string) string {
	t.Helper()
	c, err := db.sql.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	params := 0
	err = c.Raw(func(driver any) error {
		s, err := driver.(*sqlite3.SQLiteConn).Prepare(query)
		if err != nil {
			return err
		}
		params = s.NumInput()
		return s.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := c.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, make([]any, params)...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "; ")
}

// TestPlans: the statements that run often, or on big tables, use the index that
// was made for them and sort nothing.
func TestPlans(t *testing.T) {
	db := openNew(t)
	write(t, db, fill)
	loop := func(kind kovra.RefKind) func(*Tx) error {
		return func(tx *Tx) error {
			i := slices.IndexFunc(dirty, func(d struct {
				kind  kovra.RefKind
				query string
			},
			) bool {
				return d.kind == kind
			})
			_, err := list(tx, scanID, dirty[i].query, 1)
			return err
		}
	}
	runs := func(q RunQuery) func(*Tx) error {
		q.Project, q.Limit = 7, 10
		return func(tx *Tx) error { _, err := tx.Runs(q); return err }
	}
	builds := func(q BuildQuery) func(*Tx) error {
		q.App, q.Limit = "web", 10
		return func(tx *Tx) error { _, err := tx.Builds(q); return err }
	}
	dead := kovra.DeliveryDead
	for _, c := range []struct {
		name string
		op   func(*Tx) error
		has  string // part of the statement
		uses string // part of its plan
	}{
		{"dirty deliveries", loop(kovra.RefDelivery), "FROM deliveries", "deliveries_outcome (outcome=?"},
		{"dirty runs", loop(kovra.RefRun), "FROM runs", "runs_dirty"},
		{"dirty threads", loop(kovra.RefThread), "FROM threads", "threads_dirty"},
		{"dirty actions", loop(kovra.RefAction), "FROM actions", "actions_open"},
		{"dirty answers", loop(kovra.RefAnswer), "FROM actions", "actions_answer"},
		{"pending deliveries", operations["PendingDeliveries"], "FROM deliveries", "deliveries_outcome (outcome=?"},
		{"same delivery", operations["AddDelivery"], "INSERT", ""},
		{"dead letters", func(tx *Tx) error { _, err := tx.Deliveries(DeliveryQuery{Outcome: &dead, Limit: 9}); return err }, "FROM deliveries", "deliveries_outcome (outcome=?"},
		{"prune", operations["PruneDeliveries"], "DELETE", "deliveries_at (at<?"},
		{"first page", runs(RunQuery{}), "FROM runs", "runs_listed (project=? AND child=?)"},
		{"older page", runs(RunQuery{Before: 5}), "FROM runs", "runs_listed (project=? AND child=? AND remote<?)"},
		{"newer page", runs(RunQuery{After: 1}), "FROM runs", "runs_listed (project=? AND child=? AND remote>?)"},
		{"page of a ref", runs(RunQuery{Ref: "main"}), "FROM runs", "runs_ref (project=? AND ref=? AND child=?)"},
		{"older page of a ref", runs(RunQuery{Ref: "main", Before: 5}), "FROM runs", "runs_ref (project=? AND ref=? AND child=? AND remote<?)"},
		{"quiet runs", operations["QuietRuns"], "FROM runs", "runs_quiet (observed_at<?"},
		{"newer verdict", operations["Observe"], "SELECT 1 FROM runs", "runs_verdict (project=? AND ref=? AND kind=? AND remote>?"},
		{"older verdict", operations["Observe"], "SELECT verdict", "runs_verdict (project=? AND ref=? AND kind=? AND remote<?"},
		{"run by remote", operations["RunByRemote"], "FROM runs", "(project=? AND remote=?)"},
		{"children", operations["Children"], "parent", "runs_parent (project=? AND parent=?"},
		{"jobs", operations["Jobs"], "FROM jobs", "jobs_run (run=?"},
		{"job", operations["Job"], "FROM jobs", "(project=? AND id=?)"},
		{"threads of a run", operations["ThreadsOfRun"], "FROM threads", "(run=?)"},
		{"bump threads", operations["Observe"], "UPDATE threads", "(run=?)"},
		{"mend threads", operations["SaveSubscription"], "UPDATE threads", "threads_channel (channel=?"},
		{"threads of a channel", operations["SetChannelShared"], "UPDATE threads", "threads_channel (channel=?"},
		{"message", operations["ThreadAt"], "FROM threads", "slots_ts (ts=?"},
		{"slots", operations["View"], "FROM slots", "(thread=?)"},
		{"done actions", operations["View"], "FROM actions", "actions_run (run=?"},
		{"dirty homes", loop(kovra.RefHome), "FROM homes", "homes_dirty"},
		{"same subscription", operations["SaveSubscription"], "SELECT id FROM subscriptions", "(app=? AND channel=? AND filter=?)"},
		{"subject by key", operations["SubjectByKey"], "FROM subjects", "(project=? AND kind=? AND key=?)"},
		{"threads of a subject", operations["ObserveSubject"], "UPDATE threads SET version", "threads_subject (subject=?)"},
		{"old runs", operations["PruneHistory"], "FROM runs", "runs_old (observed_at<?)"},
		{"old actions", operations["PruneHistory"], "DELETE FROM actions", "actions_old (finished_at<?)"},
		{"threads of a notice", operations["TellNotice"], "UPDATE threads SET version", "threads_notice (notice=?)"},
		{"untold notices", loop(kovra.RefNotice), "FROM notices", "notices_untold"},
		{"old subjects", operations["PruneSubjects"], "DELETE FROM subjects", "subjects_at (at<?)"},
		{"account of a GitLab user", operations["AccountOf"], "FROM people", "people_gitlab (gitlab=?"},
		{"match", operations["Match"], "FROM matches", "(gitlab=?)"},
		{"matches of a person", operations["Disconnect"], "FROM matches", "matches_slack (slack=?)"},
		{"waiting of a person", operations["Connect"], "state = 'waits'", "actions_waits (person=?"},
		{"asked", operations["Asked"], "FROM actions", "actions_asked (lock=?)"},
		{"heeded", operations["Heeded"], "doc LIKE", "INTEGER PRIMARY KEY (rowid>?)"},
		{"homes of a project", operations["Observe"], "UPDATE homes", "homes_app (app=?)"},
		{"lock", operations["Propose"], "state <> 'waits'", "actions_lock (lock=?"},
		{"waiting", operations["Propose"], "state = 'waits'", "actions_waits (person=?"},
		{"turn of an operator", operations["OperatorTurn"], "FROM actions", "actions_"},
		{"open actions", operations["OpenActions"], "FROM actions", "actions_open"},
		{"dirty builds", loop(kovra.RefBuild), "FROM builds", "builds_dirty"},
		{"dirty deployments", loop(kovra.RefDeployment), "FROM deployments", "deployments_dirty"},
		{"first page of builds", builds(BuildQuery{}), "doc FROM builds", "builds_app (app=?)"},
		{"older page of builds", builds(BuildQuery{Before: 5}), "doc FROM builds", "builds_app (app=? AND id<?)"},
		{"newer page of builds", builds(BuildQuery{After: 0x7FFF}), "doc FROM builds", "builds_app (app=? AND id>?)"},
		{"place in the queue", operations["Build"], "count(*)", "builds_queue (phase=?"},
		{"open builds", operations["OpenBuilds"], "doc FROM builds", "USING INDEX builds_open"},
		{"next build", operations["TakeTurn"], "min(id)", "builds_queue (phase=?)"},
		{"builds under way", operations["TakeTurn"], "phase > 0", "builds_queue (phase>?)"},
		{"queue moves up", operations["SaveBuild"], "phase = 0 ORDER BY id", "builds_queue (phase=?)"},
		{"newer verdict of a build", operations["SaveBuild"], "SELECT 1 FROM builds", "builds_verdict (app=? AND ref=? AND id>?)"},
		{"older verdict of a build", operations["SaveBuild"], "SELECT verdict", "builds_verdict (app=? AND ref=? AND id<?)"},
		{"images to deploy", operations["LastDeployable"], "FROM builds", "builds_deployable (app=?)"},
		{"last build of a push", operations["TakePush"], "push IS NOT NULL", "builds_push (app=? AND ref=?)"},
		{"known push", operations["TakePush tag"], "WHERE push = ?", "(push=?)"},
		{"known move", operations["TakePush"], "before = ? AND after = ?", "(app=? AND ref=? AND before=? AND after=?)"},
		{"left already", operations["TakePush"], "before IN", "build_moves_after (app=? AND ref=? AND after=?)"},
		{"left already, before", operations["TakePush"], "before IN", "(app=? AND ref=? AND before=?)"},
		{"old moves", operations["TakePush"], "DELETE FROM build_moves", "INTEGER PRIMARY KEY (rowid<?)"},
		{"threads of a build", operations["ThreadsOfBuild"], "FROM threads", "threads_build (build=?"},
		{"bump threads of a build", operations["AddDeployment"], "UPDATE threads", "threads_build (build=?"},
		{"done actions of a build", operations["BuildView"], "FROM actions", "actions_build (build=?"},
		{"deployments of a build", operations["DeploymentsOf"], "FROM deployments", "deployments_build (build=?)"},
		{"deployments of an app", operations["DeploymentsOfApp"], "FROM deployments", "deployments_app (app=?)"},
		{"moves of a branch", operations["PushedAfter"], "FROM build_moves", "(app=? AND ref=?)"},
		{"last deployment", operations["LastDeployment"], "FROM deployments", "deployments_app (app=?)"},
		{"open deployments", operations["OpenDeployments"], "FROM deployments", "deployments_open"},
	} {
		t.Run(c.name, func(t *testing.T) {
			queries := slices.DeleteFunc(statements(t, db, c.op), func(q string) bool { return !strings.Contains(q, c.has) })
			if len(queries) != 1 {
				t.Fatalf("statements with %q: %q, want one", c.has, queries)
			}
			got := plan(t, db, queries[0])
			if !strings.Contains(got, c.uses) {
				t.Errorf("%s\nplan %q does not use %q", queries[0], got, c.uses)
			}
			if strings.Contains(got, "TEMP B-TREE") || strings.Contains(got, "SCAN ") && !strings.Contains(got, "INDEX") {
				t.Errorf("%s\nplan %q sorts or reads all", queries[0], got)
			}
		})
	}
}

// TestPlansOfEverything: no statement reads all of a table that grows.
func TestPlansOfEverything(t *testing.T) {
	db := openNew(t)
	write(t, db, fill)
	for name, op := range operations {
		for _, q := range statements(t, db, op) {
			got := plan(t, db, q)
			for _, table := range []string{"runs", "jobs", "slots", "threads", "actions", "deliveries", "builds", "deployments", "build_moves", "subjects", "matches", "homes"} {
				if strings.Contains(got+";", "SCAN "+table+";") && !strings.Contains(q, "LIMIT") {
					t.Errorf("%s reads all of %s: %s\n%s", name, table, got, q)
				}
			}
		}
	}
}

// TestSubscriptionsAreFoundByIndex: with every hook those of a project are asked for. They are few, and sorted.
func TestSubscriptionsAreFoundByIndex(t *testing.T) {
	db := openNew(t)
	for want, q := range map[string]SubscriptionQuery{
		"apps_project (project=?); SEARCH s USING INDEX sqlite_autoindex_subscriptions_1 (app=?)": {Project: 7},
		"subscriptions_channel (channel=?)": {Channel: "C1"},
		"(app=?)":                           {App: "web"},
	} {
		queries := statements(t, db, func(tx *Tx) error { _, err := tx.Subscriptions(q); return err })
		if got := plan(t, db, queries[0]); len(queries) != 1 || !strings.Contains(got, want) {
			t.Errorf("plan %q does not use %q", got, want)
		}
	}
}
