package sink_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"freshet/poller/sink"
	"freshet/shared/change"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func TestSeals_ConfirmOnlyAfterTheWindow(t *testing.T) {
	s := sink.NewSeals(time.Minute, 100)
	s.Acknowledged(110, noon)
	s.Acknowledged(120, noon.Add(30*time.Second))
	for _, step := range []struct {
		after time.Duration
		want  change.LSN
	}{{0, 100}, {59 * time.Second, 100}, {time.Minute, 110}, {89 * time.Second, 110}, {90 * time.Second, 120}} {
		if got := s.Confirmable(noon.Add(step.after)); got != step.want {
			t.Errorf("after %s confirmable is %d, want %d", step.after, got, step.want)
		}
	}
}

func TestSeals_WithoutWindowConfirmAtOnce(t *testing.T) {
	s := sink.NewSeals(0, 100)
	s.Acknowledged(110, noon)
	if got := s.Confirmable(noon); got != 110 {
		t.Errorf("confirmable is %d", got)
	}
}

func TestSeals_OldSealsSayNothing(t *testing.T) {
	s := sink.NewSeals(0, 100)
	s.Acknowledged(90, noon)
	if got := s.Confirmable(noon.Add(time.Hour)); got != 100 {
		t.Errorf("went back to %d", got)
	}
}

// TestSeals_NeverEarly is the promise: what is confirmable was acknowledged at least the window ago, however densely seals come;
// and it lags no more than a few hundredths of the window behind that.
func TestSeals_NeverEarly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const window = 10 * time.Second
		s := sink.NewSeals(window, 0)
		acked := map[change.LSN]time.Time{0: noon.Add(-time.Hour)}
		now, lsn, before := noon, change.LSN(0), change.LSN(0)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 400).Draw(t, "ms")) * time.Millisecond)
			lsn++
			s.Acknowledged(lsn, now)
			acked[lsn] = now
			got := s.Confirmable(now)
			if age := now.Sub(acked[got]); age < window {
				t.Fatalf("%d is confirmable %s after it was acknowledged", got, age)
			}
			if got < before {
				t.Fatalf("went back from %d to %d", before, got)
			}
			if next, ok := acked[got+1]; ok && now.Sub(next) > window+time.Second {
				t.Fatalf("%d is not confirmable %s after it was acknowledged", got+1, now.Sub(next))
			}
			before = got
		}
	})
}
