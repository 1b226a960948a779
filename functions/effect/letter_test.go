package effect_test

import (
	"testing"

	"freshet/functions/effect"
)

// A row that can never be written came by the stream and by a backfill in one batch: there is one letter, the newer.
func TestBatch_ALetterOvertakesThoseOfItsKeys(t *testing.T) {
	var b effect.Batch
	for i, keys := range [][]string{{"t:1"}, {"t:2"}, {"t:1"}, {"t:2", "by:2"}, {"t:2"}} {
		b.Begin(i)
		for _, key := range keys {
			b.Delete([]byte(key))
		}
		b.Park(effect.Letter{})
	}
	var from []int
	for _, l := range b.Letters {
		from = append(from, l.From)
	}
	// 0 gave way to 2, and 1 to 3, which has a key that 4 has not.
	if len(from) != 3 || from[0] != 2 || from[1] != 3 || from[2] != 4 {
		t.Errorf("the letters of messages %v are left, want 2, 3, 4", from)
	}
	if b.Overtaken != 2 {
		t.Errorf("%d were overtaken, want 2", b.Overtaken)
	}
}
