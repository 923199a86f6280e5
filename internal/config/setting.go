package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
)

const (
	prefix     = "KOVRA_"
	fileSuffix = "_FILE"

	publicURL     = "KOVRA_PUBLIC_URL"
	databaseURL   = "KOVRA_DATABASE_URL"
	kubeconfig    = "KOVRA_KUBECONFIG"
	registry      = "KOVRA_REGISTRY"
	logAccess     = "KOVRA_LOG_ACCESS"
	encryptKey    = "KOVRA_ENCRYPTION_KEY"
	oauthID       = "KOVRA_GITLAB_OAUTH_CLIENT_ID"
	oauthSecret   = "KOVRA_GITLAB_OAUTH_CLIENT_SECRET"   //nolint:gosec // the name of a variable, not a secret
	appToken      = "KOVRA_SLACK_APP_TOKEN"              //nolint:gosec // the name of a variable, not a secret
	signingSecret = "KOVRA_SLACK_SIGNING_SECRET"         //nolint:gosec // the name of a variable, not a secret
	webhookSecret = "KOVRA_GITLAB_WEBHOOK_SECRET"        //nolint:gosec // the name of a variable, not a secret
	signingToken  = "KOVRA_GITLAB_WEBHOOK_SIGNING_TOKEN" //nolint:gosec // the name of a variable, not a secret
)

// Setting describes one variable, for help texts.
type Setting struct {
	Name    string // the variable
	Default string // empty: none
	Secret  bool   // may also be given as Name_FILE; never printed
	List    bool   // comma-separated, or a list in YAML
	Help    string // what it is, half a sentence without full stop
}

// setting is a Setting and how it is read into and shown from a Config.
type setting struct {
	Setting
	required bool
	unless   string // the name of a setting with which it is not required
	// set checks value and stores it. Its error says what is wrong and what is
	// expected, without the value of a secret.
	set func(c *Config, value string) error
	// get gives back a value that set accepts, empty if not set.
	get func(c *Config) string
}

// Describe lists all settings in the order of the documentation.
func Describe() []Setting {
	list := make([]Setting, 0, len(settings))
	for _, s := range settings {
		list = append(list, s.Setting)
	}
	return list
}

// settings are all settings, in the order of the documentation.
var settings = slices.Concat(serverSettings, peerSettings, keeperSettings, logSettings, buildSettings)

var serverSettings = []setting{
	{
		Setting: Setting{Name: "KOVRA_LISTEN", Default: ":8080", Help: "address to listen on, host:port"},
		set:     func(c *Config, v string) error { return setAddress(&c.Listen, v) },
		get:     func(c *Config) string { return c.Listen },
	},
	{
		Setting: Setting{Name: publicURL, Default: "http://localhost:8080", Help: "how Slack, GitLab and browsers reach Kovra; while it is not set no hook is created"},
		set:     func(c *Config, v string) error { return setURL(&c.PublicURL, v) },
		get: func(c *Config) string {
			if !c.PublicURLSet {
				return ""
			}
			return c.PublicURL
		},
	},
	{
		Setting: Setting{Name: databaseURL, Default: "sqlite:kovra.db", Help: "database, sqlite:PATH"},
		set:     func(c *Config, v string) error { return setDatabase(&c.DatabasePath, v) },
		get:     func(c *Config) string { return sqliteScheme + c.DatabasePath },
	},
	{
		Setting: Setting{Name: "KOVRA_WEBHOOK_MAX_BYTES", Default: "25MiB", Help: "largest body of a GitLab webhook, at most 1GiB"},
		set:     func(c *Config, v string) error { return setSize(&c.WebhookMaxBytes, v, 1, 1<<30) },
		get:     func(c *Config) string { return formatSize(c.WebhookMaxBytes) },
	},
}

var peerSettings = []setting{
	{
		Setting:  Setting{Name: "KOVRA_SLACK_BOT_TOKEN", Secret: true, Help: "the Slack app's bot token, xoxb-…"},
		required: true,
		set:      func(c *Config, v string) error { return setBotToken(&c.SlackBotToken, v) },
		get:      func(c *Config) string { return c.SlackBotToken.Reveal() },
	},
	{
		Setting: Setting{Name: signingSecret, Secret: true, Help: "the Slack app's signing secret; required unless the app token is set"},
		set:     func(c *Config, v string) error { return setSecret(&c.SlackSigningSecret, v) },
		get:     func(c *Config) string { return c.SlackSigningSecret.Reveal() },
	},
	{
		Setting: Setting{Name: appToken, Secret: true, Help: "app-level token with connections:write, xapp-…; set: Socket Mode, so that Slack need not reach Kovra"},
		set:     func(c *Config, v string) error { return setAppToken(&c.SlackAppToken, v) },
		get:     func(c *Config) string { return c.SlackAppToken.Reveal() },
	},
	{
		Setting: Setting{Name: "KOVRA_SLACK_API_URL", Default: "https://slack.com/api/", Help: "base of the Slack Web API, ends in a slash"},
		set:     func(c *Config, v string) error { return setBaseURL(&c.SlackAPIURL, v) },
		get:     func(c *Config) string { return c.SlackAPIURL },
	},
	{
		Setting: Setting{Name: "KOVRA_GITLAB_URL", Default: "https://gitlab.com", Help: "GitLab's base URL"},
		set:     func(c *Config, v string) error { return setURL(&c.GitLabURL, v) },
		get:     func(c *Config) string { return c.GitLabURL },
	},
	{
		Setting:  Setting{Name: "KOVRA_GITLAB_TOKEN", Secret: true, Help: "GitLab token of the bot's user or group, scope api"},
		required: true,
		set:      func(c *Config, v string) error { return setSecret(&c.GitLabToken, v) },
		get:      func(c *Config) string { return c.GitLabToken.Reveal() },
	},
	{
		Setting: Setting{Name: webhookSecret, Secret: true, List: true, Help: "secret token of the hooks; it or the signing token is required; several while rotating, the first is given to new hooks"},
		set:     func(c *Config, v string) error { return setSecrets(&c.GitLabWebhookSecrets, v, plainSecret) },
		get:     func(c *Config) string { return joinSecrets(c.GitLabWebhookSecrets) },
	},
	{
		Setting: Setting{Name: signingToken, Secret: true, List: true, Help: "signing token of GitLab 19's signed webhooks, whsec_…; several while rotating"},
		set:     func(c *Config, v string) error { return setSecrets(&c.GitLabSigningTokens, v, signingKey) },
		get:     func(c *Config) string { return joinSecrets(c.GitLabSigningTokens) },
	},
	{
		Setting: Setting{Name: oauthID, Help: "application id of a GitLab OAuth application with the scopes api and read_api; with it people act with their own GitLab account"},
		set:     func(c *Config, v string) error { return setText(&c.OAuthClientID, v) },
		get:     func(c *Config) string { return c.OAuthClientID },
	},
	{
		Setting: Setting{Name: oauthSecret, Secret: true, Help: "secret of the GitLab OAuth application"},
		set:     func(c *Config, v string) error { return setSecret(&c.OAuthClientSecret, v) },
		get:     func(c *Config) string { return c.OAuthClientSecret.Reveal() },
	},
}

var keeperSettings = []setting{
	{
		Setting: Setting{Name: encryptKey, Secret: true, List: true, Help: "32 bytes in base64 that encrypt secrets at rest, several while rotating; required with OAuth, else one is generated and kept beside the database"},
		set:     func(c *Config, v string) error { return setSecrets(&c.EncryptionKeys, v, encryptionKey) },
		get:     func(c *Config) string { return joinKeys(c.EncryptionKeys) },
	},
	{
		Setting:  Setting{Name: "KOVRA_ADMINS", List: true, Help: "Slack user ids of the administrators; " + workspaceAdmins + " stands for those of the Slack workspace; required without OAuth"},
		required: true,
		unless:   oauthID,
		set:      setAdmins,
		get:      adminList,
	},
	{
		Setting: Setting{Name: "KOVRA_POLICY", Help: "YAML file that says who is who and narrows what people may do, see docs/policy.md"},
		set:     setPolicy,
		get:     func(c *Config) string { return c.PolicyFile },
	},
	{
		Setting: Setting{Name: "KOVRA_CA_FILE", Help: "file with further certificate authorities, PEM; builds get them too. HTTPS_PROXY and NO_PROXY are honoured"},
		set:     setCAFile,
		get:     func(c *Config) string { return c.CAFile },
	},
	{
		Setting: Setting{Name: "KOVRA_HISTORY_RETENTION", Default: "365d", Help: "how long pipelines and builds that have ended, their threads, and what people did are remembered, 7d to 3650d"},
		set:     func(c *Config, v string) error { return setAge(&c.HistoryRetention, v, 7*day, 3650*day) },
		get:     func(c *Config) string { return formatAge(c.HistoryRetention) },
	},
	{
		Setting: Setting{Name: "KOVRA_LOG_LEVEL", Default: "info", Help: "least level that is logged: debug, info, warn or error"},
		set:     func(c *Config, v string) error { return setLevel(&c.LogLevel, v) },
		get:     func(c *Config) string { return strings.ToLower(c.LogLevel.String()) },
	},
	{
		Setting: Setting{Name: "KOVRA_LOG_FORMAT", Help: "text or json; without it, text on a terminal and json elsewhere"},
		set:     func(c *Config, v string) error { return setFormat(&c.LogFormat, v) },
		get:     func(c *Config) string { return string(c.LogFormat) },
	},
}

// logSettings are about the logs of jobs, not about our own.
var logSettings = []setting{
	{
		Setting: Setting{Name: "KOVRA_LOG_RETENTION", Default: "90d", Help: "how long logs of jobs and the links to them live, 1h to 3650d"},
		set:     func(c *Config, v string) error { return setAge(&c.LogRetention, v, time.Hour, 3650*day) },
		get:     func(c *Config) string { return formatAge(c.LogRetention) },
	},
	{
		Setting: Setting{Name: "KOVRA_LOG_MAX_TOTAL", Default: "10GiB", Help: "how much of the logs of jobs is kept in all, at least 100MiB; the oldest go first"},
		set:     func(c *Config, v string) error { return setSize(&c.LogMaxTotal, v, 100<<20, 1<<50) },
		get:     func(c *Config) string { return formatSize(c.LogMaxTotal) },
	},
	{
		Setting: Setting{Name: logAccess, Help: "who may read logs in the viewer; link: whoever has the link of one; login: who signs in with GitLab and may see the job there; without it, login with OAuth and link else"},
		set:     func(c *Config, v string) error { return setLogAccess(&c.LogAccess, v) },
		get:     func(c *Config) string { return string(c.LogAccess) },
	},
	{
		Setting: Setting{Name: "KOVRA_LOG_PATTERNS", Help: "YAML file with your own patterns of errors in logs, see docs/log-patterns.md"},
		set:     setLogPatterns,
		get:     func(c *Config) string { return c.LogPatternsFile },
	},
}

// buildSettings are about builds and deployments. Without a cluster and a registry they are read and not used.
var buildSettings = []setting{
	{
		Setting: Setting{Name: kubeconfig, Help: "kubeconfig of the cluster for builds; in a pod, the pod's own cluster; neither, or no registry: builds are off"},
		set:     func(c *Config, v string) error { return setKubeconfig(&c.Kubeconfig, v) },
		get:     func(c *Config) string { return c.Kubeconfig },
	},
	{
		Setting: Setting{Name: registry, Help: "image prefix that builds push to, for example registry.example.com/team"},
		set:     func(c *Config, v string) error { return setRegistry(&c.Registry, v) },
		get:     func(c *Config) string { return c.Registry },
	},
	{
		Setting: Setting{Name: "KOVRA_BUILD_NAMESPACE", Default: "kovra-builds", Help: "namespace of the PipelineRuns"},
		set:     func(c *Config, v string) error { return setLabel(&c.BuildNamespace, v) },
		get:     func(c *Config) string { return c.BuildNamespace },
	},
	{
		Setting: Setting{Name: "KOVRA_BUILD_CONCURRENCY", Default: "4", Help: "how many builds run at once, 1 to 100; the others wait their turn"},
		set:     func(c *Config, v string) error { return setCount(&c.BuildConcurrency, v, 1, 100) },
		get:     func(c *Config) string { return strconv.Itoa(c.BuildConcurrency) },
	},
	{
		Setting: Setting{Name: "KOVRA_BUILD_TIMEOUT", Default: "1h", Help: "how long a build may take, 1m to 1d"},
		set:     func(c *Config, v string) error { return setAge(&c.BuildTimeout, v, time.Minute, day) },
		get:     func(c *Config) string { return formatAge(c.BuildTimeout) },
	},
	{
		Setting: Setting{Name: "KOVRA_DEPLOY_TIMEOUT", Default: "10m", Help: "how long a roll-out may take, 1m to 1d"},
		set:     func(c *Config, v string) error { return setAge(&c.DeployTimeout, v, time.Minute, day) },
		get:     func(c *Config) string { return formatAge(c.DeployTimeout) },
	},
	{
		Setting: Setting{Name: "KOVRA_GIT_SECRET", Default: "kovra-git", Help: "Secret that builds clone with, basic auth, in the build namespace"},
		set:     func(c *Config, v string) error { return setObject(&c.GitSecret, v) },
		get:     func(c *Config) string { return c.GitSecret },
	},
	{
		Setting: Setting{Name: "KOVRA_REGISTRY_SECRET", Default: "kovra-registry", Help: "Secret that builds push with, dockerconfigjson, in the build namespace"},
		set:     func(c *Config, v string) error { return setObject(&c.RegistrySecret, v) },
		get:     func(c *Config) string { return c.RegistrySecret },
	},
	{
		Setting: Setting{Name: "KOVRA_BUILDER_ACCOUNT", Default: "kovra-builder", Help: "service account of builds"},
		set:     func(c *Config, v string) error { return setObject(&c.BuilderAccount, v) },
		get:     func(c *Config) string { return c.BuilderAccount },
	},
	{
		Setting: Setting{Name: "KOVRA_DEPLOYER_ACCOUNT", Default: "kovra-deployer", Help: "service account of deployments"},
		set:     func(c *Config, v string) error { return setObject(&c.DeployerAccount, v) },
		get:     func(c *Config) string { return c.DeployerAccount },
	},
	{
		Setting: Setting{Name: "KOVRA_CA_CONFIGMAP", Help: "ConfigMap of your own with the certificate authorities of builds, as files, in the build namespace; without it, those of KOVRA_CA_FILE are put into one"},
		set:     func(c *Config, v string) error { return setObject(&c.CAConfigMap, v) },
		get:     func(c *Config) string { return c.CAConfigMap },
	},
}

// kubernetesService matches the variables that Kubernetes gives to each pod for
// services whose name begins with "kovra".
var kubernetesService = regexp.MustCompile(`^KOVRA_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// foreign says whether name, which begins as ours do, belongs to somebody else.
func foreign(name string) bool {
	return strings.HasPrefix(name, "KOVRA_TEST_") || kubernetesService.MatchString(name)
}

// unknown says that name is no setting, and which one may be meant.
func unknown(name string) string {
	base, isFile := strings.CutSuffix(name, fileSuffix)
	if isFile && known(base) {
		return "only secrets may be given as a file; expected: " + base
	}
	best, distance := "", len(name)/3+1
	for _, s := range settings {
		if d := levenshtein.ComputeDistance(strings.ToUpper(name), s.Name); d < distance {
			best, distance = s.Name, d
		}
	}
	if best == "" {
		return "there is no such setting; expected: one of those that `kovra serve --help` lists"
	}
	return "there is no such setting; expected: perhaps " + best
}
