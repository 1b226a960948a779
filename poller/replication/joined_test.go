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
func (s source) joined(conn *pgx.Conn, just bool) (names []string, since uint64) {
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
	tables, err := replication.Joined(s.t.Context(), conn, "p", version, found, just)
	if err != nil {
		s.t.Fatal(err)
	}
	for t, below := range tables {
		names, since = append(names, t.Name), max(since, below)
	}
	slices.Sort(names)
	return names, since
}

// Transactions that began before a table was in the publication are waited for, however many others there have been since; younger ones only a moment
// after it was changed.
func TestJoined(t *testing.T) {
	s := newSource(t, "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE a")
	conn := s.connect()
	// begin returns the number of a transaction that writes b until it is committed.
	begin := func() (xid uint64, commit func()) {
		writer := s.connect()
		if _, err := writer.Exec(t.Context(), "BEGIN; INSERT INTO b VALUES (pg_backend_pid())"); err != nil {
			t.Fatal(err)
		}
		if err := writer.QueryRow(t.Context(), "SELECT pg_current_xact_id()::text::bigint").Scan(&xid); err != nil {
			t.Fatal(err)
		}
		return xid, func() {
			if _, err := writer.Exec(t.Context(), "COMMIT"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if names, _ := s.joined(conn, false); names != nil {
		t.Errorf("%v have joined lately, and nobody is writing", names)
	}
	old, commitOld := begin()
	if names, _ := s.joined(conn, false); names != nil {
		t.Errorf("%v have joined lately, and the writer is younger", names)
	}
	s.Exec("ALTER PUBLICATION p ADD TABLE b")
	young, commitYoung := begin()
	if names, below := s.joined(conn, true); !slices.Equal(names, []string{"a", "b"}) || below <= young {
		t.Errorf("just after the change %v wait for those below %d, want both, and for %d too", names, below, young)
	}
	s.Exec("DO $$ BEGIN FOR i IN 1..1100 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$")
	if names, below := s.joined(conn, false); !slices.Equal(names, []string{"b"}) || below <= old || below > young {
		t.Errorf("%v wait for those below %d, want b, and for %d, not %d", names, below, old, young)
	}
	if names, _ := s.joined(conn, true); !slices.Equal(names, []string{"b"}) {
		t.Errorf("%v have joined lately, want b alone, since so many transactions have been", names)
	}
	commitOld()
	if names, _ := s.joined(conn, false); names != nil {
		t.Errorf("%v have joined lately after the old writer is over", names)
	}
	s.Exec("ALTER PUBLICATION p SET (publish = 'insert, update, delete, truncate')") // which may have left out some before
	if names, _ := s.joined(conn, false); !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("%v have joined lately after the publication was changed, want both", names)
	}
	commitYoung()
}
