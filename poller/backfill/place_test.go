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

// fileOf is a file with so many blocks; row tells how large a row is, and 0 where there is none.
func fileOf(blocks, rows int, row func(block, row int) int) [][]int {
	file := make([][]int, blocks)
	for b := range file {
		for i := range rows {
			file[b] = append(file[b], row(b, i))
		}
	}
	return file
}

// Whatever rows a file has, each is read once, in pages that are not too large, and without many questions.
func TestByPlace_PagesOfAFile(t *testing.T) {
	const aim, most = 1 << 20, 7000
	random := rand.New(rand.NewPCG(3, 4))
	for _, c := range []struct {
		name           string
		file           [][]int
		pages, thrown  int // at most
		least, largest int // bytes of a page in the middle
	}{
		{"small rows", fileOf(3000, 60, func(int, int) int { return 200 }), 50, 0, 900_000, aim},
		{"as many rows as are wanted", fileOf(3000, 250, func(int, int) int { return 30 }), 130, 0, 150_000, aim},
		{"rows of 30 kB", fileOf(100, 60, func(int, int) int { return 30_000 }), 150, 5, 0, 2 * aim},
		{"rows of 300 kB", fileOf(50, 60, func(int, int) int { return 300_000 }), 1300, 8, 0, 2 * aim},
		{"rows larger than a page", fileOf(10, 40, func(int, int) int { return 5 << 20 }), 450, 8, 0, 5 << 20},
		{"large rows, and then small ones", fileOf(2000, 60, func(b, _ int) int { return 200 + 300_000*max(0, 20-b) }), 1300, 20, 0, 20 * 300_200},
		{"small rows, and then large ones", fileOf(520, 60, func(b, _ int) int { return 200 + 300_000*min(1, b/500) }), 600, 16, 0, 2 * aim},
		{"a huge row now and then, which costs ten questions", fileOf(2000, 60, func(b, i int) int { return 200 + 3_000_000*min(1, max(0, b%100*i-98*58)) }), 500, 650, 0, 4 << 20},
		{"nothing", fileOf(100_000, 0, nil), 60, 0, 0, 0},
		{"nothing behind large rows", fileOf(20_000, 60, func(b, _ int) int { return 300_000 * max(0, 1-b/5) }), 200, 8, 0, 2 * aim},
		{"anything", fileOf(1000, 290, func(int, int) int {
			return max(0, random.IntN(2000)-1000) * (1 + random.IntN(2)*random.IntN(2)*random.IntN(100))
		}), 2000, 100, 0, 3 * aim},
	} {
		s, pages, thrown, seen := backfill.NewSpan(), 0, 0, 0
		total := 0
		for from := 0; from < len(c.file)*backfill.InBlock; {
			start, to := s.Next()
			if start != from || to <= from || to%backfill.InBlock > 0 && to/backfill.InBlock > from/backfill.InBlock {
				t.Fatalf("%s: a page from %d to %d behind one that ends at %d", c.name, start, to, from)
			}
			rows, bytes, cut := 0, 0, false
			for at := from; at < to && !cut; at++ {
				b, i := at/backfill.InBlock, at%backfill.InBlock
				if b >= len(c.file) || i >= len(c.file[b]) {
					at = (b+1)*backfill.InBlock - 1
					continue
				}
				switch size := c.file[b][i]; {
				case size == 0:
				case bytes >= 2*aim:
					cut = true
				default:
					rows, bytes = rows+1, bytes+size
				}
			}
			if cut {
				s.TooLarge(rows, bytes, aim, most)
				thrown++
				continue
			}
			if middle := from > len(c.file)/3*backfill.InBlock && to < len(c.file)/3*2*backfill.InBlock; bytes > max(c.largest, 3*aim) || middle && (bytes < c.least || bytes > c.largest+c.largest/8) {
				t.Errorf("%s: a page of %d bytes", c.name, bytes)
			}
			s.Read(rows, bytes, aim, most)
			pages, seen, from, total = pages+1, seen+rows, to, total+bytes
		}
		all := 0
		for _, b := range c.file {
			for _, size := range b {
				all += min(1, size)
			}
		}
		if seen != all {
			t.Errorf("%s: %d rows of %d", c.name, seen, all)
		}
		t.Logf("%s: %d pages, %d thrown away, %d MB", c.name, pages, thrown, total>>20)
		if pages > c.pages || thrown > c.thrown {
			t.Errorf("%s: %d pages, and %d thrown away; want %d and %d at most", c.name, pages, thrown, c.pages, c.thrown)
		}
	}
}
