package guard

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"freshet/shared/config"
)

// Report is what one look has shown. How full the disk is it cannot say: Postgres does not tell.
type Report struct {
	Slot    string    `json:"slot"`
	Checked time.Time `json:"checked"` // by this machine's clock
	Exists  bool      `json:"exists"`
	Active  bool      `json:"active"` // somebody streams from it, we or another poller
	// WALStatus is Postgres' word: reserved, extended (beyond max_wal_size), unreserved (may be lost at the next checkpoint), lost. Empty
	// while the slot is being made.
	// https://www.postgresql.org/docs/current/view-pg-replication-slots.html
	WALStatus    string `json:"wal_status"`
	Invalidation string `json:"invalidation_reason,omitempty"` // from 17 on
	Conflicting  *bool  `json:"conflicting,omitempty"`         // from 16 on
	Failover     *bool  `json:"failover,omitempty"`            // from 17 on
	Synced       *bool  `json:"synced,omitempty"`              // from 17 on

	RestartLSN   string `json:"restart_lsn,omitempty"`
	ConfirmedLSN string `json:"confirmed_flush_lsn,omitempty"`
	EndLSN       string `json:"end_lsn"`
	// RetainedBytes is the log from restart_lsn on, which Postgres keeps for the slot; ConfirmedLagBytes is the part of it that is not confirmed.
	RetainedBytes     config.Bytes `json:"retained_bytes"`
	ConfirmedLagBytes config.Bytes `json:"confirmed_lag_bytes"`
	// SafeBytes can still be written before the slot may be lost; null when nothing limits it, or it is lost.
	SafeBytes *config.Bytes `json:"safe_wal_bytes"`
	// LimitBytes is the log that the slot may keep: max_slot_wal_keep_size, or wal_keep_size where that is more. Negative: no limit.
	LimitBytes config.Bytes `json:"limit_bytes"`

	// InactiveSeconds is how long nobody has streamed: from 17 on what Postgres says, before that since we have seen it so.
	InactiveSeconds float64 `json:"inactive_seconds"`
	// MissingSeconds is how long we have seen no such slot.
	MissingSeconds float64      `json:"missing_seconds,omitempty"`
	Oldest         *Transaction `json:"oldest_transaction,omitempty"`

	// SenderPID is the process that streams. SenderStuck says that it wants to end, and waits for its client to read its last message: until
	// then Postgres can neither drop nor invalidate the slot, and a checkpoint that wants to waits too, for the whole server.
	SenderPID   int32 `json:"sender_pid,omitempty"`
	SenderStuck bool  `json:"sender_stuck,omitempty"`

	toldInactive bool // by Postgres
}

// Transaction is the oldest one that has written and not ended. Log from its beginning on is kept, whatever the slot confirms.
type Transaction struct {
	ID  string `json:"id"`
	PID int32  `json:"pid,omitempty"` // 0 for a prepared one
	// Prepared is the name of a prepared transaction.
	Prepared string `json:"prepared,omitempty"`
	// OpenSeconds is how long it has been open, or at least: what another role's session does is seen only with pg_read_all_stats.
	OpenSeconds float64 `json:"open_seconds"`

	toldOpen bool // by Postgres
}

// look is one query for all versions: as JSON, a column that a version does not have is null. A walsender that waits for its client while it streams
// has the wait event WalSenderWriteData; ClientWrite is what it has when it says why it ends.
const look = `
SELECT e.lsn::text, s.slot_name IS NOT NULL, coalesce(s.active, false), coalesce(s.wal_status, ''),
       coalesce(to_jsonb(s) ->> 'invalidation_reason', ''), (to_jsonb(s) ->> 'conflicting')::bool, (to_jsonb(s) ->> 'failover')::bool, (to_jsonb(s) ->> 'synced')::bool,
       coalesce(s.restart_lsn::text, ''), coalesce(s.confirmed_flush_lsn::text, ''),
       greatest(coalesce(pg_wal_lsn_diff(e.lsn, s.restart_lsn), 0), 0)::bigint, greatest(coalesce(pg_wal_lsn_diff(e.lsn, s.confirmed_flush_lsn), 0), 0)::bigint,
       s.safe_wal_size, pg_size_bytes(current_setting('max_slot_wal_keep_size')), pg_size_bytes(current_setting('wal_keep_size')),
       extract(epoch FROM clock_timestamp() - (to_jsonb(s) ->> 'inactive_since')::timestamptz)::float8,
       coalesce(s.active_pid, 0), EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = s.active_pid AND a.wait_event = 'ClientWrite'),
       t.xid::text, t.pid, t.gid, extract(epoch FROM clock_timestamp() - t.began)::float8
  FROM (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END) e(lsn)
  LEFT JOIN pg_replication_slots s ON s.slot_name = $1
  LEFT JOIN (
       SELECT pid, NULL::text, backend_xid, xact_start FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
       UNION ALL SELECT NULL, gid, transaction, prepared FROM pg_prepared_xacts
       ) t(pid, gid, xid, began) ON true
 ORDER BY age(t.xid) DESC NULLS LAST LIMIT 1`

// Inspect looks at the slot once. now is this machine's time.
func Inspect(ctx context.Context, conn *pgx.Conn, slot string, now time.Time) (Report, error) {
	r := Report{Slot: slot, Checked: now}
	var keep, walKeep config.Bytes
	var inactive, open *float64
	var xid, gid *string
	var pid *int32
	err := conn.QueryRow(ctx, look, slot).Scan(
		&r.EndLSN, &r.Exists, &r.Active, &r.WALStatus, &r.Invalidation, &r.Conflicting, &r.Failover, &r.Synced,
		&r.RestartLSN, &r.ConfirmedLSN, &r.RetainedBytes, &r.ConfirmedLagBytes, &r.SafeBytes, &keep, &walKeep, &inactive, &r.SenderPID, &r.SenderStuck, &xid, &pid, &gid, &open)
	if err != nil {
		return r, fmt.Errorf("look at slot %q: %w", slot, err)
	}
	r.LimitBytes = keep
	if keep >= 0 {
		r.LimitBytes = max(keep, walKeep)
	}
	if inactive != nil && !r.Active {
		r.InactiveSeconds, r.toldInactive = max(0, *inactive), true
	}
	if xid != nil {
		r.Oldest = &Transaction{ID: *xid}
		if pid != nil {
			r.Oldest.PID = *pid
		}
		if gid != nil {
			r.Oldest.Prepared = *gid
		}
		if open != nil {
			r.Oldest.OpenSeconds, r.Oldest.toldOpen = max(0, *open), true
		}
	}
	return r, nil
}
