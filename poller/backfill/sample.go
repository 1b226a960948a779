package backfill

import (
	"context"
	"math"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/poller/row"
)

// Sample reads the first rows that meet a condition in SQL, all rows when it is empty, as a page would.
func Sample(ctx context.Context, conn *pgconn.PgConn, l *row.Layout, condition string, most int) ([]Row, error) {
	s := source{layout: l, only: condition}
	page, err := s.page(ctx, &Runner{Conn: conn, Pages: &Pages{}}, s.query(nil, most), math.MaxInt, Deal{}, sizes{})
	if err != nil {
		return nil, err
	}
	return page.Rows, nil
}
