package bench_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"freshet/local/bench"
	"freshet/local/server"
)

func TestReport_SaysTheMedianRatio(t *testing.T) {
	pair := func(theirs, ours time.Duration) bench.Pair {
		return bench.Pair{Reference: bench.Turn{Took: theirs}, Freshet: bench.Turn{Took: ours}}
	}
	r := bench.Result{Workload: bench.Stream, Yardstick: "them", Rows: 1_500_000, Pairs: []bench.Pair{
		pair(time.Second, 10*time.Second), pair(8*time.Second, 10*time.Second), pair(6*time.Second, 10*time.Second),
	}}
	if got := r.Ratio(); got != 0.6 {
		t.Errorf("ratio %v, want 0.6", got)
	}
	r.Pairs = append(r.Pairs, pair(7*time.Second, 10*time.Second))
	if got := r.Ratio(); got < 0.649 || got > 0.651 {
		t.Errorf("ratio of an even number %v, want 0.65", got)
	}
	var b strings.Builder
	if err := (bench.Report{Results: []bench.Result{r}}).Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"1,500,000 rows", "| 1 | 1.00 s | 10.00 s |", "| 0.10 |", "**Median ratio 0.65**, 150,000 rows a second"} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("the report does not say %q:\n%s", part, b.String())
		}
	}
}

func TestOptions_RefuseWhatCannotBeMeasured(t *testing.T) {
	good := bench.Options{Rows: 1, Pairs: 1, What: []string{bench.Stream, bench.Small, bench.Backfill}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, bad := range []bench.Options{
		{Rows: 0, Pairs: 1, What: good.What}, {Rows: 1, Pairs: 0, What: good.What}, {Rows: 1, Pairs: 1},
		{Rows: 1, Pairs: 1, What: []string{"everything"}},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// A short run, to know that the benchmark still works; its numbers mean nothing.
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
	report, err := bench.Run(t.Context(), bench.Options{
		Rows: 20_000, Pairs: 1, What: []string{bench.Stream, bench.Small, bench.Narrow, bench.Backfill, bench.Verify}, Log: os.Stderr,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range report.Results {
		if ratio := r.Ratio(); ratio <= 0 || ratio > 50 {
			t.Errorf("%s: ratio %v", r.Workload, ratio)
		}
		if rows := r.Pairs[0].Freshet.Rows; rows <= 0 && r.Workload != bench.Verify {
			t.Errorf("%s: no rows were seen to arrive", r.Workload)
		}
	}
	if err := report.Write(t.Output()); err != nil {
		t.Fatal(err)
	}
}
