package manifests

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

var updateRule = flag.Bool("update", false, "write monitoring/prometheusrule.yaml from monitoring/alerts.yaml")

// metric is what docs/metrics.md promises of one.
type metric struct {
	kind   string
	labels []string
}

// documented are the metrics of docs/metrics.md by name. Its own test keeps it equal to what the program shows.
func documented(t *testing.T) map[string]metric {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]metric{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(kovra_[a-z_]+)` \\| ([a-z]+) \\| ([^|]*) \\|").FindAllStringSubmatch(string(text), -1) {
		m := metric{kind: row[2]}
		for _, l := range regexp.MustCompile("`([a-z]+)`").FindAllStringSubmatch(row[3], -1) {
			m.labels = append(m.labels, l[1])
		}
		all[row[1]] = m
	}
	if len(all) == 0 {
		t.Fatal("docs/metrics.md lists no metric")
	}
	return all
}

var (
	promText   = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	promRange  = regexp.MustCompile(`\[[^\]]*\]`)
	promSelect = regexp.MustCompile(`\{[^}]*\}`)
	promBy     = regexp.MustCompile(`\b(by|without)\s*\(([^)]*)\)`)
	promNumber = regexp.MustCompile(`\b[0-9][0-9.]*(e[0-9]+)?\b`)
	promWord   = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)

	promFunctions = []string{"absent", "delta", "histogram_quantile", "increase", "max", "min", "rate", "sum", "time"}
	promOperators = []string{"and", "or", "unless"}
	// scraped are labels that Prometheus adds, and the one of buckets.
	scraped = []string{"job", "instance", "namespace", "pod", "le"}
)

// query checks a PromQL expression as far as our own need goes: brackets in pairs, functions that we know, and metrics
// and labels that are documented. It returns the metrics, and what is wrong.
func query(expr string, known map[string]metric) (names, wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)+": "+expr) }
	plain := promText.ReplaceAllString(expr, `""`)
	pairs := map[rune]rune{')': '(', ']': '[', '}': '{'}
	var open []rune
	for _, r := range plain {
		switch {
		case strings.ContainsRune("([{", r):
			open = append(open, r)
		case pairs[r] != 0 && (len(open) == 0 || open[len(open)-1] != pairs[r]):
			say("brackets that are no pairs")
			return nil, wrong
		case pairs[r] != 0:
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		say("brackets that are no pairs")
	}
	used := regexp.MustCompile(`kovra_[a-z_]+`).FindAllString(plain, -1)
	var labels []string
	for _, name := range used {
		m, ok := known[name]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base := strings.TrimSuffix(name, suffix); base != name && known[base].kind == "histogram" {
				name, m, ok = base, known[base], true
			}
		}
		if !ok {
			say("%s is not documented", name)
		}
		if strings.Contains(plain, "rate("+name) && m.kind == "gauge" {
			say("the rate of the gauge %s", name)
		}
		labels, names = append(labels, m.labels...), append(names, name)
	}
	rest := promRange.ReplaceAllString(plain, "")
	for _, in := range slices.Concat(promSelect.FindAllString(rest, -1), promBy.FindAllString(rest, -1)) {
		for _, label := range promWord.FindAllString(strings.TrimPrefix(strings.TrimPrefix(in, "by"), "without"), -1) {
			if !slices.Contains(labels, label) && !slices.Contains(scraped, label) {
				say("no metric of it has the label %s", label)
			}
		}
	}
	rest = promNumber.ReplaceAllString(promBy.ReplaceAllString(promSelect.ReplaceAllString(rest, ""), ""), "")
	for _, word := range promWord.FindAllString(rest, -1) {
		if !slices.Contains(used, word) && !slices.Contains(promFunctions, word) && !slices.Contains(promOperators, word) {
			say("%q is no metric of ours and no function that we use", word)
		}
	}
	return names, wrong
}

// TestQueriesAreChecked: the check finds what is wrong.
func TestQueriesAreChecked(t *testing.T) {
	known := map[string]metric{"kovra_x_total": {kind: "counter", labels: []string{"peer"}}, "kovra_y_seconds": {kind: "histogram"}, "kovra_z": {kind: "gauge"}}
	for expr, good := range map[string]bool{
		`sum by (peer) (rate(kovra_x_total{peer=~"a|}", job="$job"}[5m])) > 1e3`:    true,
		`histogram_quantile(0.95, sum by (le) (rate(kovra_y_seconds_bucket[10m])))`: true,
		`kovra_z / 2 and kovra_z > 0`:    true,
		`sum(rate(kovra_x_total[5m])`:    false,
		`sum(kovra_nothing)`:             false,
		`kovra_z_bucket`:                 false,
		`sum by (who) (kovra_x_total)`:   false,
		`kovra_x_total{who="me"}`:        false,
		`rate(kovra_z[5m])`:              false,
		`up == 0`:                        false,
		`frobnicate(kovra_z)`:            false,
		`kovra_z[5m)]`:                   false,
		`kovra_z and on (peer) kovra_z`:  false,
		`avg_over_time(kovra_z[5m]) > 0`: false,
	} {
		if _, wrong := query(expr, known); (len(wrong) == 0) != good {
			t.Errorf("%s: %q", expr, wrong)
		}
	}
}

// panel is what is read of a Grafana panel.
type panel struct {
	ID         int
	Type       string
	Title      string
	Datasource struct{ UID string }
	GridPos    struct{ X, Y, W, H int }
	Targets    []struct {
		RefID, Expr string
		Datasource  struct{ UID string }
	}
}

// TestDashboard: it can be imported into any Grafana, its panels do not overlap, and it asks for documented metrics alone.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("monitoring", "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		UID, Title    string
		SchemaVersion int
		ID            *int // of one installation; an import gives another
		Templating    struct {
			List []struct{ Name, Type, Query string }
		}
		Panels []panel
	}
	if err := json.Unmarshal(dropQueries(t, text), &d); err != nil {
		t.Fatal(err)
	}
	if d.UID == "" || d.Title == "" || d.SchemaVersion == 0 || d.ID != nil {
		t.Errorf("uid %q, title %q, schema %d, id %v", d.UID, d.Title, d.SchemaVersion, d.ID)
	}
	if v := d.Templating.List; len(v) == 0 || v[0].Name != "datasource" || v[0].Type != "datasource" || v[0].Query != "prometheus" {
		t.Errorf("the data source is no variable: %+v", v)
	}
	known, asked := documented(t), map[string]bool{}
	taken, ids, rows := map[[2]int]string{}, map[int]string{}, []string{}
	for _, p := range d.Panels {
		if other := ids[p.ID]; p.ID == 0 || other != "" {
			t.Errorf("%q and %q have the id %d", p.Title, other, p.ID)
		}
		ids[p.ID] = p.Title
		if p.Title == "" || p.GridPos.W <= 0 || p.GridPos.H <= 0 || p.GridPos.X < 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d %q: %+v", p.ID, p.Title, p.GridPos)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" && other != p.Title {
					t.Fatalf("%q covers %q", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		if len(p.Targets) == 0 {
			t.Errorf("%q asks for nothing", p.Title)
		}
		for _, target := range p.Targets {
			if target.Datasource.UID != "${datasource}" || p.Datasource.UID != "${datasource}" || target.RefID == "" {
				t.Errorf("%q: data source %q, ref %q", p.Title, target.Datasource.UID, target.RefID)
			}
			names, wrong := query(target.Expr, known)
			for _, w := range wrong {
				t.Errorf("%q: %s", p.Title, w)
			}
			for _, name := range names {
				asked[name] = true
			}
		}
	}
	if diff := cmp.Diff([]string{"Is it healthy?", "GitLab in", "Slack out", "Builds", "Loops and database"}, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	for name := range known {
		if !asked[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

// dropQueries turns queries of variables that are objects into their text: Grafana writes both forms.
func dropQueries(t *testing.T, text []byte) []byte {
	t.Helper()
	var d map[string]any
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	for _, v := range d["templating"].(map[string]any)["list"].([]any) {
		one := v.(map[string]any)
		if q, is := one["query"].(map[string]any); is {
			one["query"] = q["query"]
		}
	}
	out, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// rules is a Prometheus rules file.
type rules struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []struct {
			Alert       string            `yaml:"alert"`
			Expr        string            `yaml:"expr"`
			For         string            `yaml:"for"`
			Labels      map[string]string `yaml:"labels"`
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

// anchors are the headings of a page as GitLab and GitHub link to them.
func anchors(page string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(page, -1) {
		kept := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(kept, " ", "-"))
	}
	return all
}

// TestAlerts: each uses documented metrics, says what to do, links to a heading that is there, and is named in its section.
func TestAlerts(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("monitoring", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join("..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	var r rules
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	decoder.KnownFields(true)
	if err := decoder.Decode(&r); err != nil {
		t.Fatal(err)
	}
	known, links := documented(t), anchors(string(page))
	var names []string
	for _, group := range r.Groups {
		for _, a := range group.Rules {
			names = append(names, a.Alert)
			metrics, wrong := query(a.Expr, known)
			if len(metrics) == 0 || len(wrong) > 0 {
				t.Errorf("%s asks for %v: %q", a.Alert, metrics, wrong)
			}
			if !slices.Contains([]string{"critical", "warning"}, a.Labels["severity"]) || len(a.Annotations) != 3 {
				t.Errorf("%s: severity %q, annotations %v", a.Alert, a.Labels["severity"], a.Annotations)
			}
			for _, key := range []string{"summary", "description"} {
				if s := a.Annotations[key]; !strings.HasSuffix(s, ".") {
					t.Errorf("%s: the %s is no sentence: %q", a.Alert, key, s)
				}
			}
			if strings.Contains(a.Annotations["summary"], "$labels.") {
				label := regexp.MustCompile(`\$labels\.([a-z]+)`).FindStringSubmatch(a.Annotations["summary"])[1]
				if !strings.Contains(a.Expr, "by ("+label+")") {
					t.Errorf("%s names the label %s, which the expression does not keep", a.Alert, label)
				}
			}
			link, found := strings.CutPrefix(a.Annotations["runbook_url"], "docs/operations.md#")
			if !found || !slices.Contains(links, link) {
				t.Errorf("%s links to %q, and the headings are %q", a.Alert, a.Annotations["runbook_url"], links)
			}
		}
	}
	var told []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(Kovra[A-Za-z]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		told = append(told, m[1])
	}
	if diff := cmp.Diff(names, told); diff != "" {
		t.Errorf("the table in docs/operations.md (-alerts +table):\n%s", diff)
	}
}

// TestAlertsForTheOperator keeps the PrometheusRule equal to the plain file.
func TestAlertsForTheOperator(t *testing.T) {
	path := filepath.Join("monitoring", "prometheusrule.yaml")
	text, err := os.ReadFile(filepath.Join("monitoring", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, groups, _ := strings.Cut(string(text), "\ngroups:\n")
	var want strings.Builder
	want.WriteString("# alerts.yaml for Prometheus' operator; go test ./manifests -run Operator -update writes it.\n" +
		"apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: kovra\n  namespace: kovra\nspec:\n  groups:\n")
	for line := range strings.Lines(groups) {
		want.WriteString("  " + line)
	}
	if *updateRule {
		if err := os.WriteFile(path, []byte(want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
	var plain rules
	var object struct {
		Spec rules `yaml:"spec"`
	}
	if err := yaml.Unmarshal(text, &plain); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(got, &object); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plain, object.Spec); diff != "" || len(plain.Groups) == 0 {
		t.Errorf("the rules (-plain +object):\n%s", diff)
	}
}

// TestMonitoringComponent: kustomize takes it, and the dashboard is where Grafana's sidecar looks.
func TestMonitoringComponent(t *testing.T) {
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Skip("no kubectl")
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "monitoring"), os.DirFS("monitoring")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte("components: [monitoring]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "kubectl", "kustomize", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"kind: PrometheusRule", "kind: ConfigMap", `grafana_dashboard: "1"`, "name: kovra-dashboard", "alert: KovraDown"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in what kustomize makes", want)
		}
	}
}
