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

// Reversible says whether the primary key can be read back from the name of a key.
func (l *Layout) Reversible() bool {
	for _, at := range l.key {
		if !l.types[at].Scalar() {
			return false
		}
	}
	return true
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

// AppendKeyName writes the primary key as it stands in the name of a key, its parts joined by hyphens. It reads the parts from Key.Bytes. ok
// is false when a part has no text.
func (l *Layout) AppendKeyName(dst, bytes []byte) (name []byte, ok bool) {
	const seed = 8
	i := 0
	for rest := bytes[seed:]; len(rest) > 0; i++ {
		n := binary.LittleEndian.Uint32(rest)
		text := rest[4 : 4+n]
		rest = rest[4+n:]
		if i > 0 {
			dst = append(dst, '-')
		}
		if l.types[l.key[i]].Plain() {
			dst = append(dst, text...)
			continue
		}
		part, ok := l.KeyPart(i, string(text))
		if !ok {
			return dst, false
		}
		dst = append(dst, part...)
	}
	return dst, true
}

// KeyTypes are the types of the primary key's parts, by OID.
func (l *Layout) KeyTypes() []uint32 {
	oids := make([]uint32, len(l.key))
	for i, at := range l.key {
		oids[i] = l.types[at].OID
	}
	return oids
}
