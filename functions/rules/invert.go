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

// inverse is one table's side of it.
type inverse struct {
	table, prefix string
	irreversible  bool
	key           *tableKey
}

// Inverse says what a key was made of.
type Inverse struct {
	Table string // change.Table.String()
	// PrimaryKey is the text in the place of {primary_key}; empty when no row of the table can have the key.
	PrimaryKey string
	// Irreversible is set for keys of a table whose template does not let the primary key be cut out: of such a key only the table is known.
	Irreversible bool
}

// Inverter is for the keys of these tables. It refuses tables whose keys cannot be told apart, as Plan does.
func (r *Rules) Inverter(tables []exchange.TableShape) (*Inverter, error) {
	plan, err := r.Plan(tables)
	if err != nil {
		return nil, err
	}
	v := new(Inverter)
	for _, shape := range tables {
		name := shape.Table().String()
		is := plan.Tables[name]
		k, wrong := r.key.compile(shape.Table(), shape.PrimaryKey)
		if wrong != nil {
			return nil, &Unplannable{wrong}
		}
		v.tables = append(v.tables, inverse{table: name, prefix: is.KeyPrefix, irreversible: is.Irreversible != "", key: k})
	}
	slices.SortFunc(v.tables, func(a, b inverse) int { return cmp.Compare(a.prefix, b.prefix) })
	return v, nil
}

// Prefix is what all keys begin with when they are of one table alone; empty when they may be of several.
func (v *Inverter) Prefix() string {
	if len(v.tables) != 1 {
		return ""
	}
	return v.tables[0].prefix
}

// Of answers false for a key that is under no table's prefix.
func (v *Inverter) Of(key string) (is Inverse, ours bool) {
	// No prefix begins with another, so the only one that key can begin with is the last that does not come behind it.
	i, found := slices.BinarySearchFunc(v.tables, key, func(t inverse, key string) int { return cmp.Compare(t.prefix, key) })
	if !found {
		i--
	}
	if i < 0 || !strings.HasPrefix(key, v.tables[i].prefix) {
		return Inverse{}, false
	}
	t := v.tables[i]
	is = Inverse{Table: t.table, Irreversible: t.irreversible}
	if !t.irreversible {
		is.PrimaryKey, _ = t.key.cut(key)
	}
	return is, true
}

// Under says that the key is under the prefix of a table whose keys can be turned back.
func (v *Inverter) Under(key string) bool {
	is, ours := v.Of(key)
	return ours && !is.Irreversible
}

// cut takes the text of the primary key out of a key. There is one way at most: the places share one text, so that the length of the
// key decides the length of the text. It answers false when no row's key looks like this.
func (k *tableKey) cut(key string) (text string, ok bool) {
	places, literal := len(k.text)-1, 0
	for _, piece := range k.text {
		literal += len(piece)
	}
	length := len(key) - literal
	if length <= 0 || length%places != 0 || !utf8.ValidString(key) {
		return "", false
	}
	length /= places
	if !strings.HasPrefix(key, k.text[0]) {
		return "", false
	}
	text = key[len(k.text[0]):][:length]
	rest := key[len(k.text[0]):]
	for _, behind := range k.text[1:] {
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
		switch p.placeholder {
		case "", tableSchema, tableName:
		case primaryKey:
			cuttable = true
		default:
			return fmt.Sprintf("%s has {%s}, so that a key does not tell how much of it is the primary key", setting, p.placeholder)
		}
	}
	if !cuttable {
		return fmt.Sprintf("%s has no {primary_key}", setting)
	}
	return ""
}
