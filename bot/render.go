package bot

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
)

// RendererVersion grows when messages are to look different: every open thread is
// then shown anew.
const RendererVersion = 4

// Class says how urgent the edit of a message is; lower is sooner.
type Class int

// The classes, the most urgent one first.
const (
	Terminal Class = iota // something ended
	Failure               // something failed and the rest goes on
	Start                 // something is there that was not
	Progress              // it moved
	Tail                  // it wrote something
)

// Message is what one slot of a thread shows.
type Message struct {
	Slot string
	// Of names what the thread is about, for the metadata of the message; the projector sets it.
	Of string
	// Text is for notifications and readers without blocks; at most 3,900 characters.
	Text   string
	Blocks []slack.Block
	// Broadcast says that the reply is news for the whole channel. It matters when the
	// message is posted, not when it is edited.
	Broadcast bool
	Digest    string // of text and blocks: the same digest looks the same
	Class     Class
}

// Answer is what one person is told.
type Answer struct {
	Text   string
	Blocks []slack.Block
}

// Bounds of what others wrote, in characters.
const (
	maxRef     = 80
	maxTitle   = 160
	maxName    = 60
	maxReason  = 600
	maxStages  = 12
	maxChannel = 10
)

// Render shows a thread: the card, and every reply whose condition holds, in the order
// in which they belong below each other. It depends on nothing but v: the same state
// gives the same messages. Every message keeps Slack's limits.
func Render(v kovra.View) []Message {
	messages := renderThread(v)
	for i := range messages {
		messages[i].finish()
	}
	return messages
}

func renderThread(v kovra.View) []Message {
	_, alone := v.Thread.Person()
	switch {
	case v.Notice != nil:
		return renderNotice(v)
	case v.Subject != nil:
		return renderSubject(v)
	case alone:
		return renderPersonal(v)
	case v.Thread.Quiet:
		return slices.DeleteFunc(renderLoud(v), func(m Message) bool {
			s := v.Slots[m.Slot]
			return m.Slot != kovra.SlotCard && s.TS == "" && s.Nonce == "" // what was told before goes on to be true
		})
	}
	return renderLoud(v)
}

// renderLoud is the card with all its replies.
func renderLoud(v kovra.View) []Message {
	if v.Build != nil {
		return renderBuildThread(v)
	}
	messages := []Message{renderCard(v)}
	messages = append(messages, renderFailures(v)...)
	return append(messages, renderHistory(v)...)
}

// renderParent is the card alone.
func renderParent(v kovra.View) Message {
	if v.Build != nil {
		return renderBuildThread(v)[0]
	}
	return renderCard(v)
}

func (m *Message) finish() {
	fitted := fit(Answer{m.Text, m.Blocks})
	m.Text, m.Blocks = fitted.Text, fitted.Blocks
	// Marshalling cannot fail: blocks hold nothing but strings, numbers and flags.
	data, err := json.Marshal(m.Blocks)
	if err != nil {
		data = []byte(err.Error())
	}
	sum := sha256.Sum256(append(append(data, 0), m.Text...))
	m.Digest = hex.EncodeToString(sum[:16])
}

// clipEscaped cuts text that is escaped already, and never inside <…>, &…; or a code span.
func clipEscaped(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	cut := string([]rune(s)[:n-1])
	if open := strings.LastIndexByte(cut, '<'); open > strings.LastIndexByte(cut, '>') {
		cut = cut[:open]
	}
	if open := strings.LastIndexByte(cut, '&'); open > strings.LastIndexByte(cut, ';') {
		cut = cut[:open]
	}
	if strings.Count(cut, "`")%2 == 1 {
		cut = cut[:strings.LastIndex(cut, "`")]
	}
	return strings.TrimRight(cut, " ") + ellipsis
}

func renderCard(v kovra.View) Message {
	r := &v.Run
	head := headline(v)
	blocks := []slack.Block{section(joinNonEmpty("\n", []string{head, commitLine(v.Project, r)}))}
	for _, line := range []string{factsLine(v), stageLine(v), warningLine(v), childrenLine(v)} {
		if line != "" {
			blocks = append(blocks, contextLine(line))
		}
	}
	blocks = row(blocks, cardButtons(v)...)
	if v.App.Project == 0 {
		blocks = append(blocks, contextLine(fmt.Sprintf(saysCardUnlinked, prose(v.App.Name, maxName))))
	}
	return Message{
		Slot:   kovra.SlotCard,
		Text:   dots(head, prose(r.Title, maxTitle)),
		Blocks: blocks,
		Class:  cardClass(v),
	}
}

func cardClass(v kovra.View) Class {
	switch {
	case v.Run.Status.Final():
		return Terminal
	case slices.ContainsFunc(kovra.CurrentJobs(nil, v.Jobs), func(j kovra.Job) bool { return j.Status == kovra.Failed && j.Counts() }):
		return Failure
	case v.Run.Status.Shown() == kovra.ShownPending:
		return Start
	default:
		return Progress
	}
}

// headline is what must be seen first: how it stands with which app and ref.
func headline(v kovra.View) string {
	if v.Build != nil {
		return buildHeadline(v)
	}
	r := &v.Run
	return dots(
		fmt.Sprintf("%s *%s*", icon(r.Status), prose(appName(v), maxName)),
		refText(r),
		"*"+statusWords(r.Status)+"*",
		pipelineLink(r),
	)
}

func appName(v kovra.View) string {
	if v.App.Name != "" {
		return v.App.Name
	}
	return v.Thread.App
}

// pipelineLink names the pipeline as people do, with a link.
func pipelineLink(r *kovra.Run) string {
	return link(r.URL, fmt.Sprintf("#%d", r.Remote))
}

func refText(r *kovra.Run) string {
	switch {
	case r.MR.IID != 0:
		return joinNonEmpty(" ", []string{link(r.MR.URL, fmt.Sprintf("!%d", r.MR.IID)), code(r.Ref, maxRef)})
	case r.Tag:
		return "tag " + code(r.Ref, maxRef)
	default:
		return code(r.Ref, maxRef)
	}
}

// commitLine is the commit: linked id and title.
func commitLine(p kovra.Project, r *kovra.Run) string {
	sha := commitLink(p, r.SHA)
	if sha == "" && r.Title != "" {
		sha = "–" // what others wrote is never the first on a line
	}
	return joinNonEmpty(" ", []string{sha, prose(r.Title, maxTitle)})
}

func commitLink(p kovra.Project, sha string) string {
	switch {
	case sha == "":
		return ""
	case !isHex(sha):
		return code(sha, 9)
	case p.URL == "":
		return codeSpan(kovra.ShortSHA(sha))
	default:
		return link(p.URL+"/-/commit/"+sha, kovra.ShortSHA(sha))
	}
}

func isHex(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) })
}

// factsLine says who, when and how long.
func factsLine(v kovra.View) string {
	r := &v.Run
	facts := []string{whoText(v), createdText(r), durationText(r), prose(r.Name, maxName), sourceText(v)}
	if r.MR.IID != 0 && (r.MR.Title != "" || r.MR.Target != "") {
		into := ""
		if r.MR.Target != "" {
			into = " into " + code(r.MR.Target, maxRef)
		}
		facts = append(facts, "merge request"+into)
	}
	return dots(facts...)
}

func createdText(r *kovra.Run) string {
	if d := date(r.CreatedAt); d != "" {
		return "created " + d
	}
	return ""
}

func durationText(r *kovra.Run) string {
	if !r.Status.Final() || r.Duration <= 0 {
		return ""
	}
	return span(r.Duration)
}

// whoText names the author of the commit, and who started the pipeline where that is somebody else.
func whoText(v kovra.View) string {
	r := &v.Run
	author, by := person(r.Author), person(r.By)
	for _, a := range v.Actions {
		if a.Kind == kovra.ActRun && a.State == kovra.ActionDone {
			by = actor(a.By)
		}
	}
	switch {
	case author == "" && by == "":
		return ""
	case author == "":
		return "by " + by
	case by == "" || by == author || r.By.Username != "" && r.By.Username == r.Author.Username && !strings.HasPrefix(by, "<@"):
		return "by " + author
	default:
		return "by " + author + ", started by " + by
	}
}

func person(u kovra.GitLabUser) string {
	if u.Name != "" {
		return prose(u.Name, maxName)
	}
	return prose(u.Username, maxName)
}

// sourceText tells where a pipeline came from, unless it is what one expects.
func sourceText(v kovra.View) string {
	r := &v.Run
	startedHere := func(a kovra.Action) bool { return a.Kind == kovra.ActRun && a.State == kovra.ActionDone }
	if r.Source == "api" && slices.ContainsFunc(v.Actions, startedHere) {
		return "" // it is told by whom
	}
	switch r.Source {
	case "", "push", "merge_request_event", "parent_pipeline":
		return ""
	case "schedule":
		return "scheduled"
	case "api", "web", "trigger":
		return "started by " + map[string]string{"api": "the API", "web": "hand", "trigger": "a trigger"}[r.Source]
	default:
		return prose(r.Source, maxName)
	}
}

// stageTally counts the jobs of one stage.
type stageTally struct {
	name       string
	all, done  int
	status     kovra.Status // the one that tells most
	importance int
}

// stages counts the current jobs stage by stage, in order.
func stages(r *kovra.Run, jobs []kovra.Job) []stageTally {
	var out []stageTally
	for _, j := range kovra.CurrentJobs(r.Stages, jobs) {
		if len(out) == 0 || out[len(out)-1].name != j.Stage {
			out = append(out, stageTally{name: j.Stage, status: j.Status, importance: -1})
		}
		t := &out[len(out)-1]
		t.all++
		if j.Status.Final() && j.Status != kovra.Skipped {
			t.done++
		}
		if n := importance(&j); n > t.importance {
			t.importance, t.status = n, j.Status
		}
		if t.status == kovra.Failed && t.importance < importanceFailed {
			t.status = kovra.Success
		}
	}
	return out
}

const importanceFailed = 9

// importance orders what a stage is judged by: one failure outweighs all else.
func importance(j *kovra.Job) int {
	switch {
	case j.Status == kovra.Failed && j.Counts():
		return importanceFailed
	case j.Status == kovra.Canceling, j.Status == kovra.Running:
		return 8
	case j.Status == kovra.Canceled:
		return 7
	case !j.Status.Known():
		return 6
	case j.Status == kovra.Manual:
		return 2
	case j.Status == kovra.Success, j.Status == kovra.Failed:
		return 1
	case j.Status == kovra.Skipped:
		return 0
	default:
		return 5
	}
}

func stageLine(v kovra.View) string {
	all := stages(&v.Run, v.Jobs)
	var parts []string
	for i, t := range all {
		if i == maxStages && len(all) > maxStages+1 {
			parts = append(parts, fmt.Sprintf("%d more stages", len(all)-i))
			break
		}
		parts = append(parts, fmt.Sprintf("%s %s %d/%d", icon(t.status), prose(cmp.Or(t.name, "–"), 30), t.done, t.all))
	}
	return joinNonEmpty("  →  ", parts)
}

func warningLine(v kovra.View) string {
	var names []string
	for _, j := range kovra.CurrentJobs(v.Run.Stages, v.Jobs) {
		if j.Status == kovra.Failed && !j.Counts() {
			names = append(names, code(j.Name, maxName))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("⚠️ %s failed, which is allowed", listed(names, 5))
}

// listed names the first few of a list.
func listed(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

func childrenLine(v kovra.View) string {
	counts := map[kovra.Status]int{}
	var order []kovra.Status
	all := 0
	for i := range v.Children {
		c := &v.Children[i]
		if v.Left(c) {
			continue
		}
		all++
		if counts[c.Run.Status] == 0 {
			order = append(order, c.Run.Status)
		}
		counts[c.Run.Status]++
	}
	if all == 0 {
		return ""
	}
	slices.SortStableFunc(order, func(a, b kovra.Status) int { return b.Rank() - a.Rank() })
	var parts []string
	for i, s := range order {
		if i == 8 {
			break
		}
		parts = append(parts, fmt.Sprintf("%s %d %s", icon(s), counts[s], statusWords(s)))
	}
	return fmt.Sprintf("↳ %s: %s", plural(all, "child pipeline", "child pipelines"), strings.Join(parts, " · "))
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// linked reports whether actions on the run or build can be done: its project is the app's.
func linked(v kovra.View) bool {
	project := v.Run.Project
	if v.Build != nil {
		project = v.Build.Project
	}
	return v.App.Project != 0 && v.App.Project == project
}

func cardButtons(v kovra.View) []*slack.ButtonBlockElement {
	if v.Build != nil {
		return buildButtons(v)
	}
	r := &v.Run
	buttons := []*slack.ButtonBlockElement{jobsButton(r, "")}
	if linked(v) {
		buttons = append(buttons, changeButton(r, ""))
	}
	buttons = append(buttons, open("pipeline", r.URL, "View in GitLab"))
	switch {
	case v.App.Project == 0:
		buttons = append(buttons, connectButton(appName(v)))
	case linked(v):
		buttons = append(buttons, runButton(appName(v), r.Ref))
	}
	return append(buttons, watchButton(v))
}

func jobsButton(r *kovra.Run, suffix string) *slack.ButtonBlockElement {
	return button(ActionJobs+suffix, runValue(r), "Jobs")
}

// changeButton is Cancel or Retry, whichever is available now, or nil.
func changeButton(r *kovra.Run, suffix string) *slack.ButtonBlockElement {
	switch {
	case r.Status.CanCancel():
		return button(ActionCancel+suffix, runValue(r), "Cancel")
	case r.Status.CanRetry():
		return button(ActionRetry+suffix, runValue(r), "Retry")
	default:
		return nil
	}
}

func runButton(app, ref string) *slack.ButtonBlockElement {
	return button(ActionRun, buttonPlace(app, ref).String(), "Run Pipeline")
}

// buttonPlace is a place that fits into a button's value. A ref that is too long is left out.
func buttonPlace(app, ref string) Place {
	if len(ref) > 1000 || !utf8.ValidString(ref) {
		ref = ""
	}
	return Place{App: clip(clean(app), maxName), Ref: ref}
}

func connectButton(app string) *slack.ButtonBlockElement {
	b := button(ActionConnect, clip(clean(app), maxName), "Connect GitLab project")
	b.Style = slack.StylePrimary
	return b
}

func runValue(r *kovra.Run) string { return Value{Run: r.ID, Attempt: r.Attempt()}.String() }
