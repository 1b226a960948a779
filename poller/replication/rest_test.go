package replication_test

import (
	"testing"
	"time"

	"freshet/poller/replication"
)

// play feeds a steady stream in which everything is read at once, and returns how much of a second was rested.
func play(perSecond int) (rested time.Duration) {
	var r replication.Rest
	now := time.Unix(1000, 0)
	end := now.Add(time.Second)
	gap := time.Second / time.Duration(perSecond)
	next := now
	for now.Before(end) {
		now = next
		for !next.After(now) {
			r.Event()
			next = next.Add(gap)
		}
		if d := r.Due(now); d > 0 {
			rested += d
			now = now.Add(d)
			for !next.After(now) { // what gathered meanwhile
				r.Event()
				next = next.Add(gap)
			}
		}
	}
	return rested
}

func TestRest_OnlyWhileTheStreamIsBusy(t *testing.T) {
	for perSecond, most := range map[int]time.Duration{1: 0, 1000: 0, 10_000: 0} {
		if got := play(perSecond); got > most {
			t.Errorf("rested %s of a second at %d events a second", got, perSecond)
		}
	}
	if got := play(200_000); got < 400*time.Millisecond {
		t.Errorf("rested only %s of a second at 200,000 events a second", got)
	}
}
