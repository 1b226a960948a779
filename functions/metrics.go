package functions

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"freshet/shared/exchange"
)

// Metrics is everything the function counts.
type Metrics struct {
	registry *prometheus.Registry
	batches  *prometheus.CounterVec
	messages *prometheus.CounterVec
	compared *prometheus.CounterVec
	swept    prometheus.Counter
	bytes    prometheus.Counter
	apply    prometheus.Histogram
	request  *prometheus.HistogramVec
}

// seconds spans a heartbeat on a fast network and a truncate of a large table.
var seconds = []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 20}

// NewMetrics declares them.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		batches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "freshet_fn_batches_total", Help: "Batches by what their answer meant: settled, dry_run, retry, held, too_large, lost, fenced.",
		}, []string{"outcome"}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "freshet_fn_messages_total", Help: "Messages of settled batches by their fate: written, deleted, filtered, dead, duplicate.",
		}, []string{"fate"}),
		compared: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "freshet_fn_compared_total", Help: "Keys compared with their rows, by what came of it: match, missing, stale, orphan, absent; poison counts messages that cannot be written.",
		}, []string{"result"}),
		swept:   prometheus.NewCounter(prometheus.CounterOpts{Name: "freshet_fn_swept_total", Help: "Keys removed that no row can have."}),
		bytes:   prometheus.NewCounter(prometheus.CounterOpts{Name: "freshet_fn_batch_bytes_total", Help: "Bytes of the bodies of batches."}),
		apply:   prometheus.NewHistogram(prometheus.HistogramOpts{Name: "freshet_fn_apply_seconds", Help: "Time from the body of a batch to its outcome, mostly that of Redis.", Buckets: seconds}),
		request: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "freshet_fn_request_seconds", Help: "Time of a whole request, reading the body included.", Buckets: seconds}, []string{"route"}),
	}
	m.registry.MustRegister(m.batches, m.messages, m.compared, m.swept, m.bytes, m.apply, m.request,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// settled counts a batch that was answered with 200.
func (m *Metrics) settled(r exchange.Receipt) {
	m.batches.WithLabelValues(exchange.Settled.String()).Inc()
	for _, of := range []struct {
		fate string
		n    int
	}{{"written", r.Written}, {"deleted", r.Deleted}, {"filtered", r.Filtered}, {"dead", r.Dead}, {"duplicate", r.Duplicate}} {
		m.messages.WithLabelValues(of.fate).Add(float64(of.n))
	}
}

// verified counts a comparison.
func (m *Metrics) verified(c exchange.Comparison) {
	for _, of := range []struct {
		result string
		n      int
	}{{"match", c.Match}, {"missing", c.Missing}, {"stale", c.Stale}, {"orphan", c.Orphan}, {"absent", c.Absent}, {"poison", c.Poison}} {
		m.compared.WithLabelValues(of.result).Add(float64(of.n))
	}
}

// dryRun counts a batch that only asked.
func (m *Metrics) dryRun() { m.batches.WithLabelValues("dry_run").Inc() }

// refused counts a batch that was answered otherwise.
func (m *Metrics) refused(status int, reason string) {
	m.batches.WithLabelValues(exchange.Judge(status, reason).String()).Inc()
}

func (m *Metrics) applied(began time.Time) { m.apply.Observe(time.Since(began).Seconds()) }

func (m *Metrics) answered(route string, began time.Time) {
	m.request.WithLabelValues(route).Observe(time.Since(began).Seconds())
}
