// Command profile records how both programs spend their processor time under load, and writes the default.pgo by which the compiler optimizes them.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"freshet/local/bench"
	"freshet/shared/problem"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	if err := run(ctx); err != nil {
		problem.Print(os.Stderr, "profile", err)
		os.Exit(1)
	}
}

// run takes three turns of each load that is about throughput.
func run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "freshet-profile-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o := bench.Options{
		Rows: 500_000, Pairs: 3, Log: os.Stderr, Profiles: dir,
		What: []string{bench.Stream, bench.Narrow, bench.Small, bench.Hot, bench.Backfill},
	}
	if _, err := bench.Run(ctx, o); err != nil {
		return err
	}
	return errors.Join(bench.Merge(ctx, dir, "poller", "poller/cmd/poller/default.pgo"), bench.Merge(ctx, dir, "fn", "functions/cmd/fn/default.pgo"))
}
