package bench

import (
	"context"
	"fmt"
)

// table has nine columns of the kinds that shops have; a row is about 200 bytes as JSON.
const table = `
DROP TABLE IF EXISTS items;
CREATE TABLE items (id bigint PRIMARY KEY, sku text NOT NULL, name text NOT NULL, price numeric(12,2), stock int,
	active boolean, weight double precision, created_at timestamptz, note text);`

// row is row n of it.
const row = `n, 'SKU-' || lpad(n::text, 10, '0'), 'Product number ' || n, (n % 100000) / 100.0, n % 1000, n % 7 <> 0, n * 0.25,
	timestamptz '2026-01-01' + n * interval '1 second', CASE WHEN n % 10 > 0 THEN 'a note of medium length on product ' || n END`

// load fills the table, in one transaction or in as many as there are rows.
func (b *bench) load(ctx context.Context, rows int, single bool) error {
	if !single {
		return b.exec(ctx, fmt.Sprintf("INSERT INTO items SELECT %s FROM generate_series(1, %d) n", row, rows))
	}
	// How durable the load is does not matter here; how durable the servers' work in the turns is, does.
	if err := b.exec(ctx, "SET synchronous_commit = off"); err != nil {
		return err
	}
	if err := b.exec(ctx, fmt.Sprintf("DO $$ BEGIN FOR n IN 1..%d LOOP INSERT INTO items SELECT %s; COMMIT; END LOOP; END $$", rows, row)); err != nil {
		return err
	}
	return b.exec(ctx, "SET synchronous_commit = on")
}

// prepare makes the table anew, and with it the publication and the slots that hold its load: one for each turn, all of
// them copies of one. It returns where the load ends in the log.
func (b *bench) prepare(ctx context.Context, rows int, single bool) (end string, err error) {
	b.say("loading %d rows", rows)
	for _, sql := range []string{
		table,
		"DROP PUBLICATION IF EXISTS bench",
		"CREATE PUBLICATION bench FOR TABLE items WITH (publish_via_partition_root = true)",
		narrowed,
		"SELECT pg_create_logical_replication_slot('bench', 'pgoutput')",
	} {
		if err := b.exec(ctx, sql); err != nil {
			return "", err
		}
	}
	for turn := range b.Pairs {
		for _, side := range []string{"reference", "freshet"} {
			if err := b.exec(ctx, "SELECT pg_copy_logical_replication_slot('bench', $1)", slot(side, turn)); err != nil {
				return "", err
			}
		}
	}
	if err := b.load(ctx, rows, single); err != nil {
		return "", err
	}
	return b.endOfLoad(ctx)
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
