package exchange

// Comparison answers RouteVerify, which takes a batch and compares what it would write with what Redis has, without writing anything. A
// fence is checked as that of the batch before the next one of its lane: everything that the session has sent in this lane must be
// there, and nothing else.
type Comparison struct {
	Match   int `json:"match"`   // the value is there, or a key that must not be there is not
	Missing int `json:"missing"` // no key for a row
	Stale   int `json:"stale"`   // another value than the row's
	Orphan  int `json:"orphan"`  // a key although there is no row, or its row is filtered
	Absent  int `json:"absent"`  // no key for a row, which may be right: keys expire, or are written only when they are there
	// Differences has one entry for each key that is missing, stale or orphaned.
	Differences []Difference `json:"differences,omitempty"`
}

// DifferenceKind says how a key differs from its row.
type DifferenceKind string

// The kinds.
const (
	Missing DifferenceKind = "missing"
	Stale   DifferenceKind = "stale"
	Orphan  DifferenceKind = "orphan"
)

// Difference is one key that is not what its row says.
type Difference struct {
	Message int            `json:"message"` // index in the batch
	Kind    DifferenceKind `json:"kind"`
	Key     string         `json:"key"`
}

// ScanRequest asks for the next keys of some tables, in no order.
type ScanRequest struct {
	Sink    string       `json:"sink"`
	Session string       `json:"session"` // must be the sink's; empty asks without a session
	Tables  []TableShape `json:"tables"`
	// Cursor is empty to begin with, and then what the answer before had.
	Cursor string `json:"cursor"`
	// Count is how many keys of the whole Redis to look at, about.
	Count int `json:"count"`
}

// ScanResponse answers ScanRequest. A key may come more than once; one that was there all the time comes at least once.
type ScanResponse struct {
	Cursor string     `json:"cursor"` // empty at the end
	Keys   []FoundKey `json:"keys"`
	// Unknown counts keys of tables whose keys cannot be turned back.
	Unknown int `json:"unknown,omitempty"`
	// Rules identifies the rules that took the keys apart, as Plan.Rules does.
	Rules string `json:"rules"`
}

// FoundKey is a key under the prefix of a table.
type FoundKey struct {
	Table string `json:"table"` // change.Table.String()
	Key   []byte `json:"key"`   // any bytes, so base64 in JSON
	// PrimaryKey is the text in the place of {primary_key}. It is empty when the key has not the form of the table's keys, so that no row
	// can ever have it.
	PrimaryKey string `json:"primary_key,omitempty"`
}

// SweepRequest removes keys that no row can have, whatever happens to the rows: they have not the form of the table's keys. The sink
// refuses it when the session or the rules are others now (409, ReasonFenced or ReasonRules), and leaves alone keys that are not under the
// table's prefix.
type SweepRequest struct {
	Sink    string     `json:"sink"`
	Session string     `json:"session"`
	Rules   string     `json:"rules"`
	Table   TableShape `json:"table"`
	Keys    [][]byte   `json:"keys"`
}

// SweepResponse answers SweepRequest.
type SweepResponse struct {
	Deleted int `json:"deleted"`
}

// ReasonRules in a 409 answer of RouteSweep: the function has other rules than those that found the keys.
const ReasonRules = "rules"

// MostVerified is how many messages or keys one request of RouteVerify, RouteScan or RouteSweep may hold.
const MostVerified = 10_000

// Tally counts what comparisons came to.
type Tally struct {
	Match   int64 `json:"match"`
	Missing int64 `json:"missing"`
	Stale   int64 `json:"stale"`
	Orphan  int64 `json:"orphan"`
	Absent  int64 `json:"absent"`
}

// Add counts one more comparison.
func (t *Tally) Add(c Comparison) {
	t.Match += int64(c.Match)
	t.Missing += int64(c.Missing)
	t.Stale += int64(c.Stale)
	t.Orphan += int64(c.Orphan)
	t.Absent += int64(c.Absent)
}

// Wrong is how many keys differ.
func (t Tally) Wrong() int64 { return t.Missing + t.Stale + t.Orphan }
