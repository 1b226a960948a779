package bench

import (
	"context"
	"fmt"

	"freshet/local/e2e"
)

// stream measures a workload that waits in the log: pg_recvlogical and freshet, turn and turn about.
func (b *bench) stream(ctx context.Context, what string) (Result, error) {
	r := Result{Workload: what, Rows: b.Rows, Yardstick: "pg_recvlogical"}
	if what == Small {
		r.Rows = b.smallRows()
	}
	end, err := b.prepare(ctx, r.Rows, what == Small)
	if err != nil {
		return r, err
	}
	err = b.pairs(ctx, &r,
		func(ctx context.Context, n int) (Turn, error) { return b.receive(ctx, slot("reference", n), end) },
		func(ctx context.Context, n int) (Turn, error) { return b.mirror(ctx, slot("freshet", n), end) })
	if err != nil {
		return r, err
	}
	return r, b.dropSlots(ctx)
}

// side takes its n-th turn.
type side func(ctx context.Context, n int) (Turn, error)

// pairs has both sides take their turns; who begins changes from pair to pair. After each of freshet's, rows and keys are
// compared outside of the clock.
func (b *bench) pairs(ctx context.Context, r *Result, reference, freshet side) error {
	for n := range b.Pairs {
		var p Pair
		var err error
		theirs := func() error { p.Reference, err = b.timed(ctx, reference, n); return err }
		ours := func() error { p.Freshet, err = b.timed(ctx, freshet, n); return err }
		order := []func() error{theirs, ours}
		if n%2 == 1 {
			order = []func() error{ours, theirs}
		}
		for _, take := range order {
			if err := take(); err != nil {
				return fmt.Errorf("turn %d: %w", n+1, err)
			}
		}
		b.say("%s %d/%d: %s %.2f s, freshet %.2f s, ratio %.2f", r.Workload, n+1, b.Pairs, r.Yardstick,
			p.Reference.Took.Seconds(), p.Freshet.Took.Seconds(), p.Ratio())
		r.Pairs = append(r.Pairs, p)
	}
	return nil
}

func (b *bench) timed(ctx context.Context, take side, n int) (Turn, error) {
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	return take(ctx, n)
}

// compare has the judge look at every row and every key.
func (b *bench) compare(ctx context.Context) error {
	verdict, err := e2e.Judge{DSN: b.postgres.DSN, Redis: b.keys, Tables: []string{"items"}}.Compare(ctx)
	if err == nil && !verdict.Equal() {
		err = fmt.Errorf("rows and keys differ: %s", verdict)
	}
	return err
}
