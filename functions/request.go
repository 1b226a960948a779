package functions

import (
	"fmt"
	"regexp"
	"slices"

	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// Malformed is a request that makes no sense, however often it is sent.
type Malformed struct{ Cause *problem.Error }

func (m *Malformed) Error() string { return m.Cause.Error() }

// Unwrap gives the finding for people.
func (m *Malformed) Unwrap() error { return m.Cause }

func malformed(what, why string) error {
	return &Malformed{&problem.Error{What: what, Why: why, Fix: "the files in shared/change/testdata show the form"}}
}

var sinkName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,63}$`)

// validSink says whether a name can stand in the names of keys. No name means the default sink.
func validSink(name string) bool { return name == "" || sinkName.MatchString(name) }

func checkFence(f *change.Fence) error {
	if f.Seq == 0 {
		return uncountable(f)
	}
	return checkPlace(f)
}

// checkPlace is checkFence for a fence that only says where the lane is: at 0 before its first batch.
func checkPlace(f *change.Fence) error {
	switch {
	case !validSink(f.Sink):
		return wrongSink(f.Sink)
	case f.Session == "":
		return malformed("the fence names no session", `"fence.session" is missing`)
	case f.Lane < 0:
		return malformed("the fence names no lane", fmt.Sprintf(`"fence.lane" is %d; lanes are counted from 0`, f.Lane))
	case f.Seq > mostExact || len(f.After) > mostLanes || slices.ContainsFunc(f.After, func(n uint64) bool { return n > mostExact }):
		return uncountable(f)
	}
	for table, b := range f.Backfills {
		if !slices.Contains(backfillStates, b.State) {
			return malformed("the fence holds no backfill state", fmt.Sprintf("%q is %q; it is one of clear, pending, running, sweeping, done, cancelled, off", table, b.State))
		}
	}
	return nil
}

func uncountable(f *change.Fence) error {
	return malformed("the fence cannot be counted", fmt.Sprintf(`"fence.seq" is %d and "fence.after" is %d; batches are counted from 1`, f.Seq, f.After))
}

var backfillStates = []change.BackfillState{
	change.BackfillClear, change.BackfillPending, change.BackfillRunning, change.BackfillSweeping, change.BackfillDone, change.BackfillCancelled, change.BackfillOff,
}

// mostExact is where the numbers of Lua end to be exact.
const mostExact = 1 << 53

func wrongSink(name string) error {
	return &Malformed{&problem.Error{
		What: fmt.Sprintf("%q is not the name of a sink", name), Why: "names are 1 to 63 of A-Z a-z 0-9 _ . -", Fix: "set POLLER_SINK to such a name",
	}}
}

// mostLanes is more than anyone needs, and keeps a request from making a huge state.
const mostLanes = 1024

func checkOpen(ask exchange.OpenRequest) error {
	switch {
	case !validSink(ask.Sink):
		return wrongSink(ask.Sink)
	case ask.Session == "":
		return malformed("the request names no session", `"session" is missing`)
	case ask.Source.System == "" || ask.Source.Database == "":
		return malformed("the request names no source", `"source.system" or "source.database" is missing`)
	case ask.Lanes < 1 || ask.Lanes > mostLanes:
		return malformed("the request names no lanes", fmt.Sprintf(`"lanes" is %d; it is 1 to %d`, ask.Lanes, mostLanes))
	}
	return nil
}
