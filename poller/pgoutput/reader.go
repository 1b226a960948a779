package pgoutput

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// reader takes the fields of a message one by one. Once the bytes do not suffice it is short, and every further field is zero.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.rest, r.short = nil, true
		return nil
	}
	field := r.rest[:n:n]
	r.rest = r.rest[n:]
	return field
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// name reads up to a zero byte.
func (r *reader) name() string {
	end := bytes.IndexByte(r.rest, 0)
	name := string(r.take(end))
	r.take(1)
	return name
}

// epoch is 2000-01-01 in microseconds since 1970.
const epoch = 946_684_800_000_000

func (r *reader) time() time.Time { return time.UnixMicro(int64(r.uint64()) + epoch).UTC() }

// tuple reads a row that must have this many columns into dst, for its memory.
func (r *reader) tuple(dst Tuple, columns int) (Tuple, error) {
	dst = dst[:0]
	if n := int(r.uint16()); n != columns && !r.short {
		return dst, fmt.Errorf("a row has %d columns and its relation %d", n, columns)
	}
	for i := 0; i < columns && !r.short; i++ {
		v := Value{Kind: r.byte()}
		switch v.Kind {
		case Null, Unchanged:
		case Text:
			v.Text = r.take(int(int32(r.uint32())))
		default:
			if !r.short {
				return dst, fmt.Errorf("column %d has a value of unknown kind %q", i+1, string(rune(v.Kind)))
			}
		}
		dst = append(dst, v)
	}
	return dst, nil
}

// end reports whether the message had exactly the fields that were read.
func (r *reader) end() error {
	switch {
	case r.short:
		return errors.New("it is cut short")
	case len(r.rest) > 0:
		return fmt.Errorf("%d bytes are left over", len(r.rest))
	}
	return nil
}
