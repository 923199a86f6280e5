package dispatch

import (
	"strings"
	"testing"

	"kovra.dev/chatops/internal/joblog"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// TestHiddenAsShown: a log shows a value in another way than it was given.
func TestHiddenAsShown(t *testing.T) {
	w := newWorld(t)
	d := w.dispatch()
	for value, log := range map[string]string{
		"s3cret-value":           "x s3c\x1b[31mret\x1b[0m-va\x1b[Klue y",
		"abc\x00def\x07ghi":      "x abc\x00def\x07ghi y",
		"abc\xff\xfedefghi":      "x abc\xff\xfedefghi y",
		"abc\u202edefgh":         "x abc\u202edefgh y",
		"abcdefg8\r1hijklmnop":   "redrawn\rx 1hijklmnop y",
		"abcdefgh\ndefghijk":     "x abcdefghijk y",
		"  s3cret with spaces  ": "x s3cret with spaces y",
	} {
		finder := w.db.Finder(d.prints([]kovra.Variable{{Key: "A", Value: value}}))
		m := joblog.NewMasker(nil).Also(func(line string) string { return hide(finder, line) })
		_, err := joblog.Cut(t.Context(), strings.NewReader(log+"\n"), joblog.Options{Mask: m, Each: func(l joblog.Line) error {
			if l.Text != "x [MASKED] y" {
				t.Errorf("%q in %q is shown as %q", value, log, l.Text)
			}
			return nil
		}})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestInjectedValuesAreHidden(t *testing.T) {
	w := newWorld(t)
	d := w.dispatch()
	finder := w.db.Finder(d.prints([]kovra.Variable{{Key: "TOKEN", Value: "s3cret-väl"}, {Key: "SHORT", Value: "on"}}))
	for text, want := range map[string]string{
		"curl -H s3cret-väl/s3cret-väl on": "curl -H [MASKED]/[MASKED] on",
		"s3cret-väl":                       "[MASKED]",
		"s3cret-vä":                        "s3cret-vä",
		"":                                 "",
	} {
		if got := hide(finder, text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

// However much was done with a run, the values that it was started with are known; and those
// of a start that nobody knows yet to have made it.
func TestInjectedIsFoundAmongManyActions(t *testing.T) {
	w := newWorld(t)
	w.link("web", web)
	d := w.dispatch()
	run := w.observe(pipeline(5, kovra.Running))
	w.propose(kovra.Action{Kind: kovra.ActRun, App: "web", Run: run.ID, Params: kovra.Params{
		Prints: d.prints([]kovra.Variable{{Key: "A", Value: "first-value"}}),
	}})
	for range 120 {
		w.propose(kovra.Action{Kind: kovra.ActRetry, App: "web", Run: run.ID})
	}
	for _, ref := range []string{"main", "other"} {
		id := w.propose(kovra.Action{Kind: kovra.ActRun, App: "web"})
		w.update(func(tx *storage.Tx) error {
			return tx.TryAction(id, kovra.Params{Ref: ref, Prints: d.prints([]kovra.Variable{{Key: "B", Value: "value-on-" + ref}})})
		})
	}
	orphan := pipeline(9, kovra.Running)
	orphan.Run.Source, orphan.Run.Parent = "parent_pipeline", kovra.Parent{Project: web, Pipeline: 8}
	child := w.observe(orphan)
	if m, err := d.masker(t.Context(), child.ID); err != nil || strings.Count(m.Line("value-on-main value-on-other"), joblog.Masked) != 2 {
		t.Errorf("the child of a pipeline that nobody knows yet: %v", err)
	}
	m, err := d.masker(t.Context(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Line("first-value, value-on-main, value-on-other"); strings.Count(got, joblog.Masked) != 2 || !strings.Contains(got, "value-on-other") {
		t.Errorf("masked: %q", got)
	}
}
