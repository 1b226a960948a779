package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/tidwall/gjson"
)

// papers have a value that is stored out of line, which updates of other columns leave out.
const papers = `CREATE TABLE papers (id int PRIMARY KEY, body text NOT NULL, seen int NOT NULL DEFAULT 0);
	ALTER TABLE papers ALTER body SET STORAGE EXTERNAL;
	INSERT INTO papers SELECT n, repeat(md5(n::text), 1000) FROM generate_series(1, 20) n;`

// newStrict has commits wait for these standbys where they ask for it, and only there. SLOT is the poller.
func newStrict(t *testing.T, standbys string) *cluster {
	c := newCluster(t, "products,orders,counters,papers", shop+counters+papers, map[string]string{
		"synchronous_standby_names": standbys, "synchronous_commit": "local",
	})
	c.stock(500, 100)
	c.start()
	c.wantEqual(patience, "products", "orders", "counters", "papers")
	return c
}

// standbys sets synchronous_standby_names anew.
func (c *cluster) standbys(names string) {
	c.Helper()
	c.exec("ALTER SYSTEM SET synchronous_standby_names = '" + names + "'")
	c.exec("SELECT pg_reload_conf()")
}

// strictly runs a statement in a transaction whose commit returns only when Redis has it.
func strictly(ctx context.Context, db *pgx.Conn, sql string, args ...any) error {
	tx, err := db.Begin(ctx)
	if err != nil {
		return err
	}
	if _, err = tx.Exec(ctx, "SET LOCAL synchronous_commit = remote_apply"); err == nil {
		_, err = tx.Exec(ctx, sql, args...)
	}
	if err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// Not parallel: it measures.
func TestStrictCommitReturnsWhenRedisHasIt(t *testing.T) {
	c := newStrict(t, "SLOT")
	trade := c.workers(3, func(ctx context.Context, db *pgx.Conn, customer, n int) error { return deal(ctx, db, customer, n, 500) })
	var took []time.Duration
	for n := 1; n <= 400; n++ {
		id := 1 + n%20
		key := fmt.Sprintf("sequin:counters:%d", id)
		began := time.Now()
		if err := strictly(t.Context(), c.db, "UPDATE counters SET n = $1 WHERE id = $2", n, id); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
		if got, _ := c.get(key); gjson.Get(got, "n").Int() != int64(n) {
			t.Fatalf("after commit %d, %s is %q", n, key, got)
		}
	}
	if err := strictly(t.Context(), c.db, "DELETE FROM counters WHERE id = 1"); err != nil {
		t.Fatal(err)
	}
	if got, there := c.get("sequin:counters:1"); there {
		t.Fatalf("after its delete was committed, the key is %q", got)
	}
	trade.wantDeals(1)
	trade.close()
	c.wantEqual(patience, "products", "orders", "counters")
	slices.Sort(took)
	t.Logf("a strict commit took %s (half of them), %s (99 in 100)", took[len(took)/2], took[len(took)*99/100])
}

// The row can be read again only when its update is visible; that waits for our report; which must not wait for the row.
func TestStrictCommitOfAnUpdateThatLeavesALargeValueOut(t *testing.T) {
	t.Parallel()
	c := newStrict(t, "SLOT")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for n := 1; n <= 5; n++ {
		if err := strictly(ctx, c.db, "UPDATE papers SET seen = $1", n); err != nil {
			t.Fatalf("the commit does not return: %v", err)
		}
		for id := 1; id <= 20; id++ {
			if got, there := c.get(fmt.Sprintf("sequin:papers:%d", id)); there && gjson.Get(got, "seen").Int() != int64(n) {
				t.Fatalf("after commit %d, paper %d is still %.80s", n, id, got[strings.LastIndex(got, ","):])
			}
		}
		c.wantEqual(patience, "papers")
	}
	c.wantSealed()
}

// wantSealed waits until everything is settled for good, not only applied.
func (c *cluster) wantSealed() {
	c.Helper()
	lsn := c.now()
	eventually(c.T, patience, func() error {
		sealed := c.redis.HGet(c.Context(), "freshet:freshet:state", "sealed").Val()
		if c.text("$1::pg_lsn >= $2::pg_lsn", sealed, lsn) != "true" {
			return fmt.Errorf("sealed is %s, want %s", sealed, lsn)
		}
		return nil
	})
}

// A key that was removed until its row can be read is still to be written when the poller dies meanwhile.
func TestStrictCommitThatHangsLosesNoKey(t *testing.T) {
	t.Parallel()
	c := newStrict(t, "FIRST 2 (SLOT, ghost)") // nobody is the ghost, so the commit stays invisible
	done := make(chan error, 1)
	db := dial(t, c.dsn())
	go func() { done <- strictly(t.Context(), db, "UPDATE papers SET seen = 7 WHERE id = 1") }()
	gone := func() error {
		if _, there := c.get("sequin:papers:1"); there {
			return errNotYet
		}
		return nil
	}
	eventually(t, patience, gone)
	always(t, time.Second, gone)
	c.kill(c.poller)
	c.launchPoller()
	c.waitReady("http://" + c.adminAddr())
	c.exec("UPDATE papers SET seen = 3 WHERE id = 2") // others go on
	eventually(t, patience, func() error {
		if got, _ := c.get("sequin:papers:2"); gjson.Get(got, "seen").Int() != 3 {
			return errNotYet
		}
		return nil
	})
	if err := gone(); err != nil {
		t.Error("the key is back although its row cannot be read")
	}
	c.standbys(c.name)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	c.wantEqual(patience, "papers")
	c.wantSealed()
}

// Without the function such a commit waits. Whoever waits can give up, and an operator can let everybody go.
func TestStrictCommitWaitsForTheFunction(t *testing.T) {
	t.Parallel()
	c := newStrict(t, "SLOT")
	c.stop(c.fn)
	commit := func(id int) (*pgx.Conn, chan error) {
		db, done := dial(t, c.dsn()), make(chan error, 1)
		go func() { done <- strictly(t.Context(), db, "UPDATE counters SET n = n + 1 WHERE id = $1", id) }()
		eventually(t, patience, func() error {
			if c.text("SELECT wait_event FROM pg_stat_activity WHERE pid = $1", db.PgConn().PID()) != "SyncRep" {
				return errNotYet
			}
			return nil
		})
		return db, done
	}
	first, one := commit(1)
	_, two := commit(2)
	c.exec("UPDATE counters SET n = 5 WHERE id = 3") // ordinary commits do not wait
	always(t, time.Second, func() error {
		if len(one)+len(two) > 0 {
			return fmt.Errorf("a commit returned although the function is away")
		}
		return nil
	})
	c.text("SELECT pg_cancel_backend($1)", first.PgConn().PID())
	if err := <-one; err != nil { // a warning says that it is committed, and not acknowledged
		t.Errorf("the cancelled one: %v", err)
	}
	c.standbys("")
	if err := <-two; err != nil {
		t.Error(err)
	}
	c.launchFn()
	c.wantEqual(patience, "products", "orders", "counters", "papers")
}
