package row

import (
	"encoding/binary"

	"github.com/tidwall/gjson"
)

// KeyOf reads the primary key's parts, in Postgres' text format, back from Key.Bytes.
func KeyOf(bytes []byte) (texts []string) {
	const seed = 8
	for rest := bytes[seed:]; len(rest) > 0; {
		n := binary.LittleEndian.Uint32(rest)
		texts = append(texts, string(rest[4:4+n]))
		rest = rest[4+n:]
	}
	return texts
}

// KeyPart is the text that part i of the primary key has in the name of a key: that of its JSON value. ok is false when the value has none,
// or cannot be read as its type.
func (l *Layout) KeyPart(i int, text string) (part string, ok bool) {
	json, ok := l.types[l.key[i]].Append(nil, []byte(text))
	if !ok {
		return "", false
	}
	switch value := gjson.ParseBytes(json); value.Type {
	case gjson.String:
		return value.Str, true
	case gjson.JSON, gjson.Null:
		return string(json), false
	default:
		return value.Raw, true
	}
}

// KeyTypes are the types of the primary key's parts, by OID.
func (l *Layout) KeyTypes() []uint32 {
	oids := make([]uint32, len(l.key))
	for i, at := range l.key {
		oids[i] = l.types[at].OID
	}
	return oids
}
