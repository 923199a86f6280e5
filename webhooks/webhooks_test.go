package webhooks

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

const (
	testSecret  = "correct horse"
	testSigning = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	testSlack   = "slack signing secret"
)

// testNow is what the clock of a handler under test says.
var testNow = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func openDB(tb testing.TB) *storage.DB {
	tb.Helper()
	db, err := storage.Open(tb.Context(), storage.Options{Path: filepath.Join(tb.TempDir(), "kovra.db")})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

// linkProjects links projects to apps.
func linkProjects(tb testing.TB, db *storage.DB, projects ...kovra.Project) {
	tb.Helper()
	err := db.Update(tb.Context(), func(tx *storage.Tx) error {
		for _, p := range projects {
			if err := tx.SaveProject(p); err != nil {
				return err
			}
			if err := tx.SaveApp(kovra.App{Name: "app" + strconv.FormatInt(p.ID, 10), Project: p.ID}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// counts collects what Options.Counted is told.
type counts struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counts) add(route, outcome string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[route+" "+outcome]++
}

func (c *counts) get(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[key]
}

// newHandler makes a handler from o, with defaults for what o leaves out.
func newHandler(tb testing.TB, o Options) http.Handler {
	tb.Helper()
	if o.DB == nil {
		o.DB = openDB(tb)
	}
	if o.GitLabSecrets == nil && o.GitLabSigningTokens == nil {
		o.GitLabSecrets = []string{testSecret}
	}
	if o.Now == nil {
		o.Now = func() time.Time { return testNow }
	}
	h, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	return h.Engine()
}

func do(tb testing.TB, h http.Handler, method, target string, header http.Header, body string) *httptest.ResponseRecorder {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), method, target, strings.NewReader(body))
	r.Header = header
	if header == nil {
		r.Header = http.Header{}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func headers(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// signGitLab adds the headers of a signed webhook.
func signGitLab(tb testing.TB, h http.Header, token string, at time.Time, body string) {
	tb.Helper()
	w, err := standardwebhooks.NewWebhook(token)
	if err != nil {
		tb.Fatal(err)
	}
	sig, err := w.Sign("msg_1", at, []byte(body))
	if err != nil {
		tb.Fatal(err)
	}
	h.Set("webhook-id", "msg_1")
	h.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
	h.Set("webhook-signature", sig)
}

// signedBySlack returns the headers of a request of Slack.
func signedBySlack(secret string, at time.Time, body string) http.Header {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("v0:" + stamp + ":" + body))
	return headers(headerSlackTimestamp, stamp, headerSlackSignature, "v0="+hex.EncodeToString(mac.Sum(nil)))
}

// stored returns all deliveries, oldest first, with bodies.
func stored(tb testing.TB, db *storage.DB) []kovra.Delivery {
	tb.Helper()
	var out []kovra.Delivery
	err := db.Read(tb.Context(), func(tx *storage.Tx) error {
		all, err := tx.Deliveries(storage.DeliveryQuery{Limit: 1 << 20})
		if err != nil {
			return err
		}
		for _, a := range slices.Backward(all) {
			d, err := tx.Delivery(a.ID)
			if err != nil {
				return err
			}
			out = append(out, d)
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// journal stores deliveries without going through HTTP.
func journal(tb testing.TB, db *storage.DB, ds ...kovra.Delivery) {
	tb.Helper()
	err := db.Update(tb.Context(), func(tx *storage.Tx) error {
		for i, d := range ds {
			if d.Key == "" {
				d.Key = deliveryKey(headers(), d.Kind+strconv.Itoa(i), d.Body)
			}
			if d.At.IsZero() {
				d.At = testNow
			}
			if _, err := tx.AddDelivery(d); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// foldPending runs the intake until nothing waits.
func foldPending(tb testing.TB, in *Intake) {
	tb.Helper()
	for {
		after, err := in.Reconcile(tb.Context(), 0)
		if err != nil {
			tb.Fatal(err)
		}
		if after == 0 {
			return
		}
	}
}

// fixtures returns the directory of real payloads.
func fixtures(tb testing.TB) string {
	tb.Helper()
	dir := os.Getenv("KOVRA_TEST_FIXTURES")
	if dir == "" {
		tb.Skip("KOVRA_TEST_FIXTURES is not set: the real payloads are not tested")
	}
	return filepath.Join(dir, "webhooks")
}

// logTo returns a logger that writes into the buffer.
func logTo(buf *bytes.Buffer) *slog.Logger { return slog.New(slog.NewTextHandler(buf, nil)) }

// TestRenew: every secret can be replaced while the handler serves; what New would refuse changes nothing.
func TestRenew(t *testing.T) {
	const otherSigning = "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
	h, err := New(Options{
		DB: openDB(t), GitLabSecrets: []string{testSecret}, GitLabSigningTokens: []string{testSigning},
		Slack: &fakeSlack{}, SlackSigningSecret: testSlack, Now: func() time.Time { return testNow },
	})
	if err != nil {
		t.Fatal(err)
	}
	e := h.Engine()
	by := func(secret string) int {
		return do(t, e, "POST", gitlabPath, headers("X-Gitlab-Event", "Push Hook", "X-Gitlab-Token", secret), "{}").Code
	}
	signed := func(token string) int {
		header := headers("X-Gitlab-Event", "Push Hook")
		signGitLab(t, header, token, testNow, "{}")
		return do(t, e, "POST", gitlabPath, header, "{}").Code
	}
	slack := func(secret string) int {
		return do(t, e, "POST", "/slack/commands", signedBySlack(secret, testNow, "text=help"), "text=help").Code
	}
	check := func(when string, want, got []int) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: old and new secret, token, signing secret of Slack give %v, want %v", when, got, want)
		}
	}
	all := func() []int {
		return []int{by(testSecret), by("new"), signed(testSigning), signed(otherSigning), slack(testSlack), slack("new")}
	}
	check("before", []int{200, 401, 200, 401, 200, 401}, all())
	for name, err := range map[string]error{
		"nothing":           h.Renew(nil, nil, "new"),
		"an empty secret":   h.Renew([]string{""}, nil, "new"),
		"no signing token":  h.Renew(nil, []string{"new"}, "new"),
		"nothing for Slack": h.Renew([]string{"new"}, nil, ""),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	check("after what is refused", []int{200, 401, 200, 401, 200, 401}, all())
	renew := func(secrets, tokens []string, slack string) {
		t.Helper()
		if err := h.Renew(secrets, tokens, slack); err != nil {
			t.Fatal(err)
		}
	}
	renew([]string{"new", testSecret}, []string{otherSigning, testSigning}, "new")
	check("while rotating", []int{200, 200, 200, 200, 401, 200}, all())
	renew([]string{"new"}, []string{otherSigning}, "new")
	check("after", []int{401, 200, 401, 200, 401, 200}, all())
}
