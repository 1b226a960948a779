package bench

import (
	"context"
	"time"
)

// The functions of the remote turns, and how far away they are, one way.
const (
	remoteFunctions = 3
	remoteDelay     = 10 * time.Millisecond
)

// remote measures what it costs that the functions are several and far away: the yardstick is freshet with one that is near, on the
// same log.
func (b *bench) remote(ctx context.Context) (Result, error) {
	r := Result{Rows: b.Rows}
	end, err := b.prepare(ctx, b.Pairs, inserted(b.Rows), "reference", "freshet")
	if err != nil {
		return r, err
	}
	err = b.pairs(ctx, &r, Remote,
		func(ctx context.Context, n int) (Turn, error) {
			return b.mirror(ctx, slot("reference", n), end, manner{})
		},
		func(ctx context.Context, n int) (Turn, error) {
			return b.mirror(ctx, slot("freshet", n), end, manner{functions: remoteFunctions, delay: remoteDelay})
		})
	return r, err
}
