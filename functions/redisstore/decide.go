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
// rules is the hash of today's rules. It is the recovery table of the design as code; an *effect.Refusal leaves the sink alone.
func Decide(fields map[string]string, ask exchange.OpenRequest, rules string) (Decision, error) {
	old, err := readState(fields)
	switch {
	case err != nil:
		return Decision{}, damaged(ask.Sink, err)
	case old == nil:
		return begin(fields, fresh(ask, rules), ask, exchange.FoundFresh), nil
	case old.source.System != ask.Source.System || old.source.Database != ask.Source.Database:
		return Decision{}, foreign(ask, old.source)
	case old.session == ask.Session:
		return Decision{Response: old.response(ask, found(old, ask))}, nil
	case found(old, ask) == exchange.FoundBehind:
		return begin(fields, old.behind(ask, rules), ask, exchange.FoundBehind), nil
	}
	return begin(fields, old.resume(ask, rules), ask, exchange.FoundCurrent), nil
}

// found says whether the slot can still send everything that the sink lacks. A new timeline may have taken back what was applied from the
// old one, so nothing there can be trusted.
func found(old *state, ask exchange.OpenRequest) exchange.Found {
	if old.source.Timeline != ask.Source.Timeline || old.sealed < ask.Confirmed {
		return exchange.FoundBehind
	}
	return exchange.FoundCurrent
}

// begin writes the new state over the fields that were there.
func begin(fields map[string]string, s *state, ask exchange.OpenRequest, as exchange.Found) Decision {
	d := Decision{Response: s.response(ask, as), Set: s.fields()}
	for name := range fields {
		_, kept := d.Set[name]
		if !kept && (strings.HasPrefix(name, laneField) || strings.HasPrefix(name, backfillField) || strings.HasPrefix(name, shapeField)) {
			d.Delete = append(d.Delete, name)
		}
	}
	return d
}

func (s *state) response(ask exchange.OpenRequest, as exchange.Found) exchange.OpenResponse {
	r := exchange.OpenResponse{Session: s.session, Found: as, Sealed: s.sealed, Applied: s.applied(), Backfills: map[string]change.Backfill{}}
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
	shapes := map[string]shape{}
	for _, t := range ask.Tables {
		if t.Identity != "" || t.Shape != "" {
			shapes[t.Table().String()] = shape{Identity: t.Identity, Shape: t.Shape}
		}
	}
	return &state{
		shapes: shapes,
		source: ask.Source, session: ask.Session, rules: rules, sealed: ask.Confirmed,
		through: make([]change.Position, ask.Lanes), backfills: map[string]change.Backfill{},
	}
}

func fresh(ask exchange.OpenRequest, rules string) *state {
	s := blank(ask, rules)
	for _, t := range ask.Tables {
		s.backfills[t.Table().String()] = change.Backfill{State: unknown(ask)}
	}
	return s
}

// unknown is how a table begins that the sink has not seen.
func unknown(ask exchange.OpenRequest) change.BackfillState {
	if ask.Backfill {
		return change.BackfillPending
	}
	return change.BackfillOff
}

// behind starts anew with keys in Redis of which nobody knows how old they are.
func (s *state) behind(ask exchange.OpenRequest, rules string) *state {
	next := blank(ask, rules)
	for table := range s.backfills {
		next.backfills[table] = change.Backfill{State: change.BackfillClear}
	}
	for _, t := range ask.Tables {
		next.backfills[t.Table().String()] = change.Backfill{State: change.BackfillClear}
	}
	return next
}

// resume goes on where the sink is.
func (s *state) resume(ask exchange.OpenRequest, rules string) *state {
	next := blank(ask, rules)
	next.sealed, next.through, next.before = s.sealed, s.through, s.before
	next.relane(ask.Lanes, ask.Confirmed)
	// A table that is left out now is not followed any more, so its keys grow old. Should it come back, they are cleared first.
	for table := range s.backfills {
		next.backfills[table] = change.Backfill{State: change.BackfillClear}
	}
	for _, t := range ask.Tables {
		table := t.Table().String()
		was, known := s.backfills[table]
		next.backfills[table] = resumed(was, known, ask, s.rules != rules)
		if then, known := s.shapes[table]; known {
			next.backfills[table] = then.altered(t, next.backfills[table], ask.Backfill)
		}
	}
	return next
}

// altered is how a table goes on when it is another one, or its rows have other columns, than when its keys were written. No change
// of a row tells so: a new column, even one with a default, changes none.
func (then shape) altered(now exchange.TableShape, b change.Backfill, backfill bool) change.Backfill {
	switch {
	case now.Identity != "" && now.Identity != then.Identity:
		return change.Backfill{State: change.BackfillClear}
	case now.Shape != "" && now.Shape != then.Shape && backfill && b.State != change.BackfillClear:
		return change.Backfill{State: change.BackfillPending}
	}
	return b
}

// resumed is how a table goes on.
func resumed(was change.Backfill, known bool, ask exchange.OpenRequest, newRules bool) change.Backfill {
	switch {
	case !known:
		return change.Backfill{State: unknown(ask)}
	case was.State == change.BackfillClear:
		return was
	case newRules, was.State == change.BackfillOff && ask.Backfill:
		return change.Backfill{State: change.BackfillPending}
	}
	return was
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
