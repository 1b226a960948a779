package change

// Batch is a run of one lane's messages. Its bytes are the same at every attempt, so a recorded batch is its own replay.
type Batch struct {
	// ID is "session/lane/seq"; free text in a hand-written batch.
	ID       string
	Source   Source
	Fence    *Fence // nil: apply as it is
	Messages []Message
}

// Source identifies the stream: two streams with different System or Database are strangers to each other.
type Source struct {
	System   string `json:"system"`   // system identifier of the cluster, from IDENTIFY_SYSTEM
	Timeline int32  `json:"timeline"` // changes when a standby is promoted
	Database string `json:"database"`
	Slot     string `json:"slot"`
}

// Fence is what the sink checks and advances together with the writes, so that a late, doubled or foreign batch changes nothing.
type Fence struct {
	Sink    string `json:"sink"`
	Session string `json:"session"`
	Lane    int    `json:"lane"`
	// Seq counts the lane's batches in this session from 1. The sink applies Seq n only after n-1, and once.
	Seq uint64 `json:"seq"`
	// After is how many batches of this session had their 2xx when this one was made, lane by lane. A sink that has
	// applied fewer of any lane has lost some, and must not believe the seal. One number over all lanes would not do: batches that were on their
	// way while Redis forgot another make up for it.
	After []uint64 `json:"after"`
	// Through is the position of the lane's last message up to and with this batch.
	Through Position `json:"through"`
	// Seal is the LSN below which everything is settled in every lane. Only a sealed LSN is ever confirmed to Postgres.
	Seal LSN `json:"seal"`
	// Backfills are the tables whose backfill state changes with this batch.
	Backfills map[string]Backfill `json:"backfills,omitempty"`
}

// BackfillState says how far a table's rows that were there before have come.
type BackfillState string

// The states. Clear means that the table's keys are removed first: the sink fell behind what can be streamed again. Sweeping means that all
// rows are there, and keys without rows are being looked for.
const (
	BackfillClear     BackfillState = "clear"
	BackfillPending   BackfillState = "pending"
	BackfillRunning   BackfillState = "running"
	BackfillSweeping  BackfillState = "sweeping"
	BackfillDone      BackfillState = "done"
	BackfillCancelled BackfillState = "cancelled"
	BackfillOff       BackfillState = "off"
)

// Active says whether something is left to be done.
func (s BackfillState) Active() bool {
	return s == BackfillClear || s == BackfillPending || s == BackfillRunning || s == BackfillSweeping
}

// Cause says why rows are read that were there before.
type Cause string

// The causes. All but the first three are damage that is repaired by itself, unless POLLER_REPAIR leaves it out.
const (
	CauseStart     Cause = "start"     // the first start of a sink
	CauseTable     Cause = "table"     // the table has joined the configuration, or has come back
	CauseAsked     Cause = "asked"     // an operator wants it
	CauseEmptied   Cause = "emptied"   // Redis has no state of the sink: FLUSHALL, a new Redis
	CauseBehind    Cause = "behind"    // Redis lost more than the slot can send again: an old backup
	CauseSlot      Cause = "slot"      // the slot was lost or dropped, and made anew
	CausePromoted  Cause = "promoted"  // a standby was promoted: the timeline is new
	CauseRules     Cause = "rules"     // the function's rules have changed
	CauseShape     Cause = "shape"     // the table's columns or their types have changed
	CauseRecreated Cause = "recreated" // another table has the name now, or the primary key has changed
	CauseAudit     Cause = "audit"     // the standing audit found a key that differs from its row
)

// Repairs are the causes that POLLER_REPAIR may list.
var Repairs = []Cause{CauseEmptied, CauseBehind, CauseSlot, CausePromoted, CauseRules, CauseShape, CauseRecreated, CauseAudit}

// Place is a place in a table's file: all rows before it have been read.
type Place struct {
	File  int64 `json:"file"` // pg_relation_filenode
	Block int64 `json:"block"`
	Row   int   `json:"row,omitempty"` // its number in the block
}

// Backfill is one table's progress, kept in the sink's state.
type Backfill struct {
	State BackfillState `json:"state"`
	// Cursor is the primary key of the last settled row, each part in Postgres' text format, where rows are read in the order of their keys.
	Cursor []string `json:"cursor,omitempty"`
	// Place is what is settled where rows are read as they lie in the table's file.
	Place *Place `json:"place,omitempty"`
	Rows  int64  `json:"rows"` // settled so far
	Cause Cause  `json:"cause,omitempty"`
	// Where is a condition in SQL that limits the rows; empty for all of them.
	Where string `json:"where,omitempty"`
	// Sweep has keys without rows looked for, and removed, once all rows are there.
	Sweep bool `json:"sweep,omitempty"`
	// Paused keeps it from going on until an operator resumes it.
	Paused bool `json:"paused,omitempty"`
}
