package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"freshet/local/e2e"
	"freshet/local/server"
	"freshet/local/stack"
)

// cluster is a rig with a Postgres server of its own, for what concerns a whole server: restarts, settings, standbys.
type cluster struct {
	*rig
	postgres *server.Postgres
}

// counters have a version that only grows, for the watcher.
const counters = `CREATE TABLE counters (id int PRIMARY KEY, n bigint NOT NULL DEFAULT 0); INSERT INTO counters SELECT generate_series(1, 20);`

// newCluster makes a server with these settings, and the rig's database on it.
func newCluster(t *testing.T, tables, schema string, settings map[string]string) *cluster {
	t.Helper()
	needServers(t)
	n := world.databases.Add(1)
	name := fmt.Sprintf("e2e_%d", n)
	all := map[string]string{"wal_sender_timeout": "6s", "shared_buffers": "32MB"}
	for setting, value := range settings {
		all[setting] = strings.ReplaceAll(value, "SLOT", name)
	}
	postgres, err := server.StartPostgres(t.Context(), server.PostgresOptions{Settings: all})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := postgres.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &rig{T: t, fnPort: stack.FreePort(), adminPort: stack.FreePort(), fnExtra: map[string]string{}, pollExtra: map[string]string{}}
	r.name = name
	c := &cluster{rig: r, postgres: postgres}
	r.db = dial(t, postgres.DSN)
	r.exec("CREATE DATABASE " + r.name)
	r.redis = redis.NewClient(&redis.Options{Addr: world.redis.Addr, DB: int(n), Protocol: 2})
	t.Cleanup(func() { r.redis.FlushDB(context.Background()); r.redis.Close() })
	r.pollExtra["POLLER_TABLES"] = tables
	r.pollExtra["DATABASE_URL"] = withSecret(t, c.dsn(), "")
	c.redial()
	r.exec(schema)
	return c
}

func (c *cluster) dsn() string { return c.postgres.Database(c.name) }

// redial is for after a restart.
func (c *cluster) redial() { c.db = dial(c.T, c.dsn()) }

func (c *cluster) judge(tables ...string) e2e.Judge {
	return e2e.Judge{DSN: c.dsn(), Redis: c.redis, Tables: tables}
}

func (c *cluster) wantEqual(within time.Duration, tables ...string) e2e.Verdict {
	c.Helper()
	verdict, err := c.judge(tables...).Await(context.Background(), within)
	if err != nil {
		c.Fatal(err)
	}
	if !verdict.Equal() {
		c.Fatalf("the judge, after %s: %s", within, verdict)
	}
	return verdict
}

// restart stops the server in this mode, starts it again, and returns how long the stop took.
func (c *cluster) restart(mode string) time.Duration {
	c.Helper()
	began := time.Now()
	if err := c.postgres.Stop(mode); err != nil {
		c.Fatal(err)
	}
	took := time.Since(began)
	if err := c.postgres.Start(c.Context()); err != nil {
		c.Fatal(err)
	}
	c.redial()
	return took
}

// workers do work, each on a connection of its own, until they are told to stop. One whose connection is lost makes a new one.
func (c *cluster) workers(count int, work func(ctx context.Context, db *pgx.Conn, worker, n int) error) *trade {
	ctx, stop := context.WithCancel(c.Context())
	tr := &trade{r: c.rig, stop: stop}
	for worker := range count {
		tr.work.Go(func() {
			var db *pgx.Conn
			ticker := time.NewTicker(pace)
			defer ticker.Stop()
			for n := 0; ctx.Err() == nil; n++ {
				<-ticker.C
				if db == nil || db.IsClosed() {
					var err error
					if db, err = pgx.Connect(ctx, c.dsn()); err != nil {
						db = nil
						continue
					}
				}
				err := work(ctx, db, worker, n)
				switch {
				case err == nil:
					tr.done.Add(1)
				case !db.IsClosed() && ctx.Err() == nil:
					c.Errorf("worker %d: %v", worker, err)
					return
				}
			}
			if db != nil {
				db.Close(context.Background())
			}
		})
	}
	c.Cleanup(tr.close)
	return tr
}

// busy opens the shop, and has counters count.
func (c *cluster) busy(customers, highest int) *trade {
	return c.workers(customers, func(ctx context.Context, db *pgx.Conn, customer, n int) error {
		if n%2 == 0 {
			_, err := db.Exec(ctx, "UPDATE counters SET n = n + 1 WHERE id = $1", 1+n/2%20)
			return err
		}
		return deal(ctx, db, customer, n/2, highest)
	})
}

// watchCounters watches that no counter goes back or vanishes.
func (c *cluster) watchCounters() *watch {
	keys := make([]string, 20)
	for i := range keys {
		keys[i] = fmt.Sprintf("sequin:counters:%d", i+1)
	}
	return c.watch(&e2e.Watcher{Redis: c.redis, Keys: keys, Column: "n"})
}

// fire is a shop under heavy load: customers trade, movers give products other keys, and no counter may go back.
type fire struct {
	c             *cluster
	watch         *watch
	trade, movers *trade
}

// onFire starts both programs on a filled shop, and sets it on fire.
func onFire(t *testing.T, settings map[string]string) *fire {
	t.Helper()
	c := newCluster(t, "products,orders,counters", shop+counters, nil)
	for name, value := range settings {
		c.pollExtra[name] = value
	}
	c.stock(5000, 2000)
	c.start()
	c.wantEqual(patience, "products", "orders", "counters")
	f := &fire{c: c, watch: c.watchCounters(), trade: c.busy(3, 5000)}
	f.movers = c.workers(2, func(ctx context.Context, db *pgx.Conn, worker, n int) error {
		_, err := db.Exec(ctx, "UPDATE products SET id = $2 WHERE id = $1 AND NOT EXISTS (SELECT FROM products WHERE id = $2)", 1+n%5000, 100_000_000+2*n+worker)
		return err
	})
	return f
}

// wantUnharmed puts the fire out, and wants everything to be as it should.
func (f *fire) wantUnharmed() {
	f.c.Helper()
	f.trade.wantDeals(100)
	f.trade.close()
	f.movers.close()
	f.c.wantEqual(patience, "products", "orders", "counters")
	f.watch.looks()
	f.watch.wantForward(50)
}
