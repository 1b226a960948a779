package bench

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

const introduction = `Everything runs on one machine, the servers too, and no connection is encrypted. Both clocks start with a process; the ratio takes all of freshet's time from there to
confirmed_flush_lsn at the end of the load (for rows that were there before: to the sink's state saying so). "First to last row" is how much of it rows
arrived in Redis. After each turn of freshet every row was compared with its key, outside of the clock. Both programs run with their default settings, as they do in the
end-to-end tests; where a log is streamed there are two others, POLLER_REPLAY_WINDOW=0s so that its end is confirmed at once, and POLLER_BACKFILL=off.
`

// Write prints the report as Markdown.
func (r Report) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# The pipeline against the walsender\nWritten by `make bench` and `make bench-idle`, from [`%s`](%s), which has all numbers of every turn.\n\n", numbersFile, numbersFile)
	first := ""
	if len(r.Results) > 0 {
		first = r.Results[0].Machine.String()
		b.WriteString(first + "\n")
	}
	b.WriteString(introduction)
	r.summary(&b)
	for _, a := range aims {
		if result, ok := r.measured(a); ok && result.Skipped == "" {
			a.section(&b, result, first)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// measured is the result that an aim is judged by.
func (r Report) measured(a aim) (Result, bool) {
	if a.turns != "" {
		return r.find(a.turns)
	}
	return r.find(a.name)
}

// summary is one line for each aim.
func (r Report) summary(b *strings.Builder) {
	b.WriteString("\n| workload | against | aim | measured: median (least - most) | met | date |\n|---|---|---|---|---|---|\n")
	for _, a := range aims {
		measured, met, date := "not yet", "-", "-"
		result, ok := r.measured(a)
		switch {
		case ok && result.Skipped != "":
			measured = "left out: " + result.Skipped
		case ok:
			var is bool
			measured, is = a.judge.of(result)
			met, date = map[bool]string{true: "yes", false: "no"}[is], result.Machine.Date.Format(time.DateOnly)
			if short := partly(result); short != "" {
				measured += "; " + short
			}
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", a.name, a.against, a.judge.aim, measured, met, date)
	}
}

// section has every turn. It names the machine where that is not the first section's.
func (a aim) section(b *strings.Builder, r Result, first string) {
	fmt.Fprintf(b, "\n## %s: %s\n", a.name, a.what(r))
	if machine := r.Machine.String(); machine != first {
		b.WriteString(machine + "\n")
	}
	if a.note != "" {
		b.WriteString(a.note + "\n")
	}
	b.WriteString("\n")
	switch {
	case a.name == CPU:
		cpuTable(b, r)
	case len(r.Latency) > 0:
		latencyTable(b, r)
	case r.Course != nil:
		courseTable(b, r)
	default:
		pairsTable(b, r, a.against)
	}
}

// column is one of a table: its head, and what it has in each row.
type column[T any] struct {
	head string
	cell func(T) string
}

// table leaves columns out that have nothing to say.
func table[T any](b *strings.Builder, rows []T, columns ...column[T]) {
	columns = slices.DeleteFunc(columns, func(c column[T]) bool {
		return !slices.ContainsFunc(rows, func(row T) bool { return c.cell(row) != "-" })
	})
	line := func(cell func(column[T]) string) {
		for _, c := range columns {
			fmt.Fprintf(b, "| %s ", cell(c))
		}
		b.WriteString("|\n")
	}
	line(func(c column[T]) string { return c.head })
	b.WriteString(strings.Repeat("|---", len(columns)) + "|\n")
	for _, row := range rows {
		line(func(c column[T]) string { return c.cell(row) })
	}
}

// numbered is a row of a table with its number.
type numbered[T any] struct {
	n  int
	is T
}

func number[T any](all []T) []numbered[T] {
	rows := make([]numbered[T], len(all))
	for i, one := range all {
		rows[i] = numbered[T]{i + 1, one}
	}
	return rows
}

func pairsTable(b *strings.Builder, r Result, against string) {
	type row = numbered[Pair]
	both := func(head string, cell func(Turn) string) []column[row] {
		return []column[row]{
			{head + ": " + against, func(p row) string { return cell(p.is.Reference) }},
			{head + ": freshet", func(p row) string { return cell(p.is.Freshet) }},
		}
	}
	ours := func(head string, cell func(Turn) string) column[row] {
		return column[row]{head, func(p row) string { return cell(p.is.Freshet) }}
	}
	columns := []column[row]{
		{"pair", func(p row) string { return fmt.Sprint(p.n) }},
		{against, func(p row) string { return seconds(p.is.Reference.Took) }},
		ours("freshet", func(t Turn) string { return seconds(t.Took) }),
		ours("first to last row", func(t Turn) string { return seconds(t.Rows) }),
		{"ratio", func(p row) string { return fmt.Sprintf("%.2f", p.is.Ratio()) }},
		ours("rows a batch", func(t Turn) string { return quotient(r.Rows, t.Batches) }),
	}
	if r.Workload == Hot {
		columns = append(columns,
			ours("keys written", func(t Turn) string { return whole(t.Written) }),
			ours("keys written a message", func(t Turn) string { return fmt.Sprintf("%.2f", float64(t.Written)/float64(r.Rows)) }),
			ours("changes in Redis", func(t Turn) string { return whole(t.Changes) }))
	}
	columns = append(columns, both("walsender CPU", func(t Turn) string { return seconds(t.Walsender.CPU) })...)
	columns = append(columns, both("Postgres CPU", func(t Turn) string {
		if t.Walsender.CPU > 0 { // that one says it better
			return "-"
		}
		return seconds(t.Server)
	})...)
	columns = append(columns,
		ours("poller CPU", func(t Turn) string { return seconds(t.Poller.CPU) }),
		ours("fn CPU", func(t Turn) string { return seconds(t.Fn.CPU) }))
	columns = append(columns, both("Redis CPU", func(t Turn) string { return seconds(t.Redis) })...)
	columns = append(columns,
		ours("poller memory", func(t Turn) string { return mebibytes(t.Poller.Peak) }),
		ours("fn memory", func(t Turn) string { return mebibytes(t.Fn.Peak) }))
	table(b, number(r.Pairs), columns...)
	fmt.Fprintf(b, "\n**Median ratio %.2f**, %s rows a second.\n", r.Ratio(), thousands(r.speed()))
}

func cpuTable(b *strings.Builder, r Result) {
	type row = numbered[Pair]
	table(b, number(r.Pairs),
		column[row]{"pair", func(p row) string { return fmt.Sprint(p.n) }},
		column[row]{"poller", func(p row) string { return seconds(p.is.Freshet.Poller.CPU) }},
		column[row]{"fn", func(p row) string { return seconds(p.is.Freshet.Fn.CPU) }},
		column[row]{"walsender of pg_recvlogical", func(p row) string { return seconds(p.is.Reference.Walsender.CPU) }},
		column[row]{"ratio", func(p row) string { return fmt.Sprintf("%.2f", p.is.cpuRatio()) }},
		column[row]{"walsender of freshet", func(p row) string { return seconds(p.is.Freshet.Walsender.CPU) }},
		column[row]{"ratio to that", func(p row) string { return fmt.Sprintf("%.2f", p.is.ownCPURatio()) }})
	fmt.Fprintf(b, "\n**Median ratio %.2f**, %.2f to the walsender of the same turns.\n", median(each(r.Pairs, Pair.cpuRatio)), median(each(r.Pairs, Pair.ownCPURatio)))
}

func latencyTable(b *strings.Builder, r Result) {
	type row = numbered[LatencyTurn]
	columns := []column[row]{
		{"turn", func(t row) string { return fmt.Sprint(t.n) }},
		{"commits", func(t row) string { return thousands(t.is.Commits) }},
		{"a second", func(t row) string { return fmt.Sprintf("%.0f", t.is.rate()) }},
		{"late", func(t row) string { return milliseconds(t.is.Late) }},
	}
	for _, of := range []struct {
		head string
		is   func(LatencyTurn) Spread
	}{
		{"from the return", func(t LatencyTurn) Spread { return t.Returned }},
		{"from the sending", func(t LatencyTurn) Spread { return t.Sent }},
		{"the commit", func(t LatencyTurn) Spread { return t.Commit }},
	} {
		columns = append(columns,
			column[row]{of.head + ": p50", func(t row) string { return milliseconds(of.is(t.is).P50) }},
			column[row]{"p99", func(t row) string { return milliseconds(of.is(t.is).P99) }},
			column[row]{"max", func(t row) string { return milliseconds(of.is(t.is).Max) }})
	}
	columns = append(columns,
		column[row]{"rows a batch", func(t row) string { return fmt.Sprintf("%.1f", float64(t.is.Written)/float64(max(1, t.is.Batches))) }},
		column[row]{"poller CPU", func(t row) string { return seconds(t.is.Poller.CPU) }},
		column[row]{"fn CPU", func(t row) string { return seconds(t.is.Fn.CPU) }},
		column[row]{"Redis CPU", func(t row) string { return seconds(t.is.Redis) }},
		column[row]{"Postgres CPU", func(t row) string { return seconds(t.is.Server) }})
	table(b, number(r.Latency), columns...)
	middle := func(of func(LatencyTurn) time.Duration) string {
		return milliseconds(time.Duration(median(each(r.Latency, func(t LatencyTurn) float64 { return float64(of(t)) }))))
	}
	fmt.Fprintf(b, "\n**Median of the p50s %s, of the p99s %s** from the return of the commit; %s and %s from its sending; the commit itself %s and %s.\n",
		middle(func(t LatencyTurn) time.Duration { return t.Returned.P50 }), middle(func(t LatencyTurn) time.Duration { return t.Returned.P99 }),
		middle(func(t LatencyTurn) time.Duration { return t.Sent.P50 }), middle(func(t LatencyTurn) time.Duration { return t.Sent.P99 }),
		middle(func(t LatencyTurn) time.Duration { return t.Commit.P50 }), middle(func(t LatencyTurn) time.Duration { return t.Commit.P99 }))
}

func courseTable(b *strings.Builder, r Result) {
	c := r.Course
	table(b, c.Samples,
		column[Sample]{"after", func(s Sample) string { return seconds(s.At) }},
		column[Sample]{"rows in Redis", func(s Sample) string { return whole(s.Rows) }},
		column[Sample]{"poller memory", func(s Sample) string { return mebibytes(s.Poller) }},
		column[Sample]{"fn memory", func(s Sample) string { return mebibytes(s.Fn) }})
	memory := func(u usage) string { return fmt.Sprintf("%s (%s)", megabytes(u.Peak), mebibytes(u.Peak)) }
	fmt.Fprintf(b, "\n**Peak: poller %s, function %s.** ", memory(c.Poller), memory(c.Fn))
	if r.Workload != Idle {
		fmt.Fprintf(b, "All rows took %s, %s a second; processor time: walsender %s, poller %s, function %s, Redis %s.\n",
			seconds(c.Took), thousands(int(float64(r.Rows)/c.Took.Seconds())), seconds(c.Walsender.CPU), seconds(c.Poller.CPU), seconds(c.Fn.CPU), seconds(c.Redis))
		return
	}
	of := func(cpu time.Duration) string { return fmt.Sprintf("%s (%.2f %%)", seconds(cpu), share(cpu, c.Took)) }
	fmt.Fprintf(b, "Processor time in %s: poller %s, function %s, Redis %s, Postgres %s.\n", seconds(c.Took), of(c.Poller.CPU), of(c.Fn.CPU), of(c.Redis), of(c.Server))
	var routes []string
	for _, route := range slices.Sorted(maps.Keys(c.Requests)) {
		if n := c.Requests[route]; n > 0 {
			routes = append(routes, fmt.Sprintf("%s to `%s`", thousands(n), route))
		}
	}
	fmt.Fprintf(b, "The function was sent %s, which carry heartbeats and seals and wrote %s, and has compared %s. Its requests: %s.\n",
		plural(c.Batches, "batch"), plural(c.Written, "key"), plural(c.Compared, "key"), cmp.Or(strings.Join(routes, ", "), "none"))
}
