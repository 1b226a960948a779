package backfill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"freshet/poller/row"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// Verification compares rows with keys, and keys with rows, through the lanes: a row is compared at the mark of the page that read it,
// after everything that the stream brought before it and before everything after it, unless a transaction which the page did not see has
// touched it. So lag never counts as a difference. It outlives the runner that works on it: the next one goes on at the last row that was
// compared. Safe for concurrent use.
type Verification struct {
	// Sample is the share of rows and keys to compare; 1 for all.
	Sample float64
	Repair bool
	// Found is told of each key that differs. May be nil.
	Found func(table string, d exchange.DifferenceKind, key string)

	seed uint64

	mu     sync.Mutex
	order  []string
	tables map[string]*compared
	at     int // index in order of the table whose rows are compared; behind the last one the keys are looked at
	over   bool
	failed *problem.Error
}

// Compared is what came out about one table.
type Compared struct {
	Table string
	Step  Step
	exchange.Tally
	Rows, Total, Keys, Repaired, Unsettled, Undecided int64
}

// Step is what is being done about a table.
type Step string

// The steps, in their order.
const (
	StepWaiting Step = "waiting"
	StepRows    Step = "rows"
	StepKeys    Step = "keys"
	StepAgain   Step = "again"
	StepDone    Step = "done"
)

// NewVerification compares these tables, by change.Table.String(), in this order.
func NewVerification(tables []string, sample float64, repair bool) *Verification {
	v := &Verification{Sample: sample, Repair: repair, order: tables, tables: map[string]*compared{}, seed: rand.Uint64()}
	for _, name := range tables {
		v.tables[name] = &compared{Compared: Compared{Table: name, Total: -1}}
	}
	return v
}

// Progress is what was found so far.
func (v *Verification) Progress() (all []Compared, over bool, failed *problem.Error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, name := range v.order {
		t := v.tables[name]
		t.Step = v.step(i, t)
		all = append(all, t.Compared)
	}
	return all, v.over, v.failed
}

func (v *Verification) step(i int, t *compared) Step {
	switch {
	case v.over:
		return StepDone
	case i > v.at:
		return StepWaiting
	case len(t.again)+len(t.wrong)+len(t.gone) > 0:
		return StepAgain
	case i == v.at:
		return StepRows
	}
	return StepKeys
}

// Cancel ends it where it is.
func (v *Verification) Cancel() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.over = true
}

// fail ends it with a finding.
func (v *Verification) fail(why *problem.Error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.over {
		v.over, v.failed = true, why
	}
}

func (v *Verification) ended() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.over
}

// compared is one table. Its lists are the rows and keys that a page is still to be made of; what has not come to its end when a life
// ends is looked at again from the cursor.
type compared struct {
	Compared
	cursor []string // of the last row that was compared
	whole  bool     // all rows are compared, and none of the lists has one left
	again  []look   // rows that were touched, or of which nothing is known
	wrong  []look   // rows whose key is to be written anew
	gone   []look   // keys without a row that are to be removed
}

// look is one row to look at again.
type look struct {
	key   []string // primary key
	tries int
	fixed bool // its key was put right: this is the second look
}

// mostTries is how often a row is looked at that is touched each time.
const mostTries = 5

// verifying is a runner's work on a Verification.
type verifying struct {
	*Verification
	source    source
	cursor    []string
	limit     int
	expected  sizes // of the next page
	last      bool  // the table's last page was read
	seen      seen  // the keys of rows that were compared, where remembers says so
	remembers bool
	scan      *scan
	later     *exchange.ScanResponse
	inFlight  int       // pages; guarded by Verification.mu
	patient   time.Time // rows that were touched are not looked at before; guarded by Verification.mu
}

// touchedPause is how long rows are left alone that a transaction has touched which nobody sees yet. It takes microseconds, unless a standby is
// late.
const touchedPause = 50 * time.Millisecond

// lookLater keeps a row for another look. Called with the lock.
func (w *verifying) lookLater(r *Runner, t *compared, q look) {
	t.again = append(t.again, q)
	pause := touchedPause << q.tries
	w.patient = time.Now().Add(pause)
	time.AfterFunc(pause, r.wake)
}

// Verify has the runner work on a verification. Call it within Do.
func (r *Runner) Verify(v *Verification) {
	w := &verifying{Verification: v, remembers: true}
	v.mu.Lock()
	for v.at = 0; v.at < len(v.order) && v.tables[v.order[v.at]].whole; v.at++ {
	}
	for _, t := range v.tables { // what a life before had in hand comes again
		t.again, t.wrong, t.gone = nil, nil, nil
	}
	v.mu.Unlock()
	w.begin()
	r.others = append(r.others, w)
	r.left.Add(1)
	r.wake()
}

// begin prepares for the next table.
func (w *verifying) begin() {
	w.source, w.cursor, w.limit, w.expected, w.last = source{}, nil, firstLimit, sizes{}, false
	if w.at < len(w.order) {
		w.cursor = w.tables[w.order[w.at]].cursor
	}
}

func (w *verifying) ready() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	settled := w.inFlight == 0 && !w.listed()
	switch {
	case w.over, w.at < len(w.order) && !w.last, w.later != nil, w.due():
		return true
	case w.at < len(w.order), w.scan == nil:
		return settled
	}
	over, _ := w.scan.ended()
	return over && settled || len(w.scan.pieces) > 0
}

// due says that some rows are to be looked at again now. Called with the lock.
func (w *verifying) due() bool {
	patient := time.Now().Before(w.patient)
	for _, t := range w.tables {
		if len(t.wrong)+len(t.gone) > 0 || len(t.again) > 0 && !patient {
			return true
		}
	}
	return false
}

// listed says that some rows wait to be looked at again. Called with the lock.
func (w *verifying) listed() bool {
	for _, t := range w.tables {
		if len(t.again)+len(t.wrong)+len(t.gone) > 0 {
			return true
		}
	}
	return false
}

func (w *verifying) step(ctx context.Context, r *Runner) (over bool, err error) {
	if w.ended() {
		return w.finish(r), nil
	}
	if worked, err := w.lists(ctx, r); worked || err != nil {
		return false, err
	}
	if w.at < len(w.order) {
		return false, w.rows(ctx, r)
	}
	return w.scanKeys(ctx, r)
}

func (w *verifying) finish(r *Runner) bool {
	if w.scan != nil {
		w.scan.stop()
	}
	r.left.Add(-1)
	return true
}

// rows compares the next page of a table.
func (w *verifying) rows(ctx context.Context, r *Runner) error {
	name := w.order[w.at]
	t := w.tables[name]
	if w.source.layout == nil {
		layout := r.Layouts[name]
		if layout == nil {
			w.fail(&problem.Error{What: "table " + name + " is not mirrored any more", Why: "it was dropped or renamed, or POLLER_TABLES does not name it", Fix: "run poller verify again"})
			return nil
		}
		w.source = w.sampled(layout)
		total, err := source{layout: layout}.rows(ctx, r.Conn, rest{})
		if total = int64(float64(total) * w.Sample); err != nil {
			total = -1
		}
		w.mu.Lock()
		t.Total = total
		w.mu.Unlock()
	}
	if w.last { // waiting for pages that are on their way
		w.mu.Lock()
		done := w.inFlight == 0 && !w.listed()
		t.whole = done
		w.mu.Unlock()
		if done {
			w.mu.Lock()
			w.at++
			w.mu.Unlock()
			w.begin()
		}
		return nil
	}
	if r.Plan.Tables[name].Incomparable != "" {
		w.last = true
		return nil
	}
	const share = 2 // of a page that is written: rows that are compared are kept until that is done
	aim := max(int(float64(r.Limits.BackfillPageBytes/share)*w.Sample), 1<<14)
	page, err := w.source.page(ctx, r, w.source.query(w.cursor, w.limit), 2*aim, Deal{}, w.expected)
	if errors.Is(err, errLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	w.last = len(page.Rows) < w.limit && !page.partial
	if len(page.Rows) > 0 {
		w.cursor = page.last
	}
	was := w.limit
	w.limit = nextLimit(w.limit, page, aim, r.pageRows()/share)
	w.expected = page.memory.sizes().times(float64(w.limit) / float64(was))
	return w.compare(ctx, r, t, page, w.cursor, 0)
}

// sampled limits a table to the share that is asked for, by a hash of its primary key.
func (w *verifying) sampled(l *row.Layout) source {
	s := source{layout: l}
	if w.Sample < 1 {
		const all = 1 << 20
		text := "concat_ws('-', " + columnList(l.PrimaryKey) + ")"
		s.only = fmt.Sprintf("hashtextextended(%s, %d) & %d < %d", text, int64(w.seed), all-1, int(w.Sample*all))
	}
	return s
}

// chosen says whether a key of Redis is in the sample.
func (w *verifying) chosen(key []byte) bool {
	return w.Sample >= 1 || float64(xxhash.Sum64(key)^w.seed)/(1<<64) < w.Sample
}

// lists makes a page of the rows that wait to be looked at again.
func (w *verifying) lists(ctx context.Context, r *Runner) (worked bool, err error) {
	const most = 500
	for _, name := range w.order {
		layout := r.Layouts[name]
		t := w.tables[name]
		w.mu.Lock()
		var again []look
		if !time.Now().Before(w.patient) {
			again = take(&t.again, most)
		}
		wrong, gone := take(&t.wrong, most), take(&t.gone, most)
		w.mu.Unlock()
		if layout == nil || len(again)+len(wrong)+len(gone) == 0 {
			continue
		}
		return true, errors.Join(w.lookAgain(ctx, r, t, layout, again), w.rewrite(ctx, r, t, layout, wrong), w.remove(ctx, r, t, layout, gone))
	}
	return false, nil
}

func take(list *[]look, most int) []look {
	n := min(most, len(*list))
	taken := append([]look(nil), (*list)[:n]...)
	*list = append((*list)[:0], (*list)[n:]...)
	return taken
}
