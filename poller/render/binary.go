package render

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"time"
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
	secondsADay = 24 * 60 * 60
	microsADay  = secondsADay * 1_000_000
	daysTo2000  = 10_957 // since 1970
)

// appendMicros writes a time by its microseconds since 2000, as ISO 8601.
func appendMicros(dst []byte, micros int64, zone bool) []byte {
	day, within := micros/microsADay, micros%microsADay
	if within < 0 {
		day, within = day-1, within+microsADay
	}
	year, month, date := time.Unix((day+daysTo2000)*secondsADay, 0).UTC().Date()
	era := ""
	if year <= 0 {
		year, era = 1-year, " BC"
	}
	dst = append(dst, '"')
	if year > 9999 {
		dst = strconv.AppendInt(dst, int64(year/10_000), 10)
		year %= 10_000
	}
	seconds, fraction := uint32(within/1_000_000), uint32(within%1_000_000)
	dst = slices.Grow(dst, clockRoom)
	// Where it is to stand at once: bytes that were just written are slow to be read again, and copied, as a whole.
	to := (*[clockRoom]byte)(dst[len(dst):cap(dst)])
	twoDigits(to[0:], uint32(year)/100)
	twoDigits(to[2:], uint32(year)%100)
	to[4] = '-'
	twoDigits(to[5:], uint32(month))
	to[7] = '-'
	twoDigits(to[8:], uint32(date))
	to[10] = 'T'
	twoDigits(to[11:], seconds/3600)
	to[13] = ':'
	twoDigits(to[14:], seconds/60%60)
	to[16] = ':'
	twoDigits(to[17:], seconds%60)
	n := 19
	if fraction != 0 {
		to[19] = '.'
		twoDigits(to[20:], fraction/10_000)
		twoDigits(to[22:], fraction/100%100)
		twoDigits(to[24:], fraction%100)
		for n = 26; to[n-1] == '0'; n-- {
		}
	}
	dst = dst[:len(dst)+n]
	if zone {
		dst = append(dst, "+00:00"...)
	}
	return append(append(dst, era...), '"')
}

// clockRoom is what the longest text takes, "2000-01-01T00:00:00.000000", and the rest of a line of memory.
const clockRoom = 32

// twoDigits writes a number below 100.
func twoDigits(dst []byte, n uint32) {
	tens := n * 103 >> 10
	binary.LittleEndian.PutUint16(dst, uint16('0'+tens|('0'+n-10*tens)<<8))
}
