package catalog_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"freshet/local/pgtest"
	"freshet/poller/catalog"
	"freshet/poller/render"
	"freshet/shared/change"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func connect(t *testing.T, db *pgtest.Database) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), db.DSN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func find(t *testing.T, q catalog.Querier, text string) (found []catalog.Table, missing []catalog.Pattern) {
	t.Helper()
	patterns, err := catalog.ParsePatterns(text)
	if err != nil {
		t.Fatal(err)
	}
	if found, missing, err = catalog.Tables(t.Context(), q, patterns); err != nil {
		t.Fatal(err)
	}
	return found, missing
}

func names(tables []catalog.Table) (all []string) {
	for _, t := range tables {
		all = append(all, t.Table.String())
	}
	return all
}

func TestTables_ReadsColumnsAndKeys(t *testing.T) {
	db := pgtest.New(t)
	db.Exec(`CREATE TABLE lines (gone int, item text NOT NULL, order_id int8, line int2, total numeric GENERATED ALWAYS AS (line * 2) STORED,
			PRIMARY KEY (line, order_id) INCLUDE (item));
		ALTER TABLE lines DROP gone;
		INSERT INTO lines VALUES ('a', 1, 1), ('b', 1, 2); ANALYZE lines`)
	found, missing := find(t, connect(t, db), "lines")
	want := []catalog.Table{{
		Table: change.Table{Schema: "public", Name: "lines"}, Kind: 'r', Identity: 'd',
		Columns: []catalog.Column{
			{Name: "item", Type: 25, Number: 2, Modifier: -1, NotNull: true}, {Name: "order_id", Type: 20, Number: 3, Modifier: -1, NotNull: true},
			{Name: "line", Type: 21, Number: 4, Modifier: -1, NotNull: true}, {Name: "total", Type: 1700, Number: 5, Modifier: -1, Generated: true},
		},
		PrimaryKey: []string{"line", "order_id"}, IdentityColumns: []string{"line", "order_id"},
		EstimatedRows: 2, Owned: true, HasSelect: true,
	}}
	if diff := cmp.Diff(want, found, cmpopts.IgnoreFields(catalog.Table{}, "OID", "Owner")); diff != "" || len(missing) > 0 {
		t.Errorf("missing %v; %s", missing, diff)
	}
	if found[0].OID == 0 || found[0].Owner == "" {
		t.Errorf("got %+v", found[0])
	}
}

func TestTables_ReadsIdentities(t *testing.T) {
	db := pgtest.New(t)
	db.Exec(`CREATE TABLE a_default (id int PRIMARY KEY, x int);
		CREATE TABLE b_nokey (id int, x int);
		CREATE TABLE c_full (id int PRIMARY KEY, x int); ALTER TABLE c_full REPLICA IDENTITY FULL;
		CREATE TABLE d_index (id int PRIMARY KEY, x int NOT NULL, y int NOT NULL); CREATE UNIQUE INDEX by_x ON d_index (y, x) INCLUDE (id);
		ALTER TABLE d_index REPLICA IDENTITY USING INDEX by_x;
		CREATE TABLE e_nothing (id int PRIMARY KEY, x int); ALTER TABLE e_nothing REPLICA IDENTITY NOTHING`)
	found, _ := find(t, connect(t, db), "public.*")
	want := map[string][]string{"a_default": {"id"}, "b_nokey": nil, "c_full": {"id", "x"}, "d_index": {"y", "x"}, "e_nothing": nil}
	got := make(map[string][]string)
	for _, table := range found {
		got[table.Table.Name] = table.IdentityColumns
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func TestTables_MatchesPatterns(t *testing.T) {
	db := pgtest.New(t)
	db.Exec(`CREATE SCHEMA shop; CREATE SCHEMA "My Schema"; CREATE SCHEMA archive;
		CREATE TABLE products (id int PRIMARY KEY); CREATE TABLE other (id int);
		CREATE TABLE shop.orders (id int PRIMARY KEY); CREATE UNLOGGED TABLE shop.unlogged (id int PRIMARY KEY);
		CREATE VIEW shop.seen AS SELECT 1; CREATE TEMP TABLE passing (id int);
		CREATE TABLE "My Schema"."X.y" (id int PRIMARY KEY);
		CREATE TABLE shop.sales (id int, PRIMARY KEY (id)) PARTITION BY RANGE (id);
		CREATE TABLE shop.sales_1 PARTITION OF shop.sales FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id);
		CREATE TABLE archive.sales_1_1 PARTITION OF shop.sales_1 FOR VALUES FROM (0) TO (5);
		INSERT INTO shop.sales VALUES (1), (2), (3); ANALYZE archive.sales_1_1;
		CREATE TABLE base (id int PRIMARY KEY); CREATE TABLE heir (PRIMARY KEY (id)) INHERITS (base)`)
	conn := connect(t, db)
	for _, c := range []struct {
		patterns       string
		found, missing []string
	}{
		{"products", []string{"public.products"}, nil},
		{`shop.*, products, "My Schema".*`, []string{`"My Schema"."X.y"`, "public.products", "shop.orders", "shop.sales", "shop.unlogged"}, nil},
		{"archive.*", []string{"archive.sales_1_1"}, nil}, // its root is not named
		{"archive.*, shop.sales", []string{"shop.sales"}, nil},
		{"shop.sales_1, archive.sales_1_1", []string{"shop.sales_1"}, nil},
		{"nowhere.*, product, products", []string{"public.products"}, []string{"nowhere.*", "public.product"}},
		{"pg_catalog.*, information_schema.*", nil, []string{"pg_catalog.*", "information_schema.*"}},
		{"shop.seen", nil, []string{"shop.seen"}},
	} {
		found, missing := find(t, conn, c.patterns)
		var spelled []string
		for _, m := range missing {
			spelled = append(spelled, m.String())
		}
		if diff := cmp.Diff(c.found, names(found)); diff != "" {
			t.Errorf("%s: found %s", c.patterns, diff)
		}
		if diff := cmp.Diff(c.missing, spelled); diff != "" {
			t.Errorf("%s: missing %s", c.patterns, diff)
		}
	}
	if _, missing := find(t, conn, "shop.seen, nowhere"); missing[0].Kind != 'v' || missing[1].Kind != 0 {
		t.Errorf("got kinds %q and %q, want v and none", missing[0].Kind, missing[1].Kind)
	}
	tables, _ := find(t, conn, "base, shop.orders WHERE (id > 1), shop.*, archive.*")
	base, orders, sales, unlogged := tables[0], tables[1], tables[2], tables[3]
	switch {
	case !base.HasChildren || base.From() != `ONLY "public"."base"`:
		t.Errorf("got %+v", base)
	case orders.Where != "id > 1" || orders.HasChildren || orders.EstimatedRows != -1:
		t.Errorf("got %+v", orders)
	case sales.Kind != 'p' || sales.EstimatedRows != 3 || sales.PrimaryKey[0] != "id" || sales.From() != `"shop"."sales"`:
		t.Errorf("got %+v", sales)
	case !unlogged.Unlogged || unlogged.Temporary:
		t.Errorf("got %+v", unlogged)
	}
}

func TestTables_TellsWhatTheRoleMay(t *testing.T) {
	db := pgtest.New(t)
	role := db.Name
	db.Exec(`CREATE TABLE closed (id int PRIMARY KEY); CREATE TABLE hidden (id int PRIMARY KEY); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
		CREATE ROLE ` + role + `; GRANT SELECT ON hidden TO ` + role)
	t.Cleanup(func() { db.Exec(`DROP OWNED BY ` + role + `; DROP ROLE ` + role) })
	conn := connect(t, db)
	if _, err := conn.Exec(t.Context(), `SET ROLE `+role); err != nil {
		t.Fatal(err)
	}
	tables, _ := find(t, conn, "closed, hidden")
	closed, hidden := tables[0], tables[1]
	if closed.HasSelect || closed.Owned || closed.RowSecurity || !hidden.HasSelect || !hidden.RowSecurity {
		t.Errorf("got %+v and %+v", closed, hidden)
	}
}

func typeOf(t *testing.T, conn *pgx.Conn, types *catalog.Types, name string) *render.Type {
	t.Helper()
	var oid uint32
	if err := conn.QueryRow(t.Context(), `SELECT $1::text::regtype::oid`, name).Scan(&oid); err != nil {
		t.Fatal(err)
	}
	if err := types.Load(t.Context(), conn, []uint32{oid, 23}); err != nil {
		t.Fatal(err)
	}
	return types.Get(oid)
}

func TestTypes_ResolvesWhatTypesAreMadeOf(t *testing.T) {
	db := pgtest.New(t)
	db.Exec(`CREATE DOMAIN price AS numeric; CREATE DOMAIN tax AS price; CREATE TYPE mood AS ENUM ('ok');
		CREATE TYPE part AS (gone int, p tax[], m mood, b box[]); ALTER TYPE part DROP ATTRIBUTE gone; CREATE DOMAIN parts AS part[]`)
	conn, types := connect(t, db), new(catalog.Types)
	if got := typeOf(t, conn, types, "tax"); got != render.Builtin(1700) {
		t.Errorf("a domain of a domain: got %+v", got)
	}
	if got := typeOf(t, conn, types, "mood"); got.Kind != render.Text || got.Name != "mood" {
		t.Errorf("an enum: got %+v", got)
	}
	got := typeOf(t, conn, types, "parts")
	if got.Kind != render.Array || got.Elem.Kind != render.Composite || len(got.Elem.Fields) != 3 {
		t.Fatalf("a domain over an array: got %+v", got)
	}
	p, m, b := got.Elem.Fields[0], got.Elem.Fields[1], got.Elem.Fields[2]
	if p.Name != "p" || p.Type.Kind != render.Array || p.Type.Elem.Kind != render.Number || m.Type.Name != "mood" || b.Type.Delimiter != ';' {
		t.Errorf("got %+v", got.Elem.Fields)
	}
}

func TestTypes_ReadsAnewWhatHasChanged(t *testing.T) {
	db := pgtest.New(t)
	db.Exec(`CREATE TYPE pair AS (a int)`)
	conn, types := connect(t, db), new(catalog.Types)
	before := typeOf(t, conn, types, "pair")
	db.Exec(`ALTER TYPE pair ADD ATTRIBUTE b bool`)
	after := typeOf(t, conn, types, "pair")
	if out, ok := after.Append(nil, []byte("(1,t)")); string(out) != `{"a":1,"b":true}` || !ok || len(before.Fields) != 1 {
		t.Errorf("got %s, %v", out, ok)
	}
}

func TestTypes_WhatIsGoneIsText(t *testing.T) {
	db := pgtest.New(t)
	conn, types := connect(t, db), new(catalog.Types)
	if err := types.Load(t.Context(), conn, []uint32{4_000_000_000}); err != nil {
		t.Fatal(err)
	}
	for _, oid := range []uint32{4_000_000_000, 4_000_000_001, 0} {
		if out, ok := types.Get(oid).Append(nil, []byte("x")); string(out) != `"x"` || !ok {
			t.Errorf("%d: got %s, %v", oid, out, ok)
		}
	}
}

// A built-in type needs no query.
func TestTypes_BuiltinTypesCostNothing(t *testing.T) {
	if err := new(catalog.Types).Load(t.Context(), nil, []uint32{16, 23, 1009, 25}); err != nil {
		t.Fatal(err)
	}
}
