package e2e_test

import (
	"fmt"
	"strings"
	"testing"
)

// wantVerdict runs poller verify and wants its exit code and these words.
func (r *rig) wantVerdict(code int, args []string, says ...string) {
	r.Helper()
	output, got := r.command(append([]string{"verify"}, args...)...)
	if got != code {
		r.Errorf("poller verify %s: exit code %d, want %d", strings.Join(args, " "), got, code)
	}
	for _, part := range says {
		if !strings.Contains(output, part) {
			r.Errorf("it does not say %q", part)
		}
	}
	if r.Failed() {
		r.Fatalf("poller verify says:\n%s", output)
	}
}

func TestVerifyFindsAndRepairs(t *testing.T) {
	t.Parallel()
	r := newRig(t, strings.Join(kindTables, ","), kinds)
	r.pollExtra["POLLER_AUDIT_RATE"] = "0"
	r.start()
	r.wantEqual(patience, kindTables...)
	r.wantVerdict(0, nil, "equal")

	ctx := t.Context()
	r.redis.Del(ctx, "sequin:negatives:-300", "sequin:negatives:0")                          // missing
	r.redis.Set(ctx, "sequin:negatives:5", `{"id":5,"v":"old"}`, 0)                          // stale
	r.redis.Del(ctx, "sequin:moods:sad")                                                     // of another type altogether
	r.redis.HSet(ctx, "sequin:moods:sad", "a", "b")                                          //
	orphans := []string{"sequin:negatives:1000", "sequin:negatives:-301", "sequin:words:zz", // of rows that could be
		"sequin:moments:2020-01-01T00:00:00+00:00", "sequin:pairs:1-w1-00000000-0000-0000-0000-000000000000",
		"sequin:uuids:00000000-0000-0000-0000-000000000000", "sequin:nothing:7", "sequin:numbers:77"}
	aliens := []string{"sequin:negatives:007", "sequin:negatives:x", "sequin:negatives:", "sequin:negatives:99999999999999999", // that no row can have
		"sequin:moods:angry", "sequin:yes:perhaps", "sequin:moments:yesterday", "sequin:moments:2020-01-01 00:00:00+00", "sequin:numbers:1e3", "sequin:pairs:1", "sequin:nothing:\xff\xfe", "sequin:nothing:*"}
	for _, key := range append(orphans, aliens...) {
		r.redis.Set(ctx, key, "nobody's", 0)
	}
	r.redis.Set(ctx, "other:1", "not ours", 0)
	wrong := 2 + 1 + 1 + len(orphans) + len(aliens)
	r.wantVerdict(1, nil, "missing", "stale", "orphan", "sequin:negatives:0", "sequin:moods:sad", fmt.Sprintf("%d keys differ", wrong))
	if n := r.redis.Exists(ctx, orphans...).Val(); int(n) != len(orphans) {
		t.Errorf("%d of %d keys without rows are there after a comparison that only looks", n, len(orphans))
	}
	r.wantVerdict(0, []string{"--repair"}, "repaired", "equal")
	r.wantNow(kindTables...)
	if n := r.redis.Exists(ctx, append(orphans, aliens...)...).Val(); n != 0 {
		t.Errorf("%d keys without rows are there after the repair", n)
	}
	if _, there := r.get("other:1"); !there {
		t.Error("a key of somebody else is gone")
	}
	r.wantVerdict(0, []string{"negatives", "pairs"}, "equal")
}

// Lag is no difference: while customers trade, and while the function is slow, a comparison finds nothing; and a repair puts right just what
// is wrong.
func TestVerifyUnderFire(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	f := onFire(t, map[string]string{"POLLER_AUDIT_RATE": "0"})
	c := f.c
	for range 4 {
		c.wantVerdict(0, nil, "equal")
	}
	for n := range 20 {
		c.redis.Set(t.Context(), fmt.Sprintf("sequin:products:%d", 900_000+n), "nobody's", 0)
		c.redis.Del(t.Context(), fmt.Sprintf("sequin:orders:%d-%d", n+2, n+1))
	}
	c.wantVerdict(1, nil, "missing", "orphan")
	c.wantVerdict(0, []string{"--repair"}, "equal")
	c.wantVerdict(0, nil, "equal")
	f.wantUnharmed()
}

// A share of one in two finds about half of what is wrong.
func TestVerifyOfASample(t *testing.T) {
	t.Parallel()
	r := newShop(t)
	r.pollExtra["POLLER_AUDIT_RATE"] = "0"
	r.stock(4000, 100)
	r.start()
	r.wantEqual(patience, "products", "orders")
	r.wantVerdict(0, []string{"--sample", "10%"}, "equal")
	// A scan may bring a key twice when Redis has just made room for more of them.
	if output, _ := r.command("verify", "products", "--json"); numberAfter(output, `"keys":`) < 4000 || numberAfter(output, `"keys":`) > 8000 {
		t.Errorf("the keys of 4000 rows were not looked at:\n%s", output)
	}
	for n := 1; n <= 4000; n++ {
		r.redis.Del(t.Context(), fmt.Sprintf("sequin:products:%d", n))
		r.redis.Set(t.Context(), fmt.Sprintf("sequin:products:%d", 1_000_000+n), "nobody's", 0)
	}
	output, code := r.command("verify", "products", "--sample", "50%", "--json")
	var missing, orphans int
	if m := numberAfter(output, `"missing":`); code != 1 || m == 0 {
		t.Fatalf("exit code %d\n%s", code, output)
	} else {
		missing, orphans = m, numberAfter(output, `"orphan":`)
	}
	if missing < 1600 || missing > 2400 || orphans < 1600 || orphans > 2400 {
		t.Errorf("%d missing and %d orphans were found in half of 4000 each", missing, orphans)
	}
}

// numberAfter reads the number behind a word.
func numberAfter(text, word string) (n int) {
	_, rest, _ := strings.Cut(text, word)
	_, _ = fmt.Sscan(strings.TrimLeft(rest, " "), &n)
	return n
}

// A comparison goes on when the poller loses its connection, and when the function is away for a moment.
func TestVerifyOutlivesInterruptions(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	r := newShop(t)
	r.pollExtra["POLLER_AUDIT_RATE"] = "0"
	r.pollExtra["POLLER_BACKFILL_PAGE_BYTES"], r.pollExtra["POLLER_BACKFILL_PAGES"] = "5000", "1"
	r.stock(40_000, 100)
	r.start()
	r.wantEqual(patience, "products", "orders")
	r.redis.Del(t.Context(), "sequin:products:1", "sequin:products:40000")
	result := make(chan string, 1)
	go func() {
		output, code := r.command("verify")
		result <- fmt.Sprintf("%d %s", code, output)
	}()
	for range 3 {
		r.kill(r.fn)
		r.launchFn()
		r.text("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active", r.name)
		eventually(t, patience, func() error {
			if r.walsender() == "" {
				return errNotYet
			}
			return nil
		})
	}
	if got := <-result; !strings.HasPrefix(got, "1 ") || !strings.Contains(got, "2 keys differ") {
		t.Errorf("got %s", got)
	}
}

// Whatever happens to Redis behind everybody's back, the standing audit finds it, puts it right, and says so.
func TestAuditFindsAndRepairs(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	r := newShop(t)
	r.pollExtra["POLLER_AUDIT_RATE"] = "5000"
	r.stock(3000, 500)
	r.start()
	r.wantEqual(patience, "products", "orders")
	trade := r.busy(2, 3000)
	eventually(t, patience, func() error {
		if n := r.counted(`freshet_audit_total{result="match"}`); n < 10_000 {
			return fmt.Errorf("%.0f matches", n)
		}
		return nil
	})
	for _, result := range []string{"missing", "stale", "orphan"} {
		if n := r.counted(`freshet_audit_total{result="` + result + `"}`); n != 0 {
			t.Errorf("%.0f keys are %s, and nothing was damaged", n, result)
		}
	}
	trade.close()
	r.wantEqual(patience, "products", "orders")
	ctx := t.Context()
	r.exec("INSERT INTO products (id) SELECT generate_series(500001, 500300)")
	r.wantEqual(patience, "products", "orders")
	for n := 1; n <= 100; n++ {
		r.redis.Del(ctx, fmt.Sprintf("sequin:products:%d", 500_000+n))
		r.redis.Set(ctx, fmt.Sprintf("sequin:products:%d", 500_100+n), "damaged", 0)
		r.redis.Set(ctx, fmt.Sprintf("sequin:products:%d", 700_000+n), "nobody's", 0)
		r.redis.Set(ctx, fmt.Sprintf("sequin:products:x%d", n), "nobody's", 0)
	}
	r.wantEqual(2*patience, "products", "orders")
	eventually(t, patience, func() error {
		for result, want := range map[string]float64{"missing": 100, "stale": 100, "orphan": 200} {
			if n := r.counted(`freshet_audit_total{result="` + result + `"}`); n != want {
				return fmt.Errorf("%.0f are %s, want %.0f", n, result, want)
			}
		}
		if n := r.counted("freshet_audit_repaired_total"); n != 400 {
			return fmt.Errorf("%.0f were put right, want 400", n)
		}
		return nil
	})
}
