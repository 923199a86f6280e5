package check

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"kovra.dev/chatops/internal/config"
)

const slackApp = "api.slack.com/apps → your app → "

var slackRows = []Row{
	{"slack.api.unreachable", Wrong, "Slack cannot be reached at <url>: <reason>.", "Let this machine reach it: `curl -i <url>auth.test`. Behind a proxy set HTTPS_PROXY."},
	{"slack.api.certificate", Wrong, "The certificate of <url> is not trusted: <reason>.", "Slack's own are trusted everywhere: a proxy in between signs them itself. Set KOVRA_CA_FILE to a file with the certificate of its authority, in PEM; `openssl s_client -showcerts -connect <host> </dev/null` shows the chain."},
	{"slack.api.not_slack", Wrong, "What answers at <url> is not Slack's Web API (<said>).", "Take KOVRA_SLACK_API_URL out (it is for tests), and see that no proxy answers in place of Slack: `curl -i <url>auth.test`."},
	{"slack.clock.off", Wrong, "This machine's clock and Slack's differ by <skew>. What Slack signs is valid for five minutes only.", "Set the clock: `timedatectl set-ntp true`."},
	{"slack.bot_token.refused", Wrong, "Slack does not accept the bot token (<code>).", slackApp + "OAuth & Permissions: install the app, copy the Bot User OAuth Token into KOVRA_SLACK_BOT_TOKEN" + orRestart},
	{"slack.bot_token.not_a_bot", Wrong, "KOVRA_SLACK_BOT_TOKEN is the token of <user>, a person, not of a bot.", slackApp + "OAuth & Permissions: take the Bot User OAuth Token (xoxb-…), not the User OAuth Token."},
	{"slack.scopes.missing", Wrong, "The bot lacks scopes: <scopes>.", slackApp + "App Manifest: paste Kovra's manifest (manifests/slack) again, then Install App → Reinstall to Workspace."},
	{"slack.app_token.refused", Wrong, "Slack does not accept the app-level token (<code>).", slackApp + "Basic Information → App-Level Tokens: make one with the scope connections:write, put it into KOVRA_SLACK_APP_TOKEN" + orRestart},
	{"slack.app_token.scope", Wrong, "The app-level token lacks the scope connections:write.", slackApp + "Basic Information → App-Level Tokens: make one that has it, put it into KOVRA_SLACK_APP_TOKEN" + orRestart},
	{"slack.app_token.socket_mode_off", Wrong, "KOVRA_SLACK_APP_TOKEN is set, but Socket Mode is switched off in the app.", slackApp + "Socket Mode: Enable Socket Mode. Or take KOVRA_SLACK_APP_TOKEN out and set KOVRA_SLACK_SIGNING_SECRET: Slack then calls KOVRA_PUBLIC_URL."},
	{"slack.admins.unknown", Wrong, "<id> of KOVRA_ADMINS is nobody in the workspace.", "In Slack, on the person's profile: ⋮ → Copy member ID; correct KOVRA_ADMINS."},
	{"slack.admins.bot", Wrong, "<id> (<name>) of KOVRA_ADMINS is a bot, and bots may not act.", "Name people in KOVRA_ADMINS."},
	{"slack.admins.deactivated", Warning, "<id> (<name>) of KOVRA_ADMINS is deactivated.", "Take the id out of KOVRA_ADMINS, and see that somebody is left in it."},
}

// scopes are those that the bot needs, as manifests/slack asks for them; a test compares the two.
var scopes = []string{
	"commands", "chat:write", "channels:read", "channels:join", "channels:history", "groups:read", "groups:history",
	"users:read", "users:read.email", "im:write", "im:history", "app_mentions:read", "usergroups:read",
}

// mostSkew is how far a clock may be off. Signatures of Slack and GitLab are refused after five minutes.
const mostSkew = time.Minute

// slackAnswer is what the methods that are asked answer.
type slackAnswer struct {
	OK    *bool  `json:"ok"`
	Error string `json:"error"`
	// auth.test
	Team   string `json:"team"`
	User   any    `json:"user"` // a name of auth.test, an object of users.info
	BotID  string `json:"bot_id"`
	UserID string `json:"user_id"`
}

// troubles are answers that say nothing of the token.
var troubles = []string{"internal_error", "fatal_error", "service_unavailable", "request_timeout", "ratelimited", "team_added_to_org"}

// askSlack calls a method of Slack. bad is set where that was not Slack's answer, so that nothing can be said of the rest.
func (l *look) askSlack(ctx context.Context, method string, token config.Secret, form url.Values) (a *answer, said slackAnswer, bad *Finding) {
	const subject = "Web API"
	if form == nil {
		form = url.Values{}
	}
	a, err := l.ask(ctx, question{
		method: http.MethodPost, url: l.cfg.SlackAPIURL + method, form: form, header: http.Header{"Authorization": {"Bearer " + token.Reveal()}},
	})
	unreachable := func(reason string) *Finding {
		f := found("slack.api.unreachable", subject, "url", l.cfg.SlackAPIURL, "reason", reason)
		return &f
	}
	if err != nil {
		if how, is := untrusted(err); is {
			f := found("slack.api.certificate", subject, "url", l.cfg.SlackAPIURL, "host", hostPort(l.cfg.SlackAPIURL), "reason", how)
			return nil, said, &f
		}
		return nil, said, unreachable(why(err))
	}
	if a.status == http.StatusTooManyRequests || a.status >= http.StatusInternalServerError {
		return a, said, unreachable("it answers " + a.said())
	}
	if !a.decode(&said) || said.OK == nil {
		f := found("slack.api.not_slack", subject, "url", l.cfg.SlackAPIURL, "said", a.said()+", no JSON of its kind")
		return a, said, &f
	}
	if slices.Contains(troubles, said.Error) {
		return a, said, unreachable("it answers " + said.Error)
	}
	return a, said, nil
}

// slack looks at Slack: can it be reached, does it accept the tokens, do they have what is needed, who are the administrators.
func (l *look) slack(ctx context.Context) []Finding {
	if l.bad("KOVRA_SLACK_API_URL") {
		return []Finding{skip("slack.api", "Web API", "KOVRA_SLACK_API_URL is wrong")}
	}
	token := l.cfg.SlackBotToken
	a, said, bad := l.askSlack(ctx, "auth.test", token, nil)
	if bad != nil {
		return []Finding{*bad}
	}
	list := []Finding{fine("slack.api", "Web API", l.cfg.SlackAPIURL), l.clock("slack.clock", a)}
	botID, bot := "slack.bot_token", "bot token"
	switch {
	case token == "":
		list = append(list, skip(botID, bot, "KOVRA_SLACK_BOT_TOKEN is "+l.unset("KOVRA_SLACK_BOT_TOKEN")))
	case !*said.OK:
		list = append(list, found(botID+".refused", bot, "code", said.Error))
	case said.BotID == "":
		list = append(list, found(botID+".not_a_bot", bot, "user", fmt.Sprint(said.User)))
	default:
		list = append(list, fine(botID, bot, fmt.Sprintf("@%v in %s", said.User, said.Team)), grantedScopes(a))
		return append(append(list, l.appToken(ctx)...), l.admins(ctx)...)
	}
	list = append(list, skip("slack.scopes", "scopes", "the bot token is not usable"))
	list = append(list, l.appToken(ctx)...)
	return append(list, skip("slack.admins", "administrators", "the bot token is not usable"))
}

// unset says why a setting has no value.
func (l *look) unset(name string) string {
	if l.bad(name) {
		return "missing or wrong"
	}
	return "not set"
}

// clock compares our clock with that of whoever answered.
func (l *look) clock(id string, a *answer) Finding {
	off := l.skew(a)
	if off > mostSkew {
		return found(id+".off", "clock", "skew", off.Round(time.Second).String())
	}
	return fine(id, "clock", "")
}

// grantedScopes compares the scopes that Slack names in each answer with those that are needed.
func grantedScopes(a *answer) Finding {
	granted := map[string]bool{}
	for s := range strings.SplitSeq(a.header.Get("X-OAuth-Scopes"), ",") {
		granted[strings.TrimSpace(s)] = true
	}
	var missing []string
	for _, s := range scopes {
		if !granted[s] {
			missing = append(missing, s)
		}
	}
	if len(missing) > 0 {
		return found("slack.scopes.missing", "scopes", "scopes", strings.Join(missing, ", "))
	}
	return fine("slack.scopes", "scopes", fmt.Sprintf("all %d", len(scopes)))
}

// appToken asks for the address of a connection, which is not opened; Slack forgets it.
func (l *look) appToken(ctx context.Context) []Finding {
	const id, subject = "slack.app_token", "app-level token"
	if l.bad("KOVRA_SLACK_APP_TOKEN") {
		return []Finding{skip(id, subject, "KOVRA_SLACK_APP_TOKEN is wrong")}
	}
	if l.cfg.SlackAppToken == "" {
		return []Finding{skip(id, subject, "not set: Slack calls KOVRA_PUBLIC_URL")}
	}
	_, said, bad := l.askSlack(ctx, "apps.connections.open", l.cfg.SlackAppToken, nil)
	switch {
	case bad != nil:
		return []Finding{*bad}
	case *said.OK:
		return []Finding{fine(id, subject, "Socket Mode")}
	case said.Error == "missing_scope":
		return []Finding{found(id+".scope", subject)}
	case said.Error == "socket_mode_not_enabled":
		return []Finding{found(id+".socket_mode_off", subject)}
	}
	return []Finding{found(id+".refused", subject, "code", said.Error)}
}

// admins looks every administrator up.
func (l *look) admins(ctx context.Context) []Finding {
	const id, subject = "slack.admins", "administrators"
	if len(l.cfg.Admins) == 0 {
		seen := "those of the workspace"
		if !l.cfg.WorkspaceAdmins {
			return []Finding{skip(id, subject, "nobody is named")}
		}
		return []Finding{fine(id, subject, seen)}
	}
	var list []Finding
	names := map[string]bool{}
	for _, admin := range l.cfg.Admins {
		_, said, bad := l.askSlack(ctx, "users.info", l.cfg.SlackBotToken, url.Values{"user": {admin}})
		if bad != nil {
			return append(list, *bad)
		}
		if said.Error == "missing_scope" {
			return append(list, skip(id, subject, "the bot lacks the scope users:read"))
		}
		person, _ := said.User.(map[string]any)
		name, _ := person["name"].(string)
		isBot, _ := person["is_bot"].(bool)
		deleted, _ := person["deleted"].(bool)
		switch {
		case !*said.OK:
			list = append(list, found(id+".unknown", subject, "id", admin))
		case isBot:
			list = append(list, found(id+".bot", subject, "id", admin, "name", name))
		case deleted:
			list = append(list, found(id+".deactivated", subject, "id", admin, "name", name))
		default:
			names[name] = true
		}
	}
	if len(names) > 0 {
		list = append(list, fine(id, subject, strings.Join(slices.Sorted(maps.Keys(names)), ", ")))
	}
	return list
}

// Scopes are those that the bot needs.
func Scopes() []string { return slices.Clone(scopes) }
