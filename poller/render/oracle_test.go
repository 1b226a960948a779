package render_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/tidwall/gjson"

	"freshet/local/pgtest"
	"freshet/poller/catalog"
	"freshet/poller/pgoutput"
	"freshet/poller/render"
	"freshet/shared/change"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// unlike makes the database's own settings different from Pin, so that a value shows when they are used.
const unlike = `
DO $$ BEGIN
	EXECUTE format('ALTER DATABASE %I SET DateStyle = ''German, DMY''', current_database());
	EXECUTE format('ALTER DATABASE %I SET TimeZone = ''Asia/Kolkata''', current_database());
	EXECUTE format('ALTER DATABASE %I SET IntervalStyle = ''iso_8601''', current_database());
	EXECUTE format('ALTER DATABASE %I SET extra_float_digits = -5', current_database());
	EXECUTE format('ALTER DATABASE %I SET bytea_output = ''escape''', current_database());
END $$`

// TestAppend_IsToJSON is the promise of this package: for each type, alone and inside arrays, domains and composites of it, what
// Postgres says to_json(row) is, we make from the columns' text, be it from a SELECT or from the stream.
func TestAppend_IsToJSON(t *testing.T) {
	db := pgtest.New(t)
	db.Exec(unlike)
	conn := connect(t, db.DSN)
	values := withOwnTypes(t, conn)
	tables := makeTables(t, conn, values)

	text := func(query string) string { return one(t, conn, query) }
	text(fmt.Sprintf(`SELECT pg_create_logical_replication_slot('%s', 'pgoutput')`, db.Slot()))
	run(t, conn, `CREATE PUBLICATION p FOR ALL TABLES`)
	for i, table := range tables {
		fillTable(t, conn, table, values[table.typeName])
		tables[i].want = column(t, conn, `SELECT to_json(t)::text FROM `+table.SQL()+` t ORDER BY id`)
	}
	streamed := stream(t, conn, db.Slot())
	for _, table := range tables {
		t.Run(table.typeName, func(t *testing.T) {
			compare(t, "SELECT", selected(t, conn, table), table.want)
			compare(t, "stream", streamed[table.Name], table.want)
		})
	}
}

// TestAppend_KnowsEveryBuiltinType fails when a version of Postgres has a type that the list of hard values lacks.
func TestAppend_KnowsEveryBuiltinType(t *testing.T) {
	conn := connect(t, pgtest.New(t).DSN)
	names := column(t, conn, `SELECT oid::regtype FROM pg_type WHERE typtype IN ('b', 'r', 'm') AND typcategory <> 'A' AND oid < 16384
		UNION ALL SELECT 'int2vector' UNION ALL SELECT 'oidvector'`)
	known := make(map[string]bool)
	for name := range hardValues {
		known[one(t, conn, fmt.Sprintf(`SELECT '%s'::regtype`, name))] = true
	}
	for _, name := range names {
		if !known[name] && notForColumns[name] == "" {
			t.Errorf("type %s is tested with no value", name)
		}
	}
	missing := column(t, conn, `SELECT t.oid::text FROM pg_type t LEFT JOIN pg_type e ON e.oid = t.typelem
		WHERE t.typtype IN ('b', 'r', 'm') AND t.oid < 10000 AND coalesce(e.typtype, 'b') NOT IN ('c', 'p')`)
	for _, oid := range missing {
		var n uint32
		if fmt.Sscan(oid, &n); render.Builtin(n) == nil {
			t.Errorf("type %s is not among the built-in ones", oid)
		}
	}
}

// TestNotForColumns holds the excuses against Postgres.
func TestNotForColumns(t *testing.T) {
	conn := connect(t, pgtest.New(t).DSN)
	for name := range notForColumns {
		if _, err := conn.PgConn().Exec(t.Context(), fmt.Sprintf(`SELECT '1'::%s`, name)).ReadAll(); err == nil {
			t.Errorf("type %s does accept a value", name)
		}
	}
}

type testTable struct {
	change.Table
	typeName string
	want     []string
}

// withOwnTypes adds types that are not built in.
func withOwnTypes(t *testing.T, conn *pgx.Conn) map[string][]string {
	run(t, conn, `CREATE TYPE mood AS ENUM ('sad', 'it''s "fine"', 'NULL', 'a,b', '{x}');
		CREATE TYPE textrange AS RANGE (subtype = text, multirange_type_name = textranges);
		CREATE TYPE "Odd ""name" AS ("a ""b" int, "ünï" text, c mood);
		CREATE TYPE nothing AS ()`)
	all := map[string][]string{
		"mood":         {"sad", `it's "fine"`, "NULL", "a,b", "{x}"},
		"textrange":    {"empty", `["a ""b",c)`, `["{,}","~\\"]`},
		"textranges":   {"{}", `{["a,""b","b}"),[c,d)}`},
		`"Odd ""name"`: {"(,,)", `(1,"",sad)`, `(-1,"a ""q"" \\ ,()","it's ""fine""")`},
		"nothing":      {"()"},
	}
	if one(t, conn, `SELECT count(*) FROM pg_available_extensions WHERE name IN ('hstore', 'citext')`) == "2" {
		run(t, conn, `CREATE EXTENSION hstore; CREATE EXTENSION citext`)
		all["hstore"] = []string{"", `a=>1`, `"a b"=>NULL, "NULL"=>"NULL", "q\"\\"=>"x=>y, \"z\"", "e"=>""`}
		all["citext"] = hardText
	}
	for name, values := range hardValues {
		all[name] = values
	}
	return all
}

// makeTables makes for each type a table with everything that can be made of it.
func makeTables(t *testing.T, conn *pgx.Conn, values map[string][]string) (tables []testTable) {
	for name := range values {
		n := len(tables)
		run(t, conn, fmt.Sprintf(`
			CREATE DOMAIN d%[1]d AS %[2]s;
			CREATE DOMAIN dd%[1]d AS d%[1]d;
			CREATE DOMAIN da%[1]d AS %[2]s[];
			CREATE TYPE c%[1]d AS (v %[2]s, "a b" %[2]s[], d d%[1]d, t text);
			CREATE DOMAIN dc%[1]d AS c%[1]d;
			CREATE TYPE n%[1]d AS (c c%[1]d, cs c%[1]d[], dc dc%[1]d, das da%[1]d[]);
			CREATE TABLE t%[1]d (id int PRIMARY KEY, v %[2]s, a %[2]s[], d dd%[1]d, da d%[1]d[], ad da%[1]d, ada da%[1]d[],
				c c%[1]d, ca c%[1]d[], n n%[1]d, na n%[1]d[])`, n, name))
		tables = append(tables, testTable{Table: change.Table{Schema: "public", Name: fmt.Sprintf("t%d", n)}, typeName: name})
	}
	slices.SortFunc(tables, func(a, b testTable) int { return strings.Compare(a.typeName, b.typeName) })
	return tables
}

// fillTable inserts a row with all columns for each value, one of nulls, and one of empty and odd arrays.
func fillTable(t *testing.T, conn *pgx.Conn, table testTable, values []string) {
	n := strings.TrimPrefix(table.Name, "t")
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = literal(v) + "::" + table.typeName
	}
	all := fmt.Sprintf("ARRAY[%s, NULL]::%s[]", strings.Join(list, ", "), table.typeName)
	const full = `($id, $v, $all, $v, $all, $square, $nested, $c, ARRAY[[$c], [NULL::c$n]], $deep, ARRAY[$deep]),
		(-$id, NULL, $odd, NULL, '{}', '{}', '{}', ROW(NULL, '{}', NULL, '')::c$n, '{}', ROW(NULL, '{}', NULL, '{}')::n$n, '{}')`
	var rows []string
	for i, v := range list {
		row := full
		for _, part := range [][2]string{
			{"$deep", "ROW($c, ARRAY[$c, NULL], $c, $nested)::n$n"},
			{"$nested", "ARRAY[$all::da$n, NULL::da$n, $square::da$n]"},
			{"$c", "ROW($v, $all, $v, $text)::c$n"},
			{"$odd", "array_fill($v, ARRAY[2, 1, 2], ARRAY[0, -1, 5])"},
			{"$square", "ARRAY[[$v, NULL], [NULL, $v]]"},
			{"$all", all}, {"$id", strconv.Itoa(i + 1)}, {"$n", n}, {"$text", literal(hardText[i%len(hardText)])}, {"$v", v},
		} {
			row = strings.ReplaceAll(row, part[0], part[1])
		}
		rows = append(rows, row)
	}
	run(t, conn, `INSERT INTO `+table.SQL()+` VALUES (0`+strings.Repeat(", NULL", 10)+`), `+strings.Join(rows, ", "))
}

// selected renders the table from the text of a SELECT, as a backfill does.
func selected(t *testing.T, conn *pgx.Conn, table testTable) (objects []string) {
	found, missing, err := catalog.Tables(t.Context(), conn, []catalog.Pattern{{Schema: table.Schema, Name: table.Name}})
	if err != nil || len(missing) > 0 {
		t.Fatal(err, missing)
	}
	columns := found[0].Columns
	types := load(t, conn, columns, func(c catalog.Column) uint32 { return c.Type })
	result := conn.PgConn().ExecParams(t.Context(), `SELECT * FROM `+table.SQL()+` ORDER BY id`, nil, nil, nil, nil).Read()
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	for _, row := range result.Rows {
		o := object{t: t}
		for i, text := range row {
			o.add(columns[i].Name, types.Get(columns[i].Type), text)
		}
		objects = append(objects, o.String())
	}
	return objects
}

// stream renders every inserted row that the slot sends, by the table's name, in the order of their id.
func stream(t *testing.T, conn *pgx.Conn, slot string) map[string][]string {
	result := conn.PgConn().ExecParams(t.Context(), fmt.Sprintf(`SELECT data FROM pg_logical_slot_get_binary_changes('%s', NULL, NULL,
		'proto_version', '1', 'publication_names', 'p')`, slot), nil, nil, nil, []int16{pgx.BinaryFormatCode}).Read()
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	decoder, types := pgoutput.New(), new(catalog.Types)
	objects, ids := make(map[string][]string), make(map[string]map[string]int)
	for _, row := range result.Rows {
		m, err := decoder.Decode(row[0])
		if err != nil {
			t.Fatal(err)
		}
		switch m.Kind {
		case pgoutput.RelationSeen:
			types = load(t, conn, m.Relation.Columns, func(c pgoutput.Column) uint32 { return c.Type })
			ids[m.Relation.Table.Name] = make(map[string]int)
		case pgoutput.Insert:
			name := m.Relation.Table.Name
			objects[name] = append(objects[name], rendered(t, types, m))
		}
	}
	for _, list := range objects {
		slices.SortFunc(list, func(a, b string) int { return int(gjson.Get(a, "id").Int() - gjson.Get(b, "id").Int()) })
	}
	return objects
}

func rendered(t *testing.T, types *catalog.Types, m *pgoutput.Message) string {
	o := object{t: t}
	for i, v := range m.New {
		column := m.Relation.Columns[i]
		switch v.Kind {
		case pgoutput.Null:
			o.add(column.Name, nil, nil)
		case pgoutput.Text:
			o.add(column.Name, types.Get(column.Type), v.Text)
		default:
			t.Fatalf("column %s came as %c", column.Name, v.Kind)
		}
	}
	return o.String()
}

func load[C any](t *testing.T, conn *pgx.Conn, columns []C, of func(C) uint32) *catalog.Types {
	t.Helper()
	types, oids := new(catalog.Types), []uint32(nil)
	for _, c := range columns {
		oids = append(oids, of(c))
	}
	if err := types.Load(t.Context(), conn, oids); err != nil {
		t.Fatal(err)
	}
	return types
}

// object builds a row's JSON.
type object struct {
	t    *testing.T
	text []byte
}

func (o *object) add(name string, typ *render.Type, text []byte) {
	o.text = append(change.AppendString(append(o.text, ','), []byte(name)), ':')
	if text == nil {
		o.text = append(o.text, "null"...)
		return
	}
	var ok bool
	if o.text, ok = typ.Append(o.text, text); !ok {
		o.t.Errorf("column %s: %s cannot be read as %s", name, text, typ.Name)
	}
}

func (o *object) String() string { return "{" + strings.TrimPrefix(string(o.text), ",") + "}" }

func compare(t *testing.T, way string, got, want []string) {
	t.Helper()
	if len(got) != len(want) || len(want) == 0 {
		t.Fatalf("%s: got %d rows, want %d", way, len(got), len(want))
	}
	for i := range want {
		if got[i] == want[i] {
			continue
		}
		t.Errorf("%s: row %d differs", way, i)
		gjson.Parse(want[i]).ForEach(func(name, value gjson.Result) bool {
			if mine := gjson.Get(got[i], gjson.Escape(name.Str)); mine.Raw != value.Raw {
				t.Errorf("column %s\n got %s\nwant %s", name.Str, mine.Raw, value.Raw)
			}
			return true
		})
	}
}

// connect makes a session as the poller makes them.
func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range render.Pin() {
		config.RuntimeParams[name] = value
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func run(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%s\n%v", sql, err)
	}
}

// column is the first column of a result, as text.
func column(t *testing.T, conn *pgx.Conn, sql string) (texts []string) {
	t.Helper()
	results, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s\n%v", sql, err)
	}
	for _, row := range results[0].Rows {
		texts = append(texts, string(row[0]))
	}
	return texts
}

func one(t *testing.T, conn *pgx.Conn, sql string) string {
	t.Helper()
	return column(t, conn, sql)[0]
}

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
