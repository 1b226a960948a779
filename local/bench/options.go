package bench

import (
	"fmt"
	"io"
	"slices"
)

// The workloads.
const (
	Stream   = "stream"   // one large transaction
	Small    = "small"    // transactions of a single row
	Narrow   = "narrow"   // the large transaction again, of which the rules use four columns
	Backfill = "backfill" // rows that were there before
	Verify   = "verify"   // rows and keys compared
)

// Options say what to measure.
type Options struct {
	Rows  int      // of the large transaction and of the backfill; two fifths of it in single-row transactions
	Pairs int      // turns of each side
	What  []string // workloads
	Log   io.Writer
}

// smallRows is how many single-row transactions stand beside so many rows.
func (o Options) smallRows() int { return max(1, o.Rows*2/5) }

// Validate refuses what cannot be measured.
func (o Options) Validate() error {
	if o.Rows < 1 || o.Pairs < 1 || len(o.What) == 0 {
		return fmt.Errorf("%d rows, %d pairs, %d workloads: there must be at least one of each", o.Rows, o.Pairs, len(o.What))
	}
	for _, what := range o.What {
		if !slices.Contains([]string{Stream, Small, Narrow, Backfill, Verify}, what) {
			return fmt.Errorf("%q is not one of %s, %s, %s, %s, %s", what, Stream, Small, Narrow, Backfill, Verify)
		}
	}
	return nil
}
