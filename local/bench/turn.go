package bench

import (
	"context"
	"fmt"
	"maps"
	"syscall"
	"time"

	"freshet/local/stack"
)

// stopTimeout is how long a program may take to stop after its turn.
const stopTimeout = time.Minute

// turn is freshet at work: both programs, from the start of the poller on.
type turn struct {
	b          *bench
	url        string // of the function
	admin      string // of the poller
	fn, poller *stack.Process
	began      time.Time
	rows       rowClock
}

// startTurn empties Redis, has the function ready with these rules and starts the poller; with that the clock runs.
func (b *bench) startTurn(ctx context.Context, settings, rules map[string]string) (*turn, error) {
	if err := b.keys.FlushAll(ctx).Err(); err != nil {
		return nil, err
	}
	port := stack.FreePort()
	t := &turn{b: b, url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	var err error
	env := map[string]string{"REDIS_URL": b.redis.URL, "PORT": fmt.Sprint(port), "FN_LOG_LEVEL": "WARN"}
	maps.Copy(env, rules)
	t.fn, err = stack.Start(ctx, "fn", b.programs.Fn, env, nil)
	if err != nil {
		return nil, err
	}
	if err := stack.WaitReady(ctx, t.url+"/readyz"); err != nil {
		t.kill()
		return nil, err
	}
	settings["DATABASE_URL"], settings["POLLER_FUNCTION_URL"] = b.postgres.DSN, t.url
	settings["POLLER_TABLES"] = "items"
	if settings["POLLER_PUBLICATION"] == "" {
		settings["POLLER_PUBLICATION"] = "bench"
	}
	t.admin = fmt.Sprintf("127.0.0.1:%d", stack.FreePort())
	settings["POLLER_ADMIN_ADDR"], settings["POLLER_LOG_LEVEL"] = t.admin, "WARN"
	t.began = time.Now()
	if t.poller, err = stack.Start(ctx, "poller", b.programs.Poller, settings, nil); err != nil {
		t.kill()
		return nil, err
	}
	return t, nil
}

// wait looks until done says so, and keeps an eye on the rows in Redis meanwhile.
func (t *turn) wait(ctx context.Context, done func(context.Context) (bool, error)) (took time.Duration, err error) {
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for {
		over, err := done(ctx)
		if took = time.Since(t.began); over || err != nil {
			return took, err
		}
		size, err := t.b.keys.DBSize(ctx).Result()
		if err != nil {
			return took, err
		}
		t.rows.see(size, time.Now())
		if !t.poller.Running() || !t.fn.Running() {
			return took, fmt.Errorf("a program has ended\npoller: %s\nfn: %s", t.poller.Log(), t.fn.Log())
		}
		select {
		case <-ctx.Done():
			return took, fmt.Errorf("%w\npoller: %s\nfn: %s", ctx.Err(), t.poller.Log(), t.fn.Log())
		case <-ticker.C:
		}
	}
}

// stop ends both programs in order.
func (t *turn) stop() error {
	defer t.kill()
	for _, p := range []*stack.Process{t.poller, t.fn} {
		if err := p.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		if code, err := p.Wait(stopTimeout); err != nil || code != 0 {
			return fmt.Errorf("stop %s: exit code %d, %w\n%s", p.Name, code, err, p.Log())
		}
	}
	return nil
}

func (t *turn) kill() {
	for _, p := range []*stack.Process{t.poller, t.fn} {
		if p != nil {
			p.Kill()
		}
	}
}

// ownKeys is how many keys freshet has for itself, at most.
const ownKeys = 8

// rowClock notes when the first and the last row came.
type rowClock struct {
	size        int64
	first, last time.Time
}

func (c *rowClock) see(size int64, at time.Time) {
	if size > ownKeys && c.first.IsZero() {
		c.first = at
	}
	if size > c.size {
		c.size, c.last = size, at
	}
}

func (c *rowClock) span() time.Duration { return c.last.Sub(c.first) }

// mirror is freshet's turn: the clock stops when the slot has confirmed the end of the load.
func (b *bench) mirror(ctx context.Context, slot, end string) (t Turn, err error) {
	return b.mirrorAs(ctx, slot, end, nil, nil, b.compare)
}

// mirrorAs is mirror with more settings, with these rules, and with another comparison afterwards.
func (b *bench) mirrorAs(ctx context.Context, slot, end string, settings, rules map[string]string, compare func(context.Context) error) (t Turn, err error) {
	watch, err := b.watchWalsender(ctx, slot)
	if err != nil {
		return t, err
	}
	all := map[string]string{"POLLER_SLOT": slot, "POLLER_BACKFILL": "off", "POLLER_REPLAY_WINDOW": "0s"}
	maps.Copy(all, settings)
	turn, err := b.startTurn(ctx, all, rules)
	if err != nil {
		watch.usage()
		return t, err
	}
	defer turn.kill()
	t.Took, err = turn.wait(ctx, func(ctx context.Context) (confirmed bool, err error) {
		err = b.db.QueryRow(ctx, "SELECT confirmed_flush_lsn >= $2::text::pg_lsn FROM pg_replication_slots WHERE slot_name = $1", slot, end).Scan(&confirmed)
		return confirmed, err
	})
	t.Walsender = watch.usage()
	if err != nil {
		return t, err
	}
	if err := t.measure(ctx, turn); err != nil {
		return t, err
	}
	if err := turn.stop(); err != nil {
		return t, err
	}
	return t, compare(ctx)
}

// measure takes what the programs have used, while they still live.
func (t *Turn) measure(ctx context.Context, turn *turn) (err error) {
	t.Rows = turn.rows.span()
	t.Poller, _ = usageOf(turn.poller.PID()) // empty where that cannot be known
	t.Fn, _ = usageOf(turn.fn.PID())
	t.Batches, err = turn.batches(ctx)
	return err
}
