// Command bench measures freshet and writes the results to results.json and RESULTS.md of a folder, beside those of workloads that it
// has not measured.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

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
	o := bench.Options{Log: os.Stderr}
	flag.IntVar(&o.Rows, "rows", 500_000, "rows of the large transaction and of the backfill; two fifths of it are updated one by one, ten times as many make the transaction of memory")
	flag.IntVar(&o.Pairs, "pairs", 5, "turns of each side")
	flag.DurationVar(&o.Latency, "latency", 20*time.Second, "how long a turn of latency takes")
	flag.DurationVar(&o.Idle, "idle", time.Hour, "how long idle takes")
	what := flag.String("what", strings.Join(bench.Usual, ","), "workloads, of "+strings.Join(bench.All, ", ")+"; none to write RESULTS.md anew from results.json")
	out := flag.String("out", "local/bench", "folder of the results, which are printed in any case; empty for none")
	flag.Parse()
	if *what == "" {
		report, err := bench.Load(*out)
		if err != nil {
			return err
		}
		return report.Save(*out)
	}
	o.What = strings.Split(*what, ",")
	o.Each = func(r bench.Result) error { return keep(*out, r) }
	report, err := bench.Run(ctx, o)
	if err != nil {
		return err
	}
	return report.Write(os.Stdout)
}

// keep has a result take its place among those of the folder.
func keep(dir string, r bench.Result) error {
	if dir == "" {
		return nil
	}
	report, err := bench.Load(dir)
	if err == nil {
		report.Put(r)
		err = report.Save(dir)
	}
	if err != nil {
		return fmt.Errorf("keep the result of %s: %w", r.Workload, err)
	}
	return nil
}
