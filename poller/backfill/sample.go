package backfill

import (
	"context"
	"math"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/poller/row"
)

// Sample reads the first rows that meet a condition in SQL, all rows when it is empty, as a page would.
func Sample(ctx context.Context, conn *pgconn.PgConn, l *row.Layout, condition string, most int) ([]Row, error) {
	s := source{layout: l}
	sql := s.selectList() + s.where(condition) + " ORDER BY " + columnList(l.PrimaryKey) + " LIMIT " + strconv.Itoa(most)
	page, err := s.read(ctx, conn, sql, nil, math.MaxInt)
	if err != nil {
		return nil, err
	}
	return page.Rows, nil
}
