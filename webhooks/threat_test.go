package webhooks

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// TestForgedGitLabRequests: the secret is good where GitLab puts it, and nowhere else.
func TestForgedGitLabRequests(t *testing.T) {
	tests := []struct {
		name, target string
		header       http.Header
		want         int
	}{
		{"the secret in the query", gitlabPath + "?token=" + url.QueryEscape(testSecret) + "&X-Gitlab-Token=" + url.QueryEscape(testSecret), nil, 401},
		{"as a password", gitlabPath, headers("Authorization", "Bearer "+testSecret), 401},
		{"in a cookie", gitlabPath, headers("Cookie", headerGitLabToken+"="+testSecret), 401},
		{"under another name", gitlabPath, headers("X-Gitlab-Tokens", testSecret), 401},
		{"in a list", gitlabPath, headers(headerGitLabToken, "wrong, "+testSecret), 401},
		{"as the second of two", gitlabPath, http.Header{headerGitLabToken: {"wrong", testSecret}}, 401},
		{"in quotes", gitlabPath, headers(headerGitLabToken, `"`+testSecret+`"`), 401},
		{"in another case", gitlabPath, headers(headerGitLabToken, strings.ToUpper(testSecret)), 401},
		{"with a zero", gitlabPath, headers(headerGitLabToken, testSecret+"\x00"), 401},
		{"a path that means the same", "/webhooks/../webhooks/gitlab", headers(headerGitLabToken, testSecret), 404},
		{"the right one", gitlabPath, headers(headerGitLabToken, testSecret), 200},
	}
	for _, tt := range tests {
		db := openDB(t)
		h := newHandler(t, Options{DB: db})
		w := do(t, h, http.MethodPost, tt.target, tt.header, `{"object_kind":"push"}`)
		if n := len(stored(t, db)); w.Code != tt.want || (n == 1) != (tt.want == 200) {
			t.Errorf("%s: got %d, want %d; %d stored", tt.name, w.Code, tt.want, n)
		}
	}
}

// TestSignatureThatWasTakenAway: where signing alone is set, a delivery without a signature has nothing to show.
func TestSignatureThatWasTakenAway(t *testing.T) {
	db := openDB(t)
	h := newHandler(t, Options{DB: db, GitLabSigningTokens: []string{testSigning}})
	good := headers(headerGitLabToken, testSecret)
	signGitLab(t, good, testSigning, testNow, "{}")
	for name, drop := range map[string][]string{
		"no signature": {"Webhook-Signature"}, "nothing": {"Webhook-Signature", "Webhook-Id", "Webhook-Timestamp"}, "no time": {"Webhook-Timestamp"}, "no id": {"Webhook-Id"},
	} {
		header := good.Clone()
		for _, one := range drop {
			delete(header, one)
		}
		if w := do(t, h, http.MethodPost, gitlabPath, header, "{}"); w.Code != 401 || len(stored(t, db)) != 0 {
			t.Errorf("%s: got %d", name, w.Code)
		}
	}
}

// TestReplayedDelivery: in the window a signed delivery comes in once, whatever of it is not signed; after it, never.
func TestReplayedDelivery(t *testing.T) {
	db := openDB(t)
	linkProjects(t, db, kovra.Project{ID: 7})
	subscribe(t, db, 7, kovra.Filter{Topics: kovra.Topics()})
	now := testNow
	h := newHandler(t, Options{DB: db, GitLabSigningTokens: []string{testSigning}, Now: func() time.Time { return now }})
	header := headers(headerEvent, "Push Hook", headerKey, "msg_1")
	signGitLab(t, header, testSigning, testNow, pushBody)
	post := func(change ...string) int {
		t.Helper()
		again := header.Clone()
		for i := 0; i < len(change); i += 2 {
			again.Set(change[i], change[i+1])
		}
		return do(t, h, http.MethodPost, gitlabPath, again, pushBody).Code
	}
	for _, change := range [][]string{nil, nil, {headerKey, "another"}, {headerKey, "", headerEvent, "Note Hook"}} {
		if got := post(change...); got != 200 {
			t.Errorf("%q: got %d; what GitLab sends again is no failure", change, got)
		}
	}
	if got := len(stored(t, db)); got != 1 {
		t.Errorf("stored %d times", got)
	}
	now = now.Add(Tolerance + time.Second)
	if got := post(headerKey, "later"); got != 401 || len(stored(t, db)) != 1 {
		t.Errorf("after the window: got %d", got)
	}
}

// TestSlackForgeries: only the body is signed, so only the body speaks.
func TestSlackForgeries(t *testing.T) {
	var log bytes.Buffer
	f := &fakeSlack{}
	h := slackHandler(t, f, &log)
	signed := func(body string, change ...string) http.Header {
		header := signedBySlack(testSlack, testNow, body)
		for i := 0; i < len(change); i += 2 {
			header.Set(change[i], change[i+1])
		}
		return header
	}
	// What the body is called does not make it another.
	for _, kind := range []string{"application/json", "multipart/form-data; boundary=x", "text/plain", ""} {
		f.forms = nil
		w := do(t, h, "POST", "/slack/commands?text=forged", signed(commandBody, "Content-Type", kind), commandBody)
		if w.Code != 200 || len(f.forms) != 1 || f.forms[0].Get("text") != "run web" {
			t.Errorf("%q: got %d, %v", kind, w.Code, f.forms)
		}
	}
	// A field that is there twice is the first, for the check and for what is done.
	f.payloads = nil
	twice := "payload=%7B%22a%22%3A1%7D&payload=%7B%22a%22%3A2%7D"
	do(t, h, "POST", "/slack/interactions", signed(twice), twice)
	if len(f.payloads) != 1 || f.payloads[0] != `{"a":1}` {
		t.Errorf("two payloads: %v", f.payloads)
	}
	before := f.calls()
	for name, header := range map[string]http.Header{
		"a body of another request":  signedBySlack(testSlack, testNow, "payload=x"),
		"a signature that is packed": signed(commandBody, "Content-Encoding", "gzip", headerSlackSignature, "v0=00"),
		"a second signature":         {"X-Slack-Request-Timestamp": {"1772600767"}, "X-Slack-Signature": {"v0=00", signed(commandBody).Get(headerSlackSignature)}},
		"in upper case":              signed(commandBody, headerSlackSignature, "V0="+strings.ToUpper(signed(commandBody).Get(headerSlackSignature)[3:])),
		"a time in other digits":     signed(commandBody, headerSlackTimestamp, "+1772600767"),
		"GitLab's secret":            headers(headerGitLabToken, testSecret),
	} {
		if w := do(t, h, "POST", "/slack/commands", header, commandBody); w.Code != 401 || f.calls() != before {
			t.Errorf("%s: got %d", name, w.Code)
		}
	}
}

// TestBodiesAreNotUnpacked: a small body cannot become a large one.
func TestBodiesAreNotUnpacked(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(bytes.Repeat([]byte(" "), 10<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	db := openDB(t)
	h := newHandler(t, Options{DB: db})
	w := do(t, h, http.MethodPost, gitlabPath, headers(headerGitLabToken, testSecret, "Content-Encoding", "gzip"), packed.String())
	foldPending(t, NewIntake(IntakeOptions{DB: db}))
	got := stored(t, db)
	if w.Code != 200 || len(got) != 1 || !bytes.Equal(got[0].Body, packed.Bytes()) || got[0].Outcome != kovra.DeliveryDead {
		t.Errorf("got %d, %d stored", w.Code, len(got))
	}
}

// TestBodiesThatWantToHurt are settled like others: deep, with huge numbers, with many names.
func TestBodiesThatWantToHurt(t *testing.T) {
	const deep = 200_000
	for name, body := range map[string]string{
		"deep":             `{"object_kind":"pipeline","object_attributes":` + strings.Repeat(`[`, deep) + strings.Repeat(`]`, deep) + `}`,
		"deep and open":    `{"object_kind":"push","commits":` + strings.Repeat(`{"a":`, deep),
		"a huge number":    `{"object_kind":"pipeline","project":{"id":1e999999},"object_attributes":{"id":` + strings.Repeat("9", 100_000) + `}}`,
		"negative numbers": `{"object_kind":"pipeline","project":{"id":-7},"object_attributes":{"id":-1,"duration":-1e300}}`,
		"a long name":      `{"object_kind":"push","project_id":7,"ref":"refs/heads/` + strings.Repeat("x", 1<<20) + `","after":"da1560886d4f094c3e6c9ef40349f7d38b5d27d7"}`,
		"names twice":      `{"object_kind":"push","object_kind":"note","project_id":7,"project_id":[]}`,
		"many commits":     `{"object_kind":"push","project_id":7,"ref":"refs/heads/main","after":"da1560886d4f094c3e6c9ef40349f7d38b5d27d7","commits":[` + strings.Repeat(`{},`, 100_000) + `{}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			db := openDB(t)
			linkProjects(t, db, kovra.Project{ID: 7})
			subscribe(t, db, 7, kovra.Filter{Topics: kovra.Topics()})
			if w := do(t, newHandler(t, Options{DB: db}), http.MethodPost, gitlabPath, headers(headerGitLabToken, testSecret), body); w.Code != 200 {
				t.Fatalf("got %d", w.Code)
			}
			foldPending(t, NewIntake(IntakeOptions{DB: db, Builds: true}))
			got := stored(t, db)[0]
			if got.Outcome == kovra.DeliveryPending || len(got.Note) > maxText {
				t.Errorf("outcome %q, a note of %d bytes", got.Outcome, len(got.Note))
			}
		})
	}
}
