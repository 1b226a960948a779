package backfill_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"freshet/poller/backfill"
	"freshet/shared/change"
)

// recorded reads the id of each record.
func recorded(t *testing.T, records []string) map[int]string {
	t.Helper()
	found := map[int]string{}
	for _, text := range records {
		var r struct{ ID int }
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		found[r.ID] = text
	}
	return found
}

// Rows move while a table is read: into blocks that were read before, and into some that are still to come. Whatever nobody has written is read; all else is
// in the stream.
func TestByPlace_RowsMove(t *testing.T) {
	s := newStage(t, `CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, repeat('x', 100) FROM generate_series(1, 4000) i;
		DELETE FROM a WHERE id % 3 = 0`)
	s.Exec("VACUUM a") // leaves room in every block
	s.runner.Limits = backfill.Limits{BackfillPages: 1, BackfillPageBytes: 8192}
	s.run(pending(s.layout("a")))
	random := rand.New(rand.NewPCG(1, 2))
	var records []string
	written := map[int]bool{}
	for s.runner.Idle() == false {
		p := s.page()
		for _, r := range p.List() {
			records = append(records, string(r.Record))
		}
		for range 20 {
			id := 1 + random.IntN(4200)
			written[id] = true
			switch random.IntN(4) {
			case 0:
				s.Exec("DELETE FROM a WHERE id = " + strconv.Itoa(id))
			case 1:
				s.Exec(fmt.Sprintf("INSERT INTO a VALUES (%d, 'new') ON CONFLICT DO NOTHING", id))
			default:
				s.Exec(fmt.Sprintf("UPDATE a SET v = repeat('y', %d) WHERE id = %d", 50+random.IntN(100), id))
			}
		}
		if random.IntN(4) == 0 {
			s.Exec("VACUUM a")
		}
		s.settle(p)
	}
	found := recorded(t, records)
	var rows []string
	text := s.Text("SELECT json_agg(r) FROM (SELECT to_json(t)::text AS r FROM a t) x")
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		t.Fatal(err)
	}
	missed := 0
	for id, want := range recorded(t, rows) {
		switch got, there := found[id]; {
		case written[id] && !there:
			missed++
		case !written[id] && got != want:
			t.Errorf("row %d came as %q, want %s", id, got, want)
		}
	}
	if missed == 0 {
		t.Error("no row has moved out of sight: the test shows nothing")
	}
}

// What writes a table's file anew moves rows that are still to be read to where nobody would look for them.
func TestByPlace_TheFileIsWrittenAnew(t *testing.T) {
	for name, statements := range map[string][]string{
		"VACUUM FULL":            {"DELETE FROM a WHERE id < 1500", "VACUUM FULL a"},
		"CLUSTER":                {"CREATE INDEX backward ON a ((-id))", "CLUSTER a USING backward"},
		"TRUNCATE":               {"TRUNCATE a", "INSERT INTO a SELECT i, 'new' FROM generate_series(1, 3000) i"},
		"another access method":  {"CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler", "ALTER TABLE a SET ACCESS METHOD other"},
		"nothing of that, twice": {"VACUUM a", "REINDEX TABLE a"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, `CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, repeat('x', 100) FROM generate_series(1, 3000) i`)
			if name == "another access method" && s.Text("SELECT current_setting('server_version_num')::int >= 150000") != "true" {
				t.Skip("a table has the access method that it was made with before Postgres 15")
			}
			s.runner.Limits = backfill.Limits{BackfillPages: 1, BackfillPageBytes: 8192}
			s.run(pending(s.layout("a")))
			for range 3 {
				s.settle(s.page())
			}
			p := s.page() // on its way while the table changes
			for _, sql := range statements {
				s.Exec(sql)
			}
			before := map[int]string{}
			for _, r := range p.List() {
				before[len(before)] = string(r.Record)
			}
			s.settle(p)
			got := s.rows()
			if name == "nothing of that, twice" {
				if len(got) >= 2900 {
					t.Errorf("%d rows came again", len(got))
				}
				return
			}
			s.wantRows("a", got)
			if note := s.lastNote(); note.State != change.BackfillDone || note.Rows < int64(len(got)) {
				t.Errorf("the last note is %+v", note)
			}
		})
	}
}

func TestByPlace_BeginsAgainInAnotherFile(t *testing.T) {
	s := newStage(t, `CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, repeat('x', 100) FROM generate_series(1, 3000) i`)
	s.runner.Limits = backfill.Limits{BackfillPages: 1, BackfillPageBytes: 8192}
	s.run(pending(s.layout("a")))
	for range 5 {
		s.settle(s.page())
	}
	note := s.lastNote()
	if note.Place == nil || note.Place.Block == 0 {
		t.Fatalf("the note is %+v", note)
	}
	s.restart()
	s.Exec("VACUUM FULL a")
	s.run(backfill.Task{Layout: s.layout("a"), Progress: note})
	s.wantRows("a", s.rows())
}

// A backfill that an older poller has begun in the order of the primary key goes on in it.
func TestByPlace_NotWhereTheOrderIsThatOfTheKey(t *testing.T) {
	s := newStage(t, `CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, 'x' FROM generate_series(1, 300) i;
		CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (MINVALUE) TO (MAXVALUE); INSERT INTO parts SELECT generate_series(1, 300)`)
	begun := pending(s.layout("a"))
	begun.Progress = change.Backfill{State: change.BackfillRunning, Cursor: []string{"200"}, Rows: 200}
	s.run(begun)
	if rows := s.rows(); len(rows) != 100 {
		t.Errorf("%d rows came after 200 of 300", len(rows))
	}
	for _, task := range []backfill.Task{pending(s.layout("parts")), byKey(s.layout("a"))} {
		s.restart()
		s.run(task)
		s.settle(s.page())
		if note := s.lastNote(); note.Place != nil || len(note.Cursor) != 1 {
			t.Errorf("%s: the note is %+v", task.Layout.Table, note)
		}
	}
}

// What the stream leaves out pages leave out too.
func TestRunner_LeavesOutWhatTheTableDoes(t *testing.T) {
	s := newStage(t, `CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, 'x' FROM generate_series(1, 3000) i`)
	for course, task := range courses {
		l := s.layout("a")
		l.Where = "id % 3 = 0 -- and no others"
		s.run(task(l))
		if rows := s.rows(); len(rows) != 1000 {
			t.Errorf("%s: %d rows came, want 1000", course, len(rows))
		}
		s.restart()
	}
}

// Where nothing is left in a file, no page goes through the lanes.
func TestByPlace_EmptyBlocks(t *testing.T) {
	s := newStage(t, `CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, repeat('x', 1000) FROM generate_series(1, 10000) i; DELETE FROM a WHERE id BETWEEN 10 AND 9990`)
	s.run(pending(s.layout("a")))
	if rows := s.rows(); len(rows) != 19 {
		t.Errorf("%d rows came, want 19", len(rows))
	}
	if n := len(s.sizes); n > 6 || slices.Contains(s.sizes[:n-1], 0) {
		t.Errorf("pages have the sizes %v", s.sizes)
	}
}

// The pages of a file leave no gap, whatever size they come to, and end at the end of a block wherever they are larger than one.
func TestByPlace_PagesTileTheFile(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	const perBlock = backfill.InBlock
	at := int64(0)
	for range 10_000 {
		step := 1 + random.Int64N(3*perBlock)
		end := backfill.PageEnd(at, step)
		switch {
		case end <= at || end > at+step:
			t.Fatalf("a page of %d from %d ends at %d", step, at, end)
		case end%perBlock != 0 && at/perBlock != end/perBlock:
			t.Fatalf("a page of %d from %d ends within another block, at %d", step, at, end)
		}
		at = end
	}
}

func TestNextStep(t *testing.T) {
	const block = backfill.InBlock
	for _, c := range []struct {
		name              string
		step              int64
		rows, bytes       int
		want              int64
		wantBytes, wanted int
	}{
		{"small rows, at first", 2 * block, 100, 20_000, 32 * block, 1 << 20, 9000},
		{"as many as are wanted", 32 * block, 1600, 320_000, 104 * block, 1 << 20, 9000},
		{"no more rows than that", 32 * block, 1600, 32_000, 180 * block, 1 << 20, 9000},
		{"fewer, where they are larger", 100 * block, 100, 4 << 20, 25 * block, 1 << 20, 9000},
		{"nothing at all", 4 * block, 0, 0, 64 * block, 1 << 20, 9000},
		{"nothing at all for long", 1000 * block, 0, 0, 2048 * block, 1 << 20, 9000},
		{"a row that is larger than a page", 1, 1, 5 << 20, 1, 1 << 20, 9000},
	} {
		if got := backfill.NextStep(c.step, c.rows, c.bytes, c.wantBytes, c.wanted); got/block*block != c.want && got != c.want {
			t.Errorf("%s: a page of %d with %d rows of %d bytes, then %d, want %d", c.name, c.step, c.rows, c.bytes, got, c.want)
		}
	}
}
