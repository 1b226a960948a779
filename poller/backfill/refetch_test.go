package backfill_test

import (
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"freshet/poller/backfill"
	"freshet/poller/row"
	"freshet/shared/change"
)

// asking puts a request and counts in settled when it is.
func (s *stage) asking(l *row.Layout, settled *atomic.Int32, xid uint32, key ...string) {
	s.runner.Refetch.Add(backfill.Request{Layout: l, Key: key, XID: xid, Blanked: func() { s.blanked.Add(1) }, Settled: func() { settled.Add(1) }})
}

func records(p *backfill.Page) (all []string) {
	for _, r := range p.Rows {
		all = append(all, string(r.Record))
	}
	slices.Sort(all)
	return all
}

func TestRefetch_BringsRowsAndPassesOverThoseThatAreGone(t *testing.T) {
	s := newStage(t, `CREATE TABLE pairs (a text, b int, v text, PRIMARY KEY (b, a)); INSERT INTO pairs VALUES ('x''"', -1, 'one'), ('', 2, NULL), ('z', 3, 'three')`)
	var settled atomic.Int32
	l := s.layout("pairs")
	for _, key := range [][]string{{"-1", `x'"`}, {"2", ""}, {"9", "gone"}, {"-1", `x'"`}} {
		s.asking(l, &settled, 3, key...)
	}
	s.run()
	p := s.page()
	if got, want := records(p), []string{`{"a":"","b":2,"v":null}`, `{"a":"x'\"","b":-1,"v":"one"}`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if p.Action != change.Update {
		t.Errorf("they are a %s, want an update", p.Action)
	}
	if settled.Load() != 0 || s.runner.Idle() {
		t.Error("settled before the page was")
	}
	s.settle(p)
	if settled.Load() != 4 || !s.runner.Idle() {
		t.Errorf("%d of 4 are settled", settled.Load())
	}
}

func TestRefetch_AllAreGone(t *testing.T) {
	s := newStage(t, `CREATE TABLE a (id int PRIMARY KEY)`)
	var settled atomic.Int32
	s.asking(s.layout("a"), &settled, 3, "1")
	s.run()
	p := s.page()
	if len(p.Rows) != 0 || !p.Snapshot.Sees(3) {
		t.Errorf("got %d rows and a snapshot that sees nothing", len(p.Rows))
	}
	s.settle(p)
	if settled.Load() != 1 {
		t.Error("it was not settled")
	}
}

func TestRefetch_EachTableHasItsPages(t *testing.T) {
	s := newStage(t, `CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a SELECT generate_series(1, 100); CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b VALUES (1)`)
	var settled atomic.Int32
	a, b := s.layout("a"), s.layout("b")
	for i := range 50 {
		s.asking(a, &settled, 3, strconv.Itoa(i+1))
	}
	s.asking(b, &settled, 3, "1")
	s.asking(a, &settled, 3, "60")
	s.run()
	rows := map[string]int{}
	for settled.Load() < 52 {
		p := s.page()
		rows[p.Layout.Table.Name] += len(p.Rows)
		s.settle(p)
	}
	if rows["a"] != 51 || rows["b"] != 1 {
		t.Errorf("got %v", rows)
	}
}

// The update is in the log before others can see it, and with synchronous_commit = remote_apply it stays so until we report it as applied.
func TestRefetch_RemovesTheKeyOfAnUpdateThatIsNotVisible(t *testing.T) {
	s := newStage(t, `CREATE TABLE a (x text, id int, v text, PRIMARY KEY (id, x)); INSERT INTO a VALUES ('k', 1, 'old'), ('k', 2, 'other')`)
	tx, err := s.connect().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var xid uint64
	if err := tx.QueryRow(t.Context(), `UPDATE a SET v = 'new' WHERE id = 1 RETURNING pg_current_xact_id()::text::bigint`).Scan(&xid); err != nil {
		t.Fatal(err)
	}
	var settled, other atomic.Int32
	l := s.layout("a")
	s.asking(l, &other, 3, "2", "k")
	s.asking(l, &settled, uint32(xid), "1", "k")
	s.run()
	p := s.page()
	if got, want := records(p), []string{`{"x":"k","id":1}`}; p.Action != change.Delete || !slices.Equal(got, want) {
		t.Fatalf("got a %s of %q, want a delete of %q", p.Action, got, want)
	}
	if len(p.But) != 1 || p.But[0] != uint32(xid) || p.Snapshot.Sees(uint32(xid)) {
		t.Errorf("its own transaction keeps the key")
	}
	s.settle(p)
	p = s.page() // what can be read does not wait for the other
	if got, want := records(p), []string{`{"x":"k","id":2,"v":"other"}`}; p.Action != change.Update || !slices.Equal(got, want) {
		t.Fatalf("got a %s of %q, want an update of %q", p.Action, got, want)
	}
	s.settle(p)
	if s.blanked.Load() != 1 || settled.Load() != 0 || other.Load() != 1 || s.runner.Idle() {
		t.Errorf("blanked %d, settled %d and %d, idle %t", s.blanked.Load(), settled.Load(), other.Load(), s.runner.Idle())
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	p = s.page()
	if got, want := records(p), []string{`{"x":"k","id":1,"v":"new"}`}; p.Action != change.Update || !slices.Equal(got, want) {
		t.Errorf("got a %s of %q, want an update of %q", p.Action, got, want)
	}
	s.settle(p)
	if settled.Load() != 1 || !s.runner.Idle() {
		t.Errorf("settled %d, idle %t", settled.Load(), s.runner.Idle())
	}
}

// Whoever has locked a table may wait for us. A page that waits for the lock must not keep a key from being removed.
func TestRefetch_RemovesKeysWhileAPageWaitsForALock(t *testing.T) {
	s := newStage(t, `CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a VALUES (1, 'old'), (2, 'x')`)
	l := s.layout("a")
	tx, err := s.connect().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var xid uint64
	if _, err := tx.Exec(t.Context(), `LOCK TABLE a`); err != nil {
		t.Fatal(err)
	}
	if err := tx.QueryRow(t.Context(), `UPDATE a SET v = 'new' WHERE id = 1 RETURNING pg_current_xact_id()::text::bigint`).Scan(&xid); err != nil {
		t.Fatal(err)
	}
	s.run(backfill.Task{Layout: l, Progress: change.Backfill{State: change.BackfillPending}})
	blocked := fmt.Sprintf(`SELECT count(*) FROM pg_stat_activity WHERE pid = %d AND wait_event_type = 'Lock'`, s.runner.Conn.PID())
	s.wait("the page to wait for the lock", func() bool { return s.Text(blocked) == "1" })
	var settled atomic.Int32
	s.asking(l, &settled, 3, "2") // its update is visible; the lock is in its way
	s.asking(l, &settled, uint32(xid), "1")
	p := s.page()
	if got, want := records(p), []string{`{"id":1}`}; p.Action != change.Delete || !slices.Equal(got, want) {
		t.Fatalf("got a %s of %q, want a delete of %q", p.Action, got, want)
	}
	s.settle(p)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for settled.Load() < 2 || !s.runner.Idle() {
		p := s.page()
		for _, r := range records(p) {
			seen[string(p.Action)+" "+r] = true
		}
		s.settle(p)
	}
	for _, want := range []string{`update {"id":1,"v":"new"}`, `update {"id":2,"v":"x"}`, `read {"id":1,"v":"new"}`} {
		if !seen[want] {
			t.Errorf("no %s among %v", want, seen)
		}
	}
}

// The stream shows a table as it was; the row is read as it is now, and so are its columns.
func TestRefetch_AColumnIsGoneByNow(t *testing.T) {
	s := newStage(t, `CREATE TABLE a (id int PRIMARY KEY, gone text, v text); INSERT INTO a VALUES (1, 'x', 'y')`)
	then := s.layout("a")
	s.Exec(`ALTER TABLE a DROP gone; ALTER TABLE a RENAME v TO w; ALTER TABLE a ADD n int DEFAULT 5`)
	s.runner.Layouts = map[string]*row.Layout{"public.a": s.layout("a")}
	var settled atomic.Int32
	s.asking(then, &settled, 3, "1")
	s.run()
	if got, want := records(s.page()), []string{`{"id":1,"w":"y","n":5}`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
