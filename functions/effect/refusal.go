package effect

import "freshet/shared/problem"

// Refusal is a store's no: what it knows of the past contradicts the request, which therefore changed nothing. Any other error of a store
// means that it could not do it now.
type Refusal struct {
	// Reason is one of exchange.ReasonLost, ReasonFenced, ReasonForeign, ReasonRules; ReasonDamaged when the state cannot be read.
	Reason string
	Cause  *problem.Error
}

// ReasonDamaged is a state that someone else has written into. The poller holds until a person has looked.
const ReasonDamaged = "damaged"

func (r *Refusal) Error() string { return r.Cause.Error() }

// Unwrap gives the finding for people.
func (r *Refusal) Unwrap() error { return r.Cause }
