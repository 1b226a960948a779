package bench

import (
	"context"
	"fmt"
	"time"

	"freshet/local/e2e"
)

// side takes its n-th turn.
type side func(ctx context.Context, n int) (Turn, error)

// pairs has both sides take their turns; who begins changes from pair to pair. After each of freshet's, rows and keys are
// compared outside of the clock.
func (b *bench) pairs(ctx context.Context, r *Result, what string, reference, freshet side) error {
	for n := range b.Pairs {
		var p Pair
		theirs := func(ctx context.Context) (err error) { p.Reference, err = reference(ctx, n); return err }
		ours := func(ctx context.Context) (err error) { p.Freshet, err = freshet(ctx, n); return err }
		order := []func(context.Context) error{theirs, ours}
		if n%2 == 1 {
			order = []func(context.Context) error{ours, theirs}
		}
		for _, take := range order {
			if err := timed(ctx, turnTimeout, take); err != nil {
				return fmt.Errorf("turn %d: %w", n+1, err)
			}
		}
		b.sayPair(what, n, p)
		r.Pairs = append(r.Pairs, p)
	}
	return nil
}

func (b *bench) sayPair(what string, n int, p Pair) {
	b.say("%s %d/%d: yardstick %.2f s, freshet %.2f s, ratio %.2f", what, n+1, b.Pairs, p.Reference.Took.Seconds(), p.Freshet.Took.Seconds(), p.Ratio())
}

// timed ends a turn that hangs.
func timed(ctx context.Context, limit time.Duration, take func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return take(ctx)
}

// compare has the judge look at every row and every key.
func (b *bench) compare(ctx context.Context) error {
	verdict, err := e2e.Judge{DSN: b.postgres.DSN, Redis: b.keys, Tables: []string{"items"}}.Compare(ctx)
	if err == nil && !verdict.Equal() {
		err = fmt.Errorf("rows and keys differ: %s", verdict)
	}
	return err
}
