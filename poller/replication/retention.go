package replication

import (
	"context"
	"fmt"

	"freshet/shared/problem"
)

// lost is the finding about a slot that Postgres has given up.
func (p *preflight) lost(reason *string) *problem.Error {
	e := &problem.Error{
		What: fmt.Sprintf("slot %q is lost", p.config.Slot), Why: "Postgres removed write-ahead log that the slot still needed (max_slot_wal_keep_size)", Warning: p.renew,
		Fix: "nothing to do: it is dropped and made anew, and the rows of all tables are read again, since POLLER_REPAIR has the cause slot",
	}
	switch {
	case reason == nil || *reason == "wal_removed":
	case *reason == "idle_timeout":
		e.Why = "Postgres gave it up because nobody had read it for as long as idle_replication_slot_timeout"
	default:
		e.Why = "Postgres has invalidated it: " + *reason
	}
	if !p.renew {
		e.Fix = fmt.Sprintf("have slot among the causes of POLLER_REPAIR, so that it is dropped and made anew and the rows of all tables are read again; or SELECT pg_drop_replication_slot('%s'); start the poller, which makes a new one, and run poller verify --repair", p.config.Slot)
	}
	return e
}

// retention warns of settings that let a poller which is away do harm.
func (p *preflight) retention(context.Context) error {
	if p.walKept < 0 {
		p.found = append(p.found, &problem.Error{
			Warning: true, What: "nothing bounds the write-ahead log that a slot keeps", Why: "max_slot_wal_keep_size is -1: while the poller, the function or Redis is away, log piles up until the disk is full and Postgres stops",
			Fix: "ALTER SYSTEM SET max_slot_wal_keep_size = '16GB'; SELECT pg_reload_conf(); with a size that the disk has room for. Beyond it Postgres gives up the slot, and freshet makes a new one and fills Redis again",
		})
	}
	if p.idleTimeout != "" {
		p.found = append(p.found, &problem.Error{
			Warning: true, What: "Postgres gives up slots that nobody reads for a while", Why: "idle_replication_slot_timeout is " + p.idleTimeout + ": a poller that is away for longer has to read all rows again, however little has changed",
			Fix: "ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf(); max_slot_wal_keep_size is the bound that protects the disk",
		})
	}
	return nil
}
