package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"freshet/shared/change"
	"freshet/shared/problem"
)

// value is a gjson path over the message.
// https://github.com/tidwall/gjson/blob/master/SYNTAX.md
type value struct {
	path string
	// within is the path below record, when the path is one; then only the record need be read.
	within string
}

// roots are the members of a message.
var roots = []string{"record", "changes", "metadata", "action"}

// parseValue refuses what can be known to find nothing. gjson itself refuses no path.
func parseValue(setting, path string) (v value, wrong *problem.Error) {
	refuse := func(why, fix string) (value, *problem.Error) {
		return value{}, &problem.Error{What: fmt.Sprintf("%s is %q", setting, path), Why: why, Fix: fix}
	}
	const example = `for example record, or record.{name,price,"stock":inventory_count}`
	if strings.TrimSpace(path) == "" {
		return refuse("it is empty", example)
	}
	root, unknown, why := inspect(path)
	switch {
	case why != "":
		return refuse(why, example)
	case unknown != "":
		return refuse("@"+unknown+" is not a modifier of gjson", `a column of that name is written \@`+unknown)
	case !strings.ContainsAny(root[:1], `{[@!`) && !slices.Contains(roots, root):
		return refuse(fmt.Sprintf("a message has no member %q", root), "did you mean record."+path+"? The path begins with record, changes, metadata or action")
	}
	v.path = path
	// At the beginning of a path some marks mean something else than in its middle: two dots are lines of JSON, a ! is a literal.
	if rest, ok := strings.CutPrefix(path, "record."); ok && rest != "" && !strings.ContainsAny(rest[:1], ".!@|#*?") {
		v.within = rest
	}
	return v, nil
}

// inspect reads the path as far as its form goes: its first component, the first modifier that gjson does not have, and
// what is not balanced.
func inspect(path string) (root, unknown, why string) {
	var open []byte
	start := 0 // of the component
	end := func(i int) {
		name, _, _ := strings.Cut(path[start:i], ":")
		if start == 0 {
			root = path[:i]
		}
		if modifier, ok := strings.CutPrefix(name, "@"); ok && unknown == "" && !gjson.ModifierExists(modifier, nil) {
			unknown = modifier
		}
		start = i + 1
	}
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '\\':
			i++
		case c == '"' && len(open) > 0:
			closing := skipString(path, i)
			if closing == len(path) && (path[closing-1] != '"' || closing == i+1) {
				return root, unknown, "a double quote is not closed"
			}
			i = closing - 1
		case c == '{' || c == '[' || c == '(':
			open = append(open, c)
		case c == '}' || c == ']' || c == ')':
			if len(open) == 0 {
				return root, unknown, fmt.Sprintf("it has a %c that nothing opened", c)
			}
			if pair := string(open[len(open)-1]) + string(c); pair != "{}" && pair != "[]" && pair != "()" {
				return root, unknown, fmt.Sprintf("it has a %c where a %c was opened", c, open[len(open)-1])
			}
			open = open[:len(open)-1]
		case (c == '.' || c == '|') && len(open) == 0:
			end(i)
		}
	}
	end(len(path))
	if len(open) > 0 {
		return root, unknown, fmt.Sprintf("a %c is not closed", open[len(open)-1])
	}
	return root, unknown, ""
}

// of is the value for m: a string as its text, anything else as its JSON, digit by digit as it came.
func (v value) of(m *change.Message) (string, error) {
	var found gjson.Result
	switch {
	case v.path == "record":
		return m.Record, nil
	case v.within != "":
		found = gjson.Get(m.Record, v.within)
	default:
		found = gjson.Get(whole(m), v.path)
	}
	switch {
	case !found.Exists():
		return "", noValue(m.Metadata.Of(), v.path)
	case found.Type == gjson.String:
		return found.Str, nil
	}
	return found.Raw, nil
}

// whole writes the message again, for the few paths that look beyond the record.
func whole(m *change.Message) string {
	text := func(dst []byte, s string) []byte { return change.AppendString(dst, []byte(s)) }
	orNull := func(dst []byte, raw string) []byte {
		if raw == "" {
			raw = "null"
		}
		return append(dst, raw...)
	}
	dst := orNull(change.AppendOpen(nil, m.Action), m.Record)
	dst = orNull(change.AppendChanges(dst), m.Changes)
	dst = text(append(dst, `,"metadata":{"table_schema":`...), m.Metadata.Schema)
	dst = text(append(dst, `,"table_name":`...), m.Metadata.Table)
	dst = text(append(dst, `,"commit_timestamp":`...), m.Metadata.CommitTimestamp)
	dst = append(m.Metadata.Position.Append(append(dst, `,"position":"`...)), `","primary_key":[`...)
	for i, column := range m.Metadata.PrimaryKey {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = text(dst, column)
	}
	dst = fmt.Appendf(dst, `],"transaction_id":%d}}`, m.Metadata.TransactionID)
	return string(dst)
}
