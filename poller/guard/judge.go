package guard

import (
	"fmt"
	"strings"
	"time"

	"freshet/shared/config"
)

// Kind tells warnings apart.
type Kind string

// The kinds.
const (
	Retained       Kind = "retained"    // the slot keeps much log
	Extended       Kind = "extended"    // more than max_wal_size
	Losing         Kind = "losing"      // the slot is about to be lost, or is
	Inactive       Kind = "inactive"    // nobody streams
	Missing        Kind = "missing"     // there is no slot
	OldTransaction Kind = "transaction" // one has been open for long
	Blind          Kind = "blind"       // we cannot look
)

// Warning is danger, and what to do about it.
type Warning struct {
	Kind Kind   `json:"kind"`
	What string `json:"what"`
	Why  string `json:"why"`
	Fix  string `json:"fix"`
	// figure measures the danger: one that has doubled is said again. Zero for what has no measure.
	figure float64
}

// What is long. Between two lives a slot is inactive for seconds.
const (
	inactiveLong = time.Minute
	openLong     = time.Hour
)

// Since is the report with what only a look before it can tell: for how long things have been as they are.
func (r Report) Since(before Report) Report {
	passed := max(0, r.Checked.Sub(before.Checked).Seconds())
	if before.Checked.IsZero() {
		passed = 0
	}
	if r.Exists && !r.Active && !r.toldInactive && before.Exists && !before.Active {
		r.InactiveSeconds = before.InactiveSeconds + passed
	}
	if !r.Exists && !before.Exists {
		r.MissingSeconds = before.MissingSeconds + passed
	}
	if r.Oldest != nil && !r.Oldest.toldOpen && before.Oldest != nil && before.Oldest.ID == r.Oldest.ID {
		t := *r.Oldest
		t.OpenSeconds = before.Oldest.OpenSeconds + passed
		r.Oldest = &t
	}
	return r
}

// Judge says what is wrong, most urgent first.
func (c Config) Judge(r Report) (found []Warning) {
	add := func(w Warning) { found = append(found, w) }
	switch {
	case !r.Exists && r.MissingSeconds >= inactiveLong.Seconds():
		add(r.missing())
	case !r.Exists:
	case r.WALStatus == "lost":
		add(r.lost())
	default:
		if r.losing() {
			add(r.nearlyLost())
		}
		if r.RetainedBytes > c.SlotWarnBytes {
			add(r.retained())
		}
		if r.WALStatus == "extended" {
			add(r.extended())
		}
		if r.InactiveSeconds >= inactiveLong.Seconds() {
			add(r.inactive())
		}
		if r.Oldest != nil && r.Oldest.OpenSeconds > openLong.Seconds() {
			add(r.oldTransaction())
		}
	}
	return found
}

// losing: more than half of what the slot may keep is used, or less than a fifth of it is left to write.
func (r Report) losing() bool {
	if r.WALStatus == "unreserved" {
		return true
	}
	return r.SafeBytes != nil && r.LimitBytes >= 0 && (r.RetainedBytes > r.LimitBytes/2 || *r.SafeBytes < r.LimitBytes/5)
}

// The figures of losing: below these, how many times what is left goes into the limit.
const (
	figureUnreserved = 1e15
	figureLost       = 1e18
)

func (r Report) nearlyLost() Warning {
	w := Warning{Kind: Losing, Fix: r.fix() + "; to gain time: " + raise(r.LimitBytes)}
	limit := fmt.Sprintf("it keeps %s of log, and may keep %s (max_slot_wal_keep_size); %s", r.RetainedBytes, r.LimitBytes, r.cause())
	if r.WALStatus == "unreserved" || r.SafeBytes == nil || *r.SafeBytes <= 0 {
		w.What, w.Why, w.figure = fmt.Sprintf("slot %q may be lost at the next checkpoint", r.Slot), "wal_status is "+r.WALStatus+": "+limit, figureUnreserved
		return w
	}
	w.What, w.Why, w.figure = fmt.Sprintf("slot %q will be lost once %s more log is written", r.Slot, *r.SafeBytes), limit, float64(r.LimitBytes)/float64(*r.SafeBytes)
	return w
}

// raise doubles the limit. What is set in megabytes needs no unit.
func raise(limit config.Bytes) string {
	return fmt.Sprintf("ALTER SYSTEM SET max_slot_wal_keep_size = '%dMB'; SELECT pg_reload_conf(); if the disk has room", max(1, 2*limit>>20))
}

func (r Report) lost() Warning {
	why := "Postgres removed write-ahead log that it still needed (max_slot_wal_keep_size)"
	if r.Invalidation != "" && r.Invalidation != "wal_removed" {
		why = "Postgres has invalidated it: " + r.Invalidation
	}
	return Warning{
		Kind: Losing, figure: figureLost, What: fmt.Sprintf("slot %q is lost", r.Slot), Why: why,
		Fix: fmt.Sprintf("nothing to do while POLLER_REPAIR has the cause slot: freshet makes a new one and reads all rows again; else SELECT pg_drop_replication_slot('%s'); and start the poller again", r.Slot),
	}
}

func (r Report) retained() Warning {
	w := Warning{Kind: Retained, figure: float64(r.RetainedBytes), What: fmt.Sprintf("slot %q keeps %s of write-ahead log", r.Slot, r.RetainedBytes), Why: r.cause(), Fix: r.fix()}
	if r.LimitBytes < 0 {
		w.Why += "; and max_slot_wal_keep_size is -1, so that nothing bounds it but the disk"
		w.Fix += "; to bound it: ALTER SYSTEM SET max_slot_wal_keep_size = '16GB'; SELECT pg_reload_conf(); with a size that the disk has room for: beyond it Postgres gives up the slot, and freshet fills Redis anew"
	}
	w.Fix += "; if that much is usual here, raise POLLER_SLOT_WARN_BYTES"
	return w
}

func (r Report) extended() Warning {
	return Warning{
		Kind: Extended, What: fmt.Sprintf("slot %q has pg_wal grow beyond max_wal_size", r.Slot), Why: fmt.Sprintf("wal_status is extended: it keeps %s of log; %s", r.RetainedBytes, r.cause()),
		Fix: r.fix(),
	}
}

func (r Report) inactive() Warning {
	return Warning{
		Kind: Inactive, figure: r.InactiveSeconds, What: fmt.Sprintf("nobody has read slot %q for %s", r.Slot, period(r.InactiveSeconds)),
		Why: fmt.Sprintf("this poller runs, but no stream is open, and Postgres keeps all log meanwhile: %s by now", r.RetainedBytes),
		Fix: "GET /readyz at POLLER_ADMIN_ADDR says what it waits for",
	}
}

func (r Report) missing() Warning {
	return Warning{
		Kind: Missing, figure: r.MissingSeconds, What: fmt.Sprintf("there has been no slot %q for %s", r.Slot, period(r.MissingSeconds)),
		Why: "it is made when the poller streams, and that has not come about; nothing keeps the changes of this time",
		Fix: "GET /readyz at POLLER_ADMIN_ADDR says what it waits for",
	}
}

func (r Report) oldTransaction() Warning {
	return Warning{
		Kind: OldTransaction, figure: r.Oldest.OpenSeconds, What: fmt.Sprintf("a transaction that has written is open for %s", period(r.Oldest.OpenSeconds)),
		Why: fmt.Sprintf("until it ends, all log from its beginning on is kept for slot %q, whatever is confirmed: %s by now", r.Slot, r.RetainedBytes),
		Fix: r.Oldest.end(),
	}
}

// end says how to end the transaction.
func (t Transaction) end() string {
	if t.PID == 0 {
		name := strings.ReplaceAll(t.Prepared, "'", "''")
		return fmt.Sprintf("COMMIT PREPARED '%s'; or ROLLBACK PREPARED '%[1]s'; in its database (SELECT * FROM pg_prepared_xacts)", name)
	}
	return fmt.Sprintf("let its session end it; or SELECT pg_terminate_backend(%d); (SELECT * FROM pg_stat_activity WHERE pid = %[1]d)", t.PID)
}

// cause says why log is kept.
func (r Report) cause() string {
	switch {
	case !r.Active:
		return "nobody reads from it"
	case r.pinned():
		return fmt.Sprintf("only %s of it are not confirmed, but a transaction has been open for %s, and log from its beginning on is kept", r.ConfirmedLagBytes, period(r.Oldest.OpenSeconds))
	case r.confirmed():
		return fmt.Sprintf("only %s of it are not confirmed: Postgres lets go of the rest by itself, soon after its next checkpoint", r.ConfirmedLagBytes)
	}
	return fmt.Sprintf("%s of it are not confirmed: the function or Redis is away, or takes less than is written", r.ConfirmedLagBytes)
}

func (r Report) fix() string {
	switch {
	case r.Active && r.pinned():
		return r.Oldest.end()
	case r.Active && r.confirmed():
		return "CHECKPOINT; if it does not come by itself"
	}
	return "GET /readyz at POLLER_ADMIN_ADDR says what freshet waits for; mend that"
}

// pinned says whether a transaction keeps more log than we do.
func (r Report) pinned() bool {
	const young = 60 // seconds: others end by themselves
	return r.Oldest != nil && r.Oldest.OpenSeconds > young && r.confirmed()
}

// confirmed says whether most of what is kept is not kept for us.
func (r Report) confirmed() bool { return r.ConfirmedLagBytes < r.RetainedBytes/2 }

func period(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}
