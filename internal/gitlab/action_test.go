package gitlab

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/kovra"
)

func TestCreatePipeline(t *testing.T) {
	w := newWorld(t)
	id, url, err := w.CreatePipeline(t.Context(), w.web.ID, "main", []Variable{{"ENV", "staging"}}, map[string]string{"size": "3"})
	must(t, err)
	p := w.sim.Pipeline(w.web.ID, id)
	if p.Source != "api" || p.Ref != "main" || url != p.WebURL || p.User != gitlabsim.BotUsername {
		t.Errorf("got %+v, %s", p, url)
	}
	if len(p.Variables) != 1 || p.Variables[0].Key != "ENV" || p.Variables[0].Value != "staging" {
		t.Errorf("got variables %+v", p.Variables)
	}
	if d := cmp.Diff(map[string]any{"size": "3"}, p.Inputs); d != "" {
		t.Error(d)
	}
	_, _, err = w.CreatePipeline(t.Context(), w.web.ID, "gone", nil, nil)
	if e := wantKind(t, err, kovra.Invalid); !strings.Contains(e.Public, "Reference not found") {
		t.Errorf("got %q", e.Public)
	}
	w.web.SetMember(gitlabsim.BotUsername, 20)
	_, _, err = w.CreatePipeline(t.Context(), w.web.ID, "main", nil, nil)
	wantKind(t, err, kovra.Denied)
}

func TestCreatePipelineNamesTheSettingThatRefusesVariables(t *testing.T) {
	w := newWorld(t)
	w.sim.SetVariablesRole(w.web.ID, "no_one_allowed")
	_, _, err := w.CreatePipeline(t.Context(), w.web.ID, "main", []Variable{{"ENV", "staging"}}, nil)
	e := wantKind(t, err, kovra.Invalid)
	for _, want := range []string{"Settings > CI/CD > Variables", "Minimum role to use pipeline variables", "input:NAME=VALUE"} {
		if !strings.Contains(e.Public, want) {
			t.Errorf("%q does not hold %q", e.Public, want)
		}
	}
	if strings.Contains(err.Error(), "staging") {
		t.Errorf("the value is in the error: %v", err)
	}
}

// One click, one pipeline: whatever becomes of the answer.
func TestPostsAreNeverRepeated(t *testing.T) {
	posts := map[string]func(w *world, pipeline, failed, manual int64) error{
		"POST /projects/:id/pipeline": func(w *world, _, _, _ int64) error {
			_, _, err := w.CreatePipeline(t.Context(), w.web.ID, "main", nil, nil)
			return err
		},
		"POST /projects/:id/pipelines/:pipeline_id/retry": func(w *world, p, _, _ int64) error {
			return w.RetryPipeline(t.Context(), w.web.ID, p)
		},
		"POST /projects/:id/pipelines/:pipeline_id/cancel": func(w *world, p, _, _ int64) error {
			return w.CancelPipeline(t.Context(), w.web.ID, p)
		},
		"POST /projects/:id/jobs/:job_id/retry": func(w *world, _, failed, _ int64) error {
			_, err := w.RetryJob(t.Context(), w.web.ID, failed)
			return err
		},
		"POST /projects/:id/jobs/:job_id/play": func(w *world, _, _, manual int64) error {
			return w.PlayJob(t.Context(), w.web.ID, manual)
		},
		"POST /projects/:id/jobs/:job_id/cancel": func(w *world, _, failed, _ int64) error {
			return w.CancelJob(t.Context(), w.web.ID, failed)
		},
	}
	faults := map[string]func(string) gitlabsim.Fault{
		"lost reply": gitlabsim.LoseReply, "502": gitlabsim.BadGatewayAfter,
		"500": func(e string) gitlabsim.Fault { return gitlabsim.Status(e, 500) },
	}
	for endpoint, post := range posts {
		for name, fault := range faults {
			t.Run(name+" "+endpoint, func(t *testing.T) {
				w := newWorld(t)
				_, ref := w.web.Push("main", "x", "alice")
				must(t, w.sim.FinishPipeline(w.web.ID, ref.ID, "failed"))
				var failed, manual int64
				for _, j := range w.sim.Jobs(w.web.ID, ref.ID) {
					switch {
					case j.Status == "failed":
						failed = j.ID
					case j.Manual:
						manual = j.ID
					}
				}
				w.sim.Fault(fault(endpoint))
				e := wantKind(t, post(w, ref.ID, failed, manual), kovra.Unclear)
				if !strings.Contains(e.Public, "not known whether") {
					t.Errorf("got %q", e.Public)
				}
				if n := w.sim.CallCount(endpoint); n != 1 {
					t.Errorf("posted %d times", n)
				}
			})
		}
	}
}

func TestJobActions(t *testing.T) {
	w := newWorld(t)
	w.web.SetCI([]string{"test", "deploy"}, []gitlabsim.JobSpec{
		{Name: "unit", Stage: "test"}, {Name: "release", Stage: "test", Manual: true, AllowFailure: true},
	})
	_, ref := w.web.Push("main", "x", "alice")
	jobs := w.sim.Jobs(w.web.ID, ref.ID)
	unit, release := jobs[0].ID, jobs[1].ID

	must(t, w.PlayJob(t.Context(), w.web.ID, release))
	e := wantKind(t, w.PlayJob(t.Context(), w.web.ID, unit), kovra.Conflict)
	if !strings.Contains(e.Public, "not a manual one") {
		t.Errorf("got %q", e.Public)
	}
	must(t, w.sim.FinishJob(unit, "failed", "", ""))
	next, err := w.RetryJob(t.Context(), w.web.ID, unit)
	if err != nil || next <= unit {
		t.Errorf("got %d, %v", next, err)
	}
	_, err = w.RetryJob(t.Context(), w.web.ID, unit)
	wantKind(t, err, kovra.Conflict)

	j, pipeline, err := w.Job(t.Context(), w.web.ID, next)
	if err != nil || pipeline != ref.ID || j.Name != "unit" || j.Status != kovra.Pending {
		t.Errorf("got %+v of %d, %v", j, pipeline, err)
	}
	must(t, w.CancelJob(t.Context(), w.web.ID, next))
	if j, _, _ = w.Job(t.Context(), w.web.ID, next); j.Status != kovra.Canceled {
		t.Errorf("got %s", j.Status)
	}
	must(t, w.CancelPipeline(t.Context(), w.web.ID, ref.ID))
	for _, err := range []error{
		w.PlayJob(t.Context(), w.web.ID, 99999), w.CancelJob(t.Context(), w.web.ID, 99999), w.RetryPipeline(t.Context(), w.web.ID, 99999),
		w.CancelPipeline(t.Context(), w.web.ID, 99999),
	} {
		wantKind(t, err, kovra.NotFound)
	}
	_, _, err = w.Job(t.Context(), w.web.ID, 99999)
	wantKind(t, err, kovra.NotFound)
}

func TestAnswersWithoutAnID(t *testing.T) {
	calls := 0
	c := always(t, &calls, 201, `{}`)
	_, _, err := c.CreatePipeline(t.Context(), 1, "main", nil, nil)
	wantKind(t, err, kovra.Unclear)
	_, err = c.RetryJob(t.Context(), 1, 2)
	wantKind(t, err, kovra.Unclear)
}
