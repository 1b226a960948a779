package backfill

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"freshet/poller/row"
	"freshet/shared/change"
)

// Refetch holds updates that left out an unchanged TOAST value, until their rows have been read again. The row's columns cannot be
// completed one by one: the missing value may have been changed since by a later transaction, and a mixture of two versions is a row
// that never was. So the whole row is read, as a page, and takes its place in the stream at the page's mark. Safe for concurrent use.
type Refetch struct {
	mu    sync.Mutex
	asked []Request
	added chan struct{}
}

// NewRefetch is empty.
func NewRefetch() *Refetch { return &Refetch{added: make(chan struct{}, 1)} }

// Request is one row to read again.
type Request struct {
	Layout *row.Layout
	Key    []string
	XID    uint32 // of the update: the snapshot has to see it
	// Settled is called when the row as it is then is in Redis, or gone.
	Settled func()
}

// Add asks for a row.
func (f *Refetch) Add(q Request) {
	f.mu.Lock()
	f.asked = append(f.asked, q)
	f.mu.Unlock()
	select {
	case f.added <- struct{}{}:
	default:
	}
}

// Empty says that no row waits.
func (f *Refetch) Empty() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked) == 0
}

// Take removes up to most requests of one table from the front.
func (f *Refetch) Take(most int) []Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for n < len(f.asked) && n < most && f.asked[n].Layout == f.asked[0].Layout {
		n++
	}
	taken := append([]Request(nil), f.asked[:n]...)
	f.asked = f.asked[:copy(f.asked, f.asked[n:])]
	return taken
}

// The rows that need this are wide ones, so a page takes few of them.
const mostRefetched = 32

// unseenPause is how long to wait for a transaction that is in the log but not visible yet: usually microseconds, longer only when a
// synchronous standby answers late.
const unseenPause = time.Millisecond

// refetch reads some rows again and sends them on their way.
func (r *Runner) refetch(ctx context.Context) error {
	asked := r.Refetch.Take(mostRefetched)
	s := source{layout: r.current(asked[0].Layout)}
	var keys []string
	for _, q := range asked {
		keys = append(keys, q.Key...)
	}
	sql := s.queryKeys(len(asked))
	for {
		seen, err := r.seesAll(ctx, asked)
		if err != nil {
			return err
		}
		if seen {
			break
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(unseenPause):
		}
	}
	page, err := s.read(ctx, r.Conn, sql, keys, math.MaxInt)
	if err != nil {
		return err
	}
	if len(page.Rows) == 0 { // all of them are gone: their deletes follow in the stream
		if page.Snapshot, err = CurrentSnapshot(ctx, r.Conn); err != nil {
			return err
		}
	}
	page.Action = change.Update
	page.Settled = func() {
		for _, q := range asked {
			q.Settled()
		}
	}
	return r.send(ctx, page)
}

// current is the table as it is now, not as it was at the stream's place: a row that is read now has the columns of now, and those of then
// may be gone. The key's columns must be the same, since the rows are asked for by them.
func (r *Runner) current(then *row.Layout) *row.Layout {
	if now := r.Layouts[then.Table.String()]; now != nil && slices.Equal(now.PrimaryKey, then.PrimaryKey) {
		return now
	}
	return then
}

// seesAll says whether every snapshot from now on sees the updates that were asked for.
func (r *Runner) seesAll(ctx context.Context, asked []Request) (bool, error) {
	now, err := CurrentSnapshot(ctx, r.Conn)
	if err != nil {
		return false, err
	}
	for _, q := range asked {
		if !now.Sees(q.XID) {
			return false, nil
		}
	}
	return true, nil
}
