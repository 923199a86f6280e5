package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kovra.dev/chatops/internal/kovra"
)

const goodPolicy = `# who is who
people:
  U0123ABCD: alice
  W2: Bob.B
rules:
  - who: [U0123ABCD, S0OPS]
    may: [read, act, admin]
  - who: [C0CHAN]
    may: [read]
    apps: [web, "team-*"]
  - who: [everyone]
    may: []
`

func TestPolicyFile(t *testing.T) {
	path := write(t, goodPolicy)
	c := mustLoad(t, required("KOVRA_POLICY="+path), "")
	want := kovra.Policy{
		People: map[string]string{"U0123ABCD": "alice", "W2": "Bob.B"},
		Rules: []kovra.Rule{
			{Line: 6, Who: []string{"U0123ABCD", "S0OPS"}, May: []kovra.Permission{kovra.MayRead, kovra.MayAct, kovra.MayAdmin}},
			{Line: 8, Who: []string{"C0CHAN"}, May: []kovra.Permission{kovra.MayRead}, Apps: []string{"web", "team-*"}},
			{Line: 11, Who: []string{"everyone"}},
		},
	}
	if diff := compare(want, c.Policy); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
	if c.PolicyFile != path {
		t.Errorf("PolicyFile = %q, want %q", c.PolicyFile, path)
	}
}

// The example of the documentation is one that loads.
func TestDocumentedPolicy(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "policy.md"))
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
	if len(examples) == 0 {
		t.Fatal("no example")
	}
	for _, e := range examples {
		mustLoad(t, required("KOVRA_POLICY="+write(t, string(e[1]))), "")
	}
}

func TestBadPolicies(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"empty", "# nothing\n", []string{"there is nothing in it; expected: a mapping with people and rules"}},
		{"no mapping", "- a\n", []string{"line 1: it is no mapping"}},
		{"no YAML", "people: [\n", []string{"yaml: line"}},
		{"two documents", "people: {}\n---\npeople: {}\n", []string{"more after the first document"}},
		{"unknown key", "rule: []\n", []string{`line 1: "rule" is no key of the file; expected: one of people, rules`}},
		{"twice", "rules: []\nrules: []\n", []string{"line 2: rules is given twice"}},
		{"people is a list", "people: [U1]\n", []string{"line 1: people: it is no mapping"}},
		{"people", "people:\n  alice: U1\n  U1: alice\n  U1: bob\n  U2: ALICE\n  U3: '@eve'\n  U4: [a]\n  C1: a\n", []string{
			`line 2: people: "alice" is no Slack user id`, "line 4: people: U1 is given twice", "line 5: people: U2: line 3 has the GitLab user ALICE too",
			`line 6: people: U3: "@eve" is no GitLab user name`, "line 7: people: U4: it is no plain value", `line 8: people: "C1" is no Slack user id`,
		}},
		{"rules is a mapping", "rules: {}\n", []string{"line 1: rules: it is no list"}},
		{"a rule is a text", "rules: [a]\n", []string{"line 1: rule 1: it is no mapping"}},
		{"rule without all", "rules:\n- {}\n", []string{"line 2: rule 1: it has no who", "line 2: rule 1: it has no may"}},
		{"rule", "rules:\n- who: ['@S1', alice, U1, U1]\n  may: [look, read]\n  apps: [Web, 'a b']\n  then: x\n", []string{
			`line 2: rule 1, who: "@S1" is nobody; expected: the id of a Slack user (U…), a user group (S…) or a channel (C…) without @ or #, or everyone`,
			`line 2: rule 1, who: "alice" is nobody`, `line 2: rule 1, who: "U1" is there twice`, `line 3: rule 1, may: "look" is nothing that one may; expected: read, act or admin`,
			`line 4: rule 1, apps: "Web" is no pattern`, `"a b" is no pattern`, `line 5: "then" is no key of rule 1; expected: one of who, may, apps`,
		}},
		{"empty lists", "rules:\n- who: []\n  may: []\n  apps: []\n", []string{"line 2: rule 1, who: it is no list with something in it", "line 4: rule 1, apps: it is no list"}},
		{"no list", "rules:\n- who: everyone\n  may: read\n", []string{"line 2: rule 1, who: it is no list", "line 3: rule 1, may: it is no list"}},
		{"nothing", "rules:\n- who: [everyone]\n  may:\n", []string{"line 3: rule 1, may: it is no list"}},
		{"level of ours", "rules:\n- who: [everyone]\n  may: [own, build, self]\n", []string{`"own" is nothing`, `"build" is nothing`, `"self" is nothing`}},
		{"too many rules", "rules:\n" + strings.Repeat("- {who: [U1], may: []}\n", maxRules+1), []string{"it holds 1001 rules; expected: at most 1000"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, tt.text)
			_, err := Load(required("KOVRA_POLICY="+path), "")
			if err == nil {
				t.Fatal("Load accepts it")
			}
			got := strings.Split(strings.ReplaceAll(err.Error(), path, "FILE"), "\n")
			if len(got) != len(tt.want) {
				t.Errorf("got %d problems, want %d:\n%s", len(got), len(tt.want), strings.Join(got, "\n"))
			}
			for i, line := range got {
				if !strings.HasPrefix(line, "KOVRA_POLICY: FILE") || i < len(tt.want) && !strings.Contains(line, tt.want[i]) || !strings.Contains(line, "expected") {
					t.Errorf("problem %q, want %q in it and what is expected", line, tt.want[min(i, len(tt.want)-1)])
				}
			}
		})
	}
}

func TestOAuth(t *testing.T) {
	const id, secret, url, login = "KOVRA_GITLAB_OAUTH_CLIENT_ID=client", "KOVRA_GITLAB_OAUTH_CLIENT_SECRET=hunter2", "KOVRA_PUBLIC_URL=https://k", "KOVRA_LOG_ACCESS=login"
	key, link := "KOVRA_ENCRYPTION_KEY="+goodKey, "KOVRA_LOG_ACCESS=link"
	nobody := required()[:4] // the last are the administrators
	c := mustLoad(t, append(nobody, id, secret, key, url), "")
	if !c.OAuth() || c.LogAccess != LogByLogin || len(c.Admins) != 0 || c.OAuthClientID != "client" || c.OAuthClientSecret.Reveal() != "hunter2" {
		t.Errorf("configuration %+v", c)
	}
	if c = mustLoad(t, required(id, secret, key, url, link), ""); c.LogAccess != LogByLink {
		t.Errorf("LogAccess %q, want what was chosen", c.LogAccess)
	}
	if c = mustLoad(t, required(id, secret, key, url, login), ""); c.LogAccess != LogByLogin {
		t.Errorf("LogAccess %q, want what was chosen", c.LogAccess)
	}
	if c = mustLoad(t, required(), ""); c.OAuth() || c.LogAccess != LogByLink {
		t.Errorf("without OAuth: %v, %q", c.OAuth(), c.LogAccess)
	}
	if _, err := Load(nobody, ""); err == nil || !strings.HasPrefix(err.Error(), "KOVRA_ADMINS: it is not set") {
		t.Errorf("no administrators and no OAuth: %v", err)
	}
	tests := []struct {
		name  string
		given []string
		want  []string
	}{
		{"no secret", []string{id, key, url}, []string{"KOVRA_GITLAB_OAUTH_CLIENT_SECRET: it is not set, but KOVRA_GITLAB_OAUTH_CLIENT_ID is"}},
		{"no id", []string{secret, key, url}, []string{"KOVRA_GITLAB_OAUTH_CLIENT_ID: it is not set, but KOVRA_GITLAB_OAUTH_CLIENT_SECRET is"}},
		{"no key", []string{id, secret, url}, []string{"KOVRA_ENCRYPTION_KEY: it is not set, but"}},
		{"a wrong key is one problem", []string{id, secret, url, "KOVRA_ENCRYPTION_KEY=hunter2"}, []string{"KOVRA_ENCRYPTION_KEY: entry 1 of the list: it is no key"}},
		{"no address", []string{id, secret, key}, []string{"KOVRA_PUBLIC_URL: it is not set, but"}},
		{"login without", []string{login}, []string{"KOVRA_LOG_ACCESS: it is login, but KOVRA_GITLAB_OAUTH_CLIENT_ID is not set; expected: that too, or link"}},
		{"blanks", []string{"KOVRA_GITLAB_OAUTH_CLIENT_ID= x", secret, key, url}, []string{"KOVRA_GITLAB_OAUTH_CLIENT_ID: it has blanks around it"}},
		{"lines", []string{id, "KOVRA_GITLAB_OAUTH_CLIENT_SECRET=hun\nter2", key, url}, []string{"KOVRA_GITLAB_OAUTH_CLIENT_SECRET: it has control characters"}},
		{"all", []string{id}, []string{"KOVRA_GITLAB_OAUTH_CLIENT_SECRET:", "KOVRA_ENCRYPTION_KEY:", "KOVRA_PUBLIC_URL:"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(required(tt.given...), "")
			if err == nil {
				t.Fatal("Load accepts it")
			}
			got := strings.Split(err.Error(), "\n")
			if len(got) != len(tt.want) {
				t.Fatalf("got:\n%s\nwant %d problems", err, len(tt.want))
			}
			for i, line := range got {
				if !strings.Contains(line, tt.want[i]) || strings.Contains(line, "hunter2") {
					t.Errorf("problem %q, want %q in it and no secret", line, tt.want[i])
				}
			}
		})
	}
}
