package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"freshet/shared/change"
	"freshet/shared/problem"
)

// path is a gjson path over the message.
// https://github.com/tidwall/gjson/blob/master/SYNTAX.md
type path struct {
	text string
	// within is the path below record, when that finds the same; then only the record need be read.
	within string
	// column is within when that is the plain name of a column, which is found without gjson.
	column string
	reads  columns
}

// columns are those that something reads; all when that cannot be told.
type columns struct {
	names []string
	all   bool
}

func (c *columns) add(more columns) {
	c.all = c.all || more.all
	c.names = append(c.names, more.names...)
}

// roots are the members of a message.
var roots = []string{"record", "changes", "metadata", "action"}

// plainName is a column whose name no path misreads.
var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

const examplePath = `for example record, or record.{name,price,"stock":inventory_count}`

// parsePath refuses what can be known to find nothing. gjson itself refuses no path. setting is its name in messages.
func parsePath(setting, text string) (p path, wrong *problem.Error) {
	refuse := func(why, fix string) (path, *problem.Error) {
		return path{}, &problem.Error{What: fmt.Sprintf("%s is %q", setting, text), Why: why, Fix: fix}
	}
	if strings.TrimSpace(text) == "" {
		return refuse("it is empty", examplePath)
	}
	root, unknown, why := inspect(text)
	switch {
	case why != "":
		return refuse(why, examplePath)
	case unknown != "":
		return refuse("@"+unknown+" is not a modifier of gjson", `a column of that name is written \@`+unknown)
	case root == "" || !strings.ContainsAny(root[:1], `{[@!`) && !slices.Contains(roots, root):
		fix := "did you mean record." + text + "?"
		if near := problem.Nearest(root, slices.Values(roots)); near != "" {
			fix = "did you mean " + near + strings.TrimPrefix(text, root) + "?"
		}
		return refuse(fmt.Sprintf("a message has no member %q", root), fix+" The path begins with record, changes, metadata or action")
	}
	p = path{text: text, reads: read(text)}
	// At the beginning of a path some marks mean something else than in its middle: two dots are lines of JSON, a ! is a literal.
	if rest, ok := strings.CutPrefix(text, "record."); ok && rest != "" && !strings.ContainsAny(rest[:1], ".!@|#*?") {
		p.within = rest
	}
	if plainName.MatchString(p.within) {
		p.column = p.within
	}
	return p, nil
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

// read tells which columns a path over the message reads. When in doubt it says all.
func read(text string) columns {
	if subs, ok := selectors(text); ok {
		return readAll(subs, read)
	}
	root, rest := component(text)
	switch root {
	case "record", "changes":
		return below(rest)
	case "metadata", "action":
		return columns{}
	}
	return columns{all: !strings.HasPrefix(text, "!")}
}

// below tells which columns a path below the record reads.
func below(text string) columns {
	if subs, ok := selectors(text); ok {
		return readAll(subs, below)
	}
	name, _ := component(text)
	if name == "" || !plain(name) {
		return columns{all: true}
	}
	return columns{names: []string{unescape(name)}}
}

func readAll(paths []string, read func(string) columns) (all columns) {
	for _, p := range paths {
		all.add(read(p))
	}
	return all
}

// plain says that a component names one member: marks that would mean something have a backslash before them.
func plain(name string) bool {
	for i := 0; i < len(name); i++ {
		switch {
		case name[i] == '\\':
			i++
		case strings.IndexByte(`*?#@!{}[]()"`, name[i]) >= 0:
			return false
		}
	}
	return true
}

func unescape(name string) string {
	if strings.IndexByte(name, '\\') < 0 {
		return name
	}
	out := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		if name[i] == '\\' && i+1 < len(name) {
			i++
		}
		out = append(out, name[i])
	}
	return string(out)
}

// component splits off the first component of a path.
func component(text string) (first, rest string) {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '.', '|':
			return text[:i], text[i+1:]
		}
	}
	return text, ""
}

// selectors are the paths of a {multipath} or [multipath], without their names.
func selectors(text string) (paths []string, ok bool) {
	if text == "" || text[0] != '{' && text[0] != '[' {
		return nil, false
	}
	depth, start, colon, modifier := 0, 1, false, false
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			i = skipString(text, i) - 1
		case '@':
			modifier = modifier || i > start && (text[i-1] == '.' || text[i-1] == '|')
		case ':':
			if depth == 1 && !colon && !modifier {
				start, colon = i+1, true
			}
		case '[', '(', '{':
			depth++
		case ',', ']', ')', '}':
			if text[i] != ',' {
				depth--
			}
			if depth == 0 || depth == 1 && text[i] == ',' {
				paths = append(paths, text[min(start, i):i])
				start, colon, modifier = i+1, false, false
			}
			if depth == 0 {
				return paths, true
			}
		}
	}
	return nil, false
}

// view is a message as paths see it.
type view struct {
	m     *change.Message
	whole string // the message, once a path has looked beyond the record
}

func (v *view) get(p *path) gjson.Result {
	if p.within != "" {
		return gjson.Get(v.m.Record, p.within)
	}
	if v.whole == "" {
		v.whole = whole(v.m)
	}
	return gjson.Get(v.whole, p.text)
}

// raw is the JSON of what a path found. What gjson computes itself, such as the length of an array, has none of its own.
func raw(found gjson.Result) string {
	if found.Raw == "" && found.Exists() {
		return found.String()
	}
	return found.Raw
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
