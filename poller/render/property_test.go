package render_test

import (
	"testing"

	"pgregory.net/rapid"

	"freshet/local/pgtest"
	"freshet/poller/catalog"
)

// TestAppend_AnyArrayAndComposite puts strings that are hard to quote into containers inside containers, and asks Postgres
// for the text and the JSON of each.
func TestAppend_AnyArrayAndComposite(t *testing.T) {
	conn := connect(t, pgtest.New(t).DSN)
	run(t, conn, `CREATE TYPE leaf AS (s text, ss text[]);
		CREATE DOMAIN leaves AS leaf[];
		CREATE TYPE branch AS (n numeric, l leaf, ls leaf[], dls leaves[], j json)`)
	oid := func(name string) (oid uint32) {
		if err := conn.QueryRow(t.Context(), `SELECT $1::regtype::oid`, name).Scan(&oid); err != nil {
			t.Fatal(err)
		}
		return oid
	}
	tree := oid("branch[]")
	types := new(catalog.Types)
	if err := types.Load(t.Context(), conn, []uint32{tree}); err != nil {
		t.Fatal(err)
	}
	text := rapid.Ptr(rapid.StringOfN(rapid.SampledFrom([]rune("\"\\,;{}()[]= \t\n'NUL\u00a0ülnx1😀")), 0, 8, -1), true)
	rapid.Check(t, func(r *rapid.T) {
		a, b := text.Draw(r, "a"), text.Draw(r, "b")
		list := rapid.SliceOfN(text, 0, 4).Draw(r, "list")
		var got, want string
		err := conn.QueryRow(t.Context(), `
			SELECT v::text, to_json(v)::text FROM (SELECT ROW($1::text, $3::text[])::leaf AS x, ROW($2::text, ARRAY[$3::text[], $3::text[]])::leaf AS y) AS l,
			LATERAL (SELECT ARRAY[ROW(1.50, x, ARRAY[x, NULL, y], ARRAY[ARRAY[x]::leaves, ARRAY[y, x]::leaves], to_json($3::text[])), NULL,
				ROW(NULL, y, NULL, '{}', to_json($2::text))]::branch[] AS v) AS b`, a, b, list).Scan(&got, &want)
		if err != nil {
			r.Fatal(err)
		}
		out, ok := types.Get(tree).Append(nil, []byte(got))
		if string(out) != want || !ok {
			r.Fatalf("text %s\n got %s, %v\nwant %s", got, out, ok, want)
		}
	})
}
