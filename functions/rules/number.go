package rules

import (
	"cmp"
	"math"
	"strconv"
	"strings"
)

// decimal is a number as its digits, so that numbers of any length compare exactly: 0.digits times ten to the power of exponent.
type decimal struct {
	negative bool
	digits   string // without zeros at either end; empty for zero
	exponent int64
}

// parseDecimal reads a JSON number.
func parseDecimal(text string) (d decimal) {
	text, d.negative = strings.TrimPrefix(text, "-"), strings.HasPrefix(text, "-")
	mantissa, exponent := text, ""
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa, exponent = text[:i], text[i+1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	kept := strings.TrimLeft(digits, "0")
	d.digits = strings.TrimRight(kept, "0")
	if d.digits == "" {
		return decimal{}
	}
	d.exponent = int64(len(whole)) - int64(len(digits)-len(kept)) + parseExponent(exponent)
	return d
}

// parseExponent is exact as far as Postgres' numeric goes, and far beyond.
func parseExponent(text string) int64 {
	const most = math.MaxInt32
	if text == "" {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimPrefix(text, "+"), 10, 64) // at its limit when it is beyond
	return min(max(n, -most), most)
}

// compare is negative when d is the smaller one.
func (d decimal) compare(e decimal) int {
	if d.sign() != e.sign() {
		return cmp.Compare(d.sign(), e.sign())
	}
	// Without zeros at the front, the place of the first digit decides; then text order does, since both begin at the same place.
	return d.sign() * cmp.Or(cmp.Compare(d.exponent, e.exponent), strings.Compare(d.digits, e.digits))
}

func (d decimal) sign() int {
	switch {
	case d.digits == "":
		return 0
	case d.negative:
		return -1
	}
	return 1
}
