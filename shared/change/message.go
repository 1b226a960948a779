package change

import (
	"fmt"
	"unsafe"
)

// Action says what happened to a row.
type Action string

// The actions. Read is a row that was there before: the backfill's word.
const (
	Insert   Action = "insert"
	Update   Action = "update"
	Delete   Action = "delete"
	Read     Action = "read"
	Truncate Action = "truncate"
)

// ParseAction reads an action and names the choices when it is none of them.
func ParseAction(text string) (Action, error) {
	switch a := Action(text); a {
	case Insert, Update, Delete, Read, Truncate:
		return a, nil
	}
	return "", fmt.Errorf("action %q is not one of insert, update, delete, read, truncate", text)
}

// Message is one row change as the function sees it. Record and Changes are JSON text, never decoded, so
// that digits, member order and escapes stay as Postgres wrote them.
type Message struct {
	Action Action
	// Record is the row after the change as a JSON object; for a delete, what is known of the old row (at least
	// its primary key); empty for a truncate.
	Record string
	// Changes holds the old values of the columns an update changed; empty unless the table has REPLICA IDENTITY FULL.
	Changes  string
	Metadata Metadata

	key met
}

// met is the value of a primary key of one column, where reading the message came upon it.
type met struct {
	value  string  // a part of the record
	column *string // of the primary key
}

// Key is the primary key's value as it stands in Record, if it is of one column and was come upon when the message was read. Else it is empty,
// and has to be looked for.
func (m *Message) Key() string {
	value, primary := m.key.value, m.Metadata.PrimaryKey
	if len(primary) != 1 || &primary[0] != m.key.column {
		return ""
	}
	// Someone may have put another record into the message.
	begins := uintptr(unsafe.Pointer(unsafe.StringData(value))) - uintptr(unsafe.Pointer(unsafe.StringData(m.Record)))
	if begins >= uintptr(len(m.Record)) {
		return ""
	}
	return value
}

// Metadata says where a message comes from.
type Metadata struct {
	Schema string
	Table  string
	// CommitTimestamp is RFC 3339 in UTC with microseconds; for a read, the time of the page.
	CommitTimestamp string
	// Position is zero in a hand-written message.
	Position Position
	// PrimaryKey names the key's columns in the order of the primary key.
	PrimaryKey []string
	// TransactionID is the 32-bit xid that pgoutput sends; for a read, that of the transaction that marked its page.
	TransactionID uint32
	// Parked says why the row is not in the message, which is then a delete with the primary key alone; empty in all others. See Message.Reduced.
	Parked string
}

// Of returns the table the message belongs to.
func (m Metadata) Of() Table { return Table{Schema: m.Schema, Name: m.Table} }
