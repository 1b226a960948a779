package intake

import (
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// Applied knows what the sink had when the session began. Postgres sends again all that is not confirmed; sending on what is there already
// would take keys back to older values.
type Applied struct {
	sealed      change.LSN
	generations []exchange.Applied
	last        change.Position // nothing after it is there
}

// NewApplied reads it from the answer to the opening of the session.
func NewApplied(opened exchange.OpenResponse) *Applied {
	a := &Applied{sealed: opened.Sealed, generations: opened.Applied}
	if opened.Sealed > 0 {
		a.last = change.Position{Commit: opened.Sealed - 1, Ordinal: ^uint32(0)}
	}
	for _, g := range opened.Applied {
		for _, p := range g.Through {
			if p.Compare(a.last) > 0 {
				a.last = p
			}
		}
	}
	return a
}

// over says that the stream has passed everything that was there.
func (a *Applied) over(at change.Position) bool { return at.Compare(a.last) > 0 }

// settled says that the whole transaction is there: all that commits below the seal is.
func (a *Applied) settled(commit change.LSN) bool { return commit < a.sealed }

// Has says whether the message with this key and place is there.
func (a *Applied) Has(key uint64, at change.Position) bool {
	if a.settled(at.Commit) {
		return true
	}
	for _, g := range a.generations {
		if g.Lanes > 0 && len(g.Through) == g.Lanes && at.Compare(g.Through[key%uint64(g.Lanes)]) <= 0 {
			return true
		}
	}
	return false
}
