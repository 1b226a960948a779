package redisstore_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"freshet/functions/redisstore"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// spell writes a backfill as "pending rules sweep", "running@7 asked paused where".
func spell(b change.Backfill) string {
	all := []string{string(b.State)}
	if len(b.Cursor) > 0 {
		all[0] += "@" + strings.Join(b.Cursor, ",")
	}
	if b.Cause != "" {
		all = append(all, string(b.Cause))
	}
	for word, is := range map[string]bool{"sweep": b.Sweep, "paused": b.Paused, "where": b.Where != ""} {
		if is {
			all = append(all, word)
		}
	}
	slices.Sort(all[1:])
	return strings.Join(all, " ")
}

// report spells what was found: "rules t,u; shape t left".
func report(r exchange.OpenResponse) string {
	var all []string
	for _, repair := range r.Repairs {
		text := string(repair.Cause) + " " + strings.ReplaceAll(strings.Join(repair.Tables, ","), "public.", "")
		if repair.Left {
			text += " left"
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

// The recovery table: a sink whose table t is in some state, and what its next session makes of it.
func TestDecide_Repairs(t *testing.T) {
	const (
		done    = `{"state":"done","rows":9}`
		running = `{"state":"running","cursor":["7"],"rows":7,"cause":"asked","sweep":true,"paused":true}`
		partly  = `{"state":"running","cursor":["7"],"rows":7,"cause":"asked","where":"id < 9"}`
	)
	promoted := func(r *exchange.OpenRequest) { r.Source.Timeline = 2 }
	newSlot := func(r *exchange.OpenRequest) { r.Confirmed, r.NewSlot = 0x1000, true }
	otherSlot := func(r *exchange.OpenRequest) { r.Confirmed, r.Source.Slot = 0x1000, "other" }
	behind := func(r *exchange.OpenRequest) { r.Confirmed = 0x1000 }
	altered := func(r *exchange.OpenRequest) { r.Tables[0].Shape = "s2" }
	recreated := func(r *exchange.OpenRequest) { r.Tables[0].Identity = "i2" }
	rules := func(r *exchange.OpenRequest) { r.Session = "rules" } // see below
	off := func(r *exchange.OpenRequest) { r.Backfill = false }
	nothing := func(r *exchange.OpenRequest) { r.Repair = nil }
	except := func(cause change.Cause) func(*exchange.OpenRequest) {
		return func(r *exchange.OpenRequest) {
			r.Repair = slices.DeleteFunc(slices.Clone(change.Repairs), func(c change.Cause) bool { return c == cause })
		}
	}
	type edits []func(*exchange.OpenRequest)
	for _, c := range []struct {
		name         string
		was          string
		edits        edits
		want, report string
		found        exchange.Found
	}{
		{"nothing", done, nil, "done", "", exchange.FoundCurrent},
		{"nothing, on its way", running, nil, "running@7 asked paused sweep", "", exchange.FoundCurrent},
		{"nothing, sweeping", `{"state":"sweeping","cause":"rules","sweep":true}`, nil, "sweeping rules sweep", "", exchange.FoundCurrent},
		{"nothing, cancelled", `{"state":"cancelled","cause":"asked"}`, nil, "cancelled asked", "", exchange.FoundCurrent},
		{"a slot of another name that has everything", done, edits{func(r *exchange.OpenRequest) { r.Source.Slot = "other" }}, "done", "", exchange.FoundCurrent},
		{"a new slot that begins where the sink is", done, edits{func(r *exchange.OpenRequest) { r.NewSlot = true }}, "done", "", exchange.FoundCurrent},

		{"promoted", done, edits{promoted}, "pending promoted sweep", "promoted t", exchange.FoundBehind},
		{"promoted, cancelled", `{"state":"cancelled"}`, edits{promoted}, "pending promoted sweep", "promoted t", exchange.FoundBehind},
		{"promoted, on its way", running, edits{promoted}, "pending paused promoted sweep", "promoted t", exchange.FoundBehind},
		{"promoted, left", running, edits{promoted, nothing}, "running@7 asked paused sweep", "promoted t left", exchange.FoundBehind},
		{"promoted, nothing may be read", done, edits{promoted, off}, "done", "promoted t left", exchange.FoundBehind},
		{"promoted, before the keys were cleared", `{"state":"clear","cause":"behind"}`, edits{promoted}, "clear behind", "", exchange.FoundBehind},

		{"a new slot", done, edits{newSlot}, "pending slot sweep", "slot t", exchange.FoundBehind},
		{"another slot", done, edits{otherSlot}, "pending slot sweep", "slot t", exchange.FoundBehind},
		{"a new slot, left", done, edits{newSlot, except(change.CauseSlot)}, "done", "slot t left", exchange.FoundBehind},

		{"behind", done, edits{behind}, "clear behind", "behind t", exchange.FoundBehind},
		{"behind, nothing may be read", done, edits{behind, off}, "clear behind", "behind t", exchange.FoundBehind},
		{"behind, left", running, edits{behind, except(change.CauseBehind)}, "running@7 asked paused sweep", "behind t left", exchange.FoundBehind},

		{"rules", done, edits{rules}, "pending rules sweep", "rules t,u", exchange.FoundCurrent},
		{"rules, off", `{"state":"off"}`, edits{rules}, "pending rules sweep", "rules t,u", exchange.FoundCurrent},
		{"rules, part of the rows was asked for", partly, edits{rules}, "pending rules sweep", "rules t,u", exchange.FoundCurrent},
		{"rules, left", partly, edits{rules, except(change.CauseRules)}, "running@7 asked where", "rules t,u left", exchange.FoundCurrent},
		{"rules, nothing may be read", done, edits{rules, off}, "done", "rules t,u left", exchange.FoundCurrent},

		{"shape", done, edits{altered}, "pending shape", "shape t", exchange.FoundCurrent},
		{"shape, before the sweep", `{"state":"sweeping","cause":"rules","sweep":true}`, edits{altered}, "pending shape sweep", "shape t", exchange.FoundCurrent},
		{"shape, part of the rows was asked for", partly, edits{altered}, "pending shape", "shape t", exchange.FoundCurrent},
		{"shape, left", done, edits{altered, except(change.CauseShape)}, "done", "shape t left", exchange.FoundCurrent},

		{"recreated", done, edits{recreated}, "clear recreated", "recreated t", exchange.FoundCurrent},
		{"recreated, nothing may be read", done, edits{recreated, off}, "clear recreated", "recreated t", exchange.FoundCurrent},
		{"recreated, left", done, edits{recreated, except(change.CauseRecreated)}, "done", "recreated t left", exchange.FoundCurrent},

		{"the harshest wins", done, edits{promoted, recreated, altered}, "clear recreated", "promoted u; recreated t", exchange.FoundBehind},
		{"a sweep is harsher than reading", done, edits{rules, altered}, "pending rules sweep", "rules t,u", exchange.FoundCurrent},
		{"what is left is healed on the way", done, edits{rules, altered, except(change.CauseShape)}, "pending rules sweep", "rules t,u", exchange.FoundCurrent},
		{"what is left is too much to be healed on the way", done, edits{altered, recreated, except(change.CauseRecreated)}, "pending shape", "shape t; recreated t left", exchange.FoundCurrent},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStory(t)
			first := ask("s1", "t", "u")
			first.Tables[0].Identity, first.Tables[0].Shape = "i1", "s1"
			s.open(first)
			s.fields["sealed"], s.fields["lane:1"] = "0/200", "9 0000000000000150-00000001"
			s.backfill("t", c.was)
			s.backfill("u", done)
			next := first
			next.Tables = slices.Clone(first.Tables)
			next.Session, next.Confirmed = "s2", 0x200
			for _, edit := range c.edits {
				edit(&next)
			}
			if next.Session == "rules" {
				s.rules = "r2"
			}
			r := s.open(next)
			if got := spell(r.Backfills["public.t"]); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			// What befell all tables is told of the other too.
			want := c.report
			for _, of := range []string{"promoted t", "slot t", "behind t"} {
				want = strings.Replace(want, of, of+",u", 1)
			}
			if c.was == `{"state":"clear","cause":"behind"}` {
				want = "promoted u"
			}
			if got := report(r); got != want {
				t.Errorf("report: got %q, want %q", got, want)
			}
			wantFound(t, r, c.found, next.Confirmed)
			reset := r.Applied[0].Through[1] == change.Position{}
			if lost := c.found == exchange.FoundBehind; reset != lost {
				t.Errorf("positions begin anew: %v, want %v", reset, lost)
			}
			if again := s.open(next); report(again) != want {
				t.Errorf("the same session asks again: got %q, want %q", report(again), want)
			}
			s.later(c.report, next)
		})
	}
}

// later opens one more session: what is mended is not found again; what was left is, unless the stream begins anew anyway.
func (s *story) later(was string, next exchange.OpenRequest) {
	s.t.Helper()
	next.Session, next.NewSlot = "s3", false
	want := ""
	for _, part := range strings.Split(was, "; ") {
		if strings.HasSuffix(part, " left") && !strings.HasPrefix(part, "promoted") && !strings.HasPrefix(part, "slot") && !strings.HasPrefix(part, "behind") {
			want = part
		}
	}
	if got := report(s.open(next)); got != want {
		s.t.Errorf("the session after: got %q, want %q", got, want)
	}
	if want == "" {
		return
	}
	next.Session, next.Backfill, next.Repair = "s4", true, change.Repairs
	if got := report(s.open(next)); got != strings.TrimSuffix(want, " left") {
		s.t.Errorf("once it is to be repaired: got %q, want %q", got, strings.TrimSuffix(want, " left"))
	}
	next.Session = "s5"
	if got := report(s.open(next)); got != "" {
		s.t.Errorf("after it was repaired: got %q", got)
	}
}

func TestDecide_FreshHasACause(t *testing.T) {
	for _, c := range []struct {
		name         string
		edit         func(*exchange.OpenRequest)
		want, report string
		after        string // in a session that may do everything
	}{
		{"the first start", func(r *exchange.OpenRequest) { r.NewSlot, r.Repair = true, nil }, "pending start sweep", "", "pending start sweep"},
		{"the first start, nothing is to be read", func(r *exchange.OpenRequest) { r.NewSlot, r.Backfill = true, false }, "off start", "", "pending table"},
		{"emptied", func(*exchange.OpenRequest) {}, "pending emptied sweep", "emptied t", "pending emptied sweep"},
		{"emptied, left", func(r *exchange.OpenRequest) { r.Repair = nil }, "off emptied", "emptied t left", "pending emptied sweep"},
		{"emptied, nothing may be read", func(r *exchange.OpenRequest) { r.Backfill = false }, "off emptied", "emptied t left", "pending emptied sweep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStory(t)
			r := ask("s1", "t")
			c.edit(&r)
			first := s.open(r)
			if got := spell(first.Backfills["public.t"]); got != c.want || report(first) != c.report {
				t.Errorf("got %q, %q, want %q, %q", got, report(first), c.want, c.report)
			}
			wantFound(t, first, exchange.FoundFresh, 0x100)
			// It must not take a restart to do what was not to be done.
			r.Session, r.NewSlot = "s2", false
			if second := s.open(r); spell(second.Backfills["public.t"]) != c.want {
				t.Errorf("after a restart: got %q, want %q", spell(second.Backfills["public.t"]), c.want)
			}
			if got := spell(s.open(ask("s3", "t")).Backfills["public.t"]); got != c.after {
				t.Errorf("when all is allowed: got %q, want %q", got, c.after)
			}
		})
	}
}

func TestDecide_TablesThatJoin(t *testing.T) {
	s := newStory(t)
	s.open(ask("s1", "t"))
	s.backfill("t", `{"state":"done"}`)
	s.rules = "r2"
	next := ask("s2", "t", "new")
	next.Source.Timeline = 2
	r := s.open(next)
	if got := spell(r.Backfills["public.new"]); got != "pending table" || report(r) != "promoted t" {
		t.Errorf("got %q, %q: there is nothing of a new table that could be wrong", got, report(r))
	}
	s.open(ask("s3", "t"))
	if got := spell(s.open(ask("s4", "t", "new")).Backfills["public.new"]); got != "clear table" {
		t.Errorf("a table that comes back: got %q", got)
	}
}

// Keys that other rules have made go, once the table has its new ones; never those that a table has now.
func TestDecide_KeysUnderAnEarlierPrefix(t *testing.T) {
	s := newStory(t)
	s.prefix = "a:"
	s.open(ask("s1", "t", "gone"))
	step := func(session, rules, prefix, want string, edit func(*exchange.OpenRequest)) {
		t.Helper()
		s.rules, s.prefix = rules, prefix
		r := ask(session, "t")
		if edit != nil {
			edit(&r)
		}
		s.open(r)
		if got := s.fields["leftover:public.t"]; got != want {
			t.Errorf("session %s: got leftover %s, want %s", session, got, want)
		}
	}
	left := func(r *exchange.OpenRequest) { r.Repair = nil }
	step("s2", "r2", "a:", "", nil)
	step("s3", "r3", "b:", `["a:t:"]`, nil)
	step("s4", "r3", "b:", `["a:t:"]`, nil)
	step("s5", "r4", "c:", `["a:t:"]`, left) // it goes on under c: beside the keys under b:
	step("s6", "r5", "d:", `["a:t:"]`, left)
	step("s7", "r5", "d:", `["a:t:","b:t:","c:t:"]`, nil)
	step("s8", "r6", "b:", `["a:t:","c:t:","d:t:"]`, nil)
	step("s9", "r7", "a:t:", `["b:t:","c:t:","d:t:"]`, nil) // its keys begin with one of the old prefixes
	step("s10", "r8", "", `["b:t:","c:t:","d:t:"]`, nil)    // no keys are known
	s.fields["leftover:public.t"] = "[]"
	step("s11", "r8", "b:", `["a:t:t:"]`, nil)
	// A table that was left out meanwhile still knows where its keys are.
	s.open(ask("s12", "t", "gone"))
	if got := s.fields["leftover:public.gone"]; got != `["a:gone:"]` {
		t.Errorf("a table that comes back: got leftover %s", got)
	}
}

// Changed rules concern the tables that they are for, and all the prefixes that those have had.
func TestDecide_RulesOfSomeTables(t *testing.T) {
	s := newStory(t)
	decide := func(session string, plan exchange.Plan) exchange.OpenResponse {
		t.Helper()
		d, err := redisstore.Decide(s.fields, false, ask(session, "t", "u"), plan)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(s.fields, d.Set)
		for _, name := range d.Delete {
			delete(s.fields, name)
		}
		return d.Response
	}
	plan := func(whole, ofT string, prefixes ...string) exchange.Plan {
		return exchange.Plan{Rules: whole, Tables: map[string]exchange.TablePlan{
			"public.t": {Rules: ofT, KeyPrefix: prefixes[0], KeyPrefixes: prefixes}, "public.u": {Rules: "u1", KeyPrefix: "u:", KeyPrefixes: []string{"u:"}},
		}}
	}
	decide("s1", plan("r1", "t1", "a:", "b:"))
	for _, table := range []string{"t", "u"} {
		s.backfill(table, `{"state":"done","rows":9}`)
	}
	if got := report(decide("s2", plan("r2", "t2", "a:", "c:"))); got != "rules t" {
		t.Errorf("got %q, want the rules of t to have changed", got)
	}
	if got := s.fields["leftover:public.t"]; got != `["b:"]` {
		t.Errorf("leftover %s", got)
	}
	s.backfill("t", `{"state":"done","rows":9}`)
	if got := report(decide("s3", plan("r3", "t2", "a:", "c:"))); got != "" {
		t.Errorf("got %q, want nothing: the rules of other tables have changed", got)
	}
}
