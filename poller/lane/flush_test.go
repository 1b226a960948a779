package lane_test

import "testing"

// A batch that fills up after a flush, before it was taken, leaves nothing behind: the next flush wakes the lane again.
func TestQueue_AFlushWakesAfterABatchFilledUp(t *testing.T) {
	s := newSet(limits())
	q := s.Queue(0)
	add(s, 0, 1, "m")
	s.Flush()
	add(s, 0, 2, "m")
	add(s, 0, 3, "m") // full
	<-q.Ready()
	if c := q.Take(); c == nil || c.Messages() != 3 {
		t.Fatalf("took %+v, want the full batch", c)
	}
	add(s, 0, 4, "m")
	if c := q.Take(); c != nil {
		t.Fatalf("took %q, which was not flushed", c.Body)
	}
	s.Flush()
	select {
	case <-q.Ready():
	default:
		t.Fatal("nobody was woken for the fourth message")
	}
	if c := q.Take(); c == nil || c.Messages() != 1 {
		t.Fatalf("took %+v, want the fourth message", c)
	}
}
