package catalog

import (
	"context"

	"freshet/shared/change"
)

// tableRow is a relation as the catalogs describe it.
type tableRow struct {
	OID           uint32
	Schema        string
	Name          string
	Kind          string
	Identity      string
	Persistence   string
	Ancestors     []uint32 // the partitioned tables that it is a part of
	Partition     bool
	Children      bool
	EstimatedRows int64
	Owner         string
	Owned         bool
	Selectable    bool
	RowSecurity   bool
	PrimaryKey    []string
	Deferrable    bool
	IdentityIndex []string

	where string
}

// reltuples of a partitioned table is often not there, so its leaves are added up. indkey also holds INCLUDE columns, hence
// indnkeyatts.
const tablesSQL = `
SELECT c.oid AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       c.relreplident::text AS identity, c.relpersistence::text AS persistence,
       ARRAY(SELECT a.relid::oid FROM pg_catalog.pg_partition_ancestors(c.oid) a WHERE a.relid <> c.oid) AS ancestors,
       c.relispartition AS partition,
       c.relkind = 'r' AND EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid) AS children,
       CASE c.relkind
       WHEN 'p' THEN coalesce((SELECT sum(l.reltuples) FILTER (WHERE l.reltuples >= 0)
                                 FROM pg_catalog.pg_partition_tree(c.oid) p
                                 JOIN pg_catalog.pg_class l ON l.oid = p.relid AND p.isleaf), -1)
       ELSE c.reltuples END::int8 AS estimated_rows,
       pg_catalog.pg_get_userbyid(c.relowner)::text AS owner,
       pg_catalog.pg_has_role(c.relowner, 'USAGE') AS owned,
       pg_catalog.has_table_privilege(c.oid, 'SELECT')
         AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS selectable,
       pg_catalog.row_security_active(c.oid) AS row_security,
       ARRAY(SELECT a.attname::text
               FROM pg_catalog.pg_index i, pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
               JOIN pg_catalog.pg_attribute a ON a.attnum = k.attnum
              WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid AND k.place <= i.indnkeyatts
              ORDER BY k.place) AS primary_key,
       EXISTS (SELECT FROM pg_catalog.pg_index i
                WHERE i.indrelid = c.oid AND i.indisprimary AND NOT i.indimmediate) AS deferrable,
       ARRAY(SELECT a.attname::text
               FROM pg_catalog.pg_index i, pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
               JOIN pg_catalog.pg_attribute a ON a.attnum = k.attnum
              WHERE i.indrelid = c.oid AND i.indisreplident AND a.attrelid = c.oid AND k.place <= i.indnkeyatts
              ORDER BY k.place) AS identity_index
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND ((n.nspname::text, c.relname::text) IN (SELECT * FROM unnest($1::text[], $2::text[]))
        OR n.nspname::text = ANY ($3::text[])
           AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't')`

const columnsSQL = `
SELECT a.attrelid AS owner, a.attname::text AS name, a.atttypid AS type, a.attnum AS number, a.atttypmod AS modifier,
       a.attgenerated <> '' AS generated, a.attnotnull AS not_null
  FROM pg_catalog.pg_attribute a
 WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attrelid, a.attnum`

type columnRow struct {
	Owner     uint32
	Name      string
	Type      uint32
	Number    int16
	Modifier  int32
	Generated bool
	NotNull   bool
}

func readTables(ctx context.Context, q Querier, patterns []Pattern) ([]tableRow, error) {
	var schemas, names, whole = []string{}, []string{}, []string{}
	for _, p := range patterns {
		if p.Any {
			whole = append(whole, p.Schema)
			continue
		}
		schemas, names = append(schemas, p.Schema), append(names, p.Name)
	}
	return query[tableRow](ctx, q, tablesSQL, schemas, names, whole)
}

func readColumns(ctx context.Context, q Querier, tables []tableRow) (map[uint32][]Column, error) {
	oids := make([]uint32, len(tables))
	for i, t := range tables {
		oids[i] = t.OID
	}
	rows, err := query[columnRow](ctx, q, columnsSQL, oids)
	columns := make(map[uint32][]Column, len(tables))
	for _, r := range rows {
		columns[r.Owner] = append(columns[r.Owner], Column{
			Name: r.Name, Type: r.Type, Number: r.Number, Modifier: r.Modifier, Generated: r.Generated, NotNull: r.NotNull,
		})
	}
	return columns, err
}

// publishable leaves out views and the like.
func (r tableRow) publishable() bool { return r.Kind == "r" || r.Kind == "p" }

func (r tableRow) table(columns []Column) Table {
	t := Table{
		OID: r.OID, Table: change.Table{Schema: r.Schema, Name: r.Name}, Kind: r.Kind[0], Columns: columns,
		PrimaryKey: r.PrimaryKey, Deferrable: r.Deferrable, Identity: r.Identity[0], Where: r.where,
		IsPartition: r.Partition, HasChildren: r.Children,
		Unlogged: r.Persistence == "u", Temporary: r.Persistence == "t", EstimatedRows: r.EstimatedRows,
		Owner: r.Owner, Owned: r.Owned, HasSelect: r.Selectable, RowSecurity: r.RowSecurity,
	}
	switch t.Identity {
	case 'd':
		t.IdentityColumns = r.PrimaryKey
	case 'i':
		t.IdentityColumns = r.IdentityIndex
	case 'f':
		for _, c := range columns {
			t.IdentityColumns = append(t.IdentityColumns, c.Name)
		}
	}
	return t
}
