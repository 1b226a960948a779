// Command shop makes the demo shop's tables in the database DATABASE_URL, and sells until it is interrupted: make load.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"freshet/local/stack"
	"freshet/shared/problem"
)

func main() {
	rate := flag.Int("rate", 200, "transactions a second")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := run(ctx, *rate); err != nil {
		problem.Print(os.Stderr, "shop", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rate int) error {
	dsn := os.Getenv("DATABASE_URL")
	if dsn == "" {
		return &problem.Error{What: "DATABASE_URL is needed", Why: "it is not set", Fix: "set it to the database to sell in"}
	}
	shop, err := stack.OpenShop(ctx, dsn)
	if err != nil {
		return err
	}
	fmt.Printf("selling, %d transactions a second; Ctrl-C stops\n", rate)
	err = shop.Sell(ctx, rate)
	fmt.Printf("%d rows changed\n", shop.Changed())
	return errors.Join(err, shop.Close())
}
