package e2e_test

import (
	"errors"
	"testing"
	"time"
)

// look is the pause between two looks at something that is waited for.
const look = 10 * time.Millisecond

// errNotYet is for conditions that have nothing more to say.
var errNotYet = errors.New("not yet")

// eventually waits until check is content, and returns how long that took.
func eventually(t *testing.T, within time.Duration, check func() error) time.Duration {
	t.Helper()
	began := time.Now()
	for tick := time.NewTicker(look); ; <-tick.C {
		err := check()
		took := time.Since(began)
		if err == nil {
			return took
		}
		if took > within {
			t.Fatalf("not within %s: %v", within, err)
		}
	}
}

// always looks for so long, and check must be content all the time.
func always(t *testing.T, during time.Duration, check func() error) {
	t.Helper()
	began := time.Now()
	for tick := time.NewTicker(look); time.Since(began) < during; <-tick.C {
		if err := check(); err != nil {
			t.Fatalf("after %s: %v", time.Since(began).Round(look), err)
		}
	}
}
