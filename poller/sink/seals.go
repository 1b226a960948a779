package sink

import (
	"time"

	"freshet/shared/change"
)

// Seals remembers which LSN Redis has been told is settled, and since when. An LSN may be confirmed to Postgres once its seal has been
// in Redis for the replay window: what Redis then still loses, the slot still has. It has no clock.
type Seals struct {
	window    time.Duration
	kept      []sealed
	latest    change.LSN
	confirmed change.LSN
}

// sealed stands for all seals acknowledged between first and last; it counts from last.
type sealed struct {
	lsn         change.LSN
	first, last time.Time
}

// NewSeals begins at an LSN that Postgres has confirmed already.
func NewSeals(window time.Duration, confirmed change.LSN) *Seals {
	return &Seals{window: window, latest: confirmed, confirmed: confirmed}
}

// Acknowledged says that Redis holds this seal.
func (s *Seals) Acknowledged(lsn change.LSN, now time.Time) {
	if lsn <= s.latest {
		return
	}
	s.latest = lsn
	// A few hundred entries tell the window finely enough, however many batches pass.
	const entries = 256
	if n := len(s.kept); n > 0 && now.Sub(s.kept[n-1].first) < s.window/entries {
		s.kept[n-1].lsn, s.kept[n-1].last = lsn, now
		return
	}
	s.kept = append(s.kept, sealed{lsn: lsn, first: now, last: now})
}

// Confirmable is the highest LSN that may be confirmed now. It never goes back.
func (s *Seals) Confirmable(now time.Time) change.LSN {
	passed := 0
	for passed < len(s.kept) && now.Sub(s.kept[passed].last) >= s.window {
		s.confirmed = s.kept[passed].lsn
		passed++
	}
	s.kept = append(s.kept[:0], s.kept[passed:]...)
	return s.confirmed
}

// Latest is the highest LSN that Redis has been told.
func (s *Seals) Latest() change.LSN { return s.latest }
