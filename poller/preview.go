package poller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/poller/backfill"
	"freshet/poller/catalog"
	"freshet/poller/row"
	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// PreviewRequest asks what would become of some rows.
type PreviewRequest struct {
	Table string // as in POLLER_TABLES
	Where string // a condition in SQL; empty for any rows
	Limit int
	// Against asks what the keys hold now, too.
	Against bool
}

// Previewed is one row and what the function would do about it.
type Previewed struct {
	PrimaryKey string // as JSON
	exchange.Receipt
	// Refused is the function's no; nil when there was none.
	Refused *problem.Error
}

// Preview reads rows and has the function say what it would write. Nothing is written anywhere.
func (p *Poller) Preview(ctx context.Context, ask PreviewRequest) ([]Previewed, error) {
	if !p.config.Fence {
		return nil, &problem.Error{What: "a preview needs a function that knows dry runs", Why: "POLLER_FENCE is off, and an endpoint of your own would take the rows for real", Fix: "point POLLER_FUNCTION_URL at freshet's function"}
	}
	conn, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing hangs on it
	l := &life{Poller: p, connections: connections{catalog: conn}}
	table, err := l.previewed(ctx, ask.Table)
	if err != nil {
		return nil, err
	}
	layout, err := l.fromCatalog(ctx, table)
	if err != nil {
		return nil, err
	}
	rows, err := backfill.Sample(ctx, conn.PgConn(), layout, ask.Where, ask.Limit)
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return nil, &problem.Error{What: fmt.Sprintf("the rows of %s cannot be read", table.Table), Why: refused.Message, Fix: "check the condition after --where, and the role's rights"}
	}
	if err != nil {
		return nil, err
	}
	all := make([]Previewed, len(rows))
	for i, r := range rows {
		if all[i], err = p.previewRow(ctx, layout, r, ask.Against); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// previewed finds the table, with the condition that POLLER_TABLES has for it. A table that is not mirrored yet may be tried too.
func (l *life) previewed(ctx context.Context, name string) (t catalog.Table, err error) {
	table, err := change.ParseTable(name)
	if err != nil {
		return t, &problem.Error{What: fmt.Sprintf("%q is not the name of a table", name), Why: err.Error(), Fix: "write it as in POLLER_TABLES: products, public.orders"}
	}
	pattern := catalog.Pattern{Schema: table.Schema, Name: table.Name}
	for _, p := range l.patterns {
		if !p.Any && p.Table() == table {
			pattern = p
		}
	}
	found, _, err := catalog.Tables(ctx, l.catalog, []catalog.Pattern{pattern})
	switch {
	case err != nil:
		return t, err
	case len(found) == 0:
		return t, &problem.Error{What: fmt.Sprintf("table %s does not exist", table), Why: "no table of the database has this name", Fix: "check the name and its schema"}
	case len(found[0].PrimaryKey) == 0:
		return t, &problem.Error{What: fmt.Sprintf("table %s has no primary key", table), Why: "its rows could not be told apart", Fix: fmt.Sprintf("ALTER TABLE %s ADD PRIMARY KEY (...);", table.SQL())}
	}
	l.tables = newTables(found)
	return found[0], nil
}

// previewRow sends a row by itself, so that what is said is said of it.
func (p *Poller) previewRow(ctx context.Context, l *row.Layout, r backfill.Row, against bool) (Previewed, error) {
	var tx change.Transaction
	tx.Begin(0, 0, time.Now())
	b := change.Batch{ID: "preview"}
	body, err := b.AppendHead(nil)
	if err != nil {
		return Previewed{}, err
	}
	body = append(change.AppendOpen(body, change.Read), r.Record...)
	body = append(change.AppendChanges(body), "null"...)
	body = change.AppendEnd(l.Frame.AppendClose(body, &tx, 0))
	m := change.Message{Record: string(r.Record), Metadata: change.Metadata{PrimaryKey: l.PrimaryKey}}
	seen := Previewed{PrimaryKey: m.Reduced("").Record}
	receipt, a := p.client.DryRun(ctx, body, against)
	switch a.Outcome {
	case exchange.Settled:
		seen.Receipt = receipt
	case exchange.Held, exchange.TooLarge:
		seen.Refused = a.Problem
	default:
		return seen, a.Problem
	}
	return seen, nil
}
