package replication

import "time"

// Rest says when the reader should leave the connection alone for a moment. A walsender writes every row to its socket by itself. A reader that
// waits for each wakes up for each, which costs both sides more than the row; and what finds room in the reader's receive window becomes a
// packet, which costs the walsender more than decoding the row did. So while rows come faster than they could be told apart anyway, some may gather; and
// when the stream is behind, the window may fill up, so that the rest gathers in the walsender's own socket and leaves it in one piece. A stream that
// is neither busy nor behind is read at once.
type Rest struct {
	longest time.Duration // how long a stream that is behind may be left alone; 0 where being behind makes no difference

	began  time.Time
	events int
	last   int   // bytes of the last read
	read   int64 // bytes since the last rest
	busy   bool
}

// How many events a millisecond make a busy stream, and how long such a stream is left alone: Go's timers are no finer than that while nothing
// else runs. One that is behind is left alone for that part of its lag, at most for longRest.
const (
	busy     = 25
	pause    = time.Millisecond
	lagShare = 8
	longRest = 30 * time.Millisecond
)

// A stream that is behind is read on while a read brings so much at once: there is more where that came from.
const more = 16 << 10

// gathered is how many bytes may be expected to wait after a rest: what a walsender's socket holds before the walsender has to wait itself.
const gathered = 512 << 10

// Event counts what was received.
func (r *Rest) Event() { r.events++ }

// Read counts what one read of the connection brought, in bytes.
func (r *Rest) Read(n int) { r.last, r.read = n, r.read+int64(n) }

// Due is asked when everything that had arrived was read; lag is how far the stream is behind. It returns how long to rest, mostly 0.
func (r *Rest) Due(now time.Time, lag time.Duration) time.Duration {
	behind := min(lag/lagShare, r.longest)
	passed := now.Sub(r.began)
	switch {
	case behind >= pause:
		if r.last >= more {
			return 0
		}
	case passed < pause:
		return 0
	}
	if filled := passed.Seconds() * gathered / float64(max(1, r.read)); behind > pause && filled < behind.Seconds() {
		behind = max(pause, time.Duration(filled*float64(time.Second)))
	}
	r.busy = behind >= pause || float64(r.events) >= busy*passed.Seconds()*1000
	r.began, r.events, r.read = now, 0, 0
	switch {
	case behind >= pause:
		return behind
	case r.busy:
		return pause
	}
	return 0
}

// Busy says whether the stream was busy or behind when that was last looked at.
func (r *Rest) Busy() bool { return r.busy }
