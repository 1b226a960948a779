package redisstore

import (
	"slices"
	"strings"

	"freshet/shared/change"
	"freshet/shared/exchange"
)

// remedy is what is done about damage, the harshest last. Each does what those before it do as well.
type remedy int

const (
	none    remedy = iota
	reread         // rows are read again; keys stay meanwhile
	resweep        // and keys without rows are removed afterwards
	refill         // keys are removed first
)

// remedies are the causes that are damage. The others are no reason for a report.
var remedies = map[change.Cause]remedy{
	change.CauseEmptied:   resweep,
	change.CauseBehind:    refill,  // of keys in Redis nobody knows how old they are
	change.CauseSlot:      resweep, // what changed in between was never seen
	change.CausePromoted:  resweep, // a promoted standby lacks little
	change.CauseRules:     resweep,
	change.CauseShape:     reread,
	change.CauseRecreated: refill,
}

// opening is a session's decision in the making.
type opening struct {
	ask  exchange.OpenRequest
	plan exchange.Plan
	old  *state       // nil for a fresh one
	lost change.Cause // see state.lost
	next *state

	mended, left map[change.Cause][]string // tables
}

// mends says whether a cause is repaired by itself. Where no rows may be read, nothing is but what removes keys.
func (o *opening) mends(cause change.Cause) bool {
	return slices.Contains(o.ask.Repair, cause) && (o.ask.Backfill || remedies[cause] == refill)
}

// first decides how a table begins in a sink that has no state. Where Redis is not bare, only the state may be gone, or another program may have
// kept the keys before: then those without a row are looked for.
func (o *opening) first(t exchange.TableShape, bare bool) {
	name := t.Table().String()
	b := change.Backfill{State: change.BackfillOff, Cause: change.CauseEmptied}
	switch {
	case o.ask.NewSlot:
		b = o.unread(change.CauseStart)
		b.Sweep = b.State == change.BackfillPending && !bare
	case o.mends(change.CauseEmptied):
		b.State, b.Sweep = change.BackfillPending, !bare
		note(&o.mended, change.CauseEmptied, name)
	default:
		note(&o.left, change.CauseEmptied, name)
	}
	o.next.backfills[name] = b
	o.record(t, nil)
}

// unread is how a table begins of which no row was read.
func (o *opening) unread(cause change.Cause) change.Backfill {
	if o.ask.Backfill {
		return change.Backfill{State: change.BackfillPending, Cause: cause}
	}
	return change.Backfill{State: change.BackfillOff, Cause: cause}
}

// again decides how a table goes on.
func (o *opening) again(t exchange.TableShape) {
	name := t.Table().String()
	was, known := o.old.backfills[name]
	b, heals := o.goOn(was, known)
	found := o.damage(t, was, known)
	var by change.Cause
	for _, cause := range found {
		if o.mends(cause) && remedies[cause] > heals {
			by, heals = cause, remedies[cause]
		}
	}
	if by != "" {
		b = restarted(was, by)
		note(&o.mended, by, name)
	}
	// What is healed on the way is not left, even if nobody asked for it.
	left := slices.DeleteFunc(found, func(cause change.Cause) bool { return remedies[cause] <= heals })
	for _, cause := range left {
		note(&o.left, cause, name)
	}
	o.next.backfills[name] = b
	o.record(t, left)
}

// goOn is how a table goes on when nothing new is the matter with it, and what that heals.
func (o *opening) goOn(was change.Backfill, known bool) (b change.Backfill, heals remedy) {
	switch {
	case !known && o.lost == change.CauseBehind && o.mends(o.lost):
		return o.unread(change.CauseTable), none // nobody knows how old what is there may be
	case !known:
		return o.unread(change.CauseTable), refill // it has no keys
	case was.State == change.BackfillClear:
		return was, refill
	case was.State == change.BackfillOff && was.Cause != change.CauseEmptied && o.ask.Backfill:
		return o.unread(change.CauseTable), none
	}
	return was, none
}

// damage is everything that is the matter with a table. No change of a row tells that it is another table now, or that its rows have other
// columns: a new column, even one with a default, changes none.
func (o *opening) damage(t exchange.TableShape, was change.Backfill, known bool) (found []change.Cause) {
	if was.State == change.BackfillOff && was.Cause == change.CauseEmptied {
		found = append(found, change.CauseEmptied) // left as it was
	}
	if o.lost != "" {
		found = append(found, o.lost)
	}
	then, shaped := o.old.shapes[t.Table().String()]
	if o.ruledOtherwise(then, o.plan.Tables[t.Table().String()]) {
		found = append(found, change.CauseRules)
	}
	if shaped && then.Identity != "" && t.Identity != "" && t.Identity != then.Identity {
		found = append(found, change.CauseRecreated)
	}
	if shaped && then.Shape != "" && t.Shape != "" && t.Shape != then.Shape {
		found = append(found, change.CauseShape)
	}
	return found
}

// ruledOtherwise says that other rules have made the keys of a table. Those of other tables do not concern it, where that is known.
func (o *opening) ruledOtherwise(then shape, now exchange.TablePlan) bool {
	if then.Rules != "" && now.Rules != "" {
		return then.Rules != now.Rules
	}
	return o.old.rules != o.plan.Rules
}

// restarted reads all rows from the first one on. A sweep that was to come still is, and a pause lasts until someone ends it.
func restarted(was change.Backfill, cause change.Cause) change.Backfill {
	b := change.Backfill{State: change.BackfillPending, Cause: cause, Sweep: remedies[cause] == resweep}
	if remedies[cause] == refill {
		b.State = change.BackfillClear
	}
	if was.State.Active() {
		b.Paused = was.Paused
		b.Sweep = b.Sweep || was.Sweep && b.State == change.BackfillPending
	}
	return b
}

// record keeps what the table is now. What was left as it is keeps its old mark, so that it is found again.
func (o *opening) record(t exchange.TableShape, left []change.Cause) {
	name := t.Table().String()
	is := o.next.shapes[name]
	if t.Identity != "" && !slices.Contains(left, change.CauseRecreated) {
		is.Identity = t.Identity
	}
	if t.Shape != "" && !slices.Contains(left, change.CauseShape) {
		is.Shape = t.Shape
	}
	if now := prefixes(o.plan.Tables[name]); len(now) > 0 {
		before := slices.DeleteFunc(slices.Clone(is.Prefixes), func(p string) bool { return slices.Contains(now, p) })
		if slices.Contains(left, change.CauseRules) {
			is.Prefixes = append(before, now...)
		} else {
			is.Prefixes = slices.Clone(now)
			o.leave(name, before)
		}
	}
	if !slices.Contains(left, change.CauseRules) {
		is.Rules = o.plan.Tables[name].Rules
	}
	if slices.Contains(left, change.CauseRules) {
		o.next.rules = o.old.rules
	}
	if is.Identity != "" || is.Shape != "" || is.Rules != "" || len(is.Prefixes) > 0 {
		o.next.shapes[name] = is
	}
}

// prefixes are all that keys of the table begin with.
func prefixes(t exchange.TablePlan) []string {
	if len(t.KeyPrefixes) == 0 && t.KeyPrefix != "" {
		return []string{t.KeyPrefix}
	}
	return t.KeyPrefixes
}

// leave marks prefixes whose keys are to be removed once the table has its keys under the new one.
func (o *opening) leave(table string, prefixes []string) {
	all := slices.Concat(o.next.leftover[table], prefixes)
	slices.Sort(all)
	if all = slices.Compact(all); len(all) > 0 {
		o.next.leftover[table] = all
	}
}

// spare takes those out of what is to be removed that a key of today may begin with. If rows were to lose keys, the sweep has to do.
func (o *opening) spare() {
	for table, marked := range o.next.leftover {
		kept := slices.DeleteFunc(slices.Clone(marked), func(old string) bool {
			for _, is := range o.plan.Tables {
				if slices.ContainsFunc(prefixes(is), func(now string) bool { return strings.HasPrefix(now, old) || strings.HasPrefix(old, now) }) {
					return true
				}
			}
			return false
		})
		if o.next.leftover[table] = kept; len(kept) == 0 {
			delete(o.next.leftover, table)
		}
	}
}

// repairs is the report, in the order of change.Repairs.
func (o *opening) repairs() (all []exchange.Repair) {
	for _, cause := range change.Repairs {
		if tables := o.mended[cause]; len(tables) > 0 {
			all = append(all, exchange.Repair{Cause: cause, Tables: tables})
		}
		if tables := o.left[cause]; len(tables) > 0 {
			all = append(all, exchange.Repair{Cause: cause, Tables: tables, Left: true})
		}
	}
	return all
}

// note adds a table to those of a cause.
func note(to *map[change.Cause][]string, cause change.Cause, table string) {
	if *to == nil {
		*to = map[change.Cause][]string{}
	}
	(*to)[cause] = append((*to)[cause], table)
	slices.Sort((*to)[cause])
}
