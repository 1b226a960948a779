package pgoutput

import (
	"fmt"

	"freshet/shared/change"
)

func (d *Decoder) insert(m *Message, r *reader) error {
	m.Kind = Insert
	if err := d.row(m, r); err != nil {
		return err
	}
	if err := d.newTuple(m, r, r.byte()); err != nil {
		return err
	}
	return r.end()
}

func (d *Decoder) update(m *Message, r *reader) error {
	m.Kind = Update
	if err := d.row(m, r); err != nil {
		return err
	}
	letter := r.byte()
	if letter != 'N' {
		if err := d.oldTuple(m, r, letter); err != nil {
			return err
		}
		letter = r.byte()
	}
	if err := d.newTuple(m, r, letter); err != nil {
		return err
	}
	return r.end()
}

func (d *Decoder) delete(m *Message, r *reader) error {
	m.Kind = Delete
	if err := d.row(m, r); err != nil {
		return err
	}
	if err := d.oldTuple(m, r, r.byte()); err != nil {
		return err
	}
	return r.end()
}

// row reads what every row message begins with.
func (d *Decoder) row(m *Message, r *reader) (err error) {
	if err = d.inside(); err != nil {
		return err
	}
	if m.Relation, err = d.known(r); err != nil {
		return err
	}
	if r.short {
		return r.end()
	}
	return nil
}

func (d *Decoder) newTuple(m *Message, r *reader, letter byte) (err error) {
	if letter != 'N' {
		return unexpected(r, letter, "N")
	}
	d.new, err = r.tuple(d.new, len(m.Relation.Columns))
	m.New = d.new
	return err
}

func (d *Decoder) oldTuple(m *Message, r *reader, letter byte) (err error) {
	if letter != 'K' && letter != 'O' {
		return unexpected(r, letter, "K or O")
	}
	m.OldKind = letter
	d.old, err = r.tuple(d.old, len(m.Relation.Columns))
	m.Old = d.old
	return err
}

func unexpected(r *reader, letter byte, want string) error {
	if r.short {
		return r.end()
	}
	return fmt.Errorf("a row begins with %q where %s belongs", string(rune(letter)), want)
}

func (d *Decoder) truncate(m *Message, r *reader) error {
	m.Kind = Truncate
	if err := d.inside(); err != nil {
		return err
	}
	count, flags := r.uint32(), r.byte()
	const cascade, restart = 1, 2
	m.Cascade, m.RestartIdentity = flags&cascade != 0, flags&restart != 0
	d.truncated = d.truncated[:0]
	for ; count > 0 && !r.short; count-- {
		relation, err := d.known(r)
		if err != nil {
			return err
		}
		d.truncated = append(d.truncated, relation)
	}
	m.Relations = d.truncated
	return r.end()
}

func (d *Decoder) logical(m *Message, r *reader) error {
	m.Kind = LogicalMessage
	const transactional = 1
	m.Transactional = r.byte()&transactional != 0
	m.LSN = change.LSN(r.uint64())
	m.Prefix = r.name()
	m.Content = r.take(int(int32(r.uint32())))
	return r.end()
}
