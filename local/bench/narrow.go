package bench

import (
	"context"
	"errors"
	"fmt"
)

// Four of the nine columns: what the rules of the narrow turns use, and what their publication lists.
const few = "id, sku, name, price"

// narrowed makes the publication of the narrow turns as the poller would have it. It has to be there before the load, since the log is decoded
// with the publications of its time; before Postgres 15 there are no lists, and the workload cannot be measured.
const narrowed = `
DROP PUBLICATION IF EXISTS bench_narrow;
DO $$ BEGIN
	IF current_setting('server_version_num')::int >= 150000 THEN
		EXECUTE 'CREATE PUBLICATION bench_narrow FOR TABLE items (` + few + `) WITH (publish_via_partition_root = true)';
		COMMENT ON PUBLICATION bench_narrow IS 'kept by freshet, with column lists';
	END IF;
END $$`

// narrow measures what it brings that only the columns which the rules use are decoded and sent: the yardstick is freshet with whole rows, on
// the same log.
func (b *bench) narrow(ctx context.Context, what string) (Result, error) {
	r := Result{Workload: what, Rows: b.Rows, Yardstick: "whole rows"}
	end, err := b.prepare(ctx, r.Rows, false)
	if err != nil {
		return r, err
	}
	err = b.pairs(ctx, &r,
		func(ctx context.Context, n int) (Turn, error) { return b.mirror(ctx, slot("reference", n), end) },
		func(ctx context.Context, n int) (Turn, error) {
			return b.mirrorAs(ctx, slot("freshet", n), end, map[string]string{"POLLER_PUBLICATION": "bench_narrow"},
				map[string]string{"FN_VALUE": "record.{id,sku,name,price}"}, b.compareFew)
		})
	if err != nil {
		return r, err
	}
	return r, b.dropSlots(ctx)
}

// compareFew looks at every row, and counts the keys.
func (b *bench) compareFew(ctx context.Context) error {
	rows, err := b.db.Query(ctx, "SELECT 'sequin:items:' || id, to_json(i)::text FROM (SELECT "+few+" FROM items) i")
	if err != nil {
		return err
	}
	defer rows.Close()
	const chunk = 1000
	var keys, wants []string
	for rows.Next() {
		var key, want string
		if err := rows.Scan(&key, &want); err != nil {
			return err
		}
		keys, wants = append(keys, key), append(wants, want)
		if len(keys) == chunk {
			if err := b.wantValues(ctx, keys, wants); err != nil {
				return err
			}
			keys, wants = keys[:0], wants[:0]
		}
	}
	return errors.Join(rows.Err(), b.wantValues(ctx, keys, wants))
}

func (b *bench) wantValues(ctx context.Context, keys, wants []string) error {
	if len(keys) == 0 {
		return nil
	}
	values, err := b.keys.MGet(ctx, keys...).Result()
	if err != nil {
		return err
	}
	for i, value := range values {
		if value != wants[i] {
			return fmt.Errorf("%s is %v, want %s", keys[i], value, wants[i])
		}
	}
	return nil
}
