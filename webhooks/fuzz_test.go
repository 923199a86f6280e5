package webhooks

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// FuzzGitLabHook posts any headers and body: nothing panics, a stranger's delivery
// is 401 and not stored, every other one is stored and then settled.
func FuzzGitLabHook(f *testing.F) {
	f.Add([]byte(pipelineBody), "Pipeline Hook", "", testSecret, "", "", false)
	f.Add([]byte(jobBody), "Job Hook", "key", "", "", "", true)
	f.Add([]byte(`{"object_kind":"push"}`), "Push Hook", "", "wrong", "v1,x", "1772600767", false)
	f.Add([]byte(pushBody), "Push Hook", "", testSecret, "", "", false)
	f.Add([]byte(tagBody), "Tag Push Hook", "", testSecret, "", "", false)
	for kind, body := range subjectBodies {
		f.Add([]byte(body), kind, "", testSecret, "", "", false)
	}
	f.Add([]byte("{"), "", "\xff", testSecret, "", "", false)
	f.Add([]byte(`[{"a":1}]`), "System Hook", "", testSecret, "v1,", "", false)
	if dir := os.Getenv("KOVRA_TEST_FIXTURES"); dir != "" {
		files, _ := filepath.Glob(filepath.Join(dir, "webhooks", "*.json"))
		for _, name := range files {
			body, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(body, "", "", testSecret, "", "", false)
		}
	}
	db := openDB(f)
	linkProjects(f, db, kovra.Project{ID: 1}, kovra.Project{ID: 7}, kovra.Project{ID: 380})
	h := newHandler(f, Options{DB: db, GitLabSecrets: []string{testSecret}, GitLabSigningTokens: []string{testSigning}})
	buildsOf(f, db, 7, kovra.BuildSettings{Branch: "main", Tags: "*"})
	subscribe(f, db, 7, kovra.Filter{Topics: kovra.Topics()})
	in := NewIntake(IntakeOptions{DB: db, Builds: true})
	f.Fuzz(func(t *testing.T, body []byte, event, key, token, signature, stamp string, sign bool) {
		header := headers(headerEvent, event, headerKey, key, headerGitLabToken, token)
		if signature != "" {
			header.Set("webhook-id", "1")
			header.Set("webhook-signature", signature)
			header.Set("webhook-timestamp", stamp)
		}
		if sign {
			signGitLab(t, header, testSigning, testNow, string(body))
		}
		known := deliveryIDs(t, db)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, gitlabPath, strings.NewReader(string(body)))
		r.Header = header
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)

		mayEnter := sign || signature == "" && token == testSecret
		now := deliveryIDs(t, db)
		if mayEnter != (w.Code == http.StatusOK) || !mayEnter && (w.Code != http.StatusUnauthorized || len(now) != len(known)) {
			t.Fatalf("may enter: %t, got %d, %d deliveries were added", mayEnter, w.Code, len(now)-len(known))
		}
		foldPending(t, in)
		for id, outcome := range deliveryIDs(t, db) {
			if _, old := known[id]; !old && outcome == kovra.DeliveryPending {
				t.Fatalf("delivery %d was not settled", id)
			}
		}
		prune(t, db)
	})
}

func deliveryIDs(t *testing.T, db *storage.DB) map[int64]kovra.DeliveryOutcome {
	t.Helper()
	out := map[int64]kovra.DeliveryOutcome{}
	err := db.Read(t.Context(), func(tx *storage.Tx) error {
		all, err := tx.Deliveries(storage.DeliveryQuery{Limit: 100})
		for _, d := range all {
			out[d.ID] = d.Outcome
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func prune(t *testing.T, db *storage.DB) {
	t.Helper()
	err := db.Update(t.Context(), func(tx *storage.Tx) error {
		_, err := tx.PruneDeliveries(testNow.Add(time.Hour))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// FuzzSlackRequest sends any request: only what was signed reaches the handler, and
// nothing of the query does.
func FuzzSlackRequest(f *testing.F) {
	f.Add(0, commandBody, "payload=1", "", "", true)
	f.Add(1, interactionBody, "payload=%7B%7D", "", "", true)
	f.Add(1, "a=b", "payload=%7B%7D", "", "", true)
	f.Add(2, eventBody, "", "v0=00", "1772600767", false)
	f.Add(0, "ssl_check=1", "text=1", "v0=", "", false)
	f.Add(2, `{"type":"url_verification","challenge":"x"}`, "", "", "", true)
	paths := []string{"/slack/commands", "/slack/interactions", "/slack/events"}
	db := openDB(f)
	f.Fuzz(func(t *testing.T, path int, body, query, signature, stamp string, sign bool) {
		slack := &fakeSlack{}
		h := newHandler(t, Options{DB: db, Slack: slack, SlackSigningSecret: testSlack})
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, paths[uint(path)%uint(len(paths))], strings.NewReader(body))
		r.URL.RawQuery = query
		r.Header = headers(headerSlackSignature, signature, headerSlackTimestamp, stamp)
		if sign {
			r.Header = signedBySlack(testSlack, testNow, body)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if !sign && (slack.calls() > 0 || w.Code == http.StatusOK && !isCertificateCheck([]byte(body)) || w.Body.Len() > 0) {
			t.Fatalf("an unsigned request: %d calls, got %d %q", slack.calls(), w.Code, w.Body)
		}
		form, _ := url.ParseQuery(body)
		for _, got := range slack.forms {
			if !maps.EqualFunc(got, form, func(a, b []string) bool { return strings.Join(a, "\x00") == strings.Join(b, "\x00") }) {
				t.Fatalf("got form %v of %q", got, body)
			}
		}
		for _, got := range slack.payloads {
			if got != form.Get("payload") {
				t.Fatalf("got payload %q of %q", got, body)
			}
		}
		for _, got := range slack.events {
			if got != body {
				t.Fatalf("got event %q of %q", got, body)
			}
		}
	})
}
