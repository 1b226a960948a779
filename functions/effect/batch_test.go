package effect_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"freshet/functions/effect"
)

func TestBatch_TheLastWriteOfAKeyWins(t *testing.T) {
	var b effect.Batch
	b.Set([]byte("a"), "1", 0)
	b.Set([]byte("b"), "1", 50)
	b.Delete([]byte("a"))
	b.Delete([]byte("c"))
	b.Set([]byte("b"), "2", 0)
	b.Set([]byte("c"), "3", 0)
	want := []effect.Write{{Key: "a", Delete: true}, {Key: "b", Value: "2"}, {Key: "c", Value: "3"}}
	if diff := cmp.Diff(want, b.Writes); diff != "" {
		t.Error(diff)
	}
	if b.Overtaken != 3 {
		t.Errorf("overtaken: got %d, want 3", b.Overtaken)
	}
}

func TestBatch_FindsEachOfManyKeys(t *testing.T) {
	var b effect.Batch
	for range 2 {
		b.Reset()
		for _, value := range []string{"1", "2"} {
			for i := range 5000 {
				b.Set(fmt.Appendf(nil, "%c:%d", 'a'+i%2, i), value, 0)
			}
		}
		b.Clear("a:")
		for i := range 5000 {
			b.Delete(fmt.Appendf(nil, "b:%d", i))
		}
		if len(b.Writes) != 5000 || b.Overtaken != 5000+2500+2500 {
			t.Fatalf("%d writes, %d overtaken", len(b.Writes), b.Overtaken)
		}
		for i, w := range b.Writes {
			if odd := i < 2500; !w.Delete || odd && w.Key != fmt.Sprintf("b:%d", 2*i+1) {
				t.Fatalf("write %d is %+v", i, w)
			}
		}
	}
}

// Keys that rise are not looked for. The first that does not must still find all that came before it.
func TestBatch_FindsKeysThatRose(t *testing.T) {
	const rising = 300 // through 9, 10 and 99, 100
	var b effect.Batch
	for again := range rising {
		b.Reset()
		for i := range rising {
			b.Set(fmt.Appendf(nil, "a:%d", i), "1", 0)
		}
		b.Set(fmt.Appendf(nil, "a:%d", again), "2", 0)
		b.Set([]byte("a:300"), "1", 0)
		b.Delete([]byte("a:300"))
		if len(b.Writes) != rising+1 || b.Overtaken != 2 || b.Writes[again].Value != "2" || !b.Writes[rising].Delete {
			t.Fatalf("a:%d again: %d writes, %d overtaken, %+v", again, len(b.Writes), b.Overtaken, b.Writes[again])
		}
	}
}

func TestBatch_ClearForgetsWhatCameBeforeAndKeepsWhatComesAfter(t *testing.T) {
	var b effect.Batch
	b.Set([]byte("orders:1"), "old", 0)
	b.Set([]byte("orders_old:1"), "kept", 0)
	b.Clear("orders:")
	b.Set([]byte("orders:1"), "new", 0)
	b.Delete([]byte("orders_old:1"))
	want := []effect.Write{{Key: "orders_old:1", Delete: true}, {Key: "orders:1", Value: "new"}}
	if diff := cmp.Diff(want, b.Writes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"orders:"}, b.Clears); diff != "" {
		t.Error(diff)
	}
}

// held is what a key holds in a store of the test.
type held struct {
	value  string
	expire int64
}

// Whatever the messages, applying clears and then writes ends where applying the messages one by one ends.
func TestBatch_EqualsOneByOne(t *testing.T) {
	var b effect.Batch // reused, as a handler does
	rapid.Check(t, func(r *rapid.T) {
		b.Reset()
		want := map[string]held{"a:9": {"before", 7}, "b:9": {"before", 0}}
		got := map[string]held{"a:9": {"before", 7}, "b:9": {"before", 0}}
		for i := range rapid.IntRange(0, 60).Draw(r, "messages") {
			key := rapid.SampledFrom([]string{"a:1", "a:2", "a:9", "a:10", "b:1", "b:9", "b:10"}).Draw(r, "key")
			expire := rapid.SampledFrom([]int64{0, 5, 6}).Draw(r, "expire")
			switch rapid.IntRange(0, 5).Draw(r, "what") {
			case 0:
				b.Delete([]byte(key))
				write(want, effect.Write{Key: key, Delete: true})
			case 1:
				b.Clear(key[:2])
				clearPrefix(want, key[:2])
			case 2, 3:
				b.Refresh([]byte(key), fmt.Sprint(i), expire)
				write(want, effect.Write{Key: key, Value: fmt.Sprint(i), ExpireMS: expire, IfThere: true})
			default:
				b.Set([]byte(key), fmt.Sprint(i), expire)
				write(want, effect.Write{Key: key, Value: fmt.Sprint(i), ExpireMS: expire})
			}
		}
		for _, prefix := range b.Clears {
			clearPrefix(got, prefix)
		}
		for _, w := range b.Writes {
			write(got, w)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(held{})); diff != "" {
			r.Fatal(diff)
		}
	})
}

// write does what a store does.
func write(keys map[string]held, w effect.Write) {
	was, there := keys[w.Key]
	switch {
	case w.Delete:
		delete(keys, w.Key)
	case !w.IfThere:
		keys[w.Key] = held{w.Value, w.ExpireMS}
	case there && w.ExpireMS == 0:
		keys[w.Key] = held{w.Value, was.expire}
	case there:
		keys[w.Key] = held{w.Value, w.ExpireMS}
	}
}

func clearPrefix(keys map[string]held, prefix string) {
	for key := range keys {
		if key[:len(prefix)] == prefix {
			delete(keys, key)
		}
	}
}
