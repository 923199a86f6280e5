package webhooks

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// delivery makes one of a pipeline in a status.
func delivery(key string, project, pipeline int, status string) kovra.Delivery {
	return kovra.Delivery{
		Key: key, Kind: "Pipeline Hook",
		Body: fmt.Appendf(nil, `{"object_kind":"pipeline","object_attributes":{"id":%d,"ref":"main","status":%q},"project":{"id":%d,"path_with_namespace":"group/web"}}`,
			pipeline, status, project),
	}
}

func TestIntakeSettles(t *testing.T) {
	db := openDB(t)
	linkProjects(t, db, kovra.Project{ID: 7, Path: "Group/Web"})
	var log bytes.Buffer
	counted := map[string]int{}
	in := NewIntake(IntakeOptions{DB: db, Log: logTo(&log), Counted: func(kind string, o kovra.DeliveryOutcome) { counted[kind+" "+string(o)]++ }})
	journal(t, db,
		delivery("new", 7, 1, "running"),
		delivery("again", 7, 1, "running"),
		delivery("late", 7, 1, "pending"),
		delivery("stranger", 8, 1, "running"),
		delivery("by path", 0, 2, "running"),
		kovra.Delivery{Key: "path of a stranger", Body: []byte(`{"object_kind":"pipeline","object_attributes":{"id":3},"project":{"path_with_namespace":"x/y"}}`)},
		kovra.Delivery{Key: "push", Body: []byte(`{"object_kind":"push","project_id":7,"ref":"refs/heads/main","after":"da1560886d4f094c3e6c9ef40349f7d38b5d27d7"}`)},
		kovra.Delivery{Key: "wiki", Body: []byte(`{"object_kind":"wiki_page","project":{"id":7}}`)},
		kovra.Delivery{Key: "broken", Kind: "Pipeline Hook", Body: []byte(`{`)},
		kovra.Delivery{Key: "moon", Kind: "Moon Hook", Body: []byte(`{"project_id":7}`)},
	)
	foldPending(t, in)
	type end struct {
		outcome kovra.DeliveryOutcome
		project int64
		note    string
	}
	want := map[string]end{
		"new":                {kovra.DeliveryFolded, 7, ""},
		"again":              {kovra.DeliverySame, 7, ""},
		"late":               {kovra.DeliverySame, 7, ""},
		"stranger":           {kovra.DeliveryIgnored, 8, "no app is linked to the project"},
		"by path":            {kovra.DeliveryFolded, 7, ""},
		"path of a stranger": {kovra.DeliveryIgnored, 0, "no app is linked to the project"},
		"push":               {kovra.DeliveryIgnored, 7, "no channel wants to hear of it"},
		"wiki":               {kovra.DeliveryIgnored, 7, "nobody asked for events of the kind wiki_page"},
		"broken":             {kovra.DeliveryDead, 0, "not JSON: unexpected end of JSON input"},
		"moon":               {kovra.DeliveryDead, 7, `an unknown kind of event: "Moon Hook" (object_kind "")`},
	}
	for _, d := range stored(t, db) {
		if got := (end{d.Outcome, d.Project, d.Note}); got != want[d.Key] {
			t.Errorf("%s: got %+v, want %+v", d.Key, got, want[d.Key])
		}
		if d.Settled.IsZero() {
			t.Errorf("%s is not settled", d.Key)
		}
	}
	for key, n := range map[string]int{"pipeline folded": 2, "pipeline same": 2, "pipeline ignored": 2, "push ignored": 1, "unknown dead": 2} {
		if counted[key] != n {
			t.Errorf("counted %d of %s, want %d", counted[key], key, n)
		}
	}
	if strings.Count(log.String(), "\n") != 2 {
		t.Errorf("log: %s", &log)
	}
	checkRun(t, db, 7, 1, kovra.Running)
	checkRun(t, db, 7, 2, kovra.Running)
}

func checkRun(t *testing.T, db *storage.DB, project, remote int64, status kovra.Status) {
	t.Helper()
	err := db.Read(t.Context(), func(tx *storage.Tx) error {
		r, err := tx.RunByRemote(project, remote)
		if err == nil && r.Status != status {
			t.Errorf("run %d: got %s, want %s", remote, r.Status, status)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestIntakeWorksInBatches(t *testing.T) {
	db := openDB(t)
	linkProjects(t, db, kovra.Project{ID: 7})
	var ds []kovra.Delivery
	for i := range intakeBatch + 1 {
		ds = append(ds, delivery(fmt.Sprint(i), 7, 1+i, "running"))
	}
	journal(t, db, ds...)
	in := NewIntake(IntakeOptions{DB: db})
	before := db.Commits()
	after, err := in.Reconcile(t.Context(), 0)
	if err != nil || after != soon || db.Commits() != before+1 {
		t.Fatalf("after %v, %v, %d commits", after, err, db.Commits()-before)
	}
	if after, err = in.Reconcile(t.Context(), 0); err != nil || after != soon {
		t.Fatalf("after %v, %v", after, err)
	}
	if after, err = in.Reconcile(t.Context(), 0); err != nil || after != 0 || db.Commits() != before+2 {
		t.Fatalf("nothing to do: after %v, %v, %d commits", after, err, db.Commits()-before)
	}
	checkRun(t, db, 7, intakeBatch+1, kovra.Running)
}

func TestIntakeReplays(t *testing.T) {
	db := openDB(t)
	in := NewIntake(IntakeOptions{DB: db})
	journal(t, db, delivery("early", 7, 1, "success"))
	foldPending(t, in)
	d := stored(t, db)[0]
	if d.Outcome != kovra.DeliveryIgnored {
		t.Fatalf("got %q", d.Outcome)
	}
	linkProjects(t, db, kovra.Project{ID: 7})
	if err := db.Update(t.Context(), func(tx *storage.Tx) error { return tx.ReplayDelivery(d.ID) }); err != nil {
		t.Fatal(err)
	}
	foldPending(t, in)
	if d = stored(t, db)[0]; d.Outcome != kovra.DeliveryFolded || d.Note != "" {
		t.Fatalf("got %q %q", d.Outcome, d.Note)
	}
	checkRun(t, db, 7, 1, kovra.Success)
}

// TestFoldAllFindsTheOneAtFault gives the intake a run that the database cannot hold.
func TestFoldAllFindsTheOneAtFault(t *testing.T) {
	db := openDB(t)
	linkProjects(t, db, kovra.Project{ID: 7})
	journal(t, db, delivery("a", 7, 1, "running"), delivery("poison", 7, 2, "running"), delivery("b", 7, 3, "running"))
	var log bytes.Buffer
	in := NewIntake(IntakeOptions{DB: db, Log: logTo(&log)})
	var items []item
	for _, d := range stored(t, db) {
		h, err := decode(d, true)
		items = append(items, item{id: d.ID, hook: h, bad: err})
	}
	items[1].hook.seen.Run.CreatedAt = time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := in.foldAll(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range stored(t, db) {
		got = append(got, d.Key+" "+string(d.Outcome))
	}
	if want := []string{"a folded", "poison dead", "b folded"}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if note := stored(t, db)[1].Note; !strings.Contains(note, "could not be folded") || !strings.Contains(note, "year") {
		t.Errorf("note %q", note)
	}
	if strings.Count(log.String(), "\n") != 1 {
		t.Errorf("log: %s", &log)
	}
}

func TestPanicsAreErrors(t *testing.T) {
	_, err := settle(nil, &item{id: 1, hook: hook{kind: kindPipeline, project: 7, seen: &kovra.Observation{}}})
	if err == nil || strings.Contains(err.Error(), "goroutine") {
		t.Fatalf("got %v", err)
	}
	if stack := stackOf(fmt.Errorf("could not be folded: %w", err)); !strings.Contains(stack, "intake.go") {
		t.Errorf("stack: %v", stack)
	}
	if stackOf(errors.New("no panic")) != "" {
		t.Error("a stack of nothing")
	}
}

func TestIntakeWithoutDatabase(t *testing.T) {
	db := openDB(t)
	linkProjects(t, db, kovra.Project{ID: 7})
	journal(t, db, delivery("a", 7, 1, "running"))
	in := NewIntake(IntakeOptions{DB: db})
	ctx, cancel := contextThatEnded(t)
	defer cancel()
	if err := in.foldAll(ctx, []item{{id: 1}}); err == nil {
		t.Error("a transaction that could not begin is no error")
	}
	if d := stored(t, db)[0]; d.Outcome != kovra.DeliveryPending {
		t.Errorf("outcome %q", d.Outcome)
	}
}

// TestIntakeMeasuresTheLag: from the arrival to the commit, once for each delivery; one that is replayed does not count.
func TestIntakeMeasuresTheLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openDB(t)
		var lags []time.Duration
		in := NewIntake(IntakeOptions{DB: db, Folded: func(lag time.Duration) { lags = append(lags, lag) }})
		first := delivery("first", 7, 1, "running")
		first.At = time.Now()
		time.Sleep(3 * time.Second)
		second := delivery("second", 7, 1, "success")
		second.At = time.Now().Add(time.Hour) // the clock was set back meanwhile
		journal(t, db, first, second)
		foldPending(t, in)
		if want := []time.Duration{3 * time.Second, 0}; !slices.Equal(lags, want) {
			t.Errorf("got %v, want %v", lags, want)
		}
		time.Sleep(time.Hour)
		if err := db.Update(t.Context(), func(tx *storage.Tx) error { return tx.ReplayDelivery(1) }); err != nil {
			t.Fatal(err)
		}
		foldPending(t, in)
		if len(lags) != 2 {
			t.Errorf("a replayed delivery counts: %v", lags)
		}
	})
}
