package backfill

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// remember takes in numbers, a page at a time, as if they were primary keys of t.
func (s *seen) remember(from, to int) {
	if s.slots == nil {
		s.seed = maphash.MakeSeed()
	}
	const page = 5000
	for ; from < to; from += page {
		begin := s.begin("t")
		for i := from; i < min(to, from+page); i++ {
			s.name = strconv.AppendInt(s.name[:begin], int64(i), 10)
			s.hash()
		}
		s.insert()
	}
}

func numbers(from, to int) (texts []string) {
	for i := from; i < to; i++ {
		texts = append(texts, strconv.Itoa(i))
	}
	return texts
}

// What is added after a look is known as well, whatever the table has grown to, and nothing else is.
func TestSeen_AddsAndLooksInTurn(t *testing.T) {
	const most = 4000
	rapid.Check(t, func(t *rapid.T) {
		var s seen
		known := make([]bool, most)
		for range rapid.IntRange(1, 12).Draw(t, "rounds") {
			from := rapid.IntRange(0, most-1).Draw(t, "from")
			to := min(most, from+rapid.IntRange(0, 1500).Draw(t, "many"))
			s.remember(from, to)
			for i := from; i < to; i++ {
				known[i] = true
			}
			var want []string
			n := 0
			for i, k := range known {
				if !k {
					want = append(want, strconv.Itoa(i))
				} else {
					n++
				}
			}
			if got := s.without("t", numbers(0, most)); !slices.Equal(got, want) || s.n != n {
				t.Fatalf("%d are known; left %d, want %d and %d", s.n, len(got), n, len(want))
			}
		}
	})
}

func TestSeen_IsBounded(t *testing.T) {
	const more = 1000
	var s seen
	s.remember(0, mostSeen+more)
	if got := len(s.without("t", numbers(0, mostSeen))); got > 0 {
		t.Errorf("of the first million %d are unknown", got)
	}
	if got := len(s.without("t", numbers(mostSeen, mostSeen+more))); got != more {
		t.Errorf("of the next %d only %d are unknown", more, got)
	}
	if bytes := 8 * cap(s.slots); bytes > 8<<20 {
		t.Errorf("it takes %d bytes", bytes)
	}
}

// The time that a million keys take to be remembered, and those of one answer to be looked for.
func BenchmarkSeen(b *testing.B) {
	const answer = 2000
	for _, n := range []int{500_000, mostSeen} {
		b.Run(fmt.Sprintf("add/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var s seen
				s.remember(0, n)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/key")
		})
		var s seen
		s.remember(0, n)
		all, keys := numbers(0, 2*mostSeen), make([]string, answer)
		for name, first := range map[string]int{"known": 0, "unknown": mostSeen} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for at := 0; b.Loop(); at = (at + answer) % n {
					copy(keys, all[first+at:])
					if left := s.without("t", keys); len(left) != 0 && len(left) != answer {
						b.Fatal(len(left))
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/answer, "ns/key")
			})
		}
	}
}
