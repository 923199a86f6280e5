package check_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"kovra.dev/chatops/internal/check"
	"kovra.dev/chatops/tekton"
)

var update = flag.Bool("update", false, "rewrite the table in docs/check.md")

// bad are the ids of what is wrong or a warning.
func bad(r check.Report) []string {
	var ids []string
	for _, f := range r {
		if f.Status == check.Wrong || f.Status == check.Warning {
			ids = append(ids, f.ID)
		}
	}
	return ids
}

func text(t *testing.T, r check.Report) string {
	t.Helper()
	var out bytes.Buffer
	if err := r.Text(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// An installation that is as it should be: everything was looked at, and nothing is to be said.
func TestAllIsWell(t *testing.T) {
	w := newWorld(t)
	r := w.run()
	if ids := bad(r); len(ids) > 0 || r.ExitCode() != 0 {
		t.Fatalf("found %v, exit code %d\n%s", ids, r.ExitCode(), text(t, r))
	}
	seen := map[string]bool{}
	for _, f := range r {
		if f.Status == check.Skipped {
			t.Errorf("%s was skipped: %s", f.ID, f.What)
		}
		seen[f.ID] = true
	}
	for _, row := range check.Rows() {
		look := row.ID[:strings.LastIndex(row.ID, ".")]
		if !seen[look] && look != "cluster.namespace" && look != "cluster.target" {
			t.Errorf("%s was not looked at", look)
		}
	}
	if out := text(t, r); !strings.Contains(out, "All is well.") {
		t.Errorf("it says:\n%s", out)
	}
}

// gap is what is left where a text was not filled.
var gap = regexp.MustCompile(`<[a-z_]+>`)

// TestEveryRow produces each row of the table, and nothing else with it but what the case names.
func TestEveryRow(t *testing.T) {
	for _, c := range cases() {
		t.Run(c.id, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.breaks(w)
			r := w.run()
			judge(t, c, r)
		})
	}
}

func judge(t *testing.T, c problem, r check.Report) {
	t.Helper()
	want := append([]string{c.id}, c.also...)
	got := bad(r)
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
		t.Fatalf("what is found (-want +got):\n%s\n%s", diff, text(t, r))
	}
	row := check.Rows()[slices.IndexFunc(check.Rows(), func(row check.Row) bool { return row.ID == c.id })]
	f := r[slices.IndexFunc(r, func(f check.Finding) bool { return f.ID == c.id })]
	if f.Status != row.Status || !strings.Contains(f.What, c.what) || f.Mend == "" {
		t.Errorf("found %+v, want status %s and %q in it", f, row.Status, c.what)
	}
	if g := gap.FindString(f.What + f.Mend); g != "" {
		t.Errorf("the gap %s was not filled: %s → %s", g, f.What, f.Mend)
	}
	wrong := slices.ContainsFunc(r, func(f check.Finding) bool { return f.Status == check.Wrong })
	if code := r.ExitCode(); (code == 1) != wrong {
		t.Errorf("exit code %d", code)
	}
	out := text(t, r)
	for _, part := range []string{f.ID, f.What, "→ " + f.Mend, string(f.Status)} {
		if !strings.Contains(out, part) {
			t.Errorf("the text has no %q:\n%s", part, out)
		}
	}
	var asJSON bytes.Buffer
	if err := r.JSON(&asJSON); err != nil {
		t.Fatal(err)
	}
	var back check.Report
	if err := json.Unmarshal(asJSON.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, back); diff != "" {
		t.Errorf("JSON (-given +read):\n%s", diff)
	}
	for _, secret := range secrets {
		if strings.Contains(out, secret) || strings.Contains(asJSON.String(), secret) {
			t.Errorf("it prints the secret %s:\n%s", secret, out)
		}
	}
}

// TestEveryRowHasACase keeps the table and its tests equal.
func TestEveryRowHasACase(t *testing.T) {
	var produced []string
	for _, c := range append(cases(), linuxCases()...) {
		produced = append(produced, c.id)
	}
	seen := map[string]bool{}
	for _, row := range check.Rows() {
		if seen[row.ID] {
			t.Errorf("%s is in the table twice", row.ID)
		}
		seen[row.ID] = true
		if !slices.Contains(produced, row.ID) {
			t.Errorf("%s is in the table, and no test produces it", row.ID)
		}
		if row.What == "" || row.Mend == "" || row.Status != check.Wrong && row.Status != check.Warning {
			t.Errorf("%+v is not whole", row)
		}
	}
	if len(seen) < 25 {
		t.Errorf("the table has %d rows", len(seen))
	}
}

// TestAllProblemsAtOnce: what one part has to say keeps no other from being looked at.
func TestAllProblemsAtOnce(t *testing.T) {
	w := newWorld(t)
	w.env["KOVRA_SLACK_BOT_TOKEN"], w.env["KOVRA_LOG_LEVEL"] = "xoxb-other", "loud"
	w.env["KOVRA_GITLAB_URL"] = "https://" + closed
	w.cluster.Forbid("get", "tasks")
	w.public.set(page("welcome"))
	r := w.run()
	want := []string{
		"config.settings.value", "slack.bot_token.refused", "gitlab.api.unreachable", "public.address.not_kovra", "cluster.rights.missing",
	}
	if diff := cmp.Diff(want, bad(r)); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, text(t, r))
	}
	if out := text(t, r); !strings.Contains(out, "5 wrong") {
		t.Errorf("it says:\n%s", out)
	}
}

// Before the first start there is no database, and nothing to link; that is no mistake, and none is made.
func TestBeforeTheFirstStart(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	w.env["KOVRA_DATABASE_URL"] = "sqlite:" + dir + "/new.db"
	r := w.run()
	if ids := bad(r); len(ids) > 0 {
		t.Errorf("found %v\n%s", ids, text(t, r))
	}
	for _, want := range []string{"there is none yet, the first start makes it", "there is no database yet"} {
		if out := text(t, r); !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

// It asks, and changes nothing: what GitLab, Slack and the cluster were told are reads.
func TestChangesNothing(t *testing.T) {
	w := newWorld(t)
	db, err := os.ReadFile(strings.TrimPrefix(w.env["KOVRA_DATABASE_URL"], "sqlite:"))
	if err != nil {
		t.Fatal(err)
	}
	w.run()
	after, err := os.ReadFile(strings.TrimPrefix(w.env["KOVRA_DATABASE_URL"], "sqlite:"))
	if err != nil || !bytes.Equal(db, after) {
		t.Errorf("the database is another one, %v", err)
	}
	for _, c := range w.lab.Calls() {
		if c.Method != "GET" && c.Route != "/oauth/token" {
			t.Errorf("GitLab was told %s %s", c.Method, c.Path)
		}
	}
	if n := len(w.lab.OAuthTokens("")); n > 0 {
		t.Errorf("GitLab gave %d tokens", n)
	}
	for _, c := range w.slack.Calls() {
		if !slices.Contains([]string{"auth.test", "users.info", "apps.connections.open"}, c.Method) {
			t.Errorf("Slack was told %s", c.Method)
		}
	}
	for _, c := range w.cluster.Calls() {
		if c.Verb != "get" && c.Verb != "list" && c.Resource != "selfsubjectaccessreviews" {
			t.Errorf("the cluster was told %s %s", c.Verb, c.Resource)
		}
	}
}

// The scopes that are wanted are those of the manifest, and the rights those that manifests/tekton grants.
func TestWhatIsWantedIsWhatTheManifestsGive(t *testing.T) {
	var manifest struct {
		OAuth struct {
			Scopes struct{ Bot []string }
		} `yaml:"oauth_config"`
	}
	read(t, "../../manifests/slack/app.yaml", &manifest)
	if diff := cmp.Diff(manifest.OAuth.Scopes.Bot, check.Scopes()); diff != "" {
		t.Errorf("scopes (-manifest +check):\n%s", diff)
	}
	for path, want := range map[string][]tekton.Right{
		"../../manifests/tekton/base/access.yaml": tekton.BuildRights(), "../../manifests/tekton/target/access.yaml": tekton.TargetRights(),
	} {
		var granted, wanted []string
		for _, r := range rolesOf(t, path) {
			granted = append(granted, r.String())
		}
		for _, r := range want {
			wanted = append(wanted, r.String())
		}
		slices.Sort(granted)
		slices.Sort(wanted)
		if diff := cmp.Diff(granted, wanted); diff != "" {
			t.Errorf("%s (-grants +wanted):\n%s", path, diff)
		}
	}
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

// rolesOf lists the rights of the role kovra-bot.
func rolesOf(t *testing.T, path string) []tekton.Right {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []tekton.Right
	for dec := yaml.NewDecoder(bytes.NewReader(raw)); ; {
		var o struct {
			Kind     string
			Metadata struct{ Name string }
			Rules    []struct {
				APIGroups []string `yaml:"apiGroups"`
				Resources []string
				Verbs     []string
				Names     []string `yaml:"resourceNames"`
			}
		}
		if err := dec.Decode(&o); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if o.Kind != "Role" || o.Metadata.Name != "kovra-bot" {
			continue
		}
		for _, rule := range o.Rules {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					all = append(all, tekton.Right{Group: rule.APIGroups[0], Resource: resource, Verb: verb, Name: strings.Join(rule.Names, " ")})
				}
			}
		}
	}
}

var table = regexp.MustCompile(`(?s)<!-- table -->\n(.*)<!-- /table -->`)

// TestTheTableIsDrawnAsItIs compares docs/check.md with the code; -update rewrites it.
func TestTheTableIsDrawnAsItIs(t *testing.T) {
	const path = "../../docs/check.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := table.FindSubmatchIndex(page)
	if at == nil {
		t.Fatal("docs/check.md has no table between <!-- table --> and <!-- /table -->")
	}
	want := "\n" + check.Table()
	if *update {
		page = slices.Concat(page[:at[2]], []byte(want), page[at[3]:])
		if err := os.WriteFile(path, page, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(page[at[2]:at[3]])); diff != "" {
		t.Errorf("docs/check.md differs (-code +page), -update rewrites it:\n%s", diff)
	}
}
