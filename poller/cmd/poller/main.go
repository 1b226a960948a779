// Command poller streams changes from Postgres to a function that writes Redis. It is configured by its environment; see CONFIG.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"freshet/poller"
	"freshet/shared/config"
	"freshet/shared/exchange"
	"freshet/shared/logging"
	"freshet/shared/problem"
)

const usage = `usage: poller [command]

  run          mirror the tables of POLLER_TABLES (the default)
  check        examine Postgres, the function and Redis, and say what would get in the way
  preview      show what the function would write for some rows
  dead-letters list, show, replay or drop messages that could not be written
  healthcheck  ask a running poller on this machine whether it is alive
  help         this text

Settings come from the environment: DATABASE_URL, POLLER_FUNCTION_URL and POLLER_TABLES are needed, CONFIG.md lists them all.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	err := run(ctx, os.Args[1:], os.Stdout)
	if err == nil {
		return
	}
	problem.Print(os.Stderr, "poller", err)
	var settings badSettings
	if errors.As(err, &settings) {
		os.Exit(config.ExitCode)
	}
	os.Exit(1)
}

// badSettings marks errors of the environment or the command line.
type badSettings struct{ error }

func (b badSettings) Unwrap() error { return b.error }

func run(ctx context.Context, args []string, out io.Writer) error {
	command := "run"
	if len(args) > 0 {
		command = args[0]
	}
	switch {
	case command == "help" || command == "-h" || command == "--help":
		fmt.Fprint(out, usage)
		return nil
	case command == "preview":
		return preview(ctx, args[1:], out)
	case command == "dead-letters":
		return deadLetters(ctx, args[1:], out)
	case len(args) > 1 || command != "run" && command != "check" && command != "healthcheck":
		return badSettings{&problem.Error{What: fmt.Sprintf("unknown command %q", args), Fix: "poller help lists the commands"}}
	}
	c, err := settings()
	if err != nil {
		return err
	}
	if command == "healthcheck" {
		return exchange.Probe(ctx, c.AdminAddr)
	}
	p, err := poller.New(c, logging.New(os.Stderr, c.Logging.Config))
	if err != nil {
		return err
	}
	if command == "check" {
		return check(ctx, p, out)
	}
	boundMemory(c)
	return p.Run(ctx)
}

// settings reads the environment.
func settings() (c poller.Config, err error) {
	if err := config.Load(poller.Prefix, &c); err != nil {
		return c, badSettings{err}
	}
	return c, nil
}

// boundMemory has garbage collected earlier than usual once the heap is larger than full buffers make it: by itself the runtime lets it
// grow to twice what is in use. It is a soft limit, and an operator's own, GOMEMLIMIT, has precedence.
func boundMemory(c poller.Config) {
	const besideBuffers = 16 << 20
	if debug.SetMemoryLimit(-1) == math.MaxInt64 { // -1 only asks
		debug.SetMemoryLimit(besideBuffers + 2*int64(c.BufferBytes))
	}
}

// check prints every finding; warnings alone are no failure.
func check(ctx context.Context, p *poller.Poller, out io.Writer) error {
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
