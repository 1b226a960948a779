package bench_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freshet/local/bench"
	"freshet/local/server"
)

func pair(theirs, ours time.Duration) bench.Pair {
	return bench.Pair{Reference: bench.Turn{Took: theirs}, Freshet: bench.Turn{Took: ours}}
}

func page(t *testing.T, results ...bench.Result) string {
	t.Helper()
	var report bench.Report
	for _, r := range results {
		report.Put(r)
	}
	var b strings.Builder
	if err := report.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func wantParts(t *testing.T, page string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(page, part) {
			t.Errorf("the report does not say %q:\n%s", part, page)
		}
	}
}

func TestReport_SaysTheMedianRatio(t *testing.T) {
	r := bench.Result{Workload: bench.Stream, Rows: 1_500_000, Pairs: []bench.Pair{
		pair(time.Second, 10*time.Second), pair(8*time.Second, 10*time.Second), pair(6*time.Second, 10*time.Second),
	}}
	if got := r.Ratio(); got != 0.6 {
		t.Errorf("ratio %v, want 0.6", got)
	}
	r.Pairs = append(r.Pairs, pair(7*time.Second, 10*time.Second))
	if got := r.Ratio(); got < 0.649 || got > 0.651 {
		t.Errorf("ratio of an even number %v, want 0.65", got)
	}
	wantParts(t, page(t, r), "1,500,000 rows", "| 1 | 1.00 s | 10.00 s |", "| 0.10 |", "**Median ratio 0.65**, 150,000 rows a second",
		"| stream | pg_recvlogical | ratio ≥ 1.15 | ratio 0.65 (0.10 - 0.80); 4 turns only | no |", "| small | pg_recvlogical | ratio ≥ 1.20 | not yet | - | - |")
}

// Five pairs each, in which everything is as it should be, or nothing is.
func TestReport_SaysWhetherAnAimIsMet(t *testing.T) {
	five := func(theirs, ours bench.Turn) (pairs []bench.Pair) {
		for range 5 {
			pairs = append(pairs, bench.Pair{Reference: theirs, Freshet: ours})
		}
		return pairs
	}
	course := func(workload string, took, cpu time.Duration, memory ...int64) bench.Result {
		c := bench.Course{Turn: bench.Turn{Took: took}}
		for _, bytes := range memory {
			c.Samples = append(c.Samples, bench.Sample{Poller: bytes, Fn: bytes})
			c.Poller.Peak, c.Fn.Peak = max(c.Poller.Peak, bytes), max(c.Fn.Peak, bytes)
		}
		c.Poller.CPU, c.Fn.CPU = cpu, cpu
		return bench.Result{Workload: workload, Rows: 5_000_000, Course: &c}
	}
	latency := func(p50, p99 time.Duration) bench.Result {
		turn := bench.LatencyTurn{Turn: bench.Turn{Took: 20 * time.Second}, Returned: bench.Spread{P50: p50, P99: p99}}
		return bench.Result{Workload: bench.Latency, Latency: []bench.LatencyTurn{turn, turn, turn, turn, turn}}
	}
	stream := func(walsender, poller, fn time.Duration) bench.Result {
		theirs, ours := bench.Turn{Took: 6 * time.Second}, bench.Turn{Took: 4 * time.Second}
		theirs.Walsender.CPU, ours.Walsender.CPU, ours.Poller.CPU, ours.Fn.CPU = walsender, walsender, poller, fn
		return bench.Result{Workload: bench.Stream, Rows: 500_000, Pairs: five(theirs, ours)}
	}
	hot := func(written int) bench.Result {
		return bench.Result{Workload: bench.Hot, Rows: 200_000, Pairs: five(bench.Turn{Took: 6 * time.Second}, bench.Turn{Took: 4 * time.Second, Written: written})}
	}
	const ms = time.Millisecond
	for _, test := range []struct {
		result bench.Result
		line   string
	}{
		{stream(4*time.Second, time.Second, time.Second), "| stream | pg_recvlogical | ratio ≥ 1.15 | ratio 1.50 (1.50 - 1.50) | yes |"},
		{stream(4*time.Second, time.Second, time.Second), "| cpu | the walsender of pg_recvlogical | ratio ≤ 0.80 | ratio 0.50 (0.50 - 0.50) | yes |"},
		{stream(4*time.Second, 3*time.Second, time.Second), "| ratio 1.00 (1.00 - 1.00) | no |"},
		{stream(0, 0, 0), "| not known on this system | no |"},
		{hot(100_000), "keys written a message 0.50 (0.50 - 0.50) | yes |"},
		{hot(110_000), "keys written a message 0.55 (0.55 - 0.55) | no |"},
		{latency(1400*time.Microsecond, 4*ms), "| p50 < 1.5 ms, p99 < 5 ms | p50 1.40 ms (1.40 - 1.40), p99 4.00 ms (4.00 - 4.00) | yes |"},
		{latency(1600*time.Microsecond, 4*ms), "| no |"},
		{latency(1400*time.Microsecond, 5*ms), "| no |"},
		{course(bench.Memory, time.Second, 0, 50e6, 60e6, 60e6, 63e6), "| peaks < 64 MB each, level | poller 63 MB, function 63 MB, level | yes |"},
		{course(bench.Memory, time.Second, 0, 50e6, 60e6, 60e6, 64e6), "function 64 MB, level | no |"},
		{course(bench.Memory, time.Second, 0, 30e6, 30e6, 40e6), "not level | no |"},
		{course(bench.Idle, time.Hour, 10*time.Second, 40e6, 50e6, 44e6), "| poller 0.28 %, function 0.28 %, memory 1.10 and 1.10 | yes |"},
		{course(bench.Idle, time.Hour, 20*time.Second, 40e6, 40e6), "| no |"},
		{course(bench.Idle, time.Hour, time.Second, 40e6, 45e6), "| no |"},
		{course(bench.Idle, time.Minute, 0, 40e6, 40e6), "; 1m0s only | yes |"},
		{bench.Result{Workload: bench.Narrow, Skipped: "too old"}, "| narrow | pg_recvlogical | ratio ≥ 1.50 | left out: too old | - | - |"},
	} {
		wantParts(t, page(t, test.result), test.line)
	}
}

func TestReport_NamesAnotherMachine(t *testing.T) {
	here, there := bench.Machine{Cores: 2, Postgres: "15.18"}, bench.Machine{Cores: 8, Postgres: "17.10"}
	text := page(t,
		bench.Result{Workload: bench.Backfill, Machine: there, Rows: 1, Pairs: []bench.Pair{pair(1, 1)}},
		bench.Result{Workload: bench.Stream, Machine: here, Rows: 1, Pairs: []bench.Pair{pair(1, 1)}},
		bench.Result{Workload: bench.Small, Machine: here, Rows: 1, Pairs: []bench.Pair{pair(1, 1)}})
	for machine, times := range map[bench.Machine]int{here: 1, there: 1} {
		if got := strings.Count(text, machine.String()); got != times {
			t.Errorf("%q is there %d times, want %d\n%s", machine, got, times, text)
		}
	}
}

func TestReport_KeepsWhatIsNotMeasured(t *testing.T) {
	dir := t.TempDir()
	save := func(results ...bench.Result) {
		report, err := bench.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			report.Put(r)
		}
		if err := report.Save(dir); err != nil {
			t.Fatal(err)
		}
	}
	result := func(workload string, rows int) bench.Result {
		return bench.Result{Workload: workload, Rows: rows, Pairs: []bench.Pair{pair(2, 1)}}
	}
	save(result(bench.Backfill, 11), result(bench.Narrow, 22))
	save(result(bench.Stream, 33), result(bench.Backfill, 44), bench.Result{Workload: bench.Narrow, Skipped: "too old"})
	report, err := bench.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, r := range report.Results {
		got = append(got, r.Rows)
	}
	if len(got) != 3 || got[0] != 33 || got[1] != 22 || got[2] != 44 {
		t.Errorf("rows %v, want 33 of stream, 22 of narrow, 44 of backfill", got)
	}
}

// What people read is made of the numbers beside it.
func TestReport_IsFresh(t *testing.T) {
	want, err := os.ReadFile("RESULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	report, err := bench.Load(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := report.Save(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "RESULTS.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("RESULTS.md is not what results.json makes: go run ./local/bench/cmd/bench -what \"\" writes it anew")
	}
}

func TestOptions_RefuseWhatCannotBeMeasured(t *testing.T) {
	good := bench.Options{Rows: 1, Pairs: 1, What: bench.All, Latency: time.Second, Idle: time.Second}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, bad := range []bench.Options{
		{Rows: 0, Pairs: 1, What: good.What}, {Rows: 1, Pairs: 0, What: good.What}, {Rows: 1, Pairs: 1},
		{Rows: 1, Pairs: 1, What: []string{"everything"}}, {Rows: 1, Pairs: 1, What: []string{bench.CPU}},
		{Rows: 1, Pairs: 1, What: []string{bench.Latency}}, {Rows: 1, Pairs: 1, What: []string{bench.Idle}},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// A short run, to know that the benchmark still works; its times mean nothing.
func TestRun_Measures(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	found, err := server.Find()
	if err != nil {
		server.Missing(t, err)
	}
	if found.Tool("pg_recvlogical") == "" {
		t.Skip("there is no pg_recvlogical on this machine; make test installs it")
	}
	given := 0
	report, err := bench.Run(t.Context(), bench.Options{
		Rows: 10_000, Pairs: 1, What: bench.All, Latency: time.Second, Idle: 2 * time.Second, Log: os.Stderr,
		Each: func(bench.Result) error { given++; return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if given != len(bench.All) || len(report.Results) != given {
		t.Errorf("%d results, %d of them given at once, want %d", len(report.Results), given, len(bench.All))
	}
	for _, r := range report.Results {
		if r.Skipped == "" {
			wantSense(t, r)
		}
	}
	if err := report.Write(t.Output()); err != nil {
		t.Fatal(err)
	}
}

func wantSense(t *testing.T, r bench.Result) {
	t.Helper()
	for _, p := range r.Pairs {
		f := p.Freshet
		if ratio := p.Ratio(); ratio <= 0 || ratio > 50 {
			t.Errorf("%s: ratio %v", r.Workload, ratio)
		}
		if f.Redis <= 0 {
			t.Errorf("%s: Redis has done nothing", r.Workload)
		}
		switch r.Workload {
		case bench.Verify:
			if f.Compared != r.Rows || f.Written != 0 {
				t.Errorf("verify: %d keys compared and %d written, want %d and 0", f.Compared, f.Written, r.Rows)
			}
		case bench.Hot:
			// Redis counts the fields of the state too, a handful in each batch and some more when the session opens.
			if f.Written < 1000 || f.Written > r.Rows || f.Changes < f.Written || f.Changes > f.Written+6*f.Batches+100 {
				t.Errorf("hot: %d keys written in %d batches, %d changes", f.Written, f.Batches, f.Changes)
			}
		default:
			if f.Rows < 0 || f.Rows > f.Took || f.Written != r.Rows { // it is nothing where so few rows come between two looks
				t.Errorf("%s: %d rows written in %s, want %d", r.Workload, f.Written, f.Rows, r.Rows)
			}
		}
	}
	for _, l := range r.Latency {
		if l.Commits != 1000 || l.Written != r.Rows || l.Sent.P50 <= 0 || l.Sent.P50 < l.Returned.P50 || l.Sent.P99 > time.Second || l.Sent.Max < l.Sent.P99 {
			t.Errorf("latency: %+v", l)
		}
	}
	// Ten at the most: so few rows are there in no time, and a busy machine may look only when two tenths have come.
	if c := r.Course; c != nil && (len(c.Samples) < 5 || len(c.Samples) > 10 || c.Took <= 0) {
		t.Errorf("%s: %+v", r.Workload, c)
	}
}
