// Package storetest is what every store must do, as tests. A store passes by calling Run with a way to make an empty one.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"freshet/functions"
	"freshet/functions/effect"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// Backend is a store and a second way to its keys, past the store.
type Backend struct {
	Store functions.Store
	Get   func(key string) (value string, ok bool)
	Set   func(key, value string)
	// Occupy puts something there that is no string.
	Occupy func(key string)
	// Flush removes everything, as if the machine had been replaced.
	Flush func()
}

// Run runs the suite. make is called for each test and answers an empty store.
func Run(t *testing.T, make func(t *testing.T) Backend) {
	tests := map[string]func(*World){
		"a batch without a fence is applied as it is":           plainBatch,
		"batches of a lane follow each other":                   inOrder,
		"a batch that comes twice takes effect once":            twice,
		"a batch sent by many at once takes effect once":        atOnce,
		"a batch that overtakes another waits":                  overtaking,
		"a batch of an earlier session changes nothing":         zombie,
		"a batch without any session is lost":                   noSession,
		"a store that forgot everything is noticed":             flushed,
		"lanes do not disturb each other":                       lanes,
		"the seal and the positions never go back":              neverBack,
		"a session opens once":                                  openTwice,
		"a session goes on where the one before stopped":        resumed,
		"backfills are kept with the batch that carried them":   backfills,
		"a truncate removes the keys of its table and no other": truncate,
		"a truncate that comes late removes nothing":            lateTruncate,
		"a truncate without a fence":                            plainTruncate,
		"sinks are strangers":                                   sinks,
		"thousands of keys in one batch":                        large,
		"values are bytes":                                      bytes,
		"a refresh writes only what is there":                   refresh,
		"a truncate leaves nothing to refresh":                  refreshTruncated,
		"keys are read as they are":                             read,

		"keys are compared with what they should be":              compared,
		"a comparison is worth nothing when the store forgot":     comparedAndLost,
		"a comparison for an earlier session is refused":          comparedByZombie,
		"thousands of keys are compared":                          comparedLarge,
		"a scan comes by all keys of a prefix and by no other":    scanned,
		"a scan is of a session":                                  scannedBySession,
		"a sweep deletes the keys it is given":                    swept,
		"keys under an earlier prefix go when the table is there": leftover,
	}
	maps.Copy(tests, letterTests)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(&World{T: t, Backend: make(t), Sink: "shop"}) })
	}
}

// World is one test's store with words for what happens to it.
type World struct {
	*testing.T
	Backend
	Sink  string
	acked [2]uint64 // batches, by lane
}

// Source is the database that the worlds mirror.
var Source = change.Source{System: "7421", Timeline: 1, Database: "shop", Slot: "freshet"}

// Ask is a request to open a session of two lanes over the table public.t.
func (w *World) Ask(session string) exchange.OpenRequest {
	return exchange.OpenRequest{
		Sink: w.Sink, Session: session, Source: Source, Lanes: 2, Confirmed: 100, Backfill: true, Repair: change.Repairs,
		Tables: []exchange.TableShape{{Schema: "public", Name: "t", PrimaryKey: []string{"id"}}},
	}
}

// Open begins a session, which must succeed.
func (w *World) Open(ask exchange.OpenRequest) exchange.OpenResponse {
	w.Helper()
	return w.OpenWith(ask, exchange.Plan{Rules: "r1"})
}

// OpenWith begins a session with a plan of the test's own.
func (w *World) OpenWith(ask exchange.OpenRequest, plan exchange.Plan) exchange.OpenResponse {
	w.Helper()
	response, err := w.Store.Open(context.Background(), ask, plan)
	if err != nil {
		w.Fatalf("open %s: %v", ask.Session, err)
	}
	w.acked = [2]uint64{}
	return response
}

// Batch makes a fenced batch of lane 0 that sets keys: "a=1", or deletes them: "a".
func (w *World) Batch(session string, seq uint64, writes ...string) *effect.Batch {
	b := Plain(writes...)
	b.Fence = &change.Fence{Sink: w.Sink, Session: session, Seq: seq, After: slices.Clone(w.acked[:]), Through: change.Position{Commit: change.LSN(100 + seq)}, Seal: change.LSN(100 + seq)}
	return b
}

// Plain makes a batch without a fence.
func Plain(writes ...string) *effect.Batch {
	b := new(effect.Batch)
	for _, text := range writes {
		key, value, set := cut(text)
		if set {
			b.Set([]byte(key), value, 0)
		} else {
			b.Delete([]byte(key))
		}
	}
	return b
}

func cut(text string) (key, value string, found bool) {
	for i := range len(text) {
		if text[i] == '=' {
			return text[:i], text[i+1:], true
		}
	}
	return text, "", false
}

// Applied, Duplicate and Refused apply a batch and want that outcome.
func (w *World) Applied(b *effect.Batch) {
	w.Helper()
	if got := w.try(b); got != "applied" {
		w.Fatalf("got %s, want applied", got)
	}
	if b.Fence != nil {
		w.acked[b.Fence.Lane]++
	}
}

// Duplicate wants that the batch was there before.
func (w *World) Duplicate(b *effect.Batch) {
	w.Helper()
	if got := w.try(b); got != "duplicate" {
		w.Fatalf("got %s, want duplicate", got)
	}
}

// Refused wants a refusal for this reason.
func (w *World) Refused(b *effect.Batch, reason string) {
	w.Helper()
	if got := w.try(b); got != reason {
		w.Fatalf("got %s, want %s", got, reason)
	}
}

func (w *World) try(b *effect.Batch) string {
	duplicate, err := w.Store.Apply(context.Background(), b)
	var refusal *effect.Refusal
	switch {
	case errors.As(err, &refusal):
		return refusal.Reason
	case err != nil:
		return err.Error()
	case duplicate:
		return "duplicate"
	}
	return "applied"
}

// Keys wants each key to hold its value: "a=1"; or not to be there: "a".
func (w *World) Keys(want ...string) {
	w.Helper()
	for _, text := range want {
		key, value, there := cut(text)
		if got, ok := w.Get(key); ok != there || got != value {
			w.Errorf("key %s: got %q %v, want %q %v", key, got, ok, value, there)
		}
	}
}

func plainBatch(w *World) {
	w.Set("b", "old")
	w.Applied(Plain("a=1", "b", "c=3"))
	w.Keys("a=1", "b", "c=3")
	w.Applied(Plain("a=1", "b", "c=3"))
	w.Applied(Plain())
}

func inOrder(w *World) {
	w.Open(w.Ask("s1"))
	w.Applied(w.Batch("s1", 1, "a=1", "b=1"))
	w.Applied(w.Batch("s1", 2, "a", "b=2"))
	w.Keys("a", "b=2")
}

func twice(w *World) {
	w.Open(w.Ask("s1"))
	first := w.Batch("s1", 1, "a=1")
	w.Applied(first)
	w.Duplicate(w.Batch("s1", 1, "a=1"))
	w.Applied(w.Batch("s1", 2, "a=2"))
	w.Duplicate(first) // its answer was lost, and it comes again after its successor
	w.Keys("a=2")
}

func atOnce(w *World) {
	w.Open(w.Ask("s1"))
	var group sync.WaitGroup
	outcomes := make(chan string, 20)
	for range cap(outcomes) {
		group.Go(func() { outcomes <- w.try(w.Batch("s1", 1, "a=1")) })
	}
	group.Wait()
	close(outcomes)
	count := map[string]int{}
	for outcome := range outcomes {
		count[outcome]++
	}
	if diff := cmp.Diff(map[string]int{"applied": 1, "duplicate": 19}, count); diff != "" {
		w.Error(diff)
	}
}

func overtaking(w *World) {
	w.Open(w.Ask("s1"))
	w.Refused(w.Batch("s1", 2, "a=2"), exchange.ReasonLost)
	w.Keys("a")
	w.Applied(w.Batch("s1", 1, "a=1"))
	w.Applied(w.Batch("s1", 2, "a=2"))
	w.Keys("a=2")
}

func zombie(w *World) {
	w.Open(w.Ask("s1"))
	w.Applied(w.Batch("s1", 1, "a=1"))
	late := w.Batch("s1", 2, "a=zombie")
	w.Open(w.Ask("s2"))
	w.Refused(late, exchange.ReasonFenced)
	w.Applied(w.Batch("s2", 1, "a=2"))
	w.Refused(late, exchange.ReasonFenced)
	w.Keys("a=2")
}

func noSession(w *World) {
	w.Refused(w.Batch("s1", 1, "a=1"), exchange.ReasonLost)
	w.Keys("a")
}

func flushed(w *World) {
	w.Open(w.Ask("s1"))
	w.Applied(w.Batch("s1", 1, "a=1"))
	w.Flush()
	w.Refused(w.Batch("s1", 2, "a=2"), exchange.ReasonLost)
	w.Keys("a")
	if response := w.Open(w.Ask("s2")); response.Found != exchange.FoundFresh || response.Backfills["public.t"].State != change.BackfillPending {
		w.Errorf("got %+v, want fresh with a pending backfill", response)
	}
	w.Applied(w.Batch("s2", 1, "a=3"))
}

func lanes(w *World) {
	w.Open(w.Ask("s1"))
	other := w.Batch("s1", 1, "b=1")
	other.Fence.Lane = 1
	w.Applied(other)
	w.Applied(w.Batch("s1", 1, "a=1"))
	w.Applied(w.Batch("s1", 2, "a=2"))
	unknown := w.Batch("s1", 1, "c=1")
	unknown.Fence.Lane = 2
	w.Refused(unknown, exchange.ReasonLost)
	w.Keys("a=2", "b=1", "c")
}

func neverBack(w *World) {
	w.Open(w.Ask("s1"))
	far := change.Position{Commit: 0xA_0000_0009, Ordinal: 0xFFFF_FFFF}
	for i, at := range []struct {
		through change.Position
		seal    change.LSN
	}{{far, 0x10_0000_0000}, {change.Position{Commit: 0xA_0000_0009, Ordinal: 7}, 0x9_FFFF_FFFF}, {change.Position{}, 0}} {
		b := w.Batch("s1", uint64(i+1))
		b.Fence.Through, b.Fence.Seal = at.through, at.seal
		w.Applied(b)
	}
	response := w.Open(w.Ask("s2"))
	if response.Sealed != 0x10_0000_0000 || response.Applied[0].Through[0] != far {
		w.Errorf("got sealed %v, applied %v; want them as in the first batch", response.Sealed, response.Applied)
	}
}

func openTwice(w *World) {
	first := w.Open(w.Ask("s1"))
	if first.Found != exchange.FoundFresh || first.Sealed != 100 || first.Plan.Rules != "r1" {
		w.Errorf("got %+v", first)
	}
	w.Applied(w.Batch("s1", 1, "a=1"))
	again := w.Open(w.Ask("s1"))
	if again.Session != "s1" || again.Applied[0].Through[0].Commit != 101 {
		w.Errorf("got %+v, want the session as it is", again)
	}
	w.Duplicate(w.Batch("s1", 1, "a=1"))
}

func resumed(w *World) {
	w.Open(w.Ask("s1"))
	w.Applied(w.Batch("s1", 1, "a=1"))
	ask := w.Ask("s2")
	ask.Confirmed = 101
	got := w.Open(ask)
	want := exchange.OpenResponse{
		Session: "s2", Found: exchange.FoundCurrent, Sealed: 101,
		Applied:   []exchange.Applied{{Lanes: 2, Through: []change.Position{{Commit: 101}, {}}}},
		Backfills: map[string]change.Backfill{"public.t": {State: change.BackfillPending, Cause: change.CauseEmptied}},
		Plan:      exchange.Plan{Rules: "r1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.Error(diff)
	}
	stranger := w.Ask("s3")
	stranger.Source.System = "1"
	_, err := w.Store.Open(context.Background(), stranger, exchange.Plan{})
	var refusal *effect.Refusal
	if !errors.As(err, &refusal) || refusal.Reason != exchange.ReasonForeign {
		w.Errorf("another system: got %v, want it refused as foreign", err)
	}
	ask.Session, ask.Confirmed = "s4", 102
	if got := w.Open(ask); got.Found != exchange.FoundBehind || got.Backfills["public.t"].State != change.BackfillClear {
		w.Errorf("got %+v, want behind", got)
	}
}

func backfills(w *World) {
	w.Open(w.Ask("s1"))
	want := change.Backfill{State: change.BackfillRunning, Cursor: []string{"a\"b", "7"}, Rows: 1000}
	b := w.Batch("s1", 1, "a=1")
	b.Fence.Backfills = map[string]change.Backfill{"public.t": want}
	w.Applied(b)
	if diff := cmp.Diff(want, w.Open(w.Ask("s2")).Backfills["public.t"]); diff != "" {
		w.Error(diff)
	}
}

func truncate(w *World) {
	w.Open(w.Ask("s1"))
	for i := range 2500 {
		w.Set(fmt.Sprintf("t*[a]?\\:%d", i), "x")
	}
	others := []string{"t*[a]?\\_old:1=x", "tz[a]?\\:1=x", "t*a?\\:1=x", "t*[a]zz:1=x", "at*[a]?\\:1=x", "t*[a]?\\=x"}
	for _, text := range others {
		key, value, _ := cut(text)
		w.Set(key, value)
	}
	b := w.Batch("s1", 1)
	b.Clear("t*[a]?\\:")
	w.Applied(b)
	for i := range 2500 {
		w.Keys(fmt.Sprintf("t*[a]?\\:%d", i))
	}
	w.Keys(others...)
	w.Applied(w.Batch("s1", 2, "t*[a]?\\:1=new"))
	w.Duplicate(b)
	w.Keys("t*[a]?\\:1=new")
}

func lateTruncate(w *World) {
	w.Open(w.Ask("s1"))
	late := w.Batch("s1", 1)
	late.Clear("t:")
	w.Open(w.Ask("s2"))
	w.Applied(w.Batch("s2", 1, "t:1=new"))
	w.Refused(late, exchange.ReasonFenced)
	early := w.Batch("s2", 3)
	early.Clear("t:")
	w.Refused(early, exchange.ReasonLost)
	w.Keys("t:1=new")
}

func plainTruncate(w *World) {
	w.Set("t:1", "x")
	w.Set("u:1", "x")
	b := Plain("t:0=before", "u:2=y")
	b.Clear("t:")
	b.Set([]byte("t:2"), "after", 0)
	w.Applied(b)
	w.Keys("t:0", "t:1", "t:2=after", "u:1=x", "u:2=y")
}

func sinks(w *World) {
	w.Open(w.Ask("s1"))
	w.Applied(w.Batch("s1", 1, "a=1"))
	other := &World{T: w.T, Backend: w.Backend, Sink: "other"}
	other.Open(other.Ask("o1"))
	other.Applied(other.Batch("o1", 1, "b=1"))
	w.Applied(w.Batch("s1", 2, "a=2"))
	unnamed := &World{T: w.T, Backend: w.Backend}
	unnamed.Open(unnamed.Ask("u1"))
	named := &World{T: w.T, Backend: w.Backend, Sink: "freshet"}
	named.Applied(named.Batch("u1", 1, "c=1"))
	w.Keys("a=2", "b=1", "c=1")
}

func large(w *World) {
	w.Open(w.Ask("s1"))
	var b effect.Batch
	for i := range 10_000 {
		key := fmt.Appendf(nil, "k:%d", i)
		switch i % 3 {
		case 0:
			b.Set(key, fmt.Sprint(i), 0)
		case 1:
			b.Set(key, fmt.Sprint(i), 3_600_000)
		default:
			w.Set(string(key), "old")
			b.Delete(key)
		}
	}
	b.Fence = w.Batch("s1", 1).Fence
	w.Applied(&b)
	for i := range 10_000 {
		if i%3 == 2 {
			w.Keys(fmt.Sprintf("k:%d", i))
		} else {
			w.Keys(fmt.Sprintf("k:%d=%d", i, i))
		}
	}
}

func bytes(w *World) {
	w.Open(w.Ask("s1"))
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for i, value := range []string{"", "🥂 é", string(every), "1e400", "-0", " {\"a\" : 1.10 } "} {
		key := fmt.Sprintf("k%d\x00\xff", i)
		b := new(effect.Batch)
		b.Set([]byte(key), value, 0)
		b.Fence = w.Batch("s1", uint64(i+1)).Fence
		w.Applied(b)
		if got, ok := w.Get(key); !ok || got != value {
			w.Errorf("got %q %v, want %q", got, ok, value)
		}
	}
}

// refreshes makes a batch that refreshes keys, with or without an expiry, among other writes.
func refreshes(expireMS int64, keys ...string) *effect.Batch {
	b := Plain("set=1", "del")
	for _, key := range keys {
		b.Refresh([]byte(key), "new "+key, expireMS)
	}
	return b
}

func refresh(w *World) {
	w.Open(w.Ask("s1"))
	for seq, expireMS := range []int64{0, 3_600_000} {
		for _, fenced := range []bool{true, false} {
			w.Set("a", "old")
			w.Set("del", "old")
			b := refreshes(expireMS, "a", "b")
			if fenced {
				b.Fence = w.Batch("s1", uint64(seq+1)).Fence
			}
			w.Applied(b)
			w.Keys("a=new a", "b", "set=1", "del")
		}
	}
	// In one batch, a write before it decides whether the key is there.
	b := Plain("c=1", "d")
	b.Refresh([]byte("c"), "2", 0)
	b.Refresh([]byte("d"), "2", 0)
	w.Set("d", "old")
	w.Applied(b)
	w.Keys("c=2", "d")
}

func refreshTruncated(w *World) {
	w.Open(w.Ask("s1"))
	w.Set("t:1", "x")
	b := w.Batch("s1", 1)
	b.Clear("t:")
	b.Refresh([]byte("t:1"), "new", 0)
	w.Applied(b)
	w.Keys("t:1")
}

func read(w *World) {
	var keys []string
	for i := range 2500 {
		keys = append(keys, fmt.Sprint("k", i))
	}
	w.Set("k0", "")
	w.Set("k2499", "\x00\xff")
	values, err := w.Store.Values(context.Background(), keys)
	if err != nil || len(values) != len(keys) {
		w.Fatalf("got %d values, %v", len(values), err)
	}
	for i, value := range values {
		if there := i == 0 || i == 2499; (value != nil) != there {
			w.Errorf("%s: there is %v", keys[i], value != nil)
		}
	}
	if *values[0] != "" || *values[2499] != "\x00\xff" {
		w.Errorf("got %q and %q", *values[0], *values[2499])
	}
}
