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
					b := lot.Begin(table.Room(), rapid.IntRange(0, 500).Draw(t, "expected"), 2)
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
