package replication

import (
	"crypto/tls"
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

// approach says how long a stream over this connection may be left alone when it is behind, and makes its window small where it is near. A
// Unix socket holds too little for that.
func approach(conn net.Conn) time.Duration {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return pause
	}
	if trip := roundTrip(tcp); trip == 0 || trip > nearTrip {
		return pause
	}
	if tcp.SetReadBuffer(nearBuffer) != nil {
		return pause
	}
	return longRest
}
