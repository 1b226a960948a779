package e2e_test

import (
	"context"

	"github.com/jackc/pgx/v5"

	"freshet/local/e2e"
	"freshet/local/server"
)

// ownPostgres is a server on which nothing happens but what the test does. Its database is postgres.
type ownPostgres struct {
	*server.Postgres
	r *rig
}

// ownPostgres has the rig's poller mirror a shop on a server of its own.
func (r *rig) ownPostgres() ownPostgres {
	r.Helper()
	p, err := server.StartPostgres(context.Background(), server.PostgresOptions{})
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		if err := p.Close(); err != nil {
			r.Error(err)
		}
	})
	r.pollExtra["DATABASE_URL"] = withSecret(r.T, p.DSN, "")
	return ownPostgres{Postgres: p, r: r}
}

// exec runs SQL over a connection of its own.
func (p ownPostgres) exec(sql string) {
	p.r.Helper()
	conn, err := pgx.Connect(context.Background(), p.DSN)
	if err != nil {
		p.r.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), sql); err != nil {
		p.r.Fatalf("%s: %v", sql, err)
	}
}

// wantEqual lets the judge wait until rows and keys agree.
func (p ownPostgres) wantEqual(tables ...string) {
	p.r.Helper()
	verdict, err := e2e.Judge{DSN: p.DSN, Redis: p.r.redis, Tables: tables}.Await(context.Background(), patience)
	if err != nil || !verdict.Equal() {
		p.r.Fatalf("the judge: %s, %v", verdict, err)
	}
}

// text asks for one value.
func (p ownPostgres) text(sql string) (value string) {
	p.r.Helper()
	conn, err := pgx.Connect(context.Background(), p.DSN)
	if err != nil {
		p.r.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(context.Background(), "SELECT ("+sql+")::text").Scan(&value); err != nil {
		p.r.Fatalf("%s: %v", sql, err)
	}
	return value
}
