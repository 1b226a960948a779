package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"freshet/functions/effect"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

var standings = [...]string{"match", "missing", "stale", "orphan", "absent"}

// Compare spells what a comparison says, one word a write, or why it was refused.
func (w *World) Compare(b *effect.Batch) string {
	w.Helper()
	found, err := w.Store.Compare(context.Background(), b)
	var refusal *effect.Refusal
	switch {
	case errors.As(err, &refusal):
		return refusal.Reason
	case err != nil:
		w.Fatalf("compare: %v", err)
	}
	var words []string
	for _, s := range found {
		words = append(words, standings[s])
	}
	return strings.Join(words, " ")
}

// Compared wants a comparison to say this.
func (w *World) Compared(b *effect.Batch, want string) {
	w.Helper()
	if got := w.Compare(b); got != want {
		w.Errorf("compare: got %s, want %s", got, want)
	}
}

// At makes a batch that only asks: its fence is that of the lane's last batch, of which there were this many.
func (w *World) At(session string, seq uint64, writes ...string) *effect.Batch {
	b := w.Batch(session, seq, writes...)
	b.Fence.Seq = seq
	return b
}

func compared(w *World) {
	w.Compared(Plain(), "")
	w.Open(w.Ask("s1"))
	w.Compared(w.At("s1", 0, "a=1", "b"), "missing match")
	w.Applied(w.Batch("s1", 1, "a=1", "b=", "c=x", "d=1"))
	w.Occupy("list")
	w.Occupy("lists")
	odd := "k*[\x00\xff"
	w.Set(odd, "\xfe")
	for _, b := range []*effect.Batch{
		w.At("s1", 1, "a=1", "b=", "c=y", "none=1", "nowhere", "d", "list=x", "lists", odd+"=\xfe"),
		Plain("a=1", "b=", "c=y", "none=1", "nowhere", "d", "list=x", "lists", odd+"=\xfe"),
	} {
		w.Compared(b, "match match stale missing match orphan stale orphan match")
	}
	w.Compared(Plain("b=\x00"), "stale")
	expiring := w.At("s1", 1)
	expiring.Set([]byte("a"), "1", 5000)
	expiring.Set([]byte("c"), "1", 5000)
	expiring.Set([]byte("none"), "1", 5000)
	expiring.Set([]byte("list"), "1", 5000)
	w.Compared(expiring, "match stale absent stale")
	w.Keys("a=1", "b=", "c=x", "d=1", "none")
	w.Duplicate(w.Batch("s1", 1, "a=2"))
	w.Applied(w.Batch("s1", 2, "a=2"))
}

func comparedAndLost(w *World) {
	w.Compared(w.At("s1", 0, "a=1"), exchange.ReasonLost)
	w.Open(w.Ask("s1"))
	w.Applied(w.Batch("s1", 1, "a=1"))
	other := w.Batch("s1", 1, "b=1")
	other.Fence.Lane = 1
	w.Applied(other)
	ask := w.At("s1", 1, "a=1", "b=1")
	w.Compared(ask, "match match")
	w.Compared(w.At("s1", 0, "a=1"), exchange.ReasonLost) // the lane has gone on
	w.Compared(w.At("s1", 2, "a=1"), exchange.ReasonLost) // the lane has lost something
	ask.Fence.After[1] = 2
	w.Compared(ask, exchange.ReasonLost) // another has
	ask.Fence.After[1] = 0
	w.Compared(ask, "match match")
	unknown := w.At("s1", 0, "a=1")
	unknown.Fence.Lane = 7
	w.Compared(unknown, exchange.ReasonLost)
	w.Flush()
	w.Compared(ask, exchange.ReasonLost)
}

func comparedByZombie(w *World) {
	w.Open(w.Ask("s1"))
	w.Applied(w.Batch("s1", 1, "a=1"))
	late := w.At("s1", 1, "a=1")
	w.Open(w.Ask("s2"))
	w.Compared(late, exchange.ReasonFenced)
	w.Compared(w.At("s2", 0, "a=1"), "match")
}

func comparedLarge(w *World) {
	w.Open(w.Ask("s1"))
	const n = 10_000
	large := strings.Repeat("x", 200_000)
	var there, asked effect.Batch
	var want []string
	value := func(i int) string {
		if i%1000 == 0 {
			return large + fmt.Sprint(i)
		}
		return fmt.Sprint(i)
	}
	for i := range n {
		key := fmt.Appendf(nil, "k:%d", i)
		switch i % 5 {
		case 0:
			there.Set(key, value(i), 0)
			asked.Set(key, value(i), 0)
			want = append(want, "match")
		case 1:
			asked.Set(key, "v", 0)
			want = append(want, "missing")
		case 2:
			there.Set(key, "old", 0)
			asked.Set(key, "v", 0)
			want = append(want, "stale")
		case 3:
			there.Set(key, "v", 0)
			asked.Delete(key)
			want = append(want, "orphan")
		default:
			asked.Delete(key)
			want = append(want, "match")
		}
	}
	there.Fence = w.Batch("s1", 1).Fence
	w.Applied(&there)
	asked.Fence = w.At("s1", 1).Fence
	if got := w.Compare(&asked); got != strings.Join(want, " ") {
		w.Errorf("%d keys: got %.300s...", n, got)
	}
}

// scan comes by everything there is, in steps of this count.
func (w *World) scan(ask exchange.ScanRequest, prefix string) (keys []string) {
	w.Helper()
	for step := 0; ; step++ {
		some, cursor, err := w.Store.Scan(context.Background(), ask, prefix)
		if err != nil {
			w.Fatalf("scan: %v", err)
		}
		keys = append(keys, some...)
		if ask.Cursor = cursor; cursor == "" {
			slices.Sort(keys)
			return slices.Compact(keys)
		}
		if step > 10_000 {
			w.Fatal("the scan does not end")
		}
	}
}

func scanned(w *World) {
	const prefix = "t*[a]?\\:"
	w.Open(w.Ask("s1"))
	var want []string
	for i := range 500 {
		want = append(want, fmt.Sprintf("%s%d", prefix, i))
	}
	want = append(want, prefix, prefix+"\x00\xff", prefix+"é")
	others := []string{"tz[a]?\\:1", "t*a?\\:1", "at*[a]?\\:1", "other"}
	for _, key := range slices.Concat(want, others) {
		w.Set(key, "x")
	}
	w.Occupy(prefix + "list")
	want = append(want, prefix+"list")
	slices.Sort(want)
	ask := exchange.ScanRequest{Sink: w.Sink, Session: "s1", Count: 7}
	if diff := cmp.Diff(want, w.scan(ask, prefix)); diff != "" {
		w.Error(diff)
	}
	all := w.scan(ask, "")
	if missing := slices.DeleteFunc(slices.Concat(want, others), func(key string) bool { return slices.Contains(all, key) }); len(missing) > 0 {
		w.Errorf("without a prefix: %q are missing", missing)
	}
	ask.Cursor = "12345@another server"
	if got := w.scan(ask, prefix); len(got) != len(want) {
		w.Errorf("a scan that another server began: got %d keys, want all %d", len(got), len(want))
	}
}

func scannedBySession(w *World) {
	scan := func(session string) string {
		_, _, err := w.Store.Scan(context.Background(), exchange.ScanRequest{Sink: w.Sink, Session: session, Count: 10}, "t:")
		return reason(err)
	}
	want := func(session, want string) {
		w.Helper()
		if got := scan(session); got != want {
			w.Errorf("session %q: got %s, want %s", session, got, want)
		}
	}
	want("s1", exchange.ReasonLost)
	want("", "done")
	w.Open(w.Ask("s1"))
	want("s1", "done")
	w.Open(w.Ask("s2"))
	want("s1", exchange.ReasonFenced)
	w.Flush()
	want("s2", exchange.ReasonLost)
}

// reason spells an error that may be a refusal.
func reason(err error) string {
	var refusal *effect.Refusal
	switch {
	case errors.As(err, &refusal):
		return refusal.Reason
	case err != nil:
		return err.Error()
	}
	return "done"
}

func swept(w *World) {
	sweep := func(session string, keys ...string) string {
		n, err := w.Store.Sweep(context.Background(), exchange.SweepRequest{Sink: w.Sink, Session: session}, keys)
		return fmt.Sprint(reason(err), " ", n)
	}
	want := func(got, want string) {
		w.Helper()
		if got != want {
			w.Errorf("got %s, want %s", got, want)
		}
	}
	odd := "t*\x00\xff"
	w.Set("a", "1")
	w.Set(odd, "1")
	w.Set("tz", "1")
	want(sweep("s1", "a"), "lost 0")
	w.Open(w.Ask("s1"))
	w.Occupy("list")
	want(sweep("s0", "a"), "fenced 0")
	w.Keys("a=1")
	want(sweep("s1"), "done 0")
	want(sweep("s1", "a", odd, "list", "none"), "done 3")
	w.Keys("a", odd, "tz=1")
	var many []string
	for i := range exchange.MostVerified {
		many = append(many, fmt.Sprint("k:", i))
		if i%2 == 0 {
			w.Set(many[i], "1")
		}
	}
	want(sweep("s1", many...), fmt.Sprint("done ", exchange.MostVerified/2))
	w.Applied(w.Batch("s1", 1, "a=2"))
}

// prefixed is a plan in which the keys of public.t have this prefix.
func prefixed(prefix string) exchange.Plan {
	return exchange.Plan{Rules: "rules of " + prefix, Tables: map[string]exchange.TablePlan{"public.t": {KeyPrefix: prefix}}}
}

func leftover(w *World) {
	w.OpenWith(w.Ask("s1"), prefixed("old:"))
	for i := range 2500 {
		w.Set(fmt.Sprint("old:", i), "x")
	}
	w.Set("older:1", "x")
	again := w.OpenWith(w.Ask("s2"), prefixed("new:"))
	if b := again.Backfills["public.t"]; b.Cause != change.CauseRules || !b.Sweep {
		w.Fatalf("got %+v", b)
	}
	step := func(seq uint64, is change.Backfill) {
		w.Helper()
		b := w.Batch("s2", seq, fmt.Sprint("new:", seq, "=x"))
		b.Fence.Backfills = map[string]change.Backfill{"public.t": is}
		w.Applied(b)
	}
	step(1, change.Backfill{State: change.BackfillRunning})
	step(2, change.Backfill{State: change.BackfillSweeping, Sweep: true})
	step(3, change.Backfill{State: change.BackfillCancelled})
	step(4, change.Backfill{State: change.BackfillDone, Where: "id < 9"})
	w.Keys("old:0=x", "old:2499=x")
	late := w.Batch("s1", 1)
	late.Fence.Backfills = map[string]change.Backfill{"public.t": {State: change.BackfillDone}}
	w.Refused(late, exchange.ReasonFenced)
	w.Keys("old:0=x", "old:2499=x")
	step(5, change.Backfill{State: change.BackfillDone})
	for i := range 2500 {
		w.Keys(fmt.Sprint("old:", i))
	}
	w.Keys("older:1=x", "new:1=x", "new:2=x", "new:5=x")
	w.Set("old:1", "someone else's")
	step(6, change.Backfill{State: change.BackfillDone})
	w.OpenWith(w.Ask("s3"), prefixed("new:"))
	w.Keys("old:1=someone else's")
}
