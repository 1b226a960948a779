package pgoutput_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"

	"freshet/local/pgtest"
	"freshet/poller/pgoutput"
	"freshet/shared/change"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// everything makes a slot see each message of protocol 1.
const everything = `
	INSERT INTO "My Table" VALUES (1, 'plain', 'x', NULL), (2, '', E'tab\t😀', 'sad');
	UPDATE "My Table" SET txt = 'other' WHERE id = 2;
	UPDATE "My Table" SET id = 3 WHERE id = 2;
	INSERT INTO toasted VALUES (1, (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 1000) i), 0);
	UPDATE toasted SET n = 1;
	ALTER TABLE toasted REPLICA IDENTITY FULL;
	UPDATE toasted SET n = 2;
	DELETE FROM toasted;
	ALTER TABLE "My Table" ADD more numeric(10,2) DEFAULT 1.5;
	DELETE FROM "My Table" WHERE id = 3;
	INSERT INTO parts VALUES (1), (11);
	SELECT pg_logical_emit_message(true, 'freshet', 'in a transaction');
	SELECT pg_logical_emit_message(false, 'other', '');
	TRUNCATE "My Table", toasted RESTART IDENTITY CASCADE;
	SELECT pg_replication_origin_create(current_database());
	SELECT pg_replication_origin_session_setup(current_database());
	INSERT INTO parts VALUES (2);`

// TestDecode_AgreesWithPglogrepl reads a real slot with both decoders.
func TestDecode_AgreesWithPglogrepl(t *testing.T) {
	data := capture(t)
	ours, relations := pgoutput.New(), make(map[uint32]*pgoutput.Relation)
	seen := make(map[pgoutput.Kind]int)
	for _, d := range data {
		theirs, err := pglogrepl.Parse(d)
		if err != nil {
			t.Fatal(err)
		}
		m := decode(t, ours, d)
		seen[m.Kind]++
		if m.Kind == pgoutput.RelationSeen {
			relations[m.Relation.ID] = m.Relation
		}
		if diff := cmp.Diff(translate(t, theirs, relations), shape(m)); diff != "" {
			t.Errorf("%q differs (-pglogrepl +ours):\n%s", d[:1], diff)
		}
	}
	for kind := pgoutput.Ignored; kind <= pgoutput.LogicalMessage; kind++ {
		if seen[kind] == 0 {
			t.Errorf("no %s was in the stream", kind)
		}
	}
}

func capture(t *testing.T) (data [][]byte) {
	db := pgtest.New(t)
	db.Exec(`CREATE TYPE mood AS ENUM ('sad', 'ok');
		CREATE TABLE "My Table" (id int PRIMARY KEY, txt text, v varchar(10), m mood);
		CREATE TABLE toasted (id int PRIMARY KEY, big text, n int); ALTER TABLE toasted ALTER big SET STORAGE external;
		CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
		CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10); CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20);
		CREATE PUBLICATION p FOR ALL TABLES WITH (publish_via_partition_root)`)
	db.Text("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", db.Slot())
	for statement := range strings.SplitSeq(everything, ";") {
		db.Exec(statement) // each a transaction
	}
	conn, err := pgx.Connect(t.Context(), db.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), fmt.Sprintf(`SELECT data FROM pg_logical_slot_get_binary_changes('%s', NULL, NULL,
		'proto_version', '1', 'publication_names', 'p', 'messages', 'true')`, db.Slot()))
	if err != nil {
		t.Fatal(err)
	}
	if data, err = pgx.CollectRows(rows, pgx.RowTo[[]byte]); err != nil {
		t.Fatal(err)
	}
	return data
}

// flat is a message as both decoders can tell it.
type flat struct {
	Kind                            pgoutput.Kind
	XID                             uint32
	LSN, EndLSN                     change.LSN
	Time                            time.Time
	Table                           change.Table
	Identity                        byte
	Columns                         []pgoutput.Column
	New, Old                        string
	OldKind                         byte
	Tables                          []change.Table
	Cascade, Restart, Transactional bool
	Prefix, Content                 string
}

func shape(m *pgoutput.Message) flat {
	f := flat{Kind: m.Kind, XID: m.XID, LSN: m.LSN, EndLSN: m.EndLSN, Time: m.Time, New: spell(m.New), Old: spell(m.Old), OldKind: m.OldKind,
		Cascade: m.Cascade, Restart: m.RestartIdentity, Transactional: m.Transactional, Prefix: m.Prefix, Content: string(m.Content)}
	if m.Relation != nil {
		f.Table = m.Relation.Table
	}
	if m.Kind == pgoutput.RelationSeen {
		f.Identity, f.Columns = m.Relation.Identity, m.Relation.Columns
	}
	for _, r := range m.Relations {
		f.Tables = append(f.Tables, r.Table)
	}
	return f
}

func translate(t *testing.T, message pglogrepl.Message, relations map[uint32]*pgoutput.Relation) flat {
	switch m := message.(type) {
	case *pglogrepl.BeginMessage:
		return flat{Kind: pgoutput.Begin, XID: m.Xid, LSN: change.LSN(m.FinalLSN), Time: m.CommitTime.UTC()}
	case *pglogrepl.CommitMessage:
		return flat{Kind: pgoutput.Commit, LSN: change.LSN(m.CommitLSN), EndLSN: change.LSN(m.TransactionEndLSN), Time: m.CommitTime.UTC()}
	case *pglogrepl.RelationMessage:
		f := flat{Kind: pgoutput.RelationSeen, Table: change.Table{Schema: m.Namespace, Name: m.RelationName}, Identity: m.ReplicaIdentity}
		for _, c := range m.Columns {
			f.Columns = append(f.Columns, pgoutput.Column{Name: c.Name, Type: c.DataType, Modifier: c.TypeModifier, Key: c.Flags == 1})
		}
		return f
	case *pglogrepl.InsertMessage:
		return flat{Kind: pgoutput.Insert, Table: relations[m.RelationID].Table, New: tuple(m.Tuple)}
	case *pglogrepl.UpdateMessage:
		return flat{Kind: pgoutput.Update, Table: relations[m.RelationID].Table, New: tuple(m.NewTuple), Old: tuple(m.OldTuple), OldKind: m.OldTupleType}
	case *pglogrepl.DeleteMessage:
		return flat{Kind: pgoutput.Delete, Table: relations[m.RelationID].Table, Old: tuple(m.OldTuple), OldKind: m.OldTupleType}
	case *pglogrepl.TruncateMessage:
		f := flat{Kind: pgoutput.Truncate, Cascade: m.Option&pglogrepl.TruncateOptionCascade != 0, Restart: m.Option&pglogrepl.TruncateOptionRestartIdentity != 0}
		for _, id := range m.RelationIDs {
			f.Tables = append(f.Tables, relations[id].Table)
		}
		return f
	case *pglogrepl.LogicalDecodingMessage:
		return flat{Kind: pgoutput.LogicalMessage, LSN: change.LSN(m.LSN), Transactional: m.Transactional, Prefix: m.Prefix, Content: string(m.Content)}
	case *pglogrepl.TypeMessage, *pglogrepl.OriginMessage:
		return flat{Kind: pgoutput.Ignored}
	}
	t.Fatalf("a message of unknown type %T", message)
	return flat{}
}

func tuple(data *pglogrepl.TupleData) string {
	if data == nil {
		return ""
	}
	var values pgoutput.Tuple
	for _, c := range data.Columns {
		values = append(values, pgoutput.Value{Kind: c.DataType, Text: c.Data})
	}
	return spell(values)
}
