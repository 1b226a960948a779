package main

import (
	"context"
	"math"
	"os"
	"runtime/debug"

	"freshet/poller"
	"freshet/shared/config"
	"freshet/shared/garbage"
	"freshet/shared/logging"
)

// mirror runs until it is stopped.
func mirror(ctx context.Context) error {
	p, c, err := newPoller()
	if err != nil {
		return err
	}
	garbage.CollectFrom(leastHeap)
	boundMemory(c)
	return p.Run(ctx)
}

// leastHeap is about what the heap grows to under load in any case, and less than the 34 MB that its limit leaves it with the usual buffers.
// So the start of a load is collected less often, and the most that is resident stays as it is.
const leastHeap = 28 << 20

// settings reads the environment.
func settings() (c poller.Config, err error) {
	if err := config.Load(poller.Prefix, &c); err != nil {
		return c, coded{err, config.ExitCode}
	}
	return c, nil
}

func newPoller() (p *poller.Poller, c poller.Config, err error) {
	if c, err = settings(); err != nil {
		return nil, c, err
	}
	p, err = poller.New(c, logging.New(os.Stderr, c.Logging.Config))
	return p, c, err
}

// boundMemory has garbage collected earlier than usual once the heap is larger than full buffers make it: by itself the runtime lets it
// grow to twice what is in use. It is a soft limit, and an operator's own, GOMEMLIMIT, has precedence.
func boundMemory(c poller.Config) {
	const besideBuffers = 12 << 20
	if debug.SetMemoryLimit(-1) == math.MaxInt64 { // -1 only asks
		debug.SetMemoryLimit(besideBuffers + 2*int64(c.BufferBytes))
	}
}
