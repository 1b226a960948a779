package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"freshet/shared/change"
	"freshet/shared/problem"
)

// Reserved begins the names that the store keeps for itself.
const Reserved = "freshet:"

// The placeholders of a key template.
const (
	tableSchema = "table_schema"
	tableName   = "table_name"
	primaryKey  = "primary_key"
)

// template is a key template: literal text and placeholders in turn.
type template []piece

// piece is either literal text or the name of a placeholder.
type piece struct{ text, placeholder string }

// parseTemplate reads "sequin:{table_name}:{primary_key}". setting is its name in messages.
func parseTemplate(setting, text string) (t template, wrong *problem.Error) {
	refuse := func(why, fix string) (template, *problem.Error) {
		return nil, &problem.Error{What: fmt.Sprintf("%s is %q", setting, text), Why: why, Fix: fix}
	}
	const example = "for example sequin:{table_name}:{primary_key}"
	for rest := text; rest != ""; {
		literal, behind, opened := strings.Cut(rest, "{")
		if strings.Contains(literal, "}") {
			return refuse("it has a } without a { before it", example)
		}
		if literal != "" {
			t = append(t, piece{text: literal})
		}
		if !opened {
			break
		}
		name, after, closed := strings.Cut(behind, "}")
		if !closed {
			return refuse("it has a { without a } behind it", example)
		}
		if name != tableSchema && name != tableName && name != primaryKey {
			return refuse(fmt.Sprintf("{%s} is not a placeholder", name), "the placeholders are {table_schema}, {table_name} and {primary_key}")
		}
		t, rest = append(t, piece{placeholder: name}), after
	}
	switch {
	case !slices.Contains(t, piece{placeholder: primaryKey}):
		return refuse("without {primary_key} all rows of a table would share one key", example)
	case t[0].placeholder == primaryKey:
		return refuse("nothing comes before {primary_key}, so the keys of a table could not be told from any other keys", "begin with text of your own, "+example)
	case strings.HasPrefix(t[0].text, Reserved):
		return refuse("names that begin with "+Reserved+" hold freshet's own state", "begin with other text, "+example)
	}
	return t, nil
}

// tableKey makes the keys of one table.
type tableKey struct {
	table   change.Table
	columns []string
	// text is what stands before, between and behind the places of the primary key.
	text []string
}

// compile fills in what is the same for all rows. The strings of t and columns are copied.
func (t template) compile(table change.Table, columns []string) (*tableKey, *problem.Error) {
	k := &tableKey{table: change.Table{Schema: strings.Clone(table.Schema), Name: strings.Clone(table.Name)}, text: []string{""}}
	for _, column := range columns {
		k.columns = append(k.columns, strings.Clone(column))
	}
	for _, p := range t {
		last := &k.text[len(k.text)-1]
		switch p.placeholder {
		case "":
			*last += p.text
		case tableSchema:
			*last += k.table.Schema
		case tableName:
			*last += k.table.Name
		case primaryKey:
			k.text = append(k.text, "")
		}
	}
	return k, k.refuse()
}

func (k *tableKey) refuse() *problem.Error {
	switch prefix := k.prefix(); {
	case len(k.columns) == 0:
		return &problem.Error{
			What: fmt.Sprintf("rows of %s have no key", k.table), Why: "metadata.primary_key is empty",
			Fix: "give the table a primary key, or in a hand-written message name its columns in metadata.primary_key",
		}
	case strings.HasPrefix(prefix, Reserved), strings.HasPrefix(Reserved, prefix):
		return &problem.Error{
			What: fmt.Sprintf("keys of %s would begin with %q", k.table, prefix),
			Why:  "truncating the table would remove freshet's own state, whose names begin with " + Reserved,
			Fix:  "begin FN_KEY with other text",
		}
	}
	return nil
}

// prefix is what all keys of the table begin with.
func (k *tableKey) prefix() string { return k.text[0] }

func (k *tableKey) serves(m change.Metadata) bool {
	return k.table.Name == m.Table && k.table.Schema == m.Schema && slices.Equal(k.columns, m.PrimaryKey)
}

// appendKey writes the key of a record, a JSON object.
func (k *tableKey) appendKey(dst []byte, record string) ([]byte, error) {
	var few [4]string
	parts := few[:]
	if len(k.columns) > len(few) {
		parts = make([]string, len(k.columns))
	}
	members(record, k.columns, parts)
	dst = append(dst, k.text[0]...)
	for _, text := range k.text[1:] {
		for i, column := range k.columns {
			if i > 0 {
				dst = append(dst, '-')
			}
			before := len(dst)
			if dst = appendText(dst, parts[i]); len(dst) == before {
				return dst, noKey(k.table, column, lack(parts[i]))
			}
		}
		dst = append(dst, text...)
	}
	return dst, nil
}

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

func lack(raw string) string {
	switch raw {
	case "":
		return "is missing in the record"
	case "null":
		return "is null"
	}
	return "is empty"
}
