package sink

import (
	"sync"
	"time"

	"freshet/shared/problem"
)

// Waiting knows what each lane waits for, for readiness and for a log that neither floods nor falls silent. Safe for concurrent use.
type Waiting struct {
	mu    sync.Mutex
	lanes map[int]*wait
	said  time.Time
	what  string
}

type wait struct {
	since time.Time
	why   *problem.Error
}

// sayAgain is how often the same trouble is logged.
const sayAgain = 30 * time.Second

// For says that the lane waits for why to pass. It answers whether this is worth a line in the log: the trouble is new, or was not mentioned for a while.
func (w *Waiting) For(lane int, why *problem.Error, now time.Time) (worthSaying bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lanes == nil {
		w.lanes = map[int]*wait{}
	}
	if w.lanes[lane] == nil {
		w.lanes[lane] = &wait{since: now}
	}
	w.lanes[lane].why = why
	if w.what == why.What && now.Sub(w.said) < sayAgain {
		return false
	}
	w.what, w.said = why.What, now
	return true
}

// Over says that the lane goes on. It answers whether nothing waits any more, after something did.
func (w *Waiting) Over(lane int) (allClear bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lanes[lane] == nil {
		return false
	}
	delete(w.lanes, lane)
	if len(w.lanes) > 0 {
		return false
	}
	w.what = ""
	return true
}

// Longest is what has been waited for longest, nil when nothing is.
func (w *Waiting) Longest() (why *problem.Error, since time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.lanes {
		if why == nil || l.since.Before(since) {
			why, since = l.why, l.since
		}
	}
	return why, since
}
