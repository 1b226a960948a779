package redisstore_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"freshet/functions/effect"
	"freshet/functions/redisstore"
	"freshet/functions/storetest"
	"freshet/local/redistest"
)

// bounded is a world whose store keeps few letters.
func bounded(t *testing.T, r *redistest.Redis, most int64, age time.Duration) *storetest.World {
	w := world(t, r)
	c := settings(r.URL)
	c.DeadLettersMax, c.DeadLettersAge = most, age
	s, err := redisstore.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	w.Store = s
	return w
}

// Redis trims a stream by whole nodes of a hundred entries.
func TestStore_LettersAreBoundedInNumber(t *testing.T) {
	r := redistest.New(t)
	w := bounded(t, r, 50, time.Hour)
	w.Open(w.Ask("s1"))
	for seq := uint64(1); seq <= 20; seq++ {
		b := w.Batch("s1", seq)
		for i := range 50 {
			b.Begin(i)
			b.Delete(fmt.Appendf(nil, "k:%d:%d", seq, i))
			b.Park(effect.Letter{Reason: "x", Message: "{}"})
		}
		w.Applied(b)
	}
	letters, marks := r.Do("XLEN", "freshet:shop:dead").(int64), r.Do("HLEN", "freshet:shop:dead:keys").(int64)
	if letters < 50 || letters > 200 || marks > letters {
		t.Errorf("%d letters of 1000 are kept, and %d of their keys", letters, marks)
	}
	all, err := w.Store.Letters(context.Background(), "shop", "", 1000)
	if err != nil || len(all) == 0 || !all[len(all)-1].Replayable || all[len(all)-1].Keys[0] != "k:20:49" {
		t.Errorf("the newest is not there: %v", err)
	}
}

func TestStore_LettersAreBoundedInAge(t *testing.T) {
	r := redistest.New(t)
	w := bounded(t, r, 1000, time.Minute)
	w.Open(w.Ask("s1"))
	w.Applied(w.Parking("s1", 1, []string{"new"}))
	r.Do("DEL", "freshet:shop:dead", "freshet:shop:dead:keys")
	for i := range 300 {
		r.Do("XADD", "freshet:shop:dead", fmt.Sprintf("%d-%d", time.Now().Add(-time.Hour).UnixMilli(), i), "reason", "old", "keys", `["old"]`)
	}
	r.Do("HSET", "freshet:shop:dead:keys", "old", fmt.Sprintf("%d-299", time.Now().Add(-2*time.Hour).UnixMilli()))
	w.Applied(w.Parking("s1", 2, []string{"new"}))
	if n := r.Do("XLEN", "freshet:shop:dead").(int64); n > 101 {
		t.Errorf("%d letters are left, of which 300 are too old", n)
	}
	w.Applied(w.Parking("s1", 3, []string{"newer"}, "a=1"))
	r.Do("XTRIM", "freshet:shop:dead", "MAXLEN", "0")
	w.Applied(w.Parking("s1", 4, []string{"newest"}))
	if marks := r.Do("HKEYS", "freshet:shop:dead:keys").([]any); len(marks) != 1 || marks[0] != "newest" {
		t.Errorf("keys of letters that are gone are remembered: %v", marks)
	}
}

func TestStore_AWriteByHandOutdatesLettersToo(t *testing.T) {
	w := world(t, redistest.New(t))
	w.Open(w.Ask("s1"))
	w.Applied(w.Parking("s1", 1, []string{"t:1"}))
	w.Applied(w.Parking("s1", 2, []string{"t:2"}))
	byHand := storetest.Plain("t:1=hand")
	byHand.Sink = "shop"
	w.Applied(byHand)
	both := w.Kept(2)
	w.Replay(both[0], false, "t:1=1")
	truncate := storetest.Plain()
	truncate.Sink = "shop"
	truncate.Clear("t:")
	w.Applied(truncate)
	w.Replay(both[1], false, "t:2=1")
	w.Keys("t:1", "t:2")
}

func TestStore_LetterExpiresAsItsValueWould(t *testing.T) {
	r := redistest.New(t)
	w := world(t, r)
	w.Open(w.Ask("s1"))
	w.Applied(w.Parking("s1", 1, []string{"a"}))
	b := new(effect.Batch)
	b.Set([]byte("a"), "1", 90_500)
	if written, err := w.Store.Replay(context.Background(), "shop", w.Kept(1)[0].ID, b.Writes); !written || err != nil {
		t.Fatal(written, err)
	}
	if left := r.Do("PTTL", "a").(int64); left <= 80_000 || left > 90_500 {
		t.Errorf("it expires in %d ms", left)
	}
}

func TestStore_CheckWarnsOfLetters(t *testing.T) {
	w := world(t, redistest.New(t))
	w.Open(w.Ask("s1"))
	w.Applied(w.Parking("s1", 1, []string{"a"}))
	found := w.Store.Check(context.Background(), "shop")
	if len(found) != 1 || !found[0].Warning || !strings.Contains(found[0].What, "1 messages could not be written") {
		t.Errorf("got %v", found)
	}
	if found := w.Store.Check(context.Background(), "other"); len(found) > 0 {
		t.Errorf("another sink: got %v", found)
	}
}

// Whichever comes first, the newer value is what stays.
func TestStore_AReplayRacesANewerWrite(t *testing.T) {
	w := world(t, redistest.New(t))
	w.Open(w.Ask("s1"))
	first := 0
	for round := range 100 {
		seq := uint64(2*round + 1)
		w.Applied(w.Parking("s1", seq, []string{"a"}))
		letter := w.Kept(1)[0]
		replayed := make(chan bool)
		go func() {
			written, err := w.Store.Replay(context.Background(), "shop", letter.ID, storetest.Plain("a=old").Writes)
			if err != nil {
				t.Error(err)
			}
			replayed <- written
		}()
		want := fmt.Sprintf("a=%d", round)
		w.Applied(w.Batch("s1", seq+1, want))
		if <-replayed {
			first++
		} else if dropped, err := w.Store.Drop(context.Background(), "shop", letter); !dropped || err != nil {
			t.Fatal(dropped, err)
		}
		w.Keys(want)
	}
	t.Logf("%d of 100 replays came first", first)
}

// A letter whose write is refused is still there, and can be written later.
func TestStore_AReplayThatIsRefusedKeepsItsLetter(t *testing.T) {
	r := redistest.New(t)
	w := world(t, r)
	w.Open(w.Ask("s1"))
	w.Applied(w.Parking("s1", 1, []string{"a"}))
	letters, err := w.Store.Letters(t.Context(), "shop", "", 10)
	if err != nil || len(letters) != 1 {
		t.Fatalf("%d letters, %v", len(letters), err)
	}
	replay := func() (bool, error) {
		return w.Store.Replay(t.Context(), "shop", letters[0].ID, []effect.Write{{Key: "a", Value: "1"}})
	}
	r.Do("CONFIG", "SET", "maxmemory", "1")
	if written, err := replay(); written || err == nil || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("a Redis that is full: %v, %v", written, err)
	}
	r.Do("CONFIG", "SET", "maxmemory", "0")
	if l, there, err := w.Store.Letter(t.Context(), "shop", letters[0].ID); !there || !l.Replayable || err != nil {
		t.Fatalf("the letter is %+v, %v, %v", l, there, err)
	}
	if written, err := replay(); !written || err != nil {
		t.Errorf("after that: %v, %v", written, err)
	}
	w.Keys("a=1")
}
