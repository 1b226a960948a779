package render

import (
	"github.com/tidwall/gjson"

	"freshet/shared/change"
)

func appendBool(dst, text []byte) ([]byte, bool) {
	switch string(text) {
	case "t":
		return append(dst, "true"...), true
	case "f":
		return append(dst, "false"...), true
	}
	return unreadable(dst, text)
}

func appendNumber(dst, text []byte) ([]byte, bool) {
	if out, ok := change.AppendNumber(dst, text); ok {
		return out, true
	}
	switch string(text) {
	case "NaN", "Infinity", "-Infinity":
		return change.AppendString(dst, text), true
	}
	return unreadable(dst, text)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// appendJSON takes the text as it is. Only json is looked at: anything can be made into a json value by a function written in C,
// while jsonb is always printed by Postgres itself.
func (t *Type) appendJSON(dst, text []byte) ([]byte, bool) {
	if len(text) == 0 || t.Kind == JSON && !gjson.ValidBytes(text) {
		return unreadable(dst, text)
	}
	return append(dst, text...), true
}

// appendTimestamp makes 2026-01-01T10:00:00.5 of 2026-01-01 10:00:00.5, and keeps a trailing " BC".
func appendTimestamp(dst, text []byte) ([]byte, bool) {
	date, clock, ok := splitTimestamp(text)
	if !ok || !isEra(text[clock:]) {
		return timeless(dst, text)
	}
	return endTimestamp(dst, text, date, clock, ""), true
}

// appendTimestampTZ also completes the offset: +00 becomes +00:00. Postgres writes hours alone where it can, to_json never does.
func appendTimestampTZ(dst, text []byte) ([]byte, bool) {
	date, clock, ok := splitTimestamp(text)
	if !ok || clock == len(text) || text[clock] != '+' && text[clock] != '-' {
		return timeless(dst, text)
	}
	offset := clockEnd(text, clock+1)
	if !isEra(text[offset:]) {
		return timeless(dst, text)
	}
	minutes := ""
	if offset-clock == len("+00") {
		minutes = ":00"
	}
	return endTimestamp(dst, text, date, offset, minutes), true
}

// endTimestamp puts a T where the date ends, and minutes before the era.
func endTimestamp(dst, text []byte, date, era int, minutes string) []byte {
	dst = append(append(dst, '"'), text[:era]...)
	dst[len(dst)-era+date] = 'T'
	dst = append(append(dst, minutes...), text[era:]...)
	return append(dst, '"')
}

// timeless is for the values that have no date, and for what is no timestamp at all.
func timeless(dst, text []byte) ([]byte, bool) {
	ok := string(text) == "infinity" || string(text) == "-infinity"
	return change.AppendString(dst, text), ok
}

// splitTimestamp finds the ends of date and clock in "0044-03-15 12:00:00+00 BC".
func splitTimestamp(text []byte) (date, clock int, ok bool) {
	for date < len(text) && (isDigit(text[date]) || text[date] == '-') {
		date++
	}
	if date == len(text) || text[date] != ' ' || !isDigit(text[0]) {
		return 0, 0, false
	}
	clock = clockEnd(text, date+1)
	return date, clock, clock > date+1 && isDigit(text[date+1])
}

// clockEnd returns where the digits, colons and dots that begin at i end.
func clockEnd(text []byte, i int) int {
	for i < len(text) && (text[i] >= '0' && text[i] <= ':' || text[i] == '.') {
		i++
	}
	return i
}

func isEra(text []byte) bool { return len(text) == 0 || string(text) == " BC" }
