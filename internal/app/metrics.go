package app

import (
	"context"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/reconcile"
)

// metrics are what /metrics shows. Their names and labels are a promise, docs/metrics.md lists them. Labels come from
// small fixed sets.
type metrics struct {
	registry *prometheus.Registry
	listed   []listed

	requests, deliveries, passes, peerCalls, slackCalls, actions *prometheus.CounterVec
	passTime, peerTime                                           *prometheus.HistogramVec
	deliveryLag, showLag                                         *prometheus.HistogramVec
}

// listed is what the documentation says of a metric.
type listed struct {
	name, kind, help string
	labels           []string
}

// Buckets of histograms, in seconds.
var (
	lagBuckets  = []float64{.025, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800}
	callBuckets = []float64{.025, .1, .25, .5, 1, 2.5, 5, 10, 30}
	passBuckets = []float64{.001, .005, .025, .1, .5, 2, 10, 60}
)

func newMetrics(version string) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.gauge("kovra_build_info", "Always 1: the version that runs.", "version", "go").WithLabelValues(version, runtime.Version()).Set(1)

	m.requests = m.counter("kovra_requests_total", "Requests of GitLab and Slack by route and how they ended.", "route", "outcome")
	m.deliveries = m.counter("kovra_deliveries_total", "Webhooks of GitLab by kind of event and what became of them.", "kind", "outcome")
	m.deliveryLag = m.histogram("kovra_delivery_lag_seconds", "From the arrival of a webhook until it is folded into the state; replayed ones are left out.", lagBuckets)
	m.showLag = m.histogram("kovra_show_lag_seconds", "From a change of the state until the thread in Slack shows it.", lagBuckets)

	m.passes = m.counter("kovra_reconcile_total", "Passes of the loops by how they ended.", "loop", "outcome")
	m.passTime = m.histogram("kovra_reconcile_seconds", "How long a pass of a loop took.", passBuckets, "loop")

	m.slackCalls = m.counter("kovra_slack_calls_total", "Calls of Slack's Web API by method and how they ended; limited: Slack answered 429.", "method", "outcome")
	m.peerCalls = m.counter("kovra_peer_calls_total", "Calls of Slack, GitLab and Kubernetes by class of the HTTP status; error: no answer.", "peer", "status")
	m.peerTime = m.histogram("kovra_peer_call_seconds", "How long a peer took to begin its answer.", callBuckets, "peer")

	m.actions = m.counter("kovra_actions_total", "What people asked for, by kind and how it ended; where it failed, the kind of the error.", "kind", "outcome")
	m.begin(m.requests, "gitlab", "unauthorized")
	m.begin(m.requests, "socket", "refused")
	return m
}

// begin shows a counter at zero. An alert asks by how much one grew, and one that comes to be as 1 has not grown.
func (m *metrics) begin(c *prometheus.CounterVec, labels ...string) { c.WithLabelValues(labels...) }

// list notes a metric for the documentation.
func (m *metrics) list(name, kind, help string, labels []string) {
	m.listed = append(m.listed, listed{name: name, kind: kind, help: help, labels: labels})
}

func (m *metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	m.list(name, "counter", help, labels)
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

func (m *metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	m.list(name, "gauge", help, labels)
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

func (m *metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	m.list(name, "histogram", help, labels)
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	m.registry.MustRegister(v)
	if len(labels) == 0 {
		v.WithLabelValues() // so that it shows before anything happened
	}
	return v
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

func (m *metrics) request(route, outcome string) { m.requests.WithLabelValues(route, outcome).Inc() }

func (m *metrics) delivery(kind string, outcome kovra.DeliveryOutcome) {
	m.deliveries.WithLabelValues(kind, string(outcome)).Inc()
}

func (m *metrics) folded(lag time.Duration) { m.deliveryLag.WithLabelValues().Observe(lag.Seconds()) }

func (m *metrics) slackCall(method, outcome string) {
	m.slackCalls.WithLabelValues(method, outcome).Inc()
}

func (m *metrics) action(kind kovra.ActionKind, outcome string) {
	m.actions.WithLabelValues(string(kind), outcome).Inc()
}

func (m *metrics) pass(loop string, outcome reconcile.Outcome, took time.Duration) {
	m.passes.WithLabelValues(loop, string(outcome)).Inc()
	m.passTime.WithLabelValues(loop).Observe(took.Seconds())
}

// counting counts the calls to a peer.
type counting struct {
	peer string
	next http.RoundTripper
	m    *metrics
}

// RoundTrip implements [http.RoundTripper].
func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	begin := time.Now()
	resp, err := c.next.RoundTrip(r)
	c.m.peerTime.WithLabelValues(c.peer).Observe(time.Since(begin).Seconds())
	status := "error"
	if err == nil {
		status = strconv.Itoa(resp.StatusCode/100) + "xx"
		if resp.StatusCode == http.StatusTooManyRequests {
			status = "429"
		}
	}
	c.m.peerCalls.WithLabelValues(c.peer, status).Inc()
	return resp, err
}

// lagging measures how long threads take to show what has changed.
type lagging struct {
	next reconcile.Reconciler[int64]
	m    *metrics

	mu    sync.Mutex
	since map[int64]time.Time // of the oldest change that is not shown, by thread
}

// changed notes that a thread has something new to show.
func (l *lagging) changed(thread int64, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, waits := l.since[thread]; !waits || at.Before(old) {
		l.since[thread] = at
	}
}

// take forgets the change that is about to be shown; what comes during the pass counts for the next one.
func (l *lagging) take(thread int64) (since time.Time, waits bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	since, waits = l.since[thread]
	delete(l.since, thread)
	return since, waits
}

// Reconcile implements reconcile.Reconciler.
func (l *lagging) Reconcile(ctx context.Context, thread int64) (time.Duration, error) {
	since, waits := l.take(thread)
	after, err := l.next.Reconcile(ctx, thread)
	switch {
	case !waits:
	case err != nil || after > 0:
		l.changed(thread, since)
	default:
		l.m.showLag.WithLabelValues().Observe(time.Since(since).Seconds())
	}
	return after, err
}
