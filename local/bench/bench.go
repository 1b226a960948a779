package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"freshet/local/server"
	"freshet/local/stack"
)

// folder is what the name of a run's temporary folder begins with.
const folder = "freshet-bench-"

// turnTimeout ends a turn that hangs.
const turnTimeout = 15 * time.Minute

// bench is the servers and programs of one run.
type bench struct {
	Options
	dir      string
	busy     string // the load average before
	postgres *server.Postgres
	redis    *server.Redis
	programs stack.Binaries
	db       *pgx.Conn
	keys     *redis.Client
}

// Run starts its own servers, measures and leaves nothing behind.
func Run(ctx context.Context, o Options) (Report, error) {
	if err := o.Validate(); err != nil {
		return Report{}, err
	}
	b := &bench{Options: o}
	report, err := b.run(ctx)
	return report, errors.Join(err, b.close())
}

func (b *bench) run(ctx context.Context) (report Report, err error) {
	if err := b.setUp(ctx); err != nil {
		return report, err
	}
	machine := b.machine(ctx)
	for _, what := range b.What {
		result, err := b.measure(ctx, what)
		if err != nil {
			return report, fmt.Errorf("measure %s: %w", what, err)
		}
		result.Workload, result.Machine = what, machine
		result.Machine.Date = time.Now().UTC().Truncate(time.Second)
		if result.Skipped != "" {
			b.say("%s is left out: %s", what, result.Skipped)
		}
		report.Put(result)
		if b.Each == nil {
			continue
		}
		if err := b.Each(result); err != nil {
			return report, err
		}
	}
	return report, nil
}

// measure makes the result of one workload, and lets the log go that its slots have kept.
func (b *bench) measure(ctx context.Context, what string) (Result, error) {
	result, err := map[string]func(context.Context) (Result, error){
		Stream: b.stream, Narrow: b.narrow, Small: b.small, Hot: b.hot, Backfill: b.backfill, Verify: b.verify,
		Latency: b.latency, Memory: b.memory, Remote: b.remote, Idle: b.idle,
	}[what](ctx)
	return result, errors.Join(err, b.dropSlots(context.WithoutCancel(ctx)))
}

func (b *bench) setUp(ctx context.Context) (err error) {
	if b.dir, err = os.MkdirTemp("", folder); err != nil {
		return err
	}
	b.busy = loadAverage() // before the compiler adds to it
	b.say("the load average of the last minute is %s; building both programs", b.busy)
	how := stack.Released
	if b.Profiles != "" {
		how = stack.Recorded
	}
	if b.programs, err = stack.Build(ctx, b.dir, how); err != nil {
		return err
	}
	b.postgres, err = server.StartPostgres(ctx, server.PostgresOptions{Fsync: true, Settings: map[string]string{
		"autovacuum": "off", "checkpoint_timeout": "1h", "max_wal_size": "32GB", "shared_buffers": "512MB", // nothing of its own during a turn
	}})
	if err != nil {
		return err
	}
	if b.redis, err = server.StartRedis(ctx, server.RedisOptions{}); err != nil {
		return err
	}
	b.keys = redis.NewClient(&redis.Options{Addr: b.redis.Addr, ReadTimeout: time.Minute}) // emptying it of millions of keys takes seconds
	b.db, err = pgx.Connect(ctx, b.postgres.DSN)
	return err
}

func (b *bench) close() (err error) {
	if b.db != nil {
		b.db.Close(context.Background())
	}
	if b.keys != nil {
		err = b.keys.Close()
	}
	if b.redis != nil {
		err = errors.Join(err, b.redis.Close())
	}
	if b.postgres != nil {
		err = errors.Join(err, b.postgres.Close())
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}

func (b *bench) say(format string, args ...any) {
	if b.Log != nil {
		fmt.Fprintf(b.Log, format+"\n", args...)
	}
}

func (b *bench) exec(ctx context.Context, sql string, args ...any) error {
	if _, err := b.db.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

func (b *bench) text(ctx context.Context, sql string, args ...any) (value string, err error) {
	if err := b.db.QueryRow(ctx, "SELECT coalesce(("+sql+")::text, '')", args...).Scan(&value); err != nil {
		return "", fmt.Errorf("%s: %w", sql, err)
	}
	return value, nil
}
