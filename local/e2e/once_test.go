package e2e_test

import "testing"

// A scheduled job: each run brings what has gathered since the last one, and ends.
func TestRunOnceAndExit(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	for _, idle := range []string{"5s", "100ms"} {
		t.Run("idle "+idle, func(t *testing.T) {
			t.Parallel()
			r := newShop(t)
			r.pollExtra["POLLER_EXIT_WHEN_IDLE"] = idle
			r.stock(20_000, 5000)
			r.launchFn()
			r.once() // a backfill

			tr := r.busy(3, 20_000)
			tr.wantDeals(300)
			tr.close()
			r.exec("UPDATE orders SET quantity = quantity + 1")
			r.once() // a backlog
			if idle != "5s" || soaking {
				r.once() // nothing
			}
		})
	}
}

// once runs the poller until it exits, and compares at once: nothing is running that could still bring something.
func (r *rig) once() {
	r.Helper()
	r.launchPoller()
	r.wantExit(r.poller, 0)
	r.wantNow("products", "orders")
}

// While Postgres decodes a large transaction it has nothing to say. That is no reason to go.
func TestIdlePollerWaitsForALargeTransaction(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	r := newShop(t)
	r.pollExtra["POLLER_EXIT_WHEN_IDLE"] = "50ms"
	r.stock(10, 10)
	r.launchFn()
	r.once()
	r.exec(`BEGIN; INSERT INTO products (id) SELECT generate_series(1001, 40000); SAVEPOINT half;
		INSERT INTO orders SELECT n, n FROM generate_series(1, 200000) n; ROLLBACK TO half; INSERT INTO orders SELECT n, -n FROM generate_series(1, 40000) n; COMMIT`)
	r.once()
}
