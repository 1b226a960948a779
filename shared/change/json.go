package change

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unsafe"

	"github.com/tidwall/gjson"
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

// Transaction holds the parts of a message that are the same for every row of a transaction.
type Transaction struct {
	ID     uint32
	Commit LSN
	stamp  []byte
}

// Begin fills in t for a new transaction, keeping its buffer.
func (t *Transaction) Begin(id uint32, commit LSN, at time.Time) {
	t.ID, t.Commit = id, commit
	t.stamp = AppendTimestamp(t.stamp[:0], at)
}

// AppendTimestamp writes a time as metadata carries it: UTC, microseconds, "2026-01-01T10:00:00.123456Z".
func AppendTimestamp(dst []byte, at time.Time) []byte {
	return at.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
}

// AppendOpen begins a message. The caller appends the record next (a JSON object, or null), then AppendChanges.
func AppendOpen(dst []byte, a Action) []byte {
	dst = append(dst, `{"action":"`...)
	dst = append(dst, a...)
	return append(dst, `","record":`...)
}

// AppendChanges puts the name of the changes member; the caller appends its value, then AppendClose.
func AppendChanges(dst []byte) []byte { return append(dst, `,"changes":`...) }

// AppendClose ends a message with its metadata.
func (f *Frame) AppendClose(dst []byte, t *Transaction, ordinal uint32) []byte {
	dst = append(dst, f.head...)
	dst = append(dst, t.stamp...)
	dst = append(dst, `","position":"`...)
	dst = Position{Commit: t.Commit, Ordinal: ordinal}.Append(dst)
	dst = append(dst, f.tail...)
	dst = strconv.AppendUint(dst, uint64(t.ID), 10)
	return append(dst, "}}"...)
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

// ParseBatch reads a batch. The result points into body, which must not change as long as the batch is used.
// An unknown member is ignored, so that an older function understands a newer poller.
func ParseBatch(body []byte) (Batch, error) {
	b, broken, err := ParseBatchApart(body)
	if err == nil && len(broken) > 0 {
		err = broken[0].Err
	}
	return b, err
}

// Broken is a message that cannot be read although its batch can.
type Broken struct {
	Raw string
	Err error
}

// ParseBatchApart is ParseBatch for those who do something about messages that cannot be read: the batch is without them.
func ParseBatchApart(body []byte) (Batch, []Broken, error) {
	var broken []Broken
	b, err := parseBatch(body, &broken)
	return b, broken, err
}

func parseBatch(body []byte, broken *[]Broken) (Batch, error) {
	if tooDeep(body) {
		return Batch{}, fmt.Errorf("the body is nested deeper than %d levels", maxDepth)
	}
	text := unsafe.String(unsafe.SliceData(body), len(body))
	if !gjson.Valid(text) {
		return Batch{}, errors.New("the body is not valid JSON")
	}
	root := gjson.Parse(text)
	if !root.IsObject() {
		return Batch{}, errors.New(`the body is not a JSON object such as {"messages":[...]}`)
	}
	var b Batch
	var err error
	var seen bool
	root.ForEach(func(name, value gjson.Result) bool {
		switch name.Str {
		case "id":
			b.ID, err = stringMember("id", value)
		case "source":
			err = decodeMember("source", value.Raw, &b.Source)
		case "fence":
			if value.Type != gjson.Null {
				b.Fence = new(Fence)
				err = decodeMember("fence", value.Raw, b.Fence)
			}
		case "messages":
			seen = true
			b.Messages, err = parseMessages(value, broken)
		}
		return err == nil
	})
	if err != nil {
		return Batch{}, err
	}
	if !seen {
		return Batch{}, errors.New(`the member "messages" is missing`)
	}
	return b, nil
}

// maxDepth is deeper than any json that Postgres takes with a usual max_stack_depth. Readers of JSON call themselves for each level, and
// a stack that is exhausted ends the process.
const maxDepth = 100_000

func tooDeep(body []byte) bool {
	if bytes.Count(body, []byte("["))+bytes.Count(body, []byte("{")) <= maxDepth {
		return false
	}
	depth, quoted := 0, false
	for i := 0; i < len(body) && depth <= maxDepth; i++ {
		switch c := body[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case !quoted && (c == '[' || c == '{'):
			depth++
		case !quoted && (c == ']' || c == '}'):
			depth--
		}
	}
	return depth > maxDepth
}

func parseMessages(list gjson.Result, broken *[]Broken) ([]Message, error) {
	if !list.IsArray() {
		return nil, errors.New(`"messages" is not an array`)
	}
	messages := make([]Message, 0, 1+len(list.Raw)/512)
	var cache keyCache
	list.ForEach(func(_, value gjson.Result) bool {
		m, err := parseMessage(value, &cache)
		if err != nil {
			*broken = append(*broken, Broken{Raw: value.Raw, Err: fmt.Errorf("message %d: %w", len(messages)+len(*broken), err)})
			return true
		}
		messages = append(messages, m)
		return true
	})
	return messages, nil
}

// keyCache keeps the last primary key list, since the messages of a batch mostly share it.
type keyCache struct {
	raw     string
	columns []string
}

func parseMessage(value gjson.Result, cache *keyCache) (m Message, err error) {
	if !value.IsObject() {
		return m, errors.New("not a JSON object")
	}
	value.ForEach(func(name, value gjson.Result) bool {
		switch name.Str {
		case "action":
			m.Action, err = ParseAction(value.Str)
		case "record":
			m.Record, err = objectMember("record", value)
		case "changes":
			m.Changes, err = objectMember("changes", value)
		case "metadata":
			m.Metadata, err = parseMetadata(value, cache)
		}
		return err == nil
	})
	switch {
	case err != nil:
		return m, err
	case m.Action == "":
		return m, errors.New(`the member "action" is missing`)
	case m.Metadata.Table == "":
		return m, errors.New(`the member "metadata.table_name" is missing`)
	case m.Record == "" && m.Action != Truncate:
		return m, fmt.Errorf(`the member "record" is missing, and action %q needs it`, m.Action)
	}
	return m, nil
}

func parseMetadata(value gjson.Result, cache *keyCache) (m Metadata, err error) {
	if !value.IsObject() {
		return m, errors.New(`"metadata" is not an object`)
	}
	m.Schema = "public"
	value.ForEach(func(name, value gjson.Result) bool {
		switch name.Str {
		case "table_schema":
			m.Schema, err = stringMember("table_schema", value)
		case "table_name":
			m.Table, err = stringMember("table_name", value)
		case "commit_timestamp":
			m.CommitTimestamp, err = stringMember("commit_timestamp", value)
		case "position":
			if value.Type != gjson.Null {
				m.Position, err = ParsePosition(value.Str)
			}
		case "primary_key":
			m.PrimaryKey, err = cache.parse(value)
		case "transaction_id":
			m.TransactionID = uint32(value.Uint())
		case "parked":
			m.Parked, err = stringMember("parked", value)
		}
		return err == nil
	})
	return m, err
}

func (c *keyCache) parse(value gjson.Result) ([]string, error) {
	if c.raw != "" && value.Raw == c.raw {
		return c.columns, nil
	}
	if !value.IsArray() {
		return nil, errors.New(`"primary_key" is not an array of column names`)
	}
	var columns []string
	for _, column := range value.Array() {
		if column.Type != gjson.String || column.Str == "" {
			return nil, errors.New(`"primary_key" is not an array of column names`)
		}
		columns = append(columns, column.Str)
	}
	c.raw, c.columns = value.Raw, columns
	return columns, nil
}

func stringMember(name string, value gjson.Result) (string, error) {
	if value.Type != gjson.String && value.Type != gjson.Null {
		return "", fmt.Errorf("%q is not a string", name)
	}
	return value.Str, nil
}

// objectMember returns the raw text of an object, or nothing for null.
func objectMember(name string, value gjson.Result) (string, error) {
	switch {
	case value.Type == gjson.Null:
		return "", nil
	case !value.IsObject():
		return "", fmt.Errorf("%q is not an object", name)
	}
	return value.Raw, nil
}

func decodeMember(name, raw string, into any) error {
	if err := json.Unmarshal([]byte(raw), into); err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	return nil
}

// AppendString writes text as a JSON string, escaping what Postgres' to_json escapes and nothing else, so that
// both spell a string alike.
func AppendString(dst, text []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[start:i]...)
		dst = appendEscape(dst, c)
		start = i + 1
	}
	dst = append(dst, text[start:]...)
	return append(dst, '"')
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
