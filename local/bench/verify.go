package bench

import (
	"context"
	"fmt"
	"time"

	"freshet/poller/operate"
)

// verify measures a whole comparison, rows with keys and keys with rows, against the backfill that brought the same rows, in the same
// processes.
func (b *bench) verify(ctx context.Context) (Result, error) {
	r := Result{Rows: b.Rows}
	if err := b.existing(ctx, r.Rows); err != nil {
		return r, err
	}
	for n := range b.Pairs {
		var pair Pair
		err := timed(ctx, turnTimeout, func(ctx context.Context) (err error) {
			pair, err = b.fillAndVerify(ctx, n)
			return err
		})
		if err != nil {
			return r, fmt.Errorf("turn %d: %w", n+1, err)
		}
		b.sayPair(Verify, n, pair)
		r.Pairs = append(r.Pairs, pair)
	}
	return r, nil
}

func (b *bench) fillAndVerify(ctx context.Context, n int) (p Pair, err error) {
	turn, err := b.startTurn(ctx, manner{rows: b.Rows, poller: map[string]string{"POLLER_SLOT": slot("verify", n)}})
	if err != nil {
		return p, err
	}
	defer turn.kill()
	if p.Reference.Took, err = turn.wait(ctx, b.filled); err != nil {
		return p, err
	}
	if err := p.Reference.measure(ctx, turn); err != nil {
		return p, err
	}
	if p.Freshet.Took, err = turn.compare(ctx); err != nil {
		return p, err
	}
	if err := p.Freshet.measure(ctx, turn); err != nil {
		return p, err
	}
	p.Freshet.since(p.Reference)
	p.Freshet.Batches = 0 // what is compared does not travel in those
	return p, turn.stop()
}

// compare has the running poller compare everything, and wants it to be equal.
func (t *turn) compare(ctx context.Context) (took time.Duration, err error) {
	client, err := operate.NewClient(t.admin)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	v, err := client.StartVerification(ctx, operate.VerifyRequest{})
	for err == nil && v.State == operate.VerifyRunning {
		time.Sleep(glance)
		v, err = client.Verification(ctx, v.ID)
	}
	took = time.Since(began)
	if err == nil && !v.Equal() {
		err = fmt.Errorf("the comparison is not equal: %s", operate.Report(v))
	}
	return took, err
}
