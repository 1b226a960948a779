// Package row turns the columns of a table into the record of a message, and its primary key into a lane. Stream and backfill share it, so that
// a row comes out the same whichever way it came.
package row

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"

	"freshet/poller/pgoutput"
	"freshet/poller/render"
	"freshet/shared/change"
)

// Layout is a table as its rows are written. It does not change, and is safe for concurrent use.
type Layout struct {
	Table      change.Table
	PrimaryKey []string
	Columns    []string
	Frame      *change.Frame
	// From names the table in a FROM clause.
	From string
	// Where is the condition in SQL that a row must meet to be mirrored; empty for all rows.
	Where string
	// Partial says that rows lack columns that the rules use: the stream tells of a time when the publication listed fewer. Such rows are read
	// again.
	Partial bool
	// OneLane keeps the whole table in one lane.
	OneLane bool
	// Fixed says that all columns have built-in types, which cannot change behind the stream's back as a composite type can.
	Fixed bool

	names []name
	types []*render.Type
	key   []int // where the primary key's columns are
	isKey []bool
	seed  uint64
}

// New makes a layout. types has one entry for each column.
func New(t change.Table, columns []string, types []*render.Type, primaryKey []string, oneLane bool) (*Layout, error) {
	l := &Layout{
		Table: t, PrimaryKey: primaryKey, Columns: columns, Frame: change.NewFrame(t, primaryKey), OneLane: oneLane,
		types: types, isKey: make([]bool, len(columns)), seed: xxhash.Sum64String(t.String()),
	}
	for _, column := range columns {
		l.names = append(l.names, newName(column))
	}
	for _, name := range primaryKey {
		at := slices.Index(columns, name)
		if at < 0 {
			return nil, fmt.Errorf("column %q of the primary key of %s is not published", name, t)
		}
		l.key = append(l.key, at)
		l.isKey[at] = true
	}
	if len(l.key) == 0 {
		return nil, fmt.Errorf("table %s has no primary key", t)
	}
	return l, nil
}

// Append writes the row as a JSON object. unparsed counts values that could not be read as their type and travel as text.
func (l *Layout) Append(dst []byte, t pgoutput.Tuple) (out []byte, unparsed int) {
	from := len(dst)
	for i := range t {
		dst = l.names[i].append(dst)
		var ok bool
		if dst, ok = l.value(dst, i, &t[i]); !ok {
			unparsed++
		}
	}
	return object(dst, from), unparsed
}

// AppendKey writes the primary key's columns alone as a JSON object: all that is known of a row deleted under the default identity, where the
// old tuple's other columns are null whatever they were.
func (l *Layout) AppendKey(dst []byte, t pgoutput.Tuple) []byte {
	from := len(dst)
	for i := range t {
		if l.isKey[i] {
			dst, _ = l.value(l.names[i].append(dst), i, &t[i])
		}
	}
	return object(dst, from)
}

// AppendChanges writes the old values of the columns that differ.
func (l *Layout) AppendChanges(dst []byte, before, after pgoutput.Tuple) []byte {
	from := len(dst)
	for i := range before {
		same := before[i].Kind == after[i].Kind && string(before[i].Text) == string(after[i].Text)
		if !same && after[i].Kind != pgoutput.Unchanged {
			dst, _ = l.value(l.names[i].append(dst), i, &before[i])
		}
	}
	return object(dst, from)
}

// object makes a JSON object of the members that begin at from, each with a comma before it.
func object(dst []byte, from int) []byte {
	if len(dst) == from {
		return append(dst, "{}"...)
	}
	dst[from] = '{'
	return append(dst, '}')
}

func (l *Layout) value(dst []byte, column int, v *pgoutput.Value) ([]byte, bool) {
	switch v.Kind {
	case pgoutput.Text:
		return l.types[column].Append(dst, v.Text)
	case pgoutput.Binary:
		return l.types[column].AppendBinary(dst, v.Text)
	}
	return append(dst, "null"...), true
}

// Binary is the type, as Postgres has it in its results, of a column that may be read in binary format, and 0 for any other: Append makes
// the same of both. The key's columns are not among them, since lanes, keys and cursors are made of their text.
func (l *Layout) Binary(column int) uint32 {
	if l.isKey[column] || !l.types[column].HasBinary() {
		return 0
	}
	return l.types[column].OID
}

// Key is a row's primary key in two forms.
type Key struct {
	// Lane is the same in every life of every poller: lane positions in Redis depend on it. It must never be computed otherwise.
	Lane uint64
	// Bytes tells the key apart from every other; valid until the buffer it was made in is used again.
	Bytes []byte
}

// Key computes a row's key; buffer is overwritten and returned in it.
func (l *Layout) Key(buffer []byte, t pgoutput.Tuple) Key {
	b := binary.LittleEndian.AppendUint64(buffer[:0], l.seed)
	for _, at := range l.key {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(t[at].Text)))
		b = append(b, t[at].Text...)
	}
	k := Key{Lane: l.seed, Bytes: b}
	if !l.OneLane {
		k.Lane = xxhash.Sum64(b)
	}
	return k
}

// Seed identifies the table among the keys.
func (l *Layout) Seed() uint64 { return l.seed }

// SameKey says whether two tuples have the same primary key.
func (l *Layout) SameKey(a, b pgoutput.Tuple) bool {
	for _, at := range l.key {
		if string(a[at].Text) != string(b[at].Text) {
			return false
		}
	}
	return true
}

// HasKey says whether all of the primary key is there.
func (l *Layout) HasKey(t pgoutput.Tuple) bool {
	for _, at := range l.key {
		if t[at].Kind != pgoutput.Text {
			return false
		}
	}
	return true
}

// KeyTexts returns the primary key's parts in Postgres' text format, in the order of the primary key.
func (l *Layout) KeyTexts(t pgoutput.Tuple) []string {
	texts := make([]string, len(l.key))
	for i, at := range l.key {
		texts[i] = string(t[at].Text)
	}
	return texts
}

// KeyTuple is a row of which only the primary key is known, by its parts in the order of the primary key.
func (l *Layout) KeyTuple(texts []string) pgoutput.Tuple {
	t := make(pgoutput.Tuple, len(l.names))
	for i := range t {
		t[i].Kind = pgoutput.Null
	}
	for i, at := range l.key {
		t[at] = pgoutput.Value{Kind: pgoutput.Text, Text: []byte(texts[i])}
	}
	return t
}
