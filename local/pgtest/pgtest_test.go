package pgtest_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"freshet/local/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestDatabase_AsksAndTells(t *testing.T) {
	db := pgtest.New(t)
	db.Exec("create table t (id int primary key, at numeric); insert into t values (1, 1.50)")
	db.Exec("insert into t values ($1, $2)", 2, "2.50")
	if got, want := db.Text("select sum(at) from t where id <= $1", 2), "4.00"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var id int
	if err := db.QueryRow("select id from t where at = $1", "2.50").Scan(&id); err != nil || id != 2 {
		t.Errorf("got %d, %v", id, err)
	}
	if err := db.QueryRow("select id from t where id = 3").Scan(&id); !errors.Is(err, pgx.ErrNoRows) {
		t.Errorf("got %v, want no rows", err)
	}
	if got := db.Text("select current_database()"); got != db.Name {
		t.Errorf("got %s, want %s", got, db.Name)
	}
}

func TestDatabase_IsDroppedWithItsSlotAndConnections(t *testing.T) {
	watch := pgtest.New(t)
	var name string
	t.Run("inner", func(t *testing.T) {
		db := pgtest.New(t)
		name = db.Name
		db.Text("select pg_create_logical_replication_slot($1, 'pgoutput')", db.Slot())
		conn, err := pgx.Connect(t.Context(), db.DSN)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(t.Context()) })
	})
	if got := watch.Text("select count(*) from pg_database where datname = $1", name); got != "0" {
		t.Error("the database is still there")
	}
	if got := watch.Text("select count(*) from pg_replication_slots"); got != "0" {
		t.Error("the slot is still there")
	}
}

func TestDatabase_SurvivesARestartOfTheServer(t *testing.T) {
	db := pgtest.New(t)
	if db.Server() == nil {
		t.Skip("the server is not ours to restart")
	}
	db.Exec("create table t()")
	if err := db.Server().Stop("fast"); err != nil {
		t.Fatal(err)
	}
	if err := db.Server().Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	db.Exec("drop table t")
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		pgtest.New(b)
	}
}
