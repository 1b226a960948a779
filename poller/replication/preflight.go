package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"freshet/poller/catalog"
	"freshet/shared/change"
	"freshet/shared/problem"
)

// Survey is what the preflight found out about the source.
type Survey struct {
	Tables []catalog.Table
	// SlotExists and PublicationExists tell what is there already.
	SlotExists, PublicationExists bool
	// SlotActive says that somebody streams from the slot.
	SlotActive bool
	// SlotLost says that the slot exists, is ours, and can never be streamed from again.
	SlotLost bool
	// Unpublished are configured tables that the publication lacks.
	Unpublished []catalog.Table
	// Refiltered are published tables of which the publication has another row filter than POLLER_TABLES, which may be changed.
	Refiltered []catalog.Table
	// Confirmed is the slot's confirmed_flush_lsn, zero while there is no slot.
	Confirmed change.LSN
	Version   int   // server_version_num
	Timeline  int32 // of a primary
	// SenderTimeout is wal_sender_timeout, zero when there is none.
	SenderTimeout time.Duration
	// Synchronous says that commits wait for standbys, of which a reader of the slot can be one.
	Synchronous bool
}

// preflight collects findings about one source.
type preflight struct {
	conn   *pgx.Conn
	config Config
	renew  bool
	Survey
	found problem.List

	user, database          string
	replicates, mayCreate   bool
	walLevel                string
	recovery                bool
	slotsFree, sendersTotal int
	walKept                 int64  // max_slot_wal_keep_size in bytes; negative for no limit
	idleTimeout             string // idle_replication_slot_timeout; empty when there is none
	conditions              map[change.Table]condition
}

// Check examines the source and returns every finding at once. renew says that a slot which is lost will be made anew, so that it stops nothing.
// The error is for a source that cannot be examined at all, or known's: that is called, unless it is nil, as soon as the tables are known, and may use the
// connection until it returns.
func Check(ctx context.Context, conn *pgx.Conn, c Config, patterns []catalog.Pattern, renew bool, known func([]catalog.Table) error) (Survey, problem.List, error) {
	p := &preflight{conn: conn, config: c, renew: renew, conditions: map[change.Table]condition{}}
	steps := []func(context.Context) error{
		p.server, p.slot, p.retention, func(ctx context.Context) error { return p.tables(ctx, patterns) },
	}
	if known != nil {
		steps = append(steps, func(context.Context) error { return known(p.Tables) })
	}
	steps = append(steps, p.publication)
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return p.Survey, p.found, err
		}
	}
	return p.Survey, p.found, nil
}

func (p *preflight) add(what, why, fix string) {
	p.found = append(p.found, &problem.Error{What: what, Why: why, Fix: fix})
}

// server asks for settings by current_setting: the view pg_settings makes the texts of all of them for each one that is asked for.
func (p *preflight) server(ctx context.Context) error {
	err := p.conn.QueryRow(ctx, `
		SELECT current_setting('server_version_num')::int, current_setting('wal_level'), pg_is_in_recovery(), current_user, current_database(),
		       (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user)
		         OR EXISTS (SELECT FROM pg_roles WHERE rolname IN ('rds_replication', 'rds_superuser') AND pg_has_role(current_user, oid, 'MEMBER')),
		       has_database_privilege(current_database(), 'CREATE'),
		       current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots),
		       current_setting('max_wal_senders')::int,
		       CASE WHEN pg_is_in_recovery() THEN 0 ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END,
		       current_setting('wal_sender_timeout')::interval, current_setting('synchronous_standby_names') <> '', pg_size_bytes(current_setting('max_slot_wal_keep_size')),
		       CASE WHEN idle::interval > '0' THEN idle ELSE '' END
		  FROM current_setting('idle_replication_slot_timeout', true) AS idle`). // null before 18
		Scan(&p.Version, &p.walLevel, &p.recovery, &p.user, &p.database, &p.replicates, &p.mayCreate, &p.slotsFree, &p.sendersTotal, &p.Timeline,
			&p.SenderTimeout, &p.Synchronous, &p.walKept, &p.idleTimeout)
	if err != nil {
		return fmt.Errorf("examine the server: %w", err)
	}
	if p.Version < 140000 {
		p.add(fmt.Sprintf("Postgres %d is too old", p.Version/10000), "logical messages in the stream came with Postgres 14", "upgrade to Postgres 14 or newer")
	}
	if p.recovery {
		p.add("the server is a standby", "freshet marks places in the stream, which only a primary can write", "point DATABASE_URL at the primary")
	}
	if p.walLevel != "logical" {
		p.add(fmt.Sprintf("cannot stream from slot %q", p.config.Slot), fmt.Sprintf("wal_level is %q; logical decoding needs \"logical\"", p.walLevel),
			"ALTER SYSTEM SET wal_level = 'logical'; then restart Postgres")
	}
	if !p.replicates {
		p.add(fmt.Sprintf("role %q may not replicate", p.user), "streaming from a slot needs the REPLICATION attribute",
			fmt.Sprintf("ALTER ROLE %s REPLICATION; (on Amazon RDS: GRANT rds_replication TO %[1]s;)", change.QuoteIdentifier(p.user)))
	}
	if p.sendersTotal == 0 {
		p.add("no replication connection is possible", "max_wal_senders is 0", "ALTER SYSTEM SET max_wal_senders = 10; then restart Postgres")
	}
	return nil
}

func (p *preflight) slot(ctx context.Context) error {
	var plugin, database, status, reason *string
	var confirmed *string
	// Only from 17 on there is a reason. As JSON it is null before.
	err := p.conn.QueryRow(ctx, `SELECT plugin, database, active, wal_status, to_jsonb(s) ->> 'invalidation_reason', confirmed_flush_lsn::text FROM pg_replication_slots s WHERE slot_name = $1`, p.config.Slot).
		Scan(&plugin, &database, &p.SlotActive, &status, &reason, &confirmed)
	if errors.Is(err, pgx.ErrNoRows) {
		if p.slotsFree < 1 {
			p.add(fmt.Sprintf("slot %q does not exist and cannot be created", p.config.Slot), "all of max_replication_slots are in use",
				"drop a slot that nobody uses (SELECT * FROM pg_replication_slots), or raise max_replication_slots and restart Postgres")
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for the slot: %w", err)
	}
	p.SlotExists = true
	switch {
	case plugin == nil || *plugin != "pgoutput":
		p.add(fmt.Sprintf("slot %q is not for freshet", p.config.Slot), "it is not a logical slot with the plugin pgoutput", "set POLLER_SLOT to another name")
	case database == nil || *database != p.database:
		p.add(fmt.Sprintf("slot %q belongs to another database", p.config.Slot), fmt.Sprintf("a slot decodes one database, and DATABASE_URL names %q", p.database), "set POLLER_SLOT to another name")
	case status != nil && *status == "lost":
		p.SlotLost = true
		p.found = append(p.found, p.lost(reason))
	}
	if confirmed != nil {
		if p.Confirmed, err = change.ParseLSN(*confirmed); err != nil {
			return fmt.Errorf("read the slot's position: %w", err)
		}
	}
	return nil
}

func (p *preflight) tables(ctx context.Context, patterns []catalog.Pattern) error {
	found, missing, err := catalog.Tables(ctx, p.conn, patterns)
	if err != nil {
		return err
	}
	p.Tables = found
	for _, m := range missing {
		p.add(fmt.Sprintf("table %s does not exist", m), "POLLER_TABLES names it, and no table in database "+fmt.Sprintf("%q", p.database)+" has this name",
			"correct POLLER_TABLES, or create the table; if it was renamed or dropped, remove the keys of the old name by posting a truncate of it to the function (local/batches/4-truncate.json)")
	}
	for _, t := range found {
		p.table(t)
		if err := p.where(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func (p *preflight) table(t catalog.Table) {
	switch {
	case len(t.PrimaryKey) == 0:
		p.add(fmt.Sprintf("table %s has no primary key", t.Table), "its rows could not be told apart, and publishing it without an identity would make the application's own UPDATE and DELETE fail",
			fmt.Sprintf("ALTER TABLE %s ADD PRIMARY KEY (...); or take it out of POLLER_TABLES", t.Table.SQL()))
	case t.Deferrable:
		p.add(fmt.Sprintf("the primary key of table %s is deferrable", t.Table), "two rows may have one key for a while, so a key that rows hand on could not be followed, and without another identity the application's own UPDATE and DELETE would fail",
			fmt.Sprintf("make the primary key of %s again, NOT DEFERRABLE; or take the table out of POLLER_TABLES", t.Table.SQL()))
	case generated(t) != "":
		p.add(fmt.Sprintf("column %q of the primary key of table %s is generated", generated(t), t.Table), "generated columns are not in the stream, so a row's key could not be found",
			"give the table a primary key of ordinary columns, or take it out of POLLER_TABLES")
	case t.Identity == 'n':
		p.add(fmt.Sprintf("table %s has REPLICA IDENTITY NOTHING", t.Table), "publishing it would make the application's own UPDATE and DELETE fail",
			fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY DEFAULT;", t.Table.SQL()))
	case t.Identity == 'i' && !containsAll(t.IdentityColumns, t.PrimaryKey):
		p.add(fmt.Sprintf("the replica identity of table %s lacks its primary key", t.Table), "a delete tells only the identity's columns ("+strings.Join(t.IdentityColumns, ", ")+"), so its key in Redis could not be found",
			fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY DEFAULT; or FULL", t.Table.SQL()))
	}
	if names := generatedValues(t); names != "" {
		p.found = append(p.found, &problem.Error{Warning: true, What: fmt.Sprintf("values of table %s lack %s", t.Table, names), Why: "generated columns are not in the stream, so the backfill leaves them out too",
			Fix: "nothing to do if nobody reads them from Redis; else let a trigger fill an ordinary column"})
	}
	if t.Unlogged || t.Temporary {
		p.add(fmt.Sprintf("table %s is not logged", t.Table), "changes of unlogged and temporary tables are not in the write-ahead log", fmt.Sprintf("ALTER TABLE %s SET LOGGED;", t.Table.SQL()))
	}
	if !t.HasSelect {
		p.add(fmt.Sprintf("role %q may not read table %s", p.user, t.Table), "the backfill and unchanged TOAST values need SELECT",
			fmt.Sprintf("GRANT SELECT ON %s TO %s;", t.Table.SQL(), change.QuoteIdentifier(p.user)))
	}
	if t.RowSecurity {
		p.add(fmt.Sprintf("row security hides rows of table %s from role %q", t.Table, p.user), "the stream carries all rows, a backfill would miss some",
			fmt.Sprintf("ALTER ROLE %s BYPASSRLS;", change.QuoteIdentifier(p.user)))
	}
}

// generated is a generated column of the primary key, if there is one.
func generated(t catalog.Table) string {
	for _, c := range t.Columns {
		if c.Generated && slices.Contains(t.PrimaryKey, c.Name) {
			return c.Name
		}
	}
	return ""
}

// generatedValues names the generated columns of a table for people.
func generatedValues(t catalog.Table) string {
	var names []string
	for _, c := range t.Columns {
		if c.Generated {
			names = append(names, fmt.Sprintf("%q", c.Name))
		}
	}
	return strings.Join(names, ", ")
}

func containsAll(list, wanted []string) bool {
	for _, w := range wanted {
		if !slices.Contains(list, w) {
			return false
		}
	}
	return true
}

func (p *preflight) publication(ctx context.Context) error {
	var owned, all, insert, update, remove, truncate, viaRoot bool
	err := p.conn.QueryRow(ctx, `SELECT pg_has_role(pubowner, 'USAGE'), puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot FROM pg_publication WHERE pubname = $1`, p.config.Publication).
		Scan(&owned, &all, &insert, &update, &remove, &truncate, &viaRoot)
	if errors.Is(err, pgx.ErrNoRows) {
		p.Unpublished = p.Tables
		p.rights(fmt.Sprintf("publication %q does not exist and cannot be created", p.config.Publication), p.mayCreate, p.Tables, p.createSQL(p.Tables))
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for the publication: %w", err)
	}
	p.PublicationExists = true
	name := change.QuoteIdentifier(p.config.Publication)
	if !(insert && update && remove && truncate) {
		p.add(fmt.Sprintf("publication %q leaves out some actions", p.config.Publication), "what is not published never reaches Redis", fmt.Sprintf("ALTER PUBLICATION %s SET (publish = 'insert, update, delete, truncate');", name))
	}
	if !viaRoot && slices.ContainsFunc(p.Tables, func(t catalog.Table) bool { return t.Kind == 'p' }) {
		p.add(fmt.Sprintf("publication %q publishes partitions under their own names", p.config.Publication), "a partitioned table's keys carry the name of the table itself", fmt.Sprintf("ALTER PUBLICATION %s SET (publish_via_partition_root = true);", name))
	}
	if err := p.unfilterable(ctx, all); all || err != nil {
		return err
	}
	if err := p.filters(ctx, name, owned); err != nil {
		return err
	}
	published, err := p.published(ctx)
	if err != nil {
		return err
	}
	for _, t := range p.Tables {
		if !published[t.Table] {
			p.Unpublished = append(p.Unpublished, t)
		}
	}
	if len(p.Unpublished) > 0 {
		p.rights(fmt.Sprintf("publication %q lacks tables that cannot be added", p.config.Publication), owned, p.Unpublished, fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s;", name, sqlNames(p.Unpublished)))
	}
	return nil
}

// rights finds out whether this role may publish the tables.
func (p *preflight) rights(what string, may bool, tables []catalog.Table, sql string) {
	var foreign []string
	for _, t := range tables {
		if !t.Owned {
			foreign = append(foreign, t.Table.String())
		}
	}
	switch {
	case len(foreign) > 0:
		p.add(what, fmt.Sprintf("role %q does not own %s", p.user, strings.Join(foreign, ", ")), "let a superuser or the owner run: "+sql)
	case !may:
		p.add(what, fmt.Sprintf("role %q may not create or change it in database %q", p.user, p.database), "let a superuser or the owner run: "+sql)
	}
}

func (p *preflight) published(ctx context.Context) (map[change.Table]bool, error) {
	rows, err := p.conn.Query(ctx, `SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = $1`, p.config.Publication)
	if err != nil {
		return nil, fmt.Errorf("read the publication: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowToStructByPos[change.Table])
	if err != nil {
		return nil, fmt.Errorf("read the publication: %w", err)
	}
	published := map[change.Table]bool{}
	for _, n := range names {
		published[n] = true
	}
	return published, nil
}

func (p *preflight) createSQL(tables []catalog.Table) string {
	return createPublication(p.config.Publication, tables)
}

func createPublication(name string, tables []catalog.Table) string {
	return fmt.Sprintf("CREATE PUBLICATION %s FOR TABLE %s WITH (publish_via_partition_root = true);", change.QuoteIdentifier(name), sqlNames(tables))
}

func sqlNames(tables []catalog.Table) string {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = published(t)
	}
	return strings.Join(names, ", ")
}

// Unreachable makes a finding of an error to connect. The driver's text may hold parts of the connection string, so only what the
// server or the network said is passed on.
func Unreachable(err error) *problem.Error {
	e := &problem.Error{What: "cannot connect to Postgres", Why: reason(err), Fix: "start the server, or check DATABASE_URL", Transient: true}
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		e.Transient = strings.HasPrefix(refused.Code, "57P") || strings.HasPrefix(refused.Code, "53") || strings.HasPrefix(refused.Code, "08")
		if !e.Transient {
			e.Fix = "check the user, the password and the database in DATABASE_URL, and pg_hba.conf"
		}
	}
	return e
}

func reason(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Message
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}
