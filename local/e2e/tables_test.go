package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// A way is how rows come to Redis: by the stream, or because they were there before.
var ways = []string{"stream", "backfill"}

// bothWays makes a rig of schema and runs rows before the programs are started, or after.
func bothWays(t *testing.T, tables, schema, rows string, then func(t *testing.T, r *rig)) {
	t.Helper()
	t.Parallel()
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, tables, schema)
			if way == "backfill" {
				r.exec(rows)
			}
			r.start()
			if way == "stream" {
				r.exec(rows)
			}
			then(t, r)
		})
	}
}

func TestPartitionsInTwoLevels(t *testing.T) {
	const rows = `INSERT INTO days SELECT date '2026-01-01' + n % 60, n, 'v' || n FROM generate_series(1, 300) n`
	bothWays(t, "days", families, rows, func(t *testing.T, r *rig) {
		r.wantEqual(patience, "days")
		r.exec("UPDATE days SET v = v || '!' WHERE id % 3 = 0")
		r.exec("UPDATE days SET day = day + 40 WHERE id % 7 = 0") // from one partition into another, and into the default one
		r.exec("UPDATE days SET id = id + 1001 WHERE id % 11 = 0")
		r.exec("DELETE FROM days WHERE id % 13 = 0")
		r.wantEqual(patience, "days")
		r.exec("CREATE TABLE days_3 PARTITION OF days FOR VALUES FROM ('2030-01-01') TO ('2031-01-01')") // a new one, and one that comes with rows
		r.exec("INSERT INTO days VALUES ('2030-05-05', 1, 'new')")
		r.wantEqual(patience, "days")
		if keys := r.keys(); !strings.HasPrefix(keys[0], "sequin:days:") || !strings.HasPrefix(keys[len(keys)-1], "sequin:days:") {
			t.Errorf("keys carry the names of partitions: %s ... %s", keys[0], keys[len(keys)-1])
		}
		r.exec("TRUNCATE days")
		r.wantEqual(patience, "days")
	})
}

func TestNamesThatNeedQuotes(t *testing.T) {
	names := []string{`"Mixed Case"`, `"with.dot"`, `"quote""d"`, `"größe 😀"`, `"a,b"`, `"semi;colon'"`, `"back\slash"`, `"select"`, `"%s{x}"`}
	schema, rows := "CREATE SCHEMA \"My.Schema\";", ""
	var tables []string
	for i, name := range names {
		place := "public."
		if i%2 == 1 {
			place = `"My.Schema".`
		}
		schema += "CREATE TABLE " + place + name + ` ("Id.x" int, "Ü ""k" text, "V,v" text, PRIMARY KEY ("Ü ""k", "Id.x"));`
		rows += "INSERT INTO " + place + name + " SELECT n, 'k' || n, 'v' FROM generate_series(1, 20) n;"
		tables = append(tables, place+name)
	}
	bothWays(t, strings.Join(tables, ", "), schema, rows, func(t *testing.T, r *rig) {
		r.wantEqual(patience, tables...)
		for _, table := range tables {
			r.exec("UPDATE " + table + ` SET "V,v" = 'w' WHERE "Id.x" < 5; UPDATE ` + table + ` SET "Id.x" = -1 WHERE "Id.x" = 7; DELETE FROM ` + table + ` WHERE "Id.x" = 8`)
		}
		r.wantEqual(patience, tables...)
		r.exec("TRUNCATE " + tables[0] + ", " + tables[1])
		r.wantEqual(patience, tables...)
	})
}

const twoShops = `CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE a.items (id int PRIMARY KEY, v text); CREATE TABLE b.items (id int PRIMARY KEY, v text);`

func TestTablesOfOneNameAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a.items, b.items", twoShops)
	r.launchFn()
	output, code := runOnce(t, binaries(t).Poller, r.pollerEnv())
	wantReport(t, output, code, 1, "a.items", "b.items", "{table_schema}", "FN_KEY")
}

func TestTablesOfOneNameWithTheSchemaInTheKey(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "a.items, b.items", twoShops)
			r.fnExtra["FN_KEY"] = "shop:{table_schema}.{table_name}:{primary_key}"
			const rows = "INSERT INTO a.items SELECT n, 'a' FROM generate_series(1, 20) n; INSERT INTO b.items SELECT n, 'b' FROM generate_series(1, 20) n"
			if way == "backfill" {
				r.exec(rows)
			}
			r.start()
			if way == "stream" {
				r.exec(rows)
			}
			want := []string{"SELECT 'shop:a.items:' || id, to_json(i)::text FROM a.items i", "SELECT 'shop:b.items:' || id, to_json(i)::text FROM b.items i"}
			r.wantExactly(patience, want...)
			r.exec("UPDATE a.items SET v = 'x', id = -id WHERE id < 5; DELETE FROM b.items WHERE id = 3")
			r.wantExactly(patience, want...)
			r.exec("TRUNCATE a.items")
			r.wantExactly(patience, want...)
		})
	}
}

func TestGeneratedColumnsAreLeftOutBothWays(t *testing.T) {
	const schema = `CREATE TABLE boxes (id int PRIMARY KEY, w int, area int GENERATED ALWAYS AS (w * w) STORED, h int)`
	bothWays(t, "boxes", schema, "INSERT INTO boxes (id, w, h) SELECT n, n, -n FROM generate_series(1, 20) n", func(t *testing.T, r *rig) {
		const want = "SELECT 'sequin:boxes:' || id, row_to_json(b)::text FROM (SELECT id, w, h FROM boxes) b"
		r.wantExactly(patience, want)
		r.exec("UPDATE boxes SET w = w + 1")
		r.wantExactly(patience, want)
		output, code := runOnce(t, binaries(t).Poller, r.pollerEnv(), "check")
		wantReport(t, output, code, 0, "area", "public.boxes", "generated")
	})
}

func TestIdentities(t *testing.T) {
	const schema = `
		CREATE TABLE whole (id int PRIMARY KEY, v text, big text); ALTER TABLE whole REPLICA IDENTITY FULL; ALTER TABLE whole ALTER big SET STORAGE EXTERNAL;
		CREATE TABLE indexed (id int PRIMARY KEY, mail text NOT NULL, v text, big text, UNIQUE (mail, id)); ALTER TABLE indexed ALTER big SET STORAGE EXTERNAL;
		ALTER TABLE indexed REPLICA IDENTITY USING INDEX indexed_mail_id_key;`
	const rows = `INSERT INTO whole SELECT n, 'v', repeat(md5(n::text), 300) FROM generate_series(1, 30) n;
		INSERT INTO indexed SELECT n, n || '@x', 'v', repeat(md5(n::text), 300) FROM generate_series(1, 30) n`
	bothWays(t, "whole, indexed", schema, rows, func(t *testing.T, r *rig) {
		r.wantEqual(patience, "whole", "indexed")
		r.exec("UPDATE whole SET v = 'w' WHERE id < 9; UPDATE whole SET id = id + 100 WHERE id % 5 = 0; DELETE FROM whole WHERE id % 7 = 0")
		r.exec("UPDATE indexed SET v = 'w' WHERE id < 9; UPDATE indexed SET id = id + 100 WHERE id % 5 = 0; UPDATE indexed SET mail = mail || 'y' WHERE id % 3 = 0; DELETE FROM indexed WHERE id % 7 = 0")
		r.wantEqual(patience, "whole", "indexed")
		r.exec("ALTER TABLE whole REPLICA IDENTITY DEFAULT; ALTER TABLE indexed REPLICA IDENTITY FULL") // while the stream runs
		r.exec("UPDATE whole SET v = 'z', id = id + 1000 WHERE id < 20; UPDATE indexed SET v = 'z', id = id + 1000 WHERE id < 20; DELETE FROM whole WHERE id % 11 = 0; DELETE FROM indexed WHERE id % 11 = 0")
		r.wantEqual(patience, "whole", "indexed")
	})
}

// What cannot be mirrored is refused, with what to do.
func TestTablesThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, schema string
		says         []string
	}{
		{"no identity", "CREATE TABLE t (id int)", []string{"public.t", "no primary key", "ADD PRIMARY KEY"}},
		{"identity nothing", "CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY NOTHING", []string{"public.t", "REPLICA IDENTITY"}},
		{"published without an identity", "CREATE TABLE t (id int); CREATE PUBLICATION freshet FOR TABLE t", []string{"public.t", "no primary key"}},
		{"a column list", "CREATE TABLE t (id int PRIMARY KEY, v int, w int); CREATE PUBLICATION freshet FOR TABLE t (id, v)", []string{"public.t", "rows or columns", "DROP TABLE"}},
		{"a row filter", "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE PUBLICATION freshet FOR TABLE t WHERE (id > 1)", []string{"public.t", "rows or columns", "DROP TABLE"}},
		{"an identity without the key", "CREATE TABLE t (id int PRIMARY KEY, m text NOT NULL UNIQUE); ALTER TABLE t REPLICA IDENTITY USING INDEX t_m_key", []string{"public.t", "lacks its primary key"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "t", c.schema)
			r.launchFn()
			for _, command := range []string{"check", ""} {
				output, code := runOnce(t, binaries(t).Poller, r.pollerEnv(), strings.Fields(command)...)
				wantReport(t, output, code, 1, c.says...)
			}
		})
	}
}

// alterations change a table. Most rows do not change with it, so the stream says nothing of them; where no row does, not even of the table.
var alterations = []string{
	`ALTER TABLE goods ADD COLUMN colour text DEFAULT 'red'`,
	`UPDATE goods SET colour = 'blue' WHERE id < 5`,
	`ALTER TABLE goods ADD COLUMN made timestamptz DEFAULT '2026-01-01Z', DROP COLUMN v; INSERT INTO goods (id) VALUES (1001)`,
	`ALTER TABLE goods RENAME colour TO "Color"; UPDATE goods SET price = 3 WHERE id = 8`,
	`ALTER TABLE goods ALTER price TYPE numeric(12,4); DELETE FROM goods WHERE id = 2`,
	`ALTER TYPE place ADD ATTRIBUTE zip text; UPDATE goods SET at = ROW('s', 2, '123')::place WHERE id = 4`,
	`ALTER TYPE place RENAME ATTRIBUTE zip TO code`,
	`ALTER TYPE place DROP ATTRIBUTE nr; UPDATE goods SET at = ROW('t', '9')::place WHERE id = 6`,
	`BEGIN; ALTER TABLE goods DROP CONSTRAINT goods_pkey; ALTER TABLE goods ADD PRIMARY KEY (sku); COMMIT; UPDATE goods SET price = 1 WHERE id = 7`,
	`BEGIN; ALTER TABLE goods RENAME TO goods_old; CREATE TABLE goods (id int PRIMARY KEY, v text); INSERT INTO goods VALUES (1, 'other'); COMMIT`,
	`INSERT INTO goods VALUES (2, 'is published too')`,
}

const goods = `CREATE TYPE place AS (street text, nr int);
CREATE TABLE goods (id int PRIMARY KEY, sku text NOT NULL UNIQUE DEFAULT md5(random()::text), v text, price numeric(12,2) DEFAULT 2, at place DEFAULT ROW('main', 1));
INSERT INTO goods (id, v) SELECT n, 'v' FROM generate_series(1, 50) n;`

func TestAlteredTables(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	r := newRig(t, "goods", goods)
	r.start()
	r.wantEqual(patience, "goods")
	var keys []string
	for id := 1; id <= 50; id++ {
		keys = append(keys, fmt.Sprintf("sequin:goods:%d", id))
	}
	stop := r.watchValues(keys, func(key, value string) error {
		if at := gjson.Get(value, "at"); at.Exists() && !at.IsObject() {
			return fmt.Errorf("%s showed a composite value that could not be read: %s", key, value)
		}
		return nil
	})
	for _, sql := range alterations {
		r.exec(sql)
		r.wantEqual(patience, "goods")
		if t.Failed() {
			t.Fatal("after: ", sql)
		}
	}
	stop()
}

// The same while nobody looks: the sink remembers what its keys were made of.
func TestTablesAlteredWhileThePollerIsAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, "goods", goods)
	r.start()
	r.wantEqual(patience, "goods")
	for i, sql := range alterations {
		if i%4 == 0 { // four at a time
			r.stop(r.poller)
		}
		r.exec(sql)
		if i%4 == 3 || i == len(alterations)-1 {
			r.launchPoller()
			r.wantEqual(patience, "goods")
		}
	}
}

func TestTableAlteredDuringItsBackfill(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	r := newRig(t, "goods", goods)
	r.exec("INSERT INTO goods (id, v) SELECT n, repeat('x', 500) FROM generate_series(1001, 20000) n")
	r.pollExtra["POLLER_BACKFILL_PAGE_BYTES"] = "10000"
	r.start()
	for n, sql := range []string{`ADD COLUMN a int DEFAULT 1`, `DROP COLUMN price`, `ADD COLUMN b text DEFAULT 'b', DROP COLUMN v`} {
		eventually(t, patience, func() error { // in the middle of a walk through the table
			state, err := r.redis.HGet(t.Context(), "freshet:freshet:state", "backfill:public.goods").Result()
			if err == nil && !strings.Contains(state, "running") {
				err = fmt.Errorf("the backfill is %s", state)
			}
			return err
		})
		r.exec("ALTER TABLE goods " + sql)
		r.exec("UPDATE goods SET id = id + 100000 WHERE id = $1", 1500+n)
	}
	r.wantEqual(patience, "goods")
}

// The old name's keys cannot be followed. That is said, and they can be removed.
func TestRenamedTable(t *testing.T) {
	t.Parallel()
	r := newRig(t, "goods", goods)
	r.start()
	r.wantEqual(patience, "goods")
	r.exec("ALTER TABLE goods RENAME TO wares")
	r.wantExit(r.poller, 1)
	for _, says := range []string{"public.goods", "renamed", "truncate"} {
		if !strings.Contains(r.poller.Log(), says) {
			t.Errorf("the poller does not say %q", says)
		}
	}
	r.exec("UPDATE wares SET v = 'changed' WHERE id < 10; INSERT INTO wares (id) VALUES (777); DELETE FROM wares WHERE id = 20")
	r.pollExtra["POLLER_TABLES"] = "wares"
	r.launchPoller()
	r.wantEqual(patience, "wares")
	if !strings.Contains(r.poller.Log(), "not followed any more") {
		t.Error("the poller does not speak of the old keys")
	}
	if status, answer := r.post("", []byte(`{"id": "by hand", "messages": [{"action": "truncate", "record": null, "metadata": {"table_schema": "public", "table_name": "goods", "primary_key": ["id"]}}]}`)); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	r.wantExactly(patience, "SELECT 'sequin:wares:' || id, to_json(w)::text FROM wares w")
}
