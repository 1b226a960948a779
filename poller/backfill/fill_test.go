package backfill_test

import (
	"testing"

	"freshet/poller/backfill"
)

func TestNextLimit(t *testing.T) {
	const aim, most = 1 << 20, 7000
	for _, c := range []struct {
		name               string
		limit, bytes, want int
	}{
		{"small rows, at first", 16, 16 * 200, 256},
		{"and then", 256, 256 * 200, 4096},
		{"large enough", 4096, 4096 * 200, 4096},
		{"nearly half of it", 100, aim/2 - 1, 200},
		{"a fifth of it", 100, aim / 5, 500},
		{"nothing at all", 16, 0, 256},
		{"no more than that many rows", 6000, 6000, most},
		{"twice as much", 100, 2*aim + 1, 50},
		{"a row that is larger than a page", 1, 5 * aim, 1},
	} {
		if got := backfill.NextLimit(c.limit, c.bytes, aim, most); got != c.want {
			t.Errorf("%s: %d rows of %d bytes, then %d, want %d", c.name, c.limit, c.bytes, got, c.want)
		}
	}
}
