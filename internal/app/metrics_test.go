package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/reconcile"
	"kovra.dev/chatops/storage"
)

var update = flag.Bool("update", false, "write the table of metrics into docs/metrics.md")

var metricsTable = regexp.MustCompile(`(?s)<!-- metrics -->\n.*?<!-- /metrics -->`)

// exercised is a program of which every metric has something to show, and its page.
func exercised(t *testing.T) (*App, string) {
	t.Helper()
	a := built(t, newOutside().options())
	m := a.metrics
	m.request("gitlab", "stored")
	m.delivery("pipeline", kovra.DeliveryFolded)
	m.slackCall("chat.update", "ok")
	m.action(kovra.ActRun, "done")
	m.pass("runs", reconcile.Done, time.Second)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, labURL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := a.transport("gitlab", answer{code: 200}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	err = a.db.Update(t.Context(), func(tx *storage.Tx) error {
		return errors.Join(
			tx.SaveProject(kovra.Project{ID: webProject, Path: "group/web"}), tx.SaveApp(kovra.App{Name: "web", Project: webProject}),
			tx.SawHook(webProject, kovra.HookSight{Health: kovra.HealthDisabled}), tx.SawGitLabToken(kovra.TokenSight{ID: 5, Expires: time.Unix(1_800_000_000, 0)}))
	})
	if err != nil {
		t.Fatal(err)
	}
	_, page := get(t, a, "/metrics")
	return a, page
}

// shown is what a page says of our metrics, by name.
func shown(page string) map[string]listed {
	all := map[string]listed{}
	for line := range strings.Lines(page) {
		word := strings.SplitN(strings.TrimSpace(line), " ", 4)
		if len(word) == 4 && word[0] == "#" && strings.HasPrefix(word[2], "kovra_") {
			m := all[word[2]]
			m.name = word[2]
			if word[1] == "HELP" {
				m.help = word[3]
			} else {
				m.kind = word[3]
			}
			all[m.name] = m
		}
	}
	label := regexp.MustCompile(`([a-z_]+)="[^"]*"`)
	for line := range strings.Lines(page) {
		name, rest, found := strings.Cut(line, "{")
		name = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
		m, known := all[name]
		if !found || !known {
			continue
		}
		m.labels = nil
		for _, l := range label.FindAllStringSubmatch(rest, -1) {
			if l[1] != "le" {
				m.labels = append(m.labels, l[1])
			}
		}
		all[name] = m
	}
	return all
}

// TestMetricsAreDocumented keeps docs/metrics.md equal to what the page shows.
func TestMetricsAreDocumented(t *testing.T) {
	a, page := exercised(t)
	got := shown(page)
	var table strings.Builder
	table.WriteString("<!-- metrics -->\n| metric | kind | labels | what |\n|---|---|---|---|\n")
	for _, want := range a.metrics.listed {
		m, there := got[want.name]
		slices.Sort(m.labels)
		labels := slices.Sorted(slices.Values(want.labels))
		if !there || m.kind != want.kind || m.help != want.help || !slices.Equal(m.labels, labels) {
			t.Errorf("the page shows %+v, listed is %+v", m, want)
		}
		delete(got, want.name)
		code := ""
		for i, l := range want.labels {
			code += strings.Repeat(", ", min(i, 1)) + "`" + l + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", want.name, want.kind, code, want.help)
	}
	table.WriteString("<!-- /metrics -->")
	for name := range got {
		t.Errorf("%s is shown and not listed", name)
	}
	path := filepath.Join("..", "..", "docs", "metrics.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		text = metricsTable.ReplaceAllLiteral(text, []byte(table.String()))
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(table.String(), string(metricsTable.Find(text))); diff != "" {
		t.Errorf("docs/metrics.md (go test ./internal/app -run Documented -update writes it; -want +got):\n%s", diff)
	}
}

// TestMetricsFollowTheConventions of Prometheus for names, units and texts.
func TestMetricsFollowTheConventions(t *testing.T) {
	_, page := exercised(t)
	problems, err := promlint.New(strings.NewReader(page)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestFigures: some that no other test sees.
func TestFigures(t *testing.T) {
	a, page := exercised(t)
	for _, line := range []string{
		`kovra_hooks{state="disabled"} 1`, `kovra_token_expires_timestamp_seconds 1.8e+09`, `kovra_builds{phase="queued"} 0`,
		`kovra_logs_limit_bytes 1.073741824e+10`, `kovra_reconcile_waiting{loop="threads"} 0`,
	} {
		if !strings.Contains(page, "\n"+line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	size, free, ok := diskOf(filepath.Dir(a.cfg.DatabasePath))
	if ok && (size <= 0 || free < 0 || free > size) {
		t.Errorf("%v of %v bytes are free", free, size)
	}
	if _, _, ok := diskOf(filepath.Join(t.TempDir(), "missing")); ok {
		t.Error("a disk that is not there has a size")
	}
}

// TestMetricsWithoutADatabase: that it does not answer must show, and the page must come.
func TestMetricsWithoutADatabase(t *testing.T) {
	a, before := exercised(t)
	if err := a.db.Close(); err != nil {
		t.Fatal(err)
	}
	code, after := get(t, a, "/metrics")
	if !strings.Contains(before, "\nkovra_ready 1\n") || code != 200 || !strings.Contains(after, "\nkovra_ready 0\n") || strings.Contains(after, "\nkovra_dead_letters ") {
		t.Errorf("before:\n%s\nafter: %d\n%s", before, code, after)
	}
}

// passes is a loop's work that ends as told.
type passes struct {
	after time.Duration
	err   error
	work  func()
}

func (p *passes) Reconcile(context.Context, int64) (time.Duration, error) {
	p.work()
	return p.after, p.err
}

// TestShowLag: from the first change that is not shown until the pass that shows it, whatever comes between.
func TestShowLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, next := newMetrics(""), &passes{work: func() {}}
		l := &lagging{next: next, m: m, since: map[int64]time.Time{}}
		pass := func(after time.Duration, err error) {
			next.after, next.err = after, err
			_, _ = l.Reconcile(t.Context(), 1)
		}
		pass(0, nil) // nothing to show
		l.changed(1, time.Now())
		time.Sleep(4 * time.Second)
		pass(time.Second, nil)
		l.changed(1, time.Now())
		pass(0, errors.New("slack is down"))
		time.Sleep(3 * time.Second)
		next.work = func() { l.changed(1, time.Now()) } // while it is shown: that is for the next pass
		pass(0, nil)
		next.work = func() {}
		time.Sleep(time.Second)
		pass(0, nil)
		pass(0, nil)
		families, err := m.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() != "kovra_show_lag_seconds" {
				continue
			}
			if h := f.GetMetric()[0].GetHistogram(); h.GetSampleCount() != 2 || h.GetSampleSum() != 8 {
				t.Errorf("%d passes, %v seconds; want one of seven and one of one", h.GetSampleCount(), h.GetSampleSum())
			}
		}
		if len(l.since) != 0 {
			t.Errorf("kept: %v", l.since)
		}
	})
}

// TestCountersOfAlertsBeginAtZero: an alert that asks whether a counter grew at all hears also of the first time.
func TestCountersOfAlertsBeginAtZero(t *testing.T) {
	_, page := get(t, built(t, newOutside().options()), "/metrics")
	for _, line := range []string{
		`kovra_reconcile_total{loop="runs",outcome="panicked"} 0`,
		`kovra_reconcile_total{loop="step_logs",outcome="panicked"} 0`,
		`kovra_requests_total{outcome="unauthorized",route="gitlab"} 0`,
		`kovra_requests_total{outcome="refused",route="socket"} 0`,
	} {
		if !strings.Contains(page, line+"\n") {
			t.Errorf("the first page has no %s", line)
		}
	}
}
