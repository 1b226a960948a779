package catalog

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"freshet/shared/change"
)

// Table is what the poller must know of a table.
type Table struct {
	OID     uint32
	Table   change.Table
	Kind    byte // r ordinary, p partitioned
	Columns []Column
	// PrimaryKey names the key's columns in the order of its index; empty when the table has none.
	PrimaryKey []string
	// Deferrable says that the primary key may be violated for the moment, and so is no replica identity.
	Deferrable bool
	// Identity is pg_class.relreplident: d default, n nothing, f full, i index. IdentityColumns are the columns that it
	// stands for, none when updates and deletes of the table cannot be published.
	Identity        byte
	IdentityColumns []string
	// Where is the condition of the pattern that named the table.
	Where string

	IsPartition bool // of a root that is not among the tables
	HasChildren bool // other tables inherit from this ordinary one: SELECT needs ONLY
	Unlogged    bool // its changes are not in WAL
	Temporary   bool
	// EstimatedRows is the planner's estimate; -1 when the table was never analyzed.
	EstimatedRows int64

	Owner       string
	Owned       bool // by a role that the session has: needed to publish the table
	HasSelect   bool
	RowSecurity bool // policies hide rows from the session; the stream does not know them
}

// Column is a column of a Table, dropped ones left out.
type Column struct {
	Name      string
	Type      uint32
	Number    int16 // pg_attribute.attnum
	Modifier  int32 // pg_attribute.atttypmod
	Generated bool  // pgoutput does not send it
	NotNull   bool
}

// From is the table as a FROM clause names it, so that the rows of tables that inherit from it stay out, as they do in the stream.
func (t Table) From() string {
	if t.Kind == 'r' {
		return "ONLY " + t.Table.SQL()
	}
	return t.Table.SQL()
}

// Tables finds the tables that the patterns name, in the order of their names, and the patterns that name none. A partition whose
// root is found too is left out, since it is published as a part of the root. A table's own pattern goes before schema.*.
func Tables(ctx context.Context, q Querier, patterns []Pattern) (found []Table, missing []Pattern, err error) {
	rows, err := readTables(ctx, q, patterns)
	if err != nil {
		return nil, nil, fmt.Errorf("read tables: %w", err)
	}
	rows, missing = match(rows, patterns)
	columns, err := readColumns(ctx, q, rows)
	if err != nil {
		return nil, nil, fmt.Errorf("read columns: %w", err)
	}
	for _, row := range rows {
		found = append(found, row.table(columns[row.OID]))
	}
	slices.SortFunc(found, func(a, b Table) int {
		return cmp.Or(cmp.Compare(a.Table.Schema, b.Table.Schema), cmp.Compare(a.Table.Name, b.Table.Name))
	})
	return found, missing, nil
}

// match keeps the rows that are tables to be published, each with the condition of its pattern.
func match(rows []tableRow, patterns []Pattern) (kept []tableRow, missing []Pattern) {
	all := make(map[uint32]bool)
	for _, p := range patterns {
		hit := false
		for i, row := range rows {
			if row.Schema != p.Schema || !p.Any && row.Name != p.Name {
				continue
			}
			if !row.publishable() {
				p.Kind = row.Kind[0]
				continue
			}
			hit, all[row.OID] = true, true
			if !p.Any {
				rows[i].where = p.Where
			}
		}
		if !hit {
			missing = append(missing, p)
		}
	}
	for _, row := range rows {
		covered := slices.ContainsFunc(row.Ancestors, func(oid uint32) bool { return all[oid] })
		if all[row.OID] && !covered {
			kept = append(kept, row)
		}
	}
	return kept, missing
}
