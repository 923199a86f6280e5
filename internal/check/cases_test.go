package check_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/internal/tektonsim"
	"kovra.dev/chatops/storage"
)

// problem is a row of the table and how an installation comes to it.
type problem struct {
	id     string
	what   string   // a part of what is said
	also   []string // ids that cannot but come with it
	breaks func(*world)
}

// with changes settings.
func with(settings ...string) func(*world) {
	return func(w *world) {
		for _, s := range settings {
			name, value, _ := strings.Cut(s, "=")
			w.env[name] = value
		}
	}
}

// page is a server that is none of ours.
func page(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html>"+text+"</html>")
	})
}

func answers(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
}

// late is a server whose clock is behind.
func late(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(-7*time.Minute).UTC().Format(http.TimeFormat))
		next.ServeHTTP(w, r)
	})
}

func cases() []problem {
	var all []problem
	for _, some := range [][]problem{
		configCases(), databaseCases(), slackCases(), gitlabCases(), projectCases(), publicCases(), clusterCases(),
	} {
		all = append(all, some...)
	}
	return all
}

func configCases() []problem {
	const id = "config.settings."
	return []problem{
		{id: id + "file", what: "config.yaml, line 1", breaks: func(w *world) { w.file = w.write("config.yaml", "- a list") }},
		{id: id + "unknown", what: "KOVRA_LOG_LEVL", breaks: with("KOVRA_LOG_LEVL=debug")},
		{id: id + "missing", what: "KOVRA_GITLAB_WEBHOOK_SECRET", breaks: func(w *world) { w.unset("KOVRA_GITLAB_WEBHOOK_SECRET") }},
		{id: id + "twice", what: "KOVRA_GITLAB_TOKEN", breaks: func(w *world) { w.env["KOVRA_GITLAB_TOKEN_FILE"] = w.write("token", "glpat-sim") }},
		{id: id + "secret_file", what: "KOVRA_GITLAB_TOKEN_FILE", breaks: func(w *world) {
			w.unset("KOVRA_GITLAB_TOKEN")
			w.env["KOVRA_GITLAB_TOKEN_FILE"] = filepath.Join(w.dir, "missing")
		}},
		{id: id + "token_kind", what: "KOVRA_SLACK_BOT_TOKEN", breaks: with("KOVRA_SLACK_BOT_TOKEN=xapp-sim")},
		{id: id + "url", what: "KOVRA_GITLAB_URL", breaks: with("KOVRA_GITLAB_URL=gitlab.example.com")},
		{id: id + "key", what: "it is no key", breaks: with("KOVRA_ENCRYPTION_KEY=c2hvcnQ=")},
		{id: id + "oauth", what: "KOVRA_GITLAB_OAUTH_CLIENT_SECRET is not set", breaks: func(w *world) { w.unset("KOVRA_GITLAB_OAUTH_CLIENT_SECRET") }},
		{id: id + "policy", what: "line 2", breaks: func(w *world) { w.env["KOVRA_POLICY"] = w.write("policy.yaml", "people:\n  alice: U1\nrules: []\n") }},
		{id: id + "ca_file", what: "holds no certificate", also: []string{
			"slack.api.certificate", "gitlab.api.certificate", "public.address.certificate", "cluster.registry.certificate",
		}, breaks: func(w *world) { w.env["KOVRA_CA_FILE"] = w.write("empty.pem", "no certificate") }},
		{id: id + "log_patterns", what: "patterns.yaml", breaks: func(w *world) { w.env["KOVRA_LOG_PATTERNS"] = w.write("patterns.yaml", "- 1") }},
		{id: id + "kubeconfig", what: "no such file", breaks: with("KOVRA_KUBECONFIG=/nowhere/kubeconfig")},
		{id: id + "value", what: `"many" is no number`, breaks: with("KOVRA_BUILD_CONCURRENCY=many")},
	}
}

// sealed puts a database in place of the server's, in which a person's tokens are sealed with a key.
func sealed(w *world, key string) string {
	w.Helper()
	path := filepath.Join(w.dir, "other.db")
	db, err := storage.Open(w.Context(), storage.Options{Path: path, Key: [][]byte{[]byte(strings.Repeat(key, 32))}})
	if err != nil {
		w.Fatal(err)
	}
	err = db.Update(w.Context(), func(tx *storage.Tx) error {
		return tx.Connect("U1", kovra.GitLabUser{ID: 7, Username: "ann"}, kovra.TokenPair{Access: "a", Refresh: "r"})
	})
	if err != nil {
		w.Fatal(err)
	}
	if err := db.Close(); err != nil {
		w.Fatal(err)
	}
	w.env["KOVRA_DATABASE_URL"] = "sqlite:" + path
	return path
}

func databaseCases() []problem {
	return []problem{
		{id: "database.file.directory", what: "/nowhere", breaks: with("KOVRA_DATABASE_URL=sqlite:/nowhere/kovra.db")},
		{id: "database.file.newer", what: "schema 900", breaks: func(w *world) { newer(w, sealed(w, "k")) }},
		{id: "database.file.damaged", what: "other.db", breaks: func(w *world) {
			w.env["KOVRA_DATABASE_URL"] = "sqlite:" + w.write("other.db", strings.Repeat("no database ", 100))
		}},
		{id: "database.key.missing", what: "the accounts of 1 people", breaks: func(w *world) {
			w.withoutOAuth()
			sealed(w, "k")
		}},
		{id: "database.key.damaged", what: "other.db.key", breaks: func(w *world) {
			w.withoutOAuth()
			sealed(w, "k")
			w.write("other.db.key", "half a k")
		}},
		{id: "database.key.wrong", what: "the accounts of 1 of 1", breaks: func(w *world) { sealed(w, "k") }},
	}
}

func slackCases() []problem {
	front := func(h func(*world) http.Handler) func(*world) {
		return func(w *world) { w.env["KOVRA_SLACK_API_URL"] = serve(w.T, h(w)).URL + "/api/" }
	}
	other := func(o slacksim.Options) func(*world) {
		return front(func(w *world) http.Handler {
			s := slacksim.New(o)
			s.AddUser(slacksim.User{ID: "U1", Name: "ann"})
			return s
		})
	}
	return []problem{
		{id: "slack.api.unreachable", what: "connection refused", breaks: func(w *world) { w.env["KOVRA_SLACK_API_URL"] = "https://" + closed + "/api/" }},
		{id: "slack.api.certificate", what: "an authority that is not known here", breaks: func(w *world) {
			s, _ := stranger(w.T, w.slack, time.Hour)
			w.env["KOVRA_SLACK_API_URL"] = s.URL + "/api/"
		}},
		{id: "slack.api.not_slack", what: "200 OK, no JSON", breaks: front(func(*world) http.Handler { return page("sign in to the network") })},
		{id: "slack.clock.off", what: "by 7m", breaks: front(func(w *world) http.Handler { return late(w.slack) })},
		{id: "slack.bot_token.refused", what: "(invalid_auth)", breaks: with("KOVRA_SLACK_BOT_TOKEN=xoxb-other")},
		{id: "slack.bot_token.not_a_bot", what: "the token of ann", breaks: with("KOVRA_SLACK_BOT_TOKEN=xoxp-ann")},
		{id: "slack.scopes.missing", what: "chat:write, im:history", breaks: other(slacksim.Options{SocketMode: true, Scopes: []string{
			"commands", "channels:read", "channels:join", "channels:history", "groups:read", "groups:history",
			"users:read", "users:read.email", "im:write", "app_mentions:read", "usergroups:read",
		}})},
		{id: "slack.app_token.refused", what: "(invalid_auth)", breaks: with("KOVRA_SLACK_APP_TOKEN=xapp-other")},
		{id: "slack.app_token.scope", what: "connections:write", breaks: other(slacksim.Options{SocketMode: true, AppScopes: []string{"authorizations:read"}})},
		{id: "slack.app_token.socket_mode_off", what: "switched off", breaks: other(slacksim.Options{})},
		{id: "slack.admins.unknown", what: "U404", breaks: with("KOVRA_ADMINS=U1,U404")},
		{id: "slack.admins.bot", what: "U0BOT (kovra)", breaks: with("KOVRA_ADMINS=U0BOT")},
		{id: "slack.admins.deactivated", what: "U2 (gone)", breaks: with("KOVRA_ADMINS=U1,U2")},
	}
}

func gitlabCases() []problem {
	front := func(h func(*world) http.Handler) func(*world) {
		return func(w *world) { w.env["KOVRA_GITLAB_URL"] = serve(w.T, h(w)).URL }
	}
	token := func(t gitlabsim.Token) func(*world) { return func(w *world) { w.lab.DescribeToken("glpat-sim", t) } }
	return []problem{
		{id: "gitlab.api.unreachable", what: "503", breaks: func(w *world) { w.lab.SetDown(true) }},
		{id: "gitlab.api.certificate", what: "an authority that is not known here", breaks: func(w *world) {
			s, _ := stranger(w.T, w.lab, time.Hour)
			w.env["KOVRA_GITLAB_URL"] = s.URL
		}},
		{id: "gitlab.api.redirect", what: "https://gitlab.example.com", breaks: front(func(*world) http.Handler {
			return http.RedirectHandler("https://gitlab.example.com/", http.StatusMovedPermanently)
		})},
		{id: "gitlab.api.not_gitlab", what: "no JSON", breaks: front(func(*world) http.Handler { return page("It works!") })},
		{id: "gitlab.api.plain", what: "in the clear", also: []string{"gitlab.api.unreachable"}, breaks: with("KOVRA_GITLAB_URL=http://gitlab.invalid")},
		{id: "gitlab.clock.off", what: "by 7m", breaks: front(func(w *world) http.Handler { return late(w.lab) })},
		{id: "gitlab.token.refused", what: "Token was revoked", breaks: func(w *world) { w.lab.RevokeToken("glpat-sim") }},
		{id: "gitlab.token.expired", what: "has expired", breaks: token(gitlabsim.Token{Expires: time.Now().Add(-24 * time.Hour)})},
		{id: "gitlab.token.expires", what: "in 9 days", breaks: token(gitlabsim.Token{Expires: time.Now().Add(10 * 24 * time.Hour)})},
		{id: "gitlab.token.scope", what: "it has: read_api, read_registry", breaks: token(gitlabsim.Token{Scopes: []string{"read_api", "read_registry"}})},
		{id: "gitlab.version.old", what: "16.11.2", breaks: func(w *world) { w.lab.SetVersion("16.11.2") }},
		{id: "gitlab.version.unsigned", what: "18.2.0", breaks: func(w *world) {
			w.lab.SetVersion("18.2.0")
			w.unset("KOVRA_GITLAB_WEBHOOK_SECRET")
			w.env["KOVRA_GITLAB_WEBHOOK_SIGNING_TOKEN"] = "whsec_c2Vj"
		}},
		{id: "gitlab.oauth.refused", what: "its secret is wrong", breaks: with("KOVRA_GITLAB_OAUTH_CLIENT_SECRET=another")},
	}
}

func projectCases() []problem {
	// delivered lets GitLab send something, which is answered with code.
	delivered := func(code int) func(*world) {
		return func(w *world) {
			w.lab.SetWebhookDelivery(func(context.Context, string, http.Header, []byte) (int, error) { return code, nil })
			w.project.Push("main", "One", "")
			_ = w.lab.SendAll(w.Context()) // that it fails is the point
		}
	}
	edited := func(change func(*gitlabsim.Hook)) func(*world) { return func(w *world) { w.editHook(change) } }
	return []problem{
		{id: "gitlab.project.gone", what: "does not see group/gone", breaks: func(w *world) {
			w.update(func(tx *storage.Tx) error {
				if err := tx.SaveProject(kovra.Project{ID: 4711, Path: "group/gone"}); err != nil {
					return err
				}
				return tx.SaveApp(kovra.App{Name: "gone", Project: 4711})
			})
		}},
		{id: "gitlab.project.role", what: "group/web", breaks: func(w *world) { w.project.SetMember(gitlabsim.BotUsername, gitlabsim.Developer) }},
		{id: "gitlab.project.unseen", what: "1 of 1 linked projects could not be looked at: GitLab answers 429", breaks: func(w *world) {
			w.lab.Fault(gitlabsim.RateLimit("GET /projects/:id/hooks", time.Minute))
		}},
		{id: "gitlab.hook.missing", what: "no webhook to https://", breaks: func(w *world) {
			if err := w.lab.DeleteHook(w.hook); err != nil {
				w.Fatal(err)
			}
		}},
		{id: "gitlab.hook.elsewhere", what: "goes to https://old.example.com", breaks: edited(func(k *gitlabsim.Hook) { k.URL = "https://somebody:the-hook-secret@old.example.com/webhooks/gitlab" })},
		{id: "gitlab.hook.disabled", what: "(disabled)", breaks: func(w *world) {
			if err := w.lab.SwitchOffHook(w.hook); err != nil {
				w.Fatal(err)
			}
		}},
		{id: "gitlab.hook.events", what: "Job events, Merge request events, Comments", breaks: func(w *world) {
			w.editHook(func(k *gitlabsim.Hook) { k.Events = map[string]bool{"push_events": true, "pipeline_events": true} })
			w.update(func(tx *storage.Tx) error {
				return tx.SaveSubscription(kovra.Subscription{App: "web", Channel: "C1", Filter: kovra.Filter{Topics: []kovra.Topic{kovra.TopicMergeRequests}}})
			})
		}},
		{id: "gitlab.hook.secret", what: "has no secret", breaks: edited(func(k *gitlabsim.Hook) { k.Token = "" })},
		{id: "gitlab.hook.refused", what: "(401)", breaks: delivered(http.StatusUnauthorized)},
		{id: "gitlab.hook.failing", what: "(502)", breaks: delivered(http.StatusBadGateway)},
		{id: "gitlab.hook.unverified", what: "does not verify", breaks: func(w *world) { w.lab.SetHookVerification(w.hook, false) }},
	}
}

func publicCases() []problem {
	// here lets the server run where the configuration says.
	here := func(w *world) {
		w.env["KOVRA_LISTEN"] = strings.TrimPrefix(plainly(w.T, w.app.Handler()).URL, "http://")
	}
	return []problem{
		{id: "public.address.unset", what: "KOVRA_PUBLIC_URL is not set", breaks: func(w *world) {
			w.withoutOAuth()
			w.unset("KOVRA_PUBLIC_URL")
			w.env["KOVRA_ENCRYPTION_KEY"] = worldKey
		}},
		{id: "public.address.plain", what: "plain HTTP", also: []string{"public.address.not_running"}, breaks: func(w *world) { w.publish("http://kovra.invalid") }},
		{id: "public.address.private", what: "127.0.0.1", breaks: func(w *world) {
			w.unset("KOVRA_SLACK_APP_TOKEN")
			w.env["KOVRA_SLACK_SIGNING_SECRET"] = "sim-secret"
		}},
		{id: "public.address.not_running", what: "connection refused", breaks: func(w *world) { w.publish("https://" + closed) }},
		{id: "public.address.unreachable", what: "connection refused", breaks: func(w *world) {
			here(w)
			w.publish("https://" + closed)
		}},
		{id: "public.address.bad_gateway", what: "502 Bad Gateway", breaks: func(w *world) {
			here(w)
			w.public.set(answers(http.StatusBadGateway))
		}},
		{id: "public.address.certificate", what: "an authority that is not known here", breaks: func(w *world) {
			s, _ := stranger(w.T, w.app.Handler(), time.Hour)
			w.publish(s.URL)
		}},
		{id: "public.address.certificate_expires", what: "expires on", breaks: func(w *world) {
			s, ca := stranger(w.T, w.app.Handler(), 72*time.Hour)
			w.publish(s.URL)
			w.env["KOVRA_CA_FILE"] = w.write("both.pem", authority(w.public.Server)+ca)
		}},
		{id: "public.address.redirect", what: "https://www.example.com", breaks: func(w *world) {
			w.public.set(http.RedirectHandler("https://www.example.com/", http.StatusFound))
		}},
		{id: "public.address.prefix", what: "the path /kovra", breaks: func(w *world) { w.publish(w.public.URL + "/kovra") }},
		{id: "public.address.not_kovra", what: "200 OK", breaks: func(w *world) { w.public.set(page("Welcome to nginx!")) }},
	}
}

func clusterCases() []problem {
	another := func(o tektonsim.Options) func(*world) {
		return func(w *world) {
			s := tektonsim.New(o)
			s.AddNamespace("kovra-builds")
			w.env["KOVRA_KUBECONFIG"] = w.kubeconfig(s)
		}
	}
	edited := func(old, new string) func(*world) {
		return func(w *world) {
			text, err := os.ReadFile(w.env["KOVRA_KUBECONFIG"])
			if err != nil || !strings.Contains(string(text), old) {
				w.Fatalf("no %q in the kubeconfig, %v", old, err)
			}
			w.env["KOVRA_KUBECONFIG"] = w.write("edited", strings.ReplaceAll(string(text), old, new))
		}
	}
	registry := func(s *httptest.Server) string {
		_, host, _ := strings.Cut(s.URL, "://")
		return host + "/team"
	}
	return []problem{
		{id: "cluster.api.kubeconfig", what: "edited", breaks: edited("apiVersion: v1", "a list: [")},
		{id: "cluster.api.unreachable", what: "without an answer", breaks: func(w *world) { w.cluster.SetDown(true) }},
		{id: "cluster.api.certificate", what: "an authority that is not known here", breaks: func(w *world) {
			s, _ := stranger(w.T, w.cluster, time.Hour)
			if err := w.cluster.WriteKubeconfig(w.env["KOVRA_KUBECONFIG"], s.URL, []byte(authority(w.public.Server))); err != nil {
				w.Fatal(err)
			}
		}},
		{id: "cluster.api.credentials", what: "does not accept the credentials", breaks: edited("sim-token", "other-token")},
		{id: "cluster.tekton.missing", what: "tekton.dev/v1", breaks: another(tektonsim.Options{NoTekton: true})},
		{id: "cluster.tekton.old", what: "v0.62.0; builds need v1.12", breaks: another(tektonsim.Options{TektonVersion: "v0.62.0"})},
		{id: "cluster.namespace.missing", what: "no namespace nowhere", breaks: with("KOVRA_BUILD_NAMESPACE=nowhere")},
		{id: "cluster.rights.none", what: "kovra-builds", breaks: func(w *world) {
			for _, resource := range []string{"namespaces", "pipelineruns", "taskruns", "pipelines", "tasks", "pods", "pods/log", "events", "configmaps"} {
				w.cluster.Forbid("*", resource)
			}
		}},
		{id: "cluster.rights.missing", what: "create pipelineruns.tekton.dev, get pods/log", breaks: func(w *world) {
			w.cluster.Forbid("create", "pipelineruns")
			w.cluster.Forbid("get", "pods/log")
		}},
		{id: "cluster.pipelines.missing", what: "Pipeline kovra-deploy, Task kovra-clone", breaks: func(w *world) {
			w.cluster.RemovePipeline("kovra-builds", "kovra-deploy")
			w.cluster.RemovePipeline("kovra-builds", "kovra-clone")
		}},
		{id: "cluster.target.rights", what: "namespace shop", breaks: func(w *world) {
			w.cluster.Forbid("get", "deployments")
			w.update(func(tx *storage.Tx) error {
				s := kovra.DefaultBuildSettings("web")
				s.Target = kovra.DeployTarget{Namespace: "shop", Deployment: "web"}
				return tx.SaveBuildSettings(s, "")
			})
		}},
		{id: "cluster.registry.unreachable", what: "connection refused", breaks: func(w *world) { w.env["KOVRA_REGISTRY"] = closed + "/team" }},
		{id: "cluster.registry.certificate", what: "an authority that is not known here", breaks: func(w *world) {
			s, _ := stranger(w.T, answers(http.StatusOK), time.Hour)
			w.env["KOVRA_REGISTRY"] = registry(s)
		}},
		{id: "cluster.registry.plain", what: "plain HTTP", breaks: func(w *world) { w.env["KOVRA_REGISTRY"] = registry(plainly(w.T, answers(http.StatusOK))) }},
		{id: "cluster.registry.not_registry", what: "404 Not Found", breaks: func(w *world) { w.env["KOVRA_REGISTRY"] = registry(serve(w.T, http.NotFoundHandler()).Server) }},
	}
}
