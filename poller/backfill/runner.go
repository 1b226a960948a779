package backfill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/poller/row"
	"freshet/shared/change"
	"freshet/shared/logging"
)

// Limits bound a backfill.
type Limits struct {
	BackfillPages     int `split_words:"true" default:"4" desc:"Pages of a backfill that are on their way at the same time."`
	BackfillPageBytes int `split_words:"true" default:"1048576" desc:"Size of a page that a backfill aims at; the number of rows follows from it."`
}

// Task is one table whose rows are to be read.
type Task struct {
	Layout   *row.Layout
	Progress change.Backfill
}

// Runner reads pages, one at a time, and sends each on its way with a mark. It owns its connection; everything else it has
// to do with the stream goes through Pages and Recent.
type Runner struct {
	Conn    *pgconn.PgConn
	Session string // begins the ids of the pages
	Tasks   []Task
	Layouts map[string]*row.Layout // of all tables as they are now, by change.Table.String()
	Limits  Limits
	Pages   *Pages
	Recent  *Recent
	Refetch *Refetch
	// Note stores a table's progress once it is settled.
	Note func(change.Table, change.Backfill)
	// Read is told of the rows of each page read.
	Read func(change.Table, int)
	Log  *slog.Logger
	// Inspect looks, every few seconds and between two pages, whether the tables still are what the tasks were made for. May be nil.
	Inspect func(ctx context.Context) error

	inspected time.Time
	pages     int
	inFlight  atomic.Int32
	free      chan struct{} // a page was settled
	left      atomic.Int32  // tables that are not done
	aside     []Request     // rows to fetch again once their updates are visible
	waiting   atomic.Int32  // how many these are
}

// Prepare must be called before anything else.
func (r *Runner) Prepare() *Runner {
	r.free = make(chan struct{}, 1)
	r.left.Store(int32(len(r.Tasks)))
	return r
}

// Idle says that no table is left and no row waits to be fetched again.
func (r *Runner) Idle() bool {
	return r.left.Load() == 0 && r.inFlight.Load() == 0 && r.waiting.Load() == 0 && r.Refetch.Empty()
}

// refreshEvery is how often what Recent remembers is pruned when no page does it on its way, and probeEvery how often the connection is
// tried when there is nothing to prune.
const refreshEvery, probeEvery = time.Second, 5 * time.Second

// lockTimeout bounds the wait for a table that somebody else has locked. Whoever did may be waiting for us to report a commit, and that report
// for a key that blank is to remove: it must not wait for a page.
const lockTimeout = "SET lock_timeout = '300ms'"

// Run works until the context ends or the connection fails. Rows to fetch again go before pages of a table.
func (r *Runner) Run(ctx context.Context) error {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	probe := time.NewTicker(probeEvery)
	defer probe.Stop()
	walks := r.walks()
	if _, err := r.Conn.Exec(ctx, lockTimeout).ReadAll(); err != nil {
		return fmt.Errorf("bound the wait for locks: %w", err)
	}
	for {
		if err := r.inspect(ctx); err != nil {
			return err
		}
		var aside <-chan time.Time
		if len(r.aside) > 0 {
			if err := r.lookAside(ctx); err != nil {
				return err
			}
			aside = time.After(asideEvery)
		}
		room := int(r.inFlight.Load()) < r.Limits.BackfillPages
		switch {
		case room && !r.Refetch.Empty():
			if err := r.refetch(ctx); err != nil {
				return err
			}
			continue
		case room && len(walks) > 0:
			more, err := walks[0].step(ctx, r)
			if err != nil {
				return err
			}
			if !more {
				walks = walks[1:]
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.free:
		case <-r.Refetch.added:
		case <-aside:
		case <-tick.C:
			if r.Recent.Empty() {
				continue
			}
			if err := r.refresh(ctx); err != nil {
				return err
			}
		// A server that shuts down ends this connection first, and then waits for the replication connection, which is not read while the lanes
		// are full: nobody else would notice.
		case <-probe.C:
			if err := r.refresh(ctx); err != nil {
				return err
			}
		}
	}
}

// inspectEvery is how long an altered table may go unnoticed when none of its rows changes.
const inspectEvery = 5 * time.Second

func (r *Runner) inspect(ctx context.Context) error {
	if r.Inspect == nil || time.Since(r.inspected) < inspectEvery {
		return nil
	}
	r.inspected = time.Now()
	return r.Inspect(ctx)
}

// refresh takes a new snapshot so that Recent can forget what everybody sees by now.
func (r *Runner) refresh(ctx context.Context) error {
	s, err := CurrentSnapshot(ctx, r.Conn)
	if err != nil {
		return err
	}
	r.forget(s)
	return nil
}

// forget prunes up to the oldest snapshot that is still on its way.
func (r *Runner) forget(newest Snapshot) {
	if oldest, ok := r.Pages.oldest(); ok {
		newest = oldest
	}
	r.Recent.Forget(newest)
}

// CurrentSnapshot asks for the snapshot of this moment.
func CurrentSnapshot(ctx context.Context, conn *pgconn.PgConn) (Snapshot, error) {
	result := conn.ExecParams(ctx, "SELECT pg_current_snapshot()::text", nil, nil, nil, nil).Read()
	if result.Err != nil {
		return Snapshot{}, fmt.Errorf("take a snapshot: %w", result.Err)
	}
	return ParseSnapshot(string(result.Rows[0][0]))
}

// send puts a page on its way: first it waits where the stream will look for it, then its mark is written. The mark is transactional, so
// that it is flushed, and thereby streamed, at once.
func (r *Runner) send(ctx context.Context, p *Page) error {
	if p.doubt {
		r.inspected = time.Time{} // a type may have been altered
		if err := r.inspect(ctx); err != nil {
			return err
		}
	}
	r.pages++
	p.ID = r.Session + "/" + strconv.Itoa(r.pages)
	settled := p.Settled
	p.Settled = func() {
		settled()
		r.inFlight.Add(-1)
		select {
		case r.free <- struct{}{}:
		default:
		}
	}
	r.inFlight.Add(1)
	r.Pages.Add(p)
	r.forget(p.Snapshot)
	result := r.Conn.ExecParams(ctx, "SELECT pg_logical_emit_message(true, $1, $2)", [][]byte{[]byte(Prefix), []byte(p.ID)}, nil, nil, nil).Read()
	if result.Err != nil {
		return fmt.Errorf("mark a page in the stream: %w", result.Err)
	}
	return nil
}

func (r *Runner) walks() (all []*walk) {
	for _, t := range r.Tasks {
		all = append(all, &walk{source: source{layout: t.Layout}, cursor: t.Progress.Cursor, progress: t.Progress, limit: firstLimit, began: time.Now()})
	}
	return all
}

// walk is one table being read in the order of its primary key.
type walk struct {
	source
	cursor   []string
	progress change.Backfill // of what has been read, not of what is settled
	limit    int
	began    time.Time

	mu      sync.Mutex
	settled int64 // rows, of the furthest page that is settled
}

// reached is called when a page is settled, by whoever settled it: calls may overtake each other, and progress must not go back.
func (w *walk) reached(r *Runner, progress change.Backfill) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if progress.Rows > w.settled || progress.State == change.BackfillDone {
		w.settled = max(progress.Rows, w.settled)
		r.Note(w.layout.Table, progress)
	}
}

// The number of rows in a page grows from firstLimit until the page has the size that is aimed at.
const (
	firstLimit = 16
	mostRows   = 10_000
)

// step reads one page and sends it on its way; more is false after the last one.
func (w *walk) step(ctx context.Context, r *Runner) (more bool, err error) {
	if w.progress.State == change.BackfillPending {
		r.Log.Info("backfill begins", logging.Table, w.layout.Table.String())
	}
	page, err := w.read(ctx, r.Conn, w.query(w.cursor, w.limit), w.cursor, 2*r.Limits.BackfillPageBytes)
	if errors.Is(err, errLocked) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	page.Action = change.Read
	last := len(page.Rows) < w.limit && !page.partial
	w.progress.State = change.BackfillRunning
	w.progress.Rows += int64(len(page.Rows))
	if len(page.Rows) > 0 {
		w.cursor = page.last
		w.progress.Cursor = w.cursor
	}
	if last {
		w.progress.State, w.progress.Cursor = change.BackfillDone, nil
	}
	r.Read(w.layout.Table, len(page.Rows))
	if page.partial {
		w.limit = len(page.Rows)
	}
	w.adapt(len(page.records), r.Limits.BackfillPageBytes)
	reached := w.progress
	page.Settled = func() {
		w.reached(r, reached)
		if last {
			r.left.Add(-1)
			r.Log.Info("backfill is done", logging.Table, w.layout.Table.String(), "rows", reached.Rows, logging.Took, time.Since(w.began).Round(time.Millisecond))
		}
	}
	if len(page.Rows) == 0 {
		if page.Snapshot, err = CurrentSnapshot(ctx, r.Conn); err != nil {
			return false, err
		}
	}
	return !last, r.send(ctx, page)
}

// adapt sets the next page's number of rows from the size of this one.
func (w *walk) adapt(bytes, aim int) {
	switch {
	case bytes > 2*aim:
		w.limit = max(1, w.limit/2)
	case bytes < aim/4:
		w.limit = min(mostRows, w.limit*4)
	case bytes < aim/2:
		w.limit = min(mostRows, w.limit*2)
	}
}
