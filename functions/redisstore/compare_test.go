package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"freshet/functions/effect"
	"freshet/local/redistest"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// Redis is emptied while keys are read. Whenever that is, it is no difference that anybody would repair: the comparison is refused, or was over.
func TestStore_CompareWhileRedisIsEmptied(t *testing.T) {
	r := redistest.New(t)
	w := world(t, r)
	refused := 0
	for round := range 30 {
		session := fmt.Sprint("s", round)
		w.Open(w.Ask(session))
		b := new(effect.Batch)
		for i := range 5000 {
			b.Set(fmt.Appendf(nil, "k:%d", i), "x", 0)
		}
		b.Fence = w.Batch(session, 1).Fence
		w.Applied(b)
		type outcome struct {
			standings []effect.Standing
			err       error
		}
		ended := make(chan outcome)
		go func() {
			standings, err := w.Store.Compare(context.Background(), b)
			ended <- outcome{standings, err}
		}()
		time.Sleep(time.Duration(round) * 200 * time.Microsecond)
		w.Flush()
		got := <-ended
		var refusal *effect.Refusal
		switch {
		case errors.As(got.err, &refusal) && refusal.Reason == exchange.ReasonLost:
			refused++
		case got.err != nil:
			t.Fatal(got.err)
		case slices.ContainsFunc(got.standings, func(s effect.Standing) bool { return s != effect.Match }):
			t.Fatal("keys are said to be missing that Redis lost with the state")
		}
	}
	if refused == 0 {
		t.Error("Redis was never emptied in the middle: the test shows nothing")
	}
}

// A restarted Redis has its keys in another order, so a cursor of before would leave some out.
func TestStore_ScanGoesOnAfterARestart(t *testing.T) {
	r := redistest.New(t, "--appendonly", "yes", "--appendfsync", "always")
	w := world(t, r)
	w.Open(w.Ask("s1"))
	const n = 2000
	for i := range n {
		w.Set(fmt.Sprint("t:", i), "x")
	}
	ask := exchange.ScanRequest{Sink: "shop", Session: "s1", Count: 100}
	seen := map[string]bool{}
	for step := 0; ; step++ {
		keys, cursor, err := w.Store.Scan(context.Background(), ask, "t:")
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			seen[key] = true
		}
		if ask.Cursor = cursor; cursor == "" {
			break
		}
		if step == 10 {
			clear(seen) // only what comes from here on counts: it must be everything
			r.Server().Kill()
			if err := r.Server().Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			until(t, func() bool { return w.Store.Ready(context.Background()) == nil })
		}
	}
	if len(seen) != n {
		t.Errorf("after the restart: %d keys, want all %d", len(seen), n)
	}
}

func TestStore_ComparesWithFewRights(t *testing.T) {
	r := redistest.New(t, "--loglevel", "warning")
	w := world(t, r)
	w.Store = user(t, r, "enough", least...) // who may not ask for INFO
	w.Open(w.Ask("s1"))
	w.Applied(w.Batch("s1", 1, "sequin:a=1"))
	w.Compared(w.At("s1", 1, "sequin:a=1", "sequin:b=1", "sequin:c"), "match missing match")
	ctx := context.Background()
	ask := exchange.ScanRequest{Sink: "shop", Session: "s1", Count: 1}
	for {
		_, cursor, err := w.Store.Scan(ctx, ask, "sequin:")
		if err != nil {
			t.Fatal(err)
		}
		if ask.Cursor = cursor; cursor == "" {
			break
		}
	}
	if n, err := w.Store.Sweep(ctx, exchange.SweepRequest{Sink: "shop", Session: "s1"}, []string{"sequin:a"}); n != 1 || err != nil {
		t.Errorf("sweep: %d %v", n, err)
	}
	_, err := w.Store.Compare(ctx, w.At("s1", 1, "other:a=1"))
	wantTrouble(t, err, "may not do this")
	_, err = w.Store.Sweep(ctx, exchange.SweepRequest{Sink: "shop", Session: "s1"}, []string{"other:a"})
	wantTrouble(t, err, "may not do this")
}

func TestStore_CompareWithoutRedis(t *testing.T) {
	store := newStore(t, "redis://127.0.0.1:1")
	ctx := context.Background()
	b := new(effect.Batch)
	b.Set([]byte("a"), "1", 0)
	_, err := store.Compare(ctx, b)
	wantTrouble(t, err, "cannot reach Redis")
	_, _, err = store.Scan(ctx, exchange.ScanRequest{Count: 1}, "")
	wantTrouble(t, err, "cannot reach Redis")
	_, err = store.Sweep(ctx, exchange.SweepRequest{}, []string{"a"})
	wantTrouble(t, err, "cannot reach Redis")
}

// More keys of earlier rules than one request can remove: each attempt goes on where the last one ended, and the batch takes effect once.
func TestStore_ManyKeysUnderAnEarlierPrefix(t *testing.T) {
	r := redistest.New(t)
	w := world(t, r)
	plan := func(prefix string) exchange.Plan {
		return exchange.Plan{Rules: prefix, Tables: map[string]exchange.TablePlan{"public.t": {KeyPrefix: prefix}}}
	}
	w.OpenWith(w.Ask("s1"), plan("t*:"))
	fill(t, r, 100_000)
	w.OpenWith(w.Ask("s2"), plan("n:"))
	b := w.Batch("s2", 1, "n:1=x")
	b.Fence.Backfills = map[string]change.Backfill{"public.t": {State: change.BackfillDone}}
	attempts := 0
	for ; attempts < 1000; attempts++ {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
		_, err := w.Store.Apply(ctx, b)
		cancel()
		if err == nil {
			break
		}
		wantTrouble(t, err, "did not answer in time")
		w.Keys("n:1")
	}
	if attempts == 0 {
		t.Error("100,000 keys took less than 30 ms: the test shows nothing")
	}
	if left := r.Do("DBSIZE"); left != int64(5) { // two of other tables, the new key, the state, and its lane
		t.Errorf("left: %v keys, want 5", left)
	}
	w.Keys("t*_old:1=x", "tx:1=x", "n:1=x")
	w.Duplicate(b)
	r.Do("HSET", "freshet:shop:state", "leftover:public.t", "x")
	next := w.Batch("s2", 2)
	next.Fence.Backfills = b.Fence.Backfills
	w.Refused(next, effect.ReasonDamaged)
}
