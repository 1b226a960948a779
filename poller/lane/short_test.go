package lane_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"freshet/poller/lane"
	"freshet/shared/change"
)

// A batch of messages that leave out what the one before them says means the same as one of whole messages, in however many parts it is sent.
func TestChunk_ShortMessagesSayTheSame(t *testing.T) {
	frames := []*change.Frame{change.NewFrame(change.Table{Schema: "public", Name: "a"}, []string{"id"}), change.NewFrame(change.Table{Schema: "odd \"schema\"", Name: "b"}, []string{"x", "y"})}
	rapid.Check(t, func(t *rapid.T) {
		l := lane.Limits{Lanes: 1, BatchMessages: rapid.IntRange(1, 20).Draw(t, "messages"), BatchBytes: 1 << 20, BufferBytes: 1 << 22}
		short, long := newSet(l), newSet(l)
		short.Short = true
		var tx change.Transaction
		tx.Begin(1, 1, time.Unix(0, 0))
		write := func(s *lane.Set, a change.Action, f *change.Frame, record, changes string, at change.Position) {
			q := s.Queue(0)
			c := q.Begin(0)
			form := c.Form(a, f, &tx)
			b := append(form.AppendOpen(c.Body, a), record...)
			if changes != "" {
				b = append(change.AppendChanges(b), changes...)
			} else {
				b = form.NoChanges(b)
			}
			c.Body = form.AppendClose(b, f, &tx, at.Ordinal)
			q.End(at)
		}
		take := func() {
			short.Flush()
			long.Flush()
			for {
				got, want := short.Queue(0).Take(), long.Queue(0).Take()
				if (got == nil) != (want == nil) {
					t.Fatalf("took %v, want %v", got, want)
				}
				if got == nil {
					break
				}
				if len(got.Body) > len(want.Body) {
					t.Fatalf("short messages take %d bytes, whole ones %d", len(got.Body), len(want.Body))
				}
				if diff := cmp.Diff(inParts(t, want), inParts(t, got), cmpopts.IgnoreUnexported(change.Message{})); diff != "" {
					t.Fatalf("%s\n%s\n%s", got.Body, want.Body, diff)
				}
				short.Release(got)
				long.Release(want)
			}
		}
		commit := change.LSN(1)
		for n := range rapid.IntRange(1, 60).Draw(t, "n") {
			if rapid.IntRange(0, 5).Draw(t, "commit") == 0 {
				commit++
				tx.Begin(uint32(commit), commit, time.Unix(int64(commit), 0))
			}
			a := rapid.SampledFrom([]change.Action{change.Insert, change.Insert, change.Insert, change.Update, change.Delete}).Draw(t, "action")
			f := frames[rapid.IntRange(0, 4).Draw(t, "table")/4]
			record, changes := fmt.Sprintf(`{"id":%d,"v":["a"]}`, n), rapid.SampledFrom([]string{"", "", `{"v":[]}`}).Draw(t, "changes")
			write(short, a, f, record, changes, change.Position{Commit: commit, Ordinal: uint32(n)})
			write(long, a, f, record, changes, change.Position{Commit: commit, Ordinal: uint32(n)})
			if rapid.IntRange(0, 9).Draw(t, "take") == 0 {
				take()
			}
		}
		take()
	})
}

// inParts splits a chunk as often as it is drawn, and reads each part by itself.
func inParts(t *rapid.T, c *lane.Chunk) []change.Message {
	if rapid.Bool().Draw(t, "split") {
		if front, back, ok := c.Split(); ok {
			if front.Messages()+back.Messages() != c.Messages() || back.Last != c.Last {
				t.Fatalf("%+v was split into %+v and %+v", c, front, back)
			}
			return append(inParts(t, front), inParts(t, back)...)
		}
	}
	b, err := change.ParseBatch([]byte(`{"messages":[` + string(c.Body) + `]}`))
	if err != nil {
		t.Fatalf("%s: %v", c.Body, err)
	}
	if n := len(b.Messages); n != c.Messages() || b.Messages[n-1].Metadata.Position != c.Last {
		t.Fatalf("%d messages to %s, want %d to %s", n, b.Messages[n-1].Metadata.Position, c.Messages(), c.Last)
	}
	return b.Messages
}
