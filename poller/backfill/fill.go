package backfill

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/shared/change"
	"freshet/shared/logging"
)

// fill is one table's rows being read, and then, where that is asked for, its keys being looked through for
// those that have no row. What it has done is noted as it is settled, so that the next life goes on there.
type fill struct {
	source
	course course          // nil until the first page
	read   change.Backfill // of what has been read, not of what is settled
	began  time.Time
	last   bool      // the last page has been read
	after  time.Time // when to try again: somebody has locked the table, or still writes what is in no stream
	since  uint64    // see Runner.Since; 0 when there is nothing to wait for

	mu      sync.Mutex
	settled change.Backfill // of the furthest page that is settled
	whole   bool            // all rows are settled
	over    bool            // done, or cancelled: nothing is noted any more
	counted bool            // in Runner.left
	total   int64
	keys    int64
	swept   int64
}

// lockedPause is how long a locked table is left alone, so that others are read meanwhile.
const lockedPause = 200 * time.Millisecond

// add takes up a table's backfill where it is.
func (r *Runner) add(t Task) *fill {
	f := &fill{
		source: source{layout: t.Layout, only: t.Progress.Where},
		read:   t.Progress, settled: t.Progress, began: time.Now(), total: -1, since: r.Since[t.Layout.Table],
	}
	if t.Progress.State == change.BackfillSweeping {
		f.last, f.whole = true, true
	}
	r.fills = append(r.fills, f)
	f.count(r, !t.Progress.Paused)
	f.tell(r)
	return f
}

func (f *fill) ready() bool { return !f.last && !f.now().Paused && time.Now().After(f.after) }

func (f *fill) ended() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.over
}

// now is what is settled.
func (f *fill) now() change.Backfill {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.settled
}

// tell says how far it has come.
func (f *fill) tell(r *Runner) {
	if r.Told == nil {
		return
	}
	f.mu.Lock()
	told := Told{Table: f.layout.Table, Progress: f.settled, Total: f.total, Keys: f.keys, Swept: f.swept}
	f.mu.Unlock()
	r.Told(told)
}

// count says whether the table is something that is left to be done.
func (f *fill) count(r *Runner, counts bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.countLocked(r, counts)
}

func (f *fill) countLocked(r *Runner, counts bool) {
	switch {
	case counts && !f.counted:
		r.left.Add(1)
	case !counts && f.counted:
		r.left.Add(-1)
	}
	f.counted = counts
}

// reached is called when a page is settled, by whoever settled it: calls may overtake each other, and progress must not go back.
func (f *fill) reached(r *Runner, progress change.Backfill, last bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over || progress.Rows <= f.settled.Rows && !last {
		return
	}
	progress.Paused = f.settled.Paused
	progress.Rows = max(progress.Rows, f.settled.Rows)
	switch {
	case !last:
		progress.State = change.BackfillRunning
	case r.sweeps(f):
		progress.State, progress.Cursor, progress.Place = change.BackfillSweeping, nil, nil
		f.whole = true
	default:
		if why := Irreversible(f.layout, r.Plan); f.settled.Sweep && why != "" {
			r.keysMayStay(f, why)
		}
		progress = f.done(r, progress)
	}
	f.settled = progress
	r.Note(f.layout.Table, progress, nil)
}

func (r *Runner) keysMayStay(f *fill, why string) {
	r.Log.Warn("keys without rows may stay", logging.Table, f.layout.Table.String(), "why", why)
}

// done is the end of a table's backfill. Called with the lock.
func (f *fill) done(r *Runner, progress change.Backfill) change.Backfill {
	f.over = true
	f.countLocked(r, false)
	progress.State, progress.Cursor, progress.Place, progress.Paused, progress.Sweep = change.BackfillDone, nil, nil, false, false
	r.Log.Info("backfill is done", logging.Table, f.layout.Table.String(), "rows", progress.Rows, "swept", f.swept, logging.Took, time.Since(f.began).Round(time.Millisecond))
	return progress
}

// written says that all transactions are over which began before the stream had everything of the table.
func (f *fill) written(ctx context.Context, r *Runner) (bool, error) {
	if f.since == 0 {
		return true, nil
	}
	now, err := CurrentSnapshot(ctx, r.Conn)
	if err != nil {
		return false, err
	}
	if now.xmin >= f.since {
		f.since = 0
		return true, nil
	}
	if f.after.IsZero() {
		r.Log.Info("the backfill of a table waits for the transactions that were writing when the publication was changed", logging.Table, f.layout.Table.String(),
			"why", "what they had written there by then is in no stream", "fix", "nothing to do, unless one is never ended: see pg_stat_activity and pg_prepared_xacts")
	}
	f.after = time.Now().Add(lockedPause)
	return false, nil
}

// step reads one page and sends it on its way.
func (f *fill) step(ctx context.Context, r *Runner) (over bool, err error) {
	if written, err := f.written(ctx, r); !written {
		return false, err
	}
	if f.read.State == change.BackfillPending {
		r.Log.Info("backfill begins", logging.Table, f.layout.Table.String(), "cause", string(f.read.Cause))
		f.read.State = change.BackfillRunning
	}
	page, last, err := f.next(ctx, r)
	if errors.Is(err, errLocked) {
		f.after = time.Now().Add(lockedPause)
		return false, nil
	}
	var refused *pgconn.PgError
	if f.only != "" && errors.As(err, &refused) && !r.Conn.IsClosed() {
		f.refuse(r, refused)
		return true, nil
	}
	if err != nil || page == nil {
		return false, err
	}
	page.Action, page.brief = change.Read, true
	f.last = last
	f.read.Rows += int64(page.Len())
	f.course.note(&f.read)
	r.Read(f.layout.Table, page.Len())
	reached := f.read
	page.Settled = func() {
		f.reached(r, reached, last)
		f.tell(r)
	}
	return f.last, r.send(ctx, page)
}

// next reads a page, if there is one at this place.
func (f *fill) next(ctx context.Context, r *Runner) (page *Page, last bool, err error) {
	if f.course == nil {
		if f.course, err = f.choose(ctx, r); err != nil {
			return nil, false, err
		}
	}
	if f.total < 0 {
		f.estimate(ctx, r)
	}
	page, last, err = f.course.next(ctx, r, size{bytes: r.Limits.BackfillPageBytes, rows: r.pageRows(), deal: r.Deal})
	if errors.Is(err, errMoved) {
		r.Log.Info("the backfill of a table begins again", logging.Table, f.layout.Table.String(), "why", "the table was written anew, by VACUUM FULL, CLUSTER or the like, and its rows lie elsewhere now")
		f.course, f.total = nil, -1
		return nil, false, nil
	}
	return page, last, err
}

// choose has rows read as they lie in the table's file, where that is possible. A condition may have an index of its own, which is not passed over, and a backfill that was
// begun in the order of the primary key goes on in it.
func (f *fill) choose(ctx context.Context, r *Runner) (course, error) {
	if f.only != "" || len(f.read.Cursor) > 0 {
		return newByKey(f.source, f.read.Cursor), nil
	}
	file, found, err := f.find(ctx, r.Conn)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return newByKey(f.source, nil), nil
	}
	return newByPlace(f.source, file, f.read.Place), nil
}

// refuse ends a backfill whose condition fails on some row: it would fail for ever, and take the stream with it.
func (f *fill) refuse(r *Runner, why *pgconn.PgError) {
	// Its message may quote a value of the row.
	r.Log.Warn("backfill was cancelled: Postgres refuses its condition", logging.Table, f.layout.Table.String(), "why", "SQLSTATE "+why.Code+"; the log of Postgres has the rest",
		"fix", "begin it again with a condition that fails on no row and writes nothing")
	r.note(f, change.BackfillCancelled, nil)
	r.forgetFill(f)
}

// estimate asks the planner how many rows are left. Without an answer there is no ETA.
func (f *fill) estimate(ctx context.Context, r *Runner) {
	left, err := f.rows(ctx, r.Conn, f.course.rest())
	if err != nil {
		r.Log.Debug("the number of rows cannot be estimated", logging.Table, f.layout.Table.String(), logging.Err, err)
		left = 0
	}
	f.mu.Lock()
	f.total = f.read.Rows + left
	f.mu.Unlock()
}

// pageRows is how many rows a page has at the most. Lanes get unequal shares of it: they differ by some percent where a share has a thousand rows.
func (r *Runner) pageRows() int {
	if r.Batches == 0 {
		return mostRows
	}
	return max(1, min(mostRows, r.Batches-r.Batches/16))
}

// sweeps says whether the table's keys are to be looked through, and can be.
func (r *Runner) sweeps(f *fill) bool {
	return f.settled.Sweep && r.Keys != nil && Irreversible(f.layout, r.Plan) == ""
}

// settleFills moves tables on whose rows are all settled.
func (r *Runner) settleFills(ctx context.Context) {
	var waiting []*fill
	for _, f := range slices.Clone(r.fills) {
		f.mu.Lock()
		over, sweeps := f.over, f.whole && !f.settled.Paused && r.sweeps(f)
		if f.whole && !f.over && !r.sweeps(f) { // noted as sweeping by a life that could
			f.settled = f.done(r, f.settled)
			r.Note(f.layout.Table, f.settled, nil)
			over = true
		}
		f.mu.Unlock()
		switch {
		case over && (r.sweep == nil || r.sweep.of(f.layout.Table) == nil):
			r.forgetFill(f)
		case sweeps:
			waiting = append(waiting, f)
		}
	}
	if r.sweep == nil && len(waiting) > 0 {
		r.sweep = r.newSweep(ctx, waiting)
	}
}

// note stores a state that follows from no page. What is over stays as it is: its last page may have been settled a moment ago.
func (r *Runner) note(f *fill, state change.BackfillState, kept func()) {
	f.mu.Lock()
	f.noteLocked(r, state, kept)
	f.mu.Unlock()
	f.tell(r)
}

func (f *fill) noteLocked(r *Runner, state change.BackfillState, kept func()) {
	if !f.over {
		f.settled.State = state
		if !state.Active() {
			f.over = true
			f.countLocked(r, false)
			f.settled.Cursor, f.settled.Place, f.settled.Paused, f.settled.Sweep = nil, nil, false, false
		}
	}
	r.Note(f.layout.Table, f.settled, kept)
}

func (r *Runner) forgetFill(f *fill) {
	f.count(r, false)
	r.fills = slices.DeleteFunc(r.fills, func(other *fill) bool { return other == f })
}

// fillOf is the table's backfill, nil when there is none. One that ends between two calls is still there: only the runner forgets it.
func (r *Runner) fillOf(t change.Table) (last *fill) {
	for _, f := range r.fills {
		if f.layout.Table == t {
			last = f
		}
	}
	return last
}

// Active is how far the table's backfill has come, when one is going on or paused. Call it within Do.
func (r *Runner) Active(t change.Table) (progress change.Backfill, ok bool) {
	f := r.fillOf(t)
	if f == nil || f.ended() {
		return progress, false
	}
	return f.now(), true
}

// Start begins a table's backfill. Call it within Do; kept is called when the sink knows of it, and from then on it survives every crash.
func (r *Runner) Start(t Task, kept func()) {
	r.note(r.add(t), t.Progress.State, kept)
}

// Pause keeps a table's backfill where it is, or has it go on. Call it within Do, for a table that is Active.
func (r *Runner) Pause(t change.Table, paused bool, kept func()) {
	f := r.fillOf(t)
	if paused {
		r.leaveSweep(f)
	}
	f.mu.Lock()
	if !f.over {
		f.settled.Paused = paused
		f.countLocked(r, !paused)
	}
	f.noteLocked(r, f.settled.State, kept)
	f.mu.Unlock()
	f.tell(r)
}

// Cancel ends a table's backfill where it is. Call it within Do, for a table that is Active.
func (r *Runner) Cancel(t change.Table, kept func()) {
	f := r.fillOf(t)
	r.leaveSweep(f)
	r.note(f, change.BackfillCancelled, kept)
	r.forgetFill(f)
	r.Log.Info("backfill was cancelled", logging.Table, f.layout.Table.String(), "rows", f.now().Rows)
}
