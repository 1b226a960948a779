package change

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// LSN is a byte position in the write-ahead log.
// https://www.postgresql.org/docs/current/datatype-pg-lsn.html
type LSN uint64

// String spells the LSN as Postgres does: "16/B374D848".
func (l LSN) String() string { return string(l.Append(nil)) }

// Append adds the text form to dst.
func (l LSN) Append(dst []byte) []byte {
	dst = appendHex(dst, uint64(l>>32), 0)
	dst = append(dst, '/')
	return appendHex(dst, uint64(uint32(l)), 0)
}

// ParseLSN reads what String writes and refuses anything before, between or after.
func ParseLSN(text string) (LSN, error) {
	for i := 0; i < len(text); i++ {
		if text[i] != '/' {
			continue
		}
		high, err := parseHex(text[:i], 1, 8)
		if err != nil {
			break
		}
		low, err := parseHex(text[i+1:], 1, 8)
		if err != nil {
			break
		}
		return LSN(high<<32 | low), nil
	}
	return 0, fmt.Errorf("%q is not an LSN such as 16/B374D848", text)
}

// MarshalText writes the text form.
func (l LSN) MarshalText() ([]byte, error) { return l.Append(nil), nil }

// UnmarshalText reads the text form.
func (l *LSN) UnmarshalText(text []byte) (err error) {
	*l, err = ParseLSN(string(text))
	return err
}

// Position is the place of a message in the stream: the LSN of its transaction's commit record, then its
// ordinal among the transaction's messages. Positions order messages as Postgres committed them; the LSN of a single change does not,
// because transactions interleave in the log.
type Position struct {
	Commit  LSN
	Ordinal uint32
}

// PositionLen is the length of a position's text form.
const PositionLen = 16 + 1 + ordinalLen

const ordinalLen = 8

// String spells the position with 16 and 8 upper-case hex digits, "00000016B374D848-0000001F", so that text order is stream order.
func (p Position) String() string { return string(p.Append(nil)) }

// Append adds the text form to dst.
func (p Position) Append(dst []byte) []byte { return p.appendOrdinal(p.appendCommit(dst)) }

func (p Position) appendCommit(dst []byte) []byte {
	return append(appendHex(dst, uint64(p.Commit), 16), '-')
}

func (p Position) appendOrdinal(dst []byte) []byte {
	return binary.BigEndian.AppendUint64(dst, eightDigits(p.Ordinal))
}

// ParsePosition reads what String writes, and nothing else.
func ParsePosition(text string) (Position, error) {
	if len(text) == PositionLen && text[16] == '-' {
		commit, err := parseHex(text[:16], 16, 16)
		ordinal, ok := parseOrdinal(text[17:])
		if err == nil && ok {
			return Position{Commit: LSN(commit), Ordinal: ordinal}, nil
		}
	}
	return Position{}, fmt.Errorf("%q is not a position such as 00000016B374D848-0000001F", text)
}

// Compare is negative when p comes before q in the stream, zero when they are the same.
func (p Position) Compare(q Position) int {
	switch {
	case p.Commit < q.Commit:
		return -1
	case p.Commit > q.Commit:
		return 1
	case p.Ordinal < q.Ordinal:
		return -1
	case p.Ordinal > q.Ordinal:
		return 1
	}
	return 0
}

// MarshalText writes the text form.
func (p Position) MarshalText() ([]byte, error) { return p.Append(nil), nil }

// UnmarshalText reads the text form.
func (p *Position) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePosition(string(text))
	return err
}

const hexDigits = "0123456789ABCDEF"

// appendHex writes v in upper-case hex with at least width digits.
func appendHex(dst []byte, v uint64, width int) []byte {
	var digits [16]byte
	i := len(digits)
	for v != 0 || i > len(digits)-max(width, 1) {
		i--
		digits[i] = hexDigits[v&15]
		v >>= 4
	}
	return append(dst, digits[i:]...)
}

// eightDigits are the digits of v in upper-case hex, the first one in the highest bits.
func eightDigits(v uint32) uint64 {
	const each = 0x0101010101010101
	x := uint64(v)
	x = (x | x<<16) & 0x0000ffff0000ffff
	x = (x | x<<8) & 0x00ff00ff00ff00ff
	x = (x | x<<4) & 0x0f0f0f0f0f0f0f0f
	letters := (x + (0x10-10)*each) >> 4 & each
	return x + '0'*each + letters*('A'-'0'-10)
}

// parseHex is strconv.ParseUint for hex digits alone: no sign, no underscore, no prefix.
func parseHex(text string, least, most int) (uint64, error) {
	if len(text) < least || len(text) > most {
		return 0, strconv.ErrSyntax
	}
	var v uint64
	var all byte
	for i := 0; i < len(text); i++ {
		digit := hexValue[text[i]]
		v, all = v<<4|uint64(digit&15), all|digit
	}
	if all > 15 {
		return 0, strconv.ErrSyntax
	}
	return v, nil
}

// parseOrdinal is parseHex for eight digits, all at once while letters are upper-case.
func parseOrdinal(text string) (ordinal uint32, ok bool) {
	if len(text) != ordinalLen {
		return 0, false
	}
	const (
		each = 0x0101010101010101
		high = 0x80 * each
	)
	var digits [ordinalLen]byte
	copy(digits[:], text)
	v := binary.BigEndian.Uint64(digits[:])
	// What is below 0x80 has its highest bit set by adding 0x80-n if it is n at least, and carries nothing into its neighbour.
	letter := v + (0x80-'A')*each
	if digit := (v + (0x80-'0')*each) &^ (v + (0x80-'9'-1)*each); v&high != 0 || (digit|letter&^(v+(0x80-'F'-1)*each))&high != high {
		slow, err := parseHex(text, ordinalLen, ordinalLen)
		return uint32(slow), err == nil
	}
	v = v&(0x0f*each) + 9*(letter&high>>7)
	v = (v | v>>4) & 0x00ff00ff00ff00ff
	v = (v | v>>8) & 0x0000ffff0000ffff
	return uint32(v | v>>16), true
}

// hexValue is what a hex digit counts, and 255 for any other byte.
var hexValue = func() (values [256]byte) {
	for c := range values {
		values[c] = 255
	}
	for v, c := range []byte(hexDigits) {
		values[c], values[c|' '] = byte(v), byte(v) // digits have the bit of lower case anyway
	}
	return values
}()
