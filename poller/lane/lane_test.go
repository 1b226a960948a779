package lane_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"freshet/poller/lane"
	"freshet/shared/change"
)

func limits() lane.Limits {
	return lane.Limits{Lanes: 2, BatchMessages: 3, BatchBytes: 1024, BufferBytes: 4096}
}

func newSet(l lane.Limits) *lane.Set { return lane.NewSet(l, func(int, uint64) {}) }

func add(s *lane.Set, number int, ordinal uint32, text string) {
	q := s.Queue(number)
	c := q.Begin(uint64(ordinal))
	c.Body = append(c.Body, text...)
	q.End(change.Position{Commit: 1, Ordinal: ordinal})
}

func TestQueue_GathersUntilAskedTo(t *testing.T) {
	s := newSet(limits())
	add(s, 0, 1, "a")
	add(s, 0, 2, "b")
	if c := s.Queue(0).Take(); c != nil {
		t.Fatalf("took %q before anything was ready", c.Body)
	}
	s.Flush()
	c := s.Queue(0).Take()
	if c == nil || string(c.Body) != "a,b" || c.Messages() != 2 || c.Last.Ordinal != 2 {
		t.Fatalf("took %+v", c)
	}
	if s.Queue(0).Take() != nil {
		t.Error("took the same messages twice")
	}
}

func TestQueue_FullBatchIsReadyByItself(t *testing.T) {
	s := newSet(limits())
	for i := range uint32(4) {
		add(s, 0, i, "m")
	}
	if c := s.Queue(0).Take(); c == nil || c.Messages() != 3 {
		t.Fatalf("took %+v, want the full batch of 3", c)
	}
	if c := s.Queue(0).Take(); c != nil {
		t.Errorf("took %q, which was not ready", c.Body)
	}
}

func TestQueue_AloneStaysAlone(t *testing.T) {
	s := newSet(limits())
	q := s.Queue(0)
	c := q.Begin(0)
	c.Alone = true
	c.Body = append(c.Body, "truncate"...)
	q.End(change.Position{})
	add(s, 0, 1, "after")
	s.Flush()
	if c := q.Take(); string(c.Body) != "truncate" {
		t.Errorf("took %q first", c.Body)
	}
	if c := q.Take(); string(c.Body) != "after" {
		t.Errorf("took %q second", c.Body)
	}
}

func TestQueue_TellsTheFirstIndexOfEachBatch(t *testing.T) {
	var opened []string
	s := lane.NewSet(limits(), func(lane int, index uint64) { opened = append(opened, fmt.Sprint(lane, ":", index)) })
	for i := range uint32(4) {
		add(s, 1, 10+i, "m")
	}
	if got := strings.Join(opened, " "); got != "1:10 1:13" {
		t.Errorf("opened %s", got)
	}
}

func TestChunk_SplitKeepsTextAndPlaces(t *testing.T) {
	l := limits()
	l.BatchMessages = 5
	s := newSet(l)
	for i := range uint32(5) {
		add(s, 0, i, strings.Repeat(fmt.Sprint(i), int(i)+1))
	}
	c := s.Queue(0).Take()
	front, back, ok := c.Split()
	if !ok || string(front.Body) != "0,11" || string(back.Body) != "222,3333,44444" {
		t.Fatalf("split into %q and %q", front.Body, back.Body)
	}
	if front.Last.Ordinal != 1 || back.Last.Ordinal != 4 || front.Messages() != 2 || back.Messages() != 3 {
		t.Errorf("split into %+v and %+v", front, back)
	}
	left, right, ok := back.Split()
	if !ok || string(left.Body) != "222" || string(right.Body) != "3333,44444" {
		t.Errorf("split again into %q and %q", left.Body, right.Body)
	}
	if _, _, ok := left.Split(); ok {
		t.Error("split a single message")
	}
}

func TestSet_BufferIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSet(limits())
		for i := range uint32(5) {
			add(s, 0, i, strings.Repeat("x", 1000))
		}
		if !s.Full() {
			t.Fatalf("not full with %d bytes", s.Bytes())
		}
		waited := make(chan error, 1)
		go func() { waited <- s.WaitRoom(t.Context()) }()
		synctest.Wait()
		select {
		case <-waited:
			t.Fatal("there was room although nothing was settled")
		default:
		}
		for c := s.Queue(0).Take(); c != nil; c = s.Queue(0).Take() {
			s.Release(c)
		}
		if err := <-waited; err != nil || s.Bytes() != 0 {
			t.Errorf("err %v, %d bytes left", err, s.Bytes())
		}
	})
}

func TestSet_DrainWaitsForReleaseAndHearsItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSet(limits())
		add(s, 1, 0, "m")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("drained with %v although a batch is pending", err)
		}
		c := s.Queue(1).Take() // Drain made it ready
		done := make(chan error, 1)
		go func() { done <- s.Drain(t.Context()) }()
		synctest.Wait()
		s.Release(c)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A quarter of what a batch may be, in messages or bytes, is large.
func TestQueue_TellsHowLargeItsPartIs(t *testing.T) {
	l := limits()
	l.Lanes, l.BatchMessages, l.BatchBytes = 1, 8, 40
	for _, c := range []struct {
		messages     []string
		flush        bool
		ready, large bool
	}{
		{nil, true, false, false},
		{[]string{"a"}, false, false, false},
		{[]string{"a"}, true, true, false},
		{[]string{"a", "b"}, true, true, true},
		{[]string{"aaaaaaaaaa"}, true, true, true},
		{[]string{"aaaaaaaaa"}, true, true, false},
	} {
		s := newSet(l)
		for i, text := range c.messages {
			add(s, 0, uint32(i), text)
		}
		if c.flush {
			s.Flush()
		}
		if ready, large := s.Queue(0).Partial(); ready != c.ready || large != c.large {
			t.Errorf("%q, flushed %v: ready %v, large %v", c.messages, c.flush, ready, large)
		}
	}
}
