package bot

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
)

// failed is a failed attempt at a job, in the pipeline or in one of its children.
type failed struct {
	job  kovra.Job
	run  *kovra.Run
	all  []kovra.Job // attempts of the same run
	path []string    // names of the trigger jobs that led to it; none for a job of the pipeline itself
	left bool        // it is in a child pipeline in whose place another one stands
}

// failures are the attempts that a thread tells of, by id: those that count and of which
// it is settled what can be said.
func failures(v kovra.View) []failed {
	var out []failed
	add := func(run *kovra.Run, jobs []kovra.Job, path []string, left bool) {
		for _, j := range jobs {
			if j.Status == kovra.Failed && j.Counts() && (j.Log == kovra.LogCut || j.Log == kovra.LogGone) {
				out = append(out, failed{j, run, jobs, path, left})
			}
		}
	}
	add(&v.Run, v.Jobs, nil, false)
	for i := range v.Children {
		c := &v.Children[i]
		path := triggerPath(&v, c)
		if len(path) == 0 {
			path = []string{"#" + strconv.FormatInt(c.Run.Remote, 10)}
		}
		add(&c.Run, c.Jobs, path, v.Left(c))
	}
	slices.SortStableFunc(out, func(a, b failed) int {
		switch {
		case a.job.ID < b.job.ID:
			return -1
		case a.job.ID > b.job.ID:
			return 1
		}
		return 0
	})
	return slices.CompactFunc(out, func(a, b failed) bool { return a.job.ID == b.job.ID })
}

// renderFailures gives the first ten failures a reply of their own, and the others one together.
// A failure that has its reply already keeps it, also when one with a lower id is told of later.
func renderFailures(v kovra.View) []Message {
	all := failures(v)
	own := map[int64]bool{}
	for _, f := range all {
		if s := v.Slots[kovra.FailureSlot(f.job.ID)]; (s.TS != "" || s.Nonce != "") && len(own) < kovra.MaxFailures {
			own[f.job.ID] = true
		}
	}
	for _, f := range all {
		if len(own) < kovra.MaxFailures {
			own[f.job.ID] = true
		}
	}
	var messages []Message
	var rest []failed
	for _, f := range all {
		if own[f.job.ID] {
			messages = append(messages, renderFailure(v, f))
		} else {
			rest = append(rest, f)
		}
	}
	if len(rest) > 0 {
		messages = append(messages, renderRest(v, rest))
	}
	return messages
}

func renderFailure(v kovra.View, f failed) Message {
	j := f.job
	head := fmt.Sprintf("❌ %s failed", f.name())
	facts := dots("stage "+prose(cmp.Or(j.Stage, "–"), maxName), reasonWords(j.FailureReason), jobSpan(j))
	blocks := []slack.Block{section(head + " · " + facts)}
	switch {
	case v.NoLogs:
		blocks = append(blocks, contextLine(saysLogHidden))
	case len(j.Excerpt.Lines) > 0:
		blocks = append(blocks, section(excerptText(j.Excerpt)))
	default:
		blocks = append(blocks, contextLine(noExcerpt(j)))
	}
	next, retried := kovra.Successor(j, f.all)
	switch {
	case retried:
		blocks = append(blocks, contextLine(retriedWords(next.Status)))
	case f.left:
		blocks = append(blocks, contextLine(saysTriggerRetried))
	}
	var retry *slack.ButtonBlockElement
	if !retried && !f.left && linked(v) {
		retry = retryJobButton(f.run, j)
	}
	return Message{
		Slot:   kovra.FailureSlot(j.ID),
		Text:   fmt.Sprintf("%s · *%s* %s", head, prose(appName(v), maxName), refText(&v.Run)),
		Blocks: row(blocks, retry, fullLogButton(v, j), open("job", j.URL, "View in GitLab")),
		Class:  Failure,
	}
}

// name is the job, below its trigger job if it has one.
func (f failed) name() string {
	var names []string
	for _, trigger := range f.path {
		names = append(names, code(trigger, maxName))
	}
	return strings.Join(append(names, code(f.job.Name, maxRef)), " › ")
}

const saysTriggerRetried = "↻ Its trigger job was retried"

func jobSpan(j kovra.Job) string {
	if j.Duration <= 0 {
		return ""
	}
	return span(j.Duration)
}

func noExcerpt(j kovra.Job) string {
	switch {
	case j.Excerpt.Note != "":
		return "No log here: " + prose(j.Excerpt.Note, maxReason)
	case j.Log == kovra.LogGone:
		return saysLogGone
	default:
		return saysLogEmpty
	}
}

func retryJobButton(r *kovra.Run, j kovra.Job) *slack.ButtonBlockElement {
	return button(ActionRetryJob+":"+strconv.FormatInt(j.ID, 10), jobValue(r, j), "Retry job")
}

func jobValue(r *kovra.Run, j kovra.Job) string {
	return Value{Run: r.ID, Attempt: r.Attempt(), Job: j.ID}.String()
}

// fullLogButton leads to the log at the line that matters, or is nil where no logs are shown.
func fullLogButton(v kovra.View, j kovra.Job) *slack.ButtonBlockElement {
	if v.NoLogs {
		return nil
	}
	return open("log", atLine(cmp.Or(j.LogURL, j.URL), j.Excerpt.First), "Full log")
}

// atLine is the address of a line of a log.
func atLine(address string, line int) string {
	if line <= 0 || address == "" || strings.Contains(address, "#") {
		return address
	}
	return address + "#L" + strconv.Itoa(line)
}

// excerptText is the excerpt in a fence. Where it is too long the
// lines farthest from the one that matters go first; a line is cut only when it alone is too long.
func excerptText(e kovra.Excerpt) string {
	const fences, mark = 8, 40 // characters of the fences, and of a line that says what is hidden
	lines := e.Lines
	width, size := 0, fences+2*mark
	cost := make([]int, len(lines))
	for _, l := range lines {
		width = max(width, len(strconv.Itoa(l.N)))
	}
	for i, l := range lines {
		cost[i] = mark
		if l.Hidden == 0 {
			cost[i] = width + 3 + utf8.RuneCountInString(fenced(l.Text))
		}
		size += cost[i]
	}
	lo, hi, focus := 0, len(lines), focusLine(lines, e.First)
	for size > maxFence && hi-lo > 1 {
		if focus-lo >= hi-1-focus {
			size -= cost[lo]
			lo++
		} else {
			hi--
			size -= cost[hi]
		}
	}
	shown := slices.Clone(lines[lo:hi])
	if size > maxFence {
		shown[0].Text = clip(clean(shown[0].Text), maxFence/8)
	}
	return fence(excerptLines(shown, hidden(lines[:lo]), hidden(lines[hi:])))
}

// focusLine is the index of the line with number first, else of the last line.
func focusLine(lines []kovra.ExcerptLine, first int) int {
	for i, l := range lines {
		if l.Hidden == 0 && first > 0 && l.N >= first {
			return i
		}
	}
	return len(lines) - 1
}

// hidden counts the lines of the log that lines stand for.
func hidden(lines []kovra.ExcerptLine) int {
	n := 0
	for _, l := range lines {
		n += max(l.Hidden, 1)
	}
	return n
}

// excerptLines numbers the lines. A number of lines before and after are said to be left out.
func excerptLines(lines []kovra.ExcerptLine, before, after int) []string {
	width := 1
	for _, l := range lines {
		width = max(width, len(strconv.Itoa(l.N)))
	}
	var out []string
	for _, l := range lines {
		switch {
		case l.Hidden > 0:
			before += l.Hidden
			continue
		case before > 0:
			out = append(out, hiddenWords(before))
			before = 0
		}
		out = append(out, fmt.Sprintf("%*d  %s", width, l.N, l.Text))
	}
	if before+after > 0 {
		out = append(out, hiddenWords(before+after))
	}
	return out
}

func hiddenWords(n int) string { return "… " + plural(n, "line", "lines") + " hidden …" }

func renderRest(v kovra.View, rest []failed) Message {
	head := fmt.Sprintf("❌ %s", plural(len(rest), "more job failed", "more jobs failed"))
	var lines []string
	for _, f := range rest {
		again := ""
		if next, ok := kovra.Successor(f.job, f.all); ok {
			again = retriedWords(next.Status)
		} else if f.left {
			again = saysTriggerRetried
		}
		lines = append(lines, dots("• "+f.name(), prose(f.job.Stage, maxName), reasonWords(f.job.FailureReason), again))
	}
	list := fitLines(lines, maxSection-100, func(left int) string { return fmt.Sprintf("• and %d more", left) })
	return Message{
		Slot:   kovra.SlotRest,
		Text:   fmt.Sprintf("%s · *%s* %s", head, prose(appName(v), maxName), refText(&v.Run)),
		Blocks: row([]slack.Block{section(head), section(list)}, jobsButton(&v.Run, ""), open("pipeline", v.Run.URL, "View in GitLab")),
		Class:  Failure,
	}
}

// event is a reply of the history, and when it happened.
type event struct {
	at      time.Time
	message Message
}

// renderHistory gives what people did and how it ended, in the order in which it happened.
func renderHistory(v kovra.View) []Message {
	var events []event
	for i, r := range v.Run.Results {
		if m, ok := renderResult(v, i); ok {
			events = append(events, event{r.FinishedAt, m})
		}
	}
	for _, a := range v.Actions {
		if m, ok := renderDeed(v, a); ok {
			events = append(events, event{a.CreatedAt, m})
		}
	}
	return inOrder(events)
}

// inOrder are the replies as things happened.
func inOrder(events []event) []Message {
	slices.SortStableFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
	var out []Message
	for _, e := range events {
		out = append(out, e.message)
	}
	return out
}

// renderResult is the reply about one end. An end that another one followed is history: it
// stays where it was told, and is not told late. That a pipeline was skipped is on its card alone.
func renderResult(v kovra.View, i int) (Message, bool) {
	r := v.Run.Results[i]
	slot := kovra.ResultSlot(r)
	if i < len(v.Run.Results)-1 && v.Slots[slot].TS == "" || r.Status == kovra.Skipped {
		return Message{}, false
	}
	if r.News == kovra.Broken && !v.Matched && v.Slots[slot].TS == "" {
		return Message{}, false // it waits to be known whom to mention
	}
	bad, all := failedAt(v, r)
	text := resultWords(r, i+1)
	if r.Status == kovra.Failed && len(bad) > 0 {
		text += fmt.Sprintf(" · %d of %s failed: %s", len(bad), plural(all, "job", "jobs"), listed(bad, 3))
	}
	if warned := warningsAt(v, r); warned > 0 {
		text += " · " + plural(warned, "warning", "warnings")
	}
	where := fmt.Sprintf("*%s* %s", prose(appName(v), maxName), refText(&v.Run))
	m := Message{Slot: slot, Class: Terminal, Text: where + " · " + text}
	switch r.News {
	case kovra.Broken:
		m.Blocks = newsBlocks(v, dots("❌ "+where+" is broken", starterMention(v, r)), text)
		m.Text = dots(m.Text, starterMention(v, r))
	case kovra.Fixed:
		m.Blocks = newsBlocks(v, "✅ "+where+" is fixed", text)
	default:
		m.Blocks = []slack.Block{section(icon(r.Status) + " " + text)}
	}
	m.Broadcast = r.News != kovra.NoNews && v.Thread.Broadcast.OfRun(&v.Run)
	return m, true
}

// newsBlocks can be read in the channel, away from the thread.
func newsBlocks(v kovra.View, head, text string) []slack.Block {
	blocks := []slack.Block{
		section(head, text),
		contextLine(dots(cmp.Or(commitLine(v.Project, &v.Run), "–"), whoText(v), pipelineLink(&v.Run))),
	}
	return row(blocks, open("pipeline", v.Run.URL, "View in GitLab"))
}

// failedAt tells which of how many jobs had failed when the run came to this end, so that
// the sentence about it stays the same whatever happens later.
func failedAt(v kovra.View, r kovra.Result) (names []string, all int) {
	for _, j := range jobsAt(v, r) {
		all++
		if j.Status == kovra.Failed && j.Counts() && !laterThan(j.FinishedAt, r) {
			names = append(names, code(j.Name, maxName))
		}
	}
	return names, all
}

// warningsAt counts the failures that were allowed.
func warningsAt(v kovra.View, r kovra.Result) int {
	n := 0
	for _, j := range jobsAt(v, r) {
		if j.Status == kovra.Failed && !j.Counts() && !laterThan(j.FinishedAt, r) {
			n++
		}
	}
	return n
}

// jobsAt are the jobs as they stood at an end.
func jobsAt(v kovra.View, r kovra.Result) []kovra.Job {
	then := slices.DeleteFunc(slices.Clone(v.Jobs), func(j kovra.Job) bool {
		return laterThan(j.CreatedAt, r) || retriedAfter(v, j, r)
	})
	return kovra.CurrentJobs(v.Run.Stages, then)
}

// retriedAfter reports whether a job that was made in the very second of an end is
// another attempt, begun after it: it had not ended by then.
func retriedAfter(v kovra.View, j kovra.Job, r kovra.Result) bool {
	if j.CreatedAt.Before(r.FinishedAt) || j.Status.Final() && !j.FinishedAt.Truncate(time.Second).After(r.FinishedAt) {
		return false
	}
	return slices.ContainsFunc(v.Jobs, func(o kovra.Job) bool { return o.Name == j.Name && o.ID < j.ID })
}

// laterThan allows for ends that are told in whole seconds.
func laterThan(t time.Time, r kovra.Result) bool {
	return !r.FinishedAt.IsZero() && t.After(r.FinishedAt.Add(time.Second))
}

// renderDeed is the reply about something that somebody did to the run.
func renderDeed(v kovra.View, a kovra.Action) (Message, bool) {
	if a.State != kovra.ActionDone || a.Kind.Permission() != kovra.MayAct || a.Kind == kovra.ActRun {
		return Message{}, false
	}
	text := deedWords(a, jobName(v, a), true)
	return Message{
		Slot:   kovra.ActionSlot(a.ID),
		Text:   text,
		Blocks: []slack.Block{section(text)},
		Class:  Start,
	}, true
}

func jobName(v kovra.View, a kovra.Action) string {
	if a.Params.JobName != "" {
		return a.Params.JobName
	}
	for _, j := range v.Jobs {
		if j.ID == a.Job {
			return j.Name
		}
	}
	return "#" + strconv.FormatInt(a.Job, 10)
}
