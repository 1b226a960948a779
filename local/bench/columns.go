package bench

import (
	"context"
	"errors"
	"fmt"
)

// comparison looks at these columns of every row, and counts the keys. Unlike the judge it remembers nothing, whatever the number of rows.
func (b *bench) comparison(columns string) func(context.Context) error {
	return func(ctx context.Context) error {
		rows, err := b.compareRows(ctx, columns)
		if err != nil {
			return err
		}
		keys, err := b.keys.DBSize(ctx).Result()
		if err == nil && (keys < int64(rows) || keys > int64(rows)+ownKeys) {
			err = fmt.Errorf("there are %d keys for %d rows", keys, rows)
		}
		return err
	}
}

func (b *bench) compareRows(ctx context.Context, columns string) (n int, err error) {
	rows, err := b.db.Query(ctx, "SELECT '"+keyPrefix+"' || id, to_json(i)::text FROM (SELECT "+columns+" FROM items) i")
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	const chunk = 1000
	var keys, wants []string
	for rows.Next() {
		var key, want string
		if err := rows.Scan(&key, &want); err != nil {
			return n, err
		}
		n++
		keys, wants = append(keys, key), append(wants, want)
		if len(keys) == chunk {
			if err := b.wantValues(ctx, keys, wants); err != nil {
				return n, err
			}
			keys, wants = keys[:0], wants[:0]
		}
	}
	return n, errors.Join(rows.Err(), b.wantValues(ctx, keys, wants))
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
