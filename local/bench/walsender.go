package bench

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// glance is the pause between two looks at what is measured. No time is known better than that, but for the end of a backfill, see rowClock.pause.
const glance = 10 * time.Millisecond

// rarely is how many of these looks there are for each that counts the rows: looking takes processor time too, of which a yardstick that ends by itself needs none.
const rarely = 4

// walsenderWatch keeps the last known usage of the process that serves a slot. It has a connection of its own.
type walsenderWatch struct {
	cancel context.CancelFunc
	done   chan struct{}
	last   usage // to be read after done
}

func (b *bench) watchWalsender(ctx context.Context, slot string) (*walsenderWatch, error) {
	db, err := pgx.Connect(ctx, b.postgres.DSN)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &walsenderWatch{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer db.Close(context.WithoutCancel(ctx))
		defer close(w.done)
		w.last = followWalsender(ctx, db, slot)
	}()
	return w, nil
}

// usage ends the watch. It may be asked again.
func (w *walsenderWatch) usage() usage {
	w.cancel()
	<-w.done
	return w.last
}

func followWalsender(ctx context.Context, db *pgx.Conn, slot string) (last usage) {
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	pid := 0
	for {
		select {
		case <-ctx.Done():
			return last
		case <-ticker.C:
		}
		if pid == 0 { // nobody reads the slot yet
			_ = db.QueryRow(ctx, "SELECT coalesce(active_pid, 0) FROM pg_replication_slots WHERE slot_name = $1", slot).Scan(&pid)
		}
		if u, ok := usageOf(pid); ok {
			last = u
		}
	}
}
