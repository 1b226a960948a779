package replication

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"freshet/poller/catalog"
	"freshet/shared/change"
)

// The values of POLLER_NARROW.
const (
	narrowAuto = "auto"
	narrowOff  = "off"
)

// Narrows says whether a publication may be narrowed to the columns that are used.
func (c Config) Narrows() bool { return c.Narrow == narrowAuto }

// Lists are the columns that a publication has of its tables.
type Lists struct {
	// Columns has a list for each table of which not all columns are published.
	Columns map[change.Table][]string
	// Narrowed says that this publication has, or once had, lists of the poller: the stream may tell of rows with fewer columns.
	Narrowed bool
	made     bool
	owned    bool
}

// May says whether the table's list may be changed: a publication that the poller has made and owns is read by nobody else.
func (l Lists) May(t catalog.Table) bool { return l.made && l.owned && t.Owned }

// ReadLists looks at a publication as it is now. Before Postgres 15 there are no lists.
func ReadLists(ctx context.Context, conn *pgx.Conn, publication string) (l Lists, err error) {
	l.Columns = map[change.Table][]string{}
	var version int
	var is mark
	err = conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, pg_has_role(pubowner, 'USAGE') AND NOT puballtables, coalesce(obj_description(oid, 'pg_publication'), '') FROM pg_publication WHERE pubname = $1`, publication).
		Scan(&version, &l.owned, &is)
	if err != nil {
		return l, fmt.Errorf("look for publication %q: %w", publication, err)
	}
	if version < filtersSince {
		return Lists{}, nil
	}
	l.made, l.Narrowed = is.made(), is == markNarrowed
	rows, err := conn.Query(ctx, `
		SELECT n.nspname::text, c.relname::text, ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (r.prattrs) ORDER BY a.attnum)
		  FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
		  JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		 WHERE p.pubname = $1 AND r.prattrs IS NOT NULL`, publication)
	if err != nil {
		return l, fmt.Errorf("read the column lists of publication %q: %w", publication, err)
	}
	var t change.Table
	var columns []string
	_, err = pgx.ForEachRow(rows, []any{&t.Schema, &t.Name, &columns}, func() error {
		l.Columns[t] = append([]string(nil), columns...)
		return nil
	})
	if err != nil {
		return l, fmt.Errorf("read the column lists of publication %q: %w", publication, err)
	}
	return l, nil
}

// Relist is a table and the columns that are to be published of it: all when there are none.
type Relist struct {
	Table   catalog.Table
	Columns []string
}

// SetLists changes the lists of some tables at one place in the stream.
func SetLists(ctx context.Context, conn *pgx.Conn, publication string, changes []Relist) error {
	if len(changes) == 0 {
		return nil
	}
	var all []string
	for _, c := range changes {
		all = append(all, refilterSQL(change.QuoteIdentifier(publication), c.Table, c.Columns...)...)
	}
	if err := atOnce(ctx, conn, append(all, markNarrowed.sql(publication))); err != nil {
		return fmt.Errorf("change the column lists of publication %q: %w", publication, err)
	}
	return nil
}

func readMark(ctx context.Context, conn *pgx.Conn, publication string) (is mark, err error) {
	err = conn.QueryRow(ctx, `SELECT coalesce(obj_description(oid, 'pg_publication'), '') FROM pg_publication WHERE pubname = $1`, publication).Scan(&is)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the comment on publication %q: %w", publication, err)
	}
	return is, nil
}
