package main

import (
	"context"
	"math"
	"os"
	"runtime/debug"

	"freshet/poller"
	"freshet/shared/config"
	"freshet/shared/logging"
)

// mirror runs until it is stopped.
func mirror(ctx context.Context) error {
	p, c, err := newPoller()
	if err != nil {
		return err
	}
	boundMemory(c)
	return p.Run(ctx)
}

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
