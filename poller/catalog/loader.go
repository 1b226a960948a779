package catalog

import (
	"context"

	"github.com/jackc/pgx/v5"

	"freshet/poller/render"
)

// loader follows types to what they are made of, one query for each level, and then makes render.Types of the rows.
type loader struct {
	read   map[uint32]typeRow
	fields map[uint32][]fieldRow // by the composite type's OID
	made   map[uint32]*render.Type
}

type typeRow struct {
	OID       uint32
	Name      string
	Base      uint32 // of a domain
	Elem      uint32 // of an array
	Delimiter string // of an array: its element's
	Relation  uint32 // of a composite
	HStore    bool
}

type fieldRow struct {
	Owner uint32 // the composite type
	Name  string
	Type  uint32
}

// A true array is what get_element_type in lsyscache.c takes for one. hstore_to_json is the function behind hstore's cast
// to json, which to_json honours.
const typesSQL = `
SELECT t.oid AS oid, t.typname::text AS name, t.typbasetype AS base,
       CASE WHEN e.oid IS NULL THEN 0::oid ELSE e.oid END AS elem,
       coalesce(e.typdelim::text, ',') AS delimiter, t.typrelid AS relation,
       EXISTS (SELECT FROM pg_catalog.pg_cast c JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc
                WHERE c.castsource = t.oid AND c.casttarget = 'pg_catalog.json'::regtype
                  AND p.proname = 'hstore_to_json') AS hstore
  FROM pg_catalog.pg_type t
  LEFT JOIN pg_catalog.pg_type e
    ON e.oid = t.typelem AND t.typsubscript = 'pg_catalog.array_subscript_handler'::regproc
 WHERE t.oid = ANY($1::oid[])`

const fieldsSQL = `
SELECT t.oid AS owner, a.attname::text AS name, a.atttypid AS type
  FROM pg_catalog.pg_type t
  JOIN pg_catalog.pg_attribute a ON a.attrelid = t.typrelid
 WHERE t.oid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY t.oid, a.attnum`

func (l *loader) readAll(ctx context.Context, q Querier, oids []uint32) error {
	for oids = l.missing(oids); len(oids) > 0; {
		parts, err := l.readLevel(ctx, q, oids)
		if err != nil {
			return err
		}
		oids = l.missing(parts)
	}
	return nil
}

// missing keeps the types that are neither built in nor read yet, each once.
func (l *loader) missing(oids []uint32) (rest []uint32) {
	seen := make(map[uint32]bool)
	for _, oid := range oids {
		if _, read := l.read[oid]; oid == 0 || read || seen[oid] || render.Builtin(oid) != nil {
			continue
		}
		seen[oid] = true
		rest = append(rest, oid)
	}
	return rest
}

// readLevel reads these types and returns those they are made of.
func (l *loader) readLevel(ctx context.Context, q Querier, oids []uint32) (parts []uint32, err error) {
	types, err := query[typeRow](ctx, q, typesSQL, oids)
	if err != nil {
		return nil, err
	}
	var composites []uint32
	for _, t := range types {
		l.read[t.OID] = t
		parts = append(parts, t.Base, t.Elem)
		if t.Relation != 0 {
			composites = append(composites, t.OID)
		}
	}
	if len(composites) == 0 {
		return parts, nil
	}
	fields, err := query[fieldRow](ctx, q, fieldsSQL, composites)
	for _, f := range fields {
		l.fields[f.Owner] = append(l.fields[f.Owner], f)
		parts = append(parts, f.Type)
	}
	return parts, err
}

// make builds a type from what was read; a domain is its base type, and what is gone is text.
func (l *loader) make(oid uint32) *render.Type {
	if t := render.Builtin(oid); t != nil {
		return t
	}
	if t := l.made[oid]; t != nil {
		return t
	}
	row, ok := l.read[oid]
	if !ok {
		return &render.Type{OID: oid, Name: "unknown"}
	}
	if row.Base != 0 {
		l.made[oid] = l.make(row.Base)
		return l.made[oid]
	}
	t := &render.Type{OID: oid, Name: row.Name}
	l.made[oid] = t
	switch {
	case row.Elem != 0:
		t.Kind, t.Elem, t.Delimiter = render.Array, l.make(row.Elem), row.Delimiter[0]
	case row.Relation != 0:
		t.Kind = render.Composite
		for _, f := range l.fields[oid] {
			t.Fields = append(t.Fields, render.Field{Name: f.Name, Type: l.make(f.Type)})
		}
	case row.HStore:
		t.Kind = render.HStore
	}
	return t
}

func query[T any](ctx context.Context, q Querier, sql string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[T])
}
