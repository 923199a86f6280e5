package bot

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/slack-go/slack"
	"go.yaml.in/yaml/v3"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
)

var update = flag.Bool("update", false, "rewrite the wanted parts of testdata")

// goldenInput is view.yaml: what is rendered, laid over base.yaml.
type goldenInput struct {
	Render string // thread (default) or the name of an answer
	View   kovra.View
	// Repeat makes so many jobs of the last one, with ids and names that count up.
	Repeat       int
	Page         int
	Viewer       string // address of the viewer; the jobs' logs are below it
	List         List
	Builds       BuildList
	Settings     []kovra.BuildSettings
	Rows         []AppRow
	Audit        []AuditRow
	Older        int64
	Deeds        []Deed
	Asker        string
	Unavailables []Unavailable
	Commands     []struct{ Command, Text string }
	Apps         []string
}

// shown is one message of the picture: a reply or an answer.
type shown struct {
	Slot      string        `json:"slot,omitempty"`
	Class     Class         `json:"class,omitempty"`
	Broadcast bool          `json:"broadcast,omitempty"`
	Text      string        `json:"text"`
	Blocks    []slack.Block `json:"blocks"`
}

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/render/*.txtar")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { checkGolden(t, file) })
	}
}

func checkGolden(t *testing.T, file string) {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	part := func(name string) []byte {
		i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == name })
		if i < 0 {
			return nil
		}
		return archive.Files[i].Data
	}
	in := readInput(t, part("view.yaml"))
	messages := renderInput(t, in)
	for i, m := range messages {
		if err := Check(m.Blocks, m.Text); err != nil {
			t.Errorf("message %d breaks limits: %v", i, err)
		}
	}
	if again := renderInput(t, in); !cmp.Equal(asJSON(t, messages), asJSON(t, again)) {
		t.Error("a second rendering of the same state differs")
	}
	got := map[string][]byte{"want.json": asJSON(t, messages), "want.txt": picture(t, messages)}
	if *update {
		archive.Files = []txtar.File{
			{Name: "view.yaml", Data: part("view.yaml")},
			{Name: "want.txt", Data: got["want.txt"]},
			{Name: "want.json", Data: got["want.json"]},
		}
		if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	for name, data := range got {
		if diff := cmp.Diff(string(part(name)), string(data)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func readInput(t *testing.T, data []byte) goldenInput {
	t.Helper()
	base, err := os.ReadFile("testdata/render/base.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var in goldenInput
	for _, layer := range [][]byte{base, data} {
		d := yaml.NewDecoder(bytes.NewReader(layer))
		d.KnownFields(true)
		if err := d.Decode(&in); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(in.View.Jobs); in.Repeat > 0 {
		last := in.View.Jobs[n-1]
		for i := 1; i < in.Repeat; i++ {
			j := last
			j.ID += int64(i)
			j.Name = fmt.Sprintf("%s:%d", last.Name, i+1)
			in.View.Jobs = append(in.View.Jobs, j)
		}
	}
	in.addBuildViewer()
	in.addViewer(in.View.Jobs)
	for i := range in.View.Children {
		in.addViewer(in.View.Children[i].Jobs)
	}
	return in
}

// addViewer gives the jobs the addresses that storage would give them.
func (in goldenInput) addViewer(jobs []kovra.Job) {
	for i := range jobs {
		if in.Viewer != "" && !jobs[i].Bridge {
			jobs[i].LogURL = fmt.Sprint(in.Viewer, jobs[i].ID)
		}
	}
}

// addBuildViewer does the same for builds and deployments.
func (in goldenInput) addBuildViewer() {
	address := func(kind string, id int64) string {
		if in.Viewer == "" {
			return ""
		}
		return fmt.Sprint(strings.TrimSuffix(in.Viewer, "j"), kind, id)
	}
	builds := []*kovra.Build{}
	if in.View.Build != nil {
		builds = append(builds, in.View.Build)
	}
	for i := range in.Builds.Builds {
		builds = append(builds, &in.Builds.Builds[i])
	}
	for i := range in.Deeds {
		builds = append(builds, &in.Deeds[i].Build)
	}
	for _, b := range builds {
		b.LogURL = address("b", b.ID)
	}
	for i := range in.View.Deployments {
		in.View.Deployments[i].LogURL = address("d", in.View.Deployments[i].ID)
	}
}

func renderInput(t *testing.T, in goldenInput) []shown {
	t.Helper()
	v := in.View
	var answers []Answer
	switch in.Render {
	case "", "thread":
		var out []shown
		for _, m := range Render(v) {
			out = append(out, shown{m.Slot, m.Class, m.Broadcast, m.Text, m.Blocks})
		}
		return out
	case "list":
		in.List.App, in.List.Project = v.App, v.Project
		answers = append(answers, RenderList(in.List))
	case "jobs":
		answers = append(answers, RenderJobs(v, in.Page))
	case "log":
		for _, j := range v.Jobs {
			answers = append(answers, RenderLog(v, j))
		}
	case "builds":
		in.Builds.App, in.Builds.Project = v.App, v.Project
		answers = append(answers, RenderBuilds(in.Builds))
	case "build_log":
		answers = append(answers, RenderBuildLog(v))
	case "settings":
		for _, s := range in.Settings {
			answers = append(answers, RenderSettings(v.App.Name, s))
		}
	case "apps":
		answers = append(answers, RenderApps(in.Rows), RenderApps(nil))
		for _, r := range in.Rows {
			answers = append(answers, RenderApp(r), RenderSubscriptions(r.Subscriptions, "C1"))
		}
	case "hooks":
		answers = append(answers, RenderHooks(v.Hooks, false), RenderHooks(v.Hooks[len(v.Hooks)-1:], false), RenderHooks(v.Hooks, true), RenderHooks(nil, false))
	case "audit":
		answers = append(answers, RenderAudit(v.App.Name, in.Audit, in.Older), RenderAudit("", nil, 0))
	case "actions":
		for _, d := range in.Deeds {
			d.App, d.Project = v.App, v.Project
			answers = append(answers, RenderAction(d))
		}
	case "taken":
		for _, d := range in.Deeds {
			answers = append(answers, RenderTaken(d, in.Asker))
		}
	case "unavailable":
		for _, u := range in.Unavailables {
			answers = append(answers, RenderUnavailable(u))
		}
	case "errors":
		answers = renderErrors(in)
	case "help":
		answers = append(answers, RenderHelp("kovra", nil), RenderHelp("pipeline", []string{"retry-job"}), RenderHelp("pipeline", nil),
			RenderHelp("kovra", []string{"app", "create"}), RenderHelp("kovra", []string{"nonsense"}), RenderHelp("build", nil), RenderHelp("build", []string{"cancel"}), RenderConnect("web"))
	default:
		t.Fatalf("nothing is called %q", in.Render)
	}
	var out []shown
	for _, a := range answers {
		out = append(out, shown{Text: a.Text, Blocks: a.Blocks})
	}
	return out
}

// renderErrors shows what typed commands are answered that cannot be understood.
func renderErrors(in goldenInput) []Answer {
	var answers []Answer
	for _, typed := range in.Commands {
		c, err := Parse(typed.Command, typed.Text)
		if err == nil {
			_, err = c.Resolve(in.Apps, nil)
		}
		answers = append(answers, RenderError(err))
	}
	return append(answers,
		RenderError(errors.New("secret detail")),
		RenderError(kovra.Errorf(kovra.Denied, "People of other organisations can read along here, but not act. Ask somebody of this workspace.")),
		RenderError(kovra.Errorf(kovra.Unavailable, "GitLab does not answer; it is being tried again.")))
}

func asJSON(t *testing.T, messages []shown) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(messages); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// picture is what a person reads, as the simulated Slack shows it after it took the messages.
func picture(t *testing.T, messages []shown) []byte {
	t.Helper()
	sim := slacksim.New(slacksim.Options{Now: func() time.Time { return time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) }})
	sim.AddUser(slacksim.User{ID: "U1", Name: "alice"})
	sim.AddUser(slacksim.User{ID: "U2", Name: "bob"})
	sim.AddChannel(slacksim.Channel{ID: "C1", Name: "deploys", Members: []string{"U1", "U2", slacksim.BotUserID}})
	api := slack.New("xoxb-sim", slack.OptionAPIURL("http://slack.test/api/"), slack.OptionHTTPClient(sim.Client()))
	var b bytes.Buffer
	for _, m := range messages {
		_, ts, err := api.PostMessageContext(t.Context(), "C1", slack.MsgOptionText(m.Text, false), slack.MsgOptionBlocks(m.Blocks...))
		if err != nil {
			t.Fatalf("%s: Slack refuses it: %v", m.Slot, err)
		}
		posted, ok := sim.Message("C1", ts)
		if !ok {
			t.Fatal("the message is not there")
		}
		head := "----"
		if m.Slot != "" {
			head += " " + m.Slot
		}
		if m.Broadcast {
			head += " (in the channel too)"
		}
		fmt.Fprintf(&b, "%s\n%s\n", head, slacksim.Text(posted))
	}
	return b.Bytes()
}
