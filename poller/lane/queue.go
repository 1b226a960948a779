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
func (q *Queue) Begin(index uint64) *Chunk {
	q.mu.Lock()
	return q.begin(index, nil)
}

// begin opens a chunk when there is none that the message may share. Called with the lock.
func (q *Queue) begin(index uint64, with *Comparison) *Chunk {
	if q.open != nil && q.open.Compare != with {
		q.close()
		q.signal()
	}
	if q.open == nil {
		q.begun(q.set.take(), index)
		q.open.Compare = with
	}
	if len(q.open.ends) > 0 {
		q.open.Body = append(q.open.Body, ',')
	}
	return q.open
}

// begun makes c the open chunk, the first message of which has this index. Called with the lock.
func (q *Queue) begun(c *Chunk, index uint64) {
	q.open = c
	q.set.opened(q.lane, index)
}

// End completes the message and unlocks the lane.
func (q *Queue) End(at change.Position) {
	added, isFull := q.end(at)
	q.mu.Unlock()
	q.set.used.Add(int64(added))
	if isFull {
		q.signal()
	}
}

// end completes the message, and closes its chunk when that is full now. Called with the lock.
func (q *Queue) end(at change.Position) (added int, isFull bool) {
	c := q.open
	before := 0
	if len(c.ends) > 0 {
		before = c.ends[len(c.ends)-1]
	}
	c.ends = append(c.ends, len(c.Body))
	c.places = append(c.places, at)
	c.Last = at
	isFull = c.Alone || len(c.ends) >= q.set.messages() || len(c.Body) >= q.set.limits.BatchBytes
	added = len(c.Body) - before
	if isFull {
		q.close()
	}
	return added, isFull
}

// Run is many messages for one lane, which is locked once for all of them.
type Run struct {
	queue *Queue
	with  *Comparison
	added int
	full  bool
}

// Run locks the lane until Close. with is nil but for rows that are to be compared; such rows share their chunks with no others.
func (q *Queue) Run(with *Comparison) Run {
	q.mu.Lock()
	return Run{queue: q, with: with}
}

// Begin is Queue.Begin for the next message. row is which row it is, for a comparison.
func (r *Run) Begin(index uint64, row int) *Chunk {
	c := r.queue.begin(index, r.with)
	if r.with != nil {
		c.rows = append(c.rows, row)
	}
	return c
}

// End completes the message.
func (r *Run) End(at change.Position) {
	added, isFull := r.queue.end(at)
	r.added += added
	r.full = r.full || isFull
}

// Close unlocks the lane.
func (r *Run) Close() {
	r.queue.mu.Unlock()
	r.queue.set.used.Add(int64(r.added))
	if r.full {
		r.queue.signal()
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

// Partial says whether a chunk that is not full is ready, and whether it is large all the same: a quarter of what it may be.
func (q *Queue) Partial() (ready, large bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open == nil || !q.ready {
		return false, false
	}
	return true, q.large()
}

// large says that the open chunk is worth a batch of its own. Called with the lock.
func (q *Queue) large() bool {
	return 4*len(q.open.ends) >= q.set.messages() || 4*len(q.open.Body) >= q.set.limits.BatchBytes
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
