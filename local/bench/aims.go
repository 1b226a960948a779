package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// aim is a line of the summary and the section that belongs to it: what is measured, against what, and what it is to reach. All aims are in
// this file; the code that measures knows none of them.
type aim struct {
	name    string // of the workload, or of what is read off the turns of another
	turns   string // the workload whose turns it is read off; empty for its own
	against string // the yardstick
	judge   judge
	what    func(r Result) string
	note    string // what one has to know to read the numbers
}

// judge says what is aimed at, and of a result how it stands. Measured is the median, with the least and the most behind it.
type judge struct {
	aim string
	of  func(r Result) (measured string, met bool)
}

// aims are in the order of the report.
var aims = []aim{
	{
		name: Stream, against: walsender, judge: ratioAtLeast(1.15),
		what: func(r Result) string { return thousands(r.Rows) + " rows of nine columns in one transaction" },
	},
	{
		name: Narrow, against: walsender, judge: ratioAtLeast(1.5),
		what: func(r Result) string {
			return thousands(r.Rows) + " rows of nine columns in one transaction, of which the rules use four"
		},
		note: "The yardstick reads whole rows of the same log, since that is what it would be without freshet's column list.",
	},
	{
		name: Small, against: walsender, judge: ratioAtLeast(1.2),
		what: func(r Result) string {
			return thousands(r.Rows) + " updates of a row each, in as many transactions, every row once"
		},
	},
	{
		name: Hot, against: walsender, judge: hotJudge(1.2, 0.5),
		what: func(r Result) string {
			return fmt.Sprintf("%s updates in as many transactions of %s hot rows", thousands(r.Rows), thousands(hotRows(r.Rows)))
		},
		note: `"Keys written" is what the function says (freshet_fn_messages_total of written): a key that is written once for several messages of a batch counts once.
"Changes in Redis" is Redis' own count over the turn (rdb_changes_since_last_save), which has freshet's own too: three fields of the state and a lane's key a batch.`,
	},
	{
		name: Backfill, against: copyPipe, judge: ratioAtLeast(1.5),
		what: func(r Result) string { return thousands(r.Rows) + " rows that were there before" },
		note: "Postgres CPU is that of all its processes. The awk in the pipe is mawk where it is installed: it is the fastest.",
	},
	{
		name: Verify, against: "backfill", judge: ratioAtLeast(0.5),
		what: func(r Result) string { return thousands(r.Rows) + " rows and their keys compared" },
		note: "Here freshet is `poller verify`, and the yardstick its own backfill of the same rows, by the same processes.",
	},
	{
		name: Latency, against: "the commit itself", judge: latencyJudge(1500*time.Microsecond, 5*time.Millisecond),
		what: func(r Result) string {
			return fmt.Sprintf("From the commit to Redis: %s transactions of one row a second, for %s", thousands(latencyRate), r.span().Round(100*time.Millisecond))
		},
		note: fmt.Sprintf(`Both programs run with their default settings. %d connections update a row each that no other transaction of the turn touches, at even distances. A key is
taken to be visible when its keyspace notification has come, so the times are upper bounds. "From the return" begins when COMMIT has returned to the client, "from the sending" when it
was sent; "late" is the longest that a transaction began after its time.`, latencyWriters),
	},
	{
		name: CPU, turns: Stream, against: "the walsender of pg_recvlogical", judge: cpuAtMost(0.8),
		what: func(r Result) string { return "Processor time of both programs, read off the turns of `stream`" },
	},
	{
		name: Memory, against: "-", judge: memoryBelow(64e6),
		what: func(r Result) string {
			return thousands(r.Rows) + " rows in one transaction: memory of both programs"
		},
		note: `Peak is VmHWM; the rest is resident memory (VmRSS) when so many rows were in Redis. It is level when the second half of the looks has nothing higher than a tenth above the highest
of the first. 1 MB is 1,000,000 bytes, 1 MiB 1,048,576.`,
	},
	{
		name: Remote, against: oneFunction, judge: ratioAtLeast(0.9),
		what: func(r Result) string {
			return fmt.Sprintf("%s rows in one transaction, %d functions behind a balancer that adds %s to each request", thousands(r.Rows), remoteFunctions, 2*remoteDelay)
		},
		note: "The yardstick is freshet with one function and nothing between, on the same log. The balancer is part of the benchmark: a TCP proxy on the same processors that deals out connections in turn.",
	},
	{
		name: Idle, against: "-", judge: idleJudge(0.5, 1.1),
		what: func(r Result) string {
			return fmt.Sprintf("Nothing to do for %s, with %s rows", r.span().Round(time.Second), thousands(r.Rows))
		},
		note: "Both programs run with their default settings, so the audit goes on comparing rows and keys, 100 a second. The time begins when the backfill is done.",
	},
}

// The yardsticks of more than one place.
const (
	walsender   = "pg_recvlogical"
	copyPipe    = "COPY to redis-cli"
	oneFunction = "one function"
)

// What a whole measurement is. The summary says what is less than that.
const (
	wholePairs   = 5
	wholeRows    = 500_000
	wholeLatency = 20 * time.Second
	wholeIdle    = time.Hour
)

// partly says in how far a result is less than a whole measurement; it is empty for one.
func partly(r Result) string {
	var short []string
	if n := r.turns(); n < wholePairs && r.Course == nil {
		short = append(short, plural(n, "turn")+" only")
	}
	if r.Rows < wholeOf(r.Workload) {
		short = append(short, thousands(r.Rows)+" rows only")
	}
	if span := r.span(); r.Workload == Latency && span < wholeLatency*9/10 || r.Workload == Idle && span < wholeIdle {
		short = append(short, span.Round(100*time.Millisecond).String()+" only")
	}
	return strings.Join(short, ", ")
}

// wholeOf is how many rows a whole measurement has, where their number matters.
func wholeOf(workload string) int {
	switch workload {
	case Small, Hot:
		return wholeRows * 2 / 5
	case Memory:
		return wholeRows * 10
	case Latency, Idle:
		return 0
	}
	return wholeRows
}

func ratioAtLeast(least float64) judge {
	return judge{fmt.Sprintf("ratio ≥ %.2f", least), func(r Result) (string, bool) {
		ratios := r.ratios()
		return "ratio " + spread(ratios, ""), median(ratios) >= least
	}}
}

// hotJudge wants the ratio, and at most so many keys written for each message.
func hotJudge(least, most float64) judge {
	ratio := ratioAtLeast(least)
	return judge{ratio.aim + fmt.Sprintf(", ≤ %.2f keys written a message", most), func(r Result) (string, bool) {
		measured, met := ratio.of(r)
		writes := each(r.Pairs, func(p Pair) float64 { return float64(p.Freshet.Written) / float64(r.Rows) })
		return measured + ", keys written a message " + spread(writes, ""), met && median(writes) <= most
	}}
}

func latencyJudge(p50, p99 time.Duration) judge {
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	return judge{fmt.Sprintf("p50 < %g ms, p99 < %g ms", ms(p50), ms(p99)), func(r Result) (string, bool) {
		half := each(r.Latency, func(t LatencyTurn) float64 { return ms(t.Returned.P50) })
		most := each(r.Latency, func(t LatencyTurn) float64 { return ms(t.Returned.P99) })
		return fmt.Sprintf("p50 %s, p99 %s", spread(half, " ms"), spread(most, " ms")), median(half) < ms(p50) && median(most) < ms(p99)
	}}
}

func cpuAtMost(most float64) judge {
	return judge{fmt.Sprintf("ratio ≤ %.2f", most), func(r Result) (string, bool) {
		if !r.knowsCPU() {
			return "not known on this system", false
		}
		ratios := each(r.Pairs, Pair.cpuRatio)
		return "ratio " + spread(ratios, ""), median(ratios) <= most
	}}
}

func memoryBelow(bytes int64) judge {
	return judge{fmt.Sprintf("peaks < %s each, level", megabytes(bytes)), func(r Result) (string, bool) {
		c := r.Course
		if c.Poller.Peak == 0 || c.Fn.Peak == 0 {
			return "not known on this system", false
		}
		level := c.level(func(s Sample) int64 { return s.Poller }) && c.level(func(s Sample) int64 { return s.Fn })
		measured := fmt.Sprintf("poller %s, function %s, %s", megabytes(c.Poller.Peak), megabytes(c.Fn.Peak), map[bool]string{true: "level", false: "not level"}[level])
		return measured, level && max(c.Poller.Peak, c.Fn.Peak) < bytes
	}}
}

// idleJudge wants less than so many percent of a core, and memory that at the end is at most so many times that of the first tenth.
func idleJudge(percent, growth float64) judge {
	return judge{fmt.Sprintf("< %.2f %% of a core each, memory at the end ≤ %.2f of the first tenth's", percent, growth), func(r Result) (string, bool) {
		c := r.Course
		if len(c.Samples) < 2 || c.Samples[0].Poller == 0 {
			return "not known on this system", false
		}
		first, last := c.Samples[0], c.Samples[len(c.Samples)-1]
		poller, fn := share(c.Poller.CPU, c.Took), share(c.Fn.CPU, c.Took)
		grown := func(was, is int64) float64 { return float64(is) / float64(was) }
		p, f := grown(first.Poller, last.Poller), grown(first.Fn, last.Fn)
		measured := fmt.Sprintf("poller %.2f %%, function %.2f %%, memory %.2f and %.2f", poller, fn, p, f)
		return measured, max(poller, fn) < percent && max(p, f) <= growth
	}}
}

// share is in percent of one core.
func share(cpu, of time.Duration) float64 { return 100 * cpu.Seconds() / of.Seconds() }

func each[T any](of []T, value func(T) float64) []float64 {
	values := make([]float64, len(of))
	for i, one := range of {
		values[i] = value(one)
	}
	return values
}

// spread is the median, and the least and the most when there are several.
func spread(values []float64, unit string) string {
	if len(values) < 2 {
		return fmt.Sprintf("%.2f%s", median(values), unit)
	}
	return fmt.Sprintf("%.2f%s (%.2f - %.2f)", median(values), unit, slices.Min(values), slices.Max(values))
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	switch {
	case len(sorted) == 0:
		return 0
	case len(sorted)%2 == 1:
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
