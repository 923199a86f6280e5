package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// TestLinksTellNothing: a link that we have not signed is answered alike, whether there is such a log or not; that a log is
// gone, or too old, is told to who has its link alone.
func TestLinksTellNothing(t *testing.T) {
	w := newWorld(t).serve()
	log := w.keep(numbered(1, 3)...)
	w.done(log.ID)
	own := w.db.LogLink(testKey)
	next := w.db.LogLink(kovra.LogKey{Kind: testKey.Kind, Project: testKey.Project, ID: testKey.ID + 1})
	const mac = 22 // characters of the signature, about
	if len(own) <= mac || len(own) != len(next) {
		t.Fatalf("links %q and %q", own, next)
	}
	forged := map[string]string{
		"the next log, by the signature of this one": next[:len(next)-mac] + own[len(own)-mac:],
		"this log, by the signature of the next":     own[:len(own)-mac] + next[len(next)-mac:],
		"this log, the last character changed":       own[:len(own)-1] + flip(own[len(own)-1:]),
		"this log, without a signature":              own[:len(own)-mac],
		"a number":                                   "4711",
	}
	want := ""
	for name, link := range forged {
		for _, rest := range []string{"", "/info", "/raw", "/lines", "/search?q=a", "/stream"} {
			res, body := w.ask(http.MethodGet, w.server.URL+"/logs/"+link+rest)
			if res.StatusCode != http.StatusNotFound || strings.Contains(body, "line") && rest == "/raw" {
				t.Errorf("%s%s: %s %s", name, rest, res.Status, body)
			}
			if rest == "" {
				if want == "" {
					want = body
				}
				if body != want {
					t.Errorf("%s is told apart from others: %s", name, body)
				}
			}
		}
	}
	w.pass(100 * 24 * time.Hour)
	if res, _ := w.ask(http.MethodGet, w.server.URL+"/logs/"+own); res.StatusCode != http.StatusGone {
		t.Errorf("its own link: %s", res.Status)
	}
	if _, body := w.ask(http.MethodGet, w.server.URL+"/logs/"+forged["this log, the last character changed"]); body != want {
		t.Errorf("a forged link tells that the log is old: %s", body)
	}
}

func flip(s string) string {
	if s == "A" {
		return "Q"
	}
	return "A"
}

// TestSearchIsBounded: no pattern takes longer than the log is long, and none takes much memory.
func TestSearchIsBounded(t *testing.T) {
	w := newWorld(t).serve()
	w.keep(kovra.LogLine{N: 1, Text: strings.Repeat("a", 100_000) + "!"})
	search := func(pattern string) reply {
		t.Helper()
		res, _ := w.ask(http.MethodGet, w.url("/search?regex=1&q="+url.QueryEscape(pattern)))
		return res
	}
	for _, pattern := range []string{"((a{100}){100}){100}", "(?:" + strings.Repeat("a{900}", 50) + ")", strings.Repeat("(", 900) + strings.Repeat(")", 900), strings.Repeat("a", 1001), "(?<x>a)(?P=x)", `(a)\1`, "(?=a)"} {
		if res := search(pattern); res.StatusCode != http.StatusBadRequest {
			t.Errorf("%.30q: %s", pattern, res.Status)
		}
	}
	begun := time.Now()
	for _, pattern := range []string{"(a+)+$", "(a|a)*b", "(.*)*(.*)*(.*)*x", "(a*)*c"} { // for ever where an engine goes back
		if res := search(pattern); res.StatusCode != http.StatusOK {
			t.Errorf("%q: %s", pattern, res.Status)
		}
	}
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("it took %s", took)
	}
}
