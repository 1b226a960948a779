package change_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"freshet/shared/change"
)

// benchRows is how many messages the batches of the benchmarks have: as many as the poller puts into one by default.
const benchRows = 1000

// benchBody is a batch as the poller writes it, with rows as local/bench has them, of the given tables in turn, all of one transaction.
func benchBody(tables ...string) []byte { return benchBodyOf(benchRows, benchRows, tables...) }

// benchBodyOf has that many rows, and as many in each transaction.
func benchBodyOf(rows, each int, tables ...string) []byte {
	fence := change.Fence{Sink: "freshet", Session: "9b1c", Lane: 3, Seq: 42, After: make([]uint64, 8), Seal: 0x16B3000}
	b := change.Batch{ID: "9b1c/3/42", Source: change.Source{System: "7421000000000000000", Timeline: 1, Database: "shop", Slot: "freshet"}, Fence: &fence}
	body, err := b.AppendHead(nil)
	if err != nil {
		panic(err)
	}
	var frames []*change.Frame
	for _, table := range tables {
		frames = append(frames, change.NewFrame(change.Table{Schema: "public", Name: table}, []string{"id"}))
	}
	var tx change.Transaction
	for n := 1; n <= rows; n++ {
		if n > 1 {
			body = append(body, ',')
		}
		if (n-1)%each == 0 {
			tx.Begin(uint32(771+n), change.LSN(0x16B374D848+n*0x100), at.Add(time.Duration(n)*time.Millisecond))
		}
		body = change.AppendOpen(body, change.Insert)
		body = fmt.Appendf(body, `{"id":%d,"sku":"SKU-%010d","name":"Product number %d","price":%.2f,"stock":%d,"active":%v,"weight":%v,"created_at":%q,"note":`,
			n, n, n, float64(n%100000)/100, n%1000, n%7 != 0, float64(n)*0.25, at.Add(time.Duration(n)*time.Second).UTC().Format("2006-01-02T15:04:05+00:00"))
		if n%10 > 0 {
			body = fmt.Appendf(body, `"a note of medium length on product %d"}`, n)
		} else {
			body = append(body, "null}"...)
		}
		body = append(change.AppendChanges(body), "null"...)
		body = frames[n%len(frames)].AppendClose(body, &tx, uint32(n))
	}
	return change.AppendEnd(body)
}

func BenchmarkParseBatch(b *testing.B) {
	var reused change.Batch
	into := func(body []byte) error { return change.ParseBatchInto(&reused, body) }
	one := benchBody("items")
	for _, c := range []struct {
		name  string
		rows  int
		body  []byte
		parse func(body []byte) error
	}{
		{"gjson", benchRows, one, func(body []byte) error { _, err := reference(body); return err }},
		{"ours", benchRows, one, func(body []byte) error { _, err := change.ParseBatch(body); return err }},
		{"into", benchRows, one, into},
		{"tables=3", benchRows, benchBody("items", "orders", "order_lines"), into},
		{"tables=12", benchRows, benchBody("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"), into},
		{"transactions", benchRows, benchBodyOf(benchRows, 1, "items"), into},
		{"rows=1", 1, benchBodyOf(1, 1, "items"), into},
		{"rows=10", 10, benchBodyOf(10, 10, "items"), into},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := c.parse(c.body); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.rows), "ns/row")
		})
	}
}

// The poller's side: rows that are JSON already become the messages of a batch.
func BenchmarkAppendBatch(b *testing.B) {
	fence := change.Fence{Sink: "freshet", Session: "9b1c", Lane: 3, Seq: 42, After: make([]uint64, 8), Seal: 0x16B3000}
	batch := change.Batch{ID: "9b1c/3/42", Source: change.Source{System: "7421000000000000000", Timeline: 1, Database: "shop", Slot: "freshet"}, Fence: &fence}
	frame := change.NewFrame(products, []string{"id"})
	var tx change.Transaction
	tx.Begin(771, 0x16B374D848, at)
	body := []byte(nil)
	write := func() {
		var err error
		if body, err = batch.AppendHead(body[:0]); err != nil {
			b.Fatal(err)
		}
		for n := range uint32(benchRows) {
			if n > 0 {
				body = append(body, ',')
			}
			body = append(change.AppendOpen(body, change.Insert), mug...)
			body = append(change.AppendChanges(body), "null"...)
			body = frame.AppendClose(body, &tx, n)
		}
		body = change.AppendEnd(body)
	}
	write()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		write()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchRows), "ns/row")
}

func BenchmarkAppendString(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"short", "SKU-0000123456"},
		{"long", strings.Repeat("a text without anything to escape. ", 30)},
		{"quotes", `19" wide, "large"`},
		{"lines", strings.Repeat("a text of some lines\n", 50)},
		{"other", strings.Repeat("Größe: 5 µm, 価格は千円 ", 20)},
	} {
		b.Run(c.name, func(b *testing.B) {
			text, dst := []byte(c.text), make([]byte, 0, 4096)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				change.AppendString(dst, text)
			}
		})
	}
}
