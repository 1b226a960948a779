package replication_test

import (
	"slices"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"

	"freshet/poller/catalog"
	"freshet/poller/replication"
)

// joined are the tables that are said to have joined the publication lately, and the transactions to be waited for: all below that.
func (s source) joined(conn *pgx.Conn) (names []string, since uint64) {
	s.t.Helper()
	patterns, err := catalog.ParsePatterns("a,b")
	if err != nil {
		s.t.Fatal(err)
	}
	found, _, err := catalog.Tables(s.t.Context(), conn, patterns)
	if err != nil {
		s.t.Fatal(err)
	}
	version, _ := strconv.Atoi(s.Text("SELECT current_setting('server_version_num')"))
	tables, since, err := replication.Joined(s.t.Context(), conn, "p", version, found)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, t := range tables {
		names = append(names, t.Table.Name)
	}
	slices.Sort(names)
	return names, since
}

// Transactions that began before a table was in the publication are waited for, however many others there have been since; when they are over, and the
// publication is no longer new, there is nothing to wait for.
func TestJoined(t *testing.T) {
	s := newSource(t, "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE a")
	conn := s.connect()
	const pass = "DO $$ BEGIN FOR i IN 1..1100 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$" // so many transactions
	s.Exec(pass)
	if names, _ := s.joined(conn); names != nil {
		t.Errorf("of a publication that is not new, %v have joined it lately", names)
	}
	writer := s.connect()
	if _, err := writer.Exec(t.Context(), "BEGIN; INSERT INTO b VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	var xid uint64
	if err := writer.QueryRow(t.Context(), "SELECT pg_current_xact_id()::text::bigint").Scan(&xid); err != nil {
		t.Fatal(err)
	}
	if names, _ := s.joined(conn); names != nil {
		t.Errorf("%v have joined lately, and the writer is younger", names)
	}
	s.Exec("ALTER PUBLICATION p ADD TABLE b")
	s.Exec(pass)
	if names, since := s.joined(conn); !slices.Equal(names, []string{"b"}) || since <= xid {
		t.Errorf("%v have joined lately, and those below %d are waited for, want b and the writer %d", names, since, xid)
	}
	if _, err := writer.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if names, _ := s.joined(conn); names != nil {
		t.Errorf("%v have joined lately after the writer is over", names)
	}
	s.Exec("ALTER PUBLICATION p SET (publish = 'insert, update, delete, truncate')") // which may have left out some before
	if names, _ := s.joined(conn); !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("%v have joined lately after the publication was changed", names)
	}
}
