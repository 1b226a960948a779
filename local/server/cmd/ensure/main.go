// Command ensure installs Postgres and Redis when this machine has none.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"freshet/local/server"
	"freshet/shared/problem"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := server.Ensure(ctx, os.Stdout); err != nil {
		problem.Print(os.Stderr, "ensure", err)
		os.Exit(1)
	}
}
