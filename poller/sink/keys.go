package sink

import (
	"context"
	"time"

	"freshet/shared/exchange"
)

// Keys asks the function for keys, and has some removed, beside the lanes. Trouble that passes is waited for.
type Keys struct {
	Client *Client
	Config Config
}

// Scan brings the next keys.
func (k Keys) Scan(ctx context.Context, ask exchange.ScanRequest) (found exchange.ScanResponse, err error) {
	err = k.settle(ctx, func() (a Answer) { found, a = k.Client.Scan(ctx, ask); return a })
	return found, err
}

// Sweep removes keys that no row can have.
func (k Keys) Sweep(ctx context.Context, ask exchange.SweepRequest) (done exchange.SweepResponse, err error) {
	err = k.settle(ctx, func() (a Answer) { done, a = k.Client.Sweep(ctx, ask); return a })
	return done, err
}

// settle asks until there is an answer that will not pass.
func (k Keys) settle(ctx context.Context, ask func() Answer) error {
	again := newBackoff(k.Config.RetryMax)
	for {
		a := ask()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case a.Outcome == exchange.Settled:
			return nil
		case a.Outcome != exchange.Retry:
			return a.Problem
		}
		if err := pause(ctx, max(again.NextBackOff(), min(a.RetryAfter, time.Minute))); err != nil {
			return err
		}
	}
}
