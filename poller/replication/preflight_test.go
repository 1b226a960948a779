package replication_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"freshet/poller/replication"
	"freshet/shared/problem"
)

// wantFindings wants one finding for each of the texts, in any order, that holds it; and that each can be mended.
func wantFindings(t *testing.T, name string, found problem.List, want ...string) {
	t.Helper()
	left := append([]string(nil), want...)
	for _, f := range found {
		if f.Why == "" || f.Fix == "" {
			t.Errorf("%s: %q lacks a why or a fix", name, f.What)
		}
		hit := -1
		for i, w := range left {
			if strings.Contains(f.Error(), w) {
				hit = i
			}
		}
		if hit < 0 {
			t.Errorf("%s: unexpected: %v", name, f)
			continue
		}
		left = append(left[:hit], left[hit+1:]...)
	}
	for _, w := range left {
		t.Errorf("%s: nothing says %q among %v", name, w, found)
	}
}

func TestCheck_Tables(t *testing.T) {
	s := newSource(t, `
		CREATE TABLE good (id int PRIMARY KEY); CREATE TABLE whole (id int PRIMARY KEY); ALTER TABLE whole REPLICA IDENTITY FULL;
		CREATE TABLE bare (id int); CREATE TABLE barefull (id int); ALTER TABLE barefull REPLICA IDENTITY FULL;
		CREATE TABLE nothing (id int PRIMARY KEY); ALTER TABLE nothing REPLICA IDENTITY NOTHING;
		CREATE TABLE other (id int PRIMARY KEY, email text NOT NULL UNIQUE); ALTER TABLE other REPLICA IDENTITY USING INDEX other_email_key;
		CREATE TABLE wider (id int PRIMARY KEY, email text NOT NULL, UNIQUE (email, id)); ALTER TABLE wider REPLICA IDENTITY USING INDEX wider_email_id_key;
		CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY); CREATE VIEW view AS SELECT 1 AS id;
		CREATE TABLE later (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED); CREATE TABLE laterfull (id int PRIMARY KEY DEFERRABLE); ALTER TABLE laterfull REPLICA IDENTITY FULL;
		CREATE TABLE made (a int, b int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY)`)
	for tables, want := range map[string][]string{
		"good,whole,wider": nil,
		"bare":             {`table public.bare has no primary key`},
		"barefull":         {`table public.barefull has no primary key`},
		"nothing":          {`table public.nothing has REPLICA IDENTITY NOTHING`},
		"other":            {`the replica identity of table public.other lacks its primary key`},
		"fleeting":         {`table public.fleeting is not logged`},
		"missing":          {`table public.missing does not exist`},
		"view":             {`public.view`},
		"later":            {`primary key of table public.later is deferrable`},
		"laterfull":        {`primary key of table public.laterfull is deferrable`},
		"made":             {`column "b" of the primary key of table public.made is generated`, `values of table public.made lack "b"`},
		"empty_schema.*":   {`empty_schema.*`},
		"bare, nothing, good, missing, nosuch.nosuch": {"public.bare", "public.nothing", "public.missing", "nosuch.nosuch"},
	} {
		survey, found := s.check(tables)
		wantFindings(t, tables, found, want...)
		if want == nil && (len(survey.Tables) != 3 || len(survey.Unpublished) != 3 || survey.SlotExists || survey.PublicationExists) {
			t.Errorf("%s: the survey is %+v", tables, survey)
		}
	}
}

// What the preflight refuses would have broken the application: this is how.
func TestCheck_ADeferrableKeyIsNoIdentity(t *testing.T) {
	s := newSource(t, `CREATE TABLE later (id int PRIMARY KEY DEFERRABLE, v int); CREATE PUBLICATION q FOR TABLE later; INSERT INTO later VALUES (1, 1)`)
	conn := s.connect()
	if _, err := conn.Exec(t.Context(), `UPDATE later SET v = 2`); err == nil {
		t.Error("the update succeeded: the finding is not needed any more")
	}
}

func TestCheck_Roles(t *testing.T) {
	role := fmt.Sprintf("freshet_test_%d", os.Getpid()) // roles belong to the server, which may be shared
	s := newSource(t, fmt.Sprintf(`CREATE ROLE %s LOGIN; CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE hidden (id int PRIMARY KEY);
		CREATE SCHEMA closed; CREATE TABLE closed.c (id int PRIMARY KEY); GRANT SELECT ON a, hidden, closed.c TO %[1]s; ALTER TABLE hidden ENABLE ROW LEVEL SECURITY`, role))
	t.Cleanup(func() { s.Exec(fmt.Sprintf(`DROP OWNED BY %s; DROP ROLE %[1]s`, role)) })
	as := s.as(role)
	_, found := as.check("a,b,hidden,closed.c")
	wantFindings(t, "a stranger", found,
		fmt.Sprintf(`role %q may not replicate`, role),
		fmt.Sprintf(`role %q may not read table public.b`, role),
		fmt.Sprintf(`role %q may not read table closed.c`, role),
		`row security hides rows of table public.hidden`,
		`publication "p" does not exist and cannot be created: role "`+role+`" does not own closed.c, public.a, public.b, public.hidden`)

	s.Exec(fmt.Sprintf(`ALTER ROLE %s REPLICATION; ALTER TABLE a OWNER TO %[1]s; ALTER TABLE b OWNER TO %[1]s`, role))
	_, found = as.check("a,b")
	wantFindings(t, "an owner who may not create", found, `may not create or change it in database`)

	s.Exec(`CREATE PUBLICATION p FOR TABLE a WITH (publish_via_partition_root)`)
	_, found = as.check("a,b")
	wantFindings(t, "somebody else's publication", found, `publication "p" lacks tables that cannot be added`)
	_, found = as.check("a")
	wantFindings(t, "nothing to be added", found)

	s.Exec(fmt.Sprintf(`DROP PUBLICATION p; GRANT CREATE ON DATABASE %q TO %s`, s.Name, role))
	if !as.prepare("a,b") {
		t.Error("the slot was not made")
	}
	as.stream()
}

func TestCheck_Slots(t *testing.T) {
	s := newSource(t, oneTable)
	slot := s.config.Slot
	s.Text("SELECT pg_create_logical_replication_slot($1, 'test_decoding')", slot)
	_, found := s.check("a")
	wantFindings(t, "another plugin", found, "is not for freshet")
	s.Text("SELECT pg_drop_replication_slot($1)", slot)

	s.Text("SELECT pg_create_physical_replication_slot($1)", slot)
	survey, found := s.check("a")
	wantFindings(t, "a physical slot", found, "is not for freshet")
	if !survey.SlotExists {
		t.Error("the survey says that there is no slot")
	}
	s.Text("SELECT pg_drop_replication_slot($1)", slot)

	other := newSource(t, "")
	other.Text("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", slot)
	_, found = s.check("a")
	wantFindings(t, "another database's", found, "belongs to another database")
	other.Text("SELECT pg_drop_replication_slot($1)", slot)

	s.prepare("a")
	survey, found = s.check("a")
	wantFindings(t, "ours", found)
	if survey.Confirmed != s.confirmed() || survey.Confirmed == 0 || survey.Version < 140000 {
		t.Errorf("the survey is %+v", survey)
	}
}

func TestCheck_Publications(t *testing.T) {
	s := newSource(t, `CREATE TABLE a (id int PRIMARY KEY, v int); CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE parts_1 PARTITION OF parts DEFAULT`)
	for _, c := range []struct {
		publication string
		tables      string
		want        []string
	}{
		{`FOR ALL TABLES`, "a", nil},
		{`FOR ALL TABLES`, "a,parts", []string{"publishes partitions under their own names"}},
		{`FOR ALL TABLES WITH (publish_via_partition_root)`, "a,parts", nil},
		{`FOR TABLE a WITH (publish = 'insert, update, delete')`, "a", []string{"leaves out some actions"}},
		{`FOR TABLES IN SCHEMA public WITH (publish_via_partition_root)`, "a,parts", nil},
		{`FOR TABLE a (id)`, "a", []string{"leaves out rows or columns of table public.a"}},
		{`FOR TABLE a WHERE (id > 5)`, "a", []string{"leaves out rows or columns of table public.a"}},
		{`FOR TABLE a WHERE (id > 5), parts WITH (publish_via_partition_root)`, "parts", nil},
		{``, "a", nil}, // it will be added
	} {
		s.Exec(`CREATE PUBLICATION p ` + c.publication)
		_, found := s.check(c.tables)
		wantFindings(t, c.publication, found, c.want...)
		s.Exec(`DROP PUBLICATION p`)
	}
}

func TestPrepare_MakesAndExtends(t *testing.T) {
	s := newSource(t, `CREATE SCHEMA "My ""Shop"; CREATE TABLE "My ""Shop"."The A" (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE parts_1 PARTITION OF parts DEFAULT;
		CREATE TABLE child (more int) INHERITS (b)`)
	published := func() string {
		return s.Text(`SELECT string_agg(tablename, ',' ORDER BY tablename) FROM pg_publication_tables WHERE pubname = 'p'`)
	}
	if !s.prepare(`"My ""Shop"."The A",b`) {
		t.Error("the slot is not new")
	}
	if got := published(); got != "The A,b" {
		t.Errorf("published are %s", got)
	}
	if got := s.Text("SELECT plugin || database FROM pg_replication_slots WHERE slot_name = $1", s.config.Slot); got != "pgoutput"+s.Name {
		t.Errorf("the slot is %s", got)
	}
	before := s.confirmed()
	if s.prepare(`"My ""Shop"."The A",b,parts`) {
		t.Error("the slot is said to be new")
	}
	if got := published(); got != "The A,b,parts" {
		t.Errorf("published are %s", got)
	}
	if s.prepare("b") {
		t.Error("the slot is said to be new")
	}
	if got := published(); got != "The A,b,parts" {
		t.Errorf("published are %s: nothing is ever taken out", got)
	}
	if got := s.confirmed(); got != before {
		t.Errorf("confirmed went from %s to %s", before, got)
	}
	conn := s.connect()
	if got, err := replication.Confirmed(t.Context(), conn, s.config.Slot); err != nil || got != before {
		t.Errorf("Confirmed is %s, %v", got, err)
	}
	if _, err := replication.Confirmed(t.Context(), conn, "nosuch"); err == nil {
		t.Error("a slot that does not exist has a position")
	}
}

func TestStatusInterval(t *testing.T) {
	s := newSource(t, oneTable)
	for timeout, want := range map[string]time.Duration{
		"0": 10 * time.Second, "1d": 10 * time.Second, "2147483647": 10 * time.Second, "1min": 10 * time.Second, "10s": 4500 * time.Millisecond, "1s": 450 * time.Millisecond, "500ms": 225 * time.Millisecond,
	} {
		survey, _ := s.with("wal_sender_timeout", timeout).check("a")
		if got := survey.StatusInterval(10 * time.Second); got != want {
			t.Errorf("wal_sender_timeout %s: got %s, want %s", timeout, got, want)
		}
	}
}

func TestUnreachable(t *testing.T) {
	s := newSource(t, "")
	for _, c := range []struct {
		name, dsn string
		transient bool
		why       string
	}{
		{"nobody listens", "postgres://u:geheim@127.0.0.1:1/x", true, "refused"},
		{"no such database", strings.Replace(s.DSN, s.Name, "nosuch", 1), false, `database "nosuch" does not exist`},
		{"no such role", strings.Replace(s.DSN, "postgres@", "nosuch:geheim@", 1), false, `role "nosuch" does not exist`},
		{"no such host", "postgres://u:geheim@nosuch.invalid/x", true, ""},
	} {
		_, err := pgx.Connect(t.Context(), c.dsn)
		if err == nil {
			t.Fatalf("%s: connected", c.name)
		}
		e := replication.Unreachable(err)
		if e.Transient != c.transient || !strings.Contains(e.Why, c.why) || strings.Contains(e.Error(), "geheim") || e.Fix == "" {
			t.Errorf("%s: got %v, transient %v", c.name, e, e.Transient)
		}
	}
}

func TestConfig_Validate(t *testing.T) {
	good := replication.Config{DatabaseURL: "postgres://u:p@h/d", Slot: "freshet_1", Publication: "freshet", Narrow: "auto", StatusEvery: time.Second}
	if found := good.Validate(); len(found) > 0 {
		t.Errorf("good settings are refused: %v", found)
	}
	bad := replication.Config{DatabaseURL: "postgres://u:geheim@h:port/d", Slot: "Fre shet", Publication: `a"b`, Narrow: "perhaps", StatusEvery: -1}
	found := bad.Validate()
	for i, name := range []string{"DATABASE_URL", "POLLER_SLOT", "POLLER_PUBLICATION", "POLLER_NARROW", "POLLER_STATUS_EVERY"} {
		if i >= len(found) || !strings.Contains(found[i].What, name) || found[i].Fix == "" {
			t.Errorf("nothing about %s in %v", name, found)
		}
	}
	if strings.Contains(found.Error(), "geheim") {
		t.Errorf("the password is in %v", found)
	}
}
