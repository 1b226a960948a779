package replication

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// roundTrip is the shortest that the kernel has seen on the connection so far, zero when it does not say.
// https://man7.org/linux/man-pages/man7/tcp.7.html, TCP_INFO
func roundTrip(conn *net.TCPConn) (d time.Duration) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { // an error leaves d as it is
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			d = time.Duration(info.Min_rtt) * time.Microsecond
		}
	})
	return d
}
