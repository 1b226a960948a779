package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// The workloads. What each is measured against and what it is to reach is in aims.go.
const (
	Stream   = "stream"   // one large transaction
	Narrow   = "narrow"   // the large transaction again, of which the rules use four columns
	Small    = "small"    // transactions of a single row, each another
	Hot      = "hot"      // transactions of a single row, of few rows
	Backfill = "backfill" // rows that were there before
	Verify   = "verify"   // rows and keys compared
	Latency  = "latency"  // from a commit to Redis, while little is going on
	Memory   = "memory"   // a transaction ten times as large
	Remote   = "remote"   // the large transaction again, through a balancer that is far away
	Idle     = "idle"     // nothing to do, for long
)

// CPU is no workload: it is read off the turns of Stream.
const CPU = "cpu"

// All are the workloads in the order in which they are measured.
var All = []string{Stream, Narrow, Small, Hot, Backfill, Verify, Latency, Memory, Remote, Idle}

// Usual are all but Idle, which takes an hour.
var Usual = All[:len(All)-1]

// Options say what to measure.
type Options struct {
	Rows    int           // of the large transaction and of the backfill; two fifths of it in single-row transactions, ten times for Memory
	Pairs   int           // turns of each side
	What    []string      // workloads
	Latency time.Duration // how long a turn of Latency takes; its warm-up is another tenth
	Idle    time.Duration // how long Idle takes
	Log     io.Writer
	// Profiles is a folder for recordings of how the programs spend their time. With it, nothing else that is measured is true.
	Profiles string
	// Each is given every result as soon as it is there, so that it can be kept whatever becomes of the rest.
	Each func(Result) error
}

// smallRows is how many single-row transactions stand beside so many rows.
func (o Options) smallRows() int { return max(1, o.Rows*2/5) }

// Validate refuses what cannot be measured.
func (o Options) Validate() error {
	if o.Rows < 1 || o.Pairs < 1 || len(o.What) == 0 {
		return fmt.Errorf("%d rows, %d pairs, %d workloads: there must be at least one of each", o.Rows, o.Pairs, len(o.What))
	}
	for _, what := range o.What {
		switch {
		case what == CPU:
			return fmt.Errorf("%q has no turns of its own; it is read off those of %q", CPU, Stream)
		case !slices.Contains(All, what):
			return fmt.Errorf("%q is not one of %s", what, strings.Join(All, ", "))
		case what == Latency && o.Latency < latencyLeast || what == Idle && o.Idle <= 0:
			return fmt.Errorf("%q needs more time", what)
		}
	}
	return nil
}
