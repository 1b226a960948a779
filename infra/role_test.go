package infra_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/local/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestRole_MayDoWhatThePollerDoes and no more: the statements are those of the poller, in its order.
func TestRole_MayDoWhatThePollerDoes(t *testing.T) {
	db := pgtest.New(t)
	db.Exec("CREATE TABLE products (id int PRIMARY KEY); CREATE TABLE orders (id int PRIMARY KEY); CREATE TABLE salaries (id int PRIMARY KEY)")
	script, err := os.ReadFile("postgres/role.sql")
	if err != nil {
		t.Fatal(err)
	}
	db.Exec(string(script))
	t.Cleanup(func() { db.Exec("DROP OWNED BY freshet; DROP ROLE freshet") })
	dsn := strings.Replace(db.DSN, "postgres@", "freshet@", 1)

	role := connect(t, dsn)
	slot := "CREATE_REPLICATION_SLOT " + db.Slot() + " LOGICAL pgoutput"
	for _, sql := range []string{
		"SELECT pg_current_snapshot(), id FROM products", "SELECT id FROM orders",
		"SELECT pg_logical_emit_message(true, 'freshet', 'x')",
		"SELECT FROM pg_publication_tables", "SELECT confirmed_flush_lsn FROM pg_replication_slots",
	} {
		if _, err := role.Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for _, sql := range []string{"SELECT FROM salaries", "DELETE FROM products", "ALTER PUBLICATION freshet DROP TABLE orders", "CREATE TABLE mine()"} {
		if _, err := role.Exec(t.Context(), sql).ReadAll(); err == nil {
			t.Errorf("it may %s", sql)
		}
	}
	stream := connect(t, dsn+"&replication=database")
	for _, command := range []string{"IDENTIFY_SYSTEM", slot} {
		if _, err := stream.Exec(t.Context(), command).ReadAll(); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
}

func connect(t *testing.T, dsn string) *pgconn.PgConn {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}
