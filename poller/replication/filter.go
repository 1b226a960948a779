package replication

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"freshet/poller/catalog"
	"freshet/shared/change"
	"freshet/shared/problem"
)

// condition is the WHERE of a table as Postgres reads it.
type condition struct {
	text    string // spelled by Postgres, so that it can be compared with the filter of a publication
	columns []string
}

// filtersSince is the first Postgres whose publications have row filters.
const filtersSince = 150000

// where examines the WHERE that POLLER_TABLES has for a table.
func (p *preflight) where(ctx context.Context, t catalog.Table) error {
	if t.Where == "" {
		return nil
	}
	if p.Version < filtersSince {
		p.add(fmt.Sprintf("POLLER_TABLES has a WHERE for %s", t.Table), fmt.Sprintf("publications have row filters from Postgres 15 on, and this is Postgres %d", p.Version/10000),
			"upgrade Postgres; or remove the WHERE and let the function leave rows out, which also removes their keys")
		return nil
	}
	c, err := read(ctx, p.conn, t)
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		p.refused(t, refused)
		return nil
	}
	if err != nil {
		return fmt.Errorf("examine the WHERE of %s: %w", t.Table, err)
	}
	p.conditions[t.Table] = c
	if t.Identity != 'n' && !containsAll(t.IdentityColumns, c.columns) {
		p.add(fmt.Sprintf("the replica identity of table %s lacks columns of its WHERE", t.Table),
			"of a row that was changed or deleted only the identity's columns are known ("+strings.Join(t.IdentityColumns, ", ")+"), so the application's own UPDATE and DELETE would fail once the table is published with this filter",
			fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL; or make it an index that has %s", t.Table.SQL(), strings.Join(c.columns, ", ")))
	}
	return nil
}

// read has Postgres read a table's condition, as the check of a table that never comes to be: publications and checks take, and
// spell, conditions alike. What only publications refuse is found by trying, as far as this role may.
func read(ctx context.Context, conn *pgx.Conn, t catalog.Table) (c condition, err error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return c, err
	}
	defer tx.Rollback(ctx) //nolint:errcheck // whatever it says, nothing was to stay
	like := change.QuoteIdentifier(t.Table.Name)
	for _, sql := range []string{
		"CREATE TEMPORARY TABLE " + like + " (LIKE " + t.Table.SQL() + ")",
		"ALTER TABLE pg_temp." + like + " ADD CONSTRAINT freshet_where CHECK " + parentheses(t.Where),
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return c, err
		}
	}
	err = tx.QueryRow(ctx, `
		SELECT pg_get_expr(conbin, conrelid), ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = conrelid AND a.attnum = ANY (conkey) ORDER BY a.attnum)
		  FROM pg_constraint WHERE conrelid = $1::regclass AND conname = 'freshet_where'`, "pg_temp."+like).Scan(&c.text, &c.columns)
	if err != nil || !t.Owned {
		return c, err
	}
	_, err = tx.Exec(ctx, "CREATE PUBLICATION freshet_where FOR TABLE "+published(t)+" WITH (publish_via_partition_root = true)")
	var refused *pgconn.PgError
	if errors.As(err, &refused) && (refused.Code == "42501" || refused.Code == "42710") { // insufficient_privilege, duplicate_object
		return c, nil
	}
	return c, err
}

func (p *preflight) refused(t catalog.Table, why *pgconn.PgError) {
	if why.Code == "42501" { // insufficient_privilege
		p.add(fmt.Sprintf("the WHERE of table %s cannot be examined", t.Table), why.Message, fmt.Sprintf("GRANT TEMPORARY ON DATABASE %s TO %s;", change.QuoteIdentifier(p.database), change.QuoteIdentifier(p.user)))
		return
	}
	text := why.Message
	if why.Detail != "" {
		text += ": " + why.Detail
	}
	fix := "correct the condition in POLLER_TABLES"
	if why.Hint != "" {
		fix += "; " + why.Hint
	}
	p.add(fmt.Sprintf("the WHERE of table %s cannot be used", t.Table), text, fix)
}

// parentheses keeps a comment at the end of a condition from swallowing what follows.
func parentheses(condition string) string { return "(" + condition + "\n)" }

// published is a table as CREATE PUBLICATION names it; without columns it has all of them.
func published(t catalog.Table, columns ...string) string {
	text := t.From()
	if len(columns) > 0 {
		quoted := make([]string, len(columns))
		for i, name := range columns {
			quoted[i] = change.QuoteIdentifier(name)
		}
		text += " (" + strings.Join(quoted, ", ") + ")"
	}
	if t.Where != "" {
		text += " WHERE " + parentheses(t.Where)
	}
	return text
}

// mark is the comment on a publication whose row filters the poller keeps: what it leaves out, it leaves out because the settings say so. Somebody
// else's filter is another matter.
type mark string

// The marks. Of a publication that the poller has not made it keeps filters alone: others may read it too.
const (
	markFilters  mark = "row filters kept by freshet"
	markMade     mark = "kept by freshet"
	markNarrowed mark = "kept by freshet, with column lists"
)

// made says that the poller has made the publication.
func (m mark) made() bool { return m == markMade || m == markNarrowed }

// filters says that the poller has set the row filters.
func (m mark) filters() bool { return m.made() || m == markFilters }

func (m mark) sql(publication string) string {
	return fmt.Sprintf("COMMENT ON PUBLICATION %s IS '%s'", change.QuoteIdentifier(publication), string(m))
}

// unfilterable finds out whether tables with a WHERE are published in a way that has no filters: with all tables, or with a schema.
func (p *preflight) unfilterable(ctx context.Context, all bool) error {
	if p.Version < filtersSince || len(p.conditions) == 0 {
		return nil
	}
	schemas, err := queryTexts(ctx, p.conn, `SELECT n.nspname::text FROM pg_publication_namespace s JOIN pg_publication p ON p.oid = s.pnpubid JOIN pg_namespace n ON n.oid = s.pnnspid WHERE p.pubname = $1`, p.config.Publication)
	if err != nil {
		return fmt.Errorf("read the publication's schemas: %w", err)
	}
	for _, t := range p.Tables {
		if t.Where != "" && (all || slices.Contains(schemas, t.Table.Schema)) {
			p.add(fmt.Sprintf("publication %q cannot leave out rows of table %s", p.config.Publication, t.Table), "it publishes all tables, or all of a schema, and such a publication has no row filters",
				"set POLLER_PUBLICATION to another name, and freshet makes one for its tables; or remove the WHERE")
		}
	}
	return nil
}

// filters compares what the publication leaves out with what POLLER_TABLES says, as is possible from Postgres 15 on.
func (p *preflight) filters(ctx context.Context, publication string, owned bool) error {
	if p.Version < filtersSince {
		return nil
	}
	rows, err := p.conn.Query(ctx, `
		SELECT n.nspname::text, c.relname::text, coalesce(pg_get_expr(r.prqual, r.prrelid), ''), 
		       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (r.prattrs)), coalesce(obj_description(p.oid, 'pg_publication'), '')
		  FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
		  JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		 WHERE p.pubname = $1
		 ORDER BY 1, 2`, p.config.Publication)
	if err != nil {
		return fmt.Errorf("read the publication's filters: %w", err)
	}
	type member struct {
		Schema, Name, Filter string
		Columns              []string
		Mark                 mark
	}
	members, err := pgx.CollectRows(rows, pgx.RowToStructByPos[member])
	if err != nil {
		return fmt.Errorf("read the publication's filters: %w", err)
	}
	for _, m := range members {
		i := slices.IndexFunc(p.Tables, func(t catalog.Table) bool { return t.Table == change.Table{Schema: m.Schema, Name: m.Name} })
		if i < 0 {
			continue
		}
		t := p.Tables[i]
		want, readable := p.conditions[t.Table]
		if t.Where != "" && !readable {
			continue // there is a finding already
		}
		switch {
		case len(m.Columns) > 0 && !(owned && t.Owned && m.Mark.made()):
			p.leavesOut(publication, t)
		case m.Filter == want.text && (len(m.Columns) == 0 || containsAll(m.Columns, t.IdentityColumns)):
		case owned && t.Owned && (m.Filter == "" || m.Mark.filters()):
			// Either another filter, or a list of columns without those of a new identity: the application's own UPDATE fails until it is gone.
			p.Refiltered = append(p.Refiltered, t)
		case t.Where == "":
			p.leavesOut(publication, t)
		default:
			p.found = append(p.found, p.otherFilter(publication, t, m.Filter, owned))
		}
	}
	return nil
}

// leavesOut is the finding for what nobody asked freshet for.
func (p *preflight) leavesOut(publication string, t catalog.Table) {
	p.add(fmt.Sprintf("publication %q leaves out rows or columns of table %s", p.config.Publication, t.Table), "the backfill reads all of them, so that keys would come and go, and a row that is left out would never lose its key",
		fmt.Sprintf("ALTER PUBLICATION %s DROP TABLE %s; freshet adds it again as a whole. For some of the rows give the table a WHERE in POLLER_TABLES", publication, t.Table.SQL()))
}

func (p *preflight) otherFilter(publication string, t catalog.Table, filter string, owned bool) *problem.Error {
	why := "it publishes all rows"
	if filter != "" {
		why = "its filter is " + filter
	}
	if !owned || !t.Owned {
		why += fmt.Sprintf(", and role %q does not own both the publication and the table", p.user)
	} else {
		why += ", and it was not freshet that set it"
	}
	return &problem.Error{
		What: fmt.Sprintf("publication %q publishes other rows of table %s than POLLER_TABLES says", p.config.Publication, t.Table), Why: why,
		Fix: "let a superuser or the owner run: BEGIN; " + strings.Join(refilterSQL(publication, t), "; ") + "; COMMIT;",
	}
}

// refilterSQL sets a table's filter. There is no statement for one table alone that would keep the others.
func refilterSQL(publication string, t catalog.Table, columns ...string) []string {
	return []string{
		fmt.Sprintf("ALTER PUBLICATION %s DROP TABLE %s", publication, t.From()),
		fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s", publication, published(t, columns...)),
	}
}

// atOnce runs statements in one transaction: the stream sees all of them at one place.
func atOnce(ctx context.Context, conn *pgx.Conn, all []string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, sql := range all {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
}

// refilter sets the filters that have changed in the settings. The rows are read again after it, since they count as of another shape.
func refilter(ctx context.Context, conn *pgx.Conn, c Config, s Survey, log *slog.Logger) error {
	if len(s.Refiltered) == 0 {
		return nil
	}
	is, err := readMark(ctx, conn, c.Publication)
	if err != nil {
		return err
	}
	if !is.made() {
		is = markFilters
	}
	var all []string
	for _, t := range s.Refiltered {
		all = append(all, refilterSQL(change.QuoteIdentifier(c.Publication), t)...)
	}
	if err := atOnce(ctx, conn, append(all, is.sql(c.Publication))); err != nil {
		return fmt.Errorf("change the row filters of publication %q: %w", c.Publication, err)
	}
	log.Info("changed the row filters of the publication", "publication", c.Publication, "tables", len(s.Refiltered))
	return nil
}

func queryTexts(ctx context.Context, conn *pgx.Conn, sql string, args ...any) ([]string, error) {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
