package e2e_test

import (
	"fmt"
	"strings"
	"testing"
)

// The function is deployed with other rules while the poller runs, which is told nothing: all keys and values follow, and no key of the old
// rules stays.
func TestRulesChangeWhileThePollerRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	r := newShop(t)
	r.exec("SET TimeZone = 'UTC'")
	r.stock(2000, 500)
	r.start()
	r.wantEqual(patience, "products", "orders")
	deploy := func(settings map[string]string) {
		r.stop(r.fn)
		r.fnExtra = settings
		r.launchFn()
	}
	deploy(map[string]string{"FN_KEY": "cache:{table_schema}:{table_name}:{primary_key}"})
	r.wantExactly(patience, "SELECT 'cache:public:products:' || id, to_json(p)::text FROM products p",
		"SELECT 'cache:public:orders:' || product_id || '-' || customer_id, to_json(o)::text FROM orders o")
	deploy(map[string]string{"FN_KEY": "cache:{table_schema}:{table_name}:{primary_key}:v2"}) // under the prefix of before
	r.wantExactly(patience, "SELECT 'cache:public:products:' || id || ':v2', to_json(p)::text FROM products p",
		"SELECT 'cache:public:orders:' || product_id || '-' || customer_id || ':v2', to_json(o)::text FROM orders o")
	deploy(map[string]string{"FN_VALUE": "record.{id,quantity}"})
	trade := r.busy(2, 2000)
	trade.wantDeals(200)
	trade.close()
	eventually(t, patience, func() error {
		if n := r.counted(`freshet_repairs_total{cause="rules",done="yes"}`); n < 3 {
			return fmt.Errorf("%.0f repairs for changed rules", n)
		}
		return nil
	})
	r.wantExactly(patience, `SELECT 'sequin:products:' || id, '{"id":' || id || '}' FROM products`,
		`SELECT 'sequin:orders:' || product_id || '-' || customer_id, '{"quantity":' || quantity || '}' FROM orders`)
	if said := strings.Count(r.poller.Log(), "the function's rules have changed"); said == 0 {
		t.Error("the poller does not say that the rules have changed")
	}
}

// Who does not want that is told, and nothing is done.
func TestRulesChangeAndNothingIsToBeDone(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	r.pollExtra["POLLER_REPAIR"] = "none"
	r.stock(500, 0)
	r.start()
	r.wantEqual(patience, "products", "orders")
	rows := r.counted("freshet_backfill_rows_total")
	r.stop(r.fn)
	r.fnExtra["FN_VALUE"] = "record.{id}"
	r.launchFn()
	eventually(t, patience, func() error {
		if n := r.counted(`freshet_repairs_total{cause="rules",done="no"}`); n < 1 {
			return fmt.Errorf("%.0f reports of changed rules", n)
		}
		return nil
	})
	r.exec("UPDATE products SET inventory_count = 1 WHERE id = 7")
	eventually(t, patience, func() error {
		if got, _ := r.get("sequin:products:7"); got != `{"id":7}` {
			return fmt.Errorf("the row that was touched is %s", got)
		}
		return nil
	})
	if got, _ := r.get("sequin:products:8"); !strings.Contains(got, "name") {
		t.Errorf("a row that nobody touched is %s", got)
	}
	if now := r.counted("freshet_backfill_rows_total"); now != rows {
		t.Errorf("%.0f rows were read, and nobody asked for it", now-rows)
	}
	if !strings.Contains(r.poller.Log(), "POLLER_REPAIR does not have rules") {
		t.Errorf("the poller does not say what to do:\n%s", r.poller.Log())
	}
	r.wantCommand("backfill", "--all")
	r.wantExactly(patience, `SELECT 'sequin:products:' || id, '{"id":' || id || '}' FROM products`)
}
