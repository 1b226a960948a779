// Package catalog reads what Postgres knows about its tables and types: the tables that settings name, their keys and
// columns, and how the values of every type are to be rendered.
package catalog

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Querier is what this package needs of a connection; *pgx.Conn, pgx.Tx and *pgxpool.Pool all do.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}
