package sink

import (
	"sync"
	"time"
)

// pacer spaces out batches that are not full. Each costs poller, function and Redis the same whether it carries one message or a thousand; when rows come in
// a trickle that never quite stops, sending each lane's few at once would use up the very processor that decodes them. How long such batches take tells
// how short of processor time everybody is, so their distance follows from it. A batch that is full does not ask. Safe for concurrent use.
type pacer struct {
	mu   sync.Mutex
	next time.Time
	rtt  time.Duration // of batches that are not full, smoothed
}

// Batches that are not full keep a distance of half the time that one takes, within these bounds: a near and idle function gets up to 2,500 a
// second, one that is far away is not slowed down by it, since its lanes bound it more. After a quiet moment partialBurst may go at once.
const (
	leastDistance = 400 * time.Microsecond
	busyDistance  = time.Millisecond // while rows come in masses
	mostDistance  = 2 * time.Millisecond
	partialBurst  = 8
)

// took tells how long a batch that was not full took.
func (p *pacer) took(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rtt += (d - p.rtt) / 8
}

// reserve takes the next turn and returns when it is.
func (p *pacer) reserve(now time.Time, busy bool) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	least := leastDistance
	if busy {
		least = busyDistance
	}
	distance := min(max(p.rtt/2, least), mostDistance)
	if earliest := now.Add(-partialBurst * distance); p.next.Before(earliest) {
		p.next = earliest
	}
	turn := p.next
	p.next = p.next.Add(distance)
	return turn
}
