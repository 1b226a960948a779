package rules

import (
	"slices"
)

// constant are the members of metadata that are the same for every message of a row.
var constant = []string{"table_schema", "table_name", "primary_key"}

// incomparable says why values cannot be compared with rows that are read later; it is empty when they can.
func (r *rule) incomparable() string {
	const because = ": such a value may depend on when and how its row changed, and not on the row alone"
	if r.write == writeDelete {
		return "FN_WRITE is delete: what is there, the application has put there"
	}
	if !r.wanted.insert || !r.wanted.update {
		return "FN_ACTIONS lacks insert or update, so that keys may rightly be missing or older than their rows"
	}
	for _, c := range r.filter {
		if !decided(c.path.text) {
			return "FN_FILTER reads " + c.path.text + because
		}
	}
	if r.value.shape == nil {
		if !decided(r.value.path.text) {
			return "FN_VALUE is " + r.value.path.text + because
		}
		return ""
	}
	for _, h := range r.value.shape.holes {
		if h.column < 0 && !decided(h.path.text) {
			return "FN_VALUE reads " + h.path.text + because
		}
	}
	return ""
}

// decided says that what the path finds follows from the row alone. It is false as well where that is only not plain to see.
// https://github.com/tidwall/gjson/blob/master/SYNTAX.md
func decided(path string) bool {
	if path == "" {
		return false
	}
	switch path[0] {
	case '{', '[':
		parts, ok := selectors(path)
		return ok && !slices.ContainsFunc(parts, func(p string) bool { return !decided(p) })
	case '!':
		return true // a literal
	}
	first, rest := component(path)
	switch first {
	case "record":
		return true // whatever follows only looks into it
	case "metadata":
		second, _ := component(rest)
		return slices.Contains(constant, second)
	}
	return false
}
