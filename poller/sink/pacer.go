package sink

import (
	"sync"
	"time"
)

// pacer spaces out batches that are not full. Each costs poller, function and Redis the same whether it carries one message or a thousand; when rows come in
// a trickle that never quite stops, sending each lane's few at once would use up the very processor that decodes them. How long such batches take tells
// how short of processor time everybody is, so their distance follows from it. A batch that is full does not ask, nor does one that is a quarter full, unless the
// stream is behind. Safe for concurrent use.
type pacer struct {
	mu   sync.Mutex
	next time.Time
	rtt  time.Duration // of batches that are not full, smoothed
	busy bool
	lag  time.Duration // of the stream
}

// Batches that are not full keep a distance of half the time that one takes, within these bounds: a near and idle function gets up to 2,500 a
// second, one that is far away is not slowed down by it, since its lanes bound it more. While the stream is behind, they may keep that part of its lag,
// up to lagDistance: then what counts is how much a batch carries. After a quiet moment partialBurst may go at once.
const (
	leastDistance = 400 * time.Microsecond
	busyDistance  = time.Millisecond // while rows come in masses
	mostDistance  = 2 * time.Millisecond
	lagShare      = 64
	lagDistance   = 5 * time.Millisecond
	partialBurst  = 8
)

// took tells how long a batch that was not full took.
func (p *pacer) took(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rtt += (d - p.rtt) / 8
}

// pressure tells how the stream is.
func (p *pacer) pressure(busy bool, lag time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy, p.lag = busy, lag
}

// patient says that the stream is behind, so that large batches had better become larger too: a row that changes all the time is then written
// once for more of its changes.
func (p *pacer) patient() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lag/lagShare > leastDistance
}

// reserve takes the next turn and returns when it is.
func (p *pacer) reserve(now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	least := leastDistance
	if p.busy {
		least = busyDistance
	}
	distance := max(min(max(p.rtt/2, least), mostDistance), min(p.lag/lagShare, lagDistance))
	if earliest := now.Add(-partialBurst * distance); p.next.Before(earliest) {
		p.next = earliest
	}
	turn := p.next
	p.next = p.next.Add(distance)
	return turn
}
