package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"freshet/shared/change"
	"freshet/shared/problem"
)

// Reserved begins the names that the store keeps for itself.
const Reserved = "freshet:"

// The placeholders of a key template, beside paths.
const (
	tableSchema = "table_schema"
	tableName   = "table_name"
	primaryKey  = "primary_key"
)

// template is a key template: literal text, placeholders and paths in turn.
type template []piece

// piece is literal text, the name of a placeholder, or a path below the record.
type piece struct {
	text, placeholder string
	path              path
}

// ofRow says that the piece is another one for each row.
func (p piece) ofRow() bool { return p.placeholder == primaryKey || p.path.text != "" }

const exampleKey = "for example sequin:{table_name}:{primary_key}"

// parseTemplate reads "sequin:{table_name}:{primary_key}". setting is its name in messages.
func parseTemplate(setting, text string) (t template, wrong *problem.Error) {
	refuse := func(why, fix string) (template, *problem.Error) {
		return nil, &problem.Error{What: fmt.Sprintf("%s is %q", setting, text), Why: why, Fix: fix}
	}
	for rest := text; rest != ""; {
		literal, behind, opened := strings.Cut(rest, "{")
		if strings.Contains(literal, "}") {
			return refuse("it has a } without a { before it", exampleKey)
		}
		if literal != "" {
			t = append(t, piece{text: literal})
		}
		if !opened {
			break
		}
		end := closing(behind)
		if end < 0 {
			return refuse("it has a { without a } behind it", exampleKey)
		}
		p, why, fix := placeholder(setting, behind[:end])
		if why != "" {
			return refuse(why, fix)
		}
		t, rest = append(t, p), behind[end+1:]
	}
	switch {
	case !slices.ContainsFunc(t, piece.ofRow):
		return refuse("without {primary_key} or a column of the row, all rows of a table would share one key", exampleKey)
	case t[0].ofRow():
		return refuse("nothing comes before its first part of the row, so the keys of a table could not be told from any other keys", "begin with text of your own, "+exampleKey)
	case strings.HasPrefix(t[0].text, Reserved):
		return refuse("names that begin with "+Reserved+" hold freshet's own state", "begin with other text, "+exampleKey)
	}
	return t, nil
}

// closing is the place of the } that closes what was opened before text; -1 when nothing does.
func closing(text string) int {
	for i, depth := 0, 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			if depth > 0 {
				i = skipString(text, i) - 1
			}
		case '{', '(', '[':
			depth++
		case ')', ']':
			depth--
		case '}':
			if depth <= 0 {
				return i
			}
			depth--
		}
	}
	return -1
}

var placeholders = []string{tableSchema, tableName, primaryKey}

// placeholder reads what stands between braces; why is not empty when it is nothing that can.
func placeholder(setting, name string) (p piece, why, fix string) {
	if slices.Contains(placeholders, name) {
		return piece{placeholder: name}, "", ""
	}
	root, rest := component(name)
	if root != "record" || rest == "" {
		fix = "the placeholders are {table_schema}, {table_name}, {primary_key}, and {record.sku} for the column sku"
		switch near := problem.Nearest(name, slices.Values(placeholders)); {
		case near != "":
			fix = "did you mean {" + near + "}? Else " + fix
		case plainName.MatchString(name) && name != "record":
			fix = "did you mean {record." + name + "}? Else " + fix
		}
		return p, fmt.Sprintf("{%s} is not a placeholder", name), fix
	}
	parsed, wrong := parsePath(setting, name)
	switch {
	case wrong != nil:
		return p, fmt.Sprintf("{%s}: %s", name, wrong.Why), wrong.Fix
	case parsed.within == "" || parsed.reads.all || strings.ContainsAny(rest[:1], "{["):
		return p, fmt.Sprintf("of {%s} it cannot be told which column it reads, or it is no single value", name), "begin the path with one column, such as {record.sku} or {record.attributes.sku}"
	}
	return piece{path: parsed}, "", ""
}

// prefix is what comes before the first part of the row, with the placeholders of the table as they stand.
func (t template) prefix() (text string, fixed bool) {
	fixed = true
	for _, p := range t {
		switch {
		case p.ofRow():
			return text, fixed
		case p.placeholder != "":
			text, fixed = text+"{"+p.placeholder+"}", false
		default:
			text += p.text
		}
	}
	return text, fixed
}

// tableKey makes the keys of one table.
type tableKey struct {
	form
	table change.Table
	// primary are the columns of the primary key; whole says that the key holds them all, so that each key belongs to one row for ever.
	primary []string
	whole   bool
	// places is the text before, between and behind the places of {primary_key}, for a key that has no other parts.
	places []string
	// others are the columns beyond the primary key that make the key: when one changes, the row has another key.
	others []string
}

// compile fills in what is the same for all rows. The strings of t and columns are copied.
func (t template) compile(table change.Table, columns []string) (*tableKey, *problem.Error) {
	k := &tableKey{table: change.Table{Schema: strings.Clone(table.Schema), Name: strings.Clone(table.Name)}}
	k.text, k.places = []string{""}, []string{""}
	for _, column := range columns {
		k.primary = append(k.primary, strings.Clone(column))
	}
	for _, p := range t {
		switch {
		case p.placeholder == tableSchema:
			k.addText(k.table.Schema)
		case p.placeholder == tableName:
			k.addText(k.table.Name)
		case p.placeholder == primaryKey:
			if len(k.primary) == 0 {
				return k, noPrimaryKey(k.table)
			}
			k.addPrimary()
			k.places = append(k.places, "")
		case p.path.text != "":
			k.add(hole{path: p.path}, p.path.column, "")
			for _, column := range p.path.reads.names {
				k.need(column) // so that it can be told whether it is there
			}
		default:
			k.addText(p.text)
		}
	}
	return k, k.settle()
}

func (k *tableKey) addText(text string) {
	k.text[len(k.text)-1] += text
	k.places[len(k.places)-1] += text
}

// addPrimary adds a hole for each column of the primary key, with hyphens between them.
func (k *tableKey) addPrimary() {
	for i, column := range k.primary {
		if i > 0 {
			k.text[len(k.text)-1] += "-"
		}
		k.add(hole{primary: true}, column, "")
	}
}

// settle works out what follows from the holes.
func (k *tableKey) settle() *problem.Error {
	held := map[string]bool{}
	for _, h := range k.holes {
		if h.column >= 0 {
			held[k.columns[h.column]] = true
		}
	}
	k.whole = len(k.primary) > 0 && !slices.ContainsFunc(k.primary, func(c string) bool { return !held[c] })
	for _, column := range k.columns {
		if !slices.Contains(k.primary, column) {
			k.others = append(k.others, column)
		}
	}
	if prefix := k.prefix(); strings.HasPrefix(prefix, Reserved) || strings.HasPrefix(Reserved, prefix) {
		return &problem.Error{
			What: fmt.Sprintf("keys of %s would begin with %q", k.table, prefix),
			Why:  "truncating the table would remove freshet's own state, whose names begin with " + Reserved,
			Fix:  "begin FN_KEY with other text",
		}
	}
	return nil
}

func noPrimaryKey(t change.Table) *problem.Error {
	return &problem.Error{
		What: fmt.Sprintf("rows of %s have no key", t), Why: "metadata.primary_key is empty",
		Fix: "give the table a primary key, or in a hand-written message name its columns in metadata.primary_key",
	}
}

// prefix is what all keys of the table begin with.
func (k *tableKey) prefix() string { return k.text[0] }

// of writes the key of a message's record.
func (k *tableKey) of(dst []byte, m *change.Message) ([]byte, *lack) {
	if len(k.columns) == 1 && len(k.others) == 0 {
		if value := m.Key(); value != "" {
			return k.fill(dst, m.Record, []string{value})
		}
	}
	return k.appendKey(dst, m.Record)
}

// appendKey writes the key of a record, a JSON object.
func (k *tableKey) appendKey(dst []byte, record string) ([]byte, *lack) {
	var buffer [few]string
	return k.fill(dst, record, k.read(record, buffer[:]))
}

// fill writes the key of a record that has these values in the key's columns.
func (k *tableKey) fill(dst []byte, record string, values []string) ([]byte, *lack) {
	dst = append(dst, k.text[0]...)
	for i := range k.holes {
		h := &k.holes[i]
		var found string
		if h.column >= 0 {
			found = values[h.column]
		} else {
			found = raw(gjson.Get(record, h.path.within))
		}
		before := len(dst)
		if dst = appendText(dst, found); len(dst) == before || !h.primary && nested(found) {
			return dst, k.lacks(h, found, values)
		}
		dst = append(dst, k.text[i+1]...)
	}
	return dst, nil
}

// nested says that a JSON value is an object or an array. In a primary key such a value stands as it is: there is no other key.
func nested(raw string) bool { return raw != "" && (raw[0] == '{' || raw[0] == '[') }

// appendText writes the text of a JSON value: what is inside the quotes, or the value as it stands. Null has none.
func appendText(dst []byte, raw string) []byte {
	switch {
	case raw == "" || raw == "null":
		return dst
	case raw[0] != '"':
		return append(dst, raw...)
	case strings.IndexByte(raw, '\\') < 0:
		return append(dst, raw[1:len(raw)-1]...)
	}
	return append(dst, gjson.Parse(raw).Str...)
}

// lack is why a row has no key.
type lack struct {
	column, why string
	// absent says that the row has no such value, and never had a key because of that; else the record does not tell.
	absent bool
}

func (k *tableKey) lacks(h *hole, found string, values []string) *lack {
	l := &lack{absent: !h.primary}
	if h.column >= 0 {
		l.column = k.columns[h.column]
	} else {
		l.column = h.path.within
	}
	switch {
	case nested(found):
		l.why = "is an object or a list, which no key can hold"
	case found == "null":
		l.why = "is null"
	case found != "":
		l.why = "is empty"
	default:
		l.why = "is missing in the record"
		for _, column := range h.path.reads.names {
			l.absent = l.absent && values[slices.Index(k.columns, column)] != ""
		}
		l.absent = l.absent && h.column < 0
	}
	return l
}

// before writes the key that a row had before an update; ok is false when it had none, the same, or one that a message of its own deletes.
func (k *tableKey) before(dst []byte, m *change.Message) (key []byte, ok bool) {
	if !changed(m.Changes, k.others) || k.whole && changed(m.Changes, k.primary) {
		// A row whose primary key changes comes as a delete and a write. When the key holds it, the delete has its lane, and this message another.
		return dst, false
	}
	key, lack := k.appendKey(dst, overlay(m.Changes, m.Record))
	return key, lack == nil
}

// changed says whether the old values of an update have one of these columns.
func changed(changes string, names []string) bool {
	if changes == "" || len(names) == 0 {
		return false
	}
	var buffer [few]string
	values := buffer[:]
	if len(names) > few {
		values = make([]string, len(names))
	}
	values = values[:len(names)]
	members(changes, names, values)
	return slices.ContainsFunc(values, func(raw string) bool { return raw != "" })
}

// overlay is the row as it was: where a name comes twice, the first one counts.
func overlay(changes, record string) string {
	return changes[:strings.LastIndexByte(changes, '}')] + "," + record[strings.IndexByte(record, '{')+1:]
}

// inOrder lists the columns of a set as the table has them. Without the table's, they are in the order of their names.
func inOrder(set map[string]bool, table []string) (all []string) {
	if len(table) == 0 {
		return slices.Sorted(maps.Keys(set))
	}
	for _, column := range table {
		if set[column] {
			all = append(all, column)
		}
	}
	return all
}
