package gitlabsim

import (
	"strings"
	"time"
)

// Timestamps added to a kind of log gives the same trace as runners since 18.7 write it: every line begins with its time and
// stream.
const Timestamps = "+timestamps"

// sampleStart is when all sample jobs ran.
var sampleStart = time.Date(2026, 11, 20, 9, 14, 3, 218_450_000, time.UTC)

// SampleKinds are the kinds that SampleLog knows. "long" is lively: sections in sections, standard error, progress bars. "hostile"
// has everything in it that a viewer must not fall for.
var SampleKinds = []string{"go-test", "npm", "docker-build", "oom", "pytest", "hostile", "ok", "long"}

// Kinds of logs that SampleLog does not give: "big" has a million lines and is made only while it is sent, "canceled" is how a job
// ends that is stopped. JobSpec.Log and Record take the first.
const (
	kindBig      = "big"
	kindCanceled = "canceled"
)

// SampleLog returns a whole trace in the format of GitLab's runner: preparation, the script, and the clean-up that follows also a
// failure. The kinds are in SampleKinds, all but "ok" and "long" fail; each may end with Timestamps. Other kinds give "".
func SampleLog(kind string) string {
	name, stamped := strings.CutSuffix(kind, Timestamps)
	p, known := findSample(name)
	if !known || name == kindBig || name == kindCanceled {
		return ""
	}
	return p.trace(stamped).String()
}

// sample is one job: what its script printed, and how it ended.
//
// Lines of a script that begin with "$ " are echoed commands, with "2> " standard error. "@section name[options] title" and "@end
// name" are sections of the script's own, "@bulk" is output that is made while it is sent.
type sample struct {
	kind, image string
	script      string
	after       string // after_script
	artifacts   string // what upload_artifacts_on_failure printed
	end         string // last line; "" is success
}

func findSample(kind string) (sample, bool) {
	for _, p := range samples {
		if p.kind == kind {
			return p, true
		}
	}
	return sample{}, false
}

func (p sample) fails() bool { return p.end != "" }

// trace is the whole trace as of sampleStart.
func (p sample) trace(stamped bool) trace {
	t := &tracer{at: sampleStart, stamped: stamped}
	for _, st := range p.steps() {
		t.at = t.at.Add(st.took)
		t.write(st)
	}
	return t.out
}

const (
	reset  = "\x1b[0;m"
	bold   = "\x1b[0K"
	cyan   = "\x1b[36;1m"
	green  = "\x1b[32;1m"
	red    = "\x1b[31;1m"
	yellow = "\x1b[0;33m"
)

// Streams of a trace.
const (
	runnerOut = "00O"
	scriptOut = "01O"
	scriptErr = "01E"
)

// unixMark stands in a step for the time of a section mark, which is known when it is written.
const unixMark = "{unix}"

// phase is a part of a job's life.
type phase byte

const (
	preparing phase = iota
	running
	ending
	over // the last lines
)

// step is one write of a job.
type step struct {
	phase  phase
	stream string
	text   string
	open   bool          // no line feed after it: the stream's next write continues the line
	took   time.Duration // since the step before, on top of what every line takes
	bulk   int           // so many generated lines in place of text
}

// stepper lists the steps of a job.
type stepper struct {
	phase phase
	list  []step
}

func (w *stepper) add(stream, text string, open bool) {
	w.list = append(w.list, step{phase: w.phase, stream: stream, text: text, open: open})
}

func (w *stepper) runner(text string) { w.add(runnerOut, text, false) }

// longestWrite is where the runner breaks a line that has no end yet.
const longestWrite = 8 << 10

// write is a line of a script. The runner hands on what stands before a carriage return, and the parts of a very long line, without
// waiting for the line's end.
func (w *stepper) write(stream, text string) {
	for len(text) > 0 {
		cut := strings.IndexByte(text, '\r') + 1
		if cut == 0 || cut > longestWrite {
			cut = min(len(text), longestWrite)
		}
		if cut == len(text) {
			break
		}
		w.add(stream, text[:cut], true)
		text = text[cut:]
	}
	w.add(stream, text, false)
}

func (w *stepper) script(text string) { w.write(scriptOut, text) }

// mark writes a section mark of the runner. Without timestamps it shares the line of what follows.
func (w *stepper) mark(kind, name string) {
	w.add(runnerOut, "section_"+kind+":"+unixMark+":"+name+"\r"+bold, true)
}

func (w *stepper) section(name, header string, body func()) {
	w.mark("start", name)
	w.runner(bold + cyan + header + reset + reset)
	body()
	w.mark("end", name)
	w.list[len(w.list)-1].took = 2 * time.Second
}

// text writes the lines of a script.
func (w *stepper) text(block string) {
	for l := range strings.SplitSeq(strings.Trim(block, "\n"), "\n") {
		command, rest, _ := strings.Cut(l, " ")
		switch command {
		case "$":
			w.script(green + l + reset)
		case "2>":
			w.write(scriptErr, rest)
		case "@section":
			name, title, _ := strings.Cut(rest, " ")
			w.script(bold + "section_start:" + unixMark + ":" + name + "\r" + bold + title)
		case "@end":
			w.script(bold + "section_end:" + unixMark + ":" + rest + "\r" + bold)
		case "@bulk":
			w.list = append(w.list, step{phase: w.phase, stream: scriptOut, bulk: bulkLines})
		default:
			w.script(l)
		}
	}
}

// steps are all that the job writes.
func (p sample) steps() []step {
	w := &stepper{}
	w.runner(bold + "Running with gitlab-runner 19.4.0 (8a7c2d19)" + reset)
	w.runner(bold + "  on linux-small-1 tQx3uVbYk, system ID: s_4d0f91c2a7be" + reset)
	w.section("prepare_executor", `Preparing the "docker" executor`, func() {
		w.runner(bold + "Using Docker executor with image " + p.image + " ..." + reset)
		w.runner(bold + "Using effective pull policy of [if-not-present] for container " + p.image + reset)
	})
	w.section("prepare_script", "Preparing environment", func() {
		w.script("Running on runner-tqx3uvbyk-project-17-concurrent-0 via linux-small-1...")
	})
	w.section("get_sources", "Getting source from Git repository", func() {
		w.script(green + "Fetching changes with git depth set to 20..." + reset)
		w.script("Initialized empty Git repository in /builds/group/web/.git/")
		w.script(green + "Created fresh repository." + reset)
		w.script(green + "Checking out 4f1c9a0e as detached HEAD (ref is main)..." + reset)
		w.script("Skipping Git submodules setup")
	})
	w.section("step_script", `Executing "step_script" stage of the job script`, func() {
		w.script(bold + "Using effective pull policy of [if-not-present] for container " + p.image + reset)
		w.phase = running
		if p.script != "" {
			w.text(p.script)
		}
		w.phase = ending
	})
	if p.after != "" {
		w.section("after_script", "Running after_script", func() {
			w.script(green + "Running after script..." + reset)
			w.text(p.after)
		})
	}
	if p.artifacts != "" {
		w.section("upload_artifacts_on_failure", "Uploading artifacts for failed job", func() {
			w.script(green + "Uploading artifacts..." + reset)
			w.text(p.artifacts)
		})
	}
	w.section("cleanup_file_variables", "Cleaning up project directory and file based variables", func() {})
	w.phase = over
	if p.end == "" {
		w.runner(bold + green + "Job succeeded" + reset)
		return w.list
	}
	w.runner(bold + red + p.end)
	w.runner(reset)
	return w.list
}
