package web

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"kovra.dev/chatops/internal/kovra"
)

// FuzzViewer sends whatever somebody may type into an address. Nothing may break, and a link
// that is not the one we gave opens nothing.
func FuzzViewer(f *testing.F) {
	w := newWorld(f)
	log := w.keep(numbered(1, 300)...)
	w.add(log.ID, kovra.LogLine{N: 301, Text: "é😀\u2028", Spans: []kovra.LogSpan{{From: 0, To: 6, Style: 3}}})
	w.done(log.ID)
	good := w.db.LogLink(testKey)
	handler := w.viewer.Handler()
	for _, query := range []string{"", "from=1&n=2", "at=1,2,301&q=é", "q=(&regex=1", "q=%ff", "after=299", "skip=1&after=3", "download=1", "%zz", "q=a{1000}{1000}&regex=1", "q=.*&regex=1&case=1", "from=99999999999999999999"} {
		for _, part := range []string{"", "info", "lines", "search", "raw", "stream", "x"} {
			f.Add(good, part, query, "")
		}
	}
	f.Add("x", "lines", "", "17")
	f.Add("../"+good, "stream", "", "-1")
	f.Add(good+"=", "raw", "", "x\n")
	f.Add(good[:1]+"\n"+good[1:], "info", "", "")
	f.Fuzz(func(t *testing.T, link, part, query, last string) {
		path := "/logs/" + url.PathEscape(link)
		if part != "" {
			path += "/" + url.PathEscape(part)
		}
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		req.URL = &url.URL{Path: "/logs/" + link, RawPath: path, RawQuery: query}
		if part != "" {
			req.URL.Path += "/" + part
		}
		if last != "" {
			req.Header["Last-Event-Id"] = []string{last}
		}
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, req)
		if rec.Code >= 500 || rec.Code < 200 {
			t.Fatalf("%s?%s: %d %s", path, query, rec.Code, rec.Body)
		}
		if rec.Code == http.StatusOK && link != good && !strings.HasPrefix(rec.Header().Get("Location"), "/") {
			t.Fatalf("%q opens the log", link)
		}
		if rec.Header().Get("Referrer-Policy") != "no-referrer" {
			t.Fatalf("%s: no headers", path)
		}
		if kind := rec.Header().Get("Content-Type"); kind == kindJSON && !json.Valid(rec.Body.Bytes()) {
			t.Fatalf("%s?%s: not JSON: %s", path, query, rec.Body)
		}
	})
}
