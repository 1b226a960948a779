// Package admin is what an operator sees: health, readiness, metrics.
package admin

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are all metrics of the poller, each declared once. Labels come from the configuration or a fixed set.
type Metrics struct {
	Registry *prometheus.Registry

	Messages       *prometheus.CounterVec // action
	Skipped        prometheus.Counter
	Dead           prometheus.Counter
	Batches        *prometheus.CounterVec // outcome
	BatchSeconds   prometheus.Histogram
	BatchMessages  prometheus.Histogram
	ReceivedBytes  prometheus.Counter
	BufferBytes    prometheus.Gauge
	Unparsed       *prometheus.CounterVec // table
	Ignored        *prometheus.CounterVec // type: the letter of the message
	Lag            prometheus.Gauge
	ReceivedLSN    prometheus.Gauge
	SettledLSN     prometheus.Gauge
	ConfirmedLSN   prometheus.Gauge
	Connected      prometheus.Gauge
	Sessions       *prometheus.CounterVec // found
	BackfillRows   *prometheus.CounterVec // table
	BackfillTables *prometheus.GaugeVec   // state
	Refetched      prometheus.Counter
	Audited        *prometheus.CounterVec // result
	AuditRepaired  prometheus.Counter
	Repairs        *prometheus.CounterVec // cause, done

	SlotRetained     prometheus.Gauge
	SlotConfirmedLag prometheus.Gauge
	SlotSafe         prometheus.Gauge
	SlotInactive     prometheus.Gauge
	SlotActive       prometheus.Gauge
	SlotStatus       *prometheus.GaugeVec // status
	SlotOldest       prometheus.Gauge
	SlotChecked      prometheus.Gauge
}

// NewMetrics declares and registers them.
func NewMetrics() *Metrics {
	r := prometheus.NewRegistry()
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		r.MustRegister(c)
		return c
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		r.MustRegister(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		r.MustRegister(g)
		return g
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
		r.MustRegister(h)
		return h
	}
	gauges := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		r.MustRegister(g)
		return g
	}
	tables := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "freshet_backfill_tables", Help: "Tables by the state of their backfill."}, []string{"state"})
	r.MustRegister(tables, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &Metrics{
		Registry:       r,
		Messages:       counters("freshet_messages_total", "Messages put into lanes, by action.", "action"),
		Skipped:        counter("freshet_messages_skipped_total", "Messages that the sink had applied before this session began."),
		Dead:           counter("freshet_messages_dead_total", "Messages that could not be written and that the function keeps as dead letters."),
		Batches:        counters("freshet_batches_total", "Attempts to deliver a batch, by outcome.", "outcome"),
		BatchSeconds:   histogram("freshet_batch_seconds", "Time until the function answered.", prometheus.ExponentialBuckets(0.0005, 2, 16)),
		BatchMessages:  histogram("freshet_batch_messages", "Messages in a settled batch.", prometheus.ExponentialBuckets(1, 2, 12)),
		ReceivedBytes:  counter("freshet_received_bytes_total", "Bytes received on the replication connection."),
		BufferBytes:    gauge("freshet_buffer_bytes", "Bytes of messages waiting in lanes or in flight."),
		Unparsed:       counters("freshet_values_unparsed_total", "Values that could not be read as their type and travelled as text.", "table"),
		Ignored:        counters("freshet_control_messages_ignored_total", "Control messages of pgoutput that mean nothing to freshet, by letter.", "type"),
		Lag:            gauge("freshet_lag_seconds", "Age of the oldest commit that is not settled; 0 when nothing waits."),
		ReceivedLSN:    gauge("freshet_received_lsn", "Position in the write-ahead log up to which the stream was read, in bytes."),
		SettledLSN:     gauge("freshet_settled_lsn", "Position up to which everything is in Redis, in bytes."),
		ConfirmedLSN:   gauge("freshet_confirmed_lsn", "Position confirmed to Postgres, in bytes."),
		Connected:      gauge("freshet_connected", "1 while the replication connection is open."),
		Sessions:       counters("freshet_sessions_total", "Sessions opened, by what was found.", "found"),
		BackfillRows:   counters("freshet_backfill_rows_total", "Rows read by backfills, by table.", "table"),
		BackfillTables: tables,
		Refetched:      counter("freshet_rows_refetched_total", "Rows read again because an update left out an unchanged TOAST value."),
		Audited:        counters("freshet_audit_total", "Rows and keys that the standing audit compared, by result: match, missing, stale, orphan, absent (which is right for keys that expire).", "result"),
		AuditRepaired:  counter("freshet_audit_repaired_total", "Keys that the standing audit put right."),
		Repairs:        counters("freshet_repairs_total", "Damage that the opening of a session has found, by cause, and whether it is repaired (yes) or left to a person (no).", "cause", "done"),

		SlotRetained:     gauge("freshet_slot_retained_bytes", "Write-ahead log that Postgres keeps for the slot: from restart_lsn to the log's end."),
		SlotConfirmedLag: gauge("freshet_slot_confirmed_lag_bytes", "Write-ahead log from the slot's confirmed_flush_lsn to the log's end."),
		SlotSafe:         gauge("freshet_slot_safe_wal_bytes", "What can still be written before the slot may be lost; +Inf when max_slot_wal_keep_size does not limit it, 0 once it is lost."),
		SlotInactive:     gauge("freshet_slot_inactive_seconds", "How long nobody has streamed from the slot; 0 while somebody does."),
		SlotActive:       gauge("freshet_slot_active", "1 while somebody streams from the slot, this poller or another."),
		SlotStatus:       gauges("freshet_slot_wal_status", "1 for the slot's wal_status: reserved, extended, unreserved, lost; missing when there is no slot.", "status"),
		SlotOldest:       gauge("freshet_slot_oldest_transaction_seconds", "Age of the oldest open transaction that has written, from whose beginning on log is kept; 0 when there is none."),
		SlotChecked:      gauge("freshet_slot_checked_timestamp_seconds", "When the slot was last looked at, in Unix time; the other freshet_slot metrics are from then."),
	}
}
