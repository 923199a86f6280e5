package check

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"kovra.dev/chatops/internal/config"
)

var configRows = []Row{
	{"config.settings.file", Wrong, "The configuration file <file> cannot be used: <reason>.", "Correct the file, or the path after `--config`."},
	{"config.settings.unknown", Wrong, "<setting> is no setting of Kovra<where>.", "Correct its name (<expected>), or take it out."},
	{"config.settings.missing", Wrong, "<setting>: <reason>.", "Set it. Expected: <expected>."},
	{"config.settings.twice", Wrong, "<setting> is given in more than one way<where>: <reason>.", "Leave one of them. Expected: <expected>."},
	{"config.settings.secret_file", Wrong, "<setting> cannot be read<where>: <reason>.", "Let it name a file that this user can read: `ls -l $<setting>`. Expected: <expected>."},
	{"config.settings.token_kind", Wrong, "<setting> is a token of another kind<where>: <reason>.", "api.slack.com/apps → your app: the bot token (xoxb-…) is under OAuth & Permissions, app-level tokens (xapp-…) under Basic Information. Expected: <expected>."},
	{"config.settings.url", Wrong, "<setting> is no address that can be used<where>: <reason>.", "Correct <setting>. Expected: <expected>."},
	{"config.settings.key", Wrong, "KOVRA_ENCRYPTION_KEY cannot be used<where>: <reason>.", "Take the key that this installation had before; for a new one `openssl rand -base64 32`. Expected: <expected>."},
	{"config.settings.oauth", Wrong, "Signing in with GitLab is set up by half: <setting> is not set.", "Set <setting>, or take KOVRA_GITLAB_OAUTH_CLIENT_ID and its secret out. Expected: <expected>."},
	{"config.settings.policy", Wrong, "KOVRA_POLICY: <reason>.", "Correct the file; docs/policy.md describes it. Expected: <expected>."},
	{"config.settings.ca_file", Wrong, "KOVRA_CA_FILE: <reason>.", "Let it name certificates in PEM: `openssl x509 -in FILE -noout -subject` shows one. Expected: <expected>."},
	{"config.settings.log_patterns", Wrong, "KOVRA_LOG_PATTERNS: <reason>.", "Correct the file; docs/log-patterns.md describes it. Expected: <expected>."},
	{"config.settings.kubeconfig", Wrong, "KOVRA_KUBECONFIG: <reason>.", "Let it name a kubeconfig that this user can read, or take it out: builds are then off. Expected: <expected>."},
	{"config.settings.value", Wrong, "<setting>: <reason><where>.", "Correct it. Expected: <expected>."},
}

const everySetting = "settings"

// settings tells every problem of the configuration.
func (l *look) settings(context.Context) []Finding {
	if len(l.problems) == 0 {
		given := "from the environment"
		if l.o.File != "" {
			given = "from " + l.o.File + " and the environment"
		}
		return []Finding{fine("config.settings", everySetting, given)}
	}
	var list []Finding
	for _, p := range l.problems {
		where := ""
		if p.Where != "" {
			where = " (" + p.Where + ")"
		}
		expected := cmp.Or(p.Expected(), "what the README says of it")
		list = append(list, found("config.settings."+kindOf(p), cmp.Or(p.Setting, l.o.File),
			"setting", p.Setting, "where", where, "file", p.Where, "reason", p.Reason(), "expected", expected))
	}
	return list
}

// special are the settings whose problems have a row of their own.
var special = map[string]string{
	"KOVRA_ENCRYPTION_KEY": "key", "KOVRA_POLICY": "policy", "KOVRA_CA_FILE": "ca_file", "KOVRA_LOG_PATTERNS": "log_patterns",
	"KOVRA_KUBECONFIG": "kubeconfig", "KOVRA_PUBLIC_URL": "url", "KOVRA_SLACK_API_URL": "url", "KOVRA_GITLAB_URL": "url",
}

// oauthSettings are not set where others want them to be.
var oauthSettings = []string{"KOVRA_GITLAB_OAUTH_CLIENT_ID", "KOVRA_GITLAB_OAUTH_CLIENT_SECRET", "KOVRA_ENCRYPTION_KEY", "KOVRA_PUBLIC_URL"}

// kindOf gives the last word of the row of a problem.
func kindOf(p *config.Problem) string {
	switch {
	case p.Setting == "":
		return "file"
	case !p.Known:
		return "unknown"
	case strings.Contains(p.Text, "is set too") || strings.Contains(p.Text, "given twice"):
		return "twice"
	case strings.HasSuffix(p.Setting, "_FILE") && special[p.Setting] == "":
		return "secret_file"
	case !p.Given && slices.Contains(oauthSettings, p.Setting):
		return "oauth"
	case !p.Given:
		return "missing"
	case strings.Contains(p.Text, "app-level token"):
		return "token_kind"
	}
	return cmp.Or(special[p.Setting], "value")
}
