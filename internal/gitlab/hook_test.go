package gitlab

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/kovra"
)

var ours = Hook{URL: "https://kovra.example.com/webhooks/gitlab", Secret: "s3cret-token"}

func TestEnsureHook(t *testing.T) {
	w := newWorld(t)
	for i := range 120 {
		w.web.AddHook(gitlabsim.Hook{URL: fmt.Sprintf("https://other.example.com/%d", i)})
	}
	first, err := w.EnsureHook(t.Context(), w.web.ID, ours)
	if err != nil || !first.Created || !first.Ours || first.ID == 0 {
		t.Fatalf("got %+v, %v", first, err)
	}
	id := first.ID
	var made gitlabsim.Hook
	for _, h := range w.sim.Hooks(w.web.ID) {
		if h.ID == id {
			made = h
		}
	}
	if made.URL != ours.URL || made.Token != ours.Secret || !made.Events["pipeline_events"] || !made.Events["job_events"] || !made.Events["push_events"] {
		t.Errorf("made %+v", made)
	}
	again, err := w.EnsureHook(t.Context(), w.web.ID, ours)
	if err != nil || again != (FoundHook{ID: id, Ours: true}) {
		t.Errorf("the second time: got %+v, %v", again, err)
	}
	must(t, w.RemoveHook(t.Context(), w.web.ID, id))
	must(t, w.RemoveHook(t.Context(), w.web.ID, id)) // gone is fine
	if n := len(w.sim.Hooks(w.web.ID)); n != 120 {
		t.Errorf("%d hooks are left", n)
	}
}

func TestEnsureHookMends(t *testing.T) {
	w := newWorld(t)
	id := w.web.AddHook(gitlabsim.Hook{URL: ours.URL + "/", Token: "old", Events: map[string]bool{"merge_requests_events": true}})
	w.web.AddHook(gitlabsim.Hook{URL: ours.URL})
	got, err := w.EnsureHook(t.Context(), w.web.ID, ours)
	if err != nil || got != (FoundHook{ID: id}) {
		t.Fatalf("got %+v, %v, want %d", got, err, id)
	}
	h := w.sim.Hooks(w.web.ID)[0]
	if h.Token != ours.Secret || !h.Events["pipeline_events"] || !h.Events["job_events"] || !h.Events["push_events"] || !h.Events["merge_requests_events"] {
		t.Errorf("got %+v", h)
	}
}

// Further events come where they are wanted, and stay.
func TestEnsureHookEvents(t *testing.T) {
	for flag, ask := range map[string]HookEvents{
		"tag_push_events": {Tags: true}, "merge_requests_events": {MergeRequests: true}, "note_events": {Notes: true},
		"deployment_events": {Deployments: true}, "releases_events": {Releases: true},
	} {
		w := newWorld(t)
		want := map[string]bool{"push_events": true, "job_events": true, "pipeline_events": true}
		for _, step := range []struct {
			what string
			ask  HookEvents
			on   bool
		}{{"made without", HookEvents{}, false}, {"asked for", ask, true}, {"not asked for any more", HookEvents{}, true}} {
			h := ours
			h.Events = step.ask
			_, err := w.EnsureHook(t.Context(), w.web.ID, h)
			must(t, err)
			if step.on {
				want[flag] = true
			}
			if d := cmp.Diff(want, on(w)); d != "" {
				t.Errorf("%s %s (-want +got):\n%s", flag, step.what, d)
			}
		}
	}
	w := newWorld(t)
	h := ours
	h.Events = HookEvents{Tags: true, MergeRequests: true, Notes: true, Deployments: true, Releases: true}
	_, err := w.EnsureHook(t.Context(), w.web.ID, h)
	must(t, err)
	if got := on(w); len(got) != 8 {
		t.Errorf("made with all: %v", got)
	}
}

// on are the flags of the only hook that are set.
func on(w *world) map[string]bool {
	set := map[string]bool{}
	for flag, yes := range w.sim.Hooks(w.web.ID)[0].Events {
		if yes {
			set[flag] = true
		}
	}
	return set
}

func TestEnsureHookSigned(t *testing.T) {
	w := newWorld(t)
	signed := Hook{URL: ours.URL, SigningToken: "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}
	_, err := w.EnsureHook(t.Context(), w.web.ID, signed)
	must(t, err)
	if h := w.sim.Hooks(w.web.ID)[0]; h.SigningToken != signed.SigningToken || h.Token != "" {
		t.Errorf("got %+v", h)
	}
}

func TestEnsureHookErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for _, h := range []Hook{{}, {URL: ours.URL}, {Secret: "x"}} {
			_, err := w.EnsureHook(t.Context(), w.web.ID, h)
			wantKind(t, err, kovra.Invalid)
		}
		// A lost answer may be repeated: the hook is found the next time.
		w.sim.Fault(gitlabsim.LoseReply("POST /projects/:id/hooks"))
		_, err := w.EnsureHook(t.Context(), w.web.ID, ours)
		wantKind(t, err, kovra.Unavailable)
		if n := w.sim.CallCount("POST /projects/:id/hooks"); n != 1 {
			t.Errorf("posted %d times", n)
		}
		got, err := w.EnsureHook(t.Context(), w.web.ID, ours)
		if err != nil || got.Created || !got.Ours || len(w.sim.Hooks(w.web.ID)) != 1 {
			t.Errorf("got %+v, %v", got, err)
		}
		w.sim.Fault(gitlabsim.Status("PUT /projects/:id/hooks/:hook_id", 502))
		_, err = w.EnsureHook(t.Context(), w.web.ID, ours)
		wantKind(t, err, kovra.Unavailable)

		w.web.SetMember(gitlabsim.BotUsername, gitlabsim.Developer)
		_, err = w.EnsureHook(t.Context(), w.web.ID, ours)
		e := wantKind(t, err, kovra.Denied)
		if !strings.Contains(e.Public, "Maintainer") || !strings.Contains(e.Public, "403") {
			t.Errorf("got %q", e.Public)
		}
		wantKind(t, w.RemoveHook(t.Context(), w.web.ID, got.ID), kovra.Denied)
	})
}
