package bench

import (
	"context"
	"fmt"
)

// table has nine columns of the kinds that shops have; a row is about 200 bytes as JSON.
const items = `
DROP TABLE IF EXISTS items;
CREATE TABLE items (id bigint PRIMARY KEY, sku text NOT NULL, name text NOT NULL, price numeric(12,2), stock int,
	active boolean, weight double precision, created_at timestamptz, note text);`

// row is row n of it.
const row = `n, 'SKU-' || lpad(n::text, 10, '0'), 'Product number ' || n, (n % 100000) / 100.0, n % 1000, n % 7 <> 0, n * 0.25,
	timestamptz '2026-01-01' + n * interval '1 second', CASE WHEN n % 10 > 0 THEN 'a note of medium length on product ' || n END`

// load is what a log is made to hold: SQL that runs before the slots are made, and SQL that they see.
type load struct{ before, during []string }

// insert makes so many rows in one transaction.
func insert(rows int) string {
	return fmt.Sprintf("INSERT INTO items SELECT %s FROM generate_series(1, %d) n", row, rows)
}

// inserted is one transaction of so many new rows.
func inserted(rows int) load { return load{during: []string{insert(rows)}} }

// updated is so many transactions that update one of the table's rows each: in the n-th the one with this id.
func updated(existing, transactions int, id string) load {
	const each = "DO $$ BEGIN FOR n IN 1..%d LOOP UPDATE items SET stock = stock + 1, price = price + 1 WHERE id = %s; COMMIT; END LOOP; END $$"
	return load{
		before: []string{insert(existing), "VACUUM ANALYZE items"},
		// How durable the load is does not matter here; how durable the servers' work in the turns is, does.
		during: []string{"SET synchronous_commit = off", fmt.Sprintf(each, transactions, id), "SET synchronous_commit = on"},
	}
}

// publish is what is streamed, all columns of it.
const publish = "DROP PUBLICATION IF EXISTS bench; CREATE PUBLICATION bench FOR TABLE items WITH (publish_via_partition_root = true)"

// prepare makes the table anew, and with it the publication and the slots that see the load: one for each turn of these sides, all of
// them copies of one. It returns where the load ends in the log.
func (b *bench) prepare(ctx context.Context, turns int, l load, sides ...string) (end string, err error) {
	b.say("loading")
	if err := b.all(ctx, items, publish); err != nil {
		return "", err
	}
	if err := b.all(ctx, l.before...); err != nil {
		return "", err
	}
	if err := b.exec(ctx, "SELECT pg_create_logical_replication_slot('bench', 'pgoutput')"); err != nil {
		return "", err
	}
	for turn := range turns {
		for _, side := range sides {
			if err := b.exec(ctx, "SELECT pg_copy_logical_replication_slot('bench', $1)", slot(side, turn)); err != nil {
				return "", err
			}
		}
	}
	if err := b.all(ctx, l.during...); err != nil {
		return "", err
	}
	return b.endOfLoad(ctx)
}

func (b *bench) all(ctx context.Context, statements ...string) error {
	for _, sql := range statements {
		if err := b.exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// existing makes the table with so many rows, and no slot that has seen them.
func (b *bench) existing(ctx context.Context, rows int) error {
	b.say("loading %d rows", rows)
	return b.all(ctx, items, "DROP PUBLICATION IF EXISTS bench", insert(rows), "VACUUM ANALYZE items", "CHECKPOINT")
}

// endOfLoad is the end of the log. What is written after it has the walsender tell its readers that they are past it.
func (b *bench) endOfLoad(ctx context.Context) (string, error) {
	end, err := b.text(ctx, "pg_current_wal_insert_lsn()")
	if err != nil {
		return "", err
	}
	if err := b.exec(ctx, "SELECT pg_logical_emit_message(true, 'bench', 'end')"); err != nil {
		return "", err
	}
	return end, b.exec(ctx, "CHECKPOINT")
}

// dropSlots lets the log go.
func (b *bench) dropSlots(ctx context.Context) error {
	return b.exec(ctx, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active")
}

func slot(side string, turn int) string { return fmt.Sprintf("bench_%s_%d", side, turn+1) }
