package config

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"
)

var (
	goodKey     = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	goodSigning = "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32)))
)

// required is the least environment that loads.
func required(more ...string) []string {
	return append([]string{
		"KOVRA_SLACK_BOT_TOKEN=xoxb-1",
		"KOVRA_SLACK_SIGNING_SECRET=shh",
		"KOVRA_GITLAB_TOKEN=glpat-1",
		"KOVRA_GITLAB_WEBHOOK_SECRET=hook",
		"KOVRA_ADMINS=U01",
	}, more...)
}

// write puts text into a new file and returns its path.
func write(tb testing.TB, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "kovra.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func mustLoad(t *testing.T, environ []string, file string) *Config {
	t.Helper()
	c, err := Load(environ, file)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return c
}

// compare compares configurations as they are, secrets too.
func compare(a, b any) string {
	return cmp.Diff(a, b, cmpopts.IgnoreUnexported(Config{}),
		cmp.Transformer("revealed", func(s Secret) string { return s.Reveal() }),
		cmp.Comparer(func(a, b *x509.CertPool) bool {
			return (a == nil) == (b == nil) && (a == nil || a.Equal(b))
		}))
}

func TestDefaults(t *testing.T) {
	got := mustLoad(t, required("PATH=/bin", "KOVRA_LISTEN="), "")
	want := &Config{
		Listen:               ":8080",
		PublicURL:            "http://localhost:8080",
		DatabasePath:         "kovra.db",
		WebhookMaxBytes:      25 << 20,
		SlackBotToken:        "xoxb-1",
		SlackSigningSecret:   "shh",
		SlackAPIURL:          "https://slack.com/api/",
		GitLabURL:            "https://gitlab.com",
		GitLabToken:          "glpat-1",
		GitLabWebhookSecrets: []Secret{"hook"},
		Admins:               []string{"U01"},
		HistoryRetention:     365 * 24 * time.Hour,
		LogRetention:         90 * 24 * time.Hour,
		LogMaxTotal:          10 << 30,
		LogAccess:            LogByLink,
		BuildNamespace:       "kovra-builds",
		BuildConcurrency:     4,
		BuildTimeout:         time.Hour,
		DeployTimeout:        10 * time.Minute,
		GitSecret:            "kovra-git",
		RegistrySecret:       "kovra-registry",
		BuilderAccount:       "kovra-builder",
		DeployerAccount:      "kovra-deployer",
		LogLevel:             slog.LevelInfo,
		LogFormat:            LogAuto,
	}
	if diff := compare(want, got); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

const everything = `# all that can be set
KOVRA_LISTEN: 127.0.0.1:9090
KOVRA_PUBLIC_URL: https://kovra.example.com/
KOVRA_DATABASE_URL: sqlite:/var/lib/kovra/kovra.db
KOVRA_WEBHOOK_MAX_BYTES: 1048577
KOVRA_SLACK_BOT_TOKEN: xoxb-2
KOVRA_SLACK_SIGNING_SECRET: "12345"
KOVRA_SLACK_API_URL: http://127.0.0.1:1/api/
KOVRA_GITLAB_URL: https://gitlab.example.com/gitlab/
KOVRA_GITLAB_TOKEN: glpat-2
KOVRA_GITLAB_WEBHOOK_SECRET: [new, old]
KOVRA_GITLAB_WEBHOOK_SIGNING_TOKEN: whsec_c2Vj
KOVRA_ENCRYPTION_KEY:
  - a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=
KOVRA_ADMINS: [U01, workspace-admins, W2]
KOVRA_GITLAB_OAUTH_CLIENT_ID: client
KOVRA_GITLAB_OAUTH_CLIENT_SECRET: oauth-secret
KOVRA_LOG_RETENTION: 36h
KOVRA_LOG_MAX_TOTAL: 2 TiB
KOVRA_LOG_ACCESS: Link
KOVRA_REGISTRY: registry.example.com:5000/team/images
KOVRA_BUILD_NAMESPACE: ci
KOVRA_BUILD_CONCURRENCY: 100
KOVRA_BUILD_TIMEOUT: 90m
KOVRA_DEPLOY_TIMEOUT: 24h
KOVRA_GIT_SECRET: git.ci
KOVRA_REGISTRY_SECRET: push
KOVRA_BUILDER_ACCOUNT: builder
KOVRA_DEPLOYER_ACCOUNT: deployer
KOVRA_CA_CONFIGMAP: authorities
KOVRA_LOG_LEVEL: DEBUG
KOVRA_LOG_FORMAT: json
`

func TestFile(t *testing.T) {
	got := mustLoad(t, nil, write(t, everything))
	want := &Config{
		Listen:               "127.0.0.1:9090",
		PublicURL:            "https://kovra.example.com",
		PublicURLSet:         true,
		DatabasePath:         "/var/lib/kovra/kovra.db",
		WebhookMaxBytes:      1048577,
		SlackBotToken:        "xoxb-2",
		SlackSigningSecret:   "12345",
		SlackAPIURL:          "http://127.0.0.1:1/api/",
		GitLabURL:            "https://gitlab.example.com/gitlab",
		GitLabToken:          "glpat-2",
		GitLabWebhookSecrets: []Secret{"new", "old"},
		GitLabSigningTokens:  []Secret{"whsec_c2Vj"},
		OAuthClientID:        "client",
		OAuthClientSecret:    "oauth-secret",
		EncryptionKeys:       []Secret{Secret(strings.Repeat("k", 32))},
		Admins:               []string{"U01", "W2"},
		WorkspaceAdmins:      true,
		HistoryRetention:     365 * 24 * time.Hour,
		LogRetention:         36 * time.Hour,
		LogMaxTotal:          2 << 40,
		LogAccess:            LogByLink,
		Registry:             "registry.example.com:5000/team/images",
		BuildNamespace:       "ci",
		BuildConcurrency:     100,
		BuildTimeout:         90 * time.Minute,
		DeployTimeout:        24 * time.Hour,
		GitSecret:            "git.ci",
		RegistrySecret:       "push",
		BuilderAccount:       "builder",
		DeployerAccount:      "deployer",
		CAConfigMap:          "authorities",
		LogLevel:             slog.LevelDebug,
		LogFormat:            LogJSON,
	}
	if diff := compare(want, got); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

func TestEmptyFiles(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "{}\n", "~\n"} {
		mustLoad(t, required(), write(t, text))
	}
}

func TestEnvironmentWins(t *testing.T) {
	secret := write(t, "from a file\r\n")
	file := write(t, "KOVRA_LISTEN: :1\nKOVRA_GITLAB_TOKEN_FILE: "+secret+"\nKOVRA_SLACK_BOT_TOKEN: xoxb-file\n")
	c := mustLoad(t, required("KOVRA_LISTEN=:2"), file)
	if c.Listen != ":2" || c.GitLabToken.Reveal() != "glpat-1" || c.SlackBotToken.Reveal() != "xoxb-1" {
		t.Errorf("Listen %q, GitLabToken %q, SlackBotToken %q, want those of the environment", c.Listen, c.GitLabToken.Reveal(), c.SlackBotToken.Reveal())
	}

	environ := []string{
		"KOVRA_SLACK_BOT_TOKEN_FILE=" + secret, // over the value of the file
		"KOVRA_SLACK_SIGNING_SECRET=shh", "KOVRA_GITLAB_WEBHOOK_SECRET=hook", "KOVRA_ADMINS=U01",
		"KOVRA_LISTEN=", // empty: not set
	}
	c = mustLoad(t, environ, file)
	if c.Listen != ":1" || c.GitLabToken.Reveal() != "from a file" || c.SlackBotToken.Reveal() != "from a file" {
		t.Errorf("Listen %q, GitLabToken %q, SlackBotToken %q, want those of the files", c.Listen, c.GitLabToken.Reveal(), c.SlackBotToken.Reveal())
	}
}

func TestForeignVariablesAreLeftAlone(t *testing.T) {
	mustLoad(t, required("KOVRA_TEST_FIXTURES=/x", "KOVRAX=1", "KOVRA_SERVICE_HOST=10.0.0.1", "KOVRA_SERVICE_PORT=80", "KOVRA_SERVICE_PORT_HTTP=80",
		"KOVRA_PORT=tcp://10.0.0.1:80", "KOVRA_PORT_80_TCP=x", "KOVRA_PORT_80_TCP_ADDR=x", "KOVRA_REGISTRY_SERVICE_HOST=10.0.0.2"), "")
}

func TestBadValues(t *testing.T) {
	dir := t.TempDir()
	tests := []struct{ entry, want string }{
		{"KOVRA_LISTEN=8080", `"8080" is no address; expected: host:port`},
		{"KOVRA_LISTEN=:http", "is no address"},
		{"KOVRA_LISTEN=:70000", "is no address"},
		{"KOVRA_LISTEN=a\nb:80", "is no address"},
		{"KOVRA_PUBLIC_URL=kovra.example.com", "expected: http:// or https:// first"},
		{"KOVRA_PUBLIC_URL=https://", "names no host"},
		{"KOVRA_PUBLIC_URL=https://a/?x=1", "has a query or fragment"},
		{"KOVRA_PUBLIC_URL=https://a/#", "has a query or fragment"},
		{"KOVRA_PUBLIC_URL=https://a b", "is no URL"},
		{"KOVRA_GITLAB_URL=https://bot:hunter2@gitlab", "has a user or password"},
		{"KOVRA_SLACK_API_URL=https://slack.com/api", `expected: "https://slack.com/api/"`},
		{"KOVRA_SLACK_API_URL=slack", "http:// or https://"},
		{"KOVRA_DATABASE_URL=postgres://u:hunter2@db/kovra", "PostgreSQL comes later"},
		{"KOVRA_DATABASE_URL=postgresql://db/kovra", "PostgreSQL comes later"},
		{"KOVRA_DATABASE_URL=kovra.db", "expected: sqlite:PATH"},
		{"KOVRA_DATABASE_URL=sqlite:", "expected: sqlite:PATH"},
		{"KOVRA_WEBHOOK_MAX_BYTES=0", "is no size"},
		{"KOVRA_WEBHOOK_MAX_BYTES=-1", "is no size"},
		{"KOVRA_WEBHOOK_MAX_BYTES=2GiB", "between 1 and 1GiB"},
		{"KOVRA_WEBHOOK_MAX_BYTES=999999999999999999GiB", "is no size"},
		{"KOVRA_WEBHOOK_MAX_BYTES=25 parsecs", "is no size"},
		{"KOVRA_SLACK_BOT_TOKEN=xapp-hunter2", "expected: the bot token (xoxb-"},
		{"KOVRA_SLACK_SIGNING_SECRET=hunter2 ", "has blanks around it"},
		{"KOVRA_GITLAB_TOKEN=hun\nter2", "line breaks"},
		{"KOVRA_GITLAB_WEBHOOK_SECRET=hunter2,,x", "entry 2 of the list is empty"},
		{"KOVRA_GITLAB_WEBHOOK_SECRET= ", "entry 1 of the list is empty"},
		{"KOVRA_GITLAB_WEBHOOK_SECRET=a\x01", "entry 1 of the list: it has control characters"},
		{"KOVRA_GITLAB_WEBHOOK_SIGNING_TOKEN=whsec_c2Vj,hunter2", "entry 2 of the list: it is no signing token"},
		{"KOVRA_GITLAB_WEBHOOK_SIGNING_TOKEN=whsec_", "no signing token"},
		{"KOVRA_ENCRYPTION_KEY=aHVudGVyMg==", "32 bytes in base64"},
		{"KOVRA_ENCRYPTION_KEY=hunter2!", "32 bytes in base64"},
		{"KOVRA_ADMINS=alice", `"alice" is no Slack user id`},
		{"KOVRA_ADMINS=U01,", `"" is no Slack user id`},
		{"KOVRA_CA_FILE=" + dir, "not a regular file"},
		{"KOVRA_CA_FILE=" + dir + "/missing.pem", "no such file"},
		{"KOVRA_CA_FILE=" + write(t, "no PEM"), "holds no certificate"},
		{"KOVRA_CA_FILE=a\x00b", "control characters"},
		{"KOVRA_LOG_RETENTION=90", `"90" is no time between 1h and 3650d; expected: a number with a unit`},
		{"KOVRA_LOG_RETENTION=59m", "is no time"},
		{"KOVRA_LOG_RETENTION=3651d", "is no time"},
		{"KOVRA_LOG_RETENTION=999999999w", "is no time"},
		{"KOVRA_LOG_RETENTION=0d", "is no time"},
		{"KOVRA_LOG_RETENTION=-1d", "is no time"},
		{"KOVRA_LOG_RETENTION=2y", "is no time"},
		{"KOVRA_LOG_RETENTION=1.5d", "is no time"},
		{"KOVRA_LOG_MAX_TOTAL=99MiB", `"99MiB" is no size between 100MiB and 1024TiB`},
		{"KOVRA_LOG_MAX_TOTAL=1025TiB", "is no size"},
		{"KOVRA_LOG_ACCESS=login", "it is login, but KOVRA_GITLAB_OAUTH_CLIENT_ID is not set; expected: that too, or link"},
		{"KOVRA_POLICY=/missing", "no such file"},
		{"KOVRA_POLICY=a\tb", "control characters"},
		{"KOVRA_POLICY=" + write(t, "- x\n"), "line 1: it is no mapping"},
		{"KOVRA_LOG_ACCESS=all", `"all" is no way to read logs`},
		{"KOVRA_LOG_PATTERNS=/missing", "no such file"},
		{"KOVRA_LOG_PATTERNS=a\tb", "control characters"},
		{"KOVRA_LOG_PATTERNS=" + write(t, "name: x\n"), "line 1: it is no list"},
		{"KOVRA_KUBECONFIG=/missing", "no such file or directory; expected: a readable kubeconfig file"},
		{"KOVRA_KUBECONFIG=" + dir, "not a regular file"},
		{"KOVRA_KUBECONFIG=a\nb", "line breaks"},
		{"KOVRA_REGISTRY=https://registry.example.com/team", "is no image prefix; expected: a host and a path"},
		{"KOVRA_REGISTRY=registry.example.com/team:latest", "is no image prefix"},
		{"KOVRA_REGISTRY=registry.example.com/Team", "is no image prefix"},
		{"KOVRA_REGISTRY=registry.example.com/", "is no image prefix"},
		{"KOVRA_REGISTRY=team", "is no image prefix"},
		{"KOVRA_BUILD_NAMESPACE=Builds", `"Builds" is no name of a namespace; expected: a-z, 0-9 and - alone`},
		{"KOVRA_BUILD_NAMESPACE=" + strings.Repeat("a", 64), "is no name of a namespace"},
		{"KOVRA_BUILD_CONCURRENCY=0", `"0" is no number that can be used; expected: 1 to 100`},
		{"KOVRA_BUILD_CONCURRENCY=101", "expected: 1 to 100"},
		{"KOVRA_BUILD_CONCURRENCY=four", "expected: 1 to 100"},
		{"KOVRA_BUILD_TIMEOUT=30s", "is no time between 1m and 1d"},
		{"KOVRA_BUILD_TIMEOUT=25h", "is no time between 1m and 1d"},
		{"KOVRA_DEPLOY_TIMEOUT=0m", "is no time"},
		{"KOVRA_GIT_SECRET=git_secret", "is no name of an object in Kubernetes; expected: a-z"},
		{"KOVRA_REGISTRY_SECRET=a..b", "is no name of an object"},
		{"KOVRA_BUILDER_ACCOUNT=-builder", "is no name of an object"},
		{"KOVRA_DEPLOYER_ACCOUNT=deployer\n", "is no name of an object"},
		{"KOVRA_CA_CONFIGMAP=a b", "is no name of an object"},
		{"KOVRA_LOG_LEVEL=loud", "expected: debug, info, warn or error"},
		{"KOVRA_LOG_LEVEL=INFO+2", "is no level"},
		{"KOVRA_LOG_FORMAT=xml", "expected: text or json"},
		{"KOVRA_GITLAB_TOKEN_FILE=" + write(t, "hunter2"), "KOVRA_GITLAB_TOKEN_FILE is set too"},
		{"KOVRA_ENCRYPTION_KEY_FILE=" + write(t, "\n"), "is empty"},
		{"KOVRA_ENCRYPTION_KEY_FILE=" + write(t, strings.Repeat("x", maxFile+1)), "larger than 1 MiB"},
		{"KOVRA_ENCRYPTION_KEY_FILE=/missing", "no such file"},
		{"KOVRA_LISTEN_FILE=/x", "only secrets may be given as a file"},
		{"KOVRA_GITLAB_TOKN=hunter2", "perhaps KOVRA_GITLAB_TOKEN"},
		{"KOVRA_FROBNICATE_THE_WHOLE_BUILDING=1", "no such setting; expected: one of those"},
		{"KOVRA_SLACK_APP_TOKEN=xoxb-1", "it is no app-level token"},
		{"KOVRA_SLACK_APP_TOKEN=xapp-1 ", "has blanks around it"},
	}
	for _, tt := range tests {
		t.Run(tt.entry[:min(len(tt.entry), 60)], func(t *testing.T) {
			c, err := Load(required(tt.entry), "")
			if err == nil || c != nil {
				t.Fatalf("Load = %v, %v, want an error alone", c, err)
			}
			name, _, _ := strings.Cut(tt.entry, "=")
			if want := strings.TrimSuffix(name, "_FILE"); !strings.HasPrefix(err.Error(), want) {
				t.Errorf("error %q, want it to begin with %s", err, want)
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "expected") {
				t.Errorf("error %q, want %q in it and what is expected", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want one problem without secrets", err)
			}
		})
	}
}

func TestBadFiles(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"unknown key", "KOVRA_LISTEN: :1\nKOVRA_LISTN: :2\n", "KOVRA_LISTN: there is no such setting; expected: perhaps KOVRA_LISTEN (FILE, line 2)"},
		{"other key", "listen: :1\n", "listen: there is no such setting"},
		{"merge key", "<<: {}\n", "there is no such setting"},
		{"twice", "KOVRA_LISTEN: :1\nKOVRA_LISTEN: :2\n", "KOVRA_LISTEN: it is given twice; expected: once (FILE, line 2)"},
		{"bad value", "\nKOVRA_LISTEN: x\n", `KOVRA_LISTEN: "x" is no address; expected: host:port, for example :8080 or 127.0.0.1:8080 (FILE, line 2)`},
		{"null", "KOVRA_LISTEN:\n", "KOVRA_LISTEN: it has no plain value"},
		{"empty", "KOVRA_LISTEN: ''\n", "KOVRA_LISTEN: it is empty"},
		{"mapping", "KOVRA_LISTEN: {a: b}\n", "KOVRA_LISTEN: it is no plain value"},
		{"binary", "KOVRA_LISTEN: !!binary aGk=\n", "KOVRA_LISTEN: it has no plain value"},
		{"alias", "KOVRA_ADMINS: &a [U1]\nKOVRA_LISTEN: *a\n", "KOVRA_LISTEN: it is no plain value"},
		{"list where none is", "KOVRA_LISTEN: [':1']\n", "KOVRA_LISTEN: it is no plain value"},
		{"empty list", "KOVRA_ADMINS: []\n", "KOVRA_ADMINS: the list is empty"},
		{"empty entry", "KOVRA_GITLAB_WEBHOOK_SECRET:\n- a\n- ''\n", "KOVRA_GITLAB_WEBHOOK_SECRET: line 3: it is empty"},
		{"comma in entry", "KOVRA_GITLAB_WEBHOOK_SECRET: ['a,b']\n", "has a comma in it"},
		{"both", "KOVRA_GITLAB_TOKEN: a\nKOVRA_GITLAB_TOKEN_FILE: b\n", "KOVRA_GITLAB_TOKEN: KOVRA_GITLAB_TOKEN_FILE is set too"},
		{"no mapping", "- a\n", "configuration file FILE, line 1: expected a mapping"},
		{"key is a list", "[a]: b\n", "configuration file FILE, line 1: a key is no text"},
		{"two documents", "{}\n---\n{}\n", "there is more after it"},
		{"no YAML", "a: [\n", "configuration file FILE: yaml: line"},
		{"too large", "#" + strings.Repeat("x", maxFile), "larger than 1 MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			environ := required()
			if tt.name == "both" {
				environ = []string{"KOVRA_SLACK_BOT_TOKEN=x", "KOVRA_SLACK_SIGNING_SECRET=x", "KOVRA_GITLAB_WEBHOOK_SECRET=x", "KOVRA_ADMINS=U01"}
			}
			path := write(t, tt.text)
			_, err := Load(environ, path)
			if err == nil {
				t.Fatal("Load accepts it")
			}
			if got := strings.ReplaceAll(err.Error(), path, "FILE"); !strings.Contains(got, tt.want) {
				t.Errorf("error %q, want %q in it", got, tt.want)
			}
		})
	}
	if _, err := Load(required(), "/missing.yaml"); err == nil || !strings.Contains(err.Error(), "configuration file /missing.yaml") {
		t.Errorf("missing file: %v", err)
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	_, err := Load([]string{"KOVRA_LISTEN=x", "KOVRA_NONSENSE=1", "KOVRA_REGISTRY=r"}, write(t, "KOVRA_LOG_LEVEL: loud\n"))
	if err == nil {
		t.Fatal("Load accepts it")
	}
	for _, name := range []string{
		"KOVRA_LISTEN", "KOVRA_NONSENSE", "KOVRA_REGISTRY", "KOVRA_LOG_LEVEL", "KOVRA_SLACK_BOT_TOKEN", "KOVRA_SLACK_SIGNING_SECRET",
		"KOVRA_GITLAB_TOKEN", "KOVRA_GITLAB_WEBHOOK_SECRET", "KOVRA_ADMINS",
	} {
		if !strings.Contains("\n"+err.Error(), "\n"+name+": ") {
			t.Errorf("no line about %s in:\n%v", name, err)
		}
	}
	if got := strings.Count(err.Error(), "\n") + 1; got != 9 {
		t.Errorf("%d problems, want 9:\n%v", got, err)
	}
}

func TestSigningTokenAlone(t *testing.T) {
	environ := []string{"KOVRA_SLACK_BOT_TOKEN=x", "KOVRA_SLACK_SIGNING_SECRET=x", "KOVRA_GITLAB_TOKEN=x", "KOVRA_ADMINS=workspace-admins"}
	c := mustLoad(t, append(environ, "KOVRA_GITLAB_WEBHOOK_SIGNING_TOKEN="+goodSigning+" , whsec_c2Vj"), "")
	if len(c.GitLabSigningTokens) != 2 || len(c.GitLabWebhookSecrets) != 0 || !c.WorkspaceAdmins || len(c.Admins) != 0 {
		t.Errorf("tokens %d, secrets %d, workspace %t, admins %v", len(c.GitLabSigningTokens), len(c.GitLabWebhookSecrets), c.WorkspaceAdmins, c.Admins)
	}
	// A token that is wrong is one problem, not two.
	if _, err := Load(append(environ, "KOVRA_GITLAB_WEBHOOK_SIGNING_TOKEN=x"), ""); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("wrong token: %v, want one problem", err)
	}
}

// In Socket Mode nothing is signed.
func TestAppTokenAlone(t *testing.T) {
	environ := []string{"KOVRA_SLACK_BOT_TOKEN=x", "KOVRA_GITLAB_TOKEN=x", "KOVRA_GITLAB_WEBHOOK_SECRET=x", "KOVRA_ADMINS=U01"}
	if c := mustLoad(t, append(environ, "KOVRA_SLACK_APP_TOKEN=xapp-1"), ""); c.SlackAppToken != "xapp-1" || c.SlackSigningSecret != "" {
		t.Errorf("app token %t, signing secret %t", c.SlackAppToken != "", c.SlackSigningSecret != "")
	}
	c := mustLoad(t, append(environ, "KOVRA_SLACK_APP_TOKEN_FILE="+write(t, "xapp-2\n"), "KOVRA_SLACK_SIGNING_SECRET=shh"), "")
	if c.SlackAppToken != "xapp-2" || c.SlackSigningSecret != "shh" {
		t.Errorf("both: app token %t, signing secret %t", c.SlackAppToken == "xapp-2", c.SlackSigningSecret == "shh")
	}
	if _, err := Load(environ, ""); err == nil || !strings.HasPrefix(err.Error(), "KOVRA_SLACK_SIGNING_SECRET: neither it nor KOVRA_SLACK_APP_TOKEN is set") {
		t.Errorf("neither: %v", err)
	}
	// A token that is wrong is one problem, not two.
	if _, err := Load(append(environ, "KOVRA_SLACK_APP_TOKEN=xoxb-1"), ""); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("wrong token: %v, want one problem", err)
	}
}

// Builds need to know where, and where to put images.
func TestBuildsOnAndOff(t *testing.T) {
	kubeconfig := "KOVRA_KUBECONFIG=" + write(t, "apiVersion: v1\n")
	const inPod, images = "KUBERNETES_SERVICE_HOST=10.0.0.1", "KOVRA_REGISTRY=localhost/team"
	tests := []struct {
		name  string
		given []string
		want  string // why there are none
	}{
		{"nothing", nil, "no cluster is configured (KOVRA_KUBECONFIG is not set, and this is no pod of a cluster)"},
		{"images without a cluster", []string{images}, "no cluster is configured (KOVRA_KUBECONFIG is not set, and this is no pod of a cluster)"},
		{"not quite a pod", []string{images, "KUBERNETES_SERVICE_HOST="}, "no cluster is configured (KOVRA_KUBECONFIG is not set, and this is no pod of a cluster)"},
		{"a pod without a place for images", []string{inPod}, "KOVRA_REGISTRY is not set, so there is no place for images"},
		{"a pod", []string{inPod, images}, ""},
		{"a kubeconfig", []string{kubeconfig, images}, ""},
		{"both", []string{inPod, kubeconfig, images}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := mustLoad(t, required(tt.given...), "").NoBuilds(); got != tt.want {
				t.Errorf("NoBuilds = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestKubeconfigNeedsARegistry(t *testing.T) {
	kubeconfig := "KOVRA_KUBECONFIG=" + write(t, "apiVersion: v1\n")
	const want = "KOVRA_REGISTRY: it is not set, but KOVRA_KUBECONFIG is; expected: the image prefix that builds push to, for example registry.example.com/team"
	if _, err := Load(required(kubeconfig), ""); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	// One that is wrong is one problem, not two.
	if _, err := Load(required(kubeconfig, "KOVRA_REGISTRY=x"), ""); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("wrong registry: %v, want one problem", err)
	}
}

func TestCAFile(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ours"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	path := write(t, "# ours\n"+string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}))+certificate)
	c := mustLoad(t, required("KOVRA_CA_FILE="+path), "")
	if _, err := cert.Verify(x509.VerifyOptions{Roots: c.CAPool}); err != nil {
		t.Errorf("a certificate of the file is not trusted: %v", err)
	}
	if c.CAFile != path {
		t.Errorf("CAFile = %q, want %q", c.CAFile, path)
	}
	if string(c.CAPEM) != certificate { // builds see it, and a key that stands beside is none of their business
		t.Errorf("CAPEM = %q, want %q", c.CAPEM, certificate)
	}
}

func TestNothingOfASecretIsSeen(t *testing.T) {
	c := mustLoad(t, required("KOVRA_ENCRYPTION_KEY="+goodKey, "KOVRA_GITLAB_WEBHOOK_SIGNING_TOKEN="+goodSigning), "")
	c.SlackBotToken, c.SlackSigningSecret, c.GitLabToken, c.GitLabWebhookSecrets[0] = "hunter2", "hunter2", "hunter2", "hunter2"
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+"\n", c.GitLabToken)
		fmt.Fprintf(&out, verb+"\n", c)
		fmt.Fprintf(&out, verb+"\n", *c)
		fmt.Fprintf(&out, verb+"\n", c.GitLabWebhookSecrets)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("x", "token", c.GitLabToken, "list", c.GitLabWebhookSecrets, "config", c)
	}
	text, err := yaml.Marshal(map[string]any{"a": c.GitLabToken, "b": c.GitLabWebhookSecrets})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(text)
	for _, seen := range []string{"hunter2", "68756e74657232", "68756E74657232", goodKey, "kkkk", goodSigning} {
		if strings.Contains(out.String(), seen) {
			t.Errorf("%q is seen in:\n%s", seen, &out)
		}
	}
	if !strings.Contains(out.String(), "KOVRA_LISTEN") || !strings.Contains(out.String(), dots) {
		t.Errorf("the log does not show the settings:\n%s", &out)
	}
	if got := Secret("").String(); got != "" {
		t.Errorf("an empty secret prints as %q, want nothing", got)
	}
}

func TestDescribe(t *testing.T) {
	list := Describe()
	names := map[string]bool{}
	for _, s := range list {
		if names[s.Name] || !strings.HasPrefix(s.Name, prefix) || s.Help == "" || strings.HasSuffix(s.Help, ".") {
			t.Errorf("setting %+v: twice, misnamed or badly described", s)
		}
		if foreign(s.Name) {
			t.Errorf("%s looks like somebody else's variable", s.Name)
		}
		names[s.Name] = true
	}
	if len(list) != 36 {
		t.Errorf("%d settings, want 36", len(list))
	}
	for _, s := range settings {
		if s.set == nil || s.get == nil {
			t.Errorf("%s is not read, or not shown", s.Name)
		}
	}
}

// written gives the file that c could have been loaded from.
func written(t *testing.T, c *Config) string {
	t.Helper()
	values := map[string]string{}
	for _, s := range settings {
		if s.get == nil {
			continue
		}
		if value := s.get(c); value != "" {
			values[s.Name] = value
		}
	}
	text, err := yaml.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func FuzzLoad(f *testing.F) {
	f.Add(everything)
	f.Add(strings.Join(strings.Split(strings.Join(required("KOVRA_WEBHOOK_MAX_BYTES=3 kb", "KOVRA_LOG_FORMAT=TEXT"), "\n"), "="), ": "))
	f.Add("KOVRA_ADMINS: &a [U1, *a]\nKOVRA_GITLAB_TOKEN_FILE: /dev/null\n")
	f.Add("? [a]\n: b\n")
	f.Add("KOVRA_LOG_RETENTION: 14d\nKOVRA_LOG_MAX_TOTAL: 3gb\nKOVRA_LOG_ACCESS: LINK\nKOVRA_LOG_PATTERNS: " + write(f, goodPatterns) + "\n")
	f.Add("KOVRA_KUBECONFIG: " + write(f, "x") + "\nKOVRA_REGISTRY: r:5/a__b\nKOVRA_BUILD_CONCURRENCY: 007\nKOVRA_BUILD_TIMEOUT: 1D\n")
	f.Add(everything + "KOVRA_POLICY: " + write(f, goodPolicy) + "\n")
	f.Add("KOVRA_LISTN: 1\n--- !!binary x\n")
	f.Fuzz(func(t *testing.T, text string) {
		// A file alone, and a file over which the environment has its say.
		for _, environ := range [][]string{nil, required()} {
			first, err := Load(environ, write(t, text))
			if err != nil {
				continue
			}
			again := written(t, first)
			second, err := Load(nil, write(t, again))
			if err != nil {
				t.Fatalf("what was loaded does not load again: %v\n%s", err, again)
			}
			if diff := compare(first, second); diff != "" {
				t.Fatalf("written back, it differs (-first +second):\n%s\n%s", diff, again)
			}
		}
	})
}
