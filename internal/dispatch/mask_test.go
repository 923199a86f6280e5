package dispatch

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

func TestSecretLines(t *testing.T) {
	for _, c := range []struct {
		value string
		want  []string
	}{
		{"", nil},
		{"on", nil},
		{"12345", nil},
		{" 123456\n", []string{"123456"}},
		{"s3cret-väl", []string{"s3cret-väl"}},
		{"-----BEGIN\r\n  MIIEabcd  \n1234567\n\nMIIEefgh==\n", []string{"-----BEGIN", "MIIEabcd", "MIIEefgh=="}},
	} {
		if diff := cmp.Diff(c.want, secretLines(c.value)); diff != "" {
			t.Errorf("%q: -want +got:\n%s", c.value, diff)
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
	m, err := d.masker(t.Context(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Line("first-value, value-on-main, value-on-other"); strings.Count(got, masked) != 2 || !strings.Contains(got, "value-on-other") {
		t.Errorf("masked: %q", got)
	}
}
