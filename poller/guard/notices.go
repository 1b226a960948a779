package guard

import "time"

// Notices remembers what was said, so that a warning is heard and does not become noise. The zero value has said nothing.
type Notices struct {
	said map[Kind]*notice
}

type notice struct {
	warning Warning
	at      time.Time
	gone    int // looks in a row that did not find it
}

const (
	sayAgain = 10 * time.Minute // unless the figure doubles
	settled  = 3                // looks after which what is gone is over
)

// Due sorts out which of the warnings are said now, and which earlier ones are over.
func (n *Notices) Due(warnings []Warning, now time.Time) (say, over []Warning) {
	if n.said == nil {
		n.said = map[Kind]*notice{}
	}
	for _, before := range n.said {
		before.gone++
	}
	for _, w := range warnings {
		before, known := n.said[w.Kind]
		if known {
			before.gone = 0
		}
		if !known || now.Sub(before.at) >= sayAgain || w.figure > 0 && w.figure >= 2*before.warning.figure {
			n.said[w.Kind] = &notice{warning: w, at: now}
			say = append(say, w)
		}
	}
	for kind, before := range n.said {
		if before.gone >= settled {
			over = append(over, before.warning)
			delete(n.said, kind)
		}
	}
	return say, over
}
