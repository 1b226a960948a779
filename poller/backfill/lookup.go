package backfill

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"freshet/poller/row"
)

// lookup finds out which keys that were found in Redis have a row.
type lookup struct {
	layout *row.Layout
	sql    string
	forms  []*regexp.Regexp // of the parts' texts, nil where any text may be one
}

// newLookup prepares for the keys of one table.
func newLookup(ctx context.Context, conn *pgconn.PgConn, l *row.Layout) (*lookup, error) {
	types, err := typeNames(ctx, conn, l)
	if err != nil {
		return nil, err
	}
	k := &lookup{layout: l, sql: lookupSQL(l, types)}
	for _, oid := range l.KeyTypes() {
		k.forms = append(k.forms, forms[oid])
	}
	return k, nil
}

// typeNames spells the types of the primary key's columns for a cast. The modifier of -1 gives names that do not cut a value short.
// https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-CATALOG
func typeNames(ctx context.Context, conn *pgconn.PgConn, l *row.Layout) ([]string, error) {
	const sql = `SELECT pg_catalog.format_type(atttypid, -1) FROM pg_catalog.pg_attribute WHERE attrelid = $1::regclass AND attname = $2 AND NOT attisdropped`
	var names []string
	for _, column := range l.PrimaryKey {
		result := conn.ExecParams(ctx, sql, arguments([]string{l.Table.SQL(), column}), nil, nil, nil).Read()
		if result.Err != nil {
			return nil, locked(result.Err, fmt.Sprintf("read the type of column %q of", column), l)
		}
		if len(result.Rows) != 1 {
			return nil, fmt.Errorf("table %s has no column %q any more", l.Table, column)
		}
		names = append(names, string(result.Rows[0][0]))
	}
	return names, nil
}

// lookupSQL takes the candidates as arrays, one for each part of the primary key. Each row has the snapshot, the candidate's number, its
// parts as Postgres writes them, and those of the row that was found, null when there is none.
func lookupSQL(l *row.Layout, types []string) string {
	var casts, canon, found, on, arrays, names []string
	for i, name := range l.PrimaryKey {
		n := strconv.Itoa(i + 1)
		casts = append(casts, "u.p"+n+"::"+types[i]+" AS c"+n)
		canon = append(canon, "k.c"+n)
		found = append(found, "t."+columnList([]string{name}))
		on = append(on, "t."+columnList([]string{name})+" = k.c"+n)
		arrays = append(arrays, "$"+n+"::text[]")
		names = append(names, "p"+n)
	}
	return "SELECT (SELECT pg_current_snapshot()::text), k.n, " + strings.Join(canon, ", ") + ", " + strings.Join(found, ", ") +
		" FROM (SELECT u.n, " + strings.Join(casts, ", ") + " FROM unnest(" + strings.Join(arrays, ", ") + ") WITH ORDINALITY AS u(" + strings.Join(names, ", ") + ", n) OFFSET 0) k" +
		" LEFT JOIN " + rowsOf(l) + " t ON " + strings.Join(on, " AND ")
}

// rowsOf is the table in a FROM clause, without the rows that the stream leaves out.
func rowsOf(l *row.Layout) string {
	if l.Where == "" {
		return l.From
	}
	return "(SELECT * FROM " + l.From + " WHERE (" + l.Where + "\n))"
}

// forms are what the texts of some types look like. They keep most of what cannot be a key from Postgres, which refuses a whole page for
// one such text; and they tell the parts of a composite key apart.
var forms = map[uint32]*regexp.Regexp{
	pgtype.Int2OID: number, pgtype.Int4OID: number, pgtype.Int8OID: number, pgtype.OIDOID: number,
	pgtype.UUIDOID:    regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`),
	pgtype.BoolOID:    regexp.MustCompile(`^(true|false)$`),
	pgtype.NumericOID: regexp.MustCompile(`^(-?[0-9]+(\.[0-9]+)?|NaN|-?Infinity)$`),
	pgtype.DateOID:    regexp.MustCompile(`^([0-9]{4,}-[0-9]{2}-[0-9]{2}( BC)?|-?infinity)$`),
}

var number = regexp.MustCompile(`^(0|-?[1-9][0-9]{0,18})$`)

// fate is what a key that was found in Redis is.
type fate int

const (
	alive   fate = iota // a row has it
	orphan              // no row has it, but one could
	alien               // no row can have it: it is not how a primary key is written
	unknown             // it can be read in too many ways
)

// suspect is a key that was found in Redis, and what has come out about it.
type suspect struct {
	key  []byte
	fate fate
	rows [][]string // primary keys that would have this key, as Postgres writes them
}

// mostSplits bounds in how many ways a composite key of texts with hyphens is read.
const mostSplits = 64

// splits are the ways to read text as the parts of a primary key.
func (k *lookup) splits(text string) (all [][]string, ok bool) {
	parts := make([]string, len(k.forms))
	ok = k.split(text, parts, 0, &all)
	return all, ok
}

func (k *lookup) split(text string, parts []string, i int, all *[][]string) bool {
	if i == len(parts)-1 {
		if text == "" || k.forms[i] != nil && !k.forms[i].MatchString(text) {
			return true
		}
		if len(*all) == mostSplits {
			return false
		}
		parts[i] = text
		*all = append(*all, append([]string(nil), parts...))
		return true
	}
	for at := 1; at < len(text); at++ {
		if text[at] != '-' || k.forms[i] != nil && !k.forms[i].MatchString(text[:at]) {
			continue
		}
		parts[i] = text[:at]
		if !k.split(text[at+1:], parts, i+1, all) {
			return false
		}
	}
	return true
}

// candidate is one way to read one key.
type candidate struct {
	of    *suspect
	parts []string
}

// find decides what became of keys, as one or several snapshots see it; the oldest of them is returned. texts are the keys' parts in the
// place of the primary key.
func (k *lookup) find(ctx context.Context, conn *pgconn.PgConn, suspects []*suspect, texts []string) (Snapshot, error) {
	var all []candidate
	for i, s := range suspects {
		s.fate = alien
		splits, ok := k.splits(texts[i])
		if !ok {
			s.fate = unknown
			continue
		}
		for _, parts := range splits {
			all = append(all, candidate{of: s, parts: parts})
		}
	}
	snapshot, err := CurrentSnapshot(ctx, conn)
	if err != nil || len(all) == 0 {
		return snapshot, err
	}
	return snapshot, k.ask(ctx, conn, all)
}

// ask looks candidates up. One that Postgres cannot read as a key spoils the statement for all: then the halves are asked for, so that it is
// found. What it finds is newer than a snapshot that was taken before.
func (k *lookup) ask(ctx context.Context, conn *pgconn.PgConn, all []candidate) error {
	arrays := make([][]byte, len(k.forms))
	for i := range arrays {
		arrays[i] = array(all, i)
	}
	result := conn.ExecParams(ctx, k.sql, arrays, nil, nil, nil).Read()
	var refused *pgconn.PgError
	switch {
	case errors.As(result.Err, &refused) && notAKey(refused.Code):
		if len(all) == 1 {
			return nil
		}
		half := len(all) / 2
		if err := k.ask(ctx, conn, all[:half]); err != nil {
			return err
		}
		return k.ask(ctx, conn, all[half:])
	case result.Err != nil:
		return locked(result.Err, "look up keys of", k.layout)
	}
	for _, columns := range result.Rows {
		n, err := strconv.Atoi(string(columns[1]))
		if err != nil || n < 1 || n > len(all) {
			return fmt.Errorf("look up keys of %s: candidate %q of %d", k.layout.Table, columns[1], len(all))
		}
		k.judge(all[n-1], texts(columns[2:2+len(k.forms)]), texts(columns[2+len(k.forms):]))
	}
	return nil
}

// judge takes in what was found about a candidate: how Postgres writes it, and the row that equals it. A row may equal it and still have
// another key: texts that are equal can differ in their letters.
func (k *lookup) judge(c candidate, canon, found []string) {
	if !k.writes(canon, c.parts) {
		return
	}
	if k.writes(found, c.parts) {
		c.of.fate = alive
		return
	}
	if c.of.fate != alive {
		c.of.fate = orphan
		c.of.rows = append(c.of.rows, canon)
	}
}

// writes says whether a primary key comes out as these parts of a key. Parts that are null are no primary key.
func (k *lookup) writes(key, parts []string) bool {
	if key == nil {
		return false
	}
	for i := range key {
		if part, ok := k.layout.KeyPart(i, key[i]); !ok || part != parts[i] {
			return false
		}
	}
	return true
}

// texts are columns as strings; nil when one is null.
func texts(columns [][]byte) []string {
	all := make([]string, len(columns))
	for i, c := range columns {
		if c == nil {
			return nil
		}
		all[i] = string(c)
	}
	return all
}

// notAKey says that the text of a candidate, and not something about the server, is what Postgres refused: a data exception, or the
// constraint of a domain.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
func notAKey(code string) bool { return strings.HasPrefix(code, "22") || strings.HasPrefix(code, "23") }

// array spells part i of all candidates as an array of texts.
// https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
func array(all []candidate, i int) []byte {
	b := []byte{'{'}
	for n, c := range all {
		if n > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		for _, char := range []byte(c.parts[i]) {
			if char == '"' || char == '\\' {
				b = append(b, '\\')
			}
			b = append(b, char)
		}
		b = append(b, '"')
	}
	return append(b, '}')
}
