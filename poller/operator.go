package poller

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/poller/backfill"
	"freshet/poller/operate"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// operator does what people ask of a running poller, whichever life it is in.
type operator struct {
	poller *Poller

	mu     sync.Mutex
	life   *life // that streams; nil while none does
	fills  map[change.Table]*filling
	order  []change.Table
	checks []*check // of comparisons, oldest first
}

func newOperator(p *Poller) *operator { return &operator{poller: p} }

// keptWithin is how long a request waits until the sink knows of what it asked for.
const keptWithin = 10 * time.Second

// begin is told what the sink knows of the backfills when a session was opened.
func (o *operator) begin(t tables, states map[string]change.Backfill) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fills, o.order = map[change.Table]*filling{}, nil
	for _, found := range t.found {
		o.order = append(o.order, found.Table)
		o.fills[found.Table] = &filling{Backfill: operate.Backfill{Table: found.Table.String(), Backfill: states[found.Table.String()], Total: -1}}
	}
}

// serve and leave bracket the time in which a life streams.
func (o *operator) serve(l *life) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.life = l
}

func (o *operator) leave(l *life) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.life == l {
		o.life = nil
	}
}

// streaming is the life that can do something.
func (o *operator) streaming() (*life, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.life != nil {
		return o.life, nil
	}
	why := "it is starting"
	if p := o.poller.health.Ready(time.Now()); p != nil {
		why = strings.TrimPrefix(p.Error(), "the poller is starting: ")
	}
	return nil, operate.Refuse(http.StatusServiceUnavailable, "the poller does not stream at the moment", why, "try again once /readyz says ready")
}

// told takes in how a backfill goes on.
func (o *operator) told(t backfill.Told) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := o.fills[t.Table]; f != nil {
		f.told(t, time.Now())
	}
}

// filled says whether all rows of a table have come.
func (o *operator) filled(t change.Table) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.fills[t]
	return f != nil && f.State == change.BackfillDone
}

// filling is one table's backfill with its pace.
type filling struct {
	operate.Backfill
	samples []sample
}

type sample struct {
	at   time.Time
	rows int64
}

// paceOver is how far back the pace looks.
const paceOver = 5 * time.Second

func (f *filling) told(t backfill.Told, now time.Time) {
	if f.Began.IsZero() || f.Ended.After(f.Began) && t.Progress.State.Active() {
		f.Began, f.Ended, f.samples = now, time.Time{}, nil
	}
	f.Backfill.Backfill, f.Total, f.Keys, f.Swept = t.Progress, t.Total, t.Keys, t.Swept
	if f.Total >= 0 {
		f.Total = max(f.Total, f.Rows)
	}
	if !f.State.Active() && f.Ended.IsZero() {
		f.Ended = now
	}
	f.samples = append(f.samples, sample{now, f.Rows})
	old := 0
	for old < len(f.samples)-2 && now.Sub(f.samples[old+1].at) > paceOver {
		old++
	}
	f.samples = append(f.samples[:0], f.samples[old:]...)
}

// at is what an operator sees now.
func (f *filling) at(now time.Time) operate.Backfill {
	b := f.Backfill
	first := f.samples
	if !b.State.Active() || b.Paused || len(first) == 0 {
		return b
	}
	if passed := now.Sub(first[0].at); passed > 0 {
		b.RowsPerSecond = float64(b.Rows-first[0].rows) / passed.Seconds()
	}
	return b
}

// Backfills lists all tables.
func (o *operator) Backfills(context.Context) ([]operate.Backfill, error) {
	if _, err := o.streaming(); err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	all := []operate.Backfill{}
	for _, t := range o.order {
		all = append(all, o.fills[t].at(time.Now()))
	}
	return all, nil
}

func (o *operator) of(tables ...change.Table) (some []operate.Backfill) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, t := range tables {
		if f := o.fills[t]; f != nil {
			some = append(some, f.at(time.Now()))
		}
	}
	return some
}

// tablesNamed finds tables by their names; all of them when there are none.
func (l *life) tablesNamed(names []string) (found []change.Table, err error) {
	var every []change.Table
	for _, t := range l.tables.found {
		if every = append(every, t.Table); slices.Contains(names, t.Table.String()) {
			found = append(found, t.Table)
		}
	}
	if len(names) == 0 {
		return every, nil
	}
	for _, name := range names {
		if !slices.ContainsFunc(found, func(t change.Table) bool { return t.String() == name }) {
			return nil, operate.Refuse(http.StatusNotFound, fmt.Sprintf("table %s is not mirrored", name), "POLLER_TABLES does not name it", "name some of: "+listed(every))
		}
	}
	return found, nil
}

func listed(tables []change.Table) string {
	const most = 20
	var names []string
	for _, t := range tables[:min(most, len(tables))] {
		names = append(names, t.String())
	}
	if len(tables) > most {
		names = append(names, fmt.Sprintf("and %d more", len(tables)-most))
	}
	return strings.Join(names, ", ")
}

// StartBackfill has rows read again, and returns when the sink knows of it: from then on it goes on after whatever happens.
func (o *operator) StartBackfill(ctx context.Context, ask operate.BackfillRequest) ([]operate.Backfill, error) {
	l, err := o.streaming()
	if err != nil {
		return nil, err
	}
	tables, err := l.tablesNamed(ask.Tables)
	if err != nil {
		return nil, err
	}
	if ask.Where != "" {
		if err := l.checkWhere(ctx, ask.Where, tables[0]); err != nil {
			return nil, err
		}
	}
	starts := func(kept func()) error {
		for _, t := range tables {
			if b, active := l.runner.Active(t); active {
				return busy(t, b)
			}
		}
		for _, t := range tables {
			l.runner.Start(backfill.Task{
				Layout:   l.tables.layouts[t.String()],
				Progress: change.Backfill{State: change.BackfillPending, Cause: change.CauseAsked, Where: ask.Where},
			}, kept)
		}
		return nil
	}
	return o.command(ctx, l, tables, starts)
}

func busy(t change.Table, b change.Backfill) error {
	fix := fmt.Sprintf("follow it with poller backfill list, or end it with poller backfill cancel %s", t)
	if b.Paused {
		fix = fmt.Sprintf("let it go on with poller backfill resume %s, or end it with poller backfill cancel %[1]s", t)
	}
	return operate.Refuse(http.StatusConflict, fmt.Sprintf("a backfill of %s is there already", t), fmt.Sprintf("it is %s, with %d rows read", state(b), b.Rows), fix)
}

func state(b change.Backfill) string {
	if b.Paused {
		return "paused"
	}
	return string(b.State)
}

// command does something in the runner, and waits until the sink knows of it for all tables.
func (o *operator) command(ctx context.Context, l *life, tables []change.Table, do func(kept func()) error) ([]operate.Backfill, error) {
	ctx, cancel := context.WithTimeout(ctx, keptWithin)
	defer cancel()
	kept := make(chan struct{}, len(tables))
	var refused error
	if err := l.runner.Do(ctx, func() { refused = do(func() { kept <- struct{}{} }) }); err != nil {
		return nil, operate.Refuse(http.StatusServiceUnavailable, "the poller did not come to it in time", "it is busy or its stream was interrupted", "try again")
	}
	if refused != nil {
		return nil, refused
	}
	for range tables {
		select {
		case <-kept:
		case <-ctx.Done():
			why := "the function has not answered yet"
			if p, _ := o.poller.waiting.Longest(); p != nil {
				why = p.Error()
			}
			return nil, operate.Refuse(http.StatusServiceUnavailable, "it is not certain yet", why, "it takes place once the function answers, if this poller is still there; see poller backfill list")
		}
	}
	return o.of(tables...), nil
}

// checkWhere asks Postgres whether it understands the condition.
func (l *life) checkWhere(ctx context.Context, where string, table change.Table) error {
	conn, err := l.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing hangs on it
	_, err = backfill.Estimate(ctx, conn.PgConn(), l.tables.layouts[table.String()], where)
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return operate.Refuse(http.StatusBadRequest, "Postgres does not understand the condition", refused.Message, strings.TrimSpace("write it as after WHERE in SQL, such as price > 10; "+refused.Hint))
	}
	return err
}

// ChangeBackfill pauses, resumes or cancels a table's backfill.
func (o *operator) ChangeBackfill(ctx context.Context, name string, do operate.Verb) (operate.Backfill, error) {
	l, err := o.streaming()
	if err != nil {
		return operate.Backfill{}, err
	}
	tables, err := l.tablesNamed([]string{name})
	if err != nil {
		return operate.Backfill{}, err
	}
	t := tables[0]
	changed, err := o.command(ctx, l, tables[:1], func(kept func()) error {
		b, active := l.runner.Active(t)
		switch {
		case !active:
			return operate.Refuse(http.StatusConflict, fmt.Sprintf("no backfill of %s is going on", t), "", "poller backfill list shows all; poller backfill "+t.String()+" begins one")
		case do == operate.Cancel:
			l.runner.Cancel(t, kept)
		case b.Paused == (do == operate.Pause):
			kept() // it is what it should be
		default:
			l.runner.Pause(t, do == operate.Pause, kept)
		}
		return nil
	})
	if err != nil {
		return operate.Backfill{}, err
	}
	return changed[0], nil
}

// check is one comparison.
type check struct {
	*backfill.Verification
	id           string
	asked        operate.VerifyRequest
	began, ended time.Time
	most         int // examples of each kind and table
	cancelled    bool
	notes        map[string][]string // by table

	mu       sync.Mutex
	examples map[string][]operate.Example
}

// found keeps the first keys of each kind.
func (c *check) found(table string, kind exchange.DifferenceKind, key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, e := range c.examples[table] {
		if e.Kind == kind {
			n++
		}
	}
	if n < c.most {
		c.examples[table] = append(c.examples[table], operate.Example{Kind: kind, Key: key})
	}
}

// mostChecks is how many comparisons are remembered.
const mostChecks = 20

// StartVerification has rows and keys compared.
func (o *operator) StartVerification(ctx context.Context, ask operate.VerifyRequest) (operate.Verification, error) {
	l, err := o.streaming()
	if err != nil {
		return operate.Verification{}, err
	}
	tables, err := l.tablesNamed(ask.Tables)
	switch {
	case err != nil:
		return operate.Verification{}, err
	case l.runner.Keys == nil:
		return operate.Verification{}, operate.Refuse(http.StatusConflict, "nothing can be compared", "POLLER_FENCE is off: the endpoint is not freshet's function", "compare by other means")
	}
	c := newCheck(ask, l, tables)
	ctx, cancel := context.WithTimeout(ctx, keptWithin)
	defer cancel()
	if err := l.runner.Do(ctx, func() { l.runner.Verify(c.Verification) }); err != nil {
		return operate.Verification{}, operate.Refuse(http.StatusServiceUnavailable, "the poller did not come to it in time", "it is busy or its stream was interrupted", "try again")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.checks = append(o.checks, c)
	if len(o.checks) > mostChecks {
		o.checks[0].Cancel()
		o.checks = o.checks[1:]
	}
	return c.report(time.Now()), nil
}

func newCheck(ask operate.VerifyRequest, l *life, tables []change.Table) *check {
	const usualExamples = 5
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails
	c := &check{asked: ask, id: hex.EncodeToString(id[:]), began: time.Now(), most: ask.Examples, examples: map[string][]operate.Example{}, notes: map[string][]string{}}
	if c.most <= 0 {
		c.most = usualExamples
	}
	if ask.Sample == 0 {
		ask.Sample = 1
	}
	var names []string
	for _, t := range tables {
		name := t.String()
		names = append(names, name)
		if !l.operator.filled(t) {
			c.notes[name] = append(c.notes[name], "not all of its rows were read: keys may be missing that are still to come, see poller backfill list")
		}
		plan := l.tables.plan.Tables[name]
		if plan.Incomparable != "" {
			c.notes[name] = append(c.notes[name], "values are not compared: "+plan.Incomparable)
		}
		if why := backfill.Irreversible(l.tables.layouts[name], l.tables.plan); why != "" {
			c.notes[name] = append(c.notes[name], "keys without rows are not looked for: "+why)
		} else if plan.PartlyIrreversible != "" {
			c.notes[name] = append(c.notes[name], "keys without rows are not looked for under all rules: "+plan.PartlyIrreversible)
		}
	}
	c.Verification = backfill.NewVerification(names, ask.Sample, ask.Repair)
	c.Found = c.found
	return c
}

// report is what people see of it.
func (c *check) report(now time.Time) operate.Verification {
	tables, over, failed := c.Progress()
	c.mu.Lock()
	defer c.mu.Unlock()
	if over && c.ended.IsZero() {
		c.ended = now
	}
	v := operate.Verification{ID: c.id, State: operate.VerifyRunning, Repair: c.asked.Repair, Sample: c.asked.Sample, Began: c.began, Ended: c.ended}
	switch {
	case failed != nil:
		details := failed.Details(0, "")
		v.State, v.Problem = operate.VerifyFailed, &details
	case c.cancelled:
		v.State = operate.VerifyCancelled
	case over:
		v.State = operate.VerifyDone
	}
	for _, t := range tables {
		notes := slices.Clone(c.notes[t.Table])
		if t.Undecided > 0 {
			notes = append(notes, fmt.Sprintf("%d keys can be read in too many ways to say whose they are", t.Undecided))
		}
		v.Tables = append(v.Tables, operate.VerifiedTable{
			Table: t.Table, Step: operate.VerifyStep(t.Step), Tally: t.Tally, Rows: t.Rows, Total: t.Total, Keys: t.Keys, Repaired: t.Repaired, Unsettled: t.Unsettled,
			Notes: notes, Examples: slices.Clone(c.examples[t.Table]),
		})
	}
	return v
}

func (o *operator) check(id string) (*check, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.checks {
		if c.id == id {
			return c, nil
		}
	}
	return nil, operate.Refuse(http.StatusNotFound, fmt.Sprintf("there is no comparison %q", id), fmt.Sprintf("the poller was started anew since, or more than %d were begun after it", mostChecks), "run poller verify again")
}

// Verification is how far a comparison has come.
func (o *operator) Verification(_ context.Context, id string) (operate.Verification, error) {
	c, err := o.check(id)
	if err != nil {
		return operate.Verification{}, err
	}
	return c.report(time.Now()), nil
}

// CancelVerification ends a comparison.
func (o *operator) CancelVerification(_ context.Context, id string) (operate.Verification, error) {
	c, err := o.check(id)
	if err != nil {
		return operate.Verification{}, err
	}
	if _, over, _ := c.Progress(); !over {
		c.mu.Lock()
		c.cancelled = true
		c.mu.Unlock()
		c.Cancel()
	}
	return c.report(time.Now()), nil
}

// resume has comparisons that a life before began go on in this one.
func (o *operator) resume(r *backfill.Runner) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.checks {
		if _, over, _ := c.Progress(); !over {
			r.Verify(c.Verification)
		}
	}
}

var _ operate.Operator = (*operator)(nil)
