//go:build !linux

package gather

import "net"

func wrap(conn net.Conn) net.Conn { return conn }
