package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Not parallel: it measures how soon changes follow.
func TestChangesFollow(t *testing.T) {
	r := newShop(t)
	r.start()

	r.exec("INSERT INTO products (id, name, price, inventory_count, updated_at) VALUES (42, $1, 8.50, 7, '2026-01-01 10:00:00.123456Z')", rowMarker)
	r.wantValue("sequin:products:42",
		`{"id":42,"name":"`+rowMarker+`","price":8.50,"inventory_count":7,"updated_at":"2026-01-01T10:00:00.123456+00:00"}`)
	r.exec("UPDATE products SET price = 10.00, updated_at = '2026-01-02' WHERE id = 42")
	r.wantValue("sequin:products:42",
		`{"id":42,"name":"`+rowMarker+`","price":10.00,"inventory_count":7,"updated_at":"2026-01-02T00:00:00+00:00"}`)

	r.exec("INSERT INTO orders VALUES (42, 123, 2)")
	r.wantValue("sequin:orders:42-123", `{"product_id":42,"customer_id":123,"quantity":2}`)
	r.exec("UPDATE orders SET quantity = 3")
	r.wantValue("sequin:orders:42-123", `{"product_id":42,"customer_id":123,"quantity":3}`)

	r.exec("DELETE FROM products WHERE id = 42")
	r.wantNoKey("sequin:products:42")
	r.exec("DELETE FROM orders")
	r.wantNoKey("sequin:orders:42-123")
	r.wantEqual(patience, "products", "orders")
}

func TestKeyChangeLeavesNoOldKey(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	r.stock(10, 10)
	r.start()
	r.wantEqual(patience, "products", "orders")

	r.exec("UPDATE products SET id = id + 1000 WHERE id <= 5")
	r.exec("UPDATE orders SET customer_id = -customer_id")
	r.exec("BEGIN; UPDATE products SET id = 1 WHERE id = 1001; UPDATE products SET id = 1001 WHERE id = 1002; COMMIT") // hand over a key
	r.wantEqual(patience, "products", "orders")
}

func TestTruncateRemovesTheTablesKeys(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	r.stock(3000, 3000)
	r.start()
	r.wantEqual(patience, "products", "orders")

	r.exec("BEGIN; INSERT INTO products (id) VALUES (9001); TRUNCATE products; INSERT INTO products (id) VALUES (9002); COMMIT")
	v := r.wantEqual(patience, "products", "orders")
	if v.Rows != 1+3000 {
		t.Fatalf("%d rows, want 3001", v.Rows)
	}
}

// An update of another column does not carry a large value that is stored out of line.
func TestLargeValueSurvivesUpdatesOfOtherColumns(t *testing.T) {
	t.Parallel()
	r := newRig(t, "papers", `CREATE TABLE papers (id int PRIMARY KEY, body text, seen int NOT NULL DEFAULT 0);
		ALTER TABLE papers ALTER body SET STORAGE EXTERNAL;`)
	const paper = "repeat(md5($1::text) || 'é\"', 5000)"
	r.exec("INSERT INTO papers SELECT n, " + strings.ReplaceAll(paper, "$1", "n") + " FROM generate_series(1, 20) n")
	r.start()
	r.wantEqual(patience, "papers")
	r.exec("UPDATE papers SET seen = seen + 1")
	r.exec("UPDATE papers SET seen = seen + 1, body = body || 'x' WHERE id = 3")
	r.exec("UPDATE papers SET id = id + 100 WHERE id > 10")
	r.exec("BEGIN; UPDATE papers SET seen = 9 WHERE id = 7; DELETE FROM papers WHERE id = 7; COMMIT")
	r.wantEqual(patience, "papers")
}

func TestRowsThatWereThereBeforeArriveBesideTheStream(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	const rows = 100_000
	r := newShop(t)
	r.stock(rows, 1000)
	trade := r.busy(4, rows)
	r.start()
	trade.wantDeals(2000)
	r.wantBackfilled("public.products", "public.orders")
	trade.wantDeals(100)
	trade.close()
	v := r.wantEqual(2*patience, "products", "orders")
	if v.Rows < rows/2 {
		t.Fatalf("%d rows are left, the test shows nothing", v.Rows)
	}
}

// wantBackfilled waits until the sink's state says that all rows that were there before have been sent.
func (r *rig) wantBackfilled(tables ...string) {
	r.Helper()
	for _, table := range tables {
		eventually(r.T, 2*patience, func() error {
			state, err := r.redis.HGet(r.Context(), "freshet:freshet:state", "backfill:"+table).Result()
			if err == nil && !strings.Contains(state, `"done"`) {
				err = fmt.Errorf("the backfill of %s is %s", table, state)
			}
			return err
		})
	}
}

func TestBackfillOffSendsOnlyWhatChanges(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	r.stock(50, 0)
	r.pollExtra["POLLER_BACKFILL"] = "off"
	r.start()
	r.exec("UPDATE products SET inventory_count = 1 WHERE id = 7")
	r.wantValue("sequin:products:7", r.text("SELECT to_json(p) FROM (SELECT id, name, price, inventory_count, updated_at FROM products WHERE id = 7) p"))
	if keys := r.redis.Keys(t.Context(), "sequin:*").Val(); len(keys) != 1 {
		t.Fatalf("there are %d keys, want the one that changed: %v", len(keys), keys)
	}
}

func TestSlotAndPublicationAreMade(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	r.pollExtra["POLLER_PUBLICATION"] = "mirror"
	r.start()
	const slot = "SELECT concat_ws(' ', plugin, slot_type, temporary, database = current_database()) FROM pg_replication_slots WHERE slot_name = $1"
	if got, want := r.text(slot, r.name), "pgoutput logical f t"; got != want {
		t.Errorf("slot: got %q, want %q", got, want)
	}
	if got, want := r.text("SELECT pubviaroot FROM pg_publication WHERE pubname = 'mirror'"), "true"; got != want {
		t.Errorf("publication via root: got %q, want %q", got, want)
	}
	const published = "SELECT string_agg(schemaname || '.' || tablename, ' ' ORDER BY tablename) FROM pg_publication_tables WHERE pubname = 'mirror'"
	if got, want := r.text(published), "public.orders public.products"; got != want {
		t.Errorf("published: got %q, want %q", got, want)
	}
	r.stop(r.poller)
	r.exec("INSERT INTO products (id) VALUES (1)") // kept by the slot
	r.launchPoller()
	r.wantEqual(patience, "products", "orders")
}

func TestConfirmedFollowsAtOnceWithoutAWindow(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	r.pollExtra["POLLER_REPLAY_WINDOW"] = "0s"
	r.stock(100, 100)
	r.start()
	for n := range 3 {
		r.exec("INSERT INTO products (id) VALUES ($1)", 1000+n)
		r.wantConfirmed(5*time.Second, r.now())
	}
	r.wantEqual(patience, "products", "orders")
}

func TestReplayWindowKeepsConfirmedBehind(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	r.start()
	before := r.now()
	r.stock(100, 100)
	r.wantEqual(patience, "products", "orders")
	always(t, 3*time.Second, func() error {
		if r.reaches(r.text("$1::pg_lsn + 1", before)) {
			return fmt.Errorf("confirmed_flush_lsn is %s, beyond %s", r.confirmed(), before)
		}
		return nil
	})
	r.stop(r.poller)
	if r.reaches(r.text("$1::pg_lsn + 1", before)) {
		t.Fatalf("stopping confirmed %s, beyond %s: the window is for failures that come later", r.confirmed(), before)
	}
}

// Another database of the same cluster writes; ours says nothing.
func TestIdleDatabaseDoesNotPinWAL(t *testing.T) {
	t.Parallel()
	r, other := newShop(t), newRig(t, "", "CREATE TABLE noise (id int)")
	r.pollExtra["POLLER_REPLAY_WINDOW"], r.pollExtra["POLLER_HEARTBEAT"] = "0s", "1s"
	r.stock(10, 10)
	r.start()
	r.wantEqual(patience, "products", "orders")
	for range 3 {
		other.exec("INSERT INTO noise SELECT generate_series(1, 10000)")
		r.wantConfirmed(15*time.Second, other.now())
	}
}

func TestIdlePollerExitsWhenAskedTo(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	r.stock(2000, 500)
	r.pollExtra["POLLER_EXIT_WHEN_IDLE"], r.pollExtra["POLLER_REPLAY_WINDOW"] = "1s", "0s"
	lsn := r.now()
	r.launchFn()
	r.launchPoller()
	r.wantExit(r.poller, 0)
	r.wantNow("products", "orders")
	if !r.reaches(lsn) {
		t.Errorf("confirmed_flush_lsn is %s, want %s", r.confirmed(), lsn)
	}
}

// wantNow compares once: nothing is running that could still bring something.
func (r *rig) wantNow(tables ...string) {
	r.Helper()
	if v := r.compare(tables...); !v.Equal() {
		r.Fatalf("the judge: %s", v)
	}
}

func TestAdminAnswers(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	r.start()
	for _, url := range []string{r.fnURL() + "/healthz", r.fnURL() + "/readyz", "http://" + r.adminAddr() + "/healthz", "http://" + r.adminAddr() + "/readyz"} {
		if status, body, err := fetch(url); err != nil || status != http.StatusOK {
			t.Errorf("GET %s: %d %s %v", url, status, body, err)
		}
	}
	for _, url := range []string{r.fnURL() + "/metrics", "http://" + r.adminAddr() + "/metrics"} {
		status, body, err := fetch(url)
		if err != nil || status != http.StatusOK || !strings.Contains(body, "\nfreshet_") {
			t.Errorf("GET %s: %d %v; no freshet_* metric", url, status, err)
		}
		lookThrough(t, url, body)
	}
}
