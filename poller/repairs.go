package poller

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// The words of POLLER_REPAIR that are no causes.
const (
	repairAll  = "all"
	repairNone = "none"
)

// Causes are those that are repaired without a person, as POLLER_REPAIR has them.
func (r Repairs) Causes() []change.Cause {
	causes, _ := parseCauses(r.Repair) // refused by Validate
	return causes
}

func (r Repairs) repairs(cause change.Cause) bool { return slices.Contains(r.Causes(), cause) }

// parseCauses reads a list of causes. The list is never nil: null would not be "none" on the wire.
func parseCauses(text string) ([]change.Cause, *problem.Error) {
	switch strings.TrimSpace(text) {
	case repairAll:
		return change.Repairs, nil
	case repairNone:
		return []change.Cause{}, nil
	}
	causes := []change.Cause{}
	for word := range strings.SplitSeq(text, ",") {
		cause := change.Cause(strings.TrimSpace(word))
		if !slices.Contains(change.Repairs, cause) {
			return []change.Cause{}, notACause(string(cause))
		}
		causes = append(causes, cause)
	}
	return causes, nil
}

func notACause(word string) *problem.Error {
	known := map[string]bool{repairAll: true, repairNone: true}
	for _, c := range change.Repairs {
		known[string(c)] = true
	}
	e := &problem.Error{
		What: fmt.Sprintf("POLLER_REPAIR has %q", word), Why: "this is no cause of damage",
		Fix: "use all, none, or some of " + causeNames(),
	}
	switch near := problem.Nearest(word, maps.Keys(known)); {
	case word == repairAll || word == repairNone:
		e.Why = "it stands beside others"
	case near != "":
		e.Fix = "did you mean " + near + "? " + e.Fix
	}
	return e
}

func causeNames() string {
	names := make([]string, len(change.Repairs))
	for i, c := range change.Repairs {
		names[i] = string(c)
	}
	return strings.Join(names, ",")
}

// damage is how one cause is told.
type damage struct {
	found string
	why   string
	done  string
	left  string // how a person repairs it
}

const (
	readAgain   = "the tables' rows are read again while the stream goes on"
	readSwept   = "the tables' rows are read again while the stream goes on, and no key stays that has no row"
	readCleared = "the tables' keys are removed, since nobody knows how old they are, and their rows are read again while the stream goes on"
	byHand      = "poller verify --repair compares, and puts right what differs"
	byRows      = "poller backfill --all reads all rows again"
)

// damages has an entry for every cause of change.Repairs.
var damages = map[change.Cause]damage{
	change.CauseEmptied: {
		found: "Redis has nothing of this sink", why: "it was flushed, or it is a new one, although the slot has been read already",
		done: readSwept, left: byRows,
	},
	change.CauseBehind: {
		found: "Redis has lost more than can be streamed again", why: "it was restored from a backup older than POLLER_REPLAY_WINDOW, or failed over to a replica that far behind",
		done: readCleared, left: byHand,
	},
	change.CauseSlot: {
		found: "the slot begins later than what Redis has", why: "it was lost or dropped, and made anew: changes and deletes in between are in no stream",
		done: readSwept, left: byHand,
	},
	change.CausePromoted: {
		found: "another Postgres server has become the primary", why: "a promoted standby may lack what Redis has been shown already, and its slot may lack changes",
		done: readSwept, left: byHand,
	},
	change.CauseRules: {
		found: "the function's rules have changed", why: "keys and values that are there may have been made differently",
		done: readSwept, left: byHand,
	},
	change.CauseShape: {
		found: "tables have other columns than their keys were made of", why: "no change of a row tells of a new column or another type",
		done: readAgain, left: byRows,
	},
	change.CauseRecreated: {
		found: "tables are not those that their keys were made of", why: "one was dropped and made again, another has its name, or its primary key has changed",
		done: readCleared, left: byHand,
	},
	change.CauseAudit: {
		found: "keys differ from their rows", why: "the standing audit has compared them, and the stream does not explain it",
		done: readSwept, left: byHand,
	},
}

// tell says what the opening of a session has found, a line for each cause, and counts it.
func (p *Poller) tell(repairs []exchange.Repair) {
	for _, r := range repairs {
		d, known := damages[r.Cause]
		if !known {
			d = damage{found: "the function reports damage", why: "its cause is newer than this poller", done: readAgain, left: byHand}
		}
		fix, done := "nothing to do: "+d.done, "yes"
		if r.Left {
			fix, done = fmt.Sprintf("nothing is done about it, since POLLER_REPAIR does not have %s: %s", r.Cause, d.left), "no"
		}
		p.log.Warn(d.found, "cause", string(r.Cause), "why", d.why, "fix", fix, "tables", strings.Join(r.Tables, ","))
		p.metrics.Repairs.WithLabelValues(string(r.Cause), done).Inc()
	}
}
