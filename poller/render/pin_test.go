package render_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"freshet/local/pgtest"
	"freshet/poller/catalog"
	"freshet/poller/pgoutput"
	"freshet/poller/render"
)

// TestPin_HoldsForAWalsender streams a row from a database whose own settings would change the text of every value in it.
func TestPin_HoldsForAWalsender(t *testing.T) {
	db := pgtest.New(t)
	db.Exec(unlike)
	conn := connect(t, db.DSN)
	run(t, conn, `CREATE TABLE t (id int PRIMARY KEY, at timestamptz, on_ date, f float8, i interval, b bytea, ats timestamptz[]); CREATE PUBLICATION p FOR TABLE t`)
	one(t, conn, fmt.Sprintf(`SELECT pg_create_logical_replication_slot('%s', 'pgoutput')`, db.Slot()))
	run(t, conn, `INSERT INTO t VALUES (1, '2026-02-01 10:00+01', '2026-02-01', 0.1 + 0.2, '1 year 2 days 03:04:05', '\x00ff', '{2026-02-01 10:00+01}')`)

	want := one(t, conn, `SELECT to_json(t)::text FROM t`)
	if got := firstInsert(t, db.DSN, db.Slot()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func firstInsert(t *testing.T, dsn, slot string) string {
	conn := replicate(t, dsn, slot)
	decoder := pgoutput.New()
	for {
		m, err := decoder.Decode(receive(t, conn))
		if err != nil {
			t.Fatal(err)
		}
		if m.Kind == pgoutput.Insert {
			return rendered(t, new(catalog.Types), m) // all its types are built in
		}
	}
}

func replicate(t *testing.T, dsn, slot string) *pgconn.PgConn {
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams = render.Pin()
	config.RuntimeParams["replication"] = "database"
	conn, err := pgconn.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	options := pglogrepl.StartReplicationOptions{PluginArgs: []string{"proto_version '1'", "publication_names 'p'"}}
	if err := pglogrepl.StartReplication(t.Context(), conn, slot, 0, options); err != nil {
		t.Fatal(err)
	}
	return conn
}

// receive returns the next piece of the stream; keepalives are passed over.
func receive(t *testing.T, conn *pgconn.PgConn) []byte {
	for {
		message, err := conn.ReceiveMessage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		data, ok := message.(*pgproto3.CopyData)
		if !ok || data.Data[0] != pglogrepl.XLogDataByteID {
			continue
		}
		xlog, err := pglogrepl.ParseXLogData(data.Data[1:])
		if err != nil {
			t.Fatal(err)
		}
		return xlog.WALData
	}
}
