package sink

import (
	"testing"
	"time"
)

func TestPacer_BurstThenPace(t *testing.T) {
	for busy, distance := range map[bool]time.Duration{false: leastDistance, true: busyDistance} {
		var p pacer
		p.pressure(busy, 0)
		now := time.Unix(1000, 0)
		for i := range 40 {
			wait := p.reserve(now).Sub(now)
			if want := time.Duration(i-partialBurst) * distance; wait != want {
				t.Fatalf("busy %v: turn %d comes in %s, want %s", busy, i, wait, want)
			}
		}
	}
}

func TestPacer_QuietStreamIsNotDelayed(t *testing.T) {
	var p pacer
	now := time.Unix(1000, 0)
	for range 1000 {
		if wait := p.reserve(now).Sub(now); wait > 0 {
			t.Fatalf("delayed by %s", wait)
		}
		now = now.Add(leastDistance)
	}
}

func TestPacer_SlowsDownWithTheAnswersWithinBounds(t *testing.T) {
	var p pacer
	now := time.Unix(1000, 0)
	distance := func() time.Duration { return p.reserve(now).Sub(p.reserve(now)) * -1 }
	for range 100 {
		p.took(2 * time.Millisecond)
	}
	if got := distance(); got < 900*time.Microsecond || got > time.Millisecond {
		t.Errorf("a batch takes 2 ms, and they keep %s apart", got)
	}
	for range 100 {
		p.took(time.Second)
	}
	if got := distance(); got != mostDistance {
		t.Errorf("a batch takes 1 s, and they keep %s apart", got)
	}
	for range 200 {
		p.took(200 * time.Microsecond)
	}
	if got := distance(); got != leastDistance {
		t.Errorf("a batch takes 0.2 ms, and they keep %s apart", got)
	}
}

func TestPacer_WhatIsBehindTravelsInLargerBatches(t *testing.T) {
	for lag, want := range map[time.Duration]time.Duration{
		0:                      leastDistance,
		10 * time.Millisecond:  leastDistance,
		128 * time.Millisecond: 2 * time.Millisecond,
		320 * time.Millisecond: lagDistance,
		24 * time.Hour:         lagDistance,
	} {
		var p pacer
		p.pressure(false, lag)
		now := time.Unix(1000, 0)
		first := p.reserve(now)
		if got := p.reserve(now).Sub(first); got != want {
			t.Errorf("%s behind: batches that are not full keep %s apart, want %s", lag, got, want)
		}
	}
}

func TestPacer_IsPatientBehind(t *testing.T) {
	var p pacer
	for lag, want := range map[time.Duration]bool{0: false, 20 * time.Millisecond: false, 30 * time.Millisecond: true, time.Hour: true} {
		p.pressure(true, lag)
		if got := p.patient(); got != want {
			t.Errorf("%s behind: %v", lag, got)
		}
	}
}
