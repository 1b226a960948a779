package change

import (
	"slices"
	"strconv"

	"github.com/tidwall/gjson"
)

// Reduced is what is left of a message whose row is too large to be sent, or to be kept: a delete that knows no more than the
// primary key, with why in Metadata.Parked. A function that knows nothing of parking does the next best thing with it: it removes the key.
func (m *Message) Reduced(why string) Message {
	record := []byte{'{'}
	gjson.Parse(m.Record).ForEach(func(name, value gjson.Result) bool {
		if slices.Contains(m.Metadata.PrimaryKey, name.Str) {
			if len(record) > 1 {
				record = append(record, ',')
			}
			record = append(record, name.Raw...)
			record = append(append(record, ':'), value.Raw...)
		}
		return true
	})
	r := Message{Action: Delete, Record: string(append(record, '}')), Metadata: m.Metadata}
	r.Metadata.Parked = why
	return r
}

// Append writes a whole message. The messages of a stream are put together piece by piece instead, see Frame.
func (m *Message) Append(dst []byte) []byte {
	dst = appendOrNull(AppendOpen(dst, m.Action), m.Record)
	dst = appendOrNull(AppendChanges(dst), m.Changes)
	f, meta := NewFrame(m.Metadata.Of(), m.Metadata.PrimaryKey), &m.Metadata
	dst = append(dst, f.head...) // up to the opening quote of the timestamp
	quoted := quote(meta.CommitTimestamp)
	dst = append(dst, quoted[1:len(quoted)-1]...)
	dst = meta.Position.Append(append(dst, `","position":"`...))
	dst = strconv.AppendUint(append(dst, f.tail...), uint64(meta.TransactionID), 10)
	if meta.Parked != "" {
		dst = append(append(dst, `,"parked":`...), quote(meta.Parked)...)
	}
	return append(dst, "}}"...)
}

// Whole makes the last of some messages, which are joined by commas, one that can be read without those before it. The first of them must be such a
// message already.
func Whole(messages []byte) ([]byte, error) {
	b, err := ParseBatch(slices.Concat([]byte(`{"messages":[`), messages, []byte("]}")))
	if err != nil {
		return nil, err
	}
	return b.Messages[len(b.Messages)-1].Append(nil), nil
}

func appendOrNull(dst []byte, raw string) []byte {
	if raw == "" {
		raw = "null"
	}
	return append(dst, raw...)
}
