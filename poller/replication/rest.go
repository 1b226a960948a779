package replication

import "time"

// Rest says when the reader should leave the connection alone for a moment. A walsender writes every row to its socket by itself; a
// reader that waits for each wakes up for each, which costs both sides more than the row. While rows come faster than they
// could be told apart anyway, it pays to let some gather in the socket's buffer. A quiet stream is read at once.
type Rest struct {
	began  time.Time
	events int
	busy   bool
}

// How many events a millisecond make a busy stream, and how long a rest is. Go's timers are no finer than that while nothing else runs.
const (
	busy  = 25
	pause = time.Millisecond
)

// Event counts what was received.
func (r *Rest) Event() { r.events++ }

// Due is asked when everything that had arrived was read. It returns how long to rest, mostly 0.
func (r *Rest) Due(now time.Time) time.Duration {
	passed := now.Sub(r.began)
	if passed < pause {
		return 0
	}
	r.busy = float64(r.events) >= busy*passed.Seconds()*1000
	r.began, r.events = now, 0
	if r.busy {
		return pause
	}
	return 0
}

// Busy says whether the stream was busy when that was last looked at.
func (r *Rest) Busy() bool { return r.busy }
