package app

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/reconcile"
	"kovra.dev/chatops/storage"
)

// metrics are what /metrics shows. Labels come from small fixed sets.
type metrics struct {
	registry   *prometheus.Registry
	requests   *prometheus.CounterVec
	deliveries *prometheus.CounterVec
	passes     *prometheus.CounterVec
	took       *prometheus.HistogramVec
	calls      *prometheus.CounterVec
}

func newMetrics(db *storage.DB) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kovra_requests_total", Help: "Requests from GitLab and Slack by route and how they ended.",
		}, []string{"route", "outcome"}),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kovra_deliveries_total", Help: "GitLab webhooks by kind and what became of them.",
		}, []string{"kind", "outcome"}),
		passes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kovra_reconcile_total", Help: "Passes of the loops by outcome.",
		}, []string{"loop", "outcome"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kovra_reconcile_seconds", Help: "Time of a pass of a loop.",
			Buckets: []float64{.001, .005, .025, .1, .5, 2, 10, 60},
		}, []string{"loop"}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kovra_peer_calls_total", Help: "Calls to Slack, GitLab and Kubernetes by HTTP status class; error: no answer.",
		}, []string{"peer", "status"}),
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.requests, m.deliveries, m.passes, m.took, m.calls,
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "kovra_commits_total", Help: "Committed write transactions.",
		}, func() float64 { return float64(db.Commits()) }),
	)
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

func (m *metrics) request(route, outcome string) { m.requests.WithLabelValues(route, outcome).Inc() }

func (m *metrics) delivery(kind string, outcome kovra.DeliveryOutcome) {
	m.deliveries.WithLabelValues(kind, string(outcome)).Inc()
}

func (m *metrics) pass(loop string, outcome reconcile.Outcome, took time.Duration) {
	m.passes.WithLabelValues(loop, string(outcome)).Inc()
	m.took.WithLabelValues(loop).Observe(took.Seconds())
}

// watch shows how many keys wait in a loop, and for how long the oldest has.
func (m *metrics) watch(l *reconcile.Loop[int64]) {
	labels := prometheus.Labels{"loop": l.Name()}
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "kovra_reconcile_waiting", Help: "Keys that wait for a pass.", ConstLabels: labels,
		}, func() float64 { return float64(l.Len()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "kovra_reconcile_oldest_seconds", Help: "How long the oldest key has waited.", ConstLabels: labels,
		}, func() float64 { return l.OldestAge().Seconds() }),
	)
}

// counting counts the calls to a peer.
type counting struct {
	peer string
	next http.RoundTripper
	m    *metrics
}

// RoundTrip implements [http.RoundTripper].
func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(r)
	status := "error"
	if err == nil {
		status = strconv.Itoa(resp.StatusCode/100) + "xx"
		if resp.StatusCode == http.StatusTooManyRequests {
			status = "429"
		}
	}
	c.m.calls.WithLabelValues(c.peer, status).Inc()
	return resp, err
}
