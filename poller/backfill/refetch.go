package backfill

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"freshet/poller/row"
	"freshet/shared/change"
)

// Refetch holds updates that left out an unchanged TOAST value, until their rows have been read again. The row's columns cannot be
// completed one by one: the missing value may have been changed since by a later transaction, and a mixture of two versions is a row
// that never was. So the whole row is read, as a page, and takes its place in the stream at the page's mark.
//
// A row cannot be read before its update is visible, and that may wait for us: a commit with synchronous_commit = remote_apply stays
// invisible until we report it as applied. So a key whose row cannot be read soon is removed first: a miss is honest, an old value is not.
// Safe for concurrent use.
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
	// Blanked is called when the key was removed because the update is not visible yet; Settled follows.
	Blanked func()
	// Settled is called when the row as it is then is in Redis, or gone.
	Settled func()

	at time.Time
}

// Add asks for a row.
func (f *Refetch) Add(q Request) {
	q.at = time.Now()
	f.mu.Lock()
	f.asked = append(f.asked, q)
	f.mu.Unlock()
	select {
	case f.added <- struct{}{}:
	default:
	}
}

// again puts requests to the front.
func (f *Refetch) again(all []Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(all, f.asked...)
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

// visibleWithin is how long to wait for a transaction that is in the log but not visible yet, with looks in between. It takes
// microseconds, unless it waits for a standby, or for us.
const (
	visibleWithin = 200 * time.Millisecond
	betweenLooks  = time.Millisecond
)

// asideEvery is how often to look whether rows that were put aside can be read.
const asideEvery = 5 * time.Millisecond

// refetch reads some rows again and sends them on their way. Those that cannot be read soon are put aside.
func (r *Runner) refetch(ctx context.Context) error {
	asked := r.Refetch.Take(mostRefetched)
	until := asked[len(asked)-1].at.Add(visibleWithin) // the youngest
	for {
		now, err := CurrentSnapshot(ctx, r.Conn)
		if err != nil {
			return err
		}
		seen, unseen := split(asked, now)
		late := !time.Now().Before(until)
		if len(unseen) > 0 && late {
			if err := r.blank(ctx, unseen, now); err != nil {
				return err
			}
		}
		if len(unseen) == 0 || late {
			return r.fetch(ctx, seen)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(betweenLooks):
		}
	}
}

// split tells the requests whose updates every snapshot from now on sees from the others.
func split(asked []Request, now Snapshot) (seen, unseen []Request) {
	for _, q := range asked {
		if now.Sees(q.XID) {
			seen = append(seen, q)
		} else {
			unseen = append(unseen, q)
		}
	}
	return seen, unseen
}

// fetch reads rows whose updates are visible.
func (r *Runner) fetch(ctx context.Context, asked []Request) error {
	if len(asked) == 0 {
		return nil
	}
	s := source{layout: r.current(asked[0].Layout)}
	var keys []string
	for _, q := range asked {
		keys = append(keys, q.Key...)
	}
	page, err := s.page(ctx, r, s.queryKeys(len(asked), keys), math.MaxInt, Deal{}, sizes{})
	if errors.Is(err, errLocked) {
		r.setAside(asked)
		return nil
	}
	if err != nil {
		return err
	}
	page.Action = change.Update // rows that are gone are left out: their deletes follow in the stream
	page.Settled = func() {
		for _, q := range asked {
			q.Settled()
		}
	}
	return r.send(ctx, page)
}

// blank removes the keys of rows that cannot be read yet, and puts the requests aside until they can. A key stays when a transaction that
// could only come after theirs has written it already: its value is as new as can be, and the page that follows may leave it out.
func (r *Runner) blank(ctx context.Context, asked []Request, now Snapshot) error {
	page := &Page{Layout: asked[0].Layout, Action: change.Delete, Snapshot: now}
	for _, q := range asked {
		if !slices.Contains(page.But, q.XID) {
			page.But = append(page.But, q.XID)
		}
		t := q.Layout.KeyTuple(q.Key)
		page.Rows = append(page.Rows, Row{Record: q.Layout.AppendKey(nil, t), Key: q.Layout.Key(nil, t)})
	}
	page.Settled = func() {
		for _, q := range asked {
			q.Blanked()
		}
	}
	r.setAside(asked)
	return r.send(ctx, page)
}

func (r *Runner) setAside(asked []Request) {
	r.aside = append(r.aside, asked...)
	r.waiting.Store(int32(len(r.aside)))
}

// lookAside asks again for the rows put aside whose updates are visible by now.
func (r *Runner) lookAside(ctx context.Context) error {
	now, err := CurrentSnapshot(ctx, r.Conn)
	if err != nil {
		return err
	}
	var seen []Request
	seen, r.aside = split(r.aside, now)
	r.Refetch.again(seen)
	r.waiting.Store(int32(len(r.aside)))
	return nil
}

// current is the table as it is now, not as it was at the stream's place: a row that is read now has the columns of now, and those of then
// may be gone. The key's columns must be the same, since the rows are asked for by them.
func (r *Runner) current(then *row.Layout) *row.Layout {
	if now := r.Layouts[then.Table.String()]; now != nil && slices.Equal(now.PrimaryKey, then.PrimaryKey) {
		return now
	}
	return then
}
