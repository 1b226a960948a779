package row_test

import (
	"testing"
	"time"

	"freshet/poller/lane"
	"freshet/poller/pgoutput"
	"freshet/poller/render"
	"freshet/poller/row"
	"freshet/shared/change"
)

// wide is a table with its rows before and after an update.
type wide struct {
	name          string
	layout        *row.Layout
	before, after pgoutput.Tuple
}

// widths are the table of local/bench and one of less common types, with nine columns each.
func widths(t testing.TB) []wide {
	point := &render.Type{Name: "place", Kind: render.Composite, Fields: []render.Field{{Name: "street", Type: render.Builtin(textOID)}, {Name: "number", Type: render.Builtin(int4OID)}}}
	of := func(table string, columns []string, types []*render.Type, before, after []string) wide {
		w := wide{name: table}
		var err error
		if w.layout, err = row.New(change.Table{Schema: "public", Name: table}, columns, types, []string{"id"}, false); err != nil {
			t.Fatal(err)
		}
		for i := range before {
			w.before, w.after = append(w.before, text(before[i])), append(w.after, text(after[i]))
		}
		return w
	}
	builtin := func(oids ...uint32) (types []*render.Type) {
		for _, oid := range oids {
			types = append(types, render.Builtin(oid))
		}
		return types
	}
	return []wide{
		of("items", []string{"id", "sku", "name", "price", "stock", "active", "weight", "created_at", "note"},
			builtin(20, textOID, textOID, numericOID, int4OID, 16, 701, 1184, textOID),
			[]string{"123456", "SKU-0000123456", "Product number 123456", "999.99", "457", "t", "30864", "2026-01-02 10:17:36+00", ""},
			[]string{"123456", "SKU-0000123456", "Product number 123456", "1234.56", "456", "t", "30864", "2026-01-02 10:17:36+00", "a note of medium length on product 123456"}),
		of("rare", []string{"id", "attributes", "tags", "sizes", "picture", "seen_at", "place", "total", "raw"},
			append(builtin(2950, 3802, 1009, 1007, 17, 1184), point, render.Builtin(numericOID), render.Builtin(114)),
			[]string{"6d5c5a2e-1f6e-4a0e-9a3b-0f0a1c2d3e4f", `{"color": "red"}`, `{new}`, "{1,2}", `\x00ff`, "2026-01-01 10:00:00.123456+00", `("Long Street",1)`, "1.5", `{"a":1}`},
			[]string{"6d5c5a2e-1f6e-4a0e-9a3b-0f0a1c2d3e4f", `{"color": "blue", "sizes": [1, 2]}`, `{new,"on sale","19\" wide"}`, "{1,2,3,4}", `\x00ff5c220001`, "2026-01-02 10:00:00.123456+00", `("Long Street",12)`, "123456789.123456789", `{"a" : [1, 2, {"b": "c"}]}`}),
	}
}

func BenchmarkLayout(b *testing.B) {
	dst := make([]byte, 0, 4096)
	for _, w := range widths(b) {
		run := func(name string, f func() int) {
			b.Run(name+"/"+w.name, func(b *testing.B) {
				b.SetBytes(int64(f()))
				b.ReportAllocs()
				for b.Loop() {
					f()
				}
			})
		}
		run("Append", func() int { out, _ := w.layout.Append(dst, w.after); return len(out) })
		run("AppendKey", func() int { return len(w.layout.AppendKey(dst, w.after)) })
		run("AppendChanges", func() int { return len(w.layout.AppendChanges(dst, w.before, w.after)) })
		run("Key", func() int { return len(w.layout.Key(dst, w.after).Bytes) })
	}
}

// A row is written into the memory of a batch that was delivered before.
func TestLayout_AllocatesNothingForARow(t *testing.T) {
	const messages = 100
	for _, w := range widths(t) {
		s := lane.NewSet(lane.Limits{Lanes: 1, BatchMessages: messages, BatchBytes: 1 << 20, BufferBytes: 1 << 22}, func(int, uint64) {})
		var tx change.Transaction
		tx.Begin(771, 0x16B374D848, time.Now())
		var key []byte
		batch := func() {
			for i := range uint32(messages) {
				k := w.layout.Key(key, w.after)
				key = k.Bytes
				q := s.Of(k.Lane)
				c := q.Begin(uint64(i))
				b, _ := w.layout.Append(change.AppendOpen(c.Body, change.Update), w.after)
				b = w.layout.AppendChanges(change.AppendChanges(b), w.before, w.after)
				c.Body = w.layout.Frame.AppendClose(b, &tx, i)
				q.End(change.Position{Ordinal: i})
			}
			s.Release(s.Queue(0).Take())
		}
		if n := testing.AllocsPerRun(10, batch); n != 0 {
			t.Errorf("%s: %v allocations for %d rows", w.name, n, messages)
		}
	}
}
