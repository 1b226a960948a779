package e2e_test

import "testing"

// Two keys a row, of which one has an expiry and a filter, of a table of which the source leaves rows out: what the rules make of the rows is
// compared, and keys without rows are found under the rule whose keys lead back to them.
func TestVerifyOfShapedKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t, "things WHERE (price > 5)", `CREATE TABLE things (id int PRIMARY KEY, sku text NOT NULL, status text, price int NOT NULL);
		ALTER TABLE things REPLICA IDENTITY FULL;
		INSERT INTO things SELECT n, 's-' || n, CASE WHEN n % 3 = 0 THEN 'gone' ELSE 'live' END, n FROM generate_series(1, 300) n`)
	if r.text("current_setting('server_version_num')::int >= 150000") != "true" {
		t.Skip("publications have row filters from Postgres 15 on")
	}
	r.pollExtra["POLLER_AUDIT_RATE"] = "0"
	r.fnExtra["FN_RULES"] = `[{"table":"things","key":"thing:id:{primary_key}","value":{"sku":"record.sku","cost":"record.price"}},
		{"table":"things","key":"thing:sku:{record.sku}","value":"record.id","filter":[{"path":"record.status","op":"=","value":"live"}]}]`
	r.start()
	want := []string{
		`SELECT 'thing:id:' || id, '{"sku":"' || sku || '","cost":' || price || '}' FROM things WHERE price > 5`,
		`SELECT 'thing:sku:' || sku, id::text FROM things WHERE price > 5 AND status = 'live'`,
	}
	r.wantExactly(patience, want...)
	r.wantVerdict(0, nil, "equal", "not looked for under all rules")

	ctx := t.Context()
	r.redis.Del(ctx, "thing:id:7", "thing:sku:s-8")
	r.redis.Set(ctx, "thing:id:10", "old", 0)
	r.redis.Set(ctx, "thing:sku:s-9", "9", 0)     // its row does not meet the filter
	r.redis.Set(ctx, "thing:id:3", "nobody's", 0) // the source leaves the row out
	r.redis.Set(ctx, "thing:id:999", "nobody's", 0)
	r.redis.Set(ctx, "thing:id:x", "nobody's", 0)
	r.wantVerdict(1, nil, "missing", "stale", "orphan", "7 keys differ")
	r.wantVerdict(0, []string{"--repair"}, "equal")
	r.wantExactly(patience, want...)
}
