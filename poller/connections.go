package poller

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"

	"freshet/poller/render"
	"freshet/poller/replication"
)

// connections are those of a life to Postgres. The catalog's comes first, alone: where it cannot be opened the others need not be tried.
type connections struct {
	catalog *pgx.Conn // for the receiving goroutine
	rows    *pgx.Conn // for the backfill
	marks   *pgx.Conn // for the backfill's marks
	sender  *replication.Connection

	giveUp  context.CancelFunc // of opening them; nil as long as they were not asked for
	opening sync.WaitGroup
	failed  struct{ sender, rows, marks error }
}

// openOthers begins to open all but the catalog's, side by side. What comes of each is known after opening.Wait.
func (c *connections) openOthers(ctx context.Context, p *Poller) {
	ctx, c.giveUp = context.WithCancel(ctx)
	c.opening.Go(func() { c.sender, c.failed.sender = replication.Connect(ctx, p.config.Source.Config, render.Pin()) })
	c.opening.Go(func() { c.rows, c.failed.rows = p.connect(ctx) })
	c.opening.Go(func() { c.marks, c.failed.marks = p.connect(ctx) })
}

// hangUp closes what was opened, or is still being opened. The stream's connection is its own from its start on.
func (c *connections) hangUp(ctx context.Context) {
	if c.giveUp != nil {
		c.giveUp()
		c.opening.Wait()
	}
	if c.sender != nil {
		c.sender.Close(ctx)
	}
	for _, conn := range []*pgx.Conn{c.catalog, c.rows, c.marks} {
		if conn != nil {
			_ = conn.Close(ctx) // it held nothing
		}
	}
}
