package replication

import (
	"testing"
	"time"
)

// A source is a server that sends rows of 100 bytes at an even pace into a window that takes so many bytes and a socket of its own that takes
// all the others; on the way from one to the other they take no time.
type source struct {
	gap, lag time.Duration
	next     time.Time
}

// play reads the source for a second and returns how much of it was rested, and how often it was read.
func (s *source) play(longest time.Duration) (rested time.Duration, reads int) {
	r := Rest{longest: longest}
	now := time.Unix(1000, 0)
	end := now.Add(time.Second)
	s.next = now
	for now.Before(end) {
		if s.next.After(now) {
			now = s.next
		}
		n := 0
		for !s.next.After(now) {
			r.Event()
			s.next = s.next.Add(s.gap)
			n += 100
		}
		reads++
		r.Read(n)
		d := r.Due(now, s.lag)
		rested += d
		now = now.Add(d)
	}
	return rested, reads
}

func TestRest_OnlyWhileTheStreamIsBusy(t *testing.T) {
	for _, perSecond := range []int{1, 1000, 10_000} {
		s := source{gap: time.Second / time.Duration(perSecond)}
		if rested, _ := s.play(longRest); rested > 0 {
			t.Errorf("rested %s of a second at %d events a second", rested, perSecond)
		}
	}
	s := source{gap: time.Second / 200_000}
	if rested, _ := s.play(longRest); rested < 400*time.Millisecond {
		t.Errorf("rested only %s of a second at 200,000 events a second", rested)
	}
}

// One that is behind is read rarely, however slowly rows come: whoever uses the processor now keeps it from catching up.
func TestRest_AStreamThatIsBehindIsReadRarely(t *testing.T) {
	for lag, most := range map[time.Duration]int{
		7 * time.Millisecond:  100_000,
		8 * time.Millisecond:  1000,
		40 * time.Millisecond: 200,
		time.Second:           33,
		time.Hour:             33,
	} {
		s := source{gap: time.Second / 20_000, lag: lag}
		if _, reads := s.play(longRest); reads > 2*most+3 || reads < most/10 {
			t.Errorf("%s behind: read %d times in a second, want about %d", lag, reads, most)
		}
	}
	s := source{gap: time.Second / 20_000, lag: time.Hour}
	if rested, _ := s.play(0); rested > 0 {
		t.Errorf("rested %s of a second where being behind makes no difference", rested)
	}
}

// A read that brings much has more behind it. Resting then would make the window the limit of the speed.
func TestRest_NotWhileTheWindowRefills(t *testing.T) {
	r := Rest{longest: longRest}
	now := time.Unix(1000, 0)
	for range 100 {
		r.Event()
		r.Read(more)
		if d := r.Due(now, time.Minute); d > 0 {
			t.Fatalf("rested %s although there is more", d)
		}
	}
	r.Event()
	r.Read(more - 1)
	if d := r.Due(now, time.Minute); d != longRest {
		t.Errorf("rested %s after a read that left nothing behind, want %s", d, longRest)
	}
	if !r.Busy() {
		t.Error("a stream that is behind counts as idle")
	}
}

// However far behind, what gathers meanwhile must fit into the walsender's socket: a faster stream is read more often.
func TestRest_NoLongerThanTheServerCanGoOnWriting(t *testing.T) {
	const size = 100
	for perSecond, want := range map[int]int{100_000: 33, 1_000_000: 1_000_000 * size / gathered} {
		s := source{gap: time.Second / time.Duration(perSecond), lag: time.Minute}
		if rested, _ := s.play(longRest); rested < 900*time.Millisecond {
			t.Errorf("%d rows a second: rested %s of a second only", perSecond, rested)
		}
		s = source{gap: time.Second / time.Duration(perSecond), lag: time.Minute}
		if _, reads := s.play(longRest); reads < want*9/10 || reads > 3*want {
			t.Errorf("%d rows a second: read %d times, want about %d to %d", perSecond, reads, want, 2*want)
		}
	}
}
