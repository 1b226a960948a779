package sink

import (
	"sync"
	"time"
)

// pacer spaces out batches that are not full. Each costs poller, function and Redis the same whether it carries one message or a thousand; when rows come in
// a trickle that never quite stops, sending each lane's few at once would use up the very processor that decodes them. A batch that is
// full does not ask. Safe for concurrent use.
type pacer struct {
	mu   sync.Mutex
	next time.Time
}

// At most 1/partialEvery batches a second that are not full, with as many as partialBurst at once after a quiet moment: a stream below that rate
// is not delayed at all.
const (
	partialEvery = 400 * time.Microsecond
	partialBurst = 8
)

// reserve takes the next turn and returns when it is.
func (p *pacer) reserve(now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if earliest := now.Add(-partialBurst * partialEvery); p.next.Before(earliest) {
		p.next = earliest
	}
	turn := p.next
	p.next = p.next.Add(partialEvery)
	return turn
}
