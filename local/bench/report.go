package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Turn is one side's measurements in one pair.
type Turn struct {
	Took                  time.Duration // from the start of the process to the end of the work
	Rows                  time.Duration // freshet: from the first row in Redis to the last
	Batches               int           // freshet: that it took
	Walsender, Poller, Fn usage
}

// Pair is one turn of each side.
type Pair struct{ Reference, Freshet Turn }

// Ratio is the yardstick's time over freshet's whole one: 1 is as fast, less is slower. The start of the process counts
// against freshet.
func (p Pair) Ratio() float64 { return p.Reference.Took.Seconds() / p.Freshet.Took.Seconds() }

// Result is all pairs of one workload.
type Result struct {
	Workload, Yardstick string
	Rows                int
	Pairs               []Pair
}

// Ratio is the median of the pairs'.
func (r Result) Ratio() float64 {
	ratios := make([]float64, len(r.Pairs))
	for i, p := range r.Pairs {
		ratios[i] = p.Ratio()
	}
	return median(ratios)
}

func median(values []float64) float64 {
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}

// Report is what a run has found.
type Report struct {
	Machine Machine
	Results []Result
}

// Write prints the report as Markdown.
func (r Report) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", r.Machine)
	for _, result := range r.Results {
		fmt.Fprintf(&b, "\n## %s\n\n", headings[result.Workload](result.Rows))
		result.table(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

var headings = map[string]func(rows int) string{
	Stream: func(rows int) string {
		return fmt.Sprintf("%s rows of nine columns in one transaction", thousands(rows))
	},
	Small: func(rows int) string { return fmt.Sprintf("%s transactions of one row", thousands(rows)) },
	Narrow: func(rows int) string {
		return fmt.Sprintf("%s rows in one transaction, of which the rules use four of nine columns (the yardstick is freshet with whole rows)", thousands(rows))
	},
	Backfill: func(rows int) string { return fmt.Sprintf("%s rows that were there before", thousands(rows)) },
	Verify: func(rows int) string {
		return fmt.Sprintf("%s rows and their keys compared (here freshet is poller verify; the yardstick is its backfill of the same rows)", thousands(rows))
	},
}

func (r Result) table(b *strings.Builder) {
	fmt.Fprintf(b, "| pair | %s | freshet | first to last row | ratio | rows a batch | walsender CPU: %s | with freshet | poller CPU | fn CPU | poller memory | fn memory |\n", r.Yardstick, r.Yardstick)
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for i, p := range r.Pairs {
		f := p.Freshet
		fmt.Fprintf(b, "| %d | %s | %s | %s | %.2f | %d | %s | %s | %s | %s | %s | %s |\n", i+1,
			seconds(p.Reference.Took), seconds(f.Took), seconds(f.Rows), p.Ratio(), r.Rows/max(1, f.Batches), seconds(p.Reference.Walsender.CPU), seconds(f.Walsender.CPU),
			seconds(f.Poller.CPU), seconds(f.Fn.CPU), mebibytes(f.Poller.Peak), mebibytes(f.Fn.Peak))
	}
	fmt.Fprintf(b, "\n**Median ratio %.2f**, %s rows a second.\n", r.Ratio(), thousands(r.speed()))
}

// speed is freshet's median, in rows a second.
func (r Result) speed() int {
	times := make([]float64, len(r.Pairs))
	for i, p := range r.Pairs {
		times[i] = p.Freshet.Took.Seconds()
	}
	return int(float64(r.Rows) / median(times))
}

// seconds and mebibytes show "-" where nothing was measured.
func seconds(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func mebibytes(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
