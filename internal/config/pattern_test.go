package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const goodPatterns = `- name: licence server
  expr: 'FLEXlm error \d+'
  contains: ["flexlm error"]
  after: 3
- {name: flaky mirror, expr: "mirror .* unreachable", quiet: true}
- name: board lost
  expr: lost contact with board
  weight: 100
  before: 5
`

func TestLogPatterns(t *testing.T) {
	path := write(t, goodPatterns)
	c := mustLoad(t, required("KOVRA_LOG_PATTERNS="+path), "")
	want := []LogPattern{
		{Name: "licence server", Expr: `FLEXlm error \d+`, Contains: []string{"flexlm error"}, Weight: 90, After: 3},
		{Name: "flaky mirror", Expr: "mirror .* unreachable", Quiet: true, Weight: 90},
		{Name: "board lost", Expr: "lost contact with board", Weight: 100, Before: 5},
	}
	if diff := cmp.Diff(want, c.LogPatterns); diff != "" {
		t.Errorf("patterns (-want +got):\n%s", diff)
	}
	if c.LogPatternsFile != path {
		t.Errorf("file %q, want %q", c.LogPatternsFile, path)
	}
	for _, text := range []string{"", "# none yet\n", "---\n", "[]\n", "~\n"} {
		if c := mustLoad(t, required("KOVRA_LOG_PATTERNS="+write(t, text)), ""); len(c.LogPatterns) != 0 {
			t.Errorf("%q holds %d patterns", text, len(c.LogPatterns))
		}
	}
}

// The example of the documentation loads.
func TestDocumentedPatterns(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "log-patterns.md"))
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
	if len(examples) == 0 {
		t.Fatal("there is no example")
	}
	for _, e := range examples {
		if list, err := readPatterns("example", e[1]); err != nil || len(list) == 0 {
			t.Errorf("%d patterns, %v, in:\n%s", len(list), err, e[1])
		}
	}
}

func TestBadLogPatterns(t *testing.T) {
	long := strings.Repeat("x", 80)
	tests := []struct {
		name, text string
		want       []string
	}{
		{"no mapping", "- x\n", []string{"FILE, line 1, pattern 1: it is no mapping; expected: name, expr and further keys"}},
		{"nothing in it", "- name: a\n  expr: b\n- {}\n", []string{"FILE, line 3, pattern 2: it has no name; expected: one", "FILE, line 3, pattern 2: it has no expr; expected: one"}},
		{"unknown keys", "- name: a\n  expr: b\n  wieght: 3\n  colour: red\n", []string{
			`FILE, line 3, pattern "a": "wieght" is no key of a pattern; expected: perhaps weight`,
			`FILE, line 4, pattern "a": "colour" is no key of a pattern; expected: one of name, expr, contains, quiet, weight, before, after`,
		}},
		{"key twice", "- name: a\n  expr: b\n  expr: c\n", []string{`FILE, line 3, pattern "a": expr is given twice; expected: once`}},
		{"merge key", "- name: a\n  expr: b\n  <<: {}\n", []string{`"<<" is no key of a pattern`}},
		{"name twice", "- name: a\n  expr: b\n- name: a\n  expr: c\n", []string{`FILE, line 3, pattern "a": name: line 1 has a pattern of that name; expected: names that differ`}},
		{"blank name", "- name: ' '\n  expr: b\n", []string{`FILE, line 1, pattern " ": name: it is blank`}},
		{"empty name", "- name: ''\n  expr: b\n", []string{"FILE, line 1, pattern 1: name: it is empty"}},
		{"name is a list", "- name: [a]\n  expr: b\n", []string{"FILE, line 1, pattern 1: name: it is no plain value"}},
		{"long name", "- name: " + long + "\n", []string{`pattern "` + long[:60] + `…": it has no expr`}},
		{"expr does not compile", "- name: a\n  expr: '('\n", []string{`FILE, line 2, pattern "a": expr: error parsing regexp: missing closing ): ` + "`(`; expected: a regular expression in RE2's syntax"}},
		{"expr of another engine", "- name: a\n  expr: '(?=x)'\n", []string{"RE2's syntax"}},
		{"expr for everything", "- name: a\n  expr: '.*'\n", []string{"an empty line fits it too"}},
		{"expr is a book", "- name: a\n  expr: " + strings.Repeat("x", 4097) + "\n", []string{"expr: it has 4097 bytes; expected: at most 4096"}},
		{"expr is a list", "- name: a\n  expr: []\n", []string{"expr: it is no plain value"}},
		{"contains is a text", "- name: a\n  expr: b\n  contains: abcdef\n", []string{"contains: it is no list of texts"}},
		{"contains is empty", "- name: a\n  expr: b\n  contains: []\n", []string{"contains: it is no list of texts"}},
		{"contains is short", "- name: a\n  expr: b\n  contains: [ab]\n", []string{`contains: "ab" is too short; expected: texts of at least 3 bytes`}},
		{"contains holds a list", "- name: a\n  expr: b\n  contains:\n    - []\n", []string{"contains: line 4: it is no plain value"}},
		{"contains holds lines", "- name: a\n  expr: b\n  contains: [\"abc\\ndef\"]\n", []string{"line breaks"}},
		{"quiet is a word", "- name: a\n  expr: b\n  quiet: maybe\n", []string{"quiet: it is neither true nor false"}},
		{"quiet in quotes", "- name: a\n  expr: b\n  quiet: 'true'\n", []string{"quiet: it is neither true nor false"}},
		{"quiet with lines around", "- name: a\n  expr: b\n  quiet: true\n  after: 2\n", []string{"it is quiet and has before or after"}},
		{"bounds", "- name: a\n  expr: b\n  weight: 0\n  before: 6\n  after: 11\n", []string{
			`line 3, pattern "a": weight: "0" is no number from 1 to 100; expected: one`,
			`line 4, pattern "a": before: "6" is no number from 0 to 5`, `line 5, pattern "a": after: "11" is no number from 0 to 10`,
		}},
		{"numbers that are none", "- name: a\n  expr: b\n  weight: 5.5\n  before: [1]\n  after: '1'\n", []string{"weight:", "before:", "after:"}},
		{"too many", strings.Repeat("- name: a\n", 201), []string{"FILE: it holds 201 patterns; expected: at most 200"}},
		{"two documents", "[]\n---\n[]\n", []string{"FILE: there is more after the first document"}},
		{"no YAML", "a: [\n", []string{"FILE: yaml: line"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, tt.text)
			_, err := Load(required("KOVRA_LOG_PATTERNS="+path), "")
			if err == nil {
				t.Fatal("Load accepts it")
			}
			got := strings.Split(strings.ReplaceAll(err.Error(), path, "FILE"), "\n")
			if len(got) != len(tt.want) {
				t.Errorf("%d problems, want %d:\n%s", len(got), len(tt.want), strings.Join(got, "\n"))
			}
			for i := range min(len(got), len(tt.want)) {
				if !strings.HasPrefix(got[i], "KOVRA_LOG_PATTERNS: ") || !strings.Contains(got[i], tt.want[i]) || !strings.Contains(got[i], "expected") {
					t.Errorf("problem %d is %q, want %q in it", i, got[i], tt.want[i])
				}
			}
		})
	}
}

func TestLogsPath(t *testing.T) {
	for path, want := range map[string]string{
		"kovra.db":              "kovra-logs.db",
		"/var/lib/kovra.d/main": "/var/lib/kovra.d/main-logs",
		"./a.b.sqlite3":         "./a.b-logs.sqlite3",
		"/data/.kovra":          "/data/.kovra-logs",
	} {
		if got := (&Config{DatabasePath: path}).LogsPath(); got != want {
			t.Errorf("beside %s: %s, want %s", path, got, want)
		}
	}
}

func TestRetention(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"60m": time.Hour, "1h": time.Hour, "12 H": 12 * time.Hour, "2w": 14 * day, "90d": 90 * day, "3650d": 3650 * day, "61m": 61 * time.Minute,
	} {
		c := mustLoad(t, required("KOVRA_LOG_RETENTION="+text), "")
		var again time.Duration
		if err := setAge(&again, formatAge(c.LogRetention), time.Hour, 3650*day); err != nil || c.LogRetention != want || again != want {
			t.Errorf("%s is %s, and written as %s it is %s, %v; want %s", text, c.LogRetention, formatAge(c.LogRetention), again, err, want)
		}
	}
}

func FuzzLogPatterns(f *testing.F) {
	f.Add(goodPatterns)
	f.Add("- &a {name: x, expr: y}\n- *a\n- name: z\n  contains: [!!binary aGVsbG8=]\n  weight: 0x10\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := readPatterns("f", []byte(text))
		if err != nil {
			return
		}
		names := map[string]bool{}
		for _, p := range list {
			re, err := regexp.Compile(p.Expr)
			if err != nil || re.MatchString("") || p.Name == "" || names[p.Name] {
				t.Errorf("%+v was accepted: %v", p, err)
			}
			names[p.Name] = true
			if p.Weight < 1 || p.Weight > 100 || p.Before < 0 || p.Before > 5 || p.After < 0 || p.After > 10 {
				t.Errorf("out of bounds: %s", fmt.Sprint(p))
			}
			for _, part := range p.Contains {
				if len(part) < shortestPart {
					t.Errorf("%q is short", part)
				}
			}
		}
	})
}
