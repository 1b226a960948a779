// Package lane cuts the stream into ordered shares. Every key belongs to exactly one lane, so that lanes may
// run beside each other without any key ever seeing its changes out of order.
package lane

import (
	"sync"

	"freshet/shared/change"
)

// Queue holds one lane's messages until a request is free to carry them. One goroutine adds, another takes. It has no clock: messages
// become ready when a batch is full, or when Set.Flush says that nothing more is waiting to be read.
type Queue struct {
	set   *Set
	lane  int
	wake  chan struct{}
	mu    sync.Mutex
	full  []*Chunk
	open  *Chunk
	ready bool
}

// Begin locks the lane and returns the chunk to whose Body one message is to be appended; End must follow.
// index is the message's place in the stream, for the tracker.
func (q *Queue) Begin(index uint64) *Chunk { return q.begin(index, nil) }

// BeginCompare is Begin for a row that is to be compared. Such rows share their chunks with no others.
func (q *Queue) BeginCompare(index uint64, with *Comparison, row int) *Chunk {
	c := q.begin(index, with)
	c.rows = append(c.rows, row)
	return c
}

func (q *Queue) begin(index uint64, with *Comparison) *Chunk {
	q.mu.Lock()
	if q.open != nil && q.open.Compare != with {
		q.close()
		q.signal()
	}
	if q.open == nil {
		q.open = q.set.take()
		q.open.Compare = with
		q.set.opened(q.lane, index)
	}
	if len(q.open.ends) > 0 {
		q.open.Body = append(q.open.Body, ',')
	}
	return q.open
}

// End completes the message and unlocks the lane.
func (q *Queue) End(at change.Position) {
	c := q.open
	before := 0
	if len(c.ends) > 0 {
		before = c.ends[len(c.ends)-1]
	}
	c.ends = append(c.ends, len(c.Body))
	c.places = append(c.places, at)
	c.Last = at
	added := len(c.Body) - before
	isFull := c.Alone || len(c.ends) >= q.set.limits.BatchMessages || len(c.Body) >= q.set.limits.BatchBytes
	if isFull {
		q.close()
	}
	q.mu.Unlock()
	q.set.used.Add(int64(added))
	if isFull {
		q.signal()
	}
}

// Cancel takes back what was appended since Begin, and unlocks the lane. The stream is given up after it.
func (q *Queue) Cancel() {
	c := q.open
	before := 0
	if len(c.ends) > 0 {
		before = c.ends[len(c.ends)-1]
	}
	c.Body = c.Body[:before]
	q.mu.Unlock()
}

// close moves the open chunk behind the full ones.
func (q *Queue) close() {
	q.open.Full = true
	q.full = append(q.full, q.open)
	q.open, q.ready = nil, false
}

// flush makes ready what has gathered.
func (q *Queue) flush() {
	q.mu.Lock()
	some := q.open != nil && !q.ready
	if some {
		q.ready = true
	}
	q.mu.Unlock()
	if some {
		q.signal()
	}
}

func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Ready is sent to when Take may have something.
func (q *Queue) Ready() <-chan struct{} { return q.wake }

// TakeFull returns the oldest full chunk, nil when there is none. The caller gives it back with Set.Release.
func (q *Queue) TakeFull() *Chunk {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.takeFull()
}

func (q *Queue) takeFull() *Chunk {
	if len(q.full) == 0 {
		return nil
	}
	c := q.full[0]
	q.full = append(q.full[:0], q.full[1:]...)
	return c
}

// Partial says that a chunk which is not full is ready.
func (q *Queue) Partial() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.open != nil && q.ready
}

// Take returns the oldest chunk that is ready, full or not, nil when there is none.
func (q *Queue) Take() *Chunk {
	q.mu.Lock()
	defer q.mu.Unlock() // all the way: between two looks the open chunk may become full, and the next one be opened
	if c := q.takeFull(); c != nil {
		return c
	}
	if q.open == nil || !q.ready {
		return nil
	}
	c := q.open
	q.open, q.ready = nil, false
	return c
}
