package app

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/config"
	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/identity"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

const (
	webProject = int64(7) // a GitLab project
	labURL     = "http://gitlab.sim"
	slackURL   = "http://slack.sim"
)

// configured is a configuration with a database of its own; more wins over what is needed, and NAME= takes it away.
func configured(t *testing.T, more ...string) *config.Config {
	t.Helper()
	environ := append([]string{
		"KOVRA_DATABASE_URL=sqlite:" + filepath.Join(t.TempDir(), "kovra.db"), "KOVRA_LISTEN=127.0.0.1:0",
		"KOVRA_SLACK_BOT_TOKEN=xoxb-sim", "KOVRA_SLACK_SIGNING_SECRET=sim-secret", "KOVRA_SLACK_API_URL=" + slackURL + "/api/",
		"KOVRA_GITLAB_URL=" + labURL, "KOVRA_GITLAB_TOKEN=glpat-sim", "KOVRA_GITLAB_WEBHOOK_SECRET=hook-secret", "KOVRA_ADMINS=UALICE",
	}, more...)
	cfg, err := config.Load(slices.DeleteFunc(environ, func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return slices.Contains(more, name+"=")
	}), "")
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// outside are the peers of the program, in memory.
type outside struct {
	lab   *gitlabsim.Server
	slack *slacksim.Server
}

func newOutside() outside {
	o := outside{lab: gitlabsim.New(gitlabsim.Options{}), slack: slacksim.New(slacksim.Options{BaseURL: slackURL})}
	o.lab.SetURL(labURL)
	o.lab.AddUser(gitlabsim.User{ID: 5, Username: "alice", Name: "Alice"})
	o.lab.AddProject(gitlabsim.Project{ID: webProject, Path: "group/web", Members: map[string]int{"alice": 40}})
	o.lab.SetCI(webProject, []string{"test"}, []gitlabsim.JobSpec{{Name: "unit", Stage: "test"}})
	return o
}

func (o outside) options() Options {
	return Options{Slack: o.slack.Client().Transport, GitLab: o.lab.Client().Transport}
}

// built is a program that is built and not run; it is closed after the test.
func built(t *testing.T, o Options, more ...string) *App {
	t.Helper()
	a, err := New(t.Context(), configured(t, more...), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// get asks the program for a page.
func get(t *testing.T, a *App, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
	return w.Code, w.Body.String()
}

func TestHealth(t *testing.T) {
	a := built(t, newOutside().options())
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/nothing": 404} {
		if code, body := get(t, a, path); code != want {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if err := a.DB().Close(); err != nil {
		t.Fatal(err)
	}
	if code, body := get(t, a, "/readyz"); code != http.StatusServiceUnavailable || body != "the database does not answer\n" {
		t.Errorf("without a database: %d %q", code, body)
	}
	if code, _ := get(t, a, "/healthz"); code != http.StatusOK {
		t.Errorf("alive: %d; the process must not be killed for its database", code)
	}
}

// A peer that is down is no reason to take the program out of service.
func TestReadyWithoutPeers(t *testing.T) {
	o := newOutside()
	o.lab.SetDown(true)
	o.slack.SetDown(true)
	if code, body := get(t, built(t, o.options()), "/readyz"); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
}

// What dashboards and alerts are built on.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := built(t, newOutside().options())
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx, nil) }()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/gitlab", strings.NewReader(`{"object_kind":"pipeline"}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Gitlab-Event", "Pipeline Hook")
		r.Header.Set("X-Gitlab-Token", "hook-secret")
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Errorf("webhook: %d %s", w.Code, w.Body)
		}
		synctest.Wait()
		_, body := get(t, a, "/metrics")
		for _, name := range []string{
			"kovra_requests_total{", "kovra_deliveries_total{", "kovra_reconcile_total{", "kovra_reconcile_seconds_bucket{",
			"kovra_reconcile_waiting{", "kovra_reconcile_oldest_seconds{", "kovra_commits_total ", "go_goroutines ",
		} {
			if !strings.Contains(body, "\n"+name) {
				t.Errorf("no %s in the metrics", name)
			}
		}
		for _, loop := range []string{"intake", "runs", "actions", "projects", "threads", "answers"} {
			if !strings.Contains(body, `kovra_reconcile_waiting{loop="`+loop+`"} 0`) {
				t.Errorf("the loop %q is not shown as idle", loop)
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// answer is a peer that answers as told.
type answer struct {
	code int
	err  error
}

func (a answer) RoundTrip(r *http.Request) (*http.Response, error) {
	if a.err != nil {
		return nil, a.err
	}
	return &http.Response{StatusCode: a.code, Body: http.NoBody, Request: r}, nil
}

func TestPeerCallsAreCounted(t *testing.T) {
	a := built(t, newOutside().options())
	for _, peer := range []answer{{code: 200}, {code: 201}, {code: 404}, {code: 429}, {code: 503}, {err: errors.New("no way")}} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, labURL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := a.transport("gitlab", peer).Do(r)
		if (err != nil) != (peer.err != nil) {
			t.Errorf("%+v: %v", peer, err)
		}
		if err == nil {
			_ = resp.Body.Close()
		}
	}
	_, body := get(t, a, "/metrics")
	for status, n := range map[string]string{"2xx": "2", "4xx": "1", "429": "1", "5xx": "1", "error": "1"} {
		if line := `kovra_peer_calls_total{peer="gitlab",status="` + status + `"} ` + n + "\n"; !strings.Contains(body, line) {
			t.Errorf("missing: %s", line)
		}
	}
}

func TestHookAddress(t *testing.T) {
	a := built(t, newOutside().options())
	if got := a.hookURL(); got != "" {
		t.Errorf("nobody said how to reach us, and hooks go to %q", got)
	}
	a = built(t, newOutside().options(), "KOVRA_PUBLIC_URL=https://kovra.example/")
	if got := a.hookURL(); got != "https://kovra.example/webhooks/gitlab" {
		t.Errorf("hooks go to %q", got)
	}
	if h := a.hook(); h.URL != a.hookURL() || !strings.Contains(h.Secret, "KOVRA_GITLAB_WEBHOOK_SECRET") || len(h.Events) != 3 {
		t.Errorf("by hand: %+v", h)
	}
	a.cfg.GitLabWebhookSecrets, a.cfg.GitLabSigningTokens = nil, []config.Secret{"whsec_1"}
	if h := a.hook(); !strings.Contains(h.Secret, "KOVRA_GITLAB_WEBHOOK_SIGNING_TOKEN") {
		t.Errorf("by hand, with a signing token alone: %+v", h)
	}
}

func TestAdmins(t *testing.T) {
	a := built(t, newOutside().options(), "KOVRA_ADMINS=U1,workspace-admins")
	if diff := cmp.Diff([]string{"U1", identity.WorkspaceAdmins}, a.admins()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestNewFails(t *testing.T) {
	cfg := configured(t)
	cfg.DatabasePath = filepath.Join(t.TempDir(), "none", "kovra.db")
	if _, err := New(t.Context(), cfg, Options{}); err == nil {
		t.Error("no error for a directory that is not there")
	}
	cfg = configured(t, "KOVRA_ENCRYPTION_KEY=a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=")
	cfg.DatabasePath = t.TempDir()
	if _, err := New(t.Context(), cfg, Options{}); err == nil {
		t.Error("no error for a database that is a directory")
	}
	cfg.DatabasePath = filepath.Join(t.TempDir(), "kovra.db")
	if err := os.Mkdir(cfg.LogsPath(), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), cfg, Options{}); err == nil {
		t.Error("no error for a store of logs that is a directory")
	}
}

// signal is a log that tells when a message comes.
type signal struct {
	mu   sync.Mutex
	text bytes.Buffer
	word string
	tell func()
}

func (s *signal) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes.Contains(p, []byte(s.word)) {
		s.tell()
	}
	return s.text.Write(p)
}

func TestServe(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	log := &signal{word: "KOVRA_PUBLIC_URL is not set", tell: stop}
	o := newOutside().options()
	o.Log, o.Version = slog.New(slog.NewTextHandler(log, nil)), "v1.2.3"
	if err := Serve(ctx, configured(t), o); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"kovra serves", "version=v1.2.3", "address=127.0.0.1:"} {
		if !strings.Contains(log.text.String(), want) {
			t.Errorf("not logged: %s\n%s", want, log.text.String())
		}
	}
	for _, secret := range []string{"xoxb-sim", "glpat-sim", "hook-secret", "sim-secret"} {
		if strings.Contains(log.text.String(), secret) {
			t.Errorf("the log has the secret %s", secret)
		}
	}
}

func TestServeWithoutAnAddress(t *testing.T) {
	cfg := configured(t)
	cfg.Listen = "127.0.0.1:99999"
	if err := Serve(t.Context(), cfg, newOutside().options()); err == nil || !strings.Contains(err.Error(), "listen on 127.0.0.1:99999") {
		t.Errorf("error %v", err)
	}
	cfg.DatabasePath = filepath.Join(t.TempDir(), "none", "kovra.db")
	if err := Serve(t.Context(), cfg, newOutside().options()); err == nil {
		t.Error("no error without a database")
	}
}

// What nobody told of is looked at now and then: runs that fell silent, and old webhooks.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := built(t, newOutside().options())
		var run kovra.Run
		err := a.db.Update(t.Context(), func(tx *storage.Tx) (err error) {
			err = errors.Join(tx.SaveProject(kovra.Project{ID: webProject, Path: "group/web"}), tx.SaveApp(kovra.App{Name: "web", Project: webProject}))
			if err != nil {
				return err
			}
			run, _, err = tx.Observe(kovra.Observation{Run: kovra.Run{Project: webProject, Remote: 5, Status: kovra.Running}})
			if err != nil {
				return err
			}
			_, err = tx.AddDelivery(kovra.Delivery{Key: "k", Kind: "Push Hook", Body: []byte("{}"), At: time.Now()})
			return errors.Join(err, tx.SettleDelivery(1, kovra.DeliveryIgnored, "", webProject))
		})
		if err != nil {
			t.Fatal(err)
		}
		look := func(after time.Duration) (stale bool, deliveries int) {
			t.Helper()
			<-time.After(after)
			if err := a.sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			err := a.db.Read(t.Context(), func(tx *storage.Tx) error {
				now, err := tx.Run(run.ID)
				if err != nil {
					return err
				}
				found, err := tx.Deliveries(storage.DeliveryQuery{Limit: 9})
				stale, deliveries = now.Stale, len(found)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return stale, deliveries
		}
		if stale, n := look(4 * time.Minute); stale || n != 1 {
			t.Errorf("after four minutes: stale %v, %d deliveries", stale, n)
		}
		if a.loops[kovra.RefProject].Len() != 1 || a.loops[kovra.RefRun].Len() != 1 {
			t.Error("what is open is not looked at")
		}
		if stale, _ := look(2 * time.Minute); !stale {
			t.Error("a run that fell silent is not read")
		}
		if _, n := look(keepDelivery); n != 0 {
			t.Errorf("%d old deliveries are kept", n)
		}
		_ = a.Close()
		if err := a.sweep(t.Context()); err == nil {
			t.Error("no error without a database")
		}
	})
}

// Logs that are wanted are fetched, also when the notice of them got lost, and thrown away when they are old.
func TestSweepAndPruneOfLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutside().options()
		var log bytes.Buffer
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		a := built(t, o, "KOVRA_LOG_RETENTION=2h")
		key := kovra.LogKey{Kind: kovra.JobLog, Project: webProject, ID: 51}
		if _, err := a.logs.Keep(t.Context(), key, kovra.LogSubject{}); err != nil {
			t.Fatal(err)
		}
		if n := a.loops[kovra.RefLog].Len(); n != 0 {
			t.Fatalf("%d logs to look at before the sweep", n)
		}
		a.sweepLogs(t.Context())
		if n := a.loops[kovra.RefLog].Len(); n != 1 {
			t.Errorf("%d logs to look at after the sweep", n)
		}
		other := key
		other.ID++
		if _, err := a.logs.Touch(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		if n := a.loops[kovra.RefLog].Len(); n != 2 {
			t.Errorf("%d logs to look at when one is read", n)
		}
		ctx, stop := context.WithTimeout(t.Context(), 3*time.Hour)
		defer stop()
		if err := a.pruneLogs(ctx); err != nil {
			t.Error(err)
		}
		if _, err := a.logs.Find(t.Context(), key); kovra.KindOf(err) != kovra.NotFound {
			t.Errorf("an old log: %v", err)
		}
		_ = a.Close()
		a.sweepLogs(t.Context())
		ctx, stop = context.WithTimeout(t.Context(), pruneFirst+time.Second)
		defer stop()
		if err := a.pruneLogs(ctx); err != nil {
			t.Error(err)
		}
		for _, want := range []string{"old logs thrown away", "sweep of logs failed", "cannot throw old logs away"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("not logged: %s", want)
			}
		}
	})
}

// A store of logs that is damaged keeps the program from nothing.
func TestStartWithDamagedLogs(t *testing.T) {
	o := newOutside().options()
	var log bytes.Buffer
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	cfg := configured(t)
	if err := os.WriteFile(cfg.LogsPath(), bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	if code, body := get(t, a, "/readyz"); code != http.StatusOK || !strings.Contains(log.String(), "the store of logs is damaged") {
		t.Errorf("%d %s; logged: %s", code, body, &log)
	}
	if _, err := a.logs.Keep(t.Context(), kovra.LogKey{Kind: kovra.JobLog, Project: webProject, ID: 51}, kovra.LogSubject{}); err != nil {
		t.Error(err)
	}
}

// Housekeeping that fails is logged and goes on.
func TestHousekeepingOutlivesFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutside().options()
		var log bytes.Buffer
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		a := built(t, o)
		_ = a.Close()
		ctx, stop := context.WithTimeout(t.Context(), sweepEvery+time.Second)
		defer stop()
		if err := a.housekeeping(ctx); err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "sweep failed"); n != 2 {
			t.Errorf("%d sweeps failed:\n%s", n, log.String())
		}
	})
}
