package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"freshet/shared/problem"
)

// check prints every finding; warnings alone are no failure.
func check(ctx context.Context, out io.Writer) error {
	p, _, err := newPoller()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tables, found := p.Check(ctx)
	if len(found.Blocking()) > 0 {
		return found
	}
	for _, warning := range found {
		problem.Print(out, "poller", warning)
	}
	fmt.Fprintf(out, "poller: all is well: %d tables can be mirrored\n", tables)
	return nil
}
