package lane

import (
	"context"
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
	bytes := len(c.Body)
	s.mu.Lock()
	s.pending--
	if cap(c.Body) <= 2*s.limits.BatchBytes && len(s.free) < 2*len(s.lanes) {
		c.reset()
		s.free = append(s.free, c)
	}
	s.used.Add(-int64(bytes))
	s.changed.Broadcast()
	s.mu.Unlock()
}

func (s *Set) opened(lane int, index uint64) { s.track(lane, index) }

func (s *Set) take() *Chunk {
	c := s.empty()
	c.short = s.Short
	return c
}

// empty is a chunk that was used before, or a new one.
func (s *Set) empty() *Chunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending++
	if last := len(s.free) - 1; last >= 0 {
		c := s.free[last]
		s.free = s.free[:last]
		return c
	}
	return &Chunk{}
}
