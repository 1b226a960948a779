// Package replication owns the replication connection: it connects, receives and reports. It also sees to the slot and the
// publication that the stream needs.
package replication

import (
	"fmt"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"

	"freshet/shared/config"
	"freshet/shared/problem"
)

// Config names the source.
type Config struct {
	DatabaseURL config.Secret `envconfig:"DATABASE_URL" bare:"true" needed:"true" desc:"The source: a Postgres connection string, such as postgres://user:password@host:5432/shop."`
	Slot        string        `split_words:"true" default:"freshet" desc:"Replication slot; made when it is missing."`
	Publication string        `split_words:"true" default:"freshet" desc:"Publication; made when it is missing."`
	Narrow      string        `split_words:"true" default:"auto" desc:"auto: a publication that the poller has made lists only the columns that the function's rules use, from Postgres 15 on, so that nothing else is decoded and sent; while it does, Postgres refuses to drop such a column or to change its type. off: all columns."`
	StatusEvery time.Duration `split_words:"true" default:"10s" desc:"Longest time between two status reports to Postgres; half of its wal_sender_timeout where that is shorter."`
}

// names are what a slot may be called. Postgres refuses others, and pglogrepl pastes the name unquoted.
// https://www.postgresql.org/docs/current/warm-standby.html#STREAMING-REPLICATION-SLOTS-MANIPULATION
var names = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)

// Validate refuses what cannot work, without quoting the connection string.
func (c Config) Validate() (found problem.List) {
	if _, err := pgx.ParseConfig(c.DatabaseURL.Reveal()); err != nil {
		found = append(found, &problem.Error{What: "DATABASE_URL is not a Postgres connection string", Why: "it cannot be parsed", Fix: "use something like postgres://user:password@host:5432/shop; special characters in the password must be percent-encoded"})
	}
	if !names.MatchString(c.Slot) {
		found = append(found, &problem.Error{What: fmt.Sprintf("POLLER_SLOT is %q", c.Slot), Fix: "use 1 to 63 lower-case letters, digits and '_'"})
	}
	if !names.MatchString(c.Publication) {
		found = append(found, &problem.Error{What: fmt.Sprintf("POLLER_PUBLICATION is %q", c.Publication), Fix: "use 1 to 63 lower-case letters, digits and '_'"})
	}
	if c.Narrow != narrowAuto && c.Narrow != narrowOff {
		found = append(found, &problem.Error{What: fmt.Sprintf("POLLER_NARROW is %q", c.Narrow), Fix: "use auto or off"})
	}
	if c.StatusEvery <= 0 {
		found = append(found, &problem.Error{What: fmt.Sprintf("POLLER_STATUS_EVERY is %s", c.StatusEvery), Fix: "use a duration above zero, such as 10s"})
	}
	return found
}
