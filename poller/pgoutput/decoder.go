package pgoutput

import (
	"errors"
	"fmt"

	"freshet/shared/change"
)

// Decoder reads the messages of one replication connection: Postgres announces a relation once per connection.
type Decoder struct {
	relations map[uint32]*Relation
	open      bool // between Begin and Commit
	ignored   [256]uint64

	message   Message
	new, old  Tuple // kept for their memory
	truncated []*Relation
}

// New makes the decoder of a new connection.
func New() *Decoder { return &Decoder{relations: make(map[uint32]*Relation)} }

// Ignored returns how many messages with this letter were passed over.
func (d *Decoder) Ignored(letter byte) uint64 { return d.ignored[letter] }

// Decode reads one message. The result is good until the next call, and as long as data is. After an error the stream is
// to be given up: what was not understood may have been a row.
func (d *Decoder) Decode(data []byte) (*Message, error) {
	if len(data) == 0 {
		return nil, errors.New("a pgoutput message is empty")
	}
	d.message = Message{Letter: data[0]}
	if err := d.read(&d.message, &reader{rest: data[1:]}); err != nil {
		return nil, fmt.Errorf("pgoutput message %q: %w", string(rune(data[0])), err)
	}
	return &d.message, nil
}

func (d *Decoder) read(m *Message, r *reader) error {
	switch m.Letter {
	case 'B':
		return d.begin(m, r)
	case 'C':
		return d.commit(m, r)
	case 'R':
		return d.relation(m, r)
	case 'I':
		return d.insert(m, r)
	case 'U':
		return d.update(m, r)
	case 'D':
		return d.delete(m, r)
	case 'T':
		return d.truncate(m, r)
	case 'M':
		return d.logical(m, r)
	// Type, Origin; stream start, stop, commit, abort; begin prepare, prepare, commit prepared, rollback prepared, stream
	// prepare. Protocol 1 has only the first two, but a stray stream abort has been seen on it. Rows that came
	// with any other would be outside a transaction, and refused.
	case 'Y', 'O', 'S', 'E', 'c', 'A', 'b', 'P', 'K', 'r', 'p':
		d.ignored[m.Letter]++
		return nil
	}
	return errors.New("it is unknown, and could carry rows")
}

func (d *Decoder) begin(m *Message, r *reader) error {
	m.Kind = Begin
	m.LSN = change.LSN(r.uint64())
	m.Time = r.time()
	m.XID = r.uint32()
	if d.open {
		return errors.New("the transaction before it has no end")
	}
	d.open = true
	return r.end()
}

func (d *Decoder) commit(m *Message, r *reader) error {
	m.Kind = Commit
	r.byte() // flags, unused
	m.LSN = change.LSN(r.uint64())
	m.EndLSN = change.LSN(r.uint64())
	m.Time = r.time()
	if err := d.inside(); err != nil {
		return err
	}
	d.open = false
	return r.end()
}

// inside refuses what belongs into a transaction and is in none.
func (d *Decoder) inside() error {
	if !d.open {
		return errors.New("it is outside a transaction")
	}
	return nil
}

func (d *Decoder) relation(m *Message, r *reader) error {
	m.Kind = RelationSeen
	m.Relation = readRelation(r)
	if err := r.end(); err != nil {
		return err
	}
	// Postgres announces a table again whenever it may have changed, and mostly it has not.
	if known := d.relations[m.Relation.ID]; known != nil && known.equal(m.Relation) {
		m.Relation = known
	}
	d.relations[m.Relation.ID] = m.Relation
	return nil
}

func readRelation(r *reader) *Relation {
	relation := &Relation{ID: r.uint32(), Table: change.Table{Schema: r.name(), Name: r.name()}, Identity: r.byte()}
	if relation.Table.Schema == "" {
		relation.Table.Schema = "pg_catalog" // how pgoutput spells it
	}
	columns := int(r.uint16())
	for i := 0; i < columns && !r.short; i++ {
		const key = 1
		relation.Columns = append(relation.Columns, Column{
			Key: r.byte()&key != 0, Name: r.name(), Type: r.uint32(), Modifier: int32(r.uint32()),
		})
	}
	return relation
}

// known finds the relation that a message names.
func (d *Decoder) known(r *reader) (*Relation, error) {
	id := r.uint32()
	relation := d.relations[id]
	if relation == nil && !r.short {
		return nil, fmt.Errorf("relation %d was never announced", id)
	}
	return relation, nil
}
