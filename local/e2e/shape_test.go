package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// catalogue has products that are known by a number and by a name of their own.
const catalogue = `
CREATE TABLE products (id int PRIMARY KEY, sku text UNIQUE, name text NOT NULL, price numeric NOT NULL, stock int NOT NULL, live bool NOT NULL DEFAULT true, notes text);
ALTER TABLE products REPLICA IDENTITY FULL;
INSERT INTO products SELECT n, CASE WHEN n % 5 > 0 THEN 'S-' || n END, 'Mug ' || n, n + 0.50, n, n % 3 > 0, repeat('x', 3000) FROM generate_series(1, 60) n;`

// twoKeys are rules with two keys a row, one of them of a column that may change, and a filter.
const twoKeys = `[
	{"table": "products", "key": "product:id:{primary_key}", "filter": [{"path": "record.live", "op": "=", "value": true}, {"path": "record.price", "op": ">=", "value": 3.5}],
	 "value": {"name": "record.name", "money.price": "record.price", "money.stock": "record.stock"}},
	{"table": "products", "key": "product:sku:{record.sku}", "filter": [{"path": "record.sku", "op": "not_null"}], "value": "record.id"}]`

const underTwoKeys = `
SELECT 'product:id:' || id, '{"name":' || to_json(name) || ',"money":{"price":' || price || ',"stock":' || stock || '}}' FROM products WHERE live AND price >= 3.5
UNION ALL SELECT 'product:sku:' || sku, id::text FROM products WHERE sku IS NOT NULL`

// Keys follow the columns that they are made of, and rows that leave the filter, however the rows change, also while they are read for the first time
// and across a restart.
func TestKeysOfColumns(t *testing.T) {
	t.Parallel()
	r := newRig(t, "products", catalogue)
	r.fnExtra["FN_RULES"] = twoKeys
	r.start()
	for _, sql := range []string{
		`UPDATE products SET sku = 'new-' || id WHERE id % 7 = 0`,
		`UPDATE products SET sku = NULL, price = price - 10 WHERE id % 11 = 0`,
		`BEGIN; UPDATE products SET sku = 'tmp' WHERE id = 1; UPDATE products SET sku = 'S-1' WHERE id = 2; UPDATE products SET sku = 'S-2' WHERE id = 1; COMMIT`,
		`UPDATE products SET id = id + 1000 WHERE id BETWEEN 30 AND 40`,
		`UPDATE products SET id = id - 900, sku = 'moved-' || id, name = 'moved' WHERE id > 1000`,
		`BEGIN; DELETE FROM products WHERE id = 3; INSERT INTO products VALUES (3, 'S-4x', 'third', 99, 1); UPDATE products SET sku = 'S-3' WHERE id = 4; COMMIT`,
		`UPDATE products SET live = NOT live WHERE id < 20`,
		`UPDATE products SET stock = stock + 1`,
		`DELETE FROM products WHERE id % 13 = 0`,
	} {
		r.exec(sql)
	}
	r.wantExactly(patience, underTwoKeys)
	r.stop(r.poller)
	r.exec(`UPDATE products SET sku = 'later-' || id WHERE id % 4 = 0; UPDATE products SET live = false WHERE id % 6 = 0`)
	r.launchPoller()
	r.wantExactly(patience, underTwoKeys)
	r.exec(`BEGIN; TRUNCATE products; INSERT INTO products VALUES (1, 'only', 'one', 5, 1); COMMIT`)
	r.wantExactly(patience, underTwoKeys)
}

// A key that Postgres would not tell of deleted rows is refused at the start, and so is a column that is not there.
func TestRulesThatCannotWork(t *testing.T) {
	t.Parallel()
	r := newRig(t, "products", catalogue+`ALTER TABLE products REPLICA IDENTITY DEFAULT;`)
	r.fnExtra["FN_RULES"] = `[{"table": "products", "key": "product:{record.sku}", "filter": [{"path": "record.prize", "op": ">", "value": 1}]}]`
	r.launchFn()
	for _, args := range [][]string{{"check"}, nil} {
		output, code := runOnce(t, binaries(t).Poller, r.pollerEnv(), args...)
		if code == 0 {
			t.Error("exit code 0")
		}
		wantReport(t, output, code, code, "REPLICA IDENTITY FULL", "did you mean price?")
	}
}

// The replica identity is taken back while the poller runs: the keys could not be followed any more, so it waits and says why.
func TestReplicaIdentityTakenBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, "products", catalogue)
	r.fnExtra["FN_RULES"] = twoKeys
	r.start()
	r.wantExactly(patience, underTwoKeys)
	r.exec(`ALTER TABLE products REPLICA IDENTITY DEFAULT`)
	eventually(t, patience, func() error {
		if !strings.Contains(r.poller.Log(), "REPLICA IDENTITY FULL") {
			return errNotYet
		}
		return nil
	})
	r.stop(r.poller)
	r.exec(`ALTER TABLE products REPLICA IDENTITY FULL; UPDATE products SET sku = 'again-' || id WHERE id % 2 = 0; DELETE FROM products WHERE id = 1`)
	r.launchPoller()
	r.wantExactly(patience, underTwoKeys)
}

// With xx and an expiry, only keys that the application has put there are written.
func TestRefreshOnlyWhatIsCached(t *testing.T) {
	t.Parallel()
	r := newRig(t, "products", catalogue)
	r.fnExtra["FN_WRITE"], r.fnExtra["FN_VALUE"] = "xx", "record.stock"
	r.put("sequin:products:1", "cached")
	r.put("sequin:products:2", "cached")
	r.start()
	r.exec(`UPDATE products SET stock = 100 + id; DELETE FROM products WHERE id = 2`)
	r.wantExactly(patience, `SELECT 'sequin:products:1', '101'`)
}

// The example in another language mirrors what it is to mirror.
func TestAnotherLanguage(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3 here")
	}
	r := newRig(t, "products", `
		CREATE TABLE products (id int PRIMARY KEY, sku text NOT NULL UNIQUE, name text NOT NULL);
		ALTER TABLE products REPLICA IDENTITY FULL;
		INSERT INTO products SELECT n, 'S' || n, 'Mug ' || n FROM generate_series(1, 500) n`)
	script, err := filepath.Abs("../../functions/examples/cache.py")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(script); err != nil {
		t.Fatal(err)
	}
	r.fn = launch(t, "cache.py", python, r.fnEnv(), script)
	r.pollExtra["POLLER_FENCE"], r.pollExtra["POLLER_LANES"] = "off", "1"
	r.launchPoller()
	const rows = `SELECT 'product:' || sku, name FROM products`
	r.wantExactly(patience, rows)
	r.exec(`UPDATE products SET name = 'Cup ☕' WHERE id < 100; UPDATE products SET sku = 'T' || id WHERE id % 9 = 0; DELETE FROM products WHERE id % 10 = 0; INSERT INTO products VALUES (0, 'new', 'Jug')`)
	r.wantExactly(patience, rows)
	r.kill(r.fn)
	r.exec(`UPDATE products SET name = 'while it was away' WHERE id > 400`)
	r.fn = launch(t, "cache.py", python, r.fnEnv(), script)
	r.wantExactly(patience, rows)
}
