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

// Whatever the messages, applying clears and then writes ends where applying the messages one by one ends.
func TestBatch_EqualsOneByOne(t *testing.T) {
	var b effect.Batch // reused, as a handler does
	rapid.Check(t, func(r *rapid.T) {
		b.Reset()
		want := map[string]string{"a:9": "before", "b:9": "before"}
		got := map[string]string{"a:9": "before", "b:9": "before"}
		for i := range rapid.IntRange(0, 60).Draw(r, "messages") {
			key := rapid.SampledFrom([]string{"a:1", "a:2", "a:9", "b:1", "b:9"}).Draw(r, "key")
			switch rapid.IntRange(0, 4).Draw(r, "what") {
			case 0:
				b.Delete([]byte(key))
				delete(want, key)
			case 1:
				b.Clear(key[:2])
				clearPrefix(want, key[:2])
			default:
				b.Set([]byte(key), fmt.Sprint(i), 0)
				want[key] = fmt.Sprint(i)
			}
		}
		apply(&b, got)
		if diff := cmp.Diff(want, got); diff != "" {
			r.Fatal(diff)
		}
	})
}

func apply(b *effect.Batch, keys map[string]string) {
	for _, prefix := range b.Clears {
		clearPrefix(keys, prefix)
	}
	for _, w := range b.Writes {
		if w.Delete {
			delete(keys, w.Key)
		} else {
			keys[w.Key] = w.Value
		}
	}
}

func clearPrefix(keys map[string]string, prefix string) {
	for key := range keys {
		if key[:len(prefix)] == prefix {
			delete(keys, key)
		}
	}
}
