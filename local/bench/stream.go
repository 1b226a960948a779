package bench

import (
	"context"
	"fmt"
)

func (b *bench) stream(ctx context.Context) (Result, error) {
	return b.against(ctx, Stream, b.Rows, inserted(b.Rows), manner{})
}

// small has each row updated once.
func (b *bench) small(ctx context.Context) (Result, error) {
	rows := b.smallRows()
	return b.against(ctx, Small, rows, updated(rows, rows, "n"), manner{})
}

// hot updates each of the few rows once, so that all have keys in the end, and then any of them, in an order that repeats itself in
// every run.
func (b *bench) hot(ctx context.Context) (Result, error) {
	transactions := b.smallRows()
	rows := hotRows(transactions)
	id := fmt.Sprintf("CASE WHEN n <= %[1]d THEN n ELSE 1 + abs(hashint8(n)::bigint) %% %[1]d END", rows)
	r, err := b.against(ctx, Hot, transactions, updated(rows, transactions, id), manner{})
	for i := range r.Pairs {
		r.Pairs[i].Freshet.Rows = 0 // all rows were there long before the last update
	}
	return r, err
}

// hotRows is how many rows so many transactions share.
func hotRows(transactions int) int { return min(1000, transactions) }

// against measures a load that waits in the log: pg_recvlogical and freshet, turn and turn about.
func (b *bench) against(ctx context.Context, what string, rows int, l load, how manner) (Result, error) {
	r := Result{Rows: rows}
	end, err := b.prepare(ctx, b.Pairs, l, "reference", "freshet")
	if err != nil {
		return r, err
	}
	err = b.pairs(ctx, &r, what,
		func(ctx context.Context, n int) (Turn, error) { return b.receive(ctx, slot("reference", n), end) },
		func(ctx context.Context, n int) (Turn, error) { return b.mirror(ctx, slot("freshet", n), end, how) })
	return r, err
}
