package exchange

import (
	"freshet/shared/change"
	"freshet/shared/problem"
)

// OpenRequest asks a sink to begin a session. Sent again with the same Session it changes nothing more.
type OpenRequest struct {
	Sink    string        `json:"sink"`
	Session string        `json:"session"`
	Source  change.Source `json:"source"`
	Lanes   int           `json:"lanes"`
	// Confirmed is the slot's confirmed_flush_lsn: what Postgres can still send begins here.
	Confirmed change.LSN `json:"confirmed"`
	// Backfill is false when tables the sink does not know yet start as "off" instead of "pending".
	Backfill bool         `json:"backfill"`
	Tables   []TableShape `json:"tables"`
	// NewSlot says that the slot was made by this poller and begins later than whatever the sink has.
	NewSlot bool `json:"new_slot,omitempty"`
	// Repair lists the causes that are repaired without a person; what others find is only reported.
	Repair []change.Cause `json:"repair"`
}

// TableShape is what the function must know of a table to plan its keys.
type TableShape struct {
	Schema     string   `json:"table_schema"`
	Name       string   `json:"table_name"`
	PrimaryKey []string `json:"primary_key"`
	Columns    []string `json:"columns"`
	// Identity tells the table and its key from another table of the same name; Shape tells its columns and their types from earlier
	// ones. Empty means unknown. Neither can be read, only compared.
	Identity string `json:"identity,omitempty"`
	Shape    string `json:"shape,omitempty"`
	// OldColumns are those whose old values the stream tells: in the record of a delete, and in the changes of an update that changes them.
	// Empty means that deletes tell the primary key, and updates nothing.
	OldColumns []string `json:"old_columns,omitempty"`
	// TextColumns are those whose text can be anything, so that it can hold whatever stands between the parts of a key.
	TextColumns []string `json:"text_columns,omitempty"`
}

// Table names the table.
func (t TableShape) Table() change.Table { return change.Table{Schema: t.Schema, Name: t.Name} }

// Found says in what state a session found its sink.
type Found string

// What can be found.
const (
	FoundFresh   Found = "fresh"   // no state: a new or emptied Redis
	FoundCurrent Found = "current" // all the slot has confirmed is there
	FoundBehind  Found = "behind"  // Redis lost more than the slot can send again
)

// Applied is how far each lane had come, when the lanes were this many. A message is there already when its position is
// at or before its lane's, in any generation.
type Applied struct {
	Lanes   int               `json:"lanes"`
	Through []change.Position `json:"through"`
}

// OpenResponse answers OpenRequest.
type OpenResponse struct {
	Session string     `json:"session"`
	Found   Found      `json:"found"`
	Sealed  change.LSN `json:"sealed"`
	// Applied has the generation of this session first; older ones stay as long as a position of theirs is ahead.
	Applied   []Applied                  `json:"applied"`
	Backfills map[string]change.Backfill `json:"backfills"` // by change.Table.String()
	// Abandoned are tables that the sink has keys of and that are not asked for any more, by change.Table.String().
	Abandoned []string `json:"abandoned,omitempty"`
	// Short says that the function reads messages that leave out what the one before them says, see change.Form.
	Short bool `json:"short,omitempty"`
	// Repairs is the damage that this opening has found, one entry a cause.
	Repairs []Repair `json:"repairs,omitempty"`
	Plan    Plan     `json:"plan"`
}

// Repair is damage found at the opening of a session.
type Repair struct {
	Cause  change.Cause `json:"cause"`
	Tables []string     `json:"tables"` // by change.Table.String()
	// Left says that nothing is done about it, since OpenRequest.Repair does not list the cause, or rows must not be read (OpenRequest.Backfill).
	Left bool `json:"left,omitempty"`
}

// Plan is what a function tells the poller about itself.
type Plan struct {
	// Rules identifies the rules: another value means that keys or values may be made differently.
	Rules  string               `json:"rules"`
	Tables map[string]TablePlan `json:"tables"` // by change.Table.String()
	// Warnings are what may go wrong with these tables under these rules, for people.
	Warnings []problem.Details `json:"warnings,omitempty"`
}

// TablePlan is the plan for one table.
type TablePlan struct {
	// Rules identifies the rules of this table alone.
	Rules string `json:"rules,omitempty"`
	// KeyPrefixes are what the keys of the table begin with, one for each rule, and no key of another table or rule. KeyPrefix is the first.
	KeyPrefix   string   `json:"key_prefix"`
	KeyPrefixes []string `json:"key_prefixes,omitempty"`
	// OneLane is set when a key depends on more than the primary key, so that order matters over the whole table.
	OneLane bool `json:"one_lane,omitempty"`
	// KeyColumns are the columns that keys are made of. A delete has to tell them all, or its keys cannot be found.
	KeyColumns []string `json:"key_columns,omitempty"`
	// NeedsOld says that an update has to tell the old values of KeyColumns that it changes, or the row's old key stays.
	NeedsOld bool `json:"needs_old,omitempty"`
	// UsedColumns are the columns that keys, values, filters and expiries read; empty means that all may be. The primary key is always needed.
	UsedColumns []string `json:"used_columns,omitempty"`
	// Incomparable says why the table's values cannot be compared with its rows; empty when they can.
	Incomparable string `json:"incomparable,omitempty"`
	// Irreversible says why no key can be turned back into a primary key; empty when those of at least one rule can.
	Irreversible string `json:"irreversible,omitempty"`
	// PartlyIrreversible says why those of some rules cannot.
	PartlyIrreversible string `json:"partly_irreversible,omitempty"`
}

// CheckRequest asks what would get in the way of mirroring these tables. No session is opened.
type CheckRequest struct {
	Sink   string       `json:"sink"`
	Tables []TableShape `json:"tables"`
}
