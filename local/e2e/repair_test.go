package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// losesSlots are settings with which a slot is soon lost.
var losesSlots = map[string]string{"max_slot_wal_keep_size": "32MB", "min_wal_size": "32MB", "max_wal_size": "32MB"}

// writeLog writes so many megabytes of log that concern nobody.
func (r *rig) writeLog(megabytes int) {
	r.Helper()
	r.exec("SELECT pg_logical_emit_message(true, 'test', repeat('x', 1 << 20)) FROM generate_series(1, $1)", megabytes)
}

func (r *rig) walStatus() string {
	r.Helper()
	return r.text("SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1", r.name)
}

// loseSlot writes so much log that Postgres gives the slot up. A poller that runs may have made a new one by then, which begins later than before.
func (r *rig) loseSlot() {
	r.Helper()
	before := r.now()
	eventually(r.T, patience, func() error {
		r.writeLog(16)
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		if _, err := r.db.Exec(ctx, "CHECKPOINT"); err != nil {
			r.Fatalf("Postgres cannot end the stream, and a checkpoint waits for that: %v", err)
		}
		if status := r.walStatus(); status != "lost" && !r.reaches(before) {
			return fmt.Errorf("the slot is %q", status)
		}
		return nil
	})
}

// unseen changes what nobody streams: values, keys, rows that come and go, a table that is emptied.
func (r *rig) unseen() {
	r.Helper()
	r.exec("UPDATE products SET inventory_count = -1 WHERE id % 7 = 0")
	r.exec("DELETE FROM products WHERE id % 7 = 1")
	r.exec("UPDATE products SET id = id + 1000000 WHERE id % 7 = 2")
	r.exec("INSERT INTO products (id, name) SELECT n, 'new' FROM generate_series(5000001, 5000050) n")
	r.exec("TRUNCATE orders")
}

// says waits until the poller has printed this.
func (r *rig) says(text string) {
	r.Helper()
	eventually(r.T, patience, func() error {
		if !strings.Contains(r.poller.Log(), text) {
			return fmt.Errorf("the poller has not said %q", text)
		}
		return nil
	})
}

// dropSlot drops the slot, whoever streams from it.
func (r *rig) dropSlot() {
	r.Helper()
	eventually(r.T, patience, func() error {
		_, err := r.db.Exec(r.Context(), "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active", r.name)
		if err == nil {
			_, err = r.db.Exec(r.Context(), "SELECT pg_drop_replication_slot($1)", r.name)
		}
		return err
	})
}

// wantUnread waits until the walsender waits for the poller, and goes on waiting: the poller reads nothing because the function takes nothing.
func (r *rig) wantUnread() {
	r.Helper()
	const sending = "SELECT wait_event FROM pg_stat_activity WHERE pid = (SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1)"
	looks := 0
	eventually(r.T, patience, func() error {
		if event := r.text(sending, r.name); event != "WalSenderWriteData" {
			looks = 0
			r.writeLog(4)
			return fmt.Errorf("the walsender waits for %q", event)
		}
		if looks++; looks < 50 {
			return errNotYet
		}
		return nil
	})
}

func TestSlotDroppedWhileThePollerIsStopped(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	r.mirrored(2000)
	r.stop(r.poller)
	r.dropSlot()
	r.unseen()
	r.launchPoller()
	r.wantEqual(patience, "products", "orders")
	r.exec("UPDATE products SET inventory_count = 5 WHERE id % 7 = 3")
	r.wantEqual(patience, "products", "orders")
}

// Nobody needs to look after a slot that Postgres has given up, whatever was away for too long.
func TestLostSlotIsMadeAnew(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	for _, c := range []struct {
		name string
		away func(c *cluster)
		back func(c *cluster)
	}{
		{"the poller was away", func(c *cluster) { c.stop(c.poller) }, func(c *cluster) { c.launchPoller() }},
		{"the function was away", func(c *cluster) { c.kill(c.fn) }, func(c *cluster) { c.launchFn() }},
		{"the function was away, and nothing was read", func(c *cluster) {
			c.kill(c.fn)
			c.exec("TRUNCATE orders") // waits for all lanes
			c.wantUnread()
		}, func(c *cluster) { c.launchFn() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newCluster(t, "products,orders", shop, losesSlots)
			r.pollExtra["POLLER_GUARD_EVERY"] = "200ms"
			r.stock(2000, 1000)
			r.start()
			r.wantEqual(patience, "products", "orders")
			c.away(r)
			r.unseen()
			r.loseSlot()
			c.back(r)
			r.says("is lost")
			r.wantEqual(patience, "products", "orders")
			if got := r.walStatus(); got == "lost" {
				t.Error("the slot is still lost")
			}
			r.exec("UPDATE products SET inventory_count = 5 WHERE id % 7 = 3")
			r.wantEqual(patience, "products", "orders")
			if n := strings.Count(r.poller.Log(), `level=WARN msg="slot \"`+r.name+`\" is lost"`); n != 1 && n != 2 { // by the preflight, and perhaps by the guard
				t.Errorf("it was said %d times", n)
			}
		})
	}
}

// With POLLER_REPAIR=none a person decides.
func TestSlotThatIsLeftToAPerson(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	r := newCluster(t, "products,orders", shop, losesSlots)
	r.pollExtra["POLLER_REPAIR"] = "none"
	r.stock(200, 100)
	r.start()
	r.wantEqual(patience, "products", "orders")

	r.stop(r.poller)
	r.loseSlot()
	r.launchPoller()
	r.wantExit(r.poller, 1)
	wantReport(t, r.poller.Log(), 1, 1, "is lost", "max_slot_wal_keep_size", "POLLER_REPAIR")
	output, code := runOnce(t, binaries(t).Poller, r.pollerEnv(), "check")
	wantReport(t, output, code, 1, "is lost", "POLLER_REPAIR")
	if got := r.walStatus(); got != "lost" {
		t.Errorf("the slot is %q now", got)
	}

	r.pollExtra["POLLER_REPAIR"] = "slot"
	output, code = runOnce(t, binaries(t).Poller, r.pollerEnv(), "check")
	wantReport(t, output, code, 0, "is lost", "nothing to do")
	r.unseen()
	r.launchPoller()
	r.wantEqual(patience, "products", "orders")
	r.stop(r.poller)

	r.pollExtra["POLLER_REPAIR"] = "none"
	r.launchPoller()
	r.waitReady("http://" + r.adminAddr())
	r.dropSlot()
	r.wantExit(r.poller, 1)
	wantReport(t, r.poller.Log(), 1, 1, "is gone", "it was dropped while this poller ran", "POLLER_REPAIR")
	if got := r.walStatus(); got != "" {
		t.Errorf("there is a slot: %q", got)
	}
}

// Rows go on changing while the slot vanishes, and comes back as another.
func TestSlotDroppedUnderTheRunningPoller(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	r := newShop(t)
	r.mirrored(1000)
	tr := r.busy(2, 1000)
	for range 2 {
		tr.wantDeals(50)
		before := r.now()
		r.dropSlot()
		r.exec("DELETE FROM products WHERE id = (SELECT min(id) FROM products)")
		eventually(t, patience, func() error {
			if !r.reaches(before) {
				return errNotYet
			}
			return nil
		})
		r.waitReady("http://" + r.adminAddr())
	}
	tr.close()
	r.says("is gone")
	r.wantEqual(2*patience, "products", "orders")
}

// Somebody wants to drop the slot while the function is away and the poller, its lanes full, reads nothing. A walsender may then wait for ever to say
// why it ends, if what it has to say does not fit into the connection's buffers, which is chance: so this is done a few times.
func TestSlotIsLetGoWhileNothingIsRead(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	r := newShop(t)
	r.pollExtra["POLLER_GUARD_EVERY"], r.pollExtra["POLLER_RETRY_MAX"] = "200ms", "500ms"
	r.mirrored(500)
	for round := range 3 {
		r.kill(r.fn)
		r.exec("TRUNCATE orders")
		r.wantUnread()
		// Once only, as a checkpoint does: the second signal ends a walsender that waits to say why it ends.
		r.exec("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1", r.name)
		eventually(t, patience, func() error {
			_, err := r.db.Exec(t.Context(), "SELECT pg_drop_replication_slot($1)", r.name)
			return err
		})
		r.exec("DELETE FROM products WHERE id % 5 = $1", round)
		r.exec("INSERT INTO orders VALUES (1, $1)", round)
		r.launchFn()
		r.wantEqual(patience, "products", "orders")
	}
	t.Logf("the slot was let go %d times", strings.Count(r.poller.Log(), "the slot is let go"))
}

// The guard warns before the slot is lost, says what to set, shows it on the admin page and in the metrics, and says when it is over.
func TestSlotGuardWarnsInTime(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	r := newCluster(t, "products,orders", shop, map[string]string{"max_slot_wal_keep_size": "96MB", "min_wal_size": "32MB", "max_wal_size": "32MB"})
	r.pollExtra["POLLER_GUARD_EVERY"], r.pollExtra["POLLER_REPLAY_WINDOW"], r.pollExtra["POLLER_SLOT_WARN_BYTES"] = "100ms", "0s", "20MiB"
	r.stock(200, 100)
	r.start()
	r.wantEqual(patience, "products", "orders")
	r.kill(r.fn)
	r.exec("UPDATE products SET inventory_count = 7")
	eventually(t, patience, func() error {
		if strings.Contains(r.poller.Log(), "will be lost once") {
			return nil
		}
		r.writeLog(2)
		time.Sleep(300 * time.Millisecond) // three looks of the guard
		return errNotYet
	})
	if status := r.walStatus(); status != "reserved" && status != "extended" {
		t.Fatalf("the slot is %q when the warning comes", status)
	}
	for _, text := range []string{"max_slot_wal_keep_size = '192MB'; SELECT pg_reload_conf()", "/readyz", "are not confirmed: the function or Redis is away", "of write-ahead log"} {
		if !strings.Contains(r.poller.Log(), text) {
			t.Errorf("no warning says %q", text)
		}
	}
	if kept, safe := r.counted("freshet_slot_retained_bytes"), r.counted("freshet_slot_safe_wal_bytes"); kept < 40<<20 || safe <= 0 || safe > 80<<20 {
		t.Errorf("the metrics: %v bytes are kept, %v safe", kept, safe)
	}
	if lag := r.counted("freshet_slot_confirmed_lag_bytes"); lag < 40<<20 {
		t.Errorf("the metrics: the lag is %v", lag)
	}
	status, body, err := fetch("http://" + r.adminAddr() + "/api/slot")
	if err != nil || status != 200 || !strings.Contains(body, `"kind":"losing"`) || !strings.Contains(body, `"active":true`) {
		t.Errorf("/api/slot: %d %s %v", status, body, err)
	}

	r.launchFn()
	r.wantEqual(patience, "products", "orders")
	eventually(t, 2*patience, func() error {
		r.exec("CHECKPOINT") // with it comes the record that moves restart_lsn
		time.Sleep(100 * time.Millisecond)
		if !strings.Contains(r.poller.Log(), "is over") {
			return fmt.Errorf("%v bytes are kept", r.counted("freshet_slot_retained_bytes"))
		}
		return nil
	})
	if r.walStatus() == "lost" {
		t.Error("the slot was lost")
	}
}

// From 17 on the slot is kept on standbys too, also one that was made anew.
func TestFailoverSlot(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	if r.text("current_setting('server_version_num')::int >= 170000") != "true" {
		t.Skip("failover slots came with Postgres 17")
	}
	r.mirrored(100)
	isFailover := func() string {
		return r.text("SELECT to_jsonb(s) ->> 'failover' FROM pg_replication_slots s WHERE slot_name = $1", r.name)
	}
	if got := isFailover(); got != "true" {
		t.Errorf("failover is %q", got)
	}
	before := r.now()
	r.dropSlot()
	eventually(t, patience, func() error {
		if !r.reaches(before) {
			return errNotYet
		}
		return nil
	})
	if got := isFailover(); got != "true" {
		t.Errorf("made anew, failover is %q", got)
	}
	r.wantEqual(patience, "products", "orders")
}
