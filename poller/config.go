package poller

import (
	"fmt"
	"time"

	"freshet/poller/backfill"
	"freshet/poller/catalog"
	"freshet/poller/guard"
	"freshet/poller/lane"
	"freshet/poller/replication"
	"freshet/poller/sink"
	"freshet/shared/logging"
	"freshet/shared/problem"
)

// Prefix begins the names of the poller's variables.
const Prefix = "POLLER"

// Config is everything that can be set.
type Config struct {
	Source
	Sink
	Logging
	Lanes
	Backfill
	Audit
	Repairs
	Guard
	Process
}

// The parts, each declared beside the code that obeys it.
type (
	Source  struct{ replication.Config }
	Sink    struct{ sink.Config }
	Logging struct{ logging.Config }
	Lanes   struct{ lane.Limits }
	// Backfill says what to do about rows that were there before.
	Backfill struct {
		Backfill string `split_words:"true" default:"initial" desc:"initial: rows that were there before are sent too; off: only what changes from now on."`
		backfill.Limits
	}
	// Audit compares rows and keys all the time, a few each second.
	Audit struct {
		AuditRate int `split_words:"true" default:"100" desc:"Rows a second that are compared with Redis in the background, for ever, and keys likewise; 0 turns it off."`
	}
	// Repairs says which damage is put right without a person.
	Repairs struct {
		Repair string `split_words:"true" default:"all" desc:"Damage that is repaired without a person, by its cause: all, none, or some of emptied,behind,slot,promoted,rules,shape,recreated,audit. What else is found is only reported."`
	}
	Guard struct{ guard.Config }
	// Process is the life of the program.
	Process struct {
		Tables string `split_words:"true" needed:"true" desc:"Tables to mirror: products,public.orders or all of a schema, shop.*; some of the rows, from Postgres 15 on: products WHERE (price > 10)"`
		Admin
		ExitWhenIdle time.Duration `split_words:"true" desc:"Exit once everything is in Redis and nothing has come for this long, such as 5s: for scheduled jobs. Not set: run until stopped."`
		DrainTimeout time.Duration `split_words:"true" default:"8s" desc:"Longest that a stop waits for batches on their way."`
	}
)

// Admin is where an operator finds the poller. The commands that ask a running poller need nothing else.
type Admin struct {
	AdminAddr string `split_words:"true" default:"127.0.0.1:9090" desc:"Where /healthz, /readyz, /metrics and the commands backfill and verify are served. Nobody is asked who they are: keep it from strangers."`
}

// The values of POLLER_BACKFILL.
const (
	backfillInitial = "initial"
	backfillOff     = "off"
)

// mostAudited is about what one connection can read beside everything else.
const mostAudited = 10_000

// Validate checks everything that needs no connection.
func (c *Config) Validate() (found problem.List) {
	found = append(found, c.Source.Validate()...)
	found = append(found, c.Sink.Validate()...)
	found = append(found, c.Logging.Validate()...)
	found = append(found, c.Lanes.Validate()...)
	found = append(found, c.Guard.Validate()...)
	if _, wrong := parseCauses(c.Repair); wrong != nil {
		found = append(found, wrong)
	}
	if _, err := catalog.ParsePatterns(c.Tables); err != nil {
		found = append(found, &problem.Error{What: "POLLER_TABLES cannot be read", Why: err.Error(), Fix: "use names separated by commas, such as products,public.orders"})
	}
	if b := c.Backfill.Backfill; b != backfillInitial && b != backfillOff {
		found = append(found, &problem.Error{What: fmt.Sprintf("POLLER_BACKFILL is %q", b), Fix: "use initial or off"})
	}
	if c.BackfillPages < 1 || c.BackfillPageBytes < 1024 {
		found = append(found, &problem.Error{What: "the backfill's limits are too small", Fix: "use POLLER_BACKFILL_PAGES of at least 1 and POLLER_BACKFILL_PAGE_BYTES of at least 1024"})
	}
	if c.AuditRate < 0 || c.AuditRate > mostAudited {
		found = append(found, &problem.Error{What: fmt.Sprintf("POLLER_AUDIT_RATE is %d", c.AuditRate), Fix: fmt.Sprintf("use 0 to %d rows a second", mostAudited)})
	}
	if c.ExitWhenIdle < 0 || c.DrainTimeout <= 0 {
		found = append(found, &problem.Error{What: "POLLER_EXIT_WHEN_IDLE or POLLER_DRAIN_TIMEOUT is negative or zero", Fix: "use durations above zero, such as 5s"})
	}
	return found
}
