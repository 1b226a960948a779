package functions_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"freshet/functions"
	"freshet/shared/exchange"
)

// answered posts a body, wants a 200, and reads the answer.
func answered[T any](f *fn, path, body string) (got T) {
	f.Helper()
	status, text := f.call("POST", path, body)
	if err := json.Unmarshal([]byte(text), &got); err != nil || status != 200 {
		f.Fatalf("%s: %d %s", path, status, text)
	}
	return got
}

// compared posts a batch to be compared and wants this.
func (f *fn) compared(path, body string, want exchange.Comparison) {
	f.Helper()
	if diff := cmp.Diff(want, answered[exchange.Comparison](f, path, body)); diff != "" {
		f.Error(diff)
	}
}

func TestServer_Verify(t *testing.T) {
	f := start(t)
	f.open()
	rows := []string{message("read", `{"id":1}`), message("update", `{"id":2,"n":1.50}`), message("insert", `{"id":3}`), message("delete", `{"id":4}`), message("delete", `{"id":5}`)}
	f.compared("/v1/verify", fenced("s1", 0, rows...), exchange.Comparison{Missing: 3, Match: 2, Differences: []exchange.Difference{
		{Message: 0, Kind: exchange.Missing, Key: "sequin:products:1"}, {Message: 1, Kind: exchange.Missing, Key: "sequin:products:2"}, {Message: 2, Kind: exchange.Missing, Key: "sequin:products:3"},
	}})
	f.settled("/v1/batches", fenced("s1", 1, rows...), exchange.Receipt{Written: 3, Deleted: 2})
	f.compared("/v1/verify", fenced("s1", 1, rows...), exchange.Comparison{Match: 5})
	f.redis.Do("SET", "sequin:products:2", `{"id":2,"n":1.5}`)
	f.redis.Do("DEL", "sequin:products:3")
	f.redis.Do("SET", "sequin:products:5", "")
	want := exchange.Comparison{Match: 2, Stale: 1, Missing: 1, Orphan: 1, Differences: []exchange.Difference{
		{Message: 1, Kind: exchange.Stale, Key: "sequin:products:2"}, {Message: 2, Kind: exchange.Missing, Key: "sequin:products:3"}, {Message: 4, Kind: exchange.Orphan, Key: "sequin:products:5"},
	}}
	f.compared("/v1/verify", fenced("s1", 1, rows...), want)
	f.compared("/v1/verify?fence=off", fenced("s0", 9, rows...), want)
	f.compared("/v1/verify", batch(rows...), want)
	// The last message about a key is the one that counts, and a message that can have no key counts for none.
	f.compared("/v1/verify", batch(message("delete", `{"id":1}`), message("read", `{"id":null}`), message("read", `{"id":1}`), message("read", `{"id":5}`), message("read", `{"id":5,"n":1}`)),
		exchange.Comparison{Match: 1, Stale: 1, Poison: 1, Differences: []exchange.Difference{{Message: 4, Kind: exchange.Stale, Key: "sequin:products:5"}}})
	f.compared("/v1/verify", batch(), exchange.Comparison{})

	f.refused("POST", "/v1/verify", fenced("s1", 0, rows...), 409, "lost", "is not the last of its lane")
	f.refused("POST", "/v1/verify", fenced("s1", 2, rows...), 409, "lost", "is not the last of its lane")
	f.refused("POST", "/v1/verify", fenced("s0", 1, rows...), 409, "fenced", "another session")
	f.redis.Do("FLUSHDB")
	f.refused("POST", "/v1/verify", fenced("s1", 1, rows...), 409, "lost", "is not there")

	f.refused("POST", "/v1/verify", "{", 400, "", "not valid JSON")
	f.refused("POST", "/v1/verify", fenced("", 1), 400, "", "session")
	f.refused("POST", "/v1/verify", batch(rows[0], `{"action":"truncate","record":null,"metadata":{"table_name":"products","primary_key":["id"]}}`), 400, "", "message 1 is one")
	if left := f.redis.Do("DBSIZE"); left != int64(0) {
		t.Errorf("it wrote %v keys", left)
	}
	_, text := f.call("GET", "/metrics", "")
	for _, want := range []string{`{result="match"} 14`, `{result="missing"} 6`, `{result="stale"} 4`, `{result="orphan"} 3`, `{result="absent"} 0`, `{result="poison"} 1`} {
		if !strings.Contains(text, "freshet_fn_compared_total"+want+"\n") {
			t.Errorf("no line %s in %s", want, text[strings.Index(text, "freshet_fn_compared_total{"):][:300])
		}
	}
}

func TestServer_VerifyKeysThatExpire(t *testing.T) {
	f := start(t, func(c *functions.Config) { c.ExpireMS = "3600000"; c.MaxBody = 1 << 24 })
	f.compared("/v1/verify", batch(message("read", `{"id":1}`)), exchange.Comparison{Absent: 1})
	xx := start(t, func(c *functions.Config) { c.Write = "xx" })
	xx.redis.Do("SET", "sequin:products:2", "old")
	xx.compared("/v1/verify", batch(message("read", `{"id":1}`), message("read", `{"id":2}`)), exchange.Comparison{Absent: 1, Stale: 1, Differences: []exchange.Difference{{Message: 1, Kind: exchange.Stale, Key: "sequin:products:2"}}})
	f.refused("POST", "/v1/verify", batch(slices.Repeat([]string{message("read", `{"id":1}`)}, exchange.MostVerified+1)...), 400, "", "10001 messages")
}

// What the rules do not follow is not compared: a key that stays after its row because deletes are not followed is no orphan.
func TestServer_VerifyOnlyWhatIsFollowed(t *testing.T) {
	f := start(t, func(c *functions.Config) { c.Actions = []string{"insert", "update"} })
	f.redis.Do("SET", "sequin:products:1", "x")
	f.compared("/v1/verify", batch(message("delete", `{"id":1}`)), exchange.Comparison{})
}

const (
	products = `{"table_schema":"public","table_name":"products","primary_key":["id"]}`
	orders   = `{"table_schema":"public","table_name":"orders","primary_key":["id"]}`
)

// scanAll scans to the end and spells what it found as "table primary key", or "table key?" for keys that no row can have.
func (f *fn) scanAll(tables ...string) (found []string) {
	f.Helper()
	for cursor := ""; ; {
		r := answered[exchange.ScanResponse](f, "/v1/scan", fmt.Sprintf(`{"session":"s1","tables":[%s],"cursor":%q,"count":3}`, strings.Join(tables, ","), cursor))
		if r.Rules == "" {
			f.Error("the answer names no rules")
		}
		for _, k := range r.Keys {
			for _, text := range k.PrimaryKeys {
				found = append(found, k.Table+" "+text)
			}
			for _, key := range k.Strange {
				found = append(found, fmt.Sprintf("%s %q?", k.Table, key))
			}
		}
		if cursor = r.Cursor; cursor == "" {
			slices.Sort(found)
			return slices.Compact(found)
		}
	}
}

func TestServer_Scan(t *testing.T) {
	f := start(t, func(c *functions.Config) { c.Key = "k*:{table_name}:{primary_key}:row" })
	f.open()
	for _, key := range []string{"k*:products:1:row", "k*:products:a-b:row", "k*:products:1", "k*:products::row", "k*:products:\xff:row", "k*:orders:1:row", "kx:products:1:row", "other"} {
		f.redis.Do("SET", key, "x")
	}
	want := []string{`public.products "k*:products:1"?`, `public.products "k*:products::row"?`, `public.products "k*:products:\xff:row"?`, "public.products 1", "public.products a-b"}
	if diff := cmp.Diff(want, f.scanAll(products)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(append([]string{"public.orders 1"}, want...), f.scanAll(products, orders)); diff != "" {
		t.Error(diff)
	}
	ask := func(session, tables string, count int) string {
		return fmt.Sprintf(`{"session":%q,"tables":[%s],"count":%d}`, session, tables, count)
	}
	const form = `"keys":[{"table":"public.orders","around":["k*:orders:",":row"],"primary_keys":["1"]}],`
	if status, text := f.call("POST", "/v1/scan", ask("s1", orders, 100)); status != 200 || !strings.Contains(text, form) {
		t.Errorf("%d %s, want %s", status, text, form)
	}
	f.refused("POST", "/v1/scan", ask("s0", products, 10), 409, "fenced", "another session")
	f.refused("POST", "/v1/scan", ask("s1", "", 10), 400, "", "tables")
	f.refused("POST", "/v1/scan", ask("s1", products, 0), 400, "", "1 to 10000")
	f.refused("POST", "/v1/scan", ask("s1", products, 10_001), 400, "", "1 to 10000")
	f.refused("POST", "/v1/scan", `{"sink":"*"}`, 400, "", "name of a sink")
	f.refused("POST", "/v1/scan", "[]", 400, "", "scans nothing")
	f.refused("POST", "/v1/scan", ask("s1", products+","+strings.Replace(products, "public", "shop", 1), 10), 422, "", "FN_KEY")
	f.redis.Do("FLUSHDB")
	f.refused("POST", "/v1/scan", ask("s1", products, 10), 409, "lost", "is not there")
	if got := answered[exchange.ScanResponse](f, "/v1/scan", ask("", products, 10)); len(got.Keys) > 0 || got.Cursor != "" {
		t.Errorf("without a session: got %+v", got)
	}
}

func TestServer_Sweep(t *testing.T) {
	f := start(t, func(c *functions.Config) { c.Key = "k:{table_name}:{primary_key}:row" })
	f.open()
	rules := answered[exchange.ScanResponse](f, "/v1/scan", `{"tables":[`+products+`],"count":1}`).Rules
	ask := func(session, rules string, keys ...string) string {
		for i, key := range keys {
			keys[i] = `"` + base64.StdEncoding.EncodeToString([]byte(key)) + `"`
		}
		return fmt.Sprintf(`{"session":%q,"rules":%q,"table":%s,"keys":[%s]}`, session, rules, products, strings.Join(keys, ","))
	}
	// Another table's key, a stranger's, and the state: not even a mistaken poller removes these.
	stay := []string{"k:orders:1", "other", "freshet:freshet:state"}
	gone := []string{"k:products:007:row", "k:products:1", "k:products:\xff\x00:row", "k:products:"}
	for _, key := range slices.Concat(stay[:2], gone) {
		f.redis.Do("SET", key, "x")
	}
	all := func() []string { return slices.Concat(stay, gone, []string{"k:products:none"}) }
	f.refused("POST", "/v1/sweep", ask("s0", rules, all()...), 409, "fenced", "another session")
	f.refused("POST", "/v1/sweep", ask("s1", "others", all()...), 409, "rules", "rules have changed")
	f.refused("POST", "/v1/sweep", ask("", rules, all()...), 400, "", "session")
	f.refused("POST", "/v1/sweep", ask("s1", rules, slices.Repeat([]string{"k:products:1"}, exchange.MostVerified+1)...), 400, "", "10001 keys")
	f.refused("POST", "/v1/sweep", `{"keys":["%"]}`, 400, "", "sweeps nothing")
	if n := f.redis.Do("DBSIZE"); n != int64(len(stay)+len(gone)) {
		t.Errorf("a request that was refused removed keys: %v are left", n)
	}
	if got := answered[exchange.SweepResponse](f, "/v1/sweep", ask("s1", rules, all()...)); got.Deleted != len(gone) {
		t.Errorf("deleted %d, want %d", got.Deleted, len(gone))
	}
	for _, key := range stay {
		if f.redis.Do("EXISTS", key) != int64(1) {
			t.Errorf("%s is gone", key)
		}
	}
	if n := f.redis.Do("DBSIZE"); n != int64(len(stay)) {
		t.Errorf("%v keys are left, want %d", n, len(stay))
	}
	f.redis.Do("FLUSHDB")
	f.refused("POST", "/v1/sweep", ask("s1", rules, all()...), 409, "lost", "is not there")
}

func TestServer_FenceTellsOfBackfills(t *testing.T) {
	f := start(t)
	f.open()
	for i, state := range []string{"clear", "pending", "running", "sweeping", "done", "cancelled", "off"} {
		f.settled("/", strings.Replace(fenced("s1", i+1), `"seal"`, fmt.Sprintf(`"backfills":{"public.products":{"state":%q,"cause":"asked","sweep":true}},"seal"`, state), 1), exchange.Receipt{})
	}
}
