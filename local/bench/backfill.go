package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// backfill measures rows that were there before, against a pipe of the usual programs.
func (b *bench) backfill(ctx context.Context) (Result, error) {
	r := Result{Rows: b.Rows}
	if err := b.existing(ctx, r.Rows); err != nil {
		return r, err
	}
	err := b.pairs(ctx, &r, Backfill, b.pipe, b.fill)
	return r, err
}

// resp writes what COPY prints, a key and a value in each line, as Redis' protocol. The rows have nothing that COPY escapes.
const resp = `{ printf "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", length($1), $1, length($2), $2 }`

// awk is the program that stands in the pipe: mawk where it is there, which does that work in half of gawk's time.
func awk() string {
	for _, name := range []string{"mawk", "gawk"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return "awk"
}

// pipe is the yardstick's turn.
func (b *bench) pipe(ctx context.Context, _ int) (t Turn, err error) {
	if err := b.keys.FlushAll(ctx).Err(); err != nil {
		return t, err
	}
	psql := b.postgres.Tool("psql")
	if psql == "" {
		return t, errors.New("there is no psql on this machine; it comes with Postgres")
	}
	const script = `"$1" --no-psqlrc "$2" -c "COPY (SELECT '` + keyPrefix + `' || id, to_json(i) FROM items i) TO STDOUT" | "$5" -F '\t' "$3" | redis-cli -p "$4" --pipe`
	cmd := exec.CommandContext(ctx, "sh", "-c", script, "sh", psql, b.postgres.DSN, resp, fmt.Sprint(b.redis.Port), awk())
	cmd.Env = append(cmd.Environ(), "LC_ALL=C", "PGTZ=UTC", "PGDATESTYLE=ISO")
	before, err := b.servers(ctx)
	if err != nil {
		return t, err
	}
	began := time.Now()
	out, err := cmd.CombinedOutput()
	t.Took = time.Since(began)
	if err != nil || !strings.Contains(string(out), "errors: 0") {
		return t, fmt.Errorf("COPY to redis-cli: %w: %s", err, out)
	}
	if err := t.serversSince(ctx, b, before); err != nil {
		return t, err
	}
	return t, b.compare(ctx)
}

// fill is freshet's turn: the clock stops when the sink's state says that all rows are there.
func (b *bench) fill(ctx context.Context, n int) (t Turn, err error) {
	turn, err := b.startTurn(ctx, manner{rows: b.Rows, poller: map[string]string{"POLLER_SLOT": slot("backfill", n)}})
	if err != nil {
		return t, err
	}
	defer turn.kill()
	if t.Took, err = turn.wait(ctx, b.filled); err != nil {
		return t, err
	}
	if err := t.measure(ctx, turn); err != nil {
		return t, err
	}
	if err := turn.stop(); err != nil {
		return t, err
	}
	return t, b.compare(ctx)
}

func (b *bench) filled(ctx context.Context) (bool, error) {
	text, err := b.keys.HGet(ctx, "freshet:freshet:state", "backfill:public.items").Result()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var progress struct{ State string }
	if err := json.Unmarshal([]byte(text), &progress); err != nil {
		return false, fmt.Errorf("read the backfill's state: %w", err)
	}
	return progress.State == "done", nil
}
