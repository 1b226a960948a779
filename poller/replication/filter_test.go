package replication_test

import (
	"fmt"
	"os"
	"testing"
)

const filtered = `CREATE TYPE mood AS ENUM ('ok', 'sad');
	CREATE TABLE goods (dropped int, id int PRIMARY KEY, price numeric, name text, live boolean, at timestamptz, tags text[], mood mood, "Odd ""name" int);
	ALTER TABLE goods DROP dropped; ALTER TABLE goods REPLICA IDENTITY FULL; CREATE TABLE other (id int PRIMARY KEY);`

// haveFilters says whether the server has row filters; before Postgres 15 a WHERE is refused.
func (s source) haveFilters() bool {
	s.t.Helper()
	if s.Text("SHOW server_version_num") >= "150000" {
		return true
	}
	_, found := s.check("goods WHERE (price > 10), other")
	wantFindings(s.t, "Postgres 14", found, "publications have row filters from Postgres 15 on")
	return false
}

// filterOf is the row filter of a table in the publication.
func (s source) filterOf(table string) string {
	return s.Text(`SELECT coalesce(pg_get_expr(prqual, prrelid), 'none') FROM pg_publication_rel WHERE prrelid = $1::regclass`, table)
}

// A filter that was set is recognised at the next start, however it was spelled.
func TestPrepare_SetsAFilterOnce(t *testing.T) {
	s := newSource(t, filtered)
	if !s.haveFilters() {
		return
	}
	for _, c := range []struct{ where, set string }{
		{"price > 10", "(price > (10)::numeric)"},
		{"price>10 -- a comment", "(price > (10)::numeric)"},
		{"goods.live", "live"},
		{"live IS NOT FALSE AND name IN ('a', 'b)', 'it''s')", "((live IS NOT FALSE) AND (name = ANY (ARRAY['a'::text, 'b)'::text, 'it''s'::text])))"},
		{`"Odd ""name" BETWEEN 1 AND id`, `(("Odd ""name" >= 1) AND ("Odd ""name" <= id))`},
		{"price * 2 > 10.50 OR NOT live", "(((price * (2)::numeric) > 10.50) OR (NOT live))"},
		{"length(name) > 3 AND coalesce(price, 0) >= 0", "((length(name) > 3) AND (COALESCE(price, (0)::numeric) >= (0)::numeric))"},
		{"name COLLATE \"C\" > 'm'", `((name COLLATE "C") > 'm'::text)`},
		{"(price > 10) AND (CASE WHEN live THEN price ELSE 0 END > 5)", "none of our business"},
		{"tags = '{a,b}' OR tags IS NULL", "none of our business"},
		{"name LIKE 'a%' AND live = true", "none of our business"},
		{"(id, price) > (1, 2)", "none of our business"},
	} {
		s.prepare("goods WHERE (" + c.where + "), other")
		if got := s.filterOf("goods"); got != c.set && c.set != "none of our business" {
			t.Errorf("%s: the filter is %s, want %s", c.where, got, c.set)
		}
		survey, found := s.check("goods WHERE (" + c.where + "), other")
		if len(found) > 0 || len(survey.Refiltered) > 0 {
			t.Errorf("%s: is not recognised: %v, to be changed: %d", c.where, found, len(survey.Refiltered))
		}
		if got := s.filterOf("other"); got != "none" {
			t.Errorf("the other table has the filter %s", got)
		}
	}
	s.prepare("goods, other")
	if got := s.filterOf("goods"); got != "none" {
		t.Errorf("without a WHERE the filter is %s", got)
	}
	s.prepare("other, goods WHERE (id > 7)")
	if got := s.filterOf("goods"); got != "(id > 7)" {
		t.Errorf("the filter is %s", got)
	}
	if left := s.Text(`SELECT count(*) FROM pg_class WHERE relname = 'goods'`) + s.Text(`SELECT count(*) FROM pg_publication`); left != "11" {
		t.Errorf("the examination left something: %s", left)
	}
}

func TestCheck_Conditions(t *testing.T) {
	s := newSource(t, filtered+`CREATE TABLE plain (id int PRIMARY KEY, price int); CREATE FUNCTION mine(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 1';
		CREATE TABLE parts (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); CREATE TABLE parts_1 PARTITION OF parts DEFAULT; ALTER TABLE parts REPLICA IDENTITY FULL`)
	if !s.haveFilters() {
		return
	}
	for tables, want := range map[string][]string{
		"plain WHERE (id > 5), parts WHERE (v > 0)":  nil,
		"plain WHERE (price > 5)":                    {`the replica identity of table public.plain lacks columns of its WHERE`},
		"goods WHERE (prize > 5)":                    {`the WHERE of table public.goods cannot be used: column "prize" does not exist`},
		"goods WHERE (price >)":                      {`syntax error`},
		"goods WHERE (price)":                        {`must be type boolean`},
		"goods WHERE (id IN (SELECT id FROM other))": {`subquery`},
		"goods WHERE (mine(id))":                     {`the WHERE of table public.goods cannot be used`},
		"goods WHERE (mood = 'ok')":                  {`User-defined types are not allowed`},
		"goods WHERE (at > now())":                   {`mutable functions`},
		"goods WHERE (ctid IS NULL)":                 {`ystem column`},
	} {
		_, found := s.check(tables)
		wantFindings(t, tables, found, want...)
	}
}

// What the preflight refuses would have broken the application: this is how.
func TestCheck_AFilterBeyondTheIdentityBreaksUpdates(t *testing.T) {
	s := newSource(t, `CREATE TABLE plain (id int PRIMARY KEY, price int); INSERT INTO plain VALUES (1, 1); `+filtered)
	if !s.haveFilters() {
		return
	}
	s.Exec(`CREATE PUBLICATION q FOR TABLE plain WHERE (price > 5)`)
	if _, err := s.connect().Exec(t.Context(), `UPDATE plain SET price = 2`); err == nil {
		t.Error("the update succeeded: the finding is not needed any more")
	}
}

func TestCheck_FiltersOfOthers(t *testing.T) {
	role := fmt.Sprintf("freshet_filter_%d", os.Getpid())
	s := newSource(t, filtered+fmt.Sprintf(`CREATE ROLE %s LOGIN REPLICATION; GRANT SELECT ON goods, other TO %[1]s`, role))
	t.Cleanup(func() { s.Exec(fmt.Sprintf(`DROP OWNED BY %s; DROP ROLE %[1]s`, role)) })
	if !s.haveFilters() {
		return
	}
	for _, c := range []struct {
		publication, tables string
		owner, stranger     []string
	}{
		{`FOR TABLE goods WHERE (price > 10)`, "goods WHERE (price > 10)", nil, nil},
		{`FOR TABLE goods WHERE (price > 20)`, "goods WHERE (price > 10)", []string{"its filter is (price > (20)::numeric), and it was not freshet that set it"}, []string{"does not own both"}},
		{`FOR TABLE goods`, "goods WHERE (price > 10)", nil, []string{"publishes other rows of table public.goods than POLLER_TABLES says: it publishes all rows"}},
		{`FOR TABLE goods WHERE (price > 20)`, "goods", []string{"leaves out rows or columns"}, []string{"leaves out rows or columns"}},
		{`FOR TABLE other WHERE (id > 20), goods`, "goods", nil, nil},
		{`FOR ALL TABLES`, "goods WHERE (price > 10)", []string{"cannot leave out rows"}, []string{"cannot leave out rows"}},
		{`FOR TABLES IN SCHEMA public`, "goods WHERE (price > 10), other", []string{"cannot leave out rows of table public.goods"}, []string{"cannot leave out rows of table public.goods"}},
	} {
		s.Exec(`CREATE PUBLICATION p ` + c.publication)
		_, found := s.check(c.tables)
		wantFindings(t, "owner: "+c.publication, found, c.owner...)
		_, found = s.as(role).check(c.tables)
		wantFindings(t, "stranger: "+c.publication, found, c.stranger...)
		s.Exec(`DROP PUBLICATION p`)
	}
}
