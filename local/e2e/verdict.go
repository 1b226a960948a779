package e2e

import (
	"fmt"
	"strings"
)

// differencesShown is how many differences a verdict quotes.
const differencesShown = 5

// Verdict is what a comparison found.
type Verdict struct {
	Rows    int // looked at
	Missing int // rows without a key
	Stale   int // rows whose string differs
	Orphans int // keys without a row
	First   []Difference

	enough int // stop at so many
}

// Difference is one row and its key that do not agree.
type Difference struct {
	Kind       string // "missing", "different", "without a row"
	Key        string
	Row, Value string // to_json of the row, and the string in Redis, where there is one
}

// Equal says that rows and keys agree.
func (v Verdict) Equal() bool { return v.differences() == 0 }

func (v Verdict) differences() int { return v.Missing + v.Stale + v.Orphans }

// note keeps the first differences; the caller has counted this one.
func (v *Verdict) note(d Difference) error {
	if len(v.First) < differencesShown {
		v.First = append(v.First, d)
	}
	if v.enough > 0 && v.differences() >= v.enough {
		return errEnough
	}
	return nil
}

// String says it in a line, and quotes the first differences below it.
func (v Verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rows: %d missing, %d different, %d keys without a row", v.Rows, v.Missing, v.Stale, v.Orphans)
	for _, d := range v.First {
		fmt.Fprintf(&b, "\n  %s %s", d.Key, d.Kind)
		row, value := excerpts(d.Row, d.Value)
		if d.Row != "" {
			fmt.Fprintf(&b, "\n    row   %s", row)
		}
		if d.Value != "" {
			fmt.Fprintf(&b, "\n    redis %s", value)
		}
	}
	return b.String()
}

// excerpts shortens two long texts to the surroundings of where they first differ.
func excerpts(a, b string) (string, string) {
	const most, before = 400, 60
	if len(a) <= most && len(b) <= most {
		return a, b
	}
	at := 0
	for at < len(a) && at < len(b) && a[at] == b[at] {
		at++
	}
	return excerpt(a, at-before, most), excerpt(b, at-before, most)
}

func excerpt(text string, from, most int) string {
	from = min(max(0, from), len(text))
	to := min(from+most, len(text))
	part := strings.ToValidUTF8(text[from:to], "?")
	if from > 0 {
		part = fmt.Sprintf("(%d bytes) %s", from, part)
	}
	if to < len(text) {
		part = fmt.Sprintf("%s (%d bytes)", part, len(text)-to)
	}
	return part
}
