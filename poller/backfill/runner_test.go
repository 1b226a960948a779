package backfill_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"freshet/local/pgtest"
	"freshet/poller/backfill"
	"freshet/poller/catalog"
	"freshet/poller/render"
	"freshet/poller/row"
	"freshet/shared/change"
)

const session = "5e55"

// deal is for the pages of backfills.
var deal = backfill.Deal{Lanes: 3, Of: func(hash uint64) int { return int(hash % 3) }, Body: func(size int) []byte { return make([]byte, 0, size) }}

// stage is a database with a runner; the test plays the stream and the sink.
type stage struct {
	*pgtest.Database
	t      testing.TB
	runner *backfill.Runner

	mu    sync.Mutex
	notes []change.Backfill
	next  int // number of the next page
	sizes []int

	blanked atomic.Int32 // requests
}

func newStage(t testing.TB, tables string) *stage {
	s := &stage{Database: pgtest.New(t), t: t}
	s.Exec(tables)
	s.runner = &backfill.Runner{
		Conn: s.connect().PgConn(), Marks: s.connect().PgConn(), Session: session, Limits: backfill.Limits{BackfillPages: 4, BackfillPageBytes: 4096},
		Pages: &backfill.Pages{}, Recent: backfill.NewRecent(snapshot(t, s.Text("SELECT pg_current_snapshot()::text"))), Refetch: backfill.NewRefetch(),
		Note: func(_ change.Table, b change.Backfill, _ func()) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.notes = append(s.notes, b)
		},
		Read: func(change.Table, int) {}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Deal: deal,
	}
	return s
}

func (s *stage) connect() *pgx.Conn {
	s.t.Helper()
	config, err := pgx.ParseConfig(s.DSN)
	if err != nil {
		s.t.Fatal(err)
	}
	for name, value := range render.Pin() {
		config.RuntimeParams[name] = value
	}
	conn, err := pgx.ConnectConfig(s.t.Context(), config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// layout is a table as the catalog has it now.
func (s *stage) layout(table string) *row.Layout {
	s.t.Helper()
	conn := s.connect()
	patterns, err := catalog.ParsePatterns(table)
	if err != nil {
		s.t.Fatal(err)
	}
	found, _, err := catalog.Tables(s.t.Context(), conn, patterns)
	if err != nil || len(found) != 1 {
		s.t.Fatalf("table %s: found %d, %v", table, len(found), err)
	}
	var names []string
	var oids []uint32
	for _, c := range found[0].Columns {
		if !c.Generated {
			names, oids = append(names, c.Name), append(oids, c.Type)
		}
	}
	types := &catalog.Types{}
	if err := types.Load(s.t.Context(), conn, oids); err != nil {
		s.t.Fatal(err)
	}
	kinds := make([]*render.Type, len(oids))
	for i, oid := range oids {
		kinds[i] = types.Get(oid)
	}
	l, err := row.New(found[0].Table, names, kinds, found[0].PrimaryKey, false)
	if err != nil {
		s.t.Fatal(err)
	}
	l.From = found[0].From()
	return l
}

// run starts the runner over the tables, each from its cursor.
func (s *stage) run(tasks ...backfill.Task) {
	s.runner.Tasks = tasks
	s.runner.Prepare()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.runner.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		<-done // with the error of the connection, if it was reading
	})
}

// page waits until the next page is on its way.
func (s *stage) page() *backfill.Page {
	s.t.Helper()
	s.next++
	var p *backfill.Page
	s.wait(fmt.Sprintf("page %d", s.next), func() bool {
		p = s.runner.Pages.Find(fmt.Sprintf("%s/%d", session, s.next))
		return p != nil
	})
	size := 0
	for _, r := range p.List() {
		size += len(r.Record)
	}
	s.sizes = append(s.sizes, size)
	return p
}

func (s *stage) settle(p *backfill.Page) {
	s.runner.Pages.Remove(p)
	p.Settled()
}

func (s *stage) wait(what string, reached func() bool) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); !reached(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// rows plays the stream until the backfill is done, and returns the records by page.
func (s *stage) rows() (records []string) {
	s.t.Helper()
	for !s.runner.Idle() {
		p := s.page()
		for _, r := range p.List() {
			records = append(records, string(r.Record))
		}
		s.settle(p)
	}
	return records
}

func (s *stage) wantRows(table string, got []string) {
	s.t.Helper()
	var want []string
	text := s.Text("SELECT coalesce(json_agg(r), '[]') FROM (SELECT to_json(t)::text AS r FROM " + table + " t) x")
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		s.t.Fatal(err)
	}
	got = slices.Clone(got)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		s.t.Errorf("%s: the backfill brought %d rows, want %d:\n%.2000s\nwant\n%.2000s", table, len(got), len(want), strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (s *stage) lastNote() change.Backfill {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.notes) == 0 {
		return change.Backfill{}
	}
	return s.notes[len(s.notes)-1]
}

func pending(l *row.Layout) backfill.Task {
	return backfill.Task{Layout: l, Progress: change.Backfill{State: change.BackfillPending}}
}

// byKey has all rows read in the order of the primary key, as those are that meet a condition.
func byKey(l *row.Layout) backfill.Task {
	t := pending(l)
	t.Progress.Where = "true"
	return t
}

// courses are both orders in which rows are read.
var courses = map[string]func(*row.Layout) backfill.Task{"by place": pending, "by key": byKey}

func TestRunner_EveryRowOfEveryKindOfKeyOnce(t *testing.T) {
	s := newStage(t, `
		CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); CREATE DOMAIN code AS varchar(9) CHECK (value <> 'no'); CREATE SCHEMA "My ""Shop";
		CREATE TABLE negative (id int PRIMARY KEY, v text); INSERT INTO negative SELECT i, 'v' || i FROM generate_series(-300, 300) i;
		CREATE TABLE big (id bigint PRIMARY KEY); INSERT INTO big VALUES (-9223372036854775808), (0), (9223372036854775807);
		CREATE TABLE empty (id int PRIMARY KEY);
		CREATE TABLE sixteen (id int PRIMARY KEY); INSERT INTO sixteen SELECT generate_series(1, 16);
		CREATE TABLE texts (id text PRIMARY KEY); INSERT INTO texts SELECT s || i FROM unnest(ARRAY['', '''', '"', '\', E'\n', 'é', '😀', '%', '$1', 'a b', 'A', 'a', '-', 'NULL']) s, generate_series(1, 9) i; INSERT INTO texts VALUES ('');
		CREATE TABLE sorted (id text COLLATE "C" PRIMARY KEY); INSERT INTO sorted SELECT md5(i::text) FROM generate_series(1, 99) i;
		CREATE TABLE uuids (id uuid PRIMARY KEY, n int); INSERT INTO uuids SELECT md5(i::text)::uuid, i FROM generate_series(1, 99) i;
		CREATE TABLE moods (m mood, n int, PRIMARY KEY (m, n)); INSERT INTO moods SELECT m, i FROM unnest(enum_range(NULL::mood)) m, generate_series(-9, 9) i;
		CREATE TABLE "My ""Shop"."The Pairs" ("b""x" int, a date, "select" code, v int, PRIMARY KEY ("select", a, "b""x"));
		INSERT INTO "My ""Shop"."The Pairs" SELECT i % 3, '2000-02-28'::date + i, 'c' || i % 4, i FROM generate_series(-40, 40) i;
		CREATE TABLE numbers (n numeric, f float8, PRIMARY KEY (n, f));
		INSERT INTO numbers SELECT n, f FROM unnest('{NaN,-Infinity,Infinity,0.10,1e40,-5}'::numeric[]) n, unnest('{NaN,-Infinity,Infinity,0.1,1e-300,-0.30000000000000004}'::float8[]) f;
		CREATE TABLE times (at timestamptz, d interval, PRIMARY KEY (at, d)); INSERT INTO times SELECT at, d FROM unnest('{infinity,-infinity,2020-01-01 10:00:00.000001+02,0044-03-15 12:00 BC}'::timestamptz[]) at, unnest('{1 day,-3 mons 2 days,00:00:00.5}'::interval[]) d, generate_series(1,1);
		CREATE TABLE fixed (c char(5), y bytea, b boolean, PRIMARY KEY (c, y, b)); INSERT INTO fixed SELECT c, y, b FROM unnest('{a,ab,"",é}'::text[]) c, unnest(ARRAY['', '\x00', '\xff00']::bytea[]) y, unnest('{t,f}'::bool[]) b;
		CREATE TABLE arrays (a int[], r int4range, PRIMARY KEY (a, r)); INSERT INTO arrays SELECT ARRAY[i, NULL, -i], int4range(i, i + 2) FROM generate_series(-15, 15) i;
		CREATE TABLE made (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED, v text); INSERT INTO made (id, v) SELECT i, '' FROM generate_series(1, 20) i;
		CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child () INHERITS (parent); INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2);
		CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (MINVALUE) TO (0);
		CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (0) TO (MAXVALUE); INSERT INTO parts SELECT generate_series(-30, 30);`)
	for _, table := range []string{"negative", "big", "empty", "sixteen", "texts", "sorted", "uuids", "moods", `"My ""Shop"."The Pairs"`, "numbers", "times", "fixed", "arrays", "made", "parent", "parts"} {
		source := table
		switch table {
		case "made":
			source = "(SELECT id, v FROM made)"
		case "parent":
			source = "ONLY parent"
		}
		for course, task := range courses {
			s.run(task(s.layout(table)))
			got := s.rows()
			s.wantRows(source, got)
			if note := s.lastNote(); note.State != change.BackfillDone || note.Rows != int64(len(got)) || note.Cursor != nil || note.Place != nil {
				t.Errorf("%s, %s: the last note is %+v", table, course, note)
			}
			s.restart()
		}
	}
}

// restart makes a fresh runner of the stage's, after its run is over.
func (s *stage) restart() {
	old := s.runner
	s.runner = &backfill.Runner{Conn: s.connect().PgConn(), Marks: s.connect().PgConn(), Session: session, Limits: old.Limits, Pages: &backfill.Pages{}, Recent: old.Recent, Refetch: backfill.NewRefetch(), Note: old.Note, Read: old.Read, Log: old.Log, Deal: deal}
	s.next = 0
}

func TestRunner_SeveralPagesAreInFlightAndNoMore(t *testing.T) {
	s := newStage(t, `CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a SELECT generate_series(1, 500)`)
	s.runner.Limits = backfill.Limits{BackfillPages: 3, BackfillPageBytes: 64}
	s.run(pending(s.layout("a")))
	first, second, third := s.page(), s.page(), s.page()
	if s.runner.Pages.Find(session+"/4") != nil {
		t.Error("four pages are in flight, and three were allowed")
	}
	if len(first.List()) == 0 || string(first.List()[0].Record) == string(second.List()[0].Record) || string(second.List()[0].Record) == string(third.List()[0].Record) {
		t.Error("pages have the same rows")
	}
	s.runner.Pages.Remove(first) // sent, and not settled yet
	if s.runner.Pages.Find(session+"/4") != nil {
		t.Error("a page that was sent does not count any more")
	}
	first.Settled()
	s.settle(s.page())
	s.settle(second)
	s.settle(third)
	s.rows()
}

// The pages' settling is reported from several goroutines, so the reports may overtake each other; the progress must not go back.
func TestRunner_ProgressNeverGoesBack(t *testing.T) {
	s := newStage(t, `CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a SELECT generate_series(1, 20)`)
	s.run(byKey(s.layout("a")))
	first, last := s.page(), s.page()
	s.settle(last)
	s.settle(first)
	if got := s.lastNote(); got.State != change.BackfillDone || got.Rows != 20 {
		t.Errorf("the last note is %+v, want done", got)
	}
	if !s.runner.Idle() {
		t.Error("the runner is not idle")
	}
}

func TestRunner_ResumesWhereItWas(t *testing.T) {
	for course, task := range courses {
		t.Run(course, func(t *testing.T) {
			s := newStage(t, `CREATE TABLE pairs (a text, b int, PRIMARY KEY (b, a)); INSERT INTO pairs SELECT md5(i::text), i / 7 FROM generate_series(-700, 700) i`)
			s.run(task(s.layout("pairs")))
			p := s.page()
			var got []string
			for _, r := range p.List() {
				got = append(got, string(r.Record))
			}
			s.settle(p)
			note := s.lastNote()
			if note.State != change.BackfillRunning || note.Rows != int64(len(got)) || (note.Place != nil) == (len(note.Cursor) == 2) {
				t.Fatalf("the note is %+v", note)
			}
			s.wait("the rest to be in flight", func() bool { return s.runner.Pages.Find(session+"/2") != nil })
			s.restart() // what was in flight is lost with its session
			s.run(backfill.Task{Layout: s.layout("pairs"), Progress: note})
			s.wantRows("pairs", append(got, s.rows()...))
			if note := s.lastNote(); note.State != change.BackfillDone || note.Rows != 1401 {
				t.Errorf("the last note is %+v", note)
			}
		})
	}
}

// What is in the lots of a page are its rows, each where its key belongs, with its place in the page.
func TestRunner_DealsRowsToLanes(t *testing.T) {
	s := newStage(t, `CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, repeat('x', i % 50) FROM generate_series(1, 300) i`)
	s.run(pending(s.layout("a")))
	for !s.runner.Idle() { // settled one by one, so that memory is used again
		p := s.page()
		list, dealt := p.List(), 0
		for number := range p.Lots {
			lot := &p.Lots[number]
			for i := range lot.Len() {
				nth := lot.Ordinal(i)
				if i > 0 && nth <= lot.Ordinal(i-1) || deal.Of(list[nth].Key.Lane) != number {
					t.Errorf("row %d is in lot %d", nth, number)
				}
			}
			dealt += lot.Len()
		}
		if dealt != len(list) || p.Len() != dealt {
			t.Errorf("%d rows are in lots, %d in the page, %d in its list", dealt, p.Len(), len(list))
		}
		s.settle(p)
	}
}

func TestRunner_MarksEachPageInTheStream(t *testing.T) {
	s := newStage(t, `CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a SELECT generate_series(1, 40); CREATE TABLE empty (id int PRIMARY KEY); CREATE PUBLICATION p`)
	s.Text("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", s.Slot())
	s.run(byKey(s.layout("a")), pending(s.layout("empty")))
	if n := len(s.rows()); n != 40 {
		t.Errorf("%d rows came, want 40", n)
	}
	prefix := fmt.Sprintf(`\x%x`, backfill.Prefix)
	var want []string
	for n := range s.next {
		want = append(want, fmt.Sprintf("%s %s/%d", prefix, session, n+1))
	}
	// The test takes a page as soon as it is there, and its mark follows: the stream, which takes it at the mark, could not.
	s.wait("the mark of the last page", func() bool { return strings.Contains(s.marks(), fmt.Sprintf("%s/%d", session, s.next)) })
	if got := s.marks(); got != strings.Join(want, ", ") || s.next < 3 {
		t.Errorf("the stream has marks %s, want %s", got, want)
	}
}

// marks are the prefixes and ids of all marks that the slot has, without taking them.
func (s *stage) marks() string {
	return s.Text(fmt.Sprintf(`SELECT coalesce(string_agg(substring(data from 11 for 7)::text || ' ' || convert_from(substring(data from 23), 'UTF8'), ', '), '') FROM pg_logical_slot_peek_binary_changes('%s', NULL, NULL,
		'proto_version', '1', 'publication_names', 'p', 'messages', 'true') WHERE get_byte(data, 0) = ascii('M') AND get_byte(data, 1) = 1`, s.Slot()))
}

// Rows differ in size: a page must stay near its size although all the rows before were small.
func TestRunner_PagesAreBoundedInBytes(t *testing.T) {
	s := newStage(t, `CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, CASE WHEN i > 3000 THEN repeat('x', 50000) ELSE '' END FROM generate_series(1, 3200) i`)
	const aim = 100_000
	s.runner.Limits.BackfillPageBytes = aim
	for course, task := range courses {
		s.sizes = nil
		s.run(task(s.layout("a")))
		rows := s.rows()
		if len(rows) != 3200 {
			t.Errorf("%s: %d rows came, want 3200", course, len(rows))
		}
		if largest := slices.Max(s.sizes); largest > 3*aim {
			t.Errorf("%s: a page has %d bytes, and %d is aimed at", course, largest, aim)
		}
		if pages := len(s.sizes); pages > 250 {
			t.Errorf("%s: %d pages were needed", course, pages)
		}
		s.restart()
	}
}

func TestRunner_ForgetsWhatEverySnapshotSees(t *testing.T) {
	s := newStage(t, `CREATE TABLE a (id int PRIMARY KEY)`)
	s.runner.Recent.Begin(uint32(1<<30), 0) // not seen for long
	s.runner.Recent.Touch([]byte("k"))
	xid := s.Text("SELECT pg_current_xact_id()::text")
	var seen uint32
	if _, err := fmt.Sscan(xid, &seen); err != nil {
		t.Fatal(err)
	}
	s.runner.Recent.Begin(seen, 0)
	s.runner.Recent.Touch([]byte("k2"))
	s.run()
	s.wait("the transaction to be forgotten", func() bool {
		u := s.runner.Recent.Unseen(snapshot(t, "3:3:"))
		return !u.Touched(products, []byte("k2")) && u.Touched(products, []byte("k"))
	})
}

// Nothing is to be read, so only the probe can tell.
func TestRunner_NoticesThatItsConnectionIsGone(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	s := newStage(t, "CREATE TABLE a (id int PRIMARY KEY)")
	s.runner.Prepare()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.runner.Run(ctx) }()
	s.Exec(fmt.Sprintf("SELECT pg_terminate_backend(%d)", s.runner.Conn.PID()))
	if err := <-ended; err == nil || ctx.Err() != nil {
		t.Fatalf("Run ended with %v, want that the connection is gone", err)
	}
}
