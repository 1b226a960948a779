// Command poller streams changes from Postgres to a function that writes Redis. It is configured by its environment; see CONFIG.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"freshet/poller"
	"freshet/poller/operate"
	"freshet/shared/config"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

const usage = `usage: poller [command]

  run          mirror the tables of POLLER_TABLES (the default)
  check        examine Postgres, the function and Redis, and say what would get in the way
  backfill     have a running poller read rows again, and follow it
                 poller backfill TABLE... [--where SQL] [--detach]      or --all for every table
                 poller backfill list
                 poller backfill pause|resume|cancel TABLE...           a table of such a name is public.pause
  verify       have a running poller compare Redis with Postgres, both ways
                 poller verify [TABLE...] [--sample 1%] [--repair] [--examples 5] [--json]
  preview      show what the function would write for some rows
  dead-letters list, show, replay or drop messages that could not be written
  healthcheck  ask a running poller on this machine whether it is alive
  help         this text

Settings come from the environment: run and check need DATABASE_URL, POLLER_FUNCTION_URL and POLLER_TABLES; backfill, verify and healthcheck
need POLLER_ADMIN_ADDR alone, where it is not 127.0.0.1:9090. CONFIG.md lists all settings. -- ends the flags.

Exit codes:
  0  all is well: the backfill is done, Redis is equal to Postgres
  1  it is not: something is in the way, the backfill is not done, keys differ
  2  the settings or the command are wrong
  3  verify: nothing can be said, because the comparison did not come to its end, or some rows changed at every look
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "poller: interrupted")
	case err != nil && !errors.Is(err, errToldAlready):
		problem.Print(os.Stderr, "poller", err)
	}
	os.Exit(exitCode(err))
}

// errToldAlready ends the program without a message: its output says it all.
var errToldAlready = errors.New("told already")

// coded is an error with an exit code of its own.
type coded struct {
	error
	code int
}

func (c coded) Unwrap() error { return c.error }

func wrongUsage(what, why, fix string) error {
	return coded{&problem.Error{What: what, Why: why, Fix: fix}, config.ExitCode}
}

func exitCode(err error) int {
	var own coded
	switch {
	case err == nil:
		return 0
	case errors.As(err, &own):
		return own.code
	}
	return 1
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	command := "run"
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch command {
	case "backfill":
		return backfill(ctx, args, stdout)
	case "verify":
		return verify(ctx, args, stdout, stderr)
	case "preview":
		return preview(ctx, args, stdout)
	case "dead-letters":
		return deadLetters(ctx, args, stdout)
	}
	simple := map[string]func() error{
		"run":         func() error { return mirror(ctx) },
		"check":       func() error { return check(ctx, stdout) },
		"healthcheck": func() error { return healthcheck(ctx) },
		"help":        func() error { return help(stdout) },
		"-h":          func() error { return help(stdout) },
		"--help":      func() error { return help(stdout) },
	}
	act, ok := simple[command]
	switch {
	case !ok:
		return wrongUsage(fmt.Sprintf("unknown command %q", command), "", "poller help lists the commands")
	case len(args) > 0:
		return wrongUsage(command+" takes no arguments", fmt.Sprintf("%q was given", args), "poller help lists the commands")
	}
	return act()
}

func help(out io.Writer) error {
	_, err := io.WriteString(out, usage)
	return err
}

func healthcheck(ctx context.Context) error {
	addr, err := adminAddr()
	if err != nil {
		return err
	}
	return exchange.Probe(ctx, addr)
}

// adminAddr is where a running poller is asked.
func adminAddr() (string, error) {
	var c poller.Admin
	if err := config.LoadPart(poller.Prefix, &c); err != nil {
		return "", coded{err, config.ExitCode}
	}
	return c.AdminAddr, nil
}

// runningPoller is what backfill and verify ask.
func runningPoller() (*operate.Client, error) {
	addr, err := adminAddr()
	if err != nil {
		return nil, err
	}
	client, err := operate.NewClient(addr)
	if err != nil {
		return nil, coded{err, config.ExitCode}
	}
	return client, nil
}
