package e2e_test

import (
	"testing"
	"time"
)

// Ten million rows come, are compared, and come again, while customers trade; neither program needs more memory for that than for a few.
func TestTenMillionRows(t *testing.T) {
	rows, within := 10_000_000, 30*time.Minute
	if !soaking {
		if testing.Short() {
			t.Skip("takes several seconds")
		}
		rows, within = 200_000, 2*patience
	}
	t.Parallel()
	r := newShop(t)
	r.ownRedis()
	r.pollExtra["POLLER_AUDIT_RATE"] = "1000"
	r.exec("INSERT INTO products (id, name, inventory_count) SELECT n, 'product ' || n, n % 100 FROM generate_series(1, $1) n", rows)
	trade := r.busy(2, rows)
	r.startLean()
	began := time.Now()
	eventually(t, within, func() error {
		if b := r.backfillOf("public.products"); b.State != "done" {
			return errNotYet
		}
		return nil
	})
	r.Logf("%d rows came within %s", rows, time.Since(began).Round(time.Millisecond))
	began = time.Now()
	if output, code := r.commandWithin(within, "verify"); code != 0 {
		t.Errorf("poller verify: exit code %d\n%s", code, output)
	}
	r.Logf("and were compared within %s", time.Since(began).Round(time.Millisecond))
	trade.close()
	for _, result := range []string{"missing", "stale", "orphan"} {
		if n := r.counted(`freshet_audit_total{result="` + result + `"}`); n != 0 {
			t.Errorf("the audit found %.0f keys %s", n, result)
		}
	}
	r.Logf("the audit compared %.0f rows meanwhile", r.counted(`freshet_audit_total{result="match"}`))
	r.wantLittleMemory(r.poller)
	r.wantLittleMemory(r.fn)
}
