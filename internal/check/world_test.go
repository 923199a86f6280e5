package check_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kovra.dev/chatops/internal/app"
	"kovra.dev/chatops/internal/check"
	"kovra.dev/chatops/internal/config"
	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/internal/tektonsim"
	"kovra.dev/chatops/storage"
)

// The secrets of the world; none may be printed.
var (
	worldKey = base64.StdEncoding.EncodeToString([]byte("thirty-two-bytes-of-a-secret-key"))
	secrets  = []string{"xoxb-sim", "xapp-sim", "glpat-sim", "the-hook-secret", "the-oauth-secret", "sim-token", worldKey}
)

// world is an installation that is as it should be: the real server behind a proxy, with Slack, GitLab, a cluster and a
// registry over TLS. A test breaks it.
type world struct {
	*testing.T
	dir     string
	env     map[string]string
	file    string // the configuration file; "": none
	slack   *slacksim.Server
	lab     *gitlabsim.Server
	project *gitlabsim.ProjectHandle
	hook    int64
	cluster *tektonsim.Server
	app     *app.App
	public  *front
}

// front is a server whose handler can be changed.
type front struct {
	*httptest.Server
	mu sync.Mutex
	h  http.Handler
}

// ServeHTTP implements [http.Handler].
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	h := f.h
	f.mu.Unlock()
	h.ServeHTTP(w, r)
}

func (f *front) set(h http.Handler) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.h = h
}

// serve starts a server over TLS with the certificate that the world trusts.
func serve(t *testing.T, h http.Handler) *front {
	t.Helper()
	f := &front{h: h}
	f.Server = httptest.NewUnstartedServer(f)
	f.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	f.StartTLS()
	t.Cleanup(f.Close)
	return f
}

// plainly starts a server without TLS.
func plainly(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// closed is an address where nobody listens. A port that was free a moment ago might be taken by a test beside this one.
const closed = "127.0.0.1:1"

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir()}
	w.slack = slacksim.New(slacksim.Options{SocketMode: true, UserToken: "xoxp-ann", UserTokenOf: "U1"})
	w.slack.AddUser(slacksim.User{ID: "U1", Name: "ann"})
	w.slack.AddUser(slacksim.User{ID: "U2", Name: "gone", Deleted: true})
	w.lab = gitlabsim.New(gitlabsim.Options{})
	w.lab.AddApplication(gitlabsim.Application{ClientID: "the-app", Secret: "the-oauth-secret"})
	w.project = w.lab.AddProject(gitlabsim.Project{Path: "group/web"})
	w.cluster = tektonsim.New(tektonsim.Options{})
	w.cluster.AddNamespace("kovra-builds")
	w.public = serve(t, http.NotFoundHandler())
	registry := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusUnauthorized) }))
	lab := serve(t, w.lab)
	w.lab.SetURL(lab.URL)
	w.env = map[string]string{
		"KOVRA_LISTEN": closed, "KOVRA_PUBLIC_URL": w.public.URL, "KOVRA_DATABASE_URL": "sqlite:" + filepath.Join(w.dir, "kovra.db"),
		"KOVRA_SLACK_BOT_TOKEN": "xoxb-sim", "KOVRA_SLACK_APP_TOKEN": "xapp-sim", "KOVRA_SLACK_API_URL": serve(t, w.slack).URL + "/api/",
		"KOVRA_GITLAB_URL": lab.URL, "KOVRA_GITLAB_TOKEN": "glpat-sim", "KOVRA_GITLAB_WEBHOOK_SECRET": "the-hook-secret",
		"KOVRA_GITLAB_OAUTH_CLIENT_ID": "the-app", "KOVRA_GITLAB_OAUTH_CLIENT_SECRET": "the-oauth-secret", "KOVRA_ENCRYPTION_KEY": worldKey,
		"KOVRA_ADMINS": "U1", "KOVRA_CA_FILE": w.write("ca.pem", authority(w.public.Server)), "KOVRA_CA_CONFIGMAP": "kovra-ca",
		"KOVRA_KUBECONFIG": w.kubeconfig(w.cluster), "KOVRA_REGISTRY": strings.TrimPrefix(registry.URL, "https://") + "/team",
	}
	w.hook = w.project.AddHook(gitlabsim.Hook{URL: w.public.URL + "/webhooks/gitlab", Name: "Kovra", Token: "the-hook-secret"})
	w.start()
	return w
}

// start makes the server, with one linked project, and puts it behind the public address.
func (w *world) start() {
	w.Helper()
	cfg, err := config.Load(w.environ(), "")
	if err != nil {
		w.Fatal(err)
	}
	if w.app, err = app.New(w.Context(), cfg, app.Options{}); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = w.app.Close() })
	w.public.set(w.app.Handler())
	w.update(func(tx *storage.Tx) error {
		if err := tx.SaveProject(kovra.Project{ID: w.project.ID, Path: "group/web", URL: w.env["KOVRA_GITLAB_URL"] + "/group/web"}); err != nil {
			return err
		}
		return tx.SaveApp(kovra.App{Name: "web", Project: w.project.ID})
	})
}

func (w *world) update(fn func(*storage.Tx) error) {
	w.Helper()
	if err := w.app.DB().Update(w.Context(), fn); err != nil {
		w.Fatal(err)
	}
}

func (w *world) environ() []string {
	var list []string
	for k, v := range w.env {
		list = append(list, k+"="+v)
	}
	return list
}

// unset takes settings out.
func (w *world) unset(names ...string) {
	maps.DeleteFunc(w.env, func(k, _ string) bool { return slices.Contains(names, k) })
}

// withoutOAuth takes out what signing in needs, so that a key is kept in a file.
func (w *world) withoutOAuth() {
	w.unset("KOVRA_GITLAB_OAUTH_CLIENT_ID", "KOVRA_GITLAB_OAUTH_CLIENT_SECRET", "KOVRA_ENCRYPTION_KEY")
}

// publish moves the public address, and the webhook with it.
func (w *world) publish(url string) {
	w.Helper()
	w.env["KOVRA_PUBLIC_URL"] = url
	w.editHook(func(k *gitlabsim.Hook) { k.URL = url + "/webhooks/gitlab" })
}

func (w *world) editHook(change func(*gitlabsim.Hook)) {
	w.Helper()
	if err := w.lab.EditHook(w.hook, change); err != nil {
		w.Fatal(err)
	}
}

func (w *world) write(name, text string) string {
	w.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
	return path
}

// kubeconfig serves a cluster and writes the way to it.
func (w *world) kubeconfig(s *tektonsim.Server) string {
	w.Helper()
	f := serve(w.T, s)
	path := filepath.Join(w.dir, "kubeconfig")
	if err := s.WriteKubeconfig(path, f.URL, []byte(authority(f.Server))); err != nil {
		w.Fatal(err)
	}
	return path
}

func (w *world) run() check.Report {
	return check.Run(w.Context(), check.Options{Environ: w.environ(), File: w.file})
}

// authority is the certificate of a server in PEM.
func authority(s *httptest.Server) string {
	return pemOf(s.Certificate().Raw)
}

func pemOf(der []byte) string {
	var out bytes.Buffer
	_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	return out.String()
}

// stranger serves over TLS with a certificate of its own, which ends after a time; it is trusted by nobody.
func stranger(t *testing.T, h http.Handler, lives time.Duration) (s *httptest.Server, ca string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stranger"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lives),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	s = httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, pemOf(der)
}
