package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"freshet/poller/operate"
)

// command runs a command of the poller beside the one that runs.
func (r *rig) command(args ...string) (output string, code int) {
	r.Helper()
	return r.commandWithin(2*patience, args...)
}

func (r *rig) commandWithin(patience time.Duration, args ...string) (output string, code int) {
	r.Helper()
	return runWithin(r.T, patience, binaries(r.T).Poller, map[string]string{"POLLER_ADMIN_ADDR": r.adminAddr()}, args...)
}

// wantCommand wants a command to succeed.
func (r *rig) wantCommand(args ...string) (output string) {
	r.Helper()
	output, code := r.command(args...)
	if code != 0 {
		r.Fatalf("poller %s: exit code %d\n%s", strings.Join(args, " "), code, output)
	}
	return output
}

// backfillOf asks the poller how a table's backfill stands.
func (r *rig) backfillOf(table string) (b operate.Backfill) {
	r.Helper()
	eventually(r.T, patience, func() error {
		status, body, err := fetch("http://" + r.adminAddr() + operate.RouteBackfills)
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("%d %s %w", status, body, err)
		}
		var all []operate.Backfill
		if err := json.Unmarshal([]byte(body), &all); err != nil {
			return err
		}
		for _, one := range all {
			if one.Table == table {
				b = one
				return nil
			}
		}
		return fmt.Errorf("%s is not among %s", table, body)
	})
	return b
}

// kinds are tables with primary keys of every kind.
const kinds = `
CREATE TYPE mood AS ENUM ('sad', 'so so', 'happy');
CREATE TABLE negatives (id int PRIMARY KEY, v text); INSERT INTO negatives SELECT n, 'v' FROM generate_series(-300, 300) n;
CREATE TABLE words (id text PRIMARY KEY, v int); INSERT INTO words SELECT w || n, n FROM unnest(ARRAY['a', 'Ä', '-', 'a-b', '"', '\', '*', '%', ' ', 'x:y', '{', '😀']) w, generate_series(1, 9) n;
CREATE TABLE uuids (id uuid PRIMARY KEY, v int); INSERT INTO uuids SELECT md5(n::text)::uuid, n FROM generate_series(1, 99) n;
CREATE TABLE moods (id mood PRIMARY KEY, v int); INSERT INTO moods VALUES ('sad', 1), ('so so', 2), ('happy', NULL);
CREATE TABLE yes (id boolean PRIMARY KEY, v int); INSERT INTO yes VALUES (true, 1), (false, NULL);
CREATE TABLE numbers (id numeric PRIMARY KEY, v int); INSERT INTO numbers SELECT n / 8.0, n FROM generate_series(-50, 50) n; INSERT INTO numbers VALUES ('NaN', 1), (1e40, 2), (12.50, 3);
CREATE TABLE moments (id timestamptz PRIMARY KEY, v int); INSERT INTO moments SELECT '2026-01-01 00:00:00.000001+02'::timestamptz + n * interval '1 hour 1 microsecond', n FROM generate_series(-50, 50) n; INSERT INTO moments VALUES ('infinity', 1);
CREATE TABLE pairs (a text, b int, c uuid, v text, PRIMARY KEY (b, a, c));
INSERT INTO pairs SELECT CASE WHEN n % 3 = 0 THEN 'with-hyphens-' ELSE 'w' END || n, -n, md5(n::text)::uuid, NULL FROM generate_series(-40, 40) n;
CREATE TABLE nothing (id int PRIMARY KEY);`

var kindTables = []string{"negatives", "words", "uuids", "moods", "yes", "numbers", "moments", "pairs", "nothing"}

// Somebody has damaged every key; a backfill of everything puts all rows right.
func TestBackfillOfEverything(t *testing.T) {
	t.Parallel()
	r := newRig(t, strings.Join(kindTables, ","), kinds)
	r.pollExtra["POLLER_AUDIT_RATE"] = "0"
	r.start()
	r.wantEqual(patience, kindTables...)
	n := 0
	for _, key := range r.keys() {
		if n++; n%2 == 0 {
			r.redis.Del(t.Context(), key)
		} else {
			r.redis.Set(t.Context(), key, "damaged", 0)
		}
	}
	output := r.wantCommand("backfill", "--all")
	r.wantNow(kindTables...)
	if b := r.backfillOf("public.negatives"); b.State != "done" || b.Rows != 601 || b.Cause != "asked" {
		t.Errorf("the backfill is %+v", b)
	}
	if !strings.Contains(output, "negatives") {
		t.Errorf("the command says:\n%s", output)
	}
}

func TestBackfillOfSomeRows(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	r.pollExtra["POLLER_AUDIT_RATE"] = "0"
	r.stock(1000, 100)
	r.start()
	r.wantEqual(patience, "products", "orders")
	r.redis.Del(t.Context(), "sequin:products:7", "sequin:products:8")
	r.wantCommand("backfill", "products", "--where", "id < 8 -- and no more")
	if _, there := r.get("sequin:products:7"); !there {
		t.Error("the row that was asked for did not come")
	}
	if _, there := r.get("sequin:products:8"); there {
		t.Error("a row came that was not asked for")
	}
	if b := r.backfillOf("public.products"); b.Rows != 7 {
		t.Errorf("%d rows were read, want 7", b.Rows)
	}
	// A condition that fails on a row, or writes, ends its backfill and nothing else.
	r.exec("CREATE FUNCTION busy(bigint) RETURNS boolean LANGUAGE sql AS 'INSERT INTO orders VALUES (-1, $1) RETURNING true'")
	for _, where := range []string{"busy(id)", "1 / (id - 500) > 0", "name::int > 0"} {
		r.wantCommand("backfill", "products", "--where", where, "--detach")
		eventually(t, patience, func() error {
			if b := r.backfillOf("public.products"); b.State != "cancelled" {
				return fmt.Errorf("the backfill of %s is %s", where, b.State)
			}
			return nil
		})
	}
	if n := r.text("SELECT count(*) FROM orders WHERE product_id = -1"); n != "0" {
		t.Errorf("a condition has written %s rows", n)
	}
	if sessions := r.found("current"); sessions != 0 {
		t.Errorf("%d sessions were opened anew", sessions)
	}
	for _, c := range []struct {
		says []string
		args []string
	}{
		{[]string{"nonsense"}, []string{"products", "--where", "nonsense > 1"}},
		{[]string{"syntax"}, []string{"products", "--where", "id = 1) OR (1 = 1; DROP TABLE products"}},
		{[]string{"not mirrored", "public.products", "public.orders"}, []string{"customers"}},
		{[]string{"one table"}, []string{"products", "orders", "--where", "true"}},
	} {
		output, code := r.command(append([]string{"backfill"}, c.args...)...)
		wantReport(t, output, code, 2, c.says...)
	}
}

// Rows are read again and again while customers change, delete and move them: no key ever goes back, and a deleted row stays deleted.
func TestBackfillUnderFire(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	f := onFire(t, map[string]string{"POLLER_BACKFILL_PAGE_BYTES": "20000"})
	for range 4 {
		f.c.wantCommand("backfill", "--all")
	}
	f.wantUnharmed()
}

// inSmallPages is a shop with so many products, whose backfills take a while.
func inSmallPages(t *testing.T, products int) *rig {
	r := newShop(t)
	r.pollExtra["POLLER_AUDIT_RATE"] = "0"
	r.pollExtra["POLLER_BACKFILL_PAGE_BYTES"], r.pollExtra["POLLER_BACKFILL_PAGES"] = "20000", "2"
	r.stock(products, 100)
	return r
}

// A backfill goes on where it was when the poller or the function are killed, and a person sees all of it.
func TestBackfillSurvivesKills(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	const rows = 60_000
	r := inSmallPages(t, rows)
	r.start()
	r.wantEqual(2*patience, "products", "orders")
	r.wantBackfilled("public.products", "public.orders")
	r.redis.Del(t.Context(), "sequin:products:1", fmt.Sprintf("sequin:products:%d", rows))
	r.wantCommand("backfill", "products", "--detach")
	for kill := range 4 {
		some := int64(rows / 6 * (kill + 1))
		eventually(t, patience, func() error {
			if b := r.backfillOf("public.products"); b.State != "done" && b.Rows < some {
				return fmt.Errorf("%d rows of %d", b.Rows, some)
			}
			return nil
		})
		before := r.backfillOf("public.products")
		if before.State == "done" {
			t.Fatalf("it was over before kill %d: the test shows nothing", kill)
		}
		if kill%2 == 0 {
			r.kill(r.poller)
			r.launchPoller()
			r.waitReady("http://" + r.adminAddr())
			if after := r.backfillOf("public.products"); after.Rows < before.Rows/2 || after.State == "pending" {
				t.Errorf("after a kill at %d rows it goes on at %d (%s)", before.Rows, after.Rows, after.State)
			}
		} else {
			r.kill(r.fn)
			r.launchFn()
		}
	}
	eventually(t, patience, func() error {
		if b := r.backfillOf("public.products"); b.State != "done" {
			return fmt.Errorf("%s at %d rows", b.State, b.Rows)
		}
		return nil
	})
	if b := r.backfillOf("public.products"); b.Rows < rows || b.Rows > rows+rows/10 {
		t.Errorf("%d rows were settled, want %d", b.Rows, rows)
	}
	r.wantNow("products", "orders")
}

// Rows that are still to be read move to where they would have been read before: one by one, because a transaction writes them, and all at once.
func TestBackfillOfATableThatIsWrittenAnew(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	r := inSmallPages(t, 40_000)
	r.exec("DELETE FROM products WHERE id < 10000 OR id % 4 = 0")
	r.exec("VACUUM products") // there is room in front of all others
	r.start()
	r.wantEqual(2*patience, "products", "orders")
	r.wantBackfilled("public.products", "public.orders")
	products := []string{}
	for _, key := range r.keys() {
		if strings.HasPrefix(key, "sequin:products:") {
			products = append(products, key)
		}
	}
	r.redis.Del(t.Context(), products...)
	r.wantCommand("backfill", "products", "--detach")
	reached := func(rows int64) {
		t.Helper()
		eventually(t, patience, func() error {
			if b := r.backfillOf("public.products"); b.Rows < rows {
				return fmt.Errorf("%d rows of %d", b.Rows, rows)
			}
			return nil
		})
	}
	reached(1000)
	r.exec("UPDATE products SET inventory_count = -5 WHERE id % 50 = 1")
	reached(3000)
	r.exec("VACUUM FULL products")
	reached(6000)
	if b := r.backfillOf("public.products"); b.State == "done" {
		t.Fatal("it was over too soon: the test shows nothing")
	}
	eventually(t, patience, func() error {
		if b := r.backfillOf("public.products"); b.State != "done" {
			return fmt.Errorf("%s at %d rows", b.State, b.Rows)
		}
		return nil
	})
	r.wantNow("products", "orders")
	if log := r.poller.Log(); !strings.Contains(log, "begins again") {
		t.Errorf("the log does not say that it begins again:\n%s", log)
	}
}

func TestBackfillPausedResumedCancelled(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	r := newShop(t)
	r.pollExtra["POLLER_AUDIT_RATE"] = "0"
	r.stock(12_000, 100)
	r.start()
	r.wantEqual(patience, "products", "orders")
	r.wantBackfilled("public.products", "public.orders")
	r.stop(r.poller)
	r.pollExtra["POLLER_BACKFILL_PAGE_BYTES"], r.pollExtra["POLLER_BACKFILL_PAGES"] = "1024", "1" // so that it takes a while
	r.launchPoller()
	r.waitReady("http://" + r.adminAddr())
	last := "sequin:products:12000"
	r.redis.Del(t.Context(), last)
	r.wantCommand("backfill", "products", "--detach")
	r.wantCommand("backfill", "pause", "products")
	settled := func() error { // pages on their way arrive still
		a := r.backfillOf("public.products").Rows
		time.Sleep(300 * time.Millisecond)
		if b := r.backfillOf("public.products"); b.Rows != a || !b.Paused || b.State == "done" {
			return fmt.Errorf("it is not paused: %d rows and then %+v", a, b)
		}
		return nil
	}
	eventually(t, patience, settled)
	if output, code := r.command("backfill", "products"); code != 1 || !strings.Contains(output, "resume") {
		t.Errorf("another backfill of a paused table: exit code %d\n%s", code, output)
	}
	r.kill(r.poller) // still paused in the next life
	r.launchPoller()
	r.waitReady("http://" + r.adminAddr())
	if err := settled(); err != nil {
		t.Error(err)
	}
	r.exec("UPDATE products SET inventory_count = 7 WHERE id = 1") // the stream is not paused
	eventually(t, patience, func() error {
		if got, _ := r.get("sequin:products:1"); !strings.Contains(got, `"inventory_count":7`) {
			return errNotYet
		}
		return nil
	})
	r.wantCommand("backfill", "cancel", "products")
	if b := r.backfillOf("public.products"); b.State != "cancelled" {
		t.Errorf("it is %+v", b)
	}
	r.stop(r.poller)
	r.launchPoller()
	r.waitReady("http://" + r.adminAddr())
	if b := r.backfillOf("public.products"); b.State != "cancelled" {
		t.Errorf("in the next life it is %+v", b)
	}
	if _, there := r.get(last); there {
		t.Error("the last row came although its backfill was cancelled")
	}
	r.wantCommand("backfill", "products", "--detach")
	r.wantCommand("backfill", "pause", "products")
	r.wantCommand("backfill", "resume", "products")
	r.wantBackfilled("public.products")
	r.wantNow("products", "orders")
	if output := r.wantCommand("backfill", "list"); !strings.Contains(output, "done") {
		t.Errorf("the list says:\n%s", output)
	}
}

// A table that joins the configuration is filled by itself, and the others are left alone.
func TestTableJoinsTheConfiguration(t *testing.T) {
	t.Parallel()
	r := newRig(t, "products", shop)
	r.stock(500, 300)
	r.start()
	r.wantEqual(patience, "products")
	rows := r.counted("freshet_backfill_rows_total")
	if rows != 500 {
		t.Errorf("%.0f rows were read, want 500", rows)
	}
	r.stop(r.poller)
	r.pollExtra["POLLER_TABLES"] = "products,orders"
	r.launchPoller()
	r.waitReady("http://" + r.adminAddr())
	r.wantEqual(patience, "products", "orders")
	if b := r.backfillOf("public.orders"); b.Cause != "table" {
		t.Errorf("the backfill of the new table is %+v", b)
	}
	if rows := r.counted("freshet_backfill_rows_total"); rows != 300 {
		t.Errorf("%.0f rows were read, want the 300 of the new table", rows)
	}
}

// A transaction that began to write a table before the publication had it is in the stream without what it wrote there, and the table's pages must
// see it instead.
func TestTableJoinsWhileItsRowsAreWritten(t *testing.T) {
	t.Parallel()
	r := newRig(t, "products", shop)
	r.pollExtra["POLLER_AUDIT_RATE"] = "0" // which would repair it
	r.stock(50, 30)
	r.start()
	r.wantEqual(patience, "products")
	r.stop(r.poller)
	writes, err := dial(t, world.postgres.Database(r.name)).Begin(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	for _, sql := range []string{"UPDATE orders SET quantity = 777 WHERE product_id = 2", "DELETE FROM orders WHERE product_id = 3", "INSERT INTO orders VALUES (1000, 1)"} {
		if _, err := writes.Exec(r.Context(), sql); err != nil {
			r.Fatal(err)
		}
	}
	r.pollExtra["POLLER_TABLES"] = "products,orders"
	r.launchPoller()
	time.Sleep(2 * time.Second) // enough for the pages, if nothing keeps them
	if err := writes.Commit(r.Context()); err != nil {
		r.Fatal(err)
	}
	r.wantEqual(patience, "products", "orders")
}
