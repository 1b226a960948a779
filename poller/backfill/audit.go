package backfill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"freshet/poller/row"
	"freshet/shared/exchange"
	"freshet/shared/logging"
)

// auditing compares a trickle of rows and keys for as long as the runner runs: every round some rows in a row, from a random one on, of a
// table chosen by its size, and the next keys of Redis. Its marks are few, so that an idle database stays nearly idle.
type auditing struct {
	verifying
	rows  int           // of a round
	every time.Duration // between two rounds
	next  time.Time
	sizes map[string]int64 // rows of each table, about
	sized time.Time
}

// roundRows is how many rows of an audit are looked at together, at the usual pace.
const roundRows = 1000

// Audit has the runner compare so many rows a second, for ever. Call it within Do, or before Run. Its findings are in v.
func (r *Runner) Audit(v *Verification, rowsPerSecond int) {
	a := &auditing{verifying: verifying{Verification: v}, rows: roundRows, every: time.Duration(roundRows) * time.Second / time.Duration(rowsPerSecond)}
	if a.every < time.Second {
		a.rows, a.every = rowsPerSecond, time.Second
	}
	v.mu.Lock()
	for _, t := range v.tables {
		t.again, t.wrong, t.gone = nil, nil, nil
	}
	v.mu.Unlock()
	a.next = time.Now().Add(a.every)
	r.others = append(r.others, a)
}

func (a *auditing) ready() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.over && (a.due() || a.inFlight == 0 && !time.Now().Before(a.next))
}

func (a *auditing) step(ctx context.Context, r *Runner) (over bool, err error) {
	if worked, err := a.lists(ctx, r); worked || err != nil {
		return false, err
	}
	a.next = time.Now().Add(a.every)
	if err := a.someRows(ctx, r); err != nil {
		return false, err
	}
	return false, a.someKeys(ctx, r)
}

// sizesAreGoodFor is how long the sizes of tables are taken for granted.
const sizesAreGoodFor = 10 * time.Minute

// choose picks a table, larger ones more often; nil when none can be compared.
func (a *auditing) choose(ctx context.Context, r *Runner) (*row.Layout, error) {
	if time.Since(a.sized) > sizesAreGoodFor {
		a.sizes, a.sized = map[string]int64{}, time.Now()
		for _, name := range a.order {
			l := r.Layouts[name]
			if l == nil || r.Plan.Tables[name].Incomparable != "" {
				continue
			}
			rows, err := source{layout: l}.rows(ctx, r.Conn, rest{})
			if errors.Is(err, errLocked) {
				continue
			}
			if err != nil {
				return nil, err
			}
			a.sizes[name] = max(rows, 1)
		}
	}
	var all int64
	var filled []string
	for name, rows := range a.sizes {
		if r.Filled(r.Layouts[name].Table) {
			all, filled = all+rows, append(filled, name)
		}
	}
	if all == 0 {
		return nil, nil
	}
	at := rand.Int64N(all)
	for _, name := range filled {
		if at -= a.sizes[name]; at < 0 {
			return r.Layouts[name], nil
		}
	}
	return nil, nil
}

// someRows compares the rows that follow a random one.
func (a *auditing) someRows(ctx context.Context, r *Runner) error {
	l, err := a.choose(ctx, r)
	if err != nil || l == nil {
		return err
	}
	s := source{layout: l}
	after, err := a.anywhere(ctx, r, s)
	if errors.Is(err, errLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	page, err := s.page(ctx, r, s.query(after, a.rows), r.Limits.BackfillPageBytes, Deal{}, sizes{})
	if errors.Is(err, errLocked) {
		return nil
	}
	if err != nil || len(page.Rows) == 0 {
		return err
	}
	return a.compare(ctx, r, a.tables[l.Table.String()], page, nil, 0)
}

// anywhere is the key of a random row; nil for the beginning of the table.
// https://www.postgresql.org/docs/current/sql-select.html#SQL-FROM
func (a *auditing) anywhere(ctx context.Context, r *Runner, s source) ([]string, error) {
	rows := a.sizes[s.layout.Table.String()]
	if rand.Int64N(rows) <= int64(a.rows) {
		return nil, nil
	}
	const drawn = 2000 // rows, of whose blocks one row is taken
	percent := min(100, 100*drawn/float64(rows))
	sql := fmt.Sprintf("SELECT %s FROM %s TABLESAMPLE SYSTEM (%f) ORDER BY random() LIMIT 1", columnList(s.layout.PrimaryKey), s.layout.From, max(percent, 0.0001))
	result := r.Conn.ExecParams(ctx, sql, nil, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, locked(result.Err, "choose a row of", s.layout)
	}
	if len(result.Rows) == 0 {
		return nil, nil
	}
	return texts(result.Rows[0]), nil
}

// someKeys looks at the next keys, and begins anew after the last ones.
func (a *auditing) someKeys(ctx context.Context, r *Runner) error {
	if a.scan == nil {
		a.startScan(ctx, r)
		return nil
	}
	if piece, ok := a.piece(); ok {
		piece.Keys = slices.DeleteFunc(piece.Keys, func(f exchange.FoundKeys) bool {
			l := r.Layouts[f.Table]
			return l == nil || !r.Filled(l.Table)
		})
		return a.takeKeys(ctx, r, piece)
	}
	if over, _ := a.scan.ended(); over { // why it ended, the lanes find out too
		if err := a.scan.remove(ctx, r); err != nil {
			r.Log.Warn("keys without rows stay for now", logging.Err, err)
		}
		a.mu.Lock()
		for name, t := range a.tables {
			t.Repaired += a.scan.removedOf(name)
		}
		a.mu.Unlock()
		a.scan.stop()
		a.scan = nil
	}
	return nil
}
