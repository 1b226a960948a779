package e2e_test

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"freshet/local/nettest"
)

// families are tables that a truncate takes along, or must not; also by names that are patterns to Redis.
const families = `
CREATE TABLE parents (id int PRIMARY KEY, v text);
CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents);
CREATE TABLE loners (id int PRIMARY KEY, v text);
CREATE TABLE others (id int PRIMARY KEY, v text);
CREATE TABLE "p*" (id int PRIMARY KEY); CREATE TABLE "p?" (id int PRIMARY KEY); CREATE TABLE "p[a-z]" (id int PRIMARY KEY); CREATE TABLE "p\" (id int PRIMARY KEY);
CREATE TABLE pq (id int PRIMARY KEY); CREATE TABLE pqr (id int PRIMARY KEY);
CREATE TABLE days (day date, id int, v text, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM ('2026-01-01') TO ('2026-02-01') PARTITION BY HASH (id);
CREATE TABLE days_1_a PARTITION OF days_1 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE days_1_b PARTITION OF days_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE days_2 PARTITION OF days DEFAULT;`

var familyTables = []string{"parents", "children", "loners", "others", `"p*"`, `"p?"`, `"p[a-z]"`, `"p\"`, "pq", "pqr", "days"}

// settle fills what is empty, so that the next truncate has something to take.
func (r *rig) settle() {
	r.Helper()
	r.exec(`INSERT INTO parents SELECT n FROM generate_series(1, 300) n ON CONFLICT DO NOTHING;
		INSERT INTO children SELECT n, n FROM generate_series(1, 300) n ON CONFLICT DO NOTHING;
		INSERT INTO loners SELECT n FROM generate_series(1, 300) n ON CONFLICT DO NOTHING;
		INSERT INTO others SELECT n FROM generate_series(1, 300) n ON CONFLICT DO NOTHING;
		INSERT INTO days SELECT date '2026-01-01' + n, n FROM generate_series(1, 60) n ON CONFLICT DO NOTHING`)
	for _, name := range familyTables[4:10] {
		r.exec("INSERT INTO " + name + " SELECT n FROM generate_series(1, 20) n ON CONFLICT DO NOTHING")
	}
}

func TestTruncateTakesTheRightKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t, `parents, children, loners, others, "p*", "p?", "p[a-z]", "p\", pq, pqr, days`, families)
	r.settle()
	r.start()
	r.wantEqual(patience, familyTables...)
	for _, sql := range []string{
		`TRUNCATE others`,
		`TRUNCATE others, loners`,
		`TRUNCATE parents CASCADE`,
		`TRUNCATE parents, children, others RESTART IDENTITY`,
		`TRUNCATE "p*"`, `TRUNCATE "p?"`, `TRUNCATE "p[a-z]"`, `TRUNCATE "p\"`, `TRUNCATE pq`, `TRUNCATE "p*", pqr`,
		`TRUNCATE days`,
		`BEGIN; INSERT INTO others VALUES (1001, 'before'); TRUNCATE others; INSERT INTO others VALUES (1002, 'behind'); INSERT INTO loners VALUES (1002); COMMIT; INSERT INTO others VALUES (1003, 'next')`,
		`BEGIN; TRUNCATE others; INSERT INTO others VALUES (1, 'between'); TRUNCATE others; INSERT INTO others VALUES (1, 'behind'); COMMIT`,
		`BEGIN; TRUNCATE others; ROLLBACK; UPDATE others SET v = 'still here'`,
		`BEGIN; SAVEPOINT s; TRUNCATE loners; ROLLBACK TO s; TRUNCATE others; COMMIT`,
	} {
		r.exec(sql)
		r.wantEqual(patience, familyTables...)
		r.settle()
		r.wantEqual(patience, familyTables...)
		if t.Failed() {
			t.Fatal("after: ", sql)
		}
	}
}

// A page that was read before the truncate must not bring its rows back.
func TestTruncateDuringABackfill(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	r.stock(30_000, 5000)
	r.pollExtra["POLLER_BACKFILL_PAGE_BYTES"] = "20000"
	r.start()
	for n := range 5 {
		r.exec("BEGIN; TRUNCATE products; INSERT INTO products (id) SELECT n FROM generate_series(1, 3000) n; COMMIT")
		r.exec("INSERT INTO products (id) VALUES ($1)", 100_000+n)
	}
	r.wantBackfilled("public.products", "public.orders")
	r.wantEqual(patience, "products", "orders")
}

// A million keys, among another million that only lie in the way; changes right behind it.
func TestTruncateOfAMillionKeys(t *testing.T) {
	if !soaking {
		t.Skip("takes a minute; FRESHET_SOAK=1 runs it")
	}
	r := newShop(t)
	r.pollExtra["POLLER_BACKFILL"] = "off"
	const keys = 1_000_000
	r.fill("sequin:products:", keys)
	r.fill("elsewhere:", keys)
	r.start()
	r.exec("BEGIN; TRUNCATE products; INSERT INTO products (id) VALUES (1), (2000000); COMMIT; INSERT INTO products (id) VALUES (3); INSERT INTO orders VALUES (1, 1)")
	r.wantEqual(2*patience, "products", "orders")
	r.wantOthers(keys)
}

// wantOthers wants the keys of a fill that nothing may touch.
func (r *rig) wantOthers(keys int) {
	r.Helper()
	if got := len(r.redis.Keys(r.Context(), "elsewhere:*").Val()); got != keys {
		r.Errorf("%d other keys are left, want %d", got, keys)
	}
}

// However short a request may be, the next one goes on where it ended: also through keys of others, which do not grow fewer.
func TestTruncateGoesOnAfterATimeout(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	r := newShop(t)
	r.pollExtra["POLLER_BACKFILL"], r.pollExtra["POLLER_RETRY_MAX"] = "off", "50ms"
	// Looking through all keys takes a hundred round trips, and a request has the time of thirty.
	r.fnExtra["FN_TIMEOUT"] = "300ms"
	r.fnExtra["REDIS_URL"] = strings.Replace(r.redisURL("freshet"), world.redis.Addr, slowly(t, world.redis.Addr, 10*time.Millisecond), 1)
	const keys = 100_000
	r.fill("sequin:products:", 10_000)
	r.fill("elsewhere:", keys)
	r.start()
	r.exec("BEGIN; TRUNCATE products; INSERT INTO products (id) VALUES (1), (2000000); COMMIT; INSERT INTO orders VALUES (1, 1)")
	r.wantEqual(patience, "products", "orders")
	r.wantOthers(keys)
}

// slowly is an address that leads to another one, where every question takes so long to arrive.
func slowly(t *testing.T, to string, delay time.Duration) string {
	t.Helper()
	return nettest.Serve(t, func(client *net.TCPConn) {
		server, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		go forward(client, server, 0)
		forward(server, client, delay)
	})
}

func forward(to, from net.Conn, delay time.Duration) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		time.Sleep(delay)
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// Either program dies in the middle of a truncate.
func TestTruncateInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	for _, who := range []string{"poller", "function"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			r := newShop(t)
			r.pollExtra["POLLER_BACKFILL"] = "off"
			r.start()
			const keys = 50_000
			interrupted := false
			for round := 0; round < 5 && !interrupted; round++ {
				r.fill("sequin:products:", keys)
				r.exec("BEGIN; TRUNCATE products; INSERT INTO products (id) SELECT n FROM generate_series(1, 500) n; COMMIT")
				eventually(t, patience, func() error {
					if r.size() >= keys {
						return errNotYet
					}
					return nil
				})
				interrupted = r.interrupt(who)
				r.exec("UPDATE products SET inventory_count = 7")
				r.exec("INSERT INTO orders VALUES ($1, 1)", round)
				r.wantEqual(patience, "products", "orders")
			}
			if !interrupted {
				t.Error("the truncate was over each time before anything could be killed")
			}
		})
	}
}

// interrupt freezes the function, sees whether the truncate is not over, and then kills.
func (r *rig) interrupt(who string) (inTheMiddle bool) {
	r.Helper()
	if err := r.fn.Signal(syscall.SIGSTOP); err != nil {
		r.Fatal(err)
	}
	inTheMiddle = r.size() > 1000
	if who == "function" {
		r.kill(r.fn)
		r.launchFn()
		return inTheMiddle
	}
	r.kill(r.poller)
	r.launchPoller()
	time.AfterFunc(100*time.Millisecond, func() {
		if err := r.fn.Signal(syscall.SIGCONT); err != nil {
			r.Error(fmt.Errorf("wake the function: %w", err))
		}
	})
	return inTheMiddle
}
