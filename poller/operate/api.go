// Package operate is what an operator may ask of a running poller, and how: the admin API's routes and bodies, the server that answers them,
// and the client that the commands of the program use.
package operate

import (
	"context"
	"net/http"
	"time"

	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// Routes of the admin API, below POLLER_ADMIN_ADDR. Bodies are JSON, errors application/problem+json. {table} is
// change.Table.String(), escaped for a URL. What POLLER_ADMIN_ADDR serves below RouteAPI belongs to this package.
const (
	RouteAPI           = "/api/"
	RouteBackfills     = "/api/backfills"              // GET []Backfill; POST BackfillRequest, answers 202 []Backfill
	RouteBackfill      = "/api/backfills/{table}/{do}" // POST; do is pause, resume or cancel; answers Backfill
	RouteVerifications = "/api/verifications"          // POST VerifyRequest, answers 201 Verification
	RouteVerification  = "/api/verifications/{id}"     // GET Verification; DELETE cancels it, answers Verification
)

// Backfill is one table's backfill as an operator sees it.
type Backfill struct {
	Table string `json:"table"` // change.Table.String()
	change.Backfill
	// Total is about how many rows there are to read in all, those already read included; -1 while nobody knows.
	Total int64 `json:"total"`
	// RowsPerSecond is the pace of the last seconds; 0 while nothing moves.
	RowsPerSecond float64 `json:"rows_per_second"`
	// Keys is how many keys the sweep has looked at.
	Keys int64 `json:"keys,omitempty"`
	// Swept is how many keys without rows were removed.
	Swept int64 `json:"swept,omitempty"`
	// Began is when this poller began or continued it; zero when it did not.
	Began time.Time `json:"began,omitzero"`
	Ended time.Time `json:"ended,omitzero"`
}

// Remaining is how long the rest takes at the present pace; ok is false while that cannot be told.
func (b Backfill) Remaining() (d time.Duration, ok bool) {
	return remaining(b.Rows, b.Total, b.RowsPerSecond)
}

// remaining cannot tell either when there was more to do than was thought.
func remaining(done, total int64, perSecond float64) (d time.Duration, ok bool) {
	if total <= done || perSecond <= 0 {
		return 0, false
	}
	return time.Duration(float64(total-done) / perSecond * float64(time.Second)), true
}

// BackfillRequest asks for rows to be read, again or for the first time.
type BackfillRequest struct {
	// Tables by name, as one writes them in POLLER_TABLES: products, public.orders. All means every table that is mirrored.
	Tables []string `json:"tables,omitempty"`
	All    bool     `json:"all,omitempty"`
	// Where is a condition in SQL over the columns of the one table that is named.
	Where string `json:"where,omitempty"`
}

// Verb is what can be done to a backfill.
type Verb string

// The verbs.
const (
	Pause  Verb = "pause"
	Resume Verb = "resume"
	Cancel Verb = "cancel"
)

// VerifyRequest asks for rows and keys to be compared, both ways.
type VerifyRequest struct {
	Tables []string `json:"tables,omitempty"` // none: all that are mirrored
	// Sample is the share of the rows and keys to compare, above 0 and at most 1; 0 means all.
	Sample float64 `json:"sample,omitempty"`
	// Repair has every difference that is found put right, and looked at again.
	Repair bool `json:"repair,omitempty"`
	// Examples is how many differing keys of each kind and table to name; 0 means 5.
	Examples int `json:"examples,omitempty"`
}

// Verification is how far a comparison has come, and what it has found.
type Verification struct {
	ID     string          `json:"id"`
	State  VerifyState     `json:"state"`
	Repair bool            `json:"repair,omitempty"` // as it was asked for
	Sample float64         `json:"sample,omitempty"` // as it was asked for; 0 is all
	Tables []VerifiedTable `json:"tables"`
	Began  time.Time       `json:"began"`
	Ended  time.Time       `json:"ended,omitzero"`
	// Problem says why it failed.
	Problem *problem.Details `json:"problem,omitempty"`
}

// VerifyState says whether a comparison goes on.
type VerifyState string

// The states.
const (
	VerifyRunning   VerifyState = "running"
	VerifyDone      VerifyState = "done"
	VerifyCancelled VerifyState = "cancelled"
	VerifyFailed    VerifyState = "failed"
)

// VerifyStep is what is being done about one table. While a comparison runs it goes from each to the next, and skips what there is
// nothing to do for.
type VerifyStep string

// The steps.
const (
	StepWaiting VerifyStep = "waiting"
	StepRows    VerifyStep = "rows"  // rows are compared with their keys
	StepKeys    VerifyStep = "keys"  // keys without rows are looked for
	StepAgain   VerifyStep = "again" // what differed is looked at again, and put right
	StepDone    VerifyStep = "done"
)

// VerifiedTable is what a comparison has found out about one table.
type VerifiedTable struct {
	Table string     `json:"table"`
	Step  VerifyStep `json:"step"`
	exchange.Tally
	Rows  int64 `json:"rows"`  // compared
	Total int64 `json:"total"` // rows there are to compare, about: those of the sample; -1 while nobody knows
	Keys  int64 `json:"keys"`  // looked at in the other direction
	// Repaired is how many of those that differed were put right, and were found equal when looked at again.
	Repaired int64 `json:"repaired,omitempty"`
	// Unsettled is how many rows changed each time they were looked at, so that nothing can be said of them.
	Unsettled int64 `json:"unsettled,omitempty"`
	// Notes say what could not be compared, and why.
	Notes    []string  `json:"notes,omitempty"`
	Examples []Example `json:"examples,omitempty"`
}

// Example is one key that differed.
type Example struct {
	Kind exchange.DifferenceKind `json:"kind"`
	Key  string                  `json:"key"`
}

// Wrong is how many keys differ, and were not put right. What one table has repaired makes up for no other.
func (v Verification) Wrong() (n int64) {
	for _, t := range v.Tables {
		n += max(0, t.Wrong()-t.Repaired)
	}
	return n
}

// Unsettled is how many rows nothing can be said of.
func (v Verification) Unsettled() (n int64) {
	for _, t := range v.Tables {
		n += t.Unsettled
	}
	return n
}

// Equal says that the comparison came to its end, and Redis has what Postgres has.
func (v Verification) Equal() bool {
	return v.State == VerifyDone && v.Wrong() == 0 && v.Unsettled() == 0
}

// Operator does what is asked. Its errors are *Refusal, or anything else for trouble of its own.
//
// The server hands it only what is well formed: names of tables are spelled as change.Table.String() spells them, each once; All comes without
// Tables; Where with one table; Sample is 0 to 1. Whether such a table is mirrored the operator knows (404), and whether it is the time (409).
type Operator interface {
	// Backfills has one for each table that is mirrored, by name.
	Backfills(ctx context.Context) ([]Backfill, error)
	// StartBackfill answers those of the tables asked for. From then on Backfills tells of them: whoever follows takes "done" for the end of this one.
	StartBackfill(ctx context.Context, ask BackfillRequest) ([]Backfill, error)
	ChangeBackfill(ctx context.Context, table string, do Verb) (Backfill, error)
	// StartVerification answers at once, with every table that will be compared.
	StartVerification(ctx context.Context, ask VerifyRequest) (Verification, error)
	// Verification is answered for some minutes after its end.
	Verification(ctx context.Context, id string) (Verification, error)
	// CancelVerification answers when it has ended. One that had ended before stays as it was.
	CancelVerification(ctx context.Context, id string) (Verification, error)
}

// Refusal is a no with a reason: the request is wrong, or comes at the wrong time.
type Refusal struct {
	Status int // 400, 404, 409, 503; the server adds 403, 405, 413 and 415
	Cause  *problem.Error
}

func (r *Refusal) Error() string { return r.Cause.Error() }

// Unwrap gives the finding for people.
func (r *Refusal) Unwrap() error { return r.Cause }

// Refuse makes a Refusal.
func Refuse(status int, what, why, fix string) error {
	return &Refusal{Status: status, Cause: &problem.Error{What: what, Why: why, Fix: fix, Transient: status == http.StatusServiceUnavailable}}
}
