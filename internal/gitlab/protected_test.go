package gitlab

import (
	"testing"

	"kovra.dev/chatops/internal/gitlabsim"
)

// News of protected branches are shown in the channel, not of the default branch alone.
func TestPipelineOfProtectedBranch(t *testing.T) {
	w := newWorld(t)
	web := w.sim.AddProject(gitlabsim.Project{Path: "group/api", Protected: map[string]int{"release": gitlabsim.Maintainer}})
	web.SetMember(gitlabsim.BotUsername, gitlabsim.Maintainer)
	web.SetCI([]string{"build"}, []gitlabsim.JobSpec{{Name: "compile", Stage: "build"}})
	for ref, want := range map[string]bool{"main": true, "release": true, "feature": false} {
		_, pl := web.Push(ref, "Change", "alice")
		for range 2 { // the second time from memory
			o, err := w.Pipeline(t.Context(), web.ID, pl.ID, "main")
			must(t, err)
			if o.Run.Protected != want {
				t.Errorf("%s: protected %v, want %v", ref, o.Run.Protected, want)
			}
		}
	}
	if n := w.sim.CallCount("GET /projects/:id/repository/branches/:branch"); n != 2 {
		t.Errorf("%d branches were asked for, want 2", n)
	}
}

// A 429 holds back the reading of logs as it holds back everything else.
func TestTraceWaitsOutALimit(t *testing.T) {
	w := newWorld(t)
	_, pl := w.web.Push("main", "Change", "alice")
	job := w.sim.Jobs(w.web.ID, pl.ID)[0]
	w.limit(refFresh)
	if _, err := w.Trace(t.Context(), w.web.ID, job.ID); err == nil {
		t.Error("GitLab was asked")
	}
	if n := w.sim.CallCount("GET /projects/:id/jobs/:job_id/trace"); n != 0 {
		t.Errorf("asked %d times", n)
	}
}
