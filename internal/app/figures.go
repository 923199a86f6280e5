package app

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// figuresWithin bounds what a look at the metrics may cost.
const figuresWithin = 3 * time.Second

// figures are the metrics that are read from the state when somebody looks at them.
type figures struct {
	a *App
	// By name of the metric.
	descs map[string]*prometheus.Desc
	kinds map[string]prometheus.ValueType
}

// addFigures lists them all; their values come from [figures.Collect].
func (a *App) addFigures() {
	f := &figures{a: a, descs: map[string]*prometheus.Desc{}, kinds: map[string]prometheus.ValueType{}}
	gauge := func(name, help string, labels ...string) {
		a.metrics.list(name, "gauge", help, labels)
		f.descs[name], f.kinds[name] = prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue
	}
	gauge("kovra_ready", "1 if the database answers and takes changes, as /readyz says, else 0; if it does not answer most of the other gauges are missing.")
	gauge("kovra_deliveries_waiting", "Webhooks that wait to be folded into the state.")
	gauge("kovra_deliveries_oldest_seconds", "How long the oldest of them has waited.")
	gauge("kovra_dead_letters", "Webhooks that could not be used; kept for a while, and can be replayed.")
	gauge("kovra_hooks", "Linked projects by the state of their webhook.", "state")
	gauge("kovra_token_expires_timestamp_seconds", "When the bot's GitLab token ends, in seconds since 1970; missing: it does not, or GitLab does not say.")
	gauge("kovra_reconcile_waiting", "Keys that wait for a pass of a loop.", "loop")
	gauge("kovra_reconcile_oldest_seconds", "How long the oldest of them has waited.", "loop")
	gauge("kovra_open", "What is still to be done, by kind of thing, whether its loop knows of it or waits out a failure.", "kind")
	gauge("kovra_builds", "Builds that have not ended: queued, started or made in the cluster.", "phase")
	gauge("kovra_build_queue_oldest_seconds", "How long the build that is next has waited in the queue.")
	gauge("kovra_database_bytes", "Size of the database files, their journals included: state or logs.", "database")
	gauge("kovra_logs_bytes", "Room that the kept logs of jobs and builds take.")
	gauge("kovra_logs_limit_bytes", "Room that they may take before the oldest go: KOVRA_LOG_MAX_TOTAL.")
	gauge("kovra_disk_size_bytes", "Size of the volume that the database is on.")
	gauge("kovra_disk_free_bytes", "What is free of it for us.")
	commits := "Committed write transactions."
	a.metrics.list("kovra_commits_total", "counter", commits, nil)
	f.descs["kovra_commits_total"], f.kinds["kovra_commits_total"] = prometheus.NewDesc("kovra_commits_total", commits, nil, nil), prometheus.CounterValue
	a.metrics.registry.MustRegister(f)
}

// Describe implements [prometheus.Collector].
func (f *figures) Describe(to chan<- *prometheus.Desc) {
	for _, d := range f.descs {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (f *figures) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), figuresWithin) //nolint:forbidigo // a collector is given none
	defer cancel()
	send := func(name string, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(f.descs[name], f.kinds[name], v, labels...)
	}
	for _, l := range f.a.loops {
		send("kovra_reconcile_waiting", float64(l.Len()), l.Name())
		send("kovra_reconcile_oldest_seconds", l.OldestAge().Seconds(), l.Name())
	}
	send("kovra_commits_total", float64(f.a.db.Commits()))
	f.files(send)
	if used, err := f.a.logs.Size(ctx); err == nil {
		send("kovra_logs_bytes", float64(used))
	}
	send("kovra_logs_limit_bytes", float64(f.a.cfg.LogMaxTotal))
	ready := 0.0
	if f.state(ctx, send) == nil && f.a.db.Writable(ctx) == nil {
		ready = 1
	}
	send("kovra_ready", ready)
}

// state sends what the database says. What cannot be read is left out; [App.ready] logs why.
func (f *figures) state(ctx context.Context, send func(name string, v float64, labels ...string)) error {
	var now storage.Figures
	var hooks map[string]int
	var token kovra.TokenSight
	err := f.a.db.Read(ctx, func(tx *storage.Tx) (err error) {
		if now, err = tx.Figures(); err == nil {
			hooks, err = tx.HookHealth()
		}
		if err == nil {
			token, err = tx.GitLabToken()
		}
		return err
	})
	if err != nil {
		return err
	}
	for health, n := range hooks {
		send("kovra_hooks", float64(n), health)
	}
	if !token.Expires.IsZero() {
		send("kovra_token_expires_timestamp_seconds", float64(token.Expires.Unix()))
	}
	age := func(since time.Time) float64 {
		if since.IsZero() {
			return 0
		}
		return max(f.a.db.Now().Sub(since), 0).Seconds()
	}
	send("kovra_deliveries_waiting", float64(now.Waiting))
	send("kovra_deliveries_oldest_seconds", age(now.OldestWaiting))
	send("kovra_dead_letters", float64(now.Dead))
	for kind, n := range now.Open {
		send("kovra_open", float64(n), string(kind))
	}
	for phase, name := range map[kovra.BuildPhase]string{kovra.PhaseQueued: "queued", kovra.PhaseStarted: "started", kovra.PhaseMade: "made"} {
		send("kovra_builds", float64(now.Builds[phase]), name)
	}
	send("kovra_build_queue_oldest_seconds", age(now.OldestQueued))
	return nil
}

// files sends what the databases take on disk, and what is left there.
func (f *figures) files(send func(name string, v float64, labels ...string)) {
	for name, path := range map[string]string{"state": f.a.cfg.DatabasePath, "logs": f.a.cfg.LogsPath()} {
		bytes := 0.0
		for _, file := range []string{path, path + "-wal"} {
			if info, err := os.Stat(file); err == nil {
				bytes += float64(info.Size())
			}
		}
		send("kovra_database_bytes", bytes, name)
	}
	if size, free, ok := diskOf(filepath.Dir(f.a.cfg.DatabasePath)); ok {
		send("kovra_disk_size_bytes", size)
		send("kovra_disk_free_bytes", free)
	}
}
