// Package config owns the program's configuration: one typed value, read once
// from the environment and an optional YAML file, in which nothing can be wrong
// any more.
//
// It is used by main: Load gives a Config or one error that names every problem
// at once; Describe lists all settings for help texts and the README.
//
// A Config never changes after Load; Live gives a new one when the file of a secret has changed. It never holds
// what people say in Slack (that is state), never prints a secret, and nothing else in the program reads the
// environment or settings in YAML.
package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// Config is a checked configuration. Make it with Load.
type Config struct {
	// Listen is the host:port to listen on; the host may be empty.
	Listen string
	// PublicURL is how Slack, GitLab and browsers reach us: http or https, no
	// slash at the end.
	PublicURL string
	// PublicURLSet says whether somebody chose PublicURL. If not, nobody outside
	// can reach it, and no hook may be created.
	PublicURLSet bool
	// DatabasePath is the path of the SQLite file.
	DatabasePath string
	// WebhookMaxBytes is the largest GitLab body accepted, at least 1.
	WebhookMaxBytes int64

	// SlackBotToken is the bot's token for the Slack Web API.
	SlackBotToken Secret
	// SlackSigningSecret is what Slack signs its requests with. It may be empty in
	// Socket Mode, where it is not used.
	SlackSigningSecret Secret
	// SlackAppToken opens connections to Slack, xapp-…; empty: Slack comes by HTTP.
	SlackAppToken Secret
	// SlackAPIURL is the base of the Slack Web API. It ends in a slash.
	SlackAPIURL string

	// GitLabURL is GitLab's base URL, no slash at the end.
	GitLabURL string
	// GitLabToken is the token of the bot's user or group.
	GitLabToken Secret
	// GitLabWebhookSecrets are accepted in X-Gitlab-Token; the first is given to
	// new hooks. It may be empty if GitLabSigningTokens is not. No entry is empty.
	GitLabWebhookSecrets []Secret
	// GitLabSigningTokens check signed webhooks, each whsec_ and base64. It may
	// be empty if GitLabWebhookSecrets is not.
	GitLabSigningTokens []Secret

	// OAuthClientID and OAuthClientSecret are those of the GitLab OAuth application
	// with which people connect their accounts; both empty: nobody does.
	OAuthClientID     string
	OAuthClientSecret Secret

	// EncryptionKeys each reveal exactly 32 bytes. The first encrypts, all
	// decrypt. Empty: a key is generated and kept beside the database.
	EncryptionKeys []Secret
	// Admins are the Slack user ids of administrators. With OAuth there may be none.
	Admins []string
	// WorkspaceAdmins says that the administrators of the Slack workspace are
	// administrators here too.
	WorkspaceAdmins bool
	// PolicyFile is the file that Policy was read from, empty if none.
	PolicyFile string
	// Policy narrows what people may do.
	Policy kovra.Policy

	// HistoryRetention is how long what has ended is remembered.
	HistoryRetention time.Duration

	// CAFile is the file that CAPool was read from, empty if none.
	CAFile string
	// CAPool is the system's certificate authorities and those of CAFile; nil
	// if there is no CAFile.
	CAPool *x509.CertPool
	// CAPEM is the certificates of CAFile, and nothing else that stands in it, for the pods of builds.
	CAPEM []byte
	// Proxy is how the outside is reached, as the usual variables say; net/http reads them by itself.
	Proxy Proxy

	// LogRetention is how long logs of jobs and the links to them live.
	LogRetention time.Duration
	// LogMaxTotal is how many bytes the logs of jobs may take in all.
	LogMaxTotal int64
	// LogAccess is who may read logs of jobs.
	LogAccess LogAccess
	// LogPatternsFile is the file that LogPatterns were read from, empty if none.
	LogPatternsFile string
	// LogPatterns are the team's own patterns of errors in logs of jobs, in the order of the file.
	LogPatterns []LogPattern

	// Kubeconfig is the file that says where the cluster for builds is; empty: in-cluster, or none.
	Kubeconfig string
	// InCluster says that we run in a pod of a cluster ourselves, whose builds these then are.
	InCluster bool
	// Registry is the prefix of all images, registry.example.com/team; empty: builds are off.
	Registry string
	// BuildNamespace is where PipelineRuns are made.
	BuildNamespace string
	// BuildConcurrency is how many builds run at once, 1 to 100.
	BuildConcurrency int
	// GitSecret and RegistrySecret name the Secrets of the build namespace that builds clone and push with.
	GitSecret, RegistrySecret string
	// BuilderAccount and DeployerAccount are the service accounts of builds and of deployments.
	BuilderAccount, DeployerAccount string
	// BuildTimeout and DeployTimeout end a build or deployment that takes longer.
	BuildTimeout, DeployTimeout time.Duration
	// CAConfigMap names a ConfigMap of the build namespace with further certificate authorities for builds, empty if none.
	CAConfigMap string

	// LogLevel is the least level that is logged.
	LogLevel slog.Level
	// LogFormat is how log lines look.
	LogFormat LogFormat

	files map[string]string // where the secrets stand that were read from files, by the name of the setting
}

// LogsPath is the path of the SQLite file that holds the logs of jobs: beside the
// database, with -logs before the extension.
func (c *Config) LogsPath() string {
	ext := filepath.Ext(c.DatabasePath)
	if ext == filepath.Base(c.DatabasePath) {
		ext = "" // a name that begins with its only dot
	}
	return strings.TrimSuffix(c.DatabasePath, ext) + "-logs" + ext
}

// NoBuilds says why builds are off, as half a sentence without full stop; empty: they are on.
func (c *Config) NoBuilds() string {
	switch {
	case c.Kubeconfig == "" && !c.InCluster:
		return "no cluster is configured (" + kubeconfig + " is not set, and this is no pod of a cluster)"
	case c.Registry == "":
		return registry + " is not set, so there is no place for images"
	}
	return ""
}

// LogAccess is who may read logs of jobs in the viewer.
type LogAccess string

// The ways to read a log.
const (
	LogByLink  LogAccess = "link"  // whoever has its link
	LogByLogin LogAccess = "login" // who has signed in with GitLab and may see the job there
)

// OAuth reports whether people act with their own GitLab accounts.
func (c *Config) OAuth() bool { return c.OAuthClientID != "" }

// LogFormat is how log lines look.
type LogFormat string

// The log formats.
const (
	LogAuto LogFormat = ""     // text on a terminal, else JSON
	LogText LogFormat = "text" // for people
	LogJSON LogFormat = "json" // for machines
)

// LogValue shows every setting by its variable, secrets as dots.
func (c *Config) LogValue() slog.Value {
	var attrs []slog.Attr
	for _, s := range settings {
		if s.get == nil {
			continue
		}
		value := s.get(c)
		if s.Secret {
			value = Secret(value).String()
		}
		attrs = append(attrs, slog.String(s.Name, value))
	}
	return slog.GroupValue(attrs...)
}

// Load reads the configuration from environ, in the form of os.Environ, and from
// the YAML file, which holds the same variables as keys; file may be empty. A
// variable of the environment wins over the file; an empty one counts as not set.
// NAME_FILE names a file that holds the value of a secret NAME.
//
// The error joins every problem found, each as "NAME: what is wrong and what is
// expected". It never holds the value of a secret.
func Load(environ []string, file string) (*Config, error) {
	c, problems := Survey(environ, file)
	if len(problems) == 0 {
		return c, nil
	}
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = errors.New(p.String())
	}
	return nil, errors.Join(errs...)
}

// DatabasePath reads the one setting that commands beside a running server need; see
// Load for environ and file. Other settings may be missing or wrong.
func DatabasePath(environ []string, file string) (string, error) {
	l := loader{values: map[string]source{}, files: map[string]string{}}
	if file != "" {
		l.readFile(file)
	}
	l.readEnviron(environ)
	l.problems = nil
	c := &Config{}
	for _, s := range settings {
		if s.Name == databaseURL {
			l.apply(c, s)
		}
	}
	if len(l.problems) > 0 {
		return "", errors.New(l.problems[0].String())
	}
	return c.DatabasePath, nil
}

// source is a value that was given for a name.
type source struct {
	value string
	where string // for messages: "" in the environment, else file and line
	level int    // the higher one wins
}

const (
	fromFile = iota
	fromEnviron
)

// loader gathers what was given, by name, and what is wrong with it.
type loader struct {
	values   map[string]source
	files    map[string]string // of secrets that were found in one, by name
	problems []*Problem
}

func (l *loader) problem(name, where, format string, args ...any) {
	l.problems = append(l.problems, &Problem{Setting: name, Text: fmt.Sprintf(format, args...), Where: where})
}

// fileProblem is one of the configuration file as a whole.
func (l *loader) fileProblem(where string, err error) {
	l.problems = append(l.problems, &Problem{Text: err.Error(), Where: where})
}

// readEnviron takes the variables that are ours.
func (l *loader) readEnviron(environ []string) {
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, prefix) || value == "" || foreign(name) {
			continue
		}
		if !known(name) {
			l.problem(name, "", "%s", unknown(name))
			continue
		}
		l.values[name] = source{value: value, level: fromEnviron}
	}
}

// apply sets s in c from what was given, or from its default.
func (l *loader) apply(c *Config, s setting) {
	value, where, given, ok := l.find(s)
	switch {
	case !ok:
		return
	case !given && s.required && !l.given(s.unless):
		l.problem(s.Name, "", "it is not set; expected: %s", s.Help)
		return
	case !given:
		value = s.Default
	}
	if value == "" {
		return
	}
	if err := s.set(c, value); err != nil {
		for _, one := range each(err) {
			l.problem(s.Name, where, "%s", one)
		}
		return
	}
	if s.Name == publicURL {
		c.PublicURLSet = given
	}
}

// each gives the errors that were joined into err.
func each(err error) []error {
	if joined, many := err.(interface{ Unwrap() []error }); many {
		return joined.Unwrap()
	}
	return []error{err}
}

// find gives the value of s and where it stands. It reports given=false if
// there is none, and ok=false if there is one that cannot be had, after noting why.
func (l *loader) find(s setting) (value, where string, given, ok bool) {
	plain, hasPlain := l.values[s.Name]
	path, hasPath := l.values[s.Name+fileSuffix]
	switch {
	case hasPlain && hasPath && plain.level == path.level:
		l.problem(s.Name, plain.where, "%s is set too; expected: one of the two", s.Name+fileSuffix)
		return "", "", true, false
	case hasPath && (!hasPlain || path.level > plain.level):
		text, err := readSecretFile(path.value)
		if err != nil {
			l.problem(s.Name+fileSuffix, path.where, "%s; expected: a readable file that holds the secret", err)
			return "", "", true, false
		}
		l.files[s.Name] = path.value
		return text, path.where, true, true
	case hasPlain:
		return plain.value, plain.where, true, true
	}
	return "", "", false, true
}

// checkWebhookAuth wants at least one way to know GitLab, unless one was given
// and has been complained about already.
func (l *loader) checkWebhookAuth(c *Config) {
	if len(c.GitLabWebhookSecrets) > 0 || len(c.GitLabSigningTokens) > 0 {
		return
	}
	if l.given(webhookSecret) || l.given(signingToken) {
		return
	}
	l.problem(webhookSecret, "", "neither it nor %s is set; expected: at least one, so that only GitLab can send events", signingToken)
}

// checkSlackAuth wants the one way to know Slack, or the other, unless one was given and has
// been complained about already.
func (l *loader) checkSlackAuth(c *Config) {
	if c.SlackAppToken != "" || c.SlackSigningSecret != "" || l.given(appToken) || l.given(signingSecret) {
		return
	}
	l.problem(signingSecret, "", "neither it nor %s is set; expected: the Slack app's signing secret, or an app-level token for Socket Mode", appToken)
}

// given reports whether a value of that name was given, right or wrong.
func (l *loader) given(name string) bool {
	_, plain := l.values[name]
	_, path := l.values[name+fileSuffix]
	return plain || path
}

// checkOAuth wants all that signing in with GitLab needs, and decides who may read logs.
func (l *loader) checkOAuth(c *Config) {
	hasID, hasSecret := l.given(oauthID), l.given(oauthSecret)
	switch {
	case hasID && !hasSecret:
		l.problem(oauthSecret, "", "it is not set, but %s is; expected: both, or none of them", oauthID)
	case hasSecret && !hasID:
		l.problem(oauthID, "", "it is not set, but %s is; expected: both, or none of them", oauthSecret)
	}
	oauth := hasID || hasSecret
	if oauth && !l.given(encryptKey) {
		l.problem(encryptKey, "", "it is not set, but %s is; expected: 32 bytes in base64, for example of `openssl rand -base64 32`", oauthID)
	}
	if oauth && !l.given(publicURL) {
		l.problem(publicURL, "", "it is not set, but %s is; expected: the address to which GitLab sends people back", oauthID)
	}
	if c.LogAccess == LogByLogin && !oauth {
		l.problem(logAccess, l.values[logAccess].where, "it is login, but %s is not set; expected: that too, or link", oauthID)
	}
	if c.LogAccess == "" && oauth {
		c.LogAccess = LogByLogin
	}
	if c.LogAccess == "" {
		c.LogAccess = LogByLink
	}
}

// checkRegistry wants a place for images where a cluster is named for builds, unless one was given and has
// been complained about already.
func (l *loader) checkRegistry(c *Config) {
	if _, given := l.values[registry]; c.Kubeconfig != "" && !given {
		l.problem(registry, "", "it is not set, but %s is; expected: the image prefix that builds push to, for example registry.example.com/team", kubeconfig)
	}
}

// inCluster reports whether Kubernetes tells us, as it does every pod, where its API is.
func inCluster(environ []string) bool {
	return slices.ContainsFunc(environ, func(entry string) bool {
		host, ok := strings.CutPrefix(entry, "KUBERNETES_SERVICE_HOST=")
		return ok && host != ""
	})
}

// known says whether name is a setting, or a secret's _FILE.
func known(name string) bool {
	base, isFile := strings.CutSuffix(name, fileSuffix)
	return slices.ContainsFunc(settings, func(s setting) bool {
		return s.Name == name || isFile && s.Name == base && s.Secret
	})
}
