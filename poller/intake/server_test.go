package intake_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"freshet/local/pgtest"
	"freshet/poller/backfill"
	"freshet/poller/render"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// served is a database whose publication's stream is fed to a bench, when the test says so.
type served struct {
	*pgtest.Database
	b *bench
}

// serve makes the tables, a publication and a slot, and a bench whose horizon is now.
func serve(t *testing.T, tables, publication string) served {
	db := pgtest.New(t)
	db.Exec(tables)
	db.Exec("CREATE PUBLICATION p FOR " + publication)
	db.Text("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", db.Slot())
	b := newBench(t, 3, exchange.OpenResponse{})
	b.in.Recent = backfill.NewRecent(horizon(t, db.Text("SELECT pg_current_snapshot()::text")))
	b.delivering()
	return served{Database: db, b: b}
}

func (s served) pinned() *pgx.ConnConfig {
	config, err := pgx.ParseConfig(s.DSN)
	if err != nil {
		s.b.t.Fatal(err)
	}
	maps.Copy(config.RuntimeParams, render.Pin())
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	return config
}

// stream feeds all that has happened since the last time.
func (s served) stream() {
	s.b.t.Helper()
	conn, err := pgx.ConnectConfig(s.b.t.Context(), s.pinned())
	if err != nil {
		s.b.t.Fatal(err)
	}
	defer conn.Close(s.b.t.Context())
	rows, err := conn.Query(s.b.t.Context(), fmt.Sprintf(`SELECT data FROM pg_logical_slot_get_binary_changes('%s', NULL, NULL,
		'proto_version', '1', 'publication_names', 'p', 'messages', 'true')`, s.Slot()))
	if err != nil {
		s.b.t.Fatal(err)
	}
	data, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		s.b.t.Fatal(err)
	}
	s.b.feed(data...)
	if err := s.b.lanes.Drain(s.b.t.Context()); err != nil {
		s.b.t.Fatal(err)
	}
}

// mirror applies what was sent as Redis would: by primary key, in the order in which each lane delivered.
func (s served) mirror() map[string]string {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	rows := map[string]string{}
	for _, m := range s.b.sent {
		var record map[string]json.RawMessage
		if m.Action != change.Truncate {
			if err := json.Unmarshal([]byte(m.Record), &record); err != nil {
				s.b.t.Fatal(err)
			}
		}
		key := m.Metadata.Table
		for _, c := range m.Metadata.PrimaryKey {
			key += ":" + string(record[c])
		}
		switch m.Action {
		case change.Truncate:
			for k := range rows {
				if strings.HasPrefix(k, m.Metadata.Table+":") {
					delete(rows, k)
				}
			}
		case change.Delete:
			delete(rows, key)
		default:
			rows[key] = m.Record
		}
	}
	return rows
}

const wideText = `(SELECT string_agg(md5(i::text), '') FROM generate_series(1, %d) i)`

func TestServer_AnUpdateThatLeavesItsToastedKeyAlone(t *testing.T) {
	s := serve(t, `CREATE TABLE products (id text PRIMARY KEY, name text, about text)`, "TABLE products")
	s.Exec(fmt.Sprintf(`INSERT INTO products SELECT `+wideText+`, 'Mug', repeat('x', 100)`, 70)) // 2,240 bytes that do not shrink
	s.Exec(`UPDATE products SET name = 'Cup'`)
	s.stream()
	if asked := s.b.refetch.Take(10); len(asked) != 0 {
		t.Errorf("asked for %d rows, of which everything was in the stream", len(asked))
	}
	want := s.Text(`SELECT to_json(t) FROM products t`)
	for _, got := range s.mirror() {
		if got != want {
			t.Errorf("got %.60s..., want %.60s...", got, want)
		}
	}
	if n := len(s.mirror()); n != 1 {
		t.Errorf("%d rows are left, want 1", n)
	}
}

func TestServer_ARowThatEntersTheFilterOfItsPublication(t *testing.T) {
	s := serve(t, `CREATE TABLE products (id int PRIMARY KEY, name text, about text); ALTER TABLE products ALTER about SET STORAGE external`, "TABLE products WHERE (id > 10)")
	s.Exec(fmt.Sprintf(`INSERT INTO products SELECT 1, 'Mug', `+wideText, 500))
	s.Exec(`UPDATE products SET id = 11`)
	s.stream()
	for key, got := range s.mirror() {
		if strings.Contains(got, `"about":null`) {
			t.Errorf("%s is %s", key, got)
		}
	}
	if asked := s.b.refetch.Take(10); len(asked) != 1 || asked[0].Key[0] != "11" {
		t.Errorf("asked for %+v, want row 11", asked)
	}
}

func TestServer_APartitionWithAnotherIdentityThanItsRoot(t *testing.T) {
	s := serve(t, `CREATE TABLE "full" (id int PRIMARY KEY, name text, about text) PARTITION BY RANGE (id);
		CREATE TABLE part PARTITION OF "full" FOR VALUES FROM (0) TO (100); ALTER TABLE part ALTER about SET STORAGE external;
		ALTER TABLE "full" REPLICA IDENTITY FULL`, `TABLE "full" WITH (publish_via_partition_root)`)
	s.Exec(fmt.Sprintf(`INSERT INTO "full" SELECT 1, 'Mug', `+wideText, 500))
	s.Exec(`UPDATE "full" SET id = 2`)
	s.stream()
	for key, got := range s.mirror() {
		if strings.Contains(got, `"about":null`) {
			t.Errorf("%s is %s", key, got)
		}
	}
	if asked := s.b.refetch.Take(10); len(asked) != 1 || asked[0].Key[0] != "2" {
		t.Errorf("asked for %+v, want row 2", asked)
	}
}

// Everything that can happen to a few rows, with real tuples.
func TestServer_ACoupleOfTransactions(t *testing.T) {
	s := serve(t, `CREATE TABLE products (id int PRIMARY KEY, name text, about text); CREATE TABLE "full" (id int PRIMARY KEY, name text, about text);
		CREATE TABLE "foreign" (id int PRIMARY KEY, name text); ALTER TABLE "full" REPLICA IDENTITY FULL; ALTER TABLE "full" ALTER about SET STORAGE external`, "ALL TABLES")
	for _, sql := range []string{
		`INSERT INTO products SELECT i, 'n' || i, NULL FROM generate_series(-5, 20) i`,
		`INSERT INTO "full" SELECT i, 'n' || i, repeat(md5(i::text), 100) FROM generate_series(-5, 5) i`,
		`INSERT INTO "foreign" SELECT i, 'n' || i FROM generate_series(-5, 5) i`,
		`BEGIN; UPDATE products SET id = 100 WHERE id = 1; UPDATE products SET id = 1 WHERE id = 2; UPDATE products SET id = 2 WHERE id = 100; COMMIT`,
		`UPDATE "full" SET name = 'x' WHERE id < 0`, `UPDATE "full" SET id = id + 50 WHERE id > 0`,
		`BEGIN; DELETE FROM products WHERE id = 3; INSERT INTO products VALUES (3, 'again', ''); SAVEPOINT a; DELETE FROM products; ROLLBACK TO a; COMMIT`,
		`BEGIN; TRUNCATE "foreign"; INSERT INTO "foreign" VALUES (1, 'x'); COMMIT`,
		`DELETE FROM products WHERE id > 15`, `ALTER TABLE products ADD more int DEFAULT 5; UPDATE products SET name = 'wide' WHERE id < 15`,
		`BEGIN; TRUNCATE "full"; INSERT INTO "full" SELECT i, 'new', repeat(md5(i::text), 100) FROM generate_series(-1, 1) i; UPDATE "full" SET id = 7 WHERE id = 0; COMMIT`,
		`UPDATE products SET about = E'\t"é' WHERE id = 15`,
	} {
		s.Exec(sql)
	}
	s.stream()
	s.wantEqual("products", "full")
}

// wantEqual compares what was sent with the tables.
func (s served) wantEqual(tables ...string) {
	s.b.t.Helper()
	got, want := s.mirror(), map[string]string{}
	for _, table := range tables {
		var rows map[string]string
		text := s.Text(fmt.Sprintf(`SELECT coalesce(json_object_agg(id::text, to_json(t)::text), '{}') FROM %q t`, table))
		if err := json.Unmarshal([]byte(text), &rows); err != nil {
			s.b.t.Fatal(err)
		}
		for id, row := range rows {
			want[table+":"+id] = row
		}
	}
	for key := range want {
		if got[key] != want[key] {
			s.b.t.Errorf("%s is %.100q, want %.100q", key, got[key], want[key])
		}
	}
	for key := range got {
		if _, there := want[key]; !there {
			s.b.t.Errorf("%s is %.100q, and there is no such row", key, got[key])
		}
	}
}

// TestServer_TheBackfillIsExactWhileTheStreamRuns has several writers at work while all rows are read, page by page, and rows with unchanged
// TOAST are read again. What was sent, taken in the order in which it was delivered, must in the end be the tables.
func TestServer_TheBackfillIsExactWhileTheStreamRuns(t *testing.T) {
	s := serve(t, `CREATE TABLE products (id int PRIMARY KEY, name text, about text); ALTER TABLE products ALTER about SET STORAGE external;
		CREATE TABLE "full" (id int PRIMARY KEY, name text, about text); ALTER TABLE "full" REPLICA IDENTITY FULL;
		INSERT INTO products SELECT i, 'n', CASE WHEN i % 5 = 0 THEN repeat(md5(i::text), 100) END FROM generate_series(-250, 250) i;
		INSERT INTO "full" SELECT i, 'n', 'a' FROM generate_series(-250, 250) i;
		CREATE FUNCTION pg_logical_emit_message(boolean, text, text) RETURNS pg_lsn LANGUAGE plpgsql AS
			'BEGIN PERFORM pg_sleep(0.01); RETURN pg_catalog.pg_logical_emit_message($1, $2, $3); END'`, "ALL TABLES") // what happens between a page and its mark matters most
	backfilled := make(chan struct{})
	runner := s.runner(func() { close(backfilled) })
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(ctx) }()
	writing := make(chan struct{})
	for seed := range uint64(3) {
		work.Go(func() { s.write(rand.New(rand.NewPCG(seed, 3)), backfilled) })
	}
	go func() { work.Wait(); close(writing) }()
	for over, done := false, false; !done; {
		done = over && runner.Idle() && s.b.tracker.Idle() // over: all that was written has been streamed, and rows to read again were asked for
		select {
		case <-writing:
			over = true
		default:
		}
		s.stream()
	}
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	s.wantEqual("products", "full")
	s.b.wantLanes()
}

// runner reads the rows of all our tables for the bench, in small pages. Our own functions hide Postgres' on its connection.
func (s served) runner(done func()) *backfill.Runner {
	config := s.pinned()
	config.RuntimeParams["search_path"] = "public, pg_catalog"
	var conns [2]*pgx.Conn
	for i := range conns {
		conn, err := pgx.ConnectConfig(s.b.t.Context(), config)
		if err != nil {
			s.b.t.Fatal(err)
		}
		s.b.t.Cleanup(func() { _ = conn.Close(context.Background()) })
		conns[i] = conn
	}
	var tasks []backfill.Task
	for _, r := range []relation{products, full} {
		l, err := s.b.layout(s.b.t.Context(), relationOf(s.b.t, r))
		if err != nil {
			s.b.t.Fatal(err)
		}
		tasks = append(tasks, backfill.Task{Layout: l, Progress: change.Backfill{State: change.BackfillPending}})
	}
	var tables atomic.Int32
	note := func(_ change.Table, b change.Backfill, _ func()) {
		if b.State == change.BackfillDone && tables.Add(1) == int32(len(tasks)) {
			done()
		}
	}
	runner := &backfill.Runner{
		Conn: conns[0].PgConn(), Marks: conns[1].PgConn(), Session: session, Tasks: tasks, Limits: backfill.Limits{BackfillPages: 3, BackfillPageBytes: 12288}, Pages: s.b.pages, Recent: s.b.in.Recent, Refetch: s.b.refetch,
		Note: note, Read: func(change.Table, int) {}, Log: s.b.in.Log, Deal: backfill.Deal{Lanes: s.b.lanes.Len(), Of: s.b.lanes.Number, Body: s.b.lanes.Body},
	}
	return runner.Prepare()
}

// write makes random changes until it is over; some transactions stay open for a while.
func (s served) write(r *rand.Rand, over <-chan struct{}) {
	conn, err := pgx.ConnectConfig(s.b.t.Context(), s.pinned())
	if err != nil {
		s.b.t.Error(err)
		return
	}
	defer conn.Close(context.Background())
	for {
		select {
		case <-over:
			return
		default:
		}
		table, id := []string{"products", `"full"`}[r.IntN(2)], r.IntN(501)-250
		change := []string{
			fmt.Sprintf(`UPDATE %s SET name = name || 'x' WHERE id = %d`, table, id-id%5),
			fmt.Sprintf(`UPDATE %s SET name = name || 'y' WHERE id BETWEEN %d AND %d`, table, id, id+4),
			fmt.Sprintf(`DELETE FROM %s WHERE id = %d`, table, id),
			fmt.Sprintf(`INSERT INTO %s VALUES (%d, 'new', repeat('z', %d)) ON CONFLICT (id) DO UPDATE SET about = excluded.about`, table, id, r.IntN(2)*5000),
			fmt.Sprintf(`UPDATE %s SET id = %d WHERE id = %d AND NOT EXISTS (SELECT FROM %[1]s WHERE id = %[2]d)`, table, 1000+r.IntN(100000), id),
			fmt.Sprintf(`DO $$ BEGIN UPDATE %s SET name = 'lost' WHERE id = %d; RAISE EXCEPTION 'no'; EXCEPTION WHEN raise_exception THEN END $$`, table, id),
		}[r.IntN(6)]
		if r.IntN(1500) == 0 {
			change = `TRUNCATE "full"`
		}
		if r.IntN(5) == 0 {
			change += fmt.Sprintf(`; SELECT pg_sleep(%f)`, r.Float64()/50)
		}
		_, _ = conn.Exec(s.b.t.Context(), change) // one transaction; deadlocks and double keys are part of life
	}
}
