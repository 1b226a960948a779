package change_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unsafe"

	"github.com/tidwall/gjson"

	"freshet/shared/change"
)

// reference is ParseBatch as gjson does it, in several passes and plainly right: what is taken, what is refused and what is said are the same.
func reference(body []byte) (change.Batch, error) {
	if tooDeep(body) {
		return change.Batch{}, fmt.Errorf("the body is nested deeper than %d levels", maxDepth)
	}
	text := unsafe.String(unsafe.SliceData(body), len(body))
	if !gjson.Valid(text) {
		return change.Batch{}, errors.New("the body is not valid JSON")
	}
	root := gjson.Parse(text)
	if !root.IsObject() {
		return change.Batch{}, errors.New(`the body is not a JSON object such as {"messages":[...]}`)
	}
	var b change.Batch
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
				b.Fence = new(change.Fence)
				err = decodeMember("fence", value.Raw, b.Fence)
			}
		case "messages":
			seen = true
			b.Messages, err = parseMessages(value)
		}
		return err == nil
	})
	if err != nil {
		return change.Batch{}, err
	}
	if !seen {
		return change.Batch{}, errors.New(`the member "messages" is missing`)
	}
	return b, nil
}

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

func parseMessages(list gjson.Result) ([]change.Message, error) {
	if !list.IsArray() {
		return nil, errors.New(`"messages" is not an array`)
	}
	messages := make([]change.Message, 0, 1+len(list.Raw)/512)
	var cache keyCache
	var err error
	list.ForEach(func(_, value gjson.Result) bool {
		var m, before change.Message
		if n := len(messages); n > 0 {
			before = messages[n-1]
		}
		if m, err = parseMessage(value, before, &cache); err != nil {
			err = fmt.Errorf("message %d: %w", len(messages), err)
			return false
		}
		messages = append(messages, m)
		return true
	})
	return messages, err
}

// keyCache keeps the last primary key list, since the messages of a batch mostly share it.
type keyCache struct {
	raw     string
	columns []string
}

func parseMessage(value gjson.Result, before change.Message, cache *keyCache) (m change.Message, err error) {
	if !value.IsObject() {
		return m, errors.New("not a JSON object")
	}
	var ordinal string
	var whole bool
	value.ForEach(func(name, value gjson.Result) bool {
		switch name.Str {
		case "ordinal":
			var at change.Position
			if at, err = change.ParsePosition("0000000000000000-" + value.Str); err != nil {
				err = errors.New(`"ordinal" is not eight hex digits such as "0000001F", the end of a position`)
			}
			ordinal = at.String()[17:]
		case "action":
			m.Action, err = change.ParseAction(value.Str)
		case "record":
			m.Record, err = objectMember("record", value)
		case "changes":
			m.Changes, err = objectMember("changes", value)
		case "metadata":
			m.Metadata, err = parseMetadata(value, cache)
			whole = true
		}
		return err == nil
	})
	if err == nil && ordinal != "" && !whole {
		if before.Action == "" {
			return m, errors.New(`it has an "ordinal" instead of "metadata", as a message has that is like the one before it, and there is none that could be read`)
		}
		if m.Action == "" {
			m.Action = before.Action
		}
		commit := before.Metadata.Position.String()[:17]
		m.Metadata = before.Metadata
		m.Metadata.Position, err = change.ParsePosition(commit + ordinal)
	}
	switch {
	case err != nil:
		return m, err
	case m.Action == "":
		return m, errors.New(`the member "action" is missing`)
	case m.Metadata.Table == "":
		return m, errors.New(`the member "metadata.table_name" is missing`)
	case m.Record == "" && m.Action != change.Truncate:
		return m, fmt.Errorf(`the member "record" is missing, and action %q needs it`, m.Action)
	}
	return m, nil
}

func parseMetadata(value gjson.Result, cache *keyCache) (m change.Metadata, err error) {
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
				m.Position, err = change.ParsePosition(value.Str)
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
