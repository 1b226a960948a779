package replication

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"freshet/poller/catalog"
)

// Joined finds those of the tables that have joined the publication, or were changed in it, so lately that a transaction which wrote them before may still
// be running. What it wrote by then is in no stream, since a change is published as the publication was when it was made; so the tables' rows
// must be read when it is over: once no transaction below since is running any more.
// https://www.postgresql.org/docs/current/view-pg-publication-tables.html
func Joined(ctx context.Context, conn *pgx.Conn, publication string, version int, tables []catalog.Table) (joined []catalog.Table, since uint64, err error) {
	oids := make([]uint32, len(tables))
	for i, t := range tables {
		oids[i] = t.OID
	}
	rows, err := conn.Query(ctx, joinedSQL(version), publication, oids)
	if err != nil {
		return nil, 0, fmt.Errorf("look since when tables are published: %w", err)
	}
	var oid uint32
	var next int64
	_, err = pgx.ForEachRow(rows, []any{&oid, &next}, func() error {
		for _, t := range tables {
			if t.OID == oid {
				joined = append(joined, t)
			}
		}
		since = uint64(next)
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("look since when tables are published: %w", err)
	}
	return joined, since, nil
}

// joinedSQL compares the transactions that wrote the publication's rows in the catalog with the oldest one that is running. Those that began
// while it was being written have a higher number, and so there is some room.
func joinedSQL(version int) string {
	const room = 1000
	schemas := ""
	if version >= filtersSince { // with them came schemas
		schemas = `UNION ALL SELECT n.xmin FROM pg_publication_namespace n WHERE n.pnpubid = p.oid AND n.pnnspid = c.relnamespace`
	}
	return strings.NewReplacer("SCHEMAS", schemas, "ROOM", fmt.Sprint(room)).Replace(`
		SELECT c.oid, pg_snapshot_xmax(s)::text::bigint
		  FROM pg_publication p, pg_class c, pg_current_snapshot() s
		 WHERE p.pubname = $1 AND c.oid = ANY ($2::oid[])
		   AND EXISTS (SELECT FROM (SELECT p.xmin
		                            UNION ALL SELECT r.xmin FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = c.oid
		                            SCHEMAS) written(xmin)
		                WHERE age(written.xmin) BETWEEN 0 AND pg_snapshot_xmax(s)::text::bigint - pg_snapshot_xmin(s)::text::bigint + ROOM)`)
}
