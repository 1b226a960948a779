package intake_test

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/tidwall/gjson"

	"freshet/poller/backfill"
	"freshet/poller/pgoutput"
	"freshet/poller/row"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// page is on its way to its mark, with these rows of a table as a snapshot saw them. settled counts.
func (b *bench) page(number int, r relation, snapshot string, settled *int, ids ...string) {
	b.t.Helper()
	l, err := b.layout(b.t.Context(), relationOf(b.t, r))
	if err != nil {
		b.t.Fatal(err)
	}
	p := backfill.NewPage(l, backfill.Deal{Lanes: b.lanes.Len(), Of: b.lanes.Number, Body: b.lanes.Body})
	p.ID, p.Action, p.Snapshot, p.Settled = fmt.Sprintf("%s/%d", session, number), change.Read, horizon(b.t, snapshot), func() { *settled++ }
	for _, id := range ids {
		p.Append(pageTuple(id))
	}
	b.pages.Add(p)
}

func pageTuple(id string) pgoutput.Tuple {
	return pgoutput.Tuple{{Kind: pgoutput.Text, Text: []byte(id)}, {Kind: pgoutput.Text, Text: []byte("old")}, {Kind: pgoutput.Null}}
}

func pageRow(l *row.Layout, id string) backfill.Row {
	t := pageTuple(id)
	record, _ := l.Append(nil, t)
	return backfill.Row{Record: record, Key: l.Key(nil, t)}
}

func mark(number int) []byte { return message("freshet", fmt.Sprintf("%s/%d", session, number)) }

func read(table, id string) string {
	return fmt.Sprintf(`read %s {"id":%s,"name":"old","about":null}`, table, id)
}

func TestPages_AreSentAtTheirMarks(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.announce(0x200)
	var one, two int
	b.page(1, products, "1001:1001:", &one, "1", "-2")
	b.page(2, full, "1001:1001:", &two, "1")
	b.feed(transaction(0x300, 1002, mark(1))...)
	b.feed(transaction(0x310, 1003, mark(2))...)
	b.feed(transaction(0x320, 1004, mark(1))...) // once is enough
	b.wantSettled(0x208)
	if one+two != 0 {
		t.Error("pages are said to be settled before they were sent")
	}
	b.deliver()
	b.wantSent(read("products", "1"), read("products", "-2"), read("full", "1"))
	b.wantSettled(0x328)
	if one != 1 || two != 1 {
		t.Errorf("settled %d and %d times, want once each", one, two)
	}
}

// However many lanes and batches a page is dealt to, its rows have places one after the other, in its order; those left out take none.
func TestPages_RowsHaveTheirPlacesInOrder(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.delivering()
	b.announce(0x200)
	var ids []string
	for i := range 60 {
		ids = append(ids, strconv.Itoa(i))
	}
	settled := 0
	b.page(1, products, "1005:1005:", &settled, ids...)
	b.feed(transaction(0x300, 2000, products.insert("7", "new", nil))...)
	b.feed(transaction(0x310, 2001, mark(1), mark(1), products.insert("100", "after", nil))...)
	if err := b.lanes.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, s := range b.inOrder()[1:] {
		if want == 7 {
			want++
		}
		id, place := strconv.Itoa(want), uint32(want)
		if want > 7 {
			place--
		}
		if want == len(ids) {
			id = "100"
		}
		if got := gjson.Get(string(s.Record), "id").Raw; got != id || s.Metadata.Position.Ordinal != place {
			t.Errorf("id %s has place %d, want id %s and %d", got, s.Metadata.Position.Ordinal, id, place)
		}
		want++
	}
	if want != len(ids)+1 || settled != 1 {
		t.Errorf("%d rows came, settled %d times", want, settled)
	}
	b.wantSettled(0x318)
}

func TestPages_AreSettledWithTheirLastRow(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.announce(0x200)
	var one, two int
	b.page(1, products, "1001:1001:", &one, "1", "2", "3", "4")
	b.page(2, products, "1001:1001:", &two)
	b.feed(transaction(0x300, 1002, mark(1))...)
	b.feed(transaction(0x310, 1003, mark(2))...)
	for i := range 4 {
		if b.lanes.Flush(); b.lanes.Bytes() > 0 && one+two > 0 {
			t.Fatalf("settled %d and %d while rows are on their way", one, two)
		}
		b.deliver(i)
	}
	if one != 1 || two != 1 {
		t.Errorf("settled %d and %d times, want once each", one, two)
	}
}

// The stream's word is newer than the page's, when the page's snapshot did not see the transaction that said it.
func TestPages_LeaveOutWhatTheStreamHasTouched(t *testing.T) {
	for _, c := range []struct {
		name  string
		xid   uint32
		touch []byte
		want  []string // of the rows 1, 2, 3 of the page
	}{
		{"nothing", 2000, foreign.insert("1", "x"), []string{"1", "2", "3"}},
		{"insert", 2000, products.insert("1", "new", nil), []string{"2", "3"}},
		{"update", 2000, products.update("2", "new", nil), []string{"1", "3"}},
		{"an update that has to be read again", 2000, products.update("2", "new", toast), []string{"1", "3"}},
		{"delete", 2000, products.delete('K', "3", nil, nil), []string{"1", "2"}},
		{"changed key: both", 2000, products.updateFrom('K', cells{"1", nil, nil}, cells{"2", "new", nil}), []string{"3"}},
		{"truncate", 2000, truncate(foreign, products), nil},
		{"another table's row with the same key", 2000, full.insert("1", "new", nil), []string{"1", "2", "3"}},
		{"another table's truncate", 2000, truncate(foreign, full), []string{"1", "2", "3"}},
		{"running when the page was read", 1005, products.insert("1", "new", nil), []string{"2", "3"}},
		{"seen by the page", 1006, products.insert("1", "new", nil), []string{"1", "2", "3"}},
		{"a truncate seen by the page", 1006, truncate(products), []string{"1", "2", "3"}},
	} {
		b := newBench(t, 4, exchange.OpenResponse{})
		b.delivering()
		b.announce(0x200)
		settled := 0
		b.page(1, products, "1005:1010:1005", &settled, "1", "2", "3")
		b.feed(transaction(0x300, c.xid, c.touch)...)
		b.feed(transaction(0x310, 2001, mark(1))...)
		if err := b.lanes.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range b.inOrder() {
			if s.Action == change.Read {
				got = append(got, s.String())
			}
		}
		var want []string
		for _, id := range c.want {
			want = append(want, read("products", id))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: the page brought %q, want %q", c.name, got, want)
		}
		if asked := b.refetch.Take(1); len(asked) > 0 {
			asked[0].Settled()
		}
		b.wantSettled(0x318)
	}
}

// What comes after the mark is newer than the page, whether its snapshot saw it or not.
func TestPages_DoNotLookBeyondTheirMark(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.announce(0x200)
	settled := 0
	b.page(1, products, "1005:1005:", &settled, "1")
	b.feed(transaction(0x300, 2000, mark(1))...)
	b.feed(transaction(0x310, 2001, products.update("1", "new", nil))...)
	b.deliver()
	b.wantSent(read("products", "1"), `update products {"id":1,"name":"new","about":null}`)
}

// A replay skips what the sink has, but the keys of the skipped rows were touched all the same.
func TestPages_LeaveOutWhatAReplayHasSkipped(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{Sealed: 0x308})
	b.announce(0x200)
	settled := 0
	b.page(1, products, "1005:1005:", &settled, "1", "2")
	b.feed(transaction(0x300, 2000, products.update("1", "there", nil))...)
	b.feed(transaction(0x310, 2001, mark(1))...)
	b.deliver()
	b.wantSent(read("products", "2"))
}

func TestPages_BelongToTheirSession(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.announce(0x200)
	settled := 0
	b.page(1, products, "1005:1005:", &settled, "1")
	b.feed(transaction(0x300, 2000, message("freshet", "0ther/1"), message("freshet", session+"1/1"), message("freshet2", session+"/1"))...)
	b.deliver()
	b.wantSent()
	if settled != 0 {
		t.Error("the mark of another session settled our page")
	}
}

// A row that is read again is what the tracker waits for, and comes in a page: the page must not wait for the tracker.
func TestPages_ARowReadAgainEndsItsOwnWait(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.announce(0x200)
	b.feed(transaction(0x300, 2000, products.update("1", "new", toast))...)
	before := 0
	b.page(1, full, "2001:2001:", &before, "5") // of a backfill, behind the update in the stream
	b.feed(transaction(0x310, 2001, mark(1))...)
	b.deliver()
	if before != 1 {
		t.Error("a page of a backfill waits for a row that has yet to be read again, and so keeps it from being read")
	}
	b.wantSettled(0x208)
	asked := b.refetch.Take(1)[0]
	p := &backfill.Page{ID: session + "/2", Layout: asked.Layout, Action: change.Update, Snapshot: horizon(t, "2002:2002:"), Rows: []backfill.Row{pageRow(asked.Layout, "1")}, Settled: asked.Settled}
	b.pages.Add(p)
	b.feed(transaction(0x320, 2002, mark(2))...)
	b.wantSettled(0x208)
	b.deliver()
	b.wantSettled(0x328)
	b.wantSent(read("full", "5"), `update products {"id":1,"name":"old","about":null}`)
}

// A key is removed when its row cannot be read yet; not when the stream has brought what could only come after.
func TestPages_RemoveKeysUntilTheirRowsCanBeRead(t *testing.T) {
	for _, c := range []struct {
		name  string
		after []byte // of a transaction that no snapshot sees yet
		want  []string
	}{
		{"nothing since", foreign.insert("1", "x"), []string{`delete products {"id":1}`}},
		{"written since", products.insert("1", "new", nil), []string{`insert products {"id":1,"name":"new","about":null}`}},
	} {
		b := newBench(t, 4, exchange.OpenResponse{})
		b.announce(0x200)
		b.feed(transaction(0x300, 1002, products.update("1", "Mug", toast))...)
		asked := b.refetch.Take(10)
		tuple := asked[0].Layout.KeyTuple(asked[0].Key)
		b.pages.Add(&backfill.Page{
			ID: session + "/1", Layout: asked[0].Layout, Action: change.Delete, Snapshot: horizon(t, "1002:1003:1002"), But: []uint32{1002}, Settled: asked[0].Blanked,
			Rows: []backfill.Row{{Record: asked[0].Layout.AppendKey(nil, tuple), Key: asked[0].Layout.Key(nil, tuple)}},
		})
		b.feed(transaction(0x310, 1003, c.after)...)
		b.feed(transaction(0x320, 1004, mark(1))...)
		if b.tracker.Applied() != 0x208 {
			t.Errorf("%s: applied is %s before the key was removed", c.name, b.tracker.Applied())
		}
		b.deliver()
		b.wantSent(c.want...)
		if b.wantSettled(0x208); b.tracker.Applied() != 0x328 {
			t.Errorf("%s: applied is %s", c.name, b.tracker.Applied())
		}
		asked[0].Settled()
		b.wantSettled(0x328)
	}
}
