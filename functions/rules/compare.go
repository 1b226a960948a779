package rules

import (
	"fmt"
	"slices"
	"strings"
)

// constant are the members of metadata that are the same for every message of a row.
var constant = []string{"table_schema", "table_name", "primary_key"}

// incomparable says why values cannot be compared with rows that are read later; it is empty when they can.
func (v value) incomparable(setting string) string {
	if decided(v.path) {
		return ""
	}
	return fmt.Sprintf("%s is %s: such a value may depend on when and how its row changed, and not on the row alone", setting, v.path)
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

// component cuts a path behind its first component.
func component(path string) (first, rest string) {
	i := strings.IndexAny(path, ".|")
	if i < 0 {
		return path, ""
	}
	return path[:i], path[i+1:]
}

// selectors are the paths in the braces or brackets that path begins with, without their names. What follows the closing one only looks
// into what was selected.
func selectors(path string) (paths []string, ok bool) {
	depth, start, named := 1, 1, false
	for i := 1; i < len(path); i++ {
		switch c := path[i]; {
		case c == '\\':
			i++
		case c == '"':
			i = skipString(path, i) - 1
		case c == '@' && (path[i-1] == '.' || path[i-1] == '|'):
			named = true // what follows the colon of a modifier is its argument
		case c == ':' && depth == 1 && !named:
			start, named = i+1, true
		case c == ',' && depth == 1:
			paths = append(paths, path[start:i])
			start, named = i+1, false
		case c == '{' || c == '[' || c == '(':
			depth++
		case c == '}' || c == ']' || c == ')':
			if depth--; depth == 0 {
				return append(paths, path[start:i]), true
			}
		}
	}
	return nil, false
}
