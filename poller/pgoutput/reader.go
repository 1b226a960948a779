package pgoutput

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
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
	if n := int(r.uint16()); n != columns && !r.short {
		return dst, fmt.Errorf("a row has %d columns and its relation %d", n, columns)
	}
	dst = slices.Grow(dst[:0], columns)[:columns]
	for i := range dst {
		if !r.value(&dst[i]) {
			return dst, fmt.Errorf("column %d has a value of unknown kind %q", i+1, string(rune(dst[i].Kind)))
		}
	}
	return dst, nil
}

// value is the innermost loop of the stream, hence without take.
func (r *reader) value(v *Value) (known bool) {
	const head = 1 + 4 // kind and length
	rest := r.rest
	switch {
	case len(rest) == 0:
		*v, r.short = Value{}, true
	case rest[0] == Null || rest[0] == Unchanged:
		*v, r.rest = Value{Kind: rest[0]}, rest[1:]
	case rest[0] != Text:
		v.Kind = rest[0]
		return false
	case len(rest) < head || uint64(len(rest)-head) < uint64(binary.BigEndian.Uint32(rest[1:])):
		*v, r.rest, r.short = Value{}, nil, true
	default:
		end := head + int(binary.BigEndian.Uint32(rest[1:]))
		*v, r.rest = Value{Kind: Text, Text: rest[head:end:end]}, rest[end:]
	}
	return true
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
