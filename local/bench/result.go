package bench

import (
	"slices"
	"time"
)

// Turn is one side's measurements in one pair.
type Turn struct {
	Took     time.Duration `json:"took_ns"`             // from the start of the process to the end of the work
	Rows     time.Duration `json:"rows_ns,omitempty"`   // from the first row in Redis to the last
	Batches  int           `json:"batches,omitempty"`   // that the function was sent
	Written  int           `json:"written,omitempty"`   // keys that the function says it has written
	Changes  int           `json:"changes,omitempty"`   // of keys and of fields, as Redis counts them
	Compared int           `json:"compared,omitempty"`  // keys that the function has compared with their rows
	Redis    time.Duration `json:"redis_ns,omitempty"`  // processor time
	Server   time.Duration `json:"server_ns,omitempty"` // processor time of all of Postgres' processes

	Walsender usage `json:"walsender,omitzero"`
	Poller    usage `json:"poller,omitzero"`
	Fn        usage `json:"fn,omitzero"` // of several: the sum of their processor time, and the memory of the largest
}

// since leaves what was used and counted before out.
func (t *Turn) since(before Turn) {
	t.Poller.CPU -= before.Poller.CPU
	t.Fn.CPU -= before.Fn.CPU
	t.Redis -= before.Redis
	t.Server -= before.Server
	t.Batches -= before.Batches
	t.Written -= before.Written
	t.Changes -= before.Changes
	t.Compared -= before.Compared
	t.Rows = 0
}

// Pair is one turn of each side.
type Pair struct {
	Reference Turn `json:"reference"`
	Freshet   Turn `json:"freshet"`
}

// Ratio is the yardstick's time over freshet's whole one: 1 is as fast, less is slower. The start of the process counts
// against freshet.
func (p Pair) Ratio() float64 { return p.Reference.Took.Seconds() / p.Freshet.Took.Seconds() }

// cpuRatio is what both programs have used over what the walsender has in the yardstick's turn.
func (p Pair) cpuRatio() float64 { return p.programs().Seconds() / p.Reference.Walsender.CPU.Seconds() }

// ownCPURatio is the same over what the walsender has used in freshet's own turn.
func (p Pair) ownCPURatio() float64 {
	return p.programs().Seconds() / p.Freshet.Walsender.CPU.Seconds()
}

func (p Pair) programs() time.Duration { return p.Freshet.Poller.CPU + p.Freshet.Fn.CPU }

// Spread is what half of the measured times, and 99 in 100, do not exceed, and the longest.
type Spread struct {
	P50 time.Duration `json:"p50_ns"`
	P99 time.Duration `json:"p99_ns"`
	Max time.Duration `json:"max_ns"`
}

// spreadOf sorts the times.
func spreadOf(times []time.Duration) Spread {
	if len(times) == 0 {
		return Spread{}
	}
	slices.Sort(times)
	rank := func(percent int) time.Duration { return times[(len(times)*percent+99)/100-1] }
	return Spread{P50: rank(50), P99: rank(99), Max: times[len(times)-1]}
}

// LatencyTurn is what became of the commits of one turn.
type LatencyTurn struct {
	Turn
	Commits  int           `json:"commits"`
	Commit   Spread        `json:"commit"`   // from sending COMMIT to its return
	Returned Spread        `json:"returned"` // from its return to the key in Redis
	Sent     Spread        `json:"sent"`     // from sending it to the key in Redis
	Late     time.Duration `json:"late_ns"`  // the longest that a transaction began after its time
}

// rate is in transactions a second.
func (t LatencyTurn) rate() float64 { return float64(t.Commits) / t.Took.Seconds() }

// Sample is one look at the resident memory of both programs, in bytes.
type Sample struct {
	At     time.Duration `json:"at_ns"`
	Rows   int           `json:"rows,omitempty"` // that were in Redis
	Poller int64         `json:"poller_bytes"`
	Fn     int64         `json:"fn_bytes"`
}

// Course is a turn of freshet alone, with looks at its memory on the way.
type Course struct {
	Turn
	Samples  []Sample       `json:"samples"`
	Requests map[string]int `json:"requests,omitempty"` // to the function, by route
}

// level says that memory does not grow: the second half of the samples has none that is more than a tenth above the highest of the first.
func (c Course) level(bytes func(Sample) int64) bool {
	if len(c.Samples) < 2 {
		return false
	}
	highest := func(of []Sample) (most int64) {
		for _, s := range of {
			most = max(most, bytes(s))
		}
		return most
	}
	middle := (len(c.Samples) + 1) / 2
	return highest(c.Samples[middle:])*10 <= highest(c.Samples[:middle])*11
}

// Result is all turns of one workload; which of the fields are there depends on it.
type Result struct {
	Workload string        `json:"workload"`
	Machine  Machine       `json:"machine"`
	Rows     int           `json:"rows"`
	Skipped  string        `json:"skipped,omitempty"` // why it could not be measured
	Pairs    []Pair        `json:"pairs,omitempty"`
	Latency  []LatencyTurn `json:"latency,omitempty"`
	Course   *Course       `json:"course,omitempty"`
}

// Ratio is the median of the pairs'.
func (r Result) Ratio() float64 { return median(r.ratios()) }

func (r Result) ratios() []float64 { return each(r.Pairs, Pair.Ratio) }

// turns is how many turns each side has had.
func (r Result) turns() int { return max(len(r.Pairs), len(r.Latency)) }

// span is how long a turn of a given length took.
func (r Result) span() time.Duration {
	switch {
	case r.Course != nil:
		return r.Course.Took
	case len(r.Latency) > 0:
		return r.Latency[0].Took
	}
	return 0
}

// speed is freshet's median, in rows a second.
func (r Result) speed() int {
	return int(float64(r.Rows) / median(each(r.Pairs, func(p Pair) float64 { return p.Freshet.Took.Seconds() })))
}

func (r Result) knowsCPU() bool {
	return !slices.ContainsFunc(r.Pairs, func(p Pair) bool { return p.Reference.Walsender.CPU == 0 || p.Freshet.Walsender.CPU == 0 })
}
