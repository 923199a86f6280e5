package gitlabsim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"kovra.dev/chatops/internal/gitlabsim"
)

// world is a GitLab with one project, a receiver of its hooks and clients for people of each role.
type world struct {
	t   *testing.T
	s   *gitlabsim.Server
	web *gitlabsim.ProjectHandle

	mu     sync.Mutex
	now    time.Time
	answer int // of the receiver; 0 is a broken connection
}

var (
	shopStages = []string{"build", "test", "deploy"}
	shopJobs   = []gitlabsim.JobSpec{
		{Name: "compile", Stage: "build"},
		{Name: "unit", Stage: "test"},
		{Name: "lint", Stage: "test", AllowFailure: true},
		{Name: "production", Stage: "deploy", Manual: true},
	}
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC), answer: http.StatusOK}
	w.s = gitlabsim.New(gitlabsim.Options{Now: w.clock})
	for _, name := range []string{"owen", "mara", "dev", "rita", "gus", "eve"} {
		w.s.AddUser(gitlabsim.User{Username: name, Name: strings.ToUpper(name[:1]) + name[1:], Email: name + "@example.com", Token: "tok-" + name})
	}
	w.s.AddUser(gitlabsim.User{Username: "root", Name: "Root", Token: "tok-root", Admin: true})
	w.web = w.s.AddProject(gitlabsim.Project{
		Path: "group/web-shop", Members: map[string]int{"owen": 50, "mara": 40, "dev": 30, "rita": 20, "gus": 10},
	})
	w.web.SetCI(shopStages, shopJobs)
	w.s.SetWebhookDelivery(func(context.Context, string, http.Header, []byte) (int, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.answer == 0 {
			return 0, errors.New("connection refused")
		}
		return w.answer, nil
	})
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) answers(code int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = code
}

// as returns the official client with the token of a user; "" is the bot.
func (w *world) as(user string) *gitlab.Client {
	w.t.Helper()
	token := "glpat-sim"
	if user != "" {
		token = "tok-" + user
	}
	c, err := gitlab.NewClient(token, gitlab.WithBaseURL("https://gitlab.example.com"), gitlab.WithHTTPClient(w.s.Client()), gitlab.WithoutRetries())
	must(w.t, err)
	return c
}

func (w *world) push() gitlabsim.PipelineRef {
	_, ref := w.web.Push("main", "Add cart", "dev")
	return ref
}

// job returns the newest attempt of a job.
func (w *world) job(ref gitlabsim.PipelineRef, name string) gitlabsim.JobState {
	w.t.Helper()
	var found gitlabsim.JobState
	for _, j := range w.s.Jobs(ref.ProjectID, ref.ID) {
		if j.Name == name {
			found = j
		}
	}
	if found.ID == 0 {
		w.t.Fatalf("pipeline %d has no job %q", ref.ID, name)
	}
	return found
}

func (w *world) status(ref gitlabsim.PipelineRef) string {
	return w.s.Pipeline(ref.ProjectID, ref.ID).Status
}

// finish ends the newest attempt of a job.
func (w *world) finish(ref gitlabsim.PipelineRef, name, status string) {
	w.t.Helper()
	must(w.t, w.s.FinishJob(w.job(ref, name).ID, status, "", ""))
}

func (w *world) wantStatus(ref gitlabsim.PipelineRef, want string) {
	w.t.Helper()
	if got := w.status(ref); got != want {
		w.t.Errorf("pipeline is %q, want %q", got, want)
	}
}

func (w *world) wantJob(ref gitlabsim.PipelineRef, name, want string) {
	w.t.Helper()
	if got := w.job(ref, name).Status; got != want {
		w.t.Errorf("job %s is %q, want %q", name, got, want)
	}
}

// raw asks without the official client, for what it hides.
func (w *world) raw(method, path, token, body string) (int, http.Header, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, "https://gitlab.example.com"+path, strings.NewReader(body))
	must(w.t, err)
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("PRIVATE-TOKEN", token)
	}
	resp, err := w.s.Client().Do(req)
	must(w.t, err)
	var text strings.Builder
	_, err = fmt.Fprint(&text, readAll(w.t, resp))
	must(w.t, err)
	return resp.StatusCode, resp.Header, text.String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantRefusal checks that err is the API's refusal with this code and wording.
func wantRefusal(t *testing.T, err error, code int, words string) {
	t.Helper()
	var refused *gitlab.ErrorResponse
	if !errors.As(err, &refused) {
		t.Fatalf("got %v, want a refusal with %d", err, code)
	}
	if refused.Response.StatusCode != code || !strings.Contains(string(refused.Body), words) {
		t.Errorf("got %d %s, want %d with %q", refused.Response.StatusCode, refused.Body, code, words)
	}
}

// hooks sends what waits and returns the deliveries of one event from then on.
func (w *world) hooks(event string) []gitlabsim.Delivery {
	w.t.Helper()
	must(w.t, w.s.SendAll(w.t.Context()))
	list := []gitlabsim.Delivery{}
	for _, d := range w.s.Deliveries() {
		if d.Event == event {
			list = append(list, d)
		}
	}
	return list
}

// decode parses a delivery with the official client.
func decode[T any](t *testing.T, d gitlabsim.Delivery) T {
	t.Helper()
	event, err := gitlab.ParseWebhook(gitlab.EventType(d.Event), d.Body)
	must(t, err)
	typed, ok := event.(T)
	if !ok {
		t.Fatalf("%s was decoded as %T", d.Event, event)
	}
	return typed
}

func fields(t *testing.T, body []byte) map[string]any {
	t.Helper()
	var o map[string]any
	must(t, json.Unmarshal(body, &o))
	return o
}
