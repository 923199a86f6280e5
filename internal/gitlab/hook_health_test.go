package gitlab

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/kovra"
)

func TestSeeHook(t *testing.T) {
	w := newWorld(t)
	see := func(want HookEvents) SeenHook {
		t.Helper()
		got, err := w.SeeHook(t.Context(), w.web.ID, Hook{URL: ours.URL, Events: want})
		must(t, err)
		return got
	}
	w.web.AddHook(gitlabsim.Hook{URL: "https://other.example.com"})
	if got := see(HookEvents{}); got.ID != 0 {
		t.Errorf("there is none, got %+v", got)
	}
	made, err := w.EnsureHook(t.Context(), w.web.ID, ours)
	must(t, err)
	if got := see(HookEvents{}); got.ID != made.ID || !got.Ours || got.Status != "executable" || len(got.Lacks) > 0 || !got.Until.IsZero() {
		t.Errorf("a new one: %+v", got)
	}
	all := HookEvents{Tags: true, MergeRequests: true, Notes: true, Deployments: true, Releases: true}
	if got, want := see(all).Lacks, []string{"Tag push events", "Merge request events", "Comments", "Deployment events", "Releases events"}; !slices.Equal(got, want) {
		t.Errorf("lacks %q, want %q", got, want)
	}
	must(t, w.sim.EditHook(made.ID, func(k *gitlabsim.Hook) { k.Events, k.Name = map[string]bool{"tag_push_events": true}, "" }))
	if got := see(HookEvents{Tags: true}); got.Ours || !slices.Equal(got.Lacks, []string{"Push events", "Job events", "Pipeline events"}) {
		t.Errorf("changed by hand: %+v", got)
	}
	until := time.Now().Add(10 * time.Minute).Truncate(time.Millisecond)
	must(t, w.sim.RestHook(made.ID, until))
	if got := see(HookEvents{}); got.Status != "temporarily_disabled" || !got.Until.Equal(until) {
		t.Errorf("resting: %+v", got)
	}
	must(t, w.sim.SwitchOffHook(made.ID))
	if got := see(HookEvents{}); got.Status != "disabled" {
		t.Errorf("switched off: %+v", got)
	}
}

// A token that may not manage webhooks sees none, which is another thing than that there is none.
func TestSeeHookDenied(t *testing.T) {
	w := newWorld(t)
	w.sim.AddUser(gitlabsim.User{Username: "dev", Token: "tok-dev"})
	w.web.SetMember("dev", gitlabsim.Developer)
	dev, err := New(Options{URL: testURL, Token: fixed("tok-dev"), HTTP: w.sim.Client()})
	must(t, err)
	_, err = dev.SeeHook(t.Context(), w.web.ID, Hook{URL: ours.URL})
	wantKind(t, err, kovra.Denied)
	if errors.Is(err, kovra.ErrToken) {
		t.Error("the token is to blame")
	}
}

func TestLastDelivery(t *testing.T) {
	w := newWorld(t)
	made, err := w.EnsureHook(t.Context(), w.web.ID, ours)
	must(t, err)
	last := func() string {
		t.Helper()
		got, err := w.LastDelivery(t.Context(), w.web.ID, made.ID)
		must(t, err)
		return got
	}
	if got := last(); got != "" {
		t.Errorf("before the first delivery: %q", got)
	}
	for _, c := range []struct {
		code int
		err  error
		want string
	}{{200, nil, "200"}, {401, nil, "401"}, {0, errors.New("connection refused"), "internal error"}} {
		w.sim.SetWebhookDelivery(func(context.Context, string, http.Header, []byte) (int, error) { return c.code, c.err })
		must(t, w.sim.EditHook(made.ID, func(k *gitlabsim.Hook) { k.RecentFailures, k.DisabledUntil = 0, time.Time{} }))
		w.web.Push("main", "x", "dev")
		_ = w.sim.SendAll(t.Context()) // the failures are what is tested
		if got := last(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	_, err = w.LastDelivery(t.Context(), w.web.ID, 999)
	wantKind(t, err, kovra.NotFound) // as of a GitLab that does not tell
}

// A test that we answer switches a webhook on again, whatever the project has to show.
func TestTestHook(t *testing.T) {
	for _, pipelines := range []bool{false, true} {
		w := newWorld(t)
		made, err := w.EnsureHook(t.Context(), w.web.ID, ours)
		must(t, err)
		if pipelines {
			w.web.Push("main", "x", "dev")
			w.sim.ReleaseHooks(func([]gitlabsim.Delivery) []gitlabsim.Delivery { return nil })
		}
		must(t, w.sim.SwitchOffHook(made.ID))
		code := 401
		var events []string
		w.sim.SetWebhookDelivery(func(_ context.Context, _ string, h http.Header, _ []byte) (int, error) {
			events = append(events, h.Get("X-Gitlab-Event"))
			return code, nil
		})
		wantKind(t, w.TestHook(t.Context(), w.web.ID, made.ID), kovra.Invalid)
		status := func() string { return w.sim.Hooks(w.web.ID)[0].AlertStatus }
		if status() != "disabled" {
			t.Errorf("after a test that failed it is %s", status())
		}
		code = 200
		must(t, w.TestHook(t.Context(), w.web.ID, made.ID))
		want := "Push Hook"
		if pipelines {
			want = "Pipeline Hook"
		}
		if status() != "executable" || !slices.Equal(events, []string{want, want}) {
			t.Errorf("it is %s after %q", status(), events)
		}
	}
}

func TestTestHookRefusals(t *testing.T) {
	w := newWorld(t)
	made, err := w.EnsureHook(t.Context(), w.web.ID, ours)
	must(t, err)
	w.sim.SetWebhookDelivery(func(context.Context, string, http.Header, []byte) (int, error) { return 200, nil })
	for range 2 { // each asks for a pipeline first
		must(t, w.TestHook(t.Context(), w.web.ID, made.ID))
	}
	w.web.Push("main", "x", "dev")
	must(t, w.TestHook(t.Context(), w.web.ID, made.ID))
	wantKind(t, w.TestHook(t.Context(), w.web.ID, made.ID), kovra.Unavailable) // five in a minute
	must(t, w.sim.DeleteHook(made.ID))
	wantKind(t, (&world{Client: newClient(t, w.sim.Client())}).TestHook(t.Context(), w.web.ID, made.ID), kovra.Denied)
}

func TestOwnToken(t *testing.T) {
	w := newWorld(t)
	got, err := w.OwnToken(t.Context())
	must(t, err)
	if got.ID == 0 || !got.Expires.IsZero() {
		t.Errorf("one that never expires: %+v", got)
	}
	soon := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 2)
	w.sim.DescribeToken(testToken, gitlabsim.Token{Name: "kovra", Expires: soon})
	again, err := w.OwnToken(t.Context())
	must(t, err)
	if again != (kovra.TokenSight{ID: got.ID, Name: "kovra", Expires: soon}) {
		t.Errorf("got %+v", again)
	}
	w.sim.DescribeToken(testToken, gitlabsim.Token{Expires: soon.AddDate(0, 0, -2)})
	if _, err = w.OwnToken(t.Context()); !errors.Is(err, kovra.ErrToken) {
		t.Errorf("an expired one: %v", err)
	}
	w.sim.RevokeToken(testToken)
	if _, err = w.OwnToken(t.Context()); !errors.Is(err, kovra.ErrToken) {
		t.Errorf("a revoked one: %v", err)
	}
}
