package sink

import (
	"testing"
	"time"
)

func TestDistance_IsTheLeastOfLate(t *testing.T) {
	var d distance
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		after, took, want time.Duration
	}{
		{0, 40 * time.Millisecond, 40 * time.Millisecond},
		{time.Second, 20 * time.Millisecond, 20 * time.Millisecond},
		{time.Second, 90 * time.Millisecond, 20 * time.Millisecond},
		{4 * time.Second, 50 * time.Millisecond, 20 * time.Millisecond}, // a new window
		{4 * time.Second, 30 * time.Millisecond, 20 * time.Millisecond},
		{2 * time.Second, 60 * time.Millisecond, 30 * time.Millisecond}, // the 20 ms are too long ago
		{6 * time.Second, 70 * time.Millisecond, 60 * time.Millisecond},
		{time.Second, time.Millisecond, time.Millisecond},
		{time.Hour, 80 * time.Millisecond, 80 * time.Millisecond}, // of the windows between, nothing is known
	} {
		at = at.Add(c.after)
		if got := d.answered(c.took, at); got != c.want {
			t.Errorf("%s later an answer took %s: the distance is %s, want %s", c.after, c.took, got, c.want)
		}
	}
}

func TestStretched(t *testing.T) {
	for distance, want := range map[time.Duration]int{0: 1200, near: 1200, 3 * near / 2: 1800, 4 * near: 4800, 1000 * near: 1_200_000} {
		if got := stretched(1200, distance); got != want {
			t.Errorf("at %s: %d messages, want %d", distance, got, want)
		}
	}
}
