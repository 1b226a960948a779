package sink

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// newBackoff is exponential with full jitter: each pause is drawn between zero and a bound that doubles up to the cap, so
// that lanes do not return in step.
func newBackoff(most time.Duration) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 50 * time.Millisecond
	b.Multiplier = 2
	b.RandomizationFactor = 1 // between 0 and 2 * interval
	b.MaxInterval = most / 2
	b.Reset()
	return b
}

// pause waits, or returns early with the context's error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
