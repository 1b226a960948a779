package render

import "freshet/shared/change"

// Kind says how the text of a type becomes JSON.
type Kind uint8

// The kinds. Text, the zero value, is every type that to_json makes a string of.
const (
	Text        Kind = iota
	Bool             // true, false
	Number           // as it stands; NaN and the infinities as strings
	Timestamp        // ISO 8601 with a T
	TimestampTZ      // ISO 8601 with a T and a full offset
	JSON             // json: as it stands
	JSONB            // jsonb: as it stands
	Array            // nested JSON arrays
	Vector           // int2vector, oidvector: a JSON array
	Composite        // a JSON object
	HStore           // a JSON object of strings: the cast to json that the extension brings
)

// Type is what must be known of a Postgres type to render its values. A domain is described by its base type. A Type does
// not change once it is made.
type Type struct {
	OID       uint32
	Name      string
	Kind      Kind
	Elem      *Type   // of an Array or Vector
	Delimiter byte    // between the elements of an Array; a comma for all built-in types but box
	Fields    []Field // of a Composite
}

// Field is one attribute of a composite type.
type Field struct {
	Name string
	Type *Type
}

// Plain says that the text of a value is also the text of its JSON value.
func (t *Type) Plain() bool { return t.Kind == Text || t.Kind == Number }

// Scalar says that Postgres can read the text of a value's JSON value as the value again.
func (t *Type) Scalar() bool {
	return t.Plain() || t.Kind == Bool || t.Kind == Timestamp || t.Kind == TimestampTZ
}

// Append adds the JSON value for the text of a value that is not null. It always adds one valid JSON value; when the
// text, or a part of it, does not look like its type, that part is added as a string and ok is false.
//
// The text may lie in the memory of dst, before its end.
func (t *Type) Append(dst, text []byte) (out []byte, ok bool) {
	switch t.Kind {
	case Text:
		return change.AppendString(dst, text), true
	case Bool:
		return appendBool(dst, text)
	case Number:
		return appendNumber(dst, text)
	case Timestamp:
		return appendTimestamp(dst, text)
	case TimestampTZ:
		return appendTimestampTZ(dst, text)
	case JSON, JSONB:
		return t.appendJSON(dst, text)
	case Array:
		return t.appendArray(dst, text)
	case Vector:
		return t.appendVector(dst, text)
	case Composite:
		return t.appendComposite(dst, text)
	case HStore:
		return appendHStore(dst, text)
	}
	return unreadable(dst, text)
}

// unreadable lets a value travel as its text.
func unreadable(dst, text []byte) ([]byte, bool) { return change.AppendString(dst, text), false }
