package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/slacksim"
)

const (
	panelPipelines  = 6
	panelDeliveries = 40

	downFor  = 20 * time.Second
	limitFor = 10 * time.Second
	heldFor  = 10 * time.Minute
)

// panelRoutes is what the panel may do. None of it touches Slack's messages.
func (w *world) panelRoutes(mux *http.ServeMux) {
	post(mux, "/api/gitlab/push", w.panelPush)
	post(mux, "/api/gitlab/log", w.panelLog)
	post(mux, "/api/gitlab/job", w.panelJob)
	post(mux, "/api/gitlab/pipeline", w.panelPipeline)
	post(mux, "/api/gitlab/trouble", w.panelTrouble)
	post(mux, "/api/gitlab/autoplay", w.panelAutoplay)
	post(mux, "/api/gitlab/event", w.panelEvent)
	post(mux, "/api/gitlab/resend", w.panelResend)
	post(mux, "/api/gitlab/cluster", w.panelCluster)
}

// labState is what the panel shows.
type labState struct {
	Projects   []labProject      `json:"projects"`
	Deliveries []labDelivery     `json:"deliveries"` // newest first
	Sent       int               `json:"sent"`
	Waiting    int               `json:"waiting"`
	Dropped    int               `json:"dropped"`
	Trouble    map[string]int    `json:"trouble"` // seconds left
	Held       bool              `json:"held"`
	Autoplay   bool              `json:"autoplay"`
	Kinds      []string          `json:"kinds"` // logs of failures
	Authors    []string          `json:"authors"`
	People     map[string]person `json:"people"` // by Slack id
	Story      storyState        `json:"story"`
	URL        string            `json:"url"`
	HasTale    bool              `json:"has_story"`
	Cluster    *clusterState     `json:"cluster"` // null: a real one, which has tools of its own
}

type labProject struct {
	ID        int64         `json:"id"`
	Path      string        `json:"path"`
	Branches  []string      `json:"branches"`
	Jobs      []string      `json:"jobs"` // that can fail
	Hooks     int           `json:"hooks"`
	Real      bool          `json:"real"`      // it stands for a repository that exists
	Pipelines []labPipeline `json:"pipelines"` // newest first
	Events    *events       `json:"events"`    // null: of a real repository
}

type labPipeline struct {
	ID     int64      `json:"id"`
	Ref    string     `json:"ref"`
	SHA    string     `json:"sha"`
	Title  string     `json:"title"`
	Status string     `json:"status"`
	User   string     `json:"user"`
	Source string     `json:"source"`
	URL    string     `json:"url"`
	Vars   []string   `json:"vars,omitempty"`
	Stages []labStage `json:"stages"`
}

type labStage struct {
	Name string   `json:"name"`
	Jobs []labJob `json:"jobs"`
}

type labJob struct {
	ID      int64  `json:"id"`
	Name    string `json:"name"`
	Status  string `json:"status"`
	Manual  bool   `json:"manual"`
	Attempt int    `json:"attempt"`
	URL     string `json:"url"`
}

type labDelivery struct {
	Index   int    `json:"index"` // for sending it again
	Event   string `json:"event"`
	What    string `json:"what"`
	Status  int    `json:"status"`
	Err     string `json:"err,omitempty"`
	Sent    int64  `json:"sent"` // Unix milliseconds
	Again   bool   `json:"again"`
	Project int64  `json:"project"`
}

func (w *world) panelState(rw http.ResponseWriter, _ *http.Request) {
	out := labState{
		Waiting: len(w.gitlab.Waiting()), Dropped: w.gitlab.Dropped(), Trouble: map[string]int{}, URL: w.gitlab.URL(),
		Authors: []string{"alice", "bob"}, HasTale: w.withTale, People: persons(),
		Kinds: slices.DeleteFunc(slices.Clone(gitlabsim.SampleKinds), func(k string) bool { return k == "ok" || k == nightly.kind }),
	}
	for _, p := range w.shown() {
		out.Projects = append(out.Projects, w.labProject(p))
	}
	if w.cluster != nil {
		out.Cluster = w.cluster.state()
	}
	out.Deliveries, out.Sent = w.labDeliveries()
	w.mu.Lock()
	defer w.mu.Unlock()
	_, out.Held = w.trouble[troubleHeld]
	for what, until := range w.trouble {
		out.Trouble[what] = int(time.Until(until).Seconds()) + 1
	}
	out.Autoplay, out.Story = w.autoplay, w.story
	writeJSON(rw, http.StatusOK, out)
}

// shown are the projects of the panel.
func (w *world) shown() []*gitlabsim.ProjectHandle {
	all := []*gitlabsim.ProjectHandle{w.web, w.api}
	if w.real != nil {
		all = append(all, w.real.project)
	}
	return all
}

func (w *world) labProject(p *gitlabsim.ProjectHandle) labProject {
	w.mu.Lock()
	out := labProject{ID: p.ID, Path: p.Path, Branches: slices.Clone(w.branches[p.ID]), Pipelines: []labPipeline{}}
	out.Real = w.real != nil && p == w.real.project
	if !out.Real {
		out.Events = w.labEvents(p)
	}
	w.mu.Unlock()
	out.Hooks = len(w.gitlab.Hooks(p.ID))
	out.Jobs = map[int64][]string{w.web.ID: {"unit", "compile", "lint", "e2e", "staging"}, w.api.ID: {"unit", "audit", "image"}}[p.ID]
	list := w.gitlab.Pipelines(p.ID)
	slices.Reverse(list)
	for _, pl := range list[:min(len(list), panelPipelines)] {
		out.Pipelines = append(out.Pipelines, w.labPipeline(pl))
	}
	return out
}

func (w *world) labPipeline(pl gitlabsim.PipelineState) labPipeline {
	w.mu.Lock()
	title := or(w.titles[pl.SHA], "Initial commit")
	w.mu.Unlock()
	out := labPipeline{
		ID: pl.ID, Ref: pl.Ref, SHA: pl.SHA[:8], Title: title, Status: pl.Status, User: pl.User, Source: pl.Source, URL: pl.WebURL,
		Stages: []labStage{},
	}
	for _, v := range pl.Variables {
		out.Vars = append(out.Vars, v.Key)
	}
	project, _, _ := strings.Cut(pl.WebURL, "/-/")
	tries := map[string]int{}
	for _, j := range w.gitlab.Jobs(pl.ProjectID, pl.ID) {
		tries[j.Name]++
		if j.Retried {
			continue
		}
		i := slices.IndexFunc(out.Stages, func(s labStage) bool { return s.Name == j.Stage })
		if i < 0 {
			out.Stages = append(out.Stages, labStage{Name: j.Stage})
			i = len(out.Stages) - 1
		}
		out.Stages[i].Jobs = append(out.Stages[i].Jobs, labJob{
			ID: j.ID, Name: j.Name, Status: j.Status, Manual: j.Manual, Attempt: tries[j.Name], URL: fmt.Sprintf("%s/-/jobs/%d", project, j.ID),
		})
	}
	return w.inOrder(out, pl.ProjectID)
}

// inOrder sorts stages and jobs as the shape of the project has them: a retried job has a
// new id, but keeps its place.
func (w *world) inOrder(pl labPipeline, project int64) labPipeline {
	stages := map[int64][]string{w.web.ID: {"build", "test", "deploy"}, w.api.ID: {"test", "package"}}[project]
	jobs := []string{"compile", "lint", "unit", "e2e", "audit", "staging", "production", "image"}
	slices.SortStableFunc(pl.Stages, func(a, b labStage) int { return slices.Index(stages, a.Name) - slices.Index(stages, b.Name) })
	for _, s := range pl.Stages {
		slices.SortStableFunc(s.Jobs, func(a, b labJob) int { return slices.Index(jobs, a.Name) - slices.Index(jobs, b.Name) })
	}
	return pl
}

// labDeliveries lists the newest webhooks, newest first, and says how many there were.
func (w *world) labDeliveries() ([]labDelivery, int) {
	all := w.gitlab.Deliveries()
	seen := map[string]bool{}
	out := []labDelivery{}
	for i, d := range all {
		key := d.Header.Get("Idempotency-Key")
		one := labDelivery{
			Index: i, Event: strings.TrimSuffix(d.Event, " Hook"), Status: d.Status, Err: d.Err, Sent: d.Sent.UnixMilli(), Again: seen[key],
			Project: d.ProjectID,
		}
		seen[key] = true
		if i >= len(all)-panelDeliveries {
			one.What = summary(d.Body)
			out = append(out, one)
		}
	}
	slices.Reverse(out)
	return out, len(all)
}

// summary says in a few words what a webhook is about.
func summary(body []byte) string {
	var b struct {
		Kind        string `json:"object_kind"`
		Ref         string `json:"ref"`
		BuildName   string `json:"build_name"`
		Build       string `json:"build_status"`
		Status      string `json:"status"`
		Environment string `json:"environment"`
		Tag         string `json:"tag"`
		Action      string `json:"action"`
		Attributes  struct {
			ID     int64  `json:"id"`
			IID    int64  `json:"iid"`
			Status string `json:"status"`
			Action string `json:"action"`
			Note   string `json:"note"`
		} `json:"object_attributes"`
	}
	if err := json.Unmarshal(body, &b); err != nil && b.Kind == "" {
		return "" // a shape of GitLab's that has no such fields
	}
	switch b.Kind {
	case "build":
		return b.BuildName + " " + b.Build
	case "pipeline":
		return fmt.Sprintf("#%d %s", b.Attributes.ID, b.Attributes.Status)
	case "merge_request":
		return fmt.Sprintf("!%d %s", b.Attributes.IID, b.Attributes.Action)
	case "note":
		return b.Attributes.Note
	case "deployment":
		return b.Environment + " " + b.Status
	case "release":
		return b.Tag + " " + b.Action
	default:
		return strings.TrimPrefix(strings.TrimPrefix(b.Ref, "refs/heads/"), "refs/tags/")
	}
}

// pushing is a commit to be.
type pushing struct {
	Project int64  `json:"project"`
	Branch  string `json:"branch"`
	Title   string `json:"title"`
	Author  string `json:"author"`
	Job     string `json:"job"`  // that will fail; "": none
	Kind    string `json:"kind"` // of its log
}

func (w *world) panelPush(ctx context.Context, in pushing) (any, error) {
	if w.real != nil && in.Project == w.real.project.ID {
		return w.pushAgain(ctx, in)
	}
	if in.Project != w.web.ID && in.Project != w.api.ID {
		return nil, fmt.Errorf("there is no project %d", in.Project)
	}
	branch, title := strings.TrimSpace(in.Branch), strings.TrimSpace(in.Title)
	if branch == "" || strings.ContainsAny(branch, " ~^:?*[\\") {
		return nil, fmt.Errorf("%q is not the name of a branch", in.Branch)
	}
	kind := ""
	if in.Job != "" {
		kind = or(in.Kind, "go-test")
	}
	ref := w.push(in.Project, branch, or(title, "Small change"), or(in.Author, "alice"), in.Job, kind, false)
	return map[string]int64{"pipeline": ref.ID}, nil
}

// deed is something to do to a job or a pipeline.
type deed struct {
	Project  int64  `json:"project"`
	Pipeline int64  `json:"pipeline"`
	Job      int64  `json:"job"`
	Do       string `json:"do"`
	Kind     string `json:"kind"` // of a log
	User     string `json:"user"`
}

// panelLog pushes a commit whose job has a log worth looking at.
func (w *world) panelLog(_ context.Context, in deed) (any, error) {
	i := slices.IndexFunc(specials, func(s special) bool { return s.kind == in.Do })
	if i < 0 {
		return nil, fmt.Errorf("no log is called %q", in.Do)
	}
	return map[string]int64{"pipeline": w.pushSpecial(specials[i]).ID}, nil
}

func (w *world) panelJob(_ context.Context, in deed) (any, error) {
	defer w.labMoved.tell()
	switch in.Do {
	case "start":
		return shown{}, w.gitlab.StartJob(in.Job)
	case "pass":
		return shown{}, w.end(in.Job, "success", "")
	case "fail":
		return shown{}, w.end(in.Job, "failed", or(in.Kind, "go-test"))
	case "cancel":
		return shown{}, w.gitlab.CancelJob(in.Job)
	case "play":
		_, err := w.gitlab.PlayJob(in.Job, or(in.User, "alice"))
		return shown{}, err
	case "retry":
		_, err := w.gitlab.RetryJob(in.Job, or(in.User, "alice"))
		return shown{}, err
	default:
		return nil, fmt.Errorf("nothing is called %q", in.Do)
	}
}

// end ends a job by hand. What it has written stays, and a kind of log goes on from there.
func (w *world) end(job int64, status, kind string) error {
	j, known := w.gitlab.Job(job)
	if !known {
		return fmt.Errorf("there is no job %d", job)
	}
	if kind != "" || j.Recording == "" {
		if err := w.gitlab.Record(job, stamped(or(kind, "ok"), j.Name)); err != nil {
			return err
		}
	}
	return w.gitlab.FinishJob(job, status, "", "")
}

func (w *world) panelPipeline(_ context.Context, in deed) (any, error) {
	defer w.labMoved.tell()
	switch in.Do {
	case "finish":
		return shown{}, w.gitlab.FinishPipeline(in.Project, in.Pipeline, "success")
	case "step":
		return shown{}, w.gitlab.Step(in.Project, in.Pipeline)
	default:
		return nil, fmt.Errorf("nothing is called %q", in.Do)
	}
}

// panelTrouble makes the next days bad ones. The names are those of the buttons.
func (w *world) panelTrouble(_ context.Context, in deed) (any, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.labMoved.tell()
	switch in.Do {
	case "twice":
		w.gitlab.DuplicateNext(1)
	case "late":
		w.gitlab.LateNext()
	case "drop":
		w.gitlab.DropNext(1)
	case "hold":
		w.gitlab.HoldHooks()
		w.trouble[troubleHeld] = time.Now().Add(heldFor)
	case "release":
		delete(w.trouble, troubleHeld)
		w.gitlab.ReleaseHooks(func(list []gitlabsim.Delivery) []gitlabsim.Delivery {
			slices.Reverse(list)
			return list
		})
	case "down":
		w.gitlab.SetDown(true)
		w.gitlab.HoldHooks()
		w.trouble[troubleDown] = time.Now().Add(downFor)
	case "limit":
		w.slack.Fault(slacksim.RateLimit("chat.update", limitFor), slacksim.RateLimit("chat.postMessage", limitFor))
		w.trouble[troubleLimit] = time.Now().Add(limitFor)
	default:
		return nil, fmt.Errorf("nothing is called %q", in.Do)
	}
	return shown{}, nil
}

func (w *world) panelAutoplay(_ context.Context, in struct {
	On bool `json:"on"`
},
) (any, error) {
	w.mu.Lock()
	w.autoplay = in.On
	w.mu.Unlock()
	w.labMoved.tell()
	return shown{}, nil
}

func (w *world) panelResend(_ context.Context, in struct {
	Index int `json:"index"`
},
) (any, error) {
	defer w.labMoved.tell()
	return shown{}, w.gitlab.Resend(in.Index)
}
