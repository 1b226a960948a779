// Package operatetest has an operator for tests of what stands in front of one: it behaves as a poller does, without a Postgres behind it.
package operatetest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"freshet/poller/operate"
	"freshet/shared/change"
	"freshet/shared/problem"
)

// Operator mirrors tables that are only numbers. Whatever runs comes one step further each time somebody looks. Safe for concurrent use, but
// its fields are set before.
type Operator struct {
	// Differ is what a comparison of a table comes to: its Tally, Repaired, Notes and so on. A table without an entry is equal.
	Differ map[string]operate.VerifiedTable
	// PerLook is how many rows further everything comes at each look; 0 lets it stand still.
	PerLook int64
	// Broken fails every comparison at its second look.
	Broken *problem.Details

	mu            sync.Mutex
	tables        []operate.Backfill
	asked         []operate.VerifyRequest
	verifications []*operate.Verification
}

// New makes an operator of these tables, each with so many rows that have been read.
func New(rows int64, tables ...string) *Operator {
	o := &Operator{PerLook: rows}
	for _, name := range slices.Sorted(slices.Values(tables)) {
		o.tables = append(o.tables, operate.Backfill{Table: name, Total: rows, Backfill: change.Backfill{State: change.BackfillDone, Rows: rows, Cause: change.CauseStart}})
	}
	return o
}

// Asked are the comparisons that were started.
func (o *Operator) Asked() []operate.VerifyRequest {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.asked)
}

// Look is the state of one table's backfill, without a step.
func (o *Operator) Look(table string) operate.Backfill {
	o.mu.Lock()
	defer o.mu.Unlock()
	return *o.find(table)
}

// Forget drops a table from the configuration, and every comparison, as a restart does.
func (o *Operator) Forget(table string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.verifications = nil
	o.tables = slices.DeleteFunc(o.tables, func(b operate.Backfill) bool { return b.Table == table })
}

func (o *Operator) find(table string) *operate.Backfill {
	i := slices.IndexFunc(o.tables, func(b operate.Backfill) bool { return b.Table == table })
	if i < 0 {
		return nil
	}
	return &o.tables[i]
}

func (o *Operator) among(tables []string) (found []*operate.Backfill, err error) {
	for _, name := range tables {
		b := o.find(name)
		if b == nil {
			return nil, operate.Refuse(http.StatusNotFound, name+" is not mirrored", "POLLER_TABLES does not name it", "add it there")
		}
		found = append(found, b)
	}
	return found, nil
}

func (o *Operator) every() (all []*operate.Backfill) {
	for i := range o.tables {
		all = append(all, &o.tables[i])
	}
	return all
}

// Backfills has all, and brings each that runs a step further.
func (o *Operator) Backfills(context.Context) ([]operate.Backfill, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.tables {
		o.step(&o.tables[i])
	}
	return slices.Clone(o.tables), nil
}

// step goes from pending over running and sweeping to done.
func (o *Operator) step(b *operate.Backfill) {
	if b.Paused || !b.State.Active() || o.PerLook == 0 {
		return
	}
	switch b.State {
	case change.BackfillPending:
		b.State, b.Began = change.BackfillRunning, time.Now()
	case change.BackfillRunning:
		b.Rows = min(b.Rows+o.PerLook, b.Total)
		if b.Rows == b.Total {
			b.State = change.BackfillSweeping
		}
	case change.BackfillSweeping:
		b.Keys += b.Total
		b.State, b.Ended = change.BackfillDone, time.Now()
	}
}

// StartBackfill begins at the first row.
func (o *Operator) StartBackfill(_ context.Context, ask operate.BackfillRequest) (started []operate.Backfill, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	wanted := o.every()
	if !ask.All {
		if wanted, err = o.among(ask.Tables); err != nil {
			return nil, err
		}
	}
	for _, b := range wanted {
		*b = operate.Backfill{Table: b.Table, Total: b.Total, Backfill: change.Backfill{State: change.BackfillPending, Cause: change.CauseAsked, Where: ask.Where, Sweep: ask.Where == ""}}
		started = append(started, *b)
	}
	return started, nil
}

// ChangeBackfill refuses when there is nothing to change.
func (o *Operator) ChangeBackfill(_ context.Context, table string, do operate.Verb) (operate.Backfill, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	found, err := o.among([]string{table})
	if err != nil {
		return operate.Backfill{}, err
	}
	b := found[0]
	if !b.State.Active() {
		return *b, operate.Refuse(http.StatusConflict, fmt.Sprintf("there is nothing to %s", do), fmt.Sprintf("the backfill of %s is %s", table, b.State), "")
	}
	switch do {
	case operate.Pause:
		b.Paused = true
	case operate.Resume:
		b.Paused = false
	case operate.Cancel:
		b.State, b.Ended = change.BackfillCancelled, time.Now()
	}
	return *b, nil
}

// StartVerification lists the tables.
func (o *Operator) StartVerification(_ context.Context, ask operate.VerifyRequest) (operate.Verification, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	wanted := o.every()
	if len(ask.Tables) > 0 {
		var err error
		if wanted, err = o.among(ask.Tables); err != nil {
			return operate.Verification{}, err
		}
	}
	o.asked = append(o.asked, ask)
	v := &operate.Verification{ID: fmt.Sprint("v/", len(o.asked)), State: operate.VerifyRunning, Repair: ask.Repair, Sample: ask.Sample, Began: time.Now()}
	for _, b := range wanted {
		v.Tables = append(v.Tables, operate.VerifiedTable{Table: b.Table, Step: operate.StepWaiting, Total: b.Total})
	}
	o.verifications = append(o.verifications, v)
	return snapshot(v), nil
}

// Verification brings every table a step further; the last step is the end of all.
func (o *Operator) Verification(_ context.Context, id string) (operate.Verification, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v, err := o.verification(id)
	if err != nil {
		return operate.Verification{}, err
	}
	if v.State == operate.VerifyRunning && o.PerLook > 0 {
		o.compare(v)
	}
	return snapshot(v), nil
}

func (o *Operator) compare(v *operate.Verification) {
	if done := !slices.ContainsFunc(v.Tables, func(t operate.VerifiedTable) bool { return t.Step != operate.StepDone }); done {
		v.State, v.Ended = operate.VerifyDone, time.Now()
		return
	}
	for i := range v.Tables {
		switch t := &v.Tables[i]; t.Step {
		case operate.StepWaiting:
			t.Step = operate.StepRows
		case operate.StepRows:
			if o.Broken != nil {
				v.State, v.Problem, v.Ended = operate.VerifyFailed, o.Broken, time.Now()
				return
			}
			t.Rows = min(t.Rows+o.PerLook, t.Total)
			t.Match = t.Rows
			if t.Rows == t.Total {
				t.Step = operate.StepKeys
			}
		case operate.StepKeys:
			if found, ok := o.Differ[t.Table]; ok {
				found.Table, found.Rows, found.Total = t.Table, t.Rows, t.Total
				*t = found
			}
			t.Step, t.Keys = operate.StepDone, t.Total+t.Orphan
		}
	}
}

// CancelVerification ends one that runs.
func (o *Operator) CancelVerification(_ context.Context, id string) (operate.Verification, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v, err := o.verification(id)
	if err != nil {
		return operate.Verification{}, err
	}
	if v.State == operate.VerifyRunning {
		v.State, v.Ended = operate.VerifyCancelled, time.Now()
	}
	return snapshot(v), nil
}

func (o *Operator) verification(id string) (*operate.Verification, error) {
	for _, v := range o.verifications {
		if v.ID == id {
			return v, nil
		}
	}
	return nil, operate.Refuse(http.StatusNotFound, "there is no comparison "+id, "", "start one")
}

func snapshot(v *operate.Verification) operate.Verification {
	now := *v
	now.Tables = slices.Clone(v.Tables)
	return now
}
