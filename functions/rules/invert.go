package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"freshet/shared/exchange"
)

// Inverter turns keys back into what they were made of.
type Inverter struct {
	tables []inverse // by prefix
}

// inverse is one rule of one table.
type inverse struct {
	table, prefix string // table is change.Table.String()
	irreversible  bool   // its template does not let the primary key be cut out
	key           *tableKey
}

// Inverter is for the keys of these tables. It refuses tables whose keys cannot be told apart, as Plan does.
func (r *Rules) Inverter(tables []exchange.TableShape) (*Inverter, error) {
	if _, err := r.Plan(tables); err != nil {
		return nil, err
	}
	v := new(Inverter)
	for _, shape := range tables {
		name := shape.Table().String()
		t, found := r.compileTable(shape.Table(), shape.PrimaryKey)
		if len(found) > 0 {
			return nil, &Unplannable{joined(found)}
		}
		for _, rule := range t.rules {
			v.tables = append(v.tables, inverse{table: name, prefix: rule.key.prefix(), irreversible: rule.rule.key.irreversible("") != "", key: rule.key})
		}
	}
	slices.SortFunc(v.tables, func(a, b inverse) int { return cmp.Compare(a.prefix, b.prefix) })
	return v, nil
}

// Prefix is what all keys begin with when they are of one table alone; empty when they may be of several.
func (v *Inverter) Prefix() string {
	if len(v.tables) == 0 {
		return ""
	}
	first, last := v.tables[0], v.tables[len(v.tables)-1]
	n := 0
	for n < min(len(first.prefix), len(last.prefix)) && first.prefix[n] == last.prefix[n] {
		n++ // they are sorted, so that those in between begin with the same
	}
	if slices.ContainsFunc(v.tables, func(t inverse) bool { return t.table != first.table }) {
		return ""
	}
	return first.prefix[:n]
}

// Find sorts out the keys that are under a table's prefix. Of those that cannot be turned back only the number is known.
func (v *Inverter) Find(keys []string) (found []exchange.FoundKeys, irreversible int) {
	found = make([]exchange.FoundKeys, len(v.tables))
	for _, key := range keys {
		i, ours := v.of(key)
		switch {
		case !ours:
			continue
		case v.tables[i].irreversible:
			irreversible++
			continue
		}
		if text, ok := v.tables[i].key.cut(key); ok {
			found[i].PrimaryKeys = append(found[i].PrimaryKeys, text)
		} else {
			found[i].Strange = append(found[i].Strange, []byte(key))
		}
	}
	for i, t := range v.tables {
		found[i].Table, found[i].Around = t.table, t.key.places
	}
	found = slices.DeleteFunc(found, func(f exchange.FoundKeys) bool { return len(f.PrimaryKeys)+len(f.Strange) == 0 })
	return found, irreversible
}

// of is the rule under whose prefix the key is.
func (v *Inverter) of(key string) (i int, ours bool) {
	// No prefix begins with another, so the only one that key can begin with is the last that does not come behind it.
	i, found := slices.BinarySearchFunc(v.tables, key, func(t inverse, key string) int { return cmp.Compare(t.prefix, key) })
	if !found {
		i--
	}
	return i, i >= 0 && strings.HasPrefix(key, v.tables[i].prefix)
}

// Under says that the key is under the prefix of a table whose keys can be turned back.
func (v *Inverter) Under(key string) bool {
	i, ours := v.of(key)
	return ours && !v.tables[i].irreversible
}

// cut takes the text of the primary key out of a key. There is one way at most: the places share one text, so that the length of the
// key decides the length of the text. It answers false when no row's key looks like this.
func (k *tableKey) cut(key string) (text string, ok bool) {
	places, literal := len(k.places)-1, 0
	for _, piece := range k.places {
		literal += len(piece)
	}
	length := len(key) - literal
	if length <= 0 || length%places != 0 || !utf8.ValidString(key) {
		return "", false
	}
	length /= places
	if !strings.HasPrefix(key, k.places[0]) {
		return "", false
	}
	text = key[len(k.places[0]):][:length]
	rest := key[len(k.places[0]):]
	for _, behind := range k.places[1:] {
		if !strings.HasPrefix(rest, text) || !strings.HasPrefix(rest[length:], behind) {
			return "", false
		}
		rest = rest[length+len(behind):]
	}
	return text, true
}

// irreversible says why the primary key cannot be cut out of a key; it is empty when it can.
func (t template) irreversible(setting string) string {
	cuttable := false
	for _, p := range t {
		if p.path.text != "" {
			return fmt.Sprintf("%s has {%s}, so that a key does not tell how much of it is the primary key", setting, p.path.text)
		}
		cuttable = cuttable || p.placeholder == primaryKey
	}
	if !cuttable {
		return fmt.Sprintf("%s has no {primary_key}", setting)
	}
	return ""
}
