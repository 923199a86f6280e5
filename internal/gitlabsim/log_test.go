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
		if n := strings.Count(plain, "section_start:"); kind != "hostile" && (n < 5 || n != strings.Count(plain, "section_end:")) {
			t.Errorf("%s: %d sections start, %d end", kind, n, strings.Count(plain, "section_end:"))
		}
		if failed := strings.Contains(plain, "ERROR: Job failed: exit code"); failed == passes(kind) {
			t.Errorf("%s: wrong last line", kind)
		}
		if !passes(kind) && strings.Index(plain, "cleanup_file_variables") > strings.Index(plain, "ERROR: Job failed") {
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
	for _, kind := range []string{"nothing", "big", "canceled"} {
		if gitlabsim.SampleLog(kind) != "" {
			t.Errorf("%s has a log", kind)
		}
	}
}

func passes(kind string) bool { return kind == "ok" || kind == "long" }

func TestTheLongLogIsLively(t *testing.T) {
	stamped := gitlabsim.SampleLog("long" + gitlabsim.Timestamps)
	for what, least := range map[string]int{" 01E ": 15, " 01E+": 10, " 01O+": 10, "section_start": 14, "[collapsed=true]": 2, "\n": 150, "\x1b[3": 75} {
		if got := strings.Count(stamped, what); got < least {
			t.Errorf("%q is there %d times, want %d at least", what, got, least)
		}
	}
}

func TestTheHostileLogIsHostile(t *testing.T) {
	log := gitlabsim.SampleLog("hostile")
	for _, what := range []string{"<script>", "onerror=", "\x1b]8;;https://evil", "\x1b]0;", "\x1b]52;", "\u202e", "\u200b", "\x00", "\u2028", "<!channel>"} {
		if !strings.Contains(log, what) {
			t.Errorf("there is no %q", what)
		}
	}
	longest := 0
	for l := range strings.SplitSeq(log, "\n") {
		longest = max(longest, len(l))
	}
	if longest < 200_000 {
		t.Errorf("the longest line has %d bytes", longest)
	}
	for l := range strings.SplitSeq(gitlabsim.SampleLog("hostile"+gitlabsim.Timestamps), "\n") {
		if len(l) > 32+8192 {
			t.Errorf("the runner would break a line of %d bytes", len(l))
		}
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
