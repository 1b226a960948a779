package effect_test

import (
	"fmt"
	"testing"

	"freshet/functions/effect"
)

const benchRows = 1000

// setter sets the same keys in a batch again and again.
type setter struct {
	batch effect.Batch
	keys  [][]byte
}

// newSetter has that many different keys among all.
func newSetter(different int) *setter {
	s := &setter{}
	for i := range benchRows {
		s.keys = append(s.keys, fmt.Appendf(nil, "sequin:products:%d", i%different))
	}
	return s
}

func (s *setter) run() {
	s.batch.Reset()
	for _, key := range s.keys {
		s.batch.Set(key, `{"id":1}`, 0)
	}
}

func BenchmarkBatch(b *testing.B) {
	for _, different := range []int{1000, 100, 1} {
		b.Run(fmt.Sprintf("keys=%d", different), func(b *testing.B) {
			s := newSetter(different)
			b.ReportAllocs()
			for b.Loop() {
				s.run()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchRows), "ns/row")
		})
	}
}

func TestBatch_AllocatesNothingForARow(t *testing.T) {
	s := newSetter(1000)
	s.run()
	if n := testing.AllocsPerRun(10, s.run); n != 0 {
		t.Errorf("%v allocations for %d rows", n, benchRows)
	}
}
