package lane_test

import (
	"fmt"
	"strings"
	"testing"

	"freshet/poller/lane"
	"freshet/shared/change"
)

const benchMessages = 1000

// filler puts messages of ordinary length into lanes in turn, and plays the sink: what is full is taken and given back.
type filler struct {
	set     *lane.Set
	message string
	ordinal uint32
}

func newFiller(lanes int) *filler {
	l := lane.Limits{Lanes: lanes, BatchMessages: benchMessages, BatchBytes: 1 << 20, BufferBytes: 1 << 24}
	return &filler{set: newSet(l), message: strings.Repeat("x", 432)}
}

// run fills one batch of each lane.
func (f *filler) run() {
	for range benchMessages * f.set.Len() {
		f.ordinal++
		q := f.set.Of(uint64(f.ordinal))
		c := q.Begin(uint64(f.ordinal))
		c.Body = append(c.Body, f.message...)
		q.End(change.Position{Commit: 1, Ordinal: f.ordinal})
	}
	for i := range f.set.Len() {
		f.set.Release(f.set.Queue(i).TakeFull())
	}
}

func BenchmarkQueue(b *testing.B) {
	for _, lanes := range []int{1, 8} {
		b.Run(fmt.Sprintf("lanes=%d", lanes), func(b *testing.B) {
			f := newFiller(lanes)
			f.run() // for its memory
			b.SetBytes(int64(benchMessages * lanes * len(f.message)))
			b.ReportAllocs()
			for b.Loop() {
				f.run()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchMessages*lanes), "ns/row")
		})
	}
}

func TestQueue_AllocatesNothingForARow(t *testing.T) {
	f := newFiller(8)
	f.run()
	if n := testing.AllocsPerRun(10, f.run); n != 0 {
		t.Errorf("%v allocations for 8 batches of %d rows", n, benchMessages)
	}
}
