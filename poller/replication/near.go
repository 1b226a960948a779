package replication

import (
	"net"
	"time"
)

// A server that answers within nearTrip gets a receive buffer of this many bytes, instead of one that the kernel makes larger and larger: it is refilled at
// once, and the window that it leaves closes soon when nobody reads. Farther away a small window would limit the speed, to one for each round
// trip. It is not made smaller than one segment of the loopback interface, below which TCP gives back no window at all until it is empty.
const (
	nearTrip   = 500 * time.Microsecond
	nearBuffer = 64 << 10
)

// approach says how long a stream over this connection may be left alone when it is behind, and makes its window small where that is more than 0. It
// is 0 where a short read does not mean that nothing waits: over TLS a read brings one record, mostly one row, and from far away what the window let through. And
// a Unix socket holds too little to be left alone for long.
func approach(conn net.Conn) time.Duration {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return 0
	}
	if trip := roundTrip(tcp); trip == 0 || trip > nearTrip {
		return 0
	}
	if tcp.SetReadBuffer(nearBuffer) != nil {
		return 0
	}
	return longRest
}
