package pgoutput

import (
	"slices"
	"time"

	"freshet/shared/change"
)

// Kind is what a message says.
type Kind uint8

// The kinds.
const (
	Ignored Kind = iota // carries nothing for us; its Letter is counted
	Begin
	Commit
	RelationSeen // Relation is announced, or has changed
	Insert
	Update
	Delete
	Truncate
	LogicalMessage // from pg_logical_emit_message
)

var kindNames = [...]string{"ignored", "begin", "commit", "relation", "insert", "update", "delete", "truncate", "message"}

func (k Kind) String() string { return kindNames[k] }

// Message is one decoded message. It belongs to its Decoder and is good until the next Decode, as are the bytes it points into.
// Only the members that its kind has are set.
type Message struct {
	Kind   Kind
	Letter byte   // as Postgres sent it
	XID    uint32 // Begin
	// LSN is where the transaction's commit record begins (Begin, Commit), or the place of a LogicalMessage.
	LSN change.LSN
	// EndLSN is where the commit record ends (Commit): what may be confirmed once the transaction is settled.
	EndLSN change.LSN
	Time   time.Time // of the commit (Begin, Commit)

	Relation *Relation // RelationSeen, Insert, Update, Delete
	New      Tuple     // Insert, Update
	// Old is the row before an Update or Delete, if it was sent. OldKind tells how much of it: 'K' the columns of the
	// replica identity alone, all others null; 'O' the whole row (REPLICA IDENTITY FULL); 0 nothing.
	Old     Tuple
	OldKind byte

	Relations                []*Relation // Truncate
	Cascade, RestartIdentity bool        // Truncate

	Transactional bool   // LogicalMessage
	Prefix        string // LogicalMessage
	Content       []byte // LogicalMessage
}

// Relation is a table as the stream describes it. It does not change: a changed table gets a new one, and one that is announced again
// as it was keeps its own.
type Relation struct {
	ID       uint32 // the table's OID; the root's for a partition that is published through it
	Table    change.Table
	Identity byte // pg_class.relreplident: d default, n nothing, f full, i index
	Columns  []Column
}

func (r *Relation) equal(other *Relation) bool {
	return r.ID == other.ID && r.Table == other.Table && r.Identity == other.Identity && slices.Equal(r.Columns, other.Columns)
}

// Column is a column of a Relation. Generated columns are not among them.
type Column struct {
	Name     string
	Type     uint32
	Modifier int32
	// Key is set for the columns of the replica identity: with REPLICA IDENTITY FULL that is all of them, so it does not
	// tell the primary key.
	Key bool
}

// Tuple is a row's values, one for each of its relation's columns.
type Tuple []Value

// Value is one column's value.
type Value struct {
	Kind byte
	Text []byte // of a Text value, or the bytes of a Binary one
}

// What a Value can be.
const (
	Null      = 'n'
	Unchanged = 'u' // a TOASTed value that the update did not touch, and that was therefore not sent
	Text      = 't'
	Binary    = 'b' // in its type's binary format: never in the stream, which is not asked for it
)
