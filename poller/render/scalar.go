package render

import (
	"bytes"

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
	if isNumber(text) {
		return append(dst, text...), true
	}
	switch string(text) {
	case "NaN", "Infinity", "-Infinity":
		return change.AppendString(dst, text), true
	}
	return unreadable(dst, text)
}

// isNumber is the grammar of a JSON number (RFC 8259, 6).
func isNumber(text []byte) bool {
	i := 0
	if i < len(text) && text[i] == '-' {
		i++
	}
	whole := i
	if i = digits(text, i); i == whole || text[whole] == '0' && i > whole+1 {
		return false
	}
	if i < len(text) && text[i] == '.' {
		fraction := i + 1
		if i = digits(text, fraction); i == fraction {
			return false
		}
	}
	if i < len(text) && (text[i] == 'e' || text[i] == 'E') {
		exponent := i + 1
		if exponent < len(text) && (text[exponent] == '+' || text[exponent] == '-') {
			exponent++
		}
		if i = digits(text, exponent); i == exponent {
			return false
		}
	}
	return i == len(text)
}

// digits returns where the digits that begin at i end.
func digits(text []byte, i int) int {
	for i < len(text) && isDigit(text[i]) {
		i++
	}
	return i
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
	date, clock, era, ok := splitTimestamp(text)
	if !ok || !all(clock, isClock) {
		return timeless(dst, text)
	}
	return endTimestamp(dst, date, clock, "", era), true
}

// appendTimestampTZ also completes the offset: +00 becomes +00:00. Postgres writes hours alone where it can, to_json never does.
func appendTimestampTZ(dst, text []byte) ([]byte, bool) {
	date, clock, era, ok := splitTimestamp(text)
	sign := bytes.LastIndexAny(clock, "+-")
	if !ok || sign < 0 || !all(clock[:sign], isClock) || !all(clock[sign+1:], isClock) {
		return timeless(dst, text)
	}
	minutes := ""
	if len(clock)-sign == len("+00") {
		minutes = ":00"
	}
	return endTimestamp(dst, date, clock, minutes, era), true
}

func endTimestamp(dst, date, clock []byte, minutes string, era []byte) []byte {
	dst = append(dst, '"')
	dst = append(dst, date...)
	dst = append(dst, 'T')
	dst = append(dst, clock...)
	dst = append(dst, minutes...)
	dst = append(dst, era...)
	return append(dst, '"')
}

// timeless is for the values that have no date, and for what is no timestamp at all.
func timeless(dst, text []byte) ([]byte, bool) {
	ok := string(text) == "infinity" || string(text) == "-infinity"
	return change.AppendString(dst, text), ok
}

// splitTimestamp takes "0044-03-15 12:00:00+00 BC" apart; era is " BC" or empty.
func splitTimestamp(text []byte) (date, clock, era []byte, ok bool) {
	space := bytes.IndexByte(text, ' ')
	if space < 0 {
		return nil, nil, nil, false
	}
	date, clock = text[:space], text[space+1:]
	if end := len(clock) - len(" BC"); end >= 0 && string(clock[end:]) == " BC" {
		clock, era = clock[:end], clock[end:]
	}
	ok = len(date) > 0 && len(clock) > 0 && isDigit(date[0]) && isDigit(clock[0]) && all(date, isDate)
	return date, clock, era, ok
}

func isDate(c byte) bool  { return isDigit(c) || c == '-' }
func isClock(c byte) bool { return isDigit(c) || c == ':' || c == '.' }

func all(text []byte, is func(byte) bool) bool {
	for _, c := range text {
		if !is(c) {
			return false
		}
	}
	return true
}
