// Command run is freshet on this machine, with everything it needs: make run.
package main

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"syscall"

	"freshet/local/stack/demo"
	"freshet/shared/problem"
)

func main() {
	var o demo.Options
	flag.IntVar(&o.Rate, "rate", 200, "transactions a second in the demo shop")
	flag.DurationVar(&o.Duration, "for", 0, "stop after this time; 0 goes on until Ctrl-C")
	flag.StringVar(&o.Running, "running", "", "file that tells where the servers are while they run")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal kills
	if err := demo.Run(ctx, os.Stdout, o); err != nil {
		problem.Print(os.Stderr, "run", err)
		os.Exit(1)
	}
}
