package bench

import (
	"context"
	"fmt"
	"time"

	"freshet/poller/operate"
)

// verify measures a whole comparison, rows with keys and keys with rows, against the backfill that brought the same rows, in the same
// processes.
func (b *bench) verify(ctx context.Context, what string) (Result, error) {
	r := Result{Workload: what, Rows: b.Rows, Yardstick: "backfill"}
	if err := b.existing(ctx, r.Rows); err != nil {
		return r, err
	}
	for n := range b.Pairs {
		pair, err := b.fillAndVerify(ctx, n)
		if err != nil {
			return r, fmt.Errorf("turn %d: %w", n+1, err)
		}
		b.say("%s %d/%d: backfill %.2f s, verify %.2f s, ratio %.2f", what, n+1, b.Pairs, pair.Reference.Took.Seconds(), pair.Freshet.Took.Seconds(), pair.Ratio())
		r.Pairs = append(r.Pairs, pair)
	}
	return r, b.dropSlots(ctx)
}

func (b *bench) fillAndVerify(ctx context.Context, n int) (p Pair, err error) {
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	turn, err := b.startTurn(ctx, map[string]string{"POLLER_SLOT": slot("verify", n), "POLLER_BACKFILL": "initial"}, nil)
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
	return p, turn.stop()
}

// since leaves what a turn has used before out of what it has used.
func (t *Turn) since(before Turn) {
	t.Poller.CPU -= before.Poller.CPU
	t.Fn.CPU -= before.Fn.CPU
	t.Batches -= before.Batches
	t.Rows = 0
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
