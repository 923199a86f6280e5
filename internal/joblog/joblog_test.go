package joblog

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// logCase is one file of testdata: a log in the shape of a real tool, the lines
// that its excerpt must contain, and those that it must not.
type logCase struct {
	name          string
	trace         string // as runners wrote it before they stamped lines
	must, mustNot []string
}

// logCases reads the logs with which the knowledge was built. Those of the folder
// untouched are for TestScores alone.
func logCases(tb testing.TB) []logCase {
	tb.Helper()
	cases := logSet(tb, "tuned")
	if len(cases) < 20 {
		tb.Fatalf("found %d logs, want at least 20", len(cases))
	}
	return cases
}

func logSet(tb testing.TB, set string) []logCase {
	tb.Helper()
	return logSetAt(tb, filepath.Join("testdata", set))
}

func logSetAt(tb testing.TB, dir string) []logCase {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil {
		tb.Fatal(err)
	}
	var cases []logCase
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		parts := map[string]string{}
		for _, f := range archive.Files {
			parts[f.Name] = string(f.Data)
		}
		c := logCase{name: strings.TrimSuffix(filepath.Base(file), ".txtar"), trace: parts["trace"]}
		if script, ok := parts["script"]; ok {
			c.trace = runnerTrace(tb, script, parts)
		}
		c.trace = strings.NewReplacer("␛", "\x1b", "␍", "\r").Replace(c.trace)
		c.must, c.mustNot = linesOf(parts["must"]), linesOf(parts["mustnot"])
		if len(c.must) == 0 {
			tb.Fatalf("%s says nothing of what must be shown", file)
		}
		cases = append(cases, c)
	}
	return cases
}

func linesOf(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
}

// runnerTrace writes what a runner writes around a script.
func runnerTrace(tb testing.TB, script string, parts map[string]string) string {
	tb.Helper()
	var b strings.Builder
	b.WriteString("␛[0KRunning with gitlab-runner 18.4.0 (5de42c65)␛[0;m\n")
	section := func(name, title, text string) {
		fmt.Fprintf(&b, "section_start:1767000000:%s␍␛[0K␛[0K␛[36;1m%s␛[0;m␛[0;m\n%s", name, title, text)
		fmt.Fprintf(&b, "section_end:1767000009:%s␍␛[0K", name)
	}
	section("prepare_executor", `Preparing the "docker" executor`, "␛[0KUsing Docker executor with image alpine:3.20 ...␛[0;m\n")
	section("get_sources", "Getting source from Git repository", "␛[32;1m$ git fetch || echo 'fatal: not an error'␛[0;m\nfatal: this was only the cache of the sources\n")
	var body strings.Builder
	for line := range strings.SplitSeq(strings.TrimSuffix(script, "\n"), "\n") {
		if rest, ok := strings.CutPrefix(line, "@repeat "); ok {
			times, text, _ := strings.Cut(rest, " ")
			n, err := strconv.Atoi(times)
			if err != nil {
				tb.Fatal(err)
			}
			body.WriteString(strings.Repeat(text+"\n", n))
			continue
		}
		if strings.HasPrefix(line, "$ ") {
			line = "␛[32;1m" + line + "␛[0;m"
		}
		body.WriteString(line + "\n")
	}
	if parts["limit"] != "" {
		fmt.Fprintf(&b, "section_start:1767000000:step_script␍␛[0K␛[36;1mExecuting \"step_script\" stage of the job script␛[0;m\n%s", body.String())
		b.WriteString("\n␛[33;1mJob's log exceeded limit of 4194304 bytes.\nJob execution will continue but no more output will be collected.␛[0;m\n")
		return b.String()
	}
	section("step_script", `Executing "step_script" stage of the job script`, body.String())
	if after := parts["after"]; after != "" {
		section("upload_artifacts_on_failure", "Uploading artifacts for failed job", after)
	}
	section("cleanup_file_variables", "Cleaning up project directory and file based variables", "")
	end := strings.TrimSpace(parts["end"])
	if end == "" {
		exit := strings.TrimSpace(parts["exit"])
		if exit == "" {
			exit = "1"
		}
		end = "ERROR: Job failed: exit code " + exit
	}
	b.WriteString("␛[31;1m" + end + "\n␛[0;m")
	return b.String()
}

// stamped writes a plain trace in the format of newer runners: every line has
// a stamp, markers are entries of their own, and what follows continues them.
func stamped(trace string) string {
	var b strings.Builder
	n := 0
	stamp := func(flag string) {
		n++
		fmt.Fprintf(&b, "2026-03-01T10:%02d:%02d.%06dZ 00O%s", n/60%60, n%60, n%1000000, flag)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(trace, "\n"), "\n") {
		stamp(" ")
		for {
			i := strings.Index(line, "\r\x1b[0K")
			if i < 0 {
				break
			}
			i += len("\r\x1b[0K")
			b.WriteString(line[:i] + "\n")
			line = line[i:]
			stamp("+")
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

func shownTexts(e Excerpt) []string {
	var out []string
	for _, l := range e.Lines {
		if l.Hidden == 0 {
			out = append(out, l.Text)
		}
	}
	return out
}

// complaints compares an excerpt with what a case asks for.
func complaints(c logCase, e Excerpt) []string {
	var out []string
	texts := shownTexts(e)
	has := func(part string) bool {
		for _, text := range texts {
			if strings.Contains(text, part) {
				return true
			}
		}
		return false
	}
	for _, part := range c.must {
		if !has(part) {
			out = append(out, "must show: "+part)
		}
	}
	for _, part := range c.mustNot {
		if has(part) {
			out = append(out, "must not show: "+part)
		}
	}
	return out
}

func cut(tb testing.TB, trace string, o Options) Excerpt {
	tb.Helper()
	e, err := Cut(tb.Context(), strings.NewReader(trace), o)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func TestExcerptsOfTools(t *testing.T) {
	for _, c := range logCases(t) {
		for _, format := range formatsOf(c) {
			t.Run(c.name+"/"+format.name, func(t *testing.T) {
				e := cut(t, format.trace, Options{})
				checkBounds(t, e, Options{})
				if testing.Verbose() && os.Getenv("KOVRA_TEST_SHOW") != "" {
					t.Logf("first %d of %d\n%s", e.First, e.Total, e)
				}
			})
		}
	}
}

type formatted struct{ name, trace string }

// formatsOf gives the log as runners of different age write it.
func formatsOf(c logCase) []formatted {
	return []formatted{{"plain", c.trace}, {"stamped", stamped(c.trace)}}
}
