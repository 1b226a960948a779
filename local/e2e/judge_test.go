package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"freshet/local/e2e"
)

// mirrored makes a rig whose Redis holds what it should, put there by this test itself.
func mirrored(t *testing.T, rows int) *rig {
	t.Helper()
	r := newRig(t, "", `CREATE TABLE item (id int PRIMARY KEY, note text);
		CREATE TABLE pair (a int, b text, c bool, PRIMARY KEY (c, a, b));
		INSERT INTO pair VALUES (1, 'x*y', true), (2, 'é', false);`)
	r.exec(`INSERT INTO item SELECT n, 'note ' || n FROM generate_series(1, $1) n`, rows)
	list, err := r.db.Query(t.Context(), `SELECT 'sequin:item:' || id, to_json(i)::text FROM item i
		UNION ALL SELECT format('sequin:pair:%s-%s-%s', c::text, a, b), to_json(p)::text FROM pair p`)
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	for list.Next() {
		var key, value string
		if err := list.Scan(&key, &value); err != nil {
			t.Fatal(err)
		}
		r.put(key, value)
	}
	return r
}

func (r *rig) put(key, value string) {
	r.Helper()
	if err := r.redis.Set(r.Context(), key, value, 0).Err(); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) remove(key string) {
	r.Helper()
	if n, err := r.redis.Del(r.Context(), key).Result(); n != 1 || err != nil {
		r.Fatalf("DEL %s: %d, %v", key, n, err)
	}
}

func (r *rig) compare(tables ...string) e2e.Verdict {
	r.Helper()
	verdict, err := r.judge(tables...).Compare(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	return verdict
}

func wantVerdict(t *testing.T, v e2e.Verdict, missing, stale, orphans int) {
	t.Helper()
	if v.Missing != missing || v.Stale != stale || v.Orphans != orphans {
		t.Fatalf("got %s\nwant %d missing, %d different, %d without a row", v, missing, stale, orphans)
	}
}

func TestJudge_SeesEveryKindOfDifference(t *testing.T) {
	t.Parallel()
	r := mirrored(t, 2500) // more than two chunks
	r.put("sequin:items:1", "another table")
	r.put("sequin:item", "no key of the table")
	v := r.compare("item", "pair")
	wantVerdict(t, v, 0, 0, 0)
	if v.Rows != 2502 {
		t.Fatalf("%d rows looked at, want 2502", v.Rows)
	}

	r.remove("sequin:item:2500")
	wantVerdict(t, r.compare("item", "pair"), 1, 0, 0)
	r.put("sequin:item:1", `{"id":1,"note":"note 1" }`)
	wantVerdict(t, r.compare("item", "pair"), 1, 1, 0)
	r.put("sequin:item:2501", `{"id":2501,"note":"note 2501"}`)
	r.put("sequin:pair:true-1-x", `{}`)
	v = r.compare("item", "pair")
	wantVerdict(t, v, 1, 1, 2)
	for _, quoted := range []string{
		"sequin:item:2500 missing", "sequin:item:1 different", `redis {"id":1,"note":"note 1" }`,
		"sequin:item:2501 without a row", "sequin:pair:true-1-x without a row",
	} {
		if !strings.Contains(v.String(), quoted) {
			t.Errorf("the verdict does not say %q:\n%s", quoted, v)
		}
	}
}

func TestJudge_KeyOfAnotherTypeIsNoValue(t *testing.T) {
	t.Parallel()
	r := mirrored(t, 3)
	r.remove("sequin:item:2")
	r.redis.RPush(t.Context(), "sequin:item:2", `{"id":2,"note":"note 2"}`)
	r.redis.HSet(t.Context(), "sequin:item:9", "a", "b")
	wantVerdict(t, r.compare("item"), 1, 0, 1)
}

func TestJudge_AwaitsWhatComesLate(t *testing.T) {
	t.Parallel()
	r := mirrored(t, 1200)
	r.exec("UPDATE item SET note = 'newer' WHERE id = 700")
	time.AfterFunc(300*time.Millisecond, func() {
		r.redis.Set(context.Background(), "sequin:item:700", `{"id":700,"note":"newer"}`, 0)
	})
	v, err := r.judge("item", "pair").Await(t.Context(), patience)
	if err != nil {
		t.Fatal(err)
	}
	wantVerdict(t, v, 0, 0, 0)
}

func TestJudge_LosesPatience(t *testing.T) {
	t.Parallel()
	r := mirrored(t, 100)
	r.exec("UPDATE item SET note = 'newer' WHERE id <= 50")
	v, err := r.judge("item").Await(t.Context(), 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	wantVerdict(t, v, 0, 50, 0) // all of them, although waiting looks at a few only
}

func TestJudge_QuotesWhereLongValuesDiffer(t *testing.T) {
	long := strings.Repeat("a", 5000)
	v := e2e.Verdict{Stale: 1, First: []e2e.Difference{{Kind: "different", Key: "k", Row: long + "RIGHT" + long, Value: long + "WRONG" + long}}}
	text := v.String()
	if !strings.Contains(text, "RIGHT") || !strings.Contains(text, "WRONG") || len(text) > 1500 {
		t.Fatalf("the verdict has %d bytes: %s", len(text), text)
	}
}

func TestWatcher_SeesStepsBackwards(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "")
	w := r.watch(&e2e.Watcher{Redis: r.redis, Keys: []string{"a", "b", "c"}, Column: "v"})
	r.put("a", `{"v":1}`)
	r.put("b", `{"v":9007199254740993}`)
	w.looks()
	r.put("a", `{"v":2}`)
	r.put("b", `{"v":9007199254740992}`) // one less, which a float64 would not see
	w.looks()
	r.remove("a")
	w.looks()
	seen := w.end()
	if seen.Steps != 1 || len(seen.Backwards) != 2 {
		t.Fatalf("got %d steps and %v, want 1 and two steps back", seen.Steps, seen.Backwards)
	}
	if got := fmt.Sprint(seen.Backwards); !strings.Contains(got, "b went from 9007199254740993 to 9007199254740992") ||
		!strings.Contains(got, "a went from 2 to nothing") {
		t.Fatalf("got %s", got)
	}
}
