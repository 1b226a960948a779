package catalog

import (
	"fmt"
	"strings"

	"freshet/shared/change"
)

// Pattern names one table, or all tables of a schema, in settings.
type Pattern struct {
	Schema string
	Name   string // empty when Any
	Any    bool   // schema.*
	Where  string // a condition in SQL, without the parentheses; empty when all rows are wanted

	// Kind is set by Tables for a missing one when something else has its name: pg_class.relkind, v for a view,
	// m for a materialized view, f for a foreign table.
	Kind byte
}

// Table is the table that the pattern names.
func (p Pattern) Table() change.Table { return change.Table{Schema: p.Schema, Name: p.Name} }

func (p Pattern) String() string {
	if p.Any {
		return strings.TrimSuffix(change.Table{Schema: p.Schema, Name: "x"}.String(), "x") + "*"
	}
	if p.Where != "" {
		return p.Table().String() + " WHERE (" + p.Where + ")"
	}
	return p.Table().String()
}

// ParsePatterns reads a list such as
//
//	products, public.orders, "My Schema"."x", shop.*, products WHERE (price > 10)
//
// A missing schema is public. A comma inside quotes or parentheses does not separate. No table may be named twice.
func ParsePatterns(text string) ([]Pattern, error) {
	var all []Pattern
	seen := make(map[Pattern]bool)
	parts, err := split(text)
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		p, err := parsePattern(part)
		if err != nil {
			return nil, err
		}
		key := p
		key.Where = ""
		if seen[key] {
			return nil, fmt.Errorf("%s is named twice", key)
		}
		seen[key] = true
		all = append(all, p)
	}
	return all, nil
}

func parsePattern(text string) (Pattern, error) {
	name, where, err := cutWhere(text)
	if err != nil {
		return Pattern{}, err
	}
	schema, any := strings.CutSuffix(name, "*")
	if !any {
		table, err := change.ParseTable(name)
		return Pattern{Schema: table.Schema, Name: table.Name, Where: where}, err
	}
	schema, any = strings.CutSuffix(strings.TrimSpace(schema), ".")
	if !any || schema == "" {
		return Pattern{}, fmt.Errorf("%q needs a schema before its star, such as shop.*", text)
	}
	if where != "" {
		return Pattern{}, fmt.Errorf("%q has a condition for many tables; give each of them its own", text)
	}
	// Written as a table's name the schema can have no second part.
	table, err := change.ParseTable("any." + schema)
	if err != nil {
		return Pattern{}, fmt.Errorf("%q does not begin with the name of one schema", text)
	}
	return Pattern{Schema: table.Name, Any: true}, nil
}

// cutWhere takes "products WHERE (price > 10)" apart.
func cutWhere(text string) (name, where string, err error) {
	end := find(text, " \t\r\n(")
	name, rest := text[:end], strings.TrimSpace(text[end:])
	if rest == "" {
		return name, "", nil
	}
	if len(rest) < len("where") || !strings.EqualFold(rest[:len("where")], "where") {
		return "", "", fmt.Errorf("%q: after the name only WHERE (...) may follow", text)
	}
	rest = strings.TrimSpace(rest[len("where"):])
	if rest == "" || rest[0] != '(' || find(rest, ")") != len(rest)-1 {
		return "", "", fmt.Errorf("%q: the condition after WHERE must be in one pair of parentheses", text)
	}
	where = strings.TrimSpace(rest[1 : len(rest)-1])
	if where == "" {
		return "", "", fmt.Errorf("%q: the condition after WHERE is empty", text)
	}
	return name, where, nil
}

// split cuts a list at its commas.
func split(text string) (parts []string, err error) {
	start := 0
	err = scan(text, func(i, depth int) bool {
		if text[i] == ',' && depth == 0 {
			parts = append(parts, strings.TrimSpace(text[start:i]))
			start = i + 1
		}
		return true
	})
	return append(parts, strings.TrimSpace(text[start:])), err
}

// find is strings.IndexAny for what is outside quotes and parentheses, and the length of text when there is nothing.
func find(text, chars string) int {
	found := len(text)
	_ = scan(text, func(i, depth int) bool { // split has scanned all of it
		if depth == 0 && strings.IndexByte(chars, text[i]) >= 0 {
			found = i
			return false
		}
		return true
	})
	return found
}

// scan visits every byte outside quotes; depth is the number of parentheses around it. A doubled quote ends one quoted part and
// begins the next.
func scan(text string, visit func(i, depth int) (more bool)) error {
	depth := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == ')' {
			depth--
		}
		if depth < 0 {
			return fmt.Errorf("%q closes a parenthesis that it did not open", text)
		}
		if !visit(i, depth) {
			return nil
		}
		switch c {
		case '(':
			depth++
		case '"', '\'':
			end := strings.IndexByte(text[i+1:], c)
			if end < 0 {
				return fmt.Errorf("%q opens a quote and does not close it", text)
			}
			i += 1 + end
		}
	}
	if depth > 0 {
		return fmt.Errorf("%q opens a parenthesis and does not close it", text)
	}
	return nil
}
