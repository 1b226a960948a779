package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"freshet/local/stack"
)

// A fast shutdown waits for walsenders whose clients have not confirmed everything; ours confirms a minute later.
func TestPostgresRestartsAndCrashes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	c := newCluster(t, "products,orders,counters", shop+counters, nil)
	c.stock(1000, 500)
	c.start()
	c.wantEqual(patience, "products", "orders", "counters")
	watch := c.watchCounters()
	trade := c.busy(3, 1000)
	for _, mode := range []string{"fast", "immediate", "fast", "immediate"} {
		trade.wantDeals(200)
		if took := c.restart(mode); took > 10*time.Second {
			t.Errorf("a %s shutdown took %s: it waited for the poller", mode, took)
		}
		trade.wantDeals(50)
	}
	trade.close()
	c.wantEqual(patience, "products", "orders", "counters")
	watch.looks()
	watch.wantForward(50)
	c.waitReady("http://" + c.adminAddr())
}

// launchSecond starts another poller of the same slot and sink, with an admin page of its own.
func (r *rig) launchSecond() (second *stack.Process, admin string) {
	r.Helper()
	env := maps.Clone(r.pollerEnv())
	admin = fmt.Sprintf("127.0.0.1:%d", stack.FreePort())
	env["POLLER_ADMIN_ADDR"] = admin
	return launch(r.T, "poller", binaries(r.T).Poller, env), "http://" + admin
}

func TestSecondPollerStandsByAndTakesOver(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	r := newShop(t)
	r.stock(500, 100)
	r.start()
	trade := r.busy(2, 500)
	for _, end := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		second, admin := r.launchSecond()
		standsBy := func() error {
			status, body, err := fetch(admin + "/readyz")
			if err == nil && (status != http.StatusServiceUnavailable || !strings.Contains(body, "standing by")) {
				err = fmt.Errorf("/readyz of the second poller: %d %s", status, body)
			}
			return err
		}
		eventually(t, patience, standsBy)
		always(t, 2*time.Second, standsBy)
		trade.wantDeals(50)
		if err := r.poller.Signal(end); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		r.waitReady(admin)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the second poller took over %s after %s of the first", took, end)
		}
		if end == syscall.SIGTERM {
			r.wantExit(r.poller, 0)
		} else if _, err := r.poller.Wait(patience); err != nil {
			t.Fatal(err)
		}
		r.poller = second
		trade.wantDeals(50)
	}
	trade.close()
	r.wantEqual(patience, "products", "orders")
}

// The standby lacks what Redis has been shown already, and knows nothing of the slot. DATABASE_URL names both servers.
func TestPromotedStandby(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	c := newCluster(t, "products,orders,counters", shop+counters, nil)
	if c.postgres.Tool("pg_basebackup") == "" {
		t.Skip("there is no pg_basebackup on this machine")
	}
	c.stock(1000, 500)
	standby, err := c.postgres.StartStandby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := standby.Close(); err != nil {
			t.Error(err)
		}
	})
	c.pollExtra["DATABASE_URL"] = fmt.Sprintf("postgres://postgres:%s@127.0.0.1:%d,127.0.0.1:%d/%s?sslmode=disable&target_session_attrs=read-write",
		secret, c.postgres.Port, standby.Port, c.name)
	c.start()
	c.wantEqual(patience, "products", "orders", "counters")

	c.exec("INSERT INTO products (id, price) SELECT n, 1 FROM generate_series(5001, 5100) n")
	eventually(t, patience, func() error {
		if got, want := c.text("SELECT min(replay_lsn) FROM pg_stat_replication WHERE application_name = 'walreceiver'"), c.now(); c.text("$1::pg_lsn >= $2::pg_lsn", got, want) != "true" {
			return fmt.Errorf("the standby is at %s of %s", got, want)
		}
		return nil
	})
	if err := standby.Stop("immediate"); err != nil {
		t.Fatal(err)
	}
	// From here on the standby misses what Redis is shown: new rows, other values, deletes.
	c.exec("INSERT INTO products (id, price) SELECT n, 2 FROM generate_series(6001, 6100) n")
	c.exec("UPDATE products SET price = 3 WHERE id <= 100")
	c.exec("DELETE FROM products WHERE id BETWEEN 101 AND 200")
	c.wantEqual(patience, "products", "orders", "counters")

	if err := c.postgres.Stop("immediate"); err != nil {
		t.Fatal(err)
	}
	if err := standby.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.postgres = standby
	c.redial()
	if got := c.text("SELECT count(*) FROM products WHERE id BETWEEN 101 AND 200 OR id BETWEEN 5001 AND 5100"); got != "200" {
		t.Fatalf("the promoted server has %s of 200 rows: the test shows nothing", got)
	}
	v := c.wantEqual(2*patience, "products", "orders", "counters")
	c.exec("UPDATE products SET price = 4 WHERE id < 50")
	c.wantEqual(patience, "products", "orders", "counters")
	if n := c.counted(`freshet_repairs_total{cause="promoted",done="yes"}`); n != 1 {
		t.Errorf("%.0f repairs after a promotion, want 1", n)
	}
	if v.Rows != 1000+100+500+20 {
		t.Errorf("%d rows, want 1620", v.Rows)
	}
}

// gate passes on what the poller posts, but holds batches that a test wants held, until they are given up.
func (r *rig) gate(hold func(body []byte) bool) (address string) {
	target, err := url.Parse(r.fnURL())
	if err != nil {
		r.Fatal(err)
	}
	onward := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return
		}
		if hold(body) {
			<-q.Context().Done()
			return
		}
		q.Body = io.NopCloser(bytes.NewReader(body))
		onward.ServeHTTP(w, q)
	}))
	r.Cleanup(server.Close)
	return server.URL
}

// Two commits lie back to back in the log, or small ones behind one of a megabyte. The first is confirmed, then the poller is killed.
// Where too much is confirmed, even by a byte, the second never comes again.
func TestKilledBetweenTwoCommits(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	r := newShop(t)
	r.pollExtra["POLLER_REPLAY_WINDOW"], r.pollExtra["POLLER_LANES"] = "0s", "32"
	r.exec("ALTER TABLE products ALTER name SET STORAGE EXTERNAL") // a megabyte is to be one in the log, too
	r.start()
	direct := r.fnURL()
	gate := r.gate(func(body []byte) bool { return bytes.Contains(body, []byte(`"name":"held"`)) })
	other := dial(t, world.postgres.Database(r.name))
	proven := 0
	const wanted, most = 4, 12
	for round := 0; proven < wanted && round < most; round++ {
		r.stop(r.poller)
		r.pollExtra["POLLER_FUNCTION_URL"] = gate
		r.launchPoller()
		r.waitReady("http://" + r.adminAddr())
		if r.splitPair(other, round) {
			proven++
		}
		r.kill(r.poller)
		r.pollExtra["POLLER_FUNCTION_URL"] = direct
		r.launchPoller()
		r.wantEqual(patience, "products", "orders")
	}
	if proven < wanted {
		t.Fatalf("only %d of %d times the first was confirmed without the second", proven, most)
	}
}

// splitPair commits in two sessions, one right after the other, and says whether the first was confirmed while the second was held. They are
// not separated when both happen to be in one lane, and so in one batch,
// or when what is held is in lane 0, which carries the seals.
func (r *rig) splitPair(other *pgx.Conn, round int) bool {
	r.Helper()
	second := func(sql string, args ...any) {
		r.Helper()
		if _, err := other.Exec(context.Background(), sql, args...); err != nil {
			r.Fatal(err)
		}
	}
	name := "first"
	if round%2 == 1 {
		name = strings.Repeat("a megabyte ", 100_000)
	}
	id := 100 * round
	r.exec("BEGIN")
	r.exec("INSERT INTO products (id, name) VALUES ($1, $2)", id, name)
	second("BEGIN")
	second("INSERT INTO products (id, name) VALUES ($1, 'held')", id+1)
	before := r.now()
	r.exec("COMMIT")
	second("COMMIT")
	for n := range 5 {
		second("INSERT INTO products (id, name) VALUES ($1, 'held')", id+2+n)
	}
	const enough = 3 * time.Second
	for began := time.Now(); time.Since(began) < enough; time.Sleep(look) {
		if r.reaches(r.text("$1::pg_lsn + 1", before)) {
			return true
		}
	}
	return false
}
