package e2e

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

// A chunk is how many keys are asked of Redis at once.
const chunk = 1000

// Judge compares whole tables with Redis, both ways: every row's to_json equals the string of its key, and no key
// under a table's prefix is without a row.
type Judge struct {
	DSN    string        // the database that is mirrored
	Redis  *redis.Client // where it is mirrored to
	Tables []string      // as one would write them in SQL: products, sales."Orders"
}

// Await compares until all is equal, or until patience is over. Its verdict is always that of a full comparison, and an
// equal one was seen twice in a row, so that a late write does not go unnoticed.
func (j Judge) Await(ctx context.Context, patience time.Duration) (Verdict, error) {
	deadline := time.Now().Add(patience)
	for {
		began := time.Now()
		probe, err := j.compare(ctx, differencesShown)
		if err != nil {
			return probe, err
		}
		late := time.Now().After(deadline)
		if probe.Equal() || late {
			verdict, err := j.Compare(ctx)
			if err != nil || late || verdict.Equal() {
				return verdict, err
			}
		}
		select {
		case <-ctx.Done():
			return probe, ctx.Err()
		case <-time.After(max(20*time.Millisecond, time.Since(began))): // half of the time at most goes into looking
		}
	}
}

// Compare looks at every row and every key once.
func (j Judge) Compare(ctx context.Context) (Verdict, error) { return j.compare(ctx, 0) }

// errEnough ends a comparison that has seen enough differences.
var errEnough = errors.New("enough differences")

// compare stops at so many differences; 0 means never.
func (j Judge) compare(ctx context.Context, enough int) (Verdict, error) {
	verdict := Verdict{enough: enough}
	conn, err := connect(ctx, j.DSN)
	if err != nil {
		return verdict, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, name := range j.Tables {
		t, err := lookUp(ctx, conn, name)
		if err != nil {
			return verdict, err
		}
		known, err := j.rows(ctx, conn, t, &verdict)
		if err == nil {
			err = j.orphans(ctx, t, known, &verdict)
		}
		if errors.Is(err, errEnough) {
			break
		}
		if err != nil {
			return verdict, fmt.Errorf("compare %s: %w", name, err)
		}
	}
	return verdict, nil
}

// rows compares every row with the string of its key, and returns the keys that ought to be there.
func (j Judge) rows(ctx context.Context, conn *pgx.Conn, t table, v *Verdict) (map[string]struct{}, error) {
	rows, err := conn.Query(ctx, t.query())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	known := make(map[string]struct{})
	keys, wants := make([]string, 0, chunk), make([]string, 0, chunk)
	for rows.Next() {
		var parts, want string
		if err := rows.Scan(&parts, &want); err != nil {
			return nil, err
		}
		key := t.prefix() + parts
		known[key] = struct{}{}
		keys, wants = append(keys, key), append(wants, want)
		if len(keys) == chunk {
			if err := j.values(ctx, keys, wants, v); err != nil {
				return nil, err
			}
			keys, wants = keys[:0], wants[:0]
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return known, j.values(ctx, keys, wants, v)
}

// values compares one chunk.
func (j Judge) values(ctx context.Context, keys, wants []string, v *Verdict) error {
	if len(keys) == 0 {
		return nil
	}
	values, err := j.Redis.MGet(ctx, keys...).Result()
	if err != nil {
		return fmt.Errorf("read %d keys: %w", len(keys), err)
	}
	for i, value := range values {
		v.Rows++
		got, there := value.(string)
		switch {
		case !there:
			v.Missing++
			err = v.note(Difference{Kind: "missing", Key: keys[i], Row: wants[i]})
		case got != wants[i]:
			v.Stale++
			err = v.note(Difference{Kind: "different", Key: keys[i], Row: wants[i], Value: got})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// orphans finds the keys of a table that no row answers for.
func (j Judge) orphans(ctx context.Context, t table, known map[string]struct{}, v *Verdict) error {
	found := make(map[string]struct{}) // SCAN may show a key more than once
	keys := j.Redis.Scan(ctx, 0, globLiteral(t.prefix())+"*", chunk).Iterator()
	for keys.Next(ctx) {
		key := keys.Val()
		if _, ok := known[key]; ok {
			continue
		}
		if _, ok := found[key]; ok {
			continue
		}
		found[key] = struct{}{}
		value, err := j.Redis.Get(ctx, key).Result()
		if errors.Is(err, redis.Nil) {
			continue // gone since
		}
		if err != nil {
			value = "(" + err.Error() + ")"
		}
		v.Orphans++
		if err := v.note(Difference{Kind: "without a row", Key: key, Value: value}); err != nil {
			return err
		}
	}
	return keys.Err()
}
