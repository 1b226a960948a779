package change

import (
	"fmt"
	"strings"
)

// Table names one table of the source database. Both parts are the bare names, without quotes.
type Table struct {
	Schema string
	Name   string
}

// String is the text form used in settings, logs and the sink's state: "public.products",
// with a part in double quotes only where the bare spelling could be read differently.
func (t Table) String() string {
	return quoteIfNeeded(t.Schema) + "." + quoteIfNeeded(t.Name)
}

// SQL is the name as a statement needs it, always quoted.
func (t Table) SQL() string { return QuoteIdentifier(t.Schema) + "." + QuoteIdentifier(t.Name) }

// QuoteIdentifier quotes a name for use in SQL.
// https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
func QuoteIdentifier(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// ParseTable reads `products`, `shop.products` or `"My Shop"."a.b"`. A missing schema is public.
// As in SQL, an unquoted name is folded to lower case.
func ParseTable(text string) (Table, error) {
	first, rest, err := identifier(strings.TrimSpace(text))
	if err != nil {
		return Table{}, fmt.Errorf("table %q: %w", text, err)
	}
	if rest == "" {
		return Table{Schema: "public", Name: first}, nil
	}
	if rest[0] != '.' {
		return Table{}, fmt.Errorf("table %q: unexpected %q after the name", text, rest)
	}
	second, rest, err := identifier(rest[1:])
	if err != nil {
		return Table{}, fmt.Errorf("table %q: %w", text, err)
	}
	if rest != "" {
		return Table{}, fmt.Errorf("table %q: unexpected %q after the name", text, rest)
	}
	return Table{Schema: first, Name: second}, nil
}

func identifier(text string) (name, rest string, err error) {
	if strings.HasPrefix(text, `"`) {
		return quotedIdentifier(text)
	}
	end := strings.IndexAny(text, ".\" \t\n(")
	if end < 0 {
		end = len(text)
	}
	if end == 0 {
		return "", "", fmt.Errorf("a name is missing")
	}
	return strings.Map(lower, text[:end]), text[end:], nil
}

// lower folds ASCII letters and no others, as Postgres does in a UTF8 database.
func lower(r rune) rune {
	if r >= 'A' && r <= 'Z' {
		return r - 'A' + 'a'
	}
	return r
}

func quotedIdentifier(text string) (name, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		if text[i] != '"' {
			b.WriteByte(text[i])
			continue
		}
		if i+1 < len(text) && text[i+1] == '"' {
			b.WriteByte('"')
			i++
			continue
		}
		if b.Len() == 0 {
			return "", "", fmt.Errorf("a name is empty")
		}
		return b.String(), text[i+1:], nil
	}
	return "", "", fmt.Errorf("a double quote is not closed")
}

func quoteIfNeeded(name string) string {
	for i, r := range name {
		plain := r == '_' || r >= 'a' && r <= 'z' || i > 0 && (r == '$' || r >= '0' && r <= '9')
		if !plain {
			return QuoteIdentifier(name)
		}
	}
	if name == "" {
		return QuoteIdentifier(name)
	}
	return name
}
