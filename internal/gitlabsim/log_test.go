package gitlabsim_test

import (
	"regexp"
	"strings"
	"testing"

	"kovra.dev/chatops/internal/gitlabsim"
)

var prefix = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z [0-9a-f]{2}[OE][ +]`)

func TestSampleLogsHaveTheRunnersFormat(t *testing.T) {
	for _, kind := range gitlabsim.SampleKinds {
		plain, stamped := gitlabsim.SampleLog(kind), gitlabsim.SampleLog(kind+gitlabsim.Timestamps)
		if n := strings.Count(plain, "section_start:"); n < 5 || n != strings.Count(plain, "section_end:") {
			t.Errorf("%s: %d sections start, %d end", kind, n, strings.Count(plain, "section_end:"))
		}
		if failed := strings.Contains(plain, "ERROR: Job failed: exit code"); failed == (kind == "ok") {
			t.Errorf("%s: wrong last line", kind)
		}
		if kind != "ok" && strings.Index(plain, "cleanup_file_variables") > strings.Index(plain, "ERROR: Job failed") {
			t.Errorf("%s: no clean-up ahead of the last line", kind)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(stamped, "\n"), "\n") {
			if !prefix.MatchString(line) {
				t.Errorf("%s: line without time: %q", kind, line)
			}
			if rest := strings.TrimSuffix(line, "\x1b[0K"); strings.Contains(strings.TrimSuffix(rest, "\r"), "\r") {
				t.Errorf("%s: carriage return inside a physical line: %q", kind, line)
			}
		}
	}
	if gitlabsim.SampleLog("nothing") != "" {
		t.Error("an unknown kind has a log")
	}
}

func TestBothStylesOfALogSayTheSame(t *testing.T) {
	for _, kind := range gitlabsim.SampleKinds {
		var joined strings.Builder
		for i, line := range strings.Split(strings.TrimSuffix(gitlabsim.SampleLog(kind+gitlabsim.Timestamps), "\n"), "\n") {
			if mark := prefix.FindString(line); i > 0 && !strings.HasSuffix(mark, "+") {
				joined.WriteString("\n")
			}
			joined.WriteString(prefix.ReplaceAllString(line, ""))
		}
		unix := regexp.MustCompile(`section_(start|end):\d+`)
		got := unix.ReplaceAllString(joined.String()+"\n", "section_$1")
		want := unix.ReplaceAllString(gitlabsim.SampleLog(kind), "section_$1")
		if got != want {
			t.Errorf("%s: styles differ:\n%q\n%q", kind, got, want)
		}
	}
}

func TestTracesComeFromTheShape(t *testing.T) {
	w := newWorld(t)
	w.web.SetCI([]string{"a"}, []gitlabsim.JobSpec{{Name: "text", Stage: "a", Log: "hello\n"}, {Name: "kind", Stage: "a", Log: "oom"}})
	ref := w.push()
	w.finish(ref, "text", "success")
	w.finish(ref, "kind", "failed")
	if got := w.job(ref, "text").Trace; got != "hello\n" {
		t.Errorf("text: %q", got)
	}
	if got := w.job(ref, "kind").Trace; got != gitlabsim.SampleLog("oom") {
		t.Errorf("kind: %q", got)
	}
	id, err := w.s.RetryJob(w.job(ref, "kind").ID, "dev")
	must(t, err)
	must(t, w.s.FinishJob(id, "success", "", ""))
	if got := w.job(ref, "kind").Trace; got != gitlabsim.SampleLog("ok") {
		t.Errorf("success of a kind: %q", got)
	}
}
