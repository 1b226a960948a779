package change

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"time"
)

// Frame holds the parts of a message that are the same for every row of a table, already encoded.
type Frame struct{ head, tail []byte }

// NewFrame prepares the frame of a table whose primary key has these columns.
func NewFrame(t Table, primaryKey []string) *Frame {
	head := append([]byte(`,"metadata":{"table_schema":`), quote(t.Schema)...)
	head = append(head, `,"table_name":`...)
	head = append(head, quote(t.Name)...)
	head = append(head, `,"commit_timestamp":"`...)
	tail := []byte(`","primary_key":[`)
	for i, column := range primaryKey {
		if i > 0 {
			tail = append(tail, ',')
		}
		tail = append(tail, quote(column)...)
	}
	tail = append(tail, `],"transaction_id":`...)
	return &Frame{head: head, tail: tail}
}

// Room is more than any message of the frame has beside its record and its changes.
func (f *Frame) Room() int { return len(f.head) + len(f.tail) + 256 }

// Transaction holds the parts of a message that are the same for every row of a transaction.
type Transaction struct {
	ID     uint32
	Commit LSN
	began  uint64 // how many there were
	place  []byte // the timestamp and the position, up to the ordinal
	end    []byte // the id and what closes the message
}

// Begin fills in t for a new transaction, keeping its buffers.
func (t *Transaction) Begin(id uint32, commit LSN, at time.Time) {
	t.ID, t.Commit = id, commit
	t.began++
	t.place = append(AppendTimestamp(t.place[:0], at), `","position":"`...)
	t.place = Position{Commit: commit}.appendCommit(t.place)
	t.end = append(strconv.AppendUint(t.end[:0], uint64(id), 10), "}}"...)
}

// AppendTimestamp writes a time as metadata carries it: UTC, microseconds, "2026-01-01T10:00:00.123456Z".
func AppendTimestamp(dst []byte, at time.Time) []byte {
	dst = at.UTC().AppendFormat(dst, time.RFC3339) // which package time writes much faster than any other layout
	dst[len(dst)-1] = '.'                          // was Z
	micros := at.Nanosecond() / 1000
	for place := 100_000; place > 0; place /= 10 {
		dst = append(dst, byte('0'+micros/place%10))
	}
	return append(dst, 'Z')
}

// Form is what a message leaves out because the message before it in its batch says the same. The zero Form is a whole message.
type Form struct{ action, metadata bool }

// Whole says that nothing is left out: the message can be read by itself.
func (f Form) Whole() bool { return f == Form{} }

// Short is the form of a message like the one before it.
func Short() Form { return Form{action: true, metadata: true} }

// Like is what the last message of a batch was like.
type Like struct {
	frame  *Frame
	of     *Transaction
	began  uint64 // which of those that were in of
	action Action
}

// Next is the form of the next message, when it may leave out what it can.
func (l *Like) Next(a Action, f *Frame, t *Transaction) Form {
	form := Form{metadata: l.frame == f && l.of == t && l.began == t.began}
	form.action = form.metadata && l.action == a
	*l = Like{frame: f, of: t, began: t.began, action: a}
	return form
}

// AppendOpen begins a whole message. The caller appends the record next (a JSON object, or null), then AppendChanges.
func AppendOpen(dst []byte, a Action) []byte { return Form{}.AppendOpen(dst, a) }

// AppendOpen begins a message. The caller appends the record next (a JSON object, or null), then AppendChanges or NoChanges.
func (f Form) AppendOpen(dst []byte, a Action) []byte {
	if f.action {
		return append(dst, `{"record":`...)
	}
	dst = append(dst, `{"action":"`...)
	dst = append(dst, a...)
	return append(dst, `","record":`...)
}

// AppendChanges puts the name of the changes member; the caller appends its value, then AppendClose.
func AppendChanges(dst []byte) []byte { return append(dst, `,"changes":`...) }

// NoChanges is for a message that tells of none.
func (f Form) NoChanges(dst []byte) []byte {
	if f.metadata {
		return dst
	}
	return append(AppendChanges(dst), "null"...)
}

// AppendClose ends a whole message with its metadata.
func (f *Frame) AppendClose(dst []byte, t *Transaction, ordinal uint32) []byte {
	dst = append(dst, f.head...)
	dst = append(dst, t.place...)
	dst = Position{Ordinal: ordinal}.appendOrdinal(dst)
	dst = append(dst, f.tail...)
	return append(dst, t.end...)
}

// AppendClose ends a message with what is not left out of its metadata.
func (f Form) AppendClose(dst []byte, frame *Frame, t *Transaction, ordinal uint32) []byte {
	if !f.metadata {
		return frame.AppendClose(dst, t, ordinal)
	}
	const n = len(shortClose)
	if cap(dst)-len(dst) < n {
		dst = slices.Grow(dst, n)
	}
	to := (*[n]byte)(dst[len(dst):cap(dst)])
	*to = shortClose
	binary.BigEndian.PutUint64(to[len(shortBetween):], eightDigits(ordinal))
	return dst[:len(dst)+n]
}

// What stands behind the record of a short message, around its ordinal.
const shortBetween, shortAfter = `,"ordinal":"`, `"}`

// shortClose is both, with room for the ordinal between them.
var shortClose = [len(shortBetween) + ordinalLen + len(shortAfter)]byte([]byte(shortBetween + "00000000" + shortAfter))

// Around is what stands around the records of a table's messages that are of one transaction, do the same and tell of no changes.
type Around struct{ before, between, after []byte }

// Around fills in a, keeping its buffers.
func (f *Frame) Around(a *Around, form Form, action Action, t *Transaction) {
	a.before = form.AppendOpen(a.before[:0], action)
	a.between = form.NoChanges(a.between[:0])
	if form.metadata {
		a.between, a.after = append(a.between, shortBetween...), append(a.after[:0], shortAfter...)
		return
	}
	a.between = append(append(a.between, f.head...), t.place...)
	a.after = append(append(a.after[:0], f.tail...), t.end...)
}

// Len is how many bytes a message has beside its record, and the comma behind it.
func (a *Around) Len() int {
	return len(a.before) + len(a.between) + ordinalLen + len(a.after) + 1
}

// Append writes the message of a record, as the parts of its form would.
func (a *Around) Append(dst, record []byte, ordinal uint32) []byte {
	dst = append(append(append(dst, a.before...), record...), a.between...)
	return append(Position{Ordinal: ordinal}.appendOrdinal(dst), a.after...)
}

// AppendHead begins a batch up to the opening bracket of its messages, which follow joined by commas, then AppendEnd.
func (b *Batch) AppendHead(dst []byte) ([]byte, error) {
	head := struct {
		ID     string `json:"id"`
		Source Source `json:"source"`
		Fence  *Fence `json:"fence,omitempty"`
	}{b.ID, b.Source, b.Fence}
	text, err := json.Marshal(head)
	if err != nil {
		return dst, fmt.Errorf("encode batch %s: %w", b.ID, err)
	}
	dst = append(dst, text[:len(text)-1]...)
	return append(dst, `,"messages":[`...), nil
}

// AppendEnd closes what AppendHead opened.
func AppendEnd(dst []byte) []byte { return append(dst, "]}"...) }

// AppendString writes text as a JSON string, escaping what Postgres' to_json escapes and nothing else, so that
// both spell a string alike.
func AppendString(dst, text []byte) []byte {
	if out, ok := appendPlain(dst, text); ok {
		return out
	}
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(text); {
		if i+8 <= len(text) {
			hits := special(binary.LittleEndian.Uint64(text[i:]))
			if hits == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(hits) / 8
		} else if c := text[i]; c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, text[start:i]...)
		dst = appendEscape(dst, text[i])
		i++
		start = i
	}
	dst = append(dst, text[start:]...)
	return append(dst, '"')
}

// appendPlain writes a string in which nothing is to be escaped while it looks for what is, eight bytes at a time; ok is false where there is some, or little room.
func appendPlain(dst, text []byte) (out []byte, ok bool) {
	free := dst[len(dst):cap(dst)]
	n := len(text)
	if n < 8 || len(free) < n+2 {
		return dst, false
	}
	to, hits := free[1:n+1], uint64(0)
	for i := 0; i < n-8; i += 8 {
		v := load(text, i)
		hits |= special(v)
		binary.LittleEndian.PutUint64(to[i:], v)
	}
	v := load(text, n-8) // perhaps some of it once more
	binary.LittleEndian.PutUint64(to[n-8:], v)
	free[0], free[n+1] = '"', '"'
	return dst[:len(dst)+n+2], hits|special(v) == 0
}

// AppendNumber writes text as it stands; ok is false, and nothing written, when it is no JSON number.
func AppendNumber(dst, text []byte) (out []byte, ok bool) {
	if n := len(text); n > 0 && n <= 8 && cap(dst)-len(dst) >= 8 {
		if v := few(text); isShortNumber(v, n) {
			binary.LittleEndian.PutUint64(dst[len(dst):cap(dst)], v)
			return dst[:len(dst)+n], true
		}
	}
	if longNumberEnd(text, 0) != len(text) {
		return dst, false
	}
	return append(dst, text...), true
}

// few is up to eight bytes, one at least, the first one in the lowest bits.
func few(text []byte) uint64 {
	n := len(text)
	if n >= 4 {
		last := uint64(binary.LittleEndian.Uint32(text[n-4:])) // perhaps some of the first once more
		return uint64(binary.LittleEndian.Uint32(text)) | last<<(8*(n-4))
	}
	return uint64(text[0]) | uint64(text[n/2])<<(8*(n/2)) | uint64(text[n-1])<<(8*(n-1))
}

// isShortNumber says whether these n bytes are digits, perhaps with a sign before them and a point between them.
func isShortNumber(v uint64, n int) bool {
	if byte(v) == '-' {
		v, n = v>>8, n-1
	}
	whole, others := n, noDigit(v)&(1<<(8*n)-1)
	if others != 0 {
		whole = bits.TrailingZeros64(others) / 8
		if byte(v>>(8*whole)) != '.' || others&(others-1) != 0 || whole == n-1 {
			return false
		}
	}
	return whole == 1 || whole > 1 && byte(v) != '0'
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	const lower = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', lower[c>>4], lower[c&15])
}

func quote(text string) []byte { return AppendString(nil, []byte(text)) }
