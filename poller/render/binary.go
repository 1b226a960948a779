package render

import (
	"encoding/binary"
	"math"
	"strconv"
)

// HasBinary says that AppendBinary knows the type's binary format. That is where both sides gain by it: a timestamp costs Postgres more to
// write than to read.
func (t *Type) HasBinary() bool { return t.Kind == Timestamp || t.Kind == TimestampTZ }

// AppendBinary adds what Append adds for the text of the same value under the settings of Pin. ok is false, and null added, when the value
// does not have the form of its type.
func (t *Type) AppendBinary(dst, value []byte) (out []byte, ok bool) {
	if len(value) != 8 || !t.HasBinary() {
		return append(dst, "null"...), false
	}
	switch micros := int64(binary.BigEndian.Uint64(value)); micros {
	case math.MaxInt64:
		return append(dst, `"infinity"`...), true
	case math.MinInt64:
		return append(dst, `"-infinity"`...), true
	default:
		return appendMicros(dst, micros, t.Kind == TimestampTZ), true
	}
}

const (
	microsADay    = 24 * 60 * 60 * 1_000_000
	daysTo2000    = 730_425 // since the first of March of the year 0
	daysIn400     = 146_097
	daysInCentury = 36_524
)

// appendMicros writes a time by its microseconds since 2000, as ISO 8601.
func appendMicros(dst []byte, micros int64, zone bool) []byte {
	day, within := micros/microsADay, micros%microsADay
	if within < 0 {
		day, within = day-1, within+microsADay
	}
	year, month, date := civil(day + daysTo2000)
	era := ""
	if year <= 0 {
		year, era = 1-year, " BC"
	}
	dst = append(dst, '"')
	if year > 9999 {
		dst = strconv.AppendInt(dst, year/10_000, 10)
		year %= 10_000
	}
	seconds, fraction := uint32(within/1_000_000), uint32(within%1_000_000)
	text := [...]byte{'0', '0', '0', '0', '-', '0', '0', '-', '0', '0', 'T', '0', '0', ':', '0', '0', ':', '0', '0'}
	twoDigits(text[0:], uint32(year)/100)
	twoDigits(text[2:], uint32(year)%100)
	twoDigits(text[5:], uint32(month))
	twoDigits(text[8:], uint32(date))
	twoDigits(text[11:], seconds/3600)
	twoDigits(text[14:], seconds/60%60)
	twoDigits(text[17:], seconds%60)
	dst = append(dst, text[:]...)
	if fraction != 0 {
		text := [...]byte{'.', '0', '0', '0', '0', '0', '0'}
		twoDigits(text[1:], fraction/10_000)
		twoDigits(text[3:], fraction/100%100)
		twoDigits(text[5:], fraction%100)
		dst = append(dst, text[:]...)
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
	}
	if zone {
		dst = append(dst, "+00:00"...)
	}
	return append(append(dst, era...), '"')
}

// civil is the date of a day, counted since the first of March of the year 0, in the Gregorian calendar, also for the time before there was one.
// A year that begins in March has its leap day at its end, and months whose lengths follow a line.
func civil(since int64) (year, month, date int64) {
	cycle := since / daysIn400
	if since%daysIn400 < 0 {
		cycle--
	}
	day := uint32(since - cycle*daysIn400)
	of := (day - day/1460 + day/daysInCentury - day/(daysIn400-1)) / 365
	day -= 365*of + of/4 - of/100
	shifted := (5*day + 2) / 153
	date = int64(day - (153*shifted+2)/5 + 1)
	if year, month = cycle*400+int64(of), int64(shifted)+3; month > 12 {
		year, month = year+1, month-12
	}
	return year, month, date
}

// twoDigits writes a number below 100.
func twoDigits(dst []byte, n uint32) {
	_ = dst[1]
	dst[0], dst[1] = byte('0'+n/10), byte('0'+n%10)
}
