package app

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"kovra.dev/chatops/internal/config"
	"kovra.dev/chatops/internal/dispatch"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
	"kovra.dev/chatops/tekton"
)

// followGrace is how long a log may still be followed when the program stops; the next life reads on.
const followGrace = 200 * time.Millisecond

// readersAlso is how many step logs may be read beside those of builds: of deployments, which are as many as there are targets and may
// all stand still at once, and of runs that have ended. One that waits costs next to nothing.
const readersAlso = 60

// cluster is the Tekton client as dispatch wants to see it: what it starts is watched, in whatever namespace.
type cluster struct {
	*tekton.Client
	watch *tekton.Watch
}

// StartBuild implements dispatch.Cluster.
func (c cluster) StartBuild(ctx context.Context, b kovra.Build) error {
	c.watch.Add(b.Spec.Namespace)
	return c.Client.StartBuild(ctx, b)
}

// addCluster gives the world a cluster, if one is configured; else builds are off. way, if set, carries the calls.
func (a *App) addCluster(w *dispatch.World, way http.RoundTripper) error {
	if why := a.cfg.NoBuilds(); why != "" {
		a.log.Info("builds are off", "reason", why)
		return nil
	}
	if a.cfg.Proxy.Login() {
		a.log.Warn("builds get no proxy: the variable holds a password, which everybody who may read PipelineRuns would see")
	}
	client, err := tekton.New(tektonOptions(a.cfg, a, way))
	if err != nil {
		return fmt.Errorf("KOVRA_KUBECONFIG: %w", err)
	}
	a.watch = tekton.NewWatch(client, func(kind kovra.RefKind, id int64) { a.kick(kovra.Ref{Kind: kind, ID: id}) })
	c := cluster{Client: client, watch: a.watch}
	w.Cluster, w.Steps, w.Targets = c, c, c
	return nil
}

func tektonOptions(cfg *config.Config, a *App, way http.RoundTripper) tekton.Options {
	proxy := tekton.Proxy(cfg.Proxy)
	if cfg.Proxy.Login() {
		proxy = tekton.Proxy{}
	}
	return tekton.Options{
		Kubeconfig: cfg.Kubeconfig, Namespace: cfg.BuildNamespace,
		BuildAccount: cfg.BuilderAccount, DeployAccount: cfg.DeployerAccount,
		GitSecret: cfg.GitSecret, RegistrySecret: cfg.RegistrySecret, CAConfigMap: cfg.CAConfigMap, CA: cfg.CAPEM, Proxy: proxy,
		BuildTimeout: cfg.BuildTimeout, RolloutTimeout: cfg.DeployTimeout, Log: a.log,
		Transport: func(next http.RoundTripper) http.RoundTripper {
			if way != nil {
				next = way
			}
			return counting{peer: "kubernetes", next: next, m: a.metrics}
		},
	}
}

// sweepBuilds reminds the loops of builds, deployments and their logs of which no notice may have told, and watches where
// builds are under way since a life before this one.
func (a *App) sweepBuilds(ctx context.Context) {
	if a.watch == nil {
		return
	}
	err := a.db.Read(ctx, func(tx *storage.Tx) error {
		open, err := tx.OpenBuilds()
		for i := range open {
			a.watch.Add(open[i].Spec.Namespace)
		}
		return err
	})
	if err != nil && ctx.Err() == nil {
		a.log.ErrorContext(ctx, "sweep of builds failed", "err", err)
	}
	refs, err := a.work.Overdue(ctx)
	if err != nil && ctx.Err() == nil {
		a.log.ErrorContext(ctx, "sweep of builds failed", "err", err)
	}
	for _, r := range refs {
		a.remind(r)
	}
}
