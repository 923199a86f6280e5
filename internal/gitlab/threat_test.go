package gitlab

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"kovra.dev/chatops/internal/kovra"
)

// TestTokensGoToNoOtherHost: by no redirect, of whatever kind, for the bot and for people, and by no address in an answer.
func TestTokensGoToNoOtherHost(t *testing.T) {
	var strayed atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strayed.Add(1) }))
	defer other.Close()
	to := ""
	own := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to == "pages" {
			w.Header().Set("Link", "<"+other.URL+`/api/v4/projects>; rel="next"`)
			w.Header().Set("X-Next-Page", other.URL)
			_, _ = w.Write([]byte(`[{"id":1,"web_url":"` + other.URL + `","avatar_url":"` + other.URL + `"}]`))
			return
		}
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
	}))
	defer own.Close()
	bot, err := New(Options{URL: own.URL, Token: fixed(testToken)})
	if err != nil {
		t.Fatal(err)
	}
	person, err := bot.As("their-token")
	if err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(own.URL, "http://")
	for _, to = range []string{other.URL + "/", "https://" + host + "/", "http://user@" + strings.TrimPrefix(other.URL, "http://") + "/", "//" + strings.TrimPrefix(other.URL, "http://") + "/", "file:///etc/passwd"} {
		for name, c := range map[string]*Client{"the bot": bot, "a person": person} {
			_, projectErr := c.Project(t.Context(), "1")
			_, traceErr := c.Trace(t.Context(), 1, 2)
			retryErr := c.RetryPipeline(t.Context(), 1, 2)
			for what, err := range map[string]error{"a project": projectErr, "a log": traceErr, "a retry": retryErr} {
				if err == nil || strings.Contains(err.Error(), testToken) || strings.Contains(err.Error(), "their-token") {
					t.Errorf("%s, %s, to %s: %v", name, what, to, err)
				}
			}
		}
	}
	to = "pages"
	if _, err := bot.SearchProjects(t.Context(), "x", 10); err != nil && kovra.KindOf(err) == kovra.Internal {
		t.Error(err)
	}
	if n := strayed.Load(); n != 0 {
		t.Errorf("%d requests went to another host", n)
	}
}
