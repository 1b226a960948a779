package replication

import (
	"time"

	"freshet/shared/change"
)

// pings recognises a server that shuts down. It then asks again and again, as fast as we answer, whether we have confirmed
// its last byte, and waits for it; but what is settled is confirmed only after the replay window. A server that runs asks at most
// a few times per wal_sender_timeout.
type pings struct {
	lsn   change.LSN
	first time.Time
	count int
}

func (p *pings) stopping(lsn change.LSN, now time.Time) bool {
	const many, within = 10, time.Second
	if p.lsn != lsn || now.Sub(p.first) > within {
		p.lsn, p.first, p.count = lsn, now, 0
	}
	p.count++
	return p.count >= many
}
