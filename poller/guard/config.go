package guard

import (
	"fmt"
	"time"

	"freshet/shared/config"
	"freshet/shared/problem"
)

// Config says how closely to watch.
type Config struct {
	GuardEvery    time.Duration `split_words:"true" default:"10s" desc:"How often to look at the slot: how much log it keeps back, and how near Postgres is to giving it up."`
	SlotWarnBytes config.Bytes  `split_words:"true" default:"4GiB" desc:"Write-ahead log kept back by the slot from which on to warn, such as 4GiB. Half of max_slot_wal_keep_size is warned of in any case."`
}

const leastEvery = 100 * time.Millisecond

// Validate refuses what cannot work.
func (c Config) Validate() (found problem.List) {
	if c.GuardEvery < leastEvery {
		found = append(found, &problem.Error{What: fmt.Sprintf("POLLER_GUARD_EVERY is %s", c.GuardEvery), Fix: fmt.Sprintf("use at least %s, such as 10s", leastEvery)})
	}
	if c.SlotWarnBytes <= 0 {
		found = append(found, &problem.Error{What: fmt.Sprintf("POLLER_SLOT_WARN_BYTES is %d", c.SlotWarnBytes), Fix: "use a size above zero, such as 4GiB"})
	}
	return found
}
