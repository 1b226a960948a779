package bench

import (
	"context"
	"time"
)

// idle measures what the programs use when everything is in Redis and nothing changes.
func (b *bench) idle(ctx context.Context) (Result, error) {
	r := Result{Rows: b.Rows, Course: &Course{}}
	if err := b.existing(ctx, r.Rows); err != nil {
		return r, err
	}
	err := timed(ctx, b.Idle+turnTimeout, func(ctx context.Context) error { return b.rest(ctx, r.Course) })
	return r, err
}

func (b *bench) rest(ctx context.Context, c *Course) error {
	turn, err := b.startTurn(ctx, manner{poller: map[string]string{"POLLER_SLOT": slot("idle", 0)}})
	if err != nil {
		return err
	}
	defer turn.kill()
	if _, err := turn.wait(ctx, b.filled); err != nil {
		return err
	}
	began := time.Now()
	before, asked, err := turn.account(ctx)
	if err != nil {
		return err
	}
	b.say("%s: nothing to do from now on, for %s", Idle, b.Idle)
	for n := range looks {
		if err := turn.until(ctx, began.Add(b.Idle*time.Duration(n+1)/looks)); err != nil {
			return err
		}
		c.Samples = append(c.Samples, turn.sample(time.Since(began), 0))
	}
	if c.Turn, c.Requests, err = turn.account(ctx); err != nil {
		return err
	}
	c.Took = time.Since(began)
	c.since(before)
	for route := range c.Requests {
		c.Requests[route] -= asked[route]
	}
	if err := turn.stop(); err != nil {
		return err
	}
	return b.compare(ctx)
}

// account is what was used and asked until now.
func (t *turn) account(ctx context.Context) (used Turn, asked map[string]int, err error) {
	if err := used.measure(ctx, t); err != nil {
		return used, nil, err
	}
	metrics, err := t.metrics(ctx)
	return used, requests(metrics), err
}

// until waits, and touches nothing; the programs must be running afterwards.
func (t *turn) until(ctx context.Context, then time.Time) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.poller.Done():
	case <-t.fns[0].Done():
	case <-time.After(time.Until(then)):
	}
	return t.alive()
}
