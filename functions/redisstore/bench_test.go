package redisstore_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"freshet/functions/effect"
	"freshet/functions/redisstore"
	"freshet/functions/storetest"
	"freshet/local/race"
	"freshet/local/redistest"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// writer applies the batches of a lane, one after the other.
type writer struct {
	store *redisstore.Store
	batch effect.Batch
}

// newWriter has a session, and a batch of that many keys to set, with values as long as those of local/bench.
func newWriter(t testing.TB, sets int) *writer {
	w := &writer{store: newStore(t, redistest.New(t).URL)}
	ask := exchange.OpenRequest{Sink: "bench", Session: "s1", Source: storetest.Source, Lanes: 8, Confirmed: 100}
	if _, err := w.store.Open(t.Context(), ask, exchange.Plan{}); err != nil {
		t.Fatal(err)
	}
	w.batch.Fence = &change.Fence{Sink: ask.Sink, Session: ask.Session, After: make([]uint64, ask.Lanes), Through: change.Position{Commit: 100}, Seal: 100}
	for i := range sets {
		w.batch.Set(fmt.Appendf(nil, "sequin:items:%d", i), strings.Repeat("x", 216), 0)
	}
	return w
}

func (w *writer) next(t testing.TB) {
	w.batch.Fence.Seq++
	if again, err := w.store.Apply(context.Background(), &w.batch); again || err != nil {
		t.Fatal(again, err)
	}
}

// A fenced batch, Redis included.
func BenchmarkStore_Apply(b *testing.B) {
	for _, sets := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("sets=%d", sets), func(b *testing.B) {
			w := newWriter(b, sets)
			w.next(b)
			b.ReportAllocs()
			for b.Loop() {
				w.next(b)
			}
			b.ReportMetric(float64(b.N*sets)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// What a batch allocates does not grow with its keys.
func TestStore_AllocatesNothingForARow(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector has sync.Pool forget at random")
	}
	const sets, most = 1000, 200
	w := newWriter(t, sets)
	w.next(t)
	if n := testing.AllocsPerRun(10, func() { w.next(t) }); n > most {
		t.Errorf("%v allocations for a batch of %d keys, want at most %d", n, sets, most)
	}
}
