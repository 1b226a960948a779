package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"freshet/local/stack"
	"freshet/shared/change"
)

// sample is one key read back, beside its row.
type sample struct {
	key   string
	value string
	equal bool // to the row's to_json
}

// picker reads one row and the parts of its key. Its query is empty when keys or values are not the default ones.
type picker struct {
	table change.Table
	query string
	args  []any
}

// newPicker shows the product in the shop's window, or the first row of the user's first table with a primary key.
func (m *meter) newPicker(ctx context.Context) (picker, error) {
	for _, shaping := range []string{"FN_KEY", "FN_VALUE", "FN_ACTIONS"} {
		if m.place.given[shaping] != "" {
			return picker{}, nil
		}
	}
	if m.shop != nil {
		return picker{
			table: change.Table{Schema: "public", Name: "products"},
			query: `SELECT to_json(t)::text, ARRAY[id::text] FROM products t WHERE id = $1`, args: []any{stack.ShopWindow},
		}, nil
	}
	return m.firstTable(ctx)
}

func (m *meter) firstTable(ctx context.Context) (p picker, err error) {
	const keys = `SELECT n.nspname::text, c.relname::text, array_agg(a.attname::text ORDER BY k.place)
		FROM pg_publication_tables t
		JOIN pg_namespace n ON n.nspname = t.schemaname
		JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
		JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
		CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place)
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
		WHERE t.pubname = $1 GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 1`
	var columns []string
	err = m.db.QueryRow(ctx, keys, m.place.name("POLLER_PUBLICATION")).Scan(&p.table.Schema, &p.table.Name, &columns)
	if errors.Is(err, pgx.ErrNoRows) {
		return picker{}, nil
	}
	for i, c := range columns {
		columns[i] = change.QuoteIdentifier(c)
	}
	p.query = fmt.Sprintf(`SELECT to_json(t)::text, ARRAY[%s::text] FROM %s t ORDER BY %s LIMIT 1`,
		strings.Join(columns, "::text, "), p.table.SQL(), strings.Join(columns, ", "))
	return p, err
}

// sample reads the row and the key until they are equal: a change may be on its way between the two.
func (m *meter) sample(ctx context.Context) (s sample, err error) {
	const patience, pause = 400 * time.Millisecond, 10 * time.Millisecond
	for deadline := time.Now().Add(patience); m.pick.query != ""; {
		s, err = m.compare(ctx)
		if err != nil || s.equal || time.Now().After(deadline) {
			return s, err
		}
		select {
		case <-ctx.Done():
			return s, nil
		case <-time.After(pause):
		}
	}
	return s, nil
}

func (m *meter) compare(ctx context.Context) (s sample, err error) {
	var row string
	var key []string
	err = m.db.QueryRow(ctx, m.pick.query, m.pick.args...).Scan(&row, &key)
	if errors.Is(err, pgx.ErrNoRows) {
		return sample{key: "(no row in " + m.pick.table.String() + ")"}, nil
	}
	if err != nil {
		return s, err
	}
	s.key = "sequin:" + m.pick.table.Name + ":" + strings.Join(key, "-")
	s.value, err = m.redis.Get(ctx, s.key).Result()
	if errors.Is(err, redis.Nil) {
		s.value, err = "(none yet)", nil
	}
	s.equal = s.value == row
	return s, err
}
