// Package ack turns deliveries that finish in any order into two LSNs: one below which everything is settled, and one, at or beyond
// it, below which Redis shows nothing old.
package ack

import (
	"sync"
	"time"

	"freshet/shared/change"
)

// Tracker follows the stream by indexes: the n-th message the poller read has index n, counted over all lanes. A
// batch is unsettled from its first message's index on; a mark (the end of a transaction, a keepalive) counts as soon as no
// unsettled batch began before it. Safe for concurrent use.
type Tracker struct {
	mu      sync.Mutex
	lanes   []fifo[uint64] // per lane, the first index of each unsettled batch, oldest first
	holds   fifo[*Hold]    // until they are released
	stale   fifo[*Hold]    // until they are blanked or released
	marks   fifo[mark]
	passed  int // marks at the front that count for applied
	calls   fifo[call]
	next    uint64 // index of the next message
	settled change.LSN
	applied change.LSN
	reached func()
}

type mark struct {
	before uint64 // every message with a lower index comes before the mark
	lsn    change.LSN
	at     time.Time // of the oldest commit that the mark stands for; zero when it stands for none
}

type call struct {
	before uint64
	done   func()
}

// Hold keeps marks behind it from counting although no lane carries its message yet.
type Hold struct {
	index             uint64
	blanked, released bool
}

// NewTracker begins at an LSN that is known to be settled. reached, when not nil, is called after each advance of Settled or Applied,
// outside of the lock.
func NewTracker(lanes int, start change.LSN, reached func()) *Tracker {
	return &Tracker{lanes: make([]fifo[uint64], lanes), settled: start, applied: start, reached: reached}
}

// Next counts a message and returns its index.
func (t *Tracker) Next() uint64 { return t.Take(1) }

// Take counts n messages, which have consecutive indexes, and returns the first.
func (t *Tracker) Take(n int) (first uint64) {
	t.mu.Lock()
	first = t.next
	t.next += uint64(n)
	t.mu.Unlock()
	return first
}

// Opened says that a batch began in the lane with the message of this index.
func (t *Tracker) Opened(lane int, index uint64) {
	t.mu.Lock()
	t.lanes[lane].push(index)
	t.mu.Unlock()
}

// Settle says that the lane's oldest unsettled batch got its 2xx.
func (t *Tracker) Settle(lane int) {
	t.mu.Lock()
	t.lanes[lane].pop()
	t.advance()
}

// Mark says that when everything read so far is settled, everything below lsn is. at is when that was committed, zero for a keepalive.
func (t *Tracker) Mark(lsn change.LSN, at time.Time) {
	t.mu.Lock()
	if last := t.marks.last(); last != nil && last.before == t.next {
		last.lsn = max(last.lsn, lsn) // nothing between the two: one mark says it
		if last.at.IsZero() {
			last.at = at
		}
		t.passed = min(t.passed, len(t.marks.all())-1) // it says more now
	} else {
		t.marks.push(mark{before: t.next, lsn: lsn, at: at})
	}
	t.advance()
}

// Then calls done once everything that the lanes got so far is settled. It does not wait for holds: what ends a hold
// is itself such a call.
func (t *Tracker) Then(done func()) {
	t.mu.Lock()
	t.calls.push(call{before: t.next, done: done})
	t.advance()
}

// Hold takes an index for a message that is still to be completed, and keeps all later marks waiting until Release.
func (t *Tracker) Hold() *Hold {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := &Hold{index: t.next}
	t.next++
	t.holds.push(h)
	t.stale.push(h)
	return h
}

// Blank says that the key of the hold's message is not in Redis any more: nobody reads an old value there. Applied goes on; Settled waits
// for Release, since a key that is missing is still to be written.
func (t *Tracker) Blank(h *Hold) {
	t.mu.Lock()
	h.blanked = true
	t.advance()
}

// Release ends a hold.
func (t *Tracker) Release(h *Hold) {
	t.mu.Lock()
	h.blanked, h.released = true, true
	for first := t.holds.first(); first != nil && (*first).released; first = t.holds.first() {
		t.holds.pop()
	}
	t.advance()
}

// Settled is the LSN below which everything is settled. It never goes back.
func (t *Tracker) Settled() change.LSN {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.settled
}

// Applied is the LSN below which Redis shows nothing old: all is settled but for keys that are missing until their rows were read
// again. It is at or beyond Settled and never goes back. After a crash the slot must still send what lies between the two.
func (t *Tracker) Applied() change.LSN {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.applied
}

// Idle says whether nothing is unsettled.
func (t *Tracker) Idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.oldest() == t.next && t.marks.first() == nil && t.calls.first() == nil
}

// Waiting is when the oldest commit that is not settled was made; zero when there is none.
func (t *Tracker) Waiting() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.marks.all() {
		if at := t.marks.all()[i].at; !at.IsZero() {
			return at
		}
	}
	return time.Time{}
}

// carried is the lowest unsettled index in the lanes.
func (t *Tracker) carried() uint64 {
	oldest := t.next
	for i := range t.lanes {
		if first := t.lanes[i].first(); first != nil {
			oldest = min(oldest, *first)
		}
	}
	return oldest
}

// oldest is the lowest unsettled index.
func (t *Tracker) oldest() uint64 { return before(t.carried(), &t.holds) }

// before is the lower of an index and the first hold's.
func before(index uint64, holds *fifo[*Hold]) uint64 {
	if first := holds.first(); first != nil {
		return min(index, (*first).index)
	}
	return index
}

// advance passes the marks that count now. It releases the lock, which the caller took, before it calls anybody.
func (t *Tracker) advance() {
	settled, applied := t.settled, t.applied
	for first := t.stale.first(); first != nil && (*first).blanked; first = t.stale.first() {
		t.stale.pop()
	}
	carried := t.carried()
	shown, oldest := before(carried, &t.stale), before(carried, &t.holds)
	for marks := t.marks.all(); t.passed < len(marks) && marks[t.passed].before <= shown; t.passed++ {
		t.applied = max(t.applied, marks[t.passed].lsn)
	}
	for m := t.marks.first(); m != nil && m.before <= oldest; m = t.marks.first() {
		t.settled = max(t.settled, m.lsn)
		t.marks.pop()
		t.passed--
	}
	var calls []func()
	for c := t.calls.first(); c != nil && c.before <= carried; c = t.calls.first() {
		calls = append(calls, c.done)
		t.calls.pop()
	}
	moved := t.settled > settled || t.applied > applied
	t.mu.Unlock()
	for _, call := range calls {
		call()
	}
	if moved && t.reached != nil {
		t.reached()
	}
}
