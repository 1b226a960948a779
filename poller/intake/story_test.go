package intake_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"freshet/shared/change"
	"freshet/shared/exchange"
)

func TestIntake_InsertUpdateDelete(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.announce(0x200)
	b.feed(transaction(0x300, 1001, products.insert("1", "Mug", nil), products.update("1", "Cup", ""), products.delete('K', "1", nil, nil))...)
	b.feed(transaction(0x400, 1002, products.insert("-2", "a\"b", nil))...)
	b.wantSettled(0x208) // relations alone
	b.deliver()
	b.wantSettled(0x408)
	all := b.inOrder()
	if m := all[2].Metadata; m.Position.Commit != 0x300 || m.TransactionID != 1001 || m.CommitTimestamp != "2026-01-01T00:00:00.000000Z" || m.PrimaryKey[0] != "id" || m.Schema != "public" {
		t.Errorf("metadata is %+v", m)
	}
	b.wantSent(
		`insert products {"id":1,"name":"Mug","about":null}`,
		`update products {"id":1,"name":"Cup","about":""}`,
		`delete products {"id":1}`,
		`insert products {"id":-2,"name":"a\"b","about":null}`)
}

func TestIntake_LagIsBetweenCommitAndSending(t *testing.T) {
	b := newBench(t, 1, exchange.OpenResponse{})
	commit := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if got := b.in.Lag(commit); got != 0 {
		t.Errorf("the lag is %s before anything was received", got)
	}
	b.announce(0x200)
	for later, want := range map[time.Duration]time.Duration{0: 0, 3 * time.Second: 3 * time.Second, -time.Hour: 0} { // the last: its clock was set
		if got := b.in.Lag(commit.Add(later)); got != want {
			t.Errorf("sent %s after its commit: the lag is %s", later, got)
		}
	}
}

func TestIntake_FullIdentityTellsChanges(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.announce(0x200)
	b.feed(transaction(0x300, 1001,
		full.updateFrom('O', cells{"1", "Mug", nil}, cells{"1", "Cup", "nice"}),
		full.updateFrom('O', cells{"1", "Cup", "nice"}, cells{"1", "Cup", "nice"}),
		full.delete('O', "1", "Cup", "nice"))...)
	b.deliver()
	b.wantSent(
		`update full {"id":1,"name":"Cup","about":"nice"} was {"name":"Mug","about":null}`,
		`update full {"id":1,"name":"Cup","about":"nice"} was {}`,
		`delete full {"id":1,"name":"Cup","about":"nice"}`)
}

func TestIntake_UnchangedToastComesFromTheOldRow(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.announce(0x200)
	b.feed(transaction(0x300, 1001,
		full.updateFrom('O', cells{"1", "long", "longer"}, cells{"1", toast, toast}),
		full.updateFrom('O', cells{"2", "Mug", "longer"}, cells{"3", "Cup", toast}))...)
	b.deliver()
	b.wantSettled(0x308)
	b.wantSent(
		`update full {"id":1,"name":"long","about":"longer"} was {}`,
		`delete full {"id":2,"name":"Mug","about":"longer"}`,
		`update full {"id":3,"name":"Cup","about":"longer"} was {"id":2,"name":"Mug"}`)
	if !b.refetch.Empty() {
		t.Error("a row was asked for although all of it was there")
	}
}

func TestIntake_AChangedKeyIsADeleteAndAWrite(t *testing.T) {
	b := newBench(t, 64, exchange.OpenResponse{})
	b.announce(0x200)
	b.feed(transaction(0x300, 1001, products.insert("1", "Mug", nil), products.insert("2", "Cup", nil))...)
	b.deliver()
	home := lanesOf(b.inOrder())
	if home[0] == home[1] {
		t.Fatal("the two keys share a lane; choose others")
	}
	b.sent = nil
	b.feed(transaction(0x400, 1002, products.updateFrom('K', cells{"1", nil, nil}, cells{"2", "Mug", nil}))...)
	b.deliver()
	all := b.inOrder()
	if got := lanesOf(all); len(got) != 2 || got[0] != home[0] || got[1] != home[1] {
		t.Errorf("lanes are %v, want %v", got, home)
	}
	b.wantSent(`delete products {"id":1}`, `update products {"id":2,"name":"Mug","about":null}`)
}

func TestIntake_KeysAreSwapped(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.announce(0x200)
	b.feed(transaction(0x300, 1001,
		products.updateFrom('K', cells{"1", nil, nil}, cells{"0", "one", nil}),
		products.updateFrom('K', cells{"2", nil, nil}, cells{"1", "two", nil}),
		products.updateFrom('K', cells{"0", nil, nil}, cells{"2", "one", nil}))...)
	b.deliver()
	b.wantSent(
		`delete products {"id":1}`, `update products {"id":0,"name":"one","about":null}`,
		`delete products {"id":2}`, `update products {"id":1,"name":"two","about":null}`,
		`delete products {"id":0}`, `update products {"id":2,"name":"one","about":null}`)
}

// An identity index may have more columns than the primary key: then a K tuple comes although the key is the same.
func TestIntake_AKeyTupleWithTheSameKeyDeletesNothing(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.announce(0x200)
	b.feed(transaction(0x300, 1001, products.updateFrom('K', cells{"1", "Mug", nil}, cells{"1", "Cup", nil}))...)
	b.deliver()
	b.wantSent(`update products {"id":1,"name":"Cup","about":null}`) // and no changes: K is no row
}

func TestIntake_UnchangedToastHoldsConfirmationUntilTheRowIsThere(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.announce(0x200)
	b.feed(transaction(0x300, 1001, products.insert("7", "before", nil))...)
	b.feed(transaction(0x400, 1002, products.update("1", "Mug", toast), products.insert("2", "Cup", nil))...)
	b.feed(transaction(0x500, 1003, products.insert("3", "Jug", nil))...)
	b.deliver()
	b.in.Keepalive(0x600)
	b.wantSent(`insert products {"id":7,"name":"before","about":null}`, `insert products {"id":2,"name":"Cup","about":null}`, `insert products {"id":3,"name":"Jug","about":null}`)
	b.wantSettled(0x308)
	asked := b.refetch.Take(10)
	if len(asked) != 1 || asked[0].XID != 1002 || len(asked[0].Key) != 1 || asked[0].Key[0] != "1" || asked[0].Layout.Table.Name != "products" {
		t.Fatalf("asked for %+v", asked)
	}
	asked[0].Settled()
	b.wantSettled(0x600)
}

// What is null in a K tuple was left out.
func TestIntake_AKeyTupleFillsNothing(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.announce(0x200)
	b.feed(transaction(0x300, 1001, products.updateFrom('K', cells{"1", nil, nil}, cells{"2", "Mug", toast}))...)
	b.deliver()
	b.wantSent(`delete products {"id":1}`)
	asked := b.refetch.Take(10)
	if len(asked) != 1 || asked[0].Key[0] != "2" {
		t.Fatalf("asked for %+v, want the row under its new key", asked)
	}
	b.wantSettled(0x208)
}

// A partition may have another identity than its root, under whose name it is published: the server then calls a tuple whole that has the
// key alone. But a value that was TOASTed is never null, so a null in its place was left out.
func TestIntake_ANullFillsNothing(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.announce(0x200)
	b.feed(transaction(0x300, 1001, full.updateFrom('O', cells{"1", nil, nil}, cells{"2", "Mug", toast}))...)
	b.deliver()
	for _, s := range b.inOrder() {
		if s.Action == change.Update {
			t.Errorf("sent %s", s)
		}
	}
	if asked := b.refetch.Take(10); len(asked) != 1 || asked[0].Key[0] != "2" {
		t.Errorf("asked for %+v, want row 2", asked)
	}
}

// A long text in a primary key can itself be TOASTed; an update that leaves it alone sends it in the K tuple only.
func TestIntake_UnchangedToastInTheKey(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	wide := relation{id: 9, schema: "public", name: "products", identity: 'd', columns: []column{{"id", text, true}, {"name", text, false}, {"about", text, false}}}
	b.feed(transaction(0x300, 1001, wide.seen(),
		wide.updateFrom('K', cells{"long", nil, nil}, cells{toast, "Mug", nil}),
		wide.updateFrom('K', cells{"long", nil, nil}, cells{toast, toast, nil}))...)
	b.deliver()
	b.wantSent(`update products {"id":"long","name":"Mug","about":null}`)
	if asked := b.refetch.Take(10); len(asked) != 1 || asked[0].Key[0] != "long" {
		t.Errorf("asked for %+v, want the row long", asked)
	}
}

func TestIntake_UnchangedToastInTheKeyThatIsNowhere(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	wide := relation{id: 9, schema: "public", name: "products", identity: 'd', columns: []column{{"id", text, true}, {"name", text, false}, {"about", text, false}}}
	b.feed(begin(0x300, 1001), wide.seen())
	if err := b.in.Data(t.Context(), wide.update(toast, "Mug", nil)); err == nil || !strings.Contains(err.Error(), "public.products") {
		t.Errorf("got %v, want an error that names the table", err)
	}
}

// A row filter of the publication turns an update that makes a row match into an insert, which may leave out what did not change.
func TestIntake_AnInsertCanLeaveOutToast(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.announce(0x200)
	b.feed(transaction(0x300, 1001, products.insert("1", "Mug", toast))...)
	b.deliver()
	b.wantSent()
	if asked := b.refetch.Take(10); len(asked) != 1 || asked[0].Key[0] != "1" {
		t.Errorf("asked for %+v, want row 1", asked)
	}
}

func TestIntake_ADeleteWithoutTheKeyStops(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.announce(0x200)
	b.feed(begin(0x300, 1001))
	if err := b.in.Data(t.Context(), products.row('D')); err == nil {
		t.Error("a delete of nothing in particular was accepted")
	}
}

func TestIntake_AForeignTableIsPassedOver(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.announce(0x200)
	b.feed(transaction(0x300, 1001, foreign.insert("1", "x"), foreign.updateFrom('K', cells{"1", nil}, cells{"2", toast}), foreign.delete('K', "2", nil), truncate(foreign))...)
	b.wantSettled(0x308)
	b.deliver()
	b.wantSent()
}

func TestIntake_AKeepaliveInATransactionCountsForNothing(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.in.Keepalive(0x180)
	b.wantSettled(0x180)
	b.announce(0x200)
	b.feed(begin(0x300, 1001))
	b.in.Keepalive(0x900)
	b.wantSettled(0x208)
	b.feed(products.insert("1", "Mug", nil))
	b.in.Keepalive(0x900)
	b.deliver() // all of it is in Redis, and still the transaction is not over
	b.in.Keepalive(0x900)
	b.wantSettled(0x208)
	b.feed(commit(0x300))
	b.wantSettled(0x308)
	b.in.Keepalive(0x900)
	b.wantSettled(0x900)
}

func TestIntake_AKeepaliveWaitsForWhatCameBefore(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.announce(0x200)
	b.feed(transaction(0x300, 1001, products.insert("1", "Mug", nil))...)
	b.in.Keepalive(0x900)
	b.wantSettled(0x208)
	b.deliver()
	b.wantSettled(0x900)
}

func TestIntake_ALargeTransactionIsDeliveredInParts(t *testing.T) {
	b := newBench(t, 2, exchange.OpenResponse{})
	b.announce(0x200)
	b.feed(begin(0x300, 1001))
	for range 10 {
		b.feed(products.update("1", "Mug", nil))
	}
	b.deliver()
	if len(b.sent) != 10 {
		t.Errorf("%d messages were sent before the commit, want 10", len(b.sent))
	}
	b.wantSettled(0x208)
	b.feed(commit(0x300))
	b.wantSettled(0x308)
}

func TestIntake_ATruncateWaitsForAllLanesAndPassesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 4, exchange.OpenResponse{})
		b.announce(0x200)
		b.feed(begin(0x300, 1001), products.insert("1", "a", nil), products.insert("2", "b", nil), products.insert("3", "c", nil), full.insert("1", "d", nil))
		done := make(chan error, 1)
		go func() { done <- b.in.Data(context.Background(), truncate(products, foreign, full)) }()
		synctest.Wait()
		if n := len(b.sent); n != 0 {
			t.Fatalf("%d messages were sent by themselves", n)
		}
		b.deliver()
		b.wantSent(`insert products {"id":1,"name":"a","about":null}`, `insert products {"id":2,"name":"b","about":null}`, `insert products {"id":3,"name":"c","about":null}`, `insert full {"id":1,"name":"d","about":null}`)
		for _, table := range []string{"products", "full"} {
			synctest.Wait()
			select {
			case err := <-done:
				t.Fatalf("the truncate of %s was not waited for: %v", table, err)
			default:
			}
			b.deliver(1, 2, 3)
			c := b.lanes.Queue(0).Take()
			if c == nil || !c.Alone || c.Messages() != 1 {
				t.Fatalf("lane 0 has %+v, want the truncate of %s alone", c, table)
			}
			b.settle(0, c)
			b.wantSent("truncate " + table + " ")
		}
		synctest.Wait()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		b.feed(products.insert("1", "e", nil), commit(0x300))
		b.wantSettled(0x208)
		b.deliver()
		b.wantSent(`insert products {"id":1,"name":"e","about":null}`)
		b.wantSettled(0x308)
	})
}

func TestIntake_ATruncateGivesUpWhenAsked(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.announce(0x200)
	b.feed(begin(0x300, 1001), products.insert("1", "a", nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.in.Data(ctx, truncate(products)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

// The lane that carries truncates is used like any other before and after them; nothing in it may be left lying.
func TestIntake_TruncatesAmongRows(t *testing.T) {
	b := newBench(t, 3, exchange.OpenResponse{})
	b.delivering()
	b.announce(0x200)
	at, rows := change.LSN(0x300), 0
	for range 200 {
		b.feed(begin(at, 1001))
		for i := range 5 {
			b.feed(products.insert(string(rune('0'+i)), "x", nil))
			rows++
		}
		b.lanes.Flush()
		b.feed(truncate(products), commit(at))
		at += 0x10
	}
	if err := b.lanes.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(b.inOrder()); got != rows+200 {
		t.Errorf("%d messages were sent, want %d", got, rows+200)
	}
}

func TestIntake_ClearCarriesTheBackfillsState(t *testing.T) {
	b := newBench(t, 2, exchange.OpenResponse{})
	var c = make(chan map[string]change.Backfill, 1)
	go func() {
		for {
			<-b.lanes.Queue(0).Ready()
			if chunk := b.lanes.Queue(0).Take(); chunk != nil {
				c <- chunk.Backfills
				b.settle(0, chunk)
				return
			}
		}
	}()
	l, err := b.layout(t.Context(), relationOf(t, products))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.in.Clear(t.Context(), l, change.Backfill{State: change.BackfillPending}); err != nil {
		t.Fatal(err)
	}
	if got := (<-c)["public.products"].State; got != change.BackfillPending {
		t.Errorf("state is %q, want pending", got)
	}
	if got := b.inOrder()[0]; got.Action != change.Truncate || got.Metadata.Position != (change.Position{}) {
		t.Errorf("sent %s at %s", got, got.Metadata.Position)
	}
	b.wantSettled(start)
}

func TestIntake_UnknownMessages(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.announce(0x200)
	b.feed([]byte("Y"), []byte("O"), []byte("A")) // type, origin, a stray stream abort
	b.feed(begin(0x300, 1001))
	for _, data := range [][]byte{[]byte("Z"), {}, products.insert("1"), {'I', 0, 0, 0, 99, 'N', 0, 0}} {
		fresh := newBench(t, 4, exchange.OpenResponse{})
		fresh.announce(0x200)
		fresh.feed(begin(0x300, 1001))
		if err := fresh.in.Data(t.Context(), data); err == nil {
			t.Errorf("%q was passed over", data)
		}
	}
}

func TestIntake_RowsOutsideATransactionStop(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.announce(0x200)
	if err := b.in.Data(t.Context(), products.insert("1", "Mug", nil)); err == nil {
		t.Error("a row outside a transaction was accepted")
	}
}

func TestIntake_ForeignMarksAreIgnored(t *testing.T) {
	b := newBench(t, 4, exchange.OpenResponse{})
	b.announce(0x200)
	b.feed(message("freshet", session+"/1"))
	b.feed(transaction(0x300, 1001, message("freshet", "other/1"), message("other", session+"/1"), message("freshet", ""), message("freshet", session+"/99"), message("freshet", session))...)
	b.wantSettled(0x308)
	b.deliver()
	b.wantSent()
}
