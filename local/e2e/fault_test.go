package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The function is stopped for longer than Postgres waits for a silent poller, with more changes than the poller may hold.
func TestFunctionStopped(t *testing.T) {
	if testing.Short() {
		t.Skip("outlasts wal_sender_timeout")
	}
	t.Parallel()
	r := newShop(t)
	r.pollExtra["POLLER_REPLAY_WINDOW"], r.pollExtra["POLLER_BUFFER_BYTES"] = "0s", "3000000"
	r.stock(1000, 1000)
	r.start()
	r.wantEqual(patience, "products", "orders")
	r.wantConfirmed(patience, r.now())
	walsender := r.walsender()

	r.stop(r.fn)
	r.exec("UPDATE products SET inventory_count = inventory_count + 1")
	r.exec("INSERT INTO products (id, name) SELECT n, repeat('x', 1000) FROM generate_series(10001, 20000) n")
	eventually(t, patience, r.waitsForTheFunction)
	confirmed := r.confirmed()
	always(t, 8*time.Second, func() error {
		switch {
		case r.confirmed() != confirmed:
			return fmt.Errorf("confirmed_flush_lsn went from %s to %s", confirmed, r.confirmed())
		case r.walsender() != walsender:
			return fmt.Errorf("the replication connection went from %q to %q", walsender, r.walsender())
		}
		return nil
	})
	if status, body, err := fetch("http://" + r.adminAddr() + "/healthz"); err != nil || status != http.StatusOK {
		t.Errorf("/healthz while the function is stopped: %d %s %v", status, body, err)
	}

	r.launchFn()
	r.wantEqual(patience, "products", "orders")
	r.wantConfirmed(patience, r.now())
	r.waitReady("http://" + r.adminAddr())
	if now := r.walsender(); now != walsender {
		t.Errorf("the replication connection went from %q to %q", walsender, now)
	}
}

func (r *rig) waitsForTheFunction() error {
	status, body, err := fetch("http://" + r.adminAddr() + "/readyz")
	switch {
	case err != nil:
		return err
	case status == http.StatusOK:
		return fmt.Errorf("/readyz says %d %s although the function is stopped", status, body)
	case !strings.Contains(body, "function"):
		return fmt.Errorf("/readyz does not say that it waits for the function: %d %s", status, body)
	}
	return nil
}

func TestPollerBeforeTheFunction(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	r.stock(100, 100)
	r.launchPoller()
	eventually(t, patience, r.waitsForTheFunction)
	r.exec("UPDATE products SET inventory_count = 5")
	r.launchFn()
	r.wantEqual(patience, "products", "orders")
}

func TestPollerStopsWhenAsked(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	r.pollExtra["POLLER_REPLAY_WINDOW"] = "0s"
	r.stock(1000, 1000)
	r.start()
	r.wantBackfilled("public.products", "public.orders")
	trade := r.busy(2, 1000)
	trade.wantDeals(100)
	trade.close()
	// Within the statement, so that it lies before the commit's end, and no log of another database counts.
	var lsn string
	if err := r.db.QueryRow(t.Context(), "UPDATE products SET inventory_count = inventory_count + 1 WHERE id = (SELECT min(id) FROM products) RETURNING pg_current_wal_insert_lsn()::text").Scan(&lsn); err != nil {
		t.Fatal(err)
	}
	r.wantEqual(patience, "products", "orders")
	r.stop(r.poller)
	if !r.reaches(lsn) {
		t.Errorf("confirmed_flush_lsn is %s, want %s", r.confirmed(), lsn)
	}
	r.wantNow("products", "orders")
	r.stop(r.fn)
}

// Stopped in the middle of things, again and again: what was not delivered comes after the next start.
func TestPollerStopsUnderLoad(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	r.stock(5000, 1000)
	r.start()
	trade := r.busy(3, 5000)
	for range 3 {
		trade.wantDeals(300)
		r.stop(r.poller)
		trade.wantDeals(100)
		r.launchPoller()
		r.waitAlive("http://" + r.adminAddr()) // it hears signals by now, and may still be starting
	}
	trade.close()
	r.wantEqual(patience, "products", "orders")
}

// Without a window there is nothing to fall back on: what was confirmed must have arrived.
func TestPollerKilledLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	for _, window := range []string{"0s", "60s"} {
		t.Run("window "+window, func(t *testing.T) {
			t.Parallel()
			r := newShop(t)
			r.pollExtra["POLLER_REPLAY_WINDOW"] = window
			r.stock(20_000, 2000)
			r.start()
			trade := r.busy(3, 20_000)
			for range 4 {
				trade.wantDeals(400)
				r.kill(r.poller)
				r.launchPoller()
			}
			trade.wantDeals(200)
			trade.close()
			r.wantEqual(2*patience, "products", "orders")
		})
	}
}

func TestFunctionKilledLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	r := newShop(t)
	r.pollExtra["POLLER_REPLAY_WINDOW"] = "0s"
	r.stock(20_000, 2000)
	r.start()
	trade := r.busy(3, 20_000)
	for range 4 {
		trade.wantDeals(400)
		r.kill(r.fn)
		trade.wantDeals(50)
		r.launchFn()
	}
	trade.close()
	r.wantEqual(2*patience, "products", "orders")
}

// A stopped walsender connection is not the end: the poller connects again.
func TestReplicationConnectionCutOff(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	r.stock(1000, 100)
	r.start()
	trade := r.busy(2, 1000)
	for range 3 {
		trade.wantDeals(100)
		eventually(t, patience, func() error {
			if r.walsender() == "" {
				return errNotYet
			}
			return nil
		})
		r.text("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active", r.name)
	}
	trade.close()
	r.wantEqual(patience, "products", "orders")
}

// A function that answers nothing, neither yes nor no.
func TestFunctionFrozen(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	r := newShop(t)
	r.stock(1000, 100)
	r.start()
	r.wantEqual(patience, "products", "orders")
	walsender := r.walsender()
	if err := r.fn.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	r.exec("UPDATE products SET inventory_count = inventory_count + 1")
	always(t, 7*time.Second, func() error {
		if now := r.walsender(); now != walsender {
			return fmt.Errorf("the replication connection went from %q to %q", walsender, now)
		}
		return nil
	})
	if err := r.fn.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	r.wantEqual(patience, "products", "orders")
}
