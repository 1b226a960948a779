package intake_test

import (
	"context"
	"encoding/binary"
	"strconv"
	"testing"

	"freshet/poller/backfill"
	"freshet/poller/lane"
	"freshet/poller/pgoutput"
	"freshet/poller/row"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// items are the table of local/bench, as it is and with REPLICA IDENTITY FULL.
var items, fullItems = itemsWith(4, 'd'), itemsWith(5, 'f')

func itemsWith(id uint32, identity byte) relation {
	return relation{id: id, schema: "public", name: "items", identity: identity, columns: []column{{"id", 20, true}, {"sku", text, false}, {"name", text, false},
		{"price", 1700, false}, {"stock", int4, false}, {"active", 16, false}, {"weight", 701, false}, {"created_at", 1184, false}, {"note", text, false}}}
}

var (
	item    = cells{"123456", "SKU-0000123456", "Product number 123456", "1234.56", "456", "t", "30864", "2026-01-02 10:17:36+00", "a note of medium length on product 123456"}
	cheaper = cells{"123456", "SKU-0000123456", "Product number 123456", "999.99", "457", "t", "30864", "2026-01-02 10:17:36+00", nil}
	toasted = cells{"123456", "SKU-0000123456", "Product number 123456", "1234.56", "456", "t", "30864", "2026-01-02 10:17:36+00", toast}
	renamed = cells{"123455", nil, nil, nil, nil, nil, nil, nil, nil}
)

// rowMessages are the messages that bring rows of nine columns.
var rowMessages = []struct {
	name string
	data []byte
}{
	{"insert", items.insert(item...)},
	{"update", items.update(item...)},
	{"update-of-key", items.updateFrom('K', renamed, item)},
	{"update-full", fullItems.updateFrom('O', cheaper, item)},
	{"update-toast-full", fullItems.updateFrom('O', cheaper[:8:8].and("a note"), toasted)},
	{"delete", items.delete('K', renamed...)},
	{"delete-full", fullItems.delete('O', cheaper...)},
}

func (c cells) and(more ...any) cells { return append(c, more...) }

// benchRows is how many messages a full batch has.
const benchRows = 1000

// stream is a bench with full batches, in the middle of a transaction.
func stream(t testing.TB) *bench {
	b := newBench(t, 8, exchange.OpenResponse{})
	b.lanes = lane.NewSet(lane.Limits{Lanes: 8, BatchMessages: benchRows, BatchBytes: 1 << 20, BufferBytes: 1 << 24}, b.tracker.Opened)
	b.lanes.Short = true
	b.in.Lanes, b.ours["items"] = b.lanes, true
	b.feed(transaction(0x200, 900, items.seen(), fullItems.seen())...)
	b.feed(begin(0x300, 900))
	return b
}

// take is feed of one message, with nothing of its own that would be measured.
func (b *bench) take(m []byte) {
	if err := b.in.Data(context.Background(), m); err != nil {
		b.t.Fatal(err)
	}
}

// settleAll plays a sink that does not look at what it gets.
func (b *bench) settleAll() {
	b.lanes.Flush()
	for i := range b.lanes.Len() {
		for c := b.lanes.Queue(i).Take(); c != nil; c = b.lanes.Queue(i).Take() {
			b.tracker.Settle(i)
			b.lanes.Release(c)
		}
	}
}

// Rows from the stream to the bodies of batches, which are settled at once.
func BenchmarkData(b *testing.B) {
	for _, m := range rowMessages {
		b.Run(m.name, func(b *testing.B) {
			s, rows := stream(b), 0
			b.SetBytes(int64(len(m.data)))
			b.ReportAllocs()
			for b.Loop() {
				s.take(m.data)
				if rows++; rows%benchRows == 0 {
					s.settleAll()
				}
			}
		})
	}
	b.Run("transaction", func(b *testing.B) {
		s, rows := oneByOne(b), 0
		b.ReportAllocs()
		for b.Loop() {
			s.next()
			if rows++; rows%benchRows == 0 {
				s.settleAll()
			}
		}
	})
}

// Rows of pages, from their columns to the bodies of batches, which are settled at once.
func BenchmarkPage(b *testing.B) {
	s := stream(b)
	s.feed(commit(0x300))
	l := s.itemLayout()
	b.ReportAllocs()
	for b.Loop() {
		s.passes(itemPage(s, l, 5*benchRows))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*5*benchRows), "ns/row")
}

func (b *bench) itemLayout() *row.Layout {
	l, err := b.layout(b.t.Context(), relationOf(b.t, items))
	if err != nil {
		b.t.Fatal(err)
	}
	return l
}

// itemPage is a page of so many rows of the table of local/bench.
func itemPage(s *bench, l *row.Layout, rows int) *backfill.Page {
	p := backfill.NewPage(l, backfill.Deal{Lanes: s.lanes.Len(), Of: s.lanes.Number, Body: s.lanes.Body})
	p.ID, p.Action, p.Snapshot, p.Settled = session+"/1", change.Read, horizon(s.t, "1000:1000:"), func() {}
	var t pgoutput.Tuple
	for _, cell := range item {
		t = append(t, pgoutput.Value{Kind: pgoutput.Text, Text: []byte(cell.(string))})
	}
	var id [20]byte
	for i := range rows {
		t[0].Text = strconv.AppendInt(id[:0], int64(100_000+i), 10)
		p.Append(t)
	}
	return p
}

// passes has the page pass its mark, and all of it settled.
func (b *bench) passes(p *backfill.Page) {
	b.pages.Add(p)
	for _, m := range transaction(0x400, 901, mark(1)) {
		b.take(m)
	}
	b.settleAll()
}

// What is allocated is memory for all rows together, and for it to grow.
func TestPage_AllocatesNothingForARow(t *testing.T) {
	s := stream(t)
	s.feed(commit(0x300))
	l := s.itemLayout()
	of := func(rows int) float64 {
		return testing.AllocsPerRun(5, func() { s.passes(itemPage(s, l, rows)) })
	}
	const few, many = benchRows, 10 * benchRows
	if f, m := of(few), of(many); m-f > (many-few)/50 {
		t.Errorf("%v allocations for a page of %d rows, %v for one of %d", m, many, f, few)
	}
}

// single is a stream of transactions of one row each.
type single struct {
	*bench
	at                    change.LSN
	begin, insert, commit []byte
}

func oneByOne(t testing.TB) *single {
	s := &single{bench: stream(t), at: 0x300, insert: items.insert(item...)}
	s.feed(commit(s.at))
	s.begin, s.commit = begin(s.at, 900), commit(s.at)
	return s
}

func (s *single) next() {
	s.at += 0x100
	binary.BigEndian.PutUint64(s.begin[1:], uint64(s.at))
	binary.BigEndian.PutUint64(s.commit[2:], uint64(s.at))
	binary.BigEndian.PutUint64(s.commit[10:], uint64(s.at+8))
	s.take(s.begin)
	s.take(s.insert)
	s.take(s.commit)
}

func TestData_AllocatesNothingForARow(t *testing.T) {
	none := func(name string, s *bench, row func()) {
		batch := func() {
			for range benchRows {
				row()
			}
			s.settleAll()
		}
		for range 5 {
			batch() // for the memory of the lanes
		}
		if n := testing.AllocsPerRun(5, batch); n != 0 {
			t.Errorf("%s: %v allocations for %d rows", name, n, benchRows)
		}
	}
	s := stream(t)
	for _, m := range rowMessages {
		none(m.name, s, func() { s.take(m.data) })
	}
	one := oneByOne(t)
	none("transaction", one.bench, one.next)
}
