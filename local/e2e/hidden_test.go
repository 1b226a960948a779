package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"freshet/local/server"
)

// late is a cluster with a synchronous standby that delays its answer for as long as the test wants: commits that ask for it are in the log,
// and streamed, while no snapshot sees them.
type late struct {
	*cluster
	standby *pgx.Conn
}

func newLate(t *testing.T, settings map[string]string) *late {
	t.Helper()
	c := newCluster(t, "products,orders", shop, map[string]string{"synchronous_standby_names": "walreceiver", "synchronous_commit": "local"})
	if c.postgres.Tool("pg_basebackup") == "" {
		t.Skip("there is no pg_basebackup on this machine")
	}
	for name, value := range settings {
		c.pollExtra[name] = value
	}
	c.stock(2000, 100)
	standby, err := c.postgres.StartStandby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := standby.Close(); err != nil {
			t.Error(err)
		}
	})
	c.start()
	c.wantEqual(patience, "products", "orders")
	return &late{cluster: c, standby: dialStandby(t, standby)}
}

func dialStandby(t *testing.T, s *server.Postgres) *pgx.Conn { return dial(t, s.DSN) }

// hide commits these statements, and returns while no snapshot sees them; the channel has the commit's end.
func (c *late) hide(statements ...string) <-chan error {
	c.Helper()
	if _, err := c.standby.Exec(c.Context(), "SELECT pg_wal_replay_pause()"); err != nil {
		c.Fatal(err)
	}
	done := make(chan error, 1)
	db, err := pgx.Connect(c.Context(), c.dsn()) // ends with the server: it may still wait for the standby
	if err != nil {
		c.Fatal(err)
	}
	go func() {
		done <- func() error {
			tx, err := db.Begin(context.Background())
			if err != nil {
				return err
			}
			for _, sql := range append([]string{"SET LOCAL synchronous_commit = remote_apply"}, statements...) {
				if _, err := tx.Exec(context.Background(), sql); err != nil {
					return fmt.Errorf("%s: %w", sql, err)
				}
			}
			return tx.Commit(context.Background())
		}()
	}()
	eventually(c.T, patience, func() error {
		if c.text("SELECT wait_event FROM pg_stat_activity WHERE pid = $1", db.PgConn().PID()) != "SyncRep" {
			return errNotYet
		}
		return nil
	})
	return done
}

// show lets the standby answer.
func (c *late) show(done <-chan error) {
	c.Helper()
	if _, err := c.standby.Exec(c.Context(), "SELECT pg_wal_replay_resume()"); err != nil {
		c.Fatal(err)
	}
	if err := <-done; err != nil {
		c.Fatal(err)
	}
}

// The rows that the hidden transaction of these tests touches. No truncate is among them: it locks its table until it is seen.
var touches = []string{
	"UPDATE products SET inventory_count = -1 WHERE id BETWEEN 10 AND 20",
	"DELETE FROM products WHERE id BETWEEN 30 AND 40",
	"UPDATE products SET id = id + 100000 WHERE id BETWEEN 50 AND 60",
	"INSERT INTO products (id) SELECT generate_series(200001, 200010)",
}

// streamed says whether Redis shows what the hidden transaction did, to each row.
func (c *late) streamed() error {
	c.Helper()
	for id := 10; id <= 20; id++ {
		if got, _ := c.get(fmt.Sprintf("sequin:products:%d", id)); !strings.Contains(got, `"inventory_count":-1`) {
			return fmt.Errorf("product %d is %s", id, got)
		}
	}
	for _, id := range []int{30, 35, 40, 50, 55, 60} {
		if got, there := c.get(fmt.Sprintf("sequin:products:%d", id)); there {
			return fmt.Errorf("product %d is %s, and ought to be gone", id, got)
		}
	}
	for _, id := range []int{100050, 100060, 200001, 200010} {
		if _, there := c.get(fmt.Sprintf("sequin:products:%d", id)); !there {
			return fmt.Errorf("product %d is not there", id)
		}
	}
	return nil
}

// The hole that watermarks leave open: the commit is in the log before the page's mark, and the page's snapshot does not see it.
func TestBackfillMissesWhatIsNotVisibleYet(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	c := newLate(t, nil)
	done := c.hide(touches...)
	eventually(t, patience, c.streamed)
	if got := c.text("SELECT count(*) FROM products WHERE inventory_count = -1"); got != "0" {
		t.Fatalf("%s rows are visible: the test shows nothing", got)
	}
	for range 3 {
		c.wantCommand("backfill", "--all")
		if err := c.streamed(); err != nil {
			t.Errorf("a backfill took a key back: %v", err)
		}
	}
	c.wantVerdict(3, nil, "nothing can be said of 33 rows") // and of all others, that they are equal
	c.show(done)
	c.wantEqual(patience, "products", "orders")
	c.wantVerdict(0, nil, "equal")
}

// The same when the poller is killed in between, and nothing keeps the log back but what it has confirmed.
func TestBackfillMissesWhatIsNotVisibleYetAfterARestart(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	c := newLate(t, map[string]string{"POLLER_REPLAY_WINDOW": "0s"})
	done := c.hide(touches...)
	eventually(t, patience, c.streamed)
	c.exec("INSERT INTO products (id) VALUES (300001)") // others go on
	eventually(t, patience, func() error {
		if _, there := c.get("sequin:products:300001"); !there {
			return errNotYet
		}
		return nil
	})
	time.Sleep(500 * time.Millisecond) // without care it would be confirmed by now
	c.kill(c.poller)
	c.launchPoller()
	c.waitReady("http://" + c.adminAddr())
	c.wantCommand("backfill", "--all")
	if err := c.streamed(); err != nil {
		t.Errorf("a backfill took a key back: %v", err)
	}
	c.show(done)
	c.wantEqual(patience, "products", "orders")
	c.wantConfirmed(patience, c.now())
}
