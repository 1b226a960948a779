package lane

import (
	"context"
	"math/bits"
	"sync"
	"sync/atomic"
)

// Set is all lanes of a session. Its memory is bounded in bytes.
type Set struct {
	// Short has messages leave out what the one before them in their batch says, for a sink that reads such. Set it before the first message.
	Short bool

	limits Limits
	lanes  []*Queue
	track  func(lane int, index uint64)

	most    atomic.Int64 // messages in a batch
	used    atomic.Int64 // bytes of messages held
	mu      sync.Mutex
	changed *sync.Cond // a chunk was released
	pending int        // chunks not released yet
	free    []*Chunk
	bodies  [][]byte // memory that messages were in, for chunks and lots to come
}

// NewSet makes the lanes. opened is told the index of the first message of each new batch.
func NewSet(limits Limits, opened func(lane int, index uint64)) *Set {
	s := &Set{limits: limits, track: opened}
	s.changed = sync.NewCond(&s.mu)
	s.most.Store(int64(limits.Usual()))
	for i := range limits.Lanes {
		s.lanes = append(s.lanes, &Queue{set: s, lane: i, wake: make(chan struct{}, 1)})
	}
	return s
}

// Len is the number of lanes.
func (s *Set) Len() int { return len(s.lanes) }

// Queue is the lane of this number.
func (s *Set) Queue(lane int) *Queue { return s.lanes[lane] }

// Of is the lane of a key with this hash.
func (s *Set) Of(hash uint64) *Queue { return s.lanes[s.Number(hash)] }

// Number is the number of that lane.
func (s *Set) Number(hash uint64) int { return int(hash % uint64(len(s.lanes))) }

// Stretch lets batches have so many messages from now on, within the limits.
func (s *Set) Stretch(messages int) {
	s.most.Store(int64(min(max(messages, s.limits.Usual()), s.limits.BatchMessages)))
}

// messages is how many messages a batch may have.
func (s *Set) messages() int { return int(s.most.Load()) }

// Usual is how many messages a batch has at most, unless the lanes are stretched.
func (s *Set) Usual() int { return s.limits.Usual() }

// LotMessages is how many messages a lot may have that a lane takes as it is: more than others, since nothing that is new waits behind them for longer
// than behind two of those.
func (s *Set) LotMessages() int { return max(s.messages(), min(2*s.Usual(), s.limits.BatchMessages)) }

// BatchBytes is the size at which a batch is full.
func (s *Set) BatchBytes() int { return s.limits.BatchBytes }

// Flush makes everything that has gathered ready: nothing more is waiting to be read, so there is nothing to wait for.
func (s *Set) Flush() {
	for _, q := range s.lanes {
		q.flush()
	}
}

// Bytes is how much is held.
func (s *Set) Bytes() int64 { return s.used.Load() }

// Full says that no more should be read before WaitRoom.
func (s *Set) Full() bool { return s.used.Load() >= int64(s.limits.BufferBytes) }

// WaitRoom waits until there is room again.
func (s *Set) WaitRoom(ctx context.Context) error {
	s.Flush()
	return s.wait(ctx, func() bool { return !s.Full() })
}

// Drain waits until everything that was added is settled.
func (s *Set) Drain(ctx context.Context) error {
	s.Flush()
	return s.wait(ctx, func() bool { return s.pending == 0 })
}

func (s *Set) wait(ctx context.Context, reached func() bool) error {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !reached() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.changed.Wait()
	}
	return nil
}

// Release gives a settled chunk back.
func (s *Set) Release(c *Chunk) {
	bytes, body := len(c.Body), c.reset()
	s.mu.Lock()
	s.pending--
	if len(s.free) < 2*len(s.lanes) {
		s.free = append(s.free, c)
	}
	s.keepBody(body)
	s.used.Add(-int64(bytes))
	s.changed.Broadcast()
	s.mu.Unlock()
}

// bodiesPerLane is how much memory is kept for messages to come: two pages of lots.
const bodiesPerLane = 2

// keepBody keeps memory that messages were in, rather than less that is kept already. Called with the lock.
func (s *Set) keepBody(body []byte) {
	switch {
	case cap(body) == 0 || cap(body) > 2*s.limits.BatchBytes:
		return
	case len(s.bodies) < bodiesPerLane*len(s.lanes):
		s.bodies = append(s.bodies, body)
		return
	}
	least := 0
	for i := range s.bodies {
		if cap(s.bodies[i]) < cap(s.bodies[least]) {
			least = i
		}
	}
	if cap(s.bodies[least]) < cap(body) {
		s.bodies[least] = body
	}
}

// Body is empty memory for at least so many bytes, which was used before if there is such.
func (s *Set) Body(size int) []byte {
	size = rounded(size)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.bodies) - 1; i >= 0; i-- {
		if cap(s.bodies[i]) >= size {
			return s.takeBody(i)
		}
	}
	return make([]byte, 0, size)
}

// rounded is one of the eight sizes between two powers of two, so that memory for one page does for the next as well, which is hardly ever of the same size.
func rounded(size int) int {
	step := 1 << max(0, bits.Len(uint(size))-4)
	return (size + step - 1) &^ (step - 1)
}

// takeBody takes one of those that are kept. Called with the lock.
func (s *Set) takeBody(i int) []byte {
	last := len(s.bodies) - 1
	body := s.bodies[i]
	s.bodies[i], s.bodies[last] = s.bodies[last], nil
	s.bodies = s.bodies[:last]
	return body
}

func (s *Set) opened(lane int, index uint64) { s.track(lane, index) }

// take is a chunk for messages that are to be written into it.
func (s *Set) take() *Chunk {
	c := s.empty()
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := len(s.bodies) - 1; last >= 0 {
		c.Body = s.takeBody(last)
	}
	return c
}

// empty is a chunk without memory for messages.
func (s *Set) empty() (c *Chunk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending++
	if last := len(s.free) - 1; last >= 0 {
		c = s.free[last]
		s.free = s.free[:last]
	} else {
		c = &Chunk{}
	}
	c.short = s.Short
	return c
}
