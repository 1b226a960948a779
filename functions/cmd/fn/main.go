// Command fn is the function: it takes batches of row changes and keeps Redis strings equal to the rows. It listens on $PORT; where
// AWS_LAMBDA_RUNTIME_API is set it serves the Lambda runtime instead.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"freshet/functions"
	"freshet/shared/config"
	"freshet/shared/exchange"
	"freshet/shared/garbage"
	"freshet/shared/logging"
	"freshet/shared/problem"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	if err := run(ctx, os.Args[1:], os.Stderr); err != nil {
		problem.Print(os.Stderr, "fn", err)
		os.Exit(exitCode(err))
	}
}

// exitCode tells wrong settings, which are reported as a list, from all else.
func exitCode(err error) int {
	var wrong problem.List
	if errors.As(err, &wrong) {
		return config.ExitCode
	}
	return 1
}

const usage = `usage: fn [command]

  run          take batches (the default)
  healthcheck  ask a function on this machine whether it is alive; of the settings only PORT matters
  help         this text

Settings come from the environment: REDIS_URL or FN_REDIS_HOST is needed, CONFIG.md lists them all.
`

func run(ctx context.Context, args []string, stderr io.Writer) error {
	switch {
	case len(args) == 0, len(args) == 1 && args[0] == "run":
		return serve(ctx, stderr)
	case len(args) == 1 && args[0] == "healthcheck":
		return exchange.Probe(ctx, "127.0.0.1:"+cmp.Or(os.Getenv("PORT"), "8080"))
	case len(args) == 1 && (args[0] == "help" || args[0] == "-h" || args[0] == "--help"):
		fmt.Fprint(stderr, usage)
		return nil
	}
	return problem.List{{What: fmt.Sprintf("unknown command %q", args), Fix: "fn help lists the commands"}}
}

// leastHeap is about what the heap grows to under load in any case. So the start of a load is collected less often, and the most that is
// resident stays as it is.
const leastHeap = 20 << 20

func serve(ctx context.Context, stderr io.Writer) error {
	var c functions.Config
	if err := config.Load("FN", &c); err != nil {
		return err
	}
	f, err := functions.New(c, functions.WithLog(logging.New(stderr, c.Logging)))
	if err != nil {
		return err
	}
	defer f.Close()
	garbage.CollectFrom(leastHeap)
	return f.Run(ctx)
}
