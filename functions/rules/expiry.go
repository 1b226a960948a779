package rules

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/gjson"

	"freshet/shared/change"
	"freshet/shared/problem"
)

// expiry is how long keys live: for ever, so many milliseconds, or as long as the row says.
type expiry struct {
	ms     int64
	path   path // of the milliseconds, when its text is not empty
	jitter int64
}

// longestExpiry keeps the expiry and the clock together below what Redis can store.
const longestExpiry = 100 * 365 * 24 * 60 * 60 * 1000

// parseExpiry reads a number of milliseconds or a path to one.
func parseExpiry(ms, jitter part) (e expiry, found problem.List) {
	e.jitter, found = parseJitter(jitter)
	text := strings.TrimSpace(ms.text)
	if text == "" {
		return e, found
	}
	if root, _ := component(text); strings.Trim(root, "abcdefghijklmnopqrstuvwxyz") == "" {
		p, wrong := parsePath(ms.place, text)
		if wrong != nil {
			return e, append(found, wrong)
		}
		e.path = p
		return e, found
	}
	n, err := strconv.ParseInt(text, 10, 64)
	wrong := &problem.Error{What: fmt.Sprintf("%s is %q", ms.place, text), Fix: "set a whole number of milliseconds, such as 86400000 for a day, or a path to one in the row, such as record.ttl_ms"}
	switch {
	case err != nil:
		wrong.Why = "it is not a whole number"
	case n == 0:
		wrong.Why = "a key that expires at once is never seen"
		wrong.Fix = "to keep keys for ever remove the variable; deletes are followed without an expiry"
		if strings.Contains(ms.place, "rules[") {
			wrong.Fix = "to keep keys for ever write null; deletes are followed without an expiry"
		}
	case n < 0:
		wrong.Why = "a key cannot have expired before it is written"
	case n > longestExpiry:
		wrong.Why = "that is longer than a hundred years"
	default:
		e.ms = n
		return e, found
	}
	return e, append(found, wrong)
}

func parseJitter(p part) (int64, problem.List) {
	text := strings.TrimSuffix(strings.TrimSpace(p.text), "%")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > 99 {
		return 0, problem.List{{What: fmt.Sprintf("%s is %q", p.place, p.text), Why: "it is not a whole number of percent from 0 to 99", Fix: "for example 10: keys live up to 10 percent shorter than the expiry says"}}
	}
	return n, nil
}

// of is how long this key is to live; zero is for ever. A key's jitter is always the same, so that a batch that comes twice does the same
// thing twice.
func (e *expiry) of(key []byte, r *view) (int64, error) {
	ms := e.ms
	if e.path.text != "" {
		found := r.get(&e.path)
		if found.Type == gjson.Null {
			return 0, nil // a row without one, or without the member
		}
		var why string
		if ms, why = milliseconds(found); why != "" {
			return 0, noExpiry(r.m.Metadata.Of(), e.path.text, why)
		}
	}
	if e.jitter > 0 && ms > 0 {
		const steps = 1 << 16
		most, step := ms*e.jitter/100, int64(xxhash.Sum64(key)%steps)
		ms -= most/steps*step + most%steps*step/steps // a product of all three could overflow
	}
	return ms, nil
}

// milliseconds reads a number of the row; what is behind its decimal point is left out.
func milliseconds(found gjson.Result) (int64, string) {
	if found.Type != gjson.Number {
		return 0, "is no number"
	}
	d := parseDecimal(raw(found))
	switch {
	case d.sign() <= 0 || d.exponent <= 0:
		return 0, "is not a millisecond or more"
	case d.compare(parseDecimal(strconv.FormatInt(longestExpiry, 10))) > 0:
		return 0, "is longer than a hundred years"
	}
	digits := d.digits
	for int64(len(digits)) < d.exponent {
		digits += "0"
	}
	n, _ := strconv.ParseInt(digits[:d.exponent], 10, 64)
	return n, ""
}

func noExpiry(t change.Table, path, why string) *Poison {
	return &Poison{Table: t, Cause: &problem.Error{
		What: fmt.Sprintf("a row of %s has no usable expiry", t),
		Why:  fmt.Sprintf("what the path %s finds in it %s", path, why),
		Fix:  "let the row hold a number of milliseconds, or null to stay for ever; or use another path in FN_EXPIRE_MS",
	}}
}
