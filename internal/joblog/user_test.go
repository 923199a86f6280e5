package joblog

import (
	"regexp/syntax"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompileComplains(t *testing.T) {
	cases := []struct {
		pattern Pattern
		want    string
	}{
		{Pattern{Expr: "x"}, "pattern 1: has no name"},
		{Pattern{Name: "a", Expr: "("}, `pattern "a": expression "(": error parsing regexp`},
		{Pattern{Name: "a"}, `pattern "a": neither`},
		{Pattern{Name: "a", Expr: "x", Weight: 101}, `pattern "a": weight 101`},
		{Pattern{Name: "a", Expr: "x", Weight: -1}, `pattern "a": weight -1`},
		{Pattern{Name: "a", Expr: "x", Before: 16}, "16 lines before"},
		{Pattern{Name: "a", Expr: "x", After: 51}, "51 lines after"},
		{Pattern{Name: "a", Contains: []string{"x", ""}}, "empty text"},
		{Pattern{Name: "a", Expr: strings.Repeat("x", 5000)}, "5000 bytes"},
	}
	for _, c := range cases {
		if _, err := Compile([]Pattern{c.pattern}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %s", c.pattern, err, c.want)
		}
	}
	_, err := Compile([]Pattern{{Name: "a", Expr: "x"}, {Name: "a", Expr: "("}, {Name: "b"}})
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("want all three problems, got %v", err)
	}
}

func TestCompiledPatternsWin(t *testing.T) {
	k, err := Compile([]Pattern{
		{Name: "quiet first", Expr: "^error: known", Quiet: true},
		{Name: "in spite of quiet words", Contains: []string{"warning: frobnicator"}, Before: 1, After: 1},
		{Name: "short", Contains: []string{"E42"}},
		{Name: "slow", Expr: `^\d+-\d+$`, Weight: 60},
		{Name: "case", Expr: "(?i)straße kaputt"},
		{Name: "with time", Expr: `^10:00:00 boom`},
		{Name: "other letters", Contains: []string{"ОШИБКА"}},
		{Name: "end", Contains: []string{"Job failed"}, Quiet: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]string{
		"error: known":                   "quiet first",
		"error: another":                 "error report",
		"warning: FROBNICATOR is broken": "in spite of quiet words",
		"code e42":                       "short",
		"12-34":                          "slow",
		"12-34 and more":                 "",
		"STRASSE, Straße Kaputt":         "case",
		"10:00:00 boom":                  "with time",
		"ошибка":                         "other letters",
		"$ echo E42":                     "",
		"ERROR: Job failed: exit code 1": "job failed",
		"fine":                           "",
	}
	for line, want := range cases {
		got := ""
		if p, _, _ := k.match(line, k.glance([]byte(line)), 0); p != nil {
			got = p.name
		}
		if got != want {
			t.Errorf("%q is taken for %q, want %q", line, got, want)
		}
	}
	e := cut(t, "$ ./run\nerror: known\n\nbefore\nwarning: frobnicator\nafter\nfar\nfar\nfar\nfar\n\x1b[31merror: known\nERROR: Job failed: exit code 1\n", Options{Knowledge: k})
	want := " 1  $ ./run\n… 2 lines hidden …\n 4  before\n 5  warning: frobnicator\n 6  after\n… 5 lines hidden …\n12  ERROR: Job failed: exit code 1\n"
	if diff := cmp.Diff(want, e.String()); diff != "" || e.First != 5 {
		t.Errorf("first %d\n%s", e.First, diff)
	}
}

func TestRequiredLiterals(t *testing.T) {
	cases := map[string][]string{
		`frobnicator (?:lost|gone)`: {"frobnicator "},
		`^(?:alpha|beta)\d+ lost`:   {" lost"},
		`(?:alpha|beta)+`:           {"alpha", "beta"},
		`(?i)Panic\d*`:              {"panic"},
		`a{3,}bcd`:                  {"bcd"},
		`x(?:failed){2}`:            {"failed"},
		`(?:long text)?\d`:          nil,
		`(?:abc|d)`:                 nil,
		`\d+`:                       nil,
		`ab`:                        nil,
		`größe`:                     nil,
		`die größten`:               {"die gr"},
	}
	for expr, want := range cases {
		tree, err := syntax.Parse(expr, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, seekable(required(tree.Simplify()))); diff != "" {
			t.Errorf("%s: %s", expr, diff)
		}
	}
}
