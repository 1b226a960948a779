package sink

import (
	"sync"
	"time"
)

// distance is how far away the function is: how long it took to answer at the least, of late. Whoever is near but busy still answers something at
// once now and then, if only a batch without messages. Safe for concurrent use.
type distance struct {
	mu          sync.Mutex
	now, before time.Duration // in this window and in the one before it; 0 where nothing was answered
	since       time.Time     // when this window began
}

// distanceWindow is how soon a function that has moved away, or has become slow, is noticed: within two of them.
const distanceWindow = 5 * time.Second

// answered takes note of an answer, and returns the distance.
func (d *distance) answered(took time.Duration, at time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if over := at.Sub(d.since); over >= distanceWindow {
		if d.before = d.now; over >= 2*distanceWindow {
			d.before = 0
		}
		d.now, d.since = 0, at
	}
	if d.now == 0 || took < d.now {
		d.now = took
	}
	if d.before > 0 {
		return min(d.now, d.before)
	}
	return d.now
}

// near is the distance up to which batches are as large as usual. Beyond it they grow with the distance: a lane has one request in flight, so
// what it carries must last until the next answer.
const near = 7 * time.Millisecond

// stretched is how many messages a batch may have at this distance, as far as the lanes let it.
func stretched(usual int, distance time.Duration) int {
	return int(float64(usual) * max(1, distance.Seconds()/near.Seconds()))
}
