package bot

import (
	"strings"
	"testing"

	"kovra.dev/chatops/internal/kovra"
)

// TestFilterAlone: a filter in a file is written as in a command, and is written so that it is read again.
func TestFilterAlone(t *testing.T) {
	for words, want := range map[string]string{
		"":                                    "pipelines builds",
		"builds pipelines":                    "pipelines builds",
		"mrs quiet":                           "merge_requests quiet",
		"pipelines ref:main,release/* ref:!x": "pipelines ref:!x ref:main ref:release/*",
		`builds "ref:a b" only:failures`:      `builds "ref:a b" only:failures`,
		"ref:a&b broadcast:on by:@ann,!bots":  "pipelines builds ref:a&b by:!bots by:ann",
		"tags broadcast:all":                  "tags broadcast:all",
	} {
		f, err := ParseFilter(words)
		if err != nil {
			t.Errorf("%q: %v", words, err)
			continue
		}
		got := FilterWords(f)
		again, err := ParseFilter(got)
		if got != want || err != nil || again.Normal().String() != f.Normal().String() {
			t.Errorf("%q: %q, want %q; read again: %q, %v", words, got, want, again.String(), err)
		}
	}
	for words, want := range map[string]string{
		"web":             `I do not understand "web".`,
		"pipelins":        `I do not understand "pipelins". Did you mean pipelines?`,
		"#12":             `I do not understand "#12".`,
		"--yes":           `I do not understand "--yes".`,
		`"ref:a`:          "quote",
		"only:never":      "only:never",
		"builds source:x": "source",
	} {
		if _, err := ParseFilter(words); kovra.KindOf(err) != kovra.Invalid || !strings.Contains(kovra.PublicText(err), want) {
			t.Errorf("%q: error %v, want one with %q", words, err, want)
		}
	}
}
