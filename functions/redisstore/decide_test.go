package redisstore_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"freshet/functions/effect"
	"freshet/functions/redisstore"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// story is a sink through several sessions, with nothing but Decide and a map.
type story struct {
	t      *testing.T
	fields map[string]string
	rules  string
	prefix string // of all keys; empty when the plan tells none
}

// plan is made of the story's rules.
func (s *story) plan(r exchange.OpenRequest) exchange.Plan {
	p := exchange.Plan{Rules: s.rules, Tables: map[string]exchange.TablePlan{}}
	for _, t := range r.Tables {
		if s.prefix != "" {
			p.Tables[t.Table().String()] = exchange.TablePlan{KeyPrefix: s.prefix + t.Name + ":"}
		}
	}
	return p
}

func newStory(t *testing.T) *story { return &story{t: t, fields: map[string]string{}, rules: "r1"} }

func ask(session string, tables ...string) exchange.OpenRequest {
	r := exchange.OpenRequest{
		Sink: "shop", Session: session, Lanes: 2, Confirmed: 0x100, Backfill: true, Repair: change.Repairs,
		Source: change.Source{System: "7421", Timeline: 1, Database: "shop", Slot: "freshet"},
	}
	for _, name := range tables {
		r.Tables = append(r.Tables, exchange.TableShape{Schema: "public", Name: name, PrimaryKey: []string{"id"}})
	}
	return r
}

// open decides and does what was decided.
func (s *story) open(r exchange.OpenRequest) exchange.OpenResponse {
	s.t.Helper()
	d, err := redisstore.Decide(s.fields, r, s.plan(r))
	if err != nil {
		s.t.Fatal(err)
	}
	maps.Copy(s.fields, d.Set)
	for _, name := range d.Delete {
		delete(s.fields, name)
	}
	return d.Response
}

func (s *story) backfill(table, json string) { s.fields["backfill:public."+table] = json }

// wantBackfills spells the answer as "t=pending u=running/1000".
func wantBackfills(t *testing.T, r exchange.OpenResponse, want string) {
	t.Helper()
	got := map[string]string{}
	for table, b := range r.Backfills {
		got[strings.TrimPrefix(table, "public.")] = string(b.State)
		if len(b.Cursor) > 0 {
			got[strings.TrimPrefix(table, "public.")] += "@" + strings.Join(b.Cursor, ",")
		}
	}
	wanted := map[string]string{}
	for pair := range strings.FieldsSeq(want) {
		table, state, _ := strings.Cut(pair, "=")
		wanted[table] = state
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("backfills: %s", diff)
	}
}

func wantFound(t *testing.T, r exchange.OpenResponse, found exchange.Found, sealed change.LSN) {
	t.Helper()
	if r.Found != found || r.Sealed != sealed {
		t.Errorf("got %s sealed %s, want %s sealed %s", r.Found, r.Sealed, found, sealed)
	}
}

func TestDecide_Fresh(t *testing.T) {
	s := newStory(t)
	r := s.open(ask("s1", "t", "u"))
	wantFound(t, r, exchange.FoundFresh, 0x100)
	wantBackfills(t, r, "t=pending u=pending")
	want := map[string]string{
		"source":  `{"system":"7421","timeline":1,"database":"shop","slot":"freshet"}`,
		"session": "s1", "rules": "r1", "sealed": "0/100", "lanes": "2", "count": "0", "before": "null",
		"lane:0": "0 0000000000000000-00000000", "lane:1": "0 0000000000000000-00000000",
		"backfill:public.t": `{"state":"pending","rows":0,"cause":"emptied"}`, "backfill:public.u": `{"state":"pending","rows":0,"cause":"emptied"}`,
		"repairs": `[{"cause":"emptied","tables":["public.t","public.u"]}]`,
	}
	if diff := cmp.Diff(want, s.fields); diff != "" {
		t.Error(diff)
	}
}

func TestDecide_FreshWithoutBackfill(t *testing.T) {
	s := newStory(t)
	r := ask("s1", "t")
	r.Backfill = false
	wantBackfills(t, s.open(r), "t=off")
	r.Session, r.Backfill = "s2", true
	wantBackfills(t, s.open(r), "t=pending")
}

func TestDecide_HalfAStateIsNone(t *testing.T) {
	for _, missing := range []string{"source", "session"} {
		s := newStory(t)
		s.open(ask("s1", "t"))
		s.fields["lane:7"] = "garbage"
		delete(s.fields, missing)
		wantFound(t, s.open(ask("s2", "t")), exchange.FoundFresh, 0x100)
		if s.fields["lane:7"] != "" || s.fields["session"] != "s2" {
			t.Errorf("left over: %v", s.fields)
		}
	}
}

func TestDecide_TheSameSessionChangesNothing(t *testing.T) {
	s := newStory(t)
	s.open(ask("s1", "t"))
	s.fields["lane:1"], s.fields["count"], s.fields["sealed"] = "9 0000000000000150-00000001", "12", "0/140"
	s.rules = "r2"
	d, err := redisstore.Decide(s.fields, ask("s1", "t"), s.plan(ask("s1", "t")))
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Set)+len(d.Delete) > 0 {
		t.Errorf("changes %v %v", d.Set, d.Delete)
	}
	wantFound(t, d.Response, exchange.FoundCurrent, 0x140)
	wantBackfills(t, d.Response, "t=pending")
	if got := d.Response.Applied[0].Through[1].Commit; got != 0x150 {
		t.Errorf("got %s", got)
	}
}

func TestDecide_Resume(t *testing.T) {
	s := newStory(t)
	s.open(ask("s1", "run", "done", "off", "clear", "gone"))
	s.backfill("run", `{"state":"running","cursor":["7"],"rows":7}`)
	s.backfill("done", `{"state":"done","rows":9}`)
	s.backfill("off", `{"state":"off"}`)
	s.backfill("clear", `{"state":"clear"}`)
	s.fields["lane:1"], s.fields["count"], s.fields["sealed"] = "9 0000000000000150-00000001", "12", "0/140"
	next := ask("s2", "run", "done", "off", "clear", "new")
	next.Confirmed, next.Backfill = 0x140, false
	r := s.open(next)
	wantFound(t, r, exchange.FoundCurrent, 0x140)
	wantBackfills(t, r, "run=running@7 done=done off=off clear=clear new=off")
	if got := s.fields["lane:1"]; got != "0 0000000000000150-00000001" {
		t.Errorf("the lane keeps its position and counts anew: got %s", got)
	}
	if s.fields["count"] != "0" || s.fields["session"] != "s2" {
		t.Errorf("got %v", s.fields)
	}
	next.Session, next.Backfill = "s3", true
	next.Tables = append(next.Tables, ask("", "gone").Tables...)
	wantBackfills(t, s.open(next), "run=running@7 done=done off=pending clear=clear new=pending gone=clear")
}

func TestDecide_NewRulesFillAgain(t *testing.T) {
	s := newStory(t)
	s.open(ask("s1", "run", "done", "clear"))
	s.backfill("run", `{"state":"running","cursor":["7"],"rows":7}`)
	s.backfill("done", `{"state":"done","rows":9}`)
	s.backfill("clear", `{"state":"clear"}`)
	s.rules = "r2"
	wantBackfills(t, s.open(ask("s2", "run", "done", "clear")), "run=pending done=pending clear=clear")
	s.backfill("run", `{"state":"done","rows":9}`)
	wantBackfills(t, s.open(ask("s3", "run", "done", "clear")), "run=done done=pending clear=clear")
}

func TestDecide_Behind(t *testing.T) {
	s := newStory(t)
	s.open(ask("s1", "t", "gone"))
	s.backfill("t", `{"state":"done","rows":9}`)
	s.fields["lane:1"], s.fields["sealed"], s.fields["before"] = "9 0000000000000150-00000001", "0/140", `[{"lanes":1,"through":["0000000000000150-00000001"]}]`
	next := ask("s2", "t", "new")
	next.Confirmed = 0x141 // more than is sealed
	r := s.open(next)
	wantFound(t, r, exchange.FoundBehind, next.Confirmed)
	wantBackfills(t, r, "t=clear new=clear")
	want := []exchange.Applied{{Lanes: 2, Through: make([]change.Position, 2)}}
	if diff := cmp.Diff(want, r.Applied); diff != "" {
		t.Error(diff)
	}
	if s.fields["backfill:public.gone"] != `{"state":"clear","rows":0,"cause":"table"}` {
		t.Error("a table that is not asked for is behind too")
	}
	next.Session = "s3"
	wantFound(t, s.open(next), exchange.FoundCurrent, next.Confirmed)
}

func TestDecide_Foreign(t *testing.T) {
	for name, edit := range map[string]func(*change.Source){
		"system":   func(s *change.Source) { s.System = "1" },
		"database": func(s *change.Source) { s.Database = "other" },
	} {
		s := newStory(t)
		s.open(ask("s1", "t"))
		r := ask("s1", "t")
		edit(&r.Source)
		_, err := redisstore.Decide(s.fields, r, s.plan(r))
		var refusal *effect.Refusal
		if !errors.As(err, &refusal) || refusal.Reason != exchange.ReasonForeign || !strings.Contains(refusal.Cause.Fix, "DEL freshet:shop:state") {
			t.Errorf("another %s: got %v", name, err)
		}
	}
}

func TestDecide_Damaged(t *testing.T) {
	for field, text := range map[string]string{
		"source": "{", "sealed": "x", "lanes": "-1", "lane:0": "1", "before": "[", "backfill:public.t": "done", "shape:public.t": "x", "leftover:public.t": "{}", "repairs": "x",
	} {
		s := newStory(t)
		s.open(ask("s1", "t"))
		s.fields[field] = text
		_, err := redisstore.Decide(s.fields, ask("s2", "t"), s.plan(ask("s2", "t")))
		var refusal *effect.Refusal
		if !errors.As(err, &refusal) || refusal.Reason != effect.ReasonDamaged || !strings.Contains(refusal.Cause.Why, field) {
			t.Errorf("%s=%s: got %v", field, text, err)
		}
	}
}

// lanesOf spells generations as "3:0,0,150 2:140,0", commit positions in hex.
func lanesOf(r exchange.OpenResponse) string {
	var all []string
	for _, g := range r.Applied {
		var through []string
		for _, p := range g.Through {
			through = append(through, strings.TrimPrefix(p.Commit.String(), "0/"))
		}
		all = append(all, strings.Join(through, ","))
	}
	return strings.Join(all, " ")
}

func TestDecide_AnotherNumberOfLanes(t *testing.T) {
	s := newStory(t)
	s.open(ask("s1", "t"))
	s.fields["lane:0"], s.fields["lane:1"], s.fields["sealed"] = "4 0000000000000150-00000001", "9 0000000000000180-00000001", "0/200"
	step := func(session string, lanes int, confirmed change.LSN, want string) {
		t.Helper()
		r := ask(session, "t")
		r.Lanes, r.Confirmed = lanes, confirmed
		if got := lanesOf(s.open(r)); got != want {
			t.Errorf("session %s: got %q, want %q", session, got, want)
		}
	}
	step("s2", 3, 0x140, "0,0,0 150,180")
	if s.fields["lane:2"] == "" {
		t.Error("the third lane has no field")
	}
	// Sealed is ahead of both, but the slot would still send from confirmed: the old positions are needed.
	step("s3", 3, 0x180, "0,0,0 150,180")
	s.fields["lane:0"] = "1 0000000000000190-00000000"
	step("s4", 1, 0x180, "0 190,0,0 150,180")
	if s.fields["lane:1"] != "" || s.fields["lane:2"] != "" {
		t.Errorf("lanes that are no more: %v", s.fields)
	}
	// All lanes of today are beyond the oldest.
	s.fields["lane:0"] = "1 0000000000000185-00000000"
	step("s5", 1, 0x180, "185 190,0,0")
	// The slot has confirmed beyond the other.
	step("s6", 1, 0x191, "185")
}

// Nothing in the stream tells that a table was altered while nobody looked; what its keys were made of does.
func TestDecide_AlteredTables(t *testing.T) {
	shaped := func(session, identity, shape string) exchange.OpenRequest {
		r := ask(session, "t", "u")
		r.Tables[0].Identity, r.Tables[0].Shape = identity, shape
		return r
	}
	for _, c := range []struct {
		name            string
		identity, shape string
		off             bool
		was, want       string
	}{
		{"the same", "i1", "s1", false, "done", "t=done u=done"},
		{"other columns", "i1", "s2", false, "done", "t=pending u=done"},
		{"other columns, before the keys were cleared", "i1", "s2", false, "clear", "t=clear u=done"},
		{"other columns, but no backfill is wanted", "i1", "s2", true, "off", "t=off u=done"},
		{"another table of the name", "i2", "s1", false, "running", "t=clear u=done"},
		{"another table, and no backfill is wanted", "i2", "s2", true, "off", "t=clear u=done"},
		{"a poller that does not tell", "", "", false, "done", "t=done u=done"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStory(t)
			s.open(shaped("s1", "i1", "s1"))
			s.backfill("t", `{"state":"`+c.was+`"}`)
			s.backfill("u", `{"state":"done"}`)
			again := shaped("s2", c.identity, c.shape)
			again.Backfill = !c.off
			wantBackfills(t, s.open(again), c.want)
			if c.was == "done" { // it is said once
				s.backfill("t", `{"state":"done"}`)
				again.Session = "s3"
				wantBackfills(t, s.open(again), "t=done u=done")
			}
		})
	}
}

func TestDecide_TellsOfAbandonedTables(t *testing.T) {
	s := newStory(t)
	s.open(ask("s1", "t", "u"))
	if got := s.open(ask("s2", "u")).Abandoned; len(got) != 1 || got[0] != "public.t" {
		t.Errorf("abandoned: %v, want public.t", got)
	}
	if got := s.open(ask("s3", "t", "u")).Abandoned; len(got) != 0 {
		t.Errorf("abandoned: %v, want none", got)
	}
}
