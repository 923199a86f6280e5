package app

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/bot"
	"kovra.dev/chatops/internal/config"
	"kovra.dev/chatops/internal/dispatch"
	"kovra.dev/chatops/internal/gitlab"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

func newLab(t *testing.T, o outside) (gitlabWorld, *App) {
	t.Helper()
	a := built(t, o.options())
	lab, err := gitlab.New(gitlab.Options{URL: labURL, Token: func() string { return "glpat-sim" }, HTTP: o.lab.Client()})
	if err != nil {
		t.Fatal(err)
	}
	return newGitLabWorld(lab, a.db, a.live), a
}

func TestBriefsAsRuns(t *testing.T) {
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	got := runs(webProject, []gitlab.Brief{
		{Remote: 5, Status: kovra.Running, Ref: "main", SHA: "abc", Source: "push", UpdatedAt: at},
		{Remote: 6, Status: kovra.Failed, Ref: "refs/merge-requests/4/head", Source: "merge_request_event"},
		{Remote: 7, Source: "parent_pipeline"},
	})
	if len(got) != 3 || got[1].Ref != "" || got[1].Kind() != "merge_request" || !got[2].Child() {
		t.Errorf("runs %+v", got)
	}
	want := kovra.Run{Project: webProject, Remote: 5, Status: kovra.Running, Ref: "main", SHA: "abc", Source: "push", UpdatedAt: at}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestGitLabForDispatch(t *testing.T) {
	o := newOutside()
	lab, a := newLab(t, o)
	if err := a.db.Update(t.Context(), func(tx *storage.Tx) error {
		return tx.SaveProject(kovra.Project{ID: webProject, Path: "group/web", DefaultBranch: "main"})
	}); err != nil {
		t.Fatal(err)
	}
	id, url, err := lab.CreatePipeline(t.Context(), webProject, "main", []kovra.Variable{{Key: "A", Value: "b"}}, nil)
	if err != nil || id == 0 || url == "" {
		t.Fatalf("pipeline %d at %q, %v", id, url, err)
	}
	if found, ok, err := lab.FindPipeline(t.Context(), webProject, id-1, "main", ""); err != nil || !ok || found != id {
		t.Errorf("found %d, %v, %v", found, ok, err)
	}
	if _, ok, err := lab.FindPipeline(t.Context(), webProject, id, "main", ""); err != nil || ok {
		t.Errorf("found one above itself: %v", err)
	}
	if err := o.lab.FinishPipeline(webProject, id, "failed"); err != nil {
		t.Fatal(err)
	}
	seen, err := lab.Pipeline(t.Context(), webProject, id)
	if err != nil || !seen.Whole || !seen.Run.Protected || len(seen.Jobs) != 1 || seen.Run.Status != kovra.Failed {
		t.Fatalf("seen %+v, %v", seen, err)
	}
	if latest, err := lab.Latest(t.Context(), webProject, 5); err != nil || len(latest) != 1 || latest[0].Remote != id {
		t.Errorf("latest %+v, %v", latest, err)
	}
	changed, upTo, err := lab.Changed(t.Context(), webProject, time.Time{})
	if err != nil || len(changed) != 1 || !upTo.Equal(changed[0].UpdatedAt) || upTo.IsZero() {
		t.Errorf("changed %+v up to %s, %v", changed, upTo, err)
	}
	future := time.Now().Add(time.Hour)
	if changed, upTo, err = lab.Changed(t.Context(), webProject, future); err != nil || len(changed) != 0 || !upTo.Equal(future) {
		t.Errorf("changed %+v up to %s, %v", changed, upTo, err)
	}
	if err := lab.RetryJob(t.Context(), webProject, seen.Jobs[0].ID); err != nil || len(o.lab.Jobs(webProject, id)) != 2 {
		t.Errorf("retried: %v, %d jobs", err, len(o.lab.Jobs(webProject, id)))
	}
}

// A hook gets the first of the configured secrets, and its own address.
func TestHookOfDispatch(t *testing.T) {
	o := newOutside()
	lab, a := newLab(t, o)
	hook, err := lab.EnsureHook(t.Context(), webProject, "https://kovra.example/webhooks/gitlab", dispatch.HookEvents{})
	if err != nil || !hook.Created || !hook.Ours {
		t.Fatalf("hook %+v, %v", hook, err)
	}
	again, err := lab.EnsureHook(t.Context(), webProject, "https://kovra.example/webhooks/gitlab", dispatch.HookEvents{})
	if err != nil || again != (dispatch.Hook{ID: hook.ID, Ours: true}) {
		t.Errorf("again: %+v, %v", again, err)
	}
	a.cfg.GitLabWebhookSecrets = []config.Secret{"new", "old"}
	a.cfg.GitLabSigningTokens = []config.Secret{"whsec_new", "whsec_old"}
	if h := newGitLabWorld(nil, nil, config.NewLive(a.cfg)).hook(); h.Secret != "new" || h.SigningToken != "whsec_new" {
		t.Errorf("hooks get the secrets %+v", h)
	}
}

func TestGitLabIsDown(t *testing.T) {
	o := newOutside()
	lab, a := newLab(t, o)
	o.lab.SetDown(true)
	if _, _, err := lab.FindPipeline(t.Context(), webProject, 0, "main", ""); kovra.KindOf(err) != kovra.Unavailable {
		t.Errorf("find: %v", err)
	}
	if _, err := lab.Pipeline(t.Context(), webProject, 5); kovra.KindOf(err) != kovra.Unavailable {
		t.Errorf("read: %v", err)
	}
	_ = a.db.Close()
	if _, err := lab.Pipeline(t.Context(), webProject, 5); err == nil {
		t.Error("read without a database")
	}
}

// TestJoinOfSeveral: a direct message of several people looks like a channel, and with the scopes that we have Slack says no more
// of it than that we may not read of it.
func TestJoinOfSeveral(t *testing.T) {
	for name, scopes := range map[string][]string{"ours": {"channels:join", "channels:read", "groups:read"}, "all": nil} {
		t.Run(name, func(t *testing.T) {
			sim := slacksim.New(slacksim.Options{BaseURL: slackURL, Scopes: scopes})
			sim.AddChannel(slacksim.Channel{ID: "CSEVERAL", Direct: true, Members: []string{"U1", "U2", slacksim.BotUserID}})
			slack, err := bot.NewClient(bot.ClientOptions{Token: func() string { return "xoxb-sim" }, API: slackURL + "/api/", HTTP: sim.Client()})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := (channels{slack}).Join(t.Context(), "CSEVERAL"); !errors.Is(err, kovra.ErrDirect) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestJoin(t *testing.T) {
	o := newOutside()
	o.slack.AddChannel(slacksim.Channel{ID: "COPEN", Name: "open"})
	o.slack.AddChannel(slacksim.Channel{ID: "CINVITED", Name: "invited", Private: true, Members: []string{slacksim.BotUserID}})
	o.slack.AddChannel(slacksim.Channel{ID: "CSHUT", Name: "shut", Private: true})
	slack, err := bot.NewClient(bot.ClientOptions{Token: func() string { return "xoxb-sim" }, API: slackURL + "/api/", HTTP: o.slack.Client()})
	if err != nil {
		t.Fatal(err)
	}
	for channel, want := range map[string]bool{"COPEN": true, "CINVITED": true, "CSHUT": false} {
		if member, err := (channels{slack}).Join(t.Context(), channel); err != nil || member != want {
			t.Errorf("%s: member %v, %v", channel, member, err)
		}
	}
	o.slack.SetDown(true)
	if _, err := (channels{slack}).Join(t.Context(), "COPEN"); err == nil {
		t.Error("Slack is down, and nobody hears of it")
	}
}
