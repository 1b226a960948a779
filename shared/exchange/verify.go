package exchange

import "strings"

// Comparison answers RouteVerify, which takes a batch and compares what it would write with what Redis has, without writing anything. It
// counts keys; messages that the rules do not follow count as nothing. A fence has the seq of the last batch of its lane that was settled, 0 when
// there was none: that batch must be the last one there, or the answer is 409 (ReasonLost). It is looked at after the keys, so that damage
// in the middle is not taken for a difference.
type Comparison struct {
	Match   int `json:"match"`   // the value is there, or a key that must not be there is not
	Missing int `json:"missing"` // no key for a row
	Stale   int `json:"stale"`   // another value than the row's, or something that is no string
	Orphan  int `json:"orphan"`  // a key although there is no row, or its row is filtered
	Absent  int `json:"absent"`  // no key for a row, which may be right: keys expire, or are written only when they are there
	// Poison is how many messages can have no key or no value, so that nothing is to be compared with.
	Poison int `json:"poison,omitempty"`
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
	Message int            `json:"message"` // index in the batch; of the last one when several are about the key
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
	// Count is how many keys of the whole Redis to look at, about: 1 to MostVerified.
	Count int `json:"count"`
}

// ScanResponse answers ScanRequest. A key may come more than once; one that was there all the time comes at least once. When Redis was
// restarted or replaced in between, it begins anew by itself.
type ScanResponse struct {
	Cursor string      `json:"cursor"` // empty at the end
	Keys   []FoundKeys `json:"keys"`
	// Unknown counts keys of tables whose keys cannot be turned back.
	Unknown int `json:"unknown,omitempty"`
	// Rules identifies the rules that took the keys apart, as Plan.Rules does.
	Rules string `json:"rules"`
}

// FoundKeys are keys under one prefix of a table. What all of them share is said once: there can be millions of keys, and hardly anybody needs
// them whole.
type FoundKeys struct {
	Table string `json:"table"` // change.Table.String()
	// Around is the text before, between and behind the places of {primary_key} in the keys.
	Around []string `json:"around"`
	// PrimaryKeys are the texts in these places.
	PrimaryKeys []string `json:"primary_keys,omitempty"`
	// Strange are keys of another form, so that no row can ever have them: any bytes, so base64 in JSON.
	Strange [][]byte `json:"strange,omitempty"`
}

// Key is the key with this text in the places of the primary key.
func (f *FoundKeys) Key(primaryKey string) []byte { return []byte(strings.Join(f.Around, primaryKey)) }

// SweepRequest removes keys that no row can have, whatever happens to the rows: they have not the form of the table's keys, or what stands in
// the place of the primary key is not how Postgres writes one. The sink refuses it when the session or the rules are others now (409, ReasonFenced or
// ReasonRules), and leaves alone keys that are not under the table's prefix.
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
	Poison  int64 `json:"poison,omitempty"`
}

// Add counts one more comparison.
func (t *Tally) Add(c Comparison) {
	t.Match += int64(c.Match)
	t.Missing += int64(c.Missing)
	t.Stale += int64(c.Stale)
	t.Orphan += int64(c.Orphan)
	t.Absent += int64(c.Absent)
	t.Poison += int64(c.Poison)
}

// Wrong is how many keys differ.
func (t Tally) Wrong() int64 { return t.Missing + t.Stale + t.Orphan }
