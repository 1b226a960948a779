package redisstore

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"freshet/functions/effect"
	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// Decision is what opening a session changes in the state, and what it answers. Nothing to set means that nothing changes.
type Decision struct {
	Response exchange.OpenResponse
	Set      map[string]string
	Delete   []string
}

// Decide compares what the sink says of itself with what the poller can still send. fields is the whole state, empty when there is none;
// plan is made of today's rules. It is the recovery table of the design as code; an *effect.Refusal leaves the sink alone.
func Decide(fields map[string]string, ask exchange.OpenRequest, plan exchange.Plan) (Decision, error) {
	old, err := readState(fields)
	switch {
	case err != nil:
		return Decision{}, damaged(ask.Sink, err)
	case old == nil:
		return begin(fields, fresh(ask, plan), ask, exchange.FoundFresh), nil
	case old.source.System != ask.Source.System || old.source.Database != ask.Source.Database:
		return Decision{}, foreign(ask, old.source)
	}
	lost, found := old.lost(ask), exchange.FoundCurrent
	if lost != "" {
		found = exchange.FoundBehind
	}
	if old.session == ask.Session {
		return Decision{Response: old.response(ask, found)}, nil
	}
	return begin(fields, old.resume(ask, plan, lost), ask, found), nil
}

// lost says why the slot cannot send everything any more that the sink lacks; it is empty when it can. A new timeline may have taken back
// what was applied from the old one, so nothing there can be trusted.
func (s *state) lost(ask exchange.OpenRequest) change.Cause {
	switch {
	case s.source.Timeline != ask.Source.Timeline:
		return change.CausePromoted
	case s.sealed >= ask.Confirmed:
		return ""
	case ask.NewSlot, s.source.Slot != ask.Source.Slot:
		return change.CauseSlot
	}
	return change.CauseBehind
}

// perTable begin the names of fields that are there once for each table, lane or the like.
var perTable = []string{laneField, backfillField, shapeField, leftoverField}

// begin writes the new state over the fields that were there.
func begin(fields map[string]string, s *state, ask exchange.OpenRequest, as exchange.Found) Decision {
	d := Decision{Response: s.response(ask, as), Set: s.fields()}
	for name := range fields {
		_, kept := d.Set[name]
		if !kept && slices.ContainsFunc(perTable, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			d.Delete = append(d.Delete, name)
		}
	}
	return d
}

func (s *state) response(ask exchange.OpenRequest, as exchange.Found) exchange.OpenResponse {
	r := exchange.OpenResponse{Session: s.session, Found: as, Sealed: s.sealed, Applied: s.applied(), Repairs: s.repairs, Backfills: map[string]change.Backfill{}}
	for _, t := range ask.Tables {
		if b, known := s.backfills[t.Table().String()]; known {
			r.Backfills[t.Table().String()] = b
		}
	}
	for _, table := range slices.Sorted(maps.Keys(s.backfills)) {
		if _, asked := r.Backfills[table]; !asked {
			r.Abandoned = append(r.Abandoned, table)
		}
	}
	return r
}

// blank is a state in which nothing has been applied.
func blank(ask exchange.OpenRequest, rules string) *state {
	return &state{
		source: ask.Source, session: ask.Session, rules: rules, sealed: ask.Confirmed, through: make([]change.Position, ask.Lanes),
		backfills: map[string]change.Backfill{}, shapes: map[string]shape{}, leftover: map[string][]string{},
	}
}

// fresh is the state of a sink that has none: it never had one, or Redis was emptied.
func fresh(ask exchange.OpenRequest, plan exchange.Plan) *state {
	o := opening{ask: ask, plan: plan, next: blank(ask, plan.Rules)}
	for _, t := range ask.Tables {
		o.first(t)
	}
	o.next.repairs = o.repairs()
	return o.next
}

// resume goes on where the sink is, or, where the slot cannot send what it lacks, begins anew beside the keys that are there.
func (s *state) resume(ask exchange.OpenRequest, plan exchange.Plan, lost change.Cause) *state {
	o := opening{ask: ask, plan: plan, old: s, lost: lost, next: blank(ask, plan.Rules)}
	if lost == "" {
		o.next.sealed, o.next.through, o.next.before = s.sealed, s.through, s.before
		o.next.relane(ask.Lanes, ask.Confirmed)
	}
	// A table that is left out now is not followed any more, so its keys grow old. Should it come back, they are cleared first.
	for table := range s.backfills {
		o.next.backfills[table] = change.Backfill{State: change.BackfillClear, Cause: change.CauseTable}
	}
	maps.Copy(o.next.shapes, s.shapes)
	maps.Copy(o.next.leftover, s.leftover)
	for _, t := range ask.Tables {
		o.again(t)
	}
	o.spare()
	o.next.repairs = o.repairs()
	return o.next
}

func foreign(ask exchange.OpenRequest, owner change.Source) error {
	return &effect.Refusal{Reason: exchange.ReasonForeign, Cause: &problem.Error{
		What: "this sink mirrors another database",
		Why: fmt.Sprintf("%s belongs to database %q of system %s; the request comes from database %q of system %s",
			stateKey(ask.Sink), owner.Database, owner.System, ask.Source.Database, ask.Source.System),
		Fix: fmt.Sprintf("give this poller its own POLLER_SINK; or, to let it take over, remove the old keys and DEL %s", stateKey(ask.Sink)),
	}}
}

func damaged(sink string, err error) error {
	return &effect.Refusal{Reason: effect.ReasonDamaged, Cause: &problem.Error{
		What: "the state of this sink cannot be read",
		Why:  fmt.Sprintf("%s, %v", stateKey(sink), err),
		Fix:  fmt.Sprintf("see who else writes to it; to fill the sink anew, DEL %s", stateKey(sink)),
	}}
}
