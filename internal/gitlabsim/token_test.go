package gitlabsim_test

import (
	"strings"
	"testing"
	"time"

	"kovra.dev/chatops/internal/gitlabsim"
)

func TestATokenTellsWhenItExpires(t *testing.T) {
	w := newWorld(t)
	got, _, err := w.as("").PersonalAccessTokens.GetSinglePersonalAccessToken()
	must(t, err)
	if got.ExpiresAt != nil || !got.Active || got.Revoked || got.ID == 0 {
		t.Errorf("a token that nobody described: %+v", got)
	}
	w.s.DescribeToken("glpat-sim", gitlabsim.Token{Name: "kovra", Expires: time.Date(2026, 12, 20, 15, 0, 0, 0, time.UTC)})
	again, _, err := w.as("").PersonalAccessTokens.GetSinglePersonalAccessToken()
	must(t, err)
	if again.ExpiresAt.String() != "2026-12-20" || again.Name != "kovra" || again.ID != got.ID {
		t.Errorf("described: %+v", again)
	}
	w.pass(time.Date(2026, 12, 19, 23, 59, 59, 0, time.UTC).Sub(w.clock()))
	if _, _, err := w.as("").Users.CurrentUser(); err != nil {
		t.Errorf("a second before: %v", err)
	}
	w.pass(time.Second)
	_, _, err = w.as("").PersonalAccessTokens.GetSinglePersonalAccessToken()
	wantRefusal(t, err, 401, "Token is expired")
	code, _, body := w.raw("GET", "/api/v4/personal_access_tokens/self", "tok-unknown", "")
	if code != 401 || !strings.Contains(body, "401 Unauthorized") {
		t.Errorf("unknown token: %d %s", code, body)
	}
}

func TestSomebodyChangesAHookByHand(t *testing.T) {
	w := newWorld(t)
	id := w.web.AddHook(gitlabsim.Hook{URL: receiver, Token: "one"})
	status := func() string { return w.s.Hooks(w.web.ID)[0].AlertStatus }
	must(t, w.s.EditHook(id, func(k *gitlabsim.Hook) { k.Token, k.ID, k.ProjectID = "two", 1, 1 }))
	if k := w.s.Hooks(w.web.ID)[0]; k.Token != "two" || k.ID != id || k.ProjectID != w.web.ID || status() != "executable" {
		t.Errorf("edited: %+v", k)
	}
	until := w.clock().Add(10 * time.Minute)
	must(t, w.s.RestHook(id, until))
	k, _, err := w.as("mara").Projects.GetProjectHook(w.web.ID, id)
	must(t, err)
	if k.AlertStatus != "temporarily_disabled" || !k.DisabledUntil.Equal(until) {
		t.Errorf("resting: %+v", k)
	}
	must(t, w.s.SwitchOffHook(id))
	w.pass(48 * time.Hour)
	if status() != "disabled" {
		t.Errorf("switched off it is %s", status())
	}
	must(t, w.s.DeleteHook(id))
	if len(w.s.Hooks(w.web.ID)) != 0 || w.s.DeleteHook(id) == nil || w.s.EditHook(id, func(*gitlabsim.Hook) {}) == nil {
		t.Error("a deleted hook is still there")
	}
}

func TestTestsOfHooksAreLimited(t *testing.T) {
	w := newWorld(t)
	id := w.web.AddHook(gitlabsim.Hook{URL: receiver})
	other := w.s.AddProject(gitlabsim.Project{Path: "group/api", Members: map[string]int{"mara": 40}})
	there := other.AddHook(gitlabsim.Hook{URL: receiver})
	try := func(user string, project, hook int64) error {
		_, err := w.as(user).Projects.TriggerTestProjectHook(project, hook, "push_events")
		return err
	}
	for range 5 {
		must(t, try("mara", w.web.ID, id))
	}
	wantRefusal(t, try("mara", w.web.ID, id), 429, "requested too many times")
	must(t, try("owen", w.web.ID, id))
	must(t, try("mara", other.ID, there))
	w.pass(time.Minute)
	must(t, try("mara", w.web.ID, id))
}

func TestATestThatFailsWhileAHookIsOffCountsForNothing(t *testing.T) {
	w := newWorld(t)
	id := w.web.AddHook(gitlabsim.Hook{URL: receiver})
	until := w.clock().Add(10 * time.Minute)
	must(t, w.s.RestHook(id, until))
	w.answers(401)
	_, err := w.as("mara").Projects.TriggerTestProjectHook(w.web.ID, id, "push_events")
	wantRefusal(t, err, 422, "Unauthorized")
	if k := w.s.Hooks(w.web.ID)[0]; k.RecentFailures != 4 || !k.DisabledUntil.Equal(until) {
		t.Errorf("after a test that failed: %+v", k)
	}
}
