package bot

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
)

// JobsPage is how many jobs one page has.
const JobsPage = 12

// jobRow is a job with the run that it belongs to.
type jobRow struct {
	job     kovra.Job
	run     *kovra.Run
	all     []kovra.Job
	heading string // of the stage or the child pipeline that it is in
	depth   int    // of the child pipeline that it is in; 0: of the pipeline itself
}

// RenderJobs answers the Jobs button and `/pipeline jobs`: the current jobs stage by stage,
// child pipelines below their trigger jobs. Pages count from 0; one that does not exist shows the last.
func RenderJobs(v kovra.View, page int) Answer {
	rows := jobRows(v)
	pages := max((len(rows)+JobsPage-1)/JobsPage, 1)
	page = min(max(page, 0), pages-1)
	head := headline(v)
	facts := plural(len(rows), "job", "jobs")
	if pages > 1 {
		facts += fmt.Sprintf(" · page %d of %d", page+1, pages)
	}
	blocks := []slack.Block{section(head), contextLine(facts)}
	if len(rows) == 0 {
		blocks = append(blocks, section(saysNoJobs))
	}
	heading := ""
	for _, r := range rows[page*JobsPage : min((page+1)*JobsPage, len(rows))] {
		if r.heading != heading {
			heading = r.heading
			blocks = append(blocks, contextLine(heading))
		}
		blocks = append(blocks, jobBlocks(v, r)...)
	}
	buttons := []*slack.ButtonBlockElement{}
	if page > 0 {
		buttons = append(buttons, pageButton(&v.Run, page-1, "Previous page"))
	}
	if page < pages-1 {
		buttons = append(buttons, pageButton(&v.Run, page+1, "Next page"))
	}
	if linked(v) {
		buttons = append(buttons, changeButton(&v.Run, ""))
	}
	buttons = append(buttons, open("pipeline", v.Run.URL, "View in GitLab"))
	return fit(Answer{Text: head, Blocks: row(blocks, buttons...)})
}

func pageButton(r *kovra.Run, page int, label string) *slack.ButtonBlockElement {
	return button(ActionJobsPage+":"+strconv.Itoa(page), Value{Run: r.ID, Attempt: r.Attempt(), Page: page}.String(), label)
}

// jobRows puts the jobs in the order in which they are shown: what a trigger job started follows it.
func jobRows(v kovra.View) []jobRow {
	t := jobTree{v: &v, shown: map[int64]bool{}}
	t.add(nil, nil)
	for i := range v.Children {
		if c := &v.Children[i]; !t.shown[c.Run.ID] && !v.Left(c) {
			t.add(c, triggerPath(&v, c))
		}
	}
	return t.rows
}

// jobTree gathers the rows of a pipeline and of what hangs below it.
type jobTree struct {
	v     *kovra.View
	shown map[int64]bool // children, by our id
	rows  []jobRow
}

// add shows the pipeline, or a child of it below the trigger jobs that led to it.
func (t *jobTree) add(c *kovra.Child, path []string) {
	run, jobs, name := &t.v.Run, t.v.Jobs, ""
	if c != nil {
		run, jobs = &c.Run, c.Jobs
		t.shown[run.ID] = true
		name = childName(run, path)
	}
	for _, j := range kovra.CurrentJobs(run.Stages, jobs) {
		row := jobRow{job: j, run: run, all: jobs, heading: "*" + prose(cmp.Or(j.Stage, "–"), maxName) + "*"}
		if c != nil {
			row.depth = max(len(path), 1)
			row.heading = fmt.Sprintf("%s%s %s · %s", indent(row.depth), icon(run.Status), name, prose(cmp.Or(j.Stage, "–"), maxName))
		}
		t.rows = append(t.rows, row)
		for i := range t.v.Children {
			below := &t.v.Children[i]
			if of, trigger, known := t.v.Trigger(below); known && of == c && trigger.ID == j.ID && !t.shown[below.Run.ID] {
				t.add(below, append(slices.Clone(path), j.Name))
			}
		}
	}
}

func childName(r *kovra.Run, path []string) string {
	var names []string
	for _, trigger := range path {
		names = append(names, code(trigger, maxName))
	}
	return strings.Join(append(names, "child pipeline "+pipelineLink(r)), " › ")
}

// triggerPath are the names of the trigger jobs that led to a child, as far as they are known.
func triggerPath(v *kovra.View, c *kovra.Child) []string {
	of, j, known := v.Trigger(c)
	var path []string
	if of != nil {
		path = triggerPath(v, of)
	}
	if known {
		path = append(path, j.Name)
	}
	return path
}

// indent is what the jobs of a child pipeline stand behind.
func indent(depth int) string {
	if depth == 0 {
		return ""
	}
	return strings.Repeat("↳", depth) + " "
}

// jobBlocks is one job: with a single button beside it, or with a row of them below.
func jobBlocks(v kovra.View, r jobRow) []slack.Block {
	j := r.job
	text := jobLine(v, r)
	logs := logButton(v, j)
	change := jobChange(v, r)
	switch {
	case change == nil:
		return []slack.Block{sectionWith(text, logs)}
	case logs == nil:
		return []slack.Block{sectionWith(text, change)}
	default:
		return row([]slack.Block{section(text)}, logs, change)
	}
}

func jobLine(v kovra.View, r jobRow) string {
	j := r.job
	words := statusWords(j.Status)
	if j.Status == kovra.Failed && !j.Counts() {
		words += ", which is allowed"
	}
	return dots(indent(r.depth)+icon(j.Status)+" "+code(j.Name, maxRef), words, reasonWords(j.FailureReason), jobSpan(j), downstreamText(v, j))
}

// downstreamText leads to a pipeline that the job started in another project.
func downstreamText(v kovra.View, j kovra.Job) string {
	d := j.Downstream
	if d.Pipeline == 0 || d.Project == v.Run.Project {
		return ""
	}
	return fmt.Sprintf("↗ downstream pipeline %s %s", link(d.URL, fmt.Sprintf("#%d", d.Pipeline)), icon(d.Status))
}

// logButton leads to the log, at the line that matters where one is known. It is nil for
// a job that has no log, and where no logs are shown.
func logButton(v kovra.View, j kovra.Job) *slack.ButtonBlockElement {
	if v.NoLogs || j.Bridge || j.StartedAt.IsZero() && !j.Status.Final() && j.Status != kovra.Running && j.Status != kovra.Canceling || j.Status == kovra.Skipped {
		return nil
	}
	address := j.URL
	if j.LogURL != "" {
		address = atLine(j.LogURL, j.Excerpt.First)
	}
	return open("log:"+strconv.FormatInt(j.ID, 10), address, "Log")
}

// jobChange is Retry job or Play, whichever is available now, or nil.
func jobChange(v kovra.View, r jobRow) *slack.ButtonBlockElement {
	if !linked(v) {
		return nil
	}
	if _, newer := kovra.Successor(r.job, r.all); newer {
		return nil
	}
	switch r.job.Status {
	case kovra.Failed:
		return retryJobButton(r.run, r.job)
	case kovra.Manual:
		return playButton(r.run, r.job)
	default:
		return nil
	}
}

// playButton starts a manual job, after a question.
func playButton(r *kovra.Run, j kovra.Job) *slack.ButtonBlockElement {
	b := button(ActionPlay+":"+strconv.FormatInt(j.ID, 10), jobValue(r, j), "Play")
	text := fmt.Sprintf(saysPlayConfirm, clip(clean(j.Name), maxName), clip(clean(r.Ref), maxName))
	b.Confirm = slack.NewConfirmationBlockObject(plainText("Play this job?"), plainText(text), plainText("Play"), plainText("Not now"))
	return b
}

// RenderLog answers `/pipeline log`.
func RenderLog(v kovra.View, j kovra.Job) Answer {
	r := jobRow{job: j, run: &v.Run, all: v.Jobs}
	text := jobLine(v, r)
	blocks := []slack.Block{section(text)}
	switch {
	case v.NoLogs:
		blocks = append(blocks, contextLine(saysLogHidden))
	case j.Log == kovra.LogCut && len(j.Excerpt.Lines) > 0:
		blocks = append(blocks, section(excerptText(j.Excerpt)))
	}
	return fit(Answer{Text: text, Blocks: row(blocks, logButton(v, j), jobChange(v, r), open("job", j.URL, "View in GitLab"))})
}
