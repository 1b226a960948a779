package replication

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"freshet/poller/catalog"
	"freshet/shared/change"
)

// Joined finds those of the tables that have joined the publication, or were changed in it, so lately that a transaction which wrote them before may still
// be running. What it wrote by then is in no stream, since a change is published as the publication was when it was made; so the tables' rows
// must be read when it is over: once no transaction below the table's number is running any more. just says that the publication was changed a
// moment ago.
//
// The catalog's rows have the transaction that wrote them. One that has a higher number can have written the table before only if it began in the very
// moment in which that one committed; so only a moment after a change all are waited for that are running.
// https://www.postgresql.org/docs/current/ddl-system-columns.html
func Joined(ctx context.Context, conn *pgx.Conn, publication string, version int, tables []catalog.Table, just bool) (since map[change.Table]uint64, err error) {
	oids := make([]uint32, len(tables))
	byOID := map[uint32]change.Table{}
	for i, t := range tables {
		oids[i], byOID[t.OID] = t.OID, t.Table
	}
	rows, err := conn.Query(ctx, joinedSQL(version), publication, oids, just)
	if err != nil {
		return nil, fmt.Errorf("look since when tables are published: %w", err)
	}
	since = map[change.Table]uint64{}
	var oid uint32
	var below int64
	_, err = pgx.ForEachRow(rows, []any{&oid, &below}, func() error {
		since[byOID[oid]] = uint64(below)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look since when tables are published: %w", err)
	}
	return since, nil
}

// joinedSQL compares the transactions that wrote the publication's rows in the catalog with the oldest one that is running. age is how many have begun
// since. A number of our own tells where the numbers are: a snapshot's xmax is only behind the newest that is over, and those that run may lie beyond it.
func joinedSQL(version int) string {
	schemas := ""
	if version >= filtersSince { // with them came schemas
		schemas = `UNION ALL SELECT age(n.xmin) FROM pg_publication_namespace n WHERE n.pnpubid = p.oid AND n.pnnspid = c.relnamespace`
	}
	return strings.Replace(`
		WITH ours AS MATERIALIZED (SELECT pg_current_xact_id()::text::bigint AS id)
		SELECT oid, CASE WHEN $3 THEN id ELSE id - age + 1 END
		  FROM (SELECT c.oid, ours.id, pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest,
		               (SELECT min(written.age) FROM (SELECT age(p.xmin)
		                                              UNION ALL SELECT age(r.xmin) FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = c.oid
		                                              SCHEMAS) written(age) WHERE written.age >= 0) AS age
		          FROM ours, pg_publication p, pg_class c
		         WHERE p.pubname = $1 AND c.oid = ANY ($2::oid[])) t
		 WHERE id - age >= oldest OR $3 AND age < 1000`, "SCHEMAS", schemas, 1)
}
