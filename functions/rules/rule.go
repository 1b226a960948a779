package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"freshet/shared/change"
	"freshet/shared/problem"
)

// part is one setting of a rule: where it stands, for messages, and its text.
type part struct{ place, text string }

// Rule is what a user writes.
type Rule struct {
	place string // "default", or "rules[2]"

	table, key, value, filter, actions, expireMS, jitter, write part
}

// rule is a Rule, checked and prepared.
type rule struct {
	place  string
	hash   string
	table  pattern
	key    template
	value  value
	filter []condition
	wanted wanted
	expiry expiry
	write  write
}

// write says what happens to the key of a row that is there.
type write string

const (
	writeSet     write = "set"
	writeDelete  write = "delete" // invalidate: the application fills the cache itself
	writeRefresh write = "xx"     // only when the key is there
)

// wanted are the actions that reach the store.
type wanted struct{ insert, update, remove bool }

// has spreads the three actions of the settings over the five of the wire.
func (w wanted) has(a change.Action) bool {
	switch a {
	case change.Insert:
		return w.insert
	case change.Update:
		return w.update
	case change.Read:
		return w.insert || w.update
	}
	return w.remove
}

// compile reports everything that is wrong with the rule.
func (r Rule) compile() (c *rule, found problem.List) {
	c = &rule{place: r.place}
	var more problem.List
	var wrong *problem.Error
	if c.table, wrong = parsePattern(r.table); wrong != nil {
		found = append(found, wrong)
	}
	if c.key, wrong = parseTemplate(r.key.place, r.key.text); wrong != nil {
		found = append(found, wrong)
	}
	c.value, more = parseValue(r.value.place, r.value.text)
	found = append(found, more...)
	c.filter, more = parseFilter(r.filter)
	found = append(found, more...)
	if c.wanted, wrong = parseActions(r.actions); wrong != nil {
		found = append(found, wrong)
	}
	c.expiry, more = parseExpiry(r.expireMS, r.jitter)
	found = append(found, more...)
	if c.write, wrong = parseWrite(r.write); wrong != nil {
		found = append(found, wrong)
	}
	c.hash = r.hash(c.wanted)
	return c, found
}

func parseActions(p part) (w wanted, wrong *problem.Error) {
	const example = "insert,update,delete"
	if strings.TrimSpace(p.text) == "" {
		return w, &problem.Error{What: p.place + " is empty", Why: "nothing would ever reach Redis", Fix: "the actions are " + example}
	}
	for word := range strings.SplitSeq(p.text, ",") {
		switch change.Action(strings.TrimSpace(word)) {
		case change.Insert:
			w.insert = true
		case change.Update:
			w.update = true
		case change.Delete:
			w.remove = true
		default:
			wrong = &problem.Error{
				What: fmt.Sprintf("%s holds %q", p.place, word),
				Why:  "the actions are insert, update and delete; a truncate belongs to delete, a backfilled row to insert and update",
				Fix:  "all of them are " + example,
			}
			if near := problem.Nearest(strings.TrimSpace(word), slices.Values([]string{"insert", "update", "delete"})); near != "" {
				wrong.Fix = "did you mean " + near + "?"
			}
			return w, wrong
		}
	}
	return w, nil
}

func parseWrite(p part) (write, *problem.Error) {
	switch w := write(strings.TrimSpace(p.text)); w {
	case "":
		return writeSet, nil
	case writeSet, writeDelete, writeRefresh:
		return w, nil
	}
	return "", &problem.Error{What: fmt.Sprintf("%s is %q", p.place, p.text), Why: "rows are written with set, delete or xx", Fix: "set writes the value; delete only removes the key, so that the application fills it anew; xx writes only keys that are there"}
}

// hash identifies the rule by its text: another text may make other keys or values. What is not set has no part in it, so that a new kind of
// setting changes no hash.
func (r Rule) hash(w wanted) string {
	text := struct {
		Table    string          `json:"table,omitempty"`
		Key      string          `json:"key"`
		Value    string          `json:"value"`
		Actions  []change.Action `json:"actions"`
		Filter   string          `json:"filter,omitempty"`
		ExpireMS string          `json:"expire_ms,omitempty"`
		Jitter   string          `json:"jitter,omitempty"`
		Write    string          `json:"write,omitempty"`
	}{Table: r.table.text, Key: r.key.text, Value: r.value.text, Filter: r.filter.text, ExpireMS: strings.TrimSpace(r.expireMS.text), Jitter: r.jitter.text, Write: r.write.text}
	for _, a := range []change.Action{change.Delete, change.Insert, change.Update} {
		if w.has(a) {
			text.Actions = append(text.Actions, a)
		}
	}
	if text.Write == string(writeSet) {
		text.Write = ""
	}
	return sum(text)
}

// sum is a short hash of a value's JSON.
func sum(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings
	}
	hash := sha256.Sum256(text)
	return hex.EncodeToString(hash[:8])
}

// pattern says which tables a rule is for. The zero value is for all.
type pattern struct {
	text   string
	schema string
	name   string // empty for all of the schema
}

func parsePattern(p part) (pattern, *problem.Error) {
	text := strings.TrimSpace(p.text)
	if text == "*" || p.place == "" {
		return pattern{text: text}, nil
	}
	any := strings.HasSuffix(text, ".*")
	named := text
	if any {
		named = strings.TrimSuffix(text, "*") + "x"
	}
	t, err := change.ParseTable(named)
	if err != nil {
		return pattern{}, &problem.Error{What: fmt.Sprintf("%s is %q", p.place, p.text), Why: "it names no table", Fix: "write products, shop.products, shop.* for all of a schema, or * for all tables"}
	}
	if any {
		t.Name = ""
	}
	return pattern{text: text, schema: t.Schema, name: t.Name}, nil
}

func (p pattern) matches(t change.Table) bool {
	return (p.schema == "" || p.schema == t.Schema) && (p.name == "" || p.name == t.Name)
}

// one is the table of a pattern that names just one.
func (p pattern) one() (t change.Table, yes bool) {
	return change.Table{Schema: p.schema, Name: p.name}, p.name != ""
}
