package pgoutput_test

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"freshet/poller/pgoutput"
	"freshet/shared/change"
)

// raw builds messages as Postgres would: numbers big-endian, names with a zero byte at their end.
func raw(letter byte, fields ...any) []byte {
	data := []byte{letter}
	for _, f := range fields {
		switch f := f.(type) {
		case byte:
			data = append(data, f)
		case rune:
			data = append(data, byte(f))
		case uint16:
			data = binary.BigEndian.AppendUint16(data, f)
		case uint32:
			data = binary.BigEndian.AppendUint32(data, f)
		case uint64:
			data = binary.BigEndian.AppendUint64(data, f)
		case string:
			data = append(append(data, f...), 0)
		case []byte:
			data = append(data, f...)
		default:
			panic("a field of unknown kind")
		}
	}
	return data
}

// row builds a tuple: nil is null, '?' an unchanged value.
func row(values ...any) []byte {
	data := binary.BigEndian.AppendUint16(nil, uint16(len(values)))
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			data = append(data, 'n')
		case rune:
			data = append(data, 'u')
		case string:
			data = binary.BigEndian.AppendUint32(append(data, 't'), uint32(len(v)))
			data = append(data, v...)
		}
	}
	return data
}

var (
	begin    = raw('B', uint64(0x16B374D848), uint64(1_500_000), uint32(771))
	commit   = raw('C', byte(0), uint64(0x16B374D848), uint64(0x16B374D878), uint64(1_500_000))
	products = raw('R', uint32(16385), "public", "products", 'd', uint16(2), byte(1), "id", uint32(23), ^uint32(0), byte(0), "name", uint32(25), ^uint32(0))
	insert   = raw('I', uint32(16385), 'N', row("42", "Mug"))
	logical  = raw('M', byte(1), uint64(0x16B374D800), "freshet", uint32(4), []byte("mark"))
)

func decode(t *testing.T, d *pgoutput.Decoder, data []byte) *pgoutput.Message {
	t.Helper()
	m, err := d.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// opened is a decoder inside a transaction that knows the relation products.
func opened(t testing.TB) *pgoutput.Decoder {
	d := pgoutput.New()
	for _, data := range [][]byte{begin, products} {
		if _, err := d.Decode(data); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func TestDecode_FramesATransaction(t *testing.T) {
	d := pgoutput.New()
	at := time.Date(2000, 1, 1, 0, 0, 1, 500_000_000, time.UTC)

	m := decode(t, d, begin)
	if m.Kind != pgoutput.Begin || m.XID != 771 || m.LSN != 0x16B374D848 || !m.Time.Equal(at) {
		t.Errorf("begin: got %+v", m)
	}
	m = decode(t, d, logical)
	if m.Kind != pgoutput.LogicalMessage || !m.Transactional || m.Prefix != "freshet" || string(m.Content) != "mark" || m.LSN != 0x16B374D800 {
		t.Errorf("message: got %+v", m)
	}
	m = decode(t, d, commit)
	if m.Kind != pgoutput.Commit || m.LSN != 0x16B374D848 || m.EndLSN != 0x16B374D878 || !m.Time.Equal(at) {
		t.Errorf("commit: got %+v", m)
	}
}

func TestDecode_ReadsRows(t *testing.T) {
	d := opened(t)
	m := decode(t, d, insert)
	if m.Kind != pgoutput.Insert || m.Relation.Table != (change.Table{Schema: "public", Name: "products"}) || spell(m.New) != "42|Mug" || m.OldKind != 0 || m.Old != nil {
		t.Errorf("insert: got %+v", m)
	}
	m = decode(t, d, raw('U', uint32(16385), 'K', row("42", nil), 'N', row("43", '?')))
	if m.Kind != pgoutput.Update || m.OldKind != 'K' || spell(m.Old) != "42|NULL" || spell(m.New) != "43|UNCHANGED" {
		t.Errorf("update: got %+v", m)
	}
	m = decode(t, d, raw('U', uint32(16385), 'N', row("43", "")))
	if m.OldKind != 0 || m.Old != nil || spell(m.New) != "43|" {
		t.Errorf("update without the old row: got %+v", m)
	}
	m = decode(t, d, raw('D', uint32(16385), 'O', row("43", "Cup")))
	if m.Kind != pgoutput.Delete || m.OldKind != 'O' || spell(m.Old) != "43|Cup" || m.New != nil {
		t.Errorf("delete: got %+v", m)
	}
	m = decode(t, d, raw('T', uint32(1), byte(3), uint32(16385)))
	if m.Kind != pgoutput.Truncate || len(m.Relations) != 1 || m.Relations[0].ID != 16385 || !m.Cascade || !m.RestartIdentity {
		t.Errorf("truncate: got %+v", m)
	}
}

func spell(tuple pgoutput.Tuple) string {
	var parts []string
	for _, v := range tuple {
		switch v.Kind {
		case pgoutput.Null:
			parts = append(parts, "NULL")
		case pgoutput.Unchanged:
			parts = append(parts, "UNCHANGED")
		case pgoutput.Text:
			parts = append(parts, string(v.Text))
		}
	}
	return strings.Join(parts, "|")
}

func TestDecode_AnEmptySchemaIsTheCatalog(t *testing.T) {
	m := decode(t, pgoutput.New(), raw('R', uint32(1), "", "x", 'd', uint16(0)))
	if got, want := m.Relation.Table.Schema, "pg_catalog"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A changed table is announced again; what was made for the old shape stays as it was.
func TestDecode_ANewRelationReplacesTheOld(t *testing.T) {
	d := opened(t)
	old := decode(t, d, insert).Relation
	decode(t, d, raw('R', uint32(16385), "public", "products", 'd', uint16(1), byte(1), "id", uint32(20), ^uint32(0)))
	m := decode(t, d, raw('I', uint32(16385), 'N', row("42")))
	if len(old.Columns) != 2 || len(m.Relation.Columns) != 1 || m.Relation.Columns[0] != (pgoutput.Column{Name: "id", Type: 20, Modifier: -1, Key: true}) {
		t.Errorf("got %+v and %+v", old, m.Relation)
	}
}

func TestDecode_TheSameRelationAgainKeepsItsPlace(t *testing.T) {
	d := opened(t)
	first := decode(t, d, insert).Relation
	again := decode(t, d, products)
	if again.Kind != pgoutput.RelationSeen || again.Relation != first {
		t.Errorf("got %+v, want %p", again, first)
	}
}

func TestDecode_PassesOverControlMessages(t *testing.T) {
	d := pgoutput.New()
	for _, data := range [][]byte{raw('Y', uint32(1), "public", "mood"), raw('O', uint64(1), "origin"), raw('A', uint32(1), uint32(1)), raw('A'), raw('E')} {
		if m := decode(t, d, data); m.Kind != pgoutput.Ignored || m.Letter != data[0] {
			t.Errorf("%q: got %+v", data, m)
		}
	}
	if got := d.Ignored('A'); got != 2 {
		t.Errorf("got %d stream aborts, want 2", got)
	}
}

func TestDecode_RefusesWhatMayBeARow(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, `empty`},
		{"unknown letter", raw('Z', uint32(1)), `"Z": it is unknown`},
		{"unknown relation", raw('I', uint32(7), 'N', row("1")), `"I": relation 7 was never announced`},
		{"unknown relation truncated", raw('T', uint32(1), byte(0), uint32(7)), `"T": relation 7 was never announced`},
		{"too few columns", raw('I', uint32(16385), 'N', row("1")), `"I": a row has 1 columns and its relation 2`},
		{"too many columns", raw('I', uint32(16385), 'N', row("1", "2", "3")), `3 columns`},
		{"binary value", raw('I', uint32(16385), 'N', uint16(2), 'b', uint32(0), 'n'), `unknown kind "b"`},
		{"no new row", raw('I', uint32(16385), 'K', row("1", nil)), `begins with "K" where N belongs`},
		{"no old row", raw('D', uint32(16385), 'N', row("1", nil)), `begins with "N" where K or O belongs`},
		{"left over", append(insert[:len(insert):len(insert)], 0), `"I": 1 bytes are left over`},
		{"negative length", raw('I', uint32(16385), 'N', uint16(2), 'n', 't', ^uint32(0)), `cut short`},
		{"begin in a transaction", begin, `"B": the transaction before it has no end`},
		{"truncate of very many", raw('T', ^uint32(0), byte(0), uint32(16385)), `cut short`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := opened(t).Decode(c.data)
			if err == nil || !strings.Contains(err.Error(), c.want) || m != nil {
				t.Errorf("got %+v, %v, want %s", m, err, c.want)
			}
		})
	}
}

func TestDecode_RefusesRowsOutsideATransaction(t *testing.T) {
	d := opened(t)
	decode(t, d, commit)
	for _, data := range [][]byte{insert, commit, raw('T', uint32(1), byte(0), uint32(16385))} {
		if _, err := d.Decode(data); err == nil || !strings.Contains(err.Error(), "outside a transaction") {
			t.Errorf("%q: got %v", data[:1], err)
		}
	}
}

// A message that ends early is an error wherever it ends, and leaves nothing behind.
func TestDecode_RefusesEveryPrefix(t *testing.T) {
	update := raw('U', uint32(16385), 'O', row("42", nil), 'N', row("43", "Mug"))
	truncate := raw('T', uint32(1), byte(0), uint32(16385))
	for _, whole := range [][]byte{commit, products, insert, update, truncate, logical} {
		for n := 1; n < len(whole); n++ {
			if m, err := opened(t).Decode(whole[:n:n]); err == nil {
				t.Errorf("%q cut to %d bytes: got %+v", whole[:1], n, m)
			}
		}
		if _, err := opened(t).Decode(whole); err != nil {
			t.Errorf("%q: %v", whole[:1], err)
		}
	}
	for n := 1; n < len(begin); n++ {
		if m, err := pgoutput.New().Decode(begin[:n:n]); err == nil {
			t.Errorf("begin cut to %d bytes: got %+v", n, m)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, data := range [][]byte{begin, commit, products, insert, logical, raw('U', uint32(16385), 'O', row("42", nil), 'N', row("43", '?')),
		raw('T', uint32(1), byte(0), uint32(16385)), raw('Y', uint32(1), "public", "mood"), raw('D', uint32(16385), 'K', row("1", nil))} {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := opened(t)
		m, err := d.Decode(data[:len(data):len(data)]) // a read past the end would panic
		if err != nil {
			return
		}
		total := 0
		for _, tuple := range []pgoutput.Tuple{m.New, m.Old} {
			if tuple != nil && len(tuple) != len(m.Relation.Columns) {
				t.Fatalf("%d values for %d columns", len(tuple), len(m.Relation.Columns))
			}
			for _, v := range tuple {
				total += len(v.Text)
			}
		}
		if total > len(data) {
			t.Fatalf("%d bytes of values in a message of %d", total, len(data))
		}
		if _, err := d.Decode(data); err == nil && m.Kind == pgoutput.Begin {
			t.Fatal("two transactions at once")
		}
	})
}
