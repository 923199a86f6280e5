package bot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

// desk is a workspace, a state, the handler between them, and somebody who carries out
// what was proposed.
type desk struct {
	t       testing.TB
	sim     *slacksim.Server
	db      *storage.DB
	handler *Handler
	gate    *fakeGate
	gitlab  *fakeGitLab

	mu  sync.Mutex
	end func(kovra.Action) (kovra.ActionState, kovra.Outcome) // "": nobody carries it out
}

// newDesk makes a workspace in which C1 hears of web, C2 of web and api, and C3 of
// nothing. Project 7 is that of web, 8 that of api; bare has none, and secret is seen by nobody but its friends.
// U1 and U2 are members, ADMIN is an administrator.
func newDesk(tb testing.TB) *desk {
	tb.Helper()
	d := &desk{t: tb, gate: &fakeGate{hidden: []string{"secret"}}, gitlab: &fakeGitLab{}}
	d.sim = slacksim.New(slacksim.Options{RequestURL: "http://kovra.test", Transport: slacksim.HandlerTransport(d)})
	for _, u := range []string{"U1", "U2", "UADMIN"} {
		d.sim.AddUser(slacksim.User{ID: u, Name: strings.ToLower(u)})
	}
	for _, c := range []string{"C1", "C2", "C3"} {
		d.sim.AddChannel(slacksim.Channel{ID: c, Name: strings.ToLower(c), Members: []string{"U1", "U2", "UADMIN", slacksim.BotUserID}})
	}
	db, err := storage.Open(tb.Context(), storage.Options{Path: filepath.Join(tb.TempDir(), "state.db"), Key: [][]byte{[]byte(strings.Repeat("k", 32))}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	d.db, d.gate.db = db, db
	d.handler = NewHandler(HandlerOptions{
		DB: db, Slack: checkedSlack{tb, deskClient(tb, d.sim)}, Gate: d.gate, GitLab: d.gitlab,
		ForgetChannel: func(c, user string) { d.gate.forgotten = append(d.gate.forgotten, c+" "+user) },
		Hook:          Hook{URL: "https://kovra.example/webhooks/gitlab"},
	})
	d.end = func(kovra.Action) (kovra.ActionState, kovra.Outcome) {
		return kovra.ActionDone, kovra.Outcome{Remote: 900, URL: "https://gitlab.example/group/web/-/pipelines/900"}
	}
	d.work()
	d.fill()
	return d
}

func deskClient(tb testing.TB, sim *slacksim.Server) *Client {
	tb.Helper()
	c, err := NewClient(ClientOptions{Token: fixed("xoxb-sim"), API: "http://slack.sim/api/", HTTP: sim.Client()})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func (d *desk) fill() {
	d.update(func(tx *storage.Tx) error {
		apps := []kovra.App{
			{Name: "web", Project: 7, CreatedBy: "U1"},
			{Name: "api", Project: 8, CreatedBy: "U1"},
			{Name: "bare", CreatedBy: "U1"},
			{Name: "secret", Project: 9, CreatedBy: "U1"},
		}
		var errs []error
		for _, a := range apps {
			errs = append(errs, tx.SaveApp(a))
			if a.Project != 0 {
				path := "group/" + a.Name
				errs = append(errs, tx.SaveProject(kovra.Project{ID: a.Project, Path: path, URL: "https://gitlab.example/" + path, DefaultBranch: "main"}))
			}
		}
		for _, s := range [][2]string{{"web", "C1"}, {"web", "C2"}, {"api", "C2"}} {
			errs = append(errs, tx.SaveSubscription(kovra.Subscription{App: s[0], Channel: s[1], CreatedBy: "U1"}))
		}
		return errors.Join(errs...)
	})
}

// work carries out what is proposed, as soon as it is.
func (d *desk) work() {
	ids := make(chan int64, 100)
	d.db.OnChange(func(refs []kovra.Ref) {
		for _, r := range refs {
			if r.Kind == kovra.RefAction {
				ids <- r.ID
			}
		}
	})
	ctx, cancel := context.WithCancel(d.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case id := <-ids:
				d.carryOut(ctx, id)
			case <-ctx.Done():
				return
			}
		}
	})
	d.t.Cleanup(func() { cancel(); wg.Wait() })
}

func (d *desk) carryOut(ctx context.Context, id int64) {
	d.mu.Lock()
	end := d.end
	d.mu.Unlock()
	err := d.db.Update(ctx, func(tx *storage.Tx) error {
		a, err := tx.Action(id)
		if err != nil || !a.Open() || end == nil {
			return err
		}
		state, out := end(a)
		if state == "" {
			return nil
		}
		return tx.FinishAction(id, state, out)
	})
	if err != nil && ctx.Err() == nil {
		d.t.Error(err)
	}
}

// ends makes every action end like this.
func (d *desk) ends(state kovra.ActionState, out kovra.Outcome) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end = func(kovra.Action) (kovra.ActionState, kovra.Outcome) { return state, out }
}

// nobodyWorks leaves actions open, and makes the handler give up soon.
func (d *desk) nobodyWorks() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end = nil
	d.handler.patience = 10 * time.Millisecond
}

// ServeHTTP is what package webhooks does, without its checks.
func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2800*time.Millisecond)
	defer cancel()
	if err := r.ParseForm(); err != nil {
		d.t.Error(err)
	}
	var body []byte
	var err error
	switch r.URL.Path {
	case "/slack/events":
		var raw []byte
		if raw, err = io.ReadAll(r.Body); err == nil {
			err = d.handler.Event(ctx, raw)
		}
	case "/slack/commands":
		body, err = d.handler.Command(ctx, r.PostForm)
		checkBody(d.t, body)
	default:
		body, err = d.handler.Interaction(ctx, []byte(r.PostForm.Get("payload")))
		checkInteraction(d.t, body)
	}
	if err != nil {
		d.t.Errorf("%s: %v", r.URL.Path, err)
	}
	w.Header().Set("Content-Type", "application/json")
	if _, err := w.Write(body); err != nil {
		d.t.Error(err)
	}
}

func checkBody(tb testing.TB, body []byte) {
	tb.Helper()
	if len(body) == 0 {
		return
	}
	var m struct {
		ResponseType string `json:"response_type"`
		Text         string
		Blocks       slack.Blocks
	}
	if err := json.Unmarshal(body, &m); err != nil {
		tb.Errorf("answer %s: %v", body, err)
	}
	if m.ResponseType != "ephemeral" {
		tb.Errorf("answer is %q, want a private one", m.ResponseType)
	}
	if err := Check(m.Blocks.BlockSet, m.Text); err != nil {
		tb.Errorf("answer breaks limits: %v", err)
	}
}

// checkInteraction looks at the answer to a form or to a type-ahead field.
func checkInteraction(tb testing.TB, body []byte) {
	tb.Helper()
	if len(body) == 0 {
		return
	}
	var m struct {
		Action  string                          `json:"response_action"`
		Errors  map[string]string               `json:"errors"`
		View    *slack.ModalViewRequest         `json:"view"`
		Groups  []*slack.OptionGroupBlockObject `json:"option_groups"`
		Options []any                           `json:"options"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		tb.Errorf("answer %s: %v", body, err)
	}
	if m.View != nil {
		if err := CheckView(*m.View); err != nil {
			tb.Errorf("view %s: %v", body, err)
		}
	}
	if err := CheckOptions(m.Groups); err != nil || len(m.Options) != 0 {
		tb.Errorf("options %s: %v", body, err)
	}
	for field, text := range m.Errors {
		if text == "" || utf8.RuneCountInString(text) > maxFieldError {
			tb.Errorf("the error of %s is %q", field, text)
		}
	}
}

// checkedSlack looks at every private answer before it goes out.
type checkedSlack struct {
	t testing.TB
	Replies
}

func (c checkedSlack) Respond(ctx context.Context, address string, body any) error {
	w := body.(wireAnswer)
	if err := Check(w.Blocks, w.Text); err != nil || w.ResponseType != "ephemeral" {
		c.t.Errorf("answer %+v: %v", w, err)
	}
	return c.Replies.Respond(ctx, address, body)
}

func (c checkedSlack) OpenView(ctx context.Context, trigger string, v slack.ModalViewRequest) (string, error) {
	if err := CheckView(v); err != nil {
		c.t.Error(err)
	}
	return c.Replies.OpenView(ctx, trigger, v)
}

func (c checkedSlack) UpdateView(ctx context.Context, id, hash string, v slack.ModalViewRequest) error {
	if err := CheckView(v); err != nil {
		c.t.Error(err)
	}
	return c.Replies.UpdateView(ctx, id, hash, v)
}

func (c checkedSlack) Ephemeral(ctx context.Context, to Spot, blocks []slack.Block, text string) error {
	if err := Check(blocks, text); err != nil {
		c.t.Error(err)
	}
	return c.Replies.Ephemeral(ctx, to, blocks, text)
}

func (d *desk) update(fn func(*storage.Tx) error) {
	d.t.Helper()
	if err := d.db.Update(d.t.Context(), fn); err != nil {
		d.t.Fatal(err)
	}
}

// pipeline folds what GitLab tells of a pipeline, and returns our id of it.
func (d *desk) pipeline(r kovra.Run, jobs ...kovra.Job) (run kovra.Run) {
	d.t.Helper()
	d.update(func(tx *storage.Tx) error {
		if r.URL == "" {
			r.URL = "https://gitlab.example/group/web/-/pipelines/1"
		}
		if r.SHA == "" {
			r.SHA, r.Ref, r.Title = "0123456789abcdef0123456789abcdef01234567", cmp.Or(r.Ref, "main"), "Fix *it* <now>"
		}
		old, err := tx.RunByRemote(r.Project, r.Remote)
		if err != nil && kovra.KindOf(err) != kovra.NotFound {
			return err
		}
		run, _, err = tx.Observe(kovra.Observation{Run: r, Jobs: jobs, Whole: true, Base: old.Version})
		return err
	})
	return run
}

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// failed is a pipeline 12 of web that has failed, with jobs 101 (passed), 102 (failed) and
// 103 (manual).
func (d *desk) failed() kovra.Run {
	d.t.Helper()
	return d.pipeline(
		kovra.Run{Project: 7, Remote: 12, Status: kovra.Failed, CreatedAt: noon, FinishedAt: noon.Add(time.Minute), Stages: []string{"build", "test"}},
		kovra.Job{ID: 101, Project: 7, Name: "build", Stage: "build", Status: kovra.Success, URL: "https://gitlab.example/group/web/-/jobs/101", StartedAt: noon},
		kovra.Job{ID: 102, Project: 7, Name: "rspec", Stage: "test", Status: kovra.Failed, URL: "https://gitlab.example/group/web/-/jobs/102", StartedAt: noon},
		kovra.Job{ID: 103, Project: 7, Name: "deploy", Stage: "test", Status: kovra.Manual, Manual: true, AllowFailure: true, URL: "https://gitlab.example/group/web/-/jobs/103"},
	)
}

// running is a pipeline of web that runs.
func (d *desk) running(remote int64) kovra.Run {
	d.t.Helper()
	return d.pipeline(kovra.Run{Project: 7, Remote: remote, Status: kovra.Running, CreatedAt: noon})
}

// slash types a command and returns what the person reads.
func (d *desk) slash(user, channel, line string) slacksim.Seen {
	d.t.Helper()
	seen, err := d.sim.Slash(d.t.Context(), user, channel, line)
	if err != nil {
		d.t.Fatal(err)
	}
	if seen.Error != "" || seen.Timeout {
		d.t.Fatalf("%s: %q, timeout %v, answer %s", line, seen.Error, seen.Timeout, seen.Body)
	}
	return seen
}

// answer types a command and returns its one private answer.
func (d *desk) answer(user, channel, line string) slacksim.Message {
	d.t.Helper()
	seen := d.slash(user, channel, line)
	if seen.Answer == nil || !seen.Answer.Ephemeral {
		d.t.Fatalf("%s: no private answer: %+v", line, seen)
	}
	return *seen.Answer
}

func (d *desk) click(user string, at slacksim.Ref, name string) slacksim.Seen {
	d.t.Helper()
	seen, err := d.sim.Click(d.t.Context(), user, at, name)
	if err != nil {
		d.t.Fatal(err)
	}
	if seen.Error != "" {
		d.t.Fatalf("click on %s: %s", name, seen.Error)
	}
	return seen
}

// card posts the thread of a run and returns the message with the buttons.
func (d *desk) card(channel string, run kovra.Run) slacksim.Message {
	d.t.Helper()
	var id int64
	d.update(func(tx *storage.Tx) error {
		threads, err := tx.ThreadsOfRun(run.ID)
		for _, th := range threads {
			if th.Channel == channel {
				id = th.ID
			}
		}
		return err
	})
	v := kovra.View{}
	if err := d.db.Read(d.t.Context(), func(tx *storage.Tx) (err error) {
		v, err = tx.View(id)
		return err
	}); err != nil {
		d.t.Fatal(err)
	}
	ts, err := deskClient(d.t, d.sim).Post(d.t.Context(), channel, "", Render(v)[0], "n")
	if err != nil {
		d.t.Fatal(err)
	}
	d.update(func(tx *storage.Tx) error { return tx.SaveSlot(id, kovra.Slot{Key: kovra.SlotCard, TS: ts}) })
	m, _ := d.sim.Message(channel, ts)
	return m
}

// actions returns all that was proposed, oldest first.
func (d *desk) actions() []kovra.Action {
	d.t.Helper()
	var all []kovra.Action
	if err := d.db.Read(d.t.Context(), func(tx *storage.Tx) (err error) {
		all, err = tx.Actions(storage.ActionQuery{Limit: 100})
		return err
	}); err != nil {
		d.t.Fatal(err)
	}
	slices.Reverse(all)
	return all
}

// only returns the one action that was proposed.
func (d *desk) only() kovra.Action {
	d.t.Helper()
	all := d.actions()
	if len(all) != 1 {
		d.t.Fatalf("%d actions were proposed, want one: %+v", len(all), all)
	}
	return all[0]
}

func (d *desk) none() {
	d.t.Helper()
	if all := d.actions(); len(all) != 0 {
		d.t.Fatalf("something was proposed: %+v", all)
	}
}

func wantText(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("got:\n%s\nwant it to hold %q", got, w)
		}
	}
}

// fakeGate knows administrators by their names, and hides apps from everybody else.
type fakeGate struct {
	db        *storage.DB
	hidden    []string
	veiled    []string // from administrators, too
	down      error
	unsure    error // of one app alone
	hang      bool
	forgotten []string
	asked     []kovra.Person
}

func (g *fakeGate) May(ctx context.Context, p kovra.Person, need kovra.Permission, app string) error {
	g.asked = append(g.asked, p)
	if g.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	switch {
	case cmp.Or(g.down, g.unsure) != nil:
		return cmp.Or(g.down, g.unsure)
	case p.Team == "TOTHER":
		return kovra.Errorf(kovra.Denied, "Only people of the organisation may use this bot.")
	case strings.HasPrefix(p.ID, "UADMIN"):
		return nil
	case need.Level() == kovra.MayAdmin:
		return kovra.Errorf(kovra.Denied, "Only administrators of this bot may do that. You can ask Ada.")
	case slices.Contains(g.hidden, app):
		return kovra.Errorf(kovra.Denied, "Only members of a channel that is subscribed to %s may do that.", app)
	}
	return nil
}

func (g *fakeGate) Visible(ctx context.Context, p kovra.Person) (apps []kovra.App, err error) {
	g.asked = append(g.asked, p)
	if g.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if g.down != nil {
		return nil, g.down
	}
	if p.Team == "TOTHER" {
		return nil, kovra.Errorf(kovra.Denied, "Only people of the organisation may use this bot.")
	}
	err = g.db.Read(ctx, func(tx *storage.Tx) error {
		apps, err = tx.Apps()
		return err
	})
	return slices.DeleteFunc(apps, func(a kovra.App) bool {
		return slices.Contains(g.veiled, a.Name) || slices.Contains(g.hidden, a.Name) && !strings.HasPrefix(p.ID, "UADMIN")
	}), err
}

// fakeGitLab offers what it is told to.
type fakeGitLab struct {
	branches, tags []string
	projects       []kovra.Project
	down           error
	hang           bool
	asked          int
}

func (g *fakeGitLab) SearchProjects(ctx context.Context, _ kovra.Person, query string, _ int) ([]kovra.Project, error) {
	g.asked++
	if g.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	var out []kovra.Project
	for _, p := range g.projects {
		if strings.Contains(p.Path, query) {
			out = append(out, p)
		}
	}
	return out, g.down
}

func (g *fakeGitLab) Refs(ctx context.Context, _ int64, query string, _ int) (branches, tags []string, err error) {
	g.asked++
	if g.hang {
		<-ctx.Done()
		return nil, nil, ctx.Err()
	}
	for _, b := range g.branches {
		if strings.Contains(b, query) {
			branches = append(branches, b)
		}
	}
	return branches, g.tags, g.down
}
