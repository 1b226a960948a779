package pgtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"freshet/local/server"
)

// Database is one test's own.
type Database struct {
	DSN  string
	Name string

	t      testing.TB
	server *server.Postgres
	mu     sync.Mutex // of conn
	conn   *pgx.Conn
}

// Server is the server the database is on; nil when it is not ours.
func (d *Database) Server() *server.Postgres { return d.server }

// Slot is a name for a replication slot that no other test uses.
func (d *Database) Slot() string { return d.Name }

// Exec runs a statement, or several without arguments; the test fails when Postgres refuses.
func (d *Database) Exec(sql string, args ...any) {
	d.t.Helper()
	err := d.with(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql, simple(args)...)
		return err
	})
	if err != nil {
		d.t.Fatalf("%s\n%v", sql, err)
	}
}

// Text is the first column of the first row as Postgres spells it; empty for null or no row.
func (d *Database) Text(sql string, args ...any) (text string) {
	d.t.Helper()
	err := d.with(func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, sql, simple(args)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		if rows.Next() {
			text = string(rows.RawValues()[0])
		}
		rows.Close()
		return rows.Err()
	})
	if err != nil {
		d.t.Fatalf("%s\n%v", sql, err)
	}
	return text
}

// QueryRow runs a query when the result is scanned. The test fails on any error but pgx.ErrNoRows, which Scan returns.
func (d *Database) QueryRow(sql string, args ...any) pgx.Row {
	return row{database: d, sql: sql, args: args}
}

type row struct {
	database *Database
	sql      string
	args     []any
}

// Scan is pgx.Row's.
func (r row) Scan(into ...any) error {
	r.database.t.Helper()
	err := r.database.with(func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, r.sql, r.args...).Scan(into...)
	})
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		r.database.t.Fatalf("%s\n%v", r.sql, err)
	}
	return err
}

// simple has pgx send everything as text in one message, which also allows several statements.
func simple(args []any) []any { return append([]any{pgx.QueryExecModeSimpleProtocol}, args...) }

// patience is how long one statement of a test may take.
const patience = time.Minute

// with lends the connection, and makes a new one when the server has closed the last.
func (d *Database) with(use func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience) // not the test's, which is over in its cleanups
	defer cancel()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn == nil || d.conn.IsClosed() || d.conn.Ping(ctx) != nil {
		conn, err := pgx.Connect(ctx, d.DSN)
		if err != nil {
			return err
		}
		d.conn = conn
	}
	return use(ctx, d.conn)
}

func (d *Database) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn != nil {
		_ = d.conn.Close(context.Background()) // the database goes anyway
	}
}

func execute(dsn, sql string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql, args...)
	return err
}

// drop removes a database and the slots on it. A slot whose walsender is still leaving cannot be dropped yet.
func drop(admin, name string) error {
	const slots = `SELECT CASE WHEN active_pid IS NULL THEN pg_drop_replication_slot(slot_name)::text
		ELSE pg_terminate_backend(active_pid, 5000)::text END FROM pg_replication_slots WHERE database = $1`
	var err error
	for range 20 {
		if err = execute(admin, slots, name); err != nil {
			continue
		}
		if err = execute(admin, fmt.Sprintf("DROP DATABASE %s WITH (FORCE)", pgx.Identifier{name}.Sanitize())); err == nil {
			return nil
		}
	}
	return err
}
