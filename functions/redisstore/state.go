package redisstore

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"freshet/shared/change"
	"freshet/shared/exchange"
)

// Fields of the state.
const (
	sourceField   = "source"
	sessionField  = "session"
	rulesField    = "rules"
	sealedField   = "sealed"
	lanesField    = "lanes"
	laneField     = "lane:"
	countField    = "count"
	beforeField   = "before"
	backfillField = "backfill:"
	shapeField    = "shape:"
	leftoverField = "leftover:"
	repairsField  = "repairs"
	openingField  = "opening"
	clearingField = "clearing"
)

// state is what the hash says, read.
type state struct {
	source    change.Source
	session   string
	rules     string
	sealed    change.LSN
	through   []change.Position // by lane
	before    []exchange.Applied
	backfills map[string]change.Backfill
	shapes    map[string]shape    // of the tables as their keys were written
	leftover  map[string][]string // by table
	repairs   []exchange.Repair
}

// shape is what a table was when its keys were written, and what they begin with. There is more than one prefix while keys that other
// rules made have been left as they are.
type shape struct {
	Identity string   `json:"identity"`
	Shape    string   `json:"shape"`
	Rules    string   `json:"rules,omitempty"` // those of the table alone
	Prefixes []string `json:"prefixes,omitempty"`
}

// readState answers nil for a sink that has none. Half of one counts as none: what is missing cannot be trusted.
func readState(fields map[string]string) (*state, error) {
	if fields[sourceField] == "" || fields[sessionField] == "" {
		return nil, nil
	}
	s := &state{
		session: fields[sessionField], rules: fields[rulesField],
		backfills: map[string]change.Backfill{}, shapes: map[string]shape{}, leftover: map[string][]string{},
	}
	err := json.Unmarshal([]byte(fields[sourceField]), &s.source)
	if err != nil {
		return nil, fmt.Errorf("field %s: %w", sourceField, err)
	}
	if s.sealed, err = change.ParseLSN(fields[sealedField]); err != nil {
		return nil, fmt.Errorf("field %s: %w", sealedField, err)
	}
	if err := readJSON(fields, beforeField, &s.before); err != nil {
		return nil, err
	}
	if err := readJSON(fields, repairsField, &s.repairs); err != nil {
		return nil, err
	}
	if err := s.readLanes(fields); err != nil {
		return nil, err
	}
	for name, text := range fields {
		if err := s.readTable(name, text); err != nil {
			return nil, fmt.Errorf("field %s: %w", name, err)
		}
	}
	return s, nil
}

// readJSON reads a field that may be missing.
func readJSON(fields map[string]string, name string, into any) error {
	if fields[name] == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(fields[name]), into); err != nil {
		return fmt.Errorf("field %s: %w", name, err)
	}
	return nil
}

// readTable reads a field that tells of one table; other fields are left alone.
func (s *state) readTable(name, text string) error {
	if table, ok := strings.CutPrefix(name, backfillField); ok {
		var b change.Backfill
		err := json.Unmarshal([]byte(text), &b)
		s.backfills[table] = b
		return err
	}
	if table, ok := strings.CutPrefix(name, shapeField); ok {
		var was shape
		err := json.Unmarshal([]byte(text), &was)
		s.shapes[table] = was
		return err
	}
	if table, ok := strings.CutPrefix(name, leftoverField); ok {
		var prefixes []string
		err := json.Unmarshal([]byte(text), &prefixes)
		s.leftover[table] = prefixes
		return err
	}
	return nil
}

func (s *state) readLanes(fields map[string]string) error {
	lanes, err := strconv.Atoi(fields[lanesField])
	if err != nil || lanes < 1 || lanes > len(fields) {
		return fmt.Errorf("field %s: %q is not a number of lanes", lanesField, fields[lanesField])
	}
	s.through = make([]change.Position, lanes)
	for i := range s.through {
		name := laneField + strconv.Itoa(i)
		_, position, _ := strings.Cut(fields[name], " ")
		if s.through[i], err = change.ParsePosition(position); err != nil {
			return fmt.Errorf("field %s: %w", name, err)
		}
	}
	return nil
}

// fields writes the state of a session that has not applied anything yet.
func (s *state) fields() map[string]string {
	all := map[string]string{
		sourceField: text(s.source), sessionField: s.session, rulesField: s.rules, sealedField: s.sealed.String(),
		lanesField: strconv.Itoa(len(s.through)), countField: "0", beforeField: text(s.before), repairsField: text(s.repairs),
	}
	for i, position := range s.through {
		all[laneField+strconv.Itoa(i)] = "0 " + position.String()
	}
	for table, b := range s.backfills {
		all[backfillField+table] = text(b)
	}
	for table, is := range s.shapes {
		all[shapeField+table] = text(is)
	}
	for table, prefixes := range s.leftover {
		all[leftoverField+table] = text(prefixes)
	}
	return all
}

// text is the JSON of a value that always has one.
func text(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(out)
}

// applied lists how far the lanes are, the present ones first.
func (s *state) applied() []exchange.Applied {
	now := exchange.Applied{Lanes: len(s.through), Through: s.through}
	return append([]exchange.Applied{now}, s.before...)
}

// relane lays out the lanes of a new session. When their number changes, keys move to other lanes, and the old positions stay beside
// the new ones as long as a message they cover can come again.
func (s *state) relane(lanes int, confirmed change.LSN) {
	if len(s.through) != lanes {
		s.before = append([]exchange.Applied{{Lanes: len(s.through), Through: s.through}}, s.before...)
		s.through = make([]change.Position, lanes)
	}
	least := slices.MinFunc(s.through, change.Position.Compare)
	s.before = slices.DeleteFunc(s.before, func(old exchange.Applied) bool {
		return passed(old, least, confirmed)
	})
}

// passed says that no message at or before a position of old needs old to be recognised: either the slot does not send
// it again, or every lane of today is beyond it. What is only sealed is not passed: within the replay window the slot sends it again.
func passed(old exchange.Applied, least change.Position, confirmed change.LSN) bool {
	if len(old.Through) == 0 {
		return true
	}
	most := slices.MaxFunc(old.Through, change.Position.Compare)
	return most.Commit < confirmed || most.Compare(least) <= 0
}
