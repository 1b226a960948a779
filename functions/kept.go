package functions

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freshet/shared/exchange"
)

// kept counts the dead letters of the sinks that this instance has seen, when metrics are asked for.
type kept struct {
	letters Letters
	desc    *prometheus.Desc

	mu    sync.RWMutex
	sinks map[string]bool
}

func newKept(l Letters) *kept {
	return &kept{letters: l, sinks: map[string]bool{}, desc: prometheus.NewDesc("freshet_fn_dead_letters", "Messages that could not be written and are kept as dead letters, by sink.", []string{"sink"}, nil)}
}

// mostSinks bounds what is remembered: requests may name any sink.
const mostSinks = 100

func (k *kept) seen(sink string) {
	sink = cmp.Or(sink, exchange.DefaultSink)
	k.mu.RLock()
	known := k.sinks[sink] || len(k.sinks) >= mostSinks
	k.mu.RUnlock()
	if known {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sinks[sink] = true
}

// Describe is for the registry.
func (k *kept) Describe(to chan<- *prometheus.Desc) { to <- k.desc }

// Collect leaves out what Redis does not tell in time: no figure is better than an old one.
func (k *kept) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	k.mu.RLock()
	defer k.mu.RUnlock()
	for sink := range k.sinks {
		if n, err := k.letters.Kept(ctx, sink); err == nil {
			to <- prometheus.MustNewConstMetric(k.desc, prometheus.GaugeValue, float64(n), sink)
		}
	}
}
