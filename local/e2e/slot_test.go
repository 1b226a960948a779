package e2e_test

import (
	"fmt"
	"time"
)

// now is the end of the log: what was committed before lies below it.
func (r *rig) now() string {
	r.Helper()
	return r.text("pg_current_wal_insert_lsn()")
}

// confirmed is what the slot has confirmed.
func (r *rig) confirmed() string {
	r.Helper()
	return r.text("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = $1", r.name)
}

// walsender is the process that serves the slot; empty when nobody reads it.
func (r *rig) walsender() string {
	r.Helper()
	return r.text("SELECT r.pid FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid WHERE s.slot_name = $1", r.name)
}

// reaches says whether the slot has confirmed this much.
func (r *rig) reaches(lsn string) bool {
	r.Helper()
	confirmed := r.confirmed()
	return confirmed != "" && r.text("$1::pg_lsn >= $2::pg_lsn", confirmed, lsn) == "true"
}

// wantConfirmed waits until the slot has confirmed this much.
func (r *rig) wantConfirmed(within time.Duration, lsn string) {
	r.Helper()
	eventually(r.T, within, func() error {
		if !r.reaches(lsn) {
			return fmt.Errorf("confirmed_flush_lsn is %s, want %s", r.confirmed(), lsn)
		}
		return nil
	})
}
