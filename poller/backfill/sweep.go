package backfill

import (
	"context"
	"errors"
	"slices"
	"sync"

	"freshet/poller/row"
	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/logging"
)

// sweep looks through the keys of tables whose rows are all there, and removes those that have no row. A key that a row could have is
// removed as the row's delete would remove it: through its lane, at the mark of the page that did not find the row, unless a transaction which
// the page did not see has touched it. All tables that wait for it share one walk over Redis.
type sweep struct {
	scan  *scan
	fills []*fill                // those that were paused or cancelled meanwhile left out
	later *exchange.ScanResponse // a piece of which a table was locked

	mu       sync.Mutex
	inFlight int // pages
}

func (r *Runner) newSweep(ctx context.Context, fills []*fill) *sweep {
	s := &sweep{fills: fills}
	var layouts []*row.Layout
	for _, f := range fills {
		layouts = append(layouts, f.layout)
		r.Log.Info("all rows are there; looking for keys without rows", logging.Table, f.layout.Table.String())
		if why := r.Plan.Tables[f.layout.Table.String()].PartlyIrreversible; why != "" {
			r.keysMayStay(f, why)
		}
	}
	s.scan = r.newScan(ctx, layouts)
	return s
}

func (s *sweep) of(t change.Table) *fill {
	for _, f := range s.fills {
		if f.layout.Table == t {
			return f
		}
	}
	return nil
}

// leaveSweep takes a table out of the sweep.
func (r *Runner) leaveSweep(f *fill) {
	if r.sweep != nil {
		r.sweep.fills = slices.DeleteFunc(r.sweep.fills, func(other *fill) bool { return other == f })
	}
}

func (s *sweep) ready() bool {
	s.mu.Lock()
	settled := s.inFlight == 0
	s.mu.Unlock()
	over, _ := s.scan.ended()
	return over && settled || len(s.fills) == 0 || s.later != nil || len(s.scan.pieces) > 0
}

func (s *sweep) step(ctx context.Context, r *Runner) (over bool, err error) {
	if len(s.fills) == 0 {
		s.end(r)
		return true, nil
	}
	if s.later != nil {
		piece := *s.later
		s.later = nil
		return false, s.take(ctx, r, piece)
	}
	select {
	case piece := <-s.scan.pieces:
		return false, s.take(ctx, r, piece)
	default:
	}
	over, failed := s.scan.ended()
	switch {
	case !over:
		return false, nil
	case failed != nil:
		return false, s.giveUp(ctx, r, failed)
	}
	s.mu.Lock()
	waiting := s.inFlight > 0
	s.mu.Unlock()
	if waiting {
		return false, nil
	}
	if err := s.scan.remove(ctx, r); err != nil {
		return false, s.giveUp(ctx, r, err)
	}
	for _, f := range slices.Clone(s.fills) {
		f.mu.Lock()
		f.swept += s.scan.removedOf(f.layout.Table.String())
		f.settled = f.done(r, f.settled)
		progress := f.settled
		f.mu.Unlock()
		r.Note(f.layout.Table, progress, nil)
		f.tell(r)
	}
	s.end(r)
	return true, nil
}

func (s *sweep) end(r *Runner) {
	s.scan.stop()
	r.sweep = nil
}

// giveUp leaves the rest to the next session, for which the tables stay as they are noted.
func (s *sweep) giveUp(ctx context.Context, r *Runner, failed error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, f := range slices.Clone(s.fills) {
		r.Log.Warn("keys without rows may stay until the next session looks for them", logging.Table, f.layout.Table.String(), logging.Err, failed)
		f.mu.Lock()
		f.over = true
		f.mu.Unlock()
		r.forgetFill(f)
	}
	s.end(r)
	return nil
}

// take looks at the next keys.
func (s *sweep) take(ctx context.Context, r *Runner, piece exchange.ScanResponse) error {
	all, err := s.scan.judge(ctx, r, piece, func([]byte) bool { return true })
	if errors.Is(err, errLocked) {
		s.later = &piece
		return nil
	}
	if err != nil {
		return err
	}
	for _, j := range all {
		f := s.of(j.table)
		if f == nil {
			continue
		}
		var lost []*suspect
		var aliens [][]byte
		for _, k := range j.suspects {
			switch k.fate {
			case orphan:
				lost = append(lost, k)
			case alien:
				aliens = append(aliens, k.key)
			}
		}
		if f.now().Cause != change.CauseStart { // at the first start they may be somebody's who did not know that the prefix is ours
			s.scan.discard(j.table.String(), aliens)
		}
		f.mu.Lock()
		f.keys += int64(len(j.suspects))
		f.swept += int64(len(lost))
		f.mu.Unlock()
		for _, page := range orphans(j.layout, j.snapshot, lost) {
			s.send(page)
			if err := r.send(ctx, page); err != nil {
				return err
			}
		}
		f.tell(r)
	}
	return nil
}

func (s *sweep) send(page *Page) {
	s.mu.Lock()
	s.inFlight++
	s.mu.Unlock()
	page.Settled = func() {
		s.mu.Lock()
		s.inFlight--
		s.mu.Unlock()
	}
}
