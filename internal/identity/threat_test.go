package identity

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"kovra.dev/chatops/internal/kovra"
)

// TestSecretsFollowNoRedirect: the client secret, codes and refresh tokens go to GitLab alone.
func TestSecretsFollowNoRedirect(t *testing.T) {
	var strayed atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strayed.Add(1) }))
	defer other.Close()
	lab := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/oauth/token", http.StatusTemporaryRedirect)
	}))
	defer lab.Close()
	o := newOffice(t, func(o *Options) { o.OAuth.GitLabURL, o.OAuth.HTTP = lab.URL, lab.Client() })
	at, err := url.Parse(o.begin("UMIA"))
	o.must(err)
	if v := o.get(o.where + callbackPath + "?code=x&state=" + url.QueryEscape(at.Query().Get("state"))); v.page() == "connected" {
		t.Errorf("connected by %s", v.page())
	}
	if _, err := o.oauth.refresh(t.Context(), kovra.TokenPair{Refresh: "their-refresh"}); err == nil || strings.Contains(err.Error(), "their-refresh") {
		t.Errorf("refresh: %v", err)
	}
	if err := o.oauth.revoke(t.Context(), kovra.TokenPair{Access: "their-access"}); err == nil || strings.Contains(err.Error(), "their-access") {
		t.Errorf("revoke: %v", err)
	}
	if n := strayed.Load(); n != 0 {
		t.Errorf("%d requests went to another host", n)
	}
}

// TestReadersSignInByThemselves: nobody is signed in by a link of somebody else, and signing in leads to the log and nowhere else.
func TestReadersSignInByThemselves(t *testing.T) {
	o := newOffice(t)
	link := o.db.LogLink(aLog)
	start := o.get(o.SignIn(link) + "&to=https://evil.example&redirect_uri=https://evil.example")
	if strings.Contains(start.to, "evil") || !strings.HasPrefix(start.to, labURL+"/oauth/authorize?") {
		t.Fatalf("leads to %s", start.to)
	}
	back, err := o.lab.sim.Authorize(t.Context(), start.to, "otto")
	o.must(err)
	attackers := o.jar
	o.newBrowser() // the victim's, to whom the address is sent
	v := o.get(back)
	if v.page() != "stranger" || strings.Contains(strings.Join(v.header.Values("Set-Cookie"), " "), sessionCookie) {
		t.Errorf("signed in as somebody else: %d %s", v.status, v.page())
	}
	want(t, o.read(aLog), kovra.Unconnected)
	for _, bad := range []string{"https://evil.example", "//evil.example", link + "%0d%0aLocation:%20https://evil.example", link + "/../../oauth", "..%2f" + link} {
		if v := o.get(o.where + startPath + "?log=" + bad); v.status != http.StatusNotFound || v.to != "" {
			t.Errorf("%s: %d %s", bad, v.status, v.to)
		}
	}
	o.jar = attackers
	if v := o.get(back); v.to != o.where+"/logs/"+link {
		t.Errorf("leads to %s", v.to)
	}
}

// TestTokensAreNotInTheFile: who steals the database, or a copy of it, has nobody's tokens.
func TestTokensAreNotInTheFile(t *testing.T) {
	o := newOffice(t)
	o.connect("UMIA", "mia")
	files, err := filepath.Glob(o.path + "*")
	o.must(err)
	tokens, bytes := o.lab.sim.OAuthTokens("mia"), 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		o.must(err)
		bytes += len(data)
		for _, t := range tokens {
			if strings.Contains(string(data), t.Access) || strings.Contains(string(data), t.Refresh) {
				o.Errorf("a token is readable in %s", filepath.Base(file))
			}
		}
	}
	if len(tokens) == 0 || bytes == 0 {
		t.Fatalf("%d tokens, %d bytes", len(tokens), bytes)
	}
}

// TestPagesCannotBeFramed: nor run script, be kept, or tell their address to others.
func TestPagesCannotBeFramed(t *testing.T) {
	o := newOffice(t)
	asks := o.allow(o.begin("UBEN"), "zoe")
	if asks.page() != "confirm" {
		t.Fatalf("got %s", asks.page())
	}
	for name, v := range map[string]visited{
		"the page that asks": asks, "an old link": o.get(o.where + startPath), "a stranger": o.get(o.where + callbackPath), "no page": o.get(o.where + "/oauth/gitlab/other"),
	} {
		policy := v.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy %q lacks %q", name, policy, want)
			}
		}
		if strings.Contains(policy, "script") || v.header.Get("Cache-Control") != "no-store" || v.header.Get("Referrer-Policy") != "no-referrer" || v.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", name, v.header)
		}
	}
	if v := o.get(o.where + confirmPath + "?answer=yes"); v.status != http.StatusMethodNotAllowed {
		t.Errorf("asked by GET: %d", v.status)
	}
}
