package app

import (
	"context"
	"strings"
	"time"

	"kovra.dev/chatops/internal/config"
	"kovra.dev/chatops/internal/dispatch"
	"kovra.dev/chatops/internal/gitlab"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// gitlabWorld is the GitLab client as dispatch wants to see it.
type gitlabWorld struct {
	*gitlab.Client
	db   *storage.DB
	live *config.Live
}

func newGitLabWorld(c *gitlab.Client, db *storage.DB, live *config.Live) gitlabWorld {
	return gitlabWorld{Client: c, db: db, live: live}
}

// hook is what a project's hook gets of us: the first of the secrets as they are now. The URL is dispatch's to say.
func (w gitlabWorld) hook() (h gitlab.Hook) {
	cfg := w.live.Get()
	if len(cfg.GitLabWebhookSecrets) > 0 {
		h.Secret = cfg.GitLabWebhookSecrets[0].Reveal()
	}
	if len(cfg.GitLabSigningTokens) > 0 {
		h.SigningToken = cfg.GitLabSigningTokens[0].Reveal()
	}
	return h
}

// Pipeline implements dispatch.Pipelines.
func (w gitlabWorld) Pipeline(ctx context.Context, project, pipeline int64) (kovra.Observation, error) {
	var branch string
	err := w.db.Read(ctx, func(tx *storage.Tx) error {
		p, err := tx.Project(project)
		branch = p.DefaultBranch
		if kovra.KindOf(err) == kovra.NotFound {
			return nil
		}
		return err
	})
	if err != nil {
		return kovra.Observation{}, err
	}
	return w.Client.Pipeline(ctx, project, pipeline, branch)
}

// Changed implements dispatch.Pipelines.
func (w gitlabWorld) Changed(ctx context.Context, project int64, since time.Time) ([]kovra.Run, time.Time, error) {
	briefs, err := w.Client.Changed(ctx, project, since)
	upTo := since
	if len(briefs) > 0 {
		upTo = briefs[len(briefs)-1].UpdatedAt
	}
	return runs(project, briefs), upTo, err
}

// Latest implements dispatch.Pipelines.
func (w gitlabWorld) Latest(ctx context.Context, project int64, limit int) ([]kovra.Run, error) {
	briefs, err := w.Client.Latest(ctx, project, limit)
	return runs(project, briefs), err
}

func runs(project int64, briefs []gitlab.Brief) []kovra.Run {
	out := make([]kovra.Run, 0, len(briefs))
	for _, b := range briefs {
		r := kovra.Run{Project: project, Remote: b.Remote, Status: b.Status, Ref: b.Ref, SHA: b.SHA, Source: b.Source, UpdatedAt: b.UpdatedAt}
		if strings.HasPrefix(r.Ref, "refs/merge-requests/") {
			r.Ref = "" // hooks tell the source branch instead
		}
		out = append(out, r)
	}
	return out
}

// CreatePipeline implements dispatch.Controls.
func (w gitlabWorld) CreatePipeline(ctx context.Context, project int64, ref string, vars []kovra.Variable, inputs map[string]string) (int64, string, error) {
	given := make([]gitlab.Variable, 0, len(vars))
	for _, v := range vars {
		given = append(given, gitlab.Variable(v))
	}
	return w.Client.CreatePipeline(ctx, project, ref, given, inputs)
}

// RetryJob implements dispatch.Controls.
func (w gitlabWorld) RetryJob(ctx context.Context, project, job int64) error {
	_, err := w.Client.RetryJob(ctx, project, job)
	return err
}

// FindPipeline implements dispatch.Starts.
func (w gitlabWorld) FindPipeline(ctx context.Context, project, above int64, ref, user string) (int64, bool, error) {
	if user != "" {
		return w.Client.FindPipeline(ctx, project, above, ref, user)
	}
	me, err := w.Me(ctx)
	if err != nil {
		return 0, false, err
	}
	return w.Client.FindPipeline(ctx, project, above, ref, me.Username)
}

// EnsureHook implements dispatch.Links.
func (w gitlabWorld) EnsureHook(ctx context.Context, project int64, url string, also dispatch.HookEvents) (dispatch.Hook, error) {
	h := w.hook()
	h.URL, h.Events = url, gitlab.HookEvents(also)
	made, err := w.Client.EnsureHook(ctx, project, h)
	return dispatch.Hook(made), err
}

// SeeHook implements dispatch.Hooks.
func (w gitlabWorld) SeeHook(ctx context.Context, project int64, url string, want dispatch.HookEvents) (dispatch.SeenHook, error) {
	seen, err := w.Client.SeeHook(ctx, project, gitlab.Hook{URL: url, Events: gitlab.HookEvents(want)})
	return dispatch.SeenHook(seen), err
}
