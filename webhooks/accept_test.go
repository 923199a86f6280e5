package webhooks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/gin-gonic/gin"

	"kovra.dev/chatops/internal/kovra"
)

const (
	otherSigning = "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
	gitlabPath   = "/webhooks/gitlab"
)

func TestNewRefusesMissingSecrets(t *testing.T) {
	db := openDB(t)
	good := []string{testSecret}
	tests := map[string]Options{
		"no secret":             {DB: db},
		"an empty secret":       {DB: db, GitLabSecrets: []string{testSecret, ""}},
		"an empty token":        {DB: db, GitLabSigningTokens: []string{""}},
		"a token without key":   {DB: db, GitLabSigningTokens: []string{"whsec_"}},
		"a token not base64":    {DB: db, GitLabSigningTokens: []string{"whsec_!"}},
		"a token of no prefix":  {DB: db, GitLabSigningTokens: []string{"MDEyMw=="}},
		"slack without secret":  {DB: db, GitLabSecrets: good, Slack: &fakeSlack{}},
		"nowhere to store into": {GitLabSecrets: good},
	}
	for name, o := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := New(o); err == nil {
				t.Error("got no error")
			}
		})
	}
}

// gitlabAuthCase is one delivery and whether it may come in.
type gitlabAuthCase struct {
	name            string
	secrets, tokens []string
	header          http.Header
	sign            string // the token that signs
	at              time.Time
	tamper          bool // the body changes after it was signed
	want            int
}

func TestAcceptGitLabAuth(t *testing.T) {
	secret, token := []string{testSecret}, []string{testSigning}
	withToken := func(v string) http.Header { return headers(headerGitLabToken, v) }
	tests := []gitlabAuthCase{
		{name: "right secret", secrets: secret, header: withToken(testSecret), want: 200},
		{name: "one of two secrets", secrets: []string{"old", testSecret}, header: withToken(testSecret), want: 200},
		{name: "the other of two secrets", secrets: []string{testSecret, "new"}, header: withToken(testSecret), want: 200},
		{name: "wrong secret", secrets: secret, header: withToken("wrong"), want: 401},
		{name: "beginning of the secret", secrets: secret, header: withToken(testSecret[:5]), want: 401},
		{name: "no header", secrets: secret, want: 401},
		{name: "empty header", secrets: secret, header: withToken(""), want: 401},
		{name: "signed", tokens: token, sign: testSigning, want: 200},
		{name: "signed, secret set too", secrets: secret, tokens: token, sign: testSigning, want: 200},
		{name: "signed by one of two tokens", tokens: []string{otherSigning, testSigning}, sign: testSigning, want: 200},
		{name: "signed by another", tokens: token, sign: otherSigning, want: 401},
		{name: "wrong signature is not saved by the secret", secrets: secret, tokens: token, sign: otherSigning, header: withToken(testSecret), want: 401},
		{name: "wrong token beside a good signature", secrets: secret, tokens: token, sign: testSigning, header: withToken("wrong"), want: 200},
		{
			name: "empty signature is not saved by the secret", secrets: secret, tokens: token, want: 401,
			header: headers(headerGitLabToken, testSecret, "webhook-signature", ""),
		},
		{name: "tampered", tokens: token, sign: testSigning, tamper: true, want: 401},
		{name: "five minutes old", tokens: token, sign: testSigning, at: testNow.Add(-Tolerance), want: 200},
		{name: "older", tokens: token, sign: testSigning, at: testNow.Add(-Tolerance - time.Second), want: 401},
		{name: "older, with the secret", secrets: secret, tokens: token, sign: testSigning, at: testNow.Add(-time.Hour), header: withToken(testSecret), want: 401},
		{name: "of the future", tokens: token, sign: testSigning, at: testNow.Add(Tolerance + time.Second), want: 401},
		{name: "unsigned, secret set too", secrets: secret, tokens: token, header: withToken(testSecret), want: 200},
		{name: "unsigned, no secret set", tokens: token, header: withToken(testSecret), want: 401},
		{name: "unsigned and empty, no secret set", tokens: token, header: withToken(""), want: 401},
		{name: "signature without a signing token: the secret decides", secrets: secret, sign: otherSigning, header: withToken(testSecret), want: 200},
		{name: "signature without a signing token or secret", secrets: secret, sign: testSigning, want: 401},
		{
			name: "an id alone is no signature", secrets: secret, tokens: token, want: 200,
			header: headers(headerGitLabToken, testSecret, "webhook-id", "1", "webhook-timestamp", "1"),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { checkGitLabAuth(t, tt) })
	}
}

func checkGitLabAuth(t *testing.T, tt gitlabAuthCase) {
	t.Helper()
	var n counts
	db := openDB(t)
	h := newHandler(t, Options{DB: db, GitLabSecrets: tt.secrets, GitLabSigningTokens: tt.tokens, Counted: n.add})
	body := `{"object_kind":"pipeline"}`
	header := tt.header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if tt.sign != "" {
		at := tt.at
		if at.IsZero() {
			at = testNow
		}
		signGitLab(t, header, tt.sign, at, body)
	}
	if tt.tamper {
		body = strings.ToUpper(body)
	}
	w := do(t, h, http.MethodPost, gitlabPath, header, body)
	if w.Code != tt.want || w.Body.Len() != 0 {
		t.Errorf("got %d %q, want %d and no body", w.Code, w.Body, tt.want)
	}
	kept := len(stored(t, db))
	if want := tt.want == 200; (kept == 1) != want {
		t.Errorf("stored %d deliveries", kept)
	}
	if tt.want == 401 && n.get("gitlab unauthorized") != 1 {
		t.Errorf("counted %v", n.n)
	}
}

func TestAcceptGitLabSeveralSignatures(t *testing.T) {
	h := newHandler(t, Options{GitLabSigningTokens: []string{testSigning}})
	header := headers()
	signGitLab(t, header, testSigning, testNow, "{}")
	header.Set("webhook-signature", "v1,bm8= v2,x "+header.Get("webhook-signature"))
	if w := do(t, h, http.MethodPost, gitlabPath, header, "{}"); w.Code != 200 {
		t.Errorf("got %d", w.Code)
	}
	header.Set("webhook-timestamp", "soon")
	if w := do(t, h, http.MethodPost, gitlabPath, header, "{}"); w.Code != 401 {
		t.Errorf("a time that is none: got %d", w.Code)
	}
}

func TestAcceptGitLabStoresWhatCame(t *testing.T) {
	db := openDB(t)
	var n counts
	h := newHandler(t, Options{DB: db, Counted: n.add})
	bodies := []string{`{"a":1}`, "not json \x00\xff", ""}
	for i, body := range bodies {
		header := headers(headerGitLabToken, testSecret, headerEvent, "Job Hook", headerKey, fmt.Sprint("key", i))
		if w := do(t, h, http.MethodPost, gitlabPath, header, body); w.Code != 200 {
			t.Fatalf("%q: got %d", body, w.Code)
		}
	}
	got := stored(t, db)
	if len(got) != len(bodies) || n.get("gitlab stored") != len(bodies) {
		t.Fatalf("stored %d, counted %v", len(got), n.n)
	}
	for i, d := range got {
		if string(d.Body) != bodies[i] || d.Kind != "Job Hook" || d.Key != fmt.Sprint("key", i) || !d.At.Equal(testNow) ||
			d.Outcome != kovra.DeliveryPending {
			t.Errorf("delivery %d: %+v", i, d)
		}
	}
}

func TestAcceptGitLabKnowsTheSameDelivery(t *testing.T) {
	db := openDB(t)
	var n counts
	h := newHandler(t, Options{DB: db, Counted: n.add})
	post := func(key, event, body string) {
		t.Helper()
		header := headers(headerGitLabToken, testSecret, headerEvent, event)
		if key != "" {
			header.Set(headerKey, key)
		}
		if w := do(t, h, http.MethodPost, gitlabPath, header, body); w.Code != 200 {
			t.Errorf("got %d", w.Code)
		}
	}
	post("a", "Push Hook", "{}")
	post("a", "Push Hook", "{ }") // again, by GitLab's own word
	post("", "Push Hook", "{}")
	post("", "Push Hook", "{}") // again, by its body
	post("", "Job Hook", "{}")  // another event
	post(strings.Repeat("k", maxKey+1), "Job Hook", "{}")
	post("\xff", "Job Hook", "{}") // what cannot be a key is none
	if got := len(stored(t, db)); got != 3 {
		t.Errorf("stored %d deliveries, want 3", got)
	}
	if n.get("gitlab stored") != 3 || n.get("gitlab repeated") != 4 {
		t.Errorf("counted %v", n.n)
	}
}

func TestAcceptGitLabBoundsTheKind(t *testing.T) {
	db := openDB(t)
	h := newHandler(t, Options{DB: db})
	header := headers(headerGitLabToken, testSecret, headerEvent, strings.Repeat("é", 200)+"\x00")
	do(t, h, http.MethodPost, gitlabPath, header, "{}")
	if got := stored(t, db)[0].Kind; got != strings.Repeat("é", 50) {
		t.Errorf("kind %q", got)
	}
	header.Set(headerEvent, "a\x00b\xff")
	do(t, h, http.MethodPost, gitlabPath, header, "{}")
	if got := stored(t, db)[1].Kind; got != "ab\uFFFD" {
		t.Errorf("kind %q", got)
	}
}

func TestAcceptGitLabBodyOverTheLimit(t *testing.T) {
	db := openDB(t)
	var n counts
	srv := httptest.NewServer(newHandler(t, Options{DB: db, MaxBytes: 1000, Counted: n.add}))
	defer srv.Close()
	tests := []struct {
		name string
		body io.Reader
		want int
	}{
		{"at the limit", strings.NewReader(strings.Repeat("x", 1000)), 200},
		{"over it", strings.NewReader(strings.Repeat("x", 1001)), 413},
		{"over it, of unknown length", io.MultiReader(strings.NewReader(strings.Repeat("x", 1001))), 413},
		{"at it, of unknown length", io.MultiReader(strings.NewReader(strings.Repeat("y", 1000))), 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+gitlabPath, tt.body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set(headerGitLabToken, testSecret)
			resp, err := srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != tt.want {
				t.Errorf("got %d, want %d", resp.StatusCode, tt.want)
			}
		})
	}
	if got := len(stored(t, db)); got != 2 || n.get("gitlab too_large") != 2 {
		t.Errorf("stored %d, counted %v", got, n.n)
	}
}

// panicReader fails a test that reads a body which nobody may read.
type panicReader struct{}

func (panicReader) Read([]byte) (int, error) { panic("the body was read") }

func TestAcceptGitLabReadsNoBodyOfStrangers(t *testing.T) {
	h := newHandler(t, Options{GitLabSecrets: []string{testSecret}, GitLabSigningTokens: []string{testSigning}})
	for _, header := range []http.Header{
		headers(headerGitLabToken, "wrong"),
		headers("webhook-signature", "v1,x", "webhook-timestamp", "1"), // too old to be worth a hash
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, gitlabPath, panicReader{})
		r.Header = header
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 401 {
			t.Errorf("got %d", w.Code)
		}
	}
}

func TestAcceptGitLabBodyThatBreaksOff(t *testing.T) {
	db := openDB(t)
	h := newHandler(t, Options{DB: db})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, gitlabPath, iotest.ErrReader(errors.New("gone")))
	r.Header.Set(headerGitLabToken, testSecret)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 400 || len(stored(t, db)) != 0 {
		t.Errorf("got %d, stored %d", w.Code, len(stored(t, db)))
	}
}

func TestAcceptGitLabWithoutStorage(t *testing.T) {
	var log bytes.Buffer
	var n counts
	h := newHandler(t, Options{Log: logTo(&log), Counted: n.add})
	ctx, cancel := contextThatEnded(t)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, gitlabPath, strings.NewReader("{}"))
	r.Header.Set(headerGitLabToken, testSecret)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 503 || n.get("gitlab unavailable") != 1 {
		t.Errorf("got %d, counted %v", w.Code, n.n)
	}
	if strings.Count(log.String(), "\n") != 1 || strings.Contains(log.String(), testSecret) {
		t.Errorf("log: %s", &log)
	}
}

func TestAcceptGitLabConcurrently(t *testing.T) {
	db := openDB(t)
	var n counts
	srv := httptest.NewServer(newHandler(t, Options{DB: db, Counted: n.add}))
	defer srv.Close()
	const events, copies = 60, 4
	var wg sync.WaitGroup
	for i := range events * copies {
		wg.Go(func() {
			body := fmt.Sprintf(`{"object_kind":"push","n":%d}`, i%events)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+gitlabPath, strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set(headerGitLabToken, testSecret)
			req.Header.Set(headerKey, fmt.Sprint(i%events))
			resp, err := srv.Client().Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			if resp.StatusCode != 200 {
				t.Errorf("got %d", resp.StatusCode)
			}
		})
	}
	wg.Wait()
	if got := len(stored(t, db)); got != events {
		t.Errorf("stored %d deliveries, want %d", got, events)
	}
	if n.get("gitlab stored") != events || n.get("gitlab repeated") != events*(copies-1) {
		t.Errorf("counted %v", n.n)
	}
}

func TestEngineRoutes(t *testing.T) {
	h := newHandler(t, Options{Slack: &fakeSlack{}, SlackSigningSecret: testSlack})
	without := newHandler(t, Options{})
	tests := []struct {
		h            http.Handler
		method, path string
		want         int
	}{
		{h, "GET", "/", 404},
		{h, "POST", "/webhooks/gitlab/", 404},
		{h, "POST", "/webhooks", 404},
		{h, "GET", gitlabPath, 405},
		{h, "PUT", "/slack/events", 405},
		{h, "GET", "/slack/commands", 405},
		{h, "GET", "/slack/commands?ssl_check=1", 200},
		{h, "POST", "/slack/commands?ssl_check=1", 401},
		{without, "POST", "/slack/commands", 404},
		{without, "POST", "/slack/events", 404},
	}
	for _, tt := range tests {
		if w := do(t, tt.h, tt.method, tt.path, nil, ""); w.Code != tt.want {
			t.Errorf("%s %s: got %d, want %d", tt.method, tt.path, w.Code, tt.want)
		}
	}
}

func TestEngineSurvivesPanics(t *testing.T) {
	var log bytes.Buffer
	var n counts
	h, err := New(Options{DB: openDB(t), GitLabSecrets: []string{testSecret}, Log: logTo(&log), Counted: n.add})
	if err != nil {
		t.Fatal(err)
	}
	e := h.Engine()
	e.GET("/boom", func(*gin.Context) { panic("boom") })
	e.GET("/late", func(c *gin.Context) { c.String(200, "begun"); panic("late") })
	e.GET("/abort", func(*gin.Context) { panic(http.ErrAbortHandler) })

	if w := do(t, e, "GET", "/boom", nil, ""); w.Code != 500 || w.Body.Len() != 0 {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "boom") || !strings.Contains(log.String(), "accept_test.go") || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("log: %s", &log)
	}
	if w := do(t, e, "GET", "/late", nil, ""); w.Code != 200 {
		t.Errorf("an answer that was begun: got %d", w.Code)
	}
	if n.get("any panicked") != 2 {
		t.Errorf("counted %v", n.n)
	}
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
			t.Error("an aborted request was held back from the server")
		}
	}()
	do(t, e, "GET", "/abort", nil, "")
}
