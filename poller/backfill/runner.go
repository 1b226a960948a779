package backfill

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/poller/row"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// Limits bound a backfill.
type Limits struct {
	BackfillPages     int `split_words:"true" default:"4" desc:"Pages of a backfill that are on their way at the same time."`
	BackfillPageBytes int `split_words:"true" default:"4194304" desc:"Size of a page that a backfill aims at; the number of rows follows from it."`
}

// Task is one table whose rows are to be read.
type Task struct {
	Layout   *row.Layout
	Progress change.Backfill
}

// Keys is what a Runner asks of the function beside the lanes. An error says that it cannot be had at all; trouble that passes is waited for.
type Keys interface {
	Scan(ctx context.Context, ask exchange.ScanRequest) (exchange.ScanResponse, error)
	Sweep(ctx context.Context, ask exchange.SweepRequest) (exchange.SweepResponse, error)
}

// Runner reads pages, one at a time, and sends each on its way with a mark. It owns its connections; everything else it has
// to do with the stream goes through Pages and Recent.
type Runner struct {
	Conn    *pgconn.PgConn
	Marks   *pgconn.PgConn // writes the marks of pages, while the next page is read
	Session string         // begins the ids of the pages
	Sink    string
	Tasks   []Task
	Layouts map[string]*row.Layout         // of all tables as they are now, by change.Table.String()
	Shapes  map[string]exchange.TableShape // the same tables as the function was told of them
	Plan    exchange.Plan
	Limits  Limits
	// Batches is how many messages the batches of all lanes take that are sent at a time: a page that has somewhat fewer rows becomes as many
	// batches, nearly full, and leaves no rest. Zero if that does not matter.
	Batches int
	// Deal has the rows of backfills put into lots for the lanes. The zero one where lanes do not take them so.
	Deal Deal
	// Since has tables that are read only when no transaction below this id is running: what those wrote there may be in no stream.
	Since   map[change.Table]uint64
	Pages   *Pages
	Recent  *Recent
	Refetch *Refetch
	// Keys is nil where the sink knows nothing of it: then no keys are looked for that have no rows.
	Keys Keys
	// Note stores a table's progress once it is settled; kept, when not nil, is called when the sink has it.
	Note func(t change.Table, b change.Backfill, kept func())
	// Filled says whether all rows of a table have come, so that a missing key is damage. The audit looks at no other table.
	Filled func(change.Table) bool
	// Told is told how a table's backfill goes on. May be nil.
	Told func(Told)
	// Read is told of the rows of each page read.
	Read func(change.Table, int)
	// Pruned is called after a refresh that Refresh asked for. May be nil.
	Pruned func()
	Log    *slog.Logger
	// Inspect looks, every few seconds and between two pages, whether the tables still are what the tasks were made for. May be nil.
	Inspect func(ctx context.Context) error

	inspected time.Time
	refreshed time.Time
	pages     int
	inFlight  atomic.Int32
	free      chan struct{} // something may go on: a page was settled, keys have come
	asked     chan struct{} // Refresh
	commands  chan func()
	marks     chan string  // ids of pages to be marked
	failed    chan error   // of the connection that marks
	left      atomic.Int32 // walks that are not over, but for the audit and what is paused
	aside     []Request    // rows to fetch again once their updates are visible
	waiting   atomic.Int32 // how many these are

	fills   []*fill
	sweep   *sweep
	others  []walk
	turn    int // whose turn it is among the walks
	helpers sync.WaitGroup
}

// Told is how far a table's backfill has come.
type Told struct {
	Table    change.Table
	Progress change.Backfill // of what is settled
	Total    int64           // rows, about; -1 while nobody knows
	Keys     int64           // that the sweep has looked at
	Swept    int64           // that it has removed
}

// walk reads something page by page. Everything but what a page's settling calls belongs to the runner's goroutine.
type walk interface {
	// ready says whether step has something to do now.
	ready() bool
	// step reads at most one page and sends it on its way; over says that nothing is left to be read.
	step(ctx context.Context, r *Runner) (over bool, err error)
}

// Prepare must be called before anything else.
func (r *Runner) Prepare() *Runner {
	r.free, r.asked, r.commands = make(chan struct{}, 1), make(chan struct{}, 1), make(chan func())
	r.marks, r.failed = make(chan string, mostMarks), make(chan error, 1)
	for _, t := range r.Tasks {
		r.add(t)
	}
	return r
}

// Idle says that no table is left and no row waits to be fetched again. A standing audit does not count.
func (r *Runner) Idle() bool {
	return r.left.Load() == 0 && r.inFlight.Load() == 0 && r.waiting.Load() == 0 && r.Refetch.Empty()
}

// Do runs f in the runner's goroutine, between two pages. It returns the context's error when the runner does not come to it.
func (r *Runner) Do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case r.commands <- func() { f(); close(done) }:
	case <-ctx.Done():
		return ctx.Err()
	}
	<-done
	return nil
}

// Refresh has what Recent remembers pruned soon, because something waits for it.
func (r *Runner) Refresh() { offer(r.asked) }

// Irreversible says why a table's keys cannot be turned back into primary keys, so that those without a row cannot be found; empty when they can.
func Irreversible(l *row.Layout, plan exchange.Plan) string {
	if why := plan.Tables[l.Table.String()].Irreversible; why != "" || l.Reversible() {
		return why
	}
	return "a column of the primary key has a type whose text in a key is not its text in Postgres, such as an array or jsonb"
}

// wake has the runner look again whether a walk is ready.
func (r *Runner) wake() { offer(r.free) }

func offer(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// refreshEvery is how often what Recent remembers is pruned when no page does it on its way, refreshPace how often at most when it is
// asked for, and probeEvery how often the connection is tried when there is nothing to prune.
const refreshEvery, refreshPace, probeEvery = time.Second, 5 * time.Millisecond, 5 * time.Second

// prepareSQL bounds the wait for a table that somebody else has locked. Whoever did may be waiting for us to report a commit, and that report
// for a key that blank is to remove: it must not wait for a page. Keys are looked up through the primary key's index, however few rows the
// table is thought to have. An operator's condition may call functions; none of them shall write.
const prepareSQL = "SET default_transaction_read_only = on; SET lock_timeout = '300ms'; SET enable_hashjoin = off; SET enable_mergejoin = off"

// Run works until the context ends or the connection fails. Rows to fetch again go before everything else.
func (r *Runner) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer r.helpers.Wait()
	defer stop()
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	probe := time.NewTicker(probeEvery)
	defer probe.Stop()
	if _, err := r.Conn.Exec(ctx, prepareSQL).ReadAll(); err != nil {
		return fmt.Errorf("prepare the connection that reads rows: %w", err)
	}
	r.helpers.Go(func() { r.mark(ctx) })
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
		worked, err := r.work(ctx)
		if err != nil {
			return err
		}
		if worked {
			select { // whoever asks does not wait for a table to be over
			case err := <-r.failed:
				return err
			case command := <-r.commands:
				command()
			case <-r.asked:
				if err := r.refreshSoon(ctx); err != nil {
					return err
				}
			default:
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-r.failed:
			return err
		case command := <-r.commands:
			command()
		case <-r.free:
		case <-r.Refetch.added:
		case <-aside:
		case <-r.asked:
			if err := r.refreshSoon(ctx); err != nil {
				return err
			}
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

// work does one thing that is to be done, if there is one and room for it.
func (r *Runner) work(ctx context.Context) (worked bool, err error) {
	r.settleFills(ctx)
	if int(r.inFlight.Load()) >= r.Limits.BackfillPages {
		return false, nil
	}
	if !r.Refetch.Empty() {
		return true, r.refetch(ctx)
	}
	all := r.walks()
	for i := range all {
		w := all[(r.turn+i)%len(all)]
		if !w.ready() {
			continue
		}
		r.turn = (r.turn + i + 1) % len(all)
		over, err := w.step(ctx, r)
		if err != nil {
			return false, err
		}
		if over {
			r.drop(w)
		}
		return true, nil
	}
	return false, nil
}

// walks are those that take turns: the first table that can be read, its keys, and what compares.
func (r *Runner) walks() (all []walk) {
	for _, f := range r.fills {
		if f.ready() {
			all = append(all, f)
			break // tables are read one after the other
		}
	}
	if r.sweep != nil {
		all = append(all, r.sweep)
	}
	return append(all, r.others...)
}

// drop forgets a comparison of which everything has been read.
func (r *Runner) drop(w walk) {
	r.others = slices.DeleteFunc(r.others, func(other walk) bool { return other == w })
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

// refreshSoon refreshes at a pace, since every commit may ask for it.
func (r *Runner) refreshSoon(ctx context.Context) error {
	if wait := refreshPace - time.Since(r.refreshed); wait > 0 {
		time.Sleep(wait)
	}
	if err := r.refresh(ctx); err != nil {
		return err
	}
	if r.Pruned != nil {
		r.Pruned()
	}
	return nil
}

// refresh takes a new snapshot so that Recent can forget what everybody sees by now.
func (r *Runner) refresh(ctx context.Context) error {
	r.refreshed = time.Now()
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

const snapshotSQL = "SELECT pg_current_snapshot()::text"

// CurrentSnapshot asks for the snapshot of this moment.
func CurrentSnapshot(ctx context.Context, conn *pgconn.PgConn) (Snapshot, error) {
	result := conn.ExecParams(ctx, snapshotSQL, nil, nil, nil, nil).Read()
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
		r.Pages.recycle(p)
		r.inFlight.Add(-1)
		r.wake()
	}
	r.inFlight.Add(1)
	r.Pages.Add(p)
	r.forget(p.Snapshot)
	select {
	case r.marks <- p.ID:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// mostMarks is how many marks may wait to be written; pages in flight are fewer.
const mostMarks = 64

// mark writes marks until the context ends. The commit of each waits for the disk.
func (r *Runner) mark(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case id := <-r.marks:
			result := r.Marks.ExecParams(ctx, "SELECT pg_logical_emit_message(true, $1, $2)", arguments([]string{Prefix, id}), nil, nil, nil).Read()
			if result.Err != nil {
				r.failed <- fmt.Errorf("mark a page in the stream: %w", result.Err)
				return
			}
		}
	}
}
