package lane_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"freshet/poller/lane"
	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// A run of messages becomes the same chunks as one message after the other does, and is waited for under the same indexes.
func TestRun_IsTheSameAsOneByOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := lane.Limits{Lanes: 1, BatchMessages: rapid.IntRange(1, 6).Draw(t, "messages"), BatchBytes: rapid.IntRange(1, 40).Draw(t, "bytes"), BufferBytes: 1 << 20}
		var opened, openedOne []uint64
		s, one := lane.NewSet(l, func(_ int, index uint64) { opened = append(opened, index) }), lane.NewSet(l, func(_ int, index uint64) { openedOne = append(openedOne, index) })
		for index := uint64(0); index < 40; {
			run := s.Queue(0).Run(nil)
			for range rapid.IntRange(0, 12).Draw(t, "run") {
				at, text := change.Position{Commit: 7, Ordinal: uint32(index)}, rapid.StringN(0, 12, 20).Draw(t, "message")
				c := run.Begin(index, 0)
				c.Body = append(c.Body, text...)
				run.End(at)
				c = one.Queue(0).Begin(index)
				c.Body = append(c.Body, text...)
				one.Queue(0).End(at)
				index++
			}
			run.Close()
			if s.Bytes() != one.Bytes() {
				t.Fatalf("%d bytes are held, want %d", s.Bytes(), one.Bytes())
			}
			if rapid.Bool().Draw(t, "flush") {
				s.Flush()
				one.Flush()
			}
			if got, want := ready(s.Queue(0)), ready(one.Queue(0)); got != want {
				t.Fatalf("woken %v, want %v", got, want)
			}
			for {
				got, want := s.Queue(0).Take(), one.Queue(0).Take()
				if (got == nil) != (want == nil) || got != nil && fmt.Sprintf("%+v", *got) != fmt.Sprintf("%+v", *want) {
					t.Fatalf("took %+v, want %+v", got, want)
				}
				if got == nil {
					break
				}
				s.Release(got)
				one.Release(want)
			}
		}
		if fmt.Sprint(opened) != fmt.Sprint(openedOne) {
			t.Fatalf("batches began at %v, want %v", opened, openedOne)
		}
	})
}

func ready(q *lane.Queue) bool {
	select {
	case <-q.Ready():
		return true
	default:
		return false
	}
}

// Rows that are compared are alone in their chunks, which know them by their number.
func TestRun_ComparesApart(t *testing.T) {
	s, told := newSet(limits()), ""
	with := &lane.Comparison{Done: func(rows []int, _ exchange.Comparison, _ *problem.Error) { told += fmt.Sprint(rows) }}
	add(s, 0, 0, "w")
	for i, text := range []string{"a", "b", "c", "d"} {
		run := s.Queue(0).Run(with)
		c := run.Begin(uint64(i+1), 10+i)
		c.Body = append(c.Body, text...)
		run.End(change.Position{Commit: 1, Ordinal: uint32(i + 1)})
		run.Close()
	}
	add(s, 0, 5, "x")
	s.Flush()
	var got []string
	for c := s.Queue(0).Take(); c != nil; c = s.Queue(0).Take() {
		got = append(got, string(c.Body))
		if c.Compare != nil {
			c.Tell(exchange.Comparison{}, nil)
		}
	}
	if fmt.Sprint(got, told) != "[w a,b,c d x][10 11 12][13]" {
		t.Errorf("took %q, rows %s", got, told)
	}
}
