// Package rules says which rows are kept, under which keys and with which values. Rules are compiled once, at start; but for the file that
// FN_RULES may name then, nothing here reads or writes anything outside the process.
package rules

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"freshet/shared/change"
	"freshet/shared/problem"
)

// Rules are compiled and safe for concurrent use.
type Rules struct {
	hash     string
	entries  []*rule // of FN_RULES
	fallback *rule   // for tables that no entry is for
	byCode   bool    // values are made by a Transform

	tables  atomic.Pointer[map[change.Table][]*tableRules] // replaced as a whole, never changed
	writing sync.Mutex
}

// Compile checks the settings and prepares what does not depend on the row.
func Compile(c Config) (*Rules, error) {
	r, found := c.compile()
	return r, found.OrNil()
}

func (r *Rules) prepare() {
	hashes := []string{r.fallback.hash}
	for _, entry := range r.entries {
		hashes = append(hashes, entry.hash)
	}
	r.hash = sum(hashes)
	r.tables.Store(new(map[change.Table][]*tableRules))
}

// ByCode are the same rules for a Renderer with a Transform. Another version of its code makes them other rules.
func (r *Rules) ByCode(version string) *Rules {
	coded := func(of *rule) *rule {
		c := *of
		c.hash = sum([]string{of.hash, version})
		return &c
	}
	other := &Rules{fallback: coded(r.fallback), byCode: true}
	for _, entry := range r.entries {
		other.entries = append(other.entries, coded(entry))
	}
	other.prepare()
	return other
}

// tableRules are the rules of one table.
type tableRules struct {
	table   change.Table
	primary []string
	rules   []tableRule
}

// tableRule is a rule with its keys for one table.
type tableRule struct {
	*rule
	key *tableKey
}

// of are the rules for a table: all entries that match it, or else the default one.
func (r *Rules) of(t change.Table) (matching []*rule) {
	for _, entry := range r.entries {
		if entry.table.matches(t) {
			matching = append(matching, entry)
		}
	}
	if len(matching) == 0 {
		return []*rule{r.fallback}
	}
	return matching
}

// compileTable prepares the rules of a table.
func (r *Rules) compileTable(table change.Table, primary []string) (*tableRules, problem.List) {
	t := &tableRules{}
	var found problem.List
	for _, rule := range r.of(table) {
		k, wrong := rule.key.compile(table, primary)
		if wrong != nil {
			found = append(found, wrong)
		}
		t.table, t.primary = k.table, k.primary
		t.rules = append(t.rules, tableRule{rule, k})
	}
	return t, distinct(found)
}

func (t *tableRules) serves(m *change.Metadata) bool {
	return t.table.Name == m.Table && t.table.Schema == m.Schema && slices.Equal(t.primary, m.PrimaryKey)
}

// mostTables bounds what is remembered, since a hand-written batch may name any table.
const mostTables = 10_000

func (r *Rules) tableRules(m *change.Metadata) (*tableRules, error) {
	known := *r.tables.Load()
	for _, t := range known[m.Of()] {
		if t.serves(m) {
			return t, nil
		}
	}
	t, found := r.compileTable(m.Of(), m.PrimaryKey)
	if len(found) > 0 {
		return nil, &Poison{Table: t.table, Cause: found[0]}
	}
	if len(known) < mostTables {
		r.remember(t)
	}
	return t, nil
}

func (r *Rules) remember(t *tableRules) {
	r.writing.Lock()
	defer r.writing.Unlock()
	known := make(map[change.Table][]*tableRules)
	for table, shapes := range *r.tables.Load() {
		known[table] = shapes
	}
	// The newest shape comes first; a table whose key was altered has two for a while.
	known[t.table] = append([]*tableRules{t}, known[t.table]...)
	if most := 4; len(known[t.table]) > most {
		known[t.table] = known[t.table][:most]
	}
	r.tables.Store(&known)
}

// clashes finds entries whose keys could not be told apart, as far as that is known before there are tables.
func (r *Rules) clashes() (found problem.List) {
	for i, a := range r.entries {
		for _, b := range r.entries[i+1:] {
			p, known := a.prefix()
			q, also := b.prefix()
			if known && also && (strings.HasPrefix(p, q) || strings.HasPrefix(q, p)) {
				found = append(found, &problem.Error{
					What: fmt.Sprintf("FN_RULES: the keys of %s and %s cannot be told apart", a.place, b.place),
					Why:  fmt.Sprintf("keys of one begin with %q and of the other with %q: a truncate of one table would remove keys of the other, and two rows could share a key", p, q),
					Fix:  "begin each key with its own text and a mark behind it, such as product:id: and product:sku:",
				})
			}
		}
	}
	return found
}

// prefix is what all keys of the rule begin with, when that is the same for all its tables.
func (r *rule) prefix() (text string, known bool) {
	if t, one := r.table.one(); one {
		k, _ := r.key.compile(t, []string{"id"})
		return k.prefix(), true
	}
	return r.key.prefix()
}
