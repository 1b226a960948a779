package replication

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"freshet/shared/change"
)

// Prepare makes what the survey found missing: first the publication, then the slot, since a publication must exist wherever
// the slot decodes. A slot that is lost is dropped first. made tells whether the slot is new.
func Prepare(ctx context.Context, conn *pgx.Conn, c Config, s Survey, log *slog.Logger) (made bool, err error) {
	if !s.PublicationExists {
		if _, err := conn.Exec(ctx, createPublication(c.Publication, s.Tables)); err != nil {
			return false, fmt.Errorf("create publication %q: %w", c.Publication, err)
		}
		if _, err := conn.Exec(ctx, markMade.sql(c.Publication)); err != nil {
			return false, fmt.Errorf("mark publication %q: %w", c.Publication, err)
		}
		log.Info("created the publication", "publication", c.Publication, "tables", len(s.Tables))
	} else if len(s.Unpublished) > 0 {
		sql := fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s", change.QuoteIdentifier(c.Publication), sqlNames(s.Unpublished))
		if _, err := conn.Exec(ctx, sql); err != nil {
			return false, fmt.Errorf("add tables to publication %q: %w", c.Publication, err)
		}
		log.Info("added tables to the publication", "publication", c.Publication, "tables", len(s.Unpublished))
	}
	if err := refilter(ctx, conn, c, s, log); err != nil {
		return false, err
	}
	if s.SlotLost {
		if err := dropLost(ctx, conn, c.Slot); err != nil {
			return false, err
		}
	} else if s.SlotExists {
		return false, nil
	}
	log.Info("creating the slot; this waits for the transactions that are writing now")
	// From 17 on a slot can be kept on standbys, so that a promoted one goes on where this server stopped.
	// https://www.postgresql.org/docs/current/logicaldecoding-explanation.html#LOGICALDECODING-REPLICATION-SLOTS-SYNCHRONIZATION
	sql := "SELECT pg_create_logical_replication_slot($1, 'pgoutput')"
	if s.Version >= 170000 {
		sql = "SELECT pg_create_logical_replication_slot($1, 'pgoutput', false, false, true)"
	}
	if _, err := conn.Exec(ctx, sql, c.Slot); err != nil {
		return false, fmt.Errorf("create slot %q: %w", c.Slot, err)
	}
	return true, nil
}

// dropLost drops a slot only if it is still lost: another poller may have been faster, and ErrSlotInUse has this one stand by.
func dropLost(ctx context.Context, conn *pgx.Conn, slot string) error {
	done, err := conn.Exec(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND wal_status = 'lost'`, slot)
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && refused.Code == "55006", err == nil && done.RowsAffected() == 0: // object_in_use
		return ErrSlotInUse
	case err != nil:
		return fmt.Errorf("drop the lost slot %q: %w", slot, err)
	}
	return nil
}

// Confirmed is where the slot is now.
func Confirmed(ctx context.Context, conn *pgx.Conn, slot string) (change.LSN, error) {
	var text string
	if err := conn.QueryRow(ctx, `SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1`, slot).Scan(&text); err != nil {
		return 0, fmt.Errorf("read the position of slot %q: %w", slot, err)
	}
	return change.ParseLSN(text)
}

// StatusInterval is how often to report: as configured, but at least twice within the server's wal_sender_timeout.
func (s Survey) StatusInterval(configured time.Duration) time.Duration {
	if limit := s.SenderTimeout / 2; limit > 0 {
		return min(configured, limit*9/10)
	}
	return configured
}

// Awaited says whether commits wait for what the slot's reader confirms: whether it is, or may become, a synchronous standby.
// https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-REPLICATION-VIEW
func Awaited(ctx context.Context, conn *pgx.Conn, slot string) (awaited bool, err error) {
	err = conn.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid
		                WHERE s.slot_name = $1 AND r.sync_state IN ('sync', 'quorum', 'potential'))`, slot).Scan(&awaited)
	if err != nil {
		return false, fmt.Errorf("ask whether commits wait for slot %q: %w", slot, err)
	}
	return awaited, nil
}
