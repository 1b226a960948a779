package e2e_test

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// Postgres does not end before its walsender has said all it has to say, and the poller, whose buffer is full, listens no more.
func TestPostgresStopsAlthoughTheFunctionIsDown(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	r := newRig(t, "products,orders", "")
	r.pollExtra["POLLER_BUFFER_BYTES"] = "3000000"
	p := r.ownPostgres()
	p.exec(shop)
	p.exec("INSERT INTO products (id) SELECT generate_series(1, 1000)")
	r.start()
	r.wantBackfilled("public.products", "public.orders")
	p.wantEqual("products", "orders")

	r.kill(r.fn)
	p.exec("INSERT INTO products (id, name) SELECT n, repeat('x', 1000) FROM generate_series(10001, 30000) n")
	eventually(t, patience, func() error {
		if r.counted("freshet_buffer_bytes") < 3_000_000 {
			return errNotYet
		}
		return nil
	})
	walsender := p.text("SELECT active_pid FROM pg_replication_slots")
	always(t, 4*time.Second, func() error { // it has been like this for a while
		if now := p.text("SELECT active_pid FROM pg_replication_slots"); now != walsender {
			return fmt.Errorf("the walsender went from %s to %s", walsender, now)
		}
		return nil
	})
	began := time.Now()
	if err := p.Stop("fast"); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("Postgres stopped after %s", took.Round(time.Millisecond))
	if took > patience {
		t.Errorf("Postgres stopped after %s, want %s at most", took, patience)
	}

	if err := p.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	r.launchFn()
	p.wantEqual("products", "orders")
}
