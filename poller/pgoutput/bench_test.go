package pgoutput_test

import (
	"testing"

	"freshet/poller/pgoutput"
)

// items is the table of local/bench, twice: as it is, and with REPLICA IDENTITY FULL.
var items, fullItems = itemsWith(1, 'd'), itemsWith(2, 'f')

func itemsWith(id uint32, identity rune) []byte {
	columns := []byte(nil)
	for i, c := range []struct {
		name string
		oid  uint32
	}{{"id", 20}, {"sku", 25}, {"name", 25}, {"price", 1700}, {"stock", 23}, {"active", 16}, {"weight", 701}, {"created_at", 1184}, {"note", 25}} {
		var key byte
		if i == 0 || identity == 'f' {
			key = 1
		}
		columns = append(columns, raw(key, c.name, c.oid, ^uint32(0))...)
	}
	return raw('R', id, "public", "items", identity, uint16(9), columns)
}

// rowMessages are the messages that bring rows of nine columns.
var rowMessages = func() []struct {
	name string
	data []byte
} {
	item := row("123456", "SKU-0000123456", "Product number 123456", "1234.56", "456", "t", "30864", "2026-01-02 10:17:36+00", "a note of medium length on product 123456")
	before := row("123456", "SKU-0000123456", "Product number 123456", "999.99", "457", "t", "30864", "2026-01-02 10:17:36+00", nil)
	key := row("123455", nil, nil, nil, nil, nil, nil, nil, nil)
	toast := row("123456", "SKU-0000123456", "Product number 123456", "1234.56", "456", "t", "30864", "2026-01-02 10:17:36+00", '?')
	return []struct {
		name string
		data []byte
	}{
		{"insert", raw('I', uint32(1), 'N', item)},
		{"update", raw('U', uint32(1), 'N', item)},
		{"update-of-key", raw('U', uint32(1), 'K', key, 'N', item)},
		{"update-full", raw('U', uint32(2), 'O', before, 'N', item)},
		{"update-toast", raw('U', uint32(1), 'N', toast)},
		{"delete", raw('D', uint32(1), 'K', key)},
		{"delete-full", raw('D', uint32(2), 'O', before)},
	}
}()

// knowing is a decoder inside a transaction that knows the items.
func knowing(t testing.TB) *pgoutput.Decoder {
	d := pgoutput.New()
	for _, data := range [][]byte{begin, items, fullItems} {
		if _, err := d.Decode(data); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func BenchmarkDecode(b *testing.B) {
	for _, m := range rowMessages {
		b.Run(m.name, func(b *testing.B) {
			d := knowing(b)
			b.SetBytes(int64(len(m.data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Decode(m.data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestDecode_AllocatesNothingForARow(t *testing.T) {
	d := knowing(t)
	for _, m := range rowMessages {
		if n := testing.AllocsPerRun(100, func() {
			if _, err := d.Decode(m.data); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", m.name, n)
		}
	}
}
