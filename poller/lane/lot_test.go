package lane_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"freshet/poller/lane"
	"freshet/shared/change"
)

// Lots that are handed over become the same messages as those written one by one: in the same order, waited for under the same indexes, and in parts
// that can be read by themselves.
func TestHand_IsTheSameAsOneByOne(t *testing.T) {
	table, other := change.NewFrame(change.Table{Schema: "public", Name: "a"}, []string{"id"}), change.NewFrame(change.Table{Schema: "public", Name: "b"}, []string{"id"})
	rapid.Check(t, func(t *rapid.T) {
		l := lane.Limits{Lanes: 1, BatchMessages: rapid.IntRange(1, 20).Draw(t, "messages"), BatchBytes: rapid.SampledFrom([]int{1 << 10, 1 << 20}).Draw(t, "bytes"), BufferBytes: 1 << 22}
		indexes := map[*lane.Set]*[]string{}
		set := func() *lane.Set {
			var opened []string
			s := lane.NewSet(l, func(_ int, index uint64) { opened = append(opened, fmt.Sprint(index)) })
			s.Short, indexes[s] = true, &opened
			return s
		}
		handed, written := set(), set()
		var tx change.Transaction
		write := func(s *lane.Set, index uint64, a change.Action, f *change.Frame, record string, ordinal uint32) {
			q := s.Queue(0)
			c := q.Begin(index)
			form := c.Form(a, f, &tx)
			c.Body = form.AppendClose(form.NoChanges(append(form.AppendOpen(c.Body, a), record...)), f, &tx, ordinal)
			q.End(change.Position{Commit: tx.Commit, Ordinal: ordinal})
		}
		var got, want []change.Message
		take := func() {
			handed.Flush()
			written.Flush()
			for _, s := range []*lane.Set{handed, written} {
				var firsts []string
				for c := s.Queue(0).Take(); c != nil; c = s.Queue(0).Take() {
					if c.Messages() > l.BatchMessages {
						t.Fatalf("a batch of %d messages", c.Messages())
					}
					all := inParts(t, c)
					firsts = append(firsts, all[0].Record)
					if s == handed {
						got = append(got, all...)
					} else {
						want = append(want, all...)
					}
					s.Release(c)
				}
				if len(firsts) != len(*indexes[s]) {
					t.Fatalf("%d batches, and %d were said to begin", len(firsts), len(*indexes[s]))
				}
				for i, first := range firsts {
					if index := (*indexes[s])[i]; !strings.Contains(first, `"id":`+index+`,`) {
						t.Fatalf("a batch was said to begin at %s, and begins with %s", index, first)
					}
				}
				*indexes[s] = nil
			}
		}
		var lot lane.Lot
		index := uint64(0)
		record := func() string {
			return fmt.Sprintf(`{"id":%d,"v":%q}`, index, strings.Repeat("x", rapid.IntRange(0, 90).Draw(t, "long")))
		}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			tx.Begin(uint32(index), change.LSN(index+1), time.Unix(int64(index), 0))
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				take()
			case 1: // of the stream
				for range rapid.IntRange(1, 7).Draw(t, "n") {
					r := record()
					write(handed, index, change.Update, other, r, uint32(index))
					write(written, index, change.Update, other, r, uint32(index))
					index++
				}
			default:
				first, ordinal := index, uint32(rapid.IntRange(0, 5).Draw(t, "ordinal"))
				var records []string
				var ordinals []uint32
				for range rapid.IntRange(1, 24).Draw(t, "n") {
					r := record()
					b := lot.Begin(handed.Body, table.Room(), rapid.IntRange(0, 500).Draw(t, "expected"), 2)
					from := len(b)
					lot.End(append(b, r...), from, ordinal)
					records, ordinals = append(records, r), append(ordinals, ordinal)
					write(written, index, change.Read, table, r, ordinal)
					index++
					ordinal += uint32(rapid.IntRange(1, 3).Draw(t, "gap"))
				}
				if lot.Len() != len(records) || lot.Ordinal(0) != ordinals[0] {
					t.Fatalf("%d messages from %d on, want %d from %d on", lot.Len(), lot.Ordinal(0), len(records), ordinals[0])
				}
				if handed.Queue(0).Takes(&lot) {
					handed.Queue(0).Hand(first, &lot, change.Read, table, &tx)
				} else {
					for i, r := range records {
						write(handed, first+uint64(i), change.Read, table, r, ordinals[i])
					}
					lot.Reset()
				}
				if lot.Len() != 0 {
					t.Fatal("a lot that was handed over has messages")
				}
			}
		}
		take()
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(change.Message{})); diff != "" {
			t.Fatal(diff)
		}
		if n := handed.Bytes(); n != 0 {
			t.Fatalf("%d bytes are held after all was released", n)
		}
	})
}

// lotOf is a lot with so many messages.
func lotOf(s *lane.Set, f *change.Frame, messages int) *lane.Lot {
	var l lane.Lot
	for i := range messages {
		b := l.Begin(s.Body, f.Room(), 0, 0)
		l.End(append(b, `{"id":1}`...), len(b), uint32(i))
	}
	return &l
}

// Two usual batches in one cost half of the work around them; a batch that grows with the distance may be larger still.
func TestTakes_ALotIsAsLargeAsTwoBatches(t *testing.T) {
	frame := change.NewFrame(change.Table{Schema: "public", Name: "a"}, []string{"id"})
	for _, c := range []struct{ most, stretched, want int }{{4800, 0, 2400}, {4800, 4000, 4000}, {1500, 0, 1500}, {1000, 0, 1000}} {
		s := lane.NewSet(lane.Limits{Lanes: 1, BatchMessages: c.most, BatchBytes: 1 << 20, BufferBytes: 1 << 22}, func(int, uint64) {})
		s.Short = true
		s.Stretch(c.stretched)
		if s.LotMessages() != c.want {
			t.Errorf("of %d messages, stretched to %d: a lot may have %d, want %d", c.most, c.stretched, s.LotMessages(), c.want)
		}
		if q := s.Queue(0); !q.Takes(lotOf(s, frame, c.want)) || q.Takes(lotOf(s, frame, c.want+1)) {
			t.Errorf("of %d messages, stretched to %d: a lot of just %d is to be taken", c.most, c.stretched, c.want)
		}
	}
}

// lotIn is a lot of one message in this memory.
func lotIn(body []byte, f *change.Frame) *lane.Lot {
	var l lane.Lot
	b := l.Begin(func(int) []byte { return body }, f.Room(), cap(body)-f.Room(), 1)
	l.End(append(b, `{"id":1}`...), len(b), 0)
	return &l
}

// Memory goes round: from a lot to its lane, and when that has been sent to the next lot, or to messages of the stream.
func TestBody_IsUsedAgain(t *testing.T) {
	frame := change.NewFrame(change.Table{Schema: "public", Name: "a"}, []string{"id"})
	s := lane.NewSet(lane.Limits{Lanes: 1, BatchMessages: 100, BatchBytes: 1 << 16, BufferBytes: 1 << 20}, func(int, uint64) {})
	s.Short = true
	var tx change.Transaction
	tx.Begin(1, 1, time.Unix(0, 0))
	const room = 10_000
	first := s.Body(room)
	lot := lotIn(first, frame)
	if s.Queue(0).Hand(0, lot, change.Read, frame, &tx); lot.Cap() != 0 {
		t.Error("a lot that was handed over has memory")
	}
	s.Flush()
	s.Release(s.Queue(0).Take())
	if larger := s.Body(2 * room); cap(larger) < 2*room {
		t.Errorf("memory for %d bytes has room for %d", 2*room, cap(larger))
	}
	if again := s.Body(room); &again[:1][0] != &first[:1][0] {
		t.Error("memory was not used again")
	}
	if other := s.Body(room); &other[:1][0] == &first[:1][0] {
		t.Error("memory is used twice")
	}
}

// The small pages at the beginning of a backfill do not leave memory behind that is of no use to the large ones.
func TestBody_LargerMemoryIsKeptRatherThanSmaller(t *testing.T) {
	frame := change.NewFrame(change.Table{Schema: "public", Name: "a"}, []string{"id"})
	s := lane.NewSet(lane.Limits{Lanes: 1, BatchMessages: 100, BatchBytes: 1 << 16, BufferBytes: 1 << 20}, func(int, uint64) {})
	s.Short = true
	var tx change.Transaction
	tx.Begin(1, 1, time.Unix(0, 0))
	used := func(sizes ...int) {
		var chunks []*lane.Chunk
		for _, size := range sizes {
			s.Queue(0).Hand(0, lotIn(make([]byte, 0, size), frame), change.Read, frame, &tx)
			s.Flush()
			chunks = append(chunks, s.Queue(0).Take())
		}
		for _, c := range chunks {
			s.Release(c)
		}
	}
	const small, large = 2_000, 20_000
	used(small, small, small)
	used(large, large, small)
	for range 2 {
		if body := s.Body(large / 2); cap(body) != large {
			t.Errorf("memory for %d bytes has %d, not the %d that were there", large/2, cap(body), large)
		}
	}
}
