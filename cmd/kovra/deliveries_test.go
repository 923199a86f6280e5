package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// journal makes the database of a server with four deliveries: folded, dead, ignored and
// not looked at. It returns its path.
func journal(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kovra.db")
	t.Setenv("KOVRA_DATABASE_URL", "sqlite:"+path)
	change(t, path, func(tx *storage.Tx) error {
		at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
		for i, body := range []string{`{"object_kind":"pipeline","id":7}`, "not \x00 JSON", `{}`, `{}`} {
			d := kovra.Delivery{Key: fmt.Sprintf("key-%d", i+1), Kind: "Pipeline Hook", Body: []byte(body), At: at.Add(time.Duration(i) * time.Minute)}
			if _, err := tx.AddDelivery(d); err != nil {
				return err
			}
		}
		return errors.Join(
			tx.SettleDelivery(1, kovra.DeliveryFolded, "", 7),
			tx.SettleDelivery(2, kovra.DeliveryDead, "the body is no JSON", 0),
			tx.SettleDelivery(3, kovra.DeliveryIgnored, "", 8),
		)
	})
	return path
}

func change(t *testing.T, path string, fn func(*storage.Tx) error) {
	t.Helper()
	db, err := storage.Open(t.Context(), storage.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(t.Context(), fn), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// outcomesIn returns what became of each delivery, by id.
func outcomesIn(t *testing.T, path string) map[int64]string {
	t.Helper()
	out := map[int64]string{}
	change(t, path, func(tx *storage.Tx) error {
		all, err := tx.Deliveries(storage.DeliveryQuery{Limit: 10})
		for _, d := range all {
			out[d.ID] = outcomeWord(d.Outcome)
		}
		return err
	})
	return out
}

func TestDeliveriesList(t *testing.T) {
	journal(t)
	for args, want := range map[string][]string{
		"":                      {"4", "3", "2", "1"},
		"--limit 2":             {"4", "3"},
		"--before 3":            {"2", "1"},
		"--before 3 --limit 1":  {"2"},
		"--outcome dead":        {"2"},
		"--outcome pending":     {"4"},
		"--outcome folded":      {"1"},
		"--outcome ignored":     {"3"},
		"--outcome same":        nil,
		"--before 1 --limit 20": nil,
	} {
		out, err := call(t, append([]string{"deliveries", "list"}, strings.Fields(args)...)...)
		if err != nil {
			t.Errorf("%s: %v", args, err)
			continue
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if !strings.HasPrefix(lines[0], "ID  RECEIVED") {
			t.Errorf("%s: no heading: %s", args, lines[0])
		}
		var got []string
		for _, l := range lines[1:] {
			got = append(got, strings.Fields(l)[0])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: ids (-want +got):\n%s", args, diff)
		}
	}
	out, _ := call(t, "deliveries", "list", "--outcome", "dead")
	if want := `2   2026-11-23T09:01:00Z  "Pipeline Hook"  0        dead     the body is no JSON`; !strings.Contains(out, want) {
		t.Errorf("got:\n%s\nwant: %s", out, want)
	}
}

func TestDeliveriesShow(t *testing.T) {
	journal(t)
	for id, want := range map[string]string{
		"1": `id:       1
key:      key-1
kind:     "Pipeline Hook"
received: 2026-11-23T09:00:00Z
project:  7
outcome:  folded
{
  "id": 7,
  "object_kind": "pipeline"
}
`,
		"2": `id:       2
key:      key-2
kind:     "Pipeline Hook"
received: 2026-11-23T09:01:00Z
project:  0
outcome:  dead
note:     the body is no JSON
"not \x00 JSON"
`,
	} {
		out, err := call(t, "deliveries", "show", id)
		if err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if diff := cmp.Diff(want, out); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
}

func TestDeliveriesReplay(t *testing.T) {
	path := journal(t)
	out, err := call(t, "deliveries", "replay", "2", "3")
	if err != nil || out != "2 marked; the server takes them within a second or two\n" {
		t.Errorf("%q, %v", out, err)
	}
	want := map[int64]string{1: "folded", 2: "pending", 3: "pending", 4: "pending"}
	if diff := cmp.Diff(want, outcomesIn(t, path)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// One wrong id, and nothing is marked.
func TestDeliveriesReplayAllOrNothing(t *testing.T) {
	path := journal(t)
	before := outcomesIn(t, path)
	for _, args := range [][]string{{"2", "99"}, {"2", "two"}} {
		out, err := call(t, append([]string{"deliveries", "replay"}, args...)...)
		if err == nil || out != "" {
			t.Errorf("%q: %q, %v", args, out, err)
		}
	}
	if diff := cmp.Diff(before, outcomesIn(t, path)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDeliveriesRefuses(t *testing.T) {
	journal(t)
	for want, args := range map[string][]string{
		`"two" is not the id of a delivery`: {"show", "two"},
		`"2x" is not the id of a delivery`:  {"replay", "1", "2x"},
		"no delivery 99":                    {"show", "99"},
		"--outcome: \"odd\" is not one of pending, folded, same, ignored, dead": {"list", "--outcome", "odd"},
	} {
		if _, err := call(t, append([]string{"deliveries"}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", args, err, want)
		}
	}
}

// Looking must not make a database where there is none: the path is wrong then.
func TestDeliveriesWithoutADatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kovra.db")
	for value, want := range map[string]string{
		"sqlite:" + path: "there is no database yet", "postgres://localhost/kovra": "KOVRA_DATABASE_URL", "kovra.db": "KOVRA_DATABASE_URL",
	} {
		t.Setenv("KOVRA_DATABASE_URL", value)
		for _, args := range [][]string{{"list"}, {"show", "1"}, {"replay", "1"}} {
			if _, err := call(t, append([]string{"deliveries"}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s, %q: %v", value, args, err)
			}
		}
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("a database was made: %v", err)
	}
}

// The path may stand in the file of --config, however incomplete that is for a server.
func TestDeliveriesReadTheConfigFile(t *testing.T) {
	path := journal(t)
	t.Setenv("KOVRA_DATABASE_URL", "")
	file := filepath.Join(t.TempDir(), "kovra.yaml")
	if err := os.WriteFile(file, []byte("KOVRA_DATABASE_URL: sqlite:"+path+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := call(t, "deliveries", "list", "--config", file); err != nil || strings.Count(out, "\n") != 5 {
		t.Errorf("%q, %v", out, err)
	}
}
