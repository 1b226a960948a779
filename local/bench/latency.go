package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

// The transactions of the latency turns, and the connections that share them.
const (
	latencyRate    = 1000 // a second
	latencyWriters = 8
	// latencyLeast is the shortest turn that has anything to say.
	latencyLeast = 100 * time.Millisecond
	// arrival is how long the last key may take.
	arrival = 10 * time.Second
)

// latency measures the time from a commit to the key in Redis, at a pace at which nothing piles up.
func (b *bench) latency(ctx context.Context) (Result, error) {
	warm, measured := b.commits()
	r := Result{Rows: warm + measured}
	if err := b.existing(ctx, r.Rows); err != nil {
		return r, err
	}
	if err := b.keys.ConfigSet(ctx, "notify-keyspace-events", "E$").Err(); err != nil {
		return r, fmt.Errorf("have Redis tell what is written: %w", err)
	}
	defer b.keys.ConfigSet(context.WithoutCancel(ctx), "notify-keyspace-events", "")
	for n := range b.Pairs {
		var t LatencyTurn
		err := timed(ctx, b.Latency+turnTimeout, func(ctx context.Context) (err error) {
			t, err = b.latencyTurn(ctx, n)
			return err
		})
		if err != nil {
			return r, fmt.Errorf("turn %d: %w", n+1, err)
		}
		b.say("%s %d/%d: p50 %s, p99 %s, at %.0f a second", Latency, n+1, b.Pairs, milliseconds(t.Returned.P50), milliseconds(t.Returned.P99), t.rate())
		r.Latency = append(r.Latency, t)
	}
	return r, nil
}

// commits is how many transactions a turn has to warm up, and how many are measured.
func (b *bench) commits() (warm, measured int) {
	measured = int(b.Latency * latencyRate / time.Second)
	return measured / 10, measured
}

func (b *bench) latencyTurn(ctx context.Context, n int) (t LatencyTurn, err error) {
	if err := b.exec(ctx, "CHECKPOINT"); err != nil {
		return t, err
	}
	turn, err := b.startTurn(ctx, manner{poller: map[string]string{"POLLER_SLOT": slot("latency", n)}})
	if err != nil {
		return t, err
	}
	defer turn.kill()
	if _, err := turn.wait(ctx, b.filled); err != nil {
		return t, err
	}
	var before Turn
	if err := before.measure(ctx, turn); err != nil {
		return t, err
	}
	warm, measured := b.commits()
	d := newDiary(warm + measured)
	if err := b.write(ctx, d); err != nil {
		return t, fmt.Errorf("%w\n%s", err, turn.logs())
	}
	if t, err = d.since(warm); err != nil {
		return t, err
	}
	took := t.Took
	if err := t.measure(ctx, turn); err != nil {
		return t, err
	}
	t.Turn.since(before)
	t.Took = took
	if err := turn.stop(); err != nil {
		return t, err
	}
	return t, b.compare(ctx)
}

// diary has of each transaction how late it began, and when its commit was sent, when that returned, and when its key was there, all from
// one beginning on. Each transaction has its own row, so each moment has one writer.
type diary struct {
	began                       time.Time
	late, sent, returned, there []time.Duration
}

func newDiary(n int) *diary {
	d := &diary{}
	for _, moments := range []*[]time.Duration{&d.late, &d.sent, &d.returned, &d.there} {
		*moments = make([]time.Duration, n)
	}
	return d
}

// write makes all transactions and waits for all keys.
func (b *bench) write(ctx context.Context, d *diary) error {
	writers := make([]*pgx.Conn, latencyWriters)
	for i := range writers {
		conn, err := pgx.Connect(ctx, b.postgres.DSN)
		if err != nil {
			return err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		writers[i] = conn
	}
	events := b.keys.Subscribe(ctx, "__keyevent@0__:set")
	defer events.Close()
	if _, err := events.Receive(ctx); err != nil {
		return fmt.Errorf("listen for keys: %w", err)
	}
	d.began = time.Now()
	arrived := make(chan error, 1)
	go func() { arrived <- d.listen(ctx, events) }()
	g, writing := errgroup.WithContext(ctx)
	for i, conn := range writers {
		g.Go(func() error { return d.commitEach(writing, conn, i) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	select {
	case err := <-arrived:
		return err
	case <-time.After(arrival):
		events.Close()
		return fmt.Errorf("not all keys were there %s after the last commit: %w", arrival, <-arrived)
	}
}

// commitEach makes every transaction that falls to writer i, each at its time.
func (d *diary) commitEach(ctx context.Context, conn *pgx.Conn, i int) error {
	for n := i; n < len(d.sent); n += latencyWriters {
		due := time.Duration(n) * time.Second / latencyRate
		time.Sleep(due - time.Since(d.began))
		d.late[n] = time.Since(d.began) - due
		var statements pgx.Batch
		statements.Queue("BEGIN")
		statements.Queue("UPDATE items SET stock = stock + 1 WHERE id = $1", n+1)
		if err := conn.SendBatch(ctx, &statements).Close(); err != nil {
			return fmt.Errorf("update row %d: %w", n+1, err)
		}
		d.sent[n] = time.Since(d.began)
		if _, err := conn.Exec(ctx, "COMMIT"); err != nil {
			return fmt.Errorf("commit row %d: %w", n+1, err)
		}
		d.returned[n] = time.Since(d.began)
	}
	return nil
}

// listen notes when each key was there for the first time, and ends when all are.
func (d *diary) listen(ctx context.Context, events *redis.PubSub) error {
	for missing := len(d.there); missing > 0; {
		event, err := events.ReceiveMessage(ctx)
		at := time.Since(d.began)
		if err != nil {
			return fmt.Errorf("wait for the last %d keys: %w", missing, err)
		}
		if strings.HasPrefix(event.Payload, "freshet:") {
			continue // the lanes' own
		}
		text, ours := strings.CutPrefix(event.Payload, keyPrefix)
		id, err := strconv.Atoi(text)
		if !ours || err != nil || id < 1 || id > len(d.there) {
			return fmt.Errorf("the key %q is none of the table's", event.Payload)
		}
		if d.there[id-1] == 0 {
			d.there[id-1], missing = at, missing-1
		}
	}
	return nil
}

// since evaluates all transactions but the first ones.
func (d *diary) since(warm int) (t LatencyTurn, err error) {
	var commit, returned, sent []time.Duration
	for n := warm; n < len(d.sent); n++ {
		if d.there[n] < d.sent[n] {
			return t, errors.New("a key was there before its commit was sent")
		}
		commit = append(commit, d.returned[n]-d.sent[n])
		returned = append(returned, d.there[n]-d.returned[n])
		sent = append(sent, d.there[n]-d.sent[n])
		t.Late = max(t.Late, d.late[n])
		t.Took = max(t.Took, d.returned[n])
	}
	t.Took -= d.returned[warm]
	t.Commits = len(sent)
	t.Commit, t.Returned, t.Sent = spreadOf(commit), spreadOf(returned), spreadOf(sent)
	return t, nil
}
