package intake_test

import (
	"encoding/binary"

	"freshet/shared/change"
)

// A small encoder of pgoutput, protocol 1.
// https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html

// relation is a table of a hand-made stream.
type relation struct {
	id       uint32
	schema   string
	name     string
	identity byte
	columns  []column
}

type column struct {
	name string
	oid  uint32
	key  bool
}

const (
	int4 = 23
	text = 25
)

var (
	// products has the default identity.
	products = relation{id: 1, schema: "public", name: "products", identity: 'd', columns: []column{{"id", int4, true}, {"name", text, false}, {"about", text, false}}}
	// full has REPLICA IDENTITY FULL.
	full = relation{id: 2, schema: "public", name: "full", identity: 'f', columns: []column{{"id", int4, true}, {"name", text, false}, {"about", text, false}}}
	// foreign is published, and not ours.
	foreign = relation{id: 3, schema: "public", name: "foreign", identity: 'd', columns: []column{{"id", int4, true}, {"name", text, false}}}
)

// cells are a row: a string is a value, nil is null, toast is an unchanged TOASTed value.
type cells []any

type unchangedToast struct{}

var toast unchangedToast

func begin(commit change.LSN, xid uint32) []byte {
	b := binary.BigEndian.AppendUint64([]byte{'B'}, uint64(commit))
	b = binary.BigEndian.AppendUint64(b, 820_540_800_000_000) // 2026-01-01
	return binary.BigEndian.AppendUint32(b, xid)
}

// commit ends the transaction; the commit record ends 8 bytes after its beginning.
func commit(at change.LSN) []byte {
	b := binary.BigEndian.AppendUint64([]byte{'C', 0}, uint64(at))
	b = binary.BigEndian.AppendUint64(b, uint64(at+8))
	return binary.BigEndian.AppendUint64(b, 820_540_800_000_000)
}

func (r relation) seen() []byte {
	b := binary.BigEndian.AppendUint32([]byte{'R'}, r.id)
	b = append(append(b, r.schema...), 0)
	b = append(append(b, r.name...), 0, r.identity)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.columns)))
	for _, c := range r.columns {
		var flags byte
		if c.key || r.identity == 'f' {
			flags = 1
		}
		b = append(append(append(b, flags), c.name...), 0)
		b = binary.BigEndian.AppendUint32(b, c.oid)
		b = binary.BigEndian.AppendUint32(b, 0xFFFFFFFF)
	}
	return b
}

func tuple(b []byte, row cells) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(row)))
	for _, v := range row {
		switch v := v.(type) {
		case string:
			b = append(b, 't')
			b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
			b = append(b, v...)
		case unchangedToast:
			b = append(b, 'u')
		default:
			b = append(b, 'n')
		}
	}
	return b
}

func (r relation) row(letter byte) []byte { return binary.BigEndian.AppendUint32([]byte{letter}, r.id) }

func (r relation) insert(row ...any) []byte { return tuple(append(r.row('I'), 'N'), row) }

// update without an old tuple: the key did not change.
func (r relation) update(row ...any) []byte { return tuple(append(r.row('U'), 'N'), row) }

// updateFrom has an old tuple: kind K is the key alone, O the whole row.
func (r relation) updateFrom(kind byte, old, row cells) []byte {
	return tuple(append(tuple(append(r.row('U'), kind), old), 'N'), row)
}

func (r relation) delete(kind byte, old ...any) []byte { return tuple(append(r.row('D'), kind), old) }

func truncate(relations ...relation) []byte {
	b := binary.BigEndian.AppendUint32([]byte{'T'}, uint32(len(relations)))
	b = append(b, 0)
	for _, r := range relations {
		b = binary.BigEndian.AppendUint32(b, r.id)
	}
	return b
}

func message(prefix, content string) []byte {
	b := binary.BigEndian.AppendUint64([]byte{'M', 1}, 0)
	b = append(append(b, prefix...), 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(content)))
	return append(b, content...)
}

// transaction frames messages.
func transaction(at change.LSN, xid uint32, messages ...[]byte) [][]byte {
	all := append([][]byte{begin(at, xid)}, messages...)
	return append(all, commit(at))
}
