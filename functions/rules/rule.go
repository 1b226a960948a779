// Package rules says which rows are kept, under which key and with which value. Rules are compiled once, at start; nothing here reads
// or writes anything outside the process.
package rules

import (
	"slices"
	"sync"
	"sync/atomic"

	"freshet/functions/effect"
	"freshet/shared/change"
	"freshet/shared/problem"
)

// Rule is what a user writes.
type Rule struct {
	Key      string          `json:"key"`
	Value    string          `json:"value"`
	Actions  []change.Action `json:"actions"`
	ExpireMS int64           `json:"expire_ms,omitempty"`
}

// Rules are compiled and safe for concurrent use.
type Rules struct {
	hash     string
	key      template
	value    value
	wanted   map[change.Action]bool
	expireMS int64

	tables  atomic.Pointer[map[change.Table][]*tableKey] // replaced as a whole, never changed
	writing sync.Mutex
}

// Compile checks the settings and prepares what does not depend on the row.
func Compile(c Config) (*Rules, error) {
	r, found := c.compile()
	return r, found.OrNil()
}

func (c Config) compile() (*Rules, problem.List) {
	rule, found := c.rule()
	r := &Rules{hash: rule.hash(), expireMS: rule.ExpireMS, wanted: wanted(rule.Actions)}
	var wrong *problem.Error
	if r.key, wrong = parseTemplate("FN_KEY", rule.Key); wrong != nil {
		found = append(found, wrong)
	}
	if r.value, wrong = parseValue("FN_VALUE", rule.Value); wrong != nil {
		found = append(found, wrong)
	}
	r.tables.Store(new(map[change.Table][]*tableKey))
	return r, found
}

// wanted spreads the three actions of the settings over the five of the wire.
func wanted(actions []change.Action) map[change.Action]bool {
	insert, update, remove := slices.Contains(actions, change.Insert), slices.Contains(actions, change.Update), slices.Contains(actions, change.Delete)
	return map[change.Action]bool{
		change.Insert: insert, change.Update: update, change.Read: insert || update,
		change.Delete: remove, change.Truncate: remove,
	}
}

// Renderer turns messages into effects. It serves one goroutine at a time and is worth keeping.
type Renderer struct {
	Rules *Rules

	table *tableKey // of the message before; most have the same
	key   []byte
}

// Render adds what m does to out. It answers false when m is filtered, and a *Poison when m can have no key or no value.
func (r *Renderer) Render(m *change.Message, out *effect.Batch) (kept bool, err error) {
	if !r.Rules.wanted[m.Action] {
		return false, nil
	}
	if err := r.find(m); err != nil {
		return false, err
	}
	if m.Action == change.Truncate {
		out.Clear(r.table.prefix())
		return true, nil
	}
	if r.key, err = r.table.appendKey(r.key[:0], m.Record); err != nil {
		return false, err
	}
	if m.Action == change.Delete {
		out.Delete(r.key)
		return true, nil
	}
	value, err := r.Rules.value.of(m)
	if err != nil {
		return false, err
	}
	out.Set(r.key, value, r.Rules.expireMS)
	return true, nil
}

// find makes r.table the one of m.
func (r *Renderer) find(m *change.Message) (err error) {
	if r.table != nil && r.table.serves(m.Metadata) {
		return nil
	}
	r.table, err = r.Rules.tableKey(m.Metadata)
	return err
}

// mostTables bounds what is remembered, since a hand-written batch may name any table.
const mostTables = 10_000

func (r *Rules) tableKey(m change.Metadata) (*tableKey, error) {
	known := *r.tables.Load()
	for _, k := range known[m.Of()] {
		if k.serves(m) {
			return k, nil
		}
	}
	k, wrong := r.key.compile(m.Of(), m.PrimaryKey)
	if wrong != nil {
		return nil, &Poison{Table: k.table, Cause: wrong}
	}
	if len(known) < mostTables {
		r.remember(k)
	}
	return k, nil
}

func (r *Rules) remember(k *tableKey) {
	r.writing.Lock()
	defer r.writing.Unlock()
	known := make(map[change.Table][]*tableKey)
	for table, keys := range *r.tables.Load() {
		known[table] = keys
	}
	// The newest shape comes first; a table whose key was altered has two for a while.
	known[k.table] = append([]*tableKey{k}, known[k.table]...)
	if most := 4; len(known[k.table]) > most {
		known[k.table] = known[k.table][:most]
	}
	r.tables.Store(&known)
}
