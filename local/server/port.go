package server

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// FreePort finds a port of 127.0.0.1 on which nothing listens. It lies below the range from which systems take the ports
// of outgoing connections, so that a server that is stopped and started again finds its port free. No port is found twice by one process: whoever found it may not
// listen yet.
func FreePort() (int, error) {
	const lowest, count, attempts = 15000, 17000, 200
	for range attempts {
		port := lowest + rand.IntN(count)
		if _, found := foundPorts.LoadOrStore(port, true); found {
			continue
		}
		l, err := net.Listen("tcp", address(port))
		if err != nil {
			continue
		}
		return port, l.Close()
	}
	return 0, errors.New("no port of 127.0.0.1 between 15000 and 32000 is free")
}

var foundPorts sync.Map

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
