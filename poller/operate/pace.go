package operate

import "time"

const (
	// paceOver is the time over which a pace is measured: pages come in bursts.
	paceOver = 5 * time.Second
	// stillAfter is how long nothing must have moved to be worth a word.
	stillAfter = 10 * time.Second
)

// pace measures how fast a number grows.
type pace struct {
	marks []mark
	grew  time.Time // when it last did
}

type mark struct {
	at time.Time
	n  int64
}

func (p *pace) add(at time.Time, n int64) {
	if len(p.marks) == 0 || n != p.marks[len(p.marks)-1].n {
		p.grew = at
	}
	p.marks = append(p.marks, mark{at, n})
	for len(p.marks) > 2 && at.Sub(p.marks[1].at) >= paceOver {
		p.marks = p.marks[1:]
	}
}

func (p *pace) perSecond() float64 {
	first, last := p.marks[0], p.marks[len(p.marks)-1]
	seconds := last.at.Sub(first.at).Seconds()
	if seconds <= 0 {
		return 0
	}
	return max(0, float64(last.n-first.n)/seconds)
}

func (p *pace) still(now time.Time) bool { return now.Sub(p.grew) >= stillAfter }
