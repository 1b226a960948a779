// Command bench measures freshet against the walsender and writes the results to local/bench/RESULTS.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"freshet/local/bench"
	"freshet/shared/problem"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	if err := run(ctx); err != nil {
		problem.Print(os.Stderr, "bench", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	rows := flag.Int("rows", 500_000, "rows of the large transaction and of the backfill")
	pairs := flag.Int("pairs", 5, "turns of each side")
	what := flag.String("what", "stream,small,narrow,backfill,verify", "workloads")
	out := flag.String("out", "local/bench/RESULTS.md", "file for the results, which are printed in any case; empty for none")
	flag.Parse()
	report, err := bench.Run(ctx, bench.Options{Rows: *rows, Pairs: *pairs, What: strings.Split(*what, ","), Log: os.Stderr})
	if err != nil {
		return err
	}
	if err := report.Write(os.Stdout); err != nil {
		return err
	}
	if *out == "" {
		return nil
	}
	file, err := os.Create(*out)
	if err != nil {
		return err
	}
	fmt.Fprint(file, "# The pipeline against the walsender\nWritten by `make bench`.\n\n")
	if err := report.Write(file); err != nil {
		return err
	}
	return file.Close()
}
