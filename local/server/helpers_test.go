package server_test

import (
	"net"
	"runtime"
)

const diesWithParent = runtime.GOOS == "linux"

func dial(addr string) error {
	conn, err := net.Dial("tcp", addr)
	if err == nil {
		conn.Close()
	}
	return err
}
