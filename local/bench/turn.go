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

// keyPrefix is before the id in a row's key, by the default rule.
const keyPrefix = "sequin:items:"

// manner is how freshet works in a turn. The zero one is by default settings.
type manner struct {
	poller, fn map[string]string
	functions  int           // 0 is one
	delay      time.Duration // each way, of a balancer before the functions; 0 is none
	rows       int           // that come, each with a new key; where they are known, the turn is looked at only as often as it takes
	// compare is what is done afterwards, outside of the clock; nil has the judge do it.
	compare func(context.Context) error
	// seen is told now and then how many keys there are.
	seen func(t *turn, keys int64)
}

// turn is freshet at work: both programs, from the start of the poller on.
type turn struct {
	b        *bench
	admin    string   // of the poller
	urls     []string // of the functions
	fns      []*stack.Process
	poller   *stack.Process
	balancer *balancer
	before   servers
	began    time.Time
	rows     rowClock
	expected int64 // rows; 0 when that is not known
	seen     func(t *turn, keys int64)
}

// startTurn empties Redis, has the functions ready and starts the poller; with that the clock runs.
func (b *bench) startTurn(ctx context.Context, how manner) (t *turn, err error) {
	if err := b.keys.FlushAll(ctx).Err(); err != nil {
		return nil, err
	}
	t = &turn{b: b, expected: int64(how.rows), seen: how.seen}
	defer func() {
		if err != nil {
			t.kill()
		}
	}()
	for range max(1, how.functions) {
		if err := t.startFunction(ctx, how.fn); err != nil {
			return nil, err
		}
	}
	url := t.urls[0]
	if how.delay > 0 {
		if t.balancer, err = newBalancer(how.delay, addresses(t.urls)...); err != nil {
			return nil, err
		}
		url = "http://" + t.balancer.addr
	}
	t.admin = fmt.Sprintf("127.0.0.1:%d", stack.FreePort())
	settings := map[string]string{
		"DATABASE_URL": b.postgres.DSN, "POLLER_FUNCTION_URL": url, "POLLER_TABLES": "items", "POLLER_PUBLICATION": "bench",
		"POLLER_ADMIN_ADDR": t.admin, "POLLER_LOG_LEVEL": "WARN",
	}
	maps.Copy(settings, how.poller)
	b.record(settings)
	if t.before, err = b.servers(ctx); err != nil {
		return nil, err
	}
	t.began = time.Now()
	t.poller, err = stack.Start(ctx, "poller", b.programs.Poller, settings, nil)
	return t, err
}

func (t *turn) startFunction(ctx context.Context, settings map[string]string) error {
	port := stack.FreePort()
	env := map[string]string{"REDIS_URL": t.b.redis.URL, "PORT": fmt.Sprint(port), "FN_LOG_LEVEL": "WARN"}
	maps.Copy(env, settings)
	t.b.record(env)
	fn, err := stack.Start(ctx, "fn", t.b.programs.Fn, env, nil)
	if err != nil {
		return err
	}
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	t.fns, t.urls = append(t.fns, fn), append(t.urls, url)
	return stack.WaitReady(ctx, url+"/readyz")
}

// wait looks until done says so, and keeps an eye on the rows in Redis meanwhile.
func (t *turn) wait(ctx context.Context, done func(context.Context) (bool, error)) (took time.Duration, err error) {
	for n := 0; ; n++ {
		over, err := done(ctx)
		if took = time.Since(t.began); err != nil {
			return took, err
		}
		if over || n%rarely == 0 || t.seen != nil || t.rows.first.IsZero() || t.expected > 0 {
			size, err := t.b.keys.DBSize(ctx).Result()
			if err != nil {
				return took, err
			}
			if t.seen != nil {
				t.seen(t, size)
			}
			t.rows.see(size, time.Now())
		}
		if over {
			return took, nil
		}
		if err := t.alive(); err != nil {
			return took, err
		}
		select {
		case <-ctx.Done():
			return took, fmt.Errorf("%w\n%s", ctx.Err(), t.logs())
		case <-time.After(t.rows.pause(t.expected)):
		}
	}
}

// processes are the poller, if it has been started, and the functions.
func (t *turn) processes() []*stack.Process {
	if t.poller == nil {
		return t.fns
	}
	return append([]*stack.Process{t.poller}, t.fns...)
}

// alive wants all programs to be running.
func (t *turn) alive() error {
	for _, p := range t.processes() {
		if !p.Running() {
			return fmt.Errorf("%s has ended\n%s", p.Name, t.logs())
		}
	}
	return nil
}

func (t *turn) logs() (all string) {
	for _, p := range t.processes() {
		all += fmt.Sprintf("%s: %s\n", p.Name, p.Log())
	}
	return all
}

// stop ends the programs in order, the poller first.
func (t *turn) stop() error {
	defer t.kill()
	if err := t.recorded(); err != nil {
		return err
	}
	for _, p := range t.processes() {
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
	for _, p := range t.processes() {
		p.Kill()
	}
	if t.balancer != nil {
		t.balancer.close()
	}
}

// ownKeys is how many keys freshet has for itself, at most: the state, and one for each of eight lanes.
const ownKeys = 16

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

// pause is how long to wait for the next look: where it is known how many rows are to come, half of the time that the rest would take at the pace so far. Looking takes
// processor time from what is measured, which a yardstick that ends by itself does not lose; so there are few looks, and the last ones are close to each other.
func (c *rowClock) pause(expected int64) time.Duration {
	if expected == 0 || c.size <= ownKeys {
		return glance
	}
	const least, most = time.Millisecond, 10 * glance
	rest := float64(c.last.Sub(c.first)) * float64(expected-c.size) / float64(c.size)
	return max(least, min(most, time.Duration(rest/2)))
}

func (c *rowClock) span() time.Duration { return c.last.Sub(c.first) }

// mirror is freshet's turn: the clock stops when the slot has confirmed the end of the load.
func (b *bench) mirror(ctx context.Context, slot, end string, how manner) (t Turn, err error) {
	watch, err := b.watchWalsender(ctx, slot)
	if err != nil {
		return t, err
	}
	defer watch.usage()
	settings := map[string]string{"POLLER_SLOT": slot, "POLLER_BACKFILL": "off", "POLLER_REPLAY_WINDOW": "0s"}
	maps.Copy(settings, how.poller)
	how.poller = settings
	turn, err := b.startTurn(ctx, how)
	if err != nil {
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
	if how.compare == nil {
		how.compare = b.compare
	}
	return t, how.compare(ctx)
}

// measure takes what the programs and the servers have used and counted, while they still live.
func (t *Turn) measure(ctx context.Context, turn *turn) error {
	t.Rows = turn.rows.span()
	t.Poller, _ = usageOf(turn.poller.PID()) // empty where that cannot be known
	t.Fn = usage{}
	for _, fn := range turn.fns {
		u, _ := usageOf(fn.PID())
		t.Fn.CPU += u.CPU
		t.Fn.Peak, t.Fn.Resident = max(t.Fn.Peak, u.Peak), max(t.Fn.Resident, u.Resident)
	}
	if err := t.serversSince(ctx, turn.b, turn.before); err != nil {
		return err
	}
	metrics, err := turn.metrics(ctx)
	t.Batches = sumOf(metrics, "freshet_fn_batches_total")
	t.Written = sumOf(metrics, "freshet_fn_messages_total", `fate="written"`)
	t.Compared = sumOf(metrics, "freshet_fn_compared_total")
	return err
}
