package check

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const ownToken = "GitLab → the bot's avatar → Edit profile → Access tokens (of a group: Settings → Access tokens)" //nolint:gosec // the way to a token, not one

var gitlabRows = []Row{
	{"gitlab.api.unreachable", Wrong, "GitLab cannot be reached at <url>: <reason>.", "Correct KOVRA_GITLAB_URL, or let this machine reach it: `curl -i <url>/api/v4/version`. Behind a proxy set HTTPS_PROXY."},
	{"gitlab.api.certificate", Wrong, "The certificate of <url> is not trusted: <reason>.", "Set KOVRA_CA_FILE to a file with the certificate of the authority that signed it, in PEM: `openssl s_client -showcerts -connect <host> </dev/null` shows the chain."},
	{"gitlab.api.redirect", Wrong, "<url> redirects to <to>; a token must not be sent along.", "Set KOVRA_GITLAB_URL to the address where GitLab really is."},
	{"gitlab.api.not_gitlab", Wrong, "What answers at <url> is not GitLab's API (<said>).", "Set KOVRA_GITLAB_URL to GitLab's base address, without /api/v4 and with the path below which GitLab lives, if there is one."},
	{"gitlab.api.plain", Warning, "KOVRA_GITLAB_URL is plain HTTP: tokens go over the network in the clear.", "Set KOVRA_GITLAB_URL to https://…"},
	{"gitlab.clock.off", Wrong, "This machine's clock and GitLab's differ by <skew>. Signed webhooks are valid for five minutes only.", "Set the clock: `timedatectl set-ntp true`, here or at GitLab."},
	{"gitlab.token.refused", Wrong, "GitLab does not accept the token: <said>.", ownToken + ": make one with the scope api, put it into KOVRA_GITLAB_TOKEN" + orRestart},
	{"gitlab.token.expired", Wrong, "The token has expired.", ownToken + ": make a new one with the scope api, put it into KOVRA_GITLAB_TOKEN" + orRestart},
	{"gitlab.token.expires", Warning, "The token expires on <day>, in <days> days.", ownToken + ": make a new one with the scope api, put it into KOVRA_GITLAB_TOKEN before" + orRestart},
	{"gitlab.token.scope", Wrong, "The token lacks the scope api; it has: <scopes>.", ownToken + ": make one with the scope api, put it into KOVRA_GITLAB_TOKEN" + orRestart},
	{"gitlab.version.old", Warning, "GitLab is <version>. Before 17.0 child pipelines cannot be listed, and webhooks have no name by which Kovra knows its own.", "Upgrade GitLab."},
	{"gitlab.version.unsigned", Wrong, "GitLab is <version> and signs no webhooks (19.0 does), but only KOVRA_GITLAB_WEBHOOK_SIGNING_TOKEN is set: every webhook is refused.", "Set KOVRA_GITLAB_WEBHOOK_SECRET too: `openssl rand -hex 24`."},
	{"gitlab.oauth.refused", Wrong, "GitLab does not accept the OAuth application: its id is unknown, or its secret is wrong.", "GitLab → Applications of the group or instance: copy Application ID and Secret into KOVRA_GITLAB_OAUTH_CLIENT_ID and KOVRA_GITLAB_OAUTH_CLIENT_SECRET. Its redirect address must be <public>/oauth/gitlab/callback."},
}

const (
	expiresSoon = 30 * 24 * time.Hour
	leastGitLab = 17 // its major version
	signsFrom   = 19
)

// gitlabAnswer is what the endpoints that are asked answer.
type gitlabAnswer struct {
	Version  string `json:"version"`
	Username string `json:"username"` // of user
	// of personal_access_tokens/self
	Name      string   `json:"name"`
	Scopes    []string `json:"scopes"`
	ExpiresAt string   `json:"expires_at"`
	// of refusals
	Message     any    `json:"message"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// said is why GitLab refused, in its own words.
func (g gitlabAnswer) said() string {
	text, _ := g.Message.(string)
	return strings.TrimSuffix(cmp.Or(g.Description, text, g.Error), ".")
}

// askGitLab asks one endpoint with the bot's token.
func (l *look) askGitLab(ctx context.Context, path string) (*answer, error) {
	return l.get(ctx, l.cfg.GitLabURL+"/api/v4/"+path, http.Header{"Private-Token": {l.cfg.GitLabToken.Reveal()}})
}

// gitlab looks at GitLab, and at the linked projects if the token may.
func (l *look) gitlab(ctx context.Context) []Finding {
	const api = "gitlab.api"
	if l.bad("KOVRA_GITLAB_URL") {
		return []Finding{skip(api, "API", "KOVRA_GITLAB_URL is wrong")}
	}
	var list []Finding
	if l.plain() {
		list = append(list, found(api+".plain", "API"))
	}
	a, err := l.askGitLab(ctx, "personal_access_tokens/self")
	if bad := l.notGitLab(a, err); bad != nil {
		return append(list, *bad)
	}
	list = append(list, fine(api, "API", l.cfg.GitLabURL), l.clock("gitlab.clock", a))
	tokens, usable := l.gitlabToken(a)
	list = append(list, tokens...)
	who := ""
	if usable {
		who = l.whoami(ctx)
		list = append(list, l.gitlabVersion(ctx))
	}
	list = append(list, l.oauth(ctx))
	switch {
	case !usable:
		return append(list, skip("gitlab.project", "projects", "the token is not usable"))
	case !l.state.read:
		return append(list, skip("gitlab.project", "projects", l.state.why))
	case len(l.state.projects) == 0:
		return append(list, skip("gitlab.project", "projects", "none is linked; in a channel: /kovra link APP GROUP/PROJECT"))
	}
	return append(list, l.projects(ctx, who)...)
}

// whoami is the user whose token it is, @name, as people must know to make it a member of something.
func (l *look) whoami(ctx context.Context) string {
	var said gitlabAnswer
	if a, err := l.askGitLab(ctx, "user"); err != nil || !a.decode(&said) || said.Username == "" {
		return "the bot"
	}
	return "@" + said.Username
}

// plain says whether tokens go to GitLab in the clear, over more than this machine.
func (l *look) plain() bool {
	u, err := url.Parse(l.cfg.GitLabURL)
	return err == nil && u.Scheme == "http" && !loopback(u.Hostname())
}

// notGitLab tells why what answered, if anything did, is not GitLab's API; nil: it is.
func (l *look) notGitLab(a *answer, err error) *Finding {
	const api, subject = "gitlab.api", "API"
	args := []string{"url", l.cfg.GitLabURL, "host", hostPort(l.cfg.GitLabURL)}
	bad := func(kind string, more ...string) *Finding {
		f := found(api+"."+kind, subject, append(args, more...)...)
		return &f
	}
	if err != nil {
		if how, is := untrusted(err); is {
			return bad("certificate", "reason", how)
		}
		return bad("unreachable", "reason", why(err))
	}
	var said gitlabAnswer
	isJSON := a.decode(&said)
	switch {
	case a.redirect() != "":
		return bad("redirect", "to", a.redirect())
	case a.status == http.StatusTooManyRequests || a.status >= http.StatusInternalServerError:
		return bad("unreachable", "reason", "it answers "+a.said())
	case !isJSON:
		return bad("not_gitlab", "said", a.said()+", no JSON")
	case a.status == http.StatusOK && len(said.Scopes) == 0, a.status == http.StatusNotFound && said.Error != "404 Not Found" && said.Message != "404 Not Found":
		return bad("not_gitlab", "said", a.said())
	}
	return nil
}

// gitlabToken judges the token by what GitLab says of it. Every token may ask about itself, whatever its scopes, since
// GitLab 15.5 (lib/api/personal_access_tokens/self_information.rb).
func (l *look) gitlabToken(a *answer) (list []Finding, usable bool) {
	const id, subject = "gitlab.token", "token"
	if l.cfg.GitLabToken == "" {
		return []Finding{skip(id, subject, "KOVRA_GITLAB_TOKEN is "+l.unset("KOVRA_GITLAB_TOKEN"))}, false
	}
	var said gitlabAnswer
	a.decode(&said)
	switch {
	case a.status == http.StatusUnauthorized && strings.Contains(said.said(), "expired"):
		return []Finding{found(id+".expired", subject)}, false
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		return []Finding{found(id+".refused", subject, "said", cmp.Or(said.said(), a.said()))}, false
	case a.status != http.StatusOK:
		return []Finding{fine(id, subject, "GitLab does not say what it may")}, true
	case !slices.Contains(said.Scopes, "api"):
		return []Finding{found(id+".scope", subject, "scopes", strings.Join(said.Scopes, ", "))}, false
	}
	day, err := time.Parse(time.DateOnly, said.ExpiresAt)
	if err != nil {
		return []Finding{fine(id, subject, said.Name+", never expires")}, true
	}
	if left := day.Sub(l.o.Now()); left < expiresSoon {
		return []Finding{found(id+".expires", subject, "day", said.ExpiresAt, "days", fmt.Sprint(max(int(left.Hours()/24), 0)))}, true
	}
	return []Finding{fine(id, subject, said.Name+", until "+said.ExpiresAt)}, true
}

// gitlabVersion asks how old GitLab is.
func (l *look) gitlabVersion(ctx context.Context) Finding {
	const id, subject = "gitlab.version", "version"
	a, err := l.askGitLab(ctx, "version")
	var said gitlabAnswer
	if err != nil || !a.decode(&said) || said.Version == "" {
		return skip(id, subject, "GitLab does not say")
	}
	var major int
	if _, err := fmt.Sscanf(said.Version, "%d.", &major); err != nil {
		return fine(id, subject, said.Version)
	}
	signedOnly := len(l.cfg.GitLabSigningTokens) > 0 && len(l.cfg.GitLabWebhookSecrets) == 0
	switch {
	case signedOnly && major < signsFrom:
		return found(id+".unsigned", subject, "version", said.Version)
	case major < leastGitLab:
		return found(id+".old", subject, "version", said.Version)
	}
	return fine(id, subject, said.Version)
}

// noCode is no code that GitLab has ever given.
const noCode = "kovra-check"

// oauth asks GitLab to exchange a code that does not exist. It judges the application first (RFC 6749, 5.2): invalid_client says that it does
// not know it, invalid_grant that it does. Whether the redirect address is right it tells nobody who is not signed in.
func (l *look) oauth(ctx context.Context) Finding {
	const id, subject = "gitlab.oauth", "OAuth application"
	if l.cfg.OAuthClientID == "" || l.cfg.OAuthClientSecret == "" {
		return skip(id, subject, "not set up: people do not act with their own accounts")
	}
	a, err := l.ask(ctx, question{method: http.MethodPost, url: l.cfg.GitLabURL + "/oauth/token", header: http.Header{}, form: url.Values{
		"grant_type": {"authorization_code"}, "code": {noCode}, "redirect_uri": {l.cfg.PublicURL + "/oauth/gitlab/callback"},
		"client_id": {l.cfg.OAuthClientID}, "client_secret": {l.cfg.OAuthClientSecret.Reveal()},
	}})
	if err != nil {
		return skip(id, subject, why(err))
	}
	var said gitlabAnswer
	a.decode(&said)
	switch said.Error {
	case "invalid_client", "unauthorized_client":
		return found(id+".refused", subject, "public", l.cfg.PublicURL)
	case "invalid_grant":
		return fine(id, subject, "known; its redirect address must be "+l.cfg.PublicURL+"/oauth/gitlab/callback")
	}
	return skip(id, subject, "GitLab answers "+a.said())
}
